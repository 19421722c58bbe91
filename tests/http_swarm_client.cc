#include "tests/http_swarm_client.h"

#include <algorithm>
#include <utility>

namespace weir::test::http_swarm {
namespace {

using namespace std::chrono_literals;
using net::Socket;

constexpr std::size_t kLargestWrite = 65536;

}  // namespace

Call::Call(Run& run, Reactor& reactor, Line& line, Reader& reader, std::string server)
    : run_(run),
      reactor_(reactor),
      line_(line),
      reader_(reader),
      plan_(line.script.plan),
      server_(std::move(server)),
      socket_(reactor, {.allow_half_open = plan_.half_open, .no_delay = true}) {
  follow();
}

Call::~Call() {
  if (line_.over || !line_.started) return;
  run_.excuse(line_, "a crash of the client");
  line_.crashed = line_.over = true;
}

void Call::start() {
  if (run_.finishing) return;
  line_.started = true;
  line_.begun = run_.now();
  line_.acted_on = run_.server_down;
  run_.count("line");
  for (const Item& item : line_.script.items) {
    if (run_.logs()) run_.log(line_.name, std::to_string(item.number) + ": " + describe(item));
  }
  if (plan_.breaks_after != 0s) {
    break_timer_ = reactor_.after(plan_.breaks_after, [this] { break_off(); });
  }
  const auto started = socket_.connect({.host = server_, .port = 80});
  if (!started) run_.fail(line_.name, "connect(): " + started.error().message());
  if (run_.random().once_in(2)) pump();
}

void Call::follow() {
  socket_.on_connect([this](Socket& same) {
    line_.connected = true;
    line_.address = same.local_address().to_string();
    pump();
  });
  socket_.on_data([this](Socket&, Buffer bytes) { on_data(std::move(bytes)); });
  socket_.on_drain([this](Socket&) {
    full_ = false;
    pump();
  });
  socket_.on_end([this](Socket&) { on_end(); });
  socket_.on_error([this](Socket&, const Error& error) {
    if (run_.logs()) run_.log(line_.name, error.message());
    run_.count("client error " + std::string(name_of(error.code)));
    line_.error = error.code;
    line_.error_expected = reader_.may_be_closed();
  });
  socket_.on_close([this](Socket&, std::error_code) {
    if (run_.logs()) run_.log(line_.name, "closed; " + reader_.state());
    line_.over = true;
    for (Timer* timer : {&pump_timer_, &pause_timer_, &break_timer_, &patience_timer_}) {
      timer->cancel();
    }
  });
}

std::string Call::state() const {
  return line_.name + ": sent " + std::to_string(sent_) + " of " +
         std::to_string(line_.script.text.size()) + ", " + reader_.state() +
         (socket_.is_paused() ? ", paused" : "") + (socket_.writable_ended() ? ", FIN sent" : "") +
         (line_.connected ? "" : ", not connected") + (full_ ? ", full" : "") +
         (line_.server_over ? ", closed at the server" : "");
}

// ---- Receiving ----

void Call::on_data(Buffer bytes) {
  received_ += bytes.size();
  reader_.take(bytes.view());
  if (run_.failed()) return;
  if (plan_.breaks_at != 0 && received_ >= plan_.breaks_at && !run_.finishing) return break_off();
  if (plan_.pauses_once_in != 0 && !run_.finishing && run_.random().once_in(plan_.pauses_once_in)) {
    socket_.pause();
    run_.count("client pauses");
    const Duration time = run_.random().up_to(plan_.pause_max);
    pause_timer_ = reactor_.after(time, [this] { socket_.resume(); });
  }
  progress();
}

void Call::on_end() {
  if (run_.logs()) run_.log(line_.name, "FIN; " + reader_.state());
  reader_.end();
  end_side();
}

void Call::break_off() {
  if (line_.over || run_.finishing || socket_.destroyed()) return;
  line_.broken = true;
  run_.excuse(line_, "the client breaks off");
  if (plan_.resets) {
    std::ignore = socket_.reset_and_destroy();
  } else {
    socket_.destroy();
  }
}

// ---- Sending ----

void Call::progress() {
  const bool news = answered_ != std::exchange(answered_, reader_.answered());
  if (news && plan_.think != 0s && !run_.finishing && run_.random().once_in(3)) {
    const Duration time = run_.random().up_to(plan_.think);
    return pump_later(time);
  }
  pump();
}

void Call::pump_later(Duration delay) {
  pump_waits_ = true;
  pump_timer_ = reactor_.after(delay, [this] {
    pump_waits_ = false;
    pump();
  });
}

// How far into the text it may go now.
std::size_t Call::limit() {
  if (reader_.over()) return sent_;
  const Script& script = line_.script;
  const http::ServerOptions& options = run_.server.options;
  const bool guarded = options.request_timeout != 0s && options.keep_alive_timeout != 0s &&
                       script.tunnel_size == 0;
  std::size_t most = script.text.size();
  if (!run_.finishing || guarded) most = std::min(most, plan_.stalls_at);
  if (reader_.said_close() && plan_.obeys_close && reader_.answered() < script.items.size()) {
    most = std::min(most, std::max(sent_, script.items[reader_.answered()].end));
  }
  for (std::size_t i = reader_.answered(); i < script.items.size(); ++i) {
    const Item& item = script.items[i];
    if (i >= reader_.answered() + plan_.depth) return std::min(most, item.begin);
    if (!item.expects || reader_.goes_on(i) || sent_ > item.body_begin) continue;
    if (impatient_for_ == i && impatient_) continue;
    if (sent_ == item.body_begin && most > sent_) wait_for_continue(i);
    return std::min(most, item.body_begin);
  }
  return most;
}

void Call::wait_for_continue(std::size_t index) {
  if (impatient_for_ == index) return;
  impatient_for_ = index;
  impatient_ = false;
  run_.count("waits for 100");
  if (plan_.patience == 0s) return;
  patience_timer_ = reactor_.after(plan_.patience, [this] {
    impatient_ = true;
    pump();
  });
}

void Call::pump() {
  while (!run_.failed() && !pump_waits_ && !full_ && socket_.writable()) {
    const std::size_t most = limit();
    if (sent_ >= most) break;
    std::size_t size = kLargestWrite;
    if (!run_.finishing) size = run_.random().between(1, plan_.write_max);
    send(std::min(size, most - sent_));
    if (plan_.gap != 0s && !run_.finishing) return pump_later(plan_.gap);
  }
  if (!full_ && socket_.writable()) after_sending();
}

void Call::send(std::size_t size) {
  auto& begun = line_.item_begun;
  const auto& items = line_.script.items;
  while (begun.size() < items.size() && items[begun.size()].begin < sent_ + size) {
    begun.push_back(run_.now());
  }
  const net::Write result =
      socket_.write(std::string_view(line_.script.text).substr(sent_, size));
  if (result == net::Write::closed) return run_.fail(line_.name, "a client's write is `closed`");
  if (result != net::Write::refused) sent_ += size;
  line_.sent_all = sent_ == line_.script.text.size();
  full_ = result != net::Write::ok;
}

void Call::after_sending() {
  const Script& script = line_.script;
  const bool all_sent = sent_ == script.text.size();
  if (all_sent && (plan_.ends_early || reader_.tunnelled())) return end_side();
  const bool stopped = reader_.over() || (reader_.said_close() && reader_.answered() != 0);
  const bool answered = reader_.answered() == script.items.size();
  if (!answered && !reader_.over()) return;
  const bool times_out = run_.server.options.keep_alive_timeout != 0s || stopped;
  if (!plan_.waits_for_end || !times_out) end_side();
}

void Call::end_side() {
  if (!socket_.writable()) return;
  run_.count("client ends");
  socket_.end();
}

void Call::finish_up() {
  if (line_.over || socket_.destroyed()) return;
  for (Timer* timer : {&pump_timer_, &pause_timer_, &break_timer_}) timer->cancel();
  pump_waits_ = false;
  socket_.resume();
  pump();
}

// ---- The program ----

void ClientProgram::call_later(Line& line, Reader& reader, const std::string& server,
                               Duration delay) {
  auto made = std::make_unique<Call>(run_, reactor_, line, reader, server);
  Call* call = calls_.emplace_back(std::move(made)).get();
  timers_.push_back(reactor_.after(delay, [call] { call->start(); }));
}

void ClientProgram::finish_up() {
  run_.log("client", "finishes up");
  timers_.clear();
  for (const auto& call : calls_) {
    if (call->line().started) {
      call->finish_up();
    } else {
      call->line().over = true;
    }
  }
}

std::string ClientProgram::dump() const {
  std::string text;
  for (const auto& call : calls_) {
    if (!call->line().over) text += call->state() + "\n";
  }
  return text;
}

// ---- Judging ----

void judge(Run& run, Line& line, const Reader& reader) {
  if (!line.started || line.broken || line.crashed) return;
  const auto error_at_server = run.server_errors.find(line.address);
  const bool excused = !line.excuse.empty() || error_at_server != run.server_errors.end();
  if (line.error) {
    const bool reset =
        line.error == errno_code(ECONNRESET) || line.error == errno_code(EPIPE);
    const bool refused = line.error == errno_code(ECONNREFUSED) || (reset && !line.accepted);
    const bool not_accepted = refused && (line.acted_on || run.faults.aborted > 0 ||
                                          run.faults.no_descriptors > 0);
    if (excused || not_accepted || run.may_fail(line.error)) return;
    if (!reset || !line.error_expected) {
      return run.fail(line.name, "an error without a reason: " + line.error.message() + " [" +
                                     reader.state() + "]");
    }
    if (!reader.ended()) return;
  }
  if (excused) return run.count("line excused");
  const std::string missing = reader.missing();
  if (!missing.empty()) run.fail(line.name, missing + " [" + reader.state() + "]");
  run.count("line judged");
}

}  // namespace weir::test::http_swarm
