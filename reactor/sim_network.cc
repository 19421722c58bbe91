#include "reactor/sim_network.h"

#include <algorithm>
#include <cerrno>

namespace weir::inline v1::sim {
namespace {

constexpr std::size_t kPathBytesMax = 108;  // sun_path
constexpr int kFirstFd = 3;                 // behind the standard streams
// When a connect that nobody answered is tried again for the first time (RFC 6298, 2.1).
constexpr Duration kFirstRetry = std::chrono::seconds(1);

bool is_loopback(const Address& given) noexcept {
  const Address address = unmapped(given);
  if (address.family() == Family::ipv4) return address.ip().bytes[0] == 127;
  static const Address ipv6 = *Address::parse_ip("::1", 0);
  return address.family() == Family::ipv6 && address.ip().bytes == ipv6.ip().bytes;
}

}  // namespace

bool is_wildcard(const Address& address) noexcept {
  return address.ip().bytes == IpEndpoint{}.bytes;
}

Address mapped(const Address& address) {
  if (address.family() != Family::ipv4) return address;
  IpEndpoint ip = address.ip();
  const auto bytes = ip.bytes;
  ip.family = Family::ipv6;
  ip.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, bytes[0], bytes[1], bytes[2], bytes[3]};
  return Address(ip);
}

Address unmapped(const Address& address) {
  if (address.family() != Family::ipv6) return address;
  IpEndpoint ip = address.ip();
  const auto bytes = ip.bytes;
  ip.family = Family::ipv4;
  ip.bytes = {bytes[12], bytes[13], bytes[14], bytes[15]};
  return mapped(Address(ip)).ip().bytes == bytes ? Address(ip) : address;
}

bool is_black_hole(const Address& address) noexcept {
  const auto& bytes = address.ip().bytes;
  return address.family() == Family::ipv4 && bytes[0] == 192 && bytes[1] == 0 && bytes[2] == 2;
}

Network::Network(WorldOptions& options)
    : options_(options),
      now_(options.start),
      random_(options.seed),
      trace_(std::move(options.on_trace)) {}

Network::~Network() {
  while (!unlisted_.empty()) delete &unlisted_.pop_front();
}

void Network::note(const Socket& socket, std::string_view what, std::int64_t result) {
  trace_.note(now_, socket.machine, machine(socket.machine).name, socket.fd, what, result);
}

void Network::violation(std::string_view what) {
  ++violations_;
  trace_.note(now_, what);
  if (options_.on_violation) return options_.on_violation(what);
  const std::string line =
      "the contract with the kernel, seed " + std::to_string(options_.seed) + ": " +
      std::string(what);
  detail::assertion_failed(line.c_str(), __FILE__, __LINE__);
}

// ---- Machines and descriptors ----

std::uint32_t Network::add_machine(Machine machine) {
  const auto number = static_cast<std::uint32_t>(machines_.size());
  machines_.push_back(std::make_unique<Machine>(std::move(machine)));
  machines_.back()->sockets.resize(kFirstFd);
  machines_.back()->lowest_free = kFirstFd;
  ways_.resize(number + 1);
  for (auto& from : ways_) from.resize(number + 1);
  for (std::uint32_t other = 0; other < number; ++other) set_link(other, number, options_.link);
  return number;
}

Socket* Network::find(std::uint32_t number, int fd) const noexcept {
  const Machine& machine = *machines_[number];
  const auto at = static_cast<std::size_t>(fd);
  return fd < 0 || at >= machine.sockets.size() ? nullptr : machine.sockets[at].get();
}

// The lowest free number, as the kernel gives them: reuse comes soon.
Socket& Network::add(std::uint32_t number, std::unique_ptr<Socket> socket) {
  Machine& owner = machine(number);
  std::size_t fd = owner.lowest_free;
  while (fd < owner.sockets.size() && owner.sockets[fd] != nullptr) ++fd;
  if (fd == owner.sockets.size()) owner.sockets.emplace_back();
  owner.lowest_free = fd + 1;
  ++owner.open;
  socket->machine = number;
  socket->fd = static_cast<int>(fd);
  owner.sockets[fd] = std::move(socket);
  return *owner.sockets[fd];
}

void Network::close(Socket& socket) noexcept {
  Machine& owner = machine(socket.machine);
  const auto fd = static_cast<std::size_t>(socket.fd);
  ++socket.scheduled;  // until the end of this function
  socket.closed = true;
  socket.vanished = !owner.up;
  socket.connect_started = false;
  socket.unlink();
  if (socket.fd >= 0) {
    (void)owner.sockets[fd].release();
    owner.lowest_free = std::min(owner.lowest_free, fd);
    --owner.open;
    socket.fd = -1;
  }
  unlisted_.push_back(socket);
  if (socket.listening || socket.datagram) close_listener(socket);
  for (const Socket::Passed& passed : std::exchange(socket.passed, {})) {
    if (Socket* one = find(socket.machine, passed.fd); one != nullptr) close(*one);
  }
  // TCP sends no reset behind the FINs of both sides, whatever is unread; Unix sockets know nothing
  // of SO_LINGER.
  const bool tcp = !socket.is_unix();
  const bool over = tcp && socket.write_shut && socket.fin_received;
  const bool asked = socket.aborted || (tcp && socket.reset_on_close);
  if (socket.connected && !over && (asked || socket.unread() > 0)) {
    socket.connected = false;
    lose_tail(socket);
    tell(socket, {.kind = Packet::Kind::reset});
  } else if (socket.connected && !socket.write_shut) {
    tell(socket, {.kind = Packet::Kind::fin});
  }
  socket.received = {};
  socket.read_at = 0;
  --socket.scheduled;
  free_if_done(socket);
}

// A reset takes with it what was sent and has not arrived: any part of it.
void Network::lose_tail(Socket& from) noexcept {
  if (from.peer == nullptr) return;
  std::deque<Packet>& incoming = from.peer->incoming;
  while (!incoming.empty() && incoming.back().kind == Packet::Kind::data && random_.once_in(2)) {
    incoming.pop_back();
  }
}

void Network::close_listener(Socket& socket) noexcept {
  Machine& owner = machine(socket.machine);
  std::erase(owner.listeners, &socket);
  if (socket.local.is_unix()) {
    const auto path = owner.paths.find(socket.local.path());
    if (path != owner.paths.end() && path->second == &socket) path->second = nullptr;
    if (socket.local.path().front() == '\0') owner.paths.erase(socket.local.path());
  }
  std::deque<Socket*> unaccepted = std::exchange(socket.waiting, {});
  unaccepted.insert(unaccepted.end(), socket.half_open.begin(), socket.half_open.end());
  socket.half_open.clear();
  for (Socket* one : unaccepted) {
    one->listener = nullptr;
    one->aborted = true;
    close(*one);
  }
  while (!socket.unanswered.empty()) {
    Socket& client = socket.unanswered.pop_front();
    schedule(owner.up ? now_ : later(now_, kFirstRetry), EventKind::retry_connect, &client, 1);
  }
}

// A closed end goes when its peer knows, and nothing on its way is for it.
void Network::free_if_done(Socket& socket) noexcept {
  if (!socket.closed || socket.scheduled != 0 || socket.held_up) return;
  Socket* peer = socket.peer;
  if (peer != nullptr && !peer->closed && (peer->connected || peer->connecting())) return;
  if (peer != nullptr) peer->peer = nullptr;
  delete &socket;
  if (peer != nullptr) free_if_done(*peer);
}

void Network::cut_off(std::uint32_t number) noexcept {
  machine(number).up = false;
  machine(number).down_since = now_;
  suspect_all();
}

void Network::take_down(std::uint32_t number) noexcept {
  Machine& owner = machine(number);
  for (std::size_t fd = 0; fd < owner.sockets.size(); ++fd) {
    if (owner.sockets[fd] != nullptr) close(*owner.sockets[fd]);
  }
}

void Network::boot(std::uint32_t number) noexcept {
  machine(number).up = true;
  release_held_up();
}

// ---- Addresses and names ----

bool Network::owns(const Machine& machine, const Address& address) const noexcept {
  if (machine.ipv4.family() == Family::none || is_loopback(address) || is_wildcard(address)) {
    return true;
  }
  const auto& bytes = address.ip().bytes;
  return bytes == machine.ipv4.ip().bytes || bytes == machine.ipv6.ip().bytes;
}

int Network::machine_of(std::uint32_t from, const Address& to) const noexcept {
  const Address address = unmapped(to);
  if (owns(*machines_[from], address)) return static_cast<int>(from);
  for (std::size_t i = 0; i < machines_.size(); ++i) {
    if (owns(*machines_[i], address)) return static_cast<int>(i);
  }
  return -1;
}

Address Network::address_towards(std::uint32_t number, const Address& peer) const {
  const Machine& machine = *machines_[number];
  if (unmapped(peer) != peer) return mapped(address_towards(number, unmapped(peer)));
  const bool ipv6 = peer.family() == Family::ipv6;
  const Address& own = ipv6 ? machine.ipv6 : machine.ipv4;
  if (own.family() != Family::none && !is_loopback(peer)) return own;
  return ipv6 ? *Address::parse_ip("::1", 0) : Address::loopback_ipv4(0);
}

// Round and round, past the ports that somebody listens on; when there is no other, one of these.
std::uint16_t Network::free_port(Machine& machine) const noexcept {
  for (std::size_t tried = 0;; ++tried) {
    const std::uint16_t port = machine.next_port++;
    if (machine.next_port == 0) machine.next_port = Machine::kFirstFreePort;
    const auto listens = [port](const Socket* socket) { return socket->local.port() == port; };
    const bool free =
        std::none_of(machine.listeners.begin(), machine.listeners.end(), listens);
    if (free || tried == UINT16_MAX) return port;
  }
}

std::vector<std::string> Network::lookup(std::uint32_t number, const std::string& host) const {
  const SimHosts& own = machines_[number]->hosts;
  if (const auto entry = own.find(host); entry != own.end()) return entry->second;
  for (const auto& machine : machines_) {
    if (machine->name == host && machine->ipv4.family() != Family::none) {
      return {machine->ipv4.host(), machine->ipv6.host()};
    }
  }
  return {};
}

// ---- Listening, and sockets for connecting ----

Expected<int> Network::open_stream(std::uint32_t number, const Address& peer,
                                   const Address& local) {
  Machine& owner = machine(number);
  if (local.family() != Family::none && !owns(owner, local)) {
    return failure({.code = errno_code(EADDRNOTAVAIL), .syscall = "bind", .address = local});
  }
  Socket& made = add(number, std::make_unique<Socket>());
  made.local = local;
  if (peer.is_unix()) return made.fd;
  const std::uint16_t port = local.port() != 0 ? local.port() : free_port(owner);
  if (local.family() == Family::none || is_wildcard(local)) {
    made.local = address_towards(number, peer);
  }
  made.local.set_port(port);
  return made.fd;
}

// Whether somebody is bound to the address, or to one that includes it or is included by it, and
// does not share it.
bool Network::taken(const Machine& machine, const Address& at, bool datagram, bool ipv6_only,
                    bool shared) const noexcept {
  const auto covers = [](const Address& all, bool own_family_only, const Address& one) {
    return is_wildcard(all) && (all.family() == one.family() ||
                                (all.family() == Family::ipv6 && !own_family_only));
  };
  return std::any_of(machine.listeners.begin(), machine.listeners.end(), [&](const Socket* other) {
    const Address& local = other->local;
    if (other->datagram != datagram || local.is_unix() || local.port() != at.port()) return false;
    if (shared && other->shared) return false;
    const bool same = local.family() == at.family() && local.ip().bytes == at.ip().bytes;
    return same || covers(local, other->ipv6_only, at) || covers(at, ipv6_only, local);
  });
}

// Listeners on a wildcard address answer for every address, IPv6 ones for IPv4 too (dual stack).
// Several on one port take turns.
Socket* Network::find_listener(std::uint32_t number, const Address& to) noexcept {
  Machine& owner = machine(number);
  if (to.is_unix()) {
    const auto path = owner.paths.find(to.path());
    return path == owner.paths.end() ? nullptr : path->second;
  }
  const Address at = unmapped(to);
  const auto answers = [&](const Socket* socket) {
    const Address& local = socket->local;
    if (socket->datagram || local.is_unix() || local.port() != at.port()) return false;
    if (local.ip().bytes == at.ip().bytes) return true;
    return is_wildcard(local) && (local.family() == at.family() ||
                                  (local.family() == Family::ipv6 && !socket->ipv6_only));
  };
  const auto first = std::find_if(owner.listeners.begin(), owner.listeners.end(), answers);
  if (first == owner.listeners.end()) return nullptr;
  if (!(*first)->reuse_port) return *first;
  const auto count = std::count_if(first, owner.listeners.end(), answers);
  auto skip = static_cast<std::ptrdiff_t>(owner.next_listener++) % count;
  auto chosen = first;
  while (skip-- > 0) chosen = std::find_if(std::next(chosen), owner.listeners.end(), answers);
  return *chosen;
}

Expected<int> Network::listen(std::uint32_t number, const Address& at,
                              const ListenOptions& options) {
  Machine& owner = machine(number);
  const auto refuse = [&](int error) {
    return failure({.code = errno_code(error), .syscall = "listen", .address = at});
  };
  Address bound = at;
  if (at.is_unix()) {
    if (at.path().size() > kPathBytesMax) return refuse(EINVAL);
    const auto path = owner.paths.find(at.path());
    const bool stale = path != owner.paths.end() && path->second == nullptr;
    if (path != owner.paths.end() && !(stale && options.replace_stale)) return refuse(EADDRINUSE);
  } else if (!owns(owner, at)) {
    return refuse(EADDRNOTAVAIL);
  } else if (at.port() == 0) {
    bound.set_port(free_port(owner));
  } else if (taken(owner, at, false, options.ipv6_only, options.reuse_port)) {
    return refuse(EADDRINUSE);
  }
  Socket& made = add(number, std::make_unique<Socket>());
  made.local = bound;
  made.listening = true;
  made.ipv6_only = options.ipv6_only;
  made.reuse_port = made.shared = options.reuse_port;
  made.backlog = static_cast<std::size_t>(std::max(options.backlog, 1));
  if (at.is_unix()) owner.paths[at.path()] = &made;
  owner.listeners.push_back(&made);
  return made.fd;
}

// ---- Links ----

void Network::set_link(std::uint32_t a, std::uint32_t b, const Link& link) {
  for (Way* one : {&way(a, b), &way(b, a)}) {
    one->link = link;
    one->instant = link.latency == Duration::zero() && link.jitter == Duration::zero() &&
                   link.bytes_per_second == 0 && link.loss == 0;
  }
}

void Network::partition(std::uint32_t a, std::uint32_t b, bool apart) noexcept {
  if (a == b) return;  // who reaches itself does so without a network
  for (Way* one : {&way(a, b), &way(b, a)}) {
    if (apart && !one->cut) one->cut_since = now_;
    one->cut = apart;
  }
  return apart ? suspect_all() : release_held_up();
}

void Network::heal_all() noexcept {
  for (auto& from : ways_) {
    for (Way& one : from) one.cut = false;
  }
  release_held_up();
}

bool Network::passable(std::uint32_t from, std::uint32_t to) noexcept {
  return machine(to).up && !way(from, to).cut;
}

// When what is sent now arrives, if nothing that was sent before has to come first.
Instant Network::arrival_time(std::uint32_t from, std::uint32_t to, std::size_t size) noexcept {
  if (from == to) return now_;
  Way& path = way(from, to);
  Instant at = now_;
  if (path.link.bytes_per_second != 0) {
    const auto rate = static_cast<double>(path.link.bytes_per_second);
    const Duration taken(static_cast<Duration::rep>(static_cast<double>(size) * 1e9 / rate));
    at = path.free_at = std::max(now_, path.free_at) + taken;
  }
  at += path.link.latency;
  if (path.link.jitter != Duration::zero()) at += random_.up_to(path.link.jitter);
  return at;
}

// ---- Time ----

bool Network::comes_later(const Event& a, const Event& b) noexcept {
  return a.at != b.at ? a.at > b.at : a.number > b.number;
}

void Network::schedule(Instant at, EventKind kind, Socket* socket, std::uint32_t detail) {
  if (socket != nullptr) ++socket->scheduled;
  events_.push_back({at, next_number_++, kind, detail, socket});
  std::push_heap(events_.begin(), events_.end(), comes_later);
}

void Network::call_at(Instant at, Function<void()> task) {
  std::uint32_t slot = static_cast<std::uint32_t>(tasks_.size());
  if (free_tasks_.empty()) {
    tasks_.emplace_back();
  } else {
    slot = free_tasks_.back();
    free_tasks_.pop_back();
  }
  tasks_[slot] = std::move(task);
  schedule(at, EventKind::call, nullptr, slot);
}

void Network::advance(Instant to) {
  now_ = std::max(now_, to);
  while (!events_.empty() && events_.front().at <= now_) {
    std::pop_heap(events_.begin(), events_.end(), comes_later);
    const Event event = events_.back();
    events_.pop_back();
    happen(event);
  }
}

void Network::happen(const Event& event) {
  if (event.kind == EventKind::call) {
    Function<void()> task = std::move(tasks_[event.detail]);
    free_tasks_.push_back(event.detail);
    return task();
  }
  Socket& socket = *event.socket;
  switch (event.kind) {
    case EventKind::arrival: deliver(socket); break;
    case EventKind::retry_connect: arrive_connect(socket, event.detail); break;
    case EventKind::give_up_connect:
      if (!socket.closed) end_connect(socket, -ETIMEDOUT);
      break;
    case EventKind::give_up: give_up(socket, event.detail); break;
    case EventKind::probe: probe(socket, event.detail != 0); break;
    case EventKind::call: break;
  }
  --socket.scheduled;
  free_if_done(socket);
}

std::int64_t Network::unix_seconds(std::uint32_t number) const noexcept {
  return options_.unix_seconds_at_start + machines_[number]->unix_offset +
         std::chrono::duration_cast<std::chrono::seconds>(now_ - options_.start).count();
}

}  // namespace weir::inline v1::sim
