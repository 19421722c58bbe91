// The contract, section 4.6: what a request sends, and the mistakes that request() returns.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/http_client_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class RequestTest : public ClientTest {
 protected:
  // What the server gets for a request that is answered.
  std::string sent(const RequestOptions& options) {
    const std::size_t before = peers_.empty() ? 0 : peer().received.size();
    Asked& asked = ask(options);
    EXPECT_TRUE(run_until_over(asked)) << asked.events;
    EXPECT_EQ(asked.events, kWhole) << asked.error.message();
    return peer().received.substr(before);
  }
  // The Host line of a request that is not sent.
  std::string host_of(const RequestOptions& options) {
    const auto request = agent().request(options);
    if (!request) return std::string(name_of(request.error().code));
    const std::string host((*request)->host());
    (*request)->on_error([](ClientRequest&, const Error&) {});
    (*request)->destroy();
    return host;
  }
};

// ---- The request line ----

TEST_P(RequestTest, IsAGetOfTheRootUnlessItIsTold) {
  RULES("4.6.1.1 4.6.1.21");
  NODE_TEST("http-client-get-url http-client-default-headers-exist");
  listen_and_say(std::string(kEmptyAnswer));
  EXPECT_EQ(sent({}), head("GET /"));
}

TEST_P(RequestTest, GoesToLocalhostUnlessItIsTold) {
  RULES("4.6.1.7");
  listen_and_say(std::string(kEmptyAnswer));
  Asked& asked = begin_there({.port = to_.port});
  EXPECT_EQ(asked.request().host(), "localhost:" + std::to_string(to_.port));
  asked.request().end();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kWhole);
  EXPECT_TRUE(peer().received.find("\r\nHost: localhost:") != std::string::npos);
  EXPECT_EQ(RequestOptions().port, 80);
}

TEST_P(RequestTest, SendsAnyMethodInUpperCase) {
  RULES("4.6.1.2 4.6.2.4");
  NODE_TEST("http-request-methods http-methods");
  listen_and_say(std::string(kEmptyAnswer));
  EXPECT_EQ(sent({.method = "delete", .target = "/x"}), head("DELETE /x"));
  EXPECT_EQ(sent({.method = "Head"}), head("HEAD /"));
  EXPECT_EQ(sent({.method = "OPTIONS", .target = "*"}), head("OPTIONS *"));
  EXPECT_EQ(sent({.method = "TRACE"}), head("TRACE /"));
  EXPECT_EQ(sent({.method = "q-%.1"}), head("Q-%.1 /", "", "Content-Length: 0\r\n"));
}

TEST_P(RequestTest, SaysContentLengthZeroWhereABodyIsUsual) {
  RULES("4.6.2.3");
  NODE_TEST("http-client-default-headers-exist http-contentLength0");
  listen_and_say(std::string(kEmptyAnswer));
  for (const std::string_view method : {"POST", "PUT", "PATCH", "PROPFIND", "SEARCH"}) {
    EXPECT_EQ(sent({.method = method}),
              head(std::string(method) + " /", "", "Content-Length: 0\r\n"));
  }
}

TEST_P(RequestTest, RefusesAMethodThatIsNoToken) {
  RULES("4.6.1.3");
  NODE_TEST("http-client-check-http-token http-request-invalid-method-error");
  for (const std::string_view method :
       {"", " ", "GET ", "G ET", "G\r\nT", "GE\tT", "G:T", "G/T", "\xc3\x84", "G\"T"}) {
    EXPECT_EQ(refusal_of({.method = method}), "ERR_INVALID_HTTP_TOKEN") << method;
  }
  EXPECT_EQ(refusal_of({.method = std::string_view("G\0T", 3)}), "ERR_INVALID_HTTP_TOKEN");
  EXPECT_EQ(agent().stats().requests, 0u);
}

TEST_P(RequestTest, SendsTheTargetAsItIs) {
  RULES("4.6.1.4");
  listen_and_say(std::string(kEmptyAnswer));
  EXPECT_EQ(sent({.target = "/a/../b%20c?x=1&y='\"{}|\\^`"}),
            head("GET /a/../b%20c?x=1&y='\"{}|\\^`"));
  EXPECT_EQ(sent({.target = "//x"}), head("GET //x"));
  EXPECT_EQ(sent({.target = "/\xc3\xa4\xff"}), head("GET /\xc3\xa4\xff"));
  EXPECT_EQ(sent({.target = "http://elsewhere/x"}), head("GET http://elsewhere/x"));
}

TEST_P(RequestTest, RefusesTargetsWithBlanksAndControlBytes) {
  RULES("4.6.1.5 4.6.1.6");
  NODE_TEST("http-client-unescaped-path http-client-invalid-path http-invalid-path-chars");
  for (int byte = 0; byte <= 0x20; ++byte) {
    const std::string target = std::string("/a") + static_cast<char>(byte) + "b";
    EXPECT_EQ(refusal_of({.target = target}), "ERR_UNESCAPED_CHARACTERS") << byte;
  }
  EXPECT_EQ(refusal_of({.target = "/\x7f"}), "ERR_UNESCAPED_CHARACTERS");
  EXPECT_EQ(refusal_of({.target = "/a HTTP/1.1\r\nX: y"}), "ERR_UNESCAPED_CHARACTERS");
  EXPECT_EQ(refusal_of({.target = ""}), "ERR_INVALID_ARG_VALUE");
}

TEST_P(RequestTest, RefusesALineBeyond64Kib) {
  RULES("4.6.1.20");
  const std::string target(http::limits::kSentRequestLineBytesMax + 1, '/');
  EXPECT_EQ(refusal_of({.target = target}), "ERR_OUT_OF_RANGE");
  const std::string method(http::limits::kSentRequestLineBytesMax + 1, 'M');
  EXPECT_EQ(refusal_of({.method = method}), "ERR_OUT_OF_RANGE");
}

// ---- Host ----

TEST_P(RequestTest, HostLeavesPort80Out) {
  RULES("4.6.1.8");
  NODE_TEST("http-default-port http-correct-hostname http-host-headers");
  EXPECT_EQ(host_of({.host = "a.example", .port = 80}), "a.example");
  EXPECT_EQ(host_of({.host = "a.example"}), "a.example");
  EXPECT_EQ(host_of({.host = "a.example", .port = 8080}), "a.example:8080");
  EXPECT_EQ(host_of({.host = "a.example", .port = 443}), "a.example:443");
  EXPECT_EQ(host_of({.host = "10.0.0.1", .port = 81}), "10.0.0.1:81");
  EXPECT_EQ(host_of({}), "localhost");
}

TEST_P(RequestTest, HostHasIpv6InBrackets) {
  RULES("4.6.1.9");
  NODE_TEST("http-host-header-ipv6-fail");
  EXPECT_EQ(host_of({.host = "::1", .port = 80}), "[::1]");
  EXPECT_EQ(host_of({.host = "2001:db8::7", .port = 8080}), "[2001:db8::7]:8080");
}

TEST_P(RequestTest, HostIsLocalhostOverAUnixSocket) {
  RULES("4.6.1.10 4.6.1.22");
  NODE_TEST("http-unix-socket");
  listen(true);
  Asked& asked = ask({.target = "/x"});
  ASSERT_TRUE(run_until_head());
  EXPECT_EQ(peer().received,
            "GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
  say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kWholeWithBody);
  EXPECT_EQ(asked.body, "hi");
}

TEST_P(RequestTest, HostMayBeLeftOut) {
  RULES("4.6.1.11");
  NODE_TEST("http-dont-set-default-headers-with-setHost http-dont-set-default-headers");
  listen_and_say(std::string(kEmptyAnswer));
  EXPECT_EQ(sent({.set_host = false}), "GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n");
}

TEST_P(RequestTest, TheUsersHostIsSentInItsPlace) {
  RULES("4.6.1.12");
  NODE_TEST("http-dont-set-default-headers-with-set-header");
  listen_and_say(std::string(kEmptyAnswer));
  EXPECT_EQ(sent({.headers = {{"host", "else.where:9"}, {"A", "b"}}}),
            "GET / HTTP/1.1\r\nhost: else.where:9\r\nA: b\r\nConnection: keep-alive\r\n\r\n");
}

TEST_P(RequestTest, ARemovedHostOrConnectionIsNotAdded) {
  RULES("4.6.1.11 4.6.2.10");
  NODE_TEST("http-remove-header-stays-removed");
  listen_and_say(std::string(kEmptyAnswer));
  Asked& asked = begin();
  EXPECT_TRUE(asked.request().remove_header("Host"));
  EXPECT_TRUE(asked.request().remove_header("Connection"));
  asked.request().end();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(peer().received, "GET / HTTP/1.1\r\n\r\n");
}

// ---- Fields ----

TEST_P(RequestTest, CredentialsBecomeAuthorization) {
  RULES("4.6.1.13");
  NODE_TEST("http-url.parse-auth http-decoded-auth");
  listen_and_say(std::string(kEmptyAnswer));
  EXPECT_EQ(sent({.credentials = "user:password"}),
            head("GET /", "Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n"));
  EXPECT_EQ(sent({.credentials = "us%65r:pass%77ord"}),
            head("GET /", "Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n"));
  EXPECT_EQ(sent({.credentials = "user"}),
            head("GET /", "Authorization: Basic dXNlcjo=\r\n"));
}

TEST_P(RequestTest, TheUsersAuthorizationGoesBeforeCredentials) {
  RULES("4.6.1.13");
  NODE_TEST("http-url.parse-auth-with-header-in-request");
  listen_and_say(std::string(kEmptyAnswer));
  EXPECT_EQ(sent({.headers = {{"authorization", "NoAuthForYOU"}}, .credentials = "user:pass"}),
            head("GET /", "authorization: NoAuthForYOU\r\n"));
}

TEST_P(RequestTest, FieldsAreSentInOrderAndAsTheyAre) {
  RULES("4.6.1.27 4.6.1.17");
  NODE_TEST("http-client-headers-array http-multiple-headers http-blank-header");
  listen_and_say(std::string(kEmptyAnswer));
  EXPECT_EQ(sent({.headers = {{"B", "1"}, {"a", ""}, {"X-Foo", "\xe4"}, {"Cookie", "a=b"}}}),
            head("GET /", "B: 1\r\na: \r\nX-Foo: \xe4\r\nCookie: a=b\r\n"));
}

TEST_P(RequestTest, FieldsMayBeChangedUntilTheHeadIsOut) {
  RULES("4.6.1.28");
  NODE_TEST("http-mutable-headers http-header-read");
  listen_and_say(std::string(kEmptyAnswer));
  Asked& asked = begin({.headers = {{"A", "1"}, {"B", "2"}}});
  ClientRequest& request = asked.request();
  EXPECT_TRUE(request.set_header("a", "3"));
  EXPECT_TRUE(request.append_header("C", "4"));
  EXPECT_TRUE(request.append_header("C", "5"));
  EXPECT_TRUE(request.remove_header("b"));
  EXPECT_EQ(request.header("A"), "3");
  EXPECT_FALSE(request.has_header("B"));
  EXPECT_FALSE(request.headers_sent());
  request.end();
  EXPECT_TRUE(request.headers_sent());
  EXPECT_EQ(name_of(request.set_header("D", "6").error().code), "ERR_HTTP_HEADERS_SENT");
  EXPECT_EQ(name_of(request.append_header("C", "6").error().code), "ERR_HTTP_HEADERS_SENT");
  EXPECT_EQ(name_of(request.remove_header("C").error().code), "ERR_HTTP_HEADERS_SENT");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(peer().received, head("GET /", "a: 3\r\nC: 4\r\nC: 5\r\n"));
}

TEST_P(RequestTest, BadFieldsAreMistakes) {
  RULES("4.6.1.17");
  NODE_TEST("http-invalidheaderfield http-header-validators http-response-splitting");
  EXPECT_EQ(refusal_of({.headers = {{"a b", "1"}}}), "ERR_INVALID_HTTP_TOKEN");
  EXPECT_EQ(refusal_of({.headers = {{"", "1"}}}), "ERR_INVALID_HTTP_TOKEN");
  EXPECT_EQ(refusal_of({.headers = {{"a", "1\r\nB: 2"}}}), "ERR_INVALID_CHAR");
  EXPECT_EQ(refusal_of({.headers = {{"a", std::string_view("\0", 1)}}}), "ERR_INVALID_CHAR");
  listen_and_say(std::string(kEmptyAnswer));
  Asked& asked = begin();
  EXPECT_EQ(name_of(asked.request().set_header("a:", "1").error().code), "ERR_INVALID_HTTP_TOKEN");
  EXPECT_EQ(name_of(asked.request().set_header("a", "1\n").error().code), "ERR_INVALID_CHAR");
  asked.request().end();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(peer().received, head("GET /"));
}

TEST_P(RequestTest, NothingThatEndsALineGetsIntoARequest) {
  using namespace std::string_view_literals;
  for (const std::string_view bad : {"a\r\nX: y"sv, "a\nX: y"sv, "a\rX: y"sv, "a\0X: y"sv}) {
    EXPECT_EQ(refusal_of({.method = bad}), "ERR_INVALID_HTTP_TOKEN");
    EXPECT_EQ(refusal_of({.target = bad}), "ERR_UNESCAPED_CHARACTERS");
    EXPECT_EQ(refusal_of({.headers = {{bad, "1"}}}), "ERR_INVALID_HTTP_TOKEN");
    EXPECT_EQ(refusal_of({.headers = {{"a", bad}}}), "ERR_INVALID_CHAR");
    listen_and_say(std::string(kEmptyAnswer));
    Asked& asked = begin();
    EXPECT_FALSE(asked.request().set_header(bad, "1").has_value());
    EXPECT_FALSE(asked.request().append_header("a", bad).has_value());
    EXPECT_FALSE(asked.request().set_trailer("T", bad).has_value());
    asked.request().end();
    ASSERT_TRUE(run_until_over(asked));
    EXPECT_EQ(peers_.back().received, head("GET /"));
  }
}

// ---- Other mistakes in the options ----

TEST_P(RequestTest, BadPlacesAreMistakes) {
  RULES("4.6.1.16");
  for (const int port : {-1, 65536, 1 << 30}) {
    EXPECT_EQ(refusal_of({.port = port}), "ERR_SOCKET_BAD_PORT") << port;
  }
  for (const std::string_view address : {"localhost", "1.2.3", "::g", "127.0.0.1:80"}) {
    EXPECT_EQ(refusal_of({.local_address = address}), "ERR_INVALID_IP_ADDRESS") << address;
  }
}

TEST_P(RequestTest, AHostThatNoHeadCanSayIsAMistake) {
  RULES("4.6.1.16");
  NODE_TEST("http-invalid-urls");
  listen();
  for (const std::string_view host : {"a\r\nX: y", "a\x01"}) {
    const auto request = agent().request({.host = host, .port = to_.port});
    ASSERT_FALSE(request.has_value()) << host;
    EXPECT_EQ(name_of(request.error().code), "ERR_INVALID_CHAR");
  }
}

TEST_P(RequestTest, NegativeTimesAreMistakes) {
  RULES("4.6.1.18");
  NODE_TEST("http-client-timeout-option");
  EXPECT_EQ(refusal_of({.timeout = -1ms}), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(refusal_of({.time_limit = -1ms}), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(refusal_of({.timeout = 1ms, .time_limit = 1ms}), "");
}

// ---- URLs, and where else a request goes ----

TEST_P(RequestTest, AUrlSaysHostPortTargetAndCredentials) {
  RULES("4.6.1.14 4.6.1.19");
  NODE_TEST("http-client-get-url http-url.parse-basic http-url.parse-search");
  listen_and_say(std::string(kEmptyAnswer));
  const std::string place = "127.0.0.1:" + std::to_string(to_.port);
  Asked& asked = asked_.emplace_back();
  bool told = false;
  const auto request = agent().get("http://user:password@" + place + "/a?b=c#d",
                                   [&](ClientResponse&) { told = true; });
  ASSERT_TRUE(request.has_value()) << request.error().message();
  watch(**request, asked);
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kWhole);
  EXPECT_TRUE(told);
  EXPECT_EQ(peer().received,
            head("GET /a?b=c", "Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n"));
}

TEST_P(RequestTest, AUrlTakesTheOtherOptionsToo) {
  RULES("4.6.1.14");
  NODE_TEST("http-url.parse-post http-url.parse-path");
  listen_and_say(std::string(kEmptyAnswer));
  Asked& asked = asked_.emplace_back();
  const auto request = agent().request("HTTP://127.0.0.1:" + std::to_string(to_.port) + "?q",
                                       {.method = "POST", .headers = {{"A", "b"}}});
  ASSERT_TRUE(request.has_value()) << request.error().message();
  watch(**request, asked);
  (*request)->end("x");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(peer().received, head("POST /?q", "A: b\r\n", "Content-Length: 1\r\n") + "x");
}

TEST_P(RequestTest, AUrlThatIsNoneIsAMistake) {
  RULES("4.6.1.15");
  NODE_TEST("http-invalid-urls");
  const auto refusal = [this](std::string_view url) {
    const auto request = agent().get(url);
    return request ? std::string() : std::string(name_of(request.error().code));
  };
  EXPECT_EQ(refusal("https://a/"), "ERR_INVALID_PROTOCOL");
  EXPECT_EQ(refusal("ftp://a/"), "ERR_INVALID_PROTOCOL");
  EXPECT_EQ(refusal("http://a:65536/"), "ERR_SOCKET_BAD_PORT");
  EXPECT_EQ(refusal("http://a/b c"), "ERR_UNESCAPED_CHARACTERS");
  EXPECT_EQ(refusal("http://a/\r\nX: y"), "ERR_UNESCAPED_CHARACTERS");
  EXPECT_EQ(refusal("http:///x"), "ERR_INVALID_ARG_VALUE");
  EXPECT_EQ(refusal("http://[::1/"), "ERR_INVALID_ARG_VALUE");
  EXPECT_EQ(agent().stats().requests, 0u);
}

TEST_P(RequestTest, GoesToAnAbstractUnixSocket) {
  RULES("4.6.1.22");
  const std::string name = "weir-client-" + socket_path();
  serve([](Request&, Response& response) { response.end("ok"); });
  ASSERT_TRUE(server().listening());
  http::Server other(reactor(), [](Request&, Response& response) { response.end("abstract"); });
  ASSERT_TRUE(other.listen({.path = name, .abstract = true}).has_value());
  Asked& asked = begin_there({.socket_path = name, .abstract = true});
  asked.request().end();
  ASSERT_TRUE(run_until_over(asked)) << asked.events;
  EXPECT_EQ(asked.body, "abstract");
}

TEST_P(RequestTest, IsBoundToItsLocalAddress) {
  RULES("4.6.1.23");
  NODE_TEST("http-localaddress");
  std::string remote;
  serve([&](Request& request, Response& response) {
    remote = request.socket().remote_address().to_string();
    response.end();
  });
  Asked& asked = ask({.local_address = "127.0.0.1"});
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kWhole);
  EXPECT_TRUE(remote.starts_with("127.0.0.1")) << remote;
}

class KernelRequestTest : public RequestTest {};

TEST_P(KernelRequestTest, ALocalAddressThatIsNotOursIsAnError) {
  RULES("4.6.1.23 4.6.6.3");
  NODE_TEST("http-localaddress-bind-error");
  listen();
  Asked& asked = ask({.local_address = "203.0.113.7"});
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket error close");
  EXPECT_EQ(asked.error.message(), "bind EADDRNOTAVAIL 203.0.113.7");
}

class Table final : public net::Resolver {
 public:
  void resolve(std::string_view host, Family, net::ResolveReply reply) override {
    asked += host;
    if (host == "nowhere") return reply.failed(make_error_code(ResolveError::not_found));
    reply.found({Address::loopback_ipv4(0).ip()});
  }
  std::string asked;
};

TEST_P(RequestTest, AResolverLooksTheNameUp) {
  RULES("4.6.1.24 4.6.6.3");
  NODE_TEST("http-dns-error http-request-lookup-error-catchable");
  Table table;
  listen_and_say(std::string(kEmptyAnswer));
  Asked& found = begin_there({.host = "my.server", .port = to_.port, .resolver = &table});
  found.request().end();
  ASSERT_TRUE(run_until_over(found));
  EXPECT_EQ(found.events, kWhole);
  EXPECT_EQ(table.asked, "my.server");
  Asked& missing = begin_there({.host = "nowhere", .port = to_.port, .resolver = &table});
  missing.request().end();
  ASSERT_TRUE(run_until_over(missing));
  EXPECT_EQ(missing.events, "socket error close");
  EXPECT_EQ(missing.error.message(), "getaddrinfo ENOTFOUND nowhere");
  agent_.reset();
}

// ---- When it is sent ----

TEST_P(RequestTest, SendsNothingBeforeItIsWrittenOrEnded) {
  RULES("4.6.1.25");
  NODE_TEST("http-outgoing-buffer");
  listen();
  Asked& asked = begin({.method = "POST"});
  settle();
  EXPECT_TRUE(peers_.empty() || peer().received.empty());
  asked.request().write("x");
  ASSERT_TRUE(run_until_head());
  EXPECT_TRUE(peer().received.starts_with(head("POST /", "", "Transfer-Encoding: chunked\r\n")));
}

TEST_P(RequestTest, FlushHeadersSendsTheHeadNow) {
  RULES("4.6.1.25 4.6.2.2");
  NODE_TEST("http-flush-headers");
  listen();
  Asked& asked = begin({.method = "POST"});
  EXPECT_TRUE(asked.request().set_header("foo", "bar"));
  EXPECT_TRUE(asked.request().flush_headers());
  EXPECT_TRUE(asked.request().headers_sent());
  ASSERT_TRUE(run_until_head());
  const std::string sent = head("POST /", "foo: bar\r\n", "Transfer-Encoding: chunked\r\n");
  EXPECT_EQ(peer().received, sent);
  asked.request().end("x");
  ASSERT_TRUE(run_until_got(sent + "1\r\nx\r\n0\r\n\r\n"));
  EXPECT_EQ(peer().received, sent + "1\r\nx\r\n0\r\n\r\n");
}

TEST_P(RequestTest, SaysWhatItIs) {
  RULES("4.6.1.26");
  listen();
  Asked& asked = begin({.method = "put", .target = "/x?y"});
  EXPECT_EQ(asked.request().method(), "PUT");
  EXPECT_EQ(asked.request().target(), "/x?y");
  EXPECT_EQ(asked.request().host(), "127.0.0.1:" + std::to_string(to_.port));
  EXPECT_EQ(asked.request().response(), nullptr);
  EXPECT_FALSE(asked.request().reused_socket());
}

WEIR_ON_ALL_BACKENDS(RequestTest);
WEIR_ON_KERNEL_BACKENDS(KernelRequestTest);

}  // namespace
}  // namespace weir::test
