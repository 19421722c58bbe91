// Many datagrams at once: whole, in order, each one once, however they are cut and joined on the
// way; and what becomes of them when there is no room.
#include <gtest/gtest.h>

#include <map>

#include "tests/gated_datagrams.h"
#include "tests/random.h"
#include "tests/udp_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;

Texts of_sizes(const std::vector<std::size_t>& sizes) {
  Texts all;
  for (const std::size_t size : sizes) {
    all.push_back(pattern(size, static_cast<unsigned>(all.size())));
  }
  return all;
}

std::vector<std::size_t> times(std::size_t count, std::size_t size) {
  return std::vector<std::size_t>(count, size);
}

class UdpBatchTest : public UdpTest {
 protected:
  // Through on_messages() and on_message() alike, and with each kind of send().
  void expect_whole(const std::vector<std::size_t>& sizes) {
    const Texts all = of_sizes(sizes);
    for (const bool coalesce : {true, false}) {
      SCOPED_TRACE(coalesce ? "coalesced" : "one by one");
      Party& from = bound("127.0.0.1", {.segment = coalesce});
      Party& to = bound("127.0.0.1", {.coalesce = coalesce});
      Texts spans;
      std::size_t largest = 0;
      to->on_messages([&](UdpSocket&, std::span<const Datagram> some) {
        EXPECT_FALSE(some.empty());
        EXPECT_EQ(spans.size(), to.got.size()) << "before on_message()";
        for (const Datagram& one : some) {
          EXPECT_EQ(one.from, from.endpoint());
          spans.emplace_back(one.bytes);
        }
        largest = std::max(largest, some.size());
      });
      ASSERT_NO_FATAL_FAILURE(transfer(from, to, all));
      EXPECT_TRUE(spans == to.got);
      std::uint64_t bytes = 0;
      for (const std::string& one : all) bytes += one.size();
      EXPECT_EQ(to->counters().received, all.size());
      EXPECT_EQ(to->counters().received_bytes, bytes);
      EXPECT_EQ(to->counters().dropped_receives, 0U);
      ASSERT_TRUE(run_until([&] { return from->counters().sent == all.size(); }));
      EXPECT_EQ(from->counters().sent_bytes, bytes);
      EXPECT_EQ(from->send_queue_bytes(), 0U);
      EXPECT_EQ(from->send_queue_datagrams(), 0U);
      EXPECT_FALSE(from.has("error"));
    }
  }
};

TEST_P(UdpBatchTest, DifferentSizesStayApart) {
  std::vector<std::size_t> sizes;
  for (std::size_t i = 0; i < 150; ++i) sizes.push_back(i * 37 % 1201);
  expect_whole(sizes);
}

TEST_P(UdpBatchTest, EqualSizesStayApart) {
  for (const std::size_t size : {1U, 2U, 100U, 1400U}) expect_whole(times(150, size));
}

TEST_P(UdpBatchTest, LargeEqualSizesStayApart) {
  expect_whole(times(9, 20'000));
  expect_whole(times(5, 32'753));  // two are 65506
  expect_whole(times(5, 32'754));  // two are 65508
  expect_whole(times(3, kDatagramMax));
}

TEST_P(UdpBatchTest, AShorterOneMayEndARun) {
  std::vector<std::size_t> sizes = times(20, 500);
  sizes.push_back(499);
  sizes.insert(sizes.end(), 10, 500);
  sizes.push_back(1);
  sizes.push_back(500);
  sizes.push_back(501);
  sizes.insert(sizes.end(), 3, 500);
  sizes.push_back(0);
  sizes.insert(sizes.end(), 3, 500);
  expect_whole(sizes);
}

TEST_P(UdpBatchTest, EmptyOnesCount) {
  expect_whole(times(30, 0));
  expect_whole({0, 5, 5, 0, 5, 0, 0, 5, 5, 5, 0, 1, 0, 1, 1, 0});
}

TEST_P(UdpBatchTest, RunsThatBeginAnew) {
  expect_whole({10, 10, 10, 5, 10, 10, 5, 5, 5, 10, 9, 8, 7, 7, 7, 8, 8, 8, 1, 2, 1, 2});
}

TEST_P(UdpBatchTest, ManyEqualOnesArePassedOnTogether) {
  Party& from = bound();
  Party& to = bound();
  std::size_t calls = 0;
  to->on_messages([&](UdpSocket&, std::span<const Datagram>) { ++calls; });
  ASSERT_NO_FATAL_FAILURE(transfer(from, to, of_sizes(times(60, 200))));
  EXPECT_LT(calls, 60U);
}

TEST_P(UdpBatchTest, TwoPeersInTurn) {
  Party& from = bound();
  Party& one = bound();
  Party& other = bound();
  Texts mine;
  Texts theirs;
  for (unsigned i = 0; i < 60; ++i) {
    Party& to = i % 2 == 0 ? one : other;
    Texts& sent = i % 2 == 0 ? mine : theirs;
    sent.push_back(pattern(i % 10 == 9 ? 100 : 300, i));
    send(from, sent.back(), to);
  }
  ASSERT_TRUE(run_until_got(one, mine.size()) && run_until_got(other, theirs.size()));
  EXPECT_TRUE(one.got == mine);
  EXPECT_TRUE(other.got == theirs);
}

TEST_P(UdpBatchTest, FromTwoPeersInTurn) {
  Party& to = bound();
  Party& one = bound();
  Party& other = bound();
  for (unsigned i = 0; i < 60; ++i) send(i % 2 == 0 ? one : other, std::to_string(i), to);
  ASSERT_TRUE(run_until_got(to, 60));
  std::map<std::uint16_t, int> next{{one.endpoint().port, 0}, {other.endpoint().port, 1}};
  for (std::size_t i = 0; i < 60; ++i) {
    int& expected = next.at(to.from[i].port);
    EXPECT_EQ(to.got[i], std::to_string(expected)) << i;
    expected += 2;
  }
}

TEST_P(UdpBatchTest, AConnectedSocketToo) {
  Party& to = bound();
  Party& from = connected(to);
  const Texts all = of_sizes(times(80, 700));
  for (const std::string& one : all) ASSERT_EQ(refusal(from->send(one)), "");
  ASSERT_TRUE(run_until_got(to, all.size()));
  EXPECT_TRUE(to.got == all);
}

TEST_P(UdpBatchTest, OneThatIsTooLargeIsAloneInItsMisfortune) {
  Party& from = bound();
  Party& to = bound();
  const std::string huge(kDatagramMax + 1, 'h');
  for (int i = 0; i < 30; ++i) {
    const bool bad = i % 10 == 4 || i % 10 == 5 || i == 29;
    ASSERT_EQ(refusal(from->send(bad ? huge : std::to_string(i), to.at(), from.noted(i))), "");
  }
  ASSERT_TRUE(run_until([&] { return from.numbers.size() == 30; }));
  ASSERT_TRUE(run_until_got(to, 23));
  for (int i = 0; i < 30; ++i) {
    const bool bad = i % 10 == 4 || i % 10 == 5 || i == 29;
    const auto at = static_cast<std::size_t>(i);
    EXPECT_EQ(from.numbers[at], i);
    EXPECT_EQ(from.outcomes[at], bad ? "EMSGSIZE" : "ok") << i;
  }
  EXPECT_EQ(to.got.back(), "28");
}

TEST_P(UdpBatchTest, AnyMixture) {
  Party& from = bound();
  for_seeds(12, [&](Random& random) {
    const std::size_t sizes[] = {0, 1, random.below(1500), random.below(1500), 1472, 9000};
    std::deque<Party> to;
    std::map<const Party*, Texts> expected;
    for (int i = 0; i < 3; ++i) {
      to.emplace_back(reactor(), UdpOptions{.segment = random.chance(0.7),
                                            .coalesce = random.chance(0.7)});
      ASSERT_TRUE(to.back()->bind({.host = "127.0.0.1"}).has_value());
    }
    for (unsigned i = 0; i < 60;) {
      Party& peer = to[random.below(3)];
      const std::size_t size = sizes[random.below(std::size(sizes))];
      for (std::uint64_t run = random.below(6); run != 0 && i < 60; --run, ++i) {
        Texts& mine = expected[&peer];
        mine.push_back(pattern(random.chance(0.2) ? random.below(size + 1) : size, i));
        ASSERT_EQ(refusal(from->send(mine.back(), peer.at())), "");
      }
    }
    for (const auto& [peer, texts] : expected) {
      ASSERT_TRUE(run_until([&] { return peer->got.size() >= texts.size(); }));
      EXPECT_TRUE(peer->got == texts);
    }
  });
}

// ---- No room ----

// The kernel counts datagrams that it has put together as one.
TEST_P(UdpBatchTest, AFullReceiveBufferDropsAndCounts) {
  Party& from = bound("127.0.0.1", {.segment = false});
  Party& other = bound("127.0.0.1", {.segment = false});
  Party& to = bound("127.0.0.1", {.receive_buffer = 4096});
  const std::string bytes(1000, 'x');
  int sent = 0;
  while (to->counters().dropped_receives == 0 && sent < 20'000) {
    for (int i = 0; i < 250; ++i, sent += 2) {
      send(from, bytes, to);
      send(other, bytes, to);
    }
    ASSERT_TRUE(run_until(
        [&] { return from->send_queue_datagrams() + other->send_queue_datagrams() == 0; }));
  }
  EXPECT_GT(to->counters().dropped_receives, 0U);
  // Whatever was not dropped has come, or comes yet.
  ASSERT_TRUE(run_until([&] {
    const auto counters = to->counters();
    return counters.received + counters.dropped_receives == static_cast<std::uint64_t>(sent);
  })) << to->counters().received << " + " << to->counters().dropped_receives << " of " << sent;
  EXPECT_EQ(from->counters().sent + other->counters().sent, static_cast<std::uint64_t>(sent));
  send(from, "after", to);
  ASSERT_TRUE(run_until([&] { return !to.got.empty() && to.got.back() == "after"; }));
  const std::uint64_t dropped = to->counters().dropped_receives;
  ASSERT_EQ(refusal(to->close()), "");
  ASSERT_TRUE(run_until([&] { return to.has("close"); }));
  EXPECT_EQ(to->counters().dropped_receives, dropped) << "after close(), too";
}

TEST_P(UdpBatchTest, AQueueHasRoomForSoManyDatagrams) {
  Party& from = bound("127.0.0.1", {.queue_datagrams_max = 4});
  Party& to = bound();
  ASSERT_TRUE(run_until([&] { return from.has("listening"); }));
  for (int i = 0; i < 7; ++i) {
    const auto queued = from->send(std::to_string(i), to.at(), from.noted(i));
    ASSERT_TRUE(queued.has_value()) << queued.error().message();
    EXPECT_EQ(*queued, i < 4 ? Send::ok : Send::dropped) << i;
  }
  EXPECT_EQ(from->send_queue_datagrams(), 4U);
  EXPECT_EQ(from->send_queue_bytes(), 4U);
  EXPECT_EQ(reactor().counters().queue_bytes, 4U);
  EXPECT_FALSE(from.has("drain")) << "an event inside send()";
  ASSERT_TRUE(run_until([&] { return from.has("drain") && from.numbers.size() == 4; }));
  EXPECT_EQ(from->send_queue_datagrams(), 0U);
  EXPECT_EQ(from->counters().dropped_sends, 3U);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
  send(from, "next", to);
  ASSERT_TRUE(run_until_got(to, 5));
  run_for(1ms);
  EXPECT_EQ(to.texts(), "0 1 2 3 next ");
  EXPECT_EQ(from.numbers, (std::vector<int>{0, 1, 2, 3})) << "the others are gone";
  EXPECT_EQ(from.count("drain"), 1);
  EXPECT_FALSE(from.has("error"));
}

TEST_P(UdpBatchTest, AQueueHasRoomForSoManyBytes) {
  NODE_TEST("dgram-send-queue-info");
  Party& from = bound("127.0.0.1", {.queue_bytes_max = 1000});
  Party& to = bound();
  const auto queue = [&](std::size_t size) {
    const auto queued = from->send(std::string(size, 'x'), to.at());
    EXPECT_TRUE(queued.has_value());
    return queued.value_or(Send::dropped);
  };
  EXPECT_EQ(queue(600), Send::ok);
  EXPECT_EQ(queue(401), Send::dropped);
  EXPECT_EQ(queue(400), Send::ok);
  EXPECT_EQ(from->send_queue_bytes(), 1000U);
  EXPECT_EQ(reactor().counters().queue_bytes, 1000U);
  EXPECT_EQ(queue(1), Send::dropped);
  ASSERT_TRUE(run_until([&] { return from.has("drain"); }));
  EXPECT_EQ(from->send_queue_bytes(), 0U);
  EXPECT_EQ(queue(5000), Send::ok) << "a single one may pass the limit";
  EXPECT_EQ(queue(1), Send::dropped);
  ASSERT_TRUE(run_until([&] { return from.count("drain") == 2; }));
  ASSERT_TRUE(run_until_got(to, 3));
  EXPECT_EQ(to.got[2].size(), 5000U);
  EXPECT_EQ(from->counters().dropped_sends, 3U);
  EXPECT_EQ(queue(1000), Send::ok);
  ASSERT_TRUE(run_until_got(to, 4));
  run_for(1ms);
  EXPECT_EQ(from.count("drain"), 2) << "nothing was dropped since";
}

TEST_P(UdpBatchTest, WhatWaitsForANameIsBoundedToo) {
  Names names;
  names.keeps = true;
  Party& from = bound("127.0.0.1", {.queue_datagrams_max = 4, .resolver = &names});
  Party& to = bound();
  const UdpAt at{.port = to.at().port, .host = "slow.test"};
  for (int i = 0; i < 10; ++i) {
    const auto queued = from->send("x", at, from.noted(i));
    ASSERT_TRUE(queued.has_value()) << queued.error().message();
    EXPECT_EQ(*queued, i < 4 ? Send::ok : Send::dropped) << i;
  }
  run_for(1ms);
  EXPECT_EQ(from->send_queue_datagrams(), 4U);
  EXPECT_EQ(from->counters().dropped_sends, 6U);
  EXPECT_FALSE(from.has("drain"));
  names.keeps = false;
  names.answer_all();
  ASSERT_TRUE(run_until_got(to, 4));
  ASSERT_TRUE(run_until([&] { return from.has("drain") && from.numbers.size() == 4; }));
  EXPECT_EQ(from->send_queue_datagrams(), 0U);
  EXPECT_EQ(from.count("drain"), 1);
}

TEST_P(UdpBatchTest, ADroppedCallbackIsGoneAtOnce) {
  Party& from = bound("127.0.0.1", {.queue_datagrams_max = 1});
  Party& to = bound();
  send(from, "first", to);
  auto held = std::make_shared<int>(1);
  const auto queued = from->send("x", to.at(), [held](UdpSocket&, std::error_code) {});
  ASSERT_TRUE(queued.has_value());
  EXPECT_EQ(*queued, Send::dropped);
  EXPECT_EQ(held.use_count(), 1);
}

TEST_P(UdpBatchTest, AFloodDoesNotStarveTheRest) {
  Party& from = bound();
  Party& to = bound();
  int fired = 0;
  bool flooding = true;
  to->on_message([&](UdpSocket&, const Datagram&) {
    if (flooding || to.got.size() < 100) from->send("again", to.at());
  });
  Timer timer = reactor().after(5ms, [&] {
    ++fired;
    flooding = false;
  });
  send(from, "first", to);
  ASSERT_TRUE(run_until_got(to, 100));
  // The simulated clock stands still for as long as there is something to do.
  if (simulated()) {
    ASSERT_TRUE(reactor().post([&] { flooding = false; }));
  }
  ASSERT_TRUE(run_until([&] { return !flooding; }));
  ASSERT_TRUE(run_until([&] { return fired == 1; }));
}

WEIR_ON_ALL_BACKENDS(UdpBatchTest);

// ---- A kernel that does not take them ----

class UdpGateTest : public BackendTest {
 protected:
  void SetUp() override {
    BackendTest::SetUp();
    if (IsSkipped()) return;
    auto backend = std::make_unique<GatedBackend>(make_backend());
    gate_ = &backend->gate;
    reactor_ = std::make_unique<Reactor>(std::move(backend));
    to_ = std::make_unique<Party>(*reactor_);
    from_ = std::make_unique<Party>(*reactor_, UdpOptions{.queue_datagrams_max = 50});
    for (Party* party : {to_.get(), from_.get()}) {
      ASSERT_TRUE((*party)->bind({.host = "127.0.0.1"}).has_value());
    }
    ASSERT_TRUE(run_until([&] { return from().has("listening") && to().has("listening"); }));
  }
  void TearDown() override {
    from_.reset();
    to_.reset();
    if (reactor_ == nullptr) return;
    EXPECT_EQ(reactor_->counters().queue_bytes, 0U);
    reactor_.reset();
  }

  bool run_until(const std::function<bool()>& done) {
    const Instant end = reactor_->now() + kPatience;
    while (!done()) {
      if (reactor_->now() >= end) return false;
      reactor_->run_once(end);
    }
    return true;
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) reactor_->run_once(Duration::zero());
  }
  // Numbers, each with a callback; all of the same size, or growing.
  void queue(int count, bool equal = true) {
    for (int i = 0; i < count; ++i) {
      std::string bytes = std::to_string(i);
      bytes.resize(equal ? 8 : 8 + static_cast<std::size_t>(i), ' ');
      const auto queued = from()->send(bytes, to().at(), from().noted(i));
      ASSERT_TRUE(queued.has_value() && *queued == Send::ok) << i;
    }
  }
  void expect_numbers(std::size_t count) {
    ASSERT_EQ(from().numbers.size(), count);
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(from().numbers[i], static_cast<int>(i));
  }
  Party& from() { return *from_; }
  Party& to() { return *to_; }

  GatedDatagrams* gate_ = nullptr;
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Party> from_;
  std::unique_ptr<Party> to_;
};

TEST_P(UdpGateTest, WhatTheKernelDoesNotTakeWaits) {
  gate_->entries_max = 0;
  queue(20, false);
  turns(3);
  EXPECT_EQ(from()->send_queue_datagrams(), 20U);
  EXPECT_EQ(from()->send_queue_bytes(), reactor_->counters().queue_bytes);
  EXPECT_TRUE(from().numbers.empty());
  gate_->entries_max = 7;
  ASSERT_TRUE(run_until([&] { return from().numbers.size() == 7; }));
  EXPECT_EQ(from()->send_queue_datagrams(), 13U);
  gate_->entries_max = SIZE_MAX;
  ASSERT_TRUE(run_until([&] { return to().got.size() == 20; }));
  ASSERT_TRUE(run_until([&] { return from().numbers.size() == 20; }));
  expect_numbers(20);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(std::stoi(to().got[i]), static_cast<int>(i));
  EXPECT_EQ(from()->counters().sent, 20U);
  EXPECT_FALSE(from().has("drain"));
}

TEST_P(UdpGateTest, OneAtATimeIsEnough) {
  gate_->entries_max = 1;
  gate_->once_each = true;
  for (const bool equal : {false, true}) {
    from().numbers.clear();
    const std::size_t before = to().got.size();
    queue(40, equal);
    ASSERT_TRUE(run_until([&] { return to().got.size() == before + 40; }));
    ASSERT_TRUE(run_until([&] { return from().numbers.size() == 40; }));
    expect_numbers(40);
    for (std::size_t i = 0; i < 40; ++i) {
      EXPECT_EQ(std::stoi(to().got[before + i]), static_cast<int>(i));
    }
  }
}

// The callbacks of what was sent are no reason to go on in the same turn.
TEST_P(UdpGateTest, ATurnHasItsShareOfCalls) {
  gate_->entries_max = 1;
  gate_->once_each = true;
  queue(40, false);
  for (int turn = 0; turn < 100 && from().numbers.size() < 40; ++turn) {
    const int before = gate_->sends;
    turns(1);
    EXPECT_LE(gate_->sends - before, net::limits::kUdpCallsPerTurnMax);
  }
  expect_numbers(40);
  EXPECT_EQ(gate_->sends, 40);
}

TEST_P(UdpGateTest, ARefusalIsForTheFirstOneAlone) {
  gate_->refuse_next = -EPERM;
  queue(10, false);
  ASSERT_TRUE(run_until([&] { return from().numbers.size() == 10; }));
  expect_numbers(10);
  EXPECT_EQ(from().outcomes[0], "EPERM");
  EXPECT_EQ(std::ranges::count(from().outcomes, "ok"), 9);
  ASSERT_TRUE(run_until([&] { return to().got.size() == 9; }));
  EXPECT_EQ(from()->counters().send_errors, 1U);
  EXPECT_EQ(from()->counters().sent, 9U);
}

TEST_P(UdpGateTest, WhatWaitsForAPeerStillGoesToIt) {
  Party second(*reactor_);
  ASSERT_TRUE(second->bind({.host = "127.0.0.1"}).has_value());
  ASSERT_TRUE(from()->connect(to().at()).has_value());
  ASSERT_TRUE(run_until([&] { return from().has("connect"); }));
  gate_->entries_max = 0;
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(from()->send("first", from().noted(i)).has_value());
  }
  turns(2);
  ASSERT_TRUE(from()->disconnect().has_value());
  ASSERT_TRUE(from()->connect(second.at()).has_value());
  ASSERT_TRUE(from()->send("second", from().noted(10)).has_value());
  gate_->entries_max = SIZE_MAX;
  ASSERT_TRUE(run_until([&] { return second.got.size() == 1 && to().got.size() == 10; }));
  ASSERT_TRUE(run_until([&] { return from().numbers.size() == 11; }));
  expect_numbers(11);
  EXPECT_EQ(from().outcomes, Texts(11, "ok"));
}

TEST_P(UdpGateTest, AFullQueueDropsAndDrainsOnce) {
  gate_->entries_max = 0;
  queue(50, false);
  for (int i = 0; i < 5; ++i) {
    const auto queued = from()->send("late", to().at(), from().noted(99));
    ASSERT_TRUE(queued.has_value());
    EXPECT_EQ(*queued, Send::dropped);
    turns(1);
  }
  gate_->entries_max = 49;
  ASSERT_TRUE(run_until([&] { return from().numbers.size() == 49; }));
  turns(2);
  EXPECT_FALSE(from().has("drain")) << "one is still there";
  gate_->entries_max = SIZE_MAX;
  ASSERT_TRUE(run_until([&] { return from().has("drain") && from().numbers.size() == 50; }));
  turns(2);
  EXPECT_EQ(from().count("drain"), 1);
  expect_numbers(50);
  EXPECT_EQ(from()->counters().dropped_sends, 5U);
}

TEST_P(UdpGateTest, CloseOffersTheQueueOnceAndCancelsTheRest) {
  gate_->entries_max = 0;
  queue(20, false);
  turns(2);
  ASSERT_TRUE(from()->close([&](UdpSocket&) { from().note("done"); }).has_value());
  ASSERT_TRUE(run_until([&] { return from().has("close"); }));
  expect_numbers(20);
  EXPECT_EQ(from().outcomes, Texts(20, "ECANCELED"));
  EXPECT_EQ(from().events.back(), "close");
  EXPECT_EQ(from()->send_queue_datagrams(), 0U);
  EXPECT_EQ(reactor_->counters().queue_bytes, 0U);
  EXPECT_FALSE(from().has("error"));
}

TEST_P(UdpGateTest, CloseSendsWhatTheKernelTakes) {
  gate_->entries_max = 0;
  queue(20, false);
  turns(2);
  gate_->entries_max = 8;
  ASSERT_TRUE(from()->close().has_value());
  ASSERT_TRUE(run_until([&] { return from().has("close"); }));
  ASSERT_TRUE(run_until([&] { return to().got.size() == 8; }));
  expect_numbers(20);
  EXPECT_EQ(std::ranges::count(from().outcomes, "ok"), 8);
  EXPECT_EQ(std::ranges::count(from().outcomes, "ECANCELED"), 12);
  EXPECT_EQ(from().outcomes[7], "ok");
  EXPECT_EQ(from().outcomes[8], "ECANCELED");
}

TEST_P(UdpGateTest, ADestroyedSocketOffersItsQueueOnce) {
  gate_->entries_max = 0;
  queue(20, false);
  turns(2);
  gate_->entries_max = 8;
  from().socket.reset();
  gate_->entries_max = SIZE_MAX;
  ASSERT_TRUE(run_until([&] { return to().got.size() == 8; }));
  turns(3);
  EXPECT_EQ(to().got.size(), 8U);
  EXPECT_FALSE(from().has("sent")) << "no handler after destruction";
  EXPECT_EQ(reactor_->counters().queue_bytes, 0U);
}

TEST_P(UdpGateTest, ALongQueueIsOfferedAsAWhole) {
  for (const bool destroys : {false, true}) {
    Party many(*reactor_);
    ASSERT_TRUE(many->bind({.host = "127.0.0.1"}).has_value());
    gate_->taken = 0;
    for (int i = 0; i < 1000; ++i) {
      ASSERT_TRUE(many->send(std::string(i % 2 == 0 ? 8 : 9, 'x'), to().at(), many.noted(i))
                      .has_value());
    }
    if (destroys) {
      many.socket.reset();
    } else {
      ASSERT_TRUE(many->close().has_value());
      ASSERT_TRUE(run_until([&] { return many.has("close"); }));
      EXPECT_EQ(many.numbers.size(), 1000U);
      EXPECT_EQ(std::ranges::count(many.outcomes, "ok"), 1000);
      EXPECT_EQ(many->counters().sent, 1000U);
    }
    EXPECT_EQ(gate_->taken, 1000U) << (destroys ? "destroyed" : "closed");
    turns(2);
  }
}

TEST_P(UdpGateTest, NothingIsTriedInVainForEver) {
  gate_->entries_max = 0;
  queue(1);
  turns(20);
  EXPECT_LE(gate_->sends, 25) << "once for each time that the kernel says writable";
}

WEIR_ON_ALL_BACKENDS(UdpGateTest);

}  // namespace
}  // namespace weir::test
