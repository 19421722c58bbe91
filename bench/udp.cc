// weir as a receiver of UDP datagrams against the least that the kernel can do, in one command:
//
//   bazel run -c opt //bench:udp
//
// Each sample is a fresh receiver with a port of its own, on one core; the sender is this process,
// on another. At the end of a sample every datagram must have been counted, by the receiver or by
// the kernel as dropped.

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "bench/flags.h"
#include "bench/machine.h"
#include "bench/server_process.h"
#include "bench/udp_report.h"
#include "bench/udp_sample.h"

namespace weir::bench {
namespace {

constexpr int kDefaultRounds = 9;
constexpr int kDefaultReceiveBuffer = 1 << 20;

struct Options {
  std::string floor;
  std::string weir;
  int rounds = kDefaultRounds;
  int receive_buffer = kDefaultReceiveBuffer;
  bool quick = false;
};

struct Receiver {
  std::string name;
  std::string short_name;
  // What its second line of output must name.
  std::string kind;
  std::vector<std::string> command;
  bool coalesces = false;
};

struct Workload {
  std::string title;
  UdpLoad load;
  UdpPace pace = UdpPace::meanwhile;
  // Those to compare with.
  std::vector<std::string> references;
};

std::optional<int> parse_flags(int argc, char** argv, Options& options) {
  CLI::App app{"weir as a UDP receiver against bare ones"};
  add_program(app, "udp-floor", options.floor, "the bare receivers");
  add_program(app, "udp-weir", options.weir, "weir's receiver");
  add_pace(app, options.rounds, "samples of each receiver under each load", options.quick);
  app.add_option("--receive-buffer", options.receive_buffer, "bytes to ask for by SO_RCVBUF")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
  return parse(app, "udp", argc, argv);
}

// Neighbours in the list are neighbours in time: weir stands next to what it is compared with.
std::vector<Receiver> receivers_of(const Options& options, bool io_uring) {
  const std::string buffer = std::to_string(options.receive_buffer);
  const auto floor = [&](const std::string& loop, const char* short_name) {
    return Receiver{.name = loop,
                    .short_name = short_name,
                    .kind = loop,
                    .command = {options.floor, "--receive-buffer", buffer, "--loop", loop},
                    .coalesces = loop == "gro"};
  };
  const auto weir = [&](const std::string& backend, bool coalesce) {
    return Receiver{.name = "weir " + backend + (coalesce ? " gro" : ""),
                    .short_name = {},
                    .kind = backend,
                    .command = {options.weir, "--receive-buffer", buffer, "--backend", backend,
                                coalesce ? "--coalesce" : "--no-coalesce"},
                    .coalesces = coalesce};
  };
  std::vector<Receiver> all = {floor("recvfrom", "recvfrom"), floor("recvmmsg", "recvmmsg"),
                               weir("epoll", false), weir("epoll", true),
                               floor("recvmmsg_epoll", "epoll")};
  if (io_uring) {
    all.insert(all.end(),
               {weir("io_uring", false), weir("io_uring", true), floor("multishot", "multishot")});
  }
  all.push_back(floor("gro", "gro"));
  return all;
}

std::vector<Workload> workloads_of(bool segments) {
  const std::vector<std::string> plain = {"recvmmsg", "recvmmsg_epoll", "recvfrom"};
  std::vector<Workload> all;
  for (const std::size_t size : {64, 1400}) {
    const std::string bytes = std::to_string(size) + " B, ";
    all.push_back({bytes + "sendmmsg, the queue filled first: the receiver is the limit",
                   {.size = size},
                   UdpPace::in_turn,
                   plain});
    all.push_back({bytes + "sendmmsg, as fast as it goes: the receiver waits for the sender",
                   {.size = size},
                   UdpPace::meanwhile,
                   plain});
    if (!segments) continue;
    const std::size_t pieces = size == 64 ? 64 : 45;
    all.push_back({bytes + "UDP_SEGMENT, " + std::to_string(pieces) + " a send",
                   {.size = size, .segments = pieces},
                   UdpPace::meanwhile,
                   {"recvmmsg", "gro", "recvfrom"}});
  }
  return all;
}

UdpRun run_of(const Receiver& receiver, const Workload& workload, const Options& options,
              const Cores& cores) {
  return {.command = receiver.command,
          .kind = receiver.kind,
          .load = workload.load,
          .pace = workload.pace,
          .coalesces = receiver.coalesces,
          .receiver_cpu = cores.server,
          .warmup_seconds = options.quick ? 0.02 : 0.05,
          .duration_seconds = options.quick ? 0.05 : 0.2};
}

std::optional<UdpTable> run_workload(const std::vector<Receiver>& receivers,
                                     const Workload& workload, const Options& options,
                                     const Cores& cores) {
  UdpTable table;
  table.title = workload.title;
  table.pace = workload.pace;
  for (const Receiver& receiver : receivers) {
    table.rows.push_back({receiver.name, receiver.short_name, {}});
  }
  for (const std::string& name : workload.references) {
    const auto found = std::ranges::find(receivers, name, &Receiver::name);
    if (found == receivers.end()) continue;
    table.references.push_back(static_cast<std::size_t>(found - receivers.begin()));
  }
  const int rounds = options.quick ? 1 : options.rounds;
  for (int round = 0; round < rounds; ++round) {
    if (cores.server >= 0) {
      table.core_round_trips_ns.push_back(core_round_trip_ns(cores.server, cores.load));
    }
    for (std::size_t i = 0; i < receivers.size(); ++i) {
      const UdpRun one = run_of(receivers[i], workload, options, cores);
      table.duration_seconds = one.duration_seconds;
      const auto sample = take_udp_sample(one);
      if (!sample) {
        std::fprintf(stderr, "udp: %s, %s: %s\n", receivers[i].name.c_str(), workload.title.c_str(),
                     sample.error().c_str());
        return std::nullopt;
      }
      table.rows[i].samples.push_back(*sample);
    }
  }
  return table;
}

// A floor that this kernel has not got is left out, and the others are compared without it.
void leave_out_refused(std::vector<Receiver>& receivers) {
  std::erase_if(receivers, [](const Receiver& receiver) {
    const auto started = ServerProcess::start(receiver.command, -1);
    if (started || started.error().find("refused") == std::string::npos) return false;
    std::printf("%-9s left out: %s\n", receiver.name.c_str(), started.error().c_str());
    return true;
  });
}

// What a receiver that asks for so much gets; negative: it is refused.
int granted_receive_buffer(int asked) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int granted = -1;
  socklen_t length = sizeof(granted);
  if (asked != 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &asked, sizeof(asked));
  getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &granted, &length);
  if (fd >= 0) close(fd);
  return granted;
}

void print_machine(const Options& options, const Cores& cores, const std::string& io_uring,
                   const std::string& segment) {
  for (const std::string& line : machine_lines(cores, "receiver", "sender")) {
    std::printf("%s\n", line.c_str());
  }
  const std::string asked =
      options.receive_buffer == 0 ? "the default" : std::to_string(options.receive_buffer);
  std::printf("SO_RCVBUF %s asked for, %d given\n", asked.c_str(),
              granted_receive_buffer(options.receive_buffer));
  if (!io_uring.empty()) std::printf("io_uring  refused by this machine: %s\n", io_uring.c_str());
  if (!segment.empty()) {
    std::printf("UDP_SEGMENT  refused by this machine, not measured: %s\n", segment.c_str());
  }
}

int run(const Options& options) {
  const Cores cores = two_cores();
  const std::string io_uring = io_uring_refusal();
  const std::string segment = segment_refusal();
  print_machine(options, cores, io_uring, segment);
  std::vector<Receiver> receivers = receivers_of(options, io_uring.empty());
  leave_out_refused(receivers);
  // Not before the cores were counted.
  if (cores.load >= 0) pin_to_cpu(cores.load);
  for (const Workload& workload : workloads_of(segment.empty())) {
    const auto table = run_workload(receivers, workload, options, cores);
    if (!table) return 1;
    std::printf("\n");
    print_udp_table(*table);
  }
  std::printf(
      "\nCPU ns: the receiver's, user and system, for a datagram; /CPU s: datagrams that\n"
      "it receives in a second of that; /call, /sleep: datagrams that a receive brings,\n"
      "and between two sleeps; x: /CPU s against another's, median of the rounds'\n"
      "ratios, more is better; weir ... gro: with UDP_GRO\n");
  return 0;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  if (const auto code = weir::bench::parse_flags(argc, argv, options)) return *code;
  return weir::bench::run(options);
}
