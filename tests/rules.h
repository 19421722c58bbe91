// Says which rules of a layer's rules.txt a test holds weir to, and which of Node's tests it stands
// for; tests/conformance.py makes the layer's CONFORMANCE.md of it.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace weir::test {

// Adds words to a property of the running test: recording a key again would replace its value. What
// is there already is read back from the test's own result, so a new test begins with nothing.
inline void add_to_property(const std::string& key, std::string_view words) {
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  if (test == nullptr) return;  // outside a test, as in SetUpTestSuite()
  std::string all;
  for (int i = 0; i < test->result()->test_property_count(); ++i) {
    const testing::TestProperty& property = test->result()->GetTestProperty(i);
    if (key == property.key()) all = std::string(property.value()) + ' ';
  }
  testing::Test::RecordProperty(key, all.append(words));
}

}  // namespace weir::test

// RULES("1.1.3.1 1.1.3.2"); several in a test add up, and so do the ids of one.
#define RULES(ids) ::weir::test::add_to_property("rules", ids)

// NODE_TEST("socket-end-callback"): the file's name in Node without ".js" and without "test-net-",
// in tests of http without "test-".
#define NODE_TEST(names) ::weir::test::add_to_property("node", names)
