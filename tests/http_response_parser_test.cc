// http::ResponseParser: what it makes of good and bad responses, at every point where the bytes may
// be cut, and what the end of the connection means to it.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_trace.h"
#include "tests/random.h"
#include "weir/http/response_parser.h"

namespace weir::test {
namespace {

using http::Answers;
using http::ParserLimits;
using http::ResponseParser;
using http::Step;
using Kind = Step::Kind;

// In one piece, in two at every point, byte by byte: the same.
void expect_trace(std::string_view bytes, const Trace& expected, const ParserLimits& limits = {},
                  const std::vector<Answers>& answers = {}) {
  SCOPED_TRACE(bytes);
  ASSERT_EQ(response_trace_of({bytes}, limits, answers), expected);
  for (std::size_t at = 0; at <= bytes.size(); ++at) {
    ASSERT_EQ(response_trace_of(split_at(bytes, at), limits, answers), expected) << "cut at " << at;
  }
  ASSERT_EQ(response_trace_of(split_in_bytes(bytes), limits, answers), expected);
}

void expect_answer(Answers answers, std::string_view bytes, const Trace& expected) {
  expect_trace(bytes, expected, {}, {answers});
}

struct Case {
  std::string_view bytes;
  Trace events;
};

// ---- Good responses ----

TEST(HttpResponseParser, TakesResponsesInEveryPiece) {
  const Case cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
       {"head 1.1 200 (OK) length=5 Content-Length=[5]", "body hello", "end"}},
      {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
       {"head 1.1 200 (OK) length=0 Content-Length=[0]", "end"}},
      {"HTTP/1.1 404 Not Found at all\r\ncontent-length:\t1 \r\nX: \x80\xff\r\n\r\nx",
       {"head 1.1 404 (Not Found at all) length=1 content-length=[1] X=[\x80\xff]", "body x",
        "end"}},
      {"HTTP/1.1 999 \r\nContent-Length: 0\r\n\r\n",
       {"head 1.1 999 () length=0 Content-Length=[0]", "end"}},
      {"HTTP/1.1 999\r\nContent-Length: 0\r\n\r\n",
       {"head 1.1 999 () length=0 Content-Length=[0]", "end"}},
      {"HTTP/1.1 100  a\tb \x80 \r\n\r\n", {"head 1.1 100 ( a\tb \x80 ) interim", "end"}},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
       "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Sum: 7\r\nY:\r\n\r\n",
       {"head 1.1 200 (OK) chunked Transfer-Encoding=[Chunked]", "body hello world",
        "end X-Sum=[7] Y=[]"}},
      {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
       {"head 1.0 200 (OK) length=2 close Content-Length=[2]", "body hi", "end"}},
      {"HTTP/1.1 200 OK\r\nConnection: x,  CLOSE\r\nContent-Length: 0\r\n\r\n",
       {"head 1.1 200 (OK) length=0 close Connection=[x,  CLOSE] Content-Length=[0]", "end"}},
      {"HTTP/1.1 201 \r\nContent-Type: a\r\nContent-Type: b\r\nContent-Length: 0\r\n\r\n",
       {"head 1.1 201 () length=0 Content-Type=[a] Content-Type=[b] Content-Length=[0]", "end"}},
  };
  for (const Case& good : cases) expect_trace(good.bytes, good.events);
}

TEST(HttpResponseParser, ReadsABodyWithoutLengthUntilTheConnectionEnds) {
  expect_trace("HTTP/1.1 200 OK\r\n\r\nhello\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
               {"head 1.1 200 (OK) until-close close",
                "body hello\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "end"});
  expect_trace("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
               {"head 1.0 200 (OK) until-close close Connection=[keep-alive]", "end"});
  expect_trace("HTTP/1.1 205 Reset\r\n\r\nx",
               {"head 1.1 205 (Reset) until-close close", "body x", "end"});
}

TEST(HttpResponseParser, TakesResponsesInOrder) {
  expect_trace(
      "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\nabc"
      "HTTP/1.1 204 No Content\r\n\r\n"
      "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: t\r\n\r\n"
      "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"
      "HTTP/1.1 200 \r\n\r\ny",
      {"head 1.1 200 () length=3 Content-Length=[3]", "body abc", "end",
       "head 1.1 204 (No Content)", "end",
       "head 1.1 200 () chunked Transfer-Encoding=[chunked]", "body x", "end T=[t]",
       "head 1.1 304 (Not Modified) Content-Length=[7]", "end",
       "head 1.1 200 () until-close close", "body y", "end"});
}

TEST(HttpResponseParser, InterimResponsesAreMessagesOfTheirOwn) {
  expect_trace(
      "HTTP/1.1 100 Continue\r\n\r\n"
      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\n\r\n"
      "HTTP/1.1 199 \r\nTransfer-Encoding: chunked\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
      {"head 1.1 100 (Continue) interim", "end",
       "head 1.1 103 (Early Hints) interim Link=[</a>] Content-Length=[5]", "end",
       "head 1.1 199 () interim Transfer-Encoding=[chunked]", "end",
       "head 1.1 200 (OK) length=1 Content-Length=[1]", "body x", "end"});
}

// ---- What is answered ----

TEST(HttpResponseParser, AnAnswerToHeadHasNoBody) {
  expect_answer(Answers::head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                {"head 1.1 200 (OK) Content-Length=[5]", "end"});
  expect_answer(Answers::head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                {"head 1.1 200 (OK) Transfer-Encoding=[chunked]", "end"});
  expect_answer(Answers::head, "HTTP/1.1 500 \r\n\r\n", {"head 1.1 500 ()", "end"});
  expect_answer(Answers::head, "HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n",
                {"head 1.1 100 () interim", "end", "head 1.1 200 () Content-Length=[1]", "end"});
}

TEST(HttpResponseParser, ATunnelBeginsBehindASuccessfulConnect) {
  expect_answer(Answers::connect, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                {"head 1.1 200 (OK) Content-Length=[5]", "end"});
  expect_answer(Answers::connect, "HTTP/1.1 299 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                {"head 1.1 299 (OK) Transfer-Encoding=[chunked]", "end"});
  expect_answer(Answers::connect, "HTTP/1.1 300 No\r\nContent-Length: 2\r\n\r\nno",
                {"head 1.1 300 (No) length=2 Content-Length=[2]", "body no", "end"});
  expect_answer(Answers::connect, "HTTP/1.1 407 No\r\n\r\nno",
                {"head 1.1 407 (No) until-close close", "body no", "end"});
}

TEST(HttpResponseParser, EachResponseHasItsOwnRequest) {
  expect_trace(
      "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n"
      "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx"
      "HTTP/1.1 103 \r\n\r\nHTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n",
      {"head 1.1 200 () Content-Length=[1]", "end",
       "head 1.1 200 () length=1 Content-Length=[1]", "body x", "end",
       "head 1.1 103 () interim", "end", "head 1.1 200 () Content-Length=[1]", "end"},
      {}, {Answers::head, Answers::other, Answers::head});
}

TEST(HttpResponseParser, StatusesWithoutBodyHaveNoneWhateverTheirFieldsSay) {
  for (const std::string_view status : {"101", "204", "304"}) {
    const std::string line = "HTTP/1.1 " + std::string(status) + " \r\n";
    const std::string head = "head 1.1 " + std::string(status) + " ()";
    expect_trace(line + "\r\n", {head, "end"});
    expect_trace(line + "Content-Length: 7\r\n\r\n", {head + " Content-Length=[7]", "end"});
    expect_trace(line + "Transfer-Encoding: chunked\r\n\r\n",
                 {head + " Transfer-Encoding=[chunked]", "end"});
  }
}

// ---- What the fields say ----

TEST(HttpResponseParser, SaysHowLongTheServerKeepsAConnection) {
  const auto timeout_of = [](std::string_view fields) {
    const ParserLimits limits;
    ResponseParser parser(&limits);
    const std::string bytes = "HTTP/1.1 204 \r\n" + std::string(fields) + "\r\n";
    EXPECT_EQ(parser.next(bytes).kind, Kind::head) << fields;
    return parser.head().keep_alive_seconds;
  };
  EXPECT_EQ(timeout_of("Keep-Alive: timeout=5\r\n"), 5U);
  EXPECT_EQ(timeout_of("keep-alive: max=100,\tTimeout=15 , x\r\n"), 15U);
  EXPECT_EQ(timeout_of("Keep-Alive: timeout=0\r\n"), 0U);
  EXPECT_EQ(timeout_of("Keep-Alive: timeout=4294967295\r\n"), 4294967295U);
  EXPECT_EQ(timeout_of("Keep-Alive: max=1\r\nKeep-Alive: timeout=7\r\n"), 7U);
  EXPECT_EQ(timeout_of("Keep-Alive: timeout=7, timeout=8\r\nKeep-Alive: timeout=9\r\n"), 7U);
  for (const std::string_view none :
       {"", "Keep-Alive: timeout=4294967296\r\n", "Keep-Alive: timeout=-1\r\n",
        "Keep-Alive: timeout=+1\r\n", "Keep-Alive: timeout=1.5\r\n", "Keep-Alive: timeout=\r\n",
        "Keep-Alive: timeout\r\n", "Keep-Alive: xtimeout=5\r\n", "Keep-Alive: timeout = 5\r\n",
        "Keep-Alive: timeout=5s\r\n", "Keep-Alive:\r\n", "Keep-Alives: timeout=5\r\n",
        "Connection: timeout=5\r\n"}) {
    EXPECT_EQ(timeout_of(none), std::nullopt) << none;
  }
}

TEST(HttpResponseParser, KnowsAnUpgrade) {
  const Case cases[] = {
      {"HTTP/1.1 101 Go\r\nConnection: keep-alive, Upgrade\r\nUpgrade: x\r\n\r\n",
       {"head 1.1 101 (Go) upgrade Connection=[keep-alive, Upgrade] Upgrade=[x]", "end"}},
      {"HTTP/1.1 426 \r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n",
       {"head 1.1 426 () length=0 upgrade Connection=[Upgrade] Upgrade=[x] Content-Length=[0]",
        "end"}},
      {"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n", {"head 1.1 101 (Go) Upgrade=[x]", "end"}},
      {"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade:\r\n\r\n",
       {"head 1.1 101 (Go) Connection=[upgrade] Upgrade=[]", "end"}},
      {"HTTP/1.0 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
       {"head 1.0 101 (Go) close Connection=[upgrade] Upgrade=[x]", "end"}},
  };
  for (const Case& one : cases) expect_trace(one.bytes, one.events);
}

// ---- Malformed status lines ----

constexpr std::string_view kNoStart = "error 502: the response does not begin with HTTP/ @0";
constexpr std::string_view kNoVersion = "error 505: neither HTTP/1.0 nor HTTP/1.1 @0";
constexpr std::string_view kNoStatus =
    "error 502: no status of three digits, from 100 on, behind the version @0";

void expect_line(std::string_view line, std::string_view error) {
  expect_trace(std::string(line) + "\r\nContent-Length: 0\r\n\r\n", {std::string(error)});
}

TEST(HttpResponseParser, RefusesWhatIsNoHttp) {
  for (const std::string_view line :
       {"http/1.1 200 OK", "ICY 200 OK", "SSH-2.0-OpenSSH_9.2", "GET / HTTP/1.1",
        "HTTPS/1.1 200 OK", "HTTP 1.1 200 OK", " HTTP/1.1 200 OK",
        "xHTTP/1.1 200 OK", "\tHTTP/1.1 200 OK",
        "\xef\xbb\xbfHTTP/1.1 200 OK", "<html>"}) {
    expect_line(line, kNoStart);
  }
}

TEST(HttpResponseParser, RefusesAnEmptyLineBeforeAResponse) {
  expect_trace("\r\nHTTP/1.1 200 OK\r\n\r\n", {std::string(kNoStart)});
  expect_trace("HTTP/1.1 204 \r\n\r\n\r\nHTTP/1.1 204 \r\n\r\n",
               {"head 1.1 204 ()", "end", std::string(kNoStart)});
}

TEST(HttpResponseParser, RefusesWhatFollowsABody) {
  expect_trace("HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nxy",
               {"head 1.1 200 () length=1 Content-Length=[1]", "body x", "end",
                std::string(kNoStart)});
  expect_answer(Answers::head, "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx",
                {"head 1.1 200 () Content-Length=[1]", "end", std::string(kNoStart)});
}

TEST(HttpResponseParser, RefusesVersions) {
  for (const std::string_view version :
       {"HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/2", "HTTP/3", "HTTP/1", "HTTP/1.", "HTTP/.1",
        "HTTP/11", "HTTP/1.10", "HTTP/01.1", "HTTP/1,1", "HTTP/+1.1", "HTTP/1.x", "HTTP/ 1.1",
        "HTTP/1.1\t", "HTTP/1.1x", "HTTP/"}) {
    expect_line(std::string(version) + " 200 OK", kNoVersion);
  }
  expect_line("HTTP/1.1\t200 OK", kNoVersion);
  expect_line("HTTP/1.1200 OK", kNoVersion);
  expect_line("HTTP/", kNoVersion);
}

TEST(HttpResponseParser, RefusesStatuses) {
  for (const std::string_view rest :
       {"", " ", "  200 OK", " 20 OK", " 2 OK", " 20", " 2000 OK", " 2000", " 099 OK", " 000 OK",
        " +20 OK", " -20 OK", " 2x0 OK", " 0x2 OK", " OK", " 200OK", " 200\tOK", " \t200 OK",
        " 2 0 OK", " 200,OK", " \xb2\xb0\xb0 OK"}) {
    expect_line("HTTP/1.1" + std::string(rest), kNoStatus);
  }
}

TEST(HttpResponseParser, RefusesControlBytesAndHalfLineEnds) {
  using namespace std::string_view_literals;
  const std::string error = "error 400: a control byte, or CR or LF without the other, in a line @";
  for (const std::string_view bytes :
       {"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"sv, "HTTP/1.1 200 OK\rContent-Length: 0\r\n"sv,
        "HTTP/1.1 200 O\0K\r\n\r\n"sv, "HTTP/1.1 200 O\x7fK\r\n\r\n"sv, "HTTP/1.1 200\n"sv,
        "HTTP/1.1 200 OK\r\r\n\r\n"sv, "HTTP/1.1\x01"sv}) {
    expect_trace(bytes, {error + "0"});
  }
  for (const std::string_view rest :
       {"X: a\n\r\n"sv, "X: a\rb\r\n\r\n"sv, "X: \0\r\n\r\n"sv, "\n"sv, "\rX: a\r\n\r\n"sv,
        "X\x01: a\r\n\r\n"sv}) {
    expect_trace("HTTP/1.1 200 OK\r\n" + std::string(rest), {error + "17"});
  }
}

// ---- Malformed fields ----

// Fields of a response with any status, and to any method: whatever it answers.
void expect_fields(std::string_view fields, std::string_view error) {
  const std::string expected = "error " + std::string(error);
  for (const std::string_view status : {"100", "101", "200", "204", "304", "500"}) {
    const std::string bytes =
        "HTTP/1.1 " + std::string(status) + " \r\n" + std::string(fields) + "\r\n";
    for (const Answers answers : {Answers::head, Answers::connect, Answers::other}) {
      expect_answer(answers, bytes, {expected});
    }
  }
}

TEST(HttpResponseParser, RefusesFieldLines) {
  expect_fields("X : y\r\n", "400: a blank between a field's name and its colon @15");
  expect_fields("X: y\r\n z\r\n", "400: a line that continues the one before @21");
  expect_fields("X: y\r\n\tz\r\n", "400: a line that continues the one before @21");
  expect_fields(" X: y\r\n", "400: a line that continues the one before @15");
  expect_fields("no colon\r\n", "400: a blank between a field's name and its colon @15");
  expect_fields("nocolon\r\n", "400: a field line without a name, or with a malformed one @15");
  expect_fields(": y\r\n", "400: a field line without a name, or with a malformed one @15");
  expect_fields("X(: y\r\n", "400: a field line without a name, or with a malformed one @15");
}

TEST(HttpResponseParser, RefusesContentLengths) {
  for (const std::string_view value :
       {"", "+1", "-1", "1 ,1", "1,1", "1, 2", "0x1", "01", "1.0", "1e1", "a", "1 1",
        "18446744073709551616", "99999999999999999999", "\"1\"", "1;"}) {
    const std::string line = "Content-Length: " + std::string(value) + "\r\n";
    expect_fields(line, "400: a malformed Content-Length field @" +
                            std::to_string(15 + line.size() + 2));
  }
}

TEST(HttpResponseParser, RefusesARepeatedContentLength) {
  expect_fields("Content-Length: 1\r\nContent-Length: 1\r\n",
                "400: more than one Content-Length field @55");
  expect_fields("Content-Length: 1\r\ncontent-length: 2\r\n",
                "400: more than one Content-Length field @55");
}

TEST(HttpResponseParser, RefusesBothFramingFields) {
  expect_fields("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
                "400: both Content-Length and Transfer-Encoding @64");
  expect_fields("Transfer-Encoding: gzip\r\nContent-Length: 1\r\n",
                "400: both Content-Length and Transfer-Encoding @61");
}

TEST(HttpResponseParser, RefusesTransferEncodings) {
  for (const std::string_view value :
       {"", "gzip", "identity", "chunked, gzip", "chunked, chunked", "chunked,", ",chunked",
        "xchunked", "chunked;q=1", "\"chunked\""}) {
    const std::string line = "Transfer-Encoding: " + std::string(value) + "\r\n";
    expect_fields(line, "400: a Transfer-Encoding that is not exactly one chunked @" +
                            std::to_string(15 + line.size() + 2));
  }
  expect_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                "400: a Transfer-Encoding that is not exactly one chunked @73");
  expect_fields("Transfer-Encoding: gzip, chunked\r\n",
                "501: a transfer coding besides chunked @51");
}

TEST(HttpResponseParser, RefusesATransferEncodingInHttp10) {
  expect_trace("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
               {"error 400: Transfer-Encoding in HTTP/1.0 @47"});
}

TEST(HttpResponseParser, RefusesNamesThatLookLikeFraming) {
  expect_fields("Content_Length: 1\r\n",
                "400: a field name that others may take for one of framing @36");
  expect_fields("Transfer_Encoding: chunked\r\n",
                "400: a field name that others may take for one of framing @45");
}

TEST(HttpResponseParser, RefusesChunks) {
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string start = "head 1.1 200 (OK) chunked Transfer-Encoding=[chunked]";
  expect_trace(head + "x\r\n", {start, "error 400: a malformed chunk size @47"});
  expect_trace(head + "1\r\nxy", {start, "body x",
               "error 400: CR and LF expected behind a chunk's data @51"});
  expect_trace(head + "1\nx", {start, "error 400: CR and LF expected behind a chunk size @48"});
  expect_trace(head + "0\r\nContent-Length: 1\r\n\r\n",
               {start, "error 400: a field that may not be a trailer @50"});
}

// ---- The end of the connection ----

TEST(HttpResponseParser, TheConnectionMayEndBetweenMessages) {
  expect_trace("", {});
  expect_trace("HTTP/1.1 204 \r\n\r\n", {"head 1.1 204 ()", "end"});
  expect_trace("HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx",
               {"head 1.1 200 () length=1 Content-Length=[1]", "body x", "end"});
}

TEST(HttpResponseParser, AMessageThatIsCutInTheMiddleIsAnError) {
  const auto cut = [](std::size_t good) {
    return "error 502: the connection ended within the message @" + std::to_string(good);
  };
  for (const std::string_view bytes : {"H", "HTTP/", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r"}) {
    expect_trace(bytes, {cut(0)});
  }
  expect_trace("HTTP/1.1 200 OK\r\n", {cut(17)});
  expect_trace("HTTP/1.1 200 OK\r\nX: y\r\n\r", {cut(23)});
  expect_trace("HTTP/1.1 100 \r\n\r\nHTT", {"head 1.1 100 () interim", "end", cut(0)});
  expect_trace("HTTP/1.1 200 \r\nContent-Length: 9\r\n\r\n",
               {"head 1.1 200 () length=9 Content-Length=[9]", cut(36)});
  expect_trace("HTTP/1.1 200 \r\nContent-Length: 9\r\n\r\n12345678",
               {"head 1.1 200 () length=9 Content-Length=[9]", "body 12345678", cut(44)});
  const std::string chunked = "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string head = "head 1.1 200 () chunked Transfer-Encoding=[chunked]";
  expect_trace(chunked, {head, cut(45)});
  expect_trace(chunked + "5\r\nab", {head, "body ab", cut(50)});
  expect_trace(chunked + "2\r\nab\r\n", {head, "body ab", cut(52)});
  expect_trace(chunked + "0\r\n", {head, cut(48)});
  expect_trace(chunked + "0\r\nX: y\r\n\r", {head, cut(48)});
}

TEST(HttpResponseParser, TheEndMayComeBeforeTheLastStepWasAskedFor) {
  const ParserLimits limits;
  for (const std::string_view bytes :
       {"HTTP/1.1 204 \r\n\r\n", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 \r\n\r\n"}) {
    ResponseParser parser(&limits);
    ASSERT_EQ(parser.next(bytes).kind, Kind::head);
    EXPECT_EQ(parser.finish().kind, Kind::end) << bytes;
    EXPECT_TRUE(parser.is_between_messages());
  }
  ResponseParser sized(&limits);
  const std::string_view bytes = "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx";
  const Step head = sized.next(bytes);
  ASSERT_EQ(head.kind, Kind::head);
  ASSERT_EQ(sized.next(bytes.substr(head.consumed)).kind, Kind::body);
  EXPECT_EQ(sized.finish().kind, Kind::end);
}

// ---- Limits: reached exactly, and passed by one ----

TEST(HttpResponseParser, LimitsTheHead) {
  const std::string head = "HTTP/1.1 204 OK\r\nX: 01234567890123456789\r\n\r\n";
  ParserLimits limits{.head_bytes_max = head.size()};
  expect_trace(head, {"head 1.1 204 (OK) X=[01234567890123456789]", "end"}, limits);
  --limits.head_bytes_max;
  expect_trace(head, {"error 431: the head is too large @42"}, limits);
  for (const std::size_t size : {1U, 4U, 5U, 6U, 16U}) {
    limits.head_bytes_max = size;
    expect_trace(head, {"error 431: the head is too large @0"}, limits);
  }
  limits.head_bytes_max = 17;
  expect_trace(head, {"error 431: the head is too large @17"}, limits);
}

TEST(HttpResponseParser, LimitsEachHeadOnItsOwn) {
  const std::string one = "HTTP/1.1 100 a\r\nX: y\r\n\r\n";
  const ParserLimits limits{.head_bytes_max = one.size(), .fields_max = 1};
  const Trace events = {"head 1.1 100 (a) interim X=[y]", "end"};
  expect_trace(one + one, {events[0], events[1], events[0], events[1]}, limits);
}

TEST(HttpResponseParser, LimitsFieldsAndTrailers) {
  const std::string chunked = "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string head = "head 1.1 200 () chunked Transfer-Encoding=[chunked]";
  const ParserLimits limits{.fields_max = 1, .chunk_extension_bytes_max = 2,
                            .trailer_bytes_max = 8};
  expect_trace(chunked + "0\r\nX: y\r\n\r\n", {head, "end X=[y]"}, limits);
  expect_trace(chunked + "0\r\nX: yz\r\n\r\n",
               {head, "error 431: the trailer section is too large @55"}, limits);
  expect_trace(chunked + "0\r\nX:\r\nY:\r\n", {head, "error 431: too many fields @52"}, limits);
  expect_trace(chunked + "1;a\r\nx\r\n0\r\n\r\n", {head, "body x", "end"}, limits);
  expect_trace(chunked + "1;ab\r\n",
               {head, "error 400: too many bytes of chunk extensions @48"}, limits);
  expect_trace("HTTP/1.1 200 \r\nA: b\r\nC: d\r\n\r\n", {"error 431: too many fields @21"},
               limits);
}

TEST(HttpResponseParser, CutsWhatHasNoEnd) {
  const std::string flood(100'000, 'A');
  EXPECT_EQ(response_trace_of({flood}).back(), kNoStart);
  EXPECT_EQ(response_trace_of({"HTTP/1.1 200 " + flood}).back(),
            "error 431: the head is too large @0");
  EXPECT_EQ(response_trace_of({"HTTP/1.1 200 \r\nX: " + flood}).back(),
            "error 431: the head is too large @15");
  const std::string interim = "HTTP/1.1 100 \r\n\r\n";
  std::string many;
  for (int i = 0; i < 1000; ++i) many += interim;
  EXPECT_EQ(response_trace_of({many}).size(), 2000U) << "how many there may be, the owner decides";
}

TEST(HttpResponseParser, ReservesNothingForADeclaredLength) {
  const ParserLimits limits;
  ResponseParser parser(&limits);
  ASSERT_EQ(parser.next("HTTP/1.1 200 \r\nContent-Length: 18446744073709551615\r\n\r\n").kind,
            Kind::head);
  EXPECT_EQ(parser.head().framing.length, UINT64_MAX);
  EXPECT_EQ(parser.next("x").kind, Kind::body);
  EXPECT_EQ(parser.next("").kind, Kind::need_more);
  EXPECT_EQ(parser.finish().kind, Kind::error);
}

// ---- Views, and what becomes of them ----

TEST(HttpResponseParser, ViewsTheInputWhereTheHeadIsInOnePiece) {
  const std::string_view bytes =
      "HTTP/1.1 200 Fine\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: t\r\n\r\n";
  const ParserLimits limits;
  ResponseParser parser(&limits);
  Step step = parser.next(bytes);
  ASSERT_EQ(step.kind, Kind::head);
  EXPECT_TRUE(is_within(parser.head().reason, bytes));
  for (const http::Field& field : parser.head().fields) {
    EXPECT_TRUE(is_within(field.name, bytes));
    EXPECT_TRUE(is_within(field.value, bytes));
  }
  std::string_view rest = bytes.substr(step.consumed);
  step = parser.next(rest);
  ASSERT_EQ(step.kind, Kind::body);
  EXPECT_TRUE(is_within(step.body, bytes));
  rest.remove_prefix(step.consumed);
  ASSERT_EQ(parser.next(rest).kind, Kind::end);
  ASSERT_EQ(parser.trailers().size(), 1U);
  EXPECT_TRUE(is_within(parser.trailers()[0].value, bytes));
}

TEST(HttpResponseParser, KeepsAHeadThatCameInPieces) {
  const ParserLimits limits;
  ResponseParser parser(&limits);
  const std::string_view bytes =
      "HTTP/1.1 200 A reason of some length\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyy\r\n"
      "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: ttttttttttt\r\n\r\n";
  std::string expected;
  for (const std::string_view piece : split_in_bytes(bytes)) {
    const ExactBytes byte(piece);  // gone after this round
    const Step step = parser.next(byte.view());
    if (step.kind == Kind::head) expected = describe(parser.head());
    ASSERT_NE(step.kind, Kind::error);
    ASSERT_EQ(step.consumed, 1U);
  }
  EXPECT_EQ(describe(parser.head()), expected) << "good until the next message";
  EXPECT_TRUE(expected.starts_with("1.1 200 (A reason of some length) chunked X=[yyyy"));
  ASSERT_EQ(parser.trailers().size(), 1U);
  EXPECT_EQ(parser.trailers()[0].value, "ttttttttttt");
  parser.release_message();
  EXPECT_TRUE(parser.trailers().empty());
  EXPECT_TRUE(parser.head().fields.empty());
  EXPECT_EQ(parser.head().status, 0);
  EXPECT_TRUE(parser.is_between_messages());
}

TEST(HttpResponseParser, KnowsWhetherAMessageHasBegun) {
  const ParserLimits limits;
  ResponseParser parser(&limits);
  EXPECT_TRUE(parser.is_between_messages());
  EXPECT_EQ(parser.next("").kind, Kind::need_more);
  EXPECT_TRUE(parser.is_between_messages());
  EXPECT_EQ(parser.next("H").kind, Kind::need_more);
  EXPECT_FALSE(parser.is_between_messages());
  EXPECT_EQ(parser.next("TTP/1.1 204 \r\n\r\n").kind, Kind::head);
  EXPECT_FALSE(parser.is_between_messages());
  EXPECT_EQ(parser.next("").kind, Kind::end);
  EXPECT_TRUE(parser.is_between_messages());
}

TEST(HttpResponseParser, LeavesWhatFollowsAHeadThatIsHandedOver) {
  const std::string_view bytes =
      "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw";
  EXPECT_EQ(left_behind_head<ResponseParser>(bytes), Trace{"raw"});
}

// ---- Any bytes ----

TEST(HttpResponseParser, SaysTheSameOfAnyBytesHoweverTheyAreCut) {
  const std::string_view seeds[] = {
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 204 \r\n\r\n",
      "HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n"};
  for_seeds(2000, [&](Random& random) {
    std::string bytes(seeds[random.below(2)]);
    for (std::uint64_t changes = random.below(4); changes > 0; --changes) {
      bytes[random.below(bytes.size())] = static_cast<char>(random.below(256));
    }
    const Trace whole = response_trace_of({bytes});
    const std::size_t first = random.below(bytes.size());
    const std::size_t second = first + random.below(bytes.size() - first);
    const std::string_view view = bytes;
    const Pieces pieces = {view.substr(0, first), view.substr(first, second - first),
                           view.substr(second)};
    ASSERT_EQ(response_trace_of(pieces), whole) << bytes;
    ASSERT_EQ(response_trace_of(split_in_bytes(bytes)), whole) << bytes;
  });
}

}  // namespace
}  // namespace weir::test
