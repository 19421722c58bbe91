// Assertions: what weir itself controls is asserted, in release builds too; what the world does
// (a peer, the kernel, the user's arguments) is returned as an error.
#pragma once

namespace weir::inline v1::detail {

// Prints one line that names the broken condition and aborts.
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace weir::inline v1::detail

#define WEIR_ASSERT(condition)                                                     \
  (__builtin_expect(!(condition), 0)                                               \
       ? ::weir::detail::assertion_failed(#condition, __FILE__, __LINE__)          \
       : static_cast<void>(0))
