#include "bench/peers.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "bench/machine.h"
#include "bench/run_program.h"

namespace weir::bench {
namespace {

using Words = std::vector<std::string>;

// ---- What is missing, and which package of Debian has it ----

struct Needed {
  std::string_view name;
  std::string_view package;
};

constexpr Needed kHeaders[] = {{"uv.h", "libuv1-dev"},
                               {"asio.hpp", "libasio-dev"},
                               {"liburing.h", "liburing-dev"},
                               {"http_parser.h", "libhttp-parser-dev"},
                               {"event2/", "libevent-dev"}};

std::string missing(std::string_view name, std::string_view package) {
  return "no " + std::string(name) + " (apt install " + std::string(package) + ")";
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t'");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t'") - first + 1);
}

// The header that this line of a compiler's says is not there, or nothing.
std::string_view missing_header(std::string_view line) {
  constexpr std::string_view kFatal = "fatal error: ";
  const std::size_t begin = line.find(kFatal);
  if (begin == std::string_view::npos) return {};
  line.remove_prefix(begin + kFatal.size());
  for (const std::string_view end : {": No such file or directory", " file not found"}) {
    const std::size_t at = line.find(end);
    if (at != std::string_view::npos) return trim(line.substr(0, at));
  }
  return {};
}

// One line for what a compiler has written before it failed.
std::string reason_of(std::string_view output) {
  std::string_view first;
  while (!output.empty()) {
    const std::size_t end = std::min(output.find('\n'), output.size());
    const std::string_view line = trim(output.substr(0, end));
    output.remove_prefix(std::min(end + 1, output.size()));
    const std::string_view header = missing_header(line);
    for (const Needed& needed : kHeaders) {
      if (header.starts_with(needed.name)) return missing(header, needed.package);
    }
    // The second is what a linker says of a library.
    if (line.find("error") != std::string_view::npos ||
        line.find("cannot find") != std::string_view::npos) {
      return std::string(line);
    }
    // go build writes the package's name, and then its errors.
    if (first.empty() && !line.starts_with('#')) first = line;
  }
  return first.empty() ? "the compiler failed" : std::string(first);
}

// ---- Building ----

// One of the two servers of a peer.
struct Build {
  std::size_t peer;
  Words Peer::*server;
  Words command;
  Words variables;
  // Empty: it went well.
  std::string failure = {};
};

// Two at a time.
void run_all(std::vector<Build>& builds) {
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < builds.size(); i = next++) {
      const Ran ran = run_program(builds[i].command, builds[i].variables);
      if (ran.exit_code != 0) builds[i].failure = reason_of(ran.output);
    }
  };
  const std::array threads = {std::jthread(work), std::jthread(work)};
}

void skip(Peer& peer, const std::string& why) {
  if (peer.skipped.find(why) != std::string::npos) return;
  peer.skipped += (peer.skipped.empty() ? "" : "; ") + why;
}

class Preparation {
 public:
  explicit Preparation(const PeerPlaces& places) : places_(places) {
    if (!places_.path.empty()) return;
    const char* const path = std::getenv("PATH");
    places_.path = path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path;
    places_.path += ":/usr/local/sbin:/usr/sbin";
  }

  std::vector<Peer> run() {
    add_cxx("libuv", "libuv", {}, {"-luv"}, {"-luv", "-lhttp_parser"});
    add_cxx("asio", "asio", {}, {"-pthread"}, {"-pthread", "-lhttp_parser"});
    add_asio_on_io_uring();
    add_cxx("libevent", "libevent", {}, {"-levent"}, {"-levent"});
    add_node();
    add_go();
    add_nginx();
    run_all(builds_);
    for (const Build& build : builds_) {
      if (build.failure.empty()) continue;
      (peers_[build.peer].*build.server).clear();
      skip(peers_[build.peer], build.failure);
    }
    for (Peer& peer : peers_) find_version(peer);
    return std::move(peers_);
  }

 private:
  std::string find(const std::string& program) const { return find_program(program, places_.path); }
  std::string source(const std::string& name) const { return places_.sources + "/" + name; }

  Peer& add(const std::string& name, const std::string& why_not) {
    peers_.push_back({.name = name, .version = {}, .echo = {}, .http = {}, .skipped = why_not});
    return peers_.back();
  }

  // Of the last peer. `command` writes the program.
  void add_build(Words Peer::*server, const std::string& program, Words command, Words variables) {
    peers_.back().*server = {program};
    builds_.push_back({peers_.size() - 1, server, std::move(command), std::move(variables)});
  }

  void add_root(Words& command) const {
    if (!places_.root.empty()) command.insert(command.end(), {"--root", places_.root});
  }

  // ---- Each of them ----

  void add_cxx(const std::string& name, const std::string& sources, const Words& flags,
               const Words& echo_libraries, const Words& http_libraries) {
    const std::string compiler = find("c++");
    add(name, compiler.empty() ? missing("C++ compiler", "g++") : "");
    if (compiler.empty()) return;
    const auto build = [&](Words Peer::*server, const std::string& kind, const Words& libraries) {
      std::string file = name + "_" + kind;
      std::ranges::replace(file, ' ', '_');
      const std::string program = places_.work + "/" + file;
      Words command = {compiler, "-O3", "-DNDEBUG", "-std=c++20"};
      command.insert(command.end(), flags.begin(), flags.end());
      command.insert(command.end(), {source(sources + "_" + kind + ".cc"), "-o", program});
      command.insert(command.end(), libraries.begin(), libraries.end());
      // reason_of() reads what it says.
      add_build(server, program, std::move(command), {"LC_ALL=C"});
    };
    build(&Peer::echo, "echo", echo_libraries);
    build(&Peer::http, "http", http_libraries);
  }

  void add_asio_on_io_uring() {
    constexpr const char* kName = "asio io_uring";
    const std::string refusal = io_uring_refusal();
    if (!refusal.empty()) {
      add(kName, "io_uring is refused by this machine: " + refusal);
      return;
    }
    add_cxx(kName, "asio", {"-DASIO_HAS_IO_URING", "-DASIO_DISABLE_EPOLL"},
            {"-pthread", "-luring"}, {"-pthread", "-luring", "-lhttp_parser"});
  }

  void add_node() {
    const std::string node = find("node");
    Peer& peer = add("Node", node.empty() ? missing("node", "nodejs") : "");
    if (node.empty()) return;
    peer.echo = {node, source("echo.js")};
    peer.http = {node, source("http.js")};
  }

  // Offline: nothing but the standard library is used, and no module is looked for.
  void add_go() {
    const std::string go = find("go");
    add("Go", go.empty() ? missing("go", "golang-go") : "");
    if (go.empty()) return;
    const Words variables = {"GO111MODULE=off",   "GOFLAGS=",
                             "GOPROXY=off",       "GOTOOLCHAIN=local",
                             "GOPATH=" + places_.work + "/go",
                             "GOCACHE=" + places_.work + "/go_cache"};
    const auto build = [&](Words Peer::*server, const std::string& kind) {
      const std::string program = places_.work + "/go_" + kind;
      add_build(server, program, {go, "build", "-o", program, source(kind + ".go")}, variables);
    };
    build(&Peer::echo, "echo");
    build(&Peer::http, "http");
    add_root(peers_.back().http);
  }

  void add_nginx() {
    const std::string nginx = find("nginx");
    Peer& peer = add("nginx", nginx.empty() ? missing("nginx", "nginx-light") : "");
    if (nginx.empty() || places_.nginx_static.empty()) return;
    const std::string work = places_.work + "/nginx";
    std::error_code error;
    std::filesystem::create_directories(work, error);
    if (error) return skip(peer, "cannot make " + work + ": " + error.message());
    peer.http = {places_.nginx_static, "--nginx", nginx, "--work", work};
    add_root(peer.http);
    // nginx version: nginx/1.22.1
    const std::string said = run_program({nginx, "-v"}).output;
    const std::size_t begin = said.find('/');
    if (begin == std::string::npos) return;
    peer.version = said.substr(begin + 1, said.find_first_of(" \n", begin) - begin - 1);
  }

  // What it says of itself also shows that it can be started at all.
  static void find_version(Peer& peer) {
    for (Words Peer::*const server : {&Peer::echo, &Peer::http}) {
      Words command = peer.*server;
      if (command.empty() || !peer.version.empty()) continue;
      command.push_back("--version");
      const Ran ran = run_program(command);
      const std::string said = ran.output.substr(0, ran.output.find('\n'));
      if (ran.exit_code == 0) {
        peer.version = said;
      } else {
        (peer.*server).clear();
        skip(peer, command[0] + " --version failed: " + said);
      }
    }
  }

  PeerPlaces places_;
  std::vector<Peer> peers_;
  std::vector<Build> builds_;
};

}  // namespace

std::vector<Peer> prepare_peers(const PeerPlaces& places) { return Preparation(places).run(); }

}  // namespace weir::bench
