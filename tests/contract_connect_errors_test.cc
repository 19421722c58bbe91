// The contract of connect(): which error each kind of failure gives.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/dial.h"
#include "tests/rules.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using How = TestResolver::How;

class ConnectErrorTest : public DialTest {
 protected:
  // Connects to what must fail; the one error, which must also be that of 'close'.
  Error failed(const net::ConnectOptions& to) {
    const std::size_t open_before = reactor().counters().sockets;
    Socket socket(reactor());
    seen_ = {};
    record(socket, seen_);
    record_attempts(socket, seen_);
    const auto started = socket.connect(to);
    if (!started) return started.error();
    EXPECT_EQ(seen_.order(), "") << "an event inside connect()";
    EXPECT_TRUE(run_until([&] { return seen_.closes != 0; }));
    EXPECT_EQ(seen_.errors.size(), 1U);
    if (seen_.errors.empty()) return {};
    EXPECT_EQ(seen_.closed_with, seen_.errors[0].code);
    EXPECT_TRUE(seen_.order().ends_with("error close")) << seen_.order();
    EXPECT_EQ(reactor().counters().sockets, open_before);
    return seen_.errors[0];
  }
  void expect_lookup_failed(const Error& error, std::string_view code, std::string_view host) {
    EXPECT_EQ(name_of(error.code), code);
    EXPECT_STREQ(error.syscall, "getaddrinfo");
    EXPECT_EQ(error.host, host);
    EXPECT_EQ(error.message(), "getaddrinfo " + std::string(code) + " " + std::string(host));
    EXPECT_EQ(seen_.order(), "lookup:" + std::string(code) + " error close");
  }

  Record seen_;
};

TEST_P(ConnectErrorTest, Refused) {
  RULES("2.3.5.1 2.3.4.1");
  listen();
  const std::string where = "127.0.0.3:" + text_port();
  const Error error = failed({.host = "127.0.0.3", .port = to_.port});
  EXPECT_EQ(error.message(), "connect ECONNREFUSED " + where);
  EXPECT_EQ(error.address.to_string(), where);
  EXPECT_EQ(seen_.order(), "attempt:127.0.0.3 failed:127.0.0.3 error close");
  EXPECT_TRUE(error.errors.empty());
}

TEST_P(ConnectErrorTest, NobodyAnswers) {
  RULES("2.3.5.2");
  listen();
  hang("127.0.0.2");
  const Instant begin = reactor().now();
  const Error error = failed({.host = "127.0.0.2", .port = to_.port, .timeout = 20ms});
  EXPECT_EQ(error.message(), "connect ETIMEDOUT 127.0.0.2:" + text_port());
  EXPECT_STREQ(error.syscall, "connect");
  EXPECT_GE(reactor().now() - begin, 20ms);
}

TEST_P(ConnectErrorTest, TheTimeoutCoversTheLookup) {
  RULES("2.3.5.2");
  TestResolver silent(How::keep);
  const Error error = failed({.host = "slow.name", .port = 1, .resolver = &silent,
                              .timeout = 20ms});
  EXPECT_EQ(name_of(error.code), "ETIMEDOUT");
  silent.kept.clear();
}

TEST_P(ConnectErrorTest, ANameThatDoesNotExist) {
  RULES("2.3.5.7 2.3.2.1");
  TestResolver empty(How::at_once);
  expect_lookup_failed(failed({.host = "no.name", .port = 1, .resolver = &empty}), "ENOTFOUND",
                       "no.name");
  TestResolver knows_not(make_error_code(ResolveError::not_found));
  expect_lookup_failed(failed({.host = "no.name", .port = 1, .resolver = &knows_not}), "ENOTFOUND",
                       "no.name");
  TestResolver only_ipv4({"127.0.0.1"});
  const Error other_family = failed(
      {.host = "no.name", .port = 1, .family = Family::ipv6, .resolver = &only_ipv4});
  EXPECT_EQ(other_family.message(), "getaddrinfo ENOTFOUND no.name");
}

TEST_P(ConnectErrorTest, NoAnswerFromNameServersForNow) {
  RULES("2.3.5.8 2.3.2.1");
  TestResolver tries(make_error_code(ResolveError::try_again));
  expect_lookup_failed(failed({.host = "no.name", .port = 1, .resolver = &tries}), "EAI_AGAIN",
                       "no.name");
}

TEST_P(ConnectErrorTest, AResolverThatDropsTheQuestion) {
  RULES("2.3.4.1");
  TestResolver drops(How::drop);
  expect_lookup_failed(failed({.host = "no.name", .port = 1, .resolver = &drops}), "EAI_FAIL",
                       "no.name");
}

TEST_P(ConnectErrorTest, TheSystemsOwnLookupFails) {
  RULES("2.3.5.7 2.3.5.8");
  NODE_TEST("dns-error");
  for (const std::string& host : {std::string("nowhere.invalid"), std::string(64, '*'),
                                  std::string(2000, 'x') + ".invalid"}) {
    const Error error = failed({.host = host, .port = 1});
    EXPECT_STREQ(error.syscall, "getaddrinfo");
    EXPECT_EQ(error.host, host);
    const std::string code(name_of(error.code));
    // Without a name server there is no answer, and some kinds of bad names are not even asked for.
    EXPECT_TRUE(code == "ENOTFOUND" || code == "EAI_AGAIN" || code == "EAI_FAIL") << code;
    EXPECT_EQ(seen_.order(), "lookup:" + code + " error close");
  }
}

TEST_P(ConnectErrorTest, EndWhileTheLookupFails) {
  RULES("2.3.5.7 2.3.4.3");
  NODE_TEST("connect-immediate-finish");
  listen();
  resolver_.set({});
  std::string done;
  ASSERT_TRUE(client().connect({.host = "***", .port = 1, .resolver = &resolver_}).has_value());
  client().end([&](Socket&, std::error_code code) { done = name_of(code); });
  ASSERT_TRUE(run_until_client_closed());
  EXPECT_EQ(client_record_.order(), "lookup:ENOTFOUND error close");
  EXPECT_EQ(client_record_.errors[0].message(), "getaddrinfo ENOTFOUND ***");
  EXPECT_EQ(client_record_.errors[0].host, "***");
  EXPECT_EQ(client_record_.closed_with, make_error_code(ResolveError::not_found));
  EXPECT_EQ(done, "ENOTFOUND");
}

// ---- Unix sockets ----

TEST_P(ConnectErrorTest, AUnixPathWithoutAFile) {
  RULES("2.3.5.9");
  NODE_TEST("pipe-connect-errors");
  const std::string path = socket_path();
  const Error error = failed({.path = path});
  EXPECT_EQ(error.message(), "connect ENOENT " + path);
  EXPECT_STREQ(error.syscall, "connect");
  EXPECT_EQ(error.address.path(), path);
  EXPECT_EQ(error.number(), -ENOENT);
}

TEST_P(ConnectErrorTest, AStaleSocketFile) {
  RULES("2.3.5.10");
  const std::string path = socket_path();
  const auto fd = reactor().backend().listen(Address::unix_path(path), {});
  ASSERT_TRUE(fd.has_value());
  reactor().backend().close(*fd);
  EXPECT_EQ(failed({.path = path}).message(), "connect ECONNREFUSED " + path);
}

TEST_P(ConnectErrorTest, AUnixListenerWhoseBacklogIsFull) {
  RULES("2.3.5.12");
  const std::string path = socket_path();
  const auto fd = reactor().backend().listen(Address::unix_path(path), {.backlog = 1});
  ASSERT_TRUE(fd.has_value());
  std::vector<std::unique_ptr<Socket>> sockets;
  std::vector<Record> seen(4);
  for (Record& one : seen) {
    sockets.push_back(std::make_unique<Socket>(reactor()));
    record(*sockets.back(), one);
    ASSERT_TRUE(sockets.back()->connect({.path = path}).has_value());
  }
  ASSERT_TRUE(run_until([&] { return seen[0].has("ready"); }));
  run_for(5ms);
  // Reported, or tried again until somebody accepts.
  Server server(reactor());
  ASSERT_TRUE(server.listen({.fd = *fd}).has_value());
  ASSERT_TRUE(run_until([&] {
    return std::ranges::all_of(seen, [](const Record& one) {
      return one.has("ready") || one.closes != 0;
    });
  }));
  EXPECT_EQ(seen[0].order(), "connect ready");
  for (const Record& one : seen) {
    if (one.has("ready")) continue;
    EXPECT_EQ(one.order(), "error close");
    EXPECT_EQ(one.error(), "EAGAIN");
    EXPECT_STREQ(one.errors[0].syscall, "connect");
  }
}

TEST_P(ConnectErrorTest, AUnixPathThatIsTooLong) {
  RULES("2.3.1.4");
  NODE_TEST("pipe-with-long-path");
  const std::string path = "/tmp/" + std::string(150, 'p');
  EXPECT_EQ(failed({.path = path}).code, errno_code(EINVAL));
  Server server(reactor());
  const auto bound = server.listen({.path = path});
  ASSERT_FALSE(bound.has_value());
  EXPECT_EQ(bound.error().code, errno_code(EINVAL));
}

WEIR_ON_ALL_BACKENDS(ConnectErrorTest);

// ---- What only a kernel says ----

// This thread's rights on files are nobody's meanwhile.
class AsNobody {
 public:
  AsNobody() : before_(static_cast<uid_t>(setfsuid(kNobody))) {}
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;
  ~AsNobody() { setfsuid(before_); }

 private:
  static constexpr uid_t kNobody = 65534;
  uid_t before_;
};

constexpr const char* kOutside = "198.51.100.1";

// A route to kOutside for packets that are to be refused.
bool add_route(unsigned char type) {
  struct {
    nlmsghdr header;
    rtmsg route;
    rtattr attribute;
    in_addr to;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_NEWROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_ACK;
  request.route.rtm_family = AF_INET;
  request.route.rtm_dst_len = 32;
  request.route.rtm_table = RT_TABLE_MAIN;
  request.route.rtm_protocol = RTPROT_STATIC;
  request.route.rtm_type = type;
  request.attribute = {.rta_len = RTA_LENGTH(sizeof request.to), .rta_type = RTA_DST};
  inet_pton(AF_INET, kOutside, &request.to);
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[512];
  } answer{};
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  const bool told = fd >= 0 && send(fd, &request, sizeof request, 0) > 0 &&
                    recv(fd, &answer, sizeof answer, 0) > 0;
  close(fd);
  return told && answer.header.nlmsg_type == NLMSG_ERROR && answer.error.error == 0;
}

class ConnectKernelErrorTest : public ConnectErrorTest {
 protected:
  static constexpr int kNotPossible = 255;

  // In a child with a network of its own, without any way out. What connecting outside gives there,
  // an errno value, or kNotPossible.
  static int errno_outside(unsigned char route) {
    const pid_t child = fork();
    if (child == 0) _exit(try_outside(route));
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    return WEXITSTATUS(status);
  }

 private:
  static int try_outside(unsigned char route) {
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      return kNotPossible;
    }
    if (route != RTN_UNSPEC && !add_route(route)) return kNotPossible;
    Reactor reactor(make_backend());
    Socket socket(reactor);
    int number = 0;
    bool closed = false;
    socket.on_error([&](Socket&, const Error& error) {
      if (error.syscall == std::string_view("connect")) number = -error.number();
    });
    socket.on_close([&](Socket&, std::error_code) { closed = true; });
    if (!socket.connect({.host = kOutside, .port = 1}).has_value()) return 0;
    const Instant end = reactor.now() + kPatience;
    while (!closed && reactor.now() < end) reactor.run_once(end);
    return number;
  }
};

TEST_P(ConnectKernelErrorTest, NoRouteToTheNetwork) {
  RULES("2.3.5.3");
  // No stream goes to a broadcast address, whatever the routes are.
  const Error error = failed({.host = "255.255.255.255", .port = 1});
  EXPECT_EQ(error.message(), "connect ENETUNREACH 255.255.255.255:1");
  EXPECT_EQ(seen_.order(), "attempt:255.255.255.255 failed:255.255.255.255 error close");
  const int number = errno_outside(RTN_UNSPEC);
  if (number != kNotPossible) {
    EXPECT_EQ(number, ENETUNREACH);
  }
}

TEST_P(ConnectKernelErrorTest, NoRouteToTheHost) {
  RULES("2.3.5.4");
  const int number = errno_outside(RTN_UNREACHABLE);
  if (number == kNotPossible) GTEST_SKIP() << "no network of one's own here";
  EXPECT_EQ(number, EHOSTUNREACH);
}

TEST_P(ConnectKernelErrorTest, ForbiddenByTheSystem) {
  RULES("2.3.5.5");
  const int number = errno_outside(RTN_PROHIBIT);
  if (number == kNotPossible) GTEST_SKIP() << "no network of one's own here";
  EXPECT_EQ(number, EACCES);
}

TEST_P(ConnectKernelErrorTest, ALocalAddressThatIsNotOurs) {
  RULES("2.3.5.6");
  listen();
  const Error error = failed(
      {.host = "127.0.0.1", .port = to_.port, .local_address = "203.0.113.7"});
  EXPECT_EQ(error.message(), "bind EADDRNOTAVAIL 203.0.113.7");
  EXPECT_STREQ(error.syscall, "bind");
}

TEST_P(ConnectKernelErrorTest, ALocalPortThatIsTaken) {
  RULES("2.3.4.2");
  NODE_TEST("client-bind-twice");
  join();
  const int taken = client().local_address().port();
  const Error error = failed(
      {.host = "127.0.0.1", .port = to_.port, .local_address = "127.0.0.1", .local_port = taken});
  EXPECT_EQ(error.message(), "bind EADDRINUSE 127.0.0.1:" + std::to_string(taken));
  client().end();
  expect_all_gone();
}

TEST_P(ConnectKernelErrorTest, AFileThatIsNoSocket) {
  RULES("2.3.5.10");
  NODE_TEST("pipe-connect-errors");
  const std::string path = socket_path();
  std::ofstream(path) << "plain";
  EXPECT_EQ(failed({.path = path}).message(), "connect ECONNREFUSED " + path);
}

TEST_P(ConnectKernelErrorTest, AUnixSocketWithoutPermission) {
  RULES("2.3.5.11");
  NODE_TEST("pipe-connect-errors");
  listen({.over_unix = true});
  ASSERT_EQ(chmod(to_.path.c_str(), 0), 0);
  {
    const AsNobody nobody;
    EXPECT_EQ(failed({.path = to_.path}).message(), "connect EACCES " + to_.path);
  }
  ASSERT_EQ(chmod(to_.path.c_str(), 0777), 0);
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until_ready());
}

WEIR_ON_KERNEL_BACKENDS(ConnectKernelErrorTest);

}  // namespace
}  // namespace weir::test
