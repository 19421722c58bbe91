// net::BlockList: the answers of Node's net.BlockList (v20.20.2).
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "weir/net/block_list.h"

namespace weir::test {
namespace {

using net::BlockList;

// By its text and as an Address with a port, which must agree.
bool blocked(const BlockList& list, std::string_view text) {
  const bool by_text = list.check(text);
  const auto address = Address::parse_ip(text, 4711);
  EXPECT_TRUE(address.has_value()) << text;
  EXPECT_EQ(by_text, address && list.check(*address)) << text;
  return by_text;
}

void expect_mistake(const Expected<void>& added, std::string_view message) {
  ASSERT_FALSE(added.has_value()) << message;
  EXPECT_EQ(added.error().message(), message);
}

TEST(BlockList, AnEmptyOneBlocksNothing) {
  const BlockList list;
  EXPECT_FALSE(blocked(list, "127.0.0.1"));
  EXPECT_FALSE(blocked(list, "::"));
  EXPECT_TRUE(list.rules().empty());
}

TEST(BlockList, BlocksAnAddress) {
  BlockList list;
  ASSERT_TRUE(list.add_address("1.2.3.4"));
  ASSERT_TRUE(list.add_address("2001:db8::1"));
  EXPECT_TRUE(blocked(list, "1.2.3.4"));
  EXPECT_FALSE(blocked(list, "1.2.3.5"));
  EXPECT_FALSE(blocked(list, "1.2.3.3"));
  EXPECT_FALSE(blocked(list, "4.3.2.1"));
  EXPECT_TRUE(blocked(list, "2001:DB8:0::0:1"));
  EXPECT_FALSE(blocked(list, "2001:db8::2"));
  EXPECT_FALSE(blocked(list, "::1.2.3.4"));
}

TEST(BlockList, BlocksARangeWithBothItsEnds) {
  BlockList list;
  ASSERT_TRUE(list.add_range("1.2.3.250", "1.2.4.5"));
  ASSERT_TRUE(list.add_range("2001:db8::ff", "2001:db8::1:2"));
  for (const char* text : {"1.2.3.250", "1.2.3.255", "1.2.4.0", "1.2.4.5", "2001:db8::ff",
                           "2001:db8::100", "2001:db8::ffff", "2001:db8::1:2"}) {
    EXPECT_TRUE(blocked(list, text)) << text;
  }
  for (const char* text : {"1.2.3.249", "1.2.4.6", "1.2.5.0", "0.0.0.0", "255.255.255.255",
                           "2001:db8::fe", "2001:db8::1:3", "::", "2001:db9::100"}) {
    EXPECT_FALSE(blocked(list, text)) << text;
  }
}

TEST(BlockList, ARangeMayBeOneAddress) {
  BlockList list;
  ASSERT_TRUE(list.add_range("1.1.1.1", "1.1.1.1"));
  EXPECT_TRUE(blocked(list, "1.1.1.1"));
  EXPECT_FALSE(blocked(list, "1.1.1.2"));
}

struct Subnet {
  const char* network;
  int prefix;
  const char* first;
  const char* last;
  const char* below;  // "" where there is none
  const char* above;
};

TEST(BlockList, BlocksASubnet) {
  constexpr Subnet kCases[] = {
      {"10.1.2.3", 8, "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
      {"10.1.2.3", 9, "10.0.0.0", "10.127.255.255", "9.255.255.255", "10.128.0.0"},
      {"10.1.2.131", 25, "10.1.2.128", "10.1.2.255", "10.1.2.127", "10.1.3.0"},
      {"10.1.2.3", 31, "10.1.2.2", "10.1.2.3", "10.1.2.1", "10.1.2.4"},
      {"10.1.2.3", 32, "10.1.2.3", "10.1.2.3", "10.1.2.2", "10.1.2.4"},
      {"10.1.2.3", 0, "0.0.0.0", "255.255.255.255", "::fffe:ffff:ffff", "::1:0:0:0"},
      {"8592:757c:efae:4e45::1", 64, "8592:757c:efae:4e45::",
       "8592:757c:efae:4e45:ffff:ffff:ffff:ffff", "8592:757c:efae:4e44:ffff:ffff:ffff:ffff",
       "8592:757c:efae:4e46::"},
      {"fe80::1", 10, "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
       "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fec0::"},
      {"2001:db8::5", 127, "2001:db8::4", "2001:db8::5", "2001:db8::3", "2001:db8::6"},
      {"2001:db8::5", 128, "2001:db8::5", "2001:db8::5", "2001:db8::4", "2001:db8::6"},
      {"8592::", 0, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "", ""},
  };
  for (const Subnet& wanted : kCases) {
    SCOPED_TRACE(std::string(wanted.network) + "/" + std::to_string(wanted.prefix));
    BlockList list;
    ASSERT_TRUE(list.add_subnet(wanted.network, wanted.prefix));
    EXPECT_TRUE(blocked(list, wanted.network));
    EXPECT_TRUE(blocked(list, wanted.first));
    EXPECT_TRUE(blocked(list, wanted.last));
    if (*wanted.below != '\0') {
      EXPECT_FALSE(blocked(list, wanted.below));
    }
    if (*wanted.above != '\0') {
      EXPECT_FALSE(blocked(list, wanted.above));
    }
  }
}

// ---- IPv4 and IPv4-mapped IPv6 ----

TEST(BlockList, MappedAddressesAreTheirIpv4Ones) {
  BlockList list;
  ASSERT_TRUE(list.add_address("1.1.1.1"));
  ASSERT_TRUE(list.add_range("2.2.2.2", "2.2.2.4"));
  ASSERT_TRUE(list.add_subnet("3.3.3.0", 24));
  for (const char* text :
       {"::ffff:1.1.1.1", "::ffff:101:101", "::ffff:2.2.2.3", "::ffff:3.3.3.9"}) {
    EXPECT_TRUE(blocked(list, text)) << text;
  }
  for (const char* text : {"::1.1.1.1", "::ffff:1.1.1.2", "::ffff:2.2.2.5", "::ffff:3.3.4.0",
                           "::ffff:0:1.1.1.1", "64:ff9b::1.1.1.1"}) {
    EXPECT_FALSE(blocked(list, text)) << text;
  }
}

TEST(BlockList, RulesOfMappedAddressesBlockIpv4) {
  BlockList list;
  ASSERT_TRUE(list.add_address("::ffff:1.1.1.1"));
  ASSERT_TRUE(list.add_range("::ffff:2.2.2.2", "::ffff:2.2.2.4"));
  ASSERT_TRUE(list.add_subnet("::ffff:3.3.3.0", 120));
  for (const char* text : {"1.1.1.1", "2.2.2.3", "3.3.3.9", "::ffff:1.1.1.1", "::ffff:2.2.2.3"}) {
    EXPECT_TRUE(blocked(list, text)) << text;
  }
  for (const char* text : {"1.1.1.2", "2.2.2.5", "3.3.4.0"}) {
    EXPECT_FALSE(blocked(list, text)) << text;
  }
}

TEST(BlockList, AnIpv6RangeThatIsNotAllMappedBlocksNoIpv4) {
  for (const char* end : {"ffff::", "::1:0:0:0", "::ffff:9.9.9.9"}) {
    BlockList list;
    ASSERT_TRUE(list.add_range("::", end));
    EXPECT_FALSE(blocked(list, "1.2.3.4")) << end;
    EXPECT_TRUE(blocked(list, "::ffff:1.2.3.4")) << end;
  }
  BlockList half;
  ASSERT_TRUE(half.add_range("::ffff:0.0.0.0", "ffff::"));
  EXPECT_FALSE(blocked(half, "1.2.3.4"));
  BlockList all;
  ASSERT_TRUE(all.add_subnet("::", 0));
  EXPECT_TRUE(blocked(all, "1.2.3.4"));
}

// ---- What is not asked for ----

TEST(BlockList, ZonesCountForNothing) {
  BlockList list;
  ASSERT_TRUE(list.add_address("fe80::1%no-such-link"));
  EXPECT_TRUE(blocked(list, "fe80::1"));
  EXPECT_TRUE(blocked(list, "fe80::1%3"));
  EXPECT_TRUE(list.check("fe80::1%neither"));
  EXPECT_EQ(list.rules(), std::vector<std::string>{"Address: IPv6 fe80::1"});
}

TEST(BlockList, WhatIsNoIpAddressIsNeverBlocked) {
  BlockList list;
  ASSERT_TRUE(list.add_subnet("::", 0));
  ASSERT_TRUE(list.add_subnet("0.0.0.0", 0));
  EXPECT_FALSE(list.check(Address::unix_path("/run/x.sock")));
  EXPECT_FALSE(list.check(Address::unix_path("127.0.0.1")));
  EXPECT_FALSE(list.check(Address()));
  for (const char* text : {"", "localhost", "1.2.3", "[::1]", "::1%"}) {
    EXPECT_FALSE(list.check(text)) << text;
  }
}

// ---- Rules ----

TEST(BlockList, ListsItsRulesNewestFirst) {
  BlockList list;
  ASSERT_TRUE(list.add_address("123.123.123.123"));
  ASSERT_TRUE(list.add_address("0:0::1"));
  ASSERT_TRUE(list.add_address("::FFFF:1.2.3.4"));
  ASSERT_TRUE(list.add_range("10.0.0.1", "10.0.0.10"));
  ASSERT_TRUE(list.add_subnet("8592:757C:efae:4e45::", 64));
  ASSERT_TRUE(list.add_subnet("10.1.2.3", 8));
  ASSERT_TRUE(list.add_range("::1", "::2"));
  ASSERT_TRUE(list.add_address("123.123.123.123"));
  const std::vector<std::string> wanted = {
      "Address: IPv4 123.123.123.123",
      "Range: IPv6 ::1-::2",
      "Subnet: IPv4 10.1.2.3/8",
      "Subnet: IPv6 8592:757c:efae:4e45::/64",
      "Range: IPv4 10.0.0.1-10.0.0.10",
      "Address: IPv6 ::ffff:1.2.3.4",
      "Address: IPv6 ::1",
      "Address: IPv4 123.123.123.123",
  };
  EXPECT_EQ(list.rules(), wanted);
}

// ---- Mistakes ----

TEST(BlockList, MistakesSayWhatIsWrong) {
  BlockList list;
  expect_mistake(list.add_address("localhost"),
                 "ERR_INVALID_IP_ADDRESS: \"localhost\" is not a numeric IPv4 or IPv6 address");
  expect_mistake(list.add_address(""),
                 "ERR_INVALID_IP_ADDRESS: \"\" is not a numeric IPv4 or IPv6 address");
  expect_mistake(list.add_range("1.2.3", "1.2.3.4"),
                 "ERR_INVALID_IP_ADDRESS: \"1.2.3\" is not a numeric IPv4 or IPv6 address");
  expect_mistake(list.add_range("1.2.3.4", "[::1]"),
                 "ERR_INVALID_IP_ADDRESS: \"[::1]\" is not a numeric IPv4 or IPv6 address");
  expect_mistake(list.add_subnet("10.0.0.0/8", 8),
                 "ERR_INVALID_IP_ADDRESS: \"10.0.0.0/8\" is not a numeric IPv4 or IPv6 address");
  expect_mistake(list.add_range("2.0.0.0", "1.255.255.255"),
                 "ERR_INVALID_ARG_VALUE: the start of IPv4 2.0.0.0-1.255.255.255 is above its end");
  expect_mistake(list.add_range("::2", "::1"),
                 "ERR_INVALID_ARG_VALUE: the start of IPv6 ::2-::1 is above its end");
  expect_mistake(list.add_range("1.2.3.4", "::ffff:1.2.3.5"),
                 "ERR_INVALID_ARG_VALUE: IPv4 1.2.3.4 and IPv6 ::ffff:1.2.3.5 are of two families");
  expect_mistake(list.add_subnet("10.0.0.0", 33),
                 "ERR_OUT_OF_RANGE: the prefix of IPv4 10.0.0.0 must be in 0..32, not 33");
  expect_mistake(list.add_subnet("::1", 129),
                 "ERR_OUT_OF_RANGE: the prefix of IPv6 ::1 must be in 0..128, not 129");
  expect_mistake(list.add_subnet("::1", -1),
                 "ERR_OUT_OF_RANGE: the prefix of IPv6 ::1 must be in 0..128, not -1");
  EXPECT_TRUE(list.rules().empty());
}

}  // namespace
}  // namespace weir::test
