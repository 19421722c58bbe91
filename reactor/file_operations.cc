#include "reactor/file_operations.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "reactor/blocking_pool.h"
#include "reactor/kernel_backend.h"
#include "weir/reactor/assert.h"

namespace weir::inline v1 {

struct FileOperations::Job final : BlockingJob {
  void run() noexcept override {
    const Inbox::Start start = inbox->start(place);
    if (start == Inbox::Start::nobody) return;
    Answer answer;
    answer.id = place;
    answer.withdrawn = start == Inbox::Start::withdrawn;
    if (!answer.withdrawn) answer.result = call();
    answer.room = std::move(room);
    const std::int32_t result = answer.result;
    const bool opened = kind == OpKind::open && !answer.withdrawn && result >= 0;
    if (!inbox->put(std::move(answer)) && opened) posix::close(result);
  }

  std::int32_t call() noexcept {
    if (kind == OpKind::open) return posix::open_file(*opening);
    if (kind == OpKind::read) return posix::read_file(fd.get(), offset, room.space().first(size));
    return posix::write_file(fd.get(), offset, room.space().first(size));
  }

  Inbox::Hold inbox;
  OpKind kind = OpKind::read;
  std::uint32_t place = 0;
  posix::Fd fd;  // a duplicate
  std::int64_t offset = -1;
  std::size_t size = 0;
  BufferBlock room;
  std::unique_ptr<OpenOp> opening;  // what to open, by itself
};

// From an operation's submission to its result, and to its job's answer if that is later.
struct FileOperations::Place {
  struct Waiting : PollOp {
    explicit Waiting(Place& its_place) noexcept : PollOp(on_ready), place(its_place) {}
    Place& place;
  };

  explicit Place(FileOperations& its_all) noexcept : all(its_all), poll(*this) {}
  bool left_behind() const noexcept { return in_use && op == nullptr; }

  FileOperations& all;
  Waiting poll;
  std::uint32_t index = 0;
  Op* op = nullptr;  // null: cancelled, while its job goes on or has left something
  OpKind kind = OpKind::read;
  posix::FileKind file = posix::FileKind::regular;
  int fd = -1;
  bool in_use = false;
  bool at_position = false;  // uses the file's own position, where order matters
  bool on_thread = false;
  bool behind = false;  // waits until a job that was left behind has ended
  Answer kept;          // of a job that has ended after its operation
};

Buffer bytes_read(BufferBlock& room, std::size_t size) noexcept {
  const std::string_view bytes(room.space().data(), size);
  if (2 * size < room.room()) {
    if (Buffer copied = Buffer::copy(bytes); copied.size() == size) return copied;
  }
  Buffer view = room.commit(size);
  room.reset();
  return view;
}

FileOperations::FileOperations(Backend& backend, LocalCompletions& local, int wake_fd)
    : backend_(backend), local_(local), inbox_(Inbox::create(wake_fd)) {}

FileOperations::~FileOperations() {
  for (const Answer& answer : inbox_->leave()) {
    const bool opened = places_[answer.id]->kind == OpKind::open && !answer.withdrawn;
    if (opened && answer.result >= 0) posix::close(answer.result);
  }
}

FileOperations::Place& FileOperations::take_place() {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(places_.size()));
    places_.push_back(std::make_unique<Place>(*this));
    places_.back()->index = free_.back();
  }
  Place& place = *places_[free_.back()];
  free_.pop_back();
  place.in_use = true;
  return place;
}

void FileOperations::free_place(Place& place) noexcept {
  place.in_use = place.on_thread = place.behind = false;
  place.op = nullptr;
  place.kept = {};
  free_.push_back(place.index);
}

// The job, or its result, of a cancelled operation that comes before this one.
FileOperations::Place* FileOperations::left_behind(const Place& newcomer) noexcept {
  for (const auto& place : places_) {
    const bool same = place->fd == newcomer.fd && place->kind == newcomer.kind;
    if (same && place->left_behind() && place->at_position) return place.get();
  }
  return nullptr;
}

void FileOperations::submit(Op& op) {
  Place& place = take_place();
  place.op = &op;
  place.kind = op.kind;
  place.fd = op.fd;
  op.slot = kMark | place.index;
  if (op.kind == OpKind::open) {
    place.at_position = false;
    auto& opening = static_cast<OpenOp&>(op);
    opening.walks = !nowait_;
    const bool tries = nowait_ && opening.directory >= 0;
    const int result = tries ? posix::open_now(opening) : -EAGAIN;
    return result == -EAGAIN ? start_job(place) : finish(place, result);
  }
  place.file = posix::kind_of(op.fd);
  if (place.file == posix::FileKind::closed) return finish(place, -EBADF);
  place.at_position = op.kind == OpKind::read ? static_cast<ReadOp&>(op).offset < 0
                                              : static_cast<WriteOp&>(op).offset < 0;
  Place* earlier = place.at_position ? left_behind(place) : nullptr;
  if (earlier == nullptr) return step(place, false);
  place.behind = true;
  if (!earlier->on_thread) settle_left_behind(*earlier, std::move(earlier->kept));
}

void FileOperations::cancel(Op& op) {
  Place& place = *places_[op.slot & ~kMark];
  if (!place.poll.idle()) return backend_.cancel(place.poll);  // its end is the operation's
  if (place.on_thread) inbox_->withdraw(place.index);
  finish(place, -ECANCELED);
}

// Tries, and goes on to the next means. `ready`: the fd was polled.
void FileOperations::step(Place& place, bool ready) {
  const std::int32_t result = try_now(*place.op);
  const bool can_wait = place.file != posix::FileKind::regular;
  if (result == -EAGAIN && can_wait) return wait_for(place);
  if (result == -EOPNOTSUPP && can_wait && !ready) return wait_for(place);
  if (result == -EAGAIN || result == -EOPNOTSUPP) return start_job(place);
  if (place.kind == OpKind::write || result <= 0) return finish(place, result);
  auto& op = static_cast<ReadOp&>(*place.op);
  finish(place, result, bytes_read(op.room, static_cast<std::size_t>(result)));
}

std::int32_t FileOperations::try_now(Op& op) noexcept {
  if (op.kind == OpKind::write) {
    const auto& write = static_cast<WriteOp&>(op);
    return nowait_ ? posix::write_now(op.fd, write.offset, write.pieces) : -EOPNOTSUPP;
  }
  auto& read = static_cast<ReadOp&>(op);
  WEIR_ASSERT(read.size > 0 && read.size <= limits::kFileBytesMax);
  if (read.room.room() < read.size && !read.room.allocate(read.size)) return -ENOMEM;
  if (!nowait_) return -EOPNOTSUPP;
  return posix::read_now(op.fd, read.offset, read.room.space().first(read.size));
}

void FileOperations::wait_for(Place& place) {
  place.poll.fd = place.fd;
  place.poll.wanted = {place.kind == OpKind::read ? Events::readable : Events::writable};
  backend_.submit(place.poll);
}

void FileOperations::on_ready(Op& op, Completion& completion) noexcept {
  Place& place = static_cast<Place::Waiting&>(op).place;
  if (place.op->state == OpState::cancelling) return place.all.finish(place, -ECANCELED);
  if (completion.result < 0) return place.all.finish(place, completion.result);
  place.all.step(place, true);
}

void FileOperations::start_job(Place& place) {
  auto job = std::make_unique<Job>();
  job->inbox = inbox_->hold();
  job->kind = place.kind;
  job->place = place.index;
  const bool opens = place.kind == OpKind::open;
  const int used = opens ? static_cast<OpenOp&>(*place.op).directory : place.fd;
  if (used >= 0 || !opens) {
    const int fd = posix::duplicate(used);
    if (fd < 0) return finish(place, fd);
    job->fd = posix::Fd(fd);
  }
  if (!fill_job(*job, *place.op)) return finish(place, -ENOMEM);
  std::unique_ptr<BlockingJob> offered = std::move(job);
  if (!run_blocking(offered)) return finish(place, -EAGAIN);
  place.on_thread = true;
}

// What the job needs becomes its own. False when memory was refused.
bool FileOperations::fill_job(Job& job, Op& op) noexcept {
  if (op.kind == OpKind::open) {
    auto& from = static_cast<OpenOp&>(op);
    job.opening = std::make_unique<OpenOp>(nullptr);
    job.opening->path = from.path;
    job.opening->writes = from.writes;
    job.opening->creates = from.creates;
    job.opening->truncates = from.truncates;
    job.opening->appends = from.appends;
    job.opening->permissions = from.permissions;
    job.opening->directory = job.fd.get();
    job.opening->follows_links = from.follows_links;
    job.opening->walks = from.walks;
    return true;
  }
  if (op.kind == OpKind::read) {
    auto& read = static_cast<ReadOp&>(op);
    job.offset = read.offset;
    job.size = read.size;
    job.room = std::move(read.room);
    return true;
  }
  const auto& write = static_cast<WriteOp&>(op);
  const bool regular = places_[job.place]->file == posix::FileKind::regular;
  const std::size_t most = regular ? limits::kFileBytesMax : limits::kThreadWriteBytesMax;
  if (!job.room.allocate(most)) return false;
  job.offset = write.offset;
  for (const iovec& piece : write.pieces) {
    const std::size_t size = std::min(piece.iov_len, most - job.size);
    if (size == 0) continue;
    std::memcpy(job.room.space().data() + job.size, piece.iov_base, size);
    job.size += size;
  }
  return true;
}

void FileOperations::collect() {
  for (Answer& answer : inbox_->take()) {
    Place& place = *places_[answer.id];
    place.on_thread = false;
    if (place.op == nullptr) {
      settle_left_behind(place, std::move(answer));
    } else {
      settle(place, std::move(answer));
    }
  }
}

// Somebody else has made the fd non-blocking, and somebody has been faster: to be tried again.
void FileOperations::settle(Place& place, Answer answer) {
  if (answer.result == -EAGAIN && place.kind != OpKind::open) return step(place, false);
  const bool brings_bytes = place.kind == OpKind::read && answer.result > 0;
  if (!brings_bytes) return finish(place, answer.result);
  finish(place, answer.result,
         bytes_read(answer.room, static_cast<std::size_t>(answer.result)));
}

// The operation of this job was cancelled. Its result is that of the next read, if one waits.
void FileOperations::settle_left_behind(Place& place, Answer answer) {
  const bool nothing = answer.withdrawn || answer.result == -EAGAIN;
  if (place.kind == OpKind::open && !nothing && answer.result >= 0) posix::close(answer.result);
  if (!place.at_position || place.fd < 0) return free_place(place);
  Place* next = nullptr;
  for (const auto& other : places_) {
    const bool same = other->fd == place.fd && other->kind == place.kind;
    if (other->in_use && other->behind && same) next = other.get();
  }
  const bool is_kept = place.kind == OpKind::read && !nothing;
  if (next == nullptr && is_kept) {
    place.kept = std::move(answer);
    return;
  }
  free_place(place);
  if (next == nullptr) return;
  next->behind = false;
  if (is_kept) return settle(*next, std::move(answer));
  step(*next, false);
}

void FileOperations::forget(int fd) noexcept {
  // Somebody else goes on with the fd, perhaps behind what is left.
  for (const auto& place : places_) {
    if (place->in_use && place->op != nullptr && place->fd == fd) return;
  }
  for (const auto& place : places_) {
    if (!place->left_behind() || place->fd != fd) continue;
    place->fd = -1;
    if (!place->on_thread) free_place(*place);
  }
}

void FileOperations::finish(Place& place, std::int32_t result, Buffer bytes) {
  Op& op = *std::exchange(place.op, nullptr);
  if (!place.on_thread) free_place(place);
  op.slot = Op::kNoSlot;
  local_.push({.op = &op, .result = result, .more = false, .buffer = std::move(bytes)});
}

}  // namespace weir::inline v1
