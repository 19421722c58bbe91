// A libuv loop that listens.
#pragma once

#include <netinet/in.h>
#include <uv.h>

#include "peer.h"

namespace peer {

// A connection, or what listens for them: a TCP or a Unix socket.
struct UvStream {
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  };

  void open(uv_loop_t* loop, bool is_unix) {
    if (is_unix) {
      uv_pipe_init(loop, &pipe, 0);
    } else {
      uv_tcp_init(loop, &tcp);
    }
    handle.data = this;
  }
};

inline void check(const char* what, int result) {
  if (result < 0) fail(what, uv_strerror(result));
}

// The kernel's choice. `listener` is bound.
inline int port_of(const UvStream& listener) {
  sockaddr_in address{};
  int length = sizeof address;
  check("getsockname", uv_tcp_getsockname(&listener.tcp, reinterpret_cast<sockaddr*>(&address),
                                          &length));
  return ntohs(address.sin_port);
}

// A Connection is a UvStream, with a start() that is called when it is connected, and deletes
// itself.
template <class Connection>
void accept_one(uv_stream_t* listener, int status) {
  if (status < 0) return;
  auto* const connection = new Connection;
  connection->open(listener->loop, listener->type == UV_NAMED_PIPE);
  uv_accept(listener, &connection->stream);
  if (listener->type == UV_TCP) uv_tcp_nodelay(&connection->tcp, 1);
  connection->start();
}

template <class Connection>
int serve(const Options& options) {
  prepare_signals();
  uv_loop_t* const loop = uv_default_loop();
  UvStream listener;
  const bool is_unix = !options.unix_path.empty();
  listener.open(loop, is_unix);
  if (is_unix) {
    check("bind", uv_pipe_bind(&listener.pipe, options.unix_path.c_str()));
  } else {
    sockaddr_in address{};
    check("address", uv_ip4_addr("127.0.0.1", options.port, &address));
    check("bind", uv_tcp_bind(&listener.tcp, reinterpret_cast<sockaddr*>(&address), 0));
  }
  check("listen", uv_listen(&listener.stream, kBacklog, accept_one<Connection>));
  announce(options, is_unix ? 0 : port_of(listener), "libuv", uv_version_string());
  return uv_run(loop, UV_RUN_DEFAULT);
}

}  // namespace peer
