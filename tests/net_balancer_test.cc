// Connections that one server accepts, shared out among servers on reactors of their own threads.
#include <gtest/gtest.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/backends.h"
#include "tests/raw_client.h"
#include "weir/net/balancer.h"
#include "weir/net/server.h"
#include "weir/reactor/reactor_group.h"

namespace weir::test {
namespace {

using net::Balancer;
using net::ListenAt;
using net::Server;
using net::Socket;

// Tells each connection who serves it, by a letter, and echoes.
class Lettered final : public ReactorGroup::Service {
 public:
  Lettered(Reactor& reactor, std::size_t index, net::ServerOptions options)
      : server(reactor, options) {
    server.on_connection([index](Socket& socket) {
      const char letter = static_cast<char>('a' + index);
      socket.write(Buffer::copy(std::string_view(&letter, 1)));
    });
    server.on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
    server.on_server_error([this](Server&, const Error& error) { errors.push_back(error); });
  }
  void drain() override { server.drain(std::chrono::seconds(5)); }

  Server server;
  std::vector<Error> errors;
};

class BalancerTest : public BackendTest {
 protected:
  static constexpr std::size_t kReactors = 3;

  void SetUp() override {
    BackendTest::SetUp();
    if (IsSkipped()) return;
    auto group = ReactorGroup::create({.size = kReactors, .pin = false, .reactor = [](std::size_t) {
      return ReactorOptions{.backend = GetParam().options.kind, .uring = GetParam().options.uring};
    }});
    ASSERT_TRUE(group.has_value()) << group.error().message();
    group_ = std::move(*group);
  }
  void TearDown() override {
    clients_.clear();
    if (runner_.joinable()) {
      group_->drain();
      runner_.join();
    }
  }

  // The first accepts, unless it is told otherwise.
  void serve(ListenAt at = {.port = 0, .host = "127.0.0.1"}, net::ServerOptions options = {}) {
    ASSERT_TRUE(group_->start([&](Reactor& reactor, std::size_t index)
                                  -> Expected<std::unique_ptr<ReactorGroup::Service>> {
      auto service = std::make_unique<Lettered>(reactor, index, options);
      ListenAt here = index == 0 ? at : ListenAt();
      here.balancer = &balancer_;
      auto bound = service->server.listen(here);
      if (!bound) return failure(bound.error());
      if (index == 0) port_ = bound->port();
      services_[index] = service.get();
      return service;
    }));
    runner_ = std::thread([this] { EXPECT_TRUE(group_->run().has_value()); });
  }

  // Of a reactor's thread, when it has run there.
  template <class Call>
  void on(std::size_t index, Call call) {
    std::promise<void> done;
    ASSERT_TRUE((*group_)[index].post([&] {
      call(*services_[index]);
      done.set_value();
    }));
    done.get_future().wait();
  }

  struct Client {
    RawClient raw;
    char letter;
  };
  // Whose letter has come: its server counts it.
  Client& connect() {
    Client& client = clients_.emplace_back(RawClient(port_), '?');
    EXPECT_TRUE(client.raw.connected());
    const std::string letter = client.raw.receive(1);
    if (!letter.empty()) client.letter = letter.front();
    return client;
  }
  std::map<char, int> by_letter() const {
    std::map<char, int> counts;
    for (const Client& client : clients_) ++counts[client.letter];
    return counts;
  }

  Balancer balancer_;
  Balancer other_;
  std::unique_ptr<ReactorGroup> group_;
  Lettered* services_[kReactors] = {};
  std::uint16_t port_ = 0;
  std::thread runner_;
  std::list<Client> clients_;
};

using Counts = std::map<char, int>;

TEST_P(BalancerTest, EachServesAsManyAsTheOthers) {
  serve();
  EXPECT_EQ(balancer_.servers(), kReactors);
  for (int i = 0; i < 60; ++i) connect();
  EXPECT_EQ(by_letter(), (Counts{{'a', 20}, {'b', 20}, {'c', 20}}));
  for (Client& client : clients_) EXPECT_TRUE(client.raw.echoes("hello"));
}

TEST_P(BalancerTest, WhoHasTheFewestGetsTheNext) {
  serve();
  for (int i = 0; i < 30; ++i) connect();
  std::erase_if(clients_, [](const Client& client) { return client.letter == 'b'; });
  EXPECT_EQ(by_letter(), (Counts{{'a', 10}, {'c', 10}}));
  // Until it has seen them go.
  for (std::size_t left = 1; left != 0;) {
    on(1, [&](Lettered& service) { left = service.server.connections(); });
  }
  for (int i = 0; i < 10; ++i) EXPECT_EQ(connect().letter, 'b');
}

// All at once: what is on its way counts.
TEST_P(BalancerTest, ABurstIsSpreadAsWell) {
  constexpr int kEach = 30;
  constexpr std::size_t kBurst = kReactors * kEach;
  serve();
  std::vector<RawClient> burst;
  burst.reserve(kBurst);
  for (std::size_t i = 0; i < kBurst; ++i) burst.emplace_back(port_);
  for (RawClient& client : burst) {
    const std::string letter = client.receive(1);
    clients_.emplace_back(std::move(client), letter.empty() ? '?' : letter.front());
  }
  // One that is just being taken may count twice.
  for (const auto& [letter, count] : by_letter()) EXPECT_NEAR(count, kEach, 2) << letter;
  EXPECT_EQ(by_letter().size(), kReactors);
}

TEST_P(BalancerTest, OneThatClosesGetsNoMore) {
  serve();
  for (int i = 0; i < 9; ++i) connect();
  on(2, [](Lettered& service) { EXPECT_TRUE(service.server.close().has_value()); });
  EXPECT_EQ(balancer_.servers(), kReactors - 1);
  for (int i = 0; i < 6; ++i) EXPECT_NE(connect().letter, 'c');
  for (Client& client : clients_) EXPECT_TRUE(client.raw.echoes("still")) << client.letter;
}

TEST_P(BalancerTest, WhenTheAcceptingOneClosesTheOthersKeepTheirs) {
  serve();
  for (int i = 0; i < 9; ++i) connect();
  on(0, [](Lettered& service) { EXPECT_TRUE(service.server.close().has_value()); });
  on(1, [](Lettered& service) { EXPECT_TRUE(service.server.listening()); });
  for (Client& client : clients_) EXPECT_TRUE(client.raw.echoes("still")) << client.letter;
}

TEST_P(BalancerTest, TheLimitIsThatOfEachServer) {
  serve({.port = 0, .host = "127.0.0.1"}, {.max_connections = 2});
  for (int i = 0; i < 6; ++i) connect();
  EXPECT_EQ(by_letter(), (Counts{{'a', 2}, {'b', 2}, {'c', 2}}));
  EXPECT_EQ(connect().letter, '?') << "closed at once";
}

// The second one takes no more while a connection waits behind what it is doing.
TEST_P(BalancerTest, WhatIsOnItsWayToOneThatClosesIsClosed) {
  serve();
  std::promise<void> in;
  std::promise<void> go_on;
  ASSERT_TRUE((*group_)[1].post([&] {
    in.set_value();
    go_on.get_future().wait();
    EXPECT_TRUE(services_[1]->server.close().has_value());
  }));
  in.get_future().wait();
  EXPECT_EQ(connect().letter, 'a');
  RawClient on_its_way(port_);
  EXPECT_EQ(connect().letter, 'c');
  go_on.set_value();
  EXPECT_TRUE(on_its_way.at_end());
  EXPECT_EQ(connect().letter, 'a') << "it is not counted for ever";
}

// Until the name is known it is not among those that listen.
TEST_P(BalancerTest, AnAcceptingServerWithANameJoinsWhenItListens) {
  Reactor& reactor = (*group_)[0];
  Server server(reactor);
  bool over = false;
  server.on_listening([&](Server&) { over = true; });
  ASSERT_TRUE(server.listen({.port = 0, .host = "localhost", .balancer = &balancer_}));
  EXPECT_FALSE(server.listening());
  EXPECT_EQ(balancer_.servers(), 0U);
  while (!over) reactor.run_once();
  EXPECT_TRUE(server.listening());
  EXPECT_EQ(balancer_.servers(), 1U);
  EXPECT_TRUE(server.close().has_value());
  reactor.run();
  // Nor one whose name does not exist.
  over = false;
  server.on_server_error([&](Server&, const Error&) { over = true; });
  ASSERT_TRUE(server.listen({.port = 0, .host = "nowhere.invalid", .balancer = &balancer_}));
  while (!over) reactor.run_once();
  EXPECT_EQ(balancer_.servers(), 0U);
}

// Whoever cannot be passed on is not lost without a word.
TEST_P(BalancerTest, AReactorThatTakesNothingMoreIsAnErrorOfTheAcceptingServer) {
  serve();
  std::promise<void> go_on[kReactors];
  for (const std::size_t index : {1, 2}) {
    std::promise<void> in;
    ASSERT_TRUE((*group_)[index].post([&in, &until = go_on[index]] {
      in.set_value();
      until.get_future().wait();
    }));
    in.get_future().wait();
    while ((*group_)[index].post([] {})) {}
  }
  // The first takes its share, and of those that go to the others nobody hears.
  int lost = 0;
  for (int i = 0; i < 3; ++i) lost += connect().letter == '?' ? 1 : 0;
  EXPECT_EQ(lost, 2);
  on(0, [](Lettered& service) {
    ASSERT_EQ(service.errors.size(), 2U);
    EXPECT_EQ(service.errors.front().code, errno_code(ENOBUFS));
    EXPECT_EQ(service.server.counters().dropped, 2U);
  });
  go_on[1].set_value();
  go_on[2].set_value();
}

TEST_P(BalancerTest, OfAUnixSocketAsWell) {
  const std::string name = "weir-balancer-" + std::to_string(getpid());
  serve({.path = name, .abstract = true});
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, sizeof address.sun_path - 2);
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  Counts counts;
  std::vector<posix::Fd> clients;
  for (int i = 0; i < 9; ++i) {
    const int fd = clients.emplace_back(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)).get();
    ASSERT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), length), 0);
    char letter = '?';
    EXPECT_EQ(recv(fd, &letter, 1, 0), 1);
    ++counts[letter];
  }
  EXPECT_EQ(counts, (Counts{{'a', 3}, {'b', 3}, {'c', 3}}));
}

// Listens again, with another balancer or none.
TEST_P(BalancerTest, AServerMayComeAndGo) {
  Reactor& reactor = (*group_)[0];
  Server server(reactor);
  int closed = 0;
  int listening = 0;
  server.on_server_close([&](Server&) { ++closed; });
  server.on_listening([&](Server&) { ++listening; });
  for (Balancer* balancer : {&balancer_, &other_, &balancer_}) {
    const auto bound = server.listen({.balancer = balancer});
    ASSERT_TRUE(bound.has_value());
    EXPECT_EQ(bound->family(), Family::none);
    EXPECT_TRUE(server.listening());
    EXPECT_EQ(balancer->servers(), 1U);
    EXPECT_FALSE(server.listen({.port = 0}).has_value());
    EXPECT_TRUE(server.close().has_value());
    EXPECT_FALSE(server.listening());
    EXPECT_EQ(balancer->servers(), 0U);
    reactor.run();
  }
  EXPECT_EQ(closed, 3);
  EXPECT_EQ(listening, 0) << "it was closed before it could be told";
  EXPECT_FALSE(server.close().has_value());
  reactor.run();
}

INSTANTIATE_TEST_SUITE_P(Backends, BalancerTest,
                         testing::ValuesIn(std::vector<BackendCase>{kernel_backends()[0],
                                                                    kernel_backends()[1]}),
                         case_name);

}  // namespace
}  // namespace weir::test
