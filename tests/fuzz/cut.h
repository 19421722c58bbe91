// Fuzz input that says itself how it is cut: "<options><cut><cut>...<cut>\n<the bytes>".
#pragma once

#include <cstddef>
#include <string_view>

#include "tests/http_trace.h"
#include "weir/http/limits.h"

namespace weir::test {

// The line before the bytes: its first character is 's' for small limits, and each one behind it is
// the size of a piece, in turn and from the start again. Without a line end all is bytes.
class Cuts {
 public:
  explicit Cuts(std::string_view bytes) : input_(bytes) {
    const std::size_t end = bytes.substr(0, kLineBytesMax).find('\n');
    if (end == std::string_view::npos) return;
    line_ = bytes.substr(0, end);
    input_ = bytes.substr(end + 1);
  }

  bool is_small() const { return line_.starts_with('s'); }
  // Of whole messages.
  http::ParserLimits limits() const {
    if (!is_small()) return {};
    return {.head_bytes_max = 128,
            .fields_max = 4,
            .chunk_extension_bytes_max = 8,
            .trailer_bytes_max = 32};
  }
  std::string_view input() const { return input_; }
  Pieces pieces() const {
    Pieces pieces;
    std::size_t turn = 0;
    for (std::string_view rest = input_; !rest.empty(); rest.remove_prefix(pieces.back().size())) {
      const std::size_t size =
          line_.empty() ? 7 : static_cast<unsigned char>(line_[turn++ % line_.size()]);
      pieces.push_back(rest.substr(0, size + 1));
    }
    return pieces;
  }

 private:
  static constexpr std::size_t kLineBytesMax = 32;

  std::string_view line_;
  std::string_view input_;
};

}  // namespace weir::test
