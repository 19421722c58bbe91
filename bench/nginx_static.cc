// Becomes nginx, as other servers here are started: it prints where it will listen, and leaves on
// SIGTERM. GET /hello is answered `Hello, World!`, GET /static/NAME with a file of the directory.
//
//     nginx_static --nginx /usr/sbin/nginx --work DIR [--root DIR] [--port N] [--no-cache]
//
// A socket that is bound here, but never listens, keeps the port for nginx, which shares it by
// SO_REUSEPORT: so the port may be the kernel's choice, and nobody can take it meanwhile.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
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
  int port = 0;
  bool no_cache = false;
};

struct Place {
  int fd = -1;
  int port = 0;
};

// Open in the program that this becomes, too.
Place take_place(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<in_port_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const name = reinterpret_cast<sockaddr*>(&address);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const int one = 1;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) != 0 ||
      bind(fd, name, length) != 0 || getsockname(fd, name, &length) != 0) {
    return {};
  }
  return {fd, ntohs(address.sin_port)};
}

constexpr const char* kHello =
    "    location = /hello { default_type text/plain; return 200 \"Hello, World!\"; }\n";

// As it is tuned for files. One process without a master: a worker would outlive a master that is
// killed together with the benchmark.
std::string config_of(const Options& options, int port) {
  std::string text = "daemon off;\nmaster_process off;\n";
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
  text += "  server {\n    listen 127.0.0.1:" + std::to_string(port) +
          " reuseport backlog=4096;\n" + kHello;
  if (!options.root.empty()) text += "    location /static/ { alias " + options.root + "/; }\n";
  return text + "  }\n}\n";
}

int become_nginx(const Options& options) {
  const Place place = take_place(options.port);
  if (place.fd < 0) {
    std::fprintf(stderr, "no port: %s\n", std::strerror(errno));
    return 1;
  }
  const std::string config = options.work + "/nginx.conf";
  if (!(std::ofstream(config) << config_of(options, place.port) << std::flush)) {
    std::fprintf(stderr, "cannot write %s\n", config.c_str());
    return 1;
  }
  announce_floor(place.fd, "nginx");
  execl(options.nginx.c_str(), "nginx", "-p", options.work.c_str(), "-e", "stderr", "-c",
        config.c_str(), nullptr);
  std::fprintf(stderr, "cannot execute %s: %s\n", options.nginx.c_str(), std::strerror(errno));
  return 1;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  CLI::App app{"nginx with a greeting and the files of a directory"};
  weir::bench::add_program(app, "nginx", options.nginx, "the program");
  app.add_option("--root", options.root, "directory of the files of /static/");
  app.add_option("--work", options.work, "directory for what nginx writes")->required();
  app.add_option("--port", options.port, "of 127.0.0.1; 0: the kernel chooses")
      ->check(CLI::Range(0, 65535));
  app.add_flag("--no-cache", options.no_cache, "opens the file for each request");
  if (const auto code = weir::bench::parse(app, "nginx_static", argc, argv)) return *code;
  return weir::bench::become_nginx(options);
}
