// How datagrams leave: the queue, and the kernel's sends.
#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <utility>

#include "net/udp_core.h"
#include "weir/net/block_list.h"

namespace weir::inline v1::net {
namespace {

constexpr std::size_t kEntriesPerCall = 4 * weir::limits::kDatagramsPerSend;

}  // namespace

// ---- Taking ----

// IPv4 addresses as a dual-stack socket needs them: ::ffff:127.0.0.1 (RFC 4291, 2.5.5.2).
Expected<void> UdpCore::fit_family(IpEndpoint& to, const char* syscall) const {
  if (to.family == options_.family) return {};
  if (to.family == Family::ipv4 && !options_.ipv6_only) {
    const auto bytes = to.bytes;
    to.family = Family::ipv6;
    to.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, bytes[0], bytes[1], bytes[2], bytes[3]};
    return {};
  }
  return failure({.code = errno_code(EAFNOSUPPORT), .syscall = syscall, .address = Address(to)});
}

bool UdpCore::has_room(std::size_t bytes) const noexcept {
  const std::size_t datagrams = queued_datagrams();
  if (datagrams == 0) return true;
  return datagrams < options_.queue_datagrams_max &&
         bytes <= options_.queue_bytes_max - std::min(queued_bytes_, options_.queue_bytes_max);
}

Expected<Send> UdpCore::send(Buffer&& bytes, const IpEndpoint* to, UdpSocket::Sent sent) {
  if (closing_) return failure({.code = Mistake::datagram_not_running});
  if (to == nullptr && !connected_) return failure({.code = Mistake::datagram_not_connected});
  if (to != nullptr && connected_) return failure({.code = Mistake::datagram_connected});
  Outgoing outgoing{.bytes = std::move(bytes), .to = {}, .sent = std::move(sent)};
  if (to != nullptr) {
    if (to->port == 0) {
      return failure({.code = Mistake::bad_port,
                      .detail = "0 is not a port to send to: it must be in 1..65535"});
    }
    outgoing.to = *to;
    if (const auto fits = fit_family(outgoing.to, "send"); !fits) return failure(fits.error());
    if (options_.send_block_list != nullptr && options_.send_block_list->check(Address(*to))) {
      return failure({.code = Mistake::ip_blocked, .address = Address(*to)});
    }
  }
  return take(std::move(outgoing));
}

Expected<Send> UdpCore::send_by_name(Buffer&& bytes, const UdpAt& to, UdpSocket::Sent sent) {
  if (closing_) return failure({.code = Mistake::datagram_not_running});
  if (connected_) return failure({.code = Mistake::datagram_connected});
  if (to.port < 1 || to.port > 65535) {
    return failure({.code = Mistake::bad_port,
                    .detail = std::to_string(to.port) +
                              " is not a port to send to: it must be in 1..65535"});
  }
  const bool ipv6 = options_.family == Family::ipv6;
  const std::string host = !to.host.empty() ? to.host : ipv6 ? "::1" : "127.0.0.1";
  const auto numeric = Address::parse_ip(host, static_cast<std::uint16_t>(to.port));
  if (numeric) return send(std::move(bytes), &numeric->ip(), std::move(sent));
  if (const auto bound = ensure_bound(); !bound) return failure(bound.error());
  if (!has_room(bytes.size())) {
    ++counters_.dropped_sends;
    drain_due_ = true;
    return Send::dropped;
  }
  const std::size_t size = bytes.size();
  const auto begun =
      start_lookup(Purpose::send, to,
                   {.bytes = std::move(bytes), .to = {}, .sent = std::move(sent)});
  if (!begun) return failure(begun.error());
  ++resolving_sends_;
  queued_bytes_ += size;
  reactor_.ledger().queue_bytes += size;
  return Send::ok;
}

Expected<Send> UdpCore::take(Outgoing outgoing) {
  if (const auto bound = ensure_bound(); !bound) return failure(bound.error());
  if (!has_room(outgoing.bytes.size())) {
    ++counters_.dropped_sends;
    drain_due_ = true;
    return Send::dropped;
  }
  queued_bytes_ += outgoing.bytes.size();
  reactor_.ledger().queue_bytes += outgoing.bytes.size();
  queue_.push_back(std::move(outgoing));
  reactor_.schedule(*this);
  return Send::ok;
}

// ---- Sending ----

// Offers the queue to the kernel. What it does not take waits until the socket is writable; a long
// queue goes on in the next turn.
void UdpCore::flush() noexcept {
  if (fd_ < 0 || !writable_.idle() || flushing_.linked()) return;
  std::size_t calls = 0;
  while (sent_ < queue_.size()) {
    if (calls == limits::kUdpCallsPerTurnMax) return reactor_.schedule_next_turn(flushing_);
    if (send_some(calls) == SendResult::progress) continue;
    return reactor_.backend().submit(writable_);
  }
}

// For the last time.
void UdpCore::offer_all() noexcept {
  std::size_t calls = 0;
  while (fd_ >= 0 && sent_ < queue_.size() && send_some(calls) == SendResult::progress) {
  }
}

// One call. Datagrams of one size to one peer go as one, where the kernel can cut them
// (UDP_SEGMENT); the last may be shorter.
UdpCore::SendResult UdpCore::send_some(std::size_t& calls) noexcept {
  std::array<iovec, kEntriesPerCall> pieces;
  std::array<DatagramOut, weir::limits::kDatagramsPerSend> batch;
  std::array<std::size_t, weir::limits::kDatagramsPerSend> entries;  // of the queue, in each
  std::size_t used = 0;
  std::size_t count = 0;
  for (std::size_t at = sent_; at < queue_.size() && used < pieces.size(); ++at) {
    if (count == batch.size()) break;
    const Outgoing& first = queue_[at];
    const std::size_t size = first.bytes.size();
    const std::size_t begin = used;
    pieces[used++] = {.iov_base = const_cast<char*>(first.bytes.data()), .iov_len = size};
    const bool may_join = size > 0 && size <= segment_max_;
    std::size_t all = size;
    while (may_join && at + 1 < queue_.size() && used < pieces.size() &&
           used - begin < weir::limits::kSegmentsPerSend) {
      const Outgoing& next = queue_[at + 1];
      const std::size_t more = next.bytes.size();
      if (next.to != first.to || more > size || more == 0) break;
      if (all + more > weir::limits::kSegmentedBytesMax) break;
      pieces[used++] = {.iov_base = const_cast<char*>(next.bytes.data()), .iov_len = more};
      all += more;
      ++at;
      if (more < size) break;
    }
    entries[count] = used - begin;
    batch[count++] = {.pieces = {&pieces[begin], used - begin},
                      .segment = used - begin > 1 ? static_cast<std::uint32_t>(size) : 0,
                      .to = first.to.family == Family::none ? nullptr : &first.to};
  }
  ++calls;
  const int result = kernel_.send(fd_, {batch.data(), count});
  if (result == -EAGAIN) return SendResult::blocked;
  if (result < 0) {
    send_failed(result, batch[0].segment);
    return SendResult::progress;
  }
  for (int i = 0; i < result; ++i) finish_front(entries[static_cast<std::size_t>(i)], {});
  return SendResult::progress;
}

// The first one is refused. Datagrams that were to go as one are tried one by one when the path
// does not carry packets of their size, or the device cannot cut them (udp(7)).
void UdpCore::send_failed(int error, std::uint32_t segment) noexcept {
  const bool uncut = error == -EINVAL || error == -EMSGSIZE || error == -EIO ||
                     error == -EOPNOTSUPP;
  if (segment != 0 && uncut) {
    segment_max_ = segment - 1;
  } else {
    finish_front(1, errno_code(error));
  }
}

void UdpCore::finish_front(std::size_t entries, std::error_code code) noexcept {
  for (; entries > 0; --entries) {
    Outgoing& one = queue_[sent_++];
    if (code) {
      ++counters_.send_errors;
      finish(one, {.code = code, .syscall = "send", .address = Address(one.to)});
    } else {
      ++counters_.sent;
      counters_.sent_bytes += one.bytes.size();
      release(one, {});
    }
  }
  // Amortised: what is moved down is never more than what has been sent.
  if (2 * sent_ < queue_.size()) return;
  queue_.erase(queue_.begin(), std::next(queue_.begin(), static_cast<std::ptrdiff_t>(sent_)));
  sent_ = 0;
}

// The datagram has come to its end. True: its callback is going to tell.
bool UdpCore::release(Outgoing& outgoing, std::error_code code) {
  const std::size_t size = outgoing.bytes.size();
  queued_bytes_ -= size;
  reactor_.ledger().queue_bytes -= size;
  outgoing.bytes.reset();
  if (!outgoing.sent) return false;
  finished_.push_back({std::move(outgoing.sent), code});
  reactor_.schedule(*this);
  return true;
}

void UdpCore::finish(Outgoing& outgoing, const Error& error) {
  if (!release(outgoing, error.code) && !closing_) report(error);
}

void UdpCore::forget_queue(const Error& error) noexcept {
  std::vector<Outgoing> ended = std::move(queue_);
  queue_.clear();
  for (std::size_t i = std::exchange(sent_, 0); i < ended.size(); ++i) finish(ended[i], error);
}

}  // namespace weir::inline v1::net
