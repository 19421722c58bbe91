// Sends whose bytes the kernel reads where they are, with what keeps these bytes. See Channel.
#pragma once

#include <array>
#include <cstddef>

#include "weir/net/limits.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::net {

class Channel;
class LentSends;

// One of them, from submit to release. The write queue lets go of the bytes at the result, as of
// all that is sent; these views keep them for as long as the kernel may send them again.
struct LentSend : ZeroCopySendOp {
  LentSend(Done done, LentSends& its_sends, Channel& its_channel) noexcept
      : ZeroCopySendOp(done), sends(its_sends), channel(&its_channel) {}
  LentSends& sends;
  Channel* channel;  // null when it is gone
  std::size_t bytes = 0;
  bool has_result = false;
  std::array<iovec, limits::kLentPiecesMax> room;
  std::array<Buffer, limits::kLentPiecesMax> views;
};

// Those of a reactor: at most kLentSendsMax, of kLentBytesMax bytes. The ledger counts them, and
// the reactor outlives them.
class LentSends {
 public:
  explicit LentSends(Reactor& reactor) noexcept : reactor_(reactor) {}

  // Null: there are enough, or memory is short. Then a plain send it is.
  LentSend* take(Op::Done done, Channel& channel, std::size_t bytes) noexcept;
  // Precondition: idle. The bytes may go now.
  void give_back(LentSend& send) noexcept;
  // The channel goes, and has reset its connection.
  void forget(Channel& channel) noexcept;
  Ledger& ledger() noexcept { return reactor_.ledger(); }

 private:
  // Stands for all of them in the reactor's list. Nothing is left to do but to wait: the channels
  // have reset their connections.
  struct Waiting final : Resident {
    void abandon() noexcept override {}
  };

  Reactor& reactor_;
  Slab<LentSend> sends_;
  Waiting resident_;
};

}  // namespace weir::inline v1::net
