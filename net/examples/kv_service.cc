#include "net/examples/kv_service.h"

#include "net/examples/kv_follower.h"
#include "net/examples/kv_primary.h"

namespace weir::example::kv {

std::unique_ptr<Node> start_node(Reactor& reactor, const Options& options, Disk& disk,
                                 HeartbeatsByPeer& heartbeats) {
  if (options.name == options.primary) {
    return std::make_unique<Primary>(reactor, options, disk, heartbeats);
  }
  return std::make_unique<Follower>(reactor, options, disk, heartbeats);
}

}  // namespace weir::example::kv
