// Lines of text out of a stream of bytes, and the words of a line.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::example {

inline constexpr std::size_t kLineMax = 1024;

// Cuts a stream into lines, wherever its bytes were split on their way.
class Lines {
 public:
  // Calls bool take(std::string_view line) for each line that is complete now. False: `take` said
  // so, or a line is too long.
  template <class Take>
  bool feed(std::string_view bytes, Take&& take) {
    rest_ += bytes;
    std::size_t begin = 0;
    for (std::size_t end; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      if (!take(std::string_view(rest_).substr(begin, end - begin))) return false;
    }
    rest_.erase(0, begin);
    return rest_.size() <= kLineMax;
  }
  void clear() { rest_.clear(); }

 private:
  std::string rest_;
};

// The words of a line, empty where it has fewer; the last one is all that remains.
inline std::array<std::string_view, 4> words_of(std::string_view line) {
  std::array<std::string_view, 4> words;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::size_t space = line.find(' ');
    words[i] = line.substr(0, space);
    if (space == std::string_view::npos) return words;
    line.remove_prefix(space + 1);
  }
  words.back() = line;
  return words;
}

// False: not a number, or not only.
inline bool read_number(std::string_view text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace weir::example
