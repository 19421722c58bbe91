#include "weir/http/client_response.h"

#include <cerrno>
#include <memory>
#include <utility>

#include "http/call.h"
#include "http/incoming_message_impl.h"
#include "weir/reactor/gathered_bytes.h"

namespace weir::inline v1::http {

template class IncomingMessage<ClientResponse, Call>;

bool ClientResponse::keep_head(const ReceivedHead& head) noexcept {
  std::string_view reason;
  if (head.reason.empty()) {
    if (!fields_.keep(head.fields)) return false;
  } else {
    // It stands before the fields.
    const char* first = head.reason.data();
    const char* last = first + head.reason.size();
    for (const Field& field : head.fields) {
      last = field.value.empty() ? field.name.data() + field.name.size()
                                 : field.value.data() + field.value.size();
    }
    const std::string_view text(first, static_cast<std::size_t>(last - first));
    const char* copied = fields_.keep(head.fields, text);
    if (copied == nullptr) return false;
    reason = {copied, head.reason.size()};
  }
  head_ = head;
  head_.fields = fields_.fields();
  head_.reason = reason;
  return true;
}

void ClientResponse::reset() noexcept {
  IncomingMessage::reset();
  head_ = ReceivedHead();
}

std::optional<std::uint64_t> ClientResponse::body_size() const noexcept {
  switch (head_.framing.kind) {
    case BodyFraming::Kind::none: return 0;
    case BodyFraming::Kind::length: return head_.framing.length;
    default: return std::nullopt;
  }
}

namespace {

struct Collector {
  std::size_t room;
  Function<void(ClientResponse&, Expected<std::string_view>)> done;
  GatheredBytes body = {};

  void take(ClientResponse& response, std::string_view piece) {
    if (piece.size() > room) return response.destroy(errno_code(EMSGSIZE));
    if (!body.append(piece)) return response.destroy(errno_code(ENOMEM));
    room -= piece.size();
  }
};

}  // namespace

void ClientResponse::read_body(std::size_t bytes_max,
                               Function<void(ClientResponse&, Expected<std::string_view>)> done) {
  auto owned = std::make_unique<Collector>(bytes_max, std::move(done));
  Collector& collector = *owned;  // goes with its 'data' listener
  if (body_size().value_or(0) > bytes_max) destroy(errno_code(EMSGSIZE));
  on_end([&collector](ClientResponse& response) {
    collector.done(response, collector.body.view());
  });
  on_error([&collector](ClientResponse& response, const Error& error) {
    collector.done(response, failure(error));
  });
  on_data([owned = std::move(owned)](ClientResponse& response, Buffer bytes) {
    owned->take(response, bytes.view());
  });
}

void ClientResponse::destroy(std::error_code code) { owner_.destroy(code); }
ClientRequest& ClientResponse::request() const noexcept { return owner_.request; }

}  // namespace weir::inline v1::http
