#include "http/examples/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

namespace weir::example {
namespace {

constexpr std::uint64_t kPieceBytes = 65536;
// Each component of a name costs a system call.
constexpr int kDepthMax = 32;

std::unexpected<Error> refused(int number) {
  return failure({.code = errno_code(number), .syscall = "open"});
}

bool is_component(std::string_view text) {
  return !text.empty() && text != "." && text != ".." && !text.contains('\0');
}

class FileBody {
 public:
  explicit FileBody(File file) : file_(std::move(file)) {}

  // Writes until the client has to take some of it. False: go on after 'drain'.
  bool write_some(http::Response& response) {
    while (at_ < file_.size) {
      std::string piece(std::min(kPieceBytes, file_.size - at_), '\0');
      const ssize_t got = pread(file_.fd.get(), piece.data(), piece.size(),
                                static_cast<off_t>(at_));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        response.destroy();
        return true;
      }
      piece.resize(static_cast<std::size_t>(got));
      const net::Write written = response.write(Buffer::take(std::move(piece)));
      if (written == net::Write::closed) return true;
      if (written == net::Write::refused) return false;  // the piece is read again
      at_ += static_cast<std::uint64_t>(got);
      if (written == net::Write::full && at_ < file_.size) return false;
    }
    response.end();
    return true;
  }

 private:
  File file_;
  std::uint64_t at_ = 0;
};

}  // namespace

Expected<posix::Fd> open_directory(const std::string& path) {
  posix::Fd directory(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) {
    return failure({.code = errno_code(errno), .syscall = "open", .detail = "directory " + path});
  }
  return directory;
}

// One component at a time, so that no symbolic link is ever followed. (openat2(2) does the same in
// one call, where it is allowed.)
Expected<File> open_below(const posix::Fd& directory, std::string_view name) {
  posix::Fd holder;
  const posix::Fd* at = &directory;
  for (int depth = 0; depth < kDepthMax; ++depth) {
    const std::size_t slash = name.find('/');
    const std::string component(name.substr(0, slash));
    if (!is_component(component)) return refused(ENOENT);
    const bool last = slash == std::string_view::npos;
    // O_NONBLOCK: opening a FIFO must not wait for its other end.
    const int flags = last ? O_RDONLY | O_NONBLOCK | O_NOCTTY : O_PATH | O_DIRECTORY;
    posix::Fd next(openat(at->get(), component.c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
    if (!next) return refused(errno);
    holder = std::move(next);
    at = &holder;
    if (!last) {
      name.remove_prefix(slash + 1);
      continue;
    }
    struct stat facts = {};
    if (fstat(holder.get(), &facts) != 0) return refused(errno);
    if (!S_ISREG(facts.st_mode)) return refused(ENOENT);
    return File{.fd = std::move(holder), .size = static_cast<std::uint64_t>(facts.st_size)};
  }
  return refused(ENOENT);
}

std::optional<std::string> decode_path(std::string_view path) {
  std::string decoded;
  decoded.reserve(path.size());
  while (!path.empty()) {
    if (path.front() != '%') {
      decoded += path.front();
      path.remove_prefix(1);
      continue;
    }
    const std::string_view digits = path.substr(1, 2);
    const char* const digits_end = digits.data() + digits.size();
    unsigned char byte = 0;
    const auto parsed = std::from_chars(digits.data(), digits_end, byte, 16);
    if (parsed.ec != std::errc() || parsed.ptr != digits_end || digits.size() != 2) return {};
    if (byte == '/' || byte == '\0') return {};
    decoded += static_cast<char>(byte);
    path.remove_prefix(3);
  }
  return decoded;
}

void send_file(http::Response& response, File file) {
  if (response.request().method() == http::Method::head) {
    response.end();
    return;
  }
  FileBody body(std::move(file));
  if (body.write_some(response)) return;
  response.on_drain([body = std::move(body)](http::Response& drained) mutable {
    body.write_some(drained);
  });
}

}  // namespace weir::example
