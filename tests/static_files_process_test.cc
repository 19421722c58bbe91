// Static files of the demo server as a process: every byte of files from none to 2 GiB, whole and
// in ranges, and every way out of the directory that we know.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <cerrno>
#include <memory>

#include "tests/leaks.h"
#include "tests/static_files.h"

namespace weir::test {
namespace {

using bench::ServerProcess;

std::string demo_server;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
// Beyond 2 GiB, so that a range can lie across the boundary.
constexpr std::uint64_t kLarge = 2 * kGiB + 4097;
constexpr std::uint64_t kSizes[] = {0,     1,         4095,      4096,  4097,
                                    65536, 1'048'576, 100 << 20, kLarge};
// A file with holes: only around the boundary of 32 bits it has bytes.
constexpr std::uint64_t kSparse = 5 * kGiB;
constexpr std::string_view kSecret = "this must never be seen";

std::string name_of(std::uint64_t size) { return "/static/" + std::to_string(size) + ".bin"; }

// Made once for both backends: it is 2 GiB.
class StaticFiles : public testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<TemporaryDirectory>();
    root_ = directory_->path() + "/root";
    ASSERT_EQ(mkdir(root_.c_str(), 0755), 0);
    for (const std::uint64_t size : kSizes) {
      ASSERT_TRUE(write_file(root_ + "/" + std::to_string(size) + ".bin", size));
    }
    ASSERT_TRUE(write_file(root_ + "/sparse.bin", 0));
    ASSERT_TRUE(write_at(root_ + "/sparse.bin", 4 * kGiB - 4096, 8192));
    ASSERT_EQ(truncate((root_ + "/sparse.bin").c_str(), kSparse), 0);
    make_traps();
  }
  static void TearDownTestSuite() { directory_.reset(); }

  void SetUp() override {
    auto started =
        ServerProcess::start({demo_server, "--host", "127.0.0.1", "--port", "0", "--backend",
                              GetParam(), "--root", root_, "--keep-alive-timeout", "600"},
                             -1);
    if (!started && GetParam() == "io_uring") GTEST_SKIP() << started.error();
    ASSERT_TRUE(started.has_value()) << started.error();
    server_.emplace(std::move(*started));
  }
  void TearDown() override {
    if (!server_) return;
    EXPECT_TRUE(server_->stop().has_value());
  }
  FileClient connect() { return FileClient(server_->port()); }

  static bool write_at(const std::string& path, std::uint64_t offset, std::size_t size) {
    std::string bytes(size, '\0');
    fill_from(offset, bytes.data(), size);
    const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    const ssize_t written = pwrite(fd, bytes.data(), size, static_cast<off_t>(offset));
    close(fd);
    return written == static_cast<ssize_t>(size);
  }
  static void make_traps();

  static std::unique_ptr<TemporaryDirectory> directory_;
  static std::string root_;
  std::optional<ServerProcess> server_;
};

std::unique_ptr<TemporaryDirectory> StaticFiles::directory_;
std::string StaticFiles::root_;

// ---- Whole files ----

// What an entity tag says of the file; that it has just changed is said besides, and not for long.
std::string version_of(const std::optional<std::string>& tag) {
  std::string version = tag.value_or("none");
  if (version.starts_with("W/")) version.erase(0, 2);
  if (version.ends_with("-w\"")) version.erase(version.size() - 3, 2);
  return version;
}

TEST_P(StaticFiles, EveryByteOfEverySize) {
  FileClient client = connect();
  for (const std::uint64_t size : kSizes) {
    SCOPED_TRACE(size);
    ASSERT_TRUE(client.ask("HEAD", name_of(size)));
    const Answer head = client.read_head();
    ASSERT_EQ(head.status, 200);
    EXPECT_EQ(head.length, size);
    ASSERT_TRUE(client.ask("GET", name_of(size)));
    const Answer answer = client.read_head();
    ASSERT_EQ(answer.status, 200);
    ASSERT_EQ(answer.length, size);
    EXPECT_EQ(version_of(answer.field("ETag")), version_of(head.field("ETag")));
    EXPECT_TRUE(answer.field("ETag").has_value());
    EXPECT_EQ(answer.field("Last-Modified"), head.field("Last-Modified"));
    EXPECT_TRUE(answer.field("Last-Modified").has_value());
    EXPECT_EQ(answer.field("Accept-Ranges"), "bytes");
    FileCheck check(0);
    ASSERT_TRUE(client.read_file(check, size)) << "wrong or missing at " << check.offset();
    ASSERT_TRUE(client.answers_on(name_of(1)));
  }
}

// ---- Ranges ----

struct Range {
  std::string asked;
  std::uint64_t first;
  std::uint64_t last;
};

std::vector<Range> ranges_of(std::uint64_t size) {
  const auto text = [](std::uint64_t number) { return std::to_string(number); };
  const std::uint64_t last = size - 1;
  std::vector<Range> ranges = {{"0-0", 0, 0},
                               {text(last) + "-" + text(last), last, last},
                               {text(last) + "-", last, last},
                               {"-1", last, last},
                               {"0-", 0, last},
                               {"0-" + text(last), 0, last},
                               {"0-" + text(size), 0, last},
                               {"0-18446744073709551615", 0, last},
                               {"0-99999999999999999999999", 0, last},
                               {"-" + text(size), 0, last},
                               {"-" + text(size + 1), 0, last}};
  if (size >= 4095) {
    ranges.push_back({"1-4093", 1, 4093});
    ranges.push_back({"-4094", size - 4094, last});
    ranges.push_back({"4000-", 4000, last});
  }
  return ranges;
}

std::string content_range(std::uint64_t first, std::uint64_t last, std::uint64_t size) {
  return "bytes " + std::to_string(first) + "-" + std::to_string(last) + "/" +
         std::to_string(size);
}

void expect_range(FileClient& client, const std::string& target, std::uint64_t size,
                  const Range& range) {
  SCOPED_TRACE(target + " " + range.asked);
  ASSERT_TRUE(client.ask("GET", target, "Range: bytes=" + range.asked + "\r\n"));
  const Answer answer = client.read_head();
  ASSERT_EQ(answer.status, 206);
  ASSERT_EQ(answer.length, range.last - range.first + 1);
  EXPECT_EQ(answer.field("Content-Range"), content_range(range.first, range.last, size));
  FileCheck check(range.first);
  ASSERT_TRUE(client.read_file(check, *answer.length)) << "wrong at " << check.offset();
}

TEST_P(StaticFiles, Ranges) {
  FileClient client = connect();
  for (const std::uint64_t size : {1, 4095, 4096, 4097, 65536, 1'048'576}) {
    for (const Range& range : ranges_of(size)) expect_range(client, name_of(size), size, range);
  }
  EXPECT_TRUE(client.answers_on(name_of(1)));
}

TEST_P(StaticFiles, RangesOfALargeFile) {
  FileClient client = connect();
  const std::string target = name_of(kLarge);
  const Range ranges[] = {
      {"0-0", 0, 0},
      {"-1", kLarge - 1, kLarge - 1},
      {"2147483647-2147483648", 2 * kGiB - 1, 2 * kGiB},
      {"2147483646-2147483646", 2 * kGiB - 2, 2 * kGiB - 2},
      {"2147483648-", 2 * kGiB, kLarge - 1},
      {"2140000000-2150000000", 2'140'000'000, kLarge - 1},
      {"2100000001-2147487743", 2'100'000'001, kLarge - 2},
      {"-70000", kLarge - 70'000, kLarge - 1},
  };
  for (const Range& range : ranges) expect_range(client, target, kLarge, range);
  const Range beyond[] = {
      {"4294967295-4294967296", 4 * kGiB - 1, 4 * kGiB},
      {"4294967296-4294967296", 4 * kGiB, 4 * kGiB},
      {"4294963200-4294971391", 4 * kGiB - 4096, 4 * kGiB + 4095},
  };
  for (const Range& range : beyond) expect_range(client, "/static/sparse.bin", kSparse, range);
  EXPECT_TRUE(client.answers_on(name_of(1)));
}

TEST_P(StaticFiles, RangesThatAreNotThere) {
  FileClient client = connect();
  for (const std::uint64_t size : {0, 1, 4096}) {
    for (const std::string& asked :
         {std::to_string(size) + "-", std::to_string(size) + "-" + std::to_string(size + 1),
          std::string("4294967296-"), std::string("-0"), std::string("-0,99999-")}) {
      SCOPED_TRACE(std::to_string(size) + " " + asked);
      ASSERT_TRUE(client.ask("GET", name_of(size), "Range: bytes=" + asked + "\r\n"));
      const Answer answer = client.read_head();
      ASSERT_EQ(answer.status, 416);
      EXPECT_EQ(answer.field("Content-Range"), "bytes */" + std::to_string(size));
      client.read_text(answer.length.value_or(0));
    }
  }
  EXPECT_TRUE(client.answers_on(name_of(1)));
}

// RFC 9110, 14.2: what is no range, or of an unknown unit, is ignored.
TEST_P(StaticFiles, WhatIsNoRangeIsIgnored) {
  FileClient client = connect();
  for (const std::string_view asked :
       {"bytes=2-1", "bytes=", "bytes=-", "bytes=x-", "bytes=0-x", "bytes=0", "bytes 0-0",
        "lines=0-0", "bytes=0x0-1", "bytes=+0-1", "bytes=0--1", "bytes=0-0;1-1"}) {
    SCOPED_TRACE(asked);
    ASSERT_TRUE(client.ask("GET", name_of(4097), "Range: " + std::string(asked) + "\r\n"));
    const Answer answer = client.read_head();
    ASSERT_EQ(answer.status, 200);
    ASSERT_EQ(answer.length, 4097U);
    EXPECT_FALSE(answer.field("Content-Range").has_value());
    FileCheck check(0);
    ASSERT_TRUE(client.read_file(check, 4097)) << check.offset();
  }
  ASSERT_TRUE(client.ask("HEAD", name_of(4097), "Range: bytes=0-0\r\n"));
  EXPECT_EQ(client.read_head().status, 200) << "only GET has ranges";
  EXPECT_TRUE(client.answers_on(name_of(1)));
}

// ---- Several ranges ----

// Takes one part of a multipart/byteranges body from `text`: its delimiter, its head and its bytes.
// RFC 2046, 5.1.1, and RFC 9110, 14.6.
void take_part(std::string_view& text, const std::string& delimiter, const Range& range,
               std::uint64_t size) {
  ASSERT_TRUE(text.starts_with(delimiter + "\r\n")) << text.substr(0, 200);
  text.remove_prefix(delimiter.size() + 2);
  const std::size_t end = text.find("\r\n\r\n");
  ASSERT_NE(end, text.npos);
  const Answer part = {.head = "\r\n" + std::string(text.substr(0, end + 2)), .length = {}};
  text.remove_prefix(end + 4);
  EXPECT_EQ(part.field("Content-Range"), content_range(range.first, range.last, size));
  EXPECT_EQ(part.field("Content-Type"), "application/octet-stream");
  const std::size_t length = range.last - range.first + 1;
  ASSERT_GE(text.size(), length);
  FileCheck check(range.first);
  EXPECT_TRUE(check.take(text.substr(0, length))) << check.offset();
  text.remove_prefix(length);
}

void expect_parts(FileClient& client, std::uint64_t size, const std::vector<Range>& ranges) {
  std::string asked;
  for (const Range& range : ranges) asked += (asked.empty() ? "" : ",") + range.asked;
  SCOPED_TRACE(std::to_string(size) + " " + asked);
  ASSERT_TRUE(client.ask("GET", name_of(size), "Range: bytes=" + asked + "\r\n"));
  const Answer answer = client.read_head();
  ASSERT_EQ(answer.status, 206);
  ASSERT_TRUE(answer.length.has_value());
  EXPECT_FALSE(answer.field("Content-Range").has_value());
  constexpr std::string_view kType = "multipart/byteranges; boundary=";
  const std::string type = answer.field("Content-Type").value_or("");
  ASSERT_TRUE(type.starts_with(kType)) << type;
  const std::string boundary = type.substr(kType.size());
  ASSERT_FALSE(boundary.empty());
  ASSERT_LE(boundary.size(), 70U);
  ASSERT_EQ(boundary.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz"
                                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ'+_-."),
            std::string::npos);
  const std::string body = client.read_text(*answer.length);
  ASSERT_EQ(body.size(), *answer.length);
  std::string_view rest = body;
  // The line end of the first delimiter may be missing.
  std::string delimiter = "--" + boundary;
  if (rest.starts_with("\r\n")) rest.remove_prefix(2);
  for (const Range& range : ranges) {
    ASSERT_NO_FATAL_FAILURE(take_part(rest, delimiter, range, size));
    delimiter = "\r\n--" + boundary;
  }
  EXPECT_TRUE(rest == delimiter + "--\r\n" || rest == delimiter + "--") << rest.substr(0, 200);
}

TEST_P(StaticFiles, SeveralRanges) {
  FileClient client = connect();
  expect_parts(client, 4097, {{"0-0", 0, 0}, {"4096-4096", 4096, 4096}});
  expect_parts(client, 4097, {{"0-99", 0, 99}, {"1000-1999", 1000, 1999}, {"-1", 4096, 4096}});
  expect_parts(client, 1'048'576,
               {{"0-99999", 0, 99'999},
                {"300000-700000", 300'000, 700'000},
                {"1000000-", 1'000'000, 1'048'575}});
  expect_parts(client, kLarge,
               {{"0-0", 0, 0},
                {"2147483640-2147483655", 2 * kGiB - 8, 2 * kGiB + 7},
                {"-5", kLarge - 5, kLarge - 1}});
  // One that is not there is left out.
  ASSERT_TRUE(client.ask("GET", name_of(4096), "Range: bytes=9999-, 7-9\r\n"));
  const Answer answer = client.read_head();
  EXPECT_EQ(answer.status, 206);
  if (answer.length == 3) {
    EXPECT_EQ(answer.field("Content-Range"), content_range(7, 9, 4096));
  }
  client.read_text(answer.length.value_or(0));
  EXPECT_TRUE(client.answers_on(name_of(1)));
}

// ---- Ways out ----

// Files inside and outside of the root that lead, or could lead, to what is not to be served.
void StaticFiles::make_traps() {
  const std::string outside = directory_->path() + "/outside";
  ASSERT_EQ(mkdir(outside.c_str(), 0755), 0);
  for (const std::string& path :
       {directory_->path() + "/secret", outside + "/secret", outside + "/index.html"}) {
    ASSERT_TRUE(write_text(path, kSecret));
  }
  ASSERT_EQ(mkdir((root_ + "/sub").c_str(), 0755), 0);
  ASSERT_EQ(mkdir((root_ + "/sub/empty").c_str(), 0755), 0);
  ASSERT_EQ(mkdir((root_ + "/.git").c_str(), 0755), 0);
  for (const char* hidden : {"/.hidden", "/.git/config", "/.git/index.html"}) {
    ASSERT_TRUE(write_text(root_ + hidden, kSecret));
  }
  ASSERT_TRUE(write_text(root_ + "/inside.txt", "inside"));
  ASSERT_TRUE(write_text(root_ + "/sub/inside.txt", "inside"));
  const std::pair<const char*, const char*> links[] = {
      {"../secret", "to_secret"},
      {"inside.txt", "to_inside"},
      {"../outside", "to_outside"},
      {"sub", "to_sub"},
      {"/proc/self", "to_proc"},
      {"/", "to_root"},
      {"nowhere", "to_nowhere"},
      {"to_itself", "to_itself"},
      {"/proc/self/root", "to_proc_root"},
  };
  for (const auto& [target, name] : links) {
    ASSERT_EQ(symlink(target, (root_ + "/" + name).c_str()), 0);
  }
  ASSERT_EQ(mkdir((root_ + "/linked_index").c_str(), 0755), 0);
  ASSERT_EQ(symlink("../../secret", (root_ + "/linked_index/index.html").c_str()), 0);
  // Siblings that a client which takes gzip may get.
  ASSERT_TRUE(write_text(root_ + "/page.html", "page"));
  ASSERT_EQ(symlink("../secret", (root_ + "/page.html.gz").c_str()), 0);
  ASSERT_EQ(symlink("../secret", (root_ + "/page.html.br").c_str()), 0);
  ASSERT_EQ(mkfifo((root_ + "/fifo").c_str(), 0644), 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string name = root_ + "/socket";
  ASSERT_LT(name.size(), sizeof address.sun_path);
  name.copy(address.sun_path, name.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(fd);
  // Only root may make one; for others there is no such file.
  if (mknod((root_ + "/device").c_str(), S_IFCHR | 0644, makedev(1, 5)) != 0) {
    ASSERT_EQ(errno, EPERM);
  }
}

struct Escape {
  const char* name;
  std::string_view target;
};

using namespace std::string_view_literals;

constexpr Escape kEscapes[] = {
    {"dots", "/static/../secret"},
    {"dots twice", "/static/../../secret"},
    {"dots behind a directory", "/static/sub/../../secret"},
    {"dots that stay inside", "/static/sub/../inside.txt"},
    {"dots at the end", "/static/sub/.."},
    {"dots and a slash at the end", "/static/sub/../"},
    {"many dots", "/static/../../../../../../../../../../../../etc/passwd"},
    {"three dots", "/static/.../secret"},
    {"dots with a semicolon", "/static/..;/secret"},
    {"one dot", "/static/./inside.txt"},
    {"one encoded dot", "/static/%2e/inside.txt"},
    {"encoded dots", "/static/%2e%2e/secret"},
    {"encoded dots in upper case", "/static/%2E%2E/secret"},
    {"a dot and an encoded one", "/static/.%2e/secret"},
    {"an encoded dot and one", "/static/%2e./secret"},
    {"encoded dots and slash", "/static/%2e%2e%2fsecret"},
    {"dots and an encoded slash", "/static/..%2fsecret"},
    {"dots and an encoded slash in upper case", "/static/..%2Fsecret"},
    {"an encoded slash inside", "/static/sub%2finside.txt"},
    {"an encoded slash before a name", "/static/%2finside.txt"},
    {"an encoded absolute path", "/static/%2fetc%2fpasswd"},
    {"dots encoded twice", "/static/%252e%252e/secret"},
    {"dots and slash encoded twice", "/static/%252e%252e%252fsecret"},
    {"a slash encoded twice", "/static/..%252fsecret"},
    {"dots encoded three times", "/static/%25252e%25252e/secret"},
    {"a backslash", "/static/..\\secret"},
    {"an encoded backslash", "/static/..%5csecret"},
    {"a backslash inside", "/static/sub\\inside.txt"},
    {"a backslash encoded twice", "/static/..%255csecret"},
    {"an absolute path", "/static//etc/passwd"},
    {"an absolute path inside", "/static//inside.txt"},
    {"two slashes in the middle", "/static/sub//inside.txt"},
    {"three slashes", "/static///etc/passwd"},
    {"two slashes at the end", "/static/sub//"},
    {"two slashes in front", "//static/../secret"},
    {"a slash behind a file", "/static/inside.txt/"},
    {"a file as a directory", "/static/inside.txt/inside.txt"},
    {"dots behind a file", "/static/inside.txt/../inside.txt"},
    {"no slash behind the prefix", "/static../secret"},
    {"an encoded slash behind the prefix", "/static%2f../secret"},
    {"dots before the prefix", "/../static/../secret"},
    {"dots in a whole URL", "http://a/static/../secret"},
    {"encoded dots in a whole URL", "http://a/static/%2e%2e/secret"},
    {"an encoded NUL", "/static/%00"},
    {"an encoded NUL behind a name", "/static/inside.txt%00"},
    {"an encoded NUL in the middle", "/static/inside.txt%00.html"},
    {"dots behind an encoded NUL", "/static/%00/../../secret"},
    {"a NUL", "/static/inside.txt\0.html"sv},
    {"an overlong dot of two bytes", "/static/%c0%ae%c0%ae/secret"},
    {"an overlong dot of three bytes", "/static/%e0%80%ae%e0%80%ae/secret"},
    {"an overlong slash of two bytes", "/static/..%c0%afsecret"},
    {"an overlong slash of three bytes", "/static/..%e0%80%afsecret"},
    {"an overlong slash of four bytes", "/static/..%f0%80%80%afsecret"},
    {"raw overlong bytes", "/static/\xc0\xae\xc0\xae/secret"},
    {"a wide slash", "/static/..%ef%bc%8fsecret"},
    {"half an escape", "/static/inside.txt%2"},
    {"a lonely percent sign", "/static/%"},
    {"an escape that is none", "/static/%zz"},
    {"a Unicode escape", "/static/%u002e%u002e/secret"},
    {"a tab", "/static/..\t/secret"},
    {"an encoded line end", "/static/inside.txt%0d%0aX:y"},
    {"a link to outside", "/static/to_secret"},
    {"a link to inside", "/static/to_inside"},
    {"a link as a directory to outside", "/static/to_outside/secret"},
    {"a link as a directory to inside", "/static/to_sub/inside.txt"},
    {"a link to a directory with an index", "/static/to_outside/"},
    {"an index that is a link", "/static/linked_index/"},
    {"a link to nowhere", "/static/to_nowhere"},
    {"a link to itself", "/static/to_itself"},
    {"a link to the root", "/static/to_root/etc/passwd"},
    {"a link to /proc", "/static/to_proc/environ"},
    {"a link to /proc and dots", "/static/to_proc/cwd/../secret"},
    {"a link to /proc/self/root", "/static/to_proc_root/etc/passwd"},
    {"/proc by dots", "/static/../../../../proc/self/environ"},
    {"/proc by an absolute path", "/static//proc/self/environ"},
    {"/proc/self/fd by encoded dots", "/static/%2e%2e/%2e%2e/%2e%2e/proc/self/fd/0"},
    {"a FIFO", "/static/fifo"},
    {"a device", "/static/device"},
    {"a socket", "/static/socket"},
    {"a directory without an index", "/static/sub/empty/"},
    {"another directory without an index", "/static/sub/"},
    {"a hidden file", "/static/.hidden"},
    {"a hidden file with an encoded dot", "/static/%2ehidden"},
    {"a file in a hidden directory", "/static/.git/config"},
    {"a hidden directory", "/static/.git/"},
    {"a hidden directory without its slash", "/static/.git"},
    {"another host, as a directory without its slash", "//sub"},
    {"another host behind the prefix", "/static//sub"},
    {"another host behind a backslash", "/static/\\sub"},
    {"a name that is too long",
     "/static/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
    {"nothing of that name", "/static/nothing"},
};

// What came until the answer's end.
std::string answer_to(FileClient client, std::string_view method, std::string_view target) {
  client.ask(method, target, "Connection: close\r\nAccept-Encoding: gzip, br\r\n");
  std::string all;
  for (std::string piece; !(piece = client.raw().receive(65536)).empty();) all += piece;
  return all;
}

TEST_P(StaticFiles, NoWayLeadsOut) {
  for (const Escape& escape : kEscapes) {
    SCOPED_TRACE(escape.name);
    for (const std::string_view method : {"GET", "HEAD"}) {
      const std::string all = answer_to(connect(), method, escape.target);
      EXPECT_TRUE(all.starts_with("HTTP/1.1 4")) << method << ": " << all.substr(0, 300);
      EXPECT_EQ(all.find(kSecret), all.npos);
      EXPECT_EQ(all.find("root:"), all.npos);
    }
  }
  FileClient client = connect();
  EXPECT_TRUE(client.answers_on("/static/inside.txt"));
  EXPECT_TRUE(client.answers_on("/static/sub/inside.txt"));
}

// A request with a long path in it, and one component more than there are files.
TEST_P(StaticFiles, ALongWayDownIsRefused) {
  std::string target = "/static";
  for (int i = 0; i < 2000; ++i) target += "/sub";
  EXPECT_TRUE(answer_to(connect(), "GET", target).starts_with("HTTP/1.1 4"));
  std::string dots = "/static/sub";
  for (int i = 0; i < 2000; ++i) dots += "/..";
  EXPECT_TRUE(answer_to(connect(), "GET", dots + "/etc/passwd").starts_with("HTTP/1.1 4"));
}

// A sibling that is a link is not taken in the file's place.
TEST_P(StaticFiles, ALinkIsNoPrecompressedSibling) {
  const std::string all = answer_to(connect(), "GET", "/static/page.html");
  EXPECT_TRUE(all.starts_with("HTTP/1.1 200 ")) << all;
  EXPECT_TRUE(all.ends_with("\r\n\r\npage")) << all;
}

TEST_P(StaticFiles, NoDescriptorIsLeftOpen) {
  FileClient kept = connect();
  // The server keeps the file open for whoever asks next.
  ASSERT_TRUE(kept.answers_on(name_of(100 << 20)));
  const auto fds_now = [&] { return open_fds_but_pipes(server_->pid()); };
  const std::size_t before = fds_now();
  for (const Escape& escape : kEscapes) answer_to(connect(), "GET", escape.target);
  for (int i = 0; i < 20; ++i) {
    FileClient client = connect();
    ASSERT_TRUE(client.ask("GET", name_of(100 << 20), i % 2 == 0 ? "" : "Range: bytes=5-\r\n"));
    EXPECT_EQ(client.read_head().status, i % 2 == 0 ? 200 : 206);
    client.raw().reset();
  }
  EXPECT_TRUE(eventually([&] { return fds_now() <= before; })) << fds_now() << " of " << before;
  EXPECT_TRUE(kept.answers_on(name_of(1)));
}

// ---- Files that change ----

// The answer has promised more: the connection ends, and what has come is the file's beginning.
TEST_P(StaticFiles, AFileThatShrinksEndsTheConnection) {
  const std::string path = root_ + "/shrinks.bin";
  ASSERT_TRUE(write_file(path, 64 << 20));
  FileClient client = connect();
  ASSERT_TRUE(client.ask("GET", "/static/shrinks.bin"));
  const Answer answer = client.read_head();
  ASSERT_EQ(answer.length, 64U << 20);
  FileCheck check(0);
  ASSERT_TRUE(client.read_file(check, 1 << 20));
  ASSERT_EQ(truncate(path.c_str(), 2 << 20), 0);
  EXPECT_FALSE(client.read_file(check, (64U << 20) - check.offset()));
  EXPECT_TRUE(check.good()) << check.offset();
  EXPECT_LT(check.offset(), 64U << 20);
  EXPECT_TRUE(connect().answers_on("/static/inside.txt"));
}

INSTANTIATE_TEST_SUITE_P(Backends, StaticFiles, testing::Values("epoll", "io_uring"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace weir::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  weir::test::fail_on_leaks();
  if (argc != 2) return 2;
  weir::test::demo_server = argv[1];
  return RUN_ALL_TESTS();
}
