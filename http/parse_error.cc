#include "weir/http/parse_error.h"

#include <cstddef>
#include <iterator>
#include <string>

#include "weir/reactor/error.h"

namespace weir::inline v1::http {
namespace {

// In the order of the enumeration.
constexpr ParseErrorFacts kFacts[] = {
    {0, "", "no error"},
    {400, "HPE_INVALID_METHOD", "too many empty lines, or half of one, before a request"},
    {400, "HPE_INVALID_METHOD", "no known method"},
    {400, "HPE_INVALID_URL", "a malformed request target, or a form of it that the method forbids"},
    {400, "HPE_INVALID_CONSTANT", "the request line does not end with HTTP/ and a version"},
    {505, "HPE_INVALID_VERSION", "neither HTTP/1.0 nor HTTP/1.1"},
    {414, "HPE_HEADER_OVERFLOW", "the request line is too long"},
    {431, "HPE_HEADER_OVERFLOW", "the head is too large"},
    {431, "HPE_HEADER_OVERFLOW", "too many fields"},
    {400, "HPE_STRICT", "a control byte, or CR or LF without the other, in a line"},
    {400, "HPE_INVALID_HEADER_TOKEN", "a field line without a name, or with a malformed one"},
    {400, "HPE_INVALID_HEADER_TOKEN", "a blank between a field's name and its colon"},
    {400, "HPE_INVALID_HEADER_TOKEN", "a line that continues the one before"},
    {400, "HPE_MISSING_HOST", "HTTP/1.1 without a Host field"},
    {400, "HPE_INVALID_HOST", "more than one Host field"},
    {400, "HPE_INVALID_HOST", "a malformed Host field"},
    {400, "HPE_UNEXPECTED_CONTENT_TYPE", "more than one Content-Type field"},
    {400, "HPE_INVALID_CONTENT_LENGTH", "a malformed Content-Length field"},
    {400, "HPE_UNEXPECTED_CONTENT_LENGTH", "more than one Content-Length field"},
    {400, "HPE_INVALID_TRANSFER_ENCODING", "both Content-Length and Transfer-Encoding"},
    {400, "HPE_INVALID_TRANSFER_ENCODING", "Transfer-Encoding in HTTP/1.0"},
    {400, "HPE_INVALID_TRANSFER_ENCODING", "a Transfer-Encoding that is not exactly one chunked"},
    {501, "HPE_INVALID_TRANSFER_ENCODING", "a transfer coding besides chunked"},
    {400, "HPE_INVALID_HEADER_TOKEN", "a field name that others may take for one of framing"},
    {400, "HPE_INVALID_CHUNK_SIZE", "a malformed chunk size"},
    {400, "HPE_INVALID_CHUNK_SIZE", "a chunk size with too many digits"},
    {400, "HPE_INVALID_CHUNK_EXTENSION", "a malformed chunk extension"},
    {400, "HPE_CHUNK_EXTENSIONS_OVERFLOW", "too many bytes of chunk extensions"},
    {400, "HPE_STRICT", "CR and LF expected behind a chunk size"},
    {400, "HPE_STRICT", "CR and LF expected behind a chunk's data"},
    {400, "HPE_INVALID_TRAILER", "a field that may not be a trailer"},
    {431, "HPE_HEADER_OVERFLOW", "the trailer section is too large"},
    {502, "HPE_INVALID_CONSTANT", "the response does not begin with HTTP/"},
    {502, "HPE_INVALID_STATUS", "no status of three digits, from 100 on, behind the version"},
    {502, "HPE_INVALID_EOF_STATE", "the connection ended within the message"},
    {502, "ERR_HTTP_TOO_MANY_INTERIM_RESPONSES", "interim responses without end"},
    {503, "ENOMEM", "memory was refused"},
};
static_assert(std::size(kFacts) == static_cast<std::size_t>(ParseError::no_memory) + 1);

class ParseErrorCategory final : public NamedCategory {
 public:
  const char* name() const noexcept override { return "weir.http"; }
  std::string message(int value) const override { return std::string(facts(value).text); }
  std::string_view name_of(int value) const noexcept override { return facts(value).code; }

 private:
  static const ParseErrorFacts& facts(int value) noexcept {
    const auto index = static_cast<std::size_t>(value);
    return kFacts[index < std::size(kFacts) ? index : 0];
  }
};

const ParseErrorCategory kCategory;

}  // namespace

const ParseErrorFacts& facts_of(ParseError error) noexcept {
  return kFacts[static_cast<std::size_t>(error)];
}

std::error_code make_error_code(ParseError error) noexcept {
  return {static_cast<int>(error), kCategory};
}

}  // namespace weir::inline v1::http
