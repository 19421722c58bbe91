// Echo on libevent's bufferevents: the bytes move from the input to the output without a copy. How
// much of a socket is read at a time libevent 2.1 does not let one choose: 4 KiB.
#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "libevent_server.h"

namespace peer {
namespace {

// With so much to send nothing more is read; it goes on when all is sent.
void on_read(bufferevent* connection, void*) {
  evbuffer* const output = bufferevent_get_output(connection);
  evbuffer_add_buffer(output, bufferevent_get_input(connection));
  if (evbuffer_get_length(output) >= kReadBuffer) bufferevent_disable(connection, EV_READ);
}

void on_written(bufferevent* connection, void*) {
  if ((bufferevent_get_enabled(connection) & EV_READ) == 0) {
    bufferevent_enable(connection, EV_READ);
  }
}

// What is still to be sent goes before the connection does.
void on_event(bufferevent* connection, short what, void*) {
  const bool has_more = evbuffer_get_length(bufferevent_get_output(connection)) > 0;
  if ((what & BEV_EVENT_EOF) == 0 || !has_more) return bufferevent_free(connection);
  bufferevent_disable(connection, EV_READ);
  bufferevent_setcb(
      connection, nullptr, [](bufferevent* done, void*) { bufferevent_free(done); },
      [](bufferevent* broken, short, void*) { bufferevent_free(broken); }, nullptr);
}

void on_accept(evconnlistener* listener, evutil_socket_t fd, sockaddr*, int, void*) {
  bufferevent* const connection =
      bufferevent_socket_new(evconnlistener_get_base(listener), fd, BEV_OPT_CLOSE_ON_FREE);
  bufferevent_set_max_single_read(connection, kReadBuffer);
  bufferevent_set_max_single_write(connection, kReadBuffer);
  bufferevent_setcb(connection, on_read, on_written, on_event, nullptr);
  bufferevent_enable(connection, EV_READ | EV_WRITE);
}

}  // namespace
}  // namespace peer

int main(int argc, char** argv) {
  const peer::Options options = peer::parse(argc, argv, event_get_version());
  peer::prepare_signals();
  event_base* const base = peer::make_base();
  peer::make_listener(base, options, peer::on_accept);
  return event_base_dispatch(base);
}
