// Connecting: what comes in which order, what is returned, and what a failure says.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/pair.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::ReadyState;

class ConnectTest : public PairTest {
 protected:
  // A port that nobody listens on: one that was just given up.
  int closed_port() {
    Server server(reactor());
    const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
    EXPECT_TRUE(bound.has_value());
    EXPECT_TRUE(server.close().has_value());
    bool closed = false;
    server.on_server_close([&](Server&) { closed = true; });
    EXPECT_TRUE(run_until([&] { return closed; }));
    return bound->port();
  }

  // The record of a socket that tries to connect and fails.
  Record failed(const net::ConnectOptions& to) {
    Record seen;
    Socket socket(reactor());
    record(socket, seen);
    record_data(socket, seen);
    bool destroyed_in_error = false;
    socket.on_error([&](Socket& self, const Error&) { destroyed_in_error = self.destroyed(); });
    const auto started = socket.connect(to);
    EXPECT_TRUE(started.has_value()) << (started ? "" : started.error().message());
    EXPECT_TRUE(seen.events.empty()) << "an event inside connect()";
    EXPECT_TRUE(run_until([&] { return seen.closes != 0; }));
    run_for(1ms);
    EXPECT_EQ(seen.order(), "error close");
    EXPECT_TRUE(destroyed_in_error);
    EXPECT_EQ(socket.ready_state(), ReadyState::closed);
    EXPECT_EQ(reactor().counters().sockets, 0U);
    return seen;
  }

  std::string refusal(const net::ConnectOptions& to) {
    Socket socket(reactor());
    Record seen;
    record(socket, seen);
    const auto started = socket.connect(to);
    EXPECT_FALSE(started.has_value());
    run_for(1ms);
    EXPECT_EQ(seen.order(), "");
    return started ? "" : std::string(name_of(started.error().code));
  }
};

TEST_P(ConnectTest, ConnectThenReadyThenData) {
  listen();
  server_->on_connection([](Socket& socket) { socket.write("first"); });
  ASSERT_TRUE(client().connect(to_).has_value());
  EXPECT_TRUE(client_record_.events.empty()) << "an event inside connect()";
  EXPECT_EQ(client().ready_state(), ReadyState::opening);
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "first"; }));
  EXPECT_EQ(client_record_.order(), "connect ready data");
  EXPECT_EQ(client().ready_state(), ReadyState::open);
  EXPECT_FALSE(client().connecting());
  EXPECT_FALSE(peer_record_.has("connect")) << "'connect' is not for accepted sockets";
}

TEST_P(ConnectTest, ListenersAddedAfterConnectSeeAllEvents) {
  listen({.client_reads = false});
  Socket late(reactor());
  Record seen;
  ASSERT_TRUE(late.connect(to_).has_value());
  record(late, seen);
  ASSERT_TRUE(run_until([&] { return seen.has("ready"); }));
  EXPECT_EQ(seen.order(), "connect ready");
}

TEST_P(ConnectTest, LocalhostIsTheLoopback) {
  listen();
  to_.host = "localhost";
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready"); }));
  EXPECT_EQ(client().remote_address().host(), "127.0.0.1");
}

TEST_P(ConnectTest, WritesWhileConnectingAreQueuedAndSentAfterTheConnectListeners) {
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  EXPECT_EQ(client().write("abc"), Write::ok);
  EXPECT_EQ(client().bytes_written(), 3U);
  EXPECT_EQ(client().writable_length(), 3U);
  EXPECT_TRUE(client().writable());
  std::size_t queued = 0;
  client().on_connect([&](Socket& socket) {
    queued = socket.writable_length();
    socket.write("def");
  });
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes.size() == 6; }));
  EXPECT_EQ(queued, 3U);
  EXPECT_EQ(peer_record_.bytes, "abcdef");
}

TEST_P(ConnectTest, EndWhileConnectingWaitsForTheConnection) {
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("bye");
  client().end();
  EXPECT_TRUE(client().writable_ended());
  EXPECT_FALSE(client().writable());
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(peer_record_.bytes, "bye");
  EXPECT_EQ(client_record_.events.front(), "connect");
  EXPECT_FALSE(client_record_.closed_with);
  expect_all_gone();
}

TEST_P(ConnectTest, RefusedIsAnErrorWithItsAddressThenClose) {
  const int port = closed_port();
  const Record seen = failed({.port = port});
  ASSERT_EQ(seen.errors.size(), 1U);
  EXPECT_EQ(seen.errors[0].code, errno_code(ECONNREFUSED));
  EXPECT_STREQ(seen.errors[0].syscall, "connect");
  EXPECT_EQ(seen.errors[0].message(), "connect ECONNREFUSED 127.0.0.1:" + std::to_string(port));
  EXPECT_EQ(seen.closed_with, errno_code(ECONNREFUSED));
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(ConnectTest, WritesQueuedBeforeARefusalVanish) {
  const int port = closed_port();
  Record seen;
  Socket socket(reactor());
  record(socket, seen);
  ASSERT_TRUE(socket.connect({.port = port}).has_value());
  EXPECT_EQ(socket.write(std::string(200'000, 'x')), Write::full);
  socket.end();
  ASSERT_TRUE(run_until([&] { return seen.closes != 0; }));
  EXPECT_EQ(seen.order(), "error close") << "no 'drain', no 'finish'";
  EXPECT_EQ(socket.writable_length(), 0U);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

TEST_P(ConnectTest, AnUnansweredConnectTimesOutWhenAsked) {
  if (!simulated()) GTEST_SKIP() << "only the simulator knows that nobody answers";
  const Instant begin = reactor().now();
  const Record seen = failed({.host = "192.0.2.1", .port = 80, .timeout = 3s});
  EXPECT_EQ(seen.error(), "ETIMEDOUT");
  EXPECT_STREQ(seen.errors[0].syscall, "connect");
  EXPECT_EQ(seen.errors[0].message(), "connect ETIMEDOUT 192.0.2.1:80");
  EXPECT_EQ(seen.closed_with, errno_code(ETIMEDOUT));
  EXPECT_GE(reactor().now() - begin, 3s);
  EXPECT_LE(reactor().now() - begin, 3s + 10ms);
}

TEST_P(ConnectTest, TheConnectTimeoutEndsWithTheConnecting) {
  listen();
  to_.timeout = 20ms;
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready"); }));
  run_for(60ms);
  EXPECT_EQ(client_record_.order(), "connect ready");
  EXPECT_FALSE(client().destroyed());
}

TEST_P(ConnectTest, MistakesInArgumentsAreReturned) {
  EXPECT_EQ(refusal({}), "ERR_MISSING_ARGS");
  EXPECT_EQ(refusal({.port = 65536}), "ERR_SOCKET_BAD_PORT");
  EXPECT_EQ(refusal({.port = -7}), "ERR_SOCKET_BAD_PORT");
  EXPECT_EQ(refusal({.port = 80, .local_address = "nonsense"}), "ERR_INVALID_IP_ADDRESS");
  EXPECT_EQ(refusal({.port = 80, .local_address = "127.0.0.1", .local_port = 65536}),
            "ERR_SOCKET_BAD_PORT");
}

TEST_P(ConnectTest, ASocketMayTryAgainAfterAMistake) {
  listen();
  EXPECT_FALSE(client().connect({}).has_value());
  EXPECT_FALSE(client().destroyed());
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready"); }));
}

TEST_P(ConnectTest, ConnectWhileConnectingOrConnectedIsRefused) {
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  const auto second = client().connect(to_);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Mistake::already_connected);
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready"); }));
  const auto third = client().connect(to_);
  ASSERT_FALSE(third.has_value());
  EXPECT_EQ(third.error().code, Mistake::already_connected);
  client().write("still here");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "still here"; }));
}

TEST_P(ConnectTest, ALocalAddressIsBound) {
  listen();
  to_.local_address = "127.0.0.1";
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready") && peer_ != nullptr; }));
  EXPECT_EQ(client().local_address().host(), "127.0.0.1");
  EXPECT_NE(client().local_address().port(), 0);
  EXPECT_EQ(peer().remote_address(), client().local_address());
  EXPECT_EQ(client().remote_address(), peer().local_address());
}

TEST_P(ConnectTest, ALocalAddressThatIsNotOursComesAsAnError) {
  if (simulated()) GTEST_SKIP() << "the simulator has every address";
  const Record seen = failed({.port = 80, .local_address = "192.0.2.7"});
  ASSERT_EQ(seen.errors.size(), 1U);
  EXPECT_EQ(seen.errors[0].message(), "bind EADDRNOTAVAIL 192.0.2.7");
}

TEST_P(ConnectTest, DestroyWhileConnectingGivesOneCloseAndNoError) {
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("lost");
  client().destroy();
  EXPECT_TRUE(client().destroyed());
  EXPECT_TRUE(client_record_.events.empty()) << "an event inside destroy()";
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  run_for(2ms);
  EXPECT_EQ(client_record_.order(), "close");
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

TEST_P(ConnectTest, DestroyOfAnUnansweredConnectIsPrompt) {
  if (!simulated()) GTEST_SKIP() << "only the simulator knows that nobody answers";
  Record seen;
  Socket socket(reactor());
  record(socket, seen);
  ASSERT_TRUE(socket.connect({.host = "192.0.2.1", .port = 80, .timeout = 3s}).has_value());
  run_for(1s);
  EXPECT_EQ(seen.order(), "");
  const Instant begin = reactor().now();
  socket.destroy(errno_code(ECANCELED));
  ASSERT_TRUE(run_until([&] { return seen.closes != 0; }));
  EXPECT_EQ(reactor().now(), begin);
  EXPECT_EQ(seen.order(), "error close");
  run_for(5s);
  EXPECT_EQ(seen.order(), "error close");
}

TEST_P(ConnectTest, ResetWhileConnectingClosesOnce) {
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  EXPECT_TRUE(client().reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  run_for(2ms);
  EXPECT_EQ(client_record_.closes, 1);
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_EQ(client_record_.events.back(), "close");
}

TEST_P(ConnectTest, DeletingASocketThatConnectsCallsNobody) {
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("lost");
  client_.reset();
  run_for(5ms);
  EXPECT_EQ(client_record_.order(), "");
  ASSERT_TRUE(run_until([&] { return reactor().counters().sockets == 0; }));
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

TEST_P(ConnectTest, TheSameObjectConnectsAgainWithFreshCounters) {
  listen();
  server_->on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  for (int round = 1; round <= 5; ++round) {
    client_record_ = {};
    peer_record_ = {};
    ASSERT_TRUE(client().connect(to_).has_value());
    EXPECT_EQ(client().bytes_read(), 0U);
    EXPECT_EQ(client().bytes_written(), 0U);
    EXPECT_EQ(client().ready_state(), ReadyState::opening);
    EXPECT_FALSE(client().writable_ended());
    EXPECT_FALSE(client().writable_finished());
    EXPECT_EQ(client().write("ping"), Write::ok);
    ASSERT_TRUE(run_until([&] { return client_record_.bytes == "ping"; }));
    // Every way to end the one before must leave a clean slate.
    if (round % 3 == 0) client().destroy();
    if (round % 3 == 1) client().end();
    if (round % 3 == 2) {
      ASSERT_TRUE(client().reset_and_destroy().has_value());
    }
    ASSERT_TRUE(run_until_closed());
    EXPECT_EQ(client_record_.closes, 1) << "round " << round;
    EXPECT_FALSE(client_record_.closed_with);
    EXPECT_EQ(client().bytes_read(), 4U);
  }
  EXPECT_EQ(reactor().counters().sockets, 0U);
}

TEST_P(ConnectTest, ConnectInsideCloseWorksAndBeforeCloseDoesNot) {
  listen();
  int connects = 0;
  bool early_refused = false;
  client().on_connect([&](Socket& socket) {
    if (++connects > 1) return;
    socket.destroy();
    early_refused = !socket.connect(to_).has_value();
  });
  client().on_close([&](Socket& socket, std::error_code) {
    if (connects > 1) return;
    EXPECT_TRUE(socket.connect(to_).has_value());
  });
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return connects == 2; }));
  EXPECT_TRUE(early_refused);
}

TEST_P(ConnectTest, AfterARefusalTheObjectConnectsElsewhere) {
  const int port = closed_port();
  listen();
  ASSERT_TRUE(client().connect({.port = port}).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.closes == 1; }));
  client_record_ = {};
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("now");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "now"; }));
}

TEST_P(ConnectTest, AUnixPathConnects) {
  join({.over_unix = true});
  client().write("over a path");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "over a path"; }));
  EXPECT_EQ(client().remote_address().family(), Family::none);
  client().end();
  expect_all_gone();
  EXPECT_FALSE(client_record_.closed_with);
}

TEST_P(ConnectTest, AUnixPathThatDoesNotExistIsENOENT) {
  const std::string path = socket_path();
  const Record seen = failed({.path = path});
  ASSERT_EQ(seen.errors.size(), 1U);
  EXPECT_EQ(seen.errors[0].message(), "connect ENOENT " + path);
  EXPECT_EQ(seen.closed_with, errno_code(ENOENT));
}

TEST_P(ConnectTest, APathWithoutAListenerIsRefused) {
  if (simulated()) GTEST_SKIP() << "needs a file";
  const std::string path = socket_path();
  std::ofstream(path) << "plain";
  EXPECT_EQ(failed({.path = path}).error(), "ECONNREFUSED");
}

TEST_P(ConnectTest, AUnixPathThatIsTooLongIsInvalid) {
  Record seen;
  Socket socket(reactor());
  record(socket, seen);
  const auto started = socket.connect({.path = "/tmp/" + std::string(120, 'p')});
  if (!started) {
    EXPECT_EQ(started.error().code, errno_code(EINVAL)) << started.error().message();
    return;
  }
  ASSERT_TRUE(run_until([&] { return seen.closes != 0; }));
  EXPECT_EQ(seen.order(), "error close");
  EXPECT_EQ(seen.error(), "EINVAL");
}

TEST_P(ConnectTest, AFreshSocketIsNeitherOpenNorDestroyed) {
  Record seen;
  {
    Socket socket(reactor());
    record(socket, seen);
    EXPECT_FALSE(socket.connecting());
    EXPECT_FALSE(socket.destroyed());
    EXPECT_FALSE(socket.writable());
    EXPECT_EQ(socket.native_handle(), -1);
    EXPECT_EQ(socket.write("x"), Write::closed);
    const auto reset = socket.reset_and_destroy();
    ASSERT_FALSE(reset.has_value());
    EXPECT_EQ(reset.error().code, Mistake::socket_closed);
    socket.pause();
    socket.resume();
    socket.set_timeout(1ms);
    socket.set_timeout(0ms);
    socket.unref();
    socket.ref();
    run_for(1ms);
  }
  EXPECT_TRUE(run_returns());
  EXPECT_EQ(seen.count("close"), 0);
}

// Whoever waits for an answer is told, also when its way back is given to another.
TEST_P(ConnectTest, AReplyThatIsReplacedHasFailed) {
  struct Latest final : net::Resolver {
    void resolve(std::string_view, Family, net::ResolveReply reply) override {
      if (kept) {
        *kept = std::move(reply);
      } else {
        kept.emplace(std::move(reply));
      }
    }
    std::optional<net::ResolveReply> kept;
  } latest;
  listen();
  Record first_record;
  Socket first(reactor());
  record(first, first_record);
  ASSERT_TRUE(first.connect({.host = "x", .port = 1, .resolver = &latest}).has_value());
  ASSERT_TRUE(client()
                  .connect({.host = "y", .port = to_.port, .resolver = &latest})
                  .has_value());
  ASSERT_TRUE(run_until([&] { return first_record.closes == 1; }));
  EXPECT_EQ(first_record.errors.at(0).code, ResolveError::failed);
  EXPECT_FALSE(client_record_.has("ready"));
  latest.kept->found({Address::parse_ip("127.0.0.1", 0)->ip()});
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready"); }));
}

WEIR_ON_ALL_BACKENDS(ConnectTest);

}  // namespace
}  // namespace weir::test
