#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/server_process.h"
#include "bench/soak_record.h"
#include "bench/soak_run.h"

namespace weir::bench {

// One server of a soak. A function that returns false has written down what is wrong.
class SoakServer {
 public:
  SoakServer(const SoakRunOptions& options, const SoakServerSpec& spec);

  bool start();
  // Finds out how much it can do, and so what it is to do.
  bool calibrate(std::uint64_t seed);
  bool load(std::uint64_t seed, bool counts);
  void stop();

  const std::string& name() const { return spec_.name; }
  SoakRecord& record() { return record_; }

 private:
  SoakSlice run_slice(std::uint64_t seed, double rate, double seconds, double haste);
  bool come_to_rest(const SoakSlice& slice);
  bool look_at_descriptors(std::int64_t deadline);
  void begin_slice();
  void note_errors();
  std::string holdings();

  const SoakRunOptions& options_;
  const SoakServerSpec& spec_;
  std::optional<ServerProcess> process_;
  SoakRecord record_;
  std::vector<std::string> descriptors_begin_;
  // Since when it has been idle, and its CPU clock then. 0: it has not been yet.
  std::int64_t idle_since_ = 0;
  std::int64_t idle_cpu_ = 0;
};

}  // namespace weir::bench
