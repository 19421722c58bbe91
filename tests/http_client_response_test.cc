// The contract, section 4.6: responses, their ends, and reading them.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_client_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class ResponseTest : public ClientTest {
 protected:
  // A request whose answer is this; the connection stays open behind it.
  Asked& answered(std::string_view bytes, const RequestOptions& options = {},
                  Then then = Then::keep) {
    peers_.clear();
    agent_.reset();
    listen_and_say(std::string(bytes), then);
    Asked& asked = ask(options);
    EXPECT_TRUE(run_until_over(asked)) << asked.events << " after\n" << bytes;
    return asked;
  }
  std::size_t idle() { return agent().stats().idle; }
};

// ---- Where a body ends ----

TEST_P(ResponseTest, ABodyByItsLength) {
  RULES("4.6.5.1 4.6.5.13");
  NODE_TEST("http-content-length http-response-no-headers");
  Asked& asked = answered("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(asked.events, kWholeWithBody);
  EXPECT_EQ(asked.body, "hello");
  EXPECT_EQ(idle(), 1u);
}

TEST_P(ResponseTest, ALengthOfZeroEndsAtOnce) {
  RULES("4.6.5.10");
  NODE_TEST("http-contentLength0");
  EXPECT_EQ(answered(kEmptyAnswer).events, kWhole);
  EXPECT_EQ(idle(), 1u);
}

TEST_P(ResponseTest, AChunkedBody) {
  RULES("4.6.5.2");
  NODE_TEST("http-chunked http-chunk-problem");
  Asked& asked = answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "1\r\na\r\n00A;x=y\r\n0123456789\r\n0\r\n\r\n");
  EXPECT_EQ(asked.events, kWholeWithBody);
  EXPECT_EQ(asked.body, "a0123456789");
  EXPECT_EQ(idle(), 1u);
}

TEST_P(ResponseTest, ABodyUntilTheConnectionEnds) {
  RULES("4.6.5.3");
  NODE_TEST("http-no-content-length http-1.0 http-response-no-headers");
  for (const std::string_view head : {"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n",
                                      "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n"}) {
    Asked& asked = answered(std::string(head).append("hello"), {}, Then::end);
    EXPECT_EQ(asked.events, kWholeWithBody);
    EXPECT_EQ(asked.body, "hello");
    EXPECT_TRUE(asked.complete);
    EXPECT_EQ(agent().stats().sockets, 0u);
  }
  EXPECT_EQ(answered("HTTP/1.1 200 OK\r\n\r\n", {}, Then::end).events, kWhole);
}

TEST_P(ResponseTest, ToHeadThereIsNoBody) {
  RULES("4.6.5.4");
  NODE_TEST("http-head-request http-head-response-has-no-body "
            "http-head-response-has-no-body-end");
  for (const std::string_view fields : {"Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
                                        "", "Content-Length: 0\r\n"}) {
    Asked& asked = answered("HTTP/1.1 200 OK\r\n" + std::string(fields) + "\r\n",
                            {.method = "HEAD"});
    EXPECT_EQ(asked.events, kWhole);
    EXPECT_EQ(idle(), 1u) << fields;
  }
}

TEST_P(ResponseTest, Of204And304ThereIsNoBody) {
  RULES("4.6.5.5");
  NODE_TEST("http-allow-req-after-204-res http-chunked-304 http-allow-content-length-304");
  for (const std::string_view status : {"204 No Content", "304 Not Modified"}) {
    for (const std::string_view fields :
         {"", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"}) {
      Asked& asked = answered("HTTP/1.1 " + std::string(status) + "\r\n" + std::string(fields) +
                              "\r\n");
      EXPECT_EQ(asked.events, kWhole);
      EXPECT_EQ(idle(), 1u) << status << fields;
    }
  }
}

TEST_P(ResponseTest, BytesBehindACompleteResponseDropTheConnection) {
  RULES("4.6.5.6");
  NODE_TEST("http-extra-response http-client-leaky-with-double-response");
  for (const std::string_view extra :
       {"x", "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}) {
    Asked& asked =
        answered(std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").append(extra));
    EXPECT_EQ(asked.events, kWholeWithBody);
    EXPECT_EQ(asked.body, "hello");
    ASSERT_TRUE(run_until_left());
    EXPECT_EQ(agent().stats().sockets, 0u);
  }
}

TEST_P(ResponseTest, AnAnswerToHeadWithABodyDropsTheConnection) {
  RULES("4.6.5.6 4.6.5.4");
  NODE_TEST("http-head-response-has-no-body-end-implicit-headers");
  Asked& asked = answered("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                          {.method = "HEAD"});
  EXPECT_EQ(asked.events, kWhole);
  EXPECT_EQ(asked.status, 200);
  ASSERT_TRUE(run_until_left());
}

// ---- Whether the connection stays ----

TEST_P(ResponseTest, AConnectionThatStaysIsUsedAgain) {
  RULES("4.6.5.14");
  NODE_TEST("http-keep-alive http-keepalive-client http-keepalive-request");
  listen_and_say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  for (int i = 0; i < 5; ++i) {
    Asked& asked = ask();
    ASSERT_TRUE(run_until_over(asked));
    EXPECT_EQ(asked.events, kWholeWithBody);
    EXPECT_EQ(asked.reused, i != 0);
  }
  EXPECT_EQ(peers_.size(), 1u);
}

TEST_P(ResponseTest, ConnectionCloseEndsIt) {
  RULES("4.6.5.14");
  NODE_TEST("http-keep-alive-close-on-header");
  for (const std::string_view value : {"close", "Close", "x, close", "close, keep-alive"}) {
    Asked& asked = answered("HTTP/1.1 200 OK\r\nConnection: " + std::string(value) +
                            "\r\nContent-Length: 5\r\n\r\nhello");
    EXPECT_EQ(asked.events, kWholeWithBody);
    ASSERT_TRUE(run_until_left());
    EXPECT_EQ(agent().stats().sockets, 0u);
  }
}

TEST_P(ResponseTest, Http10IsNotUsedAgain) {
  RULES("4.6.5.7");
  NODE_TEST("http-1.0");
  for (const std::string_view fields : {"", "Connection: keep-alive\r\n"}) {
    Asked& asked = answered("HTTP/1.0 200 OK\r\n" + std::string(fields) +
                            "Content-Length: 5\r\n\r\nhello");
    EXPECT_EQ(asked.events, kWholeWithBody);
    ASSERT_TRUE(run_until_left());
    EXPECT_EQ(agent().stats().sockets, 0u);
  }
}

// ---- The head ----

TEST_P(ResponseTest, AReasonMayBeMissing) {
  RULES("4.6.5.8");
  NODE_TEST("http-response-status-message");
  for (const std::string_view line : {"HTTP/1.1 299 ", "HTTP/1.1 299"}) {
    Asked& asked = answered(std::string(line).append("\r\nContent-Length: 0\r\n\r\n"));
    EXPECT_EQ(asked.events, kWhole) << asked.error.message();
    EXPECT_EQ(asked.status, 299);
    EXPECT_EQ(asked.reason, "");
  }
  EXPECT_EQ(answered("HTTP/1.1 200 A  \xe4 b\r\nContent-Length: 0\r\n\r\n").reason, "A  \xe4 b");
}

TEST_P(ResponseTest, HasItsFields) {
  RULES("4.6.5.11 4.6.5.13");
  NODE_TEST("http-raw-headers http-set-cookies http-header-owstext http-header-obstext");
  listen_and_say("HTTP/1.0 299 Well\r\nSet-Cookie: a\r\nX-Own:\t b \xe4 \t\r\nset-cookie: c\r\n"
                 "Empty:\r\nAge: 1\r\nAge: 2\r\nX: 1\r\nx: 2\r\nContent-Length: 2\r\n\r\nok");
  Asked& asked = ask();
  bool told = false;
  asked.request().on_response([&](ClientResponse& response) {
    told = true;
    EXPECT_EQ(response.status(), 299);
    EXPECT_EQ(response.reason(), "Well");
    EXPECT_EQ(response.version_minor(), 0);
    EXPECT_EQ(response.fields().size(), 9u);
    EXPECT_EQ(response.fields()[1].name, "X-Own");
    EXPECT_EQ(response.header("x-own"), "b \xe4");
    EXPECT_EQ(response.header("empty"), "");
    EXPECT_EQ(response.header("none"), std::nullopt);
    EXPECT_EQ(response.header_values("Set-Cookie"), (std::vector<std::string_view>{"a", "c"}));
    EXPECT_EQ(response.combined_header("x"), "1, 2");
    EXPECT_EQ(response.combined_header("age"), "1");
    EXPECT_EQ(response.body_size(), 2u);
    EXPECT_FALSE(response.complete());
    EXPECT_TRUE(response.trailers().empty());
  });
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_TRUE(told);
}

TEST_P(ResponseTest, HasItsTrailers) {
  RULES("4.6.5.12");
  NODE_TEST("http-set-trailers http-raw-headers");
  listen_and_say("HTTP/1.1 200 OK\r\nTrailer: A\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "2\r\nok\r\n0\r\nA: 1\r\nB:  2 \r\n\r\n");
  Asked& asked = ask();
  std::string trailers;
  asked.request().on_response([&](ClientResponse& response) {
    EXPECT_EQ(response.body_size(), std::nullopt);
    EXPECT_TRUE(response.trailers().empty());
    response.on_end([&](ClientResponse& same) {
      for (const http::Field& field : same.trailers()) {
        trailers.append(field.name).append("=").append(field.value).append(";");
      }
    });
  });
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.body, "ok");
  EXPECT_EQ(trailers, "A=1;B=2;");
}

TEST_P(ResponseTest, AnyCutOfItIsTheSame) {
  RULES("4.6.5.2 4.6.5.12");
  NODE_TEST("http-parser-multiple-execute");
  const std::string answer =
      "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n";
  listen();
  for (std::size_t cut = 1; cut < answer.size(); ++cut) {
    Asked& asked = ask();
    const std::size_t requests = cut;
    ASSERT_TRUE(run_until([&] {
      return !peers_.empty() && count_of(peer().received, "\r\n\r\n") == requests;
    }));
    say(answer.substr(0, cut));
    settle();
    say(answer.substr(cut));
    ASSERT_TRUE(run_until_over(asked)) << cut;
    EXPECT_EQ(asked.events, kWholeWithBody) << cut;
    EXPECT_EQ(asked.body, "abc") << cut;
  }
  EXPECT_EQ(peers_.size(), 1u);
}

TEST_P(ResponseTest, TheLimitsOfTheAgentHold) {
  RULES("4.6.5.15");
  NODE_TEST("http-max-header-size http-max-headers-count http-max-http-headers");
  agent_options_.parser = {.head_bytes_max = 200, .fields_max = 5};
  const std::string good = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
  EXPECT_EQ(answered(good + "A: " + std::string(200 - good.size() - 7, 'x') + "\r\n\r\n").events,
            kWhole);
  Asked& large = answered(good + "A: " + std::string(200 - good.size() - 6, 'x') + "\r\n\r\n");
  EXPECT_EQ(large.events, "socket finish error close");
  EXPECT_EQ(name_of(large.error.code), "HPE_HEADER_OVERFLOW");
  EXPECT_EQ(answered(good + "A:\r\nB:\r\nC:\r\nD:\r\n\r\n").events, kWhole);
  EXPECT_EQ(name_of(answered(good + "A:\r\nB:\r\nC:\r\nD:\r\nE:\r\n\r\n").error.code),
            "HPE_HEADER_OVERFLOW");
}

TEST_P(ResponseTest, HeadsMayHave16Kib) {
  RULES("4.6.5.15");
  NODE_TEST("http-max-header-size http-header-overflow");
  const std::string good = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: ";
  EXPECT_EQ(answered(good + std::string(16384 - good.size() - 4, 'x') + "\r\n\r\n").events, kWhole);
  Asked& large = answered(good + std::string(16385 - good.size() - 4, 'x') + "\r\n\r\n");
  EXPECT_EQ(name_of(large.error.code), "HPE_HEADER_OVERFLOW");
}

// ---- Reading ----

TEST_P(ResponseTest, TextIsNeverCutInACharacter) {
  RULES("4.6.8.1");
  NODE_TEST("http-client-encoding");
  const std::string text = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80z";
  listen();
  Asked& asked = ask();
  asked.reads = false;
  std::vector<std::string> pieces;
  asked.request().on_response([&](ClientResponse& response) {
    response.set_encoding(net::Encoding::utf8);
    response.on_data([&](ClientResponse&, Buffer bytes) { pieces.emplace_back(bytes.view()); });
  });
  ASSERT_TRUE(run_until_head());
  say("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(text.size()) + "\r\n\r\n");
  for (const char byte : text) {
    say(std::string_view(&byte, 1));
    settle();
  }
  ASSERT_TRUE(run_until_over(asked));
  const std::vector<std::string> whole = {"a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                                          "z"};
  EXPECT_EQ(pieces, whole);
}

TEST_P(ResponseTest, ACharacterThatIsCutOffIsReplaced) {
  RULES("4.6.8.1");
  NODE_TEST("http-client-encoding");
  listen_and_say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na\xc3");
  Asked& asked = ask();
  asked.request().on_response(
      [](ClientResponse& response) { response.set_encoding(net::Encoding::utf8); });
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.body, "a\xef\xbf\xbd");
  Asked& hex = ask();
  hex.request().on_response(
      [](ClientResponse& response) { response.set_encoding(net::Encoding::hex); });
  ASSERT_TRUE(run_until_over(hex));
  EXPECT_EQ(hex.body, "61c3");
}

TEST_P(ResponseTest, ReadBodyGivesAllOfIt) {
  RULES("4.6.10.1");
  listen_and_say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  std::string got;
  bool closed = false;
  const auto request = agent().get(here(), [&](ClientResponse& response) {
    response.read_body(5, [&](ClientResponse& same, Expected<std::string_view> body) {
      EXPECT_TRUE(same.complete());
      got += body ? *body : name_of(body.error().code);
    });
  });
  ASSERT_TRUE(request.has_value());
  (*request)->on_close([&](ClientRequest&) { closed = true; });
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_EQ(got, "abcde");
}

TEST_P(ResponseTest, ReadBodyRefusesALargerOne) {
  RULES("4.6.10.2");
  for (const std::string_view answer :
       {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n"}) {
    agent_.reset();
    peers_.clear();
    listen_and_say(std::string(answer));
    Asked& asked = ask();
    asked.reads = false;
    std::string got;
    asked.request().on_response([&](ClientResponse& response) {
      response.read_body(5, [&](ClientResponse&, Expected<std::string_view> body) {
        got += body ? std::string("body") : std::string(name_of(body.error().code));
      });
    });
    ASSERT_TRUE(run_until_over(asked));
    EXPECT_EQ(got, "EMSGSIZE");
    EXPECT_FALSE(asked.complete);
    EXPECT_TRUE(asked.has("aborted")) << asked.events;
    ASSERT_TRUE(run_until_left());
  }
}

TEST_P(ResponseTest, ReadBodyTellsThatItIsCutOff) {
  RULES("4.6.10.3");
  NODE_TEST("http-client-aborted-event");
  listen_and_say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc", Then::end);
  Asked& asked = ask();
  asked.reads = false;
  std::string got;
  asked.request().on_response([&](ClientResponse& response) {
    response.read_body(50, [&](ClientResponse&, Expected<std::string_view> body) {
      got += body ? std::string("body") : std::string(name_of(body.error().code));
    });
  });
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(got, "ECONNRESET");
}

TEST_P(ResponseTest, PauseHoldsDataBackAndResumeBringsIt) {
  RULES("4.6.10.4");
  NODE_TEST("http-pause http-pause-resume-one-end");
  listen_and_say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
  Asked& asked = ask();
  ClientResponse* paused = nullptr;
  asked.request().on_response([&](ClientResponse& response) {
    response.on_data([&](ClientResponse& same, Buffer) {
      same.pause();
      EXPECT_TRUE(same.is_paused());
      paused = &same;
    });
  });
  ASSERT_TRUE(run_until([&] { return paused != nullptr; }));
  settle();
  EXPECT_EQ(asked.body, "a");
  EXPECT_EQ(asked.events, "socket finish response data");
  std::exchange(paused, nullptr)->resume();
  ASSERT_TRUE(run_until([&] { return paused != nullptr; }));
  EXPECT_EQ(asked.body, "ab");
  settle();
  EXPECT_FALSE(asked.has("end"));
  paused->resume();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kWholeWithBody);
}

TEST_P(ResponseTest, ResumeWithoutAListenerDropsTheBody) {
  RULES("4.6.10.6");
  NODE_TEST("http-pause-no-dump");
  listen_and_say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  Asked& asked = ask();
  asked.reads = false;
  ClientResponse* response = nullptr;
  asked.request().on_response([&](ClientResponse& same) { response = &same; });
  ASSERT_TRUE(run_until([&] { return response != nullptr; }));
  settle();
  EXPECT_EQ(asked.events, "socket finish response");
  response->resume();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, kWhole);
  EXPECT_TRUE(asked.complete);
  EXPECT_EQ(idle(), 1u);
}

TEST_P(ResponseTest, ABodyThatNobodyReadsMakesTheServerWait) {
  RULES("4.6.10.5");
  NODE_TEST("http-no-read-no-dump http-pause");
  constexpr std::size_t kSize = 16 << 20;
  listen();
  Asked& asked = ask();
  asked.reads = false;
  ClientResponse* response = nullptr;
  Socket* connection = nullptr;
  asked.request().on_socket([&](ClientRequest&, Socket& socket) { connection = &socket; });
  asked.request().on_response([&](ClientResponse& same) { response = &same; });
  ASSERT_TRUE(run_until_head());
  peer().socket->set_buffer_sizes(0, 64 * 1024);
  say("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n");
  ASSERT_TRUE(run_until([&] { return response != nullptr; }));
  std::size_t written = 0;
  const auto pump = [&] {
    while (written < kSize) {
      written += 64 * 1024;
      if (peer().socket->write(Buffer::take(std::string(64 * 1024, 'x'))) != Write::ok) return;
    }
  };
  peer().socket->on_drain([&](Socket&) { pump(); });
  pump();
  for (std::uint64_t before = 1; before != connection->bytes_read();) {
    before = connection->bytes_read();
    settle();
  }
  EXPECT_LT(connection->bytes_read(), 1u << 20);
  EXPECT_LT(written, kSize);
  std::size_t got = 0;
  response->on_data([&](ClientResponse&, Buffer bytes) { got += bytes.size(); });
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(got, kSize);
}

TEST_P(ResponseTest, LargeResponsesOfOurServerAreWhole) {
  RULES("4.6.5.1 4.6.5.2");
  NODE_TEST("http-full-response");
  std::string large(3 << 20, '\0');
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 7 % 253);
  http::ServerOptions options;
  options.net.socket.queue.bytes_max = 64 << 20;
  serve([&](Request& request, Response& response) {
    if (request.target() == "/chunks") response.write("");
    response.end(large);
  }, options);
  for (const std::string_view target : {"/sized", "/chunks"}) {
    Asked& asked = ask({.target = target});
    ASSERT_TRUE(run_until_over(asked));
    EXPECT_TRUE(asked.body == large) << asked.body.size();
    EXPECT_EQ(asked.events, kWholeWithBody);
  }
  EXPECT_EQ(agent().stats().connections, 1u);
}

WEIR_ON_ALL_BACKENDS(ResponseTest);

}  // namespace
}  // namespace weir::test
