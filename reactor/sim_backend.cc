#include "weir/reactor/sim_backend.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>

namespace weir::inline v1 {
namespace {

constexpr std::size_t kPathBytesMax = 108;  // sun_path

// How a dual-stack socket sees an IPv4 address: ::ffff:127.0.0.1 (RFC 4291, 2.5.5.2).
Address mapped(const Address& address) {
  if (address.family() != Family::ipv4) return address;
  IpEndpoint ip = address.ip();
  const auto bytes = ip.bytes;
  ip.family = Family::ipv6;
  ip.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, bytes[0], bytes[1], bytes[2], bytes[3]};
  return Address(ip);
}

}  // namespace

struct SimBackend::Socket {
  int fd = -1;
  int peer = -1;  // the other end, -1 when it is closed or there never was one
  Address local;
  Address remote;
  Op* reader = nullptr;  // parked: accept or recv
  Op* writer = nullptr;  // parked: connect or send
  IntrusiveList<Op> pollers;
  // A listener.
  bool listening = false;
  bool ipv6_only = false;
  bool reuse_port = false;
  int backlog = 0;
  std::deque<int> waiting;  // connected fds that nobody has accepted yet
  Op* starved = nullptr;        // a receive that waits for memory
  Events hangup_told;           // to the watch that is armed
  // A stream.
  std::string received;
  std::size_t read_at = 0;
  std::uint64_t read_bytes = 0;  // ever
  struct Passed {
    std::uint64_t position;  // of the byte that it came with
    int fd;
  };
  std::deque<Passed> passed;
  bool fin_received = false;
  bool reset_received = false;  // not reported yet
  bool reset_seen = false;
  bool write_shut = false;
  bool read_shut = false;
  bool reset_on_close = false;

  std::size_t unread() const noexcept { return received.size() - read_at; }
  Events hangup() const noexcept {
    Events events;
    const bool reset = reset_received || reset_seen;
    if (fin_received || reset) events.bits |= Events::peer_closed;
    if ((fin_received && write_shut) || reset) events.bits |= Events::hangup;
    if (reset_received) events.bits |= Events::error;
    return events;
  }
};

SimBackend::SimBackend(SimOptions options)
    : options_(options),
      now_(options.start),
      pool_(BufferPool::create(limits::kReceiveChunkBytes, options.receive_memory_max)),
      arena_(*pool_) {}

SimBackend::~SimBackend() = default;

SimBackend::Socket& SimBackend::socket(int fd) const noexcept {
  const auto found = sockets_.find(fd);
  WEIR_ASSERT(found != sockets_.end());
  return *found->second;
}

SimBackend::Socket* SimBackend::peer_of(const Socket& socket) const noexcept {
  const auto found = sockets_.find(socket.peer);
  return found == sockets_.end() ? nullptr : found->second.get();
}

// The lowest free number, as the kernel gives them: reuse comes soon.
int SimBackend::new_fd(std::unique_ptr<Socket> socket) {
  int fd = 3;
  for (const auto& [used, unused] : sockets_) {
    if (used != fd) break;
    ++fd;
  }
  socket->fd = fd;
  sockets_.emplace(fd, std::move(socket));
  return fd;
}

Expected<int> SimBackend::open(const Address& peer, const Address& local) noexcept {
  if (peer.path().size() > kPathBytesMax) {
    return failure({.code = errno_code(EINVAL), .syscall = "connect", .address = peer});
  }
  auto made = std::make_unique<Socket>();
  made->local = local;
  if (!peer.is_unix() && local.port() == 0) {
    if (made->local.family() == Family::none) {
      made->local = peer.family() == Family::ipv6 ? *Address::parse_ip("::1", 0)
                                                  : Address::loopback_ipv4(0);
    }
    made->local.set_port(free_port());
  }
  return new_fd(std::move(made));
}

Expected<int> SimBackend::listen(const Address& at, const ListenOptions& options) noexcept {
  const auto refuse = [&](int error) {
    return failure(
        {.code = errno_code(error), .syscall = "listen", .address = at});
  };
  Address bound = at;
  if (at.is_unix()) {
    if (at.path().size() > kPathBytesMax) return refuse(EINVAL);
    if (options.replace_stale && find_listener(at) == nullptr) paths_.erase(at.path());
    if (paths_.contains(at.path())) return refuse(EADDRINUSE);
  } else if (at.port() == 0) {
    bound.set_port(free_port());
  } else if (const Socket* other = find_listener(at);
             other != nullptr && !(options.reuse_port && other->reuse_port)) {
    return refuse(EADDRINUSE);
  }
  auto made = std::make_unique<Socket>();
  made->local = bound;
  made->listening = true;
  made->ipv6_only = options.ipv6_only;
  made->reuse_port = options.reuse_port;
  made->backlog = std::max(options.backlog, 1);
  const int fd = new_fd(std::move(made));
  if (at.is_unix()) paths_[at.path()] = fd;
  return fd;
}

// Round and round, past the ports that somebody listens on.
std::uint16_t SimBackend::free_port() noexcept {
  for (;;) {
    const std::uint16_t port = next_port_++;
    if (next_port_ == 0) next_port_ = kFirstFreePort;
    const auto listens = [port](const auto& entry) {
      return entry.second->listening && entry.second->local.port() == port;
    };
    if (std::none_of(sockets_.begin(), sockets_.end(), listens)) return port;
  }
}

// Listeners on a wildcard address answer for every address, IPv6 ones for IPv4 too (dual stack).
SimBackend::Socket* SimBackend::find_listener(const Address& at) const noexcept {
  if (at.is_unix()) {
    const auto path = paths_.find(at.path());
    const auto found = path == paths_.end() ? sockets_.end() : sockets_.find(path->second);
    return found == sockets_.end() ? nullptr : found->second.get();
  }
  for (const auto& [fd, socket] : sockets_) {
    const Address& local = socket->local;
    if (!socket->listening || local.is_unix() || local.port() != at.port()) continue;
    const bool wildcard = local.ip().bytes == IpEndpoint{}.bytes;
    if (local.ip().bytes == at.ip().bytes ||
        (wildcard && (local.family() == at.family() ||
                      (local.family() == Family::ipv6 && !socket->ipv6_only)))) {
      return socket.get();
    }
  }
  return nullptr;
}

Address SimBackend::address(int fd, End end) const noexcept {
  const Socket& found = socket(fd);
  return end == End::local ? found.local : found.remote;
}

int SimBackend::set(int fd, SocketOption option, int value) noexcept {
  if (option == SocketOption::reset_on_close) socket(fd).reset_on_close = value != 0;
  return 0;
}

int SimBackend::get(int fd, SocketFact fact) const noexcept {
  Socket& found = socket(fd);
  if (fact == SocketFact::unread_bytes) return static_cast<int>(found.unread());
  if (!found.reset_received) return 0;
  found.reset_received = false;
  found.reset_seen = true;
  return ECONNRESET;
}

void SimBackend::shutdown(int fd, Direction direction) noexcept {
  Socket& mine = socket(fd);
  if (direction == Direction::both) mine.read_shut = true;
  if (!mine.write_shut) {
    mine.write_shut = true;
    if (Socket* peer = peer_of(mine); peer != nullptr) {
      peer->fin_received = true;
      touch(*peer);
    }
  }
  touch(mine);
}

Expected<void> SimBackend::adopt_stream(int fd) noexcept {
  if (!sockets_.contains(fd)) return failure({.code = errno_code(EBADF), .syscall = "open"});
  if (peer_of(socket(fd)) == nullptr) return failure({.code = Mistake::bad_fd_type});
  return {};
}

Expected<void> SimBackend::adopt_listener(int fd, int) noexcept {
  if (sockets_.contains(fd) && socket(fd).listening) return {};
  return failure({.code = errno_code(EINVAL), .syscall = "listen"});
}

// Everybody in here is the same process.
Expected<PeerCredentials> SimBackend::peer_credentials(int) const noexcept {
  return PeerCredentials{.pid = 1, .uid = 0, .gid = 0};
}

// The receiver gets the socket under a number of its own; what the sender keeps is dead.
void SimBackend::pass(Socket& from, int fd, std::uint64_t position) {
  Socket* receiver = peer_of(from);
  const auto found = sockets_.find(fd);
  if (receiver == nullptr || found == sockets_.end()) return;
  std::unique_ptr<Socket> moved = std::exchange(found->second, std::make_unique<Socket>());
  found->second->fd = fd;
  const int number = new_fd(std::move(moved));
  if (Socket* peer = peer_of(socket(number)); peer != nullptr) peer->peer = number;
  receiver->passed.push_back({.position = position, .fd = number});
}

// Descriptors that came with bytes which were read without asking for them.
void SimBackend::drop_passed(Socket& mine) noexcept {
  while (!mine.passed.empty() && mine.passed.front().position < mine.read_bytes) {
    const int fd = mine.passed.front().fd;
    mine.passed.pop_front();
    close(fd);
  }
}

std::int32_t SimBackend::receive_with_descriptors(int fd, std::span<char> room,
                                                  std::vector<int>& descriptors) noexcept {
  Socket& mine = socket(fd);
  const bool passed = !mine.passed.empty();
  const std::uint64_t end = passed ? mine.passed.front().position + 1 : 0;
  if (passed) room = room.first(std::min<std::size_t>(room.size(), end - mine.read_bytes));
  if (passed && end - mine.read_bytes <= room.size()) {
    descriptors.push_back(mine.passed.front().fd);
    mine.passed.pop_front();
  }
  return read(fd, room);
}

void SimBackend::remove_path(const std::string& path) noexcept { paths_.erase(path); }

void SimBackend::release(int) noexcept {}

void SimBackend::reset_peer(Socket& mine) noexcept {
  Socket* peer = peer_of(mine);
  if (peer == nullptr) return;
  peer->peer = -1;
  peer->reset_received = true;
  touch(*peer);
}

void SimBackend::close(int fd) noexcept {
  Socket& mine = socket(fd);
  WEIR_ASSERT(mine.reader == nullptr && mine.writer == nullptr && mine.pollers.empty());
  if (mine.reset_on_close || mine.unread() > 0) {
    reset_peer(mine);
  } else if (Socket* peer = peer_of(mine); peer != nullptr) {
    peer->peer = -1;
    peer->fin_received = true;
    touch(*peer);
  }
  const std::deque<int> unaccepted = std::move(mine.waiting);
  const std::deque<Socket::Passed> passed = std::move(mine.passed);
  if (mine.listening && mine.local.is_unix()) {
    const auto path = paths_.find(mine.local.path());
    if (path != paths_.end() && path->second == fd) path->second = -1;
    if (mine.local.path().front() == '\0') paths_.erase(mine.local.path());
  }
  sockets_.erase(fd);
  for (const int waiting : unaccepted) {
    socket(waiting).reset_on_close = true;
    close(waiting);
  }
  for (const Socket::Passed& one : passed) close(one.fd);
}

void SimBackend::connect_pair(Socket& a, Socket& b) noexcept {
  a.peer = b.fd;
  b.peer = a.fd;
  b.local = a.remote;
  b.remote = a.local;
}

std::pair<int, int> SimBackend::make_pair() {
  const int a = new_fd(std::make_unique<Socket>());
  const int b = new_fd(std::make_unique<Socket>());
  connect_pair(socket(a), socket(b));
  return {a, b};
}

// Something about the socket has changed: whatever is parked on it is tried again.
void SimBackend::touch(Socket& socket) noexcept {
  if (socket.reader != nullptr) attempts_.push_back(*std::exchange(socket.reader, nullptr));
  if (socket.writer != nullptr) attempts_.push_back(*std::exchange(socket.writer, nullptr));
  if (socket.starved != nullptr) {
    Op& op = *std::exchange(socket.starved, nullptr);
    op.unlink();
    attempts_.push_back(op);
  }
  attempts_.splice_back(socket.pollers);
}

void SimBackend::submit(Op& op) noexcept {
  WEIR_ASSERT(op.idle() && (op.kind == OpKind::resolve || sockets_.contains(op.fd)));
  op.state = OpState::submitted;
  if (op.kind == OpKind::resolve) {
    op.slot = 0;
    attempts_.push_back(op);
    return;
  }
  op.slot = static_cast<std::uint32_t>(op.fd);
  if (op.kind == OpKind::poll) socket(op.fd).hangup_told = {};
  attempts_.push_back(op);
}

void SimBackend::cancel(Op& op) noexcept {
  if (op.slot == Op::kNoSlot || op.state != OpState::submitted) return;
  op.state = OpState::cancelling;
  if (op.kind == OpKind::resolve) return;
  Socket& mine = socket(op.fd);
  if (mine.reader == &op) mine.reader = nullptr;
  if (mine.writer == &op) mine.writer = nullptr;
  if (mine.starved == &op) mine.starved = nullptr;
  op.unlink();
  attempts_.push_back(op);
}

void SimBackend::wake() noexcept {
  const std::lock_guard lock(wake_mutex_);
  wake_pending_ = true;
  woken_.notify_one();
}

std::size_t SimBackend::poll(Instant until, std::span<Completion> batch) noexcept {
  ++counters_.system_calls;
  if (!starved_.empty() && pool_->returned() != returned_seen_) attempts_.splice_back(starved_);
  returned_seen_ = pool_->returned();
  std::size_t count = 0;
  while (count < batch.size() && !attempts_.empty()) {
    if (attempt(attempts_.pop_front(), batch[count])) ++count;
  }
  counters_.completions += count;
  if (count != 0 || !attempts_.empty()) return count;
  std::unique_lock lock(wake_mutex_);
  if (!wake_pending_ && until == kNever) woken_.wait(lock, [&] { return wake_pending_; });
  if (!wake_pending_ && until != kNever) now_ = std::max(now_, until);
  wake_pending_ = false;
  return 0;
}

bool SimBackend::attempt(Op& op, Completion& out) noexcept {
  if (op.state == OpState::cancelling) return last(op, -ECANCELED, out);
  if (op.kind == OpKind::resolve) return attempt_resolve(static_cast<ResolveOp&>(op), out);
  Socket& mine = socket(op.fd);
  switch (op.kind) {
    case OpKind::accept: return attempt_accept(op, mine, out);
    case OpKind::connect: return attempt_connect(static_cast<ConnectOp&>(op), mine, out);
    case OpKind::recv: return attempt_recv(op, mine, out);
    case OpKind::send: return attempt_send(static_cast<SendOp&>(op), mine, out);
    case OpKind::poll: return attempt_poll(static_cast<PollOp&>(op), mine, out);
    case OpKind::resolve: break;
  }
  return false;
}

bool SimBackend::last(Op& op, std::int32_t result, Completion& out) noexcept {
  op.slot = Op::kNoSlot;
  out = {.op = &op, .result = result, .more = false};
  return true;
}

bool SimBackend::attempt_resolve(ResolveOp& op, Completion& out) noexcept {
  op.found.clear();
  const auto entry = options_.hosts.find(op.host);
  if (entry != options_.hosts.end()) {
    for (const std::string& text : entry->second) {
      const auto address = Address::parse_ip(text, 0);
      const bool wanted = address && (op.family == Family::none || op.family == address->family());
      if (wanted) op.found.push_back(address->ip());
    }
  }
  op.error = op.found.empty() ? make_error_code(ResolveError::not_found) : std::error_code();
  return last(op, op.error ? -EIO : 0, out);
}

bool SimBackend::attempt_accept(Op& op, Socket& mine, Completion& out) noexcept {
  if (mine.waiting.empty()) {
    mine.reader = &op;
    return false;
  }
  out = {.op = &op, .result = mine.waiting.front(), .more = true};
  mine.waiting.pop_front();
  attempts_.push_back(op);
  attempts_.splice_back(blocked_connects_);
  return true;
}

bool SimBackend::attempt_connect(ConnectOp& op, Socket& mine, Completion& out) noexcept {
  const auto& bytes = op.peer.ip().bytes;
  const bool black_hole = op.peer.family() == Family::ipv4 && bytes[0] == 192 && bytes[1] == 0 &&
                          bytes[2] == 2;
  if (black_hole) {
    mine.writer = &op;
    return false;
  }
  Socket* listener = find_listener(op.peer);
  if (listener == nullptr) {
    const bool has_file = op.peer.is_unix() && op.peer.path().front() != '\0';
    const bool no_file = has_file && !paths_.contains(op.peer.path());
    return last(op, no_file ? -ENOENT : -ECONNREFUSED, out);
  }
  if (listener->waiting.size() >= static_cast<std::size_t>(listener->backlog)) {
    if (op.peer.is_unix()) return last(op, -EAGAIN, out);
    blocked_connects_.push_back(op);  // as a SYN that is not answered yet
    return false;
  }
  mine.remote = op.peer;
  const int accepted = new_fd(std::make_unique<Socket>());
  connect_pair(mine, socket(accepted));
  if (listener->local.family() == Family::ipv6) {
    Socket& theirs = socket(accepted);
    theirs.local = mapped(theirs.local);
    theirs.remote = mapped(theirs.remote);
  }
  listener->waiting.push_back(accepted);
  touch(*listener);
  return last(op, 0, out);
}

bool SimBackend::attempt_recv(Op& op, Socket& mine, Completion& out) noexcept {
  if (mine.unread() == 0) {
    // Behind a FIN a reset does not show in a receive, as on Linux.
    if (mine.reset_received && !mine.fin_received) {
      mine.reset_received = false;
      mine.reset_seen = true;
      return last(op, -ECONNRESET, out);
    }
    if (mine.fin_received || mine.read_shut || mine.reset_seen) return last(op, 0, out);
    mine.reader = &op;
    return false;
  }
  const std::span<char> room = arena_.room();
  if (room.empty() && pool_->available()) return last(op, -ENOMEM, out);
  if (room.empty()) {
    if (mine.reset_received) return last(op, -get(mine.fd, SocketFact::pending_error), out);
    ++counters_.ring_dry;
    starved_.push_back(op);
    mine.starved = &op;
    return false;
  }
  mine.starved = nullptr;
  const int size = read(mine.fd, room);
  out = {.op = &op,
         .result = size,
         .more = true,
         .buffer = deliverable(*pool_, arena_.commit(static_cast<std::size_t>(size)))};
  attempts_.push_back(op);
  return true;
}

int SimBackend::read(int fd, std::span<char> room) noexcept {
  Socket& mine = socket(fd);
  if (mine.unread() == 0 && mine.reset_received) {
    mine.reset_received = false;
    mine.reset_seen = true;
    return -ECONNRESET;
  }
  if (mine.unread() == 0) return mine.fin_received || mine.reset_seen ? 0 : -EAGAIN;
  const std::size_t size = std::min(room.size(), mine.unread());
  std::memcpy(room.data(), mine.received.data() + mine.read_at, size);
  mine.read_at += size;
  mine.read_bytes += size;
  drop_passed(mine);
  if (mine.unread() == 0) {
    mine.received.clear();
    mine.read_at = 0;
  }
  if (Socket* peer = peer_of(mine); peer != nullptr) touch(*peer);
  return static_cast<int>(size);
}

int SimBackend::write(int fd, std::string_view bytes) noexcept {
  const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  return put(socket(fd), {&piece, 1});
}

// Bytes taken, -EAGAIN when the peer's window is full, or what is wrong with the connection. What
// is sent to a peer that has closed is taken, and answered with a reset, as TCP does.
std::int32_t SimBackend::put(Socket& from, std::span<const iovec> pieces) noexcept {
  if (from.write_shut || from.reset_seen) return -EPIPE;
  if (from.reset_received) {
    from.reset_received = false;
    from.reset_seen = true;
    return -ECONNRESET;
  }
  std::size_t wanted = 0;
  for (const iovec& piece : pieces) wanted += piece.iov_len;
  Socket* peer = peer_of(from);
  if (peer == nullptr || peer->read_shut) {
    from.reset_received = true;
    touch(from);
    return static_cast<std::int32_t>(wanted);
  }
  if (2 * peer->read_at > peer->received.size()) {
    peer->received.erase(0, std::exchange(peer->read_at, 0));
  }
  std::size_t space = options_.window_bytes - std::min(options_.window_bytes, peer->unread());
  if (space == 0 && wanted != 0) return -EAGAIN;
  std::int32_t taken = 0;
  for (const iovec& piece : pieces) {
    const std::size_t size = std::min(space, piece.iov_len);
    peer->received.append(static_cast<const char*>(piece.iov_base), size);
    space -= size;
    taken += static_cast<std::int32_t>(size);
  }
  touch(*peer);
  return taken;
}

bool SimBackend::attempt_send(SendOp& op, Socket& mine, Completion& out) noexcept {
  const Socket* peer = peer_of(mine);
  const std::uint64_t position = peer == nullptr ? 0 : peer->read_bytes + peer->unread();
  const std::int32_t result = put(mine, op.pieces);
  if (result > 0 && op.passed_fd >= 0) pass(mine, op.passed_fd, position);
  if (result != -EAGAIN) return last(op, result, out);
  mine.writer = &op;
  return false;
}

bool SimBackend::attempt_poll(PollOp& op, Socket& mine, Completion& out) noexcept {
  Events events = mine.hangup();
  if (op.watch_hangup) {
    mine.pollers.push_back(op);
    // Told once for each change, like an edge.
    if (events.bits == 0 || events.bits == mine.hangup_told.bits) return false;
    mine.hangup_told = events;
    out = {.op = &op, .result = events.bits, .more = true};
    return true;
  }
  if (mine.unread() > 0 || mine.fin_received || mine.reset_received || !mine.waiting.empty()) {
    events.bits |= Events::readable;
  }
  const Socket* peer = peer_of(mine);
  if (!mine.listening && (peer == nullptr || peer->unread() < options_.window_bytes)) {
    events.bits |= Events::writable;
  }
  events.bits &= op.wanted.bits | Events::peer_closed | Events::hangup | Events::error;
  if (events.bits == 0) {
    mine.pollers.push_back(op);
    return false;
  }
  return last(op, events.bits, out);
}

}  // namespace weir::inline v1
