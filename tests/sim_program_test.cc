// Programs on simulated hosts: several reactors on one, what starts them, and what ends them.
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tests/sim_fixture.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class SimProgramTest : public SimTest {
 protected:
  void TearDown() override { end_world(); }

  std::string notes_;  // of programs, which end with the world
};
class SimReactorsTest : public SimTest {};

// ---- Several reactors on one host ----

TEST_F(SimReactorsTest, AFurtherReactorIsNeverTheFirst) {
  Reactor& second = a().add_reactor({.posted_tasks_max = 2});
  EXPECT_NE(&second, &a().reactor());
}

TEST_F(SimReactorsTest, TwoReactorsOfAHostTalkOverLoopback) {
  Reactor& first = a().reactor();
  Reactor& second = a().add_reactor();
  EXPECT_NE(&second, &first);
  Service service(first, server_, at_);
  Caller caller(second, client_, {.host = "127.0.0.1", .port = kPort});
  caller.socket.write("over");
  ASSERT_TRUE(until([&] { return server_.bytes == "over"; }));
  EXPECT_EQ(world().now(), Instant{});
  EXPECT_EQ(a().open_fds(), 3U);
  EXPECT_EQ(caller.socket.local_address().host(), "127.0.0.1");
}

TEST_F(SimReactorsTest, APostRunsOnTheOtherReactorInOrder) {
  Reactor& first = a().reactor();
  Reactor& second = a().add_reactor();
  std::string order;
  ASSERT_TRUE(first.post([&] {
    order += "a";
    EXPECT_TRUE(second.post([&] { order += "b"; }));
    EXPECT_TRUE(second.post([&] {
      order += "c";
      EXPECT_TRUE(first.post([&] { order += "e"; }));
    }));
    EXPECT_TRUE(second.post([&] { order += "d"; }));
  }));
  world().run();
  EXPECT_EQ(order, "abcde");
  EXPECT_EQ(world().now(), Instant{});
}

TEST_F(SimReactorsTest, APostWakesAReactorBeforeItsTimer) {
  Reactor& second = a().add_reactor();
  std::int64_t ran = -1;
  const Timer far = second.after(1h, [] {});
  const Timer near = a().reactor().after(10ms, [&] {
    EXPECT_TRUE(second.post([&] { ran = ns(world().now() - Instant{}); }));
  });
  world().run();
  EXPECT_EQ(ran, ns(10ms));
}

TEST_F(SimReactorsTest, AReactorHasItsOwnOptions) {
  Reactor& second = a().add_reactor({.posted_tasks_max = 2});
  int ran = 0;
  EXPECT_TRUE(second.post([&] { ++ran; }));
  EXPECT_TRUE(second.post([&] { ++ran; }));
  EXPECT_FALSE(second.post([&] { ++ran; }));
  world().run();
  EXPECT_EQ(ran, 2);
}

TEST_F(SimReactorsTest, ListenersSharePortsWhenBothSaySo) {
  at_.reuse_port = true;
  Journal seen[2];
  for (Journal& journal : seen) journal.begin(world());
  std::optional<Service> first(std::in_place, a().reactor(), seen[0], at_);
  Service second(a().add_reactor(), seen[1], at_);
  std::deque<Caller> callers;
  const auto connect = [&](int count) {
    for (int i = 0; i < count; ++i) {
      callers.emplace_back(b().reactor(), client_,
                           net::ConnectOptions{.host = a().ipv4().host(), .port = kPort});
    }
  };
  connect(200);
  ASSERT_TRUE(until(
      [&] { return seen[0].count("connection") + seen[1].count("connection") == 200; }));
  EXPECT_GT(seen[0].count("connection"), 20);
  EXPECT_GT(seen[1].count("connection"), 20);
  const long before = seen[0].count("connection");
  first->server.close();
  world().run_for(1s);
  connect(50);
  ASSERT_TRUE(until([&] { return seen[1].count("connection") == 250 - before; }));
  EXPECT_EQ(client_.count("connect"), 250);
  first.reset();
}

TEST_F(SimReactorsTest, APortIsTakenOnceOnEachHost) {
  Server first(a().reactor());
  Server second(a().add_reactor());
  Server sharing(a().reactor());
  Server elsewhere(b().reactor());
  ASSERT_TRUE(first.listen({.port = kPort, .host = "0.0.0.0"}).has_value());
  const auto again = second.listen({.port = kPort, .host = "0.0.0.0"});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, errno_code(EADDRINUSE));
  const auto one_sided = sharing.listen({.port = kPort, .host = "0.0.0.0", .reuse_port = true});
  ASSERT_FALSE(one_sided.has_value());
  EXPECT_EQ(one_sided.error().code, errno_code(EADDRINUSE));
  EXPECT_TRUE(elsewhere.listen({.port = kPort, .host = "0.0.0.0"}).has_value());
}

TEST_F(SimReactorsTest, AWildcardAndOneOfItsAddressesAreTheSamePort) {
  for (const auto& [earlier, later] : {std::pair("0.0.0.0", "10.0.0.1"),
                                       std::pair("10.0.0.1", "0.0.0.0"),
                                       std::pair("127.0.0.1", "0.0.0.0"),
                                       std::pair("fd00::1", "::"), std::pair("10.0.0.1", "::")}) {
    SCOPED_TRACE(std::string(earlier) + " and then " + later);
    Server first(a().reactor());
    Server second(a().reactor());
    ASSERT_TRUE(first.listen({.port = kPort, .host = earlier}).has_value());
    const auto refused = second.listen({.port = kPort, .host = later});
    EXPECT_TRUE(!refused && refused.error().code == errno_code(EADDRINUSE));
    first.close();
    world().run_for(1ms);
  }
  Server first(b().reactor());
  Server second(b().reactor());
  Server third(b().reactor());
  EXPECT_TRUE(first.listen({.port = kPort, .host = "10.0.0.2"}).has_value());
  EXPECT_TRUE(second.listen({.port = kPort, .host = "127.0.0.1"}).has_value());
  EXPECT_TRUE(third.listen({.port = kPort, .host = "::1"}).has_value());
}

TEST_F(SimReactorsTest, AConnectionGoesFromOneReactorToAnother) {
  set_link({.latency = 5ms});
  Reactor& worker = a().add_reactor();
  ASSERT_TRUE(join());
  std::optional<Socket> heir;
  Journal seen;
  seen.begin(world());
  const auto adopt = [&](int fd) {
    heir.emplace(worker);
    seen.record(*heir, true);
    EXPECT_TRUE(heir->adopt(fd).has_value());
    heir->write("from the heir");
  };
  client().write("before ");
  ASSERT_TRUE(until([&] { return server_.bytes == "before "; }));
  const auto detaching = peer().detach([&](Socket&, Expected<net::Detached> detached) {
    ASSERT_TRUE(detached.has_value());
    for (const Buffer& bytes : detached->unread) server_.bytes += bytes.view();
    EXPECT_TRUE(worker.post([&adopt, fd = detached->fd] { adopt(fd); }));
  });
  ASSERT_TRUE(detaching.has_value());
  client().write("after");
  ASSERT_TRUE(until([&] { return client_.bytes == "from the heir"; }));
  ASSERT_TRUE(until([&] { return server_.bytes + seen.bytes == "before after"; }));
  client().end();
  ASSERT_TRUE(until([&] { return client_.has("close") && seen.has("close"); }));
  EXPECT_EQ(seen.order(), "end finish close");
  EXPECT_EQ(client_.order(), "finish end close");
  EXPECT_EQ(a().open_fds(), 1U);
}

// A descriptor is one of the host, not of a reactor: SCM_RIGHTS over a Unix socket.
TEST_F(SimReactorsTest, AConnectionIsPassedOverAUnixSocket) {
  Reactor& worker = a().add_reactor();
  ASSERT_TRUE(join());
  Server inbox(worker);
  std::optional<Socket> heir;
  inbox.on_connection(
      [](Socket& socket) { EXPECT_TRUE(socket.receive_descriptors().has_value()); });
  inbox.on_data([](Socket&, Buffer) {});
  inbox.on_descriptor([&](Socket&, int fd) {
    heir.emplace(worker);
    EXPECT_TRUE(heir->adopt(fd).has_value());
    heir->write("from the worker");
  });
  ASSERT_TRUE(inbox.listen({.path = "/run/inbox"}).has_value());
  Socket outbox(a().reactor());
  ASSERT_TRUE(outbox.connect({.path = "/run/inbox"}).has_value());
  ASSERT_TRUE(until([&] { return !outbox.connecting(); }));
  const auto detaching = peer().detach([&](Socket&, Expected<net::Detached> detached) {
    ASSERT_TRUE(detached.has_value());
    EXPECT_TRUE(outbox.send_descriptor(detached->fd, "x").has_value());
  });
  ASSERT_TRUE(detaching.has_value());
  ASSERT_TRUE(until([&] { return client_.bytes == "from the worker"; }));
  EXPECT_EQ(client_.order(), "");
}

// ---- Programs ----

struct Noting final : sim::Program {
  Noting(Reactor& its_reactor, std::string& its_notes) : reactor(its_reactor), notes(its_notes) {
    notes += "begin ";
    timer = reactor.after(1h, [this] { notes += "timer "; });
  }
  ~Noting() override {
    EXPECT_GE(reactor.now(), Instant{}) << "the reactor is still there";
    timer.cancel();
    notes += "end ";
  }
  Reactor& reactor;
  std::string& notes;
  Timer timer;
};

TEST_F(SimProgramTest, StartCallsMainAtOnceWithTheFirstReactor) {
  const Reactor* given = nullptr;
  a().start([&](Reactor& reactor) {
    given = &reactor;
    return std::make_unique<Noting>(reactor, notes_);
  });
  EXPECT_EQ(given, &a().reactor());
  EXPECT_NE(a().program(), nullptr);
  EXPECT_EQ(notes_, "begin ");
  world().run_for(1h);
  EXPECT_EQ(notes_, "begin timer ");
}

TEST_F(SimProgramTest, ACrashEndsTheProgramAndNothingOfItHappensAnyMore) {
  a().start([&](Reactor& reactor) { return std::make_unique<Noting>(reactor, notes_); });
  world().run_for(1min);
  a().crash();
  EXPECT_EQ(notes_, "begin end ");
  EXPECT_FALSE(a().up());
  EXPECT_EQ(a().program(), nullptr);
  EXPECT_EQ(a().open_fds(), 0U);
  world().run_for(2h);
  EXPECT_EQ(notes_, "begin end ");
  EXPECT_EQ(world().now(), Instant(2h + 1min));
}

TEST_F(SimProgramTest, ACrashCallsNoHandlerAndClosesEverything) {
  ASSERT_TRUE(join());
  client().write(pattern(100'000, 1));
  a().crash();
  EXPECT_EQ(server_.order(), "");
  EXPECT_EQ(a().open_fds(), 0U);
  b().crash();
  EXPECT_EQ(client_.order(), "");
  EXPECT_EQ(b().open_fds(), 0U);
  world().run_for(1h);
  EXPECT_EQ(server_.order() + client_.order(), "");
}

TEST_F(SimProgramTest, ACrashOfAHostThatIsDownIsHarmless) {
  a().crash();
  a().crash();
  EXPECT_FALSE(a().up());
}

TEST_F(SimProgramTest, AHandlerMayCrashAndRestartAnotherHost) {
  ASSERT_TRUE(join());
  const Timer crash = b().reactor().after(10ms, [this] { a().crash(); });
  const Timer restart = b().reactor().after(20ms, [this] { a().restart(); });
  world().run_for(15ms);
  EXPECT_FALSE(a().up());
  world().run_for(15ms);
  EXPECT_TRUE(a().up());
  client().write("x");
  ASSERT_TRUE(until([&] { return client_.has("close"); }));
  EXPECT_EQ(client_.order(), "ECONNRESET close");
}

TEST_F(SimProgramTest, ACrashEndsWatchesToo) {
  struct Watching final : sim::Program {
    explicit Watching(Reactor& reactor) {
      auto& backend = static_cast<SimBackend&>(reactor.backend());
      const int fd = *backend.open_datagram(Address::any_ipv4(9));
      watch = reactor.watch(fd, {Events::readable}, [](Events) { ADD_FAILURE(); });
    }
    Watch watch;
  };
  a().start([](Reactor& reactor) { return std::make_unique<Watching>(reactor); });
  world().run_for(1s);
  a().crash();
  EXPECT_EQ(a().open_fds(), 0U);
  world().run_for(1s);
  a().restart();
  world().run_for(1s);
  EXPECT_EQ(a().open_fds(), 1U);
  EXPECT_EQ(world().violations(), 0U);
}

TEST_F(SimProgramTest, ARestartRunsMainAgain) {
  a().start([&](Reactor& reactor) { return std::make_unique<Noting>(reactor, notes_); });
  a().crash();
  world().run_for(10s);
  a().restart();
  EXPECT_EQ(notes_, "begin end begin ");
  EXPECT_TRUE(a().up());
  EXPECT_NE(a().program(), nullptr);
  EXPECT_EQ(a().reactor().now(), Instant(10s));
  a().restart();
  EXPECT_EQ(notes_, "begin end begin end begin ");
  world().run_for(1h);
  EXPECT_EQ(notes_, "begin end begin end begin timer ");
}

TEST_F(SimProgramTest, ARestartWithoutAProgramOnlyBoots) {
  a().reactor();
  a().restart();
  EXPECT_TRUE(a().up());
  EXPECT_EQ(a().program(), nullptr);
  bool ran = false;
  ASSERT_TRUE(a().reactor().post([&] { ran = true; }));
  world().run();
  EXPECT_TRUE(ran);
}

TEST_F(SimProgramTest, ARestartedServerServesAgainAtTheSamePort) {
  ASSERT_TRUE(join());
  a().restart();
  forget();
  Caller again(b().add_reactor(), client_, to_);
  again.socket.write("hello");
  ASSERT_TRUE(until([&] { return server_.bytes == "hello"; }));
}

TEST_F(SimProgramTest, TheReactorsThatWereAddedGoWithTheHost) {
  struct Two final : sim::Program {
    Two(Host& host, int& ran)
        : timer(host.add_reactor().after(1s, [&ran] { ++ran; })) {}
    Timer timer;
  };
  int ran = 0;
  a().start([&](Reactor&) { return std::make_unique<Two>(a(), ran); });
  a().crash();
  world().run_for(2s);
  EXPECT_EQ(ran, 0);
  a().restart();
  world().run_for(2s);
  EXPECT_EQ(ran, 1);
}

TEST_F(SimProgramTest, TheEndOfTheWorldEndsThePrograms) {
  for (Host* host : {&a(), &b()}) {
    host->start([&](Reactor& reactor) { return std::make_unique<Noting>(reactor, notes_); });
  }
  make({});
  EXPECT_EQ(notes_, "begin begin end end ");
}

TEST_F(SimProgramTest, TheWorldEndsInTheMiddleOfEverything) {
  set_link({.latency = 10ms});
  ASSERT_TRUE(join());
  client().write(pattern(1'000'000, 1));
  peer().write(pattern(1'000'000, 2));
  world().run_for(15ms);
  make({});
}

TEST_F(SimProgramTest, WhatHasBeenPostedGoesWithTheHost) {
  auto held = std::make_shared<int>(1);
  ASSERT_TRUE(a().reactor().post([held] { ++*held; }));
  ASSERT_TRUE(a().reactor().defer([held] { ++*held; }));
  a().crash();
  EXPECT_EQ(held.use_count(), 1);
  world().run_for(1s);
  EXPECT_EQ(*held, 1);
}

}  // namespace
}  // namespace weir::test
