// How datagrams come: from the kernel's receives to the handlers.
#include <array>
#include <cerrno>

#include "net/udp_core.h"
#include "weir/net/block_list.h"

namespace weir::inline v1::net {

void UdpCore::start_receiving() noexcept { reactor_.backend().submit(receiving_); }

void UdpCore::received(const Completion& completion) noexcept {
  if (closing_) return finish_close_if_idle();
  if (completion.result > 0) return read();
  rest(completion.result);
}

// The kernel refuses: it is asked again after a while.
void UdpCore::rest(int error) noexcept {
  report({.code = errno_code(error), .syscall = "recv"});
  reactor_.wheel().cancel(rest_);
  reactor_.wheel().insert(rest_, later(reactor_.now(), weir::limits::kAcceptBackoff));
}

void UdpCore::Rest::on_fire(TimerNode& node) noexcept {
  UdpCore& core = static_cast<Rest&>(node).core;
  if (core.receiving_.idle()) return core.start_receiving();
  core.read();
}

// The queue is read until a receive finds less than it has room for; at most kUdpCallsPerTurnMax
// receives, then the others have their turn.
void UdpCore::read() noexcept {
  for (int calls = 0; calls < limits::kUdpCallsPerTurnMax; ++calls) {
    const std::size_t most = saw_coalesced_ ? weir::limits::kCoalescedPerReceive
                                            : weir::limits::kDatagramsPerReceive;
    const Datagrams::Received received = kernel_.receive(fd_, most, coalesced_);
    if (received.error == -EAGAIN) return;
    if (received.error == -ENOMEM || received.error == -ENOBUFS) return rest(received.error);
    if (received.error != 0) {
      // What the peer's machine has reported (ICMP), once for each; more may be behind it.
      report({.code = errno_code(received.error), .syscall = "recv"});
      continue;
    }
    saw_coalesced_ = !received.segments.empty();
    const bool as_it_is = !saw_coalesced_ && options_.receive_block_list == nullptr;
    if (!(as_it_is ? tell(received.entries) : deliver(received)) || closing_) return;
    if (received.entries.size() < most) return;
  }
  reactor_.schedule_next_turn(reading_);
}

// Cut into datagrams, and without those of blocked peers. False: the handle is gone.
bool UdpCore::deliver(const Datagrams::Received& received) {
  std::array<Datagram, limits::kUdpMessagesMax> datagrams;
  std::size_t count = 0;
  for (std::size_t i = 0; i < received.entries.size(); ++i) {
    const Datagram& entry = received.entries[i];
    std::string_view left = entry.bytes;
    const bool one = received.segments.empty() || received.segments[i] == 0;
    const std::size_t segment = one ? left.size() : received.segments[i];
    if (options_.receive_block_list != nullptr &&
        options_.receive_block_list->check(Address(entry.from))) {
      counters_.blocked += one ? 1 : (left.size() + segment - 1) / segment;
      continue;
    }
    do {
      datagrams[count++] = {.bytes = left.substr(0, segment), .from = entry.from};
      left.remove_prefix(datagrams[count - 1].bytes.size());
      if (count < datagrams.size()) continue;
      if (!tell({datagrams.data(), std::exchange(count, 0)})) return false;
      if (closing_) return true;
    } while (!left.empty());
  }
  return tell({datagrams.data(), count});
}

bool UdpCore::tell(std::span<const Datagram> datagrams) {
  if (datagrams.empty()) return true;
  const bool one_by_one = events.messages.empty() && !events.message.empty();
  if (!one_by_one) {
    for (const Datagram& one : datagrams) count(one);
    if (!emit(events.messages, datagrams)) return false;
    if (events.message.empty()) return true;
  }
  for (const Datagram& one : datagrams) {
    if (closing_) return true;
    if (one_by_one) count(one);
    if (!emit(events.message, one)) return false;
  }
  return true;
}

}  // namespace weir::inline v1::net
