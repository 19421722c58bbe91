#include "weir/net/file_stream.h"

#include <cerrno>
#include <string_view>

#include "net/alive_guard.h"
#include "weir/net/net_part.h"

namespace weir::inline v1::net {

FileStream::FileStream(Reactor& reactor, const QueueLimits& limits)
    : Task(run_service),
      net_(NetPart::of(reactor)),
      channel_(new FileChannel(net_, limits, *this)) {}

Reactor& FileStream::reactor() noexcept { return net_.reactor(); }

void FileStream::schedule() noexcept { reactor().schedule(*this); }

bool FileStream::abandon() noexcept {
  const bool listener_running = guard_ != nullptr;
  AliveGuard::cut(guard_);
  if (channel_ != nullptr) std::exchange(channel_, nullptr)->leave();
  if (std::exchange(holds_reactor_, false)) reactor().unref();
  unlink();
  state_ = State::closed;
  return listener_running;
}

void FileStream::destroy(std::error_code code) {
  if (destroyed()) return;
  if (code) fail(code, "");
  begin_close();
}

void FileStream::fail(std::error_code code, const char* syscall) {
  if (error_.code) return;
  error_ = {.code = code, .syscall = syscall};
  if (!path_.empty()) {
    error_.detail = path_;
  } else if (code == errno_code(EBADF) && channel_ != nullptr) {
    const bool reads = std::string_view(syscall) == "read";
    error_.detail = "descriptor " + std::to_string(channel_->fd()) + " is not open for " +
                    (reads ? "reading" : "writing");
  }
}

void FileStream::begin_close() noexcept {
  if (destroyed()) return;
  state_ = State::closing;
  update_reference();
  let_go();
  channel_->close();
}

void FileStream::on_file_closed() noexcept {
  channel_ = nullptr;
  close_due_ = true;
  schedule();
}

void FileStream::on_file_opened() noexcept {
  state_ = State::open;
  schedule();
}

void FileStream::on_file_broken(std::error_code code, const char* syscall) noexcept {
  fail(code, syscall);
  begin_close();
}

void FileStream::run_service(Task& task) noexcept {
  auto& stream = static_cast<FileStream&>(task);
  if (stream.close_due_) return stream.finish_close();
  if (stream.state_ == State::open) stream.serve();
}

void FileStream::finish_close() {
  close_due_ = false;
  if (!report_error()) return;
  state_ = State::closed;
  update_reference();
  tell_close(error_.code);
}

bool FileStream::report_error() {
  if (!error_.code) return true;
  const Error error = error_;
  return tell_error(error);
}

// ---- References ----

void FileStream::update_reference() noexcept {
  const bool holds = referenced_ && (state_ == State::closing || busy());
  if (holds == holds_reactor_) return;
  holds_reactor_ = holds;
  if (holds) {
    reactor().ref();
  } else {
    reactor().unref();
  }
}

void FileStream::ref() {
  referenced_ = true;
  update_reference();
}

void FileStream::unref() {
  referenced_ = false;
  update_reference();
}

}  // namespace weir::inline v1::net
