#include "weir/reactor/error.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

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
    {"ERR_INVALID_FD_TYPE", "the descriptor is not a socket of the kind that is needed"},
    {"ERR_OUT_OF_RANGE", "a value is out of its range"},
    {"ERR_UNKNOWN_ENCODING", "unknown encoding"},
    {"ERR_STREAM_DESTROYED", "the socket was destroyed before this was sent"},
    {"ERR_STREAM_ALREADY_FINISHED", "the socket has finished already"},
    {"ERR_SOCKET_CLOSED_BEFORE_CONNECTION", "the socket was closed before it was connected"},
    {"ERR_IP_BLOCKED", "the address is in the block list"},
    {"ABORT_ERR", "the operation was aborted"},
    {"ERR_INVALID_HTTP_TOKEN", "not a token of HTTP"},
    {"ERR_INVALID_CHAR", "a control character where HTTP allows none"},
    {"ERR_HTTP_INVALID_STATUS_CODE", "not a status code that can be sent"},
    {"ERR_HTTP_HEADERS_SENT", "the head is settled already"},
    {"ERR_HTTP_CONTENT_LENGTH_MISMATCH", "more bytes of body than Content-Length says"},
    {"ERR_HTTP_TRAILER_INVALID", "trailers are not possible in this message"},
    {"ERR_SOCKET_ALREADY_BOUND", "the socket is bound already"},
    {"ERR_SOCKET_DGRAM_NOT_RUNNING", "the socket is closed"},
    {"ERR_SOCKET_DGRAM_IS_CONNECTED", "the socket is connected: it has one peer"},
    {"ERR_SOCKET_DGRAM_NOT_CONNECTED", "the socket is not connected: say to whom"},
    {"ERR_SOCKET_BAD_BUFFER_SIZE", "a buffer's size must be a number of bytes above 0"},
    {"ERR_UNESCAPED_CHARACTERS", "a blank or a control character in a request target"},
    {"ERR_INVALID_PROTOCOL", "not a protocol that is spoken here"},
};

constexpr MistakeText kResolveErrors[] = {
    {"OK", "no error"},
    {"ENOTFOUND", "the name has no such address"},
    {"EAI_AGAIN", "the lookup found no answer for now"},
    {"EAI_FAIL", "the lookup failed"},
    {"EAI_MEMORY", "no memory for the lookup"},
};

class TextCategory final : public NamedCategory {
 public:
  TextCategory(const char* name, std::span<const MistakeText> texts) noexcept
      : name_(name), texts_(texts) {}
  const char* name() const noexcept override { return name_; }
  std::string message(int value) const override { return text_of(value).text; }
  std::string_view name_of(int value) const noexcept override { return text_of(value).name; }

 private:
  const MistakeText& text_of(int value) const noexcept {
    const auto index = static_cast<std::size_t>(value);
    return texts_[index < texts_.size() ? index : 0];
  }

  const char* name_;
  std::span<const MistakeText> texts_;
};

const TextCategory kMistakeCategory("weir", kMistakes);
const TextCategory kResolveCategory("weir.getaddrinfo", kResolveErrors);

// As in "listen EADDRINUSE: address already in use 127.0.0.1:80".
std::string lower_first(std::string text) {
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] + 32);
  return text;
}

}  // namespace

std::error_code make_error_code(Mistake mistake) noexcept {
  return {static_cast<int>(mistake), kMistakeCategory};
}

std::error_code make_error_code(ResolveError error) noexcept {
  return {static_cast<int>(error), kResolveCategory};
}

std::error_code errno_code(int number) noexcept {
  return {number < 0 ? -number : number, std::system_category()};
}

std::string_view name_of(const std::error_code& code) noexcept {
  if (std::string_view(code.category().name()).starts_with("weir")) {
    return static_cast<const NamedCategory&>(code.category()).name_of(code.value());
  }
  const char* name = strerrorname_np(code.value());
  return name == nullptr ? "EUNKNOWN" : name;
}

int Error::number() const noexcept {
  return code.category() == std::system_category() ? -code.value() : 0;
}

std::string Error::message() const {
  std::string result;
  if (*syscall != '\0') result.append(syscall).append(" ");
  result += name_of(code);
  if (!detail.empty()) {
    result += ": " + detail;
  } else if (code.category() != std::system_category() &&
             code.category() != kResolveCategory) {
    result += ": " + code.message();
  } else if (std::string_view(syscall) == "listen") {
    result += ": " + lower_first(code.message());
  }
  if (!host.empty()) return result + " " + host;
  const bool no_port = !address.is_unix() && address.port() == 0;
  const std::string where = no_port ? address.ip().ip() : address.to_string();
  if (!where.empty()) result += " " + where;
  return result;
}

int fail(const Error& error) {
  std::fprintf(stderr, "error: %s\n", error.message().c_str());
  return EXIT_FAILURE;
}

}  // namespace weir::inline v1
