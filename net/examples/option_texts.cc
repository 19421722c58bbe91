// What the manual says of options, each tried on a server and a client of its own.
#include <chrono>
#include <cstdlib>
#include <string>
#include <utility>

#include "net/examples/program.h"
#include "weir/net/ip.h"

using weir::Buffer;
using weir::Reactor;
using weir::example::Program;
using weir::example::say;
using weir::net::ConnectOptions;
using weir::net::ListenAt;
using weir::net::Server;
using weir::net::Socket;
using weir::net::Write;

namespace {

const char* yes_or_no(bool yes) { return yes ? "yes" : "no"; }

// A server for one client, which it does not outlive.
ConnectOptions listen(Server& server) {
  server.on_error(&weir::example::complain);
  server.on_close([&server](Socket&, std::error_code) { server.close(); });
  auto bound = server.listen(ListenAt{.port = 0, .host = "127.0.0.1"});
  if (!bound) std::exit(weir::fail(bound.error()));
  return {.host = "127.0.0.1", .port = bound->port()};
}

void connect(Socket& client, ConnectOptions peer) {
  client.on_error(&weir::example::complain);
  if (auto started = client.connect(std::move(peer)); !started) {
    std::exit(weir::fail(started.error()));
  }
}

void half_open(Reactor& reactor) {
  Server server(reactor, {.socket = {.allow_half_open = true}});
  server.on_data([](Socket&, Buffer) {});
  server.on_end([](Socket& socket) { socket.end("after your end"); });
  Socket client(reactor);
  client.on_data([](Socket&, Buffer data) { say("allowHalfOpen: ", data.view()); });
  connect(client, listen(server));
  client.end("question");
  reactor.run();
}

void max_connections(Reactor& reactor) {
  Server server(reactor, {.max_connections = 1});
  Socket first(reactor);
  Socket second(reactor);
  server.on_drop([&](Server&, const weir::net::Drop&) { say("maxConnections: one was dropped"); });
  const ConnectOptions peer = listen(server);
  server.on_connection([&](Socket&) { connect(second, peer); });
  second.resume();
  second.on_close([&](Socket&, std::error_code) {
    say("maxConnections: the second is closed, the first ", name_of(first.ready_state()));
    first.end();
  });
  first.resume();
  connect(first, peer);
  reactor.run();
}

void no_timeout(Reactor& reactor) {
  Server server(reactor);
  Socket client(reactor);
  client.on_timeout([](Socket&) { say("setTimeout: it fired"); });
  client.set_timeout(std::chrono::milliseconds(1));
  client.set_timeout(std::chrono::milliseconds(0));
  weir::Timer later;
  client.on_connect([&](Socket& socket) {
    later = reactor.after(std::chrono::milliseconds(20), [&] {
      say("setTimeout 0: ", socket.timeout().count(), ", and nothing came");
      socket.end();
    });
  });
  client.resume();
  server.on_data([](Socket&, Buffer) {});
  connect(client, listen(server));
  reactor.run();
}

void no_delay_and_keep_alive(Reactor& reactor) {
  Server server(reactor);
  server.on_data([](Socket&, Buffer) {});
  Socket client(reactor);
  client.set_no_delay();
  client.set_keep_alive(true, std::chrono::seconds(60));
  client.resume();
  client.on_connect([](Socket& socket) {
    socket.set_no_delay(false);
    socket.set_keep_alive(false);
    say("setNoDelay, setKeepAlive: before and after connecting");
    socket.end();
  });
  connect(client, listen(server));
  reactor.run();
}

void local_address(Reactor& reactor) {
  Server server(reactor);
  server.on_connection([](Socket& socket) {
    say("localAddress: the server sees ", socket.remote_address().host());
    socket.end();
  });
  Socket client(reactor);
  client.resume();
  ConnectOptions peer = listen(server);
  peer.local_address = "127.0.0.2";
  connect(client, peer);
  reactor.run();
}

// The sender stops when its queue is full, and the receiver now and then.
void throttle(Reactor& reactor) {
  constexpr std::uint64_t kBytes = 4 << 20;
  Server server(reactor);
  weir::Timer pause;
  bool paused = false;
  server.on_data([&](Socket& socket, Buffer) {
    if (std::exchange(paused, true)) return;
    socket.pause();
    pause = reactor.after(std::chrono::milliseconds(10), [peer = socket.weak()] {
      if (Socket* const alive = peer.get()) alive->resume();
    });
  });
  server.on_end([](Socket& socket) { say("pause, resume: ", socket.bytes_read(), " bytes"); });
  Socket client(reactor);
  const auto write_more = [](Socket& socket) {
    while (socket.bytes_written() < kBytes) {
      if (socket.write(std::string(65536, '.')) != Write::ok) return;
    }
    socket.end();
  };
  client.resume();
  client.on_connect(write_more);
  client.on_drain(write_more);
  connect(client, listen(server));
  reactor.run();
}

void had_error(Reactor& reactor, bool reset) {
  Server server(reactor);
  server.on_data([reset](Socket& socket, Buffer) {
    if (!reset) return socket.end();
    if (auto done = socket.reset_and_destroy(); !done) std::exit(weir::fail(done.error()));
  });
  Socket client(reactor);
  client.resume();
  client.on_close([](Socket&, std::error_code error) {
    say("close: had_error ", yes_or_no(static_cast<bool>(error)));
  });
  const ConnectOptions peer = listen(server);
  client.on_error([](Socket&, const weir::Error& error) { say("error: ", error.message()); });
  if (auto started = client.connect(peer); !started) std::exit(weir::fail(started.error()));
  client.write("question");
  reactor.run();
}

void is_ip() {
  for (const char* text : {"127.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%eth0", "1.2.3",
                           "1.2.3.04", "[::1]", "localhost", ""}) {
    say("isIP '", text, "': ", weir::net::is_ip(text));
  }
}

void unref(Reactor& reactor) {
  Server server(reactor);
  listen(server);
  server.unref();
  reactor.run();
  say("unref: the program ends, listening ", yes_or_no(server.listening()));
}

}  // namespace

int main(int argc, char** argv) {
  Program program(argc, argv, "Tries the options of the manual.", {});
  Reactor& reactor = program.reactor();
  half_open(reactor);
  max_connections(reactor);
  no_timeout(reactor);
  no_delay_and_keep_alive(reactor);
  local_address(reactor);
  throttle(reactor);
  had_error(reactor, false);
  had_error(reactor, true);
  is_ip();
  unref(reactor);
  return 0;
}
