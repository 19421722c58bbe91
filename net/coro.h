// Coroutines over servers and sockets: optional, nothing in weir includes it.
//
//     coro::Task<> echo(coro::Stream stream) {
//       for (;;) {
//         auto bytes = co_await stream.read();
//         if (!bytes || bytes->empty()) break;
//         if (!co_await stream.write(std::move(*bytes))) co_return;
//       }
//       co_await stream.end();
//     }
//
// Who owns what. A Scope owns the coroutines that run, each the tasks that it awaits, and each
// frame the streams, acceptors and awaits in it; nothing is shared, so nothing is left behind.
// 1. A frame is freed when its coroutine has ended, or earlier by its owner, while it waits: it is
//    then not resumed any more, and what it waited for forgets it. Freeing one that runs asserts.
// 2. Every await ends once: with a result, or with ECANCELED after a cancel(), at its next await
//    when none is going on. Then the coroutine goes on, once more; to end it without asking its
//    owner is destroyed.
// 3. No coroutine is resumed inside a call that another one makes. Awaiting a task, or a group of
//    them, begins it at once.
// 4. A stream's connection may end while somebody awaits it: the await ends with the reason. A
//    coroutine may destroy its own stream and acceptor, never its own scope (asserted).
// 5. The reactor outlives every Scope that has coroutines (asserted), every Stream and Acceptor.
// 6. An await allocates nothing; a spawned coroutine is one allocation, its frame.
// Everything is on the reactor's thread. Errors are values; an exception that leaves a coroutine
// ends the program.
//
// GCC 12 copies the bytes of an object that is made with braces within a co_await expression, which
// breaks strings in it: give it a name before. Nor does it like co_await within `?:`.
#pragma once

#include "weir/net/coro_acceptor.h"
#include "weir/net/coro_context.h"
#include "weir/net/coro_delay.h"
#include "weir/net/coro_scope.h"
#include "weir/net/coro_stream.h"
#include "weir/net/coro_task.h"
#include "weir/net/coro_when.h"
