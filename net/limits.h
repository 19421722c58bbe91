// Every limit and default of net in one place, with its reason. Sizes are bytes.
#pragma once

#include <chrono>
#include <cstddef>

#include "weir/reactor/time.h"

namespace weir::inline v1::net::limits {

// write() says `full` from here on; two full windows of the default socket buffers.
inline constexpr std::size_t kHighWaterDefault = 64 * 1024;
// 'drain' comes when this little is left. Empty, as in Node: the kernel's own buffer keeps the wire
// busy meanwhile.
inline constexpr std::size_t kLowWaterDefault = 0;
// A later write that would pass this is refused whole.
inline constexpr std::size_t kQueueBytesMaxDefault = std::size_t{16} << 20;

// Queued bytes of all sockets of a reactor. Above it every write says `full` and the largest
// holder is not read any more; above twice as much the largest holder is closed with ENOBUFS.
inline constexpr std::size_t kReactorQueueBytesDefault = std::size_t{256} << 20;

// Pieces that a write queue keeps in place; a longer one allocates.
inline constexpr std::size_t kPiecesInPlace = 8;
// From so many pieces on, small ones are gathered in blocks: a queue of single bytes must not cost
// a piece for each.
inline constexpr std::size_t kPiecesBeforeGathering = 16;
inline constexpr std::size_t kGatheredBytesMax = 2 * 1024;
inline constexpr std::size_t kGatherBlockBytes = 16 * 1024;

// Files that wait in the queue of one socket: their bytes take no memory, but each of them takes
// some, and holds a descriptor.
inline constexpr std::size_t kQueuedFilesMax = 1024;

// Sends that a reactor's sockets have lent to the kernel at one time, and bytes of them: the memory
// of a peer's full window that nobody acknowledges. Beyond, sends are plain ones.
inline constexpr std::size_t kLentSendsMax = 256;
inline constexpr std::size_t kLentBytesMax = std::size_t{64} << 20;
// Of one socket: some full send buffers. The kernel joins a loan to the one before when their bytes
// meet in one packet, and tells of the release of both when both are acknowledged (seen on Linux
// 6.18: of a stream without a gap all at its end). A plain send in between parts them.
inline constexpr std::size_t kLentBytesOfOneMax = std::size_t{16} << 20;
// Pieces of one such send: they are large, or few.
inline constexpr std::size_t kLentPiecesMax = 16;
// Of a send that is lent small pieces are less than one part of so many: to pin them costs more
// than to copy them, but the head of an answer goes with its body.
inline constexpr std::size_t kLentSmallPart = 8;
// Copies in a row after which a socket lends no more. The first ones tell: the way to a peer does
// not change.
inline constexpr int kCopiesInARowMax = 3;
// How long a closing connection waits for its peer to acknowledge what it was lent; then it is
// reset. TCP sends again for longer, but a program that ends is not to wait for that.
inline constexpr Duration kReleasePatience = std::chrono::seconds(60);

// Write queues kept for reuse, so that steady traffic allocates nothing.
inline constexpr std::size_t kSpareOutputsMax = 256;

// One receive on a Unix socket that takes descriptors.
inline constexpr std::size_t kMessageBytesMax = 16 * 1024;

// UDP: datagrams that wait for the kernel, of one socket. The kernel's own send buffer takes the
// bursts; this bounds what a sender that does not look may pile up.
inline constexpr std::size_t kUdpQueueBytesMaxDefault = std::size_t{1} << 20;
inline constexpr std::size_t kUdpQueueDatagramsMaxDefault = 4096;
// Receives, and sends, that one socket makes in a turn before the others have theirs.
inline constexpr int kUdpCallsPerTurnMax = 4;
// Datagrams told to a handler at a time.
inline constexpr std::size_t kUdpMessagesMax = 128;

// One read of a pipe, terminal or file: as much as a pipe holds.
inline constexpr std::size_t kFileReadBytesDefault = 64 * 1024;

// How long an attempt to connect to one of several addresses may take before the next one is tried,
// and the least that may be asked for (RFC 8305, section 5).
inline constexpr Duration kAttemptTimeoutDefault = std::chrono::milliseconds(250);
inline constexpr Duration kAttemptTimeoutMin = std::chrono::milliseconds(10);

// Pending connections that the kernel keeps for a listener; it clamps to net.core.somaxconn.
inline constexpr int kBacklogDefault = 511;

}  // namespace weir::inline v1::net::limits
