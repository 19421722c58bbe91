#include "reactor/name_lookups.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "reactor/blocking_pool.h"
#include "weir/reactor/posix.h"

namespace weir::inline v1 {

struct NameLookups::Inbox {
  struct Answer {
    std::uint64_t id;
    std::error_code error;
    std::vector<IpEndpoint> found;
  };
  std::mutex mutex;
  std::vector<Answer> answers;
  int wake_fd = -1;  // -1: nobody is there any more
  std::atomic<int> holders{1};
  std::atomic<bool> filled{false};

  InboxHold hold() noexcept {
    holders.fetch_add(1);
    return InboxHold(this);
  }
};

void NameLookups::LetGo::operator()(Inbox* inbox) const noexcept {
  if (inbox->holders.fetch_sub(1) == 1) delete inbox;
}

struct NameLookups::Job final : BlockingJob {
  void run() noexcept override {
    Inbox::Answer answer{.id = id, .error = {}, .found = {}};
    answer.error = posix::resolve(host, family, answer.found);
    const std::lock_guard lock(inbox->mutex);
    if (inbox->wake_fd < 0) return;
    inbox->answers.push_back(std::move(answer));
    inbox->filled.store(true);
    posix::signal_eventfd(inbox->wake_fd);
  }

  InboxHold inbox;
  std::uint64_t id = 0;
  std::string host;
  Family family = Family::none;
};

NameLookups::NameLookups(int wake_fd) : inbox_(new Inbox()) {
  inbox_->wake_fd = wake_fd;
}

NameLookups::~NameLookups() {
  const std::lock_guard lock(inbox_->mutex);
  inbox_->wake_fd = -1;
}

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
  std::erase_if(pending_, [&](const Pending& pending) { return pending.op == &op; });
}

bool NameLookups::answered() const noexcept { return inbox_->filled.load(); }

ResolveOp* NameLookups::take_answered() noexcept {
  if (!answered()) return nullptr;
  const std::lock_guard lock(inbox_->mutex);
  while (!inbox_->answers.empty()) {
    Inbox::Answer answer = std::move(inbox_->answers.back());
    inbox_->answers.pop_back();
    const auto found = std::find_if(pending_.begin(), pending_.end(),
                                    [&](const Pending& one) { return one.id == answer.id; });
    if (found == pending_.end()) continue;
    ResolveOp* op = found->op;
    pending_.erase(found);
    op->error = answer.error;
    op->found = std::move(answer.found);
    return op;
  }
  inbox_->filled.store(false);
  return nullptr;
}

}  // namespace weir::inline v1
