#include "net/examples/kv_primary.h"

#include <algorithm>

#include "net/examples/kv_protocol.h"

namespace weir::example::kv {

namespace {

constexpr std::size_t kWaitingMax = 1024;
constexpr Duration kListenAgain = std::chrono::seconds(1);
constexpr Duration kIdleMax = std::chrono::hours(1);

}  // namespace

Primary::Primary(Reactor& reactor, const Options& options, Disk& disk,
                 HeartbeatsByPeer& heartbeats)
    : reactor_(reactor),
      options_(options),
      disk_(disk),
      heartbeats_(heartbeats),
      server_(reactor, {.socket = {.no_delay = true, .timeout = kIdleMax}}),
      must_be_committed_(disk.log.size()),
      pulse_(reactor, kHeartbeat, [this] { beat(); }) {
  server_.on_connection([this](net::Socket& socket) { accept(socket); });
  server_.on_data([this](net::Socket& socket, Buffer bytes) {
    receive(*static_cast<Connection*>(socket.user_data), bytes.view());
  });
  server_.on_drain([](net::Socket& socket) { socket.resume(); });
  server_.on_timeout([](net::Socket& socket) { socket.destroy(); });
  // 'close' follows: whoever it was comes again.
  server_.on_error([](net::Socket&, const Error&) {});
  server_.on_server_error([](net::Server&, const Error&) {});
  server_.on_close([this](net::Socket& socket, std::error_code) {
    connections_.erase(static_cast<Connection*>(socket.user_data)->id);
  });
  listen();
}

void Primary::listen() {
  if (server_.listen({.port = options_.port})) return;
  listen_timer_ = reactor_.after(kListenAgain, [this] { listen(); });
}

void Primary::accept(net::Socket& socket) {
  Connection& connection = connections_[++last_id_];
  connection.socket = &socket;
  connection.id = last_id_;
  socket.user_data = &connection;
}

void Primary::receive(Connection& from, std::string_view bytes) {
  from.heard = reactor_.now();
  if (!from.lines.feed(bytes, [&](std::string_view line) { return take(from, line); })) {
    from.socket->destroy();
    return;
  }
  recover();
  commit();
}

bool Primary::take(Connection& from, std::string_view line) {
  return from.follower.empty() ? take_of_client(from, line) : take_of_follower(from, line);
}

bool Primary::take_of_client(Connection& client, std::string_view line) {
  if (client.waits) return false;  // answers leave in the order of the requests
  const auto [command, key, value, more] = words_of(line);
  if (key.empty() || !more.empty()) return false;
  if (command == "FOLLOW") {
    std::uint64_t position = 0;
    return read_number(value, position) && follow(client, key, position);
  }
  if (command == "SET" && !value.empty()) {
    set(client, key, value);
    return true;
  }
  if (command == "GET") {
    get(client, key);
    return true;
  }
  return false;
}

bool Primary::take_of_follower(Connection& link, std::string_view line) {
  const auto [command, number, key, value] = words_of(line);
  std::uint64_t n = 0;
  if (command == "BEAT") return true;
  if (!read_number(number, n)) return false;
  if (command == "ENTRY") return recover_entry(n, key, value);
  if (command != "ACK" || n > link.sent) return false;
  link.acknowledged = std::max<std::size_t>(link.acknowledged, n);
  replicate(link);
  return true;
}

// ---- Clients ----

void Primary::set(Connection& client, std::string_view key, std::string_view value) {
  if (!serves() || waiting_.size() == kWaitingMax) {
    write(client, "BUSY\n");
    return;
  }
  disk_.log.push_back({.key = std::string(key), .value = std::string(value)});
  waiting_.push_back({.position = disk_.log.size(), .connection = client.id});
  client.waits = true;
  for (auto& [id, connection] : connections_) {
    if (!connection.follower.empty()) replicate(connection);
  }
}

void Primary::get(Connection& client, std::string_view key) {
  if (!serves()) {
    write(client, "BUSY\n");
    return;
  }
  const auto found = values_.find(key);
  write(client, found == values_.end() ? "NONE\n" : "VALUE " + found->second + '\n');
}

// What a follower has is on two disks.
void Primary::commit() {
  if (!disk_.complete) return;
  std::size_t on_two_disks = committed_;
  for (const auto& [id, connection] : connections_) {
    on_two_disks = std::max(on_two_disks, connection.acknowledged);
  }
  for (; committed_ < on_two_disks; ++committed_) {
    const Entry& entry = disk_.log[committed_];
    values_[entry.key] = entry.value;
  }
  for (; !waiting_.empty() && waiting_.front().position <= committed_; waiting_.pop_front()) {
    const auto client = connections_.find(waiting_.front().connection);
    if (client == connections_.end()) continue;
    client->second.waits = false;
    write(client->second, "OK\n");
  }
}

// ---- Followers ----

bool Primary::follow(Connection& link, std::string_view name, std::uint64_t position) {
  if (std::ranges::find(options_.followers, name) == options_.followers.end()) return false;
  if (disk_.complete && position > disk_.log.size()) return false;
  if (Connection* last = link_of(name); last != nullptr) last->socket->destroy();
  link.follower = name;
  link.acknowledged = link.sent = position;
  if (!disk_.complete) {
    heard_of_.insert(link.follower);
    longest_log_ = std::max<std::size_t>(longest_log_, position);
  }
  replicate(link);
  return true;
}

void Primary::replicate(Connection& link) {
  if (!disk_.complete) return;
  const std::size_t end = std::min(link.acknowledged + kWindow, disk_.log.size());
  std::string lines;
  for (; link.sent < end; ++link.sent) lines += line_of(link.sent, disk_.log[link.sent]);
  if (!lines.empty()) write(link, lines);
}

bool Primary::recover_entry(std::uint64_t number, std::string_view key, std::string_view value) {
  if (number > disk_.log.size()) return false;
  // The other follower may have been faster.
  if (disk_.complete || number < disk_.log.size()) return true;
  disk_.log.push_back({.key = std::string(key), .value = std::string(value)});
  return true;
}

void Primary::recover() {
  if (disk_.complete) return;
  const std::size_t size = disk_.log.size();
  const std::size_t enough =
      options_.bug == Bug::first_follower_is_enough ? 1 : options_.followers.size();
  disk_.complete = heard_of_.size() >= enough && size >= longest_log_;
  if (disk_.complete) must_be_committed_ = size;
  for (auto& [id, link] : connections_) {
    if (link.follower.empty()) continue;
    if (disk_.complete) {
      replicate(link);
    } else if (link.acknowledged > size && link.asked <= size) {
      link.asked = size + kWindow;
      write(link, "PULL " + std::to_string(size) + '\n');
    }
  }
}

// The one that stands: an older one may still wait for its 'close'.
Primary::Connection* Primary::link_of(std::string_view follower) {
  for (auto& [id, connection] : connections_) {
    if (connection.follower == follower && !connection.socket->destroyed()) return &connection;
  }
  return nullptr;
}

// False: the connection is gone, or its queue is full to the limit, which ends it.
bool Primary::write(Connection& to, std::string_view bytes) {
  switch (to.socket->write(bytes)) {
    case net::Write::ok:
      return true;
    case net::Write::full:
      to.socket->pause();
      return true;
    default:
      to.socket->destroy();
      return false;
  }
}

void Primary::beat() {
  for (const std::string& follower : options_.followers) {
    Connection* link = link_of(follower);
    if (link != nullptr && reactor_.now() - link->heard > kSilenceMax) link->socket->destroy();
    if (link != nullptr && write(*link, "BEAT\n")) {
      ++heartbeats_[follower].sent;
    } else {
      ++heartbeats_[follower].missed;
    }
  }
}

}  // namespace weir::example::kv
