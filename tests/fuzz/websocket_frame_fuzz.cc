// Any bytes, cut anywhere: FrameReader says the same, and what it accepts is what a plain reader of
// whole frames, written down here a second time, finds in them. Compressed messages are inflated,
// which gives the same in any room and never more than the limit.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/cut.h"
#include "tests/websocket_trace.h"
#include "weir/http/websocket/deflate.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

using websocket::Inflater;

// Where a frame of an accepted stream begins and what it says, by the table of RFC 6455, section
// 5.2. It trusts that the head is good, so where the reader took something else the two differ.
bool read_plainly(std::string_view& rest, std::string& kind, std::string& payload) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(rest[at]); };
  if (rest.size() < 2) return false;
  std::size_t at = 2;
  std::uint64_t size = byte(1) & 0x7f;
  const std::size_t more = size == 127 ? 8 : size == 126 ? 2 : 0;
  if (rest.size() < at + more) return false;
  if (more != 0) size = 0;
  for (; at < 2 + more; ++at) size = size << 8 | byte(at);
  const bool masked = (byte(1) & 0x80) != 0;
  if (rest.size() < at + (masked ? 4 : 0)) return false;
  const std::string_view key = rest.substr(at, masked ? 4 : 0);
  at += key.size();
  if (rest.size() - at < size) return false;
  payload.assign(rest.substr(at, size));
  for (std::size_t i = 0; masked && i < size; ++i) {
    payload[i] = static_cast<char>(payload[i] ^ key[i % 4]);
  }
  kind = std::string(1, static_cast<char>('a' + (byte(0) & 0x0f)));
  kind += (byte(0) & 0x80) != 0 ? "!" : "-";
  if ((byte(0) & 0x40) != 0) kind += "*";
  rest.remove_prefix(at + size);
  return true;
}

// The trace of an accepted stream.
Trace plain_trace_of(std::string_view rest) {
  Trace trace;
  std::string kind;
  std::string payload;
  std::string message;
  while (read_plainly(rest, kind, payload)) {
    switch (kind[0] - 'a') {
      case 0:
        message += payload;
        break;
      case 1:
      case 2:
        message = kind[0] == 'b' ? "text" : "binary";
        if (kind.ends_with('*')) message += "*";
        message += " " + payload;
        break;
      case 9:
        trace.push_back("ping " + payload);
        continue;
      case 10:
        trace.push_back("pong " + payload);
        continue;
      default:
        if (payload.empty()) payload = "\x03\xed";
        const unsigned code = static_cast<unsigned char>(payload[0]) * 256U +
                              static_cast<unsigned char>(payload[1]);
        trace.push_back("close " + std::to_string(code) + " " + payload.substr(2));
        return trace;
    }
    if (kind[1] == '!') trace.push_back(message);
  }
  return trace;
}

std::string inflate(std::string_view bytes, std::size_t room_size, std::uint64_t most) {
  Inflater inflater(15, true, most);
  std::vector<char> room(room_size);
  std::string out;
  for (;;) {
    const Inflater::Step step = inflater.next(bytes, true, room);
    WEIR_ASSERT(step.consumed <= bytes.size() && step.written <= room_size);
    bytes.remove_prefix(step.consumed);
    out.append(room.data(), step.written);
    WEIR_ASSERT(out.size() <= most);
    if (step.status == Inflater::Status::need_room) continue;
    WEIR_ASSERT(step.status != Inflater::Status::need_input);
    return out + "/" + std::to_string(static_cast<int>(step.status));
  }
}

void try_bytes(std::string_view bytes) {
  const Cuts cuts(bytes);
  const std::string_view input = cuts.input();
  for (const auto role : {websocket::Role::server, websocket::Role::client}) {
    const websocket::FrameReaderOptions options{
        .role = role,
        .deflate = input.size() % 2 == 0,
        .message_bytes_max = cuts.is_small() ? 20 : websocket::limits::kMessageBytesMaxDefault};
    const Trace whole = frame_trace_of({input}, options);
    WEIR_ASSERT(frame_trace_of(cuts.pieces(), options, 300) == whole);
    WEIR_ASSERT(frame_trace_of(split_in_bytes(input), options, 125) == whole);
    const bool failed = !whole.empty() && whole.back().starts_with("error");
    if (!failed) WEIR_ASSERT(plain_trace_of(input) == whole);
    for (const std::string& line : whole) {
      if (!line.starts_with("binary* ")) continue;
      const std::string_view message = std::string_view(line).substr(8);
      const std::uint64_t most = cuts.is_small() ? 100 : 5000;
      WEIR_ASSERT(inflate(message, 1, most) == inflate(message, 6000, most));
    }
  }
  const std::uint64_t most = cuts.is_small() ? 100 : 5000;
  WEIR_ASSERT(inflate(input, 1, most) == inflate(input, 6000, most));
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
