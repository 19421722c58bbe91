// Files to be sent, connections to send them on, and what became of both.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <set>

#include "tests/files.h"

namespace weir::test {

using net::FileRange;

// More than any kernel takes from us while nobody reads: the rest stays queued.
inline constexpr std::size_t kMoreThanTheKernelTakes = 24 << 20;

inline SharedFile adopt(int fd) {
  auto file = SharedFile::adopt(fd);
  EXPECT_TRUE(file.has_value()) << (file ? "" : file.error().message());
  return file ? std::move(*file) : SharedFile();
}

inline bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

// Whether any descriptor of the process is one of this file.
inline bool is_open(const std::string& path) {
  for (const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    if (std::filesystem::read_symlink(one.path(), gone) == path) return true;
  }
  return false;
}

class SendFileTest : public FilesTest {
 protected:
  void TearDown() override {
    // Everything that a test has started goes, and so do its descriptors.
    client_.reset();
    server_.reset();
    for (const std::string& path : lent_) {
      EXPECT_TRUE(closes(path)) << "it was left open";
    }
    FilesTest::TearDown();
  }

  // A file that is to be closed by the time that the test is over.
  SharedFile file_with(std::string_view content) { return file_at(make_file(content)); }
  SharedFile file_at(const std::string& path) {
    path_ = path;
    lent_.insert(path);
    return adopt(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  }
  static Write send(Socket& socket, FileRange range, net::WriteDone done = {}) {
    auto result = socket.send_file(std::move(range), std::move(done));
    EXPECT_TRUE(result.has_value()) << result.error().message();
    return result ? *result : Write::closed;
  }
  // From its beginning.
  static Write send(Socket& socket, const SharedFile& file, std::size_t size,
                    net::WriteDone done = {}) {
    return send(socket, {.file = file.share(), .size = size}, std::move(done));
  }
  // Notes the name of a callback, and its error if there is one.
  net::WriteDone noting(std::string name) {
    return [this, name](Socket&, std::error_code code) {
      calls_.push_back(code ? name + " " + std::string(name_of(code)) : name);
    };
  }
  bool peer_has(std::size_t bytes) {
    return run_until([&] { return peer_record_.bytes.size() >= bytes; });
  }
  void expect_peer_has(std::string_view bytes) {
    EXPECT_TRUE(peer_has(bytes.size())) << peer_record_.bytes.size() << " of " << bytes.size();
    EXPECT_TRUE(peer_record_.bytes == bytes) << "other bytes";
  }
  // A file that cannot be sent whole before the peer reads.
  SharedFile large_file() {
    const std::string path = socket_path();
    std::ofstream out(path, std::ios::binary);
    out.close();
    std::filesystem::resize_file(path, kMoreThanTheKernelTakes);
    return file_at(path);
  }
  static PairOptions peer_that_does_not_read(bool over_unix = false) {
    PairOptions options;
    options.peer_reads = false;
    options.over_unix = over_unix;
    return options;
  }
  // A thread closes its duplicate a moment after its answer, and tells nobody.
  bool closes(const std::string& path) {
    const Instant end = reactor().now() + kPatience;
    while (is_open(path)) {
      if (reactor().now() >= end) return false;
      reactor().run_once(std::chrono::milliseconds(1));
    }
    return true;
  }
  void start_anew() {
    client_.reset();
    server_.reset();
    turns();
    client_record_ = peer_record_ = {};
    peer_ = nullptr;
  }
  // Part of a large file is with the kernel, and no more goes.
  bool stuck() {
    std::size_t left = 0;
    return run_until([&] {
      turns();
      return client().writable_length() < kMoreThanTheKernelTakes &&
             left == std::exchange(left, client().writable_length());
    });
  }

  std::vector<std::string> calls_;
  std::string path_;  // of the last file

 private:
  std::set<std::string> lent_;
};

using Calls = std::vector<std::string>;

}  // namespace weir::test
