// What a soak asks demo_server for, and what it must get.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/load_pattern.h"
#include "bench/soak_answer.h"
#include "bench/soak_random.h"

namespace weir::bench {

struct SoakRequest {
  std::string text;
  SoakAnswer answer;
};

class SoakSite {
 public:
  // Writes the files that are asked for below an existing directory. False: it cannot.
  [[nodiscard]] static bool write_files(const std::string& root);

  explicit SoakSite(const LoadPattern& pattern) : pattern_(pattern) {}

  // What most clients want: something small, by any of the ways there are.
  SoakRequest small(SoakRandom& random) const;
  // A file of 1 MiB, or any part of it.
  SoakRequest download(SoakRandom& random) const;
  // More than all buffers between two processes take, in chunks or from a file.
  SoakRequest large(SoakRandom& random) const;
  // What is to be refused, with the end of the connection behind it.
  SoakRequest malformed(SoakRandom& random) const;

 private:
  SoakRequest upload(SoakRandom& random) const;
  SoakRequest chunks(std::uint64_t count, std::uint64_t size) const;

  const LoadPattern& pattern_;
};

}  // namespace weir::bench
