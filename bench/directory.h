#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace weir::bench {

// A directory in /tmp that goes with this.
class Directory {
 public:
  explicit Directory(const std::string& name) {
    std::string path = "/tmp/" + name + "-XXXXXX";
    if (mkdtemp(path.data()) != nullptr) path_ = path;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  // Empty: there is none.
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace weir::bench
