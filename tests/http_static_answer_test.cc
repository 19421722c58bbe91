// StaticFiles: what it answers.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <set>

#include "tests/http_static_world.h"
#include "weir/http/date.h"
#include "weir/reactor/memory.h"

namespace weir::test {
namespace {

namespace files = std::filesystem;

using StaticAnswerTest = StaticTest;

constexpr std::string_view kHtml = "text/html; charset=utf-8";

// ---- Files ----

TEST_P(StaticAnswerTest, AFileWithItsHead) {
  RULES("4.9.1.1 4.9.1.8");
  make("a.html", "<p>hello");
  serve_files({.cache_control = "max-age=60"});
  const Answer answer = get("/a.html");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "<p>hello");
  EXPECT_EQ(answer.field("Content-Type"), kHtml);
  EXPECT_EQ(answer.field("Content-Length"), "8");
  EXPECT_EQ(answer.field("Accept-Ranges"), "bytes");
  EXPECT_EQ(answer.field("Cache-Control"), "max-age=60");
  EXPECT_EQ(answer.field("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(answer.field("Vary"), "");
  EXPECT_EQ(answer.field("Content-Encoding"), "");
  struct stat facts{};
  ASSERT_EQ(::stat(path_of("a.html").c_str(), &facts), 0);
  const auto modified = http::format_date(facts.st_mtim.tv_sec);
  EXPECT_EQ(answer.field("Last-Modified"), std::string(modified.data(), modified.size()));
  EXPECT_TRUE(answer.field("ETag").starts_with("\"")) << answer.field("ETag");
}

TEST_P(StaticAnswerTest, EveryByteOfAnySize) {
  RULES("4.9.1.7");
  serve_files();
  // Around what is copied beside the head, kept in memory, read at once, and sent at once.
  for (const std::size_t size : {0, 1, 2047, 2048, 2049, 16383, 16384, 16385, 65536, 262143, 262145,
                                 3 << 20}) {
    const std::string name = std::to_string(size);
    const std::string bytes = content(size);
    make(name, bytes);
    for (int i = 0; i < 2; ++i) {  // looked for, and known
      const Answer answer = get("/" + name);
      EXPECT_EQ(answer.status, 200);
      EXPECT_EQ(answer.field("Content-Length"), name);
      EXPECT_TRUE(answer.body == bytes) << size;
    }
  }
}

TEST_P(StaticAnswerTest, HeadHasNoBody) {
  RULES("4.9.1.2 4.9.4.5");
  make("small.txt", "hello");
  make("large.txt", content(100'000));
  serve_files();
  for (const auto& [path, size] :
       {std::pair("/small.txt", "5"), std::pair("/large.txt", "100000")}) {
    const Answer head = get(path, "Range: bytes=0-0\r\n", "HEAD");
    const Answer whole = get(path);
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.body, "");
    EXPECT_EQ(head.field("Content-Length"), size);
    EXPECT_EQ(head.field("ETag"), whole.field("ETag"));
    EXPECT_EQ(head.field("Content-Type"), whole.field("Content-Type"));
  }
}

TEST_P(StaticAnswerTest, ToHttp10) {
  RULES("4.9.1.1");
  make("large", content(100'000));
  serve_files();
  const Answer answer = take_apart(ask("GET /large HTTP/1.0\r\n\r\n"));
  EXPECT_EQ(answer.field("Content-Length"), "100000");
  EXPECT_TRUE(answer.body == content(100'000));
}

TEST_P(StaticAnswerTest, OtherMethods) {
  RULES("4.9.1.3");
  make("a", "hello");
  serve_files();
  for (const std::string method : {"POST", "PUT", "DELETE", "PATCH", "TRACE"}) {
    const Answer answer = get("/a", "", method);
    EXPECT_EQ(answer.status, 405) << method;
    EXPECT_EQ(answer.field("Allow"), "GET, HEAD, OPTIONS");
  }
  const Answer options = get("/a", "", "OPTIONS");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.field("Allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(options.body, "");
}

// ---- Directories ----

TEST_P(StaticAnswerTest, ADirectoryIsItsIndex) {
  RULES("4.9.1.5");
  make("index.html", "root");
  make("a/index.html", "a");
  make("b/other.html", "b");
  make("c/index.html/x", "x");
  serve_files();
  EXPECT_EQ(get("/").body, "root");
  EXPECT_EQ(get("/a/").body, "a");
  EXPECT_EQ(get("/a/").field("Content-Type"), kHtml);
  EXPECT_EQ(get("/b/").status, 404) << "nothing is listed";
  EXPECT_EQ(get("/c/").status, 404);
  EXPECT_EQ(get("/index.html/").status, 404) << "no directory";
  serve_files({.index = "other.html"});
  EXPECT_EQ(get("/b/").body, "b");
  EXPECT_EQ(get("/a/").status, 404);
  serve_files({.index = ""});
  for (const char* path : {"/", "/a/", "/a"}) EXPECT_EQ(get(path).status, 404) << path;
}

TEST_P(StaticAnswerTest, ADirectoryWithoutItsSlashIsMoved) {
  RULES("4.9.1.4");
  make("a/b/index.html", "b");
  make("javascript:x/index.html", "x");
  make("a b?/index.html", "x");
  make("a/myindex.html/index.html", "x");
  serve_files();
  const auto location = [&](const std::string& path) {
    const Answer answer = get(path);
    EXPECT_EQ(answer.status, 301) << path;
    return answer.field("Location");
  };
  EXPECT_EQ(location("/a"), "./a/");
  EXPECT_EQ(location("/a/b"), "./b/");
  EXPECT_EQ(location("/a/myindex.html"), "./myindex.html/");
  EXPECT_EQ(location("/a/b?x=1&y=/../"), "./b/?x=1&y=/../");
  EXPECT_EQ(location("/javascript:x"), "./javascript%3Ax/");
  EXPECT_EQ(location("/a%20b%3F"), "./a%20b%3F/");
  for (const char* path : {"//a", "//evil.example/a", "/%2f/a", "/a//b"}) {
    EXPECT_EQ(get(path).status, 404) << path;
  }
}

// ---- What is not served ----

TEST_P(StaticAnswerTest, NothingLeadsOutOfTheRoot) {
  RULES("4.9.2.1 4.9.2.2 4.9.2.6");
  std::ofstream(outside_ + "/secret") << "secret";
  make("a/b.txt", "b");
  make(".hidden", "h");
  make("a/.git/config", "h");
  serve_files();
  ASSERT_EQ(get("/a/b.txt").body, "b");
  for (const char* path :
       {"/../secret", "/a/../../secret", "/a/../a/b.txt", "/./a/b.txt", "/a/./b.txt",
        "/%2e%2e/secret", "/%2E%2E/secret", "/.%2e/secret", "/%2e%2e%2fsecret", "/..%2fsecret",
        "/a/%2e%2e/%2e%2e/secret", "/a%2fb.txt", "/a%2Fb.txt", "/a%5c..%5c..%5csecret",
        "/%252e%252e/secret", "/%25%32%65%25%32%65/secret", "/%c0%ae%c0%ae/secret",
        "/a//b.txt", "//a/b.txt", "/%zz", "/%", "/%4", "/a/b.txt/", "/a/b.txt/..", "/.hidden",
        "/%2ehidden", "/a/.git/config", "/proc/self/environ", "/etc/passwd", "//etc/passwd",
        "/%2fetc%2fpasswd", "/a/b.txt%20", "/nowhere"}) {
    const Answer answer = get(path);
    EXPECT_EQ(answer.status, 404) << path;
    EXPECT_EQ(answer.body, "Not Found\n") << path;
  }
  // These are refused before: they are no paths.
  for (const char* path : {"/..\\secret", "/\\secret", "/a/b.txt%00", "/%00"}) {
    EXPECT_EQ(status_of(path), 400) << path;
  }
  // An absolute target has a path as any other has.
  EXPECT_EQ(status_of("http://a/../secret"), 404);
  EXPECT_EQ(status_of("http://a/a/b.txt"), 200);
  EXPECT_EQ(status_of("/" + outside_ + "/secret"), 404);
  EXPECT_EQ(status_of("/" + std::string(5000, 'a')), 404);
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "/a";
  EXPECT_EQ(status_of(deep), 404);
  serve_files({.hidden = true});
  EXPECT_EQ(get("/.hidden").body, "h");
  EXPECT_EQ(get("/a/.git/config").body, "h");
  EXPECT_EQ(status_of("/../secret"), 404);
}

TEST_P(StaticAnswerTest, NoLinkIsFollowed) {
  RULES("4.9.2.3");
  make("a/b.txt", "b");
  std::ofstream(outside_ + "/secret") << "secret";
  files::create_symlink("a/b.txt", path_of("inside"));
  files::create_symlink("../secret", path_of("outside"));
  files::create_symlink(outside_ + "/secret", path_of("absolute"));
  files::create_directory_symlink("a", path_of("linked"));
  files::create_directory_symlink("..", path_of("up"));
  files::create_symlink("loop", path_of("loop"));
  files::create_symlink("nowhere", path_of("broken"));
  serve_files();
  for (const char* path : {"/inside", "/outside", "/absolute", "/linked/b.txt", "/linked/",
                           "/linked", "/up/secret", "/up/root/a/b.txt", "/loop", "/broken"}) {
    EXPECT_EQ(status_of(path), 404) << path;
  }
}

TEST_P(StaticAnswerTest, LinksThatStayBelowTheRootWhenAskedFor) {
  RULES("4.9.2.4");
  make("a/b.txt", "b");
  std::ofstream(outside_ + "/secret") << "secret";
  files::create_symlink("a/b.txt", path_of("inside"));
  files::create_symlink("../a/b.txt", path_of("a/around"));
  files::create_directory_symlink("a", path_of("linked"));
  files::create_symlink("../secret", path_of("outside"));
  files::create_symlink("a/../../root/a/b.txt", path_of("detour"));
  files::create_symlink(outside_ + "/secret", path_of("absolute"));
  files::create_symlink(path_of("a/b.txt"), path_of("absolute-inside"));
  files::create_directory_symlink("..", path_of("up"));
  files::create_symlink("loop", path_of("loop"));
  serve_files({.follow_links = true});
  // Where the kernel has no openat2(2), none is followed: so it is without nowait here.
  const bool follows = GetParam().options.file_nowait;
  for (const char* path : {"/inside", "/a/around", "/linked/b.txt"}) {
    EXPECT_EQ(get(path).body, follows ? "b" : "Not Found\n") << path;
  }
  for (const char* path : {"/outside", "/detour", "/absolute", "/absolute-inside", "/up/secret",
                           "/up/root/a/b.txt", "/loop"}) {
    EXPECT_EQ(status_of(path), 404) << path;
  }
}

TEST_P(StaticAnswerTest, OnlyRegularFiles) {
  RULES("4.9.2.5");
  ASSERT_EQ(mkfifo(path_of("fifo").c_str(), 0600), 0);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un at{.sun_family = AF_UNIX, .sun_path = {}};
  ASSERT_LT(path_of("sock").copy(at.sun_path, sizeof at.sun_path), sizeof at.sun_path);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  serve_files();
  EXPECT_EQ(status_of("/fifo"), 404);
  EXPECT_EQ(status_of("/sock"), 404);
  ::close(fd);
}

TEST_P(StaticAnswerTest, WhatMayNotBeRead) {
  RULES("4.9.1.6");
  constexpr uid_t kNobody = 65534;
  make("a", "a");
  ASSERT_EQ(chmod(path_of("a").c_str(), 0), 0);
  serve_files();
  // Root may read everything.
  const bool is_root = geteuid() == 0;
  ASSERT_EQ(is_root ? seteuid(kNobody) : 0, 0);
  EXPECT_EQ(status_of("/a"), 403);
  ASSERT_EQ(is_root ? seteuid(0) : 0, 0);
}

TEST_P(StaticAnswerTest, WhatTheFileSystemFailsAtIsNotKnown) {
  RULES("4.9.1.6 4.9.6.4");
  make("a", "a");
  serve_files({.fresh = std::chrono::hours(1)});
  for (const auto& [error, status] : {std::pair(EIO, 500), std::pair(ESTALE, 500),
                                      std::pair(EINTR, 500), std::pair(EAGAIN, 503)}) {
    backend_->failures.push_back(error);
    EXPECT_EQ(status_of("/a"), status) << error;
  }
  EXPECT_EQ(files_->stats().known_names, 0U);
  EXPECT_EQ(get("/a").body, "a");
  for (const auto& [error, status] : {std::pair(ENOENT, 404), std::pair(EXDEV, 404),
                                      std::pair(EACCES, 403)}) {
    serve_files({.fresh = std::chrono::hours(1)});
    backend_->failures.push_back(error);
    EXPECT_EQ(status_of("/a"), status) << error;
    EXPECT_EQ(status_of("/a"), status) << error;
  }
}

// The fields of the file are made once and copied; not where the handler has set some.
TEST_P(StaticAnswerTest, BesideFieldsOfTheHandler) {
  RULES("4.9.1.1 4.9.5.1");
  make("a", "hello");
  StaticFiles& served = serve_files({.precompressed = true});
  const auto fields = [&] {
    auto all = get("/a").fields;
    EXPECT_EQ(all.erase("Date"), 1U);
    return all;
  };
  const auto alone = fields();
  for (int i = 0; i < 2; ++i) {
    serve([&](Request& request, Response& response) {
      response.set_header("Vary", "Origin");
      response.set_header("X-Mine", "1");
      response.set_header("ETag", "\"mine\"");
      served.answer(request, response, "a");
    });
    auto expected = alone;
    expected.emplace("Vary", "Origin");
    expected.emplace("X-Mine", "1");
    auto beside = fields();
    EXPECT_EQ(std::multiset(beside.begin(), beside.end()),
              std::multiset(expected.begin(), expected.end()));
    serve([&](Request& request, Response& response) {
      response.set_header("X-Mine", "1");
      served.answer(request, response, "a");
    });
    expected = alone;
    expected.emplace("X-Mine", "1");
    EXPECT_EQ(fields(), expected);
    serve([&](Request& request, Response& response) { served.answer(request, response, "a"); });
    EXPECT_EQ(fields(), alone);
  }
}

// Whatever becomes of the answer in which memory is refused: the fields of the next one are whole.
TEST_P(StaticAnswerTest, WhatWasRefusedIsNotMissingLater) {
  RULES("4.9.1.1 4.9.5.1");
  make("a.js", "plain");
  make("a.js.gz", "gzip");
  const std::string accepts = "Accept-Encoding: gzip\r\n";
  const auto fields = [&] {
    auto all = get("/a.js", accepts).fields;
    EXPECT_EQ(all.erase("Date"), 1U);
    return all;
  };
  serve_files({.precompressed = true});
  const auto whole = fields();
  EXPECT_EQ(whole.count("Content-Encoding") + whole.count("Vary"), 2U);
  static long left;
  int refused = 0;
  for (long nth = 0; nth < 30; ++nth) {
    serve_files({.precompressed = true});
    HttpClient& client = dial();
    left = nth;
    memory::set_gate([](std::size_t) noexcept { return left-- != 0; });
    client.send(request_for("/a.js", accepts + "Connection: close\r\n"));
    EXPECT_TRUE(run_until([&] { return client.over(); })) << nth;
    memory::set_gate(nullptr);
    refused += left < 0 ? 1 : 0;
    EXPECT_EQ(fields(), whole) << nth;
  }
  EXPECT_GT(refused, 0);
}

TEST_P(StaticAnswerTest, AHeadThatIsOutBefore) {
  RULES("4.9.1.1");
  make("a", "hello");
  StaticFiles& served = serve_files();
  serve([&](Request& request, Response& response) {
    response.write("x");
    served.answer(request, response, "a");
  });
  HttpClient& client = dial();
  client.send(request_for("/a"));
  EXPECT_TRUE(run_until([&] { return client.over(); })) << "a body without an end";
}

TEST_P(StaticAnswerTest, ARootThatIsNone) {
  RULES("4.9.2.2");
  const auto nowhere = StaticFiles::create(reactor(), {.root = root_ + "/nowhere"});
  ASSERT_FALSE(nowhere.has_value());
  EXPECT_EQ(nowhere.error().code, errno_code(ENOENT));
  make("a", "a");
  const auto file = StaticFiles::create(reactor(), {.root = path_of("a")});
  ASSERT_FALSE(file.has_value());
  EXPECT_EQ(file.error().code, errno_code(ENOTDIR));
  const auto bad = StaticFiles::create(reactor(), {.root = root_, .cache_control = "a\r\nb: c"});
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().code, Mistake::invalid_char);
}

// ---- Conditions ----

TEST_P(StaticAnswerTest, Conditions) {
  RULES("4.9.3.1 4.9.3.2 4.9.3.3 4.9.3.4 4.9.4.7");
  make("a.txt", "hello");
  serve_files({.precompressed = true, .cache_control = "max-age=60"});
  const Answer whole = get("/a.txt");
  const std::string tag = whole.field("ETag");
  const std::string date = whole.field("Last-Modified");
  for (const std::string& field :
       {"If-None-Match: " + tag, "If-None-Match: W/" + tag, std::string("If-None-Match: *"),
        "If-Modified-Since: " + date, "If-Match: *\r\nIf-None-Match: " + tag}) {
    const Answer answer = get("/a.txt", field + "\r\nRange: bytes=0-0\r\n");
    EXPECT_EQ(answer.status, 304) << field;
    EXPECT_EQ(answer.body, "");
    EXPECT_EQ(answer.field("ETag"), tag);
    EXPECT_EQ(answer.field("Cache-Control"), "max-age=60");
    EXPECT_EQ(answer.field("Vary"), "Accept-Encoding");
    EXPECT_EQ(answer.field("Content-Length"), "");
  }
  EXPECT_EQ(get("/a.txt", "If-None-Match: " + tag + "\r\n", "HEAD").status, 304);
  for (const std::string field :
       {"If-Match: \"x\"", "If-Unmodified-Since: Sun, 06 Nov 1983 08:49:37 GMT"}) {
    const Answer answer = get("/a.txt", field + "\r\nRange: bytes=0-0\r\n");
    EXPECT_EQ(answer.status, 412) << field;
    EXPECT_EQ(answer.field("Content-Range"), "");
    EXPECT_EQ(answer.field("Cache-Control"), "");
    EXPECT_EQ(answer.field("Vary"), "Accept-Encoding");
  }
  for (const std::string& field : {"If-Match: " + tag, "If-Unmodified-Since: " + date,
                                   std::string("If-None-Match: \"x\"")}) {
    EXPECT_EQ(get("/a.txt", field + "\r\n").body, "hello") << field;
    EXPECT_EQ(get("/a.txt", field + "\r\nRange: bytes=0-0\r\n").body, "h") << field;
  }
}

TEST_P(StaticAnswerTest, TheTagIsWeakWhileAnotherChangeWouldNotShow) {
  RULES("4.9.3.6 4.9.4.6");
  make("a", "hello");  // its age can be set, but not when that was
  serve_files({.fresh = Duration::zero()});
  backend_->ahead = -60;
  const Answer weak = get("/a");
  const std::string tag = weak.field("ETag");
  EXPECT_TRUE(tag.starts_with("W/\"")) << tag;
  EXPECT_EQ(get("/a", "If-None-Match: " + tag + "\r\n").status, 304);
  EXPECT_EQ(status_of("/a", "If-Range: " + tag + "\r\nRange: bytes=0-0\r\n"), 200);
  EXPECT_EQ(status_of("/a", "If-Range: " + weak.field("Last-Modified") +
                                "\r\nRange: bytes=0-0\r\n"),
            200);
  backend_->ahead = 3;
  const Answer strong = get("/a", "If-None-Match: " + tag + "\r\n");
  EXPECT_EQ(strong.status, 200) << "what it was when its tag was weak is not known";
  EXPECT_TRUE(strong.field("ETag").starts_with("\"")) << strong.field("ETag");
  EXPECT_EQ(status_of("/a", "If-None-Match: " + strong.field("ETag") + "\r\n"), 304);
}

TEST_P(StaticAnswerTest, TheTimeOfModificationIsForLastModifiedOnly) {
  RULES("4.9.3.6 4.9.3.7");
  make("a", "hello", -1000);
  serve_files({.fresh = Duration::zero()});
  const Answer future = get("/a");
  EXPECT_LE(http::parse_date(future.field("Last-Modified"), 0),
            http::parse_date(future.field("Date"), 0));
  EXPECT_TRUE(future.field("ETag").starts_with("\"")) << future.field("ETag");
  EXPECT_EQ(status_of("/a", "If-Range: " + future.field("Last-Modified") +
                                "\r\nRange: bytes=0-0\r\n"),
            200);
  for (const std::size_t size : {std::size_t{100}, std::size_t{100'000}}) {
    make("a", content(size, 1));
    const Answer first = get("/a");
    struct stat facts{};
    ASSERT_EQ(::stat(path_of("a").c_str(), &facts), 0);
    make("a", content(size, 2));
    const timespec times[] = {facts.st_mtim, facts.st_mtim};  // as tar(1) and rsync(1) do
    ASSERT_EQ(utimensat(AT_FDCWD, path_of("a").c_str(), times, 0), 0);
    const Answer second = get("/a", "If-None-Match: " + first.field("ETag") + "\r\n");
    EXPECT_EQ(second.status, 200);
    EXPECT_TRUE(second.body == content(size, 2));
    EXPECT_EQ(second.field("Last-Modified"), first.field("Last-Modified"));
  }
}

// ---- Ranges ----

TEST_P(StaticAnswerTest, OneRange) {
  RULES("4.9.4.1");
  serve_files();
  for (const std::size_t size : {std::size_t{1000}, std::size_t{300'000}}) {
    const std::string bytes = content(size);
    make(std::to_string(size), bytes);
    const std::string path = "/" + std::to_string(size);
    const std::string end = std::to_string(size - 1);
    const auto expect = [&](const std::string& range, std::size_t first, std::size_t count) {
      const Answer answer = get(path, "Range: bytes=" + range + "\r\n");
      EXPECT_EQ(answer.status, 206) << range;
      EXPECT_TRUE(answer.body == bytes.substr(first, count)) << range;
      EXPECT_EQ(answer.field("Content-Range"),
                "bytes " + std::to_string(first) + "-" + std::to_string(first + count - 1) + "/" +
                    std::to_string(size));
      EXPECT_EQ(answer.field("Content-Length"), std::to_string(count));
      EXPECT_EQ(answer.field("Content-Type"), "application/octet-stream");
    };
    expect("0-0", 0, 1);
    expect("0-", 0, size);
    expect("-1", size - 1, 1);
    expect("100-499", 100, 400);
    expect(end + "-" + end, size - 1, 1);
    expect("7-99999999", 7, size - 7);
    expect("-99999999", 0, size);
    expect("0-1,99999999-", 0, 2);
  }
}

// The parts between the boundaries, with their heads; empty when it is not so framed.
std::vector<std::string> parts_of(const Answer& answer) {
  const std::string type = answer.field("Content-Type");
  const std::size_t at = type.find("; boundary=");
  if (!type.starts_with("multipart/byteranges") || at == type.npos) return {};
  const std::string line = "--" + type.substr(at + 11);
  std::string_view rest = answer.body;
  std::vector<std::string> parts;
  if (!rest.starts_with(line + "\r\n")) return {};
  rest.remove_prefix(line.size() + 2);
  for (std::size_t end; (end = rest.find("\r\n" + line)) != rest.npos;) {
    parts.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end + 2 + line.size());
    if (rest == "--\r\n") return parts;
    rest.remove_prefix(2);
  }
  return {};
}

TEST_P(StaticAnswerTest, SeveralRanges) {
  RULES("4.9.4.2");
  serve_files();
  for (const std::size_t size : {std::size_t{1000}, std::size_t{300'000}}) {
    const std::string bytes = content(size);
    const std::string name = std::to_string(size) + ".txt";
    make(name, bytes);
    const Answer some = get("/" + name, "Range: bytes=900-999, 0-9, 5000000-, -1, 500-599\r\n");
    ASSERT_EQ(some.status, 206);
    EXPECT_EQ(some.field("Content-Length"), std::to_string(some.body.size()));
    EXPECT_EQ(some.field("Content-Range"), "");
    std::vector<std::string> expected;
    for (const auto& [first, count] : {std::pair<std::size_t, std::size_t>{900, 100},
                                       {0, 10}, {size - 1, 1}, {500, 100}}) {
      expected.push_back("Content-Type: text/plain; charset=utf-8\r\nContent-Range: bytes " +
                         std::to_string(first) + "-" + std::to_string(first + count - 1) + "/" +
                         std::to_string(size) + "\r\n\r\n" + bytes.substr(first, count));
    }
    EXPECT_EQ(parts_of(some), expected);
    const Answer again = get("/" + name, "Range: bytes=0-0,2-2\r\n");
    EXPECT_NE(again.field("Content-Type"), some.field("Content-Type")) << "the boundary";
  }
}

TEST_P(StaticAnswerTest, RangesThatCannotBe) {
  RULES("4.9.4.3 4.9.4.4");
  make("a", content(1000));
  make("large", content(100'000));
  make("empty", "");
  serve_files({.cache_control = "max-age=60", .ranges_max = 3});
  const Answer none = get("/a", "Range: bytes=1000-\r\n");
  EXPECT_EQ(none.status, 416);
  EXPECT_EQ(none.field("Content-Range"), "bytes */1000");
  EXPECT_EQ(none.field("Cache-Control"), "") << "of the file, not of its error";
  EXPECT_EQ(none.field("ETag"), "");
  EXPECT_EQ(get("/large", "Range: bytes=100000-,-0\r\n").status, 416);
  EXPECT_EQ(get("/empty", "Range: bytes=0-\r\n").field("Content-Range"), "bytes */0");
  EXPECT_EQ(status_of("/empty", "Range: bytes=-1\r\n"), 200);
  for (const std::string range :
       {"bytes=2-1", "bytes=x", "lines=0-1", "bytes=0-0,2-2,4-4,6-6", "bytes=0-,0-", ""}) {
    const Answer answer = get("/a", "Range: " + range + "\r\n");
    EXPECT_EQ(answer.status, 200) << range;
    EXPECT_TRUE(answer.body == content(1000)) << range;
  }
  EXPECT_EQ(status_of("/a", "Range: bytes=0-0\r\nRange: bytes=1-1\r\n"), 200);
}

TEST_P(StaticAnswerTest, IfRange) {
  RULES("4.9.4.6");
  make("a", content(1000));
  serve_files();
  const Answer whole = get("/a");
  const auto status = [&](const std::string& value) {
    return status_of("/a", "Range: bytes=0-0\r\nIf-Range: " + value + "\r\n");
  };
  EXPECT_EQ(status(whole.field("ETag")), 206);
  EXPECT_EQ(status(whole.field("Last-Modified")), 206);
  EXPECT_EQ(status("\"x\""), 200);
  EXPECT_EQ(status("W/" + whole.field("ETag")), 200);
  EXPECT_EQ(status("Sun, 06 Nov 1983 08:49:37 GMT"), 200);
  EXPECT_EQ(status_of("/a", "If-Range: " + whole.field("ETag") + "\r\n"), 200);
  EXPECT_EQ(status_of("/a", "Range: bytes=5000-\r\nIf-Range: \"x\"\r\n"), 200);
  EXPECT_EQ(status("\"x\"\r\nIf-Range: " + whole.field("ETag")), 200) << "which of them?";
}

// ---- Precompressed ----

TEST_P(StaticAnswerTest, PrecompressedSiblings) {
  RULES("4.9.5.1");
  make("a.js", "plain");
  make("a.js.br", "brotli");
  make("a.js.gz", content(100'000));
  make("b.js", "plain b");
  make("b.js.gz", "gzip b");
  serve_files({.precompressed = true});
  const auto coded = [&](const std::string& path, const std::string& accepted) {
    const Answer answer = get(path, "Accept-Encoding: " + accepted + "\r\n");
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.field("Vary"), "Accept-Encoding");
    EXPECT_EQ(answer.field("Content-Type"), "text/javascript; charset=utf-8");
    EXPECT_EQ(answer.field("Content-Length"), std::to_string(answer.body.size()));
    return answer.field("Content-Encoding");
  };
  for (int i = 0; i < 2; ++i) {  // looked for, and known
    EXPECT_EQ(coded("/a.js", "gzip, deflate, br"), "br");
    EXPECT_EQ(coded("/a.js", "gzip;q=1, br;q=0.5"), "gzip");
    EXPECT_EQ(coded("/a.js", "br;q=0, gzip;q=0"), "");
    EXPECT_EQ(coded("/a.js", "deflate"), "");
    EXPECT_EQ(coded("/a.js", "*"), "br");
    EXPECT_EQ(coded("/b.js", "gzip, br"), "gzip");
    EXPECT_EQ(coded("/b.js", "br"), "");
  }
  const Answer plain = get("/a.js");
  const Answer brotli = get("/a.js", "Accept-Encoding: br\r\n");
  EXPECT_EQ(plain.body, "plain");
  EXPECT_EQ(plain.field("Vary"), "Accept-Encoding");
  EXPECT_EQ(brotli.body, "brotli");
  EXPECT_NE(plain.field("ETag"), brotli.field("ETag"));
  EXPECT_EQ(get("/a.js", "Accept-Encoding: br\r\nIf-None-Match: " + plain.field("ETag") + "\r\n")
                .status,
            200);
  const Answer part = get("/a.js", "Accept-Encoding: br\r\nRange: bytes=0-2\r\n");
  EXPECT_EQ(part.body, "bro");
  EXPECT_EQ(part.field("Content-Encoding"), "br");
  EXPECT_EQ(get("/a.js", "Accept-Encoding: br\r\nRange: bytes=0-0,2-2\r\n").body, "brotli")
      << "parts have no coding of their own";
  EXPECT_EQ(get("/a.js.br").field("Content-Encoding"), "") << "asked for by its own name";
  EXPECT_TRUE(get("/a.js", "Accept-Encoding: gzip\r\n").body == content(100'000));
}

TEST_P(StaticAnswerTest, SiblingsThatAreNotSent) {
  RULES("4.9.5.2");
  make("old.js", "new");
  make("old.js.gz", "older", kLongAgo + 1);
  make("alone.js.gz", "alone");
  make("dir.js", "dir");
  make("dir.js.gz/x", "x");
  serve_files({.precompressed = true});
  const std::string gzip = "Accept-Encoding: gzip\r\n";
  EXPECT_EQ(get("/old.js", gzip).body, "new");
  EXPECT_EQ(get("/alone.js", gzip).status, 404);
  EXPECT_EQ(get("/dir.js", gzip).body, "dir");
  const auto set_nanoseconds = [&](const std::string& name, long nanoseconds) {
    const timespec times[] = {{.tv_sec = 1000, .tv_nsec = nanoseconds},
                              {.tv_sec = 1000, .tv_nsec = nanoseconds}};
    ASSERT_EQ(utimensat(AT_FDCWD, path_of(name).c_str(), times, 0), 0);
  };
  for (const char* name : {"same.js", "later.js", "rounded.js"}) {
    make(name, "new");
    set_nanoseconds(name, 500);
  }
  make("same.js.gz", "older");
  set_nanoseconds("same.js.gz", 499);
  make("later.js.gz", "gzip");
  set_nanoseconds("later.js.gz", 501);
  make("rounded.js.gz", "gzip");
  set_nanoseconds("rounded.js.gz", 0);
  EXPECT_EQ(get("/same.js", gzip).body, "new");
  EXPECT_EQ(get("/later.js", gzip).body, "gzip");
  EXPECT_EQ(get("/rounded.js", gzip).body, "gzip") << "by a program that knows seconds only";
  make("off.js", "off");
  make("off.js.gz", "gzip");
  serve_files();
  EXPECT_EQ(get("/off.js", gzip).body, "off");
}

WEIR_ON_ALL_BACKENDS(StaticAnswerTest);
WEIR_ON_FILE_THREADS(StaticAnswerTest);

}  // namespace
}  // namespace weir::test
