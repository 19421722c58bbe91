// Faults that a program is not to notice, by chance: short lengths, waiting requests that end,
// results that only say "again", a kernel that is not to be entered just now.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <vector>

#include "tests/uring_faults.h"
#include "weir/reactor/sim_random.h"

namespace weir::test {

// What says nothing of the descriptor: the operation is to be made again. ECANCELED, too, when the
// backend has not asked for it. A cancel that comes late has nothing left to do; one that is
// EALREADY would let its target end later, perhaps with a result, which a program may notice.
inline const std::vector<int>& passing_errors(unsigned opcode) {
  static const std::vector<int> none;
  static const std::vector<int> common = {EINTR, EAGAIN, ECANCELED};
  static const std::vector<int> of_accept = {EINTR, EAGAIN, ECANCELED, ECONNABORTED};
  static const std::vector<int> of_receive = {EINTR, EAGAIN, ECANCELED, ENOBUFS};
  static const std::vector<int> of_cancel = {ENOENT};
  switch (opcode) {
    case IORING_OP_ACCEPT: return of_accept;
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG: return of_receive;
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_POLL_ADD:
    case IORING_OP_READ:
    case IORING_OP_WRITEV: return common;
    case IORING_OP_ASYNC_CANCEL: return of_cancel;
    default: return none;
  }
}

class UringChance final : public UringSchedule {
 public:
  explicit UringChance(std::uint64_t seed) : random_(seed) {}

  // The first entry is the probe's, which takes a no for a no.
  int on_enter(bool first) override {
    return !first && random_.chance(kNotEntering) ? one_of({EINTR, EAGAIN, EBUSY}) : 0;
  }

  int on_waiting(const UringRequest& request) override {
    // The kernel's own threads do these, and cannot always be stopped.
    const bool of_file = request.opcode == IORING_OP_READ || request.opcode == IORING_OP_WRITEV;
    const std::vector<int>& errors = passing_errors(request.opcode);
    return !of_file && !errors.empty() && random_.chance(kEnding) ? one_of(errors) : 0;
  }

  bool on_result(const UringRequest&) override { return random_.chance(kLastResult); }

  void on_entry(UringEntry& entry) override {
    const std::vector<int>& errors = passing_errors(entry.request().opcode);
    if (!errors.empty() && random_.chance(kFailing)) return entry.fail(one_of(errors));
    if (entry.bytes() > 1 && random_.chance(kShortening)) {
      const std::size_t most = std::min<std::size_t>(entry.bytes() - 1, 5000);
      return entry.shorten(1 + random_.below(most));
    }
    if (entry.may_repeat_once() && random_.chance(kOnce)) entry.repeat_once();
  }

 private:
  static constexpr double kNotEntering = 0.1;
  static constexpr double kEnding = 0.02;
  static constexpr double kLastResult = 0.1;
  static constexpr double kFailing = 0.1;
  static constexpr double kShortening = 0.2;
  static constexpr double kOnce = 0.1;

  int one_of(const std::vector<int>& values) { return values[random_.below(values.size())]; }

  sim::Random random_;
};

}  // namespace weir::test
