// Tasks, scopes, groups, time and cancellation.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>

#include "tests/coro_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using coro::Task;

class CoroTaskTest : public CoroTest {
 protected:
  Task<int> fibonacci(int n) {
    if (n < 2) co_return n;
    const int before = co_await fibonacci(n - 2);
    const int last = co_await fibonacci(n - 1);
    co_return before + last;
  }
  Task<int> ready(int value) { co_return value; }
  Task<> nothing() { co_return; }
  Task<int> deep(int levels) {
    if (levels == 0) {
      co_await coro::delay(1ms);
      co_return 0;
    }
    const int below = co_await deep(levels - 1);
    co_return below + 1;
  }
  Task<std::string> after(Duration delay, std::string name, std::vector<std::string>& log) {
    const auto slept = co_await coro::delay(delay);
    log.push_back(slept ? name : name + " " + outcome(slept));
    co_return name;
  }
};

TEST_P(CoroTaskTest, TasksGiveValues) {
  int result = 0;
  run([&]() -> Task<> { result = co_await fibonacci(15); });
  EXPECT_EQ(result, 610);
}

TEST_P(CoroTaskTest, SpawnRunsNothingInsideTheCallAndKeepsTheOrder) {
  std::string order;
  for (const char name : {'a', 'b', 'c'}) {
    scope_->spawn([&order, name]() -> Task<> {
      order += name;
      co_return;
    });
  }
  EXPECT_EQ(order, "");
  EXPECT_EQ(scope_->size(), 3U);
  ASSERT_TRUE(finish());
  EXPECT_EQ(order, "abc");
}

TEST_P(CoroTaskTest, ATaskThatIsNeverAwaitedNeverRuns) {
  int alive = 0;
  bool ran = false;
  {
    const auto body = [&](Alive) -> Task<> {
      ran = true;
      co_return;
    };
    Task<> dropped = body(Alive(alive));
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
  EXPECT_FALSE(ran);
}

TEST_P(CoroTaskTest, AMillionImmediateAwaitsDoNotGrowTheStack) {
  join();
  long sum = 0;
  const char* lowest = nullptr;
  const char* highest = nullptr;
  run([&]() -> Task<> {
    for (int i = 0; i < 1'000'000; ++i) {
      sum += co_await ready(1);
      if (i % 100 != 0) continue;
      const auto* here = static_cast<const char*>(__builtin_frame_address(0));
      if (lowest == nullptr) lowest = highest = here;
      lowest = std::min(lowest, here);
      highest = std::max(highest, here);
      static_cast<void>(co_await coro::when_all(nothing(), ready(2)));
      co_await stream().drain();
      co_await stream().read_exactly(0);
    }
  });
  EXPECT_EQ(sum, 1'000'000);
  EXPECT_LT(highest - lowest, 1 << 16);
}

TEST_P(CoroTaskTest, TenThousandCoroutinesDeepEndWithoutGrowingTheStack) {
  int depth = 0;
  run([&]() -> Task<> { depth = co_await deep(10'000); });
  EXPECT_EQ(depth, 10'000);
}

TEST_P(CoroTaskTest, DelaysAreInOrderAndNeverEarly) {
  std::vector<std::string> log;
  const Instant start = reactor().now();
  for (const int delay : {5, 1, 3, 2}) {
    scope_->spawn([this, &log, delay]() -> Task<> {
      static_cast<void>(co_await after(delay * 1ms, std::to_string(delay), log));
    });
  }
  reactor().run();  // until nothing is left that could happen
  EXPECT_TRUE(scope_->empty());
  EXPECT_GE(reactor().now() - start, 5ms);
  EXPECT_EQ(log, (std::vector<std::string>{"1", "2", "3", "5"}));
}

// ---- Groups ----

TEST_P(CoroTaskTest, AllAndAnyInEveryOrder) {
  std::array<int, 3> delays = {1, 4, 8};
  do {
    std::vector<std::string> log;
    std::size_t first = 9;
    run([&]() -> Task<> {
      auto [a, b, c] = co_await coro::when_all(after(delays[0] * 1ms, "a", log),
                                               after(delays[1] * 1ms, "b", log),
                                               after(delays[2] * 1ms, "c", log));
      EXPECT_EQ(a + b + c, "abc");
      auto any = co_await coro::when_any(after(delays[0] * 1ms, "a", log),
                                         after(delays[1] * 1ms, "b", log),
                                         after(delays[2] * 1ms, "c", log));
      first = any.first;
    });
    const auto fastest = std::min_element(delays.begin(), delays.end()) - delays.begin();
    EXPECT_EQ(first, static_cast<std::size_t>(fastest));
    ASSERT_EQ(log.size(), 6U);
    EXPECT_EQ(log[0], log[3]);
    std::sort(log.begin() + 4, log.end());
    for (std::size_t i = 4; i < 6; ++i) EXPECT_TRUE(log[i].ends_with(" ECANCELED")) << log[i];
  } while (std::next_permutation(delays.begin(), delays.end()));
}

TEST_P(CoroTaskTest, AnyWithOneThatIsReadyAtOnce) {
  for (int ready_one = 0; ready_one < 3; ++ready_one) {
    std::vector<std::string> log;
    std::size_t first = 9;
    const auto branch = [&](int which) -> Task<std::string> {
      if (which == ready_one) co_return "ready";
      co_return co_await after(1h, "slow", log);
    };
    run([&]() -> Task<> {
      auto any = co_await coro::when_any(branch(0), branch(1), branch(2));
      first = any.first;
      EXPECT_EQ(std::get<1>(any.results), ready_one == 1 ? "ready" : "slow");
    });
    EXPECT_EQ(first, static_cast<std::size_t>(ready_one));
    EXPECT_EQ(log, std::vector<std::string>(2, "slow ECANCELED"));
  }
}

TEST_P(CoroTaskTest, AReadWithATimeoutLosesNothing) {
  join();
  std::vector<std::string> results;
  run([&]() -> Task<> {
    auto late = co_await coro::when_any(stream().read_exactly(4), coro::delay(5ms));
    results.push_back(std::to_string(late.first) + text(std::get<0>(late.results)) +
                      outcome(std::get<1>(late.results)));
    peer_->write("ab");
    while (stream().socket()->bytes_read() < 2) co_await coro::delay(1ms);
    auto later = co_await coro::when_any(stream().read_exactly(4), coro::delay(5ms));
    results.push_back(std::to_string(later.first) + text(std::get<0>(later.results)));
    peer_->write("cd");
    auto intime = co_await coro::when_any(stream().read_exactly(4), coro::delay(1h));
    results.push_back(std::to_string(intime.first) + text(std::get<0>(intime.results)) +
                      outcome(std::get<1>(intime.results)));
  });
  EXPECT_EQ(results,
            (std::vector<std::string>{"1<ECANCELED>ok", "1<ECANCELED>", "0abcdECANCELED"}));
}

TEST_P(CoroTaskTest, AnyWaitsForALoserThatTakesItsTime) {
  std::string order;
  const auto tidy = [&]() -> Task<> {
    const auto slept = co_await coro::delay(1h);
    EXPECT_EQ(outcome(slept), "ECANCELED");
    EXPECT_TRUE((co_await coro::delay(2ms)).has_value());  // once
    order += "tidied ";
  };
  run([&]() -> Task<> {
    static_cast<void>(co_await coro::when_any(tidy(), coro::delay(1ms)));
    order += "went on";
  });
  EXPECT_EQ(order, "tidied went on");
}

TEST_P(CoroTaskTest, GroupsOfGroupsAreCancelledAsOne) {
  std::vector<std::string> log;
  std::string result;
  scope_->spawn([&]() -> Task<> {
    auto all = co_await coro::when_all(
        coro::when_any(coro::delay(1h), after(2h, "a", log)),
        coro::when_all(coro::delay(3h), after(4h, "b", log)), after(5h, "c", log));
    result = outcome(std::get<0>(std::get<0>(all).results));
    result += outcome(std::get<0>(std::get<1>(all)));
    result += outcome(co_await coro::delay(1ms));
  });
  run_for(1ms);
  scope_->cancel();
  EXPECT_TRUE(log.empty());  // not inside the call
  ASSERT_TRUE(finish());
  EXPECT_EQ(result, "ECANCELEDECANCELEDok");
  std::sort(log.begin(), log.end());
  EXPECT_EQ(log, (std::vector<std::string>{"a ECANCELED", "b ECANCELED", "c ECANCELED"}));
}

TEST_P(CoroTaskTest, ABranchMayCancelTheWhole) {
  std::string result;
  const auto rebel = [&]() -> Task<> {
    scope_->cancel();
    co_return;
  };
  run([&]() -> Task<> {
    auto all = co_await coro::when_all(rebel(), coro::delay(1h));
    result = outcome(std::get<1>(all));
  });
  EXPECT_EQ(result, "ECANCELED");
}

// ---- Cancellation ----

TEST_P(CoroTaskTest, EveryAwaitIsCancelledOnce) {
  join();
  peer_->pause();
  coro::Scope others(reactor());
  others.spawn([]() -> Task<> { static_cast<void>(co_await coro::delay(1h)); });
  const std::vector<std::function<Task<std::string>()>> awaits = {
      [&]() -> Task<std::string> { co_return outcome(co_await stream().read()); },
      [&]() -> Task<std::string> { co_return outcome(co_await stream().read_exactly(5)); },
      [&]() -> Task<std::string> { co_return outcome(co_await stream().read_until("\n", 5)); },
      [&]() -> Task<std::string> { co_return outcome(co_await acceptor_->accept()); },
      [&]() -> Task<std::string> { co_return outcome(co_await coro::delay(1h)); },
      [&]() -> Task<std::string> { co_return outcome(co_await others.join()); },
      [&]() -> Task<std::string> {
        const std::string much(16 << 20, 'x');
        co_return outcome(co_await stream().write(Buffer::copy(much)));
      },
      [&]() -> Task<std::string> { co_return outcome(co_await stream().drain()); },
      [&]() -> Task<std::string> {
        auto any = co_await coro::when_any(stream().read(), stream().drain());
        EXPECT_EQ(outcome(std::get<1>(any.results)), "ECANCELED");
        co_return outcome(std::get<0>(any.results));
      },
      [&]() -> Task<std::string> {
        auto all = co_await coro::when_all(stream().read(), coro::delay(1h));
        EXPECT_EQ(outcome(std::get<1>(all)), "ECANCELED");
        co_return outcome(std::get<0>(all));
      },
      [&]() -> Task<std::string> { co_return outcome(co_await stream().end()); },
      [&]() -> Task<std::string> { co_return outcome(co_await stream().closed()); },
  };
  int index = 0;
  for (const auto& make : awaits) {
    for (const bool started : {true, false}) {
      std::string result;
      std::string next;
      scope_->spawn([&]() -> Task<> {
        result = co_await make();
        next = outcome(co_await coro::delay(Duration::zero()));
      });
      if (started) run_for(2ms);
      scope_->cancel();
      scope_->cancel();
      EXPECT_EQ(result, "") << index;
      ASSERT_TRUE(finish()) << index;
      EXPECT_EQ(result, "ECANCELED") << index << started;
      EXPECT_EQ(next, "ok") << index << started;
    }
    ++index;
  }
  EXPECT_EQ(others.size(), 1U);
}

TEST_P(CoroTaskTest, ConnectingIsCancelled) {
  listen();
  std::string result;
  scope_->spawn([&]() -> Task<> {
    coro::Stream client(reactor());
    scope_->cancel();  // the next await
    result = outcome(co_await client.connect(port_, "127.0.0.1"));
    EXPECT_EQ(client.socket(), nullptr);
    auto [connected, cancelled] = co_await coro::when_all(client.connect(port_, "127.0.0.1"),
                                                          coro::delay(Duration::zero()));
    result += outcome(connected) + outcome(cancelled);
  });
  ASSERT_TRUE(finish());
  EXPECT_EQ(result, "ECANCELEDokok");
  scope_->spawn([&]() -> Task<> {
    coro::Stream client(reactor());
    result = outcome(co_await client.connect(port_, "127.0.0.1"));
    co_await client.closed();
    result += outcome(co_await client.connect(port_, "127.0.0.1"));
  });
  reactor().run_once(Duration::zero());
  scope_->cancel();
  ASSERT_TRUE(finish());
  EXPECT_EQ(result, "ECANCELEDok");
}

TEST_P(CoroTaskTest, JoinWaitsForAll) {
  coro::Scope children(reactor());
  std::vector<std::string> log;
  run([&]() -> Task<> {
    for (const int delay : {3, 1, 2}) {
      children.spawn([this, &log, delay]() -> Task<> {
        static_cast<void>(co_await after(delay * 1ms, std::to_string(delay), log));
      });
    }
    EXPECT_TRUE((co_await children.join()).has_value());
    log.emplace_back("joined");
    EXPECT_TRUE((co_await children.join()).has_value());
  });
  EXPECT_EQ(log, (std::vector<std::string>{"1", "2", "3", "joined"}));
}

// ---- Lifetimes ----

TEST_P(CoroTaskTest, DestroyingAScopeFreesAHundredSuspendedCoroutines) {
  join();
  int alive = 0;
  int resumed = 0;
  const auto wait = [&](int kind, [[maybe_unused]] Alive mine) -> Task<> {
    Alive local(alive);
    switch (kind % 4) {
      case 0: static_cast<void>(co_await coro::delay(1h)); break;
      case 1: static_cast<void>(co_await deep(1000)); break;
      case 2:
        static_cast<void>(co_await coro::when_any(deep(10), coro::delay(2h), deep(20)));
        break;
      default:
        if (kind == 3) static_cast<void>(co_await stream().read());
        static_cast<void>(co_await coro::delay(1h));
    }
    ++resumed;
  };
  for (int i = 0; i < 100; ++i) scope_->spawn(wait(i, Alive(alive)));
  // They are at their awaits: 'deep' ones sleep for 1 ms.
  reactor().run_once(Duration::zero());
  EXPECT_EQ(alive, 200);
  scope_->spawn(wait(0, Alive(alive)));  // has not started
  scope_.reset();
  EXPECT_EQ(alive, 0);
  peer_->write("x");
  run_for(5ms);
  EXPECT_EQ(resumed, 0);
  reactor().run_once(Duration::zero());
}

TEST_P(CoroTaskTest, AFrameThatOwnsItsConnectionEndsItWithItsScope) {
  listen();
  scope_->spawn([this]() -> Task<> {
    auto accepted = co_await acceptor_->accept();
    static_cast<void>(co_await accepted->read());
  });
  scope_->spawn([this]() -> Task<> {
    coro::Stream client(reactor());
    static_cast<void>(co_await client.connect(port_, "127.0.0.1"));
    static_cast<void>(co_await client.read());
  });
  ASSERT_TRUE(run_until([&] { return acceptor_->server().connections() == 1; }));
  run_for(1ms);
  scope_.reset();
  ASSERT_TRUE(run_until([&] { return reactor().counters().sockets == 0; }));
}

TEST_P(CoroTaskTest, AnEmptyScopeMayOutliveItsReactor) {
  auto short_lived = std::make_unique<Reactor>(make_backend());
  coro::Scope scope(*short_lived);
  short_lived.reset();
}

WEIR_ON_ALL_BACKENDS(CoroTaskTest);

// ---- Misuse ----

class CoroMisuseTest : public CoroTaskTest {};

TEST_P(CoroMisuseTest, AReactorThatGoesBeforeItsCoroutines) {
  EXPECT_DEATH(
      {
        auto short_lived = std::make_unique<Reactor>(make_backend());
        coro::Scope scope(*short_lived);
        scope.spawn([]() -> Task<> { static_cast<void>(co_await coro::delay(1h)); });
        short_lived->run_once(Duration::zero());
        short_lived.reset();
      },
      "roots_.empty");
}

TEST_P(CoroMisuseTest, ACoroutineThatDestroysItsScope) {
  EXPECT_DEATH(run([&]() -> Task<> {
                 scope_.reset();
                 co_return;
               }),
               "!running_");
}

TEST_P(CoroMisuseTest, AStreamThatGoesWhileSomebodyReads) {
  join();
  scope_->spawn([&]() -> Task<> { static_cast<void>(co_await stream().read()); });
  run_for(1ms);
  EXPECT_DEATH(stream_.reset(), "reader_ == nullptr");
}

TEST_P(CoroMisuseTest, TwoReadsAtATime) {
  join();
  const auto two = [&]() -> Task<> {
    static_cast<void>(co_await coro::when_all(stream().read(), stream().read()));
  };
  EXPECT_DEATH(run(two), "reader_ == nullptr");
}

TEST_P(CoroMisuseTest, ATaskThatIsAwaitedTwice) {
  EXPECT_DEATH(run([&]() -> Task<> {
                 Task<int> task = ready(1);
                 static_cast<void>(co_await std::move(task));
                 static_cast<void>(co_await std::move(task));
               }),
               "task_.handle");
}

WEIR_ON_SIM(CoroMisuseTest);

}  // namespace
}  // namespace weir::test
