// A client's handshake.
#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "weir/http/field_value.h"
#include "weir/http/http_url.h"
#include "weir/http/status.h"
#include "weir/http/url.h"
#include "weir/http/websocket/extensions.h"
#include "weir/http/websocket/handshake.h"
#include "http/websocket/websocket_core.h"
#include "http/websocket/websocket_opening.h"
#include "http/websocket/websocket_part.h"

namespace weir::inline v1::http {

using websocket::HandshakeError;

namespace {

std::unexpected<Error> mistake(Mistake code, const char* detail) {
  return failure({.code = code, .detail = detail});
}

// As a URL of http, whose parts are the same.
Expected<HttpUrl> parse_websocket_url(std::string_view text) {
  const std::string_view scheme = split_url(text).scheme;
  if (scheme.empty()) {
    return mistake(Mistake::bad_argument, "a URL begins with ws:// and has a host");
  }
  if (!equals_lower(scheme, "ws")) {
    return mistake(Mistake::invalid_protocol, "only ws:// is spoken here");
  }
  if (text.contains('#')) {  // RFC 6455, section 3
    return mistake(Mistake::bad_argument, "a URL of a WebSocket has no fragment");
  }
  return parse_http_url(std::string("http").append(text.substr(scheme.size())));
}

Expected<void> check(const WebSocketClientOptions& options) {
  const auto protocols = std::span(options.protocols.begin(), options.protocols.size());
  if (!websocket::are_valid_subprotocols(protocols)) {
    return mistake(Mistake::bad_argument, "subprotocols are tokens, each of them once");
  }
  const Duration least = std::min({options.socket.close_timeout, options.socket.ping_interval,
                                   options.socket.pong_timeout, options.open_timeout});
  if (least < Duration::zero()) {
    return mistake(Mistake::out_of_range, "a timeout must not be negative: 0 is none");
  }
  if (options.socket.deflate.level < 1 || options.socket.deflate.level > 9) {
    return mistake(Mistake::out_of_range, "the level of compression is 1 to 9");
  }
  return {};
}

std::string list_of(std::initializer_list<std::string_view> names) {
  std::string list;
  for (const std::string_view name : names) {
    if (!list.empty()) list += ", ";
    list += name;
  }
  return list;
}

}  // namespace

// The request's listeners know the core by this. One that goes without having been called has gone
// with its agent.
struct WebSocketCore::OpeningGuard {
  explicit OpeningGuard(WebSocketCore& its_core) noexcept
      : core(Slab<WebSocketCore>::ref(&its_core)) {}
  OpeningGuard(OpeningGuard&& other) noexcept : core(std::exchange(other.core, {})) {}
  OpeningGuard& operator=(OpeningGuard&&) = delete;
  ~OpeningGuard() {
    if (WebSocketCore* there = core.get()) there->request_gone();
  }
  Slab<WebSocketCore>::Ref core;
};

Expected<WebSocket*> WebSocketCore::connect(Agent& agent, std::string_view url,
                                            const WebSocketClientOptions& options) {
  WebSocketPart& part = WebSocketPart::of(agent.reactor());
  const auto give_back = [&part](WebSocketCore* unused) {
    unused->opening_.reset();
    part.cores().destroy(unused);
  };
  std::unique_ptr<WebSocketCore, decltype(give_back)> core(
      part.cores().create(part, options.socket, websocket::Role::client), give_back);
  if (core == nullptr) return failure({.code = errno_code(ENOMEM)});
  if (auto started = core->start(agent, url, options); !started) {
    return std::unexpected(started.error());
  }
  part.add_client(*core);
  return &core.release()->handle_;
}

Expected<void> WebSocketCore::start(Agent& agent, std::string_view url,
                                    const WebSocketClientOptions& options) {
  const auto parts = parse_websocket_url(url);
  if (!parts) return std::unexpected(parts.error());
  if (auto good = check(options); !good) return good;
  const auto made = agent.request({.host = parts->host,
                                   .port = parts->port,
                                   .target = parts->target,
                                   .socket_path = options.socket_path,
                                   .headers = options.headers,
                                   .credentials = parts->userinfo,
                                   .resolver = options.resolver,
                                   .own_connection = true,
                                   .time_limit = options.open_timeout});
  if (!made) return std::unexpected(made.error());
  ClientRequest& request = **made;
  opening_ = std::make_unique<Opening>();
  opening_->request = request.weak();
  std::array<std::uint8_t, 16> random;
  reactor_.backend().random(random);
  opening_->key = websocket::make_key(random);
  static_cast<void>(request.set_header("Connection", "Upgrade"));
  static_cast<void>(request.set_header("Upgrade", "websocket"));
  static_cast<void>(request.set_header("Sec-WebSocket-Version", "13"));
  static_cast<void>(request.set_header(
      "Sec-WebSocket-Key", std::string_view(opening_->key.data(), opening_->key.size())));
  if (options.protocols.size() != 0) {
    opening_->protocols.assign(options.protocols.begin(), options.protocols.end());
    static_cast<void>(
        request.set_header("Sec-WebSocket-Protocol", list_of(options.protocols)));
  }
  if (options.socket.deflate.on) {
    opening_->offers_deflate = true;
    opening_->deflate.client_no_context_takeover = !options.socket.deflate.send_context_takeover;
    opening_->deflate.server_no_context_takeover = !options.socket.deflate.receive_context_takeover;
    static_cast<void>(request.set_header("Sec-WebSocket-Extensions",
                                         websocket::offer_deflate(opening_->deflate)));
  }
  const auto ref = Slab<WebSocketCore>::ref(this);
  request.on_upgrade([ref](ClientUpgrade& upgrade) {
    if (WebSocketCore* core = ref.get()) core->upgraded(upgrade);
  });
  request.on_response([ref](ClientResponse& response) {
    if (WebSocketCore* core = ref.get()) core->refused(response);
  });
  request.on_error([ref](ClientRequest&, const Error& error) {
    if (WebSocketCore* core = ref.get()) core->connect_failed(error);
  });
  request.on_close([guard = OpeningGuard(*this)](ClientRequest&) {});
  request.end();
  return {};
}

void WebSocketCore::upgraded(ClientUpgrade& upgrade) {
  if (opening_ == nullptr) return;
  const Opening& opening = *opening_;
  const std::vector<std::string_view> offered(opening.protocols.begin(), opening.protocols.end());
  const auto checked = websocket::check_response(
      upgrade.response.status(), upgrade.response.fields(),
      {opening.key.data(), opening.key.size()}, offered);
  if (checked.error != HandshakeError::none) return connect_failed({.code = checked.error});
  const auto deflate = websocket::check_deflate(
      upgrade.response.fields(), opening.offers_deflate ? &opening.deflate : nullptr);
  if (deflate.answer == websocket::DeflateAnswer::malformed) {
    return connect_failed({.code = HandshakeError::answer_extension});
  }
  opening_.reset();
  owned_socket_ = std::move(upgrade.socket);
  const bool agreed = deflate.answer == websocket::DeflateAnswer::agreed;
  stand(*owned_socket_, std::move(upgrade.head), agreed ? &deflate.agreement : nullptr,
        checked.subprotocol);
}

void WebSocketCore::refused(ClientResponse& response) {
  if (opening_ == nullptr) return;
  const int status = response.status();
  end().refusal_status = status;
  std::string detail = "the server answered " + std::to_string(status) + ' ';
  detail += reason_phrase(status);
  connect_failed({.code = HandshakeError::status, .detail = std::move(detail)});
}

void WebSocketCore::connect_failed(const Error& error) {
  if (opening_ == nullptr) return;
  note_error(error);
  enter_closing();
  dropping_ = stream_closed_ = true;
  drop_request();
  schedule();
}

void WebSocketCore::request_gone() noexcept {
  if (opening_ == nullptr || gone_) return;
  connect_failed({.code = errno_code(ECANCELED),
                  .detail = "the agent went before the WebSocket was open"});
}

// Its listeners find nothing to do any more.
void WebSocketCore::drop_request() noexcept {
  if (opening_ == nullptr) return;
  const std::unique_ptr<Opening> dropped = std::move(opening_);
  if (ClientRequest* request = dropped->request.get()) request->destroy();
}

}  // namespace weir::inline v1::http
