// StaticFiles: what it keeps, for how long, and what it does when a file changes.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "tests/http_static_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

class StaticCacheTest : public StaticTest {
 protected:
  bool is_open(const std::string& path) {
    for (const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      const auto target = std::filesystem::read_symlink(one.path(), gone).string();
      if (target == path || target == path + " (deleted)") return true;
    }
    return false;
  }
  // A thread closes its duplicate a moment after its answer.
  bool closes(const std::string& path) {
    const Instant end = reactor().now() + kPatience;
    while (is_open(path)) {
      if (reactor().now() >= end) return false;
      reactor().run_once(1ms);
    }
    return true;
  }
};

TEST_P(StaticCacheTest, FoundAgainWithoutLooking) {
  RULES("4.9.6.1");
  make("a", "before");
  make("large", content(100'000));
  StaticFiles& served = serve_files({.fresh = 1h});
  EXPECT_EQ(get("/a").body, "before");
  EXPECT_EQ(get("/large").body.size(), 100'000U);
  EXPECT_EQ(served.stats().looks, 2U);
  EXPECT_EQ(served.stats().hits, 0U);
  EXPECT_EQ(served.stats().open_files, 1U) << "what is in memory has no descriptor";
  std::filesystem::remove(path_of("a"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(get("/a").body, "before");
    EXPECT_EQ(get("/large", "", "HEAD").status, 200);
  }
  EXPECT_EQ(served.stats().looks, 2U);
  EXPECT_EQ(served.stats().hits, 6U);
}

TEST_P(StaticCacheTest, AChangeIsNoticedWhenItIsNotFreshAnyMore) {
  RULES("4.9.6.1 4.9.3.7");
  StaticFiles& served = serve_files({.fresh = Duration::zero()});
  for (const std::size_t size : {std::size_t{100}, std::size_t{100'000}}) {
    make("a", content(size));
    const std::string first = get("/a").field("ETag");
    EXPECT_EQ(get("/a").field("ETag"), first) << "as it was";
    // The same size, another time.
    make("a", content(size, 2), kLongAgo - 1);
    const Answer second = get("/a", "If-None-Match: " + first + "\r\n");
    EXPECT_EQ(second.status, 200);
    EXPECT_TRUE(second.body == content(size, 2));
    // The same time and size, another file.
    replace("a", content(size, 3), kLongAgo - 1);
    const Answer third = get("/a", "If-None-Match: " + second.field("ETag") + "\r\n");
    EXPECT_TRUE(third.body == content(size, 3));
    std::filesystem::remove(path_of("a"));
    EXPECT_EQ(status_of("/a"), 404);
    EXPECT_EQ(served.stats().hits, 0U);
  }
  EXPECT_EQ(served.stats().open_files, 0U);
  EXPECT_EQ(served.stats().body_bytes, 0U);
  EXPECT_EQ(served.stats().known_names, 1U);
  EXPECT_TRUE(closes(path_of("a")));
}

TEST_P(StaticCacheTest, FreshForSoLong) {
  RULES("4.9.6.1 4.9.6.4");
  make("a", "before");
  StaticFiles& served = serve_files({.fresh = 50ms});
  EXPECT_EQ(get("/a").body, "before");
  EXPECT_EQ(status_of("/b"), 404);
  replace("a", "after");
  make("b", "there");
  run_for(51ms);
  EXPECT_EQ(get("/a").body, "after");
  EXPECT_EQ(get("/b").body, "there");
  EXPECT_EQ(served.stats().looks, 4U);
}

TEST_P(StaticCacheTest, NamesThatAreNotThereAreKnown) {
  RULES("4.9.6.4");
  StaticFiles& served = serve_files({.fresh = 1h});
  make("dir/a", "a");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(status_of("/nowhere"), 404);
    EXPECT_EQ(status_of("/dir"), 301);
  }
  EXPECT_EQ(served.stats().looks, 2U);
  EXPECT_EQ(served.stats().known_names, 2U);
}

TEST_P(StaticCacheTest, Bounds) {
  RULES("4.9.6.3");
  constexpr std::size_t kCost = 1000 + http::limits::kCachedFileBytes;
  for (char name = 'a'; name < 'f'; ++name) {
    make(std::string("small-") + name, content(1000));
    make(std::string("large-") + name, content(20'000));
  }
  StaticFiles& served = serve_files(
      {.open_files_max = 2, .body_max = 1000, .bodies_max = 2 * kCost + 500, .fresh = 1h});
  const auto looks_for = [&](const std::string& path) {
    const std::uint64_t before = served.stats().looks;
    EXPECT_EQ(get(path).status, 200);
    return served.stats().looks - before;
  };
  for (const std::string kind : {"/small-", "/large-"}) {
    for (const char* name : {"a", "b"}) EXPECT_EQ(looks_for(kind + name), 1U);
    EXPECT_EQ(looks_for(kind + "a"), 0U);
    EXPECT_EQ(looks_for(kind + "c"), 1U);
    EXPECT_EQ(looks_for(kind + "a"), 0U) << "asked for later than b";
    EXPECT_EQ(looks_for(kind + "b"), 1U) << "least recently asked for";
    EXPECT_EQ(looks_for(kind + "c"), 1U);
  }
  EXPECT_EQ(served.stats().open_files, 2U);
  EXPECT_LE(served.stats().body_bytes, 2 * kCost + 500);
  EXPECT_GE(served.stats().body_bytes, 2 * kCost);
  EXPECT_TRUE(closes(path_of("large-a")));
  HttpClient& client = dial();
  std::size_t answers = 0;
  static_assert((http::limits::kKnownNamesMax + 101) % 25 == 0);
  for (std::size_t i = 0; i < http::limits::kKnownNamesMax + 101; ++i) {
    client.send(request_for("/no" + std::to_string(i)));
    ++answers;
    if (answers % 25 != 0) continue;
    ASSERT_TRUE(run_until([&] { return count_of(client.received(), "404 Not Found") == 25; }));
    client.take();
  }
  EXPECT_EQ(served.stats().known_names, http::limits::kKnownNamesMax);
  EXPECT_EQ(looks_for("/small-c"), 0U) << "names push no file out";
  EXPECT_EQ(looks_for("/large-c"), 0U);
}

TEST_P(StaticCacheTest, NothingIsKept) {
  RULES("4.9.6.3");
  make("small", "hello");
  make("large", content(100'000));
  StaticFiles& served = serve_files({.open_files_max = 0, .bodies_max = 0});
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(get("/small").body, "hello");
    EXPECT_TRUE(get("/large").body == content(100'000));
  }
  EXPECT_EQ(served.stats().open_files, 0U);
  EXPECT_EQ(served.stats().body_bytes, 0U);
  EXPECT_TRUE(closes(path_of("large")));
}

TEST_P(StaticCacheTest, ManyAskForItAtTheSameTime) {
  RULES("4.9.6.5");
  make("a", "hello");
  StaticFiles& served = serve_files({.fresh = 1h});
  std::uint64_t looks = 0;
  for (int i = 0; i < 20; ++i) {
    served.open("a", [&](Expected<http::FileContent> found) {
      ASSERT_TRUE(found.has_value());
      EXPECT_EQ(found->bytes.view(), "hello");
      ++looks;
    });
  }
  EXPECT_EQ(looks, 0U) << "inside the call";
  EXPECT_TRUE(run_until([&] { return looks == 20; }));
  for (int i = 0; i < 20; ++i) dial().send(request_for("/a"));
  EXPECT_TRUE(run_until([&] {
    std::size_t answers = 0;
    for (const auto& client : clients_) answers += count_of(client->received(), "hello");
    return answers == 20;
  }));
  EXPECT_EQ(served.stats().hits, 20U);
}

TEST_P(StaticCacheTest, ByItsNameForAnotherKindOfResponse) {
  RULES("4.9.7.6");
  make("large", content(100'000));
  std::filesystem::create_directory(path_of("dir"));
  StaticFiles& served = serve_files();
  std::vector<std::string> found;
  make(".hidden", "h");
  make("a/.hidden/b", "h");
  for (const char* name : {"large", "nowhere", "dir", "../root/large", "/large", "", ".hidden",
                           "a/.hidden/b"}) {
    served.open(name, [&](Expected<http::FileContent> content) {
      found.emplace_back(content ? std::to_string(content->range.size)
                                 : name_of(content.error().code));
    });
  }
  EXPECT_EQ(found.size(), 0U) << "inside the call";
  EXPECT_TRUE(run_until([&] { return found.size() == 8; }));
  std::ranges::sort(found);
  std::vector<std::string> expected(8, "ENOENT");
  expected[0] = "100000";
  EXPECT_EQ(found, expected);
}

TEST_P(StaticCacheTest, WhatIsSentIsNotMixedWithWhatReplacesIt) {
  RULES("4.9.6.2");
  const std::string before = content(4 << 20, 1);
  make("a", before);
  serve_files({.fresh = Duration::zero()});
  HttpClient& slow = dial(false);
  slow.send(request_for("/a", "Connection: close\r\n"));
  EXPECT_TRUE(run_until([&] { return files_->stats().open_files == 1; }));
  replace("a", content(5000, 2));
  EXPECT_TRUE(get("/a").body == content(5000, 2));
  slow.read();
  EXPECT_TRUE(run_until([&] { return slow.over(); }));
  const Answer old = take_apart(slow.received());
  EXPECT_EQ(old.field("Content-Length"), std::to_string(before.size()));
  EXPECT_TRUE(old.body == before);
  EXPECT_TRUE(closes(path_of("a"))) << "behind its last byte";
}

// ---- What changes in place ----

TEST_P(StaticCacheTest, ChangedBetweenItsHeadAndItsBytes) {
  RULES("4.9.6.2 4.9.3.7");
  make("a", "before");
  serve_files({.fresh = Duration::zero()});
  backend_->before_reading = [this] { make("a", "after!"); };
  const Answer first = get("/a");
  EXPECT_FALSE(backend_->before_reading);
  EXPECT_EQ(first.body, "after!");
  const Answer second = get("/a");
  EXPECT_EQ(second.body, "after!");
  EXPECT_EQ(first.field("ETag"), second.field("ETag")) << "the tag of what was sent";
  backend_->before_reading = [this] { make("b", content(1000)); };
  make("b", "short");
  const Answer longer = get("/b");
  EXPECT_EQ(longer.field("Content-Length"), "1000");
  EXPECT_TRUE(longer.body == content(1000));
}

TEST_P(StaticCacheTest, ChangedAgainAtTheSameTime) {
  RULES("4.9.6.1 4.9.3.6");
  make("a", "1");
  serve_files({.fresh = Duration::zero()});
  const int fd = ::open(path_of("a").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  // Of what is written to memory only the first write since the last one to disk has a time.
  void* const mapped = ::mmap(nullptr, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  ASSERT_NE(mapped, MAP_FAILED);
  char* const byte = static_cast<char*>(mapped);
  backend_->ahead = 0;
  *byte = '2';
  EXPECT_EQ(get("/a").body, "2");
  *byte = '3';
  EXPECT_EQ(get("/a").body, "3");
  *byte = '4';
  backend_->ahead = kLongAgo;
  const Answer settled = get("/a");
  EXPECT_EQ(settled.body, "4");
  EXPECT_TRUE(settled.field("ETag").starts_with("\""));
  ::munmap(mapped, 1);
}

TEST_P(StaticCacheTest, PartsAreNeverOfAnotherFileThanTheirTag) {
  RULES("4.9.4.6 4.9.6.1");
  make("a", content(100'000, 1));
  serve_files({.fresh = 1h});
  const Answer first = get("/a");
  const std::string condition = "If-Range: " + first.field("ETag") + "\r\n";
  EXPECT_EQ(get("/a", condition + "Range: bytes=5-9\r\n").body, content(100'000, 1).substr(5, 5));
  EXPECT_EQ(files_->stats().looks, 1U);
  make("a", content(100'000, 2));
  const Answer second = get("/a", condition + "Range: bytes=5-9\r\n");
  EXPECT_EQ(second.status, 200);
  EXPECT_TRUE(second.body == content(100'000, 2));
  EXPECT_NE(second.field("ETag"), first.field("ETag"));
}

// ---- Bounds ----

TEST_P(StaticCacheTest, WhoWaitsForOneName) {
  RULES("4.9.6.3 4.9.6.5");
  make("a", "hello");
  StaticFiles& served = serve_files();
  std::size_t told = 0;
  serve([&](Request& request, Response& response) {
    for (std::size_t i = 0; i < http::limits::kWaitingForFileMax; ++i) {
      served.open("a", [&](Expected<http::FileContent>) { ++told; });
    }
    served.answer(request, response, "a");
  });
  EXPECT_EQ(status_of("/a"), 503);
  EXPECT_TRUE(run_until([&] { return told == http::limits::kWaitingForFileMax; }));
}

TEST_P(StaticCacheTest, AnAnswerThatHasLookedIsNoHit) {
  RULES("4.9.6.1");
  make("a", "plain");
  make("a.gz", "gzip");
  StaticFiles& served = serve_files({.precompressed = true, .fresh = 1h});
  EXPECT_EQ(get("/a.gz").body, "gzip");
  EXPECT_EQ(get("/a", "Accept-Encoding: gzip\r\n").body, "gzip");
  EXPECT_EQ(served.stats().looks, 2U);
  EXPECT_EQ(served.stats().hits, 0U);
}

// ---- The end ----

TEST_P(StaticCacheTest, DestroyedByTheFirstOfThoseWhoAsked) {
  RULES("4.9.6.5");
  make("a", "hello");
  StaticFiles& served = serve_files();
  int told = 0;
  bool asked = false;
  serve([&](Request& request, Response& response) {
    served.open("a", [&](Expected<http::FileContent>) {
      ++told;
      files_.reset();
    });
    served.answer(request, response, "a");
    served.open("a", [&](Expected<http::FileContent>) { ++told; });
    asked = true;
  });
  HttpClient& client = dial();
  client.send(request_for("/a"));
  ASSERT_TRUE(run_until([&] { return asked && files_ == nullptr; }));
  run_for(1ms);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(client.received(), "");
}

// ---- Out of descriptors ----

class FewDescriptors {
 public:
  FewDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    int highest = 0;
    for (const auto& one : std::filesystem::directory_iterator("/proc/self/fd")) {
      highest = std::max(highest, std::stoi(one.path().filename()));
    }
    // No number is free below the limit.
    while (held_.empty() || held_.back() < highest) held_.push_back(::dup(0));
    rlimit few = before_;
    few.rlim_cur = static_cast<rlim_t>(held_.back()) + 1;
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewDescriptors() {
    ::setrlimit(RLIMIT_NOFILE, &before_);
    for (const int fd : held_) ::close(fd);
  }

 private:
  std::vector<int> held_;
  rlimit before_{};
};

TEST_P(StaticCacheTest, OutOfDescriptors) {
  RULES("4.9.6.6");
  make("a", "a");
  make("b", content(100'000, 2));
  make("c", content(100'000, 3));
  StaticFiles& served = serve_files({.fresh = 1h});
  HttpClient& client = dial();
  client.send(request_for("/.."));  // nothing is looked for, so no thread closes anything later
  ASSERT_TRUE(run_until_received(client, "Not Found\n"));
  client.take();
  {
    const FewDescriptors few;
    client.send(request_for("/a"));
    ASSERT_TRUE(run_until_received(client, "Service Unavailable\n"));
  }
  EXPECT_EQ(count_of(client.received(), "Retry-After: 1\r\n"), 1U);
  client.take();
  client.send(request_for("/a") + request_for("/b"));
  ASSERT_TRUE(run_until([&] { return client.received().ends_with(content(100'000, 2)); }));
  EXPECT_EQ(served.stats().open_files, 1U);
  ASSERT_TRUE(run_until([&] { return client.socket().writable_length() == 0; }));
  client.take();
  if (!GetParam().options.file_nowait) return;  // a thread needs a duplicate besides
  {
    const FewDescriptors few;
    client.send(request_for("/c"));
    ASSERT_TRUE(run_until([&] { return client.received().ends_with(content(100'000, 3)); }))
        << "that of b was given back";
  }
  EXPECT_EQ(served.stats().open_files, 1U);
}

WEIR_ON_ALL_BACKENDS(StaticCacheTest);
WEIR_ON_FILE_THREADS(StaticCacheTest);

// It takes a minute.
class VirtualStaticCacheTest : public StaticCacheTest {};

TEST_P(VirtualStaticCacheTest, WhatNobodyHasAskedForInLong) {
  RULES("4.9.6.3");
  make("a", "hello");
  make("b", content(100'000));
  StaticFiles& served = serve_files();
  const auto use = [&] {
    get("/a");
    get("/b");
    get("/nowhere");
    EXPECT_EQ(served.stats().open_files, 1U);
    EXPECT_GT(served.stats().body_bytes, 0U);
  };
  use();
  run_for(http::limits::kFileKept - 1s);
  use();
  run_for(http::limits::kFileKept + http::limits::kFileFreshDefault);
  get("/elsewhere");
  EXPECT_EQ(served.stats().open_files, 0U);
  EXPECT_EQ(served.stats().body_bytes, 0U);
  EXPECT_EQ(served.stats().known_names, 1U);
}

WEIR_ON_SIM(VirtualStaticCacheTest);

}  // namespace
}  // namespace weir::test
