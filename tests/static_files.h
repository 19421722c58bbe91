// What the tests of static files against a server process share: files whose every byte follows
// from its place, a directory for them, and a client that reads answers piece by piece.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/server_process.h"
#include "tests/process.h"
#include "tests/raw_client.h"

namespace weir::test {

// ---- Files ----

// Eight bytes of any file here, by their place: splitmix64.
inline std::uint64_t word_at(std::uint64_t index) {
  std::uint64_t word = (index + 1) * 0x9e3779b97f4a7c15;
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
  word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
  return word ^ (word >> 31);
}

// The bytes from `offset` on.
inline void fill_from(std::uint64_t offset, char* to, std::size_t size) {
  while (size > 0) {
    const std::uint64_t word = word_at(offset / 8);
    const std::size_t skip = offset % 8;
    const std::size_t part = std::min(size, 8 - skip);
    std::memcpy(to, reinterpret_cast<const char*>(&word) + skip, part);
    offset += part;
    to += part;
    size -= part;
  }
}

// Compares what comes with what the file has from `offset` on.
class FileCheck {
 public:
  explicit FileCheck(std::uint64_t offset) : offset_(offset) {}
  bool take(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t size = std::min(bytes.size(), sizeof expected_);
      fill_from(offset_, expected_, size);
      if (std::memcmp(bytes.data(), expected_, size) != 0) return good_ = false;
      offset_ += size;
      bytes.remove_prefix(size);
    }
    return true;
  }
  // Of the next byte.
  std::uint64_t offset() const { return offset_; }
  // False: other bytes have come.
  bool good() const { return good_; }

 private:
  std::uint64_t offset_;
  bool good_ = true;
  char expected_[16 * 1024];
};

inline bool write_file(const std::string& path, std::uint64_t size) {
  std::ofstream file(path, std::ios::binary);
  std::vector<char> piece(1 << 20);
  for (std::uint64_t offset = 0; offset < size && file; offset += piece.size()) {
    const std::size_t part = std::min<std::uint64_t>(size - offset, piece.size());
    fill_from(offset, piece.data(), part);
    file.write(piece.data(), static_cast<std::streamsize>(part));
  }
  return static_cast<bool>(file.flush());
}

inline bool write_text(const std::string& path, std::string_view text) {
  return static_cast<bool>(std::ofstream(path, std::ios::binary) << text << std::flush);
}

// A directory in /tmp that goes with this.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char name[] = "/tmp/weir-static-XXXXXX";
    if (mkdtemp(name) != nullptr) path_ = name;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// ---- The client ----

struct Answer {
  int status = 0;
  std::string head;
  // As Content-Length says; nothing when it does not.
  std::optional<std::uint64_t> length = {};

  // The value of a field, or nothing; a name that is there twice fails the test.
  std::optional<std::string> field(const std::string& name) const {
    std::optional<std::string> value;
    for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
      const std::size_t end = head.find("\r\n", at);
      const std::string line = head.substr(at, end - at);
      at = end + 2;
      if (line.size() <= name.size() || line[name.size()] != ':') continue;
      if (strncasecmp(line.c_str(), name.c_str(), name.size()) != 0) continue;
      EXPECT_FALSE(value.has_value()) << name << " twice in " << head;
      value = line.substr(std::min(line.size(), line.find_first_not_of(' ', name.size() + 1)));
    }
    return value;
  }
};

inline std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != end) return {};
  return number;
}

// One connection to a server of files, blocking; nothing is kept of a body.
class FileClient {
 public:
  explicit FileClient(std::uint16_t port, const RawOptions& options = {})
      : client_(port, options) {}

  RawClient& raw() { return client_; }
  int fd() const { return client_.fd(); }

  bool ask(std::string_view method, std::string_view target, std::string_view fields = {}) {
    std::string request(method);
    request.append(" ").append(target).append(" HTTP/1.1\r\nHost: a\r\n");
    request.append(fields).append("\r\n");
    return client_.send_all(request);
  }

  // Up to the end of the head. Status 0: there is none.
  Answer read_head() {
    Answer answer;
    std::size_t end = 0;
    while ((end = have_.find("\r\n\r\n")) == std::string::npos) {
      if (!read_more()) return answer;
    }
    answer.head = have_.substr(0, end + 2);
    have_.erase(0, end + 4);
    if (!answer.head.starts_with("HTTP/1.1 ")) return answer;
    answer.status =
        static_cast<int>(number_of(std::string_view(answer.head).substr(9, 3)).value_or(0));
    if (const auto length = answer.field("Content-Length")) answer.length = number_of(*length);
    return answer;
  }

  // The next bytes of the body, compared. False: others, or fewer.
  bool read_file(FileCheck& check, std::uint64_t size) {
    const std::size_t had = std::min<std::uint64_t>(size, have_.size());
    if (!check.take(std::string_view(have_).substr(0, had))) return false;
    have_.erase(0, had);
    buffer_.resize(256 * 1024);
    for (size -= had; size > 0;) {
      const std::size_t part = std::min<std::uint64_t>(size, buffer_.size());
      const ssize_t got = recv(fd(), buffer_.data(), part, 0);
      if (got <= 0) return false;
      if (!check.take({buffer_.data(), static_cast<std::size_t>(got)})) return false;
      size -= static_cast<std::size_t>(got);
    }
    return true;
  }

  // The same with bytes that are at hand; `offset` goes on with those that came.
  bool read_same(std::string_view expected, std::uint64_t& offset) {
    const std::size_t had = std::min(expected.size(), have_.size());
    if (expected.substr(0, had) != std::string_view(have_).substr(0, had)) return false;
    have_.erase(0, had);
    offset += had;
    buffer_.resize(256 * 1024);
    for (expected.remove_prefix(had); !expected.empty();) {
      const ssize_t got = recv(fd(), buffer_.data(), std::min(expected.size(), buffer_.size()), 0);
      if (got <= 0) return false;
      const auto size = static_cast<std::size_t>(got);
      if (expected.substr(0, size) != std::string_view(buffer_.data(), size)) return false;
      expected.remove_prefix(size);
      offset += size;
    }
    return true;
  }

  // All of a short body, or what came of it.
  std::string read_text(std::uint64_t size) {
    while (have_.size() < size && read_more()) continue;
    const std::string text = have_.substr(0, size);
    have_.erase(0, size);
    return text;
  }

  // True when everything has been read, and the connection answers the next request.
  bool answers_on(std::string_view target) {
    if (!ask("HEAD", target)) return false;
    const Answer answer = read_head();
    return answer.status == 200 && have_.empty();
  }

 private:
  bool read_more() {
    char bytes[4096];
    const ssize_t got = recv(fd(), bytes, sizeof bytes, 0);
    if (got <= 0) return false;
    have_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  RawClient client_;
  std::string have_;
  std::string buffer_;
};

}  // namespace weir::test
