// Load from weir's HTTP client: keeps requests in flight through the pool of one agent, for a given
// time, and prints how many were answered. bench/http_client.cc runs it beside wrk.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

#include "weir/http/agent.h"
#include "weir/reactor/reactor.h"

namespace weir::bench {
namespace {

struct Options {
  std::string backend = "io_uring";
  int port = 0;
  std::string target = "/";
  std::size_t connections = 100;
  double seconds = 1;
};

class Load {
 public:
  Load(Reactor& reactor, const Options& options)
      : reactor_(reactor),
        agent_(reactor, {.max_sockets = options.connections}),
        request_{.host = "127.0.0.1", .port = options.port, .target = options.target} {}

  void start(const Options& options) {
    begin_ = reactor_.now();
    end_ = reactor_.after(std::chrono::duration_cast<Duration>(
                              std::chrono::duration<double>(options.seconds)),
                          [this] { over_ = true; });
    for (std::size_t i = 0; i < options.connections; ++i) ask();
  }

  int report() const {
    const std::chrono::duration<double> took = last_ - begin_;
    std::printf("%llu requests in %.3f s over %llu connections, %llu failed\n",
                static_cast<unsigned long long>(answered_), took.count(),
                static_cast<unsigned long long>(agent_.stats().connections),
                static_cast<unsigned long long>(failed_));
    return failed_ == 0 && answered_ != 0 ? 0 : 1;
  }

 private:
  void ask() {
    auto request = agent_.get(request_, [this](http::ClientResponse& response) {
      response.resume();
      if (response.status() != 200) ++failed_;
      response.on_end([this](http::ClientResponse&) {
        ++answered_;
        last_ = reactor_.now();
        if (!over_) ask();
      });
    });
    if (!request) return fail(request.error());
    (*request)->on_error([this](http::ClientRequest&, const Error& error) { fail(error); });
  }
  void fail(const Error& error) {
    ++failed_;
    std::fprintf(stderr, "http_client_load: %s\n", error.message().c_str());
  }

  Reactor& reactor_;
  http::Agent agent_;
  http::RequestOptions request_;
  Timer end_;
  Instant begin_;
  Instant last_;
  std::uint64_t answered_ = 0;
  std::uint64_t failed_ = 0;
  bool over_ = false;
};

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  weir::bench::Options options;
  CLI::App app{"requests through weir's HTTP client for a time"};
  app.add_option("--backend", options.backend, "io_uring or epoll")
      ->check(CLI::IsMember({"io_uring", "epoll"}))
      ->capture_default_str();
  app.add_option("--port", options.port, "of the server on 127.0.0.1")->required();
  app.add_option("--target", options.target, "path")->capture_default_str();
  app.add_option("--connections", options.connections, "requests in flight")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "how long")->check(CLI::Range(0.01, 3600.0));
  CLI11_PARSE(app, argc, argv);
  const auto backend =
      options.backend == "epoll" ? weir::BackendKind::epoll : weir::BackendKind::io_uring;
  weir::Reactor reactor({.backend = backend});
  weir::bench::Load load(reactor, options);
  load.start(options);
  reactor.run();
  return load.report();
}
