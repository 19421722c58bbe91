// libuv's echoes in lock step; see lock_step.h. As a careful user writes them: a buffer that is
// reused, and uv_try_write() before a queued write.
//
//   libuv_lock_step BATCH BATCHES
#include <uv.h>

#include <cstdlib>
#include <cstring>

#include "bench/lock_step.h"

namespace {

char receive_buffer[256 * 1024];

void give_buffer(uv_handle_t*, size_t, uv_buf_t* buffer) {
  *buffer = uv_buf_init(receive_buffer, sizeof receive_buffer);
}

void check(int result, const char* what) {
  if (result >= 0) return;
  std::fprintf(stderr, "%s: %s\n", what, uv_strerror(result));
  std::exit(1);
}

void on_read(uv_stream_t* stream, ssize_t got, const uv_buf_t* buffer) {
  if (got < 0) return uv_close(reinterpret_cast<uv_handle_t*>(stream), nullptr);
  const uv_buf_t bytes = uv_buf_init(buffer->base, static_cast<unsigned>(got));
  // Small messages in lock step always find room.
  check(uv_try_write(stream, &bytes, 1) == got ? 0 : UV_EAGAIN, "uv_try_write");
}

void on_connection(uv_stream_t* listener, int status) {
  check(status, "connection");
  auto* const client = new uv_tcp_t;
  check(uv_tcp_init(listener->loop, client), "uv_tcp_init");
  check(uv_accept(listener, reinterpret_cast<uv_stream_t*>(client)), "uv_accept");
  check(uv_tcp_nodelay(client, 1), "uv_tcp_nodelay");
  check(uv_read_start(reinterpret_cast<uv_stream_t*>(client), give_buffer, on_read), "read");
}

}  // namespace

// What it counts keeps the call from being a jump, behind which callgrind would not see the end.
int left = 0;

extern "C" [[gnu::noinline]] void measured_turn(uv_loop_t* loop) {
  left += uv_run(loop, UV_RUN_NOWAIT);
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: libuv_lock_step BATCH BATCHES\n");
    return 2;
  }
  uv_loop_t* const loop = uv_default_loop();
  uv_tcp_t listener;
  sockaddr_in address;
  check(uv_ip4_addr("127.0.0.1", 0, &address), "uv_ip4_addr");
  check(uv_tcp_init(loop, &listener), "uv_tcp_init");
  check(uv_tcp_bind(&listener, reinterpret_cast<sockaddr*>(&address), 0), "uv_tcp_bind");
  check(uv_listen(reinterpret_cast<uv_stream_t*>(&listener), 4096, on_connection), "uv_listen");
  int length = sizeof address;
  check(uv_tcp_getsockname(&listener, reinterpret_cast<sockaddr*>(&address), &length), "name");
  weir::bench::LockStepClients clients(ntohs(address.sin_port), std::atoi(argv[1]),
                                       weir::bench::echo_script());
  weir::bench::run_lock_step(
      clients, std::atoi(argv[2]), [&] { uv_run(loop, UV_RUN_NOWAIT); },
      [&] { measured_turn(loop); });
  std::_Exit(0);
}
