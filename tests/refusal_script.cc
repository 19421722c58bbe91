#include "tests/refusal_script.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <utility>

#include "tests/refusals.h"
#include "weir/net/socket.h"

namespace weir::test {
namespace {

using http::ClientRequest;
using http::ClientResponse;
using http::MessageKind;
using http::Request;
using http::Response;
using http::WebSocket;
using net::Socket;
using net::Write;

constexpr std::size_t kSmallBytes = 700;
constexpr std::size_t kLargeBytes = 100'000;
constexpr std::string_view kHello = "hello";
constexpr std::string_view kPieces[] = {"one ", "two ", "three"};
constexpr std::string_view kAllPieces = "one two three";

// Bytes that look different everywhere; `size` at most that of the large file.
std::string_view content(std::size_t size) {
  static const std::string all = [] {
    std::string bytes(kLargeBytes, '\0');
    std::uint32_t seed = 1;
    for (char& byte : bytes) byte = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
    return bytes;
  }();
  return std::string_view(all).substr(0, size);
}

}  // namespace

// ---- The server ----

class RefusalScript::Servers {
 public:
  Servers(Reactor& reactor, const std::string& root)
      : server_(reactor, http::ServerOptions{.send_date = false}), sockets_(server_, deflating()) {
    auto files = http::StaticFiles::create(reactor, {.root = root});
    files_ = std::move(*files);
    server_.on_request([this](Request& request, Response& response) { answer(request, response); });
    server_.on_server_error([](http::Server&, const Error&) {});
    sockets_.on_message([](WebSocket& socket, MessageKind kind, Buffer bytes) {
      socket.send(kind, std::move(bytes));
    });
    const auto bound = server_.listen({.port = 0, .host = "127.0.0.1"});
    port_ = bound->port();
  }

  static http::WebSocketServerOptions deflating() {
    return {.socket = {.deflate = {.on = true, .threshold = 100}}};
  }

  int port() const { return port_; }
  http::Server& http() { return server_; }
  http::WebSocketServer& sockets() { return sockets_; }

 private:
  void answer(Request& request, Response& response) {
    const std::string_view path = request.path();
    if (path == "/small") {
      response.end(kHello);
    } else if (path == "/chunks") {
      for (const std::string_view piece : kPieces) response.write(piece);
      response.end();
    } else if (path == "/sum") {
      request.read_body(1 << 20, [](Request&, Response& its, std::string_view body) {
        char text[20];
        const int size = std::snprintf(text, sizeof text, "%zu", body.size());
        its.end(std::string_view(text, static_cast<std::size_t>(size)));
      });
    } else if (path == "/echo") {
      request.on_data([](Request& its, Buffer bytes) { echo(its, std::move(bytes)); });
      request.on_end([](Request& its) {
        if (Response* to = response_of(its)) to->end();
      });
      request.user_data = &response;
      response.on_close([](Response& its) { its.request().user_data = nullptr; });
    } else if (path == "/late") {
      late(response);
    } else if (path.starts_with("/file/")) {
      files_->answer(request, response, path.substr(6));
    } else {
      response.set_status(404);
      response.end("none");
    }
  }

  static Response* response_of(Request& request) {
    return static_cast<Response*>(request.user_data);
  }
  static void echo(Request& request, Buffer bytes) {
    if (Response* to = response_of(request)) to->write(std::move(bytes));
  }
  void late(Response& response) {
    const auto timer = std::ranges::find_if(timers_, [](const Timer& one) { return !one.armed(); });
    *timer = server_.reactor().after(std::chrono::milliseconds(1), [ref = response.weak()] {
      if (Response* its = ref.get()) its->end("late");
    });
    // Without memory for a timer.
    if (!timer->armed()) response.destroy(errno_code(ENOMEM));
  }

  http::Server server_;
  http::WebSocketServer sockets_;
  std::unique_ptr<http::StaticFiles> files_;
  std::array<Timer, 32> timers_;
  int port_ = 0;
};

// ---- Requests of an agent ----

class RefusalScript::Asker {
 public:
  static constexpr int kCount = 110;
  static constexpr int kAtOnce = 6;

  Asker(Reactor& reactor, int port, ScriptOutcome& outcome)
      : agent_(reactor, {.max_sockets = 3}), outcome_(outcome), port_(port) {}

  void start() {
    for (int i = 0; i < kAtOnce; ++i) next();
  }
  bool over() const { return ended_ == kCount; }
  void close() { agent_.close_idle_connections(); }

 private:
  // A request, and what its answer has to be.
  struct Kind {
    std::string_view method;
    std::string_view target;
    int status;
    std::string_view body;
    std::string_view sent;  // as its body
    std::size_t pieces;     // that are sent
    http::Field field;
  };
  struct Asked {
    Asker* asker = nullptr;
    const Kind* kind = nullptr;
    std::size_t received = 0;  // bytes of the body, all of them right
    int status = 0;
    bool wrong = false;
    bool complete = false;

    bool is_excuse() const { return status == 0 || status == 500 || status == 503; }
    void take(std::string_view bytes) {
      if (is_excuse()) return;
      wrong = wrong || kind->body.substr(received, bytes.size()) != bytes;
      received += bytes.size();
    }
    void close() {
      ScriptOutcome& outcome = asker->outcome_;
      if (wrong || (!is_excuse() && status != kind->status)) {
        ++outcome.wrong;
        const TestsOwn own;
        outcome.first_wrong = std::string(kind->target) + ": " + std::to_string(status);
      } else if (complete && !is_excuse() && received == kind->body.size()) {
        ++outcome.right;
      } else {
        ++outcome.failed;
      }
      ++asker->ended_;
      asker->next();
    }
  };

  static const Kind& kind(int number) {
    static const Kind kinds[] = {
        {"GET", "/small", 200, kHello, {}, 0, {}},
        {"GET", "/chunks", 200, kAllPieces, {}, 0, {}},
        {"POST", "/sum", 200, "3000", content(3000), 1, {}},
        {"POST", "/echo", 200, content(9000), content(9000), 3, {}},
        {"GET", "/file/small", 200, content(kSmallBytes), {}, 0, {}},
        {"GET", "/file/large", 200, content(kLargeBytes), {}, 0, {}},
        {"GET", "/file/large", 206, content(20).substr(10), {}, 0, {"Range", "bytes=10-19"}},
        {"HEAD", "/small", 200, {}, {}, 0, {}},
        {"GET", "/missing", 404, "none", {}, 0, {}},
        {"GET", "/late", 200, "late", {}, 0, {}},
        {"POST", "/sum", 200, "5", kHello, 1, {"Expect", "100-continue"}},
    };
    return kinds[static_cast<std::size_t>(number) % std::size(kinds)];
  }

  void next() {
    while (begun_ < kCount) {
      Asked& asked = all_[static_cast<std::size_t>(begun_)];
      asked = {.asker = this, .kind = &kind(begun_)};
      ++begun_;
      ++outcome_.begun;
      if (ask(asked)) return;
      ++ended_;
      ++outcome_.refused;
    }
  }

  bool ask(Asked& asked) {
    const Kind& its = *asked.kind;
    http::RequestOptions options;
    options.host = "127.0.0.1";
    options.port = port_;
    options.method = its.method;
    options.target = its.target;
    const auto made = agent_.request(options);
    if (!made) return false;
    ClientRequest& request = **made;
    request.user_data = &asked;
    request.on_error([](ClientRequest&, const Error&) {});
    request.on_response([](ClientResponse& response) { take(response); });
    request.on_close([](ClientRequest& one) { static_cast<Asked*>(one.user_data)->close(); });
    if (!its.field.name.empty() && !request.set_header(its.field.name, its.field.value)) {
      request.destroy(errno_code(ENOMEM));
      return true;
    }
    std::string_view rest = its.sent;
    for (std::size_t left = its.pieces; left > 1; --left) {
      request.write(rest.substr(0, rest.size() / left));
      rest.remove_prefix(rest.size() / left);
    }
    request.end(rest);
    return true;
  }

  static void take(ClientResponse& response) {
    response.user_data = response.request().user_data;
    static_cast<Asked*>(response.user_data)->status = response.status();
    response.on_data([](ClientResponse& its, Buffer bytes) {
      static_cast<Asked*>(its.user_data)->take(bytes.view());
    });
    response.on_end([](ClientResponse& its) {
      static_cast<Asked*>(its.user_data)->complete = true;
    });
    response.on_error([](ClientResponse&, const Error&) {});
  }

  http::Agent agent_;
  ScriptOutcome& outcome_;
  std::array<Asked, kCount> all_;
  int port_;
  int begun_ = 0;
  int ended_ = 0;
};

// ---- Bytes of a client's own ----

// Requests in one write; what comes is compared with what comes when nothing is taken away.
class RefusalScript::Pipeline {
 public:
  struct Text {
    std::string bytes;
    int requests = 1;
    bool ends = false;    // sends a FIN behind them
    std::string answer = {};  // known when it was asked without any trouble
  };

  // `outcome` may be null: it is not counted.
  Pipeline(Reactor& reactor, int port, Text& text, ScriptOutcome* outcome)
      : text_(text), outcome_(outcome), socket_(reactor, {.allow_half_open = true}) {
    if (outcome_ != nullptr) outcome_->begun += text.requests;
    socket_.on_data([this](Socket&, Buffer bytes) {
      const TestsOwn own;
      received_ += bytes.view();
    });
    socket_.on_end([](Socket& socket) { socket.end(); });
    socket_.on_error([](Socket&, const Error&) {});
    socket_.on_close([this](Socket&, std::error_code) { close(); });
    to_ = {.host = "127.0.0.1", .port = port};
  }

  void start() {
    if (!socket_.connect(to_)) return close();
    socket_.write(text_.bytes);
    if (text_.ends) socket_.end();
  }
  bool over() const { return over_; }
  bool right() const { return over_ && !received_.empty() && received_ == text_.answer; }
  const std::string& received() const { return received_; }

  static std::vector<Text>& texts();

 private:
  void close() {
    over_ = true;
    if (outcome_ == nullptr) return;
    if (text_.answer.empty() && !refused_any()) {
      const TestsOwn own;
      text_.answer = received_;
    }
    (right() ? outcome_->right : is_excused() ? outcome_->failed : outcome_->wrong) +=
        text_.requests;
    if (!right() && !is_excused()) {
      const TestsOwn own;
      outcome_->first_wrong = received_;
    }
  }
  // It stops somewhere, or with an error in the place of an answer.
  bool is_excused() const {
    const std::string_view got = received_;
    const auto [end, other] = std::ranges::mismatch(got, text_.answer);
    if (end == got.end()) return true;
    const auto same = static_cast<std::size_t>(end - got.begin());
    return got.substr(0, same).ends_with("HTTP/1.1 ") &&
           (got.substr(same).starts_with("500 ") || got.substr(same).starts_with("503 "));
  }

  Text& text_;
  ScriptOutcome* outcome_;
  Socket socket_;
  net::ConnectOptions to_;
  std::string received_;
  bool over_ = false;
};

// Five of sixteen requests each, and eight whose requests are none.
std::vector<RefusalScript::Pipeline::Text>& RefusalScript::Pipeline::texts() {
  static std::vector<Text> all = [] {
    const std::string host = " HTTP/1.1\r\nHost: a\r\n";
    const auto get = [&](const std::string& path, const std::string& fields = {}) {
      return "GET " + path + host + fields + "\r\n";
    };
    const std::string sized = "POST /sum" + host + "Content-Length: 5\r\n\r\nhello";
    const std::string chunked =
        "POST /sum" + host + "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n";
    std::string sixteen;
    for (int i = 0; i < 3; ++i) {
      sixteen += get("/small") + sized + get("/chunks") + chunked + get("/missing");
    }
    sixteen += get("/late", "Connection: close\r\n");
    std::vector<Text> made(5, Text{.bytes = sixteen, .requests = 16});
    for (std::string bytes :
         {"nonsense\r\n\r\n" + get("/small"), "GET /small" + host + "a b: c\r\n\r\n",
          get("/" + std::string(20'000, 'x')), get("/small", std::string(20'000, 'x') + ": y\r\n"),
          "POST /sum" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
          "POST /sum" + host + "Transfer-Encoding: chunked\r\n\r\nx\r\n",
          "POST /sum" + host + "Expect: nothing\r\nConnection: close\r\n\r\n"}) {
      made.push_back({.bytes = std::move(bytes)});
    }
    made.push_back({.bytes = "POST /sum" + host + "Content-Length: 9\r\n\r\nabc", .ends = true});
    return made;
  }();
  return all;
}

// ---- WebSockets ----

// Sends messages, one when the one before has come back, and closes.
class RefusalScript::Talker {
 public:
  Talker(Reactor& reactor, int port, bool deflates, ScriptOutcome& outcome)
      : reactor_(reactor), outcome_(outcome), deflates_(deflates),
        url_("ws://127.0.0.1:" + std::to_string(port) + "/") {}

  void start() {
    ++outcome_.begun;
    http::WebSocketClientOptions options;
    options.socket.deflate = {.on = deflates_, .send_context_takeover = true, .threshold = 100};
    const auto made = WebSocket::connect(reactor_, url_, options);
    if (!made) {
      ++outcome_.refused;
      over_ = true;
      return;
    }
    WebSocket& socket = **made;
    socket.user_data = this;
    socket.on_open([](WebSocket& its) { of(its).next(its); });
    socket.on_message([](WebSocket& its, MessageKind, Buffer bytes) {
      of(its).take(its, bytes.view());
    });
    socket.on_error([](WebSocket&, const Error&) {});
    socket.on_close([](WebSocket& its, const http::WebSocketClose& how) {
      of(its).close(how.was_clean && how.code == 1000);
    });
  }
  bool over() const { return over_; }

 private:
  static constexpr std::size_t kSizes[] = {5, 120, 0, 3000, 70'000, 126, 1000};

  static Talker& of(WebSocket& socket) { return *static_cast<Talker*>(socket.user_data); }
  void next(WebSocket& socket) {
    if (sent_ == std::size(kSizes)) {
      (void)socket.close();
      return;
    }
    socket.send_binary(content(kSizes[sent_++]));
  }
  void take(WebSocket& socket, std::string_view bytes) {
    wrong_ = wrong_ || bytes != content(kSizes[sent_ - 1]);
    ++received_;
    next(socket);
  }
  void close(bool clean) {
    over_ = true;
    const bool whole = clean && received_ == std::size(kSizes);
    ++(wrong_ ? outcome_.wrong : whole ? outcome_.right : outcome_.failed);
  }

  Reactor& reactor_;
  ScriptOutcome& outcome_;
  bool deflates_;
  std::string url_;
  std::size_t sent_ = 0;
  std::size_t received_ = 0;
  bool wrong_ = false;
  bool over_ = false;
};

// ---- All together ----

RefusalScript::RefusalScript(Reactor& reactor, const std::string& root)
    : reactor_(reactor), servers_(std::make_unique<Servers>(reactor, root)) {
  const int port = servers_->port();
  asker_ = std::make_unique<Asker>(reactor, port, outcome_);
  for (Pipeline::Text& text : Pipeline::texts()) {
    pipelines_.push_back(std::make_unique<Pipeline>(reactor, port, text, &outcome_));
  }
  for (const bool deflates : {false, true}) {
    talkers_.push_back(std::make_unique<Talker>(reactor, port, deflates, outcome_));
  }
}

RefusalScript::~RefusalScript() = default;

void RefusalScript::make_files(const std::string& root) {
  std::ofstream(root + "/small", std::ios::binary) << content(kSmallBytes);
  std::ofstream(root + "/large", std::ios::binary) << content(kLargeBytes);
}

void RefusalScript::start() {
  asker_->start();
  for (const auto& pipeline : pipelines_) pipeline->start();
  for (const auto& talker : talkers_) talker->start();
}

bool RefusalScript::over() const {
  const auto is_over = [](const auto& one) { return one->over(); };
  return asker_->over() && std::ranges::all_of(pipelines_, is_over) &&
         std::ranges::all_of(talkers_, is_over);
}

bool RefusalScript::idle() const { return servers_->http().connections() == 0; }

const ScriptOutcome& RefusalScript::outcome() const { return outcome_; }

void RefusalScript::ask_again() {
  asker_->close();
  again_ = std::make_unique<Pipeline>(reactor_, servers_->port(), Pipeline::texts()[0], nullptr);
  again_->start();
}

bool RefusalScript::over_again() const { return again_->over(); }

bool RefusalScript::answered_again() const { return again_->right(); }

void RefusalScript::close() {
  (void)servers_->http().close();
  (void)servers_->sockets().close();
}

}  // namespace weir::test
