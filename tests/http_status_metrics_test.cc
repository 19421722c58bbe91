// Metrics as Prometheus reads them, and the page's other resources.
#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "http/status/sha256.h"
#include "tests/http_world.h"
#include "weir/http/status/accept.h"
#include "weir/http/status/prometheus.h"
#include "weir/http/status/status_page.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using http::MetricsText;
using http::MetricType;
using http::StatusBoard;
using http::StatusPage;

// ---- A strict reader of the text format 0.0.4 ----

class MetricsReader {
 public:
  explicit MetricsReader(const std::string& text) {
    EXPECT_TRUE(text.empty() || text.ends_with('\n'));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) read(line);
    close_family();
  }

  double at(const std::string& sample) const {
    const auto found = values_.find(sample);
    EXPECT_NE(found, values_.end()) << sample;
    return found == values_.end() ? -1 : found->second;
  }
  const std::map<std::string, double>& values() const { return values_; }
  const std::set<std::string>& counters() const { return counters_; }

 private:
  void read(const std::string& line) {
    static const std::regex kHelp(
        "# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\\\]|\\\\\\\\|\\\\n)+)");
    static const std::regex kType(
        "# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)");
    static const std::regex kSample(
        "([a-zA-Z_:][a-zA-Z0-9_:]*)"
        "(\\{[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\\]|\\\\[\\\\\"n])*\""
        "(?:,[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\\]|\\\\[\\\\\"n])*\")*\\})?"
        " (-?[0-9.]+(?:e[+-]?[0-9]+)?|\\+Inf|-Inf|NaN)");
    std::smatch found;
    if (std::regex_match(line, found, kHelp)) {
      close_family();
      family_ = found[1];
      EXPECT_TRUE(families_.insert(family_).second) << "twice: " << line;
      type_.clear();
    } else if (std::regex_match(line, found, kType)) {
      EXPECT_EQ(found[1], family_) << "without its help: " << line;
      type_ = found[2];
      EXPECT_EQ(type_ == "counter", family_.ends_with("_total")) << line;
    } else if (std::regex_match(line, found, kSample)) {
      take_sample(line, found[1], found[2], found[3]);
    } else {
      ADD_FAILURE() << "no line of the format: " << line;
    }
  }

  void take_sample(const std::string& line, const std::string& name, const std::string& labels,
                   const std::string& value) {
    EXPECT_FALSE(type_.empty()) << "without its type: " << line;
    const double number = value == "+Inf" ? 1e300 : value == "NaN" ? 0 : std::stod(value);
    EXPECT_TRUE(values_.emplace(name + labels, number).second) << "twice: " << line;
    if (type_ != "histogram") {
      EXPECT_EQ(name, family_) << line;
      if (type_ == "counter") counters_.insert(name + labels);
    } else if (name == family_ + "_bucket") {
      EXPECT_GE(number, last_bucket_) << "buckets are cumulative: " << line;
      last_bucket_ = number;
      ended_ = labels.find("le=\"+Inf\"") != std::string::npos;
      counters_.insert(name + labels);
    } else if (name == family_ + "_count") {
      EXPECT_TRUE(ended_) << "the last bucket is +Inf: " << line;
      EXPECT_EQ(number, last_bucket_) << line;
      counters_.insert(name + labels);
      last_bucket_ = 0;
    } else {
      EXPECT_EQ(name, family_ + "_sum") << line;
    }
  }

  void close_family() {
    EXPECT_TRUE(family_.empty() || !type_.empty()) << family_ << " has no type";
  }

  std::map<std::string, double> values_;
  std::set<std::string> families_;
  std::set<std::string> counters_;
  std::string family_;
  std::string type_;
  double last_bucket_ = 0;
  bool ended_ = false;
};

// ---- The writer ----

TEST(MetricsTextTest, WritesFamiliesAndSamples) {
  MetricsText out;
  out.family("a_total", MetricType::counter, "Things.");
  out.sample(3);
  out.sample({{"name", "x"}, {"other", "y"}}, std::uint64_t{18446744073709551615U});
  out.family("b", MetricType::gauge, "A part.");
  out.sample({}, 0.25);
  out.sample({{"sign", "-"}}, -1e-9);
  EXPECT_EQ(out.text(),
            "# HELP a_total Things.\n# TYPE a_total counter\na_total 3\n"
            "a_total{name=\"x\",other=\"y\"} 18446744073709551615\n"
            "# HELP b A part.\n# TYPE b gauge\nb 0.25\nb{sign=\"-\"} -1e-09\n");
  MetricsReader(out.text());
}

TEST(MetricsTextTest, EscapesTexts) {
  MetricsText out;
  out.family("a", MetricType::gauge, "A \"quoted\" \\ word\nand a line.");
  out.sample({{"text", "\"\\\n{}, \xc3\xa9"}}, std::uint64_t{1});
  EXPECT_EQ(out.text(),
            "# HELP a A \"quoted\" \\\\ word\\nand a line.\n# TYPE a gauge\n"
            "a{text=\"\\\"\\\\\\n{}, \xc3\xa9\"} 1\n");
  MetricsReader(out.text());
}

TEST(MetricsTextTest, NamesWhatIsNoNumber) {
  MetricsText out;
  out.family("a", MetricType::gauge, "Odd.");
  out.sample({{"n", "1"}}, std::numeric_limits<double>::infinity());
  out.sample({{"n", "2"}}, -std::numeric_limits<double>::infinity());
  out.sample({{"n", "3"}}, std::numeric_limits<double>::quiet_NaN());
  EXPECT_TRUE(out.text().ends_with("a{n=\"1\"} +Inf\na{n=\"2\"} -Inf\na{n=\"3\"} NaN\n"));
}

TEST(MetricsTextTest, WritesHistograms) {
  MetricsText out;
  out.family("t_seconds", MetricType::histogram, "Times.");
  const std::array<http::MetricBucket, 2> buckets = {{{0.5, 1}, {2, 3}}};
  out.histogram({{"kind", "x"}}, buckets, 4.5, 4);
  EXPECT_EQ(out.take(),
            "# HELP t_seconds Times.\n# TYPE t_seconds histogram\n"
            "t_seconds_bucket{kind=\"x\",le=\"0.5\"} 1\nt_seconds_bucket{kind=\"x\",le=\"2\"} 3\n"
            "t_seconds_bucket{kind=\"x\",le=\"+Inf\"} 4\n"
            "t_seconds_sum{kind=\"x\"} 4.5\nt_seconds_count{kind=\"x\"} 4\n");
}

TEST(AcceptTest, TheMostSpecificRangeCounts) {
  const auto html = [](std::initializer_list<std::string_view> lines) {
    return http::quality_of("text/html", std::span(lines.begin(), lines.size()));
  };
  EXPECT_EQ(html({}), 1000);
  EXPECT_EQ(html({""}), 1000);
  EXPECT_EQ(html({"*/*"}), 1000);
  EXPECT_EQ(html({"text/*;q=0.5, */*;q=0.1"}), 500);
  EXPECT_EQ(html({"*/*", "text/html;q=0.25"}), 250);
  EXPECT_EQ(html({"TEXT/HTML ; level=1 ; Q=0.125"}), 125);
  EXPECT_EQ(html({"image/png"}), 0);
  for (const std::string_view wrong : {"2", "1.5", "0.1234", "x", "", "1.001", "-1", "0,5"}) {
    EXPECT_EQ(html({"text/html;q=" + std::string(wrong)}), 0) << wrong;
  }
}

TEST(AcceptTest, BrowsersPreferHtml) {
  const auto prefers = [](std::string_view accept) {
    return http::prefers_html(std::span(&accept, 1));
  };
  EXPECT_TRUE(prefers("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
  EXPECT_TRUE(prefers("text/html"));
  EXPECT_FALSE(prefers("*/*"));
  EXPECT_FALSE(prefers("text/*"));
  EXPECT_FALSE(prefers("text/plain, text/html;q=0.9"));
  EXPECT_FALSE(prefers("text/html;q=0, */*"));
  EXPECT_FALSE(http::prefers_html({}));
}

TEST(Sha256Test, KnownDigests) {
  const auto hex = [](std::string_view text) {
    std::string digits;
    for (const std::uint8_t byte : http::sha256(text)) {
      digits += "0123456789abcdef"[byte / 16];
      digits += "0123456789abcdef"[byte % 16];
    }
    return digits;
  };
  // Of FIPS 180-4's examples, and at the border where the length needs a block of its own.
  EXPECT_EQ(hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(http::csp_hash(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
}

// ---- Over connections ----

class StatusPageTest : public HttpTest {
 protected:
  void SetUp() override {
    HttpTest::SetUp();
    if (IsSkipped()) return;
    serve(
        [this](Request& request, Response& response) {
          if (request.path() == "/page") return page_->answer_page(request, response);
          if (request.path() == "/metrics") return page_->answer_metrics(request, response);
          if (request.path() == "/events") return page_->answer_events(request, response);
          static_cast<void>(response.set_status(request.path() == "/" ? 200 : 404));
          response.end("body");
        },
        {.measure_latency = true});
    seat_.emplace(board_.add(server()));
    page_.emplace(server(), board_, http::StatusPageOptions{.name = "<a & \"b\">",
                                                            .interval = interval()});
  }
  void TearDown() override {
    page_.reset();
    seat_.reset();
    HttpTest::TearDown();
  }

  static Duration interval() { return simulated() ? Duration(1s) : Duration(50ms); }
  static std::string get(std::string_view path, std::string_view method = "GET") {
    return std::string(method).append(" ").append(path).append(
        " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  }
  std::string body(std::string_view path) {
    const std::string answer = ask(get(path));
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    return answer.substr(answer.find("\r\n\r\n") + 4);
  }

  StatusBoard board_;
  std::optional<StatusBoard::Seat> seat_;
  std::optional<StatusPage> page_;
};

TEST_P(StatusPageTest, MetricsAreExactAndInTheFormat) {
  ask(get("/"));
  ask(get("/"));
  ask(get("/nothing"));
  ask("no request\r\n\r\n");
  ASSERT_TRUE(run_until([&] { return server().stats().connections.open == 0; }));
  const std::string answer = ask(get("/metrics"));
  EXPECT_NE(answer.find("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"),
            std::string::npos);
  const MetricsReader metrics(answer.substr(answer.find("\r\n\r\n") + 4));
  EXPECT_EQ(metrics.at("weir_http_connections"), 1);
  EXPECT_EQ(metrics.at("weir_http_connections_accepted_total"), 5);
  EXPECT_EQ(metrics.at("weir_http_requests_total"), 4);
  EXPECT_EQ(metrics.at("weir_http_requests_in_flight"), 1);
  EXPECT_EQ(metrics.at("weir_http_refusals_total"), 1);
  EXPECT_EQ(metrics.at("weir_http_responses_total{class=\"2xx\"}"), 2);
  EXPECT_EQ(metrics.at("weir_http_responses_total{class=\"4xx\"}"), 2);
  EXPECT_EQ(metrics.at("weir_http_response_duration_seconds_count"), 3);
  EXPECT_EQ(metrics.at("weir_reactor_queue_max_bytes{reactor=\"0\"}"),
            static_cast<double>(net::limits::kReactorQueueBytesDefault));
  const std::string info = std::string("weir_reactor_info{reactor=\"0\",backend=\"") +
                           name_of(reactor().backend().kind()) + "\",reason=\"given\"}";
  EXPECT_EQ(metrics.at(info), 1);
}

TEST_P(StatusPageTest, CountersOnlyGrow) {
  const MetricsReader first(body("/metrics"));
  for (int i = 0; i < 5; ++i) ask(get("/"));
  const MetricsReader second(body("/metrics"));
  ASSERT_EQ(first.counters(), second.counters());
  for (const std::string& name : first.counters()) {
    EXPECT_GE(second.at(name), first.at(name)) << name;
  }
  EXPECT_EQ(second.at("weir_http_requests_total") - first.at("weir_http_requests_total"), 6);
}

// Whoever runs what is in the page, it is what the policy names.
TEST_P(StatusPageTest, ThePageMayRunItsOwnScriptOnly) {
  const std::string answer = ask(get("/page"));
  const auto between = [&](std::string_view open, std::string_view close) {
    const std::size_t from = answer.find(open) + open.size();
    return std::string_view(answer).substr(from, answer.find(close, from) - from);
  };
  const std::string_view policy = between("Content-Security-Policy: ", "\r\n");
  EXPECT_NE(policy.find("default-src 'none'"), std::string_view::npos);
  EXPECT_NE(policy.find("connect-src 'self';"), std::string_view::npos);
  constexpr std::pair<const char*, const char*> kElements[] = {{"script-src ", "script"},
                                                               {"style-src ", "style"}};
  for (const auto& [name, element] : kElements) {
    const std::string open = std::string("<") + element + ">";
    const std::string close = std::string("</") + element + ">";
    EXPECT_EQ(count_of(answer, open), 1U);
    EXPECT_NE(policy.find(name + http::csp_hash(between(open, close)) + ";"),
              std::string_view::npos);
  }
  EXPECT_NE(answer.find("<h1>&lt;a &amp; &quot;b&quot;&gt;</h1>"), std::string::npos);
  EXPECT_EQ(answer.find("http://"), std::string::npos);
  EXPECT_EQ(answer.find("https://"), std::string::npos);
  EXPECT_EQ(answer.find("{{"), std::string::npos);
}

TEST_P(StatusPageTest, HeadSaysWhatGetHas) {
  const std::string page = ask(get("/page"));
  const std::string head = ask(get("/page", "HEAD"));
  EXPECT_EQ(without_date(head), without_date(page.substr(0, page.find("\r\n\r\n") + 4)));
}

TEST_P(StatusPageTest, EventsTellOfTheTimeBetweenThem) {
  HttpClient& viewer = dial();
  viewer.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(run_until_received(viewer, "\"uptime\":"));
  EXPECT_NE(viewer.received().find("event: status\n"), std::string::npos);
  EXPECT_NE(viewer.received().find("\"rate\":null"), std::string::npos);
  viewer.take();
  for (int i = 0; i < 3; ++i) ask(get("/"));
  ASSERT_TRUE(run_until_received(viewer, "\"responses\":[0,3,0,0,0,0]"));
  ASSERT_TRUE(run_until_received(viewer, "\n\n"));
  if (!simulated()) return;
  // In virtual time a second is a second.
  const std::string event = viewer.take();
  EXPECT_NE(event.find("\"latency\":{\"count\":3,"), std::string::npos) << event;
  EXPECT_NE(event.find("\"rate\":{\"span\":1,\"answered\":3,\"accepted\":3,"),
            std::string::npos)
      << event;
  // Nothing happens in the next one.
  ASSERT_TRUE(run_until_received(viewer, "\n\n"));
  EXPECT_NE(viewer.received().find("\"answered\":0,"), std::string::npos) << viewer.received();
  EXPECT_NE(viewer.received().find("\"latency\":{\"count\":0}"), std::string::npos);
}

TEST_P(StatusPageTest, ALimitOnConnectionsIsTold) {
  EXPECT_EQ(body("/metrics").find("weir_http_connections_max"), std::string::npos);
  server().net().set_max_connections(7);
  EXPECT_EQ(MetricsReader(body("/metrics")).at("weir_http_connections_max"), 7);
  HttpClient& viewer = dial();
  viewer.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(run_until_received(viewer, "\n\n"));
  EXPECT_NE(viewer.received().find("\"max\":7"), std::string::npos) << viewer.received();
}

TEST_P(StatusPageTest, WhatIsNotMeasuredIsNull) {
  http::Server other(reactor());
  StatusBoard board;
  const StatusBoard::Seat seat = board.add(other);
  StatusPage page(other, board, {.interval = interval()});
  other.on_request([&](Request& request, Response& response) {
    page.answer_events(request, response);
  });
  const auto bound = other.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound);
  HttpClient viewer(reactor(), {.host = "127.0.0.1", .port = bound->port()});
  viewer.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(run_until_received(viewer, "\n\n"));
  EXPECT_NE(viewer.received().find("\"latency\":null,\"latencySinceStart\":null"),
            std::string::npos)
      << viewer.received();
}

TEST_P(StatusPageTest, NothingIsSampledWhileNobodyLooks) {
  HttpClient& viewer = dial();
  viewer.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(run_until_received(viewer, "\n\n"));
  viewer.socket().reset_and_destroy();
  ASSERT_TRUE(run_until([&] { return server().stats().connections.open == 0; }));
  server_->close();
  // Neither the page nor its stream keeps the reactor.
  reactor().run();
}

TEST_P(StatusPageTest, WhatAServerHasDoneStaysWhenItGoes) {
  ask(get("/"));
  ASSERT_TRUE(run_until([&] { return server().stats().connections.open == 0; }));
  {
    http::Server other(reactor());
    const StatusBoard::Seat seat = board_.add(other);
    EXPECT_EQ(board_.sample().reactors.size(), 1U) << "both are on one reactor";
    const auto bound = other.listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound);
    HttpClient client(reactor(), {.host = "127.0.0.1", .port = bound->port()});
    client.send(get("/"));
    ASSERT_TRUE(run_until([&] { return client.over(); }));
    EXPECT_EQ(board_.sample().servers.requests_answered, 2U);
  }
  const http::StatusSample sample = board_.sample();
  EXPECT_EQ(sample.servers.requests_answered, 2U);
  EXPECT_EQ(sample.servers.responses[3], 1U);
  EXPECT_EQ(sample.servers.connections.open, 0U);
}

WEIR_ON_ALL_BACKENDS(StatusPageTest);

}  // namespace
}  // namespace weir::test
