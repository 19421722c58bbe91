// Any bytes, cut anywhere, in answer to anything: ResponseParser says the same, and what it accepts
// can be read in one way.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/cut.h"
#include "tests/http_trace.h"
#include "weir/http/field_value.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

using http::Answers;

// The values of all fields of this name.
std::vector<std::string_view> values_of(const http::ReceivedHead& head, std::string_view name) {
  std::vector<std::string_view> values;
  for (const http::Field& field : head.fields) {
    if (http::equals_lower(field.name, name)) values.push_back(field.value);
  }
  return values;
}

bool has_no_body(int status, Answers answers) {
  if (answers == Answers::head) return true;
  if (answers == Answers::connect && status >= 200 && status < 300) return true;
  return (status >= 100 && status < 200) || status == 204 || status == 304;
}

// Written down a second time, plainly: how an accepted response may be framed.
void check_framing(const http::ReceivedHead& head, Answers answers) {
  using Kind = http::BodyFraming::Kind;
  const auto lengths = values_of(head, "content-length");
  const auto codings = values_of(head, "transfer-encoding");
  WEIR_ASSERT(lengths.size() + codings.size() <= 1);
  WEIR_ASSERT(codings.empty() || head.version_minor == 1);
  WEIR_ASSERT(codings.empty() || http::equals_lower(codings[0], "chunked"));
  const Kind kind = head.framing.kind;
  if (has_no_body(head.status, answers)) {
    WEIR_ASSERT(kind == Kind::none);
  } else if (!codings.empty()) {
    WEIR_ASSERT(kind == Kind::chunked);
  } else if (!lengths.empty()) {
    WEIR_ASSERT(kind == Kind::length && lengths[0] == std::to_string(head.framing.length));
  } else {
    WEIR_ASSERT(kind == Kind::until_close && !head.keep_alive);
  }
}

void check_head(const http::ReceivedHead& head, const http::ParserLimits& limits) {
  WEIR_ASSERT(head.status >= 100 && head.status <= 999);
  WEIR_ASSERT(head.is_interim() == (head.status < 200 && head.status != 101));
  WEIR_ASSERT(!head.keep_alive || head.version_minor == 1);
  WEIR_ASSERT(!head.has_upgrade || head.version_minor == 1);
  WEIR_ASSERT(head.fields.size() <= limits.fields_max);
  for (const char c : head.reason) {
    WEIR_ASSERT(c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
  }
  std::size_t bytes = std::string_view("HTTP/1.1 200\r\n\r\n").size() + head.reason.size();
  for (const http::Field& field : head.fields) {
    WEIR_ASSERT(http::is_token(field.name));
    WEIR_ASSERT(http::is_field_value(field.value));
    bytes += field.name.size() + field.value.size() + 3;
  }
  WEIR_ASSERT(bytes <= limits.head_bytes_max);
}

void check_heads(std::string_view input, const http::ParserLimits& limits, Answers answers) {
  using Kind = http::Step::Kind;
  http::ResponseParser parser(&limits);
  parser.expect(answers);
  for (;;) {
    const http::Step step = parser.next(input);
    input.remove_prefix(step.consumed);
    if (step.kind == Kind::head) {
      check_head(parser.head(), limits);
      check_framing(parser.head(), answers);
    }
    if (step.kind == Kind::need_more || step.kind == Kind::error) return;
  }
}

// The first bytes choose the limits and the cuts.
void try_bytes(std::string_view bytes) {
  const Cuts cuts(bytes);
  const http::ParserLimits limits = cuts.limits();
  const std::string_view input = cuts.input();
  for (const Answers answers : {Answers::other, Answers::head, Answers::connect}) {
    const Trace whole = response_trace_of({input}, limits, {&answers, 1});
    WEIR_ASSERT(response_trace_of(cuts.pieces(), limits, {&answers, 1}) == whole);
    WEIR_ASSERT(response_trace_of(split_in_bytes(input), limits, {&answers, 1}) == whole);
    check_heads(input, limits, answers);
  }
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
