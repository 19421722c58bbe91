// WebSockets of a server and clients of it, and a record of what each was told.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_world.h"
#include "tests/pair.h"
#include "weir/http/websocket/websocket_server.h"

namespace weir::test {

using http::MessageKind;
using http::SlowReader;
using http::WebSocket;
using http::WebSocketClientOptions;
using http::WebSocketClose;
using http::WebSocketHandshake;
using http::WebSocketRef;
using http::WebSocketServer;
using http::WebSocketServerOptions;
using http::WebSocketState;

// What one end was told, in order: "open message:text close".
struct WsRecord : EventLog {
  std::vector<std::string> messages;
  std::vector<std::string> pings;
  std::vector<std::string> pongs;
  Error error;
  std::uint16_t code = 0;
  std::string reason;
  std::error_code closed_with;
  bool was_clean = false;
  int closes = 0;
  bool after_close = false;
  int drains = 0;
  WebSocketRef ref;

  void note(std::string_view event) {
    after_close = after_close || closes != 0;
    EventLog::note(event, true);
  }
  void close(const WebSocketClose& how) {
    note("close");
    ++closes;
    code = how.code;
    reason = how.reason;
    was_clean = how.was_clean;
    closed_with = how.error;
  }
  bool over() const { return closes != 0; }
  std::string error_name() const { return std::string(name_of(error.code)); }
  // It must be there.
  WebSocket& socket() const {
    WebSocket* there = ref.get();
    if (there == nullptr) ADD_FAILURE() << "it is gone: " << order();
    return *there;
  }
};

// All events but 'open' and 'connection'. `echo` sends messages back, and waits when it is full.
inline void record(WebSocket& socket, WsRecord& into, bool echo = false) {
  into.ref = socket.weak();
  socket.on_message([&into, echo](WebSocket& same, MessageKind kind, Buffer bytes) {
    into.note(kind == MessageKind::text ? "text" : "binary");
    if (!echo) {
      into.messages.emplace_back(bytes.view());
    } else if (same.send(kind, std::move(bytes)) != Write::ok) {
      same.pause();
    }
  });
  socket.on_ping([&into](WebSocket&, Buffer bytes) {
    into.note("ping");
    into.pings.emplace_back(bytes.view());
  });
  socket.on_pong([&into](WebSocket&, Buffer bytes) {
    into.note("pong");
    into.pongs.emplace_back(bytes.view());
  });
  socket.on_drain([&into, echo](WebSocket& same) {
    ++into.drains;
    if (echo) same.resume();
  });
  socket.on_error([&into](WebSocket&, const Error& error) {
    into.note("error");
    into.error = error;
  });
  socket.on_close([&into](WebSocket&, const WebSocketClose& how) { into.close(how); });
}

class WebSocketTest : public HttpTest {
 protected:
  void TearDown() override {
    raw_.clear();
    sockets_.reset();
    HttpTest::TearDown();
    EXPECT_TRUE(unhandled_.empty()) << unhandled_[0].message();
    for (const WsRecord& record : clients_ws_) check(record);
    for (const WsRecord& record : peers_) check(record);
  }
  static void check(const WsRecord& record) {
    EXPECT_LE(record.closes, 1) << record.order();
    EXPECT_FALSE(record.after_close) << record.order();
  }

  // A server of WebSockets; each connection has a record in peers_.
  void listen(const WebSocketServerOptions& options = {}, bool echo = false,
              http::ServerOptions server_options = {}) {
    serve({}, server_options);
    sockets_ = std::make_unique<WebSocketServer>(server(), options);
    sockets_->on_connection([this, echo](WebSocket& socket) {
      WsRecord& record_of_it = peers_.emplace_back();
      record_of_it.note("connection");
      record(socket, record_of_it, echo);
    });
  }
  std::string url(std::string_view path = "/") const {
    return "ws://127.0.0.1:" + std::to_string(to_.port) + std::string(path);
  }

  // A client that is being connected; 'open' is in its record.
  WsRecord& connect(const WebSocketClientOptions& options = {}, std::string_view path = "/") {
    WsRecord& made = clients_ws_.emplace_back();
    const auto socket = WebSocket::connect(reactor(), url(path), options);
    EXPECT_TRUE(socket.has_value()) << socket.error().message();
    if (!socket) return made;
    (*socket)->on_open([&made](WebSocket&) { made.note("open"); });
    record(**socket, made);
    return made;
  }
  // One that stands on both sides.
  WsRecord& join(const WebSocketClientOptions& options = {}) {
    const std::size_t before = peers_.size();
    WsRecord& made = connect(options);
    EXPECT_TRUE(run_until([&] { return made.has("open") && peers_.size() > before; }))
        << made.order() << ' ' << made.error.message();
    return made;
  }
  WsRecord& peer(std::size_t index = 0) { return peers_.at(index); }

  bool run_until_over(const WsRecord& one) {
    return run_until([&] { return one.over(); });
  }
  bool run_until_messages(const WsRecord& one, std::size_t count) {
    return run_until([&] { return one.messages.size() >= count; });
  }
  // Nothing of any connection is left, but for the test's own ends, which go now.
  void expect_all_gone() {
    raw_.clear();
    clients_.clear();
    EXPECT_TRUE(run_until([&] {
      return sockets_->connections() == 0 && server().connections() == 0 &&
             reactor().counters().sockets == 0;
    })) << "WebSockets: " << sockets_->connections() << ", sockets "
        << reactor().counters().sockets;
    EXPECT_EQ(reactor().counters().queue_bytes, 0U);
  }

  // From now on `raw` does not read; `socket`, at the other end, has so much queued for it, which
  // the kernel does not take.
  void stall(HttpClient& raw, WebSocket& socket, std::size_t queued) {
    raw.socket().pause();
    // Buffers of a fixed size: left alone, TCP makes them larger when it likes.
    constexpr int kKernelBuffer = 1 << 17;
    raw.socket().set_buffer_sizes(kKernelBuffer, kKernelBuffer);
    socket.socket()->set_buffer_sizes(kKernelBuffer, kKernelBuffer);
    const std::string filler(1 << 18, 'x');
    int still = 0;  // rounds in which the kernel has taken nothing
    for (int i = 0; i < 1000 && still < 10; ++i) {
      if (socket.writable_length() < queued + filler.size()) socket.send_binary(filler);
      const std::size_t before = socket.writable_length();
      run_for(std::chrono::milliseconds(1));
      still = before >= queued && socket.writable_length() == before ? still + 1 : 0;
    }
    ASSERT_GE(socket.writable_length(), queued);
  }
  // A client that sends bytes as a test says; its handshake is done.
  HttpClient& dial_raw(std::string_view more_fields = {}) {
    HttpClient& client = *raw_.emplace_back(std::make_unique<HttpClient>(reactor(), to_));
    client.send(handshake(more_fields));
    constexpr std::string_view kEnd = "\r\n\r\n";
    std::size_t end = std::string::npos;
    EXPECT_TRUE(run_until([&] {
      end = client.received().find(kEnd);
      return end != std::string::npos;
    })) << client.received();
    // A frame may have come at once.
    if (end != std::string::npos) answer_ = client.take(end + kEnd.size());
    return client;
  }
  static std::string handshake(std::string_view more_fields = {}, std::string_view path = "/") {
    return "GET " + std::string(path) +
           " HTTP/1.1\r\nHost: weir\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
           std::string(more_fields) + "\r\n";
  }
  // A frame of a client's, masked with zeros, of at most 125 bytes.
  static std::string frame(int first_byte, std::string_view payload) {
    std::string made{static_cast<char>(first_byte), static_cast<char>(0x80 | payload.size())};
    return made.append(4, '\0').append(payload);
  }

  std::unique_ptr<WebSocketServer> sockets_;
  std::deque<WsRecord> peers_;
  std::deque<WsRecord> clients_ws_;
  std::vector<std::unique_ptr<HttpClient>> raw_;
  std::string answer_;
};

}  // namespace weir::test
