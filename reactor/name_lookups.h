// The lookups of one kernel backend. Private to this package.
#pragma once

#include <memory>
#include <vector>

#include "weir/reactor/backend.h"
#include "reactor/thread_inbox.h"

namespace weir::inline v1 {

// A lookup which takes a minute keeps nobody from going. Owner thread only.
class NameLookups {
 public:
  // `wake_fd` is an eventfd that is signalled when an answer is there.
  explicit NameLookups(int wake_fd);
  NameLookups(const NameLookups&) = delete;
  NameLookups& operator=(const NameLookups&) = delete;
  ~NameLookups();

  // False: refused, and op.error says why.
  bool start(ResolveOp& op);
  // The answer, should one come, is dropped; a lookup that has not begun does not begin.
  void forget(const ResolveOp& op) noexcept;
  bool answered() const noexcept { return inbox_->filled(); }
  // The operations that have their answers.
  std::vector<ResolveOp*> take_answered();

 private:
  struct Answer {
    std::uint64_t id;
    std::error_code error;
    std::vector<IpEndpoint> found;
  };
  using Inbox = ThreadInbox<Answer>;
  struct Job;
  struct Pending {
    std::uint64_t id;
    ResolveOp* op;
  };

  Inbox::Hold inbox_;
  std::vector<Pending> pending_;
  std::uint64_t last_id_ = 0;
};

}  // namespace weir::inline v1
