#include "bench/soak_answer.h"

#include <strings.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace weir::bench {
namespace {

constexpr std::size_t kHeadMax = 8192;
constexpr std::size_t kLineMax = 256;

bool same_name(std::string_view one, std::string_view other) {
  return one.size() == other.size() && strncasecmp(one.data(), other.data(), one.size()) == 0;
}

// The value of a field that is there once; none of it is an empty one.
std::optional<std::string_view> value_of(std::string_view head, std::string_view name) {
  std::optional<std::string_view> found;
  for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
    const std::size_t end = head.find("\r\n", at);
    const std::string_view line = head.substr(at, end - at);
    at = end + 2;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !same_name(line.substr(0, colon), name)) continue;
    if (found) return std::nullopt;
    found = line.substr(std::min(line.find_first_not_of(' ', colon + 1), line.size()));
  }
  return found;
}

std::optional<std::uint64_t> number_of(std::string_view text, int base) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value, base);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

std::string first_line(const std::string& head) { return head.substr(0, head.find("\r\n")); }

}  // namespace

// ---- Bytes ----

bool SoakBytes::match(const LoadPattern& pattern, std::uint64_t offset,
                      std::string_view data) const {
  if (of == Of::anything) return true;
  if (offset > size || data.size() > size - offset) return false;
  if (of == Of::text) return text.substr(offset, data.size()) == data;
  if (of == Of::letters) {
    // Each is equal to the next, and the first is right.
    return data.empty() ||
           (data[0] == 'x' && data.substr(1) == data.substr(0, data.size() - 1));
  }
  const std::uint64_t start = LoadPattern::start_of(number);
  while (!data.empty()) {
    const std::size_t run = std::min(data.size(), LoadPattern::kMaxRun);
    if (pattern.matching(start, position + offset, data.data(), run) != run) return false;
    data.remove_prefix(run);
    offset += run;
  }
  return true;
}

std::string SoakBytes::make(const LoadPattern& pattern) const {
  if (of == Of::text) return std::string(text);
  std::string bytes;
  if (of == Of::letters) bytes.assign(size, 'x');
  if (of != Of::pattern) return bytes;
  const std::uint64_t start = LoadPattern::start_of(number);
  while (bytes.size() < size) {
    const std::size_t run = std::min<std::uint64_t>(size - bytes.size(), LoadPattern::kMaxRun);
    bytes.append(pattern.at(start, position + bytes.size()), run);
  }
  return bytes;
}

// ---- Answers ----

bool AnswerReader::fail(const std::string& what) {
  error_ = what;
  return false;
}

SoakAnswer AnswerReader::next() {
  const SoakAnswer answer = expected_.front();
  expected_.pop_front();
  state_ = State::head;
  head_.clear();
  return answer;
}

bool AnswerReader::take(std::string_view& bytes) {
  while (!bytes.empty() && state_ != State::finished) {
    bool good = true;
    switch (state_) {
      case State::head: good = take_head(bytes); break;
      case State::counted:
      case State::chunk: good = take_body(bytes); break;
      case State::chunk_size:
      case State::chunk_end:
      case State::trailers: good = take_chunk_line(bytes); break;
      case State::to_the_end: bytes = {}; break;
      case State::finished: break;
    }
    if (!good) return false;
  }
  return true;
}

void AnswerReader::end() {
  if (state_ == State::to_the_end) state_ = State::finished;
}

bool AnswerReader::take_head(std::string_view& bytes) {
  if (expected_.empty()) return fail("bytes that nobody has asked for");
  const std::size_t before = head_.size();
  head_ += bytes.substr(0, kHeadMax + 1 - before);
  const std::size_t end = head_.find("\r\n\r\n");
  if (end == std::string::npos) {
    bytes.remove_prefix(head_.size() - before);
    return head_.size() <= kHeadMax || fail("a head without an end");
  }
  bytes.remove_prefix(end + 4 - before);
  head_.resize(end + 2);
  return begin_body();
}

bool AnswerReader::begin_body() {
  const SoakAnswer& expected = expected_.front();
  const std::string_view head = head_;
  if (!head.starts_with("HTTP/1.1 ")) return fail("no response: " + first_line(head_));
  const auto status = number_of(head.substr(9, 3), 10);
  const bool right = expected.status != 0 ? status == static_cast<std::uint64_t>(expected.status)
                                          : status >= 400U && status < 600U;
  if (!right) return fail("not " + std::to_string(expected.status) + ": " + first_line(head_));
  received_ = 0;
  if (expected.head_only || status == 204U || status == 304U) {
    state_ = State::finished;
    return true;
  }
  const auto coding = value_of(head, "transfer-encoding");
  const auto length = value_of(head, "content-length");
  if (coding && length) return fail("a body with two lengths: " + first_line(head_));
  if (coding && same_name(*coding, "chunked")) {
    state_ = State::chunk_size;
    return true;
  }
  if (!length && expected.status == 0) {
    state_ = State::to_the_end;
    return true;
  }
  const auto size = length ? number_of(*length, 10) : std::nullopt;
  if (!size) return fail("a body without a length: " + first_line(head_));
  left_ = *size;
  state_ = State::counted;
  return left_ != 0 || end_body();
}

bool AnswerReader::take_body(std::string_view& bytes) {
  const std::string_view part = bytes.substr(0, left_);
  const SoakBytes& body = expected_.front().body;
  if (!body.match(pattern_, received_, part)) {
    return fail("wrong bytes in a body from byte " + std::to_string(received_) + " on");
  }
  bytes.remove_prefix(part.size());
  received_ += part.size();
  left_ -= part.size();
  if (left_ != 0) return true;
  if (state_ == State::counted) return end_body();
  state_ = State::chunk_end;
  return true;
}

// True when `line_` is a whole one, without its end.
bool AnswerReader::take_line(std::string_view& bytes) {
  const std::size_t end = bytes.find('\n');
  const std::size_t size = end == std::string_view::npos ? bytes.size() : end + 1;
  line_ += bytes.substr(0, size);
  bytes.remove_prefix(size);
  if (!line_.ends_with("\r\n")) return false;
  line_.resize(line_.size() - 2);
  return true;
}

bool AnswerReader::take_chunk_line(std::string_view& bytes) {
  if (!take_line(bytes)) {
    return (line_.size() < kLineMax && !line_.ends_with('\n')) || fail("a chunk's line: " + line_);
  }
  const std::string line = std::exchange(line_, {});
  if (state_ == State::chunk_end) {
    if (!line.empty()) return fail("bytes behind a chunk: " + line);
    state_ = State::chunk_size;
    return true;
  }
  if (state_ == State::trailers) return line.empty() ? end_body() : true;
  const auto size = number_of(line, 16);
  if (!size) return fail("a chunk's size: " + line);
  left_ = *size;
  state_ = left_ == 0 ? State::trailers : State::chunk;
  return true;
}

bool AnswerReader::end_body() {
  const SoakBytes& body = expected_.front().body;
  state_ = State::finished;
  if (body.of == SoakBytes::Of::anything || received_ == body.size) return true;
  return fail("a body of " + std::to_string(received_) + " bytes, not of " +
              std::to_string(body.size));
}

}  // namespace weir::bench
