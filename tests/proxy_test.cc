// The proxy of net/examples between a client and a server, on every backend.
#include <gtest/gtest.h>

#include "tests/proxy_world.h"

namespace weir::test {
namespace {

TEST_P(ProxyTest, BothWaysAndBothEnds) {
  join();
  std::string asked;
  std::string answered;
  collect(*socket_, asked);
  collect(*client_, answered);
  const std::string question = pattern(3'000'000, 1);
  const std::string answer = pattern(5'000'000, 2);
  client_->end(question);
  // The answer comes through a connection whose other half has ended.
  ASSERT_TRUE(run_until([&] { return theirs_.has("end"); }));
  EXPECT_TRUE(asked == question);
  EXPECT_FALSE(mine_.has("end"));
  socket_->end(answer);
  ASSERT_TRUE(run_until([&] { return all_closed(); }));
  EXPECT_TRUE(answered == answer);
  EXPECT_EQ(mine_.error() + theirs_.error(), "");
}

TEST_P(ProxyTest, AReaderThatStopsHoldsLittleAndLosesNothing) {
  join();
  constexpr std::size_t kPiece = 256 * 1024;
  constexpr std::size_t kAll = 400 * kPiece;  // far beyond what kernels take
  const std::string piece = pattern(kPiece, 3);
  std::size_t sent = 0;
  const auto fill = [&] {
    while (sent < kAll) {
      sent += kPiece;
      if (client_->write(piece) != Write::ok) return;
    }
    client_->end();
  };
  client_->on_drain([&](Socket&) { fill(); });
  fill();
  // Nobody reads: it all comes to rest, with the sender's own queue full.
  ASSERT_TRUE(run_until([&] { return client_->writable_length() != 0; }));
  std::uint64_t before = 0;
  do {
    before = client_->bytes_written() - client_->writable_length();
    run_for(std::chrono::milliseconds(20));
  } while (client_->bytes_written() - client_->writable_length() != before);
  EXPECT_LT(sent, kAll);
  const std::size_t in_proxy = reactor().counters().queue_bytes - client_->writable_length();
  EXPECT_LE(in_proxy, net::QueueLimits().high_water + limits::kReceiveChunkBytes);
  std::size_t received = 0;
  bool same = true;
  socket_->on_data([&](Socket&, Buffer bytes) {
    for (const char byte : bytes.view()) same = same && byte == piece[received++ % kPiece];
  });
  ASSERT_TRUE(run_until([&] { return theirs_.has("end"); }));
  EXPECT_EQ(received, kAll);
  EXPECT_TRUE(same);
}

TEST_P(ProxyTest, AResetOfTheClientReachesTheServer) {
  join();
  socket_->resume();
  ASSERT_TRUE(client_->reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] { return all_closed(); }));
  EXPECT_EQ(theirs_.error(), "ECONNRESET");
}

TEST_P(ProxyTest, AResetOfTheServerReachesTheClient) {
  join();
  client_->resume();
  ASSERT_TRUE(socket_->reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] { return all_closed(); }));
  EXPECT_EQ(mine_.error(), "ECONNRESET");
}

TEST_P(ProxyTest, WithoutAServerTheClientIsReset) {
  ASSERT_TRUE(server_->close().has_value());
  ASSERT_TRUE(run_until([&] { return !server_->listening(); }));
  client_->resume();
  ASSERT_TRUE(client_->connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return mine_.closes == 1 && proxy_->connections() == 0; }));
  EXPECT_EQ(mine_.error(), "ECONNRESET");
}

TEST_P(ProxyTest, ManyAtATimeDoNotMix) {
  server_->on_data([](Socket& socket, Buffer bytes) { (void)socket.write(std::move(bytes)); });
  server_->on_end([](Socket& socket) { socket.end(); });
  constexpr unsigned kClients = 50;
  std::vector<std::unique_ptr<Socket>> clients;
  std::vector<std::string> echoes(kClients);
  unsigned closed = 0;
  for (unsigned i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Socket>(reactor()));
    collect(*clients[i], echoes[i]);
    clients[i]->on_close([&](Socket&, std::error_code) { ++closed; });
    ASSERT_TRUE(clients[i]->connect(to_).has_value());
    clients[i]->end(pattern(60'000 + i, i));
  }
  ASSERT_TRUE(run_until([&] { return closed == kClients && proxy_->connections() == 0; }));
  for (unsigned i = 0; i < kClients; ++i) EXPECT_TRUE(echoes[i] == pattern(60'000 + i, i)) << i;
}

WEIR_ON_ALL_BACKENDS(ProxyTest);

}  // namespace
}  // namespace weir::test
