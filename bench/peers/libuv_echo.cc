// Echo on libuv. What is received is written at once from the loop's one read buffer; only what
// the kernel does not take is copied aside, and then reading stops until it is written.
#include <cstddef>
#include <string>

#include "libuv_server.h"

namespace peer {
namespace {

struct Connection : UvStream {
  uv_write_t write;
  std::string unsent;

  void start() { uv_read_start(&stream, take_room, on_read); }

  static Connection& of(void* handle) {
    return *static_cast<Connection*>(static_cast<uv_handle_t*>(handle)->data);
  }

  // libuv reads into it at once, and on_read() is done with it when it returns.
  static void take_room(uv_handle_t*, std::size_t, uv_buf_t* room) {
    static char buffer[kReadBuffer];
    *room = uv_buf_init(buffer, sizeof buffer);
  }

  static void on_read(uv_stream_t* stream, ssize_t size, const uv_buf_t* bytes) {
    Connection& connection = of(stream);
    if (size < 0) return connection.end();
    if (size > 0) connection.send(bytes->base, static_cast<std::size_t>(size));
  }

  void send(const char* bytes, std::size_t size) {
    const uv_buf_t all = uv_buf_init(const_cast<char*>(bytes), static_cast<unsigned>(size));
    const int tried = uv_try_write(&stream, &all, 1);
    if (tried < 0 && tried != UV_EAGAIN) return end();
    const std::size_t sent = tried < 0 ? 0 : static_cast<std::size_t>(tried);
    if (sent == size) return;
    uv_read_stop(&stream);
    unsent.assign(bytes + sent, size - sent);
    const uv_buf_t rest = uv_buf_init(unsent.data(), static_cast<unsigned>(unsent.size()));
    if (uv_write(&write, &stream, &rest, 1, on_written) != 0) end();
  }

  static void on_written(uv_write_t* write, int status) {
    Connection& connection = of(write->handle);
    if (status == 0) return connection.start();
    if (status != UV_ECANCELED) connection.end();
  }

  void end() {
    if (uv_is_closing(&handle) != 0) return;
    uv_close(&handle, [](uv_handle_t* closed) { delete &of(closed); });
  }
};

}  // namespace
}  // namespace peer

int main(int argc, char** argv) {
  return peer::serve<peer::Connection>(peer::parse(argc, argv, uv_version_string()));
}
