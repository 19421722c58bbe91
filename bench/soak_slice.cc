#include "bench/soak_slice.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "bench/load_clock.h"

namespace weir::bench {
namespace {

// In a closed loop each steady connection has so many on average under way.
constexpr std::uint64_t kClosedDepth = 2;

std::int64_t to_nanoseconds(double seconds) { return static_cast<std::int64_t>(seconds * 1e9); }

class SliceRun {
 public:
  explicit SliceRun(const SoakSliceOptions& options)
      : options_(options),
        crowd_(options.port, options.seed),
        profile_(SoakProfile::make(options.kind, crowd_)),
        server_clock_(process_cpu_clock(options.server_pid)) {}

  SoakSlice run() {
    profile_->open();
    next_arrival_ = monotonic_now();
    profile_->begin_disturbing(next_arrival_, options_.haste);
    if (load_until(monotonic_now() + to_nanoseconds(options_.warmup_seconds)) && measure()) {
      drain();
    }
    slice_.tally = crowd_.tally();
    return slice_;
  }

 private:
  bool good() { return crowd_.tally().wrong == 0; }

  bool measure() {
    const std::int64_t begin = monotonic_now();
    const std::int64_t cpu = server_cpu();
    slice_.arrivals = slice_.shed = 0;
    crowd_.record_into(&slice_.latency);
    const bool done = load_until(begin + to_nanoseconds(options_.seconds));
    crowd_.record_into(nullptr);
    slice_.seconds = static_cast<double>(monotonic_now() - begin) / 1e9;
    slice_.server_cpu_seconds = static_cast<double>(server_cpu() - cpu) / 1e9;
    return done;
  }

  bool load_until(std::int64_t end) {
    for (std::int64_t now = monotonic_now(); now < end; now = monotonic_now()) {
      crowd_.turn(std::min(end, next_event(now)), options_.spins);
      if (!good()) return false;
      now = monotonic_now();
      profile_->disturb(now);
      let_arrive(now);
      if (!good()) return false;
    }
    return true;
  }

  std::int64_t next_event(std::int64_t now) const {
    const std::int64_t disturbance = profile_->next_disturbance();
    // In a closed loop only an answer is a reason for another arrival.
    if (options_.rate <= 0) return next_arrival_ > now ? disturbance : now;
    return std::min(disturbance, next_arrival_);
  }

  void let_arrive(std::int64_t now) {
    if (options_.rate <= 0) {
      const std::uint64_t most = kClosedDepth * profile_->steady();
      while (crowd_.tally().unfinished() < most && good()) arrive(now);
      next_arrival_ = INT64_MAX;
      return;
    }
    while (next_arrival_ <= now && good()) {
      arrive(next_arrival_);
      next_arrival_ += crowd_.random().until_next(options_.rate);
    }
  }

  void arrive(std::int64_t due) {
    ++slice_.arrivals;
    if (!profile_->arrive(due)) ++slice_.shed;
  }

  void drain() {
    crowd_.wind_up();
    const std::int64_t patience = to_nanoseconds(options_.drain_seconds);
    std::int64_t deadline = monotonic_now() + patience;
    while (crowd_.size() > 0 && monotonic_now() < deadline && good()) {
      const std::uint64_t before = crowd_.tally().bytes + crowd_.tally().completed;
      crowd_.turn(deadline, false);
      const bool came = crowd_.tally().bytes + crowd_.tally().completed != before;
      if (came) deadline = monotonic_now() + patience;
    }
    if (good()) crowd_.give_up();
  }

  std::int64_t server_cpu() const { return server_clock_ ? nanoseconds(*server_clock_) : 0; }

  const SoakSliceOptions& options_;
  SoakCrowd crowd_;
  std::unique_ptr<SoakProfile> profile_;
  std::optional<clockid_t> server_clock_;
  std::int64_t next_arrival_ = 0;
  SoakSlice slice_;
};

}  // namespace

SoakSlice run_soak_slice(const SoakSliceOptions& options) { return SliceRun(options).run(); }

}  // namespace weir::bench
