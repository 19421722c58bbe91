// The contract, section 4.7: defaults, origins, and which connection a request gets.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/http_agent_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using http::Scheduling;

class AgentPoolTest : public AgentTest {
 protected:
  // Makes `count` connections of the first peer that are idle, in the order of their numbers.
  void fill_pool(std::size_t count) {
    Peer& server = peer();
    server.on_request({});
    const std::size_t before = server.requests();
    for (std::size_t i = 0; i < count; ++i) {
      get("/fill" + std::to_string(i));
      ASSERT_TRUE(run_until_requests(server, before + i + 1));
    }
    for (std::size_t i = 0; i < count; ++i) {
      server.answer("/fill" + std::to_string(i));
      ASSERT_TRUE(run_until([&] { return stats().idle == i + 1; }));
    }
    server.answer_all();
  }
};

TEST_P(AgentPoolTest, Defaults) {
  RULES("4.7.1.1");
  use();
  const AgentOptions& options = agent().options();
  EXPECT_TRUE(options.keep_alive);
  EXPECT_EQ(options.max_sockets, SIZE_MAX);
  EXPECT_EQ(options.max_total_sockets, SIZE_MAX);
  EXPECT_EQ(options.max_free_sockets, 256U);
  EXPECT_EQ(options.max_waiting, 65536U);
  EXPECT_EQ(options.scheduling, Scheduling::lifo);
  EXPECT_EQ(options.idle_timeout, 5s);
  EXPECT_TRUE(options.retry);
  EXPECT_EQ(&agent().reactor(), &reactor());
}

TEST_P(AgentPoolTest, OptionsAreThoseThatWereGiven) {
  RULES("4.7.1.2");
  use({.keep_alive = false, .max_sockets = 3, .max_total_sockets = 7, .max_free_sockets = 2,
       .max_waiting = 9, .scheduling = Scheduling::fifo, .idle_timeout = 11s, .retry = false});
  const AgentOptions& options = agent().options();
  EXPECT_FALSE(options.keep_alive);
  EXPECT_EQ(options.max_sockets, 3U);
  EXPECT_EQ(options.max_total_sockets, 7U);
  EXPECT_EQ(options.max_free_sockets, 2U);
  EXPECT_EQ(options.max_waiting, 9U);
  EXPECT_EQ(options.scheduling, Scheduling::fifo);
  EXPECT_EQ(options.idle_timeout, 11s);
  EXPECT_FALSE(options.retry);
}

TEST_P(AgentPoolTest, AConnectionIsUsedAgain) {
  RULES("4.7.2.1 4.7.5.1");
  NODE_TEST("http-agent-keepalive http-keepalive-client http-keepalive-request http-keep-alive "
            "http-client-close-with-default-agent");
  Peer& server = serve_all();
  for (int i = 0; i < 10; ++i) {
    const Asked& asked = get("/" + std::to_string(i));
    ASSERT_TRUE(run_until_over(asked));
    EXPECT_EQ(asked.outcome(), "200 /" + std::to_string(i));
    EXPECT_EQ(asked.events, "response end close ");
    EXPECT_EQ(asked.reused, i != 0);
    EXPECT_EQ(asked.sockets, 1);
  }
  EXPECT_EQ(server.log(), "0:/0 0:/1 0:/2 0:/3 0:/4 0:/5 0:/6 0:/7 0:/8 0:/9");
  EXPECT_EQ(server.accepted(), 1U);
  EXPECT_EQ(server.line(0).requests[0],
            "GET /0 HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port()) +
                "\r\nConnection: keep-alive\r\n\r\n");
}

TEST_P(AgentPoolTest, OverAUnixSocketToo) {
  RULES("4.7.2.1 4.7.2.8");
  NODE_TEST("http-unix-socket-keep-alive");
  Peer& server = serve(true);
  server.answer_all();
  EXPECT_EQ(got("/a"), "200 /a");
  RequestOptions other = server.at("/b");
  other.host = "elsewhere";
  other.port = 8080;
  EXPECT_EQ(outcome_of(other), "200 /b") << "the path alone is the origin";
  EXPECT_EQ(server.log(), "0:/a 0:/b");
  EXPECT_EQ(now(), "1 1 0");
}

TEST_P(AgentPoolTest, AnAbstractNameIsAnotherOriginThanThePath) {
  RULES("4.7.2.8");
  NODE_TEST("pipe-abstract-socket-http");
  const std::string path = socket_path();
  for (const bool abstract : {false, true}) {
    net::ListenAt at{.path = path, .abstract = abstract};
    peers_.emplace_back(std::make_unique<Peer>(reactor(), at))->answer_all();
  }
  EXPECT_EQ(outcome_of(peer(0).at("/a")), "200 /a");
  EXPECT_EQ(outcome_of(peer(1).at("/b")), "200 /b");
  EXPECT_EQ(outcome_of(peer(0).at("/c")), "200 /c");
  EXPECT_EQ(peer(0).log(), "0:/a 0:/c");
  EXPECT_EQ(peer(1).log(), "0:/b");
  EXPECT_EQ(now(), "2 2 0");
}

TEST_P(AgentPoolTest, PortsAreOriginsOfTheirOwn) {
  RULES("4.7.2.5 4.7.2.11");
  NODE_TEST("http-agent-getname");
  use({.max_sockets = 1});
  Peer& first = serve();
  Peer& second = serve();
  get("/0");
  get("/1");
  ask(second.at("/2"));
  ASSERT_TRUE(run_until_requests(first, 1));
  ASSERT_TRUE(run_until_requests(second, 1));
  EXPECT_EQ(now(), "2 0 1");
  second.answer("/2");
  ASSERT_TRUE(run_until_stats("2 1 1"));
  first.answer("/0");
  ASSERT_TRUE(run_until_requests(first, 2));
  first.answer("/1");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(first.log(), "0:/0 0:/1");
  EXPECT_EQ(second.log(), "0:/2");
}

TEST_P(AgentPoolTest, SpellingsOfAHostAreOriginsOfTheirOwn) {
  RULES("4.7.2.5");
  Peer& server = serve_all();
  RequestOptions by_name = server.at("/name");
  by_name.host = "localhost";
  RequestOptions in_capitals = server.at("/capitals");
  in_capitals.host = "LOCALHOST";
  EXPECT_EQ(got("/number"), "200 /number");
  EXPECT_EQ(outcome_of(by_name), "200 /name");
  EXPECT_EQ(outcome_of(by_name), "200 /name");
  EXPECT_EQ(server.log(), "0:/number 1:/name 1:/name");
  if (!simulated()) {  // its table of hosts knows small letters
    EXPECT_EQ(outcome_of(in_capitals), "200 /capitals");
    EXPECT_EQ(server.accepted(), 3U);
  }
}

TEST_P(AgentPoolTest, LocalAddressesAreOriginsOfTheirOwn) {
  RULES("4.7.2.6");
  NODE_TEST("http-addrequest-localaddress http-localaddress");
  Peer& server = serve_all();
  RequestOptions bound = server.at("/bound");
  bound.local_address = "127.0.0.2";
  EXPECT_EQ(got("/free"), "200 /free");
  EXPECT_EQ(outcome_of(bound), "200 /bound");
  EXPECT_EQ(outcome_of(bound), "200 /bound");
  EXPECT_EQ(got("/free"), "200 /free");
  EXPECT_EQ(server.log(), "0:/free 1:/bound 1:/bound 0:/free");
  EXPECT_EQ(server.line(1).remote.host(), "127.0.0.2");
}

TEST_P(AgentPoolTest, FamiliesAreOriginsOfTheirOwn) {
  RULES("4.7.2.7");
  Peer& server = serve_all();
  RequestOptions any = server.at("/any");
  any.host = "localhost";
  RequestOptions four = any;
  four.family = Family::ipv4;
  four.target = "/four";
  EXPECT_EQ(outcome_of(any), "200 /any");
  EXPECT_EQ(outcome_of(four), "200 /four");
  EXPECT_EQ(outcome_of(any), "200 /any");
  EXPECT_EQ(server.log(), "0:/any 1:/four 0:/any");
}

// Gives one address for every name, at once.
class OneAddress final : public net::Resolver {
 public:
  explicit OneAddress(std::string_view ip) : found_(Address::parse_ip(ip, 0)->ip()) {}
  void resolve(std::string_view, Family, net::ResolveReply reply) override {
    ++asked;
    reply.found({found_});
  }

  int asked = 0;

 private:
  IpEndpoint found_;
};

TEST_P(AgentPoolTest, ResolversAreOriginsOfTheirOwn) {
  RULES("4.7.2.14");
  OneAddress right("127.0.0.1");
  OneAddress other("127.0.0.1");
  Peer& server = serve_all();
  RequestOptions options = server.at("/a");
  options.host = "name.test";
  options.resolver = &right;
  EXPECT_EQ(outcome_of(options), "200 /a");
  options.resolver = &other;
  EXPECT_EQ(outcome_of(options), "200 /a");
  EXPECT_EQ(outcome_of(options), "200 /a");
  EXPECT_EQ(server.log(), "0:/a 1:/a 1:/a");
  EXPECT_EQ(right.asked, 1);
  EXPECT_EQ(other.asked, 1);
}

TEST_P(AgentPoolTest, WhatElseARequestSaysMakesNoOrigin) {
  RULES("4.7.2.13");
  Peer& server = serve_all();
  EXPECT_EQ(got("/get"), "200 /get");
  RequestOptions options = server.at("/post");
  options.method = "post";
  options.credentials = "user:password";
  options.set_host = false;
  options.timeout = 10s;
  Asked& asked = ask(options, [](ClientRequest& request) { request.end("body"); });
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(asked.outcome(), "200 /post");
  EXPECT_EQ(server.log(), "0:/get 0:/post");
}

TEST_P(AgentPoolTest, TheOneUsedLastIsUsedAgain) {
  RULES("4.7.2.9");
  NODE_TEST("http-agent-scheduling");
  Peer& server = serve();
  fill_pool(3);
  EXPECT_EQ(got("/a"), "200 /a");
  EXPECT_EQ(got("/b"), "200 /b");
  server.on_request({});
  for (const char* target : {"/c", "/d", "/e"}) {
    get(target);
    ASSERT_TRUE(run_until([&] { return server.line_with(target) != nullptr; }));
  }
  EXPECT_EQ(server.log(), "0:/fill0 1:/fill1 2:/fill2 2:/a 2:/b 2:/c 1:/d 0:/e");
  EXPECT_EQ(now(), "3 0 0");
}

TEST_P(AgentPoolTest, OrTheOneThatWasIdleLongest) {
  RULES("4.7.2.10");
  NODE_TEST("http-agent-scheduling");
  use({.scheduling = Scheduling::fifo});
  Peer& server = serve();
  fill_pool(3);
  for (const char* target : {"/a", "/b", "/c", "/d"}) ASSERT_FALSE(got(target).empty());
  EXPECT_EQ(server.log(), "0:/fill0 1:/fill1 2:/fill2 0:/a 1:/b 2:/c 0:/d");
}

TEST_P(AgentPoolTest, RequestsWaitInOrder) {
  RULES("4.7.2.2 4.7.2.3 4.7.2.4 4.7.3.1");
  NODE_TEST("http-agent-maxsockets http-client-race http-request-agent");
  use({.max_sockets = 1});
  Peer& server = serve();
  for (const char* target : {"/0", "/1", "/2", "/3"}) get(target);
  EXPECT_EQ(now(), "1 0 3");
  for (std::size_t i = 0; i < 4; ++i) {
    const std::string target = "/" + std::to_string(i);
    ASSERT_TRUE(run_until_requests(server, i + 1));
    Asked& asked = asker().all()[i];
    EXPECT_EQ(asked.sockets, 1);
    EXPECT_EQ(asked.reused, i != 0);
    if (i != 3) {
      const Asked& next = asker().all()[i + 1];
      EXPECT_EQ(next.sockets, 0);
      EXPECT_EQ(next.request().socket(), nullptr);
      EXPECT_FALSE(next.request().reused_socket());
    }
    EXPECT_EQ(stats().waiting, 3 - i);
    EXPECT_EQ(server.requests(), i + 1) << "nothing is pipelined";
    server.answer(target);
  }
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/0 0:/1 0:/2 0:/3");
  EXPECT_EQ(now(), "1 1 0");
}

TEST_P(AgentPoolTest, TwentyAtOnceMakeFiveConnections) {
  RULES("4.7.2.12 4.7.7.6 4.7.10.2");
  NODE_TEST("http-max-sockets http-keepalive-maxsockets http-agent-maxsockets-respected "
            "http-client-agent");
  use({.max_sockets = 5});
  Peer& server = serve_all();
  for (int i = 0; i < 20; ++i) get("/" + std::to_string(i));
  EXPECT_EQ(now(), "5 0 15");
  ASSERT_TRUE(run_until_all_over());
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(asker().all()[static_cast<std::size_t>(i)].outcome(), "200 /" + std::to_string(i));
  }
  EXPECT_EQ(server.accepted(), 5U);
  EXPECT_EQ(server.requests(), 20U);
  EXPECT_EQ(now(), "5 5 0");
  EXPECT_EQ(stats().connections, 5U);
  EXPECT_EQ(stats().requests, 20U);
  EXPECT_EQ(stats().reused, 15U);
}

TEST_P(AgentPoolTest, WithoutALimitEachHasItsOwn) {
  RULES("4.7.2.2");
  NODE_TEST("http-get-pipeline-problem");
  Peer& server = serve();
  const std::string image(20000, 'i');
  server.on_request([&](Peer::Line& line, std::string_view request) {
    line.send(reply(target_of(request) + image));
  });
  for (int i = 0; i < 30; ++i) get("/" + std::to_string(i));
  EXPECT_EQ(now(), "30 0 0");
  ASSERT_TRUE(run_until_all_over());
  for (std::size_t i = 0; i < 30; ++i) {
    EXPECT_EQ(asker().all()[i].body, "/" + std::to_string(i) + image);
  }
  EXPECT_EQ(server.accepted(), 30U);
  EXPECT_EQ(now(), "30 30 0");
}

TEST_P(AgentPoolTest, IdleOnesCountForTheLimit) {
  RULES("4.7.2.2 4.7.2.3");
  use({.max_sockets = 2});
  Peer& server = serve();
  fill_pool(2);
  server.on_request({});
  for (const char* target : {"/a", "/b", "/c"}) get(target);
  EXPECT_EQ(now(), "2 0 1");
  ASSERT_TRUE(run_until_requests(server, 4));
  server.answer("/a");
  ASSERT_TRUE(run_until_requests(server, 5));
  EXPECT_EQ(server.line_with("/c"), server.line_with("/a"));
  EXPECT_EQ(server.accepted(), 2U);
}

// ---- What requests say ----

TEST_P(AgentPoolTest, WithoutKeepAliveTheySayClose) {
  RULES("4.7.5.2 4.7.4.11");
  NODE_TEST("http-keepalive-override");
  use({.keep_alive = false});
  Peer& server = serve_all();
  EXPECT_EQ(got("/a"), "200 /a");
  EXPECT_EQ(got("/b"), "200 /b");
  EXPECT_EQ(server.log(), "0:/a 1:/b");
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(server.line(i).requests[0].ends_with("\r\nConnection: close\r\n\r\n"));
  }
  EXPECT_EQ(now(), "0 0 0");
  EXPECT_TRUE(run_until_open(server, 0));
}

TEST_P(AgentPoolTest, WithALimitTheySayKeepAliveAllTheSame) {
  RULES("4.7.5.1 4.7.3.6 4.7.4.11");
  use({.keep_alive = false, .max_sockets = 1});
  Peer& server = serve_all();
  for (const char* target : {"/a", "/b", "/c"}) get(target);
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/a 0:/b 0:/c") << "given on to the one that waits";
  for (const std::string& request : server.line(0).requests) {
    EXPECT_TRUE(request.ends_with("\r\nConnection: keep-alive\r\n\r\n")) << request;
  }
  EXPECT_EQ(now(), "0 0 0") << "and closed when nobody waits";
  EXPECT_TRUE(run_until_open(server, 0));
}

TEST_P(AgentPoolTest, TheUsersConnectionFieldIsSentAsItIs) {
  RULES("4.7.5.5 4.7.3.4");
  NODE_TEST("http-remove-connection-header-persists-connection");
  Peer& server = serve_all();
  const auto with = [&](std::string_view target, std::string_view value) {
    Asked& asked = ask(server.at(target), [value](ClientRequest& request) {
      EXPECT_TRUE(request.set_header("Connection", value).has_value());
    });
    EXPECT_TRUE(run_until_over(asked));
    return server.line_with(target)->requests.back();
  };
  EXPECT_NE(with("/a", "Keep-Alive").find("\r\nConnection: Keep-Alive\r\n"), std::string::npos);
  EXPECT_NE(with("/b", "close").find("\r\nConnection: close\r\n"), std::string::npos);
  EXPECT_EQ(now(), "0 0 0");
  EXPECT_EQ(got("/c"), "200 /c");
  EXPECT_EQ(server.log(), "0:/a 0:/b 1:/c");
}

TEST_P(AgentPoolTest, AConnectionOfItsOwn) {
  RULES("4.7.5.3 4.7.5.4");
  NODE_TEST("http-agent-false http-client-abort-no-agent");
  use({.max_sockets = 1, .max_total_sockets = 1});
  Peer& server = serve();
  fill_pool(1);
  server.on_request({});
  RequestOptions own = server.at("/own");
  own.own_connection = true;
  Asked& asked = ask(own);
  EXPECT_EQ(now(), "2 1 0");
  ASSERT_TRUE(run_until_requests(server, 2));
  EXPECT_FALSE(asked.reused);
  get("/pooled");
  get("/waits");
  own.target = "/own too";
  EXPECT_EQ(ask(own).refused, Mistake::unescaped_characters);
  own.target = "/own-too";
  Asked& other = ask(own);
  EXPECT_EQ(now(), "3 0 1");
  ASSERT_TRUE(run_until_requests(server, 4));
  server.answer("/own");
  ASSERT_TRUE(run_until_over(asked));
  EXPECT_EQ(now(), "2 0 1") << "its connection goes to nobody, and makes room for nobody";
  server.answer("/own-too");
  ASSERT_TRUE(run_until_over(other));
  server.answer("/pooled");
  ASSERT_TRUE(run_until_requests(server, 5));
  server.answer("/waits");
  ASSERT_TRUE(run_until_all_over());
  ASSERT_TRUE(run_until_open(server, 1));
  EXPECT_TRUE(server.line_with("/own")->requests[0].ends_with("\r\nConnection: close\r\n\r\n"));
  EXPECT_EQ(server.line_with("/waits"), server.line_with("/fill0"));
  EXPECT_EQ(server.accepted(), 3U);
}

WEIR_ON_ALL_BACKENDS(AgentPoolTest);

// ---- What the kernel is told ----

class AgentSocketTest : public AgentTest {
 protected:
  int option(int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    const int fd = asker().all().back().request().socket()->native_handle();
    EXPECT_EQ(getsockopt(fd, level, name, &value, &size), 0);
    return value;
  }
};

TEST_P(AgentSocketTest, NoDelayAndKeepAliveByDefault) {
  RULES("4.7.1.3");
  NODE_TEST("http-agent-keepalive-delay http-nodelay");
  Peer& server = serve();
  get("/");
  ASSERT_TRUE(run_until_requests(server, 1));
  EXPECT_EQ(option(IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 1);
}

TEST_P(AgentSocketTest, OrAsTheOptionsSay) {
  RULES("4.7.1.3");
  AgentOptions options;
  options.socket = {.keep_alive = true, .keep_alive_delay = 77s};
  use(options);
  Peer& server = serve();
  get("/");
  ASSERT_TRUE(run_until_requests(server, 1));
  EXPECT_EQ(option(IPPROTO_TCP, TCP_NODELAY), 0);
  EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 77);
}

WEIR_ON_KERNEL_BACKENDS(AgentSocketTest);

}  // namespace
}  // namespace weir::test
