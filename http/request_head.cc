#include "weir/http/request_head.h"

#include <algorithm>
#include <iterator>

#include "weir/http/field_value.h"
#include "weir/http/limits.h"
#include "weir/http/said_fields.h"
#include "weir/http/text_sink.h"
#include "weir/reactor/assert.h"

namespace weir::inline v1::http {
namespace {

using Kind = BodyFraming::Kind;

std::unexpected<Error> mistake(Mistake code, const char* detail) {
  return failure({.code = code, .detail = detail});
}

// With all others a server may wait to hear that there is no body (RFC 9110, section 8.6).
bool is_usually_bodiless(std::string_view method) noexcept {
  constexpr std::string_view kMethods[] = {"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"};
  return std::ranges::find(kMethods, method) != std::end(kMethods);
}

Expected<void> check(const RequestFacts& facts, const SaidFields& said) {
  if (auto good = check_method(facts.method); !good) return good;
  if (auto good = check_target(facts.target); !good) return good;
  if (facts.method.size() + facts.target.size() > limits::kSentRequestLineBytesMax) {
    return mistake(Mistake::out_of_range, "the request line is too long");
  }
  if (!is_field_value(facts.default_host)) {
    return mistake(Mistake::invalid_char, "a control character in the host");
  }
  if (said.hosts > 1) return mistake(Mistake::bad_argument, "Host is set twice");
  return said.check_framing();
}

}  // namespace

Expected<void> check_method(std::string_view method) noexcept {
  if (!is_token(method)) return mistake(Mistake::invalid_http_token, "a method must be a token");
  if (method.size() <= limits::kSentRequestLineBytesMax) return {};
  return mistake(Mistake::out_of_range, "the method is too long");
}

Expected<void> check_target(std::string_view target) noexcept {
  const auto must_be_escaped = [](char c) {
    return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f;
  };
  if (target.empty()) return mistake(Mistake::bad_argument, "an empty request target or URL");
  if (std::ranges::any_of(target, must_be_escaped)) {
    return mistake(Mistake::unescaped_characters, "a blank or a control character in a target");
  }
  if (target.size() <= limits::kSentRequestLineBytesMax) return {};
  return mistake(Mistake::out_of_range, "a request target or URL is too long");
}

// ---- Decisions ----

class RequestPlanner {
 public:
  RequestPlanner(RequestPlan& plan, const SaidFields& said) noexcept
      : plan_(plan), facts_(plan.facts_), said_(said) {}

  Expected<void> decide() noexcept {
    const ConnectionOptions& options = said_.connection;
    plan_.keeps_ = !options.close && (facts_.keeps_connection || options.keep_alive);
    plan_.expects_continue_ = said_.expects_continue;
    plan_.wants_upgrade_ = said_.upgrade && options.upgrade;
    plan_.says_host_ = !facts_.default_host.empty() && said_.hosts == 0 && !suppressed("host");
    plan_.says_connection_ = !said_.has_connection && !suppressed("connection");
    if (said_.codings != 0) return take_coding();
    if (said_.lengths != 0) return take_length();
    return decide_framing();
  }

 private:
  bool suppressed(std::string_view lower) const noexcept {
    return facts_.fields != nullptr && facts_.fields->is_suppressed(lower);
  }

  Expected<void> take_coding() noexcept {
    if (!said_.chunked_last) {
      return mistake(Mistake::bad_argument, "the last coding of a request must be chunked");
    }
    plan_.framing_.kind = Kind::chunked;
    return {};
  }

  Expected<void> take_length() noexcept {
    if (said_.trailer) {
      return mistake(Mistake::trailer_invalid, "Trailer needs a chunked body");
    }
    if (facts_.body_size.value_or(said_.length) != said_.length) {
      return mistake(Mistake::content_length_mismatch, "the body has not Content-Length bytes");
    }
    plan_.framing_ = {.kind = Kind::length, .length = said_.length};
    return {};
  }

  Expected<void> decide_framing() noexcept {
    const bool may_size = !suppressed("content-length");
    const bool may_chunk = !suppressed("transfer-encoding");
    const bool has_body = facts_.body_size != 0U || said_.trailer;
    const bool is_sized = facts_.body_size.has_value() && !said_.trailer && may_size;
    if (!has_body) {
      plan_.says_length_ = may_size && !is_usually_bodiless(facts_.method);
    } else if (is_sized) {
      plan_.framing_ = {.kind = Kind::length, .length = *facts_.body_size};
      plan_.says_length_ = true;
    } else if (may_chunk) {
      plan_.framing_.kind = Kind::chunked;
      plan_.says_chunked_ = true;
    } else {
      return mistake(Mistake::bad_argument,
                     "a request's body needs the Content-Length or Transfer-Encoding that was "
                     "removed");
    }
    return {};
  }

  RequestPlan& plan_;
  const RequestFacts& facts_;
  const SaidFields& said_;
};

Expected<RequestPlan> plan_request(const RequestFacts& facts) noexcept {
  const SaidFields said = SaidFields::read(facts.fields);
  if (auto checked = check(facts, said); !checked) return std::unexpected(checked.error());
  RequestPlan plan(facts);
  if (auto decided = RequestPlanner(plan, said).decide(); !decided) {
    return std::unexpected(decided.error());
  }
  plan.size_ = text_size([&](auto& sink) { plan.emit(sink); });
  return plan;
}

// ---- Text ----

template <class Sink>
void RequestPlan::emit(Sink& sink) const noexcept {
  sink.put(facts_.method);
  sink.put(" ");
  sink.put(facts_.target);
  sink.put(" HTTP/1.1\r\n");
  if (facts_.fields != nullptr) facts_.fields->write(sink);
  if (says_host_) put_field(sink, "Host", facts_.default_host);
  if (says_connection_) put_field(sink, "Connection", keeps_ ? "keep-alive" : "close");
  put_framing(sink, says_length_, framing_.length, says_chunked_);
  sink.put("\r\n");
}

void RequestPlan::write(std::span<char> out) const noexcept {
  write_text(out, size_, [this](auto& sink) { emit(sink); });
}

void RequestPlan::append_to(std::string& out) const {
  append_text(out, size_, [this](auto& sink) { emit(sink); });
}

}  // namespace weir::inline v1::http
