#include "http/websocket/websocket_part.h"

#include <algorithm>
#include <utility>

#include "weir/net/net_part.h"

namespace weir::inline v1::http {

using websocket::Deflater;
using websocket::Inflater;
namespace limits_of = websocket::limits;

// The part of net is made first: it goes first, and destroys what is condemned.
WebSocketPart::WebSocketPart(Reactor& reactor) : reactor_(reactor), leaving_(*this) {
  net::NetPart::of(reactor);
  reactor.adopt(leaving_);
}

void WebSocketPart::Leaving::abandon() noexcept {
  unlink();
  for (WebSocketCore* core : std::exchange(part.clients_, {})) core->abandon();
  part.agent_.reset();
}

Agent& WebSocketPart::agent() {
  if (!agent_) agent_.emplace(reactor_, AgentOptions{.keep_alive = false});
  return *agent_;
}

void WebSocketPart::add_client(WebSocketCore& core) {
  core.index = static_cast<std::uint32_t>(clients_.size());
  clients_.push_back(&core);
}

void WebSocketPart::remove_client(WebSocketCore& core) noexcept {
  if (core.index >= clients_.size() || clients_[core.index] != &core) return;
  WebSocketCore* moved = clients_.back();
  clients_[core.index] = moved;
  moved->index = core.index;
  clients_.pop_back();
}

std::span<char> WebSocketPart::receive_room() noexcept {
  if (received_.room() < limits_of::kCopiedMessageMax &&
      !received_.allocate(limits_of::kBlockBytes)) {
    return {};
  }
  return received_.space();
}

std::span<char> WebSocketPart::send_room(std::size_t size) noexcept {
  if (sent_.room() < size && !sent_.allocate(limits_of::kBlockBytes)) return {};
  return sent_.space();
}

websocket::MaskKey WebSocketPart::mask() noexcept {
  websocket::MaskKey key;
  if (random_.size() - random_used_ < key.size()) {
    reactor_.backend().random(random_);
    random_used_ = 0;
  }
  std::copy_n(random_.begin() + static_cast<std::ptrdiff_t>(random_used_), key.size(),
              key.begin());
  random_used_ += key.size();
  return key;
}

std::optional<std::string_view> WebSocketPart::deflate(std::string_view message, int window_bits,
                                                       int level) {
  const auto fits = [&](const SharedDeflater& one) {
    return one.window_bits == window_bits && one.level == level;
  };
  auto found = std::find_if(deflaters_.begin(), deflaters_.end(), fits);
  if (found == deflaters_.end()) {
    deflaters_.push_back({window_bits, level,
                          std::make_unique<Deflater>(window_bits, false, level)});
    found = deflaters_.end() - 1;
  }
  const auto compressed = deflate(message, *found->deflater);
  if (!compressed) deflaters_.erase(found);
  return compressed;
}

std::optional<std::string_view> WebSocketPart::deflate(std::string_view message,
                                                       Deflater& deflater) {
  std::size_t used = 0;
  for (;;) {
    if (compressed_.room() - used < limits_of::kDeflateRoomMin) {
      const std::size_t wanted = std::max(limits_of::kBlockBytes, 2 * compressed_.room());
      BufferBlock wider;
      if (wanted > UINT32_MAX || !wider.allocate(wanted)) return {};
      std::ranges::copy(compressed_.space().first(used), wider.space().begin());
      compressed_ = std::move(wider);
    }
    const Deflater::Step step = deflater.next(message, true, compressed_.space().subspan(used));
    message.remove_prefix(step.consumed);
    used += step.written;
    if (step.status == Deflater::Status::no_memory) return {};
    if (step.status == Deflater::Status::end) break;
  }
  return std::string_view(compressed_.space().data(), used);
}

void WebSocketPart::end_deflating() noexcept {
  if (compressed_.room() > limits_of::kBlockBytes) compressed_.reset();
}

std::unique_ptr<Inflater> WebSocketPart::take_inflater(int window_bits, std::uint64_t bytes_max) {
  for (SpareInflater& spare : inflaters_) {
    if (spare.window_bits != window_bits || spare.bytes_max != bytes_max) continue;
    std::unique_ptr<Inflater> inflater = std::move(spare.inflater);
    std::swap(spare, inflaters_.back());
    inflaters_.pop_back();
    return inflater;
  }
  return std::make_unique<Inflater>(window_bits, false, bytes_max);
}

void WebSocketPart::give_back(std::unique_ptr<Inflater> inflater, int window_bits,
                              std::uint64_t bytes_max) {
  if (inflaters_.size() == limits_of::kSpareInflatersMax) return;
  inflaters_.push_back({window_bits, bytes_max, std::move(inflater)});
}

}  // namespace weir::inline v1::http
