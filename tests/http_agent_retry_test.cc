// The contract, section 4.7: a request that meets the end of a connection which had been used.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_agent_world.h"
#include "tests/random.h"
#include "weir/reactor/sim_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

enum class Ending { fin, destroy, reset };

class AgentRetryTest : public AgentTest {
 protected:
  // A connection that was used once, and ends so when its next request is there. Later ones answer,
  // unless `all_end`.
  Peer& serve_ending(Ending ending, bool all_end = false) {
    Peer& server = serve();
    server.on_request([ending, all_end](Peer::Line& line, std::string_view request) {
      const std::string target = target_of(request);
      const bool ends = target != "/first" && (line.index == 0 || all_end);
      if (!ends) return line.send(reply(target));
      switch (ending) {
        case Ending::fin: return line.end();
        case Ending::destroy: return line.destroy();
        case Ending::reset: return line.reset();
      }
    });
    EXPECT_EQ(got("/first"), "200 /first");
    EXPECT_EQ(now(), "1 1 0");
    return server;
  }
  Asked& finish(Asked& asked) {
    EXPECT_TRUE(run_until_over(asked));
    return asked;
  }
  // That it was sent twice, and answered.
  static void expect_repeated(Peer& server) {
    ASSERT_EQ(server.accepted(), 2U);
    ASSERT_EQ(server.line(0).requests.size(), 2U);
    ASSERT_EQ(server.line(1).requests.size(), 1U);
    EXPECT_EQ(server.line(0).requests[1], server.line(1).requests[0]);
  }
};

TEST_P(AgentRetryTest, IdempotentMethodsGoToANewConnection) {
  RULES("4.7.6.1 4.7.6.2 4.7.6.10 4.7.10.2");
  NODE_TEST("http-agent-keepalive");
  for (const std::string_view method : {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"}) {
    for (const Ending ending : {Ending::fin, Ending::destroy, Ending::reset}) {
      SCOPED_TRACE(method);
      use();
      peers_.clear();
      Peer& server = serve_ending(ending);
      Asked& asked = send(method, "/again");
      EXPECT_TRUE(asked.request().reused_socket());
      finish(asked);
      EXPECT_EQ(asked.status, 200);
      EXPECT_FALSE(asked.error.code);
      EXPECT_EQ(asked.responses, 1);
      EXPECT_EQ(asked.closes, 1);
      EXPECT_EQ(asked.finishes, 1);
      EXPECT_FALSE(asked.reused) << "the last connection is new";
      expect_repeated(server);
      EXPECT_EQ(stats().retried, 1U);
      EXPECT_EQ(stats().reused, 1U);
      EXPECT_EQ(stats().connections, 2U);
      EXPECT_EQ(stats().requests, 2U);
    }
  }
}

TEST_P(AgentRetryTest, OthersGetTheError) {
  RULES("4.7.6.4");
  for (const std::string_view method : {"POST", "PATCH", "PROPFIND"}) {
    for (const Ending ending : {Ending::fin, Ending::destroy, Ending::reset}) {
      SCOPED_TRACE(method);
      use();
      peers_.clear();
      Peer& server = serve_ending(ending);
      Asked& asked = finish(send(method, "/once", "body"));
      EXPECT_EQ(asked.outcome(), "ECONNRESET");
      EXPECT_EQ(asked.events, "error close ");
      EXPECT_TRUE(asked.reused);
      EXPECT_EQ(server.log(), "0:/first 0:/once");
      EXPECT_EQ(stats().retried, 0U);
      EXPECT_EQ(now(), "0 0 0");
    }
  }
}

TEST_P(AgentRetryTest, NoneWhenItIsOff) {
  RULES("4.7.6.5");
  use({.retry = false});
  Peer& server = serve_ending(Ending::reset);
  Asked& asked = finish(get("/once"));
  EXPECT_EQ(asked.outcome(), "ECONNRESET");
  EXPECT_TRUE(asked.reused);
  EXPECT_EQ(server.log(), "0:/first 0:/once");
}

TEST_P(AgentRetryTest, OnlyOnce) {
  RULES("4.7.6.6");
  for (const Ending ending : {Ending::fin, Ending::reset}) {
    use();
    peers_.clear();
    Peer& server = serve_ending(ending, true);
    Asked& asked = finish(get("/again"));
    EXPECT_EQ(asked.outcome(), "ECONNRESET");
    EXPECT_EQ(asked.events, "error close ");
    EXPECT_FALSE(asked.reused);
    EXPECT_EQ(server.log(), "0:/first 0:/again 1:/again");
    EXPECT_EQ(stats().retried, 1U);
    EXPECT_EQ(now(), "0 0 0");
  }
}

TEST_P(AgentRetryTest, NotToAnotherIdleOne) {
  RULES("4.7.6.6 4.7.6.1");
  Peer& server = serve();
  for (int i = 0; i < 3; ++i) get("/fill");
  ASSERT_TRUE(run_until_requests(server, 3));
  for (Peer::Line& line : server.lines()) line.send(reply("/fill"));
  ASSERT_TRUE(run_until_stats("3 3 0"));
  server.on_request([](Peer::Line& line, std::string_view request) {
    if (line.index < 3) return line.reset();
    line.send(reply(target_of(request)));
  });
  EXPECT_EQ(got("/again"), "200 /again") << "the other two may be gone as well";
  EXPECT_EQ(server.accepted(), 4U);
}

TEST_P(AgentRetryTest, NotAfterAByteOfAnAnswer) {
  RULES("4.7.6.7");
  for (const std::string_view bytes : {"H", "HTTP/1.1 100 Continue\r\n\r\n"}) {
    use();
    peers_.clear();
    Peer& server = serve_all();
    EXPECT_EQ(got("/first"), "200 /first");
    server.on_request([bytes](Peer::Line& line, std::string_view) {
      line.send(bytes);
      line.end();
    });
    Asked& asked = finish(get("/once"));
    EXPECT_EQ(asked.events, "error close ");
    EXPECT_EQ(asked.outcome(), "ECONNRESET");
    EXPECT_EQ(server.log(), "0:/first 0:/once");
  }
}

TEST_P(AgentRetryTest, NotOnANewConnection) {
  RULES("4.7.6.8");
  NODE_TEST("http-conn-reset");
  for (const bool reset : {false, true}) {
    use();
    peers_.clear();
    Peer& server = serve();
    server.on_request([reset](Peer::Line& line, std::string_view) {
      if (reset) return line.reset();
      line.end();
    });
    Asked& asked = finish(get("/once"));
    EXPECT_EQ(asked.outcome(), "ECONNRESET");
    EXPECT_FALSE(asked.reused);
    EXPECT_EQ(server.log(), "0:/once");
  }
}

TEST_P(AgentRetryTest, WithItsBody) {
  RULES("4.7.6.2");
  Peer& server = serve_ending(Ending::reset);
  std::string body(50000, '?');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  EXPECT_EQ(finish(send("PUT", "/again", body)).outcome(), "200 /again");
  expect_repeated(server);
  EXPECT_TRUE(server.line(1).requests[0].ends_with("\r\n\r\n" + body));
}

TEST_P(AgentRetryTest, HeadAndBodyUpTo64KiB) {
  RULES("4.7.6.2 4.7.6.3");
  Peer& server = serve_ending(Ending::reset);
  EXPECT_EQ(finish(send("PUT", "/again", std::string(60000, 'b'))).outcome(), "200 /again");
  const std::size_t head = server.line(1).requests[0].size() - 60000;
  for (const bool too_large : {false, true}) {
    use();
    peers_.clear();
    Peer& next = serve_ending(Ending::reset);
    const std::size_t size = http::limits::kReplayBytesMax - head + (too_large ? 1 : 0);
    Asked& asked = finish(send("PUT", "/again", std::string(size, 'b')));
    EXPECT_EQ(next.line(0).requests[1].size(), head + size);
    EXPECT_EQ(asked.outcome(), too_large ? "ECONNRESET" : "200 /again");
    EXPECT_EQ(asked.reused, too_large);
    EXPECT_EQ(next.accepted(), too_large ? 1U : 2U);
  }
}

TEST_P(AgentRetryTest, AsManyFilesAsAConnectionTakes) {
  RULES("4.7.6.2 4.7.6.3");
  const std::string path = socket_path();
  std::ofstream(path) << "0123456789";
  auto file = SharedFile::adopt(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(file.has_value());
  for (const bool too_many : {false, true}) {
    use();
    peers_.clear();
    Peer& server = serve_ending(Ending::fin);
    const std::size_t count = net::limits::kQueuedFilesMax + (too_many ? 1 : 0);
    std::size_t sent = 0;
    const auto go_on = [&](ClientRequest& request) {
      for (; sent < count; ++sent) {
        const net::Write written =
            request.send_file({.file = file->share(), .offset = sent % 10, .size = 1});
        if (written == net::Write::refused) return;
      }
      if (!request.writable_ended()) request.end();
    };
    RequestOptions put = server.at("/again");
    put.method = "PUT";
    Asked& asked = ask(
        put,
        [&](ClientRequest& request) {
          request.set_header("Content-Length", std::to_string(count));
          request.on_drain(go_on);
          go_on(request);
        },
        false);
    finish(asked);
    EXPECT_EQ(asked.outcome(), too_many ? "ECONNRESET" : "200 /again");
    EXPECT_EQ(stats().retried, too_many ? 0U : 1U);
    if (!too_many) expect_repeated(server);
  }
}

TEST_P(AgentRetryTest, OneThatIsStillWritten) {
  RULES("4.7.6.9 4.7.6.2");
  Peer& server = serve_all();
  EXPECT_EQ(got("/first"), "200 /first");
  RequestOptions put = server.at("/again");
  put.method = "PUT";
  std::string done;
  Asked& asked = ask(
      put,
      [&](ClientRequest& request) {
        request.write("one ", [&](ClientRequest&, std::error_code code) {
          done += code ? "bad " : "one ";
        });
      },
      false);
  ASSERT_TRUE(run_until([&] { return server.line(0).received.ends_with("one \r\n"); }));
  server.line(0).reset();
  ASSERT_TRUE(run_until(
      [&] { return server.accepted() == 2 && server.line(1).received.ends_with("one \r\n"); }));
  asked.request().end("two", [&](ClientRequest&, std::error_code code) {
    done += code ? "bad" : "two";
  });
  EXPECT_EQ(finish(asked).outcome(), "200 /again");
  EXPECT_TRUE(server.line(1).requests[0].ends_with("\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"))
      << server.line(1).requests[0];
  EXPECT_EQ(done, "one two");
}

TEST_P(AgentRetryTest, NotOneThatTheUserHasDestroyed) {
  RULES("4.7.6.11");
  Peer& server = serve_all();
  EXPECT_EQ(got("/first"), "200 /first");
  server.on_request([this](Peer::Line& line, std::string_view) {
    asker().all().back().request().destroy();
    line.reset();
  });
  Asked& asked = finish(get("/once"));
  EXPECT_EQ(asked.events, "error close ");
  EXPECT_EQ(asked.outcome(), "ECONNRESET");
  run_for(10ms);
  EXPECT_EQ(server.log(), "0:/first 0:/once");
}

TEST_P(AgentRetryTest, ItKeepsItsPlaceBeforeThoseThatWait) {
  RULES("4.7.2.3 4.7.6.1");
  use({.max_sockets = 1});
  Peer& server = serve_ending(Ending::reset);
  for (const char* target : {"/0", "/1", "/2"}) get(target);
  ASSERT_TRUE(run_until_all_over());
  EXPECT_EQ(server.log(), "0:/first 0:/0 1:/0 1:/1 1:/2");
  EXPECT_EQ(stats().retried, 1U);
}

TEST_P(AgentRetryTest, ANewConnectionThatIsRefusedIsItsEnd) {
  RULES("4.7.6.6");
  Peer& server = serve_all();
  EXPECT_EQ(got("/first"), "200 /first");
  RequestOptions options = server.at("/again");
  bool gone = false;
  server.on_request([&](Peer::Line&, std::string_view) { gone = true; });
  Asked& asked = ask(options);
  ASSERT_TRUE(run_until([&] { return gone; }));
  peers_.clear();  // its connections and its listener
  finish(asked);
  EXPECT_EQ(asked.events, "error close ");
  EXPECT_TRUE(asked.outcome() == "ECONNREFUSED" || asked.outcome() == "ECONNRESET")
      << asked.outcome();
}

WEIR_ON_ALL_BACKENDS(AgentRetryTest);

// ---- Races that are lost ----

struct ServerProgram final : sim::Program {
  explicit ServerProgram(Reactor& reactor) : peer(reactor, {.port = 7, .host = "::"}) {}
  Peer peer;
};

struct ClientProgram final : sim::Program {
  ClientProgram(Reactor& reactor, AgentOptions options) : asker(reactor, std::move(options)) {}
  Asker asker;
};

// Two machines, some time apart. The server closes each connection after some requests, at some
// time, and says nothing before.
class ClosingWorld {
 public:
  explicit ClosingWorld(Random& random) : random_(random), world_({.seed = random.below(1 << 20)}) {
    world_.add_host("a");
    world_.add_host("b");
    world_.set_link(a(), b(), {.latency = std::chrono::microseconds(1 + random.below(5000))});
    a().start([this](Reactor& reactor) {
      auto made = std::make_unique<ServerProgram>(reactor);
      server_ = &made->peer;
      return made;
    });
    b().start([this](Reactor& reactor) {
      auto made = std::make_unique<ClientProgram>(
          reactor, AgentOptions{.max_sockets = 1 + random_.below(6)});
      asker_ = &made->asker;
      return made;
    });
    host_ = a().ipv4().host();
    server_->on_request([this](Peer::Line& line, std::string_view request) {
      take(line, request);
    });
  }
  ~ClosingWorld() { timers_.clear(); }

  // So many GETs, from a few chains of them.
  void run(int requests) {
    left_ = requests;
    for (int i = 0; i < 6; ++i) ask_next();
    const bool all = world_.run_until(
        [&] { return left_ == 0 && asker_->all_over(); }, std::chrono::hours(10));
    EXPECT_TRUE(all);
    for (const Asked& asked : asker_->all()) EXPECT_EQ(asked.outcome(), "200 /get");
    EXPECT_EQ(asker_->all().size(), static_cast<std::size_t>(requests));
    EXPECT_EQ(asker_->agent().stats().requests, static_cast<std::size_t>(requests));
  }
  std::uint64_t retried() { return asker_->agent().stats().retried; }

 private:
  sim::Host& a() { return world_.host("a"); }
  sim::Host& b() { return world_.host("b"); }

  void ask_next() {
    if (left_ == 0) return;
    --left_;
    RequestOptions options;
    options.host = host_;
    options.port = 7;
    options.target = "/get";
    asker_->ask(options, [this](ClientRequest& request) {
      request.on_close([this](ClientRequest&) {
        const auto pause = std::chrono::microseconds(random_.below(2) * random_.below(20000));
        timers_.push_back(b().reactor().after(pause, [this] { ask_next(); }));
      });
    });
  }

  // A FIN may follow at once. A reset would take the answer with it, so it comes some time later.
  void take(Peer::Line& line, std::string_view request) {
    if (line.socket == nullptr || line.socket->writable_ended()) return;
    line.send(reply(target_of(request)));
    if (random_.below(4) != 0) return;
    const auto close = [&line, how = random_.below(3)] {
      if (how == 0) return line.end();
      if (how == 1) return line.destroy();
      line.reset();
    };
    if (random_.below(3) == 0) return line.end();
    const auto pause = std::chrono::milliseconds(15 + random_.below(20));
    timers_.push_back(a().reactor().after(pause, close));
  }

  Random& random_;
  sim::World world_;
  Peer* server_ = nullptr;
  Asker* asker_ = nullptr;
  std::string host_;
  std::vector<Timer> timers_;
  int left_ = 0;
};

class VirtualAgentRaceTest : public AgentTest {};

TEST_P(VirtualAgentRaceTest, AServerThatClosesBetweenRequestsLosesNone) {
  RULES("4.7.6.12 4.7.6.1");
  NODE_TEST("http-agent-keepalive");
  std::uint64_t retried = 0;
  for_seeds(20, [&](Random& random) {
    ClosingWorld world(random);
    world.run(1000);
    retried += world.retried();
  });
  EXPECT_GT(retried, 100U) << "races that were lost";
}

WEIR_ON_SIM(VirtualAgentRaceTest);

}  // namespace
}  // namespace weir::test
