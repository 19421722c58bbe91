#include "weir/reactor/reactor_group.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "reactor/posix_threads.h"

namespace weir::inline v1 {

struct ReactorGroup::Member {
  Member(ReactorGroup& its_group, std::unique_ptr<Reactor> its_reactor, int its_cpu) noexcept
      : group(its_group), reactor(std::move(its_reactor)), cpu(its_cpu) {}

  // A request that is there already is not to be taken for an idle connection.
  void see_what_has_come() noexcept {
    for (int turn = 0; turn < limits::kTurnsBeforeDrain; ++turn) {
      if (reactor->run_once(Duration::zero()) == 0) return;
    }
  }

  // drain() and stop() set their flag before they stop the reactor, so that whoever returns from
  // run() for them sees it.
  void run() noexcept {
    std::optional<posix::Pin> pin;
    if (cpu >= 0) pin.emplace(cpu);
    bool drained = false;
    for (;;) {
      reactor->run();
      if (drained || group.stopping_ || !group.draining_) break;
      drained = true;
      see_what_has_come();
      service->drain();
    }
    service.reset();
  }

  ReactorGroup& group;
  std::unique_ptr<Reactor> reactor;
  std::unique_ptr<Service> service;  // behind its reactor, and so destroyed before it
  posix::Thread thread;              // none for the first
  int cpu;                           // or -1
};

Expected<std::unique_ptr<ReactorGroup>> ReactorGroup::create(ReactorGroupOptions options) {
  const std::vector<int> cpus = posix::usable_cpus();
  const std::size_t size = options.size != 0 ? options.size : std::max<std::size_t>(cpus.size(), 1);
  if (size > limits::kGroupSizeMax) {
    return failure({.code = Mistake::out_of_range,
                    .detail = "a group has at most " + std::to_string(limits::kGroupSizeMax) +
                              " reactors, not " + std::to_string(size)});
  }
  const bool pinned = options.pin && size <= cpus.size();
  std::unique_ptr<ReactorGroup> group(new ReactorGroup);
  for (std::size_t i = 0; i < size; ++i) {
    auto reactor = Reactor::create(options.reactor ? options.reactor(i) : ReactorOptions());
    if (!reactor) return failure(reactor.error());
    group->members_.push_back(
        std::make_unique<Member>(*group, std::move(*reactor), pinned ? cpus[i] : -1));
  }
  return group;
}

ReactorGroup::~ReactorGroup() = default;

Reactor& ReactorGroup::operator[](std::size_t index) noexcept { return *members_[index]->reactor; }

Expected<void> ReactorGroup::start(Make make) {
  for (std::size_t i = 0; i < members_.size(); ++i) {
    WEIR_ASSERT(members_[i]->service == nullptr);
    auto service = make(*members_[i]->reactor, i);
    if (!service) {
      for (const auto& member : members_) member->service.reset();
      return failure(service.error());
    }
    members_[i]->service = std::move(*service);
  }
  return {};
}

Expected<void> ReactorGroup::run() {
  for (const auto& member : members_) WEIR_ASSERT(member->service != nullptr);  // by start()
  bool all_run = true;
  for (std::size_t i = 1; i < members_.size() && all_run; ++i) {
    const auto enter = [](void* member) noexcept { static_cast<Member*>(member)->run(); };
    all_run = members_[i]->thread.start(enter, members_[i].get());
  }
  if (all_run) {
    members_.front()->run();
  } else {
    stop();
  }
  for (const auto& member : members_) member->thread.join();
  if (all_run) return {};
  for (const auto& member : members_) member->service.reset();
  return failure({.code = errno_code(EAGAIN), .syscall = "pthread_create"});
}

void ReactorGroup::drain() noexcept {
  if (draining_.exchange(true)) return;
  for (const auto& member : members_) member->reactor->stop();
}

void ReactorGroup::stop() noexcept {
  stopping_ = true;
  for (const auto& member : members_) member->reactor->stop();
}

Expected<void> ReactorGroup::drain_on(std::initializer_list<int> signals) {
  for (const int signal : signals) {
    auto on = members_.front()->reactor->on_signal(signal, [this](int) { drain(); });
    if (!on) return on;
  }
  return {};
}

}  // namespace weir::inline v1
