// What the tests of the contract share: a pair, and a way to know that something does not happen.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tests/pair.h"
#include "tests/rules.h"

namespace weir::test {

class ContractTest : public PairTest {
 protected:
  static PairOptions nobody_reads_at_client() { return {.client_reads = false}; }

  // Round trips of another connection: what was due here before has happened after them.
  void settle() {
    Server echo(reactor());
    echo.on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
    const auto bound = echo.listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value()) << bound.error().message();
    Socket probe(reactor());
    int trips = 0;
    probe.on_data([&](Socket& socket, Buffer) {
      if (++trips < 6) socket.write("x");
    });
    ASSERT_TRUE(probe.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
    probe.write("x");
    ASSERT_TRUE(run_until([&] { return trips == 6; }));
  }

  // Settles until `value` stays: nothing moves any more.
  template <class Value>
  bool settle_until_constant(Value&& value) {
    auto last = value();
    for (int same = 0, round = 0; round < 2000; ++round) {
      settle();
      same = value() == last ? same + 1 : 0;
      last = value();
      if (same == 5) return true;
    }
    return false;
  }

  // Bytes that have come as far as the machine of `socket`, taken from the kernel or not.
  std::uint64_t arrived(const Socket& socket) {
    const int unread = reactor().backend().get(socket.native_handle(), SocketFact::unread_bytes);
    return socket.bytes_read() + static_cast<std::uint64_t>(std::max(unread, 0));
  }

  // run_until() for what no event tells of, such as bytes that nobody reads: looks each
  // millisecond.
  template <class Done>
  bool look_until(Done&& done) {
    const Instant end = reactor().now() + kPatience;
    while (!done()) {
      if (reactor().now() >= end) return false;
      reactor().run_once(std::chrono::milliseconds(1));
    }
    return true;
  }

  // Another connection to the server of listen(), kept until the test's end.
  Socket& another(SocketOptions options = {}) {
    Socket& made = *others_.emplace_back(std::make_unique<Socket>(reactor(), options));
    EXPECT_TRUE(made.connect(to_).has_value());
    return made;
  }

  void TearDown() override {
    others_.clear();
    PairTest::TearDown();
  }

  std::vector<std::unique_ptr<Socket>> others_;
};

}  // namespace weir::test
