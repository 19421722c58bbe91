// A page that shows a running server, and the same numbers for Prometheus.
#pragma once

#include <optional>
#include <string>

#include "weir/http/server.h"
#include "weir/http/status/event_stream.h"
#include "weir/http/status/status_board.h"
#include "weir/http/status/status_limits.h"

namespace weir::inline v1::http {

struct StatusPageOptions {
  std::string name = "weir";  // of the server, for its readers
  // Where the page finds the events: what answer_events() answers.
  std::string events_path = "/events";
  Duration interval = limits::kStatusIntervalDefault;  // of the events
};

// Answers for three resources, which the user's handler calls; for GET and HEAD. They show what all
// servers of the board have done, this one should be among them. Whoever may see the page sees how
// busy the server is: who that is, the handler decides.
//
// Nothing is sampled while nobody looks.
// Owner: the user. Thread: the server's. The server and the board outlive it.
class StatusPage {
 public:
  StatusPage(Server& server, const StatusBoard& board, StatusPageOptions options = {});

  // A document of its own: no other resource but the events is asked for, and the browser is told
  // so (Content-Security-Policy).
  void answer_page(Request& request, Response& response);
  // Server-sent events "status", a sample each.
  void answer_events(Request& request, Response& response);
  void answer_metrics(Request& request, Response& response);

 private:
  void tick();

  Server& server_;
  const StatusBoard& board_;
  StatusPageOptions options_;
  std::string page_;
  std::string policy_;
  std::int64_t start_seconds_;
  Instant start_;
  EventStream events_;
  StatusSample before_;
  Instant before_at_;
  Timer timer_;  // armed while somebody looks
};

}  // namespace weir::inline v1::http
