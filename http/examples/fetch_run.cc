#include "http/examples/fetch_run.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "weir/http/field_value.h"

namespace weir::example {
namespace {

using http::ClientRequest;
using http::ClientResponse;

// A server that does not know Expect waits for the body itself (RFC 9110, section 10.1.1).
constexpr auto kContinuePatience = std::chrono::seconds(1);

// What is left of a regular file from the descriptor's position on; nothing: nobody knows.
std::optional<std::uint64_t> size_of(const struct stat& facts, off_t position) {
  if (!S_ISREG(facts.st_mode) || position < 0) return std::nullopt;
  return static_cast<std::uint64_t>(std::max(off_t{0}, facts.st_size - position));
}

// Errors: as stat(2).
Expected<std::optional<std::uint64_t>> body_size_of(const std::string& path) {
  struct stat facts = {};
  const bool is_stdin = path == "-";
  if ((is_stdin ? fstat(STDIN_FILENO, &facts) : stat(path.c_str(), &facts)) != 0) {
    return failure({.code = errno_code(errno), .syscall = "open", .detail = path});
  }
  return size_of(facts, is_stdin ? lseek(STDIN_FILENO, 0, SEEK_CUR) : 0);
}

void append_fields(std::string& text, std::span<const http::Field> fields) {
  for (const http::Field& field : fields) {
    text.append(field.name).append(": ").append(field.value).append("\r\n");
  }
}

double milliseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

// ---- A request ----

void Transfer::begin() {
  result_ = {};
  complete_ = waits_for_continue_ = false;
  began_ = std::chrono::steady_clock::now();
  const FetchOptions& options = run_.options_;
  const bool has_body = options.data || !options.body_path.empty();
  http::RequestOptions wanted;
  wanted.method = options.method;
  if (options.method.empty()) wanted.method = has_body ? "POST" : "GET";
  wanted.socket_path = options.unix_path;
  wanted.abstract = options.abstract;
  wanted.time_limit = options.time_limit;
  const auto request = run_.agent_.request(options.url, wanted);
  if (!request) return run_.give_up(request.error().message());
  request_ = *request;
  listen(*request_);
  add_fields(*request_);
  if (has_body) prepare_body(*request_);
  if (!result_.failure.empty()) return request_->destroy();
  if (!waits_for_continue_) return send_body();
  if (const auto sent = request_->flush_headers(); !sent) note(sent.error().message());
  continue_timer_ = run_.reactor_.after(kContinuePatience, [this] { send_body(); });
}

void Transfer::listen(ClientRequest& request) {
  request.on_error([this](ClientRequest&, const Error& error) { note(error.message()); });
  request.on_close([this](ClientRequest&) { finish(); });
  request.on_response([this](ClientResponse& response) { on_response(response); });
  request.on_continue([this](ClientRequest&) { send_body(); });
  if (run_.options_.shows_head && run_.writes()) {
    request.on_information([this](ClientRequest&, const http::ReceivedHead& head) {
      write_head(head.version_minor, head.status, head.reason, head.fields);
    });
  }
}

void Transfer::add_fields(ClientRequest& request) {
  for (const auto& [name, value] : run_.options_.headers) {
    if (const auto added = request.append_header(name, value); !added) {
      note(name + ": " + added.error().message());
    }
  }
}

// Its length, when somebody knows it; and whether it waits for the server to want it.
void Transfer::prepare_body(ClientRequest& request) {
  const FetchOptions& options = run_.options_;
  const auto expectation = request.header("Expect");
  waits_for_continue_ = expectation && http::equals_lower(*expectation, "100-continue");
  std::optional<std::uint64_t> size;
  if (options.data) {
    size = options.data->size();
  } else {
    const auto found = body_size_of(options.body_path);
    if (!found) return note(found.error().message());
    size = *found;
  }
  if (!size || request.has_header("Content-Length") || request.has_header("Transfer-Encoding")) {
    return;
  }
  if (const auto set = request.set_header("Content-Length", std::to_string(*size)); !set) {
    note(set.error().message());
  }
}

// At most once: the timer and 100 are both reasons.
void Transfer::send_body() {
  continue_timer_.cancel();
  if (request_->writable_ended() || body_ != nullptr) return;
  const FetchOptions& options = run_.options_;
  if (options.data) {
    request_->end(std::string_view(*options.data));
  } else if (options.body_path.empty()) {
    request_->end();
  } else {
    send_stream();
  }
}

void Transfer::send_stream() {
  const std::string& path = run_.options_.body_path;
  body_ = path == "-" ? std::make_unique<net::InputStream>(run_.reactor_, STDIN_FILENO)
                      : std::make_unique<net::InputStream>(run_.reactor_, path);
  body_->on_data([this](net::InputStream& body, Buffer bytes) {
    if (request_->write(std::move(bytes)) != net::Write::ok) body.pause();
  });
  body_->on_end([this](net::InputStream&) { request_->end(); });
  body_->on_error([this](net::InputStream&, const Error& error) {
    note("the body: " + error.message());
    request_->destroy();
  });
  request_->on_drain([this](ClientRequest&) { body_->resume(); });
}

// ---- Its response ----

void Transfer::on_response(ClientResponse& response) {
  response.on_error([this](ClientResponse&, const Error& error) {
    note("the response was cut off after " + std::to_string(result_.bytes) +
         " bytes of its body: " + error.message());
  });
  if (run_.options_.fails && response.status() >= 400) {
    result_.refused = true;
    note("the server answered " + std::to_string(response.status()) + " " +
         std::string(response.reason()));
    return response.resume();
  }
  if (run_.writes()) {
    run_.output();  // made for an empty body, too
    if (run_.options_.shows_head) {
      write_head(response.version_minor(), response.status(), response.reason(),
                 response.fields());
    }
  }
  response.on_data([this](ClientResponse&, Buffer bytes) {
    result_.bytes += bytes.size();
    if (run_.writes()) write(std::move(bytes));
  });
  response.on_end([this](ClientResponse& ended) {
    complete_ = true;
    if (run_.writes() && run_.options_.shows_head) write_trailers(ended);
  });
}

void Transfer::write_head(int version_minor, int status, std::string_view reason,
                          std::span<const http::Field> fields) {
  std::string text = "HTTP/1." + std::to_string(version_minor) + " " + std::to_string(status) +
                     " " + std::string(reason) + "\r\n";
  append_fields(text, fields);
  write(Buffer::take(text + "\r\n"));
}

void Transfer::write_trailers(const ClientResponse& response) {
  std::string text;
  append_fields(text, response.trailers());
  if (!text.empty()) write(Buffer::take(std::move(text)));
}

// What the output has no room for stays with the server.
void Transfer::write(Buffer bytes) {
  if (run_.output().write(std::move(bytes)) == net::Write::ok) return;
  if (ClientResponse* response = request_->response()) response->pause();
}

void Transfer::go_on() {
  if (request_ == nullptr) return;
  if (ClientResponse* response = request_->response()) response->resume();
}

// ---- Its end ----

void Transfer::note(std::string text) {
  if (result_.failure.empty()) result_.failure = std::move(text);
}

void Transfer::give_up() {
  if (request_ != nullptr) request_->destroy();
}

void Transfer::finish() {
  request_ = nullptr;
  continue_timer_.cancel();
  body_.reset();
  if (!complete_) note("the request ended without a complete response");
  result_.latency = std::chrono::steady_clock::now() - began_;
  run_.ended(*this, std::exchange(result_, {}));
}

// ---- All of them ----

FetchRun::FetchRun(Reactor& reactor, FetchOptions options)
    : reactor_(reactor), options_(std::move(options)), agent_(reactor, options_.agent) {}

void FetchRun::start() {
  const std::size_t count = std::min(options_.parallel, options_.repeat);
  for (std::size_t i = 0; i < count; ++i) {
    transfers_.push_back(std::make_unique<Transfer>(*this));
  }
  for (const auto& transfer : transfers_) {
    if (gave_up_) return;
    ++begun_;
    transfer->begin();
  }
}

net::OutputStream& FetchRun::output() {
  if (output_ != nullptr) return *output_;
  const std::string& path = options_.output_path;
  output_ = path.empty() ? std::make_unique<net::OutputStream>(reactor_, STDOUT_FILENO)
                         : std::make_unique<net::OutputStream>(reactor_, path);
  output_->on_error([this](net::OutputStream&, const Error& error) {
    give_up("the output: " + error.message());
  });
  output_->on_drain([this](net::OutputStream&) {
    for (const auto& transfer : transfers_) transfer->go_on();
    if (waiting_ != nullptr) std::exchange(waiting_, nullptr)->begin();
  });
  return *output_;
}

void FetchRun::give_up(std::string failure) {
  if (std::exchange(gave_up_, true)) return;
  first_failure_ = std::move(failure);
  for (const auto& transfer : transfers_) transfer->give_up();
}

bool FetchRun::may_begin() { return output_ == nullptr || !output_->writable_needs_drain(); }

void FetchRun::ended(Transfer& transfer, const FetchResult& result) {
  bytes_ += result.bytes;
  if (result.failure.empty()) {
    latencies_.push_back(result.latency);
  } else {
    ++failed_;
    if (result.refused) ++refused_;
    if (first_failure_.empty()) first_failure_ = result.failure;
  }
  if (gave_up_ || begun_ == options_.repeat) return;
  ++begun_;
  if (may_begin()) return transfer.begin();
  waiting_ = &transfer;
}

int FetchRun::finish() {
  if (!first_failure_.empty()) {
    std::string which;
    if (options_.repeat > 1 && !gave_up_) {
      which = std::to_string(failed_) + " of " + std::to_string(options_.repeat) +
              " requests failed, the first: ";
    }
    std::fprintf(stderr, "error: %s%s\n", which.c_str(), first_failure_.c_str());
  }
  if (options_.repeat > 1) print_statistics();
  if (first_failure_.empty()) return 0;
  return !gave_up_ && failed_ == refused_ ? 22 : 1;
}

void FetchRun::print_statistics() const {
  const http::AgentStats stats = agent_.stats();
  std::fprintf(stderr, "requests %zu connections %zu reused %zu retried %zu failed %zu bytes %zu\n",
               static_cast<std::size_t>(stats.requests),
               static_cast<std::size_t>(stats.connections),
               static_cast<std::size_t>(stats.reused), static_cast<std::size_t>(stats.retried),
               failed_, static_cast<std::size_t>(bytes_));
  if (latencies_.empty()) return;
  auto sorted = latencies_;
  std::ranges::sort(sorted);
  const auto percentile = [&](std::size_t percent) {
    return milliseconds(sorted[(sorted.size() - 1) * percent / 100]);
  };
  std::fprintf(stderr, "latency p50 %.3f ms p99 %.3f ms\n", percentile(50), percentile(99));
}

}  // namespace weir::example
