// What the user's fields say about the message that they are sent with.
#pragma once

#include <cstdint>
#include <string_view>

#include "weir/http/connection_options.h"
#include "weir/http/field.h"
#include "weir/http/fields.h"
#include "weir/reactor/error.h"

namespace weir::inline v1::http {

struct SaidFields {
  int lengths = 0;
  int codings = 0;  // elements of Transfer-Encoding
  int chunked = 0;  // those that are chunked
  bool chunked_last = false;
  bool malformed = false;  // Content-Length or Transfer-Encoding
  std::uint64_t length = 0;
  int hosts = 0;
  bool has_connection = false;
  ConnectionOptions connection;
  bool parameters = false;  // Keep-Alive
  bool date = false;
  bool trailer = false;
  bool upgrade = false;           // and it names a protocol
  bool expects_continue = false;  // Expect: 100-continue

  // `fields` may be null.
  static SaidFields read(const Fields* fields) noexcept;
  // Mistake::bad_argument: they contradict each other, or say a length that cannot be sent.
  Expected<void> check_framing() const noexcept;

 private:
  void take(const Field& field) noexcept;
  void take_codings(std::string_view value) noexcept;
};

}  // namespace weir::inline v1::http
