#include "bench/soak_run.h"

#include <memory>

#include "bench/load_clock.h"
#include "bench/soak_server.h"

namespace weir::bench {
namespace {

class SoakRun {
 public:
  explicit SoakRun(const SoakRunOptions& options)
      : options_(options),
        deadline_(monotonic_now() + static_cast<std::int64_t>(options.seconds * 1e9)),
        seed_(options.seed) {
    for (const SoakServerSpec& spec : options.servers) {
      servers_.push_back(std::make_unique<SoakServer>(options, spec));
    }
  }

  std::vector<SoakRecord> run() {
    if (start()) go_round();
    std::vector<SoakRecord> records;
    for (const auto& server : servers_) {
      server->stop();
      records.push_back(server->record());
    }
    return records;
  }

 private:
  bool start() {
    for (const auto& server : servers_) {
      if (!server->start()) return false;
    }
    for (const auto& server : servers_) {
      say("how much it can do", *server);
      if (!server->calibrate(seed_)) return false;
      seed_ += 10;
    }
    return true;
  }

  // Neighbours in a round are neighbours in time.
  void go_round() {
    const int least = options_.warmup_rounds + options_.rounds_min;
    for (int round = 0; round < least || monotonic_now() < deadline_; ++round) {
      for (const auto& server : servers_) {
        say(round < options_.warmup_rounds ? "warm-up" : "round " + std::to_string(round), *server);
        if (!server->load(seed_++, round >= options_.warmup_rounds)) return;
      }
    }
  }

  void say(const std::string& what, const SoakServer& server) const {
    if (options_.progress) options_.progress(what + ": " + server.name());
  }

  const SoakRunOptions& options_;
  const std::int64_t deadline_;
  std::uint64_t seed_;
  std::vector<std::unique_ptr<SoakServer>> servers_;
};

}  // namespace

std::vector<SoakRecord> run_soak(const SoakRunOptions& options) { return SoakRun(options).run(); }

}  // namespace weir::bench
