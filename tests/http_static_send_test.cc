// Files on their way: order, backpressure, and files that change while they are sent.
#include <gtest/gtest.h>

#include "tests/http_client_world.h"
#include "tests/http_static_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::FileRange;

// More than any kernel takes from us while nobody reads.
constexpr std::size_t kMoreThanTheKernelTakes = 24 << 20;

class StaticSendTest : public StaticTest {
 protected:
  SharedFile file(const std::string& name) {
    const int fd = ::open(path_of(name).c_str(), O_RDONLY | O_CLOEXEC);
    auto adopted = SharedFile::adopt(fd);
    EXPECT_TRUE(adopted.has_value());
    return adopted ? std::move(*adopted) : SharedFile();
  }
  void make_large(const std::string& name) {
    make(name, "begin");
    std::filesystem::resize_file(path_of(name), kMoreThanTheKernelTakes);
    set_age(path_of(name), kLongAgo);
  }
  // A client that has asked for this and reads nothing, once the server's kernel takes no more.
  HttpClient& stuck(const std::string& request) {
    HttpClient& client = dial(false);
    sender_ = nullptr;
    client.send(request);
    // Nothing tells that no more goes: some turns in which nothing has gone do.
    std::size_t left = 0;
    const Instant end = reactor().now() + kPatience;
    for (int same = 0; same < 50 && reactor().now() < end;) {
      reactor().run_once(1ms);
      const std::size_t now = sender_ == nullptr ? 0 : sender_->writable_length();
      same = now != 0 && now == std::exchange(left, now) ? same + 1 : 0;
    }
    EXPECT_GT(left, 0U);
    return client;
  }
};

// ---- Files that change ----

TEST_P(StaticSendTest, OneThatHasBecomeShorterEndsTheConnection) {
  RULES("4.9.7.1");
  make_large("a");
  serve_files();
  HttpClient& client = stuck(request_for("/a"));
  std::filesystem::resize_file(path_of("a"), 5);
  client.read();
  EXPECT_TRUE(run_until([&] { return client.closed(); }));
  EXPECT_EQ(client.error(), errno_code(ECONNRESET)) << "no clean end";
  EXPECT_LT(client.received().size(), kMoreThanTheKernelTakes);
  ASSERT_EQ(unhandled_.size(), 0U);
  // The others go on.
  EXPECT_EQ(get("/a").status, 200);
}

TEST_P(StaticSendTest, OneThatIsShorterThanWasKnown) {
  RULES("4.9.7.1");
  make("a", content(100'000));
  serve_files({.fresh = 1h});
  ASSERT_EQ(get("/a").body.size(), 100'000U);
  std::filesystem::resize_file(path_of("a"), 50'000);
  HttpClient& client = dial();
  client.send(request_for("/a"));
  EXPECT_TRUE(run_until([&] { return client.closed(); }));
  EXPECT_EQ(client.error(), errno_code(ECONNRESET));
}

TEST_P(StaticSendTest, OneThatGrowsIsSentAsLongAsItWas) {
  RULES("4.9.7.2");
  const std::string before = content(100'000);
  make("a", before);
  serve_files({.fresh = 1h});
  ASSERT_TRUE(get("/a").body == before);
  std::ofstream(path_of("a"), std::ios::app) << content(50'000);
  HttpClient& client = dial();
  client.send(request_for("/a") + request_for("/a", "Connection: close\r\n"));
  EXPECT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(count_of(client.received(), before), 2U);
  EXPECT_EQ(count_of(client.received(), "HTTP/1.1 200 OK\r\n"), 2U);
  EXPECT_TRUE(client.received().ends_with(before));
}

// ---- Order ----

TEST_P(StaticSendTest, PipelinedInTheirOrderWhicheverIsReadyFirst) {
  RULES("4.9.7.3");
  const std::string large = content(300'000, 7);
  make("small", "small");
  make("large", large);
  serve_files({.fresh = 1h});
  ASSERT_EQ(get("/small").body, "small");
  // The first is looked for, the second is known, the third is not there, then parts of the first.
  HttpClient& client = dial();
  client.send(request_for("/large") + request_for("/small") + request_for("/nowhere") +
              request_for("/large", "Range: bytes=7-9,100000-299999\r\n") +
              request_for("/large", "", "HEAD") +
              request_for("/small", "Connection: close\r\n"));
  ASSERT_TRUE(run_until([&] { return client.over(); }));
  std::string_view rest = client.received();
  const auto next = [&](std::string_view status, std::string_view body) {
    EXPECT_TRUE(rest.starts_with("HTTP/1.1 " + std::string(status))) << rest.substr(0, 40);
    rest.remove_prefix(std::min(rest.find("\r\n\r\n") + 4, rest.size()));
    EXPECT_TRUE(rest.starts_with(body)) << status;
    rest.remove_prefix(std::min(body.size(), rest.size()));
  };
  next("200", large);
  next("200", "small");
  next("404", "Not Found\n");
  const std::size_t part = rest.find(large.substr(7, 3) + "\r\n--");
  ASSERT_NE(part, rest.npos);
  const std::size_t end = rest.find(large.substr(100'000));
  ASSERT_NE(end, rest.npos);
  EXPECT_LT(part, end);
  rest.remove_prefix(rest.find("HTTP/1.1", end + 200'000));
  next("200", "");
  next("200", "small");
  EXPECT_EQ(rest, "");
}

TEST_P(StaticSendTest, APieceOfABody) {
  RULES("4.9.7.6");
  const std::string bytes = content(100'000);
  make("a", bytes);
  const SharedFile shared = file("a");
  const auto range = [&](std::size_t offset, std::size_t size) {
    return FileRange{.file = shared.share(), .offset = offset, .size = size};
  };
  std::string told;
  const auto noting = [&](std::string_view what) {
    return [&told, what](Response&, std::error_code code) {
      told += code ? std::string(name_of(code)) : std::string(what);
    };
  };
  serve([&](Request& request, Response& response) {
    if (request.path() == "/length") {
      response.set_header("Content-Length", "100010");
      response.write("hello", noting("a"));
      response.send_file(range(0, 60'000), noting("b"));
      response.send_file(range(60'000, 40'000), noting("c"));
      response.end("world", noting("d"));
    } else if (request.path() == "/chunked") {
      EXPECT_EQ(response.send_file(range(5, 10)), Write::ok);
      response.write("-");
      EXPECT_EQ(response.send_file(range(0, 0)), Write::ok) << "no end of the body";
      response.end(range(20, 70'000));
    } else if (request.path() == "/whole") {
      EXPECT_EQ(response.writable_length(), 0U);
      response.end(range(1, 99'999));
    } else if (request.path() == "/corked") {
      response.cork();
      response.send_file(range(0, 3));
      response.write("-");
      response.send_file(range(3, 3));
      response.end();
    }
  });
  const auto ask_for = [&](const std::string& path) {
    return take_apart(ask(request_for(path, "Connection: close\r\n")));
  };
  EXPECT_TRUE(ask_for("/length").body == "hello" + bytes + "world");
  EXPECT_EQ(told, "abcd");
  const Answer chunked = ask_for("/chunked");
  EXPECT_EQ(chunked.field("Transfer-Encoding"), "chunked");
  EXPECT_TRUE(chunked.body == "a\r\n" + bytes.substr(5, 10) + "\r\n1\r\n-\r\n11170\r\n" +
                                  bytes.substr(20, 70'000) + "\r\n0\r\n\r\n");
  const Answer whole = ask_for("/whole");
  EXPECT_EQ(whole.field("Content-Length"), "99999");
  EXPECT_TRUE(whole.body == bytes.substr(1));
  EXPECT_EQ(ask_for("/corked").body,
            "3\r\n" + bytes.substr(0, 3) + "\r\n1\r\n-\r\n3\r\n" + bytes.substr(3, 3) +
                "\r\n0\r\n\r\n");
  EXPECT_EQ(take_apart(ask(request_for("/whole", "Connection: close\r\n", "HEAD"))).body, "");
}

TEST_P(StaticSendTest, WhatCannotBeSent) {
  RULES("4.9.7.7");
  make("a", "hello");
  const SharedFile shared = file("a");
  std::string errors;
  serve([&](Request& request, Response& response) {
    response.on_error([&](Response&, const Error& error) { errors += name_of(error.code); });
    FileRange range{.file = shared.share(), .offset = 0, .size = 5};
    if (request.path() == "/none") range.file.reset();
    if (request.path() == "/far") range.offset = UINT64_MAX;
    if (request.path() == "/longer") response.set_header("Content-Length", "4");
    EXPECT_EQ(response.end(std::move(range)), Write::closed);
  });
  for (const auto& [path, error] : {std::pair("/none", "ERR_INVALID_ARG_VALUE"),
                                    std::pair("/far", "ERR_OUT_OF_RANGE"),
                                    std::pair("/longer", "ERR_HTTP_CONTENT_LENGTH_MISMATCH")}) {
    EXPECT_EQ(take_apart(ask(request_for(path))).status, 500) << path;
    EXPECT_EQ(std::exchange(errors, {}), error);
  }
}

// ---- Backpressure ----

TEST_P(StaticSendTest, ASlowReaderTakesNoMemory) {
  RULES("4.9.7.4");
  make_large("a");
  make("small", "small");
  serve_files({.fresh = 1h});
  ASSERT_EQ(get("/small").body, "small");
  std::string requests = request_for("/a");
  for (int i = 0; i < 100; ++i) requests += request_for("/small");
  HttpClient& client = stuck(requests);
  EXPECT_GT(sender_->writable_length(), 0U);
  EXPECT_LT(sender_->queued().memory, 64U * 1024);
  EXPECT_LT(files_->stats().hits, 40U) << "requests behind it wait";
  client.read();
  EXPECT_TRUE(run_until([&] { return files_->stats().hits == 100U; }));
}

TEST_P(StaticSendTest, AClientThatGoesLetsTheFileBeClosed) {
  RULES("4.9.7.5");
  make_large("a");
  serve_files({.open_files_max = 0});
  HttpClient& client = stuck(request_for("/a"));
  const auto is_open = [&] {
    for (const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      if (std::filesystem::read_symlink(one.path(), gone) == path_of("a")) return true;
    }
    return false;
  };
  EXPECT_TRUE(is_open());
  client.socket().destroy();
  const Instant end = reactor().now() + kPatience;
  while (is_open() && reactor().now() < end) reactor().run_once(1ms);
  EXPECT_FALSE(is_open());
}

TEST_P(StaticSendTest, FullAndDrain) {
  RULES("4.9.7.6");
  make_large("a");
  const SharedFile shared = file("a");
  int drains = 0;
  Write first = Write::closed;
  serve([&](Request&, Response& response) {
    response.set_header("Content-Length", std::to_string(kMoreThanTheKernelTakes + 4));
    first = response.send_file(
        {.file = shared.share(), .offset = 0, .size = kMoreThanTheKernelTakes});
    response.on_drain([&](Response& drained) {
      if (++drains == 1) drained.end("last");
    });
  });
  HttpClient& client = dial(false);
  client.send(request_for("/", "Connection: close\r\n"));
  ASSERT_TRUE(run_until([&] { return first != Write::closed; }));
  EXPECT_EQ(first, Write::full);
  EXPECT_EQ(drains, 0);
  client.read();
  EXPECT_TRUE(run_until([&] { return client.over(); }));
  EXPECT_EQ(drains, 1);
  EXPECT_TRUE(client.received().ends_with("last"));
}

TEST_P(StaticSendTest, ManyFilesInOneResponse) {
  RULES("4.9.7.6");
  make("a", content(10));
  const SharedFile shared = file("a");
  // More than a queue takes: the rest comes when it has drained.
  std::size_t sent = 0;
  const std::size_t count = 2 * net::limits::kQueuedFilesMax;
  int refused = 0;
  const auto go_on = [&](Response& response) {
    for (; sent < count; ++sent) {
      const Write result =
          response.send_file({.file = shared.share(), .offset = sent % 10, .size = 1});
      if (result != Write::refused) continue;
      ++refused;
      return;
    }
    response.end();
  };
  serve([&](Request&, Response& response) {
    response.set_header("Content-Length", std::to_string(count));
    response.on_drain([&](Response& drained) {
      if (!drained.writable_ended()) go_on(drained);
    });
    go_on(response);
  });
  const Answer answer = take_apart(ask(request_for("/", "Connection: close\r\n")));
  std::string expected;
  for (std::size_t i = 0; i < count; ++i) expected += content(10)[i % 10];
  EXPECT_EQ(answer.body, expected);
  EXPECT_GT(refused, 0);
}

using FileAtOnceTest = StaticSendTest;

// Above the high water of the output no further request is parsed; but until one comes, the receive
// stays as it is.
TEST_P(FileAtOnceTest, CostsNoCancel) {
  make("a", content(100'000));
  serve_files();
  HttpClient& client = dial();
  std::size_t expected = 0;
  for (int i = 0; i < 10; ++i) {
    if (i == 1) backend_->cancelled_receives = 0;  // the first one opens it
    client.send(request_for("/a"));
    expected += 100'000;
    ASSERT_TRUE(run_until([&] { return client.received().size() > expected; }));
  }
  EXPECT_EQ(backend_->cancelled_receives, 0);
}

WEIR_ON_ALL_BACKENDS(FileAtOnceTest);
WEIR_ON_ALL_BACKENDS(StaticSendTest);
WEIR_ON_FILE_THREADS(StaticSendTest);

}  // namespace
}  // namespace weir::test
