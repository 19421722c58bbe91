// The hosts of a swarm: what is planned for each, and the program that does it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/net_swarm_end.h"

namespace weir::test {

// Where a server listens.
enum class Where : std::uint8_t { everywhere, ipv4, ipv6, name, unix_path };

struct ServerPlan {
  Where where = Where::everywhere;
  net::ServerOptions options;
  bool relays = false;
  unsigned relay_host = 0;  // whose first server never relays
  // What happens to it, and when.
  unsigned event = 0;
  Duration event_at = Duration::zero();
  unsigned event_at_accept = 0;  // or in its 'connection' of this number; 0: not there
};

struct ClientPlan {
  unsigned host = 0;
  unsigned target_host = 0;
  unsigned target_server = 0;
  Duration at = Duration::zero();
  unsigned reconnects = 0;
};

struct HostPlan {
  std::vector<ServerPlan> servers;
  std::size_t budget = 0;  // of queued bytes; 0: the default
};

class Node;

// Everything of one run but its world.
struct Scene {
  Scene(std::uint64_t seed, const SwarmOptions& options) : run(seed, options) {}

  sim::Host& host(unsigned number) const { return *run.world->hosts()[number]; }
  End& make_end(Place& place, const Plan& plan, const net::SocketOptions& options);

  Run run;
  std::vector<HostPlan> hosts;
  std::vector<ClientPlan> clients;
  std::vector<Node*> nodes;  // by host; null: it is down
};

// What runs on a host.
class Node final : public sim::Program, public Place {
 public:
  Node(Scene& scene, unsigned number, Reactor& reactor);
  ~Node() override;

  Reactor& reactor() override { return reactor_; }
  const std::string& name() const override { return name_; }
  unsigned number() const override { return number_; }
  bool has_budget() const override { return plan_.budget != 0; }
  bool memory_scarce() const override {
    return reactor_.backend().live_chunks() * limits::kReceiveChunkBytes > run_.memory_max / 4 * 3;
  }
  void ended(End& end) override;
  void remove(Client& client) override;
  void adopt(End& end, int fd) override;

  void finish_up();
  bool finished() const;
  std::string waits_for() const;
  void check();
  void check_leaks();

 private:
  struct Listening {
    const ServerPlan* plan = nullptr;
    std::unique_ptr<net::Server> server = {};
    unsigned number = 0;
    unsigned accepted = 0;
    bool close_due = false;
    bool looks_up = false;  // its own name, before it listens
    Timer timer = {};
    Timer retry = {};
  };

  void make_server(Listening& listening);
  void listen(Listening& listening);
  void listen_later(Listening& listening, Duration delay);
  void server_failed(Listening& listening, const Error& error);
  void accept(Listening& listening, net::Socket& socket);
  void relay(End& from, unsigned host);
  void disturb(Listening& listening);
  void destroy_server(Listening& listening);
  void close(Listening& listening);
  Client& make_client(const net::SocketOptions& options);
  End& dial(Client& client, std::optional<Plan> plan);
  net::ConnectOptions target(Client& client);
  std::string address_of(unsigned host, Where where);
  void start_client(const ClientPlan& plan);
  void stop_later(Client& client);

  Scene& scene_;
  Run& run_;
  Reactor& reactor_;
  const unsigned number_;
  const std::string name_;
  const HostPlan& plan_;
  bool finished_up_ = false;
  std::vector<std::unique_ptr<Listening>> servers_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<Timer> timers_;
};

}  // namespace weir::test
