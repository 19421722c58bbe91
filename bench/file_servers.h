#pragma once

#include <expected>
#include <string>
#include <vector>

#include "bench/server_process.h"

// The servers of files that `static` compares.
namespace weir::bench {

struct FileServer {
  std::string name;
  std::vector<std::string> command;
};

// Started on `cpu` (negative: anywhere), and listening. Its connections have the congestion control
// cubic, which is set here on its listening socket.
std::expected<ServerProcess, std::string> start_file_server(const FileServer& server, int cpu);

// The program's path, or empty.
std::string find_nginx();

}  // namespace weir::bench
