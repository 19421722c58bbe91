// Runs part of a test in a child process, which may lose rights, limits and the network.
#pragma once

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>

namespace weir::test {

// What did not hold there. EXPECT_ and ASSERT_ are the parent's.
class Complaints {
 public:
  void unless(bool condition, const std::string& what) {
    if (!condition) text_ += what + '\n';
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Everything that `run` complains of, or how the child ended otherwise. A text that begins with
// "skip: " says why it could not be tried.
inline std::string in_child(const std::function<void(Complaints&)>& run) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    Complaints complaints;
    run(complaints);
    const std::string text = complaints.text();
    const bool told = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char room[4096];
  for (ssize_t got; (got = read(ends[0], room, sizeof room)) > 0;) {
    text.append(room, static_cast<std::size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return "no child";
  if (status != 0) text += "it ended with status " + std::to_string(status) + '\n';
  return text;
}

}  // namespace weir::test
