// The lookups of one kernel backend. Private to this package.
#pragma once

#include <memory>
#include <vector>

#include "weir/reactor/backend.h"

namespace weir::inline v1 {

// Answers cross threads in an inbox that goes with the last who holds it, so that a lookup which
// takes a minute keeps nobody from going. Owner thread only.
class NameLookups {
 public:
  // `wake_fd` is an eventfd that is signalled when an answer is there.
  explicit NameLookups(int wake_fd);
  NameLookups(const NameLookups&) = delete;
  NameLookups& operator=(const NameLookups&) = delete;
  ~NameLookups();

  // False: refused, and op.error says why.
  bool start(ResolveOp& op);
  // The answer, should one come, is dropped.
  void forget(const ResolveOp& op) noexcept;
  bool answered() const noexcept;
  // The next operation that has its answer, or null.
  ResolveOp* take_answered() noexcept;

 private:
  struct Inbox;
  struct LetGo {
    void operator()(Inbox* inbox) const noexcept;
  };
  using InboxHold = std::unique_ptr<Inbox, LetGo>;
  struct Job;
  struct Pending {
    std::uint64_t id;
    ResolveOp* op;
  };

  InboxHold inbox_;
  std::vector<Pending> pending_;
  std::uint64_t last_id_ = 0;
};

}  // namespace weir::inline v1
