// Requests of an HTTP client as coroutines.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/http_world.h"
#include "tests/pair.h"
#include "weir/http/coro.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using coro::Fetch;
using coro::Task;
using http::Field;

class CoroFetchTest : public HttpTest {
 protected:
  void SetUp() override {
    HttpTest::SetUp();
    if (IsSkipped()) return;
    agent_ = std::make_unique<http::Agent>(reactor());
    scope_ = std::make_unique<coro::Scope>(reactor());
  }
  void TearDown() override {
    scope_.reset();
    agent_.reset();
    HttpTest::TearDown();
  }

  http::RequestOptions to(std::string_view target) const {
    return {.host = to_.host, .port = to_.port, .target = target};
  }
  template <class Callable>
  void run(Callable callable) {
    scope_->spawn(std::move(callable));
    EXPECT_TRUE(run_until([&] { return scope_->empty(); }));
  }
  static std::string name_of_error(const auto& result) {
    return result ? "ok" : std::string(name_of(result.error().code));
  }

  std::unique_ptr<http::Agent> agent_;
  std::unique_ptr<coro::Scope> scope_;
};

TEST_P(CoroFetchTest, HeadAndBodyAreAwaited) {
  serve([](Request& request, Response& response) {
    response.set_header("X-Target", request.target());
    response.write("one, ");
    response.set_trailer("X-Sum", "42");
    response.end("two");
  });
  run([&]() -> Task<> {
    Fetch fetch(agent_->get(to("/a")));
    auto head = co_await fetch.response();
    EXPECT_EQ(name_of_error(head), "ok");
    if (!head) co_return;
    EXPECT_EQ((*head)->status, 200);
    EXPECT_EQ((*head)->reason, "OK");
    auto body = co_await fetch.read_all(100);
    EXPECT_EQ(name_of_error(body), "ok");
    EXPECT_EQ(body.value_or(""), "one, two");
    // Everything is good as long as the fetch, although the exchange is over.
    EXPECT_EQ((*head)->status, 200);
    EXPECT_EQ(fetch.header("x-target"), "/a");
    EXPECT_EQ(fetch.trailers().size(), 1U);
    auto behind = co_await fetch.read();
    EXPECT_TRUE(behind && behind->empty());
  });
  EXPECT_EQ(agent_->stats().idle, 1U);
}

TEST_P(CoroFetchTest, ABodyIsReadInPiecesAndWaitsForItsReader) {
  const std::string sent = pattern(4 << 20, 7);
  serve([&](Request&, Response& response) { response.end(sent); });
  std::string read;
  bool head_there = false;
  run([&]() -> Task<> {
    Fetch fetch(agent_->get(to("/")));
    auto head = co_await fetch.response();
    head_there = head.has_value();
    co_await coro::delay(5ms);
    // The server could not send it all while nobody read.
    EXPECT_LT(fetch.request()->socket()->bytes_read(), sent.size());
    for (;;) {
      auto piece = co_await fetch.read();
      EXPECT_EQ(name_of_error(piece), "ok");
      if (!piece || piece->empty()) break;
      read += piece->view();
    }
  });
  EXPECT_TRUE(head_there);
  EXPECT_TRUE(read == sent);
}

TEST_P(CoroFetchTest, WritingWaitsForTheServer) {
  std::size_t received = 0;
  serve([&](Request& request, Response& response) {
    request.on_data([&](Request&, Buffer bytes) { received += bytes.size(); });
    request.on_end([&](Request&) { response.end(std::to_string(received)); });
  });
  const std::string piece = pattern(100'000, 1);
  run([&]() -> Task<> {
    auto options = to("/upload");
    options.method = "POST";
    Fetch fetch(agent_->request(options));
    for (int i = 0; i < 50; ++i) {
      auto written = co_await fetch.write(piece);
      EXPECT_EQ(name_of_error(written), "ok");
      // Never more than what was below the mark, and one piece.
      EXPECT_LE(fetch.request()->writable_length(),
                agent_->options().socket.queue.high_water + piece.size() + 32);
    }
    fetch.end("the end");
    auto body = co_await fetch.read_all(100);
    EXPECT_EQ(body.value_or(""), std::to_string(50 * piece.size() + 7));
  });
}

TEST_P(CoroFetchTest, ABodyThatIsTooLargeCanStillBeRead) {
  serve([](Request&, Response& response) { response.end("0123456789"); });
  run([&]() -> Task<> {
    Fetch fetch(agent_->get(to("/")));
    auto all = co_await fetch.read_all(9);
    EXPECT_EQ(name_of_error(all), "EMSGSIZE");
    std::string read;
    for (;;) {
      auto piece = co_await fetch.read();
      EXPECT_EQ(name_of_error(piece), "ok");
      if (!piece || piece->empty()) break;
      read += piece->view();
    }
    EXPECT_EQ(read, "0123456789");
  });
}

TEST_P(CoroFetchTest, ErrorsAreResults) {
  serve([](Request&, Response& response) {
    response.write("a part", [](Response& written, std::error_code) { written.socket().end(); });
  });
  run([&]() -> Task<> {
    Fetch wrong(agent_->get("https://localhost/"));
    auto none = co_await wrong.response();
    EXPECT_EQ(name_of_error(none), "ERR_INVALID_PROTOCOL");
    EXPECT_EQ(wrong.request(), nullptr);
    auto options = to("/");
    options.port = 1;
    Fetch refused(agent_->request(options));
    auto nothing = co_await refused.response();
    EXPECT_EQ(name_of_error(nothing), "ECONNREFUSED");
    auto written = co_await refused.write("too late");
    EXPECT_EQ(name_of_error(written), "ECONNREFUSED");
    Fetch cut(agent_->get(to("/cut")));
    auto body = co_await cut.read_all(100);
    EXPECT_EQ(name_of_error(body), "ECONNRESET");
    auto piece = co_await cut.read();
    EXPECT_EQ(piece ? std::string(piece->view()) : "", "a part");
    auto behind = co_await cut.read();
    EXPECT_EQ(name_of_error(behind), "ECONNRESET");
  });
}

TEST_P(CoroFetchTest, CancellingEndsTheAwaitAndNotTheRequest) {
  std::optional<http::ResponseRef> waiting;
  serve([&](Request&, Response& response) { waiting = response.weak(); });
  std::vector<std::string> outcomes;
  scope_->spawn([&]() -> Task<> {
    Fetch fetch(agent_->get(to("/")));
    auto cancelled = co_await fetch.response();
    outcomes.push_back(name_of_error(cancelled));
    if (Response* response = waiting->get()) response->end("late");
    auto body = co_await fetch.read_all(100);
    outcomes.push_back(body.value_or(name_of_error(body)));
  });
  ASSERT_TRUE(run_until([&] { return waiting.has_value(); }));
  scope_->cancel();
  ASSERT_TRUE(run_until([&] { return scope_->empty(); }));
  EXPECT_EQ(outcomes, (std::vector<std::string>{"ECANCELED", "late"}));
}

TEST_P(CoroFetchTest, DestroyingTheScopeEndsTheRequest) {
  bool asked = false;
  bool ended = false;
  serve([&](Request& request, Response&) {
    asked = true;
    request.socket().on_end([&](Socket&) { ended = true; });
  });
  scope_->spawn([&]() -> Task<> {
    Fetch fetch(agent_->get(to("/")));
    auto never = co_await fetch.response();
    ADD_FAILURE() << "resumed: " << name_of_error(never);
  });
  ASSERT_TRUE(run_until([&] { return asked; }));
  scope_.reset();
  ASSERT_TRUE(run_until([&] { return ended; }));
  EXPECT_EQ(agent_->stats().sockets, 0U);
}

TEST_P(CoroFetchTest, SeveralAtOnceShareTheAgent) {
  serve([](Request& request, Response& response) { response.end(request.target()); });
  agent_ = std::make_unique<http::Agent>(reactor(), http::AgentOptions{.max_sockets = 3});
  int answered = 0;
  for (int i = 0; i < 20; ++i) {
    scope_->spawn([this, i, &answered]() -> Task<> {
      const std::string target = "/" + std::to_string(i);
      Fetch fetch(agent_->get(to(target)));
      auto body = co_await fetch.read_all(100);
      EXPECT_EQ(body.value_or(""), target);
      ++answered;
    });
  }
  ASSERT_TRUE(run_until([&] { return scope_->empty(); }));
  EXPECT_EQ(answered, 20);
  EXPECT_EQ(agent_->stats().connections, 3U);
}

// What it is cancelled by comes before the answer, in the same emission.
TEST_P(CoroFetchTest, ACancelledAwaitEndsOnce) {
  serve([](Request&, Response& response) { response.end("body"); });
  std::vector<std::string> outcomes;
  Duration waited{};
  run([&]() -> Task<> {
    Fetch fetch(agent_->get(to("/"), [&](http::ClientResponse&) { scope_->cancel(); }));
    auto cancelled = co_await fetch.response();
    outcomes.push_back(name_of_error(cancelled));
    const Instant begin = reactor().now();
    co_await coro::delay(3ms);
    waited = reactor().now() - begin;
    auto body = co_await fetch.read_all(100);
    outcomes.push_back(body.value_or(name_of_error(body)));
  });
  EXPECT_EQ(outcomes, (std::vector<std::string>{"ECANCELED", "body"}));
  EXPECT_GE(waited, 3ms);
}

TEST_P(CoroFetchTest, WhoeverWritesIsToldOfAnEarlyAnswer) {
  serve([](Request& request, Response& response) {
    request.pause();
    response.set_status(413);
    response.set_header("Connection", "close");
    response.end();
  });
  const std::string piece = pattern(1 << 20, 2);
  std::string why;
  run([&]() -> Task<> {
    auto options = to("/upload");
    options.method = "POST";
    Fetch fetch(agent_->request(options));
    for (int i = 0; i < 100 && why.empty(); ++i) {
      auto written = co_await fetch.write(piece);
      if (!written) why = name_of_error(written);
    }
    auto head = co_await fetch.response();
    EXPECT_EQ(head ? (*head)->status : 0, 413);
  });
  EXPECT_NE(why, "");
}

TEST_P(CoroFetchTest, AResetEndsTheReadAndTheWriteThatWait) {
  net::SocketRef held;
  serve([&](Request& request, Response&) {
    request.pause();
    held = request.socket().weak();
  });
  auto options = to("/upload");
  options.method = "POST";
  Fetch fetch(agent_->request(options));
  const std::string piece = pattern(1 << 20, 3);
  std::string wrote;
  std::string read;
  scope_->spawn([&]() -> Task<> {
    while (wrote.empty()) {  // without end: nobody reads, so that it waits soon
      auto taken = co_await fetch.write(piece);
      if (!taken) wrote = name_of_error(taken);
    }
  });
  scope_->spawn([&]() -> Task<> { read = name_of_error(co_await fetch.response()); });
  ASSERT_TRUE(run_until([&] { return held.get() != nullptr; }));
  EXPECT_TRUE(held.get()->reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] { return scope_->empty(); }));
  EXPECT_TRUE(read == "ECONNRESET" || read == "EPIPE") << read;
  EXPECT_EQ(wrote, read);
}

TEST_P(CoroFetchTest, AnEarlyAnswerOnAReusedConnectionIsOne) {
  serve([](Request& request, Response& response) {
    if (request.method() == http::Method::get) return static_cast<void>(response.end("first"));
    request.pause();
    response.set_status(413);
    response.end("too large");
  }, {}, true);
  run([&]() -> Task<> {
    auto options = to("/");
    options.socket_path = to_.path;
    Fetch first(agent_->get(options));
    auto body = co_await first.read_all(100);
    EXPECT_EQ(body.value_or(""), "first");
    options.method = "POST";
    Fetch second(agent_->request(options));
    second.end(pattern(12 << 20, 5));
    auto head = co_await second.response();
    EXPECT_EQ(head ? (*head)->status : 0, 413);
  });
  EXPECT_EQ(agent_->stats().reused, 1U);
}

// A listener that an earlier one of the same event has taken back is called all the same.
TEST_P(CoroFetchTest, AnEarlierListenerMayDestroyIt) {
  serve([](Request&, Response& response) { response.end("body"); });
  std::optional<Fetch> fetch;
  bool closed = false;
  auto request = agent_->get(to("/"), [&](http::ClientResponse&) { fetch.reset(); });
  ASSERT_TRUE(request.has_value());
  (*request)->on_close([&](http::ClientRequest&) { closed = true; });
  fetch.emplace(request);
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_FALSE(fetch.has_value());
}

// A listener that is called once goes with what it holds, which takes back others.
TEST_P(CoroFetchTest, AListenerMayHoldIt) {
  serve([](Request&, Response& response) { response.end("body"); });
  bool closed = false;
  auto fetch = std::make_shared<Fetch>(agent_->get(to("/")));
  fetch->request()->on_response([fetch](http::ClientResponse&) {}, net::Times::once);
  fetch->request()->on_close([&](http::ClientRequest&) { closed = true; });
  fetch.reset();
  ASSERT_TRUE(run_until([&] { return closed; }));
}

TEST_P(CoroFetchTest, NoReferenceFindsARequestThatIsOver) {
  serve([](Request&, Response& response) { response.end(); });
  struct Looks {
    http::ClientRequestRef ref;
    int* found;
    ~Looks() {
      if (found != nullptr && ref.get() != nullptr) ++*found;
    }
  };
  int found = 0;
  bool closed = false;
  auto request = agent_->get(to("/"));
  ASSERT_TRUE(request.has_value());
  auto looks = std::make_unique<Looks>((*request)->weak(), &found);
  (*request)->on_close([&closed, held = std::move(looks)](http::ClientRequest&) { closed = true; });
  ASSERT_TRUE(run_until([&] { return closed; }));
  EXPECT_EQ(found, 0);
}

WEIR_ON_ALL_BACKENDS(CoroFetchTest);

}  // namespace
}  // namespace weir::test
