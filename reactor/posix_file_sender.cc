#include "reactor/posix_file_sender.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "reactor/posix_files.h"

namespace weir::inline v1::posix {
namespace {

// What the pipe inside sendfile(2) holds.
constexpr std::size_t kPieceBytes = 64 * 1024;

// tcp(7). A file is handed over piece by piece. An acknowledgement that comes in between would send
// the end of a piece as a segment of its own, of which there are then half as many again; under
// TCP_CORK they are full. The last one leaves when this ends.
class Cork {
 public:
  Cork(int socket, bool wanted) noexcept : socket_(wanted && set(socket, 1) ? socket : -1) {}
  Cork(const Cork&) = delete;
  Cork& operator=(const Cork&) = delete;
  ~Cork() {
    if (socket_ >= 0) set(socket_, 0);
  }

 private:
  static bool set(int socket, int on) noexcept {
    return ::setsockopt(socket, IPPROTO_TCP, TCP_CORK, &on, sizeof on) == 0;
  }

  int socket_;
};

// As the beginning of a packet that the file goes on with.
std::int32_t send_before(int socket, std::span<const iovec> pieces) noexcept {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(pieces.data());  // sendmsg(2) only reads it
  message.msg_iovlen = pieces.size();
  for (;;) {
    const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE);
    if (sent >= 0) return static_cast<std::int32_t>(sent);
    if (errno != EINTR) return -errno;
  }
}

// From a file at `*at` into a pipe, or with no `at` from a pipe into a socket.
std::int32_t splice(int from, off_t* at, int to, std::size_t size) noexcept {
  for (;;) {
    const ssize_t moved = ::splice(from, at, to, nullptr, size, SPLICE_F_NONBLOCK);
    if (moved >= 0) return static_cast<std::int32_t>(moved);
    if (errno != EINTR) return -errno;
  }
}

}  // namespace

FileSender::Sent FileSender::send(NoSigpipe& guard, const SendFileOp& op, std::size_t size,
                                  bool was_full) noexcept {
  const bool in_pieces = size > kPieceBytes;
  calls_ = in_pieces ? 2 : 0;
  std::int32_t ahead = 0;
  const Cork cork(op.fd, in_pieces);
  if (!op.before.empty()) {
    ++calls_;
    ahead = send_before(op.fd, op.before);
    if (ahead < 0 || static_cast<std::size_t>(ahead) < bytes_of(op.before)) return {ahead, calls_};
  }
  const std::int32_t sent = send_all(op, size, was_full);
  // A later piece of the same call may have failed: its error is swallowed, its signal is not.
  const bool fell_short = sent >= 0 && static_cast<std::size_t>(sent) < size;
  if (fell_short || sent == -EPIPE) guard.take();
  if (sent >= 0) return {ahead + sent, calls_};
  return {ahead > 0 ? ahead : sent, calls_};  // the next call will say it
}

std::int32_t FileSender::send_all(const SendFileOp& op, std::size_t size, bool was_full) noexcept {
  if (size > kPieceBytes && !was_full) {
    if (const std::optional<std::int32_t> sent = send_by_pipe(op, size)) return *sent;
  }
  return send_file(op, size);
}

std::int32_t FileSender::send_file(const SendFileOp& op, std::size_t size) noexcept {
  for (;;) {
    off_t at = op.offset;
    ++calls_;
    const ssize_t sent = ::sendfile(op.fd, op.file, &at, size);
    if (sent >= 0) return static_cast<std::int32_t>(sent);
    if (errno != EINTR) return -errno;
  }
}

// Nothing: the file gives the pipe nothing. Then sendfile is asked, and says why.
std::optional<std::int32_t> FileSender::send_by_pipe(const SendFileOp& op,
                                                     std::size_t size) noexcept {
  if (!has_pipe()) return {};
  std::size_t sent = 0;
  while (sent < size) {
    off_t at = op.offset + static_cast<off_t>(sent);
    const std::int32_t taken = splice(op.file, &at, pipe_in_.get(), size - sent);
    ++calls_;
    if (taken <= 0) break;
    const std::int32_t passed =
        splice(pipe_out_.get(), nullptr, op.fd, static_cast<std::size_t>(taken));
    ++calls_;
    if (passed > 0) sent += static_cast<std::size_t>(passed);
    if (passed == taken) continue;
    pipe_in_ = {};
    pipe_out_ = {};
    if (sent == 0) return passed;
    break;
  }
  if (sent == 0) return {};
  return static_cast<std::int32_t>(sent);
}

bool FileSender::has_pipe() noexcept {
  if (pipe_in_) return true;
  int ends[2];
  if (too_large_ || ::pipe2(ends, O_CLOEXEC) != 0) return false;
  pipe_out_ = Fd(ends[0]);
  pipe_in_ = Fd(ends[1]);
  calls_ += 2;
  if (::fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(limits::kSendFileBytesMax)) >= 0) return true;
  too_large_ = true;
  pipe_in_ = {};
  pipe_out_ = {};
  return false;
}

}  // namespace weir::inline v1::posix
