// The contract, section 0: listeners, errors that nobody takes, and what errors say.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <csignal>
#include <functional>
#include <utility>

#include "tests/pair.h"
#include "tests/rules.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::ListenerId;
using net::Times;

// Knows no name.
class NoNames final : public net::Resolver {
 public:
  void resolve(std::string_view, Family, net::ResolveReply reply) override {
    reply.failed(ResolveError::not_found);
  }
};

class FailingTest : public PairTest {
 protected:
  // A port that nobody listens on: one that was just given up.
  int closed_port() {
    Server server(reactor());
    const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
    EXPECT_TRUE(bound.has_value());
    EXPECT_TRUE(server.close().has_value());
    bool closed = false;
    server.on_server_close([&](Server&) { closed = true; });
    EXPECT_TRUE(run_until([&] { return closed; }));
    return bound->port();
  }

  // Two connected stream sockets that no Socket has yet; non-blocking.
  std::pair<int, int> stream_pair() {
    if (simulated()) return static_cast<SimBackend&>(reactor().backend()).make_pair();
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    return {ends[0], ends[1]};
  }

  // The one error of a socket that tries to connect and fails.
  Error failure_of(const net::ConnectOptions& to) {
    Record seen;
    Socket socket(reactor());
    record(socket, seen);
    const auto started = socket.connect(to);
    EXPECT_TRUE(started.has_value()) << (started ? "" : started.error().message());
    EXPECT_EQ(seen.order(), "") << "an event inside connect()";
    EXPECT_TRUE(run_until([&] { return seen.closes != 0; }));
    EXPECT_EQ(seen.order(), "error close");
    return seen.errors.empty() ? Error{} : seen.errors[0];
  }
};

// ---- Listeners ----

class ListenersTest : public PairTest {
 protected:
  using Listener = std::function<void(Socket&)>;

  // 'data' and 'drain' are emitted in different ways: what is true of listeners must be of both.
  struct Kind {
    std::function<ListenerId(Listener, Times)> add;
    std::function<void()> cause;  // and waits until the last listener was called
  };

  Kind data_kind() {
    return {.add = [this](Listener call, Times times) {
              return client().on_data(
                  [call = std::move(call)](Socket& socket, Buffer) { call(socket); }, times);
            },
            .cause = [this] {
              peer().write("x");
              await_last();
            }};
  }

  Kind drain_kind() {
    return {.add = [this](Listener call, Times times) {
              return client().on_drain([call = std::move(call)](Socket& socket) { call(socket); },
                                       times);
            },
            .cause = [this] {
              client().write(std::string(net::limits::kHighWaterDefault, 'x'));
              await_last();
            }};
  }

  Listener says(char letter) {
    return [this, letter](Socket&) { calls_ += letter; };
  }

  void await_last() {
    const auto before = std::ranges::count(calls_, 'z');
    ASSERT_TRUE(run_until([&] { return std::ranges::count(calls_, 'z') > before; }));
    calls_ += ' ';
  }

  std::string calls_;
};

TEST_P(ListenersTest, TheyRunInOrderOnceOrAlwaysUntilRemoved) {
  RULES("0.1.1 0.1.2");
  join({.client_reads = false});
  for (const Kind& kind : {data_kind(), drain_kind()}) {
    calls_.clear();
    const ListenerId first = kind.add(says('a'), Times::always);
    kind.add(says('o'), Times::once);
    const ListenerId removed = kind.add(says('r'), Times::always);
    const ListenerId never = kind.add(says('n'), Times::once);
    const ListenerId last = kind.add(says('z'), Times::always);
    client().off(never);
    kind.cause();
    client().off(removed);
    client().off(removed);
    kind.cause();
    kind.add(says('b'), Times::always);
    kind.cause();
    EXPECT_EQ(calls_, "aorz az azb ");
    client().off(first);
    client().off(last);
  }
}

TEST_P(ListenersTest, RemovedAndAddedOnesWhileTheirEventIsEmitted) {
  RULES("0.1.3 0.1.4");
  join({.client_reads = false});
  for (const Kind& kind : {data_kind(), drain_kind()}) {
    calls_.clear();
    ListenerId removed = ListenerId::none;
    const ListenerId first = kind.add(
        [&](Socket& socket) {
          calls_ += 'a';
          socket.off(removed);
          kind.add(says('n'), Times::once);
        },
        Times::once);
    removed = kind.add(says('r'), Times::always);
    const ListenerId last = kind.add(says('z'), Times::always);
    kind.cause();
    kind.cause();
    kind.cause();
    EXPECT_EQ(calls_, "arz zn z ");
    client().off(first);
    client().off(last);
  }
}

TEST_P(ListenersTest, TheServersComeBeforeTheSocketsOwn) {
  RULES("0.1.2");
  listen();
  std::string calls;
  server_->on_connection([&](Socket& socket) {
    socket.on_end([&](Socket&) { calls += 'o'; });
  });
  server_->on_end([&](Socket&) { calls += 's'; });
  server_->on_end([&](Socket&) { calls += 't'; });
  ASSERT_TRUE(client().connect(to_).has_value());
  client().end();
  expect_all_gone();
  EXPECT_EQ(calls, "sto");
}

WEIR_ON_ALL_BACKENDS(ListenersTest);

// ---- Errors that nobody takes ----

class UnhandledTest : public FailingTest {};

TEST_P(UnhandledTest, AnErrorWithoutAListenerGoesToTheReactorAndTheSocketCloses) {
  RULES("0.1.5 0.1.7");
  const int port = closed_port();
  Socket socket(reactor());
  int closes = 0;
  std::error_code closed_with;
  bool told_before_close = false;
  socket.on_close([&](Socket&, std::error_code code) {
    ++closes;
    closed_with = code;
    told_before_close = unhandled_.size() == 1;
  });
  ASSERT_TRUE(socket.connect({.host = "127.0.0.1", .port = port}).has_value());
  EXPECT_TRUE(unhandled_.empty()) << "inside connect()";
  ASSERT_TRUE(run_until([&] { return closes != 0; }));
  EXPECT_EQ(closed_with, errno_code(ECONNREFUSED));
  EXPECT_TRUE(told_before_close);
  ASSERT_EQ(unhandled_.size(), 1U);
  EXPECT_EQ(unhandled_[0].message(), "connect ECONNREFUSED 127.0.0.1:" + std::to_string(port));
  EXPECT_EQ(reactor().counters().unhandled_errors, 1U);
}

TEST_P(UnhandledTest, AnErrorThatAListenerTookDoesNot) {
  RULES("0.1.5");
  EXPECT_EQ(failure_of({.host = "127.0.0.1", .port = closed_port()}).code,
            errno_code(ECONNREFUSED));
  EXPECT_TRUE(unhandled_.empty());
  EXPECT_EQ(reactor().counters().unhandled_errors, 0U);
}

WEIR_ON_ALL_BACKENDS(UnhandledTest);

// A reactor as a program has it that says nothing about unhandled errors.
class SilentProgramTest : public BackendTest {
 protected:
  void SetUp() override {
    BackendTest::SetUp();
    if (IsSkipped()) return;
    ReactorOptions options;
    options.log = [this](std::string_view line) { lines_.emplace_back(line); };
    reactor_ = std::make_unique<Reactor>(make_backend(), std::move(options));
  }

  bool run_until(const std::function<bool()>& done) {
    const Instant end = reactor_->now() + kPatience;
    while (!done() && reactor_->now() < end) reactor_->run_once(end);
    return done();
  }

  void run_for(Duration time) {
    const Instant end = reactor_->now() + time;
    while (reactor_->now() < end) reactor_->run_once(end);
  }

  // So many errors without a listener, in one turn.
  void fail(std::size_t count) {
    Server server(*reactor_);
    const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value());
    std::size_t closes = 0;
    std::vector<std::unique_ptr<Socket>> sockets;
    for (std::size_t i = 0; i < count; ++i) {
      sockets.push_back(std::make_unique<Socket>(*reactor_));
      Socket& socket = *sockets.back();
      socket.on_close([&](Socket&, std::error_code) { ++closes; });
      ASSERT_TRUE(socket.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
      socket.destroy(errno_code(EIO));
    }
    ASSERT_TRUE(run_until([&] { return closes == count; }));
  }

  std::vector<std::string> lines_;
  std::unique_ptr<Reactor> reactor_;
};

TEST_P(SilentProgramTest, ErrorsAreCountedAndLogged) {
  RULES("0.1.6");
  fail(5);
  EXPECT_EQ(reactor_->counters().unhandled_errors, 5U);
  ASSERT_EQ(lines_.size(), 1U);
  EXPECT_NE(lines_[0].find("EIO"), std::string::npos) << lines_[0];
}

TEST_P(SilentProgramTest, AServerOutlivesARudePeer) {
  RULES("0.1.7 0.1.8");
  Server server(*reactor_);
  std::error_code closed_with;
  int closes = 0;
  server.on_data([](Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  server.on_close([&](Socket&, std::error_code code) {
    closed_with = code;
    ++closes;
  });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  const net::ConnectOptions to{.host = "127.0.0.1", .port = bound->port()};
  Socket rude(*reactor_);
  bool echoed = false;
  rude.on_data([&](Socket&, Buffer) { echoed = true; });
  ASSERT_TRUE(rude.connect(to).has_value());
  rude.write("hello");
  ASSERT_TRUE(run_until([&] { return echoed; }));
  ASSERT_TRUE(rude.reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] { return closes == 1; }));
  EXPECT_EQ(closed_with, errno_code(ECONNRESET));
  EXPECT_EQ(reactor_->counters().unhandled_errors, 1U);
  Socket next(*reactor_);
  std::string received;
  next.on_data([&](Socket&, Buffer bytes) { received += bytes.view(); });
  ASSERT_TRUE(next.connect(to).has_value());
  next.write("still there?");
  EXPECT_TRUE(run_until([&] { return received == "still there?"; }));
}

WEIR_ON_ALL_BACKENDS(SilentProgramTest);

class SilentHoursTest : public SilentProgramTest {};

TEST_P(SilentHoursTest, OneLineASecondAtMost) {
  RULES("0.1.6");
  fail(3);
  EXPECT_EQ(lines_.size(), 1U);
  run_for(900ms);
  fail(3);
  EXPECT_EQ(lines_.size(), 1U);
  run_for(101ms);
  fail(3);
  EXPECT_EQ(lines_.size(), 2U);
  EXPECT_EQ(reactor_->counters().unhandled_errors, 9U);
}

WEIR_ON_SIM(SilentHoursTest);

// A program whose policy is to abort.
void abort_at_an_unhandled_error() {
  Reactor reactor(std::make_unique<SimBackend>());
  reactor.on_unhandled_error([](const Error&) { std::abort(); });
  Socket socket(reactor);
  if (!socket.connect({.host = "127.0.0.1", .port = 1})) return;
  reactor.run();
}

TEST(PolicyDeathTest, AbortingIsTheUsersChoice) {
  RULES("0.1.8");
  EXPECT_EXIT(abort_at_an_unhandled_error(), testing::KilledBySignal(SIGABRT), "");
}

// ---- What an error says ----

TEST(ErrorNames, AreThoseThatNodesUsersKnow) {
  RULES("0.2.1");
  const std::pair<std::error_code, std::string_view> names[] = {
      {errno_code(ECONNREFUSED), "ECONNREFUSED"},
      {errno_code(-ECONNRESET), "ECONNRESET"},
      {errno_code(EPIPE), "EPIPE"},
      {errno_code(EADDRINUSE), "EADDRINUSE"},
      {errno_code(EADDRNOTAVAIL), "EADDRNOTAVAIL"},
      {errno_code(ENOENT), "ENOENT"},
      {errno_code(EACCES), "EACCES"},
      {errno_code(ETIMEDOUT), "ETIMEDOUT"},
      {ResolveError::not_found, "ENOTFOUND"},
      {ResolveError::try_again, "EAI_AGAIN"},
      {ResolveError::failed, "EAI_FAIL"},
      {ResolveError::no_memory, "EAI_MEMORY"},
      {Mistake::write_after_end, "ERR_STREAM_WRITE_AFTER_END"},
      {Mistake::bad_port, "ERR_SOCKET_BAD_PORT"},
      {Mistake::missing_arguments, "ERR_MISSING_ARGS"},
      {Mistake::bad_argument, "ERR_INVALID_ARG_VALUE"},
      {Mistake::bad_ip_address, "ERR_INVALID_IP_ADDRESS"},
      {Mistake::already_listening, "ERR_SERVER_ALREADY_LISTEN"},
      {Mistake::not_running, "ERR_SERVER_NOT_RUNNING"},
      {Mistake::already_connected, "ERR_SOCKET_ALREADY_CONNECTED"},
      {Mistake::socket_closed, "ERR_SOCKET_CLOSED"},
      {Mistake::bad_handle_type, "ERR_INVALID_HANDLE_TYPE"},
      {Mistake::bad_fd_type, "ERR_INVALID_FD_TYPE"},
      {Mistake::out_of_range, "ERR_OUT_OF_RANGE"},
      {Mistake::unknown_encoding, "ERR_UNKNOWN_ENCODING"},
      {Mistake::stream_destroyed, "ERR_STREAM_DESTROYED"},
      {Mistake::already_finished, "ERR_STREAM_ALREADY_FINISHED"},
      {Mistake::closed_before_connection, "ERR_SOCKET_CLOSED_BEFORE_CONNECTION"},
      {Mistake::ip_blocked, "ERR_IP_BLOCKED"},
      {Mistake::aborted, "ABORT_ERR"},
  };
  for (const auto& [code, name] : names) EXPECT_EQ(name_of(code), name);
}

TEST(ErrorNames, TheNumberIsTheNegativeErrnoValueOrZero) {
  RULES("0.2.2");
  EXPECT_EQ(Error{.code = errno_code(ECONNREFUSED)}.number(), -ECONNREFUSED);
  EXPECT_EQ(Error{.code = errno_code(-EPIPE)}.number(), -EPIPE);
  EXPECT_EQ(Error{.code = Mistake::bad_port}.number(), 0);
  EXPECT_EQ(Error{.code = ResolveError::not_found}.number(), 0);
  EXPECT_EQ(Error{}.number(), 0);
}

class ErrorTest : public FailingTest {};

TEST_P(ErrorTest, OfARefusedConnection) {
  RULES("0.2.1 0.2.2 0.2.3 0.2.4 0.2.7 0.3.2");
  const int port = closed_port();
  const Error error = failure_of({.host = "127.0.0.1", .port = port});
  EXPECT_EQ(name_of(error.code), "ECONNREFUSED");
  EXPECT_EQ(error.number(), -ECONNREFUSED);
  EXPECT_STREQ(error.syscall, "connect");
  EXPECT_EQ(error.address, Address::loopback_ipv4(static_cast<std::uint16_t>(port)));
  EXPECT_EQ(error.message(), "connect ECONNREFUSED 127.0.0.1:" + std::to_string(port));
}

TEST_P(ErrorTest, OfARefusedConnectionFromAGivenAddress) {
  RULES("0.2.6");
  const int port = closed_port();
  const int local_port = closed_port();
  const Error error = failure_of({.host = "127.0.0.1",
                                  .port = port,
                                  .local_address = "127.0.0.1",
                                  .local_port = local_port});
  EXPECT_EQ(name_of(error.code), "ECONNREFUSED");
  EXPECT_EQ(error.local, Address::loopback_ipv4(static_cast<std::uint16_t>(local_port)));
}

TEST_P(ErrorTest, OfAPathThatDoesNotExist) {
  RULES("0.2.3 0.2.4 0.2.8");
  NODE_TEST("better-error-messages-path");
  const std::string path = socket_path();
  const Error error = failure_of({.path = path});
  EXPECT_EQ(name_of(error.code), "ENOENT");
  EXPECT_STREQ(error.syscall, "connect");
  EXPECT_EQ(error.address.path(), path);
  EXPECT_EQ(error.message(), "connect ENOENT " + path);
}

TEST_P(ErrorTest, OfAPortThatIsTaken) {
  RULES("0.2.1 0.2.2 0.2.3 0.2.4 0.2.9");
  listen();
  const int port = to_.port;
  Server second(reactor());
  bool any_event = false;
  second.on_listening([&](Server&) { any_event = true; });
  second.on_server_error([&](Server&, const Error&) { any_event = true; });
  const auto bound = second.listen({.port = port, .host = "127.0.0.1"});
  ASSERT_FALSE(bound.has_value());
  EXPECT_EQ(name_of(bound.error().code), "EADDRINUSE");
  EXPECT_EQ(bound.error().number(), -EADDRINUSE);
  EXPECT_STREQ(bound.error().syscall, "listen");
  EXPECT_EQ(bound.error().address, Address::loopback_ipv4(static_cast<std::uint16_t>(port)));
  EXPECT_EQ(bound.error().message(),
            "listen EADDRINUSE: address already in use 127.0.0.1:" + std::to_string(port));
  run_for(1ms);
  EXPECT_FALSE(any_event);
}

TEST_P(ErrorTest, OfASocketFileThatIsTaken) {
  RULES("0.2.4 0.2.9");
  listen({.over_unix = true});
  Server second(reactor());
  const auto bound = second.listen({.path = to_.path});
  ASSERT_FALSE(bound.has_value());
  EXPECT_EQ(bound.error().address.path(), to_.path);
  EXPECT_EQ(bound.error().message(), "listen EADDRINUSE: address already in use " + to_.path);
}

TEST_P(ErrorTest, OfAReset) {
  RULES("0.2.2 0.2.3 0.2.10");
  join();
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  expect_all_gone();
  ASSERT_EQ(client_record_.errors.size(), 1U);
  const Error& error = client_record_.errors[0];
  EXPECT_STREQ(error.syscall, "read");
  EXPECT_EQ(error.message(), "read ECONNRESET");
  EXPECT_EQ(error.number(), -ECONNRESET);
}

TEST_P(ErrorTest, OfAResetNamesOurEnd) {
  RULES("0.2.6");
  join();
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  expect_all_gone();
  ASSERT_EQ(client_record_.errors.size(), 1U);
  EXPECT_NE(client().local_address().port(), 0);
  EXPECT_EQ(client_record_.errors[0].local.to_string(), client().local_address().to_string());
}

TEST_P(ErrorTest, OfAWrite) {
  RULES("0.2.2 0.2.3");
  PairOptions options;
  options.server.socket.allow_half_open = true;
  join(options);
  reactor().backend().shutdown(client().native_handle(), Direction::write);
  EXPECT_EQ(client().write("the kernel refuses this"), Write::ok);
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  ASSERT_EQ(client_record_.errors.size(), 1U);
  EXPECT_STREQ(client_record_.errors[0].syscall, "write");
  EXPECT_EQ(client_record_.errors[0].number(), -EPIPE);
  EXPECT_EQ(client_record_.errors[0].message(), "write EPIPE");
}

TEST_P(ErrorTest, OfALookup) {
  RULES("0.2.1 0.2.2 0.2.3 0.2.5 0.2.11 0.3.2");
  NODE_TEST("better-error-messages-port-hostname");
  NoNames nobody;
  const Error error = failure_of({.host = "foo.bar", .port = 80, .resolver = &nobody});
  EXPECT_EQ(name_of(error.code), "ENOTFOUND");
  EXPECT_STREQ(error.syscall, "getaddrinfo");
  EXPECT_EQ(error.host, "foo.bar");
  EXPECT_EQ(error.address.family(), Family::none) << "no address and no port are known";
  EXPECT_EQ(error.message(), "getaddrinfo ENOTFOUND foo.bar");
}

TEST_P(ErrorTest, OfAListenOnSomethingThatCannot) {
  RULES("0.2.3 0.2.13");
  const auto [ours, theirs] = stream_pair();
  Server server(reactor());
  const auto bound = server.listen({.fd = ours});
  ASSERT_FALSE(bound.has_value());
  EXPECT_EQ(bound.error().message(), "listen EINVAL: invalid argument");
  reactor().backend().close(ours);
  reactor().backend().close(theirs);
}

WEIR_ON_ALL_BACKENDS(ErrorTest);

// The simulator has every address and every directory, and never runs out of descriptors.
class KernelErrorTest : public FailingTest {};

TEST_P(KernelErrorTest, OfALocalAddressThatIsNotOurs) {
  RULES("0.2.3 0.2.6 0.2.12 0.3.2");
  const Error error = failure_of({.host = "127.0.0.1", .port = 80, .local_address = "192.0.2.7"});
  EXPECT_STREQ(error.syscall, "bind");
  EXPECT_EQ(error.local.ip().ip(), "192.0.2.7");
  EXPECT_EQ(error.message(), "bind EADDRNOTAVAIL 192.0.2.7");
}

TEST_P(KernelErrorTest, OfAListenAtAnAddressThatIsNotOurs) {
  RULES("0.2.3 0.2.4");
  NODE_TEST("better-error-messages-listen");
  Server server(reactor());
  const auto bound = server.listen({.port = 4711, .host = "192.0.2.7"});
  ASSERT_FALSE(bound.has_value());
  EXPECT_EQ(name_of(bound.error().code), "EADDRNOTAVAIL");
  EXPECT_STREQ(bound.error().syscall, "listen");
  EXPECT_EQ(bound.error().address.ip().ip(), "192.0.2.7");
  EXPECT_EQ(bound.error().address.port(), 4711);
}

TEST_P(KernelErrorTest, OfAListenInADirectoryThatDoesNotExist) {
  RULES("0.2.3 0.2.4");
  NODE_TEST("better-error-messages-listen-path");
  const std::string path = socket_path() + "/nowhere";
  Server server(reactor());
  const auto bound = server.listen({.path = path});
  ASSERT_FALSE(bound.has_value());
  EXPECT_EQ(name_of(bound.error().code), "ENOENT");
  EXPECT_STREQ(bound.error().syscall, "listen");
  EXPECT_EQ(bound.error().address.path(), path);
}

WEIR_ON_KERNEL_BACKENDS(KernelErrorTest);

}  // namespace
}  // namespace weir::test
