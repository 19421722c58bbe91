// The pure parts of static files: ranges, conditions, codings, types, names.
#include <gtest/gtest.h>

#include "tests/rules.h"
#include "weir/http/accepted_codings.h"
#include "weir/http/byte_ranges.h"
#include "weir/http/limits.h"
#include "weir/http/media_type.h"
#include "weir/http/preconditions.h"
#include "weir/http/static_path.h"

namespace weir::test {
namespace {

using http::AskedRanges;
using http::ByteRange;
using http::ContentCoding;
using http::Field;
using http::Precondition;
using Kind = http::AskedRanges::Kind;

// ---- Ranges ----

struct RangesCase {
  std::string_view field;
  std::uint64_t size;
  std::vector<ByteRange> ranges;
};

void expect_ranges(std::span<const RangesCase> cases, Kind kind) {
  for (const RangesCase& one : cases) {
    const AskedRanges asked = http::parse_byte_ranges(one.field, one.size, 16);
    EXPECT_EQ(asked.kind, kind) << one.field;
    if (kind == Kind::some) {
      EXPECT_EQ(asked.ranges, one.ranges) << one.field;
    }
  }
}

TEST(ByteRanges, ThoseThatHaveBytes) {
  RULES("4.9.4.1 4.9.4.2 4.9.4.3");
  const RangesCase cases[] = {
      {"bytes=0-0", 10, {{0, 1}}},
      {"bytes=0-9", 10, {{0, 10}}},
      {"bytes=0-", 10, {{0, 10}}},
      {"bytes=9-", 10, {{9, 1}}},
      {"bytes=3-5", 10, {{3, 3}}},
      {"bytes=3-500", 10, {{3, 7}}},
      {"bytes=-1", 10, {{9, 1}}},
      {"bytes=-10", 10, {{0, 10}}},
      {"bytes=-11", 10, {{0, 10}}},
      {"bytes=-99999999999999999999999", 10, {{0, 10}}},
      {"bytes=0-99999999999999999999999", 10, {{0, 10}}},
      {"BYTES=0-1", 10, {{0, 2}}},
      {"bytes= 0-1 ,\t3-3", 10, {{0, 2}, {3, 1}}},
      {"bytes=5-6,0-1", 10, {{5, 2}, {0, 2}}},
      {"bytes=,0-1,,", 10, {{0, 2}}},
      {"bytes=0-1,1-2", 10, {{0, 2}, {1, 2}}},
      {"bytes=0-1,10-20", 10, {{0, 2}}},
      {"bytes=-0,0-1", 10, {{0, 2}}},
      {"bytes=0-4,5-9", 10, {{0, 5}, {5, 5}}},
      {"bytes=9223372036854775807-", 0xffffffffffffffff,
       {{0x7fffffffffffffff, 0x8000000000000000}}},
  };
  expect_ranges(cases, Kind::some);
}

TEST(ByteRanges, ThoseThatHaveNone) {
  RULES("4.9.4.3");
  const RangesCase cases[] = {
      {"bytes=10-", 10, {}},   {"bytes=10-11", 10, {}}, {"bytes=-0", 10, {}},
      {"bytes=10-,-0", 10, {}}, {"bytes=0-", 0, {}},     {"bytes=0-0", 0, {}},
      {"bytes=-0", 0, {}},     {"bytes=18446744073709551616-", 10, {}},
  };
  expect_ranges(cases, Kind::unsatisfiable);
}

TEST(ByteRanges, WhatDoesNotCount) {
  RULES("4.9.4.4");
  const RangesCase cases[] = {
      {"", 10, {}},           {"bytes", 10, {}},         {"bytes=", 10, {}},
      {"bytes=,", 10, {}},    {"bytes=-", 10, {}},       {"bytes=a-b", 10, {}},
      {"bytes=1", 10, {}},    {"bytes=2-1", 10, {}},     {"bytes=+1-2", 10, {}},
      {"bytes=1-2-3", 10, {}}, {"bytes=--1", 10, {}},    {"bytes=0x1-2", 10, {}},
      {"bytes=0-1,x", 10, {}}, {"lines=0-1", 10, {}},    {"bytes =0-1", 10, {}},
      {"bytes=1 - 2", 10, {}}, {"bytes=0-1;2-3", 10, {}}, {"bytes=-5", 0, {}},
      {"bytes=0-9,0-0", 10, {}}, {"bytes=0-,0-,0-", 10, {}},
  };
  expect_ranges(cases, Kind::whole);
}

TEST(ByteRanges, AtMostSoMany) {
  RULES("4.9.4.4");
  const std::string_view four = "bytes=0-0,2-2,4-4,6-6";
  EXPECT_EQ(http::parse_byte_ranges(four, 10, 4).ranges.size(), 4U);
  EXPECT_EQ(http::parse_byte_ranges(four, 10, 3).kind, Kind::whole);
  EXPECT_EQ(http::parse_byte_ranges("bytes=0-0,20-,30-", 10, 2).kind, Kind::whole);
  EXPECT_EQ(http::parse_byte_ranges("bytes=0-0", 10, 0).kind, Kind::whole);
}

// ---- Conditions ----

constexpr std::int64_t kNow = 784'200'000;
constexpr std::int64_t kModified = 784'111'777;  // Sun, 06 Nov 1994 08:49:37 GMT
constexpr std::string_view kSame = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr std::string_view kBefore = "Sun, 06 Nov 1994 08:49:36 GMT";
constexpr std::string_view kAfter = "Sun, 06 Nov 1994 08:49:38 GMT";

Precondition check(std::initializer_list<Field> fields, std::string_view etag = "\"a\"") {
  return http::check_preconditions({fields.begin(), fields.size()},
                                   {.etag = etag, .modified = kModified}, kNow);
}

TEST(Preconditions, None) {
  EXPECT_EQ(check({}), Precondition::holds);
  EXPECT_EQ(check({{"Accept", "*/*"}, {"If-Range", "\"b\""}, {"Iffy", "x"}}), Precondition::holds);
}

TEST(Preconditions, IfMatch) {
  RULES("4.9.3.1");
  for (const std::string_view list :
       {"*", " * ", "\"a\"", "\"b\", \"a\"", "\"b\" ,, \"a\"", "\"x,y\",\"a\"", "W/\"b\",\"a\""}) {
    EXPECT_EQ(check({{"If-Match", list}}), Precondition::holds) << list;
  }
  for (const std::string_view list : {"\"b\"", "W/\"a\"", "", "a", "\"a", "\"A\"", "\"b\" x \"a\"",
                                      "w/\"a\""}) {
    EXPECT_EQ(check({{"If-Match", list}}), Precondition::failed) << list;
  }
  EXPECT_EQ(check({{"if-match", "\"b\""}, {"IF-MATCH", "\"a\""}}), Precondition::holds);
  EXPECT_EQ(check({{"If-Match", "W/\"a\""}}, "W/\"a\""), Precondition::failed);
  EXPECT_EQ(check({{"If-Match", "*"}}, "W/\"a\""), Precondition::holds);
}

TEST(Preconditions, IfUnmodifiedSince) {
  RULES("4.9.3.2 4.9.3.5");
  EXPECT_EQ(check({{"If-Unmodified-Since", kSame}}), Precondition::holds);
  EXPECT_EQ(check({{"If-Unmodified-Since", kAfter}}), Precondition::holds);
  EXPECT_EQ(check({{"If-Unmodified-Since", kBefore}}), Precondition::failed);
  EXPECT_EQ(check({{"If-Unmodified-Since", "yesterday"}}), Precondition::holds);
  EXPECT_EQ(check({{"If-Unmodified-Since", kBefore}, {"If-Unmodified-Since", kBefore}}),
            Precondition::holds);
  EXPECT_EQ(check({{"If-Match", "\"a\""}, {"If-Unmodified-Since", kBefore}}), Precondition::holds);
}

TEST(Preconditions, IfNoneMatch) {
  RULES("4.9.3.3");
  for (const std::string_view list : {"*", "\"a\"", "W/\"a\"", "\"b\",W/\"a\""}) {
    EXPECT_EQ(check({{"If-None-Match", list}}), Precondition::not_modified) << list;
    EXPECT_EQ(check({{"If-None-Match", list}}, "W/\"a\""), Precondition::not_modified) << list;
  }
  for (const std::string_view list : {"\"b\"", "", "a", "\"aa\"", "\"a\"x"}) {
    const bool first_counts = list == "\"a\"x";
    EXPECT_EQ(check({{"If-None-Match", list}}),
              first_counts ? Precondition::not_modified : Precondition::holds)
        << list;
  }
}

TEST(Preconditions, IfModifiedSince) {
  RULES("4.9.3.4 4.9.3.5");
  EXPECT_EQ(check({{"If-Modified-Since", kSame}}), Precondition::not_modified);
  EXPECT_EQ(check({{"If-Modified-Since", kAfter}}), Precondition::not_modified);
  EXPECT_EQ(check({{"If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT"}}),
            Precondition::not_modified);
  EXPECT_EQ(check({{"If-Modified-Since", kBefore}}), Precondition::holds);
  EXPECT_EQ(check({{"If-Modified-Since", "0"}}), Precondition::holds);
  EXPECT_EQ(check({{"If-Modified-Since", kSame}, {"If-Modified-Since", kSame}}),
            Precondition::holds);
  EXPECT_EQ(check({{"If-None-Match", "\"b\""}, {"If-Modified-Since", kSame}}),
            Precondition::holds);
}

TEST(Preconditions, InTheirOrder) {
  RULES("4.9.3.1 4.9.3.3");
  EXPECT_EQ(check({{"If-None-Match", "\"a\""}, {"If-Match", "\"b\""}}), Precondition::failed);
  EXPECT_EQ(check({{"If-Match", "\"a\""}, {"If-None-Match", "\"a\""}}),
            Precondition::not_modified);
  EXPECT_EQ(check({{"If-Unmodified-Since", kBefore}, {"If-Modified-Since", kSame}}),
            Precondition::failed);
}

TEST(Preconditions, IfRange) {
  RULES("4.9.4.6");
  const auto holds = [](std::string_view value, std::string_view etag = "\"a\"") {
    return http::if_range_holds(value, {.etag = etag, .modified = kModified}, kNow);
  };
  EXPECT_TRUE(holds("\"a\""));
  EXPECT_TRUE(holds(kSame));
  for (const std::string_view value :
       {"\"b\"", "W/\"a\"", "*", "", "\"a\", \"b\"", "Sun, 06 Nov 1994 08:49:36 GMT"}) {
    EXPECT_FALSE(holds(value)) << value;
  }
  EXPECT_FALSE(holds(kAfter));
  const http::Validators recent{.etag = "\"a\"", .modified = kModified};
  EXPECT_FALSE(http::if_range_holds(kSame, recent, kModified + 1)) << "it may change once more";
  EXPECT_TRUE(http::if_range_holds(kSame, recent, kModified + 2));
  EXPECT_FALSE(holds("W/\"a\"", "W/\"a\""));
  EXPECT_FALSE(holds(kSame, "W/\"a\"")) << "a change in the same second would not show";
}

// ---- Codings ----

std::string codings(std::string_view value) {
  const Field fields[] = {{"Accept-Encoding", value}};
  const auto accepted = http::accepted_codings(fields);
  std::string names;
  for (std::size_t i = 0; i < accepted.count; ++i) {
    names += accepted.best[i] == ContentCoding::brotli ? "b" : "g";
  }
  return names;
}

TEST(AcceptedCodings, ByWeight) {
  RULES("4.9.5.1");
  EXPECT_EQ(http::accepted_codings({}).count, 0U);
  for (const auto& [value, names] : std::initializer_list<
           std::pair<std::string_view, std::string_view>>{
           {"", ""},
           {"gzip", "g"},
           {"x-gzip", "g"},
           {"GZIP, Br", "bg"},
           {"gzip, deflate, br", "bg"},
           {"gzip;q=1.0, br;q=0.9", "gb"},
           {"gzip;q=0.001", "g"},
           {"gzip ; q=0.5 , br;q=0.50", "bg"},
           {"gzip;q=0", ""},
           {"gzip;q=0.000, br", "b"},
           {"*", "bg"},
           {"*;q=0.5, br;q=0", "g"},
           {"*;q=0", ""},
           {"identity", ""},
           {"identity, gzip;q=0.5", ""},
           {"identity;q=0.5, gzip;q=0.5", "g"},
           {"identity;q=0, gzip", "g"},
           {"gzip;q=2", ""},
           {"gzip;q=1.001", ""},
           {"gzip;q=0.1234", ""},
           {"gzip;q=", ""},
           {"gzip;x=1", ""},
           {"gzipped, brr", ""}}) {
    EXPECT_EQ(codings(value), names) << value;
  }
  const Field lines[] = {{"accept-encoding", "gzip;q=0.5"}, {"Accept-Encoding", "br"}};
  EXPECT_EQ(http::accepted_codings(lines).best[0], ContentCoding::brotli);
}

// ---- Types and names ----

TEST(MediaType, ByTheLastSuffixInAnyCase) {
  RULES("4.9.1.1");
  EXPECT_EQ(http::media_type_of("a/b.html"), "text/html; charset=utf-8");
  EXPECT_EQ(http::media_type_of("A.TXT"), "text/plain; charset=utf-8");
  EXPECT_EQ(http::media_type_of("a.min.js"), "text/javascript; charset=utf-8");
  EXPECT_EQ(http::media_type_of("a.tar.gz"), "application/gzip");
  EXPECT_EQ(http::media_type_of("a.svg"), "image/svg+xml");
  for (const std::string_view name : {"", "a", "html", "a.", "a.html/b", "a.htmlx", "a.html."}) {
    EXPECT_EQ(http::media_type_of(name), "application/octet-stream") << name;
  }
}

TEST(FileName, OfAPath) {
  RULES("4.9.2.1 4.9.2.2 4.9.2.6");
  const auto name = [](std::string_view path) { return http::file_name_of(path, false); };
  EXPECT_EQ(name(""), "");
  EXPECT_EQ(name("a"), "a");
  EXPECT_EQ(name("a/b.c"), "a/b.c");
  EXPECT_EQ(name("a/"), "a/");
  EXPECT_EQ(name("a%20b%C3%a4"), "a b\xc3\xa4");
  EXPECT_EQ(name("%2561"), "%61") << "decoded once";
  EXPECT_EQ(name("a+b"), "a+b");
  EXPECT_EQ(name("a\\b"), "a\\b");
  EXPECT_EQ(name("...a"), std::nullopt);
  const std::string longest(http::limits::kFileNameBytesMax, 'a');
  EXPECT_EQ(name(longest), longest);
  EXPECT_EQ(name(longest + "a"), std::nullopt);
  for (const std::string_view path :
       {"/", "/a", "//a", "a//b", "a//", "..", ".", "../a", "a/..", "a/../b", "./a", "a/./b", "a/.",
        "%2e%2e", "%2E.", ".%2e/a", "a%2fb", "a%2Fb", "..%2fa", "%2f", "a%00", "%00", "%", "%4",
        "%zz", "%-1", "a%", "% 41", ".git", "a/.b", "%2egit/config"}) {
    EXPECT_EQ(name(path), std::nullopt) << path;
  }
  EXPECT_EQ(http::file_name_of(".git/.b", true), ".git/.b");
  EXPECT_EQ(http::file_name_of("...", true), "...");
  EXPECT_EQ(http::file_name_of("..", true), std::nullopt);
  EXPECT_EQ(http::file_name_of(std::string_view("a\0b", 3), true), std::nullopt);
}

TEST(FileName, IsEscapedAgain) {
  RULES("4.9.1.4");
  EXPECT_EQ(http::escape_component("aZ09-._~"), "aZ09-._~");
  EXPECT_EQ(http::escape_component("a b:/?#%\xff\n"), "a%20b%3A%2F%3F%23%25%FF%0A");
}

}  // namespace
}  // namespace weir::test
