// What the load for HTTP asks, and what it must be answered with.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/load_pattern.h"
#include "bench/soak_answer.h"

namespace weir::bench {

enum class HttpScript : std::uint8_t {
  hello,    // GET /hello: `Hello, World!`
  mixed,    // in turn: hello, POST /echo with 256 bytes, POST /echo with 4 chunks of 64
  chunked,  // GET /chunked?n=4&size=1024: so many times `x`, in any framing
  upload,   // POST /upload with kUploadBytes: their number in decimal
  brief,    // hello, ten times a connection unless the options say how often
};

inline constexpr std::uint64_t kUploadBytes = 20'000'000;

// `brief` is called "short", which is no name in C++.
inline constexpr std::array<std::pair<std::string_view, HttpScript>, 5> kHttpScripts = {{
    {"hello", HttpScript::hello},
    {"mixed", HttpScript::mixed},
    {"chunked", HttpScript::chunked},
    {"upload", HttpScript::upload},
    {"short", HttpScript::brief},
}};

// All requests that one connection sends, as one stream of bytes: a script again and again, or so
// many requests of it, the last of which says `Connection: close`.
class HttpPlan {
 public:
  // 0 requests a connection: no end. `pipeline` is how many may be sent at once.
  HttpPlan(HttpScript script, int requests_per_connection, int pipeline,
           const LoadPattern& pattern);

  bool ends() const { return ends_; }
  // Requests of a period: number n is of kind n % kinds(). If the stream ends, that is all of it.
  std::size_t kinds() const { return requests_.size(); }
  std::uint64_t size_of(std::size_t kind) const { return requests_[kind].size(); }
  const SoakAnswer& answer_to(std::size_t kind) const { return requests_[kind].answer; }
  // Bytes of the stream from there on, as many as lie together: `pipeline` requests at least, or
  // a part of a large body.
  std::string_view at(std::uint64_t position) const;

 private:
  struct Request {
    std::string text;
    // Bytes of the body that follow, from the beginning of the pattern's.
    std::uint64_t filler = 0;
    SoakAnswer answer = {};

    std::uint64_t size() const { return text.size() + filler; }
  };

  static Request get(std::string_view target, const SoakBytes& answer);
  static Request post(std::string_view target, std::string_view field, const SoakBytes& answer);
  static std::vector<Request> requests_of(HttpScript script, const LoadPattern& pattern);

  const LoadPattern& pattern_;
  bool ends_ = false;
  std::vector<Request> requests_;
  // Where each request of a period ends in it.
  std::vector<std::uint64_t> end_of_;
  // A period and the beginning of the next; empty with a filler.
  std::string stream_;
};

}  // namespace weir::bench
