// Small scripts that make all the calls of the C library, and what must be true of them whatever
// fails on the way.
#pragma once

#include <climits>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/backends.h"
#include "tests/libc_faults.h"

namespace weir::test {

// What a script works with, and an account of what it has begun.
class Scene {
 public:
  explicit Scene(std::unique_ptr<Reactor> reactor);
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  ~Scene();

  Reactor& reactor() { return *reactor_; }
  // Something that ends once: to be counted when it does.
  int& must_end(std::string what);
  // An object of the script's, which goes with the scene, the latest first.
  template <class T, class... Arguments>
  T& make(Arguments&&... arguments) {
    auto made = std::make_shared<T>(std::forward<Arguments>(arguments)...);
    T& reference = *made;
    made_.push_back(std::move(made));
    return reference;
  }
  // To be done, one by one, when all that was begun has ended; it may begin more.
  void then(std::function<void()> next) { next_.push_back(std::move(next)); }
  void at_the_end(std::function<void()> last) { last_.push_back(std::move(last)); }
  // Something to close when the scene goes.
  int keep(int fd);
  void forget(int fd) { std::erase(kept_, fd); }  // somebody else closes it
  // In a directory of the scene's.
  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  // Runs until all has ended, and what was to be done then; false when it takes too long.
  bool play_out();
  bool run_until(const std::function<bool()>& done);
  void let_go();  // of all that was made
  // What has not ended, or more than once.
  std::string account() const;

 private:
  struct Ending {
    std::string what;
    int times = 0;
  };
  bool all_ended() const;

  std::unique_ptr<Reactor> reactor_;
  std::deque<Ending> endings_;
  std::deque<std::function<void()>> next_;
  std::deque<std::function<void()>> last_;
  std::vector<std::shared_ptr<void>> made_;
  std::vector<int> kept_;
  std::string directory_;
};

struct SmallScript {
  const char* name;
  void (*play)(Scene&);
};
std::span<const SmallScript> net_scripts();   // sockets
std::span<const SmallScript> file_scripts();  // files, pipes, HTTP with static files
std::span<const SmallScript> loop_scripts();  // the reactor itself
std::vector<SmallScript> all_scripts();

// Plays the script, with one failure or none. What is wrong afterwards, or nothing: it ends, each
// ending once, with at most `most` calls; a new connection on the same reactor works; no descriptor
// is left. `made`: how often each call was made.
struct Outcome {
  std::string wrong;
  bool failed = false;  // the failure has come
  long calls = 0;
  std::vector<long> made;
};
Outcome play(const SmallScript& script, const BackendOptions& backend,
             const std::optional<Failure>& failure = {}, long most = LONG_MAX);

}  // namespace weir::test
