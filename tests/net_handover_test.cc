// Connections that come from somebody else or go to somebody else, and descriptors over them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "tests/pair.h"
#include "tests/rules.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::Detached;

constexpr std::size_t kMoreThanTheKernelTakes = 48 << 20;
constexpr std::size_t kMoreThanAUnixSocketTakes = 8 << 20;  // and room is left in the queue

// Plain calls on fds that are no weir socket's: the kernel's, or the simulator's.
class FdTest : public PairTest {
 protected:
  void TearDown() override {
    while (!mine_.empty()) close_mine(mine_.back());
    PairTest::TearDown();
  }

  SimBackend& sim() { return static_cast<SimBackend&>(reactor().backend()); }

  // Two connected stream sockets; closed at the end of the test when they still are ours.
  std::pair<int, int> make_pair() {
    int fds[2];
    if (simulated()) {
      std::tie(fds[0], fds[1]) = sim().make_pair();
    } else {
      EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    }
    mine_.insert(mine_.end(), {fds[0], fds[1]});
    return {fds[0], fds[1]};
  }
  // It was given away, or came to us.
  void forget(int fd) { std::erase(mine_, fd); }
  void keep(int fd) { mine_.push_back(fd); }
  void close_mine(int fd) {
    forget(fd);
    if (simulated()) {
      sim().close(fd);
    } else {
      ::close(fd);
    }
  }

  bool put(int fd, std::string_view bytes) {
    const auto size = static_cast<ssize_t>(bytes.size());
    return (simulated() ? sim().write(fd, bytes) : ::write(fd, bytes.data(), bytes.size())) == size;
  }
  // Bytes, 0 at the end, negative when there is nothing yet or ever.
  ssize_t take(int fd, std::span<char> room) {
    return simulated() ? sim().read(fd, room) : ::read(fd, room.data(), room.size());
  }
  bool comes(int fd, std::string_view expected) {
    std::string got;
    const bool over = run_until([&] {
      char room[64];
      const ssize_t size = take(fd, room);
      if (size > 0) got.append(room, static_cast<std::size_t>(size));
      return got == expected || size == 0;
    });
    return over && got == expected;
  }
  // True when everybody has closed the other end.
  bool ends(int fd) {
    char room[64];
    return run_until([&] { return take(fd, room) == 0; });
  }

  // Of the process, or of the simulated world.
  std::size_t open_fds() {
    if (simulated()) return sim().open_fds();
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }

 private:
  std::vector<int> mine_;
};

// Descriptors over Unix sockets -----------------------------------------------------------------

class DescriptorPassingTest : public FdTest {
 protected:
  static PairOptions over_unix(bool peer_reads = true) {
    return {.peer_reads = peer_reads, .over_unix = true};
  }

  static void receive(Socket& socket) { EXPECT_TRUE(socket.receive_descriptors().has_value()); }

  // A connection whose peer takes descriptors.
  void join_taking(bool peer_reads = true) {
    listen(over_unix(peer_reads));
    take_descriptors();
    connect_again();
  }
  void take_descriptors() {
    server_->on_connection(&receive);
    server_->on_descriptor([this](Socket& socket, int fd) {
      EXPECT_EQ(&socket, peer_);
      peer_record_.note("descriptor");
      came_.push_back(fd);
      came_at_.push_back(peer_record_.bytes.size());
      keep(fd);
    });
  }
  void connect_again() {
    client_record_ = {};
    peer_record_ = {};
    ASSERT_TRUE(client().connect(to_).has_value());
    ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
  }

  // Passes one end of a new pair; returns the other one.
  int pass(std::string_view bytes) {
    const auto [ours, theirs] = make_pair();
    const auto passed = client().send_descriptor(theirs, bytes);
    EXPECT_TRUE(passed.has_value()) << passed.error().message();
    if (passed) {
      EXPECT_TRUE(*passed == Write::ok || *passed == Write::full);
    }
    forget(theirs);
    return ours;
  }

  std::vector<int> came_;
  std::vector<std::size_t> came_at_;  // bytes that had come before each
};

TEST_P(DescriptorPassingTest, APassedOneComesBeforeItsDataAndWorks) {
  join_taking();
  const std::size_t before = open_fds();
  const int ours = pass("with it");
  EXPECT_FALSE(peer_record_.has("descriptor"));
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "with it"; }));
  EXPECT_EQ(peer_record_.order(), "descriptor data");
  ASSERT_EQ(came_.size(), 1U);
  EXPECT_TRUE(put(came_[0], "through it"));
  EXPECT_TRUE(comes(ours, "through it"));
  EXPECT_TRUE(put(ours, "and back"));
  EXPECT_TRUE(comes(came_[0], "and back"));
  EXPECT_TRUE(run_until([&] { return open_fds() == before + 2; })) << "the sender keeps none";
  close_mine(came_[0]);
  EXPECT_TRUE(ends(ours)) << "the receiver's was not the only one";
  close_mine(ours);
  EXPECT_EQ(open_fds(), before);
}

TEST_P(DescriptorPassingTest, SeveralComeInOrderAmongOtherData) {
  join_taking();
  constexpr std::size_t kPassed = 12;
  std::string sent;
  std::vector<int> ours;
  std::vector<std::size_t> at;
  for (std::size_t i = 0; i < kPassed; ++i) {
    const std::string plain = pattern(i * i * 400, static_cast<unsigned>(i));
    const std::string along = "descriptor " + std::to_string(i);
    if (!plain.empty()) client().write(plain);
    at.push_back(sent.size() + plain.size());
    ours.push_back(pass(along));
    sent += plain + along;
  }
  client().write("the rest");
  sent += "the rest";
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes.size() == sent.size(); }));
  EXPECT_TRUE(peer_record_.bytes == sent);
  ASSERT_EQ(came_.size(), kPassed);
  for (std::size_t i = 0; i < kPassed; ++i) {
    EXPECT_LE(came_at_[i], at[i]) << "after its data";
    EXPECT_TRUE(put(came_[i], std::to_string(i)));
    EXPECT_TRUE(comes(ours[i], std::to_string(i)));
  }
}

TEST_P(DescriptorPassingTest, OneGoesWithMuchData) {
  join_taking();
  const std::string bytes = pattern(3 << 20, 3);
  const int ours = pass(bytes);
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes.size() == bytes.size(); }));
  EXPECT_TRUE(peer_record_.bytes == bytes);
  EXPECT_EQ(peer_record_.order(), "descriptor data");
  ASSERT_EQ(came_.size(), 1U);
  close_mine(came_[0]);
  EXPECT_TRUE(ends(ours));
}

TEST_P(DescriptorPassingTest, AClientMayTakeThemFromConnectOnOrLater) {
  for (const bool later : {false, true}) {
    SCOPED_TRACE(later);
    listen(over_unix());
    int came = -1;
    client().on_connect([&](Socket& socket) {
      if (!later) receive(socket);
    });
    client().on_descriptor([&](Socket&, int fd) {
      came = fd;
      keep(fd);
    });
    connect_again();
    if (later) receive(client());
    const auto [ours, theirs] = make_pair();
    ASSERT_TRUE(peer().send_descriptor(theirs, "!").has_value());
    forget(theirs);
    ASSERT_TRUE(run_until([&] { return client_record_.bytes == "!"; }));
    EXPECT_NE(came, -1);
    if (came == -1) continue;
    EXPECT_TRUE(put(came, "works"));
    EXPECT_TRUE(comes(ours, "works"));
  }
}

TEST_P(DescriptorPassingTest, WhoDoesNotTakeThemGetsTheBytesAlone) {
  listen(over_unix());
  int descriptors = 0;
  server_->on_descriptor([&](Socket&, int) { ++descriptors; });
  connect_again();
  const std::size_t before = open_fds();
  const int one = pass("one");
  const int two = pass(" and two");
  client().write(" and more");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "one and two and more"; }));
  EXPECT_TRUE(ends(one));
  EXPECT_TRUE(ends(two));
  EXPECT_EQ(descriptors, 0);
  EXPECT_TRUE(run_until([&] { return open_fds() == before + 2; }));
}

TEST_P(DescriptorPassingTest, WithoutAListenerTheyAreClosed) {
  listen(over_unix());
  server_->on_connection(&receive);
  connect_again();
  const int ours = pass("nobody takes it");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "nobody takes it"; }));
  EXPECT_TRUE(ends(ours));
}

TEST_P(DescriptorPassingTest, NoneLeaksWhoeverDies) {
  join_taking(false);
  client().destroy();
  ASSERT_TRUE(run_until_closed());
  const std::size_t before = open_fds();
  enum : int { at_once, queued, deleted, receiver, kWays };
  for (int way = 0; way < kWays; ++way) {
    SCOPED_TRACE(way);
    connect_again();
    if (way == queued) client().write(std::string(kMoreThanAUnixSocketTakes, 'x'));
    const int first = pass("1");
    const int second = pass("2");
    if (way == queued || way == receiver) run_for(1ms);
    if (way == queued) {
      EXPECT_GT(client().writable_length(), 2U);
    }
    if (way == receiver) {
      ASSERT_TRUE(run_until([&] { return input_arrived(peer()); }));
      peer().destroy();
    } else if (way == deleted) {
      client_ = std::make_unique<Socket>(reactor());
      record(*client_, client_record_);
    } else {
      client().destroy();
    }
    EXPECT_TRUE(ends(first));
    EXPECT_TRUE(ends(second));
    close_mine(first);
    close_mine(second);
    if (peer_ != nullptr) peer().destroy();
    ASSERT_TRUE(run_until([&] {
      return server_->connections() == 0 && (way == deleted || client_record_.closes != 0);
    }));
    EXPECT_TRUE(run_until([&] { return open_fds() == before; })) << open_fds() << " " << before;
  }
  EXPECT_TRUE(came_.empty());
}

TEST_P(DescriptorPassingTest, MistakesLeaveTheDescriptorToTheCaller) {
  const auto [ours, theirs] = make_pair();
  Socket fresh(reactor());
  EXPECT_FALSE(fresh.receive_descriptors().has_value());
  const auto early = fresh.send_descriptor(theirs, "!");
  EXPECT_TRUE(!early || *early == Write::closed);
  join();
  EXPECT_FALSE(client().send_descriptor(theirs, "!").has_value()) << "over TCP";
  EXPECT_FALSE(client().receive_descriptors().has_value());
  client_.reset();
  peer_ = nullptr;
  client_record_ = {};
  peer_record_ = {};
  join_taking();
  EXPECT_FALSE(client().send_descriptor(theirs, "").has_value()) << "it needs a byte";
  EXPECT_FALSE(client().send_descriptor(-1, "!").has_value());
  client().end();
  const auto late = client().send_descriptor(theirs, "!");
  EXPECT_TRUE(!late || *late == Write::closed);
  client_record_.events.clear();
  ASSERT_TRUE(run_until_closed());
  EXPECT_TRUE(came_.empty());
  EXPECT_TRUE(put(theirs, "still mine"));
  EXPECT_TRUE(comes(ours, "still mine"));
}

TEST_P(DescriptorPassingTest, CredentialsAreOfUnixConnectionsOnly) {
  Socket fresh(reactor());
  EXPECT_FALSE(fresh.peer_credentials().has_value());
  join();
  EXPECT_FALSE(client().peer_credentials().has_value()) << "over TCP";
  client_.reset();
  peer_ = nullptr;
  client_record_ = {};
  join(over_unix());
  for (const Socket* end : {&client(), &peer()}) {
    const auto credentials = end->peer_credentials();
    ASSERT_TRUE(credentials.has_value()) << credentials.error().message();
    if (simulated()) continue;  // it has no processes and users
    EXPECT_EQ(credentials->pid, getpid());
    EXPECT_EQ(credentials->uid, geteuid());
    EXPECT_EQ(credentials->gid, getegid());
  }
}

WEIR_ON_ALL_BACKENDS(DescriptorPassingTest);

// Adopting --------------------------------------------------------------------------------------

class AdoptTest : public FdTest {};

TEST_P(AdoptTest, OneEndOfAPairIsAConnection) {
  RULES("2.2.2.1");
  const std::size_t before = open_fds();
  const auto [ours, theirs] = make_pair();
  Socket socket(reactor());
  Record seen;
  record(socket, seen);
  record_data(socket, seen);
  EXPECT_TRUE(put(ours, "early, "));
  ASSERT_TRUE(socket.adopt(theirs).has_value());
  forget(theirs);
  EXPECT_EQ(socket.ready_state(), net::ReadyState::open);
  EXPECT_EQ(socket.native_handle(), theirs);
  EXPECT_TRUE(put(ours, "late"));
  ASSERT_TRUE(run_until([&] { return seen.bytes == "early, late"; }));
  EXPECT_EQ(socket.write("answer"), Write::ok);
  EXPECT_TRUE(comes(ours, "answer"));
  EXPECT_EQ(socket.adopt(ours).error().code, Mistake::already_connected);
  socket.end();
  EXPECT_TRUE(ends(ours)) << "end() shuts the sending side of adopted ones down too";
  EXPECT_EQ(seen.closes, 0);
  EXPECT_TRUE(put(ours, "!"));
  close_mine(ours);
  ASSERT_TRUE(run_until([&] { return seen.closes != 0; }));
  EXPECT_EQ(seen.bytes, "early, late!");
  EXPECT_EQ(seen.order(), "data finish data end close");
  EXPECT_FALSE(seen.closed_with);
  EXPECT_EQ(open_fds(), before);
}

TEST_P(AdoptTest, ItIsASocketLikeAnyOther) {
  RULES("2.2.2.1");
  const auto [left, right] = make_pair();
  Socket writer(reactor());
  Socket echo(reactor());
  Record seen;
  record(writer, seen);
  record_data(writer, seen);
  echo.on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  ASSERT_TRUE(writer.adopt(left).has_value());
  ASSERT_TRUE(echo.adopt(right).has_value());
  forget(left);
  forget(right);
  const std::string bytes = pattern(2 << 20, 6);
  writer.write(bytes);
  writer.end();
  ASSERT_TRUE(run_until([&] { return seen.closes != 0; }));
  EXPECT_TRUE(seen.bytes == bytes) << seen.bytes.size();
  EXPECT_FALSE(seen.closed_with);
}

TEST_P(AdoptTest, ANegativeDescriptorIsOutOfRange) {
  RULES("0.3.9");
  Socket socket(reactor());
  for (const int fd : {-1, -1000}) {
    const auto adopted = socket.adopt(fd);
    ASSERT_FALSE(adopted.has_value());
    EXPECT_EQ(name_of(adopted.error().code), "ERR_OUT_OF_RANGE");
  }
  EXPECT_EQ(socket.native_handle(), -1);
  listen();
  record(socket, client_record_);
  ASSERT_TRUE(socket.connect(to_).has_value()) << "nothing has happened to it";
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready"); }));
}

WEIR_ON_ALL_BACKENDS(AdoptTest);

class AdoptKernelTest : public FdTest {};

TEST_P(AdoptKernelTest, WhatIsNoStreamSocketStaysTheCallers) {
  RULES("0.3.10 2.2.2.2");
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const int file = open("/dev/null", O_RDWR | O_CLOEXEC);
  const int datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const std::size_t before = open_fds();
  const std::pair<const char*, int> none_of_them[] = {
      {"reading end", ends[0]}, {"writing end", ends[1]}, {"file", file}, {"datagram", datagram}};
  for (const auto& [what, fd] : none_of_them) {
    Socket socket(reactor());
    const auto adopted = socket.adopt(fd);
    ASSERT_FALSE(adopted.has_value()) << what;
    EXPECT_EQ(name_of(adopted.error().code), "ERR_INVALID_FD_TYPE") << what;
    EXPECT_EQ(socket.native_handle(), -1) << what;
  }
  Socket socket(reactor());
  EXPECT_FALSE(socket.adopt(1 << 20).has_value()) << "not open at all";
  EXPECT_EQ(open_fds(), before);
  for (const int fd : {ends[0], ends[1], file, datagram}) EXPECT_EQ(::close(fd), 0);
}

TEST_P(AdoptKernelTest, ASocketThatIsNotConnectedStaysTheCallers) {
  RULES("2.2.2.2");
  const int fresh = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::listen(listening, 1), 0);
  for (const int fd : {fresh, listening}) {
    Socket socket(reactor());
    const auto adopted = socket.adopt(fd);
    ASSERT_FALSE(adopted.has_value()) << (fd == fresh ? "fresh" : "listening");
    EXPECT_EQ(name_of(adopted.error().code), "ERR_INVALID_FD_TYPE");
    EXPECT_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC) << "it was closed";
  }
  ::close(fresh);
  ::close(listening);
}

TEST_P(AdoptKernelTest, DestroyingDoesNotShutDownWhatIsShared) {
  const auto [ours, theirs] = make_pair();
  const int shared = fcntl(theirs, F_DUPFD_CLOEXEC, 0);
  keep(shared);
  Socket socket(reactor());
  Record seen;
  record(socket, seen);
  record_data(socket, seen);
  ASSERT_TRUE(socket.adopt(theirs).has_value());
  forget(theirs);
  EXPECT_TRUE(put(ours, "one"));
  ASSERT_TRUE(run_until([&] { return seen.bytes == "one"; }));
  socket.destroy();
  ASSERT_TRUE(run_until([&] { return seen.closes != 0; }));
  EXPECT_TRUE(put(ours, "two"));
  EXPECT_TRUE(comes(shared, "two"));
  EXPECT_TRUE(put(shared, "three"));
  EXPECT_TRUE(comes(ours, "three"));
}

WEIR_ON_KERNEL_BACKENDS(AdoptKernelTest);

// Detaching -------------------------------------------------------------------------------------

class DetachTest : public FdTest {
 protected:
  struct Outcome {
    int calls = 0;
    int fd = -1;
    std::string unread;
    std::error_code code;
  };

  // Starts; the outcome comes later.
  void detach(Socket& socket) {
    const auto started = socket.detach([this](Socket& self, Expected<Detached> detached) {
      ++outcome_.calls;
      EXPECT_FALSE(client_record_.has("close")) << "'close' follows";
      if (!detached) {
        outcome_.code = detached.error().code;
        return;
      }
      EXPECT_EQ(self.writable_length(), 0U);
      outcome_.fd = detached->fd;
      keep(detached->fd);
      for (const Buffer& bytes : detached->unread) outcome_.unread += bytes.view();
    });
    EXPECT_TRUE(started.has_value());
    EXPECT_EQ(outcome_.calls, 0) << "an event inside detach()";
  }

  // The connection goes on under another Socket, both ways, until both have ended.
  void go_on(const std::string& already, const std::string& expected) {
    ASSERT_EQ(outcome_.calls, 1);
    ASSERT_GE(outcome_.fd, 0);
    Socket heir(reactor());
    Record seen;
    record(heir, seen);
    record_data(heir, seen);
    ASSERT_TRUE(heir.adopt(outcome_.fd).has_value());
    forget(outcome_.fd);
    heir.write(" from the heir");
    ASSERT_TRUE(run_until([&] { return peer_record_.bytes.ends_with(" from the heir"); }));
    EXPECT_EQ(peer_record_.count("end") + peer_record_.count("error"), 0);
    EXPECT_EQ(peer_record_.closes, 0) << "the peer has noticed";
    peer().end(Buffer::literal(" to the heir"));
    ASSERT_TRUE(run_until([&] { return seen.closes != 0 && server_->connections() == 0; }));
    EXPECT_TRUE(already + outcome_.unread + seen.bytes == expected + " to the heir")
        << already.size() << " " << outcome_.unread.size() << " " << seen.bytes.size();
    EXPECT_FALSE(seen.closed_with);
    EXPECT_FALSE(peer_record_.closed_with);
  }

  Outcome outcome_;
};

TEST_P(DetachTest, AnIdleConnectionGoesOnUnderAnother) {
  for (const bool over_unix : {false, true}) {
    SCOPED_TRACE(over_unix);
    outcome_ = {};
    client_record_ = {};
    peer_record_ = {};
    join({.over_unix = over_unix});
    client().write("before");
    peer().write("greeting");
    ASSERT_TRUE(run_until(
        [&] { return client_record_.bytes == "greeting" && peer_record_.bytes == "before"; }));
    detach(client());
    EXPECT_FALSE(client().writable());
    ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
    EXPECT_EQ(client_record_.order(), "connect ready data close");
    EXPECT_FALSE(client_record_.closed_with);
    EXPECT_EQ(client().native_handle(), -1);
    go_on(client_record_.bytes, "greeting");
    EXPECT_EQ(peer_record_.bytes, "before from the heir");
  }
}

TEST_P(DetachTest, WhatWasReadAndNotDeliveredComesAlong) {
  for (const bool over_unix : {false, true}) {
    SCOPED_TRACE(over_unix);
    outcome_ = {};
    client_record_ = {};
    peer_record_ = {};
    join({.client_reads = false, .over_unix = over_unix});
    std::string delivered;
    client().on_data([&](Socket& socket, Buffer bytes) {
      delivered += bytes.view();
      if (outcome_.calls == 0 && !socket.is_paused()) {
        socket.pause();
        detach(socket);
      }
    });
    const std::string bytes = pattern(3 << 20, 17);
    peer().write(bytes);
    ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
    EXPECT_LT(delivered.size(), bytes.size());
    EXPECT_FALSE(client_record_.closed_with);
    go_on(delivered, bytes);
  }
}

TEST_P(DetachTest, WhatAPausedSocketHoldsComesAlong) {
  join();
  client().on_data([](Socket& socket, Buffer) { socket.pause(); });
  peer().write("first");
  ASSERT_TRUE(run_until([&] { return client().is_paused(); }));
  peer().write(", second");
  // All of the first, unless a kernel has taken less of it.
  const std::string seen = client_record_.bytes;
  EXPECT_TRUE(!seen.empty() && std::string_view("first").starts_with(seen)) << seen;
  ASSERT_TRUE(run_until([&] {
    return client().bytes_read() > seen.size() ||
           reactor().backend().get(client().native_handle(), SocketFact::unread_bytes) > 0;
  }));
  detach(client());
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(client_record_.bytes, seen);
  go_on(seen, "first, second");
}

TEST_P(DetachTest, QueuedWritesLeaveFirst) {
  join();
  const std::string bytes = pattern(5 << 20, 23);
  client().write(bytes);
  detach(client());
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  go_on("", "");
  EXPECT_TRUE(peer_record_.bytes == bytes + " from the heir") << peer_record_.bytes.size();
}

TEST_P(DetachTest, AnAcceptedOneCanGoBeforeAnythingWasRead) {
  RULES("3.1.2.3");
  PairOptions options;
  options.server.pause_on_connect = true;
  join(options);
  client().write("for the heir");
  ASSERT_TRUE(run_until([&] { return input_arrived(peer()); }));
  detach(peer());
  ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  ASSERT_EQ(outcome_.calls, 1);
  Socket heir(reactor());
  Record seen;
  record(heir, seen);
  record_data(heir, seen);
  ASSERT_TRUE(heir.adopt(outcome_.fd).has_value());
  forget(outcome_.fd);
  ASSERT_TRUE(run_until([&] { return outcome_.unread + seen.bytes == "for the heir"; }));
  heir.end(Buffer::literal("thanks"));
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0 && seen.closes != 0; }));
  EXPECT_EQ(client_record_.bytes, "thanks");
  EXPECT_FALSE(client_record_.closed_with);
}

TEST_P(DetachTest, AConnectionThatBreaksMeanwhileGivesTheError) {
  join({.peer_reads = false});
  const std::size_t before = open_fds();
  client().write(Buffer::take(std::string(kMoreThanTheKernelTakes, 'x')));
  detach(client());
  run_for(2ms);
  EXPECT_EQ(outcome_.calls, 0);
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  ASSERT_TRUE(run_until_closed());
  run_for(1ms);
  EXPECT_EQ(outcome_.calls, 1);
  EXPECT_EQ(outcome_.fd, -1);
  EXPECT_TRUE(is_reset(outcome_.code)) << outcome_.code.message();
  EXPECT_TRUE(is_reset(client_record_.closed_with));
  EXPECT_EQ(client_record_.closes, 1);
  EXPECT_TRUE(run_until([&] { return open_fds() == before - 2; }));
}

TEST_P(DetachTest, DestroyingItMeanwhileIsAnErrorForItToo) {
  join({.peer_reads = false});
  client().write(Buffer::take(std::string(kMoreThanTheKernelTakes, 'x')));
  detach(client());
  run_for(1ms);
  client().destroy(errno_code(EPROTO));
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(outcome_.calls, 1);
  EXPECT_EQ(outcome_.code, errno_code(EPROTO));
  peer().destroy();
  expect_all_gone();
}

TEST_P(DetachTest, WithoutAConnectionThereIsNothingToGive) {
  listen();
  int calls = 0;
  const auto note = [&](Socket&, Expected<Detached>) { ++calls; };
  EXPECT_FALSE(client().detach(note).has_value());
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
  client().destroy();
  EXPECT_FALSE(client().detach(note).has_value());
  expect_all_gone();
  EXPECT_FALSE(client().detach(note).has_value());
  EXPECT_EQ(calls, 0);
}

WEIR_ON_ALL_BACKENDS(DetachTest);

}  // namespace
}  // namespace weir::test
