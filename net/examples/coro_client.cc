// Sends its arguments to an echo server, a line each, and prints what comes back.
#include <chrono>
#include <iostream>
#include <string>

#include "weir/net/coro.h"

namespace coro = weir::coro;

namespace {

constexpr int kPort = 7000;
constexpr std::size_t kLineMax = 4096;
constexpr auto kPatience = std::chrono::seconds(5);

coro::Task<weir::Expected<void>> talk(weir::Reactor& reactor, int lines, char** line) {
  coro::Stream stream(reactor);
  if (auto connected = co_await stream.connect(kPort); !connected) co_return connected;
  for (int i = 0; i < lines; ++i) {
    const std::string text = std::string(line[i]) + '\n';
    if (auto sent = co_await stream.write(text); !sent) co_return sent;
    auto [first, results] =
        co_await coro::when_any(stream.read_until("\n", kLineMax), coro::delay(kPatience));
    auto& answer = std::get<0>(results);
    if (first == 1) co_return weir::failure({.code = weir::errno_code(ETIMEDOUT)});
    if (!answer) co_return weir::failure(answer.error());
    std::cout << answer->view() << std::flush;
  }
  co_return co_await stream.end();
}

coro::Task<> run(weir::Reactor& reactor, int lines, char** line, int& status) {
  const auto result = co_await talk(reactor, lines, line);
  if (!result) status = weir::fail(result.error());
}

}  // namespace

int main(int argc, char** argv) {
  weir::Reactor reactor;
  coro::Scope scope(reactor);
  int status = 0;
  scope.spawn(run(reactor, argc - 1, argv + 1, status));
  reactor.run();
  return status;
}
