// Clients send anything in any pieces, and every listener does something at random to something at
// random. Whatever it is: each callback comes once and in order, 'close' once and last, what a
// client receives are responses in the order of its requests, and in the end nothing is left.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <map>
#include <memory>

#include "tests/http_mayhem_check.h"
#include "tests/http_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using http::Server;
using http::Upgrade;

constexpr std::size_t kClients = 4;
constexpr int kActionsMax = 600;
constexpr int kSteps = 250;

// What an exchange has promised and kept; it outlives it.
struct Life {
  std::string name;
  unsigned number = 0;     // of its client's requests
  unsigned server = 0;     // dead when that is gone
  std::size_t size = 0;    // of the request's body
  http::RequestRef request_ref;
  http::ResponseRef response_ref;
  std::size_t received = 0;
  std::size_t sent = 0;
  unsigned last_call = 0;
  // Whose callbacks are to come; false: they may, for the write was answered `closed`.
  std::deque<std::pair<unsigned, bool>> calls;
  bool owes_calls() const {
    return std::ranges::any_of(calls, [](const auto& call) { return call.second; });
  }
  int drains_due = 0;
  int request_closes = 0;
  int response_closes = 0;
  int finishes = 0;
  int ends = 0;
  int aborts = 0;
  int errors = 0;
  int readers = 0;
  bool paused = false;
};
using LifeRef = std::shared_ptr<Life>;

// A raw socket with a script.
struct MayhemClient {
  MayhemClient(Reactor& reactor, Random& random, unsigned number)
      : name("client " + std::to_string(number)),
        script(random, number),
        socket(reactor, {.allow_half_open = true}) {
    socket.on_data([this](Socket&, Buffer bytes) { received += bytes.view(); });
    socket.on_error([](Socket&, const Error&) {});
    socket.on_close([this](Socket&, std::error_code) { closed = true; });
    if (random.once_in(6)) socket.pause();
  }
  void check() const {
    const MayhemCheck check(received, script.heads());
    EXPECT_EQ(check.error(), "") << name << " has sent\n" << script.text() << "\nand received\n"
                                 << received;
  }

  std::string name;
  MayhemScript script;
  Socket socket;
  std::size_t sent = 0;
  std::string received;
  bool closed = false;
};

class Mayhem {
 public:
  Mayhem(Reactor& reactor, Random& random) : reactor_(reactor), random_(random) {}

  void step() {
    if (server_ == nullptr) make_server();
    for (auto& client : clients_) play(client);
    if (random_.once_in(2)) act(nullptr);
    reactor_.run_once(random_.once_in(4) ? Duration(1ms) : Duration(0));
  }

  void end_all() {
    left_ = 0;
    timers_.clear();
    if (server_ != nullptr) {
      close_server();
      server_->close_all_connections();
    }
    for (auto& client : clients_) {
      if (client == nullptr) continue;
      client->socket.resume();
      client->socket.destroy();
    }
  }

  bool quiet() const {
    for (const LifeRef& life : all_) {
      if (is_owed(*life)) return false;
    }
    return closers_ == 0 && reactor_.counters().sockets == 0;
  }

  void check() const {
    for (const LifeRef& life : all_) {
      EXPECT_EQ(life->request_ref.get(), nullptr) << life->name;
      EXPECT_EQ(life->response_ref.get(), nullptr) << life->name;
      if (life->server != server_number_ || server_ == nullptr) continue;
      EXPECT_EQ(life->request_closes, 1) << life->name << ": no 'close' of the request";
      EXPECT_EQ(life->response_closes, 1) << life->name << ": no 'close' of the response";
      EXPECT_FALSE(life->owes_calls()) << life->name << ": callbacks that did not come";
    }
    EXPECT_EQ(closers_, 0) << "callbacks of Server::close() that did not come";
    EXPECT_EQ(reactor_.counters().sockets, 0U);
    EXPECT_EQ(reactor_.counters().queue_bytes, 0U);
    for (const auto& client : clients_) {
      if (client != nullptr) client->check();
    }
  }

  void delete_all() {
    delete_server();
    for (auto& client : clients_) client.reset();
  }

 private:
  bool is_owed(const Life& life) const {
    return server_ != nullptr && life.server == server_number_ &&
           (life.request_closes == 0 || life.response_closes == 0 || life.owes_calls());
  }

  // ---- The server ----

  http::ServerOptions options() {
    http::ServerOptions options;
    options.pipelined_max = 1 + random_.below(4);
    options.net.socket.queue = {.high_water = 1 + random_.below(3000),
                                .low_water = random_.below(2) * random_.below(500),
                                .bytes_max = 1000 + random_.below(20000)};
    const auto requests = static_cast<std::uint32_t>(random_.below(4));
    if (random_.once_in(3)) options.requests_per_socket_max = 1 + requests;
    if (random_.once_in(3)) options.body_bytes_max = random_.below(1500);
    options.request_timeout = Duration(5ms) * (random_.below(3) * random_.below(10));
    if (random_.once_in(2)) {
      options.headers_timeout = std::min<Duration>(3ms, options.request_timeout);
    }
    options.keep_alive_timeout = 4ms * random_.below(4);
    if (random_.once_in(4)) options.net.socket.timeout = 7ms;
    if (random_.once_in(8)) options.net.max_connections = 2;
    return options;
  }

  void make_server() {
    server_ = std::make_unique<Server>(reactor_, options());
    ++server_number_;
    closers_ = 0;
    const unsigned mine = server_number_;
    const auto handle = [this, mine](Request& request, Response& response) {
      expect_alive(mine, "request");
      begin(request, response);
    };
    Server& server = *server_;
    server.on_request(handle);
    if (random_.once_in(2)) server.on_check_continue(handle);
    if (random_.once_in(2)) server.on_check_expectation(handle);
    const auto take = [this, mine](Upgrade& upgrade) {
      expect_alive(mine, "upgrade");
      take_over(upgrade);
    };
    if (!random_.once_in(4)) server.on_upgrade(take);
    if (!random_.once_in(4)) server.on_connect(take);
    if (random_.once_in(2)) {
      server.on_client_error([this, mine](const ClientError& error, Socket& socket) {
        expect_alive(mine, "client_error");
        EXPECT_GE(error.status, 400);
        EXPECT_LE(error.packet.size(), 1U << 20);
        answer_error(socket);
      });
    }
    if (random_.once_in(2)) {
      server.on_timeout([this, mine](Socket& socket) {
        expect_alive(mine, "timeout");
        socket.destroy();
        act(nullptr);
      });
    }
    const auto acts = [this, mine](auto&&...) {
      expect_alive(mine, "an event");
      act(nullptr);
    };
    server.on_drop_request(acts);
    server.on_connection(acts);
    server.on_server_close(acts);
    listen();
  }

  void listen() {
    const auto bound = server_->listen({.port = 0, .host = "127.0.0.1"});
    if (bound) port_ = bound->port();
  }

  void delete_server() {
    server_.reset();
    closers_ = 0;
  }

  void close_server() {
    ++closers_;
    std::ignore = server_->close([this, mine = server_number_](Server&, std::error_code) {
      expect_alive(mine, "close()");
      --closers_;
      EXPECT_GE(closers_, 0) << "a callback of Server::close() twice";
      act(nullptr);
    });
  }

  void act_on_server() {
    if (server_ == nullptr) return;
    switch (random_.below(10)) {
      case 0: return delete_server();
      case 1: return close_server();
      case 2: return server_->drain(1ms * random_.below(4));
      case 3: return server_->close_all_connections();
      case 4:
      case 5: return server_->close_idle_connections();
      default:
        if (!server_->listening()) listen();
    }
  }

  void expect_alive(unsigned server, const char* what) const {
    EXPECT_TRUE(server_ != nullptr && server == server_number_)
        << what << " of a server that is gone";
  }

  // ---- What is no request any more ----

  // http has let go of it: what comes is the tunnel's.
  void take_over(Upgrade& upgrade) {
    EXPECT_EQ(upgrade.head.view().find_first_not_of('!'), std::string_view::npos)
        << upgrade.head.view();
    Socket& socket = upgrade.socket;
    socket.on_data([](Socket&, Buffer bytes) {
      EXPECT_EQ(bytes.view().find_first_not_of('!'), std::string_view::npos) << bytes.view();
    });
    socket.on_error([](Socket&, const Error&) {});
    socket.on_end([this](Socket& same) {
      same.end();
      act(nullptr);
    });
    socket.write("HTTP/1.1 200 Over to you\r\nX-Tunnel: 1\r\n\r\n");
    socket.write(std::string(random_.below(3000), 't'));
    if (random_.once_in(4)) socket.end();
    if (random_.once_in(4)) socket.destroy();
    act(nullptr);
  }

  void answer_error(Socket& socket) {
    switch (random_.below(4)) {
      case 0: socket.destroy(); break;
      case 1: socket.end(); break;
      default: socket.end("HTTP/1.1 400 No\r\nConnection: close\r\n\r\n");
    }
    act(nullptr);
  }

  // ---- Clients ----

  void play(std::unique_ptr<MayhemClient>& client) {
    if (client == nullptr || client->closed) {
      if (client != nullptr) client->check();
      if (left_ == 0 || random_.once_in(3) || server_ == nullptr) return;
      client = std::make_unique<MayhemClient>(reactor_, random_, ++last_client_);
      if (port_ == 0) return;
      std::ignore = client->socket.connect({.host = "127.0.0.1", .port = port_});
      return;
    }
    Socket& socket = client->socket;
    const std::string_view rest = std::string_view(client->script.text()).substr(client->sent);
    switch (random_.below(40)) {
      case 0: return random_.once_in(3) ? socket.destroy() : socket.end();
      case 1: std::ignore = socket.reset_and_destroy(); return;
      case 2: return socket.pause();
      case 3:
      case 4: return socket.resume();
      case 5:
        if (rest.empty()) socket.end();
        return;
      default: break;
    }
    if (rest.empty() || socket.writable_ended() || !random_.once_in(3)) return;
    const std::size_t most = random_.once_in(3) ? 5000 : 1 + random_.below(200);
    const std::string_view piece = rest.substr(0, most);
    client->sent += piece.size();
    socket.write(piece);
  }

  // ---- An exchange ----

  static unsigned number_after(std::string_view& text) {
    text.remove_prefix(1);
    unsigned value = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value).ptr;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
  }

  void begin(Request& request, Response& response) {
    auto life = std::make_shared<Life>();
    std::string_view target = request.target();
    life->name = "request " + std::string(target);
    number_after(target);
    life->number = number_after(target);
    life->size = number_after(target);
    life->server = server_number_;
    life->request_ref = request.weak();
    life->response_ref = response.weak();
    all_.push_back(life);
    follow_request(request, life);
    follow_response(response, life);
    if (random_.once_in(2)) follow_data(request, life);
    EXPECT_TRUE(response.set_header("X-Number", std::to_string(life->number)).has_value());
    act(life);
    if (random_.once_in(2)) act(life);
    if (Response* same = life->response_ref.get(); same != nullptr && random_.once_in(3)) {
      if (alive(*life)) end(*same, life);
    }
  }

  bool alive(const Life& life) const { return server_ != nullptr && life.server == server_number_; }

  // Everything that comes to its listeners, before what they do.
  void seen(const Life& life, const char* what) const {
    expect_alive(life.server, what);
    EXPECT_EQ(life.request_closes, 0) << life.name << ": " << what << " after 'close'";
  }

  void follow_request(Request& request, const LifeRef& life) {
    request.on_end([this, life](Request&) {
      seen(*life, "end");
      EXPECT_EQ(++life->ends, 1) << life->name;
      EXPECT_EQ(life->aborts, 0) << life->name << ": 'end' after 'aborted'";
      act(life);
    });
    request.on_aborted([this, life](Request&) {
      seen(*life, "aborted");
      EXPECT_EQ(++life->aborts, 1) << life->name;
      act(life);
    });
    request.on_error([this, life](Request&, const Error&) {
      seen(*life, "error");
      EXPECT_EQ(++life->errors, life->aborts) << life->name;
      act(life);
    });
    request.on_close([this, life](Request&) {
      seen(*life, "close");
      ++life->request_closes;
      EXPECT_EQ(life->response_closes, 1) << life->name << ": the request's 'close' comes behind";
      act(life);
    });
  }

  void follow_data(Request& request, const LifeRef& life) {
    ++life->readers;
    if (random_.once_in(8)) request.set_encoding(net::Encoding::utf8);
    request.on_data([this, life](Request& same, Buffer bytes) {
      seen(*life, "data");
      EXPECT_FALSE(same.complete()) << life->name;
      // The first of two may have paused: the other gets this piece still.
      EXPECT_FALSE(life->paused && life->readers == 1) << life->name << ": data while paused";
      EXPECT_EQ(life->aborts, 0) << life->name << ": data after 'aborted'";
      if (life->received != SIZE_MAX) {
        EXPECT_EQ(bytes.view(), request_bytes(life->number, life->received, bytes.size()))
            << life->name;
        life->received += bytes.size();
        EXPECT_LE(life->received, life->size) << life->name;
      }
      act(life);
    });
  }

  void follow_response(Response& response, const LifeRef& life) {
    response.on_drain([this, life](Response&) {
      response_seen(*life, "drain");
      EXPECT_EQ(life->drains_due, 1) << life->name << ": 'drain' after nothing";
      life->drains_due = 0;
      act(life);
    });
    response.on_finish([this, life](Response& same) {
      response_seen(*life, "finish");
      EXPECT_EQ(++life->finishes, 1) << life->name;
      EXPECT_FALSE(same.destroyed()) << life->name;
      act(life);
    });
    response.on_error([this, life](Response&, const Error&) {
      response_seen(*life, "error");
      act(life);
    });
    response.on_close([this, life](Response& same) {
      response_seen(*life, "close");
      EXPECT_FALSE(life->owes_calls()) << life->name << ": callbacks that did not come";
      EXPECT_EQ(life->finishes == 1, same.writable_finished()) << life->name;
      ++life->response_closes;
      act(life);
    });
  }

  void response_seen(const Life& life, const char* what) const {
    seen(life, what);
    EXPECT_EQ(life.response_closes, 0) << life.name << ": " << what << " after 'close'";
  }

  // ---- Writing ----

  http::ResponseDone called(const LifeRef& life, unsigned call) {
    return [this, life, call](Response&, std::error_code) {
      EXPECT_FALSE(in_call_) << life->name << ": a callback inside the call";
      response_seen(*life, "a callback");
      auto& calls = life->calls;
      while (!calls.empty() && !calls.front().second && calls.front().first < call) {
        calls.pop_front();
      }
      const bool next = !calls.empty() && calls.front().first == call;
      EXPECT_TRUE(next) << life->name << ": callback " << call << " out of order, or twice";
      if (next) calls.pop_front();
      act(life);
    };
  }

  // A write or an end of so many bytes, with a callback perhaps.
  template <class Call>
  void put(Response& response, const LifeRef& life, std::size_t size, Call&& call) {
    const std::string bytes = response_bytes(life->number, life->sent, size);
    const unsigned number = ++life->last_call;
    const bool calls_back = random_.once_in(2);
    const bool was_closed = life->response_closes != 0;
    in_call_ = true;
    const Write result = call(bytes, calls_back ? called(life, number) : http::ResponseDone());
    in_call_ = false;
    const bool taken = result == Write::ok || result == Write::full;
    if (taken) life->sent += size;
    if (calls_back && result != Write::refused && !was_closed) {
      life->calls.emplace_back(number, taken);
    }
    if (result == Write::full || result == Write::refused) life->drains_due = 1;
    if (response.writable_ended()) life->drains_due = 0;
  }

  void write(Response& response, const LifeRef& life) {
    const std::size_t sizes[] = {0, 1, 7, 300, 2500, 6000, 15000};
    put(response, life, sizes[random_.below(7)], [&](const std::string& bytes, auto done) {
      if (random_.once_in(2)) return response.write(bytes, std::move(done));
      return response.write(Buffer::copy(bytes), std::move(done));
    });
  }

  void end(Response& response, const LifeRef& life) {
    const std::size_t sizes[] = {0, 0, 1, 900, 5000};
    const std::size_t size = sizes[random_.below(5)];
    put(response, life, size, [&](const std::string& bytes, auto done) {
      if (bytes.empty() && random_.once_in(2)) return response.end(std::move(done));
      if (random_.once_in(2)) return response.end(bytes, std::move(done));
      return response.end(Buffer::copy(bytes), std::move(done));
    });
  }

  void settle(Response& response) {
    static const char* const kLengths[] = {"0", "7", "300", "901", "8000"};
    switch (random_.below(8)) {
      case 0: std::ignore = response.set_status(204); return;
      case 1: std::ignore = response.set_status(304); return;
      case 2: std::ignore = response.set_header("Connection", "close"); return;
      case 3: std::ignore = response.set_trailer("X-Sum", "1"); return;
      case 4: std::ignore = response.write_head(200, {{"X-Other", "1"}}); return;
      case 5: std::ignore = response.flush_headers(); return;
      default:
        std::ignore = response.set_header("Content-Length", kLengths[random_.below(5)]);
    }
  }

  // ---- Acting ----

  // On `self`, whose listener is running, or on anything else.
  void act(LifeRef self) {
    for (std::uint64_t i = random_.below(3); i > 0 && left_ > 0; --i) {
      --left_;
      if (random_.once_in(60)) {
        act_on_server();
        continue;
      }
      LifeRef life = self;
      if (!all_.empty() && (life == nullptr || random_.once_in(3))) {
        // One of the last: the others are over.
        life = all_[all_.size() - 1 - random_.below(std::min<std::size_t>(all_.size(), 8))];
      }
      if (life != nullptr) act_on(life);
    }
  }

  void act_on(const LifeRef& life) {
    Response* response = life->response_ref.get();
    Request* request = life->request_ref.get();
    EXPECT_EQ(response == nullptr, request == nullptr) << life->name;
    if (response == nullptr || request == nullptr) return;
    const bool dead = !alive(*life);  // destroyed in a listener that still runs
    switch (random_.below(34)) {
      case 0:
        if (random_.once_in(3)) response->destroy();
        return;
      case 1:
        if (random_.once_in(3)) request->destroy(errno_code(EPROTO));
        return;
      case 2:
        if (random_.once_in(3)) response->socket().destroy();
        return;
      case 3:
        if (random_.once_in(4)) response->socket().end();
        return;
      case 4: response->cork(); return;
      case 5:
      case 6: response->uncork(); return;
      case 7: std::ignore = response->write_continue(); return;
      case 8: std::ignore = response->write_processing(); return;
      case 9:
      case 10:
        life->paused = true;
        return request->pause();
      case 11:
      case 12:
      case 13:
        // What flows before there is a listener is dropped, and what waits behind the answer.
        if (life->readers == 0 || response->writable_ended()) life->received = SIZE_MAX;
        life->paused = false;
        return request->resume();
      case 14:
        life->received = SIZE_MAX;  // two listeners
        return follow_data(*request, life);
      case 15:
      case 16: return settle(*response);
      case 17:
      case 18: return later(life);
      case 19:
      case 20:
      case 21:
      case 22:
      case 23: return dead ? void() : end(*response, life);
      default: return dead ? void() : write(*response, life);
    }
  }

  void later(const LifeRef& life) {
    timers_.push_back(reactor_.after(1ms * random_.below(6), [this, life] { act(life); }));
  }

  Reactor& reactor_;
  Random& random_;
  int left_ = kActionsMax;
  bool in_call_ = false;
  int closers_ = 0;
  unsigned last_client_ = 0;
  unsigned server_number_ = 0;
  std::uint16_t port_ = 0;
  std::vector<LifeRef> all_;
  std::deque<Timer> timers_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<MayhemClient> clients_[kClients];
};

class HttpMayhemTest : public HttpTest {
 protected:
  // False when run() would not return by itself.
  bool run_returns() {
    bool gave_up = false;
    Timer guard = reactor().after(kPatience, [&] {
      gave_up = true;
      reactor().stop();
    });
    guard.unref();
    reactor().run();
    return !gave_up;
  }

  void play(Random& random) {
    Mayhem mayhem(reactor(), random);
    for (int i = 0; i < kSteps; ++i) mayhem.step();
    mayhem.end_all();
    EXPECT_TRUE(run_until([&] { return mayhem.quiet(); })) << "something does not end";
    mayhem.check();
    mayhem.delete_all();
    EXPECT_TRUE(run_returns()) << "something keeps the reactor alive";
    EXPECT_EQ(reactor().counters().queue_bytes, 0U);
  }
};

std::uint64_t seeds() {
  const char* chosen = std::getenv("WEIR_SEEDS");
  return chosen == nullptr ? 25 : std::strtoull(chosen, nullptr, 10);
}

TEST_P(HttpMayhemTest, WhateverHandlersDoClientsGetResponsesInOrderAndNothingIsLeft) {
  for_seeds(seeds(), [&](Random& random) { play(random); });
}

WEIR_ON_ALL_BACKENDS(HttpMayhemTest);

}  // namespace
}  // namespace weir::test
