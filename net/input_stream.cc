#include "weir/net/input_stream.h"

#include <algorithm>

#include "net/alive_guard.h"
#include "net/pipe_ends.h"
#include "weir/net/net_part.h"

namespace weir::inline v1::net {

struct InputStream::Source final : PipeSource {
  explicit Source(InputStream& its_stream) noexcept : stream(its_stream) {}
  void pipe_added() noexcept override { stream.look_again(); }
  void pipe_blocked() noexcept override {}
  void pipe_unblocked() noexcept override { stream.look_again(); }
  InputStream& stream;
};

// May outlive its stream, by the handler that has destroyed it.
struct InputStream::Own {
  explicit Own(InputStream& stream) noexcept : source(stream) {}

  Event<InputStream&, Buffer> data;
  Event<InputStream&> end;
  Event<InputStream&, const Error&> error;
  Event<InputStream&, std::error_code> close;
  Source source;
};

PipeSource& source_of(InputStream& stream) { return stream.own_->source; }

InputStream::InputStream(Reactor& reactor, int fd, InputOptions options)
    : FileStream(reactor, {}),
      own_(new Own(*this)),
      read_bytes_(std::clamp(options.read_bytes, std::size_t{1}, weir::limits::kFileBytesMax)) {
  channel_->adopt(fd, options.lent);
  update_reference();
}

InputStream::InputStream(Reactor& reactor, std::string path, InputOptions options)
    : FileStream(reactor, {}),
      own_(new Own(*this)),
      read_bytes_(std::clamp(options.read_bytes, std::size_t{1}, weir::limits::kFileBytesMax)) {
  path_ = std::move(path);
  state_ = State::opening;
  channel_->open(path_, false, false);
  update_reference();
}

InputStream::~InputStream() {
  Pipe::part_all(own_->source);
  if (abandon()) {
    net_.destroy_later({own_, [](void* own) noexcept { delete static_cast<Own*>(own); }});
  } else {
    delete own_;
  }
}

// ---- Listeners ----

ListenerId InputStream::on_data(Function<void(InputStream&, Buffer)> call, Times times) {
  const ListenerId id = own_->data.add(std::move(call), times == Times::once);
  look_again();
  return id;
}

ListenerId InputStream::on_end(Function<void(InputStream&)> call, Times times) {
  return own_->end.add(std::move(call), times == Times::once);
}

ListenerId InputStream::on_error(Function<void(InputStream&, const Error&)> call, Times times) {
  return own_->error.add(std::move(call), times == Times::once);
}

ListenerId InputStream::on_close(Function<void(InputStream&, std::error_code)> call,
                                 Times times) {
  return own_->close.add(std::move(call), times == Times::once);
}

void InputStream::off(ListenerId id) noexcept {
  own_->data.remove(id);
  own_->end.remove(id);
  own_->error.remove(id);
  own_->close.remove(id);
}

bool InputStream::tell_error(const Error& error) {
  return emit_error_guarded(guard_, own_->error, *this, error, [this](const Error& unheard) {
    reactor().report_unhandled(unheard);
  });
}

bool InputStream::tell_close(std::error_code code) {
  return emit_guarded(guard_, own_->close, *this, code);
}

// ---- Reading ----

void InputStream::pause() noexcept {
  paused_ = true;
  flowing_ = false;
}

void InputStream::resume() noexcept {
  paused_ = false;
  flowing_ = true;
  look_again();
}

void InputStream::look_again() noexcept {
  if (state_ == State::open) schedule();
}

bool InputStream::consuming() const noexcept {
  if (paused_ || own_->source.pipe_is_blocked()) return false;
  return flowing_ || !own_->data.empty() || !own_->source.pipes_out.empty();
}

bool InputStream::busy() const noexcept {
  return state_ == State::opening || state_ == State::open;
}

void InputStream::on_file_read(Buffer bytes) noexcept {
  bytes_read_ += bytes.size();
  if (!consuming()) {
    held_ = std::move(bytes);
    return;
  }
  if (deliver(std::move(bytes))) look_again();
}

// False when the stream was destroyed by a handler.
bool InputStream::deliver(Buffer bytes) {
  AliveGuard guard(guard_);
  const bool piped = !own_->source.pipes_out.empty();
  own_->data.emit_each([&](auto& listener, bool last) {
    listener(*this, last && !piped ? std::move(bytes) : bytes.share());
    return guard.alive();
  });
  if (guard.alive() && piped && !destroyed() && !own_->source.pipes_out.empty()) {
    Pipe::feed_all(own_->source, std::move(bytes));
  }
  return guard.alive();
}

// One read is in flight, and none while something is held.
void InputStream::serve() noexcept {
  if (!held_.empty() && consuming() && !deliver(std::exchange(held_, {}))) return;
  if (state_ == State::open && held_.empty() && consuming()) channel_->read(read_bytes_);
}

void InputStream::on_file_end() noexcept {
  if (!emit_guarded(guard_, own_->end, *this) || destroyed()) return;
  Pipe::end_all(own_->source);
  begin_close();
}

void InputStream::let_go() noexcept {
  held_.reset();
  Pipe::part_all(own_->source);
}

}  // namespace weir::inline v1::net
