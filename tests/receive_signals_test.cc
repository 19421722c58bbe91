// Receiving while signals come. What is pending makes the kernel deny that it has what stands at an
// urgent mark (tcp(7)).
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <string>
#include <string_view>
#include <thread>

#include "tests/door.h"

namespace weir::test {
namespace {

// Another thread sends this one signals, one after another.
class Storm {
 public:
  Storm() {
    struct sigaction noted{};
    noted.sa_handler = [](int) {};
    EXPECT_EQ(sigaction(SIGUSR1, &noted, &before_), 0);
    sender_ = std::thread([this, target = pthread_self()] {
      while (!over_) pthread_kill(target, SIGUSR1);
    });
  }
  Storm(const Storm&) = delete;
  Storm& operator=(const Storm&) = delete;
  ~Storm() {
    over_ = true;
    sender_.join();
    sigaction(SIGUSR1, &before_, nullptr);
  }

 private:
  struct sigaction before_{};
  std::atomic<bool> over_ = false;
  std::thread sender_;
};

class ReceiveSignalsTest : public DoorTest {
 protected:
  // All of it is there, with its end, before it is received.
  void receive_urgent_data(int times) {
    const Storm storm;
    for (int i = 0; i < times; ++i) {
      const Ends ends = connected();
      for (const std::string_view part : {"one", "two", "three"}) {
        ASSERT_TRUE(send_all(ends.a, part));
        ASSERT_EQ(::send(ends.a, "!", 1, MSG_NOSIGNAL | MSG_OOB), 1);
      }
      ASSERT_TRUE(send_all(ends.a, "end"));
      close(ends.a);
      Receive& received = receive(ends.b);
      ASSERT_TRUE(run_until([&] { return received.ended; })) << i << ": " << received.bytes;
      EXPECT_EQ(received.last(), 0);
      // A later urgent byte puts the earlier one back into the stream.
      std::erase(received.bytes, '!');
      ASSERT_EQ(received.bytes, "onetwothreeend") << i;
    }
  }
};

TEST_P(ReceiveSignalsTest, WhatStandsBehindAnUrgentMarkIsRead) { receive_urgent_data(200); }

// Each receive is armed by itself then. On io_uring the kernel may leave one that has found nothing
// too often to a thread of its own, which takes a whole buffer, whether it needs it or not.
class ScarceReceiveSignalsTest : public ReceiveSignalsTest {
 protected:
  void SetUp() override {
    BackendTest::SetUp();
    if (IsSkipped()) return;
    BackendOptions options = GetParam().options;
    options.receive_memory_max = 4 * limits::kReceiveChunkBytes;
    start(options);
  }
};

TEST_P(ScarceReceiveSignalsTest, NoBufferIsLost) { receive_urgent_data(200); }

WEIR_ON_KERNEL_BACKENDS(ReceiveSignalsTest);
WEIR_ON_KERNEL_BACKENDS(ScarceReceiveSignalsTest);

}  // namespace
}  // namespace weir::test
