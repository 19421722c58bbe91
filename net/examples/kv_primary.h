// The node that clients speak to.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "net/examples/kv_lines.h"
#include "net/examples/kv_pulse.h"
#include "net/examples/kv_service.h"
#include "weir/net/server.h"

namespace weir::example::kv {

class Primary final : public Node {
 public:
  Primary(Reactor& reactor, const Options& options, Disk& disk, HeartbeatsByPeer& heartbeats);

 private:
  // Of a client, or, once it has said FOLLOW, the link to a follower.
  struct Connection {
    net::Socket* socket = nullptr;
    std::uint64_t id = 0;
    Lines lines;
    bool waits = false;            // a client, for the acknowledgement of its SET
    std::string follower = {};
    std::size_t acknowledged = 0;  // entries that are on the follower's disk
    std::size_t sent = 0;          // and those that are on the way
    std::size_t asked = 0;         // the end of what PULL has asked for
    Instant heard = {};
  };
  // A SET whose entry is the last one of the first `position`.
  struct Waiting {
    std::size_t position;
    std::uint64_t connection;
  };

  void listen();
  void accept(net::Socket& socket);
  void receive(Connection& from, std::string_view bytes);
  bool take(Connection& from, std::string_view line);
  bool take_of_client(Connection& client, std::string_view line);
  bool take_of_follower(Connection& link, std::string_view line);
  void set(Connection& client, std::string_view key, std::string_view value);
  void get(Connection& client, std::string_view key);
  bool follow(Connection& link, std::string_view name, std::uint64_t position);
  bool recover_entry(std::uint64_t number, std::string_view key, std::string_view value);
  void recover();
  void replicate(Connection& link);
  void commit();
  bool serves() const { return disk_.complete && committed_ >= must_be_committed_; }
  Connection* link_of(std::string_view follower);
  static bool write(Connection& to, std::string_view bytes);
  void beat();

  Reactor& reactor_;
  const Options options_;
  Disk& disk_;
  HeartbeatsByPeer& heartbeats_;
  net::Server server_;
  std::map<std::uint64_t, Connection> connections_;  // by id
  std::uint64_t last_id_ = 0;
  std::map<std::string, std::string, std::less<>> values_;  // of the first committed_ entries
  std::size_t committed_ = 0;
  std::size_t must_be_committed_;  // what this life has found in the log
  std::deque<Waiting> waiting_;
  std::set<std::string> heard_of_;  // while the disk is not complete
  std::size_t longest_log_ = 0;     // of those
  Timer listen_timer_;
  Pulse pulse_;
};

}  // namespace weir::example::kv
