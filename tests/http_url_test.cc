// Where requests go: URLs, what Host says of them, and Basic credentials.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "weir/http/host.h"
#include "weir/http/http_url.h"
#include "weir/http/limits.h"

namespace weir::test {
namespace {

using namespace std::string_view_literals;

// "host|port|target|userinfo", or the name of the error.
std::string parts_of(std::string_view text) {
  const auto url = http::parse_http_url(text);
  if (!url) return std::string(name_of(url.error().code));
  return url->host + "|" + std::to_string(url->port) + "|" + url->target + "|" + url->userinfo;
}

TEST(HttpUrl, SplitsUrls) {
  EXPECT_EQ(parts_of("http://example.com"), "example.com|80|/|");
  EXPECT_EQ(parts_of("http://example.com/"), "example.com|80|/|");
  EXPECT_EQ(parts_of("HTTP://Example.com:8080/A/b?c=d&e"), "Example.com|8080|/A/b?c=d&e|");
  EXPECT_EQ(parts_of("http://[::1]:8080/path?x#frag"), "::1|8080|/path?x|");
  EXPECT_EQ(parts_of("http://[::1]"), "::1|80|/|");
  EXPECT_EQ(parts_of("http://127.0.0.1:1/"), "127.0.0.1|1|/|");
  EXPECT_EQ(parts_of("http://a:65535"), "a|65535|/|");
  EXPECT_EQ(parts_of("http://a:080/"), "a|80|/|");
  EXPECT_EQ(parts_of("http://a:/b"), "a|80|/b|");
  EXPECT_EQ(parts_of("http://a?b"), "a|80|/?b|");
  EXPECT_EQ(parts_of("http://a?"), "a|80|/?|");
  EXPECT_EQ(parts_of("http://a#b/c?d"), "a|80|/|");
  EXPECT_EQ(parts_of("http://a/b#c#d"), "a|80|/b|");
  EXPECT_EQ(parts_of("http://a//b/../c;d=%20%"), "a|80|//b/../c;d=%20%|");
  EXPECT_EQ(parts_of("http://a/?b=http://c:d@e/"), "a|80|/?b=http://c:d@e/|");
  EXPECT_EQ(parts_of("http://a/\xc3\xa9"), "a|80|/\xc3\xa9|");
}

TEST(HttpUrl, KeepsTheUserinfoApart) {
  EXPECT_EQ(parts_of("http://user:se%3Acret@a:81/b"), "a|81|/b|user:se%3Acret");
  EXPECT_EQ(parts_of("http://user@[::1]/"), "::1|80|/|user");
  EXPECT_EQ(parts_of("http://:p@a/"), "a|80|/|:p");
  EXPECT_EQ(parts_of("http://@a/"), "a|80|/|");
  EXPECT_EQ(parts_of("http://a:b:c@d"), "d|80|/|a:b:c");
}

TEST(HttpUrl, SpeaksHttpOnly) {
  for (const std::string_view text : {"https://a/", "ftp://a/", "ws://a", "httpx://a", "file:///a",
                                      "h+t-t.p://a"}) {
    EXPECT_EQ(parts_of(text), "ERR_INVALID_PROTOCOL") << text;
  }
}

TEST(HttpUrl, RefusesWhatIsNoUrl) {
  for (const std::string_view text :
       {"", "a", "/a", "example.com/a", "example.com:80", "//a/b", "http:", "http:/a", "http:a",
        "http//a", "://a", "/http://a", "?http://a", "h(p://a"}) {
    EXPECT_EQ(parts_of(text), "ERR_INVALID_ARG_VALUE") << text;
  }
}

TEST(HttpUrl, RefusesHosts) {
  for (const std::string_view text :
       {"http://", "http:///a", "http://?a", "http://:80/", "http://@/", "http://a@/",
        "http://a@:80", "http://::1/", "http://[::1", "http://[::1]x/", "http://[fe80::1%25lo]/",
        "http://[1.2.3.4]/", "http://[]/",
        "http://a,b/", "http://a%41/", "http://\xc3\xa9/", "http://a\\b/",
        "http://good\\@evil/", "http://a@b@c/", "http://a@good:80@evil/", "http://a:b:c/",
        "http://a<b@c/", "http://a[b]@c/", "http://<a>/"}) {
    EXPECT_EQ(parts_of(text), "ERR_INVALID_ARG_VALUE") << text;
  }
}

TEST(HttpUrl, RefusesPorts) {
  for (const std::string_view text :
       {"http://a:0/", "http://a:65536/", "http://a:99999999999999999999/", "http://a:x",
        "http://a:+80", "http://a:-1", "http://a:80x", "http://[::1]:x/", "http://[::1]:65536",
        "http://a:b@c:d"}) {
    EXPECT_EQ(parts_of(text), "ERR_SOCKET_BAD_PORT") << text;
  }
}

TEST(HttpUrl, RefusesBlanksAndControls) {
  for (const std::string_view text :
       {" http://a"sv, "http://a "sv, "http://a b/"sv, "http://a/b c"sv, "http://a/?b c"sv,
        "http://a/#b c"sv, "http://a/\r\nX: y"sv, "http://a\n/"sv, "http://a/\0"sv,
        "http://a/\x7f"sv, "http://u ser@a/"sv, "\thttp://a"sv}) {
    EXPECT_EQ(parts_of(text), "ERR_UNESCAPED_CHARACTERS") << text;
  }
}

TEST(HttpUrl, LimitsItsLength) {
  const std::string begin = "http://a/";
  const std::string longest =
      begin + std::string(http::limits::kSentRequestLineBytesMax - begin.size(), 'x');
  EXPECT_TRUE(http::parse_http_url(longest));
  EXPECT_EQ(parts_of(longest + "x"), "ERR_OUT_OF_RANGE");
}

TEST(HttpUrl, HostFieldsNameThePortThatIsNotTheUsualOne) {
  EXPECT_EQ(http::host_field("example.com", 80), "example.com");
  EXPECT_EQ(http::host_field("example.com", 8080), "example.com:8080");
  EXPECT_EQ(http::host_field("example.com", 443), "example.com:443");
  EXPECT_EQ(http::host_field("127.0.0.1", 1), "127.0.0.1:1");
  EXPECT_EQ(http::host_field("::1", 80), "[::1]");
  EXPECT_EQ(http::host_field("2001:db8::1", 81), "[2001:db8::1]:81");
}

// ---- Credentials ----

TEST(HttpCredentials, AreBase64OfWhatTheUserinfoStandsFor) {
  EXPECT_EQ(http::basic_credentials("u:p"), "Basic dTpw");  // Node
  EXPECT_EQ(http::basic_credentials("Aladdin:open sesame"),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");  // RFC 7617
  EXPECT_EQ(http::basic_credentials("test:123%C2%A3"), "Basic dGVzdDoxMjPCow==");
  EXPECT_EQ(http::basic_credentials("u"), "Basic dTo=");
  EXPECT_EQ(http::basic_credentials("u%3Av"), "Basic dTp2Og==");
  EXPECT_EQ(http::basic_credentials(""), "Basic Og==");
  EXPECT_EQ(http::basic_credentials("a+b:%zz%4"), "Basic YStiOiV6eiU0") << "as they stand";
  EXPECT_EQ(http::basic_credentials("%ff:%00"), "Basic /zoA") << "bytes";
}

}  // namespace
}  // namespace weir::test
