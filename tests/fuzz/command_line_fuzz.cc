// Command lines of the example programs and of those that compare: the input's lines are arguments.
// CLI11 takes them apart; what is ours says which values are good, keeps every one that is not from
// the program, and never lets an exception out. What was taken is taken again when it is written
// down plainly.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "bench/flags.h"
#include "net/examples/server_flags.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

constexpr double kSecondsMax = 1e6;

// What the programs print is not to be seen.
class Quiet {
 public:
  Quiet() : cout_(std::cout.rdbuf(text_.rdbuf())), stderr_(dup(2)) {
    static const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, 2);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
  ~Quiet() {
    std::cout.rdbuf(cout_);
    dup2(stderr_, 2);
    close(stderr_);
  }

 private:
  std::ostringstream text_;
  std::streambuf* cout_;
  int stderr_;
};

struct Values {
  example::ServerFlags server;
  double seconds = 0;
  int rounds = 5;
  bool quick = false;
  // Nothing: the program goes on.
  std::optional<int> exit_code;
};

using Arguments = std::vector<std::string>;

template <class Parse>
std::optional<int> parse(Arguments arguments, const Parse& parse_them) {
  arguments.insert(arguments.begin(), "program");
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  const Quiet quiet;
  return parse_them(static_cast<int>(pointers.size()), pointers.data());
}

Values take_server(const Arguments& arguments) {
  Values values;
  CLI::App app("A server");
  example::describe_server(app, values.server);
  example::describe_unix(app, values.server.unix_path);
  app.add_option("--seconds", values.seconds, "a time")
      ->check(example::seconds_up_to(kSecondsMax));
  values.exit_code = parse(arguments, [&](int argc, char** argv) {
    const auto exit_code = example::parse(app, argc, argv);
    return exit_code ? exit_code : example::check_unix(values.server);
  });
  return values;
}

Values take_bench(const Arguments& arguments) {
  Values values;
  CLI::App app("A comparison");
  bench::add_pace(app, values.rounds, "rounds", values.quick);
  values.exit_code = parse(arguments, [&](int argc, char** argv) {
    return bench::parse(app, "program", argc, argv);
  });
  return values;
}

// ---- What has been taken ----

std::string flag_of(BackendKind kind) {
  if (kind == BackendKind::automatic) return "auto";
  WEIR_ASSERT(kind == BackendKind::io_uring || kind == BackendKind::epoll);
  return kind == BackendKind::epoll ? "epoll" : "io_uring";
}

void check_server(const Values& values) {
  WEIR_ASSERT(!values.exit_code || *values.exit_code == 0 || *values.exit_code == 2);
  if (values.exit_code) return;
  const example::ServerFlags& server = values.server;
  WEIR_ASSERT(server.port >= 0 && server.port <= 65535);
  WEIR_ASSERT(server.threads >= 1 && server.threads <= 256);
  WEIR_ASSERT(server.threads == 1 || server.unix_path.empty() || server.balance);
  WEIR_ASSERT(values.seconds >= 0 && values.seconds <= kSecondsMax);
  std::ostringstream seconds;
  seconds.precision(20);
  seconds << values.seconds;
  Arguments plain = {"--port=" + std::to_string(server.port),
                     "--backend=" + flag_of(server.backend),
                     "--threads=" + std::to_string(server.threads), "--seconds=" + seconds.str()};
  if (!server.host.empty()) plain.push_back("--host=" + server.host);
  if (!server.unix_path.empty()) plain.push_back("--unix=" + server.unix_path);
  if (server.balance) plain.emplace_back("--balance");
  if (server.pin) plain.emplace_back("--pin");
  const Values again = take_server(plain);
  WEIR_ASSERT(!again.exit_code);
  WEIR_ASSERT(again.server.port == server.port && again.server.threads == server.threads);
  WEIR_ASSERT(again.server.backend == server.backend && again.seconds == values.seconds);
  WEIR_ASSERT(again.server.host == server.host && again.server.unix_path == server.unix_path);
  WEIR_ASSERT(again.server.balance == server.balance && again.server.pin == server.pin);
}

// ---- What has to be taken, and what not ----

// The digits of a number as everybody writes it.
std::optional<long> read_number(std::string_view text) {
  const bool plain = !text.empty() && text.size() < 10 && (text == "0" || text[0] != '0') &&
                     text.find_first_not_of("0123456789") == text.npos;
  return plain ? std::optional(std::stol(std::string(text))) : std::nullopt;
}

// Of "--name=value": whether it has to be taken; nothing where CLI11 has ways of its own.
std::optional<bool> is_good(std::string_view name, std::string_view value) {
  if (name == "--backend") return value == "auto" || value == "io_uring" || value == "epoll";
  const auto number = read_number(value);
  if (!number) {
    const bool no_number = value.find_first_of("0123456789xX'") == value.npos;
    const bool wants_number = name == "--port" || name == "--threads" || name == "--rounds";
    return no_number && wants_number ? std::optional(false) : std::nullopt;
  }
  if (name == "--port") return *number <= 65535;
  if (name == "--threads") return *number >= 1 && *number <= 256;
  if (name == "--seconds") return static_cast<double>(*number) <= kSecondsMax;
  if (name == "--rounds") return *number >= 1 && *number <= 1000;
  return std::nullopt;
}

void check_alone(const std::string& argument) {
  const std::size_t equals = argument.find('=');
  if (equals == argument.npos || equals + 1 == argument.size()) return;
  const std::string_view name = std::string_view(argument).substr(0, equals);
  const auto good = is_good(name, std::string_view(argument).substr(equals + 1));
  if (!good) return;
  const Values values = name == "--rounds" ? take_bench({argument}) : take_server({argument});
  WEIR_ASSERT(values.exit_code == (*good ? std::nullopt : std::optional(2)));
}

void try_bytes(std::string_view bytes) {
  Arguments arguments;
  while (!bytes.empty() && arguments.size() < 8) {
    std::string line(bytes.substr(0, bytes.find('\n')));
    bytes.remove_prefix(std::min(line.size() + 1, bytes.size()));
    line.resize(std::min(line.find('\0'), line.size()));  // an argument ends there
    arguments.push_back(line);
  }
  for (const std::string& argument : arguments) check_alone(argument);
  check_server(take_server(arguments));
  const Values bench = take_bench(arguments);
  WEIR_ASSERT(bench.exit_code || (bench.rounds >= 1 && bench.rounds <= 1000));
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
