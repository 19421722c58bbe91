// Socket::write_at_once: past an empty queue, and as write() in all else.
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/pair.h"

namespace weir::test {
namespace {

class AtOnceTest : public PairTest {
 protected:
  bool peer_has(std::size_t bytes) {
    return run_until([&] { return peer_record_.bytes.size() >= bytes; });
  }
};

TEST_P(AtOnceTest, BothKindsOfWritesKeepTheirOrder) {
  join();
  std::string all;
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < round % 5; ++i) {
      const std::string text = std::to_string(round) + "," + std::to_string(i) + ";";
      const bool at_once = (round + i) % 2 == 0;
      EXPECT_EQ(at_once ? client().write_at_once(text) : client().write(text), Write::ok);
      all += text;
    }
    if (round % 3 == 0) reactor().run_once(Duration::zero());
  }
  ASSERT_TRUE(peer_has(all.size()));
  EXPECT_EQ(peer_record_.bytes, all);
  EXPECT_EQ(client().bytes_written(), all.size());
}

TEST_P(AtOnceTest, WhatTheKernelHasNoRoomForIsQueued) {
  PairOptions options;
  options.client.queue = {.high_water = 1 << 16, .low_water = 0, .bytes_max = 256 << 20};
  options.peer_reads = false;
  join(options);
  std::string part(1 << 20, 'x');
  std::size_t written = 0;
  Write answer = Write::ok;
  while (answer == Write::ok) {
    for (char& c : part) c = static_cast<char>('a' + written++ % 23);
    answer = client().write_at_once(part);
    ASSERT_NE(answer, Write::closed);
    ASSERT_LT(written, 128U << 20);
  }
  EXPECT_EQ(answer, Write::full);
  EXPECT_GT(client().writable_length(), 0U);
  EXPECT_TRUE(client().writable_needs_drain());
  std::size_t drains = 0;
  client().on_drain([&](Socket&) { ++drains; });
  // The bytes that are not ours any more may change.
  part.assign(part.size(), '!');
  record_data(peer(), peer_record_);
  ASSERT_TRUE(peer_has(written));
  ASSERT_TRUE(run_until([&] { return drains != 0; }));
  EXPECT_EQ(drains, 1U);
  ASSERT_EQ(peer_record_.bytes.size(), written);
  for (std::size_t i = 0; i < written; ++i) {
    ASSERT_EQ(peer_record_.bytes[i], static_cast<char>('a' + i % 23)) << "byte " << i;
  }
}

TEST_P(AtOnceTest, ACallbackBehindItComesWhenBothAreOut) {
  join();
  bool called = false;
  EXPECT_EQ(client().write("first,"), Write::ok);
  EXPECT_EQ(client().write_at_once("second,"), Write::ok);
  client().write("third", [&](Socket&, std::error_code code) {
    EXPECT_FALSE(code);
    EXPECT_EQ(client().writable_length(), 0U);
    called = true;
  });
  EXPECT_FALSE(called);
  ASSERT_TRUE(run_until([&] { return called; }));
  ASSERT_TRUE(peer_has(18));
  EXPECT_EQ(peer_record_.bytes, "first,second,third");
}

TEST_P(AtOnceTest, ACorkHoldsIt) {
  join();
  client().cork();
  EXPECT_EQ(client().write_at_once("held"), Write::ok);
  EXPECT_EQ(client().writable_length(), 4U);
  client().uncork();
  ASSERT_TRUE(peer_has(4));
}

TEST_P(AtOnceTest, BehindOnesOwnEndItIsAMistake) {
  join();
  client().end();
  EXPECT_EQ(client().write_at_once("late"), Write::closed);
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(client_record_.error(), "ERR_STREAM_WRITE_AFTER_END");
}

TEST_P(AtOnceTest, BeforeTheConnectionStandsItWaits) {
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  EXPECT_EQ(client().write_at_once("early"), Write::ok);
  EXPECT_EQ(client().writable_length(), 5U);
  ASSERT_TRUE(peer_has(5));
  EXPECT_EQ(peer_record_.bytes, "early");
}

// The call itself tells of it, and 'error' and 'close' follow, once each.
TEST_P(AtOnceTest, ToAResetPeerItClosesTheSocket) {
  join();
  client().pause();
  reactor().run_once(Duration::zero());
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] {
    const bool over = client().destroyed() || client().write_at_once("x") == Write::closed;
    return over;
  }));
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(client_record_.closes, 1);
  EXPECT_TRUE(is_reset(client_record_.closed_with)) << client_record_.error();
}

WEIR_ON_ALL_BACKENDS(AtOnceTest);

class KernelAtOnceTest : public AtOnceTest {};

// Its reset is there when the call returns, on loopback, and the automatic end would go past it.
TEST_P(KernelAtOnceTest, AnEndDoesNotHideThatThePeerHasAnsweredWithAReset) {
  join();
  client().on_end([](Socket& socket) { socket.write_at_once("nobody gets this"); });
  peer().destroy();
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_TRUE(is_reset(client_record_.closed_with)) << client_record_.order();
  EXPECT_EQ(client_record_.order(), "connect ready end error close");
}

WEIR_ON_KERNEL_BACKENDS(KernelAtOnceTest);

}  // namespace
}  // namespace weir::test
