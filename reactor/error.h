// Errors as values: what happened, in which system call, and where.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "weir/reactor/address.h"

namespace weir::inline v1 {

// Mistakes of the caller, found before any system call. The names that name_of() gives are the
// ones that Node's users know.
enum class Mistake : int {
  write_after_end = 1,    // ERR_STREAM_WRITE_AFTER_END
  bad_port,               // ERR_SOCKET_BAD_PORT
  missing_arguments,      // ERR_MISSING_ARGS
  bad_argument,           // ERR_INVALID_ARG_VALUE
  bad_ip_address,         // ERR_INVALID_IP_ADDRESS
  already_listening,      // ERR_SERVER_ALREADY_LISTEN
  not_running,            // ERR_SERVER_NOT_RUNNING
  already_connected,      // ERR_SOCKET_ALREADY_CONNECTED
  socket_closed,          // ERR_SOCKET_CLOSED
  bad_handle_type,        // ERR_INVALID_HANDLE_TYPE
  bad_fd_type,            // ERR_INVALID_FD_TYPE
  out_of_range,           // ERR_OUT_OF_RANGE
  unknown_encoding,       // ERR_UNKNOWN_ENCODING
  stream_destroyed,       // ERR_STREAM_DESTROYED
  already_finished,       // ERR_STREAM_ALREADY_FINISHED
  closed_before_connection,  // ERR_SOCKET_CLOSED_BEFORE_CONNECTION
  ip_blocked,             // ERR_IP_BLOCKED
  aborted,                // ABORT_ERR
  invalid_http_token,     // ERR_INVALID_HTTP_TOKEN
  invalid_char,           // ERR_INVALID_CHAR
  invalid_status_code,    // ERR_HTTP_INVALID_STATUS_CODE
  headers_sent,           // ERR_HTTP_HEADERS_SENT
  content_length_mismatch,  // ERR_HTTP_CONTENT_LENGTH_MISMATCH
  trailer_invalid,        // ERR_HTTP_TRAILER_INVALID
  already_bound,          // ERR_SOCKET_ALREADY_BOUND
  datagram_not_running,   // ERR_SOCKET_DGRAM_NOT_RUNNING
  datagram_connected,     // ERR_SOCKET_DGRAM_IS_CONNECTED
  datagram_not_connected,  // ERR_SOCKET_DGRAM_NOT_CONNECTED
  bad_buffer_size,        // ERR_SOCKET_BAD_BUFFER_SIZE
  unescaped_characters,   // ERR_UNESCAPED_CHARACTERS
  invalid_protocol,       // ERR_INVALID_PROTOCOL
};

// What getaddrinfo(3) says, apart from its system errors, which are errno values.
enum class ResolveError : int {
  not_found = 1,  // ENOTFOUND: no such name, or no address of the family
  try_again,      // EAI_AGAIN: no answer from a name server, or too many lookups are waiting
  failed,         // EAI_FAIL: the name server refuses, or a resolver gave no answer
  no_memory,      // EAI_MEMORY
};

// Errors that have names of their own besides a text, for name_of(), which knows them by their
// category's name: it begins with "weir".
class NamedCategory : public std::error_category {
 public:
  virtual std::string_view name_of(int value) const noexcept = 0;
};

std::error_code make_error_code(Mistake mistake) noexcept;
std::error_code make_error_code(ResolveError error) noexcept;
// From an errno value, or from its negative as system calls and completions give it.
std::error_code errno_code(int number) noexcept;
// "ECONNREFUSED", "ERR_SERVER_ALREADY_LISTEN", ...; static text.
std::string_view name_of(const std::error_code& code) noexcept;

// A copyable value. `syscall` is static text: "connect", "listen", "bind", "read", "write",
// "accept", "getaddrinfo", or empty for a mistake of the caller.
struct Error {
  std::error_code code = {};
  const char* syscall = "";
  Address address = {};      // where known, else Family::none
  std::string detail = {};   // what was wrong and what to do, where the code alone does not say it
  std::string host = {};     // the name that was looked up
  Address local = {};        // our end, where it was given or is known
  std::vector<Error> errors = {};  // of several attempts to connect; `code` is the first one's

  // The errno value, negative; 0 when no system call is to blame.
  int number() const noexcept;
  // "connect ECONNREFUSED 127.0.0.1:1", "getaddrinfo ENOTFOUND nowhere.invalid"
  std::string message() const;
};

template <class T>
using Expected = std::expected<T, Error>;

inline std::unexpected<Error> failure(Error error) { return std::unexpected(std::move(error)); }

// For a program's main: prints "error: <message>" on stderr and returns exit code 1.
int fail(const Error& error);

}  // namespace weir::inline v1

template <>
struct std::is_error_code_enum<weir::Mistake> : std::true_type {};
template <>
struct std::is_error_code_enum<weir::ResolveError> : std::true_type {};
