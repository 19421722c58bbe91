// ReactorGroup: its threads, processors, services, and how it ends.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "tests/backends.h"
#include "tests/sanitized.h"
#include "tests/leaks.h"
#include "weir/reactor/reactor_group.h"

namespace weir::test {
namespace {

std::set<int> processors_of_this_thread() {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  std::set<int> processors;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(static_cast<unsigned>(i), &set)) processors.insert(i);
  }
  return processors;
}

// What services have seen, of all threads.
struct Seen {
  struct One {
    std::thread::id made, ran, drained, destroyed;
    std::set<int> processors;
    int drains = 0;
  };
  std::mutex mutex;
  std::vector<One> ones;

  template <class Change>
  void note(std::size_t index, Change change) {
    const std::lock_guard lock(mutex);
    change(ones.at(index));
  }
};

// Keeps its reactor going until it is drained, and calls `in_loop` there once.
class Holder final : public ReactorGroup::Service {
 public:
  Holder(Reactor& reactor, std::size_t index, Seen& seen, Function<void()> in_loop)
      : reactor_(reactor), index_(index), seen_(seen), guard_(std::in_place, reactor) {
    seen_.note(index_, [](auto& one) { one.made = std::this_thread::get_id(); });
    in_loop_ = std::move(in_loop);
    EXPECT_TRUE(reactor_.post([this] { begin(); }));
  }
  ~Holder() override {
    seen_.note(index_, [](auto& one) { one.destroyed = std::this_thread::get_id(); });
  }
  void drain() override {
    seen_.note(index_, [](auto& one) {
      one.drained = std::this_thread::get_id();
      ++one.drains;
    });
    guard_.reset();
  }

 private:
  void begin() {
    seen_.note(index_, [](auto& one) {
      one.ran = std::this_thread::get_id();
      one.processors = processors_of_this_thread();
    });
    if (in_loop_) in_loop_();
  }

  Reactor& reactor_;
  std::size_t index_;
  Seen& seen_;
  std::optional<WorkGuard> guard_;
  Function<void()> in_loop_;
};

class ReactorGroupTest : public BackendTest {
 protected:
  void make(std::size_t size, bool pin = false) {
    auto group = ReactorGroup::create({.size = size, .pin = pin, .reactor = [](std::size_t) {
      return ReactorOptions{.backend = GetParam().options.kind, .uring = GetParam().options.uring};
    }});
    ASSERT_TRUE(group.has_value()) << group.error().message();
    group_ = std::move(*group);
    seen_.ones.resize(group_->size());
  }
  // `last` is called in the loop of whichever service is the last to be there.
  void start(Function<void()> last = {}) {
    last_ = std::move(last);
    ASSERT_TRUE(group_->start([this](Reactor& reactor, std::size_t index)
                                  -> Expected<std::unique_ptr<ReactorGroup::Service>> {
      return std::make_unique<Holder>(reactor, index, seen_, [this] {
        if (++begun_ == group_->size() && last_) last_();
      });
    }));
  }
  // On this thread. A reactor that is forgotten goes on for ever: it is told of, and stopped.
  Expected<void> run() {
    std::promise<void> over;
    const std::jthread watcher([this, ended = over.get_future()] {
      if (ended.wait_for(patience(std::chrono::seconds(20))) == std::future_status::ready) return;
      ADD_FAILURE() << "the group does not end";
      for (std::size_t i = 0; i < group_->size(); ++i) (*group_)[i].stop();
    });
    auto ran = group_->run();
    over.set_value();
    return ran;
  }
  Seen::One& one(std::size_t index) { return seen_.ones[index]; }

  Seen seen_;
  std::atomic<std::size_t> begun_ = 0;
  Function<void()> last_;
  std::unique_ptr<ReactorGroup> group_;
};

TEST_P(ReactorGroupTest, EachHasAThreadOfItsOwnForAllButItsMaking) {
  make(4);
  start([this] { group_->drain(); });
  ASSERT_TRUE(run().has_value());
  std::set<std::thread::id> threads;
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(one(i).made, std::this_thread::get_id());
    EXPECT_EQ(one(i).drained, one(i).ran);
    EXPECT_EQ(one(i).destroyed, one(i).ran);
    EXPECT_EQ(one(i).drains, 1);
    threads.insert(one(i).ran);
  }
  EXPECT_EQ(threads.size(), 4U);
  EXPECT_EQ(one(0).ran, std::this_thread::get_id());
}

TEST_P(ReactorGroupTest, PinnedEachHasAProcessorOfItsOwn) {
  const std::set<int> usable = processors_of_this_thread();
  make(0, true);
  ASSERT_EQ(group_->size(), usable.size());
  start([this] { group_->drain(); });
  ASSERT_TRUE(run().has_value());
  std::set<int> used;
  for (const Seen::One& one : seen_.ones) {
    EXPECT_EQ(one.processors.size(), 1U);
    used.insert(one.processors.begin(), one.processors.end());
  }
  EXPECT_EQ(used, usable);
  EXPECT_EQ(processors_of_this_thread(), usable) << "run() has to leave its caller as it was";
}

TEST_P(ReactorGroupTest, MoreThanThereAreProcessorsGoWhereTheyMay) {
  const std::set<int> usable = processors_of_this_thread();
  make(usable.size() + 1, true);
  start([this] { group_->drain(); });
  ASSERT_TRUE(run().has_value());
  for (const Seen::One& one : seen_.ones) EXPECT_EQ(one.processors, usable);
}

TEST_P(ReactorGroupTest, ADrainBeforeRunIsNotForgotten) {
  make(3);
  start();
  group_->drain();
  ASSERT_TRUE(run().has_value());
  for (const Seen::One& one : seen_.ones) EXPECT_EQ(one.drains, 1);
}

// What drains goes on meanwhile, and a second call does not cut it off.
TEST_P(ReactorGroupTest, DrainingTwiceIsDrainingOnce) {
  make(2);
  start([this] { group_->drain(); });
  auto ended = std::make_shared<std::atomic<bool>>(false);
  Reactor& second = (*group_)[1];
  auto guard = std::make_unique<WorkGuard>(second);
  Timer later;
  ASSERT_TRUE(second.post([&] {
    later = second.after(std::chrono::milliseconds(20), [&] {
      EXPECT_EQ(one(1).drains, 1);
      group_->drain();
      later = second.after(std::chrono::milliseconds(20), [&] {
        *ended = true;
        guard.reset();
      });
    });
  }));
  ASSERT_TRUE(run().has_value());
  EXPECT_TRUE(*ended);
  EXPECT_EQ(one(1).drains, 1);
}

TEST_P(ReactorGroupTest, StopEndsAllAtOnceAndDrainsNobody) {
  make(3);
  start([this] { group_->stop(); });
  ASSERT_TRUE(run().has_value());
  for (const Seen::One& one : seen_.ones) {
    EXPECT_EQ(one.drains, 0);
    EXPECT_EQ(one.destroyed, one.ran);
  }
}

TEST_P(ReactorGroupTest, StoppedBeforeRunNothingRuns) {
  make(2);
  start();
  group_->stop();
  ASSERT_TRUE(run().has_value());
  EXPECT_EQ(begun_, 0U);
}

TEST_P(ReactorGroupTest, WithNothingToDoTheyReturn) {
  struct Idle final : ReactorGroup::Service {
    void drain() override {}
  };
  make(3);
  ASSERT_TRUE(group_->start([](Reactor&, std::size_t)
                                -> Expected<std::unique_ptr<ReactorGroup::Service>> {
    return std::make_unique<Idle>();
  }));
  EXPECT_TRUE(run().has_value());
}

TEST_P(ReactorGroupTest, AServiceThatCannotBeMadeUndoesTheOthers) {
  make(3);
  const auto started = group_->start([this](Reactor& reactor, std::size_t index)
                                         -> Expected<std::unique_ptr<ReactorGroup::Service>> {
    if (index == 2) return failure({.code = errno_code(EADDRINUSE), .syscall = "bind"});
    return std::make_unique<Holder>(reactor, index, seen_, Function<void()>());
  });
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().code, errno_code(EADDRINUSE));
  EXPECT_EQ(one(0).destroyed, std::this_thread::get_id());
  EXPECT_EQ(one(1).destroyed, std::this_thread::get_id());
}

TEST_P(ReactorGroupTest, MessagesGoRound) {
  constexpr int kRounds = 3000;
  make(3);
  std::atomic<int> rounds = 0;
  std::function<void(std::size_t)> pass = [&](std::size_t to) {
    if (++rounds == kRounds) return group_->drain();
    const std::size_t next = (to + 1) % group_->size();
    EXPECT_TRUE((*group_)[next].post([&pass, next] { pass(next); }));
  };
  start([&] { pass(0); });
  ASSERT_TRUE(run().has_value());
  EXPECT_EQ(rounds, kRounds);
}

TEST_P(ReactorGroupTest, ASignalDrains) {
  make(2);
  start([] { kill(getpid(), SIGUSR1); });
  ASSERT_TRUE(group_->drain_on({SIGUSR1}).has_value());
  ASSERT_TRUE(run().has_value());
  for (const Seen::One& one : seen_.ones) EXPECT_EQ(one.drains, 1);
}

INSTANTIATE_TEST_SUITE_P(Backends, ReactorGroupTest,
                         testing::ValuesIn(std::vector<BackendCase>{kernel_backends()[0],
                                                                    kernel_backends()[1]}),
                         case_name);

TEST(ReactorGroupCreateTest, TooManyAreRefusedWithTheBound) {
  const auto group = ReactorGroup::create({.size = limits::kGroupSizeMax + 1});
  ASSERT_FALSE(group.has_value());
  EXPECT_NE(group.error().message().find("1024"), std::string::npos) << group.error().message();
}

TEST(ReactorGroupCreateTest, AReactorThatCannotBeHadIsTheError) {
  if (kSanitized) GTEST_SKIP() << "UndefinedBehaviorSanitizer needs descriptors itself";
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto group = ReactorGroup::create({.size = 2, .reactor = [&](std::size_t index) {
    const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
    if (index == 1) {
      EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    }
    return ReactorOptions{.backend = BackendKind::epoll};
  }});
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(group.has_value());
  EXPECT_EQ(group.error().code, errno_code(EMFILE)) << group.error().message();
}

}  // namespace
}  // namespace weir::test
