// A UDP receiver that does not tell the truth, for the test of the benchmark.

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>
#include <string>

#include "bench/udp_receiver.h"

namespace weir::bench {
namespace {

enum class Lie { doubles, shortens, deaf };

const std::map<std::string, Lie> kLies = {
    {"doubles", Lie::doubles}, {"shortens", Lie::shortens}, {"deaf", Lie::deaf}};

int receive(int fd, Lie lie, UdpBoard& board) {
  std::array<char, 2048> bytes;
  for (;;) {
    const ssize_t size = recv(fd, bytes.data(), bytes.size(), 0);
    if (size < 0) continue;
    const auto length = static_cast<std::uint64_t>(size);
    if (lie == Lie::doubles) board.add(2, 2 * length);
    if (lie == Lie::shortens) board.add(1, length - 1);
  }
}

int run(int argc, char** argv) {
  Lie lie = Lie::doubles;
  UdpReceiverOptions options;
  CLI::App app{"UDP receiver that lies"};
  app.add_option("--lie", lie, "which")->transform(CLI::CheckedTransformer(kLies));
  describe_udp_receiver(app, options);
  if (const auto code = parse_udp_receiver(app, argc, argv)) return *code;
  UdpBoard* board = open_udp_board(options);
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  auto* name = reinterpret_cast<sockaddr*>(&address);
  if (board == nullptr || bind(fd, name, length) != 0 || getsockname(fd, name, &length) != 0) {
    return 1;
  }
  announce_udp_receiver(ntohs(address.sin_port), "lying", 0);
  return receive(fd, lie, *board);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) { return weir::bench::run(argc, argv); }
