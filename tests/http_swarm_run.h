// What both sides of one run share: what was sent, what the handlers have done, what is wrong.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tests/http_swarm.h"
#include "tests/http_swarm_plan.h"
#include "weir/reactor/sim_world.h"

namespace weir::test::http_swarm {

// What a handler has done with a request, and what it was told. Outlives both.
struct Told {
  bool seen = false;
  bool watched = false;
  bool alone = false;      // end() was all that was written
  bool settled = false;    // something of the answer was asked for
  bool ended = false;      // end() was taken
  bool continued = false;  // a 100 was asked for
  bool failed = false;     // 500: the head cannot be
  bool broken = false;     // the handler has ended the connection
  unsigned interims = 0;
  std::uint64_t written = 0;  // bytes of the body that were taken
  Instant ended_at;
  bool complete = false;   // the request: 'end'
  bool finished = false;
  bool response_closed = false;
  bool request_closed = false;
};

// One connection, from both sides.
struct Line {
  std::uint32_t id = 0;
  std::string name;
  Script script;
  std::vector<Told> told;           // as script.items
  std::vector<Instant> item_begun;  // the first byte was written
  std::string excuse;               // why it may be cut off anywhere
  bool started = false;
  Instant begun;
  std::error_code error;   // at the client
  bool error_expected = false;
  bool connected = false;
  bool sent_all = false;
  std::string address;     // of the client, once it is connected
  bool over = false;       // at the client
  bool crashed = false;    // the client's host
  bool broken = false;     // by the client
  bool accepted = false;   // the server has seen a request of it
  bool server_over = false;
  bool acted_on = false;   // the server was closed, or the like, meanwhile
  std::uint32_t seen_last = 0;  // number of the last request that was dispatched

  const Item& item(std::size_t index) const { return script.items[index]; }
};

class Run : public SwarmRun {
 public:
  using SwarmRun::SwarmRun;

  Instant now() const { return world->now(); }
  void excuse(Line& line, std::string_view why);
  // The server is closed, or the like: what is open may end.
  void acted_on_server();
  // The shortest time after which a request may be answered with 408; kNever: none.
  Duration request_patience() const;
  // Whether the kernel or the network may have caused this error.
  bool may_fail(std::error_code code) const;
  Line* line_from(std::string_view address);

  ServerPlan server;
  bool server_down = true;                                        // does not listen
  std::map<std::string, std::string, std::less<>> server_errors;  // of connections, by address
  std::vector<std::unique_ptr<Line>> lines;
};

}  // namespace weir::test::http_swarm
