// Heads that need no planning: interim responses, and answers to what was not understood.
#pragma once

#include <string>
#include <string_view>

#include "weir/http/fields.h"
#include "weir/reactor/error.h"

namespace weir::inline v1::http {

// Interim responses (RFC 9110, section 15.2). Any number may precede a response to HTTP/1.1; to
// HTTP/1.0 none may be sent.
constexpr bool allows_interim(int version_minor) noexcept { return version_minor > 0; }
inline constexpr std::string_view kContinueHead = "HTTP/1.1 100 Continue\r\n\r\n";
inline constexpr std::string_view kProcessingHead = "HTTP/1.1 102 Processing\r\n\r\n";

// 103 with these fields, one or more Link among them (RFC 8297). Allocates in `out`. Error, after
// which nothing was appended: Mistake::bad_argument (no Link; Content-Length, Transfer-Encoding,
// Connection, Keep-Alive, Trailer or Upgrade, which are not for an interim response).
Expected<void> append_early_hints(const Fields& fields, std::string& out);

// Status line, Connection: close, empty line: what a client gets for a request that could not be
// read, or not in time; the connection is to be closed behind it. Of static storage duration. A
// status that has none, as no part of this library gives it, gets the one of 400 or 500 (RFC 9110,
// section 15).
std::string_view error_answer(int status) noexcept;

}  // namespace weir::inline v1::http
