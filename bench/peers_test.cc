// Each peer that this machine can build does what it is compared in: it sends every byte back,
// holds no more than a little of what a client does not take, and answers HTTP as weir's servers.
//
//     peers_test NGINX_STATIC A_SOURCE_OF_THE_PEERS
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/directory.h"
#include "bench/file_servers.h"
#include "bench/load.h"
#include "bench/peers.h"
#include "bench/process_facts.h"
#include "bench/server_process.h"

namespace weir::bench {
namespace {

constexpr const char* kNames[] = {"libuv", "asio", "asio io_uring", "libevent",
                                  "Node",  "Go",   "nginx"};
constexpr std::size_t kMiB = std::size_t{1} << 20;
// For what never comes.
constexpr int kPatienceMs = 30'000;

std::string nginx_static;
std::string sources;
std::string directory;

const std::vector<Peer>& all_peers() {
  static const std::vector<Peer> all = prepare_peers({.sources = sources,
                                                      .work = directory + "/built",
                                                      .nginx_static = nginx_static,
                                                      .root = directory + "/root",
                                                      .path = {}});
  return all;
}

// No part of it is like another.
std::string bytes_of(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 2654435761U >> 24);
  return bytes;
}

// ---- A client ----

class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(fd_); }

  bool ready(short what, int milliseconds) const {
    pollfd entry{fd_, what, 0};
    return poll(&entry, 1, milliseconds) == 1;
  }

  void send_all(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }

  // How much goes into a connection from which nothing is read, until nothing moves.
  std::size_t send_until_full(std::string_view bytes) const {
    std::size_t total = 0;
    while (total < bytes.size() && ready(POLLOUT, 200)) {
      const ssize_t sent = send(fd_, bytes.data() + total, std::min(kMiB, bytes.size() - total),
                                MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) total += static_cast<std::size_t>(sent);
    }
    return total;
  }

  void end() const { shutdown(fd_, SHUT_WR); }

  // Until the server ends the connection.
  std::string receive_all() const {
    std::string all;
    std::string piece(kMiB, '\0');
    while (ready(POLLIN, kPatienceMs)) {
      const ssize_t size = recv(fd_, piece.data(), piece.size(), 0);
      if (size == 0) return all;
      if (size < 0) break;
      all.append(piece, 0, static_cast<std::size_t>(size));
    }
    ADD_FAILURE() << "the server did not end the connection in order; after " << all.size()
                  << " bytes errno is " << errno;
    return all;
  }

  // What comes back while and after `bytes` are sent.
  std::string exchange(std::string_view bytes) const {
    const std::jthread sender([&] { send_all(bytes); });
    return receive_all();
  }

 private:
  int fd_;
};

struct Answer {
  std::string status;
  std::string head;
  std::string body;
  std::vector<std::size_t> chunks;

  bool has(std::string_view field) const { return head.find(field) != std::string::npos; }
};

std::size_t number_of(std::string_view text, int base) {
  std::size_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number, base);
  return number;
}

// What stands at the beginning up to `end`, which is taken with it.
std::string_view take_until(std::string_view& text, std::string_view end) {
  const std::size_t at = std::min(text.find(end), text.size());
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(std::min(at + end.size(), text.size()));
  return taken;
}

Answer take_answer(std::string_view& text) {
  Answer answer;
  answer.head = std::string(take_until(text, "\r\n\r\n")) + "\r\n";
  answer.status = answer.head.substr(0, answer.head.find("\r\n"));
  constexpr std::string_view kLength = "\r\nContent-Length: ";
  const std::size_t at = answer.head.find(kLength);
  if (at != std::string::npos) {
    const std::string_view digits = std::string_view(answer.head).substr(at + kLength.size());
    const std::size_t size = number_of(digits, 10);
    answer.body = text.substr(0, size);
    text.remove_prefix(std::min(size, text.size()));
    return answer;
  }
  EXPECT_TRUE(answer.has("\r\nTransfer-Encoding: chunked\r\n")) << answer.head;
  while (const std::size_t size = number_of(take_until(text, "\r\n"), 16)) {
    answer.chunks.push_back(size);
    answer.body += text.substr(0, size);
    text.remove_prefix(std::min(size, text.size()));
    EXPECT_EQ(take_until(text, "\r\n"), "");
  }
  EXPECT_EQ(take_until(text, "\r\n"), "");
  return answer;
}

std::vector<Answer> answers_in(std::string_view text) {
  std::vector<Answer> answers;
  while (!text.empty()) answers.push_back(take_answer(text));
  return answers;
}

// ---- Servers ----

class Peers : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    for (const Peer& peer : all_peers()) {
      if (peer.name == GetParam()) peer_ = peer;
    }
    ASSERT_EQ(peer_.name, GetParam());
  }
  void TearDown() override {
    if (!server_) return;
    const auto stopped = server_->stop();
    EXPECT_TRUE(stopped.has_value()) << stopped.error();
  }

  // False: this machine has not got it, and the test is to be skipped.
  bool start(const std::vector<std::string>& command, const std::string& flag,
             const std::string& where) {
    if (command.empty()) return false;
    std::vector<std::string> complete = command;
    complete.insert(complete.end(), {flag, where});
    // Only nginx says where it listens before it does, and then it is waited for.
    auto started = peer_.name == "nginx" ? start_file_server({peer_.name, complete}, -1)
                                         : ServerProcess::start(complete, -1);
    EXPECT_TRUE(started.has_value()) << started.error();
    if (!started) return false;
    server_.emplace(std::move(*started));
    return true;
  }
  bool start_echo() { return start(peer_.echo, "--port", "0"); }
  bool start_http() { return start(peer_.http, "--port", "0"); }
  // A SIGTERM that comes before nginx first waits for events is lost to it.
  void answer_once();
  std::string why_not() const {
    return peer_.skipped.empty() ? peer_.name + " has no such server" : peer_.skipped;
  }

  void expect_echo(int connections, std::size_t size, int pipeline, const std::string& path = {}) {
    LoadOptions load;
    load.port = server_->port();
    load.unix_path = path;
    load.connections = connections;
    load.size = size;
    load.pipeline = pipeline;
    load.warmup_seconds = 0.02;
    load.duration_seconds = 0.05;
    load.drain_seconds = kPatienceMs / 1000;
    const auto result = run_load(load);
    ASSERT_TRUE(result.has_value()) << result.error();
    EXPECT_GT(result->messages, 0U);
  }

  Peer peer_;
  std::optional<ServerProcess> server_;
};

constexpr std::string_view kHello = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr std::string_view kLastHello =
    "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

void Peers::answer_once() {
  EXPECT_EQ(answers_in(Client(server_->port()).exchange(kLastHello)).size(), 1U);
}

TEST_P(Peers, SaysWhatItIs) {
  if (!start_echo() && !start_http()) GTEST_SKIP() << why_not();
  EXPECT_NE(peer_.version, "");
  EXPECT_EQ(server_->backend().find("backend "), 0U) << server_->backend();
  if (peer_.name == "nginx") return answer_once();
  EXPECT_NE(server_->backend().find(": " + peer_.version), std::string::npos)
      << server_->backend();
}

TEST_P(Peers, EchoesEveryByte) {
  if (!start_echo()) GTEST_SKIP() << why_not();
  expect_echo(10, 64, 1);
  expect_echo(10, 64, 16);
  expect_echo(2, kMiB, 1);
  expect_echo(3, 100'000, 3);
}

TEST_P(Peers, EchoesEveryByteOverAUnixSocket) {
  const std::string path = directory + "/" + std::to_string(::getpid()) + ".socket";
  if (!start(peer_.echo, "--unix", path)) GTEST_SKIP() << why_not();
  expect_echo(10, 64, 1, path);
  expect_echo(2, kMiB, 1, path);
  EXPECT_TRUE(std::filesystem::remove(path));
}

// A client that sends and does not read fills what the kernel has for both ways, and no more.
TEST_P(Peers, ASenderThatDoesNotReadIsHeldBack) {
  if (!start_echo()) GTEST_SKIP() << why_not();
  const Client client(server_->port());
  const std::size_t before = resident_bytes(server_->pid());
  std::string bytes = bytes_of(64 * kMiB);
  const std::size_t sent = client.send_until_full(bytes);
  const std::size_t after = resident_bytes(server_->pid());
  EXPECT_GT(sent, 0U);
  EXPECT_LT(after, before + 16 * kMiB) << sent << " bytes sent";
  client.end();
  bytes.resize(sent);
  EXPECT_TRUE(client.receive_all() == bytes);
}

// ---- HTTP ----

void expect_hello(const Answer& answer) {
  EXPECT_EQ(answer.status, "HTTP/1.1 200 OK");
  EXPECT_TRUE(answer.has("\r\nContent-Type: text/plain\r\n")) << answer.head;
  EXPECT_TRUE(answer.has("\r\nContent-Length: 13\r\n")) << answer.head;
  EXPECT_TRUE(answer.has("\r\nDate: ")) << answer.head;
  EXPECT_EQ(answer.body, "Hello, World!");
}

TEST_P(Peers, GreetsOneRequestOrManyAtOnce) {
  if (!start_http()) GTEST_SKIP() << why_not();
  constexpr std::size_t kMany = 500;
  std::string requests;
  for (std::size_t i = 0; i < kMany; ++i) requests += kHello;
  requests += kLastHello;
  const auto answers = answers_in(Client(server_->port()).exchange(requests));
  ASSERT_EQ(answers.size(), kMany + 1);
  for (const Answer& answer : answers) expect_hello(answer);
  EXPECT_TRUE(answers.back().has("\r\nConnection: close\r\n")) << answers.back().head;
  EXPECT_FALSE(answers.front().has("\r\nConnection: close\r\n")) << answers.front().head;
}

TEST_P(Peers, ReadsARequestThatComesByteByByte) {
  if (!start_http()) GTEST_SKIP() << why_not();
  const Client client(server_->port());
  for (const char byte : kLastHello) client.send_all({&byte, 1});
  const auto answers = answers_in(client.receive_all());
  ASSERT_EQ(answers.size(), 1U);
  expect_hello(answers[0]);
}

std::string post(const std::string& path, const std::string& framing, const std::string& body) {
  return "POST " + path + " HTTP/1.1\r\nHost: a\r\n" + framing + "\r\n\r\n" + body;
}
std::string post_sized(const std::string& path, const std::string& body) {
  return post(path, "Content-Length: " + std::to_string(body.size()), body);
}
std::string post_in_chunks(const std::string& path, const std::string& chunks) {
  return post(path, "Transfer-Encoding: chunked", chunks);
}

TEST_P(Peers, AnswersEachRouteOnOneConnection) {
  if (peer_.name == "nginx") GTEST_SKIP() << "it has no program of its own";
  if (!start_http()) GTEST_SKIP() << why_not();
  const std::string chunks = "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
  const std::string requests =
      post_sized("/echo", "xyz") + post_in_chunks("/echo", chunks) + post_sized("/echo", "") +
      post_sized("/upload", "12345") + post_in_chunks("/upload", chunks) +
      "GET /chunked?n=4&size=1024 HTTP/1.1\r\nHost: a\r\n\r\n"
      "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n" +
      std::string(kLastHello);
  const auto answers = answers_in(Client(server_->port()).exchange(requests));
  ASSERT_EQ(answers.size(), 8U);
  EXPECT_EQ(answers[0].body, "xyz");
  EXPECT_TRUE(answers[0].chunks.empty());
  EXPECT_TRUE(answers[0].has("\r\nContent-Type: application/octet-stream\r\n"));
  EXPECT_EQ(answers[1].body, "abcde");
  EXPECT_FALSE(answers[1].chunks.empty());
  EXPECT_EQ(answers[2].body, "");
  EXPECT_TRUE(answers[2].has("\r\nContent-Length: 0\r\n")) << answers[2].head;
  EXPECT_EQ(answers[3].body, "5");
  EXPECT_EQ(answers[4].body, "5");
  EXPECT_EQ(answers[5].body, std::string(4096, 'x'));
  EXPECT_TRUE(answers[5].has("\r\nContent-Type: text/plain\r\n")) << answers[5].head;
  // Go frames as it likes.
  if (peer_.name != "Go") {
    EXPECT_EQ(answers[5].chunks, std::vector<std::size_t>(4, 1024));
  }
  EXPECT_EQ(answers[6].status, "HTTP/1.1 404 Not Found");
  expect_hello(answers[7]);
}

TEST_P(Peers, LargeBodiesComeAndGo) {
  if (peer_.name == "nginx") GTEST_SKIP() << "it has no program of its own";
  if (!start_http()) GTEST_SKIP() << why_not();
  const std::string body = bytes_of(5 * kMiB);
  const std::string chunks = "100000\r\n" + body.substr(0, kMiB) + "\r\n400000\r\n" +
                             body.substr(kMiB) + "\r\n0\r\n\r\n";
  const std::string requests = post_sized("/echo", body) + post_in_chunks("/echo", chunks) +
                               post_in_chunks("/upload", chunks) +
                               "GET /chunked?n=20&size=1048576 HTTP/1.1\r\nHost: a\r\n\r\n" +
                               std::string(kLastHello);
  const auto answers = answers_in(Client(server_->port()).exchange(requests));
  ASSERT_EQ(answers.size(), 5U);
  EXPECT_TRUE(answers[0].body == body);
  EXPECT_TRUE(answers[1].body == body);
  EXPECT_EQ(answers[2].body, std::to_string(body.size()));
  EXPECT_TRUE(answers[3].body == std::string(20 * kMiB, 'x'));
  expect_hello(answers[4]);
}

// The client asks for 256 MiB and then does nothing: what is made for it goes with it.
TEST_P(Peers, ChunksAreMadeAsTheClientTakesThem) {
  if (peer_.name == "nginx") GTEST_SKIP() << "it has no program of its own";
  if (!start_http()) GTEST_SKIP() << why_not();
  {
    const Client client(server_->port());
    client.send_all("GET /chunked?n=256&size=1048576 HTTP/1.1\r\nHost: a\r\n\r\n");
    ASSERT_TRUE(client.ready(POLLIN, kPatienceMs));
  }
  const auto answers = answers_in(Client(server_->port()).exchange(kLastHello));
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_LT(resident_bytes_max(server_->pid()), 128 * kMiB);
}

TEST_P(Peers, SendsFilesWhereItIsSaidToHaveThem) {
  if (peer_.name != "nginx" && peer_.name != "Go") GTEST_SKIP() << "not asked of it";
  if (!start_http()) GTEST_SKIP() << why_not();
  const std::string get = "GET /static/file.bin HTTP/1.1\r\nHost: a\r\n\r\n";
  const auto answers =
      answers_in(Client(server_->port()).exchange(get + get + std::string(kLastHello)));
  ASSERT_EQ(answers.size(), 3U);
  for (const std::size_t i : {0U, 1U}) {
    EXPECT_EQ(answers[i].status, "HTTP/1.1 200 OK");
    EXPECT_TRUE(answers[i].body == std::string(100'000, 'f'));
  }
}

INSTANTIATE_TEST_SUITE_P(All, Peers, testing::ValuesIn(kNames), [](const auto& info) {
  std::string name = info.param;
  std::erase(name, ' ');
  return name;
});

int prepare_and_test() {
  const Directory made("weir-peers");
  directory = made.path();
  for (const char* name : {"/built", "/root"}) std::filesystem::create_directory(directory + name);
  std::ofstream(directory + "/root/file.bin") << std::string(100'000, 'f');
  return RUN_ALL_TESTS();
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc != 3) {
    std::fprintf(stderr, "usage: peers_test NGINX_STATIC A_SOURCE_OF_THE_PEERS\n");
    return 2;
  }
  weir::bench::nginx_static = std::filesystem::absolute(argv[1]);
  weir::bench::sources = std::filesystem::absolute(argv[2]).parent_path();
  return weir::bench::prepare_and_test();
}
