// Random chunks over many connections, echoed byte by byte while io_uring gives short lengths, ends
// requests that repeat, says "again" and is not to be entered: nobody notices.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "tests/pair.h"
#include "tests/random.h"
#include "tests/uring_chance.h"
#include "tests/uring_world.h"

namespace weir::test {
namespace {

class ChanceTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override { skip_without_faults(); }
  // Over all of them, each kind of fault was there.
  static void TearDownTestSuite() {
    if (!uring_faults_work()) return;
    const UringCounts counts = uring_counts();
    EXPECT_EQ(counts.strays, 0U);
    EXPECT_GT(counts.failed, 0U);
    EXPECT_GT(counts.ended, 0U);
    EXPECT_GT(counts.ended_well, 0U);
    EXPECT_GT(counts.shortened, 0U);
    EXPECT_GT(counts.refused, 0U);
  }
};

// One end of a stream that comes back.
struct Echoed {
  explicit Echoed(Reactor& reactor) : socket(reactor) {}

  // Goes on after a piece that filled the queue when that has drained.
  void write(Random& random) {
    while (sent < bytes.size()) {
      const std::size_t largest = random.once_in(10) ? 100'000 : 3000;
      const std::size_t size = std::min(1 + random.below(largest), bytes.size() - sent);
      const Write result = socket.write(std::string_view(bytes).substr(sent, size));
      sent += size;
      if (result != Write::ok) return;
    }
    socket.end();
  }

  Socket socket;
  std::string bytes;
  std::string back;
  std::size_t sent = 0;
  bool failed = false;
  int closes = 0;
};

// Sends, pauses and goes on as the seed says.
void echo(Reactor& reactor, Random& random) {
  constexpr int kConnections = 60;
  Server server(reactor);
  server.on_data([](Socket& socket, Buffer bytes) {
    if (socket.write(std::move(bytes)) != Write::ok) socket.pause();
  });
  server.on_drain([](Socket& socket) { socket.resume(); });
  std::size_t server_errors = 0;
  server.on_error([&](Socket&, const Error&) { ++server_errors; });
  server.on_server_error([&](Server&, const Error&) { ++server_errors; });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  std::deque<Echoed> all;
  for (int i = 0; i < kConnections; ++i) {
    Echoed& one = all.emplace_back(reactor);
    one.bytes = pattern(1 + random.below(random.once_in(6) ? 1'000'000 : 20'000),
                        static_cast<unsigned>(i));
    one.socket.on_connect([&](Socket&) { one.write(random); });
    one.socket.on_drain([&](Socket&) { one.write(random); });
    one.socket.on_data([&](Socket& socket, Buffer bytes) {
      one.back += bytes.view();
      if (!random.once_in(8)) return;
      socket.pause();
      reactor.defer([&socket] { socket.resume(); });
    });
    one.socket.on_error([&](Socket&, const Error&) { one.failed = true; });
    one.socket.on_close([&](Socket&, std::error_code) { ++one.closes; });
    ASSERT_TRUE(one.socket.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
  }
  const Instant end = reactor.now() + kPatience;
  const auto closed = [](const Echoed& one) { return one.closes != 0; };
  while (!std::ranges::all_of(all, closed) && reactor.now() < end) reactor.run_once(end);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Echoed& one = all[i];
    EXPECT_EQ(one.closes, 1) << "connection " << i;
    EXPECT_FALSE(one.failed) << "connection " << i;
    EXPECT_TRUE(one.back == one.bytes)
        << "connection " << i << ": " << one.back.size() << " of " << one.bytes.size();
  }
  EXPECT_EQ(server_errors, 0U);
}

TEST_P(ChanceTest, EveryByteComesBack) {
  for_seeds(6, [](Random& random) {
    UringChance chance(random.next());
    const UringFaults faults(chance);
    auto chosen = choose_backend(uring_backend(GetParam()).options);
    ASSERT_TRUE(chosen.has_value()) << chosen.error().message();
    Reactor reactor(std::move(chosen->backend));
    echo(reactor, random);
  });
}

INSTANTIATE_TEST_SUITE_P(Backends, ChanceTest,
                         testing::Values("io_uring", "io_uring_plain_ring", "io_uring_no_ring",
                                         "io_uring_coop_taskrun", "io_uring_tiny_ring"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace weir::test
