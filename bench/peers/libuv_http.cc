// HTTP on libuv and http_parser. All that one read has brought is answered by one write.
#include <cstddef>
#include <string>
#include <utility>

#include "http_session.h"
#include "libuv_server.h"

namespace peer {
namespace {

struct Connection : UvStream {
  HttpSession session;
  uv_write_t write;
  uv_shutdown_t shutdown;
  bool has_shut_down = false;
  // What was read, and not looked at because an answer had to wait for the client.
  std::string unread;

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
    // A client that sends on after the last answer is not listened to.
    if (size == 0 || connection.has_shut_down) return;
    const auto count = static_cast<std::size_t>(size);
    const std::size_t used = connection.serve(bytes->base, count);
    if (used < count) connection.unread.assign(bytes->base + used, count - used);
  }

  // How much of it was used: all, or what came before an answer that has to wait.
  std::size_t serve(const char* data, std::size_t size) {
    std::string& out = session.out();
    std::size_t used = 0;
    for (;;) {
      used += session.answer(data + used, size - used);
      if (out.empty()) break;
      if (!send()) return used;
    }
    if (session.ends()) {
      has_shut_down = true;
      uv_shutdown(&shutdown, &stream, [](uv_shutdown_t*, int) {});
    }
    return used;
  }

  // False: the rest is under way, and nothing is read meanwhile.
  bool send() {
    std::string& out = session.out();
    const uv_buf_t all = uv_buf_init(out.data(), static_cast<unsigned>(out.size()));
    const int tried = uv_try_write(&stream, &all, 1);
    const std::size_t sent = tried < 0 ? 0 : static_cast<std::size_t>(tried);
    if (sent == out.size()) {
      out.clear();
      return true;
    }
    uv_read_stop(&stream);
    const uv_buf_t rest =
        uv_buf_init(out.data() + sent, static_cast<unsigned>(out.size() - sent));
    const bool broken = tried < 0 && tried != UV_EAGAIN;
    if (broken || uv_write(&write, &stream, &rest, 1, on_written) != 0) end();
    return false;
  }

  static void on_written(uv_write_t* write, int status) {
    if (status == UV_ECANCELED) return;
    Connection& connection = of(write->handle);
    if (status != 0) return connection.end();
    connection.session.out().clear();
    const std::string input = std::exchange(connection.unread, {});
    const std::size_t used = connection.serve(input.data(), input.size());
    connection.unread = input.substr(used);
    if (connection.session.out().empty()) connection.start();
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
