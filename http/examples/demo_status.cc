#include "http/examples/demo_status.h"

#include <string_view>

#include "weir/http/status/accept.h"

namespace weir::example {

bool DemoStatus::answer(http::Request& request, http::Response& response) {
  const http::Method method = request.method();
  if (method != http::Method::get && method != http::Method::head) return false;
  const std::string_view path = request.path();
  if (path == "/metrics") {
    page_.answer_metrics(request, response);
  } else if (path == "/events") {
    page_.answer_events(request, response);
  } else if (path == "/" || path.empty()) {
    response.set_header("Vary", "Accept");
    if (!http::prefers_html(request.header_values("Accept"))) return false;
    page_.answer_page(request, response);
  } else {
    return false;
  }
  return true;
}

}  // namespace weir::example
