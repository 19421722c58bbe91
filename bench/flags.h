// What the command lines of the programs that compare have in common.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

namespace weir::bench {

// A program that must be there: `--name PATH`.
inline void add_program(CLI::App& app, const std::string& name, std::string& path,
                        const std::string& text) {
  app.add_option("--" + name, path, text)->required()->check(CLI::ExistingFile);
}

inline void add_pace(CLI::App& app, int& rounds, const std::string& text, bool& quick) {
  app.add_option("--rounds", rounds, text)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_flag("--quick", quick, "a few seconds: to see that it works, not to compare");
}

// Keeps those whose name contains `part`. When there are none, a sentence that names what there is.
template <class Named>
std::optional<std::string> keep_only(std::vector<Named>& all, const std::string& part) {
  std::string names;
  for (const Named& one : all) names += (names.empty() ? "'" : ", '") + one.name + "'";
  std::erase_if(all, [&](const Named& one) { return !one.name.contains(part); });
  if (!all.empty()) return std::nullopt;
  return "--only: no name contains '" + part + "'; there are " + names;
}

// A value is the exit code to leave with.
inline std::optional<int> parse(CLI::App& app, const char* program, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return 2;
  }
  return std::nullopt;
}

}  // namespace weir::bench
