#include "bench/process_facts.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <system_error>

namespace weir::bench {
namespace {

namespace files = std::filesystem;

std::string path_of(pid_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

// The number behind `key`, of a line like "Rss:   123 kB".
std::size_t kilobytes(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    std::size_t number = 0;
    if (word == key && file >> number) return number * 1024;
  }
  return 0;
}

// Both ends of a pipe are in `ends` when the process has it for itself.
bool completes(std::map<std::string, std::set<bool>>& ends, const std::string& target, bool reads) {
  return target.starts_with("pipe:") && ends[target].insert(reads).second &&
         ends[target].size() == 2;
}

}  // namespace

std::vector<std::string> open_descriptors(pid_t pid, const std::string& directory) {
  std::vector<std::string> all;
  std::set<std::string> kept;
  std::map<std::string, std::set<bool>> ends;
  std::string own_pipe;
  std::error_code error;
  // One that is closed meanwhile ends the look at what it leads to, no more.
  for (const auto& entry : files::directory_iterator(path_of(pid, "fd"), error)) {
    const std::string target = files::read_symlink(entry.path(), error);
    const bool may_stay = !directory.empty() && target.starts_with(directory + "/");
    if (!may_stay || !kept.insert(target).second) all.push_back(target);
    // proc_pid_fd(5): the mode of the link is that of the descriptor.
    const auto mode = files::symlink_status(entry.path(), error).permissions();
    const bool reads = (mode & files::perms::owner_read) != files::perms::none;
    if (own_pipe.empty() && completes(ends, target, reads)) own_pipe = target;
  }
  if (!directory.empty() && !own_pipe.empty()) std::erase(all, own_pipe);
  std::ranges::sort(all);
  return all;
}

std::size_t threads_at_work(pid_t pid) {
  std::size_t count = 0;
  std::error_code error;
  for (const auto& entry : files::directory_iterator(path_of(pid, "task"), error)) {
    std::ifstream file(entry.path() / "stat");
    std::string line;
    std::getline(file, line);
    // proc_pid_stat(5): the state comes behind the name, which may hold anything.
    const std::size_t name_end = line.rfind(") ");
    if (name_end == std::string::npos) continue;
    const std::string state = line.substr(name_end + 2, 1);
    if (state == "R" || state == "D") ++count;
  }
  return count;
}

std::size_t resident_bytes(pid_t pid) { return kilobytes(path_of(pid, "smaps_rollup"), "Rss:"); }

std::size_t anonymous_bytes(pid_t pid) {
  return kilobytes(path_of(pid, "smaps_rollup"), "Anonymous:");
}

std::size_t resident_bytes_max(pid_t pid) { return kilobytes(path_of(pid, "status"), "VmHWM:"); }

}  // namespace weir::bench
