#pragma once

#include <array>
#include <cstdarg>
#include <cstdio>
#include <string>

namespace weir::bench {

// As printf(3), at most 255 characters.
[[gnu::format(printf, 1, 2)]] inline std::string format(const char* text, ...) {
  std::array<char, 256> room;
  va_list arguments;
  va_start(arguments, text);
  std::vsnprintf(room.data(), room.size(), text, arguments);
  va_end(arguments);
  return room.data();
}

}  // namespace weir::bench
