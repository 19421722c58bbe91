#pragma once

#include <string>
#include <vector>

// Other programs, run to their end.
namespace weir::bench {

// Where the directories of `path`, as $PATH has them, have a program of this name; empty: nowhere.
std::string find_program(const std::string& name, const std::string& path);

struct Ran {
  // Its exit code; -1: it could not be started, or a signal ended it.
  int exit_code = -1;
  // All that it wrote, on stdout and stderr.
  std::string output;
};

// `command` begins with the program's path; no shell is between. Its environment is this one's with
// `variables`, each NAME=VALUE, in the place of those of their names. May be called by several
// threads, as long as none changes the environment.
Ran run_program(const std::vector<std::string>& command,
                const std::vector<std::string>& variables = {});

}  // namespace weir::bench
