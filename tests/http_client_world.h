// An agent, servers for it that answer with exact bytes, and a record of what its requests told.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/http_world.h"
#include "weir/http/agent.h"

namespace weir::test {

using http::Agent;
using http::AgentOptions;
using http::ClientRequest;
using http::ClientRequestRef;
using http::ClientResponse;
using http::ReceivedHead;
using http::RequestOptions;

inline constexpr std::string_view kEmptyAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

// What a request and its response have told, in words: "socket finish response data end
// response-close close". Pieces of a body that follow each other are one "data".
struct Asked {
  void note(std::string_view word) {
    if (word == "data" && events.ends_with("data")) return;
    if (!events.empty()) events += ' ';
    events += word;
  }
  bool has(std::string_view word) const {
    return (' ' + events + ' ').find(' ' + std::string(word) + ' ') != std::string::npos;
  }
  bool over() const { return has("close"); }
  // It must be there.
  ClientRequest& request() const {
    ClientRequest* found = ref.get();
    if (found == nullptr) ADD_FAILURE() << "the request is gone: " << events;
    return *found;
  }

  ClientRequestRef ref;
  bool reads = true;  // has a 'data' listener; to be changed before 'response'
  std::string events;
  Error error;           // of the request
  Error response_error;
  int status = 0;
  std::string reason;
  std::string body;
  bool complete = false;  // as of the response's 'close'
  bool reused = false;    // as of 'socket'
};

// Adds the words of all listeners but those of upgrades.
inline void watch_response(ClientResponse& response, Asked& asked) {
  asked.status = response.status();
  asked.reason = response.reason();
  if (asked.reads) {
    response.on_data([&asked](ClientResponse&, Buffer bytes) {
      asked.note("data");
      asked.body += bytes.view();
    });
  }
  response.on_end([&asked](ClientResponse&) { asked.note("end"); });
  response.on_aborted([&asked](ClientResponse&) { asked.note("aborted"); });
  response.on_error([&asked](ClientResponse&, const Error& error) {
    asked.response_error = error;
    asked.note("response-error");
  });
  response.on_close([&asked](ClientResponse& same) {
    asked.complete = same.complete();
    asked.note("response-close");
  });
}

inline void watch(ClientRequest& request, Asked& asked) {
  asked.ref = request.weak();
  request.on_socket([&asked](ClientRequest& same, Socket&) {
    asked.note("socket");
    asked.reused = same.reused_socket();
  });
  request.on_finish([&asked](ClientRequest&) { asked.note("finish"); });
  request.on_continue([&asked](ClientRequest&) { asked.note("continue"); });
  request.on_information([&asked](ClientRequest&, const ReceivedHead& head) {
    asked.note(std::to_string(head.status));
  });
  request.on_response([&asked](ClientResponse& response) {
    asked.note("response");
    watch_response(response, asked);
  });
  request.on_timeout([&asked](ClientRequest&) { asked.note("timeout"); });
  request.on_error([&asked](ClientRequest&, const Error& error) {
    asked.error = error;
    asked.note("error");
  });
  request.on_close([&asked](ClientRequest&) { asked.note("close"); });
}

inline constexpr std::string_view kWhole = "socket finish response end response-close close";
inline constexpr std::string_view kWholeWithBody =
    "socket finish response data end response-close close";

// The other end of a connection of the agent.
struct Peer {
  Socket* socket = nullptr;  // null once it is closed
  std::string received;
  bool ended = false;   // the client's FIN
  bool closed = false;
  std::error_code error;
};

// What a scripted server does behind an answer.
enum class Then : std::uint8_t { keep, end, reset };

class ClientTest : public HttpTest {
 protected:
  void TearDown() override {
    agent_.reset();
    raw_.reset();
    HttpTest::TearDown();
    EXPECT_TRUE(unhandled_.empty()) << unhandled_[0].message();
  }

  // ---- Servers ----

  // A server that says nothing of its own. Its ends are in peers_.
  void listen(bool over_unix = false, net::ServerOptions options = {}) {
    options.socket.allow_half_open = true;
    options.socket.no_delay = true;
    raw_ = std::make_unique<net::Server>(reactor(), options);
    raw_->on_connection([this](Socket& socket) { welcome(socket); });
    net::ListenAt at{.port = 0, .host = "127.0.0.1"};
    if (over_unix) at.path = socket_path();
    const auto bound = raw_->listen(at);
    ASSERT_TRUE(bound.has_value()) << bound.error().message();
    to_ = {.host = "127.0.0.1", .port = bound->port(), .path = at.path};
  }

  // One that has such an answer for each request without a body, on any of its connections.
  void listen_and_say(std::string answer, Then then = Then::keep) {
    answer_ = std::move(answer);
    then_ = then;
    answers_ = true;
    listen();
  }

  // It answers no more.
  void answers_off() { answers_ = false; }

  Peer& peer(std::size_t index = 0) { return peers_.at(index); }
  void say(std::string_view bytes, std::size_t index = 0) { peer(index).socket->write(bytes); }
  void say_and(std::string_view bytes, Then then, std::size_t index = 0) {
    Socket& socket = *peer(index).socket;
    switch (then) {
      case Then::keep:
        socket.write(bytes);
        break;
      case Then::end:
        socket.end(bytes);
        break;
      case Then::reset:
        socket.write(bytes, [](Socket& same, std::error_code) { same.reset_and_destroy(); });
        break;
    }
  }

  // ---- Requests ----

  Agent& agent() {
    if (agent_ == nullptr) agent_ = std::make_unique<Agent>(reactor(), agent_options_);
    return *agent_;
  }

  // The options with the server's place.
  RequestOptions here(RequestOptions options = {}) const {
    options.socket_path = to_.path;
    if (!to_.path.empty()) return options;
    options.host = to_.host;
    options.port = to_.port;
    return options;
  }
  // A request that is still to be ended, at the server.
  Asked& begin(const RequestOptions& options = {}) { return begin_there(here(options)); }
  Asked& begin_there(const RequestOptions& options) {
    Asked& asked = asked_.emplace_back();
    const auto request = agent().request(options);
    if (request) {
      watch(**request, asked);
    } else {
      ADD_FAILURE() << request.error().message();
    }
    return asked;
  }
  Asked& ask(const RequestOptions& options = {}) {
    Asked& asked = begin(options);
    asked.request().end();
    return asked;
  }
  Asked& ask_with_body(const RequestOptions& options, std::string_view body) {
    Asked& asked = begin(options);
    asked.request().end(body);
    return asked;
  }

  // What request() answers to options, and then nothing is sent.
  std::string refusal_of(const RequestOptions& options) {
    const auto request = agent().request(options);
    if (!request) return std::string(name_of(request.error().code));
    (*request)->on_error([](ClientRequest&, const Error&) {});
    (*request)->destroy();
    return "";
  }

  // The head that a server gets from an agent that keeps connections: the user's fields and those
  // of framing are whole lines.
  std::string head(std::string_view line, std::string_view fields = {},
                   std::string_view framing = {}) const {
    return std::string(line) + " HTTP/1.1\r\n" + std::string(fields) + "Host: 127.0.0.1:" +
           std::to_string(to_.port) + "\r\nConnection: keep-alive\r\n" + std::string(framing) +
           "\r\n";
  }

  // ---- Waiting ----

  // Until `close` is told.
  bool run_until_over(const Asked& asked) {
    return run_until([&] { return asked.over(); });
  }
  bool run_until_told(const Asked& asked, std::string_view word) {
    return run_until([&] { return asked.has(word); });
  }
  // A connection has received so much.
  bool run_until_got(std::string_view text, std::size_t index = 0) {
    return run_until([&] {
      return peers_.size() > index && peers_[index].received.size() >= text.size();
    });
  }
  bool run_until_head(std::size_t index = 0) {
    return run_until([&] {
      return peers_.size() > index &&
             peers_[index].received.find("\r\n\r\n") != std::string::npos;
    });
  }
  // Until the client's side of a connection is over.
  bool run_until_left(std::size_t index = 0) {
    return run_until([&] {
      return peers_.size() > index && (peers_[index].ended || peers_[index].closed);
    });
  }
  // Everything that can happen without time passing has happened: another connection of the test's
  // own went to and fro behind it.
  void settle() {
    net::Server echo(reactor());
    echo.on_data([](Socket& socket, Buffer bytes) { socket.write(bytes.view()); });
    const auto bound = echo.listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value());
    std::size_t rounds = 0;
    Socket client(reactor());
    client.on_data([&](Socket& socket, Buffer) {
      if (++rounds < kRounds) socket.write("x");
    });
    ASSERT_TRUE(client.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
    client.write("x");
    EXPECT_TRUE(run_until([&] { return rounds == kRounds; }));
  }

  AgentOptions agent_options_;  // to be set before agent()
  std::unique_ptr<Agent> agent_;
  std::unique_ptr<net::Server> raw_;
  std::deque<Peer> peers_;
  std::deque<Asked> asked_;

 private:
  static constexpr std::size_t kRounds = 4;

  void welcome(Socket& socket) {
    Peer& peer = peers_.emplace_back();
    const std::size_t index = peers_.size() - 1;
    peer.socket = &socket;
    socket.on_data([this, index](Socket&, Buffer bytes) { take(index, bytes.view()); });
    socket.on_end([&peer](Socket&) { peer.ended = true; });
    socket.on_error([&peer](Socket&, const Error& error) { peer.error = error.code; });
    socket.on_close([&peer](Socket&, std::error_code) {
      peer.closed = true;
      peer.socket = nullptr;
    });
  }

  void take(std::size_t index, std::string_view bytes) {
    Peer& to = peer(index);
    const std::size_t before = count_of(to.received, "\r\n\r\n");
    to.received += bytes;
    if (!answers_) return;
    for (std::size_t n = count_of(to.received, "\r\n\r\n") - before; n > 0; --n) {
      say_and(answer_, then_, index);
    }
  }

  std::string answer_;
  Then then_ = Then::keep;
  bool answers_ = false;
};

}  // namespace weir::test
