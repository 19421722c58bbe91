// Sections 3.6 (helpers) and 5 (decisions) of the contract. units_ip_test.cc and
// units_block_list_test.cc have the whole tables.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/pair.h"
#include "tests/rules.h"
#include "weir/net/block_list.h"
#include "weir/net/ip.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::BlockList;

std::string code_of(const Expected<void>& result) {
  return result ? "" : std::string(name_of(result.error().code));
}

// Addresses -------------------------------------------------------------------------------------

TEST(ContractIp, TellsTheFamilyOrZero) {
  RULES("3.6.1.1 3.6.1.2");
  NODE_TEST("isip");
  for (const char* text : {"127.0.0.1", "0.0.0.0", "255.255.255.255", "8.8.8.8"}) {
    EXPECT_EQ(net::is_ip(text), 4) << text;
  }
  for (const char* text : {"0000:0000:0000:0000:0000:0000:0000:0000", "1050:0:0:0:5:600:300c:326b",
                           "2001:252:0:1::2008:6", "2001:dead:beef:1::2008:6", "::", "::1"}) {
    EXPECT_EQ(net::is_ip(text), 6) << text;
  }
  for (const char* text :
       {"", "x127.0.0.1", "example.com", "0000:0000:0000:0000:0000:0000:0000:0000::0000",
        "::2001:252:1:255.255.255.255.76", "1050:0:0:0:5:600:300c:326babcdef", "256.0.0.1", "127.1",
        "1", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.04", "0x7f.0.0.1", " 1.2.3.4", "1.2.3.4 ",
        "1.2.3.4:80", ":1", ":0:2001:252:1:1:1"}) {
    EXPECT_EQ(net::is_ip(text), 0) << text;
  }
}

TEST(ContractIp, IPv6MayEndInIPv4OrAZoneAndHasNoBrackets) {
  RULES("3.6.1.3 3.6.1.4 3.6.1.5");
  for (const char* text : {"::ffff:127.0.0.1", "1:2:3:4:5:6:1.2.3.4", "fe80::1%eth0", "::1%1"}) {
    EXPECT_EQ(net::is_ip(text), 6) << text;
  }
  for (const char* text : {"::ffff:127.0.0.256", "::ffff:127.1", "1:2:3:4:5:6:7:1.2.3.4",
                           "fe80::1%", "1.2.3.4%eth0", "[::1]", "[::1", "::1]"}) {
    EXPECT_EQ(net::is_ip(text), 0) << text;
  }
}

TEST(ContractIp, OneFamilyOnly) {
  RULES("3.6.1.6");
  NODE_TEST("isipv4 isipv6");
  EXPECT_TRUE(net::is_ipv4("127.0.0.1"));
  EXPECT_FALSE(net::is_ipv4("2001:252:0:1::2008:6"));
  EXPECT_FALSE(net::is_ipv4("::ffff:127.0.0.1"));
  EXPECT_FALSE(net::is_ipv4("example.com"));
  EXPECT_FALSE(net::is_ipv4(""));
  EXPECT_TRUE(net::is_ipv6("2001:252:0:1::2008:6"));
  EXPECT_TRUE(net::is_ipv6("fe80::2008%eth0"));
  EXPECT_FALSE(net::is_ipv6("127.0.0.1"));
  EXPECT_FALSE(net::is_ipv6("fe80::2008%"));
  EXPECT_FALSE(net::is_ipv6("example.com"));
  EXPECT_FALSE(net::is_ipv6(""));
}

TEST(ContractBlockList, HasAddressesRangesAndSubnetsOfBothFamilies) {
  RULES("3.6.2.1 3.6.2.2 3.6.2.3");
  NODE_TEST("blocklist-rules");
  BlockList list;
  ASSERT_TRUE(list.add_address("1.1.1.1").has_value());
  ASSERT_TRUE(list.add_address("8592:757c:efae:4e45:fb5d:d62a:0d00:8e17").has_value());
  ASSERT_TRUE(list.add_range("10.0.0.1", "10.0.0.10").has_value());
  ASSERT_TRUE(list.add_range("2001:db8::5", "2001:db8::9").has_value());
  ASSERT_TRUE(list.add_subnet("172.16.0.0", 12).has_value());
  ASSERT_TRUE(list.add_subnet("8592:757c:efaf::", 64).has_value());
  for (const char* text :
       {"1.1.1.1", "8592:757c:efae:4e45:fb5d:d62a:d00:8e17", "10.0.0.1", "10.0.0.10", "2001:db8::5",
        "2001:db8::9", "172.16.0.0", "172.31.255.255", "8592:757c:efaf::1",
        "8592:757c:efaf:0:ffff:ffff:ffff:ffff", "::ffff:1.1.1.1", "::ffff:10.0.0.5",
        "::ffff:172.17.0.1", "::ffff:ac1f:ffff"}) {
    EXPECT_TRUE(list.check(text)) << text;
    EXPECT_TRUE(list.check(*Address::parse_ip(text, 80))) << text;
  }
  for (const char* text : {"1.1.1.2", "1.1.1.0", "10.0.0.0", "10.0.0.11", "172.15.255.255",
                           "172.32.0.0", "2001:db8::4", "2001:db8::a", "8592:757c:efaf:1::",
                           "8592:757c:efae:4e45::", "::ffff:1.1.1.2", "::1.1.1.1"}) {
    EXPECT_FALSE(list.check(text)) << text;
    EXPECT_FALSE(list.check(*Address::parse_ip(text, 80))) << text;
  }
  EXPECT_FALSE(list.check("no address"));
}

TEST(ContractBlockList, TellsMistakesAndItsRules) {
  RULES("3.6.2.4 3.6.2.5 3.6.2.6");
  NODE_TEST("blocklist-rules");
  BlockList list;
  EXPECT_EQ(code_of(list.add_range("1.1.1.2", "1.1.1.1")), "ERR_INVALID_ARG_VALUE");
  EXPECT_EQ(code_of(list.add_range("::2", "::1")), "ERR_INVALID_ARG_VALUE");
  for (const int prefix : {-1, 33}) {
    EXPECT_EQ(code_of(list.add_subnet("1.1.1.0", prefix)), "ERR_OUT_OF_RANGE") << prefix;
  }
  for (const int prefix : {-1, 129}) {
    EXPECT_EQ(code_of(list.add_subnet("::", prefix)), "ERR_OUT_OF_RANGE") << prefix;
  }
  EXPECT_TRUE(list.rules().empty()) << "a mistake adds nothing";
  EXPECT_EQ(code_of(list.add_address("1.1.1.1")), "");
  EXPECT_EQ(code_of(list.add_range("10.0.0.1", "10.0.0.1")), "");
  EXPECT_EQ(code_of(list.add_subnet("0.0.0.0", 0)), "");
  EXPECT_EQ(code_of(list.add_subnet("8592:757c:efae:4e45::", 128)), "");
  EXPECT_EQ(list.rules(), (std::vector<std::string>{
                              "Subnet: IPv6 8592:757c:efae:4e45::/128", "Subnet: IPv4 0.0.0.0/0",
                              "Range: IPv4 10.0.0.1-10.0.0.1", "Address: IPv4 1.1.1.1"}));
}

// Defaults for connecting -----------------------------------------------------------------------

// Answers every name with the same addresses.
class Table final : public net::Resolver {
 public:
  explicit Table(std::initializer_list<const char*> addresses) {
    for (const char* text : addresses) found_.push_back(Address::parse_ip(text, 0)->ip());
  }
  void resolve(std::string_view, Family, net::ResolveReply reply) override { reply.found(found_); }

 private:
  std::vector<IpEndpoint> found_;
};

class ContractDefaultsTest : public PairTest {
 protected:
  void TearDown() override {
    for (const int fd : raw_) ::close(fd);
    PairTest::TearDown();
  }

  // Connects by that table to the server's port; the events are the client's.
  void connect(Table& table) {
    client_record_ = {};
    ASSERT_TRUE(client()
                    .connect({.host = "several.test", .port = to_.port, .resolver = &table})
                    .has_value());
    ASSERT_TRUE(run_until([&] { return client_record_.has("ready") || client_record_.closes; }));
  }
  std::vector<std::string> attempted() {
    std::vector<std::string> texts;
    for (const Address& one : client().attempted_addresses()) texts.push_back(one.ip().ip());
    return texts;
  }
  void hang_up() {
    client().destroy();
    ASSERT_TRUE(run_until_closed());
  }

  // An address whose port, that of the server, neither accepts nor refuses.
  const char* silent() {
    if (simulated()) return "192.0.2.1";
    // Where the queue of a listener is full the kernel answers nobody.
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(to_.port));
    EXPECT_EQ(inet_pton(AF_INET, kSilent, &at.sin_addr), 1);
    const auto* address = reinterpret_cast<const sockaddr*>(&at);
    raw_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(raw_.back(), address, sizeof at), 0);
    EXPECT_EQ(::listen(raw_.back(), 0), 0);
    for (int i = 0; i < 3; ++i) {
      raw_.push_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      static_cast<void>(::connect(raw_.back(), address, sizeof at));
    }
    return kSilent;
  }

  // How long connecting takes when the first of two addresses is silent.
  Duration wait_for_the_second() {
    if (silent_ == nullptr) silent_ = silent();
    Table table{silent_, "127.0.0.1"};
    const Instant begin = reactor().now();
    connect(table);
    EXPECT_TRUE(client_record_.has("ready"));
    const Duration took = reactor().now() - begin;
    hang_up();
    return took;
  }

 private:
  static constexpr const char* kSilent = "127.0.0.9";
  const char* silent_ = nullptr;
  std::vector<int> raw_;
};

TEST_P(ContractDefaultsTest, AllAddressesAreTriedFamiliesInTurnUnlessSwitchedOff) {
  RULES("3.6.3.1 5.11.1");
  listen();
  // Nobody listens at the first three.
  Table table{"127.0.0.2", "127.0.0.3", "127.0.0.1", "::1"};
  connect(table);
  EXPECT_TRUE(client_record_.has("ready")) << client_record_.error();
  EXPECT_EQ(attempted(), (std::vector<std::string>{"127.0.0.2", "::1", "127.0.0.3", "127.0.0.1"}));
  hang_up();
  net::set_default_auto_select_family(reactor(), false);
  connect(table);
  EXPECT_EQ(client_record_.error(), "ECONNREFUSED");
  EXPECT_EQ(client_record_.errors[0].address.ip().ip(), "127.0.0.2");
  net::set_default_auto_select_family(reactor(), true);
  connect(table);
  EXPECT_TRUE(client_record_.has("ready"));
  hang_up();
}

TEST_P(ContractDefaultsTest, AnAttemptTakesAsLongAsTheDefaultSays) {
  RULES("3.6.3.1 3.6.3.2");
  listen();
  net::set_default_attempt_timeout(reactor(), 40ms);
  const Duration asked = wait_for_the_second();
  EXPECT_GE(asked, 40ms);
  net::set_default_attempt_timeout(reactor(), 1ms);
  const Duration least = wait_for_the_second();
  EXPECT_GE(least, 10ms);
  if (simulated()) {  // where nothing else takes time
    EXPECT_EQ(asked, 40ms);
    EXPECT_EQ(least, 10ms);
  }
}

TEST_P(ContractDefaultsTest, UntilThenItIsAQuarterOfASecond) {
  RULES("5.11.1");
  listen();
  const Duration took = wait_for_the_second();
  EXPECT_GE(took, 250ms);
  if (simulated()) {
    EXPECT_EQ(took, 250ms);
  }
}

WEIR_ON_ALL_BACKENDS(ContractDefaultsTest);

// Decisions -------------------------------------------------------------------------------------

class ContractDecisionsTest : public PairTest {
 protected:
  static constexpr std::size_t kHighWater = 64 * 1024;
};

TEST_P(ContractDecisionsTest, DataWithoutAListenerIsKept) {
  RULES("5.2.1");
  join({.client_reads = false});
  peer().write("first, ");
  ASSERT_TRUE(run_until([&] { return input_arrived(client()); }));
  peer().write("second");
  peer().end();
  ASSERT_TRUE(run_until([&] { return peer_record_.has("finish"); }));
  EXPECT_FALSE(client_record_.has("end")) << "the data is not consumed";
  record_data(client(), client_record_);
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(client_record_.bytes, "first, second");
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
}

TEST_P(ContractDecisionsTest, OkMeansBelowTheMarkOf64KiB) {
  RULES("5.3.1 5.6.1");
  join();
  EXPECT_EQ(client().write(std::string(kHighWater - 1, 'x')), Write::ok);
  EXPECT_EQ(client().writable_length(), kHighWater - 1) << "nothing is flushed yet";
  EXPECT_EQ(client().write("x"), Write::full);
  EXPECT_EQ(client().writable_length(), kHighWater);
  EXPECT_TRUE(client().writable_needs_drain());
  ASSERT_TRUE(run_until([&] { return client_record_.has("drain"); }));
  EXPECT_EQ(client().writable_length(), 0U);
  EXPECT_EQ(client().write("x"), Write::ok);
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes.size() == kHighWater + 1; }));
}

TEST_P(ContractDecisionsTest, AWriteAfterThePeersFinAndCloseFailsForItsCallbackOnly) {
  RULES("5.5.1");
  join();
  peer().end();
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  std::vector<std::string> told;
  const Write late = client().write(
      "too late", [&](Socket&, std::error_code code) { told.emplace_back(name_of(code)); });
  EXPECT_EQ(late, Write::closed);
  EXPECT_TRUE(told.empty()) << "an event inside write()";
  ASSERT_TRUE(run_until([&] { return !told.empty(); }));
  run_for(1ms);
  EXPECT_EQ(told, std::vector<std::string>{"EPIPE"});
  EXPECT_TRUE(client_record_.errors.empty());
  EXPECT_EQ(client_record_.closes, 1);
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(ContractDecisionsTest, BufferedAmountsAreBytes) {
  RULES("5.12.1");
  join();
  const std::string text = "\u20ac\u20ac\u00e9";  // 3 characters
  ASSERT_EQ(text.size(), 8U);
  client().write(text);
  EXPECT_EQ(client().writable_length(), 8U);
  EXPECT_EQ(client().bytes_written(), 8U);
  EXPECT_EQ(reactor().counters().queue_bytes, 8U);
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == text; }));
  EXPECT_EQ(peer().bytes_read(), 8U);
}

WEIR_ON_ALL_BACKENDS(ContractDecisionsTest);

}  // namespace
}  // namespace weir::test
