// A client, the proxy of net/examples and a server, all on one reactor.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "net/examples/proxy.h"
#include "tests/pair.h"

namespace weir::test {

class ProxyTest : public WorldTest {
 protected:
  void SetUp() override {
    WorldTest::SetUp();
    if (IsSkipped()) return;
    server_.emplace(reactor(), ServerOptions{.socket = {.allow_half_open = true}});
    server_->on_connection([this](Socket& socket) {
      socket_ = &socket;
      record(socket, theirs_);
      socket.on_close([this](Socket&, std::error_code) { socket_ = nullptr; });
    });
    const auto bound = server_->listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value());
    proxy_.emplace(reactor(), net::ConnectOptions{.host = "127.0.0.1", .port = bound->port()});
    const auto front = proxy_->listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(front.has_value());
    client_.emplace(reactor(), SocketOptions{.allow_half_open = true});
    record(*client_, mine_);
    to_ = {.host = "127.0.0.1", .port = front->port()};
  }
  void TearDown() override {
    client_.reset();
    proxy_.reset();
    server_.reset();
    WorldTest::TearDown();
  }
  void join() {
    ASSERT_TRUE(client_->connect(to_).has_value());
    ASSERT_TRUE(run_until([&] { return socket_ != nullptr && mine_.has("ready"); }));
  }
  static void collect(Socket& socket, std::string& into) {
    socket.on_data([&into](Socket&, Buffer bytes) { into += bytes.view(); });
  }
  bool all_closed() {
    return mine_.closes == 1 && theirs_.closes == 1 && proxy_->connections() == 0;
  }

  std::optional<Server> server_;
  std::optional<example::Proxy> proxy_;
  std::optional<Socket> client_;
  Socket* socket_ = nullptr;
  net::ConnectOptions to_;
  Record mine_;
  Record theirs_;
};

}  // namespace weir::test
