#include "weir/http/websocket/deflate.h"

#include <zlib.h>

#include <algorithm>
#include <limits>
#include <new>

#include "weir/reactor/assert.h"
#include "weir/reactor/memory.h"

namespace weir::inline v1::http::websocket {
namespace {

// The end of a flush: an empty stored block, without its first byte (RFC 7692, section 7.2.1).
constexpr char kTail[] = {0, 0, '\xff', '\xff'};
constexpr std::size_t kTailBytes = sizeof kTail;

constexpr int kNoHeader = -1;  // times the window's bits: DEFLATE without zlib's frame

// After inflate(), zlib.h says, data_type has this bit behind a block, and below it the number of
// bits that were not used. All of the block has been written then. Another call without input takes
// the bit away.
constexpr int kBlockEnd = 128;

void* allocate(void*, uInt count, uInt size) noexcept {
  return memory::allocate(std::size_t{count} * size);
}
void release(void*, void* memory) noexcept { memory::release(memory); }

z_stream* make_stream() noexcept {
  auto* stream = new (std::nothrow) z_stream{};
  if (stream == nullptr) return nullptr;
  stream->zalloc = allocate;
  stream->zfree = release;
  return stream;
}

// zlib's pieces have 32 bits.
uInt piece(std::size_t size) noexcept {
  return static_cast<uInt>(std::min<std::size_t>(size, std::numeric_limits<uInt>::max()));
}

void set_input(z_stream& stream, std::string_view input) noexcept {
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));  // only read
  stream.avail_in = piece(input.size());
}

void set_output(z_stream& stream, std::span<char> room) noexcept {
  stream.next_out = reinterpret_cast<Bytef*>(room.data());
  stream.avail_out = piece(room.size());
}

}  // namespace

// ---- Deflater ----

Deflater::Deflater(int window_bits, bool context_takeover, int level) noexcept
    : window_bits_(static_cast<std::int8_t>(window_bits)),
      level_(static_cast<std::int8_t>(level)),
      context_takeover_(context_takeover) {
  WEIR_ASSERT(window_bits >= limits::kWindowBitsMin && window_bits <= limits::kWindowBitsMax);
}

Deflater::~Deflater() { close(); }

bool Deflater::open() noexcept {
  if (stream_ != nullptr) return true;
  stream_ = make_stream();
  if (stream_ == nullptr) return false;
  // zlib has no window of 8 bits without its header, and with it takes 9 in silence. Z_RLE looks
  // back by one byte only, whatever the window is; that a window of 512 bytes reaches back by 250
  // otherwise is nowhere promised.
  const bool narrow = window_bits_ == limits::kWindowBitsMin;
  const int bits = narrow ? limits::kWindowBitsMin + 1 : int{window_bits_};
  const int strategy = narrow ? Z_RLE : Z_DEFAULT_STRATEGY;
  if (deflateInit2(stream_, level_, Z_DEFLATED, kNoHeader * bits, limits::kDeflateMemoryLevel,
                   strategy) == Z_OK) {
    return true;
  }
  delete stream_;
  stream_ = nullptr;
  return false;
}

void Deflater::close() noexcept {
  if (stream_ == nullptr) return;
  deflateEnd(stream_);
  delete stream_;
  stream_ = nullptr;
}

void Deflater::release() noexcept {
  WEIR_ASSERT(!context_takeover_ && !in_message_);
  close();
}

// Four bytes are always held back, for they may be the mark: they go in front of what zlib writes
// next.
Deflater::Step Deflater::next(std::string_view input, bool last, std::span<char> room) noexcept {
  WEIR_ASSERT(room.size() >= limits::kDeflateRoomMin);
  if (!open()) return {.status = Status::no_memory};
  in_message_ = true;
  std::copy_n(held_, held_size_, room.data());
  const std::span<char> free = room.subspan(held_size_);
  set_input(*stream_, input);
  set_output(*stream_, free);
  const uInt given = stream_->avail_in;
  const uInt free_size = stream_->avail_out;
  const bool flushes = last && given == input.size();
  const int result = deflate(stream_, flushes ? Z_SYNC_FLUSH : Z_NO_FLUSH);
  // Z_BUF_ERROR: there was nothing to do, as for a second empty message.
  WEIR_ASSERT(result == Z_OK || result == Z_BUF_ERROR);
  Step step{.consumed = given - stream_->avail_in};
  std::size_t there = held_size_ + (free_size - stream_->avail_out);
  const bool full = stream_->avail_out == 0 || step.consumed < input.size();
  if (flushes && !full) {
    step.status = Status::end;
    if (there == 0) {
      room[0] = 0;
      there = 1 + kTailBytes;
    }
    WEIR_ASSERT(there > kTailBytes);
    step.written = there - kTailBytes;
    end_message();
    return step;
  }
  held_size_ = static_cast<std::uint8_t>(std::min(there, kTailBytes));
  step.written = there - held_size_;
  std::copy_n(room.data() + step.written, held_size_, held_);
  step.status = full ? Status::need_room : Status::need_input;
  return step;
}

void Deflater::end_message() noexcept {
  in_message_ = false;
  held_size_ = 0;
  if (!context_takeover_) deflateReset(stream_);
}

// ---- Inflater ----

Inflater::Inflater(int window_bits, bool context_takeover,
                   std::uint64_t message_bytes_max) noexcept
    : window_bits_(static_cast<std::int8_t>(window_bits)),
      context_takeover_(context_takeover),
      message_bytes_max_(message_bytes_max) {
  WEIR_ASSERT(window_bits >= limits::kWindowBitsMin && window_bits <= limits::kWindowBitsMax);
}

Inflater::~Inflater() { close(); }

bool Inflater::open() noexcept {
  if (stream_ != nullptr) return true;
  stream_ = make_stream();
  if (stream_ == nullptr) return false;
  if (inflateInit2(stream_, kNoHeader * window_bits_) == Z_OK) return true;
  delete stream_;
  stream_ = nullptr;
  return false;
}

void Inflater::close() noexcept {
  if (stream_ == nullptr) return;
  inflateEnd(stream_);
  delete stream_;
  stream_ = nullptr;
}

void Inflater::release() noexcept {
  WEIR_ASSERT(!context_takeover_ && !in_message_);
  close();
}

Inflater::Step Inflater::next(std::string_view input, bool last, std::span<char> room) noexcept {
  WEIR_ASSERT(!room.empty());
  if (failed_ != Status::end) return {.status = failed_};
  if (!open()) return fail(Status::no_memory, {});
  in_message_ = true;
  Step step = run(input, room);
  if (step.status != Status::need_input || !last) return step;
  // A sender may end its stream for good with the message, and then there is no mark to add; one
  // that goes by RFC 7692, section 7.2.3.4, puts a byte behind it that the mark completes.
  if (stream_ended_ && tail_used_ == 0) return end_message(step);
  if (tail_used_ < kTailBytes) {
    const std::string_view tail(kTail + tail_used_, kTailBytes - tail_used_);
    const Step more = run(tail, room.subspan(step.written));
    tail_used_ = static_cast<std::uint8_t>(tail_used_ + more.consumed);
    step.written += more.written;
    step.status = more.status;
    if (more.status != Status::need_input) return step;
  }
  // Behind the mark a block has ended, and no bit of the next one is there.
  if (stream_ended_ || stream_->data_type != kBlockEnd) return fail(Status::malformed, step);
  return end_message(step);
}

// need_input: all is consumed, and there is nothing more to write.
Inflater::Step Inflater::run(std::string_view input, std::span<char> room) noexcept {
  Step step;
  for (;;) {
    if (stream_ended_ && step.consumed < input.size()) {
      // What comes next is another stream, in the same window: inflateReset() would forget it.
      inflateResetKeep(stream_);
      stream_ended_ = false;
    }
    if (stream_ended_) return step;
    const std::uint64_t left_of_message = message_bytes_max_ - message_bytes_;
    const std::span<char> free = room.subspan(step.written);
    // At the limit one byte more is tried, to see whether it is the end.
    char beyond;
    const bool at_limit = left_of_message == 0;
    if (!at_limit && free.empty()) return step.status = Status::need_room, step;
    set_input(*stream_, input.substr(step.consumed));
    set_output(*stream_, at_limit ? std::span<char>(&beyond, 1) : free);
    if (!at_limit && left_of_message < stream_->avail_out) {
      stream_->avail_out = static_cast<uInt>(left_of_message);
    }
    const uInt given = stream_->avail_in;
    const uInt free_size = stream_->avail_out;
    const int result = inflate(stream_, Z_SYNC_FLUSH);
    step.consumed += given - stream_->avail_in;
    const uInt written = free_size - stream_->avail_out;
    if (at_limit && written > 0) return fail(Status::too_big, step);
    step.written += written;
    message_bytes_ += written;
    if (result == Z_MEM_ERROR) return fail(Status::no_memory, step);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
      return fail(Status::malformed, step);
    }
    if (result == Z_STREAM_END) stream_ended_ = true;
    const bool all_written = stream_->avail_out > 0 || (stream_->data_type & kBlockEnd) != 0;
    const bool idle = all_written && step.consumed == input.size();
    if (!stream_ended_ && idle) return step;
  }
}

Inflater::Step Inflater::end_message(Step step) noexcept {
  in_message_ = false;
  tail_used_ = 0;
  message_bytes_ = 0;
  if (!context_takeover_) {
    inflateReset(stream_);
  } else if (stream_ended_) {
    inflateResetKeep(stream_);
  }
  stream_ended_ = false;
  step.status = Status::end;
  return step;
}

Inflater::Step Inflater::fail(Status status, Step step) noexcept {
  failed_ = status;
  step.status = status;
  return step;
}

}  // namespace weir::inline v1::http::websocket
