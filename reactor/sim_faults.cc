#include "weir/reactor/sim_faults.h"

namespace weir::inline v1::sim {
namespace {

// Each halving of the highest has the same share.
double any_probability(Random& random, double highest, unsigned halvings) noexcept {
  if (random.once_in(2)) return 0;
  const double probability =
      highest / static_cast<double>(std::uint64_t{1} << random.below(halvings));
  return probability * (static_cast<double>(random.between(512, 1023)) / 1024);
}

}  // namespace

Faults Faults::random(Random& random) noexcept {
  Faults faults;
  for (double* fault : {&faults.late, &faults.again, &faults.short_read, &faults.short_write,
                        &faults.ended, &faults.late_cancel, &faults.spurious, &faults.no_buffers,
                        &faults.no_descriptors, &faults.aborted}) {
    *fault = any_probability(random, 0.25, 7);
  }
  for (double* rude : {&faults.no_memory, &faults.no_lookup, &faults.reset, &faults.stall,
                       &faults.jump}) {
    *rude = any_probability(random, 0.02, 4);
  }
  return faults;
}

}  // namespace weir::inline v1::sim
