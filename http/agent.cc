#include "weir/http/agent.h"

#include <utility>

#include "weir/http/http_url.h"
#include "http/agent_core.h"

namespace weir::inline v1::http {
namespace {

Expected<ClientRequest*> ended(Expected<ClientRequest*> request) {
  if (request) (*request)->end();
  return request;
}

}  // namespace

Agent::Agent(Reactor& reactor, AgentOptions options)
    : core_(new AgentCore(reactor, options)) {}

Agent::~Agent() { core_->abandon(); }

Expected<ClientRequest*> Agent::request(const RequestOptions& options, OnResponse once_response) {
  return core_->request(options, std::move(once_response));
}

Expected<ClientRequest*> Agent::request(std::string_view url, RequestOptions options,
                                        OnResponse once_response) {
  const auto parts = parse_http_url(url);
  if (!parts) return failure(parts.error());
  options.host = parts->host;
  options.port = parts->port;
  options.target = parts->target;
  if (!parts->userinfo.empty()) options.credentials = parts->userinfo;
  return core_->request(options, std::move(once_response));
}

Expected<ClientRequest*> Agent::get(const RequestOptions& options, OnResponse once_response) {
  return ended(request(options, std::move(once_response)));
}

Expected<ClientRequest*> Agent::get(std::string_view url, OnResponse once_response) {
  return ended(request(url, {}, std::move(once_response)));
}

void Agent::close_idle_connections() { core_->close_idle_connections(); }
void Agent::destroy() { core_->destroy(); }

AgentStats Agent::stats() const noexcept { return core_->stats; }
const AgentOptions& Agent::options() const noexcept { return core_->options; }
Reactor& Agent::reactor() const noexcept { return core_->reactor; }

}  // namespace weir::inline v1::http
