// What the demo server shows of itself: a page, its events, and metrics.
#pragma once

#include "weir/http/request.h"
#include "weir/http/response.h"
#include "weir/http/server.h"
#include "weir/http/status/status_board.h"
#include "weir/http/status/status_page.h"

namespace weir::example {

//     GET /          the page, for a client that would rather have HTML than plain text
//     GET /events    its events
//     GET /metrics   the same numbers for Prometheus
//
// Thread: the server's. The server and the board outlive it.
class DemoStatus {
 public:
  DemoStatus(http::Server& server, http::StatusBoard& board)
      : page_(server, board, {.name = "weir demo server"}), seat_(board.add(server)) {}

  // False: it is somebody else's to answer.
  bool answer(http::Request& request, http::Response& response);

 private:
  http::StatusPage page_;
  http::StatusBoard::Seat seat_;
};

}  // namespace weir::example
