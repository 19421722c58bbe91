// Listening, accepting, and the ways a server ends.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/pair.h"
#include "weir/net/balancer.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class ServerTest : public PairTest {
 protected:
  std::string refusal(const net::ListenAt& at) {
    Server server(reactor());
    const auto bound = server.listen(at);
    EXPECT_FALSE(server.listening());
    return bound ? "" : std::string(name_of(bound.error().code));
  }

  // The order of the server's own events and of its sockets' 'close'.
  void note_order() {
    server_->on_listening([this](Server&) { order_ += "listening "; });
    server_->on_connection([this](Socket&) { order_ += "connection "; });
    server_->on_close([this](Socket&, std::error_code) { order_ += "close "; });
    server_->on_server_close([this](Server&) { order_ += "server-close "; });
    server_->on_server_error([this](Server&, const Error& error) {
      order_ += "error:" + std::string(name_of(error.code)) + " ";
    });
  }
  bool ordered(std::string_view event) { return order_.find(event) != std::string::npos; }

  std::string order_;
};

TEST_P(ServerTest, PortZeroGivesARealPortAtOnceAndListeningLater) {
  Server server(reactor());
  int listening = 0;
  server.on_listening([&](Server& self) {
    EXPECT_EQ(&self, &server);
    ++listening;
  });
  EXPECT_FALSE(server.listening());
  EXPECT_EQ(server.address().family(), Family::none);
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  EXPECT_NE(bound->port(), 0);
  EXPECT_TRUE(server.listening());
  EXPECT_EQ(server.address(), *bound);
  EXPECT_EQ(bound->ip().ip(), "127.0.0.1");
  EXPECT_EQ(listening, 0) << "an event inside listen()";
  ASSERT_TRUE(run_until([&] { return listening != 0; }));
  run_for(2ms);
  EXPECT_EQ(listening, 1);
}

TEST_P(ServerTest, AnAddressInUseIsReturnedAndTheRetryWorks) {
  listen();
  note_order();
  Server second(reactor());
  int errors = 0;
  int listening = 0;
  int closes = 0;
  second.on_server_error([&](Server&, const Error&) { ++errors; });
  second.on_listening([&](Server&) { ++listening; });
  second.on_server_close([&](Server&) { ++closes; });
  const net::ListenAt at{.port = to_.port, .host = "127.0.0.1"};
  for (int i = 0; i < 3; ++i) {
    const auto refused = second.listen(at);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, errno_code(EADDRINUSE));
    EXPECT_STREQ(refused.error().syscall, "listen");
    EXPECT_EQ(refused.error().message().substr(0, 17), "listen EADDRINUSE");
    EXPECT_NE(refused.error().message().find(std::to_string(to_.port)), std::string::npos);
    EXPECT_FALSE(second.listening());
    run_for(1ms);
  }
  EXPECT_EQ(errors + listening + closes, 0);
  ASSERT_TRUE(server_->close().has_value());
  ASSERT_TRUE(run_until([&] { return ordered("server-close"); }));
  ASSERT_TRUE(second.listen(at).has_value());
  ASSERT_TRUE(run_until([&] { return listening == 1; }));
  EXPECT_EQ(errors + closes, 0);
}

TEST_P(ServerTest, MistakesInArgumentsAreReturned) {
  EXPECT_EQ(refusal({.port = 65536}), "ERR_SOCKET_BAD_PORT");
  EXPECT_EQ(refusal({.port = -5}), "ERR_SOCKET_BAD_PORT");
  const std::string missing = refusal({});
  EXPECT_TRUE(missing == "ERR_INVALID_ARG_VALUE" || missing == "ERR_MISSING_ARGS") << missing;
  EXPECT_EQ(refusal({.path = "/tmp/" + std::string(120, 'p')}), "EINVAL");
}

TEST_P(ServerTest, AForeignAddressIsNotAvailable) {
  if (simulated()) GTEST_SKIP() << "the simulator has every address";
  EXPECT_EQ(refusal({.port = 0, .host = "192.0.2.7"}), "EADDRNOTAVAIL");
}

TEST_P(ServerTest, AServerListensOnce) {
  listen();
  const auto again = server_->listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Mistake::already_listening);
  EXPECT_TRUE(server_->listening());
  EXPECT_EQ(server_->address().port(), to_.port);
}

TEST_P(ServerTest, AUnixPathIsRemovedByClose) {
  listen({.over_unix = true});
  note_order();
  EXPECT_TRUE(server_->address().is_unix());
  EXPECT_EQ(server_->address().path(), to_.path);
  if (!simulated()) {
    EXPECT_TRUE(std::filesystem::exists(to_.path));
  }
  Server second(reactor());
  const auto refused = second.listen({.path = to_.path});
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message().substr(0, 17), "listen EADDRINUSE");
  if (!simulated()) {
    EXPECT_TRUE(std::filesystem::exists(to_.path)) << "the file of another server";
  }
  ASSERT_TRUE(server_->close().has_value());
  ASSERT_TRUE(run_until([&] { return ordered("server-close"); }));
  if (!simulated()) {
    EXPECT_FALSE(std::filesystem::exists(to_.path));
  }
  EXPECT_TRUE(second.listen({.path = to_.path}).has_value());
}

TEST_P(ServerTest, DeletingAServerRemovesItsPathToo) {
  if (simulated()) GTEST_SKIP() << "needs files";
  listen({.over_unix = true});
  server_.reset();
  ASSERT_TRUE(run_until([&] { return !std::filesystem::exists(to_.path); }));
}

TEST_P(ServerTest, AnExistingFileIsInUseAndStays) {
  if (simulated()) GTEST_SKIP() << "needs files";
  const std::string path = socket_path();
  std::ofstream(path) << "precious";
  EXPECT_EQ(refusal({.path = path}), "EADDRINUSE");
  EXPECT_TRUE(std::filesystem::is_regular_file(path));
  EXPECT_EQ(refusal({.path = path + ".d/s"}), "ENOENT");
}

TEST_P(ServerTest, AnAbstractNameNeedsNoFile) {
  if (simulated()) GTEST_SKIP() << "needs Linux";
  server_ = std::make_unique<Server>(reactor());
  record_data(*server_, peer_record_);
  const std::string name = std::string(1, '\0') + "weir-test" + socket_path();
  ASSERT_TRUE(server_->listen({.path = name}).has_value());
  EXPECT_EQ(server_->address().path(), name);
  Server second(reactor());
  EXPECT_FALSE(second.listen({.path = name}).has_value());
  Socket socket(reactor());
  ASSERT_TRUE(socket.connect({.path = name}).has_value());
  socket.end(Buffer::literal("abstract"));
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "abstract"; }));
}

TEST_P(ServerTest, IPv6LoopbackWorks) {
  Server server(reactor());
  Record seen;
  Address remote;
  server.on_connection([&](Socket& socket) { remote = socket.remote_address(); });
  record_data(server, seen);
  const auto bound = server.listen({.port = 0, .host = "::1"});
  if (!bound && (bound.error().code == errno_code(EADDRNOTAVAIL) ||
                 bound.error().code == errno_code(EAFNOSUPPORT))) {
    GTEST_SKIP() << "no IPv6 here";
  }
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  EXPECT_EQ(bound->ip().ip(), "::1");
  EXPECT_EQ(bound->to_string(), "[::1]:" + std::to_string(bound->port()));
  Socket socket(reactor());
  ASSERT_TRUE(socket.connect({.host = "::1", .port = bound->port()}).has_value());
  socket.end(Buffer::literal("six"));
  ASSERT_TRUE(run_until([&] { return seen.bytes == "six"; }));
  EXPECT_EQ(remote.ip().ip(), "::1");
}

TEST_P(ServerTest, WithoutAHostBothFamiliesAreServed) {
  Server server(reactor());
  Record seen;
  Address remote;
  server.on_connection([&](Socket& socket) { remote = socket.remote_address(); });
  record_data(server, seen);
  const auto bound = server.listen({.port = 0});
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  Socket socket(reactor());
  ASSERT_TRUE(socket.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
  socket.end(Buffer::literal("four"));
  ASSERT_TRUE(run_until([&] { return seen.bytes == "four"; }));
  if (bound->family() == Family::ipv6) {
    EXPECT_EQ(bound->ip().ip(), "::");
    EXPECT_EQ(remote.ip().ip(), "::ffff:127.0.0.1");
  } else {
    EXPECT_EQ(remote.ip().ip(), "127.0.0.1");
  }
}

TEST_P(ServerTest, IPv6OnlyRefusesIPv4) {
  Server server(reactor());
  const auto bound = server.listen({.port = 0, .ipv6_only = true});
  if (!bound) GTEST_SKIP() << "no IPv6 here: " << bound.error().message();
  Socket socket(reactor());
  Record seen;
  record(socket, seen);
  ASSERT_TRUE(socket.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
  ASSERT_TRUE(run_until([&] { return seen.closes != 0 || seen.has("ready"); }));
  EXPECT_EQ(seen.error(), "ECONNREFUSED");
}

TEST_P(ServerTest, CloseBeforeListeningIsEmittedSuppressesIt) {
  server_ = std::make_unique<Server>(reactor());
  note_order();
  ASSERT_TRUE(server_->listen({.port = 0, .host = "127.0.0.1"}).has_value());
  ASSERT_TRUE(server_->close().has_value());
  EXPECT_EQ(order_, "") << "an event inside close()";
  EXPECT_FALSE(server_->listening());
  ASSERT_TRUE(run_until([&] { return ordered("server-close"); }));
  run_for(1ms);
  EXPECT_EQ(order_, "server-close ");
  ASSERT_TRUE(server_->listen({.port = 0, .host = "127.0.0.1"}).has_value());
  ASSERT_TRUE(run_until([&] { return ordered("listening"); }));
}

TEST_P(ServerTest, CloseWithoutListeningIsAnError) {
  Server server(reactor());
  const auto closed = server.close();
  ASSERT_FALSE(closed.has_value());
  EXPECT_EQ(closed.error().code, Mistake::not_running);
  EXPECT_EQ(name_of(closed.error().code), "ERR_SERVER_NOT_RUNNING");
}

TEST_P(ServerTest, CloseWaitsForConnectionsAndComesAfterTheLastSocketsClose) {
  join();
  note_order();
  ASSERT_TRUE(server_->close().has_value());
  EXPECT_FALSE(server_->listening());
  EXPECT_EQ(server_->address().family(), Family::none);
  const auto twice = server_->close();
  ASSERT_FALSE(twice.has_value());
  EXPECT_EQ(twice.error().code, Mistake::not_running);
  run_for(5ms);
  EXPECT_EQ(server_->connections(), 1U);
  client().write("still served");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "still served"; }));
  EXPECT_EQ(order_, "");
  // New ones are refused meanwhile.
  Socket late(reactor());
  Record seen;
  record(late, seen);
  ASSERT_TRUE(late.connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return seen.closes != 0; }));
  EXPECT_EQ(seen.error(), "ECONNREFUSED");
  client().end();
  ASSERT_TRUE(run_until([&] { return ordered("server-close"); }));
  run_for(2ms);
  EXPECT_EQ(order_, "close server-close ");
  EXPECT_EQ(server_->close().error().code, Mistake::not_running);
}

TEST_P(ServerTest, AServerMayListenAgainAfterItsClose) {
  listen();
  for (int round = 0; round < 3; ++round) {
    bool closed = false;
    server_->on_server_close([&](Server&) { closed = true; }, net::Times::once);
    ASSERT_TRUE(client().connect(to_).has_value());
    ASSERT_TRUE(run_until([&] { return peer_ != nullptr; }));
    ASSERT_TRUE(server_->close().has_value());
    client().destroy();
    ASSERT_TRUE(run_until([&] { return closed && client().native_handle() == -1; }));
    const auto bound = server_->listen({.port = to_.port, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value()) << bound.error().message();
  }
}

TEST_P(ServerTest, ListenInsideServerCloseWorks) {
  listen();
  int closes = 0;
  int listening = 0;
  server_->on_server_close([&](Server& self) {
    if (++closes < 3) {
      EXPECT_TRUE(self.listen({.port = to_.port, .host = "127.0.0.1"}).has_value());
    }
  });
  server_->on_listening([&](Server& self) {
    ++listening;
    EXPECT_TRUE(self.close().has_value());
  });
  ASSERT_TRUE(run_until([&] { return closes == 3; }));
  EXPECT_EQ(listening, 3);
}

TEST_P(ServerTest, ConnectionsWaitingForAcceptAreGoneAfterClose) {
  listen();
  std::vector<std::unique_ptr<Socket>> clients;
  int over = 0;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(std::make_unique<Socket>(reactor()));
    clients.back()->on_data([](Socket&, Buffer) {});
    clients.back()->on_error([](Socket&, const Error&) {});
    clients.back()->on_close([&](Socket&, std::error_code) { ++over; });
    ASSERT_TRUE(clients.back()->connect(to_).has_value());
  }
  ASSERT_TRUE(server_->close().has_value());
  run_for(5ms);
  server_->close_all_connections();
  ASSERT_TRUE(run_until([&] { return over == 10; }));
  EXPECT_EQ(server_->connections(), 0U);
  EXPECT_EQ(reactor().counters().sockets, 0U);
}

TEST_P(ServerTest, DrainSendsWhatIsQueuedAndEndsEverybody) {
  join();
  note_order();
  const std::string bytes = pattern(2 << 20, 13);
  peer().write(bytes);
  server_->drain(10s);
  EXPECT_FALSE(server_->listening());
  EXPECT_EQ(order_, "") << "an event inside drain()";
  ASSERT_TRUE(run_until([&] { return ordered("server-close"); }));
  EXPECT_EQ(order_, "close server-close ");
  EXPECT_FALSE(peer_record_.closed_with);
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_TRUE(client_record_.bytes == bytes);
}

TEST_P(ServerTest, DrainDestroysWhoeverOutlastsItsPatience) {
  PairOptions options;
  options.client.allow_half_open = true;  // it never ends
  join(options);
  note_order();
  const Instant begin = reactor().now();
  server_->drain(30ms);
  ASSERT_TRUE(run_until([&] { return client_record_.has("end"); }));
  ASSERT_TRUE(run_until([&] { return ordered("server-close"); }));
  EXPECT_GE(reactor().now() - begin, 30ms);
  EXPECT_EQ(order_, "close server-close ");
  EXPECT_EQ(peer_record_.closes, 1);
  client().destroy();
}

TEST_P(ServerTest, DrainWithoutConnectionsClosesAtOnce) {
  listen();
  note_order();
  run_for(1ms);
  order_.clear();
  server_->drain(std::chrono::hours(1));
  ASSERT_TRUE(run_until([&] { return ordered("server-close"); }));
  EXPECT_TRUE(run_returns()) << "the patience keeps run() going";
  EXPECT_EQ(order_, "server-close ");
}

TEST_P(ServerTest, CloseAllConnectionsEndsThemAndGoesOnListening) {
  join();
  note_order();
  server_->close_all_connections();
  EXPECT_EQ(order_, "");
  expect_all_gone();
  EXPECT_EQ(order_, "close ");
  EXPECT_TRUE(server_->listening());
  client_record_ = {};
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready") && peer_ != nullptr; }));
}

TEST_P(ServerTest, CloseAllConnectionsInsideAHandlerIsHarmless) {
  listen();
  std::vector<std::unique_ptr<Socket>> clients;
  int over = 0;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<Socket>(reactor()));
    clients.back()->on_error([](Socket&, const Error&) {});
    clients.back()->on_data([](Socket&, Buffer) {});
    clients.back()->on_close([&](Socket&, std::error_code) { ++over; });
    ASSERT_TRUE(clients.back()->connect(to_).has_value());
    clients.back()->write("x");
  }
  server_->on_data([&](Socket&, Buffer) { server_->close_all_connections(); });
  server_->on_close([&](Socket&, std::error_code) { server_->close_all_connections(); });
  ASSERT_TRUE(run_until([&] { return over == 20; }));
  ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  EXPECT_EQ(peer_record_.closes, 20);
  EXPECT_FALSE(peer_record_.has("drain"));
}

TEST_P(ServerTest, ConnectionsCountUntilClose) {
  listen();
  std::string counts;
  const auto note = [&](char what) { counts += what + std::to_string(server_->connections()); };
  server_->on_connection([&](Socket&) { note('c'); });
  server_->on_end([&](Socket&) { note('e'); });
  server_->on_close([&](Socket&, std::error_code) { note('x'); });
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr; }));
  EXPECT_EQ(server_->connections(), 1U);
  client().end();
  expect_all_gone();
  EXPECT_EQ(counts, "c1e1x0");
}

TEST_P(ServerTest, PauseOnConnectReadsNothingBeforeResume) {
  PairOptions options;
  options.server.pause_on_connect = true;
  join(options);
  EXPECT_TRUE(peer().is_paused());
  client().write("wait for it");
  ASSERT_TRUE(run_until([&] { return input_arrived(peer()); }));
  run_for(5ms);
  EXPECT_EQ(peer().bytes_read(), 0U);
  EXPECT_EQ(peer_record_.bytes, "");
  peer().resume();
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "wait for it"; }));
}

TEST_P(ServerTest, AConnectionComesWithItsAddresses) {
  listen();
  bool checked = false;
  server_->on_connection([&](Socket& socket) {
    checked = true;
    EXPECT_EQ(socket.local_address().port(), to_.port);
    EXPECT_EQ(socket.remote_address().host(), "127.0.0.1");
    EXPECT_EQ(socket.server(), server_.get());
    EXPECT_TRUE(socket.writable());
    EXPECT_FALSE(socket.connecting());
    EXPECT_EQ(socket.ready_state(), net::ReadyState::open);
    EXPECT_EQ(socket.bytes_read(), 0U);
  });
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("early");
  ASSERT_TRUE(run_until([&] { return checked; }));
}

TEST_P(ServerTest, AnAcceptedSocketCannotConnect) {
  join();
  const auto result = peer().connect(to_);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Mistake::already_connected);
}

TEST_P(ServerTest, UnrefLetsRunReturnAndRefHoldsIt) {
  listen();
  server_->unref();
  server_->unref();
  EXPECT_TRUE(run_returns());
  server_->ref();
  Timer later = reactor().after(2ms, [&] { EXPECT_TRUE(server_->close().has_value()); });
  later.unref();
  EXPECT_TRUE(run_returns());
  EXPECT_FALSE(server_->listening());
}

TEST_P(ServerTest, UnrefBeforeListenIsRemembered) {
  Server server(reactor());
  server.unref();
  ASSERT_TRUE(server.listen({.port = 0, .host = "127.0.0.1"}).has_value());
  EXPECT_TRUE(run_returns());
}

TEST_P(ServerTest, ReusePortSharesAPort) {
  Server first(reactor());
  Server second(reactor());
  const auto bound = first.listen({.port = 0, .host = "127.0.0.1", .reuse_port = true});
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  EXPECT_TRUE(
      second.listen({.port = bound->port(), .host = "127.0.0.1", .reuse_port = true}).has_value());
}

TEST_P(ServerTest, DeletingAServerEndsItsConnectionsSilently) {
  join();
  note_order();
  peer().write("unsent");
  server_.reset();
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(order_, "");
  EXPECT_EQ(peer_record_.closes, 0);
  client_record_ = {};
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(client_record_.error(), "ECONNREFUSED");
  EXPECT_EQ(reactor().counters().sockets, 0U);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

TEST_P(ServerTest, DeletingAServerInsideItsOwnEventsIsHarmless) {
  for (const int where : {0, 1, 2}) {
    listen();
    const auto drop = [this] { server_.reset(); };
    if (where == 0) server_->on_listening([=](Server&) { drop(); });
    if (where == 1) server_->on_connection([=](Socket&) { drop(); });
    if (where == 2) server_->on_server_close([=](Server&) { drop(); });
    if (where == 1) {
      ASSERT_TRUE(client().connect(to_).has_value());
    }
    if (where == 2) {
      ASSERT_TRUE(server_->close().has_value());
    }
    ASSERT_TRUE(run_until([&] { return server_ == nullptr; }));
    peer_ = nullptr;
    client_.reset();
    run_for(2ms);
    EXPECT_EQ(reactor().counters().sockets, 0U);
  }
}

// Its threads would not be the simulator's.
TEST_P(ServerTest, TheSimulatorHasNoBalancer) {
  if (!simulated()) GTEST_SKIP() << "the others have, see net_balancer_test.cc";
  net::Balancer balancer;
  EXPECT_EQ(refusal({.port = 0, .host = "127.0.0.1", .balancer = &balancer}), "EOPNOTSUPP");
}

WEIR_ON_ALL_BACKENDS(ServerTest);

}  // namespace
}  // namespace weir::test
