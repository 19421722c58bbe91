// Linked with a suite of tests, it lets each of them run while the kernel does whatever it may do
// to a correct program (libc_faults.h). WEIR_SEED=n has the faults of a run again.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <optional>

#include "tests/libc_faults.h"

namespace weir::test {
namespace {

long given = 0;

std::uint64_t chosen_seed() {
  const char* chosen = std::getenv("WEIR_SEED");
  return chosen == nullptr ? 1 : std::strtoull(chosen, nullptr, 10);
}

class Everywhere final : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override {
    trace_.emplace(__FILE__, __LINE__, "WEIR_SEED=" + std::to_string(seed_));
    faults_.emplace(seed_);
  }
  void OnTestEnd(const testing::TestInfo&) override {
    given += faults_->given();
    faults_.reset();
    trace_.reset();
  }

  const std::uint64_t seed_ = chosen_seed();
  std::optional<Faults> faults_;
  std::optional<testing::ScopedTrace> trace_;
};

class SomeAreGiven final : public testing::Environment {
  void TearDown() override { EXPECT_GT(given, 0) << "nothing has gone through the wrap"; }
};

[[maybe_unused]] const bool added = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new Everywhere);
  testing::AddGlobalTestEnvironment(new SomeAreGiven);
  return true;
}();

}  // namespace
}  // namespace weir::test
