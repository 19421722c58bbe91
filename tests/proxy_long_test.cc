// 10 GiB through the proxy, with a reader that stops on the way.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/proxy_world.h"

namespace weir::test {
namespace {

constexpr std::uint64_t kAll = std::uint64_t{10} << 30;
constexpr std::uint64_t kStopAt = std::uint64_t{3} << 30;
constexpr std::size_t kPiece = 256 * 1024;

class ProxyLongTest : public ProxyTest {
 protected:
  // Pieces of one buffer: nothing is copied here either.
  void fill() {
    while (sent_ < kAll) {
      sent_ += kPiece;
      if (client_->write(piece_.share()) != Write::ok) return;
    }
    client_->end();
  }
  void take(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t at = received_ % kPiece;
      const std::size_t size = std::min(bytes.size(), kPiece - at);
      same_ = same_ && std::memcmp(bytes.data(), piece_.data() + at, size) == 0;
      received_ += size;
      bytes.remove_prefix(size);
    }
  }
  // However long it takes, but for a time in which next to nothing comes.
  bool run_until_or_stuck(const std::function<bool()>& done) {
    constexpr std::uint64_t kStep = std::uint64_t{64} << 20;
    while (!done()) {
      const std::uint64_t goal = received_ + kStep;
      if (!run_until([&] { return done() || received_ >= goal; })) return false;
    }
    return true;
  }

  Buffer piece_ = Buffer::take(pattern(kPiece, 4));
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  bool same_ = true;
};

TEST_P(ProxyLongTest, EveryByteAndNoMoreMemoryThanStated) {
  join();
  bool stopped = false;
  socket_->on_data([&](Socket& socket, Buffer bytes) {
    take(bytes.view());
    if (received_ < kStopAt || std::exchange(stopped, true)) return;
    socket.pause();
  });
  client_->on_drain([&](Socket&) { fill(); });
  fill();
  ASSERT_TRUE(run_until_or_stuck([&] { return stopped; }));
  // It comes to rest: nobody's queue moves any more.
  std::uint64_t before = 0;
  do {
    before = client_->bytes_written() - client_->writable_length();
    run_for(std::chrono::milliseconds(20));
  } while (client_->bytes_written() - client_->writable_length() != before);
  EXPECT_LT(sent_, kAll);
  const std::size_t in_proxy = reactor().counters().queue_bytes - client_->writable_length();
  EXPECT_LE(in_proxy, net::QueueLimits().high_water + limits::kReceiveChunkBytes);
  // A piece keeps the chunk in which it came. How many pieces are queued depends on how the kernel
  // has cut the stream: 6 to 10 have been seen.
  constexpr std::size_t kPieces = 12;
  EXPECT_LE(reactor().counters().receive_chunks, limits::kRingChunks + kPieces);
  socket_->resume();
  ASSERT_TRUE(run_until_or_stuck([&] { return theirs_.has("end"); }));
  EXPECT_EQ(received_, kAll);
  EXPECT_TRUE(same_);
  socket_->end();
  ASSERT_TRUE(run_until([&] { return all_closed(); }));
  EXPECT_EQ(mine_.error() + theirs_.error(), "");
}

INSTANTIATE_TEST_SUITE_P(Backends, ProxyLongTest,
                         testing::Values(kernel_backends()[0], kernel_backends()[1]), case_name);

}  // namespace
}  // namespace weir::test
