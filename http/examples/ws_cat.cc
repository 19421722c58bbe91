// A WebSocket client for the shell: each line of standard input is a text message; what comes is
// written to standard output, a line each, and how it ended to standard error.
//
//     bazel run -c opt //http/examples:ws_cat -- ws://localhost:8080/ws
#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "net/examples/server_flags.h"
#include "weir/http/websocket/websocket.h"
#include "weir/net/input_stream.h"
#include "weir/reactor/reactor.h"

namespace {

using weir::http::MessageKind;
using weir::http::WebSocket;
using weir::http::WebSocketClose;
using weir::net::InputStream;

constexpr std::size_t kMessageBytesMax = std::size_t{64} << 20;

struct Flags {
  std::string url;
  std::string protocol;
  bool deflate = false;
  bool context = false;
  bool binary = false;
  std::size_t size = 0;
  std::size_t count = 1;
  std::size_t expect = 0;
  int close_code = 1000;
  weir::BackendKind backend = weir::BackendKind::automatic;
};

void describe(CLI::App& app, Flags& flags) {
  app.add_option("url", flags.url, "ws://host[:port][/path][?query]")->required();
  app.add_option("--protocol", flags.protocol, "subprotocol to offer");
  app.add_flag("--deflate", flags.deflate, "offer permessage-deflate");
  app.add_flag("--context", flags.context, "and take contexts over");
  app.add_flag("--binary", flags.binary, "messages are binary");
  app.add_option("--size", flags.size,
                 "in the place of standard input: messages of so many bytes, which must come back")
      ->check(CLI::Range(std::size_t{1}, kMessageBytesMax));
  app.add_option("--count", flags.count, "so many of them, one after the other");
  app.add_option("--expect", flags.expect,
                 "close when so many messages have come, not at the end of standard input");
  app.add_option("--close", flags.close_code, "the code to close with")
      ->check(CLI::Range(1000, 4999));
  weir::example::describe_backend(app, flags.backend);
}

class Cat {
 public:
  Cat(weir::Reactor& reactor, const Flags& flags) : reactor_(reactor), flags_(flags) {
    for (std::size_t i = 0; i < flags.size; ++i) {
      message_ += static_cast<char>('a' + i * i % 23);
    }
  }

  weir::Expected<void> start() {
    weir::http::WebSocketClientOptions options;
    options.socket.message_bytes_max = kMessageBytesMax;
    options.socket.deflate = {.on = flags_.deflate,
                              .send_context_takeover = flags_.context,
                              .receive_context_takeover = flags_.context};
    const std::initializer_list<std::string_view> protocols = {flags_.protocol};
    if (!flags_.protocol.empty()) options.protocols = protocols;
    const auto made = WebSocket::connect(reactor_, flags_.url, options);
    if (!made) return weir::failure(made.error());
    WebSocket& socket = **made;
    socket.on_open([this](WebSocket& same) { opened(same); });
    socket.on_message([this](WebSocket& same, MessageKind kind, weir::Buffer bytes) {
      take(same, kind, bytes.view());
    });
    socket.on_drain([this](WebSocket&) {
      if (input_) input_->resume();
    });
    socket.on_error([this](WebSocket&, const weir::Error& error) {
      std::fprintf(stderr, "error: %s\n", error.message().c_str());
      failed_ = true;
    });
    socket.on_close([this](WebSocket&, const WebSocketClose& how) { closed(how); });
    return {};
  }
  int exit_code() const { return failed_ ? 1 : 0; }

 private:
  MessageKind kind() const { return flags_.binary ? MessageKind::binary : MessageKind::text; }

  void opened(WebSocket& socket) {
    std::fprintf(stderr, "open%s%s%s\n", socket.is_deflating() ? " deflate" : "",
                 socket.subprotocol().empty() ? "" : " ",
                 std::string(socket.subprotocol()).c_str());
    if (flags_.size != 0) {
      socket.send(kind(), message_);
      return;
    }
    read_input(socket);
  }

  void take(WebSocket& socket, MessageKind kind_of_it, std::string_view bytes) {
    if (flags_.size == 0) {
      std::fwrite(bytes.data(), 1, bytes.size(), stdout);
      std::putchar('\n');
      std::fflush(stdout);
      if (++back_ == flags_.expect) close(socket);
      return;
    }
    if (bytes != message_ || kind_of_it != kind()) {
      std::fprintf(stderr, "error: another message came back\n");
      failed_ = true;
    } else if (++back_ < flags_.count) {
      socket.send(kind(), message_);
      return;
    }
    close(socket);
  }

  void closed(const WebSocketClose& how) {
    std::fprintf(stderr, "closed %d %s %s\n", how.code, how.was_clean ? "clean" : "unclean",
                 std::string(how.reason).c_str());
    if (flags_.size != 0) std::fprintf(stderr, "%zu came back\n", back_);
    failed_ = failed_ || !how.was_clean;
    if (input_) input_->destroy();
  }

  void close(WebSocket& socket) {
    const auto code = static_cast<std::uint16_t>(flags_.close_code);
    if (const auto good = socket.close(code, "done"); !good) {
      std::fprintf(stderr, "error: %s\n", good.error().message().c_str());
      socket.destroy();
    }
  }

  // A line is sent when it is whole; while the WebSocket is full nothing is read.
  void read_input(WebSocket& socket) {
    input_.emplace(reactor_, 0);
    input_->on_data([this, ref = socket.weak()](InputStream& input, weir::Buffer bytes) {
      line_ += bytes.view();
      WebSocket* there = ref.get();
      if (there == nullptr) return;
      std::size_t begin = 0;
      for (std::size_t end; (end = line_.find('\n', begin)) != line_.npos; begin = end + 1) {
        there->send(kind(), std::string_view(line_).substr(begin, end - begin));
      }
      line_.erase(0, begin);
      if (there->needs_drain()) input.pause();
    });
    input_->on_end([this, ref = socket.weak()](InputStream&) {
      WebSocket* there = ref.get();
      if (there == nullptr) return;
      if (!line_.empty()) there->send(kind(), line_);
      if (flags_.expect == 0) close(*there);
    });
  }

  weir::Reactor& reactor_;
  const Flags& flags_;
  std::string message_;
  std::string line_;
  std::optional<InputStream> input_;
  std::size_t back_ = 0;
  bool failed_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app("Talks to a WebSocket server: lines in, messages out.");
  describe(app, flags);
  if (const auto exit_code = weir::example::parse(app, argc, argv)) return *exit_code;
  auto reactor = weir::Reactor::create({.backend = flags.backend});
  if (!reactor) return weir::fail(reactor.error());
  Cat cat(**reactor, flags);
  if (const auto started = cat.start(); !started) return weir::fail(started.error());
  (*reactor)->run();
  return cat.exit_code();
}
