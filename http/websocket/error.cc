#include "weir/http/websocket/error.h"

#include <cstddef>
#include <iterator>
#include <string>

#include "weir/http/websocket/frame.h"
#include "weir/reactor/error.h"

namespace weir::inline v1::http::websocket {
namespace {

constexpr FrameErrorFacts kFrameFacts[] = {
    {close_code::kNormal, "", "no error"},
    {close_code::kProtocolError, "WS_ERR_UNEXPECTED_RSV_2_3", "a frame with RSV2 or RSV3"},
    {close_code::kProtocolError, "WS_ERR_UNEXPECTED_RSV_1",
     "RSV1 on a frame that begins no compressed message"},
    {close_code::kProtocolError, "WS_ERR_INVALID_OPCODE", "a reserved opcode"},
    {close_code::kProtocolError, "WS_ERR_EXPECTED_FIN", "a control frame in fragments"},
    {close_code::kProtocolError, "WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH",
     "a control frame of more than 125 bytes"},
    {close_code::kProtocolError, "WS_ERR_INVALID_LENGTH",
     "a length that is not in its shortest form"},
    {close_code::kProtocolError, "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH",
     "a length beyond 63 bits"},
    {close_code::kProtocolError, "WS_ERR_EXPECTED_MASK", "a frame of a client without a mask"},
    {close_code::kProtocolError, "WS_ERR_UNEXPECTED_MASK", "a frame of a server with a mask"},
    {close_code::kProtocolError, "WS_ERR_INVALID_OPCODE",
     "a continuation without a message to continue"},
    {close_code::kProtocolError, "WS_ERR_INVALID_OPCODE", "a message within a fragmented one"},
    {close_code::kProtocolError, "WS_ERR_INVALID_CONTROL_PAYLOAD_LENGTH",
     "a Close frame of one byte"},
    {close_code::kProtocolError, "WS_ERR_INVALID_CLOSE_CODE", "a close code that may not be sent"},
    {close_code::kInvalidPayload, "WS_ERR_INVALID_UTF8", "a close reason that is not UTF-8"},
    {close_code::kInvalidPayload, "WS_ERR_INVALID_UTF8", "a text that is not UTF-8"},
    {close_code::kMessageTooBig, "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH", "a message beyond the limit"},
    {close_code::kInvalidPayload, "WS_ERR_INVALID_DEFLATE",
     "a compressed message that cannot be inflated"},
    {close_code::kInternalError, "ENOMEM", "memory was refused"},
};
static_assert(std::size(kFrameFacts) == static_cast<std::size_t>(FrameError::no_memory) + 1);

constexpr Field kAllow[] = {{"Allow", "GET"}};
// An answer of 426 says what to upgrade to (RFC 9110, section 15.5.22).
constexpr Field kVersions[] = {{"Sec-WebSocket-Version", "13"}, {"Upgrade", "websocket"}};

constexpr HandshakeErrorFacts kHandshakeFacts[] = {
    {101, {}, "", "no error"},
    {405, kAllow, "ERR_WEBSOCKET_METHOD", "a handshake that is not a GET"},
    {400, {}, "ERR_WEBSOCKET_HTTP_VERSION", "a handshake below HTTP/1.1"},
    {400, {}, "ERR_WEBSOCKET_UPGRADE", "no Upgrade field with websocket"},
    {400, {}, "ERR_WEBSOCKET_CONNECTION", "no Connection field with upgrade"},
    {400, {}, "ERR_WEBSOCKET_KEY", "not one Sec-WebSocket-Key of 16 bytes"},
    {426, kVersions, "ERR_WEBSOCKET_VERSION", "Sec-WebSocket-Version is not 13"},
    {400, {}, "ERR_WEBSOCKET_VERSION", "more than one Sec-WebSocket-Version"},
    {400, {}, "ERR_WEBSOCKET_SUBPROTOCOLS", "Sec-WebSocket-Protocol is not up to 64 unlike tokens"},
    {400, {}, "ERR_WEBSOCKET_EXTENSIONS", "a malformed Sec-WebSocket-Extensions"},
    {0, {}, "ERR_WEBSOCKET_STATUS", "the answer to a handshake is not 101"},
    {0, {}, "ERR_WEBSOCKET_UPGRADE", "an answer without Upgrade: websocket"},
    {0, {}, "ERR_WEBSOCKET_CONNECTION", "an answer without Connection: upgrade"},
    {0, {}, "ERR_WEBSOCKET_ACCEPT", "not one Sec-WebSocket-Accept, that of the key"},
    {0, {}, "ERR_WEBSOCKET_SUBPROTOCOL", "a subprotocol that was not offered"},
    {0, {}, "ERR_WEBSOCKET_EXTENSION", "an extension that does not fit what was offered"},
};
static_assert(std::size(kHandshakeFacts) ==
              static_cast<std::size_t>(HandshakeError::answer_extension) + 1);

template <class Facts, std::size_t count>
const Facts& entry(const Facts (&facts)[count], int value) noexcept {
  const auto index = static_cast<std::size_t>(value);
  return facts[index < count ? index : 0];
}

class FrameErrorCategory final : public NamedCategory {
 public:
  const char* name() const noexcept override { return "weir.websocket"; }
  std::string message(int value) const override {
    return std::string(entry(kFrameFacts, value).text);
  }
  std::string_view name_of(int value) const noexcept override {
    return entry(kFrameFacts, value).code;
  }
};

class HandshakeErrorCategory final : public NamedCategory {
 public:
  const char* name() const noexcept override { return "weir.websocket.handshake"; }
  std::string message(int value) const override {
    return std::string(entry(kHandshakeFacts, value).text);
  }
  std::string_view name_of(int value) const noexcept override {
    return entry(kHandshakeFacts, value).code;
  }
};

const FrameErrorCategory kFrameCategory;
const HandshakeErrorCategory kHandshakeCategory;

}  // namespace

const FrameErrorFacts& facts_of(FrameError error) noexcept {
  return kFrameFacts[static_cast<std::size_t>(error)];
}
const HandshakeErrorFacts& facts_of(HandshakeError error) noexcept {
  return kHandshakeFacts[static_cast<std::size_t>(error)];
}

std::error_code make_error_code(FrameError error) noexcept {
  return {static_cast<int>(error), kFrameCategory};
}
std::error_code make_error_code(HandshakeError error) noexcept {
  return {static_cast<int>(error), kHandshakeCategory};
}

}  // namespace weir::inline v1::http::websocket
