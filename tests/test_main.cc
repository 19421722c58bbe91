// main() of the tests that need no arguments.
#include <gtest/gtest.h>

#include "tests/leaks.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  weir::test::fail_on_leaks();
  return RUN_ALL_TESTS();
}
