// Reactors side by side, each on a thread of its own.
#pragma once

#include <atomic>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <vector>

#include "weir/reactor/reactor.h"

namespace weir::inline v1 {

struct ReactorGroupOptions {
  // How many; 0: one for each processor that the process may use (sched_getaffinity(2)).
  std::size_t size = 0;
  // Each thread stays on a processor of its own, of those that the process may use, where there are
  // enough of them. For a process that has them to itself.
  bool pin = true;
  // Of each reactor, by its index; unset: the defaults.
  Function<ReactorOptions(std::size_t)> reactor = {};
};

// Owner: whoever makes it; what uses the reactors goes before it. Nothing is shared between them:
// what one has for another it posts there (Reactor::post(), which takes no lock).
// Thread: that of create(), start(), run() and the destructor, which are called in this order; the
// others are for any.
// Errors: those of create(), start() and run() leave nothing running.
//
//     auto group = ReactorGroup::create({.size = 4});
//     (*group)->start([](Reactor& reactor, std::size_t) { return MyServer::listen(reactor); });
//     (*group)->drain_on({SIGINT, SIGTERM});
//     (*group)->run();
class ReactorGroup {
 public:
  // What a reactor is there for. Made by the thread of start(); from run() on it belongs to its
  // reactor's thread, which also destroys it, when run() of the reactor returns.
  class Service {
   public:
    virtual ~Service() = default;
    // To end what keeps the reactor going, in an orderly way. At most once.
    virtual void drain() = 0;
  };
  using Make = Function<Expected<std::unique_ptr<Service>>(Reactor& reactor, std::size_t index)>;

  [[nodiscard]] static Expected<std::unique_ptr<ReactorGroup>> create(
      ReactorGroupOptions options = {});
  ReactorGroup(const ReactorGroup&) = delete;
  ReactorGroup& operator=(const ReactorGroup&) = delete;
  ~ReactorGroup();

  std::size_t size() const noexcept { return members_.size(); }
  Reactor& operator[](std::size_t index) noexcept;

  // Makes the services one after the other, so that the first may find a port for all. Once.
  Expected<void> start(Make make);
  // The first reactor runs on this thread. Returns when none runs any more: each goes until nothing
  // keeps it, or until stop(). Once.
  Expected<void> run();

  // Any thread, async-signal-safe. Each service's drain() is called on its thread. The first call
  // counts; one before run() is not forgotten.
  void drain() noexcept;
  // Any thread, async-signal-safe. All reactors return from run() after their turn.
  void stop() noexcept;
  // Between start() and run(). These signals of the process call drain(), for as long as the first
  // reactor runs (Reactor::on_signal()).
  Expected<void> drain_on(std::initializer_list<int> signals);

 private:
  struct Member;

  ReactorGroup() = default;

  std::vector<std::unique_ptr<Member>> members_;
  std::atomic<bool> draining_ = false;
  std::atomic<bool> stopping_ = false;
};

}  // namespace weir::inline v1
