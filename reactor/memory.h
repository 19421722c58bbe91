// Memory that is asked for after construction, and what happens when there is none.
//
// What grows with what peers do asks allocate(): connections, what is received, queued, parsed or
// gathered. It may say no, and then that connection, request or message is refused or closed with
// ENOMEM; everything else goes on.
//
// The small things beside it that cannot say no (a listener, a place in a table, the text of an
// error), and the program's own handlers, have operator new. Behind it stands a reserve of the
// process's: when the system has nothing left for operator new, the reserve is given up to it. From
// then on until half of it can be had again allocate() refuses everything, connections that come
// are closed, requests get a 503, so that those that are there find memory to finish and go. Half,
// for what it was given up to may stay, as tables do that have grown. Only when the reserve is used
// up, too, operator new throws std::bad_alloc: out of a call of the program's own to the program;
// out of the loop, whose functions are noexcept, it ends the process.
#pragma once

#include <cstddef>

namespace weir::inline v1::memory {

// Returns null when the system, or the gate below, refuses, and while memory is not plentiful.
// Aligned for any object. Any thread.
[[nodiscard]] void* allocate(std::size_t bytes) noexcept;
void release(void* memory) noexcept;

// A reserve for operator new of so many bytes, from now on and for good; the first call counts. Its
// new-handler (std::set_new_handler) stands in front of the one that is there. Any thread.
void keep_reserve(std::size_t bytes) noexcept;
// False from when operator new has needed the reserve until half of it is there again, which this
// tries to get: it is no time to begin anything. Any thread.
[[nodiscard]] bool is_plentiful() noexcept;
// Tries to get what is missing of the reserve, now and then. Any thread.
void replenish() noexcept;

// A test's means to refuse the Nth allocation of the calling thread: asked before each one with
// its size, false refuses it. Null (the default) asks nobody.
using Gate = bool (*)(std::size_t bytes) noexcept;
void set_gate(Gate gate) noexcept;

}  // namespace weir::inline v1::memory
