// Servers: how they are made, and how they come to listen.
#include <gtest/gtest.h>

#include <optional>
#include <stop_token>
#include <type_traits>

#include "tests/pair.h"
#include "tests/rules.h"
#include "weir/net/block_list.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* kHere = "127.0.0.1";

class ListenTest : public PairTest {
 protected:
  // A server that notes its own events in `order_`.
  std::unique_ptr<Server> make_server(ServerOptions options = {}) {
    auto server = std::make_unique<Server>(reactor(), options);
    server->on_listening([this](Server&) { order_ += "listening "; });
    server->on_server_close([this](Server&) { order_ += "close "; });
    server->on_server_error([this](Server&, const Error& error) {
      order_ += "error:" + std::string(name_of(error.code)) + " ";
      error_ = error;
    });
    return server;
  }

  // "connect", or the error that came in its place.
  std::string outcome(const net::ConnectOptions& to) {
    Socket socket(reactor());
    Record seen;
    record(socket, seen);
    if (!socket.connect(to)) return "refused";
    EXPECT_TRUE(run_until([&] { return seen.has("ready") || seen.closes != 0; }));
    return seen.has("ready") ? "connect" : seen.error();
  }
  std::string outcome(int port) { return outcome({.host = kHere, .port = port}); }

  static std::string refusal(const Expected<Address>& result) {
    return result ? "" : std::string(name_of(result.error().code));
  }
  bool run_until_ordered(std::string_view event) {
    return run_until([&] { return order_.find(event) != std::string::npos; });
  }
  // Whatever is due has happened.
  void settle() { run_for(2ms); }

  std::string order_;
  Error error_;
};

// ---- 3.1 Construction ----

static_assert(!std::is_constructible_v<Server, Reactor&, const char*>);
static_assert(!std::is_constructible_v<Server, Reactor&, int>);

TEST_P(ListenTest, EverythingIsOffByDefault) {
  RULES("3.1.1.1 3.1.1.3");
  NODE_TEST("server-options");
  const ServerOptions options;
  EXPECT_FALSE(options.socket.allow_half_open);
  EXPECT_FALSE(options.pause_on_connect);
  EXPECT_FALSE(options.socket.no_delay);
  EXPECT_FALSE(options.socket.keep_alive);
  EXPECT_EQ(options.socket.keep_alive_delay, 0s);
  EXPECT_EQ(options.block_list, nullptr);
  join();
  EXPECT_FALSE(peer().is_paused());
  client().end("read at once, and ended as a whole");
  expect_all_gone();
  EXPECT_EQ(peer_record_.order(), "data end finish close");
}

TEST_P(ListenTest, AcceptedSocketsHaveTheServersOptions) {
  RULES("3.1.1.2");
  join({.server = {.socket = {.queue = {.high_water = 1000}, .allow_half_open = true}}});
  EXPECT_EQ(peer().write(std::string(999, 'x')), Write::ok);
  EXPECT_EQ(peer().write("x"), Write::full);
  client().end();
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  settle();
  EXPECT_EQ(peer().ready_state(), net::ReadyState::write_only);
}

TEST_P(ListenTest, TheHighWaterMarkIsTheSameAsASocketsByDefault) {
  RULES("3.1.1.2");
  join();
  const std::size_t mark = net::QueueLimits{}.high_water;
  for (Socket* socket : {&client(), &peer()}) {
    EXPECT_EQ(socket->write(std::string(mark - 1, 'x')), Write::ok);
    EXPECT_EQ(socket->write("x"), Write::full);
  }
}

TEST_P(ListenTest, ABlockedAddressIsNoConnection) {
  RULES("3.1.1.4 3.1.2.1");
  net::BlockList blocked;
  ASSERT_TRUE(blocked.add_address("127.0.0.2").has_value());
  listen({.server = {.block_list = &blocked}});
  Address from;
  server_->on_connection([&](Socket& socket) { from = socket.remote_address(); });
  to_.local_address = "127.0.0.2";
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.closes == 1; }));
  EXPECT_EQ(from, Address());
  EXPECT_EQ(server_->connections(), 0U);
  to_.local_address = "127.0.0.1";
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.count("ready") != 0; }));
  EXPECT_EQ(from.ip().ip(), "127.0.0.1");
}

TEST_P(ListenTest, PausedOnConnectNothingIsReadBeforeResume) {
  RULES("3.1.2.2");
  join({.server = {.pause_on_connect = true}});
  EXPECT_TRUE(peer().is_paused());
  client().write("early");
  ASSERT_TRUE(run_until([&] { return input_arrived(peer()); }));
  peer().write("round trip");
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "round trip"; }));
  settle();
  EXPECT_EQ(peer().bytes_read(), 0U);
  EXPECT_EQ(peer_record_.bytes, "");
  peer().resume();
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "early"; }));
  EXPECT_EQ(peer().bytes_read(), 5U);
}

TEST_P(ListenTest, APausedConnectionIsHandedOverWithoutLosingAByte) {
  RULES("3.1.2.3");
  join({.server = {.pause_on_connect = true}});
  const std::string bytes = pattern(300'000, 31);
  client().write(std::string_view(bytes).substr(0, 100'000));
  ASSERT_TRUE(run_until([&] { return input_arrived(peer()); }));
  std::optional<net::Detached> got;
  ASSERT_TRUE(peer().detach([&](Socket&, Expected<net::Detached> detached) {
    ASSERT_TRUE(detached.has_value()) << detached.error().message();
    got.emplace(std::move(*detached));
  }));
  ASSERT_TRUE(run_until([&] { return got.has_value() && server_->connections() == 0; }));
  EXPECT_EQ(peer_record_.bytes, "") << "the old owner has read nothing";
  Record seen;
  for (const Buffer& unread : got->unread) seen.bytes += unread.view();
  Socket heir(reactor());
  record(heir, seen);
  record_data(heir, seen);
  ASSERT_TRUE(heir.adopt(got->fd).has_value());
  client().end(std::string_view(bytes).substr(100'000));
  ASSERT_TRUE(run_until([&] { return seen.closes == 1 && client_record_.closes == 1; }));
  EXPECT_TRUE(seen.bytes == bytes) << seen.bytes.size();
  EXPECT_FALSE(client_record_.closed_with);
}

// ---- 3.2 Forms ----

TEST_P(ListenTest, APortAHostAndABacklog) {
  RULES("3.2.0.1 3.2.10.1");
  NODE_TEST("server-bind server-address");
  auto first = make_server();
  const auto port = first->listen({.port = 0, .host = kHere})->port();
  first.reset();
  settle();
  auto server = make_server();
  const auto bound = server->listen({.port = port, .host = kHere, .backlog = 5});
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  EXPECT_EQ(server->address(), *Address::parse_ip(kHere, port));
  EXPECT_EQ(outcome(port), "connect");
}

TEST_P(ListenTest, APathAndABacklog) {
  RULES("3.2.0.2 3.2.10.2");
  NODE_TEST("server-listen-options");
  auto server = make_server();
  const std::string path = socket_path();
  ASSERT_TRUE(server->listen({.path = path, .backlog = 5}).has_value());
  EXPECT_TRUE(server->address().is_unix());
  EXPECT_EQ(server->address().path(), path);
  EXPECT_EQ(outcome({.path = path}), "connect");
}

TEST_P(ListenTest, AnAbstractNameBeginsWithNul) {
  RULES("3.2.10.2");
  const std::string name = "weir-test" + socket_path();
  for (const bool flag : {true, false}) {
    auto server = make_server();
    net::ListenAt at{.path = flag ? name : '\0' + name, .abstract = flag};
    ASSERT_TRUE(server->listen(at).has_value());
    EXPECT_EQ(server->address().path(), '\0' + name);
    EXPECT_EQ(outcome({.path = name, .abstract = true}), "connect");
    server.reset();
    settle();
  }
}

TEST_P(ListenTest, AllOfItInOneListenAt) {
  RULES("3.2.0.3");
  NODE_TEST("server-listen-options");
  auto server = make_server();
  std::stop_source stop;
  const std::string path = socket_path();
  const net::ListenAt at{.port = 0,
                         .host = kHere,
                         .path = path,
                         .backlog = 7,
                         .ipv6_only = false,
                         .readable_all = true,
                         .writable_all = true,
                         .stop = stop.get_token()};
  ASSERT_TRUE(server->listen(at).has_value());
  EXPECT_EQ(server->address().path(), path) << "the path wins";
  EXPECT_EQ(outcome({.path = path}), "connect");
  stop.request_stop();
  ASSERT_TRUE(run_until_ordered("close"));
}

TEST_P(ListenTest, WithoutAPlaceItIsAMistake) {
  RULES("3.2.0.3 3.2.6.10");
  NODE_TEST("server-listen-options");
  auto server = make_server();
  const std::vector<std::pair<net::ListenAt, std::string>> table = {
      {{}, "ERR_INVALID_ARG_VALUE"},
      {{.host = kHere}, "ERR_INVALID_ARG_VALUE"},
      {{.backlog = 5, .ipv6_only = true}, "ERR_INVALID_ARG_VALUE"},
      {{.port = 65536}, "ERR_SOCKET_BAD_PORT"},
      {{.port = -2, .host = kHere}, "ERR_SOCKET_BAD_PORT"},
  };
  for (const auto& [at, expected] : table) EXPECT_EQ(refusal(server->listen(at)), expected);
  settle();
  EXPECT_EQ(order_, "");
  EXPECT_FALSE(server->listening());
  EXPECT_TRUE(server->listen({.port = 0, .host = kHere}).has_value());
}

TEST_P(ListenTest, WithoutArgumentsTheKernelChoosesThePort) {
  RULES("3.2.0.5 3.2.8.1");
  auto server = make_server();
  int told = 0;
  server->on_listening([&](Server& self) { told = self.address().port(); });
  const auto bound = server->listen();
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  ASSERT_TRUE(run_until_ordered("listening"));
  EXPECT_NE(told, 0);
  EXPECT_EQ(told, bound->port());
  EXPECT_EQ(outcome(told), "connect");
  auto other = make_server();
  ASSERT_TRUE(other->listen().has_value());
  EXPECT_EQ(outcome(other->address().port()), "connect");
}

TEST_P(ListenTest, TwoServersAtPortZeroHaveDifferentPorts) {
  RULES("3.2.8.1");
  NODE_TEST("listen-exclusive-random-ports");
  auto first = make_server();
  auto second = make_server();
  ASSERT_TRUE(first->listen({.port = 0, .host = kHere}).has_value());
  ASSERT_TRUE(second->listen({.port = 0, .host = kHere}).has_value());
  EXPECT_NE(first->address().port(), second->address().port());
}

TEST_P(ListenTest, StopClosesTheServer) {
  RULES("3.2.0.6");
  NODE_TEST("server-listen-options-signal");
  auto server = make_server();
  std::stop_source stop;
  const net::ListenAt at{.port = 0, .host = kHere, .stop = stop.get_token()};
  ASSERT_TRUE(server->listen(at).has_value());
  ASSERT_TRUE(run_until_ordered("listening"));
  const int port = server->address().port();
  EXPECT_EQ(outcome(port), "connect");
  stop.request_stop();
  ASSERT_TRUE(run_until_ordered("close"));
  EXPECT_EQ(order_, "listening close ");
  EXPECT_FALSE(server->listening());
  EXPECT_EQ(outcome(port), "ECONNREFUSED");
}

TEST_P(ListenTest, AStopThatWasAskedForBeforeClosesTheServerToo) {
  RULES("3.2.0.6 3.2.5.4");
  NODE_TEST("server-listen-options-signal");
  auto server = make_server();
  std::stop_source stop;
  stop.request_stop();
  static_cast<void>(server->listen({.port = 0, .host = kHere, .stop = stop.get_token()}));
  ASSERT_TRUE(run_until_ordered("close"));
  settle();
  EXPECT_EQ(order_, "close ");
  EXPECT_FALSE(server->listening());
}

TEST_P(ListenTest, AStopTokenOfTheLastListenIsForgotten) {
  RULES("3.2.0.6");
  auto server = make_server();
  std::stop_source stop;
  const net::ListenAt at{.port = 0, .host = kHere, .stop = stop.get_token()};
  ASSERT_TRUE(server->listen(at).has_value());
  ASSERT_TRUE(server->close().has_value());
  ASSERT_TRUE(run_until_ordered("close"));
  ASSERT_TRUE(server->listen({.port = 0, .host = kHere}).has_value());
  stop.request_stop();
  settle();
  EXPECT_TRUE(server->listening());
}

// ---- The callback of listen() ----

TEST_P(ListenTest, TheCallbackRunsOnceNeverInsideListen) {
  RULES("3.2.2.1 3.2.5.1 3.2.5.2");
  NODE_TEST("listening");
  auto server = make_server();
  EXPECT_FALSE(server->listening());
  int calls = 0;
  const auto count = [&](Server& self) {
    EXPECT_TRUE(self.listening());
    ++calls;
  };
  ASSERT_TRUE(server->listen({.port = 0, .host = kHere}, count).has_value());
  EXPECT_TRUE(server->listening());
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(order_, "");
  ASSERT_TRUE(run_until_ordered("listening"));
  EXPECT_EQ(calls, 1);
  ASSERT_TRUE(server->close().has_value());
  EXPECT_FALSE(server->listening());
  ASSERT_TRUE(run_until_ordered("close"));
  ASSERT_TRUE(server->listen({.path = socket_path()}).has_value());
  EXPECT_TRUE(server->listening());
  settle();
  EXPECT_EQ(order_, "listening close listening ");
  EXPECT_EQ(calls, 1);
}

TEST_P(ListenTest, TheCallbackOfAFailedListenIsDropped) {
  RULES("3.2.2.2 3.2.6.1 3.2.6.10 3.2.6.11");
  NODE_TEST("server-try-ports bind-twice");
  listen();
  auto server = make_server();
  std::string calls;
  const net::ListenAt taken{.port = to_.port, .host = kHere};
  EXPECT_EQ(refusal(server->listen(taken, [&](Server&) { calls += 'a'; })), "EADDRINUSE");
  EXPECT_FALSE(server->listening());
  ASSERT_TRUE(server->listen({.port = 0, .host = kHere}, [&](Server&) { calls += 'b'; }));
  EXPECT_NE(server->address().port(), to_.port);
  ASSERT_TRUE(run_until_ordered("listening"));
  settle();
  EXPECT_EQ(calls, "b");
  EXPECT_EQ(order_, "listening ");
}

TEST_P(ListenTest, CloseDropsTheCallbackOfListen) {
  RULES("3.2.2.3 3.2.5.4");
  NODE_TEST("listen-close-server server-listen-remove-callback");
  auto server = make_server();
  std::string calls;
  ASSERT_TRUE(server->listen({.port = 0, .host = kHere}, [&](Server&) { calls += 'a'; }));
  ASSERT_TRUE(server->close().has_value());
  ASSERT_TRUE(run_until_ordered("close"));
  EXPECT_EQ(order_, "close ");
  ASSERT_TRUE(server->listen({.port = 0, .host = kHere}, [&](Server& self) {
    calls += 'b';
    EXPECT_TRUE(self.close().has_value());
  }));
  ASSERT_TRUE(run_until([&] { return order_ == "close listening close "; })) << order_;
  ASSERT_TRUE(server->listen({.port = 0, .host = kHere}));
  ASSERT_TRUE(run_until([&] { return order_ == "close listening close listening "; })) << order_;
  EXPECT_EQ(calls, "b");
}

// ---- Addresses and sharing ----

TEST_P(ListenTest, WithoutAHostEveryAddressIsServed) {
  RULES("3.2.3.1");
  NODE_TEST("server-address");
  auto server = make_server();
  const auto bound = server->listen({.port = 0});
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  EXPECT_EQ(outcome(bound->port()), "connect");
  EXPECT_EQ(outcome({.host = "127.0.0.3", .port = bound->port()}), "connect");
  if (bound->family() == Family::ipv4) GTEST_SKIP() << "no IPv6 here";
  EXPECT_EQ(bound->ip().ip(), "::");
  EXPECT_EQ(outcome({.host = "::1", .port = bound->port()}), "connect");
}

TEST_P(ListenTest, IPv6OnlyRefusesIPv4WithAndWithoutAHost) {
  RULES("3.2.3.3 3.2.3.4");
  NODE_TEST("listen-ipv6only");
  for (const char* host : {"::", ""}) {
    auto server = make_server();
    const auto bound = server->listen({.port = 0, .host = host, .ipv6_only = true});
    if (refusal(bound) == "EAFNOSUPPORT" || refusal(bound) == "EADDRNOTAVAIL") {
      GTEST_SKIP() << "no IPv6 here";
    }
    ASSERT_TRUE(bound.has_value()) << bound.error().message();
    EXPECT_EQ(bound->ip().ip(), "::");
    EXPECT_EQ(outcome({.host = "::1", .port = bound->port()}), "connect");
    EXPECT_EQ(outcome(bound->port()), "ECONNREFUSED") << "host '" << host << "'";
  }
}

TEST_P(ListenTest, TheAddressIsKnownWhileItListens) {
  RULES("3.2.10.1 3.2.10.3");
  NODE_TEST("server-address");
  auto server = make_server();
  EXPECT_EQ(server->address().family(), Family::none);
  ASSERT_TRUE(server->listen({.port = 0, .host = kHere}).has_value());
  EXPECT_EQ(server->address().family(), Family::ipv4);
  EXPECT_EQ(server->address().ip().ip(), kHere);
  EXPECT_NE(server->address().port(), 0);
  ASSERT_TRUE(server->close().has_value());
  EXPECT_EQ(server->address(), Address());
  ASSERT_TRUE(run_until_ordered("close"));
  EXPECT_EQ(server->address().family(), Family::none);
  const auto six = server->listen({.port = 0, .host = "::1"});
  if (!six) return;
  EXPECT_EQ(server->address().family(), Family::ipv6);
  EXPECT_EQ(server->address().ip().ip(), "::1");
}

TEST_P(ListenTest, APortIsFreeRightAfterItsConnectionsHaveEnded) {
  RULES("3.2.4.1");
  NODE_TEST("server-bind");
  join();
  // Who ends first is left in TIME_WAIT.
  peer().end();
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(client_record_.order(), "connect ready end finish close");
  server_.reset();
  settle();
  auto server = make_server();
  const auto bound = server->listen({.port = to_.port, .host = kHere});
  EXPECT_TRUE(bound.has_value()) << bound.error().message();
}

TEST_P(ListenTest, ServersShareAPortOnlyIfAllOfThemWantTo) {
  RULES("3.2.4.2 3.2.6.4");
  NODE_TEST("reuseport");
  auto first = make_server();
  ASSERT_TRUE(first->listen({.port = 0, .host = kHere, .reuse_port = true}).has_value());
  const int port = first->address().port();
  auto second = make_server();
  EXPECT_EQ(refusal(second->listen({.port = port, .host = kHere})), "EADDRINUSE");
  ASSERT_TRUE(second->listen({.port = port, .host = kHere, .reuse_port = true}).has_value());
  EXPECT_EQ(second->address(), first->address());
  int accepted = 0;
  for (Server* server : {first.get(), second.get()}) {
    server->on_connection([&](Socket&) { ++accepted; });
  }
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(outcome(port), "connect");
  }
  ASSERT_TRUE(run_until([&] { return accepted == 8; }));
  auto alone = make_server();
  ASSERT_TRUE(alone->listen({.port = 0, .host = kHere}).has_value());
  auto late = make_server();
  const net::ListenAt there{.port = alone->address().port(), .host = kHere, .reuse_port = true};
  EXPECT_EQ(refusal(late->listen(there)), "EADDRINUSE");
}

// ---- 'listening' and close() ----

TEST_P(ListenTest, CloseBeforeListening) {
  RULES("3.2.5.4");
  NODE_TEST("listen-close-server");
  auto server = make_server();
  ASSERT_TRUE(server->listen({.port = 0, .host = kHere}).has_value());
  std::optional<std::error_code> told;
  ASSERT_TRUE(server->close([&](Server&, std::error_code code) { told = code; }).has_value());
  ASSERT_TRUE(run_until_ordered("close"));
  settle();
  EXPECT_EQ(order_, "close ");
  EXPECT_EQ(told, std::error_code());
}

TEST_P(ListenTest, CloseInsideListening) {
  RULES("3.2.5.2 3.2.10.3");
  NODE_TEST("listen-close-server");
  auto server = make_server();
  ASSERT_TRUE(server->listen({.port = 0, .host = kHere}, [](Server& self) {
    EXPECT_TRUE(self.close().has_value());
    EXPECT_FALSE(self.listening());
  }));
  ASSERT_TRUE(run_until_ordered("close"));
  EXPECT_EQ(order_, "listening close ");
}

TEST_P(ListenTest, ANameIsLookedUpFirst) {
  RULES("3.2.3.5 3.2.5.1 3.2.5.3");
  auto server = make_server();
  const auto listening = server->listen({.port = 0, .host = "localhost"});
  ASSERT_TRUE(listening.has_value());
  EXPECT_EQ(listening->family(), Family::none);
  EXPECT_FALSE(server->listening());
  EXPECT_EQ(server->address().family(), Family::none);
  EXPECT_EQ(order_, "");
  EXPECT_EQ(refusal(server->listen({.port = 0, .host = kHere})), "ERR_SERVER_ALREADY_LISTEN");
  ASSERT_TRUE(run_until_ordered("listening"));
  EXPECT_TRUE(server->listening());
  const Address at = server->address();
  EXPECT_TRUE(at.ip().ip() == "127.0.0.1" || at.ip().ip() == "::1") << at.to_string();
  EXPECT_EQ(outcome({.host = at.ip().ip(), .port = at.port()}), "connect");
}

TEST_P(ListenTest, CloseDuringTheLookup) {
  RULES("3.2.5.5 3.2.5.6");
  NODE_TEST("server-close-before-calling-lookup-callback");
  auto server = make_server();
  int called = 0;
  ASSERT_TRUE(server->listen({.port = 0, .host = "localhost"}, [&](Server&) { ++called; }));
  std::optional<std::error_code> told;
  const auto closed = server->close([&](Server&, std::error_code code) { told = code; });
  ASSERT_FALSE(closed.has_value());
  EXPECT_EQ(closed.error().code, Mistake::not_running);
  ASSERT_TRUE(run_until([&] { return told.has_value(); }));
  EXPECT_EQ(*told, Mistake::not_running);
  // Another lookup of the name takes at least as long.
  auto second = make_server();
  ASSERT_TRUE(second->listen({.port = 0, .host = "localhost"}).has_value());
  ASSERT_TRUE(run_until_ordered("listening"));
  EXPECT_FALSE(server->listening());
  EXPECT_EQ(server->address().family(), Family::none);
  EXPECT_EQ(called, 0);
  EXPECT_EQ(order_.find("error"), std::string::npos);
  second.reset();
  EXPECT_TRUE(run_returns()) << "nothing keeps the program";
}

// ---- Errors ----

TEST_P(ListenTest, APortInUseIsReturnedWithTheCallAndTheAddress) {
  RULES("3.2.6.1 3.2.6.3 3.2.6.4 3.2.6.10");
  NODE_TEST("eaddrinuse bind-twice");
  listen();
  auto second = make_server();
  const auto refused = second->listen({.port = to_.port, .host = kHere});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, errno_code(EADDRINUSE));
  EXPECT_STREQ(refused.error().syscall, "listen");
  EXPECT_EQ(refused.error().address, *Address::parse_ip(kHere, server_->address().port()));
  settle();
  EXPECT_EQ(order_, "");
  EXPECT_TRUE(server_->listening());
  EXPECT_EQ(outcome(to_.port), "connect");
}

TEST_P(ListenTest, APathInUseIsReturned) {
  RULES("3.2.6.1 3.2.6.3 3.2.6.4 3.2.6.10");
  listen({.over_unix = true});
  auto second = make_server();
  const auto refused = second->listen({.path = to_.path});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, errno_code(EADDRINUSE));
  EXPECT_STREQ(refused.error().syscall, "listen");
  EXPECT_EQ(refused.error().address.path(), to_.path);
  settle();
  EXPECT_EQ(order_, "");
  EXPECT_EQ(outcome(to_), "connect");
}

TEST_P(ListenTest, ForANameABindThatFailsIsAnError) {
  RULES("3.2.6.2 3.2.6.3 3.2.6.10 3.2.6.11 3.2.2.2");
  auto first = make_server();
  ASSERT_TRUE(first->listen({.port = 0, .host = "localhost"}).has_value());
  ASSERT_TRUE(run_until_ordered("listening"));
  order_.clear();
  auto second = make_server();
  std::string calls;
  second->on_server_error([&](Server& self, const Error&) {
    EXPECT_FALSE(self.listening());
    EXPECT_TRUE(self.listen({.port = 0, .host = kHere}, [&](Server&) { calls += 'b'; }));
  });
  const net::ListenAt taken{.port = first->address().port(), .host = "localhost"};
  ASSERT_TRUE(second->listen(taken, [&](Server&) { calls += 'a'; }));
  EXPECT_EQ(order_, "");
  ASSERT_TRUE(run_until_ordered("listening"));
  settle();
  EXPECT_EQ(order_, "error:EADDRINUSE listening ");
  EXPECT_STREQ(error_.syscall, "listen");
  EXPECT_EQ(error_.address, first->address());
  EXPECT_EQ(calls, "b");
}

TEST_P(ListenTest, ARefusedSecondListenChangesNothing) {
  RULES("3.2.7.1");
  NODE_TEST("listen-twice server-call-listen-multiple-times");
  listen();
  const Address at = server_->address();
  const auto again = server_->listen({.port = 0, .host = kHere});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Mistake::already_listening);
  EXPECT_EQ(refusal(server_->listen()), "ERR_SERVER_ALREADY_LISTEN");
  EXPECT_TRUE(server_->listening());
  EXPECT_EQ(server_->address(), at);
  EXPECT_EQ(outcome(to_.port), "connect");
  // After close() it may again.
  ASSERT_TRUE(server_->close().has_value());
  ASSERT_TRUE(server_->listen({.port = 0, .host = kHere}).has_value());
  EXPECT_EQ(outcome(server_->address().port()), "connect");
}

TEST_P(ListenTest, AListeningFdIsTakenOver) {
  RULES("3.2.0.4 3.2.9.1 3.2.9.3");
  const std::string path = socket_path();
  for (const Address& at : {*Address::parse_ip(kHere, 0), Address::unix_path(path)}) {
    const auto fd = reactor().backend().listen(at, {});
    ASSERT_TRUE(fd.has_value());
    auto server = make_server();
    const auto bound = server->listen({.port = 0, .host = "127.0.0.9", .fd = *fd});
    ASSERT_TRUE(bound.has_value()) << bound.error().message();
    EXPECT_EQ(server->native_handle(), *fd);
    EXPECT_EQ(server->address().path(), at.path());
    EXPECT_EQ(server->address(), reactor().backend().address(*fd, End::local));
    EXPECT_EQ(outcome({.host = kHere, .port = bound->port(), .path = at.path()}), "connect");
    ASSERT_TRUE(server->close().has_value());
    ASSERT_TRUE(run_until_ordered("close"));
    order_.clear();
  }
}

TEST_P(ListenTest, ANameThatDoesNotExist) {
  RULES("3.2.6.2 3.2.6.9 3.2.6.10 3.2.6.11 3.2.2.2");
  auto server = make_server();
  std::string calls;
  ASSERT_TRUE(
      server->listen({.port = 0, .host = "nowhere.invalid"}, [&](Server&) { calls += 'a'; }));
  EXPECT_EQ(order_, "");
  ASSERT_TRUE(run_until_ordered("error"));
  settle();
  EXPECT_EQ(order_, "error:ENOTFOUND ") << "and no 'close'";
  EXPECT_STREQ(error_.syscall, "getaddrinfo");
  EXPECT_EQ(error_.host, "nowhere.invalid");
  EXPECT_FALSE(server->listening());
  ASSERT_TRUE(server->listen({.port = 0, .host = kHere}, [&](Server&) { calls += 'b'; }));
  ASSERT_TRUE(run_until_ordered("listening"));
  EXPECT_EQ(calls, "b");
}

WEIR_ON_ALL_BACKENDS(ListenTest);

// ---- Names that the test decides about ----

class VirtualListenTest : public ListenTest {
 protected:
  void set_hosts(SimHosts hosts) {
    static_cast<SimBackend&>(reactor().backend()).set_hosts(std::move(hosts));
  }
};

TEST_P(VirtualListenTest, TheFirstAddressOfANameIsBound) {
  RULES("3.2.3.5");
  set_hosts({{"two.test", {"127.0.0.2", "::1", "127.0.0.3"}}});
  auto server = make_server();
  ASSERT_TRUE(server->listen({.port = 8000, .host = "two.test"}).has_value());
  ASSERT_TRUE(run_until_ordered("listening"));
  EXPECT_EQ(server->address(), *Address::parse_ip("127.0.0.2", 8000));
  EXPECT_EQ(outcome({.host = "127.0.0.2", .port = 8000}), "connect");
  EXPECT_EQ(outcome({.host = "127.0.0.3", .port = 8000}), "ECONNREFUSED");
}

WEIR_ON_SIM(VirtualListenTest);

}  // namespace
}  // namespace weir::test
