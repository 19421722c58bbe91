// Two ends of a connection, and a record of what happened at each.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/world.h"
#include "weir/net/server.h"

namespace weir::test {

using net::Server;
using net::ServerOptions;
using net::Socket;
using net::SocketOptions;
using net::Write;

inline std::string pattern(std::size_t size, unsigned seed) {
  std::string bytes(size, '\0');
  unsigned state = seed * 2654435761U + 1;
  for (char& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

// What was told, in order; a run of what repeats (data, messages) counts as one.
struct EventLog {
  std::vector<std::string> events;

  void note(std::string_view event, bool repeats = false) {
    if (repeats && !events.empty() && events.back() == event) return;
    events.emplace_back(event);
  }
  long count(std::string_view event) const {
    return std::count(events.begin(), events.end(), event);
  }
  bool has(std::string_view event) const { return count(event) != 0; }
  // "ready data end close"
  std::string order() const {
    std::string all;
    for (const std::string& event : events) all += (all.empty() ? "" : " ") + event;
    return all;
  }
};

// The events of one connection.
struct Record : EventLog {
  std::string bytes;
  std::vector<Error> errors;
  int closes = 0;
  std::error_code closed_with;
  bool after_close = false;  // something came after 'close'

  void note(std::string_view event) {
    after_close = after_close || closes != 0;
    EventLog::note(event, event == "data");
  }
  std::string error() const { return errors.empty() ? "" : std::string(name_of(errors[0].code)); }
};

// Everything but 'data', whose listener starts the reading.
template <class Listeners>
void record(Listeners& on, Record& into) {
  on.on_connect([&](Socket&) { into.note("connect"); });
  on.on_ready([&](Socket&) { into.note("ready"); });
  on.on_end([&](Socket&) { into.note("end"); });
  on.on_drain([&](Socket&) { into.note("drain"); });
  on.on_finish([&](Socket&) { into.note("finish"); });
  on.on_timeout([&](Socket&) { into.note("timeout"); });
  on.on_error([&](Socket&, const Error& error) {
    into.note("error");
    into.errors.push_back(error);
  });
  on.on_close([&](Socket&, std::error_code code) {
    into.note("close");
    into.closed_with = code;
    ++into.closes;
  });
}

template <class Listeners>
void record_data(Listeners& on, Record& into) {
  on.on_data([&](Socket&, Buffer bytes) {
    into.note("data");
    into.bytes += bytes.view();
  });
}

inline bool is_reset(const std::error_code& code) {
  return code == errno_code(ECONNRESET) || code == errno_code(EPIPE);
}

struct PairOptions {
  ServerOptions server = {};
  SocketOptions client = {};
  bool client_reads = true;  // has a 'data' listener
  bool peer_reads = true;
  bool over_unix = false;
};

// A server, a client, and the accepted socket at the other end of it, the peer.
class PairTest : public WorldTest {
 protected:
  void TearDown() override {
    client_.reset();
    server_.reset();
    WorldTest::TearDown();
  }

  void listen(const PairOptions& options = {}) {
    server_ = std::make_unique<Server>(reactor(), options.server);
    record(*server_, peer_record_);
    server_->on_close([this](Socket& socket, std::error_code) {
      if (&socket == peer_) peer_ = nullptr;
    });
    if (options.peer_reads) record_data(*server_, peer_record_);
    server_->on_connection([this](Socket& socket) { peer_ = &socket; });
    net::ListenAt at{.port = 0, .host = "127.0.0.1"};
    if (options.over_unix) at.path = socket_path();
    const auto bound = server_->listen(at);
    ASSERT_TRUE(bound.has_value()) << bound.error().message();
    to_ = {.port = bound->port(), .path = at.path};
    client_ = std::make_unique<Socket>(reactor(), options.client);
    record(*client_, client_record_);
    if (options.client_reads) record_data(*client_, client_record_);
  }

  // A connection that stands on both sides.
  void join(const PairOptions& options = {}) {
    listen(options);
    ASSERT_TRUE(client_->connect(to_).has_value());
    ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
  }

  Socket& client() { return *client_; }
  Socket& peer() { return *peer_; }

  // True when bytes have come as far as the socket, whether it has read them or not.
  bool input_arrived(const Socket& socket) {
    return socket.bytes_read() != 0 ||
           reactor().backend().get(socket.native_handle(), SocketFact::unread_bytes) > 0;
  }

  bool run_until_closed() {
    return run_until([&] { return client_record_.closes != 0 && server_->connections() == 0; });
  }

  // Both ends are closed, once, with nothing after it and nothing left.
  void expect_all_gone() {
    EXPECT_TRUE(run_until_closed())
        << "client: " << client_record_.order() << ", peer: " << peer_record_.order();
    run_for(std::chrono::milliseconds(2));
    EXPECT_EQ(client_record_.closes, 1);
    EXPECT_EQ(peer_record_.closes, 1);
    EXPECT_FALSE(client_record_.after_close);
    EXPECT_FALSE(peer_record_.after_close);
    EXPECT_EQ(reactor().counters().sockets, 0U);
    EXPECT_EQ(reactor().counters().queue_bytes, 0U);
  }

  // Runs until run() returns by itself; false when it would not.
  bool run_returns() {
    bool gave_up = false;
    Timer guard = reactor().after(kPatience, [&] {
      gave_up = true;
      reactor().stop();
    });
    guard.unref();
    reactor().run();
    return !gave_up;
  }

  std::unique_ptr<Server> server_;
  std::unique_ptr<Socket> client_;
  Socket* peer_ = nullptr;  // null when it is closed
  net::ConnectOptions to_;
  Record client_record_;
  Record peer_record_;
};

}  // namespace weir::test
