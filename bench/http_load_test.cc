// The load for HTTP believes no server: right answers pass however they are cut and framed, and
// each kind of lie is found out, whether a response is compared with the last one or read as HTTP.
#include "bench/http_load.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace weir::bench {
namespace {

// ---- A server that says what it is told to ----

struct Asked {
  int number = 0;  // from 1 on, over all connections
  std::string target;
  std::string body;
  std::uint64_t body_size = 0;
  bool closes = false;
};

struct Told {
  std::string bytes;
  bool hangs_up = false;
  bool ignores_close = false;
};

using Teller = std::function<Told(const Asked&)>;

std::string counted(std::string_view body, std::string_view field = "Server: canned\r\n") {
  return "HTTP/1.1 200 OK\r\n" + std::string(field) +
         "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

std::string in_chunks_of(std::size_t size, std::string_view body) {
  std::string text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (; !body.empty(); body.remove_prefix(std::min(size, body.size()))) {
    const std::string_view chunk = body.substr(0, size);
    char digits[20];
    std::snprintf(digits, sizeof digits, "%zx\r\n", chunk.size());
    text.append(digits).append(chunk).append("\r\n");
  }
  return text + "0\r\n\r\n";
}

// The body of the right answer.
std::string right_body(const Asked& asked) {
  if (asked.target == "/hello") return "Hello, World!";
  if (asked.target == "/echo") return asked.body;
  if (asked.target == "/upload") return std::to_string(asked.body_size);
  EXPECT_EQ(asked.target, "/chunked?n=4&size=1024");
  return std::string(4096, 'x');
}

Told right(const Asked& asked) { return {counted(right_body(asked))}; }

// Takes requests from the bytes of one connection. Of a large body it keeps none.
class RequestReader {
 public:
  void add(std::string_view bytes) {
    if (in_body_ && !chunked_) {
      skip(bytes);
    }
    text_ += bytes;
  }

  bool next(Asked& asked) {
    if (!in_body_ && !begin(asked)) return false;
    if (chunked_) return end_chunks(asked);
    const std::size_t part = std::min<std::uint64_t>(text_.size(), left_);
    if (asked.body_size <= kKept) asked.body.append(text_, 0, part);
    text_.erase(0, part);
    left_ -= part;
    in_body_ = left_ != 0;
    return !in_body_;
  }

 private:
  static constexpr std::uint64_t kKept = 4096;

  void skip(std::string_view& bytes) {
    const std::size_t part = std::min<std::uint64_t>(bytes.size(), left_ - text_.size());
    if (left_ <= kKept) return;
    bytes.remove_prefix(part);
    left_ -= part;
  }

  bool begin(Asked& asked) {
    const std::size_t end = text_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::string head = text_.substr(0, end + 2);
    text_.erase(0, end + 4);
    EXPECT_NE(head.find("\r\nHost: 127.0.0.1\r\n"), std::string::npos) << head;
    const std::size_t target = head.find(' ') + 1;
    asked.target = head.substr(target, head.find(' ', target) - target);
    asked.closes = head.find("\r\nConnection: close\r\n") != std::string::npos;
    asked.body.clear();
    chunked_ = head.find("\r\nTransfer-Encoding: chunked\r\n") != std::string::npos;
    const std::size_t length = head.find("\r\nContent-Length: ");
    left_ = length == std::string::npos ? 0 : std::stoull(head.substr(length + 18));
    asked.body_size = left_;
    in_body_ = chunked_ || left_ != 0;
    return true;
  }

  bool end_chunks(Asked& asked) {
    const std::size_t end = text_.find("\r\n0\r\n\r\n");
    if (end == std::string::npos) return false;
    std::string_view chunks = std::string_view(text_).substr(0, end + 2);
    while (!chunks.empty()) {
      const std::size_t line = chunks.find("\r\n") + 2;
      const std::size_t size = std::stoul(std::string(chunks.substr(0, line)), nullptr, 16);
      asked.body.append(chunks.substr(line, size));
      EXPECT_EQ(chunks.substr(line + size, 2), "\r\n");
      chunks.remove_prefix(line + size + 2);
    }
    text_.erase(0, end + 7);
    in_body_ = chunked_ = false;
    return true;
  }

  std::string text_;
  std::uint64_t left_ = 0;
  bool in_body_ = false;
  bool chunked_ = false;
};

class CannedServer {
 public:
  // `piece`: bytes that it sends at a time; 0: all that it has. A hasty one reads once and answers
  // an upload, whatever has come of it.
  explicit CannedServer(Teller tell, std::size_t piece = 0, bool hasty = false)
      : tell_(std::move(tell)), piece_(piece), hasty_(hasty) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_, name, length), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    EXPECT_EQ(getsockname(listener_, name, &length), 0);
    EXPECT_EQ(pipe2(stop_, O_CLOEXEC), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this] { run(); });
  }
  CannedServer(const CannedServer&) = delete;
  CannedServer& operator=(const CannedServer&) = delete;
  ~CannedServer() {
    close(stop_[1]);
    thread_.join();
    close(stop_[0]);
    close(listener_);
  }

  std::uint16_t port() const { return port_; }
  std::uint64_t answered() const { return answered_; }
  std::uint64_t accepted() const { return accepted_; }

 private:
  struct Client {
    int fd;
    RequestReader reader = {};
    Asked asked = {};
    bool ignored = false;
  };

  // One thread for all connections, until the pipe is closed.
  void run() {
    for (;;) {
      std::vector<pollfd> ready = {{stop_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
      for (const Client& client : clients_) {
        ready.push_back({client.ignored ? -1 : client.fd, POLLIN, 0});
      }
      poll(ready.data(), ready.size(), -1);
      if (ready[0].revents != 0) break;
      for (std::size_t i = clients_.size(); i-- > 0;) {
        if (ready[i + 2].revents == 0 || serve(clients_[i])) continue;
        close(clients_[i].fd);
        clients_.erase(clients_.begin() + static_cast<std::ptrdiff_t>(i));
      }
      if (ready[1].revents != 0) accept_one();
    }
    for (const Client& client : clients_) close(client.fd);
  }

  void accept_one() {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    clients_.push_back({.fd = fd});
    ++accepted_;
  }

  // False: this connection is done with.
  bool serve(Client& client) {
    buffer_.resize(1 << 20);
    const ssize_t got = recv(client.fd, buffer_.data(), buffer_.size(), 0);
    if (got <= 0) return false;
    client.reader.add({buffer_.data(), static_cast<std::size_t>(got)});
    std::string out;
    bool goes_on = true;
    bool shuts = false;
    if (hasty_) {
      client.ignored = true;
      client.asked.target = "/upload";
      client.asked.body_size = kUploadBytes;
      out = tell_(client.asked).bytes;
    }
    while (!hasty_ && goes_on && client.reader.next(client.asked)) {
      client.asked.number = ++asked_;
      const Told told = tell_(client.asked);
      out += told.bytes;
      answered_ += told.bytes.empty() ? 0 : 1;
      goes_on = !told.hangs_up;
      shuts = client.asked.closes && !told.ignores_close;
    }
    for (std::string_view left = out; !left.empty();) {
      const std::string_view part = left.substr(0, piece_ == 0 ? left.size() : piece_);
      if (send(client.fd, part.data(), part.size(), MSG_NOSIGNAL) < 0) return false;
      left.remove_prefix(part.size());
    }
    if (shuts) shutdown(client.fd, SHUT_WR);
    return goes_on;
  }

  const Teller tell_;
  const std::size_t piece_;
  const bool hasty_;
  int listener_ = -1;
  int stop_[2] = {-1, -1};
  std::uint16_t port_ = 0;
  int asked_ = 0;
  std::atomic<std::uint64_t> answered_ = 0;
  std::atomic<std::uint64_t> accepted_ = 0;
  std::vector<Client> clients_;
  std::vector<char> buffer_;
  std::jthread thread_;
};

// ---- Right answers ----

HttpLoadOptions options_of(HttpScript script, const CannedServer& server) {
  HttpLoadOptions options;
  options.port = server.port();
  options.script = script;
  options.warmup_seconds = 0.005;
  options.duration_seconds = 0.015;
  return options;
}

// What must hold of every good run. All connections are over when it returns.
void expect_counts(const std::expected<HttpLoadResult, std::string>& result,
                   const CannedServer& server) {
  ASSERT_TRUE(result.has_value()) << result.error();
  EXPECT_GT(result->requests, 0U);
  EXPECT_LE(result->requests, server.answered());
  EXPECT_EQ(result->latency.count(), result->requests);
  EXPECT_GE(result->seconds, 0.015);
  EXPECT_GT(result->bytes_sent, 0U);
  EXPECT_GT(result->bytes_received, 0U);
  EXPECT_TRUE(result->head.starts_with("HTTP/1.1 200 OK\r\n")) << result->head;
}

TEST(HttpLoad, TakesRightAnswersHoweverTheyAreCutAndFramed) {
  for (const HttpScript script : {HttpScript::hello, HttpScript::mixed, HttpScript::chunked}) {
    for (const std::size_t piece : {0, 1, 7, 4099}) {
      for (const std::size_t chunk : {0, 1, 300, 1 << 20}) {
        const CannedServer server(
            [&](const Asked& asked) -> Told {
              const std::string body = right_body(asked);
              return {chunk == 0 ? counted(body) : in_chunks_of(chunk, body)};
            },
            piece);
        HttpLoadOptions options = options_of(script, server);
        options.connections = 3;
        options.pipeline = piece == 1 ? 1 : 5;
        SCOPED_TRACE(testing::Message() << "script " << static_cast<int>(script) << ", piece "
                                        << piece << ", chunk " << chunk);
        expect_counts(run_http_load(options), server);
        EXPECT_EQ(server.accepted(), 3U);
      }
    }
  }
}

// Heads and chunks that are never twice the same are right as well.
TEST(HttpLoad, TakesAnswersThatDifferInTheirHeads) {
  const CannedServer server([](const Asked& asked) -> Told {
    const std::string field = "X-Number: " + std::to_string(asked.number) + "\r\n";
    if (asked.number % 2 == 0) return {counted(right_body(asked), field)};
    return {in_chunks_of(static_cast<std::size_t>(asked.number % 300 + 1), right_body(asked))};
  });
  HttpLoadOptions options = options_of(HttpScript::mixed, server);
  options.pipeline = 4;
  expect_counts(run_http_load(options), server);
}

TEST(HttpLoad, CountsExactly) {
  const CannedServer server(right);
  HttpLoadOptions options = options_of(HttpScript::hello, server);
  options.server_pid = getpid();
  const auto result = run_http_load(options);
  expect_counts(result, server);
  ASSERT_TRUE(result.has_value());
  EXPECT_GT(result->server_cpu_seconds, 0);
  // Both ends of the window lie between whole turns, and each brings a response and a request.
  EXPECT_EQ(result->bytes_received, result->requests * counted("Hello, World!").size());
  constexpr std::string_view kRequest = "GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
  EXPECT_EQ(result->bytes_sent, result->requests * kRequest.size());
  EXPECT_EQ(result->connections, 0U);
  EXPECT_EQ(server.accepted(), 1U);
}

TEST(HttpLoad, UploadsTwentyMegabytes) {
  const CannedServer server(right);
  HttpLoadOptions options = options_of(HttpScript::upload, server);
  options.connections = 2;
  options.duration_seconds = 0.3;
  const auto result = run_http_load(options);
  expect_counts(result, server);
  ASSERT_TRUE(result.has_value());
  // What is on its way at the two ends of the window is at most a body a connection.
  EXPECT_GE(result->bytes_sent + 2 * kUploadBytes, result->requests * kUploadBytes);
  EXPECT_LE(result->bytes_sent, (result->requests + 2) * (kUploadBytes + 1000));
}

TEST(HttpLoad, ReplacesShortConnections) {
  for (const int requests : {0, 1, 2, 7}) {
    for (const int pipeline : {1, 3}) {
      int on_this_connection = 0;  // of the server's thread
      std::atomic<int> wrong = 0;
      const int due = requests == 0 ? 10 : requests;
      const CannedServer server([&](const Asked& asked) {
        if (asked.closes != (++on_this_connection == due)) ++wrong;
        if (asked.closes) on_this_connection = 0;
        return right(asked);
      });
      HttpLoadOptions options = options_of(HttpScript::brief, server);
      options.requests_per_connection = requests;
      options.pipeline = pipeline;
      const auto result = run_http_load(options);
      expect_counts(result, server);
      ASSERT_TRUE(result.has_value());
      EXPECT_EQ(wrong, 0);
      EXPECT_GT(result->connections, 0U);
      // Of each connection opened in the window all requests lie in it, but for those at its ends.
      const auto all = static_cast<std::uint64_t>(due);
      EXPECT_LE(result->requests, (result->connections + 1) * all);
      EXPECT_GE(result->requests + all, result->connections * all);
      EXPECT_LE(server.answered(), server.accepted() * all);
      EXPECT_GT(server.answered() + all, server.accepted() * all);
    }
  }
}

TEST(HttpLoad, EndsAMixedScriptInItsMiddle) {
  const CannedServer server(right);
  HttpLoadOptions options = options_of(HttpScript::mixed, server);
  options.requests_per_connection = 5;
  options.connections = 2;
  expect_counts(run_http_load(options), server);
  EXPECT_GT(server.accepted(), 2U);
}

// ---- Lies ----

struct Lie {
  HttpScript script = HttpScript::hello;
  Teller tell = right;
  int connections = 1;
  bool hasty = false;
};

// The error, or empty. The duration is a bound only: what is wrong ends the load at once.
std::string run_against(const Lie& lie, std::size_t piece = 0, double duration_seconds = 20) {
  const CannedServer server(lie.tell, piece, lie.hasty);
  HttpLoadOptions options = options_of(lie.script, server);
  options.connections = lie.connections;
  options.warmup_seconds = 0;
  options.duration_seconds = duration_seconds;
  options.drain_seconds = 0.05;
  const auto result = run_http_load(options);
  return result ? "" : result.error();
}

// In the place of the first answer, which is read as HTTP, and of a later one, which is compared
// with those before; whole and in pieces.
void expect_found(HttpScript script, const std::string& lie, const std::string& error) {
  for (const int when : {1, 7}) {
    for (const std::size_t piece : {0, 3}) {
      const Teller tell = [&](const Asked& asked) {
        return asked.number == when ? Told{lie} : right(asked);
      };
      const std::string said = run_against({.script = script, .tell = tell}, piece);
      EXPECT_TRUE(said.starts_with("connection 0: " + error))
          << said << "\nnot: " << error << "\n" << when << ", " << piece << ": " << lie;
      EXPECT_EQ(said.find('\n'), std::string::npos) << said;
    }
  }
}

std::string instead(std::string text, std::string_view from, std::string_view to) {
  return text.replace(text.find(from), from.size(), to);
}

TEST(HttpLoad, FindsAWrongByteInABody) {
  const std::string hello = counted("Hello, World!");
  const std::string wrong = "wrong bytes in a body";
  expect_found(HttpScript::hello, instead(hello, "Hello", "hello"), wrong);
  expect_found(HttpScript::hello, instead(hello, "World!", "World?"), wrong);
  for (const std::size_t at : {0, 2000, 4095}) {
    std::string body(4096, 'x');
    body[at] = 'y';
    expect_found(HttpScript::chunked, counted(body), wrong);
    expect_found(HttpScript::chunked, in_chunks_of(1024, body), wrong);
  }
  // The bodies of the mixed script differ, so answers that change places are seen.
  expect_found(HttpScript::mixed, counted(std::string(256, 'x')), wrong);
}

TEST(HttpLoad, FindsAnotherEcho) {
  for (const std::size_t at : {0, 255}) {
    for (const int when : {2, 3, 8, 9}) {
      const Teller tell = [&](const Asked& asked) {
        std::string body = right_body(asked);
        if (asked.number == when) body[at] = static_cast<char>(body[at] ^ 1);
        return Told{counted(body)};
      };
      const std::string said = run_against({.script = HttpScript::mixed, .tell = tell});
      EXPECT_TRUE(said.starts_with("connection 0: wrong bytes in a body")) << said;
    }
  }
}

TEST(HttpLoad, FindsAnotherHead) {
  const std::string hello = counted("Hello, World!");
  expect_found(HttpScript::hello, instead(hello, "200 OK", "404 Not Found"),
               "not 200: HTTP/1.1 404");
  expect_found(HttpScript::hello, instead(hello, "200 OK", "206 OK"), "not 200");
  expect_found(HttpScript::hello, instead(hello, "1.1", "1.0"), "no response: HTTP/1.0");
  expect_found(HttpScript::hello, instead(hello, "content-length: 13", "X: y"),
               "a body without a length");
  expect_found(HttpScript::hello, instead(hello, "length: 13", "length: 13x"),
               "a body without a length");
  expect_found(HttpScript::hello, instead(hello, "Server: canned", "Content-Length: 13"),
               "a body without a length");
  expect_found(HttpScript::hello, instead(hello, "Server: canned", "Transfer-Encoding: chunked"),
               "a body with two lengths");
  expect_found(HttpScript::hello, instead(hello, "canned", std::string(9000, 'x')),
               "a head without an end");
}

TEST(HttpLoad, FindsAnotherLength) {
  const std::string hello = counted("Hello, World!");
  expect_found(HttpScript::hello, counted("Hello, World"), "a body of 12 bytes, not of 13");
  expect_found(HttpScript::hello, counted(""), "a body of 0 bytes, not of 13");
  expect_found(HttpScript::hello, counted("Hello, World!!"), "wrong bytes in a body");
  expect_found(HttpScript::hello, instead(hello, "length: 13", "length: 12"),
               "a body of 12 bytes, not of 13");
  const std::string chunks = in_chunks_of(1024, std::string(4096, 'x'));
  expect_found(HttpScript::chunked, instead(chunks, "400\r\n", "401\r\n"), "wrong bytes in a body");
  expect_found(HttpScript::chunked, instead(chunks, "400\r\n", "3ff\r\n"), "bytes behind a chunk");
  expect_found(HttpScript::chunked, in_chunks_of(1024, std::string(3072, 'x')),
               "a body of 3072 bytes, not of 4096");
  expect_found(HttpScript::chunked, in_chunks_of(1024, std::string(5120, 'x')),
               "wrong bytes in a body");
  expect_found(HttpScript::upload, counted("19999999"), "wrong bytes in a body");
}

TEST(HttpLoad, FindsSuperfluousBytes) {
  const std::string hello = counted("Hello, World!");
  for (const int when : {1, 7}) {
    for (const std::string& extra : {std::string("!"), hello}) {
      const Teller tell = [&](const Asked& asked) {
        return Told{asked.number == when ? hello + extra : hello};
      };
      EXPECT_EQ(run_against({.tell = tell}), "connection 0: bytes that nobody has asked for");
      // Later they may be taken for the beginning of the next response.
      const std::string said = run_against({.tell = tell}, hello.size(), 0.05);
      const bool found = said == "connection 0: bytes that nobody has asked for" ||
                         said.starts_with("connection 0: no response: !");
      EXPECT_TRUE(found) << said;
    }
  }
}

TEST(HttpLoad, FindsResponsesThatDoNotComeWhole) {
  const auto cut = [](std::size_t missing, bool hangs_up) {
    return [=](const Asked& asked) {
      Told told = {in_chunks_of(1024, right_body(asked))};
      if (asked.number == 5) {
        told.bytes.resize(told.bytes.size() - std::min(missing, told.bytes.size()));
        told.hangs_up = hangs_up;
      }
      return told;
    };
  };
  // A byte of the last chunk, all of it, a byte of the data, and everything.
  for (const std::size_t missing : {1UL, 5UL, 8UL, 100'000UL}) {
    for (const HttpScript script : {HttpScript::hello, HttpScript::chunked}) {
      EXPECT_EQ(run_against({.script = script, .tell = cut(missing, false)}, 0, 0.05),
                "connection 0: 1 responses did not come whole");
      EXPECT_EQ(run_against({.script = script, .tell = cut(missing, true)}),
                "connection 0: the server closed it after 4 responses, while requests were under "
                "way");
    }
  }
}

TEST(HttpLoad, FindsServersThatCloseTooEarlyOrNever) {
  const Teller early = [](const Asked& asked) {
    Told told = right(asked);
    told.hangs_up = asked.number == 5;
    return told;
  };
  // If the next request is on its way by then, it is answered by a reset.
  const std::string said = run_against({.tell = early});
  const bool found = said.find("the server closed it after 5 responses") != std::string::npos ||
                     said.ends_with("Connection reset by peer") || said.ends_with("Broken pipe");
  EXPECT_TRUE(found) << said;

  const Teller never = [](const Asked& asked) {
    Told told = right(asked);
    told.ignores_close = true;
    return told;
  };
  EXPECT_EQ(run_against({.script = HttpScript::brief, .tell = never}, 0, 0.5),
            "connection 0: the server did not close it");
}

// Its right answer comes when the first bytes of the request have, and the rest is left unread.
TEST(HttpLoad, FindsAnAnswerBeforeItsRequest) {
  const Lie lie = {.script = HttpScript::upload, .tell = right, .hasty = true};
  const std::string said = run_against(lie);
  EXPECT_TRUE(said.starts_with("connection 0: a response to a request of which ")) << said;
}

TEST(HttpLoad, SaysThatNothingCameAtAll) {
  const Teller silent = [](const Asked&) { return Told{}; };
  EXPECT_EQ(run_against({.tell = silent, .connections = 3}, 0, 0.05),
            "connection 0: 1 responses did not come whole");
}

TEST(HttpLoad, SaysThatNobodyListens) {
  HttpLoadOptions options;
  options.port = 1;
  const auto result = run_http_load(options);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error(), "connection 0: connect: Connection refused");
}

TEST(HttpLoad, SaysThatThereIsNoServerProcess) {
  const CannedServer server(right);
  HttpLoadOptions options = options_of(HttpScript::hello, server);
  options.server_pid = 1 << 22;  // more than there can be
  const auto result = run_http_load(options);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error(), "there is no process 4194304");
}

}  // namespace
}  // namespace weir::bench
