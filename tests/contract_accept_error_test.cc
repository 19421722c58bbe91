// Section 3.3 of the contract: accepting that fails, also in ways no kernel can be made to show.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "tests/failing_backend.h"
#include "tests/pair.h"
#include "tests/raw_client.h"
#include "tests/rules.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

int aborted_accepts = 0;  // so many calls of accept4(2) fail before the next one is made

// Accepting fails as a test wants.
class FailingAccepts final : public FailingBackend {
 public:
  explicit FailingAccepts(std::unique_ptr<Backend> behind)
      : FailingBackend(std::move(behind), OpKind::accept) {}

  std::vector<Instant> accepts;  // when each accept was submitted
  std::size_t watches = 0;       // polls that were submitted

  void submit(Op& op) noexcept override {
    watches += op.kind == OpKind::poll ? 1U : 0U;
    if (op.kind == OpKind::accept) accepts.push_back(now());
    FailingBackend::submit(op);
  }
};

class ContractAcceptErrorTest : public BackendTest {
 protected:
  void SetUp() override {
    BackendTest::SetUp();
    if (IsSkipped()) return;
    auto wrapped = std::make_unique<FailingAccepts>(make_backend());
    backend_ = wrapped.get();
    reactor_ = std::make_unique<Reactor>(std::move(wrapped));
    server_ = std::make_unique<Server>(*reactor_);
    server_->on_connection([this](Socket&) { ++accepted_; });
    server_->on_server_error([this](Server&, const Error& error) { errors_.push_back(error); });
    client_ = std::make_unique<Socket>(*reactor_);
  }
  void TearDown() override {
    client_.reset();
    server_.reset();
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

  // Listens with these failures ahead, and connects.
  void begin(std::initializer_list<int> codes) {
    backend_->failures = codes;
    const auto bound = server_->listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value());
    to_ = {.host = "127.0.0.1", .port = bound->port()};
    ASSERT_TRUE(client_->connect(to_).has_value());
  }

  std::unique_ptr<Reactor> reactor_;
  FailingAccepts* backend_ = nullptr;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Socket> client_;
  net::ConnectOptions to_;
  int accepted_ = 0;
  std::vector<Error> errors_;
};

TEST_P(ContractAcceptErrorTest, ItIsTheServersErrorAndListeningGoesOn) {
  RULES("3.3.3.1 3.3.3.2");
  begin({EPERM});
  ASSERT_TRUE(run_until([&] { return !errors_.empty() && accepted_ == 1; }));
  ASSERT_EQ(errors_.size(), 1U);
  EXPECT_EQ(errors_[0].code, errno_code(EPERM));
  EXPECT_STREQ(errors_[0].syscall, "accept");
  EXPECT_TRUE(server_->listening());
}

TEST_P(ContractAcceptErrorTest, WithoutDescriptorsItRestsAndTellsABurstOnce) {
  RULES("3.3.2.3 3.3.2.4 3.3.3.1 3.3.3.2");
  begin({ENFILE, EMFILE, ENFILE});
  ASSERT_TRUE(run_until([&] { return accepted_ == 1; }));
  ASSERT_EQ(errors_.size(), 1U) << "once a burst";
  EXPECT_TRUE(errors_[0].code == errno_code(ENFILE) || errors_[0].code == errno_code(EMFILE));
  EXPECT_STREQ(errors_[0].syscall, "accept");
  ASSERT_GE(backend_->accepts.size(), 4U);
  for (std::size_t i = 1; i < 4; ++i) {
    EXPECT_GE(backend_->accepts[i] - backend_->accepts[i - 1], 99ms) << "a rest too short";
  }
  EXPECT_GE(backend_->watches, 3U) << "it did not wait for a client after the rest";
}

TEST_P(ContractAcceptErrorTest, WithoutAClientItWaitsWithoutAnError) {
  RULES("3.3.2.3 3.3.2.4");
  backend_->failures = {EMFILE};
  const auto bound = server_->listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  // Two rests: after the first one nothing is tried before a client comes.
  bool over = false;
  Timer end = reactor_->after(220ms, [&] { over = true; });
  const std::uint64_t turns = reactor_->counters().turns;
  ASSERT_TRUE(run_until([&] { return over; }));
  EXPECT_LT(reactor_->counters().turns - turns, 20U) << "it spins";
  EXPECT_EQ(backend_->accepts.size(), 1U);
  EXPECT_TRUE(errors_.empty());
  ASSERT_TRUE(client_->connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
  ASSERT_TRUE(run_until([&] { return accepted_ == 1; }));
}

WEIR_ON_ALL_BACKENDS(ContractAcceptErrorTest);

// Connections that are gone before they are accepted ----------------------------------------------

class ContractAcceptAbortedTest : public PairTest {
 protected:
  void SetUp() override {
    PairTest::SetUp();
    if (IsSkipped()) return;
    listen();
    server_->on_server_error([this](Server&, const Error&) { ++errors_; });
  }

  int errors_ = 0;
};

TEST_P(ContractAcceptAbortedTest, AResetBeforeAcceptIsNoErrorOfTheServer) {
  RULES("3.3.2.5");
  for (int i = 0; i < 5; ++i) {
    RawClient gone(static_cast<std::uint16_t>(to_.port));
    ASSERT_TRUE(gone.connected());
    gone.reset();
  }
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("I am still here");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "I am still here"; }));
  ASSERT_TRUE(run_until([&] { return server_->connections() == 1; }));
  EXPECT_EQ(errors_, 0);
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(ContractAcceptAbortedTest, ECONNABORTEDIsPassedOver) {
  RULES("3.3.2.5");
  const Instant start = reactor().now();
  aborted_accepts = 3;  // seen by the backends that call accept4(2)
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr; }));
  if (GetParam().options.kind == BackendKind::epoll) {
    EXPECT_EQ(aborted_accepts, 0);
    EXPECT_LT(reactor().now() - start, weir::limits::kAcceptBackoff) << "a rest for nothing";
  }
  aborted_accepts = 0;
  EXPECT_EQ(errors_, 0);
}

WEIR_ON_KERNEL_BACKENDS(ContractAcceptAbortedTest);

}  // namespace
}  // namespace weir::test

// In the place of the C library's.
extern "C" int accept4(int fd, sockaddr* peer, socklen_t* size, int flags) {
  if (weir::test::aborted_accepts > 0) {
    --weir::test::aborted_accepts;
    errno = ECONNABORTED;
    return -1;
  }
  return static_cast<int>(syscall(SYS_accept4, fd, peer, size, flags));
}
