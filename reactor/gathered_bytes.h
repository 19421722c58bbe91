// Bytes that come piece by piece and are wanted in one piece.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "weir/reactor/buffer.h"

namespace weir::inline v1 {

// Grows by doubling, in memory that may be refused.
class GatheredBytes {
 public:
  // False: memory is refused, or they would be more than a Buffer can have; nothing has changed.
  [[nodiscard]] bool append(std::string_view bytes) noexcept {
    if (bytes.size() > block_.room() && !widen(bytes.size())) return false;
    block_.extend(bytes_, bytes);
    return true;
  }
  std::string_view view() const noexcept { return bytes_.view(); }
  // All of them, which it has no more.
  [[nodiscard]] Buffer take() noexcept {
    block_.reset();
    return std::move(bytes_);
  }

 private:
  static constexpr std::size_t kMost = UINT32_MAX - std::size_t{64} * 1024;

  bool widen(std::size_t more) noexcept {
    if (more > kMost - bytes_.size()) return false;
    BufferBlock wider;
    const std::size_t wanted = std::max(bytes_.size() + more, 2 * bytes_.size());
    if (!wider.allocate(std::min(wanted, kMost))) return false;
    bytes_ = wider.append(bytes_.view());
    block_ = std::move(wider);
    return true;
  }

  BufferBlock block_;
  Buffer bytes_;  // all that is in it
};

// One behind the other. Empty: memory is refused.
[[nodiscard]] inline Buffer joined(const Buffer& first, const Buffer& second) noexcept {
  GatheredBytes both;
  if (!both.append(first.view()) || !both.append(second.view())) return {};
  return both.take();
}

}  // namespace weir::inline v1
