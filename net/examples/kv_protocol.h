// What the primary and its followers have in common.
#pragma once

#include <cstddef>
#include <string>

#include "net/examples/kv_service.h"

namespace weir::example::kv {

// Entries that are sent ahead of their acknowledgement: what a link may queue.
inline constexpr std::size_t kWindow = 64;

inline std::string line_of(std::size_t number, const Entry& entry) {
  return "ENTRY " + std::to_string(number) + ' ' + entry.key + ' ' + entry.value + '\n';
}

}  // namespace weir::example::kv
