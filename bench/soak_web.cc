#include "bench/soak_web.h"

#include <algorithm>
#include <utility>

namespace weir::bench {
namespace {

// Requests or messages of one connection that wait for their answers.
constexpr std::size_t kWaitingMax = 256;
constexpr std::size_t kOpeningMax = 4096;
constexpr unsigned kMessageBits = 12;
constexpr std::uint64_t kPingSizeMax = 125;

}  // namespace

void WebStream::send_more() {
  while (!all_sent()) {
    const std::size_t sent = send_some(std::string_view(out_).substr(sent_));
    if (sent == 0) return;
    sent_ += sent;
  }
  out_.clear();
  sent_ = 0;
}

// ---- HTTP ----

void HttpStream::take(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!reader_.take(bytes)) return fail(reader_.error());
    take_answer();
  }
}

void HttpStream::take_answer() {
  if (!reader_.finished()) return;
  const std::int64_t due = reader_.next().due;
  if (due != 0) crowd().record(due);
  complete();
}

void HttpStream::at_end() {
  reader_.end();
  take_answer();
  if (reader_.waiting() > 0) return fail("the server ended it before its answer");
  complete();
  leave();
}

void HttpStream::end() {
  if (!ended_) ended_ = finish_sending();
}

std::string HttpStream::missing() const {
  if (reader_.waiting() == 0) return "the end of its connection";
  return std::to_string(reader_.waiting()) + " answers" +
         (reader_.in_the_middle() ? ", of which a part has come" : "");
}

bool SteadyHttp::send_request(SoakRequest request, std::int64_t due) {
  if (reader_.waiting() == kWaitingMax) return false;
  request.answer.due = due;
  reader_.expect(request.answer);
  begin();
  queue(request.text);
  send_more();
  return true;
}

void SteadyHttp::wind_up() {
  if (!std::exchange(winding_up_, true)) begin();
  HttpStream::wind_up();
}

void SteadyHttp::settle() {
  if (winding_up_ && reader_.waiting() == 0) end();
}

HttpVisitor::HttpVisitor(SoakCrowd& crowd, const HttpVisit& visit)
    : HttpStream(crowd, visit.stay), end_(visit.end) {
  queue(visit.text);
  for (const SoakAnswer& answer : visit.answers) reader_.expect(answer);
  begin(visit.answers.size() + 1);
}

const char* HttpVisitor::name() const {
  if (is_slow()) return leaves() ? "a slow HTTP reader that leaves" : "a slow HTTP reader";
  if (leaves()) return "an HTTP visitor that leaves";
  switch (end_) {
    case HttpVisit::End::answered: return "an HTTP visitor";
    case HttpVisit::End::half_close: return "an HTTP visitor that half-closes";
    case HttpVisit::End::refused: break;
  }
  return "a malformed request";
}

void HttpVisitor::settle() {
  if (leaves()) return;
  if (end_ == HttpVisit::End::answered && reader_.waiting() == 0) end();
  if (end_ == HttpVisit::End::half_close && all_sent()) end();
}

// ---- WebSockets ----

SocketPeer::SocketPeer(SoakCrowd& crowd, const SocketVisit& visit)
    : WebStream(crowd, visit.stay),
      number_(visit.number),
      visits_(visit.messages > 0),
      reader_(crowd.pattern()) {
  queue(websocket_request("/ws"));
  begin();
  winding_up_ = visits_;
  for (int i = 0; i < visit.messages; ++i) send_message(visit.size, 0);
}

void SocketPeer::queue_frame(std::string_view frame) {
  open_ ? queue(frame) : static_cast<void>(early_ += frame);
}

bool SocketPeer::send_message(std::uint64_t size, std::int64_t due) {
  if (reader_.waiting() == kWaitingMax) return false;
  const auto payload = SoakBytes::pattern_of(number_, position_, size);
  position_ += size;
  begin();
  reader_.expect({.opcode = SoakOpcode::binary, .payload = payload, .due = due});
  SoakRandom& random = crowd().random();
  const std::string bytes = payload.make(crowd().pattern());
  std::string_view rest = bytes;
  SoakOpcode opcode = SoakOpcode::binary;
  // One in four comes in two parts.
  if (random.one_in(4)) {
    const std::string_view first = rest.substr(0, random.below(size + 1));
    queue_frame(websocket_frame(std::exchange(opcode, SoakOpcode::continuation), false, first,
                                random));
    rest.remove_prefix(first.size());
  }
  queue_frame(websocket_frame(opcode, true, rest, random));
  return true;
}

bool SocketPeer::send_any(std::int64_t due) {
  SoakRandom& random = crowd().random();
  bool taken = true;
  if (random.one_in(16) && reader_.waiting() < kWaitingMax) {
    const auto payload = SoakBytes::letters_of(random.below(kPingSizeMax + 1));
    begin();
    reader_.expect({.opcode = SoakOpcode::pong, .payload = payload, .due = due});
    queue_frame(
        websocket_frame(SoakOpcode::ping, true, payload.make(crowd().pattern()), random));
  } else {
    taken = send_message(random.size_up_to(kMessageBits), due);
  }
  send_more();
  return taken;
}

const char* SocketPeer::name() const {
  if (is_slow()) return leaves() ? "a slow WebSocket that leaves" : "a slow WebSocket";
  if (leaves()) return "a WebSocket that leaves";
  return visits_ ? "a visiting WebSocket" : "a kept WebSocket";
}

void SocketPeer::take(std::string_view bytes) {
  if (!open_) take_opening(bytes);
  if (open_ && !gone()) take_frames(bytes);
}

void SocketPeer::take_opening(std::string_view& bytes) {
  const std::size_t before = opening_.size();
  opening_ += bytes;
  const std::size_t end = opening_.find("\r\n\r\n");
  if (end == std::string::npos) {
    if (opening_.size() > kOpeningMax) fail("a head without an end");
    return;
  }
  bytes.remove_prefix(end + 4 - before);
  if (!accepts_websocket(opening_)) return fail("not opened: " + opening_.substr(0, end));
  open_ = true;
  queue(std::exchange(early_, {}));
}

void SocketPeer::take_frames(std::string_view bytes) {
  while (!bytes.empty()) {
    if (closed_) return fail("bytes behind the Close frame");
    if (!reader_.take(bytes)) return fail(reader_.error());
    if (!reader_.finished()) return;
    const FrameReader::Message message = reader_.next();
    if (message.opcode == SoakOpcode::close) {
      if (!closing_) return fail("a Close frame for nothing");
      closed_ = true;
      continue;
    }
    if (message.due != 0) crowd().record(message.due);
    complete();
  }
}

void SocketPeer::settle() {
  if (!winding_up_ || !open_ || closing_ || leaves() || reader_.waiting() > 0) return;
  closing_ = true;
  constexpr char kNormal[] = {0x03, static_cast<char>(0xe8)};  // 1000
  queue(websocket_frame(SoakOpcode::close, true, {kNormal, sizeof kNormal}, crowd().random()));
  send_more();
}

void SocketPeer::at_end() {
  if (!closed_) return fail("the server ended it without a Close frame");
  complete();
  leave();
}

void SocketPeer::wind_up() {
  winding_up_ = true;
  WebStream::wind_up();
}

std::string SocketPeer::missing() const {
  if (!open_) return "the answer to its opening";
  if (closed_) return "the end of its connection";
  if (closing_) return "a Close frame";
  return std::to_string(reader_.waiting()) + " messages or pongs";
}

}  // namespace weir::bench
