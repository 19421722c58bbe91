// Runs simulated worlds until one has found the bug that was planted in the library. A world may
// end the process, by an assertion or a sanitizer: so it runs in a child, which names each seed
// before it begins.
#include "tests/planted/hunt.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace weir::test {
namespace {

constexpr std::uint64_t kSeedsMax = 1000;

void run_worlds(int progress) {
  for (std::uint64_t seed = 1; seed <= kSeedsMax; ++seed) {
    if (write(progress, &seed, sizeof seed) != sizeof seed) _exit(3);
    const std::string wrong = swarm(seed);
    if (wrong.empty()) continue;
    std::printf("%s\n", wrong.c_str());
    std::fflush(stdout);
    _exit(1);
  }
  _exit(0);
}

int hunt() {
  int ends[2];
  if (pipe(ends) != 0) return 2;
  std::fflush(stdout);
  const auto begin = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child < 0) return 2;
  if (child == 0) {
    close(ends[0]);
    run_worlds(ends[1]);
  }
  close(ends[1]);
  std::uint64_t seed = 0;
  for (std::uint64_t next = 0; read(ends[0], &next, sizeof next) == sizeof next;) seed = next;
  int status = 0;
  if (waitpid(child, &status, 0) != child) return 2;
  if (WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3)) {
    std::printf("not found within %llu seeds\n", static_cast<unsigned long long>(seed));
    return 1;
  }
  const auto taken = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin);
  std::printf("found by seed %llu in %lld ms\n", static_cast<unsigned long long>(seed),
              static_cast<long long>(taken.count()));
  return 0;
}

}  // namespace
}  // namespace weir::test

int main() { return weir::test::hunt(); }
