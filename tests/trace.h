// What sockets and servers tell, written down so that two backends can be compared.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/world.h"
#include "weir/net/server.h"

namespace weir::test {

// The events of one socket or server. Normalised: the order is kept, but that of 'end' and
// 'finish', which is nobody's promise; a run of 'data' counts as one and shows only where it
// begins; drains follow a rule of their own and are not compared. ECONNRESET and EPIPE are two
// names for one thing.
struct Track {
  std::vector<std::string> events;
  std::string bytes;
  bool cut = false;  // a side resets or destroys: how many bytes come through is not promised

  void note(const std::string& event) { events.push_back(event); }
  bool has(std::string_view event) const {
    return std::find(events.begin(), events.end(), event) != events.end();
  }
  bool closed() const { return !events.empty() && events.back().starts_with("close"); }

  std::string text() const {
    std::string ends;
    std::string all;
    for (const char* end : {"end", "finish"}) {
      if (has(end)) ends += std::string(" ") + end;
    }
    for (const std::string& event : events) {
      if (event == "end" || event == "finish") continue;
      if (event.starts_with("error") || event.starts_with("close")) all += std::exchange(ends, "");
      all += " " + event;
    }
    all += ends;
    if (!cut) all += " [" + std::to_string(bytes.size()) + ":" + digest() + "]";
    return all;
  }

 private:
  std::string digest() const {
    if (bytes.size() <= 40) return bytes;
    return std::to_string(std::hash<std::string>()(bytes));
  }
};

inline std::string trace_name(const std::error_code& code) {
  if (!code) return "";
  const std::string name(name_of(code));
  return name == "EPIPE" ? "ECONNRESET" : name;
}

// Records a socket's events; its 'data' only when asked for, as a listener starts the reading.
inline void trace(net::Socket& socket, Track& track, bool data = true) {
  socket.on_lookup([&](net::Socket&, const net::LookupResult& found) {
    track.note("lookup(" + std::string(found.error ? trace_name(found.error) : "found") + ")");
  });
  socket.on_connection_attempt([&](net::Socket&, const Address&) { track.note("attempt"); });
  socket.on_connection_attempt_failed([&](net::Socket&, const Error& error) {
    track.note("attempt_failed(" + trace_name(error.code) + ")");
  });
  socket.on_connection_attempt_timeout(
      [&](net::Socket&, const Address&) { track.note("attempt_timeout"); });
  socket.on_connect([&](net::Socket&) { track.note("connect"); });
  socket.on_ready([&](net::Socket&) { track.note("ready"); });
  socket.on_end([&](net::Socket&) { track.note("end"); });
  socket.on_finish([&](net::Socket&) { track.note("finish"); });
  socket.on_timeout([&](net::Socket&) { track.note("timeout"); });
  socket.on_error([&](net::Socket&, const Error& error) {
    track.note("error(" + std::string(error.syscall) + " " + trace_name(error.code) + ")");
  });
  socket.on_close(
      [&](net::Socket&, std::error_code code) { track.note("close(" + trace_name(code) + ")"); });
  if (!data) return;
  socket.on_data([&](net::Socket&, Buffer bytes) {
    if (track.bytes.empty()) track.note("data");
    track.bytes += bytes.view();
  });
}

// One run of a script on one backend. A step begins only after the event that it waits for.
class Stage {
 public:
  explicit Stage(std::unique_ptr<Backend> backend, Duration patience = kPatience)
      : reactor_(std::make_unique<Reactor>(std::move(backend))), patience_(patience) {
    char name[] = "/tmp/weir-trace-XXXXXX";
    directory_ = mkdtemp(name);
  }
  ~Stage() {
    reactor_.reset();
    std::filesystem::remove_all(directory_);
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  Reactor& reactor() { return *reactor_; }
  std::string path() { return directory_ + "/socket"; }
  // Tracks live as long as the stage; they come out in the order of their names.
  Track& track(const std::string& name) { return tracks_[name]; }
  // False, and noted, when it took longer than the stage's patience.
  bool await(const std::function<bool()>& done) {
    const Instant end = reactor().now() + patience_;
    while (!done()) {
      if (reactor().now() >= end) {
        track("zz stage").note("gave up waiting");
        return false;
      }
      reactor().run_once(end);
    }
    return true;
  }
  void note(const std::string& what) { track("notes").note(what); }
  std::string text() const {
    std::string all;
    for (const auto& [name, track] : tracks_) all += name + ":" + track.text() + "\n";
    return all;
  }

 private:
  std::map<std::string, Track> tracks_;
  std::unique_ptr<Reactor> reactor_;
  Duration patience_;
  std::string directory_;
};

}  // namespace weir::test
