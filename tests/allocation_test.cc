// In the steady state nothing is allocated: not for a message, a timer, a task or a post.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tests/count_allocations.h"
#include "tests/reactor_world.h"
#include "weir/net/server.h"

namespace weir::test {
namespace {

using net::Server;
using net::Socket;

constexpr std::string_view kMessage =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static_assert(kMessage.size() == 64);

// What a client sends with.
enum class Source { literal, received, copied };

// Clients that each have `depth` messages under way, and a server that echoes them.
class EchoLoad {
 public:
  EchoLoad(Reactor& reactor, int clients, int depth, Source source)
      : server_(reactor), depth_(depth), source_(source) {
    server_.on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
    auto bound = server_.listen({.port = 0, .host = "127.0.0.1"});
    EXPECT_TRUE(bound.has_value());
    for (int i = 0; i < clients; ++i) {
      Socket& client = *clients_.emplace_back(std::make_unique<Socket>(reactor));
      client.set_no_delay();
      client.on_connect([this](Socket& socket) {
        for (int message = 0; message < depth_; ++message) send(socket);
      });
      client.on_data([this](Socket& socket, Buffer bytes) { received(socket, std::move(bytes)); });
      EXPECT_TRUE(client.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
    }
  }

  std::uint64_t messages() const { return bytes_ / kMessage.size(); }

 private:
  void send(Socket& socket) {
    if (source_ == Source::copied) {
      socket.write(kMessage);
    } else {
      socket.write(Buffer::literal(kMessage));
    }
  }

  void received(Socket& socket, Buffer bytes) {
    bytes_ += bytes.size();
    if (source_ == Source::received) {
      socket.write(std::move(bytes));
      return;
    }
    // However the stream was cut: one message out for each that has come back.
    for (; sent_ < messages(); ++sent_) send(socket);
  }

  Server server_;
  int depth_;
  Source source_;
  std::vector<std::unique_ptr<Socket>> clients_;
  std::uint64_t bytes_ = 0;
  std::uint64_t sent_ = 0;
};

class AllocationTest : public ReactorTest {
 protected:
  // Turns until `done`, each after a call of `before`.
  AllocationCounts count(const std::function<void()>& before, const std::function<bool()>& done) {
    const Instant end = reactor().now() + kReactorPatience;
    start_counting();
    while (!done() && reactor().now() < end) {
      before();
      reactor().run_once(end);
    }
    const AllocationCounts counts = stop_counting();
    EXPECT_TRUE(done());
    return counts;
  }

  AllocationCounts count_echoes(int clients, int depth, Source source) {
    constexpr std::uint64_t kWarmUp = 20'000;
    constexpr std::uint64_t kCounted = 100'000;
    EchoLoad load(reactor(), clients, depth, source);
    EXPECT_TRUE(run_until([&] { return load.messages() >= kWarmUp; }));
    const std::uint64_t until = load.messages() + kCounted;
    return count([] {}, [&] { return load.messages() >= until; });
  }

  static void expect_none(const AllocationCounts& counts) {
    EXPECT_EQ(counts.allocations, 0U);
    EXPECT_EQ(counts.frees, 0U);
    EXPECT_EQ(counts.mappings, 0U);
    if (counts.allocations != 0) print_stacks();
  }
};

TEST_P(AllocationTest, TheCounterCounts) {
  start_counting();
  void* memory = std::malloc(100);
  memory = std::realloc(memory, 200);
  auto* object = new std::string(1000, 'x');
  const AllocationCounts counts = stop_counting();
  EXPECT_EQ(counts.allocations, 4U);
  std::free(memory);
  delete object;
}

TEST_P(AllocationTest, AHundredThousandEchoesAllocateNothing) {
  expect_none(count_echoes(1, 1, Source::literal));
}

TEST_P(AllocationTest, ABufferThatGoesToAndFroAllocatesNothing) {
  expect_none(count_echoes(1, 4, Source::received));
}

TEST_P(AllocationTest, ACrowdOfPipeliningClientsAllocatesNothing) {
  expect_none(count_echoes(20, 8, Source::literal));
}

TEST_P(AllocationTest, ACopiedMessageAllocatesOnceAtMost) {
  const AllocationCounts counts = count_echoes(1, 1, Source::copied);
  RecordProperty("allocations", static_cast<int>(counts.allocations));
  EXPECT_LE(counts.allocations, 100'010U);
  EXPECT_EQ(counts.mappings, 0U);
}

TEST_P(AllocationTest, TimersAllocateNothing) {
  std::array<Timer, 100> timers;
  std::uint64_t fired = 0;
  const auto arm = [&](std::size_t i) {
    timers[i] = reactor().after(std::chrono::microseconds(i), [&] { ++fired; });
  };
  const auto turn = [&] {
    for (std::size_t i = 0; i < timers.size(); ++i) {
      if (!timers[i].armed() || i % 3 == 0) arm(i);
    }
  };
  (void)count(turn, [&] { return fired > 500; });
  expect_none(count(turn, [&] { return fired > 5000; }));
}

TEST_P(AllocationTest, PostedAndDeferredTasksAllocateNothing) {
  std::uint64_t ran = 0;
  const std::array<std::uint64_t, 4> capture{};
  const auto turn = [&] {
    for (int i = 0; i < 100; ++i) {
      (void)reactor().post([&ran, capture] { ran += 1 + capture[0]; });
      (void)reactor().defer([&ran, capture] { ran += 1 + capture[0]; });
    }
  };
  (void)count(turn, [&] { return ran > 10'000; });
  expect_none(count(turn, [&] { return ran > 210'000; }));
}

INSTANTIATE_TEST_SUITE_P(Backends, AllocationTest, testing::ValuesIn(main_backends()), case_name);

}  // namespace
}  // namespace weir::test
