// Every limit of the reactor in one place, with its reason. Sizes are bytes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "weir/reactor/time.h"

namespace weir::inline v1::limits {

// Completions handed over by one poll of a backend: enough to amortise a kernel entry, few enough
// that timers and posted tasks are not kept waiting.
inline constexpr std::size_t kCompletionsPerTurnMax = 128;

// Within a batch, sockets with output are flushed after so many completions or received bytes, so
// that the first answer does not wait for the last request.
inline constexpr std::size_t kCompletionsPerFlushMax = 32;
inline constexpr std::size_t kBytesPerFlushMax = 64 * 1024;

// epoll: bytes received by one poll; what is ready beyond waits for the next. A cache's worth.
inline constexpr std::size_t kBytesPerPollMax = 256 * 1024;

// Deferred tasks may defer others; after so many rounds the rest waits for the next turn, which
// then does not block. The kernel is looked at in between, whatever the tasks do.
inline constexpr int kDeferRoundsMax = 16;

// Deferred tasks waiting at one time. More is refused: a loop that defers without end is a bug.
inline constexpr std::size_t kDeferredTasksMax = std::size_t{1} << 20;

// Timers fired in one turn; the rest fires in the next one.
inline constexpr std::size_t kTimersPerTurnMax = 1024;

// Receive memory. One chunk takes a stream's full reads and thousands of small messages; it bounds
// what one read takes, so that one sender cannot hold the thread. A read gets at least
// kReceiveRoomMin of room, or a new chunk.
inline constexpr std::size_t kReceiveChunkBytes = 256 * 1024;
inline constexpr std::size_t kReceiveRoomMin = 64 * 1024;
inline constexpr std::size_t kReceiveMemoryMaxDefault = std::size_t{64} << 20;
inline constexpr std::size_t kReceiveMemoryMin = 16 * kReceiveChunkBytes;

// Free chunks kept for reuse; beyond this memory goes back to the system.
inline constexpr std::size_t kFreeChunksKept = 32;

// When less than a quarter of the receive memory is free, messages up to this size are copied out
// of their chunk, so that a small slice which somebody keeps cannot hold 256 KiB; when less than an
// eighth is free, all are.
inline constexpr std::size_t kCopyOutBytesMax = 16 * 1024;

// Memory for operator new when the system has none left, of the whole process: see memory.h. Enough
// for a thousand requests in work to come to their end; of each block a page is touched.
inline constexpr std::size_t kMemoryReserveDefault = std::size_t{1} << 20;
inline constexpr std::size_t kReserveBlockBytes = 64 * 1024;
inline constexpr std::size_t kReserveGapBytes = 4 * 1024;

// io_uring: a ring of this many chunks is shared by all sockets of a reactor (2 MiB stay in cache).
inline constexpr unsigned kRingChunks = 8;
// Without incremental rings (before Linux 6.12) a message takes a whole buffer, so these are
// smaller and more.
inline constexpr std::size_t kPlainRingBufferBytes = 16 * 1024;
inline constexpr unsigned kPlainRingBuffers = 128;
inline constexpr unsigned kRingEntries = 256;
inline constexpr unsigned kRingCompletionsMin = 8192;
// Fewer sends than this in one turn are made by plain calls; more go to the kernel as one batch.
inline constexpr std::size_t kInlineSendsMax = 8;
// Sends of at least this many bytes are made by plain calls: the copy outweighs the call.
inline constexpr std::size_t kInlineSendBytesMin = 4096;
// Re-arms of starved receives for each returned chunk: a chunk feeds many small messages, but a
// crowd that wakes together would only be starved again.
inline constexpr std::size_t kStarvedRearmsPerChunk = 8;

// After EMFILE and the like, accepting rests so long before it looks whether a client waits.
inline constexpr Duration kAcceptBackoff = std::chrono::milliseconds(100);

// Threads of the whole process that wait in blocking calls (getaddrinfo), and calls that wait for
// one of them: a name server that does not answer holds a thread for half a minute.
inline constexpr std::size_t kBlockingThreadsMax = 4;
inline constexpr std::size_t kBlockingJobsMax = 1024;
inline constexpr Duration kBlockingThreadIdle = std::chrono::seconds(10);

// One read or write of a file, pipe or terminal: the copy takes the reactor's thread some 20 us.
inline constexpr std::size_t kFileBytesMax = 256 * 1024;
// One write to a pipe or terminal by a thread: a pipe that polls as writable takes as much at once
// (PIPE_BUF), a terminal nearly always, so that the thread does not wait for a reader.
inline constexpr std::size_t kThreadWriteBytesMax = 4096;

// One part of a file, of which a socket sends one a turn: as much as one send, and it takes the
// reactor's thread half as long, some 100 us. With a quarter of it 1 MiB costs a tenth more. Also
// the size of FileSender's pipe: more than this only root may have (pipe(7), pipe-max-size).
inline constexpr std::size_t kSendFileBytesMax = std::size_t{1} << 20;
// What goes with a file in the same operation, such as its head; what is more goes before.
inline constexpr std::size_t kBytesBeforeFileMax = 16 * 1024;
// How far apart the bytes of a file are that are asked for to see whether it is in memory: the
// kernel reads ahead by 128 KiB, so what it has not read shows. To ask for every page would cost as
// much as to send it.
inline constexpr std::size_t kFileProbeStride = 64 * 1024;
// What is read of a file so that sendfile(2) does not wait for it: as much as a slow peer may take
// at a time, for the rest may have to be read again.
inline constexpr std::size_t kColdFileBytesMax = 64 * 1024;

// Reactors of a group: as many processors as sched_getaffinity(2) is asked for.
inline constexpr std::size_t kGroupSizeMax = 1024;
// In which what had come before is seen: one has no end of it when it is busy.
inline constexpr int kTurnsBeforeDrain = 8;

// Messages that other threads have posted and that are not run yet (a power of two).
inline constexpr std::size_t kPostedTasksDefault = 4096;

// Pieces gathered into one send: the kernel's IOV_MAX is 1024, the gain ends far below.
inline constexpr std::size_t kGatherPiecesMax = 64;
// Bytes handed to the kernel by one send operation: bounds what a paused peer can hold in flight
// and how long completed bytes go unreported.
inline constexpr std::size_t kSendBytesMax = std::size_t{1} << 20;

// Datagrams taken from the kernel by one call: enough to make the call's own cost small. With
// UDP_GRO each may be 64 KiB of many, so fewer, to stay in a cache.
inline constexpr std::size_t kDatagramsPerReceive = 64;
inline constexpr std::size_t kCoalescedPerReceive = 16;
inline constexpr std::size_t kDatagramsPerSend = 64;
// The largest datagram that IPv6 can carry without a jumbogram, and so that of any receive.
inline constexpr std::size_t kDatagramBytesMax = 65535;
// One send of several datagrams (UDP_SEGMENT): the kernel's UDP_MAX_SEGMENTS, and less than what an
// IP packet can hold.
inline constexpr std::size_t kSegmentsPerSend = 64;
inline constexpr std::size_t kSegmentedBytesMax = 65000;

// Logged lines about unhandled errors: at most one for each of these periods.
inline constexpr Duration kUnhandledErrorLogPeriod = std::chrono::seconds(1);

static_assert(kReceiveRoomMin <= kReceiveChunkBytes);
static_assert(kColdFileBytesMax <= kFileBytesMax);
static_assert(kCopyOutBytesMax < kReceiveRoomMin);
static_assert((kPostedTasksDefault & (kPostedTasksDefault - 1)) == 0);

}  // namespace weir::inline v1::limits
