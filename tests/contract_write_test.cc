// The contract, section 1.1: what write() answers, 'drain', the callbacks and their order, corking.
#include <gtest/gtest.h>

#include <concepts>
#include <functional>
#include <numeric>

#include "tests/pair.h"
#include "tests/rules.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::WriteDone;

// More than any kernel takes from us while nobody reads: the rest stays queued.
constexpr std::size_t kMoreThanTheKernelTakes = 48 << 20;

class ContractTest : public PairTest {
 protected:
  static PairOptions limits(std::size_t high_water, std::size_t bytes_max,
                            std::size_t low_water = 0) {
    PairOptions options;
    options.client.queue = {
        .high_water = high_water, .low_water = low_water, .bytes_max = bytes_max};
    options.client.policy = net::QueuePolicy::drop;
    return options;
  }

  // Notes itself among the client's events, as "a", or "a:EPIPE" with an error.
  WriteDone noting(std::string label) {
    return [this, label = std::move(label)](Socket&, std::error_code code) {
      client_record_.note(code ? label + ":" + std::string(name_of(code)) : label);
    };
  }

  // Whatever had been due to the client has come to it when an answer from the peer has.
  void round_trip() {
    const std::size_t before = client_record_.bytes.size();
    peer().write("!");
    ASSERT_TRUE(run_until([&] { return client_record_.bytes.size() > before; }));
    client_record_.events.erase(
        std::remove(client_record_.events.begin(), client_record_.events.end(), "data"),
        client_record_.events.end());
  }

  bool peer_has(std::size_t bytes) {
    return run_until([&] { return peer_record_.bytes.size() >= bytes; });
  }

  bool seen(std::string_view event) {
    return run_until([&] { return client_record_.has(event); });
  }

  // The peer, which did not, reads from now on.
  void read_at_peer() { record_data(peer(), peer_record_); }
};

// ---- The answers of write() ----

class AnswerTest : public ContractTest {};

TEST_P(AnswerTest, TheHighWaterMarkIs65536) {
  RULES("1.1.1.1 1.1.3.2 1.1.3.3");
  join();
  EXPECT_EQ(client().write(std::string(65'535, 'a')), Write::ok);
  EXPECT_EQ(client().write("b"), Write::full);
  EXPECT_EQ(client().write("c"), Write::full);
  EXPECT_EQ(peer().write(std::string(65'535, 'a')), Write::ok);
  EXPECT_EQ(peer().write("b"), Write::full);
}

TEST_P(AnswerTest, OfOneSocketAndOfAllOfAServer) {
  RULES("1.1.1.2 1.1.1.3");
  PairOptions options = limits(100, 10'000);
  options.server.socket.queue.high_water = 7;
  join(options);
  EXPECT_EQ(client().write(std::string(99, 'a')), Write::ok);
  EXPECT_EQ(client().write("b"), Write::full);
  EXPECT_EQ(peer().write("123456"), Write::ok);
  EXPECT_EQ(peer().write("7"), Write::full);
  Socket* first = peer_;
  Socket second(reactor());
  ASSERT_TRUE(second.connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != first; }));
  EXPECT_EQ(peer().write("123456"), Write::ok);
  EXPECT_EQ(peer().write("7"), Write::full);
}

TEST_P(AnswerTest, TheMarkOnlySignals) {
  RULES("1.1.1.4 1.1.2.1");
  join(limits(10, 1 << 20));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(client().write(std::string(50, 'x')), Write::full);
  EXPECT_EQ(client().writable_length(), 5'000U);
  ASSERT_TRUE(peer_has(5'000));
  EXPECT_TRUE(run_until([&] { return client().writable_length() == 0; }));
  EXPECT_EQ(peer_record_.bytes, std::string(5'000, 'x'));
}

TEST_P(AnswerTest, TheLimitRefusesAWriteWhole) {
  RULES("1.1.1.5 1.1.3.4");
  join(limits(2'000, 1'000));
  EXPECT_EQ(client().write(std::string(900, 'a'), noting("a")), Write::ok);
  Buffer bytes = Buffer::copy(std::string(101, 'b'));
  EXPECT_EQ(client().write(std::move(bytes), noting("refused")), Write::refused);
  EXPECT_EQ(bytes.size(), 101U) << "moved from";  // NOLINT
  EXPECT_EQ(client().write(std::string(101, 'b'), noting("refused")), Write::refused);
  EXPECT_EQ(client().writable_length(), 900U);
  EXPECT_EQ(client().bytes_written(), 900U);
  EXPECT_EQ(client().write(std::string(100, 'c'), noting("c")), Write::ok) << "the limit fits";
  client().end();
  expect_all_gone();
  EXPECT_EQ(peer_record_.bytes, std::string(900, 'a') + std::string(100, 'c'));
  EXPECT_EQ(client_record_.order(), "connect ready a c finish end close");
}

TEST_P(AnswerTest, OneWriteAboveTheMarkIsFullHoweverFastTheKernel) {
  RULES("1.1.3.3 1.1.3.5 1.1.3.1");
  join();
  EXPECT_EQ(client().write(std::string(100'000, 'a')), Write::full);
  EXPECT_EQ(client().writable_length(), 100'000U);
  ASSERT_TRUE(peer_has(100'000));
}

TEST_P(AnswerTest, AllBytesCountUntilTheHandlerIsOver) {
  RULES("1.1.3.1 1.1.2.1");
  listen();
  std::size_t inside = 0;
  bool sent_inside = false;
  client().on_ready([&](Socket& socket) {
    for (int i = 0; i < 3; ++i) {
      socket.write(std::string(20'000, 'x'), [&](Socket&, std::error_code) { sent_inside = true; });
    }
    inside = socket.writable_length();
    EXPECT_FALSE(sent_inside);
  });
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(peer_has(60'000));
  EXPECT_EQ(inside, 60'000U);
  EXPECT_TRUE(run_until([&] { return client().writable_length() == 0; }));
}

TEST_P(AnswerTest, WritableLengthFallsAsTheKernelTakes) {
  RULES("1.1.2.1");
  NODE_TEST("buffersize");
  PairOptions options = limits(1 << 20, kMoreThanTheKernelTakes * 2);
  options.peer_reads = false;
  join(options);
  constexpr std::size_t kPiece = 1 << 20;
  constexpr std::size_t kPieces = kMoreThanTheKernelTakes / kPiece;
  const Buffer piece = Buffer::take(std::string(kPiece, 'x'));
  std::size_t done = 0;
  for (std::size_t i = 0; i < kPieces; ++i) {
    client().write(piece.share(), [&](Socket& socket, std::error_code) {
      ++done;
      EXPECT_LE(socket.writable_length(), (kPieces - done) * kPiece);
    });
  }
  EXPECT_EQ(client().writable_length(), kMoreThanTheKernelTakes);
  run_for(2ms);
  EXPECT_GT(client().writable_length(), 0U) << "the kernel took it all: make it more";
  EXPECT_LT(done, kPieces);
  EXPECT_EQ(reactor().counters().queue_bytes, client().writable_length());
  std::size_t received = 0;
  peer().on_data([&](Socket&, Buffer bytes) { received += bytes.size(); });
  ASSERT_TRUE(run_until([&] { return received == kMoreThanTheKernelTakes && done == kPieces; }));
  EXPECT_EQ(client().writable_length(), 0U);
}

WEIR_ON_ALL_BACKENDS(AnswerTest);

// ---- 'drain' ----

class DrainTest : public ContractTest {};

TEST_P(DrainTest, NoneAfterWritesThatWereOk) {
  RULES("1.1.4.1 1.1.4.6 1.1.7.1");
  join(limits(100, 1'000));
  // The seed program whose test is the wrong way round: it writes on after `ok`.
  client().on_drain([](Socket& socket) { socket.write("again"); });
  for (std::size_t i = 1; i <= 5; ++i) {
    EXPECT_EQ(client().write(std::string(99, 'a')), Write::ok);
    EXPECT_FALSE(client().writable_needs_drain());
    ASSERT_TRUE(peer_has(i * 99));
  }
  round_trip();
  EXPECT_EQ(client_record_.order(), "connect ready");
  EXPECT_EQ(peer_record_.bytes.size(), 5U * 99);
}

TEST_P(DrainTest, OneForEachPeriod) {
  RULES("1.1.4.1 1.1.4.2 1.1.4.5 1.1.7.1");
  join(limits(10, 50));
  std::vector<std::size_t> left;
  client().on_drain([&](Socket& socket) {
    left.push_back(socket.writable_length());
    EXPECT_FALSE(socket.writable_needs_drain());
  });
  for (long period = 1; period <= 4; ++period) {
    EXPECT_EQ(client().write("123456789"), Write::ok);
    EXPECT_FALSE(client().writable_needs_drain());
    EXPECT_EQ(client().write("0"), Write::full);
    EXPECT_TRUE(client().writable_needs_drain());
    EXPECT_EQ(client().write(std::string(41, 'x')), Write::refused);
    EXPECT_EQ(client().write("y"), Write::full);
    EXPECT_TRUE(client().writable_needs_drain());
    ASSERT_TRUE(run_until([&] { return client_record_.count("drain") == period; }));
    round_trip();
    EXPECT_EQ(client_record_.count("drain"), period);
  }
  EXPECT_EQ(left, std::vector<std::size_t>(4, 0));
}

TEST_P(DrainTest, ARefusalAloneIsAPeriod) {
  RULES("1.1.4.1 1.1.4.5 1.1.7.1");
  join(limits(10'000, 100));
  EXPECT_EQ(client().write(std::string(60, 'a')), Write::ok);
  EXPECT_EQ(client().write(std::string(60, 'a')), Write::refused);
  EXPECT_EQ(client().write(std::string(60, 'a')), Write::refused);
  EXPECT_TRUE(client().writable_needs_drain());
  ASSERT_TRUE(seen("drain"));
  EXPECT_FALSE(client().writable_needs_drain());
  round_trip();
  EXPECT_EQ(client_record_.count("drain"), 1);
}

TEST_P(DrainTest, AtTheLowWaterMark) {
  RULES("1.1.4.2 1.1.4.5");
  constexpr std::size_t kLow = 8 << 20;
  PairOptions options = limits(16 << 20, kMoreThanTheKernelTakes * 2, kLow);
  options.peer_reads = false;
  join(options);
  std::vector<std::size_t> left;
  client().on_drain([&](Socket& socket) { left.push_back(socket.writable_length()); });
  const Buffer piece = Buffer::take(std::string(64 << 10, 'x'));
  Write last = Write::ok;
  for (std::size_t i = 0; i < kMoreThanTheKernelTakes; i += piece.size()) {
    last = client().write(piece.share());
  }
  EXPECT_EQ(last, Write::full);
  run_for(1ms);
  EXPECT_TRUE(left.empty());
  std::size_t received = 0;
  peer().on_data([&](Socket&, Buffer bytes) { received += bytes.size(); });
  ASSERT_TRUE(run_until([&] { return received == kMoreThanTheKernelTakes; }));
  ASSERT_EQ(left.size(), 1U);
  EXPECT_LE(left[0], kLow);
  // One send of at most kSendBytesMax brings it there: earlier than empty.
  EXPECT_GT(left[0], kLow - 2 * weir::limits::kSendBytesMax);
}

TEST_P(DrainTest, NoneAfterEnd) {
  RULES("1.1.4.3 1.1.7.2");
  join(limits(10, 100'000));
  EXPECT_EQ(client().write(std::string(5'000, 'x')), Write::full);
  EXPECT_TRUE(client().writable_needs_drain());
  client().end();
  EXPECT_FALSE(client().writable_needs_drain());
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready finish end close");
  EXPECT_EQ(peer_record_.bytes.size(), 5'000U);
}

TEST_P(DrainTest, NoneAfterDestroy) {
  RULES("1.1.4.4 1.1.7.3");
  join(limits(10, 100'000));
  EXPECT_EQ(client().write(std::string(5'000, 'x')), Write::full);
  client().destroy();
  EXPECT_FALSE(client().writable_needs_drain());
  expect_all_gone();
  EXPECT_EQ(client_record_.order(), "connect ready close");
}

TEST_P(DrainTest, ASlowReaderGetsAll) {
  RULES("1.1.4.2 1.1.4.5 1.1.2.1");
  NODE_TEST("write-slow");
  PairOptions options = limits(1, kMoreThanTheKernelTakes);
  options.peer_reads = false;
  join(options);
  constexpr std::size_t kPiece = 200'000;
  constexpr std::size_t kPieces = 40;
  const std::string bytes = pattern(kPiece, 7);
  std::size_t written = 0;
  const auto write_on = [&](Socket& socket) {
    if (written == kPieces) return socket.end();
    ++written;
    EXPECT_EQ(socket.write(bytes), Write::full);
  };
  client().on_drain(write_on);
  write_on(client());
  std::string received;
  peer().on_data([&](Socket& socket, Buffer more) {
    received += more.view();
    socket.pause();
    EXPECT_TRUE(reactor().defer([&] {
      if (peer_ != nullptr) peer().resume();
    }));
  });
  expect_all_gone();
  std::string expected;
  for (std::size_t i = 0; i < kPieces; ++i) expected += bytes;
  EXPECT_TRUE(received == expected) << received.size();
  EXPECT_EQ(client_record_.count("drain"), static_cast<long>(kPieces));
}

WEIR_ON_ALL_BACKENDS(DrainTest);

// ---- Callbacks ----

class CallbackTest : public ContractTest {};

TEST_P(CallbackTest, DrainThenTheCallbacksInOrder) {
  RULES("1.1.5.1 1.1.5.2 1.1.5.4 1.1.6.4");
  join(limits(3, 1'000));
  std::vector<std::uint64_t> turns;
  std::vector<std::size_t> left;
  for (const char* label : {"a", "b", "c", "d"}) {
    client().write(label, [&, label](Socket& socket, std::error_code code) {
      client_record_.note(code ? "failed" : label);
      turns.push_back(reactor().turn());
      left.push_back(socket.writable_length());
    });
  }
  ASSERT_TRUE(seen("d"));
  EXPECT_EQ(client_record_.order(), "connect ready drain a b c d");
  EXPECT_EQ(left, std::vector<std::size_t>(4, 0)) << "one batch: all is out at the first";
  EXPECT_EQ(turns, std::vector<std::uint64_t>(4, turns.front()));
}

TEST_P(CallbackTest, NeverInsideWriteAndExactlyOnce) {
  RULES("1.1.6.1 1.1.6.2 1.1.6.4");
  join();
  int calls = 0;
  std::error_code with = errno_code(EIO);
  for (int i = 1; i <= 50; ++i) {
    const int before = calls;
    EXPECT_EQ(client().write("x", [&](Socket& socket, std::error_code code) {
      ++calls;
      with = code;
      EXPECT_EQ(&socket, client_.get());
    }), Write::ok);
    EXPECT_EQ(calls, before) << "inside write()";
    ASSERT_TRUE(peer_has(static_cast<std::size_t>(i)));
    ASSERT_TRUE(run_until([&] { return calls == i; }));
    EXPECT_FALSE(with);
  }
  client().end();
  expect_all_gone();
  EXPECT_EQ(calls, 50);
}

TEST_P(CallbackTest, TheKernelHasTheBytesAndThePeerNeedNot) {
  RULES("1.1.6.3");
  join({.peer_reads = false});
  client().write("nobody reads this", noting("a"));
  ASSERT_TRUE(seen("a"));
  EXPECT_EQ(peer().bytes_read(), 0U);
  EXPECT_EQ(client().writable_length(), 0U);
}

TEST_P(CallbackTest, NotBeforeTheKernelHasThem) {
  RULES("1.1.6.3 1.1.5.2");
  join({.peer_reads = false});
  std::size_t received = 0;
  std::size_t outstanding = 1;
  client().write(Buffer::take(std::string(kMoreThanTheKernelTakes, 'x')),
                 [&](Socket& socket, std::error_code) {
                   client_record_.note("all");
                   outstanding = socket.writable_length();
                 });
  client().write("", noting("nothing"));
  run_for(2ms);
  EXPECT_EQ(client_record_.order(), "connect ready");
  peer().on_data([&](Socket&, Buffer bytes) { received += bytes.size(); });
  ASSERT_TRUE(seen("nothing"));
  EXPECT_EQ(client_record_.order(), "connect ready drain all nothing");
  EXPECT_EQ(outstanding, 0U);
  ASSERT_TRUE(run_until([&] { return received == kMoreThanTheKernelTakes; }));
}

TEST_P(CallbackTest, TenThousandInOrder) {
  RULES("1.1.6.1 1.1.6.5");
  NODE_TEST("write-callbacks");
  join(limits(1 << 20, 16 << 20));
  constexpr int kWrites = 10'000;
  std::vector<int> order;
  int written = 0;
  // Some in one batch, some in many.
  std::function<void()> write_on = [&] {
    for (int i = 0; i < 1 + written % 61 && written < kWrites; ++i, ++written) {
      ASSERT_NE(client().write("hello", [&order, number = written](Socket&, std::error_code code) {
        EXPECT_FALSE(code);
        order.push_back(number);
      }), Write::closed);
    }
    if (written < kWrites) reactor().defer([&] { write_on(); });
  };
  write_on();
  ASSERT_TRUE(run_until([&] { return order.size() == kWrites; }));
  std::vector<int> expected(kWrites);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_TRUE(order == expected);
  ASSERT_TRUE(peer_has(kWrites * 5));
  round_trip();
  EXPECT_EQ(order.size(), static_cast<std::size_t>(kWrites));
}

TEST_P(CallbackTest, OfWritesFromWithinCallbacks) {
  RULES("1.1.6.1 1.1.6.2 1.1.6.5");
  join();
  client().write("a", [&](Socket& socket, std::error_code) {
    client_record_.note("a");
    socket.write("c", noting("c"));
    client_record_.note("a-over");
  });
  client().write("b", noting("b"));
  ASSERT_TRUE(seen("c"));
  EXPECT_EQ(client_record_.order(), "connect ready a a-over b c");
  ASSERT_TRUE(peer_has(3));
  EXPECT_EQ(peer_record_.bytes, "abc");
}

TEST_P(CallbackTest, OfWritesOfNothing) {
  RULES("1.1.8.1 1.1.8.2 1.1.6.2");
  join();
  EXPECT_EQ(client().write("", noting("1")), Write::ok);
  EXPECT_EQ(client_record_.order(), "connect ready");
  ASSERT_TRUE(seen("1"));
  EXPECT_EQ(client().bytes_written(), 0U);
  client().write("a", noting("2"));
  client().write(Buffer(), noting("3"));
  client().write("", noting("4"));
  client().write("b", noting("5"));
  client().write("", noting("6"));
  ASSERT_TRUE(seen("6"));
  EXPECT_EQ(client_record_.order(), "connect ready 1 2 3 4 5 6");
  ASSERT_TRUE(peer_has(2));
  client().write("", noting("7"));
  client().end();
  expect_all_gone();
  EXPECT_EQ(peer_record_.bytes, "ab");
  EXPECT_EQ(client_record_.order(), "connect ready 1 2 3 4 5 6 7 finish end close");
}

TEST_P(CallbackTest, OfWritesBeforeAndAfterTheConnection) {
  RULES("1.1.6.5 1.1.2.1 1.1.6.1");
  NODE_TEST("write-connect-write");
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  EXPECT_EQ(client().write("before", noting("a")), Write::ok);
  EXPECT_EQ(client().writable_length(), 6U);
  client().on_connect([&](Socket& socket) { socket.write(" after", noting("b")); });
  ASSERT_TRUE(peer_has(12));
  EXPECT_EQ(peer_record_.bytes, "before after");
  ASSERT_TRUE(seen("b"));
  EXPECT_EQ(client_record_.order(), "connect ready a b");
}

WEIR_ON_ALL_BACKENDS(CallbackTest);

// ---- Corking ----

class CorkTest : public ContractTest {};

TEST_P(CorkTest, CorksCountAndNothingIsSentMeanwhile) {
  RULES("1.1.7.4 1.1.7.5");
  join();
  client().cork();
  client().cork();
  client().write("a", noting("a"));
  round_trip();
  EXPECT_EQ(peer_record_.bytes, "");
  EXPECT_EQ(client().writable_length(), 1U);
  client().uncork();
  client().write("b", noting("b"));
  round_trip();
  EXPECT_EQ(peer_record_.bytes, "");
  EXPECT_EQ(client_record_.order(), "connect ready");
  client().uncork();
  EXPECT_EQ(client().writable_length(), 2U) << "uncork() itself sends nothing";
  ASSERT_TRUE(peer_has(2));
  client().uncork();
  client().write("c");
  ASSERT_TRUE(peer_has(3));
  EXPECT_EQ(peer_record_.bytes, "abc");
}

TEST_P(CorkTest, TheLastUncorkSendsOneBatch) {
  RULES("1.1.7.6 1.1.5.4");
  join(limits(1, 100'000));
  client().cork();
  std::vector<std::size_t> left;
  for (int i = 0; i < 20; ++i) {
    client().write(std::string(100, 'x'), [&](Socket& socket, std::error_code) {
      left.push_back(socket.writable_length());
    });
    run_for(1us);
  }
  client().uncork();
  ASSERT_TRUE(run_until([&] { return left.size() == 20; }));
  EXPECT_EQ(left, std::vector<std::size_t>(20, 0));
  EXPECT_EQ(client_record_.order(), "connect ready drain");
}

TEST_P(CorkTest, EndUncorksCompletely) {
  RULES("1.1.7.7");
  join();
  client().cork();
  client().cork();
  client().cork();
  client().write("all", noting("all"));
  client().end();
  expect_all_gone();
  EXPECT_EQ(peer_record_.bytes, "all");
  EXPECT_EQ(client_record_.order(), "connect ready all finish end close");
}

TEST_P(CorkTest, ManyRoundsLeaveNothingBehind) {
  RULES("1.1.7.4 1.1.7.6 1.1.6.1");
  NODE_TEST("sync-cork");
  join();
  constexpr int kRounds = 100;
  const Buffer chunk = Buffer::copy(std::string(1'000, 'x'));
  int calls = 0;
  for (int i = 0; i < kRounds; ++i) {
    client().cork();
    client().write(chunk.share(), [&](Socket&, std::error_code) { ++calls; });
    client().uncork();
  }
  ASSERT_TRUE(peer_has(kRounds * 1'000));
  ASSERT_TRUE(run_until([&] { return calls == kRounds; }));
  EXPECT_EQ(client().writable_length(), 0U);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
  client().end();
  expect_all_gone();
}

WEIR_ON_ALL_BACKENDS(CorkTest);

// ---- Much, and the counters ----

class MuchTest : public ContractTest {};

TEST_P(MuchTest, BytesWrittenCountsWhatIsQueued) {
  RULES("1.2.5.3");
  NODE_TEST("bytes-written-large");
  PairOptions options;
  options.server.pause_on_connect = true;
  options.client.queue.bytes_max = kMoreThanTheKernelTakes * 2;
  for (const bool corked : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    peer_ = nullptr;
    listen(options);
    ASSERT_TRUE(client().connect(to_).has_value());
    if (corked) client().cork();
    const std::string half(kMoreThanTheKernelTakes / 2, 'x');
    client().write(half);
    EXPECT_EQ(client().bytes_written(), half.size());
    client().write(Buffer::copy(half));
    EXPECT_EQ(client().bytes_written(), half.size() * 2);
    ASSERT_TRUE(run_until([&] { return client_record_.has("ready") && peer_ != nullptr; }));
    EXPECT_EQ(client().bytes_written(), half.size() * 2);
    client().destroy();
    peer().resume();
    ASSERT_TRUE(run_until_closed());
    EXPECT_EQ(client().bytes_written(), half.size() * 2);
  }
}

TEST_P(MuchTest, BytesWrittenOfCorkedTextInManyBytes) {
  RULES("1.2.5.3");
  NODE_TEST("socket-byteswritten");
  listen();
  server_->on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  ASSERT_TRUE(client().connect(to_).has_value());
  // Two bytes each for the umlauts.
  const std::string text = "\u00dcmlaut s\u00dcrprise \u00dc.";
  client().cork();
  for (std::size_t i = 1; i <= 3; ++i) {
    client().write(text);
    EXPECT_EQ(client().bytes_written(), i * text.size());
  }
  client().uncork();
  EXPECT_EQ(client().bytes_written(), 3 * text.size());
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == text + text + text; }));
  client().end();
  expect_all_gone();
  EXPECT_EQ(client().bytes_written(), 3 * text.size());
  EXPECT_EQ(client().bytes_read(), 3 * text.size());
}

TEST_P(MuchTest, CountersOfBothSidesAfterTheEnd) {
  RULES("1.1.9.1 1.2.5.2 1.2.5.5");
  NODE_TEST("bytes-stats");
  listen();
  std::uint64_t read_at_peer = 0;
  std::uint64_t written_at_peer = 0;
  server_->on_end([](Socket& socket) { socket.write("pong!"); });
  server_->on_close([&](Socket& socket, std::error_code) {
    read_at_peer = socket.bytes_read();
    written_at_peer = socket.bytes_written();
  });
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("ping");
  client().end("last");
  EXPECT_EQ(client().bytes_written(), 8U);
  expect_all_gone();
  EXPECT_EQ(client().bytes_written(), 8U);
  EXPECT_EQ(client().bytes_read(), 5U);
  EXPECT_EQ(read_at_peer, 8U);
  EXPECT_EQ(written_at_peer, 5U);
}

TEST_P(MuchTest, OneVeryLargeText) {
  RULES("1.1.1.4 1.1.3.5");
  NODE_TEST("large-string");
  join();
  const std::string text = pattern(12 << 20, 1);
  EXPECT_EQ(client().write(text), Write::full);
  client().end();
  expect_all_gone();
  EXPECT_TRUE(peer_record_.bytes == text) << peer_record_.bytes.size();
}

TEST_P(MuchTest, BuffersLiveUntilTheyAreSent) {
  RULES("1.1.6.1 1.1.6.5");
  NODE_TEST("write-fully-async-buffer");
  join();
  const std::string expected = pattern(100'000, 2);
  int calls = 0;
  std::function<void()> write_on = [&] {
    // The writer's own memory is gone, or filled with something else, when the kernel looks.
    std::string bytes = expected;
    client().write(Buffer::take(std::move(bytes)));
    bytes = expected;
    client().write(bytes, [&](Socket&, std::error_code) {
      if (++calls < 100) write_on();
    });
    bytes.assign(bytes.size(), '?');
  };
  write_on();
  ASSERT_TRUE(peer_has(200 * expected.size()));
  ASSERT_TRUE(run_until([&] { return calls == 100; }));
  for (std::size_t i = 0; i < 200; ++i) {
    const std::string_view part(peer_record_.bytes.data() + i * expected.size(), expected.size());
    ASSERT_TRUE(part == expected) << i;
  }
}

WEIR_ON_ALL_BACKENDS(MuchTest);

template <class Chunk>
concept Writable = requires(Socket& socket, Chunk chunk) { socket.write(std::move(chunk)); };

TEST(Writing, AnythingButBytesDoesNotCompile) {
  RULES("1.1.1.1");
  NODE_TEST("socket-write-error");
  static_assert(Writable<Buffer> && Writable<std::string> && Writable<const char*>);
  static_assert(!Writable<int> && !Writable<bool> && !Writable<double>);
  static_assert(!Writable<std::vector<int>> && !Writable<Buffer*>);
  EXPECT_EQ(SocketOptions{}.queue.high_water, 65'536U);
}

}  // namespace
}  // namespace weir::test
