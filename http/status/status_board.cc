#include "weir/http/status/status_board.h"

#include <algorithm>

namespace weir::inline v1::http {
namespace {

void add_stats(ServerStats& sum, const ServerStats& one) {
  net::ServerCounters& connections = sum.connections;
  connections.accepted += one.connections.accepted;
  connections.dropped += one.connections.dropped;
  connections.open += one.connections.open;
  sum.requests_begun += one.requests_begun;
  sum.requests_answered += one.requests_answered;
  sum.requests_taken_over += one.requests_taken_over;
  sum.requests_cut_off += one.requests_cut_off;
  sum.refusals += one.refusals;
  for (std::size_t i = 0; i < sum.responses.size(); ++i) sum.responses[i] += one.responses[i];
  sum.bytes_in += one.bytes_in;
  sum.bytes_out += one.bytes_out;
  sum.queue_bytes += one.queue_bytes;
  if (!one.latency) return;
  if (!sum.latency) sum.latency.emplace();
  sum.latency->add(*one.latency);
}

}  // namespace

StatusBoard::Seat::~Seat() {
  if (board_ != nullptr) board_->remove(*server_);
}

StatusBoard::Seat StatusBoard::add(const Server& server) {
  const std::lock_guard lock(mutex_);
  servers_.push_back(&server);
  return {*this, server};
}

// What it holds goes with it.
void StatusBoard::remove(const Server& server) noexcept {
  const std::lock_guard lock(mutex_);
  std::erase(servers_, &server);
  ServerStats last = server.stats();
  last.requests_cut_off += last.requests_in_flight();
  last.connections.open = 0;
  last.queue_bytes = 0;
  add_stats(gone_, last);
}

StatusSample StatusBoard::sample() const {
  const std::lock_guard lock(mutex_);
  StatusSample sample{.servers = gone_, .reactors = {}};
  std::vector<const Reactor*> seen;
  bool all_limited = !servers_.empty();
  std::size_t open_max = 0;
  for (const Server* server : servers_) {
    const ServerStats stats = server->stats();
    add_stats(sample.servers, stats);
    all_limited = all_limited && stats.connections.open_max;
    open_max += stats.connections.open_max.value_or(0);
    const Reactor* reactor = &server->reactor();
    if (std::ranges::find(seen, reactor) != seen.end()) continue;
    seen.push_back(reactor);
    sample.reactors.push_back(reactor->counters());
  }
  if (all_limited) sample.servers.connections.open_max = open_max;
  return sample;
}

}  // namespace weir::inline v1::http
