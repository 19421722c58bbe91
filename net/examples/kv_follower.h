// A node that keeps a copy of the primary's log.
#pragma once

#include <string_view>

#include "net/examples/kv_lines.h"
#include "net/examples/kv_pulse.h"
#include "net/examples/kv_service.h"
#include "weir/net/socket.h"

namespace weir::example::kv {

class Follower final : public Node {
 public:
  Follower(Reactor& reactor, const Options& options, Disk& disk, HeartbeatsByPeer& heartbeats);

 private:
  void dial();
  void dial_later();
  void greet();
  void receive(std::string_view bytes);
  bool take(std::string_view line);
  bool append(std::uint64_t number, std::string_view key, std::string_view value);
  void give(std::uint64_t from);
  void beat();

  Reactor& reactor_;
  const Options options_;
  Disk& disk_;
  Heartbeats& heartbeats_;
  net::Socket link_;
  Lines lines_;
  std::size_t acknowledged_ = 0;
  Instant heard_;
  Duration retry_;
  Timer retry_timer_;
  Pulse pulse_;
};

}  // namespace weir::example::kv
