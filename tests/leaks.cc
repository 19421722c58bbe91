#include "tests/leaks.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

namespace weir::test {
namespace {

std::chrono::milliseconds patience_of_all = kLeakPatience;

std::string link_of(int fd) {
  char text[256];
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = readlink(path.c_str(), text, sizeof text);
  return size < 0 ? std::string() : std::string(text, static_cast<std::size_t>(size));
}

std::string text_of(const sockaddr_storage& address, socklen_t size) {
  char host[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& ip = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &ip.sin_addr, host, sizeof host);
    return std::string(host) + ':' + std::to_string(ntohs(ip.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto& ip = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &ip.sin6_addr, host, sizeof host);
    return '[' + std::string(host) + "]:" + std::to_string(ntohs(ip.sin6_port));
  }
  constexpr std::size_t kPathAt = offsetof(sockaddr_un, sun_path);
  if (address.ss_family != AF_UNIX || size <= kPathAt) return "no name";
  const char* path = reinterpret_cast<const sockaddr_un&>(address).sun_path;
  return path[0] == '\0' ? '@' + std::string(path + 1, size - kPathAt - 1) : std::string(path);
}

int option_of(int fd, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

// Empty for what is no socket.
std::string describe_socket(int fd) {
  const int type = option_of(fd, SO_TYPE);
  if (type < 0) return {};
  std::string text = option_of(fd, SO_DOMAIN) == AF_UNIX ? ", unix"
                     : type == SOCK_STREAM               ? ", tcp"
                     : type == SOCK_DGRAM                ? ", udp"
                                                         : ", of type " + std::to_string(type);
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    text += ' ' + text_of(address, size);
  }
  if (option_of(fd, SO_ACCEPTCONN) == 1) text += ", listening";
  address = {};
  size = sizeof address;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    text += " to " + text_of(address, size);
  }
  return text;
}

// Tells at each end of a test, a suite and the program what is open that was not at its begin.
class LeakCheck final : public testing::EmptyTestEventListener {
 public:
  void OnTestIterationStart(const testing::UnitTest&, int) override { begin(); }
  void OnTestSuiteStart(const testing::TestSuite&) override { begin(); }
  void OnTestStart(const testing::TestInfo&) override { begin(); }
  void OnTestEnd(const testing::TestInfo&) override { end("this test"); }
  void OnTestSuiteEnd(const testing::TestSuite&) override { end("this test suite"); }
  void OnTestIterationEnd(const testing::UnitTest&, int) override { end("this program"); }

 private:
  void begin() { before_.push_back(open_descriptors()); }

  void end(const char* who) {
    const Descriptors before = std::exchange(before_.back(), {});
    before_.pop_back();
    const auto until = std::chrono::steady_clock::now() + patience_of_all;
    Descriptors leaked = opened_since(before);
    // Nothing tells of a descriptor that another thread closes.
    while (!leaked.empty() && std::chrono::steady_clock::now() < until) {
      poll(nullptr, 0, 10);
      leaked = opened_since(before);
    }
    if (leaked.empty()) return;
    std::string lines;
    for (const auto& [fd, link] : leaked) {
      lines += '\n' + describe_descriptor(fd);
      // Once is enough.
      for (Descriptors& outer : before_) outer.insert_or_assign(fd, link);
    }
    ADD_FAILURE() << who << " leaves open:" << lines;
  }

  std::vector<Descriptors> before_;  // of what has begun: program, suite, test
};

}  // namespace

Descriptors open_descriptors() {
  Descriptors found;
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return found;
  while (const dirent* entry = readdir(directory)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == dirfd(directory)) continue;
    found.emplace(fd, link_of(fd));
  }
  closedir(directory);
  return found;
}

std::string describe_descriptor(int fd) {
  return "fd " + std::to_string(fd) + ", " + link_of(fd) + describe_socket(fd);
}

Descriptors opened_since(const Descriptors& before) {
  Descriptors opened = open_descriptors();
  std::erase_if(opened, [&](const auto& one) {
    const auto known = before.find(one.first);
    return known != before.end() && known->second == one.second;
  });
  return opened;
}

void set_leak_patience(std::chrono::milliseconds patience) { patience_of_all = patience; }

void fail_on_leaks() {
  // Behind the printer, and so before it at each end, which comes in reverse order.
  testing::UnitTest::GetInstance()->listeners().Append(new LeakCheck);
}

}  // namespace weir::test
