#include "weir/reactor/error.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

namespace weir::inline v1 {
namespace {

struct MistakeText {
  const char* name;
  const char* text;
};

constexpr MistakeText kMistakes[] = {
    {"OK", "no mistake"},
    {"ERR_STREAM_WRITE_AFTER_END", "write after end"},
    {"ERR_SOCKET_BAD_PORT", "a port must be in 0..65535"},
    {"ERR_MISSING_ARGS", "neither port, path nor fd was given"},
    {"ERR_INVALID_ARG_VALUE", "invalid argument"},
    {"ERR_INVALID_IP_ADDRESS", "not a numeric IP address"},
    {"ERR_SERVER_ALREADY_LISTEN", "the server is listening already"},
    {"ERR_SERVER_NOT_RUNNING", "the server is not running"},
    {"ERR_SOCKET_ALREADY_CONNECTED", "the socket is connecting or connected already"},
    {"ERR_SOCKET_CLOSED", "the socket is closed"},
    {"ERR_INVALID_HANDLE_TYPE", "this kind of handle does not support the operation"},
};

const MistakeText& text_of(int value) noexcept {
  const auto index = static_cast<std::size_t>(value);
  return kMistakes[index < std::size(kMistakes) ? index : 0];
}

class MistakeCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "weir"; }
  std::string message(int value) const override { return text_of(value).text; }
};

const MistakeCategory kMistakeCategory;

}  // namespace

std::error_code make_error_code(Mistake mistake) noexcept {
  return {static_cast<int>(mistake), kMistakeCategory};
}

std::error_code errno_code(int number) noexcept {
  return {number < 0 ? -number : number, std::system_category()};
}

std::string_view name_of(const std::error_code& code) noexcept {
  if (code.category() == kMistakeCategory) return text_of(code.value()).name;
  const char* name = strerrorname_np(code.value());
  return name == nullptr ? "EUNKNOWN" : name;
}

std::string Error::message() const {
  std::string result;
  if (*syscall != '\0') result.append(syscall).append(" ");
  result += name_of(code);
  const std::string where = address.to_string();
  if (detail.empty()) {
    if (code.category() == kMistakeCategory) result += ": " + code.message();
  } else {
    result += ": " + detail;
  }
  if (!where.empty()) result += " " + where;
  return result;
}

int fail(const Error& error) {
  std::fprintf(stderr, "error: %s\n", error.message().c_str());
  return EXIT_FAILURE;
}

}  // namespace weir::inline v1
