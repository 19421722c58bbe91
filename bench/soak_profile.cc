#include "bench/soak_profile.h"

#include <algorithm>
#include <utility>

namespace weir::bench {
namespace {

constexpr std::size_t kEchoConnections = 64;
constexpr std::size_t kHttpConnections = 32;
constexpr std::size_t kWebSockets = 16;
// One arrival in eight is a message of a WebSocket.
constexpr std::uint64_t kSocketOneIn = 8;

// More than that are not let in: a server that has stopped must not fill the machine.
constexpr std::size_t kPopulationMax = 500;
// So many of a storm come with each turn of the load, which has messages to send meanwhile.
constexpr int kStormPerTurn = 2;
constexpr int kStorm = 100;
constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kStormLasts = 30 * kMillisecond;

// A slow reader takes a little for so long.
constexpr std::uint64_t kSlowMilliseconds = 800;
constexpr std::uint64_t kSlowEchoBytes = 4 << 20;

class EchoProfile final : public SoakProfile {
 public:
  explicit EchoProfile(SoakCrowd& crowd)
      : SoakProfile(crowd, {{60, [this](std::int64_t now) { visit(now); }},
                            {4, [this](std::int64_t) { half_close(); }},
                            {4, [this](std::int64_t now) { read_slowly(now); }},
                            {0.5, [this](std::int64_t now) { storm(now); }}}) {}

  void open() override {
    for (std::size_t i = 0; i < kEchoConnections; ++i) {
      steady_.push_back(crowd_.enter<SteadyEcho>(next_number()));
    }
  }
  std::size_t steady() const override { return kEchoConnections; }

  bool arrive(std::int64_t due) override {
    return steady_[random().below(steady_.size())]->send_message(due);
  }

 private:
  void visit(std::int64_t now) {
    EchoVisit visit{.bytes = random().size_up_to(15), .half_close = random().one_in(2), .stay = {}};
    if (random().one_in(2)) {
      visit.stay.leaves_at = within(now, 20);
      visit.stay.resets = random().one_in(2);
    }
    crowd_.enter<EchoVisitor>(next_number(), visit);
  }

  void half_close() {
    const EchoVisit visit{.bytes = random().size_up_to(20), .half_close = true, .stay = {}};
    crowd_.enter<EchoVisitor>(next_number(), visit);
  }

  void read_slowly(std::int64_t now) {
    EchoVisit visit{.bytes = kSlowEchoBytes, .half_close = random().one_in(2), .stay = {}};
    visit.stay.slow_until = within(now, kSlowMilliseconds);
    if (random().one_in(2)) visit.stay.leaves_at = visit.stay.slow_until;
    crowd_.enter<EchoVisitor>(next_number(), visit);
  }

  void visit_until(std::int64_t leaves_at) override {
    EchoVisit visit{.bytes = random().size_up_to(12), .half_close = false, .stay = {}};
    visit.stay.leaves_at = leaves_at;
    crowd_.enter<EchoVisitor>(next_number(), visit);
  }

  std::vector<SteadyEcho*> steady_;
};

class WebProfile final : public SoakProfile {
 public:
  explicit WebProfile(SoakCrowd& crowd)
      : SoakProfile(crowd, {{60, [this](std::int64_t now) { visit(now); }},
                            {5, [this](std::int64_t) { download(); }},
                            {10, [this](std::int64_t) { speak_badly(); }},
                            {3, [this](std::int64_t now) { read_slowly(now); }},
                            {2, [this](std::int64_t now) { open_socket(now); }},
                            {0.5, [this](std::int64_t now) { storm(now); }}}),
        site_(crowd.pattern()) {}

  void open() override {
    for (std::size_t i = 0; i < kHttpConnections; ++i) {
      http_.push_back(crowd_.enter<SteadyHttp>());
    }
    for (std::size_t i = 0; i < kWebSockets; ++i) {
      const SocketVisit kept{.number = next_number(), .stay = {}};
      sockets_.push_back(crowd_.enter<SocketPeer>(kept));
    }
  }
  std::size_t steady() const override { return kHttpConnections + kWebSockets; }

  bool arrive(std::int64_t due) override {
    if (random().one_in(kSocketOneIn)) {
      return sockets_[random().below(sockets_.size())]->send_any(due);
    }
    return http_[random().below(http_.size())]->send_request(site_.small(random()), due);
  }

 private:
  void enter(HttpVisit::End end, const SoakRequest& request, const SoakStay& stay = {}) {
    crowd_.enter<HttpVisitor>(HttpVisit{request.text, {request.answer}, end, stay});
  }

  // Some leave in the middle of what they have to say.
  void visit(std::int64_t now) {
    SoakRequest request = site_.small(random());
    if (random().one_in(2)) {
      const bool half_close = random().one_in(2);
      return enter(half_close ? HttpVisit::End::half_close : HttpVisit::End::answered, request);
    }
    if (random().one_in(2)) request.text.resize(random().below(request.text.size()));
    enter(HttpVisit::End::answered, request,
          {.leaves_at = within(now, 20), .resets = random().one_in(2)});
  }

  void download() { enter(HttpVisit::End::answered, site_.download(random())); }

  void speak_badly() { enter(HttpVisit::End::refused, site_.malformed(random())); }

  void read_slowly(std::int64_t now) {
    SoakStay stay{.slow_until = within(now, kSlowMilliseconds)};
    if (random().one_in(2)) stay.leaves_at = stay.slow_until;
    enter(HttpVisit::End::answered, site_.large(random()), stay);
  }

  void open_socket(std::int64_t now) {
    SocketVisit visit{.number = next_number(), .messages = 1, .size = 0, .stay = {}};
    visit.size = random().size_up_to(16);
    if (random().one_in(2)) {
      // More than all buffers on the way take.
      visit.messages = 32;
      visit.size = 64 << 10;
      visit.stay.slow_until = within(now, kSlowMilliseconds);
    }
    if (random().one_in(2)) visit.stay.leaves_at = within(now, kSlowMilliseconds / 2);
    crowd_.enter<SocketPeer>(visit);
  }

  void visit_until(std::int64_t leaves_at) override {
    SoakRequest request = site_.small(random());
    if (random().one_in(4)) request.text = websocket_request("/ws");
    if (random().one_in(4)) request.text.resize(random().below(request.text.size()));
    enter(HttpVisit::End::answered, request, {.leaves_at = leaves_at});
  }

  const SoakSite site_;
  std::vector<SteadyHttp*> http_;
  std::vector<SocketPeer*> sockets_;
};

}  // namespace

std::unique_ptr<SoakProfile> SoakProfile::make(SoakKind kind, SoakCrowd& crowd) {
  if (kind == SoakKind::echo) return std::make_unique<EchoProfile>(crowd);
  return std::make_unique<WebProfile>(crowd);
}

std::int64_t SoakProfile::within(std::int64_t now, std::uint64_t milliseconds) const {
  return now + kMillisecond * static_cast<std::int64_t>(random().between(1, milliseconds));
}

void SoakProfile::begin_disturbing(std::int64_t now, double haste) {
  for (Disturbance& one : disturbances_) {
    one.per_second *= haste;
    one.next = now + random().until_next(one.per_second);
  }
}

std::int64_t SoakProfile::next_disturbance() const {
  if (storming_ > 0) return 0;
  return std::ranges::min(disturbances_, {}, &Disturbance::next).next;
}

void SoakProfile::disturb(std::int64_t now) {
  for (int i = 0; i < kStormPerTurn && storming_ > 0; ++i, --storming_) visit_until(storm_ends_);
  for (Disturbance& one : disturbances_) {
    if (now < one.next) continue;
    one.next = now + random().until_next(one.per_second);
    if (crowd_.size() < kPopulationMax) one.come(now);
  }
}

void SoakProfile::storm(std::int64_t now) {
  storming_ = kStorm;
  storm_ends_ = now + kStormLasts;
}

}  // namespace weir::bench
