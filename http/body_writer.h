// What goes between the pieces of an outgoing body.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "weir/http/body_framing.h"
#include "weir/http/fields.h"
#include "weir/reactor/error.h"

namespace weir::inline v1::http {

// What to send around one piece; a value. The piece itself is never looked at.
class BodyPiece {
 public:
  // False: nothing at all is sent, not the piece either. It is empty, or the message has no body.
  bool is_sent() const noexcept { return is_sent_; }
  // A chunk's size line (RFC 9112, section 7.1), or nothing. A view of this object.
  std::string_view before() const noexcept { return {text_.data(), size_}; }
  // A chunk's end, or nothing. Of static storage duration.
  std::string_view behind() const noexcept { return size_ == 0 ? "" : "\r\n"; }

 private:
  friend class BodyWriter;

  std::array<char, 18> text_ = {};  // 64 bits in hex, CRLF
  std::uint8_t size_ = 0;
  bool is_sent_ = false;
};

// What to send behind the last piece; a value. The trailers that it was made with outlive it and do
// not change.
class BodyEnd {
 public:
  // False: bytes that Content-Length promised are missing, and only the end of the connection can
  // tell the peer (RFC 9112, section 8).
  bool is_complete() const noexcept { return is_complete_; }

  // Bytes of the last chunk, the trailers and the empty line; 0 unless the body is chunked.
  std::size_t size() const noexcept { return size_; }
  // The same text without a copy, of static storage duration; empty when there are trailers.
  std::string_view literal() const noexcept;
  // Precondition: out.size() >= size(). Writes size() bytes.
  void write(std::span<char> out) const noexcept;
  // Allocates when `out` has no room for it.
  void append_to(std::string& out) const;

 private:
  friend class BodyWriter;

  template <class Sink>
  void emit(Sink& sink) const noexcept;

  const Fields* trailers_ = nullptr;
  std::size_t size_ = 0;
  bool is_complete_ = true;
};

// One body, in pieces of any sizes:
//
//     length         piece piece ...                     counted
//     chunked        size CRLF piece CRLF ...  0 CRLF trailers CRLF
//     until close    piece piece ...
//     none           -                                   whatever is written is dropped
//
// Owner: the message; a value. One thread. It neither copies nor allocates.
class BodyWriter {
 public:
  BodyWriter() noexcept = default;
  explicit BodyWriter(BodyFraming framing) noexcept
      : kind_(framing.kind),
        left_(framing.kind == BodyFraming::Kind::length ? framing.length : 0) {}

  // Errors, after which nothing has changed and nothing of the piece may be sent:
  // Mistake::content_length_mismatch (longer than what is left), write_after_end.
  Expected<BodyPiece> piece(std::size_t size) noexcept;

  // `trailers` may be null. They are sent in a chunked body only and dropped otherwise (RFC 9110,
  // section 6.5.1). Errors, after which nothing has changed: Mistake::trailer_invalid (a name that
  // may not stand there, see is_forbidden_trailer(), whatever the framing), already_finished.
  Expected<BodyEnd> finish(const Fields* trailers) noexcept;

  // As finish(nullptr), where nothing is sent behind the last piece; else false, and nothing has
  // changed.
  bool finish_by_itself() noexcept {
    if (kind_ == BodyFraming::Kind::chunked || is_finished_) return false;
    is_finished_ = true;
    return true;
  }
  // Of Content-Length, not written yet.
  std::uint64_t left() const noexcept { return left_; }
  bool is_finished() const noexcept { return is_finished_; }

 private:
  BodyFraming::Kind kind_ = BodyFraming::Kind::none;
  bool is_finished_ = false;
  std::uint64_t left_ = 0;
};

}  // namespace weir::inline v1::http
