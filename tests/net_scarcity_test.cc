// When descriptors, memory or the budget of queued bytes run out.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <deque>

#include "tests/pair.h"
#include "weir/net/net_part.h"
#include "weir/reactor/memory.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// Descriptors -----------------------------------------------------------------------------------

// Takes every descriptor that is left, and gives them back.
class NoDescriptors {
 public:
  NoDescriptors() {
    // Under UBSan the first comparison of error codes looks at their type through a pipe(2): let
    // it come while there can be one.
    EXPECT_EQ(errno_code(EMFILE), errno_code(EMFILE));
    for (int fd = fcntl(0, F_DUPFD_CLOEXEC, 0); fd >= 0; fd = fcntl(0, F_DUPFD_CLOEXEC, 0)) {
      taken_.push_back(fd);
    }
    EXPECT_EQ(errno, EMFILE);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  ~NoDescriptors() {
    for (const int fd : taken_) close(fd);
  }

 private:
  std::vector<int> taken_;
};

class DescriptorsTest : public PairTest {
 protected:
  // Low from the start: io_uring keeps the limit that was in force when an accept was submitted.
  void SetUp() override {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit low = before_;
    low.rlim_cur = 100;
    setrlimit(RLIMIT_NOFILE, &low);
    PairTest::SetUp();
  }
  void TearDown() override {
    for (const int fd : waiting_) close(fd);
    PairTest::TearDown();
    setrlimit(RLIMIT_NOFILE, &before_);
  }

  // Clients of the kernel's: their connections stand when they are in the listener's queue.
  void make_clients(int count) {
    for (int i = 0; i < count; ++i) {
      waiting_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      ASSERT_GE(waiting_.back(), 0);
    }
  }
  void connect_clients() {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(to_.port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (const int fd : waiting_) {
      ASSERT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    }
  }

  std::vector<int> waiting_;
  rlimit before_{};
};

TEST_P(DescriptorsTest, AcceptingRestsWithoutDescriptorsAndComesBack) {
  join();
  server_->on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  std::vector<Error> errors;
  server_->on_server_error([&](Server&, const Error& error) { errors.push_back(error); });
  constexpr int kClients = 5;
  make_clients(kClients);
  {
    const NoDescriptors none;
    connect_clients();
    ASSERT_TRUE(run_until([&] { return !errors.empty(); }));
    EXPECT_EQ(errors[0].code, errno_code(EMFILE));
    EXPECT_STREQ(errors[0].syscall, "accept");
    // Neither spinning nor a flood of errors, for several rests.
    const Counters before = reactor().counters();
    run_for(450ms);
    const Counters after = reactor().counters();
    EXPECT_LT(after.turns - before.turns, 60U);
    EXPECT_LT(after.kernel.system_calls - before.kernel.system_calls, 200U);
    EXPECT_EQ(errors.size(), 1U) << "once a burst";
    EXPECT_TRUE(server_->listening());
    client().write("old ones are served");
    ASSERT_TRUE(run_until([&] { return client_record_.bytes == "old ones are served"; }));
    EXPECT_EQ(server_->connections(), 1U);
  }
  ASSERT_TRUE(run_until([&] { return server_->connections() == 1 + kClients; }));
  EXPECT_EQ(errors.size(), 1U);
  // The next burst is told again.
  const std::vector<int> first = std::exchange(waiting_, {});
  make_clients(1);
  {
    const NoDescriptors none;
    connect_clients();
    ASSERT_TRUE(run_until([&] { return errors.size() == 2; }));
  }
  ASSERT_TRUE(run_until([&] { return server_->connections() == 2 + kClients; }));
  waiting_.insert(waiting_.end(), first.begin(), first.end());
}

// One descriptor for ten that wait: each is given back at once, and nobody waits for a rest's end.
TEST_P(DescriptorsTest, AConnectionThatClosesMakesRoomAtOnce) {
  join();
  constexpr int kClients = 10;
  int accepted = 0;
  std::vector<Error> errors;
  server_->on_connection([&](Socket& socket) {
    ++accepted;
    socket.destroy();
  });
  server_->on_server_error([&](Server&, const Error& error) { errors.push_back(error); });
  make_clients(kClients);
  const NoDescriptors none;
  connect_clients();
  ASSERT_TRUE(run_until([&] { return !errors.empty(); }));
  const Instant began = reactor().now();
  peer().destroy();
  ASSERT_TRUE(run_until([&] { return accepted == kClients; }));
  EXPECT_LT(reactor().now() - began, weir::limits::kAcceptBackoff);
  EXPECT_EQ(errors.size(), 1U) << "all of it is one burst";
}

// Promise 2: serving again within 3 s, twenty times in a row. What is refused soon after belongs to
// the burst before, and is not told once more.
TEST_P(DescriptorsTest, InAndOutOfTheLimitTwentyTimes) {
  join();
  server_->on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  int errors = 0;
  server_->on_server_error([&](Server&, const Error&) { ++errors; });
  Duration longest{};
  for (int round = 1; round <= 20; ++round) {
    make_clients(2);
    {
      const NoDescriptors none;
      connect_clients();
      if (round == 1) {
        ASSERT_TRUE(run_until([&] { return errors == 1; }));
      } else {
        run_for(10ms);
      }
      EXPECT_EQ(server_->connections(), 1U);
    }
    const Instant begin = reactor().now();
    ASSERT_TRUE(run_until([&] { return server_->connections() == 3; })) << "round " << round;
    longest = std::max(longest, reactor().now() - begin);
    client().write("on");
    ASSERT_TRUE(run_until([&] { return client_record_.bytes == "on"; }));
    client_record_.bytes.clear();
    for (const int fd : std::exchange(waiting_, {})) close(fd);
    ASSERT_TRUE(run_until([&] { return server_->connections() == 1; }));
  }
  EXPECT_LE(errors, 20) << "at most once each time";
  EXPECT_LT(longest, 3s);
  RecordProperty("longest_ms", static_cast<int>(longest / 1ms));
}

TEST_P(DescriptorsTest, NobodyWaitingMeansNoError) {
  listen();
  std::vector<Error> errors;
  server_->on_server_error([&](Server&, const Error& error) { errors.push_back(error); });
  {
    const NoDescriptors none;
    run_for(250ms);
  }
  EXPECT_TRUE(errors.empty());
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr; }));
}

TEST_P(DescriptorsTest, CloseWhileRestingWorks) {
  listen();
  bool failed = false;
  bool closed = false;
  server_->on_server_error([&](Server&, const Error&) { failed = true; });
  server_->on_server_close([&](Server&) { closed = true; });
  make_clients(1);
  const NoDescriptors none;
  connect_clients();
  ASSERT_TRUE(run_until([&] { return failed; }));
  run_for(150ms);
  ASSERT_TRUE(server_->close().has_value());
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_TRUE(run_returns());
}

TEST_P(DescriptorsTest, ConnectWithoutDescriptorsIsAnErrorThatComesLater) {
  listen();
  // An address: what a lookup without descriptors says, depends on nsswitch.conf(5).
  to_.host = "127.0.0.1";
  {
    const NoDescriptors none;
    const auto started = client().connect(to_);
    ASSERT_TRUE(started.has_value()) << "what the kernel says is not a mistake of the caller";
    EXPECT_EQ(client_record_.order(), "");
    ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
    EXPECT_EQ(client_record_.order(), "error close");
    EXPECT_EQ(client_record_.error(), "EMFILE");
  }
  client_record_ = {};
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready"); }));
}

WEIR_ON_KERNEL_BACKENDS(DescriptorsTest);

// The budget of queued bytes --------------------------------------------------------------------

class BudgetTest : public PairTest {
 protected:
  static constexpr std::size_t kBudget = 32 << 20;
  static constexpr std::size_t kMore = 20 << 20;  // more than a kernel takes while nobody reads

  struct Writer {
    std::unique_ptr<Socket> socket;
    Record seen;
  };

  void begin(int writers) {
    listen({.client_reads = false, .peer_reads = false});
    server_->on_connection([this](Socket& socket) { readers_.push_back(socket.weak()); });
    net::set_queue_budget(reactor(), kBudget);
    SocketOptions options;
    options.queue = {.high_water = 1 << 30, .low_water = 0, .bytes_max = 1 << 30};
    for (int i = 0; i < writers; ++i) {
      writers_.push_back(std::make_unique<Writer>());
      Writer& writer = *writers_.back();
      writer.socket = std::make_unique<Socket>(reactor(), options);
      record(*writer.socket, writer.seen);
      record_data(*writer.socket, writer.seen);
      ASSERT_TRUE(writer.socket->connect(to_).has_value());
      ASSERT_TRUE(run_until([&] { return writer.seen.has("ready"); }));
    }
    const auto count = static_cast<std::size_t>(writers);
    ASSERT_TRUE(run_until([&] { return readers_.size() == count; }));
  }

  Write write(int which, std::size_t size) {
    return writer(which).write(Buffer::take(std::string(size, 'x')));
  }
  Socket& writer(int which) { return *writers_[static_cast<std::size_t>(which)]->socket; }
  Record& seen(int which) { return writers_[static_cast<std::size_t>(which)]->seen; }

  void TearDown() override {
    writers_.clear();
    PairTest::TearDown();
  }

  std::vector<std::unique_ptr<Writer>> writers_;
  std::vector<net::SocketRef> readers_;
};

TEST_P(BudgetTest, BeyondItEveryWriteSaysFullAndOneDrainFollows) {
  begin(2);
  EXPECT_EQ(write(0, 30 << 20), Write::ok);
  EXPECT_EQ(write(1, 1000), Write::ok);
  EXPECT_EQ(write(1, 4 << 20), Write::full);
  EXPECT_EQ(write(1, 1), Write::full);
  for (const net::SocketRef& reader : readers_) {
    if (reader.get() != nullptr) reader.get()->on_data([](Socket&, Buffer) {});
  }
  ASSERT_TRUE(
      run_until([&] { return reactor().counters().queue_bytes == 0 && seen(1).has("drain"); }));
  run_for(2ms);
  EXPECT_EQ(seen(1).count("drain"), 1);
  EXPECT_EQ(seen(0).closes + seen(1).closes, 0) << "a budget never refuses";
  EXPECT_EQ(write(1, 1000), Write::ok) << "there is room again";
}

TEST_P(BudgetTest, TheLargestHolderIsNotReadMeanwhile) {
  begin(2);
  EXPECT_EQ(write(0, 50 << 20), Write::full);
  run_for(5ms);
  ASSERT_GT(reactor().counters().queue_bytes, kBudget);
  readers_[0].get()->write("to the largest");
  readers_[1].get()->write("to the other");
  ASSERT_TRUE(run_until([&] { return seen(1).bytes == "to the other"; }));
  run_for(10ms);
  EXPECT_EQ(seen(0).bytes, "");
  readers_[0].get()->on_data([](Socket&, Buffer) {});
  ASSERT_TRUE(run_until([&] { return seen(0).bytes == "to the largest"; }));
  EXPECT_EQ(seen(0).closes, 0);
}

TEST_P(BudgetTest, BeyondTwiceTheLargestHolderIsClosed) {
  begin(3);
  write(1, kMore);
  write(0, 80 << 20);
  write(2, kMore);
  ASSERT_TRUE(run_until([&] { return seen(0).closes != 0; }));
  EXPECT_EQ(seen(0).error(), "ENOBUFS");
  EXPECT_EQ(seen(0).closed_with, errno_code(ENOBUFS));
  run_for(5ms);
  EXPECT_EQ(seen(1).closes + seen(2).closes, 0) << "one was enough";
  EXPECT_LT(reactor().counters().queue_bytes, 2 * kBudget);
}

WEIR_ON_ALL_BACKENDS(BudgetTest);

// Memory ----------------------------------------------------------------------------------------

thread_local long allocations_left = 0;  // then one is refused, or all
thread_local bool refuse_all_after = false;
thread_local bool refused_any = false;

bool gate(std::size_t) noexcept {
  if (--allocations_left > 0) return true;
  if (allocations_left < 0 && !refuse_all_after) return true;
  refused_any = true;
  return false;
}

class MemoryTest : public BackendTest {
 protected:
  void TearDown() override { memory::set_gate(nullptr); }

  // What must be true however the script went.
  struct Outcome {
    bool over = false;
    bool connected = false;
    int client_closes = 0;
    std::error_code client_code;
    std::string received;
    std::size_t sockets = 0;
    std::size_t queue_bytes = 0;
    std::size_t connections = 0;
  };

  static bool run_until(Reactor& reactor, const std::function<bool()>& done) {
    const Instant end = reactor.now() + kPatience;
    while (!done()) {
      if (reactor.now() >= end) return false;
      reactor.run_once(end);
    }
    return true;
  }

  // Connects, sends, is echoed, ends; the nth allocation is refused on the way.
  static Outcome play(long nth, bool all_after) {
    Outcome outcome;
    const auto owned = std::make_unique<Reactor>(make_backend());
    Reactor& reactor = *owned;
    reactor.on_unhandled_error([](const Error&) {});
    Server server(reactor);
    server.on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
    server.on_server_error([](Server&, const Error&) {});
    const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
    EXPECT_TRUE(bound.has_value());
    Socket client(reactor);
    const std::string message = std::string(3000, 'm');
    client.on_connect([&](Socket& socket) {
      outcome.connected = true;
      for (int i = 0; i < 40; ++i) socket.write(message);
    });
    client.on_data([&](Socket& socket, Buffer bytes) {
      outcome.received += bytes.view();
      if (outcome.received.size() == message.size() * 40) socket.end();
    });
    client.on_close([&](Socket&, std::error_code code) {
      ++outcome.client_closes;
      outcome.client_code = code;
    });
    allocations_left = nth;
    refuse_all_after = all_after;
    refused_any = false;
    memory::set_gate(gate);
    const bool started = client.connect({.port = bound->port()}).has_value();
    outcome.over = run_until(reactor, [&] {
      return (!started || outcome.client_closes != 0) && server.connections() == 0 &&
             reactor.counters().sockets == 0;
    });
    memory::set_gate(nullptr);
    outcome.sockets = reactor.counters().sockets;
    outcome.queue_bytes = reactor.counters().queue_bytes;
    outcome.connections = server.connections();
    if (!started) outcome.client_closes = 1;
    return outcome;
  }

  static void check(const Outcome& outcome) {
    EXPECT_TRUE(outcome.over) << "received " << outcome.received.size() << ", client closes "
                              << outcome.client_closes << ", connections " << outcome.connections
                              << ", sockets " << outcome.sockets;
    EXPECT_EQ(outcome.client_closes, 1);
    EXPECT_EQ(outcome.sockets, 0U);
    EXPECT_EQ(outcome.queue_bytes, 0U);
    EXPECT_EQ(outcome.connections, 0U);
    EXPECT_EQ(outcome.received, std::string(outcome.received.size(), 'm'));
  }
};

TEST_P(MemoryTest, OneRefusedAllocationClosesAtMostItsConnection) {
  bool refused_ever = false;
  for (long nth = 1; nth <= 200; ++nth) {
    SCOPED_TRACE("allocation " + std::to_string(nth));
    const Outcome outcome = play(nth, false);
    check(outcome);
    if (HasFailure()) return;
    refused_ever = refused_ever || refused_any;
    if (!refused_any) {
      // The script needs no more than that.
      EXPECT_EQ(outcome.received.size(), 120'000U);
      EXPECT_FALSE(outcome.client_code) << outcome.client_code.message();
      break;
    }
    if (outcome.received.size() != 120'000U && outcome.connected) {
      EXPECT_TRUE(outcome.client_code == errno_code(ENOMEM) || is_reset(outcome.client_code) ||
                  !outcome.client_code)
          << outcome.client_code.message();
    }
  }
  EXPECT_TRUE(refused_ever) << "nothing in this script asks for memory";
}

TEST_P(MemoryTest, ClosingNeedsNoMemory) {
  for (long nth = 1; nth <= 200; ++nth) {
    SCOPED_TRACE("from allocation " + std::to_string(nth) + " on");
    check(play(nth, true));
    if (HasFailure() || !refused_any) break;
  }
}

TEST_P(MemoryTest, AServerAcceptsAgainWhenThereIsMemory) {
  const auto owned = std::make_unique<Reactor>(make_backend());
  Reactor& reactor = *owned;
  reactor.on_unhandled_error([](const Error&) {});
  Server server(reactor);
  int accepted = 0;
  server.on_connection([&](Socket&) { ++accepted; });
  server.on_server_error([](Server&, const Error&) {});
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  reactor.run_once(Duration::zero());
  Socket client(reactor);
  int closes = 0;
  client.on_close([&](Socket&, std::error_code) { ++closes; });
  ASSERT_TRUE(client.connect({.port = bound->port()}).has_value());
  allocations_left = 1;
  refuse_all_after = true;
  memory::set_gate(gate);
  // Either side may be the one that finds none.
  const bool ended = run_until(reactor, [&] { return closes != 0 || accepted != 0; });
  memory::set_gate(nullptr);
  ASSERT_TRUE(ended);
  client.destroy();
  ASSERT_TRUE(run_until(reactor, [&] { return closes == 1 && server.connections() == 0; }));
  const int before = accepted;
  ASSERT_TRUE(client.connect({.port = bound->port()}).has_value());
  ASSERT_TRUE(run_until(reactor, [&] { return accepted > before; }));
}

// A timer that cannot be armed says so, and a drain whose patience could never run out has none.
TEST_P(MemoryTest, ADrainWithoutMemoryForItsTimerEndsAtOnce) {
  const auto owned = std::make_unique<Reactor>(make_backend());
  Reactor& reactor = *owned;
  std::vector<std::error_code> unhandled;
  reactor.on_unhandled_error([&](const Error& error) { unhandled.push_back(error.code); });
  Server server(reactor);
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  Socket client(reactor, net::SocketOptions{.allow_half_open = true});
  int closes = 0;
  client.on_close([&](Socket&, std::error_code) { ++closes; });
  ASSERT_TRUE(client.connect({.port = bound->port()}).has_value());
  ASSERT_TRUE(run_until(reactor, [&] { return server.connections() == 1; }));
  allocations_left = 1;
  refuse_all_after = true;
  memory::set_gate(gate);
  std::deque<Timer> all;
  while (all.empty() || (all.back().armed() && all.size() < 100'000)) {
    all.push_back(reactor.after(std::chrono::hours(1), [] {}));
  }
  EXPECT_FALSE(all.back().armed());
  server.drain(std::chrono::hours(1));
  memory::set_gate(nullptr);
  EXPECT_TRUE(run_until(reactor, [&] { return server.connections() == 0; }));
  EXPECT_EQ(unhandled, std::vector(2, errno_code(ENOMEM)));
  client.destroy();
  ASSERT_TRUE(run_until(reactor, [&] { return closes == 1; }));
}

TEST_P(MemoryTest, AWriteWithoutMemoryClosesWithENOMEM) {
  const auto owned = std::make_unique<Reactor>(make_backend());
  Reactor& reactor = *owned;
  reactor.on_unhandled_error([](const Error&) {});
  Server server(reactor);
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  Socket client(reactor);
  Record seen;
  record(client, seen);
  ASSERT_TRUE(client.connect({.port = bound->port()}).has_value());
  ASSERT_TRUE(run_until(reactor, [&] { return seen.has("ready"); }));
  allocations_left = 1;
  refuse_all_after = true;
  memory::set_gate(gate);
  const Write result = client.write(std::string(50'000, 'x'));
  memory::set_gate(nullptr);
  EXPECT_NE(result, Write::ok);
  EXPECT_NE(result, Write::full);
  EXPECT_EQ(client.bytes_written(), 0U);
  ASSERT_TRUE(run_until(reactor, [&] { return seen.closes != 0; }));
  EXPECT_EQ(seen.error(), "ENOMEM");
  EXPECT_EQ(seen.closed_with, errno_code(ENOMEM));
  ASSERT_TRUE(run_until(reactor, [&] { return reactor.counters().sockets == 0; }));
  EXPECT_EQ(reactor.counters().queue_bytes, 0U);
}

WEIR_ON_ALL_BACKENDS(MemoryTest);

}  // namespace
}  // namespace weir::test
