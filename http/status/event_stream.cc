#include "weir/http/status/event_stream.h"

#include <memory>
#include <utility>

namespace weir::inline v1::http {
namespace {

constexpr std::string_view kLineEnds("\r\n", 2);
constexpr std::string_view kNotInId("\r\n\0", 3);

Expected<void> wrong(std::string detail) {
  return failure({.code = Mistake::bad_argument, .detail = std::move(detail)});
}

void append_line(std::string& out, std::string_view field, std::string_view value) {
  out.append(field).append(": ").append(value).append("\n");
}

// A line for each line of the text, also for the empty one behind its last end.
void append_lines(std::string& out, std::string_view field, std::string_view text) {
  for (;;) {
    const std::size_t end = text.find_first_of(kLineEnds);
    append_line(out, field, text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + (text.substr(end).starts_with("\r\n") ? 2 : 1));
  }
}

}  // namespace

// ---- The format ----

Expected<void> append_event(std::string& out, const StreamEvent& event) {
  if (event.event.find_first_of(kLineEnds) != std::string_view::npos) {
    return wrong("the type of an event is one line");
  }
  if (event.id && event.id->find_first_of(kNotInId) != std::string_view::npos) {
    return wrong("the id of an event is one line, without NUL");
  }
  if (event.id) append_line(out, "id", *event.id);
  if (!event.event.empty()) append_line(out, "event", event.event);
  append_lines(out, "data", event.data);
  out += '\n';
  return {};
}

void append_comment(std::string& out, std::string_view text) {
  append_lines(out, "", text);
  out += '\n';
}

void append_retry(std::string& out, Duration after) {
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(after).count();
  append_line(out, "retry", std::to_string(milliseconds));
  out += '\n';
}

// ---- A client ----

// Owner: the 'close' listener of its response, so it is there for as long as callbacks may come.
struct EventStream::Client : ListNode {
  Client(EventStream& its_stream, Response& its_response) noexcept
      : stream(&its_stream), response(its_response) {
    stream->clients_.push_back(*this);
    ++stream->count_;
  }
  ~Client() { leave(); }

  void leave() noexcept {
    if (stream == nullptr) return;
    unlink();
    --stream->count_;
    stream = nullptr;
  }

  // Precondition: nothing is on its way.
  void send(Buffer bytes) {
    on_its_way = true;
    const auto result = response.write(std::move(bytes), [this](Response&, std::error_code code) {
      on_its_way = false;
      if (!code && std::exchange(missed, false)) send_latest();
    });
    // No room behind the responses before it: its 'drain' comes when there is.
    if (result == net::Write::refused) {
      on_its_way = false;
      missed = true;
    }
  }

  void send_latest() {
    if (stream == nullptr || stream->latest_.empty()) return;
    if (on_its_way) {
      missed = true;
    } else {
      send(stream->latest_.share());
    }
  }

  void end() {
    leave();
    response.end();
  }

  EventStream* stream;  // null: over
  Response& response;
  bool on_its_way = false;  // what was put last is not with the kernel yet
  bool missed = false;      // a newer event waits for that
};

// ---- All of them ----

EventStream::EventStream(Server& server, EventStreamOptions options)
    : server_(server),
      options_(options),
      closing_(server.on_closing([this](Server&) { end(); })) {}

EventStream::~EventStream() {
  server_.off(closing_);
  end();
}

void EventStream::answer(Request& request, Response& response) {
  response.set_measured(false);
  if (count_ >= options_.clients_max || !server_.listening()) {
    static_cast<void>(response.set_status(503));
    response.end();
    return;
  }
  static_cast<void>(response.set_header("Content-Type", "text/event-stream"));
  static_cast<void>(response.set_header("Cache-Control", "no-store"));
  if (request.method() == Method::head) {
    response.end();
    return;
  }
  auto client = std::make_unique<Client>(*this, response);
  Client& one = *client;
  response.on_drain([&one](Response&) {
    if (!one.on_its_way && std::exchange(one.missed, false)) one.send_latest();
  });
  response.on_close([its = std::move(client)](Response&) { its->leave(); }, Times::once);
  std::string first;
  append_retry(first, options_.retry);
  first += latest_.view();
  one.send(Buffer::take(std::move(first)));
  if (!timer_.armed()) arm();
}

Expected<void> EventStream::publish(const StreamEvent& event) {
  std::string text;
  if (const auto appended = append_event(text, event); !appended) return appended;
  latest_ = Buffer::take(std::move(text));
  silent_ = false;
  clients_.for_each([](Client& client) { client.send_latest(); });
  return {};
}

void EventStream::end() {
  while (!clients_.empty()) clients_.front().end();
}

void EventStream::arm() {
  if (options_.heartbeat == Duration::zero()) return;
  silent_ = true;
  timer_ = server_.reactor().after(options_.heartbeat, [this] { beat(); });
  timer_.unref();
}

void EventStream::beat() {
  if (clients_.empty()) return;
  if (silent_) {
    std::string comment;
    append_comment(comment, "");
    const Buffer bytes = Buffer::take(std::move(comment));
    clients_.for_each([&](Client& client) {
      if (!client.on_its_way) client.send(bytes.share());
    });
  }
  arm();
}

}  // namespace weir::inline v1::http
