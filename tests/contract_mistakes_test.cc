// The contract, section 0: mistakes in arguments, units, and what is true of every descriptor.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <climits>
#include <csignal>
#include <functional>
#include <type_traits>

#include "tests/pair.h"
#include "tests/rules.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// Answers every question at once: with the same addresses, or else with an error.
class TableResolver final : public net::Resolver {
 public:
  explicit TableResolver(std::error_code code) : code_(code) {}
  explicit TableResolver(std::vector<IpEndpoint> found) : found_(std::move(found)) {}

  void resolve(std::string_view, Family, net::ResolveReply reply) override {
    if (code_) return reply.failed(code_);
    reply.found(found_);
  }

 private:
  std::error_code code_;
  std::vector<IpEndpoint> found_;
};

// ---- Mistakes in arguments ----

class MistakeTest : public PairTest {
 protected:
  // What connect() itself answers; nothing may follow.
  std::string connecting(const net::ConnectOptions& to) {
    Record seen;
    Socket socket(reactor());
    record(socket, seen);
    const auto started = socket.connect(to);
    return quiet(seen, started);
  }

  std::string listening(const net::ListenAt& at) {
    Server server(reactor());
    bool any_event = false;
    server.on_listening([&](Server&) { any_event = true; });
    server.on_server_error([&](Server&, const Error&) { any_event = true; });
    server.on_server_close([&](Server&) { any_event = true; });
    const auto bound = server.listen(at);
    run_for(1ms);
    EXPECT_FALSE(any_event);
    EXPECT_FALSE(server.listening());
    return bound ? "" : std::string(name_of(bound.error().code));
  }

  std::string adopting(int fd) {
    Record seen;
    Socket socket(reactor());
    record(socket, seen);
    return quiet(seen, socket.adopt(fd));
  }

  std::string timing_out_after(Duration timeout) {
    Record seen;
    Socket socket(reactor());
    record(socket, seen);
    return quiet(seen, socket.set_timeout(timeout));
  }

  // How it ends when connect() finds nothing wrong, and no connection comes of it.
  std::string ends_with(const net::ConnectOptions& to) {
    Record seen;
    Socket socket(reactor());
    record(socket, seen);
    EXPECT_TRUE(socket.connect(to).has_value());
    EXPECT_EQ(socket.write("x"), Write::ok);
    socket.end();
    EXPECT_EQ(seen.order(), "") << "inside the call";
    EXPECT_TRUE(run_until([&] { return seen.closes != 0; }));
    EXPECT_EQ(seen.order(), "error close");
    return seen.error();
  }

 private:
  template <class Answer>
  std::string quiet(const Record& seen, const Answer& answer) {
    run_for(1ms);
    EXPECT_EQ(seen.order(), "");
    EXPECT_TRUE(unhandled_.empty());
    if (answer) return "";
    EXPECT_EQ(answer.error().number(), 0);
    EXPECT_STREQ(answer.error().syscall, "");
    return std::string(name_of(answer.error().code));
  }
};

TEST_P(MistakeTest, APortOutsideTheRange) {
  RULES("0.3.1 0.3.3");
  NODE_TEST("listen-invalid-port");
  for (const int port : {-2, -7, 65'536, 1'000'000, INT_MAX, INT_MIN}) {
    EXPECT_EQ(connecting({.port = port}), "ERR_SOCKET_BAD_PORT") << port;
    EXPECT_EQ(listening({.port = port, .host = "127.0.0.1"}), "ERR_SOCKET_BAD_PORT") << port;
    EXPECT_EQ(listening({.port = port}), "ERR_SOCKET_BAD_PORT") << port;
  }
  EXPECT_EQ(connecting({.host = "127.0.0.1", .port = 65'536}), "ERR_SOCKET_BAD_PORT");
  EXPECT_EQ(ends_with({.host = "127.0.0.1", .port = 65'535}), "ECONNREFUSED")
      << "that one is a port";
}

TEST_P(MistakeTest, NeitherPortNorPath) {
  RULES("0.3.1 0.3.4 0.3.8");
  NODE_TEST("connect-no-arg");
  EXPECT_EQ(connecting({}), "ERR_MISSING_ARGS");
  EXPECT_EQ(connecting({.host = "127.0.0.1"}), "ERR_MISSING_ARGS");
  EXPECT_EQ(listening({}), "ERR_INVALID_ARG_VALUE");
  EXPECT_EQ(listening({.host = "127.0.0.1"}), "ERR_INVALID_ARG_VALUE");
}

TEST_P(MistakeTest, ALocalAddressThatIsNotNumeric) {
  RULES("0.3.1 0.3.6");
  for (const char* text : {"localhost", "nonsense", "127.0.0", "256.0.0.1", "127.0.0.1:80", " "}) {
    EXPECT_EQ(connecting({.host = "127.0.0.1", .port = 80, .local_address = text}),
              "ERR_INVALID_IP_ADDRESS")
        << text;
  }
}

TEST_P(MistakeTest, ListeningTwice) {
  RULES("0.3.1 0.3.7");
  listen();
  const Address before = server_->address();
  const auto again = server_->listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Mistake::already_listening);
  EXPECT_EQ(server_->address(), before);
  ASSERT_TRUE(client().connect(to_).has_value());
  EXPECT_TRUE(run_until([&] { return client_record_.has("connect"); }));
}

TEST_P(MistakeTest, ANegativeDescriptor) {
  RULES("0.3.1 0.3.9");
  EXPECT_EQ(adopting(-1), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(adopting(-100), "ERR_OUT_OF_RANGE");
}

TEST_P(MistakeTest, ATimeoutThatIsNegativeOrEndless) {
  RULES("0.3.1 0.3.11");
  NODE_TEST("settimeout");
  EXPECT_EQ(timing_out_after(-1ms), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(timing_out_after(Duration(-1)), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(timing_out_after(Duration::min()), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(timing_out_after(Duration::max()), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(timing_out_after(0ms), "");
  EXPECT_EQ(timing_out_after(24h), "");
}

TEST_P(MistakeTest, AFileModeForAnAbstractName) {
  RULES("0.3.1 0.3.14");
  EXPECT_EQ(listening({.path = "weir-contract", .abstract = true, .readable_all = true}),
            "ERR_INVALID_ARG_VALUE");
  EXPECT_EQ(listening({.path = "weir-contract", .abstract = true, .writable_all = true}),
            "ERR_INVALID_ARG_VALUE");
  EXPECT_EQ(listening({.path = std::string("\0weir-contract", 14), .writable_all = true}),
            "ERR_INVALID_ARG_VALUE");
}

TEST_P(MistakeTest, WhatTheKernelAndTheResolverSayComesLater) {
  RULES("0.3.2");
  TableResolver at_once{make_error_code(ResolveError::failed)};
  EXPECT_EQ(ends_with({.host = "name", .port = 80, .resolver = &at_once}), "EAI_FAIL");
  EXPECT_EQ(ends_with({.path = socket_path()}), "ENOENT");
  EXPECT_EQ(ends_with({.host = "127.0.0.1", .port = 1}), "ECONNREFUSED");
}

WEIR_ON_ALL_BACKENDS(MistakeTest);

TEST(Mistakes, AnEncodingThatDoesNotExist) {
  RULES("0.3.1 0.3.13");
  for (const char* name : {"utf9", "", "UTF", "latin-1", "hex ", "utf8\n"}) {
    const auto encoding = net::parse_encoding(name);
    ASSERT_FALSE(encoding.has_value()) << name;
    EXPECT_EQ(name_of(encoding.error().code), "ERR_UNKNOWN_ENCODING");
  }
  EXPECT_TRUE(net::parse_encoding("utf8").has_value());
}

TEST(Mistakes, ALookupThatIsNoneDoesNotCompile) {
  RULES("2.2.12.3");
  NODE_TEST("options-lookup");
  using Field = decltype(net::ConnectOptions::resolver);
  static_assert(std::is_assignable_v<Field&, TableResolver*>);
  static_assert(std::is_assignable_v<Field&, std::nullptr_t>);
  static_assert(!std::is_assignable_v<Field&, const char*>);
  static_assert(!std::is_assignable_v<Field&, int>);
  static_assert(!std::is_assignable_v<Field&, bool>);
  EXPECT_EQ(net::ConnectOptions{}.resolver, nullptr);
}

class KernelMistakeTest : public MistakeTest {};

TEST_P(KernelMistakeTest, ADescriptorThatIsNoStreamSocket) {
  RULES("0.3.1 0.3.10");
  int ends[2] = {-1, -1};
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const int file = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  const int datagrams = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  for (const int fd : {ends[0], ends[1], file, datagrams}) {
    EXPECT_EQ(adopting(fd), "ERR_INVALID_FD_TYPE");
    EXPECT_NE(::fcntl(fd, F_GETFD), -1) << "it stays the caller's";
    ::close(fd);
  }
}

WEIR_ON_KERNEL_BACKENDS(KernelMistakeTest);

// ---- Units ----

template <class Object, class Answer>
constexpr bool takes_duration(Answer (Object::*)(Duration)) {
  return true;
}

TEST(Units, TimesAreDurations) {
  RULES("0.4.1");
  static_assert(std::is_same_v<decltype(SocketOptions::timeout), Duration>);
  static_assert(std::is_same_v<decltype(SocketOptions::keep_alive_delay), Duration>);
  static_assert(std::is_same_v<decltype(net::ConnectOptions::timeout), Duration>);
  static_assert(
      std::is_same_v<decltype(net::ConnectOptions::attempt_timeout), std::optional<Duration>>);
  static_assert(std::is_same_v<decltype(std::declval<Socket&>().timeout()), Duration>);
  static_assert(takes_duration(&Server::drain));
  static_assert(Duration(1ms).count() >= 1);
}

class MillisecondTest : public PairTest {
 protected:
  // Milliseconds until then, rounded down; the clock is a simulated one.
  long until(const std::function<bool()>& done) {
    const Instant begin = reactor().now();
    EXPECT_TRUE(run_until(done));
    return std::chrono::duration_cast<std::chrono::milliseconds>(reactor().now() - begin).count();
  }
};

TEST_P(MillisecondTest, EveryTimeIsKeptToTheMillisecond) {
  RULES("0.4.1");
  join();
  for (const int time : {1, 2, 7, 999, 1'001, 19'001}) {
    bool idle = false;
    ASSERT_TRUE(client().set_timeout(std::chrono::milliseconds(time), [&](Socket&) {
      idle = true;
    }).has_value());
    EXPECT_EQ(until([&] { return idle; }), time) << "idle timeout";
    ASSERT_TRUE(client().set_timeout(0ms).has_value());
    Socket unanswered(reactor());
    Record seen;
    record(unanswered, seen);
    ASSERT_TRUE(unanswered.connect({.host = "192.0.2.1",
                                    .port = 80,
                                    .timeout = std::chrono::milliseconds(time)}).has_value());
    EXPECT_EQ(until([&] { return seen.closes != 0; }), time) << "time to connect";
  }
}

TEST_P(MillisecondTest, TheAttemptTimeoutAndThePatienceOfDrainToo) {
  RULES("0.4.1");
  TableResolver two{{Address::parse_ip("192.0.2.1", 0).value_or(Address()).ip(),
                     Address::parse_ip("192.0.2.2", 0).value_or(Address()).ip()}};
  Socket socket(reactor());
  Record seen;
  record(socket, seen);
  bool next = false;
  socket.on_connection_attempt_timeout([&](Socket&, const Address&) { next = true; });
  ASSERT_TRUE(socket.connect({.host = "name",
                              .port = 80,
                              .resolver = &two,
                              .attempt_timeout = 13ms}).has_value());
  EXPECT_EQ(until([&] { return next; }), 13);
  socket.destroy();
  PairOptions options;
  options.client.allow_half_open = true;
  join(options);
  server_->drain(17ms);
  EXPECT_EQ(until([&] { return peer_record_.closes != 0; }), 17);
}

WEIR_ON_SIM(MillisecondTest);

class UnitsTest : public PairTest {};

TEST_P(UnitsTest, SizesAreInBytes) {
  RULES("0.4.4");
  const std::string_view text = "\u00e9\ud55c\U0001f389";  // three characters
  ASSERT_EQ(text.size(), 9U);
  PairOptions options;
  options.client.queue = {.high_water = 10, .low_water = 0, .bytes_max = 19};
  options.client.policy = net::QueuePolicy::drop;
  join(options);
  EXPECT_EQ(client().write(text), Write::ok) << "9 of 10";
  EXPECT_EQ(client().writable_length(), 9U);
  EXPECT_EQ(client().bytes_written(), 9U);
  EXPECT_EQ(client().write(text), Write::full);
  EXPECT_EQ(client().write("ab"), Write::refused) << "20 of 19";
  EXPECT_EQ(client().write("a"), Write::full);
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes.size() == 19; }));
  EXPECT_EQ(peer().bytes_read(), 19U);
}

WEIR_ON_ALL_BACKENDS(UnitsTest);

// ---- What the kernel is asked for ----

class DescriptorTest : public PairTest {
 protected:
  static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(::getsockopt(fd, level, name, &value, &size), 0);
    return value;
  }

  static void expect_private(int fd, std::string_view whose) {
    ASSERT_GE(fd, 0) << whose;
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << whose << " is not close-on-exec";
    EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0) << whose << " is blocking";
  }
};

TEST_P(DescriptorTest, KeepAliveDelaysAreCutToWholeSeconds) {
  RULES("0.4.2 0.4.3");
  join();
  const int kernels_own = option(peer().native_handle(), IPPROTO_TCP, TCP_KEEPIDLE);
  client().set_keep_alive(true, 999ms);
  EXPECT_EQ(option(client().native_handle(), SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(client().native_handle(), IPPROTO_TCP, TCP_KEEPIDLE), kernels_own);
  client().set_keep_alive(true, 1999ms);
  EXPECT_EQ(option(client().native_handle(), IPPROTO_TCP, TCP_KEEPIDLE), 1);
  client().set_keep_alive(true, 60s);
  EXPECT_EQ(option(client().native_handle(), IPPROTO_TCP, TCP_KEEPIDLE), 60);
}

TEST_P(DescriptorTest, BufferSizesAreInBytes) {
  RULES("0.4.4");
  join();
  EXPECT_FALSE(client().set_buffer_sizes(30'000, 40'000));
  EXPECT_EQ(option(client().native_handle(), SOL_SOCKET, SO_RCVBUF), 60'000);
  EXPECT_EQ(option(client().native_handle(), SOL_SOCKET, SO_SNDBUF), 80'000);
}

TEST_P(DescriptorTest, AllAreCloseOnExecAndNonBlocking) {
  RULES("0.5.2 0.5.3");
  for (const bool over_unix : {false, true}) {
    client_record_ = {};
    peer_ = nullptr;
    listen({.over_unix = over_unix});
    expect_private(server_->native_handle(), "the listener");
    ASSERT_TRUE(client().connect(to_).has_value());
    ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
    expect_private(client().native_handle(), "the connected one");
    expect_private(peer().native_handle(), "the accepted one");
  }
}

TEST_P(DescriptorTest, AdoptedOnesBecomeSo) {
  RULES("0.5.2 0.5.3");
  int ends[2] = {-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  Socket socket(reactor());
  ASSERT_TRUE(socket.adopt(ends[0]).has_value());
  expect_private(socket.native_handle(), "the adopted one");
  const int plain = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(plain, reinterpret_cast<const sockaddr*>(&any), sizeof any), 0);
  Server server(reactor());
  ASSERT_TRUE(server.listen({.fd = plain}).has_value());
  expect_private(server.native_handle(), "the adopted listener");
  ::close(ends[1]);
}

volatile std::sig_atomic_t pipe_signals = 0;

// The handler is there before the reactor: a library that only ignored the signal would take it
// away, and with it the user's.
class PipeSignalTest : public PairTest {
 protected:
  void SetUp() override {
    pipe_signals = 0;
    struct sigaction count{};
    count.sa_handler = [](int) { pipe_signals = pipe_signals + 1; };
    ::sigaction(SIGPIPE, &count, &before_);
    PairTest::SetUp();
  }
  void TearDown() override {
    PairTest::TearDown();
    struct sigaction now{};
    ::sigaction(SIGPIPE, &before_, &now);
    EXPECT_NE(now.sa_handler, SIG_IGN);
    EXPECT_EQ(pipe_signals, 0);
  }

  struct sigaction before_{};
};

TEST_P(PipeSignalTest, AWriteToABrokenConnectionRaisesNone) {
  RULES("0.5.1 0.1.8");
  int ends[2] = {-1, -1};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  Record seen;
  Socket socket(reactor());
  record(socket, seen);
  ASSERT_TRUE(socket.adopt(ends[0]).has_value());
  ::close(ends[1]);
  EXPECT_EQ(socket.write("nobody reads this"), Write::ok);
  ASSERT_TRUE(run_until([&] { return seen.closes != 0; }));
  EXPECT_EQ(seen.error(), "EPIPE");
}

TEST_P(PipeSignalTest, NorDoesAWriterWhosePeerHasReset) {
  RULES("0.5.1");
  PairOptions options;
  options.client_reads = false;
  join(options);
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] {
    if (!client().destroyed()) client().write("x");
    return client_record_.closes != 0;
  }));
  EXPECT_TRUE(is_reset(client_record_.closed_with)) << client_record_.error();
}

WEIR_ON_KERNEL_BACKENDS(DescriptorTest);
WEIR_ON_KERNEL_BACKENDS(PipeSignalTest);

}  // namespace
}  // namespace weir::test
