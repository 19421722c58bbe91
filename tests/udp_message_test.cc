// What UDP sockets carry: single datagrams, their limits and addresses, names, connected peers.
#include <gtest/gtest.h>

#include "tests/udp_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;
using Numbers = std::vector<int>;

class UdpMessageTest : public UdpTest {
 protected:
  // The port of a socket that has gone.
  UdpAt closed_port() {
    Party& gone = bound();
    const UdpAt at = gone.at();
    gone.socket.reset();
    run_for(1ms);
    return at;
  }
};
class UdpConnectTest : public UdpMessageTest {};

// ---- From one to another ----

TEST_P(UdpMessageTest, AMessageSaysWhoSentIt) {
  NODE_TEST("dgram-udp4 dgram-sendto dgram-bytes-length");
  Party& one = bound();
  Party& other = bound();
  ASSERT_EQ(refusal(one->send("ping", other.at(), one.noted())), "");
  EXPECT_EQ(one.order() + other.order(), "") << "an event inside send()";
  ASSERT_TRUE(run_until_got(other, 1));
  EXPECT_EQ(other.texts(), "ping ");
  EXPECT_EQ(other.from[0], one.endpoint());
  ASSERT_TRUE(run_until([&] { return one.has("sent"); }));
  EXPECT_EQ(one.outcomes, (Texts{"ok"}));
  ASSERT_EQ(refusal(other->send(Buffer::literal("pong!"), other.from[0])), "");
  ASSERT_TRUE(run_until_got(one, 1));
  EXPECT_EQ(one.texts(), "pong! ");
  EXPECT_EQ(one.from[0], other.endpoint());
  const auto counters = one->counters();
  EXPECT_EQ(counters.sent, 1U);
  EXPECT_EQ(counters.sent_bytes, 4U);
  EXPECT_EQ(counters.received, 1U);
  EXPECT_EQ(counters.received_bytes, 5U);
  EXPECT_EQ(counters.send_errors + counters.dropped_sends + counters.blocked +
                counters.dropped_receives,
            0U);
}

TEST_P(UdpMessageTest, Ipv6Too) {
  Party& one = bound("::1");
  Party& other = bound("::");
  send(one, "six", other);
  ASSERT_TRUE(run_until_got(other, 1));
  EXPECT_EQ(other.from[0].ip(), "::1");
  EXPECT_EQ(other.from[0], one.endpoint());
  ASSERT_EQ(refusal(other->send("back", other.from[0])), "");
  ASSERT_TRUE(run_until_got(one, 1));
  EXPECT_EQ(one.from[0].port, other.endpoint().port);
}

TEST_P(UdpMessageTest, AnIpv6SocketHearsIpv4AsMapped) {
  Party& four = bound();
  Party& both = bound("::");
  ASSERT_EQ(refusal(four->send("v4", UdpAt{.port = both.at().port, .host = "127.0.0.1"})), "");
  ASSERT_TRUE(run_until_got(both, 1));
  EXPECT_EQ(both.from[0].family, Family::ipv6);
  EXPECT_EQ(both.from[0].ip(), "::ffff:127.0.0.1");
  EXPECT_EQ(both.from[0].port, four.endpoint().port);
  ASSERT_EQ(refusal(both->send("mapped", both.from[0])), "");
  ASSERT_EQ(refusal(both->send("text", UdpAt{.port = four.at().port,
                                             .host = "::ffff:127.0.0.1"})),
            "");
  ASSERT_TRUE(run_until_got(four, 2));
  EXPECT_EQ(four.texts(), "mapped text ");
  EXPECT_EQ(four.from[0].ip(), "127.0.0.1");
  EXPECT_EQ(four.from[0].port, both.endpoint().port);
}

TEST_P(UdpMessageTest, AnIpv4SocketDoesNotSendToIpv6) {
  NODE_TEST("dgram-send-address-types");
  Party& four = bound();
  Party& six = bound("::1");
  EXPECT_EQ(refusal(four->send("x", six.endpoint(), four.noted())), "send EAFNOSUPPORT");
  send(four, "still usable", four);
  ASSERT_TRUE(run_until_got(four, 1));
  EXPECT_FALSE(four.has("sent"));
  EXPECT_EQ(six.texts(), "");
}

TEST_P(UdpMessageTest, WithoutAHostThisMachineIsMeant) {
  NODE_TEST("dgram-send-default-host dgram-udp6-send-default-host "
            "dgram-send-callback-buffer-empty-address");
  for (const char* host : {"127.0.0.1", "::1"}) {
    Party& to = bound(host);
    Party& from = party({.family = to.endpoint().family});
    ASSERT_EQ(refusal(from->send("home", UdpAt{.port = to.at().port}, from.noted())), "");
    ASSERT_TRUE(run_until_got(to, 1));
    EXPECT_EQ(to.from[0].ip(), host);
    ASSERT_TRUE(run_until([&] { return from.has("sent"); }));
    EXPECT_EQ(from.outcomes, (Texts{"ok"}));
  }
}

TEST_P(UdpMessageTest, ASendBindsAnUnboundSocket) {
  NODE_TEST("dgram-implicit-bind");
  Party& there = bound();
  Party& here = party();
  ASSERT_EQ(refusal(here->send("a", there.at())), "");
  EXPECT_TRUE(here->bound());
  EXPECT_EQ(refusal(here->bind()), "ERR_SOCKET_ALREADY_BOUND");
  ASSERT_EQ(refusal(here->send("b", there.at())), "");
  ASSERT_TRUE(run_until_got(there, 2));
  EXPECT_EQ(here->address()->host(), "0.0.0.0");
  EXPECT_NE(there.from[0].port, 0);
  EXPECT_EQ(there.from[0].port, here->address()->port());
  EXPECT_EQ(there.from[0], there.from[1]);
  ASSERT_EQ(refusal(there->send("answer", there.from[0])), "");
  ASSERT_TRUE(run_until_got(here, 1));
  EXPECT_EQ(here.order(), "listening message");
}

TEST_P(UdpMessageTest, ADatagramMayBeEmpty) {
  NODE_TEST("dgram-send-empty-packet dgram-send-empty-buffer dgram-send-empty-array "
            "dgram-send-callback-buffer-length-empty-address");
  Party& one = bound();
  Party& other = bound();
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(refusal(one->send("", other.at(), one.noted(i))), "");
  }
  ASSERT_EQ(refusal(one->send(Buffer(), other.endpoint(), one.noted(3))), "");
  ASSERT_TRUE(run_until_got(other, 4));
  EXPECT_EQ(other.got, (Texts{"", "", "", ""}));
  ASSERT_TRUE(run_until([&] { return one.numbers.size() == 4; }));
  EXPECT_EQ(one.outcomes, (Texts{"ok", "ok", "ok", "ok"}));
  EXPECT_EQ(other->counters().received, 4U);
  EXPECT_EQ(one->counters().sent, 4U);
}

TEST_P(UdpMessageTest, TheLargestDatagramsComeWhole) {
  for (const char* host : {"127.0.0.1", "::1"}) {
    const std::size_t most = std::string_view(host) == "::1" ? kDatagramMaxIpv6 : kDatagramMax;
    Party& one = bound(host);
    Party& other = bound(host);
    const std::string bytes = pattern(most, 7);
    ASSERT_EQ(refusal(one->send(bytes, other.at(), one.noted())), "");
    ASSERT_TRUE(run_until_got(other, 1));
    EXPECT_TRUE(other.got[0] == bytes) << other.got[0].size();
    // And some in a row, with small ones between them.
    transfer(one, other, {bytes, "small", bytes, bytes, "", pattern(most - 1, 3)});
  }
}

TEST_P(UdpMessageTest, TooLargeIsForTheCallback) {
  NODE_TEST("dgram-msgsize dgram-send-error");
  for (const char* host : {"127.0.0.1", "::1"}) {
    const std::size_t most = std::string_view(host) == "::1" ? kDatagramMaxIpv6 : kDatagramMax;
    Party& one = bound(host);
    Party& other = bound(host);
    const std::string bytes(most + 1, 'x');
    ASSERT_EQ(refusal(one->send("before", other.at(), one.noted(0))), "");
    ASSERT_EQ(refusal(one->send(bytes, other.at(), one.noted(1))), "");
    ASSERT_EQ(refusal(one->send("after", other.at(), one.noted(2))), "");
    EXPECT_EQ(one.order(), "") << "an event inside send()";
    ASSERT_TRUE(run_until_got(other, 2));
    ASSERT_TRUE(run_until([&] { return one.numbers.size() == 3; }));
    EXPECT_EQ(other.texts(), "before after ");
    EXPECT_EQ(one.numbers, (Numbers{0, 1, 2}));
    EXPECT_EQ(one.outcomes, (Texts{"ok", "EMSGSIZE", "ok"}));
    EXPECT_FALSE(one.has("error")) << "the callback has it";
    EXPECT_EQ(one->counters().send_errors, 1U);
    EXPECT_EQ(one->counters().sent, 2U);
    EXPECT_EQ(one->counters().sent_bytes, 11U);
  }
}

TEST_P(UdpMessageTest, TooLargeWithoutACallbackIsAnError) {
  NODE_TEST("dgram-send-cb-quelches-error");
  Party& one = bound();
  Party& other = bound();
  ASSERT_EQ(refusal(one->send(std::string(100'000, 'x'), other.at())), "");
  ASSERT_TRUE(run_until([&] { return one.has("error"); }));
  EXPECT_EQ(one.error(), "send EMSGSIZE");
  EXPECT_EQ(one.errors[0].address, *other->address());
  EXPECT_EQ(one.errors[0].message(), "send EMSGSIZE " + other->address()->to_string());
  send(one, "usable", other);
  ASSERT_TRUE(run_until_got(other, 1));
  EXPECT_EQ(one.errors.size(), 1U);
}

TEST_P(UdpMessageTest, CallbacksComeOnceAndInOrder) {
  NODE_TEST("dgram-send-callback-buffer dgram-send-callback-multi-buffer");
  Party& one = bound();
  Party& other = bound();
  Numbers expected;
  for (int i = 0; i < 90; ++i) {
    expected.push_back(i);
    const std::string bytes = pattern(static_cast<std::size_t>(i * 7 % 50), 1);
    ASSERT_EQ(refusal(one->send(bytes, other.at(), one.noted(i))), "");
  }
  EXPECT_TRUE(one.numbers.empty()) << "a callback inside send()";
  ASSERT_TRUE(run_until([&] { return one.numbers.size() >= 90; }));
  ASSERT_TRUE(run_until_got(other, 90));
  run_for(1ms);
  EXPECT_EQ(one.numbers, expected);
  EXPECT_EQ(one.outcomes, Texts(90, "ok"));
}

TEST_P(UdpMessageTest, ACallbackMaySendTheNext) {
  NODE_TEST("dgram-send-callback-recursive");
  Party& one = bound();
  Party& other = bound();
  int sent = 0;
  bool inside = false;
  struct Again {
    Party& one;
    Party& other;
    int& sent;
    bool& inside;
    void next() {
      inside = true;
      const auto queued = one->send(std::to_string(sent), other.at(),
                                    [this](UdpSocket&, std::error_code code) {
                                      EXPECT_FALSE(inside) << "a callback inside send()";
                                      EXPECT_FALSE(code);
                                      if (++sent < 100) next();
                                    });
      inside = false;
      EXPECT_EQ(refusal(queued), "");
    }
  } again{one, other, sent, inside};
  again.next();
  ASSERT_TRUE(run_until([&] { return sent == 100; }));
  ASSERT_TRUE(run_until_got(other, 100));
  EXPECT_EQ(other.got[99], "99");
}

TEST_P(UdpMessageTest, BytesAreTheCallersAgainAfterSend) {
  NODE_TEST("dgram-send-multi-buffer-copy");
  Party& one = bound();
  Party& other = bound();
  std::string bytes = "original";
  ASSERT_EQ(refusal(one->send(bytes, other.at())), "");
  bytes.assign(8, '#');
  Buffer shared = Buffer::copy("shared");
  ASSERT_EQ(refusal(one->send(shared.share(), other.at())), "");
  ASSERT_EQ(refusal(one->send(shared.slice(0, 2), other.at())), "");
  shared.reset();
  ASSERT_TRUE(run_until_got(other, 3));
  EXPECT_EQ(other.texts(), "original shared sh ");
}

// ---- Names ----

TEST_P(UdpMessageTest, ANameIsLookedUpForEachSend) {
  NODE_TEST("dgram-custom-lookup");
  Names names;
  Party& one = bound("127.0.0.1", {.resolver = &names});
  Party& other = bound();
  const UdpAt at{.port = other.at().port, .host = "other.test"};
  ASSERT_EQ(refusal(one->send("a", at, one.noted(1))), "");
  ASSERT_TRUE(run_until_got(other, 1));
  ASSERT_EQ(refusal(one->send("b", at, one.noted(2))), "");
  ASSERT_TRUE(run_until_got(other, 2));
  ASSERT_TRUE(run_until([&] { return one.numbers.size() == 2; }));
  EXPECT_EQ(names.asked, (Texts{"other.test", "other.test"}));
  EXPECT_EQ(names.families[0], Family::ipv4);
  EXPECT_EQ(one.outcomes, (Texts{"ok", "ok"}));
  EXPECT_EQ(other.texts(), "a b ");
}

TEST_P(UdpMessageTest, TheSystemsNamesWork) {
  Party& one = party();
  Party& other = bound();
  ASSERT_EQ(refusal(one->send("x", UdpAt{.port = other.at().port, .host = "localhost"})), "");
  ASSERT_TRUE(run_until_got(other, 1)) << one.error();
  EXPECT_EQ(one.order(), "listening");
}

TEST_P(UdpMessageTest, ASendToANumberDoesNotWaitForOneToAName) {
  Names names;
  names.keeps = true;
  Party& one = bound("127.0.0.1", {.resolver = &names});
  Party& other = bound();
  const UdpAt at{.port = other.at().port, .host = "slow.test"};
  ASSERT_EQ(refusal(one->send("slow", at, one.noted(1))), "");
  ASSERT_EQ(refusal(one->send("fast", other.at(), one.noted(2))), "");
  ASSERT_TRUE(run_until_got(other, 1));
  ASSERT_TRUE(run_until([&] { return one.has("sent") && !names.kept.empty(); }));
  EXPECT_EQ(one.numbers, (Numbers{2}));
  names.answer_all();
  ASSERT_TRUE(run_until_got(other, 2));
  ASSERT_TRUE(run_until([&] { return one.numbers.size() == 2; }));
  EXPECT_EQ(other.texts(), "fast slow ");
}

TEST_P(UdpMessageTest, AnUnknownNameIsForTheCallbackOrAnError) {
  NODE_TEST("dgram-send-error dgram-send-cb-quelches-error");
  Names names;
  names.code = ResolveError::not_found;
  Party& one = bound("127.0.0.1", {.resolver = &names});
  const UdpAt nowhere{.port = 9, .host = "nowhere.test"};
  ASSERT_EQ(refusal(one->send("x", nowhere, one.noted())), "");
  ASSERT_TRUE(run_until([&] { return one.has("sent"); }));
  EXPECT_EQ(one.outcomes, (Texts{"ENOTFOUND"}));
  EXPECT_FALSE(one.has("error"));
  ASSERT_EQ(refusal(one->send("x", nowhere)), "");
  ASSERT_TRUE(run_until([&] { return one.has("error"); }));
  EXPECT_EQ(one.error(), "getaddrinfo ENOTFOUND");
  EXPECT_EQ(one.errors[0].host, "nowhere.test");
  EXPECT_EQ(one->counters().send_errors, 2U);
  EXPECT_EQ(one->counters().sent, 0U);
  EXPECT_EQ(one->send_queue_datagrams(), 0U);
}

TEST_P(UdpMessageTest, WhatIsSentWhileABindFailsHasAnEnd) {
  Names names;
  names.keeps = true;
  Party& one = party({.resolver = &names});
  Party& other = bound();
  const UdpAt at{.port = other.at().port, .host = "other.test"};
  ASSERT_TRUE(one->bind({.host = "here.test"}).has_value());
  ASSERT_EQ(refusal(one->send("by number", other.at(), one.noted(1))), "");
  ASSERT_EQ(refusal(one->send("by name", at, one.noted(2))), "");
  ASSERT_TRUE(run_until([&] { return names.kept.size() == 2; }));
  names.kept[0].failed(ResolveError::not_found);
  ASSERT_TRUE(run_until([&] { return one.has("error"); }));
  EXPECT_EQ(one.error(), "getaddrinfo ENOTFOUND");
  other->unref();
  EXPECT_FALSE(run_returns(10ms)) << "a name is being looked up";
  names.answer_all();
  ASSERT_TRUE(run_until([&] { return one.numbers.size() == 2; })) << one.order();
  EXPECT_EQ(one.numbers, (Numbers{1, 2}));
  EXPECT_EQ(one.outcomes[0], "ENOTFOUND");
  EXPECT_EQ(one->send_queue_datagrams(), 0U);
}

TEST_P(UdpMessageTest, WhatIsSentWhileABindIsLookedUpGoesFromThere) {
  Names names;
  names.keeps = true;
  Party& one = party({.resolver = &names});
  Party& other = bound();
  names.ip = "127.0.0.3";
  ASSERT_TRUE(one->bind({.host = "here.test"}).has_value());
  ASSERT_EQ(refusal(one->send("early", other.at(), one.noted(1))), "");
  ASSERT_TRUE(run_until([&] { return names.kept.size() == 1; }));
  EXPECT_FALSE(one.has("sent"));
  names.answer_all();
  ASSERT_TRUE(run_until_got(other, 1));
  EXPECT_EQ(other.from[0].ip(), "127.0.0.3");
  ASSERT_TRUE(run_until([&] { return one.has("sent"); }));
  EXPECT_EQ(one.order(), "listening sent");
}

TEST_P(UdpMessageTest, AnIpv6SocketSendsToIpv4) {
  Party& four = bound();
  Party& both = bound("::");
  ASSERT_EQ(refusal(both->send("text", four.at(), both.noted())), "");
  ASSERT_EQ(refusal(both->send("endpoint", four.endpoint(), both.noted())), "");
  ASSERT_TRUE(run_until_got(four, 2));
  EXPECT_EQ(four.texts(), "text endpoint ");
  Party& six = bound("::", {.ipv6_only = true});
  EXPECT_EQ(refusal(six->send("x", four.at())), "send EAFNOSUPPORT");
}

// ---- Connected ----

TEST_P(UdpConnectTest, AConnectedSocketHasOnePeer) {
  NODE_TEST("dgram-connect dgram-connect-send-default-host dgram-connect-send-callback-buffer");
  Party& peer = bound();
  Party& one = party();
  int called = 0;
  ASSERT_EQ(refusal(one->connect(peer.at(), [&](UdpSocket&) { ++called; })), "");
  EXPECT_EQ(one.order(), "") << "an event inside connect()";
  EXPECT_EQ(refusal(one->connect(peer.at())), "ERR_SOCKET_DGRAM_IS_CONNECTED");
  ASSERT_TRUE(run_until([&] { return one.has("connect"); }));
  EXPECT_TRUE(one->connected());
  EXPECT_TRUE(one->bound());
  EXPECT_EQ(one->remote_address(), *peer->address());
  EXPECT_EQ(one->address()->host(), "127.0.0.1") << "by which the peer is reached";
  EXPECT_EQ(refusal(one->connect(peer.at())), "ERR_SOCKET_DGRAM_IS_CONNECTED");
  EXPECT_EQ(refusal(one->send("x", peer.at())), "ERR_SOCKET_DGRAM_IS_CONNECTED");
  EXPECT_EQ(refusal(one->send("x", peer.endpoint())), "ERR_SOCKET_DGRAM_IS_CONNECTED");
  ASSERT_EQ(refusal(one->send("hello", one.noted())), "");
  ASSERT_TRUE(run_until_got(peer, 1));
  EXPECT_EQ(peer.texts(), "hello ");
  EXPECT_EQ(peer.from[0], one.endpoint());
  ASSERT_EQ(refusal(peer->send("you", peer.from[0])), "");
  ASSERT_TRUE(run_until_got(one, 1));
  EXPECT_EQ(one.from[0], peer.endpoint());
  EXPECT_EQ(called, 1);
  EXPECT_EQ(one.outcomes, (Texts{"ok"}));
  EXPECT_EQ(one.count("connect"), 1);
  EXPECT_EQ(one.count("listening"), 1);
}

TEST_P(UdpConnectTest, TheDatagramsOfOthersDoNotCome) {
  Party& peer = bound();
  Party& stranger = bound();
  Party& one = bound();
  ASSERT_EQ(refusal(one->connect(peer.at())), "");
  ASSERT_TRUE(run_until([&] { return one.has("connect"); }));
  send(stranger, "unwanted", one);
  ASSERT_TRUE(run_until([&] { return stranger->counters().sent == 1; }));
  send(peer, "wanted", one);
  ASSERT_TRUE(run_until_got(one, 1));
  EXPECT_EQ(one.texts(), "wanted ");
}

TEST_P(UdpConnectTest, DisconnectedItTalksToAnybody) {
  NODE_TEST("dgram-connect");
  Party& peer = bound();
  Party& stranger = bound();
  Party& one = connected(peer);
  send(peer, "before", one);
  ASSERT_TRUE(run_until([&] { return peer->counters().sent == 1; }));
  ASSERT_EQ(refusal(one->disconnect()), "");
  EXPECT_FALSE(one->connected());
  EXPECT_EQ(refusal(one->disconnect()), "ERR_SOCKET_DGRAM_NOT_CONNECTED");
  EXPECT_EQ(refusal(one->remote_address()), "ERR_SOCKET_DGRAM_NOT_CONNECTED");
  EXPECT_EQ(refusal(one->send("x")), "ERR_SOCKET_DGRAM_NOT_CONNECTED");
  send(one, "to the stranger", stranger);
  ASSERT_TRUE(run_until_got(stranger, 1));
  ASSERT_EQ(refusal(stranger->send("answer", stranger.from[0])), "");
  ASSERT_TRUE(run_until_got(one, 2));
  EXPECT_EQ(one.texts(), "before answer ") << "what came before is still told";
  ASSERT_EQ(refusal(one->connect(stranger.at())), "");
  ASSERT_TRUE(run_until([&] { return one.count("connect") == 2; }));
  EXPECT_EQ(one->remote_address(), *stranger->address());
}

// Linux takes a port that it has chosen itself away with the peer.
TEST_P(UdpConnectTest, TheAddressStaysWhenThePeerGoes) {
  Party& peer = bound();
  Party& explicitly = bound();
  Party& any = bound("0.0.0.0");
  for (Party* one : {&explicitly, &any}) {
    const Address before = *(*one)->address();
    ASSERT_EQ(refusal((*one)->connect(peer.at())), "");
    ASSERT_TRUE(run_until([&] { return one->has("connect"); }));
    EXPECT_EQ((*one)->address()->port(), before.port());
    ASSERT_EQ(refusal((*one)->disconnect()), "");
    EXPECT_EQ((*one)->address()->to_string(), before.to_string());
    ASSERT_EQ(refusal(peer->send("still here", UdpAt{.port = before.port()})), "");
    ASSERT_TRUE(run_until_got(*one, 1)) << before.to_string();
    EXPECT_EQ(one->texts(), "still here ");
  }
}

TEST_P(UdpConnectTest, WhatIsQueuedGoesToWhomItWasMeantFor) {
  Party& first = bound();
  Party& second = bound();
  Party& one = connected(first);
  ASSERT_EQ(refusal(one->send("to the first", one.noted(0))), "");
  ASSERT_EQ(refusal(one->disconnect()), "");
  ASSERT_EQ(refusal(one->send("to the second", second.at(), one.noted(1))), "");
  ASSERT_EQ(refusal(one->connect(second.at())), "");
  ASSERT_TRUE(run_until([&] { return one.numbers.size() == 2; }));
  ASSERT_EQ(refusal(one->send("the last", one.noted(2))), "");
  ASSERT_TRUE(run_until_got(second, 2));
  EXPECT_EQ(second.texts(), "to the second the last ");
  ASSERT_TRUE(run_until([&] { return one.numbers.size() == 3; }));
  EXPECT_EQ(one.outcomes, (Texts{"ok", "ok", "ok"}));
  ASSERT_TRUE(run_until_got(first, 1));
  EXPECT_EQ(first.texts(), "to the first ");
}

TEST_P(UdpConnectTest, ADisconnectTakesBackTheCallbackToo) {
  Party& first = bound();
  Party& second = bound();
  Party& one = party();
  Numbers called;
  ASSERT_EQ(refusal(one->connect(first.at(), [&](UdpSocket&) { called.push_back(1); })), "");
  ASSERT_EQ(refusal(one->disconnect()), "");
  ASSERT_EQ(refusal(one->connect(second.at(), [&](UdpSocket&) { called.push_back(2); })), "");
  ASSERT_TRUE(run_until([&] { return one.has("connect"); }));
  run_for(1ms);
  EXPECT_EQ(called, Numbers{2});
  EXPECT_EQ(one.count("connect"), 1);
}

TEST_P(UdpConnectTest, ToANameOrNobody) {
  NODE_TEST("dgram-connect dgram-custom-lookup");
  Names names;
  Party& peer = bound();
  Party& one = party({.resolver = &names});
  names.code = ResolveError::not_found;
  int called = 0;
  const UdpAt at{.port = peer.at().port, .host = "peer.test"};
  ASSERT_EQ(refusal(one->connect(at, [&](UdpSocket&) { ++called; })), "");
  EXPECT_EQ(refusal(one->connect(at)), "ERR_SOCKET_DGRAM_IS_CONNECTED") << "it is being looked up";
  ASSERT_TRUE(run_until([&] { return one.has("error"); }));
  EXPECT_EQ(one.error(), "getaddrinfo ENOTFOUND");
  EXPECT_FALSE(one->connected());
  EXPECT_EQ(refusal(one->send("x")), "ERR_SOCKET_DGRAM_NOT_CONNECTED");
  names.code = {};
  ASSERT_EQ(refusal(one->connect(at, [&](UdpSocket&) { ++called; })), "");
  ASSERT_TRUE(run_until([&] { return one.has("connect"); }));
  EXPECT_EQ(called, 1);
  ASSERT_EQ(refusal(one->send("x")), "");
  ASSERT_TRUE(run_until_got(peer, 1));
}

TEST_P(UdpConnectTest, ItMayBeAskedForWhileABindIsLookedUp) {
  Names names;
  names.keeps = true;
  Party& peer = bound();
  Party& one = party({.resolver = &names});
  int called = 0;
  ASSERT_TRUE(one->bind({.host = "here.test"}).has_value());
  ASSERT_EQ(refusal(one->connect(peer.at(), [&](UdpSocket&) { ++called; })), "");
  EXPECT_EQ(refusal(one->connect(peer.at())), "ERR_SOCKET_DGRAM_IS_CONNECTED");
  ASSERT_TRUE(run_until([&] { return names.kept.size() == 1; }));
  names.ip = "127.0.0.3";
  names.answer_all();
  ASSERT_TRUE(run_until([&] { return one.has("connect"); }));
  EXPECT_EQ(one.order(), "listening connect");
  EXPECT_EQ(called, 1);
  ASSERT_EQ(refusal(one->send("x")), "");
  ASSERT_TRUE(run_until_got(peer, 1));
  EXPECT_EQ(peer.from[0].ip(), "127.0.0.3");
}

TEST_P(UdpConnectTest, WithoutAHostThisMachineIsMeant) {
  NODE_TEST("dgram-connect-send-default-host");
  for (const char* host : {"127.0.0.1", "::1"}) {
    Party& peer = bound(host);
    Party& one = party({.family = peer.endpoint().family});
    ASSERT_EQ(refusal(one->connect({.port = peer.at().port})), "");
    ASSERT_TRUE(run_until([&] { return one.has("connect"); }));
    EXPECT_EQ(one->remote_address()->host(), host);
    ASSERT_EQ(refusal(one->send("")), "");
    ASSERT_TRUE(run_until_got(peer, 1));
  }
}

TEST_P(UdpConnectTest, AClosedPortIsToldAndTheSocketStaysUsable) {
  NODE_TEST("dgram-recv-error");
  const UdpAt at = closed_port();
  for (const bool callbacks : {false, true}) {
    Party& one = party();
    ASSERT_EQ(refusal(one->connect(at)), "");
    ASSERT_TRUE(run_until([&] { return one.has("connect"); }));
    // The kernel takes the first one, and hears of its fate later.
    const auto told = [&] {
      const bool refused = std::ranges::count(one.outcomes, "ECONNREFUSED") != 0;
      return one.has("error") || refused;
    };
    ASSERT_EQ(refusal(one->send("into the void", callbacks ? one.noted() : UdpSocket::Sent())), "");
    ASSERT_TRUE(run_until([&] { return told(); }));
    for (const Error& error : one.errors) EXPECT_EQ(error.code, errno_code(ECONNREFUSED));
    Party& peer = party();
    ASSERT_EQ(refusal(peer->bind(at)), "");
    ASSERT_EQ(refusal(one->send("now", one.noted())), "");
    ASSERT_TRUE(run_until_got(peer, 1));
    EXPECT_EQ(peer.texts(), "now ");
    ASSERT_EQ(refusal(peer->send("and back", peer.from[0])), "");
    ASSERT_TRUE(run_until_got(one, 1));
    EXPECT_EQ(one.outcomes.back(), "ok");
    peer.socket.reset();
    run_for(1ms);
  }
}

TEST_P(UdpConnectTest, EachSendToAClosedPortIsToldOnce) {
  const UdpAt at = closed_port();
  Party& one = party();
  ASSERT_EQ(refusal(one->connect(at)), "");
  ASSERT_TRUE(run_until([&] { return one.has("connect"); }));
  for (int i = 0; i < 20; ++i) ASSERT_EQ(refusal(one->send("x", one.noted(i))), "");
  ASSERT_TRUE(run_until([&] { return one.numbers.size() == 20; }));
  run_for(1ms);
  Numbers expected;
  for (int i = 0; i < 20; ++i) expected.push_back(i);
  EXPECT_EQ(one.numbers, expected);
  const auto refused = std::ranges::count(one.outcomes, "ECONNREFUSED");
  EXPECT_EQ(std::ranges::count(one.outcomes, "ok") + refused, 20);
  EXPECT_EQ(one->counters().sent, static_cast<std::uint64_t>(20 - refused));
  EXPECT_EQ(one->counters().send_errors, static_cast<std::uint64_t>(refused));
  EXPECT_GE(refused + static_cast<long>(one.errors.size()), 1);
}

WEIR_ON_ALL_BACKENDS(UdpMessageTest);
WEIR_ON_ALL_BACKENDS(UdpConnectTest);

}  // namespace
}  // namespace weir::test
