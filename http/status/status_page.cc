#include "weir/http/status/status_page.h"

#include <utility>

#include "http/status/page.h"
#include "http/status/sha256.h"
#include "http/status/status_text.h"
#include "weir/http/status/prometheus.h"

namespace weir::inline v1::http {
namespace {

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
}

std::string make_page(const StatusPageOptions& options) {
  std::string body(kPageBody);
  replace_all(body, "{{name}}", html_escaped(options.name));
  replace_all(body, "{{events}}", html_escaped(options.events_path));
  std::string page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  page.append("<title>").append(html_escaped(options.name)).append(" status</title>\n");
  page.append("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
              "<meta name=\"color-scheme\" content=\"light dark\">\n"
              "<link rel=\"icon\" href=\"data:,\">\n<style>");
  page.append(kPageStyle).append("</style>\n</head>\n").append(body);
  page.append("<script>").append(kPageScript).append("</script>\n</html>\n");
  return page;
}

// Nothing may be loaded, framed or sent anywhere; this style and this script may run.
std::string make_policy() {
  return "default-src 'none'; style-src " + csp_hash(kPageStyle) + "; script-src " +
         csp_hash(kPageScript) +
         "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
         "frame-ancestors 'none'";
}

void answer_text(Response& response, std::string_view type, std::string_view text) {
  static_cast<void>(response.set_header("Content-Type", type));
  static_cast<void>(response.set_header("Cache-Control", "no-store"));
  // For HEAD none is added by itself.
  static_cast<void>(response.set_header("Content-Length", std::to_string(text.size())));
  response.end(text);
}

}  // namespace

StatusPage::StatusPage(Server& server, const StatusBoard& board, StatusPageOptions options)
    : server_(server),
      board_(board),
      options_(std::move(options)),
      page_(make_page(options_)),
      policy_(make_policy()),
      start_seconds_(server.reactor().backend().unix_seconds()),
      start_(server.reactor().now()),
      events_(server) {}

void StatusPage::answer_page(Request&, Response& response) {
  static_cast<void>(response.set_header("Content-Security-Policy", policy_));
  static_cast<void>(response.set_header("X-Content-Type-Options", "nosniff"));
  static_cast<void>(response.set_header("Referrer-Policy", "no-referrer"));
  answer_text(response, "text/html; charset=utf-8", page_);
}

void StatusPage::answer_metrics(Request&, Response& response) {
  answer_text(response, kMetricsType, metrics_of(board_.sample(), start_seconds_));
}

void StatusPage::answer_events(Request& request, Response& response) {
  // The first one begins to look: what has happened until now is no rate.
  if (!timer_.armed()) tick();
  events_.answer(request, response);
}

void StatusPage::tick() {
  Reactor& reactor = server_.reactor();
  const Instant now = reactor.now();
  const bool goes_on = events_.clients() != 0;
  StatusSample sample = board_.sample();
  const std::string json = json_of({.now = sample,
                                    .before = goes_on ? &before_ : nullptr,
                                    .span = goes_on ? now - before_at_ : Duration::zero(),
                                    .uptime = now - start_});
  static_cast<void>(events_.publish({.data = json, .event = "status"}));
  before_ = std::move(sample);
  before_at_ = now;
  timer_ = reactor.after(options_.interval, [this] {
    if (events_.clients() != 0) tick();
  });
  timer_.unref();
}

}  // namespace weir::inline v1::http
