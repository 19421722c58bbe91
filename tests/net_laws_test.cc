// Laws of closing, of listeners and of memory that only show when several things happen at once.
#include <cerrno>
#include <deque>

#include "tests/world.h"
#include "weir/net/server.h"

namespace weir::test {
namespace {

using net::Server;
using net::Socket;

class NetLawsTest : public WorldTest {
 protected:
  void SetUp() override {
    WorldTest::SetUp();
    if (!IsSkipped()) server_ = std::make_unique<Server>(reactor());
  }
  void TearDown() override {
    clients_.clear();
    server_.reset();
    WorldTest::TearDown();
  }

  // Listens; then `count` clients connect, and all are accepted.
  void connect_clients(std::size_t count) {
    std::size_t accepted = 0;
    server_->on_connection([&](Socket&) { ++accepted; });
    auto bound = server_->listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value());
    std::size_t connected = 0;
    for (std::size_t i = 0; i < count; ++i) {
      Socket& client = *clients_.emplace_back(std::make_unique<Socket>(reactor()));
      client.on_connect([&](Socket&) { ++connected; }, net::Times::once);
      ASSERT_TRUE(client.connect({.port = bound->port()}).has_value());
    }
    ASSERT_TRUE(run_until([&] { return connected == count && accepted == count; }));
  }

  Socket& client(std::size_t i) { return *clients_[i]; }

  std::unique_ptr<Server> server_;
  std::vector<std::unique_ptr<Socket>> clients_;
};

// Bytes that are on their way up in the same batch are undelivered input as well.
TEST_P(NetLawsTest, DestroyingASocketWhoseBytesAreInTheSameBatchIsAReset) {
  Socket* sockets[2] = {};
  int seen = 0;
  int delivered = 0;
  server_->on_connection([&](Socket& socket) { sockets[seen++] = &socket; });
  server_->on_data([&](Socket& socket, Buffer) {
    if (++delivered == 1) sockets[&socket == sockets[0] ? 1 : 0]->destroy();
  });
  connect_clients(2);
  std::vector<std::error_code> closed;
  for (std::size_t i : {0U, 1U}) {
    client(i).on_data([](Socket&, Buffer) {});
    client(i).on_error([](Socket&, const Error&) {});
    client(i).on_close([&](Socket&, std::error_code code) { closed.push_back(code); });
  }
  run_for(std::chrono::milliseconds(1));
  client(0).write("to the one");
  client(1).write("to the other");
  ASSERT_TRUE(run_until([&] { return !closed.empty(); }));
  EXPECT_EQ(delivered, 1);
  EXPECT_EQ(closed[0], errno_code(ECONNRESET));
}

TEST_P(NetLawsTest, DroppingAClientThatHoldsBytesIsAReset) {
  std::error_code code;
  bool closed = false;
  Socket* accepted = nullptr;
  server_->on_connection([&](Socket& socket) { accepted = &socket; });
  server_->on_data([](Socket&, Buffer) {});
  server_->on_error([](Socket&, const Error&) {});
  server_->on_close([&](Socket&, std::error_code why) {
    closed = true;
    code = why;
  });
  connect_clients(1);
  // The first bytes pause it: what the kernel hands over behind them is held.
  std::size_t delivered = 0;
  client(0).on_data([&](Socket& socket, Buffer bytes) {
    delivered += bytes.size();
    socket.pause();
  });
  accepted->write(std::string(2 << 20, 'x'));
  ASSERT_TRUE(run_until([&] { return client(0).bytes_read() > delivered; }));
  clients_.clear();
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_TRUE(code == errno_code(ECONNRESET) || code == errno_code(EPIPE)) << code.message();
}

TEST_P(NetLawsTest, AListenerAddedByAServersListenerWaitsForTheNextEvent) {
  std::vector<std::string> own;
  bool added = false;
  server_->on_data([&](Socket& socket, Buffer) {
    if (std::exchange(added, true)) return;
    socket.on_data([&](Socket&, Buffer bytes) { own.emplace_back(bytes.view()); });
  });
  connect_clients(1);
  client(0).write("first");
  ASSERT_TRUE(run_until([&] { return added; }));
  client(0).write("second");
  ASSERT_TRUE(run_until([&] { return !own.empty() && own.back() == "second"; }));
  EXPECT_EQ(own, std::vector<std::string>{"second"});
}

TEST_P(NetLawsTest, ADestroyedServerCallsNobodyAnyMore) {
  bool first = false;
  bool second = false;
  server_->on_data([&](Socket&, Buffer) {
    first = true;
    server_.reset();
  });
  server_->on_data([&](Socket&, Buffer) { second = true; });
  connect_clients(1);
  client(0).write("x");
  ASSERT_TRUE(run_until([&] { return first; }));
  run_for(std::chrono::milliseconds(1));
  EXPECT_FALSE(second);
}

TEST_P(NetLawsTest, ATimeoutThatNeverComesDoesNotCome) {
  bool fired = false;
  connect_clients(1);
  client(0).on_timeout([&](Socket&) { fired = true; });
  client(0).set_timeout(Duration::max());
  run_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(fired);
}

TEST_P(NetLawsTest, ATimerThatNeverFiresDoesNotFire) {
  bool fired = false;
  Timer timer = reactor().after(Duration::max(), [&] { fired = true; });
  run_for(std::chrono::milliseconds(5));
  EXPECT_FALSE(fired);
}

WEIR_ON_ALL_BACKENDS(NetLawsTest);

// ---- With the least receive memory ----

class LittleMemoryTest : public BackendTest {
 protected:
  static std::unique_ptr<Reactor> make_reactor() {
    BackendOptions options = GetParam().options;
    options.receive_memory_max = limits::kReceiveMemoryMin;
    auto chosen = choose_patiently(options);
    EXPECT_TRUE(chosen.has_value());
    return std::make_unique<Reactor>(std::move(chosen->backend));
  }
};

// Peers that send to sockets which do not read fill the kernel's memory, not ours.
TEST_P(LittleMemoryTest, PausedSocketsTogetherHoldNoMoreThanReceiveMemoryAndItsCopies) {
  constexpr std::size_t kClients = 60;
  const std::unique_ptr<Reactor> reactor = make_reactor();
  const auto turn_for = [&](Duration time) {
    const Instant end = reactor->now() + time;
    while (reactor->now() < end) reactor->run_once(end);
  };
  Server server(*reactor);
  std::vector<Socket*> accepted;
  server.on_connection([&](Socket& socket) { accepted.push_back(&socket); });
  // The first bytes pause a socket: what is handed over behind them is held.
  std::size_t delivered = 0;
  server.on_data([&](Socket& socket, Buffer bytes) {
    delivered += bytes.size();
    socket.pause();
  });
  auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  std::deque<Socket> clients;
  const std::string much(1 << 20, 'x');
  for (std::size_t i = 0; i < kClients; ++i) {
    Socket& client = clients.emplace_back(*reactor);
    ASSERT_TRUE(client.connect({.port = bound->port()}).has_value());
  }
  const Instant end = reactor->now() + kPatience;
  while (accepted.size() < kClients && reactor->now() < end) reactor->run_once(end);
  ASSERT_EQ(accepted.size(), kClients);
  turn_for(std::chrono::milliseconds(1));
  for (Socket& client : clients) client.write(much);
  // Until nothing has come for a while.
  std::size_t held = 0;
  for (int quiet = 0; quiet < 20; ++quiet) {
    turn_for(std::chrono::milliseconds(2));
    std::size_t now = 0;
    for (const Socket* socket : accepted) now += socket->bytes_read();
    now -= delivered;
    if (std::exchange(held, now) != now) quiet = 0;
  }
  EXPECT_LE(held, 2 * limits::kReceiveMemoryMin);
}

WEIR_ON_ALL_BACKENDS(LittleMemoryTest);

}  // namespace
}  // namespace weir::test
