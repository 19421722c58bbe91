// The key-value service in a simulated world for some days, with troubles: crashes, empty disks,
// partitions, frozen machines, and kernels and networks that misbehave.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/examples/kv_client.h"
#include "net/examples/kv_history.h"
#include "net/examples/kv_service.h"
#include "weir/reactor/sim_world.h"

namespace weir::example::kv {

struct TrialOptions {
  std::uint64_t seed = 1;
  int days = 365;
  Bug bug = Bug::none;
  bool troubles = true;
  Function<void(std::string_view)> on_trace = {};
};

// Of one node, over all its lives.
struct NodeReport {
  std::string name;
  std::uint64_t beats_due = 0;  // whole intervals that its lives have lasted
  HeartbeatsByPeer heartbeats;
};

struct Report {
  std::string wrong;  // empty: nothing
  Duration time = {};  // virtual, until then or to the end
  std::uint64_t events = 0;
  std::uint64_t trace_hash = 0;
  std::uint64_t answers = 0;  // that clients got
  std::uint64_t troubles = 0;
  std::uint64_t crashes = 0;
  std::uint64_t disks_lost = 0;
  std::uint64_t partitions = 0;
  std::size_t log_entries = 0;
  std::array<NodeReport, 3> nodes;
};

class Trial {
 public:
  explicit Trial(TrialOptions options);
  Report run();

 private:
  struct Machine {
    sim::Host* host = nullptr;
    Disk disk;
    NodeReport report;
    Instant started = {};
    Instant frozen_from = {};
    Instant frozen_until = {};
    bool filling = false;           // its disk was replaced, and has less than
    std::size_t entries_due = 0;
  };

  void add_machine(std::size_t i);
  void boot(Machine& machine);
  void power_off(Machine& machine);
  void freeze(Machine& machine, Duration time);
  void count_beats_due(Machine& machine);
  void replace_disk(Machine& machine);
  bool all_disks_are_filled();

  void await_trouble();
  void trouble(std::uint64_t actions);
  void act();
  void crash(Machine& machine);
  void cut(std::uint64_t draw);
  void settle();
  void pause_clients(Duration longest);

  void check_the_end();
  void fail(const std::string& what);
  Duration elapsed() const { return world_.now() - Instant(); }

  const Bug bug_;
  const bool troubles_;
  const Duration length_;
  std::array<Machine, 3> machines_;  // the first one is the primary
  sim::World world_;
  History history_;
  ClientListener listener_;
  std::vector<std::unique_ptr<Client>> clients_;
  Report report_;
};

}  // namespace weir::example::kv
