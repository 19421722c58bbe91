// WebSockets of weir with each other: messages, control frames, pieces, compression.
#include "tests/websocket_world.h"

namespace weir::test {
namespace {

class WebSocketEchoTest : public WebSocketTest {};
WEIR_ON_ALL_BACKENDS(WebSocketEchoTest);

TEST_P(WebSocketEchoTest, TenLinesAreAServer) {
  http::Server server(reactor());
  WebSocketServer sockets(server);
  sockets.on_message([](WebSocket& socket, MessageKind kind, Buffer bytes) {
    if (socket.send(kind, std::move(bytes)) != Write::ok) socket.pause();
  });
  sockets.on_drain([](WebSocket& socket) { socket.resume(); });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  std::string got;
  const auto client =
      WebSocket::connect(reactor(), "ws://127.0.0.1:" + std::to_string(bound->port()));
  ASSERT_TRUE(client.has_value());
  (*client)->on_open([](WebSocket& socket) { socket.send_text("hello"); });
  (*client)->on_message([&](WebSocket& socket, MessageKind kind, Buffer bytes) {
    EXPECT_EQ(kind, MessageKind::text);
    got = bytes.view();
    socket.close();
  });
  bool clean = false;
  (*client)->on_close([&](WebSocket&, const WebSocketClose& how) { clean = how.was_clean; });
  EXPECT_TRUE(run_until([&] { return clean; }));
  EXPECT_EQ(got, "hello");
}

TEST_P(WebSocketEchoTest, MessagesOfAllSizesComeBack) {
  listen({}, true);
  WsRecord& client = join();
  std::vector<std::string> sent;
  for (const std::size_t size :
       {0U, 1U, 3U, 125U, 126U, 127U, 4095U, 4096U, 4097U, 65535U, 65536U, 1048575U, 1048576U}) {
    sent.push_back(pattern(size, static_cast<unsigned>(size)));
    ASSERT_NE(client.socket().send_binary(sent.back()), Write::closed);
    ASSERT_TRUE(run_until_messages(client, sent.size())) << size;
  }
  EXPECT_EQ(client.messages, sent);
  EXPECT_TRUE(client.socket().close(1000, "done").has_value());
  EXPECT_TRUE(run_until([&] { return client.over() && peer().over(); }));
  EXPECT_EQ(client.code, 1000);
  EXPECT_EQ(peer().code, 1000);
  EXPECT_EQ(peer().reason, "done");
  EXPECT_TRUE(client.was_clean && peer().was_clean);
  expect_all_gone();
}

}  // namespace
}  // namespace weir::test
