// Any bytes, cut anywhere: RequestParser says the same, and what it accepts can be read in one way.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/cut.h"
#include "tests/http_trace.h"
#include "weir/http/field_value.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

std::size_t count_of(std::span<const http::Field> fields, std::string_view name) {
  std::size_t count = 0;
  for (const http::Field& field : fields) count += http::equals_lower(field.name, name) ? 1 : 0;
  return count;
}

// Written down a second time, plainly: what the head of an accepted request may look like.
void check_head(const http::RequestHead& head, const http::ParserLimits& limits) {
  using Kind = http::Framing::Kind;
  const std::size_t lengths = count_of(head.fields, "content-length");
  const std::size_t codings = count_of(head.fields, "transfer-encoding");
  const std::size_t hosts = count_of(head.fields, "host");
  WEIR_ASSERT(lengths + codings <= 1);
  WEIR_ASSERT((head.framing.kind == Kind::length) == (lengths == 1));
  WEIR_ASSERT((head.framing.kind == Kind::chunked) == (codings == 1));
  WEIR_ASSERT(codings == 0 || head.version_minor == 1);
  WEIR_ASSERT(head.version_minor == 0 ? hosts <= 1 : hosts == 1);
  WEIR_ASSERT(head.version_minor == 0 || !head.host.empty());
  WEIR_ASSERT(head.fields.size() <= limits.fields_max);
  WEIR_ASSERT(!head.target.empty());
  for (const char c : head.target) WEIR_ASSERT(c > 0x20 && c < 0x7f && c != '#');
  std::size_t bytes = head.method_text().size() + head.target.size() + 14;
  for (const http::Field& field : head.fields) {
    WEIR_ASSERT(http::is_token(field.name));
    WEIR_ASSERT(http::is_field_value(field.value));
    bytes += field.name.size() + field.value.size() + 3;
    if (http::equals_lower(field.name, "content-length")) {
      WEIR_ASSERT(field.value == std::to_string(head.framing.length));
    }
    if (http::equals_lower(field.name, "transfer-encoding")) {
      WEIR_ASSERT(http::equals_lower(field.value, "chunked"));
    }
  }
  WEIR_ASSERT(bytes <= limits.head_bytes_max);
}

void check_heads(std::string_view input, const http::ParserLimits& limits) {
  using Kind = http::Step::Kind;
  http::RequestParser parser(&limits);
  for (;;) {
    const http::Step step = parser.next(input);
    input.remove_prefix(step.consumed);
    if (step.kind == Kind::head) check_head(parser.head(), limits);
    if (step.kind == Kind::need_more || step.kind == Kind::error) return;
  }
}

// The first bytes choose the limits and the cuts.
void try_bytes(std::string_view bytes) {
  const Cuts cuts(bytes);
  const http::ParserLimits limits = cuts.limits();
  const std::string_view input = cuts.input();
  const Trace whole = trace_of({input}, limits);
  WEIR_ASSERT(trace_of(cuts.pieces(), limits) == whole);
  WEIR_ASSERT(trace_of(split_in_bytes(input), limits) == whole);
  check_heads(input, limits);
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
