#include "net/examples/program.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "net/examples/server_flags.h"

namespace weir::example {
namespace {

void describe(CLI::App& app, Flags& flags, std::initializer_list<Flag> more) {
  app.add_option("--port", flags.port, "TCP port")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app.add_option("--host", flags.host, "address; a server's default: all, a client's: localhost");
  app.add_option("--path", flags.path, "path of a Unix socket, in the place of host and port");
  describe_backend(app, flags.backend);
  for (const Flag& flag : more) {
    if (bool* const* on = std::get_if<bool*>(&flag.target)) {
      app.add_flag(flag.name, **on, flag.meaning);
    } else if (int* const* number = std::get_if<int*>(&flag.target)) {
      app.add_option(flag.name, **number, flag.meaning)
          ->check(CLI::NonNegativeNumber)
          ->capture_default_str();
    } else {
      app.add_option(flag.name, *std::get<std::string*>(flag.target), flag.meaning);
    }
  }
}

Flags parse(int argc, char** argv, const char* about, Flags flags,
            std::initializer_list<Flag> more) {
  CLI::App app(about);
  try {
    describe(app, flags, more);
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) std::exit(app.exit(error));
    std::cerr << "error: " << error.what() << "; see --help\n";
    std::exit(2);
  }
  return flags;
}

// The number that Node gives; lookups have no errno value, so it has made some up.
int number_in_node(const Error& error) {
  if (error.code == ResolveError::try_again) return -3001;
  if (error.code == ResolveError::failed) return -3004;
  if (error.code == ResolveError::no_memory) return -3006;
  if (error.code == ResolveError::not_found) return -3008;
  return error.number();
}

// Members of a JSON object, in the order in which they are added.
class Members {
 public:
  void add(std::string_view name, const std::string& json) {
    text_ += (text_.empty() ? "" : ",") + in_quotes(name) + ":" + json;
  }
  std::string object() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

}  // namespace

Program::Program(int argc, char** argv, const char* about, Flags defaults,
                 std::initializer_list<Flag> more)
    : flags_(parse(argc, argv, about, std::move(defaults), more)),
      reactor_({.backend = flags_.backend}) {}

net::ListenAt Program::place() const {
  return {.port = flags_.port, .host = flags_.host, .path = flags_.path};
}

net::ConnectOptions Program::peer() const {
  const std::string& host = flags_.host.empty() ? "localhost" : flags_.host;
  return {.host = host, .port = flags_.port, .path = flags_.path};
}

void Program::at_interrupt(Function<void()> close) {
  close_ = std::move(close);
  for (const int signal : {SIGINT, SIGTERM}) {
    const auto set = reactor_.on_signal(signal, [this](int) { close_(); });
    if (!set) std::exit(fail(set.error()));
  }
}

int Program::run() {
  reactor_.run();
  return 0;
}

void complain(net::Socket&, const Error& error) {
  std::cerr << "error: " << error.message() << '\n';
}

std::string ip_and_port(const Address& address) {
  return address.ip().ip() + ":" + std::to_string(address.port());
}

std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c >= '\0' && c < ' ') {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      result += escape;
      continue;
    }
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

std::string json_of(const Address& address) {
  if (address.is_unix()) return in_quotes(address.path());
  if (address.family() == Family::none) return "null";
  Members members;
  members.add("address", in_quotes(address.ip().ip()));
  members.add("family", address.family() == Family::ipv6 ? "\"IPv6\"" : "\"IPv4\"");
  members.add("port", std::to_string(address.port()));
  return members.object();
}

std::string json_of(const Error& error) {
  Members members;
  const std::string code = in_quotes(name_of(error.code));
  const std::string_view syscall = error.syscall;
  // Node makes those of listen() in another place.
  if (syscall == "listen" || !error.errors.empty()) members.add("code", code);
  if (!error.errors.empty()) return members.object();
  const int number = number_in_node(error);
  if (number != 0) members.add("errno", std::to_string(number));
  if (syscall != "listen") members.add("code", code);
  if (!syscall.empty()) members.add("syscall", in_quotes(syscall));
  if (!error.host.empty()) members.add("hostname", in_quotes(error.host));
  if (error.address.is_unix()) {
    members.add("address", in_quotes(error.address.path()));
    if (syscall == "listen") members.add("port", "-1");
  } else if (error.address.family() != Family::none) {
    members.add("address", in_quotes(error.address.ip().ip()));
    members.add("port", std::to_string(error.address.port()));
  }
  return members.object();
}

}  // namespace weir::example
