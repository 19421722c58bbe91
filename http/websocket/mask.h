// Masking (RFC 6455, section 5.3). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/http/websocket/frame.h"

namespace weir::inline v1::http::websocket {

// out[i] = in[i] ^ key[(offset + i) % 4]; masking and unmasking are the same. `offset` is that of
// the first byte in its frame. `out` has room for all of `in`, and is `in` itself, or before it, or
// elsewhere: it is written from the front. Returns whether every byte of `out` is ASCII, which
// costs nothing on the way. SSE2 on x86-64.
bool apply_mask(std::string_view in, char* out, const MaskKey& key, std::uint64_t offset) noexcept;

// The same, one byte at a time: what other processors than x86-64 run, and what the tests compare
// the vector version with.
namespace scalar {
bool apply_mask(std::string_view in, char* out, const MaskKey& key, std::uint64_t offset) noexcept;
}  // namespace scalar

}  // namespace weir::inline v1::http::websocket
