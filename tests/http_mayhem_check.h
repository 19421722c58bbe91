// What a client sends, and what it may receive for it.
#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "tests/random.h"

namespace weir::test {

// Of request or response number `number`, from `offset` on.
inline std::string mayhem_bytes(unsigned number, std::size_t offset, std::size_t size, char first) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<char>(first + static_cast<int>((number * 7 + offset + i) % 26));
  }
  return bytes;
}
inline std::string response_bytes(unsigned number, std::size_t offset, std::size_t size) {
  return mayhem_bytes(number, offset, size, 'a');
}
inline std::string request_bytes(unsigned number, std::size_t offset, std::size_t size) {
  return mayhem_bytes(number, offset, size, 'A');
}

// Requests in a row; the target of each is /client/number/size, and ends with h when it is a HEAD.
// The last one may be wrong, cut off, or no HTTP any more: then bytes that are all '!' follow.
class MayhemScript {
 public:
  MayhemScript(Random& random, unsigned client) : random_(random), client_(client) {
    for (std::uint64_t left = 1 + random.below(6); left > 0; --left) add_good();
    if (random.once_in(2)) add_last();
    if (random.once_in(8)) text_.resize(random.below(text_.size()));
  }
  const std::string& text() const { return text_; }
  // heads()[i]: number i + 1 is a HEAD.
  const std::vector<bool>& heads() const { return heads_; }

 private:
  std::string begin(std::string_view method, std::size_t size, bool one_one = true) {
    heads_.push_back(method == "HEAD");
    return std::string(method) + " /" + std::to_string(client_) + "/" +
           std::to_string(heads_.size()) + "/" + std::to_string(size) +
           (one_one ? " HTTP/1.1\r\nHost: a\r\n" : " HTTP/1.0\r\n");
  }
  unsigned number() const { return static_cast<unsigned>(heads_.size()); }

  void add_sized(std::string_view fields) {
    const std::size_t size = random_.below(4) * random_.below(500);
    text_ += begin("POST", size);
    text_ += std::string(fields) + "Content-Length: " + std::to_string(size) + "\r\n\r\n" +
             request_bytes(number(), 0, size);
  }
  void add_chunked(std::string_view fields) {
    const std::size_t size = random_.below(1500);
    text_ += begin("PUT", size) + std::string(fields) + "Transfer-Encoding: chunked\r\n\r\n";
    for (std::size_t at = 0; at < size;) {
      const std::size_t piece = std::min<std::size_t>(size - at, 1 + random_.below(700));
      char hex[20] = {};
      std::to_chars(hex, hex + 20, piece, 16);
      text_ += std::string(hex) + (random_.once_in(3) ? ";x=\"y\"\r\n" : "\r\n") +
               request_bytes(number(), at, piece) + "\r\n";
      at += piece;
    }
    text_ += random_.once_in(2) ? "0\r\n\r\n" : "0\r\nX-Sum: 1\r\n\r\n";
  }
  void add_good() {
    constexpr std::string_view kProceed = "Expect: 100-continue\r\n";
    switch (random_.below(12)) {
      case 0: text_ += begin("HEAD", 0) + "\r\n"; return;
      case 1:
      case 2: return add_sized("");
      case 3:
      case 4: return add_chunked("");
      case 5: return add_sized(kProceed);
      case 6: return add_chunked(kProceed);
      case 7: text_ += begin("GET", 0, false) + "Connection: keep-alive\r\n\r\n"; return;
      case 8:
        if (random_.once_in(4)) return add_sized("Expect: wonders\r\n");
        if (random_.once_in(3)) text_ += "\r\n";
        [[fallthrough]];
      default: text_ += begin("GET", 0) + "\r\n";
    }
  }
  void add_last() {
    const std::string wrong(1 + random_.below(600), '!');
    switch (random_.below(9)) {
      case 0: text_ += begin("GET", 0, false) + "\r\n"; return;
      case 1: text_ += begin("GET", 0) + "Connection: close\r\n\r\n" + wrong; return;
      case 2: text_ += begin("GET", 0) + "Bad Name: x\r\n\r\n"; return;
      case 3: text_ += begin("PUT", 5) + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"; return;
      case 4:
        heads_.push_back(false);
        text_ += "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" + wrong;
        return;
      case 5:
      case 6:
        text_ += begin("GET", 0) + "Connection: Upgrade\r\nUpgrade: x\r\n\r\n" + wrong;
        return;
      default: text_ += wrong;
    }
  }

  Random& random_;
  const unsigned client_;
  std::string text_;
  std::vector<bool> heads_;
};

// Reads what a client has received; error() says what is wrong with it. It may end anywhere.
class MayhemCheck {
 public:
  MayhemCheck(std::string_view text, const std::vector<bool>& heads) : rest_(text) {
    while (!rest_.empty() && error_.empty()) read_response(heads);
  }
  const std::string& error() const { return error_; }

 private:
  void fail(std::string what) {
    error_ = "response " + std::to_string(count_) + ": " + std::move(what);
    rest_ = {};
  }

  void read_response(const std::vector<bool>& heads) {
    constexpr std::string_view kBegin = "HTTP/1.1 ";
    if (!rest_.starts_with(kBegin.substr(0, rest_.size()))) return fail("no status line");
    const std::size_t end = rest_.find("\r\n\r\n");
    if (end == rest_.npos) return stop();
    head_ = rest_.substr(0, end + 2);
    rest_.remove_prefix(end + 4);
    const std::string_view status = head_.substr(kBegin.size(), 3);
    if (status == "100" || status == "102") return;
    ++count_;
    if (count_ > heads.size() + 1) return fail("more of them than requests");
    const std::string_view said = field("X-Number");
    number_ = said.empty() ? 0 : number_of(said, 10);
    if (!said.empty() && number_ != count_) return fail("it is that to " + std::string(said));
    if (!field("X-Tunnel").empty()) return read_tunnel();
    const bool to_head = count_ <= heads.size() && heads[count_ - 1];
    if (to_head || status == "204" || status == "304" || status == "205") return;
    read_body();
  }

  void read_tunnel() {
    if (rest_.find_first_not_of('t') != rest_.npos) fail("other bytes in a tunnel");
    stop();
  }

  void read_body() {
    if (field("Transfer-Encoding") == "chunked") return read_chunks();
    const std::string_view length = field("Content-Length");
    if (!length.empty()) return static_cast<void>(take(0, number_of(length, 10)));
    if (field("Connection") != "close") return fail("no end of the body can be known");
    take(0, rest_.size());
  }

  void read_chunks() {
    for (std::size_t at = 0; error_.empty();) {
      const std::size_t line = rest_.find("\r\n");
      if (line == rest_.npos) return stop();
      const std::size_t size = number_of(rest_.substr(0, line), 16);
      rest_.remove_prefix(line + 2);
      if (size == 0) return read_trailers();
      if (!take(at, size)) return;
      at += size;
      if (rest_.size() < 2) return stop();
      if (!rest_.starts_with("\r\n")) return fail("no end of a chunk");
      rest_.remove_prefix(2);
    }
  }

  void read_trailers() {
    for (;;) {
      const std::size_t line = rest_.find("\r\n");
      if (line == rest_.npos) return stop();
      const bool last = line == 0;
      if (!last && rest_.substr(0, line) != "X-Sum: 1") return fail("what trailer is this");
      rest_.remove_prefix(line + 2);
      if (last) return;
    }
  }

  // False: the end of what there is.
  bool take(std::size_t at, std::size_t size) {
    const std::string_view piece = rest_.substr(0, size);
    if (number_ == 0 && !piece.empty()) {
      fail("a body that nobody wrote");
      return false;
    }
    if (piece != response_bytes(number_, at, piece.size())) {
      fail("wrong bytes in the body");
      return false;
    }
    rest_.remove_prefix(piece.size());
    return piece.size() == size;
  }

  std::string_view field(std::string_view name) const {
    const std::string line = "\r\n" + std::string(name) + ": ";
    const std::size_t at = head_.find(line);
    if (at == head_.npos) return {};
    const std::string_view value = head_.substr(at + line.size());
    return value.substr(0, value.find("\r\n"));
  }

  unsigned number_of(std::string_view text, int base) {
    unsigned value = 0;
    const char* const end = text.data() + text.size();
    if (text.empty() || std::from_chars(text.data(), end, value, base).ptr != end) {
      fail("no number: " + std::string(text));
    }
    return value;
  }

  void stop() { rest_ = {}; }

  std::string_view rest_;
  std::string_view head_;
  unsigned number_ = 0;   // as its head says; 0: http has made it
  std::size_t count_ = 0;  // final responses
  std::string error_;
};

}  // namespace weir::test
