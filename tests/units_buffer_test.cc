// Buffer, BufferBlock, BufferPool and ReceiveArena.
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "weir/reactor/buffer.h"
#include "weir/reactor/buffer_pool.h"
#include "weir/reactor/memory.h"

namespace weir::test {
namespace {

bool refuse_all(std::size_t) noexcept { return false; }

// Refuses memory while it lives.
struct NoMemory {
  NoMemory() { memory::set_gate(refuse_all); }
  ~NoMemory() { memory::set_gate(nullptr); }
};

// ---- Buffer ----

TEST(Buffer, AnEmptyOneHasNoBytesButAValidPointer) {
  Buffer buffer;
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.size(), 0U);
  EXPECT_NE(buffer.data(), nullptr);
  EXPECT_EQ(buffer.view(), "");
  EXPECT_EQ(buffer.pinned_bytes(), 0U);
  EXPECT_TRUE(buffer.share().empty());
  EXPECT_TRUE(buffer.slice(0, 0).empty());
  EXPECT_TRUE(buffer.take_front(0).empty());
  EXPECT_TRUE(buffer.to_owned().empty());
  EXPECT_TRUE(Buffer::copy("").empty());
  EXPECT_TRUE(Buffer::take("").empty());
  EXPECT_TRUE(Buffer::literal("").empty());
}

TEST(Buffer, CopiesAreIndependentOfTheirSource) {
  std::string source = "hello";
  const Buffer buffer = Buffer::copy(source);
  source = "other";
  EXPECT_EQ(buffer.view(), "hello");
  EXPECT_EQ(buffer.pinned_bytes(), 5U);
}

TEST(Buffer, TakesLongStringsWithoutCopyingThem) {
  std::string source(1000, 'x');
  const char* bytes = source.data();
  Buffer buffer = Buffer::take(std::move(source));
  EXPECT_EQ(buffer.data(), bytes);
  EXPECT_EQ(buffer.view(), std::string(1000, 'x'));
  const Buffer small = Buffer::take("abc");
  EXPECT_EQ(small.view(), "abc");
}

TEST(Buffer, LiteralsAreNotCounted) {
  const Buffer literal = Buffer::literal("static text");
  EXPECT_EQ(literal.pinned_bytes(), 0U);
  const Buffer slice = literal.slice(7, 4);
  EXPECT_EQ(slice.view(), "text");
  EXPECT_EQ(slice.data(), literal.data() + 7);
}

TEST(Buffer, SharesAndSlicesSeeTheSameBytes) {
  Buffer whole = Buffer::copy("0123456789");
  Buffer share = whole.share();
  Buffer slice = whole.slice(3, 4);
  EXPECT_EQ(share.data(), whole.data());
  EXPECT_EQ(slice.data(), whole.data() + 3);
  whole.reset();
  EXPECT_TRUE(whole.empty());
  EXPECT_EQ(share.view(), "0123456789");
  share.reset();
  EXPECT_EQ(slice.view(), "3456");
  EXPECT_EQ(slice.pinned_bytes(), 10U);
}

TEST(Buffer, TakeFrontSplitsAtEveryPlace) {
  const std::string text = "abcdef";
  for (std::size_t at = 0; at <= text.size(); ++at) {
    Buffer rest = Buffer::copy(text);
    const Buffer front = rest.take_front(at);
    EXPECT_EQ(front.view(), text.substr(0, at));
    EXPECT_EQ(rest.view(), text.substr(at));
  }
}

TEST(Buffer, DropFrontKeepsTheEnd) {
  Buffer buffer = Buffer::copy("abcdef");
  buffer.drop_front(2);
  EXPECT_EQ(buffer.view(), "cdef");
  buffer.drop_front(4);
  EXPECT_TRUE(buffer.empty());
}

TEST(Buffer, MovingLeavesAnEmptyOne) {
  Buffer first = Buffer::copy("abc");
  Buffer second = std::move(first);
  EXPECT_TRUE(first.empty());
  EXPECT_EQ(first.view(), "");
  EXPECT_EQ(second.view(), "abc");
  first = std::move(second);
  EXPECT_EQ(first.view(), "abc");
  Buffer& same = first;
  first = std::move(same);
  EXPECT_EQ(first.view(), "abc");
  static_assert(!std::is_copy_constructible_v<Buffer>);
}

TEST(Buffer, AnOwnedCopyMayGoToAnotherThread) {
  Buffer original = Buffer::copy("0123456789");
  Buffer slice = original.slice(2, 5);
  Buffer owned = slice.to_owned();
  EXPECT_NE(owned.data(), slice.data());
  EXPECT_EQ(owned.pinned_bytes(), 5U);
  std::string seen;
  std::thread other([&seen, owned = std::move(owned)]() mutable {
    const Buffer share = owned.share();
    owned.reset();
    seen = share.view();
  });
  const Buffer more = original.share();
  original.reset();
  other.join();
  EXPECT_EQ(seen, "23456");
  EXPECT_EQ(more.size(), 10U);
}

TEST(Buffer, IsEmptyWhenMemoryIsRefused) {
  const Buffer original = Buffer::copy("abc");
  const NoMemory gate;
  EXPECT_TRUE(Buffer::copy("abc").empty());
  EXPECT_TRUE(original.to_owned().empty());
  EXPECT_EQ(original.share().view(), "abc");
}

TEST(BufferDeathTest, CuttingOutsideAsserts) {
  Buffer buffer = Buffer::copy("abc");
  EXPECT_DEATH((void)buffer.slice(0, 4), "assertion failed");
  EXPECT_DEATH((void)buffer.slice(4, 0), "assertion failed");
  EXPECT_DEATH((void)buffer.slice(2, SIZE_MAX), "assertion failed");
  EXPECT_DEATH((void)buffer.slice(SIZE_MAX, 2), "assertion failed");
  EXPECT_DEATH((void)buffer.take_front(4), "assertion failed");
  EXPECT_DEATH(buffer.drop_front(4), "assertion failed");
}

#ifndef NDEBUG
TEST(BufferDeathTest, SharingOnAnotherThreadAsserts) {
  const Buffer buffer = Buffer::copy("abc");
  EXPECT_DEATH(std::thread([&] { (void)buffer.share(); }).join(), "assertion failed: owner");
}
#endif

// ---- BufferBlock ----

TEST(BufferBlock, AppendsWithoutMovingWhatIsThere) {
  BufferBlock block;
  EXPECT_EQ(block.room(), 0U);
  ASSERT_TRUE(block.allocate(10));
  EXPECT_EQ(block.room(), 10U);
  const Buffer first = block.append("abc");
  const char* bytes = first.data();
  const Buffer second = block.append("defg");
  EXPECT_EQ(block.room(), 3U);
  EXPECT_EQ(first.data(), bytes);
  EXPECT_EQ(second.data(), bytes + 3);
  EXPECT_EQ(first.view(), "abc");
  EXPECT_EQ(second.view(), "defg");
}

TEST(BufferBlock, ExtendsTheLastView) {
  BufferBlock block;
  ASSERT_TRUE(block.allocate(10));
  Buffer view = block.append("abc");
  const Buffer earlier = view.share();
  block.extend(view, "def");
  EXPECT_EQ(view.view(), "abcdef");
  EXPECT_EQ(earlier.view(), "abc");
  view.drop_front(5);
  block.extend(view, "ghij");
  EXPECT_EQ(view.view(), "fghij");
  EXPECT_EQ(block.room(), 0U);
}

TEST(BufferBlock, ViewsOutliveIt) {
  Buffer view;
  {
    BufferBlock block;
    ASSERT_TRUE(block.allocate(100));
    view = block.append("still here");
    ASSERT_TRUE(block.allocate(100));
    EXPECT_EQ(block.append("new").view(), "new");
    BufferBlock moved = std::move(block);
    EXPECT_EQ(block.room(), 0U);
    EXPECT_EQ(moved.room(), 97U);
  }
  EXPECT_EQ(view.view(), "still here");
}

TEST(BufferBlock, SaysWhenMemoryIsRefused) {
  BufferBlock block;
  const NoMemory gate;
  EXPECT_FALSE(block.allocate(10));
  EXPECT_EQ(block.room(), 0U);
}

TEST(BufferBlockDeathTest, AppendingBeyondTheRoomAsserts) {
  BufferBlock block;
  ASSERT_TRUE(block.allocate(3));
  EXPECT_DEATH((void)block.append("abcd"), "assertion failed");
  Buffer first = block.append("a");
  (void)block.append("b");
  EXPECT_DEATH(block.extend(first, "c"), "assertion failed");
}

// ---- BufferPool ----

// Lets go of the pool at the end of the test.
struct OwnedPool {
  OwnedPool(std::size_t chunk_bytes, std::size_t memory_max)
      : pool(BufferPool::create(chunk_bytes, memory_max)) {}
  ~OwnedPool() {
    if (pool != nullptr) pool->disown();
  }
  BufferPool* operator->() const { return pool; }
  BufferPool* pool;
};

TEST(BufferPool, GivesChunksUpToItsLimit) {
  OwnedPool pool(1024, 4 * 1024);
  std::vector<detail::Chunk*> chunks;
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(pool->available());
    chunks.push_back(pool->acquire());
    ASSERT_NE(chunks.back(), nullptr);
    EXPECT_EQ(chunks.back()->capacity, 1024U);
    std::fill_n(chunks.back()->data, 1024, 'x');
  }
  EXPECT_FALSE(pool->available());
  EXPECT_EQ(pool->acquire(), nullptr);
  EXPECT_EQ(pool->live_chunks(), 4U);
  EXPECT_EQ(pool->returned(), 0U);
  chunks.back()->drop();
  EXPECT_EQ(pool->returned(), 1U);
  EXPECT_TRUE(pool->available());
  chunks.back() = pool->acquire();
  EXPECT_NE(chunks.back(), nullptr);
  for (detail::Chunk* chunk : chunks) chunk->drop();
  EXPECT_EQ(pool->live_chunks(), 0U);
  EXPECT_EQ(pool->returned(), 5U);
}

TEST(BufferPool, UsesTheSameMemoryAgain) {
  OwnedPool pool(1024, 8 * 1024);
  detail::Chunk* chunk = pool->acquire();
  const char* bytes = chunk->data;
  chunk->drop();
  const NoMemory gate;
  chunk = pool->acquire();
  ASSERT_NE(chunk, nullptr);
  EXPECT_EQ(chunk->data, bytes);
  EXPECT_EQ(pool->acquire(), nullptr) << "more memory was refused";
  chunk->drop();
}

TEST(BufferPool, TrimmedItKeepsOneChunk) {
  OwnedPool pool(1024, 8 * 1024);
  detail::Chunk* all[] = {pool->acquire(), pool->acquire(), pool->acquire()};
  for (detail::Chunk* chunk : all) chunk->drop();
  pool->trim();
  const NoMemory gate;
  detail::Chunk* const kept = pool->acquire();
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(pool->acquire(), nullptr) << "the others went back to the system";
  kept->drop();
  pool->trim();
  pool->acquire()->drop();
}

TEST(BufferPool, HasAtLeastOneChunk) {
  OwnedPool pool(4096, 1);
  detail::Chunk* chunk = pool->acquire();
  ASSERT_NE(chunk, nullptr);
  EXPECT_EQ(pool->acquire(), nullptr);
  chunk->drop();
}

TEST(BufferPool, SaysWhenItIsScarceAndNearlyDry) {
  OwnedPool pool(64, 16 * 64);
  std::vector<detail::Chunk*> chunks;
  for (std::size_t live = 0; live <= 16; ++live) {
    EXPECT_EQ(pool->scarce(), live > 12) << live;
    EXPECT_EQ(pool->nearly_dry(), live > 14) << live;
    if (live < 16) chunks.push_back(pool->acquire());
  }
  for (detail::Chunk* chunk : chunks) chunk->drop();
}

TEST(BufferPool, OutlivesItsOwnerUntilTheLastBufferIsGone) {
  BufferPool* pool = BufferPool::create(1024, 8 * 1024);
  detail::Chunk* chunk = pool->acquire();
  std::copy_n("received", 8, chunk->data);
  Buffer buffer = view_of_chunk(chunk, 0, 8);
  chunk->drop();
  pool->acquire()->drop();  // a free chunk that the pool keeps
  Buffer slice = buffer.slice(2, 3);
  pool->disown();
  buffer.reset();
  EXPECT_EQ(slice.view(), "cei");
}

// Freeing the pool twice would end the process.
TEST(BufferPool, OutlivesItsOwnerUntilTheLastCopyIsGone) {
  BufferPool* pool = BufferPool::create(1024, 8 * 1024);
  Buffer copy = pool->copy_out("received");
  Buffer slice = copy.slice(2, 3);
  pool->disown();
  copy.reset();
  EXPECT_EQ(slice.view(), "cei");
}

TEST(BufferPool, CopiesTakeAsMuchAsTheLimitAgain) {
  OwnedPool pool(64, 4 * 64);
  const std::string bytes(64, 'x');
  std::vector<Buffer> copies;
  for (int i = 0; i < 4; ++i) {
    copies.push_back(pool->copy_out(bytes));
    EXPECT_EQ(copies.back().view(), bytes);
  }
  EXPECT_TRUE(pool->copy_out("x").empty());
  EXPECT_TRUE(pool->available()) << "chunks are counted apart";
  copies.pop_back();
  EXPECT_TRUE(pool->copy_out(bytes + "x").empty());
  EXPECT_EQ(pool->copy_out(bytes).view(), bytes);
}

TEST(BufferPool, KeepsFewFreeChunks) {
  constexpr std::size_t kChunks = limits::kFreeChunksKept + 20;
  OwnedPool pool(64, kChunks * 64);
  std::vector<detail::Chunk*> chunks;
  for (std::size_t i = 0; i < kChunks; ++i) chunks.push_back(pool->acquire());
  for (detail::Chunk* chunk : chunks) chunk->drop();
  const NoMemory gate;
  chunks.clear();
  while (detail::Chunk* chunk = pool->acquire()) chunks.push_back(chunk);
  EXPECT_EQ(chunks.size(), limits::kFreeChunksKept);
  for (detail::Chunk* chunk : chunks) chunk->drop();
}

TEST(BufferPool, IsNullWhenMemoryIsRefused) {
  const NoMemory gate;
  EXPECT_EQ(BufferPool::create(1024, 1024), nullptr);
}

// ---- ReceiveArena ----

class Arena : public testing::Test {
 protected:
  static constexpr std::size_t kChunk = limits::kReceiveChunkBytes;

  Buffer receive(ReceiveArena& arena, std::string_view bytes) {
    const std::span<char> room = arena.room();
    if (room.size() < bytes.size()) return {};
    EXPECT_GE(room.size(), limits::kReceiveRoomMin);
    std::copy(bytes.begin(), bytes.end(), room.begin());
    return arena.commit(bytes.size());
  }
};

TEST_F(Arena, UsesTheHotBytesAgainWhileNobodyKeepsASlice) {
  OwnedPool pool(kChunk, 4 * kChunk);
  ReceiveArena arena(*pool.pool);
  const char* first = receive(arena, "abc").data();
  for (int i = 0; i < 10000; ++i) EXPECT_EQ(receive(arena, "defgh").data(), first);
  EXPECT_EQ(pool->live_chunks(), 1U);
}

TEST_F(Arena, BytesThatSomebodyKeepsStayAsTheyAre) {
  OwnedPool pool(kChunk, 4 * kChunk);
  ReceiveArena arena(*pool.pool);
  std::vector<Buffer> kept;
  for (int i = 0; i < 1000; ++i) {
    kept.push_back(receive(arena, "number " + std::to_string(i)));
    (void)receive(arena, "something that nobody keeps");
  }
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(kept[static_cast<std::size_t>(i)].view(), "number " + std::to_string(i));
  }
  EXPECT_EQ(pool->live_chunks(), 1U);
}

TEST_F(Arena, GoesToAnotherChunkWhenTheRoomIsTooSmall) {
  OwnedPool pool(kChunk, 4 * kChunk);
  ReceiveArena arena(*pool.pool);
  const std::string large(limits::kReceiveRoomMin, 'x');
  std::vector<Buffer> kept;
  constexpr std::size_t kReads = 2 * kChunk / limits::kReceiveRoomMin;
  for (std::size_t i = 0; i < kReads; ++i) kept.push_back(receive(arena, large));
  EXPECT_EQ(pool->live_chunks(), 2U);
  kept.push_back(receive(arena, "a"));
  EXPECT_EQ(pool->live_chunks(), 3U);
  for (std::size_t i = 0; i < kReads; ++i) EXPECT_EQ(kept[i].view(), large);
  kept.clear();
  EXPECT_EQ(pool->live_chunks(), 1U);
}

TEST_F(Arena, HasNoRoomWhenThePoolIsDryAndRecovers) {
  OwnedPool pool(kChunk, kChunk);
  ReceiveArena arena(*pool.pool);
  const std::string large(limits::kReceiveRoomMin, 'x');
  std::vector<Buffer> kept;
  while (!arena.room().empty()) {
    kept.push_back(arena.commit(limits::kReceiveRoomMin));
  }
  EXPECT_EQ(kept.size(), kChunk / limits::kReceiveRoomMin);
  kept.resize(1);
  EXPECT_TRUE(arena.room().empty());
  kept.clear();
  EXPECT_FALSE(arena.room().empty());
}

TEST_F(Arena, ScarceMemoryIsCopiedOut) {
  constexpr std::size_t kLimit = 16;
  OwnedPool pool(kChunk, kLimit * kChunk);
  std::vector<detail::Chunk*> taken;
  const auto take_until = [&](std::size_t live) {
    while (pool->live_chunks() < live) taken.push_back(pool->acquire());
  };
  ReceiveArena arena(*pool.pool);
  const auto is_copied = [&](std::size_t size) {
    Buffer received = receive(arena, std::string(size, 'x'));
    const char* bytes = received.data();
    const Buffer delivered = deliverable(*pool.pool, std::move(received));
    EXPECT_EQ(delivered.view(), std::string(size, 'x'));
    return delivered.data() != bytes;
  };
  EXPECT_FALSE(is_copied(10));
  take_until(12);
  EXPECT_FALSE(is_copied(10));
  take_until(13);
  EXPECT_TRUE(is_copied(10));
  EXPECT_TRUE(is_copied(limits::kCopyOutBytesMax));
  EXPECT_FALSE(is_copied(limits::kCopyOutBytesMax + 1));
  take_until(15);
  EXPECT_TRUE(is_copied(limits::kReceiveRoomMin));
  {
    Buffer received = receive(arena, "precious");
    const NoMemory gate;
    EXPECT_EQ(deliverable(*pool.pool, std::move(received)).view(), "precious");
  }
  for (detail::Chunk* chunk : taken) chunk->drop();
}

}  // namespace
}  // namespace weir::test
