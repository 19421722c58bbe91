// A server whose requests are kept until the test answers them, and a record of what they saw.
#pragma once

#include <chrono>
#include <deque>
#include <string>
#include <string_view>

#include "tests/http_world.h"

namespace weir::test {

inline std::string get(std::string_view target, std::string_view fields = {}) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}

// The head of a POST whose body is to follow.
inline std::string post(std::string_view target, std::size_t size) {
  return "POST " + std::string(target) +
         " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n";
}

// What a client gets for end(body), without Date.
inline std::string kept_reply(std::string_view body, std::string_view parameters = "timeout=5") {
  return "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: " + std::string(parameters) +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}
inline std::string last_reply(std::string_view body) {
  return "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}

inline constexpr std::string_view kRoundTrip = "/round-trip";
inline constexpr std::string_view kTimeoutAnswer =
    "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n";

class LifeTest : public HttpTest {
 protected:
  struct Seen {
    std::string target;
    http::RequestRef request;
    http::ResponseRef response;
    net::Socket* socket = nullptr;
    std::string body;
    std::string events;           // of the request: "end aborted ECONNRESET close"
    std::string response_events;  // "finish close"
  };

  void TearDown() override {
    HttpTest::TearDown();
    EXPECT_TRUE(unhandled_.empty()) << unhandled_[0].message();
  }

  // GET /now... is answered at once with its target; others are kept in seen_.
  http::Server& start(const http::ServerOptions& options = {}, bool over_unix = false) {
    return serve([this](Request& request, Response& response) { handle(request, response); },
                 options, over_unix);
  }

  void handle(Request& request, Response& response) {
    if (request.target() == kRoundTrip) {
      response.end("ok");
      return;
    }
    Seen& seen = seen_.emplace_back();
    seen.target = request.target();
    seen.request = request.weak();
    seen.response = response.weak();
    seen.socket = &request.socket();
    if (reads_bodies_) request.on_data([&](Request&, Buffer bytes) { seen.body += bytes.view(); });
    watch(request, response, seen);
    if (seen.target.starts_with("/now")) response.end(seen.target);
  }

  static void watch(Request& request, Response& response, Seen& seen) {
    request.on_end([&](Request&) { seen.events += "end "; });
    request.on_aborted([&](Request&) { seen.events += "aborted "; });
    request.on_error([&](Request&, const Error& error) {
      seen.events += name_of(error.code);
      seen.events += ' ';
    });
    request.on_close([&](Request&) { seen.events += "close "; });
    response.on_finish([&](Response&) { seen.response_events += "finish "; });
    response.on_close([&](Response&) { seen.response_events += "close "; });
  }

  bool run_until_seen(std::size_t count) {
    return run_until([&] { return seen_.size() >= count; });
  }
  bool run_until_over(HttpClient& client) {
    return run_until([&] { return client.over(); });
  }
  bool run_until_gone() {
    return run_until([&] { return server().connections() == 0; });
  }
  // The client has received so much text, Date lines left out.
  bool run_until_has(HttpClient& client, std::string_view text) {
    return run_until([&] { return without_date(client.received()).size() >= text.size(); });
  }

  // The response of the request that was dispatched as number `index`; it must be there.
  Response& response(std::size_t index) {
    Response* found = seen_.at(index).response.get();
    if (found == nullptr) ADD_FAILURE() << "response " << index << " is gone";
    return *found;
  }
  void answer_held(std::size_t index) { response(index).end(seen_.at(index).target); }

  // A request and its response on a connection of its own: whatever was there before for the
  // server to read is read then. Not in seen_.
  void round_trip() {
    HttpClient& client = dial();
    client.send(get(kRoundTrip, "Connection: close\r\n"));
    EXPECT_TRUE(run_until_over(client));
    EXPECT_EQ(without_date(client.received()), last_reply("ok"));
    client.end();
    EXPECT_TRUE(run_until([&] { return client.closed(); }));
  }

  std::deque<Seen> seen_;
  bool reads_bodies_ = true;
};

// Counts milliseconds.
class TimeTest : public LifeTest {
 protected:
  void begin() { begin_ = reactor().now(); }
  long elapsed() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(reactor().now() - begin_).count();
  }
  // A client whose milliseconds count from now.
  HttpClient& dial_and_count() {
    begin();
    return dial();
  }
  // Lets the time come, and handles what has happened until then.
  void run_to(long milliseconds) {
    run_for(begin_ + std::chrono::milliseconds(milliseconds) - reactor().now());
  }
  // The millisecond at which the server ends the connection; -1: not within two days.
  long over_at(HttpClient& client) {
    const Instant end = reactor().now() + std::chrono::hours(48);
    while (!client.over() && reactor().now() < end) reactor().run_once(end);
    return client.over() ? elapsed() : -1;
  }
  // Sends a piece each second, from second `first` on, for so many seconds or until it is over.
  void trickle(HttpClient& client, std::string_view piece, long first, long last) {
    for (long second = first; second <= last && !client.over(); ++second) {
      run_to(second * 1000);
      if (!client.over()) client.send(piece);
    }
  }
  static http::ServerOptions idle_after(Duration time) {
    http::ServerOptions options;
    options.net.socket.timeout = time;
    return options;
  }
  void expect_408(const HttpClient& client) { EXPECT_EQ(client.received(), kTimeoutAnswer); }

  Instant begin_;
};

}  // namespace weir::test
