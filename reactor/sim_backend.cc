#include "weir/reactor/sim_backend.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "reactor/sim_datagrams.h"
#include "reactor/sim_memory.h"
#include "reactor/sim_network.h"

namespace weir::inline v1 {

using sim::Faults;
using sim::Network;
using sim::Socket;

namespace {

constexpr std::size_t kPathBytesMax = 108;  // sun_path

// Op::slot of an operation that is in flight.
constexpr std::uint32_t kInFlight = 0;
constexpr std::uint32_t kPutOffMax = 16;   // up to here: so often in a row; then for real
constexpr std::uint32_t kRefused = 100;    // ends with ENOMEM
constexpr std::uint32_t kCancelled = 101;  // ends with ECANCELED

const char* trace_name(OpKind kind) noexcept {
  switch (kind) {
    case OpKind::accept: return "accept";
    case OpKind::connect: return "connect";
    case OpKind::recv: return "recv";
    case OpKind::send: return "send";
    case OpKind::send_file: return "sendfile";
    case OpKind::poll: return "poll";
    case OpKind::datagrams: return "datagrams";
    case OpKind::resolve: return "resolve";
    case OpKind::read: return "read";
    case OpKind::write: return "write";
    case OpKind::open: return "open";
    case OpKind::zero_copy_send: return "zerocopy";
  }
  return "";
}

bool has_socket(const Op& op) noexcept {
  return op.kind != OpKind::resolve && !is_of_file(op.kind);
}

bool sends(const Op& op) noexcept {
  return op.kind == OpKind::send || op.kind == OpKind::send_file ||
         op.kind == OpKind::zero_copy_send;
}

bool last(Op& op, std::int32_t result, Completion& out) noexcept {
  out = {.op = &op, .result = result, .more = false};
  return true;
}

}  // namespace

// A network of one machine.
struct SimBackend::Standalone {
  explicit Standalone(const SimOptions& from)
      : options{.window_bytes = from.window_bytes,
                .receive_memory_max = from.receive_memory_max,
                .check_memory = false,
                .start = from.start,
                .unix_seconds_at_start = from.unix_seconds_at_start},
        network(options) {
    network.add_machine({.name = "", .hosts = from.hosts});
  }
  sim::WorldOptions options;
  Network network;
};

SimBackend::SimBackend(const SimOptions& options)
    : standalone_(std::make_unique<Standalone>(options)),
      network_(standalone_->network),
      memory_(sim::make_pooled_memory(options.receive_memory_max)),
      datagrams_(std::make_unique<sim::SimDatagrams>(network_, machine_)) {}

SimBackend::SimBackend(Network& network, std::uint32_t machine)
    : network_(network),
      machine_(machine),
      datagrams_(std::make_unique<sim::SimDatagrams>(network, machine)) {
  const sim::WorldOptions& options = network.options();
  memory_ = options.check_memory
                ? sim::make_checked_memory(options.receive_memory_max,
                                           [&network](std::string_view what) {
                                             network.violation(what);
                                           })
                : sim::make_pooled_memory(options.receive_memory_max);
}

SimBackend::~SimBackend() = default;

Socket& SimBackend::socket(int fd) const noexcept {
  Socket* found = network_.find(machine_, fd);
  WEIR_ASSERT(found != nullptr);
  return *found;
}

void SimBackend::violation(const std::string& what, int fd) const {
  network_.violation(network_.machine(machine_).name + " fd " + std::to_string(fd) + ": " + what);
}

// ---- Submitting and cancelling ----

void SimBackend::submit(Op& op) noexcept {
  if (!op.idle()) return violation("an operation was submitted while it is in flight", op.fd);
  op.state = OpState::submitted;
  op.slot = is_refused_memory() ? kRefused : kInFlight;
  attempts_.push_back(op);
  if (!has_socket(op)) return;
  if (network_.find(machine_, op.fd) == nullptr) {
    op.slot = kCancelled;
    return violation("an operation was submitted on what is not open", op.fd);
  }
  Socket& mine = socket(op.fd);
  if (mine.in_flight != 0 && mine.backend != this) {
    violation("two reactors have operations in flight", op.fd);
  }
  mine.backend = this;
  ++mine.in_flight;
  if (op.kind == OpKind::poll) mine.hangup_told = {};
  if (op.kind == OpKind::recv && std::exchange(mine.receiving, true)) {
    violation("a second receive was submitted", op.fd);
  }
  if (!sends(op)) return;
  if (std::exchange(mine.sending, true)) violation("a second send was submitted", op.fd);
  note_memory(op);
}

void SimBackend::cancel(Op& op) noexcept {
  if (op.slot == Op::kNoSlot || op.state != OpState::submitted) return;
  op.state = OpState::cancelling;
  if (network_.random().chance(network_.faults().late_cancel)) {
    const Duration delay = network_.random().up_to(network_.faults().late_max);
    cancels_.push_back({now() + delay, &op});
  } else {
    enforce_cancel(op);
  }
}

void SimBackend::enforce_cancel(Op& op) noexcept {
  if (waits_for_release(op)) return;
  op.slot = kCancelled;
  const auto has_result = [&op](const Late& late) { return late.completion.op == &op; };
  if (std::any_of(late_.begin(), late_.end(), has_result)) return;
  unpark(op);
  attempts_.push_back(op);
}

// Wherever the operation waits, it does not any more.
void SimBackend::unpark(Op& op) noexcept {
  op.unlink();
  std::erase_if(put_off_, [&op](const PutOff& one) { return one.op == &op; });
  if (!has_socket(op)) return;
  Socket* mine = network_.find(machine_, op.fd);
  if (mine == nullptr) return;
  if (mine->reader == &op) mine->reader = nullptr;
  if (mine->writer == &op) mine->writer = nullptr;
  if (mine->starved == &op) mine->starved = nullptr;
}

void SimBackend::put_off(Op& op, Duration longest) noexcept {
  op.slot = std::min(op.slot + 1, kPutOffMax);
  put_off_.push_back({now() + network_.random().up_to(longest), &op});
}

// Something about the socket has changed: whatever is parked on it is tried again.
void SimBackend::touch(Socket& socket) noexcept {
  if (socket.reader != nullptr) {
    socket.backend->attempts_.push_back(*std::exchange(socket.reader, nullptr));
  }
  if (socket.starved != nullptr) {
    Op& op = *std::exchange(socket.starved, nullptr);
    op.unlink();
    socket.backend->attempts_.push_back(op);
  }
  touch_writer(socket);
}

void SimBackend::touch_writer(Socket& socket) noexcept {
  if (socket.writer != nullptr) {
    socket.backend->attempts_.push_back(*std::exchange(socket.writer, nullptr));
  }
  if (!socket.pollers.empty()) socket.backend->attempts_.splice_back(socket.pollers);
  if (!socket.lent.empty()) socket.backend->attempts_.splice_back(socket.lent);
}

// ---- Waiting ----

Instant SimBackend::now() const noexcept { return network_.now(); }

std::int64_t SimBackend::unix_seconds() const noexcept { return network_.unix_seconds(machine_); }

void SimBackend::random(std::span<std::uint8_t> into) noexcept { network_.fill(into); }

void SimBackend::wake() noexcept {
  const std::lock_guard lock(wake_mutex_);
  wake_pending_ = true;
  woken_.notify_one();
}

Instant SimBackend::next_due() const noexcept {
  Instant next = kNever;
  for (const PutOff& one : put_off_) next = std::min(next, one.due);
  for (const PutOff& one : cancels_) next = std::min(next, one.due);
  for (const Late& one : late_) next = std::min(next, one.due);
  return next;
}

bool SimBackend::ready() const noexcept {
  if (!attempts_.empty() || wake_pending_) return true;
  if (!starved_.empty() && memory_->returned() != returned_seen_) return true;
  return next_turn() <= now();
}

std::size_t SimBackend::poll(Instant until, std::span<Completion> batch) noexcept {
  ++counters_.system_calls;
  const bool spurious =
      !was_spurious_ && network_.random().chance(network_.faults().spurious);
  was_spurious_ = spurious;
  if (spurious) return 0;
  for (;;) {
    const std::size_t count = collect(batch);
    if (count != 0 || !attempts_.empty()) return count;
    if (standalone_ == nullptr) {
      wake_pending_ = false;
      // A world's reactor waits only when it is being destroyed: what is late is hastened. Its
      // run() and run_once() are not for users: see World.
      WEIR_ASSERT(until <= now() + std::chrono::seconds(1));
      if (until <= now() || next_due() == kNever) return 0;
      for (PutOff& one : put_off_) one.due = now();
      for (PutOff& one : cancels_) one.due = now();
      for (Late& one : late_) one.due = now();
      continue;
    }
    if (network_.next_event() <= until && network_.next_event() != kNever && !wake_pending_) {
      network_.advance(network_.next_event());
      continue;
    }
    std::unique_lock lock(wake_mutex_);
    if (!wake_pending_ && until == kNever) woken_.wait(lock, [&] { return wake_pending_; });
    if (!wake_pending_ && until != kNever) network_.advance(until);
    wake_pending_ = false;
    return 0;
  }
}

std::size_t SimBackend::collect(std::span<Completion> batch) noexcept {
  if (!starved_.empty() && memory_->returned() != returned_seen_) attempts_.splice_back(starved_);
  returned_seen_ = memory_->returned();
  release_due();
  std::size_t count = 0;
  collect_late(batch, count);
  const Faults& faults = network_.faults();
  while (count < batch.size() && !attempts_.empty()) {
    Op& op = attempts_.pop_front();
    Completion& out = batch[count];
    if (!attempt(op, out)) continue;
    if (network_.random().chance(faults.late)) {
      const Instant due = now() + network_.random().up_to(faults.late_max);
      late_.push_back({due, std::move(out)});
      continue;
    }
    hand_over(out);
    ++count;
  }
  if (faults.late > 0) shuffle(batch.first(count));
  counters_.completions += count;
  return count;
}

// Puts off and cancels whose time has come.
void SimBackend::release_due() noexcept {
  const auto take_due = [this](std::vector<PutOff>& from, auto use) {
    for (std::size_t i = 0; i < from.size();) {
      if (from[i].due > now()) {
        ++i;
        continue;
      }
      Op* op = from[i].op;
      from.erase(from.begin() + static_cast<std::ptrdiff_t>(i));
      use(*op);
    }
  };
  take_due(cancels_, [this](Op& op) { enforce_cancel(op); });
  take_due(put_off_, [this](Op& op) { attempts_.push_back(op); });
}

void SimBackend::collect_late(std::span<Completion> batch, std::size_t& count) noexcept {
  for (std::size_t i = 0; i < late_.size() && count < batch.size();) {
    if (late_[i].due > now()) {
      ++i;
      continue;
    }
    batch[count] = std::move(late_[i].completion);
    late_.erase(late_.begin() + static_cast<std::ptrdiff_t>(i));
    hand_over(batch[count]);
    ++count;
  }
}

// For the trace. A real file's number differs from run to run.
void SimBackend::note(const Op& op, std::int32_t result) noexcept {
  network_.trace().note(now(), machine_, network_.machine(machine_).name,
                        is_of_file(op.kind) ? -1 : op.fd, trace_name(op.kind),
                        op.kind == OpKind::open ? 0 : result);
}

// The result goes to the program now; an operation without more is its owner's again.
void SimBackend::hand_over(Completion& completion) noexcept {
  Op& op = *completion.op;
  WEIR_ASSERT(op.slot != Op::kNoSlot);  // nothing comes behind the last result
  const Faults& faults = network_.faults();
  note(op, completion.result);
  if (op.kind == OpKind::zero_copy_send && hand_over_lent(completion)) return;
  if (completion.more) {
    if (op.slot != kCancelled) op.slot = kInFlight;
    const bool repeats = op.kind != OpKind::poll && op.slot != kCancelled;
    if (!repeats || !network_.random().chance(faults.ended)) {
      const bool waits = repeats && op.kind == OpKind::datagrams;  // for the next one
      if (!waits) return attempts_.push_back(op);
      socket(op.fd).reader = &op;
      return;
    }
    ++counters_.multishot_rearms;
    return put_off(op, faults.late_max);
  }
  op.slot = Op::kNoSlot;
  std::erase_if(cancels_, [&op](const PutOff& one) { return one.op == &op; });
  if (!has_socket(op)) return;
  Socket* mine = network_.find(machine_, op.fd);
  if (mine == nullptr || mine->in_flight == 0) return;
  --mine->in_flight;
  if (op.kind == OpKind::recv) mine->receiving = false;
  if (!sends(op)) return;
  mine->sending = false;
  check_memory(op);
}

// Any order, but that of one operation's own results.
void SimBackend::shuffle(std::span<Completion> batch) noexcept {
  for (std::size_t i = batch.size(); i > 1; --i) {
    const std::size_t j = network_.random().below(i);
    bool same_op = false;
    for (std::size_t k = j; k < i; ++k) {
      const bool moved = batch[k].op == batch[j].op || batch[k].op == batch[i - 1].op;
      same_op = same_op || (k != j && k != i - 1 && moved);
    }
    if (j != i - 1 && !same_op && batch[j].op != batch[i - 1].op) {
      std::swap(batch[j], batch[i - 1]);
    }
  }
}

// ---- Attempts ----

bool SimBackend::attempt(Op& op, Completion& out) noexcept {
  if (waits_for_release(op)) return attempt_release(static_cast<ZeroCopySendOp&>(op), out);
  if (op.slot == kCancelled) return last(op, -ECANCELED, out);
  if (op.kind == OpKind::resolve) return attempt_resolve(static_cast<ResolveOp&>(op), out);
  if (is_of_file(op.kind) && op.slot != kRefused) return attempt_file(op, out);
  if (is_of_file(op.kind)) return last(op, -ENOMEM, out);
  Socket& mine = socket(op.fd);
  if (mine.starved == &op) mine.starved = nullptr;
  if (op.slot == kRefused) return last(op, -ENOMEM, out);
  if (op.slot < kPutOffMax && network_.random().chance(network_.faults().again)) {
    put_off(op, network_.faults().late_max);
    return false;
  }
  switch (op.kind) {
    case OpKind::accept: return attempt_accept(op, mine, out);
    case OpKind::connect: return attempt_connect(static_cast<ConnectOp&>(op), mine, out);
    case OpKind::recv: return attempt_recv(op, mine, out);
    case OpKind::send: return attempt_send(static_cast<SendOp&>(op), mine, out);
    case OpKind::send_file: return attempt_send_file(static_cast<SendFileOp&>(op), mine, out);
    case OpKind::zero_copy_send:
      return attempt_zero_copy(static_cast<ZeroCopySendOp&>(op), mine, out);
    case OpKind::poll: return attempt_poll(static_cast<PollOp&>(op), mine, out);
    case OpKind::datagrams: return attempt_datagrams(op, mine, out);
    case OpKind::resolve:
    case OpKind::read:
    case OpKind::write:
    case OpKind::open: break;
  }
  return false;
}

bool SimBackend::attempt_resolve(ResolveOp& op, Completion& out) noexcept {
  op.found.clear();
  if (network_.random().chance(network_.faults().no_lookup)) {
    op.error = make_error_code(ResolveError::try_again);
    return last(op, -EIO, out);
  }
  for (const std::string& text : network_.lookup(machine_, op.host)) {
    const auto address = Address::parse_ip(text, 0);
    const bool wanted = address && (op.family == Family::none || op.family == address->family());
    if (wanted) op.found.push_back(address->ip());
  }
  op.error = op.found.empty() ? make_error_code(ResolveError::not_found) : std::error_code();
  return last(op, op.error ? -EIO : 0, out);
}

bool SimBackend::attempt_accept(Op& op, Socket& mine, Completion& out) noexcept {
  if (mine.waiting.empty()) {
    mine.reader = &op;
    return false;
  }
  const Faults& faults = network_.faults();
  if (network_.random().chance(faults.no_descriptors)) return last(op, -EMFILE, out);
  Socket& accepted = network_.accept(mine);
  if (network_.random().chance(faults.aborted)) {
    // As backends do: on to the next one.
    accepted.aborted = true;
    network_.close(accepted);
    return attempt_accept(op, mine, out);
  }
  out = {.op = &op, .result = accepted.fd, .more = true};
  return true;
}

bool SimBackend::attempt_connect(ConnectOp& op, Socket& mine, Completion& out) noexcept {
  if (!mine.connect_started) network_.connect(mine, op.peer);
  if (mine.connect_result != Socket::kPending) return last(op, mine.connect_result, out);
  mine.writer = &op;
  return false;
}

bool SimBackend::attempt_recv(Op& op, Socket& mine, Completion& out) noexcept {
  if (mine.unread() == 0) {
    const std::int32_t result = network_.receive(mine, {});
    if (result != -EAGAIN) return last(op, result, out);
    mine.reader = &op;
    return false;
  }
  const Faults& faults = network_.faults();
  sim::Random& random = network_.random();
  if (op.slot < kPutOffMax && random.chance(faults.no_buffers)) {
    ++counters_.ring_dry;
    put_off(op, faults.dry_max);
    return false;
  }
  std::size_t wanted = mine.unread();
  if (random.chance(faults.short_read)) wanted = 1 + random.below(wanted);
  std::span<char> room = memory_->room(wanted);
  if (room.empty() && memory_->available()) return last(op, -ENOMEM, out);
  if (room.empty()) {
    if (mine.error != 0) return last(op, -mine.take_error(), out);
    ++counters_.ring_dry;
    starved_.push_back(op);
    mine.starved = &op;
    return false;
  }
  const int size = network_.receive(mine, room.first(std::min(room.size(), wanted)));
  out = {.op = &op,
         .result = size,
         .more = true,
         .buffer = memory_->commit(static_cast<std::size_t>(size))};
  return true;
}

// Told for each that comes, at least until a receive has taken all of them.
bool SimBackend::attempt_datagrams(Op& op, Socket& mine, Completion& out) noexcept {
  if (mine.datagrams.empty() && mine.error == 0) {
    mine.reader = &op;
    return false;
  }
  out = {.op = &op, .result = 1, .more = true};
  return true;
}

bool SimBackend::attempt_poll(PollOp& op, Socket& mine, Completion& out) noexcept {
  Events events = mine.hangup();
  if (op.watch_hangup) {
    // Told once for each change, like an edge.
    if (events.bits == 0 || events.bits == mine.hangup_told.bits) {
      mine.pollers.push_back(op);
      return false;
    }
    mine.hangup_told = events;
    out = {.op = &op, .result = events.bits, .more = true};
    return true;
  }
  if (mine.unread() > 0 || mine.fin_received || mine.error != 0 || !mine.waiting.empty() ||
      !mine.datagrams.empty()) {
    events.bits |= Events::readable;
  }
  if (!mine.listening && network_.writable(mine)) events.bits |= Events::writable;
  std::uint8_t told = op.wanted.bits | Events::hangup | Events::error;
  if (op.wanted.has(Events::readable)) told |= Events::peer_closed;
  events.bits &= told;
  if (events.bits != 0) return last(op, events.bits, out);
  mine.pollers.push_back(op);
  return false;
}

// ---- Control plane ----

// Whether a call that makes a descriptor fails by chance.
bool SimBackend::refused(Error& error, const char* syscall, const Address& address) noexcept {
  if (!network_.random().chance(network_.faults().no_descriptors)) return false;
  error = {.code = errno_code(EMFILE), .syscall = syscall, .address = address};
  return true;
}

Expected<int> SimBackend::open(const Address& peer, const Address& local) noexcept {
  Error error;
  if (refused(error, "socket", {})) return failure(error);
  if (peer.path().size() > kPathBytesMax) {
    return failure({.code = errno_code(EINVAL), .syscall = "connect", .address = peer});
  }
  return network_.open_stream(machine_, peer, local);
}

Expected<int> SimBackend::listen(const Address& at, const ListenOptions& options) noexcept {
  Error error;
  if (refused(error, "listen", at)) return failure(error);
  return network_.listen(machine_, at, options);
}

Expected<void> SimBackend::adopt_stream(int fd) noexcept {
  const Socket* given = network_.find(machine_, fd);
  if (given == nullptr) return failure({.code = errno_code(EBADF), .syscall = "open"});
  if (given->peer == nullptr) return failure({.code = Mistake::bad_fd_type});
  return {};
}

Expected<void> SimBackend::adopt_listener(int fd, int) noexcept {
  const Socket* given = network_.find(machine_, fd);
  if (given != nullptr && given->listening) return {};
  return failure({.code = errno_code(EINVAL), .syscall = "listen"});
}

Address SimBackend::address(int fd, End end) const noexcept {
  const Socket& found = socket(fd);
  return end == End::local ? found.local : found.remote;
}

// Everybody in here is the same process.
Expected<PeerCredentials> SimBackend::peer_credentials(int) const noexcept {
  return PeerCredentials{.pid = 1, .uid = 0, .gid = 0};
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

int SimBackend::set(int fd, SocketOption option, int value) noexcept {
  Socket& mine = socket(fd);
  if (option == SocketOption::reset_on_close) mine.reset_on_close = value != 0;
  if (option == SocketOption::keep_alive) mine.keep_alive = value != 0;
  if (option == SocketOption::keep_alive_seconds) {
    mine.keep_alive_idle = std::chrono::seconds(value);
  }
  network_.suspect(mine);
  return 0;
}

int SimBackend::get(int fd, SocketFact fact) const noexcept {
  Socket& found = socket(fd);
  if (fact == SocketFact::unread_bytes) return static_cast<int>(found.unread());
  return found.take_error();
}

std::int32_t SimBackend::shutdown(int fd, Direction direction) noexcept {
  return network_.shutdown(socket(fd), direction);
}

void SimBackend::remove_path(const std::string& path) noexcept {
  network_.machine(machine_).paths.erase(path);
}

void SimBackend::release(int) noexcept {}

void SimBackend::close(int fd) noexcept {
  if (network_.find(machine_, fd) == nullptr) return violation("closed, but not open", fd);
  Socket& mine = socket(fd);
  if (mine.in_flight != 0) {
    violation("closed with " + std::to_string(mine.in_flight) + " operations in flight", fd);
    force_out(mine);
  }
  forget_lent(mine);
  network_.trace().note(now(), machine_, network_.machine(machine_).name, fd, "close", 0);
  network_.close(mine);
}

// What should have been over ends as cancelled, so that nothing points at a socket that is gone.
void SimBackend::force_out(Socket& mine) noexcept {
  std::vector<Op*> found;
  if (mine.reader != nullptr) found.push_back(mine.reader);
  if (mine.writer != nullptr) found.push_back(mine.writer);
  if (mine.starved != nullptr) found.push_back(mine.starved);
  mine.pollers.for_each([&](Op& op) { found.push_back(&op); });
  for (const PutOff& one : put_off_) {
    if (one.op->fd == mine.fd) found.push_back(one.op);
  }
  for (Op* op : found) enforce_cancel(*op);
  attempts_.for_each([&](Op& op) {
    if (op.fd == mine.fd && has_socket(op)) op.slot = kCancelled;
  });
  for (const Late& one : late_) {
    if (one.completion.op->fd == mine.fd) one.completion.op->slot = kCancelled;
  }
}

std::size_t SimBackend::live_chunks() const noexcept { return memory_->live_chunks(); }

bool SimBackend::memory_in_demand() const noexcept { return memory_->in_demand(); }

std::size_t SimBackend::open_fds() const noexcept { return network_.machine(machine_).open; }

void SimBackend::set_hosts(SimHosts hosts) {
  network_.machine(machine_).hosts = std::move(hosts);
}

// ---- Playing a foreign library ----

std::pair<int, int> SimBackend::make_pair() {
  Socket& a = network_.add(machine_, std::make_unique<Socket>());
  Socket& b = network_.add(machine_, std::make_unique<Socket>());
  network_.connect_pair(a, b);
  return {a.fd, b.fd};
}

int SimBackend::read(int fd, std::span<char> room) noexcept {
  return network_.receive(socket(fd), room);
}

int SimBackend::write(int fd, std::string_view bytes) noexcept {
  const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  return network_.send(socket(fd), {&piece, 1}, SIZE_MAX);
}

Expected<int> SimBackend::open_datagram(const Address& at) { return datagrams_->open(at, {}); }

int SimBackend::send_to(int fd, std::string_view bytes, const Address& to) noexcept {
  return network_.send_datagram(socket(fd), bytes, to);
}

int SimBackend::receive_from(int fd, std::span<char> room, Address& from) noexcept {
  Socket& mine = socket(fd);
  if (mine.datagrams.empty()) return -EAGAIN;
  const sim::Datagram datagram = std::move(mine.datagrams.front());
  mine.datagrams.pop_front();
  const std::size_t size = std::min(room.size(), datagram.bytes.size());
  std::memcpy(room.data(), datagram.bytes.data(), size);
  from = datagram.from;
  return static_cast<int>(size);
}

Datagrams& SimBackend::datagrams() noexcept { return *datagrams_; }

}  // namespace weir::inline v1
