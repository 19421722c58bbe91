// The main job on every backend: what a client sends comes back, byte for byte, whatever happens.
#include <gtest/gtest.h>

#include "tests/world.h"
#include "weir/net/server.h"

namespace weir::test {
namespace {

using net::Server;
using net::Socket;
using net::Write;

std::string pattern(std::size_t size, unsigned seed) {
  std::string bytes(size, '\0');
  unsigned state = seed * 2654435761U + 1;
  for (char& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

class EchoTest : public WorldTest {
 protected:
  void SetUp() override {
    WorldTest::SetUp();
    if (IsSkipped()) return;
    server_ = std::make_unique<Server>(reactor());
    server_->on_data([](Socket& socket, Buffer bytes) {
      if (socket.write(std::move(bytes)) != Write::ok) socket.pause();
    });
    server_->on_drain([](Socket& socket) { socket.resume(); });
    auto bound = server_->listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value()) << bound.error().message();
    port_ = bound->port();
  }
  void TearDown() override {
    server_.reset();
    WorldTest::TearDown();
  }

  // What the client sends in front of its FIN comes back, and then the end.
  void expect_back_whole(Socket& client, std::size_t all) {
    const std::string sent = pattern(all, 7);
    std::size_t offset = 0;
    std::size_t received = 0;
    bool wrong = false;
    bool ended = false;
    bool closed = false;
    const auto pump = [&](Socket& socket) {
      while (offset < all) {
        const std::size_t size = std::min<std::size_t>(30000, all - offset);
        const Write result = socket.write(std::string_view(sent).substr(offset, size));
        if (result == Write::refused) return;
        offset += size;
        if (result == Write::full) return;
      }
      socket.end();
    };
    client.on_connect(pump);
    client.on_drain(pump);
    client.on_data([&](Socket&, Buffer bytes) {
      wrong = wrong || sent.compare(received, bytes.size(), bytes.view()) != 0;
      received += bytes.size();
    });
    client.on_end([&](Socket&) { ended = true; });
    client.on_close([&](Socket&, std::error_code code) {
      EXPECT_FALSE(code) << code.message();
      closed = true;
    });
    ASSERT_TRUE(client.connect({.port = port_}).has_value());
    ASSERT_TRUE(run_until([&] { return closed; }));
    EXPECT_TRUE(ended);
    EXPECT_FALSE(wrong);
    EXPECT_EQ(received, all);
  }

  std::unique_ptr<Server> server_;
  int port_ = 0;
};

TEST_P(EchoTest, OneMessageComesBack) {
  Socket client(reactor());
  std::string received;
  bool closed = false;
  client.on_connect([](Socket& socket) { socket.write("hello"); });
  client.on_data([&](Socket& socket, Buffer bytes) {
    received += bytes.view();
    socket.end();
  });
  client.on_close([&](Socket&, std::error_code code) {
    EXPECT_FALSE(code);
    closed = true;
  });
  ASSERT_TRUE(client.connect({.port = port_}).has_value());
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_EQ(received, "hello");
  EXPECT_EQ(client.bytes_read(), 5U);
  EXPECT_EQ(client.bytes_written(), 5U);
  ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(EchoTest, AStreamWithHalfCloseComesBackWhole) {
  Socket client(reactor());
  expect_back_whole(client, 8 << 20);
}

// The kernel doubles what is asked for. Beyond the first window of 64 KiB each one is smaller than
// a segment on loopback, and takes its time.
TEST_P(EchoTest, BuffersOfTwoKilobytesLoseNothing) {
  int set = 0;
  const auto shrink = [&](Socket& socket) {
    EXPECT_FALSE(socket.set_buffer_sizes(1024, 1024));
    ++set;
  };
  server_->on_connection(shrink);
  Socket client(reactor());
  client.on_connect(shrink);
  expect_back_whole(client, 72 << 10);
  EXPECT_EQ(set, 2);
}

TEST_P(EchoTest, ManyConnectionsWithRandomChunksGetTheirOwnBytes) {
  constexpr int kClients = 100;
  constexpr std::size_t kBytes = 40000;
  struct Client {
    std::unique_ptr<Socket> socket;
    std::string sent;
    std::string received;
  };
  std::vector<Client> clients(kClients);
  int closed = 0;
  for (int i = 0; i < kClients; ++i) {
    Client& client = clients[static_cast<std::size_t>(i)];
    client.sent = pattern(kBytes, static_cast<unsigned>(i));
    client.socket = std::make_unique<Socket>(reactor());
    client.socket->user_data = &client;
    client.socket->on_connect([](Socket& socket) {
      auto& mine = *static_cast<Client*>(socket.user_data);
      std::string_view rest = mine.sent;
      while (!rest.empty()) {
        const std::size_t size =
            std::min<std::size_t>(1 + static_cast<unsigned char>(rest[0]) * 7U, rest.size());
        EXPECT_NE(socket.write(rest.substr(0, size)), Write::refused);
        rest.remove_prefix(size);
      }
    });
    client.socket->on_data([](Socket& socket, Buffer bytes) {
      auto& mine = *static_cast<Client*>(socket.user_data);
      mine.received += bytes.view();
      if (mine.received.size() >= mine.sent.size()) socket.end();
    });
    client.socket->on_close([&](Socket&, std::error_code code) {
      EXPECT_FALSE(code) << code.message();
      ++closed;
    });
    ASSERT_TRUE(client.socket->connect({.port = port_}).has_value());
  }
  ASSERT_TRUE(run_until([&] { return closed == kClients; }));
  for (const Client& client : clients) EXPECT_TRUE(client.sent == client.received);
  ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  EXPECT_EQ(reactor().counters().sockets, 0U);
  const Counters counters = reactor().counters();
  EXPECT_EQ(counters.queue_bytes, 0U);
  // io_uring is used as such: results come without a submission each.
  if (counters.backend == BackendKind::io_uring) {
    EXPECT_GT(counters.kernel.multishot_receives, 0U);
  }
}

TEST_P(EchoTest, AReaderThatStopsIsHeldByItsOwnBytesOnly) {
  Socket client(reactor());
  bool writing_stopped = false;
  std::size_t sent = 0;
  const std::string chunk(64 * 1024, 'x');
  client.on_data([](Socket&, Buffer) {});
  client.on_connect([&](Socket& socket) {
    socket.pause();
    while (socket.write(chunk) == Write::ok) sent += chunk.size();
    sent += chunk.size();
  });
  client.on_drain([&](Socket& socket) {
    while (socket.write(chunk) == Write::ok) sent += chunk.size();
    sent += chunk.size();
  });
  ASSERT_TRUE(client.connect({.port = port_}).has_value());
  // Until nothing moves any more: both queues are full, and both kernels' buffers.
  std::size_t before = 0;
  while (!writing_stopped) {
    run_for(std::chrono::milliseconds(50));
    writing_stopped = sent == before && sent != 0;
    before = sent;
  }
  EXPECT_LT(reactor().counters().queue_bytes, std::size_t{1} << 20);
  std::size_t received = 0;
  bool finished = false;
  client.on_data([&](Socket& socket, Buffer bytes) {
    received += bytes.size();
    if (!socket.writable_ended()) socket.end();
  });
  client.on_close([&](Socket&, std::error_code) { finished = true; });
  client.resume();
  ASSERT_TRUE(run_until([&] { return finished; }));
  EXPECT_EQ(received, client.bytes_written());
}

TEST_P(EchoTest, ManyCyclesLeaveNothingBehind) {
  Socket client(reactor());
  int cycles = 0;
  client.on_connect([](Socket& socket) { socket.write("x"); });
  client.on_data([](Socket& socket, Buffer) { socket.end(); });
  client.on_close([&](Socket& socket, std::error_code code) {
    EXPECT_FALSE(code);
    if (++cycles == 500) return;
    EXPECT_TRUE(socket.connect({.port = port_}).has_value());
  });
  ASSERT_TRUE(client.connect({.port = port_}).has_value());
  ASSERT_TRUE(run_until([&] { return cycles == 500; }));
  ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  EXPECT_EQ(reactor().counters().sockets, 0U);
}

WEIR_ON_ALL_BACKENDS(EchoTest);

}  // namespace
}  // namespace weir::test
