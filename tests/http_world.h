// An HTTP server, and clients that send what a test says and keep what comes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/rules.h"
#include "tests/world.h"
#include "weir/http/server.h"

namespace weir::test {

using http::ClientError;
using http::Request;
using http::Response;
using net::Socket;
using net::Write;

// The text without its Date lines, whose time is not the test's.
inline std::string without_date(std::string text) {
  for (std::size_t at; (at = text.find("\r\nDate: ")) != std::string::npos;) {
    text.erase(at, text.find("\r\n", at + 2) - at);
  }
  return text;
}

inline std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++count;
  return count;
}

// The other end of a server's connection; half-open, so that its end() ends only what it sends.
class HttpClient {
 public:
  HttpClient(Reactor& reactor, const net::ConnectOptions& to, bool reads = true)
      : socket_(reactor, {.allow_half_open = true, .no_delay = true}) {
    if (reads) read();
    socket_.on_end([this](Socket&) { ended_ = true; });
    socket_.on_error([this](Socket&, const Error& error) { error_ = error.code; });
    socket_.on_close([this](Socket&, std::error_code) { closed_ = true; });
    EXPECT_TRUE(socket_.connect(to).has_value());
  }

  void read() {
    socket_.on_data([this](Socket&, Buffer bytes) { received_ += bytes.view(); });
  }
  void send(std::string_view bytes) { socket_.write(bytes); }
  void end() { socket_.end(); }

  const std::string& received() const { return received_; }
  std::string take() { return std::exchange(received_, {}); }
  // The first bytes of it.
  std::string take(std::size_t size) {
    std::string first = received_.substr(0, size);
    received_.erase(0, size);
    return first;
  }
  bool ended() const { return ended_; }    // the server's FIN
  bool closed() const { return closed_; }  // FIN both ways, or an error
  // The server's side is over, one way or another.
  bool over() const { return ended_ || closed_; }
  const std::error_code& error() const { return error_; }
  Socket& socket() { return socket_; }

 private:
  Socket socket_;
  std::string received_;
  std::error_code error_;
  bool ended_ = false;
  bool closed_ = false;
};

class HttpTest : public WorldTest {
 protected:
  void TearDown() override {
    clients_.clear();
    server_.reset();
    WorldTest::TearDown();
  }

  // A server at a port of its own, or at a Unix socket. Errors of responses go to unhandled_.
  http::Server& serve(http::Server::Handler handler, http::ServerOptions options = {},
                      bool over_unix = false) {
    server_ = std::make_unique<http::Server>(reactor(), options);
    if (handler) server_->on_request(std::move(handler));
    net::ListenAt at{.port = 0, .host = "127.0.0.1"};
    if (over_unix) at.path = socket_path();
    const auto bound = server_->listen(at);
    EXPECT_TRUE(bound.has_value()) << bound.error().message();
    if (bound) to_ = {.host = "127.0.0.1", .port = bound->port(), .path = at.path};
    return *server_;
  }
  http::Server& server() { return *server_; }

  HttpClient& dial(bool reads = true) {
    return *clients_.emplace_back(std::make_unique<HttpClient>(reactor(), to_, reads));
  }

  // What a new connection gets for these bytes, until the server ends it.
  std::string ask(std::string_view bytes) {
    HttpClient& client = dial();
    client.send(bytes);
    EXPECT_TRUE(run_until([&] { return client.over(); })) << "the connection is still open after\n"
                                                          << client.received();
    return client.received();
  }
  // As ask(), without Date lines.
  std::string answer(std::string_view bytes) { return without_date(ask(bytes)); }

  // Runs until `client` has received this text since the last take().
  bool run_until_received(HttpClient& client, std::string_view text) {
    return run_until([&] { return client.received().find(text) != std::string::npos; });
  }

  std::unique_ptr<http::Server> server_;
  net::ConnectOptions to_;
  std::vector<std::unique_ptr<HttpClient>> clients_;
};

}  // namespace weir::test
