// What a soak does to a server of one kind, beside its steady load.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "bench/soak_crowd.h"
#include "bench/soak_echo.h"
#include "bench/soak_site.h"
#include "bench/soak_web.h"

namespace weir::bench {

enum class SoakKind : std::uint8_t { echo, web };

class SoakProfile {
 public:
  static std::unique_ptr<SoakProfile> make(SoakKind kind, SoakCrowd& crowd);
  SoakProfile(const SoakProfile&) = delete;
  SoakProfile& operator=(const SoakProfile&) = delete;
  virtual ~SoakProfile() = default;

  // The steady connections.
  virtual void open() = 0;
  virtual std::size_t steady() const = 0;
  // Steady load that was due at that moment. False: too much waits for the server.
  virtual bool arrive(std::int64_t due) = 0;

  // What disturbs comes at random moments, so often. Half a thousand live at a time at most.
  // Or `haste` times as often.
  void begin_disturbing(std::int64_t now, double haste);
  // The next of them; when it has come, disturb() lets them in, a few at a time.
  std::int64_t next_disturbance() const;
  void disturb(std::int64_t now);

 protected:
  struct Disturbance {
    double per_second = 0;
    std::function<void(std::int64_t now)> come;
    std::int64_t next = 0;
  };

  SoakProfile(SoakCrowd& crowd, std::vector<Disturbance> disturbances)
      : crowd_(crowd), disturbances_(std::move(disturbances)) {}

  // Each connection's own, for what it sends.
  std::uint64_t next_number() { return number_++; }
  SoakRandom& random() const { return crowd_.random(); }
  // A moment up to so many milliseconds away.
  std::int64_t within(std::int64_t now, std::uint64_t milliseconds) const;
  // A hundred connections come one by one and are reset all at once.
  void storm(std::int64_t now);
  virtual void visit_until(std::int64_t leaves_at) = 0;

  SoakCrowd& crowd_;

 private:
  std::vector<Disturbance> disturbances_;
  int storming_ = 0;
  std::int64_t storm_ends_ = 0;
  std::uint64_t number_ = 0;
};

}  // namespace weir::bench
