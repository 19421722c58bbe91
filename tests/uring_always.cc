// Linked with a suite: its io_uring backends run with faults by chance that it is not to notice.
// WEIR_FAULT_SEED=n chooses others.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <optional>

#include "tests/uring_chance.h"

namespace weir::test {
namespace {

unsigned long long chosen_seed() {
  const char* chosen = std::getenv("WEIR_FAULT_SEED");
  return chosen == nullptr ? 1 : std::strtoull(chosen, nullptr, 10);
}

class Always final : public testing::Environment {
 public:
  void SetUp() override {
    if (!uring_faults_work()) GTEST_SKIP() << "this kernel has no NOPs that fail (Linux 6.10)";
    faults_.emplace(chance_);
  }
  void TearDown() override {
    if (!faults_) return;
    faults_.reset();
    const UringCounts counts = uring_counts();
    std::printf("WEIR_FAULT_SEED=%llu: of %zu entries %zu shortened, %zu failed; %zu ended "
                "waiting, %zu with a good result; the kernel was not entered %zu times\n",
                chosen_seed(), counts.entries, counts.shortened, counts.failed, counts.ended,
                counts.ended_well, counts.refused);
    EXPECT_EQ(counts.strays, 0U);
    EXPECT_GT(counts.failed, 0U) << "no fault was made";
  }

 private:
  UringChance chance_{chosen_seed()};
  std::optional<UringFaults> faults_;
};

[[maybe_unused]] const auto* const kAlways = testing::AddGlobalTestEnvironment(new Always());

}  // namespace
}  // namespace weir::test
