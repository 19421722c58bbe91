// The contract, section 4.6: the order of events, Expect, interim responses, upgrades and tunnels.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "tests/http_client_world.h"

namespace weir::test {
namespace {

using http::ClientUpgrade;

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::string_view kHello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

class OrderTest : public ClientTest {};

// ---- Events ----

TEST_P(OrderTest, OfAResponseWithABody) {
  RULES("4.6.3.1 4.6.3.4 4.6.3.7");
  NODE_TEST("http-req-res-close http-client-close-event");
  listen_and_say(std::string(kHello));
  Asked& asked = ask();
  EXPECT_EQ(asked.events, "");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kWholeWithBody);
  EXPECT_TRUE(asked.complete);
  settle();
  EXPECT_EQ(asked.events, kWholeWithBody);
}

TEST_P(OrderTest, OfAResponseWhoseConnectionEnds) {
  RULES("4.6.3.1 4.6.3.7");
  NODE_TEST("http-client-close-with-default-agent http-req-res-close");
  listen_and_say("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", Then::end);
  Asked& asked = ask();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kWholeWithBody);
  EXPECT_EQ(asked.body, "hello");
}

TEST_P(OrderTest, SocketIsToldWhileItMayConnect) {
  RULES("4.6.3.3 4.6.3.8");
  listen_and_say(std::string(kHello));
  Asked& asked = ask();
  bool connecting = false;
  const Socket* told = nullptr;
  EXPECT_EQ(asked.request().response(), nullptr);
  asked.request().on_socket([&](ClientRequest& request, Socket& socket) {
    connecting = socket.connecting();
    told = &socket;
    EXPECT_EQ(request.socket(), &socket);
    socket.on_connect([&](Socket&) { asked.note("connect"); });
  });
  asked.request().on_response([&](ClientResponse& response) {
    EXPECT_EQ(response.request().response(), &response);
    EXPECT_EQ(response.request().socket(), told);
    response.on_end([](ClientResponse& same) { EXPECT_EQ(same.request().socket(), nullptr); });
  });
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_TRUE(connecting);
  EXPECT_EQ(asked.events, "socket connect finish response data end response-close close");
}

TEST_P(OrderTest, WithoutAListenerTheBodyIsDropped) {
  RULES("4.6.3.5");
  NODE_TEST("http-no-read-no-dump http-response-close");
  listen_and_say("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + std::string(300000, 'x'));
  bool closed = false;
  const auto request = agent().get(here());
  ASSERT_TRUE(request.has_value());
  (*request)->on_close([&](ClientRequest&) { closed = true; });
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_EQ(agent().stats().idle, 1u);
}

TEST_P(OrderTest, AnEarlyResponseLetsTheRequestFinish) {
  RULES("4.6.3.6");
  NODE_TEST("http-client-finished http-client-keep-alive-release-before-finish");
  listen();
  Asked& asked = begin({.method = "POST"});
  asked.request().write("a");
  ASSERT_TRUE(run_until_head());
  say(kHello);
  ASSERT_TRUE(run_until_told(asked, "response-close"));
  settle();
  EXPECT_EQ(asked.events, "socket response data end response-close");
  EXPECT_EQ(agent().stats().idle, 0u);
  asked.request().end("b");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket response data end response-close finish close");
  const std::string sent = head("POST /", "", "Transfer-Encoding: chunked\r\n") +
                           "1\r\na\r\n1\r\nb\r\n0\r\n\r\n";
  ASSERT_TRUE(run_until_got(sent));
  EXPECT_EQ(peer().received, sent);
  EXPECT_EQ(agent().stats().idle, 1u);
}

TEST_P(OrderTest, AnEarlyLastResponseEndsTheRequest) {
  RULES("4.6.3.6");
  NODE_TEST("http-client-finished");
  listen();
  Asked& asked = begin({.method = "POST"});
  asked.request().write("a");
  ASSERT_TRUE(run_until_head());
  say("HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket response end response-close close");
  EXPECT_EQ(asked.status, 413);
}

TEST_P(OrderTest, ARequestInAListenerOfEndGetsTheConnection) {
  RULES("4.6.3.1");
  NODE_TEST("http-client-race-2");
  listen_and_say(std::string(kHello));
  Asked& first = ask();
  first.request().on_response([&](ClientResponse& response) {
    response.on_end([&](ClientResponse&) { ask({.target = "/2"}); });
  });
  ASSERT_TRUE(run_until([&] { return asked_.size() == 2 && asked_[1].over(); }));
  EXPECT_EQ(peers_.size(), 1u);
  EXPECT_TRUE(asked_[1].reused);
  EXPECT_EQ(asked_[1].body, "hello");
  EXPECT_EQ(peer().received, head("GET /") + head("GET /2"));
}

TEST_P(OrderTest, BodiesOfParallelRequestsAreNotMixed) {
  RULES("4.6.3.1");
  NODE_TEST("http-client-race http-get-pipeline-problem");
  serve([](Request& request, Response& response) {
    response.end(std::string(20000, request.target()[1]));
  });
  for (char c = 'a'; c < 'k'; ++c) ask({.target = std::string("/") + c});
  for (std::size_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(run_until_over(asked_[i]));
    EXPECT_EQ(asked_[i].body, std::string(20000, static_cast<char>('a' + i)));
  }
}

TEST_P(OrderTest, AWeakReferenceTurnsNullBehindClose) {
  RULES("4.6.12.1");
  listen_and_say(std::string(kHello));
  Asked& asked = ask();
  EXPECT_NE(asked.ref.get(), nullptr);
  ClientRequest* in_close = nullptr;
  asked.request().on_close([&](ClientRequest& request) { in_close = &request; });
  const ClientRequest* const request = asked.ref.get();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(in_close, request);
  EXPECT_EQ(asked.ref.get(), nullptr);
  EXPECT_EQ(ClientRequestRef().get(), nullptr);
  Asked& next = ask();
  EXPECT_EQ(asked.ref.get(), nullptr);
  EXPECT_NE(next.ref.get(), nullptr);
  const ClientRequestRef left = next.ref;
  agent_.reset();
  settle();
  EXPECT_EQ(left.get(), nullptr);
  EXPECT_EQ(next.events, "");
}

TEST_P(OrderTest, TheAgentMayGoInAnyListener) {
  RULES("4.6.12.2");
  for (const std::string_view word :
       {"socket", "finish", "response", "data", "end", "response-close", "close"}) {
    SCOPED_TRACE(word);
    listen_and_say(std::string(kHello));
    Asked& asked = asked_.emplace_back();
    const auto made = agent().get(here());
    ASSERT_TRUE(made.has_value());
    const auto leave = [this, &asked, word](std::string_view here) {
      asked.note(here);
      if (here == word) agent_.reset();
    };
    ClientRequest& request = **made;
    request.on_socket([=](ClientRequest&, Socket&) { leave("socket"); });
    request.on_finish([=](ClientRequest&) { leave("finish"); });
    request.on_close([=](ClientRequest&) { leave("close"); });
    request.on_response([=](ClientResponse& response) {
      response.on_data([=](ClientResponse&, Buffer) { leave("data"); });
      response.on_end([=](ClientResponse&) { leave("end"); });
      response.on_close([=](ClientResponse&) { leave("response-close"); });
      leave("response");
    });
    ASSERT_TRUE(run_until([&] { return agent_ == nullptr; })) << asked.events;
    settle();
    EXPECT_TRUE(asked.events.ends_with(word)) << asked.events;
    EXPECT_TRUE(std::string(kWholeWithBody).starts_with(asked.events)) << asked.events;
  }
}

// ---- Interim responses ----

TEST_P(OrderTest, ExpectSendsTheHeadAtOnceAndTheBodyWhenItIsWritten) {
  RULES("4.6.4.1 4.6.4.2");
  NODE_TEST("http-expect-continue");
  listen();
  Asked& asked = begin({.method = "POST",
                        .headers = {{"Expect", "100-continue"}, {"Content-Length", "4"}}});
  const std::string sent = head("POST /", "Expect: 100-continue\r\nContent-Length: 4\r\n");
  ASSERT_TRUE(run_until_got(sent));
  settle();
  EXPECT_EQ(peer().received, sent);
  EXPECT_EQ(asked.events, "socket");
  asked.request().on_continue([](ClientRequest& request) { request.end("body"); });
  say(kContinue);
  ASSERT_TRUE(run_until_got(sent + "body"));
  EXPECT_EQ(peer().received, sent + "body");
  say(kHello);
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events,
            "socket continue 100 finish response data end response-close close");
}

TEST_P(OrderTest, ExpectWithoutALengthIsChunked) {
  RULES("4.6.4.1");
  NODE_TEST("http-expect-handling http-expect-continue");
  serve([](Request& request, Response& response) {
    request.read_body(100, [](Request&, Response& answer, std::string_view body) {
      answer.end(body);
    });
    static_cast<void>(response);
  });
  Asked& asked = begin({.method = "POST", .headers = {{"Expect", "100-continue"}}});
  asked.request().on_continue([](ClientRequest& request) { request.end("body"); });
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.body, "body");
  EXPECT_TRUE(asked.has("continue")) << asked.events;
}

TEST_P(OrderTest, AFinalAnswerInThePlaceOf100NeedsNoBody) {
  RULES("4.6.4.3");
  NODE_TEST("http-expect-handling http-expect-continue-reuse-race");
  listen();
  Asked& asked = begin({.method = "POST",
                        .headers = {{"Expect", "100-continue"}, {"Content-Length", "4"}}});
  ASSERT_TRUE(run_until_head());
  say("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket response end response-close close");
  EXPECT_EQ(asked.status, 417);
  ASSERT_TRUE(run_until_left());
  EXPECT_EQ(agent().stats().sockets, 0u);
}

TEST_P(OrderTest, InterimResponsesAreTold) {
  RULES("4.6.3.2 4.6.4.4");
  NODE_TEST("http-information-headers http-information-processing http-early-hints");
  listen();
  Asked& asked = ask();
  std::string told;
  asked.request().on_information([&](ClientRequest&, const ReceivedHead& head) {
    told += std::to_string(head.status) + std::string(head.reason);
    for (const http::Field& field : head.fields) {
      told.append(" ").append(field.name).append("=").append(field.value);
    }
    told += ';';
  });
  ASSERT_TRUE(run_until_head());
  say("HTTP/1.1 102 Processing\r\n\r\n");
  say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nlink: </b>\r\n\r\nHTTP/1.1 199 \r\n\r\n");
  say(kHello);
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket finish 102 103 199 response data end response-close close");
  EXPECT_EQ(told, "102Processing;103Early Hints Link=</a> link=</b>;199;");
}

TEST_P(OrderTest, A100ThatNobodyAskedForIsToldAndPassedOver) {
  RULES("4.6.4.6");
  listen();
  Asked& asked = ask();
  ASSERT_TRUE(run_until_head());
  say(kContinue);
  say(kHello);
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events,
            "socket finish continue 100 response data end response-close close");
  EXPECT_EQ(agent().stats().idle, 1u);
}

TEST_P(OrderTest, MoreInterimResponsesThanMaxInterimAreAnError) {
  RULES("4.6.4.5");
  agent_options_.max_interim = 3;
  listen();
  Asked& good = ask();
  ASSERT_TRUE(run_until_head());
  for (int i = 0; i < 3; ++i) say("HTTP/1.1 102 \r\n\r\n");
  say(kHello);
  ASSERT_TRUE(run_until_over(good));
  EXPECT_EQ(good.body, "hello");
  Asked& bad = ask();
  ASSERT_TRUE(run_until_got(peer().received + peer().received));
  for (int i = 0; i < 4; ++i) say("HTTP/1.1 102 \r\n\r\n");
  ASSERT_TRUE(run_until_over(bad));
  EXPECT_EQ(bad.events, "socket finish 102 102 102 error close");
  EXPECT_EQ(name_of(bad.error.code), "ERR_HTTP_TOO_MANY_INTERIM_RESPONSES");
}

WEIR_ON_ALL_BACKENDS(OrderTest);

// ---- Upgrades and tunnels ----

class TunnelTest : public ClientTest {
 protected:
  static constexpr std::string_view kSwitching =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n";

  void TearDown() override {
    tunnel_.reset();
    ClientTest::TearDown();
  }

  static RequestOptions upgrading() {
    static const std::initializer_list<http::Field> kFields = {{"Connection", "Upgrade"},
                                                               {"Upgrade", "own"}};
    return {.headers = kFields};
  }
  void take(ClientUpgrade& upgrade) {
    tunnel_ = std::move(upgrade.socket);
    head_ = upgrade.head.view();
    status_ = upgrade.response.status();
    EXPECT_EQ(&upgrade.response.request(), &upgrade.request);
    tunnel_->on_data([this](Socket&, Buffer bytes) { heard_ += bytes.view(); });
    tunnel_->on_end([this](Socket&) { heard_ += "END"; });
  }

  std::unique_ptr<Socket> tunnel_;
  std::string head_;
  std::string heard_;
  int status_ = 0;
};

TEST_P(TunnelTest, AnUpgradeHandsTheSocketOver) {
  RULES("4.6.11.1 4.6.11.7");
  NODE_TEST("http-upgrade-client http-upgrade-client2 http-upgrade-binary "
            "http-upgrade-agent");
  listen();
  Asked& asked = ask(upgrading());
  std::string protocol;
  asked.request().on_upgrade([&](ClientUpgrade& upgrade) {
    asked.note("upgrade");
    protocol = upgrade.response.header("upgrade").value_or("");
    take(upgrade);
  });
  ASSERT_TRUE(run_until_head());
  say(std::string(kSwitching) + std::string("\0\xff head", 7));
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket finish upgrade close");
  EXPECT_EQ(status_, 101);
  EXPECT_EQ(protocol, "own");
  EXPECT_EQ(head_ + heard_, std::string("\0\xff head", 7));
  agent_.reset();
  const std::string before = peer().received;
  tunnel_->write("to");
  ASSERT_TRUE(run_until_got(before + "to"));
  say_and("fro", Then::end);
  ASSERT_TRUE(run_until([&] { return heard_.ends_with("froEND"); }));
  EXPECT_EQ(peer().received, before + "to");
}

TEST_P(TunnelTest, AnUpgradeOfOurServerWorks) {
  RULES("4.6.11.1");
  NODE_TEST("http-upgrade-advertise http-upgrade-server");
  serve({}).on_upgrade([](http::Upgrade& upgrade) {
    upgrade.socket.write(kSwitching);
    upgrade.socket.on_data([](Socket& socket, Buffer bytes) { socket.write(bytes.view()); });
  });
  Asked& asked = ask(upgrading());
  asked.request().on_upgrade([&](ClientUpgrade& upgrade) {
    take(upgrade);
    tunnel_->write("echo");
  });
  ASSERT_TRUE(run_until([&] { return heard_ == "echo"; }));
  EXPECT_EQ(agent().stats().sockets, 0u);
}

TEST_P(TunnelTest, AnUpgradeWithoutAListenerIsAnError) {
  RULES("4.6.11.2");
  NODE_TEST("http-upgrade-client");
  listen();
  for (const RequestOptions& options : {upgrading(), RequestOptions()}) {
    Asked& asked = ask(options);
    ASSERT_TRUE(run_until_head(asked_.size() - 1));
    say(kSwitching, asked_.size() - 1);
    ASSERT_TRUE(run_until_over(asked));
    EXPECT_EQ(asked.events, "socket finish error close");
    EXPECT_EQ(name_of(asked.error.code), "ECONNRESET");
    ASSERT_TRUE(run_until_left(asked_.size() - 1));
  }
}

TEST_P(TunnelTest, AServerMayNotUpgrade) {
  RULES("4.6.11.8");
  NODE_TEST("http-upgrade-advertise");
  listen();
  Asked& asked = ask(upgrading());
  bool upgraded = false;
  asked.request().on_upgrade([&](ClientUpgrade&) { upgraded = true; });
  ASSERT_TRUE(run_until_head());
  say(kHello);
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kWholeWithBody);
  EXPECT_FALSE(upgraded);
}

TEST_P(TunnelTest, ASocketThatIsLeftIsClosed) {
  RULES("4.6.11.6");
  listen();
  Asked& asked = ask(upgrading());
  asked.request().on_upgrade([&](ClientUpgrade&) { asked.note("upgrade"); });
  ASSERT_TRUE(run_until_head());
  say(kSwitching);
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket finish upgrade close");
  ASSERT_TRUE(run_until_left());
}

TEST_P(TunnelTest, ConnectGetsATunnel) {
  RULES("4.6.11.3");
  NODE_TEST("http-connect http-connect-req-res http-after-connect");
  listen();
  Asked& asked = ask({.method = "CONNECT", .target = "far.example:443"});
  asked.request().on_connect([&](ClientUpgrade& upgrade) {
    asked.note("connect");
    take(upgrade);
  });
  const std::string sent = head("CONNECT far.example:443");
  ASSERT_TRUE(run_until_got(sent));
  EXPECT_EQ(peer().received, sent);
  say("HTTP/1.1 200 Connected\r\nContent-Length: 5\r\n\r\nhead!");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket finish connect close");
  ASSERT_TRUE(run_until([&] { return head_ + heard_ == "head!"; }));
  tunnel_->end("bye");
  ASSERT_TRUE(run_until_got(sent + "bye"));
  EXPECT_EQ(peer().received, sent + "bye");
}

TEST_P(TunnelTest, ConnectOnAKeptConnection) {
  RULES("4.6.11.3");
  NODE_TEST("http-after-connect");
  listen();
  Asked& first = ask();
  ASSERT_TRUE(run_until_head());
  say(kHello);
  ASSERT_TRUE(run_until_over(first));
  Asked& second = ask({.method = "CONNECT", .target = "a:1"});
  second.request().on_connect([&](ClientUpgrade& upgrade) { take(upgrade); });
  ASSERT_TRUE(run_until_got(head("GET /") + head("CONNECT a:1")));
  say("HTTP/1.1 204 Fine\r\n\r\n");
  ASSERT_TRUE(run_until_over(second));
  EXPECT_TRUE(second.reused);
  EXPECT_EQ(status_, 204);
  EXPECT_EQ(agent().stats().sockets, 0u);
}

TEST_P(TunnelTest, ConnectWithoutAListenerIsAnError) {
  RULES("4.6.11.4");
  NODE_TEST("http-connect");
  listen();
  Asked& asked = ask({.method = "CONNECT", .target = "a:1"});
  ASSERT_TRUE(run_until_head());
  say("HTTP/1.1 200 OK\r\n\r\n");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket finish error close");
  EXPECT_EQ(name_of(asked.error.code), "ECONNRESET");
  ASSERT_TRUE(run_until_left());
}

TEST_P(TunnelTest, ConnectThatIsRefusedHasAnOrdinaryResponse) {
  RULES("4.6.11.5");
  NODE_TEST("http-connect");
  listen();
  Asked& asked = ask({.method = "CONNECT", .target = "a:1"});
  asked.request().on_connect([&](ClientUpgrade&) { asked.note("connect"); });
  ASSERT_TRUE(run_until_head());
  say("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kWholeWithBody);
  EXPECT_EQ(asked.status, 403);
  EXPECT_EQ(asked.body, "no");
  EXPECT_EQ(agent().stats().idle, 1u);
}

WEIR_ON_ALL_BACKENDS(TunnelTest);

}  // namespace
}  // namespace weir::test
