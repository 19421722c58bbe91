#include "bench/balance_spread.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "bench/load.h"
#include "bench/load_connect.h"
#include "bench/samples.h"
#include "bench/server_process.h"

namespace weir::bench {
namespace {

constexpr double kMoreByAccident = 2;
constexpr double kDeviations = 4;
constexpr int kPatienceMs = 10'000;

using Problem = std::expected<void, std::string>;

Problem failed(const std::string& what) {
  return std::unexpected(what + ": " + std::strerror(errno));
}

// Connections that stay until it goes.
class Clients {
 public:
  Clients() = default;
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;
  ~Clients() {
    for (const int fd : sockets_) close(fd);
  }

  Problem connect(const LoadTarget& target, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const int fd = connect_one(target);
      if (fd < 0) return failed("connection " + std::to_string(i));
      sockets_.push_back(fd);
    }
    return {};
  }

  // Whoever answers has the connection.
  Problem wait_until_served() {
    for (const int fd : sockets_) {
      if (send(fd, "?", 1, MSG_NOSIGNAL) != 1) return failed("send");
    }
    for (const int fd : sockets_) {
      pollfd entry{.fd = fd, .events = POLLIN, .revents = 0};
      char answer = 0;
      if (poll(&entry, 1, kPatienceMs) != 1) return std::unexpected("a connection is not served");
      if (recv(fd, &answer, 1, 0) != 1 || answer != '?') return failed("no echo");
    }
    return {};
  }

 private:
  std::vector<int> sockets_;
};

const char* name_of(Evenness evenness) {
  switch (evenness) {
    case Evenness::even: return "even";
    case Evenness::by_chance: return "by chance";
    case Evenness::skewed: return "skewed";
  }
  return "";
}

}  // namespace

std::uint64_t Spread::total() const {
  return std::accumulate(given.begin(), given.end(), std::uint64_t{0});
}

double Spread::largest_share() const {
  if (total() == 0) return 0;
  return static_cast<double>(*std::ranges::max_element(given)) / static_cast<double>(total());
}

Evenness evenness_of(const Spread& spread) {
  if (spread.given.size() < 2 || spread.total() == 0) return Evenness::even;
  const double all = static_cast<double>(spread.total());
  const double share = 1 / static_cast<double>(spread.given.size());
  const double most = static_cast<double>(*std::ranges::max_element(spread.given));
  const double more = most - share * all;
  if (more <= kMoreByAccident) return Evenness::even;
  const double deviation = std::sqrt(all * share * (1 - share));
  return more <= kDeviations * deviation ? Evenness::by_chance : Evenness::skewed;
}

std::expected<Spread, std::string> spread_of_stats(std::string_view output) {
  constexpr std::string_view kKey = " connections=";
  Spread spread;
  for (std::size_t end = 0; !output.empty(); output.remove_prefix(std::min(end, output.size()))) {
    const std::string_view line = output.substr(0, output.find('\n'));
    end = line.size() + 1;
    if (!line.starts_with("stats ")) continue;
    const std::size_t at = line.find(kKey);
    std::uint64_t count = 0;
    if (at == line.npos || std::from_chars(line.data() + at + kKey.size(),
                                           line.data() + line.size(), count).ec != std::errc()) {
      return std::unexpected("no count of connections in `" + std::string(line) + "`");
    }
    spread.given.push_back(count);
  }
  if (spread.given.empty()) return std::unexpected("the server has printed no counters");
  return spread;
}

std::expected<Spread, std::string> take_spread(const std::vector<std::string>& command,
                                               std::size_t connections) {
  auto server = ServerProcess::start(command, -1);
  if (!server) return std::unexpected(server.error());
  LoadOptions at;
  at.port = server->port();
  const auto target = resolve(at);
  if (!target) return std::unexpected(target.error());
  {
    Clients clients;
    if (auto come = clients.connect(*target, connections); !come) {
      return std::unexpected(come.error());
    }
    if (auto served = clients.wait_until_served(); !served) return std::unexpected(served.error());
  }
  if (const auto stopped = server->stop(); !stopped) return std::unexpected(stopped.error());
  auto spread = spread_of_stats(server->take_output());
  if (spread && spread->total() != connections) {
    return std::unexpected("it counts " + std::to_string(spread->total()) + " of " +
                           std::to_string(connections) + " connections");
  }
  return spread;
}

std::string spread_head(std::size_t connections) {
  return "| " + std::to_string(connections) +
         " connections | largest share | least..most | worst |\n|---|---|---|---|\n";
}

std::string spread_row(const std::string& server, const std::vector<Spread>& samples) {
  const auto shares = values_of(samples, &Spread::largest_share);
  const auto [least, most] = std::ranges::minmax(shares);
  Evenness worst = Evenness::even;
  for (const Spread& one : samples) worst = std::max(worst, evenness_of(one));
  std::array<char, 96> figures{};
  std::snprintf(figures.data(), figures.size(), " | %.1f %% | %.1f..%.1f %% | %s |\n",
                100 * median(shares), 100 * least, 100 * most, name_of(worst));
  return "| " + server + figures.data();
}

}  // namespace weir::bench
