#include "tests/net_swarm_end.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace weir::test {
namespace {

constexpr std::size_t kPeriod = 65521;  // a prime: no size of a buffer divides it
constexpr std::size_t kHoardMax = 64;

// Bytes that look random, long enough for any part of any stream in one piece.
const std::string& noise() {
  static const std::string bytes = [] {
    std::string made(kPeriod + (std::size_t{1} << 20), '\0');
    std::uint64_t state = 1;
    for (std::size_t i = 0; i < kPeriod; ++i) {
      state = state * 6364136223846793005U + 1442695040888963407U;
      made[i] = static_cast<char>(state >> 56);
    }
    for (std::size_t i = kPeriod; i < made.size(); ++i) made[i] = made[i - kPeriod];
    return made;
  }();
  return bytes;
}

// The stream of a connection behind its header. Precondition: size <= 1 MiB.
std::string_view body(std::uint32_t id, std::uint64_t at, std::size_t size) {
  const std::uint64_t start = (id * std::uint64_t{2654435761} + at) % kPeriod;
  return std::string_view(noise()).substr(start, size);
}

char header_byte(std::uint32_t id, std::size_t at) {
  const std::uint32_t word = at < 4 ? id : ~id;
  return static_cast<char>(word >> (at % 4 * 8));
}

std::string number(std::uint64_t value) { return std::to_string(value); }

std::string plain_ip(const Address& address) {
  std::string ip = address.host();
  if (ip.starts_with("::ffff:")) ip.erase(0, 7);
  return ip + ":" + std::to_string(address.port());
}

}  // namespace

std::string stream_of(std::uint32_t id, std::uint64_t at, std::size_t size) {
  std::string part(body(id, at, size));
  for (std::size_t i = 0; i < size && at + i < kHeaderBytes; ++i) {
    part[i] = header_byte(id, static_cast<std::size_t>(at) + i);
  }
  return part;
}

// ---- Run ----

End* Run::end(std::uint32_t id) noexcept {
  return id >= 1 && id <= ends.size() ? ends[id - 1].get() : nullptr;
}

void Run::match(End& end, const Address& client, const Address& server) {
  if (client.family() == Family::none) return;
  std::string key = plain_ip(client) + ">" + plain_ip(server);
  if (key.starts_with("127.") || key.starts_with("::1:")) {
    key = end.place().name() + " " + key;
  }
  const auto found = unmatched.find(key);
  const bool new_one = found == unmatched.end();
  if (new_one || found->second->was_accepted() == end.was_accepted()) {
    unmatched[key] = &end;
    return;
  }
  end.peer_ = found->second;
  end.peer_->peer_ = &end;
  unmatched.erase(found);
}

// ---- Life ----

End::End(Run& run, Place& place, std::uint32_t id, const Plan& plan,
         const net::SocketOptions& options)
    : run_(run),
      place_(place),
      id_(id),
      plan_(plan),
      options_(options),
      name_(place.name() + " #" + std::to_string(id)) {}

void End::fail(std::string_view what) {
  run_.fail(name_, std::string(what) + " [" + state() + "]");
}

void End::take_socket(net::Socket& socket) {
  socket_ = &socket;
  socket.user_data = this;
  open_ = true;
  paused_ = paused_ever_ = socket.is_paused();
  dropped_before_ = socket.dropped_writes();
  dropped_ = 0;
}

void End::accepted() {
  accepted_ = connected_ = ready_ = true;
  if (run_.logs()) run_.log(name_, "accepted; " + state());
  run_.count("event connection");
  run_.match(*this, socket_->remote_address(), socket_->local_address());
  start();
}

void End::connecting() {
  if (run_.logs()) run_.log(name_, "connects; " + state());
  run_.count("connect");
  const bool early = run_.random().once_in(2);
  if (plan_.starts_paused) pause_for_a_while(plan_.pause_max);
  update_reading();
  if (early) pump();
}

// On a socket that has taken the connection over from another one.
void End::adopted() {
  run_.count("adopted");
  accepted_ = accepted_ || client_ == nullptr;
  connected_ = ready_ = true;
  end_seen_ = needs_drain_ = refused_ = corked_ = false;
  paused_ = socket_->is_paused();
  update_reading();
  flush_echo();
  pump();
}

void End::start() {
  if (plan_.act != Act::count) {
    const Duration delay = run_.random().up_to(plan_.act_at);
    act_timer_ = place_.reactor().after(delay, [this] { act(plan_.act); });
  }
  if (accepted_ && plan_.starts_paused) pause_for_a_while(plan_.pause_max);
  if (plan_.sends == Sends::pipe_back) {
    run_.count("pipe to itself");
    net::pipe(*socket_, *socket_);
  }
  if (run_.finishing) return finish_up();
  update_reading();
  pump();
}

void End::stop_timers() noexcept {
  for (Timer* timer : {&pump_timer_, &pause_timer_, &act_timer_, &hoard_timer_, &cork_timer_}) {
    *timer = Timer();  // one that has fired must not outlive its reactor either
  }
  hoard_.clear();
}

void End::killed_by(std::string_view who) noexcept {
  if (open_ && socket_ != nullptr && !socket_->destroyed() && killed_.empty()) killed_ = who;
}

void End::drained_by_server() noexcept {
  if (!open_) return;
  drained_ = true;
  if (!ended_ && !detaching_) ended_ = true;
}

void End::gone(bool crashed) {
  host_crashed_ = host_crashed_ || crashed;
  if (is_gone_) return;
  if (run_.logs()) run_.log(name_, crashed ? "its host has crashed" : "removed");
  if (socket_ != nullptr) written_before_ += socket_->bytes_written();
  is_gone_ = true;
  crashed_ = crashed && open_;
  open_ = false;
  socket_ = nullptr;
  to_echo_.clear();
  stop_timers();
  if (relay_ != nullptr && !crashed) relay_->act(Act::destroy);
}

std::uint64_t End::written() const noexcept {
  return written_before_ + (socket_ == nullptr ? 0 : socket_->bytes_written());
}

std::string End::state() const {
  static const char* const kSends[] = {"sends nothing", "sends", "echoes", "pipes back", "relays"};
  std::string text = accepted_ ? "server, " : "client, ";
  text += kSends[static_cast<std::size_t>(plan_.sends)];
  if (plan_.sends == Sends::stream) text += " " + number(plan_.total);
  text += ", sent " + number(sent_) + ", received " + number(received_);
  if (peer_ != nullptr) text += ", peer " + peer_->name_;
  if (socket_ != nullptr) text += ", queued " + number(queued());
  const std::pair<bool, const char*> flags[] = {
      {options_.allow_half_open, "half-open allowed"}, {is_gone_, "gone"},
      {!open_, "closed"}, {!connected_, "not connected"}, {paused_, "paused"},
      {ended_, "ended"}, {ends_soon_, "ends soon"}, {drained_, "drained by server"},
      {detaching_, "detaching"}, {needs_drain_, "needs drain"}, {refused_, "refused"},
      {corked_, "corked"}, {end_seen_, "'end' seen"}, {finish_seen_, "'finish' seen"},
      {error_seen_, "'error' seen"}};
  for (const auto& [on, flag] : flags) {
    if (on) text += std::string(", ") + flag;
  }
  if (!killed_.empty()) text += ", killed by " + killed_;
  if (error_) text += ", " + std::string(weir::name_of(error_));
  return text;
}

// ---- Events ----

End* End::told(net::Socket& socket, std::string_view event) {
  End* end = static_cast<End*>(socket.user_data);
  // Of a run that has failed there may be connections without an end.
  return end != nullptr && end->enter(socket, event) ? end : nullptr;
}

bool End::enter(net::Socket& socket, std::string_view event) {
  if (run_.logs()) run_.log(name_, "'" + std::string(event) + "'");
  if (run_.failed()) return false;
  run_.count("event " + std::string(event));
  const std::string what = "'" + std::string(event) + "'";
  if (run_.in_call) fail(what + " inside a call of net");
  if (&socket == detached_from_) {
    if (event != "close") fail(what + " after it was detached");
    detached_from_ = nullptr;
    return false;
  }
  if (is_gone_) {
    fail(what + " of an object that is gone");
  } else if (close_seen_ || !open_) {
    fail(what + " after 'close'");
  } else if (error_seen_ && event != "close") {
    fail(what + " after 'error'");
  } else if (&socket != socket_) {
    fail(what + " of a foreign socket");
  }
  return !run_.failed();
}

void End::on_connect() {
  if (std::exchange(connected_, true)) return fail("a second 'connect'");
  run_.match(*this, socket_->local_address(), socket_->remote_address());
}

void End::on_ready() {
  if (!connected_) return fail("'ready' before 'connect'");
  if (std::exchange(ready_, true)) return fail("a second 'ready'");
  if (reset_when_connected_) {
    killed_by("reset while connecting");
    return;
  }
  start();
  act_at_random();
}

void End::on_data(Buffer bytes) {
  if (!ready_) return fail("'data' before 'ready'");
  if (end_seen_) return fail("'data' after 'end'");
  if (paused_) return fail("'data' after pause()");
  if (bytes.empty()) return fail("'data' without bytes");
  last_data_ = place_.reactor().now();
  take(bytes.view());
  if (run_.failed()) return;
  if (plan_.hoards > Duration::zero()) hoard(bytes.share());
  if (plan_.sends == Sends::echo) echo(std::move(bytes));
  if (socket_ == nullptr) return;
  if (plan_.pauses_once_in != 0 && run_.random().once_in(plan_.pauses_once_in)) {
    pause_for_a_while(plan_.pause_max);
  }
  act_at_random();
}

void End::on_end() {
  if (!ready_) return fail("'end' before 'ready'");
  if (std::exchange(end_seen_, true)) return fail("a second 'end'");
  if (detaching_) return;
  expect_whole_stream();
  flush_echo();
  act_at_random();
  if (socket_ == nullptr || !open_ || detaching_) return;
  if (!options_.allow_half_open) {
    ended_ = true;  // net does it when this handler has returned
    return;
  }
  const bool waits = plan_.sends == Sends::nothing ||
                     (plan_.sends == Sends::echo && to_echo_.empty()) ||
                     (plan_.sends == Sends::stream && sent_ >= plan_.total);
  if (waits) end_side();
}

void End::on_drain() {
  if (ended_ && !end_seen_) return fail("'drain' after end()");
  if (!killed_.empty() || socket_->destroyed()) return fail("'drain' after destroy()");
  if (!piped_to() && !std::exchange(needs_drain_, false)) {
    return fail("'drain' without anything that was full or refused");
  }
  refused_ = false;
  if (queued() > options_.queue.low_water) return fail("'drain' above the low-water mark");
  flush_echo();
  pump();
  act_at_random();
}

void End::on_finish() {
  if (std::exchange(finish_seen_, true)) return fail("a second 'finish'");
  if (!piped_to() && !ended_) return fail("'finish' without end()");
  if (queued() != 0) return fail("'finish' with bytes in the queue");
  if (end_callbacks_due_ != 0) return fail("'finish' before the callback of end()");
  if (callbacks_seen_ != callbacks_due_) return fail("'finish' before the callback of a write");
  ended_ = true;
  act_at_random();
}

void End::on_timeout() {
  const Duration timeout = socket_->timeout();
  if (timeout == Duration::zero()) return fail("'timeout' without a timeout");
  // What was held while paused, or for a full pipe, was read before.
  const bool held = paused_ever_ || piped_to();
  const bool read = !held && last_data_ != Instant::min();
  if (read && place_.reactor().now() - last_data_ < timeout) {
    return fail("'timeout' too early after 'data'");
  }
  if (plan_.destroys_on_timeout && !run_.finishing) act(Act::destroy);
}

void End::on_error(const Error& error) {
  error_seen_ = true;
  error_ = error.code;
  if (run_.logs()) run_.log(name_, error.message());
  run_.count("error " + std::string(weir::name_of(error.code)));
  check_error(error);
}

void End::on_close(std::error_code code) {
  if (run_.logs()) run_.log(name_, "closed: " + state());
  if (code != error_) return fail("'close' with another error than 'error'");
  if (callbacks_seen_ != callbacks_due_) return fail("'close' before the callback of a write");
  if (end_callbacks_due_ != 0) return fail("'close' before the callback of end()");
  const bool by_itself = !code && killed_.empty() && !ends_soon_ && !drained_;
  if (by_itself && !(finish_seen_ && end_seen_)) return fail("'close' without a reason");
  if (!piped_to() && written() != sent_) return fail("bytes_written() is wrong");
  if (!code && killed_.empty() && !doubt_.empty()) return fail(doubt_);
  const char* how = code ? "close with error" : by_itself ? "close gracefully" : "close killed";
  run_.count(how);
  written_before_ += socket_->bytes_written();
  open_ = false;
  close_seen_ = true;
  socket_ = nullptr;
  to_echo_.clear();
  stop_timers();
  if (!by_itself && relay_ != nullptr) relay_->act(Act::destroy);
  place_.ended(*this);
}

// ---- Receiving ----

void End::take(std::string_view bytes) {
  std::uint64_t at = received_;
  received_ += bytes.size();
  while (!bytes.empty() && at < kHeaderBytes) {
    header_[at++] = bytes.front();
    bytes.remove_prefix(1);
    if (at == kHeaderBytes && !know_source()) return;
  }
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, std::size_t{1} << 20);
    const std::string_view right = body(source_->id_, at, part.size());
    if (part != right) {
      const auto wrong = std::mismatch(part.begin(), part.end(), right.begin()).first;
      const auto offset = at + static_cast<std::uint64_t>(wrong - part.begin());
      const std::string_view found = part.substr(static_cast<std::size_t>(offset - at), 32);
      std::uint64_t real = kHeaderBytes;
      while (real < source_->sent_ && body(source_->id_, real, found.size()) != found) ++real;
      return fail("byte " + number(offset) + " of the stream of " + source_->name_ +
                  (real < source_->sent_ ? " is byte " + number(real) : " is none of it"));
    }
    at += part.size();
    bytes.remove_prefix(part.size());
  }
  if (source_ != nullptr && received_ > source_->sent_) fail("more came than was written");
  if (peer_ == nullptr || received_ <= peer_->written()) return;
  fail("more came than the peer has written");
}

bool End::know_source() {
  std::uint32_t id = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    id |= static_cast<std::uint32_t>(static_cast<unsigned char>(header_[i])) << (i * 8);
  }
  bool good = true;
  for (std::size_t i = 0; i < kHeaderBytes; ++i) good = good && header_[i] == header_byte(id, i);
  source_ = good ? run_.end(id) : nullptr;
  if (source_ == nullptr || source_->plan_.sends != Sends::stream) {
    fail("what came first is no header");
  } else if (!may_come_from(*source_)) {
    fail("bytes of the foreign connection " + source_->name_);
  }
  return !run_.failed();
}

// Over TCP both sides know each other; a Unix socket's other side is known by what it sends.
bool End::may_come_from(End& source) {
  if (peer_ != nullptr) {
    if (plan_.sends == Sends::relay || peer_->plan_.sends == Sends::relay) return true;
    return &source == peer_ || &source == this;
  }
  if (&source == this || run_.broken_network) return true;
  const bool direct = source.accepted_ != accepted_ && source.peer_ == nullptr &&
                      source.host_ == host_ && source.server_ == server_;
  if (direct && socket_->remote_address().family() == Family::none) {
    peer_ = &source;
    source.peer_ = this;
  }
  return true;
}

// A reset that a send has found first reads as an end; then 'error' must follow.
void End::expect_whole_stream() {
  if (peer_ == nullptr) return;
  const End& peer = *peer_;
  if (peer.finish_seen_) {
    if (received_ == peer.written()) return;
    doubt_ = "'end' after " + number(received_) + " bytes, but " + peer.name_ + " has sent " +
             number(peer.written());
    return;
  }
  const bool may_be = !peer.killed_.empty() || peer.error_seen_ || peer.drained_ ||
                      (peer.is_gone_ && !peer.crashed_) || peer.detaching_;
  if (!may_be) doubt_ = "an 'end' that " + peer.name_ + " has not sent: " + peer.state();
}

void End::hoard(Buffer bytes) {
  if (hoard_.size() >= kHoardMax) hoard_.clear();
  hoard_.push_back(std::move(bytes));
  run_.count("hoarded");
  if (hoard_timer_.armed()) return;
  hoard_timer_ = place_.reactor().after(plan_.hoards, [this] { hoard_.clear(); });
}

void End::pause_for_a_while(Duration most) {
  slow_ = true;
  update_reading();
  pause_timer_ = place_.reactor().after(run_.random().up_to(most), [this] {
    slow_ = false;
    update_reading();
  });
}

void End::update_reading() {
  if (socket_ == nullptr || !open_) return;
  const bool full = !to_echo_.empty() || (needs_drain_ && plan_.respects_full);
  const bool pause = slow_ || (plan_.sends == Sends::echo && full && can_write());
  if (pause == paused_) return;
  paused_ = pause;
  paused_ever_ = true;
  run_.count(pause ? "pause" : "resume");
  Call call(run_);
  pause ? socket_->pause() : socket_->resume();
}

}  // namespace weir::test
