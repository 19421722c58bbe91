// The server of a swarm: what its handlers do, and what http owes them.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http_swarm_run.h"
#include "weir/http/server.h"

namespace weir::test::http_swarm {

class ServerProgram;

// A connection as the server sees it.
struct Peer {
  Line* line = nullptr;  // from its first request on
  std::string address;
  unsigned server = 0;
  bool closed = false;
};

// One request and its response.
class Job {
 public:
  Job(ServerProgram& program, Line& line, std::size_t index);
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  void begin(http::Request& request, http::Response& response);
  void check_in_the_end() const;
  std::string state() const;
  std::string name() const { return line_.name + " request " + std::to_string(item_.number); }
  bool watched() const noexcept { return told_.watched; }
  bool done() const noexcept { return told_.request_closed || gone_; }
  // The server is destroyed: nothing is told any more.
  void abandon();

 private:
  void fail(std::string_view what);
  bool enter(std::string_view event);
  bool is_broken(const http::Response& response) const;

  void begin_reading(http::Request& request);
  void follow(http::Request& request, http::Response& response);
  void on_data(http::Request& request, Buffer bytes);
  void on_end(http::Request& request);
  void on_request_close();
  void on_drain();
  void on_finish(http::Response& response);
  void on_response_close(http::Response& response);

  void proceed();
  void start();
  void answer();
  void answer_alone();
  void send_interims(http::Response& response);
  bool set_head(http::Response& response);
  void pump();
  void pump_later(Duration delay);
  void echo();
  net::Write put(http::Response& response, std::string_view bytes);
  bool finish(http::Response& response, std::size_t last);
  void slip(http::Response& response);
  void note(http::Response& response, net::Write result, std::size_t size, std::size_t before);
  http::ResponseDone callback();
  void break_off(http::Response& response);

  ServerProgram& program_;
  Run& run_;
  Line& line_;
  const Item& item_;
  Told& told_;
  const unsigned server_;
  http::RequestRef request_;
  http::ResponseRef response_;

  std::uint64_t received_ = 0;
  std::deque<Buffer> echoes_;
  unsigned writes_ = 0;
  unsigned callbacks_due_ = 0;
  unsigned callbacks_seen_ = 0;
  unsigned errors_due_ = 0;
  unsigned errors_seen_ = 0;
  Timer pump_timer_;
  Timer pause_timer_;
  Timer cork_timer_;
  Timer continue_timer_;
  Timer late_timer_;
  bool pump_waits_ = false;  // for its timer
  bool answering_ = false;
  bool paused_ = false;
  bool has_gap_ = false;     // in what it has received
  bool drain_due_ = false;
  bool in_call_ = false;
  bool end_seen_ = false;
  bool aborted_ = false;
  bool request_error_ = false;
  bool gone_ = false;
};

// The other side of an upgrade or CONNECT.
class Tunnel {
 public:
  Tunnel(Run& run, Line& line, std::size_t index, http::Upgrade& upgrade);
  Tunnel(const Tunnel&) = delete;
  Tunnel& operator=(const Tunnel&) = delete;

 private:
  void take(std::string_view bytes);

  Run& run_;
  Line& line_;
  Told& told_;
  std::uint64_t received_ = 0;
  bool ended_ = false;
};

class ServerProgram final : public sim::Program {
 public:
  ServerProgram(Run& run, Reactor& reactor, std::string host);
  ~ServerProgram() override;

  Run& run() noexcept { return run_; }
  Reactor& reactor() noexcept { return reactor_; }
  unsigned number() const noexcept { return number_; }
  // Something that a server's owner may do at any time.
  void act();

  void check();
  // Nobody is to be waited for: the connections that are left have excuses, or nothing is left.
  void shut_down();
  bool is_shut_down() const noexcept { return shutting_down_ && closed_calls_ != 0; }
  bool idle() const;
  std::string dump() const;
  void check_in_the_end();

 private:
  enum class How : std::uint8_t { request, check_continue, check_expectation };

  void make_server();
  void listen();
  void listen_again_later();
  void listen_to_connections();
  void destroy_server();
  void close_server();
  Line* find(http::Request& request, std::size_t& index);
  bool check_order(http::Request& request, Line& line, std::size_t index);
  void check_bounds(const http::Response& response, const Line& line, std::size_t index);
  void dispatch(http::Request& request, http::Response& response, How how);
  void hand_over(http::Upgrade& upgrade);
  void on_client_error(const http::ClientError& error, net::Socket& socket);
  void on_drop(http::Request& request);
  Peer& peer_of(net::Socket& socket);

  Run& run_;
  Reactor& reactor_;
  const std::string host_;
  std::unique_ptr<http::Server> server_;
  unsigned number_ = 0;   // of the server, of several one after the other
  unsigned closes_ = 0;   // calls of close() whose callback is due
  unsigned closed_calls_ = 0;
  bool shutting_down_ = false;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::vector<std::unique_ptr<Job>> jobs_;
  std::vector<std::unique_ptr<Tunnel>> tunnels_;
  Timer listen_timer_;
  Timer act_timer_;
};

}  // namespace weir::test::http_swarm
