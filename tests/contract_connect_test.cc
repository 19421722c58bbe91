// The contract of connect(): its forms, its events and their order, what ends it early, and
// connecting the same object again.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "tests/dial.h"
#include "tests/rules.h"
#include "weir/net/block_list.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::ReadyState;
using How = TestResolver::How;

class ConnectContractTest : public DialTest {
 protected:
  // Whether a socket that is told so by `connect` arrives at the server.
  template <class Connect>
  void expect_arrives(const Connect& connect) {
    const long before = arrivals_;
    Socket socket(reactor());
    bool connected = false;
    socket.on_connect([&](Socket&) { connected = true; });
    ASSERT_TRUE(connect(socket).has_value());
    EXPECT_FALSE(connected) << "'connect' inside connect()";
    EXPECT_TRUE(run_until([&] { return connected && arrivals_ == before + 1; }));
  }
  void count_arrivals() {
    server_->on_connection([this](Socket&) { ++arrivals_; });
  }
  template <class Text>
  std::string refusal(const Text& text) {
    Socket socket(reactor());
    const auto started = socket.connect(text);
    return started ? "" : std::string(name_of(started.error().code));
  }
  std::string refusal_of(const net::ConnectOptions& to) {
    Socket socket(reactor());
    const auto started = socket.connect(to);
    return started ? "" : std::string(name_of(started.error().code));
  }
  // A port that nobody listens on.
  int closed_port() {
    const auto fd = reactor().backend().listen(Address::loopback_ipv4(0), {});
    EXPECT_TRUE(fd.has_value());
    const int port = reactor().backend().address(*fd, End::local).port();
    reactor().backend().close(*fd);
    return port;
  }

  long arrivals_ = 0;
};

TEST_P(ConnectContractTest, OptionsConnectAndTheEventsComeInOrderAfterwards) {
  RULES("2.3.1.1 2.3.1.6 2.3.2.2 2.3.2.3 2.3.2.4 2.3.2.5");
  NODE_TEST("socket-connect-without-cb socket-ready-without-cb");
  listen();
  server_->on_connection([](Socket& socket) { socket.write("first"); });
  Socket late(reactor());
  Record seen;
  ASSERT_TRUE(late.connect(to_ = {.host = "127.0.0.1", .port = to_.port}).has_value());
  std::string attempted;
  late.on_connection_attempt([&](Socket&, const Address& to) { attempted = to.to_string(); });
  record(late, seen);
  record_data(late, seen);
  record_attempts(late, seen);
  ASSERT_TRUE(run_until([&] { return seen.bytes == "first"; }));
  EXPECT_EQ(seen.order(), "attempt:127.0.0.1 connect ready data");
  EXPECT_EQ(attempted, "127.0.0.1:" + text_port());
}

TEST_P(ConnectContractTest, TextThatIsANumberIsAPort) {
  RULES("2.3.1.1 2.3.1.2 2.3.1.3");
  NODE_TEST("connect-options-port");
  listen();
  count_arrivals();
  const std::string port = text_port();
  expect_arrives([&](Socket& socket) { return socket.connect(port); });
  expect_arrives([&](Socket& socket) { return socket.connect(std::string_view(port)); });
  expect_arrives([&](Socket& socket) { return socket.connect(port.c_str()); });
  expect_arrives([&](Socket& socket) { return socket.connect(port, "127.0.0.1"); });
  expect_arrives([&](Socket& socket) { return socket.connect(port, "localhost"); });
  expect_arrives([&](Socket& socket) { return socket.connect({.port = to_.port}); });
  EXPECT_EQ(refusal("65536"), "ERR_SOCKET_BAD_PORT");
  EXPECT_EQ(refusal("99999999999999999999"), "ERR_SOCKET_BAD_PORT");
  EXPECT_EQ(refusal_of({.port = 65536}), "ERR_SOCKET_BAD_PORT");
  EXPECT_EQ(refusal_of({.port = -2}), "ERR_SOCKET_BAD_PORT");
  EXPECT_EQ(refusal_of({.host = "127.0.0.1"}), "ERR_MISSING_ARGS");
}

TEST_P(ConnectContractTest, AnyOtherTextIsAPath) {
  RULES("2.3.1.1 2.3.1.4");
  NODE_TEST("connect-options-path");
  listen({.over_unix = true});
  count_arrivals();
  expect_arrives([&](Socket& socket) { return socket.connect(to_.path); });
  expect_arrives([&](Socket& socket) { return socket.connect(to_.path.c_str()); });
  expect_arrives([&](Socket& socket) { return socket.connect({.path = to_.path}); });
  expect_arrives([&](Socket& socket) {
    return socket.connect({.host = "nowhere.invalid", .port = 1, .path = to_.path});
  });
  for (const char* path : {"-1", "80x", "not/there"}) {
    Record seen;
    Socket socket(reactor());
    record(socket, seen);
    ASSERT_TRUE(socket.connect(path).has_value()) << path;
    ASSERT_TRUE(run_until([&] { return seen.closes != 0; }));
    ASSERT_EQ(seen.errors.size(), 1U);
    EXPECT_EQ(seen.errors[0].message(), "connect ENOENT " + std::string(path));
  }
}

TEST_P(ConnectContractTest, TheCallbackIsAConnectListenerThatRunsOnce) {
  RULES("2.3.1.5 2.3.1.6");
  NODE_TEST("connect-call-socket-connect");
  listen();
  std::string calls;
  const auto once = [&](Socket& socket) {
    EXPECT_FALSE(socket.connecting());
    calls += "c";
  };
  client().on_connect([&](Socket&) { calls += "b"; });
  client().on_ready([&](Socket&) { calls += "r"; });
  ASSERT_TRUE(client().connect(to_, once).has_value());
  EXPECT_EQ(calls, "");
  ASSERT_TRUE(run_until_ready());
  client().destroy();
  ASSERT_TRUE(run_until_closed());
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.count("ready") == 2; }));
  EXPECT_EQ(calls, "bcrbr");
}

TEST_P(ConnectContractTest, ACallbackThatDidNotRunWaitsForTheNextConnect) {
  RULES("2.3.1.5 2.3.6.4");
  listen();
  int calls = 0;
  ASSERT_TRUE(client().connect({.host = "127.0.0.1", .port = closed_port()},
                               [&](Socket&) { ++calls; }).has_value());
  ASSERT_TRUE(run_until_client_closed());
  EXPECT_EQ(calls, 0);
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until_ready());
  EXPECT_EQ(calls, 1);
}

TEST_P(ConnectContractTest, ALookupTellsOfEachAddress) {
  RULES("2.3.2.1 2.3.2.3 2.3.2.4");
  NODE_TEST("dns-custom-lookup");
  listen();
  std::vector<net::LookupResult> results;
  client().on_lookup([&](Socket&, const net::LookupResult& result) { results.push_back(result); });
  dial({"127.0.0.1", "::1"});
  EXPECT_TRUE(results.empty()) << "'lookup' inside connect()";
  ASSERT_TRUE(run_until_ready());
  EXPECT_EQ(client_record_.order(),
            "lookup:127.0.0.1 lookup:::1 attempt:127.0.0.1 connect ready");
  ASSERT_EQ(results.size(), 2U);
  for (const auto& result : results) {
    EXPECT_FALSE(result.error);
    EXPECT_EQ(result.host, "some.name");
  }
  EXPECT_EQ(results[0].address.family, Family::ipv4);
  EXPECT_EQ(results[1].address.family, Family::ipv6);
  ASSERT_EQ(resolver_.asked.size(), 1U);
  EXPECT_EQ(resolver_.asked[0].first, "some.name");
  EXPECT_EQ(resolver_.asked[0].second, Family::none);
}

TEST_P(ConnectContractTest, LocalhostIsLookedUp) {
  RULES("2.3.2.1 2.3.2.3 2.3.1.2");
  NODE_TEST("dns-lookup");
  listen();
  std::vector<net::LookupResult> results;
  client().on_lookup([&](Socket&, const net::LookupResult& result) { results.push_back(result); });
  ASSERT_TRUE(client().connect({.port = to_.port, .family = Family::ipv4}).has_value());
  ASSERT_TRUE(run_until_ready());
  ASSERT_GE(results.size(), 1U);
  for (const auto& result : results) {
    EXPECT_FALSE(result.error);
    EXPECT_EQ(result.host, "localhost");
    EXPECT_EQ(result.address.family, Family::ipv4);
    EXPECT_EQ(result.address.ip(), "127.0.0.1");
  }
  EXPECT_EQ(client_record_.events[results.size()], "attempt:127.0.0.1");
}

TEST_P(ConnectContractTest, ANumericHostIsNotLookedUp) {
  RULES("2.3.2.2 2.4.1.2");
  NODE_TEST("dns-lookup-skip");
  listen();
  to_.resolver = &resolver_;
  for (const char* host : {"127.0.0.1", "::ffff:127.0.0.1"}) {
    client_record_ = {};
    to_.host = host;
    ASSERT_TRUE(client().connect(to_).has_value());
    ASSERT_TRUE(run_until([&] { return client_record_.has("ready") || client_record_.closes; }));
    EXPECT_EQ(client_record_.events.front(), "attempt:" + std::string(host));
    client().destroy();
    ASSERT_TRUE(run_until_client_closed());
    EXPECT_TRUE(resolver_.asked.empty());
  }
}

TEST_P(ConnectContractTest, Ipv6ByLiteralAndByName) {
  RULES("2.3.1.1 2.3.2.1 2.3.2.2");
  NODE_TEST("connect-options-ipv6");
  Server server(reactor());
  const auto bound = server.listen({.port = 0, .host = "::1"});
  if (!bound) GTEST_SKIP() << "no IPv6 here: " << bound.error().message();
  resolver_.set({"127.0.0.1", "::1"});
  for (const std::string host : {"::1", "a.name"}) {
    Socket socket(reactor());
    Record seen;
    record(socket, seen);
    record_attempts(socket, seen);
    ASSERT_TRUE(socket.connect({.host = host, .port = bound->port(), .family = Family::ipv6,
                                .resolver = &resolver_}).has_value());
    ASSERT_TRUE(run_until([&] { return seen.has("ready"); }));
    EXPECT_EQ(seen.count("attempt:::1"), 1);
    EXPECT_FALSE(seen.has("attempt:127.0.0.1"));
    EXPECT_EQ(seen.has("lookup:::1"), host != "::1");
    EXPECT_EQ(socket.remote_address(), *bound);
  }
  ASSERT_EQ(resolver_.asked.size(), 1U);
  EXPECT_EQ(resolver_.asked[0].second, Family::ipv6);
}

TEST_P(ConnectContractTest, EarlyWritesGoOutAfterTheConnectListeners) {
  RULES("2.3.3.2");
  NODE_TEST("connect-buffer connect-buffer2");
  listen();
  std::string log;
  const auto note_done = [&](Socket&, std::error_code code) { log += code ? "failed " : "done "; };
  ASSERT_TRUE(client().connect(to_).has_value());
  EXPECT_EQ(client().write("early ", note_done), Write::ok);
  EXPECT_EQ(client().write("bird ", note_done), Write::ok);
  EXPECT_EQ(client().writable_length(), 11U);
  EXPECT_EQ(client().bytes_written(), 11U);
  client().on_connect([&](Socket& socket) {
    log += std::to_string(socket.writable_length()) + " ";
    socket.write("late", note_done);
  });
  client().on_connect([&](Socket& socket) {
    log += std::to_string(socket.writable_length()) + " ";
    socket.end();
  });
  EXPECT_EQ(log, "");
  expect_all_gone();
  EXPECT_EQ(log, "11 15 done done done ");
  EXPECT_EQ(peer_record_.bytes, "early bird late");
  EXPECT_EQ(client().bytes_written(), 15U);
  EXPECT_EQ(client().writable_length(), 0U);
}

TEST_P(ConnectContractTest, AFailedConnectFailsTheAttemptThenErrorsThenCloses) {
  RULES("2.3.4.1 2.3.4.2 2.3.4.3 2.3.5.1");
  NODE_TEST("connect-econnrefused");
  listen();
  const int port = closed_port();
  std::string log;
  std::vector<Error> failed;
  client().on_connection_attempt_failed([&](Socket&, const Error& error) {
    failed.push_back(error);
  });
  client().on_error([&](Socket& socket, const Error&) {
    if (socket.destroyed()) log += "gone ";
  });
  const auto note_done = [&](Socket&, std::error_code code) { log.append(name_of(code)) += ' '; };
  ASSERT_TRUE(client().connect({.host = "127.0.0.1", .port = port}).has_value());
  EXPECT_EQ(client().write("lost", note_done), Write::ok);
  EXPECT_EQ(client().write("lost", note_done), Write::ok);
  client().end(note_done);
  ASSERT_TRUE(run_until_client_closed());
  EXPECT_EQ(client_record_.order(), "attempt:127.0.0.1 failed:127.0.0.1 error close");
  EXPECT_EQ(client_record_.closed_with, errno_code(ECONNREFUSED));
  const std::string message = "connect ECONNREFUSED 127.0.0.1:" + std::to_string(port);
  ASSERT_EQ(failed.size(), 1U);
  EXPECT_EQ(failed[0].message(), message);
  ASSERT_EQ(client_record_.errors.size(), 1U);
  EXPECT_EQ(client_record_.errors[0].message(), message);
  EXPECT_STREQ(client_record_.errors[0].syscall, "connect");
  EXPECT_EQ(client_record_.errors[0].number(), -ECONNREFUSED);
  const std::string three = "ECONNREFUSED ECONNREFUSED ECONNREFUSED ";
  EXPECT_TRUE(log == three + "gone " || log == "gone " + three) << log;
  server_->close();
  EXPECT_TRUE(run_returns()) << "a refused connect has left something";
  EXPECT_EQ(reactor().counters().sockets, 0U);
}

TEST_P(ConnectContractTest, DestroyInTheSameCallEndsAConnectSilently) {
  RULES("2.3.6.1");
  NODE_TEST("connect-destroy connect-immediate-destroy");
  listen();
  to_.resolver = &resolver_;
  resolver_.set({"127.0.0.1"});
  for (const char* host : {"127.0.0.1", "a.name"}) {
    client_record_ = {};
    to_.host = host;
    ASSERT_TRUE(client().connect(to_).has_value());
    client().destroy();
    EXPECT_EQ(client_record_.order(), "");
    ASSERT_TRUE(run_until_client_closed());
    run_for(1ms);
    EXPECT_EQ(client_record_.events.back(), "close");
    EXPECT_EQ(client_record_.closes, 1);
    EXPECT_FALSE(client_record_.has("connect") || client_record_.has("error"));
    EXPECT_FALSE(client_record_.closed_with);
  }
}

TEST_P(ConnectContractTest, DestroyInAnyEventOfConnectingIsTheLast) {
  RULES("2.3.6.1");
  listen();
  hang("127.0.0.2");
  to_.attempt_timeout = 10ms;
  struct {
    const char* addresses[2];
    const char* order;
  } const cases[] = {
      {{"127.0.0.1", "127.0.0.2"}, "lookup:127.0.0.1 close"},
      {{"127.0.0.1", "127.0.0.3"}, "lookup:127.0.0.1 lookup:127.0.0.3 attempt:127.0.0.1 close"},
      {{"127.0.0.3", "127.0.0.1"},
       "lookup:127.0.0.3 lookup:127.0.0.1 attempt:127.0.0.3 failed:127.0.0.3 close"},
      {{"127.0.0.2", "127.0.0.1"},
       "lookup:127.0.0.2 lookup:127.0.0.1 attempt:127.0.0.2 timeout:127.0.0.2 close"},
  };
  int step = 0;
  const auto end_at = [&](int at, Socket& socket) {
    if (step == at) socket.destroy();
  };
  client().on_lookup([&](Socket& socket, const net::LookupResult&) { end_at(0, socket); });
  client().on_connection_attempt([&](Socket& socket, const Address&) { end_at(1, socket); });
  client().on_connection_attempt_failed([&](Socket& socket, const Error&) { end_at(2, socket); });
  client().on_connection_attempt_timeout([&](Socket& socket, const Address&) {
    end_at(3, socket);
  });
  for (const auto& one : cases) {
    client_record_ = {};
    dial({one.addresses[0], one.addresses[1]});
    ASSERT_TRUE(run_until_client_closed());
    run_for(1ms);
    EXPECT_EQ(client_record_.order(), one.order);
    EXPECT_FALSE(client_record_.closed_with);
    ++step;
  }
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(ConnectContractTest, DestroyWhileNobodyAnswersIsPrompt) {
  RULES("2.3.6.1");
  listen();
  hang("127.0.0.2");
  to_.host = "127.0.0.2";
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.has("attempt:127.0.0.2"); }));
  run_for(1ms);
  EXPECT_TRUE(client().connecting());
  client().write("lost");
  client().destroy();
  ASSERT_TRUE(run_until_client_closed());
  EXPECT_EQ(client_record_.order(), "attempt:127.0.0.2 close");
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

// Answers that come too late, twice, or never; the reply outlives the socket.
TEST_P(ConnectContractTest, AnAnswerOfAResolverMayComeTooLate) {
  RULES("2.3.6.1");
  TestResolver slow(How::keep);
  slow.set({"127.0.0.1"});
  listen();
  to_.host = "slow.name";
  to_.resolver = &slow;
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return slow.kept.size() == 1; }));
  client().destroy();
  ASSERT_TRUE(run_until_client_closed());
  slow.answer(slow.kept[0]);
  run_for(1ms);
  EXPECT_EQ(client_record_.order(), "close");
  EXPECT_FALSE(client_record_.closed_with);
  // A late answer to the first connect() is none to the second one.
  client_record_ = {};
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return slow.kept.size() == 2; }));
  slow.kept[0].failed(make_error_code(ResolveError::failed));
  run_for(1ms);
  EXPECT_EQ(client_record_.order(), "");
  slow.answer(slow.kept[1]);
  slow.kept[1].failed(make_error_code(ResolveError::failed));
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready") || client_record_.closes; }));
  EXPECT_EQ(client_record_.order(), "lookup:127.0.0.1 attempt:127.0.0.1 connect ready");
  {
    Socket gone(reactor());
    ASSERT_TRUE(gone.connect(to_).has_value());
    ASSERT_TRUE(run_until([&] { return slow.kept.size() == 3; }));
  }
  slow.answer(slow.kept[2]);
  run_for(1ms);
  slow.kept.clear();
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(ConnectContractTest, ConnectRightAfterDestroyDoesNoHarm) {
  RULES("2.3.6.1 2.3.6.2");
  NODE_TEST("connect-after-destroy");
  listen();
  client().destroy();
  static_cast<void>(client().connect(to_));
  run_for(2ms);
  Socket other(reactor());
  Record seen;
  record(other, seen);
  ASSERT_TRUE(other.connect(to_).has_value());
  other.destroy();
  const auto early = other.connect(to_);
  ASSERT_FALSE(early.has_value()) << "'close' has not come";
  ASSERT_TRUE(run_until([&] { return seen.closes == 1; }));
  EXPECT_EQ(seen.order(), "close");
  ASSERT_TRUE(other.connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return seen.has("ready"); }));
}

TEST_P(ConnectContractTest, TheSameObjectConnectsFiftyTimes) {
  RULES("2.3.6.2 2.3.6.3 2.3.6.4");
  NODE_TEST("reconnect");
  listen();
  server_->on_connection([](Socket& socket) { socket.end("caf\xe9"); });
  client().set_encoding(net::Encoding::latin1);
  for (int round = 1; round <= 50; ++round) {
    client_record_ = {};
    ASSERT_TRUE(client().connect(to_).has_value());
    EXPECT_EQ(client().bytes_read(), 0U);
    EXPECT_EQ(client().bytes_written(), 0U);
    EXPECT_EQ(client().ready_state(), ReadyState::opening);
    client().write("hello");
    EXPECT_EQ(client().bytes_written(), 5U);
    ASSERT_TRUE(run_until_closed());
    EXPECT_EQ(client().bytes_read(), 4U);
    EXPECT_EQ(client().ready_state(), ReadyState::closed);
    ASSERT_EQ(client_record_.order(),
              "attempt:127.0.0.1 connect ready data end finish close") << round;
    EXPECT_EQ(client_record_.bytes, "caf\xc3\xa9") << "the encoding stays";
    EXPECT_FALSE(client_record_.closed_with);
  }
}

TEST_P(ConnectContractTest, ConnectInsideCloseAfterRefusals) {
  RULES("2.3.6.2 2.3.6.4 2.3.4.1");
  NODE_TEST("reconnect-error");
  listen();
  const int port = closed_port();
  constexpr int kTimes = 20;
  client().on_close([&](Socket& socket, std::error_code code) {
    EXPECT_EQ(code, errno_code(ECONNREFUSED));
    if (client_record_.closes == kTimes) return;
    EXPECT_TRUE(socket.connect({.host = "127.0.0.1", .port = port}).has_value());
  });
  ASSERT_TRUE(client().connect({.host = "127.0.0.1", .port = port}).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.closes == kTimes; }));
  run_for(1ms);
  EXPECT_EQ(client_record_.count("error"), kTimes);
  EXPECT_EQ(client_record_.count("attempt:127.0.0.1"), kTimes);
  EXPECT_EQ(client_record_.events.size(), 4U * kTimes);
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until_ready());
}

TEST_P(ConnectContractTest, ASecondConnectIsRefusedAndChangesNothing) {
  RULES("2.3.7.1 2.3.7.2");
  listen();
  const auto expect_refused = [&](const net::ConnectOptions& to) {
    const auto again = client().connect(to);
    ASSERT_FALSE(again.has_value());
    EXPECT_EQ(name_of(again.error().code), "ERR_SOCKET_ALREADY_CONNECTED");
  };
  const net::ConnectOptions elsewhere{.host = "127.0.0.2", .port = 1};
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("early ");
  expect_refused(elsewhere);
  expect_refused(to_);
  EXPECT_TRUE(client().connecting());
  ASSERT_TRUE(run_until_ready());
  const Address local = client().local_address();
  expect_refused(elsewhere);
  expect_refused({.path = "/no/path"});
  EXPECT_FALSE(client().connect("1").has_value());
  EXPECT_EQ(client().ready_state(), ReadyState::open);
  EXPECT_EQ(client().local_address(), local);
  client().end("late");
  expect_all_gone();
  EXPECT_EQ(peer_record_.bytes, "early late");
  EXPECT_EQ(client_record_.order(), "attempt:127.0.0.1 connect ready finish end close");
}

TEST_P(ConnectContractTest, ALocalPortIsUsed) {
  RULES("2.3.1.1");
  NODE_TEST("localport");
  listen();
  for (const char* local : {"", "127.0.0.1"}) {
    to_.local_address = local;
    // Any other process may take the free port first: then with another one.
    for (int i = 0; i < 20 && !client_record_.has("ready"); ++i) {
      client_record_ = {};
      to_.local_port = closed_port();
      ASSERT_TRUE(client().connect(to_).has_value());
      ASSERT_TRUE(run_until([&] {
        return client_record_.closes != 0 || (client_record_.has("ready") && peer_ != nullptr);
      }));
    }
    ASSERT_TRUE(client_record_.has("ready")) << client_record_.error();
    EXPECT_EQ(client().local_address().port(), to_.local_port);
    EXPECT_EQ(peer().remote_address().port(), to_.local_port);
    // A reset leaves no TIME-WAIT, so the port is free again.
    ASSERT_TRUE(client().reset_and_destroy().has_value());
    ASSERT_TRUE(run_until_closed());
    client_record_ = {};
  }
}

TEST_P(ConnectContractTest, LocalMistakesAreReturned) {
  RULES("2.3.1.1");
  NODE_TEST("localerror");
  for (const char* address : {"foobar", "localhost", "1.2.3", "[::1]"}) {
    EXPECT_EQ(refusal_of({.port = 1, .local_address = address}), "ERR_INVALID_IP_ADDRESS");
  }
  for (const int port : {-1, 65536, 1 << 20}) {
    EXPECT_EQ(refusal_of({.port = 1, .local_port = port}), "ERR_SOCKET_BAD_PORT");
  }
}

TEST_P(ConnectContractTest, ABlockedAddressIsNeverTried) {
  RULES("2.3.4.1");
  NODE_TEST("blocklist");
  listen();
  count_arrivals();
  net::BlockList list;
  ASSERT_TRUE(list.add_address("127.0.0.1").has_value());
  to_.block_list = &list;
  for (const char* host : {"127.0.0.1", "a.name"}) {
    client_record_ = {};
    resolver_.set({"127.0.0.1"});
    to_.host = host;
    to_.resolver = &resolver_;
    ASSERT_TRUE(client().connect(to_).has_value());
    ASSERT_TRUE(run_until_client_closed());
    EXPECT_EQ(client_record_.error(), "ERR_IP_BLOCKED") << host;
    EXPECT_EQ(name_of(client_record_.closed_with), "ERR_IP_BLOCKED");
  }
  run_for(1ms);
  EXPECT_EQ(arrivals_, 0);
  ASSERT_TRUE(client().connect({.host = "127.0.0.1", .port = to_.port}).has_value());
  ASSERT_TRUE(run_until_ready()) << "the list was for one connect()";
}

WEIR_ON_ALL_BACKENDS(ConnectContractTest);

class ConnectOptionsKernelTest : public DialTest {};

TEST_P(ConnectOptionsKernelTest, OptionsAreInForceInsideConnect) {
  RULES("2.3.3.1");
  PairOptions options;
  options.client.no_delay = true;
  options.client.keep_alive = true;
  options.client.keep_alive_delay = 77s;
  listen(options);
  const auto option = [](const Socket& socket, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(getsockopt(socket.native_handle(), level, name, &value, &size), 0);
    return value;
  };
  std::vector<int> values;
  client().on_connect([&](Socket& socket) {
    values = {option(socket, IPPROTO_TCP, TCP_NODELAY), option(socket, SOL_SOCKET, SO_KEEPALIVE),
              option(socket, IPPROTO_TCP, TCP_KEEPIDLE)};
  });
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until_ready());
  EXPECT_EQ(values, (std::vector<int>{1, 1, 77}));
}

WEIR_ON_KERNEL_BACKENDS(ConnectOptionsKernelTest);

}  // namespace
}  // namespace weir::test
