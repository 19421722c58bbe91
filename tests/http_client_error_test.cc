// The contract, section 4.6: what goes wrong, destroy(), timeouts, and who may stop a request.
#include <gtest/gtest.h>

#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_client_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kCutOff = "socket finish response data aborted response-error "
                                     "response-close close";
constexpr std::string_view kHalf = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";

class ErrorTest : public ClientTest {
 protected:
  // An answer that is half there.
  Asked& ask_for_half(const RequestOptions& options = {}) {
    listen_and_say(std::string(kHalf));
    Asked& asked = ask(options);
    EXPECT_TRUE(run_until([&] { return asked.body == "hello"; }));
    return asked;
  }
  void expect_hang_up(const Asked& asked) {
    EXPECT_EQ(name_of(asked.error.code), "ECONNRESET");
    EXPECT_EQ(asked.error.detail, "socket hang up");
  }
  void expect_aborted(const Asked& asked) {
    EXPECT_EQ(asked.events, kCutOff);
    EXPECT_EQ(name_of(asked.response_error.code), "ECONNRESET");
    EXPECT_EQ(asked.response_error.detail, "aborted");
    EXPECT_FALSE(asked.complete);
  }
};

// ---- Before the response ----

TEST_P(ErrorTest, AServerThatEndsBeforeItsResponse) {
  RULES("4.6.6.1 4.6.6.9");
  NODE_TEST("http-conn-reset http-parser-finish-error");
  listen();
  for (const std::string_view part : {"", "H", "HTTP/1.1 200 OK\r\nA: b\r\n"}) {
    Asked& asked = ask();
    const std::size_t index = asked_.size() - 1;
    ASSERT_TRUE(run_until_head(index));
    say_and(part, Then::end, index);
    ASSERT_TRUE(run_until_over(asked));
    EXPECT_EQ(asked.events, "socket finish error close") << part;
    expect_hang_up(asked);
    ASSERT_TRUE(run_until_left(index));
  }
  EXPECT_EQ(agent().stats().sockets, 0u);
}

TEST_P(ErrorTest, AServerThatEndsBehindAnInterimResponse) {
  RULES("4.6.6.1");
  listen();
  Asked& asked = ask();
  ASSERT_TRUE(run_until_head());
  say_and("HTTP/1.1 102 \r\n\r\n", Then::end);
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket finish 102 error close");
  expect_hang_up(asked);
}

TEST_P(ErrorTest, AServerThatResets) {
  RULES("4.6.6.2");
  NODE_TEST("http-conn-reset http-client-spurious-aborted");
  listen();
  Asked& asked = ask();
  ASSERT_TRUE(run_until_head());
  peer().socket->reset_and_destroy();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket finish error close");
  EXPECT_EQ(name_of(asked.error.code), "ECONNRESET");
}

TEST_P(ErrorTest, APortWhereNobodyListens) {
  RULES("4.6.6.3");
  NODE_TEST("http-client-immediate-error");
  listen();
  raw_.reset();
  Asked& asked = ask();
  EXPECT_EQ(asked.events, "");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket error close");
  EXPECT_EQ(asked.error.message(), "connect ECONNREFUSED 127.0.0.1:" + std::to_string(to_.port));
  EXPECT_STREQ(asked.error.syscall, "connect");
  Asked& unended = begin();
  ASSERT_TRUE(run_until_over(unended));
  EXPECT_EQ(unended.events, "socket error close");
}

TEST_P(ErrorTest, AUnixSocketThatIsNotThere) {
  RULES("4.6.6.3");
  NODE_TEST("http-client-immediate-error");
  const std::string path = socket_path();
  Asked& asked = begin_there({.socket_path = path});
  asked.request().end();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket error close");
  EXPECT_EQ(asked.error.message(), "connect ENOENT " + path);
}

TEST_P(ErrorTest, WithoutAListenerTheErrorIsTheReactors) {
  RULES("4.6.6.8");
  NODE_TEST("http-client-req-error-dont-double-fire");
  listen();
  raw_.reset();
  ASSERT_TRUE(agent().get(here()).has_value());
  ASSERT_TRUE(run_until([&] { return !unhandled_.empty(); }));
  settle();
  ASSERT_EQ(unhandled_.size(), 1u);
  EXPECT_EQ(name_of(unhandled_[0].code), "ECONNREFUSED");
  unhandled_.clear();
}

TEST_P(ErrorTest, ARequestThatIsMadeInErrorGoesOut) {
  RULES("4.6.6.9");
  NODE_TEST("http-client-read-in-error");
  listen();
  Asked& first = ask();
  first.request().on_error([&](ClientRequest&, const Error&) { ask({.target = "/2"}); });
  ASSERT_TRUE(run_until_head());
  peer().socket->end();
  ASSERT_TRUE(run_until_head(1));
  EXPECT_EQ(peer(1).received, head("GET /2"));
  say(kEmptyAnswer, 1);
  ASSERT_TRUE(run_until_over(asked_.at(1)));
  EXPECT_EQ(asked_[1].events, kWhole);
}

// ---- During the response ----

TEST_P(ErrorTest, ABodyThatIsCutOff) {
  RULES("4.6.6.4");
  NODE_TEST("http-client-aborted-event http-aborted http-client-spurious-aborted");
  for (const Then then : {Then::end, Then::reset}) {
    asked_.clear();
    peers_.clear();
    listen_and_say(std::string(kHalf));
    Asked& asked = ask();
    ASSERT_TRUE(run_until([&] { return asked.body == "hello"; }));
    say_and("", then);
    ASSERT_TRUE(run_until_over(asked));
    expect_aborted(asked);
    agent_.reset();
  }
}

TEST_P(ErrorTest, AChunkedBodyThatIsCutOff) {
  RULES("4.6.6.5");
  NODE_TEST("http-client-aborted-event");
  for (const std::string_view part : {"5\r\nhello", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n",
                                      "5\r\nhello\r\n0\r\nA: b\r\n", "6\r\nhello"}) {
    asked_.clear();
    agent_.reset();
    listen_and_say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(part),
                   Then::end);
    Asked& asked = ask();
    ASSERT_TRUE(run_until_over(asked));
    expect_aborted(asked);
  }
}

TEST_P(ErrorTest, ABodyUntilTheEndThatIsReset) {
  RULES("4.6.6.5");
  listen_and_say("HTTP/1.1 200 OK\r\n\r\nhello");
  Asked& asked = ask();
  ASSERT_TRUE(run_until([&] { return asked.body == "hello"; }));
  peer().socket->reset_and_destroy();
  ASSERT_TRUE(run_until_over(asked));
  expect_aborted(asked);
}

TEST_P(ErrorTest, WithoutAListenerTheErrorOfAResponseIsNobodys) {
  RULES("4.6.6.8");
  NODE_TEST("http-client-aborted-event");
  listen_and_say(std::string(kHalf), Then::end);
  bool closed = false;
  const auto request = agent().get(here());
  ASSERT_TRUE(request.has_value());
  (*request)->on_close([&](ClientRequest&) { closed = true; });
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(ErrorTest, WhatCannotBeParsedBeforeTheResponse) {
  RULES("4.6.6.6 4.6.5.9");
  NODE_TEST("http-client-parse-error http-client-reject-chunked-with-content-length");
  listen_and_say("bad http - should trigger parse error\r\n\r\n");
  Asked& bad = ask();
  ASSERT_TRUE(run_until_over(bad));
  EXPECT_EQ(bad.events, "socket finish error close");
  EXPECT_EQ(name_of(bad.error.code), "HPE_INVALID_CONSTANT");
  ASSERT_TRUE(run_until_left());
  listen_and_say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
  Asked& both = ask();
  ASSERT_TRUE(run_until_over(both));
  EXPECT_EQ(both.events, "socket finish error close");
  EXPECT_EQ(name_of(both.error.code), "HPE_INVALID_TRANSFER_ENCODING");
}

TEST_P(ErrorTest, WhatCannotBeParsedInABody) {
  RULES("4.6.6.7");
  NODE_TEST("http-client-parse-error");
  listen_and_say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n");
  Asked& asked = ask();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kCutOff);
  EXPECT_EQ(name_of(asked.response_error.code), "HPE_INVALID_CHUNK_SIZE");
  EXPECT_FALSE(asked.complete);
  ASSERT_TRUE(run_until_left());
}

// ---- destroy() ----

TEST_P(ErrorTest, DestroyInTheSameCall) {
  RULES("4.6.7.1 4.6.7.3 4.6.3.4");
  NODE_TEST("http-client-abort3 http-client-abort-no-agent http-client-abort-event");
  listen();
  Asked& asked = ask();
  asked.request().destroy();
  asked.request().destroy();
  EXPECT_TRUE(asked.request().destroyed());
  EXPECT_EQ(asked.events, "");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_TRUE(asked.events == "error close" || asked.events == "socket error close")
      << asked.events;
  expect_hang_up(asked);
  settle();
  EXPECT_EQ(agent().stats().sockets, 0u);
  EXPECT_TRUE(peers_.empty() || peer().received.empty());
}

TEST_P(ErrorTest, DestroyBeforeTheResponse) {
  RULES("4.6.7.1 4.6.7.7");
  NODE_TEST("http-abort-before-end http-client-abort2 http-client-abort-unix-socket");
  for (const bool over_unix : {false, true}) {
    agent_.reset();
    peers_.clear();
    listen(over_unix);
    Asked& asked = begin({.method = "POST"});
    asked.request().write("x");
    ASSERT_TRUE(run_until_head());
    asked.request().destroy();
    ASSERT_TRUE(run_until_over(asked));
    EXPECT_EQ(asked.events, "socket error close");
    expect_hang_up(asked);
    ASSERT_TRUE(run_until_left());
    EXPECT_EQ(asked.ref.get(), nullptr);
  }
}

TEST_P(ErrorTest, DestroyWithACode) {
  RULES("4.6.7.2");
  NODE_TEST("http-client-req-error-dont-double-fire");
  listen();
  Asked& asked = ask();
  ASSERT_TRUE(run_until_head());
  asked.request().destroy(errno_code(EBADMSG));
  asked.request().destroy(errno_code(EINVAL));
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket finish error close");
  EXPECT_EQ(name_of(asked.error.code), "EBADMSG");
}

TEST_P(ErrorTest, DestroyDuringTheResponse) {
  RULES("4.6.7.4");
  NODE_TEST("http-client-incomingmessage-destroy http-client-res-destroyed "
            "http-abort-client");
  for (const bool by_response : {false, true}) {
    asked_.clear();
    peers_.clear();
    agent_.reset();
    Asked& asked = ask_for_half();
    if (by_response) {
      asked.request().response()->destroy();
    } else {
      asked.request().destroy();
    }
    EXPECT_FALSE(asked.has("aborted"));
    ASSERT_TRUE(run_until_over(asked));
    expect_aborted(asked);
    ASSERT_TRUE(run_until_left());
    EXPECT_EQ(agent().stats().sockets, 0u);
  }
}

TEST_P(ErrorTest, DestroyDuringTheResponseWithACode) {
  RULES("4.6.7.4 4.6.7.2");
  NODE_TEST("http-client-incomingmessage-destroy");
  Asked& asked = ask_for_half();
  asked.request().response()->destroy(errno_code(EBADMSG));
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kCutOff);
  EXPECT_EQ(name_of(asked.response_error.code), "EBADMSG");
}

TEST_P(ErrorTest, DestroyInAListener) {
  RULES("4.6.7.6");
  NODE_TEST("http-client-abort-response-event http-abort-stream-end http-client-abort");
  constexpr std::pair<std::string_view, std::string_view> kCases[] = {
      {"socket", "socket error close"},
      {"finish", "socket finish error close"},
      {"response", "socket finish response aborted response-error response-close close"},
      {"data", kCutOff}};
  for (const auto& [word, told] : kCases) {
    peers_.clear();
    agent_.reset();
    listen_and_say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
    Asked& asked = asked_.emplace_back();
    const auto made = agent().get(here());
    ASSERT_TRUE(made.has_value());
    const auto destroy_at = [&asked, at = word](std::string_view here) {
      if (here == at) asked.request().destroy();
    };
    watch(**made, asked);
    (*made)->on_socket([&](ClientRequest&, Socket&) { destroy_at("socket"); });
    (*made)->on_finish([&](ClientRequest&) { destroy_at("finish"); });
    (*made)->on_response([&](ClientResponse& response) {
      response.on_data([&](ClientResponse&, Buffer) { destroy_at("data"); });
      destroy_at("response");
    });
    ASSERT_TRUE(run_until_over(asked));
    EXPECT_EQ(asked.events, told);
  }
}

TEST_P(ErrorTest, DestroyBehindTheResponseIsHarmless) {
  RULES("4.6.7.5");
  NODE_TEST("http-client-abort-keep-alive-destroy-res http-client-set-timeout-after-end");
  listen_and_say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  Asked& asked = ask();
  asked.request().on_response([](ClientResponse& response) {
    response.on_end([](ClientResponse& same) { same.destroy(errno_code(EBADMSG)); });
    response.on_close([](ClientResponse& same) { same.request().destroy(); });
  });
  asked.request().on_close([](ClientRequest& request) { request.destroy(); });
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kWholeWithBody);
  Asked& next = ask();
  ASSERT_TRUE(run_until_over(next));
  EXPECT_TRUE(next.reused);
}

TEST_P(ErrorTest, ManyThatAreDestroyedLeaveNothingAtTheServer) {
  RULES("4.6.7.7");
  NODE_TEST("http-client-abort http-abort-client");
  std::size_t aborted = 0;
  serve([&](Request& request, Response& response) {
    request.on_aborted([&](Request&) { ++aborted; });
    request.resume();
    response.write("begun");
  });
  for (int i = 0; i < 20; ++i) begin({.method = "POST"}).request().write("x");
  for (Asked& asked : asked_) {
    ASSERT_TRUE(run_until([&] { return asked.body == "begun"; }));
    asked.request().destroy();
  }
  for (const Asked& asked : asked_) ASSERT_TRUE(run_until_over(asked));
  ASSERT_TRUE(run_until([&] { return server().connections() == 0; }));
  EXPECT_EQ(aborted, 20u);
}

// ---- Times ----

TEST_P(ErrorTest, TimeoutIsOnlyANotice) {
  RULES("4.6.7.9");
  NODE_TEST("http-client-timeout-option http-client-set-timeout "
            "http-client-response-timeout http-client-timeout-event");
  listen();
  Asked& asked = ask({.timeout = 20ms});
  ASSERT_TRUE(run_until_told(asked, "timeout"));
  ASSERT_TRUE(run_until_head());
  say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
  ASSERT_TRUE(run_until([&] { return asked.events.ends_with("data timeout"); }));
  say("lo");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.body, "hello");
  EXPECT_TRUE(asked.complete);
  std::string others = asked.events;
  for (std::size_t at; (at = others.find(" timeout")) != std::string::npos;) others.erase(at, 8);
  EXPECT_EQ(others, "socket finish response data data end response-close close");
}

TEST_P(ErrorTest, TheUserMayDestroyInTimeout) {
  RULES("4.6.7.13");
  NODE_TEST("http-client-timeout http-client-timeout-on-connect http-timeout");
  listen();
  Asked& asked = ask({.timeout = 20ms});
  asked.request().on_timeout([](ClientRequest& request) { request.destroy(); });
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_TRUE(asked.events.ends_with("timeout error close")) << asked.events;
  EXPECT_EQ(count_of(asked.events, "timeout"), 1u);
  expect_hang_up(asked);
}

TEST_P(ErrorTest, SetTimeoutGoesOverTheOption) {
  RULES("4.6.7.10");
  NODE_TEST("http-client-set-timeout http-outgoing-settimeout");
  listen();
  Asked& off = ask({.timeout = 10ms});
  EXPECT_TRUE(off.request().set_timeout(Duration::zero()));
  EXPECT_EQ(name_of(off.request().set_timeout(-1ms).error().code), "ERR_OUT_OF_RANGE");
  Asked& on = ask({.target = "/on"});
  EXPECT_TRUE(on.request().set_timeout(40ms));
  ASSERT_TRUE(run_until_told(on, "timeout"));
  EXPECT_FALSE(off.has("timeout"));
  off.request().destroy();
  on.request().destroy();
  ASSERT_TRUE(run_until_over(off));
  ASSERT_TRUE(run_until_over(on));
}

TEST_P(ErrorTest, ATimeoutDoesNotGoOnToTheNextRequest) {
  RULES("4.6.7.10");
  NODE_TEST("http-client-timeout-option-with-agent http-client-timeout-agent");
  listen_and_say(std::string(kEmptyAnswer));
  Asked& first = ask({.timeout = 20ms});
  ASSERT_TRUE(run_until_over(first));
  answers_off();
  Asked& second = ask({.target = "/2"});
  ASSERT_TRUE(run_until([&] { return count_of(peer().received, "\r\n\r\n") == 2; }));
  run_for(60ms);
  EXPECT_TRUE(second.reused);
  EXPECT_EQ(second.events, "socket finish");
}

TEST_P(ErrorTest, TimeLimitEndsARequestWithoutAResponse) {
  RULES("4.6.7.11");
  listen();
  const Instant begun = reactor().now();
  Asked& asked = ask({.time_limit = 30ms});
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_TRUE(asked.events.ends_with(" error close")) << asked.events;
  EXPECT_FALSE(asked.has("response"));
  EXPECT_EQ(name_of(asked.error.code), "ETIMEDOUT");
  EXPECT_GE(reactor().now() - begun, 30ms);
  ASSERT_TRUE(run_until_left());
}

TEST_P(ErrorTest, TimeLimitCountsWhileItWaits) {
  RULES("4.6.7.11");
  agent_options_.max_sockets = 1;
  listen();
  Asked& first = ask();
  Asked& second = ask({.time_limit = 30ms});
  ASSERT_TRUE(run_until_over(second));
  EXPECT_EQ(second.events, "error close");
  EXPECT_EQ(name_of(second.error.code), "ETIMEDOUT");
  EXPECT_EQ(agent().stats().waiting, 0u);
  ASSERT_TRUE(run_until_head());
  say(kEmptyAnswer);
  ASSERT_TRUE(run_until_over(first));
  EXPECT_EQ(first.events, kWhole);
}

// ---- Stop tokens ----

TEST_P(ErrorTest, AStopTokenDestroysTheRequest) {
  RULES("4.6.7.12");
  NODE_TEST("http-client-abort-destroy");
  listen();
  std::stop_source stop;
  Asked& asked = ask({.stop = stop.get_token()});
  ASSERT_TRUE(run_until_head());
  stop.request_stop();
  EXPECT_FALSE(asked.has("error"));
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket finish error close");
  EXPECT_EQ(name_of(asked.error.code), "ABORT_ERR");
  ASSERT_TRUE(run_until_left());
}

TEST_P(ErrorTest, AStopTokenThatHasStoppedAlready) {
  RULES("4.6.7.12");
  NODE_TEST("http-client-abort-destroy");
  listen();
  std::stop_source stop;
  stop.request_stop();
  Asked& asked = begin({.stop = stop.get_token()});
  asked.request().end();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(name_of(asked.error.code), "ABORT_ERR");
  settle();
  EXPECT_TRUE(peers_.empty() || peer().received.empty());
}

TEST_P(ErrorTest, AStopTokenDuringAndBehindTheResponse) {
  RULES("4.6.7.12");
  NODE_TEST("http-client-abort-destroy");
  std::stop_source stop;
  Asked& asked = ask_for_half({.stop = stop.get_token()});
  stop.request_stop();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kCutOff);
  EXPECT_EQ(name_of(asked.response_error.code), "ABORT_ERR");
  listen_and_say(std::string(kEmptyAnswer));
  std::stop_source late;
  Asked& whole = ask({.stop = late.get_token()});
  ASSERT_TRUE(run_until_over(whole));
  late.request_stop();
  settle();
  EXPECT_EQ(whole.events, kWhole);
  EXPECT_EQ(agent().stats().idle, 1u);
}

WEIR_ON_ALL_BACKENDS(ErrorTest);

// With a clock that can be turned.
class VirtualTimeTest : public ErrorTest {};

TEST_P(VirtualTimeTest, TimeoutsAreExact) {
  RULES("4.6.7.9 4.6.7.11");
  NODE_TEST("http-client-timeout-with-data");
  listen();
  const Instant begun = reactor().now();
  Asked& quiet = ask({.timeout = 5s});
  ASSERT_TRUE(run_until_told(quiet, "timeout"));
  EXPECT_GE(reactor().now() - begun, 5s);
  EXPECT_LT(reactor().now() - begun, 5100ms);
  Asked& limited = ask({.time_limit = 7s});
  const Instant again = reactor().now();
  ASSERT_TRUE(run_until_over(limited));
  EXPECT_GE(reactor().now() - again, 7s);
  EXPECT_LT(reactor().now() - again, 7100ms);
}

TEST_P(VirtualTimeTest, TimeLimitEndsAResponseThatTrickles) {
  RULES("4.6.7.11");
  listen_and_say(std::string(kHalf));
  Asked& asked = ask({.time_limit = 60s});
  ASSERT_TRUE(run_until_told(asked, "data"));
  for (int i = 0; i < 4; ++i) {
    run_for(10s);
    say("w");
  }
  run_for(19s);
  EXPECT_FALSE(asked.over());
  run_for(2s);
  ASSERT_TRUE(asked.over());
  EXPECT_EQ(asked.events, kCutOff);
  EXPECT_EQ(name_of(asked.response_error.code), "ETIMEDOUT");
}

TEST_P(VirtualTimeTest, TimeLimitEndsWithTheResponse) {
  RULES("4.6.7.11");
  listen_and_say(std::string(kEmptyAnswer));
  Asked& asked = ask({.time_limit = 4s});
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kWhole);
  answers_off();
  Asked& next = ask();
  run_for(80s);
  EXPECT_EQ(next.events, "socket finish");
  EXPECT_EQ(agent().stats().sockets, 1u);
}

WEIR_ON_SIM(VirtualTimeTest);

}  // namespace
}  // namespace weir::test
