// http::RequestParser: what it makes of good and bad requests, at every point where the bytes may
// be cut. tests/http_framing_test.cc has what attackers send.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_trace.h"
#include "tests/random.h"
#include "weir/http/request_parser.h"

namespace weir::test {
namespace {

using http::ParserLimits;
using http::RequestParser;
using http::Step;
using Kind = Step::Kind;

// In one piece, in two at every point, byte by byte: the same.
void expect_trace(std::string_view bytes, const Trace& expected, const ParserLimits& limits = {}) {
  SCOPED_TRACE(bytes);
  ASSERT_EQ(trace_of({bytes}, limits), expected);
  for (std::size_t at = 0; at <= bytes.size(); ++at) {
    ASSERT_EQ(trace_of(split_at(bytes, at), limits), expected) << "cut at " << at;
  }
  ASSERT_EQ(trace_of(split_in_bytes(bytes), limits), expected);
}

struct Good {
  std::string_view bytes;
  Trace events;
};

TEST(HttpRequestParser, TakesRequestsInEveryPiece) {
  const Good cases[] = {
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", {"head GET / 1.1 origin host=a Host=[a]", "end"}},
      {"GET /a?b=c%20d HTTP/1.1\r\nhOST:\t a:80 \t\r\nEmpty:\r\nX: a\tb c\r\n\r\n",
       {"head GET /a?b=c%20d 1.1 origin host=a:80 hOST=[a:80] Empty=[] X=[a\tb c]", "end"}},
      {"GET / HTTP/1.0\r\n\r\n", {"head GET / 1.0 origin host= close", "end"}},
      {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
       {"head GET / 1.0 origin host= Connection=[Keep-Alive]", "end"}},
      {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
       {"head GET / 1.0 origin host= close Connection=[keep-alive, close]", "end"}},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x,  CLOSE\r\n\r\n",
       {"head GET / 1.1 origin host=a close Host=[a] Connection=[x,  CLOSE]", "end"}},
      {"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
       {"head POST /p 1.1 origin host=a length=5 Host=[a] Content-Length=[5]", "body hello",
        "end"}},
      {"POST /p HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
       {"head POST /p 1.0 origin host= length=5 close Content-Length=[5]", "body hello", "end"}},
      {"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
       {"head POST /p 1.1 origin host=a length=0 Host=[a] Content-Length=[0]", "end"}},
      {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
       {"head GET / 1.1 origin host=a length=2 Host=[a] Content-Length=[2]", "body hi", "end"}},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
       "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Sum: 7\r\nY:\r\n\r\n",
       {"head POST / 1.1 origin host=a chunked Host=[a] Transfer-Encoding=[chunked]",
        "body hello world", "end X-Sum=[7] Y=[]"}},
      {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
       {"head OPTIONS * 1.1 asterisk host=a Host=[a]", "end"}},
      {"GET http://b:81/c?d HTTP/1.1\r\nHost: a\r\n\r\n",
       {"head GET http://b:81/c?d 1.1 absolute host=b:81 Host=[a]", "end"}},
      {"GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n",
       {"head GET HTTPS://b 1.1 absolute host=b Host=[a]", "end"}},
      {"CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n",
       {"head CONNECT b:443 1.1 authority host=b:443 Host=[a]", "end"}},
      {"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
       {"head PUT / 1.1 origin host=a length=1 expect Host=[a] Expect=[100-Continue] "
        "Content-Length=[1]",
        "body x", "end"}},
      {"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n",
       {"head PUT / 1.1 origin host=a expect-other Host=[a] Expect=[200-ok]", "end"}},
      {"PUT / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nExpect: 100-continue\r\n\r\n",
       {"head PUT / 1.1 origin host=a expect-other Host=[a] Expect=[x] Expect=[100-continue]",
        "end"}},
      {"PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n",
       {"head PUT / 1.0 origin host= close Expect=[100-continue]", "end"}},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: x\r\n\r\n",
       {"head GET / 1.1 origin host=a upgrade Host=[a] Connection=[keep-alive, Upgrade] "
        "Upgrade=[x]",
        "end"}},
      {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n",
       {"head GET / 1.1 origin host=a Host=[a] Upgrade=[x]", "end"}},
      {"GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
       {"head GET / 1.0 origin host= close Connection=[Upgrade] Upgrade=[x]", "end"}},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xff\r\n\r\n",
       {"head GET / 1.1 origin host=a Host=[a] X=[\x80\xff]", "end"}},
      {"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n",
       {"head GET / 1.1 origin host=a Host=[a] !#$%&'*+-.^_`|~09azAZ=[x]", "end"}},
      {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
       {"head GET / 1.1 origin host=a Host=[a]", "end"}},
  };
  for (const Good& good : cases) expect_trace(good.bytes, good.events);
}

TEST(HttpRequestParser, TakesPipelinedRequestsInOrder) {
  expect_trace(
      "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
      "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n\r\n"
      "POST /3 HTTP/1.1\r\nHost: c\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: t\r\n\r\n"
      "GET /4 HTTP/1.1\r\nHost: d\r\n\r\n",
      {"head POST /1 1.1 origin host=a length=3 Host=[a] Content-Length=[3]", "body abc", "end",
       "head GET /2 1.1 origin host=b Host=[b]", "end",
       "head POST /3 1.1 origin host=c chunked Host=[c] Transfer-Encoding=[chunked]", "body x",
       "end T=[t]", "head GET /4 1.1 origin host=d Host=[d]", "end"});
}

TEST(HttpRequestParser, SaysNothingOfARequestThatHasNotEnded) {
  expect_trace("", {});
  expect_trace("\r\n", {});
  expect_trace("GET / HTTP/1.1\r\nHost: a\r\n", {});
  expect_trace("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx",
               {"head POST / 1.1 origin host=a length=2 Host=[a] Content-Length=[2]", "body x"});
}

TEST(HttpRequestParser, TakesEveryMethodOfNodeAndNoOther) {
  constexpr std::string_view kNames[] = {
      "ACL",       "BIND",      "CHECKOUT", "CONNECT",  "COPY",   "DELETE",     "GET",
      "HEAD",      "LINK",      "LOCK",     "M-SEARCH", "MERGE",  "MKACTIVITY", "MKCALENDAR",
      "MKCOL",     "MOVE",      "NOTIFY",   "OPTIONS",  "PATCH",  "POST",       "PROPFIND",
      "PROPPATCH", "PURGE",     "PUT",      "QUERY",    "REBIND", "REPORT",     "SEARCH",
      "SOURCE",    "SUBSCRIBE", "TRACE",    "UNBIND",   "UNLINK", "UNLOCK",     "UNSUBSCRIBE"};
  for (const std::string_view name : kNames) {
    const std::string target = name == "CONNECT" ? "a:1" : "/";
    const std::string rest = " " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
    const Trace trace = trace_of({std::string(name) + rest});
    ASSERT_EQ(trace.size(), 2U) << name;
    EXPECT_TRUE(trace[0].starts_with("head " + std::string(name) + " " + target + " 1.1 "));
  }
  for (const std::string_view name :
       {"get", "Get", "GE", "GETT", "FOO", "PRI", "", "G3T", "GET,", "UNSUBSCRIBER", "M_SEARCH"}) {
    const std::string bytes = std::string(name) + " / HTTP/1.1\r\nHost: a\r\n\r\n";
    expect_trace(bytes, {"error 400: no known method @0"});
  }
}

TEST(HttpRequestParser, SaysAtOnceThatAMethodIsUnknown) {
  const ParserLimits limits;
  RequestParser parser(&limits);
  EXPECT_EQ(parser.next("UNSUBSCRIBE").kind, Kind::need_more);
  EXPECT_EQ(parser.next("D").kind, Kind::error);
  RequestParser tls(&limits);
  EXPECT_EQ(tls.next("\x16").kind, Kind::error) << "a TLS handshake";
}

TEST(HttpRequestParser, RefusesTargets) {
  constexpr std::string_view kLines[] = {"GET ",
                                         "GET  /",
                                         "GET /a#b",
                                         "GET a",
                                         "GET *",
                                         "GET a:80",
                                         "GET ?a",
                                         "GET /\xc3\xa4",
                                         "GET /a\\b",
                                         "GET /%00",
                                         "GET /a%00b?c",
                                         "GET /\"",
                                         "GET /<a>",
                                         "GET /\ta",
                                         "GET ftp://a/",
                                         "GET http://",
                                         "GET http:///a",
                                         "GET http://?a",
                                         "GET http://u@a/",
                                         "GET http:a",
                                         "GET http://a:b/",
                                         "GET http://a/b#c",
                                         "GET http://a/%00",
                                         "CONNECT /",
                                         "CONNECT a",
                                         "CONNECT a:",
                                         "CONNECT :80",
                                         "CONNECT *",
                                         "CONNECT http://a/",
                                         "OPTIONS **",
                                         "OPTIONS *?a"};
  for (const std::string_view line : kLines) {
    expect_trace(std::string(line) + " HTTP/1.1\r\nHost: a\r\n\r\n",
                 {"error 400: a malformed request target, or a form of it that the method "
                  "forbids @0"});
  }
  for (const std::string_view byte : {"\x01", "\x1f", "\x7f", "\n", "\r", "\v"}) {
    expect_trace("GET /" + std::string(byte) + " HTTP/1.1\r\nHost: a\r\n\r\n",
                 {"error 400: a control byte, or CR or LF without the other, in a line @0"});
  }
}

TEST(HttpRequestParser, TakesWhatBrowsersSendInTargets) {
  for (const std::string_view target :
       {"//x", "/a//b", "/?", "/??", "/a|b^c`d{e}[f]", "/%zz%", "/a?b\\c", "/a?%00", "/;a=b,c",
        "/~", "http://a?b", "http://[::1]:80/", "http://a:/"}) {
    const Trace trace = trace_of({"GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n"});
    ASSERT_EQ(trace.size(), 2U) << target << ": " << trace[0];
    EXPECT_TRUE(trace[0].starts_with("head GET " + std::string(target) + " 1.1 ")) << trace[0];
  }
}

TEST(HttpRequestParser, RefusesVersions) {
  for (const std::string_view version :
       {"",          "HTTP",     "HTTP/",     "HTTP/1",  "HTTP/1.",   "HTTP/.1",    "HTTP/1.1 ",
        " HTTP/1.1", "http/1.1", "Http/1.1",  "HTTP/11", "HTTP/1.10", "HTTP/01.1",  "HTTP/1,1",
        "HTTP/+1.1", "HTTP/1.x", "HTTPS/1.1", "ICY/1.1", "HTTP/ 1.1", "HTTP/1.1\t", "b HTTP/1.1"}) {
    expect_trace("GET / " + std::string(version) + "\r\nHost: a\r\n\r\n",
                 {"error 400: the request line does not end with HTTP/ and a version @0"});
  }
  for (const std::string_view version :
       {"HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/0.0", "HTTP/9.9"}) {
    expect_trace("GET / " + std::string(version) + "\r\nHost: a\r\n\r\n",
                 {"error 505: neither HTTP/1.0 nor HTTP/1.1 @0"});
  }
  expect_trace("GET /\r\n",
               {"error 400: the request line does not end with HTTP/ and a version @0"});
}

TEST(HttpRequestParser, RefusesASecondContentType) {
  expect_trace("GET / HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-type: a/b\r\n\r\n",
               {"error 400: more than one Content-Type field @65"});
}

TEST(HttpRequestParser, NamesTheLineThatIsWrong) {
  expect_trace("\r\nGET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
               {"error 400: a blank between a field's name and its colon @27"});
  expect_trace("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy",
               {"head POST / 1.1 origin host=a chunked Host=[a] Transfer-Encoding=[chunked]",
                "body x", "error 400: CR and LF expected behind a chunk's data @60"});
  expect_trace("GET / HTTP/1.1\r\nHost: a\r\n\r\nnonsense / HTTP/1.1",
               {"head GET / 1.1 origin host=a Host=[a]", "end", "error 400: no known method @0"});
}

// ---- Limits: reached exactly, and passed by one ----

TEST(HttpRequestParser, LimitsTheHead) {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX: 01234567890123456789\r\n\r\n";
  ParserLimits limits{.head_bytes_max = head.size()};
  expect_trace(head + "x",
               {"head GET / 1.1 origin host=a Host=[a] X=[01234567890123456789]", "end"}, limits);
  --limits.head_bytes_max;
  expect_trace(head, {"error 431: the head is too large @50"}, limits);
  limits.head_bytes_max = 30;
  expect_trace(head, {"error 431: the head is too large @25"}, limits);
}

TEST(HttpRequestParser, LimitsTheRequestLine) {
  const std::string line = "GET /0123456789 HTTP/1.1\r\n";
  ParserLimits limits{.head_bytes_max = line.size()};
  expect_trace(line + "Host: a\r\n\r\n", {"error 431: the head is too large @26"}, limits);
  --limits.head_bytes_max;
  expect_trace(line + "Host: a\r\n\r\n", {"error 414: the request line is too long @0"}, limits);
  for (std::size_t size = 1; size < 4; ++size) {
    limits.head_bytes_max = size;
    expect_trace(line, {"error 414: the request line is too long @0"}, limits);
  }
}

TEST(HttpRequestParser, HasTheLimitsOfNodeByDefault) {
  const auto padded = [](std::size_t size) {
    const std::string begin = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    return begin + std::string(size - begin.size() - 4, 'x') + "\r\n\r\n";
  };
  EXPECT_EQ(trace_of({padded(16384)}).back(), "end");
  EXPECT_EQ(trace_of(split_in_bytes(padded(16384))).back(), "end");
  EXPECT_EQ(trace_of({padded(16385)}).back(), "error 431: the head is too large @16383");
  EXPECT_EQ(trace_of(split_in_bytes(padded(16385))), trace_of({padded(16385)}));
  const auto many = [](int count) {
    std::string text = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 1; i < count; ++i) text += "a:b\r\n";
    return text + "\r\n";
  };
  EXPECT_EQ(trace_of({many(1000)}).back(), "end");
  EXPECT_EQ(trace_of(split_in_bytes(many(1000))), trace_of({many(1000)}));
  EXPECT_EQ(trace_of({many(1001)}).back(), "error 431: too many fields @5020");
  EXPECT_EQ(trace_of(split_in_bytes(many(1001))), trace_of({many(1001)}));
}

TEST(HttpRequestParser, LivesWithALimitThatIsLowered) {
  ParserLimits limits;
  RequestParser parser(&limits);
  ASSERT_EQ(parser.next("GET / HTTP/1.1\r\nHost: a\r\nX: y").kind, Kind::need_more);
  limits.head_bytes_max = 20;
  EXPECT_EQ(parser.next("\r\n\r\n").kind, Kind::error);
  EXPECT_EQ(parser.failure().error, http::ParseError::head_too_large);
}

TEST(HttpRequestParser, CutsWhatHasNoEnd) {
  const std::string flood(100'000, 'A');
  EXPECT_EQ(trace_of({flood}).back(), "error 400: no known method @0");
  EXPECT_EQ(trace_of({"GET /" + flood}).back(), "error 414: the request line is too long @0");
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(trace_of({head + flood}).back(), "error 431: the head is too large @25");
  EXPECT_EQ(trace_of({head + "X: " + flood}).back(), "error 431: the head is too large @25");
  const std::string chunked = head + "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(trace_of({chunked + "5;" + flood}).back(),
            "error 400: too many bytes of chunk extensions @16440");
  EXPECT_EQ(trace_of({chunked + std::string(100'000, '0')}).back(),
            "error 400: a chunk size with too many digits @71");
  EXPECT_EQ(trace_of({chunked + "0\r\nX: " + flood}).back(),
            "error 431: the trailer section is too large @58");
}

TEST(HttpRequestParser, LimitsTheEmptyLinesBeforeARequest) {
  const std::string request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  const Trace one = {"head GET / 1.1 origin host=a Host=[a]", "end"};
  expect_trace("\r\n\r\n\r\n\r\n" + request, one);
  const std::string error = "error 400: too many empty lines, or half of one, before a request @";
  expect_trace("\r\n\r\n\r\n\r\n\r\n" + request, {error + "9"});
  expect_trace("\r\n\rGET / HTTP/1.1\r\n", {error + "3"});
  expect_trace("\nGET / HTTP/1.1\r\n", {"error 400: no known method @0"});
  expect_trace("\r\n\r\n\r\n" + request + "\r\n\r\n\r\n" + request,
               {one[0], one[1], one[0], one[1]});
}

TEST(HttpRequestParser, ReservesNothingForADeclaredLength) {
  const ParserLimits limits;
  RequestParser parser(&limits);
  const std::string_view head =
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1099511627776\r\n\r\n";
  ASSERT_EQ(parser.next(head).kind, Kind::head);
  EXPECT_EQ(parser.head().framing.length, std::uint64_t{1} << 40);
  EXPECT_EQ(parser.next("x").kind, Kind::body);
  EXPECT_EQ(parser.next("").kind, Kind::need_more);
}

// ---- Views ----

TEST(HttpRequestParser, ViewsTheInputWhereTheHeadIsInOnePiece) {
  const std::string_view bytes =
      "POST http://b/c HTTP/1.1\r\nHost: a\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nhi\r\n0\r\nT: t\r\n\r\n";
  const ParserLimits limits;
  RequestParser parser(&limits);
  Step step = parser.next(bytes);
  ASSERT_EQ(step.kind, Kind::head);
  const http::RequestHead& head = parser.head();
  EXPECT_TRUE(is_within(head.target, bytes));
  EXPECT_TRUE(is_within(head.host, bytes));
  for (const http::Field& field : head.fields) {
    EXPECT_TRUE(is_within(field.name, bytes));
    EXPECT_TRUE(is_within(field.value, bytes));
  }
  std::string_view rest = bytes.substr(step.consumed);
  step = parser.next(rest);
  ASSERT_EQ(step.kind, Kind::body);
  EXPECT_EQ(step.body, "hi");
  EXPECT_TRUE(is_within(step.body, bytes));
  rest.remove_prefix(step.consumed);
  step = parser.next(rest);
  ASSERT_EQ(step.kind, Kind::end);
  ASSERT_EQ(parser.trailers().size(), 1U);
  EXPECT_TRUE(is_within(parser.trailers()[0].value, bytes));
}

TEST(HttpRequestParser, KeepsAHeadThatCameInPieces) {
  const ParserLimits limits;
  RequestParser parser(&limits);
  const std::string_view bytes =
      "POST http://b/c HTTP/1.1\r\nHost: a\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyy\r\n"
      "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: ttttttttttt\r\n\r\n";
  std::string expected_head;
  std::vector<std::string> seen;
  for (const std::string_view piece : split_in_bytes(bytes)) {
    const ExactBytes byte(piece);  // gone after this round
    std::string_view input = byte.view();
    for (;;) {
      const Step step = parser.next(input);
      input.remove_prefix(step.consumed);
      if (step.kind == Kind::head) expected_head = describe(parser.head());
      if (step.kind == Kind::need_more || step.kind == Kind::end) break;
    }
  }
  EXPECT_EQ(describe(parser.head()), expected_head) << "good until the next message";
  EXPECT_TRUE(expected_head.starts_with("POST http://b/c 1.1 absolute host=b chunked"));
  ASSERT_EQ(parser.trailers().size(), 1U);
  EXPECT_EQ(parser.trailers()[0].value, "ttttttttttt");
  EXPECT_TRUE(parser.is_between_messages());
  parser.release_message();
  EXPECT_TRUE(parser.trailers().empty());
  EXPECT_TRUE(parser.head().fields.empty());
  EXPECT_TRUE(parser.is_between_messages());
}

// Where one of them has to wait, another may have the place.
TEST(HttpRequestParser, ParsersMayShareAPlaceForFields) {
  const std::string_view first = "GET /1 HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-Two: 2\r\n\r\n";
  const std::string_view second = "GET /2 HTTP/1.1\r\nHost: b\r\nY: 3\r\nZ: 4\r\nW: 5\r\n\r\n";
  const ParserLimits limits;
  const auto alone = [&](std::string_view bytes) {
    RequestParser parser(&limits);
    EXPECT_EQ(parser.next(bytes).kind, Kind::head);
    return describe(parser.head());
  };
  for (const std::size_t size : {0U, 1U, 2U, 9U}) {
    for (std::size_t cut = 1; cut < first.size(); ++cut) {
      SCOPED_TRACE(testing::Message() << "room for " << size << ", cut at " << cut);
      std::vector<http::Field> place(size);
      RequestParser parser(&limits, place);
      RequestParser other(&limits, place);
      ASSERT_EQ(parser.next(first.substr(0, cut)).kind, Kind::need_more);
      ASSERT_EQ(other.next(second).kind, Kind::head);
      EXPECT_EQ(describe(other.head()), alone(second));
      ASSERT_EQ(parser.next(first.substr(cut)).kind, Kind::head);
      EXPECT_EQ(describe(parser.head()), alone(first));
    }
  }
}

TEST(HttpRequestParser, KnowsWhetherAMessageHasBegun) {
  const ParserLimits limits;
  RequestParser parser(&limits);
  EXPECT_TRUE(parser.is_between_messages());
  (void)parser.next("\r\n");
  EXPECT_TRUE(parser.is_between_messages());
  (void)parser.next("G");
  EXPECT_FALSE(parser.is_between_messages());
  const Step step = parser.next("ET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(step.kind, Kind::head);
  EXPECT_FALSE(parser.is_between_messages());
  EXPECT_EQ(parser.next("").kind, Kind::end);
  EXPECT_TRUE(parser.is_between_messages());
}

TEST(HttpRequestParser, LeavesWhatFollowsAHeadThatIsHandedOver) {
  const std::string_view bytes =
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw";
  EXPECT_EQ(left_behind_head<RequestParser>(bytes), Trace{"raw"});
}

// ---- Chance ----

TEST(HttpRequestParser, SaysTheSameHoweverAStreamIsCut) {
  const std::string_view parts[] = {
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world",
      "POST /q HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n"
      "3;a=\"\\\"\"\r\nabc\r\n0a\r\n0123456789\r\n00\r\nT: t\r\nU: u\r\n\r\n",
      "\r\n",
      "GET",
      " ",
      "\r",
      "\n",
      "Content-Length: 1\r\n",
      "0\r\n\r\n",
      "HTTP/1.1",
      ":",
      "\t"};
  for_seeds(2000, [&](Random& random) {
    std::string bytes;
    for (std::uint64_t i = random.below(8); i < 8; ++i) {
      bytes += parts[random.below(random.once_in(3) ? std::size(parts) : 3)];
    }
    if (random.once_in(2) && !bytes.empty()) {
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    }
    Pieces pieces;
    std::string_view rest = bytes;
    while (!rest.empty()) {
      const std::size_t size = 1 + random.below(random.once_in(4) ? rest.size() : 20) % rest.size();
      pieces.push_back(rest.substr(0, size));
      rest.remove_prefix(size);
    }
    const Trace whole = trace_of({bytes});
    EXPECT_EQ(trace_of(pieces), whole);
    EXPECT_EQ(trace_of(split_in_bytes(bytes)), whole);
  });
}

}  // namespace
}  // namespace weir::test
