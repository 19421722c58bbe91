// A small replicated key-value service over TCP, as an example of something worth testing: three
// nodes, each with a disk; one of them is the primary, the others follow its log. It knows nothing
// of the simulator, in which kv_simulation.cc runs it for a year.
//
// Clients speak to the primary in lines, one request at a time:
//
//     SET key value  ->  OK            it is on the disks of the primary and of a follower
//     GET key        ->  VALUE value   or NONE
//     anything       ->  BUSY          not done: a disk is new, or there is no follower
//
// Keys and values have no spaces; a line that is none of these ends the connection.
//
// Followers dial the primary, and say how much of its log they have:
//
//     FOLLOW name n  ->                a new link takes the place of the follower's last one
//                    <-  ENTRY n key value      everything from there on, in order
//     ACK n          ->                the first n entries are on the follower's disk
//                    <-  PULL n        the primary's disk is new: it asks for ENTRY n and so on
//     BEAT          <->                every 60 s; a link that is silent for 150 s is given up
//
// What it guarantees, whatever crashes, is cut off or reset, and when: an acknowledged SET is never
// lost, and GETs are linearizable. One disk may be replaced by an empty one at any time, when the
// last one that was replaced has been filled again. The reasons:
//
//   1. The primary is always the same node and alone gives entries their numbers, so the log of a
//      follower is the beginning of the primary's.
//   2. A SET is acknowledged, and visible to GET, when its entry is on two disks of the three.
//   3. A primary with an empty disk first hears of both followers and takes the longer log: what
//      was acknowledged is in it, because one of the two has it; what it drops nobody has seen.
//   4. A primary that starts does not know which entries of its log were acknowledged. It serves
//      when a follower has all of them.
//
// What it does not do: without the primary, or without both followers, there is no service. The log
// is never shortened.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "weir/reactor/reactor.h"

namespace weir::example::kv {

inline constexpr Duration kHeartbeat = std::chrono::seconds(60);
inline constexpr Duration kSilenceMax = std::chrono::seconds(150);
inline constexpr Duration kRetryMax = std::chrono::seconds(30);
inline constexpr Duration kConnectMax = std::chrono::seconds(10);

struct Entry {
  std::string key;
  std::string value;
};

// What a node finds again when it restarts; the caller keeps it. What is written is there at once.
struct Disk {
  std::vector<Entry> log;
  bool complete = false;  // the primary's: nothing that was acknowledged is missing in the log
};

// Of the link to one peer, over all lives of a node.
struct Heartbeats {
  std::uint64_t sent = 0;
  std::uint64_t missed = 0;  // were due while the link was down
};
using HeartbeatsByPeer = std::map<std::string, Heartbeats>;

// A race to be found, against reason 3: a primary with an empty disk takes the log of the follower
// that is first to dial. If that one was away for a while, acknowledged SETs are lost.
enum class Bug : std::uint8_t { none, first_follower_is_enough };

struct Options {
  std::string name;  // of this node
  std::string primary;
  std::vector<std::string> followers;  // two
  int port = 7100;
  Bug bug = Bug::none;
};

// Runs from its making to its destruction.
class Node {
 public:
  virtual ~Node() = default;
};

// `disk` and `heartbeats` are the caller's and outlive the node.
std::unique_ptr<Node> start_node(Reactor& reactor, const Options& options, Disk& disk,
                                 HeartbeatsByPeer& heartbeats);

}  // namespace weir::example::kv
