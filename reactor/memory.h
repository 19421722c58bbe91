// The one place where memory is asked for after construction. It may say no: the caller then
// refuses or closes the connection with ENOMEM.
#pragma once

#include <cstddef>

namespace weir::inline v1::memory {

// Returns null when the system, or the gate below, refuses. Aligned for any object. Any thread.
[[nodiscard]] void* allocate(std::size_t bytes) noexcept;
void release(void* memory) noexcept;

// A test's means to refuse the Nth allocation of the calling thread: asked before each one with
// its size, false refuses it. Null (the default) asks nobody.
using Gate = bool (*)(std::size_t bytes) noexcept;
void set_gate(Gate gate) noexcept;

}  // namespace weir::inline v1::memory
