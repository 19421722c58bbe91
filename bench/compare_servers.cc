#include "bench/compare_servers.h"

#include <utility>

#include "bench/machine.h"
#include "bench/peers.h"
#include "bench/server_process.h"

namespace weir::bench {
namespace {

using Command = std::vector<std::string>;

// Long enough that no connection of a sample ends by it.
constexpr const char* kKeepAlive = "600";
// Microseconds, far more than from one message to the next.
constexpr const char* kBusyPoll = "1000";
// What reactor.h calls a good value.
constexpr const char* kBusyPollAdaptive = "50";

Contender weir_on(const ComparePrograms& programs, const std::string& backend,
                  const std::string& root) {
  Contender one;
  one.name = "weir " + backend;
  one.kind = Contender::Kind::weir;
  one.floor = "bare " + backend;
  one.echo = {programs.echo_server, "--backend", backend};
  one.spin = {"--busy-poll", kBusyPoll};
  one.spin_adaptive = {"--busy-poll", kBusyPollAdaptive, "--busy-poll-adaptive"};
  one.http = {programs.demo_server, "--backend", backend, "--root", root, "--keep-alive-timeout",
              kKeepAlive};
  one.has_files = true;
  return one;
}

Contender bare(const std::string& backend, const std::string& echo, const std::string& http) {
  Contender one;
  one.name = "bare " + backend;
  one.kind = Contender::Kind::floor;
  one.echo = {echo};
  one.spin = {"--spin"};
  one.http = {http, "--loop", backend};
  return one;
}

// The bare loop needs a newer kernel than weir does. The reason, or nothing.
std::string refusal_of(const Command& command) {
  Command ask = command;
  ask.insert(ask.end(), {"--port", "0"});
  const auto refused = ServerProcess::start(ask, -1);
  return refused ? std::string() : refused.error();
}

void add_uring(Contenders& found, const ComparePrograms& programs, const std::string& root) {
  if (const std::string refusal = io_uring_refusal(); !refusal.empty()) {
    found.skipped.push_back("io_uring: refused by this machine: " + refusal);
    return;
  }
  Contender weir = weir_on(programs, "io_uring", root);
  Contender floor = bare("io_uring", programs.floor_uring, programs.floor_http);
  const std::string refusal = refusal_of(floor.echo);
  if (!refusal.empty()) weir.floor.clear();
  found.all.push_back(std::move(weir));
  if (refusal.empty()) {
    found.all.push_back(std::move(floor));
  } else {
    found.skipped.push_back("bare io_uring: " + refusal);
  }
}

void add_peers(Contenders& found, const ComparePrograms& programs, const std::string& work,
               const std::string& root) {
  for (Peer& peer : prepare_peers({.sources = programs.peers,
                                   .work = work,
                                   .nginx_static = programs.nginx_static,
                                   .root = root,
                                   .path = {}})) {
    if (!peer.skipped.empty()) found.skipped.push_back(peer.name + ": " + peer.skipped);
    if (peer.echo.empty() && peer.http.empty()) continue;
    Contender one;
    one.name = std::move(peer.name);
    one.echo = std::move(peer.echo);
    one.http = std::move(peer.http);
    one.has_files = one.name == "nginx" || one.name == "Go";
    one.version = std::move(peer.version);
    found.all.push_back(std::move(one));
  }
}

}  // namespace

Contenders find_contenders(const ComparePrograms& programs, const std::string& work,
                           const std::string& root) {
  Contenders found;
  found.all.push_back(weir_on(programs, "epoll", root));
  found.all.push_back(bare("epoll", programs.floor_epoll, programs.floor_http));
  add_uring(found, programs, root);
  Contender again = found.all.front();
  again.name = kAgain;
  found.all.push_back(std::move(again));
  add_peers(found, programs, work, root);
  return found;
}

}  // namespace weir::bench
