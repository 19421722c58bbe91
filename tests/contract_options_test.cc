// A socket's states and options, contract sections 2.1 and 2.2.
#include <gtest/gtest.h>

#include "tests/contract_world.h"
#include "tests/dial.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::ReadyState;
using How = TestResolver::How;

class OptionsTest : public ContractTest {
 protected:
  // A port that nobody listens on: one that was just given up.
  int closed_port() {
    Server server(reactor());
    const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
    EXPECT_TRUE(bound.has_value());
    bool closed = false;
    EXPECT_TRUE(server.close([&](Server&, std::error_code) { closed = true; }).has_value());
    EXPECT_TRUE(run_until([&] { return closed; }));
    return bound->port();
  }

  // The name of the mistake that connect() returns.
  std::string mistake(const net::ConnectOptions& to) {
    Socket socket(reactor());
    const auto started = socket.connect(to);
    EXPECT_FALSE(started.has_value());
    EXPECT_FALSE(socket.connecting());
    EXPECT_FALSE(socket.destroyed());
    return started ? "" : std::string(name_of(started.error().code));
  }

  // The client's events from connect() to 'close'.
  std::string events_of(const net::ConnectOptions& to) {
    client_record_ = {};
    client_ = std::make_unique<Socket>(reactor());
    record(client(), client_record_);
    record_attempts(client(), client_record_);
    const auto started = client().connect(to);
    EXPECT_TRUE(started.has_value()) << (started ? "" : started.error().message());
    EXPECT_EQ(client_record_.order(), "") << "an event inside connect()";
    EXPECT_TRUE(run_until([&] { return client_record_.closes != 0; }));
    return client_record_.order();
  }

  void connect_client(const net::ConnectOptions& to) {
    const auto started = client().connect(to);
    ASSERT_TRUE(started.has_value()) << started.error().message();
    ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }))
        << client_record_.order() << client_record_.error();
  }

  std::string attempted() {
    std::string all;
    for (const Address& one : client().attempted_addresses()) {
      all += (all.empty() ? "" : " ") + one.ip().ip();
    }
    return all;
  }
};

// ---- 2.1: states ----

TEST_P(OptionsTest, AFreshSocketIsPendingAndNotConnecting) {
  RULES("2.1.1.2 2.1.1.3");
  Socket fresh(reactor());
  EXPECT_TRUE(fresh.pending());
  EXPECT_FALSE(fresh.connecting());
  EXPECT_FALSE(fresh.destroyed());
}

TEST_P(OptionsTest, ConnectingUntilTheConnectionStands) {
  RULES("2.1.1.1 2.1.1.2 2.1.1.4 2.1.1.5");
  NODE_TEST("socket-connecting");
  listen();
  bool in_connect = false;
  client().on_connect([&](Socket& socket) {
    in_connect = true;
    EXPECT_FALSE(socket.connecting());
    EXPECT_FALSE(socket.pending());
    EXPECT_EQ(socket.ready_state(), ReadyState::open);
  });
  bool in_connection = false;
  server_->on_connection([&](Socket& socket) {
    in_connection = true;
    EXPECT_FALSE(socket.connecting());
    EXPECT_FALSE(socket.pending());
    EXPECT_EQ(socket.ready_state(), ReadyState::open);
  });
  TestResolver slow(How::keep);
  ASSERT_TRUE(client().connect({.host = "a.name", .port = to_.port, .resolver = &slow}));
  const auto expect_connecting = [&] {
    EXPECT_TRUE(client().connecting());
    EXPECT_TRUE(client().pending());
    EXPECT_EQ(client().ready_state(), ReadyState::opening);
    EXPECT_STREQ(name_of(client().ready_state()), "opening");
    EXPECT_FALSE(client().destroyed());
  };
  expect_connecting();
  ASSERT_TRUE(run_until([&] { return slow.kept.size() == 1; }));
  expect_connecting();
  slow.kept[0].found({endpoint("127.0.0.1")});
  expect_connecting();
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready") && peer_ != nullptr; }));
  EXPECT_TRUE(in_connect && in_connection);
  client().end();
  expect_all_gone();
  EXPECT_TRUE(client().pending()) << "not any more";
}

TEST_P(OptionsTest, ConnectingUntilItHasFailed) {
  RULES("2.1.1.1 2.1.1.3 2.1.1.8");
  listen();
  const int port = closed_port();
  bool in_error = false;
  client().on_error([&](Socket& socket, const Error&) {
    in_error = true;
    EXPECT_FALSE(socket.connecting());
    EXPECT_TRUE(socket.destroyed());
    EXPECT_EQ(socket.ready_state(), ReadyState::closed);
  });
  ASSERT_TRUE(client().connect({.host = "127.0.0.1", .port = port}).has_value());
  EXPECT_TRUE(client().connecting());
  EXPECT_FALSE(client().destroyed());
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_TRUE(in_error);
  EXPECT_FALSE(client().connecting());
  EXPECT_TRUE(client().destroyed());
  ASSERT_TRUE(client().connect(to_).has_value());
  EXPECT_TRUE(client().connecting()) << "again";
  EXPECT_FALSE(client().destroyed());
}

TEST_P(OptionsTest, DestroyedFromDestroyOnAndWhatDoesTheSame) {
  RULES("2.1.1.3 2.1.1.8");
  const std::vector<void (*)(Socket&)> ways = {
      [](Socket& socket) { socket.destroy(); },
      [](Socket& socket) { socket.destroy(errno_code(EPROTO)); },
      [](Socket& socket) { socket.reset_and_destroy().value(); },
      [](Socket& socket) {
        socket.end();
        EXPECT_FALSE(socket.destroyed());
        EXPECT_EQ(socket.write("after the end"), Write::closed);
      },
  };
  for (const auto way : ways) {
    client_record_ = {};
    peer_record_ = {};
    join();
    EXPECT_FALSE(client().destroyed());
    way(client());
    EXPECT_TRUE(client().destroyed());
    EXPECT_EQ(client().ready_state(), ReadyState::closed);
    EXPECT_FALSE(client_record_.has("close"));
    expect_all_gone();
    EXPECT_TRUE(client().destroyed());
    EXPECT_EQ(client().ready_state(), ReadyState::closed);
  }
}

TEST_P(OptionsTest, ReadyStatesOfBothEnds) {
  RULES("2.1.1.5 2.1.1.6 2.1.1.7 2.1.1.8");
  PairOptions options;
  options.client.allow_half_open = true;
  options.server.socket.allow_half_open = true;
  join(options);
  EXPECT_EQ(client().ready_state(), ReadyState::open);
  EXPECT_EQ(peer().ready_state(), ReadyState::open);
  client().end();
  EXPECT_EQ(client().ready_state(), ReadyState::read_only);
  EXPECT_STREQ(name_of(ReadyState::read_only), "readOnly");
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_EQ(client().ready_state(), ReadyState::read_only);
  EXPECT_EQ(peer().ready_state(), ReadyState::write_only);
  EXPECT_STREQ(name_of(ReadyState::write_only), "writeOnly");
  ReadyState at_close = ReadyState::open;
  server_->on_close([&](Socket& socket, std::error_code) { at_close = socket.ready_state(); });
  peer().end();
  EXPECT_EQ(peer().ready_state(), ReadyState::closed) << "both sides are done";
  expect_all_gone();
  EXPECT_EQ(at_close, ReadyState::closed);
  EXPECT_EQ(client().ready_state(), ReadyState::closed);
  EXPECT_STREQ(name_of(ReadyState::closed), "closed");
  EXPECT_STREQ(name_of(ReadyState::open), "open");
}

TEST_P(OptionsTest, InsideEndTheSocketIsWritableAndNotDestroyed) {
  RULES("2.1.1.3 2.1.1.7");
  NODE_TEST("end-destroyed writable");
  join();
  bool ended = false;
  client().on_end([&](Socket& socket) {
    ended = true;
    EXPECT_FALSE(socket.destroyed());
    EXPECT_TRUE(socket.writable());
    EXPECT_EQ(socket.ready_state(), ReadyState::write_only);
    EXPECT_EQ(socket.write("last words"), Write::ok);
  });
  peer().end();
  expect_all_gone();
  EXPECT_TRUE(ended);
  EXPECT_EQ(peer_record_.bytes, "last words");
}

// ---- 2.2: half-open ----

TEST_P(OptionsTest, HalfOpenIsAllowedWhereAsked) {
  RULES("2.2.1.1");
  NODE_TEST("connect-options-allowhalfopen allow-half-open");
  EXPECT_FALSE(SocketOptions().allow_half_open);
  EXPECT_FALSE(ServerOptions().socket.allow_half_open);
  for (const bool at_client : {false, true}) {
    for (const bool at_peer : {false, true}) {
      SCOPED_TRACE(at_client * 10 + at_peer);
      client_record_ = {};
      peer_record_ = {};
      PairOptions options;
      if (at_client) options.client.allow_half_open = true;
      if (at_peer) options.server.socket.allow_half_open = true;
      join(options);
      peer().write("foo");
      peer().end();
      ASSERT_TRUE(run_until([&] { return client_record_.has("end"); }));
      settle();
      EXPECT_EQ(client_record_.bytes, "foo");
      EXPECT_EQ(client().writable(), at_client);
      EXPECT_EQ(client_record_.closes == 0, at_client);
      if (at_client) {
        EXPECT_EQ(client().write("still "), Write::ok);
        client().end("open");
      }
      expect_all_gone();
      EXPECT_EQ(peer_record_.bytes, at_client ? "still open" : "");
      EXPECT_FALSE(client_record_.closed_with);
      EXPECT_FALSE(peer_record_.closed_with);
    }
  }
}

TEST_P(OptionsTest, AServersHalfOpenSocketsWaitForTheirOwnEnd) {
  RULES("2.2.1.1");
  NODE_TEST("allow-half-open");
  PairOptions options;
  options.server.socket.allow_half_open = true;
  join(options);
  client().end("bye");
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  settle();
  EXPECT_FALSE(client_record_.has("end"));
  EXPECT_FALSE(peer_record_.has("finish"));
  peer().end("goodbye");
  expect_all_gone();
  EXPECT_EQ(client_record_.bytes, "goodbye");
  EXPECT_EQ(client_record_.order(), "connect ready finish data end close");
}

// ---- 2.2: marks and time ----

TEST_P(OptionsTest, TheHighWaterMarkIs64KiB) {
  RULES("2.2.4.1");
  EXPECT_EQ(SocketOptions().queue.high_water, 65536U);
  join();
  EXPECT_EQ(client().write(std::string(65535, 'x')), Write::ok);
  EXPECT_FALSE(client().writable_needs_drain());
  EXPECT_EQ(client().write("x"), Write::full);
  EXPECT_TRUE(client().writable_needs_drain());
  EXPECT_EQ(client().writable_length(), 65536U);
  ASSERT_TRUE(run_until([&] { return client_record_.has("drain"); }));
  EXPECT_EQ(peer().write(std::string(65536, 'x')), Write::full) << "accepted ones have it, too";
}

TEST_P(OptionsTest, TheMarkOfASocketCanBeChosenAndReadingIsBoundedAsWell) {
  RULES("2.2.4.2");
  PairOptions options;
  options.client.queue.high_water = 10;
  options.client_reads = false;
  join(options);
  EXPECT_EQ(client().write("123456789"), Write::ok);
  EXPECT_EQ(client().write("0"), Write::full);
  peer().write(Buffer::take(std::string(48 << 20, 'x')));
  ASSERT_TRUE(settle_until_constant([&] { return peer().writable_length(); }));
  EXPECT_GT(peer().writable_length(), 0U);
  EXPECT_LE(client().bytes_read(), limits::kReceiveChunkBytes);
}

TEST_P(OptionsTest, ThereIsNoTimeoutByDefault) {
  RULES("2.2.7.1");
  EXPECT_EQ(SocketOptions().timeout, Duration::zero());
  EXPECT_EQ(net::ConnectOptions().timeout, Duration::zero());
  join();
  EXPECT_EQ(client().timeout(), Duration::zero());
  EXPECT_EQ(peer().timeout(), Duration::zero());
  run_for(20ms);
  EXPECT_FALSE(client_record_.has("timeout"));
  EXPECT_FALSE(peer_record_.has("timeout"));
}

TEST_P(OptionsTest, TimeoutsCoverTheConnecting) {
  RULES("2.2.7.2");
  TestResolver silent(How::keep);
  EXPECT_EQ(events_of({.host = "a.name", .port = 1, .resolver = &silent, .timeout = 20ms}),
            "error close");
  EXPECT_EQ(client_record_.closed_with, errno_code(ETIMEDOUT));
  // The idle timer of SocketOptions is only a notice.
  Socket idle(reactor(), {.timeout = 20ms});
  bool noticed = false;
  idle.on_timeout([&](Socket& socket) {
    EXPECT_TRUE(socket.connecting());
    noticed = true;
  });
  ASSERT_TRUE(idle.connect({.host = "a.name", .port = 1, .resolver = &silent}).has_value());
  EXPECT_EQ(idle.timeout(), Duration(20ms));
  ASSERT_TRUE(run_until([&] { return noticed; }));
  EXPECT_FALSE(idle.destroyed());
}

// ---- 2.2: a request to stop ----

TEST_P(OptionsTest, ARequestToStopDestroysAtAnyTime) {
  RULES("2.2.8.1");
  NODE_TEST("connect-abort-controller");
  enum class When { before, at_once, in_lookup, connected };
  for (const When when : {When::before, When::at_once, When::in_lookup, When::connected}) {
    SCOPED_TRACE(static_cast<int>(when));
    client_record_ = {};
    peer_record_ = {};
    listen();
    std::stop_source stop;
    TestResolver silent(How::keep);
    net::ConnectOptions to = to_;
    to.stop = stop.get_token();
    if (when == When::in_lookup) {
      to.host = "a.name";
      to.resolver = &silent;
    }
    if (when == When::before) stop.request_stop();
    ASSERT_TRUE(client().connect(to).has_value());
    if (when == When::in_lookup) {
      ASSERT_TRUE(run_until([&] { return silent.kept.size() == 1; }));
    }
    if (when == When::connected) {
      ASSERT_TRUE(run_until([&] { return client_record_.has("ready") && peer_ != nullptr; }));
    }
    stop.request_stop();
    EXPECT_TRUE(when == When::before || client().destroyed());
    EXPECT_FALSE(client_record_.has("error")) << "an event inside the request";
    ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
    EXPECT_EQ(client_record_.order(),
              when == When::connected ? "connect ready error close" : "error close");
    EXPECT_EQ(client_record_.error(), "ABORT_ERR");
    EXPECT_EQ(client_record_.closed_with, make_error_code(Mistake::aborted));
    stop.request_stop();
    ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
    // The token of a connection that is over has no power over the next one.
    client_record_ = {};
    connect_client(to_);
    EXPECT_FALSE(client().destroyed());
  }
}

TEST_P(OptionsTest, AStopAfterTheConnectionIsOverDoesNothing) {
  RULES("2.2.8.1");
  listen();
  std::stop_source stop;
  to_.stop = stop.get_token();
  connect_client(to_);
  client().end();
  expect_all_gone();
  to_.stop = {};
  client_record_ = {};
  connect_client(to_);
  stop.request_stop();
  settle();
  EXPECT_EQ(client_record_.order(), "connect ready");
  auto gone = std::make_unique<Socket>(reactor());
  std::stop_source late;
  ASSERT_TRUE(gone->connect({.port = to_.port, .stop = late.get_token()}).has_value());
  gone.reset();
  late.request_stop();
}

// ---- 2.2: where to ----

TEST_P(OptionsTest, TheHostIsLocalhost) {
  RULES("2.2.10.1");
  EXPECT_EQ(net::ConnectOptions().host, "localhost");
  listen();
  TestResolver resolver({"127.0.0.1"});
  connect_client({.port = to_.port, .resolver = &resolver});
  ASSERT_EQ(resolver.asked.size(), 1U);
  EXPECT_EQ(resolver.asked[0].first, "localhost");
  client().end();
  expect_all_gone();
  client_record_ = {};
  connect_client({.port = to_.port});  // as the machine, or the simulator, says
  EXPECT_EQ(client().remote_address().host(), "127.0.0.1");
}

TEST_P(OptionsTest, APortIsRequiredWithoutAPath) {
  RULES("2.2.10.2");
  EXPECT_EQ(mistake({}), "ERR_MISSING_ARGS");
  EXPECT_EQ(mistake({.host = "127.0.0.1"}), "ERR_MISSING_ARGS");
  EXPECT_EQ(mistake({.port = 65536}), "ERR_SOCKET_BAD_PORT");
  EXPECT_EQ(mistake({.port = -2}), "ERR_SOCKET_BAD_PORT");
}

TEST_P(OptionsTest, ThePathWins) {
  RULES("2.2.10.3");
  listen({.over_unix = true});
  TestResolver resolver(make_error_code(ResolveError::not_found));
  connect_client({.host = "nowhere.invalid", .port = 1, .path = to_.path, .resolver = &resolver});
  EXPECT_TRUE(resolver.asked.empty());
  client().write("by path");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "by path"; }));
}

TEST_P(OptionsTest, OurEndCanBeChosen) {
  RULES("2.2.11.1");
  listen();
  to_.local_address = "127.0.0.1";
  to_.local_port = closed_port();
  connect_client(to_);
  EXPECT_EQ(client().local_address().host(), "127.0.0.1");
  EXPECT_EQ(client().local_address().port(), to_.local_port);
  EXPECT_EQ(peer().remote_address(), client().local_address());
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  expect_all_gone();
  client_record_ = {};
  to_.local_port = 0;
  to_.local_address = "127.0.0.3";
  connect_client(to_);
  EXPECT_EQ(peer().remote_address().host(), "127.0.0.3");
}

TEST_P(OptionsTest, OurEndIsANumericAddress) {
  RULES("2.2.11.2");
  for (const char* wrong : {"localhost", "nonsense", "127.0.0", "127.0.0.1:80", "[::1]", " "}) {
    EXPECT_EQ(mistake({.host = "127.0.0.1", .port = 1, .local_address = wrong}),
              "ERR_INVALID_IP_ADDRESS")
        << wrong;
  }
}

// ---- 2.2: names ----

TEST_P(OptionsTest, BothFamiliesUnlessOneIsAskedFor) {
  RULES("2.2.12.1 2.2.12.2 2.2.12.3");
  EXPECT_EQ(net::ConnectOptions().family, Family::none);
  listen();
  for (const Family family : {Family::none, Family::ipv4, Family::ipv6}) {
    TestResolver resolver({"127.0.0.1"});
    client_record_ = {};
    net::ConnectOptions to{.host = "a.name", .port = to_.port, .resolver = &resolver};
    if (family != Family::none) to.family = family;
    ASSERT_TRUE(client().connect(to).has_value());
    ASSERT_TRUE(run_until([&] { return resolver.asked.size() == 1; }));
    EXPECT_EQ(resolver.asked[0].first, "a.name");
    EXPECT_EQ(resolver.asked[0].second, family);
    client().destroy();
    ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  }
}

TEST_P(OptionsTest, TheFamilyRestrictsTheSystemsLookup) {
  RULES("2.2.12.2");
  listen();
  std::vector<Family> found;
  client().on_lookup([&](Socket&, const net::LookupResult& result) {
    if (!result.error) found.push_back(result.address.family);
  });
  connect_client({.host = "localhost", .port = to_.port, .family = Family::ipv4});
  ASSERT_FALSE(found.empty());
  for (const Family family : found) EXPECT_EQ(family, Family::ipv4);
}

TEST_P(OptionsTest, AResolverGivesAddressesOrAnError) {
  RULES("2.2.12.3");
  listen();
  TestResolver finds({"127.0.0.1"});
  connect_client({.host = "a.name", .port = to_.port, .resolver = &finds});
  EXPECT_EQ(client().remote_address().port(), to_.port);
  TestResolver fails(make_error_code(ResolveError::try_again));
  EXPECT_EQ(events_of({.host = "a.name", .port = to_.port, .resolver = &fails}),
            "lookup:EAI_AGAIN error close");
  EXPECT_EQ(client_record_.error(), "EAI_AGAIN");
  EXPECT_STREQ(client_record_.errors[0].syscall, "getaddrinfo");
  EXPECT_EQ(client_record_.errors[0].host, "a.name");
}

TEST_P(OptionsTest, AllAddressesAreTriedByDefault) {
  RULES("2.2.13.1");
  listen();
  TestResolver two({"127.0.0.2", "127.0.0.1"});
  net::ConnectOptions to{.host = "a.name", .port = to_.port, .resolver = &two};
  EXPECT_FALSE(to.auto_select_family.has_value()) << "the reactor's default";
  connect_client(to);
  EXPECT_EQ(attempted(), "127.0.0.2 127.0.0.1");
  to.auto_select_family = false;
  EXPECT_EQ(events_of(to),
            "lookup:127.0.0.2 lookup:127.0.0.1 attempt:127.0.0.2 failed:127.0.0.2 error close");
  EXPECT_EQ(client_record_.error(), "ECONNREFUSED");
}

// A paused client that is not referenced does not keep the program going, nor does its server.
TEST_P(OptionsTest, APausedConnectionThatIsNotReferencedHoldsNobody) {
  RULES("1.2.2.5 2.7.3.2");
  NODE_TEST("connect-paused-connection");
  listen();
  client().pause();
  connect_client(to_);
  server_->unref();
  peer().unref();
  client().unref();
  EXPECT_TRUE(run_returns());
  EXPECT_EQ(client_record_.order(), "connect ready");
  EXPECT_TRUE(client().is_paused());
}

WEIR_ON_ALL_BACKENDS(OptionsTest);

// ---- In virtual time ----

class VirtualTest : public OptionsTest {
 protected:
  // From connect() until the first attempt was given up.
  Duration first_attempt(const net::ConnectOptions& to) {
    const Instant begin = reactor().now();
    Duration given_up{};
    Socket socket(reactor());
    socket.on_connection_attempt_timeout([&](Socket& self, const Address&) {
      given_up = reactor().now() - begin;
      self.destroy();
    });
    EXPECT_TRUE(socket.connect(to).has_value());
    EXPECT_TRUE(run_until([&] { return given_up != Duration::zero(); }));
    return given_up;
  }
};

TEST_P(VirtualTest, AnAttemptMayTake250MillisecondsByDefault) {
  RULES("2.2.13.2");
  TestResolver names({"192.0.2.1", "192.0.2.2"});
  const net::ConnectOptions to{.host = "a.name", .port = 80, .resolver = &names};
  EXPECT_FALSE(to.attempt_timeout.has_value()) << "the reactor's default";
  EXPECT_EQ(first_attempt(to), Duration(250ms));
}

TEST_P(VirtualTest, AnAttemptMayTakeAtLeast10Milliseconds) {
  RULES("2.2.13.3");
  TestResolver names({"192.0.2.1", "192.0.2.2"});
  net::ConnectOptions to{.host = "a.name", .port = 80, .resolver = &names};
  for (const Duration asked : {Duration(9ms), Duration(1ms), Duration(1ns)}) {
    to.attempt_timeout = asked;
    EXPECT_EQ(first_attempt(to), Duration(10ms));
  }
  to.attempt_timeout = 11ms;
  EXPECT_EQ(first_attempt(to), Duration(11ms));
  to.attempt_timeout = {};
  net::set_default_attempt_timeout(reactor(), 3ms);
  EXPECT_EQ(first_attempt(to), Duration(10ms));
}

TEST_P(VirtualTest, ThereIsNoTimeoutForDays) {
  RULES("2.2.7.1");
  join();
  run_for(48h);
  EXPECT_EQ(client_record_.order(), "connect ready");
  EXPECT_EQ(peer_record_.order(), "");
  Socket waits(reactor());
  ASSERT_TRUE(waits.connect({.host = "192.0.2.1", .port = 80}).has_value());
  run_for(48h);
  EXPECT_TRUE(waits.connecting());
}

TEST_P(VirtualTest, ATimeoutOfConnectCoversAllOfIt) {
  RULES("2.2.7.2");
  TestResolver slow(How::keep);
  const Instant begin = reactor().now();
  client_ = std::make_unique<Socket>(reactor());
  record(client(), client_record_);
  ASSERT_TRUE(client().connect({.host = "a.name", .port = 80, .resolver = &slow, .timeout = 3s}));
  run_for(2s);
  ASSERT_EQ(slow.kept.size(), 1U);
  slow.kept[0].found({endpoint("192.0.2.1")});
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(reactor().now() - begin, Duration(3s)) << "the lookup counts";
  EXPECT_EQ(client_record_.order(), "error close");
  EXPECT_EQ(client_record_.error(), "ETIMEDOUT");
}

TEST_P(VirtualTest, TheFamilyRestrictsTheSystemsLookup) {
  RULES("2.2.12.1 2.2.12.2");
  const int port = closed_port();
  EXPECT_EQ(events_of({.host = "localhost", .port = port, .family = Family::ipv4}),
            "lookup:127.0.0.1 attempt:127.0.0.1 failed:127.0.0.1 error close");
  EXPECT_EQ(events_of({.host = "localhost", .port = port, .family = Family::ipv6}),
            "lookup:::1 attempt:::1 failed:::1 error close");
  EXPECT_EQ(events_of({.host = "localhost", .port = port}),
            "lookup:127.0.0.1 lookup:::1 attempt:127.0.0.1 failed:127.0.0.1 attempt:::1 "
            "failed:::1 error close");
}

INSTANTIATE_TEST_SUITE_P(Simulated, VirtualTest,
                         testing::Values(BackendCase{.name = "sim",
                                                     .options = {.kind = BackendKind::sim}}),
                         case_name);

}  // namespace
}  // namespace weir::test
