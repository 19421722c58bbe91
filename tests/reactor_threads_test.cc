// A reactor that one thread makes, another runs and a third destroys, and what keeps run() going.
// What goes wrong here hangs; each case runs in a process of its own with an alarm.
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <thread>
#include <vector>

#include "tests/backends.h"
#include "tests/raw_client.h"
#include "weir/net/server.h"

namespace weir::test {
namespace {

constexpr unsigned kSecondsMax = 60;

class ReactorThreadsTest : public BackendTest {
 protected:
  void SetUp() override {
    BackendTest::SetUp();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }

  static ReactorOptions options() {
    return {.backend = GetParam().options.kind, .uring = GetParam().options.uring};
  }

  [[noreturn]] static void done() { std::_Exit(0); }

  static void run_here_destroy_there() {
    alarm(kSecondsMax);
    {
      Reactor reactor(options());
      net::Server server(reactor);
      if (!server.listen({.port = 0, .host = "127.0.0.1"})) std::_Exit(2);
      std::thread([&] {
        if (!reactor.post([&] { reactor.stop(); })) std::_Exit(3);
        reactor.run();
      }).join();
    }
    done();
  }

  // The thread that has run it goes on with something else, and nothing of the reactor with it.
  static void destroy_while_its_thread_lives(bool by_turns) {
    alarm(kSecondsMax);
    std::atomic<bool> ran{false};
    std::atomic<bool> over{false};
    std::thread runner;
    std::uint16_t port = 0;
    {
      Reactor reactor(options());
      net::Server server(reactor);
      const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
      if (!bound) std::_Exit(2);
      port = bound->port();
      runner = std::thread([&] {
        if (!reactor.post([&] { reactor.stop(); })) std::_Exit(3);
        if (by_turns) {
          reactor.run_once(Duration::zero());
        } else {
          reactor.run();
        }
        ran = true;
        ran.notify_one();
        over.wait(false);
      });
      ran.wait(false);
    }
    // The kernel ends it all soon, not at once.
    for (int error = 0; error != ECONNREFUSED;) {
      errno = 0;
      const RawClient client(port);
      error = client.connected() ? 0 : errno;
      const bool is_ending = error == 0 || error == ECONNRESET || error == ECONNREFUSED;
      if (!is_ending) std::_Exit(4);
    }
    over = true;
    over.notify_one();
    runner.join();
    done();
  }

  // More connections come than one turn handles, and that turn is the last one.
  static void destroy_with_results_that_wait() {
    alarm(kSecondsMax);
    std::vector<RawClient> clients;
    std::size_t accepted = 0;
    {
      Reactor reactor(options());
      net::Server server(reactor);
      server.on_connection([&](net::Socket&) { ++accepted; });
      const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
      if (!bound) std::_Exit(2);
      while (clients.size() < 2 * limits::kCompletionsPerTurnMax) {
        if (!clients.emplace_back(bound->port()).connected()) std::_Exit(4);
      }
      std::thread([&] {
        if (!reactor.post([&] { reactor.stop(); })) std::_Exit(3);
        reactor.run();
      }).join();
    }
    if (accepted == clients.size()) std::_Exit(5);
    for (const RawClient& client : clients) {
      char byte = 0;
      const bool waits = recv(client.fd(), &byte, 1, 0) < 0 && errno == EAGAIN;
      if (waits) std::_Exit(6);
    }
    done();
  }

  // Its sockets have gone where they belong, but what they were sending is still on its way.
  static void destroy_with_bytes_on_their_way() {
    alarm(kSecondsMax);
    auto reactor = std::make_unique<Reactor>(options());
    auto server = std::make_unique<net::Server>(*reactor);
    server->on_data([&](net::Socket& socket, Buffer bytes) {
      socket.write(std::move(bytes));
      socket.write(std::string(8U << 20, 'x'));
      reactor->stop();
    });
    const auto bound = server->listen({.port = 0, .host = "127.0.0.1"});
    if (!bound) std::_Exit(2);
    RawClient client(bound->port(), kNarrow);
    if (!client.send_all("some bytes")) std::_Exit(4);
    std::thread([&] {
      reactor->run();
      server.reset();
    }).join();
    reactor.reset();
    done();
  }

  static void run_by_turns_on_two_threads() {
    alarm(kSecondsMax);
    Reactor reactor(options());
    for (int i = 0; i < 2; ++i) {
      std::thread([&] { reactor.run_once(Duration::zero()); }).join();
    }
    done();
  }

  static void drop_guards_together() {
    alarm(kSecondsMax);
    Reactor reactor(options());
    for (int i = 0; i < 300; ++i) {
      auto first = std::make_unique<WorkGuard>(reactor);
      auto second = std::make_unique<WorkGuard>(reactor);
      std::atomic<int> ready{0};
      const auto drop = [&](std::unique_ptr<WorkGuard>& guard) {
        ready.fetch_add(1);
        while (ready.load() < 2) {
        }
        guard.reset();
      };
      std::thread one([&] { drop(first); });
      std::thread two([&] { drop(second); });
      reactor.run();
      one.join();
      two.join();
    }
    done();
  }

  static void drop_a_guard_while_busy() {
    alarm(kSecondsMax);
    ReactorOptions busy = options();
    busy.busy_poll = std::chrono::milliseconds(20);
    Reactor reactor(std::move(busy));
    for (int i = 0; i < 20; ++i) {
      auto guard = std::make_unique<WorkGuard>(reactor);
      std::atomic<bool> running{false};
      if (!reactor.post([&] { running.store(true); })) std::_Exit(3);
      std::thread dropper([&] {
        while (!running.load()) {
        }
        guard.reset();
      });
      reactor.run();
      dropper.join();
    }
    done();
  }
};

TEST_P(ReactorThreadsTest, OneThreadRunsItAndAnotherDestroysItWithOperationsInFlight) {
  EXPECT_EXIT(run_here_destroy_there(), testing::ExitedWithCode(0), "");
}

TEST_P(ReactorThreadsTest, NothingOfItStaysWithAThreadThatGoesOn) {
  for (const bool by_turns : {false, true}) {
    EXPECT_EXIT(destroy_while_its_thread_lives(by_turns), testing::ExitedWithCode(0), "")
        << (by_turns ? "run_once()" : "run()");
  }
}

TEST_P(ReactorThreadsTest, NoConnectionIsLeftOpenThatNobodyHasSeen) {
  EXPECT_EXIT(destroy_with_results_that_wait(), testing::ExitedWithCode(0), "");
}

TEST_P(ReactorThreadsTest, WhatIsOnItsWayIsDroppedByWhoeverDestroysIt) {
  EXPECT_EXIT(destroy_with_bytes_on_their_way(), testing::ExitedWithCode(0), "");
}

TEST_P(ReactorThreadsTest, ATurnOfAnotherThreadIsABugAndSaysSo) {
  EXPECT_EXIT(run_by_turns_on_two_threads(), testing::KilledBySignal(SIGABRT),
              "assertion failed: thread_ == ");
}

TEST_P(ReactorThreadsTest, GuardsDroppedTogetherLetItReturn) {
  EXPECT_EXIT(drop_guards_together(), testing::ExitedWithCode(0), "");
}

TEST_P(ReactorThreadsTest, AGuardDroppedWhileItPollsBusilyLetsItReturn) {
  EXPECT_EXIT(drop_a_guard_while_busy(), testing::ExitedWithCode(0), "");
}

WEIR_ON_KERNEL_BACKENDS(ReactorThreadsTest);

// Never early: also when the reactor has not looked at the clock for a while.
class ReactorClockTest : public BackendTest {};

TEST_P(ReactorClockTest, ATimerSetLongAfterTheLastTurnIsNotEarly) {
  using std::chrono::milliseconds;
  using Clock = std::chrono::steady_clock;
  Reactor reactor(make_backend());
  const Instant busy_until = Clock::now() + milliseconds(60);
  while (Clock::now() < busy_until) {
  }
  const Instant set = Clock::now();
  Instant fired{};
  Timer timer = reactor.after(milliseconds(30), [&] { fired = Clock::now(); });
  reactor.run();
  EXPECT_GE(fired - set, milliseconds(30));
}

WEIR_ON_KERNEL_BACKENDS(ReactorClockTest);

}  // namespace
}  // namespace weir::test
