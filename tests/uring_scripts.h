// What servers and clients, datagrams and files are made to do while a kernel fails them, and what
// came of it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <string>
#include <system_error>

#include "tests/pair.h"
#include "weir/net/input_stream.h"
#include "weir/net/output_stream.h"
#include "weir/net/udp_socket.h"

namespace weir::test::script {

// What a script has come to.
struct Outcome {
  bool over = false;   // nothing is waited for in vain
  bool whole = false;  // everything was as if there were no faults
  std::set<std::error_code> told;
  std::string wrong;  // a line for each promise that was broken
};

inline bool run_until(Reactor& reactor, const std::function<bool()>& done) {
  const Instant end = reactor.now() + kPatience;
  while (!done()) {
    if (reactor.now() >= end) return false;
    reactor.run_once(end);
  }
  return true;
}

// One for all scripts, which run one by one.
inline const std::string& directory() {
  struct Directory {
    Directory() {
      char name[] = "/tmp/weir-errno-XXXXXX";
      path = mkdtemp(name);
    }
    ~Directory() { std::filesystem::remove_all(path); }
    std::string path;
  };
  static const Directory made;
  return made.path;
}

// ---- Sockets ----

// Ten clients send two pieces each, read when these are gone, and end when both are back: sends go
// as batches, receives pause and resume, whoever accepts closes.
class Sockets {
 public:
  explicit Sockets(Reactor& reactor) : reactor_(reactor), server_(reactor) {
    server_.on_data([this](Socket& socket, Buffer bytes) {
      ++writes_;
      socket.write(std::move(bytes), [this](Socket&, std::error_code) { ++callbacks_; });
    });
    server_.on_error([this](Socket&, const Error& error) { outcome_.told.insert(error.code); });
    server_.on_server_error(
        [this](Server&, const Error& error) { outcome_.told.insert(error.code); });
    server_.on_server_close([this](Server&) { ++server_closes_; });
  }

  Outcome run() {
    const auto bound = server_.listen({.port = 0, .host = "127.0.0.1"});
    EXPECT_TRUE(bound.has_value());
    for (int i = 0; i < kClients; ++i) start(clients_.emplace_back(reactor_), bound->port());
    const auto closed = [](const Client& one) { return one.closes != 0; };
    outcome_.over = run_until(reactor_, [&] { return std::ranges::all_of(clients_, closed); });
    EXPECT_TRUE(server_.close().has_value());
    outcome_.over = run_until(reactor_, [&] { return server_closes_ != 0; }) && outcome_.over;
    judge();
    return outcome_;
  }

 private:
  static constexpr int kClients = 10;
  static constexpr std::size_t kPiece = 300;

  struct Client {
    explicit Client(Reactor& reactor) : socket(reactor) {}
    Socket socket;
    std::string received;
    int closes = 0;
    bool after_close = false;
    bool failed = false;
  };

  void start(Client& client, std::uint16_t port) {
    client.socket.on_connect([this](Socket& socket) { send(socket); });
    client.socket.on_data([&client](Socket& socket, Buffer bytes) {
      client.after_close = client.after_close || client.closes != 0;
      client.received += bytes.view();
      if (client.received.size() == 2 * kPiece) socket.end();
    });
    client.socket.on_error([this, &client](Socket&, const Error& error) {
      client.failed = true;
      outcome_.told.insert(error.code);
    });
    client.socket.on_close([&client](Socket&, std::error_code) { ++client.closes; });
    EXPECT_TRUE(client.socket.connect({.host = "127.0.0.1", .port = port}).has_value());
  }

  void send(Socket& socket) {
    socket.pause();
    for (const char byte : {'a', 'b'}) {
      ++writes_;
      socket.write(Buffer::take(std::string(kPiece, byte)), [this](Socket& its, std::error_code) {
        ++callbacks_;
        its.resume();
      });
    }
  }

  void judge() {
    const auto promise = [this](bool kept, const char* what) {
      if (!kept) outcome_.wrong += std::string(what) + "\n";
    };
    const std::string sent = std::string(kPiece, 'a') + std::string(kPiece, 'b');
    outcome_.whole = true;
    for (const Client& one : clients_) {
      promise(one.closes == 1 && !one.after_close, "'close' comes once, and last");
      promise(sent.starts_with(one.received), "bytes come as they were sent");
      outcome_.whole = outcome_.whole && one.received == sent && !one.failed;
    }
    promise(server_closes_ == 1, "the server closes once");
    promise(callbacks_ == writes_, "each write is answered once");
    promise(reactor_.counters().sockets == 0, "no socket is left");
    promise(reactor_.counters().queue_bytes == 0, "nothing is queued any more");
  }

  Reactor& reactor_;
  Outcome outcome_;
  std::deque<Client> clients_;
  int writes_ = 0;
  int callbacks_ = 0;
  int server_closes_ = 0;
  Server server_;
};

// ---- Passed descriptors ----

// Ten clients pass a descriptor each, and end.
class Passed {
 public:
  explicit Passed(Reactor& reactor) : reactor_(reactor), server_(reactor) {
    server_.on_connection(
        [](Socket& socket) { EXPECT_TRUE(socket.receive_descriptors().has_value()); });
    server_.on_data([](Socket&, Buffer) {});
    server_.on_descriptor([this](Socket&, int fd) {
      ++passed_;
      ::close(fd);
    });
    server_.on_error([this](Socket&, const Error& error) { outcome_.told.insert(error.code); });
  }

  Outcome run() {
    const std::string path = directory() + "/socket";
    EXPECT_TRUE(server_.listen({.path = path}).has_value());
    for (int i = 0; i < kClients; ++i) {
      Socket& client = clients_.emplace_back(reactor_);
      client.on_connect([](Socket& socket) {
        const int fd = ::dup(0);
        if (!socket.send_descriptor(fd, "x")) ::close(fd);
        socket.end();
      });
      client.on_data([](Socket&, Buffer) {});
      client.on_error([this](Socket&, const Error& error) { outcome_.told.insert(error.code); });
      client.on_close([this](Socket&, std::error_code) { ++closes_; });
      EXPECT_TRUE(client.connect({.path = path}).has_value());
    }
    outcome_.over = run_until(
        reactor_, [&] { return closes_ == kClients && server_.connections() == 0; });
    EXPECT_TRUE(server_.close().has_value());
    outcome_.over = run_until(reactor_, [&] { return !server_.listening(); }) && outcome_.over;
    outcome_.whole = passed_ == kClients && outcome_.told.empty();
    if (closes_ != kClients) outcome_.wrong += "'close' comes once\n";
    return outcome_;
  }

 private:
  static constexpr int kClients = 10;

  Reactor& reactor_;
  Outcome outcome_;
  std::deque<Socket> clients_;
  int passed_ = 0;
  int closes_ = 0;
  Server server_;
};

// ---- Datagrams ----

// One socket answers another, five times.
class Datagrams {
 public:
  explicit Datagrams(Reactor& reactor) : reactor_(reactor), asking_(reactor), answering_(reactor) {
    for (net::UdpSocket* one : {&asking_, &answering_}) {
      one->on_error(
          [this](net::UdpSocket&, const Error& error) { outcome_.told.insert(error.code); });
      one->on_close([this](net::UdpSocket&) { ++closes_; });
    }
    answering_.on_message([](net::UdpSocket& socket, const net::Datagram& one) {
      EXPECT_TRUE(socket.send(one.bytes, one.from).has_value());
    });
    asking_.on_message([this](net::UdpSocket&, const net::Datagram& one) {
      got_ += one.bytes;
      if (got_.size() < kRounds) ask();
    });
  }

  Outcome run() {
    const auto bound = answering_.bind({.port = 0, .host = "127.0.0.1"});
    EXPECT_TRUE(bound.has_value());
    to_ = bound->ip();
    ask();
    outcome_.over = run_until(reactor_, [&] { return got_.size() == kRounds; });
    for (net::UdpSocket* one : {&asking_, &answering_}) EXPECT_TRUE(one->close().has_value());
    outcome_.over = run_until(reactor_, [&] { return closes_ == 2; }) && outcome_.over;
    outcome_.whole = got_ == "01234" && outcome_.told.empty();
    if (got_ != "01234") outcome_.wrong += "each is answered once, in order\n";
    return outcome_;
  }

 private:
  static constexpr std::size_t kRounds = 5;

  void ask() { EXPECT_TRUE(asking_.send(std::to_string(got_.size()), to_).has_value()); }

  Reactor& reactor_;
  Outcome outcome_;
  net::UdpSocket asking_;
  net::UdpSocket answering_;
  IpEndpoint to_;
  std::string got_;
  int closes_ = 0;
};

// ---- Files ----

// A file is copied piece by piece.
class Files {
 public:
  explicit Files(Reactor& reactor) : reactor_(reactor) {
    std::ofstream(from_, std::ios::binary) << content_;
  }

  Outcome run() {
    auto from = net::open_file(reactor_, from_, {.read_bytes = 1000});
    net::OutputStream to(reactor_, to_);
    watch(from);
    watch(to);
    from.on_data([&](net::InputStream&, Buffer bytes) { to.write(std::move(bytes)); });
    from.on_close([&](net::InputStream&, std::error_code) { to.end(); });
    outcome_.over = run_until(reactor_, [&] { return closes_ == 2; });
    std::ostringstream copied;
    copied << std::ifstream(to_, std::ios::binary).rdbuf();
    outcome_.whole = copied.str() == content_ && outcome_.told.empty();
    if (!content_.starts_with(copied.str())) outcome_.wrong += "bytes are written as they were\n";
    return outcome_;
  }

 private:
  template <class Stream>
  void watch(Stream& stream) {
    stream.on_error([this](Stream&, const Error& error) { outcome_.told.insert(error.code); });
    stream.on_close([this](Stream&, std::error_code) { ++closes_; });
  }

  Reactor& reactor_;
  Outcome outcome_;
  std::string from_ = directory() + "/from";
  std::string to_ = directory() + "/to";
  std::string content_ = pattern(4500, 1);
  int closes_ = 0;
};

using Play = Outcome (*)(Reactor&);

template <class Script>
Outcome play(Reactor& reactor) {
  return Script(reactor).run();
}

}  // namespace weir::test::script
