#include "weir/http/fixed_head.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "weir/http/field_value.h"
#include "weir/http/text_sink.h"

namespace weir::inline v1::http {
namespace {

constexpr std::string_view kHintsLine = "HTTP/1.1 103 Early Hints\r\n";

constexpr std::string_view kNotInHints[] = {"content-length", "transfer-encoding", "connection",
                                            "keep-alive",     "trailer",           "upgrade"};

struct Answer {
  int status;
  std::string_view text;
};

constexpr Answer kAnswers[] = {
    {400, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"},
    {408, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"},
    {413, "HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\n\r\n"},
    {414, "HTTP/1.1 414 URI Too Long\r\nConnection: close\r\n\r\n"},
    {417, "HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\n\r\n"},
    {431, "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"},
    {500, "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n"},
    {501, "HTTP/1.1 501 Not Implemented\r\nConnection: close\r\n\r\n"},
    {502, "HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n"},
    {503, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n"},
    {505, "HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\n\r\n"},
};

}  // namespace

Expected<void> append_early_hints(const Fields& fields, std::string& out) {
  for (const std::string_view name : kNotInHints) {
    if (!fields.has(name)) continue;
    return failure({.code = Mistake::bad_argument,
                    .detail = "no " + std::string(name) + " in an interim response"});
  }
  if (!fields.has("link")) {
    return failure({.code = Mistake::bad_argument, .detail = "early hints are Link fields"});
  }
  const auto emit = [&](auto& sink) {
    sink.put(kHintsLine);
    fields.write(sink);
    sink.put("\r\n");
  };
  append_text(out, text_size(emit), emit);
  return {};
}

std::string_view error_answer(int status) noexcept {
  const auto text_of = [](int wanted) {
    const auto* found = std::ranges::find(kAnswers, wanted, &Answer::status);
    return found == std::end(kAnswers) ? std::string_view() : found->text;
  };
  const std::string_view text = text_of(status);
  return text.empty() ? text_of(status >= 400 && status < 500 ? 400 : 500) : text;
}

}  // namespace weir::inline v1::http
