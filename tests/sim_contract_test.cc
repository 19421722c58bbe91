// The contract between a program and its kernel, which the simulator checks: whose memory it is,
// which operations may be in flight, and what is open.
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tests/sim_raw.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// Memory that is free is the sanitizer's: looking at it would end the test.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kMayLookAtFreeMemory = false;
#else
constexpr bool kMayLookAtFreeMemory = true;
#endif

constexpr std::size_t kWindow = 16 * 1024;

class SimContractTest : public SimRawTest {
 protected:
  void SetUp() override { watch_world(true); }
  void TearDown() override {
    EXPECT_EQ(world().violations(), told_.size());
    for (const std::string& one : told_) EXPECT_NE(one, "");
    SimRawTest::TearDown();
    end_world();
  }

  void watch_world(bool check_memory) {
    WorldOptions options{.window_bytes = kWindow, .check_memory = check_memory};
    options.on_violation = [this](std::string_view what) { told_.emplace_back(what); };
    make(std::move(options));
  }
  void settle() { world().run_for(1s); }
  // Fills the window of the other end, so that a send has to wait.
  void fill(int fd) { EXPECT_EQ(door().write(fd, std::string(kWindow, 'f')), int{kWindow}); }
  void drain(int fd) {
    std::string room(kWindow, '\0');
    EXPECT_EQ(door().read(fd, room), int{kWindow});
  }

  std::vector<std::string> told_;
};

// ---- Memory that is with the kernel ----

TEST_F(SimContractTest, ASendWhoseBytesStayAsTheyAreIsFine) {
  const auto [one, other] = pair();
  std::string& bytes = hold("as they are");
  const Send& sending = send(one, bytes);
  settle();
  EXPECT_EQ(sending.last(), 11);
  bytes = "another use";  // the result is there: they are the test's again
  settle();
  EXPECT_EQ(world().violations(), 0U);
}

TEST_F(SimContractTest, BytesThatChangeBeforeTheResultAreNoticed) {
  const auto [one, other] = pair();
  std::string& bytes = hold("as they are");
  const Send& sending = send(one, bytes);
  bytes[3] = 'X';
  settle();
  EXPECT_TRUE(sending.ended);
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, BytesThatChangeWhileASendWaitsAreNoticed) {
  const auto [one, other] = pair();
  fill(one);
  std::string& bytes = hold("as they are");
  const Send& sending = send(one, bytes);
  settle();
  EXPECT_FALSE(sending.ended);
  EXPECT_EQ(world().violations(), 0U);
  bytes.back() = 'X';
  drain(other);
  settle();
  EXPECT_TRUE(sending.ended);
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, BytesThatChangeAfterCancelAndBeforeTheResultAreNoticed) {
  const auto [one, other] = pair();
  fill(one);
  std::string& bytes = hold("as they are");
  Send& sending = send(one, bytes);
  settle();
  door().cancel(sending);
  bytes[0] = 'X';
  settle();
  EXPECT_EQ(sending.last(), -ECANCELED);
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, WithoutTheCheckOfMemoryNothingIsNoticed) {
  watch_world(false);
  const auto [one, other] = pair();
  std::string& bytes = hold("as they are");
  const Send& sending = send(one, bytes);
  bytes[3] = 'X';
  settle();
  EXPECT_TRUE(sending.ended);
  EXPECT_EQ(world().violations(), 0U);
}

TEST_F(SimContractTest, ReceivedBytesStayForAsLongAsTheyAreHeld) {
  const auto [one, other] = pair();
  Receive& receiving = receive(other, true);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(door().write(one, pattern(1000, static_cast<unsigned>(i))), 1000);
    settle();
  }
  ASSERT_EQ(receiving.held.size(), 100U);
  for (unsigned i = 0; i < 100; ++i) EXPECT_EQ(receiving.held[i].view(), pattern(1000, i));
  EXPECT_EQ(world().violations(), 0U);
}

TEST_F(SimContractTest, ReceivedBytesAreOverwrittenOnceTheyAreReleased) {
  const auto [one, other] = pair();
  Receive& receiving = receive(other, true);
  const std::string sent = pattern(1000, 1);
  EXPECT_EQ(door().write(one, sent), 1000);
  settle();
  ASSERT_EQ(receiving.held.size(), 1U);
  const char* const bytes = receiving.held[0].data();
  EXPECT_EQ(std::string_view(bytes, 1000), sent);
  receiving.held.clear();
  settle();
  // Under asan they are not to be looked at, and every access is found without our help.
  if (kMayLookAtFreeMemory) {
    EXPECT_EQ(std::string_view(bytes, 1000).find(sent.substr(0, 8)), std::string_view::npos);
  }
  EXPECT_EQ(world().violations(), 0U);
}

TEST_F(SimContractTest, ASliceThatIsHeldKeepsItsBytes) {
  const auto [one, other] = pair();
  Receive& receiving = receive(other, true);
  EXPECT_EQ(door().write(one, pattern(1000, 1)), 1000);
  settle();
  ASSERT_EQ(receiving.held.size(), 1U);
  const Buffer slice = receiving.held[0].slice(500, 100);
  receiving.held.clear();
  for (unsigned i = 0; i < 50; ++i) {
    EXPECT_EQ(door().write(one, pattern(1000, i)), 1000);
    settle();
    receiving.held.clear();
  }
  EXPECT_EQ(slice.view(), pattern(1000, 1).substr(500, 100));
  EXPECT_EQ(world().violations(), 0U);
}

// Under asan the write itself ends the program.
#if !defined(__SANITIZE_ADDRESS__)
TEST_F(SimContractTest, WritingIntoReleasedMemoryIsNoticed) {
  const auto [one, other] = pair();
  Receive& receiving = receive(other, true);
  EXPECT_EQ(door().write(one, pattern(1000, 1)), 1000);
  settle();
  ASSERT_EQ(receiving.held.size(), 1U);
  char* const bytes = const_cast<char*>(receiving.held[0].data());
  receiving.held.clear();
  settle();
  std::memcpy(bytes + 100, "scribble", 8);
  // The memory is used again, sooner or later.
  for (unsigned i = 0; i < 1000 && world().violations() == 0; ++i) {
    EXPECT_EQ(door().write(one, pattern(10'000, i)), 10'000);
    settle();
    receiving.held.clear();
  }
  EXPECT_GE(world().violations(), 1U);
}
#endif

// ---- Operations ----

TEST_F(SimContractTest, ClosingUnderAReceiveIsNoticed) {
  const auto [one, other] = pair();
  receive(one);
  settle();
  door().close(one);
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, ClosingUnderASendIsNoticed) {
  const auto [one, other] = pair();
  fill(one);
  const std::string& bytes = hold("waits");
  send(one, bytes);
  settle();
  door().close(one);
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, ClosingUnderAPollIsNoticed) {
  const auto [one, other] = pair();
  poll_once(one, Events::readable);
  settle();
  door().close(one);
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, ClosingUnderAnAcceptIsNoticed) {
  const int fd = *door().listen(Address::loopback_ipv4(0), {});
  accept(fd);
  settle();
  door().close(fd);
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, ClosingBeforeTheResultOfACancelIsNoticed) {
  const auto [one, other] = pair();
  Receive& receiving = receive(one);
  settle();
  door().cancel(receiving);
  door().close(one);
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, ClosingAfterTheLastResultIsFine) {
  const auto [one, other] = pair();
  Receive& receiving = receive(one);
  settle();
  door().cancel(receiving);
  settle();
  EXPECT_EQ(receiving.last(), -ECANCELED);
  door().close(one);
  door().close(other);
  EXPECT_EQ(world().violations(), 0U);
  EXPECT_EQ(a().open_fds(), 0U);
}

TEST_F(SimContractTest, AnOperationOnWhatIsNotOpenIsNoticed) {
  const auto [one, other] = pair();
  door().close(one);
  receive(one);
  settle();
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, ASecondReceiveIsNoticed) {
  const auto [one, other] = pair();
  receive(one);
  receive(one);
  settle();
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, ASecondSendIsNoticed) {
  const auto [one, other] = pair();
  fill(one);
  const std::string& bytes = hold("waits");
  send(one, bytes);
  settle();
  send(one, bytes);
  settle();
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, AReceiveAndASendOfOneSocketAreFine) {
  const auto [one, other] = pair();
  fill(one);
  const std::string& bytes = hold("waits");
  send(one, bytes);
  receive(one);
  poll_once(other, Events::readable);
  settle();
  EXPECT_EQ(world().violations(), 0U);
}

TEST_F(SimContractTest, OneAfterTheOtherIsFine) {
  const auto [one, other] = pair();
  const std::string& bytes = hold("again");
  for (int i = 0; i < 10; ++i) {
    const Send& sending = send(one, bytes);
    settle();
    EXPECT_EQ(sending.last(), 5);
  }
  EXPECT_EQ(world().violations(), 0U);
}

TEST_F(SimContractTest, AnOperationThatIsInFlightIsNotToBeSubmitted) {
  const auto [one, other] = pair();
  Receive& receiving = receive(one);
  door().submit(receiving);
  settle();
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, AnOperationThatIsBeingCancelledIsNotToBeSubmitted) {
  const auto [one, other] = pair();
  Receive& receiving = receive(one);
  settle();
  door().cancel(receiving);
  door().submit(receiving);
  settle();
  EXPECT_EQ(world().violations(), 1U);
}

TEST_F(SimContractTest, CancellingTwiceOrWhatIsIdleIsFine) {
  const auto [one, other] = pair();
  Receive& receiving = receive(one);
  settle();
  door().cancel(receiving);
  door().cancel(receiving);
  settle();
  EXPECT_EQ(receiving.results, std::vector<int>{-ECANCELED});
  door().cancel(receiving);
  settle();
  EXPECT_EQ(receiving.results, std::vector<int>{-ECANCELED});
  EXPECT_EQ(world().violations(), 0U);
}

// ---- What is open ----

TEST_F(SimContractTest, AnFdThatNobodyClosesIsVisible) {
  EXPECT_EQ(a().open_fds(), 0U);
  {
    Service service(a().reactor(), server_, at_);
    world().run_for(1ms);
    EXPECT_EQ(a().open_fds(), 1U);
    EXPECT_TRUE(door().open(*Address::parse_ip("10.0.0.2", 1), {}).has_value());
    EXPECT_EQ(a().open_fds(), 2U);
  }
  settle();
  EXPECT_EQ(a().open_fds(), 1U);
  EXPECT_EQ(b().open_fds(), 0U);
}

TEST_F(SimContractTest, NothingIsOpenOnAHostThatHasNoPower) {
  EXPECT_TRUE(door().open(*Address::parse_ip("10.0.0.2", 1), {}).has_value());
  a().crash();
  EXPECT_EQ(a().open_fds(), 0U);
  a().restart();
  EXPECT_EQ(a().open_fds(), 0U);
}

TEST_F(SimContractTest, SocketsAndServersBreakNothing) {
  set_link({.latency = 1ms});
  ASSERT_TRUE(join());
  const std::string bytes = pattern(20 * kWindow, 1);
  client().write(bytes);
  peer().write(bytes);
  world().run_for(20ms);
  client().pause();
  world().run_for(20ms);
  client().resume();
  ASSERT_TRUE(until([&] { return client_.bytes == bytes && server_.bytes == bytes; }));
  client().destroy();
  ASSERT_TRUE(until_both_closed());
  EXPECT_EQ(world().violations(), 0U);
}

// ---- In a process of their own ----

class SimContractDeathTest : public SimContractTest {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    SimContractTest::SetUp();
  }
};

TEST_F(SimContractDeathTest, ClosingTwiceIsNoticed) {
  const auto twice = [&] {
    const auto [one, other] = pair();
    door().close(one);
    door().close(one);
    std::exit(static_cast<int>(world().violations()));
  };
  EXPECT_EXIT(twice(), testing::ExitedWithCode(1), "");
}

TEST_F(SimContractDeathTest, AViolationThatNobodyTakesEndsTheProcessAndNamesTheSeed) {
  make({.seed = 987654});
  const auto [one, other] = pair();
  Receive& receiving = receive(one);
  world().run_for(1ms);
  EXPECT_DEATH(door().submit(receiving), "987654");
}

}  // namespace
}  // namespace weir::test
