// The rules that every source file of weir keeps, as checks of its text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weir::test {

// A line that breaks a rule, and what to do instead.
struct Violation {
  std::string path;
  int line = 0;
  std::string what;

  // "reactor/x.cc:12: ..."
  std::string message() const;
};

// `path` is relative to the workspace: "reactor/buffer.h".
std::vector<Violation> check_layers(std::string_view path, std::string_view text);
std::vector<Violation> check_system_headers(std::string_view path, std::string_view text);
std::vector<Violation> check_sizes(std::string_view path, std::string_view text);
std::vector<Violation> check_words(std::string_view path, std::string_view text);
std::vector<Violation> check_all(std::string_view path, std::string_view text);

// The text with the same lines, in which string and character literals are empty, and, where asked
// for, comments and preprocessor lines too.
enum class Keep { comments, code_only };
std::string strip(std::string_view text, Keep keep);

// A function by its braces, signature included: a heuristic that knows no templates or macros, only
// namespaces, types and what has parentheses before its brace.
struct FunctionSpan {
  int first_line = 0;
  int last_line = 0;
  int lines() const { return last_line - first_line + 1; }
};
std::vector<FunctionSpan> functions_of(std::string_view text);

}  // namespace weir::test
