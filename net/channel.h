// A connected stream socket and its operations: receiving, sending, and the three ways to close.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "weir/net/lent_sends.h"
#include "weir/net/write_queue.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::net {

class Channel;
class NetPart;

// What a channel tells. All calls but on_closed() come from the reactor, none from inside a call to
// the channel.
class ChannelOwner {
 public:
  // The connection stands, or this attempt has failed and its fd is closed.
  virtual void on_connected(std::error_code code) noexcept = 0;
  virtual void on_received(Buffer&& bytes) noexcept = 0;
  // Passed by the peer of a Unix socket; the owner's. Before the bytes that it came with.
  virtual void on_descriptor_received(int fd) noexcept = 0;
  // The peer's FIN, once.
  virtual void on_peer_ended() noexcept = 0;
  // Also while closing, when the kernel has taken something after all.
  virtual void on_sent(std::size_t bytes, bool drained) noexcept = 0;
  // The connection is broken; `syscall` is "read", "write" or "sendfile". With the last the peer
  // has been sent less of a file than was promised: ENODATA when the file has no more.
  virtual void on_broken(std::error_code code, const char* syscall) noexcept = 0;
  // After close(): every operation has ended, the fd is closed, the channel is gone; or it stays
  // only for what it has lent to the kernel of a connection that was broken off. Comes from within
  // close() when nothing is in flight.
  virtual void on_closed() noexcept = 0;
  // A budget above the queue has run out and this channel holds the most.
  virtual void on_over_budget(bool must_close) noexcept = 0;

 protected:
  ~ChannelOwner() = default;
};

// What is needed only while there is something to send; kept in NetPart for the next one.
struct Output : ListNode {
  struct Sending : SendOp {
    explicit Sending(Done done) noexcept : SendOp(done) {}
    Channel* channel = nullptr;
  };

  struct SendingFile : SendFileOp {
    SendingFile(Done done, Output& its_output) noexcept : SendFileOp(done), output(its_output) {}
    Output& output;
  };

  Output(const QueueLimits* limits, Op::Done done, Op::Done file_done) noexcept
      : queue(limits), op(done), file_op(file_done, *this) {}
  bool sending() const noexcept { return !op.idle() || !file_op.idle() || lent != nullptr; }
  WriteQueue queue;
  Sending op;
  SendingFile file_op;  // in the place of `op` when a file is next, or behind little
  LentSend* lent = nullptr;  // likewise: the one that awaits its result
  std::array<iovec, weir::limits::kGatherPiecesMax> pieces;
};

enum class CloseMode : std::uint8_t {
  finish,   // both directions have ended: cancel, wait, close
  destroy,  // cancel, wait, shutdown both ways if the connection is ours alone, close; but as reset
            // when bytes were received that nobody gets any more
  reset,    // no shutdown (the peer would read a clean end): cancel, wait, SO_LINGER 0, close
  hand_over,  // cancel, wait, and leave the fd to the owner; bytes that come before are delivered
};

// Descriptors on their way over a Unix socket; most channels have none.
struct PassedDescriptors {
  struct Outgoing {
    std::size_t ahead;  // queued bytes before the one that it goes with
    int fd;
  };
  std::vector<Outgoing> outgoing;
  std::vector<int> incoming;
  bool receives = false;
};

// What a channel has lent to the kernel; most channels have none.
struct Lending {
  std::uint32_t held = 0;  // sends, from submit to release
  std::size_t bytes = 0;   // of these
  int copies_in_a_row = 0;
  bool off = false;  // the kernel does not take it, or copies
  bool awaited = false;  // the owner is to be told when all is released
  Timer patience;    // while closing
};

// Owned by the reactor: it outlives its owner until its last operation has ended. There is one for
// each connection, however idle: its size counts. Invariants:
//   - one input operation at a time: a receive, or a watch for hangups when nobody reads
//   - one send at a time; bytes queued behind it are gathered when it has completed
//   - the fd is closed only when no operation is in flight on it
//   - nor before the kernel has let go of all that was lent to it, in any closing but a reset,
//     which makes it let go: so that whoever has no more patience (kReleasePatience), or no more
//     time (the reactor goes), can reset the connection, and no byte goes that may still be sent
class Channel final : private PollOp {  // its input operation; a base needs no way back
 public:
  // Takes over the fd, -1 for one that is yet to connect. Null when memory is refused; the fd is
  // the caller's then.
  static Channel* create(NetPart& net, int fd, bool is_stream_ours, ChannelOwner& owner) noexcept;

  int fd() const noexcept { return PollOp::fd; }

  // Takes over and connects the fd; on_connected() follows. Until then only queueing is allowed.
  void connect(int fd, const Address& peer) noexcept;
  // Makes the attempt fail with ECANCELED, unless it is through already.
  void cancel_connect() noexcept;

  // What to do about input from now on. A change takes effect when the operation in flight has
  // ended; bytes that come before that are still delivered.
  enum class Input : std::uint8_t { none, receive, watch };
  void want(Input wish) noexcept;
  // A receive is in flight, and is to go on.
  bool receiving() const noexcept {
    return current_ == Input::receive && wanted_ == Input::receive;
  }

  // Queueing never enters the kernel.
  WriteQueue::Push push(Buffer&& bytes, const QueueLimits& limits) noexcept;
  WriteQueue::Push push_copy(std::string_view bytes, const QueueLimits& limits) noexcept;
  WriteQueue::Push push_file(FileRange&& range, const QueueLimits& limits) noexcept;
  // Sends what is queued, unless a send is in flight. What the kernel has taken at once is the
  // result, for which on_sent() does not come.
  struct Flushed {
    std::size_t sent = 0;
    bool drained = false;
  };
  Flushed flush() noexcept;
  // Past the queue, when that is empty: bytes, or -errno; -EAGAIN: they are to be queued.
  std::int32_t send_at_once(std::string_view bytes) noexcept;
  std::size_t queued() const noexcept { return output_ == nullptr ? 0 : output_->queue.bytes(); }
  Queued queued_parts() const noexcept {
    return output_ == nullptr ? Queued() : output_->queue.queued();
  }
  bool needs_drain() const noexcept {
    return output_ != nullptr && output_->queue.needs_drain();
  }
  bool sending() const noexcept { return output_ != nullptr && output_->sending(); }

  // Bytes are lent: when they are all released on_sent() comes, of none.
  bool awaits_release() noexcept {
    if (beside_ == nullptr || beside_->lending.held == 0) return false;
    beside_->lending.awaited = true;
    return true;
  }

  // Receives with recvmsg(2) from now on, to get descriptors.
  void receive_descriptors();
  // The fd goes with the first of the last `size` bytes that were queued, and is closed then; or
  // with the channel.
  void pass_descriptor(int fd, std::size_t size);

  // Sends FIN. Precondition: nothing is queued. An error: behind its own FIN the peer has reset the
  // connection, and did not get all that was sent.
  std::error_code shutdown_write() noexcept;
  // Bytes that the kernel holds and nobody has read.
  bool has_unread() const noexcept;

  // Ends everything and drops the queue; on_closed() follows.
  void close(CloseMode mode) noexcept;
  // The owner does not want to learn when all has arrived: on_closed() does not wait for the peer.
  // While closing it may come from within.
  void stop_awaiting_arrival() noexcept;
  // The owner goes away: as close(), but tells nobody.
  void leave(CloseMode mode) noexcept;
  // The reactor goes: likewise, and nothing waits for the peer.
  void abandon() noexcept;
  ChannelOwner* owner() const noexcept { return owner_; }
  bool closing() const noexcept { return closing_; }

 private:
  friend class NetPart;
  friend class Slab<Channel>;
  struct Connecting : ConnectOp {
    explicit Connecting(Channel& its_channel) noexcept
        : ConnectOp(on_connect), channel(its_channel) {}
    Channel& channel;
  };

  // What most channels have no use for: until the connection stands, the first; then the others.
  struct Beside {
    explicit Beside(Channel& channel) noexcept : connecting(channel) {}
    Connecting connecting;
    PassedDescriptors descriptors;
    Lending lending;
  };

  Channel(NetPart& net, int fd, bool ours, ChannelOwner& owner) noexcept;
  ~Channel() = default;
  PollOp& input() noexcept { return *this; }
  bool connecting() const noexcept { return beside_ != nullptr && !beside_->connecting.idle(); }
  Beside& beside();
  static void on_connect(Op& op, Completion& completion) noexcept;
  static void on_input(Op& op, Completion& completion) noexcept;
  static void on_send(Op& op, Completion& completion) noexcept;
  static void on_send_file(Op& op, Completion& completion) noexcept;
  void arm() noexcept;
  void input_ended(std::int32_t result) noexcept;
  void receive_messages() noexcept;
  void hangup_seen(Events events) noexcept;
  void input_while_handing_over(Completion& completion) noexcept;
  void report_peer_ended() noexcept;
  bool goes_with_file(std::span<const iovec> pieces) const noexcept;
  void submit_file(std::span<const iovec> before, const FileRange& range) noexcept;
  void send_ended(std::int32_t result, const char* syscall) noexcept;
  Flushed take_off_queue(std::size_t sent) noexcept;
  bool ensure_output(const QueueLimits& limits) noexcept;
  WriteQueue::Push account(WriteQueue::Push pushed, std::size_t before) noexcept;
  void drop_output() noexcept;
  std::size_t prepare_descriptor(SendOp& op) noexcept;
  void descriptors_sent(std::size_t sent) noexcept;
  void finish_close_if_idle() noexcept;
  // Lending (channel_lending.cc).
  bool lend(std::span<const iovec> pieces) noexcept;
  static void on_lent(Op& op, Completion& completion) noexcept;
  void note_release(Release how) noexcept;
  bool waits_for_release() noexcept;
  void tell_before_arrival() noexcept;

  // First what fits behind the operation.
  Input wanted_ = Input::none;
  Input current_ = Input::none;
  CloseMode close_mode_ : 2 = CloseMode::finish;
  bool ours_ : 1;             // the connection is not shared with a duplicate elsewhere
  bool peer_ended_ : 1 = false;  // told
  bool closing_ : 1 = false;
  bool in_callback_ : 1 = false;
  bool awaits_arrival_ : 1 = false;  // FIN is sent: closing, the owner learns when all has arrived
  NetPart& net_;
  ChannelOwner* owner_;
  Output* output_ = nullptr;
  std::unique_ptr<Beside> beside_;
};
static_assert(sizeof(Channel) == 72);

}  // namespace weir::inline v1::net
