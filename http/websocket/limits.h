// Every limit of WebSocket in one place, with its reason. Sizes are bytes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "weir/reactor/time.h"

namespace weir::inline v1::http::websocket::limits {

// Of a frame: two bytes, a length of eight, a masking key of four (RFC 6455, section 5.2).
inline constexpr std::size_t kFrameHeadBytesMax = 14;
// Of a control frame, and of the close code with its reason (RFC 6455, section 5.5).
inline constexpr std::size_t kControlPayloadMax = 125;
inline constexpr std::size_t kCloseReasonMax = kControlPayloadMax - 2;

// A message, all of its frames together and after inflating. It is what a connection can make us
// hold, and far below what a socket's queue takes, so that whoever sends back what it got is not
// refused.
inline constexpr std::uint64_t kMessageBytesMaxDefault = std::uint64_t{1} << 20;
// What a compressed message may have on the wire when it may have `message_bytes_max` inflated:
// data that cannot be compressed grows by 5 bytes for each block, and an encoder that flushes after
// every 64 bytes is careless enough. Empty blocks without end are refused by this.
constexpr std::uint64_t compressed_bytes_max(std::uint64_t message_bytes_max) noexcept {
  const std::uint64_t more = message_bytes_max / 8 + 64;
  return message_bytes_max > UINT64_MAX - more ? UINT64_MAX : message_bytes_max + more;
}

// That a client offers: they are compared with each other, and nobody speaks so many.
inline constexpr std::size_t kSubprotocolsMax = 64;

// Window of permessage-deflate, as a power of two (RFC 7692, section 7.1.2).
inline constexpr int kWindowBitsMin = 8;
inline constexpr int kWindowBitsMax = 15;
// zlib's own default: for the compressor's hash and its output, 2^(level + 9) bytes.
inline constexpr int kDeflateMemoryLevel = 8;
// zlib's own default, its best rate for its time.
inline constexpr int kDeflateLevelDefault = 6;
// Room that Deflater::next() needs at least: it holds back 4 bytes, and zlib repeats the mark of a
// flush that it has no 6 bytes for.
inline constexpr std::size_t kDeflateRoomMin = 64;

// What zlib allocates for a connection that compresses (zconf.h): 256 KiB with a window of 15 bits,
// 136 KiB with 9; of 8 bits there is none, see Deflater.
constexpr std::size_t deflater_bytes(int window_bits) noexcept {
  return (std::size_t{1} << (window_bits + 2)) + (std::size_t{1} << (kDeflateMemoryLevel + 9)) +
         8 * 1024;
}
// And for one that inflates: 32 KiB of window with 15 bits, and 7 KiB of tables and state.
constexpr std::size_t inflater_bytes(int window_bits) noexcept {
  return (std::size_t{1} << window_bits) + 8 * 1024;
}

// ---- Of a connection ----

// Below it deflate costs more than it saves; that of Node's ws.
inline constexpr std::size_t kDeflateThresholdDefault = 1024;
// A peer that lives answers a Close frame within seconds.
inline constexpr Duration kCloseTimeoutDefault = std::chrono::seconds(10);
// Only of use with a ping_interval.
inline constexpr Duration kPongTimeoutDefault = std::chrono::seconds(20);
// Name, connection and handshake of a client.
inline constexpr Duration kOpenTimeoutDefault = std::chrono::seconds(30);
// Messages up to here lie in one block with their head and with others: one piece of the queue, and
// no allocation of their own. Beyond, copying costs more than the piece.
inline constexpr std::size_t kCopiedMessageMax = 4 * 1024;
// Such a block, of what is sent and of what is received; those of a reactor.
inline constexpr std::size_t kBlockBytes = 64 * 1024;
// Inflated for one connection before others have their turn: 64 KiB that were received in one piece
// may stand for 64 MiB.
inline constexpr std::size_t kInflatedPerTurn = std::size_t{1} << 20;
// The first memory of a message that comes in parts; it doubles from there, for what a peer
// announces is not believed.
inline constexpr std::size_t kMessageBytesFirst = 4 * 1024;
// Decompressors that nobody uses and a reactor keeps.
inline constexpr std::size_t kSpareInflatersMax = 4;
// Masking keys are asked of the kernel so many bytes at a time.
inline constexpr std::size_t kRandomBytes = 1024;

}  // namespace weir::inline v1::http::websocket::limits
