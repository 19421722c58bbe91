// A response that is a file: conditions, ranges, and the bytes. Private to http.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/http/accepted_codings.h"
#include "weir/http/response.h"
#include "http/file_cache.h"

namespace weir::inline v1::http {

struct FileResponse {
  std::string_view type;  // Content-Type
  ContentCoding coding = ContentCoding::identity;
  std::string_view cache_control;  // empty: none
  bool varies = false;  // with Accept-Encoding
  std::size_t ranges_max = 0;
  std::int64_t now = 0;  // seconds since 1970-01-01T00:00:00Z
};

// Ends the response, to GET or HEAD.
void answer_with_file(Response& response, const CachedFile& file, const FileResponse& how);

// Ends it with this status and its reason as the text.
void answer_status(Response& response, int status);

}  // namespace weir::inline v1::http
