// Tests of the demo server as a process: what its pages answer, to the byte.
#pragma once

#include <string>
#include <string_view>

#include "tests/process_test.h"
#include "tests/static_files.h"

namespace weir::test {

inline std::string chunked_target(std::size_t count, std::size_t size) {
  return "/chunked?n=" + std::to_string(count) + "&size=" + std::to_string(size);
}

inline std::string get(std::string_view target, std::string_view fields = {}) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n" + std::string(fields) + "\r\n";
}

inline std::string post(std::string_view target, std::size_t size) {
  return "POST " + std::string(target) + " HTTP/1.1\r\nHost: a\r\nContent-Length: " +
         std::to_string(size) + "\r\n\r\n";
}

// A chunk as /chunked sends it.
inline std::string chunk(std::size_t size) {
  char digits[20];
  std::snprintf(digits, sizeof digits, "%zx\r\n", size);
  return digits + std::string(size, 'x') + "\r\n";
}

// The answer of chunked_target(), framing and all. False: another, or a part.
inline bool read_chunked(FileClient& client, std::size_t count, std::size_t size) {
  if (client.read_head().status != 200) return false;
  const std::string one = chunk(size);
  for (std::size_t i = 0; i < count; ++i) {
    if (client.read_text(one.size()) != one) return false;
  }
  return client.read_text(5) == "0\r\n\r\n";
}

// All that comes until the end.
inline std::string read_to_end(RawClient& client) {
  std::string all;
  for (std::string piece; !(piece = client.receive(64 << 10)).empty();) all += piece;
  return all;
}

class HttpProcessTest : public ProcessTest {
 protected:
  void start_server(const std::vector<std::string>& flags = {}) {
    start(command("demo_server", flags));
    if (!server_) return;
    EXPECT_TRUE(dial().answers_on("/hello"));
    EXPECT_TRUE(eventually([&] { return open_fds(pid()) <= fds_; }));
    before_ = resident_bytes(pid());
  }
  FileClient dial(const RawOptions& options = {}) const {
    return FileClient(server_->port(), options);
  }
  std::size_t growth() const {
    const std::size_t now = resident_bytes(pid());
    return now > before_ ? now - before_ : 0;
  }
  // The longest time that one of 20 clients waits for its answer.
  double longest_wait() const {
    double longest = 0;
    for (int i = 0; i < 20; ++i) {
      const Stopwatch watch;
      EXPECT_TRUE(dial().answers_on("/hello"));
      longest = std::max(longest, watch.seconds());
    }
    return longest;
  }

  std::size_t before_ = 0;
};

// Sends these bytes over and over until the kernel takes no more and the server has nothing more to
// do. Returns how many bytes went.
inline std::size_t send_until_stuck(const RawClient& client, std::string_view bytes, pid_t server) {
  std::size_t sent = 0;
  EXPECT_TRUE(eventually([&] {
    const std::size_t before = sent;
    for (ssize_t now = 1; now > 0;) {
      const std::string_view rest = bytes.substr(sent % bytes.size());
      now = send(client.fd(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (now > 0) sent += static_cast<std::size_t>(now);
    }
    return sent == before && until_it_waits(server);
  }));
  return sent;
}

}  // namespace weir::test
