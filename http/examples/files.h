// Files below a directory as bodies of responses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "weir/http/response.h"
#include "weir/reactor/error.h"
#include "weir/reactor/posix.h"

namespace weir::example {

// A regular file, open for reading.
struct File {
  posix::Fd fd;
  std::uint64_t size = 0;
};

Expected<posix::Fd> open_directory(const std::string& path);

// `name` is relative to the directory, and no way out of it: an empty component, "." and "..", a
// NUL and every symbolic link are refused. ENOENT for all that is not a regular file.
Expected<File> open_below(const posix::Fd& directory, std::string_view name);

// Of a request's path: each %XX is a byte. Nothing when an escape is broken, or stands for a slash
// or a NUL, which no file's name has.
std::optional<std::string> decode_path(std::string_view path);

// Writes the file as the body and ends the response; HEAD gets none of it. It is read in pieces of
// 64 KiB on the reactor's thread, the next one when the client has taken the last: as much as the
// file had when it was opened. When it has become shorter, the connection is destroyed.
void send_file(http::Response& response, File file);

}  // namespace weir::example
