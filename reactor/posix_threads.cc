#include "reactor/posix_threads.h"

#include <pthread.h>
#include <sched.h>

#include <csignal>
#include <memory>
#include <utility>

#include "weir/reactor/assert.h"

namespace weir::inline v1::posix {
namespace {

struct Start {
  void (*run)(void*) noexcept;
  void* argument;
};

bool start_thread(pthread_t& thread, void (*run)(void*) noexcept, void* argument) noexcept {
  const auto enter = [](void* given) -> void* {
    auto* start = static_cast<Start*>(given);
    const Start copied = *start;
    delete start;
    copied.run(copied.argument);
    return nullptr;
  };
  auto start = std::make_unique<Start>(Start{.run = run, .argument = argument});
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const bool started = ::pthread_create(&thread, nullptr, enter, start.get()) == 0;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (started) [[maybe_unused]] const Start* given_away = start.release();
  return started;
}

bool run_on(const cpu_set_t& cpus) noexcept {
  return ::sched_setaffinity(0, sizeof cpus, &cpus) == 0;
}

}  // namespace

bool start_detached_thread(void (*run)(void*) noexcept, void* argument) noexcept {
  pthread_t thread{};
  if (!start_thread(thread, run, argument)) return false;
  ::pthread_detach(thread);
  return true;
}

struct Thread::Handle {
  pthread_t thread;
};

Thread::Thread() noexcept = default;

Thread::~Thread() { WEIR_ASSERT(handle_ == nullptr); }

bool Thread::start(void (*run)(void*) noexcept, void* argument) noexcept {
  WEIR_ASSERT(handle_ == nullptr);
  auto handle = std::make_unique<Handle>();
  if (!start_thread(handle->thread, run, argument)) return false;
  handle_ = std::move(handle);
  return true;
}

void Thread::join() noexcept {
  if (handle_ == nullptr) return;
  ::pthread_join(handle_->thread, nullptr);
  handle_.reset();
}

std::vector<int> usable_cpus() {
  std::vector<int> usable;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return usable;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) usable.push_back(cpu);
  }
  return usable;
}

Pin::Pin(int cpu) noexcept {
  std::vector<int> before = usable_cpus();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<unsigned>(cpu), &one);
  if (!before.empty() && run_on(one)) before_ = std::move(before);
}

Pin::~Pin() {
  if (before_.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : before_) CPU_SET(static_cast<unsigned>(cpu), &set);
  run_on(set);
}

}  // namespace weir::inline v1::posix
