// http::websocket::Deflater and Inflater: what RFC 7692 shows, any cuts and any room, windows, and
// messages that want to be larger than they may.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_trace.h"
#include "tests/random.h"
#include "tests/rules.h"
#include "weir/http/websocket/deflate.h"

namespace weir::test {
namespace {

using http::websocket::Deflater;
using http::websocket::Inflater;
namespace limits = http::websocket::limits;

constexpr std::size_t kRoom = 4096;
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 40;

// What stands in the frames of one message that comes in these pieces.
std::string deflate(Deflater& deflater, const Pieces& pieces, std::size_t room_size = kRoom) {
  std::vector<char> room(room_size);
  std::string out;
  for (std::size_t i = 0; i < std::max<std::size_t>(pieces.size(), 1); ++i) {
    std::string_view rest = pieces.empty() ? "" : pieces[i];
    const bool last = i + 1 >= pieces.size();
    for (;;) {
      const Deflater::Step step = deflater.next(rest, last, room);
      EXPECT_LE(step.written, room.size());
      out.append(room.data(), step.written);
      rest.remove_prefix(step.consumed);
      if (step.status == Deflater::Status::need_room) continue;
      EXPECT_EQ(step.status, last ? Deflater::Status::end : Deflater::Status::need_input);
      EXPECT_TRUE(rest.empty());
      break;
    }
  }
  return out;
}

std::string_view text_of(Inflater::Status status) {
  constexpr std::string_view kTexts[] = {"need_input", "need_room", "end",
                                         "malformed",  "too_big",   "no_memory"};
  return kTexts[static_cast<std::size_t>(status)];
}

// The message, or what is wrong with it: "!malformed".
std::string inflate(Inflater& inflater, const Pieces& pieces, std::size_t room_size = kRoom) {
  std::vector<char> room(room_size);
  std::string out;
  for (std::size_t i = 0; i < std::max<std::size_t>(pieces.size(), 1); ++i) {
    const ExactBytes exact(pieces.empty() ? "" : pieces[i]);
    std::string_view rest = exact.view();
    const bool last = i + 1 >= pieces.size();
    for (;;) {
      const Inflater::Step step = inflater.next(rest, last, room);
      EXPECT_LE(step.written, room.size());
      out.append(room.data(), step.written);
      rest.remove_prefix(step.consumed);
      if (step.status == Inflater::Status::need_room) {
        EXPECT_EQ(step.written, room.size());
        continue;
      }
      if (step.status == (last ? Inflater::Status::end : Inflater::Status::need_input)) {
        EXPECT_TRUE(rest.empty());
        break;
      }
      return "!" + std::string(text_of(step.status));
    }
  }
  return out;
}

std::string inflated(std::string_view bytes) {
  Inflater inflater(15, true);
  return inflate(inflater, {bytes});
}

// In one piece, cut at every point, in bytes, and into room of one byte.
void expect_inflated(std::string_view bytes, const std::string& expected) {
  SCOPED_TRACE(testing::PrintToString(std::string(bytes)));
  ASSERT_EQ(inflated(bytes), expected);
  for (std::size_t at = 0; at <= bytes.size(); ++at) {
    Inflater inflater(15, true);
    ASSERT_EQ(inflate(inflater, split_at(bytes, at)), expected) << "cut at " << at;
  }
  Inflater bytewise(15, true);
  ASSERT_EQ(inflate(bytewise, split_in_bytes(bytes), 1), expected);
}

TEST(WebSocketDeflate, ReadsTheExamplesOfTheRfc) {
  RULES("7692.7.2.2.1 7692.7.2.3.1");
  using namespace std::string_view_literals;
  expect_inflated("\xf2\x48\xcd\xc9\xc9\x07\x00"sv, "Hello");              // 7.2.3.1
  expect_inflated("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"sv, "Hello");  // 7.2.3.3
  expect_inflated("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"sv, "Hello");          // 7.2.3.4, BFINAL
  expect_inflated("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"sv, "Hello");  // 7.2.3.5
  expect_inflated("\x00"sv, "");                                          // 7.2.3.6
  // A stream that ends for good without the byte behind it.
  expect_inflated("\xf3\x48\xcd\xc9\xc9\x07\x00"sv, "Hello");
}

// A receiver adds the mark and inflates all of it (RFC 7692, section 7.2.2), so its bytes may also
// be the last ones of a block: whether they are does not depend on the room.
TEST(WebSocketDeflate, ReadsABlockThatTheMarkCompletes) {
  using namespace std::string_literals;
  using namespace std::string_view_literals;
  expect_inflated("\x00\x05\x00\xfa\xff\x48"sv, "\x48\0\0\xff\xff"s);
}

TEST(WebSocketDeflate, WritesTheExamplesOfTheRfc) {
  RULES("7692.7.2.1.1 7692.7.2.3.1");
  using namespace std::string_view_literals;
  Deflater deflater(15, true);
  EXPECT_EQ(deflate(deflater, {"Hello"}), "\xf2\x48\xcd\xc9\xc9\x07\x00"sv);
  // 7.2.3.2: the second one refers to the first.
  EXPECT_EQ(deflate(deflater, {"Hello"}), "\xf2\x00\x11\x00\x00"sv);
  EXPECT_EQ(deflate(deflater, {""}), "\x00"sv);
  EXPECT_EQ(deflate(deflater, {""}), "\x00"sv);
  EXPECT_EQ(deflate(deflater, {}), "\x00"sv);
  Deflater forgetful(15, false);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(deflate(forgetful, {"Hello"}), "\xf2\x48\xcd\xc9\xc9\x07\x00"sv);
    EXPECT_EQ(deflate(forgetful, {""}), "\x00"sv);
  }
}

TEST(WebSocketDeflate, ReadsAStreamThatGoesOnBehindAFinalBlock) {
  RULES("7692.7.2.2.1");
  using namespace std::string_view_literals;
  // The window stays: the second message refers to the first, which ended its stream.
  Inflater inflater(15, true);
  for (const std::string_view first : {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"sv,
                                       "\xf3\x48\xcd\xc9\xc9\x07\x00"sv}) {
    EXPECT_EQ(inflate(inflater, {first}), "Hello");
    EXPECT_EQ(inflate(inflater, {"\xf2\x00\x11\x00\x00"sv}), "Hello");
  }
  // Two streams in one message.
  expect_inflated("\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00"sv, "HelloHello");
  Inflater forgetful(15, false);
  EXPECT_EQ(inflate(forgetful, {"\xf3\x48\xcd\xc9\xc9\x07\x00"sv}), "Hello");
  EXPECT_EQ(inflate(forgetful, {"\xf2\x00\x11\x00\x00"sv}), "!malformed");
}

TEST(WebSocketDeflate, RefusesWhatIsNoDeflate) {
  RULES("7692.7.2.2.2");
  using namespace std::string_view_literals;
  expect_inflated("\xff"sv, "!malformed");
  expect_inflated("\x07\xff\xff"sv, "!malformed");
  expect_inflated(""sv, "!malformed");
  // A final block that is cut short: its rest is not taken from the mark behind it.
  expect_inflated("\x33\x84\x80\x01\x02\x03\x80"sv, "!malformed");
  expect_inflated("\xf2\x00\x11\x00\x00"sv, "!malformed");  // refers to what was before
  // Cut short anywhere.
  constexpr std::string_view kHello = "\xf2\x48\xcd\xc9\xc9\x07\x00"sv;
  for (std::size_t size = 0; size + 1 < kHello.size(); ++size) {
    const std::string result = inflated(kHello.substr(0, size));
    EXPECT_EQ(result.substr(0, 1), "!") << size << ": " << result;
  }
  Inflater inflater(15, true);
  EXPECT_EQ(inflate(inflater, {"\xff"sv}), "!malformed");
  EXPECT_EQ(inflate(inflater, {kHello}), "!malformed");
}

std::string any_text(Random& random, std::size_t size) {
  std::string text;
  const bool noise = random.once_in(3);
  while (text.size() < size) {
    if (noise) {
      text += static_cast<char>(random.below(256));
    } else if (!text.empty() && random.once_in(3)) {
      const std::size_t from = random.below(text.size());
      text += std::string(std::string_view(text).substr(from, 1 + random.below(300)));
    } else {
      text.append(1 + random.below(20), static_cast<char>('a' + random.below(26)));
    }
  }
  text.resize(size);
  return text;
}

Pieces cut(Random& random, std::string_view text) {
  Pieces pieces;
  while (!text.empty()) {
    const std::size_t size = 1 + random.below(random.once_in(2) ? 5000 : 40);
    pieces.push_back(text.substr(0, size));
    text.remove_prefix(pieces.back().size());
  }
  return pieces;
}

TEST(WebSocketDeflate, GivesBackWhatWasSentForAllParameters) {
  RULES("7692.7.2.1.1 7692.7.2.2.1 7692.7.2.3.2");
  for_seeds(400, [](Random& random) {
    const int bits = 8 + static_cast<int>(random.below(8));
    const bool takeover = random.once_in(2);
    Deflater deflater(bits, takeover, static_cast<int>(random.below(10)));
    Inflater inflater(bits, takeover, kNoLimit);
    for (int message = 0; message < 6; ++message) {
      const std::string text = any_text(random, random.below(random.once_in(4) ? 100000 : 300));
      const std::size_t room = limits::kDeflateRoomMin + random.below(3000);
      const std::string bytes = deflate(deflater, cut(random, text), room);
      EXPECT_LE(bytes.size(), limits::compressed_bytes_max(text.size()));
      EXPECT_EQ(inflate(inflater, cut(random, bytes), 1 + random.below(3000)), text)
          << bits << " bits, takeover " << takeover;
      if (!takeover && random.once_in(2)) {
        deflater.release();
        inflater.release();
      }
    }
  });
}

TEST(WebSocketDeflate, AnyRoomGivesTheSameMessage) {
  RULES("7692.7.2.1.1");
  std::string text;
  for (int i = 0; i < 300; ++i) text += std::to_string(i * i) + ", ";
  for (std::size_t room = limits::kDeflateRoomMin; room < 1200; ++room) {
    Deflater deflater(15, true);
    Inflater inflater(15, true);
    for (int i = 0; i < 2; ++i) {
      const std::string bytes = deflate(deflater, {text}, room);
      ASSERT_EQ(inflate(inflater, {bytes}, room), text) << room;
    }
  }
}

TEST(WebSocketDeflate, KeepsToTheWindowThatWasAgreedOn) {
  RULES("7692.7.2.1.2");
  // Noise that comes again 300 and 600 bytes later. Of a window zlib uses all but 262 bytes:
  // 512 are not enough.
  Random random(1);
  std::string noise;
  while (noise.size() < 300) noise += static_cast<char>(random.below(256));
  const std::string text = noise + noise + noise;
  for (int bits = 8; bits <= 15; ++bits) {
    Deflater deflater(bits, true);
    const std::string bytes = deflate(deflater, {text});
    Inflater same(bits, true);
    EXPECT_EQ(inflate(same, {bytes}), text) << bits;
    EXPECT_EQ(bytes.size() < 2 * noise.size(), bits >= 10) << bits;
  }
  // A far reference is refused by a narrow window.
  const std::string far = std::string(noise) + std::string(2000, 'x') + noise;
  Deflater wide(15, true);
  const std::string bytes = deflate(wide, {far});
  Inflater narrow(9, true);
  EXPECT_EQ(inflate(narrow, {bytes}, 64), "!malformed");
  Inflater enough(12, true);
  EXPECT_EQ(inflate(enough, {bytes}, 64), far);
}

TEST(WebSocketDeflate, CompressesRepeatedBytesInTheNarrowestWindow) {
  RULES("7692.7.2.1.2");
  Deflater deflater(8, true);
  const std::string text(10000, 'x');
  const std::string bytes = deflate(deflater, {text});
  EXPECT_LT(bytes.size(), 100U);
  Inflater inflater(8, true);
  EXPECT_EQ(inflate(inflater, {bytes}), text);
  // But nothing else that comes again.
  const std::string words = "the quick brown fox jumps over the lazy dog, and ";
  const std::string twice = deflate(deflater, {words + words});
  EXPECT_GT(twice.size(), words.size());
  EXPECT_EQ(inflate(inflater, {twice}), words + words);
}

TEST(WebSocketDeflate, StopsABombAtTheLimitOfTheMessage) {
  RULES("6455.10.4.2");
  constexpr std::size_t kBomb = std::size_t{20} << 20;
  Deflater deflater(15, true);
  const std::string bytes = deflate(deflater, {std::string(kBomb, '\0')}, 65536);
  ASSERT_LT(bytes.size(), kBomb / 900);
  for (const std::size_t most : {std::size_t{0}, std::size_t{1}, std::size_t{1000},
                                 std::size_t{65536}, std::size_t{1} << 20}) {
    Inflater inflater(15, true, most);
    std::vector<char> room(kRoom);
    std::string_view rest = bytes;
    std::size_t written = 0;
    Inflater::Step step;
    do {
      step = inflater.next(rest, true, room);
      rest.remove_prefix(step.consumed);
      written += step.written;
      ASSERT_LE(written, most);
    } while (step.status == Inflater::Status::need_room);
    EXPECT_EQ(step.status, Inflater::Status::too_big);
    EXPECT_EQ(written, most);
    EXPECT_GT(rest.size(), bytes.size() / 2);  // it was not worked through
    EXPECT_EQ(inflater.next("\0", true, room).status, Inflater::Status::too_big);
  }
}

TEST(WebSocketDeflate, AMessageMayBeExactlyAsLargeAsTheLimit) {
  RULES("6455.10.4.2");
  for (const std::size_t size : {0, 1, 100, 4096, 4097, 10000}) {
    const std::string text(size, 'x');
    for (const bool takeover : {true, false}) {
      Deflater deflater(15, takeover);
      Inflater inflater(15, takeover, size);
      for (int i = 0; i < 3; ++i) {  // each message anew
        const std::string bytes = deflate(deflater, {text});
        EXPECT_EQ(inflate(inflater, split_in_bytes(bytes)), text);
      }
      EXPECT_EQ(inflate(inflater, {deflate(deflater, {text + "x"})}), "!too_big");
    }
  }
}

TEST(WebSocketDeflate, MemoryIsTakenWithTheFirstMessageOnly) {
  Deflater deflater(15, false);
  Inflater inflater(15, false);
  deflater.release();
  inflater.release();
  const std::string bytes = deflate(deflater, {"text"});
  EXPECT_EQ(inflate(inflater, {bytes}), "text");
  EXPECT_EQ(limits::deflater_bytes(15), std::size_t{256 + 8} * 1024);
  EXPECT_EQ(limits::inflater_bytes(15), std::size_t{32 + 8} * 1024);
}

}  // namespace
}  // namespace weir::test
