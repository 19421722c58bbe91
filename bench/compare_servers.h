#pragma once

#include <string>
#include <string_view>
#include <vector>

// Who takes part in a comparison: weir on each backend, the bare loops, and servers on other
// libraries.
namespace weir::bench {

enum class Speaks : unsigned char { echo, http };

struct Contender {
  enum class Kind : unsigned char { weir, floor, peer };

  std::string name;
  Kind kind = Kind::peer;
  // The contender that does as little as can be done by the same means; empty: none.
  std::string floor;
  // Complete but for --port or --unix; empty: it does not speak this.
  std::vector<std::string> echo;
  std::vector<std::string> http;
  // What makes its echo server spin in the place of waiting; empty: it cannot.
  std::vector<std::string> spin;
  // The same only where that is likely to pay; empty: it cannot.
  std::vector<std::string> spin_adaptive;
  // Its HTTP server has the files below /static/.
  bool has_files = false;
  // Of the library; empty for what is built with the benchmark.
  std::string version;

  const std::vector<std::string>& command(Speaks what) const {
    return what == Speaks::echo ? echo : http;
  }
};

struct ComparePrograms {
  std::string echo_server;
  std::string demo_server;
  std::string floor_epoll;
  std::string floor_uring;
  std::string floor_http;
  std::string nginx_static;
  // Directory with the peers' sources.
  std::string peers;
};

struct Contenders {
  // Neighbours in the list are neighbours in time.
  std::vector<Contender> all;
  // Who is missing, and why: a line each.
  std::vector<std::string> skipped;
};

// A second copy of weir on epoll stands among them under the name kAgain: how far its ratio to the
// first is from 1 is what a ratio is worth. `work` is a directory for what is built, `root` one
// with files to serve.
inline constexpr std::string_view kAgain = "weir epoll again";
Contenders find_contenders(const ComparePrograms& programs, const std::string& work,
                           const std::string& root);

}  // namespace weir::bench
