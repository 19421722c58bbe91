// No call of the C library is forgotten: what the library's objects want of others is wrapped, or
// is named with the reason why not. The archives of reactor, and of the layers above it, come as
// arguments.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/libc_calls.h"

namespace weir::test {
namespace {

std::vector<std::string> archives;

// What _FORTIFY_SOURCE makes of a call is that call: __recv_chk, __openat_2.
std::string plain(std::string name) {
  if (!name.starts_with("__")) return name;
  for (const std::string_view end : {"_chk", "_2"}) {
    if (name.ends_with(end)) return name.substr(2, name.size() - 2 - end.size());
  }
  return name;
}

// The names of C that an archive's objects want, but for the compiler's own.
std::set<std::string> wanted_by(const std::string& archive) {
  std::set<std::string> names;
  const std::string command = "nm --undefined-only --format=just-symbols '" + archive + "'";
  const std::unique_ptr<FILE, int (*)(FILE*)> output(popen(command.c_str(), "r"), pclose);
  std::array<char, 4096> line;
  while (output != nullptr && fgets(line.data(), line.size(), output.get()) != nullptr) {
    std::string name(line.data());
    name = plain(name.substr(0, name.find('\n')));
    const bool is_object = name.ends_with(':') || name.empty();
    if (!is_object && !name.starts_with('_')) names.insert(name);
  }
  return names;
}

bool is_wrapped(const std::string& name) {
  return std::ranges::any_of(libc_calls(), [&](auto& one) { return name == one.symbol; });
}
bool is_explained(const std::string& name) {
  return std::ranges::any_of(unwrapped_calls(), [&](auto& one) { return name == one.symbol; });
}

const std::string& archive_of(const std::string& package) {
  static const std::string none;
  const std::string end = package + "/lib" + package + ".a";
  const auto found =
      std::ranges::find_if(archives, [&](const std::string& one) { return one.ends_with(end); });
  EXPECT_NE(found, archives.end()) << "no " << end << " among the arguments";
  return found == archives.end() ? none : *found;
}

TEST(LibcCallsTest, EachIsWrappedOrExplained) {
  const std::set<std::string> wanted = wanted_by(archive_of("reactor"));
  EXPECT_TRUE(wanted.contains("recv")) << "nm(1) does not tell";
  for (const std::string& name : wanted) {
    EXPECT_TRUE(is_wrapped(name) || is_explained(name))
        << name << "() is new: it belongs into libc_calls.cc, with what it may fail with";
    EXPECT_FALSE(is_wrapped(name) && is_explained(name)) << name;
  }
}

TEST(LibcCallsTest, WhatIsWrappedIsCalled) {
  const std::set<std::string> wanted = wanted_by(archive_of("reactor"));
  for (const LibcFacts& one : libc_calls()) {
    EXPECT_TRUE(wanted.contains(one.symbol)) << one.symbol << "() is called no more";
  }
}

TEST(LibcCallsTest, TheLayersAboveMakeNone) {
  for (const char* package : {"net", "http"}) {
    for (const std::string& name : wanted_by(archive_of(package))) {
      // Futexes, of std::atomic.
      EXPECT_TRUE(!is_wrapped(name) || name == "syscall") << package << " calls " << name << "()";
    }
  }
}

}  // namespace
}  // namespace weir::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  weir::test::archives.assign(argv + 1, argv + argc);
  return RUN_ALL_TESTS();
}
