#include "weir/http/request.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "weir/http/field_value.h"
#include "weir/http/limits.h"
#include "weir/net/socket.h"
#include "weir/reactor/memory.h"
#include "http/connection.h"
#include "http/exchange.h"

namespace weir::inline v1::http {
namespace {

// ASCII letters in either case.
bool is_same_name(std::string_view a, std::string_view b) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

// Fields of which Node keeps the first line only (RFC 9110 gives them one).
constexpr std::string_view kSingleFields[] = {
    "age",           "authorization",       "content-length", "content-type",
    "etag",          "expires",             "from",           "host",
    "if-modified-since", "if-unmodified-since", "last-modified", "location",
    "max-forwards",  "proxy-authorization", "referer",        "retry-after",
    "server",        "user-agent"};

bool stands_once(std::string_view name) noexcept {
  return std::ranges::any_of(kSingleFields, [&](std::string_view known) {
    return equals_lower(name, known);
  });
}

// Copies fields, whose texts all lie in `text`, and that text.
//
//     memory  [Field][Field]...[text]
std::span<const Field> copy_fields(void* memory, std::span<const Field> fields,
                                   std::string_view text) noexcept {
  auto* copies = static_cast<Field*>(memory);
  char* to = reinterpret_cast<char*>(copies + fields.size());
  std::memcpy(to, text.data(), text.size());
  const auto moved = [&](std::string_view view) {
    return view.empty() ? std::string_view()
                        : std::string_view(to + (view.data() - text.data()), view.size());
  };
  for (std::size_t i = 0; i < fields.size(); ++i) {
    ::new (copies + i) Field{moved(fields[i].name), moved(fields[i].value)};
  }
  return {copies, fields.size()};
}

}  // namespace

// What the head refers to lies between its target and the end of its last field.
bool Request::keep_head(const RequestHead& head) noexcept {
  const char* first = head.target.data();
  const char* last = first + head.target.size();
  for (const Field& field : head.fields) {
    last = std::max({last, field.name.data() + field.name.size(),
                     field.value.data() + field.value.size()});
  }
  const std::string_view text(first, static_cast<std::size_t>(last - first));
  const std::size_t size = head.fields.size() * sizeof(Field) + text.size();
  if (size > memory_size_) {
    memory::release(memory_);
    memory_size_ = std::max(size, limits::kHeldBytesFirst);
    memory_ = memory::allocate(memory_size_);
    if (memory_ == nullptr) {
      memory_size_ = 0;
      return false;
    }
  }
  head_ = head;
  head_.fields = copy_fields(memory_, head.fields, text);
  char* copied = static_cast<char*>(memory_) + head.fields.size() * sizeof(Field);
  head_.target = {copied, head.target.size()};
  if (!head.host.empty()) head_.host = {copied + (head.host.data() - first), head.host.size()};
  return true;
}

bool Request::keep_trailers(std::span<const Field> trailers) noexcept {
  if (trailers.empty()) return true;
  const char* first = trailers.front().name.data();
  const char* last = first;
  for (const Field& field : trailers) {
    first = std::min(first, field.name.data());
    last = std::max({last, field.name.data() + field.name.size(),
                     field.value.data() + field.value.size()});
  }
  const std::string_view text(first, static_cast<std::size_t>(last - first));
  trailer_memory_ = memory::allocate(trailers.size() * sizeof(Field) + text.size());
  if (trailer_memory_ == nullptr) return false;
  trailers_ = copy_fields(trailer_memory_, trailers, text);
  return true;
}

void Request::reset() noexcept {
  if (memory_size_ > limits::kHeldBytesKept) {
    memory::release(memory_);
    memory_ = nullptr;
    memory_size_ = 0;
  }
  if (trailer_memory_ != nullptr) {
    memory::release(trailer_memory_);
    trailer_memory_ = nullptr;
  }
  head_ = RequestHead();
  trailers_ = {};
  decoder_.reset();
  if (has_listeners_) {
    data_.clear();
    end_.clear();
    abort_.clear();
    error_.clear();
    timeout_.clear();
    close_.clear();
  }
  user_data = nullptr;
  has_listeners_ = paused_ = flowing_ = complete_ = aborted_ = false;
}

Request::~Request() {
  memory::release(memory_);
  memory::release(trailer_memory_);
}

// ---- The head ----

std::optional<std::string_view> Request::header(std::string_view name) const noexcept {
  for (const Field& field : head_.fields) {
    if (is_same_name(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::vector<std::string_view> Request::header_values(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const Field& field : head_.fields) {
    if (is_same_name(field.name, name)) values.push_back(field.value);
  }
  return values;
}

std::optional<std::string> Request::combined_header(std::string_view name) const {
  const std::vector<std::string_view> values = header_values(name);
  if (values.empty()) return std::nullopt;
  std::string all(values.front());
  if (stands_once(name)) return all;
  const std::string_view separator = equals_lower(name, "cookie") ? "; " : ", ";
  for (std::size_t i = 1; i < values.size(); ++i) all.append(separator).append(values[i]);
  return all;
}

std::optional<std::string_view> Request::cookie(std::string_view name) const noexcept {
  for (const Field& field : head_.fields) {
    if (!equals_lower(field.name, "cookie")) continue;
    if (const auto found = find_cookie(field.value, name)) return found;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> Request::body_size() const noexcept {
  if (head_.framing.kind == Framing::Kind::chunked) return std::nullopt;
  return head_.framing.length;
}

// ---- The body ----

void Request::pause() { paused_ = true; }

void Request::resume() {
  paused_ = false;
  flowing_ = true;
  if (exchange_.connection != nullptr) exchange_.connection->look_again();
}

void Request::set_encoding(net::Encoding encoding) { decoder_.emplace(encoding); }

void Request::deliver(Buffer bytes) {
  if (!decoder_ || decoder_->passes_through(bytes.view())) return emit_data(std::move(bytes));
  std::string text;
  decoder_->decode(bytes.view(), text);
  if (!text.empty()) emit_data(Buffer::take(std::move(text)));
}

void Request::finish_text() {
  if (!decoder_) return;
  std::string text;
  decoder_->finish(text);
  if (!text.empty()) emit_data(Buffer::take(std::move(text)));
}

void Request::emit_data(Buffer bytes) {
  data_.emit_each([&](auto& listener, bool last) {
    listener(*this, last ? std::move(bytes) : bytes.share());
    return exchange_.connection != nullptr && !exchange_.connection->gone();
  });
}

namespace {

struct Collector {
  std::size_t room;
  Function<void(Request&, Response&, std::string_view)> done;
  std::string body = {};
  bool too_large = false;

  void take(Response& response, std::string_view piece) {
    if (too_large) return;
    too_large = piece.size() > room;
    if (too_large) return refuse(response);
    room -= piece.size();
    body += piece;
  }
  static void refuse(Response& response) {
    if (response.headers_sent()) return;
    static_cast<void>(response.set_status(413));
    response.end();
  }
};

}  // namespace

void Request::read_body(std::size_t bytes_max,
                        Function<void(Request&, Response&, std::string_view)> done) {
  Response& response = exchange_.response;
  if (head_.framing.length > bytes_max) return Collector::refuse(response);
  auto owned = std::make_unique<Collector>(bytes_max, std::move(done));
  Collector& collector = *owned;  // goes with its 'data' listener
  on_end([&response, &collector](Request& request) {
    if (!collector.too_large) collector.done(request, response, collector.body);
  });
  on_data([&response, owned = std::move(owned)](Request&, Buffer bytes) {
    owned->take(response, bytes.view());
  });
}

Expected<void> Request::set_timeout(Duration timeout) { return socket().set_timeout(timeout); }

void Request::destroy(std::error_code code) {
  exchange_.response.destroy(code);
}

net::Socket& Request::socket() const noexcept { return exchange_.connection->socket(); }

// ---- Listeners ----

ListenerId Request::on_data(Function<void(Request&, Buffer)> call, Times times) {
  has_listeners_ = true;
  if (exchange_.connection != nullptr) exchange_.connection->look_again();
  return data_.add(std::move(call), times == Times::once);
}

ListenerId Request::on_end(Function<void(Request&)> call, Times times) {
  has_listeners_ = true;
  return end_.add(std::move(call), times == Times::once);
}

ListenerId Request::on_aborted(Function<void(Request&)> call, Times times) {
  has_listeners_ = true;
  return abort_.add(std::move(call), times == Times::once);
}

ListenerId Request::on_error(Function<void(Request&, const Error&)> call, Times times) {
  has_listeners_ = true;
  return error_.add(std::move(call), times == Times::once);
}

ListenerId Request::on_timeout(Function<void(Request&)> call, Times times) {
  has_listeners_ = true;
  return timeout_.add(std::move(call), times == Times::once);
}

ListenerId Request::on_close(Function<void(Request&)> call, Times times) {
  has_listeners_ = true;
  return close_.add(std::move(call), times == Times::once);
}

void Request::off(ListenerId id) noexcept {
  data_.remove(id);
  end_.remove(id);
  abort_.remove(id);
  error_.remove(id);
  timeout_.remove(id);
  close_.remove(id);
}

RequestRef Request::weak() const noexcept { return {exchange_, exchange_.number}; }

Request* RequestRef::get() const noexcept {
  if (exchange_ == nullptr || exchange_->number != number_) return nullptr;
  return &exchange_->request;
}

}  // namespace weir::inline v1::http
