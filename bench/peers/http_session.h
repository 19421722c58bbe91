// One connection's HTTP, for the libraries that have none of their own: http_parser reads the
// requests, and the answers are appended to a string that the connection sends.
//
//     GET /hello              Hello, World!
//     POST /echo              the body: with Content-Length as the request had it, else in chunks
//     POST /upload            the size of the body, in decimal
//     GET /chunked?n=&size=   n chunks of that size
#pragma once

#include <http_parser.h>
#include <strings.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

namespace peer {

// "Sun, 06 Nov 1994 08:49:37 GMT", made once a second.
inline std::string_view date() {
  static char text[32];
  static std::time_t made = -1;
  const std::time_t now = std::time(nullptr);
  if (now != made) {
    made = now;
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  }
  return text;
}

class HttpSession {
 public:
  HttpSession() {
    http_parser_init(&parser_, HTTP_REQUEST);
    parser_.data = this;
  }
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  // Appends answers to out() and returns how much of the input it has used. Nothing in out() means:
  // all of it, and more is to be read. Else what is there is to be sent before the next call, which
  // may have something to add even if no input is left.
  std::size_t answer(const char* data, std::size_t size) {
    if (chunks_left_ > 0) add_chunks();
    if (chunks_left_ > 0) return 0;
    if (ends_) return size;
    // To the parser no bytes would be the end of the stream.
    if (size == 0) return 0;
    http_parser_pause(&parser_, 0);
    const std::size_t used = http_parser_execute(&parser_, &settings(), data, size);
    const http_errno error = HTTP_PARSER_ERRNO(&parser_);
    if (error == HPE_OK || error == HPE_PAUSED) return used;
    keeps_ = false;
    ends_ = true;
    if (!responding_) add_text("400 Bad Request", "");
    return size;
  }

  std::string& out() { return out_; }
  // No input is looked at any more: when out() is sent, the connection ends.
  bool ends() const { return ends_ && chunks_left_ == 0; }

 private:
  enum class Route : std::uint8_t { nothing, hello, echo, upload, chunked };

  // Beyond this no request is begun, and no chunk.
  static constexpr std::size_t kOutMax = 64 * 1024;
  static constexpr std::uint64_t kChunksMax = 1'000'000;
  static constexpr std::uint64_t kChunkBytesMax = 1 << 20;
  static constexpr std::uint64_t kInChunks = UINT64_MAX;

  static HttpSession& of(http_parser* parser) { return *static_cast<HttpSession*>(parser->data); }

  static const http_parser_settings& settings() {
    static const http_parser_settings all = [] {
      http_parser_settings made;
      http_parser_settings_init(&made);
      made.on_message_begin = [](http_parser* parser) { return of(parser).begin(); };
      made.on_url = [](http_parser* parser, const char* at, std::size_t size) {
        of(parser).url_.append(at, size);
        return 0;
      };
      made.on_header_field = [](http_parser* parser, const char* at, std::size_t size) {
        return of(parser).add_name(at, size);
      };
      made.on_header_value = [](http_parser* parser, const char* at, std::size_t size) {
        of(parser).value_.append(at, size);
        of(parser).has_value_ = true;
        return 0;
      };
      made.on_headers_complete = [](http_parser* parser) { return of(parser).begin_answer(); };
      made.on_body = [](http_parser* parser, const char* at, std::size_t size) {
        return of(parser).take_body({at, size});
      };
      made.on_message_complete = [](http_parser* parser) { return of(parser).finish_answer(); };
      return made;
    }();
    return all;
  }

  // ---- The request ----

  int begin() {
    url_.clear();
    name_.clear();
    value_.clear();
    has_value_ = false;
    expects_ = false;
    body_bytes_ = 0;
    return 0;
  }

  // A name, or the next piece of it.
  int add_name(const char* at, std::size_t size) {
    if (has_value_) end_field();
    name_.append(at, size);
    return 0;
  }

  void end_field() {
    if (strcasecmp(name_.c_str(), "expect") == 0) {
      expects_ = strcasecmp(value_.c_str(), "100-continue") == 0;
    }
    name_.clear();
    value_.clear();
    has_value_ = false;
  }

  bool in_chunks() const { return (parser_.flags & F_CHUNKED) != 0; }
  bool knows_chunks() const { return parser_.http_major == 1 && parser_.http_minor >= 1; }

  Route route() const {
    const std::string_view path = std::string_view(url_).substr(0, url_.find('?'));
    if (parser_.method == HTTP_GET) {
      if (path == "/hello") return Route::hello;
      if (path == "/chunked") return Route::chunked;
    } else if (parser_.method == HTTP_POST) {
      if (path == "/echo") return Route::echo;
      if (path == "/upload") return Route::upload;
    }
    return Route::nothing;
  }

  // ---- The answer ----

  int begin_answer() {
    end_field();
    // No other protocol is spoken here, so the request is answered as any other.
    parser_.upgrade = 0;
    route_ = route();
    keeps_ = http_should_keep_alive(&parser_) != 0;
    if (expects_) out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    if (route_ == Route::echo) {
      const bool sized = !in_chunks();
      const std::uint64_t size = parser_.content_length == UINT64_MAX ? 0 : parser_.content_length;
      add_head("200 OK", "application/octet-stream", sized ? size : kInChunks);
    }
    return 0;
  }

  int take_body(std::string_view bytes) {
    body_bytes_ += bytes.size();
    if (route_ != Route::echo) return 0;
    if (in_chunks()) {
      add_chunk(bytes);
    } else {
      out_ += bytes;
    }
    return 0;
  }

  int finish_answer() {
    switch (route_) {
      case Route::hello: add_text("200 OK", "Hello, World!"); break;
      case Route::upload: add_text("200 OK", std::to_string(body_bytes_)); break;
      case Route::chunked: begin_chunks(); break;
      case Route::nothing: add_text("404 Not Found", ""); break;
      case Route::echo:
        if (in_chunks()) end_chunks();
        break;
    }
    responding_ = false;
    if (!keeps_) ends_ = true;
    if (ends_ || chunks_left_ > 0 || out_.size() >= kOutMax) http_parser_pause(&parser_, 1);
    return 0;
  }

  void add_number(std::uint64_t number, int base) {
    char digits[24];
    out_.append(digits, std::to_chars(digits, digits + sizeof digits, number, base).ptr);
  }

  void add_head(std::string_view status, std::string_view type, std::uint64_t size) {
    responding_ = true;
    // Without chunks the end of the connection is the end of the body.
    if (size == kInChunks && !knows_chunks()) keeps_ = false;
    out_.append("HTTP/1.1 ").append(status).append("\r\nDate: ").append(date());
    out_.append("\r\nContent-Type: ").append(type);
    if (size == kInChunks) {
      if (knows_chunks()) out_ += "\r\nTransfer-Encoding: chunked";
    } else {
      out_ += "\r\nContent-Length: ";
      add_number(size, 10);
    }
    if (!keeps_) {
      out_ += "\r\nConnection: close";
    } else if (!knows_chunks()) {
      out_ += "\r\nConnection: keep-alive";
    }
    out_ += "\r\n\r\n";
  }

  void add_text(std::string_view status, std::string_view text) {
    add_head(status, "text/plain", text.size());
    out_ += text;
  }

  // ---- Chunks ----

  // False: it is no number, or too large. What is not there stays as it is.
  bool read_number(std::string_view name, std::uint64_t most, std::uint64_t& number) const {
    std::size_t at = url_.find('?');
    while (at != std::string::npos) {
      const std::string_view pair = std::string_view(url_).substr(at + 1);
      at = url_.find('&', at + 1);
      if (!pair.starts_with(name)) continue;
      const std::string_view digits = pair.substr(name.size(), pair.find('&') - name.size());
      const char* const end = digits.data() + digits.size();
      const auto parsed = std::from_chars(digits.data(), end, number);
      return parsed.ec == std::errc() && parsed.ptr == end && number <= most;
    }
    return true;
  }

  void begin_chunks() {
    std::uint64_t count = 10;
    std::uint64_t size = 1024;
    if (!read_number("n=", kChunksMax, count) || !read_number("size=", kChunkBytesMax, size) ||
        size == 0) {
      return add_text("400 Bad Request", "");
    }
    add_head("200 OK", "text/plain", kInChunks);
    chunk_size_ = static_cast<std::size_t>(size);
    chunks_left_ = count + 1;
    add_chunks();
  }

  // As many as there is room for; the last one is the empty one.
  void add_chunks() {
    static const std::string bytes(kChunkBytesMax, 'x');
    for (; chunks_left_ > 1; --chunks_left_) {
      if (out_.size() >= kOutMax) return;
      add_chunk(std::string_view(bytes).substr(0, chunk_size_));
    }
    end_chunks();
    chunks_left_ = 0;
  }

  void add_chunk(std::string_view bytes) {
    if (!knows_chunks()) {
      out_ += bytes;
      return;
    }
    add_number(bytes.size(), 16);
    out_.append("\r\n").append(bytes).append("\r\n");
  }

  void end_chunks() {
    if (knows_chunks()) out_ += "0\r\n\r\n";
  }

  http_parser parser_;
  std::string out_;
  std::string url_;
  std::string name_;
  std::string value_;
  bool has_value_ = false;
  bool expects_ = false;
  // From the head of an answer to its end.
  bool responding_ = false;
  // The connection lasts beyond this request.
  bool keeps_ = true;
  bool ends_ = false;
  Route route_ = Route::nothing;
  std::uint64_t body_bytes_ = 0;
  std::uint64_t chunks_left_ = 0;
  std::size_t chunk_size_ = 0;
};

}  // namespace peer
