// What a parser says about a stream of bytes, written down, however the stream is cut. Shared by
// the tests and the fuzzers, so it asserts by WEIR_ASSERT what must hold for any bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/http/request_parser.h"
#include "weir/http/response_parser.h"
#include "weir/reactor/assert.h"

namespace weir::test {

using Pieces = std::vector<std::string_view>;
using Trace = std::vector<std::string>;

// Bytes in memory of exactly their size, so that a sanitizer sees who reads beyond them or later.
class ExactBytes {
 public:
  explicit ExactBytes(std::string_view bytes)
      : bytes_(new char[bytes.size()]), size_(bytes.size()) {
    bytes.copy(bytes_.get(), size_);
  }
  std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_;
};

inline void append_fields(std::span<const http::Field> fields, std::string& text) {
  for (const http::Field& field : fields) {
    text.append(" ").append(field.name).append("=[").append(field.value).append("]");
  }
}

inline std::string describe(const http::RequestHead& head) {
  constexpr std::string_view kForms[] = {"origin", "absolute", "authority", "asterisk"};
  std::string text(head.method_text());
  text.append(" ").append(head.target).append(" 1.").append(std::to_string(head.version_minor));
  text.append(" ").append(kForms[static_cast<std::size_t>(head.form)]);
  text.append(" host=").append(head.host);
  if (head.framing.kind == http::Framing::Kind::chunked) text += " chunked";
  if (head.framing.kind == http::Framing::Kind::length) {
    text.append(" length=").append(std::to_string(head.framing.length));
  }
  if (!head.keep_alive) text += " close";
  if (head.has_upgrade) text += " upgrade";
  if (head.expectation == http::Expectation::proceed) text += " expect";
  if (head.expectation == http::Expectation::other) text += " expect-other";
  append_fields(head.fields, text);
  return text;
}

inline std::string describe(const http::ReceivedHead& head) {
  using Kind = http::BodyFraming::Kind;
  std::string text = "1." + std::to_string(head.version_minor) + " ";
  text.append(std::to_string(head.status)).append(" (").append(head.reason).append(")");
  if (head.is_interim()) text += " interim";
  if (head.framing.kind == Kind::chunked) text += " chunked";
  if (head.framing.kind == Kind::until_close) text += " until-close";
  if (head.framing.kind == Kind::length) {
    text.append(" length=").append(std::to_string(head.framing.length));
  }
  if (!head.keep_alive) text += " close";
  if (head.has_upgrade) text += " upgrade";
  if (head.keep_alive_seconds.has_value()) {
    text.append(" timeout=").append(std::to_string(*head.keep_alive_seconds));
  }
  append_fields(head.fields, text);
  return text;
}

inline std::string describe(const http::ParseFailure& failure) {
  const http::ParseErrorFacts& facts = http::facts_of(failure.error);
  std::string text = "error " + std::to_string(facts.status) + ": ";
  return text.append(facts.text).append(" @").append(std::to_string(failure.offset));
}

// Pieces of a body that follow each other are one event.
inline void add_body(std::string_view piece, Trace& trace) {
  if (trace.empty() || !trace.back().starts_with("body ")) trace.push_back("body ");
  trace.back().append(piece);
}

inline void check_step(const http::Step& step, std::string_view input) {
  using Kind = http::Step::Kind;
  WEIR_ASSERT(step.consumed <= input.size());
  if (step.kind == Kind::need_more) WEIR_ASSERT(step.consumed == input.size());
  if (step.kind != Kind::body) return;
  WEIR_ASSERT(!step.body.empty());
  WEIR_ASSERT(step.body.data() + step.body.size() == input.data() + step.consumed);
}

// Feeds one piece. False when the parser is in error. `ended` is called behind each message.
template <class Parser, class Ended>
bool feed(Parser& parser, std::string_view input, Trace& trace, const Ended& ended) {
  using Kind = http::Step::Kind;
  // Each byte is the end of something at most, and a head, an end and the last step take none.
  for (std::size_t steps_left = 3 * input.size() + 3; steps_left > 0; --steps_left) {
    const http::Step step = parser.next(input);
    check_step(step, input);
    input.remove_prefix(step.consumed);
    switch (step.kind) {
      case Kind::need_more:
        return true;
      case Kind::head:
        trace.push_back("head " + describe(parser.head()));
        break;
      case Kind::body:
        add_body(step.body, trace);
        break;
      case Kind::end: {
        std::string text = "end";
        append_fields(parser.trailers(), text);
        trace.push_back(std::move(text));
        ended();
        break;
      }
      case Kind::error:
        trace.push_back(describe(parser.failure()));
        WEIR_ASSERT(parser.next("GET / HTTP/1.1\r\nHost: a\r\n\r\n").kind == Kind::error);
        return false;
    }
  }
  constexpr bool kMakesProgress = false;
  WEIR_ASSERT(kMakesProgress);
  return kMakesProgress;
}

inline Trace trace_of(const Pieces& pieces, const http::ParserLimits& limits = {}) {
  http::RequestParser parser(&limits);
  Trace trace;
  for (const std::string_view piece : pieces) {
    const ExactBytes bytes(piece);
    if (!feed(parser, bytes.view(), trace, [] {})) break;
  }
  return trace;
}

// The same for responses, up to the end of the connection. `answers` is what they answer, in order;
// the last one holds for all that follow.
inline Trace response_trace_of(const Pieces& pieces, const http::ParserLimits& limits = {},
                               std::span<const http::Answers> answers = {}) {
  using Kind = http::Step::Kind;
  http::ResponseParser parser(&limits);
  Trace trace;
  const auto expect_next = [&] {
    if (answers.empty() || parser.head().is_interim()) return;
    parser.expect(answers.front());
    answers = answers.subspan(1);
  };
  expect_next();
  for (const std::string_view piece : pieces) {
    const ExactBytes bytes(piece);
    if (!feed(parser, bytes.view(), trace, expect_next)) return trace;
  }
  const http::Step last = parser.finish();
  WEIR_ASSERT(last.consumed == 0 && last.body.empty());
  WEIR_ASSERT(last.kind != Kind::need_more || parser.is_between_messages());
  if (last.kind == Kind::end) trace.push_back("end");
  if (last.kind == Kind::error) {
    trace.push_back(describe(parser.failure()));
    WEIR_ASSERT(parser.next("HTTP/1.1 200 OK\r\n\r\n").kind == Kind::error);
    WEIR_ASSERT(parser.finish().kind == Kind::error);
  }
  return trace;
}

// The same for the body of a chunked message alone.
inline Trace chunked_trace_of(const Pieces& pieces, const http::ParserLimits& limits = {}) {
  using Kind = http::Step::Kind;
  http::ChunkedDecoder decoder(&limits);
  Trace trace;
  std::size_t offset = 0;
  for (const std::string_view piece : pieces) {
    const ExactBytes bytes(piece);
    std::string_view input = bytes.view();
    for (;;) {
      const http::Step step = decoder.next(input);
      check_step(step, input);
      input.remove_prefix(step.consumed);
      offset += step.consumed;
      if (step.kind == Kind::need_more) break;
      if (step.kind == Kind::body) {
        add_body(step.body, trace);
        continue;
      }
      std::string text = "end @" + std::to_string(offset);
      append_fields(decoder.trailers(), text);
      trace.push_back(step.kind == Kind::end ? text : describe(decoder.failure()));
      return trace;
    }
  }
  return trace;
}

inline Pieces split_at(std::string_view text, std::size_t at) {
  return {text.substr(0, at), text.substr(at)};
}

inline Pieces split_in_bytes(std::string_view text) {
  Pieces pieces;
  for (std::size_t i = 0; i < text.size(); ++i) pieces.push_back(text.substr(i, 1));
  return pieces;
}

// Whether the view is of these bytes, not of a copy.
inline bool is_within(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

// Takes the bytes away from the parser behind their head, wherever they are cut. Returns what is
// left of them then: one text when it is always the same.
template <class Parser>
Trace left_behind_head(std::string_view bytes) {
  using Kind = http::Step::Kind;
  const http::ParserLimits limits;
  Trace rests;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    Parser parser(&limits);
    http::Step step = parser.next(bytes.substr(0, at));
    std::string_view rest = bytes.substr(step.consumed);
    if (step.kind == Kind::need_more) {
      step = parser.next(rest);
      rest.remove_prefix(step.consumed);
    }
    WEIR_ASSERT(step.kind == Kind::head && parser.head().has_upgrade);
    const std::string head = describe(parser.head());
    parser.hand_over();
    WEIR_ASSERT(describe(parser.head()) == head);
    if (rests.empty() || rests.back() != rest) rests.emplace_back(rest);
  }
  return rests;
}

}  // namespace weir::test
