// How the answers of threads come back to their reactor. Private to this package.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "weir/reactor/posix.h"

namespace weir::inline v1 {

// Between an owner, on the reactor's thread, and its jobs on others. It goes with the last who
// holds it, so that neither side waits for the other. An Answer has the `id` that the owner gave
// its job.
template <class Answer>
class ThreadInbox {
 public:
  struct LetGo {
    void operator()(ThreadInbox* inbox) const noexcept {
      if (inbox->holders_.fetch_sub(1) == 1) delete inbox;
    }
  };
  using Hold = std::unique_ptr<ThreadInbox, LetGo>;

  // `wake_fd` is an eventfd that is signalled when an answer is there.
  static Hold create(int wake_fd) { return Hold(new ThreadInbox(wake_fd)); }
  Hold hold() noexcept {
    holders_.fetch_add(1);
    return Hold(this);
  }

  // ---- Of a job ----

  enum class Start : std::uint8_t { go, withdrawn, nobody };
  // Asked before it begins.
  Start start(std::uint64_t id) noexcept {
    const std::lock_guard lock(mutex_);
    if (wake_fd_ < 0) return Start::nobody;
    return std::erase(withdrawn_, id) != 0 ? Start::withdrawn : Start::go;
  }
  // False: nobody is there any more.
  bool put(Answer answer) {
    const std::lock_guard lock(mutex_);
    if (wake_fd_ < 0) return false;
    answers_.push_back(std::move(answer));
    filled_.store(true);
    posix::signal_eventfd(wake_fd_);
    return true;
  }

  // ---- Of the owner ----

  // The job is not to begin, if it has not begun.
  void withdraw(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    withdrawn_.push_back(id);
  }
  bool filled() const noexcept { return filled_.load(); }
  std::vector<Answer> take() {
    std::vector<Answer> taken;
    if (!filled()) return taken;
    const std::lock_guard lock(mutex_);
    taken.swap(answers_);
    // What was withdrawn too late.
    for (const Answer& answer : taken) std::erase(withdrawn_, answer.id);
    filled_.store(false);
    return taken;
  }
  // Nothing is put any more. Returns what nobody has taken.
  std::vector<Answer> leave() {
    const std::lock_guard lock(mutex_);
    wake_fd_ = -1;
    return std::exchange(answers_, {});
  }

 private:
  explicit ThreadInbox(int wake_fd) noexcept : wake_fd_(wake_fd) {}

  std::mutex mutex_;
  std::vector<Answer> answers_;
  std::vector<std::uint64_t> withdrawn_;
  int wake_fd_;  // -1: the owner is gone
  std::atomic<int> holders_{1};
  std::atomic<bool> filled_{false};
};

}  // namespace weir::inline v1
