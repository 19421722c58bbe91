// The small parts of http: field values, methods, hosts, statuses, errors, dates, urls, queries and
// cookies.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/random.h"
#include "tests/rules.h"
#include "weir/http/cookie.h"
#include "weir/http/date.h"
#include "weir/http/field_section.h"
#include "weir/http/field_value.h"
#include "weir/http/host.h"
#include "weir/http/limits.h"
#include "weir/http/method.h"
#include "weir/http/parse_error.h"
#include "weir/http/query.h"
#include "weir/http/status.h"
#include "weir/http/url.h"
#include "weir/net/ip.h"

namespace weir::test {
namespace {

using Strings = std::vector<std::string>;

// ---- Field values ----

TEST(HttpFieldValue, ComparesAsciiWithoutCase) {
  EXPECT_TRUE(http::equals_lower("Content-LENGTH", "content-length"));
  EXPECT_FALSE(http::equals_lower("content-length ", "content-length"));
  EXPECT_FALSE(http::equals_lower("@", "`")) << "only letters have a case";
  EXPECT_FALSE(http::equals_lower("\xc4", "\xe4"));
  EXPECT_TRUE(http::equals_lower("", ""));
}

// Words are compared, of several sizes; so each byte is tried in each place.
TEST(HttpFieldValue, ComparesEveryByteInEveryPlace) {
  const auto lower_of = [](int byte) { return byte >= 'A' && byte <= 'Z' ? byte + 32 : byte; };
  int wrong = 0;
  for (std::size_t size = 1; size <= 20; ++size) {
    for (std::size_t place = 0; place < size; ++place) {
      std::string text(size, 'K');
      std::string lower(size, 'k');
      for (int a = 0; a < 256; ++a) {
        for (const int b : {lower_of(a), a ^ 0x20, a ^ 0x80, (a + 1) % 256}) {
          if (lower_of(b) != b) continue;
          text[place] = static_cast<char>(a);
          lower[place] = static_cast<char>(b);
          if (http::equals_lower(text, lower) != (lower_of(a) == b)) ++wrong;
        }
      }
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST(HttpFieldValue, TrimsBlanksOnly) {
  EXPECT_EQ(http::trim_blanks(" \t a \t b \t "), "a \t b");
  EXPECT_EQ(http::trim_blanks(" \t "), "");
  EXPECT_EQ(http::trim_blanks("\va\f"), "\va\f");
}

TEST(HttpFieldValue, KnowsWhatMayBeSent) {
  EXPECT_TRUE(http::is_token("X-a_1"));
  for (const std::string_view text : {"", "a b", "a:", "\xc3\xa4", "a\r"}) {
    EXPECT_FALSE(http::is_token(text)) << text;
  }
  for (const std::string_view text : {"", "a", "a b\tc", "\x80\xff", "a,b;c=\"d\""}) {
    EXPECT_TRUE(http::is_field_value(text)) << text;
  }
  using namespace std::string_view_literals;
  for (const std::string_view text :
       {" a"sv, "a "sv, "\t"sv, "a\r\nb"sv, "\n"sv, "a\0"sv, "\x7f"sv}) {
    EXPECT_FALSE(http::is_field_value(text)) << text;
  }
}

TEST(HttpFieldValue, GivesEachElementOfAList) {
  const auto elements = [](std::string_view value) {
    Strings all;
    http::ListElements list(value);
    while (const auto element = list.next()) all.emplace_back(element.text);
    return all;
  };
  EXPECT_EQ(elements("a"), (Strings{"a"}));
  EXPECT_EQ(elements("a, b\t ,c"), (Strings{"a", "b", "c"}));
  EXPECT_EQ(elements(""), (Strings{""}));
  EXPECT_EQ(elements(",a,,"), (Strings{"", "a", "", ""}));
  EXPECT_TRUE(http::list_has("Keep-Alive, Upgrade", "upgrade"));
  EXPECT_FALSE(http::list_has("upgraded", "upgrade"));
  EXPECT_FALSE(http::list_has("", "upgrade"));
}

TEST(HttpFieldList, GrowsAndKeepsALittle) {
  http::Field in_place[2];
  http::FieldList list(in_place);
  Strings names;
  for (int i = 0; i < 1000; ++i) names.push_back(std::to_string(i));
  for (int round = 0; round < 2; ++round) {
    for (const std::string& name : names) ASSERT_TRUE(list.add({.name = name, .value = name}));
    ASSERT_EQ(list.size(), names.size());
    for (std::size_t i = 0; i < names.size(); ++i) EXPECT_EQ(list.view()[i].name, names[i]);
    list.clear();
    EXPECT_EQ(list.view().data(), in_place) << "so many are not kept";
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(list.add({.name = "a", .value = "b"}));
  const http::Field* kept = list.view().data();
  EXPECT_NE(kept, in_place);
  list.clear();
  EXPECT_EQ(list.view().data(), kept) << "so few are";
}

// ---- Names of things ----

TEST(HttpMethod, FindsWhatItNames) {
  for (int i = 0; i <= static_cast<int>(http::Method::source); ++i) {
    const auto method = static_cast<http::Method>(i);
    EXPECT_EQ(http::find_method(http::name_of(method)), method);
    EXPECT_LE(http::name_of(method).size(), http::limits::kMethodBytesMax);
  }
  EXPECT_FALSE(http::find_method("get").has_value());
  EXPECT_FALSE(http::find_method("").has_value());
}

TEST(HttpStatus, HasNodesPhrases) {
  EXPECT_EQ(http::reason_phrase(100), "Continue");
  EXPECT_EQ(http::reason_phrase(200), "OK");
  EXPECT_EQ(http::reason_phrase(418), "I'm a Teapot");
  EXPECT_EQ(http::reason_phrase(431), "Request Header Fields Too Large");
  EXPECT_EQ(http::reason_phrase(511), "Network Authentication Required");
  for (const int status : {-1, 0, 99, 299, 306, 512, 999}) {
    EXPECT_EQ(http::reason_phrase(status), "unknown");
  }
}

TEST(HttpParseError, HasAnAnswerForEach) {
  using http::ParseError;
  for (int i = 1; i <= static_cast<int>(ParseError::no_memory); ++i) {
    const http::ParseErrorFacts& facts = http::facts_of(static_cast<ParseError>(i));
    EXPECT_NE(http::reason_phrase(facts.status), "unknown") << i;
    EXPECT_FALSE(facts.code.empty());
    EXPECT_FALSE(facts.text.empty());
  }
  // The table is in the order of the enumeration.
  EXPECT_EQ(http::facts_of(ParseError::request_line_too_long).status, 414);
  EXPECT_EQ(http::facts_of(ParseError::version_unsupported).status, 505);
  EXPECT_EQ(http::facts_of(ParseError::transfer_coding_unknown).status, 501);
  EXPECT_EQ(http::facts_of(ParseError::trailers_too_large).status, 431);
  EXPECT_EQ(http::facts_of(ParseError::no_memory).status, 503);
}

// ---- Hosts ----

TEST(HttpHost, TakesNamesAndAddresses) {
  struct Good {
    std::string_view text, host, port;
  };
  for (const Good& good : {Good{"a", "a", ""},
                           {"a.b-c_d~e:80", "a.b-c_d~e", "80"},
                           {"1.2.3.4:1", "1.2.3.4", "1"},
                           {"a:", "a", ""},
                           {"[::]", "[::]", ""},
                           {"[1:2::3]:65535", "[1:2::3]", "65535"},
                           {"a%41!$&'()*+;=", "a%41!$&'()*+;=", ""},
                           {"a:00080", "a", "00080"}}) {
    http::Authority authority;
    EXPECT_TRUE(http::parse_authority(good.text, authority)) << good.text;
    EXPECT_EQ(authority.host, good.host);
    EXPECT_EQ(authority.port, good.port);
  }
  for (const std::string_view text :
       {"",     ":",      ":1",       "a b",       "a,b",    "a/b",        "a@b",
        "a:b",  "a:1:2",  "a:-1",     "a:65536",   "::1",    "[]",         "[::1",
        "::1]", "[::1]a", "[::1]a:1", "[1.2.3.4]", "[v1.a]", "[::1%25lo]", "a%",
        "a%4",  "a%4g",   "a\"b",     "a\\b",      "a[b]",   "a#b",        "a?b"}) {
    http::Authority authority;
    EXPECT_FALSE(http::parse_authority(text, authority)) << text;
  }
}

TEST(HttpHost, KnowsTheIpv6AddressesOfTheSystem) {
  const auto expect_same = [](const std::string& text) {
    http::Authority authority;
    EXPECT_EQ(http::parse_authority("[" + text + "]", authority), net::is_ipv6(text)) << text;
  };
  for (const char* text : {"::",
                           "::1",
                           "1::",
                           "1:2:3:4:5:6:7:8",
                           "1:2:3:4:5:6:7",
                           "1:2:3:4:5:6:7:8:9",
                           "::2:3:4:5:6:7:8",
                           "1:2:3:4:5:6:7::",
                           "::1:2:3:4:5:6:7:8",
                           "1::2::3",
                           ":::",
                           ":1",
                           "1:",
                           "12345::",
                           "g::",
                           "::1.2.3.4",
                           "1.2.3.4",
                           "1:2:3:4:5:6:1.2.3.4",
                           "1:2:3:4:5:1.2.3.4",
                           "::1.2.3.4:5",
                           "1:2:3:4:5:6:7:1.2.3.4",
                           "::256.1.1.1",
                           "1:2:3:4:5:6:7:8:",
                           "1:2:3:4:5:6:7:8::",
                           "::01.1.1.1",
                           "::1.1.1",
                           "::1.1.1.",
                           "ABCD:ef01::"}) {
    expect_same(text);
  }
  for_seeds(20'000, [&](Random& random) {
    constexpr std::string_view kBytes = ":::::1f0.2";
    std::string text;
    for (std::uint64_t left = random.below(24); left > 0; --left) {
      text += kBytes[random.below(kBytes.size())];
    }
    expect_same(text);
  });
}

// ---- Dates ----

std::string format(std::int64_t seconds) {
  const auto text = http::format_date(seconds);
  return {text.data(), text.size()};
}

TEST(HttpDate, FormatsDates) {
  EXPECT_EQ(format(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(format(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(format(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
  EXPECT_EQ(format(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(format(4107542400), "Mon, 01 Mar 2100 00:00:00 GMT");
  EXPECT_EQ(format(253402300799), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(format(253402300800), "Fri, 31 Dec 9999 23:59:59 GMT") << "the last there is";
  EXPECT_EQ(format(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(format(INT64_MIN), "Sat, 01 Jan 0000 00:00:00 GMT");
}

TEST(HttpDate, ParsesTheThreeFormats) {
  constexpr std::int64_t kNow = 1'700'000'000;  // 2023
  EXPECT_EQ(http::parse_date("Sun, 06 Nov 1994 08:49:37 GMT", kNow), 784111777);
  EXPECT_EQ(http::parse_date("Sunday, 06-Nov-94 08:49:37 GMT", kNow), 784111777);
  EXPECT_EQ(http::parse_date("Sun Nov  6 08:49:37 1994", kNow), 784111777);
  EXPECT_EQ(http::parse_date("Wed Nov 16 08:49:37 1994", kNow), 784975777);
  EXPECT_EQ(http::parse_date("Saturday, 31-Dec-16 23:59:60 GMT", kNow), 1483228799);
  EXPECT_EQ(http::parse_date("Sunday, 01-Jan-73 00:00:00 GMT", kNow), 3250454400) << "2073";
  EXPECT_EQ(http::parse_date("Tuesday, 01-Jan-74 00:00:00 GMT", kNow), 126230400) << "1974";
}

TEST(HttpDate, RefusesOtherTexts) {
  for (const std::string_view text : {"",
                                      "not-a-date",
                                      "Sun, 06 Nov 1994 08:49:37",
                                      "Sun, 06 Nov 1994 08:49:37 UTC",
                                      "Sun, 6 Nov 1994 08:49:37 GMT",
                                      "sun, 06 Nov 1994 08:49:37 GMT",
                                      "Mon, 06 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 NOV 1994 08:49:37 GMT",
                                      "Sun, 06 anF 1994 08:49:37 GMT",
                                      "Sun, 00 Nov 1994 08:49:37 GMT",
                                      "Wed, 31 Jun 1994 08:49:37 GMT",
                                      "Fri, 29 Feb 2023 00:00:00 GMT",
                                      "Sun, 06 Nov 1994 24:00:00 GMT",
                                      "Sun, 06 Nov 1994 08:60:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:61 GMT",
                                      "Sun, 06 Nov 1994 08:49:37 GMT ",
                                      "Sun,06 Nov 1994 08:49:37 GMT",
                                      "Sunday, 06 Nov 1994 08:49:37 GMT",
                                      "Sun Nov 06 08:49:37 1994 GMT",
                                      "Sun, 06-Nov-94 08:49:37 GMT",
                                      "-un Nov  6 08:49:37 1994",
                                      "Sun, -6 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov +994 08:49:37 GMT"}) {
    EXPECT_FALSE(http::parse_date(text, 0).has_value()) << text;
  }
}

TEST(HttpDate, ReadsBackEveryDayAndWhatItFormats) {
  std::int64_t seconds = -62'167'219'200;  // the year 0
  for (; seconds < 253'402'300'800; seconds += 86'400 * 13 + 3601) {
    ASSERT_EQ(http::parse_date(format(seconds), 0), seconds) << format(seconds);
  }
}

// ---- Urls ----

TEST(HttpUrl, SplitsTargets) {
  RULES("4.8.1.1 4.8.1.2 4.8.1.3 4.8.1.4 4.8.1.5 4.8.1.6 4.8.1.7");
  struct Case {
    std::string_view target, scheme, authority, path;
    std::optional<std::string_view> query, hash;
  };
  const Case cases[] = {
      {"/", "", "", "/", {}, {}},
      {"/a/b?c=d&e", "", "", "/a/b", "c=d&e", {}},
      {"/a?", "", "", "/a", "", {}},
      {"/a?b?c", "", "", "/a", "b?c", {}},
      {"/a#b?c#d", "", "", "/a", {}, "b?c#d"},
      {"/a?b#c", "", "", "/a", "b", "c"},
      {"//x/y", "", "", "//x/y", {}, {}},
      {"/%41%2f", "", "", "/%41%2f", {}, {}},
      {"*", "", "", "*", {}, {}},
      {"?a", "", "", "", "a", {}},
      {"", "", "", "", {}, {}},
      {"http://h:1/p?q", "http", "h:1", "/p", "q", {}},
      {"http://h", "http", "h", "", {}, {}},
      {"http://h?q", "http", "h", "", "q", {}},
      {"/a?u=http://h/p", "", "", "/a", "u=http://h/p", {}},
      {"/a://b", "", "", "/a://b", {}, {}},
  };
  for (const Case& expected : cases) {
    SCOPED_TRACE(expected.target);
    const http::Url url = http::split_url(expected.target);
    EXPECT_EQ(url.scheme, expected.scheme);
    EXPECT_EQ(url.authority, expected.authority);
    EXPECT_EQ(url.path, expected.path);
    EXPECT_EQ(url.query, expected.query);
    EXPECT_EQ(url.hash, expected.hash);
  }
}

// ---- Queries ----

Strings parse(std::string_view query, std::size_t pairs_max = 1000) {
  Strings all;
  for (const http::QueryValue& pair : http::parse_query(query, pairs_max)) {
    all.push_back(pair.name + "=" + pair.value);
  }
  return all;
}

TEST(HttpQuery, ParsesAsNodeDoes) {
  RULES("4.8.2.1 4.8.2.2 4.8.2.3 4.8.2.4 4.8.2.5 4.8.2.6 4.8.2.7 4.8.2.8 4.8.2.9 4.8.2.10");
  EXPECT_EQ(parse(""), Strings{});
  EXPECT_EQ(parse("a=1&b=2"), (Strings{"a=1", "b=2"}));
  EXPECT_EQ(parse("a=1&a=2"), (Strings{"a=1", "a=2"})) << "repeated names stay, in order";
  EXPECT_EQ(parse("a"), (Strings{"a="}));
  EXPECT_EQ(parse("=b"), (Strings{"=b"}));
  EXPECT_EQ(parse("="), (Strings{"="}));
  EXPECT_EQ(parse("a=b=c"), (Strings{"a=b=c"}));
  EXPECT_EQ(parse("&&a=1&&&b&"), (Strings{"a=1", "b="})) << "empty pairs go";
  EXPECT_EQ(parse("a;b=1"), (Strings{"a;b=1"}));
  EXPECT_EQ(parse("a+b=c+d"), (Strings{"a b=c d"}));
  EXPECT_EQ(parse("a%20b=%C3%A4%2b"), (Strings{"a b=\xc3\xa4+"}));
  EXPECT_EQ(parse("a%3db=%26"), (Strings{"a=b=&"}));
  EXPECT_EQ(parse("a=%zz&b=%&c=%4&d=%4g%41"), (Strings{"a=%zz", "b=%", "c=%4", "d=%4gA"}));
  EXPECT_EQ(parse("a=%ff&b=%c3"), (Strings{"a=\xef\xbf\xbd", "b=\xef\xbf\xbd"}));
  EXPECT_EQ(parse("a=%00"), (Strings{std::string("a=\0", 3)}));
}

TEST(HttpQuery, LimitsThePairs) {
  RULES("4.8.2.11 4.8.2.12");
  std::string query;
  for (int i = 0; i < 1001; ++i) query += "&&k=" + std::to_string(i);
  EXPECT_EQ(parse(query).size(), 1000U);
  EXPECT_EQ(http::parse_query(query).size(), 1000U);
  EXPECT_EQ(parse(query, 0).size(), 1001U);
  EXPECT_EQ(parse(query, 1), (Strings{"k=0"}));
}

TEST(HttpQuery, FindsTheFirstValue) {
  RULES("4.8.2.13");
  EXPECT_EQ(http::find_in_query("a=1&b=2&a=3", "a"), "1");
  EXPECT_EQ(http::find_in_query("%61=1", "a"), "1");
  EXPECT_EQ(http::find_in_query("a", "a"), "");
  EXPECT_EQ(http::find_in_query("ab=1", "a"), std::nullopt);
  EXPECT_EQ(http::find_in_query("", "a"), std::nullopt);
}

TEST(HttpQuery, EscapesAsNodeDoes) {
  RULES("4.8.3.1 4.8.3.2 4.8.3.3");
  EXPECT_EQ(http::escape_query("azAZ09-_.!~*'()"), "azAZ09-_.!~*'()");
  EXPECT_EQ(http::escape_query(" +&=%/\xc3\xa4"), "%20%2B%26%3D%25%2F%C3%A4");
  EXPECT_EQ(http::stringify_query({{"a b", "1"}, {"", "="}, {"c", ""}}), "a%20b=1&=%3D&c=");
}

TEST(HttpQuery, ReadsBackWhatItWrites) {
  RULES("4.8.3.4");
  for_seeds(500, [](Random& random) {
    std::vector<http::QueryValue> values(1 + random.below(5));
    const auto text = [&] {
      std::string made(random.below(10), '\0');
      for (char& byte : made) byte = static_cast<char>(random.below(128));
      return made;
    };
    for (http::QueryValue& value : values) value = {.name = text(), .value = text()};
    const auto read = http::parse_query(http::stringify_query(values));
    ASSERT_EQ(read.size(), values.size());
    for (std::size_t i = 0; i < read.size(); ++i) {
      EXPECT_EQ(read[i].name, values[i].name);
      EXPECT_EQ(read[i].value, values[i].value);
    }
  });
}

// ---- Cookies ----

TEST(HttpCookie, GivesThePairs) {
  RULES("4.8.4.1 4.8.4.2 4.8.4.3 4.8.4.4");
  const auto cookies_of = [](std::string_view value) {
    Strings all;
    http::Cookies cookies(value);
    while (const auto cookie = cookies.next()) {
      all.push_back(std::string(cookie->name) + "=" + std::string(cookie->value));
    }
    return all;
  };
  EXPECT_EQ(cookies_of(""), Strings{});
  EXPECT_EQ(cookies_of("a=1"), (Strings{"a=1"}));
  EXPECT_EQ(cookies_of("a=1; b=2;c=3 ;\td=4"), (Strings{"a=1", "b=2", "c=3", "d=4"}));
  EXPECT_EQ(cookies_of("a=b=c; d="), (Strings{"a=b=c", "d="}));
  EXPECT_EQ(cookies_of("a=\"b c\"; d=\"; e=\"\""), (Strings{"a=b c", "d=\"", "e="}));
  EXPECT_EQ(cookies_of("===;;; =x; y; z=%20"), (Strings{"z=%20"}));
  EXPECT_EQ(http::find_cookie("a=1; b=2; a=3", "a"), "1");
  EXPECT_EQ(http::find_cookie("a=1", "A"), std::nullopt) << "names have a case";
}

}  // namespace
}  // namespace weir::test
