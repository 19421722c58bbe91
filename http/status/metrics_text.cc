#include <algorithm>
#include <array>
#include <string>

#include "http/status/status_text.h"
#include "weir/http/status/prometheus.h"
#include "weir/reactor/limits.h"

namespace weir::inline v1::http {
namespace {

constexpr const char* kClassNames[] = {"1xx", "2xx", "3xx", "4xx", "5xx", "other"};
static_assert(std::size(kClassNames) == ServerStats::kClasses);

// 2^14 ns (16 us) to 2^34 ns (17 s), each twice the one before: borders of LatencyScale.
constexpr unsigned kFirstBit = 14;
constexpr unsigned kLastBit = 34;
constexpr double kNanosecond = 1e-9;

constexpr MetricType kCounter = MetricType::counter;
constexpr MetricType kGauge = MetricType::gauge;

void write_latency(MetricsText& out, const LatencyCounts& latency) {
  std::array<MetricBucket, kLastBit - kFirstBit + 1> buckets;
  for (unsigned bit = kFirstBit; bit <= kLastBit; ++bit) {
    const std::uint64_t most = std::uint64_t{1} << bit;
    buckets[bit - kFirstBit] = {.most = static_cast<double>(most) / 1e9,
                                .count = latency.count_up_to(most)};
  }
  out.family("weir_http_response_duration_seconds", MetricType::histogram,
             "From a complete request head to the response's last byte with the kernel.");
  out.histogram({}, buckets, static_cast<double>(latency.sum_nanoseconds) * kNanosecond,
                latency.count());
}

void write_one(MetricsText& out, const char* name, MetricType type, const char* help,
               std::uint64_t value) {
  out.family(name, type, help);
  out.sample(value);
}

void write_servers(MetricsText& out, const ServerStats& stats) {
  write_one(out, "weir_http_connections", kGauge, "Connections that are open.",
            stats.connections.open);
  if (stats.connections.open_max) {
    write_one(out, "weir_http_connections_max", kGauge, "Connections that may be open.",
              *stats.connections.open_max);
  }
  write_one(out, "weir_http_connections_accepted_total", kCounter,
            "Connections that were accepted.", stats.connections.accepted);
  write_one(out, "weir_http_connections_dropped_total", kCounter,
            "Connections that were closed at once for a limit or the block list.",
            stats.connections.dropped);
  write_one(out, "weir_http_requests_total", kCounter, "Requests whose heads were complete.",
            stats.requests_begun);
  write_one(out, "weir_http_requests_in_flight", kGauge, "Requests that wait for their response.",
            stats.requests_in_flight());
  write_one(out, "weir_http_requests_taken_over_total", kCounter,
            "Requests that turned their connection into something else.",
            stats.requests_taken_over);
  write_one(out, "weir_http_requests_cut_off_total", kCounter,
            "Requests that ended without a response.", stats.requests_cut_off);
  write_one(out, "weir_http_refusals_total", kCounter,
            "What was no valid request, or came too slowly.", stats.refusals);
  out.family("weir_http_responses_total", kCounter, "Responses by the class of their status.");
  for (std::size_t i = 0; i < stats.responses.size(); ++i) {
    out.sample({{.name = "class", .value = kClassNames[i]}}, stats.responses[i]);
  }
  write_one(out, "weir_http_received_bytes_total", kCounter, "Bytes received by HTTP.",
            stats.bytes_in);
  write_one(out, "weir_http_sent_bytes_total", kCounter, "Bytes that the kernel has taken.",
            stats.bytes_out);
  write_one(out, "weir_http_queue_bytes", kGauge, "Bytes of responses that wait for the kernel.",
            stats.queue_bytes);
  if (stats.latency) write_latency(out, *stats.latency);
}

struct ReactorMetric {
  const char* name;
  MetricType type;
  const char* help;
  std::uint64_t (*value)(const Counters&);
};

constexpr ReactorMetric kReactorMetrics[] = {
    {"weir_reactor_turns_total", kCounter, "Turns of the loop.",
     [](const Counters& c) { return c.turns; }},
    {"weir_reactor_spins_total", kCounter, "Waits that began by looking again and again.",
     [](const Counters& c) { return c.spins; }},
    {"weir_reactor_sleeps_total", kCounter, "Waits that the kernel was asked for.",
     [](const Counters& c) { return c.sleeps; }},
    {"weir_reactor_completions_total", kCounter, "Results of operations.",
     [](const Counters& c) -> std::uint64_t { return c.kernel.completions; }},
    {"weir_reactor_system_calls_total", kCounter, "System calls for the data path.",
     [](const Counters& c) -> std::uint64_t { return c.kernel.system_calls; }},
    {"weir_reactor_tasks_total", kCounter, "Deferred and posted tasks that have run.",
     [](const Counters& c) { return c.tasks; }},
    {"weir_reactor_timers_total", kCounter, "Timers that have fired.",
     [](const Counters& c) { return c.timers; }},
    {"weir_reactor_unhandled_errors_total", kCounter, "Errors that no handler took.",
     [](const Counters& c) { return c.unhandled_errors; }},
    {"weir_reactor_receive_dry_total", kCounter, "Receives that found no memory.",
     [](const Counters& c) -> std::uint64_t { return c.kernel.ring_dry; }},
    {"weir_reactor_receive_memory_bytes", kGauge, "Receive memory in use.",
     [](const Counters& c) -> std::uint64_t {
       return c.receive_chunks * weir::limits::kReceiveChunkBytes;
     }},
    {"weir_reactor_receive_memory_max_bytes", kGauge, "Receive memory that may be in use.",
     [](const Counters& c) -> std::uint64_t { return c.receive_memory_max; }},
    {"weir_reactor_queue_bytes", kGauge, "Bytes in the write queues of all sockets.",
     [](const Counters& c) -> std::uint64_t { return c.queue_bytes; }},
    {"weir_reactor_queue_max_bytes", kGauge,
     "Beyond so many the largest holder is paused, then closed.",
     [](const Counters& c) -> std::uint64_t { return c.queue_bytes_max; }},
    {"weir_reactor_sockets", kGauge, "Connections that are open.",
     [](const Counters& c) -> std::uint64_t { return c.sockets; }},
    {"weir_reactor_posted_tasks", kGauge, "Tasks of other threads that wait.",
     [](const Counters& c) -> std::uint64_t { return c.posted_tasks; }},
    {"weir_reactor_posted_tasks_max", kGauge, "Tasks of other threads that may wait.",
     [](const Counters& c) -> std::uint64_t { return c.posted_tasks_max; }},
    {"weir_reactor_zero_copy_sends_total", kCounter, "Sends that lent their bytes to the kernel.",
     [](const Counters& c) -> std::uint64_t { return c.zero_copy_sends; }},
    {"weir_reactor_zero_copy_copied_total", kCounter, "Of these, those that it copied after all.",
     [](const Counters& c) -> std::uint64_t { return c.zero_copy_copied; }},
    {"weir_reactor_zero_copy_bytes", kGauge, "Bytes lent to the kernel and not acknowledged.",
     [](const Counters& c) -> std::uint64_t { return c.zero_copy_bytes; }},
};

void write_reactors(MetricsText& out, const std::vector<Counters>& reactors) {
  out.family("weir_reactor_info", kGauge, "The backend of a reactor, and why it is this one.");
  for (std::size_t i = 0; i < reactors.size(); ++i) {
    out.sample({{.name = "reactor", .value = std::to_string(i)},
                {.name = "backend", .value = name_of(reactors[i].backend)},
                {.name = "reason", .value = reactors[i].reason}},
               std::uint64_t{1});
  }
  for (const ReactorMetric& metric : kReactorMetrics) {
    out.family(metric.name, metric.type, metric.help);
    for (std::size_t i = 0; i < reactors.size(); ++i) {
      out.sample({{.name = "reactor", .value = std::to_string(i)}}, metric.value(reactors[i]));
    }
  }
}

}  // namespace

std::string metrics_of(const StatusSample& sample, std::int64_t start_seconds) {
  MetricsText out;
  out.family("weir_start_time_seconds", kGauge, "When serving began, in seconds since 1970.");
  out.sample({}, static_cast<double>(start_seconds));
  write_servers(out, sample.servers);
  write_reactors(out, sample.reactors);
  return out.take();
}

}  // namespace weir::inline v1::http
