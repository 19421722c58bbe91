// What a message that comes has, whichever side it comes to: fields, body, trailers, an end.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/http/field_store.h"
#include "weir/net/encoding.h"
#include "weir/net/event.h"
#include "weir/net/socket_events.h"
#include "weir/reactor/buffer.h"
#include "weir/reactor/error.h"

namespace weir::inline v1::http {

using net::ListenerId;
using net::Times;

// The common part of Request and ClientResponse: Self is one of them, Owner what has it in work.
// Thread: the reactor's. No listener runs inside the call that causes it. Views are good as long as
// the message.
// Events: data*, end, close; or, when it is cut off, aborted, error, close.
template <class Self, class Owner>
class IncomingMessage {
 public:
  IncomingMessage(const IncomingMessage&) = delete;
  IncomingMessage& operator=(const IncomingMessage&) = delete;

  // Field lines in order, as sent.
  std::span<const Field> fields() const noexcept { return fields_.fields(); }
  // The first line of that name, in any case of letters.
  std::optional<std::string_view> header(std::string_view name) const noexcept {
    return find_field(fields(), name);
  }
  // Each line's.
  std::vector<std::string_view> header_values(std::string_view name) const {
    return find_fields(fields(), name);
  }
  // See combine_fields().
  std::optional<std::string> combined_header(std::string_view name) const {
    return combine_fields(fields(), name);
  }

  // Read to its end, trailers included.
  bool complete() const noexcept { return complete_; }
  // The connection ended, or the peer broke the rules, before the exchange was over.
  bool aborted() const noexcept { return aborted_; }
  // After 'end'; empty unless the body was chunked.
  std::span<const Field> trailers() const noexcept { return trailers_.fields(); }

  // No 'data' after pause() has returned. Without a 'data' listener and without resume() the body
  // waits, and the peer with it.
  void pause() { paused_ = true; }
  void resume();
  bool is_paused() const noexcept { return paused_; }
  // 'data' carries text from now on, as UTF-8, and never part of a character.
  void set_encoding(net::Encoding encoding) { decoder_.emplace(encoding); }

  // A piece of the body: a view of what was received.
  ListenerId on_data(Function<void(Self&, Buffer)> call, Times times = Times::always);
  // The message is complete.
  ListenerId on_end(Function<void(Self&)> call, Times times = Times::always);
  // The peer has gone, or what it sent is wrong.
  ListenerId on_aborted(Function<void(Self&)> call, Times times = Times::always);
  // After 'aborted': ECONNRESET, or what destroy() was given. Without a listener it is nobody's.
  ListenerId on_error(Function<void(Self&, const Error&)> call, Times times = Times::always);
  // Exactly once, and last.
  ListenerId on_close(Function<void(Self&)> call, Times times = Times::always);

  void* user_data = nullptr;  // the user's

 protected:
  explicit IncomingMessage(Owner& owner) noexcept : owner_(owner) {}
  ~IncomingMessage() = default;

  bool takes_data() const noexcept { return !paused_ && (flowing_ || !data_.empty()); }
  // Each returns false when a listener has ended it all, and nothing may be touched any more.
  bool deliver(Buffer bytes);
  bool deliver_rest_of_text();
  bool tell_end() { return end_.empty() ? !owner_.gone() : emit(end_); }
  bool tell_aborted(const Error& error);
  bool tell_close() { return close_.empty() ? !owner_.gone() : emit(close_); }
  void remove_listener(ListenerId id) noexcept;
  void reset() noexcept;

  Owner& owner_;
  FieldStore fields_;
  FieldStore trailers_;
  bool has_listeners_ = false;
  bool complete_ = false;
  bool aborted_ = false;

 private:
  bool emit(net::Event<Self&>& event);
  bool emit_data(Buffer bytes);

  std::optional<net::TextDecoder> decoder_;
  net::Event<Self&, Buffer> data_;
  net::Event<Self&> end_;
  net::Event<Self&> abort_;
  net::Event<Self&, const Error&> error_;
  net::Event<Self&> close_;
  bool paused_ = false;
  bool flowing_ = false;  // resume() was called: data may be dropped without a listener
};

}  // namespace weir::inline v1::http
