// Bodies of IncomingMessage, for the files that instantiate it. Private to http.
//
// An Owner has: bool gone(), nothing may be touched any more; void look_again(), something has
// become possible.
#pragma once

#include <string>
#include <utility>

#include "weir/http/incoming_message.h"

namespace weir::inline v1::http {

template <class Self, class Owner>
void IncomingMessage<Self, Owner>::resume() {
  paused_ = false;
  flowing_ = true;
  owner_.look_again();
}

template <class Self, class Owner>
void IncomingMessage<Self, Owner>::reset() noexcept {
  fields_.clear();
  trailers_.clear();
  decoder_.reset();
  if (has_listeners_) {
    data_.clear();
    end_.clear();
    abort_.clear();
    error_.clear();
    close_.clear();
  }
  user_data = nullptr;
  has_listeners_ = paused_ = flowing_ = complete_ = aborted_ = false;
}

template <class Self, class Owner>
bool IncomingMessage<Self, Owner>::deliver(Buffer bytes) {
  if (!decoder_ || decoder_->passes_through(bytes.view())) return emit_data(std::move(bytes));
  std::string text;
  decoder_->decode(bytes.view(), text);
  return text.empty() || emit_data(Buffer::take(std::move(text)));
}

template <class Self, class Owner>
bool IncomingMessage<Self, Owner>::deliver_rest_of_text() {
  if (!decoder_) return true;
  std::string text;
  decoder_->finish(text);
  return text.empty() || emit_data(Buffer::take(std::move(text)));
}

template <class Self, class Owner>
bool IncomingMessage<Self, Owner>::emit_data(Buffer bytes) {
  data_.emit_each([&](auto& listener, bool last) {
    listener(static_cast<Self&>(*this), last ? std::move(bytes) : bytes.share());
    return !owner_.gone();
  });
  return !owner_.gone();
}

template <class Self, class Owner>
bool IncomingMessage<Self, Owner>::emit(net::Event<Self&>& event) {
  event.emit_each([&](auto& listener, bool) {
    listener(static_cast<Self&>(*this));
    return !owner_.gone();
  });
  return !owner_.gone();
}

// Before its end: 'aborted', then 'error'.
template <class Self, class Owner>
bool IncomingMessage<Self, Owner>::tell_aborted(const Error& error) {
  aborted_ = true;
  if (!emit(abort_)) return false;
  error_.emit_each([&](auto& listener, bool) {
    listener(static_cast<Self&>(*this), error);
    return !owner_.gone();
  });
  return !owner_.gone();
}

// ---- Listeners ----

template <class Self, class Owner>
ListenerId IncomingMessage<Self, Owner>::on_data(Function<void(Self&, Buffer)> call, Times times) {
  has_listeners_ = true;
  owner_.look_again();
  return data_.add(std::move(call), times == Times::once);
}

template <class Self, class Owner>
ListenerId IncomingMessage<Self, Owner>::on_end(Function<void(Self&)> call, Times times) {
  has_listeners_ = true;
  return end_.add(std::move(call), times == Times::once);
}

template <class Self, class Owner>
ListenerId IncomingMessage<Self, Owner>::on_aborted(Function<void(Self&)> call, Times times) {
  has_listeners_ = true;
  return abort_.add(std::move(call), times == Times::once);
}

template <class Self, class Owner>
ListenerId IncomingMessage<Self, Owner>::on_error(Function<void(Self&, const Error&)> call,
                                                  Times times) {
  has_listeners_ = true;
  return error_.add(std::move(call), times == Times::once);
}

template <class Self, class Owner>
ListenerId IncomingMessage<Self, Owner>::on_close(Function<void(Self&)> call, Times times) {
  has_listeners_ = true;
  return close_.add(std::move(call), times == Times::once);
}

template <class Self, class Owner>
void IncomingMessage<Self, Owner>::remove_listener(ListenerId id) noexcept {
  data_.remove(id);
  end_.remove(id);
  abort_.remove(id);
  error_.remove(id);
  close_.remove(id);
}

}  // namespace weir::inline v1::http
