#include "weir/http/response_head.h"

#include "weir/http/date.h"
#include "weir/http/field_value.h"
#include "weir/http/limits.h"
#include "weir/http/said_fields.h"
#include "weir/http/scan.h"
#include "weir/http/status.h"
#include "weir/http/text_sink.h"
#include "weir/reactor/assert.h"

namespace weir::inline v1::http {
namespace {

using Kind = BodyFraming::Kind;

std::unexpected<Error> mistake(Mistake code, const char* detail) {
  return failure({.code = code, .detail = detail});
}

Expected<void> check(const ResponseFacts& facts, const SaidFields& said) {
  if (facts.status < 100 || facts.status > 999) {
    return mistake(Mistake::invalid_status_code, "a status must be in 100..999");
  }
  if (!facts.reason.empty()) {
    if (const auto good = check_reason(facts.reason); !good) return good;
  }
  return said.check_framing();
}

}  // namespace

Expected<void> check_reason(std::string_view reason) noexcept {
  if (scan::control(reason) != reason.size()) {
    return mistake(Mistake::invalid_char, "a control character in the reason phrase");
  }
  if (reason.size() > limits::kReasonBytesMax) {
    return mistake(Mistake::out_of_range, "the reason phrase is too long");
  }
  return {};
}

// ---- Decisions ----

class ResponsePlanner {
 public:
  ResponsePlanner(ResponsePlan& plan, const SaidFields& said) noexcept
      : plan_(plan), facts_(plan.facts_), said_(said) {}

  Expected<void> decide() noexcept {
    plan_.says_date_ = !facts_.date.empty() && !said_.date && !suppressed("date");
    const bool one_zero = facts_.version_minor == 0;
    plan_.drops_trailer_ = one_zero || facts_.to_head;
    plan_.drops_coding_ = one_zero;
    plan_.keeps_ = wants_to_keep();
    if (is_bodiless()) {
      decide_no_body();
    } else {
      decide_body();
    }
    if (said_.trailer && !plan_.drops_trailer_ && plan_.framing_.kind != Kind::chunked) {
      return mistake(Mistake::trailer_invalid, "Trailer needs a chunked body");
    }
    if (plan_.framing_.kind == Kind::length && facts_.body_size.has_value()) {
      if (*facts_.body_size > plan_.framing_.length) {
        return mistake(Mistake::content_length_mismatch, "the body is longer than Content-Length");
      }
      if (*facts_.body_size < plan_.framing_.length) plan_.keeps_ = false;
    }
    decide_connection();
    return {};
  }

 private:
  bool suppressed(std::string_view lower) const noexcept {
    return facts_.fields != nullptr && facts_.fields->is_suppressed(lower);
  }

  bool is_interim() const noexcept { return facts_.status < 200; }
  bool is_bodiless() const noexcept {
    return facts_.to_head || is_interim() || facts_.status == 204 || facts_.status == 205 ||
           facts_.status == 304;
  }

  // As far as it does not depend on the framing. A 1xx is no answer, so that whatever followed it
  // would be taken for this one's.
  bool wants_to_keep() const noexcept {
    if (!facts_.client_keeps_alive || facts_.closing || is_interim()) return false;
    if (said_.connection.close || facts_.requests_left == 0U) return false;
    if (facts_.version_minor > 0) return true;
    return said_.has_connection ? said_.connection.keep_alive : !suppressed("connection");
  }

  // RFC 9112, section 6.3, and RFC 9110, section 8.6: whatever the fields say, there is none.
  void decide_no_body() noexcept {
    plan_.drops_length_ = is_interim() || facts_.status == 204 || facts_.status == 205;
    plan_.drops_coding_ = plan_.drops_coding_ || plan_.drops_length_ || facts_.status == 304;
    plan_.says_length_ = facts_.status == 205;
  }

  void decide_body() noexcept {
    const bool one_one = facts_.version_minor > 0;
    const bool user_codes = said_.codings != 0 && one_one;
    const bool may_size = one_one || plan_.keeps_;
    const bool has_trailer = said_.trailer && !plan_.drops_trailer_;
    BodyFraming& framing = plan_.framing_;
    if (user_codes) {
      framing.kind = said_.chunked_last ? Kind::chunked : Kind::until_close;
    } else if (said_.lengths != 0) {
      framing = {.kind = Kind::length, .length = said_.length};
    } else if (facts_.body_size.has_value() && may_size && !has_trailer && said_.codings == 0 &&
               !suppressed("content-length")) {
      framing = {.kind = Kind::length, .length = *facts_.body_size};
      plan_.says_length_ = true;
    } else if (one_one && !suppressed("transfer-encoding")) {
      framing.kind = Kind::chunked;
      plan_.says_chunked_ = true;
    } else {
      framing.kind = Kind::until_close;
    }
    if (framing.kind == Kind::until_close) plan_.keeps_ = false;
  }

  void decide_connection() noexcept {
    if (facts_.status == 101) return;  // the next protocol's matter
    plan_.drops_keep_alive_ = !plan_.keeps_ && said_.connection.keep_alive;
    if (suppressed("connection")) return;
    plan_.says_close_ = !plan_.keeps_ && !said_.connection.close;
    plan_.says_keep_alive_ = plan_.keeps_ && !said_.has_connection;
    plan_.says_parameters_ =
        plan_.says_keep_alive_ && !said_.parameters && facts_.keep_alive_seconds != 0;
  }

  ResponsePlan& plan_;
  const ResponseFacts& facts_;
  const SaidFields& said_;
};

Expected<void> ResponsePlan::decide() noexcept {
  WEIR_ASSERT(facts_.date.empty() || facts_.date.size() == kDateBytes);
  const SaidFields said = SaidFields::read(facts_.fields);
  if (auto checked = check(facts_, said); !checked) return checked;
  return ResponsePlanner(*this, said).decide();
}

Expected<ResponsePlan> plan_response(const ResponseFacts& facts) noexcept {
  Expected<ResponsePlan> plan(std::in_place, [&] { return facts; });
  if (auto decided = plan->decide(); !decided) return std::unexpected(decided.error());
  return plan;
}

// ---- Text ----

namespace {

// Connection without its keep-alive; no line when nothing else is in it.
template <class Sink>
void put_closing_connection(const Field& field, Sink& sink) noexcept {
  bool is_first = true;
  ListElements list(field.value);
  while (const auto element = list.next()) {
    if (element.text.empty() || equals_lower(element.text, "keep-alive")) continue;
    if (is_first) {
      sink.put(field.name);
      sink.put(": ");
    } else {
      sink.put(", ");
    }
    sink.put(element.text);
    is_first = false;
  }
  if (!is_first) sink.put("\r\n");
}

}  // namespace

template <class Sink>
void ResponsePlan::emit_user_fields(Sink& sink) const noexcept {
  const Fields& fields = *facts_.fields;
  if (!drops_length_ && !drops_coding_ && !drops_trailer_ && !drops_keep_alive_) {
    return fields.write(sink);
  }
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const Field field = fields.at(i);
    if (drops_length_ && equals_lower(field.name, "content-length")) continue;
    if (drops_coding_ && equals_lower(field.name, "transfer-encoding")) continue;
    if (drops_trailer_ && equals_lower(field.name, "trailer")) continue;
    if (drops_keep_alive_ && equals_lower(field.name, "connection")) {
      put_closing_connection(field, sink);
    } else {
      put_field(sink, field.name, field.value);
    }
  }
}

template <class Sink>
void ResponsePlan::emit_connection(Sink& sink) const noexcept {
  if (says_date_) put_field(sink, "Date", facts_.date);
  if (says_close_) sink.put("Connection: close\r\n");
  if (says_keep_alive_) sink.put("Connection: keep-alive\r\n");
  if (!says_parameters_) return;
  sink.put("Keep-Alive: timeout=");
  sink.put(std::uint64_t{facts_.keep_alive_seconds});
  if (facts_.requests_left.has_value()) {
    sink.put(", max=");
    sink.put(std::uint64_t{*facts_.requests_left});
  }
  sink.put("\r\n");
}

template <class Sink>
void ResponsePlan::emit(Sink& sink) const noexcept {
  if (facts_.status == 200 && facts_.reason.empty()) {  // as most are
    sink.put("HTTP/1.1 200 OK\r\n");
  } else {
    sink.put("HTTP/1.1 ");
    sink.put(static_cast<std::uint64_t>(facts_.status));
    sink.put(" ");
    sink.put(facts_.reason.empty() ? reason_phrase(facts_.status) : facts_.reason);
    sink.put("\r\n");
  }
  if (facts_.fields != nullptr) emit_user_fields(sink);
  const bool is_usual = says_date_ && says_parameters_ && !facts_.requests_left.has_value();
  if (is_usual && !facts_.usual_lines.empty()) {
    sink.put(facts_.usual_lines);
  } else {
    emit_connection(sink);
  }
  put_framing(sink, says_length_, framing_.length, says_chunked_);
  sink.put("\r\n");
}

std::size_t ResponsePlan::size() const noexcept {
  return text_size([this](auto& sink) { emit(sink); });
}

void ResponsePlan::write(std::span<char> out) const noexcept {
  write_text(out, size(), [this](auto& sink) { emit(sink); });
}

void ResponsePlan::append_to(std::string& out) const {
  // The status line, Date, Connection, Keep-Alive and the framing, each as long as it can be.
  constexpr std::size_t kOwnMax = 384;
  std::size_t fields = facts_.fields == nullptr ? 0 : facts_.fields->text_size();
  if (drops_keep_alive_) fields *= 2;  // the other elements of Connection get a blank each
  append_at_most(out, kOwnMax + facts_.reason.size() + fields,
                 [this](auto& sink) { emit(sink); });
}

}  // namespace weir::inline v1::http
