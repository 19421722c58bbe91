// What the io_uring backend has asked the kernel for.
#pragma once

#include <cstdint>
#include <utility>

#include "reactor/kernel_backend.h"
#include "weir/reactor/assert.h"
#include "weir/reactor/backend.h"

namespace weir::inline v1::uring {

enum class Role : std::uint8_t {
  operation,     // the op's own request
  readiness,     // a receive without a buffer ring: multishot poll, then plain recv
  starved_watch,  // a receive without memory: a poll that sees resets
  send_watch     // a send that waits for room by a multishot poll
};

// user_data is the request's index and generation, so that a late completion cannot be taken for
// another request's. An idle connection has one of these and an FdState: their sizes count.
struct Request {
  static constexpr std::uint32_t kNone = (1U << 30) - 1;

  Op* op = nullptr;
  std::uint32_t generation = 0;
  std::uint32_t detail : 30 = 0;  // bytes of a send; of a free one, which is the next, or kNone
  Role role : 2 = Role::operation;
};
static_assert(sizeof(Request) == 16);

class Requests {
 public:
  Request& operator[](std::uint32_t index) noexcept { return table_[index]; }
  static std::uint32_t index_of(std::uint64_t user_data) noexcept {
    return static_cast<std::uint32_t>(user_data);
  }
  std::uint64_t user_data(std::uint32_t index) noexcept {
    return (std::uint64_t{table_[index].generation} << 32) | index;
  }
  // The request is with the kernel: its last completion has not come.
  bool is_under_way(std::uint64_t user_data) noexcept {
    const Request& request = table_[index_of(user_data)];
    return request.op != nullptr && request.generation == user_data >> 32;
  }

  // One for `op`, which its slot names then. Returns the user_data.
  std::uint64_t attach(Op& op, Role role) noexcept {
    if (free_ == Request::kNone) {
      free_ = count_++;
      WEIR_ASSERT(free_ < Request::kNone);
      table_[free_].detail = Request::kNone;
    }
    op.slot = free_;
    Request& request = table_[op.slot];
    free_ = request.detail;
    request.op = &op;
    request.role = role;
    return user_data(op.slot);
  }
  void detach(std::uint32_t index) noexcept {
    Request& request = table_[index];
    ++request.generation;
    request.op = nullptr;
    request.detail = std::exchange(free_, index) & Request::kNone;
  }

  // Takes each op that is attached away.
  template <class Take>
  void take_all(Take&& take) {
    for (std::uint32_t i = 0; i < count_; ++i) {
      if (Op* op = std::exchange(table_[i].op, nullptr); op != nullptr) take(*op);
    }
  }

 private:
  PagedTable<Request> table_;
  std::uint32_t count_ = 0;
  std::uint32_t free_ = Request::kNone;
};

}  // namespace weir::inline v1::uring
