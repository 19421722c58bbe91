#include "tests/script_runner.h"

#include "tests/pair.h"
#include "tests/script_link.h"
#include "weir/net/pipe.h"

namespace weir::test {
namespace {

constexpr int kTurnsOfAPause = 4;

using namespace std::chrono_literals;

class Runner {
 public:
  Runner(const Script& script, Stage& stage)
      : script_(script), stage_(stage), server_(stage.reactor(), server_options()) {
    stage.reactor().on_unhandled_error(
        [this](const Error& error) { violate("unhandled error " + error.message()); });
    server_.on_connection([this](Socket& socket) { accepted(socket); });
    server_.on_drop([this](Server&, const net::Drop&) { stage_.note("drop"); });
    server_.on_server_close([this](Server&) {
      server_closed_ = true;
      stage_.track("server").note("close");
    });
    server_.on_server_error([this](Server&, const Error& error) {
      stage_.track("server").note("error(" + trace_name(error.code) + ")");
    });
  }

  Told run() {
    stage_.track("notes").cut = stage_.track("server").cut = true;
    listen();
    for (const Step& step : script_.steps) {
      if (gave_up_) break;
      take(step);
      settle(step);
    }
    finish();
    for (Link& link : links_) {
      for (End& end : link.ends) judge(end);
    }
    return {.trace = stage_.text(), .broken = broken_};
  }

 private:
  // ---- The scene ----

  static SocketOptions socket_options(const SideOptions& options) {
    SocketOptions made{.allow_half_open = options.half_open,
                       .no_delay = options.no_delay,
                       .keep_alive = options.keep_alive};
    if (options.high_water != 0) made.queue.high_water = options.high_water;
    if (options.queue_max != 0) made.queue.bytes_max = options.queue_max;
    return made;
  }

  ServerOptions server_options() const {
    ServerOptions made{.socket = socket_options(script_.sides[1]),
                       .pause_on_connect = script_.pause_on_connect};
    if (script_.max_connections != 0) made.max_connections = script_.max_connections;
    return made;
  }

  void listen() {
    net::ListenAt at{.port = 0, .host = "127.0.0.1"};
    if (script_.over_unix) at.path = stage_.path();
    const auto bound = server_.listen(at);
    if (!bound) return violate("listen: " + bound.error().message());
    to_ = {.host = "127.0.0.1", .port = bound->port(), .path = at.path};
    server_closing_ = server_closed_ = false;
  }

  void violate(const std::string& what) { broken_ += what + "\n"; }

  Link& new_link(unsigned slot) {
    Link& link = links_.emplace_back();
    link.slot = slot;
    slots_[slot - 1].link = &link;
    const std::string name = "link " + std::to_string(links_.size());
    for (const Side side : {Side::client, Side::peer}) {
      End& end = link.ends[int(side)];
      const std::string full = name + (side == Side::client ? " client" : " peer");
      end.side = side;
      end.options = &script_.sides[int(side)];
      end.link = &link;
      end.other = &link.ends[1 - int(side)];
      end.track = &stage_.track(full);
      end.calls = &stage_.track(full + " calls");
      end.track->cut = end.calls->cut = true;  // the bytes are compared with `expected`
    }
    link.ends[1].listens = !script_.sides[1].silent;
    link.ends[1].paused = script_.pause_on_connect;
    return link;
  }

  // ---- Events ----

  // The socket's user_data is its End; listeners outlive a connection that is followed by another.
  static End& end_of(Socket& socket) { return *static_cast<End*>(socket.user_data); }

  void record(Socket& socket) {
    socket.on_connect([this](Socket& from) {
      End& end = end_of(from);
      end.connected = true;
      end.track->note("connect");
      fire(end, Moment::connect);
    });
    socket.on_ready([](Socket& from) { end_of(from).track->note("ready"); });
    socket.on_end([this](Socket& from) { ended(end_of(from)); });
    socket.on_finish([this](Socket& from) {
      End& end = end_of(from);
      if (std::exchange(end.finished, true)) violate("a second 'finish'");
      end.track->note("finish");
      fire(end, Moment::finish);
    });
    socket.on_drain([this](Socket& from) {
      End& end = end_of(from);
      const bool awaited = std::exchange(end.needs_drain, false);
      if (!awaited && !end.piped) violate("'drain' that nobody waits for");
      fire(end, Moment::drain);
    });
    socket.on_timeout([this](Socket& from) {
      End& end = end_of(from);
      if (!from.set_timeout(Duration::zero())) violate("set_timeout");
      ++timeouts_;
      end.track->note("timeout");
      fire(end, Moment::timeout);
    });
    socket.on_error([this](Socket& from, const Error& error) { failed(end_of(from), error); });
    socket.on_close([this](Socket& from, std::error_code code) { closed(end_of(from), code); });
  }

  void listen_to_data(End& end) {
    end.listens = true;
    end.socket->on_data([this](Socket& from, Buffer bytes) { came(end_of(from), bytes.view()); });
  }

  void accepted(Socket& socket) {
    const auto link = std::find_if(links_.begin(), links_.end(),
                                   [](const Link& any) { return any.awaits_peer(); });
    if (link == links_.end()) {
      violate("a connection that nobody made");
      return socket.destroy();
    }
    End& peer = link->ends[1];
    peer.socket = &socket;
    socket.user_data = &peer;
    peer.connected = true;
    peer.track->note("connection");
    record(socket);
    if (peer.options->text) socket.set_encoding(net::Encoding::utf8);
    if (!peer.options->silent) listen_to_data(peer);
    fire(peer, Moment::connect);
  }

  void came(End& end, std::string_view bytes) {
    if (end.paused) violate("'data' after pause()");
    if (end.has_end || end.closed) violate("'data' after 'end' or 'close'");
    if (end.received.empty()) end.track->note("data");
    end.received += bytes;
    if (end.complete()) end.other->stuffed = false;
    fire(end, Moment::data);
  }

  void ended(End& end) {
    if (std::exchange(end.has_end, true)) violate("a second 'end'");
    if (end.options->text && !end.link->cut) end.decoder.finish(end.expected);
    end.track->note("end");
    if (end.piped) end.ended = true;
    fire(end, Moment::end);
    if (end.ending()) release(end);
  }

  void failed(End& end, const Error& error) {
    const std::string name = trace_name(error.code);
    const bool reset = name == "ECONNRESET" && end.connected;
    if (reset && !end.doomed && !end.ending()) violate("a reset that nobody sent");
    // Found by a read or by a write, whichever comes first: the contract allows both.
    end.track->note("error(" + (reset ? "" : std::string(error.syscall) + " ") + name + ")");
  }

  void closed(End& end, std::error_code code) {
    if (std::exchange(end.closed, true)) violate("a second 'close'");
    end.track->note("close(" + trace_name(code) + ")");
    fire(end, Moment::close);
    if (end.side == Side::peer) end.socket = nullptr;
  }

  // ---- Steps ----

  Slot& slot_of(const End& end) { return slots_[end.link->slot - 1]; }

  void take(const Step& step) {
    Slot& slot = slots_[step.slot - 1];
    if (step.when != Moment::now) {
      if (may_arm(script_, slot, step)) slot.hook = step;
    } else if (step.act == Act::listen) {
      if (!server_.listening()) listen();
    } else if (!do_elsewhere(step) && slot.link != nullptr) {
      End& end = slot.link->ends[int(step.side)];
      if (end.socket != nullptr && permitted(script_, slot, step, end)) perform(step, end);
    }
  }

  void fire(End& end, Moment moment) {
    if (end.shell) return;
    Slot& slot = slot_of(end);
    if (slot.link != end.link || !slot.hooked(end.side, moment)) return;
    const Step step = *slot.hook;
    const bool cuts = waits_for_all(step.act) || end.ending();
    if (moment == Moment::data && cuts && !(end.complete() && end.whole())) return;
    slot.hook.reset();
    if (do_elsewhere(step) || end.socket == nullptr) return;
    if (permitted(script_, slot, step, end)) perform(step, end);
  }

  // Acts that are not those of a connection.
  bool do_elsewhere(const Step& step) {
    if (step.act == Act::server_close) {
      close_server();
    } else if (step.act == Act::connect || step.act == Act::refused) {
      connect(step);
    } else {
      return false;
    }
    return true;
  }

  void close_server() {
    if (std::exchange(server_closing_, true)) return;
    if (!server_.close()) violate("server.close()");
  }

  void connect(const Step& step) {
    Slot& slot = slots_[step.slot - 1];
    End* const before = slot.link == nullptr ? nullptr : &slot.link->ends[0];
    if (before != nullptr && may_have_closed(*before)) return;
    if (before != nullptr && !before->closed) return connect_again(*before);
    // Until the server's 'close' nobody says whether the listener is still there.
    if (links_.size() == kLinksMax || (server_closing_ && !server_closed_)) return;
    if (before != nullptr && before->paused) return;  // pause() lasts
    if (slot.sockets.empty()) add_socket(slot);
    Socket& socket = *slot.sockets.back();
    const bool full = script_.max_connections != 0 &&
                      std::count_if(links_.begin(), links_.end(), [](const Link& link) {
                        return link.ends[1].connected && !link.ends[1].closed;
                      }) >= std::ptrdiff_t(script_.max_connections);
    Link& link = new_link(step.slot);
    End& client = link.ends[0];
    client.socket = &socket;
    socket.user_data = &client;
    if (before != nullptr) {
      before->socket = nullptr;
      client.listens = before->listens;
    } else if (!client.options->silent) {
      listen_to_data(client);
    }
    client.doomed = step.act == Act::refused || server_closing_;
    link.dropped = !client.doomed && full;
    link.ends[1].closed = link.ends[1].gone = client.doomed || full;
    net::ConnectOptions to = to_;
    if (step.act == Act::refused) {
      to.port = 1;
      if (script_.over_unix) to.path += "-missing";
    }
    if (!socket.connect(to)) violate("connect");
    fire(client, Moment::connecting);
  }

  void connect_again(End& end) {
    const auto result = end.socket->connect(to_);
    if (result) violate("connect() of a connected socket");
    // A track of its own: how many callbacks have come is the kernel's affair while bytes wait.
    if (!result) stage_.track("connects").note(trace_name(result.error().code));
  }

  Socket& add_socket(Slot& slot) {
    const SideOptions& options = script_.sides[0];
    slot.sockets.push_back(std::make_unique<Socket>(stage_.reactor(), socket_options(options)));
    record(*slot.sockets.back());
    if (options.text) slot.sockets.back()->set_encoding(net::Encoding::utf8);
    return *slot.sockets.back();
  }

  void perform(const Step& step, End& end) {
    Socket& socket = *end.socket;
    switch (step.act) {
      case Act::write:
        return write(step, end);
      case Act::end:
        return this->end(step, end);
      case Act::destroy:
        socket.destroy();
        return doom(step, end);
      case Act::destroy_error:
        socket.destroy(errno_code(EBADMSG));
        return doom(step, end);
      case Act::destroy_soon:
        socket.destroy_soon();
        end.ended = true;
        release(end);
        return doom(step, end);
      case Act::reset:
        return reset(step, end);
      case Act::pause:
        end.paused = true;
        return socket.pause();
      case Act::resume:
        return resume(end);
      case Act::blink:
        return blink(end);
      case Act::timeout:
        if (!socket.set_timeout(10ms)) violate("set_timeout");
        ++timeouts_due_;
        return;
      case Act::cork:
        ++end.corks;
        return socket.cork();
      case Act::uncork:
        socket.uncork();
        if (--end.corks == 0) release(end);
        return;
      case Act::detach:
        return detach(end);
      case Act::pipe:
        return pipe(end);
      default:
        return;
    }
  }

  net::WriteDone on_written(End& end) {
    end.callbacks.push_back(++end.calls_made);
    return [this, &end, id = end.calls_made](Socket&, std::error_code code) {
      if (end.callbacks.empty() || end.callbacks.front() != id) violate("a callback out of order");
      std::erase(end.callbacks, id);
      end.calls->note(std::to_string(id) + "(" + trace_name(code) + ")");
    };
  }

  net::WriteDone on_ended(End& end) {
    ++end.end_callbacks;
    return [this, &end](Socket&, std::error_code code) {
      if (end.end_callbacks-- == 0) violate("a second callback of end()");
      end.calls->note("end(" + trace_name(code) + ")");
    };
  }

  std::string_view next_bytes(const End& end, std::size_t size) {
    return std::string_view(source()).substr(end.sent, size);
  }

  void write(const Step& step, End& end) {
    Socket& socket = *end.socket;
    const bool was_open = !socket.destroyed();
    for (unsigned i = 0; i < step.times; ++i) {
      const std::string_view bytes = next_bytes(end, step.size);
      const Write result = write_once(end, bytes, step.callback);
      if (step.callback && result == Write::refused) end.callbacks.pop_back();
      took(end, result, bytes.size());
    }
    if (end.corks == 0) release(end);
    if (was_open && socket.destroyed()) doom(step, end);
  }

  // Every other one as a Buffer.
  Write write_once(End& end, std::string_view bytes, bool callback) {
    Socket& socket = *end.socket;
    if (end.sent % 2 == 0) {
      return callback ? socket.write(bytes, on_written(end)) : socket.write(bytes);
    }
    Buffer buffer = Buffer::copy(bytes);
    const Write result = callback ? socket.write(std::move(buffer), on_written(end))
                                  : socket.write(std::move(buffer));
    const bool taken = result == Write::ok || result == Write::full;
    if (!taken && buffer.size() != bytes.size()) violate("a write that was not taken moved");
    if (taken && !bytes.empty() && !buffer.empty()) violate("a write that was taken did not move");
    return result;
  }

  void took(End& end, Write result, std::size_t size) {
    if (result == Write::closed) return end.calls->note("closed");
    if (result != Write::ok) end.needs_drain = true;
    if (result != Write::refused) end.sent += size;
    if (result == Write::ok && end.socket->writable_length() >= high_water(end)) {
      violate("ok at the high-water mark");
    }
    if (result == Write::full && end.socket->writable_length() < high_water(end)) {
      violate("full below the high-water mark");
    }
  }

  static std::size_t high_water(const End& end) {
    const std::size_t chosen = end.options->high_water;
    return chosen != 0 ? chosen : net::QueueLimits().high_water;
  }

  void end(const Step& step, End& end) {
    if (step.size != 0) {
      const std::string_view bytes = next_bytes(end, step.size);
      const Write result =
          end.socket->end(bytes, step.callback ? on_ended(end) : net::WriteDone());
      took(end, result, bytes.size());
      // Nothing of it is taken, the end neither.
      if (result == Write::refused && step.callback) --end.end_callbacks;
      if (result == Write::refused) return;
    } else if (step.callback) {
      end.socket->end(on_ended(end));
    } else {
      end.socket->end();
    }
    if (end.closed) return;
    end.ended = true;
    release(end);
  }

  void reset(const Step& step, End& end) {
    const auto result = end.socket->reset_and_destroy();
    if (!result) return end.calls->note("reset: " + trace_name(result.error().code));
    doom(step, end);
  }

  void resume(End& end) {
    if (!end.listens) listen_to_data(end);
    end.paused = false;
    end.socket->resume();
  }

  void blink(End& end) {
    end.socket->pause();
    if (std::exchange(end.paused, true)) return;
    end.blinking = true;
    stage_.reactor().defer([this, &end] {
      end.paused = end.blinking = false;
      if (end.socket != nullptr && !end.closed) resume(end);
    });
  }

  void pipe(End& end) {
    end.other->expect(std::string_view(source()).substr(0, end.other->released));
    listen_to_data(end);
    end.piped = true;
    net::pipe(*end.socket, *end.socket);
  }

  void detach(End& end) {
    end.detaching = true;
    const auto result = end.socket->detach([this, &end](Socket&, Expected<net::Detached> given) {
      end.detaching = false;
      if (given) return hand_over(end, *given);
      end.calls->note("detach: " + trace_name(given.error().code));
    });
    if (!result) violate("detach");
  }

  void hand_over(End& end, net::Detached& given) {
    End& shell = shells_.emplace_back();
    shell.shell = true;
    shell.options = end.options;
    shell.link = end.link;
    shell.track = &stage_.track("shell " + std::to_string(shells_.size()));
    shell.track->cut = true;
    end.socket->user_data = &shell;
    Socket& heir = add_socket(slot_of(end));
    heir.user_data = &end;
    end.socket = &heir;
    if (!heir.adopt(given.fd)) return violate("adopt");
    end.paused = false;
    listen_to_data(end);
    for (const Buffer& bytes : given.unread) came(end, bytes.view());
  }

  // What was corked is on its way.
  void release(End& end) {
    if (end.closed) return;
    End& other = *end.other;
    end.corks = 0;
    const std::string_view bytes =
        std::string_view(source()).substr(end.released, end.sent - end.released);
    end.released = end.sent;
    other.expect(bytes);
    if (other.piped) end.expect(bytes);
    if (other.waiting() > kKernelTakes) {
      end.stuffed_from = end.stuffed ? SIZE_MAX : end.socket->writable_length();
      end.stuffed = true;
    }
    // Who sends to a closed socket is answered with a reset.
    if (other.lost() && !bytes.empty()) end.doomed = end.link->cut = true;
  }

  // The end closes by its own doing; who closes with bytes unread sends a reset. In a handler the
  // other side's 'finish' may be under way then.
  void doom(const Step& step, End& end) {
    if (end.closed) return;
    End& other = *end.other;
    // After both FINs a TCP connection is over, and nothing resets it; what came can still be read.
    const bool over = !script_.over_unix && end.finished && other.finished;
    const bool cuts = !over && (step.act == Act::reset || end.waiting() != 0);
    end.gone = end.doomed = true;
    if (end.stuffed || other.stuffed) end.link->cut = end.link->vague = true;
    if (other.lost() || !cuts) return;
    end.link->cut = other.doomed = true;
    if (step.when != Moment::now && other.ended) end.link->vague = true;
  }

  // ---- Waiting ----

  bool settled(End& end) {
    End& other = *end.other;
    if (end.closed) return end.callbacks.empty() && end.end_callbacks == 0;
    if (end.doomed || !end.connected || end.detaching || end.blinking) return false;
    if (end.consuming() && !end.link->cut && !end.complete()) return false;
    // Half a character waits as bytes do.
    const bool told = end.consuming() || (end.waiting() == 0 && end.whole() && !end.link->cut);
    if ((other.gone || other.ending()) && told && !end.has_end) return false;
    if (end.stuffed) return end.socket->writable_length() < end.stuffed_from;
    if (end.ending()) return end.finished && !end.has_end;
    if (end.corks != 0) return true;
    return end.socket->writable_length() == 0 && !end.needs_drain && end.callbacks.empty();
  }

  bool settled() {
    bool all = timeouts_ >= timeouts_due_;
    bool open = false;
    for (Link& link : links_) {
      for (End& end : link.ends) {
        if (end.consuming()) end.other->stuffed = false;
      }
      for (End& end : link.ends) all = settled(end) && all;
      open = open || !link.ends[1].closed;
    }
    for (const End& shell : shells_) all = all && shell.closed;
    return all && (!server_closing_ || open || server_closed_);
  }

  void settle(const Step& step) {
    if (gave_up_) return;
    // A pause is in force when the receive that it cancels has ended. Until then bytes may still
    // come off the kernel, and closing a Unix socket with these makes no reset of a FIN.
    for (int turn = 0; turn < kTurnsOfAPause; ++turn) stage_.reactor().run_once(Duration::zero());
    if (stage_.await([this] { return settled(); })) return;
    gave_up_ = true;
    Script one;
    one.steps.push_back(step);
    violate("gave up waiting after" + text(one).substr(1));
  }

  template <class Do>
  void for_open_ends(Do&& act) {
    for (Link& link : links_) {
      for (End& end : link.ends) {
        if (end.socket != nullptr && !end.closed) act(end);
      }
    }
  }

  // Everybody reads, then ends; the server closes.
  void finish() {
    for (Slot& slot : slots_) slot.hook.reset();
    if (gave_up_) return;
    for_open_ends([this](End& end) {
      while (end.corks != 0) perform({.act = Act::uncork}, end);
      if (!end.consuming()) resume(end);
    });
    settle({.act = Act::resume});
    for_open_ends([this](End& end) {
      if (!end.piped && !end.ending()) perform({.act = Act::end}, end);
    });
    settle({.act = Act::end});
    for_open_ends([this](End&) { violate("both sides have ended and one is open"); });
    close_server();
    settle({.act = Act::server_close});
    if (stage_.reactor().counters().sockets != 0) violate("a socket is left");
  }

  void judge(End& end) {
    const Link& link = *end.link;
    // The last character may have been cut through.
    if (link.cut && end.options->text && end.has_end && end.received.ends_with("\ufffd") &&
        !end.expected.starts_with(end.received)) {
      end.received.resize(end.received.size() - 3);
    }
    const bool bytes_are_right = link.cut || end.gone ? end.expected.starts_with(end.received)
                                                      : end.received == end.expected;
    if (end.connected && !gave_up_ && !bytes_are_right) {
      violate(std::to_string(end.received.size()) + " bytes came, of " +
              std::to_string(end.expected.size()) + ", or others");
    }
    if (end.needs_drain && !end.ending() && !end.doomed) violate("no 'drain'");
    if (link.vague) std::erase(end.track->events, "finish");
    // What the kernel had taken by then is not promised.
    if (!link.cut) return;
    for (std::string& call : end.calls->events) call.resize(std::min(call.find('('), call.size()));
  }

  const Script& script_;
  Stage& stage_;
  std::deque<Link> links_;
  std::deque<End> shells_;
  std::array<Slot, kSlots> slots_;
  net::ConnectOptions to_;
  std::string broken_;
  unsigned timeouts_ = 0;
  unsigned timeouts_due_ = 0;
  bool server_closing_ = false;
  bool server_closed_ = false;
  bool gave_up_ = false;
  Server server_;
};

}  // namespace

Told run_script(const Script& script, Stage& stage) { return Runner(script, stage).run(); }

}  // namespace weir::test
