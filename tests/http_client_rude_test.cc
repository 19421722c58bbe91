// Answers that no server should give: each ends in an error of its own, soon, and before much was
// read.
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string>
#include <string_view>

#include "tests/http_client_world.h"

namespace weir::test {
namespace {

struct Rude {
  std::string_view name;
  std::string_view answer;
  std::string_view code;
};

// Heads: there is no response.
constexpr Rude kFraming[] = {
    {"length and coding", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
     "HPE_INVALID_TRANSFER_ENCODING"},
    {"coding and length", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
     "HPE_INVALID_TRANSFER_ENCODING"},
    {"two equal lengths", "Content-Length: 3\r\nContent-Length: 3\r\n",
     "HPE_UNEXPECTED_CONTENT_LENGTH"},
    {"two other lengths", "Content-Length: 3\r\ncontent-length: 4\r\n",
     "HPE_UNEXPECTED_CONTENT_LENGTH"},
    {"a list of lengths", "Content-Length: 3, 3\r\n", "HPE_INVALID_CONTENT_LENGTH"},
    {"a negative length", "Content-Length: -1\r\n", "HPE_INVALID_CONTENT_LENGTH"},
    {"a length with a plus", "Content-Length: +3\r\n", "HPE_INVALID_CONTENT_LENGTH"},
    {"an empty length", "Content-Length:\r\n", "HPE_INVALID_CONTENT_LENGTH"},
    {"a length in hex", "Content-Length: 0x3\r\n", "HPE_INVALID_CONTENT_LENGTH"},
    {"a length with a blank", "Content-Length: 3 3\r\n", "HPE_INVALID_CONTENT_LENGTH"},
    {"a length with leading zeros", "Content-Length: 003\r\n", "HPE_INVALID_CONTENT_LENGTH"},
    {"a length of 2^64", "Content-Length: 18446744073709551616\r\n",
     "HPE_INVALID_CONTENT_LENGTH"},
    {"a length without end", "Content-Length: 99999999999999999999999999999999\r\n",
     "HPE_INVALID_CONTENT_LENGTH"},
    {"a coding that is unknown", "Transfer-Encoding: gzip\r\n", "HPE_INVALID_TRANSFER_ENCODING"},
    {"a coding before chunked", "Transfer-Encoding: gzip, chunked\r\n",
     "HPE_INVALID_TRANSFER_ENCODING"},
    {"a coding behind chunked", "Transfer-Encoding: chunked, gzip\r\n",
     "HPE_INVALID_TRANSFER_ENCODING"},
    {"chunked twice", "Transfer-Encoding: chunked, chunked\r\n", "HPE_INVALID_TRANSFER_ENCODING"},
    {"chunked in two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
     "HPE_INVALID_TRANSFER_ENCODING"},
    {"an empty coding", "Transfer-Encoding:\r\n", "HPE_INVALID_TRANSFER_ENCODING"},
    {"a length that only looks so", "Content_Length: 3\r\n", "HPE_INVALID_HEADER_TOKEN"},
    {"a coding that only looks so", "Transfer_Encoding: chunked\r\n", "HPE_INVALID_HEADER_TOKEN"},
};

constexpr Rude kLines[] = {
    {"a bare LF behind a field", "A: b\nC: d\r\n", "HPE_STRICT"},
    {"a bare CR in a field", "A: b\rC: d\r\n", "HPE_STRICT"},
    {"a folded line", "A: b\r\n c\r\n", "HPE_INVALID_HEADER_TOKEN"},
    {"a line folded with a tab", "A: b\r\n\tc\r\n", "HPE_INVALID_HEADER_TOKEN"},
    {"a NUL in a value", std::string_view("A: b\0c\r\n", 8), "HPE_STRICT"},
    {"a NUL in a name", std::string_view("A\0: b\r\n", 7), "HPE_STRICT"},
    {"a control byte", "A: b\x01\r\n", "HPE_STRICT"},
    {"a DEL", "A: b\x7f\r\n", "HPE_STRICT"},
    {"a blank before the colon", "A : b\r\n", "HPE_INVALID_HEADER_TOKEN"},
    {"a blank in the name", "A B: c\r\n", "HPE_INVALID_HEADER_TOKEN"},
    {"no name", ": b\r\n", "HPE_INVALID_HEADER_TOKEN"},
    {"no colon", "A\r\n", "HPE_INVALID_HEADER_TOKEN"},
    {"a name that is no token", "A(B): c\r\n", "HPE_INVALID_HEADER_TOKEN"},
    {"a name beyond ASCII", "\xc3\x84: b\r\n", "HPE_INVALID_HEADER_TOKEN"},
};

constexpr Rude kStarts[] = {
    {"HTTP/0.9", "hello, world\r\n\r\n", "HPE_INVALID_CONSTANT"},
    {"HTML alone", "<html></html>", "HPE_INVALID_CONSTANT"},
    {"another protocol", "SSH-2.0-OpenSSH_9.6\r\n", "HPE_INVALID_CONSTANT"},
    {"Shoutcast", "ICY 200 OK\r\n\r\n", "HPE_INVALID_CONSTANT"},
    {"lower case", "http/1.1 200 OK\r\n\r\n", "HPE_INVALID_CONSTANT"},
    {"an empty line before", "\r\nHTTP/1.1 200 OK\r\n\r\n", "HPE_INVALID_CONSTANT"},
    {"a blank before", " HTTP/1.1 200 OK\r\n\r\n", "HPE_INVALID_CONSTANT"},
    {"a NUL before", std::string_view("\0HTTP/1.1 200 OK\r\n\r\n", 20), "HPE_INVALID_CONSTANT"},
    {"a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HPE_INVALID_CONSTANT"},
    {"HTTP/2", "HTTP/2 200 OK\r\n\r\n", "HPE_INVALID_VERSION"},
    {"HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", "HPE_INVALID_VERSION"},
    {"HTTP/0.9 with a status", "HTTP/0.9 200 OK\r\n\r\n", "HPE_INVALID_VERSION"},
    {"HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n", "HPE_INVALID_VERSION"},
    {"HTTP/1.10", "HTTP/1.10 200 OK\r\n\r\n", "HPE_INVALID_VERSION"},
    {"HTTP/ alone", "HTTP/\r\n\r\n", "HPE_INVALID_VERSION"},
    {"status 99", "HTTP/1.1 99 Low\r\n\r\n", "HPE_INVALID_STATUS"},
    {"status 099", "HTTP/1.1 099 Low\r\n\r\n", "HPE_INVALID_STATUS"},
    {"status 1000", "HTTP/1.1 1000 High\r\n\r\n", "HPE_INVALID_STATUS"},
    {"status abc", "HTTP/1.1 abc OK\r\n\r\n", "HPE_INVALID_STATUS"},
    {"status -20", "HTTP/1.1 -20 OK\r\n\r\n", "HPE_INVALID_STATUS"},
    {"status 20", "HTTP/1.1 20\r\n\r\n", "HPE_INVALID_STATUS"},
    {"status 200OK", "HTTP/1.1 200OK\r\n\r\n", "HPE_INVALID_STATUS"},
    {"no status", "HTTP/1.1\r\n\r\n", "HPE_INVALID_STATUS"},
    {"two blanks before the status", "HTTP/1.1  200 OK\r\n\r\n", "HPE_INVALID_STATUS"},
    {"a bare LF behind the status", "HTTP/1.1 200 OK\n\n", "HPE_STRICT"},
    {"a bare CR in the reason", "HTTP/1.1 200 O\rK\r\n\r\n", "HPE_STRICT"},
    {"a NUL in the reason", std::string_view("HTTP/1.1 200 O\0K\r\n\r\n", 20), "HPE_STRICT"},
};

// Bodies in chunks: the response is there and is cut off.
constexpr Rude kChunks[] = {
    {"no size", "\r\nabc\r\n0\r\n\r\n", "HPE_INVALID_CHUNK_SIZE"},
    {"a size of letters", "xyz\r\n", "HPE_INVALID_CHUNK_SIZE"},
    {"a negative size", "-1\r\na", "HPE_INVALID_CHUNK_SIZE"},
    {"a size with a plus", "+1\r\na", "HPE_INVALID_CHUNK_SIZE"},
    {"a size with 0x", "0x1\r\na", "HPE_INVALID_CHUNK_SIZE"},
    {"a blank before the size", " 1\r\na", "HPE_INVALID_CHUNK_SIZE"},
    {"a size of 17 digits", "10000000000000000\r\n", "HPE_INVALID_CHUNK_SIZE"},
    {"a size of 17 digits with zeros", "00000000000000001\r\na", "HPE_INVALID_CHUNK_SIZE"},
    {"a bare LF behind the size", "1\na\r\n", "HPE_STRICT"},
    {"a bare CR behind the size", "1\rxa\r\n", "HPE_STRICT"},
    {"no end behind the data", "1\r\nab\r\n", "HPE_STRICT"},
    {"a bare LF behind the data", "1\r\na\n0\r\n\r\n", "HPE_STRICT"},
    {"a bare CR behind the data", "1\r\na\rx", "HPE_STRICT"},
    {"a NUL in an extension", std::string_view("1;a\0b\r\na", 8), "HPE_INVALID_CHUNK_EXTENSION"},
    {"a bare LF in an extension", "1;a\nb\r\na", "HPE_STRICT"},
    {"an extension without a name", "1;;\r\na", "HPE_INVALID_CHUNK_EXTENSION"},
    {"Content-Length as a trailer", "0\r\nContent-Length: 1\r\n\r\n", "HPE_INVALID_TRAILER"},
    {"Transfer-Encoding as a trailer", "0\r\nTransfer-Encoding: chunked\r\n\r\n",
     "HPE_INVALID_TRAILER"},
    {"a folded trailer", "0\r\nA: b\r\n c\r\n\r\n", "HPE_INVALID_HEADER_TOKEN"},
    {"a trailer without a name", "0\r\n: b\r\n\r\n", "HPE_INVALID_HEADER_TOKEN"},
    {"a bare LF behind a trailer", "0\r\nA: b\n\r\n", "HPE_STRICT"},
};

class RudeTest : public ClientTest {
 protected:
  // Runs until the request is over, a second at most, and remembers how much its connection has
  // read.
  void finish(const Asked& asked) {
    const Instant began = reactor().now();
    read_ = 0;
    EXPECT_TRUE(run_until([&] {
      const ClientRequest* request = asked.ref.get();
      if (request != nullptr && request->socket() != nullptr) {
        read_ = std::max(read_, request->socket()->bytes_read());
      }
      return asked.over();
    })) << "it hangs: " << asked.events;
    EXPECT_LT(reactor().now() - began, std::chrono::seconds(1));
  }

  void expect_no_response(const Asked& asked, std::string_view code) {
    EXPECT_EQ(asked.events, "socket finish error close");
    EXPECT_EQ(name_of(asked.error.code), code) << asked.error.message();
    expect_gone();
  }
  void expect_cut_off(const Asked& asked, std::string_view code) {
    EXPECT_TRUE(asked.events.starts_with("socket finish response")) << asked.events;
    EXPECT_TRUE(asked.events.ends_with("aborted response-error response-close close"))
        << asked.events;
    EXPECT_EQ(name_of(asked.response_error.code), code) << asked.response_error.message();
    EXPECT_FALSE(asked.complete);
    expect_gone();
  }
  // The server is left at once, and nothing of the connection stays.
  void expect_gone() {
    EXPECT_EQ(agent().stats().sockets, 0u);
    EXPECT_TRUE(run_until_left(peers_.size() - 1));
  }

  // Each answer with this text around it, whole, and again a byte at a time.
  void expect_refused(std::span<const Rude> cases, std::string_view before,
                      std::string_view behind) {
    listen();
    for (const Rude& rude : cases) {
      for (const bool in_bytes : {false, true}) {
        SCOPED_TRACE(std::string(rude.name) + (in_bytes ? ", in bytes" : ""));
        const std::string answer =
            std::string(before).append(rude.answer).append(behind);
        const Asked& asked = ask();
        const std::size_t index = peers_.size();
        ASSERT_TRUE(run_until_head(index));
        if (in_bytes) {
          trickle(answer, index, asked);
        } else {
          say(answer, index);
        }
        finish(asked);
        if (asked.has("response")) {
          expect_cut_off(asked, rude.code);
        } else {
          expect_no_response(asked, rude.code);
        }
        EXPECT_EQ(asked.has("response"), before.find("chunked") != before.npos);
        EXPECT_LE(read_, answer.size());
      }
    }
    EXPECT_EQ(agent().stats().connections, 2 * cases.size());
  }

  // The connection's own turns lie between the bytes.
  void trickle(std::string_view answer, std::size_t index, const Asked& asked) {
    for (std::size_t i = 0; i < answer.size(); ++i) {
      if (asked.over() || peer(index).socket == nullptr) return;
      say(answer.substr(i, 1), index);
      reactor().run_once(reactor().now());
    }
  }

  // An answer that begins so and goes on with this piece for ever, as far as the client reads.
  Asked& ask_endless(std::string_view begin, std::string_view piece) {
    constexpr std::size_t kPumpedMax = 64 << 20;
    listen(false, {.socket = {.queue = {.high_water = 64 * 1024, .low_water = 1024}}});
    Asked& asked = ask();
    EXPECT_TRUE(run_until_head());
    Socket& socket = *peer().socket;
    socket.set_buffer_sizes(0, 64 * 1024);
    while (block_.size() < 16 * 1024) block_ += piece;
    const auto pump = [this](Socket& to) {
      while (pumped_ < kPumpedMax) {
        pumped_ += block_.size();
        if (to.write(block_) != Write::ok) return;
      }
    };
    socket.on_drain(pump);
    say(begin);
    pump(socket);
    finish(asked);
    EXPECT_LE(read_, 512u * 1024) << "of " << pumped_;
    EXPECT_LT(pumped_, 4u << 20);
    return asked;
  }

  std::uint64_t read_ = 0;
  std::size_t pumped_ = 0;
  std::string block_;
};

constexpr std::string_view kOk = "HTTP/1.1 200 OK\r\n";
constexpr std::string_view kOkChunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

// ---- Malformed ----

TEST_P(RudeTest, FramingThatCannotBe) {
  RULES("4.6.13.1 4.6.5.9 4.6.6.6");
  NODE_TEST("http-client-reject-chunked-with-content-length "
            "http-response-multi-content-length http-transfer-encoding-repeated-chunked");
  expect_refused(kFraming, kOk, "\r\nabc");
}

TEST_P(RudeTest, FramingThatCannotBeWithoutABody) {
  RULES("4.6.13.1");
  expect_refused(kFraming, "HTTP/1.1 204 No Content\r\n", "\r\n");
}

TEST_P(RudeTest, CodingsInHttp10) {
  RULES("4.6.13.1");
  constexpr Rude kCase[] = {
      {"chunked", "Transfer-Encoding: chunked\r\n", "HPE_INVALID_TRANSFER_ENCODING"}};
  expect_refused(kCase, "HTTP/1.0 200 OK\r\n", "\r\n0\r\n\r\n");
}

TEST_P(RudeTest, LinesThatAreMalformed) {
  RULES("4.6.13.2 4.6.6.6");
  NODE_TEST("http-client-reject-cr-no-lf");
  expect_refused(kLines, kOk, "Content-Length: 0\r\n\r\n");
  peers_.clear();
  agent_.reset();
  expect_refused(kLines, "HTTP/1.1 103 Hints\r\n", "\r\nHTTP/1.1 200 OK\r\n\r\n");
}

TEST_P(RudeTest, StartsThatAreNone) {
  RULES("4.6.13.3 4.6.6.6");
  NODE_TEST("http-client-parse-error");
  expect_refused(kStarts, "", "");
}

TEST_P(RudeTest, ChunksThatAreMalformed) {
  RULES("4.6.13.4 4.6.6.7");
  NODE_TEST("http-client-parse-error");
  expect_refused(kChunks, kOkChunked, "");
}

// ---- Without end ----

TEST_P(RudeTest, AHeadWithoutEnd) {
  RULES("4.6.13.5");
  NODE_TEST("http-header-overflow http-max-header-size");
  expect_no_response(ask_endless(kOk, "A: 0123456789\r\n"), "HPE_HEADER_OVERFLOW");
}

TEST_P(RudeTest, AFieldWithoutEnd) {
  RULES("4.6.13.5");
  NODE_TEST("http-header-overflow");
  expect_no_response(ask_endless("HTTP/1.1 200 OK\r\nA: ", "x"), "HPE_HEADER_OVERFLOW");
}

TEST_P(RudeTest, AReasonWithoutEnd) {
  RULES("4.6.13.5");
  expect_no_response(ask_endless("HTTP/1.1 200 ", "x"), "HPE_HEADER_OVERFLOW");
}

TEST_P(RudeTest, FieldsWithoutEnd) {
  RULES("4.6.13.5");
  NODE_TEST("http-max-headers-count http-max-http-headers");
  agent_options_.parser.head_bytes_max = 64 << 20;
  expect_no_response(ask_endless(kOk, "A:\r\n"), "HPE_HEADER_OVERFLOW");
}

TEST_P(RudeTest, InterimResponsesWithoutEnd) {
  RULES("4.6.13.6 4.6.4.5");
  NODE_TEST("http-information-headers");
  const Asked& asked = ask_endless("", "HTTP/1.1 102 Wait\r\n\r\n");
  EXPECT_TRUE(asked.events.ends_with("102 error close"));
  EXPECT_EQ(count_of(asked.events, "102"), 64u);
  EXPECT_EQ(name_of(asked.error.code), "ERR_HTTP_TOO_MANY_INTERIM_RESPONSES");
  expect_gone();
}

TEST_P(RudeTest, ExtensionsWithoutEnd) {
  RULES("4.6.13.7");
  expect_cut_off(ask_endless(std::string(kOkChunked) + "1;a=", "b"),
                 "HPE_CHUNK_EXTENSIONS_OVERFLOW");
}

TEST_P(RudeTest, ExtensionsOfManyChunks) {
  RULES("4.6.13.7");
  const Asked& asked = ask_endless(kOkChunked, "1;a=b\r\nx\r\n");
  EXPECT_LT(asked.body.size(), 16u * 1024);
  expect_cut_off(asked, "HPE_CHUNK_EXTENSIONS_OVERFLOW");
}

TEST_P(RudeTest, TrailersWithoutEnd) {
  RULES("4.6.13.8");
  NODE_TEST("http-header-overflow");
  expect_cut_off(ask_endless(std::string(kOkChunked) + "0\r\n", "A: 0123456789\r\n"),
                 "HPE_HEADER_OVERFLOW");
}

TEST_P(RudeTest, ABodyThatIsLargerThanReadBodyTakes) {
  RULES("4.6.13.9 4.6.10.2");
  std::string code;
  listen();
  Asked& asked = ask();
  asked.reads = false;
  asked.request().on_response([&](ClientResponse& response) {
    response.read_body(64 * 1024, [&](ClientResponse&, Expected<std::string_view> body) {
      code = body ? "" : name_of(body.error().code);
    });
  });
  ASSERT_TRUE(run_until_head());
  const std::string chunk = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
  say(std::string(kOkChunked) + chunk + chunk);
  finish(asked);
  EXPECT_EQ(code, "EMSGSIZE");
  EXPECT_TRUE(asked.events.ends_with("aborted response-error response-close close"))
      << asked.events;
  expect_gone();
}

// ---- Cut, or unasked ----

TEST_P(RudeTest, AnAnswerThatIsCutAnywhere) {
  RULES("4.6.6.1 4.6.6.4 4.6.13.10");
  NODE_TEST("http-client-aborted-event http-parser-finish-error");
  const std::string answer =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n";
  const std::size_t head_size = answer.find("\r\n\r\n") + 4;
  listen();
  for (std::size_t cut = 0; cut < answer.size(); ++cut) {
    SCOPED_TRACE(cut);
    const Asked& asked = ask();
    ASSERT_TRUE(run_until_head(cut));
    say_and(answer.substr(0, cut), Then::end, cut);
    finish(asked);
    if (cut < head_size) {
      expect_no_response(asked, "ECONNRESET");
    } else {
      expect_cut_off(asked, "ECONNRESET");
    }
  }
}

TEST_P(RudeTest, AnAnswerThatNobodyAskedForOnAnIdleConnection) {
  RULES("4.6.13.11");
  NODE_TEST("http-agent-error-on-idle http-extra-response");
  listen();
  Asked& first = ask();
  ASSERT_TRUE(run_until_head());
  say(kEmptyAnswer);
  ASSERT_TRUE(run_until_over(first));
  EXPECT_EQ(agent().stats().idle, 1u);
  say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
  ASSERT_TRUE(run_until_left());
  EXPECT_EQ(agent().stats().sockets, 0u);
  Asked& second = ask({.target = "/2"});
  ASSERT_TRUE(run_until_head(1));
  EXPECT_FALSE(second.reused);
  say(kEmptyAnswer, 1);
  ASSERT_TRUE(run_until_over(second));
  EXPECT_EQ(second.events, kWhole);
  EXPECT_EQ(second.body, "");
}

TEST_P(RudeTest, AnAnswerThatComesBeforeItsRequest) {
  RULES("4.6.13.12");
  listen();
  raw_->on_connection([](Socket& socket) { socket.write(kEmptyAnswer); });
  Asked& asked = begin();
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.events, "socket response end response-close close");
  ASSERT_TRUE(run_until_left());
  EXPECT_EQ(peer().received, "");
  EXPECT_EQ(agent().stats().sockets, 0u);
}

WEIR_ON_ALL_BACKENDS(RudeTest);

}  // namespace
}  // namespace weir::test
