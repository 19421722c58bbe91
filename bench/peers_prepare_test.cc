// What cannot be built or is not installed is skipped, by name and with a reason, and what can be
// is not. The compilers here are scripts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bench/directory.h"
#include "bench/machine.h"
#include "bench/peers.h"
#include "bench/run_program.h"

namespace weir::bench {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class PreparePeers : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_FALSE(directory_.path().empty());
    for (const char* name : {"bin", "built"}) {
      std::filesystem::create_directory(directory_.path() + "/" + name);
    }
  }

  // A program in the only directory that is looked into.
  void install(const std::string& name, const std::string& script) {
    const std::string path = directory_.path() + "/bin/" + name;
    std::ofstream(path) << "#!/bin/sh\n" << script;
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }

  std::vector<Peer> prepare() const {
    return prepare_peers({.sources = "/the/sources",
                          .work = directory_.path() + "/built",
                          .nginx_static = "/the/nginx_static",
                          .root = "/the/root",
                          .path = directory_.path() + "/bin"});
  }

  Peer prepare(const std::string& name) const {
    for (Peer& peer : prepare()) {
      if (peer.name == name) return peer;
    }
    ADD_FAILURE() << name << " is not among them";
    return {};
  }

  std::string built(const std::string& name) const { return directory_.path() + "/built/" + name; }

 private:
  Directory directory_{"weir-prepare"};
};

// Writes a program that knows its version.
constexpr const char* kCompiles = R"(
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\necho 9.8.7\n' >"$2"
chmod +x "$2"
)";

TEST_F(PreparePeers, EachIsNamedWithItsPackageWhereNothingIsInstalled) {
  std::vector<std::string> said;
  for (const Peer& peer : prepare()) {
    EXPECT_THAT(peer.echo, IsEmpty()) << peer.name;
    EXPECT_THAT(peer.http, IsEmpty()) << peer.name;
    if (peer.name != "asio io_uring") said.push_back(peer.name + ": " + peer.skipped);
  }
  EXPECT_THAT(said, ElementsAre("libuv: no C++ compiler (apt install g++)",
                                "asio: no C++ compiler (apt install g++)",
                                "libevent: no C++ compiler (apt install g++)",
                                "Node: no node (apt install nodejs)",
                                "Go: no go (apt install golang-go)",
                                "nginx: no nginx (apt install nginx-light)"));
  EXPECT_NE(prepare("asio io_uring").skipped, "");
}

TEST_F(PreparePeers, WhatIsThereHasItsCommandsAndItsVersion) {
  install("c++", kCompiles);
  install("go", kCompiles);
  install("node", "echo 20.1.2\n");
  install("nginx", "echo 'nginx version: nginx/1.2.3 (Some System)' >&2\n");
  for (const Peer& peer : prepare()) {
    if (peer.name == "asio io_uring" && !io_uring_refusal().empty()) continue;
    EXPECT_EQ(peer.skipped, "") << peer.name;
  }
  const Peer uring = prepare("asio io_uring");
  if (uring.skipped.empty()) {
    EXPECT_THAT(uring.echo, ElementsAre(built("asio_io_uring_echo")));
  }
  const Peer libuv = prepare("libuv");
  EXPECT_EQ(libuv.version, "9.8.7");
  EXPECT_THAT(libuv.echo, ElementsAre(built("libuv_echo")));
  EXPECT_THAT(libuv.http, ElementsAre(built("libuv_http")));
  const Peer go = prepare("Go");
  EXPECT_EQ(go.version, "9.8.7");
  EXPECT_THAT(go.echo, ElementsAre(built("go_echo")));
  EXPECT_THAT(go.http, ElementsAre(built("go_http"), "--root", "/the/root"));
  const Peer node = prepare("Node");
  EXPECT_EQ(node.version, "20.1.2");
  EXPECT_THAT(node.http, ElementsAre(StartsWith("/tmp/"), "/the/sources/http.js"));
  const Peer nginx = prepare("nginx");
  EXPECT_EQ(nginx.version, "1.2.3");
  EXPECT_THAT(nginx.echo, IsEmpty());
  EXPECT_THAT(nginx.http, ElementsAre("/the/nginx_static", "--nginx", StartsWith("/tmp/"), "--work",
                                      built("nginx"), "--root", "/the/root"));
}

TEST_F(PreparePeers, AMissingHeaderIsToldAsThePackageThatHasIt) {
  // As GCC says it, and as Clang does.
  install("c++", R"(
case "$*" in
*libuv*) echo "libuv_server.h:5:10: fatal error: uv.h: No such file or directory" ;;
*) echo "x.h:5:10: fatal error: 'event2/event.h' file not found" ;;
esac >&2
exit 1
)");
  EXPECT_EQ(prepare("libuv").skipped, "no uv.h (apt install libuv1-dev)");
  EXPECT_EQ(prepare("libevent").skipped, "no event2/event.h (apt install libevent-dev)");
}

TEST_F(PreparePeers, OneServerIsLeftWhenTheOtherCannotBeBuilt) {
  install("c++", std::string(R"(
case "$*" in
*_http.cc*)
  echo "http_session.h:9:10: fatal error: http_parser.h: No such file or directory" >&2
  exit 1
esac
)") + kCompiles);
  const Peer libuv = prepare("libuv");
  EXPECT_EQ(libuv.skipped, "no http_parser.h (apt install libhttp-parser-dev)");
  EXPECT_EQ(libuv.version, "9.8.7");
  EXPECT_THAT(libuv.echo, ElementsAre(built("libuv_echo")));
  EXPECT_THAT(libuv.http, IsEmpty());
}

TEST_F(PreparePeers, AnErrorInASourceIsQuoted) {
  install("c++", R"(
echo "In file included from asio_echo.cc:8:"
echo "asio_server.h:3:1: error: 'wrong' was not declared"
echo "asio_server.h:4:1: error: nor was this"
exit 1
)");
  install("go", "echo '# command-line-arguments'; echo './echo.go:7: undefined: x'; exit 1\n");
  EXPECT_EQ(prepare("asio").skipped, "asio_server.h:3:1: error: 'wrong' was not declared");
  EXPECT_EQ(prepare("Go").skipped, "./echo.go:7: undefined: x");
}

TEST_F(PreparePeers, ALibraryThatTheLinkerDoesNotFindIsNamed) {
  install("c++", R"(
echo "/usr/bin/ld: cannot find -luv: No such file or directory"
echo "collect2: error: ld returned 1 exit status"
exit 1
)");
  EXPECT_EQ(prepare("libuv").skipped,
            "/usr/bin/ld: cannot find -luv: No such file or directory");
}

TEST_F(PreparePeers, WhatCannotBeStartedIsSkipped) {
  install("node", "echo 'node: no such library' >&2\nexit 127\n");
  const Peer node = prepare("Node");
  EXPECT_THAT(node.skipped, AllOf(HasSubstr("/bin/node"), HasSubstr("no such library")));
  EXPECT_THAT(node.echo, IsEmpty());
  EXPECT_THAT(node.http, IsEmpty());
}

// ---- Programs ----

TEST(RunProgram, TellsTheExitCodeAndAllThatWasWritten) {
  const Ran ran = run_program({"/bin/sh", "-c", "echo one; echo $WHAT >&2; exit 3"}, {"WHAT=two"});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_EQ(ran.output, "one\ntwo\n");
}

TEST(RunProgram, TakesNoWordForAnother) {
  const Ran ran = run_program({"/bin/echo", "a b", "$HOME", "*"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.output, "a b $HOME *\n");
}

TEST(RunProgram, ReplacesAVariableAndKeepsTheOthers) {
  setenv("WEIR_KEPT", "kept", 1);
  setenv("WEIR_OLD", "old", 1);
  const Ran ran =
      run_program({"/bin/sh", "-c", "echo $WEIR_KEPT $WEIR_OLD"}, {"WEIR_OLD=new"});
  EXPECT_EQ(ran.output, "kept new\n");
}

TEST(RunProgram, AProgramThatIsNotThereOrIsKilledHasNoExitCode) {
  EXPECT_EQ(run_program({"/nowhere/nothing"}).exit_code, -1);
  EXPECT_EQ(run_program({"/bin/sh", "-c", "kill -9 $$"}).exit_code, -1);
}

TEST(FindProgram, LooksThroughTheDirectoriesInTheirOrder) {
  EXPECT_EQ(find_program("sh", "/nowhere::/bin:/usr/bin"), "/bin/sh");
  EXPECT_EQ(find_program("sh", ""), "");
  EXPECT_EQ(find_program("sh", "/nowhere"), "");
  // A directory is no program, and a file without the permission is none.
  EXPECT_EQ(find_program("bin", "/usr"), "");
  EXPECT_EQ(find_program("passwd", "/etc"), "");
}

}  // namespace
}  // namespace weir::bench
