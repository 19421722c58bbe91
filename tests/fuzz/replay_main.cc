// Runs a fuzz target without a fuzzer: over every file of a corpus, and over seeded mutations of
// them. This is what the test suite builds; --config=fuzz builds the same target with libFuzzer.
//
//     replay <mutations> <file or directory>...
//
// WEIR_SEED in the environment chooses the seed; the one in use is printed.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/random.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace weir::test {
namespace {

using Inputs = std::vector<std::string>;

void run(const std::string& input) {
  (void)LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

void add_file(const std::filesystem::path& path, Inputs& inputs) {
  std::ifstream file(path, std::ios::binary);
  inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

Inputs read_corpus(int count, char** paths) {
  std::vector<std::filesystem::path> files;
  for (int i = 0; i < count; ++i) {
    if (std::filesystem::is_directory(paths[i])) {
      for (const auto& entry : std::filesystem::directory_iterator(paths[i])) {
        files.push_back(entry.path());
      }
    } else {
      files.emplace_back(paths[i]);
    }
  }
  std::ranges::sort(files);
  Inputs inputs;
  for (const auto& file : files) add_file(file, inputs);
  return inputs;
}

// One step of what a fuzzer does.
void mutate(Random& random, const Inputs& inputs, std::string& input) {
  constexpr std::string_view kWords[] = {
      "\r\n", "\r\n\r\n", "\n", "\r", "\t", " ", ":", ";", ",", "=", "\"", "0", "0\r\n\r\n",
      "5\r\n", "ffffffffffffffff", "Content-Length: ", "Transfer-Encoding: ", "chunked", "Host: a",
      "HTTP/1.1", "HTTP/1.0", "GET / ", "CONNECT a:1 ", "http://", "Connection: close",
      "Upgrade: x", "\x7f", "\xff", "%2e%2e/", "%00", "%", "/", "//", "?", "#", "@", "&", "+", "-",
      "[", "]:", "::", ":65536", "1.2.3.4", "255.255.255.255", "bytes=", "W/\"a\"", "*",
      "Sun, 06 Nov 1994 08:49:37 GMT", ";q=0.5", "gzip", "permessage-deflate; ",
      "client_max_window_bits=9", "\\", "\xc3\xa9", "\xed\xa0\x80", "\xf0\x9f\x98\x80", "--port="};
  const std::size_t at = random.below(input.size() + 1);
  const std::size_t size = random.below(std::min<std::size_t>(input.size() - at, 16) + 1);
  switch (random.below(6)) {
    case 0:
      input.insert(at, kWords[random.below(std::size(kWords))]);
      break;
    case 1:
      input.erase(at, size);
      break;
    case 2:
      input.insert(at, input.substr(at, size));
      break;
    case 3:
      input.insert(at, 1, static_cast<char>(random.below(256)));
      break;
    case 4: {
      const std::string& other = inputs[random.below(inputs.size())];
      const std::size_t from = random.below(other.size() + 1);
      input.insert(at, other, from, random.below(64));
      break;
    }
    default:
      if (at < input.size()) input[at] = static_cast<char>(random.below(256));
  }
}

int replay(std::uint64_t mutations, int count, char** paths) {
  const Inputs inputs = read_corpus(count, paths);
  if (inputs.empty()) {
    std::fprintf(stderr, "no corpus\n");
    return 2;
  }
  for (const std::string& input : inputs) run(input);
  const char* chosen = std::getenv("WEIR_SEED");
  const std::uint64_t seed = chosen == nullptr ? 1 : std::strtoull(chosen, nullptr, 10);
  std::printf("%zu inputs, %llu mutations, WEIR_SEED=%llu\n", inputs.size(),
              static_cast<unsigned long long>(mutations), static_cast<unsigned long long>(seed));
  std::fflush(stdout);  // before whatever may abort
  Random random(seed);
  for (std::uint64_t i = 0; i < mutations; ++i) {
    std::string input = inputs[random.below(inputs.size())];
    for (std::uint64_t steps = 1 + random.below(4); steps > 0; --steps) {
      mutate(random, inputs, input);
    }
    run(input);
  }
  return 0;
}

}  // namespace
}  // namespace weir::test

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s <mutations> <file or directory>...\n", argv[0]);
    return 2;
  }
  return weir::test::replay(std::strtoull(argv[1], nullptr, 10), argc - 2, argv + 2);
}
