#include "weir/http/coro.h"

#include <cerrno>

namespace weir::inline v1::coro {

using http::ClientRequest;
using http::ClientResponse;

Fetch::Fetch(Expected<ClientRequest*> request) {
  if (!request) {
    error_ = std::make_unique<Error>(request.error());
    return;
  }
  request_ = *request;
  listen();
}

// Its listeners go with it, so one is left that hears its last error.
Fetch::~Fetch() {
  WEIR_ASSERT(reader_ == nullptr && writer_ == nullptr);
  if (request_ != nullptr) handle_->fetch = nullptr;
  for (const ListenerIds& ids : {on_request_, on_response_}) {
    for (const net::ListenerId id : ids) {
      if (request_ != nullptr) request_->off(id);
      if (response_ != nullptr) response_->off(id);
    }
  }
  if (request_ == nullptr) return;
  request_->on_error([](ClientRequest&, const Error&) {});
  request_->destroy();
}

void Fetch::listen() {
  auto owned = std::make_unique<Handle>(this);
  handle_ = owned.get();
  on_request_ = {
      request_->on_response([handle = handle_](ClientResponse& response) {
        if (handle->fetch != nullptr) handle->fetch->take_response(response);
      }),
      request_->on_drain([handle = handle_](ClientRequest&) {
        if (handle->fetch != nullptr) handle->fetch->tell_writer();
      }),
      request_->on_error([handle = handle_](ClientRequest&, const Error& error) {
        if (handle->fetch != nullptr) handle->fetch->fail(error);
      }),
  };
  request_->on_close([handle = std::move(owned)](ClientRequest&) {
    if (handle->fetch != nullptr) handle->fetch->take_close();
  });
}

void Fetch::take_response(ClientResponse& response) {
  response_ = &response;
  on_response_ = {
      response.on_data([handle = handle_](ClientResponse&, Buffer bytes) {
        if (handle->fetch != nullptr) handle->fetch->take_data(std::move(bytes));
      }),
      response.on_end([handle = handle_](ClientResponse& ended) {
        if (handle->fetch != nullptr) handle->fetch->take_end(ended);
      }),
      response.on_error([handle = handle_](ClientResponse&, const Error& error) {
        if (handle->fetch != nullptr) handle->fetch->fail(error);
      }),
  };
  hold(reader_ == nullptr || reader_->wants_ == detail::FetchRead::Wants::head);
  head_ = response.head();
  reason_ = response.reason();
  head_.reason = reason_;
  if (!fields_.keep(response.fields())) return fail({.code = errno_code(ENOMEM)});
  head_.fields = fields_.fields();
  has_head_ = true;
  tell_reader();
}

void Fetch::take_end(const ClientResponse& ended) {
  complete_ = trailers_.keep(ended.trailers());
  if (!complete_) return fail({.code = errno_code(ENOMEM)});
  tell_reader();
}

// Whoever still writes is told, too.
void Fetch::take_close() {
  request_ = nullptr;
  response_ = nullptr;
  if (error_ == nullptr) fail({.code = errno_code(ECONNRESET)});
}

void Fetch::take_data(Buffer bytes) {
  input_.push(std::move(bytes));
  if (reader_ == nullptr || !reader_->waiting() || reader_->satisfied()) hold(true);
  tell_reader();
}

void Fetch::fail(Error error) {
  error_ = std::make_unique<Error>(std::move(error));
  if (reader_ == nullptr) return tell_writer();
  // Whoever goes on first may end this.
  if (writer_ != nullptr && writer_->waiting()) writer_->fail_in_task();
  tell_reader();
}

void Fetch::hold(bool on) noexcept {
  if (response_ == nullptr) return;
  if (on) {
    response_->pause();
  } else {
    response_->resume();
  }
}

void Fetch::tell_reader() noexcept {
  const bool waits = reader_ != nullptr && reader_->waiting();
  if (waits && reader_->satisfied()) reader_->complete();
}

void Fetch::tell_writer() noexcept {
  if (writer_ != nullptr && writer_->waiting()) writer_->look();
}

Error Fetch::error() const {
  return error_ == nullptr ? Error{.code = Mistake::stream_destroyed} : *error_;
}

void Fetch::end(std::string_view last) {
  if (request_ != nullptr) static_cast<void>(request_->end(last));
}

namespace detail {

// ---- Reading ----

bool FetchRead::satisfied() const noexcept {
  const Fetch& fetch = *fetch_;
  if (fetch.error_ != nullptr) return true;
  switch (wants_) {
    case Wants::head: return fetch.has_head_;
    case Wants::piece: return fetch.complete_ || !fetch.input_.empty();
    case Wants::body: break;
  }
  return fetch.complete_ || fetch.input_.size() > size_max_;
}

bool FetchRead::await_ready() noexcept {
  if (take_cancel() || satisfied()) return true;
  WEIR_ASSERT(fetch_->reader_ == nullptr);  // one at a time
  fetch_->reader_ = this;
  if (wants_ != Wants::head) fetch_->hold(false);
  return false;
}

Fetch& FetchRead::let_go() noexcept {
  Fetch& fetch = *std::exchange(fetch_, nullptr);
  if (fetch.reader_ == this) fetch.reader_ = nullptr;
  return fetch;
}

Expected<const http::ReceivedHead*> FetchHead::await_resume() {
  const Fetch& fetch = let_go();
  if (failed_ != 0) return failure({.code = errno_code(failed_)});
  if (fetch.has_head_) return &fetch.head_;
  return failure(fetch.error());
}

Expected<Buffer> FetchPiece::await_resume() {
  Fetch& fetch = let_go();
  if (failed_ != 0) return failure({.code = errno_code(failed_)});
  if (!fetch.input_.empty()) return fetch.input_.take_all();
  if (fetch.complete_) return Buffer();
  return failure(fetch.error());
}

Expected<std::string> FetchBody::await_resume() {
  Fetch& fetch = let_go();
  if (failed_ != 0) return failure({.code = errno_code(failed_)});
  if (fetch.input_.size() > size_max_) {
    return failure({.code = errno_code(EMSGSIZE), .detail = "the body is larger"});
  }
  if (!fetch.complete_) return failure(fetch.error());
  std::string body(fetch.input_.view());
  fetch.input_.clear();
  return body;
}

// ---- Writing ----

bool FetchWrite::await_ready() noexcept {
  if (take_cancel()) return true;
  result_ = push();
  if (result_ == net::Write::ok || result_ == net::Write::closed) return true;
  WEIR_ASSERT(fetch_->writer_ == nullptr);  // one at a time
  fetch_->writer_ = this;
  return false;
}

void FetchWrite::look() noexcept {
  const bool over = fetch_->error_ != nullptr;
  if (over) {
    result_ = net::Write::closed;
  } else {
    result_ = result_ == net::Write::refused ? push() : net::Write::ok;
  }
  if (result_ == net::Write::ok || result_ == net::Write::closed) complete();
}

void FetchWrite::fail_in_task() noexcept {
  result_ = net::Write::closed;
  complete_later();
}

FetchWrite::~FetchWrite() {
  if (fetch_ != nullptr && fetch_->writer_ == this) fetch_->writer_ = nullptr;
}

Expected<void> FetchWrite::await_resume() {
  const Fetch& fetch = *fetch_;
  if (fetch_->writer_ == this) fetch_->writer_ = nullptr;
  fetch_ = nullptr;
  if (failed_ != 0) return failure({.code = errno_code(failed_)});
  if (result_ == net::Write::ok) return {};
  return failure(fetch.error());
}

}  // namespace detail
}  // namespace weir::inline v1::coro
