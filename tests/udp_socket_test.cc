// UDP sockets: binding, addresses, options, life. What they carry is in udp_message_test.cc.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/udp_world.h"
#include "weir/net/ip.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class UdpSocketTest : public UdpTest {};
// What the simulated machine cannot have: descriptors of others, addresses that are not its own.
class UdpKernelTest : public UdpTest {};

// ---- Binding ----

TEST_P(UdpSocketTest, BindTellsTheAddressAndListeningFollows) {
  NODE_TEST("dgram-address dgram-listen-after-bind");
  Party& one = party();
  int called = 0;
  const auto at = one->bind({.host = "127.0.0.1"}, [&](UdpSocket& which) {
    EXPECT_EQ(&which, one.socket.get());
    EXPECT_TRUE(which.address().has_value());
    ++called;
  });
  ASSERT_TRUE(at.has_value()) << at.error().message();
  EXPECT_EQ(at->host(), "127.0.0.1");
  EXPECT_NE(at->port(), 0);
  EXPECT_EQ(one->address(), *at);
  EXPECT_TRUE(one->bound());
  EXPECT_FALSE(one->connected());
  EXPECT_FALSE(one->closed());
  EXPECT_GE(one->native_handle(), 0);
  EXPECT_EQ(one.order(), "") << "an event inside bind()";
  EXPECT_EQ(called, 0);
  ASSERT_TRUE(run_until([&] { return one.has("listening"); }));
  run_for(1ms);
  EXPECT_EQ(one.order(), "listening");
  EXPECT_EQ(called, 1);
}

TEST_P(UdpSocketTest, EveryAddressIsTheDefault) {
  NODE_TEST("dgram-bind-default-address");
  Party& four = party();
  const auto any = four->bind();
  ASSERT_TRUE(any.has_value()) << any.error().message();
  EXPECT_EQ(any->host(), "0.0.0.0");
  EXPECT_NE(any->port(), 0);
  Party& six = party({.family = Family::ipv6});
  const auto any6 = six->bind();
  ASSERT_TRUE(any6.has_value()) << any6.error().message();
  EXPECT_EQ(any6->host(), "::");
  EXPECT_NE(any6->port(), 0);
}

TEST_P(UdpSocketTest, APortOfOnesOwnChoice) {
  Party& first = bound();
  const UdpAt at = first.at();
  first.socket.reset();
  run_for(1ms);
  Party& second = party();
  const auto again = second->bind(at);
  ASSERT_TRUE(again.has_value()) << again.error().message();
  EXPECT_EQ(again->port(), at.port);
}

TEST_P(UdpSocketTest, ANameIsLookedUpAndToldLater) {
  Names names;
  names.keeps = true;
  Party& one = party({.resolver = &names});
  const auto at = one->bind({.host = "here.test"});
  ASSERT_TRUE(at.has_value()) << at.error().message();
  EXPECT_EQ(at->family(), Family::none);
  EXPECT_EQ(refusal(one->bind({.host = "127.0.0.1"})), "ERR_SOCKET_ALREADY_BOUND");
  ASSERT_TRUE(run_until([&] { return !names.kept.empty(); }));
  EXPECT_EQ(names.asked, (std::vector<std::string>{"here.test"}));
  EXPECT_EQ(names.families, (std::vector<Family>{Family::ipv4}));
  EXPECT_EQ(one.order(), "");
  names.answer_all();
  ASSERT_TRUE(run_until([&] { return one.has("listening"); }));
  EXPECT_EQ(one->address()->host(), "127.0.0.1");
  EXPECT_EQ(refusal(one->bind({.host = "127.0.0.1"})), "ERR_SOCKET_ALREADY_BOUND");
}

TEST_P(UdpSocketTest, TheSystemKnowsLocalhost) {
  Party& one = party();
  ASSERT_TRUE(one->bind({.host = "localhost"}).has_value());
  ASSERT_TRUE(run_until([&] { return one.has("listening"); })) << one.error();
  EXPECT_EQ(one->address()->host(), "127.0.0.1");
}

TEST_P(UdpSocketTest, AnUnknownNameIsAnErrorAndBindMayBeTriedAgain) {
  Names names;
  names.code = ResolveError::not_found;
  Party& one = party({.resolver = &names});
  int called = 0;
  const auto at = one->bind({.host = "nowhere.test"}, [&](UdpSocket&) { ++called; });
  ASSERT_TRUE(at.has_value()) << at.error().message();
  ASSERT_TRUE(run_until([&] { return one.has("error"); }));
  EXPECT_EQ(one.error(), "getaddrinfo ENOTFOUND");
  EXPECT_EQ(one.errors[0].host, "nowhere.test");
  EXPECT_FALSE(one->bound());
  EXPECT_EQ(refusal(one->address()), "getsockname EBADF");
  ASSERT_TRUE(one->bind({.host = "127.0.0.1"}).has_value());
  ASSERT_TRUE(run_until([&] { return one.has("listening"); }));
  EXPECT_EQ(one.order(), "error listening");
  EXPECT_EQ(called, 0) << "it belonged to the bind that failed";
}

TEST_P(UdpSocketTest, ASecondBindIsRefused) {
  NODE_TEST("dgram-bind");
  Party& one = bound();
  EXPECT_EQ(refusal(one->bind({.host = "127.0.0.1"})), "ERR_SOCKET_ALREADY_BOUND");
  ASSERT_TRUE(run_until([&] { return one.has("listening"); }));
  EXPECT_EQ(refusal(one->bind()), "ERR_SOCKET_ALREADY_BOUND");
  run_for(1ms);
  EXPECT_EQ(one.order(), "listening");
}

TEST_P(UdpSocketTest, APortInUseIsRefusedAndAnotherMayBeTried) {
  NODE_TEST("dgram-bind-error-repeat");
  Party& first = bound();
  Party& second = party();
  int called = 0;
  for (int i = 0; i < 3; ++i) {
    const auto at = second->bind(first.at(), [&](UdpSocket&) { ++called; });
    ASSERT_EQ(refusal(at), "bind EADDRINUSE");
    EXPECT_EQ(at.error().message(),
              "bind EADDRINUSE " + first->address()->to_string());
    EXPECT_FALSE(second->bound());
    EXPECT_EQ(second->native_handle(), -1);
  }
  ASSERT_TRUE(second->bind({.host = "127.0.0.1"}, [&](UdpSocket&) { ++called; }).has_value());
  ASSERT_TRUE(run_until([&] { return second.has("listening"); }));
  run_for(1ms);
  EXPECT_EQ(called, 1);
  EXPECT_EQ(second.order(), "listening");
}

TEST_P(UdpSocketTest, WhatIsFoundByALookupMayBeOfNoUse) {
  Names names;
  Party& first = bound();
  Party& second = party({.resolver = &names});
  ASSERT_TRUE(second->bind({.port = first.at().port, .host = "here.test"}).has_value());
  ASSERT_TRUE(run_until([&] { return second.has("error"); }));
  EXPECT_EQ(second.error(), "bind EADDRINUSE");
  EXPECT_FALSE(second->bound());
  Party& third = party({.resolver = &names});
  int connected = 0;
  ASSERT_TRUE(third->bind({.host = "here.test"}).has_value());
  ASSERT_TRUE(third->connect({.port = 9, .host = "::1"}, [&](UdpSocket&) { ++connected; }));
  ASSERT_TRUE(run_until([&] { return third.has("error"); }));
  EXPECT_EQ(third.error(), "connect EAFNOSUPPORT");
  EXPECT_TRUE(third->bound());
  EXPECT_FALSE(third->connected());
  EXPECT_EQ(connected, 0);
}

TEST_P(UdpSocketTest, ABadPortIsRefused) {
  Party& one = party();
  for (const int port : {-1, 65536, 1 << 20}) {
    EXPECT_EQ(refusal(one->bind({.port = port, .host = "127.0.0.1"})), "ERR_SOCKET_BAD_PORT");
    EXPECT_EQ(refusal(one->send("x", UdpAt{.port = port, .host = "127.0.0.1"})),
              "ERR_SOCKET_BAD_PORT");
    EXPECT_EQ(refusal(one->connect({.port = port, .host = "127.0.0.1"})), "ERR_SOCKET_BAD_PORT");
  }
  EXPECT_EQ(refusal(one->send("x", UdpAt{.port = 0, .host = "127.0.0.1"})),
            "ERR_SOCKET_BAD_PORT");
  EXPECT_EQ(refusal(one->send("x", Address::loopback_ipv4(0).ip())), "ERR_SOCKET_BAD_PORT");
  EXPECT_EQ(refusal(one->connect({.port = 0, .host = "127.0.0.1"})), "ERR_SOCKET_BAD_PORT");
  EXPECT_FALSE(one->bound()) << "what is refused does not bind";
  run_for(1ms);
  EXPECT_EQ(one.order(), "");
}

TEST_P(UdpSocketTest, AnAddressOfTheOtherFamilyIsRefused) {
  Party& four = party();
  EXPECT_EQ(refusal(four->bind({.host = "::1"})), "bind EINVAL");
  EXPECT_FALSE(four->bound());
  EXPECT_EQ(refusal(four->connect({.port = 9, .host = "::1"})), "connect EAFNOSUPPORT");
  EXPECT_FALSE(four->connected());
  Party& six = party({.family = Family::ipv6});
  EXPECT_EQ(refusal(six->bind({.host = "127.0.0.1"})), "bind EINVAL");
  EXPECT_FALSE(six->bound());
}

TEST_P(UdpKernelTest, AnAddressOfAnotherMachineCannotBeBound) {
  NODE_TEST("dgram-error-message-address");
  Party& one = party();
  const auto at = one->bind({.port = 1234, .host = "198.51.100.7"});
  ASSERT_EQ(refusal(at), "bind EADDRNOTAVAIL");
  EXPECT_EQ(at.error().message(), "bind EADDRNOTAVAIL 198.51.100.7:1234");
  Party& six = party({.family = Family::ipv6});
  const auto at6 = six->bind({.port = 1234, .host = "2001:db8::7"});
  ASSERT_EQ(refusal(at6), "bind EADDRNOTAVAIL");
  EXPECT_EQ(at6.error().message(), "bind EADDRNOTAVAIL [2001:db8::7]:1234");
  EXPECT_TRUE(one->bind({.host = "127.0.0.1"}).has_value());
  EXPECT_TRUE(six->bind({.host = "::1"}).has_value());
}

TEST_P(UdpSocketTest, SocketsShareAPortWhenBothSaySo) {
  NODE_TEST("dgram-reuseport");
  for (const bool port : {false, true}) {
    Party& first = bound("127.0.0.1", {.reuse_address = !port, .reuse_port = port});
    Party& second = party({.reuse_address = !port, .reuse_port = port});
    EXPECT_EQ(refusal(second->bind(first.at())), "") << port;
    Party& third = party();
    EXPECT_EQ(refusal(third->bind(first.at())), "bind EADDRINUSE") << port;
  }
}

TEST_P(UdpSocketTest, Ipv6OnlyLeavesThePortToIpv4) {
  NODE_TEST("dgram-ipv6only");
  Party& both = bound("::");
  Party& four = party();
  const int taken = both->address()->port();
  EXPECT_EQ(refusal(four->bind({.port = taken, .host = "0.0.0.0"})), "bind EADDRINUSE");
  Party& six = bound("::", {.ipv6_only = true});
  const int free = six->address()->port();
  EXPECT_EQ(refusal(four->bind({.port = free, .host = "0.0.0.0"})), "");
  Party& sender = bound();
  ASSERT_TRUE(sender->send("four", UdpAt{.port = free, .host = "127.0.0.1"}).has_value());
  ASSERT_TRUE(run_until_got(four, 1));
  EXPECT_EQ(six.texts(), "");
}

// Addresses that begin alike, with the same port: only the last bytes tell them apart.
TEST_P(UdpSocketTest, EachDatagramHasTheAddressOfItsOwnSender) {
  Party& both = bound("::");
  Party& first = bound("127.0.0.1");
  Party& second = party();
  const int port = first.at().port;
  ASSERT_EQ(refusal(second->bind({.port = port, .host = "127.0.0.2"})), "");
  const UdpAt at{.port = both.at().port, .host = "127.0.0.1"};
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(first->send("1", at).has_value());
    ASSERT_TRUE(second->send("2", at).has_value());
    ASSERT_TRUE(run_until_got(both, 2 * static_cast<std::size_t>(i) + 2));
  }
  for (std::size_t i = 0; i < both.got.size(); ++i) {
    const Address from(both.from[i]);
    EXPECT_EQ(from.host(), both.got[i] == "1" ? "::ffff:127.0.0.1" : "::ffff:127.0.0.2");
    EXPECT_EQ(from.port(), port);
  }
}

// ---- Somebody else's descriptor ----

class OwnFd {
 public:
  OwnFd(int family, int type) : fd(::socket(family, type | SOCK_CLOEXEC, 0)) {}
  OwnFd(const OwnFd&) = delete;
  OwnFd& operator=(const OwnFd&) = delete;
  ~OwnFd() {
    if (fd >= 0) ::close(fd);
  }
  void bind_loopback() const {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
  }
  int fd;
};

TEST_P(UdpKernelTest, ABoundDescriptorIsTakenOver) {
  NODE_TEST("dgram-bind-fd");
  OwnFd own(AF_INET, SOCK_DGRAM);
  own.bind_loopback();
  Party& one = party();
  int called = 0;
  const auto at = one->bind_fd(own.fd, [&](UdpSocket&) { ++called; });
  ASSERT_TRUE(at.has_value()) << at.error().message();
  EXPECT_EQ(at->host(), "127.0.0.1");
  EXPECT_NE(at->port(), 0);
  EXPECT_EQ(one->address(), *at);
  EXPECT_EQ(one->native_handle(), own.fd);
  EXPECT_EQ(refusal(one->bind()), "ERR_SOCKET_ALREADY_BOUND");
  EXPECT_EQ(refusal(one->bind_fd(own.fd)), "ERR_SOCKET_ALREADY_BOUND");
  Party& other = bound();
  send(other, "to the fd", one);
  ASSERT_TRUE(run_until_got(one, 1));
  send(one, "from the fd", other);
  ASSERT_TRUE(run_until_got(other, 1));
  EXPECT_EQ(other.from[0], one.endpoint());
  EXPECT_EQ(one.order(), "listening message");
  EXPECT_EQ(called, 1);
  own.fd = -1;  // the socket's, which closes it
}

// What they add to each datagram comes before what says how to cut those that came as one.
TEST_P(UdpKernelTest, OptionsOfATakenDescriptorDoNotJoinDatagrams) {
  OwnFd own(AF_INET, SOCK_DGRAM);
  own.bind_loopback();
  const int on = 1;
  ASSERT_EQ(::setsockopt(own.fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on), 0);
  ASSERT_EQ(::setsockopt(own.fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on), 0);
  Party& one = party({.coalesce = true});
  ASSERT_TRUE(one->bind_fd(own.fd).has_value());
  own.fd = -1;  // the socket's, which closes it
  Party& other = bound();
  ASSERT_NO_FATAL_FAILURE(transfer(other, one, std::vector<std::string>(60, "equal size")));
}

TEST_P(UdpKernelTest, OtherDescriptorsAreRefusedAndStayTheCallers) {
  NODE_TEST("dgram-bind-fd-error");
  const OwnFd tcp(AF_INET, SOCK_STREAM);
  const OwnFd local(AF_UNIX, SOCK_DGRAM);
  const OwnFd unbound(AF_INET, SOCK_DGRAM);
  const OwnFd six(AF_INET6, SOCK_DGRAM);
  tcp.bind_loopback();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  Party& one = party();
  for (const int fd : {tcp.fd, local.fd, unbound.fd, six.fd, ends[0]}) {
    EXPECT_EQ(refusal(one->bind_fd(fd)), "ERR_INVALID_FD_TYPE") << fd;
    EXPECT_EQ(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0) << "it is as it was";
    EXPECT_EQ(one->native_handle(), -1);
  }
  EXPECT_FALSE(one->bind_fd(-1).has_value());
  EXPECT_EQ(::close(ends[0]), 0);
  EXPECT_EQ(::close(ends[1]), 0);
  EXPECT_FALSE(one->bound());
  EXPECT_TRUE(one->bind({.host = "127.0.0.1"}).has_value());
}

// ---- Before bind() and after close() ----

TEST_P(UdpSocketTest, BeforeBindThereIsNoSocket) {
  Party& one = party();
  EXPECT_FALSE(one->bound());
  EXPECT_FALSE(one->connected());
  EXPECT_EQ(one->native_handle(), -1);
  EXPECT_EQ(&one->reactor(), &reactor());
  EXPECT_EQ(refusal(one->address()), "getsockname EBADF");
  EXPECT_EQ(refusal(one->remote_address()), "ERR_SOCKET_DGRAM_NOT_CONNECTED");
  EXPECT_EQ(refusal(one->disconnect()), "ERR_SOCKET_DGRAM_NOT_CONNECTED");
  EXPECT_EQ(refusal(one->send("x")), "ERR_SOCKET_DGRAM_NOT_CONNECTED");
  EXPECT_EQ(refusal(one->set_broadcast(true)), "setBroadcast EBADF");
  EXPECT_EQ(refusal(one->set_ttl(5)), "setTTL EBADF");
  EXPECT_EQ(refusal(one->set_multicast_ttl(5)), "setMulticastTTL EBADF");
  EXPECT_EQ(refusal(one->set_multicast_loopback(true)), "setMulticastLoopback EBADF");
  EXPECT_EQ(refusal(one->set_multicast_interface("127.0.0.1")), "setMulticastInterface EBADF");
  EXPECT_EQ(refusal(one->set_receive_buffer_size(5000)), "setRecvBufferSize EBADF");
  EXPECT_EQ(refusal(one->set_send_buffer_size(5000)), "setSendBufferSize EBADF");
  EXPECT_EQ(refusal(one->receive_buffer_size()), "getRecvBufferSize EBADF");
  EXPECT_EQ(refusal(one->send_buffer_size()), "getSendBufferSize EBADF");
  EXPECT_EQ(one->send_queue_bytes(), 0U);
  EXPECT_EQ(one->send_queue_datagrams(), 0U);
  EXPECT_FALSE(one->bound());
  run_for(1ms);
  EXPECT_EQ(one.order(), "");
}

TEST_P(UdpSocketTest, AfterCloseNothingRuns) {
  NODE_TEST("dgram-close");
  Party& one = bound();
  ASSERT_TRUE(run_until([&] { return one.has("listening"); }));
  ASSERT_TRUE(one->close().has_value());
  const std::string gone = "ERR_SOCKET_DGRAM_NOT_RUNNING";
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(one->closed());
    EXPECT_EQ(refusal(one->address()), gone);
    EXPECT_EQ(refusal(one->bind()), gone);
    EXPECT_EQ(refusal(one->send("x", UdpAt{.port = 1})), gone);
    EXPECT_EQ(refusal(one->send("x")), gone);
    EXPECT_EQ(refusal(one->connect({.port = 1})), gone);
    EXPECT_EQ(refusal(one->disconnect()), gone);
    EXPECT_EQ(refusal(one->remote_address()), gone);
    EXPECT_EQ(refusal(one->set_ttl(5)), gone);
    EXPECT_EQ(refusal(one->set_broadcast(true)), gone);
    EXPECT_EQ(refusal(one->receive_buffer_size()), gone);
    EXPECT_EQ(refusal(one->set_send_buffer_size(5000)), gone);
    EXPECT_EQ(refusal(one->add_membership("239.1.1.1")), gone);
    EXPECT_EQ(refusal(one->close()), gone);
    one->ref();
    one->unref();
    ASSERT_TRUE(run_until([&] { return one.has("close"); }));
  }
  EXPECT_EQ(one.order(), "listening close");
}

// ---- Options ----

TEST_P(UdpSocketTest, HopsHaveARange) {
  NODE_TEST("dgram-setTTL dgram-multicast-setTTL");
  for (const char* host : {"127.0.0.1", "::1"}) {
    Party& one = bound(host);
    for (const int hops : {1, 64, 255}) EXPECT_EQ(refusal(one->set_ttl(hops)), "") << hops;
    for (const int hops : {-1, 0, 256, 1000}) {
      EXPECT_EQ(refusal(one->set_ttl(hops)), "setTTL EINVAL") << hops;
    }
    for (const int hops : {0, 1, 255}) EXPECT_EQ(refusal(one->set_multicast_ttl(hops)), "");
    for (const int hops : {-1, 256, 1000}) {
      EXPECT_EQ(refusal(one->set_multicast_ttl(hops)), "setMulticastTTL EINVAL") << hops;
    }
  }
}

TEST_P(UdpSocketTest, SwitchesGoOnAndOff) {
  NODE_TEST("dgram-setBroadcast dgram-multicast-loopback");
  for (const char* host : {"127.0.0.1", "::1"}) {
    Party& one = bound(host);
    for (const bool on : {true, false, true}) {
      EXPECT_EQ(refusal(one->set_broadcast(on)), "");
      EXPECT_EQ(refusal(one->set_multicast_loopback(on)), "");
    }
  }
}

TEST_P(UdpSocketTest, BufferSizesAreDoubled) {
  NODE_TEST("dgram-socket-buffer-size");
  Party& one = bound();
  EXPECT_EQ(refusal(one->set_receive_buffer_size(10'000)), "");
  EXPECT_EQ(refusal(one->set_send_buffer_size(12'000)), "");
  EXPECT_EQ(one->receive_buffer_size().value_or(0), 20'000);
  EXPECT_EQ(one->send_buffer_size().value_or(0), 24'000);
  for (const int bytes : {0, -1}) {
    EXPECT_EQ(refusal(one->set_receive_buffer_size(bytes)), "ERR_SOCKET_BAD_BUFFER_SIZE");
    EXPECT_EQ(refusal(one->set_send_buffer_size(bytes)), "ERR_SOCKET_BAD_BUFFER_SIZE");
  }
  EXPECT_EQ(one->receive_buffer_size().value_or(0), 20'000);
  Party& other = bound("127.0.0.1", {.receive_buffer = 11'000, .send_buffer = 13'000});
  EXPECT_EQ(other->receive_buffer_size().value_or(0), 22'000);
  EXPECT_EQ(other->send_buffer_size().value_or(0), 26'000);
}

// ---- What keeps run() going ----

TEST_P(UdpSocketTest, OnlyABoundSocketKeepsRunGoing) {
  NODE_TEST("dgram-ref dgram-unref");
  Party& one = party();
  EXPECT_TRUE(run_returns(kPatience)) << "not bound";
  ASSERT_TRUE(one->bind({.host = "127.0.0.1"}).has_value());
  EXPECT_FALSE(run_returns(20ms));
  EXPECT_TRUE(one.has("listening"));
  one->unref();
  EXPECT_TRUE(run_returns(kPatience));
  one->unref();
  one->ref();
  EXPECT_FALSE(run_returns(20ms)) << "ref() undoes any number of unref()";
  one->ref();
  one->unref();
  EXPECT_TRUE(run_returns(kPatience));
  one->ref();
  ASSERT_TRUE(one->close().has_value());
  EXPECT_TRUE(run_returns(kPatience));
  EXPECT_EQ(one.order(), "listening close");
}

TEST_P(UdpSocketTest, AnUnreferencedSocketIsToldAllTheSame) {
  Party& quiet = party();
  quiet->unref();
  ASSERT_TRUE(quiet->bind({.host = "127.0.0.1"}).has_value());
  EXPECT_TRUE(run_returns(kPatience)) << "unref() came before bind()";
  EXPECT_EQ(quiet.order(), "listening");
  Party& other = bound();
  send(other, "hello", quiet);
  ASSERT_TRUE(run_until_got(quiet, 1));
  other.socket.reset();
  EXPECT_TRUE(run_returns(kPatience)) << "the other one has gone";
}

// ---- A stop token ----

TEST_P(UdpSocketTest, AStopRequestCloses) {
  NODE_TEST("dgram-close-signal");
  std::stop_source stop;
  Party& one = bound("127.0.0.1", {.stop = stop.get_token()});
  ASSERT_TRUE(run_until([&] { return one.has("listening"); }));
  stop.request_stop();
  EXPECT_TRUE(one->closed());
  EXPECT_EQ(one.order(), "listening") << "an event inside request_stop()";
  EXPECT_EQ(refusal(one->close()), "ERR_SOCKET_DGRAM_NOT_RUNNING");
  ASSERT_TRUE(run_until([&] { return one.has("close"); }));
  run_for(1ms);
  EXPECT_EQ(one.order(), "listening close");
}

TEST_P(UdpSocketTest, AStopRequestBeforeTheSocketIsMadeClosesIt) {
  NODE_TEST("dgram-close-signal");
  std::stop_source stop;
  stop.request_stop();
  Party& one = party({.stop = stop.get_token()});
  EXPECT_EQ(one.order(), "");
  ASSERT_TRUE(run_until([&] { return one.has("close"); }));
  EXPECT_TRUE(one->closed());
  EXPECT_EQ(refusal(one->bind()), "ERR_SOCKET_DGRAM_NOT_RUNNING");
  EXPECT_EQ(one.order(), "close");
}

TEST_P(UdpSocketTest, AStopRequestMayComeTooLate) {
  NODE_TEST("dgram-abort-closed");
  std::stop_source stop;
  Party& one = bound("127.0.0.1", {.stop = stop.get_token()});
  Party& other = bound("127.0.0.1", {.stop = stop.get_token()});
  ASSERT_TRUE(one->close().has_value());
  ASSERT_TRUE(run_until([&] { return one.has("close"); }));
  other.socket.reset();
  stop.request_stop();
  run_for(1ms);
  EXPECT_EQ(one.count("close"), 1);
  EXPECT_FALSE(other.has("close"));
}

// ---- Listeners ----

TEST_P(UdpSocketTest, ListenersRunInOrderOnceOrAlwaysUntilTheyAreOff) {
  Party& one = bound();
  Party& other = bound();
  std::string calls;
  one->on_message([&](UdpSocket&, const Datagram&) { calls += 'o'; }, net::Times::once);
  const auto id = one->on_message([&](UdpSocket&, const Datagram&) { calls += 'a'; });
  one->on_message([&](UdpSocket&, const Datagram&) { calls += 'b'; });
  one->on_messages([&](UdpSocket&, std::span<const Datagram> all) {
    calls += std::to_string(all.size());
  });
  send(other, "1", one);
  ASSERT_TRUE(run_until_got(one, 1));
  EXPECT_EQ(calls, "1oab") << "on_messages() is before on_message()";
  one->off(id);
  one->off(id);
  send(other, "2", one);
  ASSERT_TRUE(run_until_got(one, 2));
  EXPECT_EQ(calls, "1oab1b");
}

TEST_P(UdpSocketTest, AnErrorWithoutAListenerGoesToTheReactor) {
  UdpSocket bare(reactor());
  const std::string bytes(kDatagramMax + 1, 'x');
  ASSERT_TRUE(bare.send(bytes, UdpAt{.port = 9}).has_value());
  ASSERT_TRUE(run_until([&] { return !unhandled_.empty(); }));
  EXPECT_EQ(unhandled_[0].code, errno_code(EMSGSIZE));
  EXPECT_STREQ(unhandled_[0].syscall, "send");
  EXPECT_EQ(reactor().counters().unhandled_errors, 1U);
  EXPECT_TRUE(bare.bound()) << "the socket stays usable";
}

// ---- Block lists ----

TEST_P(UdpSocketTest, DatagramsOfBlockedPeersAreIgnored) {
  NODE_TEST("dgram-blocklist");
  net::BlockList block;
  ASSERT_TRUE(block.add_address("127.0.0.2").has_value());
  Party& one = bound("127.0.0.1", {.receive_block_list = &block});
  Party& bad = bound("127.0.0.2");
  Party& good = bound("127.0.0.1");
  std::string spans;
  one->on_messages([&](UdpSocket&, std::span<const Datagram> all) {
    for (const Datagram& each : all) spans += std::string(each.bytes) + " ";
  });
  send(bad, "bad", one);
  send(good, "good", one);
  send(bad, "bad", one);
  send(good, "last", one);
  ASSERT_TRUE(run_until([&] { return one->counters().received + one->counters().blocked == 4; }));
  EXPECT_EQ(one.texts(), "good last ");
  EXPECT_EQ(spans, "good last ");
  EXPECT_EQ(one->counters().blocked, 2U);
  EXPECT_EQ(one->counters().received, 2U);
  EXPECT_EQ(one->counters().received_bytes, 8U);
}

TEST_P(UdpSocketTest, NothingIsSentToBlockedPeers) {
  NODE_TEST("dgram-blocklist");
  net::BlockList block;
  ASSERT_TRUE(block.add_subnet("127.0.0.2", 32).has_value());
  Names names;
  names.ip = "127.0.0.2";
  Party& one = bound("127.0.0.1", {.resolver = &names, .send_block_list = &block});
  Party& other = bound("127.0.0.2");
  Party& allowed = bound();
  const int port = other.at().port;
  EXPECT_EQ(refusal(one->send("no", other.at(), one.noted())), "ERR_IP_BLOCKED");
  EXPECT_EQ(refusal(one->send("no", other.endpoint(), one.noted())), "ERR_IP_BLOCKED");
  // A name is found later.
  ASSERT_EQ(refusal(one->send("no", UdpAt{.port = port, .host = "bad.test"}, one.noted(1))), "");
  ASSERT_TRUE(run_until([&] { return !one.numbers.empty(); }));
  EXPECT_EQ(one.outcomes, (std::vector<std::string>{"ERR_IP_BLOCKED"}));
  EXPECT_EQ(one.numbers, (std::vector<int>{1}));
  send(one, "yes", allowed);
  ASSERT_TRUE(run_until_got(allowed, 1));
  EXPECT_EQ(other.texts(), "");
  EXPECT_FALSE(one.has("error"));
}

TEST_P(UdpSocketTest, ABlockedPeerCannotBeConnectedTo) {
  NODE_TEST("dgram-blocklist");
  net::BlockList block;
  ASSERT_TRUE(block.add_address("127.0.0.2").has_value());
  Names names;
  names.ip = "127.0.0.2";
  Party& one = bound("127.0.0.1", {.resolver = &names, .send_block_list = &block});
  Party& other = bound("127.0.0.2");
  EXPECT_EQ(refusal(one->connect(other.at())), "ERR_IP_BLOCKED");
  EXPECT_FALSE(one->connected());
  ASSERT_EQ(refusal(one->connect({.port = other.at().port, .host = "bad.test"})), "");
  ASSERT_TRUE(run_until([&] { return one.has("error") || one.has("connect"); }));
  ASSERT_TRUE(one.has("error"));
  EXPECT_EQ(one.errors[0].code, Mistake::ip_blocked);
  EXPECT_FALSE(one->connected());
}

TEST_P(UdpSocketTest, FailedLookupsLeaveNoReferenceBehind) {
  const UdpAt somebody{.port = 9, .host = "somebody.test"};
  for (const bool bind_fails_first : {true, false}) {
    Names names;
    names.keeps = true;
    Party& one = party({.resolver = &names});
    ASSERT_EQ(refusal(one->bind({.host = "here.test"})), "");
    ASSERT_EQ(refusal(one->send("x", somebody, one.noted())), "");
    ASSERT_TRUE(run_until([&] { return names.kept.size() == 2; }));
    names.kept[bind_fails_first ? 0 : 1].failed(ResolveError::not_found);
    run_for(1ms);
    names.kept[bind_fails_first ? 1 : 0].failed(ResolveError::not_found);
    EXPECT_TRUE(run_returns(kPatience)) << bind_fails_first;
    EXPECT_EQ(one.error(), "getaddrinfo ENOTFOUND");
    EXPECT_EQ(one.outcomes, std::vector<std::string>{"ENOTFOUND"});
    EXPECT_FALSE(one->bound());
  }
}

// ---- Ends ----

TEST_P(UdpSocketTest, SocketsMayGoRightBeforeTheReactor) {
  at_once_ = true;
  Names names;
  names.keeps = true;
  Party& fresh = party();
  Party& one = bound();
  Party& other = bound();
  Party& waiting = party({.resolver = &names});
  ASSERT_TRUE(waiting->bind({.host = "later.test"}).has_value());
  ASSERT_TRUE(one->send("x", UdpAt{.port = 9, .host = "localhost"}).has_value());
  for (int i = 0; i < 20; ++i) send(one, "queued", other);
  ASSERT_TRUE(other->close().has_value());
  EXPECT_FALSE(fresh->bound());
  parties_.clear();
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
  run_for(0ms);
  names.kept.clear();
}

// Its handlers, and what they hold, stay until the kernel has let go of it; a socket that was never
// bound ends before.
TEST_P(UdpSocketTest, SocketsThatAHandlerHoldsGoWithTheReactor) {
  at_once_ = true;
  for (const bool bind : {false, true}) {
    Party& one = bound();
    auto held = std::make_unique<UdpSocket>(reactor());
    if (bind) {
      ASSERT_TRUE(held->bind({.host = "127.0.0.1"}).has_value());
    }
    one->on_message([held = std::move(held)](UdpSocket&, const Datagram&) {});
  }
  parties_.clear();
}

TEST_P(UdpSocketTest, ALookupMayOutliveItsSocket) {
  Names names;
  names.keeps = true;
  Party& one = party({.resolver = &names});
  ASSERT_TRUE(one->bind({.host = "later.test"}).has_value());
  ASSERT_TRUE(run_until([&] { return names.kept.size() == 1; }));
  Party& other = bound("127.0.0.1", {.resolver = &names});
  ASSERT_TRUE(
      other->send("x", UdpAt{.port = 9, .host = "later.test"}, other.noted()).has_value());
  ASSERT_TRUE(run_until([&] { return names.kept.size() == 2; }));
  one.socket.reset();
  other.socket.reset();
  names.answer_all();
  run_for(1ms);
  EXPECT_EQ(one.order(), "");
  EXPECT_EQ(other.count("sent"), 0);
}

WEIR_ON_ALL_BACKENDS(UdpSocketTest);
WEIR_ON_KERNEL_BACKENDS(UdpKernelTest);

}  // namespace
}  // namespace weir::test
