// A server's side of one connection: requests in, responses out in their order. Private to http.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include "weir/http/client_error.h"
#include "weir/http/request_parser.h"
#include "weir/http/response_head.h"
#include "weir/net/socket.h"
#include "weir/net/stream.h"
#include "weir/reactor/reactor.h"
#include "weir/reactor/timer_wheel.h"
#include "http/exchange.h"

namespace weir::inline v1::http {

class HttpPart;
struct ServerCore;

// Invariants:
//   1. Exchanges stand in the pipeline in the order of their requests, and only the first one's
//      output goes to the stream: responses leave whole, in order, each byte once.
//   2. Behind an exchange that ends the connection, an error or an upgrade, nothing is parsed and
//      nothing answered.
//   3. Handlers run from run() only, and from on_stream_closed(): never inside a call of a handler.
//      An exchange is given back only there, when none of its listeners is running.
//   4. While input waits here the stream is paused. Output that waits counts, here or in the
//      stream, and above the high-water mark no further request is parsed.
//   5. One timer; it may go off early, never late: what is due is decided when it does.
//
//     reading --- error, last response, FIN ---> closing --- answered, output out ---> lingering
//        |                                                                                 |
//        '-- upgrade: the stream is somebody else's            FIN, 1 MiB or 2 s: closed --'
//
// Owner: HttpPart's slab; it goes in a task of its own after on_stream_closed() or release().
class Connection final : private net::StreamUser, private Task {
 public:
  Connection(ServerCore& core, net::Socket& socket) noexcept;
  ~Connection();

  // The server goes: nobody is told any more.
  void abandon() noexcept;
  // After abandon(), or when the stream is let go of: nothing may be touched but memory.
  bool gone() const noexcept;

  net::Socket& socket() const noexcept { return socket_; }
  void destroy(std::error_code code) { socket_.destroy(code); }
  // Between requests, or silent from the start.
  bool is_idle() const noexcept;
  // The server closes: an idle connection goes now, any other after what it has in work.
  void server_closes();

  // For Request and Response. -------------------------------------------------------------------
  // Does, soon, what has become possible.
  void look_again() noexcept;
  // In a round of its own: a callback that causes the next one must not keep the reactor to itself.
  void look_again_later() noexcept;
  ResponseFacts response_facts(const Exchange& exchange,
                               std::optional<std::uint64_t> body_size);
  void put_head(Exchange& exchange, const ResponsePlan& plan);
  void put(Exchange& exchange, std::string_view text);
  void put(Exchange& exchange, Buffer&& bytes);
  void put(Exchange& exchange, net::FileRange&& range);
  // The client was told to send its body.
  void continued(const Exchange& exchange) noexcept;
  // Everything of its response was put.
  void answered(Exchange& exchange, bool complete) noexcept;
  // Bytes that the kernel has not taken, of all responses.
  std::size_t queued() const noexcept;
  bool is_full_for(const Exchange& exchange, std::size_t size) const noexcept;
  bool is_full_for_file(const Exchange& exchange) const noexcept;
  bool is_above_high_water() const noexcept;
  void report_unhandled(const Error& error) const;

 private:
  friend struct ServerCore;
  enum class Phase : std::uint8_t { reading, closing, lingering, surrendered };
  struct Failure {
    ClientError error;
    bool silent = false;  // a part of an answer is out: nothing more may follow
  };
  // An answered response: when its request came, and where it ends in the connection's output.
  struct Unsent {
    Instant begun;
    std::uint64_t end_at;
  };
  struct Deadline : TimerNode {
    explicit Deadline(Connection& its_connection) noexcept
        : TimerNode(on_fire), connection(its_connection) {}
    static void on_fire(TimerNode& node) noexcept;
    Connection& connection;
    Instant due;  // when armed
  };

  void on_stream_data(Buffer bytes) noexcept override;
  void on_stream_end() noexcept override;
  void on_stream_sent(bool drained) noexcept override;
  void on_stream_idle() noexcept override;
  void on_stream_closed(const Error& error) noexcept override;

  // Output of this one, gathered by its server, goes to the stream.
  void flush_staged();
  void send_staged();

  // Everything that can be done now. Functions that call handlers return false when the connection
  // is gone after it.
  void run() noexcept;
  bool read();
  bool can_read() const noexcept;
  bool take_step(const Step& step);
  void consume(std::size_t size) noexcept;
  void drop_used_input() noexcept;
  std::string_view packet() const noexcept;
  bool begin_request(std::size_t consumed);
  bool dispatch(Exchange& exchange);
  bool is_upgrade_wanted(const Exchange& exchange);
  bool begin_upgrade(Exchange& exchange);
  bool meet_expectation(Exchange& exchange);
  bool drop(Exchange& exchange);
  bool call(net::Event<Request&, Response&>& event, Exchange& exchange);
  bool read_body(const Step& step);
  bool end_request();
  bool end_input();
  bool tell();
  bool has_work() const noexcept;

  // connection_output.cc
  bool advance();
  void take_turn(Exchange& exchange) noexcept;
  void forget_waiting(const Exchange& exchange) noexcept;
  void send_waiting(Exchange& exchange);
  bool leave_pipeline(Exchange& exchange);
  bool tell_leaving();
  bool tell_pipeline();
  bool hand_over(Exchange& exchange);
  bool retire(Exchange& exchange);
  void send(std::string_view text);
  void send(Buffer&& bytes);
  void send(net::FileRange&& range);
  void give_to_stream(Buffer&& bytes);
  void given(net::Write result);
  bool goes_out(const Exchange& exchange) const noexcept;
  std::size_t staged() const noexcept;
  std::size_t in_stream() const noexcept;
  std::uint64_t sent() const noexcept;
  void count_answered(Exchange& exchange) noexcept;
  void count_written() noexcept;
  void count_sent() noexcept;
  void output_left() noexcept;
  void measure(std::uint64_t in_kernel) noexcept;

  // connection_end.cc
  bool fail_parse();
  bool fail(const ClientError& error);
  bool cut_reading();
  bool answer_failure();
  bool drop_pipeline();
  bool finish_closing();
  void close_after_output();
  void discard(std::size_t size);
  void check_linger() noexcept;
  bool is_at_rest() const noexcept;
  bool cut_request(Exchange& exchange, std::error_code code);
  bool cut_off(Exchange& exchange, std::error_code code);
  void condemn() noexcept;

  // connection_time.cc
  bool waits_to_be_continued() const noexcept;
  Instant deadline() const noexcept;
  Instant body_deadline() const noexcept;
  bool check_deadline();
  void arm() noexcept;
  void update_flow();
  void credit_pause() noexcept;
  Instant now() const noexcept { return reactor_.now(); }

  Reactor& reactor_;
  HttpPart& part_;
  ServerCore& core_;
  net::Socket& socket_;
  net::Stream& stream_;
  RequestParser parser_;
  Buffer input_;                      // received, not parsed
  std::size_t parsed_ = 0;            // bytes before it, of the same receive and message
  IntrusiveList<Exchange> pipeline_;  // dispatched, not answered
  IntrusiveList<Exchange> leaving_;   // answered
  Exchange* reading_ = nullptr;       // whose body comes
  std::uint32_t pipelined_ = 0;
  std::uint32_t index_ = 0;           // in the server's list
  std::uint64_t requests_ = 0;
  std::uint64_t out_ = 0;             // bytes of output that went to the stream
  net::Queued waiting_;               // output that waits for its turn
  std::uint64_t counted_written_ = 0;  // of out_ and waiting_
  std::uint64_t counted_sent_ = 0;     // of sent(), when the stream told something last
  std::vector<Unsent> unsent_;        // measured responses that are not all with the kernel
  std::uint64_t body_bytes_ = 0;      // of the request that is being read
  std::uint64_t dropped_bytes_ = 0;   // of its body, or while lingering: read for nobody
  std::optional<Failure> failure_;
  Deadline timer_;
  Instant message_begun_;             // or the connection, before the first
  Instant body_begun_;
  Instant idle_since_;
  Instant blocked_since_;
  Instant linger_until_;
  Phase phase_ = Phase::reading;
  bool unasked_ = false;  // bytes of its body have come without the 100 that the client asked for
  bool running_ = false;
  bool again_ = false;         // while running: something has become possible
  bool stream_full_ = false;   // it said so
  bool gone_ = false;
  bool paused_ = false;        // by us: the client's time does not run
  bool input_ended_ = false;   // the peer's FIN
  bool at_limit_ = false;      // requests_per_socket_max is answered: close when input is used up
};

}  // namespace weir::inline v1::http
