#include "tests/law.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <span>

namespace weir::test {
namespace {

constexpr int kLinesPerFileMax = 700;
constexpr int kLinesPerFunctionMax = 70;
constexpr std::size_t kColumnsMax = 100;

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::string_view trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) {
    text.remove_prefix(1);
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
    text.remove_suffix(1);
  }
  return text;
}

// The name in an include with its quotes or brackets, or nothing: "<unistd.h>".
std::string_view included(std::string_view line) {
  line = trim(line);
  if (!line.starts_with('#')) return {};
  line = trim(line.substr(1));
  if (!line.starts_with("include")) return {};
  line = trim(line.substr(7));
  const std::size_t end = line.find_first_of(">\"", 1);
  return end == std::string_view::npos ? std::string_view() : line.substr(0, end + 1);
}

bool in(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) && path.substr(directory.size()).starts_with('/');
}

bool is_library(std::string_view path) {
  return (in(path, "reactor") || in(path, "net") || in(path, "http")) &&
         path.find("/examples/") == std::string_view::npos;
}

// "posix" for "reactor/posix.cc".
std::string_view stem_of(std::string_view path) {
  path.remove_prefix(path.rfind('/') + 1);
  return path.substr(0, path.find('.'));
}

bool starts_with_any(std::string_view text, std::span<const std::string_view> prefixes) {
  return std::ranges::any_of(prefixes, [&](auto prefix) { return text.starts_with(prefix); });
}

}  // namespace

std::string Violation::message() const { return path + ":" + std::to_string(line) + ": " + what; }

// ---- Layers ----

std::vector<Violation> check_layers(std::string_view path, std::string_view text) {
  constexpr std::string_view kReactor[] = {"\"weir/reactor/", "\"reactor/"};
  constexpr std::string_view kNet[] = {"\"weir/reactor/", "\"weir/net/", "\"net/"};
  constexpr std::string_view kHttp[] = {"\"weir/reactor/", "\"weir/net/", "\"weir/http/",
                                        "\"http/"};
  std::span<const std::string_view> allowed;
  if (!is_library(path)) return {};
  if (in(path, "reactor")) allowed = kReactor;
  if (in(path, "net")) allowed = kNet;
  if (in(path, "http")) allowed = kHttp;
  std::vector<Violation> found;
  int number = 0;
  for (const std::string_view line : lines_of(text)) {
    ++number;
    const std::string_view name = included(line);
    const bool ours = name.starts_with('"') || name.starts_with("<weir/");
    if (!ours || starts_with_any(name, allowed)) continue;
    found.push_back({std::string(path), number,
                     "a lower layer includes " + std::string(name) +
                         "; http stands on net, net on reactor, reactor on nothing"});
  }
  return found;
}

// ---- System headers ----

namespace {

// Names begin with one of these; <sys/uio.h> is free for iovec.
constexpr std::string_view kSystemHeaders[] = {
    "<sys/",     "<netinet/", "<net/",     "<arpa/",    "<linux/",   "<unistd.h>",
    "<poll.h>",  "<fcntl.h>", "<netdb.h>", "<signal.h>", "<csignal>", "<liburing"};
constexpr std::string_view kDoors[] = {
    "posix",          "posix_files",      "posix_file_sender", "posix_threads",
    "kernel_backend", "kernel_datagrams", "epoll_backend",     "uring_",
    "signals",        "address"};

std::string refusal_of(std::string_view path, std::string_view name) {
  const std::string_view stem = stem_of(path);
  const bool reactor = in(path, "reactor");
  if (name.starts_with("<liburing") && !(reactor && stem.starts_with("uring_"))) {
    return "belongs into reactor/uring_*";
  }
  if (name == "<sys/epoll.h>" && path != "reactor/epoll_backend.cc" &&
      path != "reactor/kernel_backend.cc") {
    return "belongs into reactor/epoll_backend.cc and reactor/kernel_backend.cc";
  }
  if (name == "<sys/uio.h>" || !starts_with_any(name, kSystemHeaders)) return {};
  const bool is_door = reactor && std::ranges::any_of(kDoors, [&](std::string_view door) {
                         return door.ends_with('_') ? stem.starts_with(door) : stem == door;
                       });
  return is_door ? "" : "belongs behind reactor/posix.h or a backend, so that it can be simulated";
}

}  // namespace

std::vector<Violation> check_system_headers(std::string_view path, std::string_view text) {
  if (!is_library(path)) return {};
  std::vector<Violation> found;
  int number = 0;
  for (const std::string_view line : lines_of(text)) {
    ++number;
    const std::string_view name = included(line);
    const std::string why = refusal_of(path, name);
    if (!why.empty()) found.push_back({std::string(path), number, std::string(name) + " " + why});
  }
  return found;
}

// ---- Literals, comments, functions ----

namespace {

// Copies a text piece by piece; what is dropped leaves its newlines.
class Stripper {
 public:
  Stripper(std::string_view text, Keep keep) : text_(text), keep_(keep) {}

  std::string run() {
    while (at_ < text_.size()) step();
    return std::move(out_);
  }

 private:
  bool here(std::string_view token) const { return text_.substr(at_).starts_with(token); }

  void step() {
    const char c = text_[at_];
    if (here("//")) return drop_until(text_.find('\n', at_), keep_ == Keep::comments);
    if (here("/*")) return drop_until(after("*/", at_ + 2), keep_ == Keep::comments);
    if (c == '"' && at_ > 0 && text_[at_ - 1] == 'R') return raw_string();
    if (c == '"') return literal('"');
    if (c == '\'' && (at_ == 0 || !is_word(text_[at_ - 1]))) return literal('\'');
    if (c == '#' && keep_ == Keep::code_only && at_line_start()) return directive();
    out_ += c;
    ++at_;
  }

  std::size_t after(std::string_view token, std::size_t from) const {
    const std::size_t found = text_.find(token, from);
    return found == std::string_view::npos ? found : found + token.size();
  }

  void drop_until(std::size_t end, bool copy) {
    end = std::min(end, text_.size());
    for (; at_ < end; ++at_) {
      if (copy || text_[at_] == '\n') out_ += text_[at_];
    }
  }

  void literal(char quote) {
    std::size_t end = at_ + 1;
    while (end < text_.size() && text_[end] != quote && text_[end] != '\n') {
      end += text_[end] == '\\' ? 2 : 1;
    }
    out_ += quote;
    drop_until(end, false);
    if (at_ < text_.size() && text_[at_] == quote) ++at_;
    out_ += quote;
  }

  void raw_string() {
    const std::size_t open = text_.find('(', at_);
    const std::string close =
        ")" + std::string(text_.substr(at_ + 1, open - at_ - 1)) + "\"";
    out_ += "\"\"";
    drop_until(after(close, open), false);
  }

  bool at_line_start() const {
    const std::size_t line = out_.rfind('\n') + 1;
    return trim(std::string_view(out_).substr(line)).empty();
  }

  void directive() {
    std::size_t end = at_;
    do {
      end = text_.find('\n', end + 1);
    } while (end != std::string_view::npos && text_[end - 1] == '\\');
    drop_until(end, false);
  }

  std::string_view text_;
  Keep keep_;
  std::size_t at_ = 0;
  std::string out_;
};

// "template <class T> void f()" without its first two words.
std::string_view without_template(std::string_view head) {
  head = trim(head);
  while (head.starts_with("template")) {
    int depth = 0;
    std::size_t end = 0;
    for (; end < head.size(); ++end) {
      if (head[end] == '<') ++depth;
      if (head[end] == '>' && --depth == 0) break;
    }
    head = trim(head.substr(std::min(end + 1, head.size())));
  }
  return head;
}

bool is_function_head(std::string_view head) {
  head = without_template(head);
  constexpr std::string_view kContainers[] = {"namespace ", "inline namespace ", "class ",
                                              "struct ",    "union ",            "enum ",
                                              "extern \"\""};
  const std::size_t parenthesis = head.find('(');
  if (parenthesis == std::string_view::npos) return false;
  const bool type = starts_with_any(head, kContainers);
  return !type || !head.substr(0, parenthesis).ends_with("alignas");
}

}  // namespace

std::string strip(std::string_view text, Keep keep) { return Stripper(text, keep).run(); }

std::vector<FunctionSpan> functions_of(std::string_view text) {
  const std::string code = strip(text, Keep::code_only);
  std::vector<FunctionSpan> found;
  std::string head;
  int head_line = 1;
  int line = 1;
  int depth_in_function = 0;  // 0: outside of any
  int initialiser_depth = 0;  // of "member_{value}"
  for (const char c : code) {
    if (c == '\n') ++line;
    const bool initialises = c == '{' && depth_in_function == 0 && !head.empty() &&
                             (is_word(head.back()) || head.back() == '>');
    if (initialises || initialiser_depth > 0) {
      if (c == '{') ++initialiser_depth;
      if (c == '}') --initialiser_depth;
      continue;
    }
    if (depth_in_function > 0) {
      if (c == '{') ++depth_in_function;
      if (c == '}' && --depth_in_function == 0) found.back().last_line = line;
      continue;
    }
    if (c == '{' && is_function_head(head)) {
      found.push_back({.first_line = head_line});
      depth_in_function = 1;
    }
    if (c == '{' || c == '}' || c == ';') {
      head.clear();
      continue;
    }
    if (trim(head).empty()) head_line = line;
    head += c;
  }
  return found;
}

// ---- Sizes ----

std::vector<Violation> check_sizes(std::string_view path, std::string_view text) {
  std::vector<Violation> found;
  const std::vector<std::string_view> lines = lines_of(text);
  if (lines.size() > kLinesPerFileMax) {
    found.push_back({std::string(path), kLinesPerFileMax + 1,
                     std::to_string(lines.size()) + " lines: split the file by purpose"});
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    // Bytes that continue a UTF-8 character take no column.
    const auto columns = static_cast<std::size_t>(
        std::ranges::count_if(lines[i], [](char c) { return (c & 0xc0) != 0x80; }));
    if (columns <= kColumnsMax) continue;
    found.push_back({std::string(path), static_cast<int>(i) + 1,
                     std::to_string(columns) + " columns: break the line"});
  }
  for (const FunctionSpan& function : functions_of(text)) {
    if (function.lines() <= kLinesPerFunctionMax) continue;
    found.push_back({std::string(path), function.first_line,
                     "a function of " + std::to_string(function.lines()) +
                         " lines: give its parts names"});
  }
  return found;
}

// ---- Words ----

namespace {

enum class Where { everywhere, library };

// A word, or words, as they stand in the code; `(` at the end means a call.
struct Banned {
  std::string_view word;
  Where where;
  std::string_view instead;
  std::string_view except = "";  // files that may, separated by blanks
  bool in_comments = false;
};

constexpr Banned kBanned[] = {
    {"TODO", Where::everywhere, "do it, or write down the limitation", "", true},
    {"FIXME", Where::everywhere, "fix it, or write down the limitation", "", true},
    {"XXX", Where::everywhere, "say what is meant", "", true},
    {"HACK", Where::everywhere, "say why it is needed", "", true},
    {"sleep_for", Where::everywhere, "wait for the event"},
    {"sleep_until", Where::everywhere, "wait for the event"},
    {"usleep(", Where::everywhere, "wait for the event"},
    {"nanosleep(", Where::everywhere, "wait for the event"},
    {"sleep(", Where::everywhere, "wait for the event"},
    {"std::endl", Where::everywhere, "'\\n'"},
    {"using namespace", Where::everywhere, "using-declarations (literals excepted)"},
    {"assert(", Where::everywhere, "WEIR_ASSERT, or ASSERT_TRUE in tests"},
    {"rand(", Where::everywhere, "tests/random.h, whose seed is printed"},
    {"shared_ptr", Where::library, "one owner, and a generational reference"},
    {"make_shared", Where::library, "one owner, and a generational reference"},
    {"enable_shared_from_this", Where::library, "one owner, and a generational reference"},
    {"std::function", Where::library, "weir::Function, which does not allocate"},
    {"printf(", Where::library, "Reactor::log", "error.cc memory.cc reactor.cc"},
    {"fprintf(", Where::library, "Reactor::log", "error.cc memory.cc reactor.cc"},
    {"puts(", Where::library, "Reactor::log"},
    {"std::cout", Where::library, "Reactor::log"},
    {"std::cerr", Where::library, "Reactor::log"},
    {"malloc(", Where::library, "memory::allocate", "memory.cc"},
    {"calloc(", Where::library, "memory::allocate", "memory.cc"},
    {"realloc(", Where::library, "memory::allocate", "memory.cc"},
    {"free(", Where::library, "memory::release", "memory.cc"},
    {"exit(", Where::library, "return an Error", "reactor.cc"},
    {"abort(", Where::library, "WEIR_ASSERT", "memory.cc"},
    {"throw", Where::library, "return an Expected"},
    {"catch", Where::library, "return an Expected"},
    {"dynamic_cast", Where::library, "a virtual function: there is no RTTI"},
    {"typeid", Where::library, "a virtual function: there is no RTTI"},
    {"steady_clock::now", Where::library, "Reactor::now(), so that time can be simulated",
     "posix.cc"},
    {"system_clock", Where::library, "Reactor::now(), so that time can be simulated"},
    {"clock_gettime(", Where::library, "Backend::unix_seconds(), so that time can be simulated",
     "posix.cc"},
    {"random_device", Where::everywhere, "a seed that is printed"},
};

// At the borders of a word of letters no letters follow.
bool contains(std::string_view line, std::string_view word) {
  for (std::size_t at = line.find(word); at != std::string_view::npos;
       at = line.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    const bool begins = at == 0 || !is_word(line[at - 1]);
    const bool ends = end == line.size() || !is_word(word.back()) || !is_word(line[end]);
    if (begins && ends) return true;
  }
  return false;
}

bool excepted(const Banned& banned, std::string_view path) {
  if (banned.where == Where::library && !is_library(path)) return true;
  path.remove_prefix(path.rfind('/') + 1);
  return !banned.except.empty() && contains(banned.except, path);
}

}  // namespace

std::vector<Violation> check_words(std::string_view path, std::string_view text) {
  const std::string commented = strip(text, Keep::comments);
  const std::string code = strip(text, Keep::code_only);
  std::vector<Violation> found;
  for (const Banned& banned : kBanned) {
    if (excepted(banned, path)) continue;
    int number = 0;
    for (const std::string_view line : lines_of(banned.in_comments ? commented : code)) {
      ++number;
      if (!contains(line, banned.word)) continue;
      if (banned.word == "using namespace" && trim(line).ends_with("_literals;")) continue;
      found.push_back({std::string(path), number,
                       std::string(banned.word) + " is banned; instead: " +
                           std::string(banned.instead)});
    }
  }
  if (path.ends_with(".h") && text.find("\n#pragma once\n") == std::string_view::npos &&
      !text.starts_with("#pragma once\n")) {
    found.push_back({std::string(path), 1, "a header without #pragma once"});
  }
  return found;
}

std::vector<Violation> check_all(std::string_view path, std::string_view text) {
  std::vector<Violation> found;
  for (const auto check : {check_layers, check_system_headers, check_sizes, check_words}) {
    std::ranges::move(check(path, text), std::back_inserter(found));
  }
  return found;
}

}  // namespace weir::test
