// Slow clients of the demo server are cut off in real time: those with their head, their body, and
// nothing at all, all at once.
#include <gtest/gtest.h>
#include <poll.h>

#include <cstdlib>
#include <vector>

#include "tests/http_process.h"

namespace weir::test {
namespace {

struct Slow {
  std::string name;
  double limit;        // seconds until it is cut off, with a second to spare
  std::string answer;  // that it gets then
  RawClient client;
  double cut_at = -1;
  std::string got = {};
};

class HttpSlow : public HttpProcessTest {
 protected:
  void begin(const std::string& name, double limit, const std::string& answer,
             const std::string& bytes) {
    slow_.push_back({name, limit, answer, connect()});
    ASSERT_TRUE(slow_.back().client.send_all(bytes));
  }
  void read(Slow& slow, double now) {
    char room[4096];
    const ssize_t size = recv(slow.client.fd(), room, sizeof room, MSG_DONTWAIT);
    if (size > 0) slow.got.append(room, static_cast<std::size_t>(size));
    if (size == 0) slow.cut_at = now;
    if (size < 0) ADD_FAILURE() << slow.name << " is reset";
  }
  // Until all are cut off. One of them sends a byte of its head each second.
  void run(const Stopwatch& watch, Slow& trickling) {
    double next_byte = 1;
    for (;;) {
      std::vector<pollfd> set;
      double last = 0;
      for (const Slow& slow : slow_) {
        if (slow.cut_at >= 0) continue;
        set.push_back({.fd = slow.client.fd(), .events = POLLIN, .revents = 0});
        last = std::max(last, slow.limit + 5);
      }
      if (set.empty() || watch.seconds() > last) return;
      poll(set.data(), set.size(), 200);
      const double now = watch.seconds();
      for (Slow& slow : slow_) {
        for (const pollfd& one : set) {
          if (one.fd == slow.client.fd() && one.revents != 0) read(slow, now);
        }
      }
      if (trickling.cut_at < 0 && now > next_byte) {
        trickling.client.send_all("x");
        next_byte += 1;
      }
    }
  }

  std::vector<Slow> slow_;
};

// WEIR_DEFAULT_TIMES: nothing is set, so that heads have their minute. Else they have two seconds.
TEST_P(HttpSlow, AreCutOffInTime) {
  const bool defaults = std::getenv("WEIR_DEFAULT_TIMES") != nullptr;
  const double head = defaults ? 60 : 2;
  start_server(defaults ? std::vector<std::string>{}
                        : std::vector<std::string>{"--headers-timeout", "2"});
  if (!server_) return;
  slow_.reserve(8);
  const std::string ok = "HTTP/1.1 200 ";
  const std::string too_slow = "HTTP/1.1 408 ";
  const Stopwatch watch;
  begin("a head a byte a second", head, too_slow, "GET / HTTP/1.1\r\nX: ");
  begin("silence", head, too_slow, "");
  begin("a head that stops", head, too_slow, "GET / HT");
  begin("a body that stops", 5.5, too_slow, post("/", 1000) + "xxxxxxxxxx");
  begin("a chunked body that stops", 5.5, too_slow,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
  begin("an idle connection", 5, ok, get("/hello"));
  run(watch, slow_.front());
  for (const Slow& slow : slow_) {
    SCOPED_TRACE(slow.name);
    report(slow.name + " is cut off after", slow.cut_at, "s");
    EXPECT_GE(slow.cut_at, slow.limit - 0.6);
    EXPECT_LE(slow.cut_at, slow.limit + 1);
    EXPECT_TRUE(slow.got.starts_with(slow.answer)) << slow.got;
  }
  EXPECT_TRUE(dial().answers_on("/hello"));
  slow_.clear();
}

WEIR_ON_PROCESS_BACKENDS(HttpSlow);

}  // namespace
}  // namespace weir::test
