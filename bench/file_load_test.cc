// The load for files believes no server: one that lies is found out, whether while every byte is
// compared or when only those at the ends are.
#include "bench/file_load.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>

namespace weir::bench {
namespace {

std::string file_of(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + i % 23);
  return bytes;
}

std::string response_with(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nServer: canned\r\ncontent-length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

// One connection's worth of answers: each request gets `answer(n)` with n = 1, 2, ...; an empty
// answer closes the connection.
class CannedServer {
 public:
  explicit CannedServer(std::function<std::string(int)> answer) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const name = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(listener_, name, length), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
    EXPECT_EQ(getsockname(listener_, name, &length), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this, answer = std::move(answer)] { serve(answer); });
  }
  CannedServer(const CannedServer&) = delete;
  CannedServer& operator=(const CannedServer&) = delete;
  ~CannedServer() {
    thread_.join();
    close(listener_);
  }
  std::uint16_t port() const { return port_; }

 private:
  void serve(const std::function<std::string(int)>& answer) const {
    const int fd = accept(listener_, nullptr, nullptr);
    std::string requests;
    char buffer[4096];
    for (int asked = 0;;) {
      const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
      if (got <= 0) break;
      requests.append(buffer, static_cast<std::size_t>(got));
      if (!requests.ends_with("\r\n\r\n")) continue;
      EXPECT_EQ(requests, "GET /file HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
      requests.clear();
      const std::string bytes = answer(++asked);
      if (bytes.empty() || send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) break;
    }
    close(fd);
  }

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::jthread thread_;
};

// The error, or empty. The durations are bounds only: what is wrong ends the load at once.
std::string run_against(const std::string& file, double warmup_seconds,
                        const std::function<std::string(int)>& answer, bool reads_all = false) {
  const CannedServer server(answer);
  FileLoadOptions options;
  options.port = server.port();
  options.target = "/file";
  options.file = file;
  options.warmup_seconds = warmup_seconds;
  options.duration_seconds = 20;
  options.reads_all = reads_all;
  const auto result = run_file_load(options);
  return result ? "" : result.error();
}

// What comes in the place of the fifth answer, in the warm-up and in the window.
void expect_found(const std::string& file, const std::string& lie, const std::string& error) {
  for (const double warmup_seconds : {20.0, 0.0}) {
    const std::string said = run_against(file, warmup_seconds, [&](int n) {
      return n == 5 ? lie : response_with(file);
    });
    EXPECT_EQ(said.substr(0, error.size()), error) << "warm-up " << warmup_seconds;
  }
}

TEST(FileLoad, CountsWhatIsRight) {
  for (const std::size_t size : {1, 1000, 5000, 300'000}) {
    const std::string file = file_of(size);
    const CannedServer server([&](int) { return response_with(file); });
    FileLoadOptions options;
    options.port = server.port();
    options.target = "/file";
    options.file = file;
    options.warmup_seconds = 0.05;
    options.duration_seconds = 1;
    options.server_pid = getpid();
    const auto result = run_file_load(options);
    ASSERT_TRUE(result.has_value()) << result.error();
    EXPECT_GT(result->requests, 0U);
    EXPECT_GE(result->seconds, 1);
    EXPECT_GT(result->server_cpu_seconds, 0);
    EXPECT_EQ(result->head, response_with(file).substr(0, result->head.size()));
    EXPECT_TRUE(result->head.ends_with("\r\n\r\n"));
  }
}

TEST(FileLoad, FindsAnotherHead) {
  const std::string file = file_of(5000);
  const std::string good = response_with(file);
  const auto instead = [&](const std::string& from, const std::string& to) {
    std::string changed = good;
    return changed.replace(changed.find(from), from.size(), to);
  };
  expect_found(file, instead("200 OK", "206 OK"), "not 200");
  expect_found(file, instead("200 OK", "404 OK"), "not 200");
  expect_found(file, instead("length: 5000", "length: 5001"), "another length");
  expect_found(file, instead("length: 5000", "length: 5000x"), "another length");
  expect_found(file, instead("length: 5000", "length: "), "another length");
  expect_found(file, instead("Server: canned", "Content-Length: 5000"), "another length");
  expect_found(file, instead("content-length: 5000", "X: y"), "another length");
  expect_found(file, instead("Server: canned", "X: " + std::string(5000, 'x')), "a head without");
}

TEST(FileLoad, FindsOtherBytes) {
  const std::string file = file_of(300'000);
  for (const std::size_t at : {0UL, 1023UL, file.size() - 1024, file.size() - 1}) {
    std::string changed = file;
    changed[at] = '?';
    expect_found(file, response_with(changed), "other bytes");
  }
  std::string changed = file;
  changed[150'000] = '?';
  const auto answer = [&](int n) { return response_with(n == 5 ? changed : file); };
  EXPECT_EQ(run_against(file, 20, answer), "other bytes");
  EXPECT_EQ(run_against(file, 0, answer, true), "other bytes");
}

TEST(FileLoad, FindsBytesThatAreMissingOrTooMany) {
  const std::string file = file_of(5000);
  expect_found(file, response_with(file) + "!", "bytes behind a response");
  expect_found(file, "", "the server closed a connection");
  const std::string good = response_with(file);
  const auto cut = [&](int n) { return n == 5 ? good.substr(0, good.size() - 1) : good; };
  const CannedServer server(cut);
  FileLoadOptions options;
  options.port = server.port();
  options.target = "/file";
  options.file = file;
  options.warmup_seconds = 0;
  options.duration_seconds = 1;
  options.drain_seconds = 0.1;
  const auto result = run_file_load(options);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error(), "1 responses did not come whole");
}

TEST(FileLoad, SaysThatNobodyListens) {
  FileLoadOptions options;
  options.port = 1;
  options.file = "x";
  const auto result = run_file_load(options);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error(), "connect: Connection refused");
}

}  // namespace
}  // namespace weir::bench
