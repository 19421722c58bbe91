// The bare io_uring echo server: floor_uring.h, which answers with what has come.

#include "bench/floor_uring.h"

namespace weir::bench {
namespace {

struct Echo {
  struct State {};
  static void answer(State&, std::vector<iovec>&) {}
};

int run(int argc, char** argv) {
  FloorOptions options;
  if (const auto code = parse_floor_flags(argc, argv, "Bare io_uring echo server", options)) {
    return *code;
  }
  exit_on_signals();
  const int listener = open_floor_listener(options);
  if (listener < 0) return 1;
  return UringFloor<Echo>("floor_uring", listener, options.spin).run();
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::run(argc, argv); }
