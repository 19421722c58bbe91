// Every source file keeps the law; and the checks find what breaks it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/law.h"

namespace weir::test {
namespace {

namespace files = std::filesystem;

// ---- The sources ----

struct Source {
  std::string path;
  std::string text;
};

// Bazel puts the sources below the directory that the test is started in.
std::vector<Source> sources() {
  std::vector<Source> found;
  for (const char* directory : {"reactor", "net", "http", "bench", "tests"}) {
    if (!files::exists(directory)) continue;
    for (const auto& entry : files::recursive_directory_iterator(
             directory, files::directory_options::follow_directory_symlink)) {
      const files::path& path = entry.path();
      if (path.extension() != ".h" && path.extension() != ".cc") continue;
      std::ostringstream text;
      text << std::ifstream(path).rdbuf();
      found.push_back({path.generic_string(), text.str()});
    }
  }
  std::ranges::sort(found, {}, &Source::path);
  return found;
}

using Check = std::vector<Violation> (*)(std::string_view, std::string_view);

void expect_kept(Check check) {
  for (const Source& source : sources()) {
    for (const Violation& violation : check(source.path, source.text)) {
      ADD_FAILURE() << violation.message();
    }
  }
}

TEST(Law, TheSourcesAreFound) {
  const std::vector<Source> all = sources();
  for (const char* path : {"reactor/reactor.cc", "reactor/buffer.h", "net/socket.cc",
                           "net/server.h", "tests/law_test.cc", "bench/load.cc",
                           "net/examples/echo_server.cc"}) {
    EXPECT_TRUE(std::ranges::any_of(all, [&](const Source& source) {
      return source.path == path && !source.text.empty();
    })) << path;
  }
}

TEST(Law, LayersDependDownwards) { expect_kept(check_layers); }

TEST(Law, OnlyTheDoorsToTheKernelIncludeSystemHeaders) { expect_kept(check_system_headers); }

TEST(Law, FilesFunctionsAndLinesAreShort) { expect_kept(check_sizes); }

TEST(Law, BannedWordsAreNotUsed) { expect_kept(check_words); }

// ---- Planted violations ----

bool finds(Check check, std::string_view path, std::string_view text) {
  return !check(path, text).empty();
}

TEST(LawItself, SaysWhereAndWhat) {
  const auto found = check_words("net/x.cc", "int a;\n// TODO: b\n");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].message(),
            "net/x.cc:2: TODO is banned; instead: do it, or write down the limitation");
}

TEST(LawItself, FindsALayerThatLooksUp) {
  constexpr std::string_view kNet = "#include \"weir/net/socket.h\"\n";
  constexpr std::string_view kHttp = "#  include  \"weir/http/server.h\"\n";
  EXPECT_TRUE(finds(check_layers, "reactor/x.h", kNet));
  EXPECT_TRUE(finds(check_layers, "reactor/x.cc", "#include <weir/net/socket.h>\n"));
  EXPECT_TRUE(finds(check_layers, "reactor/x.cc", "#include \"net/socket_state.h\"\n"));
  EXPECT_TRUE(finds(check_layers, "net/x.cc", kHttp));
  EXPECT_TRUE(finds(check_layers, "net/x.cc", "#include \"tests/world.h\"\n"));
  EXPECT_TRUE(finds(check_layers, "net/x.cc", "#include \"reactor/handles.h\"\n"));
  EXPECT_FALSE(finds(check_layers, "net/x.cc", kNet));
  EXPECT_FALSE(finds(check_layers, "net/examples/x.cc", kHttp));
  EXPECT_FALSE(finds(check_layers, "tests/x.cc", kHttp));
  EXPECT_FALSE(finds(check_layers, "reactor/x.cc", "#include <vector>\n// net/http\n"));
}

TEST(LawItself, FindsSystemHeadersInTheWrongPlace) {
  const auto refused = [](std::string_view path, const std::string& name) {
    return finds(check_system_headers, path, "\n#include <" + name + ">\n");
  };
  for (const char* name : {"sys/socket.h", "netinet/tcp.h", "unistd.h", "poll.h", "signal.h",
                           "fcntl.h", "arpa/inet.h", "linux/sockios.h", "liburing.h"}) {
    EXPECT_TRUE(refused("net/socket.cc", name)) << name;
    EXPECT_TRUE(refused("reactor/reactor.cc", name)) << name;
    EXPECT_TRUE(refused("reactor/posix_like.cc", name)) << name;
    EXPECT_FALSE(refused("tests/x.cc", name)) << name;
  }
  EXPECT_FALSE(refused("net/socket.cc", "sys/uio.h"));
  EXPECT_FALSE(refused("reactor/posix.cc", "sys/socket.h"));
  EXPECT_FALSE(refused("reactor/uring_probe.h", "liburing.h"));
  EXPECT_TRUE(refused("reactor/posix.cc", "liburing.h"));
  EXPECT_TRUE(refused("reactor/posix.cc", "sys/epoll.h"));
  EXPECT_FALSE(refused("reactor/epoll_backend.cc", "sys/epoll.h"));
  EXPECT_FALSE(refused("reactor/kernel_backend.cc", "sys/epoll.h"));
  EXPECT_TRUE(refused("reactor/epoll_backend.h", "sys/epoll.h"));
}

TEST(LawItself, FindsLongFilesAndLines) {
  std::string text;
  for (int i = 0; i < 700; ++i) text += "\n";
  EXPECT_FALSE(finds(check_sizes, "net/x.cc", text));
  EXPECT_TRUE(finds(check_sizes, "net/x.cc", text + "\n"));
  EXPECT_FALSE(finds(check_sizes, "net/x.cc", std::string(100, 'x') + "\n"));
  EXPECT_TRUE(finds(check_sizes, "net/x.cc", std::string(101, 'x') + "\n"));
  std::string umlauts;
  for (int i = 0; i < 100; ++i) umlauts += "\xc3\xa4";
  EXPECT_FALSE(finds(check_sizes, "net/x.cc", umlauts + "\n"));
}

std::string function_of(int lines) {
  std::string text = "int f(int a) {\n";
  for (int i = 0; i < lines - 2; ++i) text += "  if (a == 1) { g(\"}\"); }\n";
  return text + "}\n";
}

TEST(LawItself, FindsLongFunctions) {
  EXPECT_FALSE(finds(check_sizes, "net/x.cc", function_of(70)));
  EXPECT_TRUE(finds(check_sizes, "net/x.cc", function_of(71)));
  const std::string wrapped =
      "namespace a::inline v1 {\nclass alignas(64) B : C<int> {\n" + function_of(71) + "};\n}\n";
  const auto found = check_sizes("net/x.cc", wrapped);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].line, 3);
}

TEST(LawItself, MeasuresFunctionsByTheirBraces) {
  constexpr std::string_view kText = R"(// f() {
#define OPEN() {
namespace x {
struct A {
  A() : b_(1), c_{2} {
    b_ = '{';
  }
  template <class T, class U = B<int>>
  int g(T) const {
    return "{{{"[0];
  }
  int d() { return 1'000'000; }
};
enum class E { one, two };
constexpr int kTable[] = {1, 2,
                          3};
TEST_P(Suite,
       Title) {
  /* { */ if (x) { y(); }
}
}  // namespace x
)";
  std::vector<std::pair<int, int>> spans;
  for (const FunctionSpan& span : functions_of(kText)) {
    if (span.lines() > 1) spans.emplace_back(span.first_line, span.last_line);
  }
  EXPECT_EQ(spans, (std::vector<std::pair<int, int>>{{5, 7}, {8, 11}, {17, 20}}));
}

TEST(LawItself, FindsBannedWords) {
  const auto library = [](std::string_view text) { return finds(check_words, "net/x.cc", text); };
  const auto test = [](std::string_view text) { return finds(check_words, "tests/x.cc", text); };
  for (const char* text :
       {"// TODO", "/* FIXME */", "int a;  // XXX b", "// a\n// HACK",
        "std::this_thread::sleep_for(1s);", "usleep(1);", "::sleep (1); sleep(1);",
        "std::cout << std::endl;", "using namespace std;", "  assert(a);", "int a = rand();"}) {
    EXPECT_TRUE(library(text)) << text;
    EXPECT_TRUE(test(text)) << text;
  }
  for (const char* text :
       {"std::shared_ptr<int> a;", "std::make_shared<int>()", "std::printf(\"\");",
        "fprintf(stderr, \"\");", "puts(a);", "std::cerr << 1;", "malloc(1);", "std::free(a);",
        "std::exit(1);", "throw 1;", "} catch (...) {", "dynamic_cast<A*>(b)",
        "std::function<void()> f;", "std::chrono::steady_clock::now()", "abort();"}) {
    EXPECT_TRUE(library(text)) << text;
    EXPECT_FALSE(test(text)) << text;
  }
  EXPECT_TRUE(finds(check_words, "net/x.h", "int a;\n"));
  EXPECT_FALSE(finds(check_words, "net/x.h", "// A header.\n#pragma once\nint a;\n"));
}

TEST(LawItself, LeavesInnocentWordsAlone) {
  for (const char* text :
       {"static_assert(a);", "WEIR_ASSERT(a);", "const char* a = \"TODO malloc( throw\";",
        "// throw and malloc( in a comment", "snprintf(a, 1, b);", "int todo; int XXXL;",
        "at_exit(1); quick_exits(2);", "auto a = R\"(std::endl; assert( )\";", "operand(1);",
        "using namespace std::chrono_literals;",
        "int free_ = 0; give_free(1);", "rethrow_x();", "#include <cassert>",
        "char a = '\"'; int b = 1; // assert(x)"}) {
    EXPECT_FALSE(finds(check_words, "net/x.cc", text)) << text;
  }
  EXPECT_FALSE(finds(check_words, "reactor/memory.cc", "std::malloc(1); std::abort();"));
  EXPECT_FALSE(finds(check_words, "reactor/reactor.cc", "std::exit(1); std::fprintf(a);"));
  EXPECT_TRUE(finds(check_words, "reactor/watch.cc", "std::exit(1);"));
}

TEST(LawItself, StripsLiteralsAndKeepsLines) {
  EXPECT_EQ(strip("a \"b\\\"c\" d 'e' 1'000 // f\ng", Keep::comments),
            "a \"\" d '' 1'000 // f\ng");
  EXPECT_EQ(strip("a /* b\nc */ d // e\n#f \\\ng\nh", Keep::code_only), "a \n d \n\n\nh");
  EXPECT_EQ(strip("x = R\"ab(1)\"\n2)ab\"; y", Keep::code_only), "x = R\"\"\n; y");
}

}  // namespace
}  // namespace weir::test
