// The events of sockets, and how listeners are registered for them.
#pragma once

#include <system_error>
#include <utility>

#include "weir/net/event.h"
#include "weir/net/socket_options.h"
#include "weir/reactor/buffer.h"
#include "weir/reactor/error.h"

namespace weir::inline v1::net {

class Socket;

enum class Times : std::uint8_t { always, once };

// The listeners of a socket, or of all sockets of a server.
struct SocketEvents {
  Event<Socket&, const LookupResult&> lookup;
  Event<Socket&, const Address&> connection_attempt;
  Event<Socket&, const Error&> connection_attempt_failed;
  Event<Socket&, const Address&> connection_attempt_timeout;
  Event<Socket&> connect;
  Event<Socket&> ready;
  Event<Socket&, Buffer> data;
  Event<Socket&, int> descriptor;
  Event<Socket&> end;
  Event<Socket&> drain;
  Event<Socket&> finish;
  Event<Socket&> timeout;
  Event<Socket&, const Error&> error;
  Event<Socket&, std::error_code> close;

  void remove(ListenerId id) noexcept;
};

// The events, common to Socket (for one) and Server (for all its sockets). Listeners run in the
// order of registration, a server's before the socket's own, never inside the call that causes
// them, and may do anything to any socket, also destroy this one.
template <class Self>
class SocketListeners {
 public:
  // An address of the host's name was found; once for each, before any attempt. Or none was.
  // These four come only while a socket of the user's connects.
  ListenerId on_lookup(Function<void(Socket&, const LookupResult&)> call,
                       Times times = Times::always) {
    return events().lookup.add(std::move(call), times == Times::once);
  }
  ListenerId on_connection_attempt(Function<void(Socket&, const Address&)> call,
                                   Times times = Times::always) {
    return events().connection_attempt.add(std::move(call), times == Times::once);
  }
  // One attempt has failed; the next address is tried, or 'error' follows.
  ListenerId on_connection_attempt_failed(Function<void(Socket&, const Error&)> call,
                                          Times times = Times::always) {
    return events().connection_attempt_failed.add(std::move(call), times == Times::once);
  }
  // It took longer than attempt_timeout; the next address is tried.
  ListenerId on_connection_attempt_timeout(Function<void(Socket&, const Address&)> call,
                                           Times times = Times::always) {
    return events().connection_attempt_timeout.add(std::move(call), times == Times::once);
  }
  // The connection stands; before any data. Not for accepted sockets.
  ListenerId on_connect(Function<void(Socket&)> call, Times times = Times::always) {
    return events().connect.add(std::move(call), times == Times::once);
  }
  // Right after 'connect'.
  ListenerId on_ready(Function<void(Socket&)> call, Times times = Times::always) {
    return events().ready.add(std::move(call), times == Times::once);
  }
  // Received bytes, or UTF-8 text after set_encoding(); several listeners share the memory. Nothing
  // is read before there is a listener or resume() was called: a connection whose data nobody
  // consumes never ends.
  ListenerId on_data(Function<void(Socket&, Buffer)> call, Times times = Times::always) {
    const ListenerId id = events().data.add(std::move(call), times == Times::once);
    static_cast<Self&>(*this).data_listener_added();
    return id;
  }
  // A descriptor that the peer passed over a Unix socket (see Socket::receive_descriptors), before
  // the 'data' that it came with. It is the listener's (the last one's); without one it is closed.
  ListenerId on_descriptor(Function<void(Socket&, int)> call, Times times = Times::always) {
    return events().descriptor.add(std::move(call), times == Times::once);
  }
  // The peer's FIN, after all data.
  ListenerId on_end(Function<void(Socket&)> call, Times times = Times::always) {
    return events().end.add(std::move(call), times == Times::once);
  }
  // Exactly once for each period from the first `full` or `refused` until the queue has reached the
  // low-water mark.
  ListenerId on_drain(Function<void(Socket&)> call, Times times = Times::always) {
    return events().drain.add(std::move(call), times == Times::once);
  }
  // After end(): everything was handed to the kernel, and our FIN sent.
  ListenerId on_finish(Function<void(Socket&)> call, Times times = Times::always) {
    return events().finish.add(std::move(call), times == Times::once);
  }
  // No activity for the time of set_timeout(). Only a notice.
  ListenerId on_timeout(Function<void(Socket&)> call, Times times = Times::always) {
    return events().timeout.add(std::move(call), times == Times::once);
  }
  // Before 'close'. Without a listener it goes to Reactor::on_unhandled_error.
  ListenerId on_error(Function<void(Socket&, const Error&)> call, Times times = Times::always) {
    return events().error.add(std::move(call), times == Times::once);
  }
  // Exactly once for each connection, and last; with the error that ended it, or none.
  ListenerId on_close(Function<void(Socket&, std::error_code)> call,
                      Times times = Times::always) {
    return events().close.add(std::move(call), times == Times::once);
  }
  // Removes a listener; harmless when it has gone. One that is removed while its event is being
  // emitted still runs for that emission.
  void off(ListenerId id) noexcept { static_cast<Self&>(*this).remove_listener(id); }

 private:
  SocketEvents& events() { return static_cast<Self&>(*this).own_events(); }
};

}  // namespace weir::inline v1::net
