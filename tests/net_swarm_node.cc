#include "tests/net_swarm_node.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "weir/net/net_part.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr int kFirstPort = 1000;
constexpr std::size_t kChunksKeptMax = 1;  // the one that the next receive goes to

std::string unix_path(unsigned server) { return "/run/swarm" + std::to_string(server); }

}  // namespace

End& Scene::make_end(Place& place, const Plan& plan, const net::SocketOptions& options) {
  const auto id = static_cast<std::uint32_t>(run.ends.size() + 1);
  run.ends.push_back(std::make_unique<End>(run, place, id, plan, options));
  return *run.ends.back();
}

// ---- Servers ----

Node::Node(Scene& scene, unsigned number, Reactor& reactor)
    : scene_(scene),
      run_(scene.run),
      reactor_(reactor),
      number_(number),
      name_(scene.host(number).name()),
      plan_(scene.hosts[number]) {
  scene_.nodes[number] = this;
  if (plan_.budget != 0) net::set_queue_budget(reactor_, plan_.budget);
  if (run_.finishing) {
    finished_up_ = true;
    return;
  }
  for (const ServerPlan& server : plan_.servers) {
    auto& listening = servers_.emplace_back(std::make_unique<Listening>());
    listening->plan = &server;
    listening->number = static_cast<unsigned>(servers_.size() - 1);
    make_server(*listening);
    listen(*listening);
    if (server.event == 0 || server.event_at_accept != 0) continue;
    listening->timer = reactor_.after(server.event_at, [this, at = listening.get()] {
      disturb(*at);
    });
  }
  const Duration age = run_.world->now().time_since_epoch();
  for (const ClientPlan& client : scene_.clients) {
    if (client.host != number_ || client.at < age) continue;
    timers_.push_back(reactor_.after(client.at - age, [this, &client] { start_client(client); }));
  }
}

// The host has crashed, or the run is over.
Node::~Node() {
  for (auto& end : run_.ends) {
    if (&end->place() == this) end->gone(true);
  }
  scene_.nodes[number_] = nullptr;
}

void Node::make_server(Listening& listening) {
  listening.server = std::make_unique<net::Server>(reactor_, listening.plan->options);
  net::Server& server = *listening.server;
  End::follow(server);
  server.on_connection([this, &listening](net::Socket& socket) { accept(listening, socket); });
  server.on_server_error([this, &listening](net::Server&, const Error& error) {
    server_failed(listening, error);
  });
  server.on_drop([this](net::Server&, const net::Drop&) { run_.count("event drop"); });
  server.on_listening([this, &listening](net::Server&) {
    run_.count("event listening");
    listening.looks_up = false;
  });
  server.on_server_close([this, &listening](net::Server& closed) {
    run_.count("event server close");
    listening.looks_up = false;
    if (!std::exchange(listening.close_due, false)) {
      run_.fail(name_, "a 'close' of a server that nobody closed, or a second one");
    }
    if (closed.connections() != 0) run_.fail(name_, "'close' of a server with connections");
    if (!run_.finishing) listen_later(listening, run_.random().up_to(500ms));
  });
}

void Node::listen(Listening& listening) {
  if (finished_up_ || listening.server == nullptr || listening.server->listening()) return;
  net::ListenAt at{.port = kFirstPort + static_cast<int>(listening.number)};
  if (listening.plan->where == Where::unix_path) {
    at.path = unix_path(listening.number);
    at.replace_stale = true;
  } else {
    at.host = address_of(number_, listening.plan->where);
  }
  const auto bound = listening.server->listen(at);
  if (!bound) return server_failed(listening, bound.error());
  listening.close_due = false;
  listening.looks_up = !listening.server->listening();
}

void Node::listen_later(Listening& listening, Duration delay) {
  listening.retry = reactor_.after(delay, [this, &listening] { listen(listening); });
}

void Node::server_failed(Listening& listening, const Error& error) {
  const std::string_view name = weir::name_of(error.code);
  if (run_.logs()) run_.log(name_, "server: " + error.message());
  run_.count("server error " + std::string(name));
  listening.looks_up = false;
  const sim::Faults& faults = run_.faults;
  bool may_be = name == "EADDRINUSE" || name == "ERR_SERVER_ALREADY_LISTEN";
  if (name == "EMFILE") may_be = faults.no_descriptors > 0;
  if (name == "ENOMEM") may_be = faults.no_memory > 0;
  if (name == "EAI_AGAIN") may_be = faults.no_lookup > 0;
  if (!may_be) run_.fail(name_, "an error of a server without a reason: " + error.message());
  if (!listening.server->listening() && !listening.close_due) {
    listen_later(listening, run_.random().up_to(200ms));
  }
}

void Node::accept(Listening& listening, net::Socket& socket) {
  if (run_.failed()) return;
  if (run_.in_call) run_.fail(name_, "'connection' inside a call of net");
  Plan plan = random_plan(run_.random(), true, run_.greedy);
  plan.starts_paused = listening.plan->options.pause_on_connect;
  if (listening.plan->relays) plan.sends = Sends::relay;
  End& end = scene_.make_end(*this, plan, listening.plan->options.socket);
  end.set_target(number_, listening.number);
  end.take_socket(socket);
  end.accepted();
  if (listening.plan->relays && end.socket() != nullptr) {
    relay(end, listening.plan->relay_host);
  }
  // More connections may be on their way to us in the same batch of results.
  if (++listening.accepted == listening.plan->event_at_accept && listening.plan->event != 0) {
    disturb(listening);
  }
}

// Carries what comes to another server, and back.
void Node::relay(End& from, unsigned host) {
  run_.count("relay");
  net::SocketOptions options = random_socket_options(run_.random());
  options.allow_half_open = true;
  Client& client = make_client(options);
  client.host = host;
  Plan plan;
  plan.sends = Sends::relay;
  End& to = dial(client, plan);
  from.relay_to(to);
  to.relay_to(from);
  net::pipe(*from.socket(), *to.socket());
  net::pipe(*to.socket(), *from.socket());
}

void Node::disturb(Listening& listening) {
  if (finished_up_ || listening.server == nullptr) return;
  net::Server& server = *listening.server;
  static const char* const kNames[] = {"",           "server close", "server close and listen",
                                       "drain",      "close_all",    "server destroyed",
                                       "max changed"};
  run_.count(kNames[listening.plan->event]);
  if (run_.logs()) run_.log(name_, std::string("server: ") + kNames[listening.plan->event]);
  const auto for_connections = [&](auto call) {
    for (auto& end : run_.ends) {
      const bool mine = &end->place() == this && end->client() == nullptr && end->open() &&
                        end->server() == listening.number;
      if (mine) call(*end);
    }
  };
  switch (listening.plan->event) {
    case 1: return close(listening);
    case 2:
      close(listening);
      return listen(listening);
    case 3: {
      for_connections([](End& end) { end.drained_by_server(); });
      if (server.listening() || listening.looks_up) listening.close_due = true;
      Call call(run_);
      return server.drain(2s);
    }
    case 4: {
      for_connections([](End& end) { end.killed_by("its server"); });
      Call call(run_);
      return server.close_all_connections();
    }
    case 5: return destroy_server(listening);
    default: return server.set_max_connections(run_.random().below(3));
  }
}

void Node::destroy_server(Listening& listening) {
  for (auto& end : run_.ends) {
    const bool mine = &end->place() == this && end->client() == nullptr &&
                      end->server() == listening.number;
    if (mine && end->open()) end->gone(false);
  }
  listening.close_due = listening.looks_up = false;
  {
    Call call(run_);
    listening.server.reset();
  }
  make_server(listening);
  listen_later(listening, run_.random().up_to(500ms));
}

void Node::close(Listening& listening) {
  listening.close_due = true;
  listening.retry.cancel();
  Call call(run_);
  static_cast<void>(listening.server->close());
}

// ---- Clients ----

std::string Node::address_of(unsigned host, Where where) {
  sim::Host& target = scene_.host(host);
  switch (where) {
    case Where::everywhere: return "";
    case Where::ipv4: return target.ipv4().host();
    case Where::ipv6: return target.ipv6().host();
    case Where::name:
    case Where::unix_path: break;
  }
  return target.name();
}

Client& Node::make_client(const net::SocketOptions& options) {
  Client& client = *clients_.emplace_back(std::make_unique<Client>());
  client.socket = std::make_unique<net::Socket>(reactor_, options);
  End::follow(*client.socket);
  client.options = options;
  return client;
}

void Node::start_client(const ClientPlan& plan) {
  if (finished_up_) return;
  Client& client = make_client(random_socket_options(run_.random()));
  client.host = plan.target_host;
  client.server = plan.target_server;
  client.reconnects = plan.reconnects;
  dial(client, {});
}

End& Node::dial(Client& client, std::optional<Plan> plan) {
  End& end = scene_.make_end(*this, plan ? *plan : random_plan(run_.random(), false, run_.greedy),
                             client.options);
  end.set_target(client.host, client.server);
  end.set_client(&client);
  end.take_socket(*client.socket);
  client.end = &end;
  client.stop.reset();
  net::ConnectOptions options = target(client);
  if (run_.random().once_in(12)) {
    client.stop = std::make_unique<std::stop_source>();
    options.stop = client.stop->get_token();
    stop_later(client);
  }
  {
    Call call(run_);
    const auto started = client.socket->connect(std::move(options));
    if (!started) run_.fail(end.name(), "connect() is refused: " + started.error().message());
  }
  end.connecting();
  return end;
}

net::ConnectOptions Node::target(Client& client) {
  sim::Random& random = run_.random();
  const ServerPlan& server = scene_.hosts[client.host].servers[client.server];
  net::ConnectOptions options{.port = kFirstPort + static_cast<int>(client.server)};
  if (random.once_in(6)) options.timeout = Duration(1ms) * any_size(random, 5000);
  if (random.once_in(6)) options.attempt_timeout = Duration(1ms) * any_size(random, 500);
  if (random.once_in(8)) options.auto_select_family = false;
  if (server.where == Where::unix_path) {
    options.path = unix_path(client.server);
    return options;
  }
  Where where = server.where;
  if (where == Where::everywhere) where = static_cast<Where>(random.between(1, 3));
  if (random.once_in(20)) where = static_cast<Where>(random.between(1, 3));
  options.host = address_of(client.host, where);
  if (client.host == number_ && where == Where::name) options.host = "localhost";
  if (random.once_in(40)) options.port = 9;
  if (random.once_in(60)) options.host = "nowhere";
  if (random.once_in(60)) options.host = "192.0.2.1";
  if (where == Where::ipv4 && random.once_in(8)) {
    options.local_address = scene_.host(number_).ipv4().host();
  }
  return options;
}

void Node::stop_later(Client& client) {
  const Duration delay = run_.random().up_to(3s);
  timers_.push_back(reactor_.after(delay, [this, &client, token = client.stop->get_token()] {
    const bool still = client.stop != nullptr && client.stop->get_token() == token;
    if (!still || client.end == nullptr || finished_up_) return;
    run_.count("stop token");
    client.end->stop();
    Call call(run_);
    client.stop->request_stop();
  }));
}

void Node::ended(End& end) {
  Client* client = end.client();
  if (client == nullptr) return;
  client->end = nullptr;
  if (client->reconnects == 0 || finished_up_ || run_.failed()) return;
  --client->reconnects;
  run_.count("reconnect");
  if (run_.random().once_in(2)) {
    dial(*client, {});
    return;
  }
  const Duration delay = run_.random().up_to(500ms);
  timers_.push_back(reactor_.after(delay, [this, client] {
    if (!finished_up_ && client->socket != nullptr) dial(*client, {});
  }));
}

void Node::remove(Client& client) {
  if (client.end != nullptr) client.end->gone(false);
  client.end = nullptr;
  client.reconnects = 0;
  Call call(run_);
  client.socket.reset();
}

void Node::adopt(End& end, int fd) {
  Client& client = make_client(end.options());
  const auto adopted = client.socket->adopt(fd);
  if (!adopted) {  // broken off meanwhile; the fd is still ours
    run_.count("adopt failed");
    reactor_.backend().close(fd);
    return end.gone(false);
  }
  client.end = &end;
  end.set_client(&client);
  end.take_socket(*client.socket);
  end.adopted();
  if (finished_up_) end.finish_up();
}

// ---- The end ----

void Node::finish_up() {
  finished_up_ = true;
  timers_.clear();
  for (auto& listening : servers_) {
    listening->timer.cancel();
    listening->retry.cancel();
    if (listening->server != nullptr && !listening->close_due) close(*listening);
  }
  for (std::size_t i = 0; i < run_.ends.size(); ++i) {
    if (&run_.ends[i]->place() == this) run_.ends[i]->finish_up();
  }
}

bool Node::finished() const {
  const auto closed = [](const auto& listening) {
    return listening->server == nullptr || !listening->close_due;
  };
  return finished_up_ && std::ranges::all_of(servers_, closed);
}

std::string Node::waits_for() const {
  if (!finished_up_) return name_ + " has not been told to finish\n";
  std::string text;
  for (const auto& listening : servers_) {
    if (!listening->close_due) continue;
    text += name_ + " server " + std::to_string(listening->number) + ": no 'close', " +
            std::to_string(listening->server->connections()) + " connections\n";
  }
  return text;
}

void Node::check() {
  std::size_t queued = 0;
  for (const auto& end : run_.ends) {
    if (&end->place() != this || !end->open()) continue;
    end->check();
    queued += end->queued();
  }
  if (queued > reactor_.ledger().queue_bytes) {
    run_.fail(name_, "the queues hold " + std::to_string(queued) + " bytes, but Counters say " +
                         std::to_string(reactor_.ledger().queue_bytes));
  }
}

void Node::check_leaks() {
  for (const auto& listening : servers_) {
    if (listening->server->connections() != 0) run_.fail(name_, "Server::connections() is not 0");
  }
  const Counters counters = reactor_.counters();
  if (counters.sockets != 0) run_.fail(name_, "Counters::sockets is not 0");
  if (counters.queue_bytes != 0) run_.fail(name_, "Counters::queue_bytes is not 0");
  if (counters.receive_chunks > kChunksKeptMax) {
    run_.fail(name_, std::to_string(counters.receive_chunks) + " receive chunks are still in use");
  }
}

}  // namespace weir::test
