// What is a numeric IP address: the answers of Node's net.isIP (v20.20.2).
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "weir/net/ip.h"

namespace weir::test {
namespace {

using net::is_ip;
using net::is_ipv4;
using net::is_ipv6;
using std::string_view_literals::operator""sv;

void expect(std::string_view text, int wanted) {
  EXPECT_EQ(is_ip(text), wanted) << text;
  EXPECT_EQ(is_ipv4(text), wanted == 4) << text;
  EXPECT_EQ(is_ipv6(text), wanted == 6) << text;
}

TEST(IsIp, KnowsDottedQuads) {
  for (const std::string_view text :
       {"0.0.0.0"sv, "127.0.0.1"sv, "1.2.3.4"sv, "255.255.255.255"sv, "10.0.0.199"sv,
        "9.99.100.249"sv}) {
    expect(text, 4);
  }
}

TEST(IsIp, RefusesOtherSpellingsOfIpv4) {
  for (const std::string_view text :
       {"1"sv, "1.2"sv, "1.2.3"sv, "1.2.3."sv, "1.2.3.4."sv, ".1.2.3.4"sv, "1.2.3.4.5"sv,
        "1..2.3"sv, "01.2.3.4"sv, "1.2.3.04"sv, "1.2.3.00"sv, "256.0.0.1"sv, "1.2.3.256"sv,
        "1.2.3.1000"sv, "0x7f.0.0.1"sv, "2130706433"sv, "0177.0.0.1"sv, "+1.2.3.4"sv,
        "-1.2.3.4"sv, "1.2.3.-4"sv, " 1.2.3.4"sv, "1.2.3.4 "sv, "1.2.3.4\n"sv, "1.2.3.4\0"sv,
        "1.2.3.4%1"sv, "1.2.3.4%"sv, "1.2.3.4:80"sv, "[1.2.3.4]"sv, "1.2.3.4/24"sv, "1e1.2.3.4"sv,
        "1,2,3,4"sv, "1.2.3.a"sv, "１.2.3.4"sv}) {
    expect(text, 0);
  }
}

TEST(IsIp, KnowsIpv6) {
  for (const std::string_view text :
       {"::"sv, "::1"sv, "1::"sv, "1::2"sv, "2001:db8::a"sv, "2001:DB8::A"sv, "1:2:3:4:5:6:7:8"sv,
        "1:2:3:4:5:6:7::"sv, "::2:3:4:5:6:7:8"sv, "1::3:4:5:6:7:8"sv, "1:2:3:4::5:6:7"sv,
        "0001:0:00:000:0000::"sv, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"sv, "::1.2.3.4"sv,
        "::ffff:1.2.3.4"sv, "::ffff:255.255.255.255"sv, "1:2:3:4:5:6:1.2.3.4"sv,
        "1:2:3:4:5::1.2.3.4"sv, "1::2:1.2.3.4"sv, "::1:2:3:4:5:1.2.3.4"sv,
        "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"sv}) {
    expect(text, 6);
  }
}

TEST(IsIp, RefusesWhatOnlyLooksLikeIpv6) {
  for (const std::string_view text :
       {""sv, ":"sv, ":::"sv, "::::"sv, "1"sv, "1:"sv, ":1"sv, "1:::2"sv, "1::2::3"sv,
        "1:2:3:4:5:6:7"sv, "1:2:3:4:5:6:7:"sv, "1:2:3:4:5:6:7:8:"sv, ":1:2:3:4:5:6:7:8"sv,
        "1:2:3:4:5:6:7:8:9"sv, "1:2:3:4:5:6:7:8::"sv, "::1:2:3:4:5:6:7:8"sv,
        "1:2:3:4::5:6:7:8"sv, "12345::"sv, "00001::"sv, "::g"sv, "::-1"sv, "::+1"sv, "::0x1"sv,
        "[::1]"sv, "[::1"sv, "::1]"sv, "::1/64"sv, " ::1"sv, "::1 "sv, "::1\n"sv, "::1\0"sv,
        "::1.2.3"sv, "::1.2.3.4.5"sv, "::256.2.3.4"sv, "::01.2.3.4"sv, "::1.2.3.4:5"sv,
        "1.2.3.4::"sv, "1:2:3:4:5:6:7:1.2.3.4"sv, "1:2:3:4:5:6::1.2.3.4"sv,
        "::1:2:3:4:5:6:1.2.3.4"sv, "1:2:3:4:5:1.2.3.4"sv, "localhost"sv, "a"sv, "example.org"sv}) {
    expect(text, 0);
  }
}

TEST(IsIp, TakesAnyZoneOfTheseCharactersAndAsksNoInterface) {
  for (const std::string_view text :
       {"fe80::1%1"sv, "fe80::1%eth0"sv, "fe80::1%no-such-link"sv, "::%a-b.c:1"sv, "::1%Z"sv,
        "::%4294967296"sv, "::1.2.3.4%lo"sv, "1:2:3:4:5:6:7:8%-"sv, "::1%.:"sv}) {
    expect(text, 6);
  }
  for (const std::string_view text :
       {"fe80::1%"sv, "%"sv, "%1"sv, "fe80::1%%"sv, "fe80::1%1%2"sv, "fe80::1%a_b"sv,
        "fe80::1%a b"sv, "fe80::1%\0"sv, "fe80::1%é"sv, "fe80%1::1"sv, "%::1"sv, "1.2.3.4%lo"sv,
        "fe80::1%a/b"sv, "fe80::1%a;b"sv, "fe80::1%@"sv, "fe80::1%["sv, "fe80::1%`"sv,
        "fe80::1%{"sv}) {
    expect(text, 0);
  }
}

TEST(IsIp, LongTextsAreNone) {
  expect(std::string(1'000'000, '1'), 0);
  expect(std::string(1'000'000, ':'), 0);
  expect("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555", 0);
  expect("::1%" + std::string(1'000'000, 'a'), 6);
}

}  // namespace
}  // namespace weir::test
