// Rings of 8 entries, completion queues of 16, 4 receive buffers: a thousand connections get all of
// their bytes, every operation its one last completion, and nobody spins meanwhile.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <unordered_map>
#include <vector>

#include "tests/pair.h"
#include "tests/random.h"
#include "tests/uring_world.h"

namespace weir::test {
namespace {

// A ring has 8192 completions at least; these have 16.
class SmallQueue final : public UringSchedule {
 public:
  void on_setup(io_uring_params& params) override {
    if ((params.flags & IORING_SETUP_CQSIZE) != 0) params.cq_entries = 16;
  }
};

// And now and then the kernel takes no entries, so that the submission queue stays full.
class BusyKernel final : public UringSchedule {
 public:
  void on_setup(io_uring_params& params) override { small_.on_setup(params); }
  int on_enter(bool first) override { return !first && ++entries_ % 10 == 0 ? EBUSY : 0; }

 private:
  SmallQueue small_;
  int entries_ = 0;
};

BackendOptions small_ring(bool incremental) {
  BackendOptions options{.kind = BackendKind::io_uring};
  options.uring.entries = 8;
  options.uring.ring_chunks = 4;
  options.uring.incremental = incremental;
  // Half of it stands in the ring: four chunks, or 64 plain buffers of 16 KiB.
  options.receive_memory_max = 8 * limits::kReceiveChunkBytes;
  return options;
}

// ---- A thousand connections ----

class SmallRingTest : public testing::TestWithParam<bool> {
 protected:
  static constexpr std::size_t kConnections = 1000;

  void SetUp() override {
    skip_without_faults();
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = std::min<rlim_t>(files.rlim_max, 8192);
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < 2 * kConnections + 100) GTEST_SKIP() << "too few descriptors";
  }
};

struct Client {
  explicit Client(Reactor& reactor) : socket(reactor) {}
  Socket socket;
  std::string bytes;
  std::string back;
  int closes = 0;
  bool failed = false;
};

TEST_P(SmallRingTest, AThousandConnectionsGetTheirBytesWithoutASpin) {
  SmallQueue schedule;
  const UringFaults faults(schedule);
  auto chosen = choose_backend(small_ring(GetParam()));
  ASSERT_TRUE(chosen.has_value()) << chosen.error().message();
  Reactor reactor(std::move(chosen->backend));
  Server server(reactor);
  // Kept until nothing moves any more, so that the memory is certain to run out.
  std::vector<Buffer> held;
  server.on_data([&](Socket& socket, Buffer bytes) {
    held.push_back(bytes.share());
    socket.write(std::move(bytes));
  });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  Random random(1);
  std::deque<Client> clients;
  for (std::size_t i = 0; i < kConnections; ++i) {
    Client& one = clients.emplace_back(reactor);
    one.bytes = pattern(1 + random.below(30'000), static_cast<unsigned>(i));
    one.socket.on_connect([&one](Socket& socket) { socket.write(one.bytes); });
    one.socket.on_data([&one](Socket& socket, Buffer bytes) {
      one.back += bytes.view();
      if (one.back.size() == one.bytes.size()) socket.end();
    });
    one.socket.on_error([&one](Socket&, const Error&) { one.failed = true; });
    one.socket.on_close([&one](Socket&, std::error_code) { ++one.closes; });
    ASSERT_TRUE(one.socket.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
  }
  const Instant end = reactor.now() + 2 * kPatience;
  const auto closed = [](const Client& one) { return one.closes != 0; };
  std::size_t idle_turns = 0;
  while (!std::ranges::all_of(clients, closed) && reactor.now() < end) {
    if (reactor.run_once(std::chrono::milliseconds(5)) != 0) continue;
    ++idle_turns;
    held.clear();
  }
  for (const Client& one : clients) {
    ASSERT_EQ(one.closes, 1);
    EXPECT_FALSE(one.failed);
    ASSERT_TRUE(one.back == one.bytes) << one.back.size() << " of " << one.bytes.size();
  }
  const Counters counters = reactor.counters();
  EXPECT_GT(counters.kernel.ring_dry.value(), 0U) << "nothing was short";
  EXPECT_GT(uring_counts().overflows, 0U) << "nothing was short";
  EXPECT_EQ(uring_counts().strays, 0U);
  // Here some 12 000 completions take 110 turns and 7000 system calls.
  const std::uint64_t completions = counters.kernel.completions.value();
  EXPECT_LT(idle_turns, kConnections);
  EXPECT_LT(counters.turns, completions);
  EXPECT_LT(counters.kernel.system_calls.value(), 2 * completions);
}

// Everybody sends, and somebody keeps all the memory: nothing moves, and nobody asks for it again
// and again.
TEST_P(SmallRingTest, WithoutMemoryItRests) {
  SmallQueue schedule;
  const UringFaults faults(schedule);
  auto chosen = choose_backend(small_ring(GetParam()));
  ASSERT_TRUE(chosen.has_value()) << chosen.error().message();
  constexpr std::size_t kEach = 20'000;
  const std::string bytes = pattern(kEach, 1);
  Reactor reactor(std::move(chosen->backend));
  std::vector<Buffer> held;
  std::size_t received = 0;
  bool right = true;
  Server server(reactor);
  std::unordered_map<Socket*, std::size_t> at;
  server.on_data([&](Socket& socket, Buffer part) {
    std::size_t& from = at[&socket];
    right = right && part.view() == std::string_view(bytes).substr(from, part.size());
    from += part.size();
    received += part.size();
    held.push_back(std::move(part));
  });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  std::deque<Socket> clients;
  for (std::size_t i = 0; i < kConnections; ++i) {
    Socket& one = clients.emplace_back(reactor);
    one.on_connect([&](Socket& socket) { socket.write(bytes); });
    ASSERT_TRUE(one.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
  }
  // Until several turns in a row have had nothing.
  for (int quiet = 0; quiet < 20;) {
    quiet = reactor.run_once(std::chrono::milliseconds(2)) == 0 ? quiet + 1 : 0;
  }
  ASSERT_LT(received, kConnections * kEach) << "nothing is short";
  const Counters before = reactor.counters();
  const Instant end = reactor.now() + std::chrono::milliseconds(300);
  while (reactor.now() < end) reactor.run_once(end);
  const Counters after = reactor.counters();
  EXPECT_LT(after.turns - before.turns, 20U);
  EXPECT_LT(after.kernel.system_calls.value() - before.kernel.system_calls.value(), 50U);
  const Instant late = reactor.now() + kPatience;
  while (received < kConnections * kEach && reactor.now() < late) {
    held.clear();
    reactor.run_once(late);
  }
  EXPECT_EQ(received, kConnections * kEach);
  EXPECT_TRUE(right) << "bytes come as they were sent";
  EXPECT_EQ(uring_counts().strays, 0U);
}

INSTANTIATE_TEST_SUITE_P(Buffers, SmallRingTest, testing::Values(true, false),
                         [](const auto& info) { return info.param ? "Incremental" : "Plain"; });

// ---- Completions ----

// Polls that are answered at once, submitted again with each answer.
class Answers {
 public:
  Answers(Backend& backend, std::size_t wanted) : backend_(backend), left_(wanted) {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends_), 0);
    for (std::size_t i = 0; i < kAtOnce; ++i) polls_.emplace_back(*this);
  }
  ~Answers() {
    for (const int fd : ends_) backend_.close(fd);
  }
  Answers(const Answers&) = delete;
  Answers& operator=(const Answers&) = delete;

  // False when some never come.
  bool take_all() {
    const Instant end = backend_.now() + kPatience;
    for (One& one : polls_) submit(one);
    std::vector<Completion> batch(limits::kCompletionsPerTurnMax);
    while (in_flight_ != 0 && backend_.now() < end) {
      const std::size_t count = backend_.poll(end, batch);
      for (std::size_t i = 0; i < count; ++i) {
        if (!batch[i].more) batch[i].op->state = OpState::idle;
        batch[i].op->done(*batch[i].op, batch[i]);
      }
    }
    return in_flight_ == 0;
  }
  std::size_t taken() const { return taken_; }
  std::size_t wrong() const { return wrong_; }

 private:
  static constexpr std::size_t kAtOnce = 300;

  struct One : PollOp {
    explicit One(Answers& its_all) : PollOp(on_done), all(its_all) {}
    static void on_done(Op& op, Completion& completion) noexcept {
      static_cast<One&>(op).all.take(static_cast<One&>(op), completion);
    }
    Answers& all;
    bool waits = false;
  };

  void submit(One& one) {
    if (left_ == 0) return;
    --left_;
    ++in_flight_;
    one.waits = true;
    one.fd = ends_[0];
    one.wanted = {Events::writable};
    backend_.submit(one);
  }
  void take(One& one, const Completion& completion) {
    const bool right = one.waits && !completion.more && completion.result == Events::writable;
    if (!right) ++wrong_;
    one.waits = false;
    ++taken_;
    --in_flight_;
    submit(one);
  }

  Backend& backend_;
  int ends_[2] = {-1, -1};
  std::deque<One> polls_;
  std::size_t left_;
  std::size_t in_flight_ = 0;
  std::size_t taken_ = 0;
  std::size_t wrong_ = 0;
};

// A million takes a second or two; WEIR_COMPLETIONS=n: as many.
TEST(SmallRing, NoCompletionIsLostWhenBothQueuesAreFull) {
  skip_without_faults();
  if (testing::Test::IsSkipped()) return;
  const char* chosen_count = std::getenv("WEIR_COMPLETIONS");
  const std::size_t wanted =
      chosen_count == nullptr ? 1'000'000 : std::strtoull(chosen_count, nullptr, 10);
  BusyKernel schedule;
  const UringFaults faults(schedule);
  const UringCounts before = uring_counts();
  auto chosen = choose_backend(small_ring(true));
  ASSERT_TRUE(chosen.has_value()) << chosen.error().message();
  {
    Answers answers(*chosen->backend, wanted);
    EXPECT_TRUE(answers.take_all()) << answers.taken() << " of " << wanted;
    EXPECT_EQ(answers.taken(), wanted);
    EXPECT_EQ(answers.wrong(), 0U);
  }
  const UringCounts after = uring_counts();
  EXPECT_GE(after.completions - before.completions, wanted);
  EXPECT_GT(after.overflows - before.overflows, 0U) << "there was room all the time";
  EXPECT_GT(after.refused - before.refused, 0U);
  EXPECT_EQ(after.strays, before.strays);
}

}  // namespace
}  // namespace weir::test
