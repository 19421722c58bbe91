// UDP sockets, in the spirit of Node's dgram.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>

#include "weir/net/event.h"
#include "weir/net/limits.h"
#include "weir/net/resolver.h"
#include "weir/net/socket_events.h"
#include "weir/reactor/buffer.h"
#include "weir/reactor/datagrams.h"
#include "weir/reactor/error.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::net {

class BlockList;
class UdpCore;

// One datagram that has come: its bytes, and `from` whom. The bytes are the socket's until the
// handler returns; Buffer::copy() keeps them.
using weir::Datagram;

// What became of a send().
enum class Send : std::uint8_t {
  ok,       // queued; a callback, or else on_error(), tells what goes wrong later
  dropped,  // not taken: the queue is full. Counted; one 'drain' follows. The callback is dropped
};

struct UdpOptions {
  Family family = Family::ipv4;  // ipv4 ("udp4") or ipv6 ("udp6")
  bool reuse_address = false;    // SO_REUSEADDR: members of a multicast group share a port
  bool reuse_port = false;       // SO_REUSEPORT: the kernel spreads what comes over the sockets
  bool ipv6_only = false;        // an IPv6 socket takes no IPv4 datagrams
  int receive_buffer = 0;        // bytes, SO_RCVBUF; 0: the kernel's default
  int send_buffer = 0;           // bytes, SO_SNDBUF; likewise
  // What waits for the kernel: bytes and datagrams. A datagram that would pass either is dropped,
  // but for a single one in an empty queue.
  std::size_t queue_bytes_max = limits::kUdpQueueBytesMaxDefault;
  std::size_t queue_datagrams_max = limits::kUdpQueueDatagramsMaxDefault;
  // Where the kernel can, and not seen by handlers: datagrams of one size to one peer leave in one
  // send (UDP_SEGMENT); those that a sender has cut so come in one receive (UDP_GRO). The latter
  // pays for such senders only, many times over: all others cost a tenth more with it.
  bool segment = true;
  bool coalesce = false;
  Resolver* resolver = nullptr;  // in the place of getaddrinfo(3)
  const BlockList* receive_block_list = nullptr;  // who is ignored; outlives the socket
  const BlockList* send_block_list = nullptr;     // ERR_IP_BLOCKED for these; outlives the socket
  std::stop_token stop = {};  // a request, on the reactor's thread, closes the socket
};

struct UdpAt {
  int port = 0;           // bind: 0 is a free one
  // Numeric, or a name, whose first address of the family is taken. bind: empty is every address;
  // connect and send: empty is this machine ("127.0.0.1", "::1").
  std::string host = {};
};

struct UdpCounters {
  std::uint64_t received = 0;  // datagrams told to handlers
  std::uint64_t received_bytes = 0;
  std::uint64_t sent = 0;  // taken by the kernel
  std::uint64_t sent_bytes = 0;
  std::uint64_t send_errors = 0;    // refused by the kernel, or their host not found
  std::uint64_t dropped_sends = 0;  // for which the queue had no room
  std::uint64_t blocked = 0;        // of peers in receive_block_list
  // For which the kernel's receive buffer had no room; several that came as one (`coalesce`) count
  // as one.
  std::uint64_t dropped_receives = 0;
};

// Owner: the user. Destroying it calls no handler any more; what is queued is offered to the kernel
// once, and the rest is gone. Thread: the reactor's. The reactor outlives it.
// Errors: mistakes and refusals of a call are returned. What goes wrong later comes to the callback
// of that call, or else as 'error'; an 'error' that nobody listens to goes to the reactor's
// on_unhandled_error(). When the kernel refuses to receive, for want of memory for one, that is an
// 'error', too, and it is tried again. The socket stays usable.
// No handler runs inside the call that causes it. Each may do anything, also destroy the socket.
class UdpSocket {
 public:
  // code: nothing, or why it was not sent.
  using Sent = Function<void(UdpSocket&, std::error_code code)>;

  explicit UdpSocket(Reactor& reactor, UdpOptions options = {});
  UdpSocket(const UdpSocket&) = delete;
  UdpSocket& operator=(const UdpSocket&) = delete;
  ~UdpSocket();

  // Returns the address that was bound (with the port that the kernel chose); 'listening' follows.
  // For a name Family::none; then 'listening' or 'error'. ERR_SOCKET_ALREADY_BOUND the second time,
  // but after a failure it may be tried again.
  Expected<Address> bind(const UdpAt& at = {}, Function<void(UdpSocket&)> once_listening = {});
  // Takes over a bound UDP socket of the family; else ERR_INVALID_FD_TYPE, or EBADF.
  Expected<Address> bind_fd(int fd, Function<void(UdpSocket&)> once_listening = {});

  // One peer for all that is sent and received from now on; 'connect' follows, for a name or else
  // 'error'. Binds an unbound socket. ERR_SOCKET_DGRAM_IS_CONNECTED when there is one already.
  // Errors that the peer's machine reports (ECONNREFUSED) come to a send's callback, or as 'error'.
  // ERR_SOCKET_BAD_PORT and ERR_IP_BLOCKED as for send().
  Expected<void> connect(const UdpAt& peer, Function<void(UdpSocket&)> once_connected = {});
  // ERR_SOCKET_DGRAM_NOT_CONNECTED when there is no peer. What came before is still told, and what
  // is queued still goes to that peer.
  Expected<void> disconnect();

  // Sends one datagram, of up to 65507 bytes (65527 with IPv6; else EMSGSIZE for the callback).
  // Binds an unbound socket to a port of the kernel's choice. To the connected peer;
  // ERR_SOCKET_DGRAM_NOT_CONNECTED without one. ENOMEM when memory for a copy is refused.
  Expected<Send> send(Buffer&& bytes, Sent sent = {});
  Expected<Send> send(std::string_view bytes, Sent sent = {});
  // To `to`; ERR_SOCKET_DGRAM_IS_CONNECTED on a connected socket, ERR_SOCKET_BAD_PORT for port 0,
  // EAFNOSUPPORT for IPv6 on an IPv4 socket; ERR_IP_BLOCKED, for a name to the callback. A name is
  // looked up for each send, and such sends may overtake one another.
  Expected<Send> send(Buffer&& bytes, const UdpAt& to, Sent sent = {});
  Expected<Send> send(std::string_view bytes, const UdpAt& to, Sent sent = {});
  Expected<Send> send(Buffer&& bytes, const IpEndpoint& to, Sent sent = {});
  Expected<Send> send(std::string_view bytes, const IpEndpoint& to, Sent sent = {});

  // What is queued is offered to the kernel once; what it does not take ends with ECANCELED for its
  // callback. Nothing is received any more. 'close' follows, with `done` before it.
  // ERR_SOCKET_DGRAM_NOT_RUNNING the second time.
  Expected<void> close(Function<void(UdpSocket&)> done = {});

  bool bound() const noexcept;
  bool connected() const noexcept;
  bool closed() const noexcept;  // close() was called
  // EBADF before bind(), ERR_SOCKET_DGRAM_NOT_RUNNING after close().
  Expected<Address> address() const;
  // ERR_SOCKET_DGRAM_NOT_CONNECTED without a peer.
  Expected<Address> remote_address() const;
  UdpCounters counters() const;
  std::size_t send_queue_bytes() const noexcept;  // of datagrams that the kernel has not taken
  std::size_t send_queue_datagrams() const noexcept;

  // EBADF before bind(), else what setsockopt(2) says: EINVAL for a value out of range.
  Expected<void> set_broadcast(bool on);     // EACCES without it for a broadcast address
  Expected<void> set_ttl(int hops);          // 1..255
  Expected<void> set_multicast_ttl(int hops);  // 0..255
  Expected<void> set_multicast_loopback(bool on);
  // By which interface multicast leaves: the address of one (IPv4), or "::%eth0" (IPv6).
  Expected<void> set_multicast_interface(std::string_view interface);
  // Bytes, above 0, else ERR_SOCKET_BAD_BUFFER_SIZE. The kernel doubles them, within its limits.
  Expected<void> set_receive_buffer_size(int bytes);
  Expected<void> set_send_buffer_size(int bytes);
  Expected<int> receive_buffer_size() const;
  Expected<int> send_buffer_size() const;

  // Numeric addresses; `interface` as above, or empty for the kernel's choice. These bind an
  // unbound socket. EINVAL for what is no group, ENODEV for no interface of this machine;
  // EADDRINUSE when joined already, EADDRNOTAVAIL when not (ip(7)). With a source EADDRNOTAVAIL for
  // both, and EINVAL when no source of the group is joined. Only the groups that a socket has
  // joined itself come to it.
  Expected<void> add_membership(std::string_view group, std::string_view interface = {});
  Expected<void> drop_membership(std::string_view group, std::string_view interface = {});
  Expected<void> add_source_membership(std::string_view source, std::string_view group,
                                       std::string_view interface = {});
  Expected<void> drop_source_membership(std::string_view source, std::string_view group,
                                        std::string_view interface = {});

  void ref();
  void unref();  // a bound socket alone does not keep run() going any more
  Reactor& reactor() const noexcept;
  int native_handle() const noexcept;  // -1 before bind(); stays the socket's

  // Handlers, in the order of registration. One datagram at a time:
  ListenerId on_message(Function<void(UdpSocket&, const Datagram&)> call,
                        Times times = Times::always);
  // All that one receive has brought; before on_message().
  ListenerId on_messages(Function<void(UdpSocket&, std::span<const Datagram>)> call,
                         Times times = Times::always);
  ListenerId on_listening(Function<void(UdpSocket&)> call, Times times = Times::always);
  ListenerId on_connect(Function<void(UdpSocket&)> call, Times times = Times::always);
  // The queue is empty again after a send was dropped.
  ListenerId on_drain(Function<void(UdpSocket&)> call, Times times = Times::always);
  ListenerId on_error(Function<void(UdpSocket&, const Error&)> call, Times times = Times::always);
  ListenerId on_close(Function<void(UdpSocket&)> call, Times times = Times::always);
  void off(ListenerId id) noexcept;

 private:
  friend class UdpCore;

  UdpCore* core_;  // null once the reactor goes
};

}  // namespace weir::inline v1::net
