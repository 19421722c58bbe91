// The limits of this package, each with its reason.
#pragma once

#include <cstddef>

#include "weir/reactor/time.h"

namespace weir::inline v1::http::limits {

// Streams of one EventStream; a page each, and a monitoring screen has few of them.
inline constexpr std::size_t kEventClientsMaxDefault = 64;
// A client that has vanished without a word is found out by the kernel some time after bytes for it
// got no answer, so some are sent; proxies too close what is silent for a minute.
inline constexpr Duration kEventHeartbeatDefault = std::chrono::seconds(15);
// After which a browser tries again; the standard leaves it at some seconds.
inline constexpr Duration kEventRetryDefault = std::chrono::seconds(2);
// Between two samples for the page: figures that change faster cannot be read.
inline constexpr Duration kStatusIntervalDefault = std::chrono::seconds(1);

}  // namespace weir::inline v1::http::limits
