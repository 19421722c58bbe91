// The part of the network that is TCP, and Unix sockets: connections and what travels on them.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "reactor/sim_network.h"

namespace weir::inline v1::sim {
namespace {

// What Linux does by default: tcp_syn_retries is 6, tcp_retries2 is 15 (tcp(7)).
constexpr std::uint32_t kConnectRetriesMax = 6;
constexpr Duration kConnectPatience = std::chrono::seconds(127);
constexpr Duration kRetransmitPatience = std::chrono::milliseconds(924'600);
// RFC 6298 with Linux's minimum.
constexpr Duration kRetransmissionMin = std::chrono::milliseconds(200);
constexpr int kLossesInARowMax = 6;

// One packet of a link that takes time: a generous segment.
constexpr std::size_t kSegmentBytes = 16 * 1024;

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

// ---- Connecting ----

void Network::connect(Socket& socket, const Address& peer) noexcept {
  socket.connect_started = true;
  socket.connect_deadline = now_ + kConnectPatience;
  socket.target = peer;
  if (peer.is_unix()) return connect_unix(socket);
  if (is_black_hole(peer)) return wait_for_answer(socket);
  const int target = machine_of(socket.machine, peer);
  if (target < 0) return end_connect(socket, -EHOSTUNREACH);
  socket.peer_machine = static_cast<std::uint32_t>(target);
  if (at_once(socket.machine, socket.peer_machine, socket)) return arrive_connect(socket, 0);
  schedule(arrival_time(socket.machine, socket.peer_machine, 0), EventKind::retry_connect,
           &socket);
}

// Nothing else is sure to end this connect.
void Network::wait_for_answer(Socket& socket) noexcept {
  schedule(std::max(socket.connect_deadline, now_), EventKind::give_up_connect, &socket);
}

void Network::connect_unix(Socket& socket) noexcept {
  const std::map<std::string, Socket*>& paths = machine(socket.machine).paths;
  socket.peer_machine = socket.machine;
  Socket* listener = find_listener(socket.machine, socket.target, false);
  if (listener == nullptr) {
    const bool no_file =
        socket.target.path().front() != '\0' && !paths.contains(socket.target.path());
    return end_connect(socket, no_file ? -ENOENT : -ECONNREFUSED);
  }
  if (listener->waiting.size() >= listener->backlog) return end_connect(socket, -EAGAIN);
  answer_connect(socket, *listener);
}

// Its SYN arrives, for the first time or again.
void Network::arrive_connect(Socket& socket, std::uint32_t retry) noexcept {
  if (socket.closed || !socket.connecting() || socket.peer != nullptr) return;
  if (!passable(socket.machine, socket.peer_machine)) {
    if (retry == 0) wait_for_answer(socket);
    if (retry > kConnectRetriesMax) return;
    return schedule(now_ + std::chrono::seconds(1LL << retry), EventKind::retry_connect, &socket,
                    retry + 1);
  }
  Socket* listener = find_listener(socket.peer_machine, socket.target, false);
  if (listener == nullptr) {
    if (at_once(socket.peer_machine, socket.machine, socket)) {
      return end_connect(socket, -ECONNREFUSED);
    }
    return enqueue(socket.peer_machine, socket, {.kind = Packet::Kind::refused});
  }
  if (listener->waiting.size() >= listener->backlog) {
    listener->unanswered.push_back(socket);
    return wait_for_answer(socket);
  }
  answer_connect(socket, *listener);
}

void Network::answer_connect(Socket& socket, Socket& listener) noexcept {
  auto* accepted = new Socket;
  unlisted_.push_back(*accepted);
  accepted->machine = listener.machine;
  accepted->local = socket.target;
  accepted->remote = socket.local;
  if (listener.local.family() == Family::ipv6) {
    accepted->local = mapped(accepted->local);
    accepted->remote = mapped(accepted->remote);
  }
  connect_pair(socket, *accepted);
  socket.connected = false;  // it will know when the answer arrives
  listener.waiting.push_back(accepted);
  SimBackend::touch(listener);
  tell(*accepted, {.kind = Packet::Kind::established});
}

void Network::end_connect(Socket& socket, int result) noexcept {
  if (!socket.connecting()) return;
  socket.unlink();  // it may have been unanswered
  socket.connect_result = result;
  if (result == 0) {
    socket.connected = true;
    socket.remote = socket.target;
  }
  SimBackend::touch(socket);
}

Socket& Network::accept(Socket& listener) noexcept {
  Socket* accepted = listener.waiting.front();
  listener.waiting.pop_front();
  accepted->unlink();
  Socket& listed = add(listener.machine, std::unique_ptr<Socket>(accepted));
  if (!listener.unanswered.empty()) arrive_connect(listener.unanswered.pop_front(), 0);
  return listed;
}

void Network::connect_pair(Socket& a, Socket& b) noexcept {
  a.peer = &b;
  b.peer = &a;
  a.connected = b.connected = true;
  a.peer_machine = b.machine;
  b.peer_machine = a.machine;
}

// ---- Sending ----

std::int32_t Network::send(Socket& from, std::span<const iovec> pieces,
                           std::size_t most) noexcept {
  if (from.write_shut || from.dead) return -EPIPE;
  if (from.error != 0) return -from.take_error();
  std::size_t wanted = 0;
  for (const iovec& piece : pieces) wanted += piece.iov_len;
  if (!from.connected) {
    fail(from, ECONNRESET);
    return static_cast<std::int32_t>(wanted);
  }
  const std::size_t space =
      options_.window_bytes - std::min(options_.window_bytes, from.unacknowledged);
  if (space == 0 && wanted != 0) return -EAGAIN;
  std::size_t size = std::min({space, wanted, most});
  const auto taken = static_cast<std::int32_t>(size);
  if (!machine(from.machine).up) return taken;
  from.unacknowledged += size;
  if (by_chance(options_.faults.stall, from)) {
    from.peer->stalled_until = now_ + random_.up_to(options_.faults.stall_max);
    note(from, "stall", 0);
  }
  const bool breaks = by_chance(options_.faults.reset, from);
  if (breaks) size = random_.below(size + 1);
  transmit(from, pieces, size);
  if (breaks) {
    note(from, "reset", static_cast<std::int64_t>(size));
    tell(from, {.kind = Packet::Kind::reset});
    fail(from, ECONNRESET);
  }
  return taken;
}

// Faults of the network, which Unix sockets do not know.
bool Network::by_chance(double probability, const Socket& from) noexcept {
  return probability > 0 && !from.local.is_unix() && !from.remote.is_unix() &&
         random_.chance(probability);
}

// True when nothing is between the two machines that takes time, and nothing waits in the queue
// of what is on its way.
bool Network::at_once(std::uint32_t from, std::uint32_t to, const Socket& queue) noexcept {
  if (!queue.incoming.empty() || queue.stalled_until > now_) return false;
  return from == to || (way(from, to).instant && passable(from, to));
}

void Network::transmit(Socket& from, std::span<const iovec> pieces, std::size_t size) noexcept {
  Socket& to = *from.peer;
  if (at_once(from.machine, to.machine, to)) {
    if (size == 0 || !accepts_bytes(to)) return;
    for (const iovec& piece : pieces) {
      const std::size_t part = std::min(size, piece.iov_len);
      to.received.append(static_cast<const char*>(piece.iov_base), part);
      size -= part;
    }
    return SimBackend::touch(to);
  }
  std::string segment;
  for (const iovec& piece : pieces) {
    const char* bytes = static_cast<const char*>(piece.iov_base);
    std::size_t left = std::min(size, piece.iov_len);
    size -= left;
    while (left > 0) {
      const std::size_t part = std::min(left, kSegmentBytes - segment.size());
      segment.append(bytes, part);
      bytes += part;
      left -= part;
      if (segment.size() < kSegmentBytes) continue;
      enqueue(from.machine, to, {.bytes = std::exchange(segment, {})});
    }
  }
  if (!segment.empty()) enqueue(from.machine, to, {.bytes = std::move(segment)});
}

// A packet of the connection to the other end.
void Network::tell(Socket& from, Packet packet) noexcept {
  if (from.peer == nullptr || !machine(from.machine).up) return;
  Socket& to = *from.peer;
  if (at_once(from.machine, to.machine, to)) return arrive(to, packet);
  enqueue(from.machine, to, std::move(packet));
}

void Network::enqueue(std::uint32_t from, Socket& to, Packet packet) noexcept {
  Instant at = arrival_time(from, to.machine, packet.bytes.size());
  const double loss = from == to.machine ? 0 : way(from, to.machine).link.loss;
  for (int lost = 0; lost < kLossesInARowMax && random_.chance(loss); ++lost) {
    at += kRetransmissionMin * (1 << lost);
  }
  at = std::max({at, to.last_arrival, to.stalled_until});
  to.last_arrival = packet.arrival = at;
  const bool first = to.incoming.empty();
  to.incoming.push_back(std::move(packet));
  if (first && !to.held_up) schedule(at, EventKind::arrival, &to);
}

// ---- Arriving ----

void Network::deliver(Socket& to) {
  while (!to.incoming.empty() && to.incoming.front().arrival <= now_) {
    if (!passable(to.peer_machine, to.machine)) return hold_up(to);
    Packet packet = std::move(to.incoming.front());
    to.incoming.pop_front();
    arrive(to, packet);
  }
  if (!to.incoming.empty()) schedule(to.incoming.front().arrival, EventKind::arrival, &to);
}

void Network::arrive(Socket& to, Packet& packet) noexcept {
  switch (packet.kind) {
    case Packet::Kind::data:
      if (!accepts_bytes(to)) return;
      to.received += packet.bytes;
      note(to, "arrived", static_cast<std::int64_t>(packet.bytes.size()));
      return SimBackend::touch(to);
    case Packet::Kind::fin:
      if (to.closed) return;
      to.fin_received = true;
      return SimBackend::touch(to);
    case Packet::Kind::reset: return fail(to, ECONNRESET);
    case Packet::Kind::window:
      to.unacknowledged -= std::min(to.unacknowledged, packet.size);
      return to.closed ? void() : SimBackend::touch_writer(to);
    case Packet::Kind::established:
      if (to.closed) return tell(to, {.kind = Packet::Kind::reset});
      return end_connect(to, 0);
    case Packet::Kind::refused: return end_connect(to, -ECONNREFUSED);
  }
}

// Else the sender is told: who has closed, or shut its receiving side, takes no more.
bool Network::accepts_bytes(Socket& to) noexcept {
  if (to.closed || to.read_shut || !to.connected) {
    if (to.peer != nullptr && to.peer->connected) tell(to, {.kind = Packet::Kind::reset});
    return false;
  }
  if (2 * to.read_at > to.received.size()) {
    to.received.erase(0, std::exchange(to.read_at, 0));
  }
  return true;
}

// The connection is over for this end.
void Network::fail(Socket& socket, int error) noexcept {
  if (socket.connecting()) return end_connect(socket, -error);
  socket.connected = false;
  if (!socket.closed && !socket.dead && socket.error == 0) {
    socket.error = error;
    SimBackend::touch(socket);
  }
  if (socket.peer != nullptr) free_if_done(*socket.peer);
}

// ---- Partitions ----

void Network::hold_up(Socket& to) noexcept {
  to.held_up = true;
  ++to.times_held_up;
  held_up_.push_back(&to);
  const Instant patience =
      to.connecting() ? to.connect_deadline : now_ + kRetransmitPatience;
  schedule(std::max(patience, now_), EventKind::give_up, &to, to.times_held_up);
}

void Network::release_held_up() noexcept {
  for (Socket* to : std::exchange(held_up_, {})) {
    if (!passable(to->peer_machine, to->machine)) {
      held_up_.push_back(to);
      continue;
    }
    to->held_up = false;
    const Instant at = arrival_time(to->peer_machine, to->machine, 0);
    to->incoming.front().arrival = to->last_arrival = std::max(at, to->last_arrival);
    schedule(to->last_arrival, EventKind::arrival, to);
  }
}

// What was sent has not been acknowledged for too long: its sender's connection is over.
void Network::give_up(Socket& to, std::uint32_t time) noexcept {
  if (!to.held_up || to.times_held_up != time) return;
  if (to.connecting()) end_connect(to, -ETIMEDOUT);
  const bool unacknowledged =
      std::any_of(to.incoming.begin(), to.incoming.end(), [](const Packet& packet) {
        return packet.kind == Packet::Kind::data || packet.kind == Packet::Kind::fin;
      });
  if (!unacknowledged) return;
  to.held_up = false;
  std::erase(held_up_, &to);
  to.incoming.clear();
  if (to.peer != nullptr) fail(*to.peer, ETIMEDOUT);
}

// ---- Receiving, and ends ----

std::int32_t Network::receive(Socket& socket, std::span<char> room) noexcept {
  if (socket.unread() == 0 && socket.error != 0) return -socket.take_error();
  if (socket.unread() == 0) return socket.fin_received || socket.dead ? 0 : -EAGAIN;
  const std::size_t size = std::min(room.size(), socket.unread());
  std::memcpy(room.data(), socket.received.data() + socket.read_at, size);
  socket.read_at += size;
  socket.read_bytes += size;
  drop_passed(socket);
  if (socket.unread() == 0) {
    socket.received.clear();
    socket.read_at = 0;
  }
  if (socket.connected && socket.peer != nullptr) {
    tell(socket, {.kind = Packet::Kind::window, .size = size});
  }
  return static_cast<std::int32_t>(size);
}

void Network::shutdown(Socket& socket, Direction direction) noexcept {
  if (direction == Direction::both) socket.read_shut = true;
  if (!std::exchange(socket.write_shut, true) && socket.connected) {
    tell(socket, {.kind = Packet::Kind::fin});
  }
  SimBackend::touch(socket);
}

// ---- Passed descriptors ----

// The receiver gets the socket under a number of its own; what the sender keeps is dead.
void Network::pass(Socket& from, int fd, std::uint64_t position) {
  Socket* receiver = from.peer;
  Socket* given = find(from.machine, fd);
  if (receiver == nullptr || given == nullptr) return;
  std::unique_ptr<Socket>& slot = machine(from.machine).sockets[static_cast<std::size_t>(fd)];
  std::unique_ptr<Socket> moved = std::exchange(slot, std::make_unique<Socket>());
  slot->fd = fd;
  slot->machine = from.machine;
  Socket& renumbered = add(from.machine, std::move(moved));
  receiver->passed.push_back({.position = position, .fd = renumbered.fd});
}

// Descriptors that came with bytes which were read without asking for them.
void Network::drop_passed(Socket& socket) noexcept {
  while (!socket.passed.empty() && socket.passed.front().position < socket.read_bytes) {
    Socket* one = find(socket.machine, socket.passed.front().fd);
    socket.passed.pop_front();
    if (one != nullptr) close(*one);
  }
}

}  // namespace weir::inline v1::sim
