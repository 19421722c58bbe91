#include "weir/net/net_part.h"

namespace weir::inline v1::net {

NetPart::NetPart(Reactor& reactor) noexcept
    : reactor_(reactor), resident_(*this), lent_sends_(reactor), reaper_(*this) {
  set_budget(limits::kReactorQueueBytesDefault);
}

NetPart::~NetPart() {
  reap();
  while (!spare_.empty()) outputs_.destroy(&spare_.pop_back());
}

void NetPart::channel_added() noexcept {
  ++reactor_.ledger().sockets;
  if (!resident_.linked()) reactor_.adopt(resident_);
}

void NetPart::remove_channel(Channel& channel) noexcept {
  --reactor_.ledger().sockets;
  channels_.destroy(&channel);
  if (channels_.live() == 0) resident_.unlink();
}

void NetPart::Channels::abandon() noexcept {
  net.channels_.for_each([](Channel& channel) { channel.abandon(); });
}

Output* NetPart::take_output(const QueueLimits& limits, Op::Done done,
                             Op::Done file_done) noexcept {
  if (spare_.empty()) return outputs_.create(&limits, done, file_done);
  Output& output = spare_.pop_back();
  --spare_count_;
  output.queue.set_limits(&limits);
  return &output;
}

void NetPart::give_back(Output& output) noexcept {
  if (!output.queue.empty()) unqueued(output.queue.memory());
  if (spare_count_ == limits::kSpareOutputsMax || !output.queue.empty()) {
    outputs_.destroy(&output);
    return;
  }
  spare_.push_back(output);
  ++spare_count_;
}

void set_keep_alive_on(Backend& backend, int fd, bool on, Duration delay) {
  backend.set(fd, SocketOption::keep_alive, on ? 1 : 0);
  const auto seconds = static_cast<int>(delay / std::chrono::seconds(1));
  if (on && seconds > 0) backend.set(fd, SocketOption::keep_alive_seconds, seconds);
}

void NetPart::queued(std::size_t bytes) noexcept {
  reactor_.ledger().queue_bytes += bytes;
  if (!over_budget()) return;
  shed_due_ = true;
  reactor_.schedule(reaper_);
}

bool NetPart::over_budget() const noexcept {
  const Ledger& ledger = reactor_.ledger();
  return ledger.queue_bytes > ledger.queue_bytes_max;
}

// One holder a time: what it gives back may be enough.
void NetPart::shed() noexcept {
  if (!over_budget()) return;
  Channel* largest = nullptr;
  std::size_t most = 0;
  outputs_.for_each([&](Output& output) {
    if (output.queue.memory() <= most) return;
    Channel& channel = *output.op.channel;
    if (channel.closing() || channel.owner() == nullptr) return;
    most = output.queue.memory();
    largest = &channel;
  });
  if (largest == nullptr) return;
  const Ledger& ledger = reactor_.ledger();
  const bool must_close = ledger.queue_bytes > 2 * ledger.queue_bytes_max;
  largest->owner()->on_over_budget(must_close);
}

void NetPart::connection_closed() noexcept {
  ++closings_;
  while (!resting_.empty()) resting_.front().listener.wake();
}

void NetPart::destroy_later(Condemned condemned) {
  condemned_.push_back(condemned);
  reactor_.schedule(reaper_);
}

void NetPart::reap() noexcept {
  if (std::exchange(shed_due_, false)) shed();
  // Destructors may condemn more; they are served in the same go, by index.
  for (std::size_t i = 0; i < condemned_.size(); ++i) {
    const Condemned one = condemned_[i];
    one.destroy(one.object);
  }
  condemned_.clear();
}

}  // namespace weir::inline v1::net
