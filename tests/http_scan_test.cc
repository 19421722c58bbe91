// The scans: what belongs to a class, and that the vector versions say what the scalar ones say,
// for every byte at every place of every length that matters.
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "tests/http_trace.h"
#include "tests/random.h"
#include "weir/http/scan.h"

namespace weir::test {
namespace {

using Scan = std::size_t (*)(std::string_view, std::size_t) noexcept;

struct Twins {
  std::string_view name;
  Scan vector;
  Scan scalar;
  char filler;  // goes on
};

constexpr Twins kTwins[] = {
    {"control", http::scan::control, http::scan::scalar::control, 'x'},
    {"token", http::scan::token, http::scan::scalar::token, 'x'},
    {"target", http::scan::target, http::scan::scalar::target, '/'},
    {"plain target", http::scan::plain_target, http::scan::scalar::plain_target, '/'},
};

constexpr std::size_t kLengths = 70;  // four vectors and a rest

TEST(HttpScan, KnowsItsClasses) {
  for (int value = 0; value < 256; ++value) {
    const char byte = static_cast<char>(value);
    const std::string_view text(&byte, 1);
    SCOPED_TRACE(value);
    EXPECT_EQ(http::scan::scalar::control(text) == 0,
              (value < 0x20 && value != '\t') || value == 0x7f);
    const bool letter = (value >= 'a' && value <= 'z') || (value >= 'A' && value <= 'Z');
    const bool digit = value >= '0' && value <= '9';
    const bool mark = std::string_view("!#$%&'*+-.^_`|~").contains(byte);
    EXPECT_EQ(http::scan::scalar::token(text) == 1, letter || digit || mark);
    EXPECT_EQ(http::scan::is_token_byte(byte), letter || digit || mark);
    const bool refused = std::string_view("\"#<>").contains(byte);
    const bool good = value > 0x20 && value < 0x7f && !refused;
    EXPECT_EQ(http::scan::scalar::target(text) == 1, good);
    const bool seen = std::string_view("?%\\").contains(byte);
    EXPECT_EQ(http::scan::scalar::plain_target(text) == 1, good && !seen);
  }
}

TEST(HttpScan, EveryByteAtEveryPlaceOfEveryLength) {
  for (const Twins& twins : kTwins) {
    for (std::size_t length = 0; length <= kLengths; ++length) {
      const std::string filled(length, twins.filler);
      ASSERT_EQ(twins.vector(filled, 0), length) << twins.name;
      for (std::size_t place = 0; place < length; ++place) {
        std::string changed = filled;
        for (int value = 0; value < 256; ++value) {
          changed[place] = static_cast<char>(value);
          ASSERT_EQ(twins.vector(changed, 0), twins.scalar(changed, 0))
              << twins.name << ": byte " << value << " at " << place << " of " << length;
        }
      }
    }
  }
}

TEST(HttpScan, EveryPairOfBytes) {
  for (const Twins& twins : kTwins) {
    std::string text(16, twins.filler);
    for (int first = 0; first < 256; ++first) {
      for (int second = 0; second < 256; ++second) {
        text[3] = static_cast<char>(first);
        text[9] = static_cast<char>(second);
        ASSERT_EQ(twins.vector(text, 0), twins.scalar(text, 0))
            << twins.name << ": " << first << " " << second;
      }
    }
  }
}

TEST(HttpScan, FromEveryOffset) {
  for (const Twins& twins : kTwins) {
    for (std::size_t length = 0; length <= kLengths; ++length) {
      for (std::size_t place = 0; place < length; ++place) {
        std::string text(length, twins.filler);
        text[place] = '\0';
        const ExactBytes exact(text);
        for (std::size_t from = 0; from <= length; ++from) {
          ASSERT_EQ(twins.vector(exact.view(), from), place >= from ? place : length) << twins.name;
        }
      }
    }
  }
}

TEST(HttpScan, RandomTexts) {
  for_seeds(2000, [](Random& random) {
    std::string text(random.below(200), '\0');
    for (char& byte : text) {
      byte = random.once_in(20) ? static_cast<char>(random.below(256))
                                : static_cast<char>('a' + random.below(26));
    }
    const std::size_t from = random.below(text.size() + 1);
    for (const Twins& twins : kTwins) {
      EXPECT_EQ(twins.vector(text, from), twins.scalar(text, from)) << twins.name;
    }
  });
}

}  // namespace
}  // namespace weir::test
