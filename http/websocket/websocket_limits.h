// Every limit and default of WebSockets in one place, with its reason. Sizes are bytes.
#pragma once

#include <chrono>
#include <cstddef>

#include "weir/reactor/time.h"

namespace weir::inline v1::http::limits {

// A message that comes: what most browsers' programs send is far below, and what a connection can
// make us hold is this.
inline constexpr std::size_t kMessageBytesMaxDefault = std::size_t{1} << 20;
// Below it deflate costs more than it saves; that of the ws package.
inline constexpr std::size_t kDeflateThresholdDefault = 1024;
// The level between speed and size that zlib calls its default is 6; 3 is twice as fast for a tenth
// more bytes.
inline constexpr int kDeflateLevelDefault = 3;
// A peer that lives answers a Close frame within seconds.
inline constexpr Duration kCloseTimeoutDefault = std::chrono::seconds(10);
// Only of use with a ping_interval.
inline constexpr Duration kPongTimeoutDefault = std::chrono::seconds(20);
// Name, connection and handshake of a client.
inline constexpr Duration kOpenTimeoutDefault = std::chrono::seconds(30);
// Messages up to here lie next to their head in one block with others: one piece of the queue.
inline constexpr std::size_t kCopiedMessageMax = 4 * 1024;
// Such a block.
inline constexpr std::size_t kMessageBlockBytes = 64 * 1024;
// The first memory of a message that comes in parts; it doubles from there. What was announced is
// not believed.
inline constexpr std::size_t kMessageBytesFirst = 4 * 1024;
// Subprotocols that a client offers and a server looks at.
inline constexpr std::size_t kProtocolsMax = 64;

}  // namespace weir::inline v1::http::limits
