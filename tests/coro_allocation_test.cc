// A coroutine allocates its frame, and no await anything.
#include <gtest/gtest.h>

#include <memory>
#include <string_view>

#include "tests/count_allocations.h"
#include "tests/reactor_world.h"
#include "weir/net/coro.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using coro::Task;
using net::Server;
using net::Socket;
using net::Write;

constexpr std::string_view kMessage =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\n";
static_assert(kMessage.size() == 64);

using Session = Task<> (*)(coro::Stream);

Task<> echo(coro::Stream stream) {
  for (;;) {
    auto bytes = co_await stream.read();
    if (!bytes || bytes->empty()) break;
    if (!co_await stream.write(std::move(*bytes))) break;
  }
  co_await stream.end();
}

Task<> echo_records(coro::Stream stream) {
  for (;;) {
    auto bytes = co_await stream.read_exactly(kMessage.size());
    if (!bytes || bytes->empty()) break;
    if (!co_await stream.write(std::move(*bytes))) break;
  }
}

Task<> echo_lines_in_time(coro::Stream stream) {
  for (;;) {
    auto [first, results] =
        co_await coro::when_any(stream.read_until("\n", kMessage.size()), coro::delay(1h));
    auto& line = std::get<0>(results);
    if (first != 0 || !line || line->empty()) break;
    auto written = co_await coro::when_all(stream.write(std::move(*line)), stream.read_exactly(0));
    if (!std::get<0>(written)) break;
  }
}

Task<> serve(coro::Acceptor& acceptor, coro::Scope& clients, Session session) {
  while (auto stream = co_await acceptor.accept()) clients.spawn(session(std::move(*stream)));
}

class CoroAllocationTest : public ReactorTest {
 protected:
  // A client with one message under way.
  AllocationCounts count_messages(Session session) {
    coro::Acceptor acceptor(reactor());
    coro::Scope clients(reactor());
    const auto bound = acceptor.listen({.port = 0, .host = "127.0.0.1"});
    EXPECT_TRUE(bound.has_value());
    clients.spawn(serve(acceptor, clients, session));
    Socket client(reactor());
    std::uint64_t received = 0;
    client.set_no_delay();
    client.on_connect([](Socket& socket) { socket.write(Buffer::literal(kMessage)); });
    client.on_data([&](Socket& socket, Buffer bytes) {
      received += bytes.size();
      if (received % kMessage.size() == 0) socket.write(Buffer::literal(kMessage));
    });
    EXPECT_TRUE(client.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
    EXPECT_TRUE(run_until([&] { return received >= 5'000 * kMessage.size(); }));
    start_counting();
    EXPECT_TRUE(run_until([&] { return received >= 25'000 * kMessage.size(); }));
    return stop_counting();
  }

  // `count` connections, one after the other, each with a message to and fro.
  AllocationCounts count_connections(int port, int count) {
    Socket client(reactor());
    int closed = 0;
    client.on_connect([](Socket& socket) { socket.write(Buffer::literal(kMessage)); });
    client.on_data([](Socket& socket, Buffer) { socket.end(); });
    client.on_close([&](Socket&, std::error_code) { ++closed; });
    const auto go_through = [&](int until) {
      while (closed < until) {
        const int next = closed + 1;
        EXPECT_TRUE(client.connect({.host = "127.0.0.1", .port = port}).has_value());
        EXPECT_TRUE(run_until([&] { return closed == next; }));
        for (int i = 0; i < 5; ++i) reactor().run_once(Duration::zero());
      }
    };
    go_through(count);
    start_counting();
    go_through(2 * count);
    return stop_counting();
  }

  static void expect_none(const AllocationCounts& counts) {
    EXPECT_EQ(counts.allocations, 0U);
    EXPECT_EQ(counts.frees, 0U);
    if (counts.allocations != 0) print_stacks();
  }
};

TEST_P(CoroAllocationTest, EchoesAllocateNothing) { expect_none(count_messages(echo)); }

TEST_P(CoroAllocationTest, RecordsAllocateNothing) { expect_none(count_messages(echo_records)); }

TEST_P(CoroAllocationTest, LinesWithATimeoutAllocateNothing) {
  expect_none(count_messages(echo_lines_in_time));
}

TEST_P(CoroAllocationTest, AConnectionCostsOneAllocationMoreThanWithCallbacks) {
  constexpr int kConnections = 100;
  std::uint64_t with_callbacks = 0;
  {
    Server server(reactor());
    server.on_data([](Socket& socket, Buffer bytes) {
      if (socket.write(std::move(bytes)) != Write::ok) socket.pause();
    });
    server.on_drain([](Socket& socket) { socket.resume(); });
    const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value());
    with_callbacks = count_connections(bound->port(), kConnections).allocations;
  }
  coro::Acceptor acceptor(reactor());
  coro::Scope clients(reactor());
  const auto bound = acceptor.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  clients.spawn(serve(acceptor, clients, echo));
  const std::uint64_t with_coroutines =
      count_connections(bound->port(), kConnections).allocations;
  EXPECT_EQ(with_coroutines, with_callbacks + kConnections);
}

INSTANTIATE_TEST_SUITE_P(Backends, CoroAllocationTest, testing::ValuesIn(main_backends()),
                         case_name);

}  // namespace
}  // namespace weir::test
