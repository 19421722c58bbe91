#include "bench/compare_run.h"

#include <unistd.h>

#include <cstdio>
#include <expected>
#include <filesystem>

#include "bench/file_servers.h"
#include "bench/server_process.h"

namespace weir::bench {
namespace {

std::vector<std::string> command_of(const Contender& server, const CompareWorkload& workload,
                                    const std::string& unix_path) {
  std::vector<std::string> command = server.command(workload.speaks);
  if (workload.spinning) command.insert(command.end(), server.spin.begin(), server.spin.end());
  if (workload.over_unix) {
    command.insert(command.end(), {"--unix", unix_path});
  } else {
    command.insert(command.end(), {"--port", "0"});
  }
  return command;
}

std::expected<CompareSample, std::string> take_sample(const Contender& server,
                                                      const CompareWorkload& workload,
                                                      const CompareRounds& how) {
  CompareTarget target;
  if (workload.over_unix) target.unix_path = how.directory + "/socket";
  const FileServer start{server.name, command_of(server, workload, target.unix_path)};
  auto running = workload.over_unix ? ServerProcess::start(start.command, how.cpu)
                                    : start_file_server(start, how.cpu);
  if (!running) return std::unexpected(running.error());
  target.pid = running->pid();
  target.port = running->port();
  auto sample = workload.run(target);
  if (!sample) return sample;
  if (const auto stopped = running->stop(); !stopped) return std::unexpected(stopped.error());
  std::error_code ignored;
  if (workload.over_unix) std::filesystem::remove(target.unix_path, ignored);
  return sample;
}

}  // namespace

std::optional<CompareTable> run_rounds(const CompareWorkload& workload,
                                       const std::vector<const Contender*>& servers,
                                       const CompareRounds& how) {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  CompareTable table{.workload = &workload, .rows = {}};
  for (const Contender* const server : servers) table.rows.push_back({server, {}});
  for (int round = 0; round < how.rounds; ++round) {
    for (CompareRow& row : table.rows) {
      const char* const name = row.server->name.c_str();
      if (terminal) {
        std::fprintf(stderr, "\r\033[K%s: round %d of %d, %s", workload.name.c_str(), round + 1,
                     how.rounds, name);
      }
      const auto sample = take_sample(*row.server, workload, how);
      if (terminal) std::fputs("\r\033[K", stderr);
      if (!sample) {
        std::fprintf(stderr, "%s: %s, %s: %s\n", how.program.c_str(), name,
                     workload.name.c_str(), sample.error().c_str());
        return std::nullopt;
      }
      row.samples.push_back(*sample);
    }
  }
  return table;
}

}  // namespace weir::bench
