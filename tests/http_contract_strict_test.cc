// What a client gets on the wire for bytes that are no request, or that could be two: the parser
// refuses (http_framing_test.cc), the server says so, says nothing more, and hangs up.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

using Strings = std::vector<std::string>;

#define BYTES(text) std::string_view(text, sizeof(text) - 1)
#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

constexpr std::string_view kGood = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kGoodAnswer =
    "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n"
    "Content-Length: 4\r\n\r\ngood";
constexpr std::string_view kSmuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

std::string default_answer(int status) {
  struct Line {
    int status;
    std::string_view text;
  };
  constexpr Line kLines[] = {{400, "400 Bad Request"},
                             {414, "414 URI Too Long"},
                             {431, "431 Request Header Fields Too Large"},
                             {501, "501 Not Implemented"},
                             {505, "505 HTTP Version Not Supported"}};
  const Line* line = std::ranges::find(kLines, status, &Line::status);
  return "HTTP/1.1 " + std::string(line->text) + "\r\nConnection: close\r\n\r\n";
}

// Where a case goes wrong: in the head, so that no handler hears of it, or in the body.
enum class Where { head, body };

struct Case {
  std::string_view name;
  std::string_view bytes;
  std::string_view code;
  int status = 400;
};

class StrictTest : public HttpTest {
 protected:
  // GET /good is answered at once, any other when it is complete.
  void start(http::ServerOptions options = {}) {
    serve(
        [this](Request& request, Response& response) {
          targets_.emplace_back(request.target());
          if (request.target() == "/good") {
            response.end("good");
            return;
          }
          request.on_end([&response](Request&) { response.end("accepted"); });
          request.resume();
        },
        options);
    server().on_connection([this](Socket& socket) {
      accepted_ = socket.weak();
      is_accepted_ = true;
    });
  }

  HttpClient& dial_and_wait() {
    is_accepted_ = false;
    HttpClient& client = dial();
    EXPECT_TRUE(run_until([&] { return is_accepted_; }));
    return client;
  }

  // Each piece in a segment of its own: it is written when the server has read the one before.
  void send_in_pieces(HttpClient& client, std::string_view bytes, std::size_t size) {
    std::uint64_t sent = 0;
    while (!bytes.empty() && !client.over()) {
      const std::string_view piece = bytes.substr(0, size);
      client.send(piece);
      bytes.remove_prefix(piece.size());
      sent += piece.size();
      ASSERT_TRUE(run_until([&] {
        const Socket* socket = accepted_.get();
        return client.over() || socket == nullptr || socket->bytes_read() >= sent;
      }));
    }
  }

  // The server's end of it comes with these bytes and no reset, and the client's end closes it.
  void expect_farewell(HttpClient& client, std::string_view answers) {
    const Instant began = reactor().now();
    ASSERT_TRUE(run_until([&] { return client.over(); })) << client.received();
    EXPECT_LT(reactor().now() - began, 2s);
    EXPECT_EQ(without_date(client.received()), answers);
    EXPECT_TRUE(client.ended());
    client.end();
    ASSERT_TRUE(run_until([&] { return client.closed() && server().connections() == 0; }));
    EXPECT_EQ(client.error(), std::error_code());
    EXPECT_EQ(without_date(client.received()), answers) << "something more was answered";
    clients_.clear();
  }

  void expect_refused(const Case& bad, Where where, std::string_view before, std::size_t piece) {
    SCOPED_TRACE(bad.name);
    targets_.clear();
    std::string bytes(before);
    bytes.append(bad.bytes).append(kSmuggled);
    HttpClient& client = dial_and_wait();
    send_in_pieces(client, bytes, piece);
    expect_farewell(client,
                    std::string(before.empty() ? "" : kGoodAnswer) + default_answer(bad.status));
    Strings expected;
    if (!before.empty()) expected.emplace_back("/good");
    if (where == Where::body) expected.emplace_back("/");
    EXPECT_EQ(targets_, expected);
  }

  // The same bytes, and a listener that answers in the place of http.
  void expect_told(const Case& bad) {
    SCOPED_TRACE(bad.name);
    told_.clear();
    HttpClient& client = dial_and_wait();
    client.send(std::string(bad.bytes).append(kSmuggled));
    expect_farewell(client, "mine");
    EXPECT_EQ(told_, Strings{std::string(bad.code) + " " + std::to_string(bad.status)});
  }
  void answer_errors() {
    server().on_client_error([this](const ClientError& error, Socket& socket) {
      EXPECT_FALSE(error.text.empty());
      EXPECT_NE(error.parse_error, http::ParseError::none);
      told_.push_back(std::string(error.code) + " " + std::to_string(error.status));
      socket.end("mine");
    });
  }

  // Alone; behind a good request; that again, a byte a segment; and with a listener.
  template <std::size_t count>
  void refuse_all(const Case (&cases)[count], Where where) {
    start();
    for (const Case& bad : cases) expect_refused(bad, where, "", std::string::npos);
    for (const Case& bad : cases) expect_refused(bad, where, kGood, std::string::npos);
    for (const Case& bad : cases) expect_refused(bad, where, kGood, 1);
    answer_errors();
    for (const Case& bad : cases) expect_told(bad);
  }

  // What a complete request gets, and the connection stays.
  void expect_accepted(std::string_view bytes) {
    SCOPED_TRACE(bytes);
    HttpClient& client = dial_and_wait();
    client.send(bytes);
    ASSERT_TRUE(run_until_received(client, "accepted"));
    EXPECT_TRUE(client.received().starts_with("HTTP/1.1 200 OK\r\n")) << client.received();
    client.take();
    client.send(kGood);
    EXPECT_TRUE(run_until([&] { return without_date(client.received()) == kGoodAnswer; }))
        << client.received();
    clients_.clear();
  }

  Strings targets_;
  Strings told_;
  net::SocketRef accepted_;
  bool is_accepted_ = false;
};

WEIR_ON_ALL_BACKENDS(StrictTest);

// ---- Lengths ----

constexpr std::string_view kBadLength = "HPE_INVALID_CONTENT_LENGTH";
constexpr std::string_view kTwoLengths = "HPE_UNEXPECTED_CONTENT_LENGTH";
constexpr std::string_view kBadCoding = "HPE_INVALID_TRANSFER_ENCODING";
constexpr std::string_view kBadToken = "HPE_INVALID_HEADER_TOKEN";

constexpr Case kLengths[] = {
    {"length and coding", BYTES(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
     kBadCoding},
    {"coding and length", BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
     kBadCoding},
    {"length 0 and coding",
     BYTES(POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), kBadCoding},
    {"length and unknown coding", BYTES(POST "Content-Length: 5\r\nTransfer-Encoding: x\r\n\r\n"),
     kBadCoding},
    {"length and an empty coding", BYTES(POST "Content-Length: 5\r\nTransfer-Encoding:\r\n\r\n"),
     kBadCoding},
    {"two lengths", BYTES(POST "Content-Length: 0\r\nContent-Length: 43\r\n\r\n"), kTwoLengths},
    {"two equal lengths", BYTES(POST "Content-Length: 0\r\ncontent-length: 0\r\n\r\n"),
     kTwoLengths},
    {"a list", BYTES(POST "Content-Length: 0, 43\r\n\r\n"), kBadLength},
    {"a list of equal ones", BYTES(POST "Content-Length: 0, 0\r\n\r\n"), kBadLength},
    {"a comma behind", BYTES(POST "Content-Length: 0,\r\n\r\n"), kBadLength},
    {"empty", BYTES(POST "Content-Length:\r\n\r\n"), kBadLength},
    {"blanks only", BYTES(POST "Content-Length: \t \r\n\r\n"), kBadLength},
    {"a plus", BYTES(POST "Content-Length: +5\r\n\r\n"), kBadLength},
    {"a minus", BYTES(POST "Content-Length: -5\r\n\r\n"), kBadLength},
    {"minus zero", BYTES(POST "Content-Length: -0\r\n\r\n"), kBadLength},
    {"a blank between digits", BYTES(POST "Content-Length: 1 0\r\n\r\n"), kBadLength},
    {"a blank behind the sign", BYTES(POST "Content-Length: + 5\r\n\r\n"), kBadLength},
    {"hexadecimal", BYTES(POST "Content-Length: 0x5\r\n\r\n"), kBadLength},
    {"hexadecimal letters", BYTES(POST "Content-Length: a\r\n\r\n"), kBadLength},
    {"an exponent", BYTES(POST "Content-Length: 1e1\r\n\r\n"), kBadLength},
    {"a fraction", BYTES(POST "Content-Length: 5.0\r\n\r\n"), kBadLength},
    {"an underscore", BYTES(POST "Content-Length: 1_0\r\n\r\n"), kBadLength},
    {"quoted", BYTES(POST "Content-Length: \"5\"\r\n\r\n"), kBadLength},
    {"leading zero", BYTES(POST "Content-Length: 05\r\n\r\n"), kBadLength},
    {"two zeros", BYTES(POST "Content-Length: 00\r\n\r\n"), kBadLength},
    {"beyond 64 bits", BYTES(POST "Content-Length: 18446744073709551616\r\n\r\n"), kBadLength},
    {"beyond 64 bits, by a digit", BYTES(POST "Content-Length: 184467440737095516150\r\n\r\n"),
     kBadLength},
    {"Content_Length", BYTES(POST "Content_Length: 5\r\n\r\n"), kBadToken},
    {"length and Content_Length", BYTES(POST "Content-Length: 0\r\nContent_Length: 43\r\n\r\n"),
     kBadToken},
    {"of a GET", BYTES(GET "Content-Length: 0\r\nContent-Length: 43\r\n\r\n"), kTwoLengths},
};

TEST_P(StrictTest, ALengthThatCanBeReadInTwoWaysIsRefused) {
  RULES("4.3.2.11 4.3.2.12 4.3.2.13 4.3.2.14 4.3.2.15 4.3.2.24 4.3.5.1 4.3.5.2 4.3.5.4");
  RULES("4.3.6.1 4.3.6.2 4.3.7.1 4.3.7.2");
  NODE_TEST("http-double-content-length http-request-smuggling-content-length");
  NODE_TEST("http-server-reject-chunked-with-content-length");
  refuse_all(kLengths, Where::head);
}

// ---- Codings ----

constexpr Case kCodings[] = {
    {"gzip before chunked", BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"), kBadCoding,
     501},
    {"gzip before chunked in two fields",
     BYTES(POST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"), kBadCoding, 501},
    {"identity before chunked", BYTES(POST "Transfer-Encoding: identity, chunked\r\n\r\n"),
     kBadCoding, 501},
    {"gzip alone", BYTES(POST "Transfer-Encoding: gzip\r\n\r\n"), kBadCoding},
    {"identity", BYTES(POST "Transfer-Encoding: identity\r\n\r\n"), kBadCoding},
    {"chunked before gzip", BYTES(POST "Transfer-Encoding: chunked, gzip\r\n\r\n"), kBadCoding},
    {"chunked before identity", BYTES(POST "Transfer-Encoding: chunked, identity\r\n\r\n"),
     kBadCoding},
    {"chunked twice", BYTES(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"), kBadCoding},
    {"chunked in two fields",
     BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), kBadCoding},
    {"chunkedchunked", BYTES(POST "Transfer-Encoding: chunkedchunked\r\n\r\n"), kBadCoding},
    {"xchunked", BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n"), kBadCoding},
    {"chunkedx", BYTES(POST "Transfer-Encoding: chunkedx\r\n\r\n"), kBadCoding},
    {"quoted", BYTES(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"), kBadCoding},
    {"a parameter", BYTES(POST "Transfer-Encoding: chunked;a=b\r\n\r\n"), kBadCoding},
    {"a comma before", BYTES(POST "Transfer-Encoding: ,chunked\r\n\r\n"), kBadCoding},
    {"a comma behind", BYTES(POST "Transfer-Encoding: chunked,\r\n\r\n"), kBadCoding},
    {"a blank within", BYTES(POST "Transfer-Encoding: chun ked\r\n\r\n"), kBadCoding},
    {"empty", BYTES(POST "Transfer-Encoding:\r\n\r\n"), kBadCoding},
    {"in HTTP/1.0", BYTES("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
     kBadCoding},
    {"in HTTP/1.0, kept alive",
     BYTES("POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"),
     kBadCoding},
    {"Transfer_Encoding", BYTES(POST "Transfer_Encoding: chunked\r\n\r\n"), kBadToken},
    {"a vertical tab before", BYTES(POST "Transfer-Encoding: \vchunked\r\n\r\n"), "HPE_STRICT"},
    {"a no-break space before",
     BYTES(POST "Transfer-Encoding: \xa0"
                "chunked\r\n\r\n"),
     kBadCoding},
};

TEST_P(StrictTest, ACodingThatIsNotExactlyAFinalChunkedIsRefused) {
  RULES("4.3.1.1 4.3.2.16 4.3.2.17 4.3.2.24 4.3.5.1 4.3.5.2 4.3.5.4 4.3.7.1 4.3.7.2");
  NODE_TEST("http-invalid-te http-transfer-encoding-repeated-chunked");
  NODE_TEST("http-transfer-encoding-smuggling");
  refuse_all(kCodings, Where::head);
}

// ---- Lines ----

constexpr std::string_view kStrict = "HPE_STRICT";

constexpr Case kLines[] = {
    {"LF ends the request line", BYTES("GET / HTTP/1.1\nHost: a\r\n\r\n"), kStrict},
    {"CR ends the request line", BYTES("GET / HTTP/1.1\rHost: a\r\n\r\n"), kStrict},
    {"LF ends a field line", BYTES(GET "X: y\nZ: z\r\n\r\n"), kStrict},
    {"CR ends a field line", BYTES(GET "X: y\rZ: z\r\n\r\n"), kStrict},
    {"CR CR LF ends a field line", BYTES(GET "X: y\r\r\n\r\n"), kStrict},
    {"LF CR ends a field line", BYTES(GET "X: y\n\r\n\r\n"), kStrict},
    {"LF ends the head", BYTES(GET "X: y\r\n\n"), kStrict},
    {"CR ends the head", BYTES(GET "X: y\r\n\r"), kStrict},
    {"LF alone everywhere", BYTES("GET / HTTP/1.1\nHost: a\n\n"), kStrict},
    {"CR within a value", BYTES(GET "X: a\rb\r\n\r\n"), kStrict},
    {"NUL within a value", BYTES(GET "X: a\0b\r\n\r\n"), kStrict},
    {"NUL within a name", BYTES(GET "X\0Y: b\r\n\r\n"), kStrict},
    {"NUL within the target", BYTES("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"), kStrict},
    {"BEL within a value", BYTES(GET "X: a\ab\r\n\r\n"), kStrict},
    {"ESC within the target", BYTES("GET /\x1b[0m HTTP/1.1\r\nHost: a\r\n\r\n"), kStrict},
    {"DEL within a value", BYTES(GET "X: a\x7f\r\n\r\n"), kStrict},
    {"a folded line", BYTES(GET "X: y\r\n z\r\n\r\n"), kBadToken},
    {"a line folded by a tab", BYTES(GET "X: y\r\n\tz\r\n\r\n"), kBadToken},
    {"the first line folded", BYTES("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), kBadToken},
    {"a line of a blank", BYTES(GET " \r\n\r\n"), kBadToken},
    {"a blank before the colon", BYTES(POST "Content-Length : 0\r\n\r\n"), kBadToken},
    {"a tab before the colon", BYTES(POST "Content-Length\t: 0\r\n\r\n"), kBadToken},
    {"a blank within a name", BYTES(POST "Content Length: 0\r\n\r\n"), kBadToken},
    {"no name", BYTES(GET ": x\r\n\r\n"), kBadToken},
    {"no colon", BYTES(GET "X\r\n\r\n"), kBadToken},
    {"a bracket in a name", BYTES(GET "X[Y]: x\r\n\r\n"), kBadToken},
    {"a name that is not ASCII", BYTES(GET "X\xc3\xabY: x\r\n\r\n"), kBadToken},
};

TEST_P(StrictTest, ALineThatOthersEndElsewhereIsRefused) {
  RULES("4.3.2.5 4.3.2.6 4.3.2.7 4.3.2.8 4.3.2.9 4.3.5.1 4.3.5.2 4.3.5.4 4.3.7.1 4.3.7.2");
  NODE_TEST("http-server-reject-cr-no-lf http-missing-header-separator-cr");
  NODE_TEST("http-missing-header-separator-lf http-dummy-characters-smuggling");
  refuse_all(kLines, Where::head);
}

// ---- Request lines ----

constexpr std::string_view kBadMethod = "HPE_INVALID_METHOD";
constexpr std::string_view kBadUrl = "HPE_INVALID_URL";
constexpr std::string_view kNoVersion = "HPE_INVALID_CONSTANT";
constexpr std::string_view kBadVersion = "HPE_INVALID_VERSION";

constexpr Case kRequestLines[] = {
    {"no known method", BYTES("FOO / HTTP/1.1\r\nHost: a\r\n\r\n"), kBadMethod},
    {"a method in lower case", BYTES("get / HTTP/1.1\r\nHost: a\r\n\r\n"), kBadMethod},
    {"a capitalized method", BYTES("Get / HTTP/1.1\r\nHost: a\r\n\r\n"), kBadMethod},
    {"the beginning of a method", BYTES("GE / HTTP/1.1\r\nHost: a\r\n\r\n"), kBadMethod},
    {"a blank first", BYTES(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), kBadMethod},
    {"LF first", BYTES("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), kBadMethod},
    {"a tab behind the method", BYTES("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), kBadMethod},
    {"a TLS handshake", BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), kBadMethod},
    {"the preface of HTTP/2", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), kBadMethod},
    {"nonsense", BYTES("hello world\r\n\r\n"), kBadMethod},
    {"five empty lines", BYTES("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
     kBadMethod},
    {"half an empty line", BYTES("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), kBadMethod},
    {"two blanks", BYTES("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), kBadUrl},
    {"no slash first", BYTES("GET a HTTP/1.1\r\nHost: a\r\n\r\n"), kBadUrl},
    {"an asterisk for GET", BYTES("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), kBadUrl},
    {"a fragment", BYTES("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"), kBadUrl},
    {"a target that is not ASCII", BYTES("GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n"), kBadUrl},
    {"another scheme", BYTES("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"), kBadUrl},
    {"a user name", BYTES("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"), kBadUrl},
    {"CONNECT with a path", BYTES("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"), kBadUrl},
    {"no version", BYTES("GET /\r\n\r\n"), kNoVersion},
    {"a blank in the target", BYTES("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"), kNoVersion},
    {"a blank behind", BYTES("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), kNoVersion},
    {"the version in lower case", BYTES("GET / http/1.1\r\nHost: a\r\n\r\n"), kNoVersion},
    {"three digits", BYTES("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), kNoVersion},
    {"one digit", BYTES("GET / HTTP/1\r\nHost: a\r\n\r\n"), kNoVersion},
    {"another protocol", BYTES("GET / ICY/1.1\r\nHost: a\r\n\r\n"), kNoVersion},
    {"HTTP/2.0", BYTES("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), kBadVersion, 505},
    {"HTTP/1.2", BYTES("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), kBadVersion, 505},
    {"HTTP/0.9", BYTES("GET / HTTP/0.9\r\n\r\n"), kBadVersion, 505},
};

TEST_P(StrictTest, ARequestLineThatIsNoneIsRefused) {
  RULES("4.3.2.1 4.3.2.2 4.3.2.3 4.3.2.4 4.3.2.9 4.3.2.10 4.3.3.1 4.3.5.1 4.3.5.2 4.3.5.4");
  RULES("4.3.7.1 4.3.7.2");
  NODE_TEST("http-header-badrequest");
  refuse_all(kRequestLines, Where::head);
}

// ---- Hosts ----

constexpr std::string_view kBadHost = "HPE_INVALID_HOST";

constexpr Case kHosts[] = {
    {"none", BYTES("GET / HTTP/1.1\r\n\r\n"), "HPE_MISSING_HOST"},
    {"none, but an absolute target", BYTES("GET http://a/ HTTP/1.1\r\n\r\n"), "HPE_MISSING_HOST"},
    {"two", BYTES("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), kBadHost},
    {"two equal ones", BYTES("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"), kBadHost},
    {"two in HTTP/1.0", BYTES("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), kBadHost},
    {"malformed in HTTP/1.0", BYTES("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), kBadHost},
    {"empty", BYTES("GET / HTTP/1.1\r\nHost:\r\n\r\n"), kBadHost},
    {"a list", BYTES("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"), kBadHost},
    {"a list without blanks", BYTES("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n"), kBadHost},
    {"a user name", BYTES("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), kBadHost},
    {"a path", BYTES("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), kBadHost},
    {"a query", BYTES("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"), kBadHost},
    {"a blank", BYTES("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), kBadHost},
    {"a port only", BYTES("GET / HTTP/1.1\r\nHost: :80\r\n\r\n"), kBadHost},
    {"a port of letters", BYTES("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"), kBadHost},
    {"a port too large", BYTES("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"), kBadHost},
    {"an open bracket", BYTES("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), kBadHost},
    {"bytes that are not ASCII", BYTES("GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n"), kBadHost},
    {"two of Content-Type", BYTES(GET "Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n"),
     "HPE_UNEXPECTED_CONTENT_TYPE"},
};

TEST_P(StrictTest, AHostThatIsMissingDoubledOrMalformedIsRefused) {
  RULES("4.3.2.23 4.3.5.1 4.3.5.2 4.3.5.4 4.3.7.1 4.3.7.2");
  NODE_TEST("http-request-host-header");
  refuse_all(kHosts, Where::head);
}

// ---- Chunks ----

constexpr std::string_view kBadSize = "HPE_INVALID_CHUNK_SIZE";
constexpr std::string_view kBadExtension = "HPE_INVALID_CHUNK_EXTENSION";
constexpr std::string_view kBadTrailer = "HPE_INVALID_TRAILER";

constexpr Case kChunks[] = {
    {"an empty size", BYTES(CHUNKED "\r\nhello\r\n0\r\n\r\n"), kBadSize},
    {"0x", BYTES(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n"), kBadSize},
    {"a plus", BYTES(CHUNKED "+5\r\nhello\r\n0\r\n\r\n"), kBadSize},
    {"a minus", BYTES(CHUNKED "-5\r\nhello\r\n0\r\n\r\n"), kBadSize},
    {"a blank before", BYTES(CHUNKED " 5\r\nhello\r\n0\r\n\r\n"), kBadSize},
    {"an underscore", BYTES(CHUNKED "1_0\r\nhello world!!!!!\r\n0\r\n\r\n"), kBadSize},
    {"a letter beyond f", BYTES(CHUNKED "g\r\nhello\r\n0\r\n\r\n"), kBadSize},
    {"17 digits", BYTES(CHUNKED "10000000000000000\r\n"), kBadSize},
    {"17 zeros", BYTES(CHUNKED "00000000000000000\r\n\r\n"), kBadSize},
    {"a bad size behind a good chunk", BYTES(CHUNKED "5\r\nhello\r\nx\r\n\r\n"), kBadSize},
    {"LF behind the size", BYTES(CHUNKED "5\nhello\r\n0\r\n\r\n"), kStrict},
    {"CR behind the size", BYTES(CHUNKED "5\rhello\r\n0\r\n\r\n"), kStrict},
    {"LF behind the data", BYTES(CHUNKED "5\r\nhello\n0\r\n\r\n"), kStrict},
    {"nothing behind the data", BYTES(CHUNKED "5\r\nhello0\r\n\r\n"), kStrict},
    {"data beyond the size", BYTES(CHUNKED "5\r\nhello!!\r\n0\r\n\r\n"), kStrict},
    {"CR and no LF behind the data", BYTES(CHUNKED "5\r\nhello\rX0\r\n\r\n"), kStrict},
    {"LF behind the last size", BYTES(CHUNKED "0\n\r\n"), kStrict},
    {"LF ends the body", BYTES(CHUNKED "0\r\n\n"), kStrict},
    {"a blank behind the size", BYTES(CHUNKED "5 \r\nhello\r\n0\r\n\r\n"), kBadExtension},
    {"a bare semicolon", BYTES(CHUNKED "5;\r\nhello\r\n0\r\n\r\n"), kBadExtension},
    {"LF in an extension", BYTES(CHUNKED "5;a\nhello\r\n0\r\n\r\n"), kStrict},
    {"CR in an extension", BYTES(CHUNKED "5;a\rX\r\nhello\r\n0\r\n\r\n"), kStrict},
    {"NUL in an extension", BYTES(CHUNKED "5;\0a\r\nhello\r\n0\r\n\r\n"), kBadExtension},
    {"an extension without its value", BYTES(CHUNKED "5;a=\r\nhello\r\n0\r\n\r\n"), kBadExtension},
    {"a quote without its end", BYTES(CHUNKED "5;a=\"b\r\nhello\r\n0\r\n\r\n"), kBadExtension},
    {"trailer Content-Length", BYTES(CHUNKED "0\r\nContent-Length: 5\r\n\r\n"), kBadTrailer},
    {"trailer Content_Length", BYTES(CHUNKED "0\r\nContent_Length: 5\r\n\r\n"), kBadTrailer},
    {"trailer Transfer-Encoding", BYTES(CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n"),
     kBadTrailer},
    {"trailer Host", BYTES(CHUNKED "0\r\nHost: b\r\n\r\n"), kBadTrailer},
    {"trailer Authorization", BYTES(CHUNKED "0\r\nauthorization: x\r\n\r\n"), kBadTrailer},
    {"trailer Content-Type", BYTES(CHUNKED "0\r\nContent-Type: a/b\r\n\r\n"), kBadTrailer},
    {"trailer Trailer", BYTES(CHUNKED "0\r\nTrailer: X\r\n\r\n"), kBadTrailer},
    {"a trailer without a colon", BYTES(CHUNKED "0\r\nX\r\n\r\n"), kBadToken},
    {"a blank before a trailer's colon", BYTES(CHUNKED "0\r\nX : y\r\n\r\n"), kBadToken},
    {"a folded trailer", BYTES(CHUNKED "0\r\nX: y\r\n z\r\n\r\n"), kBadToken},
    {"a trailer with LF", BYTES(CHUNKED "0\r\nX: y\n\r\n"), kStrict},
    {"a trailer with NUL", BYTES(CHUNKED "0\r\nX: \0\r\n\r\n"), kStrict},
};

TEST_P(StrictTest, AChunkThatOthersReadDifferentlyIsRefused) {
  RULES("4.3.2.6 4.3.2.18 4.3.2.19 4.3.2.20 4.3.2.25 4.3.3.3 4.3.5.1 4.3.5.2 4.3.5.4");
  RULES("4.3.7.1 4.3.7.2");
  NODE_TEST("http-chunked-smuggling");
  refuse_all(kChunks, Where::body);
}

// ---- What has no end, and what is cut short ----

TEST_P(StrictTest, WhatHasNoEndIsCutOff) {
  RULES("4.3.2.1 4.3.2.19 4.3.3.4 4.3.4.1 4.3.4.2 4.3.4.3 4.3.5.1 4.3.5.4 4.3.7.1 4.3.7.2");
  NODE_TEST("http-header-overflow http-chunk-extensions-limit http-max-header-size");
  const std::string flood(100'000, 'A');
  const std::string zeros(100'000, '0');
  const std::string texts[] = {flood,
                               "GET /" + flood,
                               GET + flood,
                               GET "X: " + flood,
                               CHUNKED "5;" + flood,
                               CHUNKED + zeros,
                               CHUNKED "0\r\nX: " + flood};
  constexpr std::string_view kOverflow = "HPE_HEADER_OVERFLOW";
  const Case heads[] = {{"a method", texts[0], kBadMethod},
                        {"a target", texts[1], kOverflow, 414},
                        {"a name", texts[2], kOverflow, 431},
                        {"a value", texts[3], kOverflow, 431}};
  const Case bodies[] = {{"an extension", texts[4], "HPE_CHUNK_EXTENSIONS_OVERFLOW"},
                         {"zeros of a size", texts[5], kBadSize},
                         {"a trailer", texts[6], kOverflow, 431}};
  start();
  for (const std::string_view before : {std::string_view(), kGood}) {
    for (const std::size_t piece : {std::string::npos, std::size_t{1000}}) {
      for (const Case& bad : heads) expect_refused(bad, Where::head, before, piece);
      for (const Case& bad : bodies) expect_refused(bad, Where::body, before, piece);
    }
  }
  answer_errors();
  for (const Case& bad : heads) expect_told(bad);
  for (const Case& bad : bodies) expect_told(bad);
}

TEST_P(StrictTest, TheLimitsAreReachedExactly) {
  RULES("4.3.4.1 4.3.4.2 4.3.4.3 4.3.3.4");
  start(
      {.parser = {.head_bytes_max = 200, .chunk_extension_bytes_max = 6, .trailer_bytes_max = 10}});
  const auto head = [](std::size_t size) {
    std::string text = "GET /head HTTP/1.1\r\nHost: a\r\nX: ";
    return text.append(size - text.size() - 4, 'x') + "\r\n\r\n";
  };
  const auto line = [](std::size_t size) {
    return "GET /" + std::string(size - 16, 'x') + " HTTP/1.1\r\n" + "Host: a\r\n\r\n";
  };
  expect_accepted(head(200));
  EXPECT_EQ(ask(head(201)), default_answer(431));
  EXPECT_EQ(ask(line(200)), default_answer(431)) << "the line fits, the fields do not";
  EXPECT_EQ(ask(line(201)), default_answer(414));
  expect_accepted(CHUNKED "1;abcde\r\nx\r\n0\r\n\r\n");
  EXPECT_EQ(ask(CHUNKED "1;abcdef\r\nx\r\n0\r\n\r\n"), default_answer(400));
  EXPECT_EQ(ask(CHUNKED "1;abc\r\nx\r\n1;def\r\ny\r\n0\r\n\r\n"), default_answer(400))
      << "those of all chunks together";
  expect_accepted(CHUNKED "0\r\nX: 234\r\n\r\n");
  EXPECT_EQ(ask(CHUNKED "0\r\nX: 2345\r\n\r\n"), default_answer(431));
}

TEST_P(StrictTest, AMessageThatTheClientEndsTooEarlyIsRefused) {
  RULES("4.3.2.21 4.3.2.22 4.3.5.1 4.3.5.2 4.3.5.4 4.3.7.1 4.3.7.2");
  struct Cut {
    std::string_view bytes;
    Where where;
  };
  constexpr Cut kCuts[] = {{"G", Where::head},
                           {"GET / HTTP/1.1\r\nHost: a\r\n", Where::head},
                           {POST "Content-Length: 5\r\n\r\n", Where::body},
                           {POST "Content-Length: 5\r\n\r\nhell", Where::body},
                           {CHUNKED, Where::body},
                           {CHUNKED "5\r\nhello\r\n", Where::body},
                           {CHUNKED "5\r\nhello\r\n0\r\n", Where::body}};
  start();
  for (const std::string_view before : {std::string_view(), kGood}) {
    for (const Cut& cut : kCuts) {
      SCOPED_TRACE(cut.bytes);
      targets_.clear();
      HttpClient& client = dial_and_wait();
      client.send(std::string(before).append(cut.bytes));
      client.end();
      expect_farewell(client, std::string(before.empty() ? "" : kGoodAnswer) + default_answer(400));
      EXPECT_EQ(std::ranges::count(targets_, "/"), cut.where == Where::body ? 1 : 0);
    }
  }
  server().on_client_error([this](const ClientError& error, Socket& socket) {
    told_.push_back(std::string(error.code) + " " + std::to_string(error.status));
    socket.end("mine");
  });
  for (const Cut& cut : kCuts) {
    SCOPED_TRACE(cut.bytes);
    told_.clear();
    HttpClient& client = dial_and_wait();
    client.send(cut.bytes);
    client.end();
    expect_farewell(client, "mine");
    EXPECT_EQ(told_, Strings{"HPE_INVALID_EOF_STATE 400"});
  }
}

// ---- What is accepted ----

TEST_P(StrictTest, WhatIsUnusualAndCannotBeMistakenIsAccepted) {
  RULES("4.3.3.1 4.3.3.2 4.3.3.5 4.3.3.7 4.3.3.8");
  start();
  for (const std::string_view bytes :
       {"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", GET "Content-Length: 5\r\n\r\nhello",
        GET "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        CHUNKED "5;a=b;c=\"d\\\"e\" ; f\r\nhello\r\n0;g\r\n\r\n",
        CHUNKED "0000000000000005\r\nhello\r\n0000\r\n\r\n",
        CHUNKED "5\r\nhello\r\n0\r\nX-Sum: 7\r\nY:\r\n\r\n",
        "GET http://b:81/c HTTP/1.1\r\nHost: a\r\n\r\n",
        GET "Empty:\r\nObs: \xe4\xff\r\nTab:\ta\tb\t\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"}) {
    expect_accepted(bytes);
  }
  EXPECT_EQ(answer("GET / HTTP/1.0\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\naccepted");
}

TEST_P(StrictTest, AHandlerSeesWhatWasAccepted) {
  RULES("4.3.3.2 4.3.3.5 4.3.3.6 4.3.3.8");
  NODE_TEST("http-raw-headers");
  serve([](Request& request, Response& response) {
    auto body = std::make_shared<std::string>(request.host());
    request.on_data([body](Request&, Buffer bytes) { (*body += ' ') += bytes.view(); });
    request.on_end([body, &response](Request& ended) {
      for (const http::Field& trailer : ended.trailers()) {
        body->append(" ").append(trailer.name).append("=").append(trailer.value);
      }
      response.end(*body);
    });
  });
  EXPECT_TRUE(ask("GET http://b:81/c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")
                  .ends_with("\r\n\r\nb:81 hello X-Sum=7"));
}

}  // namespace
}  // namespace weir::test
