#include "http/file_response.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "weir/http/byte_ranges.h"
#include "weir/http/date.h"
#include "weir/http/field_value.h"
#include "weir/http/preconditions.h"
#include "weir/http/status.h"
#include "weir/reactor/posix.h"

namespace weir::inline v1::http {
namespace {

// ---- Texts ----

// A short text that is put together in place.
template <std::size_t kRoom>
class ShortText {
 public:
  ShortText& add(std::string_view text) noexcept {
    for (const char c : text) room_[size_++] = c;
    return *this;
  }
  ShortText& add(std::uint64_t number, int base = 10) noexcept {
    char* const at = room_.data() + size_;
    size_ += static_cast<std::size_t>(
        std::to_chars(at, room_.data() + room_.size(), number, base).ptr - at);
    return *this;
  }
  std::string_view view() const noexcept { return {room_.data(), size_}; }

 private:
  std::array<char, kRoom> room_;
  std::size_t size_ = 0;
};

constexpr std::size_t kTagRoom = 4 * 16 + 9;     // four numbers in hex, W/, quotes, dashes, w
constexpr std::size_t kRangeRoom = 3 * 20 + 16;  // three numbers

// By the time of the last change, which nobody can set, as the time of the last modification can
// be. W/ as long as another change would not show, and then another text too: If-None-Match does
// not look at W/.
ShortText<kTagRoom> etag_of(const CachedFile& file) noexcept {
  const posix::FileFacts& facts = file.facts;
  ShortText<kTagRoom> tag;
  if (!file.settled) tag.add("W/");
  tag.add("\"").add(facts.inode, 16).add("-").add(facts.size, 16).add("-");
  tag.add(static_cast<std::uint64_t>(facts.changed), 16).add("-");
  tag.add(facts.changed_nanoseconds, 16);
  return tag.add(file.settled ? "\"" : "-w\"");
}

ShortText<kRangeRoom> content_range(const ByteRange& range, std::uint64_t size) noexcept {
  ShortText<kRangeRoom> text;
  text.add("bytes ").add(range.first).add("-").add(range.first + range.size - 1);
  return text.add("/").add(size);
}

// ---- Fields ----

void set_length(Response& response, std::uint64_t size) {
  response.set_header("Content-Length", ShortText<20>().add(size).view());
}

// Not after Date (RFC 9110, section 8.8.2.1).
std::int64_t last_modified(const CachedFile& file, const FileResponse& how) noexcept {
  return std::min(file.facts.modified, how.now);
}

// What is said of a file, or of its bytes. All of it, or there is no answer: bytes without their
// Content-Encoding, or kept without their Vary, would be taken for others.
class Description {
 public:
  explicit Description(Fields& fields) noexcept : fields_(fields) {}

  Description& set(std::string_view name, std::string_view value) noexcept {
    complete_ = complete_ && fields_.set(name, value).has_value();
    return *this;
  }
  Description& add(std::string_view etag, const FileResponse& how) noexcept {
    set("ETag", etag);
    if (!how.cache_control.empty()) set("Cache-Control", how.cache_control);
    return *this;
  }
  // And of the bytes.
  Description& add(std::string_view etag, const CachedFile& file,
                   const FileResponse& how) noexcept {
    add(etag, how);
    const auto modified = format_date(last_modified(file, how));
    set("Last-Modified", {modified.data(), modified.size()});
    set("Accept-Ranges", "bytes").set("X-Content-Type-Options", "nosniff");
    if (how.coding == ContentCoding::brotli) set("Content-Encoding", "br");
    if (how.coding == ContentCoding::gzip) set("Content-Encoding", "gzip");
    return *this;
  }
  Description& set_length(std::uint64_t size) noexcept {
    return set("Content-Length", ShortText<20>().add(size).view());
  }
  bool complete() const noexcept { return complete_; }

 private:
  Fields& fields_;
  bool complete_ = true;
};

// Beside what the handler has set. False: there is no memory for them, and the response is no more.
bool give(Response& response, const Description& description, const Fields& fields, bool varies) {
  const bool given = description.complete() &&
                     (!varies || response.append_header("Vary", "Accept-Encoding")) &&
                     response.set_headers(fields);
  if (!given) response.destroy(errno_code(ENOMEM));
  return given;
}

Description& describe_whole(Description& description, std::string_view etag,
                            const CachedFile& file, const FileResponse& how) {
  return description.add(etag, file, how).set("Content-Type", how.type).set_length(file.size());
}

// Those of an answer with all of it, kept for the next one; null without memory.
const Fields* whole_fields(std::string_view etag, const CachedFile& file,
                           const FileResponse& how) {
  const std::int64_t modified = last_modified(file, how);
  const WholeFileFields* kept = file.whole.get();
  if (kept != nullptr && kept->coding == how.coding && kept->settled == file.settled &&
      kept->modified == modified) {
    return &kept->fields;
  }
  auto made = std::make_unique<WholeFileFields>();
  made->coding = how.coding;
  made->settled = file.settled;
  made->modified = modified;
  Description description(made->fields);
  if (how.varies) description.set("Vary", "Accept-Encoding");
  if (!describe_whole(description, etag, file, how).complete()) return nullptr;
  file.whole = std::move(made);
  return &file.whole->fields;
}

// ---- Bodies ----

using Piece = std::variant<Buffer, net::FileRange>;

Piece piece_of(const CachedFile& file, const ByteRange& range) {
  if (file.in_memory) {
    return file.body.slice(static_cast<std::size_t>(range.first),
                           static_cast<std::size_t>(range.size));
  }
  return net::FileRange{.file = file.file.share(), .offset = range.first, .size = range.size};
}

net::Write put(Response& response, Piece& piece, bool last) {
  if (auto* bytes = std::get_if<Buffer>(&piece)) {
    return last ? response.end(std::move(*bytes)) : response.write(std::move(*bytes));
  }
  net::FileRange& range = *std::get_if<net::FileRange>(&piece);
  return last ? response.end(std::move(range)) : response.send_file(std::move(range));
}

// What the connection has no room for waits until it has.
class Pieces {
 public:
  explicit Pieces(std::vector<Piece> pieces) noexcept : pieces_(std::move(pieces)) {}

  // False: go on after 'drain'.
  bool write_some(Response& response) {
    while (next_ < pieces_.size()) {
      const net::Write written = put(response, pieces_[next_], next_ + 1 == pieces_.size());
      if (written == net::Write::refused) return false;
      if (written == net::Write::closed) break;
      ++next_;
    }
    return true;
  }

 private:
  std::vector<Piece> pieces_;
  std::size_t next_ = 0;
};

void end_with(Response& response, std::vector<Piece> pieces) {
  auto body = std::make_unique<Pieces>(std::move(pieces));
  if (body->write_some(response)) return;
  response.on_drain([body = std::move(body)](Response& drained) { body->write_some(drained); });
}

void end_with(Response& response, Piece piece) {
  if (put(response, piece, true) != net::Write::refused) return;
  std::vector<Piece> kept;
  kept.push_back(std::move(piece));
  end_with(response, std::move(kept));
}

// ---- Ranges ----

// Asked of this file; `whole` also when nothing is, or not in a way that counts. Of two If-Range
// neither does. Parts of several are those of what has no Content-Encoding.
AskedRanges asked_ranges(const Request& request, const Validators& validators,
                         const CachedFile& file, const FileResponse& how) {
  if (request.method() != Method::get) return {};
  std::optional<std::string_view> range;
  std::optional<std::string_view> condition;
  int lines = 0;
  int conditions = 0;
  for (const Field& field : request.fields()) {
    if (equals_lower(field.name, "range")) {
      range = field.value;
      ++lines;
    } else if (equals_lower(field.name, "if-range")) {
      condition = field.value;
      ++conditions;
    }
  }
  if (lines != 1 || conditions > 1) return {};
  if (condition && !if_range_holds(*condition, validators, how.now)) return {};
  AskedRanges asked = parse_byte_ranges(*range, file.size(), how.ranges_max);
  if (asked.ranges.size() > 1 && how.coding != ContentCoding::identity) return {};
  return asked;
}

void send_range(Response& response, const CachedFile& file, const ByteRange& range,
                std::string_view etag, const FileResponse& how) {
  Fields fields;
  Description description(fields);
  description.add(etag, file, how).set("Content-Type", how.type);
  description.set("Content-Range", content_range(range, file.size()).view());
  description.set_length(range.size);
  if (!give(response, description, fields, how.varies)) return;
  response.set_status(206);
  end_with(response, piece_of(file, range));
}

// multipart/byteranges (RFC 9110, section 14.6). The boundary is one that nobody can have foreseen
// when the file was written.
void send_ranges(Response& response, const CachedFile& file, std::span<const ByteRange> ranges,
                 std::string_view etag, const FileResponse& how) {
  ShortText<32> boundary;
  boundary.add(posix::random_bits(), 16).add(posix::random_bits(), 16);
  std::vector<Piece> pieces;
  std::uint64_t size = 0;
  const auto add_text = [&](std::string text) {
    size += text.size();
    pieces.emplace_back(Buffer::take(std::move(text)));
  };
  std::string text;
  for (const ByteRange& range : ranges) {
    text.append("--").append(boundary.view()).append("\r\nContent-Type: ").append(how.type);
    text.append("\r\nContent-Range: ").append(content_range(range, file.size()).view());
    text.append("\r\n\r\n");
    add_text(std::exchange(text, "\r\n"));
    size += range.size;
    pieces.push_back(piece_of(file, range));
  }
  add_text(text.append("--").append(boundary.view()).append("--\r\n"));
  Fields fields;
  Description description(fields);
  description.add(etag, file, how).set_length(size);
  description.set("Content-Type",
                  "multipart/byteranges; boundary=" + std::string(boundary.view()));
  if (!give(response, description, fields, how.varies)) return;
  response.set_status(206);
  end_with(response, std::move(pieces));
}

void send_whole(Response& response, std::string_view etag, const CachedFile& file,
                const FileResponse& how) {
  if (how.varies && response.has_header("Vary")) {
    Fields fields;
    Description description(fields);
    describe_whole(description, etag, file, how);
    if (!give(response, description, fields, true)) return;
  } else {
    const Fields* fields = whole_fields(etag, file, how);
    if (fields == nullptr || !response.set_headers(*fields)) {
      return response.destroy(errno_code(ENOMEM));
    }
  }
  if (response.request().method() == Method::head || file.size() == 0) {
    response.end();
  } else {
    end_with(response, piece_of(file, {.first = 0, .size = file.size()}));
  }
}

}  // namespace

void answer_status(Response& response, int status) {
  response.set_status(status);
  if (status == 204) {
    response.end();
    return;
  }
  const std::string text = std::string(reason_phrase(status)) + "\n";
  if (status == 503) response.set_header("Retry-After", "1");
  response.set_header("Content-Type", "text/plain; charset=utf-8");
  set_length(response, text.size());
  response.end(text);
}

void answer_with_file(Response& response, const CachedFile& file, const FileResponse& how) {
  const Request& request = response.request();
  const auto etag = etag_of(file);
  const Validators validators{.etag = etag.view(), .modified = last_modified(file, how)};
  const Precondition condition = check_preconditions(request.fields(), validators, how.now);
  AskedRanges asked;
  if (condition == Precondition::holds) {
    asked = asked_ranges(request, validators, file, how);
    if (asked.kind == AskedRanges::Kind::whole) {
      return send_whole(response, etag.view(), file, how);
    }
  }
  if (condition == Precondition::not_modified) {
    Fields fields;
    Description description(fields);
    if (!give(response, description.add(etag.view(), how), fields, how.varies)) return;
    response.set_status(304);
    response.end();
    return;
  }
  if (asked.kind == AskedRanges::Kind::some) {
    if (asked.ranges.size() > 1) {
      return send_ranges(response, file, asked.ranges, etag.view(), how);
    }
    return send_range(response, file, asked.ranges.front(), etag.view(), how);
  }
  if (how.varies) response.append_header("Vary", "Accept-Encoding");
  if (condition == Precondition::failed) return answer_status(response, 412);
  ShortText<kRangeRoom> range;
  response.set_header("Content-Range", range.add("bytes */").add(file.size()).view());
  answer_status(response, 416);
}

}  // namespace weir::inline v1::http
