// Output that cannot leave yet. Private to http.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/reactor/buffer.h"

namespace weir::inline v1::http {

// Pieces of one message, in order. Small texts lie together.
class Waiting {
 public:
  void add(std::string_view text) {
    text_ += text;
    bytes_ += text.size();
  }
  void add(Buffer&& bytes) {
    gather();
    bytes_ += bytes.size();
    pieces_.push_back(std::move(bytes));
  }
  std::size_t bytes() const noexcept { return bytes_; }
  bool empty() const noexcept { return bytes_ == 0; }
  // Calls `take` with each Buffer, in order, and is empty then.
  template <class Take>
  void drain(Take&& take) {
    gather();
    bytes_ = 0;
    for (Buffer& piece : std::exchange(pieces_, {})) take(std::move(piece));
  }
  void clear() noexcept {
    pieces_.clear();
    text_.clear();
    bytes_ = 0;
  }

 private:
  void gather() {
    if (!text_.empty()) pieces_.push_back(Buffer::take(std::exchange(text_, {})));
  }

  std::vector<Buffer> pieces_;
  std::string text_;  // behind the last piece
  std::size_t bytes_ = 0;
};

}  // namespace weir::inline v1::http
