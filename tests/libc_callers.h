// Whose call it is: of the library, or of the tests and what they are made of.
#pragma once

namespace weir::test {

// True exactly when the function that has this address in it is the library's.
bool is_of_library(const void* address) noexcept;

}  // namespace weir::test
