#include "tests/http_swarm_reader.h"

#include <algorithm>
#include <charconv>

#include "weir/http/fixed_head.h"

namespace weir::test::http_swarm {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kShort = 3;  // see Slip::too_short
constexpr Duration kSlack = 2ms;     // timers have milliseconds

bool parse_number(std::string_view text, int base, std::uint64_t& value) {
  const char* const end = text.data() + text.size();
  return !text.empty() && std::from_chars(text.data(), end, value, base).ptr == end;
}

bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

bool is_bodiless(const Item& item, int status) {
  return item.to_head || status == 204 || status == 205 || status == 304;
}

}  // namespace

void Reader::fail(std::string_view what) {
  run_.fail(line_.name, "response " + std::to_string(answered_ + 1) + ": " + std::string(what));
}

bool Reader::refuse(std::string_view what) {
  fail(what);
  return false;
}

std::string Reader::state() const {
  std::string text = std::to_string(answered_) + " of " +
                     std::to_string(line_.script.items.size()) + " answered";
  if (part_ != Part::head) text += ", in a body at " + std::to_string(received_);
  if (over_) text += ", over";
  if (ended_) text += ", ended";
  return text;
}

// ---- Bytes ----

void Reader::take(std::string_view bytes) {
  input_ += bytes;
  while (!run_.failed() && step()) {
  }
  input_.erase(0, at_);
  at_ = 0;
}

// One part. False: it needs more.
bool Reader::step() {
  if (ended_ && !rest().empty()) return refuse("bytes behind the end");
  switch (part_) {
    case Part::head: return read_head();
    case Part::sized:
      if (left_ != 0) return read_bytes(left_);
      complete();
      return true;
    case Part::chunk_size: return read_chunk_size();
    case Part::chunk:
      if (left_ != 0) return read_bytes(left_);
      part_ = Part::chunk_end;
      return true;
    case Part::chunk_end:
      if (rest().size() < 2) return false;
      if (!rest().starts_with("\r\n")) return refuse("a chunk does not end where it should");
      at_ += 2;
      part_ = Part::chunk_size;
      return true;
    case Part::trailers: return read_trailer();
    case Part::until_close:
    case Part::tunnel: return read_bytes(UINT64_MAX);
  }
  return false;
}

bool Reader::read_bytes(std::uint64_t limit) {
  const std::string_view piece =
      rest().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(limit, rest().size())));
  if (piece.empty()) return false;
  const bool tunnel = part_ == Part::tunnel;
  std::uint64_t key = item().answer_key();
  if (item().answer.reads == Reads::echoes && told().watched) key = item().body_key();
  if (tunnel) key = tunnel_key(line_.id, false);
  if (!own_) return refuse("a body that nobody wrote");
  if (!is_noise(key, received_, piece)) {
    return refuse("wrong bytes in the body, at " + std::to_string(received_));
  }
  received_ += piece.size();
  if (received_ > told().written) return refuse("more bytes than the handler wrote");
  at_ += piece.size();
  if (!tunnel) left_ -= std::min<std::uint64_t>(left_, piece.size());
  return true;
}

bool Reader::read_chunk_size() {
  const std::size_t end = rest().find("\r\n");
  if (end == rest().npos) {
    if (rest().size() > 20) fail("a chunk's line without end");
    return false;
  }
  if (!parse_number(rest().substr(0, end), 16, left_)) return refuse("no size of a chunk");
  at_ += end + 2;
  part_ = left_ == 0 ? Part::trailers : Part::chunk;
  return true;
}

bool Reader::read_trailer() {
  const std::size_t end = rest().find("\r\n");
  if (end == rest().npos) return false;
  const std::string_view line = rest().substr(0, end);
  at_ += end + 2;
  if (!line.empty()) {
    trailers_ += line;
    return true;
  }
  const bool has = item().answer.framed == Framed::trailer;
  const std::string expected = has ? "X-Sum: " + std::to_string(received_) : "";
  if (trailers_ != expected) return refuse("the trailers are '" + trailers_ + "'");
  if (!told().ended) return refuse("the end of a body that the handler has not ended");
  complete();
  return true;
}

void Reader::complete() {
  if (own_ && !told().failed && received_ != told().written && !item().to_head &&
      !is_bodiless(item(), item().answer.status)) {
    fail("complete with " + std::to_string(received_) + " bytes, but the handler wrote " +
         std::to_string(told().written));
  }
  run_.count(own_ ? "response" : "response of http");
  ++answered_;
  part_ = Part::head;
  received_ = 0;
  interims_ = 0;
  continued_ = own_ = false;
  trailers_.clear();
  if (!says_close_) return;
  const std::uint32_t most = run_.server.options.requests_per_socket_max;
  limit_ = most != 0 && answered_ >= most && !ended_;
  over_ = !limit_;
}

void Reader::end() {
  ended_ = true;
  ended_at_ = run_.now();
  if (part_ == Part::until_close) {
    if (own_ && (!told().ended || received_ != told().written)) {
      cut_ = true;  // only we know it
    } else {
      complete();
      over_ = true;
    }
    return;
  }
  const bool promised_more = part_ == Part::sized && own_ &&
                             item().answer.slip == Slip::too_short && told().ended &&
                             received_ == told().written;
  if (promised_more) {
    complete();
    over_ = true;
    return;
  }
  if (part_ == Part::tunnel) {
    if (told().ended && received_ != told().written) cut_ = true;
    return;
  }
  cut_ = !over_ && (part_ != Part::head || !rest().empty() || interims_ != 0);
}

// ---- Heads ----

std::optional<std::string_view> Reader::Head::get(std::string_view name) const {
  for (const auto& [known, value] : fields) {
    if (known == name) return value;
  }
  return {};
}

std::size_t Reader::Head::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(fields, [&](const auto& field) { return field.first == name; }));
}

bool Reader::parse(std::string_view text, Head& head) {
  const std::string_view line = text.substr(0, text.find("\r\n"));
  std::uint64_t status = 0;
  const bool good = line.starts_with("HTTP/1.1 ") && line.size() > 13 && line[12] == ' ' &&
                    parse_number(line.substr(9, 3), 10, status) && status >= 100;
  if (!good) return refuse("no status line: '" + std::string(line.substr(0, 60)) + "'");
  head.status = static_cast<int>(status);
  text.remove_prefix(line.size() + 2);
  while (!text.empty()) {
    const std::string_view field = text.substr(0, text.find("\r\n"));
    text.remove_prefix(field.size() + 2);
    const std::size_t colon = field.find(": ");
    const bool named = colon != field.npos && colon != 0 &&
                       std::ranges::all_of(field.substr(0, colon), is_token_char);
    const bool clean = std::ranges::none_of(
        field, [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; });
    if (!named || !clean) return refuse("no field: '" + std::string(field) + "'");
    head.fields.emplace_back(field.substr(0, colon), field.substr(colon + 2));
  }
  return true;
}

bool Reader::read_head() {
  if (rest().empty()) return false;
  if (over_) return refuse("bytes behind the last response");
  constexpr std::string_view kBegin = "HTTP/1.1 ";
  if (!rest().starts_with(kBegin.substr(0, rest().size()))) {
    return refuse("no response begins with '" + std::string(rest().substr(0, 40)) + "'");
  }
  const std::size_t end = rest().find("\r\n\r\n");
  if (end == rest().npos) return false;
  const std::string_view text = rest().substr(0, end + 4);
  if (answered_ >= line_.script.items.size() && limit_ && line_.script.tunnel_size != 0) {
    at_ = input_.size();  // what should have gone through the tunnel is taken for requests
    return false;
  }
  if (answered_ >= line_.script.items.size()) return refuse("more of them than requests");
  if (line_.item_begun.size() <= answered_ && answered_ != 0) {
    return refuse("an answer to what was not asked");
  }
  Head head;
  if (!parse(text.substr(0, end + 2), head)) return false;
  if (head.status < 200 && head.status != 101) {
    take_interim(head);
  } else {
    take_final(head, text);
  }
  at_ += text.size();
  return true;
}

void Reader::take_interim(const Head& head) {
  run_.count("interim " + std::to_string(head.status));
  if (item().one_zero) return fail("an interim answer for HTTP/1.0");
  if (!told().seen) return fail("an interim answer before its request was seen");
  if (head.status == 100) {
    if (continued_ || !told().continued) return fail("a 100 that nobody asked for");
    continued_ = true;
    return;
  }
  const bool right = head.status == 102 ? head.fields.empty() : head.get("Link") == "</x>";
  if (!right || (head.status != 102 && head.status != 103)) return fail("a wrong interim answer");
  if (++interims_ > told().interims) return fail("more interim answers than were written");
}

void Reader::take_final(const Head& head, std::string_view text) {
  run_.count("status " + std::to_string(head.status));
  says_close_ = head.get("Connection") == "close";
  own_ = head.get("X-Id").has_value();
  if (limit_ && own_) return fail("an answer beyond requests_per_socket_max");
  if (own_ && head.get("X-Tunnel")) return begin_tunnel(head);
  if (own_) {
    check_own_head(head);
  } else {
    check_http_answer(head, text);
  }
  if (!run_.failed() && part_ == Part::head && !over_) begin_body(head);
}

void Reader::begin_tunnel(const Head& head) {
  if (!item().has_tunnel() || !told().seen) return fail("a tunnel that nobody asked for");
  if (head.get("X-Id") != std::to_string(item().number)) return fail("the wrong tunnel");
  run_.count("tunnel");
  part_ = Part::tunnel;
}

void Reader::check_own_head(const Head& head) {
  if (!told().seen || !told().settled) return fail("an answer that no handler has begun");
  if (head.get("X-Id") != std::to_string(item().number)) {
    return fail("it is that to " + std::string(*head.get("X-Id")));
  }
  if (head.status != item().answer.status) return fail("not the status that was set");
  const bool one_one = !item().one_zero;
  if (one_one && interims_ != told().interims) return fail("interim answers are missing");
  if (one_one && told().continued && !continued_) return fail("the 100 is missing");
  if (head.get("Date").has_value() != run_.server.options.send_date) fail("Date, or none");
  check_connection(head);
}

void Reader::check_connection(const Head& head) {
  const http::ServerOptions& options = run_.server.options;
  const std::uint32_t most = options.requests_per_socket_max;
  if (head.count("Connection") != 1) return fail("not one Connection field");
  const bool until_close =
      !head.get("Content-Length") && !head.get("Transfer-Encoding") &&
      !is_bodiless(item(), head.status);
  const bool must_close = !item().keeps || item().answer.says_close || until_close ||
                          (most != 0 && item().number >= most);
  const bool refused_body = item().body_size > http::limits::kUnwantedBodyMax ||
                            (item().expects && !told().continued);
  const bool short_body = item().answer.slip == Slip::too_short;
  if (must_close && !says_close_) return fail("it should say Connection: close");
  if (says_close_) {
    if (!must_close && !line_.acted_on && !refused_body && !short_body) {
      fail("Connection: close without a reason");
    }
    return;
  }
  if (head.get("Connection") != "keep-alive") return fail("neither close nor keep-alive");
  const auto seconds = std::chrono::floor<std::chrono::seconds>(options.keep_alive_timeout);
  std::string expected = "timeout=" + std::to_string(seconds.count());
  if (most != 0) expected += ", max=" + std::to_string(most - item().number);
  const bool said = head.get("Keep-Alive").has_value();
  if (said != (seconds.count() != 0) || (said && head.get("Keep-Alive") != expected)) {
    fail("Keep-Alive is not '" + expected + "'");
  }
}

// What http has to say itself.
void Reader::check_http_answer(const Head& head, std::string_view text) {
  const int status = head.status;
  const std::uint32_t most = run_.server.options.requests_per_socket_max;
  if (status == 417 && item().expects_other && !run_.server.checks_expectation) return;
  if (status == 503 && most != 0 && item().number > most) return;
  if (status == 500 && told().failed) {
    if (!says_close_) fail("a 500 that does not close");
    return;
  }
  error_seen_ = over_ = true;
  ++answered_;
  run_.count("error answer");
  const bool listened = head.get("X-Error").has_value();
  if (listened != (run_.server.client_errors == 1)) return fail("not the listener's answer");
  if (!listened && text != http::error_answer(status)) return fail("not the usual error answer");
  --answered_;
  if (told().seen && told().ended && told().complete && item().wrong == Wrong::nothing) {
    return fail("an error instead of the handler's answer");
  }
  const Instant begun = answered_ == 0 ? line_.begun : line_.item_begun[answered_];
  if (status == 408) {
    if (run_.now() - begun < run_.request_patience() - kSlack) fail("a 408 too early");
  } else if (item().wrong == Wrong::nothing) {
    fail("an error answer without an error: " + std::to_string(status));
  } else if (status != item().wrong_status) {
    fail("not the status of the error, which is " + std::to_string(item().wrong_status));
  }
  ++answered_;
}

// ---- Bodies ----

void Reader::begin_body(const Head& head) {
  const auto length = head.get("Content-Length");
  const auto coding = head.get("Transfer-Encoding");
  if (head.count("Content-Length") > 1 || head.count("Transfer-Encoding") > 1) {
    return fail("a framing field twice");
  }
  if (length && coding) return fail("both Content-Length and Transfer-Encoding");
  if (coding && coding != "chunked") return fail("a coding that nobody chose");
  if (coding && item().one_zero) return fail("Transfer-Encoding for HTTP/1.0");
  const bool bodiless = is_bodiless(item(), head.status);
  left_ = 0;
  if (length && !parse_number(*length, 10, left_)) return fail("no length");
  if (own_) check_framing(head, bodiless);
  if (run_.failed()) return;
  if (bodiless) return complete();
  if (coding) {
    part_ = Part::chunk_size;
  } else if (length) {
    part_ = Part::sized;
  } else if (says_close_) {
    part_ = Part::until_close;
  } else {
    fail("no end of the body can be known");
  }
}

// Against what the handler has set.
void Reader::check_framing(const Head& head, bool bodiless) {
  const Answer& answer = item().answer;
  const auto length = head.get("Content-Length");
  const bool coding = head.get("Transfer-Encoding").has_value();
  if (head.status == 205 && !item().to_head && length != "0") return fail("a 205 with a body");
  if (head.status == 204 && !item().to_head && length) return fail("a 204 with a length");
  if ((head.status == 204 || head.status == 304) && coding && !item().to_head) {
    return fail("a coding without a body");
  }
  if (bodiless) return;
  const bool one_one = !item().one_zero;
  const bool echo = told().watched && answer.reads == Reads::echoes;
  switch (answer.framed) {
    case Framed::length:
      if (!echo && left_ != answer.size + (answer.slip == Slip::too_short ? kShort : 0)) {
        fail("not the Content-Length that was set");
      }
      return;
    case Framed::chunked:
    case Framed::trailer:
    case Framed::head_first:
      if (one_one && !coding) fail("it should be chunked");
      return;
    case Framed::until_close:
      if (coding || length) fail("its end should be that of the connection");
      return;
    case Framed::automatic:
      if (one_one && told().alone && left_ != told().written) fail("not the length of the body");
      if (one_one && !told().alone && !coding) fail("it should be chunked, for it is streamed");
  }
}

// ---- The end ----

// FIN because nothing was asked for so long.
bool Reader::is_idle_close() const {
  const Duration time = run_.server.options.keep_alive_timeout;
  if (answered_ == 0 || time == 0s) return false;
  const Told& last = line_.told[answered_ - 1];
  return !last.seen || last_moment() - last.ended_at >= time - kSlack;
}

// The sockets' own timeout, which nobody hears.
bool Reader::is_silent_too_long() const {
  const Duration time = run_.server.options.net.socket.timeout;
  const bool long_enough = last_moment() - line_.begun >= time - kSlack;
  return time != 0s && !run_.server.hears_timeouts && long_enough;
}

// Behind the last response more of a body comes than is read for nobody.
bool Reader::is_too_much() const {
  return answered_ != 0 && line_.item(answered_ - 1).body_size > http::limits::kUnwantedBodyMax;
}

bool Reader::may_be_closed() const {
  if (ended_ || said_close() || limit_ || line_.acted_on) return true;
  if (is_too_much() || is_idle_close() || is_silent_too_long()) return true;
  // It may have answered more than has been received: a reset drops what was not read.
  const std::uint32_t most = run_.server.options.requests_per_socket_max;
  for (std::size_t i = answered_; i < line_.script.items.size(); ++i) {
    const Item& next = line_.item(i);
    const Told& done = line_.told[i];
    const bool ends = next.answer.says_close || !next.keeps || done.failed || done.broken ||
                      next.answer.slip == Slip::too_short || (most != 0 && i + 1 >= most) ||
                      next.answer.framed == Framed::until_close || next.one_zero;
    if (next.wrong != Wrong::nothing || next.connects || (done.ended && ends)) return true;
    if (!done.ended) break;
  }
  return last_moment() - line_.begun >= run_.request_patience() - kSlack;
}

std::string Reader::missing() const {
  const auto& items = line_.script.items;
  if (is_silent_too_long()) return {};
  const bool late = last_moment() - line_.begun >= run_.request_patience() - kSlack;
  const bool slow = late && answered_ < items.size() && !told().complete;
  if (cut_ && !slow && !(answered_ < items.size() && item().wrong != Wrong::nothing)) {
    return "the connection ended within response " + std::to_string(answered_ + 1);
  }
  if (over_ || limit_ || line_.acted_on || answered_ >= items.size()) return {};
  if (part_ == Part::tunnel || is_idle_close()) return {};
  // Its response was out already; behind it nothing is answered.
  if (answered_ > 0) {
    const Told& last = line_.told[answered_ - 1];
    if (line_.item(answered_ - 1).wrong != Wrong::nothing || is_too_much()) return {};
    if (late && !(last.watched && last.complete)) return {};
  }
  const Item& next = item();
  const Told& done = told();
  if (next.connects && !run_.server.takes_connects) return {};
  const bool breaks = next.wrong != Wrong::nothing;
  if (breaks && run_.server.client_errors == 2) return {};
  // A part of its response is out, or all of it.
  if (breaks && next.wrong != Wrong::head && done.settled) return {};
  // In the place of a 408: a part of its response was out.
  if (slow && (done.settled || run_.server.client_errors == 2)) return {};
  return "no answer to request " + std::to_string(answered_ + 1);
}

}  // namespace weir::test::http_swarm
