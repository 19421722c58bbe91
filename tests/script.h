// Scripts of what is done to sockets: plain data, made at random, written down, read back, shrunk.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/random.h"

namespace weir::test {

inline constexpr unsigned kSlots = 3;

enum class Act : std::uint8_t {
  connect,
  refused,  // connecting to where nobody listens
  write,
  end,
  destroy,
  destroy_error,
  destroy_soon,
  reset,
  pause,
  resume,  // a silent side begins to listen for 'data'
  blink,   // pause(), and resume() in a deferred task
  timeout,
  cork,
  uncork,
  detach,  // and another Socket adopts the connection
  pipe,    // into itself: an echo
  server_close,
  listen,
};

// Now, or in the next such event of the side.
enum class Moment : std::uint8_t {
  now,
  connecting,  // right after connect()
  connect,     // of a peer: in the server's 'connection'
  data,        // the first one; an act that ends or stops something: with the last byte
  end,
  drain,
  finish,
  timeout,
  close,
};

enum class Side : std::uint8_t { client, peer };

struct Step {
  Act act = Act::connect;
  Moment when = Moment::now;
  unsigned slot = 1;  // of kSlots
  Side side = Side::client;
  std::size_t size = 0;   // bytes
  unsigned times = 1;     // of a write: so often in one go
  bool callback = false;  // of write and end
  bool operator==(const Step&) const = default;
};

struct SideOptions {
  bool half_open = false;
  bool silent = false;  // no 'data' listener until resume
  bool text = false;    // set_encoding(utf8)
  bool no_delay = false;
  bool keep_alive = false;
  std::size_t high_water = 0;  // 0: the default
  std::size_t queue_max = 0;   // likewise
  bool operator==(const SideOptions&) const = default;
};

struct Script {
  bool over_unix = false;
  bool pause_on_connect = false;
  std::size_t max_connections = 0;  // 0: no limit
  std::array<SideOptions, 2> sides;
  std::vector<Step> steps;
  bool operator==(const Script&) const = default;
};

// "unix client.silent max=1 : c1 connect ; p1 in data end 5 cb ; c1 write 1000 x3"
std::string text(const Script& script);
// Nothing when it is no script.
std::optional<Script> parse(std::string_view line);

// Some of its steps will find that there is nothing for them to do; the runner passes over them.
Script generate(Random& random);

// Delta debugging: a script that still fails, from which no step can be left out, with as few
// options and as small numbers as were found in at most `runs_max` calls of `still_fails`.
Script shrink(Script script, const std::function<bool(const Script&)>& still_fails,
              int runs_max = 300);

}  // namespace weir::test
