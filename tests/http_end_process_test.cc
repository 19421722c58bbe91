// SIGTERM at the demo server while a thousand requests are in flight: it accepts no more, cuts no
// answer, and leaves.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <vector>

#include "tests/http_process.h"

namespace weir::test {
namespace {

constexpr std::size_t kUnread = 100;     // whose answers are partly out
constexpr std::size_t kHalfSent = 300;   // whose bodies are partly in
constexpr std::size_t kJustSent = 600;   // that the server has not seen yet
constexpr std::size_t kChunks = 24;
constexpr std::size_t kChunkBytes = 65536;

class HttpEnd : public HttpProcessTest {
 protected:
  void SetUp() override {
    // A descriptor each here, and one in the server, which inherits the limit.
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 4000);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  std::vector<FileClient> dial_all(std::size_t count, const RawOptions& options = {}) const {
    std::vector<FileClient> clients;
    clients.reserve(count);
    for (std::size_t i = 0; i < count; ++i) clients.push_back(dial(options));
    return clients;
  }
  void ends_and_cuts_none();
};

void HttpEnd::ends_and_cuts_none() {
  const std::string half(10'000, 'b');
  std::vector<FileClient> unread = dial_all(kUnread, kNarrow);
  for (FileClient& client : unread) {
    ASSERT_TRUE(client.ask("GET", chunked_target(kChunks, kChunkBytes)));
  }
  std::vector<FileClient> half_sent = dial_all(kHalfSent);
  for (FileClient& client : half_sent) {
    ASSERT_TRUE(client.raw().send_all(post("/", 2 * half.size()) + half));
  }
  std::vector<FileClient> just_sent = dial_all(kJustSent);
  for (FileClient& client : just_sent) ASSERT_TRUE(client.answers_on("/hello"));
  ASSERT_TRUE(until_it_waits(pid()));
  // It sees these requests together with the signal.
  ASSERT_EQ(kill(pid(), SIGSTOP), 0);
  for (FileClient& client : just_sent) ASSERT_TRUE(client.ask("GET", "/hello"));
  ASSERT_EQ(kill(pid(), SIGTERM), 0);
  const Stopwatch watch;
  ASSERT_EQ(kill(pid(), SIGCONT), 0);
  ASSERT_TRUE(eventually([&] { return !connect().connected(); })) << "it goes on accepting";

  std::size_t cut = 0;
  for (FileClient& client : half_sent) client.raw().send_all(half);
  for (FileClient& client : just_sent) {
    const bool whole = client.read_head().status == 200 && client.read_text(100) == "Hello, World!";
    cut += whole && client.raw().at_end() ? 0U : 1U;
  }
  for (FileClient& client : half_sent) {
    const bool whole = client.read_head().status == 200 &&
                       client.read_text(2 * half.size()) == half + half && client.raw().at_end();
    cut += whole ? 0U : 1U;
  }
  for (FileClient& client : unread) {
    cut += read_chunked(client, kChunks, kChunkBytes) && client.raw().at_end() ? 0U : 1U;
  }
  EXPECT_EQ(cut, 0U);
  for (std::vector<FileClient>* clients : {&unread, &half_sent, &just_sent}) clients->clear();
  EXPECT_TRUE(eventually([&] { return has_exited(pid()); }));
  report("answers cut by SIGTERM, of 1000", static_cast<double>(cut), "");
  report("from SIGTERM to the exit", watch.seconds(), "s");
  EXPECT_LT(watch.seconds(), 5);
  EXPECT_TRUE(server_->stop().has_value()) << "it left in another way";
  server_.reset();
}

TEST_P(HttpEnd, SigtermCutsNoneOfAThousandAnswers) {
  start_server();
  ends_and_cuts_none();
}

TEST_P(HttpEnd, NorWithThreeThreadsBehindOneListener) {
  start_server({"--threads", "3", "--balance"});
  ends_and_cuts_none();
}

WEIR_ON_PROCESS_BACKENDS(HttpEnd);

}  // namespace
}  // namespace weir::test
