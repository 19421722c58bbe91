// The least that an HTTP server can do: the bare loops of floor_epoll.h and floor_uring.h, which
// answer each end of a head with the same bytes. Nothing else of a request is looked at, so it may
// have no body, and a connection lasts until the client ends it.

#include <sys/uio.h>
#include <time.h>

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "bench/floor_epoll.h"
#include "bench/floor_uring.h"

namespace weir::bench {
namespace {

constexpr std::string_view kEndOfHead = "\r\n\r\n";

class Hello {
 public:
  // How much of kEndOfHead the bytes so far end with.
  struct State {
    std::size_t matched = 0;
  };

  // The responses to what came leave in one send. A part of a request has none: the send of no
  // bytes that follows is rare.
  std::string_view answer(State& state, std::string_view bytes) {
    begin();
    respond(count_requests(state, bytes));
    return responses_;
  }

  void answer(State& state, std::vector<iovec>& pieces) {
    begin();
    for (const iovec& piece : pieces) {
      respond(count_requests(state, {static_cast<const char*>(piece.iov_base), piece.iov_len}));
    }
    pieces.clear();
    if (!responses_.empty()) pieces.push_back({responses_.data(), responses_.size()});
  }

 private:
  static std::size_t count_requests(State& state, std::string_view bytes) {
    std::size_t count = 0;
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      if (state.matched == 0) {
        at = bytes.find('\r', at);
        if (at == std::string_view::npos) break;
      }
      if (bytes[at] == kEndOfHead[state.matched]) {
        ++state.matched;
      } else {
        state.matched = bytes[at] == '\r' ? 1 : 0;
      }
      if (state.matched == kEndOfHead.size()) {
        state.matched = 0;
        ++count;
      }
    }
    return count;
  }

  // The date is as old as the clock's last tick, and written once a second.
  void begin() {
    responses_.clear();
    timespec now{};
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec == second_) return;
    second_ = now.tv_sec;
    tm parts{};
    gmtime_r(&second_, &parts);
    std::array<char, 64> date{};
    strftime(date.data(), date.size(), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &parts);
    response_ = "HTTP/1.1 200 OK\r\n";
    response_.append(date.data());
    response_.append("Content-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!");
  }

  void respond(std::size_t count) {
    for (; count > 0; --count) responses_ += response_;
  }

  std::string response_;
  std::string responses_;
  time_t second_ = -1;
};

int run(int argc, char** argv) {
  FloorOptions options;
  options.loop = "epoll";
  if (const auto code = parse_floor_flags(argc, argv, "Bare HTTP server", options)) return *code;
  exit_on_signals();
  const int listener = open_floor_listener(options);
  if (listener < 0) return 1;
  if (options.loop == "io_uring") {
    return UringFloor<Hello>("floor_http", listener, options.spin).run();
  }
  return EpollFloor<Hello>("floor_http", listener, options.spin).run();
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::run(argc, argv); }
