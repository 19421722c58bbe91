// Sends in the simulator: at once or later, whole or in part; and what becomes of the memory that
// they are made from.
#include <cerrno>
#include <cstring>

#include "reactor/sim_network.h"
#include "weir/reactor/sim_backend.h"

namespace weir::inline v1 {
namespace {

constexpr std::uint32_t kInFlight = 0;  // of Op::slot, as in sim_backend.cc

// How often a world tells a result at once; else the same program meets the other way.
constexpr double kAtOnce = 0.5;

bool last(Op& op, std::int32_t result, Completion& out) noexcept {
  out = {.op = &op, .result = result, .more = false};
  return true;
}

// A number that changes when the bytes do.
std::uint64_t digest(std::span<const iovec> pieces) noexcept {
  std::uint64_t all = pieces.size();
  for (const iovec& piece : pieces) {
    const char* bytes = static_cast<const char*>(piece.iov_base);
    std::size_t left = piece.iov_len;
    for (; left >= sizeof(std::uint64_t); left -= sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes, sizeof word);
      bytes += sizeof word;
      all = (all ^ word) * 0x9e3779b97f4a7c15U;
      all ^= all >> 32;
    }
    for (; left > 0; --left) {
      all = (all ^ static_cast<unsigned char>(*bytes++)) * 0x100000001b3U;
    }
  }
  return all;
}

}  // namespace

// ---- Memory ----

// A send without a copy is always looked at: it is there to be held.
void SimBackend::note_memory(Op& op) noexcept {
  if (op.kind == OpKind::zero_copy_send) {
    auto& send = static_cast<ZeroCopySendOp&>(op);
    send.told = send.fd_gone = false;
    const std::uint64_t before = digest(send.pieces);
    std::memcpy(send.plain.scratch, &before, sizeof before);
  } else if (op.kind == OpKind::send && network_.options().check_memory) {
    auto& send = static_cast<SendOp&>(op);
    const std::uint64_t before = digest(send.pieces);
    std::memcpy(send.scratch, &before, sizeof before);
  }
}

// The bytes are read here as late as a kernel may read them that sends them again.
void SimBackend::check_memory(Op& op) const {
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  if (op.kind == OpKind::zero_copy_send) {
    const auto& send = static_cast<ZeroCopySendOp&>(op);
    std::memcpy(&before, send.plain.scratch, sizeof before);
    after = digest(send.pieces);
  } else if (op.kind == OpKind::send && network_.options().check_memory) {
    const auto& send = static_cast<SendOp&>(op);
    std::memcpy(&before, send.scratch, sizeof before);
    after = digest(send.pieces);
  }
  if (before == after) return;
  const bool lent = op.kind == OpKind::zero_copy_send;
  violation(lent ? "the memory of a send was changed before its release"
                 : "the memory of a send was changed before its result",
            op.fd);
}

// ---- Sends ----

bool SimBackend::tells_at_once() noexcept {
  return standalone_ != nullptr || network_.random().chance(kAtOnce);
}

bool SimBackend::is_refused_memory() noexcept {
  return network_.random().chance(network_.faults().no_memory);
}

// An error that is pending stays so for the completion.
std::size_t SimBackend::send_or_submit(SendOp& op) noexcept {
  sim::Socket* mine = network_.find(machine_, op.fd);
  const bool may = op.idle() && mine != nullptr && !mine->sending && mine->error == 0;
  const bool at_once = may && tells_at_once() && !is_refused_memory();
  Completion result;
  if (at_once && attempt_send(op, *mine, result) && result.result > 0) {
    note(op, result.result);
    ++counters_.completions;
    return static_cast<std::size_t>(result.result);
  }
  if (at_once) mine->writer = nullptr;
  submit(op);
  return 0;
}

std::int32_t SimBackend::send_at_once(int fd, std::string_view bytes) noexcept {
  sim::Socket* mine = network_.find(machine_, fd);
  if (mine == nullptr || mine->sending) {
    violation("a send at once of what is not open, or is sending", fd);
    return -EBADF;
  }
  if (is_refused_memory()) return -ENOMEM;
  if (!tells_at_once()) return -EAGAIN;
  const iovec piece{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  const std::int32_t result = send_some(*mine, {&piece, 1});
  network_.trace().note(now(), machine_, network_.machine(machine_).name, fd, "send", result);
  return result;
}

std::int32_t SimBackend::send_some(sim::Socket& mine, std::span<const iovec> pieces) noexcept {
  std::size_t most = bytes_of(pieces);
  if (most > 0 && network_.random().chance(network_.faults().short_write)) {
    most = 1 + network_.random().below(most);
  }
  return network_.send(mine, pieces, most);
}

bool SimBackend::attempt_send(SendOp& op, sim::Socket& mine, Completion& out) noexcept {
  const sim::Socket* peer = mine.peer;
  const std::uint64_t position = peer == nullptr ? 0 : peer->read_bytes + peer->unread();
  const std::int32_t result = send_some(mine, op.pieces);
  if (result > 0 && op.passed_fd >= 0) network_.pass(mine, op.passed_fd, position);
  if (result != -EAGAIN) return last(op, result, out);
  mine.writer = &op;
  return false;
}

// ---- Sends without a copy ----

bool SimBackend::attempt_zero_copy(ZeroCopySendOp& op, sim::Socket& mine,
                                   Completion& out) noexcept {
  const std::int32_t result = send_some(mine, op.pieces);
  if (result == -EAGAIN) {
    mine.writer = &op;
    return false;
  }
  const bool refused = mine.is_unix() || network_.random().chance(network_.faults().not_lent);
  const bool copied = network_.random().chance(network_.faults().copied);
  op.release = refused ? Release::refused : copied ? Release::copied : Release::lent;
  op.position = mine.sent_bytes;
  out = {.op = &op, .result = result, .more = result >= 0};
  return true;
}

bool SimBackend::waits_for_release(const Op& op) noexcept {
  return op.kind == OpKind::zero_copy_send && static_cast<const ZeroCopySendOp&>(op).told;
}

// A peer acknowledges here what it has read, and a kernel lets go of what is acknowledged, or is
// never sent again. Chance makes it later, as any completion.
bool SimBackend::attempt_release(ZeroCopySendOp& op, Completion& out) noexcept {
  if (!op.fd_gone && op.release != Release::refused) {
    sim::Socket& mine = socket(op.fd);
    const bool acknowledged = mine.sent_bytes - mine.unacknowledged >= op.position;
    if (mine.connected && !acknowledged) {
      mine.lent.push_back(op);
      return false;
    }
  }
  return last(op, static_cast<std::int32_t>(op.release), out);
}

// True when that is all there is to do about it.
bool SimBackend::hand_over_lent(const Completion& completion) {
  auto& op = static_cast<ZeroCopySendOp&>(*completion.op);
  if (op.told) {
    op.slot = Op::kNoSlot;
    std::erase_if(cancels_, [&op](const PutOff& one) { return one.op == &op; });
    check_memory(op);
    return true;
  }
  if (!completion.more) return false;
  op.told = true;
  op.slot = kInFlight;
  attempts_.push_back(op);
  sim::Socket& mine = socket(op.fd);
  --mine.in_flight;
  mine.sending = false;
  return true;
}

// The number may be another socket's from now on.
void SimBackend::forget_lent(sim::Socket& mine) noexcept {
  const auto forget = [&mine](Op& op) {
    const bool is_its = waits_for_release(op) && op.fd == mine.fd;
    if (is_its) static_cast<ZeroCopySendOp&>(op).fd_gone = true;
  };
  attempts_.splice_back(mine.lent);
  attempts_.for_each(forget);
  for (const PutOff& one : put_off_) forget(*one.op);
  for (const Late& one : late_) forget(*one.completion.op);
}

}  // namespace weir::inline v1
