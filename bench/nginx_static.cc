// Becomes nginx, with the files of a directory, as other servers here are started: it prints where
// it listens, and leaves on SIGTERM.
//
//     nginx_static --nginx /usr/sbin/nginx --root DIR --work DIR [--no-cache]
//
// The listening socket is opened here and handed to nginx as its own upgrade does it, in the
// variable NGINX: so the port is known before nginx runs, and nobody can take it meanwhile.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "bench/flags.h"
#include "bench/floor_common.h"

namespace weir::bench {
namespace {

struct Options {
  std::string nginx;
  std::string root;
  std::string work;
  bool no_cache = false;
};

int port_of(int listener) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

// One worker, as it is tuned for files. The worker of a root's nginx would be nobody, who cannot
// read a directory in /tmp that is ours alone.
std::string config_of(const Options& options, int port) {
  std::string text;
  if (geteuid() == 0) text += "user root;\n";
  text += "daemon off;\nworker_processes 1;\n";
  text += "pid " + options.work + "/pid;\nerror_log stderr warn;\n";
  text += "events { worker_connections 4096; }\nhttp {\n  access_log off;\n";
  for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
    text += std::string("  ") + kind + "_temp_path " + options.work + "/" + kind + ";\n";
  }
  text += "  default_type application/octet-stream;\n  sendfile on;\n  tcp_nopush on;\n";
  text += "  keepalive_requests 1000000000;\n  keepalive_timeout 600s;\n";
  if (!options.no_cache) {
    text += "  open_file_cache max=1000 inactive=600s;\n  open_file_cache_valid 600s;\n";
  }
  text += "  server {\n    listen 127.0.0.1:" + std::to_string(port) + ";\n";
  text += "    location /static/ { alias " + options.root + "/; }\n  }\n}\n";
  return text;
}

int become_nginx(const Options& options) {
  const int listener = open_floor_listener({});
  if (listener < 0) return 1;
  const std::string config = options.work + "/nginx.conf";
  if (!(std::ofstream(config) << config_of(options, port_of(listener)) << std::flush)) {
    std::fprintf(stderr, "cannot write %s\n", config.c_str());
    return 1;
  }
  fcntl(listener, F_SETFD, 0);
  setenv("NGINX", (std::to_string(listener) + ";").c_str(), 1);
  announce_floor(listener, "nginx");
  execl(options.nginx.c_str(), "nginx", "-p", options.work.c_str(), "-e", "stderr", "-c",
        config.c_str(), nullptr);
  std::fprintf(stderr, "cannot execute %s: %s\n", options.nginx.c_str(), std::strerror(errno));
  return 1;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  CLI::App app{"nginx with the files of a directory"};
  weir::bench::add_program(app, "nginx", options.nginx, "the program");
  app.add_option("--root", options.root, "the files")->required();
  app.add_option("--work", options.work, "directory for what nginx writes")->required();
  app.add_flag("--no-cache", options.no_cache, "opens the file for each request");
  if (const auto code = weir::bench::parse(app, "nginx_static", argc, argv)) return *code;
  return weir::bench::become_nginx(options);
}
