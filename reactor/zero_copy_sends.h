// ZeroCopySendOps of a kernel backend. Private to this package.
#pragma once

#include "weir/reactor/backend.h"

namespace weir::inline v1 {

class KernelBackend;
class LocalCompletions;

// Where bytes cannot be lent to the kernel, and where it refuses them, a SendOp of the operation's
// own goes in its place, on the backend above: what a send has to mind (a peer that takes nothing,
// that has reset, a cancel) is minded there.
//
//     submit --> available? -- no ----------------> plain send --> result and release, at once
//                  yes --> kernel -- refuses --(when it has let go)-^
//                             \-- result --> held --> release
//
// With epoll they never can. MSG_ZEROCOPY tells of the release by the socket's error queue, which
// raises EPOLLERR for as long as something is there. That is how a reset is seen that no operation
// finds: each notice would have to be told from an error, of every socket, at every event.
//
// Owner thread only. Goes when none of its operations is in flight.
class ZeroCopySends {
 public:
  ZeroCopySends(KernelBackend& backend, LocalCompletions& local) noexcept
      : backend_(backend), local_(local) {}
  ZeroCopySends(const ZeroCopySends&) = delete;
  ZeroCopySends& operator=(const ZeroCopySends&) = delete;

  void set_available(bool on) noexcept { available_ = on; }
  // False: the backend above is to give it to the kernel.
  bool submit(ZeroCopySendOp& op);
  // False: the kernel has it, or is to get it; it has no result yet.
  bool cancel(ZeroCopySendOp& op);

  // What the kernel has said. True when it became a completion in `out`.
  // `held`: it has not let go of the bytes yet.
  bool on_result(ZeroCopySendOp& op, std::int32_t result, bool held, Completion& out);
  bool on_release(ZeroCopySendOp& op, Release how, Completion& out);
  void on_refusal(ZeroCopySendOp& op, Release how, bool held);

  // The fd is closed: its number may be another socket's.
  void forget(int fd) noexcept;
  // The way to the kernel is gone, and with it all notice: what it might still read is not to be
  // sent, so the connection is reset. False: it has no result yet, and is the backend's to end.
  bool lose(Op& op);

 private:
  static void on_plain(Op& op, Completion& completion) noexcept;
  void send_plainly(ZeroCopySendOp& op, Release how);
  void finish(ZeroCopySendOp& op, std::int32_t result);

  KernelBackend& backend_;
  LocalCompletions& local_;
  IntrusiveList<Op> held_;  // by the kernel, behind the result
  bool available_ = false;
};

}  // namespace weir::inline v1
