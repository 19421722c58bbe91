// A standalone Asio io_context that listens. Compiled as it is, Asio stands on epoll; with
// ASIO_HAS_IO_URING and ASIO_DISABLE_EPOLL on io_uring.
#pragma once

#include <asio.hpp>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "peer.h"

namespace peer {

#ifdef ASIO_HAS_IO_URING
inline constexpr const char* kAsioName = "asio io_uring";
#else
inline constexpr const char* kAsioName = "asio";
#endif

inline std::string asio_version() {
  return std::to_string(ASIO_VERSION / 100000) + "." + std::to_string(ASIO_VERSION / 100 % 1000) +
         "." + std::to_string(ASIO_VERSION % 100);
}

// `Session` takes the socket, and has a start().
template <class Session, class Acceptor>
void accept_on(Acceptor& acceptor) {
  acceptor.async_accept([&acceptor](std::error_code error, auto socket) {
    if (!error) std::make_shared<Session>(std::move(socket))->start();
    accept_on<Session>(acceptor);
  });
}

// One thread runs it, and nobody else knows it: it needs no locks.
inline asio::io_context& context() {
  static asio::io_context one(ASIO_CONCURRENCY_HINT_UNSAFE);
  return one;
}

template <class Session>
int serve_tcp(const Options& options) {
  using asio::ip::tcp;
  prepare_signals();
  const tcp::endpoint where(asio::ip::address_v4::loopback(),
                            static_cast<unsigned short>(options.port));
  tcp::acceptor acceptor(context(), where.protocol());
  acceptor.set_option(tcp::acceptor::reuse_address(true));
  // Accepted sockets inherit it.
  acceptor.set_option(tcp::no_delay(true));
  acceptor.bind(where);
  acceptor.listen(kBacklog);
  announce(options, acceptor.local_endpoint().port(), kAsioName, asio_version());
  accept_on<Session>(acceptor);
  context().run();
  return 0;
}

template <class Session>
int serve_unix(const Options& options) {
  using asio::local::stream_protocol;
  prepare_signals();
  stream_protocol::acceptor acceptor(context(), stream_protocol());
  acceptor.bind(stream_protocol::endpoint(options.unix_path));
  acceptor.listen(kBacklog);
  announce(options, 0, kAsioName, asio_version());
  accept_on<Session>(acceptor);
  context().run();
  return 0;
}

// What cannot be had at the start is told.
template <class Serve>
int run(Serve serve) {
  try {
    return serve();
  } catch (const std::system_error& error) {
    fail(kAsioName, error.what());
  }
}

}  // namespace peer
