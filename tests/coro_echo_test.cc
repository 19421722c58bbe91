// The cases of net_echo_test, to the letter, with a coroutine echo in the place of the callbacks.
#include "tests/coro_world.h"

namespace weir::inline v1::net {

class CoroEchoServer {
 public:
  explicit CoroEchoServer(Reactor& reactor) : acceptor_(reactor), clients_(reactor) {}

  // The coroutine is both.
  template <class Callable>
  void on_data(Callable) {}
  template <class Callable>
  void on_drain(Callable) {}

  Expected<Address> listen(const ListenAt& at) {
    auto bound = acceptor_.listen(at);
    clients_.spawn(serve(acceptor_, clients_));
    return bound;
  }
  template <class Callable>
  void on_connection(Callable call) {
    acceptor_.server().on_connection(std::move(call));
  }
  std::size_t connections() { return acceptor_.server().connections(); }

 private:
  static coro::Task<> echo(coro::Stream stream) {
    for (;;) {
      auto bytes = co_await stream.read();
      if (!bytes || bytes->empty()) break;
      if (!co_await stream.write(std::move(*bytes))) break;
    }
    co_await stream.end();
  }
  static coro::Task<> serve(coro::Acceptor& acceptor, coro::Scope& clients) {
    while (auto stream = co_await acceptor.accept()) clients.spawn(echo(std::move(*stream)));
  }

  coro::Acceptor acceptor_;
  coro::Scope clients_;
};

}  // namespace weir::inline v1::net

// It makes its server in one place, under this name; its `pattern` is pair.h's, too.
#define pattern echo_pattern
#define Server CoroEchoServer
#define EchoTest CoroEchoTest
#include "tests/net_echo_test.cc"
