// What a server has done so far, and what it holds now.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "weir/http/latency.h"
#include "weir/net/server.h"

namespace weir::inline v1::http {

// Totals only grow. Each number is of a moment of its own: a request may be counted as answered
// here whose bytes are not counted yet.
// A request that was begun is answered, taken over or cut off in the end; until then it is in
// flight.
struct ServerStats {
  static constexpr std::size_t kClasses = 6;  // 1xx to 5xx, and what is above

  net::ServerCounters connections;
  std::uint64_t requests_begun = 0;       // whose heads were complete and good
  std::uint64_t requests_answered = 0;    // the response has ended, in its turn
  std::uint64_t requests_taken_over = 0;  // by 'upgrade' or 'connect': no response is known
  std::uint64_t requests_cut_off = 0;     // the connection ended first, or their body was wrong
  // What was no request, or came too slowly: ClientErrors. Without a listener for them their
  // answers are in `responses`.
  std::uint64_t refusals = 0;
  std::array<std::uint64_t, kClasses> responses = {};  // by status / 100 - 1; 1xx without 100, 102,
                                                       // 103, which come before a response
  // Of HTTP; what came and went after a connection was taken over is not in it.
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;   // with the kernel
  std::uint64_t queue_bytes = 0;  // written and not yet with the kernel, now
  // Nothing without ServerOptions::measure_latency, which says what is measured.
  std::optional<LatencyCounts> latency = {};

  std::uint64_t requests_in_flight() const noexcept {
    const std::uint64_t over = requests_answered + requests_taken_over + requests_cut_off;
    return requests_begun > over ? requests_begun - over : 0;
  }
};

}  // namespace weir::inline v1::http
