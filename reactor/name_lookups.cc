#include "reactor/name_lookups.h"

#include <algorithm>

#include "reactor/blocking_pool.h"
#include "weir/reactor/posix.h"

namespace weir::inline v1 {

struct NameLookups::Job final : BlockingJob {
  void run() noexcept override {
    if (inbox->start(id) != Inbox::Start::go) return;
    Answer answer{.id = id, .error = {}, .found = {}};
    answer.error = posix::resolve(host, family, answer.found);
    inbox->put(std::move(answer));
  }

  Inbox::Hold inbox;
  std::uint64_t id = 0;
  std::string host;
  Family family = Family::none;
};

NameLookups::NameLookups(int wake_fd) : inbox_(Inbox::create(wake_fd)) {}

NameLookups::~NameLookups() { inbox_->leave(); }

bool NameLookups::start(ResolveOp& op) {
  auto job = std::make_unique<Job>();
  job->inbox = inbox_->hold();
  job->id = ++last_id_;
  job->host = op.host;
  job->family = op.family;
  op.found.clear();
  op.error = {};
  std::unique_ptr<BlockingJob> offered = std::move(job);
  if (!run_blocking(offered)) {
    op.error = ResolveError::try_again;
    return false;
  }
  pending_.push_back({.id = last_id_, .op = &op});
  return true;
}

void NameLookups::forget(const ResolveOp& op) noexcept {
  const auto found = std::ranges::find(pending_, &op, &Pending::op);
  if (found == pending_.end()) return;
  inbox_->withdraw(found->id);
  pending_.erase(found);
}

std::vector<ResolveOp*> NameLookups::take_answered() {
  std::vector<ResolveOp*> answered;
  for (Answer& answer : inbox_->take()) {
    const auto found = std::ranges::find(pending_, answer.id, &Pending::id);
    if (found == pending_.end()) continue;
    ResolveOp* op = found->op;
    pending_.erase(found);
    op->error = answer.error;
    op->found = std::move(answer.found);
    answered.push_back(op);
  }
  return answered;
}

}  // namespace weir::inline v1
