// A listening socket and its accepting, through times without descriptors or memory.
#pragma once

#include <cstdint>
#include <string>

#include "weir/reactor/intrusive_list.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::net {

class Listener;
class NetPart;

// All calls but on_listener_closed() come from the reactor.
class ListenerOwner {
 public:
  virtual void on_accepted(int fd) noexcept = 0;
  // Accepting failed while a client waits; once for each burst. The listener goes on by itself.
  virtual void on_accept_error(std::error_code code) noexcept = 0;
  // After close(): the fd is closed, the listener goes.
  virtual void on_listener_closed(Listener& listener) noexcept = 0;

 protected:
  ~ListenerOwner() = default;
};

// A listener among those that rest.
struct RestingListener : ListNode {
  explicit RestingListener(Listener& its_listener) noexcept : listener(its_listener) {}
  Listener& listener;
};

// Owned by the reactor. Without descriptors (EMFILE, ENFILE) or memory it rests for kAcceptBackoff,
// or until a connection of the reactor closes, then waits for a client before it accepts again: it
// neither spins nor goes deaf.
class Listener final : public Resident {
 public:
  // Takes over the fd. `path` is the file of a Unix socket that close() removes, or empty.
  static Listener* create(NetPart& net, int fd, std::string path, ListenerOwner& owner);

  int fd() const noexcept { return fd_; }
  // Connections that the kernel has accepted meanwhile are closed. on_listener_closed() follows.
  void close() noexcept;
  void abandon() noexcept override;
  // Ends a rest.
  void wake() noexcept;

 private:
  template <class Base>
  struct Owned : Base {
    Owned(Op::Done done, Listener& its_listener) noexcept : Base(done), listener(its_listener) {}
    Listener& listener;
  };

  // Embedded: a time without memory cannot wait for some.
  struct Rest : TimerNode {
    explicit Rest(Listener& its_listener) noexcept
        : TimerNode([](TimerNode& node) noexcept { static_cast<Rest&>(node).listener.wake(); }),
          listener(its_listener) {}
    Listener& listener;
  };

  Listener(NetPart& net, int fd, std::string path, ListenerOwner& owner);
  ~Listener() = default;
  void accept() noexcept;
  void accepted(const Completion& completion) noexcept;
  void rest(std::error_code reason) noexcept;
  void client_waits() noexcept;
  void finish_close_if_idle() noexcept;

  NetPart& net_;
  Reactor& reactor_;
  ListenerOwner* owner_;
  Owned<AcceptOp> accept_;
  Owned<PollOp> poll_;  // after a rest: is there a client?
  Rest rest_;
  RestingListener resting_;
  std::error_code reason_;
  Instant refused_at_;
  std::uint64_t closings_seen_ = 0;  // when the kernel was asked, or has last said yes
  std::string path_;
  int fd_;
  bool told_ = false;  // the owner knows of the burst that is going on
  bool closing_ = false;
  bool in_callback_ = false;
};

}  // namespace weir::inline v1::net
