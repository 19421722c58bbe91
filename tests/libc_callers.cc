#include "tests/libc_callers.h"

#include <elf.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

extern "C" const char __executable_start;  // ld(1)

namespace weir::test {
namespace {

struct Function {
  std::uint64_t begin;
  std::uint64_t end;
  bool of_library;
};

// The library's namespace has a version in it. What is made of its templates for tests has their
// namespace in its name, but for what weir::Function makes of a handler: it calls nothing itself.
bool is_library_name(std::string_view mangled) {
  return mangled.contains("4weir2v1") && !mangled.contains("4test") &&
         !mangled.starts_with("_ZN4weir2v18FunctionI");
}

// From the symbols of this program (elf(5)).
std::vector<Function> read_functions() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  const std::string image{std::istreambuf_iterator<char>(file), {}};
  const auto at = [&image]<class T>(T& into, std::uint64_t offset) {
    std::memcpy(&into, image.data() + offset, sizeof into);
  };
  Elf64_Ehdr head{};
  at(head, 0);
  const std::uint64_t base =
      head.e_type == ET_DYN ? reinterpret_cast<std::uint64_t>(&__executable_start) : 0;
  std::vector<Function> functions;
  for (unsigned i = 0; i < head.e_shnum; ++i) {
    Elf64_Shdr section{};
    at(section, head.e_shoff + i * sizeof section);
    if (section.sh_type != SHT_SYMTAB) continue;
    Elf64_Shdr names{};
    at(names, head.e_shoff + section.sh_link * sizeof names);
    for (std::uint64_t offset = 0; offset < section.sh_size; offset += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol{};
      at(symbol, section.sh_offset + offset);
      if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_size == 0) continue;
      const std::string_view name = image.data() + names.sh_offset + symbol.st_name;
      const std::uint64_t begin = base + symbol.st_value;
      functions.push_back({begin, begin + symbol.st_size, is_library_name(name)});
    }
  }
  std::ranges::sort(functions, {}, &Function::begin);
  const bool any = std::ranges::any_of(functions, &Function::of_library);
  if (!any) {
    std::fputs("this program has no symbols: nobody can tell whose call it is\n", stderr);
    std::abort();
  }
  return functions;
}

}  // namespace

bool is_of_library(const void* address) noexcept {
  static const auto* const functions = new std::vector<Function>(read_functions());
  // It returns to behind the call, which may be the last instruction of its function.
  const std::uint64_t inside = reinterpret_cast<std::uint64_t>(address) - 1;
  const auto next = std::ranges::upper_bound(*functions, inside, {}, &Function::begin);
  if (next == functions->begin()) return false;
  const Function& found = *std::prev(next);
  return found.of_library && inside < found.end;
}

}  // namespace weir::test
