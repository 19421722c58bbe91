#include "weir/net/lent_sends.h"

namespace weir::inline v1::net {

// Buffers may be views of receive memory: when that runs short, it is not to wait for a peer.
LentSend* LentSends::take(Op::Done done, Channel& channel, std::size_t bytes) noexcept {
  Ledger& ledger = reactor_.ledger();
  const bool full = sends_.live() == limits::kLentSendsMax ||
                    ledger.zero_copy_bytes > limits::kLentBytesMax - bytes;
  if (full || reactor_.memory_in_demand()) return nullptr;
  LentSend* send = sends_.create(done, *this, channel);
  if (send == nullptr) return nullptr;
  send->bytes = bytes;
  ledger.zero_copy_bytes += bytes;
  ++ledger.zero_copy_sends;
  if (!resident_.linked()) reactor_.adopt(resident_);
  return send;
}

void LentSends::give_back(LentSend& send) noexcept {
  reactor_.ledger().zero_copy_bytes -= send.bytes;
  sends_.destroy(&send);
  if (sends_.live() == 0) resident_.unlink();
}

void LentSends::forget(Channel& channel) noexcept {
  sends_.for_each([&channel](LentSend& send) {
    if (send.channel == &channel) send.channel = nullptr;
  });
}

}  // namespace weir::inline v1::net
