// What a Range field asks for (RFC 9110, section 14). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace weir::inline v1::http {

struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t size = 0;  // above 0

  bool operator==(const ByteRange&) const = default;
};

struct AskedRanges {
  enum class Kind : std::uint8_t {
    whole,          // the field is to be ignored: everything, with a 200
    some,           // `ranges`, in the order in which they were asked for
    unsatisfiable,  // none of them has a byte in it: 416
  };
  Kind kind = Kind::whole;
  std::vector<ByteRange> ranges;
};

// Of a representation of `size` bytes. Ranges without a byte in it are left out. Ignored is what is
// no set of byte ranges, has more than `ranges_max`, or asks for more bytes than there are: ranges
// that overlap so much are an attack or a mistake (RFC 9110, section 14.2).
AskedRanges parse_byte_ranges(std::string_view field, std::uint64_t size, std::size_t ranges_max);

}  // namespace weir::inline v1::http
