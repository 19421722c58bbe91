// A directory of files, a server that answers with them, and what its clients get.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include "tests/failing_backend.h"
#include "tests/http_world.h"
#include "weir/http/static_files.h"

namespace weir::test {

using http::StaticFiles;
using http::StaticFilesOptions;

// An answer, taken apart.
struct Answer {
  int status = 0;
  std::multimap<std::string, std::string> fields;
  std::string body;

  // Of the first line of that name; empty without one.
  std::string field(const std::string& name) const {
    const auto found = fields.find(name);
    return found == fields.end() ? std::string() : found->second;
  }
};

inline Answer take_apart(std::string_view text) {
  Answer answer;
  const std::size_t end = text.find("\r\n\r\n");
  if (end == text.npos || !text.starts_with("HTTP/1.1 ")) return answer;
  std::from_chars(text.data() + 9, text.data() + 12, answer.status);
  answer.body = text.substr(end + 4);
  std::string_view head = text.substr(0, end + 2);
  for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
    const std::size_t line_end = head.find("\r\n", at);
    const std::string_view line = head.substr(at, line_end - at);
    const std::size_t colon = line.find(": ");
    answer.fields.emplace(line.substr(0, colon), line.substr(colon + 2));
    at = line_end + 2;
  }
  return answer;
}

// Bytes that look different everywhere.
inline std::string content(std::size_t size, std::uint32_t seed = 1) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<char>(seed >> 24);
  }
  return bytes;
}

// Its time of day is as far ahead of that of the files as a test wants, on the simulator too: no
// file can be told to have been changed long ago. Opening fails, and reading waits for a change of
// the file, when a test wants that.
class FilesBackend final : public FailingBackend {
 public:
  explicit FilesBackend(std::unique_ptr<Backend> behind)
      : FailingBackend(std::move(behind), OpKind::open) {}

  std::int64_t ahead = 0;                // seconds
  std::function<void()> before_reading;  // the next file, but behind its first look
  int cancelled_receives = 0;

  std::int64_t unix_seconds() const noexcept override {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::floor<std::chrono::seconds>(now).count() + ahead;
  }
  void submit(Op& op) noexcept override {
    if (op.kind == OpKind::read && before_reading) std::exchange(before_reading, {})();
    FailingBackend::submit(op);
  }
  void cancel(Op& op) noexcept override {
    if (op.kind == OpKind::recv && op.state == OpState::submitted) ++cancelled_receives;
    FailingBackend::cancel(op);
  }
};

class StaticTest : public HttpTest {
 protected:
  static constexpr std::int64_t kLongAgo = 1000;  // seconds

  std::unique_ptr<Backend> wrap(std::unique_ptr<Backend> backend) override {
    auto wrapped = std::make_unique<FilesBackend>(std::move(backend));
    backend_ = wrapped.get();
    backend_->ahead = kLongAgo;
    return wrapped;
  }

  void SetUp() override {
    HttpTest::SetUp();
    if (IsSkipped()) return;
    char name[] = "/tmp/weir-static-XXXXXX";
    outside_ = mkdtemp(name);
    root_ = outside_ + "/root";
    std::filesystem::create_directory(root_);
  }
  void TearDown() override {
    clients_.clear();
    server_.reset();
    files_.reset();
    if (!outside_.empty()) std::filesystem::remove_all(outside_);
    HttpTest::TearDown();
  }

  std::string path_of(const std::string& name) const { return root_ + "/" + name; }
  // Last modified so many seconds before the reactor's time of day; it is always changed now.
  void set_age(const std::string& path, std::int64_t age) {
    const timespec when{.tv_sec = reactor().backend().unix_seconds() - age, .tv_nsec = 0};
    const timespec times[] = {when, when};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
  }
  void make(const std::string& name, std::string_view bytes, std::int64_t age = kLongAgo) {
    std::filesystem::create_directories(std::filesystem::path(path_of(name)).parent_path());
    const auto before = changed(name);
    // Within one tick of the kernel's clock it would have been changed at the same time.
    do {
      std::ofstream(path_of(name), std::ios::binary | std::ios::trunc) << bytes;
      set_age(path_of(name), age);
    } while (changed(name) == before);
  }
  // Time of its last change; nothing when it is not there.
  std::optional<std::pair<std::int64_t, std::int64_t>> changed(const std::string& name) const {
    struct stat facts{};
    if (::stat(path_of(name).c_str(), &facts) != 0) return {};
    return std::pair(facts.st_ctim.tv_sec, facts.st_ctim.tv_nsec);
  }
  // As those do who want no half of a file to be seen.
  void replace(const std::string& name, std::string_view bytes, std::int64_t age = kLongAgo) {
    const std::string fresh = outside_ + "/fresh";
    std::ofstream(fresh, std::ios::binary) << bytes;
    set_age(fresh, age);
    std::filesystem::rename(fresh, path_of(name));
  }

  StaticFiles& serve_files(StaticFilesOptions options = {}) {
    options.root = root_;
    auto made = StaticFiles::create(reactor(), std::move(options));
    EXPECT_TRUE(made.has_value()) << (made ? "" : made.error().message());
    files_ = std::move(*made);
    serve([this](Request& request, Response& response) {
      sender_ = &response.socket();
      files_->answer(request, response, request.path().substr(1));
    });
    return *files_;
  }

  static std::string request_for(const std::string& path, const std::string& fields = {},
                                 const std::string& method = "GET") {
    return method + " " + path + " HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
  }
  Answer get(const std::string& path, const std::string& fields = {},
             const std::string& method = "GET") {
    return take_apart(ask(request_for(path, "Connection: close\r\n" + fields, method)));
  }
  int status_of(const std::string& path, const std::string& fields = {}) {
    return get(path, fields).status;
  }

  FilesBackend* backend_ = nullptr;
  std::string outside_;
  std::string root_;
  std::unique_ptr<StaticFiles> files_;
  Socket* sender_ = nullptr;  // the server's, of the last request
};

}  // namespace weir::test
