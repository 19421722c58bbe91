#include "http/agent_core.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "weir/http/field_value.h"
#include "weir/http/host.h"
#include "weir/http/http_url.h"
#include "weir/http/request_head.h"
#include "weir/net/net_part.h"
#include "weir/reactor/memory.h"

namespace weir::inline v1::http {
namespace {

Expected<void> check(const RequestOptions& request) {
  if (const auto good = check_method(request.method); !good) return good;
  if (const auto good = check_target(request.target); !good) return good;
  if (request.socket_path.empty() && (request.port < 0 || request.port > 65535)) {
    return failure({.code = Mistake::bad_port,
                    .detail = std::to_string(request.port) + " is not a port: it must be in "
                                                             "0..65535"});
  }
  if (request.host.empty()) {
    return failure({.code = Mistake::bad_argument, .detail = "the host must not be empty"});
  }
  if (!is_field_value(request.host)) {
    return failure({.code = Mistake::invalid_char,
                    .detail = "the host has a control byte, or a blank at an end"});
  }
  if (!request.local_address.empty() && !Address::parse_ip(request.local_address, 0)) {
    return failure({.code = Mistake::bad_ip_address,
                    .detail = "\"" + std::string(request.local_address) +
                              "\" is not a numeric IPv4 or IPv6 address"});
  }
  const Duration least = std::min(request.timeout, request.time_limit);
  const Duration most = std::max(request.timeout, request.time_limit);
  if (least < Duration::zero() || most == Duration::max()) {
    return failure({.code = Mistake::out_of_range,
                    .detail = "a timeout must be neither negative nor endless: 0 is none"});
  }
  return {};
}

void append_number(std::string& key, std::uintptr_t number) {
  char text[24] = {'\n'};
  key.append(text, std::to_chars(text + 1, text + sizeof text, number).ptr);
}

// What connections are made for: two requests may share one exactly when their keys are the same.
void write_key(std::string& key, const RequestOptions& request) {
  key.clear();
  if (!request.socket_path.empty()) {
    key.append(request.abstract ? "\n@" : "\n/").append(request.socket_path);  // no host's text
    return;
  }
  key.append(request.host);
  append_number(key, static_cast<std::uintptr_t>(request.port));
  const bool is_plain = request.local_address.empty() && request.family == Family::none &&
                        request.resolver == nullptr;
  if (is_plain) return;
  key.append(1, '\n').append(request.local_address);
  append_number(key, static_cast<std::uintptr_t>(request.family));
  append_number(key, reinterpret_cast<std::uintptr_t>(request.resolver));
}

net::ConnectOptions target_of(const RequestOptions& request) {
  net::ConnectOptions target;
  target.host = request.host;
  target.port = request.port;
  target.path = request.socket_path;
  target.abstract = request.abstract;
  target.local_address = request.local_address;
  target.family = request.family;
  target.resolver = request.resolver;
  return target;
}

}  // namespace

AgentCore::AgentCore(Reactor& its_reactor, AgentOptions its_options)
    : reactor(its_reactor), part(HttpPart::of(its_reactor)), options(its_options) {}

AgentCore::~AgentCore() {
  const auto give_all_back = [this](Call& call) { part.give_back(call); };
  active_.for_each(give_all_back);
  crowded_.for_each([&](Origin& origin) { origin.waiting.for_each(give_all_back); });
}

void AgentCore::abandon() noexcept {
  gone = true;
  const auto abandon_call = [](Call& call) { call.abandon(); };
  active_.for_each(abandon_call);
  crowded_.for_each([&](Origin& origin) { origin.waiting.for_each(abandon_call); });
  const auto condemn = [](ClientConnection& connection) { connection.condemn(); };
  busy_.for_each(condemn);
  for (auto& [key, origin] : origins_) origin->idle.for_each(condemn);
  net::NetPart::of(reactor).destroy_later(
      {this, [](void* core) noexcept { delete static_cast<AgentCore*>(core); }});
}

// ---- Requests ----

Expected<ClientRequest*> AgentCore::request(const RequestOptions& wanted,
                                            Agent::OnResponse once_response) {
  if (options.max_sockets == 0 || options.max_total_sockets == 0) {
    return failure({.code = Mistake::out_of_range,
                    .detail = "max_sockets and max_total_sockets must be at least 1"});
  }
  if (options.idle_timeout < Duration::zero()) {
    return failure({.code = Mistake::out_of_range,
                    .detail = "idle_timeout must not be negative: 0 is none"});
  }
  if (const auto good = check(wanted); !good) return failure(good.error());
  Origin& origin = origin_of(wanted);
  const bool waits = !wanted.own_connection && origin.idle.empty() && !may_open(origin);
  Call* call = nullptr;
  std::error_code refusal = errno_code(ENOMEM);
  if (waits && stats.waiting >= options.max_waiting) {
    refusal = errno_code(ENOBUFS);
  } else if (memory::is_plentiful()) {
    call = part.take_call();
  }
  if (call == nullptr) {
    drop_use(origin);
    return failure({.code = refusal, .detail = "no room for one more request"});
  }
  call->begin(*this, origin);
  active_.push_back(*call);
  ClientRequest& request = call->request;
  auto filled = fill(*call, wanted);
  // Who expects a 100 waits for it with the body: the head goes out by itself, and now.
  const bool expects = filled && request.has_header("Expect");
  if (expects) filled = request.settle_head({});
  if (!filled) {
    give_back(*call);
    return failure(filled.error());
  }
  ++stats.requests;
  if (once_response) request.on_response(std::move(once_response), Times::once);
  assign(*call);
  if (expects) static_cast<void>(request.flush_headers());  // if it has failed, 'error' says why
  if (wanted.time_limit != Duration::zero()) call->limit_time(wanted.time_limit);
  call->watch(wanted.stop);
  return &request;
}

// One use of it is the caller's.
Origin& AgentCore::origin_of(const RequestOptions& request) {
  write_key(key_, request);
  auto found = origins_.find(key_);
  if (found == origins_.end()) {
    auto origin = std::make_unique<Origin>();
    origin->key = key_;
    origin->target = target_of(request);
    const std::string_view key = origin->key;
    found = origins_.emplace(key, std::move(origin)).first;
  }
  ++found->second->uses;
  return *found->second;
}

Expected<void> AgentCore::fill(Call& call, const RequestOptions& wanted) {
  ClientRequest& request = call.request;
  call.own_connection = wanted.own_connection;
  request.idle_timeout_ = wanted.timeout;
  request.method_ = wanted.method;
  std::ranges::transform(request.method_, request.method_.begin(), [](char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  });
  request.target_ = wanted.target;
  if (wanted.set_host) {
    const bool over_path = !wanted.socket_path.empty();
    request.host_ = host_field(wanted.host, over_path ? limits::kPortDefault : wanted.port);
  }
  for (const Field& field : wanted.headers) {
    if (auto added = request.fields_.append(field.name, field.value); !added) return added;
  }
  if (wanted.credentials.empty() || request.has_header("Authorization")) return {};
  return request.fields_.set("Authorization", basic_credentials(wanted.credentials));
}

void AgentCore::give_back(Call& call) noexcept {
  Origin& origin = *call.origin;
  part.give_back(call);
  drop_use(origin);
}

void AgentCore::destroy() noexcept {
  const auto end_call = [](Call& call) { call.destroy({}); };
  crowded_.for_each([&](Origin& origin) { origin.waiting.for_each(end_call); });
  active_.for_each(end_call);
  close_idle_connections();
}

// ---- Which connection a call gets ----

bool AgentCore::may_open(const Origin& origin) const noexcept {
  return origin.sockets < options.max_sockets &&
         (counted_ < options.max_total_sockets || stats.idle != 0);
}

void AgentCore::assign(Call& call) {
  Origin& origin = *call.origin;
  if (!call.own_connection && !origin.idle.empty()) {
    const bool last = options.scheduling == Scheduling::lifo;
    ClientConnection& idle = last ? origin.idle.pop_back() : origin.idle.pop_front();
    --origin.idle_count;
    --stats.idle;
    busy_.push_back(idle);
    start(call, idle);
  } else if (call.own_connection || may_open(origin)) {
    open_connection(call);
  } else {
    wait(call);
  }
}

// In the place of the lost one: not on one that was used, and before those that wait.
void AgentCore::retry(Call& call, ClientConnection& lost) {
  ++stats.retried;
  drop(lost);
  open_connection(call);
  if (!crowded_.empty()) serve_waiting();  // when it could not be opened
}

void AgentCore::open_connection(Call& call) {
  Origin& origin = *call.origin;
  const bool counts = !call.own_connection;
  if (counts && counted_ >= options.max_total_sockets) make_room();
  ClientConnection* connection = part.client_connections().create(*this, origin, counts);
  if (connection == nullptr) return call.fail({.code = errno_code(ENOMEM)});
  busy_.push_back(*connection);
  ++origin.uses;
  ++stats.sockets;
  ++stats.connections;
  if (counts) {
    ++origin.sockets;
    ++counted_;
  }
  const auto begun = connection->connect(origin.target);
  if (!begun) {
    drop(*connection);
    return call.fail(begun.error());
  }
  start(call, *connection);
}

void AgentCore::start(Call& call, ClientConnection& connection) {
  connection.begin(call);
  if (connection.is_used()) ++stats.reused;
  call.take(connection);
}

void AgentCore::wait(Call& call) noexcept {
  Origin& origin = *call.origin;
  call.unlink();
  call.is_waiting = true;
  origin.waiting.push_back(call);
  if (!origin.linked()) crowded_.push_back(origin);
  ++stats.waiting;
}

void AgentCore::stop_waiting(Call& call) noexcept {
  if (!std::exchange(call.is_waiting, false)) return;
  Origin& origin = *call.origin;
  call.unlink();
  active_.push_back(call);
  if (origin.waiting.empty()) origin.unlink();
  --stats.waiting;
}

// A connection has gone: those that wait may open another one.
void AgentCore::serve_waiting() {
  // A user's resolver may end any that wait meanwhile: from the front again after each.
  while (!gone) {
    Call* next = nullptr;
    crowded_.for_each([&](Origin& origin) {
      if (next == nullptr && may_open(origin)) next = &origin.waiting.front();
    });
    if (next == nullptr) return;
    stop_waiting(*next);
    open_connection(*next);
  }
}

// ---- What becomes of a connection ----

// Nothing: it is not worth keeping.
std::optional<Duration> AgentCore::idle_time_of(const ClientConnection& connection) const noexcept {
  const auto seconds = connection.keep_alive_seconds();
  if (!seconds) return options.idle_timeout;
  const Duration announced = std::chrono::seconds(*seconds) - limits::kKeepAliveMargin;
  if (announced <= Duration::zero()) return std::nullopt;
  const bool ours = options.idle_timeout != Duration::zero();
  return ours ? std::min(announced, options.idle_timeout) : announced;
}

void AgentCore::release(ClientConnection& connection) {
  Origin& origin = connection.origin();
  if (!connection.is_reusable() || !connection.counts()) return end(connection);
  if (!origin.waiting.empty()) {
    Call& next = origin.waiting.front();
    stop_waiting(next);
    return start(next, connection);
  }
  const auto idle_time = idle_time_of(connection);
  const bool wanted_elsewhere = !crowded_.empty() && counted_ >= options.max_total_sockets;
  if (!options.keep_alive || !idle_time || wanted_elsewhere ||
      origin.idle_count >= options.max_free_sockets) {
    return end(connection);
  }
  connection.unlink();
  origin.idle.push_back(connection);
  ++origin.idle_count;
  ++stats.idle;
  connection.rest(*idle_time);
}

void AgentCore::end(ClientConnection& connection) noexcept {
  drop(connection);
  if (!crowded_.empty()) serve_waiting();
}

void AgentCore::drop(ClientConnection& connection) noexcept {
  Origin& origin = connection.origin();
  if (connection.is_idle()) {
    --origin.idle_count;
    --stats.idle;
  }
  if (connection.counts()) {
    --origin.sockets;
    --counted_;
  }
  --stats.sockets;
  connection.condemn();
  drop_use(origin);
}

void AgentCore::drop_use(Origin& origin) noexcept {
  if (--origin.uses == 0) origins_.erase(origins_.find(origin.key));
}

// Precondition: there is an idle one.
void AgentCore::make_room() noexcept {
  for (auto& [key, origin] : origins_) {
    if (!origin->idle.empty()) return drop(origin->idle.front());
  }
}

void AgentCore::close_idle_connections() noexcept {
  for (auto next = origins_.begin(); next != origins_.end();) {
    Origin& origin = *(next++)->second;  // which may go with its last connection
    origin.idle.for_each([this](ClientConnection& connection) { drop(connection); });
  }
  if (!crowded_.empty()) serve_waiting();
}

}  // namespace weir::inline v1::http
