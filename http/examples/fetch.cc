// A small curl: one request, its answer on standard output; or many, counted.
//
//     bazel run -c opt //http/examples:fetch -- http://localhost:8080/hello
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "http/examples/fetch_run.h"
#include "net/examples/server_flags.h"
#include "weir/http/http_url.h"

namespace {

using weir::example::FetchOptions;

constexpr double kSecondsMax = 1e6;
constexpr std::size_t kRepeatMax = 100'000'000;
constexpr std::size_t kParallelMax = 100'000;

constexpr const char* kAbout =
    "Sends an HTTP/1.1 request and writes the answer's body to standard output, byte for byte.\n"
    "Redirects are not followed and cookies not kept: -i shows Location and Set-Cookie.\n"
    "Exit code: 0 for any complete answer, 1 for errors, 2 for wrong options, 22 with --fail for\n"
    "a status from 400 on.";

struct Flags {
  FetchOptions options;
  std::vector<std::string> headers;
  std::string data;
  double seconds = 0;
  bool no_keep_alive = false;
  weir::BackendKind backend = weir::BackendKind::automatic;
};

void describe_request(CLI::App& app, Flags& flags) {
  FetchOptions& options = flags.options;
  app.add_option("url", options.url, "http://[user:password@]host[:port][/path][?query]")
      ->required();
  app.add_option("-X,--method", options.method, "default: GET, or POST with a body");
  // Each one takes one value: what follows may be the URL.
  app.add_option("-H,--header", flags.headers, "'Name: value'; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->check([](const std::string& text) {
        return text.find(':') != std::string::npos ? "" : "a header is written 'Name: value'";
      });
  CLI::Option* data = app.add_option("-d,--data", flags.data, "the body");
  app.add_option("--body", options.body_path,
                 "file that has the body; -: standard input. What is no regular file goes out in "
                 "chunks, as it comes")
      ->excludes(data);
  CLI::Option* path = app.add_option("--unix", options.unix_path,
                                     "path of a Unix socket, in the place of host and port");
  app.add_flag("--abstract", options.abstract, "--unix is an abstract name")->needs(path);
  app.add_option("--timeout", flags.seconds, "for all of a request; 0: none")
      ->check(weir::example::seconds_up_to(kSecondsMax));
}

void describe_rest(CLI::App& app, Flags& flags) {
  FetchOptions& options = flags.options;
  app.add_option("-o,--output", options.output_path, "file to write to");
  app.add_flag("-i,--include", options.shows_head,
               "the heads, interim ones too, before the body, and trailers behind it");
  app.add_flag("--fail", options.fails, "no body and exit code 22 for a status from 400 on");
  app.add_option("--repeat", options.repeat, "so many requests, and statistics on stderr")
      ->check(CLI::Range(std::size_t{1}, kRepeatMax));
  app.add_option("--parallel", options.parallel,
                 "so many at a time; above 1 the bodies are counted, not written")
      ->check(CLI::Range(std::size_t{1}, kParallelMax));
  app.add_flag("--no-keep-alive", flags.no_keep_alive, "no connection is kept for later requests");
  app.add_option("--max-sockets", options.agent.max_sockets, "connections; default: any number")
      ->check(CLI::Range(std::size_t{1}, kParallelMax));
  weir::example::describe_backend(app, flags.backend);
}

// What goes wrong only together; null: nothing.
const char* find_conflict(const FetchOptions& options) {
  if (options.repeat > 1 && options.body_path == "-") {
    return "--repeat and --body - do not go together: standard input can be read only once";
  }
  if (options.parallel == 1) return nullptr;
  if (!options.output_path.empty() || options.shows_head) {
    return "--parallel writes nothing: neither -o nor -i goes with it";
  }
  return nullptr;
}

void complete(const CLI::App& app, Flags& flags) {
  FetchOptions& options = flags.options;
  if (app.count("--data") != 0) options.data = flags.data;
  for (const std::string& header : flags.headers) {
    const std::size_t colon = header.find(':');
    const std::size_t value = header.find_first_not_of(" \t", colon + 1);
    options.headers.emplace_back(header.substr(0, colon),
                                 value == std::string::npos ? "" : header.substr(value));
  }
  options.time_limit =
      std::chrono::duration_cast<weir::Duration>(std::chrono::duration<double>(flags.seconds));
  options.agent.keep_alive = !flags.no_keep_alive;
  options.agent.max_waiting = kParallelMax;
}

std::string with_escapes(std::string_view url) {
  std::string escaped;
  for (const char c : url) {
    const auto byte = static_cast<unsigned char>(c);
    char text[4] = {c, '\0'};
    if (byte <= ' ' || byte == 0x7f) std::snprintf(text, sizeof text, "%%%02X", byte);
    escaped += text;
  }
  return escaped;
}

// What to write instead.
std::string advice(const std::string& url, const weir::Error& error) {
  if (error.code == weir::Mistake::unescaped_characters) return "write " + with_escapes(url);
  if (error.code == weir::Mistake::bad_port) {
    return "write a port from 1 to 65535, or none: it is 80";
  }
  if (error.code == weir::Mistake::invalid_protocol) {
    return "there is no TLS here: write http://..., or ask through a proxy that speaks it";
  }
  const std::string completed = "http://" + url;
  if (!url.contains("://") && weir::http::parse_http_url(completed)) return "write " + completed;
  return "write http://host[:port][/path][?query]";
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app(kAbout);
  describe_request(app, flags);
  describe_rest(app, flags);
  if (const auto exit_code = weir::example::parse(app, argc, argv)) return *exit_code;
  complete(app, flags);
  const FetchOptions& options = flags.options;
  if (const char* conflict = find_conflict(options)) {
    std::fprintf(stderr, "error: %s; see --help\n", conflict);
    return 2;
  }
  if (const auto url = weir::http::parse_http_url(options.url); !url) {
    std::fprintf(stderr, "error: \"%s\": %s; %s\n", options.url.c_str(),
                 url.error().message().c_str(), advice(options.url, url.error()).c_str());
    return 1;
  }
  weir::Reactor reactor({.backend = flags.backend});
  weir::example::FetchRun run(reactor, options);
  run.start();
  reactor.run();
  return run.finish();
}
