#include "weir/net/output_stream.h"

#include <cerrno>

#include "net/alive_guard.h"
#include "net/pipe_ends.h"
#include "weir/net/net_part.h"

namespace weir::inline v1::net {

struct OutputStream::Sink final : PipeSink {
  explicit Sink(OutputStream& its_stream) noexcept : stream(its_stream) {}
  bool pipe_may_write() const noexcept override { return true; }
  Write pipe_write(Buffer&& bytes) override { return stream.write(std::move(bytes)); }
  void pipe_end() override { stream.end(); }
  OutputStream& stream;
};

// May outlive its stream, by the handler that has destroyed it.
struct OutputStream::Own {
  explicit Own(OutputStream& stream) noexcept : sink(stream) {}

  Event<OutputStream&> drain;
  Event<OutputStream&> finish;
  Event<OutputStream&, const Error&> error;
  Event<OutputStream&, std::error_code> close;
  Sink sink;
};

PipeSink& sink_of(OutputStream& stream) { return stream.own_->sink; }

OutputStream::OutputStream(Reactor& reactor, int fd, OutputOptions options)
    : FileStream(reactor, options.queue), own_(new Own(*this)) {
  channel_->adopt(fd, options.lent);
}

OutputStream::OutputStream(Reactor& reactor, std::string path, OutputOptions options)
    : FileStream(reactor, options.queue), own_(new Own(*this)) {
  path_ = std::move(path);
  state_ = State::opening;
  channel_->open(path_, true, options.append);
  update_reference();
}

OutputStream::~OutputStream() {
  Pipe::part_all(own_->sink);
  if (abandon()) {
    net_.destroy_later({own_, [](void* own) noexcept { delete static_cast<Own*>(own); }});
  } else {
    delete own_;
  }
}

// ---- Listeners ----

ListenerId OutputStream::on_drain(Function<void(OutputStream&)> call, Times times) {
  return own_->drain.add(std::move(call), times == Times::once);
}

ListenerId OutputStream::on_finish(Function<void(OutputStream&)> call, Times times) {
  return own_->finish.add(std::move(call), times == Times::once);
}

ListenerId OutputStream::on_error(Function<void(OutputStream&, const Error&)> call,
                                  Times times) {
  return own_->error.add(std::move(call), times == Times::once);
}

ListenerId OutputStream::on_close(Function<void(OutputStream&, std::error_code)> call,
                                  Times times) {
  return own_->close.add(std::move(call), times == Times::once);
}

void OutputStream::off(ListenerId id) noexcept {
  own_->drain.remove(id);
  own_->finish.remove(id);
  own_->error.remove(id);
  own_->close.remove(id);
}

// False when the stream was destroyed by a handler; so below.
bool OutputStream::emit(Event<OutputStream&>& event) {
  return emit_guarded(guard_, event, *this);
}

bool OutputStream::tell_error(const Error& error) {
  return emit_error_guarded(guard_, own_->error, *this, error, [this](const Error& unheard) {
    reactor().report_unhandled(unheard);
  });
}

bool OutputStream::tell_close(std::error_code code) {
  return emit_guarded(guard_, own_->close, *this, code);
}

// ---- Writing ----

Write OutputStream::write(Buffer&& bytes) {
  if (!writable()) return closed_write();
  const std::size_t size = bytes.size();
  return after_push(channel_->push(std::move(bytes)), size);
}

Write OutputStream::write(std::string_view bytes) {
  if (!writable()) return closed_write();
  return after_push(channel_->push_copy(bytes), bytes.size());
}

Write OutputStream::closed_write() {
  if (destroyed()) return Write::closed;
  fail(Mistake::write_after_end, "");
  begin_close();
  return Write::closed;
}

Write OutputStream::after_push(WriteQueue::Push pushed, std::size_t size) {
  if (pushed == WriteQueue::Push::refused) return Write::refused;
  if (pushed == WriteQueue::Push::no_memory) {
    destroy(errno_code(ENOMEM));
    return Write::closed;
  }
  bytes_written_ += size;
  update_reference();
  schedule();
  return pushed == WriteQueue::Push::ok ? Write::ok : Write::full;
}

void OutputStream::end() {
  if (ended_ || destroyed()) return;
  ended_ = true;
  update_reference();
  schedule();
}

void OutputStream::serve() noexcept {
  channel_->flush();
  update_reference();
  if (!ended_ || channel_->queued() != 0 || channel_->writing()) return;
  Pipe::destination_finished(own_->sink);
  if (!emit(own_->finish) || destroyed()) return;
  begin_close();
}

void OutputStream::on_file_written(bool drained) noexcept {
  if (drained && !ended_) {
    if (!emit(own_->drain) || destroyed()) return;
    Pipe::resume_all(own_->sink);
    if (destroyed()) return;
  }
  schedule();
}

bool OutputStream::busy() const noexcept {
  if (state_ == State::opening) return true;
  return state_ == State::open && (ended_ || channel_->queued() != 0 || channel_->writing());
}

void OutputStream::let_go() noexcept { Pipe::part_all(own_->sink); }

std::size_t OutputStream::writable_length() const noexcept {
  return channel_ == nullptr ? 0 : channel_->queued();
}

bool OutputStream::writable_needs_drain() const noexcept {
  return writable() && channel_->needs_drain();
}

}  // namespace weir::inline v1::net
