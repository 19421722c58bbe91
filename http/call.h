// A request of a client with its response: what an agent has in work. Private to http.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string_view>
#include <system_error>

#include "weir/http/client_request.h"
#include "weir/http/step.h"
#include "weir/reactor/intrusive_list.h"
#include "weir/reactor/reactor.h"
#include "weir/reactor/timer_wheel.h"
#include "http/waiting.h"

namespace weir::inline v1::http {

class ClientConnection;
struct AgentCore;
struct Origin;

//     waiting --> with a connection --> response begun --> response complete --> over
//        ^          |      |                |               (its connection may be
//        '- retry --'      '--- failed -----'-------------> another's already)
//
// Invariants:
//   1. Listeners run from run(), 'timeout' from what the stream tells, and neither is nested: not
//      inside a call of a listener.
//   2. It is over exactly once: 'close' is told, and then nothing is touched any more. A failure
//      is told once, to the response if there is one, else to the request.
//   3. `written` bytes were put; those that are not in `waiting` are the connection's, in order.
//   4. While it may be sent again, `replay` has all the bytes that the connection was given.
//
// Owner: HttpPart, which uses it again and destroys it last: weak references may look at it.
// In the list of its origin while it waits for a connection, else in the agent's.
struct Call final : ListNode {
  Call() noexcept : request(*this), response(*this), runner(*this), deadline(*this) {}
  void reset() noexcept;

  // For its request and its response: see outgoing_message_impl.h.
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

  // For the agent and the connection.
  void begin(AgentCore& its_agent, Origin& its_origin) noexcept;
  void limit_time(Duration limit);
  void watch(const std::stop_token& stop);
  // It has this connection from now on.
  void take(ClientConnection& its_connection);
  // Everything that can be done now. Nothing may be touched behind it: it may be over.
  void run() noexcept;
  // Ends it, soon. The first failure counts.
  void fail(Error error) noexcept;
  void fail_silently() noexcept;
  void destroy(std::error_code code) noexcept;
  // No byte of its output is with the kernel.
  bool is_unsent() const noexcept;
  // Its connection is gone: with this error, or with none by the server's FIN.
  void lose_connection(const Error& error);
  Duration timeout() const noexcept { return request.idle_timeout_; }
  void tell_timeout();
  // The agent goes: nothing is told any more.
  void abandon() noexcept;

  AgentCore* agent = nullptr;  // null: not in use
  Origin* origin = nullptr;
  ClientConnection* connection = nullptr;
  std::uint64_t number = 0;  // of all calls; 0: not in use
  ClientRequest request;
  ClientResponse response;
  Waiting waiting;            // without a connection, or corked
  Waiting replay;
  std::uint64_t written = 0;  // bytes of its output
  std::uint64_t sent = 0;     // and those of them that the kernel has taken
  bool own_connection = false;
  bool is_waiting = false;    // for a connection

 private:
  friend class ClientRequest;
  friend class ClientResponse;
  struct Runner : Task {
    explicit Runner(Call& its_call) noexcept
        : Task([](Task& task) noexcept { static_cast<Runner&>(task).call.run(); }),
          call(its_call) {}
    Call& call;
  };
  struct Deadline : TimerNode {
    explicit Deadline(Call& its_call) noexcept : TimerNode(on_fire), call(its_call) {}
    static void on_fire(TimerNode& node) noexcept;
    Call& call;
  };
  struct Stop {
    Call* call;
    void operator()() const noexcept;
  };

  // Each returns false when the agent is gone, or this is over.
  bool tell_request();
  bool read();
  bool take_step(const Step& step);
  bool end_input();
  bool begin_response();
  bool tell_interim();
  bool hand_over(net::Event<ClientUpgrade&>& event);
  bool complete_response();
  bool settle();
  bool end_failed();
  bool end();

  bool can_read() const noexcept;
  bool goes_out() const noexcept;
  bool has_stream() const noexcept;
  bool all_sent() const noexcept;
  bool is_done_with_connection() const noexcept;
  bool is_idempotent() const noexcept;
  std::size_t in_stream() const noexcept;
  net::Queued stream_sizes() const noexcept;
  bool retry();
  void fail_parse();
  void give(Buffer&& bytes);
  void give(net::FileRange&& range);
  void flush();
  void keep_for_replay(std::string_view text);
  void keep_for_replay(const Buffer& bytes);
  bool has_room_for_replay(std::size_t size) noexcept;
  void give_up_replay() noexcept;
  void let_connection_go();

  Runner runner;
  Deadline deadline;
  std::optional<std::stop_callback<Stop>> stop_callback;
  std::optional<Error> failure;
  std::size_t interim = 0;       // responses
  bool socket_told = false;
  bool replayable = false;
  bool retried = false;
  bool response_begun = false;   // 'response' is told, or being told
  bool failure_told = false;
  bool continued = false;        // a 100 has come
  bool over = false;
  bool running = false;
  bool again = false;            // while running: something has become possible
};

}  // namespace weir::inline v1::http
