// Heads of responses to the byte, the framing chosen, and whether the connection stays; interim and
// fixed heads. Cases marked "Node" have the bytes that Node v20.20.2 sent.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_fields.h"
#include "weir/http/date.h"
#include "weir/http/fields.h"
#include "weir/http/fixed_head.h"
#include "weir/http/head_lines.h"
#include "weir/http/limits.h"
#include "weir/http/parse_error.h"
#include "weir/http/response_head.h"
#include "weir/http/status.h"

namespace weir::test {
namespace {

using http::BodyFraming;
using http::Fields;
using http::ResponseFacts;
using http::ResponsePlan;
using Kind = BodyFraming::Kind;
using namespace std::string_view_literals;

constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";

// An answer of a server with Node's defaults.
ResponseFacts facts_with(ResponseFacts facts) {
  if (facts.keep_alive_seconds == 0) facts.keep_alive_seconds = 5;
  if (facts.date.empty()) facts.date = kDate;
  return facts;
}

// As summary_of_plan(), without the status line, and D for the date.
std::string summary_of(const ResponsePlan& plan) {
  std::string text = summary_of_plan(plan);
  text.erase(0, text.find('\n') + 1);
  const std::size_t at = text.find(kDate);
  if (at != std::string::npos) text.replace(at, kDate.size(), "D");
  return text;
}

std::string summary(const ResponseFacts& given, const std::vector<Given>& user = {}) {
  Fields fields;
  fill(fields, user);
  ResponseFacts facts = facts_with(given);
  facts.fields = &fields;
  const auto plan = http::plan_response(facts);
  if (!plan) return std::string(name_of(plan.error().code));
  return summary_of(*plan);
}

struct Case {
  const char* title;
  ResponseFacts facts;
  std::vector<Given> fields;
  std::string_view summary;
};

void expect_all(const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    EXPECT_EQ(summary(one.facts, one.fields), one.summary) << one.title;
  }
}

#define KEPT "Connection: keep-alive\nKeep-Alive: timeout=5\n"

// ---- All bytes ----

std::string bytes_of(ResponseFacts facts, const Fields& fields) {
  facts.fields = &fields;
  const auto plan = http::plan_response(facts);
  if (!plan) return plan.error().message();
  return bytes_of_plan(*plan);
}

TEST(HttpResponseHead, IsToTheByteWhatNodeSends) {
  Fields fields;
  fill(fields, {{"Set-Cookie", "a=1"}, {"Set-Cookie", "b=2"}, {"Content-Type", "text/plain"}});
  EXPECT_EQ(bytes_of(facts_with({.body_size = 2}), fields),
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Type: text/plain\r\n"
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n"
            "Keep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(bytes_of({.status = 299, .reason = "Fine \xe9", .body_size = 0}, Fields()),
            "HTTP/1.1 299 Fine \xe9\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(bytes_of({.status = 999, .client_keeps_alive = false}, Fields()),
            "HTTP/1.1 999 unknown\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(bytes_of({.status = 404, .version_minor = 0, .body_size = 7}, Fields()),
            "HTTP/1.1 404 Not Found\r\nConnection: keep-alive\r\nContent-Length: 7\r\n\r\n");
}

TEST(HttpResponseHead, NeedsNoFieldsAndAppends) {
  const auto plan = http::plan_response({.body_size = 0});
  ASSERT_TRUE(plan);
  std::string bytes = "before";
  plan->append_to(bytes);
  EXPECT_EQ(bytes,
            "beforeHTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
}

// The elements of a Connection that loses its keep-alive are written anew, with a blank behind each
// comma.
TEST(HttpResponseHead, AConnectionThatGetsLongerHasRoom) {
  std::string value = "keep-alive";
  for (int i = 0; i < 2000; ++i) value += ",a";
  Fields fields;
  ASSERT_TRUE(fields.set("Connection", value));
  const auto plan = http::plan_response(
      {.fields = &fields, .client_keeps_alive = false, .body_size = 0});
  ASSERT_TRUE(plan);
  std::string bytes;
  plan->append_to(bytes);
  EXPECT_EQ(bytes.size(), plan->size());
  EXPECT_TRUE(bytes.starts_with("HTTP/1.1 200 OK\r\nConnection: a, a, a"));
}

// ---- Framing ----

TEST(HttpResponseHead, ChoosesTheFramingAsNodeDoes) {
  expect_all({
      {"end(data)", {.body_size = 5}, {}, "Date: D\n" KEPT "Content-Length: 5\n|5 keeps"},
      {"end()", {.body_size = 0}, {}, "Date: D\n" KEPT "Content-Length: 0\n|0 keeps"},
      {"write()", {}, {}, "Date: D\n" KEPT "Transfer-Encoding: chunked\n|chunked keeps"},
      {"user length", {}, {{"Content-Length", "5"}},
       "Content-Length: 5\nDate: D\n" KEPT "|5 keeps"},
      {"user length, size known", {.body_size = 5}, {{"content-length", "5"}},
       "content-length: 5\nDate: D\n" KEPT "|5 keeps"},
      {"user chunked, size known", {.body_size = 5}, {{"Transfer-Encoding", "chunked"}},
       "Transfer-Encoding: chunked\nDate: D\n" KEPT "|chunked keeps"},
      {"trailer, size known", {.body_size = 5}, {{"Trailer", "X-T"}},
       "Trailer: X-T\nDate: D\n" KEPT "Transfer-Encoding: chunked\n|chunked keeps"},
      {"length removed", {.body_size = 5}, {{"Content-Length", "-"}},
       "Date: D\n" KEPT "Transfer-Encoding: chunked\n|chunked keeps"},
      {"coding removed, size known", {.body_size = 5}, {{"Transfer-Encoding", "-"}},
       "Date: D\n" KEPT "Content-Length: 5\n|5 keeps"},
      {"largest", {.body_size = std::numeric_limits<std::uint64_t>::max()}, {},
       "Date: D\n" KEPT
       "Content-Length: 18446744073709551615\n|18446744073709551615 keeps"},
  });
}

TEST(HttpResponseHead, WithoutAnyFramingTheConnectionEnds) {
  expect_all({
      {"coding removed; Node says keep-alive and closes", {}, {{"Transfer-Encoding", "-"}},
       "Date: D\nConnection: close\n|until close closes"},
      {"both removed", {.body_size = 5}, {{"Transfer-Encoding", "-"}, {"Content-Length", "-"}},
       "Date: D\nConnection: close\n|until close closes"},
      {"user coding", {}, {{"Transfer-Encoding", "gzip"}},
       "Transfer-Encoding: gzip\nDate: D\nConnection: close\n|until close closes"},
      {"user codings", {}, {{"Transfer-Encoding", "gzip, Chunked"}},
       "Transfer-Encoding: gzip, Chunked\nDate: D\n" KEPT "|chunked keeps"},
      {"in two lines", {}, {{"Transfer-Encoding", "gzip"}, {"Transfer-Encoding", "chunked"}},
       "Transfer-Encoding: gzip\nTransfer-Encoding: chunked\nDate: D\n" KEPT "|chunked keeps"},
  });
}

TEST(HttpResponseHead, SomeAnswersHaveNoBody) {
  expect_all({
      {"204, Node", {.status = 204, .body_size = 1}, {}, "Date: D\n" KEPT "|none keeps"},
      {"304, Node", {.status = 304}, {}, "Date: D\n" KEPT "|none keeps"},
      {"HEAD, Node", {.to_head = true, .body_size = 5}, {}, "Date: D\n" KEPT "|none keeps"},
      {"HEAD streaming, Node", {.to_head = true}, {}, "Date: D\n" KEPT "|none keeps"},
      {"HEAD with length, Node", {.to_head = true}, {{"Content-Length", "5"}},
       "Content-Length: 5\nDate: D\n" KEPT "|none keeps"},
      {"HEAD with another length", {.to_head = true, .body_size = 9}, {{"Content-Length", "5"}},
       "Content-Length: 5\nDate: D\n" KEPT "|none keeps"},
      {"HEAD chunked", {.to_head = true}, {{"Transfer-Encoding", "chunked"}},
       "Transfer-Encoding: chunked\nDate: D\n" KEPT "|none keeps"},
      {"HEAD with trailer", {.to_head = true}, {{"Trailer", "X"}}, "Date: D\n" KEPT "|none keeps"},
      {"304 with length", {.status = 304}, {{"Content-Length", "5"}},
       "Content-Length: 5\nDate: D\n" KEPT "|none keeps"},
      {"304 chunked", {.status = 304}, {{"Transfer-Encoding", "chunked"}, {"ETag", "x"}},
       "ETag: x\nDate: D\n" KEPT "|none keeps"},
      {"204 chunked", {.status = 204}, {{"Transfer-Encoding", "chunked"}},
       "Date: D\n" KEPT "|none keeps"},
      {"204 with length", {.status = 204}, {{"Content-Length", "0"}},
       "Date: D\n" KEPT "|none keeps"},
      {"204 to HEAD", {.status = 204, .to_head = true}, {{"Content-Length", "5"}},
       "Date: D\n" KEPT "|none keeps"},
      {"205, Node", {.status = 205}, {}, "Date: D\n" KEPT "Content-Length: 0\n|none keeps"},
      {"205 streaming", {.status = 205}, {{"Transfer-Encoding", "chunked"}},
       "Date: D\n" KEPT "Content-Length: 0\n|none keeps"},
      {"205 with length", {.status = 205, .body_size = 5}, {{"Content-Length", "5"}},
       "Date: D\n" KEPT "Content-Length: 0\n|none keeps"},
      {"1.0", {.status = 304, .version_minor = 0}, {}, "Date: D\n" KEPT "|none keeps"},
      {"101", {.status = 101}, {{"Upgrade", "x"}, {"Connection", "Upgrade"}},
       "Upgrade: x\nConnection: Upgrade\nDate: D\n|none closes"},
      {"100 is no answer", {.status = 100}, {}, "Date: D\nConnection: close\n|none closes"},
  });
}

TEST(HttpResponseHead, Http10GetsNoCodingAndStaysOnlyWithALength) {
  const ResponseFacts stays = {.version_minor = 0};
  const ResponseFacts sized = {.version_minor = 0, .body_size = 5};
  const ResponseFacts goes = {.version_minor = 0, .client_keeps_alive = false};
  const ResponseFacts sized_goes = {
      .version_minor = 0, .client_keeps_alive = false, .body_size = 5};
  constexpr std::string_view kCloses = "Date: D\nConnection: close\n|until close closes";
  expect_all({
      {"Node", goes, {}, kCloses},
      {"Node", sized_goes, {}, kCloses},
      {"streaming", stays, {}, kCloses},
      {"sized", sized, {}, "Date: D\n" KEPT "Content-Length: 5\n|5 keeps"},
      {"user length", stays, {{"Content-Length", "5"}},
       "Content-Length: 5\nDate: D\n" KEPT "|5 keeps"},
      {"user length", goes, {{"Content-Length", "5"}},
       "Content-Length: 5\nDate: D\nConnection: close\n|5 closes"},
      {"user coding", stays, {{"Transfer-Encoding", "chunked"}}, kCloses},
      {"user coding, sized", sized, {{"Transfer-Encoding", "chunked"}}, kCloses},
      {"user coding, HEAD", {.to_head = true, .version_minor = 0},
       {{"Transfer-Encoding", "chunked"}}, "Date: D\n" KEPT "|none keeps"},
      {"trailer", sized, {{"Trailer", "X"}}, "Date: D\n" KEPT "Content-Length: 5\n|5 keeps"},
      {"connection removed", sized, {{"Connection", "-"}}, "Date: D\n|until close closes"},
      {"length removed", sized, {{"Content-Length", "-"}}, kCloses},
      {"user keep-alive", sized, {{"Connection", "Keep-Alive"}},
       "Connection: Keep-Alive\nDate: D\nContent-Length: 5\n|5 keeps"},
      {"user keep-alive, streaming", stays, {{"Connection", "Keep-Alive"}}, kCloses},
      {"user connection", sized, {{"Connection", "X-Hop"}},
       "Connection: X-Hop\nDate: D\nConnection: close\n|until close closes"},
  });
}

// ---- Connection, Keep-Alive, Date ----

TEST(HttpResponseHead, SaysWhetherTheConnectionStays) {
  const ResponseFacts sized = {.body_size = 1};
  constexpr std::string_view kCloses = "Date: D\nConnection: close\nContent-Length: 1\n|1 closes";
  expect_all({
      {"client closes, Node", {.client_keeps_alive = false, .body_size = 1}, {}, kCloses},
      {"draining", {.body_size = 1, .closing = true}, {}, kCloses},
      {"last request, Node", {.body_size = 1, .requests_left = 0}, {}, kCloses},
      {"another request", {.body_size = 1, .requests_left = 1}, {},
       "Date: D\nConnection: keep-alive\nKeep-Alive: timeout=5, max=1\n"
       "Content-Length: 1\n|1 keeps"},
      {"user closes, Node", sized, {{"Connection", "close"}},
       "Connection: close\nDate: D\nContent-Length: 1\n|1 closes"},
      {"in a list", sized, {{"Connection", "X-Hop, CLOSE"}},
       "Connection: X-Hop, CLOSE\nDate: D\nContent-Length: 1\n|1 closes"},
      {"not a list element", sized, {{"Connection", "x-close"}},
       "Connection: x-close\nDate: D\nContent-Length: 1\n|1 keeps"},
      {"removed, Node", sized, {{"Connection", "-"}}, "Date: D\nContent-Length: 1\n|1 keeps"},
      {"removed, draining", {.body_size = 1, .closing = true}, {{"Connection", "-"}},
       "Date: D\nContent-Length: 1\n|1 closes"},
      {"user keeps, Node", sized, {{"Connection", "keep-alive"}},
       "Connection: keep-alive\nDate: D\nContent-Length: 1\n|1 keeps"},
      {"user parameters, Node", sized, {{"Keep-Alive", "timeout=9"}},
       "Keep-Alive: timeout=9\nDate: D\nConnection: keep-alive\nContent-Length: 1\n|1 keeps"},
  });
}

TEST(HttpResponseHead, KeepAliveIsNotSaidWhereTheConnectionEnds) {
  const ResponseFacts ends = {.body_size = 1, .closing = true};
  expect_all({
      {"alone", ends, {{"Connection", "keep-alive"}},
       "Date: D\nConnection: close\nContent-Length: 1\n|1 closes"},
      {"in a list", ends, {{"Connection", " X-A , Keep-Alive,, X-B"}, {"X-A", "1"}},
       "Connection: X-A, X-B\nX-A: 1\nDate: D\nConnection: close\nContent-Length: 1\n|1 closes"},
      {"in lines", ends, {{"Connection", "keep-alive"}, {"Connection", "X-A"}},
       "Connection: X-A\nDate: D\nConnection: close\nContent-Length: 1\n|1 closes"},
      {"with the user's close", ends, {{"Connection", "keep-alive, close"}},
       "Connection: close\nDate: D\nContent-Length: 1\n|1 closes"},
      {"until close", {}, {{"Transfer-Encoding", "-"}, {"Connection", "keep-alive"}},
       "Date: D\nConnection: close\n|until close closes"},
  });
}

TEST(HttpResponseHead, TheDateIsAddedUnlessThereIsOne) {
  const ResponseFacts sized = {.body_size = 0};
  expect_all({
      {"user date, Node", sized, {{"date", "x"}}, "date: x\n" KEPT "Content-Length: 0\n|0 keeps"},
      {"removed, Node", sized, {{"Date", "-"}}, KEPT "Content-Length: 0\n|0 keeps"},
  });
}

// ---- What is refused ----

TEST(HttpResponseHead, AStatusHasThreeDigits) {
  for (const int status : {-1, 0, 1, 99, 1000, 20000, std::numeric_limits<int>::min()}) {
    EXPECT_EQ(summary({.status = status}), "ERR_HTTP_INVALID_STATUS_CODE") << status;
  }
  for (const int status : {100, 200, 599, 999}) {
    EXPECT_NE(summary({.status = status}), "ERR_HTTP_INVALID_STATUS_CODE") << status;
  }
}

TEST(HttpResponseHead, AReasonCannotEndItsLine) {
  for (const std::string_view reason :
       {"OK\r\nSet-Cookie: a=b"sv, "OK\n"sv, "\r"sv, "a\0"sv, "\x7f"sv, "a\x1b[0m"sv}) {
    EXPECT_EQ(summary({.reason = reason}), "ERR_INVALID_CHAR");
  }
  const std::string longest(http::limits::kReasonBytesMax, 'x');
  EXPECT_NE(summary({.reason = longest}), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(summary({.reason = longest + "x"}), "ERR_OUT_OF_RANGE");
}

TEST(HttpResponseHead, FramingOfTheUserMustBeOneAndPlain) {
  const auto refused = [](const std::vector<Given>& user) {
    for (const int status : {200, 204, 304}) {
      EXPECT_EQ(summary({.status = status}, user), "ERR_INVALID_ARG_VALUE") << user[0].value;
    }
  };
  refused({{"Content-Length", "5"}, {"Transfer-Encoding", "chunked"}});
  refused({{"Transfer-Encoding", "gzip"}, {"Content-Length", "5"}});
  refused({{"Content-Length", "5"}, {"Content-Length", "5"}});
  for (const std::string_view value :
       {"", "-1", "+5", "5, 5", "0x5", "05", "5.0", "5 5", "18446744073709551616", "a"}) {
    refused({{"Content-Length", value}});
  }
  for (const std::string_view value :
       {"", ",", "chunked, chunked", "chunked, gzip", "chunked,", "gzip,,chunked"}) {
    refused({{"Transfer-Encoding", value}});
  }
  refused({{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}});
}

TEST(HttpResponseHead, TheKnownSizeIsComparedWithContentLength) {
  EXPECT_EQ(summary({.body_size = 6}, {{"Content-Length", "5"}}),
            "ERR_HTTP_CONTENT_LENGTH_MISMATCH");
  EXPECT_EQ(summary({.body_size = 4}, {{"Content-Length", "5"}}),
            "Content-Length: 5\nDate: D\nConnection: close\n|5 closes");
}

TEST(HttpResponseHead, TrailerNeedsChunks) {
  const std::vector<Given> with_length = {{"Trailer", "X"}, {"Content-Length", "1"}};
  const std::vector<Given> no_coding = {{"Trailer", "X"}, {"Transfer-Encoding", "-"}};
  const std::vector<Given> other_coding = {{"Trailer", "X"}, {"Transfer-Encoding", "gzip"}};
  for (const auto& user : {with_length, no_coding, other_coding}) {
    EXPECT_EQ(summary({}, user), "ERR_HTTP_TRAILER_INVALID");
  }
  for (const int status : {101, 204, 205, 304}) {
    EXPECT_EQ(summary({.status = status}, {{"Trailer", "X"}}), "ERR_HTTP_TRAILER_INVALID");
  }
}

// ---- Interim and fixed heads ----

TEST(HttpFixedHead, InterimHeadsAreNodes) {
  EXPECT_EQ(http::kContinueHead, "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(http::kProcessingHead, "HTTP/1.1 102 Processing\r\n\r\n");
  EXPECT_TRUE(http::allows_interim(1));
  EXPECT_FALSE(http::allows_interim(0));
  Fields fields;
  fill(fields, {{"Link", "</a>; rel=preload, </b>; rel=preload"}, {"x-y", "z"}});
  std::string text = "before";
  ASSERT_TRUE(http::append_early_hints(fields, text));
  EXPECT_EQ(text,
            "beforeHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload, </b>; rel=preload\r\n"
            "x-y: z\r\n\r\n");
}

TEST(HttpFixedHead, HintsAreLinksAndNoFraming) {
  std::string text;
  EXPECT_FALSE(http::append_early_hints(Fields(), text));
  for (const std::string_view name : {"Content-Length", "transfer-encoding", "Connection",
                                      "Keep-Alive", "Trailer", "Upgrade"}) {
    Fields fields;
    fill(fields, {{"Link", "</a>"}, {name, "1"}});
    const auto appended = http::append_early_hints(fields, text);
    ASSERT_FALSE(appended);
    EXPECT_EQ(appended.error().code, Mistake::bad_argument);
  }
  EXPECT_EQ(text, "");
}

TEST(HttpFixedHead, EveryRefusalHasItsAnswer) {
  const auto expected = [](int status) {
    return "HTTP/1.1 " + std::to_string(status) + " " +
           std::string(http::reason_phrase(status)) + "\r\nConnection: close\r\n\r\n";
  };
  for (const int status : {400, 408, 413, 414, 417, 431, 500, 501, 503, 505}) {
    EXPECT_EQ(http::error_answer(status), expected(status));
  }
  for (int error = 1; error <= static_cast<int>(http::ParseError::no_memory); ++error) {
    const int status = http::facts_of(static_cast<http::ParseError>(error)).status;
    EXPECT_EQ(http::error_answer(status), expected(status));
  }
  EXPECT_EQ(http::error_answer(499), expected(400));
  EXPECT_EQ(http::error_answer(200), expected(500));
}

std::string_view date_of(http::HeadLines& lines, std::int64_t seconds) {
  lines.renew(seconds);
  return lines.date();
}

TEST(HttpHeadLines, AreThoseOfTheirSecond) {
  http::HeadLines lines(5);
  EXPECT_EQ(date_of(lines, 784'111'777), kDate);
  EXPECT_EQ(date_of(lines, 784'111'777), kDate);
  EXPECT_EQ(date_of(lines, 784'111'778), "Sun, 06 Nov 1994 08:49:38 GMT");
  EXPECT_EQ(date_of(lines, 0), "Thu, 01 Jan 1970 00:00:00 GMT") << "also backwards";
  EXPECT_EQ(lines.keep_alive_seconds(), 5U);
  EXPECT_EQ(http::HeadLines(0).usual(), "") << "no Keep-Alive";
}

// Whatever else is said, the head is the same as without the lines that were made before.
TEST(HttpHeadLines, AreWhatWouldBeWritten) {
  http::HeadLines lines(5);
  lines.renew(784'111'777);
  const auto text_of = [](const ResponseFacts& facts) {
    const auto plan = http::plan_response(facts);
    std::string text;
    plan->append_to(text);
    EXPECT_EQ(text.size(), plan->size());
    return text;
  };
  Fields own_date;
  fill(own_date, {{"Date", "today"}});
  Fields own_connection;
  fill(own_connection, {{"Connection", "keep-alive"}});
  Fields own_parameters;
  fill(own_parameters, {{"Keep-Alive", "timeout=7"}});
  const Fields* const every_fields[] = {nullptr, &own_date, &own_connection, &own_parameters};
  int usual = 0;
  for (int i = 0; i < 32; ++i) {
    ResponseFacts facts = {.fields = every_fields[i % 4],
                           .version_minor = i / 4 % 2,
                           .body_size = 13,
                           .keep_alive_seconds = lines.keep_alive_seconds(),
                           .requests_left = {},
                           .closing = i / 8 % 2 != 0,
                           .date = lines.date()};
    if (i >= 16) facts.requests_left = 3;
    const std::string one_by_one = text_of(facts);
    facts.usual_lines = lines.usual();
    EXPECT_EQ(text_of(facts), one_by_one);
    if (one_by_one.contains(lines.usual())) ++usual;
  }
  EXPECT_EQ(usual, 2);  // HTTP/1.0 and 1.1, when nothing is special
}

}  // namespace
}  // namespace weir::test
