// What every backend promises about listening, accepting and connecting.
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>

#include "tests/door.h"

namespace weir::test {
namespace {

class BackendConnectTest : public DoorTest {
 protected:
  // Accepts on `listener` and owns what comes.
  Accept& accept_all(int listener) {
    Accept& op = accept(listener);
    op.handle = [this](Completion& completion) {
      if (completion.result >= 0) accepted_.push_back(own(completion.result));
    };
    return op;
  }

  std::vector<Connect*> connect_many(int count, int listener) {
    const Address peer = door().address(listener, End::local);
    std::vector<Connect*> all;
    for (int i = 0; i < count; ++i) all.push_back(&connect(open(peer), peer));
    return all;
  }

  static bool all_connected(const std::vector<Connect*>& all) {
    for (const Connect* one : all) {
      if (!one->ended) return false;
      EXPECT_EQ(one->last(), 0);
    }
    return true;
  }

  // A listener whose queue is full: the next connection to it stays on its way.
  int full_listener() {
    const int listener = listen_tcp(1);
    const Address peer = door().address(listener, End::local);
    for (int i = 0; i < 2; ++i) connect(open(peer), peer);
    settle();
    return listener;
  }

  std::vector<int> accepted_;
};

TEST_P(BackendConnectTest, ABurstOfConnectionsIsAcceptedWhole) {
  const int listener = listen_tcp();
  const Accept& acceptor = accept_all(listener);
  const auto clients = connect_many(300, listener);
  ASSERT_TRUE(run_until([&] { return accepted_.size() == 300 && all_connected(clients); }));
  EXPECT_FALSE(acceptor.ended);
}

TEST_P(BackendConnectTest, ConnectionsThatWaitedInTheBacklogAreAccepted) {
  const int listener = listen_tcp();
  const auto clients = connect_many(100, listener);
  ASSERT_TRUE(run_until([&] { return all_connected(clients); }));
  accept_all(listener);
  ASSERT_TRUE(run_until([&] { return accepted_.size() == 100; }));
}

TEST_P(BackendConnectTest, ABurstAboveTheBacklogIsAcceptedInTheEnd) {
  const int listener = listen_tcp(2);
  const auto clients = connect_many(6, listener);
  settle();
  accept_all(listener);
  ASSERT_TRUE(run_until([&] { return accepted_.size() == 6 && all_connected(clients); }));
}

TEST_P(BackendConnectTest, AcceptedSocketsTalkToTheirOwnClient) {
  const int listener = listen_tcp();
  accept_all(listener);
  const auto clients = connect_many(50, listener);
  ASSERT_TRUE(run_until([&] { return accepted_.size() == 50 && all_connected(clients); }));
  std::map<std::string, int> client_of;
  for (const Connect* one : clients) {
    client_of[door().address(one->fd, End::local).to_string()] = one->fd;
  }
  for (const int fd : accepted_) {
    const std::string name = door().address(fd, End::peer).to_string();
    ASSERT_TRUE(client_of.contains(name)) << name;
    Receive& received = receive(client_of[name]);
    ASSERT_TRUE(send_all(fd, name));
    ASSERT_TRUE(run_until([&] { return received.total >= name.size(); }));
    EXPECT_EQ(received.bytes, name);
  }
}

TEST_P(BackendConnectTest, ARefusalIsReported) {
  const int listener = listen_tcp();
  const Address gone = door().address(listener, End::local);
  close(listener);
  const Connect& op = connect(open(gone), gone);
  ASSERT_TRUE(run_until([&] { return op.ended; }));
  EXPECT_EQ(op.results, std::vector<int>{-ECONNREFUSED});
}

TEST_P(BackendConnectTest, ASocketNumberThatWasRefusedIsGoodForTheNext) {
  const int listener = listen_tcp();
  const Address gone = door().address(listener, End::local);
  close(listener);
  for (int i = 0; i < 200; ++i) {
    const int fd = open(gone);
    const Connect& op = connect(fd, gone);
    ASSERT_TRUE(run_until([&] { return op.ended; }));
    ASSERT_EQ(op.last(), -ECONNREFUSED);
    close(fd);
    const Ends ends = connected();
    Receive& received = receive(ends.a);
    Poll& watch = watch_hangup(ends.b);
    ASSERT_TRUE(send_all(ends.b, "x"));
    ASSERT_TRUE(run_until([&] { return received.total == 1; }));
    EXPECT_TRUE(watch.results.empty());
    door().cancel(received);
    door().cancel(watch);
    ASSERT_TRUE(run_until([&] { return received.idle() && watch.idle(); }));
    close(ends.a);
    close(ends.b);
  }
}

TEST_P(BackendConnectTest, AnAddressOfNoFamilyIsAnInvalidArgument) {
  const int fd = open(Address::loopback_ipv4(1));
  const Connect& op = connect(fd, Address());
  ASSERT_TRUE(run_until([&] { return op.ended; }));
  EXPECT_LT(op.last(), 0);
}

TEST_P(BackendConnectTest, AConnectionOnItsWayCanBeCancelled) {
  const int listener = full_listener();
  const Address peer = door().address(listener, End::local);
  Connect& op = connect(open(peer), peer);
  settle();
  ASSERT_FALSE(op.ended);
  door().cancel(op);
  ASSERT_TRUE(run_until([&] { return op.ended; }));
  EXPECT_EQ(op.results, std::vector<int>{-ECANCELED});
  close(op.fd);
}

TEST_P(BackendConnectTest, AConnectionCancelledAtOnceEndsOnce) {
  const int listener = listen_tcp();
  accept_all(listener);
  const Address peer = door().address(listener, End::local);
  for (int i = 0; i < 200; ++i) {
    const int fd = open(peer);
    Connect& op = connect(fd, peer);
    door().cancel(op);
    door().cancel(op);
    ASSERT_TRUE(run_until([&] { return op.ended; }));
    EXPECT_TRUE(op.last() == 0 || op.last() == -ECANCELED) << op.last();
    close(fd);
  }
  settle();
}

// Cancelling and accepting again, over and over, while clients come: each is accepted once.
TEST_P(BackendConnectTest, ACancelledAcceptLosesNoConnection) {
  constexpr std::size_t kClients = 500;
  const int listener = listen_tcp();
  const Address peer = door().address(listener, End::local);
  Accept& acceptor = accept_all(listener);
  std::vector<Connect*> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.push_back(&connect(open(peer), peer));
    if (i % 3 == 0) turn();
    door().cancel(acceptor);
    ASSERT_TRUE(run_until([&] { return acceptor.ended; }));
    EXPECT_EQ(acceptor.last(), -ECANCELED);
    submit(acceptor, listener);
  }
  ASSERT_TRUE(run_until([&] { return accepted_.size() == kClients && all_connected(clients); }));
  settle();
  EXPECT_EQ(accepted_.size(), kClients);
}

TEST_P(BackendConnectTest, BothEndsKnowBothAddresses) {
  const Ends ends = connected();
  const Address client = door().address(ends.a, End::local);
  const Address server = door().address(ends.b, End::local);
  EXPECT_EQ(client.ip().ip(), "127.0.0.1");
  EXPECT_NE(client.port(), 0);
  EXPECT_EQ(door().address(ends.a, End::peer), server);
  EXPECT_EQ(door().address(ends.b, End::peer), client);
}

TEST_P(BackendConnectTest, AnIpv6ListenerTakesIpv6) {
  auto fd = door().listen(*Address::parse_ip("::1", 0), {});
  if (!fd) GTEST_SKIP() << fd.error().message();
  const int listener = own(*fd);
  accept_all(listener);
  const auto clients = connect_many(3, listener);
  ASSERT_TRUE(run_until([&] { return accepted_.size() == 3 && all_connected(clients); }));
  EXPECT_EQ(door().address(accepted_[0], End::peer).ip().ip(), "::1");
}

TEST_P(BackendConnectTest, APortInUseIsRefused) {
  const int listener = listen_tcp();
  auto again = door().listen(door().address(listener, End::local), {});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, errno_code(EADDRINUSE));
}

TEST_P(BackendConnectTest, AClosedListenerGivesItsPortBack) {
  const int listener = listen_tcp();
  const Address at = door().address(listener, End::local);
  Accept& acceptor = accept_all(listener);
  door().cancel(acceptor);
  ASSERT_TRUE(run_until([&] { return acceptor.ended; }));
  close(listener);
  EXPECT_EQ(door().address(listen(at), End::local), at);
}

// ---- Unix sockets ----

TEST_P(BackendConnectTest, UnixSocketsConnectInABurst) {
  const int listener = listen(Address::unix_path(socket_path()));
  accept_all(listener);
  const auto clients = connect_many(100, listener);
  ASSERT_TRUE(run_until([&] { return accepted_.size() == 100 && all_connected(clients); }));
}

TEST_P(BackendConnectTest, AUnixPathWithoutFileIsReported) {
  const Address nowhere = Address::unix_path(socket_path());
  const Connect& op = connect(open(nowhere), nowhere);
  ASSERT_TRUE(run_until([&] { return op.ended; }));
  EXPECT_EQ(op.results, std::vector<int>{-ENOENT});
}

TEST_P(BackendConnectTest, AUnixFileWithoutListenerRefuses) {
  const Address at = Address::unix_path(socket_path());
  close(listen(at));
  const Connect& op = connect(open(at), at);
  ASSERT_TRUE(run_until([&] { return op.ended; }));
  EXPECT_EQ(op.results, std::vector<int>{-ECONNREFUSED});
  auto again = door().listen(at, {});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, errno_code(EADDRINUSE));
}

TEST_P(BackendConnectTest, RemovePathMakesRoomForTheNextListener) {
  const std::string path = socket_path();
  const Address at = Address::unix_path(path);
  close(listen(at));
  door().remove_path(path);
  if (!simulated()) {
    EXPECT_FALSE(std::filesystem::exists(path));
  }
  const int listener = listen(at);
  accept_all(listener);
  const auto clients = connect_many(1, listener);
  ASSERT_TRUE(run_until([&] { return accepted_.size() == 1 && all_connected(clients); }));
}

TEST_P(BackendConnectTest, AUnixPathAboveItsLimitIsAnInvalidArgument) {
  const Address at = Address::unix_path(std::string(200, 'x'));
  auto fd = door().listen(at, {});
  ASSERT_FALSE(fd.has_value());
  EXPECT_EQ(fd.error().code, errno_code(EINVAL));
  EXPECT_FALSE(door().open(at, {}).has_value());
}

TEST_P(BackendConnectTest, AFullUnixBacklogIsReportedAtOnce) {
  const Address at = Address::unix_path(socket_path());
  listen(at, 1);
  std::vector<Connect*> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(&connect(open(at), at));
  ASSERT_TRUE(run_until([&] { return clients.back()->ended; }));
  EXPECT_EQ(clients.front()->last(), 0);
  EXPECT_EQ(clients.back()->last(), -EAGAIN);
}

WEIR_ON_ALL_BACKENDS(BackendConnectTest);

// ---- What only kernels do ----

class KernelConnectTest : public BackendConnectTest {};

// Without descriptors accepting ends; with some again, the connection is still there.
TEST_P(KernelConnectTest, AcceptingWithoutDescriptorsLosesNoConnection) {
  const int listener = listen_tcp();
  // Once with descriptors: sanitizers need some for the first check of each type.
  Accept& acceptor = accept_all(listener);
  door().cancel(acceptor);
  ASSERT_TRUE(run_until([&] { return acceptor.ended; }));
  const auto clients = connect_many(3, listener);
  ASSERT_TRUE(run_until([&] { return all_connected(clients); }));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int highest = dup(0);
  ASSERT_GE(highest, 0);
  ::close(highest);
  const rlimit none{.rlim_cur = static_cast<rlim_t>(highest), .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  submit(acceptor, listener);
  const bool ended = run_until([&] { return acceptor.ended; });
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(ended);
  EXPECT_EQ(acceptor.last(), -EMFILE);
  EXPECT_TRUE(accepted_.empty());
  submit(acceptor, listener);
  ASSERT_TRUE(run_until([&] { return accepted_.size() == 3; }));
}

WEIR_ON_KERNEL_BACKENDS(KernelConnectTest);

}  // namespace
}  // namespace weir::test
