// A client's connection, busy with one call or idle in the pool. Private to http.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "weir/http/response_parser.h"
#include "weir/net/socket.h"
#include "weir/net/stream.h"
#include "weir/reactor/intrusive_list.h"
#include "weir/reactor/timer_wheel.h"

namespace weir::inline v1::http {

class HttpPart;
struct AgentCore;
struct Call;
struct Origin;

// Invariants:
//   1. In the idle list of its origin, or busy with one call, or condemned.
//   2. The bytes of a call follow those of the one before, whose response was complete and whose
//      request was with the kernel.
//   3. While input waits here the stream is paused.
//
// Owner: HttpPart's slab; it goes in a task of its own after condemn().
class ClientConnection final : public ListNode, private net::StreamUser {
 public:
  // `counts`: for the limits of the agent.
  ClientConnection(AgentCore& agent, Origin& origin, bool counts);

  // For the agent.
  Expected<void> connect(net::ConnectOptions options);
  void begin(Call& call);
  // May another call have it?
  bool is_reusable() const noexcept;
  // Idle from now on; after so long it ends.
  void rest(Duration idle_time);
  // Ends without telling anybody. In no list then.
  void condemn() noexcept;
  bool counts() const noexcept { return counts_; }

  // For its call.
  net::Socket& socket() noexcept { return *socket_; }
  net::Stream& stream() noexcept { return *socket_; }
  ResponseParser& parser() noexcept { return parser_; }
  Buffer& input() noexcept { return input_; }
  bool input_ended() const noexcept { return input_ended_; }
  std::size_t in_stream() const noexcept { return socket_->writable_length(); }
  bool is_sending() const noexcept { return socket_->sending(); }
  // Nothing of a response has come since the call has it.
  bool is_silent() const noexcept { return silent_; }
  bool is_used() const noexcept { return calls_ > 1; }
  bool is_idle() const noexcept { return call_ == nullptr && calls_ != 0; }
  // The last response lets it be used again; its Keep-Alive, in seconds.
  void keep(bool reusable, std::optional<std::uint32_t> seconds) noexcept;
  std::optional<std::uint32_t> keep_alive_seconds() const noexcept { return keep_alive_seconds_; }
  // Whoever reads waits, or does not.
  void update_flow(bool reads);
  // For an upgrade: the socket without its protocol.
  std::unique_ptr<net::Socket> give_socket() noexcept;

  Origin& origin() const noexcept { return origin_; }

 private:
  struct IdleTimer : TimerNode {
    explicit IdleTimer(ClientConnection& its_connection) noexcept
        : TimerNode(on_fire), connection(its_connection) {}
    static void on_fire(TimerNode& node) noexcept;
    ClientConnection& connection;
  };

  void on_stream_data(Buffer bytes) noexcept override;
  void on_stream_end() noexcept override;
  void on_stream_sent(bool drained) noexcept override;
  void on_stream_idle() noexcept override;
  void on_stream_closed(const Error& error) noexcept override;

  AgentCore& agent_;
  HttpPart& part_;
  Origin& origin_;
  std::unique_ptr<net::Socket> socket_;
  ResponseParser parser_;
  Buffer input_;  // received, not parsed
  Call* call_ = nullptr;
  IdleTimer idle_timer_;
  std::uint64_t calls_ = 0;
  const bool counts_;
  std::optional<std::uint32_t> keep_alive_seconds_;
  bool reusable_ = true;
  bool silent_ = true;
  bool paused_ = false;
  bool input_ended_ = false;  // the peer's FIN
};

}  // namespace weir::inline v1::http
