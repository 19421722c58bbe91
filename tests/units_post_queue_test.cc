// PostQueue: what many threads push, one thread pops.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <thread>
#include <vector>

#include "weir/reactor/post_queue.h"

namespace weir::test {
namespace {

TEST(PostQueue, IsFirstInFirstOut) {
  const auto made = std::make_unique<PostQueue>(4);
  PostQueue& queue = *made;
  EXPECT_EQ(queue.capacity(), 4U);
  std::vector<int> seen;
  PostQueue::Task popped;
  for (int lap = 0; lap < 100; ++lap) {
    EXPECT_TRUE(queue.empty());
    EXPECT_FALSE(queue.pop(popped));
    for (int i = 0; i < 3; ++i) {
      PostQueue::Task task = [&seen, value = lap * 3 + i] { seen.push_back(value); };
      ASSERT_TRUE(queue.push(task));
      EXPECT_FALSE(task);
    }
    EXPECT_FALSE(queue.empty());
    while (queue.pop(popped)) popped();
  }
  ASSERT_EQ(seen.size(), 300U);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
}

TEST(PostQueue, AFullQueueLeavesTheTaskWithTheCaller) {
  const auto made = std::make_unique<PostQueue>(2);
  PostQueue& queue = *made;
  int ran = 0;
  for (int i = 0; i < 2; ++i) {
    PostQueue::Task task = [&ran] { ++ran; };
    ASSERT_TRUE(queue.push(task));
  }
  PostQueue::Task refused = [&ran] { ran += 10; };
  EXPECT_FALSE(queue.push(refused));
  ASSERT_TRUE(refused);
  PostQueue::Task popped;
  ASSERT_TRUE(queue.pop(popped));
  popped();
  EXPECT_TRUE(queue.push(refused));
  while (queue.pop(popped)) popped();
  EXPECT_EQ(ran, 12);
}

TEST(PostQueue, DestroysTasksThatNobodyPopped) {
  const auto witness = std::make_shared<int>(0);
  {
    const auto made = std::make_unique<PostQueue>(8);
    PostQueue& queue = *made;
    for (int i = 0; i < 5; ++i) {
      PostQueue::Task task = [witness] {};
      ASSERT_TRUE(queue.push(task));
    }
    EXPECT_EQ(witness.use_count(), 6);
  }
  EXPECT_EQ(witness.use_count(), 1);
}

TEST(PostQueueDeathTest, ACapacityThatIsNoPowerOfTwoAsserts) {
  EXPECT_DEATH(PostQueue(3), "assertion failed");
  EXPECT_DEATH(PostQueue(0), "assertion failed");
}

// Each producer's tasks come out in its own order, none twice, none lost, however small the queue.
void race(std::size_t capacity, std::size_t producers, int tasks_each) {
  const auto made = std::make_unique<PostQueue>(capacity);
  PostQueue& queue = *made;
  std::vector<int> next(producers, 0);
  int out_of_order = 0;
  std::vector<std::thread> threads;
  for (std::size_t producer = 0; producer < producers; ++producer) {
    threads.emplace_back([&, producer] {
      for (int i = 0; i < tasks_each; ++i) {
        PostQueue::Task task = [&next, &out_of_order, producer, i] {
          if (next[producer]++ != i) ++out_of_order;
        };
        while (!queue.push(task)) std::this_thread::yield();
      }
    });
  }
  PostQueue::Task popped;
  for (std::size_t left = producers * static_cast<std::size_t>(tasks_each); left > 0;) {
    if (!queue.pop(popped)) {
      std::this_thread::yield();
      continue;
    }
    popped();
    --left;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(queue.pop(popped));
  EXPECT_EQ(out_of_order, 0);
  EXPECT_EQ(next, std::vector<int>(producers, tasks_each));
}

TEST(PostQueue, ManyThreadsKeepTheirOrder) { race(1024, 4, 100'000); }

TEST(PostQueue, ManyThreadsKeepTheirOrderInATinyQueue) { race(2, 4, 20'000); }

TEST(PostQueue, OneThreadKeepsItsOrder) { race(64, 1, 100'000); }

}  // namespace
}  // namespace weir::test
