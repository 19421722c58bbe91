// What a program runs out of, one kind each: ring entries, provided buffers, places in a backlog,
// ephemeral ports, threads, locked memory. It degrades as it is written, and when there is some
// again it goes on within a second. Descriptors and refused memory are in net_scarcity_test.cc.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "tests/child.h"
#include "tests/pair.h"
#include "weir/net/input_stream.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// A second is the promise; a machine that is busy gets three, as for descriptors.
constexpr Duration kRecovery = 3s;
// Of what a child process waits for.
constexpr Duration kChildPatience = 10s;

std::vector<BackendCase> both_kernel_backends() {
  std::vector<BackendCase> cases = kernel_backends();
  cases.resize(2);
  return cases;
}

template <class Done>
bool run_for_at_most(Reactor& reactor, Duration time, Done&& done) {
  const Instant end = reactor.now() + time;
  while (!done()) {
    if (reactor.now() >= end) return false;
    reactor.run_once(end);
  }
  return true;
}

class ExhaustionTest : public PairTest {
 protected:
  bool recovers(const std::function<bool()>& done) {
    const Instant begin = reactor().now();
    const bool came = run_for_at_most(reactor(), kRecovery, done);
    RecordProperty("recovery_ms", static_cast<int>((reactor().now() - begin) / 1ms));
    return came;
  }
};

#define ON_BOTH_KERNEL_BACKENDS(Suite)                                                     \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, testing::ValuesIn(both_kernel_backends()), case_name)

// ---- Ring entries and provided buffers ----

// As scarce as they can be had: a submission queue of eight, two chunks in the ring, the least
// receive memory.
class ScarceRingTest : public ExhaustionTest {
 protected:
  static constexpr int kClients = 200;

  std::unique_ptr<Backend> wrap(std::unique_ptr<Backend>) override {
    BackendOptions options = GetParam().options;
    options.uring.entries = 8;
    options.uring.ring_chunks = 2;
    options.receive_memory_max = limits::kReceiveMemoryMin;
    auto chosen = choose_patiently(options);
    EXPECT_TRUE(chosen.has_value());
    return chosen ? std::move(chosen->backend) : nullptr;
  }
  void TearDown() override {
    clients_.clear();
    held_.clear();
    ExhaustionTest::TearDown();
  }

  struct Client {
    std::unique_ptr<Socket> socket;
    std::string sent;
    std::string received;
  };

  // All of them, which send so many bytes each as soon as they can.
  void dial(std::size_t bytes) {
    for (int i = 0; i < kClients; ++i) {
      Client& client = *clients_.emplace_back(std::make_unique<Client>());
      client.sent = pattern(bytes, static_cast<unsigned>(i));
      client.socket = std::make_unique<Socket>(reactor());
      client.socket->on_data([&client](Socket&, Buffer part) { client.received += part.view(); });
      ASSERT_TRUE(client.socket->connect(to_).has_value());
      client.socket->write(client.sent);
    }
  }
  bool all_echoed() const {
    return std::ranges::all_of(clients_, [](const auto& one) {
      return one->received.size() == one->sent.size();
    });
  }
  void expect_right() const {
    for (const auto& one : clients_) ASSERT_TRUE(one->received == one->sent);
  }

  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::pair<net::SocketRef, Buffer>> held_;
};

TEST_P(ScarceRingTest, MoreOperationsThanTheRingHasEntriesAreMadeAllTheSame) {
  listen();
  server_->on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  dial(3000);
  ASSERT_TRUE(run_until([&] { return all_echoed(); }));
  expect_right();
}

TEST_P(ScarceRingTest, WithoutBuffersReceivingWaitsAndGoesOnWhenTheyComeBack) {
  listen();
  bool holds = true;
  server_->on_data([&](Socket& socket, Buffer bytes) {
    if (holds) {
      held_.emplace_back(socket.weak(), std::move(bytes));
    } else {
      socket.write(std::move(bytes));
    }
  });
  constexpr std::size_t kEach = 100'000;  // 20 MB together; receiving may take 4, and copies 4
  dial(kEach);
  // Until nothing comes any more.
  for (std::size_t before = SIZE_MAX; before != held_.size(); run_for(200ms)) {
    before = held_.size();
  }
  std::size_t bytes = 0;
  for (const auto& [socket, part] : held_) bytes += part.size();
  EXPECT_LE(bytes, 2 * limits::kReceiveMemoryMin + 2 * limits::kReceiveChunkBytes);
  const Counters quiet = reactor().counters();
  run_for(200ms);
  const Counters after = reactor().counters();
  EXPECT_LT(after.kernel.system_calls - quiet.kernel.system_calls, 200U) << "it spins";
  EXPECT_LT(after.turns - quiet.turns, 200U) << "it spins";
  holds = false;
  for (auto& [socket, part] : std::exchange(held_, {})) {
    if (socket.get() != nullptr) socket.get()->write(std::move(part));
  }
  EXPECT_TRUE(recovers([&] { return all_echoed(); }));
  expect_right();
}

ON_BOTH_KERNEL_BACKENDS(ScarceRingTest);

// ---- The backlog ----

class BacklogTest : public ExhaustionTest {
 protected:
  void TearDown() override {
    for (const int fd : fds_) close(fd);
    ExhaustionTest::TearDown();
  }

  // A listener of the kernel's, which accepts when it is told to.
  int raw_listener(int backlog) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    fds_.push_back(fd);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(fd, backlog), 0);
    socklen_t size = sizeof at;
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size), 0);
    to_ = {.host = "127.0.0.1", .port = ntohs(at.sin_port)};
    return fd;
  }
  // A client of the kernel's, which does not wait.
  void raw_client(int port) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    fds_.push_back(fd);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int result = ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    EXPECT_TRUE(result == 0 || errno == EINPROGRESS) << strerror(errno);
  }

  std::vector<int> fds_;
};

TEST_P(BacklogTest, ConnectsToAFullOneWaitUntilSomebodyAccepts) {
  const int listener = raw_listener(1);
  constexpr std::size_t kClients = 6;
  std::vector<Record> seen(kClients);
  std::vector<std::unique_ptr<Socket>> sockets;
  for (Record& one : seen) {
    sockets.push_back(std::make_unique<Socket>(reactor()));
    record(*sockets.back(), one);
    ASSERT_TRUE(sockets.back()->connect(to_).has_value());
  }
  const auto connected = [&] {
    return static_cast<std::size_t>(
        std::ranges::count_if(seen, [](const Record& one) { return one.has("connect"); }));
  };
  ASSERT_TRUE(run_until([&] { return connected() != 0; }));
  run_for(200ms);
  EXPECT_LT(connected(), kClients) << "the backlog is not full";
  for (const Record& one : seen) EXPECT_EQ(one.closes, 0) << one.error();
  // The kernel tries again after 1 s, 3 s and so on (tcp(7), tcp_syn_retries): its times, not ours.
  ASSERT_TRUE(run_until([&] {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) fds_.push_back(fd);
    run_for(5ms);
    return connected() == kClients;
  }));
  for (const Record& one : seen) EXPECT_EQ(one.closes, 0) << one.error();
}

TEST_P(BacklogTest, AServerThatComesLateServesAllThatHaveWaited) {
  Server late(reactor());
  std::size_t greeted = 0;
  late.on_data([&](Socket&, Buffer bytes) { greeted += bytes.size(); });
  const auto at = late.listen({.port = 0, .host = "127.0.0.1", .backlog = 2});
  ASSERT_TRUE(at.has_value());
  constexpr std::size_t kClients = 8;
  for (std::size_t i = 0; i < kClients; ++i) raw_client(at->port());
  // The reactor has not had a turn yet.
  const auto connected = std::ranges::count_if(fds_, [](int fd) {
    pollfd one{.fd = fd, .events = POLLOUT, .revents = 0};
    return poll(&one, 1, 0) == 1 && (one.revents & (POLLERR | POLLHUP)) == 0;
  });
  EXPECT_LT(connected, static_cast<long>(kClients)) << "the backlog is not full";
  // They speak as soon as they can: one that the kernel took for connected when there was no room
  // for it (tcp_syncookies) is known to the listener by what it sends only.
  std::vector<int> silent = fds_;
  ASSERT_TRUE(run_until([&] {
    std::erase_if(silent, [](int fd) { return send(fd, "x", 1, MSG_NOSIGNAL) == 1; });
    run_for(5ms);
    return greeted == kClients;
  })) << greeted;
}

ON_BOTH_KERNEL_BACKENDS(BacklogTest);

// ---- In a child process ----

// Echoes once over a new connection, within that time.
bool echoes(Reactor& reactor, Duration time) {
  Server server(reactor);
  server.on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  if (!bound) return false;
  Socket client(reactor);
  std::string received;
  client.on_error([](Socket&, const Error&) {});
  client.on_data([&](Socket&, Buffer bytes) { received += bytes.view(); });
  if (!client.connect({.host = "127.0.0.1", .port = bound->port()})) return false;
  client.write("echo");
  return run_for_at_most(reactor, time, [&] { return received == "echo"; });
}

class ChildTest : public BackendTest {
 protected:
  // A reactor on the case's backend, made with all the rights that there are.
  static void in_child_with_reactor(
      const std::function<void(Reactor&, Complaints&)>& run) {
    const std::string text = in_child([&](Complaints& complaints) {
      auto chosen = choose_backend(GetParam().options);
      complaints.unless(chosen.has_value(), "skip: no backend");
      if (!chosen) return;
      Reactor reactor(std::move(chosen->backend));
      reactor.on_unhandled_error([](const Error&) {});
      run(reactor, complaints);
    });
    if (text.starts_with("skip: ")) GTEST_SKIP() << text.substr(6);
    EXPECT_EQ(text, "");
  }

  // From now on nobody in particular, but with a way back; limits of root's would not hold.
  static bool lose_rights() {
    constexpr uid_t kNobody = 65534;
    return getuid() != 0 || setresuid(kNobody, kNobody, 0) == 0;
  }
  // The soft limit, which can be raised again. What it was.
  static rlim_t set_limit(__rlimit_resource resource, rlim_t value) {
    rlimit both{};
    getrlimit(resource, &both);
    const rlim_t before = std::exchange(both.rlim_cur, value);
    setrlimit(resource, &both);
    return before;
  }
};

// ---- Threads ----

// Where files are opened and read by threads, whatever the kernel could do itself.
class NoThreadsTest : public ChildTest {};

TEST_P(NoThreadsTest, LookupsAndFilesFailAndAreThereAgain) {
  in_child_with_reactor([](Reactor& reactor, Complaints& complaints) {
    complaints.unless(lose_rights(), "skip: it cannot become another user");
    const rlim_t before = set_limit(RLIMIT_NPROC, 0);
    const auto connect = [&] {
      Socket socket(reactor);
      Record seen;
      record(socket, seen);
      static_cast<void>(socket.connect({.host = "localhost", .port = 9}));
      run_for_at_most(reactor, kChildPatience, [&] { return seen.closes != 0; });
      return seen.order() + ": " + seen.error();
    };
    const auto read = [&] {
      net::InputStream stream = net::open_file(reactor, "/proc/self/stat");
      std::string outcome;
      stream.on_error([&](auto&, const Error& error) { outcome += name_of(error.code); });
      stream.on_data([&](auto&, Buffer) { outcome = "data"; });
      bool closed = false;
      stream.on_close([&](auto&, std::error_code) { closed = true; });
      run_for_at_most(reactor, kChildPatience, [&] { return closed; });
      return outcome;
    };
    std::string outcome = connect();
    complaints.unless(outcome == "error close: EAI_AGAIN", "without threads, a name: " + outcome);
    outcome = read();
    complaints.unless(outcome == "EAGAIN", "without threads, a file: " + outcome);
    complaints.unless(echoes(reactor, kRecovery), "without threads, an address: no echo");
    set_limit(RLIMIT_NPROC, before);
    const Instant begin = reactor.now();
    outcome = read();
    complaints.unless(outcome == "data", "with threads again, a file: " + outcome);
    outcome = connect();
    complaints.unless(outcome == "error close: ECONNREFUSED",
                      "with threads again, a name: " + outcome);
    complaints.unless(reactor.now() - begin < kRecovery, "it takes too long to recover");
  });
}

WEIR_ON_FILE_THREADS(NoThreadsTest);

// ---- Locked memory ----

TEST(NoLockedMemoryTest, TheNextReactorServesOnEpollAndTheOneAfterOnTheRing) {
  if (!uring_works()) GTEST_SKIP() << "io_uring is not available here";
  const std::string text = in_child([](Complaints& complaints) {
    struct Rights : ChildTest {
      using ChildTest::lose_rights;
      using ChildTest::set_limit;
    };
    complaints.unless(Rights::lose_rights(), "skip: it cannot become another user");
    const rlim_t before = Rights::set_limit(RLIMIT_MEMLOCK, 0);
    const auto serves_on = [&](BackendKind kind) {
      auto reactor = Reactor::create({.log = [](std::string_view) {}});
      return reactor && (*reactor)->counters().backend == kind && echoes(**reactor, kRecovery) &&
             (kind == BackendKind::io_uring ||
              (*reactor)->counters().refusal == errno_code(ENOMEM));
    };
    complaints.unless(serves_on(BackendKind::epoll), "without locked memory: not on epoll");
    Rights::set_limit(RLIMIT_MEMLOCK, before);
    complaints.unless(serves_on(BackendKind::io_uring), "with it again: not on io_uring");
  });
  if (text.starts_with("skip: ")) GTEST_SKIP() << text.substr(6);
  EXPECT_EQ(text, "");
}

// ---- Ephemeral ports ----

class NoPortsTest : public ChildTest {
 protected:
  static constexpr int kPorts = 16;

  // A network of our own: a loopback with so few ports. What it fails at, or null.
  static const char* enter_narrow_network() {
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      return "a network namespace";
    }
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq loopback{};
    std::strcpy(loopback.ifr_name, "lo");
    loopback.ifr_flags = IFF_UP | IFF_RUNNING;
    const int result = ioctl(fd, SIOCSIFFLAGS, &loopback);
    close(fd);
    if (result != 0) return "to bring its loopback up";
    std::ofstream range("/proc/sys/net/ipv4/ip_local_port_range");
    range << 40000 << ' ' << 40000 + kPorts - 1 << std::flush;
    return range ? nullptr : "to narrow its ports";
  }

  struct Client {
    explicit Client(Reactor& reactor) : socket(reactor) {
      record(socket, seen);
      record_data(socket, seen);
    }
    bool over() const { return seen.has("ready") || seen.closes != 0; }
    Socket socket;
    Record seen;
  };
};

TEST_P(NoPortsTest, ConnectsSayEADDRNOTAVAILAndWorkAgain) {
  in_child_with_reactor([](Reactor& reactor, Complaints& complaints) {
    if (const char* refused = enter_narrow_network(); refused != nullptr) {
      complaints.unless(false, std::string("skip: not permitted: ") + refused);
      return;
    }
    Server server(reactor);
    server.on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
    server.on_error([](Socket&, const Error&) {});
    const net::ConnectOptions to{.host = "127.0.0.1", .port = 50000};
    complaints.unless(server.listen({.port = to.port, .host = to.host}).has_value(), "no server");
    std::vector<std::unique_ptr<Client>> clients;
    const auto dial = [&] {
      Client& made = *clients.emplace_back(std::make_unique<Client>(reactor));
      const bool begun = made.socket.connect(to).has_value();
      complaints.unless(begun, "connect() returns the error");
      run_for_at_most(reactor, kChildPatience, [&] { return made.over(); });
      return made.seen.order() + ' ' + made.seen.error();
    };
    for (int i = 0; i < kPorts; ++i) {
      const std::string outcome = dial();
      complaints.unless(outcome == "connect ready ", "a free port: " + outcome);
    }
    for (int i = 0; i < 4; ++i) {
      const std::string outcome = dial();
      complaints.unless(outcome == "error close EADDRNOTAVAIL", "no port: " + outcome);
    }
    clients.front()->socket.write("on");
    complaints.unless(run_for_at_most(reactor, kChildPatience,
                                      [&] { return clients.front()->seen.bytes == "on"; }),
                      "old connections do not go on");
    // A reset leaves no TIME_WAIT behind, which would hold the port for a minute.
    Client& leaving = *clients[1];
    complaints.unless(leaving.socket.reset_and_destroy().has_value(), "no reset");
    const Instant begin = reactor.now();
    run_for_at_most(reactor, kChildPatience, [&] { return leaving.seen.closes != 0; });
    const std::string outcome = dial();
    complaints.unless(outcome == "connect ready ", "a port again: " + outcome);
    complaints.unless(reactor.now() - begin < kRecovery, "it takes too long to recover");
  });
}

ON_BOTH_KERNEL_BACKENDS(NoPortsTest);

}  // namespace
}  // namespace weir::test
