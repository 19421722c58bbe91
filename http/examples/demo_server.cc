// A server that answers what the tests, the load generators and a curious user ask for, over TCP or
// a Unix socket, on one reactor or several.
//
//     bazel run -c opt //http/examples:demo_server -- --port 8080
//
// demo_routes.h has its pages. Nothing that a client can ask for is kept whole in memory: bodies,
// files and chunks go out as the client takes them.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "http/examples/demo_routes.h"
#include "http/examples/demo_status.h"
#include "http/examples/demo_ws.h"
#include "net/examples/serve_on_threads.h"
#include "net/examples/server_flags.h"
#include "weir/http/server.h"
#include "weir/reactor/reactor.h"

namespace {

using weir::example::check_numeric;
using weir::example::DemoRoutes;
using weir::example::DemoStatus;
using weir::example::serve_on_threads;
using weir::example::ServerFlags;
using weir::http::Request;
using weir::http::Response;
using weir::http::StaticFiles;

constexpr auto kDrainPatience = std::chrono::seconds(5);
constexpr double kSecondsMax = 1e6;

struct Flags : ServerFlags {
  Flags() { port = 8080; }
  std::string root;
  std::optional<double> headers_timeout;
  std::optional<double> request_timeout;
  std::optional<double> keep_alive_timeout;
  std::optional<std::uint64_t> header_bytes_max;
  std::optional<std::uint64_t> body_bytes_max;
  bool no_status_page = false;
};

void describe(CLI::App& app, Flags& flags) {
  describe_server(app, flags);
  weir::example::describe_zero_copy(app, flags.zero_copy_from);
  weir::example::describe_unix(app, flags.unix_path);
  app.add_option("--root", flags.root, "directory whose files are answered, too");
  const auto add_seconds = [&app](const char* name, std::optional<double>& target,
                                  const char* meaning) {
    app.add_option(name, target, meaning)->check(weir::example::seconds_up_to(kSecondsMax));
  };
  add_seconds("--headers-timeout", flags.headers_timeout,
              "seconds for a request's head; 0: none; default: 60, or the request timeout");
  add_seconds("--request-timeout", flags.request_timeout,
              "seconds for all of a request; 0: none; default: 300");
  add_seconds("--keep-alive-timeout", flags.keep_alive_timeout,
              "seconds until the next request; 0: none; default: 5");
  app.add_option("--max-header-bytes", flags.header_bytes_max,
                 "of a request line and its fields; default: 16384")
      ->check(CLI::Range(std::uint64_t{64}, std::uint64_t{1} << 30));
  app.add_option("--max-body-bytes", flags.body_bytes_max, "of a request; default: any number")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--no-status-page", flags.no_status_page,
               "without the page of the running server, /events and /metrics");
}

weir::Duration time_of(double seconds) {
  return std::chrono::duration_cast<weir::Duration>(std::chrono::duration<double>(seconds));
}

weir::http::ServerOptions options_of(const Flags& flags) {
  weir::http::ServerOptions options;
  if (flags.headers_timeout) options.headers_timeout = time_of(*flags.headers_timeout);
  if (flags.request_timeout) options.request_timeout = time_of(*flags.request_timeout);
  if (flags.keep_alive_timeout) options.keep_alive_timeout = time_of(*flags.keep_alive_timeout);
  if (flags.header_bytes_max) {
    options.parser.head_bytes_max = static_cast<std::size_t>(*flags.header_bytes_max);
  }
  options.net.socket.queue.zero_copy_from = flags.zero_copy_from;
  options.body_bytes_max = flags.body_bytes_max;
  options.measure_latency = !flags.no_status_page;
  return options;
}

class DemoServer final : public weir::ReactorGroup::Service {
 public:
  DemoServer(weir::Reactor& reactor, const Flags& flags, weir::http::StatusBoard& board)
      : reactor_(reactor),
        flags_(flags),
        server_(reactor, options_of(flags)),
        web_sockets_(server_) {
    if (!flags.no_status_page) status_.emplace(server_, board);
  }

  weir::Expected<weir::Address> listen(const weir::net::ListenAt& at) {
    if (auto good = check_numeric(flags_.host); !good) return weir::failure(good.error());
    if (!flags_.root.empty()) {
      auto files = StaticFiles::create(reactor_, {.root = flags_.root, .precompressed = true});
      if (!files) return weir::failure(files.error());
      files_ = std::move(*files);
    }
    server_.on_request([this, routes = DemoRoutes(files_.get())](Request& request,
                                                                 Response& response) {
      if (status_ && status_->answer(request, response)) return;
      routes.answer(request, response);
    });
    return server_.listen(at);
  }

  void drain() override {
    web_sockets_.close();
    server_.drain(kDrainPatience);
  }

 private:
  weir::Reactor& reactor_;
  const Flags& flags_;
  std::unique_ptr<StaticFiles> files_;
  weir::http::Server server_;
  std::optional<DemoStatus> status_;
  weir::example::DemoWebSockets web_sockets_;
};

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Answers HTTP requests: /, /hello, /echo, /sum, /chunked and others.");
  describe(app, flags);
  if (const auto exit_code = weir::example::parse(app, argc, argv)) return *exit_code;
  if (const auto wrong = weir::example::check_unix(flags)) return *wrong;
  weir::http::StatusBoard board;
  return serve_on_threads(flags, [&](weir::Reactor& reactor) {
    return std::make_unique<DemoServer>(reactor, flags, board);
  });
}
