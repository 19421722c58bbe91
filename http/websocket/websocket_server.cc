#include "weir/http/websocket/websocket_server.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "weir/http/field_value.h"
#include "weir/http/status.h"
#include "weir/http/websocket/extensions.h"
#include "weir/http/websocket/frame.h"
#include "weir/http/websocket/handshake.h"
#include "weir/http/websocket/utf8.h"
#include "weir/net/net_part.h"
#include "http/websocket/websocket_part.h"
#include "http/websocket/websocket_server_core.h"

namespace weir::inline v1::http {

using websocket::HandshakeError;

namespace {

bool asks_for_websocket(const Request& request) noexcept {
  for (const Field& field : request.fields()) {
    if (equals_lower(field.name, "upgrade") && list_has(field.value, "websocket")) return true;
  }
  return false;
}

websocket::DeflateOptions deflate_of(const WebSocketDeflate& options) noexcept {
  return {.server_no_context_takeover = !options.send_context_takeover,
          .client_no_context_takeover = !options.receive_context_takeover};
}

void add_line(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ").append(value).append("\r\n");
}

// A frame of a server's: its head and payload in one Buffer. Empty: memory refused.
Buffer frame_of(MessageKind kind, std::string_view payload, bool compressed) {
  BufferBlock block;
  if (!block.allocate(websocket::limits::kFrameHeadBytesMax + payload.size())) return {};
  const std::span<char> room = block.space();
  const websocket::FrameHead head{
      .opcode = kind == MessageKind::text ? websocket::Opcode::text : websocket::Opcode::binary,
      .compressed = compressed,
      .mask = {},
      .length = payload.size()};
  const std::size_t at =
      write_frame_head(head, room.first<websocket::limits::kFrameHeadBytesMax>());
  if (!payload.empty()) std::memcpy(room.data() + at, payload.data(), payload.size());
  return block.commit(at + payload.size());
}

}  // namespace

// ---- The handshake as its listener sees it ----

Expected<void> WebSocketHandshake::choose(std::string_view protocol) {
  const auto offered = std::find(protocols_.begin(), protocols_.end(), protocol);
  if (offered == protocols_.end()) {
    return failure({.code = Mistake::bad_argument,
                    .detail = "the client has not offered this subprotocol"});
  }
  chosen_ = *offered;
  return {};
}

void WebSocketHandshake::refuse(int status, std::string_view text) {
  status_ = status >= 400 && status <= 599 ? status : 403;
  text_ = text;
}

// ---- Attaching ----

struct WebSocketServerCore::Attachment {
  WebSocketServerCore* core;  // null: the WebSocketServer has gone
  std::string path;

  bool wants(const Request& request) const noexcept {
    if (core == nullptr || !asks_for_websocket(request)) return false;
    return path.empty() || request.path() == path;
  }
};

// The listener's end of it.
struct WebSocketServerCore::Attached {
  explicit Attached(Attachment* its_link) noexcept : link(its_link) {}
  Attached(Attached&& other) noexcept : link(std::exchange(other.link, nullptr)) {}
  Attached& operator=(Attached&&) = delete;
  ~Attached() {
    if (link == nullptr) return;
    if (link->core != nullptr) std::erase(link->core->attachments_, link);
    delete link;
  }
  Attachment* link;
};

void WebSocketServerCore::attach(Server& server, std::string_view path) {
  auto* link = new Attachment{.core = this, .path = std::string(path)};
  attachments_.push_back(link);
  server.on_upgrade([link](const Request& request) { return link->wants(request); },
                    [attached = Attached(link)](Upgrade& upgrade) {
                      if (attached.link->core != nullptr) attached.link->core->accept(upgrade);
                    });
}

// ---- Life ----

WebSocketServerCore::WebSocketServerCore(WebSocketServer& handle, Reactor& reactor,
                                         const WebSocketServerOptions& options)
    : Task([](Task& task) noexcept { static_cast<WebSocketServerCore&>(task).service(); }),
      part_(WebSocketPart::of(reactor)),
      reactor_(reactor),
      handle_(&handle),
      options_(options) {
  WebSocketOptions& each = options_.socket;
  each.deflate.level = std::clamp(each.deflate.level, 1, 9);
  for (Duration* time : {&each.close_timeout, &each.ping_interval, &each.pong_timeout}) {
    *time = std::max(*time, Duration::zero());
  }
}

WebSocketServerCore::~WebSocketServerCore() = default;

void WebSocketServerCore::abandon() noexcept {
  handle_ = nullptr;
  for (Attachment* link : attachments_) link->core = nullptr;
  while (!cores_.empty()) cores_.back()->abandon();
  Task::unlink();
  net::NetPart::of(reactor_).destroy_later({this, [](void* core) noexcept {
                                              delete static_cast<WebSocketServerCore*>(core);
                                            }});
}

void WebSocketServerCore::remove(WebSocketCore& core) noexcept {
  if (core.index >= cores_.size() || cores_[core.index] != &core) return;
  WebSocketCore* moved = cores_.back();
  cores_[core.index] = moved;
  moved->index = core.index;
  cores_.pop_back();
  if (!closing_ || !cores_.empty() || gone()) return;
  closed_due_ = true;
  reactor_.schedule(*this);
}

void WebSocketServerCore::service() noexcept {
  if (gone() || !std::exchange(closed_due_, false)) return;
  closed.emit_each([this](auto& listener, bool) {
    listener(*handle_);
    return !gone();
  });
}

Expected<void> WebSocketServerCore::close(std::uint16_t code, std::string_view reason) {
  const bool good = code == websocket::close_code::kNoStatus ? reason.empty()
                                                             : websocket::may_be_sent(code);
  if (!good || reason.size() > websocket::limits::kCloseReasonMax ||
      !websocket::is_utf8(reason)) {
    return failure({.code = good ? Mistake::bad_argument : Mistake::out_of_range,
                    .detail = "a code that may be sent, and at most 123 bytes of UTF-8"});
  }
  if (std::exchange(closing_, true)) return {};
  for (WebSocketCore* core : cores_) static_cast<void>(core->close(code, reason));
  if (cores_.empty()) {
    closed_due_ = true;
    reactor_.schedule(*this);
  }
  return {};
}

void WebSocketServerCore::off(ListenerId id) noexcept {
  events.remove(id);
  handshake.remove(id);
  connection.remove(id);
  closed.remove(id);
}

// ---- Accepting ----

// Why there is no place for one more, or nothing.
std::string_view WebSocketServerCore::why_not() const noexcept {
  if (closing_) return "the server closes";
  return cores_.size() >= options_.connections_max ? "too many WebSockets" : "";
}

std::nullptr_t WebSocketServerCore::refuse(net::Socket& socket, const Refusal& refusal) {
  std::string answer = "HTTP/1.1 " + std::to_string(refusal.status) + ' ';
  answer.append(reason_phrase(refusal.status)).append("\r\n");
  for (const Field& field : refusal.fields) add_line(answer, field.name, field.value);
  std::string text(refusal.text.empty() ? reason_phrase(refusal.status) : refusal.text);
  text += '\n';
  add_line(answer, "Content-Type", "text/plain; charset=utf-8");
  add_line(answer, "Content-Length", std::to_string(text.size()));
  // 426 says what to upgrade to, and Upgrade is of this hop (RFC 9110, section 7.8).
  add_line(answer, "Connection", refusal.status == 426 ? "close, Upgrade" : "close");
  answer.append("\r\n").append(text);
  WebSocketCore* core = part_.cores().create(part_, options_.socket, websocket::Role::server);
  if (core == nullptr) {
    socket.destroy(errno_code(ENOMEM));
  } else {
    core->refuse(socket, answer);
  }
  return nullptr;
}

void WebSocketServerCore::collect_protocols(const Request& request) {
  protocols_.clear();
  websocket::find_subprotocol(request.fields(), [this](std::string_view name) {
    protocols_.push_back(name);
    return false;
  });
}

// False: a listener has ended it all.
bool WebSocketServerCore::ask(WebSocketHandshake& question) {
  handshake.emit_each([&](auto& listener, bool) {
    listener(question);
    return !gone();
  });
  return !gone();
}

WebSocket* WebSocketServerCore::accept(Upgrade& upgrade) {
  const Request& request = upgrade.request;
  net::Socket& socket = upgrade.socket;
  const net::SocketRef there = socket.weak();
  const auto checked = websocket::check_request(request.method_text(), request.version_minor(),
                                                request.fields());
  auto error = checked.error;
  websocket::DeflateNegotiation deflate;
  if (error == HandshakeError::none && options_.socket.deflate.on) {
    deflate = websocket::accept_deflate(request.fields(), deflate_of(options_.socket.deflate));
    if (deflate.answer == websocket::DeflateAnswer::malformed) error = HandshakeError::extensions;
  }
  if (error != HandshakeError::none) {
    const auto& facts = websocket::facts_of(error);
    return refuse(socket, {facts.status, facts.text, facts.fields});
  }
  if (const auto why = why_not(); !why.empty()) return refuse(socket, {503, why});
  collect_protocols(request);
  WebSocketHandshake question(request, protocols_);
  if (!ask(question)) {
    if (net::Socket* left = there.get()) left->destroy();
    return nullptr;
  }
  if (there.get() == nullptr) return nullptr;
  if (question.refused()) return refuse(socket, {question.status_, question.text_});
  // The listener may have closed the server.
  if (const auto why = why_not(); !why.empty()) return refuse(socket, {503, why});
  WebSocketCore* core = part_.cores().create(part_, options_.socket, websocket::Role::server);
  if (core == nullptr) {
    socket.destroy(errno_code(ENOMEM));
    return nullptr;
  }
  const auto accept_key = websocket::accept_key(checked.key);
  std::string answer = "HTTP/1.1 101 Switching Protocols\r\n";
  add_line(answer, "Upgrade", "websocket");
  add_line(answer, "Connection", "Upgrade");
  add_line(answer, "Sec-WebSocket-Accept", {accept_key.data(), accept_key.size()});
  if (!question.chosen_.empty()) add_line(answer, "Sec-WebSocket-Protocol", question.chosen_);
  const bool agreed = deflate.answer == websocket::DeflateAnswer::agreed;
  if (agreed) add_line(answer, "Sec-WebSocket-Extensions", deflate.field);
  answer.append("\r\n");
  socket.write(answer);
  core->handle().user_data = question.user_data;
  core->join(*this, static_cast<std::uint32_t>(cores_.size()));
  cores_.push_back(core);
  core->stand(socket, std::move(upgrade.head), agreed ? &deflate.agreement : nullptr,
              question.chosen_);
  return &core->handle();
}

// ---- All of them ----

void WebSocketServerCore::for_each(Function<void(WebSocket&)>& visit) {
  std::vector<WebSocketRef> all;
  all.reserve(cores_.size());
  for (const WebSocketCore* core : cores_) all.push_back(core->weak());
  for (const WebSocketRef& one : all) {
    if (WebSocket* there = one.get()) visit(*there);
  }
}

BroadcastResult WebSocketServerCore::broadcast(MessageKind kind, Buffer message, SlowReader slow,
                                               Function<bool(WebSocket&)>& wants) {
  BroadcastResult result;
  Buffer plain;
  Buffer compressed;  // with the largest window, which most have
  const bool may_deflate = message.size() >= options_.socket.deflate.threshold;
  for (WebSocketCore* core : cores_) {
    if (core->state() != WebSocketState::open) continue;
    if (wants && !wants(core->handle())) continue;
    if (core->is_full() && slow == SlowReader::close) {
      core->destroy(errno_code(ENOBUFS));
      ++result.closed;
      continue;
    }
    if (core->is_full() || !core->is_ready_for_broadcast()) {
      ++result.skipped;
      continue;
    }
    const bool deflates = may_deflate && core->takes_shared_deflate();
    if (deflates && compressed.empty()) {
      const auto text =
          part_.deflate(message.view(), websocket::limits::kWindowBitsMax,
                        options_.socket.deflate.level);
      if (text) compressed = frame_of(kind, *text, true);
      part_.end_deflating();
    }
    const bool takes_compressed = deflates && !compressed.empty();
    if (!takes_compressed && plain.empty()) plain = frame_of(kind, message.view(), false);
    const Buffer& frame = takes_compressed ? compressed : plain;
    const net::Write written =
        frame.empty() ? net::Write::refused : core->send_shared(frame.share());
    if (written == net::Write::ok || written == net::Write::full) {
      ++result.sent;
    } else {
      ++result.skipped;
    }
  }
  return result;
}

// ---- WebSocketServer ----

WebSocketServer::WebSocketServer(Reactor& reactor, const WebSocketServerOptions& options)
    : core_(new WebSocketServerCore(*this, reactor, options)) {}

WebSocketServer::WebSocketServer(Server& server, const WebSocketServerOptions& options)
    : WebSocketServer(server.reactor(), options) {
  attach(server);
}

WebSocketServer::~WebSocketServer() { core_->abandon(); }

void WebSocketServer::attach(Server& server, std::string_view path) {
  core_->attach(server, path);
}

WebSocket* WebSocketServer::accept(Upgrade& upgrade) { return core_->accept(upgrade); }

BroadcastResult WebSocketServer::broadcast(MessageKind kind, Buffer message, SlowReader slow,
                                           Function<bool(WebSocket&)> wants) {
  return core_->broadcast(kind, std::move(message), slow, wants);
}

BroadcastResult WebSocketServer::broadcast(MessageKind kind, std::string_view message,
                                           SlowReader slow, Function<bool(WebSocket&)> wants) {
  return core_->broadcast(kind, Buffer::literal(message), slow, wants);
}

void WebSocketServer::for_each(Function<void(WebSocket&)> visit) { core_->for_each(visit); }

Expected<void> WebSocketServer::close(std::uint16_t code, std::string_view reason) {
  return core_->close(code, reason);
}

std::size_t WebSocketServer::connections() const noexcept { return core_->connections(); }

const WebSocketServerOptions& WebSocketServer::options() const noexcept {
  return core_->options();
}

Reactor& WebSocketServer::reactor() const noexcept { return core_->reactor(); }

ListenerId WebSocketServer::on_handshake(Function<void(WebSocketHandshake&)> call, Times times) {
  return core_->handshake.add(std::move(call), times == Times::once);
}

ListenerId WebSocketServer::on_connection(Function<void(WebSocket&)> call, Times times) {
  return core_->connection.add(std::move(call), times == Times::once);
}

ListenerId WebSocketServer::on_server_close(Function<void(WebSocketServer&)> call, Times times) {
  return core_->closed.add(std::move(call), times == Times::once);
}

WebSocketEvents& WebSocketServer::own_events() { return core_->events; }
void WebSocketServer::remove_listener(ListenerId id) noexcept { core_->off(id); }

}  // namespace weir::inline v1::http
