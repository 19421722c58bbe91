// What others have been smuggled through with: no request with ambiguous framing is accepted. Each
// case has a name, its bytes, and the status that its connection ends with.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "tests/http_trace.h"
#include "weir/http/framing.h"

namespace weir::test {
namespace {

struct Attack {
  std::string_view name;
  std::string_view bytes;
  int status;
};

#define BYTES(text) std::string_view(text, sizeof(text) - 1)
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

constexpr Attack kLengths[] = {
    {"length and coding", BYTES(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
     400},
    {"coding and length", BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
     400},
    {"length 0 and coding", BYTES(POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
     400},
    {"length and unknown coding", BYTES(POST "Content-Length: 5\r\nTransfer-Encoding: x\r\n\r\n"),
     400},
    {"length and empty coding", BYTES(POST "Content-Length: 5\r\nTransfer-Encoding:\r\n\r\n"), 400},
    {"malformed length and coding",
     BYTES(POST "Content-Length: x\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
    {"two lengths", BYTES(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), 400},
    {"two equal lengths", BYTES(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), 400},
    {"three lengths",
     BYTES(POST "Content-Length: 5\r\nX: y\r\ncontent-length: 5\r\nCONTENT-LENGTH: 5\r\n\r\n"),
     400},
    {"a list of lengths", BYTES(POST "Content-Length: 5, 6\r\n\r\n"), 400},
    {"a list of equal lengths", BYTES(POST "Content-Length: 5, 5\r\n\r\n"), 400},
    {"a length and a comma", BYTES(POST "Content-Length: 5,\r\n\r\n"), 400},
    {"an empty length", BYTES(POST "Content-Length:\r\n\r\n"), 400},
    {"a blank length", BYTES(POST "Content-Length:  \t \r\n\r\n"), 400},
    {"a plus", BYTES(POST "Content-Length: +5\r\n\r\n"), 400},
    {"a minus", BYTES(POST "Content-Length: -5\r\n\r\n"), 400},
    {"minus zero", BYTES(POST "Content-Length: -0\r\n\r\n"), 400},
    {"a fraction", BYTES(POST "Content-Length: 5.0\r\n\r\n"), 400},
    {"an exponent", BYTES(POST "Content-Length: 1e1\r\n\r\n"), 400},
    {"hexadecimal", BYTES(POST "Content-Length: 0x5\r\n\r\n"), 400},
    {"octal", BYTES(POST "Content-Length: 0o5\r\n\r\n"), 400},
    {"leading zero", BYTES(POST "Content-Length: 05\r\n\r\n"), 400},
    {"two zeros", BYTES(POST "Content-Length: 00\r\n\r\n"), 400},
    {"an underscore between digits", BYTES(POST "Content-Length: 1_0\r\n\r\n"), 400},
    {"a blank between digits", BYTES(POST "Content-Length: 1 0\r\n\r\n"), 400},
    {"a quoted length", BYTES(POST "Content-Length: \"5\"\r\n\r\n"), 400},
    {"letters", BYTES(POST "Content-Length: abc\r\n\r\n"), 400},
    {"digits that are not ASCII", BYTES(POST "Content-Length: \xd9\xa5\r\n\r\n"), 400},
    {"a vertical tab before the length", BYTES(POST "Content-Length: \v5\r\n\r\n"), 400},
    {"a NUL behind the length", BYTES(POST "Content-Length: 5\0\r\n\r\n"), 400},
    {"64 bits and one more", BYTES(POST "Content-Length: 18446744073709551616\r\n\r\n"), 400},
    {"20 nines", BYTES(POST "Content-Length: 99999999999999999999\r\n\r\n"), 400},
    {"Content_Length", BYTES(POST "Content_Length: 5\r\n\r\n"), 400},
    {"length and Content_Length", BYTES(POST "Content-Length: 5\r\nContent_Length: 9\r\n\r\n"),
     400},
};

constexpr Attack kCodings[] = {
    {"chunked twice in a field", BYTES(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"), 400},
    {"chunked in two fields",
     BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
    {"chunked, then identity",
     BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"), 400},
    {"chunked not last", BYTES(POST "Transfer-Encoding: chunked, gzip\r\n\r\n"), 400},
    {"gzip alone", BYTES(POST "Transfer-Encoding: gzip\r\n\r\n"), 400},
    {"identity", BYTES(POST "Transfer-Encoding: identity\r\n\r\n"), 400},
    {"xchunked", BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n"), 400},
    {"chunkedx", BYTES(POST "Transfer-Encoding: chunkedx\r\n\r\n"), 400},
    {"gzip before chunked", BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501},
    {"gzip before chunked in two fields",
     BYTES(POST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"), 501},
    {"identity before chunked", BYTES(POST "Transfer-Encoding: identity, chunked\r\n\r\n"), 501},
    {"empty", BYTES(POST "Transfer-Encoding:\r\n\r\n"), 400},
    {"a leading comma", BYTES(POST "Transfer-Encoding: , chunked\r\n\r\n"), 400},
    {"a trailing comma", BYTES(POST "Transfer-Encoding: chunked,\r\n\r\n"), 400},
    {"a parameter", BYTES(POST "Transfer-Encoding: chunked;q=1\r\n\r\n"), 400},
    {"quoted", BYTES(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"), 400},
    {"a blank within", BYTES(POST "Transfer-Encoding: chun ked\r\n\r\n"), 400},
    {"a vertical tab before", BYTES(POST "Transfer-Encoding: \vchunked\r\n\r\n"), 400},
    {"a form feed before", BYTES(POST "Transfer-Encoding: \fchunked\r\n\r\n"), 400},
    {"a NUL behind", BYTES(POST "Transfer-Encoding: chunked\0\r\n\r\n"), 400},
    {"a no-break space before",
     BYTES(POST "Transfer-Encoding: \xa0"
                "chunked\r\n\r\n"),
     400},
    {"a blank before the colon", BYTES(POST "Transfer-Encoding : chunked\r\n\r\n"), 400},
    {"a tab before the colon", BYTES(POST "Transfer-Encoding\t: chunked\r\n\r\n"), 400},
    {"a folded value", BYTES(POST "Transfer-Encoding:\r\n chunked\r\n\r\n"), 400},
    {"in HTTP/1.0", BYTES("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
    {"in HTTP/1.0 with a length",
     BYTES("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"), 400},
    {"Transfer_Encoding", BYTES(POST "Transfer_Encoding: chunked\r\n\r\n"), 400},
    {"length and Transfer_Encoding",
     BYTES(POST "Content-Length: 5\r\nTRANSFER_encoding: chunked\r\n\r\n"), 400},
};

constexpr Attack kLines[] = {
    {"LF ends the request line", BYTES("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400},
    {"CR ends the request line", BYTES("GET / HTTP/1.1\rHost: a\r\n\r\n"), 400},
    {"LF ends a field line", BYTES(POST "X: y\nZ: z\r\n\r\n"), 400},
    {"CR ends a field line", BYTES(POST "X: y\rZ: z\r\n\r\n"), 400},
    {"CR CR LF ends a field line", BYTES(POST "X: y\r\r\n\r\n"), 400},
    {"LF CR ends a field line", BYTES(POST "X: y\n\r\n\r\n"), 400},
    {"LF ends the head", BYTES(POST "X: y\r\n\n"), 400},
    {"LF LF ends the head", BYTES("GET / HTTP/1.1\nHost: a\n\n"), 400},
    {"CR within a value", BYTES(POST "X: a\rb\r\n\r\n"), 400},
    {"NUL within a value", BYTES(POST "X: a\0b\r\n\r\n"), 400},
    {"NUL within a name", BYTES(POST "X\0Y: b\r\n\r\n"), 400},
    {"BEL within a value", BYTES(POST "X: a\ab\r\n\r\n"), 400},
    {"DEL within a value",
     BYTES(POST "X: a\x7f"
                "b\r\n\r\n"),
     400},
    {"NUL within the target", BYTES("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
    {"a folded line", BYTES(POST "X: y\r\n z\r\n\r\n"), 400},
    {"a line folded by a tab", BYTES(POST "X: y\r\n\tz\r\n\r\n"), 400},
    {"a folded line first", BYTES("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400},
    {"a blank line", BYTES("GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n"), 400},
    {"a blank before the colon", BYTES(POST "Content-Length : 5\r\n\r\n"), 400},
    {"a tab before the colon", BYTES(POST "Content-Length\t: 5\r\n\r\n"), 400},
    {"a blank within a name", BYTES(POST "Content Length: 5\r\n\r\n"), 400},
    {"no name", BYTES(POST ": x\r\n\r\n"), 400},
    {"no colon", BYTES(POST "X\r\n\r\n"), 400},
    {"a bracket in a name", BYTES(POST "X[Y]: x\r\n\r\n"), 400},
    {"a name that is not ASCII", BYTES(POST "X\xc3\xabY: x\r\n\r\n"), 400},
};

constexpr Attack kHosts[] = {
    {"no Host", BYTES("GET / HTTP/1.1\r\n\r\n"), 400},
    {"no Host but an absolute target", BYTES("GET http://a/ HTTP/1.1\r\n\r\n"), 400},
    {"two Hosts", BYTES("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400},
    {"two equal Hosts", BYTES("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"), 400},
    {"two Hosts in HTTP/1.0", BYTES("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), 400},
    {"an empty Host", BYTES("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 400},
    {"a list of Hosts", BYTES("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"), 400},
    {"a list of Hosts without blanks", BYTES("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"), 400},
    {"a user name", BYTES("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), 400},
    {"a path", BYTES("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400},
    {"a query", BYTES("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"), 400},
    {"a fragment", BYTES("GET / HTTP/1.1\r\nHost: a#b\r\n\r\n"), 400},
    {"a backslash", BYTES("GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n"), 400},
    {"a blank", BYTES("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400},
    {"a port only", BYTES("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), 400},
    {"a port of letters", BYTES("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"), 400},
    {"a port too large", BYTES("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"), 400},
    {"two ports", BYTES("GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"), 400},
    {"an open bracket", BYTES("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), 400},
    {"bytes that are not ASCII", BYTES("GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n"), 400},
};

constexpr Attack kChunks[] = {
    {"an empty size", BYTES(CHUNKED "\r\nhello\r\n0\r\n\r\n"), 400},
    {"0x before the size", BYTES(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n"), 400},
    {"a plus before the size", BYTES(CHUNKED "+5\r\nhello\r\n0\r\n\r\n"), 400},
    {"a minus before the size", BYTES(CHUNKED "-5\r\nhello\r\n0\r\n\r\n"), 400},
    {"a blank before the size", BYTES(CHUNKED " 5\r\nhello\r\n0\r\n\r\n"), 400},
    {"a blank behind the size", BYTES(CHUNKED "5 \r\nhello\r\n0\r\n\r\n"), 400},
    {"an underscore in the size", BYTES(CHUNKED "1_0\r\nhello world!!!!!\r\n0\r\n\r\n"), 400},
    {"a letter beyond f", BYTES(CHUNKED "g\r\nhello\r\n0\r\n\r\n"), 400},
    {"a size of 17 digits", BYTES(CHUNKED "10000000000000000\r\n"), 400},
    {"a size of 17 zeros", BYTES(CHUNKED "00000000000000000\r\n\r\n"), 400},
    {"LF behind the size", BYTES(CHUNKED "5\nhello\r\n0\r\n\r\n"), 400},
    {"CR behind the size", BYTES(CHUNKED "5\rhello\r\n0\r\n\r\n"), 400},
    {"CR CR LF behind the size", BYTES(CHUNKED "5\r\r\nhello\r\n0\r\n\r\n"), 400},
    {"LF behind the data", BYTES(CHUNKED "5\r\nhello\n0\r\n\r\n"), 400},
    {"nothing behind the data", BYTES(CHUNKED "5\r\nhello0\r\n\r\n"), 400},
    {"data beyond the size", BYTES(CHUNKED "5\r\nhello!!\r\n0\r\n\r\n"), 400},
    {"CR and no LF behind the data", BYTES(CHUNKED "5\r\nhello\rX0\r\n\r\n"), 400},
    {"LF ends the body", BYTES(CHUNKED "0\r\n\n"), 400},
    {"LF behind the last size", BYTES(CHUNKED "0\n\r\n"), 400},
    {"a bare semicolon", BYTES(CHUNKED "5;\r\nhello\r\n0\r\n\r\n"), 400},
    {"a semicolon and LF", BYTES(CHUNKED "5;\nhello\r\n0\r\n\r\n"), 400},
    {"LF in an extension", BYTES(CHUNKED "5;a\nhello\r\n0\r\n\r\n"), 400},
    {"CR in an extension", BYTES(CHUNKED "5;a\rX\r\nhello\r\n0\r\n\r\n"), 400},
    {"NUL in an extension", BYTES(CHUNKED "5;\0a\r\nhello\r\n0\r\n\r\n"), 400},
    {"a bracket in an extension", BYTES(CHUNKED "5;a[=x\r\nhello\r\n0\r\n\r\n"), 400},
    {"an extension without a value", BYTES(CHUNKED "5;a=\r\nhello\r\n0\r\n\r\n"), 400},
    {"a quoted value without an end", BYTES(CHUNKED "5;a=\"b\r\nhello\r\n0\r\n\r\n"), 400},
    {"LF in a quoted value", BYTES(CHUNKED "5;a=\"b\n\"\r\nhello\r\n0\r\n\r\n"), 400},
    {"trailer Content-Length", BYTES(CHUNKED "0\r\nContent-Length: 5\r\n\r\n"), 400},
    {"trailer Transfer-Encoding", BYTES(CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400},
    {"trailer Host", BYTES(CHUNKED "0\r\nHost: b\r\n\r\n"), 400},
    {"trailer Authorization", BYTES(CHUNKED "0\r\nauthorization: x\r\n\r\n"), 400},
    {"trailer Content-Type", BYTES(CHUNKED "0\r\nContent-Type: text/html\r\n\r\n"), 400},
    {"trailer Trailer", BYTES(CHUNKED "0\r\nTrailer: X\r\n\r\n"), 400},
    {"trailer Content_Length", BYTES(CHUNKED "0\r\nContent_Length: 5\r\n\r\n"), 400},
    {"trailer without a colon", BYTES(CHUNKED "0\r\nX\r\n\r\n"), 400},
    {"trailer with LF", BYTES(CHUNKED "0\r\nX: y\n\r\n"), 400},
    {"trailer that is folded", BYTES(CHUNKED "0\r\nX: y\r\n z\r\n\r\n"), 400},
    {"trailer with NUL", BYTES(CHUNKED "0\r\nX: \0\r\n\r\n"), 400},
};

enum class Where { head, body };

bool is_head(std::string_view event) { return event.starts_with("head "); }

// The error is the last event and the first, but for the head of a request whose body is wrong:
// no handler hears of the request, or of what is behind it, however the bytes come.
template <std::size_t count>
void expect_refused(const Attack (&attacks)[count], Where where) {
  for (const Attack& attack : attacks) {
    SCOPED_TRACE(attack.name);
    std::string bytes(attack.bytes);
    bytes += "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    const Trace whole = trace_of({bytes});
    ASSERT_FALSE(whole.empty());
    EXPECT_EQ(std::ranges::count_if(whole, is_head), where == Where::head ? 0 : 1);
    const std::string expected = "error " + std::to_string(attack.status) + ": ";
    EXPECT_TRUE(whole.back().starts_with(expected)) << whole.back();
    for (const std::string& event : whole) {
      EXPECT_FALSE(event.starts_with("end"));
      EXPECT_FALSE(event.contains("/smuggled"));
    }
    for (std::size_t at = 0; at <= bytes.size(); ++at) {
      ASSERT_EQ(trace_of(split_at(bytes, at)), whole) << "cut at " << at;
    }
    ASSERT_EQ(trace_of(split_in_bytes(bytes)), whole);
  }
}

TEST(HttpFraming, ALengthThatCanBeReadInTwoWaysIsRefused) { expect_refused(kLengths, Where::head); }
TEST(HttpFraming, ACodingThatIsNotExactlyOneFinalChunkedIsRefused) {
  expect_refused(kCodings, Where::head);
}
TEST(HttpFraming, ALineThatOthersEndElsewhereIsRefused) { expect_refused(kLines, Where::head); }
TEST(HttpFraming, AHostThatIsMissingDoubledOrMalformedIsRefused) {
  expect_refused(kHosts, Where::head);
}
TEST(HttpFraming, AChunkThatOthersReadDifferentlyIsRefused) {
  expect_refused(kChunks, Where::body);
}

// ---- The function itself ----

using Kind = http::Framing::Kind;

TEST(HttpFraming, OneFunctionDecidesTheLength) {
  using http::Field;
  const auto framing = [](int minor, std::initializer_list<Field> fields) {
    return http::message_framing(minor, {fields.begin(), fields.size()});
  };
  EXPECT_EQ(framing(1, {}).kind, Kind::none);
  EXPECT_EQ(framing(0, {{"Host", "a"}}).kind, Kind::none);
  EXPECT_EQ(framing(1, {{"Content-Length", "0"}}).kind, Kind::length);
  EXPECT_EQ(framing(1, {{"Content-Length", "18446744073709551615"}}).length, UINT64_MAX);
  EXPECT_EQ(framing(0, {{"CONTENT-LENGTH", "7"}}).length, 7U);
  EXPECT_EQ(framing(1, {{"transfer-encoding", "CHUNKED"}}).kind, Kind::chunked);
  EXPECT_EQ(framing(1, {{"Content-Lengths", "x"}, {"X-Transfer-Encoding", "y"}}).kind, Kind::none);
  EXPECT_EQ(framing(1, {{"X_Length", "x"}, {"Some_Field_Name", "y"}}).kind, Kind::none);
}

TEST(HttpFraming, ALengthIsDigitsAndNothingElse) {
  std::uint64_t length = 0;
  for (int value = 0; value < 256; ++value) {
    const std::string text = {'1', static_cast<char>(value)};
    const bool is_digit = value >= '0' && value <= '9';
    EXPECT_EQ(http::parse_content_length(text, length), is_digit) << value;
  }
  EXPECT_FALSE(http::parse_content_length("", length));
  EXPECT_TRUE(http::parse_content_length("18446744073709551615", length));
  EXPECT_EQ(length, UINT64_MAX);
  EXPECT_FALSE(http::parse_content_length("18446744073709551616", length));
  EXPECT_FALSE(http::parse_content_length("18446744073709551620", length));
  EXPECT_FALSE(http::parse_content_length("184467440737095516150", length));
}

}  // namespace
}  // namespace weir::test
