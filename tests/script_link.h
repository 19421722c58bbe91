// What a running script knows of its connections without asking a backend: what was done to each
// side, what must come of it, and which steps have one outcome only.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/script.h"
#include "tests/trace.h"

namespace weir::test {

// What every kernel takes at once for a peer that does not read. Beyond it, how much is still
// queued differs between backends, and so does what depends on it.
inline constexpr std::size_t kKernelTakes = 16'000;
inline constexpr std::size_t kBytesMax = 8'000'000;  // one way of a connection
inline constexpr std::size_t kTextMax = 100'000;     // likewise, when it is text
inline constexpr std::size_t kLinksMax = 6;

// What every side sends: text with something invalid here and there. kBytesMax bytes.
const std::string& source();

struct Link;

// One side of one connection.
struct End {
  Side side = Side::client;
  const SideOptions* options = nullptr;
  Link* link = nullptr;
  End* other = nullptr;
  Track* track = nullptr;         // events
  Track* calls = nullptr;         // callbacks, and answers of calls
  net::Socket* socket = nullptr;  // null: not accepted yet, or gone
  std::string received;
  std::string expected;  // what the other side has sent, as this side is to see it
  net::TextDecoder decoder{net::Encoding::utf8};
  std::size_t sent = 0;            // taken by write()
  std::size_t released = 0;        // and not corked
  std::deque<unsigned> callbacks;  // of writes, to come
  unsigned end_callbacks = 0;      // likewise
  unsigned calls_made = 0;
  unsigned corks = 0;
  bool listens = false;
  bool paused = false;
  bool piped = false;
  bool connected = false;  // of a peer: accepted
  bool detaching = false;
  bool blinking = false;
  bool ended = false;  // end() was called
  bool has_end = false;
  bool finished = false;
  bool gone = false;    // destroyed by a step, or about to be when all is sent
  bool doomed = false;  // it must close, whatever else happens
  bool closed = false;
  bool stuffed = false;          // the other side does not read and was sent more than kKernelTakes
  std::size_t stuffed_from = 0;  // its queue then; the kernel takes some of it
  bool needs_drain = false;
  bool shell = false;  // of a detached socket: nothing more is done to it

  bool consuming() const { return listens && !paused; }
  bool ending() const { return ended || (has_end && !options->half_open); }
  bool lost() const { return gone || closed; }
  bool complete() const { return received.size() >= expected.size(); }
  // No part of a character is held back.
  bool whole() const { return decoder.held().empty(); }
  // Bytes that have come, or will, and that nobody reads.
  std::size_t waiting() const {
    return consuming() || closed || complete() ? 0 : expected.size() - received.size();
  }
  void expect(std::string_view bytes);
};

// One connection, from connect() to both closes.
struct Link {
  unsigned slot = 0;
  bool dropped = false;  // max_connections: the server closes it at once
  bool cut = false;      // a side resets, or destroys with bytes queued: a prefix comes through
  bool vague = false;    // likewise, while a 'finish' was under way: it comes or not
  End ends[2];

  bool awaits_peer() const { return !ends[1].connected && !ends[1].closed; }
};

struct Slot {
  std::vector<std::unique_ptr<net::Socket>> sockets;  // of the client; the last one is in use
  Link* link = nullptr;
  std::optional<Step> hook;  // one, so that no two handlers race

  bool hooked(Side side, Moment when) const {
    return hook && hook->side == side && hook->when == when;
  }
};

// True for what must not come before all bytes have, as it would cut them off.
bool waits_for_all(Act act);

// True when a handler that does this has the same effect whenever it runs.
bool may_arm(const Script& script, const Slot& slot, const Step& step);

// It closes as soon as the kernel has taken all, which nobody can tell.
bool may_have_closed(const End& end);

// True when what follows is the contract's to say, and not a race's. The same on every backend:
// it looks only at what steps have done, and at what has settled.
bool permitted(const Script& script, const Slot& slot, const Step& step, const End& end);

}  // namespace weir::test
