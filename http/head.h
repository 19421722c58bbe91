// The head of a request, parsed.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "weir/http/field.h"
#include "weir/http/framing.h"
#include "weir/http/method.h"
#include "weir/http/target.h"

namespace weir::inline v1::http {

enum class Expectation : std::uint8_t { none, proceed, other };  // proceed: 100-continue

// Views of the input that had the whole head in it, or else of the parser's own copy. They are good
// until that input is released, or the parser is reset or asked for the next message.
struct RequestHead {
  Method method = Method::get;
  int version_minor = 1;    // of HTTP/1
  std::string_view target;  // as sent
  TargetForm form = TargetForm::origin;
  // Host and port as sent: the target's if it has them, else the Host field's (RFC 9112, section
  // 3.2.2, wants the field ignored then). Empty for HTTP/1.0 without any.
  std::string_view host;
  std::span<const Field> fields;                // in order
  Framing framing;                              // never Kind::error
  Expectation expectation = Expectation::none;  // none for HTTP/1.0
  // The client wants the connection kept: by default in HTTP/1.1, in HTTP/1.0 when it says so.
  bool keep_alive = true;
  // Upgrade names a protocol and Connection says so, in HTTP/1.1.
  bool has_upgrade = false;

  std::string_view method_text() const noexcept { return name_of(method); }
};

}  // namespace weir::inline v1::http
