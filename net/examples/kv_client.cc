#include "net/examples/kv_client.h"

#include <algorithm>
#include <utility>

namespace weir::example::kv {

namespace {

constexpr Duration kPatience = std::chrono::seconds(20);
constexpr std::size_t kYoungKeys = 12;
constexpr Duration kPauseBetweenReads = std::chrono::milliseconds(1);
constexpr Duration kPauseAfterFailure = std::chrono::seconds(1);

}  // namespace

Client::Client(Reactor& reactor, ClientOptions options, History& history, sim::Random& random,
               ClientListener& listener)
    : reactor_(reactor),
      options_(std::move(options)),
      history_(history),
      random_(random),
      listener_(listener),
      socket_(reactor, {.no_delay = true}) {
  for (std::size_t& key : own_keys_) key = history_.new_key();
  socket_.on_connect([this](net::Socket&) { ask(); });
  socket_.on_data([this](net::Socket&, Buffer bytes) { receive(bytes.view()); });
  socket_.on_error([](net::Socket&, const Error&) {});
  socket_.on_close([this](net::Socket&, std::error_code) { give_up(); });
  rest();
}

void Client::set_pause(Duration pause) {
  options_.pause = pause;
  if (request_ == Request::none && !socket_.connecting()) rest();
}

void Client::read_all() {
  reads_all_ = true;
  set_pause(kPauseBetweenReads);
}

void Client::rest() {
  timer_ = reactor_.after(random_.up_to(options_.pause), [this] { go(); });
}

void Client::go() {
  if (has_read_all()) return;
  choose();
  if (socket_.ready_state() == net::ReadyState::open) {
    ask();
    return;
  }
  lines_.clear();
  if (!socket_.connect({.host = options_.host, .port = options_.port, .timeout = kPatience})) {
    rest();
  }
}

void Client::choose() {
  wants_set_ = !reads_all_ && random_.once_in(3);
  slot_ = random_.below(own_keys_.size());
  // The youngest keys are those that are in use.
  const std::size_t keys = history_.keys();
  const bool young = !random_.once_in(3);
  const std::size_t others = young ? std::min(keys, kYoungKeys) : keys;
  const std::size_t other = keys - 1 - random_.below(others);
  key_ = wants_set_ ? own_keys_[slot_] : other;
  if (reads_all_) key_ = next_read_;
}

void Client::ask() {
  std::string line = (wants_set_ ? "SET " : "GET ") + History::name_of(key_);
  if (wants_set_) {
    line += ' ' + std::to_string(history_.send_set(key_));
  } else {
    oldest_ = history_.send_get(key_);
  }
  listener_.said(line);
  request_ = wants_set_ ? Request::set : Request::get;
  timer_ = reactor_.after(kPatience, [this] { socket_.destroy(); });
  socket_.write(line + '\n');
}

void Client::receive(std::string_view bytes) {
  if (!lines_.feed(bytes, [this](std::string_view line) { return take(line); })) {
    socket_.destroy();
  }
}

bool Client::take(std::string_view line) {
  if (request_ == Request::none) {
    listener_.wrong("an answer without a request: " + std::string(line));
    return false;
  }
  listener_.said(History::name_of(key_) + " -> " + std::string(line));
  if (line == "BUSY") {
    if (request_ == Request::set) history_.refused(key_);
  } else if (request_ == Request::set && line == "OK") {
    history_.acknowledged(key_);
    ++answers_;
  } else if (request_ != Request::get || !take_value(line)) {
    listener_.wrong("no answer to that: " + std::string(line));
    return false;
  }
  request_ = Request::none;
  rest();
  return true;
}

bool Client::take_value(std::string_view text) {
  const auto [word, number, rest_of_line, more] = words_of(text);
  std::uint64_t value = 0;
  if (text != "NONE" && (word != "VALUE" || !read_number(number, value))) return false;
  if (const std::string wrong = history_.answered(key_, oldest_, value); !wrong.empty()) {
    listener_.wrong(wrong);
  }
  ++answers_;
  if (reads_all_) ++next_read_;
  return true;
}

// Of a SET without an answer nobody knows what has become, or will become: its key is left alone.
void Client::give_up() {
  if (request_ == Request::set) own_keys_[slot_] = history_.new_key();
  request_ = Request::none;
  timer_ = reactor_.after(kPauseAfterFailure, [this] { go(); });
}

}  // namespace weir::example::kv
