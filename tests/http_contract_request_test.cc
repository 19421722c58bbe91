// The contract, section 4.2: requests as handlers see them. Upgrade, CONNECT and Expect are in
// http_contract_upgrade_test.cc.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/http_world.h"

namespace weir::test {
namespace {

using http::Field;
using http::RequestRef;
using Texts = std::vector<std::string>;

constexpr std::size_t kMega = std::size_t{1} << 20;

// What a request and its response were told, in order; a run of 'data' counts as one.
struct Story {
  std::string order;
  std::string body;

  void note(std::string_view event) {
    if (event == "data" && order.ends_with("data")) return;
    if (!order.empty()) order += ' ';
    order += event;
  }
};

// Everything but 'data', whose listener starts the reading.
void record_all_but_data(Request& request, Story& story) {
  request.on_end([&](Request&) { story.note("end"); });
  request.on_aborted([&](Request&) { story.note("aborted"); });
  request.on_error([&](Request&, const Error& error) { story.note(name_of(error.code)); });
  request.on_close([&](Request&) { story.note("close"); });
}

void record(Request& request, Story& story) {
  request.on_data([&](Request&, Buffer bytes) {
    story.note("data");
    story.body += bytes.view();
  });
  record_all_but_data(request, story);
}

void record(Response& response, Story& story) {
  response.on_finish([&](Response&) { story.note("finish"); });
  response.on_error([&](Response&, const Error& error) { story.note(name_of(error.code)); });
  response.on_close([&](Response&) { story.note("close"); });
}

std::string request_text(std::string_view line, std::string_view fields = {}) {
  return std::string(line) + " HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}

std::string post(std::string_view body) {
  const std::string size = std::to_string(body.size());
  return request_text("POST /", "Content-Length: " + size + "\r\n") + std::string(body);
}

class RequestTest : public HttpTest {
 protected:
  // Asks with a request of these fields and looks at it in its handler.
  void look(std::string_view fields, const std::function<void(const Request&)>& at) {
    bool seen = false;
    serve([&](Request& request, Response& response) {
      seen = true;
      at(request);
      response.end();
    });
    ask(request_text("GET /", std::string(fields) + "Connection: close\r\n"));
    EXPECT_TRUE(seen);
  }

  // True when another request of the connection is answered.
  bool answers_again(HttpClient& client) {
    client.take();
    client.send(request_text("GET /again"));
    return run_until_received(client, "\r\n\r\n") && client.received().starts_with("HTTP/1.1 200");
  }
};

// ---- The head ----

TEST_P(RequestTest, HasMethodTargetAndVersion) {
  RULES("4.2.1.2 4.2.1.3");
  NODE_TEST("http-server-method.query");
  Texts seen;
  serve([&](Request& request, Response& response) {
    seen.push_back(std::string(request.method_text()) + " " + std::string(request.target()) +
                   " 1." + std::to_string(request.version_minor()) + " " +
                   std::string(request.path()) + " " + std::string(request.query()));
    response.end();
  });
  ask("QUERY /a%20b/../c?x=%C3%A9&y=1+2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  ask("DELETE //x?? HTTP/1.0\r\n\r\n");
  ask("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(seen, (Texts{"QUERY /a%20b/../c?x=%C3%A9&y=1+2 1.1 /a%20b/../c x=%C3%A9&y=1+2",
                         "DELETE //x?? 1.0 //x ?", "OPTIONS * 1.1 * "}));
}

TEST_P(RequestTest, FieldsAreAsTheyWereSent) {
  RULES("4.2.1.4 4.2.1.5");
  NODE_TEST("http-raw-headers");
  look("transfer-ENCODING: CHUNKED\r\nx-BaR: yoyoyo\r\nX-bar: 2\r\n", [](const Request& request) {
    Texts lines;
    for (const Field& field : request.fields()) {
      lines.push_back(std::string(field.name) + "=" + std::string(field.value));
    }
    EXPECT_EQ(lines, (Texts{"Host=a", "transfer-ENCODING=CHUNKED", "x-BaR=yoyoyo", "X-bar=2",
                            "Connection=close"}));
    EXPECT_EQ(request.header("X-BAR"), "yoyoyo");
    EXPECT_EQ(request.header("host"), "a");
    EXPECT_EQ(request.header("x-ba"), std::nullopt);
  });
}

TEST_P(RequestTest, BlanksAroundValuesAreNotPartOfThem) {
  RULES("4.2.3.1 4.2.3.2");
  NODE_TEST("http-header-owstext http-blank-header");
  look("A: \t x \t y\t \r\nB:z\r\nC:\r\nD: \t\r\n", [](const Request& request) {
    EXPECT_EQ(request.header("a"), "x \t y");
    EXPECT_EQ(request.header("b"), "z");
    EXPECT_EQ(request.header("c"), "");
    EXPECT_EQ(request.header("d"), "");
  });
}

TEST_P(RequestTest, BytesBeyondAsciiComeAsTheyAre) {
  RULES("4.2.3.3");
  NODE_TEST("http-header-obstext http-server-non-utf8-header");
  look("A: \x80\xe9\xff\r\nB: caf\xc3\xa9\r\n", [](const Request& request) {
    EXPECT_EQ(request.header("a"), "\x80\xe9\xff");
    EXPECT_EQ(request.header("b"), "caf\xc3\xa9");
  });
}

TEST_P(RequestTest, LinesOfANameAreOneValue) {
  RULES("4.2.2.1 4.2.2.2 4.2.2.3 4.2.2.6");
  NODE_TEST("http-server-multiheaders");
  look("Accept: abc\r\nX-Foo: bingo\r\naccept: def\r\nCookie: a=1; b=2\r\nACCEPT: ghi\r\n"
       "Set-Cookie: x=1\r\ncookie: c=3; a=9\r\nset-cookie: y=2\r\n",
       [](const Request& request) {
         EXPECT_EQ(request.combined_header("accept"), "abc, def, ghi");
         EXPECT_EQ(request.combined_header("X-FOO"), "bingo");
         EXPECT_EQ(request.combined_header("none"), std::nullopt);
         EXPECT_EQ(request.combined_header("cookie"), "a=1; b=2; c=3; a=9");
         using Views = std::vector<std::string_view>;
         EXPECT_EQ(request.header_values("SET-cookie"), (Views{"x=1", "y=2"}));
         EXPECT_EQ(request.header_values("Accept"), (Views{"abc", "def", "ghi"}));
         EXPECT_EQ(request.header_values("none"), Views());
         EXPECT_EQ(request.cookie("a"), "1");
         EXPECT_EQ(request.cookie("c"), "3");
         EXPECT_EQ(request.cookie("d"), std::nullopt);
       });
}

TEST_P(RequestTest, OfSomeFieldsTheFirstLineCounts) {
  RULES("4.2.2.4");
  NODE_TEST("http-server-multiheaders2");
  constexpr std::string_view kOnce[] = {
      "Age",           "Authorization",       "ETag",          "Expires",
      "From",          "If-Modified-Since",   "Last-Modified", "If-Unmodified-Since",
      "Location",      "Max-Forwards",        "Referer",       "Proxy-Authorization",
      "Retry-After",   "Server",              "User-Agent"};
  constexpr std::string_view kJoined[] = {"Accept", "Accept-Language", "Allow",  "Cache-Control",
                                          "Pragma", "Vary",            "Via",    "Warning",
                                          "Link",   "X-Forwarded-For", "Origin", "X-Own"};
  std::string fields;
  for (const std::string_view value : {": 1\r\n", ": 2\r\n"}) {
    for (const std::string_view name : kOnce) fields.append(name).append(value);
    for (const std::string_view name : kJoined) fields.append(name).append(value);
  }
  look(fields, [&](const Request& request) {
    for (const std::string_view name : kOnce) {
      EXPECT_EQ(request.combined_header(name), "1") << name;
    }
    for (const std::string_view name : kJoined) {
      EXPECT_EQ(request.combined_header(name), "1, 2") << name;
    }
  });
}

TEST_P(RequestTest, WhatNoTwoReadersMayReadDifferentlyStandsOnce) {
  RULES("4.2.2.5");
  NODE_TEST("http-double-content-length");
  int requests = 0;
  serve([&](Request&, Response& response) {
    ++requests;
    response.end();
  });
  for (const std::string_view twice : {"Host: a\r\n", "Content-Type: a/b\r\nContent-type: a/b\r\n",
                                       "Content-Length: 0\r\nContent-Length: 0\r\n"}) {
    EXPECT_EQ(ask(request_text("GET /", twice)),
              "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        << twice;
  }
  EXPECT_EQ(requests, 0);
}

TEST_P(RequestTest, Http11NeedsAHost) {
  RULES("4.2.8.1 4.2.8.2");
  NODE_TEST("http-request-host-header");
  std::string host = "none";
  serve([&](Request& request, Response& response) {
    host = request.host();
    response.end("hi");
  });
  EXPECT_EQ(ask("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"),
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(host, "none") << "no 'request'";
  EXPECT_EQ(answer("GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi");
  EXPECT_EQ(host, "");
}

TEST_P(RequestTest, WithoutAnyListenerItIsNotFound) {
  RULES("4.2.1.14");
  serve({});
  HttpClient& client = dial();
  client.send(post("unread") + request_text("GET /", "Connection: close\r\n"));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(count_of(client.received(), "HTTP/1.1 404 Not Found\r\n"), 2U) << client.received();
}

TEST_P(RequestTest, KnowsItsConnection) {
  RULES("4.2.1.8");
  int port = 0;
  net::Server* server = nullptr;
  serve([&](Request& request, Response& response) {
    port = request.socket().remote_address().port();
    server = request.socket().server();
    EXPECT_EQ(&request.socket(), &response.socket());
    EXPECT_EQ(&response.request(), &request);
    response.end();
  });
  HttpClient& client = dial();
  client.send(request_text("GET /"));
  ASSERT_TRUE(run_until_received(client, "\r\n\r\n"));
  EXPECT_EQ(port, client.socket().local_address().port());
  EXPECT_EQ(server, &this->server().net());
}

// ---- The body ----

TEST_P(RequestTest, ComesBeforeItsBody) {
  RULES("4.2.1.1 4.2.1.7 4.2.1.11 4.2.4.1 4.2.4.3 4.2.4.9");
  NODE_TEST("http-client-upload-buf http-req-res-close");
  Story story;
  Request* request = nullptr;
  serve([&](Request& incoming, Response& response) {
    request = &incoming;
    EXPECT_EQ(incoming.body_size(), 10U);
    record(incoming, story);
    incoming.on_end([&](Request& ended) {
      EXPECT_TRUE(ended.complete());
      response.end("done");
      EXPECT_EQ(story.order, "data end") << "nothing happens inside the call";
    });
  });
  HttpClient& client = dial();
  client.send(post("0123456789").substr(0, post("0123456789").size() - 10));
  ASSERT_TRUE(run_until([&] { return request != nullptr; }));
  EXPECT_FALSE(request->complete());
  EXPECT_EQ(story.order, "");
  client.send("01234");
  ASSERT_TRUE(run_until([&] { return story.body.size() == 5; }));
  EXPECT_FALSE(request->complete());
  client.send("56789");
  ASSERT_TRUE(run_until([&] { return story.order.ends_with("close"); }));
  EXPECT_EQ(story.order, "data end close");
  EXPECT_EQ(story.body, "0123456789");
  ASSERT_TRUE(run_until_received(client, "done"));
}

TEST_P(RequestTest, ALargeBodyComesWhole) {
  RULES("4.2.4.1");
  NODE_TEST("http-request-large-payload http-client-upload");
  std::string sent(3 * kMega + 17, 'x');
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 7 % 251);
  Story story;
  serve([&](Request& request, Response& response) {
    record(request, story);
    request.on_end([&](Request&) { response.end("thanks"); });
  });
  HttpClient& client = dial();
  client.send(post(sent));
  ASSERT_TRUE(run_until_received(client, "thanks"));
  EXPECT_TRUE(story.body == sent);
  EXPECT_TRUE(story.order.starts_with("data end"));
}

TEST_P(RequestTest, WithoutABodyThereIsNoData) {
  RULES("4.2.4.2");
  NODE_TEST("http-contentLength0 http-request-method-delete-payload");
  std::vector<Story> stories(4);
  std::size_t count = 0;
  serve([&](Request& request, Response& response) {
    Story& story = stories.at(count++);
    record(request, story);
    request.on_end([&](Request&) { response.end(); });
  });
  HttpClient& client = dial();
  client.send(request_text("GET /") + post("") + request_text("DELETE /", "Content-Length: 0\r\n") +
              request_text("DELETE /", "Content-Length: 3\r\n") + "abc");
  ASSERT_TRUE(run_until([&] { return stories[3].order.ends_with("close"); }));
  EXPECT_EQ(stories[0].order, "end close");
  EXPECT_EQ(stories[1].order, "end close");
  EXPECT_EQ(stories[2].order, "end close");
  EXPECT_EQ(stories[3].order, "data end close");
  EXPECT_EQ(stories[3].body, "abc");
}

TEST_P(RequestTest, ChunksAreTakenApartAndTrailersFollow) {
  RULES("4.2.1.6 4.2.1.11 4.2.4.11");
  NODE_TEST("http-set-trailers");
  Story story;
  std::vector<std::size_t> trailers;
  std::string trailer;
  serve([&](Request& request, Response& response) {
    EXPECT_EQ(request.body_size(), std::nullopt);
    trailers.push_back(request.trailers().size());
    record(request, story);
    request.on_end([&](Request& ended) {
      trailers.push_back(ended.trailers().size());
      for (const Field& field : ended.trailers()) {
        trailer.append(field.name).append("=").append(field.value).append(" ");
      }
      response.end();
    });
  });
  HttpClient& client = dial();
  client.send(request_text("POST /", "Transfer-Encoding: chunked\r\n") +
              "5\r\nhello\r\nB;x=y\r\n, and 0\r\n\r\n\r\n0\r\nX-One: 1 \r\nx-two:\r\n\r\n");
  ASSERT_TRUE(run_until([&] { return story.order.ends_with("close"); }));
  EXPECT_EQ(story.body, "hello, and 0\r\n\r\n");
  EXPECT_EQ(story.order, "data end close");
  EXPECT_EQ(trailers, (std::vector<std::size_t>{0, 2}));
  EXPECT_EQ(trailer, "X-One=1 x-two= ");
}

TEST_P(RequestTest, TextNeverEndsWithinACharacter) {
  RULES("4.2.1.10");
  Texts pieces;
  serve([&](Request& request, Response& response) {
    request.set_encoding(net::Encoding::utf8);
    request.on_data([&](Request&, Buffer text) { pieces.emplace_back(text.view()); });
    request.on_end([&](Request&) { response.end(); });
  });
  HttpClient& client = dial();
  const std::string all = post("a\xc3\xa9z\xe2\x82");
  client.send(all.substr(0, all.size() - 4));
  ASSERT_TRUE(run_until([&] { return pieces.size() == 1; }));
  EXPECT_EQ(pieces[0], "a");
  client.send(all.substr(all.size() - 4));
  ASSERT_TRUE(run_until_received(client, "\r\n\r\n"));
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  EXPECT_EQ(text, "a\xc3\xa9z\xef\xbf\xbd");
}

TEST_P(RequestTest, BuffersOfABodyMayBeKept) {
  RULES("4.2.4.10 4.2.1.13");
  std::vector<Buffer> kept;
  RequestRef weak;
  bool closed = false;
  serve([&](Request& request, Response& response) {
    weak = request.weak();
    request.on_data([&](Request&, Buffer bytes) { kept.push_back(std::move(bytes)); });
    request.on_end([&](Request& ended) {
      EXPECT_EQ(weak.get(), &ended);
      response.end();
    });
    request.on_close([&](Request&) { closed = true; });
  });
  HttpClient& client = dial();
  client.send(post("first"));
  ASSERT_TRUE(run_until([&] { return closed; }));
  closed = false;
  client.send(post("later, and longer"));
  ASSERT_TRUE(run_until([&] { return closed; }));
  reactor().run_once(Duration::zero());
  EXPECT_EQ(weak.get(), nullptr);
  std::string all;
  for (const Buffer& buffer : kept) all += buffer.view();
  EXPECT_EQ(all, "firstlater, and longer");
}

// ---- Reading on demand ----

TEST_P(RequestTest, AnUnreadBodyIsDroppedWithTheResponse) {
  RULES("4.2.4.4 4.2.4.12");
  NODE_TEST("http-dump-req-when-res-ends");
  std::vector<Story> stories(3);
  std::size_t count = 0;
  serve([&](Request& request, Response& response) {
    if (request.target() == "/again") return void(response.end());
    record_all_but_data(request, stories.at(count));
    if (count++ == 1) {
      request.on_data([&](Request&, Buffer) { stories[1].note("data"); });
      request.pause();
    }
    response.end("no");
  });
  HttpClient& client = dial();
  client.send(post(std::string(200'000, 'u')));
  ASSERT_TRUE(run_until_received(client, "no"));
  EXPECT_TRUE(answers_again(client));
  client.take();
  client.send(post(std::string(1'000, 'u')));
  ASSERT_TRUE(run_until_received(client, "no"));
  EXPECT_TRUE(answers_again(client));
  EXPECT_EQ(count_of(stories[1].order, "data"), 0U);
  EXPECT_EQ(count_of(stories[0].order, "close"), 1U) << stories[0].order;
  EXPECT_EQ(count_of(stories[1].order, "close"), 1U) << stories[1].order;
}

TEST_P(RequestTest, ALargeUnreadBodyEndsTheConnection) {
  RULES("4.2.4.5");
  serve([](Request&, Response& response) {
    response.set_status(403);
    response.end("too much");
  });
  HttpClient& client = dial();
  client.send(request_text("POST /", "Content-Length: 8388608\r\n"));
  client.socket().write(Buffer::take(std::string(4 * kMega, 'u')));
  client.socket().write(Buffer::take(std::string(4 * kMega, 'u')));
  client.send(request_text("GET /"));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 403 Forbidden\r\n")) << client.received();
  EXPECT_TRUE(client.received().ends_with("too much"));
  EXPECT_EQ(count_of(client.received(), "HTTP/1.1"), 1U);
}

TEST_P(RequestTest, WhatIsNotReadMakesTheClientWait) {
  RULES("4.2.4.6");
  NODE_TEST("http-no-read-no-dump");
  constexpr std::size_t kSize = 24 * kMega;
  Request* unread = nullptr;
  Story story;
  std::size_t received = 0;
  serve([&](Request& request, Response& response) {
    if (request.target() == "/again") return void(response.end());
    unread = &request;
    record_all_but_data(request, story);
    request.on_end([&](Request&) { response.end("all of it"); });
  });
  HttpClient& client = dial();
  client.send(request_text("POST /", "Content-Length: " + std::to_string(kSize) + "\r\n"));
  ASSERT_TRUE(run_until([&] { return unread != nullptr; }));
  ASSERT_EQ(client.socket().write(Buffer::take(std::string(kSize, 'x'))), Write::full);
  HttpClient& other = dial();
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(answers_again(other));
  EXPECT_GT(client.socket().writable_length(), kSize / 2) << "beyond the kernel's buffers";
  EXPECT_LE(unread->socket().bytes_read(), 2 * kMega) << "what was under way already";
  EXPECT_EQ(story.order, "");
  unread->on_data([&](Request&, Buffer bytes) { received += bytes.size(); });
  ASSERT_TRUE(run_until_received(client, "all of it"));
  EXPECT_EQ(received, kSize);
}

TEST_P(RequestTest, NothingComesWhilePaused) {
  RULES("4.2.4.7");
  NODE_TEST("http-pause http-pause-resume-one-end");
  Request* paused = nullptr;
  Story story;
  serve([&](Request& request, Response& response) {
    if (request.target() == "/again") return void(response.end());
    paused = &request;
    record(request, story);
    request.on_data([](Request& own, Buffer) { own.pause(); }, net::Times::once);
    request.on_end([&](Request&) { response.end("done"); });
  });
  HttpClient& client = dial();
  const std::string all = post("firstsecond");
  client.send(all.substr(0, all.size() - 6));
  ASSERT_TRUE(run_until([&] { return story.body == "first"; }));
  client.send("second");
  HttpClient& other = dial();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(answers_again(other));
  EXPECT_TRUE(paused->is_paused());
  EXPECT_EQ(story.body, "first");
  EXPECT_EQ(story.order, "data");
  paused->resume();
  EXPECT_FALSE(paused->is_paused());
  EXPECT_EQ(story.body, "first") << "not inside the call";
  ASSERT_TRUE(run_until_received(client, "done"));
  EXPECT_EQ(story.body, "firstsecond");
  EXPECT_TRUE(story.order.starts_with("data end"));
  EXPECT_EQ(count_of(story.order, "end"), 1U);
}

TEST_P(RequestTest, ResumeWithoutAListenerDropsTheBody) {
  RULES("4.2.4.8");
  Story story;
  serve([&](Request& request, Response& response) {
    record_all_but_data(request, story);
    request.resume();
    request.on_end([&](Request&) { response.end("done"); });
    EXPECT_EQ(story.order, "");
  });
  HttpClient& client = dial();
  client.send(post(std::string(3 * kMega, 'u')));
  ASSERT_TRUE(run_until_received(client, "done"));
  ASSERT_TRUE(run_until([&] { return story.order.ends_with("close"); }));
  EXPECT_EQ(story.order, "end close");
}

// ---- The client vanishes ----

class VanishingTest : public RequestTest {
 protected:
  // A handler that never answers.
  void serve_silence() {
    serve([this](Request& request, Response& response) {
      if (request.target() == "/again") return void(response.end());
      record(request, request_);
      record(response, response_);
      request.on_close([this](Request& closed) {
        aborted_ = closed.aborted();
        complete_ = closed.complete();
      });
      request.on_aborted([this, &response](Request&) {
        late_ = response.write("late", [this](Response&, std::error_code code) {
          late_codes_ += name_of(code);
        });
      });
      ++requests_;
    });
  }
  bool run_until_closed() {
    return run_until([&] {
      return request_.order.ends_with("close") && response_.order.ends_with("close");
    });
  }

  Story request_, response_;
  int requests_ = 0;
  bool aborted_ = false;
  bool complete_ = true;
  Write late_ = Write::ok;
  std::string late_codes_;
};

TEST_P(VanishingTest, AResetWithinABodyAborts) {
  RULES("4.2.5.1 4.2.5.3 4.2.5.4 4.2.5.7");
  NODE_TEST("http-aborted http-conn-reset");
  serve_silence();
  HttpClient& other = dial();
  ASSERT_TRUE(answers_again(other));
  HttpClient& client = dial();
  client.send(request_text("POST /", "Content-Length: 10\r\n") + "12345");
  ASSERT_TRUE(run_until([&] { return request_.body == "12345"; }));
  EXPECT_TRUE(client.socket().reset_and_destroy());
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(request_.order, "data aborted ECONNRESET close");
  EXPECT_EQ(response_.order, "close");
  EXPECT_TRUE(aborted_);
  EXPECT_FALSE(complete_);
  EXPECT_TRUE(answers_again(other));
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(VanishingTest, AFinWithinABodyAborts) {
  RULES("4.2.5.1 4.2.5.3");
  NODE_TEST("http-abort-before-end");
  serve_silence();
  HttpClient& client = dial();
  client.send(request_text("POST /", "Content-Length: 10\r\n") + "12345");
  ASSERT_TRUE(run_until([&] { return request_.body == "12345"; }));
  client.end();
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(request_.order, "data aborted ECONNRESET close");
  EXPECT_EQ(response_.order, "close");
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(client.received(), "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
}

TEST_P(VanishingTest, AResetBeforeTheAnswerAborts) {
  RULES("4.2.5.3 4.2.5.5");
  NODE_TEST("http-response-close");
  serve_silence();
  HttpClient& client = dial();
  client.send(post("all"));
  ASSERT_TRUE(run_until([&] { return request_.order == "data end"; }));
  EXPECT_TRUE(client.socket().reset_and_destroy());
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(request_.order, "data end aborted ECONNRESET close");
  EXPECT_EQ(response_.order, "close");
  EXPECT_TRUE(aborted_);
}

TEST_P(VanishingTest, AllRequestsOfTheConnectionAreAborted) {
  RULES("4.2.5.1 4.2.5.5");
  serve_silence();
  HttpClient& client = dial();
  client.send(request_text("GET /1") + request_text("GET /2") + request_text("GET /3"));
  ASSERT_TRUE(run_until([&] { return requests_ == 3; }));
  EXPECT_TRUE(client.socket().reset_and_destroy());
  ASSERT_TRUE(run_until([&] { return count_of(response_.order, "close") == 3; }));
  EXPECT_EQ(count_of(request_.order, "aborted"), 3U) << request_.order;
  EXPECT_EQ(count_of(request_.order, "close"), 3U) << request_.order;
  EXPECT_EQ(count_of(response_.order, "finish"), 0U) << response_.order;
}

TEST_P(VanishingTest, WithoutListenersNobodyIsTold) {
  RULES("4.2.5.2");
  int bodies = 0;
  serve([&](Request& request, Response&) {
    request.on_data([&](Request&, Buffer) { ++bodies; });
  });
  HttpClient& resetting = dial();
  HttpClient& ending = dial();
  for (HttpClient* client : {&resetting, &ending}) {
    client->send(request_text("POST /", "Content-Length: 10\r\n") + "1");
  }
  ASSERT_TRUE(run_until([&] { return bodies == 2; }));
  EXPECT_TRUE(resetting.socket().reset_and_destroy());
  ending.end();
  ASSERT_TRUE(run_until([&] { return ending.closed() && server().connections() == 0; }));
  EXPECT_TRUE(unhandled_.empty()) << unhandled_[0].message();
}

TEST_P(VanishingTest, WritingToNobodyIsHarmless) {
  RULES("4.2.5.6");
  NODE_TEST("http-server-stale-close");
  serve_silence();
  HttpClient& client = dial();
  client.send(request_text("GET /"));
  ASSERT_TRUE(run_until([&] { return requests_ == 1; }));
  EXPECT_TRUE(client.socket().reset_and_destroy());
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(late_, Write::closed);
  EXPECT_EQ(late_codes_, "ERR_STREAM_DESTROYED");
  EXPECT_EQ(response_.order, "close");
  EXPECT_TRUE(unhandled_.empty());
  EXPECT_TRUE(answers_again(dial()));
}

TEST_P(VanishingTest, AConnectionWithoutARequestIsNobodysRequest) {
  RULES("4.2.5.7");
  NODE_TEST("http-eof-on-connect");
  serve_silence();
  HttpClient& client = dial();
  client.end();
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(client.received(), "");
  EXPECT_EQ(requests_, 0);
  EXPECT_TRUE(answers_again(dial()));
}

TEST_P(VanishingTest, DestroyEndsTheConnection) {
  RULES("4.2.1.9 4.2.4.9");
  std::string inside = "?";
  serve([&](Request& request, Response& response) {
    record(request, request_);
    record(response, response_);
    request.destroy(errno_code(ECANCELED));
    inside = request_.order + response_.order;
  });
  HttpClient& client = dial();
  client.send(post("unread").substr(0, post("unread").size() - 3));
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(inside, "");
  EXPECT_EQ(request_.order, "aborted ECANCELED close");
  EXPECT_EQ(response_.order, "close");
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(client.received(), "");
}

TEST_P(VanishingTest, DestroyTakesTheQueuedRequestsAlong) {
  RULES("4.2.1.9 4.2.5.5");
  NODE_TEST("http-incoming-pipelined-socket-destroy");
  serve([&](Request& request, Response& response) {
    record(request, request_);
    record(response, response_);
    if (++requests_ == 3) request.socket().destroy();
  });
  EXPECT_EQ(ask(request_text("GET /1") + request_text("GET /2") + request_text("GET /3")), "");
  ASSERT_TRUE(run_until([&] { return count_of(response_.order, "close") == 3; }));
  EXPECT_EQ(count_of(request_.order, "close"), 3U) << request_.order;
  EXPECT_EQ(count_of(response_.order, "finish"), 0U);
}

WEIR_ON_ALL_BACKENDS(RequestTest);
WEIR_ON_ALL_BACKENDS(VanishingTest);

}  // namespace
}  // namespace weir::test
