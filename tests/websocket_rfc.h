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
#include "weir/http/websocket/deflate.h"

namespace weir::test {

inline std::string close_payload(unsigned code, std::string_view reason = {}) {
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  return payload.append(reason);
}

// What stands in the frame of a compressed message, which refers to none before it.
inline std::string deflated(std::string_view message) {
  websocket::Deflater deflater(15, false);
  std::vector<char> room(message.size() + 4096);
  const auto step = deflater.next(message, true, room);
  EXPECT_EQ(step.status, websocket::Deflater::Status::end);
  return {room.data(), step.written};
}

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

// A server of weir's, and raw clients of it.
class WebSocketRfcServerWorld : public WebSocketRfcWorld {
 protected:
  // A raw client with its record, behind the handshake.
  struct Line {
    HttpClient& raw;
    WsRecord& record;
  };
  Line line(std::string_view more_fields = {}) {
    const std::size_t before = peers_.size();
    HttpClient& raw = dial_raw(more_fields);
    EXPECT_TRUE(answer_.starts_with("HTTP/1.1 101 ")) << answer_;
    EXPECT_TRUE(run_until([&] { return peers_.size() > before; }));
    return {raw, peers_.back()};
  }

  static Trace heard(HttpClient& raw) { return frames_from_server(raw.received()); }
  // Until the server has said so many things.
  bool run_until_heard(HttpClient& raw, std::size_t count) {
    return run_until([&] { return heard(raw).size() >= count; });
  }
};

}  // namespace weir::test
