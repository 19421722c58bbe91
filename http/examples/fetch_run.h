// The requests of the program fetch: one, or many through the pool of an agent.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/http/agent.h"
#include "weir/net/input_stream.h"
#include "weir/net/output_stream.h"
#include "weir/reactor/reactor.h"

namespace weir::example {

struct FetchOptions {
  std::string url;
  std::string method;  // empty: GET, or POST with a body
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<std::string> data;  // the body, or
  std::string body_path = {};       // where it is; "-": standard input
  std::string output_path = {};     // empty: standard output
  std::string unix_path = {};
  bool abstract = false;
  bool shows_head = false;
  bool fails = false;  // a status from 400 on is a failure
  std::size_t repeat = 1;
  std::size_t parallel = 1;  // above 1 nothing is written
  Duration time_limit = Duration::zero();
  http::AgentOptions agent = {};
};

class FetchRun;

// Of a request that is over.
struct FetchResult {
  std::chrono::steady_clock::duration latency = {};
  std::uint64_t bytes = 0;   // of the response's body
  std::string failure = {};  // what went wrong first; empty: nothing
  bool refused = false;      // that was the status
};

// One request at a time, and the next when it is over. Owner: its run; thread: the reactor's.
class Transfer {
 public:
  explicit Transfer(FetchRun& run) : run_(run) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  void begin();
  // The output has room again.
  void go_on();
  void give_up();

 private:
  void listen(http::ClientRequest& request);
  void add_fields(http::ClientRequest& request);
  void prepare_body(http::ClientRequest& request);
  void send_body();
  void send_stream();
  void on_response(http::ClientResponse& response);
  void write_head(int version_minor, int status, std::string_view reason,
                  std::span<const http::Field> fields);
  void write_trailers(const http::ClientResponse& response);
  void write(Buffer bytes);
  void note(std::string text);
  void finish();

  FetchRun& run_;
  http::ClientRequest* request_ = nullptr;
  std::unique_ptr<net::InputStream> body_;
  Timer continue_timer_;
  std::chrono::steady_clock::time_point began_;
  FetchResult result_;
  bool complete_ = false;  // the response
  bool waits_for_continue_ = false;
};

// The reactor outlives it. start(), run the reactor, then finish().
class FetchRun {
 public:
  FetchRun(Reactor& reactor, FetchOptions options);
  FetchRun(const FetchRun&) = delete;
  FetchRun& operator=(const FetchRun&) = delete;

  void start();
  // Prints what went wrong, and with several requests the statistics, on stderr. The exit code:
  // 0; 1 for errors; 22 when only the status was wrong.
  int finish();

 private:
  friend class Transfer;
  bool writes() const { return options_.parallel == 1; }
  net::OutputStream& output();
  // False: not before the output has room.
  bool may_begin();
  void ended(Transfer& transfer, const FetchResult& result);
  void give_up(std::string failure);
  void print_statistics() const;

  Reactor& reactor_;
  const FetchOptions options_;
  http::Agent agent_;
  std::unique_ptr<net::OutputStream> output_;
  std::vector<std::unique_ptr<Transfer>> transfers_;
  Transfer* waiting_ = nullptr;  // for the output, to begin
  std::size_t begun_ = 0;
  std::size_t failed_ = 0;
  std::size_t refused_ = 0;  // of those, by the status
  std::uint64_t bytes_ = 0;
  std::vector<std::chrono::steady_clock::duration> latencies_;
  std::string first_failure_;
  bool gave_up_ = false;  // what went wrong will go wrong with all that follow
};

}  // namespace weir::example
