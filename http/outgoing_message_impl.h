// Bodies of OutgoingMessage, for the files that instantiate it. Private to http.
//
// Self has, for this alone:
//     Expected<void> settle_head(size)   plans the head and calls settle(); the size of the whole
//                                        body if it is known
//     void send_head()                   gives the head to the connection
//     void head_failed()                 the head cannot be: what the peer is told instead
// An Owner has, besides gone() and look_again() of IncomingMessage:
//     void look_again_later()            in a round of its own
//     void put(text), put(Buffer&&), put(FileRange&&)
//                                        bytes of the message, in order
//     void ended(complete)               behind the last one
//     std::uint64_t written              how many were put
//     bool is_full_for(size), bool is_full_for_file()
//     bool is_above_high_water(), std::size_t queued()
//     void report_unhandled(error)
#pragma once

#include <deque>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "weir/http/chunked.h"
#include "weir/http/outgoing_message.h"

namespace weir::inline v1::http {

template <class Self, class Owner>
struct OutgoingMessage<Self, Owner>::Pending {
  struct Call {
    std::uint64_t at;  // of what the owner has `written`: it has these bytes
    Done done;
    std::error_code code;
  };
  std::deque<Call> calls;
  std::vector<Error> errors;
};

template <class Self, class Owner>
OutgoingMessage<Self, Owner>::OutgoingMessage(Owner& owner) noexcept : owner_(owner) {}

template <class Self, class Owner>
OutgoingMessage<Self, Owner>::~OutgoingMessage() = default;

template <class Self, class Owner>
void OutgoingMessage<Self, Owner>::reset() noexcept {
  fields_.clear();
  trailers_.clear();
  body_ = BodyWriter();
  pending_.reset();
  if (has_listeners_) {
    drain_.clear();
    finish_.clear();
    error_.clear();
    timeout_.clear();
    close_.clear();
  }
  user_data = nullptr;
  corked_ = 0;
  settled_ = has_listeners_ = head_out_ = ended_ = finished_ = destroyed_ = needs_drain_ = false;
  over_ = false;
}

// ---- The head ----

template <class Self, class Owner>
Expected<void> OutgoingMessage<Self, Owner>::check_open() const {
  if (settled_) return failure({.code = Mistake::headers_sent});
  if (ended_ || destroyed_) return failure({.code = Mistake::stream_destroyed});
  return {};
}

template <class Self, class Owner>
Expected<void> OutgoingMessage<Self, Owner>::set_header(std::string_view name,
                                                        std::string_view value) {
  if (const auto open = check_open(); !open) return open;
  return fields_.set(name, value);
}

template <class Self, class Owner>
Expected<void> OutgoingMessage<Self, Owner>::set_header(
    std::string_view name, std::initializer_list<std::string_view> values) {
  if (const auto open = check_open(); !open) return open;
  return fields_.set(name, values);
}

template <class Self, class Owner>
Expected<void> OutgoingMessage<Self, Owner>::set_headers(const Fields& headers) {
  if (const auto open = check_open(); !open) return open;
  return fields_.merge(headers);
}

template <class Self, class Owner>
Expected<void> OutgoingMessage<Self, Owner>::append_header(std::string_view name,
                                                           std::string_view value) {
  if (const auto open = check_open(); !open) return open;
  return fields_.append(name, value);
}

template <class Self, class Owner>
Expected<void> OutgoingMessage<Self, Owner>::remove_header(std::string_view name) {
  if (const auto open = check_open(); !open) return open;
  fields_.remove(name);
  return {};
}

template <class Self, class Owner>
Expected<void> OutgoingMessage<Self, Owner>::flush_headers() {
  if (ended_ || destroyed_) return failure({.code = Mistake::stream_destroyed});
  if (!settled_) {
    if (const auto settled = self().settle_head({}); !settled) return settled;
  }
  put_head();
  return {};
}

template <class Self, class Owner>
void OutgoingMessage<Self, Owner>::settle(BodyFraming framing) noexcept {
  settled_ = true;
  body_ = BodyWriter(framing);
}

template <class Self, class Owner>
void OutgoingMessage<Self, Owner>::unsettle() noexcept {
  settled_ = false;
  fields_.clear();
  trailers_.clear();
}

template <class Self, class Owner>
void OutgoingMessage<Self, Owner>::put_head() {
  if (!std::exchange(head_out_, true)) self().send_head();
}

// ---- The body ----

inline std::size_t size_of(std::string_view bytes) noexcept { return bytes.size(); }
inline std::size_t size_of(const Buffer& bytes) noexcept { return bytes.size(); }
inline std::size_t size_of(const net::FileRange& range) noexcept { return range.size; }

inline Expected<void> check_range(const net::FileRange& range) {
  constexpr std::uint64_t kOffsetMax = INT64_MAX;
  if (!range.file) {
    return failure({.code = Mistake::bad_argument, .detail = "there is no file to send"});
  }
  if (range.offset <= kOffsetMax && range.size <= kOffsetMax - range.offset) return {};
  return failure({.code = Mistake::out_of_range, .detail = "no file is as long as that"});
}

template <class Self, class Owner>
template <class Bytes>
Expected<BodyPiece> OutgoingMessage<Self, Owner>::piece_of(const Bytes& bytes) {
  if constexpr (std::is_same_v<Bytes, net::FileRange>) {
    if (const auto good = check_range(bytes); !good) return failure(good.error());
  }
  return body_.piece(size_of(bytes));
}

template <class Self, class Owner>
template <class Bytes>
bool OutgoingMessage<Self, Owner>::is_full_for(const Bytes& bytes) const noexcept {
  if constexpr (std::is_same_v<Bytes, net::FileRange>) return owner_.is_full_for_file();
  return owner_.is_full_for(size_of(bytes));
}

// What is wrong with writing now, before a byte of it is taken. Null: nothing.
template <class Self, class Owner>
template <class Bytes>
std::optional<net::Write> OutgoingMessage<Self, Owner>::refuse_write(const Bytes& bytes,
                                                                     Done& done) {
  if (over_) return net::Write::closed;
  if (destroyed_) {
    remember(std::move(done), make_error_code(Mistake::stream_destroyed));
    return net::Write::closed;
  }
  if (ended_) return reject({.code = Mistake::write_after_end}, std::move(done));
  if (is_full_for(bytes)) {
    needs_drain_ = true;
    return net::Write::refused;
  }
  return std::nullopt;
}

template <class Self, class Owner>
template <class Bytes>
void OutgoingMessage<Self, Owner>::put_piece(Bytes&& bytes, const BodyPiece& piece) {
  // From here on they are ours, also when nothing of them is sent.
  auto taken = std::forward<Bytes>(bytes);
  if (!piece.is_sent()) return;
  if (!piece.before().empty()) owner_.put(piece.before());
  owner_.put(std::move(taken));
  if (!piece.behind().empty()) owner_.put(piece.behind());
}

template <class Self, class Owner>
net::Write OutgoingMessage<Self, Owner>::after_put(Done&& done) {
  if (done) remember(std::move(done));
  if (ended_) return owner_.is_above_high_water() ? net::Write::full : net::Write::ok;
  if (!owner_.is_above_high_water()) return net::Write::ok;
  needs_drain_ = true;
  // With nothing on its way, as behind a piece that is not sent, no completion would look.
  owner_.look_again_later();
  return net::Write::full;
}

template <class Self, class Owner>
template <class Bytes>
net::Write OutgoingMessage<Self, Owner>::write_piece(Bytes&& bytes, Done&& done) {
  if (const auto refused = refuse_write(bytes, done)) return *refused;
  if (!settled_) {
    if (auto settled = self().settle_head({}); !settled) {
      return fail(settled.error(), std::move(done));
    }
  }
  const auto piece = piece_of(bytes);
  if (!piece) return fail(piece.error(), std::move(done));
  put_head();
  put_piece(std::forward<Bytes>(bytes), *piece);
  return after_put(std::move(done));
}

template <class Self, class Owner>
template <class Bytes>
net::Write OutgoingMessage<Self, Owner>::end_with(Bytes&& bytes, Done&& done) {
  if (ended_ && !destroyed_ && !over_ && size_of(bytes) == 0) {
    remember(std::move(done), finished_ ? Mistake::already_finished : std::error_code());
    return net::Write::ok;
  }
  if (const auto refused = refuse_write(bytes, done)) return *refused;
  if (!settled_) {
    if (auto settled = self().settle_head(size_of(bytes)); !settled) {
      return fail(settled.error(), std::move(done));
    }
  }
  const auto piece = piece_of(bytes);
  if (!piece) {
    const net::Write result = fail(piece.error(), std::move(done));
    if (!ended_) put_end();
    return result;
  }
  put_head();
  put_piece(std::forward<Bytes>(bytes), *piece);
  put_end();
  return after_put(std::move(done));
}

template <class Self, class Owner>
void OutgoingMessage<Self, Owner>::put_end() {
  put_head();
  ended_ = true;
  needs_drain_ = false;
  corked_ = 0;
  if (trailers_.empty() && body_.finish_by_itself()) return owner_.ended(body_.left() == 0);
  auto end = body_.finish(&trailers_);
  if (!end) {
    note(end.error());
    end = body_.finish(nullptr);
  }
  if (end->size() != 0) {
    std::string text;
    end->append_to(text);
    owner_.put(std::string_view(text));
  }
  owner_.ended(end->is_complete());
}

template <class Self, class Owner>
net::Write OutgoingMessage<Self, Owner>::write(Buffer&& bytes, Done done) {
  return write_piece(std::move(bytes), std::move(done));
}

template <class Self, class Owner>
net::Write OutgoingMessage<Self, Owner>::write(std::string_view bytes, Done done) {
  return write_piece(bytes, std::move(done));
}

template <class Self, class Owner>
net::Write OutgoingMessage<Self, Owner>::send_file(net::FileRange&& range, Done done) {
  return write_piece(std::move(range), std::move(done));
}

template <class Self, class Owner>
net::Write OutgoingMessage<Self, Owner>::end(Done done) {
  return end_with(std::string_view(), std::move(done));
}

template <class Self, class Owner>
net::Write OutgoingMessage<Self, Owner>::end(Buffer&& last, Done done) {
  return end_with(std::move(last), std::move(done));
}

template <class Self, class Owner>
net::Write OutgoingMessage<Self, Owner>::end(std::string_view last, Done done) {
  return end_with(last, std::move(done));
}

template <class Self, class Owner>
net::Write OutgoingMessage<Self, Owner>::end(net::FileRange&& last, Done done) {
  return end_with(std::move(last), std::move(done));
}

template <class Self, class Owner>
Expected<void> OutgoingMessage<Self, Owner>::set_trailer(std::string_view name,
                                                         std::string_view value) {
  if (ended_ || destroyed_) return failure({.code = Mistake::stream_destroyed});
  if (is_forbidden_trailer(name)) {
    return failure({.code = Mistake::trailer_invalid,
                    .detail = "this field may not stand in a trailer section"});
  }
  return trailers_.set(name, value);
}

template <class Self, class Owner>
void OutgoingMessage<Self, Owner>::cork() noexcept {
  if (!ended_ && !destroyed_) ++corked_;
}

template <class Self, class Owner>
void OutgoingMessage<Self, Owner>::uncork() noexcept {
  if (corked_ == 0) return;
  --corked_;
  if (corked_ != 0) return;
  owner_.look_again();
}

template <class Self, class Owner>
std::size_t OutgoingMessage<Self, Owner>::writable_length() const noexcept {
  return owner_.queued();
}

// ---- Errors and callbacks, which are told later ----

template <class Self, class Owner>
auto OutgoingMessage<Self, Owner>::pending() -> Pending& {
  if (pending_ == nullptr) pending_ = std::make_unique<Pending>();
  return *pending_;
}

template <class Self, class Owner>
void OutgoingMessage<Self, Owner>::remember(Done done, std::error_code code) {
  if (!done) return;
  pending().calls.push_back({owner_.written, std::move(done), code});
  owner_.look_again_later();
}

template <class Self, class Owner>
void OutgoingMessage<Self, Owner>::note(Error error) {
  pending().errors.push_back(std::move(error));
  owner_.look_again_later();
}

template <class Self, class Owner>
net::Write OutgoingMessage<Self, Owner>::reject_done(Done&& done, std::error_code code) {
  remember(std::move(done), code);
  return net::Write::closed;
}

template <class Self, class Owner>
net::Write OutgoingMessage<Self, Owner>::reject(Error error, Done&& done) {
  const std::error_code code = error.code;
  note(std::move(error));
  return reject_done(std::move(done), code);
}

// What was asked for cannot be.
template <class Self, class Owner>
net::Write OutgoingMessage<Self, Owner>::fail(Error error, Done&& done) {
  const net::Write result = reject(std::move(error), std::move(done));
  if (!head_out_) self().head_failed();
  return result;
}

// What has happened meanwhile is told; `sent` of the bytes that were put are with the kernel.
template <class Self, class Owner>
bool OutgoingMessage<Self, Owner>::tell(std::uint64_t sent) {
  if (pending_ == nullptr) return true;
  for (const Error& error : std::exchange(pending_->errors, {})) {
    if (!emit_error(error)) return false;
  }
  // Those that come meanwhile have their turn later.
  for (std::size_t left = pending_->calls.size(); left > 0; --left) {
    if (pending_->calls.front().at > sent) return true;
    typename Pending::Call call = std::move(pending_->calls.front());
    pending_->calls.pop_front();
    call.done(self(), call.code);
    call.done.reset();  // which may hold the owner's owner
    if (owner_.gone()) return false;
  }
  return true;
}

template <class Self, class Owner>
bool OutgoingMessage<Self, Owner>::owes_calls() const noexcept {
  return pending_ != nullptr && !pending_->calls.empty();
}

// The connection has ended: callbacks that wait get `code`.
template <class Self, class Owner>
bool OutgoingMessage<Self, Owner>::fail_calls(std::error_code code) {
  over_ = true;
  while (owes_calls()) {
    typename Pending::Call call = std::move(pending_->calls.front());
    pending_->calls.pop_front();
    call.done(self(), call.code ? call.code : code);
    call.done.reset();
    if (owner_.gone()) return false;
  }
  return true;
}

template <class Self, class Owner>
bool OutgoingMessage<Self, Owner>::emit(net::Event<Self&>& event) {
  if (event.empty()) return !owner_.gone();
  event.emit_each([&](auto& listener, bool) {
    listener(self());
    return !owner_.gone();
  });
  return !owner_.gone();
}

template <class Self, class Owner>
bool OutgoingMessage<Self, Owner>::emit_error(const Error& error) {
  if (error_.empty()) {
    owner_.report_unhandled(error);
    return !owner_.gone();
  }
  error_.emit_each([&](auto& listener, bool) {
    listener(self(), error);
    return !owner_.gone();
  });
  return !owner_.gone();
}

// ---- Listeners ----

template <class Self, class Owner>
ListenerId OutgoingMessage<Self, Owner>::on_drain(Function<void(Self&)> call, Times times) {
  has_listeners_ = true;
  return drain_.add(std::move(call), times == Times::once);
}

template <class Self, class Owner>
ListenerId OutgoingMessage<Self, Owner>::on_finish(Function<void(Self&)> call, Times times) {
  has_listeners_ = true;
  return finish_.add(std::move(call), times == Times::once);
}

template <class Self, class Owner>
ListenerId OutgoingMessage<Self, Owner>::on_error(Function<void(Self&, const Error&)> call,
                                                  Times times) {
  has_listeners_ = true;
  return error_.add(std::move(call), times == Times::once);
}

template <class Self, class Owner>
ListenerId OutgoingMessage<Self, Owner>::on_timeout(Function<void(Self&)> call, Times times) {
  has_listeners_ = true;
  return timeout_.add(std::move(call), times == Times::once);
}

template <class Self, class Owner>
ListenerId OutgoingMessage<Self, Owner>::on_close(Function<void(Self&)> call, Times times) {
  has_listeners_ = true;
  return close_.add(std::move(call), times == Times::once);
}

template <class Self, class Owner>
void OutgoingMessage<Self, Owner>::remove_listener(ListenerId id) noexcept {
  drain_.remove(id);
  finish_.remove(id);
  error_.remove(id);
  timeout_.remove(id);
  close_.remove(id);
}

}  // namespace weir::inline v1::http
