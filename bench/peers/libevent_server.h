// A libevent loop, and a listener on it.
#pragma once

#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "peer.h"

namespace peer {

// One thread runs it: it needs no locks. Changes of what is waited for are told to epoll once a
// turn, so that those which take each other back cost nothing: a fifth less CPU for a small HTTP
// request. libevent leaves that to its users, for no descriptor may be duplicated then.
inline event_base* make_base() {
  event_config* const config = event_config_new();
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
  event_base* const base = event_base_new_with_config(config);
  event_config_free(config);
  if (base == nullptr) fail("libevent", "no event base");
  return base;
}

// Listens, and says so.
inline evconnlistener* make_listener(event_base* base, const Options& options,
                                     evconnlistener_cb on_accept) {
  constexpr unsigned kFlags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
  sockaddr_un unix_address{};
  sockaddr_in address{};
  auto* name = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address;
  if (options.unix_path.empty()) {
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<in_port_t>(options.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  } else {
    if (options.unix_path.size() >= sizeof unix_address.sun_path) fail("bind", "too long a path");
    unix_address.sun_family = AF_UNIX;
    std::strcpy(unix_address.sun_path, options.unix_path.c_str());
    name = reinterpret_cast<sockaddr*>(&unix_address);
    length = sizeof unix_address;
  }
  evconnlistener* const listener = evconnlistener_new_bind(
      base, on_accept, nullptr, kFlags, kBacklog, name, static_cast<int>(length));
  if (listener == nullptr) fail("listen", std::strerror(errno));
  if (options.unix_path.empty()) {
    // Accepted sockets inherit it.
    const int one = 1;
    const int fd = evconnlistener_get_fd(listener);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    getsockname(fd, name, &length);
  }
  announce(options, ntohs(address.sin_port), "libevent", event_get_version());
  return listener;
}

}  // namespace peer
