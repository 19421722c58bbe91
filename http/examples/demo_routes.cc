#include "http/examples/demo_routes.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "weir/http/cookie.h"
#include "weir/http/query.h"

namespace weir::example {
namespace {

using http::Method;
using http::Request;
using http::Response;
using net::Write;

// Of /chunked.
constexpr std::uint64_t kChunksMax = 1'000'000;
constexpr std::uint64_t kChunkBytesMax = 1 << 20;
constexpr std::uint64_t kChunkedBytesMax = 1 << 30;
// Of POST /: a larger one is streamed.
constexpr std::size_t kWholeBodyMax = 1 << 20;
// Of /sum: the number in a body, with blanks.
constexpr std::size_t kNumberBytesMax = 1024;

void answer_text(Response& response, int status, std::string_view text) {
  response.set_status(status);
  response.set_header("Content-Type", "text/plain");
  // What a GET would get; for HEAD nothing is added by itself.
  if (response.request().method() == Method::head) {
    response.set_header("Content-Length", std::to_string(text.size()));
  }
  response.end(text);
}

// ---- Bodies that come back ----

// A piece that is refused is kept until there is room. While the request is paused no other comes.
void send_back(Request& request, Response& response, Buffer bytes) {
  const Write written = response.write(std::move(bytes));
  if (written == Write::ok || written == Write::closed) return;
  request.pause();
  Buffer kept = written == Write::refused ? std::move(bytes) : Buffer();
  response.on_drain(
      [kept = std::move(kept)](Response& drained) mutable {
        drained.request().resume();
        if (!kept.empty()) send_back(drained.request(), drained, std::move(kept));
      },
      net::Times::once);
}

void answer_echo(Request& request, Response& response) {
  response.set_header("Content-Type", "application/octet-stream");
  if (const auto size = request.body_size()) {
    response.set_header("Content-Length", std::to_string(*size));
  }
  request.on_data([&response](Request& sender, Buffer bytes) {
    send_back(sender, response, std::move(bytes));
  });
  request.on_end([&response](Request&) { response.end(); });
}

// Nothing of the body is kept but how much it was.
void answer_upload(Request& request, Response& response) {
  auto bytes = std::make_unique<std::uint64_t>(0);
  request.on_data([&total = *bytes](Request&, Buffer piece) { total += piece.size(); });
  request.on_end([&response, bytes = std::move(bytes)](Request&) {
    answer_text(response, 200, std::to_string(*bytes));
  });
}

// ---- Chunks ----

std::optional<std::uint64_t> find_number(std::string_view query, std::string_view name,
                                         std::uint64_t otherwise) {
  const auto text = http::find_in_query(query, name);
  if (!text) return otherwise;
  std::uint64_t number = 0;
  const char* const end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end) return {};
  return number;
}

// All chunks are views of the same bytes.
Buffer filler(std::size_t size) {
  static const std::string kBytes(kChunkBytesMax, 'x');
  return Buffer::literal(std::string_view(kBytes).substr(0, size));
}

struct Chunks {
  std::uint64_t left;
  std::size_t size;

  // False: go on after 'drain'.
  bool write_some(Response& response) {
    for (; left > 0; --left) {
      const Write written = response.write(filler(size));
      if (written == Write::closed) return true;
      if (written == Write::refused) return false;
      if (written == Write::full && left > 1) {
        --left;
        return false;
      }
    }
    response.end();
    return true;
  }
};

void answer_chunked(Request& request, Response& response) {
  const std::string_view query = request.query();
  const auto count = find_number(query, "n", 10);
  const auto size = find_number(query, "size", 1024);
  if (!count || *count > kChunksMax) {
    return answer_text(response, 400, "n is a number from 0 to 1000000\n");
  }
  if (!size || *size == 0 || *size > kChunkBytesMax) {
    return answer_text(response, 400, "size is a number from 1 to 1048576\n");
  }
  if (*count * *size > kChunkedBytesMax) {
    return answer_text(response, 400, "n times size is at most 1073741824\n");
  }
  // Chunked, also when there is none.
  response.write_head(200, {{"Content-Type", "text/plain"}});
  if (request.method() == Method::head) {
    response.end();
    return;
  }
  Chunks chunks = {.left = *count, .size = static_cast<std::size_t>(*size)};
  if (chunks.write_some(response)) return;
  response.on_drain([chunks](Response& drained) mutable { chunks.write_some(drained); });
}

// ---- Sums ----

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

class Sum {
 public:
  // False: no number, or too large a sum.
  bool add(std::string_view text) {
    text = trim(text);
    std::int64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, number);
    if (parsed.ec != std::errc() || parsed.ptr != end) return false;
    return !__builtin_add_overflow(value_, number, &value_);
  }

  bool add_query(std::string_view query) {
    http::QueryPairs pairs(query, 0);
    while (const auto pair = pairs.next()) {
      const bool added = http::is_plain_query(pair->value)
                             ? add(pair->value)
                             : add(http::decode_query(pair->value));
      if (!added) return false;
    }
    return true;
  }

  void answer(Response& response) const {
    std::array<char, 24> digits = {};
    const auto end = std::to_chars(digits.begin(), digits.end(), value_).ptr;
    answer_text(response, 200, std::string_view(digits.data(), end));
  }

 private:
  std::int64_t value_ = 0;
};

void answer_no_sum(Response& response) {
  answer_text(response, 400, "only whole numbers are added, and only up to 64 bits\n");
}

void answer_sum(Request& request, Response& response) {
  Sum sum;
  if (!sum.add_query(request.query())) return answer_no_sum(response);
  request.read_body(kNumberBytesMax, [sum](Request&, Response& to, std::string_view body) mutable {
    if (!trim(body).empty() && !sum.add(body)) return answer_no_sum(to);
    sum.answer(to);
  });
}

// ---- The others ----

// A body of ordinary size is answered when it is complete, so that a broken one gets its 400.
void answer_ok(Request& request, Response& response) {
  if (request.method() != Method::post) return answer_text(response, 200, "OK");
  if (request.body_size().value_or(0) > kWholeBodyMax) return answer_echo(request, response);
  request.read_body(kWholeBodyMax, [](Request&, Response& to, std::string_view body) {
    to.set_header("Content-Type", "application/octet-stream");
    to.end(body);
  });
}

void answer_hello(Request&, Response& response) { answer_text(response, 200, "Hello, World!"); }

void answer_pipeline(Request&, Response& response) { answer_text(response, 200, "ok"); }

void answer_close(Request&, Response& response) {
  response.set_header("Connection", "close");
  answer_text(response, 200, "bye");
}

void answer_cookie(Request& request, Response& response) {
  std::string text;
  for (const std::string_view line : request.header_values("Cookie")) {
    http::Cookies cookies(line);
    while (const auto cookie = cookies.next()) {
      text.append(cookie->name).append("=").append(cookie->value).append("\n");
    }
  }
  answer_text(response, 200, text);
}

void answer_headers(Request& request, Response& response) {
  std::string text;
  for (const http::Field& field : request.fields()) {
    text.append(field.name).append(": ").append(field.value).append("\n");
  }
  answer_text(response, 200, text);
}

// ---- Which is whose ----

enum class Takes : std::uint8_t { get, post, get_and_post, any };

struct Route {
  std::string_view path;
  Takes takes;
  void (*answer)(Request&, Response&);
};

constexpr Route kRoutes[] = {
    {"/", Takes::get_and_post, answer_ok},
    {"/hello", Takes::get, answer_hello},
    {"/pipeline", Takes::get, answer_pipeline},
    {"/echo", Takes::post, answer_echo},
    {"/upload", Takes::post, answer_upload},
    {"/sum", Takes::get_and_post, answer_sum},
    {"/chunked", Takes::get, answer_chunked},
    {"/close", Takes::get, answer_close},
    {"/cookie", Takes::get, answer_cookie},
    {"/headers", Takes::any, answer_headers},
};

std::string_view allow_of(Takes takes) {
  switch (takes) {
    case Takes::get: return "GET, HEAD, OPTIONS";
    case Takes::post: return "POST, OPTIONS";
    default: return "GET, HEAD, POST, OPTIONS";
  }
}

bool takes(Takes takes, Method method) {
  const bool gets = method == Method::get || method == Method::head;
  switch (takes) {
    case Takes::get: return gets;
    case Takes::post: return method == Method::post;
    case Takes::get_and_post: return gets || method == Method::post;
    case Takes::any: return true;
  }
  return false;
}

// For a method that the resource has no answer of its own to.
void answer_allowed(Request& request, Response& response, std::string_view allow) {
  response.set_header("Allow", allow);
  if (request.method() != Method::options) return answer_text(response, 405, "not this method\n");
  response.set_status(204);
  response.end();
}

void answer_nothing_here(Response& response) { answer_text(response, 404, "nothing here\n"); }

// ---- Files ----

void answer_file(http::StaticFiles& files, Request& request, Response& response,
                 std::string_view path) {
  constexpr std::string_view kPlace = "/static/";
  if (!path.starts_with('/')) return answer_nothing_here(response);
  path.remove_prefix(path.starts_with(kPlace) ? kPlace.size() : 1);
  files.answer(request, response, path);
}

}  // namespace

void DemoRoutes::answer(Request& request, Response& response) const {
  if (request.target_form() == http::TargetForm::asterisk) {
    return answer_allowed(request, response, allow_of(Takes::any));
  }
  const std::string_view sent = request.path();
  const std::string_view path = sent.empty() ? "/" : sent;  // of "http://host"
  const auto* const route = std::ranges::find(kRoutes, path, &Route::path);
  if (route == std::end(kRoutes)) {
    return files_ != nullptr ? answer_file(*files_, request, response, path)
                             : answer_nothing_here(response);
  }
  if (!takes(route->takes, request.method())) {
    // OPTIONS / has the answer of GET.
    if (route->answer != answer_ok || request.method() != Method::options) {
      return answer_allowed(request, response, allow_of(route->takes));
    }
    response.set_header("Allow", allow_of(route->takes));
  }
  route->answer(request, response);
}

}  // namespace weir::example
