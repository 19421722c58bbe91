// Reading and pausing, listeners, the idle timeout, counters, and what keeps run() going.
#include <gtest/gtest.h>

#include "tests/pair.h"
#include "weir/net/pipe.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class SocketTest : public PairTest {
 protected:
  static PairOptions nobody_reads() { return {.client_reads = false, .peer_reads = false}; }
};

TEST_P(SocketTest, NoDataAfterPauseAndNothingIsLost) {
  join();
  const std::string sent = pattern(2 << 20, 21);
  std::string received;
  bool paused = false;
  Timer resume;
  client().on_data([&](Socket& socket, Buffer bytes) {
    EXPECT_FALSE(paused) << "'data' while paused";
    received += bytes.view();
    socket.pause();
    paused = true;
    resume = reactor().after(received.size() % 3 == 0 ? 1ms : 0ms, [&] {
      paused = false;
      client().resume();
      EXPECT_FALSE(client().is_paused());
    });
  });
  peer().write(sent);
  peer().end();
  ASSERT_TRUE(run_until_closed());
  EXPECT_TRUE(received == sent);
  EXPECT_FALSE(client_record_.closed_with);
}

TEST_P(SocketTest, PausingAnotherSocketHoldsEvenTheBatchThatIsUnderWay) {
  listen(nobody_reads());
  constexpr int kClients = 16;
  std::vector<std::unique_ptr<Socket>> clients;
  std::vector<Socket*> peers;
  std::string received[kClients];
  server_->on_connection([&](Socket& socket) { peers.push_back(&socket); });
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Socket>(reactor()));
    ASSERT_TRUE(clients.back()->connect(to_).has_value());
    clients.back()->on_data([&, i](Socket& self, Buffer bytes) {
      EXPECT_FALSE(self.is_paused()) << "'data' after pause()";
      received[i] += bytes.view();
      for (auto& other : clients) {
        if (other.get() != &self) other->pause();
      }
    });
  }
  ASSERT_TRUE(run_until([&] { return peers.size() == kClients; }));
  for (int round = 0; round < 3; ++round) {
    for (Socket* one : peers) one->write("abc");
    const auto total = [&] {
      std::size_t sum = 0;
      for (const std::string& one : received) sum += one.size();
      return sum;
    };
    while (total() < static_cast<std::size_t>(round + 1) * kClients * 3) {
      const std::size_t before = total();
      ASSERT_TRUE(run_until([&] { return total() != before; }));
      run_for(1ms);
      for (auto& one : clients) one->resume();
    }
  }
  for (const std::string& one : received) EXPECT_EQ(one, "abcabcabc");
}

TEST_P(SocketTest, PauseInsideDataHoldsTheSecondHalfOfTheStream) {
  join();
  int calls = 0;
  client().on_data([&](Socket& socket, Buffer) {
    ++calls;
    socket.pause();
  });
  for (int i = 0; i < 20; ++i) {
    peer().write(std::string(1000, 'a'));
    reactor().run_once(0ms);
  }
  run_for(5ms);
  EXPECT_EQ(calls, 1);
  peer().end();
  run_for(5ms);
  EXPECT_FALSE(client_record_.has("end"));
  client().on_data([](Socket& socket, Buffer) { socket.resume(); });
  client().resume();
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(client_record_.bytes.size(), 20'000U);
}

TEST_P(SocketTest, ResumeInsideDataUndoesThePause) {
  join();
  client().on_data([&](Socket& socket, Buffer) {
    socket.pause();
    socket.resume();
  });
  const std::string sent = pattern(1 << 20, 6);
  peer().write(sent);
  peer().end();
  ASSERT_TRUE(run_until_closed());
  EXPECT_TRUE(client_record_.bytes == sent);
}

TEST_P(SocketTest, ResumeDeliversLater) {
  join();
  client().pause();
  peer().write("held");
  ASSERT_TRUE(run_until([&] { return input_arrived(client()); }));
  run_for(1ms);
  client().resume();
  EXPECT_EQ(client_record_.bytes, "") << "an event inside resume()";
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "held"; }));
}

TEST_P(SocketTest, PauseBeforeConnectAndInConnectionIsHonoured) {
  listen();
  client().pause();
  server_->on_connection([](Socket& socket) { socket.pause(); });
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
  EXPECT_TRUE(client().is_paused());
  EXPECT_TRUE(peer().is_paused());
  client().write("to peer");
  peer().write("to client");
  ASSERT_TRUE(run_until([&] { return input_arrived(client()) && input_arrived(peer()); }));
  run_for(5ms);
  EXPECT_EQ(client_record_.bytes + peer_record_.bytes, "");
  client().resume();
  peer().resume();
  ASSERT_TRUE(run_until(
      [&] { return client_record_.bytes == "to client" && peer_record_.bytes == "to peer"; }));
}

TEST_P(SocketTest, AResetIsReportedWhilePaused) {
  join();
  client().pause();
  run_for(2ms);
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready error close");
  EXPECT_EQ(client_record_.error(), "ECONNRESET");
}

TEST_P(SocketTest, AResetIsReportedWhilePausedWithBytesUnread) {
  join();
  client().pause();
  peer().write("unread");
  ASSERT_TRUE(run_until([&] { return input_arrived(client()); }));
  run_for(2ms);
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  expect_all_gone();
  EXPECT_EQ(client_record_.error(), "ECONNRESET");
  EXPECT_EQ(client_record_.bytes, "") << "'data' while paused";
}

TEST_P(SocketTest, AResetIsReportedWithoutADataListener) {
  join(nobody_reads());
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready error close");
}

TEST_P(SocketTest, ABareFinEndsWithoutADataListener) {
  join(nobody_reads());
  peer().end();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready end finish close");
}

TEST_P(SocketTest, ABareFinEndsWhilePaused) {
  join();
  peer().write("seen");
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "seen"; }));
  client().pause();
  run_for(1ms);
  peer().end();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
}

TEST_P(SocketTest, DataThatNobodyReadsHoldsBackTheEnd) {
  join(nobody_reads());
  peer().write("unread");
  peer().end();
  ASSERT_TRUE(run_until([&] { return input_arrived(client()) && peer_record_.has("finish"); }));
  run_for(10ms);
  EXPECT_EQ(client_record_.order(), "connect ready");
  EXPECT_FALSE(client().destroyed());
  record_data(client(), client_record_);
  EXPECT_EQ(client_record_.bytes, "") << "an event inside on_data()";
  expect_all_gone();
  EXPECT_EQ(client_record_.bytes, "unread");
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
}

TEST_P(SocketTest, DataWhilePausedHoldsBackTheEnd) {
  join();
  client().pause();
  peer().write("unread");
  peer().end();
  ASSERT_TRUE(run_until([&] { return input_arrived(client()) && peer_record_.has("finish"); }));
  run_for(10ms);
  EXPECT_EQ(client_record_.order(), "connect ready");
  client().resume();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
}

TEST_P(SocketTest, ResumeWithoutAListenerDropsDataAndReachesTheEnd) {
  join(nobody_reads());
  client().resume();
  peer().write(std::string(100'000, 'x'));
  peer().end();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready end finish close");
  EXPECT_EQ(client().bytes_read(), 100'000U);
}

TEST_P(SocketTest, AnUnreadStreamPushesBackOnTheWriter) {
  PairOptions options = nobody_reads();
  options.server.socket.queue.bytes_max = 256 << 20;
  join(options);
  peer().write(Buffer::take(std::string(64 << 20, 'x')));
  run_for(20ms);
  EXPECT_GT(peer().writable_length(), 32U << 20);
  EXPECT_LE(client().bytes_read(), 1U << 20) << "read ahead without a reader";
}

TEST_P(SocketTest, SeveralListenersShareTheBytesInOrder) {
  listen({.client_reads = false});
  std::vector<Buffer> kept;
  std::string order;
  for (const char name : {'a', 'b', 'c'}) {
    client().on_data([&, name](Socket&, Buffer bytes) {
      order += name;
      kept.push_back(std::move(bytes));
    });
  }
  server_->on_connection([](Socket& socket) { socket.write("shared"); });
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return kept.size() == 3; }));
  EXPECT_EQ(order, "abc");
  client().destroy();
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  for (const Buffer& one : kept) EXPECT_EQ(one.view(), "shared");
  EXPECT_EQ(kept[0].data(), kept[2].data());
}

TEST_P(SocketTest, ServerListenersRunBeforeTheSocketsOwn) {
  listen({.peer_reads = false});
  std::string order;
  server_->on_connection([&](Socket& socket) {
    socket.on_data([&](Socket&, Buffer bytes) { order += "own:" + std::string(bytes.view()); });
    socket.on_close([&](Socket&, std::error_code) { order += " own-close"; });
  });
  server_->on_data([&](Socket&, Buffer bytes) { order += std::string(bytes.view()) + ","; });
  server_->on_close([&](Socket&, std::error_code) { order += " server-close"; });
  ASSERT_TRUE(client().connect(to_).has_value());
  client().end(Buffer::literal("x"));
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(order, "x,own:x server-close own-close");
}

TEST_P(SocketTest, OnceListenersRunOnce) {
  listen();
  int once = 0;
  int always = 0;
  client().on_close([&](Socket&, std::error_code) { ++once; }, net::Times::once);
  client().on_close([&](Socket&, std::error_code) { ++always; });
  for (int round = 1; round <= 3; ++round) {
    ASSERT_TRUE(client().connect(to_).has_value());
    client().destroy();
    ASSERT_TRUE(run_until([&] { return always == round; }));
  }
  EXPECT_EQ(once, 1);
}

TEST_P(SocketTest, AListenerAddedDuringAnEmissionWaitsForTheNext) {
  join();
  int late = 0;
  bool added = false;
  client().on_data([&](Socket& socket, Buffer) {
    if (std::exchange(added, true)) return;
    socket.on_data([&](Socket&, Buffer) { ++late; });
  });
  peer().write("1");
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "1"; }));
  EXPECT_EQ(late, 0);
  peer().write("2");
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "12"; }));
  EXPECT_EQ(late, 1);
}

TEST_P(SocketTest, AOnceListenerThatAddsItselfAgainRunsOnceAnEmission) {
  join();
  int calls = 0;
  struct Again {
    int* calls;
    void operator()(Socket& socket, Buffer) const {
      ++*calls;
      socket.on_data(Again{calls}, net::Times::once);
    }
  };
  client().on_data(Again{&calls}, net::Times::once);
  for (int round = 1; round <= 3; ++round) {
    peer().write("x");
    const auto size = static_cast<std::size_t>(round);
    ASSERT_TRUE(run_until([&] { return client_record_.bytes.size() == size; }));
    EXPECT_EQ(calls, round);
  }
}

TEST_P(SocketTest, NothingButCloseFollowsDestroyInAListener) {
  join();
  std::string order;
  client().on_end([&](Socket& socket) {
    order += "a";
    socket.destroy();
  });
  peer().end();
  expect_all_gone();
  EXPECT_EQ(order, "a");
  EXPECT_FALSE(client_record_.has("finish")) << "nothing but 'close' after destroy()";
}

TEST_P(SocketTest, CountersAndAddressesSurviveClose) {
  join();
  client().write("four");
  peer().write("sixsix");
  ASSERT_TRUE(
      run_until([&] { return peer_record_.bytes == "four" && client_record_.bytes == "sixsix"; }));
  const Address local = client().local_address();
  const Address remote = client().remote_address();
  EXPECT_EQ(remote.port(), to_.port);
  EXPECT_EQ(peer().server(), server_.get());
  EXPECT_EQ(client().server(), nullptr);
  std::uint64_t peer_read = 0;
  Address peer_remote;
  server_->on_close([&](Socket& socket, std::error_code) {
    peer_read = socket.bytes_read();
    peer_remote = socket.remote_address();
  });
  client().end();
  expect_all_gone();
  EXPECT_EQ(client().bytes_written(), 4U);
  EXPECT_EQ(client().bytes_read(), 6U);
  EXPECT_EQ(client().local_address(), local);
  EXPECT_EQ(client().remote_address(), remote);
  EXPECT_EQ(client().native_handle(), -1);
  EXPECT_EQ(peer_read, 4U);
  EXPECT_EQ(peer_remote, local);
}

TEST_P(SocketTest, OptionsMayBeSetAtAnyTime) {
  listen();
  client().set_no_delay();
  client().set_keep_alive(true, 5s);
  ASSERT_TRUE(client().connect(to_).has_value());
  client().set_no_delay(false);
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready"); }));
  client().set_no_delay();
  client().set_keep_alive(false);
  EXPECT_FALSE(client().set_buffer_sizes(64 << 10, 64 << 10));
  client().destroy();
  client().set_no_delay();
  client().set_keep_alive(true);
  client().set_timeout(1ms);
  client().cork();
  client().uncork();
  client().pause();
  client().resume();
  client().ref();
  client().unref();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready close");
}

TEST_P(SocketTest, AWeakReferenceTurnsNull) {
  join();
  const net::SocketRef mine = client().weak();
  const net::SocketRef theirs = peer().weak();
  EXPECT_EQ(mine.get(), &client());
  EXPECT_EQ(theirs.get(), peer_);
  EXPECT_EQ(net::SocketRef().get(), nullptr);
  client().end();
  expect_all_gone();
  EXPECT_EQ(mine.get(), nullptr);
  EXPECT_EQ(theirs.get(), nullptr);
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && !client().connecting(); }));
  EXPECT_EQ(mine.get(), nullptr) << "a new connection is not the old one";
  EXPECT_EQ(theirs.get(), nullptr);
  const net::SocketRef again = client().weak();
  const net::SocketRef accepted = peer().weak();
  client_.reset();
  EXPECT_EQ(again.get(), nullptr);
  server_.reset();
  EXPECT_EQ(accepted.get(), nullptr);
}

// What keeps run() going ------------------------------------------------------------------------

TEST_P(SocketTest, RunReturnsWhenNothingIsLeft) {
  EXPECT_TRUE(run_returns());
  listen();
  server_->on_connection([&](Socket&) { EXPECT_TRUE(server_->close().has_value()); });
  ASSERT_TRUE(client().connect(to_).has_value());
  client().end(Buffer::literal("done"));
  EXPECT_TRUE(run_returns());
  EXPECT_EQ(client_record_.closes, 1);
  EXPECT_EQ(peer_record_.closes, 1);
  EXPECT_EQ(peer_record_.bytes, "done");
}

TEST_P(SocketTest, RunOutlastsAnUnreferencedServerWhileAConnectionIsOpen) {
  listen();
  server_->unref();
  EXPECT_TRUE(run_returns());
  ASSERT_TRUE(client().connect(to_).has_value());
  client().on_connect([&](Socket& socket) { socket.end(); });
  EXPECT_TRUE(run_returns());
  EXPECT_EQ(client_record_.closes, 1);
}

TEST_P(SocketTest, UnreferencedSocketsDoNotKeepRunGoing) {
  join();
  server_->unref();
  client().unref();
  client().unref();
  peer().unref();
  EXPECT_TRUE(run_returns());
  EXPECT_EQ(client_record_.closes, 0);
  // They still work while the loop runs.
  client().write("x");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "x"; }));
  client().ref();
  client().ref();
  Timer later = reactor().after(1ms, [&] { client().end(); });
  EXPECT_TRUE(run_returns());
  EXPECT_EQ(client_record_.closes, 1);
}

TEST_P(SocketTest, UnrefBeforeConnectIsRemembered) {
  listen();
  server_->unref();
  client().unref();
  server_->on_connection([](Socket& socket) { socket.unref(); });
  ASSERT_TRUE(client().connect(to_).has_value());
  EXPECT_TRUE(run_returns());
}

TEST_P(SocketTest, AnIdleTimeoutDoesNotKeepRunGoing) {
  join();
  server_->unref();
  client().unref();
  peer().unref();
  client().set_timeout(std::chrono::hours(1));
  const Instant begin = reactor().now();
  EXPECT_TRUE(run_returns());
  EXPECT_LT(reactor().now() - begin, std::chrono::minutes(30));
}

// ---- Pipes ----

TEST_P(SocketTest, APipeEndsWhenItsDestinationHasFinished) {
  // Half-open: the destination is finished for long before it closes.
  join({.server = {.socket = {.allow_half_open = true}},
        .client_reads = false,
        .peer_reads = false});
  Socket& source_peer = peer();
  Socket* reader = nullptr;
  server_->on_connection([&](Socket& socket) { reader = &socket; });
  Socket destination(reactor());
  ASSERT_TRUE(destination.connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return reader != nullptr && destination.writable(); }));

  std::size_t delivered = 0;
  client().on_data([&](Socket&, Buffer bytes) { delivered += bytes.size(); });
  net::pipe(client(), destination, {.end = false});
  const std::string much(15 << 20, 'm');
  source_peer.write(much);
  ASSERT_TRUE(run_until([&] { return destination.writable_needs_drain(); }));
  // It will take no more: its source must not wait for a 'drain' that never comes.
  destination.end();
  reader->on_data([](Socket&, Buffer) {});
  EXPECT_TRUE(run_until([&] { return delivered == much.size(); })) << delivered;
}

WEIR_ON_ALL_BACKENDS(SocketTest);

}  // namespace
}  // namespace weir::test
