// What is decided before a run of the swarm begins: the server's options, what each client sends,
// and what each request asks of its handler. Pure: no sockets.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/swarm.h"
#include "weir/http/field.h"
#include "weir/http/server_options.h"
#include "weir/reactor/sim_random.h"

namespace weir::test::http_swarm {

// The bytes [at, at + size) of body `key`. size <= kNoiseBytes.
std::string_view noise(std::uint64_t key, std::uint64_t at, std::size_t size);
inline constexpr std::size_t kNoiseBytes = std::size_t{1} << 20;
bool is_noise(std::uint64_t key, std::uint64_t at, std::string_view bytes);

enum class Reads : std::uint8_t { nothing, everything, part, drops, collects, echoes };
enum class Framed : std::uint8_t { automatic, length, chunked, trailer, until_close, head_first };
enum class Slip : std::uint8_t { none, too_long, too_short, two_framings, write_after_end };
enum class Breaks : std::uint8_t { nothing, response, request, socket };
enum class Continues : std::uint8_t { at_once, later, never };

// What a handler does with a request; a function of the script in its target.
struct Answer {
  bool watched = true;  // false: answered at once, and nobody listens
  int status = 200;
  Reads reads = Reads::nothing;
  std::uint64_t stops_at = 0;    // Reads::part: bytes, then a pause
  Duration stops_for = Duration::zero();  // zero: until it is answered
  bool waits_for_end = false;    // of the request
  Duration delay = Duration::zero();
  std::uint64_t size = 0;        // of the body
  std::size_t piece_max = 1;
  Duration gap = Duration::zero();
  bool respects_full = true;
  bool callbacks = false;
  bool end_takes_last = false;   // with the last piece
  Framed framed = Framed::automatic;
  bool says_close = false;
  unsigned interims = 0;         // 102 and 103
  Duration corked = Duration::zero();
  Slip slip = Slip::none;
  Breaks breaks = Breaks::nothing;
  std::uint64_t breaks_at = 0;   // bytes of the body
  Continues continues = Continues::at_once;
  bool acts_on_server = false;
};
Answer answer_of(std::uint64_t script);

// What is wrong with a request.
enum class Wrong : std::uint8_t { nothing, head, body, cut };

// One request, as it is sent.
struct Item {
  std::uint32_t line = 0;    // its connection
  std::uint32_t number = 0;  // of its connection's, from 1
  std::uint64_t script = 0;
  Answer answer;
  std::string canonical;     // the head as a handler sees it, see canonical_head()
  std::string trailers;      // likewise
  bool to_head = false;
  bool one_zero = false;
  bool keeps = true;         // the client wants the connection kept
  bool chunked = false;
  bool expects = false;      // 100-continue
  bool expects_other = false;
  bool upgrades = false;
  bool connects = false;
  Wrong wrong = Wrong::nothing;
  int wrong_status = 0;
  bool has_upgrade = false;  // in its head, whatever becomes of it
  std::uint64_t body_size = 0;  // as far as it is right
  std::size_t begin = 0;     // in the text of its line
  std::size_t body_begin = 0;
  std::size_t end = 0;

  std::uint64_t key() const noexcept { return line * std::uint64_t{4096} + number; }
  std::uint64_t body_key() const noexcept { return key() * 2 + 1; }
  std::uint64_t answer_key() const noexcept { return key() * 2; }
  bool has_tunnel() const noexcept { return upgrades || connects; }
};

// What the server does besides answering requests.
struct ServerPlan {
  http::ServerOptions options;
  bool checks_continue = false;     // listens
  bool checks_expectation = false;
  bool takes_upgrades = false;
  bool takes_connects = false;
  bool sees_drops = false;
  bool hears_timeouts = false;
  unsigned client_errors = 0;       // 0: no listener; 1: answers; 2: destroys
};
ServerPlan random_server(sim::Random& random);

// How a client behaves on one connection.
struct LinePlan {
  unsigned depth = 1;               // requests sent and not answered
  std::size_t write_max = 1;
  Duration gap = Duration::zero();  // between writes
  Duration think = Duration::zero();
  unsigned pauses_once_in = 0;
  Duration pause_max = Duration::zero();
  bool obeys_close = true;
  Duration patience = Duration::zero();  // for a 100; zero: endless
  std::uint64_t breaks_at = 0;      // bytes received; 0: never
  Duration breaks_after = Duration::zero();
  bool resets = false;              // breaks off by a reset
  bool ends_early = false;          // FIN right behind the last byte
  bool waits_for_end = false;       // of the server
  bool half_open = true;
  std::size_t stalls_at = SIZE_MAX;  // of the text: sends no more
};

struct Script {
  LinePlan plan;
  std::string text;
  std::vector<Item> items;
  bool has_ghosts = false;  // behind a wrong one: never to be answered
  std::uint64_t tunnel_size = 0;  // behind the last item
};
Script random_script(sim::Random& random, std::uint32_t line, const ServerPlan& server);

// Bytes that go through a tunnel, each way.
inline std::uint64_t tunnel_key(std::uint32_t line, bool from_client) noexcept {
  return (std::uint64_t{1} << 40) + line * 2 + (from_client ? 1 : 0);
}

// For the log.
std::string describe(const Item& item);
std::string describe(const ServerPlan& plan);

std::string hex(std::uint64_t value);
// "GET /1 HTTP/1.1\nname: value\n"
std::string canonical_head(std::string_view method, std::string_view target, int version_minor,
                           std::span<const http::Field> fields);
std::string canonical_fields(std::span<const http::Field> fields);

}  // namespace weir::test::http_swarm
