// From the path of a URL to the name of a file. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace weir::inline v1::http {

// `path` is relative: without the slash, or the place, that it begins behind. Each %XX is a byte.
// Nothing when it names no file: a broken escape, one that stands for a slash or a NUL, an empty
// component but the last one, "." and ".."; without `hidden` a name that begins with a dot; and one
// of more than kFileNameBytesMax.
// A name with a slash at its end, or an empty one, is that of a directory.
std::optional<std::string> file_name_of(std::string_view path, bool hidden);

// Whether that may be the outcome.
bool is_served(std::string_view name, bool hidden);

// The other way, for one component: all bytes that may mean something are escaped.
std::string escape_component(std::string_view name);

}  // namespace weir::inline v1::http
