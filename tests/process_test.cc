#include "tests/process_test.h"

#include <algorithm>
#include <cstdlib>

namespace weir::test {
namespace {

std::vector<std::string> programs;

}  // namespace

const std::string& program(std::string_view name) {
  const auto found = std::ranges::find_if(programs, [&](const std::string& path) {
    return std::filesystem::path(path).filename() == name;
  });
  if (found != programs.end()) return *found;
  std::fprintf(stderr, "the path of %s is missing in the arguments\n", std::string(name).c_str());
  std::exit(2);
}

}  // namespace weir::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    weir::test::programs.push_back(std::filesystem::absolute(argv[i]));
  }
  return RUN_ALL_TESTS();
}
