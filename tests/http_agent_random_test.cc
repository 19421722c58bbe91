// An agent and three servers that do whatever numbers say, held against a model after each step.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_agent_world.h"
#include "tests/random.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kOrigins = 3;
constexpr Duration kLongest = 20s;  // of a request

// What the test knows of a request besides what it told.
struct Made {
  Asked* asked;
  std::size_t origin;
  bool own;
  bool is_live() const { return !asked->over(); }
  bool has_socket() const { return is_live() && asked->request().socket() != nullptr; }
  bool waits() const { return is_live() && !has_socket(); }
};

class VirtualAgentRandomTest : public AgentTest {
 protected:
  void TearDown() override {
    timers_.clear();
    AgentTest::TearDown();
  }

  void play(Random& random, int steps) {
    begin(random);
    for (int i = 0; i < steps && !HasFailure(); ++i) {
      SCOPED_TRACE("step " + std::to_string(i));
      step(random);
      settle();
      check();
    }
    run_for(kLongest + 1s);
    check();
    check_ends();
    EXPECT_EQ(stats().sockets, stats().idle);
  }

 private:
  void begin(Random& random) {
    timers_.clear();
    made_.clear();
    answered_.clear();
    use({.keep_alive = !random.once_in(5),
         .max_sockets = 1 + random.below(4),
         .max_total_sockets = random.once_in(3) ? SIZE_MAX : 2 + random.below(6),
         .max_free_sockets = random.once_in(3) ? random.below(3) : 256,
         .scheduling = random.once_in(2) ? http::Scheduling::lifo : http::Scheduling::fifo,
         .idle_timeout = random.once_in(4) ? 0s : std::chrono::seconds(1 + random.below(8)),
         .retry = !random.once_in(5)});
    peers_.clear();
    for (std::size_t i = 0; i < kOrigins; ++i) {
      serve().on_request([this, &random](Peer::Line& line, std::string_view request) {
        answer(random, line, target_of(request));
      });
    }
  }

  // Everything that can happen at this time happens.
  void settle() { run_for(1ms); }

  void step(Random& random) {
    switch (random.below(12)) {
      case 0: return abort_one(random);
      case 1: return end_one(random);
      case 2: return run_for(random.up_to(3s));
      case 3: return disturb(random);
      case 4:
        if (random.once_in(20)) return agent().destroy();
        if (random.once_in(5)) return agent().close_idle_connections();
        return run_for(random.up_to(100ms));
      default:
        for (std::size_t i = 1 + random.below(3); i != 0; --i) make(random);
    }
  }

  void make(Random& random) {
    constexpr std::string_view kMethods[] = {"GET", "GET", "PUT", "POST", "DELETE"};
    const std::size_t origin = random.below(kOrigins);
    const std::string target = "/" + std::to_string(made_.size());
    RequestOptions options = peer(origin).at(target);
    options.method = kMethods[random.below(std::size(kMethods))];
    options.own_connection = random.once_in(10);
    options.time_limit = 1s + random.up_to(kLongest - 1s);
    const bool has_body = options.method == "PUT" || options.method == "POST";
    const std::size_t size = has_body ? random.below(3000) : 0;
    const bool ends = !has_body || !random.once_in(4);
    Asked& asked = ask(
        options,
        [&](ClientRequest& request) {
          if (!ends) request.write(std::string(size + 1, 'b'));
          if (ends && size != 0) request.end(std::string(size, 'b'));
        },
        ends);
    made_.push_back({&asked, origin, options.own_connection});
  }

  void abort_one(Random& random) {
    if (made_.empty()) return;
    const Made& chosen = made_[made_.size() - 1 - random.below(std::min(made_.size(), 12UL))];
    if (chosen.is_live()) chosen.asked->request().destroy();
  }
  void end_one(Random& random) {
    if (made_.empty()) return;
    const Made& chosen = made_[made_.size() - 1 - random.below(std::min(made_.size(), 12UL))];
    if (chosen.is_live()) chosen.asked->request().end();
  }

  // Ends a connection, whatever it is doing, or says something that nobody has asked for.
  void disturb(Random& random) {
    Peer& server = peer(random.below(kOrigins));
    std::vector<Peer::Line*> open;
    for (Peer::Line& line : server.lines()) {
      if (line.is_open() && line.socket->writable()) open.push_back(&line);
    }
    if (open.empty()) return;
    Peer::Line& line = *open[random.below(open.size())];
    switch (random.below(4)) {
      case 0: return line.end();
      case 1: return line.destroy();
      case 2: return line.reset();
      default: return line.send("?");
    }
  }

  void say(Peer::Line& line, const std::string& target, std::string_view bytes) {
    if (!line.is_open() || !line.socket->writable()) return;
    answered_.insert(target);
    line.send(bytes);
  }
  void answer_later(Random& random, Peer::Line& line, const std::string& target) {
    const Duration pause = 1ms + random.up_to(4s);
    timers_.push_back(reactor().after(pause, [this, &line, target = std::string(target)] {
      say(line, target, reply(target));
    }));
  }

  void answer(Random& random, Peer::Line& line, const std::string& target) {
    EXPECT_FALSE(answered_.contains(target)) << target << " is sent again, although answered";
    const std::string timeout =
        "Keep-Alive: timeout=" + std::to_string(random.below(5)) + "\r\n";
    switch (random.below(14)) {
      case 0: return;  // never
      case 1: return line.end();
      case 2: return line.reset();
      case 3: return say(line, target, reply(target, "Connection: close\r\n"));
      case 4: return say(line, target, reply(target, timeout));
      case 5: return say(line, target, reply(target) + "more");
      case 6: return say(line, target, "HTTP/1.0 200 OK\r\nContent-Length: " +
                                           std::to_string(target.size()) + "\r\n\r\n" + target);
      case 7:
        say(line, target, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        return line.end();
      case 8:
        say(line, target, "HTTP/1.1 103 Early Hints\r\n\r\n");
        return answer_later(random, line, target);
      case 9:
        say(line, target, reply(target));
        return line.end();
      case 10: return answer_later(random, line, target);
      default: return say(line, target, reply(target));
    }
  }

  // ---- The model ----

  void check() {
    const AgentOptions& options = agent().options();
    std::size_t open = 0;
    std::size_t own = 0;
    std::size_t idle = 0;
    std::size_t waiting = 0;
    std::size_t accepted = 0;
    std::vector<std::size_t> counted(kOrigins);
    std::vector<std::size_t> waiting_at(kOrigins);
    for (std::size_t i = 0; i < kOrigins; ++i) {
      const Peer& server = peer(i);
      std::size_t busy = 0;
      std::size_t own_here = 0;
      for (const Made& made : made_) {
        if (made.origin != i) continue;
        busy += made.has_socket() ? 1 : 0;
        own_here += made.has_socket() && made.own ? 1 : 0;
        waiting_at[i] += made.waits() ? 1 : 0;
      }
      ASSERT_GE(server.open(), busy);
      counted[i] = server.open() - own_here;
      EXPECT_LE(counted[i], options.max_sockets);
      EXPECT_TRUE(waiting_at[i] == 0 || server.open() == busy) << "idle although one waits";
      open += server.open();
      own += own_here;
      idle += server.open() - busy;
      waiting += waiting_at[i];
      accepted += server.accepted();
    }
    EXPECT_LE(open - own, options.max_total_sockets);
    for (std::size_t i = 0; i < kOrigins; ++i) {
      if (waiting_at[i] == 0 || counted[i] == options.max_sockets) continue;
      EXPECT_EQ(open - own, options.max_total_sockets) << "it waits although it need not";
      EXPECT_EQ(idle, 0U);
    }
    const AgentStats stats = agent().stats();
    EXPECT_EQ(stats.sockets, open);
    EXPECT_EQ(stats.idle, idle);
    EXPECT_EQ(stats.waiting, waiting);
    EXPECT_EQ(stats.requests, made_.size());
    EXPECT_EQ(stats.connections, accepted);
    check_counters(stats);
  }

  // Each request that had a connection got a new one or one that was used, and so did those that
  // were sent again, unless they still wait or ended before.
  void check_counters(const AgentStats& stats) {
    std::uint64_t had = 0;
    for (const Made& made : made_) had += made.asked->sockets != 0 ? 1 : 0;
    EXPECT_GE(stats.connections + stats.reused, had);
    EXPECT_LE(stats.connections + stats.reused, had + stats.retried);
    EXPECT_LE(stats.retried, stats.reused);
    EXPECT_TRUE(agent().options().retry || stats.retried == 0);
  }

  void check_ends() {
    for (std::size_t i = 0; i < made_.size(); ++i) {
      const Asked& asked = *made_[i].asked;
      EXPECT_EQ(asked.closes, 1) << i;
      EXPECT_LE(asked.finishes, 1) << i;
      if (asked.events == "response end close ") {
        EXPECT_EQ(asked.outcome(), "200 /" + std::to_string(i));
      } else if (asked.events == "response aborted close ") {
        EXPECT_TRUE(asked.error.code) << i;
      } else {
        EXPECT_EQ(asked.events, "error close ") << i;
      }
    }
  }

  std::vector<Made> made_;
  std::set<std::string> answered_;
  std::vector<Timer> timers_;
};

TEST_P(VirtualAgentRandomTest, WhateverHappensTheModelHolds) {
  RULES("4.7.11.1 4.7.11.2 4.7.7.6 4.7.10.1");
  for_seeds(60, [this](Random& random) { play(random, 300); });
}

WEIR_ON_SIM(VirtualAgentRandomTest);

}  // namespace
}  // namespace weir::test
