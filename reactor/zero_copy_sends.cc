#include "reactor/zero_copy_sends.h"

#include <cerrno>

#include "reactor/kernel_backend.h"

namespace weir::inline v1 {
namespace {

// Op::slot of one that no list or request of the backend has.
constexpr std::uint32_t kElsewhere = 0;

}  // namespace

bool ZeroCopySends::submit(ZeroCopySendOp& op) {
  op.failed = 0;
  op.told = op.plain_due = op.fd_gone = false;
  if (available_) return false;
  send_plainly(op, Release::refused);
  return true;
}

bool ZeroCopySends::cancel(ZeroCopySendOp& op) {
  if (op.plain.idle()) return op.told || op.plain_due || op.failed != 0;
  backend_.cancel(op.plain);
  return true;
}

bool ZeroCopySends::on_result(ZeroCopySendOp& op, std::int32_t result, bool held,
                              Completion& out) {
  if (held) held_.push_back(op);
  if (result < 0) {
    op.failed = result;
    return !held && on_release(op, Release::copied, out);
  }
  op.told = true;
  out = {.op = &op, .result = result, .more = true};
  if (!held) finish(op, static_cast<std::int32_t>(Release::copied));
  return true;
}

bool ZeroCopySends::on_release(ZeroCopySendOp& op, Release how, Completion& out) {
  op.unlink();
  if (op.plain_due && op.state != OpState::cancelling) {
    send_plainly(op, op.release);
    return false;
  }
  if (op.plain_due) op.failed = -ECANCELED;
  op.slot = Op::kNoSlot;
  const std::int32_t result = op.failed != 0 ? op.failed : static_cast<std::int32_t>(how);
  out = {.op = &op, .result = result, .more = false};
  return true;
}

void ZeroCopySends::on_refusal(ZeroCopySendOp& op, Release how, bool held) {
  op.release = how;
  op.plain_due = held;
  if (held) return held_.push_back(op);
  send_plainly(op, how);
}

void ZeroCopySends::send_plainly(ZeroCopySendOp& op, Release how) {
  op.release = how;
  op.plain_due = false;
  op.slot = kElsewhere;
  op.plain.done = on_plain;
  op.plain.sends = this;
  op.plain.fd = op.fd;
  op.plain.pieces = op.pieces;
  backend_.submit(op.plain);
}

void ZeroCopySends::on_plain(Op& base, Completion& completion) noexcept {
  auto& plain = static_cast<ZeroCopySendOp::Plain&>(base);
  auto& sends = *static_cast<ZeroCopySends*>(plain.sends);
  ZeroCopySendOp& op = plain.whole;
  const std::int32_t result = completion.result;
  if (result < 0) return sends.finish(op, result);
  op.told = true;
  sends.local_.push({.op = &op, .result = result, .more = true});
  sends.finish(op, static_cast<std::int32_t>(op.release));
}

void ZeroCopySends::finish(ZeroCopySendOp& op, std::int32_t result) {
  op.slot = Op::kNoSlot;
  local_.push({.op = &op, .result = result, .more = false});
}

void ZeroCopySends::forget(int fd) noexcept {
  held_.for_each([fd](Op& op) {
    if (op.fd == fd) static_cast<ZeroCopySendOp&>(op).fd_gone = true;
  });
}

bool ZeroCopySends::lose(Op& base) {
  if (base.kind != OpKind::zero_copy_send) return false;
  auto& op = static_cast<ZeroCopySendOp&>(base);
  if (!op.fd_gone) posix::reset(op.fd);
  if (!op.told && !op.plain_due && op.failed == 0) return false;
  finish(op, op.told ? static_cast<std::int32_t>(Release::lent) : -ECANCELED);
  return true;
}

}  // namespace weir::inline v1
