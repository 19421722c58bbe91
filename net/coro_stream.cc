#include "weir/net/coro_stream.h"

#include <cerrno>

namespace weir::inline v1::coro {

// ---- Owning the connection ----

namespace {

net::SocketOptions with_half_open(net::SocketOptions options) {
  options.allow_half_open = true;
  return options;
}

}  // namespace

Stream::Stream(Reactor& reactor, net::SocketOptions options)
    : own_(std::make_unique<detail::OwnSocket>(reactor, with_half_open(options))) {
  own_->stream = this;
  own_->socket.on_connect([own = own_.get()](net::Socket&) {
    detail::Output* connect = own->stream->writer_;
    if (connect != nullptr && connect->waiting()) connect->notice(detail::Progress::connected);
  });
}

Stream::Stream(net::Socket& socket, IntrusiveList<Stream>& family) noexcept
    : socket_(&socket), family_(&family) {
  family.push_back(*this);
  socket.set_allow_half_open(true);
  socket.set_user(this);
}

Stream::Stream(Stream&& other) noexcept { take_over(other); }

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this == &other) return *this;
  let_go();
  take_over(other);
  return *this;
}

Stream::~Stream() { let_go(); }

void Stream::take_over(Stream& other) noexcept {
  WEIR_ASSERT(other.reader_ == nullptr && other.writer_ == nullptr);  // somebody waits on it
  socket_ = std::exchange(other.socket_, nullptr);
  family_ = std::exchange(other.family_, nullptr);
  own_ = std::move(other.own_);
  error_ = std::move(other.error_);
  input_ = std::move(other.input_);
  other.input_.clear();
  paused_ = other.paused_;
  at_end_ = other.at_end_;
  finished_ = other.finished_;
  if (own_ != nullptr) own_->stream = this;
  if (other.linked()) {
    other.unlink();
    family_->push_back(*this);
  }
  if (socket_ == nullptr) return;
  socket_->set_user(this);
  if (paused_) socket_->pause();
}

// The peer must not take the end for a clean one when nobody has read what it sent.
void Stream::let_go() noexcept {
  WEIR_ASSERT(reader_ == nullptr && writer_ == nullptr);  // somebody waits on it
  unlink();
  net::Socket* socket = std::exchange(socket_, nullptr);
  if (socket != nullptr) {
    if (input_.empty() || !socket->reset_and_destroy()) socket->destroy();
    socket->set_user(nullptr);
  }
  own_.reset();
}

void Stream::destroy(std::error_code code) {
  if (socket_ != nullptr) socket_->destroy(code);
}

// ---- Events ----

void Stream::hold() noexcept {
  paused_ = true;
  socket_->pause();
}

void Stream::flow() noexcept {
  paused_ = false;
  socket_->resume();
}

void Stream::on_stream_data(Buffer bytes) noexcept {
  input_.push(std::move(bytes));
  if (reader_ == nullptr || !reader_->waiting()) return hold();
  if (reader_->satisfied()) reader_->complete();
}

void Stream::on_stream_end() noexcept {
  at_end_ = true;
  if (reader_ != nullptr && reader_->waiting()) reader_->complete();
}

void Stream::on_stream_sent(bool drained) noexcept {
  if (writer_ == nullptr || !writer_->waiting()) return;
  writer_->notice(drained ? detail::Progress::drained : detail::Progress::sent);
}

void Stream::on_stream_idle() noexcept {
  if (reader_ != nullptr && reader_->waiting()) reader_->fail(ETIMEDOUT);
  if (writer_ == nullptr || !writer_->waiting()) return;
  writer_->cancel();
  writer_->fail(ETIMEDOUT);
}

void Stream::on_stream_closed(const Error& error) noexcept {
  if (error.code) error_ = std::make_unique<Error>(error);
  finished_ = socket_->writable_finished();
  forget_socket();
}

void Stream::forget_socket() noexcept {
  unlink();
  socket_ = nullptr;
  if (reader_ != nullptr && reader_->waiting()) reader_->complete_later();
  if (writer_ != nullptr && writer_->waiting()) writer_->complete_later();
}

// ---- Reading ----

Error Stream::input_error() const {
  if (error_ != nullptr) return *error_;
  return {.code = Mistake::stream_destroyed, .syscall = "read"};
}

namespace detail {

// There is enough, or never will be.
bool Read::gathered() noexcept {
  if (size_ > kReadBytesMax) return true;
  const Input& input = stream_->input_;
  if (until_ == Until::size) return input.size() >= size_;
  if (delimiter_.empty()) return true;
  found_ = input.find(delimiter_, size_, searched_);
  return found_ != 0 || input.size() >= size_;
}

// Everything but the simple case of read().
Expected<Buffer> Read::rest(Stream& stream) {
  if (failed_ != 0) return failure({.code = errno_code(failed_), .syscall = "read"});
  Input& input = stream.input_;
  if (until_ != Until::any) {
    if (size_ > kReadBytesMax) return failure({.code = Mistake::out_of_range, .syscall = "read"});
    if (until_ == Until::delimiter && delimiter_.empty()) {
      return failure({.code = Mistake::bad_argument, .syscall = "read"});
    }
    const std::size_t size = until_ == Until::size ? size_ : found_;
    if (until_ == Until::size ? input.size() >= size : found_ != 0) return input.take(size);
    const bool too_long = until_ == Until::delimiter && input.size() >= size_;
    if (too_long) return failure({.code = errno_code(EMSGSIZE), .syscall = "read"});
  }
  if (!stream.at_end_) return failure(stream.input_error());
  if (!input.empty()) return failure({.code = errno_code(ENODATA), .syscall = "read"});
  return Buffer();
}

}  // namespace detail

// ---- Writing ----

Error Stream::output_error() const {
  if (error_ != nullptr) return *error_;
  const bool ended = socket_ != nullptr && socket_->writable_ended() && !socket_->destroyed();
  return {.code = ended ? Mistake::write_after_end : Mistake::stream_destroyed,
          .syscall = "write"};
}

namespace detail {

Expected<void> Output::result_of(bool ok, const Stream& stream) const {
  if (failed_ != 0) return failure({.code = errno_code(failed_), .syscall = "write"});
  if (!ok) return failure(stream.output_error());
  return {};
}

bool Drain::await_ready() noexcept {
  if (take_cancel()) return true;
  const net::Socket* socket = stream_->socket();
  if (socket == nullptr || socket->destroyed()) return true;
  drained_ = !socket->writable_needs_drain();
  return drained_ || wait();
}

void Drain::notice(Progress progress) noexcept {
  if (progress != Progress::drained) return;
  drained_ = true;
  complete();
}

Expected<void> Drain::await_resume() { return result_of(drained_, let_go()); }

bool Finish::await_ready() noexcept {
  if (take_cancel()) return true;
  net::Socket* socket = stream_->socket();
  if (socket == nullptr || socket->writable_finished()) return true;
  socket->end();
  if (!socket->writable_ended()) return true;
  wait();
  notice(Progress::sent);
  return false;
}

void Finish::notice(Progress) noexcept {
  if (stream_->socket()->writable_length() == 0) context().reactor().schedule(*this);
}

void Finish::look(weir::Task& task) noexcept {
  auto& finish = static_cast<Finish&>(task);
  const net::Socket* socket = finish.stream_->socket();
  if (!finish.waiting() || socket == nullptr) return;
  if (socket->writable_finished()) return finish.complete();
  if (!socket->destroyed()) finish.notice(Progress::sent);
}

bool Finish::cancel() noexcept {
  unlink();
  return Operation::cancel();
}

Expected<void> Finish::await_resume() {
  unlink();
  const Stream& stream = let_go();
  const net::Socket* socket = stream.socket();
  return result_of(socket == nullptr ? stream.finished_ : socket->writable_finished(), stream);
}

Expected<void> Closed::await_resume() {
  const Stream& stream = let_go();
  return result_of(stream.error_ == nullptr, stream);
}

}  // namespace detail

// ---- Connecting ----

Expected<void> Stream::begin_connect(net::ConnectOptions options) {
  if (own_ == nullptr) return failure({.code = Mistake::already_connected});
  auto begun = own_->socket.connect(std::move(options));
  if (!begun) return begun;
  socket_ = &own_->socket;
  socket_->set_user(this);
  input_.clear();
  error_.reset();
  paused_ = at_end_ = finished_ = false;
  return {};
}

namespace detail {

bool Connect::await_ready() noexcept {
  if (take_cancel()) return true;
  begun_ = stream_->begin_connect(std::move(options_));
  return !begun_ || wait();
}

void Connect::notice(Progress progress) noexcept {
  if (progress != Progress::connected) return;
  connected_ = true;
  complete();
}

bool Connect::cancel() noexcept {
  stream_->destroy();
  return Operation::cancel();
}

Expected<void> Connect::await_resume() {
  const Stream& stream = let_go();
  if (!begun_) return std::move(begun_);
  return result_of(connected_, stream);
}

}  // namespace detail
}  // namespace weir::inline v1::coro
