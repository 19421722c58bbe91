// coro::Fetch: a request with its response, as awaitables. Optional, nothing in weir includes it.
//
//     coro::Task<> show(http::Agent& agent) {
//       coro::Fetch fetch(agent.get("http://localhost:8080/"));
//       auto head = co_await fetch.response();
//       if (!head) co_return report(head.error());
//       auto body = co_await fetch.read_all(1 << 20);
//       if (body) print((*head)->status, *body);
//     }
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "weir/http/agent.h"
#include "weir/http/field_store.h"
#include "weir/net/coro.h"

namespace weir::inline v1::coro {

class Fetch;

namespace detail {

// Waits for something of the response. What is there is the fetch's: it looks again whenever that
// has changed.
class FetchRead : public Operation {
 public:
  enum class Wants : std::uint8_t { head, piece, body };

  FetchRead(Fetch& fetch, Wants wants, std::size_t size_max) noexcept
      : fetch_(&fetch), size_max_(size_max), wants_(wants) {}
  FetchRead(FetchRead&& other) noexcept = default;
  bool await_ready() noexcept;

 protected:
  ~FetchRead() {
    if (fetch_ != nullptr) let_go();
  }
  Fetch& let_go() noexcept;

  Fetch* fetch_;
  std::size_t size_max_;

 private:
  friend class coro::Fetch;
  bool satisfied() const noexcept;

  Wants wants_;
};

class FetchHead final : public FetchRead {
 public:
  using FetchRead::FetchRead;
  Expected<const http::ReceivedHead*> await_resume();
};

class FetchPiece final : public FetchRead {
 public:
  using FetchRead::FetchRead;
  Expected<Buffer> await_resume();
};

class FetchBody final : public FetchRead {
 public:
  using FetchRead::FetchRead;
  Expected<std::string> await_resume();
};

// Waits until the request's queue has drained, if it is full.
class FetchWrite : public Operation {
 public:
  explicit FetchWrite(Fetch& fetch) noexcept : fetch_(&fetch) {}
  FetchWrite(FetchWrite&& other) noexcept = default;

  bool await_ready() noexcept;
  Expected<void> await_resume();

 protected:
  ~FetchWrite();
  virtual net::Write push() = 0;

  Fetch* fetch_;

 private:
  friend class coro::Fetch;
  // The queue has drained, or the request is over.
  void look() noexcept;
  void fail_in_task() noexcept;

  net::Write result_ = net::Write::closed;
};

template <class Bytes>
class FetchWriteOf final : public FetchWrite {
 public:
  FetchWriteOf(Fetch& fetch, Bytes bytes) noexcept
      : FetchWrite(fetch), bytes_(std::move(bytes)) {}
  FetchWriteOf(FetchWriteOf&& other) noexcept = default;

 private:
  net::Write push() override;
  Bytes bytes_;
};

}  // namespace detail

// Owns the request: destroying this before the response is complete ends it at once, with its
// connection. A coroutine may destroy its own fetch.
//
// Invariants
// 1. An await lives in the frame of the coroutine that awaits it. At most one of response, read and
//    read_all, and at most one write wait at a time (asserted); this is destroyed only while nobody
//    waits on it (asserted).
// 2. Pieces of the body are read once, in order. They come before an error. While nobody reads at
//    most one receive's bytes are held here, and the response is paused.
// 3. Head, fields and trailers are copies, good as long as this.
// Errors: those of the request and of its response, as their 'error' has them; the options' that it
// was made with; ECANCELED, after which everything goes on and can be awaited again.
// Thread: the reactor's. The agent outlives it.
class Fetch final {
 public:
  // What Agent::request() or get() has answered.
  explicit Fetch(Expected<http::ClientRequest*> request);
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;
  ~Fetch();

  // For headers, events and end(). Null when it could not be made, or is over.
  http::ClientRequest* request() const noexcept { return request_; }

  // Expected<void>. Resumes when the bytes are queued and the queue is below the high-water mark,
  // or has drained. They outlive the await. Cancelled: they are sent or not.
  [[nodiscard]] detail::FetchWriteOf<Buffer> write(Buffer bytes) noexcept {
    return {*this, std::move(bytes)};
  }
  [[nodiscard]] detail::FetchWriteOf<std::string_view> write(std::string_view bytes) noexcept {
    return {*this, bytes};
  }
  // The end of the request, with a last piece; harmless when it is over.
  void end(std::string_view last = {});

  // Expected<const http::ReceivedHead*>.
  [[nodiscard]] detail::FetchHead response() noexcept {
    return {*this, detail::FetchRead::Wants::head, 0};
  }
  // Of the response; nothing before it is there.
  std::optional<std::string_view> header(std::string_view name) const noexcept {
    return http::find_field(fields_.fields(), name);
  }
  // Expected<Buffer>: the next piece of the body, or empty when it is complete.
  [[nodiscard]] detail::FetchPiece read() noexcept {
    return {*this, detail::FetchRead::Wants::piece, 0};
  }
  // Expected<std::string>: all that is left of the body. EMSGSIZE when that is more; read() then
  // gives what has come.
  [[nodiscard]] detail::FetchBody read_all(std::size_t size_max) noexcept {
    return {*this, detail::FetchRead::Wants::body, size_max};
  }
  // Of the response, when its body is read.
  std::span<const http::Field> trailers() const noexcept { return trailers_.fields(); }

 private:
  friend class detail::FetchRead;
  friend class detail::FetchHead;
  friend class detail::FetchPiece;
  friend class detail::FetchBody;
  friend class detail::FetchWrite;
  template <class Bytes>
  friend class detail::FetchWriteOf;

  using ListenerIds = std::array<net::ListenerId, 3>;

  // What the listeners know: one that is taken back during an emission is called all the same. The
  // request's 'close' listener owns it and stays until the request is over.
  struct Handle {
    Fetch* fetch;  // null: it has gone
  };

  void listen();
  void take_response(http::ClientResponse& response);
  void take_data(Buffer bytes);
  void take_end(const http::ClientResponse& ended);
  void take_close();
  void fail(Error error);
  void hold(bool on) noexcept;
  // Whoever waits goes on, if it can: nothing may be touched after these.
  void tell_reader() noexcept;
  void tell_writer() noexcept;
  Error error() const;

  Handle* handle_ = nullptr;                  // good while there is a request
  http::ClientRequest* request_ = nullptr;    // null: over
  http::ClientResponse* response_ = nullptr;  // null: not there, or over
  ListenerIds on_request_ = {};
  ListenerIds on_response_ = {};
  detail::FetchRead* reader_ = nullptr;
  detail::FetchWrite* writer_ = nullptr;
  std::unique_ptr<Error> error_;
  std::string reason_;
  http::ReceivedHead head_;
  http::FieldStore fields_;
  http::FieldStore trailers_;
  Input input_;
  bool has_head_ = false;
  bool complete_ = false;
};

namespace detail {

template <class Bytes>
net::Write FetchWriteOf<Bytes>::push() {
  if (fetch_->request_ == nullptr) return net::Write::closed;
  if constexpr (std::is_same_v<Bytes, Buffer>) {
    return fetch_->request_->write(std::move(bytes_));
  } else {
    return fetch_->request_->write(bytes_);
  }
}

}  // namespace detail
}  // namespace weir::inline v1::coro
