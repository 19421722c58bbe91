#include "tests/http_swarm_server.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace weir::test::http_swarm {
namespace {

using namespace std::chrono_literals;
using http::Request;
using http::Response;
using net::Socket;

bool parse_hex(std::string_view& text, char end, std::uint64_t& value) {
  const std::size_t size = text.find(end);
  const std::string_view digits = text.substr(0, size);
  const char* const last = digits.data() + digits.size();
  text.remove_prefix(size == text.npos ? text.size() : size + 1);
  return !digits.empty() && std::from_chars(digits.data(), last, value, 16).ptr == last;
}

}  // namespace

// ---- Run ----

void Run::excuse(Line& line, std::string_view why) {
  if (line.over || !line.excuse.empty()) return;
  log(line.name, "excused: " + std::string(why));
  count("excuse " + std::string(why));
  line.excuse = why;
}

void Run::acted_on_server() {
  for (const auto& line : lines) {
    if (line->started && !line->over) line->acted_on = true;
  }
}

Duration Run::request_patience() const {
  const http::ServerOptions& options = server.options;
  Duration least = Duration::max();
  const auto take = [&](Duration time) {
    if (time != 0s) least = std::min(least, time);
  };
  take(options.request_timeout);
  take(options.headers_timeout.value_or(60s));
  if (options.body_rate_min != 0) take(options.body_rate_grace);
  return least;
}

bool Run::may_fail(std::error_code code) const {
  const std::string_view name = name_of(code);
  const bool silence = broken_network || faults.stall > 0 || faults.jump > 0;
  if (name == "ECONNRESET" || name == "EPIPE") return faults.reset > 0 || broken_network;
  if (name == "ENOMEM") return faults.no_memory > 0;
  if (name == "ENOBUFS") return faults.no_buffers > 0;
  if (name == "EMFILE") return faults.no_descriptors > 0;
  if (name == "ETIMEDOUT" || name == "EHOSTUNREACH") return silence;
  return false;
}

Line* Run::line_from(std::string_view address) {
  for (const auto& line : lines) {
    if (!address.empty() && line->address == address) return line.get();
  }
  return nullptr;
}

// ---- Tunnels ----

Tunnel::Tunnel(Run& run, Line& line, std::size_t index, http::Upgrade& upgrade)
    : run_(run), line_(line), told_(line.told[index]) {
  Socket& socket = upgrade.socket;
  run.count("handed over");
  told_.seen = told_.settled = true;
  take(upgrade.head.view());
  socket.on_data([this](Socket&, Buffer bytes) { take(bytes.view()); });
  socket.on_end([this](Socket& same) {
    if (ended_) run_.fail(line_.name, "'end' of a tunnel twice");
    ended_ = true;
    const bool whole = line_.sent_all && line_.excuse.empty() && !line_.error;
    if (received_ != line_.script.tunnel_size && whole) {
      run_.fail(line_.name, "a tunnel has lost bytes");
    }
    same.end();
  });
  const std::string number = std::to_string(line.item(index).number);
  const bool connects = line.item(index).connects;
  socket.write(std::string("HTTP/1.1 ") + (connects ? "200 OK" : "101 Swarm") + "\r\nX-Id: " +
               number + "\r\nX-Tunnel: 1\r\n\r\n");
  const std::uint64_t size = any_size(run.random(), 20'000);
  const net::Write result =
      socket.write(noise(tunnel_key(line.id, false), 0, static_cast<std::size_t>(size)));
  told_.written = result == net::Write::refused ? 0 : size;
  told_.ended = true;
  if (told_.written == 0 || run.random().once_in(2)) socket.end();
}

void Tunnel::take(std::string_view bytes) {
  if (!is_noise(tunnel_key(line_.id, true), received_, bytes)) {
    run_.fail(line_.name, "wrong bytes in a tunnel, at " + std::to_string(received_));
  }
  received_ += bytes.size();
}

// ---- The program ----

ServerProgram::ServerProgram(Run& run, Reactor& reactor, std::string host)
    : run_(run), reactor_(reactor), host_(std::move(host)) {
  reactor_.on_unhandled_error([this](const Error& error) {
    if (!run_.may_fail(error.code)) run_.fail("server", "unhandled: " + error.message());
  });
  make_server();
  listen();
}

ServerProgram::~ServerProgram() { destroy_server(); }

void ServerProgram::make_server() {
  ++number_;
  const ServerPlan& plan = run_.server;
  server_ = std::make_unique<http::Server>(reactor_, plan.options);
  http::Server& server = *server_;
  server.on_request([this](Request& request, Response& response) {
    dispatch(request, response, How::request);
  });
  if (plan.checks_continue) {
    server.on_check_continue([this](Request& request, Response& response) {
      dispatch(request, response, How::check_continue);
    });
  }
  if (plan.checks_expectation) {
    server.on_check_expectation([this](Request& request, Response& response) {
      dispatch(request, response, How::check_expectation);
    });
  }
  if (plan.takes_upgrades) server.on_upgrade([this](http::Upgrade& given) { hand_over(given); });
  if (plan.takes_connects) server.on_connect([this](http::Upgrade& given) { hand_over(given); });
  if (plan.client_errors != 0) {
    server.on_client_error([this](const http::ClientError& error, Socket& socket) {
      on_client_error(error, socket);
    });
  }
  if (plan.sees_drops) server.on_drop_request([this](Request& request) { on_drop(request); });
  if (plan.hears_timeouts) server.on_timeout([this](Socket&) { run_.count("timeout"); });
  server.on_server_error([this](http::Server&, const Error& error) {
    run_.count("server error " + std::string(name_of(error.code)));
  });
  listen_to_connections();
}

void ServerProgram::listen_to_connections() {
  server_->on_connection([this](Socket& socket) {
    run_.count("connection");
    Peer& peer = *peers_.emplace_back(std::make_unique<Peer>());
    peer.server = number_;
    peer.address = socket.remote_address().to_string();
    socket.user_data = &peer;
    run_.server_errors.erase(peer.address);
  });
  server_->net().on_error([this](Socket& socket, const Error& error) {
    Peer& peer = peer_of(socket);
    run_.count("error " + std::string(name_of(error.code)));
    run_.server_errors[peer.address] = name_of(error.code);
    Line* line = peer.line != nullptr ? peer.line : run_.line_from(peer.address);
    if (line == nullptr) return;
    const bool of_client = line->broken || line->crashed || line->over;
    const bool of_handler = error.code == errno_code(EPROTO);
    const bool reset = error.code == errno_code(ECONNRESET) || error.code == errno_code(EPIPE);
    if (!run_.may_fail(error.code) && !(reset && of_client) && !of_handler) {
      run_.fail(line->name, "the server's error has no reason: " + error.message());
    }
    run_.excuse(*line, "error at the server");
  });
  server_->net().on_close([this](Socket& socket, std::error_code) {
    Peer& peer = peer_of(socket);
    if (peer.closed) run_.fail(peer.address, "'close' of a connection twice");
    peer.closed = true;
    if (peer.line != nullptr) peer.line->server_over = true;
  });
}

Peer& ServerProgram::peer_of(Socket& socket) { return *static_cast<Peer*>(socket.user_data); }

void ServerProgram::listen() {
  if (server_ == nullptr || shutting_down_) return;
  const auto bound = server_->listen({.port = 80, .host = host_});
  if (!bound) {
    run_.count("listen fails");
    return listen_again_later();
  }
  run_.server_down = false;
}

void ServerProgram::listen_again_later() {
  run_.server_down = true;
  listen_timer_ = reactor_.after(run_.random().up_to(500ms), [this] {
    if (!server_->listening()) listen();
  });
}

void ServerProgram::destroy_server() {
  if (server_ == nullptr) return;
  ++number_;
  closes_ = 0;
  for (const auto& peer : peers_) {
    peer->closed = true;
    if (peer->line != nullptr) peer->line->server_over = true;
  }
  for (const auto& job : jobs_) job->abandon();
  server_.reset();
}

void ServerProgram::close_server() {
  ++closes_;
  const unsigned number = number_;
  std::ignore = server_->close([this, number](http::Server&, std::error_code) {
    if (number != number_ || closes_ == 0) {
      return run_.fail("server", "the callback of close() twice, or of a server that is gone");
    }
    --closes_;
    ++closed_calls_;
    run_.count("server close");
  });
}

void ServerProgram::act() {
  if (server_ == nullptr || shutting_down_) return;
  run_.acted_on_server();
  const std::uint64_t what = run_.random().below(7);
  static const char* const kNames[] = {"close", "close", "drain", "close idle",
                                       "close idle", "close all", "destroy"};
  run_.count(std::string("server act ") + kNames[what]);
  if (run_.logs()) run_.log("server", std::string("does: ") + kNames[what]);
  const bool rude = what == 2 || what >= 5;
  for (const auto& line : run_.lines) {
    if (rude && line->started) run_.excuse(*line, "the server's owner");
  }
  switch (what) {
    case 0:
    case 1:
      close_server();
      return listen_again_later();
    case 2: {
      const Duration patience = run_.random().up_to(2s);
      server_->drain(patience);
      return listen_again_later();
    }
    case 3:
    case 4: return server_->close_idle_connections();
    case 5: return server_->close_all_connections();
    default:
      destroy_server();
      make_server();
      listen_again_later();
  }
}

// ---- Requests ----

Line* ServerProgram::find(Request& request, std::size_t& index) {
  std::string_view path = request.path();
  const bool tunnel = request.method() == http::Method::connect;
  if (tunnel) path = request.target();
  std::uint64_t line = 0;
  std::uint64_t number = 0;
  std::uint64_t script = 0;
  const char separator = tunnel ? '.' : '/';
  const bool begins = path.starts_with(tunnel ? "x" : "/");
  if (begins) path.remove_prefix(1);
  const bool good = begins && parse_hex(path, separator, line) &&
                    parse_hex(path, separator, number) &&
                    parse_hex(path, tunnel ? ':' : separator, script) && line >= 1 &&
                    line <= run_.lines.size() && number >= 1 &&
                    number <= run_.lines[line - 1]->script.items.size();
  if (!good) {
    run_.fail("server", "nobody has sent this request: " + std::string(request.target()));
    return nullptr;
  }
  index = static_cast<std::size_t>(number - 1);
  Line& found = *run_.lines[line - 1];
  const std::string canonical =
      canonical_head(request.method_text(), request.target(), request.version_minor(),
                     request.fields());
  if (canonical != found.item(index).canonical) {
    run_.fail(found.name, "another head was sent for request " + std::to_string(number));
    return nullptr;
  }
  return &found;
}

bool ServerProgram::check_order(Request& request, Line& line, std::size_t index) {
  Peer& peer = peer_of(request.socket());
  const auto wrong = [&](std::string_view what) {
    run_.fail(line.name, "request " + std::to_string(index + 1) + " " + std::string(what));
    return false;
  };
  if (peer.closed) return wrong("on a connection that is closed");
  if (peer.line == nullptr) {
    if (line.accepted) return wrong("on another connection than the first");
    peer.line = &line;
    line.accepted = true;
  }
  if (peer.line != &line) return wrong("on a connection of others");
  if (index < line.seen_last) return wrong("twice, or out of order");
  for (std::size_t i = 0; i < index; ++i) {
    const Item& before = line.item(i);
    if (!before.keeps || before.wrong != Wrong::nothing || before.has_tunnel()) {
      return wrong("behind the last one");
    }
    const bool by_http = before.expects_other && !run_.server.checks_expectation;
    if (i >= line.seen_last && !by_http) return wrong("but one before was left out");
  }
  if (line.item_begun.size() <= index) return wrong("before it was sent");
  if (line.item(index).wrong == Wrong::head) return wrong("although its head is wrong");
  const std::uint32_t most = run_.server.options.requests_per_socket_max;
  if (most != 0 && index >= most) return wrong("beyond requests_per_socket_max");
  for (std::size_t i = 0; i < index; ++i) {
    const Told& before = line.told[i];
    // In the turn in which it is answered requests may be read still.
    if (!before.seen || !before.ended || before.ended_at == run_.now()) break;
    if (line.item(i).answer.says_close || before.failed) {
      return wrong("behind a response that ends the connection");
    }
  }
  line.seen_last = static_cast<std::uint32_t>(index + 1);
  return true;
}

void ServerProgram::check_bounds(const Response& response, const Line& line, std::size_t index) {
  std::size_t first = 0;
  while (first < index && (!line.told[first].seen || line.told[first].ended)) ++first;
  const http::ServerOptions& options = run_.server.options;
  if (index - first + 1 > options.pipelined_max) {
    run_.fail(line.name, "more requests in work than pipelined_max");
  }
  if (index > first) run_.count("pipelined");
  const std::size_t queued = response.writable_length();
  const std::size_t slack = line.item(index).expects ? 100 : 0;
  if (queued > slack && queued - slack >= options.net.socket.queue.high_water) {
    run_.fail(line.name, "a request is dispatched above the high-water mark");
  }
}

void ServerProgram::dispatch(Request& request, Response& response, How how) {
  if (run_.failed()) return;
  std::size_t index = 0;
  Line* line = find(request, index);
  if (line == nullptr || !check_order(request, *line, index)) return;
  const Item& item = line->item(index);
  const bool other = item.expects_other;
  if (other != (how == How::check_expectation)) {
    return run_.fail(line->name, "an expectation that is told as something else");
  }
  if (item.expects && (how == How::check_continue) != run_.server.checks_continue) {
    return run_.fail(line->name, "'check_continue', or not, against the listeners");
  }
  check_bounds(response, *line, index);
  run_.count("request");
  Job& job = *jobs_.emplace_back(std::make_unique<Job>(*this, *line, index));
  job.begin(request, response);
}

void ServerProgram::hand_over(http::Upgrade& upgrade) {
  if (run_.failed()) return;
  std::size_t index = 0;
  Line* line = find(upgrade.request, index);
  if (line == nullptr || !check_order(upgrade.request, *line, index)) return;
  for (std::size_t i = 0; i < index; ++i) {
    const Told& before = line->told[i];
    if (before.seen && before.watched && !before.response_closed) {
      return run_.fail(line->name, "handed over before all requests were answered");
    }
  }
  tunnels_.push_back(std::make_unique<Tunnel>(run_, *line, index, upgrade));
}

void ServerProgram::on_client_error(const http::ClientError& error, Socket& socket) {
  run_.count("client_error");
  const Peer& peer = peer_of(socket);
  if (peer.closed) run_.fail(peer.address, "client_error of a connection that is closed");
  if (run_.server.client_errors == 2) {
    // What is queued goes with it.
    Line* line = peer.line != nullptr ? peer.line : run_.line_from(peer.address);
    if (line != nullptr) run_.excuse(*line, "client_error");
    return socket.destroy();
  }
  socket.end("HTTP/1.1 " + std::to_string(error.status) +
             " Wrong\r\nX-Error: 1\r\nConnection: close\r\n\r\n");
}

void ServerProgram::on_drop(Request& request) {
  run_.count("drop_request");
  std::size_t index = 0;
  Line* line = find(request, index);
  const std::uint32_t most = run_.server.options.requests_per_socket_max;
  if (line != nullptr && index < most) run_.fail(line->name, "dropped below the limit");
}

// ---- Checks ----

void ServerProgram::check() {
  if (server_ == nullptr) return;
  const auto open = std::ranges::count_if(
      peers_, [&](const auto& peer) { return !peer->closed && peer->server == number_; });
  if (server_->connections() < static_cast<std::size_t>(open)) {
    run_.fail("server", "connections() says " + std::to_string(server_->connections()) + " of " +
                            std::to_string(open));
  }
}

// Every connection that is open has an excuse for it.
bool ServerProgram::idle() const {
  return std::ranges::all_of(peers_, [&](const auto& peer) {
    Line* line = peer->line != nullptr ? peer->line : run_.line_from(peer->address);
    return peer->closed || (line == nullptr && run_.broken_network) ||
           (line != nullptr && line->crashed);
  });
}

std::string ServerProgram::dump() const {
  std::string text;
  for (const auto& peer : peers_) {
    if (!peer->closed) {
      text += "open at the server: " + peer->address + " " +
              (peer->line == nullptr ? "" : peer->line->name) + "\n";
    }
  }
  for (const auto& job : jobs_) {
    if (!job->done() && job->watched()) text += job->name() + ": " + job->state() + "\n";
  }
  return text;
}

void ServerProgram::shut_down() {
  shutting_down_ = true;
  listen_timer_.cancel();
  closed_calls_ = 0;
  run_.acted_on_server();
  if (server_ == nullptr) make_server();
  close_server();
  act_timer_ = reactor_.after(5s, [this] { server_->drain(1s); });
}

void ServerProgram::check_in_the_end() {
  if (run_.failed()) return;
  if (closes_ != 0) run_.fail("server", "callbacks of close() did not come");
  if (server_->connections() != 0) run_.fail("server", "connections() is not 0");
  for (const auto& peer : peers_) {
    if (!peer->closed) run_.fail(peer->address, "no 'close' of a connection");
  }
  for (const auto& job : jobs_) job->check_in_the_end();
}

}  // namespace weir::test::http_swarm
