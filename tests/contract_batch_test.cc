// The contract, section 1.1, where it shows at the door to the kernel only: what is sent as one
// batch, what is not sent at all, and what counts as queued while it is being sent.
#include <gtest/gtest.h>

#include <functional>

#include "tests/gate.h"
#include "tests/pair.h"
#include "tests/rules.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class BatchTest : public BackendTest {
 protected:
  void SetUp() override {
    BackendTest::SetUp();
    if (IsSkipped()) return;
    auto gate = std::make_unique<Gate>(make_backend());
    gate_ = gate.get();
    reactor_ = std::make_unique<Reactor>(std::move(gate));
    server_ = std::make_unique<Server>(*reactor_);
    server_->on_data([this](Socket& socket, Buffer bytes) {
      received_ += bytes.view();
      if (bytes.view() == "?") socket.write("!");
    });
    const auto bound = server_->listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value());
    client_ = std::make_unique<Socket>(*reactor_);
    client_->on_data([](Socket&, Buffer) {});
    bool ready = false;
    client_->on_ready([&](Socket&) { ready = true; }, net::Times::once);
    ASSERT_TRUE(client_->connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
    ASSERT_TRUE(run_until([&] { return ready; }));
    gate_->watch(client_->native_handle(), &sends_);
  }

  void TearDown() override {
    client_.reset();
    server_.reset();
    reactor_.reset();
  }

  bool run_until(const std::function<bool()>& done) {
    const Instant end = reactor_->now() + kPatience;
    while (!done() && reactor_->now() < end) reactor_->run_once(end);
    return done();
  }

  // All that the client's writes have caused so far is done when a connection of its own, made
  // later, has had an answer.
  void let_all_happen() {
    Socket other(*reactor_);
    bool answered = false;
    other.on_data([&](Socket&, Buffer) { answered = true; });
    const int port = server_->address().port();
    ASSERT_TRUE(other.connect({.host = "127.0.0.1", .port = port}).has_value());
    other.write("?");
    ASSERT_TRUE(run_until([&] { return answered; }));
    received_.pop_back();
  }

  Socket& client() { return *client_; }
  const Sizes& sends() const { return sends_; }

  Gate* gate_ = nullptr;
  Sizes sends_;  // of the client
  std::unique_ptr<Reactor> reactor_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Socket> client_;
  std::string received_;
};


TEST_P(BatchTest, WhatIsQueuedIsOneSendAfterTheHandler) {
  RULES("1.1.3.1 1.1.5.3 1.1.6.2");
  int calls = 0;
  EXPECT_TRUE(reactor_->defer([&] {
    for (int i = 0; i < 10; ++i) {
      client().write(std::string(5'000, 'x'), [&](Socket&, std::error_code) { ++calls; });
      client().write("small", [&](Socket&, std::error_code) { ++calls; });
    }
    EXPECT_EQ(sends(), Sizes()) << "inside the handler";
    EXPECT_EQ(client().writable_length(), 50'050U);
  }));
  ASSERT_TRUE(run_until([&] { return received_.size() == 50'050 && calls == 20; }));
  EXPECT_EQ(sends(), Sizes{50'050});
}

TEST_P(BatchTest, WhatIsQueuedDuringASendIsTheNextBatch) {
  RULES("1.1.2.2 1.1.5.3 1.1.5.4");
  gate_->hold();
  std::string calls;
  client().write(std::string(30'000, 'a'), [&](Socket&, std::error_code) { calls += 'a'; });
  client().write(std::string(10'000, 'b'), [&](Socket&, std::error_code) { calls += 'b'; });
  ASSERT_TRUE(run_until([&] { return !sends().empty(); }));
  EXPECT_EQ(client().writable_length(), 40'000U) << "in flight";
  for (int i = 0; i < 5; ++i) client().write("more");
  client().write("last", [&](Socket&, std::error_code) { calls += 'c'; });
  EXPECT_EQ(client().writable_length(), 40'024U);
  reactor_->run_once(0ms);
  EXPECT_EQ(client().writable_length(), 40'024U);
  EXPECT_EQ(calls, "");
  gate_->let_go();
  ASSERT_TRUE(run_until([&] { return received_.size() == 40'024 && calls.size() == 3; }));
  EXPECT_EQ(calls, "abc");
  EXPECT_EQ(sends(), (Sizes{40'000, 24}));
  EXPECT_EQ(client().writable_length(), 0U);
}

TEST_P(BatchTest, NothingIsSentWhileCorkedAndThenAllAtOnce) {
  RULES("1.1.7.4 1.1.7.5 1.1.7.6");
  client().cork();
  client().cork();
  for (int i = 0; i < 3; ++i) {
    client().write(std::string(5'000, 'x'));
    let_all_happen();
  }
  client().uncork();
  let_all_happen();
  EXPECT_EQ(sends(), Sizes());
  client().write("last");
  client().uncork();
  ASSERT_TRUE(run_until([&] { return received_.size() == 15'004; }));
  EXPECT_EQ(sends(), Sizes{15'004});
}

TEST_P(BatchTest, AWriteOfNothingIsNotSent) {
  RULES("1.1.8.1 1.1.8.2");
  int calls = 0;
  client().write("", [&](Socket&, std::error_code) { ++calls; });
  client().write(Buffer(), [&](Socket&, std::error_code) { ++calls; });
  ASSERT_TRUE(run_until([&] { return calls == 2; }));
  let_all_happen();
  EXPECT_EQ(sends(), Sizes());
}

WEIR_ON_ALL_BACKENDS(BatchTest);

}  // namespace
}  // namespace weir::test
