#include "weir/http/agent.h"

#include <iostream>

using weir::http::ClientResponse;

int main(int argc, char** argv) {
  weir::Reactor reactor;
  weir::http::Agent agent(reactor);
  const char* url = argc > 1 ? argv[1] : "http://localhost:8080/hello";
  int exit_code = 0;
  auto request = agent.get(url, [&](ClientResponse& response) {
    std::cerr << response.status() << ' ' << response.reason() << '\n';
    response.on_data([](ClientResponse&, weir::Buffer bytes) { std::cout << bytes.view(); });
    response.on_error([&](auto&, const weir::Error& error) { exit_code = weir::fail(error); });
  });
  if (!request) return weir::fail(request.error());
  (*request)->on_error([&](auto&, const weir::Error& error) { exit_code = weir::fail(error); });
  reactor.run();
  return exit_code;
}
