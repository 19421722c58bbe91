// permessage-deflate. The input's first bytes choose window, level, rooms and sizes of pieces. Then
// its lines are messages, which zlib itself inflates again within the window that was agreed on;
// the same bytes as what a peer has sent, which inflate to the same however they are cut; and a
// Sec-WebSocket-Extensions, which a reader of lexemes, written down here, takes for the same.
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/http_trace.h"
#include "weir/http/websocket/deflate.h"
#include "weir/http/websocket/extensions.h"
#include "weir/reactor/assert.h"

namespace weir::test {
namespace {

namespace websocket = http::websocket;
using http::Field;
using websocket::Deflater;
using websocket::ExtensionList;
using websocket::Inflater;

constexpr std::string_view kTail("\0\0\xff\xff", 4);

struct Options {
  int window_bits;
  bool takeover;
  int level;
  std::size_t room;   // of what is written
  std::size_t piece;  // of what is read
  std::size_t times;  // that a message is repeated
};

Options options_of(std::string_view bytes) {
  const auto byte = [&](std::size_t at) {
    return static_cast<std::size_t>(at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0);
  };
  return {.window_bits = 8 + static_cast<int>(byte(0) % 8),
          .takeover = byte(0) / 8 % 2 == 0,
          .level = static_cast<int>(byte(0) / 16 % 10),
          .room = 1 + byte(1),
          .piece = 1 + byte(2),
          .times = 1 + byte(3) % 64};
}

// ---- Messages of our own ----

std::string deflate(Deflater& deflater, std::string_view message, const Options& options) {
  std::vector<char> room(options.room + websocket::limits::kDeflateRoomMin);
  std::string out;
  for (std::size_t at = 0;;) {
    const std::string_view piece = message.substr(at, options.piece);
    const bool last = at + piece.size() == message.size();
    const ExactBytes bytes(piece);
    const Deflater::Step step = deflater.next(bytes.view(), last, room);
    WEIR_ASSERT(step.consumed <= piece.size() && step.written <= room.size());
    out.append(room.data(), step.written);
    at += step.consumed;
    if (step.status == Deflater::Status::end) {
      WEIR_ASSERT(last && at == message.size() && !out.empty());
      return out;
    }
    const bool wants_input = step.status == Deflater::Status::need_input;
    WEIR_ASSERT(wants_input || step.status == Deflater::Status::need_room);
    WEIR_ASSERT(!wants_input || (step.consumed == piece.size() && !last));
    WEIR_ASSERT(step.consumed > 0 || step.written > 0 || last);
  }
}

// zlib's own, in one piece. Nothing: it is no DEFLATE, or looks back beyond the window; or it has
// a final block, behind which everybody has rules of his own.
class Zlib {
 public:
  explicit Zlib(int window_bits) {
    WEIR_ASSERT(inflateInit2(&stream_, -window_bits) == Z_OK);
  }
  Zlib(const Zlib&) = delete;
  Zlib& operator=(const Zlib&) = delete;
  ~Zlib() { inflateEnd(&stream_); }

  std::optional<std::string> inflate(std::string_view message, bool takeover) {
    if (!takeover) inflateReset(&stream_);
    std::string bytes(message);
    bytes.append(kTail);
    std::string out;
    stream_.next_in = reinterpret_cast<Bytef*>(bytes.data());
    stream_.avail_in = static_cast<uInt>(bytes.size());
    for (;;) {
      char room[4096];
      stream_.next_out = reinterpret_cast<Bytef*>(room);
      stream_.avail_out = sizeof room;
      const int result = ::inflate(&stream_, Z_SYNC_FLUSH);
      out.append(room, sizeof room - stream_.avail_out);
      if (result != Z_OK && result != Z_BUF_ERROR) return std::nullopt;
      if (stream_.avail_out > 0) return out;
      if (out.size() > kMost) return std::nullopt;
    }
  }

  // With room for one byte at a time; behind a final block with more to read comes another stream.
  // What it has written when a distance leads beyond the window; nothing: all else.
  std::optional<std::string> inflate_narrowly(std::string_view message, bool takeover) {
    if (!takeover) inflateReset(&stream_);
    std::string bytes(message);
    bytes.append(kTail);
    std::string out;
    stream_.next_in = reinterpret_cast<Bytef*>(bytes.data());
    stream_.avail_in = static_cast<uInt>(bytes.size());
    while (out.size() <= kMost) {
      char byte = 0;
      stream_.next_out = reinterpret_cast<Bytef*>(&byte);
      stream_.avail_out = 1;
      const int result = ::inflate(&stream_, Z_SYNC_FLUSH);
      if (stream_.avail_out == 0) out.push_back(byte);
      if (result == Z_DATA_ERROR && std::string_view(stream_.msg) == kTooFarBack) return out;
      if (result == Z_STREAM_END) {
        inflateResetKeep(&stream_);
        if (stream_.avail_in <= kTail.size()) return std::nullopt;
      } else if ((result != Z_OK && result != Z_BUF_ERROR) || stream_.avail_out > 0) {
        return std::nullopt;
      }
    }
    return std::nullopt;
  }

  static constexpr std::size_t kMost = std::size_t{1} << 20;

 private:
  // Of zlib's own words.
  static constexpr std::string_view kTooFarBack = "invalid distance too far back";

  z_stream stream_ = {};
};

struct Inflated {
  std::string text;
  Inflater::Status status;
  bool operator==(const Inflated&) const = default;
};

Inflated inflate(Inflater& inflater, std::string_view message, std::size_t piece_size,
                 std::size_t room_size) {
  std::vector<char> room(room_size);
  Inflated result{};
  for (std::size_t at = 0;;) {
    const std::string_view piece = message.substr(at, piece_size);
    const ExactBytes bytes(piece);
    const bool last = at + piece.size() == message.size();
    const Inflater::Step step = inflater.next(bytes.view(), last, room);
    WEIR_ASSERT(step.consumed <= piece.size() && step.written <= room_size);
    result.text.append(room.data(), step.written);
    at += step.consumed;
    result.status = step.status;
    if (step.status == Inflater::Status::need_room) continue;
    if (step.status != Inflater::Status::need_input) return result;
    WEIR_ASSERT(!last && step.consumed == piece.size());
  }
}

void try_messages(std::string_view text, const Options& options) {
  Deflater deflater(options.window_bits, options.takeover, options.level);
  Inflater inflater(options.window_bits, options.takeover);
  Zlib zlib(options.window_bits);
  for (bool more = true; more;) {
    const std::size_t end = text.find('\n');
    more = end != text.npos;
    std::string message;
    for (std::size_t i = 0; i < options.times; ++i) message += text.substr(0, end);
    if (more) text.remove_prefix(end + 1);
    const std::string sent = deflate(deflater, message, options);
    WEIR_ASSERT(!sent.ends_with(kTail));
    WEIR_ASSERT(zlib.inflate(sent, options.takeover) == message);
    const Inflated got = inflate(inflater, sent, options.piece, options.room);
    WEIR_ASSERT(got.status == Inflater::Status::end && got.text == message);
    if (options.takeover) continue;
    deflater.release();
    inflater.release();
  }
}

// ---- A peer's ----

// What zlib, with room for a byte at a time, writes of the last of `count` times these bytes up to
// a distance that leads beyond the window; nothing: none does. So it can look back as far as the
// window and no further, and nobody who has more room refuses earlier.
std::optional<std::string> up_to_beyond(std::string_view bytes, const Options& options,
                                        int count) {
  Zlib zlib(options.window_bits);
  for (int i = 1; i < count; ++i) zlib.inflate_narrowly(bytes, options.takeover);
  return zlib.inflate_narrowly(bytes, options.takeover);
}

// What two readers of the same bytes, which were sent `count` times, found the last time. A peer
// that looks back beyond the window it has agreed on may be found out by one of them only, or
// earlier: how far zlib can look back depends on how much it writes at a time. With the largest
// window there is no beyond.
bool is_same(const Inflated& a, const Inflated& b, std::string_view bytes, const Options& options,
             int count) {
  if (a == b) return true;
  if (options.window_bits == websocket::limits::kWindowBitsMax) return false;
  const auto good = up_to_beyond(bytes, options, count);
  if (!good) return false;
  const auto found_out = [&good](const Inflated& one, const Inflated& other) {
    return one.status == Inflater::Status::malformed && one.text.starts_with(*good) &&
           other.text.starts_with(one.text);
  };
  return found_out(a, b) || found_out(b, a);
}

void try_bytes_of_peer(std::string_view bytes, const Options& options) {
  const std::size_t most = options.times < 32 ? 100 : 65536;
  Inflater whole(options.window_bits, options.takeover, most);
  Inflater in_bytes(options.window_bits, options.takeover, most);
  Inflater in_pieces(options.window_bits, options.takeover, most);
  Zlib zlib(options.window_bits);
  // Twice, for what one message leaves to the next.
  for (int count = 1; count <= 2; ++count) {
    const Inflated wanted = inflate(whole, bytes, std::string_view::npos, 300);
    WEIR_ASSERT(wanted.text.size() <= most);
    const Inflated by_bytes = inflate(in_bytes, bytes, 1, 1);
    const Inflated by_pieces = inflate(in_pieces, bytes, options.piece, options.room);
    WEIR_ASSERT(is_same(by_bytes, wanted, bytes, options, count));
    WEIR_ASSERT(is_same(by_pieces, wanted, bytes, options, count));
    const auto plain = zlib.inflate(bytes, options.takeover);
    if (wanted.status == Inflater::Status::end && plain) WEIR_ASSERT(*plain == wanted.text);
    if (wanted.status == Inflater::Status::too_big && plain) WEIR_ASSERT(plain->size() > most);
    const bool all_end = wanted.status == Inflater::Status::end && by_bytes == wanted &&
                         by_pieces == wanted;
    if (!all_end || !plain) return;
  }
}

// ---- Sec-WebSocket-Extensions ----

struct Parameter {
  std::string name;
  bool has_value = false;
  std::string value;
  bool is_plain = true;
};
struct Extension {
  std::string name;
  std::vector<Parameter> parameters;
};

bool is_token_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
}

// 't' for a token, 'q' for a quoted one, else the mark itself; '?' is none of them.
struct Lexeme {
  char kind;
  std::string text;
};

std::vector<Lexeme> lexemes_of(std::string_view text) {
  std::vector<Lexeme> lexemes;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at++];
    if (c == ' ' || c == '\t') continue;
    Lexeme lexeme{.kind = c, .text = {}};
    if (is_token_byte(c)) {
      lexeme = {'t', std::string(1, c)};
      while (at < text.size() && is_token_byte(text[at])) lexeme.text += text[at++];
    } else if (c == '"') {
      lexeme.kind = 'q';
      while (at < text.size() && text[at] != '"') {
        lexeme.text += text[at];
        const bool escapes = text[at++] == '\\';
        if (escapes && at < text.size()) lexeme.text += text[at++];
      }
      if (at++ >= text.size()) lexeme.kind = '?';
    } else if (c != ',' && c != ';' && c != '=') {
      lexeme.kind = '?';
    }
    lexemes.push_back(lexeme);
  }
  return lexemes;
}

// A token once its backslashes are taken away.
bool is_quoted_token(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') ++i;
    if (i >= text.size() || !is_token_byte(text[i])) return false;
  }
  return !text.empty();
}

// One extension: t (; t (= (t|q))?)*
std::optional<Extension> read_extension(const std::vector<Lexeme>& lexemes) {
  const auto kind = [&](std::size_t at) { return at < lexemes.size() ? lexemes[at].kind : '.'; };
  if (kind(0) != 't') return std::nullopt;
  Extension extension{.name = lexemes[0].text, .parameters = {}};
  for (std::size_t at = 1; at < lexemes.size();) {
    if (kind(at) != ';' || kind(at + 1) != 't') return std::nullopt;
    Parameter parameter{.name = lexemes[at + 1].text, .value = {}};
    at += 2;
    if (kind(at) == '=') {
      if (kind(at + 1) != 't' && kind(at + 1) != 'q') return std::nullopt;
      parameter.has_value = true;
      parameter.value = lexemes[at + 1].text;
      parameter.is_plain = parameter.value.find('\\') == std::string::npos;
      if (kind(at + 1) == 'q' && !is_quoted_token(parameter.value)) return std::nullopt;
      at += 2;
    }
    extension.parameters.push_back(parameter);
  }
  return extension;
}

// Nothing: malformed. `read` has those in front of it.
bool read_extensions(std::string_view text, std::vector<Extension>& read) {
  std::vector<Lexeme> element;
  std::vector<Lexeme> lexemes = lexemes_of(text);
  lexemes.push_back({',', {}});
  for (const Lexeme& lexeme : lexemes) {
    if (lexeme.kind != ',') {
      element.push_back(lexeme);
      continue;
    }
    if (element.empty()) continue;
    const auto extension = read_extension(element);
    if (!extension) return false;
    read.push_back(*extension);
    element.clear();
  }
  return true;
}

void check_item(const ExtensionList::Item& item, const Extension& extension, std::size_t index) {
  WEIR_ASSERT(item.kind == ExtensionList::Item::Kind::item);
  WEIR_ASSERT(item.starts == (index == 0) && item.extension == extension.name);
  if (extension.parameters.empty()) {
    WEIR_ASSERT(item.parameter.empty() && !item.has_value);
    return;
  }
  const Parameter& parameter = extension.parameters[index];
  WEIR_ASSERT(item.parameter == parameter.name && item.has_value == parameter.has_value);
  WEIR_ASSERT(item.value == parameter.value && item.is_plain == parameter.is_plain);
}

// The first offer that can be taken: RFC 7692, section 7.1, parameter by parameter.
std::optional<websocket::DeflateAgreement> read_offer(const Extension& offer) {
  if (offer.name != "permessage-deflate") return std::nullopt;
  websocket::DeflateAgreement agreement;
  std::vector<std::string> names;
  for (const Parameter& parameter : offer.parameters) {
    if (std::ranges::find(names, parameter.name) != names.end()) return std::nullopt;
    names.push_back(parameter.name);
    int bits = 0;
    for (int i = 8; i <= 15; ++i) {
      if (parameter.value == std::to_string(i)) bits = i;
    }
    if (parameter.name == "server_no_context_takeover" && !parameter.has_value) {
      agreement.server_no_context_takeover = true;
    } else if (parameter.name == "client_no_context_takeover" && !parameter.has_value) {
      agreement.client_no_context_takeover = true;
    } else if (parameter.name == "server_max_window_bits" && bits != 0) {
      agreement.server_max_window_bits = bits;
    } else if (parameter.name == "client_max_window_bits" && (bits != 0 || !parameter.has_value)) {
      if (bits != 0) agreement.client_max_window_bits = bits;
    } else {
      return std::nullopt;
    }
  }
  return agreement;
}

void try_extensions(std::string_view text) {
  const ExactBytes exact(text);
  std::vector<Extension> plain;
  const bool good = read_extensions(text, plain);
  ExtensionList list(exact.view());
  for (const Extension& extension : plain) {
    for (std::size_t i = 0; i < std::max<std::size_t>(extension.parameters.size(), 1); ++i) {
      check_item(list.next(), extension, i);
    }
  }
  // What is malformed may be so behind some parameters.
  std::size_t left = text.size() + 1;
  auto kind = list.next().kind;
  while (!good && kind == ExtensionList::Item::Kind::item && left-- > 0) kind = list.next().kind;
  using Kind = ExtensionList::Item::Kind;
  WEIR_ASSERT(kind == (good ? Kind::end : Kind::malformed) && list.next().kind == kind);
  const Field fields[] = {{"sec-websocket-extensions", exact.view()}};
  const auto accepted = websocket::accept_deflate(fields, {});
  using websocket::DeflateAnswer;
  WEIR_ASSERT((accepted.answer == DeflateAnswer::malformed) == !good);
  if (!good) return;
  std::optional<websocket::DeflateAgreement> wanted;
  for (const Extension& offer : plain) {
    if (!wanted) wanted = read_offer(offer);
  }
  WEIR_ASSERT((accepted.answer == DeflateAnswer::agreed) == wanted.has_value());
  if (!wanted) return;
  const websocket::DeflateAgreement& got = accepted.agreement;
  WEIR_ASSERT(got.server_no_context_takeover == wanted->server_no_context_takeover);
  WEIR_ASSERT(got.client_no_context_takeover == wanted->client_no_context_takeover);
  WEIR_ASSERT(got.server_max_window_bits == wanted->server_max_window_bits);
  WEIR_ASSERT(got.client_max_window_bits == wanted->client_max_window_bits);
}

void try_bytes(std::string_view bytes) {
  constexpr std::size_t kOptionBytes = 4;
  const Options options = options_of(bytes);
  const std::string_view rest = bytes.substr(std::min(bytes.size(), kOptionBytes));
  try_messages(rest, options);
  try_bytes_of_peer(rest, options);
  try_extensions(rest);
}

}  // namespace
}  // namespace weir::test

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::test::try_bytes({reinterpret_cast<const char*>(data), size});
  return 0;
}
