// The flags that name the programs of a comparison.
#pragma once

#include "bench/compare_servers.h"
#include "bench/flags.h"

namespace weir::bench {

inline void add_compare_programs(CLI::App& app, ComparePrograms& programs) {
  add_program(app, "echo-server", programs.echo_server, "weir's echo server");
  add_program(app, "demo-server", programs.demo_server, "weir's HTTP server");
  add_program(app, "floor-epoll", programs.floor_epoll, "the bare epoll loop");
  add_program(app, "floor-uring", programs.floor_uring, "the bare io_uring loop");
  add_program(app, "floor-http", programs.floor_http, "the bare loops that answer HTTP");
  add_program(app, "nginx-static", programs.nginx_static, "what becomes nginx");
  app.add_option("--peers", programs.peers, "directory of the peers' sources")
      ->required()
      ->check(CLI::ExistingDirectory);
}

}  // namespace weir::bench
