// A server on one reactor or on several that share its port, with an orderly end at a signal.
#pragma once

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "weir/net/ip.h"
#include "weir/reactor/reactor.h"

namespace weir::example {

// A name would be looked up later: what cannot work is to be told at once. Empty: every address.
inline Expected<void> check_numeric(const std::string& host) {
  if (host.empty() || net::is_ip(host) != 0) return {};
  return failure({.code = Mistake::bad_ip_address,
                  .detail = "--host " + host + " is not a numeric address"});
}

// What runs on one thread, and goes there. Service has: Expected<Address> listen(int port); void
// drain(), which closes what keeps the reactor going; void run(), which runs it.
template <class Service>
struct Worker {
  std::unique_ptr<Reactor> reactor;
  std::unique_ptr<Service> service;
  std::thread thread;  // none for the first
};

template <class Service, class Make>
class ThreadedServer {
 public:
  ThreadedServer(BackendKind backend, int threads, Make make)
      : backend_(backend), make_(std::move(make)), workers_(static_cast<std::size_t>(threads)) {}

  int run(int port) {
    Worker<Service>& first = workers_.front();
    auto bound = start(first, port);
    if (!bound) return fail(bound.error());
    for (std::size_t i = 1; i < workers_.size(); ++i) {
      Worker<Service>& worker = workers_[i];
      // Threads that run already would have to be stopped: the process ends instead.
      if (auto on = start(worker, bound->port()); !on) std::exit(fail(on.error()));
      worker.thread = std::thread([&worker] {
        worker.service->run();
        worker.service.reset();  // it belongs to this thread, as everything that it holds
      });
    }
    for (const int signal : {SIGINT, SIGTERM}) {
      const auto set = first.reactor->on_signal(signal, [this](int) { drain_all(); });
      if (!set) std::exit(fail(set.error()));
    }
    const Counters counters = first.reactor->counters();
    std::printf("listening on %s\nbackend %s: %s\n", bound->to_string().c_str(),
                name_of(counters.backend), counters.reason.c_str());
    std::fflush(stdout);
    first.service->run();
    for (std::size_t i = 1; i < workers_.size(); ++i) workers_[i].thread.join();
    return 0;
  }

 private:
  Expected<Address> start(Worker<Service>& worker, int port) {
    auto reactor = Reactor::create({.backend = backend_});
    if (!reactor) return failure(reactor.error());
    worker.reactor = std::move(*reactor);
    worker.service = make_(*worker.reactor);
    return worker.service->listen(port);
  }

  void drain_all() {
    workers_.front().service->drain();
    for (std::size_t i = 1; i < workers_.size(); ++i) {
      Worker<Service>& worker = workers_[i];
      // A full queue means that the thread is about to look: the signal may be sent again.
      if (!worker.reactor->post([&worker] { worker.service->drain(); })) return;
    }
  }

  BackendKind backend_;
  Make make_;
  std::vector<Worker<Service>> workers_;
};

// Returns the program's exit code: after SIGINT or SIGTERM, when all are drained, or at once when
// something cannot be had. `make` gives the service for a reactor; the first one listens at `port`,
// the others at the one that it got.
template <class Service, class Make>
int serve_on_threads(BackendKind backend, int threads, int port, Make make) {
  return ThreadedServer<Service, Make>(backend, threads, std::move(make)).run(port);
}

}  // namespace weir::example
