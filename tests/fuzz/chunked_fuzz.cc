// Any bytes, cut anywhere: ChunkedDecoder says the same, and what it accepts is what a plain reader
// of whole bodies, written down here a second time, finds in them.
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tests/fuzz/cut.h"
#include "tests/http_trace.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

// The body of an accepted message. It trusts that the sizes and line ends are good, so where the
// decoder took something else the two differ.
std::optional<std::string> read_plainly(std::string_view text) {
  std::string body;
  for (;;) {
    const std::size_t line = text.find("\r\n");
    if (line == std::string_view::npos) return std::nullopt;
    std::uint64_t size = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + line, size, 16);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(line + 2);
    if (size == 0) return body;
    if (text.size() < size || text.substr(size, 2) != "\r\n") return std::nullopt;
    body += text.substr(0, size);
    text.remove_prefix(size + 2);
  }
}

void try_bytes(std::string_view bytes) {
  Cuts cuts(bytes);
  http::ParserLimits limits;
  if (cuts.is_small()) {
    limits = {.fields_max = 3, .chunk_extension_bytes_max = 8, .trailer_bytes_max = 32};
  }
  const std::string_view input = cuts.input();
  const Trace whole = chunked_trace_of({input}, limits);
  WEIR_ASSERT(chunked_trace_of(cuts.pieces(), limits) == whole);
  WEIR_ASSERT(chunked_trace_of(split_in_bytes(input), limits) == whole);
  if (whole.empty() || !whole.back().starts_with("end")) return;
  const std::optional<std::string> body = read_plainly(input);
  WEIR_ASSERT(body.has_value());
  WEIR_ASSERT((whole.size() == 1 ? "" : whole[0]) == (body->empty() ? "" : "body " + *body));
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
