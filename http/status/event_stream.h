// Server-sent events (WHATWG HTML, section 9.2): a response that goes on, event by event.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "weir/http/server.h"
#include "weir/http/status/status_limits.h"
#include "weir/reactor/buffer.h"
#include "weir/reactor/intrusive_list.h"
#include "weir/reactor/reactor.h"

namespace weir::inline v1::http {

struct StreamEvent {
  std::string_view data;        // any text, in UTF-8; its lines may end with LF, CRLF or CR
  std::string_view event = {};  // its type; empty: "message"
  // What the browser sends as Last-Event-ID when it comes back. Nothing: the last one stays.
  std::optional<std::string_view> id = {};
};

// Pure. A line of data for each line, and the empty line that ends the event.
// Mistake::bad_argument, and nothing appended: CR or LF in the type or the id, or NUL in the id.
Expected<void> append_event(std::string& out, const StreamEvent& event);
// Nothing that a listener hears of.
void append_comment(std::string& out, std::string_view text);
// After so long, in milliseconds, the browser tries again when the stream has ended.
void append_retry(std::string& out, Duration after);

struct EventStreamOptions {
  std::size_t clients_max = limits::kEventClientsMaxDefault;  // one more gets a 503
  Duration heartbeat = limits::kEventHeartbeatDefault;        // a comment after silence; 0: none
  Duration retry = limits::kEventRetryDefault;
};

// Tells a state to its clients: each event makes those before it worthless. Who comes gets the last
// one at once. Who reads too slowly misses some and then gets the newest: no event is put
// while one is on its way, so a client holds one event, and one heartbeat, at most.
//
// When the server begins to close, all streams end, and so do those that come then.
// Owner: the user. Thread: the reactor's. The server outlives it. Destroying it ends the streams.
class EventStream {
 public:
  explicit EventStream(Server& server, EventStreamOptions options = {});
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;
  ~EventStream();

  // The answer to a GET, or to HEAD. Its time is not measured (Response::set_measured()). Headers
  // that the handler has set stay.
  void answer(Request& request, Response& response);
  // Errors as append_event(); nothing is sent then.
  Expected<void> publish(const StreamEvent& event);
  // Ends the streams that are open; others may come.
  void end();

  std::size_t clients() const noexcept { return count_; }

 private:
  struct Client;

  void beat();
  void arm();

  Server& server_;
  EventStreamOptions options_;
  IntrusiveList<Client> clients_;
  std::size_t count_ = 0;
  Buffer latest_;
  bool silent_ = true;  // nothing was published since the last beat
  Timer timer_;         // armed while there are clients
  ListenerId closing_;
};

}  // namespace weir::inline v1::http
