// Whether this is built with AddressSanitizer, which keeps what was freed for a while, needs
// descriptors of its own, and is slow.
#pragma once

namespace weir::test {

#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace weir::test
