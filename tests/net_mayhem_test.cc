// Every handler and every callback does something at random to something at random. Whatever it is:
// each callback comes once and in order, 'close' once and last, and in the end nothing is left.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <deque>
#include <filesystem>
#include <map>
#include <set>
#include <stop_token>

#include "tests/pair.h"
#include "tests/random.h"
#include "weir/net/block_list.h"
#include "weir/net/pipe.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::BlockList;
using net::ConnectOptions;
using net::Detached;
using net::Encoding;
using net::ListenerId;
using net::ResolveReply;
using net::Resolver;

constexpr std::size_t kSockets = 6;
constexpr std::size_t kServers = 2;
constexpr int kActionsMax = 500;

// What a socket object has promised and kept. It outlives the object.
struct Life {
  std::string name;
  const Server* server = nullptr;  // the accepting one
  bool dead = false;  // the object is gone: it owes nothing any more
  bool open = false;  // between the start of a connection and its 'close'
  int errors = 0;
  int ends = 0;
  int finishes = 0;
  int connects = 0;
  unsigned last_write = 0;
  std::deque<unsigned> writes;      // whose callbacks are to come
  std::multiset<unsigned> at_end;   // callbacks of end() and detach()
};
using LifeRef = std::shared_ptr<Life>;

class Mayhem final : public Resolver {
 public:
  Mayhem(Reactor& reactor, Random& random, std::string path, bool simulated)
      : reactor_(reactor), random_(random), path_(std::move(path)), simulated_(simulated) {
    block_list_.add_address("127.0.0.3");
    for (std::size_t i = 0; i < kServers; ++i) make_server(i);
    for (std::size_t i = 0; i < kSockets; ++i) make_socket(i);
  }
  ~Mayhem() {
    for (const int fd : fds_) reactor_.backend().close(fd);
  }

  void step() {
    if (random_.once_in(3)) act(nullptr);
    reactor_.run_once(random_.once_in(20) ? Duration(1ms) : Duration(0));
  }

  void end_all() {
    left_ = 0;
    replies_.clear();
    for (auto& server : servers_) {
      if (server == nullptr) continue;
      server->close_all_connections();
      close_server(*server);
    }
    for (std::size_t i = 0; i < kSockets; ++i) {
      if (sockets_[i] != nullptr) destroy(*sockets_[i], {});
    }
  }

  bool quiet() const {
    for (const auto& server : servers_) {
      if (server != nullptr && server->connections() != 0) return false;
    }
    for (const auto& [socket, life] : lives_) {
      if (!life->dead && (life->open || !life->writes.empty() || !life->at_end.empty())) {
        return false;
      }
    }
    return closers_.empty() && reactor_.counters().sockets == 0;
  }

  void check() const {
    for (const LifeRef& life : all_) {
      if (life->dead) continue;
      EXPECT_FALSE(life->open) << life->name << ": no 'close'";
      EXPECT_EQ(life->writes.size(), 0U) << life->name << ": callbacks of writes that did not come";
      EXPECT_EQ(life->at_end.size(), 0U) << life->name << ": callbacks of ends that did not come";
    }
    EXPECT_EQ(closers_.size(), 0U) << "callbacks of Server::close() that did not come";
    EXPECT_EQ(reactor_.counters().sockets, 0U);
    EXPECT_EQ(reactor_.counters().queue_bytes, 0U);
  }

  void delete_all() {
    for (std::size_t i = 0; i < kSockets; ++i) delete_socket(i);
    for (std::size_t i = 0; i < kServers; ++i) delete_server(i);
  }

 private:
  // ---- What exists ----

  LifeRef add_life(Socket& socket, std::string name) {
    auto life = std::make_shared<Life>();
    life->name = std::move(name);
    all_.push_back(life);
    lives_[&socket] = life;
    return life;
  }

  LifeRef life_of(Socket& socket, const char* what) {
    const auto found = lives_.find(&socket);
    if (found != lives_.end() && !found->second->dead) return found->second;
    ADD_FAILURE() << what << " of a socket that is gone";
    return std::make_shared<Life>();
  }

  SocketOptions socket_options() {
    SocketOptions options;
    options.queue = {.high_water = 1 + random_.below(3000), .low_water = 0, .bytes_max = 20000};
    options.policy = static_cast<net::QueuePolicy>(random_.below(3));
    options.allow_half_open = random_.once_in(2);
    if (random_.once_in(4)) options.timeout = 2ms;
    return options;
  }

  void make_socket(std::size_t i) {
    sockets_[i] = std::make_unique<Socket>(reactor_, socket_options());
    add_life(*sockets_[i], "socket " + std::to_string(i) + " #" + std::to_string(all_.size()));
    follow(*sockets_[i]);
  }

  void make_server(std::size_t i) {
    ServerOptions options{.socket = socket_options()};
    options.pause_on_connect = random_.once_in(3);
    if (random_.once_in(3)) options.max_connections = random_.below(4);
    servers_[i] = std::make_unique<Server>(reactor_, options);
    Server& server = *servers_[i];
    follow(server);
    server.on_connection([this, i](Socket& socket) {
      const LifeRef life = add_life(socket, "accepted #" + std::to_string(all_.size()));
      life->open = true;
      life->server = servers_[i].get();
      accepted_[i].push_back(&socket);
      act(&socket);
    });
    server.on_listening([this](Server&) { act(nullptr); });
    server.on_server_error([this](Server&, const Error&) { act(nullptr); });
    server.on_server_close([this](Server&) { act(nullptr); });
    server.on_drop([this](Server&, const net::Drop&) { act(nullptr); });
    listen(i);
  }

  void delete_socket(std::size_t i) {
    if (sockets_[i] == nullptr) return;
    lives_[sockets_[i].get()]->dead = true;
    lives_.erase(sockets_[i].get());
    sockets_[i].reset();
  }

  void delete_server(std::size_t i) {
    if (servers_[i] == nullptr) return;
    for (const LifeRef& life : all_) {
      if (life->server == servers_[i].get()) life->dead = true;
    }
    std::erase_if(lives_, [](const auto& entry) { return entry.second->dead; });
    accepted_[i].clear();
    std::erase_if(closers_, [&](const auto& one) { return one.second == servers_[i].get(); });
    servers_[i].reset();
  }

  Socket* any_socket() {
    std::vector<Socket*> all;
    for (auto& socket : sockets_) {
      if (socket != nullptr) all.push_back(socket.get());
    }
    for (auto& list : accepted_) all.insert(all.end(), list.begin(), list.end());
    return all.empty() ? nullptr : all[random_.below(all.size())];
  }

  // ---- Listening to everything ----

  template <class Listeners>
  void follow(Listeners& on) {
    on.on_lookup([this](Socket& s, const net::LookupResult&) { seen(s, "lookup"); });
    on.on_connection_attempt([this](Socket& s, const Address&) { seen(s, "attempt"); });
    on.on_connection_attempt_failed([this](Socket& s, const Error&) { seen(s, "failed"); });
    on.on_connection_attempt_timeout([this](Socket& s, const Address&) { seen(s, "late"); });
    on.on_connect([this](Socket& s) { once(s, "connect", &Life::connects); });
    on.on_ready([this](Socket& s) { seen(s, "ready"); });
    on.on_end([this](Socket& s) { once(s, "end", &Life::ends); });
    on.on_drain([this](Socket& s) { seen(s, "drain"); });
    on.on_finish([this](Socket& s) { once(s, "finish", &Life::finishes); });
    on.on_timeout([this](Socket& s) {
      life_of(s, "timeout");
      act(&s);
    });
    on.on_error([this](Socket& s, const Error&) { once(s, "error", &Life::errors); });
    on.on_close([this](Socket& s, std::error_code) { closed(s); });
    on.on_descriptor([this](Socket& s, int fd) {
      reactor_.backend().close(fd);
      seen(s, "descriptor");
    });
    if (!random_.once_in(4)) on.on_data([this](Socket& s, Buffer) { seen(s, "data"); });
  }

  void seen(Socket& socket, const char* what) {
    const LifeRef life = life_of(socket, what);
    EXPECT_TRUE(life->open) << life->name << ": " << what << " after 'close'";
    act(&socket);
  }

  void once(Socket& socket, const char* what, int Life::*count) {
    const LifeRef life = life_of(socket, what);
    EXPECT_EQ(++((*life).*count), 1) << life->name << ": " << what;
    seen(socket, what);
  }

  void closed(Socket& socket) {
    const LifeRef life = life_of(socket, "close");
    EXPECT_TRUE(life->open) << life->name << ": a second 'close'";
    life->open = false;
    act(&socket);
    for (auto& list : accepted_) std::erase(list, &socket);
  }

  void begin(Life& life) {
    life.open = true;
    life.errors = life.ends = life.finishes = life.connects = 0;
  }

  // ---- Callbacks ----

  net::WriteDone written(const LifeRef& life, unsigned number) {
    return [this, life, number](Socket& socket, std::error_code) {
      EXPECT_FALSE(in_call_) << life->name << ": a callback inside the call";
      EXPECT_FALSE(life->dead) << life->name << ": a callback after the object's end";
      const bool next = !life->writes.empty() && life->writes.front() == number;
      EXPECT_TRUE(next) << life->name << ": callback " << number << " out of order, or twice";
      if (next) life->writes.pop_front();
      act(&socket);
    };
  }

  net::WriteDone ended(const LifeRef& life, unsigned number) {
    life->at_end.insert(number);
    return [this, life, number](Socket& socket, std::error_code) {
      EXPECT_FALSE(life->dead) << life->name << ": an end's callback after the object's end";
      EXPECT_EQ(life->at_end.erase(number), 1U) << life->name << ": an end's callback twice";
      act(&socket);
    };
  }

  std::string some_bytes() {
    const std::size_t sizes[] = {0, 1, 7, 300, 5000, 15000};
    return std::string(sizes[random_.below(6)], '\xe4');
  }

  void write(Socket& socket) {
    const LifeRef life = life_of(socket, "write()");
    const unsigned number = ++life->last_write;
    in_call_ = true;
    const Write result = random_.once_in(2)
                             ? socket.write(some_bytes(), written(life, number))
                             : socket.write(Buffer::copy(some_bytes()), written(life, number));
    in_call_ = false;
    if (result != Write::refused) life->writes.push_back(number);
  }

  void end(Socket& socket) {
    const LifeRef life = life_of(socket, "end()");
    const unsigned number = ++life->last_write;
    if (random_.once_in(2)) return socket.end(ended(life, number));
    const Write result = socket.end(some_bytes(), ended(life, number));
    if (result == Write::refused) life->at_end.erase(number);
  }

  void detach(Socket& socket) {
    const LifeRef life = life_of(socket, "detach()");
    const unsigned number = ++life->last_write;
    const auto taken = socket.detach([this, life, number](Socket& s, Expected<Detached> given) {
      EXPECT_FALSE(life->dead) << life->name << ": a detach's callback after the object's end";
      EXPECT_EQ(life->at_end.erase(number), 1U) << life->name << ": detach's callback twice";
      if (given) fds_.push_back(given->fd);
      act(&s);
    });
    if (taken) life->at_end.insert(number);
  }

  // ---- Connecting ----

  void resolve(std::string_view, Family, ResolveReply reply) override {
    if (random_.once_in(4)) act(nullptr);
    switch (random_.below(5)) {
      case 0: return answer(reply);
      case 1: return;  // dropped
      case 2:
        reactor_.defer(boxed([this, late = std::move(reply)]() mutable { answer(late); }));
        return;
      case 3:
        answer(reply);
        answer(reply);
        break;
      default: replies_.push_back(std::move(reply));
    }
    if (random_.once_in(3)) act(nullptr);
  }

  void answer(ResolveReply& reply) {
    const char* const hosts[] = {"127.0.0.1", "127.0.0.2", "127.0.0.3", "::1", "192.0.2.1"};
    std::vector<IpEndpoint> found;
    for (std::uint64_t i = random_.below(5); i > 0; --i) {
      found.push_back(Address::parse_ip(hosts[random_.below(5)], 0)->ip());
    }
    if (random_.once_in(6)) return reply.failed(errno_code(ECONNABORTED));
    reply.found(std::move(found));
  }

  void connect(std::size_t i) {
    Socket& socket = *sockets_[i];
    const Server* server = servers_[random_.below(kServers)].get();
    ConnectOptions options{.host = random_.once_in(3) ? "127.0.0.1" : "somewhere", .port = 1};
    if (server != nullptr && server->address().is_unix()) options.path = server->address().path();
    if (server != nullptr && !server->address().is_unix()) options.port = server->address().port();
    if (options.port == 0) options.port = 1;
    if (random_.once_in(5)) options.host = "localhost";
    if (options.host == "somewhere") options.resolver = this;
    if (random_.once_in(3)) options.timeout = Duration(1ms) * (1 + random_.below(20));
    if (random_.once_in(3)) options.block_list = &block_list_;
    if (random_.once_in(3)) options.stop = stops_.emplace_back().get_token();
    options.attempt_timeout = 10ms;
    const LifeRef life = life_of(socket, "connect()");
    const bool was_open = life->open;
    const Life before = *life;
    if (!was_open) begin(*life);
    if (!socket.connect(std::move(options)) && !was_open) *life = before;
  }

  void adopt(Socket& socket) {
    if (fds_.empty() || random_.once_in(4)) make_pair();
    const std::size_t which = random_.below(fds_.size());
    const int fd = fds_[which];
    const LifeRef life = life_of(socket, "adopt()");
    if (!socket.adopt(fd)) return;
    fds_.erase(fds_.begin() + static_cast<std::ptrdiff_t>(which));
    EXPECT_FALSE(life->open) << life->name;
    begin(*life);
  }

  void make_pair() {
    int pair[2];
    if (simulated_) {
      std::tie(pair[0], pair[1]) = static_cast<SimBackend&>(reactor_.backend()).make_pair();
    } else {
      ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    }
    fds_.insert(fds_.end(), {pair[0], pair[1]});
  }

  void send_descriptor(Socket& socket) {
    Backend& backend = reactor_.backend();
    const auto fd = backend.open(Address::loopback_ipv4(9), {});
    if (!fd) return;
    const auto result = socket.send_descriptor(*fd, "x");
    const bool taken = result && (*result == Write::ok || *result == Write::full);
    if (!taken) backend.close(*fd);
  }

  void destroy(Socket& socket, std::error_code code) {
    const LifeRef life = life_of(socket, "destroy()");
    if (!life->open && !socket.destroyed()) begin(*life);  // a fresh one has its 'close' too
    socket.destroy(code);
  }

  // ---- Servers ----

  void listen(std::size_t i) {
    net::ListenAt at{.port = 0, .host = "127.0.0.1"};
    if (random_.once_in(3)) at.host = "localhost";
    if (random_.once_in(2)) at.path = path_ + std::to_string(++paths_);
    if (random_.once_in(4)) at.stop = stops_.emplace_back().get_token();
    std::ignore = servers_[i]->listen(at, [this](Server&) { act(nullptr); });
  }

  void close_server(Server& server) {
    const unsigned number = ++last_closer_;
    closers_[number] = &server;
    std::ignore = server.close([this, number](Server&, std::error_code) {
      EXPECT_EQ(closers_.erase(number), 1U) << "a callback of Server::close() twice";
      act(nullptr);
    });
  }

  void act_on_server() {
    const std::size_t i = random_.below(kServers);
    if (servers_[i] == nullptr) return make_server(i);
    Server& server = *servers_[i];
    switch (random_.below(12)) {
      case 0: return delete_server(i);
      case 1: return close_server(server);
      case 2: return server.drain(Duration(1ms) * random_.below(4));
      case 3: return server.close_all_connections();
      case 4: return server.set_max_connections(random_.below(5));
      case 5: return server.set_max_connections({});
      case 6: return random_.once_in(2) ? server.ref() : server.unref();
      case 7:
        ids_.push_back(server.on_data([this](Socket& s, Buffer) { seen(s, "more data"); }));
        return;
      case 8:
        if (!ids_.empty()) server.off(ids_[random_.below(ids_.size())]);
        return;
      default: return listen(i);
    }
  }

  // ---- Acting ----

  // On `self`, whose handler is running, or on anything else.
  void act(Socket* self) {
    for (std::uint64_t i = random_.below(3); i > 0 && left_ > 0; --i) {
      --left_;
      if (random_.once_in(24)) {
        act_on_server();
      } else if (random_.once_in(4)) {
        act_on_owned();
      } else {
        // Another action of this handler may have taken it away.
        const bool there = self != nullptr && lives_.contains(self) && usable(*self);
        Socket* socket = there && !random_.once_in(3) ? self : any_socket();
        if (socket != nullptr) act_on(*socket);
      }
    }
  }

  bool usable(Socket& socket) const {
    for (const auto& one : sockets_) {
      if (one.get() == &socket) return true;
    }
    return lives_.at(&socket)->open;
  }

  void act_on_owned() {
    const std::size_t i = random_.below(kSockets);
    if (sockets_[i] == nullptr) return make_socket(i);
    switch (random_.below(7)) {
      case 0: return delete_socket(i);
      case 1: return adopt(*sockets_[i]);
      case 2:
        if (!replies_.empty()) {
          ResolveReply reply = std::move(replies_.back());
          replies_.pop_back();
          answer(reply);
        }
        return;
      case 3:
        if (!stops_.empty()) stops_[random_.below(stops_.size())].request_stop();
        return;
      default: return connect(i);
    }
  }

  void act_on(Socket& socket) {
    // What ends a connection comes less often, so that there is something to end.
    const std::uint64_t what = random_.below(40);
    switch (what < 6 && !random_.once_in(4) ? 30 + what : what) {
      case 0: return destroy(socket, {});
      case 1: return destroy(socket, errno_code(EPROTO));
      case 2: return end(socket);
      case 3: return socket.destroy_soon();
      case 4: std::ignore = socket.reset_and_destroy(); return;
      case 5: return detach(socket);
      case 6: return socket.pause();
      case 7:
      case 8: return socket.resume();
      case 9: return socket.cork();
      case 10:
      case 11: return socket.uncork();
      case 12: return socket.set_encoding(static_cast<Encoding>(random_.below(4)));
      case 13: return set_timeout(socket);
      case 14: return unpipe_some(socket);
      case 15: return send_descriptor(socket);
      case 16: std::ignore = socket.receive_descriptors(); return;
      case 17: return random_.once_in(2) ? socket.ref() : socket.unref();
      case 18: return socket.set_allow_half_open(random_.once_in(2));
      case 19:
        ids_.push_back(socket.on_data([this](Socket& s, Buffer) { seen(s, "more data"); }));
        return;
      case 20:
        if (!ids_.empty()) socket.off(ids_[random_.below(ids_.size())]);
        return;
      case 21:
      case 22:
      case 23: return pipe_some(socket);
      default: return write(socket);
    }
  }

  void set_timeout(Socket& socket) {
    const LifeRef life = life_of(socket, "set_timeout()");
    auto called = std::make_shared<bool>(false);
    const auto timeout = Duration(1ms) * random_.below(3);
    std::ignore = socket.set_timeout(timeout, [this, life, called](Socket& s) {
      EXPECT_FALSE(std::exchange(*called, true)) << life->name << ": a timeout's callback twice";
      act(&s);
    });
  }

  void pipe_some(Socket& socket) {
    Socket* other = any_socket();
    if (other != nullptr) net::pipe(socket, *other, {.end = random_.once_in(2)});
  }

  void unpipe_some(Socket& socket) {
    Socket* other = any_socket();
    if (other != nullptr) net::unpipe(socket, *other);
  }

  Reactor& reactor_;
  Random& random_;
  const std::string path_;
  const bool simulated_;
  BlockList block_list_;
  int left_ = kActionsMax;
  int paths_ = 0;
  bool in_call_ = false;
  unsigned last_closer_ = 0;
  std::vector<LifeRef> all_;
  std::map<Socket*, LifeRef> lives_;
  std::map<unsigned, Server*> closers_;  // callbacks of Server::close() that are to come
  std::vector<ListenerId> ids_;
  std::vector<ResolveReply> replies_;
  std::deque<std::stop_source> stops_;
  std::vector<int> fds_;  // connected streams that belong to nobody
  std::vector<Socket*> accepted_[kServers];
  std::unique_ptr<Server> servers_[kServers];
  std::unique_ptr<Socket> sockets_[kSockets];
};

class MayhemTest : public PairTest {
 protected:
  std::size_t open_fds() {
    if (simulated()) return static_cast<SimBackend&>(reactor().backend()).open_fds();
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }

  // Threads that look names up may have a file open for a moment.
  void expect_open_fds(std::size_t count) {
    std::size_t open = open_fds();
    for (int i = 0; i < 200 && open > count; ++i) {
      ::poll(nullptr, 0, 5);
      open = open_fds();
    }
    EXPECT_LE(open, count) << "descriptors are left open";
  }

  void play(Random& random) {
    const std::size_t fds = open_fds();
    {
      Mayhem mayhem(reactor(), random, socket_path(), simulated());
      for (int i = 0; i < 200; ++i) mayhem.step();
      mayhem.end_all();
      EXPECT_TRUE(run_until([&] { return mayhem.quiet(); })) << "something does not end";
      EXPECT_TRUE(run_returns()) << "something keeps the reactor alive";
      mayhem.check();
      mayhem.delete_all();
      EXPECT_TRUE(run_returns()) << "something keeps the reactor alive";
    }
    expect_open_fds(fds);
  }
};

std::uint64_t seeds() {
  const char* chosen = std::getenv("WEIR_SEEDS");
  return chosen == nullptr ? 25 : std::strtoull(chosen, nullptr, 10);
}

TEST_P(MayhemTest, WhateverHandlersDoCallbacksComeOnceAndNothingIsLeft) {
  for_seeds(seeds(), [&](Random& random) { play(random); });
}

WEIR_ON_ALL_BACKENDS(MayhemTest);

}  // namespace
}  // namespace weir::test
