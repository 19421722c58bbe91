// The contract, section 4.4: the bytes of responses, by what a handler has asked for. When they are
// sent, and what becomes of writes, is in http_contract_write_test.cc.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_world.h"

namespace weir::test {
namespace {

using namespace std::string_view_literals;
using http::Field;

#define KEPT "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n"
#define OK "HTTP/1.1 200 OK\r\n"

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kHead = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kLast = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
constexpr std::string_view kRefused =
    "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

std::string name_of(const Expected<void>& result) {
  return result ? "ok" : std::string(weir::name_of(result.error().code));
}

class ResponseTest : public HttpTest {
 protected:
  using Handler = std::function<void(Response&)>;

  void SetUp() override {
    HttpTest::SetUp();
    if (!IsSkipped()) start({});
  }
  void start(http::ServerOptions options) {
    serve(
        [this](Request& request, Response& response) {
          if (request.target() == "/last") {
            response.set_header("X-Last", "1");
            response.end();
          } else {
            handler_(response);
          }
        },
        options);
  }

  // What a client gets, without Date, on a connection that survives it: another request is answered
  // behind it.
  std::string kept(Handler handler, std::string_view request = kGet) {
    handler_ = std::move(handler);
    const std::string all = answer(std::string(request).append(kLast));
    const std::size_t at = all.find(OK "X-Last: 1\r\n");
    EXPECT_NE(at, all.npos) << "the connection did not stay behind\n" << all;
    return all.substr(0, at);
  }
  // The same, where the connection ends behind it.
  std::string last(Handler handler, std::string_view request = kGet) {
    handler_ = std::move(handler);
    const std::string all = answer(std::string(request).append(kLast));
    EXPECT_EQ(all.find("X-Last"), all.npos) << "the connection stayed behind\n" << all;
    return all;
  }
  // The errors that went nowhere else, which are taken.
  std::string unhandled() {
    std::string all;
    for (const Error& error : std::exchange(unhandled_, {})) all += weir::name_of(error.code);
    return all;
  }

  Handler handler_;
};

// ---- Status and headers ----

TEST_P(ResponseTest, HasAStatusAndItsReason) {
  RULES("4.4.1.1 4.4.1.2 4.4.1.3 4.4.1.4");
  NODE_TEST("http-response-status-message");
  const auto line = [&](const Handler& handler) {
    const std::string all = kept([&](Response& response) {
      handler(response);
      response.end();
    });
    return all.substr(0, all.find("\r\n"));
  };
  EXPECT_EQ(line([](Response& response) { EXPECT_EQ(response.status(), 200); }),
            "HTTP/1.1 200 OK");
  EXPECT_EQ(line([](Response& response) { response.set_status(404); }), "HTTP/1.1 404 Not Found");
  EXPECT_EQ(line([](Response& response) { response.set_status(299); }), "HTTP/1.1 299 unknown");
  EXPECT_EQ(line([](Response& response) { response.set_status(999); }), "HTTP/1.1 999 unknown");
  EXPECT_EQ(line([](Response& response) { response.set_status(200, "Custom Message"); }),
            "HTTP/1.1 200 Custom Message");
  EXPECT_EQ(line([](Response& response) {
              response.set_status(404, "Gone fishing");
              response.set_status(404);
              EXPECT_EQ(response.status(), 404);
            }),
            "HTTP/1.1 404 Not Found");
}

TEST_P(ResponseTest, HeadersCanBeChangedUntilTheHeadIsSettled) {
  RULES("4.4.1.5 4.4.1.6 4.4.1.7 4.4.1.8 4.4.1.9 4.4.1.10");
  NODE_TEST("http-mutable-headers http-multiple-headers http-set-cookies");
  const auto answered = kept([](Response& response) {
    EXPECT_FALSE(response.has_header("x-a"));
    EXPECT_EQ(response.header("x-a"), std::nullopt);
    response.set_header("X-A", "1");
    response.set_header("Gone", "1");
    response.set_header("Set-Cookie", {"a=1", "b=2"});
    response.append_header("set-cookie", "c=3");
    response.append_header("X-B", "");
    response.set_header("x-a", "2");
    response.remove_header("GONE");
    response.remove_header("never");
    EXPECT_TRUE(response.has_header("X-a"));
    EXPECT_EQ(response.header("X-A"), "2");
    EXPECT_EQ(response.header("SET-COOKIE"), "a=1");
    EXPECT_FALSE(response.has_header("gone"));
    EXPECT_EQ(response.header_names(),
              (std::vector<std::string_view>{"x-a", "Set-Cookie", "X-B"}));
    EXPECT_FALSE(response.headers_sent());
    response.end("hi");
  });
  EXPECT_EQ(answered, OK
            "x-a: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nSet-Cookie: c=3\r\nX-B: \r\n" KEPT
            "Content-Length: 2\r\n\r\nhi");
}

TEST_P(ResponseTest, WriteHeadGoesOverWhatWasSet) {
  RULES("4.4.1.4 4.4.1.11 4.4.1.12");
  NODE_TEST("http-write-head http-write-head-after-set-header http-response-status-message");
  const auto answered = kept([](Response& response) {
    response.set_status(404, "Nothing");
    response.set_header("test", "1");
    response.set_header("Stays", "2");
    EXPECT_TRUE(response.write_head(201, "Made", {{"Test", "3"}, {"X", "4"}, {"x", "5"}}));
    EXPECT_EQ(response.status(), 201);
    response.end();
  });
  EXPECT_EQ(answered,
            "HTTP/1.1 201 Made\r\nTest: 3\r\nStays: 2\r\nX: 4\r\nX: 5\r\n" KEPT
            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

TEST_P(ResponseTest, HeadersThatManyHaveInCommon) {
  RULES("4.4.1.13");
  NODE_TEST("http-response-setheaders");
  http::Fields common;
  ASSERT_TRUE(common.set("Foo", {"1", "2"}));
  ASSERT_TRUE(common.set("Bar", "3"));
  for (const bool first : {true, false}) {
    const auto answered = kept([&](Response& response) {
      if (first) {
        EXPECT_TRUE(response.set_headers(common));
      }
      response.set_header("foo", "mine");
      if (!first) {
        EXPECT_TRUE(response.set_headers(common));
      }
      response.end();
      EXPECT_EQ(name_of(response.set_headers(common)), "ERR_HTTP_HEADERS_SENT");
    });
    EXPECT_EQ(answered, std::string("HTTP/1.1 200 OK\r\n") +
                            (first ? "foo: mine\r\nBar: 3\r\n"
                                   : "Foo: 1\r\nFoo: 2\r\nBar: 3\r\n") +
                            KEPT "Content-Length: 0\r\n\r\n");
  }
}

TEST_P(ResponseTest, TheHeadIsSettledOnce) {
  RULES("4.4.2.4 4.4.2.5 4.4.2.6 4.4.12.5");
  NODE_TEST("http-header-read http-write-head http-header-validators");
  const auto refuses = [](Response& response) {
    EXPECT_TRUE(response.headers_sent());
    EXPECT_EQ(name_of(response.set_status(500)), "ERR_HTTP_HEADERS_SENT");
    EXPECT_EQ(name_of(response.set_header("X", "2")), "ERR_HTTP_HEADERS_SENT");
    EXPECT_EQ(name_of(response.set_header("X", {"2"})), "ERR_HTTP_HEADERS_SENT");
    EXPECT_EQ(name_of(response.append_header("X", "2")), "ERR_HTTP_HEADERS_SENT");
    EXPECT_EQ(name_of(response.remove_header("X")), "ERR_HTTP_HEADERS_SENT");
    EXPECT_EQ(name_of(response.write_head(500, {{"X", "2"}})), "ERR_HTTP_HEADERS_SENT");
    EXPECT_EQ(name_of(response.write_continue()), "ERR_HTTP_HEADERS_SENT");
    EXPECT_EQ(name_of(response.write_processing()), "ERR_HTTP_HEADERS_SENT");
    EXPECT_EQ(name_of(response.write_early_hints({{"Link", "</a>"}})), "ERR_HTTP_HEADERS_SENT");
    EXPECT_EQ(response.status(), 200);
    EXPECT_EQ(response.header("x"), "1");
    EXPECT_EQ(response.header_names(), std::vector<std::string_view>{"X"});
  };
  const std::vector<Handler> ways = {
      [](Response& response) { response.write("a"); },
      [](Response& response) { EXPECT_TRUE(response.write_head(200)); },
      [](Response& response) { EXPECT_TRUE(response.flush_headers()); },
  };
  for (const Handler& settle : ways) {
    const auto answered = kept([&](Response& response) {
      response.set_header("X", "1");
      EXPECT_FALSE(response.headers_sent());
      settle(response);
      refuses(response);
      response.end("b");
      refuses(response);
    });
    EXPECT_TRUE(answered.starts_with(OK "X: 1\r\n" KEPT "Transfer-Encoding: chunked\r\n\r\n"))
        << answered;
    EXPECT_TRUE(answered.ends_with("1\r\nb\r\n0\r\n\r\n")) << answered;
  }
}

// ---- Framing ----

TEST_P(ResponseTest, ASingleEndHasALength) {
  RULES("4.4.3.3 4.4.3.4 4.4.2.2");
  NODE_TEST("http-content-length http-automatic-headers");
  EXPECT_EQ(kept([](Response& response) { response.end("hello"); }),
            OK KEPT "Content-Length: 5\r\n\r\nhello");
  EXPECT_EQ(kept([](Response& response) { response.end(Buffer::literal("hello")); }),
            OK KEPT "Content-Length: 5\r\n\r\nhello");
  EXPECT_EQ(kept([](Response& response) { response.end(); }), OK KEPT "Content-Length: 0\r\n\r\n");
  EXPECT_EQ(kept([](Response& response) { response.end(""); }),
            OK KEPT "Content-Length: 0\r\n\r\n");
}

TEST_P(ResponseTest, AStreamIsChunked) {
  RULES("4.4.3.5 4.4.3.6 4.4.3.7 4.4.3.8 4.4.3.12 4.4.6.1 4.4.6.2 4.4.6.3");
  NODE_TEST("http-chunked http-content-length http-zero-length-write http-zerolengthbuffer "
            "http-write-empty-string");
  constexpr std::string_view kChunked = OK KEPT "Transfer-Encoding: chunked\r\n\r\n";
  const std::string head(kChunked);
  const std::string many(0xabc, 'x');
  EXPECT_EQ(kept([&](Response& response) {
              response.write("hello");
              response.write("");
              response.write(Buffer());
              response.write(Buffer::copy(many));
              response.write("\xe4\xb8\xad");
              response.end("end");
            }),
            head + "5\r\nhello\r\nabc\r\n" + many + "\r\n3\r\n\xe4\xb8\xad\r\n3\r\nend\r\n"
                   "0\r\n\r\n");
  EXPECT_EQ(kept([](Response& response) {
              response.write("");
              response.end();
            }),
            head + "0\r\n\r\n");
  EXPECT_EQ(kept([](Response& response) {
              EXPECT_TRUE(response.write_head(200));
              response.end("x");
            }),
            head + "1\r\nx\r\n0\r\n\r\n");
  EXPECT_EQ(kept([](Response& response) {
              EXPECT_TRUE(response.flush_headers());
              response.end();
            }),
            head + "0\r\n\r\n");
  EXPECT_EQ(kept([](Response& response) {
              response.remove_header("Content-Length");
              response.end("x");
            }),
            head + "1\r\nx\r\n0\r\n\r\n");
}

TEST_P(ResponseTest, TheUsersFramingIsSentAsItIs) {
  RULES("4.4.3.1 4.4.3.2");
  NODE_TEST("http-content-length http-automatic-headers");
  EXPECT_EQ(kept([](Response& response) {
              response.set_header("content-length", "5");
              response.write("he");
              response.end("llo");
            }),
            OK "content-length: 5\r\n" KEPT "\r\nhello");
  EXPECT_EQ(kept([](Response& response) {
              EXPECT_TRUE(response.write_head(200, {{"Content-Length", "5"}}));
              response.end("hello");
            }),
            OK "Content-Length: 5\r\n" KEPT "\r\nhello");
  EXPECT_EQ(kept([](Response& response) {
              response.set_header("transfer-encoding", "Chunked");
              response.end("hello");
            }),
            OK "transfer-encoding: Chunked\r\n" KEPT "\r\n5\r\nhello\r\n0\r\n\r\n");
}

TEST_P(ResponseTest, WithoutFramingTheConnectionEndsTheBody) {
  RULES("4.4.3.11");
  NODE_TEST("http-no-content-length http-remove-header-stays-removed");
  EXPECT_EQ(last([](Response& response) {
              response.remove_header("Transfer-Encoding");
              response.write("hel");
              response.end("lo");
            }),
            OK "Connection: close\r\n\r\nhello");
}

TEST_P(ResponseTest, Http10GetsNoChunks) {
  RULES("4.4.3.9 4.4.3.10 4.4.3.13");
  NODE_TEST("http-1.0 http-1.0-keep-alive http-wget");
  const auto streams = [](Response& response) {
    response.write("hel");
    response.end("lo");
  };
  const auto ends = [](Response& response) { response.end("hello"); };
  constexpr std::string_view kOld = "GET / HTTP/1.0\r\n\r\n";
  constexpr std::string_view kOldKept = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  EXPECT_EQ(last(streams, kOld), OK "Connection: close\r\n\r\nhello");
  EXPECT_EQ(last(ends, kOld), OK "Connection: close\r\n\r\nhello");
  EXPECT_EQ(last(streams, kOldKept), OK "Connection: close\r\n\r\nhello");
  EXPECT_EQ(kept(ends, kOldKept), OK KEPT "Content-Length: 5\r\n\r\nhello");
  EXPECT_EQ(kept(
                [](Response& response) {
                  response.set_header("Content-Length", "5");
                  response.write("hello");
                  response.end();
                },
                kOldKept),
            OK "Content-Length: 5\r\n" KEPT "\r\nhello");
}

TEST_P(ResponseTest, FieldsHaveTheirOrder) {
  RULES("4.4.4.1");
  NODE_TEST("http-date-header http-automatic-headers");
  handler_ = [](Response& response) {
    response.set_header("Zulu", "1");
    response.set_header("Alpha", "2");
    response.end("x");
  };
  std::string all = ask(std::string(kGet).append(kLast));
  const std::size_t date = all.find("Date: ");
  ASSERT_NE(date, all.npos);
  all.replace(date + 6, 29, "D");
  EXPECT_TRUE(all.starts_with(OK "Zulu: 1\r\nAlpha: 2\r\nDate: D\r\n" KEPT
                              "Content-Length: 1\r\n\r\nx" OK))
      << all;
}

// ---- Automatic fields ----

TEST_P(ResponseTest, DateIsNow) {
  RULES("4.4.5.1 4.4.5.2 4.4.5.3");
  NODE_TEST("http-date-header");
  const auto date = [&](const Handler& handler) {
    handler_ = handler;
    const std::string all = ask(std::string(kGet).append(kLast));
    const std::size_t at = all.find("ate: ");
    return at < all.find("\r\n\r\n") ? all.substr(at + 5, all.find("\r\n", at) - at - 5) : "none";
  };
  const std::string now = date([](Response& response) { response.end(); });
  EXPECT_TRUE(!simulated() || now == "Sun, 06 Nov 1994 08:49:37 GMT") << now;
  EXPECT_EQ(now.size(), 29U);
  EXPECT_TRUE(now.ends_with(" GMT")) << now;
  EXPECT_EQ(date([](Response& response) {
              response.set_send_date(false);
              response.end();
            }),
            "none");
  EXPECT_EQ(date([](Response& response) {
              response.set_header("date", "foo");
              response.end();
            }),
            "foo");
  start({.send_date = false});
  EXPECT_EQ(date([](Response& response) { response.end(); }), "none");
}

TEST_P(ResponseTest, RemovedHeadersStayRemoved) {
  RULES("4.4.5.8");
  NODE_TEST("http-remove-header-stays-removed");
  handler_ = [](Response& response) {
    for (const std::string_view name : {"Date", "CONNECTION", "Content-Length"}) {
      response.set_header(name, "1");
      response.remove_header(name);
    }
    response.remove_header("transfer-encoding");
    response.end("beep boop");
  };
  EXPECT_EQ(ask(kGet), OK "\r\nbeep boop");
  EXPECT_EQ(kept([](Response& response) {
              response.remove_header("Connection");
              response.end("x");
            }),
            OK "Content-Length: 1\r\n\r\nx");
}

TEST_P(ResponseTest, KeepAliveSaysHowLongAndHowOften) {
  RULES("4.4.5.4 4.4.5.5 4.4.5.10");
  NODE_TEST("http-keep-alive-timeout http-keep-alive-timeout-custom "
            "http-keep-alive-max-requests");
  using namespace std::chrono_literals;
  const auto ends = [](Response& response) { response.end(); };
  start({.keep_alive_timeout = 62s});
  EXPECT_EQ(kept(ends), OK "Connection: keep-alive\r\nKeep-Alive: timeout=62\r\n"
                           "Content-Length: 0\r\n\r\n");
  start({.keep_alive_timeout = 0s});
  EXPECT_EQ(kept(ends), OK "Connection: keep-alive\r\nContent-Length: 0\r\n\r\n");
  start({.requests_per_socket_max = 3});
  handler_ = ends;
  EXPECT_EQ(answer(std::string(kGet).append(kGet).append(kGet)),
            OK "Connection: keep-alive\r\nKeep-Alive: timeout=5, max=2\r\nContent-Length: 0\r\n\r\n"
            OK "Connection: keep-alive\r\nKeep-Alive: timeout=5, max=1\r\nContent-Length: 0\r\n\r\n"
            OK "Connection: close\r\nContent-Length: 0\r\n\r\n");
}

TEST_P(ResponseTest, EitherSideMayClose) {
  RULES("4.4.5.6 4.4.5.7 4.4.5.9");
  NODE_TEST("http-keep-alive-close-on-header http-automatic-headers");
  const auto ends = [](Response& response) { response.end("x"); };
  EXPECT_EQ(last(ends, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n"),
            OK "Connection: close\r\nContent-Length: 1\r\n\r\nx");
  EXPECT_EQ(last([](Response& response) {
              response.set_header("Connection", "close");
              response.end("x");
            }),
            OK "Connection: close\r\nContent-Length: 1\r\n\r\nx");
  EXPECT_EQ(kept([](Response& response) {
              response.set_header("connection", "keep-alive");
              response.set_header("Keep-Alive", "timeout=9");
              response.end("x");
            }),
            OK "connection: keep-alive\r\nKeep-Alive: timeout=9\r\nContent-Length: 1\r\n\r\nx");
}

// ---- Trailers ----

TEST_P(ResponseTest, TrailersFollowChunks) {
  RULES("4.4.3.8 4.4.6.4 4.4.6.5");
  NODE_TEST("http-set-trailers");
  const auto trails = [](Response& response) {
    EXPECT_TRUE(response.set_trailer("x-foo", "bar"));
    EXPECT_TRUE(response.set_trailer("X-Two", "2"));
    response.end("x");
  };
  EXPECT_EQ(kept([&](Response& response) {
              response.set_header("Trailer", "x-foo");
              trails(response);
            }),
            OK "Trailer: x-foo\r\n" KEPT
               "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-foo: bar\r\nX-Two: 2\r\n\r\n");
  EXPECT_EQ(kept([&](Response& response) {
              response.write("y");
              trails(response);
            }),
            OK KEPT "Transfer-Encoding: chunked\r\n\r\n1\r\ny\r\n1\r\nx\r\n0\r\nx-foo: bar\r\n"
                    "X-Two: 2\r\n\r\n");
  EXPECT_EQ(kept(trails), OK KEPT "Content-Length: 1\r\n\r\nx");
  EXPECT_EQ(last(trails, "GET / HTTP/1.0\r\n\r\n"), OK "Connection: close\r\n\r\nx");
}

TEST_P(ResponseTest, TrailersNeedChunks) {
  RULES("4.4.6.6 4.4.6.7");
  NODE_TEST("http-server-de-chunked-trailer");
  EXPECT_EQ(kept([](Response& response) {
              response.set_header("Trailer", "X");
              EXPECT_EQ(name_of(response.write_head(200, {{"Content-Length", "0"}})),
                        "ERR_HTTP_TRAILER_INVALID");
              EXPECT_FALSE(response.headers_sent());
              for (const std::string_view name : {"Content-Length", "transfer-encoding", "Host",
                                                  "Authorization", "Content-Type"}) {
                EXPECT_EQ(name_of(response.set_trailer(name, "1")), "ERR_HTTP_TRAILER_INVALID");
              }
              EXPECT_EQ(name_of(response.set_trailer("a b", "1")), "ERR_INVALID_HTTP_TOKEN");
              EXPECT_EQ(name_of(response.set_trailer("a", "1\n")), "ERR_INVALID_CHAR");
              response.remove_header("Trailer");
              response.remove_header("Content-Length");
              response.end("x");
            }),
            OK KEPT "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
  EXPECT_EQ(last([](Response& response) {
              response.set_header("Trailer", "X");
              response.set_header("Content-Length", "1");
              response.end("x");
            }),
            kRefused);
  EXPECT_EQ(unhandled(), "ERR_HTTP_TRAILER_INVALID");
}

// ---- No body ----

TEST_P(ResponseTest, SomeAnswersHaveNoBody) {
  RULES("4.4.7.1 4.4.7.2 4.4.7.3 4.4.7.4 4.4.7.7 4.4.7.8");
  NODE_TEST("http-head-request http-head-response-has-no-body "
            "http-head-response-has-no-body-end http-chunked-304 http-allow-req-after-204-res");
  int calls = 0;
  const auto writes = [&](int status) {
    return [&, status](Response& response) {
      response.set_status(status);
      const auto done = [&](Response&, std::error_code code) { calls += code ? 100 : 1; };
      EXPECT_EQ(response.write("data", done), Write::ok);
      EXPECT_EQ(response.end("more", done), Write::ok);
    };
  };
  const auto ends = [](int status) {
    return [status](Response& response) {
      response.set_status(status);
      response.end("more");
    };
  };
  EXPECT_EQ(kept(writes(200), kHead), OK KEPT "\r\n");
  EXPECT_EQ(kept(ends(200), kHead), OK KEPT "\r\n");
  EXPECT_EQ(kept(writes(204)), "HTTP/1.1 204 No Content\r\n" KEPT "\r\n");
  EXPECT_EQ(kept(ends(204)), "HTTP/1.1 204 No Content\r\n" KEPT "\r\n");
  EXPECT_EQ(kept(writes(304)), "HTTP/1.1 304 Not Modified\r\n" KEPT "\r\n");
  EXPECT_EQ(kept(ends(304)), "HTTP/1.1 304 Not Modified\r\n" KEPT "\r\n");
  EXPECT_EQ(kept(ends(205)),
            "HTTP/1.1 205 Reset Content\r\n" KEPT "Content-Length: 0\r\n\r\n");
  EXPECT_EQ(calls, 6);
  EXPECT_EQ(unhandled(), "");
}

TEST_P(ResponseTest, TheUsersFramingOfNoBody) {
  RULES("4.4.7.5 4.4.7.6");
  NODE_TEST("http-allow-content-length-304 http-chunked-304 http-head-request");
  const auto with = [](int status, std::string_view name, std::string_view value) {
    return [=](Response& response) {
      response.set_status(status);
      response.set_header(name, value);
      response.end("data");
    };
  };
  EXPECT_EQ(kept(with(200, "Content-Length", "9"), kHead), OK "Content-Length: 9\r\n" KEPT "\r\n");
  EXPECT_EQ(kept(with(304, "Content-Length", "9")),
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n" KEPT "\r\n");
  EXPECT_EQ(kept(with(204, "Content-Length", "9")), "HTTP/1.1 204 No Content\r\n" KEPT "\r\n");
  EXPECT_EQ(kept(with(204, "Transfer-Encoding", "chunked")),
            "HTTP/1.1 204 No Content\r\n" KEPT "\r\n");
  EXPECT_EQ(kept(with(304, "Transfer-Encoding", "chunked")),
            "HTTP/1.1 304 Not Modified\r\n" KEPT "\r\n");
}

// ---- What is refused ----

TEST_P(ResponseTest, NamesAreTokensAndValuesHaveNoControls) {
  RULES("4.4.11.1 4.4.11.2 4.4.11.3 4.4.11.7");
  NODE_TEST("http-invalidheaderfield http-header-validators http-response-splitting "
            "http-header-obstext");
  EXPECT_EQ(kept([](Response& response) {
              response.set_header("X", "1");
              for (const auto name : {""sv, "a b"sv, "a:"sv, "a\r\nb"sv, "\xe9"sv, "a\0"sv}) {
                EXPECT_EQ(name_of(response.set_header(name, "v")), "ERR_INVALID_HTTP_TOKEN");
                EXPECT_EQ(name_of(response.append_header(name, "v")), "ERR_INVALID_HTTP_TOKEN");
              }
              for (const auto value : {"foo \r\nSet-Cookie: foo=bar"sv, "\r\n"sv, "a\n"sv, "a\rb"sv,
                                       "a\0b"sv, "a\x7f"sv, "\x1b"sv}) {
                EXPECT_EQ(name_of(response.set_header("X", value)), "ERR_INVALID_CHAR");
                EXPECT_EQ(name_of(response.append_header("X", value)), "ERR_INVALID_CHAR");
                EXPECT_EQ(name_of(response.set_header("X", {"fine", value})), "ERR_INVALID_CHAR");
              }
              EXPECT_EQ(name_of(response.write_head(200, {{"X Y", "v"}})),
                        "ERR_INVALID_HTTP_TOKEN");
              EXPECT_EQ(name_of(response.write_head(200, {{"X", "v\r\nY: z"}})),
                        "ERR_INVALID_CHAR");
              EXPECT_FALSE(response.headers_sent());
              response.append_header("X", "a\tb \x80\xff");
              response.end();
            }),
            OK "X: 1\r\nX: a\tb \x80\xff\r\n" KEPT "Content-Length: 0\r\n\r\n");
}

TEST_P(ResponseTest, AStatusHasThreeDigitsAndIsFinal) {
  RULES("4.4.11.5");
  NODE_TEST("http-response-statuscode");
  EXPECT_EQ(kept([](Response& response) {
              for (const int status : {-1, 0, 99, 100, 102, 103, 199, 1000, 20000}) {
                EXPECT_EQ(name_of(response.set_status(status)), "ERR_HTTP_INVALID_STATUS_CODE");
                EXPECT_EQ(name_of(response.write_head(status)), "ERR_HTTP_INVALID_STATUS_CODE");
              }
              EXPECT_EQ(response.status(), 200);
              response.end();
            }),
            OK KEPT "Content-Length: 0\r\n\r\n");
}

TEST_P(ResponseTest, AReasonHasNoControls) {
  RULES("4.4.11.6 4.4.11.7");
  NODE_TEST("http-status-reason-invalid-chars");
  EXPECT_EQ(kept([](Response& response) {
              for (const auto reason : {"OK\r\nContent-Type: text/html\r\n"sv, "a\0"sv, "\n"sv}) {
                EXPECT_EQ(name_of(response.set_status(201, reason)), "ERR_INVALID_CHAR");
                EXPECT_EQ(name_of(response.write_head(201, reason)), "ERR_INVALID_CHAR");
              }
              response.set_status(200, "Fine \xe9");
              response.end();
            }),
            "HTTP/1.1 200 Fine \xe9\r\n" KEPT "Content-Length: 0\r\n\r\n");
}

TEST_P(ResponseTest, FieldsHaveBounds) {
  RULES("4.4.11.8");
  const auto answered = kept([](Response& response) {
    int lines = 0;
    while (lines < 2'000 && response.append_header("a", "b")) ++lines;
    EXPECT_EQ(lines, 1'000);
    EXPECT_EQ(name_of(response.append_header("a", "b")), "ERR_OUT_OF_RANGE");
    response.remove_header("a");
    EXPECT_EQ(name_of(response.set_header("big", std::string(64 * 1024, 'x'))),
              "ERR_OUT_OF_RANGE");
    EXPECT_TRUE(response.set_header("big", std::string(32 * 1024, 'x')));
    response.end();
  });
  EXPECT_EQ(answered.size(),
            std::string_view(OK "big: \r\n" KEPT "Content-Length: 0\r\n\r\n").size() + 32 * 1024);
}

TEST_P(ResponseTest, AHeadThatCannotBeIsThe500OfTheServer) {
  RULES("4.4.11.9 4.4.10.6");
  std::string told;
  EXPECT_EQ(last([&](Response& response) {
              response.on_error([&](Response&, const Error& error) {
                told += weir::name_of(error.code);
              });
              response.set_header("Content-Length", "5");
              response.set_header("Transfer-Encoding", "chunked");
              response.set_header("X-Secret", "1");
              EXPECT_EQ(response.end("hello"), Write::closed);
              EXPECT_EQ(told, "") << "not inside the call";
            }),
            kRefused);
  EXPECT_EQ(told, "ERR_INVALID_ARG_VALUE");
  EXPECT_EQ(unhandled(), "");
  EXPECT_EQ(last([&](Response& response) {
              response.set_header("Content-Length", "-5");
              response.write("hello");
              response.end();
            }),
            kRefused);
  EXPECT_TRUE(unhandled().starts_with("ERR_INVALID_ARG_VALUE"));
}

// ---- The end of the server ----

TEST_P(ResponseTest, TheServerMayGoInAnyListener) {
  RULES("4.4.9.20");
  int place = 0;
  int reached = 0;
  // True where the server goes, and the handler has nothing any more.
  const auto goes = [&](int here) {
    EXPECT_EQ(reached, 0) << "called after the server was gone in place " << place;
    if (here != place) return false;
    ++reached;
    server_.reset();
    return true;
  };
  for (; place < 8; ++place) {
    reached = 0;
    start({});
    handler_ = [&](Response& response) {
      EXPECT_EQ(reached, 0) << place;
      Request& request = response.request();
      request.on_data([&](Request&, Buffer) { goes(0); });
      request.on_end([&](Request&) { goes(1); });
      request.on_close([&](Request&) { goes(2); });
      response.on_finish([&](Response&) { goes(3); });
      response.on_close([&](Response&) { goes(4); });
      if (goes(5)) return;
      response.write("a", [&](Response&, std::error_code) { goes(6); });
      response.end("b", [&](Response&, std::error_code) { goes(7); });
    };
    const std::string post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    ask(post + post);
    EXPECT_EQ(reached, 1) << place;
  }
}

WEIR_ON_ALL_BACKENDS(ResponseTest);

}  // namespace
}  // namespace weir::test
