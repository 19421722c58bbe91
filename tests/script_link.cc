#include "tests/script_link.h"

#include <iterator>

namespace weir::test {

const std::string& source() {
  static const std::string bytes = [] {
    constexpr std::string_view kPieces[] = {"a", "weir", "é", "한글", "🎉", "\xff", "\xe2\x82", " "};
    Random random(1);
    std::string made;
    while (made.size() < kBytesMax) made += kPieces[random.below(std::size(kPieces))];
    return made;
  }();
  return bytes;
}

void End::expect(std::string_view bytes) {
  if (options->text) {
    decoder.decode(bytes, expected);
  } else {
    expected += bytes;
  }
}

bool waits_for_all(Act act) {
  return act != Act::write && act != Act::end && act != Act::blink && act != Act::cork &&
         act != Act::server_close;
}

// ---- In handlers ----

namespace {

template <class... Acts>
bool is(Act act, Acts... any) {
  return ((act == any) || ...);
}

bool destroys(Act act) {
  return is(act, Act::destroy, Act::destroy_error, Act::destroy_soon, Act::reset);
}

// Left out: a destroy() while connecting, whose connection the server sees or not; a reset in
// 'connection', which the client may find before its own 'connect'; and a reset of what was handed
// to the kernel only.
bool same_whenever(Moment when, Act act, Side side) {
  const bool writes = is(act, Act::write, Act::end);
  const bool client = side == Side::client;
  switch (when) {
    case Moment::now:
      return true;
    case Moment::connecting:
      return client && (writes || is(act, Act::reset, Act::cork, Act::pause, Act::destroy_soon));
    case Moment::connect:
      return writes || is(act, Act::pause, Act::cork, Act::blink) ||
             (destroys(act) && (client || act != Act::reset)) ||
             act == (client ? Act::detach : Act::pipe) || (!client && act == Act::resume);
    case Moment::data:
      return writes || destroys(act) ||
             is(act, Act::pause, Act::blink, Act::cork, Act::server_close) ||
             (client && act == Act::detach);
    case Moment::end:
      return writes || destroys(act) || act == Act::server_close;
    case Moment::drain:
      return writes || is(act, Act::destroy, Act::destroy_error, Act::server_close);
    case Moment::finish:
      return is(act, Act::write, Act::destroy, Act::destroy_error, Act::server_close);
    case Moment::timeout:
      return writes || is(act, Act::destroy, Act::destroy_error, Act::cork);
    case Moment::close:
      return writes || act == Act::server_close || (client && is(act, Act::connect, Act::refused));
  }
  return false;
}

}  // namespace

bool may_arm(const Script& script, const Slot& slot, const Step& step) {
  if (!same_whenever(step.when, step.act, step.side)) return false;
  // Whether the other side has closed by then, and so makes room, is not said.
  if (step.act == Act::connect && script.max_connections != 0) return false;
  if (slot.link == nullptr) return true;
  const End& end = slot.link->ends[int(step.side)];
  const bool at_output = step.when == Moment::drain || step.when == Moment::finish;
  return !at_output || (!end.stuffed && end.corks == 0);
}

// ---- Now ----

bool may_have_closed(const End& end) { return end.stuffed && end.ending() && end.has_end; }

namespace {

bool may_destroy(const Step& step, const End& end) {
  const End& other = *end.other;
  const bool in_handler = step.when != Moment::now;
  if (end.gone || may_have_closed(end) || may_have_closed(other)) return false;
  // An echo is under way.
  if (in_handler && (end.piped || other.piped)) return false;
  // Its automatic end() would send to a closed socket: finished or reset, as it happens.
  if (!other.lost() && other.sent != other.released) return false;
  // Whether the second FIN is out already, after which there is no reset, is not said.
  if (in_handler && step.act == Act::reset && end.ended && other.ending()) return false;
  // A FIN with a reset right behind it: the other side may see the one or the other.
  const bool after_fin = step.act == Act::destroy_soon || step.when == Moment::finish;
  if (after_fin && end.waiting() != 0) return false;
  if (step.act != Act::destroy_soon) return true;
  if (end.stuffed || (other.lost() && end.sent != end.released)) return false;
  // 'end' may come before or not.
  return !(step.when == Moment::data && other.ending());
}

bool stuffs(const End& end, std::size_t size) {
  return !end.other->consuming() &&
         end.other->waiting() + (end.sent - end.released) + size > kKernelTakes;
}

bool may_write(const Slot& slot, const Step& step, const End& end) {
  const End& other = *end.other;
  const bool in_handler = step.when != Moment::now;
  const std::size_t size = step.size * step.times;
  if (end.closed) return true;
  if (end.piped || end.gone) return false;
  if (end.sent + size > kBytesMax) return false;
  if ((other.options->text || (other.piped && end.options->text)) && end.sent + size > kTextMax) {
    return false;
  }
  if (end.ended || (end.ending() && step.when != Moment::end)) {
    return !end.stuffed && may_destroy(step, end);
  }
  // The reset that answers races with what the socket does next.
  if (other.lost()) return !in_handler && end.corks == 0 && !end.link->dropped;
  if (other.piped && !end.consuming() && end.waiting() + size > kKernelTakes) return false;
  if (!stuffs(end, size)) return true;
  return !in_handler && !other.piped && end.options->queue_max == 0 &&
         !slot.hooked(end.side, Moment::drain) && !slot.hooked(end.side, Moment::finish);
}

bool may_end(const Slot& slot, const Step& step, const End& end) {
  const End& other = *end.other;
  if (end.closed) return step.size == 0 && !step.callback;
  if (end.piped || end.gone) return false;
  if (end.ended || (end.ending() && step.when != Moment::end)) {
    return step.size == 0 && (!step.callback || (end.finished && step.when == Moment::now));
  }
  if (other.lost() && (step.size != 0 || end.sent != end.released)) return false;
  return step.size == 0 || may_write(slot, step, end);
}

bool may_pipe(const End& end) {
  const End& other = *end.other;
  if (end.side != Side::peer || end.listens || end.paused || end.options->text) return false;
  if (end.has_end || end.ended || end.corks != 0 || end.stuffed || other.lost()) return false;
  if (other.options->text && other.sent > kTextMax) return false;
  return other.consuming() || other.waiting() + other.released <= kKernelTakes;
}

bool may_detach(const End& end) {
  const End& other = *end.other;
  if (end.side != Side::client || end.options->text || end.stuffed || end.corks != 0) return false;
  // Which of the two sockets sees the end is not said.
  return !end.ending() && !end.has_end && !other.lost() && !other.ending();
}

}  // namespace

bool permitted(const Script& script, const Slot& slot, const Step& step, const End& end) {
  if (may_have_closed(end)) return false;
  // A reset is on its way.
  const bool handling = step.when != Moment::now && step.when != Moment::connecting;
  if (handling && end.doomed && !end.closed) return false;
  if (step.act == Act::write) return may_write(slot, step, end);
  if (step.act == Act::end) return may_end(slot, step, end);
  if (end.closed || end.gone) return destroys(step.act) && end.closed;
  switch (step.act) {
    case Act::destroy:
    case Act::destroy_error:
    case Act::destroy_soon:
      return may_destroy(step, end);
    case Act::reset:
      return script.over_unix || may_destroy(step, end);
    case Act::pause:
    case Act::blink:
    case Act::resume:
      return !end.piped;
    case Act::timeout:
      return end.connected && !end.stuffed && !end.other->stuffed;
    case Act::cork:
      return !end.piped && !end.ending() && !end.stuffed && !end.other->lost() &&
             !slot.hooked(end.side, Moment::drain) && !slot.hooked(end.side, Moment::finish);
    case Act::uncork:
      return end.corks != 0 && !end.ending();
    case Act::detach:
      return may_detach(end);
    case Act::pipe:
      return may_pipe(end);
    default:
      return false;
  }
}

}  // namespace weir::test
