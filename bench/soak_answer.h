// Checks what a web server sends: bytes in, verdicts out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "bench/load_pattern.h"

namespace weir::bench {

// Bytes that are known before they come.
struct SoakBytes {
  enum class Of : std::uint8_t {
    pattern,  // LoadPattern's stream `number`, from `position` on
    letters,  // all 'x'
    text,
    anything,  // of any length, too
  };
  Of of = Of::anything;
  std::uint64_t number = 0;
  std::uint64_t position = 0;
  std::uint64_t size = 0;
  std::string_view text = {};  // a literal

  static SoakBytes pattern_of(std::uint64_t number, std::uint64_t position, std::uint64_t size) {
    return {.of = Of::pattern, .number = number, .position = position, .size = size};
  }
  static SoakBytes letters_of(std::uint64_t size) { return {.of = Of::letters, .size = size}; }
  static SoakBytes literal(std::string_view text) {
    return {.of = Of::text, .size = text.size(), .text = text};
  }

  // True if `data` is what stands `offset` bytes behind the beginning, and no more than that.
  bool match(const LoadPattern& pattern, std::uint64_t offset, std::string_view data) const;
  // All of them.
  std::string make(const LoadPattern& pattern) const;
};

// What a request has for an answer.
struct SoakAnswer {
  int status = 200;  // 0: a refusal, whichever it is
  SoakBytes body;
  bool head_only = false;  // to a HEAD
  std::int64_t due = 0;
};

// Reads the responses of one connection, in their order.
class AnswerReader {
 public:
  explicit AnswerReader(const LoadPattern& pattern) : pattern_(pattern) {}

  void expect(const SoakAnswer& answer) { expected_.push_back(answer); }
  std::size_t waiting() const { return expected_.size(); }
  // Of the one whose turn it is: has anything come?
  bool in_the_middle() const { return state_ != State::head || !head_.empty(); }

  // Takes bytes up to the end of a response. False: error() says what is wrong with them.
  bool take(std::string_view& bytes);
  // The connection has ended, and with it the body of a refusal that does not tell its length.
  void end();
  // True once for each response that is complete.
  bool finished() const { return state_ == State::finished; }
  SoakAnswer next();

  const std::string& error() const { return error_; }
  // The head's lines, of the last response.
  const std::string& head() const { return head_; }

 private:
  enum class State : std::uint8_t {
    head, counted, to_the_end, chunk_size, chunk, chunk_end, trailers, finished
  };

  bool fail(const std::string& what);
  bool take_head(std::string_view& bytes);
  bool begin_body();
  bool take_body(std::string_view& bytes);
  bool take_line(std::string_view& bytes);
  bool take_chunk_line(std::string_view& bytes);
  bool end_body();

  const LoadPattern& pattern_;
  std::deque<SoakAnswer> expected_;
  State state_ = State::head;
  std::string head_;
  std::string line_;
  std::uint64_t left_ = 0;      // of a counted body or a chunk
  std::uint64_t received_ = 0;  // of the body
  std::string error_;
};

}  // namespace weir::bench
