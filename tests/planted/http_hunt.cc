#include "tests/http_swarm.h"
#include "tests/planted/hunt.h"

namespace weir::test {

std::string swarm(std::uint64_t seed) { return run_http_swarm(seed).what; }

}  // namespace weir::test
