// For tests of connecting: a resolver that answers as it is told, a record with the attempts in it,
// and places where nobody answers.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/pair.h"
#include "weir/net/resolver.h"

namespace weir::test {

inline IpEndpoint endpoint(std::string_view ip) { return Address::parse_ip(ip, 0)->ip(); }

class TestResolver final : public net::Resolver {
 public:
  enum class How : std::uint8_t { at_once, keep, drop };

  explicit TestResolver(How how) : how_(how) {}
  explicit TestResolver(std::error_code code) : code_(code) {}
  explicit TestResolver(const std::vector<std::string>& addresses) { set(addresses); }

  void set(const std::vector<std::string>& addresses) {
    found_.clear();
    for (const std::string& ip : addresses) found_.push_back(endpoint(ip));
  }
  void resolve(std::string_view host, Family family, net::ResolveReply reply) override {
    asked.emplace_back(host, family);
    if (how_ == How::keep) kept.push_back(std::move(reply));
    if (how_ == How::at_once) answer(reply);
  }
  void answer(net::ResolveReply& reply) const {
    if (code_) {
      reply.failed(code_);
    } else {
      reply.found(found_);
    }
  }

  std::vector<std::pair<std::string, Family>> asked;
  std::vector<net::ResolveReply> kept;

 private:
  How how_ = How::at_once;
  std::error_code code_;
  std::vector<IpEndpoint> found_;
};

// The events of one attempt after the other; ports are left out.
inline void record_attempts(Socket& socket, Record& into) {
  socket.on_lookup([&](Socket&, const net::LookupResult& result) {
    into.note("lookup:" + (result.error ? std::string(name_of(result.error))
                                        : result.address.ip()));
  });
  socket.on_connection_attempt([&](Socket&, const Address& to) {
    into.note("attempt:" + to.ip().ip());
  });
  socket.on_connection_attempt_failed([&](Socket&, const Error& error) {
    into.note("failed:" + error.address.ip().ip());
  });
  socket.on_connection_attempt_timeout([&](Socket&, const Address& to) {
    into.note("timeout:" + to.ip().ip());
  });
}

// Server at 127.0.0.1, the client not connected yet.
class DialTest : public PairTest {
 protected:
  void TearDown() override {
    fillers_.clear();
    const std::vector<int> fds = std::exchange(listeners_, {});
    if (!IsSkipped()) run_for(std::chrono::milliseconds(1));
    for (const int fd : fds) reactor().backend().close(fd);
    PairTest::TearDown();
  }

  void listen(const PairOptions& options = {}) {
    PairTest::listen(options);
    to_.host = "127.0.0.1";
    record_attempts(client(), client_record_);
  }
  std::string text_port() const { return std::to_string(to_.port); }

  // At the server's port, or another one: a listener that never accepts and whose queue is full, so
  // that nobody is answered.
  int hang(std::string_view ip, int port = -1) {
    Address at = *Address::parse_ip(ip, static_cast<std::uint16_t>(port < 0 ? to_.port : port));
    const auto fd = reactor().backend().listen(at, {.backlog = 1});
    EXPECT_TRUE(fd.has_value()) << (fd ? "" : fd.error().message());
    if (!fd) return -1;
    listeners_.push_back(*fd);
    at = reactor().backend().address(*fd, End::local);
    // The kernel takes one more than the backlog says.
    const int room = simulated() ? 1 : 2;
    for (int i = 0; i < room; ++i) fill({.host = std::string(ip), .port = at.port()});
    return *fd;
  }
  void forget_listener(int fd) { std::erase(listeners_, fd); }

  void fill(const net::ConnectOptions& to) {
    fillers_.push_back(std::make_unique<Socket>(reactor()));
    EXPECT_TRUE(fillers_.back()->connect(to).has_value());
    EXPECT_TRUE(run_until([&] { return !fillers_.back()->connecting(); }));
  }

  // Connects the client to `to_` by a name that means these addresses.
  void dial(const std::vector<std::string>& addresses) {
    resolver_.set(addresses);
    to_.host = "some.name";
    to_.resolver = &resolver_;
    const auto started = client().connect(to_);
    EXPECT_TRUE(started.has_value()) << (started ? "" : started.error().message());
  }
  bool run_until_ready() {
    return run_until([&] { return client_record_.has("ready"); });
  }
  bool run_until_client_closed() {
    return run_until([&] { return client_record_.closes != 0; });
  }

  TestResolver resolver_{TestResolver::How::at_once};
  std::vector<std::unique_ptr<Socket>> fillers_;

 private:
  std::vector<int> listeners_;
};

}  // namespace weir::test
