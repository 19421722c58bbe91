// What WebSockets keep for each reactor: memory for them, and what they use by turns. Private.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "weir/http/agent.h"
#include "weir/http/websocket/deflate.h"
#include "weir/http/websocket/frame.h"
#include "weir/http/websocket/limits.h"
#include "weir/reactor/buffer.h"
#include "weir/reactor/reactor.h"
#include "weir/reactor/slab.h"
#include "http/websocket/websocket_core.h"

namespace weir::inline v1::http {

// Owner thread; made with the first WebSocket or WebSocketServer of a reactor, gone with the
// reactor.
class WebSocketPart {
 public:
  explicit WebSocketPart(Reactor& reactor);
  WebSocketPart(const WebSocketPart&) = delete;
  WebSocketPart& operator=(const WebSocketPart&) = delete;

  static WebSocketPart& of(Reactor& reactor) { return reactor.part<WebSocketPart>(); }

  Reactor& reactor() noexcept { return reactor_; }
  Slab<WebSocketCore>& cores() noexcept { return cores_; }
  // The agent of those clients that are given none.
  Agent& agent();
  // A client's core, known until it goes: the reactor's end is theirs.
  void add_client(WebSocketCore& core);
  void remove_client(WebSocketCore& core) noexcept;

  // Where received payload is put: at least limits::kCopiedMessageMax. It is good until the next
  // call, but for what commit_received() has made a Buffer of. Empty: memory refused.
  std::span<char> receive_room() noexcept;
  Buffer commit_received(std::size_t size) noexcept { return received_.commit(size); }
  // Room for a frame that is sent, likewise, of at most limits::kBlockBytes.
  std::span<char> send_room(std::size_t size) noexcept;
  Buffer commit_sent(std::size_t size) noexcept { return sent_.commit(size); }

  websocket::MaskKey mask() noexcept;

  // All of a message, compressed without context takeover; a view that is good until the next call.
  // Nothing: memory refused.
  std::optional<std::string_view> deflate(std::string_view message, int window_bits, int level);
  // The same by a compressor of the caller's.
  std::optional<std::string_view> deflate(std::string_view message, websocket::Deflater& deflater);
  // The view is done with: what a large message took is given back.
  void end_deflating() noexcept;
  // One without context takeover, for a message.
  std::unique_ptr<websocket::Inflater> take_inflater(int window_bits, std::uint64_t bytes_max);
  // Precondition: its message has ended well.
  void give_back(std::unique_ptr<websocket::Inflater> inflater, int window_bits,
                 std::uint64_t bytes_max);

 private:
  struct SharedDeflater {
    int window_bits;
    int level;
    std::unique_ptr<websocket::Deflater> deflater;
  };
  struct SpareInflater {
    int window_bits;
    std::uint64_t bytes_max;
    std::unique_ptr<websocket::Inflater> inflater;
  };
  // Goes before the sockets: those of clients that are still there end with it.
  struct Leaving final : Resident {
    explicit Leaving(WebSocketPart& its_part) noexcept : part(its_part) {}
    void abandon() noexcept override;
    WebSocketPart& part;
  };

  Reactor& reactor_;
  Slab<WebSocketCore> cores_;
  std::vector<WebSocketCore*> clients_;
  std::optional<Agent> agent_;
  Leaving leaving_;
  BufferBlock received_;
  BufferBlock sent_;
  std::array<std::uint8_t, websocket::limits::kRandomBytes> random_;
  std::size_t random_used_ = websocket::limits::kRandomBytes;
  std::vector<SharedDeflater> deflaters_;  // one for each window and level: few
  std::vector<SpareInflater> inflaters_;
  BufferBlock compressed_;
};

}  // namespace weir::inline v1::http
