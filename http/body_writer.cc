#include "weir/http/body_writer.h"

#include <charconv>

#include "weir/http/chunked.h"
#include "weir/http/text_sink.h"
#include "weir/reactor/assert.h"

namespace weir::inline v1::http {
namespace {

using Kind = BodyFraming::Kind;

constexpr std::string_view kLastChunk = "0\r\n";
constexpr std::string_view kLastChunkAndEnd = "0\r\n\r\n";

}  // namespace

// ---- BodyEnd ----

std::string_view BodyEnd::literal() const noexcept {
  return size_ == kLastChunkAndEnd.size() ? kLastChunkAndEnd : "";
}

template <class Sink>
void BodyEnd::emit(Sink& sink) const noexcept {
  sink.put(kLastChunk);
  if (trailers_ != nullptr) trailers_->write(sink);
  sink.put("\r\n");
}

void BodyEnd::write(std::span<char> out) const noexcept {
  if (size_ != 0) write_text(out, size_, [this](auto& sink) { emit(sink); });
}

void BodyEnd::append_to(std::string& out) const {
  if (size_ == 0) return;
  append_text(out, size_, [this](auto& sink) { emit(sink); });
}

// ---- BodyWriter ----

Expected<BodyPiece> BodyWriter::piece(std::size_t size) noexcept {
  if (is_finished_) return failure({.code = Mistake::write_after_end});
  BodyPiece piece;
  piece.is_sent_ = size != 0 && kind_ != Kind::none;
  if (!piece.is_sent_) return piece;
  if (kind_ == Kind::length) {
    if (size > left_) return failure({.code = Mistake::content_length_mismatch});
    left_ -= size;
  }
  if (kind_ == Kind::chunked) {
    char* const text = piece.text_.data();
    char* end = std::to_chars(text, text + 16, std::uint64_t{size}, 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    piece.size_ = static_cast<std::uint8_t>(end - text);
  }
  return piece;
}

Expected<BodyEnd> BodyWriter::finish(const Fields* trailers) noexcept {
  if (is_finished_) return failure({.code = Mistake::already_finished});
  for (std::size_t i = 0; trailers != nullptr && i < trailers->size(); ++i) {
    if (!is_forbidden_trailer(trailers->at(i).name)) continue;
    return failure({.code = Mistake::trailer_invalid,
                    .detail = "a field that must stand in the head, not in the trailers"});
  }
  is_finished_ = true;
  BodyEnd end;
  end.is_complete_ = left_ == 0;
  if (kind_ != Kind::chunked) return end;
  end.trailers_ = trailers;
  end.size_ = text_size([&](auto& sink) { end.emit(sink); });
  return end;
}

}  // namespace weir::inline v1::http
