// http::ChunkedDecoder: bodies, extensions, trailers and limits, at every point where the bytes may
// be cut.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/http_trace.h"
#include "tests/random.h"
#include "weir/http/chunked.h"

namespace weir::test {
namespace {

using http::ChunkedDecoder;
using http::ParserLimits;
using http::Step;

// In one piece, in two at every point, byte by byte: the same.
void expect_trace(std::string_view bytes, const Trace& expected, const ParserLimits& limits = {}) {
  SCOPED_TRACE(bytes);
  ASSERT_EQ(chunked_trace_of({bytes}, limits), expected);
  for (std::size_t at = 0; at <= bytes.size(); ++at) {
    ASSERT_EQ(chunked_trace_of(split_at(bytes, at), limits), expected) << "cut at " << at;
  }
  ASSERT_EQ(chunked_trace_of(split_in_bytes(bytes), limits), expected);
}

TEST(HttpChunked, TakesBodies) {
  expect_trace("0\r\n\r\n", {"end @5"});
  expect_trace("5\r\nhello\r\n0\r\n\r\n", {"body hello", "end @15"});
  expect_trace("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", {"body hello", "end @20"});
  expect_trace("a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n",
               {"body 01234567890123456789a", "end @36"});
  expect_trace("0000000000000001\r\nx\r\n0000000000000000\r\n\r\n", {"body x", "end @41"});
  expect_trace("4\r\n\r\n\r\n\r\n0\r\n\r\n", {"body \r\n\r\n", "end @14"});
  expect_trace("1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n", {"body x", "end @11"});
}

TEST(HttpChunked, SaysNothingOfABodyThatHasNotEnded) {
  expect_trace("", {});
  expect_trace("5\r\nhel", {"body hel"});
  expect_trace("5\r\nhello\r\n", {"body hello"});
  expect_trace("0\r\n", {});
  expect_trace("0\r\nX: y\r\n", {});
}

TEST(HttpChunked, TakesSizesOf64Bits) {
  const std::string_view sizes[] = {"ffffffffffffffff\r\nx", "FFFFFFFFFFFFFFFF\r\nx",
                                    "8000000000000000\r\nx", "7fffffffffffffff\r\nx"};
  for (const std::string_view size : sizes) expect_trace(size, {"body x"});
  expect_trace("10000000000000000\r\nx", {"error 400: a chunk size with too many digits @16"});
}

TEST(HttpChunked, TakesExtensionsByTheirGrammar) {
  for (const std::string_view extension :
       {";a", ";a=b", ";a=\"b\"", ";a=\"\"", ";a=\"b\\\"c\"", ";a=\"\\\\\"", ";a;b=c;d",
        ";a=\"b\tc\xff;=\"", " ;a", "\t;\ta \t=\t b ;c", ";!#$%&'*+-.^_`|~=!", ";a=\"\\\t\"",
        "; a = \"b\" ; c"}) {
    expect_trace("1" + std::string(extension) + "\r\nx\r\n0" + std::string(extension) + "\r\n\r\n",
                 {"body x", "end @" + std::to_string(11 + 2 * extension.size())});
  }
}

TEST(HttpChunked, RefusesOtherExtensions) {
  const std::string_view kCases[] = {
      ";",       ";;a",    ";=a",       ";a=",        ";a==b",       ";a=b=c",        ";a b",
      ";a=b c",  ";a=\"b", ";a=\"b\"c", ";a=\"b\"=c", ";a=\"\x01\"", ";a=\"\\\x7f\"", ";\xff",
      ";a=\xff", ";a,b",   "; ",        " ",          "\t",          ";a ",           ";a= ",
      " =a",     " a",     ";a\"b\""};
  for (const std::string_view extension : kCases) {
    const std::string bytes = "1" + std::string(extension) + "\r\nx\r\n0\r\n\r\n";
    const Trace trace = chunked_trace_of({bytes});
    ASSERT_EQ(trace.size(), 1U) << extension;
    EXPECT_TRUE(trace[0].starts_with("error 400: a malformed chunk extension @")) << trace[0];
    expect_trace(bytes, trace);
  }
}

TEST(HttpChunked, BeginsEachChunkAnew) {
  expect_trace("1;a\r\nx\r\n1 =b\r\ny\r\n",
               {"body x", "error 400: a malformed chunk extension @10"});
  expect_trace("0000000000000001\r\nx\r\n0000000000000001\r\ny\r\n", {"body xy"});
}

TEST(HttpChunked, EndsEveryLineWithBoth) {
  expect_trace("1\nx", {"error 400: CR and LF expected behind a chunk size @1"});
  expect_trace("1\rx", {"error 400: CR and LF expected behind a chunk size @2"});
  expect_trace("1;a\nx", {"error 400: CR and LF expected behind a chunk size @3"});
  expect_trace("1\r\nx\n", {"body x", "error 400: CR and LF expected behind a chunk's data @4"});
  expect_trace("1\r\nx\rx", {"body x", "error 400: CR and LF expected behind a chunk's data @5"});
  expect_trace("1\r\nxx", {"body x", "error 400: CR and LF expected behind a chunk's data @4"});
  expect_trace("0\r\n\n",
               {"error 400: a control byte, or CR or LF without the other, in a line @3"});
  expect_trace("0\r\n\rx",
               {"error 400: a control byte, or CR or LF without the other, in a line @3"});
  expect_trace("\r\n", {"error 400: a malformed chunk size @0"});
  expect_trace("1g", {"error 400: a malformed chunk size @1"});
}

TEST(HttpChunked, TakesTrailers) {
  expect_trace("0\r\nX: y\r\n\r\n", {"end @11 X=[y]"});
  expect_trace("1\r\nx\r\n0\r\nA:\r\nb:\t c d \r\nB: 2\r\n\r\nrest",
               {"body x", "end @31 A=[] b=[c d] B=[2]"});
  std::string many = "0\r\n";
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    many += "Name" + std::to_string(i) + ": value\r\n";
    expected += " Name" + std::to_string(i) + "=[value]";
  }
  many += "\r\n";
  expect_trace(many, {"end @" + std::to_string(many.size()) + expected});
}

TEST(HttpChunked, RefusesTrailersThatWouldChangeTheMessage) {
  for (const std::string_view name : {"Content-Length",
                                      "TRANSFER-ENCODING",
                                      "Trailer",
                                      "TE",
                                      "Connection",
                                      "Keep-Alive",
                                      "Upgrade",
                                      "Host",
                                      "Forwarded",
                                      "Authorization",
                                      "Proxy-Authorization",
                                      "Proxy-Authenticate",
                                      "WWW-Authenticate",
                                      "Cookie",
                                      "Set-Cookie",
                                      "Cache-Control",
                                      "Expect",
                                      "Max-Forwards",
                                      "Pragma",
                                      "Range",
                                      "If-Match",
                                      "If-None-Match",
                                      "If-Modified-Since",
                                      "If-Unmodified-Since",
                                      "If-Range",
                                      "Age",
                                      "Date",
                                      "Expires",
                                      "Location",
                                      "Retry-After",
                                      "Vary",
                                      "Content-Encoding",
                                      "Content-Type",
                                      "Content-Range",
                                      "Content_Length",
                                      "Transfer_Encoding"}) {
    expect_trace("0\r\nX: y\r\n" + std::string(name) + ": 1\r\n\r\n",
                 {"error 400: a field that may not be a trailer @9"});
  }
  for (const std::string_view name :
       {"ETag", "Digest", "Server-Timing", "X-Host", "Hos", "Hosts"}) {
    EXPECT_FALSE(http::is_forbidden_trailer(name)) << name;
  }
}

TEST(HttpChunked, LimitsTheExtensionsOfAMessage) {
  ParserLimits limits{.chunk_extension_bytes_max = 8};
  expect_trace("1;a=b\r\nx\r\n0;c=d\r\n\r\n", {"body x", "end @19"}, limits);
  expect_trace("1;a=b\r\nx\r\n0;c=de\r\n\r\n",
               {"body x", "error 400: too many bytes of chunk extensions @15"}, limits);
  limits.chunk_extension_bytes_max = 0;
  expect_trace("1\r\nx\r\n0\r\n\r\n", {"body x", "end @11"}, limits);
  expect_trace("1;a\r\nx\r\n0\r\n\r\n", {"error 400: too many bytes of chunk extensions @1"},
               limits);
  expect_trace("1 \r\nx\r\n0\r\n\r\n", {"error 400: too many bytes of chunk extensions @1"},
               limits);
}

TEST(HttpChunked, LimitsTheTrailers) {
  ParserLimits limits{.trailer_bytes_max = 8};
  expect_trace("0\r\nX: y\r\n\r\n", {"end @11 X=[y]"}, limits);
  expect_trace("0\r\nX: yz\r\n\r\n", {"error 431: the trailer section is too large @10"}, limits);
  expect_trace("0\r\nX: yzabcdef\r\n\r\n", {"error 431: the trailer section is too large @3"},
               limits);
  limits = {.fields_max = 2};
  expect_trace("0\r\na:\r\nb:\r\n\r\n", {"end @13 a=[] b=[]"}, limits);
  expect_trace("0\r\na:\r\nb:\r\nc:\r\n\r\n", {"error 431: too many fields @11"}, limits);
}

TEST(HttpChunked, StaysWhereItEnded) {
  const ParserLimits limits{.chunk_extension_bytes_max = 2};
  ChunkedDecoder decoder(&limits);
  EXPECT_EQ(decoder.next("0\r\n\r\nmore").consumed, 5U);
  const Step again = decoder.next("more");
  EXPECT_EQ(again.kind, Step::Kind::end);
  EXPECT_EQ(again.consumed, 0U);
  decoder.reset();
  EXPECT_EQ(decoder.next("x").kind, Step::Kind::error);
  EXPECT_EQ(decoder.next("0\r\n\r\n").kind, Step::Kind::error);
  decoder.reset();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(decoder.next("0;a\r\n\r\n").kind, Step::Kind::end);
    decoder.reset();
  }
}

TEST(HttpChunked, GivesBackWhatWasSentHoweverItIsCut) {
  for_seeds(300, [](Random& random) {
    std::string body;
    std::string bytes;
    for (std::uint64_t chunks = random.below(20); chunks > 0; --chunks) {
      std::string chunk(1 + random.below(random.once_in(5) ? 3000 : 20), '\0');
      for (char& byte : chunk) byte = static_cast<char>(random.below(256));
      constexpr std::string_view kDigits = "0123456789abcdef";
      std::string size;
      for (std::size_t left = chunk.size(); left != 0; left >>= 4) {
        size.insert(size.begin(), kDigits[left & 15]);
      }
      bytes += size + (random.once_in(4) ? ";ext=\"v;\"" : "") + "\r\n" + chunk + "\r\n";
      body += chunk;
    }
    bytes += "0\r\nSum: 1\r\n\r\n";
    Pieces pieces;
    for (std::string_view rest = bytes; !rest.empty(); rest.remove_prefix(pieces.back().size())) {
      pieces.push_back(rest.substr(0, 1 + random.below(50)));
    }
    Trace expected;
    if (!body.empty()) expected.push_back("body " + body);
    expected.push_back("end @" + std::to_string(bytes.size()) + " Sum=[1]");
    EXPECT_EQ(chunked_trace_of({bytes}), expected);
    EXPECT_EQ(chunked_trace_of(pieces), expected);
  });
}

}  // namespace
}  // namespace weir::test
