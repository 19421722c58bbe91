// Groups and broadcasts of UDP sockets on one machine. Between machines: udp_sim_test.cc.
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cstring>

#include "tests/udp_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;

constexpr const char* kGroup = "239.77.1.1";
constexpr const char* kOtherGroup = "239.77.1.2";
constexpr const char* kLoopback = "127.0.0.1";
constexpr const char* kGroupIpv6 = "ff02::77:1";

// An interface of this machine that has groups of its own: the loopback interface gives everything
// back, whatever IP_MULTICAST_LOOP says, and mostly has no route for IPv6 groups (ff00::/8).
struct Interface {
  std::string name;
  std::string ipv4;
};

Interface find_interface(int family) {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return {};
  Interface found;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    const unsigned wanted = IFF_UP | IFF_MULTICAST;
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != family) continue;
    if ((one->ifa_flags & wanted) != wanted || (one->ifa_flags & IFF_LOOPBACK) != 0) continue;
    found.name = one->ifa_name;
    if (family == AF_INET) {
      const auto* at = reinterpret_cast<const sockaddr_in*>(one->ifa_addr);
      IpEndpoint ip{.family = Family::ipv4};
      std::memcpy(ip.bytes.data(), &at->sin_addr, sizeof at->sin_addr);
      found.ipv4 = ip.ip();
    }
    break;
  }
  ::freeifaddrs(all);
  return found;
}

class UdpMulticastTest : public UdpTest {
 protected:
  // What sends to groups, out of the interface that has this address.
  Party& sender(const std::string& interface = kLoopback, const std::string& host = "0.0.0.0") {
    Party& made = bound(host);
    EXPECT_EQ(refusal(made->set_multicast_interface(interface)), "");
    EXPECT_EQ(refusal(made->set_multicast_ttl(0)), "") << "it stays on this machine";
    return made;
  }
  Party& member(const std::string& group, const std::string& interface = kLoopback) {
    Party& made = bound(group.find(':') == std::string::npos ? "0.0.0.0" : "::");
    EXPECT_EQ(refusal(made->add_membership(group, interface)), "");
    return made;
  }
  static void send_to_group(Party& from, std::string_view bytes, const std::string& group,
                            const Party& to) {
    const auto queued = from->send(bytes, UdpAt{.port = to.at().port, .host = group});
    EXPECT_EQ(refusal(queued), "");
  }
  // Straight to the socket, behind all that was sent to the group.
  void expect_only(Party& from, Party& to, const Texts& expected) {
    const UdpAt at{.port = to.at().port, .host = from.endpoint().family == Family::ipv6
                                                     ? std::string("::1")
                                                     : std::string(kLoopback)};
    ASSERT_EQ(refusal(from->send("mark", at)), "");
    Texts all = expected;
    all.emplace_back("mark");
    ASSERT_TRUE(run_until_got(to, all.size())) << to.texts() << from.error();
    EXPECT_EQ(to.got, all);
    EXPECT_FALSE(from.has("error")) << from.error();
  }
  // "" in the simulator's place for what every interface of it does.
  std::string own_interface(int family) {
    if (simulated()) return family == AF_INET ? kLoopback : "::%lo";
    const Interface found = find_interface(family);
    if (found.name.empty()) return "";
    return family == AF_INET ? found.ipv4 : "::%" + found.name;
  }
};
class UdpMulticastKernelTest : public UdpMulticastTest {};

// ---- Groups ----

TEST_P(UdpMulticastTest, AMemberGetsWhatIsSentToTheGroup) {
  NODE_TEST("dgram-multicast-multi-process dgram-membership");
  Party& from = sender(kLoopback, kLoopback);
  Party& to = member(kGroup);
  send_to_group(from, "hello, group", kGroup, to);
  send_to_group(from, "to nobody", kOtherGroup, to);
  ASSERT_TRUE(run_until_got(to, 1));
  EXPECT_EQ(to.from[0], from.endpoint());
  expect_only(from, to, {"hello, group"});
}

TEST_P(UdpMulticastTest, ASocketOnAnAddressOfItsOwnIsNotOfTheGroup) {
  Party& from = sender();
  Party& to = member(kGroup);
  Party& apart = party({.reuse_address = true});
  ASSERT_TRUE(apart->bind({.host = kLoopback}).has_value());
  send_to_group(from, "for members", kGroup, apart);
  expect_only(from, apart, {});
  expect_only(from, to, {});
}

TEST_P(UdpMulticastTest, MembersOnOnePortGetACopyEach) {
  NODE_TEST("dgram-multicast-multi-process");
  Party& from = sender();
  Party& one = bound("0.0.0.0", {.reuse_address = true});
  Party& other = party({.reuse_address = true});
  ASSERT_EQ(refusal(other->bind({.port = one.at().port})), "");
  for (Party* each : {&one, &other}) {
    ASSERT_EQ(refusal((*each)->add_membership(kGroup, kLoopback)), "");
  }
  for (int i = 0; i < 20; ++i) send_to_group(from, std::to_string(i), kGroup, one);
  ASSERT_TRUE(run_until_got(one, 20) && run_until_got(other, 20));
  EXPECT_EQ(one.texts(), other.texts());
  EXPECT_EQ(one.got[19], "19");
}

TEST_P(UdpMulticastTest, WhoLeavesGetsNoMore) {
  Party& from = sender();
  Party& to = member(kGroup);
  send_to_group(from, "1", kGroup, to);
  ASSERT_TRUE(run_until_got(to, 1));
  EXPECT_EQ(refusal(to->drop_membership(kGroup, kLoopback)), "");
  send_to_group(from, "2", kGroup, to);
  expect_only(from, to, {"1"});
  EXPECT_EQ(refusal(to->add_membership(kGroup, kLoopback)), "");
  send_to_group(from, "3", kGroup, to);
  expect_only(from, to, {"1", "mark", "3"});
}

TEST_P(UdpMulticastTest, ClosingLeaves) {
  Party& from = sender();
  Party& to = member(kGroup);
  const UdpAt at = to.at();
  ASSERT_EQ(refusal(to->close()), "");
  ASSERT_TRUE(run_until([&] { return to.has("close"); }));
  Party& next = party();
  ASSERT_EQ(refusal(next->bind({.port = at.port})), "");
  send_to_group(from, "for nobody", kGroup, next);
  expect_only(from, next, {});
}

TEST_P(UdpMulticastTest, WithoutLoopbackThisMachineGetsNothing) {
  NODE_TEST("dgram-multicast-loopback");
  const std::string interface = own_interface(AF_INET);
  if (interface.empty()) GTEST_SKIP() << "no interface but lo has groups here";
  Party& from = sender(interface);
  Party& to = member(kGroup, interface);
  send_to_group(from, "1", kGroup, to);
  ASSERT_TRUE(run_until_got(to, 1)) << from.error();
  ASSERT_EQ(refusal(from->set_multicast_loopback(false)), "");
  send_to_group(from, "2", kGroup, to);
  ASSERT_TRUE(run_until([&] { return from->send_queue_datagrams() == 0; }));
  ASSERT_EQ(refusal(from->set_multicast_loopback(true)), "");
  send_to_group(from, "3", kGroup, to);
  expect_only(from, to, {"1", "3"});
}

TEST_P(UdpMulticastTest, OnlyTheSourceThatWasAskedFor) {
  NODE_TEST("dgram-multicast-ssm-multi-process");
  Party& wanted = sender(kLoopback, "127.0.0.2");
  Party& unwanted = sender(kLoopback, "127.0.0.3");
  Party& to = bound("0.0.0.0");
  ASSERT_EQ(refusal(to->add_source_membership("127.0.0.2", "232.77.1.1", kLoopback)), "");
  send_to_group(unwanted, "no", "232.77.1.1", to);
  send_to_group(wanted, "yes", "232.77.1.1", to);
  expect_only(unwanted, to, {"yes"});
  EXPECT_EQ(to.from[0].ip(), "127.0.0.2");
  ASSERT_EQ(refusal(to->add_source_membership("127.0.0.3", "232.77.1.1", kLoopback)), "");
  send_to_group(unwanted, "now", "232.77.1.1", to);
  expect_only(unwanted, to, {"yes", "mark", "now"});
  ASSERT_EQ(refusal(to->drop_source_membership("127.0.0.2", "232.77.1.1", kLoopback)), "");
  send_to_group(wanted, "too late", "232.77.1.1", to);
  expect_only(wanted, to, {"yes", "mark", "now", "mark"});
}

TEST_P(UdpMulticastTest, Ipv6Groups) {
  NODE_TEST("dgram-multicast-multi-process dgram-multicast-set-interface");
  const std::string interface = own_interface(AF_INET6);
  if (interface.empty()) GTEST_SKIP() << "no interface but lo has IPv6 groups here";
  for (const char* group : {"ff01::77:1", kGroupIpv6}) {
    Party& from = sender(interface, "::");
    Party& to = member(group, interface);
    send_to_group(from, "six", group, to);
    ASSERT_TRUE(run_until_got(to, 1)) << from.error();
    EXPECT_EQ(to.from[0].port, from.endpoint().port);
    EXPECT_EQ(refusal(to->drop_membership(group, interface)), "");
    send_to_group(from, "gone", group, to);
    expect_only(from, to, {"six"});
  }
}

TEST_P(UdpMulticastTest, Ipv6Sources) {
  NODE_TEST("dgram-multicast-ssmv6-multi-process");
  const std::string interface = own_interface(AF_INET6);
  if (interface.empty()) GTEST_SKIP() << "no interface but lo has IPv6 groups here";
  Party& from = sender(interface, "::");
  Party& any = member(kGroupIpv6, interface);
  send_to_group(from, "who am I?", kGroupIpv6, any);
  ASSERT_TRUE(run_until_got(any, 1)) << from.error();
  Party& right = bound("::");
  Party& wrong = bound("::");
  EXPECT_EQ(refusal(right->add_source_membership(any.from[0].ip(), "ff32::77:2", interface)), "");
  EXPECT_EQ(refusal(wrong->add_source_membership("2001:db8::9", "ff32::77:2", interface)), "");
  for (const Party* to : {&right, &wrong}) send_to_group(from, "x", "ff32::77:2", *to);
  expect_only(from, right, {"x"});
  expect_only(from, wrong, {});
}

TEST_P(UdpMulticastTest, AMembershipBindsAnUnboundSocket) {
  NODE_TEST("dgram-membership");
  Party& four = party();
  Party& sourced = party();
  Party& six = party({.family = Family::ipv6});
  EXPECT_EQ(refusal(four->add_membership(kGroup, kLoopback)), "");
  EXPECT_EQ(refusal(sourced->add_source_membership("127.0.0.1", "232.77.1.1", kLoopback)), "");
  EXPECT_EQ(refusal(six->add_membership(kGroupIpv6, "::%lo")), "");
  for (Party* one : {&four, &sourced, &six}) {
    EXPECT_TRUE((*one)->bound());
    ASSERT_TRUE(run_until([&] { return one->has("listening"); }));
  }
  Party& from = sender();
  send_to_group(from, "x", kGroup, four);
  ASSERT_TRUE(run_until_got(four, 1));
}

// ---- Errors of groups ----

TEST_P(UdpMulticastTest, WhatIsNoGroupIsRefused) {
  NODE_TEST("dgram-membership");
  Party& four = bound("0.0.0.0");
  Party& six = bound("::");
  for (const char* group : {"127.0.0.1", "10.1.2.3", "nonsense", kGroupIpv6, "240.0.0.1"}) {
    EXPECT_EQ(refusal(four->add_membership(group)), "addMembership EINVAL") << group;
    EXPECT_EQ(refusal(four->add_membership(group, kLoopback)), "addMembership EINVAL") << group;
    EXPECT_EQ(refusal(four->add_source_membership("127.0.0.1", group, kLoopback)),
              "addSourceSpecificMembership EINVAL")
        << group;
  }
  for (const char* group : {"::1", "2001:db8::1", kGroup, "%"}) {
    EXPECT_EQ(refusal(six->add_membership(group, "::%lo")), "addMembership EINVAL") << group;
  }
  EXPECT_EQ(refusal(four->add_membership(kGroup, "nonsense")), "addMembership EINVAL");
  EXPECT_EQ(refusal(four->drop_membership("nonsense")), "dropMembership EINVAL");
  EXPECT_EQ(refusal(four->add_source_membership("nonsense", kGroup, kLoopback)),
            "addSourceSpecificMembership EINVAL");
  EXPECT_EQ(refusal(four->add_source_membership("::1", kGroup, kLoopback)),
            "addSourceSpecificMembership EINVAL");
  EXPECT_EQ(refusal(four->drop_source_membership("nonsense", kGroup, kLoopback)),
            "dropSourceSpecificMembership EINVAL");
  EXPECT_EQ(refusal(four->add_membership("")), "ERR_MISSING_ARGS");
  EXPECT_EQ(refusal(four->drop_membership("")), "ERR_MISSING_ARGS");
}

TEST_P(UdpMulticastTest, JoinedTwiceOrNeverIsRefused) {
  Party& four = bound("0.0.0.0");
  EXPECT_EQ(refusal(four->drop_membership(kGroup, kLoopback)), "dropMembership EADDRNOTAVAIL");
  EXPECT_EQ(refusal(four->add_membership(kGroup, kLoopback)), "");
  EXPECT_EQ(refusal(four->add_membership(kGroup, kLoopback)), "addMembership EADDRINUSE");
  EXPECT_EQ(refusal(four->add_membership(kOtherGroup, kLoopback)), "");
  EXPECT_EQ(refusal(four->drop_membership(kGroup, kLoopback)), "");
  EXPECT_EQ(refusal(four->drop_membership(kGroup, kLoopback)), "dropMembership EADDRNOTAVAIL");
  Party& six = bound("::");
  EXPECT_EQ(refusal(six->add_membership(kGroupIpv6, "::%lo")), "");
  EXPECT_EQ(refusal(six->add_membership(kGroupIpv6, "::%lo")), "addMembership EADDRINUSE");
  EXPECT_EQ(refusal(six->drop_membership(kGroupIpv6, "::%lo")), "");
  EXPECT_EQ(refusal(six->drop_membership(kGroupIpv6, "::%lo")), "dropMembership EADDRNOTAVAIL");
}

// As Linux says it: another source of the group, and no source of it at all.
TEST_P(UdpMulticastTest, SourcesJoinedTwiceOrNeverAreRefused) {
  constexpr const char* kSourced = "232.77.1.9";
  Party& one = bound("0.0.0.0");
  EXPECT_EQ(refusal(one->drop_source_membership("127.0.0.2", kSourced, kLoopback)),
            "dropSourceSpecificMembership EINVAL");
  EXPECT_EQ(refusal(one->add_source_membership("127.0.0.2", kSourced, kLoopback)), "");
  EXPECT_EQ(refusal(one->add_source_membership("127.0.0.2", kSourced, kLoopback)),
            "addSourceSpecificMembership EADDRNOTAVAIL");
  EXPECT_EQ(refusal(one->drop_source_membership("127.0.0.3", kSourced, kLoopback)),
            "dropSourceSpecificMembership EADDRNOTAVAIL");
  EXPECT_EQ(refusal(one->drop_source_membership("127.0.0.2", kSourced, kLoopback)), "");
  EXPECT_EQ(refusal(one->drop_source_membership("127.0.0.2", kSourced, kLoopback)),
            "dropSourceSpecificMembership EINVAL");
}

TEST_P(UdpMulticastTest, WhatIsNoInterfaceIsRefused) {
  NODE_TEST("dgram-multicast-set-interface");
  Party& four = bound("0.0.0.0");
  Party& six = bound("::");
  for (const char* interface : {"", "nonsense", "::1", "::%lo"}) {
    EXPECT_EQ(refusal(four->set_multicast_interface(interface)), "setMulticastInterface EINVAL")
        << interface;
  }
  for (const char* interface : {"", "nonsense", "127.0.0.1", "::%no-such-interface"}) {
    EXPECT_EQ(refusal(six->set_multicast_interface(interface)), "setMulticastInterface EINVAL")
        << interface;
  }
  EXPECT_EQ(refusal(four->set_multicast_interface(kLoopback)), "");
  EXPECT_EQ(refusal(four->set_multicast_interface("0.0.0.0")), "") << "the kernel's choice again";
  EXPECT_EQ(refusal(six->set_multicast_interface("::%lo")), "");
  EXPECT_EQ(refusal(six->set_multicast_interface("::")), "") << "the kernel's choice again";
}

TEST_P(UdpMulticastKernelTest, AnInterfaceOfAnotherMachineIsRefused) {
  NODE_TEST("dgram-multicast-set-interface");
  Party& four = bound("0.0.0.0");
  for (const char* interface : {"198.51.100.7", "224.0.0.2"}) {
    EXPECT_EQ(refusal(four->set_multicast_interface(interface)),
              "setMulticastInterface EADDRNOTAVAIL")
        << interface;
  }
  EXPECT_EQ(refusal(four->add_membership(kGroup, "198.51.100.7")), "addMembership ENODEV");
  EXPECT_EQ(refusal(four->add_source_membership("127.0.0.1", kGroup, "198.51.100.7")),
            "addSourceSpecificMembership ENODEV");
}

// ---- Packets of an interface ----

// UDP_SEGMENT cuts no datagrams that are larger than the interface's packets: they go one by one.
TEST_P(UdpMulticastKernelTest, EqualDatagramsMayBeLargerThanThePacketsOfTheInterface) {
  const Interface interface = find_interface(AF_INET);
  if (interface.name.empty()) GTEST_SKIP() << "no interface but lo has groups here";
  Party& from = sender(interface.ipv4);
  Party& to = member(kGroup, interface.ipv4);
  std::size_t total = 0;
  for (const std::size_t size : {3000U, 500U, 9000U, 1200U, 3000U}) {
    for (unsigned i = 0; i < 6; ++i) {
      const auto queued = from->send(pattern(size, i), UdpAt{.port = to.at().port, .host = kGroup},
                                     from.noted(static_cast<int>(total++)));
      ASSERT_EQ(refusal(queued), "");
    }
    ASSERT_TRUE(run_until_got(to, total)) << size << ": " << from.outcomes.back();
    for (unsigned i = 0; i < 6; ++i) {
      EXPECT_TRUE(to.got[total - 6 + i] == pattern(size, i)) << size << " number " << i;
    }
  }
  ASSERT_TRUE(run_until([&] { return from.numbers.size() == total; }));
  EXPECT_EQ(from.outcomes, Texts(total, "ok"));
  EXPECT_EQ(from->counters().send_errors, 0U);
}

// ---- Broadcasts ----

TEST_P(UdpMulticastTest, ABroadcastHasToBeAllowed) {
  NODE_TEST("dgram-setBroadcast dgram-broadcast-multi-process");
  const std::string everybody = simulated() ? "255.255.255.255" : "127.255.255.255";
  Party& from = bound(simulated() ? "0.0.0.0" : kLoopback);
  Party& to = bound("0.0.0.0");
  const UdpAt at{.port = to.at().port, .host = everybody};
  ASSERT_EQ(refusal(from->send("not allowed", at, from.noted(0))), "");
  ASSERT_TRUE(run_until([&] { return from.has("sent"); }));
  EXPECT_EQ(from.outcomes, (Texts{"EACCES"}));
  ASSERT_EQ(refusal(from->send("not allowed", at)), "");
  ASSERT_TRUE(run_until([&] { return from.has("error"); }));
  EXPECT_EQ(from.error(), "send EACCES");
  ASSERT_EQ(refusal(from->set_broadcast(true)), "");
  ASSERT_EQ(refusal(from->send("hello, all", at, from.noted(1))), "");
  ASSERT_TRUE(run_until_got(to, 1));
  EXPECT_EQ(to.texts(), "hello, all ");
  ASSERT_EQ(refusal(from->set_broadcast(false)), "");
  ASSERT_EQ(refusal(from->send("not allowed", at, from.noted(2))), "");
  ASSERT_TRUE(run_until([&] { return from.numbers.size() == 3; }));
  EXPECT_EQ(from.outcomes, (Texts{"EACCES", "ok", "EACCES"}));
  EXPECT_EQ(from.errors.size(), 1U);
}

WEIR_ON_ALL_BACKENDS(UdpMulticastTest);
WEIR_ON_KERNEL_BACKENDS(UdpMulticastKernelTest);

}  // namespace
}  // namespace weir::test
