// Another backend, of whose operations of one kind the next ones fail as a test wants.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "tests/relay_backend.h"

namespace weir::test {

class FailingBackend : public RelayBackend {
 public:
  FailingBackend(std::unique_ptr<Backend> behind, OpKind kind)
      : RelayBackend(std::move(behind)), kind_(kind) {}

  std::deque<int> failures;  // errno values, one for each operation

  void submit(Op& op) noexcept override {
    if (op.kind != kind_ || failures.empty()) return RelayBackend::submit(op);
    op.state = OpState::submitted;
    failed_.push_back({.op = &op, .result = -failures.front(), .more = false});
    failures.pop_front();
  }
  void cancel(Op& op) noexcept override {
    if (std::ranges::find(failed_, &op, &Completion::op) == failed_.end()) {
      RelayBackend::cancel(op);
    }
  }
  std::size_t poll(Instant until, std::span<Completion> batch) noexcept override {
    if (failed_.empty()) return RelayBackend::poll(until, batch);
    batch[0] = std::move(failed_.front());
    failed_.pop_front();
    return 1;
  }

 private:
  OpKind kind_;
  std::deque<Completion> failed_;  // which are to be told
};

}  // namespace weir::test
