// A request with its response: what a connection has in work. Private to http.
#pragma once

#include <cstdint>
#include <string_view>

#include "weir/http/response.h"
#include "weir/reactor/intrusive_list.h"
#include "http/waiting.h"

namespace weir::inline v1::http {

class Connection;

// Owner: HttpPart, which uses it again and destroys it last: weak references may look at it.
// In one list of its connection at a time:
//
//     pipeline   dispatched, in the order of the requests; only the first one's output goes out
//     leaving    answered; the kernel has not taken all of it, or its request is still being read
struct Exchange final : ListNode {
  Exchange() noexcept : request(*this), response(*this) {}

  // Forgets everything but the memory that it keeps for the next one.
  void reset() noexcept;

  // For its request and its response: calls of the connection.
  bool gone() const noexcept;
  void look_again() noexcept;
  void look_again_later() noexcept;
  void put(std::string_view text);
  void put(Buffer&& bytes);
  void put(net::FileRange&& range);
  void ended(bool complete_body) noexcept;
  std::size_t queued() const noexcept;
  bool is_full_for(std::size_t size) const noexcept;
  bool is_full_for_file() const noexcept;
  bool is_above_high_water() const noexcept;
  void report_unhandled(const Error& error) const;

  Connection* connection = nullptr;  // null: not in use
  std::uint64_t number = 0;          // of all exchanges; 0: not in use
  std::uint64_t ordinal = 0;         // of its connection's, from 1
  Request request;
  Response response;
  Waiting waiting;            // its turn has not come, or it is corked
  std::uint64_t written = 0;  // bytes of its output
  std::uint64_t begin_at = 0;  // in turn: where in the connection's output they begin
  bool in_turn = false;   // what is written goes out
  bool answered = false;  // its response has ended
  bool complete = true;   // answered: with all the bytes that its head has promised
  bool closes = false;    // its response says Connection: close, whatever else is the case
  bool upgrades = false;  // waits to be alone, for 'upgrade' or 'connect'
};

}  // namespace weir::inline v1::http
