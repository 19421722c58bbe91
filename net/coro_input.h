// Received bytes that nobody has read yet. Pure: knows no socket.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "weir/reactor/buffer.h"

namespace weir::inline v1::coro {

// One piece is kept as it came. A piece that comes while another one is there is appended to it in
// memory of its own, so that what is read is always in one piece.
class Input {
 public:
  bool empty() const noexcept { return size() == 0; }
  std::size_t size() const noexcept { return view().size(); }
  std::string_view view() const noexcept { return joined_.empty() ? front_.view() : joined_; }

  void push(Buffer bytes) {
    if (empty()) {
      front_ = std::move(bytes);
    } else {
      join(bytes.view());
    }
  }
  Buffer take_all() noexcept {
    settle();
    return std::move(front_);
  }
  // Precondition: size <= this->size().
  Buffer take(std::size_t size) noexcept {
    settle();
    return size == front_.size() ? std::move(front_) : front_.take_front(size);
  }
  // The offset behind the first `delimiter` that ends within the first `size_max` bytes, or 0.
  // `searched` bytes are known to have none; it is moved on.
  std::size_t find(std::string_view delimiter, std::size_t size_max,
                   std::size_t& searched) const noexcept {
    const std::string_view bytes = view().substr(0, size_max);
    const std::size_t overlap = std::min(searched, delimiter.size() - 1);
    const std::size_t found = bytes.find(delimiter, searched - overlap);
    searched = bytes.size();
    return found == std::string_view::npos ? 0 : found + delimiter.size();
  }
  void clear() noexcept {
    front_.reset();
    joined_.clear();
  }

 private:
  void join(std::string_view bytes) {
    if (joined_.empty()) {
      joined_.reserve(front_.size() + bytes.size());
      joined_ = front_.view();
      front_.reset();
    }
    joined_ += bytes;
  }
  void settle() noexcept {
    if (joined_.empty()) return;
    front_ = Buffer::take(std::move(joined_));
    joined_.clear();
  }

  Buffer front_;
  std::string joined_;  // in its place
};

}  // namespace weir::inline v1::coro
