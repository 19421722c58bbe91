// Two ends that do what a seed says, against a model: nothing is lost, order is kept, both end.
#include "tests/random.h"
#include "tests/websocket_world.h"

namespace weir::test {
namespace {

// What one end has sent, and what the other has got of it.
struct Way {
  std::vector<std::string> sent;
  std::string in_pieces;  // of a message that is being sent
  bool unfinished = false;
  bool is_text = false;
};

class WebSocketRandomTest : public WebSocketTest {
 protected:
  std::string message(Random& numbers) {
    const std::size_t size = numbers.below(8) == 0 ? numbers.below(100000) : numbers.below(300);
    std::string made(size, 'a');
    for (char& byte : made) byte = static_cast<char>('a' + numbers.below(3));
    return made;
  }

  void act(Random& numbers, WsRecord& end, Way& way) {
    WebSocket* socket = end.ref.get();
    if (socket == nullptr || !socket->is_open()) return;
    switch (numbers.below(8)) {
      case 0: socket->pause(); break;
      case 1: socket->resume(); break;
      case 2: EXPECT_TRUE(socket->ping(std::string(numbers.below(126), 'p')).has_value()); break;
      case 3: send_piece(numbers, *socket, way); break;
      default: send_whole(numbers, *socket, way); break;
    }
  }
  void send_whole(Random& numbers, WebSocket& socket, Way& way) {
    if (way.unfinished) return send_piece(numbers, socket, way);
    std::string bytes = message(numbers);
    const MessageKind kind = numbers.below(2) == 0 ? MessageKind::text : MessageKind::binary;
    const std::string copy = bytes;
    const Write written = numbers.below(2) == 0
                              ? socket.send(kind, std::string_view(bytes))
                              : socket.send(kind, Buffer::take(std::move(bytes)));
    ASSERT_NE(written, Write::closed);
    if (written != Write::refused) way.sent.push_back(copy);
  }
  void send_piece(Random& numbers, WebSocket& socket, Way& way) {
    const std::string bytes = message(numbers);
    const bool is_last = numbers.below(3) == 0;
    if (!way.unfinished) way.is_text = numbers.below(2) == 0;
    const Write written =
        socket.send_piece(way.is_text ? MessageKind::text : MessageKind::binary, bytes, is_last);
    ASSERT_NE(written, Write::closed);
    if (written == Write::refused) return;
    way.in_pieces += bytes;
    way.unfinished = !is_last;
    if (is_last) way.sent.push_back(std::exchange(way.in_pieces, {}));
  }
  // The end of what is unfinished, and reading on.
  void finish(WsRecord& end, Way& way) {
    WebSocket* socket = end.ref.get();
    ASSERT_NE(socket, nullptr);
    socket->resume();
    if (!way.unfinished) return;
    ASSERT_NE(socket->send_piece(MessageKind::text, "", true), Write::closed);
    way.sent.push_back(std::exchange(way.in_pieces, {}));
    way.unfinished = false;
  }

  void run_seed(Random& numbers) {
    peers_.clear();
    const auto deflate = [&]() -> http::WebSocketDeflate {
      return {.on = numbers.below(2) == 0,
              .send_context_takeover = numbers.below(2) == 0,
              .receive_context_takeover = numbers.below(2) == 0,
              .threshold = numbers.below(200)};
    };
    WebSocketServerOptions options;
    options.socket.deflate = deflate();
    options.socket.message_bytes_max = SIZE_MAX;
    WebSocketClientOptions client_options;
    client_options.socket.deflate = deflate();
    client_options.socket.message_bytes_max = SIZE_MAX;
    listen(options);
    WsRecord& client = join(client_options);
    Way to_server;
    Way to_client;
    const std::size_t steps = 20 + numbers.below(60);
    for (std::size_t i = 0; i < steps; ++i) {
      act(numbers, client, to_server);
      act(numbers, peer(), to_client);
      if (numbers.below(4) == 0) run_for(std::chrono::microseconds(numbers.below(300)));
    }
    finish(client, to_server);
    finish(peer(), to_client);
    ASSERT_TRUE(run_until([&] {
      return client.messages.size() >= to_client.sent.size() &&
             peer().messages.size() >= to_server.sent.size();
    })) << client.messages.size() << '/' << to_client.sent.size() << ' '
        << peer().messages.size() << '/' << to_server.sent.size();
    EXPECT_TRUE(client.messages == to_client.sent);
    EXPECT_TRUE(peer().messages == to_server.sent);
    WsRecord& closes = numbers.below(2) == 0 ? client : peer();
    EXPECT_TRUE(closes.socket().close().has_value());
    ASSERT_TRUE(run_until([&] { return client.over() && peer().over(); }));
    EXPECT_TRUE(client.was_clean && peer().was_clean);
    expect_all_gone();
    sockets_.reset();
    server_.reset();
  }
};
WEIR_ON_ALL_BACKENDS(WebSocketRandomTest);

TEST_P(WebSocketRandomTest, NothingIsLostAndOrderIsKept) {
  for_seeds(simulated() ? 300 : 15, [this](Random& numbers) { run_seed(numbers); });
  listen();
}

}  // namespace
}  // namespace weir::test
