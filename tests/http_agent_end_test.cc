// The contract, section 4.7: the end of an agent, and its statistics.
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/http_agent_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class AgentEndTest : public AgentTest {};

// ---- destroy() ----

TEST_P(AgentEndTest, DestroyEndsWhatIsThere) {
  RULES("4.7.9.1 4.7.9.2");
  NODE_TEST("http-agent-close http-client-abort");
  use({.max_sockets = 1});
  Peer& server = serve();
  Peer& other = serve_all();
  EXPECT_EQ(outcome_of(other.at("/idle")), "200 /idle");
  Asked& busy = get("/busy");
  Asked& waits = get("/waits");
  ASSERT_TRUE(run_until_requests(server, 1));
  Peer& third = serve();
  Asked& begun = ask(third.at("/begun"));
  ASSERT_TRUE(run_until_requests(third, 1));
  third.line(0).send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  ASSERT_TRUE(run_until([&] { return begun.body == "half"; }));
  EXPECT_EQ(now(), "3 1 1");
  agent().destroy();
  EXPECT_EQ(busy.events + waits.events, "") << "not inside the call";
  EXPECT_EQ(stats().idle, 0U);
  EXPECT_EQ(stats().waiting, 0U);
  ASSERT_TRUE(run_until_all_over());
  for (const Asked* asked : {&busy, &waits}) {
    EXPECT_EQ(asked->events, "error close ");
    EXPECT_EQ(asked->outcome(), "ECONNRESET");
  }
  EXPECT_EQ(begun.events, "response aborted close ");
  EXPECT_EQ(begun.outcome(), "200 half ECONNRESET");
  EXPECT_EQ(asker().all()[0].events, "response end close ");
  EXPECT_EQ(now(), "0 0 0");
  ASSERT_TRUE(run_until([&] { return server.open() + other.open() + third.open() == 0; }));
  EXPECT_EQ(server.log(), "0:/busy");
}

TEST_P(AgentEndTest, AfterDestroyItGoesOn) {
  RULES("4.7.9.3");
  NODE_TEST("http-agent-close");
  use({.max_sockets = 1});
  Peer& server = serve();
  get("/old0");
  get("/old1");
  ASSERT_TRUE(run_until_requests(server, 1));
  server.answer_all();
  agent().destroy();
  Asked& next = get("/new");
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(next.outcome(), "200 /new");
  EXPECT_EQ(server.log(), "0:/old0 1:/new");
  EXPECT_EQ(now(), "1 1 0");
  agent().destroy();
  agent().destroy();
  EXPECT_EQ(now(), "0 0 0");
  EXPECT_EQ(got("/newer"), "200 /newer");
}

TEST_P(AgentEndTest, AlsoInTheListenersOfWhatItHasEnded) {
  RULES("4.7.9.3");
  for (const bool in_close : {false, true}) {
    use({.max_sockets = 1});
    peers_.clear();
    Peer& server = serve();
    for (int i = 0; i < 3; ++i) {
      Asked& old = get("/old");
      const auto again = [&](ClientRequest&) { ask(server.at("/new")); };
      if (in_close) {
        old.request().on_close(again);
      } else {
        old.request().on_error([again](ClientRequest& request, const Error&) { again(request); });
      }
    }
    ASSERT_TRUE(run_until_requests(server, 1));
    server.answer_all();
    agent().destroy();
    ASSERT_TRUE(run_until_all_over());
    ASSERT_EQ(asker().all().size(), 6U);
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(asker().all()[i].outcome(), i < 3 ? "ECONNRESET" : "200 /new");
    }
    EXPECT_EQ(server.log(), "0:/old 1:/new 1:/new 1:/new");
  }
}

TEST_P(AgentEndTest, DestroyInAListener) {
  RULES("4.7.9.1 4.7.9.2");
  use({.max_sockets = 1});
  Peer& server = serve_all();
  Asked& first = get("/0");
  Asked& second = get("/1");
  first.request().on_response([&](ClientResponse&) { agent().destroy(); });
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(first.events, "response aborted close ");
  EXPECT_EQ(second.events, "error close ");
  EXPECT_EQ(now(), "0 0 0");
  ASSERT_TRUE(run_until_open(server, 0));
}

// ---- The agent goes ----

// An agent with an idle connection, a request that waits, and one that meets everything that can
// be told; all listeners are told, until one of them destroys the agent.
class AgentGoesTest : public AgentTest {
 protected:
  void hit(std::string_view event) {
    EXPECT_FALSE(gone_) << event << " was told after " << at_;
    if (event != at_ || gone_) return;
    gone_ = true;
    agent_.reset();
  }

  void watch(ClientRequest& request) {
    request.on_socket([this](ClientRequest&, Socket&) { hit("socket"); });
    request.on_finish([this](ClientRequest&) { hit("finish"); });
    request.on_drain([this](ClientRequest& drained) {
      hit("drain");
      if (gone_) return;
      drained.end(std::string_view("last"),
                  [this](ClientRequest&, std::error_code) { hit("last done"); });
    });
    request.on_continue([this](ClientRequest&) { hit("continue"); });
    request.on_information(
        [this](ClientRequest&, const http::ReceivedHead&) { hit("information"); });
    request.on_timeout([this](ClientRequest&) { hit("timeout"); });
    request.on_error([this](ClientRequest&, const Error&) { hit("error"); });
    request.on_close([this](ClientRequest&) { hit("close"); });
    request.on_upgrade([this](http::ClientUpgrade&) { hit("upgrade"); });
    request.on_connect([this](http::ClientUpgrade&) { hit("connect"); });
    request.on_response([this](ClientResponse& response) {
      response.on_data([this](ClientResponse&, Buffer) { hit("data"); });
      response.on_end([this](ClientResponse&) { hit("end"); });
      response.on_aborted([this](ClientResponse&) { hit("aborted"); });
      response.on_error([this](ClientResponse&, const Error&) { hit("response error"); });
      response.on_close([this](ClientResponse&) { hit("response close"); });
      hit("response");
    });
    // A second listener of the same event is not told either.
    request.on_close([this](ClientRequest&) { hit("second close"); });
    request.on_response([this](ClientResponse&) { hit("second response"); });
  }

  void write(ClientRequest& request) {
    const auto done = [this](ClientRequest&, std::error_code) { hit("done"); };
    request.write(std::string(64, 'b'), done);
    EXPECT_EQ(request.write(std::string(64, 'b'), done), net::Write::full);
  }

  // Runs the scenario in which `event` is told, and destroys the agent then.
  void destroy_at(std::string_view event, std::string_view target,
                  std::string_view method = "PUT") {
    SCOPED_TRACE(event);
    at_ = event;
    gone_ = false;
    peers_.clear();
    Peer& server = serve();
    Peer& other = serve_all();
    server.on_request([](Peer::Line& line, std::string_view request) { play(line, request); });
    AgentOptions options;
    options.max_sockets = 1;
    options.socket.queue = {.high_water = 100, .low_water = 10};
    agent_ = std::make_unique<http::Agent>(reactor(), options);
    bool idle = false;
    const auto made = agent_->get(other.at("/idle"), [&](ClientResponse& response) {
      response.on_end([&](ClientResponse&) { idle = true; });
      response.resume();
    });
    ASSERT_TRUE(made.has_value());
    ASSERT_TRUE(run_until([&] { return idle; }));
    RequestOptions wanted = server.at(target);
    wanted.method = method;
    wanted.timeout = event == "timeout" ? 10ms : 0ms;
    const auto request = agent_->request(wanted);
    ASSERT_TRUE(request.has_value());
    watch(**request);
    const http::ClientRequestRef ref = (*request)->weak();
    if (target == "/upgrade") {
      EXPECT_TRUE((*request)->set_header("Upgrade", "own").has_value());
      EXPECT_TRUE((*request)->set_header("Connection", "Upgrade").has_value());
    }
    if (method == "PUT") {
      write(**request);
    } else {
      (*request)->end();
    }
    const auto waits = agent_->get(server.at("/waits"));
    ASSERT_TRUE(waits.has_value());
    (*waits)->on_error([this](ClientRequest&, const Error&) { hit("error of another one"); });
    (*waits)->on_close([this](ClientRequest&) { hit("close of another one"); });
    ASSERT_TRUE(run_until([&] { return gone_; }));
    ASSERT_TRUE(run_until([&] { return server.open() + other.open() == 0; }));
    run_for(5ms);
    EXPECT_EQ(ref.get(), nullptr);
  }

  static void play(Peer::Line& line, std::string_view request) {
    const std::string target = target_of(request);
    if (target == "/reset") return line.reset();
    if (target == "/silent" || target == "/waits") return;
    if (target == "/cut") {
      line.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
      return line.end();
    }
    if (target == "/upgrade") {
      return line.send(
          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: own\r\nConnection: Upgrade\r\n\r\n");
    }
    if (target.starts_with("tunnel")) return line.send("HTTP/1.1 200 OK\r\n\r\n");
    line.send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + reply("body"));
  }

  std::unique_ptr<http::Agent> agent_;
  std::string_view at_;
  bool gone_ = false;
};

TEST_P(AgentGoesTest, InAnyListenerOfAnOrdinaryRequest) {
  RULES("4.7.9.4 4.7.9.5");
  for (const std::string_view event :
       {"socket", "finish", "drain", "done", "last done", "information", "continue", "response",
        "data", "end", "response close", "close"}) {
    destroy_at(event, "/");
  }
}

TEST_P(AgentGoesTest, InAnyListenerOfOneThatFails) {
  RULES("4.7.9.4");
  for (const std::string_view event : {"error", "close"}) destroy_at(event, "/reset");
  for (const std::string_view event : {"aborted", "response error", "response close", "close"}) {
    destroy_at(event, "/cut");
  }
  destroy_at("timeout", "/silent");
}

TEST_P(AgentGoesTest, InAnUpgrade) {
  RULES("4.7.9.4");
  destroy_at("upgrade", "/upgrade", "GET");
  destroy_at("connect", "tunnel.example:1", "CONNECT");
}

TEST_P(AgentGoesTest, WithoutAListenerAtAnyTurn) {
  RULES("4.7.9.4 4.7.9.5");
  for (int turns = 0; turns < 40; ++turns) {
    Peer& server = serve_all();
    use({.max_sockets = 2});
    for (int i = 0; i < 10; ++i) ask(server.at("/x"));
    const http::ClientRequestRef ref = asker().all().back().ref;
    for (int i = 0; i < turns; ++i) reactor().run_once(reactor().now());
    asker().destroy_agent();
    std::vector<std::string> events;
    for (const Asked& asked : asker().all()) events.push_back(asked.events);
    ASSERT_TRUE(run_until_open(server, 0));
    run_for(2ms);
    for (std::size_t i = 0; i < events.size(); ++i) EXPECT_EQ(asker().all()[i].events, events[i]);
    EXPECT_EQ(ref.get(), nullptr);
    peers_.clear();
  }
}

TEST_P(AgentGoesTest, InTheConnectionsOfAnotherOne) {
  RULES("4.7.9.4");
  use({.max_sockets = 1});
  Peer& server = serve_all();
  Peer& other = serve();
  const auto doomed = std::make_unique<Asker>(reactor());
  Asked& never = doomed->ask(other.at("/x"));
  ASSERT_TRUE(run_until_requests(other, 1));
  Asked& asked = get("/a");
  asked.request().on_response([&](ClientResponse&) { doomed->destroy_agent(); });
  ASSERT_TRUE(run_until_all_over());
  ASSERT_TRUE(run_until_open(other, 0));
  EXPECT_EQ(asked.outcome(), "200 /a");
  EXPECT_EQ(never.events, "");
  EXPECT_EQ(server.open(), 1U);
}

// It goes with the memory of the first one's listeners, before anybody hears of the second one.
TEST_P(AgentGoesTest, WithTheListenerThatHoldsIt) {
  RULES("4.7.9.4");
  Peer& server = serve_all();
  auto agent = std::make_shared<http::Agent>(reactor(), AgentOptions{.max_sockets = 1});
  const std::weak_ptr<http::Agent> there = agent;
  std::string told;
  const auto first = agent->get(server.at(), [&](ClientResponse& response) {
    told += "response ";
    response.resume();
  });
  ASSERT_TRUE(first.has_value());
  const auto second = agent->get(server.at());
  ASSERT_TRUE(second.has_value());
  (*second)->on_error([&](ClientRequest&, const Error&) { told += "another's error "; });
  (*second)->on_close([&](ClientRequest&) { told += "another's close "; });
  (*first)->on_close([&, held = std::move(agent)](ClientRequest&) { told += "close "; });
  ASSERT_TRUE(run_until([&] { return there.expired(); }));
  ASSERT_TRUE(run_until_open(server, 0));
  EXPECT_EQ(told, "response close ");
}

// ---- Statistics ----

TEST_P(AgentEndTest, StatisticsAreExactAtEachMoment) {
  RULES("4.7.10.1 4.7.10.2");
  NODE_TEST("http-keepalive-free");
  use({.max_sockets = 1});
  Peer& server = serve_all();
  std::string seen;
  const auto note = [&](std::string_view what) {
    seen += std::string(what) + " " + now() + "; ";
  };
  for (int i = 0; i < 2; ++i) {
    ask(server.at("/" + std::to_string(i)), [&](ClientRequest& request) {
      request.on_socket([&](ClientRequest&, Socket&) { note("socket"); });
      request.on_response([&](ClientResponse& response) {
        note("response");
        response.on_end([&](ClientResponse&) { note("end"); });
        response.on_close([&](ClientResponse&) { note("closed"); });
      });
      request.on_close([&](ClientRequest&) { note("close"); });
    });
    note("asked");
  }
  ASSERT_TRUE(run_until_all_over());
  EXPECT_TRUE(seen.starts_with("asked 1 0 0; asked 1 0 1; socket 1 0 1; response 1 0 1; "
                               "end 1 0 0; closed 1 0 0; "))
      << seen;
  EXPECT_TRUE(seen.ends_with("socket 1 0 0; response 1 0 0; end 1 1 0; closed 1 1 0; "
                             "close 1 1 0; "))
      << seen;
}

TEST_P(AgentEndTest, AlsoWhenThingsFail) {
  RULES("4.7.10.1");
  use({.max_sockets = 1});
  Peer& server = serve();
  server.on_request([](Peer::Line& line, std::string_view request) {
    if (target_of(request) == "/reset") return line.reset();
    line.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    line.end();
  });
  std::string seen;
  for (const char* target : {"/reset", "/cut"}) {
    Asked& asked = get(target);
    asked.request().on_error([&](ClientRequest&, const Error&) { seen += "error " + now(); });
    asked.request().on_response([&](ClientResponse& response) {
      response.on_aborted([&](ClientResponse&) { seen += "aborted " + now(); });
    });
    ASSERT_TRUE(run_until_over(asked));
    seen += ", after " + now() + "; ";
  }
  EXPECT_EQ(seen, "error 0 0 0, after 0 0 0; aborted 0 0 0, after 0 0 0; ");
  EXPECT_EQ(stats().requests, 2U);
  EXPECT_EQ(stats().connections, 2U);
  EXPECT_EQ(stats().reused, 0U);
}

WEIR_ON_ALL_BACKENDS(AgentEndTest);
WEIR_ON_ALL_BACKENDS(AgentGoesTest);

}  // namespace
}  // namespace weir::test
