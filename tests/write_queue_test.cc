// net::WriteQueue against a string: whatever is pushed, gathered and sent, in whatever pieces.
#include "weir/net/write_queue.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <string>
#include <vector>

#include "tests/random.h"
#include "weir/reactor/memory.h"

namespace weir::test {
namespace {

using net::QueueLimits;
using net::WriteQueue;
using Push = WriteQueue::Push;

// What a byte is, from its place in the stream: a lost, doubled or swapped byte shows.
char byte_at(std::uint64_t offset) {
  return static_cast<char>(offset * 131 + (offset >> 8) * 17 + (offset >> 16));
}

std::string bytes_at(std::uint64_t offset, std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = byte_at(offset + i);
  return bytes;
}

thread_local Random* refusals = nullptr;
bool refuse_some(std::size_t) noexcept { return refusals == nullptr || !refusals->once_in(3); }

// A queue and the string that it should be.
class Model {
 public:
  Model(Random& random, const QueueLimits& limits)
      : random_(random), limits_(limits), queue_(&limits_) {}

  void step() {
    switch (random_.below(4)) {
      case 0: gather(); break;
      case 1: send(); break;
      default: push(); break;
    }
    EXPECT_EQ(queue_.bytes(), unsent_.size());
    EXPECT_EQ(queue_.empty(), unsent_.empty());
    EXPECT_EQ(queue_.needs_drain(), drain_owed_);
    EXPECT_LE(queue_.pieces(), queue_.bytes());
    check_gathered();
  }

  // Until everything is out.
  void run_dry() {
    while (!queue_.empty() && !testing::Test::HasFailure()) {
      gather();
      send();
      check_gathered();
    }
    EXPECT_FALSE(queue_.needs_drain());
    EXPECT_EQ(queue_.pieces(), 0U);
    EXPECT_EQ(drains_, periods_) << "a drain for each period, no more, no less";
  }

 private:
  std::size_t random_size() {
    constexpr std::uint64_t kScales[] = {2, 20, 300, 3000, 30000};
    return random_.below(kScales[random_.below(std::size(kScales))]);
  }

  void push() {
    const std::size_t size = random_size();
    const std::string bytes = bytes_at(pushed_, size);
    const std::size_t pieces = queue_.pieces();
    Push result = Push::ok;
    if (random_.once_in(2)) {
      result = queue_.push_copy(bytes);
    } else {
      // Room around it, so that a wrong pointer shows.
      const Buffer whole = Buffer::copy("<" + bytes + ">");
      Buffer buffer = whole.slice(1, size);
      const char* data = buffer.data();
      result = queue_.push(std::move(buffer));
      const bool taken = size != 0 && (result == Push::ok || result == Push::full);
      if (!taken) {
        EXPECT_EQ(buffer.size(), size) << "moved from although it was not taken";
        EXPECT_EQ(buffer.data(), data);
      } else {
        EXPECT_TRUE(buffer.empty());
      }
    }
    check_result(result, size);
    EXPECT_TRUE(result != Push::refused || queue_.pieces() == pieces);
    if (result != Push::refused) {
      unsent_ += bytes;
      pushed_ += size;
    }
  }

  void check_result(Push result, std::size_t size) {
    const std::size_t after = unsent_.size() + size;
    Push expected = after >= limits_.high_water ? Push::full : Push::ok;
    if (!unsent_.empty() && after > limits_.bytes_max) expected = Push::refused;
    // Nothing is never refused; it only says how things are.
    if (size == 0 && expected == Push::refused) expected = Push::full;
    if (after == 0) expected = Push::ok;
    ASSERT_EQ(result, expected) << unsent_.size() << " queued, " << size << " more";
    if (expected != Push::ok && !std::exchange(drain_owed_, true)) ++periods_;
  }

  void gather() {
    std::array<iovec, 64> room;
    const std::size_t places = 1 + random_.below(room.size());
    const std::size_t bytes_max = random_.once_in(4) ? 1 + random_size() : SIZE_MAX;
    const std::size_t count = queue_.gather({room.data(), places}, bytes_max);
    EXPECT_LE(count, places);
    EXPECT_EQ(count == 0, unsent_.empty());
    std::string gathered;
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_GT(room[i].iov_len, 0U);
      gathered.append(static_cast<const char*>(room[i].iov_base), room[i].iov_len);
    }
    EXPECT_LE(gathered.size(), bytes_max);
    EXPECT_TRUE(unsent_.starts_with(gathered)) << "other bytes than were pushed";
    // What was gathered before is at the same place now.
    for (std::size_t i = 0; i < std::min(count, gathered_.size()); ++i) {
      EXPECT_EQ(room[i].iov_base, gathered_[i].iov_base) << "gathered bytes have moved";
      if (room[i].iov_len < gathered_[i].iov_len) break;
    }
    gathered_.assign(room.begin(), room.begin() + static_cast<std::ptrdiff_t>(count));
  }

  // The bytes of the last gather that sent() has not counted: neither moved nor changed.
  void check_gathered() {
    std::string now;
    for (const iovec& piece : gathered_) {
      now.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    EXPECT_TRUE(unsent_.starts_with(now)) << "gathered bytes have changed";
  }

  void send() {
    std::size_t gathered = 0;
    for (const iovec& piece : gathered_) gathered += piece.iov_len;
    std::size_t size = random_.once_in(3) ? gathered : random_.below(gathered + 1);
    const bool drained = queue_.sent(size);
    unsent_.erase(0, size);
    EXPECT_EQ(drained, drain_owed_ && unsent_.size() <= limits_.low_water);
    if (drained) {
      drain_owed_ = false;
      ++drains_;
    }
    while (size > 0) {
      iovec& front = gathered_.front();
      const std::size_t part = std::min(size, front.iov_len);
      front.iov_base = static_cast<char*>(front.iov_base) + part;
      front.iov_len -= part;
      size -= part;
      if (front.iov_len == 0) gathered_.erase(gathered_.begin());
    }
  }

  Random& random_;
  QueueLimits limits_;
  WriteQueue queue_;
  std::string unsent_;
  std::uint64_t pushed_ = 0;
  std::vector<iovec> gathered_;
  bool drain_owed_ = false;
  int periods_ = 0;
  int drains_ = 0;
};

void run_model(const QueueLimits& limits) {
  for_seeds(300, [&](Random& random) {
    Model model(random, limits);
    for (int i = 0; i < 300 && !testing::Test::HasFailure(); ++i) model.step();
    model.run_dry();
  });
}

TEST(WriteQueue, DeliversEveryByteInOrderExactlyOnce) { run_model({}); }

TEST(WriteQueue, DeliversEveryByteUnderTightLimits) {
  run_model({.high_water = 2000, .low_water = 500, .bytes_max = 5000});
}

TEST(WriteQueue, DeliversEveryByteUnderTheTightestLimits) {
  run_model({.high_water = 1, .low_water = 0, .bytes_max = 1});
}

// ---- Limits ----

constexpr QueueLimits kSmall{.high_water = 10, .low_water = 4, .bytes_max = 20};

TEST(WriteQueue, AnEmptyPushIsAlwaysTaken) {
  WriteQueue queue(&kSmall);
  EXPECT_EQ(queue.push_copy(""), Push::ok);
  EXPECT_EQ(queue.push(Buffer()), Push::ok);
  EXPECT_EQ(queue.push_copy(std::string(20, 'x')), Push::full);
  EXPECT_EQ(queue.push_copy(""), Push::full);
  EXPECT_EQ(queue.push(Buffer()), Push::full);
  EXPECT_EQ(queue.pieces(), 1U);
}

TEST(WriteQueue, AnEmptyQueueTakesWhateverSize) {
  WriteQueue queue(&kSmall);
  EXPECT_EQ(queue.push_copy(std::string(1000, 'x')), Push::full);
  EXPECT_EQ(queue.push_copy("y"), Push::refused);
  EXPECT_TRUE(queue.sent(1000));
  EXPECT_EQ(queue.push(Buffer::copy(std::string(1000, 'x'))), Push::full);
}

TEST(WriteQueue, ALaterPushIsRefusedWhole) {
  WriteQueue queue(&kSmall);
  EXPECT_EQ(queue.push_copy("123456789"), Push::ok);
  EXPECT_EQ(queue.push_copy("123456789012"), Push::refused);
  EXPECT_EQ(queue.bytes(), 9U);
  EXPECT_EQ(queue.push_copy("12345678901"), Push::full);
  EXPECT_EQ(queue.bytes(), 20U);
  Buffer refused = Buffer::literal("!");
  EXPECT_EQ(queue.push(std::move(refused)), Push::refused);
  EXPECT_EQ(refused.view(), "!");
}

TEST(WriteQueue, ARefusalAloneOwesADrain) {
  WriteQueue queue(&kSmall);
  EXPECT_EQ(queue.push_copy("1234"), Push::ok);
  EXPECT_FALSE(queue.needs_drain());
  EXPECT_EQ(queue.push_copy(std::string(17, 'x')), Push::refused);
  EXPECT_TRUE(queue.needs_drain());
  EXPECT_TRUE(queue.sent(1));
  EXPECT_FALSE(queue.needs_drain());
}

TEST(WriteQueue, DrainsOnceForEachPeriodAtTheLowMark) {
  WriteQueue queue(&kSmall);
  for (int period = 0; period < 3; ++period) {
    EXPECT_EQ(queue.push_copy("123456789"), Push::ok);
    EXPECT_EQ(queue.push_copy("0"), Push::full);
    EXPECT_EQ(queue.push_copy("1"), Push::full);
    EXPECT_FALSE(queue.sent(6));
    EXPECT_TRUE(queue.sent(1));
    EXPECT_FALSE(queue.sent(1));
    EXPECT_FALSE(queue.sent(3));
  }
}

TEST(WriteQueue, ABudgetAboveItCanOweADrain) {
  WriteQueue queue(&kSmall);
  EXPECT_EQ(queue.push_copy("123456"), Push::ok);
  queue.owe_drain();
  EXPECT_FALSE(queue.sent(1));
  EXPECT_TRUE(queue.sent(1));
}

TEST(WriteQueue, SizesNearTheLargestDoNotWrapAround) {
  constexpr QueueLimits kUnbounded{.high_water = SIZE_MAX, .low_water = 0, .bytes_max = SIZE_MAX};
  WriteQueue queue(&kUnbounded);
  EXPECT_EQ(queue.push_copy("abc"), Push::ok);
  EXPECT_EQ(queue.push_copy("def"), Push::ok);
  const QueueLimits zero{.high_water = 0, .low_water = 0, .bytes_max = 0};
  queue.reset(&zero);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.push_copy("abc"), Push::full);
  EXPECT_EQ(queue.push_copy("d"), Push::refused);
}

TEST(WriteQueue, ResetStartsAnew) {
  WriteQueue queue(&kSmall);
  for (int i = 0; i < 20; ++i) (void)queue.push_copy("x");
  EXPECT_TRUE(queue.needs_drain());
  queue.reset(&kSmall);
  EXPECT_EQ(queue.bytes(), 0U);
  EXPECT_EQ(queue.pieces(), 0U);
  EXPECT_FALSE(queue.needs_drain());
  EXPECT_EQ(queue.push_copy("abc"), Push::ok);
  iovec piece{};
  EXPECT_EQ(queue.gather({&piece, 1}, SIZE_MAX), 1U);
  EXPECT_EQ(std::string_view(static_cast<char*>(piece.iov_base), piece.iov_len), "abc");
}

TEST(WriteQueue, KeepsReceivedBytesWithoutCopyingThem) {
  WriteQueue queue(&kSmall);
  Buffer buffer = Buffer::copy("received");
  const char* data = buffer.data();
  EXPECT_EQ(queue.push(std::move(buffer)), Push::ok);
  iovec piece{};
  ASSERT_EQ(queue.gather({&piece, 1}, SIZE_MAX), 1U);
  EXPECT_EQ(piece.iov_base, data);
}

TEST(WriteQueueDeathTest, SendingMoreThanIsThereAsserts) {
  WriteQueue queue(&kSmall);
  (void)queue.push_copy("abc");
  EXPECT_DEATH((void)queue.sent(4), "assertion failed: size <= bytes_");
}

// ---- Files ----

SharedFile file_of(std::string_view content) {
  char name[] = "/tmp/weir-queue-XXXXXX";
  const int fd = mkostemp(name, O_CLOEXEC);
  unlink(name);
  EXPECT_EQ(::write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  auto file = SharedFile::adopt(fd);
  EXPECT_TRUE(file.has_value());
  return file ? std::move(*file) : SharedFile();
}

// Bytes and files in any order, sent in any portions: what comes is one of them after the other.
TEST(WriteQueue, FilesKeepTheirPlaceAmongBytes) {
  const std::string content = bytes_at(7, 5000);
  const SharedFile file = file_of(content);
  for_seeds(60, [&](Random& random) {
    const QueueLimits limits{.high_water = 3000, .low_water = 100, .bytes_max = 6000};
    WriteQueue queue(&limits);
    std::string unsent;
    std::string kinds;  // of each byte: 'b', or 'f' and 'g' in turn for files
    std::uint64_t pushed = 0;
    bool other = false;
    for (int i = 0; i < 600; ++i) {
      const auto in_memory = static_cast<std::size_t>(std::ranges::count(kinds, 'b'));
      const std::size_t size = random.below(random.once_in(3) ? 3000 : 20);
      if (i < 300 && random.once_in(4)) {
        const std::size_t offset = random.below(content.size() - size);
        const Push result =
            queue.push_file({.file = file.share(), .offset = offset, .size = size});
        EXPECT_NE(result, Push::refused);
        unsent += content.substr(offset, size);
        if (size != 0) kinds.append(size, std::exchange(other, !other) ? 'f' : 'g');
      } else if (i < 300 && random.once_in(2)) {
        const Push result = queue.push_copy(bytes_at(pushed, size));
        const bool refused = size != 0 && in_memory != 0 && in_memory + size > 6000;
        EXPECT_EQ(result == Push::refused, refused);
        if (!refused) {
          unsent += bytes_at(pushed, size);
          kinds.append(size, 'b');
          pushed += size;
        }
      } else {
        std::size_t part = 0;
        if (const net::FileRange* next = queue.next_file()) {
          part = std::min<std::size_t>(next->size, 1 + random.below(3000));
          EXPECT_TRUE(unsent.starts_with(content.substr(next->offset, part)));
          EXPECT_EQ(kinds.find_first_not_of(kinds.front()), next->size < kinds.size()
                                                                ? next->size
                                                                : std::string::npos);
          EXPECT_NE(kinds.front(), 'b');
        } else {
          std::array<iovec, 8> room;
          const std::size_t count = queue.gather(room, 1 + random.below(4000));
          std::string gathered;
          for (std::size_t k = 0; k < count; ++k) {
            gathered.append(static_cast<const char*>(room[k].iov_base), room[k].iov_len);
          }
          EXPECT_EQ(gathered.empty(), unsent.empty());
          EXPECT_TRUE(unsent.starts_with(gathered));
          EXPECT_TRUE(kinds.starts_with(std::string(gathered.size(), 'b')));
          part = random.below(gathered.size() + 1);
        }
        (void)queue.sent(part);
        unsent.erase(0, part);
        kinds.erase(0, part);
      }
      EXPECT_EQ(queue.bytes(), unsent.size());
      EXPECT_EQ(queue.memory(), static_cast<std::size_t>(std::ranges::count(kinds, 'b')));
      if (testing::Test::HasFailure()) return;
    }
  });
}

TEST(WriteQueue, AFileCountsForTheMarksAndNotForTheLimit) {
  const SharedFile file = file_of("x");
  WriteQueue queue(&kSmall);
  EXPECT_EQ(queue.push_file({.file = file.share(), .size = 9}), Push::ok);
  EXPECT_EQ(queue.push_file({.file = file.share(), .size = 1000}), Push::full);
  EXPECT_EQ(queue.push_copy(std::string(20, 'x')), Push::full);
  EXPECT_EQ(queue.push_copy("y"), Push::refused);
  EXPECT_EQ(queue.push_file({.file = file.share(), .size = 1000}), Push::full);
  EXPECT_EQ(queue.push_file({.file = file.share(), .size = 0}), Push::full);
  EXPECT_EQ(queue.bytes(), 2029U);
  EXPECT_EQ(queue.memory(), 20U);
  EXPECT_FALSE(queue.sent(9));
  EXPECT_FALSE(queue.sent(1000));
  EXPECT_FALSE(queue.sent(20));
  EXPECT_FALSE(queue.sent(995));
  EXPECT_TRUE(queue.sent(1));
}

TEST(WriteQueue, TooManyFilesOrBytesThatCannotBeCountedAreRefused) {
  const SharedFile file = file_of("x");
  WriteQueue queue(&kSmall);
  EXPECT_EQ(queue.push_file({.file = file.share(), .size = INT64_MAX}), Push::full);
  net::FileRange refused{.file = file.share(), .size = 1};
  EXPECT_EQ(queue.push_file(std::move(refused)), Push::refused);
  EXPECT_TRUE(refused.file) << "moved from although it was not taken";  // NOLINT
  queue.reset(&kSmall);
  for (std::size_t i = 0; i < net::limits::kQueuedFilesMax; ++i) {
    EXPECT_NE(queue.push_file({.file = file.share(), .size = 1}), Push::refused);
  }
  EXPECT_EQ(queue.push_file(std::move(refused)), Push::refused);
  EXPECT_EQ(queue.bytes(), net::limits::kQueuedFilesMax);
  (void)queue.sent(1);
  EXPECT_EQ(queue.push_file(std::move(refused)), Push::full);
}

TEST(WriteQueue, AFileIsHeldUntilItsLastByteIsSentOrDropped) {
  for (const bool dropped : {false, true}) {
    WriteQueue queue(&kSmall);
    SharedFile file = file_of("abc");
    const int fd = file.fd();
    EXPECT_EQ(queue.push_file({.file = std::move(file), .size = 3}), Push::ok);
    EXPECT_FALSE(queue.sent(2));
    EXPECT_GE(fcntl(fd, F_GETFD), 0);
    if (dropped) {
      queue.reset(&kSmall);
    } else {
      EXPECT_FALSE(queue.sent(1));
    }
    EXPECT_EQ(fcntl(fd, F_GETFD), -1);
  }
}

// ---- Memory ----

thread_local std::size_t allocated = 0;
bool count_bytes(std::size_t size) noexcept {
  allocated += size;
  return true;
}

TEST(WriteQueue, AMillionSingleBytesTakeLittleMoreThanAMillionBytes) {
  constexpr std::size_t kBytes = 1'000'000;
  for (const bool copied : {true, false}) {
    const QueueLimits unbounded{.high_water = SIZE_MAX, .low_water = 0, .bytes_max = SIZE_MAX};
    WriteQueue queue(&unbounded);
    allocated = 0;
    for (std::size_t i = 0; i < kBytes; ++i) {
      const char byte = byte_at(i);
      Buffer buffer = copied ? Buffer() : Buffer::copy({&byte, 1});
      memory::set_gate(count_bytes);
      const Push result =
          copied ? queue.push_copy({&byte, 1}) : queue.push(std::move(buffer));
      memory::set_gate(nullptr);
      ASSERT_EQ(result, Push::ok);
    }
    EXPECT_EQ(queue.bytes(), kBytes);
    EXPECT_LE(queue.pieces(), 100U);
    EXPECT_LE(allocated, kBytes * 11 / 10);
    std::string seen;
    iovec piece{};
    while (queue.gather({&piece, 1}, SIZE_MAX) != 0) {
      seen.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
      (void)queue.sent(piece.iov_len);
    }
    EXPECT_TRUE(seen == bytes_at(0, kBytes));
  }
}

TEST(WriteQueue, PiecesStayFewWhileSingleBytesComeAndGo) {
  const QueueLimits unbounded{.high_water = SIZE_MAX, .low_water = 0, .bytes_max = SIZE_MAX};
  WriteQueue queue(&unbounded);
  std::size_t most = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    ASSERT_EQ(queue.push_copy("x"), Push::ok);
    most = std::max(most, queue.pieces());
    if (queue.bytes() > 1000) (void)queue.sent(1 + static_cast<std::size_t>(i) % 3);
  }
  EXPECT_LE(most, 20U);
}

TEST(WriteQueue, WhatDoesNotFitInMemoryIsNotTaken) {
  WriteQueue queue(&kSmall);
  memory::set_gate([](std::size_t) noexcept { return false; });
  EXPECT_EQ(queue.push_copy("abc"), Push::no_memory);
  memory::set_gate(nullptr);
  EXPECT_TRUE(queue.empty());
  EXPECT_FALSE(queue.needs_drain());
  EXPECT_EQ(queue.push_copy("abc"), Push::ok);
}

// Bytes in order exactly once, whichever allocation is refused. 0, or 1 when a byte is wrong.
int run_with_refusals(std::uint64_t seed) {
  Random random(seed);
  const QueueLimits unbounded{.high_water = SIZE_MAX, .low_water = 0, .bytes_max = SIZE_MAX};
  WriteQueue queue(&unbounded);
  std::uint64_t pushed = 0;
  std::uint64_t sent = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::size_t size = 1 + random.below(random.once_in(2) ? 10 : 3000);
    const std::string bytes = bytes_at(pushed, size);
    Buffer buffer = Buffer::copy(bytes);
    refusals = &random;
    memory::set_gate(refuse_some);
    const Push result =
        random.once_in(2) ? queue.push_copy(bytes) : queue.push(std::move(buffer));
    memory::set_gate(nullptr);
    if (result == Push::ok) pushed += size;
    if (queue.bytes() != pushed - sent) return 1;
    if (!random.once_in(8)) continue;
    iovec piece{};
    if (queue.gather({&piece, 1}, 1 + random.below(20000)) == 0) continue;
    for (std::size_t at = 0; at < piece.iov_len; ++at) {
      if (static_cast<const char*>(piece.iov_base)[at] != byte_at(sent + at)) return 1;
    }
    sent += piece.iov_len;
    (void)queue.sent(piece.iov_len);
  }
  return 0;
}

// In a process of its own, since what can go wrong here is an abort.
TEST(WriteQueueDeathTest, StaysInOrderWhicheverAllocationIsRefused) {
  EXPECT_EXIT(
      {
        for (std::uint64_t seed = 1; seed <= 300; ++seed) {
          if (run_with_refusals(seed) == 0) continue;
          fprintf(stderr, "wrong bytes with seed %d\n", static_cast<int>(seed));
          std::_Exit(1);
        }
        std::_Exit(0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace weir::test
