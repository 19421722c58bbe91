// What clients of a key-value service have sent and heard, and whether that can be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace weir::example::kv {

// Each key has one writer, which sends the values 1, 2, 3, ... and sends the next one only when the
// last one was acknowledged. A key whose SET was never answered is not written any more: the SET
// may come into force at any time. So the history is linearizable exactly if
//
//     every GET is answered with a value that was sent before the answer came, and that is not
//     older than any value that was acknowledged, or that another GET was answered with, before
//     this GET was sent.
class History {
 public:
  std::size_t new_key() {
    keys_.emplace_back();
    return keys_.size() - 1;
  }
  std::size_t keys() const noexcept { return keys_.size(); }

  // The value of the next SET.
  std::uint64_t send_set(std::size_t key) noexcept { return ++keys_[key].sent; }
  void acknowledged(std::size_t key) noexcept { keys_[key].seen = keys_[key].sent; }
  // It has not come into force and never will.
  void refused(std::size_t key) noexcept { --keys_[key].sent; }

  // The oldest value that may come as the answer.
  std::uint64_t send_get(std::size_t key) const noexcept { return keys_[key].seen; }
  // 0: no value. Returns what is wrong with that, or nothing.
  [[nodiscard]] std::string answered(std::size_t key, std::uint64_t oldest, std::uint64_t value) {
    Key& state = keys_[key];
    if (value > state.sent) {
      return "GET " + name_of(key) + " answered " + std::to_string(value) +
             ", which nobody has sent";
    }
    if (value < oldest) {
      return "GET " + name_of(key) + " answered " + std::to_string(value) + ", but " +
             std::to_string(oldest) + " was acknowledged or read before";
    }
    if (value > state.seen) state.seen = value;
    return {};
  }

  static std::string name_of(std::size_t key) { return "k" + std::to_string(key); }

 private:
  struct Key {
    std::uint64_t sent = 0;
    std::uint64_t seen = 0;  // acknowledged, or read
  };
  std::vector<Key> keys_;
};

}  // namespace weir::example::kv
