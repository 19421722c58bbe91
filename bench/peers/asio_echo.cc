// Echo on Asio: a read, then a write of all of it, then the next read.
#include <array>
#include <cstddef>
#include <memory>
#include <system_error>
#include <utility>

#include "asio_server.h"

namespace peer {
namespace {

template <class Socket>
class Session : public std::enable_shared_from_this<Session<Socket>> {
 public:
  explicit Session(Socket socket) : socket_(std::move(socket)) {}
  void start() { read(); }

 private:
  void read() {
    socket_.async_read_some(
        asio::buffer(*buffer_),
        [self = this->shared_from_this()](std::error_code error, std::size_t size) {
          if (!error) self->write(size);
        });
  }

  void write(std::size_t size) {
    asio::async_write(socket_, asio::buffer(*buffer_, size),
                      [self = this->shared_from_this()](std::error_code error, std::size_t) {
                        if (!error) self->read();
                      });
  }

  using Buffer = std::array<char, kReadBuffer>;

  Socket socket_;
  // Not filled with zeros: only what is used is touched.
  std::unique_ptr<Buffer> buffer_ = std::make_unique_for_overwrite<Buffer>();
};

int serve(const Options& options) {
  if (!options.unix_path.empty()) {
    return serve_unix<Session<asio::local::stream_protocol::socket>>(options);
  }
  return serve_tcp<Session<asio::ip::tcp::socket>>(options);
}

}  // namespace
}  // namespace peer

int main(int argc, char** argv) {
  const auto options = peer::parse(argc, argv, peer::asio_version());
  return peer::run([&] { return peer::serve(options); });
}
