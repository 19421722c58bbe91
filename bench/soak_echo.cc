#include "bench/soak_echo.h"

#include <algorithm>
#include <array>
#include <cstdio>

namespace weir::bench {
namespace {

// Messages of one connection that are under way. At full load a connection has a few; more wait
// only when somebody has stopped.
constexpr std::size_t kMessagesMax = 256;
// Most messages have up to 4 KiB, one in 64 up to 64 KiB.
constexpr unsigned kMessageBits = 12;
constexpr unsigned kLargeMessageBits = 16;
constexpr std::uint64_t kLargeOneIn = 64;
// One send in eight goes in two pieces.
constexpr std::uint64_t kCutOneIn = 8;

}  // namespace

// ---- Streams ----

void EchoStream::send_more() {
  while (sent_ < granted_) {
    std::size_t size = std::min<std::uint64_t>(granted_ - sent_, LoadPattern::kMaxRun);
    const bool cut = size > 1 && crowd().random().one_in(kCutOneIn);
    if (cut) size = crowd().random().between(1, size - 1);
    const std::size_t sent = send_some({crowd().pattern().at(start_, sent_), size});
    sent_ += sent;
    if (sent < size) return;
  }
}

void EchoStream::take(std::string_view bytes) {
  const std::size_t due = std::min<std::uint64_t>(bytes.size(), sent_ - received_);
  const std::size_t right = crowd().pattern().matching(start_, received_, bytes.data(), due);
  if (right < due) return fail(wrong_byte(received_ + right, bytes[right]));
  if (due < bytes.size()) {
    return fail("more came back than was sent, behind byte " + std::to_string(sent_));
  }
  received_ += bytes.size();
}

std::string EchoStream::some_of(std::uint64_t bytes) const {
  return std::to_string(bytes) + " of " + std::to_string(granted_) + " bytes";
}

std::string EchoStream::wrong_byte(std::uint64_t position, char got) const {
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), "wrong byte at position %llu: got 0x%02x, not 0x%02x",
                static_cast<unsigned long long>(position),
                static_cast<unsigned>(static_cast<unsigned char>(got)),
                static_cast<unsigned>(
                    static_cast<unsigned char>(*crowd().pattern().at(start_, position))));
  return text.data();
}

// ---- Steady connections ----

bool SteadyEcho::send_message(std::int64_t due) {
  if (under_way_.size() == kMessagesMax) return false;
  SoakRandom& random = crowd().random();
  granted_ += random.size_up_to(random.one_in(kLargeOneIn) ? kLargeMessageBits : kMessageBits);
  under_way_.push_back({granted_, due});
  begin();
  send_more();
  return true;
}

void SteadyEcho::take(std::string_view bytes) {
  EchoStream::take(bytes);
  if (gone()) return;
  while (!under_way_.empty() && received_ >= under_way_.front().end) {
    crowd().record(under_way_.front().due);
    complete();
    under_way_.pop_front();
  }
}

void SteadyEcho::at_end() {
  if (!ended_) return fail("the server ended it after " + some_of(received_));
  complete();
  leave();
}

void SteadyEcho::wind_up() {
  winding_up_ = true;
  EchoStream::wind_up();
}

void SteadyEcho::settle() {
  if (!winding_up_ || ended_ || received_ != granted_) return;
  ended_ = finish_sending();
  if (ended_) begin();
}

std::string SteadyEcho::missing() const {
  return ended_ ? "the end of its connection" : some_of(granted_ - received_);
}

// ---- Visits ----

EchoVisitor::EchoVisitor(SoakCrowd& crowd, std::uint64_t number, const EchoVisit& visit)
    : EchoStream(crowd, number, visit.stay), half_close_(visit.half_close) {
  granted_ = visit.bytes;
  begin();
}

const char* EchoVisitor::name() const {
  if (is_slow()) return leaves() ? "a slow reader that leaves" : "a slow reader";
  if (leaves()) return "a visitor that leaves";
  return half_close_ ? "a visitor that half-closes" : "a visitor";
}

void EchoVisitor::settle() {
  if (ended_ || leaves()) return;
  if ((half_close_ ? sent_ : received_) == granted_) ended_ = finish_sending();
}

void EchoVisitor::at_end() {
  if (received_ != granted_) return fail("the end after " + some_of(received_));
  complete();
  leave();
}

std::string EchoVisitor::missing() const {
  return received_ == granted_ ? "the end of its connection" : some_of(granted_ - received_);
}

}  // namespace weir::bench
