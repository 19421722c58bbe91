// What goes around the pieces of a body, to the byte; and that our own decoder reads it.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "tests/random.h"
#include "weir/http/body_writer.h"
#include "weir/http/chunked.h"
#include "weir/http/limits.h"

namespace weir::test {
namespace {

using http::BodyFraming;
using http::BodyWriter;
using http::Fields;
using Kind = BodyFraming::Kind;

// Adds what is sent for it; returns the error's name.
std::string_view put(BodyWriter& writer, std::string_view payload, std::string& out) {
  const auto piece = writer.piece(payload.size());
  if (!piece) return name_of(piece.error().code);
  if (!piece->is_sent()) {
    EXPECT_EQ(piece->before(), "");
    EXPECT_EQ(piece->behind(), "");
    return "";
  }
  out.append(piece->before()).append(payload).append(piece->behind());
  return "";
}

std::string whole(BodyFraming framing, const std::vector<std::string>& pieces,
                  const Fields* trailers = nullptr) {
  BodyWriter writer(framing);
  std::string out;
  for (const std::string& piece : pieces) EXPECT_EQ(put(writer, piece, out), "");
  const auto end = writer.finish(trailers);
  EXPECT_TRUE(end);
  EXPECT_TRUE(end->is_complete());
  const std::size_t before = out.size();
  end->append_to(out);
  EXPECT_EQ(out.size() - before, end->size());
  return out;
}

// ---- Chunks ----

TEST(HttpBodyWriter, ChunksAreNodes) {
  const BodyFraming chunked = {.kind = Kind::chunked};
  EXPECT_EQ(whole(chunked, {"hello", "", "!"}), "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
  EXPECT_EQ(whole(chunked, {}), "0\r\n\r\n");
  EXPECT_EQ(whole(chunked, {""}), "0\r\n\r\n") << "an empty chunk would end the body";
  EXPECT_EQ(whole(chunked, {std::string(26, 'x')}),
            "1a\r\nxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n0\r\n\r\n");
  Fields trailers;
  ASSERT_TRUE(trailers.set("X-T", "1"));
  ASSERT_TRUE(trailers.set("x-u", {"2", "3"}));
  EXPECT_EQ(whole(chunked, {"hello"}, &trailers),
            "5\r\nhello\r\n0\r\nX-T: 1\r\nx-u: 2\r\nx-u: 3\r\n\r\n");
}

TEST(HttpBodyWriter, ASizeIsLowerCaseHexWithoutZeros) {
  struct Case {
    std::size_t size;
    std::string_view line;
  };
  for (const auto& [size, line] : std::vector<Case>{
           {1, "1\r\n"},
           {15, "f\r\n"},
           {16, "10\r\n"},
           {0xabcdef, "abcdef\r\n"},
           {65536, "10000\r\n"},
           {std::numeric_limits<std::size_t>::max(), "ffffffffffffffff\r\n"}}) {
    BodyWriter writer(BodyFraming{.kind = Kind::chunked});
    const auto piece = writer.piece(size);
    ASSERT_TRUE(piece);
    EXPECT_TRUE(piece->is_sent());
    EXPECT_EQ(piece->before(), line);
    EXPECT_EQ(piece->behind(), "\r\n");
  }
}

TEST(HttpBodyWriter, TheUsualEndNeedsNoCopy) {
  BodyWriter writer(BodyFraming{.kind = Kind::chunked});
  const Fields none;
  const auto end = writer.finish(&none);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->literal(), "0\r\n\r\n");
  Fields trailers;
  ASSERT_TRUE(trailers.set("a", ""));
  BodyWriter other(BodyFraming{.kind = Kind::chunked});
  const auto long_end = other.finish(&trailers);
  ASSERT_TRUE(long_end);
  EXPECT_EQ(long_end->literal(), "");
  std::string text(long_end->size() + 2, '#');
  long_end->write(std::span(text).subspan(1));
  EXPECT_EQ(text, "#0\r\na: \r\n\r\n#");
  for (std::size_t before = 0; before < 100; ++before) {
    std::string out(before, '#');
    long_end->append_to(out);
    ASSERT_EQ(out, std::string(before, '#') + "0\r\na: \r\n\r\n");
  }
}

TEST(HttpBodyWriter, OurDecoderReadsWhatItWrites) {
  Random random(0xb0d1);
  const http::ParserLimits limits;
  for (int round = 0; round < 200; ++round) {
    std::vector<std::string> pieces(random.below(8));
    std::string expected;
    for (std::string& piece : pieces) {
      piece.assign(random.below(3) == 0 ? random.below(5000) : random.below(20), '\0');
      for (char& byte : piece) byte = static_cast<char>(random.below(256));
      expected += piece;
    }
    Fields trailers;
    if (random.below(2) == 0) {
      ASSERT_TRUE(trailers.set("X-Sum", "abc"));
    }
    const std::string wire = whole({.kind = Kind::chunked}, pieces, &trailers) + "rest";
    std::string_view input = wire;
    http::ChunkedDecoder decoder(&limits);
    std::string got;
    http::Step step;
    do {
      step = decoder.next(input);
      input.remove_prefix(step.consumed);
      got += step.body;
    } while (step.kind == http::Step::Kind::body);
    ASSERT_EQ(step.kind, http::Step::Kind::end);
    ASSERT_EQ(got, expected);
    ASSERT_EQ(input, "rest");
    ASSERT_EQ(decoder.trailers().size(), trailers.size());
  }
}

// ---- Content-Length ----

TEST(HttpBodyWriter, BytesAreCounted) {
  BodyWriter writer(BodyFraming{.kind = Kind::length, .length = 5});
  std::string out;
  EXPECT_EQ(put(writer, "he", out), "");
  EXPECT_EQ(put(writer, "", out), "");
  EXPECT_EQ(put(writer, "llo!", out), "ERR_HTTP_CONTENT_LENGTH_MISMATCH");
  EXPECT_EQ(writer.left(), 3U) << "nothing of it counts";
  EXPECT_EQ(put(writer, "llo", out), "");
  EXPECT_EQ(put(writer, "!", out), "ERR_HTTP_CONTENT_LENGTH_MISMATCH");
  EXPECT_EQ(out, "hello");
  const auto end = writer.finish(nullptr);
  ASSERT_TRUE(end);
  EXPECT_TRUE(end->is_complete());
  EXPECT_EQ(end->size(), 0U);
  EXPECT_EQ(end->literal(), "");
}

TEST(HttpBodyWriter, TooFewBytesAreIncomplete) {
  for (const std::uint64_t length : {std::uint64_t{2}, std::uint64_t{1} << 40}) {
    BodyWriter writer(BodyFraming{.kind = Kind::length, .length = length});
    ASSERT_TRUE(writer.piece(1));
    const auto end = writer.finish(nullptr);
    ASSERT_TRUE(end);
    EXPECT_FALSE(end->is_complete());
  }
}

// ---- The others ----

TEST(HttpBodyWriter, UntilCloseAddsNothing) {
  EXPECT_EQ(whole({.kind = Kind::until_close}, {"a", "", "b"}), "ab");
}

TEST(HttpBodyWriter, WhereNoBodyIsAllowedAllIsDropped) {
  Fields trailers;
  ASSERT_TRUE(trailers.set("X-T", "1"));
  EXPECT_EQ(whole({.kind = Kind::none}, {"hello", "", "!"}, &trailers), "");
  EXPECT_EQ(whole({.kind = Kind::none, .length = 3}, {"hello"}), "") << "a length means nothing";
  EXPECT_EQ(whole({.kind = Kind::length, .length = 1}, {"a"}, &trailers), "a");
}

// ---- Mistakes ----

TEST(HttpBodyWriter, NothingComesBehindTheEnd) {
  for (const Kind kind : {Kind::none, Kind::length, Kind::chunked, Kind::until_close}) {
    BodyWriter writer(BodyFraming{.kind = kind});
    EXPECT_FALSE(writer.is_finished());
    ASSERT_TRUE(writer.finish(nullptr));
    EXPECT_TRUE(writer.is_finished());
    std::string out;
    EXPECT_EQ(put(writer, "a", out), "ERR_STREAM_WRITE_AFTER_END");
    EXPECT_EQ(put(writer, "", out), "ERR_STREAM_WRITE_AFTER_END");
    const auto again = writer.finish(nullptr);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Mistake::already_finished);
  }
}

TEST(HttpBodyWriter, SomeFieldsMayNotBeTrailers) {
  for (const std::string_view name : {"Content-Length", "transfer-encoding", "Trailer", "Host",
                                      "Set-Cookie", "content-type", "Content_Length", "Date"}) {
    for (const Kind kind : {Kind::none, Kind::chunked}) {
      BodyWriter writer(BodyFraming{.kind = kind});
      Fields trailers;
      ASSERT_TRUE(trailers.set("X-A", "1"));
      ASSERT_TRUE(trailers.set(name, "1"));
      const auto end = writer.finish(&trailers);
      ASSERT_FALSE(end) << name;
      EXPECT_EQ(end.error().code, Mistake::trailer_invalid);
      EXPECT_FALSE(writer.is_finished());
      EXPECT_TRUE(writer.finish(nullptr)) << "without them it can end";
    }
  }
}

}  // namespace
}  // namespace weir::test
