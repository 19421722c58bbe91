// Runs a script on a stage, and checks on the way what can be said without another backend.
#pragma once

#include <string>

#include "tests/script.h"
#include "tests/trace.h"

namespace weir::test {

struct Told {
  std::string trace;   // normalised: the same on every backend
  std::string broken;  // what was wrong by itself, a line each: promises broken, waiting in vain
};

// Each step begins when all has happened that must follow from those before.
Told run_script(const Script& script, Stage& stage);

}  // namespace weir::test
