// What net keeps for each reactor: memory for its objects, and the budget of all write queues.
#pragma once

#include <cstdint>
#include <memory>

#include "weir/net/channel.h"
#include "weir/net/limits.h"
#include "weir/net/listener.h"
#include "weir/net/lookup.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::net {

class Socket;
struct SocketGuard;

// Owner thread; made with the first socket or server of a reactor, gone with the reactor.
class NetPart {
 public:
  explicit NetPart(Reactor& reactor) noexcept;
  NetPart(const NetPart&) = delete;
  NetPart& operator=(const NetPart&) = delete;
  ~NetPart();

  static NetPart& of(Reactor& reactor) { return reactor.part<NetPart>(); }

  Reactor& reactor() noexcept { return reactor_; }
  Slab<Channel>& channels() noexcept { return channels_; }
  // Of each channel, by itself.
  void channel_added() noexcept;
  void remove_channel(Channel& channel) noexcept;
  Slab<Lookup>& lookups() noexcept { return lookups_; }
  LentSends& lent_sends() noexcept { return lent_sends_; }

  // The handlers of sockets that are running, the innermost first; see socket_state.h.
  SocketGuard* guards = nullptr;

  // Defaults of connecting to names, see ConnectOptions.
  bool auto_select_family = true;
  Duration attempt_timeout = limits::kAttemptTimeoutDefault;

  // A write queue with its operation, from the spare ones if there is one. Null: memory refused.
  Output* take_output(const QueueLimits& limits, Op::Done done, Op::Done file_done) noexcept;
  void give_back(Output& output) noexcept;

  // Counts queued bytes, without those of files; when the budget has run out the largest holder is
  // told, in a task.
  void queued(std::size_t bytes) noexcept;
  void unqueued(std::size_t bytes) noexcept { reactor_.ledger().queue_bytes -= bytes; }
  bool over_budget() const noexcept;
  void set_budget(std::size_t bytes) noexcept { reactor_.ledger().queue_bytes_max = bytes; }

  // Listeners without descriptors or memory go on as soon as a connection has given some back.
  void add_resting(RestingListener& resting) noexcept { resting_.push_back(resting); }
  void connection_closed() noexcept;
  std::uint64_t closings() const noexcept { return closings_; }

  // Destroys a thing when no handler of it can be running any more: in a task of its own.
  struct Condemned {
    void* object;
    void (*destroy)(void*) noexcept;
  };
  void destroy_later(Condemned condemned);

 private:
  struct Reaper : Task {
    explicit Reaper(NetPart& its_net) noexcept
        : Task([](Task& task) noexcept { static_cast<Reaper&>(task).net.reap(); }), net(its_net) {}
    NetPart& net;
  };
  // Stands for all channels in the reactor's list.
  struct Channels final : Resident {
    explicit Channels(NetPart& its_net) noexcept : net(its_net) {}
    void abandon() noexcept override;
    NetPart& net;
  };
  void reap() noexcept;
  void shed() noexcept;

  Reactor& reactor_;
  Slab<Channel> channels_;
  Channels resident_;
  Slab<Lookup> lookups_;
  LentSends lent_sends_;
  Slab<Output> outputs_;
  IntrusiveList<Output> spare_;  // the last one that was used is taken first: it is in the cache
  std::size_t spare_count_ = 0;
  IntrusiveList<RestingListener> resting_;
  std::uint64_t closings_ = 0;
  bool shed_due_ = false;
  Reaper reaper_;
  std::vector<Condemned> condemned_;
};

// Whole seconds of `delay` count; below one the kernel's own times hold.
void set_keep_alive_on(Backend& backend, int fd, bool on, Duration delay);

// Bytes that all write queues of a reactor may hold together; see kReactorQueueBytesDefault.
inline void set_queue_budget(Reactor& reactor, std::size_t bytes) {
  NetPart::of(reactor).set_budget(bytes);
}

}  // namespace weir::inline v1::net
