// The ways to end: end(), the peer's FIN, half-open connections, destroy(), destroy_soon(), reset.
#include <gtest/gtest.h>

#include "tests/pair.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::ReadyState;

constexpr std::size_t kMoreThanTheKernelTakes = 48 << 20;

class CloseTest : public PairTest {
 protected:
  static PairOptions half_open(bool client, bool peer) {
    PairOptions options;
    options.client.allow_half_open = client;
    options.server.socket.allow_half_open = peer;
    return options;
  }
};

TEST_P(CloseTest, BothSidesEndWhenOneDoes) {
  join();
  client().end();
  EXPECT_TRUE(client().writable_ended());
  EXPECT_FALSE(client().writable());
  EXPECT_FALSE(client().writable_finished());
  EXPECT_EQ(client().ready_state(), ReadyState::read_only);
  client().end();
  EXPECT_FALSE(client_record_.has("finish")) << "an event inside end()";
  expect_all_gone();
  EXPECT_TRUE(client().writable_finished());
  EXPECT_EQ(client_record_.order(), "connect ready finish end close");
  EXPECT_EQ(client_record_.closed_with, std::error_code());
  EXPECT_EQ(peer_record_.order(), "end finish close");
  EXPECT_EQ(peer_record_.closed_with, std::error_code());
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(CloseTest, BothSidesMayEndAtOnce) {
  join();
  client().write("from client");
  peer().write("from peer");
  client().end();
  peer().end();
  expect_all_gone();
  for (const Record* side : {&client_record_, &peer_record_}) {
    EXPECT_EQ(side->count("end"), 1);
    EXPECT_EQ(side->count("finish"), 1);
    EXPECT_EQ(side->events.back(), "close");
    EXPECT_FALSE(side->closed_with);
  }
  EXPECT_EQ(client_record_.bytes, "from peer");
  EXPECT_EQ(peer_record_.bytes, "from client");
}

TEST_P(CloseTest, TheServerSideMayEndFirst) {
  join();
  peer().end(Buffer::literal("bye"));
  expect_all_gone();
  EXPECT_EQ(client_record_.bytes, "bye");
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
}

TEST_P(CloseTest, EndSendsWhatIsQueuedFirst) {
  join();
  const std::string bytes = pattern(3 << 20, 11);
  client().write(bytes);
  client().end(Buffer::literal("!"));
  expect_all_gone();
  EXPECT_TRUE(peer_record_.bytes == bytes + "!");
  EXPECT_EQ(client().bytes_written(), bytes.size() + 1);
}

TEST_P(CloseTest, AHalfOpenSocketStaysWritableAfterThePeersFin) {
  join(half_open(true, false));
  peer().end();
  ASSERT_TRUE(run_until([&] { return client_record_.has("end"); }));
  run_for(5ms);
  EXPECT_FALSE(client_record_.has("finish"));
  EXPECT_TRUE(client().writable());
  EXPECT_EQ(client().ready_state(), ReadyState::write_only);
  EXPECT_EQ(client().write("answer"), Write::ok);
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "answer"; }));
  run_for(2ms);
  EXPECT_EQ(client_record_.closes, 0);
  EXPECT_EQ(client().write(" and more"), Write::ok);
  client().end();
  expect_all_gone();
  EXPECT_EQ(peer_record_.bytes, "answer and more");
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_FALSE(peer_record_.closed_with);
}

TEST_P(CloseTest, AHalfOpenPeerKeepsSendingAfterOurEnd) {
  join(half_open(false, true));
  client().end();
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_EQ(client().ready_state(), ReadyState::read_only);
  peer().write("late");
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "late"; }));
  EXPECT_FALSE(client_record_.has("end"));
  peer().end();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready finish data end close");
}

TEST_P(CloseTest, SetAllowHalfOpenChangesOneSocket) {
  join();
  client().set_allow_half_open(true);
  peer().end();
  ASSERT_TRUE(run_until([&] { return client_record_.has("end"); }));
  run_for(2ms);
  EXPECT_TRUE(client().writable());
  client().end();
  expect_all_gone();
}

TEST_P(CloseTest, WhatIsQueuedWhenThePeersFinArrivesComesWhole) {
  for (const bool allow_half_open : {false, true}) {
    PairOptions options = half_open(allow_half_open, false);
    options.peer_reads = false;
    client_record_ = {};
    peer_record_ = {};
    join(options);
    const std::string bytes = pattern(6 << 20, 5);
    client().write(bytes);
    run_for(2ms);
    peer().end();
    ASSERT_TRUE(run_until([&] { return client_record_.has("end"); }));
    if (allow_half_open) client().end();
    run_for(2ms);
    EXPECT_GT(client().writable_length(), 0U) << "the kernel took it all: make it more";
    std::string received;
    peer().on_data([&](Socket&, Buffer more) { received += more.view(); });
    expect_all_gone();
    EXPECT_TRUE(received == bytes) << received.size();
    EXPECT_FALSE(client_record_.closed_with);
    EXPECT_FALSE(peer_record_.closed_with);
  }
}

TEST_P(CloseTest, EndIsTheLastOfMuchData) {
  join();
  const std::string bytes = pattern(5 << 20, 9);
  peer().write(bytes);
  peer().end();
  expect_all_gone();
  EXPECT_TRUE(client_record_.bytes == bytes);
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
}

TEST_P(CloseTest, DestroyClosesOnceAndLater) {
  join();
  client().destroy();
  EXPECT_TRUE(client().destroyed());
  EXPECT_FALSE(client().writable());
  EXPECT_EQ(client().ready_state(), ReadyState::closed);
  client().destroy();
  client().end();
  EXPECT_FALSE(client_record_.has("close")) << "an event inside destroy()";
  expect_all_gone();
  client().destroy(errno_code(EIO));
  run_for(2ms);
  EXPECT_EQ(client_record_.order(), "connect ready close");
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_EQ(peer_record_.order(), "end finish close") << "a clean end: nothing was unread";
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(CloseTest, TheFirstErrorOfDestroyWins) {
  join();
  client().destroy(errno_code(EPROTO));
  client().destroy(errno_code(EIO));
  EXPECT_FALSE(client_record_.has("error"));
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready error close");
  EXPECT_EQ(client_record_.error(), "EPROTO");
  EXPECT_EQ(client_record_.closed_with, errno_code(EPROTO));
}

TEST_P(CloseTest, DestroyInsideErrorAndCloseIsHarmless) {
  join();
  client().on_error([](Socket& socket, const Error&) { socket.destroy(errno_code(EIO)); });
  client().on_close([](Socket& socket, std::error_code) { socket.destroy(errno_code(EIO)); });
  client().destroy(errno_code(EPROTO));
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready error close");
}

TEST_P(CloseTest, DestroyDropsTheQueue) {
  PairOptions options;
  options.peer_reads = false;
  join(options);
  client().write(Buffer::take(std::string(kMoreThanTheKernelTakes, 'x')));
  run_for(2ms);
  EXPECT_GT(client().writable_length(), 0U);
  client().destroy();
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(client().writable_length(), 0U);
  EXPECT_EQ(client_record_.order(), "connect ready close");
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
  peer().destroy();
  expect_all_gone();
}

TEST_P(CloseTest, DestroyWithBytesInTheKernelResetsThePeer) {
  PairOptions options;
  options.client_reads = false;
  join(options);
  peer().write("nobody reads this");
  ASSERT_TRUE(run_until([&] { return input_arrived(client()); }));
  client().destroy();
  expect_all_gone();
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_EQ(peer_record_.error(), "ECONNRESET");
  EXPECT_STREQ(peer_record_.errors[0].syscall, "read");
  EXPECT_EQ(peer_record_.errors[0].message().substr(0, 15), "read ECONNRESET");
  EXPECT_EQ(peer_record_.order(), "error close");
}

TEST_P(CloseTest, DestroyWithBytesInOurHandsResetsThePeer) {
  join();
  // Paused inside 'data', what comes next is somewhere between the kernel and the handler.
  client().on_data([&](Socket& socket, Buffer) { socket.pause(); });
  peer().write("first");
  ASSERT_TRUE(run_until([&] { return client().is_paused(); }));
  peer().write("second");
  ASSERT_TRUE(run_until([&] {
    return client().bytes_read() > 5 ||
           reactor().backend().get(client().native_handle(), SocketFact::unread_bytes) > 0;
  }));
  client().destroy();
  expect_all_gone();
  EXPECT_EQ(peer_record_.error(), "ECONNRESET");
}

TEST_P(CloseTest, DestroyInsideDataLeavesTheRestUndelivered) {
  join();
  long calls = 0;
  client().on_data([&](Socket& socket, Buffer) {
    ++calls;
    socket.destroy();
  });
  peer().write(pattern(1 << 20, 2));
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(calls, 1);
  ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  EXPECT_TRUE(is_reset(peer_record_.closed_with)) << peer_record_.error();
}

TEST_P(CloseTest, DestroySoonSendsEverythingAndDoesNotWaitForThePeer) {
  PairOptions options = half_open(false, true);
  join(options);
  const std::string bytes = pattern(2 << 20, 4);
  client().write(bytes);
  client().destroy_soon();
  EXPECT_FALSE(client().destroyed());
  EXPECT_TRUE(client().writable_ended());
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(client_record_.order(), "connect ready finish close");
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_TRUE(peer_record_.bytes == bytes);
  peer().end();
  expect_all_gone();
}

TEST_P(CloseTest, DestroySoonAfterFinishIsNow) {
  join(half_open(false, true));
  client().end();
  ASSERT_TRUE(run_until([&] { return client_record_.has("finish"); }));
  run_for(2ms);
  EXPECT_EQ(client_record_.closes, 0) << "the peer has not ended";
  client().destroy_soon();
  EXPECT_TRUE(client().destroyed());
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(client_record_.order(), "connect ready finish close");
  peer().destroy();
  expect_all_gone();
}

TEST_P(CloseTest, DestroySoonWhileConnectingWaitsForTheConnection) {
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("quick");
  client().destroy_soon();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready finish close");
  EXPECT_EQ(peer_record_.bytes, "quick");
}

TEST_P(CloseTest, AResetIsSeenByThePeer) {
  join();
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  EXPECT_TRUE(client().destroyed());
  ASSERT_TRUE(client().reset_and_destroy().has_value()) << "again: harmless";
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready close");
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_EQ(peer_record_.order(), "error close");
  EXPECT_EQ(peer_record_.error(), "ECONNRESET");
  EXPECT_EQ(peer_record_.closed_with, errno_code(ECONNRESET));
  EXPECT_TRUE(client().reset_and_destroy().has_value()) << "after 'close': harmless";
}

TEST_P(CloseTest, AResetCutsWhatIsQueued) {
  join();
  client().write(Buffer::take(std::string(kMoreThanTheKernelTakes, 'x')));
  run_for(0ms);
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  expect_all_gone();
  EXPECT_FALSE(peer_record_.has("end"));
  EXPECT_TRUE(is_reset(peer_record_.closed_with)) << peer_record_.error();
  EXPECT_LT(peer_record_.bytes.size(), kMoreThanTheKernelTakes);
}

TEST_P(CloseTest, AResetAfterEndIsStillAReset) {
  join(half_open(false, true));
  client().end();
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  // The peer has our FIN already; it meets the reset at its next write at the latest.
  ASSERT_TRUE(run_until([&] {
    if (peer_ != nullptr && !peer().destroyed()) peer().write("into the void");
    return peer_ == nullptr;
  }));
  EXPECT_TRUE(is_reset(peer_record_.closed_with)) << peer_record_.error();
  expect_all_gone();
}

TEST_P(CloseTest, AUnixSocketCannotBeReset) {
  join({.over_unix = true});
  const auto result = client().reset_and_destroy();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Mistake::bad_handle_type);
  EXPECT_EQ(name_of(result.error().code), "ERR_INVALID_HANDLE_TYPE");
  EXPECT_FALSE(client().destroyed());
  client().write("alive");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "alive"; }));
  client().end();
  expect_all_gone();
}

TEST_P(CloseTest, AUnixSocketCannotBeResetWhileItConnectsEither) {
  listen({.over_unix = true});
  ASSERT_TRUE(client().connect(to_).has_value());
  const auto result = client().reset_and_destroy();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Mistake::bad_handle_type);
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready"); }));
  client().end();
  expect_all_gone();
}

TEST_P(CloseTest, UnixSocketsEndAndDestroyLikeTcp) {
  join({.over_unix = true});
  const std::string bytes = pattern(2 << 20, 8);
  peer().write(bytes);
  peer().end();
  expect_all_gone();
  EXPECT_TRUE(client_record_.bytes == bytes);
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
  client_record_ = {};
  peer_record_ = {};
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
  client().destroy();
  expect_all_gone();
  EXPECT_EQ(peer_record_.order(), "end finish close");
}

TEST_P(CloseTest, AnErrorWithoutAListenerGoesToTheReactor) {
  listen();
  Socket bare(reactor());
  std::error_code closed_with;
  bool closed = false;
  bare.on_close([&](Socket&, std::error_code code) {
    EXPECT_EQ(unhandled_.size(), 1U) << "the error comes before 'close'";
    closed_with = code;
    closed = true;
  });
  ASSERT_TRUE(bare.connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && !bare.connecting(); }));
  bare.destroy(errno_code(EPROTO));
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_EQ(closed_with, errno_code(EPROTO));
  ASSERT_EQ(unhandled_.size(), 1U);
  EXPECT_EQ(unhandled_[0].code, errno_code(EPROTO));
  EXPECT_EQ(reactor().counters().unhandled_errors, 1U);
}

TEST_P(CloseTest, AServersErrorListenerHandlesItsSocketsErrors) {
  join();
  peer().destroy(errno_code(EPROTO));
  expect_all_gone();
  EXPECT_EQ(peer_record_.error(), "EPROTO");
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(CloseTest, ManySimultaneousResetsLeaveNothing) {
  listen();
  constexpr int kClients = 64;
  std::vector<std::unique_ptr<Socket>> clients;
  int closed = 0;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Socket>(reactor()));
    clients.back()->on_close([&](Socket&, std::error_code) { ++closed; });
    clients.back()->on_data([](Socket&, Buffer) {});
    ASSERT_TRUE(clients.back()->connect(to_).has_value());
  }
  ASSERT_TRUE(run_until([&] { return server_->connections() == kClients; }));
  for (auto& one : clients) {
    one->write("x");
    ASSERT_TRUE(one->reset_and_destroy().has_value());
  }
  ASSERT_TRUE(run_until([&] { return closed == kClients && server_->connections() == 0; }));
  EXPECT_EQ(peer_record_.closes, kClients);
  EXPECT_EQ(reactor().counters().sockets, 0U);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

TEST_P(CloseTest, DeletingAConnectedSocketEndsItsConnectionSilently) {
  join();
  client().write("unsent");
  client_.reset();
  ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  EXPECT_EQ(client_record_.order(), "connect ready");
  EXPECT_EQ(reactor().counters().sockets, 0U);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

WEIR_ON_ALL_BACKENDS(CloseTest);

}  // namespace
}  // namespace weir::test
