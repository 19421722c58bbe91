// Random scripts tell the same story while the kernel does whatever it may do to a correct program:
// interrupts calls, gives less than there is, has nothing when it has said that it had.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/libc_faults.h"
#include "tests/script.h"
#include "tests/script_runner.h"

namespace weir::test {
namespace {

std::uint64_t count_from_environment(std::uint64_t count) {
  const char* chosen = std::getenv("WEIR_SCRIPTS");
  return chosen == nullptr ? count : std::strtoull(chosen, nullptr, 10);
}

class FaultyScriptTest : public BackendTest {};

TEST_P(FaultyScriptTest, TellsWhatItTellsWithoutFaults) {
  long given = 0;
  for_seeds(count_from_environment(100), [&given](Random& random) {
    const Script script = generate(random);
    Stage calm(std::make_unique<SimBackend>());
    const Told expected = run_script(script, calm);
    Stage stage(make_backend());
    const Faults faults(random.next());
    const Told told = run_script(script, stage);
    given += faults.given();
    EXPECT_EQ(told.broken + told.trace, expected.broken + expected.trace) << text(script);
  });
  EXPECT_GT(given, 0);
}

// On a ring what is left of the C library is the same, whatever its techniques; but without a
// buffer ring its receives are plain calls.
std::vector<BackendCase> backends() {
  std::vector<BackendCase> chosen;
  for (const BackendCase& one : kernel_backends()) {
    const bool wanted = one.name == "epoll" || one.name == "io_uring" ||
                        one.name == "io_uring_no_ring";
    if (wanted) chosen.push_back(one);
  }
  return chosen;
}

INSTANTIATE_TEST_SUITE_P(Backends, FaultyScriptTest, testing::ValuesIn(backends()), case_name);

}  // namespace
}  // namespace weir::test
