#include "weir/reactor/sim_faults.h"

namespace weir::inline v1::sim {
namespace {

double any_probability(Random& random, double highest) noexcept {
  if (random.once_in(2)) return 0;
  // Small ones as often as large ones: each halving of the highest has the same share.
  double probability = highest;
  while (probability > 0.004 && !random.once_in(3)) probability /= 2;
  return probability * (1 - static_cast<double>(random.below(512)) / 1024) - 0.0001;
}

}  // namespace

Faults Faults::random(Random& random) noexcept {
  Faults faults;
  for (double* fault : {&faults.late, &faults.again, &faults.short_read, &faults.short_write,
                        &faults.ended, &faults.late_cancel, &faults.spurious, &faults.no_buffers,
                        &faults.no_descriptors, &faults.aborted}) {
    *fault = any_probability(random, 0.25);
  }
  for (double* rude : {&faults.no_memory, &faults.no_lookup, &faults.reset, &faults.stall,
                       &faults.jump}) {
    *rude = any_probability(random, 0.02);
  }
  return faults;
}

}  // namespace weir::inline v1::sim
