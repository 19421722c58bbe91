// The only door to the kernel. Everything above it sees operations, completions and buffers, and
// so runs unchanged on io_uring, epoll and the simulator.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "weir/reactor/address.h"
#include "weir/reactor/buffer.h"
#include "weir/reactor/datagrams.h"
#include "weir/reactor/error.h"
#include "weir/reactor/intrusive_list.h"
#include "weir/reactor/limits.h"
#include "weir/reactor/tally.h"
#include "weir/reactor/time.h"

namespace weir::inline v1 {

enum class OpKind : std::uint8_t {
  accept, connect, recv, send, send_file, poll, datagrams, resolve, read, write, open,
  zero_copy_send
};
// On a pipe, terminal or file: these know nothing of the backend's sockets.
constexpr bool is_of_file(OpKind kind) noexcept {
  return kind == OpKind::read || kind == OpKind::write || kind == OpKind::open;
}

// idle -> submitted -> (completion, more)* -> completion, no more -> idle. cancel() only makes it
// `cancelling`; the last completion still comes.
enum class OpState : std::uint8_t { idle, submitted, cancelling };

struct Completion;

// One operation, embedded in an object that the reactor owns, never on a stack. From submit()
// until its last completion was handed to `done`, the Op and every byte that it points to belong
// to the backend, whatever cancel() said.
struct Op : ListNode {
  using Done = void (*)(Op&, Completion&) noexcept;

  Op(OpKind op_kind, Done op_done) noexcept : done(op_done), kind(op_kind) {}

  Done done;
  int fd = -1;
  std::uint32_t slot = kNoSlot;  // the backend's own note
  OpKind kind;
  OpState state = OpState::idle;

  static constexpr std::uint32_t kNoSlot = UINT32_MAX;
  bool idle() const noexcept { return state == OpState::idle; }
};

// Repeats; each result is a connected fd (non-blocking, close-on-exec) that is the receiver's. A
// negative result is the last one; the owner submits again when it wants more.
struct AcceptOp : Op {
  explicit AcceptOp(Done op_done) noexcept : Op(OpKind::accept, op_done) {}
};

// Once; result 0 or the connection's error.
struct ConnectOp : Op {
  explicit ConnectOp(Done op_done) noexcept : Op(OpKind::connect, op_done) {}
  Address peer;
  alignas(8) std::byte scratch[128];  // the backend's: the address in the kernel's form
};

// Repeats; each positive result comes with as many bytes in memory that the backend chose. 0 is
// the peer's FIN and the last result; so is a negative one.
struct RecvOp : Op {
  explicit RecvOp(Done op_done) noexcept : Op(OpKind::recv, op_done) {}
};

// Once; the result may be less than the pieces hold, the rest is the owner's to submit again. On an
// fd there is at most one, or one SendFileOp, or one ZeroCopySendOp that has no result yet.
struct SendOp : Op {
  explicit SendOp(Done op_done) noexcept : Op(OpKind::send, op_done) {}
  std::span<const iovec> pieces;
  int passed_fd = -1;  // goes with the first byte (SCM_RIGHTS); stays the owner's. Unix sockets
  alignas(8) std::byte scratch[80];  // the backend's: message and control header, as the kernel's
};

// What the last completion of a ZeroCopySendOp says of its bytes.
enum class Release : std::int32_t {
  lent,     // the kernel has read them where they are, and reads them no more
  copied,   // it has made a copy after all, as of everything that stays on this machine
  refused,  // it does no such thing here: they went as those of a SendOp
};

// As a SendOp, but the kernel reads the bytes where they are, for as long as it may have to send
// them again, which is until the peer has acknowledged them:
//
//     submitted --> result, more --> Release, the last
//              \--> negative result, the last: nothing is sent, or nobody gets it
//
// Invariants
// 1. From submit() to the last completion the Op, its pieces and their bytes belong to the backend.
//    The bytes do not change: what is sent again must be what was sent before.
// 2. Only one send of an fd awaits its result, of whichever kind; any number await their release.
// 3. Releases come in any order, and when they come is the peer's affair: cancel() is for the
//    result. A reset of the connection, ours or the peer's, brings them soon.
// 4. The fd may be closed before the release, not before the result. Whoever closes it cannot reset
//    the connection any more: see Channel.
// 5. A backend that cannot lend the bytes, or is refused that, sends them as a SendOp does; nobody
//    loses or repeats a byte by that.
struct ZeroCopySendOp : Op {
  explicit ZeroCopySendOp(Done op_done) noexcept : Op(OpKind::zero_copy_send, op_done) {}
  std::span<const iovec> pieces;

  // The backend's: the form for the kernel, or the send in its place.
  struct Plain : SendOp {
    explicit Plain(ZeroCopySendOp& its_whole) noexcept : SendOp(nullptr), whole(its_whole) {}
    ZeroCopySendOp& whole;
    void* sends = nullptr;
  };
  Plain plain{*this};
  std::uint64_t position = 0;  // of the end of its bytes in what was sent, on the simulator
  std::int32_t failed = 0;     // the result, which waits for the kernel to let go
  Release release = Release::lent;
  bool told = false;       // the result
  bool plain_due = false;  // goes plainly when the kernel has let go
  bool fd_gone = false;    // closed since
};

inline std::size_t bytes_of(std::span<const iovec> pieces) noexcept {
  std::size_t bytes = 0;
  for (const iovec& piece : pieces) bytes += piece.iov_len;
  return bytes;
}

// Once: bytes of a regular file go out on a connected stream socket, through no memory of ours
// (sendfile(2)), behind `before`, which leaves in the same packets. The result counts both and may
// be less, the rest is the owner's to submit again; 0: there is no `before` left and the file has
// nothing there, it ends before. What is not in the kernel's memory is read first, in the way of a
// ReadOp, so that the reactor's thread does not wait for a disk. When it ends with ECANCELED it has
// sent nothing.
struct SendFileOp : Op {
  explicit SendFileOp(Done op_done) noexcept : Op(OpKind::send_file, op_done) {}
  std::span<const iovec> before;  // at most kBytesBeforeFileMax; stays there until the result
  int file = -1;  // stays open until the result
  bool shared = true;  // somebody else may have made the socket blocking meanwhile
  std::int64_t offset = 0;
  std::size_t size = 0;  // at least 1; of more than kSendFileBytesMax the first ones
};

// What a PollOp asks for and reports, bits.
struct Events {
  static constexpr std::uint8_t readable = 1;
  static constexpr std::uint8_t writable = 2;
  static constexpr std::uint8_t peer_closed = 4;  // the peer's FIN has arrived (RDHUP)
  static constexpr std::uint8_t hangup = 8;       // both directions are closed (HUP)
  static constexpr std::uint8_t error = 16;       // an error is pending: a reset (ERR)
  std::uint8_t bits = 0;

  bool has(std::uint8_t event) const noexcept { return (bits & event) != 0; }
};

// Two uses. watch_hangup: on a stream, repeats, reports peer_closed, hangup and error only: what
// a socket keeps that is not reading. Else: once, level-triggered, for foreign fds; `wanted` are
// readable and writable; the peer's end alone is no reason to write. A result > 0 is Events bits, a
// negative one an error and the last.
struct PollOp : Op {
  explicit PollOp(Done op_done) noexcept : Op(OpKind::poll, op_done) {}
  Events wanted;
  bool watch_hangup = false;
  Events seen;  // the backend's
};

// Repeats, on a datagram socket: a result above 0 says that datagrams().receive() may have
// something. The next one may come only after a receive that found less than it had room for, or
// -EAGAIN. A negative result is the last.
struct DatagramsOp : Op {
  explicit DatagramsOp(Done op_done) noexcept : Op(OpKind::datagrams, op_done) {}
};

// Once, without an fd: the addresses of `host`, as getaddrinfo(3) on this machine gives them, found
// on a thread of its own so that nobody waits for it. Result 0 with at least one address, or
// negative with `error` set.
struct ResolveOp : Op {
  explicit ResolveOp(Done op_done) noexcept : Op(OpKind::resolve, op_done) {}
  std::string host;
  Family family = Family::none;  // of the addresses wanted; none: both
  std::vector<IpEndpoint> found;
  std::error_code error;
};

// The next three are for any fd that is not one of the backend's sockets: pipe, terminal, regular
// file, device, blocking or not. The backend never changes the fd's flags, which other processes
// may share, and never blocks the reactor's thread. `offset` -1 is the file's own position, where
// at most one read and one write are in flight. Whoever is done with an fd calls release() or
// close_file(). EAGAIN: kBlockingJobsMax jobs wait for a thread.
//
// Once; the bytes come in Completion::buffer, 0 is the end. What a cancelled read has taken out of
// a pipe or terminal after all is the next read's of that fd, which may get more than it wants.
struct ReadOp : Op {
  explicit ReadOp(Done op_done) noexcept : Op(OpKind::read, op_done) {}
  std::int64_t offset = -1;
  std::size_t size = 0;  // wanted, 1 to kFileBytesMax
  BufferBlock room;      // the backend's
};

// Once; the result may be less than the pieces hold, kFileBytesMax at most: the rest is the owner's
// to submit again. A write that ends with ECANCELED may have been made, in part or whole; a later
// one of the same fd comes behind it. A pipe without a reader is EPIPE, never a signal.
struct WriteOp : Op {
  explicit WriteOp(Done op_done) noexcept : Op(OpKind::write, op_done) {}
  std::int64_t offset = -1;
  std::span<const iovec> pieces;
};

// Once, without an fd: open(2) of a file; the result is an fd (close-on-exec), the receiver's.
// With a `directory` it is opened below that, for reading only, and nothing else is ever reached:
// empty components, "." and ".." are ENOENT; symbolic links ELOOP or ENOTDIR, or with
// `follows_links` followed where they stay below it (EXDEV where they do not) and the kernel has
// openat2(2), which it has from Linux 5.6 on. The other end of a FIFO is not waited for.
struct OpenOp : Op {
  explicit OpenOp(Done op_done) noexcept : Op(OpKind::open, op_done) {}
  std::string path;
  bool writes = false;     // else reads
  bool creates = false;    // a file that is not there
  bool truncates = false;  // a file that is
  bool appends = false;    // each write goes to the end
  unsigned permissions = 0666;  // of a file that is created, less the umask
  int directory = -1;           // `path` is relative to it; stays open until the result
  bool follows_links = false;
  bool walks = false;           // the backend's: one component at a time, without openat2(2)
};

struct Completion {
  Op* op = nullptr;
  std::int32_t result = 0;  // >= 0 as the system call returns; < 0 is -errno, -ECANCELED after a
                            // cancel() that won
  bool more = false;        // further completions of this op follow
  Buffer buffer = {};       // recv and read only
};

struct ListenOptions {
  int backlog = 511;
  bool ipv6_only = false;
  bool reuse_port = false;
  bool readable_all = false;   // of a Unix socket's file: everybody may read,
  bool writable_all = false;   // or write it, and so connect
  bool replace_stale = false;  // remove the file of a Unix socket that nobody listens on any more
};

// Who is at the other end of a Unix socket.
struct PeerCredentials {
  int pid = 0;
  unsigned uid = 0;
  unsigned gid = 0;
};

enum class SocketOption : std::uint8_t {
  no_delay,            // 0 or 1
  keep_alive,          // 0 or 1
  keep_alive_seconds,  // idle time (TCP_KEEPIDLE); also TCP_KEEPINTVL 1 s and TCP_KEEPCNT 10
  reset_on_close,     // close sends RST and drops what is unsent (SO_LINGER 0)
  receive_buffer,     // bytes (SO_RCVBUF)
  send_buffer,        // bytes (SO_SNDBUF)
};

enum class SocketFact : std::uint8_t {
  unread_bytes,   // in the receive queue (SIOCINQ)
  pending_error,  // errno, and clears it (SO_ERROR)
};

enum class End : std::uint8_t { local, peer };
enum class Direction : std::uint8_t { write, both };

enum class BackendKind : std::uint8_t { automatic, io_uring, epoll, sim };
const char* name_of(BackendKind kind) noexcept;

// What a backend has counted since it was made.
struct BackendCounters {
  Tally system_calls;
  Tally completions;  // results of operations, told at once or by poll()
  Tally multishot_receives;  // results that came without a submission of their own
  Tally multishot_rearms;    // repeating operations that the kernel had ended
  Tally ring_dry;            // receives that found no memory
  Tally inline_sends;        // sends made by a plain system call
};

// One per reactor, one thread (but wake()). Destroying it with operations in flight is a bug: the
// reactor cancels and waits for all of them first.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual BackendKind kind() const noexcept = 0;

  // Data plane. Nothing calls back: completions surface only in poll(). submit() cannot fail: a
  // refusal arrives as a completion. cancel() is a wish, and harmless on an idle operation.
  virtual void submit(Op& op) noexcept = 0;
  virtual void cancel(Op& op) noexcept = 0;
  // A submit() that may have its result at once: so many bytes are with the kernel, and the
  // operation is idle, there is no completion. 0: it is submitted, and everything comes as else.
  virtual std::size_t send_or_submit(SendOp& op) noexcept = 0;
  // A plain send(2) to a connected stream socket on which no send is in flight: bytes, or -errno;
  // -EAGAIN: none for now. An error is told here and nowhere else.
  virtual std::int32_t send_at_once(int fd, std::string_view bytes) noexcept = 0;

  // Sends off what was submitted, waits until `until` or for the first completion, and fills
  // `batch` with at most its size. May return 0 early. An instant in the past only looks.
  virtual std::size_t poll(Instant until, std::span<Completion> batch) noexcept = 0;
  // The polls in between are one thread's, which no other thread interrupts to destroy this.
  virtual void run_begins() noexcept {}
  virtual void run_ends() noexcept {}
  // Any thread, any number of times: makes the poll() that runs now, or else the next one, return.
  virtual void wake() noexcept = 0;
  virtual Instant now() const noexcept = 0;
  // The time of day: seconds since 1970-01-01T00:00:00Z, as the last tick of the kernel has it.
  virtual std::int64_t unix_seconds() const noexcept = 0;
  // Bytes that nobody can foretell (getrandom(2)); on the simulator only who knows its seed.
  virtual void random(std::span<std::uint8_t> into) noexcept = 0;

  // Control plane: synchronous, rare, never per byte.
  // A stream socket for connecting to `peer`, bound to `local` when that has a family.
  virtual Expected<int> open(const Address& peer, const Address& local) noexcept = 0;
  virtual Expected<int> listen(const Address& at, const ListenOptions& options) noexcept = 0;
  // Makes somebody else's fd one for this backend: non-blocking, close-on-exec. A connected stream
  // socket (else ERR_INVALID_FD_TYPE), or a stream socket that listens or is made to (else EINVAL
  // or ENOTSOCK).
  virtual Expected<void> adopt_stream(int fd) noexcept = 0;
  virtual Expected<void> adopt_listener(int fd, int backlog) noexcept = 0;
  virtual Address address(int fd, End end) const noexcept = 0;
  virtual Expected<PeerCredentials> peer_credentials(int fd) const noexcept = 0;
  // Takes bytes off a Unix socket together with the descriptors that were passed with them, which
  // become the caller's: bytes, 0 at the end, -EAGAIN, or another -errno.
  virtual std::int32_t receive_with_descriptors(int fd, std::span<char> room,
                                                std::vector<int>& descriptors) noexcept = 0;
  virtual int set(int fd, SocketOption option, int value) noexcept = 0;  // 0 or -errno
  virtual int get(int fd, SocketFact fact) const noexcept = 0;           // value or -errno
  // shutdown(2): 0, or -ENOTCONN when the connection has been reset, say.
  virtual std::int32_t shutdown(int fd, Direction direction) noexcept = 0;
  // Removes the file of a Unix socket that the caller has bound.
  virtual void remove_path(const std::string& path) noexcept = 0;
  // Forgets an fd that is to go to somebody else; without effect while operations are in flight on
  // it. close() does so itself; its precondition is that none is.
  virtual void release(int fd) noexcept = 0;
  virtual void close(int fd) noexcept = 0;
  // Likewise for an fd of ReadOp, WriteOp and OpenOp.
  virtual void close_file(int fd) noexcept = 0;

  // UDP; the backend's.
  virtual Datagrams& datagrams() noexcept = 0;

  // Embedding: an fd that is readable when poll() has something to do, or -1 where there is none.
  virtual int event_fd() noexcept = 0;
  // The host loop is about to wait for event_fd(): send off what was submitted, and see that the
  // fd becomes readable at `until`.
  virtual void prepare(Instant until) noexcept = 0;

  // These two are for any thread, but on the simulator.
  const BackendCounters& counters() const noexcept { return counters_; }
  // Receive memory in use, chunks of kReceiveChunkBytes.
  virtual std::size_t live_chunks() const noexcept = 0;
  // Whether that is more than a quarter of the limit: time not to take in what nobody reads.
  virtual bool memory_in_demand() const noexcept = 0;
  // Gives memory that it keeps for later back to the system, which is short of it (memory.h).
  virtual void trim_memory() noexcept {}

 protected:
  BackendCounters counters_;
};

// Each switch turns one technique off, so that what replaces it can be run anywhere.
struct UringOptions {
  bool buffer_ring = true;      // off: multishot poll and plain receives
  bool incremental = true;      // off: each message takes a whole ring buffer (before Linux 6.12)
  bool multishot_accept = true; // off: one accept a submission
  bool defer_taskrun = true;    // off: COOP_TASKRUN
  bool register_ring_fd = true;
  unsigned entries = limits::kRingEntries;
  unsigned ring_chunks = limits::kRingChunks;
};

struct BackendOptions {
  BackendKind kind = BackendKind::automatic;
  UringOptions uring = {};
  std::size_t receive_memory_max = limits::kReceiveMemoryMaxDefault;
  // Off: files are not tried with RWF_NOWAIT, but polled for and left to threads (before Linux 6.4,
  // pipes are). Paths below a directory are walked without openat2(2) then (before Linux 5.6).
  bool file_nowait = true;
};

// A backend with the reason why it is this one. `code` is what io_uring was refused with, if it
// was.
struct ChosenBackend {
  std::unique_ptr<Backend> backend;
  std::error_code code;
  std::string reason;
};

// `automatic` takes io_uring when a probe succeeds, else epoll; refusals by containers, limits and
// old kernels are ordinary. Asked for by name, a backend that does not work is an error.
Expected<ChosenBackend> choose_backend(const BackendOptions& options);

}  // namespace weir::inline v1
