// The contract of connecting to a name that has several addresses.
#include <dirent.h>
#include <gtest/gtest.h>

#include "tests/dial.h"
#include "tests/rules.h"
#include "weir/net/block_list.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

// 127.0.0.1 is the server; nobody listens on 127.0.0.3 and above at its port.
class AddressesTest : public DialTest {
 protected:
  // The attempts as they were made, from the record.
  std::string attempts() const {
    std::string all;
    for (const std::string& event : client_record_.events) {
      if (event.starts_with("attempt:")) all += (all.empty() ? "" : " ") + event.substr(8);
    }
    return all;
  }
  std::string attempted() const {
    std::string all;
    for (const Address& address : client_->attempted_addresses()) {
      all += (all.empty() ? "" : " ") + address.to_string();
    }
    return all;
  }
  // From the first attempt on.
  std::string order() const {
    const std::string all = client_record_.order();
    const std::size_t at = all.find("attempt:");
    return at == std::string::npos ? all : all.substr(at);
  }
  bool dial_until_closed(const std::vector<std::string>& addresses) {
    client_record_ = {};
    dial(addresses);
    return run_until_client_closed();
  }
  void end_client() {
    client().destroy();
    EXPECT_TRUE(run_until_closed());
    client_record_ = {};
    peer_record_ = {};
  }
  std::size_t open_fds() {
    if (auto* sim = dynamic_cast<SimBackend*>(&reactor().backend())) return sim->open_fds();
    DIR* directory = opendir("/proc/self/fd");
    std::size_t count = 0;
    while (readdir(directory) != nullptr) ++count;
    closedir(directory);
    return count;
  }
};

TEST_P(AddressesTest, AllAreTriedUnlessSwitchedOff) {
  RULES("2.4.1.1 2.4.1.8 2.4.1.14");
  NODE_TEST("autoselectfamily");
  listen();
  dial({"127.0.0.3", "::1", "127.0.0.1"});
  ASSERT_TRUE(run_until_ready());
  EXPECT_EQ(client_record_.order(),
            "lookup:127.0.0.3 lookup:::1 lookup:127.0.0.1 attempt:127.0.0.3 failed:127.0.0.3 "
            "attempt:::1 failed:::1 attempt:127.0.0.1 connect ready");
  EXPECT_EQ(attempted(), "127.0.0.3:" + text_port() + " [::1]:" + text_port() +
                             " 127.0.0.1:" + text_port());
  EXPECT_EQ(client().remote_address().to_string(), "127.0.0.1:" + text_port());
  end_client();
  to_.auto_select_family = false;
  ASSERT_TRUE(dial_until_closed({"127.0.0.3", "127.0.0.1"}));
  EXPECT_EQ(order(), "attempt:127.0.0.3 failed:127.0.0.3 error close");
  EXPECT_TRUE(client_record_.errors[0].errors.empty());
}

TEST_P(AddressesTest, TheReactorsDefaultCanBeChanged) {
  RULES("2.4.1.1");
  listen();
  net::set_default_auto_select_family(reactor(), false);
  ASSERT_TRUE(dial_until_closed({"127.0.0.3", "127.0.0.1"}));
  EXPECT_EQ(attempts(), "127.0.0.3");
  to_.auto_select_family = true;
  client_record_ = {};
  dial({"127.0.0.3", "127.0.0.1"});
  ASSERT_TRUE(run_until_ready());
  end_client();
  to_.auto_select_family = {};
  net::set_default_auto_select_family(reactor(), true);
  dial({"127.0.0.3", "127.0.0.1"});
  ASSERT_TRUE(run_until_ready());
}

TEST_P(AddressesTest, WithAFamilyOnlyItsFirstAddressIsTried) {
  RULES("2.4.1.3");
  listen();
  to_.family = Family::ipv4;
  ASSERT_TRUE(dial_until_closed({"::1", "127.0.0.3", "127.0.0.1"}));
  EXPECT_EQ(order(), "attempt:127.0.0.3 failed:127.0.0.3 error close");
  EXPECT_EQ(client_record_.errors[0].message(), "connect ECONNREFUSED 127.0.0.3:" + text_port());
  EXPECT_TRUE(client_record_.errors[0].errors.empty());
  ASSERT_EQ(resolver_.asked.size(), 1U);
  EXPECT_EQ(resolver_.asked[0].second, Family::ipv4);
}

TEST_P(AddressesTest, WithALocalAddressOnlyTheFirstAddressIsTried) {
  RULES("2.4.1.4");
  listen();
  to_.local_address = "127.0.0.1";
  ASSERT_TRUE(dial_until_closed({"127.0.0.3", "127.0.0.1"}));
  EXPECT_EQ(order(), "attempt:127.0.0.3 failed:127.0.0.3 error close");
  EXPECT_TRUE(client_record_.errors[0].errors.empty());
}

TEST_P(AddressesTest, ANumericHostIsTheOnlyOneThatIsTried) {
  RULES("2.4.1.2");
  listen();
  resolver_.set({"127.0.0.1"});
  to_.resolver = &resolver_;
  to_.host = "127.0.0.3";
  ASSERT_TRUE(client().connect(to_).has_value());
  ASSERT_TRUE(run_until_client_closed());
  EXPECT_EQ(client_record_.order(), "attempt:127.0.0.3 failed:127.0.0.3 error close");
  EXPECT_TRUE(client_record_.errors[0].errors.empty());
  EXPECT_TRUE(resolver_.asked.empty());
}

TEST_P(AddressesTest, AnAddressThatComesTwiceIsTriedOnce) {
  RULES("2.4.1.5");
  listen();
  ASSERT_TRUE(dial_until_closed({"127.0.0.3", "127.0.0.4", "127.0.0.3", "127.0.0.3"}));
  EXPECT_EQ(attempts(), "127.0.0.3 127.0.0.4");
  EXPECT_EQ(client_record_.errors[0].errors.size(), 2U);
}

TEST_P(AddressesTest, FamiliesTakeTurns) {
  RULES("2.4.1.6 2.4.1.14");
  NODE_TEST("autoselectfamily-ipv4first");
  listen();
  struct {
    std::vector<std::string> answers;
    const char* attempts;
  } const cases[] = {
      {{"127.0.0.3", "127.0.0.4", "127.0.0.5", "::1"}, "127.0.0.3 ::1 127.0.0.4 127.0.0.5"},
      {{"::1", "::ffff:127.0.0.3", "127.0.0.3", "127.0.0.4"},
       "::1 127.0.0.3 ::ffff:127.0.0.3 127.0.0.4"},
      {{"127.0.0.3", "::1", "::ffff:127.0.0.3", "127.0.0.4"},
       "127.0.0.3 ::1 127.0.0.4 ::ffff:127.0.0.3"},
      {{"127.0.0.3", "::1", "127.0.0.3", "::1", "127.0.0.4"}, "127.0.0.3 ::1 127.0.0.4"},
  };
  for (const auto& one : cases) {
    ASSERT_TRUE(dial_until_closed(one.answers));
    EXPECT_EQ(attempts(), one.attempts);
    std::string list;
    for (const Address& address : client().attempted_addresses()) {
      EXPECT_EQ(address.port(), to_.port);
      list += (list.empty() ? "" : " ") + address.ip().ip();
    }
    EXPECT_EQ(list, one.attempts);
  }
}

TEST_P(AddressesTest, ASingleAddressHasNoTimer) {
  RULES("2.4.1.7");
  listen();
  hang("127.0.0.2");
  to_.attempt_timeout = 10ms;
  for (const std::vector<std::string>& one :
       {std::vector<std::string>{"127.0.0.2"}, {"127.0.0.2", "127.0.0.2"}}) {
    dial(one);
    ASSERT_TRUE(run_until([&] { return client_record_.has("attempt:127.0.0.2"); }));
    run_for(30ms);
    EXPECT_EQ(order(), "attempt:127.0.0.2");
    EXPECT_TRUE(client().connecting());
    client().destroy();
    ASSERT_TRUE(run_until_client_closed());
    client_record_ = {};
  }
  ASSERT_TRUE(dial_until_closed({"127.0.0.3"}));
  EXPECT_EQ(order(), "attempt:127.0.0.3 failed:127.0.0.3 error close");
  EXPECT_EQ(client_record_.errors[0].message(), "connect ECONNREFUSED 127.0.0.3:" + text_port());
  EXPECT_TRUE(client_record_.errors[0].errors.empty());
}

TEST_P(AddressesTest, AnAttemptThatTakesTooLongIsClosedAndTheNextOneMade) {
  RULES("2.4.1.9 2.4.1.10 2.4.1.15");
  NODE_TEST("autoselectfamily");
  listen();
  hang("127.0.0.2");
  to_.attempt_timeout = 20ms;
  dial({"127.0.0.1"});
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready") && peer_ != nullptr; }));
  const std::size_t fds = open_fds();
  end_client();
  std::size_t fds_meanwhile = 0;
  client().on_connection_attempt([&](Socket&, const Address&) {
    fds_meanwhile = std::max(fds_meanwhile, open_fds());
  });
  const Instant begin = reactor().now();
  dial({"127.0.0.2", "127.0.0.1"});
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready") && peer_ != nullptr; }));
  EXPECT_EQ(order(),
            "attempt:127.0.0.2 timeout:127.0.0.2 attempt:127.0.0.1 connect ready");
  EXPECT_GE(reactor().now() - begin, 20ms);
  EXPECT_EQ(open_fds(), fds) << "the attempt that took too long is still open";
  EXPECT_LE(fds_meanwhile, fds) << "two attempts at a time";
  client().write("through");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "through"; }));
}

TEST_P(AddressesTest, TheLastAttemptHasNoTimer) {
  RULES("2.4.1.11");
  listen();
  hang("127.0.0.2");
  to_.attempt_timeout = 10ms;
  dial({"127.0.0.3", "127.0.0.2"});
  ASSERT_TRUE(run_until([&] { return client_record_.has("attempt:127.0.0.2"); }));
  run_for(30ms);
  EXPECT_EQ(order(), "attempt:127.0.0.3 failed:127.0.0.3 attempt:127.0.0.2");
  EXPECT_TRUE(client().connecting());
}

TEST_P(AddressesTest, WhenAllFailTheErrorHasTheFirstCodeAndAllOfThem) {
  RULES("2.4.1.12 2.4.1.13 2.4.1.14 2.3.4.2 2.3.4.3");
  NODE_TEST("autoselectfamily");
  listen();
  std::string log;
  client().on_error([&](Socket& socket, const Error&) { log += socket.destroyed() ? "gone" : ""; });
  std::error_code written;
  client_record_ = {};
  dial({"127.0.0.3", "::1", "127.0.0.4"});
  client().write("lost", [&](Socket&, std::error_code code) { written = code; });
  ASSERT_TRUE(run_until_client_closed());
  EXPECT_EQ(order(), "attempt:127.0.0.3 failed:127.0.0.3 attempt:::1 failed:::1 "
                     "attempt:127.0.0.4 failed:127.0.0.4 error close");
  EXPECT_EQ(log, "gone");
  EXPECT_EQ(written, errno_code(ECONNREFUSED));
  EXPECT_EQ(client_record_.closed_with, errno_code(ECONNREFUSED));
  const Error& error = client_record_.errors.at(0);
  EXPECT_EQ(error.code, errno_code(ECONNREFUSED));
  ASSERT_EQ(error.errors.size(), 3U);
  EXPECT_EQ(error.errors[0].message(), "connect ECONNREFUSED 127.0.0.3:" + text_port());
  EXPECT_EQ(error.errors[1].address.to_string(), "[::1]:" + text_port());
  EXPECT_EQ(error.errors[2].message(), "connect ECONNREFUSED 127.0.0.4:" + text_port());
}

TEST_P(AddressesTest, TheFirstCodeIsThatOfTheFirstAttempt) {
  RULES("2.4.1.12 2.4.1.13 2.4.1.9");
  listen();
  hang("127.0.0.2");
  to_.attempt_timeout = 10ms;
  ASSERT_TRUE(dial_until_closed({"127.0.0.2", "127.0.0.3"}));
  EXPECT_EQ(order(), "attempt:127.0.0.2 timeout:127.0.0.2 attempt:127.0.0.3 failed:127.0.0.3 "
                     "error close");
  const Error& error = client_record_.errors.at(0);
  EXPECT_EQ(error.code, errno_code(ETIMEDOUT));
  EXPECT_EQ(client_record_.closed_with, errno_code(ETIMEDOUT));
  ASSERT_EQ(error.errors.size(), 2U);
  EXPECT_EQ(error.errors[0].message(), "connect ETIMEDOUT 127.0.0.2:" + text_port());
  EXPECT_EQ(error.errors[1].message(), "connect ECONNREFUSED 127.0.0.3:" + text_port());
  ASSERT_TRUE(dial_until_closed({"127.0.0.3", "127.0.0.4"}));
  EXPECT_EQ(client_record_.closed_with, errno_code(ECONNREFUSED));
  EXPECT_EQ(client_record_.errors.at(0).errors.size(), 2U) << "what was before is forgotten";
  EXPECT_EQ(attempted(), "127.0.0.3:" + text_port() + " 127.0.0.4:" + text_port());
}

TEST_P(AddressesTest, TheTimeoutOfItAllEndsEveryAttempt) {
  RULES("2.4.1.12 2.4.1.14");
  listen();
  hang("127.0.0.2");
  to_.timeout = 20ms;
  to_.attempt_timeout = 10s;
  ASSERT_TRUE(dial_until_closed({"127.0.0.2", "127.0.0.1"}));
  EXPECT_EQ(attempts(), "127.0.0.2");
  EXPECT_EQ(client_record_.closed_with, errno_code(ETIMEDOUT));
  EXPECT_EQ(client_record_.count("error"), 1);
  EXPECT_EQ(attempted(), "127.0.0.2:" + text_port());
}

TEST_P(AddressesTest, ABlockedAddressIsPassedOver) {
  RULES("2.4.1.8 2.4.1.12");
  NODE_TEST("blocklist");
  listen();
  net::BlockList list;
  ASSERT_TRUE(list.add_address("127.0.0.3").has_value());
  to_.block_list = &list;
  dial({"127.0.0.3", "127.0.0.1"});
  ASSERT_TRUE(run_until_ready());
  EXPECT_EQ(client().remote_address().to_string(), "127.0.0.1:" + text_port());
  end_client();
  ASSERT_TRUE(dial_until_closed({"127.0.0.3", "127.0.0.4"}));
  EXPECT_EQ(name_of(client_record_.closed_with), "ERR_IP_BLOCKED");
  ASSERT_TRUE(list.add_address("127.0.0.1").has_value());
  ASSERT_TRUE(dial_until_closed({"127.0.0.3", "127.0.0.1"}));
  EXPECT_EQ(name_of(client_record_.closed_with), "ERR_IP_BLOCKED");
  EXPECT_EQ(peer_, nullptr);
}

// What waited in the backlog of the listener that hung is accepted afterwards: our attempt is not
// among it.
TEST_P(AddressesTest, TheAttemptThatWasGivenUpIsNeverAccepted) {
  RULES("2.4.1.10 2.4.1.15");
  listen();
  const int fd = hang("127.0.0.2");
  const std::size_t waiting = fillers_.size();
  to_.attempt_timeout = 10ms;
  dial({"127.0.0.2", "127.0.0.1"});
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready") && peer_ != nullptr; }));
  Server late(reactor());
  ASSERT_TRUE(late.listen({.fd = fd}).has_value());
  forget_listener(fd);
  ASSERT_TRUE(run_until([&] { return late.connections() == waiting; }));
  client().write("ping");
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "ping"; }));
  EXPECT_EQ(late.connections(), waiting);
  EXPECT_EQ(server_->connections(), 1U);
  EXPECT_EQ(client_record_.count("connect"), 1);
  fillers_.clear();
  client().end();
  ASSERT_TRUE(run_until([&] { return late.connections() == 0; }));
  expect_all_gone();
}

TEST_P(AddressesTest, ManyAtOnceConnectOnceEach) {
  RULES("2.4.1.15 2.4.1.9");
  listen();
  hang("127.0.0.2");
  constexpr int kClients = 40;
  int connected = 0;
  resolver_.set({"127.0.0.2", "127.0.0.3", "127.0.0.1"});
  std::vector<std::unique_ptr<Socket>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Socket>(reactor()));
    clients.back()->on_connect([&](Socket&) { ++connected; });
    ASSERT_TRUE(clients.back()->connect({.host = "a.name", .port = to_.port,
                                         .resolver = &resolver_,
                                         .attempt_timeout = 10ms}).has_value());
  }
  ASSERT_TRUE(run_until([&] {
    return connected == kClients && server_->connections() == kClients;
  }));
  for (const auto& one : clients) {
    EXPECT_EQ(one->remote_address().to_string(), "127.0.0.1:" + text_port());
    EXPECT_EQ(one->attempted_addresses().size(), 3U);
  }
  clients.clear();
  ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  EXPECT_EQ(reactor().counters().sockets, fillers_.size());
}

WEIR_ON_ALL_BACKENDS(AddressesTest);

// ---- In virtual time ----

class AddressesInTimeTest : public AddressesTest {
 protected:
  // How long an attempt was given before the next one began.
  Duration attempt_time() {
    std::vector<Instant> begins;
    const auto id = client().on_connection_attempt([&](Socket&, const Address&) {
      begins.push_back(reactor().now());
    });
    dial({"192.0.2.1", "127.0.0.1"});
    EXPECT_TRUE(run_until_ready());
    client().off(id);
    end_client();
    EXPECT_EQ(begins.size(), 2U);
    return begins.size() == 2 ? begins[1] - begins[0] : Duration::zero();
  }
};

TEST_P(AddressesInTimeTest, HowLongAnAttemptMayTake) {
  RULES("2.4.1.9 2.4.1.1");
  NODE_TEST("autoselectfamily-attempt-timeout-default-value");
  listen();
  EXPECT_EQ(attempt_time(), 250ms);
  to_.attempt_timeout = 1s;
  EXPECT_EQ(attempt_time(), 1s);
  to_.attempt_timeout = 1ms;
  EXPECT_EQ(attempt_time(), 10ms);
  to_.attempt_timeout = {};
  net::set_default_attempt_timeout(reactor(), 40ms);
  EXPECT_EQ(attempt_time(), 40ms);
  net::set_default_attempt_timeout(reactor(), 3ms);
  EXPECT_EQ(attempt_time(), 10ms);
}

TEST_P(AddressesInTimeTest, NoTimerForASingleAddressNorTheLastOneNorANumericHost) {
  RULES("2.4.1.2 2.4.1.3 2.4.1.4 2.4.1.7 2.4.1.11");
  listen();
  const auto expect_no_end = [&](const std::string& expected) {
    run_for(24h);
    EXPECT_EQ(order(), expected);
    EXPECT_TRUE(client().connecting());
    client().destroy();
    EXPECT_TRUE(run_until_client_closed());
    client_record_ = {};
  };
  const net::ConnectOptions plain = to_;
  dial({"192.0.2.1"});
  expect_no_end("attempt:192.0.2.1");
  dial({"192.0.2.1", "192.0.2.2"});
  expect_no_end("attempt:192.0.2.1 timeout:192.0.2.1 attempt:192.0.2.2");
  to_.family = Family::ipv4;
  dial({"192.0.2.1", "192.0.2.2"});
  expect_no_end("attempt:192.0.2.1");
  to_ = plain;
  to_.local_address = "127.0.0.1";
  dial({"192.0.2.1", "192.0.2.2"});
  expect_no_end("attempt:192.0.2.1");
  to_ = plain;
  to_.host = "192.0.2.1";
  ASSERT_TRUE(client().connect(to_).has_value());
  expect_no_end("attempt:192.0.2.1");
}

TEST_P(AddressesInTimeTest, AFailedAttemptWaitsForNoTimer) {
  RULES("2.4.1.8");
  listen();
  const Instant begin = reactor().now();
  dial({"127.0.0.3", "127.0.0.4", "127.0.0.1"});
  ASSERT_TRUE(run_until_ready());
  EXPECT_EQ(reactor().now(), begin);
  run_for(1h);
  EXPECT_FALSE(client_record_.order().contains("timeout")) << client_record_.order();
}

// The first address begins to answer shortly before, exactly when, and after its time is over.
TEST_P(AddressesInTimeTest, OneConnectionSurvivesWhateverTheTiming) {
  RULES("2.4.1.15 2.4.1.10");
  for (int tenths = 90; tenths <= 110; ++tenths) {
    client_record_ = {};
    peer_record_ = {};
    listen();
    const int fd = hang("127.0.0.2");
    const std::size_t waiting = fillers_.size();
    to_.attempt_timeout = 10ms;
    Server slow(reactor());
    Timer opens = reactor().after(std::chrono::microseconds(tenths * 100), [&] {
      EXPECT_TRUE(slow.listen({.fd = fd}).has_value());
      forget_listener(fd);
    });
    dial({"127.0.0.2", "127.0.0.1"});
    ASSERT_TRUE(run_until_ready());
    run_for(1s);
    EXPECT_EQ(client_record_.count("connect"), 1);
    EXPECT_EQ(slow.connections() - waiting + server_->connections(), 1U) << tenths;
    const bool first = slow.connections() > waiting;
    EXPECT_EQ(client().remote_address().host(), first ? "127.0.0.2" : "127.0.0.1");
    EXPECT_EQ(client_record_.has("timeout:127.0.0.2"), !first);
    fillers_.clear();
    client().destroy();
    ASSERT_TRUE(run_until([&] {
      return slow.connections() == 0 && server_->connections() == 0;
    }));
    EXPECT_EQ(reactor().counters().sockets, 0U);
    client_.reset();
    server_.reset();
  }
}

WEIR_ON_SIM(AddressesInTimeTest);

}  // namespace
}  // namespace weir::test
