#include "bench/soak_crowd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "bench/load_clock.h"

namespace weir::bench {
namespace {

constexpr std::uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
constexpr int kMaxEvents = 256;
constexpr std::size_t kReportsMax = 10;
// What a core needs to wake up on a virtual machine, and more: a shorter wait is not slept.
constexpr std::int64_t kSpin = 50'000;

}  // namespace

void SoakTally::add(const SoakTally& other) {
  connections += other.connections;
  resets += other.resets;
  bytes += other.bytes;
  begun += other.begun;
  completed += other.completed;
  abandoned += other.abandoned;
  wrong += other.wrong;
  for (const std::string& one : other.reports) {
    if (reports.size() < kReportsMax) reports.push_back(one);
  }
}

// ---- Peers ----

SoakPeer::~SoakPeer() {
  if (fd_ >= 0) close(fd_);
}

bool SoakPeer::connect(int receive_buffer) {
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) {
    fail_errno("socket");
    return false;
  }
  const int one = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  // bbr paces, which on loopback halves a stream.
  setsockopt(fd_, IPPROTO_TCP, TCP_CONGESTION, "cubic", std::strlen("cubic"));
  if (receive_buffer > 0) {
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(crowd_.port());
  const auto* const name = reinterpret_cast<const sockaddr*>(&address);
  if (::connect(fd_, name, sizeof address) != 0 && errno != EINPROGRESS) {
    fail_errno("connect");
    return false;
  }
  ++crowd_.tally_.connections;
  if (crowd_.watch(*this)) return true;
  fail_errno("epoll_ctl");
  return false;
}

bool SoakPeer::finish_sending() { return shutdown(fd_, SHUT_WR) == 0; }

void SoakPeer::begin(std::uint64_t operations) {
  owed_ += operations;
  crowd_.tally_.begun += operations;
}

void SoakPeer::complete() {
  --owed_;
  ++crowd_.tally_.completed;
}

void SoakPeer::abandon() { crowd_.tally_.abandoned += std::exchange(owed_, 0); }

void SoakPeer::fail(const std::string& what) {
  crowd_.report(std::string(name()) + ": " + what);
  abandon();
  reset();
}

void SoakPeer::fail_errno(const std::string& what) { fail(what + ": " + std::strerror(errno)); }

void SoakPeer::leave() { crowd_.remove(*this, false); }

void SoakPeer::reset() { crowd_.remove(*this, true); }

// ---- The crowd ----

SoakCrowd::SoakCrowd(std::uint16_t port, std::uint64_t seed)
    : port_(port),
      random_(seed),
      buffer_(std::make_unique<char[]>(kBufferSize)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

SoakCrowd::~SoakCrowd() { close(epoll_); }

void SoakCrowd::place(std::unique_ptr<SoakPeer> peer) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  peer->slot_ = free_slots_.back();
  free_slots_.pop_back();
  slots_[peer->slot_].peer = std::move(peer);
  ++population_;
}

bool SoakCrowd::watch(SoakPeer& peer) {
  epoll_event event{};
  event.events = kInterest;
  event.data.u64 = std::uint64_t{slots_[peer.slot_].generation} << 32 | peer.slot_;
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, peer.fd_, &event) == 0;
}

void SoakCrowd::remove(SoakPeer& peer, bool reset) {
  if (std::exchange(peer.gone_, true)) return;
  if (peer.fd_ >= 0) {
    if (reset) {
      const linger now{.l_onoff = 1, .l_linger = 0};
      setsockopt(peer.fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      ++tally_.resets;
    }
    close(std::exchange(peer.fd_, -1));
  }
  Slot& slot = slots_[peer.slot_];
  ++slot.generation;
  gone_.push_back(std::move(slot.peer));
  free_slots_.push_back(peer.slot_);
  --population_;
}

SoakPeer* SoakCrowd::find(std::uint32_t slot, std::uint32_t generation) {
  return slots_[slot].generation == generation ? slots_[slot].peer.get() : nullptr;
}

void SoakCrowd::wake(SoakPeer& peer, std::int64_t moment) {
  wishes_.push({moment, peer.slot_, slots_[peer.slot_].generation});
}

void SoakCrowd::turn(std::int64_t until, bool spins) {
  wait(wishes_.empty() ? until : std::min(until, wishes_.top().moment), spins);
  serve_wishes();
  gone_.clear();
}

void SoakCrowd::wait(std::int64_t until, bool spins) {
  std::array<epoll_event, kMaxEvents> events;
  std::int64_t left = std::max<std::int64_t>(until - monotonic_now(), 0);
  if (spins && left < kSpin) left = 0;
  const timespec limit{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
  const int ready = epoll_pwait2(epoll_, events.data(), kMaxEvents, &limit, nullptr);
  for (int i = 0; i < ready; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    const auto slot = static_cast<std::uint32_t>(event.data.u64);
    SoakPeer* const peer = find(slot, static_cast<std::uint32_t>(event.data.u64 >> 32));
    if (peer != nullptr) peer->on_ready(event.events);
  }
}

void SoakCrowd::serve_wishes() {
  const std::int64_t now = monotonic_now();
  while (!wishes_.empty() && wishes_.top().moment <= now) {
    const Wish wish = wishes_.top();
    wishes_.pop();
    if (SoakPeer* const peer = find(wish.slot, wish.generation)) peer->on_time();
  }
}

void SoakCrowd::wind_up() {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].peer) slots_[i].peer->wind_up();
  }
  gone_.clear();
}

void SoakCrowd::give_up() {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    SoakPeer* const peer = slots_[i].peer.get();
    if (peer == nullptr) continue;
    note(std::string(peer->name()) + " waits for " + peer->missing());
    peer->reset();
  }
  gone_.clear();
}

void SoakCrowd::record(std::int64_t due) {
  if (latency_ == nullptr) return;
  latency_->record(static_cast<std::uint64_t>(std::max<std::int64_t>(monotonic_now() - due, 0)));
}

void SoakCrowd::report(const std::string& what) {
  ++tally_.wrong;
  note(what);
}

void SoakCrowd::note(const std::string& what) {
  if (tally_.reports.size() < kReportsMax) tally_.reports.push_back(what);
}

}  // namespace weir::bench
