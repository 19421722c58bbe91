// Two hosts of a simulated world, programs for them, and journals of what happened when.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/pair.h"
#include "weir/net/server.h"
#include "weir/reactor/sim_world.h"

namespace weir::test {

using sim::Faults;
using sim::Host;
using sim::Link;
using sim::World;
using sim::WorldOptions;

inline std::int64_t ns(Duration time) { return time.count(); }

// What one socket, or all of a server's, has told, and when.
class Journal {
 public:
  struct Entry {
    std::string event;
    Instant at;
    std::size_t bytes;  // that have come so far
  };

  // Times are told from here on.
  void begin(const World& world) {
    world_ = &world;
    begin_ = world.now();
  }
  void note(std::string_view event) {
    entries.push_back({std::string(event), world_->now(), bytes.size()});
  }

  long count(std::string_view event) const {
    return std::count_if(entries.begin(), entries.end(),
                         [&](const Entry& entry) { return entry.event == event; });
  }
  bool has(std::string_view event) const { return count(event) != 0; }
  // Nanoseconds until the first one; -1 when there is none.
  std::int64_t at(std::string_view event) const {
    for (const Entry& entry : entries) {
      if (entry.event == event) return ns(entry.at - begin_);
    }
    return -1;
  }
  // Nanoseconds until so many bytes had come; -1 when they have not.
  std::int64_t at_bytes(std::size_t size) const {
    for (const Entry& entry : entries) {
      if (entry.bytes >= size) return ns(entry.at - begin_);
    }
    return -1;
  }
  // Without what comes for each piece of data.
  std::string order() const {
    std::string all;
    for (const Entry& entry : entries) {
      if (entry.event != "data") all += (all.empty() ? "" : " ") + entry.event;
    }
    return all;
  }

  template <class Listeners>
  void record(Listeners& on, bool data) {
    on.on_connect([this](Socket&) { note("connect"); });
    on.on_end([this](Socket&) { note("end"); });
    on.on_finish([this](Socket&) { note("finish"); });
    on.on_error([this](Socket&, const Error& error) { note(name_of(error.code)); });
    on.on_close([this](Socket&, std::error_code) { note("close"); });
    if (data) record_data(on);
  }
  template <class Listeners>
  void record_data(Listeners& on) {
    on.on_data([this](Socket&, Buffer received) {
      bytes += received.view();
      note("data");
    });
  }

  std::vector<Entry> entries;
  std::string bytes;

 private:
  const World* world_ = nullptr;
  Instant begin_;
};

// A server and its journal.
struct Service final : sim::Program {
  Service(Reactor& reactor, Journal& journal, const net::ListenAt& at, bool reads = true,
          const ServerOptions& options = {})
      : server(reactor, options) {
    journal.record(server, reads);
    server.on_connection([this, &journal](Socket& socket) {
      peer = &socket;
      journal.note("connection");
    });
    server.on_close([this](Socket& socket, std::error_code) {
      if (&socket == peer) peer = nullptr;
    });
    server.on_server_error([&journal](Server&, const Error& error) {
      journal.note("server " + std::string(name_of(error.code)));
    });
    const auto listening = server.listen(at);
    EXPECT_TRUE(listening.has_value()) << (listening ? "" : listening.error().message());
  }

  Server server;
  Socket* peer = nullptr;  // the last one that was accepted; null when it is closed
};

// A client and its journal.
struct Caller final : sim::Program {
  Caller(Reactor& reactor, Journal& journal, const net::ConnectOptions& to, bool reads = true,
         const SocketOptions& options = {})
      : socket(reactor, options) {
    journal.record(socket, reads);
    const auto started = socket.connect(to);
    EXPECT_TRUE(started.has_value()) << (started ? "" : started.error().message());
  }

  Socket socket;
};

// Host "a", where the server is, and host "b", where the client is.
class SimTest : public testing::Test {
 protected:
  static constexpr std::uint16_t kPort = 7;
  static constexpr Duration kWait = std::chrono::minutes(30);
  static constexpr Duration kSynTime = std::chrono::seconds(127);   // tcp_syn_retries: 6
  static constexpr Duration kSendTime = std::chrono::seconds(924);  // tcp_retries2: 15
  static constexpr Duration kSlack = std::chrono::seconds(1);

  SimTest() { make({}); }

  // Another world, in the place of the one that is there.
  void make(WorldOptions options) {
    world_.reset();
    world_ = std::make_unique<World>(std::move(options));
    world_->add_host("a");
    world_->add_host("b");
    server_ = client_ = {};
    mark();
  }
  World& world() { return *world_; }
  Host& a() { return world_->host("a"); }
  Host& b() { return world_->host("b"); }
  SimBackend& kernel(Host& host) { return static_cast<SimBackend&>(host.reactor().backend()); }
  // Its programs, too.
  void end_world() { world_.reset(); }
  // Leaves the world as it is, for ever: an operation in it has no end.
  void abandon_world() { (void)world_.release(); }
  // Times are told from here on.
  void mark() {
    server_.begin(*world_);
    client_.begin(*world_);
  }
  void forget() {
    server_ = client_ = {};
    mark();
  }
  void set_link(const Link& link) { world_->set_link(a(), b(), link); }

  Service& serve(bool reads = true) {
    server_reads_ = reads;
    a().start([this](Reactor& reactor) {
      auto made = std::make_unique<Service>(reactor, server_, at_, server_reads_);
      service_ = made.get();
      return made;
    });
    return *service_;
  }
  // To the server, unless `to_` says otherwise.
  Caller& call(bool reads = true) {
    if (to_.port < 0) to_ = {.host = a().ipv4().host(), .port = kPort};
    client_reads_ = reads;
    b().start([this](Reactor& reactor) {
      auto made = std::make_unique<Caller>(reactor, client_, to_, client_reads_);
      caller_ = made.get();
      return made;
    });
    return *caller_;
  }
  // A connection that stands, and nothing that moves; times from now on.
  [[nodiscard]] bool join(bool server_reads = true, bool client_reads = true) {
    serve(server_reads);
    call(client_reads);
    if (!until([&] { return client_.has("connect") && server_.has("connection"); })) return false;
    world_->run_for(std::chrono::seconds(1));
    forget();
    return service_->peer != nullptr;
  }
  Socket& client() { return caller_->socket; }
  Socket& peer() { return *service_->peer; }

  [[nodiscard]] bool until(Function<bool()> done) {
    return world_->run_until(std::move(done), kWait);
  }
  [[nodiscard]] bool until_both_closed() {
    return until([this] { return client_.has("close") && server_.has("close"); });
  }

  Journal server_;
  Journal client_;
  Service* service_ = nullptr;
  Caller* caller_ = nullptr;
  net::ListenAt at_{.port = kPort, .host = "::"};
  net::ConnectOptions to_;
  bool server_reads_ = true;
  bool client_reads_ = true;

 private:
  std::unique_ptr<World> world_;
};

}  // namespace weir::test
