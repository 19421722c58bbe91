// The contract, section 1.1: end(), and what becomes of writes that come too late or fail.
#include <gtest/gtest.h>

#include <functional>

#include "tests/pair.h"
#include "tests/rules.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::WriteDone;

constexpr std::size_t kMoreThanTheKernelTakes = 48 << 20;

class EndingTest : public PairTest {
 protected:
  static PairOptions half_open(bool client, bool peer) {
    PairOptions options;
    options.client.allow_half_open = client;
    options.server.socket.allow_half_open = peer;
    return options;
  }

  // Notes itself among the client's events, as "a", or "a:EPIPE" with an error.
  WriteDone noting(std::string label) { return noting(std::move(label), client_record_); }

  static WriteDone noting(std::string label, Record& into) {
    return [&into, label = std::move(label)](Socket&, std::error_code code) {
      into.note(code ? label + ":" + std::string(name_of(code)) : label);
    };
  }

  bool seen(std::string_view event) {
    return run_until([&] { return client_record_.has(event); });
  }

  bool closed() {
    return run_until([&] { return client_record_.closes != 0; });
  }

  // Whatever had been due to the client has come to it when an answer from the peer has.
  void round_trip() {
    const std::size_t before = client_record_.bytes.size();
    peer().write("!");
    ASSERT_TRUE(run_until([&] { return client_record_.bytes.size() > before; }));
  }

  // From now on the kernel fails what the client writes, with EPIPE.
  void break_writing() {
    reactor().backend().shutdown(client().native_handle(), Direction::write);
  }
};

// ---- end() ----

class EndTest : public EndingTest {};

TEST_P(EndTest, TheLastBytesGoBeforeTheFin) {
  RULES("1.1.9.1 1.1.9.2 1.1.9.3 1.1.9.4 1.1.9.5");
  join(half_open(false, true));
  const std::string bytes = pattern(3 << 20, 1);
  bool finished_in_finish = false;
  client().on_finish([&](Socket& socket) {
    finished_in_finish = socket.writable_finished();
    EXPECT_EQ(socket.writable_length(), 0U);
  });
  client().write(bytes);
  client().end("last");
  EXPECT_FALSE(client().writable());
  EXPECT_TRUE(client().writable_ended());
  EXPECT_FALSE(client().writable_finished());
  EXPECT_EQ(client_record_.order(), "connect ready");
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_TRUE(peer_record_.bytes == bytes + "last");
  EXPECT_EQ(peer_record_.order(), "data end");
  EXPECT_TRUE(finished_in_finish);
  round_trip();
  EXPECT_FALSE(client().destroyed()) << "end() closes one direction only";
  peer().end();
  expect_all_gone();
  EXPECT_TRUE(client().writable_finished());
}

TEST_P(EndTest, NotFinishedBeforeAllIsOut) {
  RULES("1.1.9.2 1.1.9.3 1.1.9.4 1.1.9.5");
  PairOptions options;
  options.peer_reads = false;
  join(options);
  client().write(Buffer::take(std::string(kMoreThanTheKernelTakes, 'x')));
  client().end();
  peer().write("!");
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "!"; }));
  EXPECT_GT(client().writable_length(), 0U);
  EXPECT_FALSE(client().writable_finished());
  EXPECT_TRUE(client().writable_ended());
  EXPECT_EQ(client_record_.order(), "connect ready data");
  std::size_t received = 0;
  peer().on_data([&](Socket&, Buffer bytes) { received += bytes.size(); });
  expect_all_gone();
  EXPECT_EQ(received, kMoreThanTheKernelTakes);
  EXPECT_TRUE(client().writable_finished());
}

TEST_P(EndTest, WhileConnecting) {
  RULES("1.1.9.3 1.1.9.4 1.1.9.6");
  NODE_TEST("socket-end-before-connect");
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  client().end(noting("ended"));
  EXPECT_TRUE(client().connecting());
  EXPECT_TRUE(client().writable_ended());
  EXPECT_FALSE(client().writable());
  EXPECT_EQ(client_record_.order(), "");
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready ended finish end close");
  EXPECT_EQ(peer_record_.order(), "end finish close");
  EXPECT_FALSE(client_record_.closed_with);
}

TEST_P(EndTest, BytesOfBeforeTheConnectionGoBeforeTheFin) {
  RULES("1.1.9.1 1.1.9.6");
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("early ", noting("a"));
  client().end("last", noting("ended"));
  expect_all_gone();
  EXPECT_EQ(peer_record_.bytes, "early last");
  EXPECT_EQ(client_record_.order(), "connect ready a ended finish end close");
}

TEST_P(EndTest, OfASocketThatNeverConnectsIsQuiet) {
  RULES("1.1.9.3 1.1.14.4");
  NODE_TEST("end-without-connect");
  Record seen;
  Socket socket(reactor());
  record(socket, seen);
  int calls = 0;
  socket.end([&](Socket& self, std::error_code) {
    EXPECT_FALSE(self.writable());
    ++calls;
  });
  EXPECT_EQ(calls, 0) << "inside end()";
  EXPECT_FALSE(socket.writable());
  run_for(1ms);
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(seen.has("error"));
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(EndTest, OfASocketThatNeverConnectsCountsToo) {
  RULES("1.1.9.3 1.1.9.4");
  Socket socket(reactor());
  socket.end();
  EXPECT_FALSE(socket.writable());
  EXPECT_TRUE(socket.writable_ended());
}

TEST_P(EndTest, ItsCallbackRunsJustBeforeFinish) {
  RULES("1.1.9.7");
  NODE_TEST("socket-end-callback");
  for (const std::string_view last : {"", "last"}) {
    client_record_ = {};
    peer_record_ = {};
    join();
    client().on_finish([&](Socket&) { client_record_.note("finish-too"); });
    if (last.empty()) {
      client().end(noting("ended"));
    } else {
      client().end(last, noting("ended"));
    }
    EXPECT_EQ(client_record_.order(), "connect ready");
    expect_all_gone();
    EXPECT_EQ(client_record_.order(), "connect ready ended finish finish-too end close");
    EXPECT_EQ(peer_record_.bytes, last);
  }
}

TEST_P(EndTest, ASecondEndIsHarmless) {
  RULES("1.1.9.8 1.1.9.9");
  join(half_open(false, true));
  client().end(noting("first"));
  client().end();
  client().end(noting("second"));
  ASSERT_TRUE(seen("finish"));
  EXPECT_EQ(client_record_.order(), "connect ready first second finish");
  client().end();
  round_trip();
  client().end();
  peer().end();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready first second finish data end close");
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_EQ(peer_record_.count("end"), 1);
}

TEST_P(EndTest, OneInEveryData) {
  RULES("1.1.9.8");
  join(half_open(false, true));
  client().on_data([](Socket& socket, Buffer) { socket.end(); });
  for (int i = 0; i < 5; ++i) round_trip();
  peer().end();
  expect_all_gone();
  EXPECT_EQ(client_record_.count("finish"), 1);
  EXPECT_FALSE(client_record_.has("error"));
  EXPECT_EQ(client_record_.bytes, "!!!!!");
}

TEST_P(EndTest, ACallbackAfterFinishIsTold) {
  RULES("1.1.9.10");
  join(half_open(false, true));
  client().end();
  ASSERT_TRUE(seen("finish"));
  client().end(noting("late"));
  EXPECT_EQ(client_record_.events.back(), "finish") << "inside end()";
  ASSERT_TRUE(seen("late:ERR_STREAM_ALREADY_FINISHED"));
  round_trip();
  EXPECT_FALSE(client().destroyed());
  peer().end();
  expect_all_gone();
  EXPECT_FALSE(client_record_.has("error"));
}

WEIR_ON_ALL_BACKENDS(EndTest);

// ---- Writes that come too late ----

class LateTest : public EndingTest {};

TEST_P(LateTest, AfterOnesOwnEnd) {
  RULES("1.1.10.1 1.1.10.2 1.1.10.3 1.1.10.4");
  NODE_TEST("write-after-end-nt");
  for (const bool finished : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    join(half_open(false, true));
    client().end();
    ASSERT_TRUE(!finished || seen("finish"));
    const std::string before = client_record_.order();
    EXPECT_EQ(client().write("late", noting("late")), Write::closed);
    EXPECT_EQ(client_record_.order(), before) << "inside write()";
    ASSERT_TRUE(closed());
    EXPECT_EQ(client_record_.order(), before + " late:ERR_STREAM_WRITE_AFTER_END error close");
    EXPECT_EQ(client_record_.error(), "ERR_STREAM_WRITE_AFTER_END");
    EXPECT_EQ(client_record_.closed_with, Mistake::write_after_end);
    EXPECT_TRUE(client().destroyed());
    EXPECT_EQ(peer_record_.bytes, "");
    if (peer_ != nullptr) peer().destroy();
    ASSERT_TRUE(run_until_closed());
  }
}

TEST_P(LateTest, AfterTheAutomaticEnd) {
  RULES("1.1.11.1 1.1.11.2 1.1.11.3");
  PairOptions options;
  options.peer_reads = false;
  join(options);
  // What is queued keeps the connection open after the automatic end.
  client().write(Buffer::take(std::string(kMoreThanTheKernelTakes, 'x')));
  peer().end();
  ASSERT_TRUE(run_until([&] { return client().writable_ended(); }));
  ASSERT_FALSE(client().destroyed());
  EXPECT_EQ(client().write("late", noting("late")), Write::closed);
  EXPECT_EQ(client_record_.order(), "connect ready end") << "inside write()";
  ASSERT_TRUE(closed());
  EXPECT_EQ(client_record_.order(), "connect ready end late:EPIPE error close");
  EXPECT_EQ(client_record_.error(), "EPIPE");
  EXPECT_EQ(client_record_.closed_with, errno_code(EPIPE));
}

TEST_P(LateTest, InsideTheEndListenerWritingIsAllowed) {
  RULES("1.1.11.4 1.1.11.5 1.1.11.6");
  join(half_open(false, true));
  const std::string last = pattern(2 << 20, 3);
  int ends = 0;
  for (int i = 0; i < 2; ++i) {
    client().on_end([&](Socket& socket) {
      EXPECT_TRUE(socket.writable());
      EXPECT_FALSE(socket.writable_ended()) << "within the emission";
      EXPECT_NE(socket.write(last, noting("written")), Write::closed);
      ++ends;
    });
  }
  peer().end();
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_EQ(ends, 2);
  EXPECT_TRUE(peer_record_.bytes == last + last) << peer_record_.bytes.size();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready end written written finish close");
  EXPECT_FALSE(client_record_.closed_with);
}

TEST_P(LateTest, AfterThePeersEndOneErrorIsReported) {
  RULES("1.1.11.1 1.1.11.2");
  NODE_TEST("write-after-close");
  join({.client_reads = false});
  client().cork();
  client().write("held back", noting("first"));
  peer().destroy();
  ASSERT_TRUE(run_until([&] { return peer_record_.closes != 0; }));
  ASSERT_TRUE(run_until([&] { return client().writable_ended() || client().destroyed(); }));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(client().write("late", noting("late")), Write::closed);
  }
  ASSERT_TRUE(closed());
  EXPECT_LE(client_record_.count("error"), 1);
  EXPECT_EQ(client_record_.count("late:EPIPE"), 3);
  EXPECT_EQ(client_record_.closes, 1);
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(LateTest, AfterDestroyAndAfterClose) {
  RULES("1.1.12.1 1.1.12.2 1.1.12.4 1.1.14.4");
  NODE_TEST("socket-destroy-send socket-write-after-close");
  join();
  Record late;
  client().destroy();
  Buffer bytes = Buffer::copy("x");
  EXPECT_EQ(client().write(std::move(bytes), noting("1", late)), Write::closed);
  EXPECT_EQ(bytes.size(), 1U) << "moved from";  // NOLINT
  EXPECT_EQ(late.order(), "") << "inside write()";
  client().on_close([&](Socket& socket, std::error_code) {
    EXPECT_EQ(socket.write("y", noting("2", late)), Write::closed);
  });
  ASSERT_TRUE(closed());
  EXPECT_EQ(client().write("z", noting("3", late)), Write::closed);
  EXPECT_EQ(late.count("3:ERR_STREAM_DESTROYED"), 0) << "inside write()";
  ASSERT_TRUE(run_until([&] { return late.events.size() == 3; }));
  EXPECT_EQ(late.order(),
            "1:ERR_STREAM_DESTROYED 2:ERR_STREAM_DESTROYED 3:ERR_STREAM_DESTROYED");
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready close");
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(LateTest, AfterCloseWhenThePeerHadEnded) {
  RULES("1.1.12.1 1.1.12.3 1.1.12.4");
  join();
  Record late;
  client().on_close([&](Socket& socket, std::error_code) {
    EXPECT_EQ(socket.write("x", noting("1", late)), Write::closed);
  });
  peer().end();
  expect_all_gone();
  EXPECT_EQ(client().write("y", noting("2", late)), Write::closed);
  ASSERT_TRUE(run_until([&] { return late.events.size() == 2; }));
  EXPECT_EQ(late.order(), "1:EPIPE 2:EPIPE");
  EXPECT_EQ(client_record_.order(), "connect ready end finish close");
  EXPECT_FALSE(client_record_.closed_with);
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(LateTest, AfterAReset) {
  RULES("1.1.12.1 1.1.12.2 1.1.12.4");
  NODE_TEST("socket-reset-send");
  join();
  Record late;
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  EXPECT_EQ(client().write("x", noting("1", late)), Write::closed);
  ASSERT_TRUE(run_until([&] { return late.events.size() == 1; }));
  EXPECT_EQ(late.order(), "1:ERR_STREAM_DESTROYED");
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready close");
}

WEIR_ON_ALL_BACKENDS(LateTest);

// ---- Writes that fail ----

class FailedWriteTest : public EndingTest {};

TEST_P(FailedWriteTest, AllQueuedOnesGetTheError) {
  RULES("1.1.13.1 1.1.13.2 1.1.13.3 1.1.6.1 1.1.6.4");
  join(half_open(false, true));
  client().write("taken", noting("taken"));
  ASSERT_TRUE(seen("taken"));
  break_writing();
  for (const char* label : {"a", "b", "c"}) client().write(label, noting(label));
  client().write("", noting("d"));
  client().end(noting("ended"));
  ASSERT_TRUE(closed());
  EXPECT_EQ(client_record_.order(),
            "connect ready taken a:EPIPE b:EPIPE c:EPIPE d:EPIPE ended:EPIPE error close");
  EXPECT_EQ(client_record_.error(), "EPIPE");
  EXPECT_EQ(client_record_.closed_with, errno_code(EPIPE));
  peer().end();
  expect_all_gone();
}

TEST_P(FailedWriteTest, AlsoThoseBehindTheFailedSend) {
  RULES("1.1.13.1 1.1.13.2 1.1.13.3 1.1.14.4");
  PairOptions options = half_open(false, true);
  options.client.queue.bytes_max = kMoreThanTheKernelTakes;
  join(options);
  break_writing();
  std::vector<std::error_code> codes;
  const Buffer piece = Buffer::take(std::string(1 << 20, 'x'));
  for (int i = 0; i < 20; ++i) {
    ASSERT_NE(client().write(piece.share(), [&](Socket&, std::error_code code) {
      EXPECT_FALSE(client_record_.has("error"));
      codes.push_back(code);
    }), Write::refused);
  }
  ASSERT_TRUE(closed());
  EXPECT_EQ(codes, std::vector<std::error_code>(20, errno_code(EPIPE)));
  EXPECT_EQ(client_record_.order(), "connect ready error close");
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
}

TEST_P(FailedWriteTest, OneErrorWhenReadingHasReportedTheReset) {
  RULES("1.1.13.4 1.1.14.4");
  NODE_TEST("error-twice");
  PairOptions options;
  options.peer_reads = false;
  options.client.queue.bytes_max = kMoreThanTheKernelTakes * 2;
  join(options);
  std::vector<std::error_code> codes;
  const auto note = [&](Socket&, std::error_code code) { codes.push_back(code); };
  client().write(Buffer::take(std::string(kMoreThanTheKernelTakes, 'x')), note);
  client().write("y", note);
  run_for(1ms);
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] {
    if (!client().destroyed()) client().write("z", note);
    return client_record_.closes != 0;
  }));
  expect_all_gone();
  EXPECT_EQ(client_record_.errors.size(), 1U);
  EXPECT_TRUE(client_record_.order().ends_with(" error close")) << client_record_.order();
  EXPECT_TRUE(is_reset(client_record_.closed_with)) << client_record_.error();
  ASSERT_GE(codes.size(), 2U);
  for (const std::error_code& code : codes) EXPECT_TRUE(code);
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(FailedWriteTest, AResetThatAWriteFindsIsNotTakenForAnEnd) {
  RULES("1.2.4.2");
  PairOptions options;
  options.peer_reads = false;
  options.client.queue.bytes_max = kMoreThanTheKernelTakes * 2;
  join(options);
  client().write(Buffer::take(std::string(kMoreThanTheKernelTakes, 'x')));
  run_for(1ms);
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] {
    if (!client().destroyed()) client().write("z");
    return client_record_.closes != 0;
  }));
  EXPECT_EQ(client_record_.order(), "connect ready error close") << "no FIN was ever sent";
}

WEIR_ON_ALL_BACKENDS(FailedWriteTest);

// ---- destroy() with writes pending ----

class PendingTest : public EndingTest {};

TEST_P(PendingTest, EachCallbackIsTold) {
  RULES("1.1.14.1 1.1.14.4 1.1.6.1 1.1.6.4");
  NODE_TEST("stream");
  PairOptions options;
  options.peer_reads = false;
  options.client.queue.bytes_max = kMoreThanTheKernelTakes * 2;
  join(options);
  client().write("taken", noting("taken"));
  ASSERT_TRUE(seen("taken"));
  client().write(Buffer::take(std::string(kMoreThanTheKernelTakes, 'x')), noting("in-flight"));
  for (const char* label : {"a", "b"}) client().write(label, noting(label));
  client().end(noting("ended"));
  run_for(1ms);
  EXPECT_EQ(client_record_.order(), "connect ready taken");
  client().destroy();
  EXPECT_EQ(client_record_.order(), "connect ready taken") << "inside destroy()";
  peer().resume();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(),
            "connect ready taken in-flight:ERR_STREAM_DESTROYED a:ERR_STREAM_DESTROYED "
            "b:ERR_STREAM_DESTROYED ended:ERR_STREAM_DESTROYED close");
}

TEST_P(PendingTest, OfCorkedWritesToo) {
  RULES("1.1.14.1 1.1.14.4 1.1.7.5");
  join();
  client().cork();
  client().write("a", noting("a"));
  client().write("", noting("b"));
  run_for(1ms);
  client().destroy();
  expect_all_gone();
  EXPECT_EQ(client_record_.order(),
            "connect ready a:ERR_STREAM_DESTROYED b:ERR_STREAM_DESTROYED close");
  EXPECT_EQ(peer_record_.bytes, "");
}

TEST_P(PendingTest, BeforeTheConnection) {
  RULES("1.1.14.2 1.1.14.4");
  NODE_TEST("write-cb-on-destroy-before-connect");
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("a", noting("a"));
  client().write("b", noting("b"));
  client().destroy();
  EXPECT_EQ(client_record_.order(), "") << "inside destroy()";
  ASSERT_TRUE(closed());
  EXPECT_EQ(client_record_.order(),
            "a:ERR_SOCKET_CLOSED_BEFORE_CONNECTION b:ERR_SOCKET_CLOSED_BEFORE_CONNECTION close");
  EXPECT_FALSE(client_record_.closed_with);
}

TEST_P(PendingTest, AFailedConnectionTellsThemToo) {
  RULES("1.1.14.4 1.1.6.1");
  Record seen;
  Socket socket(reactor());
  record(socket, seen);
  ASSERT_TRUE(socket.connect({.path = socket_path()}).has_value());
  std::vector<std::error_code> codes;
  const auto note = [&](Socket&, std::error_code code) { codes.push_back(code); };
  socket.write("a", note);
  socket.write("b", note);
  socket.end(note);
  ASSERT_TRUE(run_until([&] { return seen.closes != 0; }));
  EXPECT_EQ(seen.order(), "error close");
  ASSERT_EQ(codes.size(), 3U);
  for (const std::error_code& code : codes) EXPECT_TRUE(code);
}

TEST_P(PendingTest, WhatTheKernelHadTakenIsNoError) {
  RULES("1.1.14.3 1.1.14.4 1.1.5.1");
  PairOptions options;
  options.client.queue = {.high_water = 1, .low_water = 0, .bytes_max = 1'000};
  join(options);
  // 'drain' comes when the kernel has all, and before the callbacks of the batch.
  client().on_drain([&](Socket& socket) { socket.destroy(); });
  client().write("a", noting("a"));
  client().write("b", noting("b"));
  ASSERT_TRUE(closed());
  EXPECT_EQ(client_record_.order(), "connect ready drain a b close");
  expect_all_gone();
  EXPECT_EQ(peer_record_.bytes, "ab");
}

TEST_P(PendingTest, ADestroyInOneCallbackLeavesTheOthersOfTheBatch) {
  RULES("1.1.14.3 1.1.6.5");
  join();
  client().write("a", [&](Socket& socket, std::error_code code) {
    client_record_.note(code ? "failed" : "a");
    socket.destroy();
    EXPECT_EQ(socket.write("d", noting("d")), Write::closed);
  });
  client().write("b", noting("b"));
  client().write("c", noting("c"));
  ASSERT_TRUE(closed());
  ASSERT_TRUE(seen("d:ERR_STREAM_DESTROYED"));
  EXPECT_EQ(client_record_.order(), "connect ready a b c d:ERR_STREAM_DESTROYED close");
}

TEST_P(PendingTest, NoneIsEverLost) {
  RULES("1.1.14.4 1.1.6.1 1.1.6.5");
  const Buffer piece = Buffer::take(std::string(300'000, 'x'));
  for (int round = 0; round < 24; ++round) {
    client_record_ = {};
    peer_record_ = {};
    peer_ = nullptr;
    listen();
    std::vector<int> order;
    int given = 0;
    const auto write_some = [&](int count) {
      for (int i = 0; i < count; ++i) {
        const Write result = client().write(
            piece.share(), [&order, given](Socket&, std::error_code) { order.push_back(given); });
        if (result != Write::refused) ++given;
      }
    };
    ASSERT_TRUE(client().connect(to_).has_value());
    write_some(5);
    ASSERT_TRUE(round % 4 == 0 || run_until([&] { return peer_ != nullptr; }));
    for (int turn = 0; turn < round / 4; ++turn) {
      write_some(3);
      reactor().run_once(0ms);
    }
    write_some(2);
    if (round % 4 == 3) client().end();
    if (round % 4 == 2 && peer_ != nullptr) peer().destroy();
    if (round % 4 < 2) client().destroy();
    write_some(round % 4 == 2 ? 0 : 1);
    ASSERT_TRUE(closed());
    ASSERT_TRUE(run_until([&] { return order.size() >= static_cast<std::size_t>(given); }));
    run_for(1us);
    EXPECT_EQ(order.size(), static_cast<std::size_t>(given)) << "round " << round;
    EXPECT_TRUE(std::ranges::is_sorted(order)) << "round " << round;
  }
}

WEIR_ON_ALL_BACKENDS(PendingTest);

}  // namespace
}  // namespace weir::test
