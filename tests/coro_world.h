// Coroutines on the backend of the running case, with a plain socket at the other end.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tests/pair.h"
#include "weir/net/coro.h"

namespace weir::test {

// Counts itself in and out: what a coroutine holds while it lives.
class Alive {
 public:
  explicit Alive(int& count) noexcept : count_(&count) { ++*count_; }
  Alive(Alive&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  Alive& operator=(Alive&&) = delete;
  ~Alive() {
    if (count_ != nullptr) --*count_;
  }

 private:
  int* count_;
};

// "ok", or the name of the error.
template <class T>
std::string outcome(const Expected<T>& result) {
  return result ? "ok" : std::string(name_of(result.error().code));
}

// The bytes, or the name of the error in brackets.
inline std::string text(const Expected<Buffer>& result) {
  return result ? std::string(result->view()) : "<" + outcome(result) + ">";
}

class CoroTest : public WorldTest {
 protected:
  void SetUp() override {
    WorldTest::SetUp();
    if (IsSkipped()) return;
    scope_ = std::make_unique<coro::Scope>(reactor());
  }
  void TearDown() override {
    scope_.reset();
    stream_.reset();
    peer_.reset();
    acceptor_.reset();
    WorldTest::TearDown();
  }

  void listen(net::ServerOptions options = {}) {
    acceptor_ = std::make_unique<coro::Acceptor>(reactor(), std::move(options));
    const auto bound = acceptor_->listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value()) << bound.error().message();
    port_ = bound->port();
  }

  // A plain socket that connects to the acceptor.
  std::unique_ptr<Socket> dial(Record& into) {
    auto socket = std::make_unique<Socket>(reactor());
    record(*socket, into);
    record_data(*socket, into);
    EXPECT_TRUE(socket->connect({.host = "127.0.0.1", .port = port_}).has_value());
    return socket;
  }

  // stream_ and peer_ are connected.
  void join(net::ServerOptions options = {}) {
    listen(std::move(options));
    peer_ = dial(peer_record_);
    scope_->spawn([this]() -> coro::Task<> {
      auto accepted = co_await acceptor_->accept();
      if (accepted) stream_.emplace(std::move(*accepted));
    });
    ASSERT_TRUE(run_until([&] { return stream_.has_value() && peer_record_.has("ready"); }));
    ASSERT_TRUE(finish());
  }

  // Runs until no coroutine is left.
  bool finish() {
    return run_until([&] { return scope_->empty(); });
  }
  template <class Callable>
  void run(Callable callable) {
    scope_->spawn(std::move(callable));
    EXPECT_TRUE(finish());
  }

  coro::Stream& stream() { return *stream_; }

  std::unique_ptr<coro::Acceptor> acceptor_;
  std::unique_ptr<coro::Scope> scope_;
  std::optional<coro::Stream> stream_;
  std::unique_ptr<Socket> peer_;
  Record peer_record_;
  int port_ = 0;
};

}  // namespace weir::test
