// Files, pipes and terminals for tests, and a record of what a stream over one has told.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/pair.h"
#include "weir/net/input_stream.h"
#include "weir/net/output_stream.h"

namespace weir::test {

struct FileRecord : Record {
  Error error;
};

template <class Stream>
void watch_ends(Stream& stream, FileRecord& record) {
  stream.on_error([&record](Stream&, const Error& error) {
    record.note("error");
    record.error = error;
  });
  stream.on_close([&record](Stream&, std::error_code code) {
    record.note("close");
    record.closed_with = code;
    ++record.closes;
  });
}

inline void watch(net::InputStream& stream, FileRecord& record) {
  watch_ends(stream, record);
  stream.on_data([&record](net::InputStream&, Buffer bytes) {
    record.note("data");
    record.bytes += bytes.view();
  });
  stream.on_end([&record](net::InputStream&) { record.note("end"); });
}

inline void watch(net::OutputStream& stream, FileRecord& record) {
  watch_ends(stream, record);
  stream.on_drain([&record](net::OutputStream&) { record.note("drain"); });
  stream.on_finish([&record](net::OutputStream&) { record.note("finish"); });
}

class FilesTest : public PairTest {
 protected:
  // Turns that wait for nothing: what was due here has happened after them, but for threads.
  void turns(int count = 50) {
    for (int i = 0; i < count; ++i) reactor().run_once(Duration::zero());
  }

  std::string make_file(std::string_view content) {
    const std::string path = socket_path();
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  static std::string content_of(const std::string& path) {
    std::ostringstream all;
    all << std::ifstream(path, std::ios::binary).rdbuf();
    return all.str();
  }
  // A descriptor of the file, for whoever closes it.
  static int lend(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_GE(fd, 0);
    return fd;
  }
  // Reading end, writing end; for whoever closes them.
  static std::pair<int, int> make_pipe() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    return {ends[0], ends[1]};
  }
  // Who types and looks; and the program's end, which does not echo.
  static std::pair<int, int> make_terminal() {
    const int user = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    EXPECT_EQ(grantpt(user), 0);
    EXPECT_EQ(unlockpt(user), 0);
    const int terminal = ::open(ptsname(user), O_RDWR | O_NOCTTY | O_CLOEXEC);
    termios settings{};
    EXPECT_EQ(tcgetattr(terminal, &settings), 0);
    settings.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    EXPECT_EQ(tcsetattr(terminal, TCSANOW, &settings), 0);
    return {user, terminal};
  }
  static void feed(int fd, std::string_view bytes) {
    ASSERT_EQ(::write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  static void close_now(int fd) { EXPECT_EQ(::close(fd), 0); }
  static bool readable(int fd) {
    pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 0) == 1;
  }
  static std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& one :
         std::filesystem::directory_iterator("/proc/self/fd")) {
      ++count;
    }
    return count;
  }
};

}  // namespace weir::test
