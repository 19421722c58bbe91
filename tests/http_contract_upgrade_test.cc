// The contract, section 4.2: Expect, Upgrade and CONNECT.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/http_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using http::Upgrade;

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::string_view kSwitching =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: own\r\nConnection: Upgrade\r\n\r\n";
constexpr std::string_view kUpgrade =
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n";
constexpr std::string_view kLast = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

// A kept answer of this body.
std::string kept(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

// The last answer of this body, status and reason.
std::string closed(std::string_view body, std::string_view status = "200 OK") {
  return "HTTP/1.1 " + std::string(status) + "\r\nConnection: close\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

// ---- Expect ----

class ExpectTest : public HttpTest {
 protected:
  static std::string expecting(std::string_view expectation, std::string_view version = "1.1") {
    return "POST / HTTP/" + std::string(version) + "\r\nHost: a\r\nContent-Length: 4\r\nExpect: " +
           std::string(expectation) + "\r\n\r\n";
  }

  // Answers with the request's body.
  void serve_echo() {
    serve([this](Request& request, Response& response) { echo(request, response); });
  }
  void echo(Request& request, Response& response) {
    ++requests_;
    if (request.target() == "/last") return void(response.end("last"));
    request.on_data([this](Request&, Buffer bytes) { body_ += bytes.view(); });
    request.on_end([this, &response](Request&) { response.end(body_); });
  }

  std::string body_;
  int requests_ = 0;
  int checks_ = 0;
};

TEST_P(ExpectTest, The100IsSentWithoutAListener) {
  RULES("4.2.6.2 4.2.6.8");
  NODE_TEST("http-expect-continue");
  serve_echo();
  HttpClient& client = dial();
  client.send(expecting("100-continue"));
  ASSERT_TRUE(run_until_received(client, kContinue));
  EXPECT_EQ(client.received(), kContinue);
  ASSERT_TRUE(run_until([&] { return requests_ == 1; }));
  client.send(std::string("body").append(kLast));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(without_date(client.received()),
            std::string(kContinue) + kept("body") + closed("last"));
}

TEST_P(ExpectTest, AListenerDecides) {
  RULES("4.2.6.1 4.2.6.7 4.2.6.8");
  NODE_TEST("http-expect-continue http-expect-handling");
  serve_echo();
  server().on_check_continue([&](Request& request, Response& response) {
    ++checks_;
    EXPECT_EQ(request.header("expect"), "100-Continue");
    EXPECT_TRUE(response.write_continue());
    echo(request, response);
    requests_ = 0;
  });
  HttpClient& client = dial();
  client.send(expecting("100-Continue"));
  ASSERT_TRUE(run_until_received(client, kContinue));
  EXPECT_EQ(checks_, 1);
  EXPECT_EQ(requests_, 0);
  client.send(std::string("body").append(kLast));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(without_date(client.received()),
            std::string(kContinue) + kept("body") + closed("last"));
}

TEST_P(ExpectTest, AFinalAnswerWithoutThe100Closes) {
  RULES("4.2.6.3");
  NODE_TEST("http-expect-continue-reuse-race");
  serve_echo();
  server().on_check_continue([&](Request&, Response& response) {
    ++checks_;
    response.set_status(413);
    response.end("no");
  });
  EXPECT_EQ(answer(expecting("100-continue")), closed("no", "413 Payload Too Large"));
  EXPECT_EQ(answer(expecting("100-continue") + "body" + std::string(kLast)),
            closed("no", "413 Payload Too Large"));
  EXPECT_EQ(checks_, 2);
  EXPECT_EQ(requests_, 0);
}

TEST_P(ExpectTest, OtherExpectationsGoToTheirListener) {
  RULES("4.2.6.4");
  NODE_TEST("http-expect-handling");
  serve_echo();
  server().on_check_expectation([&](Request& request, Response& response) {
    ++checks_;
    EXPECT_EQ(request.header("expect"), "meoww");
    response.end("meow");
  });
  HttpClient& client = dial();
  client.send(expecting("meoww") + "body");
  ASSERT_TRUE(run_until_received(client, "meow"));
  EXPECT_EQ(checks_, 1);
  EXPECT_EQ(requests_, 0);
}

TEST_P(ExpectTest, OtherExpectationsFailWithoutAListener) {
  RULES("4.2.6.5");
  NODE_TEST("http-expect-handling");
  serve_echo();
  HttpClient& client = dial();
  client.send(expecting("meoww") + "body");
  ASSERT_TRUE(run_until_received(client, "\r\n\r\n"));
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 417 Expectation Failed\r\n"))
      << client.received();
  EXPECT_EQ(requests_, 0);
}

TEST_P(ExpectTest, Http10ExpectsNothing) {
  RULES("4.2.6.6");
  serve_echo();
  server().on_check_continue([&](Request&, Response&) { ++checks_; });
  server().on_check_expectation([&](Request&, Response&) { ++checks_; });
  for (const std::string_view expectation : {"100-continue", "meoww"}) {
    body_.clear();
    EXPECT_EQ(answer(expecting(expectation, "1.0") + "body"),
              "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbody");
  }
  EXPECT_EQ(checks_, 0);
}

TEST_P(ExpectTest, The100LeavesInItsPlace) {
  RULES("4.2.6.9 4.4.12.7");
  Response* first = nullptr;
  serve([&](Request& request, Response& response) {
    if (request.target() == "/first") {
      first = &response;
    } else {
      echo(request, response);
    }
  });
  HttpClient& client = dial();
  client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n" + expecting("100-continue"));
  ASSERT_TRUE(run_until([&] { return requests_ == 1; }));
  EXPECT_EQ(client.received(), "");
  first->end("one");
  ASSERT_TRUE(run_until_received(client, kContinue));
  client.send(std::string("body").append(kLast));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(without_date(client.received()),
            kept("one") + std::string(kContinue) + kept("body") + closed("last"));
}

TEST_P(ExpectTest, ABrokenClientDuringThe100IsHarmless) {
  RULES("4.2.6.1 4.2.5.6");
  NODE_TEST("http-sync-write-error-during-continue");
  serve_echo();
  bool closes = false;
  server().on_check_continue([&](Request& request, Response& response) {
    request.on_aborted([&](Request&) { (void)response.write_continue(); });
    response.on_close([&](Response&) { closes = true; });
    ++checks_;
  });
  HttpClient& client = dial();
  client.send(expecting("100-continue"));
  ASSERT_TRUE(run_until([&] { return checks_ == 1; }));
  EXPECT_TRUE(client.socket().reset_and_destroy());
  ASSERT_TRUE(run_until([&] { return closes; }));
  EXPECT_TRUE(unhandled_.empty());
}

// ---- Upgrade ----

class UpgradeTest : public HttpTest {
 protected:
  void serve_hello(http::ServerOptions options = {}) {
    serve(
        [this](Request& request, Response& response) {
          ++requests_;
          response.end(request.target() == "/last" ? "last" : "hello");
        },
        options);
  }
  // Takes connections over with a 101, and echoes what comes, as it is.
  void echo_upgrades() {
    server().on_upgrade([this](Upgrade& upgrade) {
      upgrade.socket.write(kSwitching);
      take_over(upgrade);
    });
  }
  void take_over(Upgrade& upgrade) {
    ++upgrades_;
    head_.append(upgrade.head.view());
    target_ = upgrade.request.target();
    upgrade.socket.on_data([this](Socket& socket, Buffer bytes) {
      raw_ += bytes.view();
      socket.write(bytes.view());
    });
    upgrade.socket.on_end([](Socket& socket) { socket.end(); });
    upgrade.socket.on_error([this](Socket&, const Error& error) { error_ = name_of(error.code); });
    upgrade.socket.on_close([this](Socket&, std::error_code) { closed_ = true; });
  }

  int requests_ = 0;
  int upgrades_ = 0;
  bool closed_ = false;
  std::string head_, target_, raw_, error_;
};

TEST_P(UpgradeTest, TheSocketIsRawFromThen) {
  RULES("4.2.7.1 4.2.7.2 4.2.7.4 4.2.7.10");
  NODE_TEST("http-upgrade-server");
  serve_hello();
  server().on_upgrade([&](Upgrade& upgrade) {
    EXPECT_EQ(upgrade.request.header("upgrade"), "own");
    EXPECT_EQ(upgrade.request.method_text(), "GET");
    upgrade.socket.write(kSwitching);
    take_over(upgrade);
  });
  HttpClient& client = dial();
  client.send(std::string(kUpgrade) + "first");
  ASSERT_TRUE(run_until_received(client, kSwitching));
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(run_until([&] { return raw_.ends_with("\r\n\r\n"); }));
  client.end();
  ASSERT_TRUE(run_until([&] { return client.closed() && closed_; }));
  EXPECT_EQ(head_ + raw_, "firstGET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.received(), std::string(kSwitching) + raw_) << "nothing of http's own";
  EXPECT_EQ(target_, "/chat");
  EXPECT_EQ(requests_, 0);
  EXPECT_EQ(upgrades_, 1);
}

TEST_P(UpgradeTest, TheHeadIsBytes) {
  RULES("4.2.7.2");
  NODE_TEST("http-upgrade-binary");
  serve_hello();
  echo_upgrades();
  std::string binary;
  for (int i = 0; i < 512; ++i) binary += static_cast<char>(i);
  binary += "\r\n\r\nGET / HTTP/1.1\r\n\r\n";
  HttpClient& client = dial();
  client.send(std::string(kUpgrade) + binary);
  ASSERT_TRUE(run_until([&] { return head_.size() + raw_.size() == binary.size(); }));
  EXPECT_EQ(head_ + raw_, binary);
  EXPECT_FALSE(head_.empty()) << "it came in one segment";
  HttpClient& slow = dial();
  head_.clear();
  raw_.clear();
  slow.send(kUpgrade);
  ASSERT_TRUE(run_until([&] { return upgrades_ == 2; }));
  EXPECT_EQ(head_, "");
  slow.send(binary);
  ASSERT_TRUE(run_until([&] { return raw_.size() == binary.size(); }));
  EXPECT_EQ(raw_, binary);
}

TEST_P(UpgradeTest, WithoutAListenerItIsARequest) {
  RULES("4.2.7.3");
  NODE_TEST("http-upgrade-server");
  serve_hello();
  HttpClient& client = dial();
  client.send(std::string(kUpgrade).append(kLast));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(without_date(client.received()), kept("hello") + closed("last"));
  EXPECT_EQ(requests_, 2);
}

TEST_P(UpgradeTest, UpgradeMustBeMeant) {
  RULES("4.2.7.7");
  serve_hello();
  echo_upgrades();
  EXPECT_EQ(answer("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: own\r\nConnection: close\r\n\r\n"),
            closed("hello"));
  EXPECT_EQ(answer("GET / HTTP/1.0\r\nUpgrade: own\r\nConnection: upgrade\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
  EXPECT_EQ(upgrades_, 0);
}

TEST_P(UpgradeTest, WithABodyItIsARequest) {
  RULES("4.2.7.12");
  serve_hello();
  echo_upgrades();
  HttpClient& client = dial();
  client.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: own\r\n"
              "Content-Length: 4\r\n\r\nbody" + std::string(kLast));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(without_date(client.received()), kept("hello") + closed("last"));
  EXPECT_EQ(upgrades_, 0);
}

TEST_P(UpgradeTest, TheServerMayGoInTheListener) {
  RULES("4.4.9.20");
  serve_hello();
  server().on_upgrade([&](Upgrade&) { server_.reset(); });
  EXPECT_EQ(ask(std::string(kUpgrade) + "head"), "");
}

TEST_P(UpgradeTest, EarlierRequestsAreAnsweredFirst) {
  RULES("4.2.7.9");
  Response* first = nullptr;
  serve([&](Request&, Response& response) { first = &response; });
  echo_upgrades();
  HttpClient& client = dial();
  client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n" + std::string(kUpgrade) + "early");
  ASSERT_TRUE(run_until([&] { return first != nullptr; }));
  HttpClient& other = dial();
  other.send(kUpgrade);
  ASSERT_TRUE(run_until_received(other, kSwitching));
  EXPECT_EQ(upgrades_, 1) << "the other one's";
  EXPECT_EQ(client.received(), "");
  first->end("one");
  ASSERT_TRUE(run_until([&] { return upgrades_ == 2; }));
  client.send("late");
  ASSERT_TRUE(run_until_received(client, "late"));
  EXPECT_EQ(head_ + raw_, "earlylate");
  EXPECT_EQ(without_date(client.received()), kept("one") + std::string(kSwitching) + raw_);
}

TEST_P(UpgradeTest, TheEndOfTheClientIsTheListeners) {
  RULES("4.2.7.11");
  serve_hello();
  echo_upgrades();
  HttpClient& ending = dial();
  ending.send(kUpgrade);
  ASSERT_TRUE(run_until_received(ending, kSwitching));
  ending.end();
  ASSERT_TRUE(run_until([&] { return closed_; }));
  EXPECT_EQ(error_, "");
  closed_ = false;
  HttpClient& resetting = dial();
  resetting.send(kUpgrade);
  ASSERT_TRUE(run_until_received(resetting, kSwitching));
  EXPECT_TRUE(resetting.socket().reset_and_destroy());
  ASSERT_TRUE(run_until([&] { return closed_; }));
  EXPECT_EQ(error_, "ECONNRESET");
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(UpgradeTest, TheListenerMayRefuse) {
  RULES("4.2.7.1 4.2.7.4");
  serve_hello();
  server().on_upgrade([](Upgrade& upgrade) {
    upgrade.socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
  });
  HttpClient& client = dial();
  client.send(kUpgrade);
  ASSERT_TRUE(run_until([&] { return client.ended(); }));
  EXPECT_EQ(client.received(), "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
  server().on_upgrade([](Upgrade& upgrade) { upgrade.socket.destroy(); });
  HttpClient& destroyed = dial();
  destroyed.send(kUpgrade);
  ASSERT_TRUE(run_until([&] { return destroyed.over(); }));
}

// ---- CONNECT ----

TEST_P(UpgradeTest, ConnectIsATunnel) {
  RULES("4.2.7.5 4.2.7.2");
  NODE_TEST("http-connect http-connect-req-res");
  serve_hello();
  std::string authority;
  server().on_connect([&](Upgrade& upgrade) {
    EXPECT_EQ(upgrade.request.method_text(), "CONNECT");
    authority = upgrade.request.host();
    upgrade.socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    take_over(upgrade);
  });
  HttpClient& client = dial();
  client.send("CONNECT google.com:443 HTTP/1.1\r\nHost: google.com:443\r\n\r\nHead");
  ASSERT_TRUE(run_until_received(client, "established\r\n\r\n"));
  client.send("Body");
  ASSERT_TRUE(run_until([&] { return head_ + raw_ == "HeadBody"; }));
  ASSERT_TRUE(run_until_received(client, raw_));
  EXPECT_EQ(client.received(), "HTTP/1.1 200 Connection established\r\n\r\n" + raw_);
  EXPECT_EQ(target_, "google.com:443");
  EXPECT_EQ(authority, "google.com:443");
  EXPECT_EQ(requests_, 0);
}

TEST_P(UpgradeTest, ConnectComesBehindRequests) {
  RULES("4.2.7.5 4.2.7.9");
  NODE_TEST("http-after-connect");
  serve_hello();
  server().on_connect([&](Upgrade& upgrade) {
    upgrade.socket.write("HTTP/1.1 200 OK\r\n\r\n");
    take_over(upgrade);
  });
  HttpClient& client = dial();
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nCONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
  ASSERT_TRUE(run_until([&] { return upgrades_ == 1; }));
  client.send("raw");
  ASSERT_TRUE(run_until_received(client, "raw"));
  EXPECT_EQ(without_date(client.received()), kept("hello") + "HTTP/1.1 200 OK\r\n\r\nraw");
  HttpClient& other = dial();
  other.send(kLast);
  ASSERT_TRUE(run_until([&] { return other.over(); }));
  EXPECT_EQ(without_date(other.received()), closed("last"));
}

TEST_P(UpgradeTest, ConnectWithoutAListenerIsNotAnswered) {
  RULES("4.2.7.6");
  NODE_TEST("http-connect");
  serve_hello();
  EXPECT_EQ(ask("CONNECT google.com:443 HTTP/1.1\r\nHost: google.com:443\r\n\r\n"), "");
  EXPECT_EQ(requests_, 0);
  EXPECT_EQ(answer(kLast), closed("last"));
}

// ---- Times, on the simulator's clock ----

class VirtualUpgradeTest : public UpgradeTest {};

TEST_P(VirtualUpgradeTest, TheServersTimesDoNotHoldForIt) {
  RULES("4.2.7.8");
  NODE_TEST("http-server-request-timeout-upgrade");
  serve_hello({.headers_timeout = 1s, .request_timeout = 2s, .keep_alive_timeout = 1s});
  echo_upgrades();
  HttpClient& client = dial();
  client.send(kUpgrade);
  ASSERT_TRUE(run_until_received(client, kSwitching));
  run_for(1h);
  EXPECT_FALSE(client.over());
  client.send("still here");
  ASSERT_TRUE(run_until_received(client, "still here"));
  EXPECT_EQ(raw_, "still here");
}

WEIR_ON_ALL_BACKENDS(ExpectTest);
WEIR_ON_ALL_BACKENDS(UpgradeTest);
WEIR_ON_SIM(VirtualUpgradeTest);

}  // namespace
}  // namespace weir::test
