// How the tutorial of dwarves, elves and hobbits writes.
#pragma once

#include <string>

#include "weir/net/socket.h"

namespace weir::example {

// Its test is the wrong way round: what was taken at once would be sent again upon 'drain', what
// was not would be forgotten. It works because 'drain' never comes for a write that answered `ok`,
// and because `full` means that the bytes were taken. This is kept to show just that.
inline void write_data(net::Socket& socket, std::string data) {
  const bool success = socket.write(data) != net::Write::ok;
  if (success) return;
  socket.on_drain([data = std::move(data)](net::Socket& drained) { write_data(drained, data); },
                  net::Times::once);
}

}  // namespace weir::example
