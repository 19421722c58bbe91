#include "net/examples/kv_follower.h"

#include <algorithm>
#include <string>

#include "net/examples/kv_protocol.h"

namespace weir::example::kv {

namespace {

constexpr Duration kRetryMin = std::chrono::milliseconds(100);

}  // namespace

Follower::Follower(Reactor& reactor, const Options& options, Disk& disk,
                   HeartbeatsByPeer& heartbeats)
    : reactor_(reactor),
      options_(options),
      disk_(disk),
      heartbeats_(heartbeats[options.primary]),
      link_(reactor, {.no_delay = true}),
      retry_(kRetryMin),
      pulse_(reactor, kHeartbeat, [this] { beat(); }) {
  link_.on_connect([this](net::Socket&) { greet(); });
  link_.on_data([this](net::Socket&, Buffer bytes) { receive(bytes.view()); });
  // 'close' follows, and another attempt.
  link_.on_error([](net::Socket&, const Error&) {});
  link_.on_close([this](net::Socket&, std::error_code) { dial_later(); });
  dial();
}

void Follower::dial() {
  const auto dialing = link_.connect(
      {.host = options_.primary, .port = options_.port, .timeout = kConnectMax});
  if (!dialing) dial_later();
}

void Follower::dial_later() {
  retry_timer_ = reactor_.after(retry_, [this] { dial(); });
  retry_ = std::min(retry_ * 2, kRetryMax);
}

// Nothing comes over an older link any more: what is said here of the log stays true.
void Follower::greet() {
  lines_.clear();
  heard_ = reactor_.now();
  acknowledged_ = disk_.log.size();
  link_.write("FOLLOW " + options_.name + ' ' + std::to_string(acknowledged_) + '\n');
}

void Follower::receive(std::string_view bytes) {
  heard_ = reactor_.now();
  retry_ = kRetryMin;
  if (!lines_.feed(bytes, [this](std::string_view line) { return take(line); })) {
    link_.destroy();
    return;
  }
  if (acknowledged_ == disk_.log.size()) return;
  acknowledged_ = disk_.log.size();
  link_.write("ACK " + std::to_string(acknowledged_) + '\n');
}

bool Follower::take(std::string_view line) {
  const auto [command, number, key, value] = words_of(line);
  std::uint64_t n = 0;
  if (command == "BEAT") return true;
  if (!read_number(number, n)) return false;
  if (command == "ENTRY") return append(n, key, value);
  if (command == "PULL") {
    give(n);
    return true;
  }
  return false;
}

bool Follower::append(std::uint64_t number, std::string_view key, std::string_view value) {
  if (number != disk_.log.size()) return false;
  disk_.log.push_back({.key = std::string(key), .value = std::string(value)});
  return true;
}

void Follower::give(std::uint64_t from) {
  const std::size_t end = std::min<std::size_t>(from + kWindow, disk_.log.size());
  for (std::size_t i = from; i < end; ++i) link_.write(line_of(i, disk_.log[i]));
}

void Follower::beat() {
  const bool up = link_.ready_state() == net::ReadyState::open;
  if (up && reactor_.now() - heard_ > kSilenceMax) link_.destroy();
  if (up && link_.write("BEAT\n") != net::Write::closed) {
    ++heartbeats_.sent;
  } else {
    ++heartbeats_.missed;
  }
}

}  // namespace weir::example::kv
