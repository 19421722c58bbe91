// What every backend promises about receiving: each byte once, in order, whatever happens.
#include <string.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "tests/door.h"
#include "weir/reactor/memory.h"

namespace weir::test {
namespace {

class BackendReceiveTest : public DoorTest {
 protected:
  // Keeps `fd` sending the stream, and says how much of it is out.
  struct Firehose {
    Send* op = nullptr;
    std::size_t part_size = 100'000;
    std::string part;
    std::size_t from = 0;   // of `part` in the stream
    std::size_t bytes = 0;  // to send altogether
    bool done() const { return from == bytes; }
  };

  void pump(Firehose& hose, int fd, std::size_t bytes) {
    hose.bytes = bytes;
    hose.part = next_part(hose);
    hose.op = &send(fd, hose.part);
    hose.op->handle = [this, &hose, fd](Completion& completion) {
      if (completion.result < 0) return;
      hose.from += static_cast<std::size_t>(completion.result);
      if (hose.done()) return;
      hose.part = next_part(hose);
      resend(*hose.op, fd, hose.part);
    };
  }

  static std::string next_part(const Firehose& hose) {
    return stream_part(hose.from, std::min(hose.part_size, hose.bytes - hose.from));
  }

  // Cancels and arms again until the end; what came must be the stream without a gap.
  void cancel_and_rearm(bool local, std::size_t bytes) {
    const Ends ends = connected(local);
    Firehose hose;
    hose.part_size = 3000;
    pump(hose, ends.a, bytes);
    Receive& received = receive(ends.b);
    batch_size_ = 2;  // a turn is one piece sent and one received
    bool in_order = true;
    received.handle = [&](Completion& completion) {
      if (completion.result <= 0) return;
      in_order = in_order && is_stream_part(completion.buffer.view(), received.total);
      received.total += completion.buffer.size();
    };
    int cycles = 0;
    const Instant end = door().now() + kPatience;
    while (received.total < bytes && in_order && door().now() < end) {
      if (cycles % 4 != 0) turn();
      door().cancel(received);
      ASSERT_TRUE(run_until([&] { return received.ended; }));
      ASSERT_EQ(received.last(), -ECANCELED);
      submit(received, ends.b);
      turn();
      ++cycles;
    }
    EXPECT_TRUE(in_order);
    EXPECT_EQ(received.total, bytes);
    EXPECT_GT(cycles, 1000);
    ASSERT_TRUE(run_until([&] { return hose.done(); }));
  }
};

TEST_P(BackendReceiveTest, TheFinIsZeroOnceAndLast) {
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  ASSERT_TRUE(send_all(ends.a, "bye"));
  door().shutdown(ends.a, Direction::write);
  ASSERT_TRUE(run_until([&] { return received.ended; }));
  settle();
  EXPECT_EQ(received.bytes, "bye");
  EXPECT_EQ(received.last(), 0);
  EXPECT_EQ(std::ranges::count(received.results, 0), 1);
}

TEST_P(BackendReceiveTest, AnEndThatHasComeIsGivenToWhoeverReceivesLater) {
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    ASSERT_TRUE(send_all(ends.a, "last words"));
    close(ends.a);
    settle();
    Receive& received = receive(ends.b);
    ASSERT_TRUE(run_until([&] { return received.ended; }));
    EXPECT_EQ(received.bytes, "last words");
    EXPECT_EQ(received.last(), 0);
    Receive& again = receive(ends.b);
    ASSERT_TRUE(run_until([&] { return again.ended; }));
    EXPECT_EQ(again.results, std::vector<int>{0});
  }
}

TEST_P(BackendReceiveTest, AResetIsReported) {
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  settle();
  reset(ends.a);
  ASSERT_TRUE(run_until([&] { return received.ended; }));
  EXPECT_EQ(received.results, std::vector<int>{-ECONNRESET});
}

TEST_P(BackendReceiveTest, DataBeforeAResetIsStillDelivered) {
  const Ends ends = connected();
  ASSERT_TRUE(send_all(ends.a, "before"));
  ASSERT_TRUE(run_until([&] { return door().get(ends.b, SocketFact::unread_bytes) == 6; }));
  reset(ends.a);
  settle();
  Receive& received = receive(ends.b);
  ASSERT_TRUE(run_until([&] { return received.ended; }));
  EXPECT_EQ(received.bytes, "before");
  EXPECT_EQ(received.last(), -ECONNRESET);
}

// As measured on Linux: after the FIN a receive tells the end, whatever followed it.
TEST_P(BackendReceiveTest, AResetBehindAFinDoesNotHideIt) {
  const Ends ends = connected();
  Poll& watch = watch_hangup(ends.b);
  ASSERT_TRUE(send_all(ends.a, "all"));
  door().shutdown(ends.a, Direction::write);
  ASSERT_TRUE(run_until([&] { return !watch.results.empty(); }));
  reset(ends.a);
  ASSERT_TRUE(run_until([&] { return (watch.last() & Events::error) != 0; }));
  Receive& received = receive(ends.b);
  ASSERT_TRUE(run_until([&] { return received.ended; }));
  EXPECT_EQ(received.bytes, "all");
  EXPECT_EQ(received.last(), 0);
}

// A reset that came before cancel() may not turn into a clean end.
TEST_P(BackendReceiveTest, AResetThatRacesWithACancelIsNotLost) {
  const Ends ends = connected();
  const Ends other = connected();
  Receive& first = receive(other.b);
  Receive& second = receive(ends.b);
  settle();
  batch_size_ = 1;
  ASSERT_TRUE(send_all(other.a, "x"));
  reset(ends.a);
  // Both results are there; only one is handed over.
  ASSERT_TRUE(run_until([&] { return first.total == 1 || second.ended; }));
  door().cancel(second);
  ASSERT_TRUE(run_until([&] { return second.ended; }));
  if (second.last() == -ECONNRESET) return;
  EXPECT_EQ(second.last(), -ECANCELED);
  submit(second, ends.b);
  ASSERT_TRUE(run_until([&] { return second.ended; }));
  EXPECT_EQ(second.last(), -ECONNRESET);
}

TEST_P(BackendReceiveTest, EightMebibytesComeInOrder) {
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    const std::string sent = noise(8 << 20, 1);
    Receive& received = receive(ends.b);
    ASSERT_TRUE(send_all(ends.a, sent));
    door().shutdown(ends.a, Direction::write);
    ASSERT_TRUE(run_until([&] { return received.ended; }));
    EXPECT_EQ(received.last(), 0);
    EXPECT_TRUE(received.bytes == sent);
  }
}

TEST_P(BackendReceiveTest, SingleBytesComeInOrder) {
  const Ends ends = connected();
  const std::string sent = noise(2000, 2);
  Receive& received = receive(ends.b);
  for (const char& byte : sent) ASSERT_TRUE(send_all(ends.a, {&byte, 1}));
  ASSERT_TRUE(run_until([&] { return received.total == sent.size(); }));
  EXPECT_TRUE(received.bytes == sent);
}

TEST_P(BackendReceiveTest, ManySocketsGetTheirOwnBytes) {
  constexpr std::size_t kSockets = 64;
  constexpr std::size_t kBytes = 200'000;
  struct Stream {
    std::string sent;
    std::string_view rest;
    Send* op = nullptr;
    Receive* received = nullptr;
  };
  std::vector<Stream> streams(kSockets);
  std::size_t ended = 0;
  for (std::size_t i = 0; i < kSockets; ++i) {
    Stream& stream = streams[i];
    const Ends ends = connected(i % 4 == 3);
    stream.sent = noise(kBytes, static_cast<unsigned>(i));
    stream.rest = stream.sent;
    stream.received = &receive(ends.b);
    const auto next = [this, &stream, &ended, fd = ends.a] {
      if (stream.rest.empty()) {
        door().shutdown(fd, Direction::write);
        ++ended;
        return;
      }
      const std::size_t size = 1 + static_cast<unsigned char>(stream.rest[0]) * 37U;
      resend(*stream.op, fd, stream.rest.substr(0, size));
    };
    stream.op = &send(ends.a, stream.rest.substr(0, 1));
    stream.op->handle = [next, &stream](Completion& completion) {
      ASSERT_GT(completion.result, 0);
      stream.rest.remove_prefix(static_cast<std::size_t>(completion.result));
      next();
    };
  }
  ASSERT_TRUE(run_until([&] {
    for (const Stream& stream : streams) {
      if (!stream.received->ended) return false;
    }
    return ended == kSockets;
  }));
  for (const Stream& stream : streams) {
    EXPECT_TRUE(stream.received->bytes == stream.sent);
    EXPECT_EQ(stream.received->last(), 0);
  }
}

TEST_P(BackendReceiveTest, HeldBuffersKeepTheirBytes) {
  constexpr std::size_t kBytes = 3 << 20;
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  received.hold = true;
  ASSERT_TRUE(send_all(ends.a, stream_part(0, kBytes)));
  ASSERT_TRUE(run_until([&] { return received.total == kBytes; }));
  std::size_t at = 0;
  for (const Buffer& buffer : received.held) {
    ASSERT_TRUE(is_stream_part(buffer.view(), at)) << "at " << at;
    at += buffer.size();
  }
  EXPECT_EQ(at, kBytes);
}

TEST_P(BackendReceiveTest, BuffersOutliveTheirBackend) {
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  received.hold = true;
  ASSERT_TRUE(send_all(ends.a, stream_part(0, 500'000)));
  ASSERT_TRUE(run_until([&] { return received.total == 500'000; }));
  std::vector<Buffer> kept = std::move(received.held);
  DoorTest::TearDown();
  std::size_t at = 0;
  for (const Buffer& buffer : kept) {
    ASSERT_TRUE(is_stream_part(buffer.view(), at));
    at += buffer.size();
  }
  EXPECT_EQ(at, 500'000U);
}

TEST_P(BackendReceiveTest, ThousandsOfCancelsLoseNoByte) { cancel_and_rearm(false, 36 << 20); }

TEST_P(BackendReceiveTest, ThousandsOfCancelsLoseNoByteOnUnixSockets) {
  cancel_and_rearm(true, 36 << 20);
}

TEST_P(BackendReceiveTest, ACancelBeforeTheEndLeavesTheEndForTheNext) {
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  settle();
  door().shutdown(ends.a, Direction::write);
  door().cancel(received);
  ASSERT_TRUE(run_until([&] { return received.ended; }));
  EXPECT_TRUE(received.last() == -ECANCELED || received.last() == 0);
  submit(received, ends.b);
  ASSERT_TRUE(run_until([&] { return received.ended; }));
  EXPECT_EQ(received.last(), 0);
}

TEST_P(BackendReceiveTest, OurOwnShutdownWakesAReceive) {
  for (const bool local : {false, true}) {
    const Ends ends = connected(local);
    Receive& received = receive(ends.b);
    settle();
    ASSERT_TRUE(received.results.empty());
    door().shutdown(ends.b, Direction::both);
    ASSERT_TRUE(run_until([&] { return received.ended; }));
    EXPECT_EQ(received.results, std::vector<int>{0});
  }
}

TEST_P(BackendReceiveTest, ReceivingGoesOnAfterOurOwnFin) {
  const Ends ends = connected();
  Receive& received = receive(ends.b);
  door().shutdown(ends.b, Direction::write);
  settle();
  ASSERT_TRUE(send_all(ends.a, "still here"));
  ASSERT_TRUE(run_until([&] { return received.total == 10; }));
  EXPECT_FALSE(received.ended);
}

// Made here, run there: the thread that polls owns the bytes that it receives.
TEST_P(BackendReceiveTest, ABackendMadeByAnotherThreadReceives) {
  bool whole = false;
  std::thread([&] {
    const Ends ends = connected();
    Receive& received = receive(ends.b);
    whole = send_all(ends.a, "hello") && run_until([&] { return received.total == 5; });
    received.bytes.clear();
    DoorTest::TearDown();
  }).join();
  EXPECT_TRUE(whole);
}

WEIR_ON_ALL_BACKENDS(BackendReceiveTest);

// ---- With little memory ----

class ScarceMemoryTest : public BackendReceiveTest {
 protected:
  void SetUp() override {
    BackendTest::SetUp();
    if (IsSkipped()) return;
    BackendOptions options = GetParam().options;
    options.receive_memory_max = kMemory;
    start(options);
  }

  static constexpr std::size_t kMemory = 4 * limits::kReceiveChunkBytes;
  static constexpr std::size_t kBytes = 16 << 20;
};

TEST_P(ScarceMemoryTest, HoldingEverythingParksTheReceiveAndReleasingResumesIt) {
  const Ends ends = connected();
  Firehose hose;
  pump(hose, ends.a, kBytes);
  Receive& received = receive(ends.b);
  received.keep_bytes = false;
  received.hold = true;
  settle();
  // What is held counts against the memory that receiving may take, copies against as much again.
  EXPECT_LE(received.total, 2 * kMemory + limits::kReceiveChunkBytes);
  EXPECT_FALSE(received.ended);
  std::size_t at = 0;
  ASSERT_TRUE(run_until([&] {
    for (const Buffer& buffer : received.held) {
      EXPECT_TRUE(is_stream_part(buffer.view(), at));
      at += buffer.size();
    }
    received.held.clear();
    return at == kBytes;
  }));
  EXPECT_TRUE(hose.done());
}

TEST_P(ScarceMemoryTest, OneChunkThatComesBackIsEnough) {
  const Ends ends = connected();
  Firehose hose;
  pump(hose, ends.a, kBytes);
  Receive& received = receive(ends.b);
  received.keep_bytes = false;
  received.hold = true;
  for (int round = 0; round < 4; ++round) {
    settle();
    const std::size_t chunks = door().live_chunks();
    const std::size_t before = received.total;
    while (!received.held.empty() && door().live_chunks() == chunks) {
      received.held.erase(received.held.begin());
    }
    ASSERT_EQ(door().live_chunks(), chunks - 1);
    ASSERT_TRUE(run_until([&] { return received.total > before; })) << "in round " << round;
  }
}

TEST_P(ScarceMemoryTest, ManyParkedReceivesAllResume) {
  constexpr std::size_t kSockets = 20;
  constexpr std::size_t kEach = 400'000;
  std::vector<Firehose> hoses(kSockets);
  std::vector<Receive*> all;
  for (Firehose& hose : hoses) {
    const Ends ends = connected();
    pump(hose, ends.a, kEach);
    all.push_back(&receive(ends.b));
    all.back()->keep_bytes = false;
    all.back()->hold = true;
  }
  settle();
  std::vector<std::size_t> at(kSockets);
  ASSERT_TRUE(run_until([&] {
    bool whole = true;
    for (std::size_t i = 0; i < kSockets; ++i) {
      for (const Buffer& buffer : all[i]->held) {
        EXPECT_TRUE(is_stream_part(buffer.view(), at[i]));
        at[i] += buffer.size();
      }
      all[i]->held.clear();
      whole = whole && at[i] == kEach;
    }
    return whole;
  }));
}

TEST_P(ScarceMemoryTest, AParkedReceiveCanBeCancelledAndGoesOnLater) {
  const Ends ends = connected();
  Firehose hose;
  pump(hose, ends.a, kBytes);
  Receive& received = receive(ends.b);
  received.keep_bytes = false;
  received.hold = true;
  settle();
  for (int i = 0; i < 50; ++i) {
    door().cancel(received);
    ASSERT_TRUE(run_until([&] { return received.ended; }));
    EXPECT_EQ(received.last(), -ECANCELED);
    submit(received, ends.b);
    settle();
  }
  std::size_t at = 0;
  ASSERT_TRUE(run_until([&] {
    for (const Buffer& buffer : received.held) {
      EXPECT_TRUE(is_stream_part(buffer.view(), at));
      at += buffer.size();
    }
    received.held.clear();
    return at == kBytes;
  }));
}

TEST_P(ScarceMemoryTest, AParkedReceiveLearnsOfAReset) {
  const Ends ends = connected();
  Firehose hose;
  pump(hose, ends.a, kBytes);
  Receive& received = receive(ends.b);
  received.keep_bytes = false;
  received.hold = true;
  settle();
  if (received.total == kBytes) GTEST_SKIP() << "it never parked";
  // The answer may be what has gone out before: the hose goes on then.
  ASSERT_TRUE(run_until([&] {
    door().cancel(*hose.op);
    return hose.op->idle();
  }));
  reset(ends.a);
  EXPECT_TRUE(run_until([&] { return received.ended; }));
  EXPECT_EQ(received.last(), -ECONNRESET);
}

TEST_P(ScarceMemoryTest, TheEndReachesAParkedReceiveBehindItsData) {
  const Ends ends = connected();
  Firehose hose;
  pump(hose, ends.a, kMemory + 100'000);
  Receive& received = receive(ends.b);
  received.keep_bytes = false;
  received.hold = true;
  settle();
  while (!hose.done() && !received.held.empty()) {
    received.held.erase(received.held.begin());
    settle();
  }
  ASSERT_TRUE(hose.done());
  close(ends.a);
  settle();
  ASSERT_TRUE(run_until([&] {
    received.held.clear();
    return received.ended;
  }));
  EXPECT_EQ(received.total, kMemory + 100'000);
  EXPECT_EQ(received.last(), 0);
}

// Memory that the system refuses is asked for again: nobody else's release can bring it.
// Where the memory is there already (a filled ring) nothing is refused.
TEST_P(ScarceMemoryTest, ARefusedAllocationEndsTheReceiveAndLosesNothing) {
  const Ends ends = connected();
  ASSERT_TRUE(send_all(ends.a, stream_part(0, 100'000)));
  memory::set_gate([](std::size_t) noexcept { return false; });
  Receive& refused = receive(ends.b);
  EXPECT_TRUE(run_until([&] { return refused.idle() || refused.total == 100'000; }));
  memory::set_gate(nullptr);
  if (!refused.idle()) return;
  EXPECT_EQ(refused.results.back(), -ENOMEM);
  Receive& received = receive(ends.b);
  EXPECT_TRUE(run_until([&] { return refused.total + received.total == 100'000; }));
  EXPECT_TRUE(is_stream_part(refused.bytes + received.bytes, 0));
}

WEIR_ON_ALL_BACKENDS(ScarceMemoryTest);

// ---- What only kernels do ----

class KernelReceiveTest : public BackendReceiveTest {};

// The urgent byte is not part of the stream (tcp(7)); what surrounds it is, though the mark cuts
// reads short.
TEST_P(KernelReceiveTest, UrgentDataLeavesTheStreamWhole) {
  for (int i = 0; i < 50; ++i) {
    const Ends ends = connected();
    Receive& received = receive(ends.b);
    if (i % 2 == 0) settle();
    for (const char* part : {"one", "two", "three"}) {
      ASSERT_GT(::send(ends.a, part, strlen(part), MSG_NOSIGNAL), 0);
      ASSERT_EQ(::send(ends.a, "!", 1, MSG_NOSIGNAL | MSG_OOB), 1);
      if (i % 3 == 0) settle();
    }
    ASSERT_EQ(::send(ends.a, "end", 3, MSG_NOSIGNAL), 3);
    close(ends.a);
    ASSERT_TRUE(run_until([&] { return received.ended; }));
    EXPECT_EQ(received.last(), 0);
    // A later urgent byte puts the earlier one back into the stream.
    std::erase(received.bytes, '!');
    EXPECT_EQ(received.bytes, "onetwothreeend");
  }
}

WEIR_ON_KERNEL_BACKENDS(KernelReceiveTest);

}  // namespace
}  // namespace weir::test
