#include "tests/libc_faults.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <optional>
#include <vector>

#include "tests/libc_callers.h"
#include "tests/random.h"

extern "C" int __real_epoll_ctl(int set, int change, int fd, epoll_event* event);

namespace weir::test {
namespace {

struct Registration {
  int fd;
  int set;
  std::uint32_t events;
  std::uint64_t data;
};

// Calls come from several threads.
struct State {
  std::mutex mutex;
  bool armed = false;
  std::optional<Failure> failure;
  std::optional<Random> random;
  std::uint64_t one_in = 0;
  std::array<long, kLibcCalls> made{};
  std::array<long, kLibcCalls> given{};
  std::vector<Registration> registered;  // for edges
};

// Never destroyed: threads of the library may be the last to call.
State& state() {
  static auto* const only = new State;
  return *only;
}

bool is_registered(const State& now, int fd) {
  return std::ranges::find(now.registered, fd, &Registration::fd) != now.registered.end();
}

std::size_t index(LibcCall call) { return static_cast<std::size_t>(call); }

// Small ones more often than not: what is at a piece's edge is what goes wrong.
std::size_t shorter(Random& random, std::size_t size) {
  const std::size_t most = random.chance(0.5) ? std::min<std::size_t>(size - 1, 8) : size - 1;
  return 1 + static_cast<std::size_t>(random.below(most));
}

bool is_hit(const Failure& failure, LibcCall call, long number) {
  if (failure.call != call) return false;
  return failure.lasting ? number >= failure.nth : number == failure.nth;
}

// Where no edge can be asked for, a stream that is read by edges gives what it has.
bool needs_edge(LibcCall call) {
  return call == LibcCall::accept4 || call == LibcCall::recv || call == LibcCall::recvmmsg;
}

Verdict transparent(State& now, const LibcFacts& facts, int fd, std::size_t size) {
  Random& random = *now.random;
  if (random.below(now.one_in) != 0) return {};
  const bool may_hold_back = !needs_edge(facts.call) || is_registered(now, fd);
  std::array<Verdict, 3> possible;
  std::size_t count = 0;
  if (facts.interrupted) possible[count++] = {.error = EINTR};
  if (facts.spuriously_not && may_hold_back) possible[count++] = {.error = EAGAIN};
  if (facts.shortens && may_hold_back && size > 1) {
    possible[count++] = {.most = shorter(random, size)};
  }
  return count == 0 ? Verdict{} : possible[static_cast<std::size_t>(random.below(count))];
}

void begin(std::optional<Failure> failure, std::optional<Random> random) {
  State& now = state();
  const std::lock_guard lock(now.mutex);
  EXPECT_FALSE(now.armed) << "one at a time";
  now.armed = true;
  now.failure = failure;
  now.random = random;
  if (now.random) now.one_in = 2 + now.random->below(7);
  now.made.fill(0);
  now.given.fill(0);
}

}  // namespace

Faults::Faults() { begin({}, {}); }
Faults::Faults(const Failure& failure) { begin(failure, {}); }
Faults::Faults(std::uint64_t seed) { begin({}, Random(seed)); }
Faults::~Faults() { stop(); }

void Faults::stop() {
  const std::lock_guard lock(state().mutex);
  state().armed = false;
}

long Faults::made(LibcCall call) const {
  const std::lock_guard lock(state().mutex);
  return state().made[index(call)];
}

long Faults::given(LibcCall call) const {
  const std::lock_guard lock(state().mutex);
  return state().given[index(call)];
}

long Faults::given() const {
  const std::lock_guard lock(state().mutex);
  long all = 0;
  for (const long one : state().given) all += one;
  return all;
}

Verdict judge(const Attempt& attempt, std::size_t size) noexcept {
  if (!is_of_library(attempt.caller)) return {};
  const LibcCall call = attempt.call;
  State& now = state();
  const std::lock_guard lock(now.mutex);
  if (!now.armed) return {};
  const long number = ++now.made[index(call)];
  Verdict verdict;
  if (now.failure && is_hit(*now.failure, call, number)) {
    verdict.error = now.failure->error;
  } else if (now.random) {
    verdict = transparent(now, facts_of(call), attempt.fd, size);
  }
  if (verdict.error != 0 || verdict.most < size) ++now.given[index(call)];
  return verdict;
}

void tell_again(int fd) noexcept {
  const int error = errno;
  const std::lock_guard lock(state().mutex);
  for (const Registration& one : state().registered) {
    if (one.fd != fd) continue;
    epoll_event event{.events = one.events, .data = {.u64 = one.data}};
    __real_epoll_ctl(one.set, EPOLL_CTL_MOD, fd, &event);
  }
  errno = error;
}

void note_registration(int set, int change, int fd, const epoll_event& event) noexcept {
  const std::lock_guard lock(state().mutex);
  std::erase_if(state().registered,
                [&](const Registration& one) { return one.fd == fd && one.set == set; });
  if (change == EPOLL_CTL_DEL || (event.events & EPOLLET) == 0) return;
  state().registered.push_back(
      {.fd = fd, .set = set, .events = event.events, .data = event.data.u64});
}

void note_closed(int fd) noexcept {
  const std::lock_guard lock(state().mutex);
  std::erase_if(state().registered,
                [&](const Registration& one) { return one.fd == fd || one.set == fd; });
}

}  // namespace weir::test
