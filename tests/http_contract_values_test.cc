// Queries by Node's own table, and what a handler gets to see of target and cookies. The functions
// one by one: http_values_test.cc.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/http_world.h"
#include "weir/http/query.h"

namespace weir::test {
namespace {

// What parse_query() gives, a pair a line.
std::string parse(std::string_view query) {
  std::string text;
  for (const http::QueryValue& pair : http::parse_query(query)) {
    text.append(pair.name).append(" -> ").append(pair.value).append("\n");
  }
  return text;
}

TEST(HttpQueryContract, ReadsNodesTable) {
  RULES("4.8.2.1 4.8.2.2 4.8.2.3 4.8.2.4 4.8.2.5 4.8.2.6 4.8.2.7 4.8.2.8 4.8.2.9 4.8.2.10");
  NODE_TEST("querystring");
  struct Case {
    std::string_view query, pairs;
  };
  for (const Case& expected : {
           Case{"__proto__=1", "__proto__ -> 1\n"},
           {"foo=918854443121279438895193", "foo -> 918854443121279438895193\n"},
           {"foo=bar", "foo -> bar\n"},
           {"foo=bar&foo=quux", "foo -> bar\nfoo -> quux\n"},
           {"foo=1&bar=2", "foo -> 1\nbar -> 2\n"},
           {"foo=%EF%BF%BD", "foo -> \xef\xbf\xbd\n"},
           {"my%20weird%20field=q1!2%22'w%245%267%2Fz8)%3F",
            "my weird field -> q1!2\"'w$5&7/z8)?\n"},
           {"foo%3Dbaz=bar", "foo=baz -> bar\n"},
           {"foo=baz=bar", "foo -> baz=bar\n"},
           {"str=foo&arr=1&arr=2&arr=3&somenull=&undef=",
            "str -> foo\narr -> 1\narr -> 2\narr -> 3\nsomenull -> \nundef -> \n"},
           {" foo = bar ", " foo  ->  bar \n"},
           {"foo=%zx", "foo -> %zx\n"},
           {"a=b&c&d=&e", "a -> b\nc -> \nd -> \ne -> \n"},
           {"foo=%C3%A9&bar=%E9", "foo -> \xc3\xa9\nbar -> \xef\xbf\xbd\n"},
           {"a=1&", "a -> 1\n"},
           {"&a&&&b", "a -> \nb -> \n"},
           {"=", " -> \n"},
           {"&", ""},
           {"a+b+c=+", "a b c ->  \n"},
           {"a=%2B%2b", "a -> ++\n"},
           {"%u2605=1", "%u2605 -> 1\n"},
       }) {
    EXPECT_EQ(parse(expected.query), expected.pairs) << expected.query;
  }
}

TEST(HttpQueryContract, EscapesEveryByte) {
  RULES("4.8.3.1 4.8.3.2 4.8.3.3");
  NODE_TEST("querystring-escape");
  constexpr std::string_view kKept =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()";
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (unsigned value = 0; value < 256; ++value) {
    const std::string byte(1, static_cast<char>(value));
    const std::string escaped = {'%', kDigits[value >> 4], kDigits[value & 15]};
    EXPECT_EQ(http::escape_query(byte), kKept.contains(byte[0]) ? byte : escaped);
  }
}

class HttpValuesTest : public HttpTest {};
WEIR_ON_ALL_BACKENDS(HttpValuesTest);

std::string head(std::string_view target, std::string_view fields = {}) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" +
         std::string(fields) + "\r\n";
}

TEST_P(HttpValuesTest, AHandlerGetsThePartsOfTheTarget) {
  RULES("4.8.1.1 4.8.1.2 4.8.1.4 4.8.1.5 4.8.1.7 4.8.1.8");
  NODE_TEST("http-server-method.query http-malformed-request");
  serve([](Request& request, Response& response) {
    const http::Url url = request.url();
    EXPECT_EQ(url.path, request.path());
    response.end(std::string(request.target()) + " [" + std::string(request.path()) + "] [" +
                 std::string(request.query()) + "] " + (url.query ? "query" : "none"));
  });
  struct Case {
    std::string_view target, parts;
  };
  for (const Case& expected : {Case{"/", "[/] [] none"},
                               {"/a%20b?", "[/a%20b] [] query"},
                               {"/hello?foo=%99bar&x?y", "[/hello] [foo=%99bar&x?y] query"},
                               {"//x/y?a", "[//x/y] [a] query"},
                               {"http://b:81/c?d=e", "[/c] [d=e] query"}}) {
    const std::string parts = std::string(expected.target).append(" ").append(expected.parts);
    EXPECT_TRUE(ask(head(expected.target)).ends_with("\r\n\r\n" + parts)) << parts;
  }
}

// What seed program 3-4 died of: a value that nobody sent.
TEST_P(HttpValuesTest, AValueThatIsMissingIsAbsent) {
  RULES("4.8.2.13 4.8.1.8");
  serve([](Request& request, Response& response) {
    const auto value = http::find_in_query(request.query(), "text");
    response.set_status(value ? 200 : 400).value();
    response.end(value.value_or("no text"));
  });
  EXPECT_TRUE(ask(head("/")).ends_with("\r\n\r\nno text"));
  EXPECT_TRUE(ask(head("/?texts=1")).starts_with("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_TRUE(ask(head("/?text")).ends_with("\r\nContent-Length: 0\r\n\r\n"));
  EXPECT_TRUE(ask(head("/?a=b&text=%E2%82%AC+1")).ends_with("\r\n\r\n\xe2\x82\xac 1"));
}

TEST_P(HttpValuesTest, CookiesAreFoundInAllFields) {
  RULES("4.8.4.2 4.8.4.4 4.8.4.5");
  serve([](Request& request, Response& response) {
    std::string text;
    for (const std::string_view name : {"a", "b", "c", "A"}) {
      text.append(request.cookie(name).value_or("absent")).append("|");
    }
    response.end(text);
  });
  EXPECT_TRUE(ask(head("/", "Cookie: a=1; b=\"x%20y\"\r\nCOOKIE: a=2; c=\r\n"))
                  .ends_with("\r\n\r\n1|x%20y||absent|"));
  EXPECT_TRUE(ask(head("/")).ends_with("\r\n\r\nabsent|absent|absent|absent|"));
}

}  // namespace
}  // namespace weir::test
