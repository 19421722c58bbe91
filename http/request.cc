#include "weir/http/request.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include "weir/http/field_value.h"
#include "weir/net/socket.h"
#include "weir/reactor/gathered_bytes.h"
#include "http/connection.h"
#include "http/exchange.h"
#include "http/incoming_message_impl.h"

namespace weir::inline v1::http {

template class IncomingMessage<Request, Exchange>;

// What the head refers to lies between its target and the end of its last field.
bool Request::keep_head(const RequestHead& head) noexcept {
  const char* first = head.target.data();
  const char* last = first + head.target.size();
  for (const Field& field : head.fields) {
    last = std::max({last, field.name.data() + field.name.size(),
                     field.value.data() + field.value.size()});
  }
  const std::string_view text(first, static_cast<std::size_t>(last - first));
  const char* copied = fields_.keep(head.fields, text);
  if (copied == nullptr) return false;
  head_ = head;
  head_.fields = fields_.fields();
  head_.target = {copied, head.target.size()};
  if (!head.host.empty()) head_.host = {copied + (head.host.data() - first), head.host.size()};
  return true;
}

// The head's views stay, and point nowhere, until keep_head() of the next message.
void Request::reset() noexcept {
  if (has_listeners_) timeout_.clear();
  IncomingMessage::reset();
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

namespace {

struct Collector {
  std::size_t room;
  Function<void(Request&, Response&, std::string_view)> done;
  GatheredBytes body = {};
  bool refused = false;

  void take(Response& response, std::string_view piece) {
    if (refused) return;
    const bool fits = piece.size() <= room;
    refused = !fits || !body.append(piece);
    if (!refused) {
      room -= piece.size();
    } else if (fits && response.headers_sent()) {
      response.destroy(errno_code(ENOMEM));
    } else {
      refuse(response, fits ? 503 : 413);
    }
  }
  static void refuse(Response& response, int status) {
    if (response.headers_sent()) return;
    static_cast<void>(response.set_status(status));
    response.end();
  }
};

}  // namespace

void Request::read_body(std::size_t bytes_max,
                        Function<void(Request&, Response&, std::string_view)> done) {
  Response& response = owner_.response;
  if (head_.framing.length > bytes_max) return Collector::refuse(response, 413);
  auto owned = std::make_unique<Collector>(bytes_max, std::move(done));
  Collector& collector = *owned;  // goes with its 'data' listener
  on_end([&response, &collector](Request& request) {
    if (!collector.refused) collector.done(request, response, collector.body.view());
  });
  on_data([&response, owned = std::move(owned)](Request&, Buffer bytes) {
    owned->take(response, bytes.view());
  });
}

Expected<void> Request::set_timeout(Duration timeout) { return socket().set_timeout(timeout); }

void Request::destroy(std::error_code code) {
  owner_.response.destroy(code);
}

net::Socket& Request::socket() const noexcept { return owner_.connection->socket(); }

// ---- Listeners ----

ListenerId Request::on_timeout(Function<void(Request&)> call, Times times) {
  has_listeners_ = true;
  return timeout_.add(std::move(call), times == Times::once);
}

void Request::off(ListenerId id) noexcept {
  timeout_.remove(id);
  remove_listener(id);
}

RequestRef Request::weak() const noexcept { return {owner_, owner_.number}; }

Request* RequestRef::get() const noexcept {
  if (exchange_ == nullptr || exchange_->number != number_) return nullptr;
  return &exchange_->request;
}

}  // namespace weir::inline v1::http
