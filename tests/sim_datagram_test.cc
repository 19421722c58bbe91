// Datagrams (UDP) of the simulated network: what arrives, when, from whom, and what does not.
#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "tests/sim_fixture.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLatency = 12'345'678ns;
constexpr std::size_t kDatagramMax = 65507;
constexpr std::size_t kQueueMax = 256;

struct Datagram {
  std::string bytes;
  Address from;
  std::int64_t at = 0;
};

// A bound datagram socket.
class Port {
 public:
  Port(World& world, Host& host, const std::string& ip, std::uint16_t port)
      : world_(world), host_(host), begin_(world.now()) {
    const auto opened = kernel().open_datagram(*Address::parse_ip(ip, port));
    EXPECT_TRUE(opened.has_value()) << (opened ? "" : opened.error().message());
    if (opened) fd = *opened;
  }

  SimBackend& kernel() const { return static_cast<SimBackend&>(host_.reactor().backend()); }
  Address address() const { return kernel().address(fd, End::local); }
  int send(std::string_view bytes, const Address& to) { return kernel().send_to(fd, bytes, to); }
  int send(std::string_view bytes, const std::string& ip, std::uint16_t port) {
    return send(bytes, *Address::parse_ip(ip, port));
  }
  // Takes what has come; false when there is nothing.
  bool take() {
    Address from;
    std::string room(kDatagramMax, '\0');
    const int size = kernel().receive_from(fd, room, from);
    if (size < 0) {
      EXPECT_EQ(size, -EAGAIN);
      return false;
    }
    room.resize(static_cast<std::size_t>(size));
    received.push_back({std::move(room), from, ns(world_.now() - begin_)});
    return true;
  }
  // From now on everything is taken when it comes.
  void read() {
    watch_ = host_.reactor().watch(fd, {Events::readable}, [this](Events) {
      ++called;
      if (!take()) ++for_nothing;
    });
  }
  std::string all() const {
    std::string text;
    for (const Datagram& one : received) text += one.bytes + " ";
    return text;
  }

  int fd = -1;
  std::vector<Datagram> received;
  int called = 0;
  int for_nothing = 0;

 private:
  World& world_;
  Host& host_;
  Instant begin_;
  Watch watch_;
};

class SimDatagramTest : public SimTest {
 protected:
  // The ports of these go before the world does.
  void TearDown() override { ports_.clear(); }
  Port& port(Host& host, const std::string& ip, std::uint16_t number = 0) {
    return ports_.emplace_back(world(), host, ip, number);
  }
  void remake(WorldOptions options) {
    ports_.clear();
    make(std::move(options));
  }
  // A port on each host; whatever comes is taken.
  void make_two() {
    here_ = &port(b(), "10.0.0.2", 1000);
    there_ = &port(a(), "10.0.0.1", 2000);
    here_->read();
    there_->read();
  }
  void send_numbers(int count) {
    for (int i = 0; i < count; ++i) here_->send(std::to_string(i), "10.0.0.1", 2000);
  }
  // Their numbers, as they came.
  std::vector<int> numbers() const {
    std::vector<int> all;
    for (const Datagram& one : there_->received) all.push_back(std::stoi(one.bytes));
    return all;
  }

  Port* here_ = nullptr;
  Port* there_ = nullptr;

 private:
  std::deque<Port> ports_;
};

TEST_F(SimDatagramTest, OneTakesOneWayAndSaysWhoSentIt) {
  set_link({.latency = kLatency});
  make_two();
  EXPECT_EQ(here_->send("ping", "10.0.0.1", 2000), 4);
  world().run();
  ASSERT_EQ(there_->received.size(), 1U);
  EXPECT_EQ(there_->received[0].bytes, "ping");
  EXPECT_EQ(there_->received[0].from.to_string(), "10.0.0.2:1000");
  EXPECT_EQ(there_->received[0].at, ns(kLatency));
  there_->send("pong", there_->received[0].from);
  world().run();
  ASSERT_EQ(here_->received.size(), 1U);
  EXPECT_EQ(here_->received[0].from.to_string(), "10.0.0.1:2000");
  EXPECT_EQ(here_->received[0].at, ns(2 * kLatency));
}

TEST_F(SimDatagramTest, Ipv6Too) {
  Port& here = port(b(), "fd00::2", 1000);
  Port& there = port(a(), "::", 2000);
  there.read();
  here.send("six", "fd00::1", 2000);
  world().run();
  ASSERT_EQ(there.received.size(), 1U);
  EXPECT_EQ(there.received[0].from.to_string(), "[fd00::2]:1000");
}

TEST_F(SimDatagramTest, EachIsOneOfItsOwnAndMayBeEmpty) {
  make_two();
  EXPECT_EQ(here_->send("one", "10.0.0.1", 2000), 3);
  EXPECT_EQ(here_->send("", "10.0.0.1", 2000), 0);
  EXPECT_EQ(here_->send("three", "10.0.0.1", 2000), 5);
  world().run();
  EXPECT_EQ(there_->all(), "one  three ");
  EXPECT_EQ(there_->called, 3);
}

TEST_F(SimDatagramTest, NothingIsThereBeforeItComes) {
  set_link({.latency = kLatency});
  Port& here = port(b(), "10.0.0.2", 1000);
  Port& there = port(a(), "10.0.0.1", 2000);
  EXPECT_FALSE(there.take());
  here.send("x", "10.0.0.1", 2000);
  world().run_for(kLatency - 1ns);
  EXPECT_FALSE(there.take());
  world().run_for(1ns);
  EXPECT_TRUE(there.take());
  EXPECT_FALSE(there.take());
}

TEST_F(SimDatagramTest, WhatDoesNotFitTheRoomIsCutOff) {
  Port& here = port(b(), "10.0.0.2", 1000);
  Port& there = port(a(), "10.0.0.1", 2000);
  here.send("long one", "10.0.0.1", 2000);
  here.send("next", "10.0.0.1", 2000);
  world().run();
  char room[4];
  Address from;
  EXPECT_EQ(there.kernel().receive_from(there.fd, room, from), 4);
  EXPECT_EQ(std::string_view(room, 4), "long");
  EXPECT_EQ(there.kernel().receive_from(there.fd, room, from), 4);
  EXPECT_EQ(std::string_view(room, 4), "next");
  EXPECT_EQ(there.kernel().receive_from(there.fd, room, from), -EAGAIN);
}

TEST_F(SimDatagramTest, AWatchCallsForAsLongAsSomethingIsThere) {
  Port& here = port(b(), "10.0.0.2", 1000);
  Port& there = port(a(), "10.0.0.1", 2000);
  int called = 0;
  Watch watch = a().reactor().watch(there.fd, {Events::readable}, [&](Events events) {
    EXPECT_TRUE(events.has(Events::readable));
    if (++called >= 3) there.take();  // lets it lie twice
  });
  world().run_for(1s);
  EXPECT_EQ(called, 0);
  here.send("x", "10.0.0.1", 2000);
  world().run_for(1s);
  EXPECT_EQ(called, 3);
  watch.cancel();
  here.send("y", "10.0.0.1", 2000);
  world().run_for(1s);
  EXPECT_EQ(called, 3);
  EXPECT_TRUE(there.take());
}

TEST_F(SimDatagramTest, APortCanAlwaysBeWrittenTo) {
  Port& here = port(b(), "10.0.0.2", 1000);
  int called = 0;
  Watch watch;
  watch = b().reactor().watch(here.fd, {Events::writable}, [&](Events events) {
    EXPECT_TRUE(events.has(Events::writable));
    ++called;
    watch.cancel();
  });
  world().run_for(1s);
  EXPECT_EQ(called, 1);
}

TEST_F(SimDatagramTest, AtMostWhatUdpTakes) {
  make_two();
  EXPECT_EQ(here_->send(std::string(kDatagramMax + 1, 'x'), "10.0.0.1", 2000), -EMSGSIZE);
  EXPECT_EQ(here_->send(pattern(kDatagramMax, 1), "10.0.0.1", 2000),
            static_cast<int>(kDatagramMax));
  world().run();
  ASSERT_EQ(there_->received.size(), 1U);
  EXPECT_TRUE(there_->received[0].bytes == pattern(kDatagramMax, 1));
}

TEST_F(SimDatagramTest, BandwidthCounts) {
  set_link({.latency = kLatency, .bytes_per_second = 1'000'000});
  make_two();
  here_->send(pattern(10'000, 1), "10.0.0.1", 2000);
  here_->send(pattern(20'000, 2), "10.0.0.1", 2000);
  world().run();
  ASSERT_EQ(there_->received.size(), 2U);
  EXPECT_EQ(there_->received[0].at, ns(10ms + kLatency));
  EXPECT_EQ(there_->received[1].at, ns(30ms + kLatency));
}

TEST_F(SimDatagramTest, AQueueHolds256) {
  Port& here = port(b(), "10.0.0.2", 1000);
  Port& there = port(a(), "10.0.0.1", 2000);
  for (std::size_t i = 0; i < kQueueMax + 44; ++i) here.send(std::to_string(i), "10.0.0.1", 2000);
  world().run();
  while (there.take()) {
  }
  ASSERT_EQ(there.received.size(), kQueueMax);
  EXPECT_EQ(there.received.front().bytes, "0");
  EXPECT_EQ(there.received.back().bytes, "255");
  here.send("again", "10.0.0.1", 2000);
  world().run();
  EXPECT_TRUE(there.take());
  EXPECT_EQ(there.received.back().bytes, "again");
}

TEST_F(SimDatagramTest, TheQueueOfAFrozenHostFills) {
  make_two();
  a().freeze(1s);
  for (int i = 0; i < 10; ++i) {
    send_numbers(100);
    world().run_for(10ms);
  }
  world().run_for(2s);
  EXPECT_EQ(there_->received.size(), kQueueMax);
}

// ---- What does not arrive, or twice, or late ----

TEST_F(SimDatagramTest, LostOnesNeverCome) {
  set_link({.loss = 1});
  make_two();
  EXPECT_EQ(here_->send("x", "10.0.0.1", 2000), 1);
  world().run_for(1h);
  EXPECT_EQ(there_->called, 0);
}

TEST_F(SimDatagramTest, SomeAreLost) {
  set_link({.loss = 0.5});
  make_two();
  for (int i = 0; i < 10; ++i) {
    send_numbers(100);
    world().run_for(1ms);
  }
  EXPECT_GT(there_->received.size(), 400U);
  EXPECT_LT(there_->received.size(), 600U);
}

TEST_F(SimDatagramTest, DuplicatesComeTwice) {
  set_link({.latency = kLatency, .duplicate = 1});
  make_two();
  send_numbers(100);
  world().run();
  std::vector<int> all = numbers();
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), 200U);
  for (std::size_t i = 0; i < 200; ++i) EXPECT_EQ(all[i], static_cast<int>(i / 2));
}

TEST_F(SimDatagramTest, WithoutJitterTheyComeInOrder) {
  set_link({.latency = kLatency});
  make_two();
  send_numbers(200);
  world().run();
  const std::vector<int> all = numbers();
  ASSERT_EQ(all.size(), 200U);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
}

TEST_F(SimDatagramTest, WithJitterTheyOvertakeOneAnother) {
  set_link({.latency = kLatency, .jitter = 10ms});
  make_two();
  send_numbers(200);
  world().run();
  std::vector<int> all = numbers();
  ASSERT_EQ(all.size(), 200U);
  EXPECT_FALSE(std::is_sorted(all.begin(), all.end()));
  for (const Datagram& one : there_->received) {
    EXPECT_GE(one.at, ns(kLatency));
    EXPECT_LE(one.at, ns(kLatency + 10ms));
  }
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < 200; ++i) EXPECT_EQ(all[i], static_cast<int>(i));
}

TEST_F(SimDatagramTest, APartitionDropsThem) {
  make_two();
  world().partition(a(), b());
  EXPECT_EQ(here_->send("lost", "10.0.0.1", 2000), 4);
  world().run_for(1min);
  world().heal(a(), b());
  world().run_for(1h);
  EXPECT_EQ(there_->all(), "");
  here_->send("found", "10.0.0.1", 2000);
  world().run_for(1s);
  EXPECT_EQ(there_->all(), "found ");
}

TEST_F(SimDatagramTest, WhatIsSentIntoAPartitionIsLostHoweverSoonItEnds) {
  set_link({.latency = kLatency});
  make_two();
  world().partition(a(), b());
  here_->send("lost", "10.0.0.1", 2000);
  world().run_for(1ms);
  world().heal(a(), b());
  world().run_for(1h);
  EXPECT_EQ(there_->all(), "");
}

TEST_F(SimDatagramTest, SilenceWhereNobodyIs) {
  make_two();
  EXPECT_EQ(here_->send("x", "10.0.0.1", 2001), 1) << "no such port";
  EXPECT_EQ(here_->send("x", "10.0.0.77", 2000), 1) << "no such host";
  EXPECT_EQ(here_->send("x", "192.0.2.1", 2000), 1) << "a black hole";
  EXPECT_EQ(here_->send("x", "127.0.0.1", 2000), 1) << "the other host's loopback";
  world().run_for(1h);
  EXPECT_EQ(there_->called + here_->called, 0);
}

TEST_F(SimDatagramTest, AHostThatIsDownGetsNothingAndForgetsWhatItHad) {
  Port& here = port(b(), "10.0.0.2", 1000);
  port(a(), "10.0.0.1", 2000);
  here.send("before", "10.0.0.1", 2000);
  world().run_for(1s);
  a().crash();
  here.send("while it is down", "10.0.0.1", 2000);
  world().run_for(1s);
  a().restart();
  Port& again = port(a(), "10.0.0.1", 2000);
  again.read();
  here.send("after", "10.0.0.1", 2000);
  world().run_for(1s);
  EXPECT_EQ(again.all(), "after ");
}

TEST_F(SimDatagramTest, AClosedPortHearsNothing) {
  Port& here = port(b(), "10.0.0.2", 1000);
  Port& there = port(a(), "10.0.0.1", 2000);
  here.send("old", "10.0.0.1", 2000);
  world().run_for(1s);
  there.kernel().close(there.fd);
  EXPECT_EQ(a().open_fds(), 0U);
  Port& again = port(a(), "10.0.0.1", 2000);
  again.read();
  world().run_for(1s);
  EXPECT_EQ(again.all(), "");
}

// ---- Binding ----

TEST_F(SimDatagramTest, AWildcardHearsEveryAddressOfItsFamily) {
  Port& here = port(b(), "10.0.0.2", 1000);
  Port& itself = port(a(), "0.0.0.0", 1000);
  Port& there = port(a(), "0.0.0.0", 2000);
  there.read();
  here.send("far", "10.0.0.1", 2000);
  itself.send("loop", "127.0.0.1", 2000);
  itself.send("own", "10.0.0.1", 2000);
  world().run();
  ASSERT_EQ(there.received.size(), 3U);
  std::string from;
  for (const Datagram& one : there.received) from += one.bytes + "=" + one.from.to_string() + " ";
  EXPECT_NE(from.find("far=10.0.0.2:1000 "), std::string::npos) << from;
  EXPECT_NE(from.find("loop=127.0.0.1:1000 "), std::string::npos) << from;
  EXPECT_NE(from.find("own=10.0.0.1:1000 "), std::string::npos) << from;
}

TEST_F(SimDatagramTest, FromAWildcardTheAddressOfTheHostIsSeen) {
  Port& here = port(b(), "0.0.0.0", 1000);
  Port& there = port(a(), "10.0.0.1", 2000);
  there.read();
  here.send("x", "10.0.0.1", 2000);
  world().run();
  ASSERT_EQ(there.received.size(), 1U);
  EXPECT_EQ(there.received[0].from.to_string(), "10.0.0.2:1000");
}

// As IPV6_V6ONLY is 0 by default.
TEST_F(SimDatagramTest, AnIpv6WildcardHearsIpv4AsMapped) {
  Port& here = port(b(), "10.0.0.2", 1000);
  Port& there = port(a(), "::", 2000);
  here.read();
  there.read();
  here.send("x", "10.0.0.1", 2000);
  world().run();
  ASSERT_EQ(there.received.size(), 1U);
  EXPECT_EQ(there.received[0].from.to_string(), "[::ffff:10.0.0.2]:1000");
  there.send("answer", there.received[0].from);
  world().run();
  ASSERT_EQ(here.received.size(), 1U);
  EXPECT_EQ(here.received[0].from.to_string(), "10.0.0.1:2000");
}

TEST_F(SimDatagramTest, APortOfLoopbackHearsNoOtherHost) {
  Port& here = port(b(), "10.0.0.2", 1000);
  Port& there = port(a(), "127.0.0.1", 2000);
  there.read();
  here.send("x", "10.0.0.1", 2000);
  world().run_for(1h);
  EXPECT_EQ(there.called, 0);
}

TEST_F(SimDatagramTest, AFreePortIsFound) {
  Port& one = port(a(), "10.0.0.1");
  Port& other = port(a(), "10.0.0.1");
  EXPECT_NE(one.address().port(), 0);
  EXPECT_NE(other.address().port(), 0);
  EXPECT_NE(one.address().port(), other.address().port());
  EXPECT_EQ(one.address().host(), "10.0.0.1");
}

TEST_F(SimDatagramTest, WhatCannotBeBound) {
  port(a(), "10.0.0.1", 2000);
  const auto code = [&](Host& host, const char* ip) {
    const auto opened = kernel(host).open_datagram(*Address::parse_ip(ip, 2000));
    return opened ? std::error_code() : opened.error().code;
  };
  EXPECT_EQ(code(a(), "10.0.0.1"), errno_code(EADDRINUSE));
  EXPECT_EQ(code(a(), "0.0.0.0"), errno_code(EADDRINUSE));
  EXPECT_EQ(code(a(), "10.0.0.2"), errno_code(EADDRNOTAVAIL));
  EXPECT_EQ(code(b(), "10.0.0.2"), std::error_code());
  EXPECT_EQ(code(a(), "127.0.0.1"), std::error_code());
}

TEST_F(SimDatagramTest, TcpAndUdpHavePortsOfTheirOwn) {
  at_.host = "0.0.0.0";
  ASSERT_TRUE(join());
  Port& same = port(a(), "0.0.0.0", kPort);
  Port& here = port(b(), "10.0.0.2", 1000);
  same.read();
  here.send("x", "10.0.0.1", kPort);
  world().run();
  EXPECT_EQ(same.all(), "x ");
}

TEST_F(SimDatagramTest, OnlyABoundSocketOfTheFamilyIsTakenOver) {
  at_.host = "10.0.0.1";
  ASSERT_TRUE(join());
  Port& mine = port(b(), "10.0.0.2", 1000);
  const auto code = [&](int fd, Family family) {
    const auto taken = kernel(b()).datagrams().adopt(fd, family);
    return taken ? std::error_code() : taken.error().code;
  };
  EXPECT_EQ(code(mine.fd, Family::ipv4), std::error_code());
  EXPECT_EQ(code(mine.fd, Family::ipv6), Mistake::bad_fd_type);
  EXPECT_EQ(code(1000, Family::ipv4), errno_code(EBADF));
}

TEST_F(SimDatagramTest, AnIpv4PortDoesNotSendToIpv6) {
  Port& here = port(b(), "10.0.0.2", 1000);
  EXPECT_EQ(here.send("x", "fd00::1", 2000), -EAFNOSUPPORT);
}

// ---- Seeds ----

TEST_F(SimDatagramTest, TheSameSeedLosesTheSame) {
  const auto outcome = [&](std::uint64_t seed) {
    remake({.seed = seed, .link = {.jitter = 10ms, .loss = 0.3, .duplicate = 0.2}});
    make_two();
    send_numbers(200);
    world().run();
    return there_->all();
  };
  const std::string first = outcome(1);
  EXPECT_EQ(outcome(1), first);
  EXPECT_NE(outcome(2), first);
}

}  // namespace
}  // namespace weir::test
