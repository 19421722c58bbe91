// HTTP on Asio and http_parser. All that one read has brought is answered by one write.
#include <array>
#include <cstddef>
#include <memory>
#include <system_error>
#include <utility>

#include "asio_server.h"
#include "http_session.h"

namespace peer {
namespace {

using asio::ip::tcp;

class Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(tcp::socket socket) : socket_(std::move(socket)) {}
  void start() { read(); }

 private:
  void read() {
    socket_.async_read_some(
        asio::buffer(*buffer_),
        [self = shared_from_this()](std::error_code error, std::size_t size) {
          if (error) return;
          self->begin_ = 0;
          self->end_ = size;
          self->serve();
        });
  }

  void serve() {
    begin_ += session_.answer(buffer_->data() + begin_, end_ - begin_);
    if (!session_.out().empty()) return write();
    if (session_.ends() && !has_shut_down_) {
      has_shut_down_ = true;
      std::error_code ignored;
      socket_.shutdown(tcp::socket::shutdown_send, ignored);
    }
    // After the last answer for the client's end only.
    read();
  }

  void write() {
    asio::async_write(socket_, asio::buffer(session_.out()),
                      [self = shared_from_this()](std::error_code error, std::size_t) {
                        if (error) return;
                        self->session_.out().clear();
                        self->serve();
                      });
  }

  using Buffer = std::array<char, kReadBuffer>;

  tcp::socket socket_;
  // Not filled with zeros: only what is used is touched.
  std::unique_ptr<Buffer> buffer_ = std::make_unique_for_overwrite<Buffer>();
  // What is not answered yet.
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  HttpSession session_;
  bool has_shut_down_ = false;
};

}  // namespace
}  // namespace peer

int main(int argc, char** argv) {
  const auto options = peer::parse(argc, argv, peer::asio_version());
  return peer::run([&] { return peer::serve_tcp<peer::Session>(options); });
}
