// A cancel that the kernel cannot follow costs a few turns, and not a processor.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "tests/door.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kFewPolls = 16;

class BackendCancelTest : public DoorTest {
 protected:
  // How often poll() returns before `over`, which looks at the clock.
  template <class Over>
  std::size_t polls_until(Over&& over) {
    std::size_t polls = 0;
    for (; !over(); ++polls) turn(door().now() + 20ms);
    return polls;
  }

  const std::string bytes_ = std::string(256 << 10, 'x');
  const iovec piece_{.iov_base = const_cast<char*>(bytes_.data()), .iov_len = bytes_.size()};
};

// The ring's read waits for the disk, and no cancel finds it there. In a directory of memory, such
// as tmpfs, nothing is cold, and this says nothing.
TEST_P(BackendCancelTest, OfAReadOfAColdFile) {
  std::string path = testing::TempDir() + "/cold_XXXXXX";
  const int fd = ::mkostemp(path.data(), O_CLOEXEC);
  ASSERT_GE(fd, 0);
  ::unlink(path.c_str());
  const std::string bytes(16 << 20, 'x');
  ASSERT_EQ(::write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  ASSERT_EQ(::fsync(fd), 0);
  for (int i = 0; i < 16; ++i) {
    ASSERT_EQ(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    Noted<ReadOp> op;
    op.fd = fd;
    op.size = limits::kFileBytesMax;
    op.offset = std::int64_t{i} << 20;
    door().submit(op);
    door().cancel(op);
    EXPECT_LE(polls_until([&] { return op.ended; }), kFewPolls) << "read " << i;
  }
  door().close_file(fd);
}

// The kernel is through with it, but keeps its bytes; nobody has been told yet.
TEST_P(BackendCancelTest, OfALoanThatHasItsResult) {
  std::string room(64 << 10, '\0');
  for (int reads = 0; reads < 20; ++reads) {
    const Ends ends = connected();
    ZeroCopySend* send = nullptr;
    do {
      send = &zero_copy(ends.a, {&piece_, 1});
      settle();
    } while (!send->results.empty());
    for (int i = 0; i < reads; ++i) ::recv(ends.b, room.data(), room.size(), MSG_DONTWAIT);
    door().cancel(*send);
    const Instant end = door().now() + 20ms;
    EXPECT_LE(polls_until([&] { return door().now() >= end; }), kFewPolls) << reads << " reads";
  }
}

WEIR_ON_KERNEL_BACKENDS(BackendCancelTest);

}  // namespace
}  // namespace weir::test
