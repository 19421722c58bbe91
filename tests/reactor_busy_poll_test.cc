// What ReactorOptions::busy_poll makes of a reactor: its looks, sleeps and readings of the clock,
// on a backend whose clock moves by what the reactor does.
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <memory>
#include <utility>

#include "tests/relay_backend.h"
#include "weir/reactor/reactor.h"
#include "weir/reactor/sim_backend.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// Each look takes this time, and nothing else does but sleeping.
constexpr Duration kLook = 1us;

// It watches one fd, which becomes ready at the moments of a plan.
class PlannedBackend final : public RelayBackend {
 public:
  PlannedBackend() : RelayBackend(std::make_unique<SimBackend>()) {}

  int looks = 0;
  int sleeps = 0;
  Duration slept = Duration::zero();
  mutable int clock_readings = 0;
  // Moments at which something comes, in order.
  std::deque<Instant> plan;
  // What to call in a look at that moment or behind it, once.
  Function<void()> meanwhile;
  Instant meanwhile_at;
  // The next result is there at once, whatever the plan says, like that of a send.
  bool ready_at_once = false;

  Instant time() const { return time_; }

  BackendKind kind() const noexcept override { return BackendKind::epoll; }
  Instant now() const noexcept override {
    ++clock_readings;
    return time_;
  }
  void submit(Op& op) noexcept override {
    op.state = OpState::submitted;
    op_ = &op;
  }
  void cancel(Op& op) noexcept override { op.state = OpState::cancelling; }
  void release(int) noexcept override {}
  std::size_t poll(Instant until, std::span<Completion> batch) noexcept override {
    if (op_ == nullptr) return 0;
    if (op_->state == OpState::cancelling) return tell(-ECANCELED, batch);
    if (std::exchange(ready_at_once, false)) return tell(Events::readable, batch);
    if (until <= time_) {
      ++looks;
      time_ += kLook;
      if (meanwhile && time_ >= meanwhile_at) std::exchange(meanwhile, {})();
    } else {
      ++sleeps;
      const Instant woken = plan.empty() ? until : std::min(until, plan.front());
      slept += std::max(woken - time_, Duration::zero());
      time_ = std::max(time_, woken);
    }
    if (plan.empty() || plan.front() > time_) return 0;
    plan.pop_front();
    return tell(Events::readable, batch);
  }

 private:
  std::size_t tell(int result, std::span<Completion> batch) noexcept {
    batch[0] = {.op = std::exchange(op_, nullptr), .result = result, .more = false};
    return 1;
  }

  Instant time_ = Instant() + 1h;
  Op* op_ = nullptr;
};

class BusyReactorTest : public testing::Test {
 protected:
  static constexpr Duration kSpin = 50us;

  void make(Duration busy_poll, bool adaptive) {
    auto made = std::make_unique<PlannedBackend>();
    backend_ = made.get();
    reactor_ = std::make_unique<Reactor>(
        std::move(made),
        ReactorOptions{.busy_poll = busy_poll, .busy_poll_adaptive = adaptive});
    watch_ = reactor_->watch(0, {Events::readable}, [this](Events) { ++came_; });
  }
  ~BusyReactorTest() override { watch_.cancel(); }

  // Something comes `silence` after what came last, `count` times.
  void plan(int count, Duration silence) {
    Instant moment = backend_->plan.empty() ? backend_->time() : backend_->plan.back();
    for (int i = 0; i < count; ++i) backend_->plan.push_back(moment += silence);
  }
  void run_plan() {
    while (!backend_->plan.empty()) reactor_->run_once();
  }
  Counters counters() const { return reactor_->counters(); }

  PlannedBackend* backend_ = nullptr;
  std::unique_ptr<Reactor> reactor_;
  Watch watch_;
  int came_ = 0;
};

TEST_F(BusyReactorTest, WithoutItEveryWaitIsASleepAndNobodyLooks) {
  make(Duration::zero(), true);
  plan(20, 10us);
  run_plan();
  EXPECT_EQ(came_, 20);
  EXPECT_EQ(backend_->looks, 0);
  EXPECT_EQ(backend_->sleeps, 20);
  EXPECT_EQ(counters().sleeps, 20U);
  EXPECT_EQ(counters().spins, 0U);
}

TEST_F(BusyReactorTest, AlwaysMeansBeforeEverySleep) {
  make(kSpin, false);
  plan(20, 1ms);
  run_plan();
  EXPECT_EQ(came_, 20);
  EXPECT_EQ(counters().spins, 20U);
  EXPECT_EQ(counters().sleeps, 20U);
  EXPECT_EQ(backend_->sleeps, 20);
  EXPECT_EQ(backend_->looks, 20 * (kSpin / kLook));
}

TEST_F(BusyReactorTest, AlwaysSleepsNeverWhileAllComesInTime) {
  make(kSpin, false);
  plan(20, 10us);
  run_plan();
  EXPECT_EQ(came_, 20);
  EXPECT_EQ(counters().spins, 20U);
  EXPECT_EQ(backend_->sleeps, 0);
}

TEST_F(BusyReactorTest, AdaptivelyLittleTrafficIsSleptThrough) {
  make(kSpin, true);
  plan(20, 1ms);
  run_plan();
  EXPECT_EQ(came_, 20);
  EXPECT_EQ(counters().spins, 0U);
  EXPECT_EQ(counters().sleeps, 20U);
  // One look before each sleep, and all the rest of the time is slept.
  EXPECT_EQ(backend_->looks, 20);
  EXPECT_EQ(backend_->slept, 20 * (1ms - kLook));
}

TEST_F(BusyReactorTest, AdaptivelyMuchTrafficIsSpunThroughButForItsBeginning) {
  make(kSpin, true);
  plan(20, 10us);
  run_plan();
  EXPECT_EQ(came_, 20);
  EXPECT_EQ(counters().spins, 19U);
  EXPECT_EQ(counters().sleeps, 1U);
}

TEST_F(BusyReactorTest, AdaptivelyALongSilenceCostsOneSpin) {
  make(kSpin, true);
  plan(10, 10us);
  run_plan();
  const int looks = backend_->looks;
  plan(10, 1s);
  run_plan();
  EXPECT_EQ(came_, 20);
  EXPECT_EQ(counters().spins, 9U + 1U);
  EXPECT_EQ(counters().sleeps, 1U + 10U);
  // One spin, and one look in each of the others.
  EXPECT_EQ(backend_->looks - looks, kSpin / kLook + 9);
}

TEST_F(BusyReactorTest, AdaptivelyWhatIsThereAtOnceIsNoWait) {
  make(kSpin, true);
  for (int i = 0; i < 20; ++i) {
    plan(1, 1ms);
    run_plan();
    backend_->ready_at_once = true;  // as behind an answer
    reactor_->run_once();
  }
  EXPECT_EQ(came_, 40);
  EXPECT_EQ(counters().spins, 0U);
  EXPECT_EQ(counters().sleeps, 20U);
}

TEST_F(BusyReactorTest, TimersInASilenceDoNotSpinAgain) {
  constexpr Duration kLong = 5ms;
  make(kLong, true);
  plan(2, 10us);
  run_plan();
  const int looks = backend_->looks;
  int fired = 0;
  Timer timer;
  Function<void()> arm;
  arm = [&] {
    ++fired;
    timer = reactor_->after(1ms, [&] { arm(); });
  };
  arm();
  plan(1, 100ms);
  run_plan();
  timer.cancel();
  EXPECT_GT(fired, 40);
  // All the spins of the silence together, and a look for each wait.
  EXPECT_LE(backend_->looks - looks, kLong / kLook + 2 * fired);
  EXPECT_GT(backend_->slept, 90ms);
}

TEST_F(BusyReactorTest, DeadlinesInASilenceDoNotSpinAgain) {
  make(kSpin, true);
  plan(2, 10us);
  run_plan();
  const int looks = backend_->looks;
  for (int i = 0; i < 100; ++i) reactor_->run_once(20us);
  EXPECT_LE(backend_->looks - looks, kSpin / kLook + 100);
}

TEST_F(BusyReactorTest, APostedTaskEndsASilenceAsAnythingElseDoes) {
  make(kSpin, true);
  plan(2, 10us);
  run_plan();
  EXPECT_EQ(counters().spins, 1U);
  int ran = 0;
  const std::uint64_t sleeps = counters().sleeps;
  for (int i = 0; i < 10; ++i) {
    backend_->meanwhile = [&] { EXPECT_TRUE(reactor_->post([&] { ++ran; })); };
    backend_->meanwhile_at = backend_->time() + kSpin - 10us;
    reactor_->run_once();
    EXPECT_EQ(ran, i + 1);
  }
  EXPECT_EQ(counters().spins, 11U);
  EXPECT_EQ(counters().sleeps, sleeps);
}

// Before and behind each wait, and in between two looks of a spin.
TEST_F(BusyReactorTest, TheClockIsReadNoMoreOftenThanNeeded) {
  const auto readings = [this](Duration busy_poll, bool adaptive, Duration silence) {
    watch_.cancel();
    if (reactor_) reactor_->run_once(Duration::zero());
    make(busy_poll, adaptive);
    backend_->clock_readings = 0;
    plan(10, silence);
    run_plan();
    return backend_->clock_readings;
  };
  EXPECT_EQ(readings(Duration::zero(), false, 1ms), 20);
  EXPECT_EQ(readings(kSpin, true, 1ms), 20);
  EXPECT_EQ(readings(kSpin, false, 1ms), 20 + 10 * (kSpin / kLook - 1));
}

// The virtual clock of a simulator would stand still for ever.
TEST(BusyReactor, ASimulatorDoesNotSpin) {
  for (const bool adaptive : {false, true}) {
    Reactor reactor(std::make_unique<SimBackend>(),
                    ReactorOptions{.busy_poll = 1s, .busy_poll_adaptive = adaptive});
    int fired = 0;
    Timer timer = reactor.after(10s, [&] { ++fired; });
    reactor.run();
    EXPECT_EQ(fired, 1);
    EXPECT_EQ(reactor.counters().spins, 0U);
  }
}

}  // namespace
}  // namespace weir::test
