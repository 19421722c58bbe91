// Two addresses in 16 bytes, and in more where that does not do.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "weir/net/address_pair.h"
#include "weir/reactor/memory.h"

namespace weir::test {
namespace {

using net::AddressPair;

IpEndpoint ip(const std::string& text, std::uint16_t port) {
  return Address::parse_ip(text, port).value_or(Address()).ip();
}

int allocations = 0;
bool count(std::size_t) noexcept {
  ++allocations;
  return true;
}
bool refuse(std::size_t) noexcept { return false; }

class AddressPairTest : public testing::Test {
 protected:
  void SetUp() override {
    allocations = 0;
    memory::set_gate(count);
  }
  void TearDown() override { memory::set_gate(nullptr); }

  void expect_kept(const IpEndpoint& local, const IpEndpoint& remote, int allocations_wanted) {
    allocations = 0;
    AddressPair pair;
    ASSERT_TRUE(pair.set(local, remote));
    EXPECT_EQ(pair.local(), local);
    EXPECT_EQ(pair.remote(), remote);
    EXPECT_EQ(allocations, allocations_wanted);
  }
};

TEST_F(AddressPairTest, IsEmptyAtFirst) {
  const AddressPair pair;
  EXPECT_EQ(pair.local(), IpEndpoint());
  EXPECT_EQ(pair.remote(), IpEndpoint());
}

TEST_F(AddressPairTest, KeepsWhatItIsGiven) {
  expect_kept({}, {}, 0);
  expect_kept(ip("127.0.0.1", 80), ip("192.0.2.255", 65535), 0);
  expect_kept(ip("::ffff:127.0.0.1", 80), ip("::ffff:192.0.2.1", 1), 0);
  expect_kept(ip("::1", 80), ip("2001:db8::ffff:1.2.3.4", 4), 1);
  expect_kept(ip("fe80::1%1", 80), ip("fe80::2%1", 81), 1);
}

// As when the peer has gone before its address was asked for.
TEST_F(AddressPairTest, KeepsTwoOfDifferentKinds) {
  expect_kept(ip("127.0.0.1", 80), {}, 1);
  expect_kept({}, ip("::1", 80), 1);
  expect_kept(ip("127.0.0.1", 80), ip("::ffff:127.0.0.1", 80), 1);
}

TEST_F(AddressPairTest, ALinkLocalScopeIsNotLost) {
  IpEndpoint mapped = ip("::ffff:127.0.0.1", 80);
  mapped.scope = 3;
  expect_kept(mapped, mapped, 1);
}

TEST_F(AddressPairTest, ForgetsAndMoves) {
  AddressPair pair;
  ASSERT_TRUE(pair.set(ip("::1", 1), ip("::1", 2)));
  AddressPair other;
  ASSERT_TRUE(other.set(ip("::2", 1), ip("::2", 2)));
  other = std::move(pair);
  EXPECT_EQ(other.remote(), ip("::1", 2));
  ASSERT_TRUE(other.set(ip("127.0.0.1", 1), ip("127.0.0.1", 2)));
  EXPECT_EQ(other.remote(), ip("127.0.0.1", 2));
  other.clear();
  EXPECT_EQ(other.remote(), IpEndpoint());
}

TEST_F(AddressPairTest, SaysThatThereIsNoMemory) {
  AddressPair pair;
  ASSERT_TRUE(pair.set(ip("::1", 1), ip("::1", 2)));
  memory::set_gate(refuse);
  EXPECT_FALSE(pair.set(ip("::2", 1), ip("::2", 2)));
  EXPECT_EQ(pair.remote(), IpEndpoint());
  EXPECT_TRUE(pair.set(ip("127.0.0.1", 1), ip("127.0.0.1", 2)));
}

}  // namespace
}  // namespace weir::test
