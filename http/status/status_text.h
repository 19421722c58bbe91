// A sample as text, for Prometheus and for the page. Pure. Private to this package.
#pragma once

#include <cstdint>
#include <string>

#include "weir/http/status/status_board.h"
#include "weir/reactor/time.h"

namespace weir::inline v1::http {

// README.md has the list. `start_seconds`: since 1970, when the status page was made.
std::string metrics_of(const StatusSample& sample, std::int64_t start_seconds);

// An object of JSON; README.md says what is in it. What has happened since `before`, `span` ago, is
// in "rate" and "latency"; null without it.
struct StatusReport {
  const StatusSample& now;
  const StatusSample* before = nullptr;
  Duration span = Duration::zero();
  Duration uptime = Duration::zero();
};
std::string json_of(const StatusReport& report);

}  // namespace weir::inline v1::http
