// What net_mayhem_test.cc and its reviewer have found, each in its smallest form.
#include <gtest/gtest.h>

#include <poll.h>

#include <filesystem>

#include "tests/pair.h"
#include "weir/net/pipe.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::Detached;

class MayhemBugsTest : public PairTest {
 protected:
  std::size_t open_fds() {
    if (simulated()) return static_cast<SimBackend&>(reactor().backend()).open_fds();
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }
};

// The write of the pipe closes the destination, which ends the pipe.
TEST_P(MayhemBugsTest, APipeToASocketThatHasEndedGoesOnce) {
  join({.peer_reads = false});
  Socket& source = peer();
  Socket sink(reactor());
  sink.on_error([](Socket&, const Error&) {});
  ASSERT_TRUE(sink.connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return sink.ready_state() == net::ReadyState::open; }));
  client().on_data([&](Socket&, Buffer) { sink.end(); });  // before the pipe gets it
  net::pipe(client(), sink);
  source.write("to nobody");
  ASSERT_TRUE(run_until([&] { return sink.destroyed(); }));
}

TEST_P(MayhemBugsTest, APipeToASocketWhosePolicyClosesItGoesOnce) {
  join({.peer_reads = false});
  Socket& source = peer();
  Socket sink(reactor(), {.queue = {.high_water = 1, .bytes_max = 2},
                          .policy = net::QueuePolicy::close});
  sink.on_error([](Socket&, const Error&) {});
  ASSERT_TRUE(sink.connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return sink.ready_state() == net::ReadyState::open; }));
  sink.cork();
  net::pipe(client(), sink);
  sink.write("queued");
  source.write("too much");
  ASSERT_TRUE(run_until([&] { return sink.destroyed(); }));
}

// A callback of a write that fails runs before the fd is given.
TEST_P(MayhemBugsTest, ADetachedFdIsNotLostWhenACallbackTakesTheSocketAway) {
  join();
  const std::size_t before = open_fds();
  bool closed = false;
  ASSERT_TRUE(client().detach([&](Socket&, Expected<Detached>) {}).has_value());
  const std::function<void(Socket&, std::error_code)> again = [&](Socket& socket, auto) {
    if (socket.native_handle() >= 0) {
      socket.write("too late", [&](Socket& same, std::error_code code) { again(same, code); });
    } else {
      closed = true;
      client_.reset();
    }
  };
  again(client(), {});
  ASSERT_TRUE(run_until([&] { return closed; }));
  ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  EXPECT_EQ(open_fds() + 2, before);
}

// The peer's FIN, while what is queued is still on its way out.
TEST_P(MayhemBugsTest, ADetachedConnectionIsNotEndedByThePeersEnd) {
  join({.peer_reads = false});
  Record record;
  const std::string much = pattern(8 << 20, 1);
  client().write(much);
  int fd = -1;
  ASSERT_TRUE(client().detach([&](Socket&, Expected<Detached> detached) {
    if (detached) fd = detached->fd;
  }).has_value());
  peer().set_allow_half_open(true);
  run_for(5ms);
  peer().end();
  ASSERT_TRUE(run_until([&] { return peer().writable_finished(); }));
  run_for(5ms);
  record_data(peer(), record);
  ASSERT_TRUE(run_until([&] { return fd >= 0; }));
  EXPECT_FALSE(client_record_.has("finish"));
  Socket next(reactor(), {.allow_half_open = true});
  ASSERT_TRUE(next.adopt(fd).has_value());
  next.on_error([](Socket&, const Error& error) { ADD_FAILURE() << error.message(); });
  next.write("more");
  next.end();
  EXPECT_TRUE(run_until([&] { return record.bytes.size() == much.size() + 4; }));
}

TEST_P(MayhemBugsTest, EndAfterDetachDoesNotEndTheConnection) {
  join();
  int fd = -1;
  ASSERT_TRUE(client().detach([&](Socket&, Expected<Detached> detached) {
    if (detached) fd = detached->fd;
  }).has_value());
  client().end();
  ASSERT_TRUE(run_until([&] { return fd >= 0; }));
  Socket next(reactor());
  next.on_error([](Socket&, const Error& error) { ADD_FAILURE() << error.message(); });
  ASSERT_TRUE(next.adopt(fd).has_value());
  next.write("more");
  EXPECT_TRUE(run_until([&] { return !peer_record_.bytes.empty() || peer_record_.closes != 0; }));
  EXPECT_EQ(peer_record_.bytes, "more");
}

// A destination that gets its connection by adopt(), after bytes have waited for it.
TEST_P(MayhemBugsTest, APipeGoesOnWhenItsDestinationAdoptsAConnection) {
  join();
  Socket& source = peer();
  Socket first(reactor());
  Socket to(reactor());
  ASSERT_TRUE(first.connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return first.ready_state() == net::ReadyState::open; }));
  int fd = -1;
  ASSERT_TRUE(first.detach([&](Socket&, Expected<Detached> detached) {
    if (detached) fd = detached->fd;
  }).has_value());
  ASSERT_TRUE(run_until([&] { return fd >= 0; }));
  net::pipe(client(), to);
  source.write("for the adopted one");
  ASSERT_TRUE(run_until([&] { return client_record_.has("data") || client().bytes_read() != 0; }));
  peer_record_.bytes.clear();
  ASSERT_TRUE(to.adopt(fd).has_value());
  Timer guard = reactor().after(300ms, [] {});
  EXPECT_TRUE(run_until([&] {
    return peer_record_.bytes.find("adopted") != std::string::npos || !guard.armed();
  }));
  EXPECT_NE(peer_record_.bytes.find("adopted"), std::string::npos);
}

// The failed listen() drops its callback, and the server with it.
TEST_P(MayhemBugsTest, ACallbackOfListenMayHoldTheServersLastReference) {
  {
    auto server = std::make_shared<Server>(reactor());
    Server* raw = server.get();
    const net::ListenAt at{.port = 0, .host = "no.such.host.invalid"};
    ASSERT_TRUE(raw->listen(at, [server = std::move(server)](Server&) {}).has_value());
  }
  EXPECT_TRUE(run_returns());
}

// The last reference to the socket, as programs keep it.
TEST_P(MayhemBugsTest, ACallbackOfAWriteMayHoldTheSocketsLastReference) {
  listen();
  bool called = false;
  {
    auto socket = std::make_shared<Socket>(reactor());
    ASSERT_TRUE(socket->connect(to_).has_value());
    Socket* raw = socket.get();
    raw->write("bye", [socket = std::move(socket), &called](Socket&, std::error_code) {
      called = true;
    });
  }
  EXPECT_TRUE(run_until([&] { return called && server_->connections() == 0; }));
}

TEST_P(MayhemBugsTest, ACallbackOfAnEndMayHoldTheSocketsLastReference) {
  listen();
  bool called = false;
  {
    auto socket = std::make_shared<Socket>(reactor());
    ASSERT_TRUE(socket->connect(to_).has_value());
    Socket* raw = socket.get();
    raw->end("bye", [socket = std::move(socket), &called](Socket&, std::error_code) {
      called = true;
    });
  }
  EXPECT_TRUE(run_until([&] { return called && server_->connections() == 0; }));
}

TEST_P(MayhemBugsTest, ACallbackOfDetachMayHoldTheSocketsLastReference) {
  listen();
  int fd = -1;
  {
    auto socket = std::make_shared<Socket>(reactor());
    Socket* raw = socket.get();
    ASSERT_TRUE(raw->connect(to_).has_value());
    ASSERT_TRUE(run_until([&] { return raw->ready_state() == net::ReadyState::open; }));
    const auto taken = raw->detach(
        [socket = std::move(socket), &fd](Socket&, Expected<Detached> detached) {
          if (detached) fd = detached->fd;
        });
    ASSERT_TRUE(taken.has_value());
  }
  EXPECT_TRUE(run_until([&] { return fd >= 0; }));
  reactor().backend().close(fd);
}

TEST_P(MayhemBugsTest, ACallbackOfCloseMayHoldTheServersLastReference) {
  bool called = false;
  {
    auto server = std::make_shared<Server>(reactor());
    Server* raw = server.get();
    raw->on_server_close([](Server& server) { EXPECT_FALSE(server.listening()); });
    ASSERT_TRUE(raw->listen({.port = 0, .host = "127.0.0.1"}).has_value());
    ASSERT_TRUE(raw->close([server = std::move(server), &called](Server&, std::error_code) {
      called = true;
    }).has_value());
  }
  EXPECT_TRUE(run_until([&] { return called; }));
}

TEST_P(MayhemBugsTest, AnEndlessTimeoutInTheOptionsIsNoCrash) {
  Socket socket(reactor(), {.timeout = Duration::max()});
  listen();
  EXPECT_TRUE(socket.connect(to_).has_value());
}

// A self-pipe whose sending side is ended while it waits for room: its other reader goes on.
TEST_P(MayhemBugsTest, APipeThatWaitsDoesNotOutliveTheEndOfItsDestination) {
  PairOptions options;
  options.server.socket.queue = {.high_water = 1};
  options.server.socket.allow_half_open = true;
  join(options);
  client_->set_allow_half_open(true);
  net::pipe(peer(), peer());
  peer().cork();
  client().write("echo");
  ASSERT_TRUE(run_until([&] { return peer().writable_length() != 0; }));
  peer().end();
  client().write("more");
  client().end();
  Timer guard = reactor().after(300ms, [] {});
  std::ignore = run_until([&] { return server_->connections() == 0 || !guard.armed(); });
  EXPECT_EQ(server_->connections(), 0U);
}

// A write to a closed socket, which then connects to somebody who does not answer.
TEST_P(MayhemBugsTest, ARefusedWritesCallbackDoesNotWaitForTheNextConnection) {
  struct Silent final : net::Resolver {
    void resolve(std::string_view, Family, net::ResolveReply reply) override {
      replies.push_back(std::move(reply));
    }
    std::vector<net::ResolveReply> replies;
  } silent;
  Socket socket(reactor());
  bool called = false;
  bool closed = false;
  socket.on_close([&](Socket&, std::error_code) { closed = true; });
  socket.destroy();
  ASSERT_TRUE(run_until([&] { return closed; }));
  socket.write("x", [&](Socket&, std::error_code) { called = true; });
  ASSERT_TRUE(socket.connect({.host = "somewhere", .port = 1, .resolver = &silent}).has_value());
  run_for(2ms);
  EXPECT_TRUE(called);
  silent.replies.clear();
}

// The end of a source is not lost because its destination is yet to connect.
TEST_P(MayhemBugsTest, ThePipedEndWaitsForADestinationThatIsYetToConnect) {
  join();
  Socket to(reactor());
  net::pipe(client(), to);
  peer().end();
  ASSERT_TRUE(run_until([&] { return client_record_.has("end"); }));
  to.on_error([](Socket&, const Error&) {});
  ASSERT_TRUE(to.connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return to.ready_state() != net::ReadyState::opening; }));
  run_for(5ms);
  EXPECT_TRUE(to.writable_ended());
}

// A resolver that answers nonsense.
TEST_P(MayhemBugsTest, AnAddressWithoutAFamilyIsAnErrorOfItsAttempt) {
  struct Empty final : net::Resolver {
    void resolve(std::string_view, Family, net::ResolveReply reply) override {
      reply.found({IpEndpoint{}, IpEndpoint{}});
    }
  } empty;
  Socket socket(reactor());
  Record record;
  weir::test::record(socket, record);
  ASSERT_TRUE(socket.connect({.host = "x", .port = 1, .resolver = &empty}).has_value());
  ASSERT_TRUE(run_until([&] { return record.closes == 1; }));
  EXPECT_EQ(record.errors.size(), 1U);
}

WEIR_ON_ALL_BACKENDS(MayhemBugsTest);

}  // namespace
}  // namespace weir::test
