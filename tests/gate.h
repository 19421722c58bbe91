// Another backend, where the sends of one descriptor are noted, and held back on demand.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "tests/relay_backend.h"

namespace weir::test {

using Sizes = std::vector<std::size_t>;

class Gate final : public RelayBackend {
 public:
  using RelayBackend::RelayBackend;

  // Sizes of the sends on this fd from now on go to `sizes`.
  void watch(int fd, Sizes* sizes) {
    fd_ = fd;
    sizes_ = sizes;
  }
  void hold() { holding_ = true; }
  void let_go() {
    holding_ = false;
    if (Op* op = std::exchange(held_, nullptr); op != nullptr) {
      op->state = OpState::idle;
      RelayBackend::submit(*op);
    }
  }

  void submit(Op& op) noexcept override {
    if (op.kind != OpKind::send || op.fd != fd_) return RelayBackend::submit(op);
    std::size_t bytes = 0;
    for (const iovec& piece : static_cast<SendOp&>(op).pieces) bytes += piece.iov_len;
    sizes_->push_back(bytes);
    if (!holding_) return RelayBackend::submit(op);
    op.state = OpState::submitted;
    held_ = &op;  // a socket has one send at a time
  }

 private:
  bool holding_ = false;
  int fd_ = -1;
  Sizes* sizes_ = nullptr;
  Op* held_ = nullptr;
};

}  // namespace weir::test
