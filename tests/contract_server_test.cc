// Sections 3.3 (accept) and 3.4 (close) of the contract.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <deque>
#include <map>

#include "tests/pair.h"
#include "tests/rules.h"
#include "weir/net/block_list.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::Drop;

// A client besides the one of PairTest.
struct Client {
  std::unique_ptr<Socket> socket;
  Record seen;
};

class ContractServerTest : public PairTest {
 protected:
  void TearDown() override {
    clients_.clear();
    PairTest::TearDown();
  }

  // Starts connecting; its Record stays where it is.
  Client& dial() {
    Client& made = clients_.emplace_back();
    made.socket = std::make_unique<Socket>(reactor());
    record(*made.socket, made.seen);
    record_data(*made.socket, made.seen);
    EXPECT_TRUE(made.socket->connect(to_).has_value());
    return made;
  }
  bool all_clients_closed() const {
    return std::ranges::all_of(clients_, [](const Client& one) { return one.seen.closes != 0; });
  }

  // Counts 'connection' and keeps what 'drop' tells.
  void note_acceptance() {
    server_->on_connection([this](Socket&) { ++accepted_; });
    server_->on_drop([this](Server& server, const Drop& drop) {
      EXPECT_EQ(&server, server_.get());
      drops_.push_back(drop);
    });
  }

  // The order in which the server and its sockets close.
  void note_closing() {
    server_->on_close([this](Socket&, std::error_code) { order_ += "close "; });
    server_->on_server_close([this](Server&) { order_ += "server-close "; });
  }
  // For the `done` of a close().
  auto note_done() {
    return [this](Server&, std::error_code code) {
      order_ += "done:" + std::string(code ? name_of(code) : "ok") + " ";
    };
  }
  bool ordered(std::string_view event) { return order_.find(event) != std::string::npos; }

  std::deque<Client> clients_;
  int accepted_ = 0;
  std::vector<Drop> drops_;
  std::string order_;
};

// Accepting -------------------------------------------------------------------------------------

TEST_P(ContractServerTest, ConnectionsComeOnceEachAndInTheirOrder) {
  RULES("3.3.1.1 3.3.1.2");
  constexpr std::size_t kClients = 20;
  // Connecting to a Unix socket is one step: they queue up in the order of the calls.
  listen({.over_unix = true});
  std::vector<Socket*> order;
  server_->on_connection([&](Socket& socket) { order.push_back(&socket); });
  std::map<Socket*, std::string> names;
  server_->on_data([&](Socket& socket, Buffer bytes) { names[&socket] += bytes.view(); });
  for (std::size_t i = 0; i < kClients; ++i) dial().socket->write(std::to_string(i));
  ASSERT_TRUE(run_until([&] { return names.size() == kClients; }));
  ASSERT_EQ(order.size(), kClients);
  for (std::size_t i = 0; i < kClients; ++i) EXPECT_EQ(names[order[i]], std::to_string(i));
}

TEST_P(ContractServerTest, AConnectionIsReadyForUseAndKnowsItsAddresses) {
  RULES("3.3.1.3 3.3.1.4");
  listen();
  Address local;
  Address remote;
  std::string received;
  server_->on_connection([&](Socket& socket) {
    local = socket.local_address();
    remote = socket.remote_address();
    EXPECT_EQ(socket.ready_state(), net::ReadyState::open);
    EXPECT_EQ(socket.write("welcome"), Write::ok);
    socket.on_data([&](Socket&, Buffer bytes) { received += bytes.view(); });
  });
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("hello");
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "welcome" && received == "hello"; }));
  EXPECT_EQ(local, server_->address());
  EXPECT_EQ(remote, client().local_address());
  EXPECT_NE(remote.port(), 0);
}

TEST_P(ContractServerTest, AFloodIsAcceptedInBoundedTurns) {
  RULES("3.3.2.1 3.3.2.2");
  constexpr std::size_t kFlood = 300;
  join({.over_unix = true});
  server_->on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  for (std::size_t i = 0; i < kFlood; ++i) dial();
  client().write("old ones are served");
  std::size_t before = server_->connections();
  std::size_t most_in_a_turn = 0;
  ASSERT_TRUE(run_until([&] {
    most_in_a_turn = std::max(most_in_a_turn, server_->connections() - before);
    before = server_->connections();
    return before == 1 + kFlood && client_record_.bytes == "old ones are served";
  }));
  EXPECT_LE(most_in_a_turn, limits::kCompletionsPerTurnMax);
}

TEST_P(ContractServerTest, ManyClientsAreServedAgainAndAgain) {
  RULES("3.3.1.1 3.3.2.1 3.3.4.5");
  NODE_TEST("many-clients");
  constexpr int kClients = 250;
  constexpr int kRounds = 2;
  constexpr std::size_t kBody = 10 * 1024;
  listen();
  note_acceptance();
  server_->on_connection([](Socket& socket) { socket.end(std::string(kBody, 'C')); });
  int finished = 0;
  for (int i = 0; i < kClients; ++i) {
    Client& one = dial();
    one.socket->on_close([&, rounds = 1](Socket& socket, std::error_code code) mutable {
      EXPECT_FALSE(code);
      if (rounds++ == kRounds) {
        ++finished;
        return;
      }
      EXPECT_TRUE(socket.connect(to_).has_value());
    });
  }
  ASSERT_TRUE(run_until([&] { return finished == kClients; }));
  ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  EXPECT_EQ(accepted_, kClients * kRounds);
  EXPECT_TRUE(drops_.empty());
  for (const Client& one : clients_) EXPECT_EQ(one.seen.bytes.size(), kBody * kRounds);
}

TEST_P(ContractServerTest, WithoutAHostBothFamiliesAreBound) {
  RULES("5.1.1");
  Server server(reactor());
  std::vector<std::string> remotes;
  server.on_connection(
      [&](Socket& socket) { remotes.push_back(socket.remote_address().host()); });
  const auto bound = server.listen({.port = 0});
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  const bool both = bound->family() == Family::ipv6;  // a machine may have no IPv6
  EXPECT_EQ(bound->ip().ip(), both ? "::" : "0.0.0.0");
  std::vector<std::string> hosts = {"127.0.0.1"};
  if (both) hosts.emplace_back("::1");
  for (const std::string& host : hosts) {
    to_ = {.host = host, .port = bound->port()};
    const std::size_t before = remotes.size();
    dial();
    ASSERT_TRUE(run_until([&] { return remotes.size() == before + 1; })) << host;
  }
  if (both) {
    EXPECT_EQ(remotes, (std::vector<std::string>{"::ffff:127.0.0.1", "::1"}));
  }
  clients_.clear();
}

// The maximum of connections --------------------------------------------------------------------

TEST_P(ContractServerTest, AboveTheMaximumAConnectionIsDropped) {
  RULES("3.3.4.1 3.3.4.2 3.3.4.4");
  NODE_TEST("server-drop-connections");
  join();
  note_acceptance();
  server_->set_max_connections(1);
  Client& late = dial();
  ASSERT_TRUE(run_until([&] { return late.seen.closes != 0; }));
  EXPECT_EQ(late.seen.order(), "connect ready end finish close");
  EXPECT_FALSE(late.seen.closed_with);
  ASSERT_EQ(drops_.size(), 1U);
  EXPECT_EQ(drops_[0].local, server_->address());
  EXPECT_EQ(drops_[0].remote, late.socket->local_address());
  EXPECT_EQ(accepted_, 0);
  EXPECT_EQ(server_->connections(), 1U);
  client().write("the first one stays");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "the first one stays"; }));
}

TEST_P(ContractServerTest, ADropOfAUnixSocketHasNoAddresses) {
  RULES("3.3.4.1 3.3.4.3 3.3.4.4");
  join({.over_unix = true});
  note_acceptance();
  server_->set_max_connections(1);
  Client& late = dial();
  ASSERT_TRUE(run_until([&] { return late.seen.closes != 0; }));
  EXPECT_EQ(late.seen.order(), "connect ready end finish close");
  EXPECT_FALSE(late.seen.closed_with);
  ASSERT_EQ(drops_.size(), 1U);
  EXPECT_EQ(drops_[0].local, Address());
  EXPECT_EQ(drops_[0].remote, Address());
  EXPECT_EQ(accepted_, 0);
}

TEST_P(ContractServerTest, AsManyAsAllowedAreServedAndTheRestIsNot) {
  RULES("3.3.4.1 3.3.4.2");
  NODE_TEST("server-max-connections");
  constexpr std::size_t kClients = 40;
  constexpr std::size_t kMost = 15;
  PairOptions options;
  options.server.max_connections = kMost;
  listen(options);
  note_acceptance();
  server_->on_connection([](Socket& socket) { socket.write("served"); });
  for (std::size_t i = 0; i < kClients; ++i) dial();
  const auto served = [&] {
    return std::ranges::count_if(clients_,
                                 [](const Client& one) { return one.seen.bytes == "served"; });
  };
  ASSERT_TRUE(run_until([&] { return drops_.size() == kClients - kMost && served() == kMost; }));
  ASSERT_TRUE(run_until([&] {
    return std::ranges::count_if(clients_, [](const Client& one) {
             return one.seen.closes != 0;
           }) == kClients - kMost;
  }));
  EXPECT_EQ(accepted_, static_cast<int>(kMost));
  EXPECT_EQ(server_->connections(), kMost);
  for (const Client& one : clients_) EXPECT_EQ(one.seen.closes != 0, one.seen.bytes.empty());
}

TEST_P(ContractServerTest, AClosedConnectionMakesRoomForAnother) {
  RULES("3.3.4.1 3.3.4.2");
  NODE_TEST("server-max-connections-close-makes-more-available");
  listen();
  note_acceptance();
  server_->set_max_connections(1);
  for (int round = 1; round <= 4; ++round) {
    Client& one = dial();
    ASSERT_TRUE(run_until([&] { return accepted_ == round; }));
    one.socket->end(std::to_string(round));
    ASSERT_TRUE(run_until([&] { return one.seen.closes != 0 && server_->connections() == 0; }));
  }
  EXPECT_EQ(peer_record_.bytes, "1234");
  EXPECT_TRUE(drops_.empty());
}

TEST_P(ContractServerTest, AMaximumOfZeroRefusesAllAndNoneRefusesNobody) {
  RULES("3.3.4.5 3.3.4.6 5.7.1");
  listen();
  note_acceptance();
  server_->set_max_connections(0);
  for (std::size_t i = 1; i <= 3; ++i) {
    Client& refused = dial();
    ASSERT_TRUE(run_until([&] { return refused.seen.closes != 0 && drops_.size() == i; }));
  }
  EXPECT_EQ(accepted_, 0);
  server_->set_max_connections({});
  for (int i = 0; i < 3; ++i) dial();
  ASSERT_TRUE(run_until([&] { return accepted_ == 3; }));
  EXPECT_EQ(drops_.size(), 3U);
}

TEST_P(ContractServerTest, APeerInTheBlockListIsRefused) {
  RULES("3.1.1.4");
  NODE_TEST("server-blocklist");
  net::BlockList blocked;
  ASSERT_TRUE(blocked.add_address("127.0.0.1").has_value());
  PairOptions options;
  options.server.block_list = &blocked;
  listen(options);
  note_acceptance();
  Client& refused = dial();
  ASSERT_TRUE(run_until([&] { return refused.seen.closes != 0; }));
  EXPECT_EQ(refused.seen.bytes, "");
  EXPECT_EQ(accepted_, 0);
  EXPECT_EQ(server_->connections(), 0U);
  EXPECT_TRUE(server_->listening());
  server_.reset();
}

TEST_P(ContractServerTest, APausedConnectionReadsNothingBeforeResume) {
  RULES("3.1.2.2");
  NODE_TEST("server-pause-on-connect");
  PairOptions options;
  options.server.pause_on_connect = true;
  join(options);
  Socket& paused = peer();
  client().write("wait for it");
  ASSERT_TRUE(run_until([&] { return input_arrived(paused); }));
  // The whole life of another connection passes meanwhile.
  Client& other = dial();
  ASSERT_TRUE(run_until([&] { return server_->connections() == 2; }));
  peer().resume();
  other.socket->end();
  ASSERT_TRUE(run_until([&] { return other.seen.closes != 0; }));
  EXPECT_EQ(paused.bytes_read(), 0U);
  EXPECT_EQ(peer_record_.bytes, "");
  paused.resume();
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "wait for it"; }));
}

TEST_P(ContractServerTest, ConnectionsAreCountedUntilTheirClose) {
  RULES("3.3.5.3 3.3.5.4");
  listen();
  std::string counts;
  const auto note = [&](char what) { counts += what + std::to_string(server_->connections()); };
  server_->on_connection([&](Socket&) { note('c'); });
  server_->on_end([&](Socket&) { note('e'); });
  server_->on_close([&](Socket&, std::error_code) { note('x'); });
  dial();
  ASSERT_TRUE(run_until([&] { return server_->connections() == 1; }));
  dial().socket->end();
  ASSERT_TRUE(run_until([&] { return counts.size() == 8; }));
  EXPECT_EQ(counts, "c1c2e2x1");
  clients_[0].socket->end();
  ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  EXPECT_EQ(counts, "c1c2e2x1e1x0");
}

TEST_P(ContractServerTest, TheCountFallsOneByOne) {
  RULES("3.3.5.4");
  NODE_TEST("fork-getconnections");
  constexpr std::size_t kClients = 12;
  listen();
  for (std::size_t i = 0; i < kClients; ++i) dial();
  ASSERT_TRUE(run_until([&] { return server_->connections() == kClients; }));
  for (std::size_t left = kClients; left-- > 0;) {
    Client& one = clients_[left];
    one.socket->destroy();
    ASSERT_TRUE(run_until([&] { return server_->connections() == left; }));
    EXPECT_EQ(peer_record_.closes, static_cast<int>(kClients - left));
  }
}

// Closing ---------------------------------------------------------------------------------------

TEST_P(ContractServerTest, CloseStopsListeningAtOnceAndLeavesConnectionsAlone) {
  RULES("3.4.1.1 3.4.1.2 3.4.1.3 3.4.1.4 3.4.3.1");
  NODE_TEST("server-close");
  join();
  dial();
  ASSERT_TRUE(run_until([&] { return server_->connections() == 2; }));
  note_closing();
  ASSERT_TRUE(server_->close(note_done()).has_value());
  EXPECT_FALSE(server_->listening());
  Client& late = dial();
  EXPECT_EQ(order_, "") << "an event inside close()";
  ASSERT_TRUE(run_until([&] { return late.seen.closes != 0; }));
  EXPECT_EQ(late.seen.error(), "ECONNREFUSED");
  client().write("still served");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "still served"; }));
  client().end();
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0 && order_ == "close "; }));
  EXPECT_EQ(server_->connections(), 1U);
  clients_[0].socket->end();
  ASSERT_TRUE(run_until([&] { return ordered("server-close") && ordered("done"); }));
  run_for(1ms);
  EXPECT_EQ(order_.substr(0, 12), "close close ") << "the sockets first";
  EXPECT_TRUE(order_ == "close close server-close done:ok " ||
              order_ == "close close done:ok server-close ")
      << order_;
}

TEST_P(ContractServerTest, CloseWithoutConnectionsIsOverSoonAndLater) {
  RULES("3.4.1.3 3.4.1.4");
  listen();
  run_for(1ms);
  note_closing();
  ASSERT_TRUE(server_->close(note_done()).has_value());
  EXPECT_EQ(order_, "") << "an event inside close()";
  ASSERT_TRUE(run_until([&] { return ordered("server-close") && ordered("done"); }));
  run_for(1ms);
  EXPECT_EQ(order_.size(), std::string_view("server-close done:ok ").size()) << order_;
}

TEST_P(ContractServerTest, CloseWithoutListeningIsAnErrorAndStillCloses) {
  RULES("3.4.2.1 3.4.2.2 3.4.2.3 5.4.1");
  listen();  // takes the port
  const int port = to_.port;
  const std::unique_ptr<Server> first = std::move(server_);
  server_ = std::make_unique<Server>(reactor());
  note_closing();
  const std::string whole = "server-close done:ERR_SERVER_NOT_RUNNING ";
  for (int round = 0; round < 3; ++round) {
    order_.clear();
    // The retry of a seed program calls it exactly here.
    if (round != 0) {
      EXPECT_FALSE(server_->listen({.port = port, .host = "127.0.0.1"}).has_value());
    }
    const auto closed = server_->close(note_done());
    ASSERT_FALSE(closed.has_value());
    EXPECT_EQ(name_of(closed.error().code), "ERR_SERVER_NOT_RUNNING");
    EXPECT_EQ(order_, "") << "an event inside close()";
    ASSERT_TRUE(run_until([&] { return ordered("server-close") && ordered("done"); }));
    run_for(1ms);
    EXPECT_EQ(order_.size(), whole.size()) << order_;
    EXPECT_TRUE(ordered("done:ERR_SERVER_NOT_RUNNING "));
  }
  EXPECT_TRUE(server_->listen({.port = 0, .host = "127.0.0.1"}).has_value());
}

TEST_P(ContractServerTest, ASecondCloseIsAnErrorAndThereIsOneClose) {
  RULES("3.4.2.3 3.4.2.4 3.4.1.4");
  join();
  note_closing();
  ASSERT_TRUE(server_->close(note_done()).has_value());
  const auto again = server_->close(note_done());
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Mistake::not_running);
  client().end();
  expect_all_gone();
  ASSERT_TRUE(run_until([&] { return ordered("done:ok") && ordered("done:ERR"); }));
  run_for(1ms);
  std::size_t closes = 0;
  for (std::size_t at = 0; (at = order_.find("server-close", at)) != std::string::npos; ++at) {
    ++closes;
  }
  EXPECT_EQ(closes, 1U) << order_;
  // The next cycle has its own.
  order_.clear();
  ASSERT_TRUE(server_->listen({.port = 0, .host = "127.0.0.1"}).has_value());
  ASSERT_TRUE(server_->close(note_done()).has_value());
  ASSERT_TRUE(run_until([&] { return ordered("server-close") && ordered("done:ok"); }));
}

TEST_P(ContractServerTest, TheLastCallOfRefAndUnrefCounts) {
  RULES("3.4.4.1 3.4.4.3");
  listen();
  server_->unref();
  server_->unref();
  EXPECT_TRUE(run_returns());
  EXPECT_TRUE(server_->listening());
  server_->ref();
  server_->ref();
  Timer later = reactor().after(2ms, [&] { server_->unref(); });
  later.unref();
  const Instant begin = reactor().now();
  EXPECT_TRUE(run_returns());
  EXPECT_GE(reactor().now() - begin, 2ms) << "ref() did not hold run()";
  server_->unref();
  server_->ref();
  bool closed = false;
  server_->on_server_close([&](Server&) { closed = true; });
  Timer last = reactor().after(2ms, [&] { EXPECT_TRUE(server_->close().has_value()); });
  last.unref();
  EXPECT_TRUE(run_returns());
  EXPECT_TRUE(closed);
}

TEST_P(ContractServerTest, UnrefBeforeListenIsRemembered) {
  RULES("3.4.4.2 3.4.4.3");
  server_ = std::make_unique<Server>(reactor());
  server_->unref();
  int listening = 0;
  server_->on_listening([&](Server&) { ++listening; });
  for (int round = 1; round <= 2; ++round) {
    ASSERT_TRUE(server_->listen({.port = 0, .host = "127.0.0.1"}).has_value());
    EXPECT_TRUE(run_returns());
    EXPECT_TRUE(server_->listening());
    ASSERT_TRUE(server_->close().has_value());
    bool closed = false;
    server_->on_server_close([&](Server&) { closed = true; }, net::Times::once);
    ASSERT_TRUE(run_until([&] { return closed; }));
  }
}

TEST_P(ContractServerTest, AServerThatDoesNotHoldRunStillAccepts) {
  RULES("3.4.4.4");
  listen();
  server_->unref();
  note_acceptance();
  Client& one = dial();
  one.socket->end(Buffer::literal("while I am here"));
  EXPECT_TRUE(run_returns());
  EXPECT_EQ(accepted_, 1);
  EXPECT_EQ(peer_record_.bytes, "while I am here");
  EXPECT_EQ(one.seen.closes, 1);
}

TEST_P(ContractServerTest, OpenConnectionsHoldRunAlsoWhenTheServerIsClosed) {
  RULES("3.4.4.5 3.4.1.3");
  join();
  note_closing();
  client().unref();
  ASSERT_TRUE(server_->close().has_value());
  // Ends the only thing that may hold run(), from outside.
  Timer later = reactor().after(5ms, [&] { client().end(); });
  later.unref();
  EXPECT_TRUE(run_returns());
  EXPECT_EQ(order_, "close server-close ");
}

TEST_P(ContractServerTest, CloseAllConnectionsEndsEveryOne) {
  RULES("3.4.5.1");
  listen();
  for (int i = 0; i < 5; ++i) dial();
  ASSERT_TRUE(run_until([&] { return server_->connections() == 5; }));
  note_closing();
  server_->close_all_connections();
  EXPECT_EQ(order_, "") << "an event inside the call";
  ASSERT_TRUE(run_until([&] { return all_clients_closed() && server_->connections() == 0; }));
  EXPECT_EQ(order_, "close close close close close ");
  EXPECT_TRUE(server_->listening());
  note_acceptance();
  dial();
  ASSERT_TRUE(run_until([&] { return accepted_ == 1; }));
}

WEIR_ON_ALL_BACKENDS(ContractServerTest);

// What only the kernel can tell -----------------------------------------------------------------

class ContractServerOptionsTest : public PairTest {
 protected:
  static int option(const Socket& socket, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(getsockopt(socket.native_handle(), level, name, &value, &size), 0);
    return value;
  }
};

TEST_P(ContractServerOptionsTest, TheyAreInForceInConnection) {
  RULES("3.3.1.5");
  PairOptions options;
  options.server.socket.no_delay = true;
  options.server.socket.keep_alive = true;
  options.server.socket.keep_alive_delay = 47s;
  listen(options);
  int checked = 0;
  server_->on_connection([&](Socket& socket) {
    ++checked;
    EXPECT_NE(option(socket, IPPROTO_TCP, TCP_NODELAY), 0);
    EXPECT_NE(option(socket, SOL_SOCKET, SO_KEEPALIVE), 0);
    EXPECT_EQ(option(socket, IPPROTO_TCP, TCP_KEEPIDLE), 47);
  });
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return checked != 0; }));
}

WEIR_ON_KERNEL_BACKENDS(ContractServerOptionsTest);

}  // namespace
}  // namespace weir::test
