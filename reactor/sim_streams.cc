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
constexpr Duration kRetransmissionMax = std::chrono::seconds(120);
constexpr Duration kFirstRetransmission = std::chrono::seconds(1);  // of who knows no round trip
constexpr int kLossesInARowMax = 15;

// TCP_KEEPINTVL and TCP_KEEPCNT as SocketOption::keep_alive_seconds sets them.
constexpr Duration kKeepAlivePatience = std::chrono::seconds(10);

// One packet of a link that takes time: a generous segment.
constexpr std::size_t kSegmentBytes = 16 * 1024;

// Whether its sender waits for an answer, and sends it again until there is one.
bool is_acknowledged(const Packet& packet) noexcept {
  return packet.kind == Packet::Kind::data || packet.kind == Packet::Kind::fin;
}

}  // namespace

// ---- Connecting ----

void Network::connect(Socket& socket, const Address& peer) noexcept {
  socket.connect_started = true;
  socket.connect_deadline = now_ + kConnectPatience;
  socket.target = peer;
  if (peer.is_unix()) return connect_unix(socket);
  // A machine by itself has no end of patience, so that tests may look at timeouts of their own.
  const bool alone = machine(socket.machine).ipv4.family() == Family::none;
  if (is_black_hole(peer)) return alone ? void() : wait_for_answer(socket);
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
  Socket* listener = find_listener(socket.machine, socket.target);
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
  const double loss = way(socket.machine, socket.peer_machine).link.loss;
  if (retry == 0 && loss > 0) wait_for_answer(socket);
  if (!passable(socket.machine, socket.peer_machine) || random_.chance(loss)) {
    if (retry == 0 && loss == 0) wait_for_answer(socket);
    if (retry > kConnectRetriesMax) return;
    return schedule(now_ + std::chrono::seconds(1LL << retry), EventKind::retry_connect, &socket,
                    retry + 1);
  }
  Socket* listener = find_listener(socket.peer_machine, socket.target);
  if (listener == nullptr) {
    if (at_once(socket.peer_machine, socket.machine, socket)) {
      return end_connect(socket, -ECONNREFUSED);
    }
    return enqueue(socket.peer_machine, socket, {.kind = Packet::Kind::refused});
  }
  if (listener->waiting.size() + listener->half_open.size() < listener->backlog) {
    return answer_connect(socket, *listener);
  }
  listener->unanswered.push_back(socket);
  if (retry == 0) wait_for_answer(socket);
}

void Network::answer_connect(Socket& socket, Socket& listener) {
  auto* accepted = new Socket;
  unlisted_.push_back(*accepted);
  accepted->machine = listener.machine;
  const bool ipv6 = listener.local.family() == Family::ipv6;
  accepted->local = ipv6 ? mapped(socket.target) : unmapped(socket.target);
  accepted->remote = ipv6 ? mapped(socket.local) : unmapped(socket.local);
  connect_pair(socket, *accepted);
  socket.connected = false;  // it will know when the answer arrives
  accepted->listener = &listener;
  listener.half_open.push_back(accepted);
  tell(*accepted, {.kind = Packet::Kind::established});
}

// The client has acknowledged: it may be accepted.
void Network::enter_backlog(Socket& accepted) noexcept {
  Socket& listener = *std::exchange(accepted.listener, nullptr);
  std::erase(listener.half_open, &accepted);
  listener.waiting.push_back(&accepted);
  SimBackend::touch(listener);
}

void Network::end_connect(Socket& socket, int result) noexcept {
  if (!socket.connecting()) return;
  socket.unlink();  // it may have been unanswered
  socket.connect_result = result;
  if (result == 0) {
    socket.connected = true;
    socket.remote = socket.target;
    tell(socket, {.kind = Packet::Kind::window});
  }
  SimBackend::touch(socket);
}

Socket& Network::accept(Socket& listener) noexcept {
  Socket* accepted = listener.waiting.front();
  listener.waiting.pop_front();
  accepted->unlink();
  Socket& listed = add(listener.machine, std::unique_ptr<Socket>(accepted));
  if (!listener.unanswered.empty()) arrive_connect(listener.unanswered.pop_front(), 1);
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
  const bool gone = from.peer == nullptr || from.peer->closed || from.peer->read_shut;
  if (from.is_unix() && gone) return -EPIPE;
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
  from.sent_bytes += size;
  if (by_chance(options_.faults.stall, from)) {
    const Instant until = now_ + random_.up_to(options_.faults.stall_max);
    from.peer->stalled_until = std::max(from.peer->stalled_until, until);
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
  return probability > 0 && !from.is_unix() && random_.chance(probability);
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
  const bool first_answer = packet.kind == Packet::Kind::established;
  Duration wait = first_answer ? kFirstRetransmission : kRetransmissionMin;
  int lost = 0;
  for (; lost < kLossesInARowMax && random_.chance(loss); ++lost) {
    at += std::exchange(wait, std::min(2 * wait, kRetransmissionMax));
  }
  if (lost == kLossesInARowMax && is_acknowledged(packet)) {
    packet.kind = Packet::Kind::lost;
    at = now_ + kRetransmitPatience;
  }
  at = std::max({at, to.last_arrival, to.stalled_until});
  to.last_arrival = packet.arrival = at;
  const bool first = to.incoming.empty();
  const bool must_pass = is_acknowledged(packet);
  to.incoming.push_back(std::move(packet));
  if (first && !to.held_up) schedule(at, EventKind::arrival, &to);
  if (to.held_up && must_pass) lose_patience(to, now_ + kRetransmitPatience);
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
  if (to.listener != nullptr && packet.kind != Packet::Kind::reset) enter_backlog(to);
  switch (packet.kind) {
    case Packet::Kind::data:
      if (!accepts_bytes(to)) return;
      to.received += packet.bytes;
      note(to, "arrived", static_cast<std::int64_t>(packet.bytes.size()));
      return SimBackend::touch(to);
    case Packet::Kind::fin:
      if (to.vanished) return tell(to, {.kind = Packet::Kind::reset});
      if (to.closed || !to.connected) return;
      to.fin_received = true;
      return SimBackend::touch(to);
    case Packet::Kind::reset: return fail(to, to.fin_received ? EPIPE : ECONNRESET);
    case Packet::Kind::window:
      to.unacknowledged -= std::min(to.unacknowledged, packet.size);
      return to.closed ? void() : SimBackend::touch_writer(to);
    case Packet::Kind::established:
      if (to.closed) return tell(to, {.kind = Packet::Kind::reset});
      return end_connect(to, 0);
    case Packet::Kind::refused: return end_connect(to, -ECONNREFUSED);
    case Packet::Kind::lost:
      to.incoming.clear();
      if (to.peer != nullptr) fail(*to.peer, ETIMEDOUT);
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
  if (Socket* listener = std::exchange(socket.listener, nullptr); listener != nullptr) {
    std::erase(listener->half_open, &socket);
    close(socket);
  } else if (socket.peer != nullptr) {
    free_if_done(*socket.peer);
  }
}

// ---- Partitions ----

void Network::hold_up(Socket& to) noexcept {
  to.held_up = true;
  to.patience_lost = false;
  held_up_.push_back(&to);
  if (to.connecting()) {
    lose_patience(to, std::max(to.connect_deadline, now_));
  } else if (std::any_of(to.incoming.begin(), to.incoming.end(), is_acknowledged)) {
    lose_patience(to, now_ + kRetransmitPatience);
  }
}

// From now on it is measured how long what is held up stays unacknowledged.
void Network::lose_patience(Socket& to, Instant at) noexcept {
  if (std::exchange(to.patience_lost, true)) return;
  schedule(at, EventKind::give_up, &to, ++to.times_held_up);
}

void Network::release_held_up() noexcept {
  for (Socket* to : std::exchange(held_up_, {})) {
    if (!passable(to->peer_machine, to->machine)) {
      held_up_.push_back(to);
      continue;
    }
    to->held_up = false;
    ++to->times_held_up;
    if (to->incoming.empty()) continue;
    const Instant at = arrival_time(to->peer_machine, to->machine, 0);
    to->incoming.front().arrival = to->last_arrival = std::max(at, to->last_arrival);
    schedule(to->last_arrival, EventKind::arrival, to);
  }
}

// What was sent has not been acknowledged for too long: its sender's connection is over.
void Network::give_up(Socket& to, std::uint32_t time) noexcept {
  if (!to.held_up || to.times_held_up != time) return;
  if (to.connecting()) end_connect(to, -ETIMEDOUT);
  to.held_up = false;
  std::erase(held_up_, &to);
  to.incoming.clear();
  if (to.peer != nullptr) fail(*to.peer, ETIMEDOUT);
}

// ---- Probes ----

// Some machine cannot be reached any more.
void Network::suspect_all() noexcept {
  for (const auto& machine : machines_) {
    for (const auto& socket : machine->sockets) {
      if (socket != nullptr) suspect(*socket);
    }
  }
}

// Who sends nothing to a machine that cannot be reached may still find out: by probes of
// keep-alive, and of a window that is full. Both matter only now, so only now are they events.
void Network::suspect(Socket& socket) noexcept {
  if (!socket.connected || passable(socket.machine, socket.peer_machine)) return;
  for (const bool keep_alive : {false, true}) {
    const Duration patience = probe_patience(socket, keep_alive);
    if (patience == Duration::max()) continue;
    schedule(now_ + patience, EventKind::probe, &socket, keep_alive ? 1 : 0);
  }
}

Duration Network::probe_patience(const Socket& socket, bool keep_alive) const noexcept {
  if (keep_alive) {
    return socket.keep_alive ? socket.keep_alive_idle + kKeepAlivePatience : Duration::max();
  }
  const bool full = socket.unacknowledged >= options_.window_bytes;
  return full ? kRetransmitPatience : Duration::max();
}

void Network::probe(Socket& socket, bool keep_alive) noexcept {
  const Duration patience = probe_patience(socket, keep_alive);
  if (socket.closed || !socket.connected || patience == Duration::max()) return;
  if (passable(socket.machine, socket.peer_machine)) {
    if (socket.peer->vanished) fail(socket, ECONNRESET);
    return;
  }
  const Machine& there = machine(socket.peer_machine);
  Instant since = way(socket.machine, socket.peer_machine).cut_since;
  if (!there.up) since = std::max(since, there.down_since);
  if (now_ - since >= patience) return fail(socket, ETIMEDOUT);
  schedule(since + patience, EventKind::probe, &socket, keep_alive ? 1 : 0);
}

// ---- Receiving, and ends ----

std::int32_t Network::receive(Socket& socket, std::span<char> room) noexcept {
  if (socket.unread() == 0) {
    // Behind a FIN a reset does not show in a receive of TCP.
    const bool shows = socket.error != 0 && (!socket.fin_received || socket.is_unix());
    if (shows) return -socket.take_error();
    return socket.fin_received || socket.read_shut || socket.dead ? 0 : -EAGAIN;
  }
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

std::int32_t Network::shutdown(Socket& socket, Direction direction) noexcept {
  const bool reset = !socket.is_unix() && (socket.dead || socket.error != 0);
  if (direction == Direction::both) socket.read_shut = true;
  if (!std::exchange(socket.write_shut, true) && socket.connected) {
    tell(socket, {.kind = Packet::Kind::fin});
  }
  SimBackend::touch(socket);
  return reset ? -ENOTCONN : 0;
}

// ---- Passed descriptors ----

// The receiver gets the socket under a number of its own; what the sender keeps is dead.
void Network::pass(Socket& from, int fd, std::uint64_t position) {
  Socket* receiver = from.peer;
  Socket* given = find(from.machine, fd);
  if (receiver == nullptr || given == nullptr || receiver->machine != from.machine) return;
  if (given->in_flight != 0) {
    return violation("a descriptor was passed with operations in flight on it");
  }
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
