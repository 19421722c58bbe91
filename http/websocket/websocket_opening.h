// A client's handshake, until 'open'. Private.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "weir/http/client_request.h"
#include "weir/http/websocket/extensions.h"
#include "weir/http/websocket/handshake.h"
#include "http/websocket/websocket_core.h"

namespace weir::inline v1::http {

struct WebSocketCore::Opening {
  ClientRequestRef request;
  std::array<char, websocket::kKeyBytes> key;
  std::vector<std::string> protocols;
  websocket::DeflateOptions deflate;
  bool offers_deflate = false;
};

}  // namespace weir::inline v1::http
