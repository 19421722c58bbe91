// What the tests of RFC 6455 by its sections have in common: bytes to send, and what they say.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "tests/rules.h"
#include "tests/websocket_trace.h"
#include "tests/websocket_world.h"

namespace weir::test {

class WebSocketRfcWorld : public WebSocketTest {
 protected:
  // What these bytes say, or in the end what is wrong with them; compressed ones as they are.
  static Trace frames_from_server(std::string_view bytes) {
    return frame_trace_of({bytes}, {.role = websocket::Role::client, .deflate = true});
  }
  static Trace frames_from_client(std::string_view bytes) {
    return frame_trace_of({bytes}, {.role = websocket::Role::server, .deflate = true});
  }
};

}  // namespace weir::test
