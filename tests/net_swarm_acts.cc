// What the ends of a swarm do: writing, ending, and whatever else comes to their mind.
#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "tests/net_swarm_end.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::QueuePolicy;
using net::Write;

constexpr std::size_t kWriteMax = 300 * 1024;
constexpr int kWritesAtOnce = 32;
constexpr std::uint64_t kWritesOfAStream = 150;

bool is_buffer(std::uint64_t form) { return form == 1; }

}  // namespace

const char* act_name(Act act) noexcept {
  switch (act) {
    case Act::end: return "end";
    case Act::destroy: return "destroy";
    case Act::destroy_with_code: return "destroy with code";
    case Act::destroy_soon: return "destroy_soon";
    case Act::reset: return "reset";
    case Act::remove: return "remove";
    case Act::write_after_end: return "write after end";
    case Act::detach: return "detach";
    case Act::cork: return "cork";
    case Act::pause: return "pause";
    case Act::small_things: return "small things";
    case Act::count: break;
  }
  return "nothing";
}

// ---- Plans ----

Plan random_plan(sim::Random& random, bool accepted, bool greedy) {
  Plan plan;
  const std::uint64_t kind = random.below(16);
  plan.sends = Sends::stream;
  if (kind < 2) plan.sends = Sends::nothing;
  if (accepted && kind >= 7) plan.sends = kind < 12 ? Sends::echo : Sends::pipe_back;
  plan.total = kHeaderBytes + any_size(random, random.once_in(3) ? 400'000 : 20'000) - 1;
  if (greedy && random.once_in(3)) plan.total += 100'000 + random.below(400'000);
  plan.write_max = static_cast<std::size_t>(any_size(random, kWriteMax));
  plan.write_max = std::max<std::size_t>(plan.write_max, plan.total / kWritesOfAStream);
  plan.respects_full = !random.once_in(3);
  plan.callbacks = random.once_in(2);
  if (random.once_in(3)) plan.gap = Duration(1ms) * any_size(random, 300);
  const std::uint64_t ending = random.below(12);
  if (ending < 2) plan.ending = Ending::end_with_last;
  if (ending == 2) plan.ending = Ending::destroy_soon;
  if (ending == 3) plan.ending = Ending::destroy;
  if (ending > 3 && ending < 6) plan.ending = Ending::wait;
  if (random.once_in(3)) {
    plan.pauses_once_in = static_cast<unsigned>(random.between(1, 10));
    plan.pause_max = Duration(1ms) * any_size(random, 2000);
  }
  if (random.once_in(6)) plan.hoards = Duration(1ms) * any_size(random, 3000);
  if (greedy && random.once_in(2)) plan.hoards = 3s;
  if (random.once_in(5)) plan.acts_once_in = static_cast<unsigned>(random.between(3, 40));
  if (random.once_in(4)) {
    plan.act_at = Duration(1ms) * any_size(random, 8000);
    plan.act = static_cast<Act>(random.below(static_cast<std::uint64_t>(Act::count)));
  }
  plan.starts_paused = random.once_in(8);
  plan.destroys_on_timeout = random.once_in(2);
  return plan;
}

net::SocketOptions random_socket_options(sim::Random& random) {
  net::SocketOptions options;
  if (random.once_in(2)) {
    options.queue.high_water = static_cast<std::size_t>(any_size(random, 64 * 1024));
    const std::uint64_t low = random.below(options.queue.high_water);
    if (random.once_in(3)) options.queue.low_water = static_cast<std::size_t>(low);
    // Not another number of the generator's: what the others were for a seed they still are.
    if (low % 2 != 0) options.queue.zero_copy_from = 1 + static_cast<std::size_t>(low % 2000);
  }
  if (random.once_in(2)) {
    options.queue.bytes_max = static_cast<std::size_t>(any_size(random, 128 * 1024));
  }
  options.policy = static_cast<QueuePolicy>(random.below(3));
  const bool other = !random.once_in(3);
  if (options.policy == QueuePolicy::close && other) options.policy = QueuePolicy::drop;
  options.allow_half_open = random.once_in(2);
  options.no_delay = random.once_in(4);
  options.keep_alive = random.once_in(4);
  if (random.once_in(6)) options.timeout = Duration(1ms) * any_size(random, 20'000);
  return options;
}

// ---- Writing ----

bool End::can_write() const noexcept {
  return socket_ != nullptr && open_ && !ended_ && !detaching_ && killed_.empty() &&
         !reset_when_connected_ && !socket_->destroyed();
}

void End::pump() {
  if (plan_.sends != Sends::stream) return;
  for (int writes = 0; writes < kWritesAtOnce; ++writes) {
    if (!can_write() || refused_ || (needs_drain_ && plan_.respects_full)) return;
    if (sent_ >= plan_.total) return finish_sending();
    const std::uint64_t left = plan_.total - sent_;
    std::uint64_t size = any_size(run_.random(), plan_.write_max);
    if (run_.random().once_in(60)) size = 0;
    size = std::min(size, left);
    const std::string bytes = stream_of(id_, sent_, static_cast<std::size_t>(size));
    if (size == left && plan_.ending == Ending::end_with_last) {
      write_last(bytes);
      return;
    }
    Buffer buffer = Buffer::copy(bytes);
    write(buffer);
    if (plan_.gap > Duration::zero()) return pump_later(run_.random().up_to(plan_.gap));
  }
  pump_later(Duration::zero());
}

void End::pump_later(Duration delay) {
  if (open_) pump_timer_ = place_.reactor().after(delay, [this] { pump(); });
}

// Precondition: can_write(). Moves from `bytes` when they are taken.
Write End::write(Buffer& bytes) {
  if (!socket_->writable()) fail("writable() is false, but nothing has ended");
  const std::size_t size = bytes.size();
  const std::size_t before = queued();
  const std::uint64_t form = run_.random().below(2);
  const std::uint64_t next = callbacks_due_ + 1;
  Write result = Write::closed;
  {
    Call call(run_);
    net::Socket& socket = *socket_;
    if (plan_.callbacks) {
      result = is_buffer(form) ? socket.write(std::move(bytes), callback(next, size))
                               : socket.write(bytes.view(), callback(next, size));
    } else {
      result = is_buffer(form) ? socket.write(std::move(bytes)) : socket.write(bytes.view());
    }
  }
  if (plan_.callbacks && result != Write::refused) callbacks_due_ = next;
  if (result == Write::refused && bytes.size() != size) fail("a refused write took the bytes");
  noted(result, size, before);
  return result;
}

Write End::write_last(std::string_view bytes) {
  const std::size_t before = queued();
  Write result = Write::closed;
  {
    Call call(run_);
    result = plan_.callbacks ? socket_->end(bytes, end_callback()) : socket_->end(bytes);
  }
  if (plan_.callbacks && result != Write::refused) ++end_callbacks_due_;
  run_.count("end with last bytes");
  noted(result, bytes.size(), before);
  if (result == Write::ok || result == Write::full) ended_ = true;
  return result;
}

// What the answer must be is known exactly.
Write End::noted(Write result, std::size_t size, std::size_t before) {
  const net::QueueLimits& limits = options_.queue;
  const bool fits = before == 0 || size == 0 ||
                    (size <= limits.bytes_max && before <= limits.bytes_max - size);
  const std::size_t after = queued();
  static const char* const kNames[] = {"write ok", "write full", "write refused", "write closed"};
  run_.count(kNames[static_cast<std::size_t>(result)]);
  switch (result) {
    case Write::ok:
    case Write::full:
      if (after != before + size) fail("writable_length() does not count what was written");
      if (!fits) fail("a write was taken above the queue's limit");
      if (result == Write::ok && size != 0 && after >= limits.high_water) {
        fail("`ok` at the high-water mark");
      }
      if (result == Write::full && after < limits.high_water && !place_.has_budget()) {
        fail("`full` below the high-water mark");
      }
      needs_drain_ = needs_drain_ || result == Write::full;
      sent_ += size;
      run_.count("bytes", size);
      break;
    case Write::refused:
      needs_drain_ = refused_ = true;
      if (fits) fail("a write was refused below the queue's limit");
      if (after != before) fail("a refused write was queued");
      if (options_.policy == QueuePolicy::close) fail("refused, but the policy is to close");
      if (options_.policy == QueuePolicy::drop) {
        run_.count("policy drop");
        if (socket_->dropped_writes() != dropped_before_ + ++dropped_) {
          fail("dropped_writes() is wrong");
        }
      } else {
        run_.count("policy pause");
      }
      break;
    case Write::closed:
      if (fits || options_.policy != QueuePolicy::close) fail("`closed` without a reason");
      run_.count("policy close");
      killed_ = "the policy of its queue";
      code_expected_ = errno_code(ENOBUFS);
      break;
  }
  return result;
}

net::WriteDone End::callback(std::uint64_t number, std::size_t size) {
  const std::uint64_t out = socket_->bytes_written() + size;
  return [this, number, out](net::Socket& socket, std::error_code code) {
    run_.count(code ? "callback with error" : "callback");
    if (run_.in_call) fail("the callback of a write inside a call of net");
    if (is_gone_ || close_seen_) fail("the callback of a write after the end");
    if (number != callbacks_seen_ + 1) fail("the callback of a write out of order, or twice");
    callbacks_seen_ = number;
    if (code && !socket.destroyed()) fail("the callback of a write has an error without a reason");
    if (!code && socket.bytes_written() - socket.writable_length() < out) {
      fail("the callback of a write before its bytes were out");
    }
    act_at_random();
  };
}

net::WriteDone End::end_callback() {
  return [this](net::Socket&, std::error_code) {
    run_.count("callback of end()");
    if (run_.in_call) fail("the callback of end() inside a call of net");
    if (is_gone_ || close_seen_) fail("the callback of end() after the end");
    if (end_callbacks_due_-- == 0) fail("the callback of end() twice");
  };
}

// ---- Echoing by hand ----

void End::echo(Buffer bytes) {
  if (!can_write()) return;
  to_echo_.push_back(std::move(bytes));
  flush_echo();
}

void End::flush_echo() {
  if (plan_.sends != Sends::echo) return;
  while (!to_echo_.empty() && can_write() && !refused_) {
    if (write(to_echo_.front()) == Write::refused) break;
    to_echo_.pop_front();
  }
  if (end_seen_ && to_echo_.empty() && options_.allow_half_open) return end_side();
  update_reading();
}

// ---- Ending ----

void End::finish_sending() {
  switch (plan_.ending) {
    case Ending::end:
    case Ending::end_with_last: return end_side();
    case Ending::destroy_soon: return act(Act::destroy_soon);
    case Ending::destroy: return act(Act::destroy);
    case Ending::wait:
      if (end_seen_) end_side();
      return;
  }
}

void End::end_side() {
  if (!can_write()) return;
  ended_ = true;
  cut_ = cut_ || !end_seen_ || !to_echo_.empty();
  to_echo_.clear();
  update_reading();
  const bool with_callback = run_.random().once_in(3);
  if (with_callback) ++end_callbacks_due_;
  Call call(run_);
  with_callback ? socket_->end(end_callback()) : socket_->end();
}

bool End::may_break_off() const noexcept {
  return socket_ != nullptr && open_ && killed_.empty() && !reset_when_connected_ &&
         !socket_->destroyed();
}

void End::act_at_random() {
  if (plan_.acts_once_in == 0 || run_.finishing || !run_.random().once_in(plan_.acts_once_in)) {
    return;
  }
  // What ends a connection comes less often, so that there is something to end.
  auto what = static_cast<Act>(run_.random().below(static_cast<std::uint64_t>(Act::count)));
  if (what <= Act::detach && !run_.random().once_in(4)) what = Act::small_things;
  act(what);
}

void End::act(Act what) {
  if (!may_break_off() || run_.failed()) return;
  if (what == Act::remove && client_ == nullptr) what = Act::destroy;
  // A pipe writes on whatever its user does: that would be a mistake of the user's.
  const bool ends = what == Act::end || what == Act::destroy_soon || what == Act::write_after_end;
  if (piped_to() && ends) what = Act::destroy;
  // A connection that is being handed over does not end.
  if (detaching_ && ends) what = Act::small_things;
  if (run_.logs()) run_.log(name_, std::string("does: ") + act_name(what));
  run_.count(std::string("act ") + act_name(what));
  switch (what) {
    case Act::end: return end_side();
    case Act::destroy: {
      killed_ = "destroy()";
      Call call(run_);
      return socket_->destroy();
    }
    case Act::destroy_with_code: {
      killed_ = "destroy(code)";
      code_expected_ = errno_code(EPROTO);
      Call call(run_);
      return socket_->destroy(code_expected_);
    }
    case Act::destroy_soon: {
      ends_soon_ = ended_ = cut_ = true;
      Call call(run_);
      return socket_->destroy_soon();
    }
    case Act::reset: return reset();
    case Act::remove: return place_.remove(*client_);
    case Act::write_after_end: return write_after_end();
    case Act::detach: return detach();
    case Act::cork: return cork_for_a_while();
    case Act::pause: return pause_for_a_while(1s);
    case Act::small_things: return small_things();
    case Act::count: return;
  }
}

void End::reset() {
  Call call(run_);
  const bool connecting = socket_->connecting();
  if (!socket_->reset_and_destroy()) return;  // no TCP
  run_.count("reset");
  if (connecting) {
    reset_when_connected_ = true;
  } else {
    killed_ = "reset_and_destroy()";
  }
}

void End::stop() {
  if (!may_break_off()) return;
  killed_ = "its stop token";
  code_expected_ = Mistake::aborted;
}

void End::write_after_end() {
  if (!can_write() || piped_to()) return;
  end_side();
  killed_ = "a write after end()";
  code_expected_ = Mistake::write_after_end;
  Call call(run_);
  if (socket_->write("x") != Write::closed) fail("a write after end() was taken");
}

void End::cork_for_a_while() {
  if (!can_write() || corked_) return;
  corked_ = true;
  socket_->cork();
  const Duration delay = run_.random().up_to(300ms);
  cork_timer_ = place_.reactor().after(delay, [this] {
    if (!std::exchange(corked_, false) || socket_ == nullptr) return;
    Call call(run_);
    socket_->uncork();
  });
}

void End::small_things() {
  Call call(run_);
  switch (run_.random().below(6)) {
    case 0: return socket_->set_no_delay(run_.random().once_in(2));
    case 1: return socket_->set_keep_alive(run_.random().once_in(2), 30s);
    case 2: return socket_->unref();
    case 3: return socket_->ref();
    case 4: {
      const Duration timeout = Duration(1ms) * run_.random().below(3000);
      if (!socket_->set_timeout(timeout)) fail("set_timeout() is refused");
      return;
    }
    default: socket_->resume(); paused_ = false;
  }
}

// ---- Handing over to another socket ----

void End::detach() {
  if (!can_write() || !connected_ || end_seen_ || piped_to()) return;
  detaching_ = true;
  stop_timers();
  slow_ = false;
  Call call(run_);
  const auto done = [this](net::Socket& from, Expected<net::Detached> given) {
    detached(from, std::move(given));
  };
  const auto started = socket_->detach(done);
  if (!started) fail("detach() is refused: " + started.error().message());
}

void End::detached(net::Socket& from, Expected<net::Detached> given) {
  if (run_.in_call) fail("the callback of detach() inside a call of net");
  if (!detaching_ || &from != socket_) return fail("the callback of detach() twice");
  detaching_ = false;
  if (!given) {
    ended_ = true;  // 'close' follows
    if (run_.logs()) run_.log(name_, "not detached: " + given.error().message());
    if (killed_.empty() && !given.error().code) fail("not detached for no reason");
    return;
  }
  if (!killed_.empty()) return fail("detached although it was destroyed");
  if (queued() != 0) return fail("detached with bytes in the queue");
  written_before_ += from.bytes_written();
  detached_from_ = &from;
  if (client_ != nullptr) client_->end = nullptr;
  client_ = nullptr;
  for (Buffer& bytes : given->unread) {
    take(bytes.view());
    if (plan_.sends == Sends::echo) to_echo_.push_back(std::move(bytes));
  }
  place_.adopt(*this, given->fd);
}

// ---- The end of a run ----

void End::finish_up() {
  if (!open_ || socket_ == nullptr) return;
  plan_.pauses_once_in = plan_.acts_once_in = 0;
  plan_.hoards = Duration::zero();
  if (plan_.ending == Ending::end_with_last) plan_.ending = Ending::end;
  stop_timers();
  slow_ = false;
  if (std::exchange(corked_, false)) {
    Call call(run_);
    socket_->uncork();
  }
  if (end_seen_ && !to_echo_.empty()) {
    to_echo_.clear();
    cut_ = true;
  }
  update_reading();
  const bool waits = piped_to() || (plan_.sends == Sends::echo && !end_seen_);
  if (!waits) end_side();
}

void End::check() {
  if (!open_ || socket_ == nullptr || !killed_.empty() || socket_->destroyed()) return;
  if (socket_->is_paused() != paused_) return fail("is_paused() is wrong");
  if (piped_to() || detaching_) return;
  if (!ended_ && needs_drain_ != socket_->writable_needs_drain()) {
    return fail(needs_drain_ ? "a 'drain' was left out" : "a 'drain' is due without a reason");
  }
  if (written() != sent_) fail("bytes_written() is wrong");
}

// Why an error may come.
void End::check_error(const Error& error) {
  if (code_expected_) {
    if (error.code != code_expected_) fail("not the error that it was destroyed with");
    return;
  }
  if (!killed_.empty()) return fail("an error after it was destroyed");
  const sim::Faults& faults = run_.faults;
  const std::string_view name = weir::name_of(error.code);
  const bool silent_peer = run_.broken_network || faults.stall > 0 || faults.jump > 0;
  bool may_be = name == "ECONNRESET" || name == "EPIPE";
  if (name == "ENOMEM") may_be = faults.no_memory > 0;
  const bool pipe_closes = piped_to() && options_.policy == QueuePolicy::close;
  if (name == "ENOBUFS") may_be = place_.has_budget() || pipe_closes;
  if (name == "ETIMEDOUT") may_be = !connected_ || silent_peer;
  if (!connected_) {
    const std::string_view of_connecting[] = {"ECONNREFUSED", "ENOENT",       "ENOTFOUND",
                                              "EAGAIN",       "EHOSTUNREACH",
                                              "ENETUNREACH",  "EADDRNOTAVAIL"};
    may_be = may_be || std::ranges::find(of_connecting, name) != std::end(of_connecting);
    if (name == "EMFILE") may_be = faults.no_descriptors > 0;
    if (name == "EAI_AGAIN") may_be = faults.no_lookup > 0;
  }
  if (!may_be) fail("an error without a reason: " + error.message());
}

void End::check_in_the_end() {
  if (open_) return fail("no 'close'");
  if (is_gone_) return;
  if (callbacks_seen_ != callbacks_due_) return fail("callbacks of writes did not come");
  if (end_callbacks_due_ != 0) return fail("callbacks of end() did not come");
  if (detached_from_ != nullptr) return fail("no 'close' after detach()");
  if (peer_ == nullptr) return;
  const auto excused = [](const End& end) {
    return !end.killed_.empty() || end.error_seen_ || end.is_gone_ || end.ends_soon_ ||
           end.drained_;
  };
  const bool broken = error_ == errno_code(ECONNRESET) || error_ == errno_code(EPIPE);
  const bool calm = run_.faults.reset == 0 && !run_.broken_network && !piped_to();
  if (broken && calm && !excused(*peer_)) return fail("a reset that nobody has sent");
  if (excused(*this) || excused(*peer_)) return;
  if (peer_->received_ != written()) {
    fail(peer_->name_ + " has got " + std::to_string(peer_->received_) + " of " +
         std::to_string(written()) + " bytes, and nobody has noticed");
  }
  // An echo that ended well has given back all that came.
  const bool gives_back = plan_.sends == Sends::echo || plan_.sends == Sends::pipe_back;
  if (gives_back && options_.allow_half_open && written() != received_ && !cut_) {
    fail("of " + std::to_string(received_) + " bytes it has given back " +
         std::to_string(written()));
  }
}

// Who waits for bytes that its peer cannot send any more, or for room that the peer does not make
// because it waits for the same, waits for ever; that is the program's affair.
const char* End::may_wait() const {
  // Nor does a connection read that is being handed over.
  const bool refused = refused_ || (piped_to() && queued() != 0);  // a pipe tells nobody
  const bool throttled = detaching_ || (refused && options_.policy == QueuePolicy::pause);
  if (peer_ == nullptr) {
    if (run_.broken_network) return "for a peer that nobody knows";
    // Two ends that have read nothing do not know each other.
    const bool other_full = std::ranges::any_of(run_.ends, [this](const auto& end) {
      return end.get() != this && end->open() && end->peer_ == nullptr && end->queued() != 0;
    });
    return throttled && other_full ? "for room, and so does its peer" : nullptr;
  }
  if (peer_->host_crashed_) return "for a host that has crashed";
  if (peer_->error_ == errno_code(ETIMEDOUT)) return "for a peer that has given up";
  const bool peer_scarce = !peer_->is_gone_ && peer_->place_.memory_scarce();
  if (place_.memory_scarce() || peer_scarce) return "for receive memory";
  const bool peer_full = peer_->queued() != 0;
  if (throttled && peer_full) return "for room, and so does its peer";
  if (place_.has_budget() && queued() != 0 && peer_full) return "for the budget";
  return nullptr;
}

}  // namespace weir::test
