// An agent, a record of what its requests told, and servers of exact bytes that know which request
// came on which connection.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/rules.h"
#include "tests/world.h"
#include "weir/http/agent.h"
#include "weir/net/server.h"

namespace weir::test {

using http::AgentOptions;
using http::AgentStats;
using http::ClientRequest;
using http::ClientResponse;
using http::RequestOptions;
using net::Socket;

// An answer whose connection stays.
inline std::string reply(std::string_view body, std::string_view fields = {},
                         std::string_view status = "200 OK") {
  return "HTTP/1.1 " + std::string(status) + "\r\n" + std::string(fields) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

// The second word of a request.
inline std::string target_of(std::string_view request) {
  const std::size_t begin = request.find(' ') + 1;
  return std::string(request.substr(begin, request.find(' ', begin) - begin));
}

// A server that splits what it gets into requests, and sends what it is told to. It must outlive
// the sockets' events: destroy it before the reactor.
class Peer {
 public:
  // A connection. There as long as the peer, also when it is closed.
  struct Line {
    std::size_t index = 0;
    Socket* socket = nullptr;  // null when it is closed
    Address remote = {};
    std::string received = {};
    std::size_t parsed = 0;
    std::vector<std::string> requests = {};  // the complete ones
    std::error_code error = {};
    bool ended = false;  // the client's FIN

    bool is_open() const { return socket != nullptr; }
    void send(std::string_view bytes) {
      if (socket != nullptr) socket->write(bytes);
    }
    void end() {
      if (socket != nullptr) socket->end();
    }
    void destroy() {
      if (socket != nullptr) socket->destroy();
    }
    void reset() {
      if (socket == nullptr) return;
      EXPECT_TRUE(socket->reset_and_destroy().has_value());
    }
  };
  using Handler = std::function<void(Line&, std::string_view request)>;

  explicit Peer(Reactor& reactor, const net::ListenAt& at = {.port = 0, .host = "127.0.0.1"},
                bool holds_run = true)
      : server_(reactor, {.socket = {.no_delay = true}}), holds_run_(holds_run), path_(at.path),
        abstract_(at.abstract) {
    server_.on_connection([this](Socket& socket) { accept(socket); });
    server_.on_data([this](Socket& socket, Buffer bytes) { take(line_of(socket), bytes.view()); });
    server_.on_end([](Socket& socket) { line_of(socket).ended = true; });
    server_.on_error(
        [](Socket& socket, const Error& error) { line_of(socket).error = error.code; });
    server_.on_close([this](Socket& socket, std::error_code) {
      line_of(socket).socket = nullptr;
      --open_;
    });
    const auto bound = server_.listen(at);
    EXPECT_TRUE(bound.has_value()) << (bound ? "" : bound.error().message());
    if (bound) port_ = bound->port();
    if (!holds_run) server_.unref();
  }

  // Every complete request goes there.
  void on_request(Handler handler) { handler_ = std::move(handler); }
  // Each gets its target, at once.
  void answer_all(std::string_view fields = {}) {
    on_request([fields = std::string(fields)](Line& line, std::string_view request) {
      line.send(reply(target_of(request), fields));
    });
  }

  int port() const { return port_; }
  // Of these and to this peer; the views are the peer's and the caller's.
  RequestOptions at(std::string_view target = "/") const {
    RequestOptions options;
    options.host = "127.0.0.1";
    options.port = port_;
    options.target = target;
    options.socket_path = path_;
    options.abstract = abstract_;
    return options;
  }
  Line& line(std::size_t index) { return lines_.at(index); }
  std::deque<Line>& lines() { return lines_; }
  std::size_t accepted() const { return lines_.size(); }
  std::size_t open() const { return open_; }
  std::size_t open_max() const { return open_max_; }
  std::size_t requests() const { return log_.size(); }
  // Connection and target of each request, in the order in which they came: "0:/a 0:/b 1:/c".
  std::string log() const {
    std::string all;
    for (const auto& [line, target] : log_) {
      all += (all.empty() ? "" : " ") + std::to_string(line) + ':' + target;
    }
    return all;
  }
  // The line on which this target came first; null when it has not.
  Line* line_with(std::string_view target) {
    const auto found = std::ranges::find_if(
        log_, [target](const auto& entry) { return entry.second == target; });
    return found == log_.end() ? nullptr : &lines_[found->first];
  }
  // Answers the request of this target, which has come, with its target.
  void answer(std::string_view target, std::string_view fields = {}) {
    Line* const line = line_with(target);
    ASSERT_NE(line, nullptr) << target << " has not come";
    line->send(reply(target, fields));
  }

 private:
  static Line& line_of(Socket& socket) { return *static_cast<Line*>(socket.user_data); }

  void accept(Socket& socket) {
    Line& line = lines_.emplace_back();
    line.index = lines_.size() - 1;
    line.socket = &socket;
    line.remote = socket.remote_address();
    socket.user_data = &line;
    if (!holds_run_) socket.unref();
    open_max_ = std::max(open_max_, ++open_);
  }

  void take(Line& line, std::string_view bytes) {
    line.received += bytes;
    while (const std::size_t size = complete(std::string_view(line.received).substr(line.parsed))) {
      const std::string request = line.received.substr(line.parsed, size);
      line.parsed += size;
      line.requests.push_back(request);
      log_.emplace_back(line.index, target_of(request));
      if (handler_) handler_(line, request);
    }
  }

  // Bytes of the first request, if it is complete; else 0.
  static std::size_t complete(std::string_view text) {
    const std::size_t end = text.find("\r\n\r\n");
    if (end == text.npos) return 0;
    const std::string_view head = text.substr(0, end + 2);
    if (head.find("\r\nTransfer-Encoding: chunked\r\n") != head.npos) {
      const std::size_t last = text.find("\r\n0\r\n\r\n", end + 2);
      return last == text.npos ? 0 : last + 7;
    }
    constexpr std::string_view kLength = "\r\nContent-Length: ";
    std::size_t size = end + 4;
    if (const std::size_t at = head.find(kLength); at != head.npos) {
      size += std::stoul(std::string(head.substr(at + kLength.size(), 12)));
    }
    return text.size() < size ? 0 : size;
  }

  net::Server server_;
  const bool holds_run_;
  const std::string path_;
  const bool abstract_;
  int port_ = 0;
  Handler handler_;
  std::deque<Line> lines_;
  std::vector<std::pair<std::size_t, std::string>> log_;
  std::size_t open_ = 0;
  std::size_t open_max_ = 0;
};

// A request, and what it told.
struct Asked {
  http::ClientRequestRef ref;
  std::error_code refused;  // the request could not be made
  std::string events;       // "response end close "; 'socket' and 'finish' are not among them
  int status = 0;
  std::string body;
  Error error;  // of the request, or else of its response
  bool reused = false;
  int sockets = 0;
  int responses = 0;
  int finishes = 0;
  int closes = 0;

  bool over() const { return closes != 0; }
  ClientRequest& request() const { return *ref.get(); }
  // "200 /target", or the name of the error, or both; "" while it is under way.
  std::string outcome() const {
    if (!over()) return "";
    std::string all = status == 0 ? "" : std::to_string(status) + " " + body;
    if (error.code) all += (all.empty() ? "" : " ") + std::string(name_of(error.code));
    return all;
  }
};

// An agent, and the requests that were made with it.
class Asker {
 public:
  using Prepare = std::function<void(ClientRequest&)>;

  explicit Asker(Reactor& reactor, AgentOptions options = {})
      : agent_(std::make_unique<http::Agent>(reactor, std::move(options))) {}

  http::Agent& agent() { return *agent_; }
  void destroy_agent() { agent_.reset(); }

  // `prepare` may set headers and write; end() follows unless `ends` is false.
  Asked& ask(const RequestOptions& options, const Prepare& prepare = {}, bool ends = true) {
    Asked& asked = all_.emplace_back();
    const auto made = agent_->request(options);
    if (!made) {
      asked.refused = made.error().code;
      return asked;
    }
    watch(**made, asked);
    if (prepare) prepare(**made);
    if (ends) (*made)->end();
    return asked;
  }

  std::deque<Asked>& all() { return all_; }
  bool all_over() const {
    return std::ranges::all_of(
        all_, [](const Asked& asked) { return asked.over() || asked.refused; });
  }

 private:
  static void watch(ClientRequest& request, Asked& asked) {
    asked.ref = request.weak();
    request.on_socket([&asked](ClientRequest& its, Socket&) {
      ++asked.sockets;
      asked.reused = its.reused_socket();
    });
    request.on_finish([&asked](ClientRequest&) { ++asked.finishes; });
    request.on_timeout([&asked](ClientRequest&) { asked.events += "timeout "; });
    request.on_error([&asked](ClientRequest&, const Error& error) {
      asked.events += "error ";
      asked.error = error;
    });
    request.on_close([&asked](ClientRequest&) {
      asked.events += "close ";
      ++asked.closes;
    });
    request.on_response([&asked](ClientResponse& response) { watch(response, asked); });
  }

  static void watch(ClientResponse& response, Asked& asked) {
    asked.events += "response ";
    asked.status = response.status();
    ++asked.responses;
    response.on_data([&asked](ClientResponse&, Buffer bytes) { asked.body += bytes.view(); });
    response.on_end([&asked](ClientResponse&) { asked.events += "end "; });
    response.on_aborted([&asked](ClientResponse&) { asked.events += "aborted "; });
    response.on_error([&asked](ClientResponse&, const Error& error) { asked.error = error; });
  }

  std::unique_ptr<http::Agent> agent_;
  std::deque<Asked> all_;
};

class AgentTest : public WorldTest {
 protected:
  void TearDown() override {
    EXPECT_TRUE(unhandled_.empty()) << unhandled_[0].message();
    asker_.reset();
    peers_.clear();
    WorldTest::TearDown();
  }

  // The agent of the test, in the place of the one that is there.
  http::Agent& use(AgentOptions options = {}) {
    asker_ = std::make_unique<Asker>(reactor(), std::move(options));
    return asker_->agent();
  }
  Asker& asker() {
    if (asker_ == nullptr) use();
    return *asker_;
  }
  http::Agent& agent() { return asker().agent(); }
  AgentStats stats() { return agent().stats(); }
  // "sockets idle waiting"
  std::string now() {
    const AgentStats stats = agent().stats();
    return std::to_string(stats.sockets) + " " + std::to_string(stats.idle) + " " +
           std::to_string(stats.waiting);
  }

  Peer& serve(bool over_unix = false, bool holds_run = true) {
    net::ListenAt at{.port = 0, .host = "127.0.0.1"};
    if (over_unix) at.path = socket_path();
    return *peers_.emplace_back(std::make_unique<Peer>(reactor(), at, holds_run));
  }
  Peer& peer(std::size_t index = 0) { return *peers_.at(index); }
  // One that answers each request with its target.
  Peer& serve_all(std::string_view fields = {}) {
    Peer& made = serve();
    made.answer_all(fields);
    return made;
  }

  Asked& ask(const RequestOptions& options, const Asker::Prepare& prepare = {}, bool ends = true) {
    return asker().ask(options, prepare, ends);
  }
  // Of the first peer.
  Asked& get(std::string_view target) { return ask(peer().at(target)); }
  Asked& send(std::string_view method, std::string_view target, std::string body = {}) {
    RequestOptions options = peer().at(target);
    options.method = method;
    return ask(options, [&](ClientRequest& request) {
      if (!body.empty()) request.end(body);
    });
  }
  [[nodiscard]] bool run_until_over(const Asked& asked) {
    return run_until([&] { return asked.over(); });
  }
  [[nodiscard]] bool run_until_all_over() {
    return run_until([&] { return asker().all_over(); });
  }
  [[nodiscard]] bool run_until_requests(Peer& of, std::size_t count) {
    return run_until([&] { return of.requests() >= count; });
  }
  [[nodiscard]] bool run_until_open(Peer& of, std::size_t count) {
    return run_until([&] { return of.open() == count; });
  }
  [[nodiscard]] bool run_until_stats(std::string_view text) {
    return run_until([&] { return now() == text; });
  }
  // Makes a request and waits for its end. What came of it.
  std::string outcome_of(const RequestOptions& options) {
    Asked& asked = ask(options);
    EXPECT_TRUE(run_until_over(asked));
    return asked.outcome();
  }
  std::string got(std::string_view target) { return outcome_of(peer().at(target)); }

  std::vector<std::unique_ptr<Peer>> peers_;
  std::unique_ptr<Asker> asker_;
};

// Counts milliseconds, of the simulator.
class AgentTimeTest : public AgentTest {
 protected:
  void begin() { begin_ = reactor().now(); }
  void run_to(long milliseconds) {
    run_for(begin_ + std::chrono::milliseconds(milliseconds) - reactor().now());
  }
  // The millisecond at which it becomes true; -1: not within two days.
  long at(const std::function<bool()>& done) {
    const Instant end = reactor().now() + std::chrono::hours(48);
    while (!done() && reactor().now() < end) reactor().run_once(end);
    return done() ? (reactor().now() - begin_) / std::chrono::milliseconds(1) : -1;
  }

  Instant begin_;
};

}  // namespace weir::test
