// The reactor as a guest of another loop; its options, counters, destruction, and two at a time.
#include <gtest/gtest.h>
#include <poll.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/reactor_world.h"
#include "weir/net/server.h"

namespace weir::test {
namespace {

using net::Server;
using net::Socket;
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// Echoes messages of 64 bytes between a server and a client of one reactor.
class Echo {
 public:
  explicit Echo(Reactor& reactor) : server_(reactor), client_(reactor) {
    server_.on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
    auto bound = server_.listen({.port = 0, .host = "127.0.0.1"});
    EXPECT_TRUE(bound.has_value());
    client_.on_connect([this](Socket&) { send(); });
    client_.on_data([this](Socket&, Buffer bytes) {
      received_ += bytes.size();
      if (received_ < 64) return;
      received_ -= 64;
      ++echoes_;
      if (echoes_ < wanted_) send();
    });
    EXPECT_TRUE(client_.connect({.port = bound->port()}).has_value());
  }
  void want(int echoes) {
    const bool resting = echoes_ == wanted_ && echoes_ > 0;
    wanted_ += echoes;
    if (resting) send();
  }
  bool done() const { return echoes_ == wanted_; }
  int echoes() const { return echoes_; }

 private:
  void send() { EXPECT_EQ(client_.write(Buffer::literal(kMessage)), net::Write::ok); }

  static constexpr std::string_view kMessage =
      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
  Server server_;
  Socket client_;
  std::size_t received_ = 0;
  int echoes_ = 0;
  int wanted_ = 0;
};

// ---- Embedding ----

class HostTest : public ReactorTest {
 protected:
  void SetUp() override {
    ReactorTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_GE(reactor().fd(), 0);
  }

  // The other loop: poll(2) decides when the reactor has a turn. False when nothing wakes it.
  bool host_until(const std::function<bool()>& done) {
    const int kPatienceMs = static_cast<int>(kReactorPatience / milliseconds(1));
    while (!done()) {
      reactor().prepare();
      if (done()) break;  // by a deferred task
      pollfd entry{.fd = reactor().fd(), .events = POLLIN, .revents = 0};
      if (::poll(&entry, 1, kPatienceMs) == 0) return false;
      ++wakeups_;
      reactor().run_once(reactor().now());
    }
    return true;
  }

  int wakeups_ = 0;
};

TEST_P(HostTest, TheFdIsMadeOnce) { EXPECT_EQ(reactor().fd(), reactor().fd()); }

TEST_P(HostTest, TimersWakeTheHostWithoutSpinning) {
  constexpr int kTimers = 20;
  int fired = 0;
  Timer timer;
  std::function<void()> fire = [&] {
    if (++fired < kTimers) timer = reactor().after(milliseconds(3), [&] { fire(); });
  };
  timer = reactor().after(milliseconds(3), [&] { fire(); });
  ASSERT_TRUE(host_until([&] { return fired == kTimers; }));
  EXPECT_LE(wakeups_, 4 * kTimers);
}

TEST_P(HostTest, ALongSleepIsOneSleep) {
  bool fired = false;
  Timer timer = reactor().after(milliseconds(300), [&] { fired = true; });
  ASSERT_TRUE(host_until([&] { return fired; }));
  EXPECT_LE(wakeups_, 12);
}

TEST_P(HostTest, ATimerThatIsCancelledDoesNotWakeItForEver) {
  Timer cancelled = reactor().after(milliseconds(1), [] { ADD_FAILURE(); });
  reactor().prepare();
  cancelled.cancel();
  bool fired = false;
  Timer timer = reactor().after(milliseconds(50), [&] { fired = true; });
  ASSERT_TRUE(host_until([&] { return fired; }));
  EXPECT_LE(wakeups_, 12);
}

TEST_P(HostTest, PostsOfAnotherThreadWakeTheHost) {
  constexpr int kPosts = 1000;
  int ran = 0;
  std::atomic<int> seen{0};
  std::thread other([&] {
    for (int i = 0; i < kPosts; ++i) {
      while (!reactor().post([&] { seen = ++ran; })) std::this_thread::yield();
      // Half of them one at a time, so that the host has gone to sleep again.
      while (i % 2 == 0 && seen.load() <= i) std::this_thread::yield();
    }
  });
  const bool all = host_until([&] { return ran == kPosts; });
  other.join();
  EXPECT_TRUE(all) << ran;
  EXPECT_LE(wakeups_, 4 * kPosts);
}

TEST_P(HostTest, DeferredTasksDoNotWaitForAnEvent) {
  int ran = 0;
  ASSERT_TRUE(reactor().defer([&] { ++ran; }));
  ASSERT_TRUE(reactor().post([&] { ++ran; }));
  ASSERT_TRUE(host_until([&] { return ran == 2; }));
  // More than prepare() may run at one time.
  std::function<void()> again = [&] {
    if (++ran == 100) return;
    EXPECT_TRUE(reactor().defer([&] { again(); }));
  };
  ASSERT_TRUE(reactor().defer([&] { again(); }));
  ASSERT_TRUE(host_until([&] { return ran == 100; }));
  EXPECT_LE(wakeups_, 30);
}

TEST_P(HostTest, SocketsWorkWithoutSpinning) {
  constexpr int kEchoes = 500;
  Echo echo(reactor());
  echo.want(kEchoes);
  ASSERT_TRUE(host_until([&] { return echo.done(); }));
  EXPECT_LE(wakeups_, 10 * kEchoes);
  // At rest nothing wakes it but the timer.
  wakeups_ = 0;
  bool fired = false;
  Timer timer = reactor().after(milliseconds(50), [&] { fired = true; });
  ASSERT_TRUE(host_until([&] { return fired; }));
  EXPECT_LE(wakeups_, 15);
}

TEST_P(HostTest, WhatWasWrittenBetweenTurnsIsSent) {
  Echo echo(reactor());
  echo.want(1);
  ASSERT_TRUE(host_until([&] { return echo.done(); }));
  for (int i = 0; i < 20; ++i) {
    echo.want(1);  // outside of any handler
    ASSERT_TRUE(host_until([&] { return echo.done(); }));
  }
}

TEST_P(HostTest, WatchesWakeTheHost) {
  const auto [mine, theirs] = make_pair();
  std::string seen;
  Watch watch = reactor().watch(mine, Events{Events::readable}, [&, mine = mine](Events) {
    char byte = '\0';
    if (read_some(mine, {&byte, 1}) == 1) seen += byte;
  });
  reactor().prepare();
  EXPECT_EQ(write_some(theirs, "abcdef"), 6);
  ASSERT_TRUE(host_until([&] { return seen == "abcdef"; }));
  EXPECT_LE(wakeups_, 40);
  watch.cancel();
  reactor().run_once(Duration::zero());
  close_fd(mine);
  close_fd(theirs);
}

TEST_P(HostTest, RunWorksAfterTheHostHasHadIt) {
  Echo echo(reactor());
  for (int i = 0; i < 3; ++i) {
    echo.want(10);
    ASSERT_TRUE(host_until([&] { return echo.done(); }));
    echo.want(10);
    ASSERT_TRUE(run_until([&] { return echo.done(); }));
  }
}

WEIR_ON_KERNEL_BACKENDS(HostTest);

TEST(SimHost, HasNoFd) {
  const auto reactor = std::make_unique<Reactor>(std::make_unique<SimBackend>());
  EXPECT_EQ(reactor->fd(), -1);
  reactor->prepare();
}

// ---- Options and counters ----

class PlainTest : public ReactorTest {};

TEST_P(PlainTest, BusyPollSeesEverything) {
  for (const bool adaptive : {false, true}) {
    remake({.busy_poll = milliseconds(2), .busy_poll_adaptive = adaptive});
    Echo echo(reactor());
    echo.want(100);
    ASSERT_TRUE(run_until([&] { return echo.done(); }));
    int fired = 0;
    Timer timer = reactor().after(milliseconds(5), [&] { ++fired; });
    ASSERT_TRUE(run_until([&] { return fired == 1; }));
    int ran = 0;
    std::thread other([&] {
      for (int i = 0; i < 1000; ++i) {
        while (!reactor().post([&] { ++ran; })) std::this_thread::yield();
      }
      reactor().stop();
    });
    const WorkGuard guard(reactor());
    reactor().run();
    other.join();
    ASSERT_TRUE(run_until([&] { return ran == 1000; }));
  }
}

TEST_P(PlainTest, CountersSayWhatHasHappened) {
  EXPECT_EQ(reactor().counters().backend, GetParam().options.kind);
  EXPECT_EQ(reactor().counters().reason, "given");
  EXPECT_EQ(reactor().counters().sockets, 0U);
  {
    Echo echo(reactor());
    echo.want(50);
    Timer timer = reactor().after(milliseconds(1), [] {});
    ASSERT_TRUE(reactor().post([] {}));
    ASSERT_TRUE(reactor().defer([] {}));
    ASSERT_TRUE(run_until([&] { return echo.done() && !timer.armed(); }));
    const Counters counters = reactor().counters();
    EXPECT_EQ(counters.sockets, 2U);
    EXPECT_EQ(counters.queue_bytes, 0U);
    EXPECT_EQ(counters.timers, 1U);
    EXPECT_EQ(counters.tasks, 2U);
    EXPECT_GE(counters.kernel.completions, 200U);
    EXPECT_GT(counters.kernel.system_calls, 0U);
    EXPECT_GE(counters.turns, 50U);
    EXPECT_EQ(counters.unhandled_errors, 0U);
  }
  ASSERT_TRUE(run_until([&] { return reactor().counters().sockets == 0; }));
}

TEST_P(PlainTest, CreateMakesWhatWasAskedFor) {
  auto made =
      Reactor::create({.backend = GetParam().options.kind, .uring = GetParam().options.uring});
  ASSERT_TRUE(made.has_value()) << made.error().message();
  const Counters counters = (*made)->counters();
  EXPECT_EQ(counters.backend, GetParam().options.kind);
  EXPECT_FALSE(counters.reason.empty());
  EXPECT_FALSE(counters.refusal);
}

TEST_P(PlainTest, UnhandledErrorsAreCountedAndLoggedOnceASecond) {
  std::vector<std::string> lines;
  remake({.log = [&](std::string_view line) { lines.emplace_back(line); }});
  const Error error{.code = errno_code(EPIPE), .syscall = "write"};
  for (int i = 0; i < 100; ++i) reactor().report_unhandled(error);
  EXPECT_EQ(reactor().counters().unhandled_errors, 100U);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("write EPIPE"), std::string::npos) << lines[0];
  EXPECT_EQ(lines[0].find('\n'), std::string::npos);
  int taken = 0;
  reactor().on_unhandled_error([&](const Error&) { ++taken; });
  reactor().report_unhandled(error);
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(lines.size(), 1U);
}

// ---- Destruction ----

TEST_P(PlainTest, GoesWithEverythingInFlight) {
  const auto witness = std::make_shared<int>(0);
  for (int turns = 0; turns < 12; ++turns) {
    {
      Echo echo(reactor());
      echo.want(1000);
      Socket connecting(reactor());
      connecting.on_connect([witness](Socket&) {});
      connecting.on_error([witness](Socket&, const Error&) {});
      ASSERT_TRUE(connecting.connect({.host = "192.0.2.1", .port = 9}).has_value());
      Timer timer = reactor().after(hours(1), [witness] { ADD_FAILURE(); });
      for (int i = 0; i < turns; ++i) reactor().run_once(Duration::zero());
    }
    ASSERT_TRUE(reactor().post([witness] { ADD_FAILURE(); }));
    ASSERT_TRUE(reactor().defer([witness] { ADD_FAILURE(); }));
    destroy_reactor();
    EXPECT_EQ(witness.use_count(), 1) << "something was kept";
    remake({});
  }
}

TEST_P(PlainTest, GoesWithATaskThatOwnsAConnection) {
  const auto with_socket_in_a_task = [this](bool posted) {
    remake({});
    auto server = std::make_unique<Server>(reactor());
    auto client = std::make_unique<Socket>(reactor());
    auto bound = server->listen({.port = 0, .host = "127.0.0.1"});
    bool connected = false;
    client->on_connect([&](Socket&) { connected = true; });
    EXPECT_TRUE(client->connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
    if (!run_until([&] { return connected; })) std::_Exit(1);
    Function<void()> task = [held = std::move(client), also = std::move(server)] {};
    if (!(posted ? reactor().post(std::move(task)) : reactor().defer(std::move(task)))) {
      std::_Exit(1);
    }
    destroy_reactor();
  };
  // In a process of its own, since what can go wrong here is an abort.
  EXPECT_EXIT(
      {
        with_socket_in_a_task(true);
        with_socket_in_a_task(false);
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

// ---- Two ----

TEST_P(PlainTest, TwoReactorsRunInTwoThreads) {
  std::atomic<int> echoes{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    // Made here: ThreadSanitizer does not see the system calls with which liburing unmaps a ring,
    // and would take another ring at the same address for the same memory.
    threads.emplace_back([&echoes, mine = std::make_unique<Reactor>(make_backend())] {
      Echo echo(*mine);
      echo.want(500);
      const Instant end = mine->now() + kReactorPatience;
      while (!echo.done() && mine->now() < end) mine->run_once(end);
      echoes += echo.echoes();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(echoes, 1000);
}

TEST_P(PlainTest, TwoReactorsPostToEachOther) {
  constexpr int kRounds = 2000;
  auto left = std::make_unique<Reactor>(make_backend());
  auto right = std::make_unique<Reactor>(make_backend());
  int rounds = 0;
  std::function<void()> serve;
  std::function<void()> answer = [&] {
    if (++rounds == kRounds) {
      left->stop();
      right->stop();
      return;
    }
    EXPECT_TRUE(left->post([&] { serve(); }));
  };
  serve = [&] { EXPECT_TRUE(right->post([&] { answer(); })); };
  ASSERT_TRUE(left->post([&] { serve(); }));
  const auto run = [](std::unique_ptr<Reactor>& reactor) {
    const WorkGuard guard(*reactor);
    reactor->run();
  };
  std::thread other([&] { run(right); });
  run(left);
  other.join();
  EXPECT_EQ(rounds, kRounds);
}

TEST_P(PlainTest, MayBeMadeInOneThreadAndRunInAnother) {
  int echoes = 0;
  auto moved = std::make_unique<Reactor>(make_backend());
  std::thread([&echoes, reactor = std::move(moved)] {
    Echo echo(*reactor);
    echo.want(100);
    const Instant end = reactor->now() + kReactorPatience;
    while (!echo.done() && reactor->now() < end) reactor->run_once(end);
    echoes = echo.echoes();
  }).join();
  EXPECT_EQ(echoes, 100);
}

WEIR_ON_ALL_BACKENDS(PlainTest);

}  // namespace
}  // namespace weir::test
