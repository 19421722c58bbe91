#include "weir/net/balancer.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "weir/net/server.h"

namespace weir::inline v1::net {

// A server still listens with it.
Balancer::~Balancer() { WEIR_ASSERT(servers() == 0); }

std::size_t Balancer::servers() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(
      std::ranges::count_if(seats_, [](const auto& seat) { return !seat->left; }));
}

Balancer::Seat& Balancer::add(Server& server) {
  const std::lock_guard lock(mutex_);
  const auto is_free = [&](const auto& seat) {
    return seat->left && &seat->reactor == &server.reactor();
  };
  auto at = std::ranges::find_if(seats_, is_free);
  if (at == seats_.end()) {
    at = seats_.insert(at, std::make_unique<Seat>(server.reactor()));
  }
  Seat& seat = **at;
  seat.server = &server;
  seat.open = server.connections();
  seat.left = false;
  ++version_;
  return seat;
}

void Balancer::remove(Seat& seat) noexcept {
  const std::lock_guard lock(mutex_);
  seat.server = nullptr;
  seat.left = true;
  ++version_;
}

// A connection on its way; closed where it does not arrive.
class BalancerSeat::Passing {
 public:
  Passing(Balancer::Seat& to, int fd) noexcept : to_(&to), fd_(fd) {}

  void operator()() noexcept {
    if (to_->server != nullptr) to_->server->take(fd_.release());
    ++to_->taken;  // until then it counts as on its way
  }

 private:
  Balancer::Seat* to_;
  posix::Fd fd_;
};

BalancerSeat::BalancerSeat(Balancer& balancer, Server& server)
    : balancer_(balancer), seat_(balancer.add(server)) {}

BalancerSeat::~BalancerSeat() { balancer_.remove(seat_); }

void BalancerSeat::look_again() {
  const std::lock_guard lock(balancer_.mutex_);
  known_.clear();
  for (const auto& seat : balancer_.seats_) known_.push_back(seat.get());
  version_ = balancer_.version_;
}

// Of equal ones that which was given the fewest: so they take turns. There is one: our own.
BalancerSeat::Given BalancerSeat::give(int fd) {
  if (version_ != balancer_.version_) look_again();
  const auto rank = [](const Balancer::Seat* seat) {
    return std::tuple(seat->left.load(), seat->load(), seat->given.load());
  };
  Balancer::Seat& to = **std::ranges::min_element(known_, {}, rank);
  ++to.given;
  if (&to == &seat_) {
    ++to.taken;
    return Given::to_nobody;
  }
  if (to.reactor.post(Passing(to, fd))) return Given::to_another;
  --to.given;
  return Given::lost;
}

}  // namespace weir::inline v1::net
