#include "reactor/signals.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <thread>

#include "reactor/handles.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1 {
namespace {

constexpr int kSignalsMax = 65;

struct Place {
  std::atomic<int> process{0};
  std::atomic<int> signal{0};  // 0: free
  std::atomic<int> fd{-1};
};

// All that the handler touches is atomic and never freed.
std::array<Place, SignalSubscription::kSubscriptionsMax> places;
std::atomic<int> handlers_running{0};
std::mutex table_mutex;  // for everything but the handler
std::array<struct sigaction, kSignalsMax> earlier_actions;
std::array<int, kSignalsMax> subscriptions{};

void chain(int signal, siginfo_t* info, void* context) {
  const struct sigaction& earlier = earlier_actions[static_cast<std::size_t>(signal)];
  if ((earlier.sa_flags & SA_SIGINFO) != 0) {
    earlier.sa_sigaction(signal, info, context);
  } else if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) {
    earlier.sa_handler(signal);
  }
}

void on_signal(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  handlers_running.fetch_add(1);
  for (Place& place : places) {
    // A forked child has a copy of the table, but the eventfd is its parent's.
    if (place.signal.load() != signal || place.process.load() != ::getpid()) continue;
    const int fd = place.fd.load();
    if (fd >= 0) posix::signal_eventfd(fd);
  }
  handlers_running.fetch_sub(1);
  chain(signal, info, context);
  errno = error;
}

int free_place() noexcept {
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i].signal.load() == 0) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace

Expected<SignalSubscription> SignalSubscription::create(int signal) {
  const auto refuse = [](int error) {
    return failure(
        {.code = errno_code(error), .syscall = "sigaction"});
  };
  if (signal <= 0 || signal >= kSignalsMax) return refuse(EINVAL);
  auto fd = posix::make_eventfd();
  if (!fd) return failure(fd.error());
  const std::lock_guard lock(table_mutex);
  const int index = free_place();
  if (index < 0) return refuse(ENOSPC);
  const auto number = static_cast<std::size_t>(signal);
  if (subscriptions[number] == 0) {
    struct sigaction action {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigfillset(&action.sa_mask);
    if (::sigaction(signal, nullptr, &earlier_actions[number]) != 0 ||
        ::sigaction(signal, &action, nullptr) != 0) {
      return refuse(errno);
    }
  }
  ++subscriptions[number];
  Place& place = places[static_cast<std::size_t>(index)];
  place.process.store(::getpid());
  place.fd.store(fd->get());
  place.signal.store(signal);
  return SignalSubscription(std::move(*fd), index);
}

SignalSubscription::~SignalSubscription() {
  if (index_ < 0) return;
  const std::lock_guard lock(table_mutex);
  Place& place = places[static_cast<std::size_t>(index_)];
  const auto number = static_cast<std::size_t>(place.signal.load());
  if (--subscriptions[number] == 0) {
    ::sigaction(static_cast<int>(number), &earlier_actions[number], nullptr);
  }
  place.signal.store(0);
  place.fd.store(-1);
  // A handler on another thread may hold the fd's number: it is closed only when none runs.
  while (handlers_running.load() != 0) std::this_thread::yield();
}

Expected<void> Reactor::on_signal(int signal, Function<void(int)> handler) {
  if (backend_->kind() == BackendKind::sim) {
    return failure(
        {.code = errno_code(ENOTSUP), .syscall = "sigaction"});
  }
  auto subscription = SignalSubscription::create(signal);
  if (!subscription) return failure(subscription.error());
  const int fd = subscription->fd();
  auto made = std::make_unique<SignalHandler>(std::move(*subscription), Watch());
  made->watch = watch(fd, {Events::readable},
                      boxed([fd, signal, handler = std::move(handler)](Events) mutable {
                        if (posix::drain_eventfd(fd)) handler(signal);
                      }));
  made->watch.unref();
  signals_.push_back(std::move(made));
  return {};
}

}  // namespace weir::inline v1
