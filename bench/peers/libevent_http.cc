// HTTP on libevent's evhttp. It hands over a request when all of its body is there, so an echo
// begins when the body is complete; http_session.h has the routes.
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <strings.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>

#include "libevent_server.h"

namespace peer {
namespace {

constexpr std::uint64_t kChunksMax = 1'000'000;
constexpr std::uint64_t kChunkBytesMax = 1 << 20;
// So many bytes of chunks are given to the connection before it has to have sent them.
constexpr std::size_t kAheadMax = 64 * 1024;

bool is(evhttp_request* request, evhttp_cmd_type method) {
  if (evhttp_request_get_command(request) == method) return true;
  evhttp_send_reply(request, HTTP_BADMETHOD, nullptr, nullptr);
  return false;
}

void set_type(evhttp_request* request, const char* type) {
  evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", type);
}

void send_text(evhttp_request* request, const char* text, std::size_t size) {
  set_type(request, "text/plain");
  evbuffer_add(evhttp_request_get_output_buffer(request), text, size);
  evhttp_send_reply(request, HTTP_OK, nullptr, nullptr);
}

void answer_hello(evhttp_request* request, void*) {
  if (is(request, EVHTTP_REQ_GET)) send_text(request, "Hello, World!", 13);
}

void answer_upload(evhttp_request* request, void*) {
  if (!is(request, EVHTTP_REQ_POST)) return;
  const auto size = evbuffer_get_length(evhttp_request_get_input_buffer(request));
  const std::string text = std::to_string(size);
  send_text(request, text.data(), text.size());
}

void answer_echo(evhttp_request* request, void*) {
  if (!is(request, EVHTTP_REQ_POST)) return;
  set_type(request, "application/octet-stream");
  evbuffer* const body = evhttp_request_get_input_buffer(request);
  const char* const coding =
      evhttp_find_header(evhttp_request_get_input_headers(request), "Transfer-Encoding");
  if (coding == nullptr || strcasecmp(coding, "chunked") != 0) {
    return evhttp_send_reply(request, HTTP_OK, nullptr, body);
  }
  evhttp_send_reply_start(request, HTTP_OK, nullptr);
  if (evbuffer_get_length(body) > 0) evhttp_send_reply_chunk(request, body);
  evhttp_send_reply_end(request);
}

// evhttp's own would end the connection.
void answer_nothing_here(evhttp_request* request, void*) {
  evhttp_send_reply(request, HTTP_NOTFOUND, nullptr, nullptr);
}

// ---- Chunks ----

// False: it is no number, or not from `least` to `most`. What is not there stays as it is.
bool read_number(evkeyvalq* query, const char* name, std::uint64_t least, std::uint64_t most,
                 std::uint64_t& number) {
  const char* const text = evhttp_find_header(query, name);
  if (text == nullptr) return true;
  const char* const end = text + std::strlen(text);
  const auto parsed = std::from_chars(text, end, number);
  return parsed.ec == std::errc() && parsed.ptr == end && number >= least && number <= most;
}

struct Chunks {
  evhttp_request* request;
  evbuffer* chunk;
  std::uint64_t left;
  std::size_t size;

  ~Chunks() { evbuffer_free(chunk); }

  // Goes on when all before it has been sent.
  void send() {
    static const std::string bytes(kChunkBytesMax, 'x');
    for (std::size_t ahead = 0; left > 0; ahead += size) {
      --left;
      evbuffer_add_reference(chunk, bytes.data(), size, nullptr, nullptr);
      if (ahead + size >= kAheadMax && left > 0) {
        const auto go_on = [](evhttp_connection*, void* chunks) {
          static_cast<Chunks*>(chunks)->send();
        };
        return evhttp_send_reply_chunk_with_cb(request, chunk, go_on, this);
      }
      evhttp_send_reply_chunk(request, chunk);
    }
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), nullptr, nullptr);
    evhttp_send_reply_end(request);
    delete this;
  }
};

void answer_chunked(evhttp_request* request, void*) {
  if (!is(request, EVHTTP_REQ_GET)) return;
  std::uint64_t count = 10;
  std::uint64_t size = 1024;
  evkeyvalq query;
  const char* const text = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
  evhttp_parse_query_str(text == nullptr ? "" : text, &query);
  const bool good = read_number(&query, "n", 0, kChunksMax, count) &&
                    read_number(&query, "size", 1, kChunkBytesMax, size);
  evhttp_clear_headers(&query);
  if (!good) return evhttp_send_reply(request, HTTP_BADREQUEST, nullptr, nullptr);
  set_type(request, "text/plain");
  evhttp_send_reply_start(request, HTTP_OK, nullptr);
  auto* const chunks = new Chunks{request, evbuffer_new(), count, static_cast<std::size_t>(size)};
  evhttp_connection_set_closecb(
      evhttp_request_get_connection(request),
      [](evhttp_connection*, void* gone) { delete static_cast<Chunks*>(gone); }, chunks);
  chunks->send();
}

}  // namespace
}  // namespace peer

int main(int argc, char** argv) {
  const peer::Options options = peer::parse(argc, argv, event_get_version());
  peer::prepare_signals();
  event_base* const base = peer::make_base();
  evhttp* const http = evhttp_new(base);
  evhttp_set_cb(http, "/hello", peer::answer_hello, nullptr);
  evhttp_set_cb(http, "/echo", peer::answer_echo, nullptr);
  evhttp_set_cb(http, "/upload", peer::answer_upload, nullptr);
  evhttp_set_cb(http, "/chunked", peer::answer_chunked, nullptr);
  evhttp_set_gencb(http, peer::answer_nothing_here, nullptr);
  evhttp_bind_listener(http, peer::make_listener(base, options, nullptr));
  return event_base_dispatch(base);
}
