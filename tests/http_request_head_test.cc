// Heads of requests to the byte, the framing chosen, and whether the connection stays. Cases marked
// "Node" have the bytes that Node v20.20.2 sent.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_fields.h"
#include "tests/http_trace.h"
#include "weir/http/body_framing.h"
#include "weir/http/fields.h"
#include "weir/http/host.h"
#include "weir/http/limits.h"
#include "weir/http/request_head.h"

namespace weir::test {
namespace {

using http::BodyFraming;
using http::Fields;
using http::RequestFacts;
using Kind = BodyFraming::Kind;
using namespace std::string_view_literals;

// As summary_of_plan(), and what the request asks for; or the name of the error.
std::string summary(RequestFacts facts, const std::vector<Given>& user = {}) {
  Fields fields;
  fill(fields, user);
  facts.fields = &fields;
  const auto plan = http::plan_request(facts);
  if (!plan) return std::string(name_of(plan.error().code));
  std::string text = summary_of_plan(*plan);
  if (plan->expects_continue()) text += " expects";
  if (plan->wants_upgrade()) text += " upgrades";
  return text;
}

// To Node's default: a host, and an agent that keeps connections.
RequestFacts to(std::string_view method, std::optional<std::uint64_t> body_size = 0) {
  return {.method = method, .default_host = "h:81", .body_size = body_size,
          .keeps_connection = true};
}

#define HOST "Host: h:81\n"
#define KEPT "Connection: keep-alive\n"
#define LINE(method) method " / HTTP/1.1\n"

// ---- All bytes ----

TEST(HttpRequestHead, IsToTheByteWhatNodeSends) {
  Fields fields;
  fill(fields, {{"X-A", "1"}, {"b", "2"}, {"Set", "x"}, {"Set", "y"}});
  RequestFacts facts = to("POST", 5);
  facts.target = "/a?b=c";
  facts.fields = &fields;
  const auto plan = http::plan_request(facts);
  ASSERT_TRUE(plan);
  EXPECT_EQ(bytes_of_plan(*plan),
            "POST /a?b=c HTTP/1.1\r\nX-A: 1\r\nb: 2\r\nSet: x\r\nSet: y\r\nHost: h:81\r\n"
            "Connection: keep-alive\r\nContent-Length: 5\r\n\r\n");
}

TEST(HttpRequestHead, HasDefaultsThatAreARequest) {
  const auto plan = http::plan_request({.body_size = 0});
  ASSERT_TRUE(plan);
  EXPECT_EQ(bytes_of_plan(*plan), "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_FALSE(plan->keeps_connection());
}

struct Case {
  const char* title;
  RequestFacts facts;
  std::vector<Given> fields;
  std::string_view summary;
};

void expect_all(const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    EXPECT_EQ(summary(one.facts, one.fields), one.summary) << one.title;
  }
}

TEST(HttpRequestHead, IsWhatNodeSendsInTheOrdinaryCases) {
  RequestFacts no_agent = to("PUT", 1);
  no_agent.keeps_connection = false;
  expect_all({
      {"GET", to("GET"), {}, LINE("GET") HOST KEPT "|none keeps"},
      {"POST, nothing", to("POST"), {}, LINE("POST") HOST KEPT "Content-Length: 0\n|none keeps"},
      {"POST, pieces", to("POST", std::nullopt), {},
       LINE("POST") HOST KEPT "Transfer-Encoding: chunked\n|chunked keeps"},
      {"PUT, no agent", no_agent, {},
       LINE("PUT") HOST "Connection: close\nContent-Length: 1\n|1 closes"},
      {"close", to("GET"), {{"Connection", "close"}},
       LINE("GET") "Connection: close\n" HOST "|none closes"},
      {"upgrade", to("GET"), {{"Connection", "Upgrade"}, {"Upgrade", "x"}},
       LINE("GET") "Connection: Upgrade\nUpgrade: x\n" HOST "|none keeps upgrades"},
      {"expect", to("POST", std::nullopt), {{"Expect", "100-continue"}, {"Content-Length", "2"}},
       LINE("POST") "Expect: 100-continue\nContent-Length: 2\n" HOST KEPT "|2 keeps expects"},
      {"chunked by the user", to("POST", 2), {{"Transfer-Encoding", "chunked"}},
       LINE("POST") "Transfer-Encoding: chunked\n" HOST KEPT "|chunked keeps"},
      {"Host by the user", to("GET"), {{"Host", "x"}}, LINE("GET") "Host: x\n" KEPT "|none keeps"},
      {"Trailer", to("POST", 2), {{"Trailer", "X"}},
       LINE("POST") "Trailer: X\n" HOST KEPT "Transfer-Encoding: chunked\n|chunked keeps"},
      {"removed", to("POST", 2), {{"Host", "-"}, {"Connection", "-"}, {"Content-Length", "-"}},
       LINE("POST") "Transfer-Encoding: chunked\n|chunked keeps"},
  });
}

// ---- Framing ----

TEST(HttpRequestHead, SaysThatThereIsNoBodyWhereOneIsUsual) {
  for (const std::string_view method : {"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"}) {
    EXPECT_EQ(summary(to(method)), std::string(method) + " / HTTP/1.1\n" HOST KEPT "|none keeps");
  }
  for (const std::string_view method : {"POST", "PUT", "PATCH", "QUERY", "PROPFIND", "get"}) {
    EXPECT_EQ(summary(to(method)), std::string(method) +
                                       " / HTTP/1.1\n" HOST KEPT "Content-Length: 0\n|none keeps");
  }
}

TEST(HttpRequestHead, FramesABodyWhateverTheMethodIs) {
  for (const std::string_view method :
       {"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT", "POST", "FOO"}) {
    const std::string begin = std::string(method) + " / HTTP/1.1\n" HOST KEPT;
    EXPECT_EQ(summary(to(method, 7)), begin + "Content-Length: 7\n|7 keeps");
    EXPECT_EQ(summary(to(method, std::nullopt)),
              begin + "Transfer-Encoding: chunked\n|chunked keeps");
  }
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(summary(to("PUT", kMost)),
            LINE("PUT") HOST KEPT
            "Content-Length: 18446744073709551615\n|18446744073709551615 keeps");
}

TEST(HttpRequestHead, TakesTheUsersFraming) {
  expect_all({
      {"codings before chunked", to("GET", 9), {{"Transfer-Encoding", "gzip, Chunked"}},
       LINE("GET") "Transfer-Encoding: gzip, Chunked\n" HOST KEPT "|chunked keeps"},
      {"in two lines", to("GET", std::nullopt),
       {{"Transfer-Encoding", "gzip"}, {"Transfer-Encoding", "chunked"}},
       LINE("GET") "Transfer-Encoding: gzip\nTransfer-Encoding: chunked\n" HOST KEPT
                   "|chunked keeps"},
      {"length of the size", to("GET", 9), {{"content-length", "9"}},
       LINE("GET") "content-length: 9\n" HOST KEPT "|9 keeps"},
      {"length 0", to("GET"), {{"Content-Length", "0"}},
       LINE("GET") "Content-Length: 0\n" HOST KEPT "|0 keeps"},
      {"Trailer, no body", to("GET"), {{"Trailer", "X"}},
       LINE("GET") "Trailer: X\n" HOST KEPT "Transfer-Encoding: chunked\n|chunked keeps"},
      {"Trailer, chunked", to("GET", 1), {{"Trailer", "X"}, {"Transfer-Encoding", "chunked"}},
       LINE("GET") "Trailer: X\nTransfer-Encoding: chunked\n" HOST KEPT "|chunked keeps"},
  });
}

TEST(HttpRequestHead, AddsNothingThatWasRemoved) {
  expect_all({
      {"all, no body", to("POST"),
       {{"Host", "-"}, {"Connection", "-"}, {"Content-Length", "-"}, {"Transfer-Encoding", "-"}},
       LINE("POST") "|none keeps"},
      {"length, pieces", to("POST", std::nullopt), {{"Content-Length", "-"}},
       LINE("POST") HOST KEPT "Transfer-Encoding: chunked\n|chunked keeps"},
      {"coding, known size", to("POST", 3), {{"Transfer-Encoding", "-"}},
       LINE("POST") HOST KEPT "Content-Length: 3\n|3 keeps"},
      {"host, set again", to("GET"), {{"host", "-"}, {"Host", "x"}},
       LINE("GET") "Host: x\n" KEPT "|none keeps"},
  });
}

TEST(HttpRequestHead, RefusesABodyThatCannotBeFramed) {
  expect_all({
      {"pieces", to("POST", std::nullopt), {{"Transfer-Encoding", "-"}}, "ERR_INVALID_ARG_VALUE"},
      {"known size", to("POST", 3), {{"Transfer-Encoding", "-"}, {"Content-Length", "-"}},
       "ERR_INVALID_ARG_VALUE"},
      {"trailers", to("GET"), {{"Transfer-Encoding", "-"}, {"Trailer", "X"}},
       "ERR_INVALID_ARG_VALUE"},
  });
}

TEST(HttpRequestHead, RefusesFieldsThatContradictEachOther) {
  const RequestFacts facts = to("POST", 1);
  expect_all({
      {"both", facts, {{"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}},
       "ERR_INVALID_ARG_VALUE"},
      {"twice", facts, {{"Content-Length", "1"}, {"Content-Length", "1"}}, "ERR_INVALID_ARG_VALUE"},
      {"sign", facts, {{"Content-Length", "+1"}}, "ERR_INVALID_ARG_VALUE"},
      {"list", facts, {{"Content-Length", "1, 1"}}, "ERR_INVALID_ARG_VALUE"},
      {"empty", facts, {{"Content-Length", ""}}, "ERR_INVALID_ARG_VALUE"},
      {"no chunked", facts, {{"Transfer-Encoding", "gzip"}}, "ERR_INVALID_ARG_VALUE"},
      {"no coding", facts, {{"Transfer-Encoding", ""}}, "ERR_INVALID_ARG_VALUE"},
      {"not last", facts, {{"Transfer-Encoding", "chunked, gzip"}}, "ERR_INVALID_ARG_VALUE"},
      {"chunked twice", facts, {{"Transfer-Encoding", "chunked, chunked"}},
       "ERR_INVALID_ARG_VALUE"},
      {"two hosts", facts, {{"Host", "a"}, {"Host", "b"}}, "ERR_INVALID_ARG_VALUE"},
      {"longer", facts, {{"Content-Length", "0"}}, "ERR_HTTP_CONTENT_LENGTH_MISMATCH"},
      {"shorter", facts, {{"Content-Length", "2"}}, "ERR_HTTP_CONTENT_LENGTH_MISMATCH"},
      {"no body at all", to("POST"), {{"Content-Length", "2"}}, "ERR_HTTP_CONTENT_LENGTH_MISMATCH"},
      {"Trailer", facts, {{"Content-Length", "1"}, {"Trailer", "X"}}, "ERR_HTTP_TRAILER_INVALID"},
  });
}

// ---- The connection ----

TEST(HttpRequestHead, RespectsTheUsersConnection) {
  RequestFacts closing = to("GET");
  closing.keeps_connection = false;
  expect_all({
      {"keep-alive", closing, {{"Connection", "keep-alive"}},
       LINE("GET") "Connection: keep-alive\n" HOST "|none keeps"},
      {"both", to("GET"), {{"Connection", "keep-alive, CLOSE"}},
       LINE("GET") "Connection: keep-alive, CLOSE\n" HOST "|none closes"},
      {"something else", closing, {{"Connection", "TE"}},
       LINE("GET") "Connection: TE\n" HOST "|none closes"},
      {"something else, kept", to("GET"), {{"Connection", "TE"}},
       LINE("GET") "Connection: TE\n" HOST "|none keeps"},
      {"removed", closing, {{"Connection", "-"}}, LINE("GET") HOST "|none closes"},
      {"Upgrade alone", to("GET"), {{"Upgrade", "x"}},
       LINE("GET") "Upgrade: x\n" HOST KEPT "|none keeps"},
      {"upgrade to nothing", to("GET"), {{"Connection", "upgrade"}, {"Upgrade", ""}},
       LINE("GET") "Connection: upgrade\nUpgrade: \n" HOST "|none keeps"},
      {"another expectation", to("GET"), {{"Expect", "200-ok"}},
       LINE("GET") "Expect: 200-ok\n" HOST KEPT "|none keeps"},
      {"in any case", to("GET"), {{"EXPECT", "100-Continue"}},
       LINE("GET") "EXPECT: 100-Continue\n" HOST KEPT "|none keeps expects"},
  });
}

// ---- The request line ----

TEST(HttpRequestHead, TakesATokenForAMethod) {
  for (const std::string_view method : {"GET", "get", "M-SEARCH", "!#$%&'*+-.^_`|~09azAZ"}) {
    EXPECT_TRUE(http::check_method(method)) << method;
  }
  for (const std::string_view method :
       {""sv, " "sv, "GET "sv, " GET"sv, "G ET"sv, "G\r\nET"sv, "G\0T"sv, "G\tT"sv, "G:T"sv,
        "G/T"sv, "G\xffT"sv, "(GET)"sv, "\"GET\""sv}) {
    EXPECT_EQ(http::check_method(method).error().code, Mistake::invalid_http_token) << method;
    EXPECT_EQ(summary(to(method)), "ERR_INVALID_HTTP_TOKEN");
  }
}

TEST(HttpRequestHead, RefusesTargetsThatEndTheLine) {
  for (const std::string_view target : {"/", "*", "/a?b=c%20d", "http://b/c", "b:443", "/\xc3\xa9",
                                        "/a#b", "/{}|\\^`", "/\x80\xff"}) {
    EXPECT_TRUE(http::check_target(target)) << target;
  }
  for (const std::string_view target :
       {" "sv, "/ "sv, " /"sv, "/a b"sv, "/\r\nX: y"sv, "/\n"sv, "/\0"sv, "/\t"sv, "/\x1f"sv,
        "/\x7f"sv}) {
    EXPECT_EQ(http::check_target(target).error().code, Mistake::unescaped_characters) << target;
    RequestFacts facts = to("GET");
    facts.target = target;
    EXPECT_EQ(summary(facts), "ERR_UNESCAPED_CHARACTERS");
  }
  EXPECT_EQ(http::check_target("").error().code, Mistake::bad_argument);
}

TEST(HttpRequestHead, LimitsTheRequestLine) {
  constexpr std::size_t kMost = http::limits::kSentRequestLineBytesMax;
  const std::string longest(kMost, 'a');
  EXPECT_TRUE(http::check_method(longest));
  EXPECT_TRUE(http::check_target(longest));
  EXPECT_EQ(http::check_method(longest + "a").error().code, Mistake::out_of_range);
  EXPECT_EQ(http::check_target(longest + "a").error().code, Mistake::out_of_range);
  RequestFacts facts = to("GET");
  const std::string target(kMost - 3, '/');
  facts.target = target;
  EXPECT_TRUE(summary(facts).ends_with("|none keeps"));
  facts.method = "HEAD";
  EXPECT_EQ(summary(facts), "ERR_OUT_OF_RANGE");
}

TEST(HttpRequestHead, RefusesAHostThatEndsTheLine) {
  for (const std::string_view host : {"a\r\nX: y"sv, "a\n"sv, "a\0"sv, " a"sv, "a "sv}) {
    RequestFacts facts = to("GET");
    facts.default_host = host;
    EXPECT_EQ(summary(facts), "ERR_INVALID_CHAR");
  }
}

TEST(HttpRequestHead, NamesTheMistakesAsNodeDoes) {
  EXPECT_EQ(name_of(make_error_code(Mistake::unescaped_characters)), "ERR_UNESCAPED_CHARACTERS");
  EXPECT_EQ(name_of(make_error_code(Mistake::invalid_protocol)), "ERR_INVALID_PROTOCOL");
}

// ---- Our own parser reads it ----

TEST(HttpRequestHead, IsReadAsItWasMeant) {
  for (const std::string_view method : {"GET", "POST", "DELETE"}) {
    for (const std::optional<std::uint64_t> size :
         {std::optional<std::uint64_t>(0), std::optional<std::uint64_t>(3),
          std::optional<std::uint64_t>()}) {
      const auto plan = http::plan_request(to(method, size));
      ASSERT_TRUE(plan);
      const http::ParserLimits limits;
      http::RequestParser parser(&limits);
      const std::string bytes = bytes_of_plan(*plan);
      const http::Step step = parser.next(bytes);
      ASSERT_EQ(step.kind, http::Step::Kind::head);
      EXPECT_EQ(step.consumed, bytes.size());
      const BodyFraming framing = http::body_framing(parser.head().framing);
      EXPECT_EQ(framing.length, plan->framing().length);
      EXPECT_EQ(framing.kind == Kind::chunked, plan->framing().kind == Kind::chunked);
      EXPECT_TRUE(parser.head().keep_alive);
      EXPECT_EQ(parser.head().host, "h:81");
    }
  }
}

}  // namespace
}  // namespace weir::test
