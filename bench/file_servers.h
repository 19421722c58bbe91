#pragma once

#include <sys/types.h>

#include <expected>
#include <string>
#include <vector>

#include "bench/server_process.h"

// The servers of files that `static` compares.
namespace weir::bench {

struct FileServer {
  std::string name;
  std::vector<std::string> command;
  bool nginx = false;
};

// A server at work, and the process in it that answers.
struct RunningFileServer {
  ServerProcess process;
  pid_t worker = -1;
};

// Started on `cpu` (negative: anywhere). Its connections have the congestion control cubic, nginx's
// by nginx_static, weir's because it is set here on the listening socket, which is the same for
// all processes that have it.
std::expected<RunningFileServer, std::string> start_file_server(const FileServer& server, int cpu);

// The program's path, or empty.
std::string find_nginx();

}  // namespace weir::bench
