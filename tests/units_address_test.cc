// Addresses and errors: what they are read from and how they are printed.
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>

#include "weir/reactor/address.h"
#include "weir/reactor/error.h"

namespace weir::test {
namespace {

using std::string_view_literals::operator""sv;

// ---- Address ----

struct Parsed {
  std::string_view text;
  Family family;
  std::string_view ip;       // as it is printed
  std::string_view printed;  // with port 80
};

TEST(Address, ReadsAndPrintsNumericAddresses) {
  constexpr Parsed kCases[] = {
      {"127.0.0.1", Family::ipv4, "127.0.0.1", "127.0.0.1:80"},
      {"0.0.0.0", Family::ipv4, "0.0.0.0", "0.0.0.0:80"},
      {"255.255.255.255", Family::ipv4, "255.255.255.255", "255.255.255.255:80"},
      {"::1", Family::ipv6, "::1", "[::1]:80"},
      {"::", Family::ipv6, "::", "[::]:80"},
      {"0:0:0:0:0:0:0:1", Family::ipv6, "::1", "[::1]:80"},
      {"2001:DB8::A", Family::ipv6, "2001:db8::a", "[2001:db8::a]:80"},
      {"::ffff:1.2.3.4", Family::ipv6, "::ffff:1.2.3.4", "[::ffff:1.2.3.4]:80"},
      {"fe80::1%2", Family::ipv6, "fe80::1%2", "[fe80::1%2]:80"},
      {"fe80::1%4294967295", Family::ipv6, "fe80::1%4294967295", "[fe80::1%4294967295]:80"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Family::ipv6,
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:80"},
  };
  for (const Parsed& wanted : kCases) {
    SCOPED_TRACE(wanted.text);
    const auto address = Address::parse_ip(wanted.text, 80);
    ASSERT_TRUE(address.has_value());
    EXPECT_EQ(address->family(), wanted.family);
    EXPECT_EQ(address->ip().ip(), wanted.ip);
    EXPECT_EQ(address->to_string(), wanted.printed);
    EXPECT_EQ(address->port(), 80);
    EXPECT_FALSE(address->is_unix());
    EXPECT_EQ(Address::parse_ip(address->ip().ip(), 80), address);
  }
}

TEST(Address, RefusesWhatIsNoNumericAddress) {
  constexpr std::string_view kCases[] = {
      ""sv,          "localhost"sv,  "1.2.3"sv,       "1.2.3.4.5"sv,  "256.1.1.1"sv,
      "1.2.3.4 "sv,  " 1.2.3.4"sv,   "1.2.3.-4"sv,    "0x7f.0.0.1"sv, "1.2.3.4:80"sv,
      "[::1]"sv,     ":::"sv,        "12345::"sv,     "::g"sv,        "1::2::3"sv,
      "::1%"sv,      "1.2.3.4%1"sv,  "%1"sv,          "%"sv,          "fe80::1%no-such-link"sv,
      "fe80::1%1x"sv, "fe80::1%-1"sv, "fe80::1%1%2"sv, "fe80::1%4294967296"sv,
      "fe80::1%a-name-that-is-too-long-for-any-interface"sv,
      "127.0.0.1\0"sv, "127.0.0.1\0.example.com"sv, "::1\0"sv, "::1\0.example.com"sv,
  };
  for (const std::string_view text : kCases) {
    EXPECT_FALSE(Address::parse_ip(text, 1).has_value()) << testing::PrintToString(text);
  }
}

TEST(Address, AScopeMayBeTheNameOfAnInterface) {
  const auto address = Address::parse_ip("fe80::1%lo", 1);
  ASSERT_TRUE(address.has_value()) << "is there no interface lo?";
  EXPECT_GT(address->ip().scope, 0U);
  EXPECT_EQ(address->ip().ip(), "fe80::1%" + std::to_string(address->ip().scope));
  EXPECT_FALSE(Address::parse_ip("fe80::1%lo\0x"sv, 1).has_value());
}

TEST(Address, KnowsTheUsualOnes) {
  EXPECT_EQ(Address::any_ipv4(7).to_string(), "0.0.0.0:7");
  EXPECT_EQ(Address::any_ipv6(65535).to_string(), "[::]:65535");
  EXPECT_EQ(Address::loopback_ipv4(0).to_string(), "127.0.0.1:0");
  EXPECT_EQ(Address::loopback_ipv4(9), Address::parse_ip("127.0.0.1", 9));
  EXPECT_NE(Address::loopback_ipv4(9), Address::loopback_ipv4(8));
  Address changed = Address::loopback_ipv4(9);
  changed.set_port(8);
  EXPECT_EQ(changed, Address::loopback_ipv4(8));
}

TEST(Address, PrintsUnixPathsAndAbstractNames) {
  const Address path = Address::unix_path("/run/x.sock");
  EXPECT_TRUE(path.is_unix());
  EXPECT_EQ(path.family(), Family::local);
  EXPECT_EQ(path.to_string(), "/run/x.sock");
  EXPECT_EQ(path.port(), 0);
  const Address abstract = Address::unix_path("\0name"sv);
  EXPECT_EQ(abstract.to_string(), "@name");
  EXPECT_EQ(abstract.path().size(), 5U);
  EXPECT_EQ(Address::unix_path("\0"sv).to_string(), "@");
  EXPECT_NE(abstract, Address::unix_path("\0name\0"sv));
}

TEST(Address, NoneIsEmpty) {
  EXPECT_EQ(Address().family(), Family::none);
  EXPECT_EQ(Address().to_string(), "");
  EXPECT_EQ(IpEndpoint().ip(), "");
  EXPECT_EQ(Address::unix_path(""), Address());
}

static_assert(sizeof(IpEndpoint) == 24);
static_assert(std::is_trivially_copyable_v<IpEndpoint>);

// ---- Error ----

TEST(Error, CodesComeFromErrnoAndItsNegative) {
  EXPECT_EQ(errno_code(ECONNREFUSED), errno_code(-ECONNREFUSED));
  EXPECT_TRUE(errno_code(ECONNREFUSED) == std::errc::connection_refused);
  EXPECT_FALSE(errno_code(0));
}

TEST(Error, NamesErrnoValues) {
  struct Named {
    int number;
    std::string_view name;
  };
  constexpr Named kCases[] = {
      {ECONNREFUSED, "ECONNREFUSED"}, {ECONNRESET, "ECONNRESET"}, {EPIPE, "EPIPE"},
      {EADDRINUSE, "EADDRINUSE"},     {EMFILE, "EMFILE"},         {ETIMEDOUT, "ETIMEDOUT"},
      {ENOENT, "ENOENT"},             {99999, "EUNKNOWN"},
  };
  for (const Named& wanted : kCases) EXPECT_EQ(name_of(errno_code(wanted.number)), wanted.name);
}

TEST(Error, EveryMistakeHasANameOfItsOwnAndAText) {
  std::set<std::string_view> names;
  constexpr int kFirst = static_cast<int>(Mistake::write_after_end);
  constexpr int kLast = static_cast<int>(Mistake::bad_handle_type);
  for (int value = kFirst; value <= kLast; ++value) {
    const std::error_code code = static_cast<Mistake>(value);
    EXPECT_TRUE(name_of(code).starts_with("ERR_")) << name_of(code);
    EXPECT_TRUE(names.insert(name_of(code)).second) << name_of(code);
    EXPECT_FALSE(code.message().empty());
    EXPECT_NE(code, errno_code(value));
  }
  EXPECT_EQ(name_of(Mistake::write_after_end), "ERR_STREAM_WRITE_AFTER_END");
  EXPECT_EQ(name_of(Mistake::already_listening), "ERR_SERVER_ALREADY_LISTEN");
  EXPECT_EQ(name_of(Mistake::bad_handle_type), "ERR_INVALID_HANDLE_TYPE");
  EXPECT_EQ(std::error_code(Mistake::bad_port).category().name(), "weir"sv);
}

TEST(Error, ValuesOutsideTheTableAreNotRead) {
  const std::error_category& category = std::error_code(Mistake::bad_port).category();
  for (const int value : {-1, 1000, INT_MAX, INT_MIN}) {
    EXPECT_EQ(name_of({value, category}), "OK");
    EXPECT_FALSE(category.message(value).empty());
  }
}

TEST(Error, MessagesSayWhatFailedAndWhere) {
  const Address address = Address::loopback_ipv4(1);
  EXPECT_EQ((Error{.code = errno_code(ECONNREFUSED), .syscall = "connect", .address = address})
                .message(),
            "connect ECONNREFUSED 127.0.0.1:1");
  EXPECT_EQ((Error{.code = errno_code(EPIPE), .syscall = "write"}).message(), "write EPIPE");
  EXPECT_EQ((Error{.code = Mistake::not_running}).message(),
            "ERR_SERVER_NOT_RUNNING: the server is not running");
  EXPECT_EQ((Error{.code = Mistake::bad_port, .detail = "70000 is not a port"}).message(),
            "ERR_SOCKET_BAD_PORT: 70000 is not a port");
  EXPECT_EQ((Error{.code = Mistake::already_listening, .address = Address::unix_path("/x")})
                .message(),
            "ERR_SERVER_ALREADY_LISTEN: the server is listening already /x");
  EXPECT_EQ((Error{.code = errno_code(EINVAL),
                   .syscall = "listen",
                   .address = Address::unix_path("\0n"sv),
                   .detail = "too long"})
                .message(),
            "listen EINVAL: too long @n");
}

TEST(Error, FailPrintsOneLineAndReturnsOne) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(fail({.code = errno_code(EACCES), .syscall = "listen"}), 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "error: listen EACCES: permission denied\n");
}

TEST(Error, ExpectedCarriesIt) {
  const auto refuse = []() -> Expected<int> { return failure({.code = Mistake::bad_argument}); };
  const Expected<int> result = refuse();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Mistake::bad_argument);
}

}  // namespace
}  // namespace weir::test
