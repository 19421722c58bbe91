// Socket options as the kernel has them, addresses, what keeps run() going, and whose a socket is.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "tests/pair.h"
#include "tests/rules.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// ---- Options, asked of the kernel ----

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  getsockopt(fd, level, name, &value, &size);
  return value;
}

struct Options {
  int no_delay = 0;
  int keep_alive = 0;
  int idle = 0;
  int interval = 0;
  int count = 0;
  friend bool operator==(const Options&, const Options&) = default;
};

void PrintTo(const Options& is, std::ostream* out) {
  *out << "no_delay " << is.no_delay << ", keep_alive " << is.keep_alive << ", idle " << is.idle
       << ", interval " << is.interval << ", count " << is.count;
}

Options options_of(int fd) {
  return {.no_delay = option(fd, IPPROTO_TCP, TCP_NODELAY) != 0 ? 1 : 0,
          .keep_alive = option(fd, SOL_SOCKET, SO_KEEPALIVE),
          .idle = option(fd, IPPROTO_TCP, TCP_KEEPIDLE),
          .interval = option(fd, IPPROTO_TCP, TCP_KEEPINTVL),
          .count = option(fd, IPPROTO_TCP, TCP_KEEPCNT)};
}

class OptionsTest : public PairTest {
 protected:
  void SetUp() override {
    PairTest::SetUp();
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    defaults_ = options_of(fd);
    ::close(fd);
  }

  Options now() { return options_of(client().native_handle()); }

  // Connects, and says what the options were as early as in 'connect'.
  Options at_connect() {
    Options seen;
    client().on_connect([&](Socket& socket) { seen = options_of(socket.native_handle()); },
                        net::Times::once);
    EXPECT_TRUE(client().connect(to_).has_value());
    EXPECT_TRUE(run_until([&] { return client_record_.has("ready"); }));
    return seen;
  }

  Options defaults_;
};

TEST_P(OptionsTest, NothingIsOnByDefault) {
  RULES("2.7.1.2 2.7.1.3");
  listen();
  EXPECT_EQ(at_connect(), defaults_);
}

TEST_P(OptionsTest, NoDelayIsOnWithoutAnArgumentAndTakesEffectAtOnce) {
  RULES("2.7.1.1");
  join();
  client().set_no_delay();
  EXPECT_EQ(now().no_delay, 1);
  client().set_no_delay(false);
  EXPECT_EQ(now(), defaults_);
  client().set_no_delay(true);
  EXPECT_EQ(now().no_delay, 1);
}

TEST_P(OptionsTest, NoDelayBeforeConnectIsRemembered) {
  RULES("2.7.1.1 2.7.1.2");
  listen();
  client().set_no_delay();
  Options expected = defaults_;
  expected.no_delay = 1;
  EXPECT_EQ(at_connect(), expected);
}

TEST_P(OptionsTest, TheLastCallBeforeConnectCounts) {
  RULES("2.7.1.2 2.7.1.3");
  listen({.client = {.no_delay = true, .keep_alive = true}});
  client().set_no_delay(false);
  client().set_keep_alive(true, 9s);
  client().set_keep_alive(false);
  const Options seen = at_connect();
  EXPECT_EQ(seen.no_delay, 0);
  EXPECT_EQ(seen.keep_alive, 0);
}

TEST_P(OptionsTest, KeepAliveBeforeConnectIsRememberedWithItsDelay) {
  RULES("2.7.1.3 2.7.1.6");
  listen();
  client().set_keep_alive(true, 5s);
  EXPECT_EQ(at_connect(), (Options{.keep_alive = 1, .idle = 5, .interval = 1, .count = 10}));
  client().set_keep_alive(false);
  EXPECT_EQ(now().keep_alive, 0);
}

TEST_P(OptionsTest, KeepAliveWithoutADelayLeavesTheKernelsTimes) {
  RULES("2.7.1.5");
  join();
  Options expected = defaults_;
  expected.keep_alive = 1;
  client().set_keep_alive(true);
  EXPECT_EQ(now(), expected);
  client().set_keep_alive(true, 999ms);
  EXPECT_EQ(now(), expected) << "whole seconds count";
}

TEST_P(OptionsTest, KeepAliveDelaysAreWholeSeconds) {
  RULES("2.7.1.6");
  join();
  client().set_keep_alive(true, 3900ms);
  EXPECT_EQ(now(), (Options{.keep_alive = 1, .idle = 3, .interval = 1, .count = 10}));
}

TEST_P(OptionsTest, UnixSocketsHaveNone) {
  RULES("2.7.1.4");
  listen({.over_unix = true});
  client().set_keep_alive(true, 3s);
  client().set_no_delay();
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
  EXPECT_EQ(option(client().native_handle(), SOL_SOCKET, SO_KEEPALIVE), 0);
  peer().set_keep_alive(true, 3s);
  EXPECT_EQ(option(peer().native_handle(), SOL_SOCKET, SO_KEEPALIVE), 0);
}

TEST_P(OptionsTest, AcceptedSocketsHaveThemOnlyWhenTheServerSaysSo) {
  RULES("3.1.1.1 3.1.1.2");
  NODE_TEST("server-keepalive server-nodelay");
  const auto accepted = [&](const SocketOptions& socket) {
    listen({.server = {.socket = socket}});
    Options seen;
    server_->on_connection([&](Socket& peer) { seen = options_of(peer.native_handle()); });
    EXPECT_TRUE(client().connect(to_).has_value());
    EXPECT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
    client().destroy();
    EXPECT_TRUE(run_until([&] { return server_->connections() == 0; }));
    client_record_ = {};
    return seen;
  };
  EXPECT_EQ(accepted({}), defaults_);
  Options expected = defaults_;
  expected.no_delay = 1;
  EXPECT_EQ(accepted({.no_delay = true}), expected);
  expected = defaults_;
  expected.keep_alive = 1;
  EXPECT_EQ(accepted({.keep_alive = true}), expected);
  EXPECT_EQ(accepted({.no_delay = true, .keep_alive = true, .keep_alive_delay = 4s}),
            (Options{.no_delay = 1, .keep_alive = 1, .idle = 4, .interval = 1, .count = 10}));
  EXPECT_EQ(accepted({.keep_alive_delay = 4s}), defaults_) << "a delay alone turns nothing on";
}

WEIR_ON_KERNEL_BACKENDS(OptionsTest);

// ---- Facts ----

class FactsTest : public PairTest {
 protected:
  void expect_ip(const Address& address, int port) {
    EXPECT_EQ(address.family(), Family::ipv4);
    EXPECT_EQ(address.ip().ip(), "127.0.0.1");
    EXPECT_EQ(address.port(), port);
  }
};

TEST_P(FactsTest, OptionsDoNotDisturbAUnixSocket) {
  RULES("2.7.1.4");
  listen({.over_unix = true});
  const auto set = [](Socket& socket) {
    socket.set_no_delay();
    socket.set_keep_alive(true, 3s);
    socket.set_no_delay(false);
    socket.set_keep_alive(false);
  };
  set(client());
  server_->on_connection(set);
  client().on_connect(set);
  ASSERT_TRUE(client().connect(to_).has_value());
  client().end("bytes");
  expect_all_gone();
  EXPECT_EQ(peer_record_.bytes, "bytes");
  EXPECT_TRUE(client_record_.errors.empty() && peer_record_.errors.empty());
}

TEST_P(FactsTest, KeepAliveLeavesAnIdleConnectionUsable) {
  RULES("2.7.1.5");
  NODE_TEST("keepalive");
  join();
  client().set_keep_alive(true);
  peer().set_keep_alive(true, 50ms);
  run_for(2ms);
  EXPECT_EQ(client().ready_state(), net::ReadyState::open);
  EXPECT_EQ(peer().ready_state(), net::ReadyState::open);
  peer().end("theirs");
  client().end("ours");
  expect_all_gone();
  EXPECT_EQ(client_record_.bytes + peer_record_.bytes, "theirsours");
  EXPECT_FALSE(client_record_.closed_with || peer_record_.closed_with);
}

TEST_P(FactsTest, ASocketThatWasNeverConnectedHasNoAddresses) {
  RULES("2.7.2.2");
  NODE_TEST("remote-address");
  listen();
  EXPECT_EQ(client().local_address(), Address());
  EXPECT_EQ(client().remote_address(), Address());
  EXPECT_EQ(client().local_address().family(), Family::none);
  bool closed = false;
  server_->on_server_close([&](Server&) { closed = true; });
  ASSERT_TRUE(server_->close().has_value());
  ASSERT_TRUE(run_until([&] { return closed; }));
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.closes == 1; }));
  EXPECT_EQ(client_record_.error(), "ECONNREFUSED");
  EXPECT_EQ(client().local_address().family(), Family::none);
  EXPECT_EQ(client().remote_address().family(), Family::none);
}

TEST_P(FactsTest, BothEndsAreKnownInConnectAndInConnection) {
  RULES("2.7.2.1 2.7.2.4");
  NODE_TEST("local-address-port remote-address remote-address-port");
  listen();
  Address client_local;
  Address client_remote;
  client().on_connect([&](Socket& socket) {
    client_local = socket.local_address();
    client_remote = socket.remote_address();
  });
  Address peer_local;
  Address peer_remote;
  server_->on_connection([&](Socket& socket) {
    peer_local = socket.local_address();
    peer_remote = socket.remote_address();
  });
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
  EXPECT_NE(client_local.port(), 0);
  EXPECT_NE(client_local.port(), to_.port);
  expect_ip(client_local, peer_remote.port());
  expect_ip(client_remote, to_.port);
  EXPECT_EQ(peer_local, client_remote);
  EXPECT_EQ(peer_remote, client_local);
  EXPECT_EQ(server_->address(), peer_local);
}

TEST_P(FactsTest, AddressesOfIPv6HaveThatFamily) {
  RULES("2.7.2.1 2.7.2.4");
  server_ = std::make_unique<Server>(reactor());
  server_->on_connection([this](Socket& socket) { peer_ = &socket; });
  const auto bound = server_->listen({.port = 0, .host = "::1"});
  if (!bound) GTEST_SKIP() << "no IPv6 here: " << bound.error().message();
  client_ = std::make_unique<Socket>(reactor());
  ASSERT_TRUE(client().connect({.host = "::1", .port = bound->port()}).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && !client().pending(); }));
  EXPECT_EQ(client().remote_address(), *bound);
  EXPECT_EQ(client().remote_address().family(), Family::ipv6);
  EXPECT_EQ(client().remote_address().host(), "::1");
  EXPECT_EQ(client().local_address().family(), Family::ipv6);
  EXPECT_EQ(peer().remote_address(), client().local_address());
  EXPECT_EQ(peer().local_address(), *bound);
}

TEST_P(FactsTest, AnIPv4ClientOfADualStackListenerHasAMappedAddress) {
  RULES("2.7.2.7");
  NODE_TEST("remote-address-port");
  server_ = std::make_unique<Server>(reactor());
  server_->on_connection([this](Socket& socket) { peer_ = &socket; });
  const auto bound = server_->listen();
  ASSERT_TRUE(bound.has_value());
  if (bound->family() == Family::ipv4) GTEST_SKIP() << "no IPv6 here";
  client_ = std::make_unique<Socket>(reactor());
  ASSERT_TRUE(client().connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && !client().pending(); }));
  EXPECT_EQ(peer().remote_address().family(), Family::ipv6);
  EXPECT_EQ(peer().remote_address().host(), "::ffff:127.0.0.1");
  EXPECT_EQ(peer().local_address().host(), "::ffff:127.0.0.1");
  EXPECT_EQ(peer().remote_address().port(), client().local_address().port());
  expect_ip(client().remote_address(), bound->port());
  expect_ip(client().local_address(), client().local_address().port());
}

TEST_P(FactsTest, AUnixSocketHasNoAddressesAtEitherEnd) {
  RULES("2.7.2.3");
  join({.over_unix = true});
  for (Socket* socket : {&client(), &peer()}) {
    EXPECT_EQ(socket->local_address().family(), Family::none);
    EXPECT_EQ(socket->remote_address().family(), Family::none);
    EXPECT_EQ(socket->remote_address().to_string(), "");
  }
  client().destroy();
  expect_all_gone();
  EXPECT_EQ(client().remote_address().family(), Family::none);
}

TEST_P(FactsTest, AddressesStayAfterCloseThoughNobodyHasAsked) {
  RULES("2.7.2.5");
  NODE_TEST("remote-address-port");
  listen();
  Address peer_local;
  Address peer_remote;
  server_->on_close([&](Socket& socket, std::error_code) {
    peer_local = socket.local_address();
    peer_remote = socket.remote_address();
  });
  ASSERT_TRUE(client().connect(to_).has_value());
  client().end();
  expect_all_gone();
  expect_ip(client().remote_address(), to_.port);
  expect_ip(client().local_address(), peer_remote.port());
  EXPECT_NE(peer_remote.port(), 0);
  EXPECT_EQ(peer_remote, client().local_address());
  EXPECT_EQ(peer_local, client().remote_address());
}

TEST_P(FactsTest, ThePortDoesNotChangeWhileTheConnectionStands) {
  RULES("2.7.2.6");
  NODE_TEST("local-address-port");
  join({.server = {.socket = {.allow_half_open = true}}, .client = {.allow_half_open = true}});
  const Address local = client().local_address();
  const Address remote = client().remote_address();
  const auto unchanged = [&] {
    return client().local_address() == local && client().remote_address() == remote &&
           peer().remote_address() == local && peer().local_address() == remote;
  };
  EXPECT_TRUE(unchanged());
  client().end("ours");
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_TRUE(unchanged()) << "half open";
  peer().write("theirs");
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "theirs"; }));
  EXPECT_TRUE(unchanged());
}

TEST_P(FactsTest, EachConnectionOfASocketHasAddressesOfItsOwn) {
  RULES("2.7.2.1 2.7.2.4");
  NODE_TEST("socket-local-address");
  listen();
  std::vector<Address> ours;
  std::vector<Address> theirs;
  server_->on_connection([&](Socket& socket) {
    theirs.push_back(socket.remote_address());
    socket.end();
  });
  for (std::size_t round = 1; round <= 2; ++round) {
    ASSERT_TRUE(
        client().connect(to_, [&](Socket& socket) { ours.push_back(socket.local_address()); }));
    ASSERT_TRUE(run_until([&] {
      return client_record_.count("close") == static_cast<long>(round) &&
             server_->connections() == 0;
    }));
  }
  EXPECT_EQ(ours, theirs);
  EXPECT_EQ(ours.size(), 2U);
}

TEST_P(FactsTest, NothingIsWrongWithAskingAClosedSocket) {
  RULES("2.7.2.5");
  NODE_TEST("after-close");
  listen();
  server_->on_connection([](Socket& socket) { socket.end(); });
  client().on_close([&](Socket& socket, std::error_code) {
    socket.set_no_delay();
    socket.set_keep_alive(true, 2s);
    EXPECT_EQ(socket.writable_length(), 0U);
    socket.pause();
    socket.resume();
    expect_ip(socket.remote_address(), to_.port);
    EXPECT_NE(socket.local_address().port(), 0);
  });
  ASSERT_TRUE(client().connect(to_).has_value());
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready end finish close");
}

TEST_P(FactsTest, NothingIsWrongWithAskingWhileTheServerCloses) {
  RULES("2.7.2.2");
  NODE_TEST("during-close");
  listen();
  server_->on_connection([](Socket& socket) { socket.end(); });
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(server_->close().has_value());
  EXPECT_EQ(client().remote_address().family(), Family::none);
  EXPECT_EQ(client().local_address().family(), Family::none);
  ASSERT_TRUE(run_until([&] { return client_record_.closes == 1; }));
  EXPECT_FALSE(client_record_.after_close);
}

TEST_P(FactsTest, OnlyAnAcceptedSocketHasAServer) {
  RULES("2.7.4.1");
  join();
  Server other(reactor());
  Socket* at_other = nullptr;
  other.on_connection([&](Socket& socket) { at_other = &socket; });
  const auto bound = other.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  Socket second(reactor());
  EXPECT_EQ(second.server(), nullptr);
  ASSERT_TRUE(second.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
  ASSERT_TRUE(run_until([&] { return at_other != nullptr && !second.pending(); }));
  EXPECT_EQ(at_other->server(), &other);
  EXPECT_EQ(peer().server(), server_.get());
  EXPECT_EQ(client().server(), nullptr);
  EXPECT_EQ(second.server(), nullptr);
  bool same_in_close = false;
  server_->on_close(
      [&](Socket& socket, std::error_code) { same_in_close = socket.server() == server_.get(); });
  client().end();
  ASSERT_TRUE(run_until_closed());
  EXPECT_TRUE(same_in_close);
}

WEIR_ON_ALL_BACKENDS(FactsTest);

// ---- What keeps run() going ----

class RefTest : public PairTest {
 protected:
  // A connection whose client alone may keep run() going.
  void join_quietly() {
    join();
    server_->unref();
    peer().unref();
  }

  // Runs. Whether run() was still going some time later, when `release` lets go what holds it.
  bool run_waits(const std::function<void()>& release) {
    bool waited = false;
    Timer later = reactor().after(3ms, [&] {
      waited = true;
      release();
    });
    later.unref();
    EXPECT_TRUE(run_returns());
    return waited;
  }
};

TEST_P(RefTest, AConnectionHoldsUntilItIsClosed) {
  RULES("2.7.3.2");
  join_quietly();
  EXPECT_TRUE(run_waits([&] { client().destroy(); }));
  EXPECT_EQ(client_record_.order(), "connect ready close");
}

TEST_P(RefTest, AnAcceptedConnectionHoldsToo) {
  RULES("2.7.3.2");
  join_quietly();
  client().unref();
  EXPECT_TRUE(run_returns());
  peer().ref();
  EXPECT_TRUE(run_waits([&] { peer().destroy(); }));
}

TEST_P(RefTest, TheLastCallCountsNotTheNumberOfCalls) {
  RULES("2.7.3.1");
  join_quietly();
  client().ref();
  client().ref();
  client().unref();
  EXPECT_TRUE(run_returns());
  client().unref();
  client().unref();
  client().ref();
  EXPECT_TRUE(run_waits([&] { client().unref(); }));
  EXPECT_EQ(client().ready_state(), net::ReadyState::open);
}

TEST_P(RefTest, UnrefBeforeTheConnectionIsRemembered) {
  RULES("2.7.3.3");
  listen();
  server_->unref();
  server_->on_connection([](Socket& socket) { socket.unref(); });
  client().unref();
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
  EXPECT_TRUE(run_returns());
  EXPECT_EQ(client().ready_state(), net::ReadyState::open);
}

TEST_P(RefTest, RefBeforeTheConnectionTakesUnrefBack) {
  RULES("2.7.3.1 2.7.3.3");
  listen();
  server_->unref();
  server_->on_connection([](Socket& socket) { socket.unref(); });
  client().unref();
  client().ref();
  ASSERT_TRUE(client().connect(to_).has_value());
  EXPECT_TRUE(run_waits([&] { client().destroy(); }));
  EXPECT_EQ(client_record_.closes, 1);
}

TEST_P(RefTest, AnUnreffedSocketHasItsEventsWhileTheReactorRuns) {
  RULES("2.7.3.4");
  join_quietly();
  client().unref();
  Timer hold = reactor().after(kPatience, [] {});
  peer().write("data");
  peer().end();
  client().on_close([&](Socket&, std::error_code) { hold.cancel(); });
  EXPECT_TRUE(run_returns());
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
  EXPECT_EQ(client_record_.bytes, "data");
}

TEST_P(RefTest, ALookupAndAConnectHold) {
  RULES("2.7.3.2");
  for (const char* host : {"localhost", "127.0.0.1"}) {
    listen();
    server_->unref();
    server_->on_connection([](Socket& socket) { socket.unref(); });
    client().on_ready([](Socket& socket) { socket.unref(); });
    to_.host = host;
    ASSERT_TRUE(client().connect(to_).has_value());
    EXPECT_TRUE(run_returns());
    EXPECT_TRUE(client_record_.has("ready")) << host;
    client_record_ = {};
  }
}

TEST_P(RefTest, AWriteHoldsUntilItIsOut) {
  RULES("2.7.3.2");
  join_quietly();
  const std::string bytes = pattern(8 << 20, 7);
  client().write(bytes);
  client().destroy_soon();
  EXPECT_TRUE(run_returns());
  EXPECT_TRUE(client_record_.has("finish"));
  EXPECT_EQ(client_record_.closes, 1);
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_TRUE(peer_record_.bytes == bytes);
}

TEST_P(RefTest, ATimerHoldsUnlessItWasUnreffed) {
  RULES("2.7.3.2");
  bool fired = false;
  Timer timer = reactor().after(2ms, [&] { fired = true; });
  EXPECT_TRUE(run_returns());
  EXPECT_TRUE(fired);
  Timer idle = reactor().after(1h, [] {});
  idle.unref();
  const Instant begin = reactor().now();
  EXPECT_TRUE(run_returns());
  EXPECT_LT(reactor().now() - begin, 10s);
}

TEST_P(RefTest, AListeningServerHoldsUnlessItWasUnreffed) {
  RULES("2.7.3.1 2.7.3.2");
  NODE_TEST("server-unref");
  Server server(reactor());
  ASSERT_TRUE(server.listen({.port = 0, .host = "127.0.0.1"}).has_value());
  server.unref();
  server.unref();
  EXPECT_TRUE(run_returns());
  EXPECT_TRUE(server.listening());
  server.ref();
  EXPECT_TRUE(run_waits([&] { static_cast<void>(server.close()); }));
}

TEST_P(RefTest, AServersUnrefBeforeListenIsRemembered) {
  RULES("2.7.3.3");
  NODE_TEST("server-unref-persistent");
  Server server(reactor());
  server.unref();
  ASSERT_TRUE(server.listen({.port = 0, .host = "127.0.0.1"}).has_value());
  EXPECT_TRUE(run_returns());
  EXPECT_TRUE(server.listening());
}

WEIR_ON_ALL_BACKENDS(RefTest);

// Only the simulator knows an address where nobody ever answers.
class VirtualRefTest : public RefTest {};

TEST_P(VirtualRefTest, AConnectWithoutAnAnswerHolds) {
  RULES("2.7.3.2 2.7.3.3");
  Socket socket(reactor());
  ASSERT_TRUE(socket.connect({.host = "192.0.2.1", .port = 80}).has_value());
  EXPECT_TRUE(run_waits([&] { socket.unref(); }));
  EXPECT_TRUE(socket.connecting());
  EXPECT_TRUE(run_returns());
  Socket unreffed(reactor());
  unreffed.unref();
  ASSERT_TRUE(unreffed.connect({.host = "192.0.2.1", .port = 80}).has_value());
  EXPECT_TRUE(run_returns());
  EXPECT_TRUE(unreffed.connecting());
}

WEIR_ON_SIM(VirtualRefTest);

}  // namespace
}  // namespace weir::test
