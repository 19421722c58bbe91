// What the example programs share: flags, a reactor, whole lines on stdout, and an orderly end.
#pragma once

#include <chrono>
#include <initializer_list>
#include <iostream>
#include <string>
#include <string_view>
#include <variant>

#include "weir/net/server.h"
#include "weir/reactor/reactor.h"

namespace weir::example {

// What a server's clients are given to take what is still queued for them.
inline constexpr auto kPatience = std::chrono::seconds(2);

// Every program has --port, --host, --path and --backend.
struct Flags {
  int port = 0;
  std::string host = {};  // empty: every address for a server, localhost for a client
  std::string path = {};  // of a Unix socket, in the place of host and port
  BackendKind backend = BackendKind::automatic;
};

// One of a program's own; `target` holds its default.
struct Flag {
  const char* name;
  std::variant<bool*, int*, std::string*> target;
  const char* meaning;
};

class Program {
 public:
  // Ends the process after --help, and with 2 when the command line is wrong.
  Program(int argc, char** argv, const char* about, Flags defaults,
          std::initializer_list<Flag> more = {});
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  const Flags& flags() const { return flags_; }
  Reactor& reactor() { return reactor_; }
  net::ListenAt place() const;      // where a server listens
  net::ConnectOptions peer() const;  // what a client connects to

  // Calls `close` on SIGINT and SIGTERM: it closes what keeps run() going.
  void at_interrupt(Function<void()> close);
  // Until nothing is left that could happen.
  int run();

 private:
  Flags flags_;
  Reactor reactor_;
  Function<void()> close_;
};

// A line on stdout, at once.
template <class... Parts>
void say(const Parts&... parts) {
  (std::cout << ... << parts) << '\n' << std::flush;
}

// Listeners for 'error'; without any it goes to Reactor::on_unhandled_error.
void complain(net::Socket&, const Error& error);

// "127.0.0.1:8107", "::1:8107": without brackets, as the tutorials print it.
std::string ip_and_port(const Address& address);

// A JSON string; control characters as \u0009.
std::string in_quotes(std::string_view text);

// What Node prints with JSON.stringify: {"address":"::","family":"IPv6","port":8107}, a path in
// quotes, or null; and {"errno":-104,"code":"ECONNRESET","syscall":"read"}, for example.
std::string json_of(const Address& address);
std::string json_of(const Error& error);

}  // namespace weir::example
