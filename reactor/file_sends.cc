#include "reactor/file_sends.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "reactor/kernel_backend.h"
#include "reactor/posix_files.h"
#include "weir/reactor/assert.h"

namespace weir::inline v1 {
namespace {

constexpr std::uint32_t kNoPlace = Op::kNoSlot - 1;
// Of an operation that has ended, and of the same one when it comes back: its socket took a part.
constexpr std::uint32_t kWasFull = Op::kNoSlot - 2;
// How long what was in memory counts as being there: pages in use do not go so soon.
constexpr Duration kSeenFor = std::chrono::milliseconds(10);

}  // namespace

// What an operation waits for; one of the two at a time.
struct FileSends::Place {
  struct Reading : ReadOp {
    explicit Reading(Place& its_place) noexcept : ReadOp(on_read), place(its_place) {}
    Place& place;
  };
  struct Waiting : PollOp {
    explicit Waiting(Place& its_place) noexcept : PollOp(on_writable), place(its_place) {}
    Place& place;
  };

  explicit Place(FileSends& its_all) noexcept : all(its_all), reading(*this), waiting(*this) {}

  FileSends& all;
  Reading reading;
  Waiting waiting;
  SendFileOp* op = nullptr;
};

FileSends::FileSends(KernelBackend& backend, LocalCompletions& local) noexcept
    : backend_(backend), local_(local) {}

FileSends::~FileSends() = default;

void FileSends::submit(SendFileOp& op) {
  WEIR_ASSERT(op.size > 0 && op.offset >= 0);
  const bool was_full = std::exchange(op.slot, kNoPlace) == kWasFull;
  if (was_full) {
    wait(op);
  } else {
    turn_.push_back(&op);
  }
}

// Nobody is told in here, so that none comes meanwhile.
void FileSends::run() {
  if (turn_.empty()) return;
  posix::NoSigpipe guard;
  backend_.count_system_calls(2);
  for (SendFileOp* op : turn_) {
    if (op->state == OpState::cancelling) {
      finish(*op, -ECANCELED);
    } else {
      look(guard, *op);
    }
  }
  turn_.clear();
}

void FileSends::look(posix::NoSigpipe& guard, SendFileOp& op) {
  const std::size_t size = std::min(op.size, limits::kSendFileBytesMax);
  const std::size_t there = nowait_ ? find_in_memory(op, size) : 0;
  if (there > 0) return send(guard, op, there);
  read(op, std::min(size, limits::kColdFileBytesMax));
}

std::size_t FileSends::find_in_memory(const SendFileOp& op, std::size_t size) noexcept {
  const auto length = static_cast<std::int64_t>(size);
  const auto block = static_cast<std::size_t>(op.offset) / limits::kSendFileBytesMax;
  Seen& seen = seen_[(static_cast<std::size_t>(op.file) * 7 + block) % seen_.size()];
  const Instant now = posix::now();
  const bool within = seen.begin <= op.offset && op.offset <= seen.end - length;
  if (seen.file == op.file && within && now - seen.at < kSeenFor) return size;
  backend_.count_system_calls(1);
  const std::size_t found = posix::in_memory(op.file, op.offset, size);
  if (found == size) {
    seen = {.file = op.file, .begin = op.offset, .end = op.offset + length, .at = now};
  }
  return found;
}

// Of a call that has sent something the kernel does not tell why it fell short, nor will it tell
// anybody else that the connection is gone: that it asked for.
void FileSends::send(posix::NoSigpipe& guard, SendFileOp& op, std::size_t size) {
  if (op.shared) posix::make_nonblocking_again(op.fd);
  // What has had to wait; or what has been read, which is no more than one piece.
  const bool was_full = op.slot != kNoPlace;
  auto [result, system_calls] = sender_.send(guard, op, size, was_full);
  backend_.count_inline_send(system_calls);
  if (result == -EAGAIN) return wait(op);
  const std::size_t all = bytes_of(op.before) + size;
  const bool fell_short = result > 0 && static_cast<std::size_t>(result) < all;
  if (fell_short && posix::is_torn_down(op.fd)) result = -ECONNRESET;
  if (result < 0) backend_.note_failed_send(op.fd);
  finish(op, result);
  if (fell_short && result > 0) op.slot = kWasFull;
}

void FileSends::read(SendFileOp& op, std::size_t size) {
  Place& place = place_of(op);
  place.reading.fd = op.file;
  place.reading.offset = op.offset;
  place.reading.size = size;
  backend_.submit(place.reading);
}

void FileSends::on_read(Op& op, Completion& completion) noexcept {
  Place& place = static_cast<Place::Reading&>(op).place;
  SendFileOp& mine = *place.op;
  completion.buffer.reset();
  place.reading.room.reset();
  if (mine.state == OpState::cancelling) return place.all.finish(mine, -ECANCELED);
  const std::size_t size = std::min(mine.size, limits::kColdFileBytesMax);
  const std::int32_t read = completion.result;
  posix::NoSigpipe guard;
  place.all.backend_.count_system_calls(2);
  place.all.send(guard, mine, read > 0 ? std::min(size, static_cast<std::size_t>(read)) : size);
}

void FileSends::wait(SendFileOp& op) {
  Place& place = place_of(op);
  place.waiting.fd = op.fd;
  place.waiting.wanted = {Events::writable};
  backend_.submit(place.waiting);
}

void FileSends::on_writable(Op& op, Completion& completion) noexcept {
  Place& place = static_cast<Place::Waiting&>(op).place;
  SendFileOp& mine = *place.op;
  if (mine.state == OpState::cancelling) return place.all.finish(mine, -ECANCELED);
  if (completion.result < 0) return place.all.finish(mine, completion.result);
  place.all.turn_.push_back(&mine);
}

void FileSends::cancel(SendFileOp& op) {
  if (op.slot == kWasFull || op.slot == kNoPlace) return;
  Place& place = *places_[op.slot];
  backend_.cancel(place.reading);
  backend_.cancel(place.waiting);
}

FileSends::Place& FileSends::place_of(SendFileOp& op) {
  if (op.slot != kNoPlace) return *places_[op.slot];
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(places_.size()));
    places_.push_back(std::make_unique<Place>(*this));
  }
  op.slot = free_.back();
  free_.pop_back();
  places_[op.slot]->op = &op;
  return *places_[op.slot];
}

void FileSends::finish(SendFileOp& op, std::int32_t result) {
  if (op.slot != kNoPlace) {
    places_[op.slot]->op = nullptr;
    free_.push_back(op.slot);
  }
  op.slot = Op::kNoSlot;
  local_.push({.op = &op, .result = result, .more = false, .buffer = {}});
}

}  // namespace weir::inline v1
