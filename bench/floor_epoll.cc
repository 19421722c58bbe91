// The bare epoll echo server: floor_epoll.h, which answers with what has come.

#include "bench/floor_epoll.h"

namespace weir::bench {
namespace {

struct Echo {
  struct State {};
  static std::string_view answer(State&, std::string_view bytes) { return bytes; }
};

int run(int argc, char** argv) {
  FloorOptions options;
  if (const auto code = parse_floor_flags(argc, argv, "Bare epoll echo server", options)) {
    return *code;
  }
  exit_on_signals();
  const int listener = open_floor_listener(options);
  if (listener < 0) return 1;
  return EpollFloor<Echo>("floor_epoll", listener, options.spin).run();
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::run(argc, argv); }
