#include <array>
#include <charconv>
#include <string>
#include <string_view>

#include "http/status/status_text.h"
#include "weir/reactor/limits.h"

namespace weir::inline v1::http {
namespace {

// Objects and arrays of numbers and short texts. Commas come by themselves.
class Json {
 public:
  Json& open(char bracket, std::string_view name = {}) {
    begin(name);
    text_ += bracket;
    first_ = true;
    return *this;
  }
  Json& close(char bracket) {
    text_ += bracket;
    first_ = false;
    return *this;
  }
  template <class Number>
  Json& number(std::string_view name, Number value) {
    begin(name);
    std::array<char, 32> digits = {};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    text_.append(digits.data(), end);
    return *this;
  }
  Json& null(std::string_view name) {
    begin(name);
    text_ += "null";
    return *this;
  }
  Json& string(std::string_view name, std::string_view value) {
    begin(name);
    quote(value);
    return *this;
  }
  std::string take() { return std::move(text_); }

 private:
  void begin(std::string_view name) {
    if (!std::exchange(first_, false)) text_ += ',';
    if (name.empty()) return;
    quote(name);
    text_ += ':';
  }

  void quote(std::string_view value) {
    constexpr std::string_view kHex = "0123456789abcdef";
    text_ += '"';
    for (const char c : value) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20) {
        text_.append("\\u00").append(1, kHex[byte / 16]).append(1, kHex[byte % 16]);
        continue;
      }
      if (c == '"' || c == '\\') text_ += '\\';
      text_ += c;
    }
    text_ += '"';
  }

  std::string text_;
  bool first_ = true;
};

double seconds(Duration time) { return std::chrono::duration<double>(time).count(); }

void put_totals(Json& json, const ServerStats& stats) {
  json.open('{', "connections")
      .number("open", stats.connections.open)
      .number("accepted", stats.connections.accepted)
      .number("dropped", stats.connections.dropped);
  if (stats.connections.open_max) {
    json.number("max", *stats.connections.open_max);
  } else {
    json.null("max");
  }
  json.close('}');
  json.open('{', "requests")
      .number("begun", stats.requests_begun)
      .number("answered", stats.requests_answered)
      .number("inFlight", stats.requests_in_flight())
      .number("takenOver", stats.requests_taken_over)
      .number("cutOff", stats.requests_cut_off)
      .number("refused", stats.refusals)
      .close('}');
  json.open('[', "responses");
  for (const std::uint64_t count : stats.responses) json.number("", count);
  json.close(']');
  json.open('{', "bytes")
      .number("in", stats.bytes_in)
      .number("out", stats.bytes_out)
      .number("queued", stats.queue_bytes)
      .close('}');
}

void put_rates(Json& json, const StatusReport& report) {
  if (report.before == nullptr || report.span <= Duration::zero()) {
    json.null("rate");
    return;
  }
  const ServerStats& now = report.now.servers;
  const ServerStats& before = report.before->servers;
  const double span = seconds(report.span);
  const auto rate = [&](std::string_view name, std::uint64_t to, std::uint64_t from) {
    json.number(name, static_cast<double>(to - from) / span);
  };
  json.open('{', "rate").number("span", span);
  rate("answered", now.requests_answered, before.requests_answered);
  rate("accepted", now.connections.accepted, before.connections.accepted);
  rate("in", now.bytes_in, before.bytes_in);
  rate("out", now.bytes_out, before.bytes_out);
  json.close('}');
}

void put_latency(Json& json, std::string_view name, const LatencyCounts& latency) {
  const std::uint64_t count = latency.count();
  json.open('{', name).number("count", count);
  if (count != 0) {
    json.number("p50", seconds(latency.quantile(0.5)))
        .number("p99", seconds(latency.quantile(0.99)))
        .number("p999", seconds(latency.quantile(0.999)));
  }
  json.close('}');
}

void put_latencies(Json& json, const StatusReport& report) {
  const auto& now = report.now.servers.latency;
  if (!now) {
    json.null("latency").null("latencySinceStart");
    return;
  }
  put_latency(json, "latencySinceStart", *now);
  if (report.before == nullptr || !report.before->servers.latency) {
    json.null("latency");
  } else {
    put_latency(json, "latency", now->since(*report.before->servers.latency));
  }
}

void put_reactors(Json& json, const std::vector<Counters>& reactors) {
  json.open('[', "reactors");
  for (const Counters& one : reactors) {
    json.open('{')
        .string("backend", name_of(one.backend))
        .string("reason", one.reason)
        .number("turns", one.turns)
        .number("completions", one.kernel.completions.value())
        .number("systemCalls", one.kernel.system_calls.value())
        .number("sockets", one.sockets)
        .number("receive", one.receive_chunks * weir::limits::kReceiveChunkBytes)
        .number("receiveMax", one.receive_memory_max)
        .number("queue", one.queue_bytes)
        .number("queueMax", one.queue_bytes_max)
        .number("posted", one.posted_tasks)
        .number("postedMax", one.posted_tasks_max)
        .number("dry", one.kernel.ring_dry.value())
        .number("unhandled", one.unhandled_errors)
        .close('}');
  }
  json.close(']');
}

}  // namespace

std::string json_of(const StatusReport& report) {
  Json json;
  json.open('{').number("uptime", seconds(report.uptime));
  put_totals(json, report.now.servers);
  put_rates(json, report);
  put_latencies(json, report);
  put_reactors(json, report.now.reactors);
  json.close('}');
  return json.take();
}

}  // namespace weir::inline v1::http
