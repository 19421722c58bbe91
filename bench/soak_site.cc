#include "bench/soak_site.h"

#include <array>
#include <fstream>
#include <string_view>

namespace weir::bench {
namespace {

struct File {
  const char* name;
  std::uint64_t number;  // of its bytes in LoadPattern
  std::uint64_t size;
};

// In memory, from its descriptor, and larger than one send.
constexpr File kSmall{"small.bin", 1, 3000};
constexpr File kMedium{"medium.bin", 2, 100'000};
constexpr File kLarge{"large.bin", 3, 1 << 20};
constexpr File kHuge{"huge.bin", 4, 16 << 20};
constexpr std::array kFiles = {kSmall, kMedium, kLarge, kHuge};

constexpr unsigned kBodyBits = 12;
constexpr unsigned kRangeBits = 14;
constexpr std::uint64_t kHugeChunk = 64 << 10;

std::string get(std::string_view target, std::string_view fields = {},
                std::string_view method = "GET") {
  return std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n" +
         std::string(fields) + "\r\n";
}

SoakRequest whole(const File& file) {
  return {get(std::string("/static/") + file.name),
          {.status = 200, .body = SoakBytes::pattern_of(file.number, 0, file.size)}};
}

SoakRequest part(const File& file, std::uint64_t first, std::uint64_t size) {
  const std::string range = "Range: bytes=" + std::to_string(first) + "-" +
                            std::to_string(first + size - 1) + "\r\n";
  return {get(std::string("/static/") + file.name, range),
          {.status = 206, .body = SoakBytes::pattern_of(file.number, first, size)}};
}

SoakRequest any_part(const File& file, std::uint64_t size, SoakRandom& random) {
  return part(file, random.below(file.size - size + 1), size);
}

constexpr std::string_view kMalformed[] = {
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/3.7\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    "0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "\x16\x03\x01\x02\x01\x01\xfc\x03\x03\r\n\r\n",
    "(){ :;}; / HTTP/1.1\r\nHost: a\r\n\r\n",
};
constexpr std::size_t kTooLongField = 20'000;

}  // namespace

bool SoakSite::write_files(const std::string& root) {
  const LoadPattern pattern;
  for (const File& file : kFiles) {
    std::ofstream out(root + "/" + file.name, std::ios::binary);
    out << SoakBytes::pattern_of(file.number, 0, file.size).make(pattern) << std::flush;
    if (!out) return false;
  }
  return true;
}

SoakRequest SoakSite::chunks(std::uint64_t count, std::uint64_t size) const {
  return {get("/chunked?n=" + std::to_string(count) + "&size=" + std::to_string(size)),
          {.status = 200, .body = SoakBytes::letters_of(count * size)}};
}

// A body that comes back, of known length or in chunks, as it comes or when it is complete.
SoakRequest SoakSite::upload(SoakRandom& random) const {
  const auto bytes =
      SoakBytes::pattern_of(random.below(1000), random.below(LoadPattern::kPeriod),
                            random.size_up_to(kBodyBits));
  const std::string_view target = random.one_in(2) ? "/echo" : "/";
  const std::string body = bytes.make(pattern_);
  SoakRequest request{.text = {}, .answer = {.status = 200, .body = bytes}};
  if (random.one_in(2)) {
    request.text = get(target, "Content-Length: " + std::to_string(body.size()) + "\r\n", "POST");
    request.text += body;
    return request;
  }
  request.text = get(target, "Transfer-Encoding: chunked\r\n", "POST");
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t size = random.between(1, body.size() - at);
    std::array<char, 20> line{};
    std::snprintf(line.data(), line.size(), "%zx\r\n", size);
    request.text.append(line.data()).append(body, at, size).append("\r\n");
    at += size;
  }
  request.text += "0\r\n\r\n";
  return request;
}

SoakRequest SoakSite::small(SoakRandom& random) const {
  constexpr std::string_view kHello = "Hello, World!";
  const std::uint64_t kind = random.below(100);
  if (kind < 60) return {get("/hello"), {.status = 200, .body = SoakBytes::literal(kHello)}};
  if (kind < 75) return upload(random);
  if (kind < 80) return chunks(random.below(8), random.size_up_to(10));
  if (kind < 85) return whole(kSmall);
  if (kind < 95) {
    return any_part(random.one_in(2) ? kMedium : kLarge, random.size_up_to(kRangeBits), random);
  }
  if (kind < 98) {
    return {get("/hello", {}, "HEAD"), {.status = 200, .body = {}, .head_only = true}};
  }
  return {get("/nothing/here"), {.status = 404, .body = {}}};
}

SoakRequest SoakSite::download(SoakRandom& random) const {
  return random.one_in(3) ? whole(kLarge)
                          : any_part(kLarge, 1 + random.below(kLarge.size), random);
}

SoakRequest SoakSite::large(SoakRandom& random) const {
  return random.one_in(2) ? whole(kHuge) : chunks(kHuge.size / kHugeChunk, kHugeChunk);
}

SoakRequest SoakSite::malformed(SoakRandom& random) const {
  const SoakAnswer refusal{.status = 0, .body = {}};
  const std::uint64_t which = random.below(std::size(kMalformed) + 1);
  if (which < std::size(kMalformed)) return {std::string(kMalformed[which]), refusal};
  return {get("/", "X: " + std::string(kTooLongField, 'x') + "\r\n"), refusal};
}

}  // namespace weir::bench
