// Output that cannot leave yet. Private to http.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "weir/net/write_queue.h"
#include "weir/reactor/buffer.h"

namespace weir::inline v1::http {

// Pieces of one message, in order. Small texts lie together.
class Waiting {
 public:
  void add(std::string_view text) {
    text_ += text;
    count(text.size());
  }
  void add(Buffer&& bytes) {
    gather();
    count(bytes.size());
    pieces_.emplace_back(std::move(bytes));
  }
  void add(net::FileRange&& range) {
    gather();
    sizes_.bytes += range.size;
    ++sizes_.files;
    pieces_.emplace_back(std::move(range));
  }
  const net::Queued& sizes() const noexcept { return sizes_; }
  std::size_t bytes() const noexcept { return sizes_.bytes; }
  bool empty() const noexcept { return sizes_.bytes == 0; }
  // Calls `take` with each Buffer and each FileRange, in order, and is empty then.
  template <class Take>
  void drain(Take&& take) {
    gather();
    sizes_ = {};
    for (Piece& piece : std::exchange(pieces_, {})) {
      if (auto* range = std::get_if<net::FileRange>(&piece)) {
        take(std::move(*range));
      } else if (auto* bytes = std::get_if<Buffer>(&piece)) {
        take(std::move(*bytes));
      }
    }
  }
  void clear() noexcept {
    pieces_.clear();
    text_.clear();
    sizes_ = {};
  }

 private:
  using Piece = std::variant<Buffer, net::FileRange>;

  void count(std::size_t size) noexcept {
    sizes_.bytes += size;
    sizes_.memory += size;
  }
  void gather() {
    if (!text_.empty()) pieces_.emplace_back(Buffer::take(std::exchange(text_, {})));
  }

  std::vector<Piece> pieces_;
  std::string text_;  // behind the last piece
  net::Queued sizes_;
};

}  // namespace weir::inline v1::http
