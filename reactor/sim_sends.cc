// Sends in the simulator: at once or later, whole or in part, and a watch over their memory.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "reactor/sim_network.h"
#include "weir/reactor/sim_backend.h"

namespace weir::inline v1 {
namespace {

// How often a world tells a result at once; else the same program meets the other way.
constexpr double kAtOnce = 0.5;

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
  if (result == -EAGAIN) {
    mine.writer = &op;
    return false;
  }
  out = {.op = &op, .result = result, .more = false};
  return true;
}

void SimBackend::remember_memory(SendOp& op) const noexcept {
  if (!network_.options().check_memory) return;
  const std::uint64_t before = digest(op.pieces);
  std::memcpy(op.scratch, &before, sizeof before);
}

void SimBackend::check_memory(const SendOp& op) const {
  if (!network_.options().check_memory) return;
  std::uint64_t before = 0;
  std::memcpy(&before, op.scratch, sizeof before);
  if (before != digest(op.pieces)) {
    violation("the memory of a send was changed before its result", op.fd);
  }
}

}  // namespace weir::inline v1
