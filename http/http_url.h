// Where a request goes, out of "http://user:secret@host:8080/path?query#part". Pure.
#pragma once

#include <string>
#include <string_view>

#include "weir/http/limits.h"
#include "weir/reactor/error.h"

namespace weir::inline v1::http {

struct HttpUrl {
  std::string host;  // a name or an address, an IPv6 one without its brackets
  int port = limits::kPortDefault;
  std::string target;    // path and query as they stand there; the path is "/" where it is empty
  std::string userinfo;  // before the '@', not decoded; see basic_credentials()
};

// Strict, where browsers guess: a backslash is no slash, one '@' at most, no '%' in the host, and
// nothing is escaped or decoded. Allocates; it takes at most limits::kSentRequestLineBytesMax.
// Errors: Mistake::invalid_protocol (another scheme than http), bad_port, unescaped_characters (a
// blank or a control byte anywhere), out_of_range, and bad_argument for all else.
Expected<HttpUrl> parse_http_url(std::string_view text);

// The value of Authorization (RFC 7617): "Basic " and base64 of "user:password", whose percent
// escapes are decoded; an invalid one stays as it is. A colon is added when there is none.
std::string basic_credentials(std::string_view userinfo);

}  // namespace weir::inline v1::http
