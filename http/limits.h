// Every limit and default of http in one place, with its reason. Sizes are bytes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "weir/reactor/time.h"

namespace weir::inline v1::http::limits {

// A request line with its fields and the empty line behind them: Node's limit. A request line that
// does not fit alone gets a 414, fields that do not fit a 431.
inline constexpr std::size_t kHeadBytesMaxDefault = 16 * 1024;
// Field lines of a head, and those of a trailer section: Node's number. Node drops the rest in
// silence, which lets two parsers see two messages; here it is a 431.
inline constexpr std::size_t kFieldsMaxDefault = 1000;
// RFC 9112, section 2.2, wants at least one empty line before a request passed over: some clients
// send one behind a body. Two of those in a row are still no flood.
inline constexpr std::size_t kLeadingEmptyLinesMax = 4;
// "UNSUBSCRIBE". Whatever is longer is no method and need not be waited for.
inline constexpr std::size_t kMethodBytesMax = 11;

// All chunk extensions of a message: nobody uses them, so that a head's worth is plenty. A chunk of
// one byte could carry any number otherwise.
inline constexpr std::size_t kChunkExtensionBytesMaxDefault = 16 * 1024;
// Of 64 bits; leading zeros count, for there is no end of them either.
inline constexpr std::size_t kChunkSizeDigitsMax = 16;
// The trailer section with the empty line that ends it; as for a head.
inline constexpr std::size_t kTrailerBytesMaxDefault = 16 * 1024;

// Fields that there is room for without allocating, in a place that all connections of a server
// share, or in a parser of responses: more than browsers send.
inline constexpr std::size_t kFieldsInPlace = 32;
// What a parser keeps of allocated room for the next message: enough for the unusual client that
// sends so much each time, too little to fill the memory with idle connections.
inline constexpr std::size_t kFieldsKept = 128;
inline constexpr std::size_t kHeldBytesKept = 2 * 1024;
// The first copy of a head that came in pieces; it doubles from there.
inline constexpr std::size_t kHeldBytesFirst = 512;

// Lines of an outgoing head or trailer section: what our own parser takes.
inline constexpr std::size_t kSentFieldsMax = 1000;
// Their names and values: four times what most recipients take, so that whoever gets here has a
// mistake in a loop, not a long cookie.
inline constexpr std::size_t kSentFieldBytesMax = 64 * 1024;
// The first memory for them: an ordinary answer fits. It doubles from there, and what is beyond
// kFieldsKept and kHeldBytesKept is given back between two messages.
inline constexpr std::size_t kSentFieldsFirst = 16;
inline constexpr std::size_t kSentFieldBytesFirst = 512;
// A reason phrase; nobody acts on one.
inline constexpr std::size_t kReasonBytesMax = 512;

// The method and the target of an outgoing request: four times what most recipients take.
inline constexpr std::size_t kSentRequestLineBytesMax = 64 * 1024;
// What "http:" means where no port is said.
inline constexpr int kPortDefault = 80;

// Node's times.
inline constexpr Duration kHeadersTimeoutDefault = std::chrono::seconds(60);
inline constexpr Duration kRequestTimeoutDefault = std::chrono::seconds(300);
inline constexpr Duration kKeepAliveTimeoutDefault = std::chrono::seconds(5);
// Kestrel's: a client that sends its body a byte at a time is no client.
inline constexpr std::uint32_t kBodyRateMinDefault = 240;
inline constexpr Duration kBodyRateGraceDefault = std::chrono::seconds(5);
// So long after the grace the pace is looked at first: a client that gives up after the same round
// number of seconds is not to meet our answer in its last moment.
inline constexpr Duration kBodyRateDelay = std::chrono::milliseconds(500);
// Requests that one connection can have in work.
inline constexpr std::size_t kPipelinedMaxDefault = 32;
// After the last response the client's bytes are read and dropped for a while, so that the response
// is not lost to a reset (RFC 9112, section 9.6).
inline constexpr std::size_t kLingerBytesMax = std::size_t{1} << 20;
inline constexpr Duration kLingerTime = std::chrono::seconds(2);
// A request body that nobody wants is read and dropped up to here to keep the connection; beyond,
// a new connection is cheaper.
inline constexpr std::uint64_t kUnwantedBodyMax = std::uint64_t{1} << 20;
// Pieces of a body up to here are copied next to the head and to each other: cheaper than a piece
// of its own in the kernel's list.
inline constexpr std::size_t kCopiedPieceMax = 2 * 1024;
// So much of them is gathered before it goes to the stream, whatever a handler writes in a turn.
inline constexpr std::size_t kStagedBytesMax = 64 * 1024;
// Exchanges that are over and keep their memory for the next ones; so with calls of a client.
inline constexpr std::size_t kSpareExchangesMax = 64;

// ---- Of a client ----

// Idle connections of an origin that are kept: Node's number.
inline constexpr std::size_t kFreeSocketsMaxDefault = 256;
// Node's time after which an idle connection is probed by the kernel.
inline constexpr Duration kKeepAliveDelayDefault = std::chrono::seconds(1);
// An idle connection goes so long before the time that its server has announced, so that a request
// does not meet its end: Node's.
inline constexpr Duration kKeepAliveMargin = std::chrono::seconds(1);
// Requests that wait for a connection: some 100 MB of them.
inline constexpr std::size_t kWaitingRequestsMaxDefault = 65536;
// No server has so much to say before its response; without a limit one could say it for ever.
inline constexpr std::size_t kInterimResponsesMaxDefault = 64;
// Head and body of a request that are kept for another attempt: what is worth it is small.
inline constexpr std::size_t kReplayBytesMax = 64 * 1024;

// Pairs of a query that are looked at: Node's number, against floods of keys.
inline constexpr std::size_t kQueryPairsMaxDefault = 1000;

// ---- Of static files ----

// Descriptors that a cache of open files keeps: a quarter of what most processes may have open.
inline constexpr std::size_t kOpenFilesMaxDefault = 256;
// Up to here a file is kept in memory and leaves with its head in one send(2): the copy costs less
// than sendfile(2). At 32 KiB it costs more (measured over loopback on Linux 6.18).
inline constexpr std::size_t kFileBodyMaxDefault = std::size_t{16} * 1024;
// Bytes of such bodies together, with kCachedFileBytes for each.
inline constexpr std::size_t kFileBodiesMaxDefault = std::size_t{16} << 20;
inline constexpr std::size_t kCachedFileBytes = 1536;
// Names that lead to a directory, or nowhere, and are known for as long as files are: so many asked
// for at random push no file out.
inline constexpr std::size_t kKnownNamesMax = 1024;
// Of a name below the root: Linux takes no longer path (PATH_MAX, with its NUL).
inline constexpr std::size_t kFileNameBytesMax = 4095;
// Requests that wait while one name is looked for: more, on a disk that hangs, get a 503.
inline constexpr std::size_t kWaitingForFileMax = 1024;
// What nobody has asked for in so long is let go when something else is looked for: a file that has
// been deleted gives its blocks back.
inline constexpr Duration kFileKept = std::chrono::seconds(60);
// So long nobody looks again whether a file has changed.
inline constexpr Duration kFileFreshDefault = std::chrono::seconds(1);
// A file that was changed so recently may change again in the same tick of the kernel's clock, and
// look the same: its entity tag is weak until then. Seconds.
inline constexpr std::int64_t kFileSettles = 2;
// Ranges of a request; beyond, it gets everything. Viewers of documents ask for a few.
inline constexpr std::size_t kRangesMaxDefault = 16;

}  // namespace weir::inline v1::http::limits

namespace weir::inline v1::http {

// What a parser refuses to go beyond.
struct ParserLimits {
  std::size_t head_bytes_max = limits::kHeadBytesMaxDefault;
  std::size_t fields_max = limits::kFieldsMaxDefault;
  std::size_t chunk_extension_bytes_max = limits::kChunkExtensionBytesMaxDefault;
  std::size_t trailer_bytes_max = limits::kTrailerBytesMaxDefault;
};

}  // namespace weir::inline v1::http
