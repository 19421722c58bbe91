// The idle timeout: exact times on the simulator's clock, and that kernels agree.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <optional>

#include "tests/pair.h"
#include "tests/rules.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// RFC 5737: the simulator never answers there.
constexpr const char* kSilent = "192.0.2.1";

// Answers when the test says so.
class SlowResolver final : public net::Resolver {
 public:
  void resolve(std::string_view, Family, net::ResolveReply reply) override {
    reply_.emplace(std::move(reply));
  }
  void answer(const char* address) {
    reply_->found({Address::parse_ip(address, 0)->ip()});
    reply_.reset();
  }
  void drop() { reply_.reset(); }

 private:
  std::optional<net::ResolveReply> reply_;
};

class IdleTest : public PairTest {
 protected:
  using Times = std::vector<long>;

  void TearDown() override {
    control_.reset();
    PairTest::TearDown();
  }

  // From now on the milliseconds at which `socket` has a 'timeout' go to `times_`.
  void time(Socket& socket) {
    begin_ = reactor().now();
    socket.on_timeout([this](Socket&) { times_.push_back(elapsed()); });
  }
  long elapsed() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(reactor().now() - begin_).count();
  }
  void run_to(long milliseconds) {
    run_for(begin_ + std::chrono::milliseconds(milliseconds) - reactor().now());
  }
  // A connection whose client has a timeout of 50 ms and an empty queue.
  void join_with_timeout(const PairOptions& options = {}) {
    join(options);
    time(client());
    ASSERT_TRUE(client().set_timeout(50ms).has_value());
  }
  // The receive window of a peer that does not read, and no byte more.
  void fill_the_window() {
    client().write(std::string(SimOptions{}.window_bytes, 'w'));
    ASSERT_TRUE(run_until([&] { return client().writable_length() == 0; }));
  }

  // Of a socket that idles beside the client: what the client's 'timeout' is compared with where
  // time is real. Timers go off in the order of their times, however late the machine is.
  void make_control() {
    control_ = std::make_unique<Socket>(reactor());
    control_->on_timeout([this](Socket&) { order_ += "control "; });
  }
  void note_order(Socket& socket) {
    socket.on_timeout([this](Socket&) { order_ += "timeout "; });
  }
  bool run_until_control() {
    return run_until([&] { return order_.find("control") != std::string::npos; });
  }

  // Whether `act`, some time into the client's timeout, starts it again; `seen` says that its
  // effect is there. A machine that was too slow to tell is asked again, each time after `prepare`.
  bool restarts(const std::function<void()>& act, const std::function<bool()>& seen,
                const std::function<void()>& prepare = [] {}) {
    for (int attempt = 0; attempt < 20; ++attempt) {
      prepare();
      times_.clear();
      EXPECT_TRUE(client().set_timeout(30ms).has_value());
      run_for(10ms);
      if (!times_.empty()) continue;
      begin_ = reactor().now();
      act();
      EXPECT_TRUE(run_until([&] { return seen() || !times_.empty(); }));
      if (!times_.empty()) continue;
      EXPECT_TRUE(run_until([&] { return !times_.empty(); }));
      return times_[0] >= 30;
    }
    ADD_FAILURE() << "the machine is too slow";
    return false;
  }

  Instant begin_;
  Times times_;
  std::string order_;
  std::unique_ptr<Socket> control_;
};

// ---- On every backend, in real time ----

TEST_P(IdleTest, ItIsANoticeThatComesAfterTheTimeAndNeverEarly) {
  RULES("0.4.1 2.6.1.1 2.6.1.5 2.6.1.7 2.6.2.1 2.6.5.2");
  NODE_TEST("socket-timeout timeout");
  join();
  int called = 0;
  time(client());
  ASSERT_TRUE(client().set_timeout(20ms, [&](Socket& socket) {
    EXPECT_EQ(&socket, &client());
    ++called;
  }));
  EXPECT_EQ(client().timeout(), 20ms);
  ASSERT_TRUE(run_until([&] { return !times_.empty(); }));
  EXPECT_GE(times_[0], 20);
  EXPECT_EQ(called, 1);
  EXPECT_EQ(client().ready_state(), net::ReadyState::open);
  client().write("still open");
  ASSERT_TRUE(run_until([&] { return times_.size() == 2; }));
  EXPECT_EQ(peer_record_.bytes, "still open");
  EXPECT_GE(times_[1], 40);
  EXPECT_EQ(called, 1) << "the callback is for once";
  client().end();
  expect_all_gone();
  EXPECT_FALSE(client_record_.closed_with);
}

TEST_P(IdleTest, WritingInsideTimeoutArmsItAgain) {
  RULES("2.6.2.1 2.6.5.2");
  NODE_TEST("can-reset-timeout");
  listen();
  client().on_data([](Socket& socket, Buffer) { socket.end(); });
  server_->on_connection([](Socket& socket) { static_cast<void>(socket.set_timeout(10ms)); });
  server_->on_timeout([](Socket& socket) { socket.write("WHAT."); }, net::Times::once);
  ASSERT_TRUE(client().connect(to_).has_value());
  expect_all_gone();
  EXPECT_EQ(client_record_.bytes, "WHAT.");
  EXPECT_EQ(peer_record_.count("timeout"), 1);
}

TEST_P(IdleTest, TheTimerDoesNotKeepRunGoing) {
  RULES("2.6.1.6");
  NODE_TEST("socket-timeout-unref");
  listen();
  server_->unref();
  server_->on_connection([](Socket& socket) {
    static_cast<void>(socket.set_timeout(2h));
    socket.unref();
  });
  client().unref();
  ASSERT_TRUE(client().set_timeout(1h).has_value());
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
  const Instant begin = reactor().now();
  EXPECT_TRUE(run_returns());
  EXPECT_LT(reactor().now() - begin, 10s);
  Socket idle(reactor());
  ASSERT_TRUE(idle.set_timeout(1h).has_value());
  EXPECT_TRUE(run_returns());
  EXPECT_FALSE(client_record_.has("timeout") || peer_record_.has("timeout"));
}

TEST_P(IdleTest, WhatIsOffStaysSilent) {
  RULES("2.6.1.2 2.6.1.3 2.6.1.4");
  join();
  make_control();
  note_order(client());
  server_->on_timeout([this](Socket&) { order_ += "peer "; });
  int called = 0;
  ASSERT_TRUE(client().set_timeout(2ms, [&](Socket&) { ++called; }).has_value());
  ASSERT_TRUE(client().set_timeout(0ms).has_value());
  EXPECT_EQ(peer().timeout(), 0ms);
  ASSERT_TRUE(control_->set_timeout(10ms).has_value());
  ASSERT_TRUE(run_until_control());
  EXPECT_EQ(order_, "control ");
  ASSERT_TRUE(client().set_timeout(2ms).has_value());
  ASSERT_TRUE(run_until([&] { return order_ == "control timeout "; }));
  EXPECT_EQ(called, 0);
}

TEST_P(IdleTest, ItIsSilentAfterItHasFired) {
  RULES("2.6.5.1");
  join();
  make_control();
  note_order(client());
  ASSERT_TRUE(client().set_timeout(3ms).has_value());
  ASSERT_TRUE(control_->set_timeout(20ms).has_value());
  ASSERT_TRUE(run_until_control());
  EXPECT_EQ(order_, "timeout control ");
}

TEST_P(IdleTest, DestroyClearsIt) {
  RULES("2.6.6.2 2.6.6.3");
  join();
  make_control();
  note_order(client());
  ASSERT_TRUE(client().set_timeout(2ms).has_value());
  client().destroy();
  EXPECT_TRUE(client().set_timeout(1ms).has_value());
  ASSERT_TRUE(run_until_closed());
  EXPECT_TRUE(client().set_timeout(1ms).has_value());
  ASSERT_TRUE(control_->set_timeout(10ms).has_value());
  ASSERT_TRUE(run_until_control());
  EXPECT_EQ(order_, "control ");
}

TEST_P(IdleTest, ActivityRestartsIt) {
  RULES("2.6.3.1 2.6.3.2 2.6.3.4 2.6.3.7");
  join();
  time(client());
  const auto peer_writes = [&] { peer().write("x"); };
  EXPECT_TRUE(restarts(peer_writes,
                       [&, had = client().bytes_read()] { return client().bytes_read() != had; }));
  const auto client_writes = [&] { client().write("x"); };
  EXPECT_TRUE(restarts(client_writes, [&] { return !peer_record_.bytes.empty(); }));
  const auto set = [&] { static_cast<void>(client().set_timeout(30ms)); };
  EXPECT_TRUE(restarts(set, [] { return true; }));
}

TEST_P(IdleTest, ConnectingRestartsIt) {
  RULES("2.6.3.5 2.6.3.6 2.6.3.8");
  for (const char* host : {"localhost", "127.0.0.1"}) {
    const auto prepare = [&] {
      listen();
      client_record_ = {};
      time(client());
      to_.host = host;
    };
    const auto dial = [&] { ASSERT_TRUE(client().connect(to_).has_value()); };
    EXPECT_TRUE(restarts(dial, [&] { return client_record_.has("ready"); }, prepare)) << host;
  }
}

TEST_P(IdleTest, WhatIsNoActivityDoesNotRestartIt) {
  RULES("2.6.3.3 2.6.3.9 2.6.3.11");
  join({.peer_reads = false});
  make_control();
  client().write(std::string(16 << 20, 's'));
  note_order(client());
  // The kernel takes what it can, and then no more.
  ASSERT_TRUE(client().set_timeout(10ms).has_value());
  ASSERT_TRUE(run_until([&] { return order_ == "timeout "; }));
  order_.clear();
  ASSERT_TRUE(client().set_timeout(20ms).has_value());
  ASSERT_TRUE(control_->set_timeout(21ms).has_value());
  bool done = false;
  const Timer later = reactor().after(10ms, [&] {
    client().pause();
    client().resume();
    client().set_encoding(net::Encoding::utf8);
    client().off(client().on_end([](Socket&) {}));
    client().write("queued behind");
    done = true;
  });
  ASSERT_TRUE(run_until([&] { return order_.size() > 10; }));
  EXPECT_EQ(order_, "timeout control ");
  EXPECT_TRUE(done);
}

TEST_P(IdleTest, AWriteThatHasMadeProgressSinceTheLastLookStartsItAgain) {
  RULES("2.6.4.1");
  NODE_TEST("keep-alive-large-write");
  join({.peer_reads = false});
  // More than the kernel's buffers take even when they have grown while the peer reads.
  client().write(std::string(64 << 20, 'l'));
  time(client());
  ASSERT_TRUE(client().set_timeout(30ms).has_value());
  ASSERT_TRUE(run_until([&] { return !times_.empty(); }));
  times_.clear();
  begin_ = reactor().now();
  const std::size_t queued = client().writable_length();
  ASSERT_GT(queued, 0U);
  peer().resume();
  ASSERT_TRUE(run_until([&] { return client().writable_length() < queued; }));
  peer().pause();
  ASSERT_GT(client().writable_length(), 0U);
  ASSERT_TRUE(run_until([&] { return !times_.empty(); }));
  EXPECT_GT(client().writable_length(), 0U);
  EXPECT_GE(times_[0], 60) << "30 of them are for the activity";
}

WEIR_ON_ALL_BACKENDS(IdleTest);

// ---- Probes are the kernel's, and take a second at least ----

class ProbeTest : public PairTest {};

TEST_P(ProbeTest, KeepAliveProbesAreNoActivity) {
  RULES("2.6.3.10");
  join();
  Socket control(reactor());
  ASSERT_TRUE(control.set_timeout(1400ms).has_value());
  std::string order;
  client().on_timeout([&](Socket&) { order += "client "; });
  control.on_timeout([&](Socket&) { order += "control "; });
  ASSERT_TRUE(control.connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return server_->connections() == 2 && !control.pending(); }));
  client().set_keep_alive(true, 1s);
  ASSERT_TRUE(client().set_timeout(1300ms).has_value());
  ASSERT_TRUE(control.set_timeout(1600ms).has_value());
  std::uint32_t last_answer = 0;
  client().on_timeout([&](Socket& socket) {
    tcp_info info{};
    socklen_t size = sizeof info;
    getsockopt(socket.native_handle(), IPPROTO_TCP, TCP_INFO, &info, &size);
    last_answer = info.tcpi_last_ack_recv;
  });
  ASSERT_TRUE(run_until([&] { return order.size() > 10; }));
  EXPECT_EQ(order, "client control ") << "a probe would have delayed it to 2300 ms";
  EXPECT_LT(last_answer, 1200U) << "no probe was answered: this has shown nothing";
}

// A listener whose backlog is full does not answer.
class PendingTest : public IdleTest {};

TEST_P(PendingTest, ItFiresWhileConnecting) {
  RULES("2.6.6.1 2.6.2.1");
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&at), size), 0);
  ASSERT_EQ(::listen(fd, 0), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  const net::ConnectOptions to{.host = "127.0.0.1", .port = ntohs(at.sin_port)};
  Socket first(reactor());
  ASSERT_TRUE(first.connect(to).has_value());
  ASSERT_TRUE(run_until([&] { return !first.pending(); }));
  Socket second(reactor());
  Record seen;
  record(second, seen);
  ASSERT_TRUE(second.set_timeout(20ms).has_value());
  ASSERT_TRUE(second.connect(to).has_value());
  ASSERT_TRUE(run_until([&] { return seen.has("timeout"); }));
  EXPECT_TRUE(second.connecting()) << "only a notice";
  second.destroy();
  ASSERT_TRUE(run_until([&] { return seen.closes == 1; }));
  EXPECT_EQ(seen.order(), "timeout close");
  ::close(fd);
}

WEIR_ON_KERNEL_BACKENDS(PendingTest);

INSTANTIATE_TEST_SUITE_P(Backends, ProbeTest,
                         testing::Values(kernel_backends()[0], kernel_backends()[1]), case_name);

// ---- Exact times ----

class VirtualIdleTest : public IdleTest {
 protected:
  SimBackend& network() { return static_cast<SimBackend&>(reactor().backend()); }

  // A socket with a timeout of 50 ms that has started to connect; `times_` count from now.
  Socket& dial(const net::ConnectOptions& to) {
    client_ = std::make_unique<Socket>(reactor());
    record(client(), client_record_);
    time(client());
    EXPECT_TRUE(client().set_timeout(50ms).has_value());
    EXPECT_TRUE(client().connect(to).has_value());
    return client();
  }

  // A write that is too large for the window of a peer that does not read; a timeout of 50 ms.
  void join_and_get_stuck() {
    join({.peer_reads = false});
    time(client());
    ASSERT_TRUE(client().set_timeout(50ms).has_value());
    client().write(std::string(4 << 20, 'l'));
  }
  // Reads from the kernel's side, so that exactly this leaves the window.
  void peer_takes(std::size_t bytes) {
    std::vector<char> room(bytes);
    EXPECT_EQ(network().read(peer().native_handle(), room), std::ssize(room));
  }
};

TEST_P(VirtualIdleTest, ThereIsNoneByDefault) {
  RULES("2.6.1.4 2.6.1.7");
  join();
  EXPECT_EQ(client().timeout(), 0ms);
  EXPECT_EQ(peer().timeout(), 0ms);
  run_for(10000h);
  EXPECT_FALSE(client_record_.has("timeout") || peer_record_.has("timeout"));
  EXPECT_EQ(server_->connections(), 1U);
}

TEST_P(VirtualIdleTest, ItFiresAtTheMillisecondAndNotAgainByItself) {
  RULES("2.6.1.1 2.6.5.1 2.6.5.2");
  join_with_timeout();
  run_to(180);
  EXPECT_EQ(times_, Times({50}));
  client().write("activity");
  run_to(100000);
  EXPECT_EQ(times_, Times({50, 230}));
  peer().write("theirs");
  run_to(200000);
  EXPECT_EQ(times_, Times({50, 230, 100050}));
}

TEST_P(VirtualIdleTest, ZeroTurnsItOffAndForgetsTheCallback) {
  RULES("2.6.1.2 2.6.1.3 2.6.1.7");
  NODE_TEST("socket-timeout");
  join();
  time(client());
  int called = 0;
  ASSERT_TRUE(client().set_timeout(50ms, [&](Socket&) { ++called; }).has_value());
  run_to(30);
  ASSERT_TRUE(client().set_timeout(0ms).has_value());
  EXPECT_EQ(client().timeout(), 0ms);
  client().write("activity does not arm what is off");
  run_to(10000);
  EXPECT_EQ(times_, Times());
  ASSERT_TRUE(client().set_timeout(50ms).has_value());
  run_to(20000);
  EXPECT_EQ(times_, Times({10050})) << "a listener of on_timeout() stays";
  EXPECT_EQ(called, 0);
}

TEST_P(VirtualIdleTest, ACallbackRunsOnce) {
  RULES("2.6.1.5");
  join();
  time(client());
  std::string calls;
  ASSERT_TRUE(client().set_timeout(50ms, [&](Socket&) { calls += 'a'; }).has_value());
  ASSERT_TRUE(client().set_timeout(60ms, [&](Socket&) { calls += 'b'; }).has_value());
  EXPECT_EQ(client().timeout(), 60ms);
  run_to(100);
  client().write("activity");
  run_to(1000);
  EXPECT_EQ(times_, Times({60, 160}));
  EXPECT_EQ(calls, "ab") << "both, in the order of registration, for one 'timeout'";
}

TEST_P(VirtualIdleTest, ANegativeTimeIsRefusedAndChangesNothing) {
  RULES("2.6.1.7");
  NODE_TEST("socket-timeout");
  join_with_timeout();
  run_to(20);
  const auto refused = client().set_timeout(-1ms, [](Socket&) { FAIL(); });
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, Mistake::out_of_range);
  EXPECT_EQ(client().timeout(), 50ms);
  run_to(200);
  EXPECT_EQ(times_, Times({50}));
}

TEST_P(VirtualIdleTest, BytesReadRestartIt) {
  RULES("2.6.3.1");
  NODE_TEST("timeout");
  join_with_timeout();
  for (const long at : {30, 60, 105}) {
    run_to(at);
    peer().write("x");
  }
  run_to(1000);
  EXPECT_EQ(times_, Times({155}));
  EXPECT_EQ(client_record_.bytes, "xxx");
}

TEST_P(VirtualIdleTest, AWriteThatTheKernelTakesRestartsIt) {
  RULES("2.6.3.2 2.6.3.4");
  NODE_TEST("timeout2");
  join_with_timeout();
  for (const long at : {40, 80, 120}) {
    run_to(at);
    client().write("x");
  }
  run_to(1000);
  EXPECT_EQ(times_, Times({170}));
}

TEST_P(VirtualIdleTest, TheStartOfAWriteRestartsItAndQueueingBehindItDoesNot) {
  RULES("2.6.3.2 2.6.3.3");
  join({.peer_reads = false});
  fill_the_window();
  time(client());
  ASSERT_TRUE(client().set_timeout(50ms).has_value());
  run_to(30);
  client().write("begun, and stuck");
  run_to(60);
  EXPECT_EQ(client().writable_length(), 16U);
  client().write("queued behind");
  run_to(1000);
  EXPECT_EQ(times_, Times({80}));
}

TEST_P(VirtualIdleTest, TheCompletionOfAWriteRestartsIt) {
  RULES("2.6.3.4 2.6.5.2");
  join({.peer_reads = false});
  fill_the_window();
  client().write("stuck");
  run_for(1ms);
  time(client());
  ASSERT_TRUE(client().set_timeout(50ms).has_value());
  run_to(30);
  peer().resume();
  run_to(1000);
  EXPECT_EQ(client().writable_length(), 0U);
  EXPECT_EQ(times_, Times({80}));
}

TEST_P(VirtualIdleTest, AtExpiryAWriteThatHasMadeProgressSinceTheLastLookStartsItAgain) {
  RULES("2.6.4.1");
  join_and_get_stuck();
  run_to(100);
  peer_takes(64 << 10);
  run_to(10000);
  // Activity at 100 lets it expire at 150, when the queue is shorter than at the look at 50.
  EXPECT_EQ(times_, Times({50, 200}));
}

TEST_P(VirtualIdleTest, AWriteThatMakesProgressKeepsItAway) {
  RULES("2.6.3.4 2.6.4.1");
  NODE_TEST("keep-alive-large-write");
  join_and_get_stuck();
  // The peer takes a little every 40 ms, for much longer than the timeout.
  for (long at = 80; at <= 800; at += 40) {
    run_to(at);
    peer_takes(64 << 10);
  }
  run_to(840);
  EXPECT_EQ(times_, Times({50}));
  EXPECT_GT(client().writable_length(), 0U) << "the write is still in progress";
  run_to(10000);
  EXPECT_EQ(times_, Times({50, 900})) << "expiry at 850, and then it has come to a halt";
}

TEST_P(VirtualIdleTest, AConnectionMadeRestartsIt) {
  RULES("2.6.3.5");
  // The backlog is full until somebody accepts.
  const auto at = Address::parse_ip("127.0.0.1", 9000);
  const auto fd = network().listen(*at, {.backlog = 1});
  ASSERT_TRUE(fd.has_value());
  std::vector<std::unique_ptr<Socket>> others;
  for (int i = 0; i < 4; ++i) {
    others.push_back(std::make_unique<Socket>(reactor()));
    ASSERT_TRUE(others.back()->connect({.host = "127.0.0.1", .port = 9000}).has_value());
  }
  run_for(1ms);
  dial({.host = "127.0.0.1", .port = 9000});
  run_to(30);
  ASSERT_TRUE(client().connecting());
  Server server(reactor());
  ASSERT_TRUE(server.listen({.fd = *fd}).has_value());
  run_to(1000);
  EXPECT_EQ(client_record_.order(), "connect ready timeout");
  EXPECT_EQ(times_, Times({80}));
}

TEST_P(VirtualIdleTest, ALookupDoneRestartsIt) {
  RULES("2.6.3.6 2.6.6.1");
  SlowResolver resolver;
  dial({.host = "slow.test", .port = 80, .resolver = &resolver});
  run_to(30);
  resolver.answer(kSilent);
  run_to(1000);
  EXPECT_EQ(times_, Times({80}));
  EXPECT_TRUE(client().connecting());
}

TEST_P(VirtualIdleTest, ItFiresDuringALookup) {
  RULES("2.6.6.1");
  SlowResolver resolver;
  dial({.host = "slow.test", .port = 80, .resolver = &resolver});
  run_to(1000);
  EXPECT_EQ(times_, Times({50}));
  EXPECT_TRUE(client().connecting()) << client_record_.error();
  client().destroy();
  run_to(2000);
  EXPECT_EQ(client_record_.order(), "timeout close");
  resolver.drop();
}

TEST_P(VirtualIdleTest, SetTimeoutRestartsIt) {
  RULES("2.6.3.7");
  join_with_timeout();
  run_to(40);
  ASSERT_TRUE(client().set_timeout(50ms).has_value());
  run_to(80);
  ASSERT_TRUE(client().set_timeout(20ms).has_value());
  run_to(90);
  ASSERT_TRUE(client().set_timeout(300ms).has_value());
  run_to(1000);
  EXPECT_EQ(times_, Times({390}));
}

TEST_P(VirtualIdleTest, ConnectRestartsItAndItRunsWhileConnecting) {
  RULES("2.6.3.8 2.6.6.1 2.6.2.1");
  Socket socket(reactor());
  Record seen;
  record(socket, seen);
  time(socket);
  ASSERT_TRUE(socket.set_timeout(50ms).has_value());
  run_to(30);
  ASSERT_TRUE(socket.connect({.host = kSilent, .port = 80}).has_value());
  run_to(1000);
  EXPECT_EQ(times_, Times({80}));
  EXPECT_TRUE(socket.connecting()) << "only a notice";
  EXPECT_EQ(seen.order(), "timeout");
}

TEST_P(VirtualIdleTest, ASocketThatNeverConnectsHasOneToo) {
  RULES("2.6.1.1");
  NODE_TEST("timeout-no-handle");
  Socket socket(reactor());
  Record seen;
  record(socket, seen);
  time(socket);
  ASSERT_TRUE(socket.set_timeout(50ms).has_value());
  run_to(1000);
  EXPECT_EQ(times_, Times({50}));
  EXPECT_EQ(socket.native_handle(), -1);
  EXPECT_EQ(seen.order(), "timeout");
}

TEST_P(VirtualIdleTest, ReadingModesOptionsAndListenersAreNoActivity) {
  RULES("2.6.3.9 2.6.3.11");
  join_with_timeout();
  const net::ListenerId extra = client().on_data([](Socket&, Buffer) {});
  const std::vector<std::function<void()>> calls = {
      [&] { client().pause(); },
      [&] { client().resume(); },
      [&] { client().set_encoding(net::Encoding::utf8); },
      [&] { client().off(extra); },
      [&] { client().on_data([](Socket&, Buffer) {}); },
      [&] { client().on_timeout([](Socket&) {}); },
      [&] { client().cork(); },
      [&] { client().write("queued, not begun"); },
  };
  for (std::size_t i = 0; i < calls.size(); ++i) {
    run_to(static_cast<long>(5 * i + 5));
    calls[i]();
  }
  run_to(1000);
  EXPECT_EQ(times_, Times({50}));
}

TEST_P(VirtualIdleTest, DestroyClearsItAndSetTimeoutDoesNothingThen) {
  RULES("2.6.6.2 2.6.6.3");
  join();
  time(client());
  bool called = false;
  ASSERT_TRUE(client().set_timeout(50ms, [&](Socket&) { called = true; }).has_value());
  run_to(49);
  client().destroy();
  EXPECT_TRUE(client().set_timeout(10ms, [&](Socket&) { called = true; }).has_value());
  run_to(1000);
  EXPECT_TRUE(client().set_timeout(20ms, [&](Socket&) { called = true; }).has_value());
  run_to(2000);
  EXPECT_EQ(times_, Times());
  EXPECT_FALSE(called);
  EXPECT_EQ(client_record_.order(), "connect ready close");
}

TEST_P(VirtualIdleTest, TheValueLastSetIsKnownAfterDestroyToo) {
  RULES("2.6.1.7 2.6.6.3");
  join_with_timeout();
  client().destroy();
  EXPECT_TRUE(client().set_timeout(10ms).has_value());
  EXPECT_EQ(client().timeout(), 50ms);
}

TEST_P(VirtualIdleTest, DestroyClearsItWhileConnecting) {
  RULES("2.6.6.2");
  dial({.host = kSilent, .port = 80});
  run_to(20);
  client().destroy();
  run_to(1000);
  EXPECT_EQ(times_, Times());
  EXPECT_EQ(client_record_.order(), "close");
}

WEIR_ON_SIM(VirtualIdleTest);

}  // namespace
}  // namespace weir::test
