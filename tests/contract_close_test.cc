// The contract of the ends of a connection: FIN, half-open, close, destroy and reset.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/pair.h"
#include "tests/raw_client.h"
#include "tests/rules.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::ReadyState;

constexpr std::size_t kMoreThanTheKernelTakes = 48 << 20;

class CloseContractTest : public PairTest {
 protected:
  static PairOptions half_open(bool client, bool peer) {
    PairOptions options;
    options.client.allow_half_open = client;
    options.server.socket.allow_half_open = peer;
    return options;
  }
  static PairOptions peer_does_not_read(bool client_half_open = false) {
    PairOptions options = half_open(client_half_open, true);
    options.peer_reads = false;
    return options;
  }
  // Something that was written now has come to the other end: what was to happen before has.
  void go_there_and_back() {
    const std::size_t to_peer = peer_record_.bytes.size();
    const std::size_t to_client = client_record_.bytes.size();
    if (client().writable()) {
      client().write("?");
      ASSERT_TRUE(run_until([&] { return peer_record_.bytes.size() > to_peer; }));
    }
    if (peer().writable()) {
      peer().write("!");
      ASSERT_TRUE(run_until([&] { return client_record_.bytes.size() > to_client; }));
    }
  }
  bool run_until_client_closed() {
    return run_until([&] { return client_record_.closes != 0; });
  }
};

// ---- The peer's FIN ----

TEST_P(CloseContractTest, ThePeersFinEndsOurSideToo) {
  RULES("2.5.1.1 2.5.1.3 2.5.3.1 2.5.3.2 2.5.3.3 2.5.4.1");
  join();
  bool writable_at_end = false;
  client().on_end([&](Socket& socket) { writable_at_end = socket.writable(); });
  peer().end();
  expect_all_gone();
  EXPECT_TRUE(writable_at_end) << "the automatic end comes after 'end'";
  EXPECT_EQ(client_record_.order(), "connect ready end finish close");
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_TRUE(client().writable_ended());
  EXPECT_TRUE(client().writable_finished());
}

TEST_P(CloseContractTest, WhatTheEndListenerWritesIsSentByTheAutomaticEnd) {
  RULES("2.5.1.1 2.5.1.2 2.5.1.3");
  join(half_open(false, true));
  client().on_end([](Socket& socket) { EXPECT_EQ(socket.write("last words"), Write::ok); });
  peer().end("bye");
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_EQ(peer_record_.bytes, "last words");
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
}

TEST_P(CloseContractTest, MegabytesThatAreQueuedGoOutBeforeTheAutomaticFin) {
  RULES("2.5.1.2 2.5.1.3 2.5.2.2");
  join(peer_does_not_read());
  const std::string bytes = pattern(12 << 20, 3);
  client().write(bytes);
  peer().end();
  ASSERT_TRUE(run_until([&] { return client_record_.has("end"); }));
  EXPECT_GT(client().writable_length(), 0U) << "the kernel took it all: make it more";
  EXPECT_FALSE(client_record_.has("finish"));
  record_data(peer(), peer_record_);
  expect_all_gone();
  EXPECT_TRUE(peer_record_.bytes == bytes) << peer_record_.bytes.size();
  EXPECT_EQ(peer_record_.order(), "finish data end close");
  EXPECT_EQ(client_record_.events.back(), "close");
  EXPECT_TRUE(client_record_.has("finish"));
  EXPECT_FALSE(client_record_.closed_with);
}

TEST_P(CloseContractTest, AHalfOpenSocketWritesOnUntilItsUserEnds) {
  RULES("2.5.2.1 2.5.2.2 2.5.3.1");
  join(half_open(true, false));
  peer().end();
  ASSERT_TRUE(run_until([&] { return client_record_.has("end"); }));
  for (int i = 1; i <= 10; ++i) {
    EXPECT_EQ(client().ready_state(), ReadyState::write_only);
    EXPECT_EQ(client().write("more"), Write::ok);
    ASSERT_TRUE(run_until([&] { return peer_record_.bytes.size() == 4U * static_cast<unsigned>(i);
    }));
  }
  EXPECT_FALSE(client_record_.has("finish"));
  EXPECT_EQ(peer_record_.order(), "finish data");
  EXPECT_EQ(peer().ready_state(), ReadyState::read_only);
  client().end();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready end finish close");
  EXPECT_EQ(peer_record_.order(), "finish data end close");
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_FALSE(peer_record_.closed_with);
}

TEST_P(CloseContractTest, EndClosesOneDirectionOnly) {
  RULES("2.5.5.1 2.5.3.1");
  join(half_open(false, true));
  client().end("question");
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  const std::string bytes = pattern(2 << 20, 7);
  peer().end(bytes);
  expect_all_gone();
  EXPECT_EQ(peer_record_.bytes, "question");
  EXPECT_TRUE(client_record_.bytes == bytes);
  EXPECT_EQ(client_record_.order(), "connect ready finish data end close");
  EXPECT_EQ(peer_record_.order(), "data end finish close");
}

TEST_P(CloseContractTest, APeerThatSendsNoFinHoldsTheConnection) {
  RULES("2.5.5.2");
  join(half_open(false, true));
  client().end();
  ASSERT_TRUE(run_until([&] { return client_record_.has("finish") && peer_record_.has("end"); }));
  for (int i = 0; i < 10; ++i) go_there_and_back();
  EXPECT_EQ(client_record_.order(), "connect ready finish data");
  EXPECT_EQ(peer_record_.order(), "end");
  client().on_timeout([](Socket& socket) { socket.destroy(); });
  ASSERT_TRUE(client().set_timeout(10ms).has_value());
  ASSERT_TRUE(run_until_client_closed());
  EXPECT_EQ(client_record_.order(), "connect ready finish data timeout close");
  peer().destroy();
  expect_all_gone();
}

// ---- 'close' ----

TEST_P(CloseContractTest, TheClientThatEndsFirst) {
  RULES("2.5.4.1 2.5.4.2 2.5.4.3 2.5.3.6 2.5.3.7");
  NODE_TEST("end-close");
  join();
  client().end();
  EXPECT_EQ(client_record_.order(), "connect ready");
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready finish end close");
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_EQ(peer_record_.order(), "end finish close");
  EXPECT_FALSE(peer_record_.closed_with);
}

TEST_P(CloseContractTest, EndComesAfterUnreadDataAndBeforeClose) {
  RULES("2.5.3.1 2.5.3.2 2.5.3.3");
  NODE_TEST("socket-close-after-end");
  PairOptions options;
  options.client_reads = false;
  join(options);
  peer().end("unread");
  ASSERT_TRUE(run_until([&] { return input_arrived(client()); }));
  run_for(2ms);
  EXPECT_FALSE(client_record_.has("end")) << "the data was not read";
  EXPECT_FALSE(client_record_.has("close"));
  record_data(client(), client_record_);
  expect_all_gone();
  EXPECT_EQ(client_record_.bytes, "unread");
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
}

TEST_P(CloseContractTest, CloseIsOnceAndLastWhateverTheEnd) {
  RULES("2.5.3.4 2.5.3.5 2.5.3.6 2.5.3.7 2.5.4.1");
  using Ending = void (*)(Socket&);
  struct {
    Ending end;
    std::error_code with;
  } const cases[] = {
      {[](Socket& socket) { socket.end(); }, {}},
      {[](Socket& socket) { socket.destroy(); }, {}},
      {[](Socket& socket) { socket.destroy(errno_code(EPROTO)); }, errno_code(EPROTO)},
      {[](Socket& socket) { socket.destroy_soon(); }, {}},
      {[](Socket& socket) { static_cast<void>(socket.reset_and_destroy()); }, {}},
  };
  int index = 0;
  for (const auto& one : cases) {
    client_record_ = {};
    peer_record_ = {};
    join();
    client().write("some");
    peer().write("thing");
    one.end(client());
    EXPECT_FALSE(client_record_.has("close") || client_record_.has("error"))
        << "an event inside the call";
    expect_all_gone();
    EXPECT_EQ(client_record_.closed_with, one.with) << index;
    EXPECT_EQ(client_record_.count("error"), one.with ? 1 : 0);
    EXPECT_EQ(peer_record_.has("error"), static_cast<bool>(peer_record_.closed_with));
    // Nothing more comes of whatever is called afterwards.
    const std::string order = client_record_.order();
    one.end(client());
    client().pause();
    client().resume();
    EXPECT_EQ(client().write("late"), Write::closed);
    run_for(1ms);
    EXPECT_EQ(client_record_.order(), order) << index;
    ++index;
  }
}

// ---- destroy_soon() ----

TEST_P(CloseContractTest, DestroySoonEndsThenDestroysWithoutWaitingForThePeer) {
  RULES("2.5.6.1 2.5.6.2 2.5.6.4");
  join(half_open(false, true));
  const std::string bytes = pattern(3 << 20, 6);
  client().write(bytes);
  client().destroy_soon();
  EXPECT_TRUE(client().writable_ended());
  EXPECT_FALSE(client().destroyed());
  std::size_t left = 1;
  client().on_finish([&](Socket& socket) { left = socket.writable_length(); });
  ASSERT_TRUE(run_until_client_closed());
  EXPECT_EQ(left, 0U);
  EXPECT_EQ(client_record_.order(), "connect ready finish close");
  EXPECT_FALSE(client_record_.closed_with);
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_TRUE(peer_record_.bytes == bytes) << peer_record_.bytes.size();
  peer().end();
  expect_all_gone();
}

TEST_P(CloseContractTest, DestroySoonAfterEndAndAfterFinish) {
  RULES("2.5.6.1 2.5.6.2 2.5.6.3 2.5.6.4");
  for (const bool after_finish : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    join(half_open(false, true));
    client().end("bye");
    if (after_finish) {
      ASSERT_TRUE(run_until([&] { return client_record_.has("finish"); }));
    }
    client().destroy_soon();
    EXPECT_EQ(client().destroyed(), after_finish);
    EXPECT_FALSE(client_record_.has("close"));
    ASSERT_TRUE(run_until_client_closed());
    EXPECT_EQ(client_record_.order(), "connect ready finish close");
    ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
    EXPECT_EQ(peer_record_.bytes, "bye");
    peer().end();
    expect_all_gone();
  }
}

// ---- destroy() ----

TEST_P(CloseContractTest, DestroyTwiceGivesTheFirstErrorOnce) {
  RULES("2.5.7.1 2.5.7.6 2.5.7.7 2.5.3.4 2.5.4.1");
  NODE_TEST("socket-destroy-twice");
  join();
  client().on_error([](Socket& socket, const Error&) { socket.destroy(errno_code(EIO)); });
  client().on_close([](Socket& socket, std::error_code) { socket.destroy(errno_code(EIO)); });
  client().destroy(errno_code(EPROTO));
  client().destroy(errno_code(EIO));
  client().destroy();
  EXPECT_EQ(client_record_.order(), "connect ready");
  EXPECT_TRUE(client().destroyed());
  expect_all_gone();
  client().destroy(errno_code(EIO));
  run_for(1ms);
  EXPECT_EQ(client_record_.order(), "connect ready error close");
  EXPECT_EQ(client_record_.error(), "EPROTO");
  EXPECT_EQ(client_record_.closed_with, errno_code(EPROTO));
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(CloseContractTest, AnErrorAfterAPlainDestroyIsNone) {
  RULES("2.5.7.1 2.5.4.1");
  join();
  client().destroy();
  client().destroy(errno_code(EIO));
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready close");
  EXPECT_FALSE(client_record_.closed_with);
}

TEST_P(CloseContractTest, DestroyDropsWhatIsQueued) {
  RULES("2.5.7.2 2.5.7.5");
  join(peer_does_not_read());
  std::vector<std::error_code> done;
  const auto note_done = [&](Socket&, std::error_code code) { done.push_back(code); };
  client().write(std::string(kMoreThanTheKernelTakes, 'x'), note_done);
  client().end(note_done);
  run_for(2ms);
  EXPECT_GT(client().writable_length(), 0U);
  client().destroy();
  ASSERT_TRUE(run_until_client_closed());
  EXPECT_EQ(client_record_.order(), "connect ready close") << "neither 'drain' nor 'finish'";
  EXPECT_EQ(client().writable_length(), 0U);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
  ASSERT_EQ(done.size(), 2U);
  EXPECT_TRUE(done[0]);
  EXPECT_TRUE(done[1]);
  record_data(peer(), peer_record_);
  peer().end();
  expect_all_gone();
  EXPECT_LT(peer_record_.bytes.size(), kMoreThanTheKernelTakes);
}

TEST_P(CloseContractTest, DestroyDropsInputThatWasNotDelivered) {
  RULES("2.5.7.3 2.5.7.5");
  join();
  std::size_t delivered = 0;
  client().on_data([&](Socket& socket, Buffer bytes) {
    EXPECT_FALSE(socket.destroyed()) << "'data' after destroy()";
    delivered += bytes.size();
    socket.destroy();
  });
  peer().end(pattern(1 << 20, 2));
  ASSERT_TRUE(run_until_client_closed());
  run_for(1ms);
  EXPECT_GT(delivered, 0U);
  EXPECT_LT(delivered, std::size_t{1} << 20);
  EXPECT_EQ(client_record_.order(), "connect ready data close") << "no 'end', no 'finish'";
  ASSERT_TRUE(run_until_closed());
}

TEST_P(CloseContractTest, AfterDestroyAFinThatHasComeIsNotTold) {
  RULES("2.5.7.5 2.5.7.3");
  PairOptions options;
  options.client_reads = false;
  join(options);
  peer().end("unread");
  ASSERT_TRUE(run_until([&] { return input_arrived(client()); }));
  record_data(client(), client_record_);
  client().destroy();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready close");
  EXPECT_EQ(client_record_.bytes, "");
}

TEST_P(CloseContractTest, DestroyWithUnreadInputIsSeenAsAReset) {
  RULES("2.5.7.4 2.5.9.1");
  PairOptions options;
  options.client_reads = false;
  join(options);
  peer().write("unread");
  ASSERT_TRUE(run_until([&] { return input_arrived(client()); }));
  client().destroy();
  expect_all_gone();
  EXPECT_EQ(client().native_handle(), -1);
  EXPECT_EQ(peer_record_.order(), "error close");
  EXPECT_EQ(peer_record_.error(), "ECONNRESET");
  EXPECT_FALSE(client_record_.closed_with);
}

TEST_P(CloseContractTest, DestroyWithNothingUnreadIsSeenAsAnEnd) {
  RULES("2.5.7.4");
  join();
  go_there_and_back();
  client().destroy();
  expect_all_gone();
  EXPECT_EQ(client().native_handle(), -1);
  EXPECT_EQ(peer_record_.order(), "data end finish close");
  EXPECT_FALSE(peer_record_.closed_with);
}

// ---- reset_and_destroy() ----

TEST_P(CloseContractTest, AResetIsAnErrorForThePeerOnly) {
  RULES("2.5.8.1 2.5.8.2 2.5.8.5 2.5.9.1 2.5.9.3 2.5.3.4");
  NODE_TEST("connect-reset-after-destroy socket-reset-twice");
  join();
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  EXPECT_EQ(client_record_.order(), "connect ready");
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready close");
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_EQ(peer_record_.order(), "error close");
  ASSERT_EQ(peer_record_.errors.size(), 1U);
  EXPECT_EQ(peer_record_.errors[0].code, errno_code(ECONNRESET));
  EXPECT_STREQ(peer_record_.errors[0].syscall, "read");
  EXPECT_EQ(peer_record_.closed_with, errno_code(ECONNRESET));
  EXPECT_TRUE(client().reset_and_destroy().has_value());
  run_for(1ms);
  EXPECT_EQ(client_record_.order(), "connect ready close");
}

TEST_P(CloseContractTest, AServersSocketCanBeReset) {
  RULES("2.5.8.1 2.5.8.2 2.5.9.1");
  NODE_TEST("server-reset");
  join();
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  expect_all_gone();
  EXPECT_EQ(peer_record_.order(), "close");
  EXPECT_FALSE(peer_record_.closed_with);
  EXPECT_EQ(client_record_.order(), "connect ready error close");
  EXPECT_EQ(client_record_.error(), "ECONNRESET");
  EXPECT_EQ(client_record_.errors.at(0).message().substr(0, 15), "read ECONNRESET");
}

TEST_P(CloseContractTest, AResetWhileConnectingWaitsForTheConnection) {
  RULES("2.5.8.3 2.5.8.2");
  NODE_TEST("connect-reset-before-connected connect-reset-until-connected");
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  EXPECT_TRUE(client().connecting());
  EXPECT_FALSE(client().destroyed());
  ASSERT_TRUE(run_until([&] { return peer_record_.closes != 0; }));
  expect_all_gone();
  EXPECT_EQ(client_record_.events.front(), "connect");
  EXPECT_FALSE(client_record_.has("error"));
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_EQ(peer_record_.order(), "error close");
  EXPECT_EQ(peer_record_.error(), "ECONNRESET");
}

TEST_P(CloseContractTest, AResetWhileConnectingInVainIsTheErrorOfConnecting) {
  RULES("2.5.8.3");
  listen();
  to_.host = "127.0.0.3";
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  ASSERT_TRUE(run_until_client_closed());
  EXPECT_EQ(client_record_.order(), "error close");
  EXPECT_EQ(client_record_.closed_with, errno_code(ECONNREFUSED));
}

TEST_P(CloseContractTest, WithoutAConnectionThereIsNothingToReset) {
  RULES("2.5.8.4 2.5.8.5");
  NODE_TEST("connect-reset connect-reset-after-destroy");
  Socket socket(reactor());
  Record seen;
  record(socket, seen);
  const auto result = socket.reset_and_destroy();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(name_of(result.error().code), "ERR_SOCKET_CLOSED");
  run_for(1ms);
  EXPECT_EQ(seen.count("close"), 0);
  join();
  client().destroy();
  EXPECT_TRUE(client().reset_and_destroy().has_value());
  expect_all_gone();
  EXPECT_TRUE(client().reset_and_destroy().has_value());
  run_for(1ms);
  EXPECT_EQ(client_record_.order(), "connect ready close");
}

TEST_P(CloseContractTest, UnixSocketsKnowNoReset) {
  RULES("2.5.8.6");
  listen({.over_unix = true});
  const auto expect_refused = [](Socket& socket) {
    const auto result = socket.reset_and_destroy();
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(name_of(result.error().code), "ERR_INVALID_HANDLE_TYPE");
    EXPECT_FALSE(socket.destroyed());
  };
  ASSERT_TRUE(client().connect(to_).has_value());
  expect_refused(client());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
  expect_refused(client());
  expect_refused(peer());
  go_there_and_back();
  client().end();
  expect_all_gone();
  EXPECT_FALSE(client_record_.closed_with);
}

// ---- Being reset ----

TEST_P(CloseContractTest, AResetFoundByWriting) {
  RULES("2.5.9.2 2.5.9.3");
  join(half_open(true, false));
  peer().destroy();
  ASSERT_TRUE(run_until([&] { return client_record_.has("end") && peer_ == nullptr; }));
  // Nobody is there any more; the first writes may still be taken.
  ASSERT_TRUE(run_until([&] {
    if (client().writable()) client().write("into the void");
    return client_record_.closes != 0;
  }));
  EXPECT_EQ(client_record_.order(), "connect ready end error close");
  EXPECT_TRUE(is_reset(client_record_.closed_with)) << client_record_.error();
  EXPECT_EQ(client_record_.errors.at(0).code, client_record_.closed_with);
  EXPECT_STREQ(client_record_.errors.at(0).syscall, "write") << client_record_.error();
}

TEST_P(CloseContractTest, AResetFailsTheWritesThatAreQueued) {
  RULES("2.5.9.2 2.5.9.3");
  join(peer_does_not_read());
  std::error_code done;
  client().write(std::string(kMoreThanTheKernelTakes, 'x'),
                 [&](Socket&, std::error_code code) { done = code; });
  run_for(2ms);
  EXPECT_GT(client().writable_length(), 0U);
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready error close");
  EXPECT_TRUE(is_reset(client_record_.closed_with)) << client_record_.error();
  EXPECT_TRUE(is_reset(done)) << name_of(done);
}

TEST_P(CloseContractTest, APausedSocketReportsAResetAtOnce) {
  RULES("2.5.9.4 2.5.9.3");
  for (const bool with_data : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    join();
    client().pause();
    if (with_data) {
      peer().write("unread");
      ASSERT_TRUE(run_until([&] { return input_arrived(client()); }));
    }
    ASSERT_TRUE(peer().reset_and_destroy().has_value());
    expect_all_gone();
    EXPECT_TRUE(client().is_paused());
    EXPECT_EQ(client_record_.order(), "connect ready error close");
    EXPECT_EQ(client_record_.error(), "ECONNRESET");
    EXPECT_EQ(client_record_.closed_with, errno_code(ECONNRESET));
    client().resume();
  }
}

TEST_P(CloseContractTest, ASocketThatNobodyReadsReportsAResetAtOnce) {
  RULES("2.5.9.4");
  PairOptions options;
  options.peer_reads = false;
  join(options);
  client().write("unread");
  ASSERT_TRUE(run_until([&] { return input_arrived(peer()); }));
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  expect_all_gone();
  EXPECT_EQ(peer_record_.order(), "error close");
  EXPECT_EQ(peer_record_.error(), "ECONNRESET");
}

TEST_P(CloseContractTest, AServerWithoutErrorListenersOutlivesItsClients) {
  RULES("2.5.9.5 2.5.9.1 2.5.3.6");
  server_ = std::make_unique<Server>(reactor());
  int connections = 0;
  std::vector<std::error_code> closes;
  server_->on_connection([&](Socket&) { ++connections; });
  server_->on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  server_->on_close([&](Socket&, std::error_code code) { closes.push_back(code); });
  const auto bound = server_->listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  to_ = {.host = "127.0.0.1", .port = bound->port()};
  for (int i = 1; i <= 3; ++i) {
    Socket rude(reactor());
    rude.on_data([](Socket&, Buffer) {});
    ASSERT_TRUE(rude.connect(to_).has_value());
    rude.write("x");
    ASSERT_TRUE(run_until([&] { return rude.bytes_read() == 1; }));
    ASSERT_TRUE(rude.reset_and_destroy().has_value());
    ASSERT_TRUE(run_until([&] { return static_cast<int>(closes.size()) == i; }));
    EXPECT_EQ(closes.back(), errno_code(ECONNRESET));
    EXPECT_EQ(unhandled_.size(), static_cast<std::size_t>(i));
  }
  EXPECT_TRUE(server_->listening());
  client_ = std::make_unique<Socket>(reactor());
  record(*client_, client_record_);
  record_data(*client_, client_record_);
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("still there");
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "still there"; }));
  EXPECT_EQ(connections, 4);
}

WEIR_ON_ALL_BACKENDS(CloseContractTest);

// ---- In virtual time ----

class CloseInTimeTest : public CloseContractTest {};

TEST_P(CloseInTimeTest, HalfAConnectionLastsForDays) {
  RULES("2.5.5.2 2.5.2.1");
  join(half_open(true, true));
  client().end();
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  run_for(72h);
  EXPECT_EQ(client_record_.order(), "connect ready finish");
  EXPECT_EQ(peer_record_.order(), "end");
  EXPECT_TRUE(peer().writable());
  peer().write("still here");
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "still here"; }));
  client().destroy();
  peer().destroy();
  expect_all_gone();
}

WEIR_ON_SIM(CloseInTimeTest);

// ---- What only kernels have ----

class CloseKernelTest : public CloseContractTest {};

TEST_P(CloseKernelTest, TheDescriptorIsClosedBeforeClose) {
  RULES("2.5.7.4 2.5.3.1");
  for (const bool gently : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    join();
    const int fd = client().native_handle();
    bool open_at_close = true;
    const auto id = client().on_close([&](Socket&, std::error_code) {
      open_at_close = fcntl(fd, F_GETFD) >= 0;
    });
    ASSERT_GE(fcntl(fd, F_GETFD), 0);
    if (gently) {
      client().end();
    } else {
      client().destroy();
    }
    ASSERT_TRUE(run_until_client_closed());
    EXPECT_FALSE(open_at_close) << gently;
    client().off(id);
    expect_all_gone();
  }
}

// A process that is killed with unread input: its kernel resets the connection.
TEST_P(CloseKernelTest, AForeignClientThatDies) {
  RULES("2.5.9.1 2.5.9.3 2.5.9.5");
  listen();
  for (const bool by_reset : {false, true}) {
    peer_record_ = {};
    RawClient foreign(static_cast<std::uint16_t>(to_.port));
    ASSERT_TRUE(foreign.connected());
    ASSERT_TRUE(run_until([&] { return peer_ != nullptr; }));
    peer().write("unread");
    ASSERT_TRUE(run_until([&] { return peer().writable_length() == 0; }));
    ASSERT_EQ(recv(foreign.fd(), nullptr, 0, MSG_PEEK), 0);
    if (by_reset) {
      foreign.reset();
    } else {
      const RawClient goes = std::move(foreign);
    }
    ASSERT_TRUE(run_until([&] { return peer_record_.closes != 0; }));
    EXPECT_EQ(peer_record_.order(), "error close");
    EXPECT_EQ(peer_record_.error(), "ECONNRESET");
    EXPECT_STREQ(peer_record_.errors.at(0).syscall, "read");
  }
  EXPECT_TRUE(server_->listening());
}

WEIR_ON_KERNEL_BACKENDS(CloseKernelTest);

}  // namespace
}  // namespace weir::test
