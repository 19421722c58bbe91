// Heads that are sent. The input's first line chooses the message, the others set, append and
// remove fields: Fields is what a plain list, kept beside it, is; nothing gets out that could end a
// line; and what is planned is what our own parsers read.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_trace.h"
#include "weir/http/field_value.h"
#include "weir/http/fields.h"
#include "weir/http/framing.h"
#include "weir/http/limits.h"
#include "weir/http/request_head.h"
#include "weir/http/request_parser.h"
#include "weir/http/response_head.h"
#include "weir/http/response_parser.h"
#include "weir/http/scan.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

using Kind = http::BodyFraming::Kind;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(line.size() + 1, text.size()));
  return line;
}

// ---- Fields ----

struct Line {
  std::string name;
  std::string value;
};

bool may_stand_in_a_line(std::string_view text) {
  return std::ranges::none_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  });
}

class Model {
 public:
  void apply(char kind, std::string_view name, std::string_view value, http::Fields& fields) {
    if (kind == '-') {
      const bool removed = fields.remove(name);
      WEIR_ASSERT(removed == (erase(name) > 0));
      return;
    }
    const bool good = http::is_token(name) && may_stand_in_a_line(value);
    const bool appends = kind == '+';
    const auto done = appends ? fields.append(name, value) : fields.set(name, value);
    WEIR_ASSERT(done.has_value() == good);
    if (!good) return;
    const Line line{.name = std::string(name), .value = std::string(http::trim_blanks(value))};
    const auto is_same = [&](const Line& other) { return lower(other.name) == lower(name); };
    const auto first = std::ranges::find_if(lines_, is_same);
    const auto end = std::find_if_not(first, lines_.end(), is_same);
    if (appends && first != lines_.end()) {
      lines_.insert(end, {.name = first->name, .value = line.value});
    } else if (first != lines_.end()) {
      *first = line;
      lines_.erase(std::next(first), end);
    } else {
      lines_.push_back(line);
    }
  }

  void check(const http::Fields& fields) const {
    WEIR_ASSERT(fields.size() == lines_.size());
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      WEIR_ASSERT(fields.at(i).name == lines_[i].name && fields.at(i).value == lines_[i].value);
      const bool is_first = i == 0 || lower(lines_[i].name) != lower(lines_[i - 1].name);
      if (is_first) WEIR_ASSERT(fields.get(lower(lines_[i].name)) == lines_[i].value);
    }
  }

  const std::vector<Line>& lines() const { return lines_; }

 private:
  std::size_t erase(std::string_view name) {
    return std::erase_if(lines_, [&](const Line& line) { return lower(line.name) == lower(name); });
  }

  std::vector<Line> lines_;
};

// ---- Heads ----

// The lines of a head, none of which anybody could take for two.
std::vector<std::string> lines_of(std::string_view head) {
  std::vector<std::string> lines;
  WEIR_ASSERT(head.ends_with("\r\n\r\n"));
  while (!head.empty()) {
    const std::size_t end = head.find("\r\n");
    lines.emplace_back(head.substr(0, end));
    WEIR_ASSERT(may_stand_in_a_line(lines.back()));
    head.remove_prefix(end + 2);
    WEIR_ASSERT(lines.back().empty() == head.empty());
  }
  lines.pop_back();
  return lines;
}

bool is_ours(std::string_view name) {
  constexpr std::string_view kOurs[] = {"connection", "content-length", "transfer-encoding",
                                        "trailer",    "keep-alive",     "date",
                                        "host"};
  return std::ranges::find(kOurs, lower(name)) != std::end(kOurs);
}

// The user's fields, in order and as they are, but for those that we may change or add.
void check_users_lines(const Model& model, const std::vector<std::string>& lines) {
  std::vector<std::string> wanted;
  for (const Line& line : model.lines()) {
    if (!is_ours(line.name)) wanted.push_back(line.name + ": " + line.value);
  }
  std::vector<std::string> got;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::size_t colon = lines[i].find(':');
    WEIR_ASSERT(colon != std::string::npos);
    if (!is_ours(std::string_view(lines[i]).substr(0, colon))) got.push_back(lines[i]);
  }
  WEIR_ASSERT(got == wanted);
}

// Names of this kind are sent, as a user may have one, and refused: see framing.h.
bool has_suspicious_name(const Model& model) {
  return std::ranges::any_of(model.lines(), [](const Line& line) {
    return lower(line.name) != "content-length" && lower(line.name) != "transfer-encoding" &&
           http::looks_like_framing(line.name);
  });
}

template <class Plan>
std::string text_of(const Plan& plan) {
  std::string text = "before";
  plan.append_to(text);
  std::string written(plan.size(), '\0');
  plan.write(written);
  WEIR_ASSERT(text == "before" + written);
  return written;
}

// "Content-Length: 0" is said of no body, too.
bool is_same(const http::BodyFraming& read, const http::BodyFraming& planned) {
  const bool is_empty = read.kind == Kind::length && planned.kind == Kind::none;
  return read.length == planned.length && (read.kind == planned.kind || is_empty);
}

void try_response(const http::ResponseFacts& facts, const Model& model) {
  const auto plan = http::plan_response(facts);
  if (!plan) return;
  const std::string head = text_of(*plan);
  check_users_lines(model, lines_of(head));
  const http::ParserLimits limits;
  http::ResponseParser parser(&limits);
  if (facts.to_head) parser.expect(http::Answers::head);
  const ExactBytes bytes(head);
  const http::Step step = parser.next(bytes.view());
  if (has_suspicious_name(model) || head.size() > limits.head_bytes_max) return;
  // Other codings may be sent, and are not read.
  const std::string coding = lower(facts.fields->get("transfer-encoding").value_or("chunked"));
  if (coding != "chunked") return;
  WEIR_ASSERT(step.kind == http::Step::Kind::head && step.consumed == head.size());
  const http::ReceivedHead& read = parser.head();
  WEIR_ASSERT(read.status == facts.status);
  if (!facts.reason.empty()) WEIR_ASSERT(read.reason == facts.reason);
  WEIR_ASSERT(is_same(read.framing, plan->framing()));
  if (facts.status == 101) return;
  if (plan->keeps_connection()) WEIR_ASSERT(read.keep_alive);
  const bool is_last = !plan->keeps_connection() && facts.status >= 200;
  if (is_last && !facts.fields->is_suppressed("connection")) WEIR_ASSERT(!read.keep_alive);
}

void try_request(const http::RequestFacts& facts, const Model& model) {
  const auto plan = http::plan_request(facts);
  if (!plan) return;
  const std::string head = text_of(*plan);
  const std::vector<std::string> lines = lines_of(head);
  check_users_lines(model, lines);
  WEIR_ASSERT(lines[0] == std::string(facts.method) + " " + std::string(facts.target) +
                              " HTTP/1.1");
  const http::ParserLimits limits;
  http::RequestParser parser(&limits);
  const ExactBytes bytes(head);
  const http::Step step = parser.next(bytes.view());
  // A server may refuse more: methods, targets, hosts. What it takes is what was meant.
  if (step.kind != http::Step::Kind::head) return;
  const http::RequestHead& read = parser.head();
  WEIR_ASSERT(step.consumed == head.size());
  WEIR_ASSERT(read.method_text() == facts.method && read.target == facts.target);
  WEIR_ASSERT(is_same(http::body_framing(read.framing), plan->framing()));
  WEIR_ASSERT(read.has_upgrade == plan->wants_upgrade());
  if (plan->keeps_connection()) WEIR_ASSERT(read.keep_alive);
  const bool is_said = !facts.fields->is_suppressed("connection");
  const bool has_own = facts.fields->has("connection");
  if (is_said && !has_own) WEIR_ASSERT(read.keep_alive == plan->keeps_connection());
  const bool expects = read.expectation == http::Expectation::proceed;
  if (expects) WEIR_ASSERT(plan->expects_continue());
}

// "<three digits of the status, and flags in the next byte> <method> <target> <reason>"
void try_message(std::string_view line, const http::Fields& fields, const Model& model) {
  std::string words[4];
  std::size_t word = 0;
  for (const char c : line) {
    if (c == ' ' && word < 3) {
      ++word;
    } else {
      words[word] += c;
    }
  }
  int status = 0;
  for (const char c : words[0].substr(0, 3)) status = status * 10 + (c - '0');
  const unsigned flags = words[0].size() > 3 ? static_cast<unsigned char>(words[0][3]) : 0;
  const auto flag = [&](unsigned bit) { return (flags >> bit & 1) != 0; };
  std::optional<std::uint64_t> size;
  if (!flag(0)) size = flag(1) ? 5 : 0;
  try_response({.status = status,
                .reason = words[3],
                .fields = &fields,
                .to_head = flag(2),
                .version_minor = flag(3) ? 0 : 1,
                .client_keeps_alive = !flag(4),
                .body_size = size,
                .keep_alive_seconds = flag(5) ? 5U : 0U,
                .closing = flag(6),
                .date = flag(7) ? "Sun, 06 Nov 1994 08:49:37 GMT" : ""},
               model);
  try_request({.method = words[1],
               .target = words[2],
               .default_host = flag(3) ? "" : "example.com",
               .fields = &fields,
               .body_size = size,
               .keeps_connection = flag(4)},
              model);
}

void try_bytes(std::string_view bytes) {
  const std::string_view first = take_line(bytes);
  http::Fields fields;
  Model model;
  while (!bytes.empty()) {
    const std::string_view line = take_line(bytes);
    const std::size_t colon = std::min(line.find(':'), line.size());
    if (line.empty()) continue;
    const ExactBytes name(line.substr(1, std::max<std::size_t>(colon, 1) - 1));
    std::string value(line.substr(std::min(colon + 1, line.size())));
    std::ranges::replace(value, '\x1e', '\n');  // which no line has
    model.apply(line[0], name.view(), ExactBytes(value).view(), fields);
    model.check(fields);
  }
  try_message(first, fields, model);
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
