// Prints the whole traces of some simulated worlds: swarm_trace FIRST_SEED COUNT
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/http_swarm.h"
#include "tests/net_swarm.h"

namespace {

void print(std::string_view line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("swarm_trace FIRST_SEED COUNT\n", stderr);
    return 2;
  }
  const unsigned long long first = std::strtoull(argv[1], nullptr, 10);
  const unsigned long long count = std::strtoull(argv[2], nullptr, 10);
  for (unsigned long long seed = first; seed < first + count; ++seed) {
    std::printf("net, seed %llu\n", seed);
    if (!weir::test::run_net_swarm(seed, {.on_trace = print}).ok) return 1;
    std::printf("http, seed %llu\n", seed);
    if (!weir::test::run_http_swarm(seed, {.on_trace = print}).ok) return 1;
  }
  return 0;
}
