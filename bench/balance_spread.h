#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

// How a server's connections are spread over its reactors.
namespace weir::bench {

// Connections that each reactor was given.
struct Spread {
  std::vector<std::uint64_t> given;

  std::uint64_t total() const;
  // Of the reactor that has the most.
  double largest_share() const;
};

// even: no reactor has more than two above its share. by_chance: as many as a coin may give it, up
// to four standard deviations, which happens to one of 10 000. skewed: more than that.
enum class Evenness : unsigned char { even, by_chance, skewed };
Evenness evenness_of(const Spread& spread);

// What echo_server says at its end, with --stats: a line for each reactor. The error says what is
// missing.
std::expected<Spread, std::string> spread_of_stats(std::string_view output);

// So many connections at a fresh server of that command, which has --stats; each has a byte echoed
// before the first of them ends. The error also says that not all of them were served.
std::expected<Spread, std::string> take_spread(const std::vector<std::string>& command,
                                               std::size_t connections);

// A row in Markdown, of the samples of one server: the largest share, and the worst that was seen.
std::string spread_row(const std::string& server, const std::vector<Spread>& samples);
// What stands above such rows.
std::string spread_head(std::size_t connections);

}  // namespace weir::bench
