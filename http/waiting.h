// Output that cannot leave yet. Private to http.
#pragma once

#include <algorithm>
#include <cstddef>
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
  // False: memory is refused, and nothing has changed.
  [[nodiscard]] bool add(std::string_view text) {
    if (text.empty()) return true;
    if (text.size() > block_.room()) {
      BufferBlock fresh;
      const std::size_t room = std::clamp(sizes_.memory, kBlockMin, kBlockMax);
      if (!fresh.allocate(std::max(text.size(), room))) return false;
      gather();
      block_ = std::move(fresh);
    }
    if (text_.empty()) {
      text_ = block_.append(text);
    } else {
      block_.extend(text_, text);
    }
    count(text.size());
    return true;
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
    block_.reset();
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
    text_.reset();
    block_.reset();
    sizes_ = {};
  }

 private:
  using Piece = std::variant<Buffer, net::FileRange>;
  // As much again as there is, but for one head no more than that.
  static constexpr std::size_t kBlockMin = 512;
  static constexpr std::size_t kBlockMax = 16 * 1024;

  void count(std::size_t size) noexcept {
    sizes_.bytes += size;
    sizes_.memory += size;
  }
  void gather() {
    if (!text_.empty()) pieces_.emplace_back(std::move(text_));
  }

  std::vector<Piece> pieces_;
  BufferBlock block_;
  Buffer text_;  // behind the last piece, the last bytes of the block
  net::Queued sizes_;
};

}  // namespace weir::inline v1::http
