#pragma once

#include <algorithm>
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "bench/udp_sender.h"

// One measurement of one UDP receiver.
namespace weir::bench {

enum class UdpPace {
  // The sender sends while the receiver receives. One core cannot send as fast as another one can
  // receive: most of what is measured is falling asleep and waking up.
  meanwhile,
  // The receiver is stopped (SIGSTOP) while its queue is filled, and then takes it all: it always
  // finds more, as if there were many senders.
  in_turn,
};

struct UdpRun {
  // The receiver's program and flags.
  std::vector<std::string> command;
  // What its second line of output must name.
  std::string kind;
  UdpLoad load;
  UdpPace pace = UdpPace::meanwhile;
  // The receiver takes what was sent in one piece in one piece, and loses it so.
  bool coalesces = false;
  int receiver_cpu = -1;
  double warmup_seconds = 0;
  double duration_seconds = 0;
};

struct UdpSample {
  // Of the measuring window, by the receiver's own clocks and counts.
  double seconds = 0;
  double cpu_seconds = 0;
  double datagrams = 0;
  double receives = 0;
  double sleeps = 0;
  // Of the receiver's whole life.
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t lost = 0;  // as the kernel has counted them
  // As the kernel counts it.
  int receive_buffer = 0;

  double per_second() const { return datagrams / seconds; }
  double per_cpu_second() const { return datagrams / cpu_seconds; }
  double cpu_ns_per_datagram() const { return cpu_seconds * 1e9 / datagrams; }
  double core_percent() const { return 100 * cpu_seconds / seconds; }
  double per_receive() const { return datagrams / receives; }
  // Who never sleeps is shown as having slept once.
  double per_sleep() const { return datagrams / std::max(sleeps, 1.0); }
  double loss_percent() const {
    return 100 * static_cast<double>(lost) / static_cast<double>(sent);
  }
};

// Starts the receiver, sends, and ends it. It is an error if the receiver got nothing, if it has
// counted other bytes than were sent, or if at the end a datagram is neither counted by it nor by
// the kernel as dropped.
std::expected<UdpSample, std::string> take_udp_sample(const UdpRun& run);

}  // namespace weir::bench
