// Section 3.5 of the contract: Unix domain sockets, their files and their names.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/contract_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kPathMax = 108;  // sun_path

class ContractUnixTest : public ContractTest {
 protected:
  // A path of so many bytes that nobody uses.
  std::string path_of(std::size_t size) {
    std::string path = socket_path();
    path.resize(size, 'p');
    return path;
  }

  static std::string refusal(Server& server, const net::ListenAt& at) {
    const auto bound = server.listen(at);
    EXPECT_EQ(server.listening(), bound.has_value());
    if (bound) return "";
    EXPECT_STREQ(bound.error().syscall, "listen");
    return std::string(name_of(bound.error().code));
  }
  std::string refusal(const net::ListenAt& at) {
    Server server(reactor());
    return refusal(server, at);
  }

  // The same for what may have no system call, a mistake.
  std::string mistake(const net::ListenAt& at) {
    Server server(reactor());
    const auto bound = server.listen(at);
    return bound ? "" : std::string(name_of(bound.error().code));
  }

  // What comes of a connect(): "ready", or an error's name, which is returned or comes later.
  std::string result_of_connect(net::ConnectOptions to) {
    Socket socket(reactor());
    Record seen;
    record(socket, seen);
    const auto started = socket.connect(std::move(to));
    if (!started) return std::string(name_of(started.error().code));
    EXPECT_TRUE(run_until([&] { return seen.has("ready") || seen.closes != 0; }));
    return seen.has("ready") ? "ready" : seen.error();
  }

  // Closes `server` and waits for it.
  void close(Server& server) {
    bool closed = false;
    server.on_server_close([&](Server&) { closed = true; }, net::Times::once);
    ASSERT_TRUE(server.close().has_value());
    ASSERT_TRUE(run_until([&] { return closed; }));
  }
};

TEST_P(ContractUnixTest, APathInUseIsRefusedAndItsOwnerGoesOn) {
  RULES("3.5.1.1 3.5.2.4");
  listen({.over_unix = true});
  EXPECT_EQ(refusal({.path = to_.path}), "EADDRINUSE");
  EXPECT_EQ(refusal({.path = to_.path, .replace_stale = true}), "EADDRINUSE");
  EXPECT_EQ(result_of_connect(to_), "ready") << "the path is still there";
  close(*server_);
  EXPECT_EQ(result_of_connect(to_), "ENOENT") << "close() has removed it";
  EXPECT_EQ(refusal({.path = to_.path}), "");
}

TEST_P(ContractUnixTest, TheLongestPathWorksAndALongerOneIsRefused) {
  RULES("3.5.5.1 3.5.5.2 3.5.5.3 3.5.5.4");
  server_ = std::make_unique<Server>(reactor());
  int accepted = 0;
  server_->on_connection([&](Socket&) { ++accepted; });
  const std::string longest = path_of(kPathMax);
  const auto bound = server_->listen({.path = longest});
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  EXPECT_EQ(bound->path(), longest);
  EXPECT_EQ(result_of_connect({.path = longest}), "ready");
  ASSERT_TRUE(run_until([&] { return accepted == 1; }));
  // Were it cut short, it would be the server's.
  EXPECT_EQ(result_of_connect({.path = longest + "q"}), "EINVAL");
  EXPECT_EQ(result_of_connect({.path = longest + std::string(1000, 'q')}), "EINVAL");
  EXPECT_EQ(refusal({.path = longest + "q"}), "EINVAL");
  EXPECT_EQ(accepted, 1);
  const std::string free = path_of(kPathMax);
  EXPECT_EQ(refusal({.path = free + "q"}), "EINVAL");
  EXPECT_EQ(result_of_connect({.path = free}), "ENOENT") << "something was made under its head";
}

TEST_P(ContractUnixTest, AnAbstractNameCountsInFullLength) {
  RULES("3.5.6.1");
  NODE_TEST("abstract-socket");
  using namespace std::string_literals;
  const std::string name = "\0weir-test"s + socket_path();
  Server one(reactor());
  Server other(reactor());
  int at_one = 0;
  int at_other = 0;
  one.on_connection([&](Socket&) { ++at_one; });
  other.on_connection([&](Socket&) { ++at_other; });
  ASSERT_TRUE(one.listen({.path = name}).has_value());
  EXPECT_EQ(one.address().path(), name);
  EXPECT_EQ(refusal({.path = name}), "EADDRINUSE");
  // A NUL at the end makes another name.
  ASSERT_TRUE(other.listen({.path = name + "\0"s}).has_value());
  EXPECT_EQ(other.address().path(), name + "\0"s);
  EXPECT_EQ(result_of_connect({.path = name + "\0"s}), "ready");
  ASSERT_TRUE(run_until([&] { return at_other == 1; }));
  EXPECT_EQ(at_one, 0);
  EXPECT_EQ(result_of_connect({.path = name}), "ready");
  ASSERT_TRUE(run_until([&] { return at_one == 1; }));
  EXPECT_EQ(result_of_connect({.path = name + "\0\0"s}), "ECONNREFUSED");
  EXPECT_EQ(result_of_connect({.path = name.substr(1), .abstract = true}), "ready");
}

WEIR_ON_ALL_BACKENDS(ContractUnixTest);

// Files -----------------------------------------------------------------------------------------

class ContractUnixFileTest : public ContractUnixTest {
 protected:
  void SetUp() override {
    ContractUnixTest::SetUp();
    umask_ = umask(022);
  }
  void TearDown() override {
    umask(umask_);
    ContractUnixTest::TearDown();
  }

  static int bound_socket(const std::string& path) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    std::memcpy(at.sun_path, path.data(), path.size());
    EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    return fd;
  }
  static void make_stale(const std::string& path) { ::close(bound_socket(path)); }

  static ino_t inode_of(const std::string& path) {
    struct stat facts {};
    return lstat(path.c_str(), &facts) == 0 ? facts.st_ino : 0;
  }
  static unsigned mode_of(const std::string& path) {
    struct stat facts {};
    EXPECT_EQ(lstat(path.c_str(), &facts), 0);
    EXPECT_TRUE(S_ISSOCK(facts.st_mode));
    return facts.st_mode & 0777U;
  }
  // The mode of the file that such a listen() makes.
  unsigned mode_made(net::ListenAt at) {
    Server server(reactor());
    at.path = socket_path();
    EXPECT_EQ(refusal(server, at), "");
    return mode_of(at.path);
  }

  // Runs `what` in a process of its own, with a reactor of its own, as long as it takes.
  template <class What>
  static pid_t in_child(What what) {
    const pid_t child = fork();
    if (child == 0) {
      {
        Reactor reactor(make_backend());
        what(reactor);
      }
      _exit(77);
    }
    return child;
  }

 private:
  mode_t umask_ = 0;
};

TEST_P(ContractUnixFileTest, AnythingAtThePathIsInUseAndStays) {
  RULES("3.5.1.1 3.5.1.2 3.5.2.4");
  const std::string plain = socket_path();
  std::ofstream(plain) << "precious";
  const std::string stale = socket_path();
  make_stale(stale);
  const std::string directory = socket_path();
  std::filesystem::create_directory(directory);
  listen({.over_unix = true});
  for (const std::string& path : {plain, stale, directory, to_.path}) {
    const ino_t before = inode_of(path);
    ASSERT_NE(before, 0U);
    {
      Server server(reactor());
      EXPECT_EQ(refusal(server, {.path = path}), "EADDRINUSE") << path;
      EXPECT_EQ(refusal(server, {.path = path}), "EADDRINUSE") << "again";
      EXPECT_FALSE(server.close().has_value());
      run_for(1ms);
    }
    EXPECT_EQ(inode_of(path), before) << path;
  }
  EXPECT_EQ(std::filesystem::file_size(plain), 8U);
}

TEST_P(ContractUnixFileTest, ReplaceStaleReplacesOnlyWhatNobodyListensAt) {
  RULES("3.5.1.3");
  const std::string stale = socket_path();
  make_stale(stale);
  const std::string plain = socket_path();
  std::ofstream(plain) << "precious";
  listen({.over_unix = true});
  Server server(reactor());
  for (const std::string& path : {plain, to_.path}) {
    const ino_t before = inode_of(path);
    EXPECT_EQ(refusal(server, {.path = path, .replace_stale = true}), "EADDRINUSE") << path;
    EXPECT_EQ(inode_of(path), before) << path;
  }
  EXPECT_EQ(result_of_connect(to_), "ready") << "the server that was in the way";
  EXPECT_EQ(refusal(server, {.path = stale, .replace_stale = true}), "");
  EXPECT_EQ(result_of_connect({.path = stale}), "ready");
  const std::string none = socket_path();
  Server another(reactor());
  EXPECT_EQ(refusal(another, {.path = none, .replace_stale = true}), "") << "nothing in the way";
  close(server);
  EXPECT_FALSE(std::filesystem::exists(stale)) << "it is this server's file now";
}

TEST_P(ContractUnixFileTest, CloseRemovesTheFileOfThisServerAlone) {
  RULES("3.5.2.1 3.5.2.2");
  listen({.over_unix = true});
  EXPECT_NE(inode_of(to_.path), 0U);
  close(*server_);
  EXPECT_EQ(inode_of(to_.path), 0U);
  // Bound by somebody else.
  const std::string path = socket_path();
  Server adopted(reactor());
  ASSERT_TRUE(adopted.listen({.fd = bound_socket(path)}).has_value());
  EXPECT_EQ(result_of_connect({.path = path}), "ready");
  const ino_t before = inode_of(path);
  close(adopted);
  EXPECT_EQ(inode_of(path), before);
}

TEST_P(ContractUnixFileTest, AfterSIGKILLTheFileStays) {
  RULES("3.5.2.3 3.5.1.3");
  const std::string path = socket_path();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = in_child([&](Reactor& reactor) {
    Server server(reactor);
    if (!server.listen({.path = path})) _exit(1);
    if (write(ready[1], "!", 1) != 1) _exit(2);
    reactor.run();
  });
  ASSERT_GT(child, 0);
  ::close(ready[1]);
  char byte = 0;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  ::close(ready[0]);
  const ino_t before = inode_of(path);
  EXPECT_NE(before, 0U);
  ASSERT_EQ(kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(inode_of(path), before);
  // An io_uring may go a little after its process, and the listener with it.
  EXPECT_TRUE(look_until([&] { return result_of_connect({.path = path}) == "ECONNREFUSED"; }));
  EXPECT_EQ(refusal({.path = path}), "EADDRINUSE");
  EXPECT_EQ(refusal({.path = path, .replace_stale = true}), "");
}

TEST_P(ContractUnixFileTest, TheModeIsWhatTheUmaskLeavesAndWhatWasAskedFor) {
  RULES("3.5.3.1 3.5.3.2 3.5.3.3");
  NODE_TEST("server-listen-path");
  EXPECT_EQ(mode_made({}), 0755U);
  EXPECT_EQ(mode_made({.readable_all = true, .writable_all = true}), 0777U);
  umask(077);
  EXPECT_EQ(mode_made({}), 0700U);
  EXPECT_EQ(mode_made({.readable_all = true}), 0744U);
  EXPECT_EQ(mode_made({.writable_all = true}), 0722U);
  umask(0);
  EXPECT_EQ(mode_made({}), 0777U);
}

TEST_P(ContractUnixFileTest, ADirectoryThatIsMissingOrClosedIsTold) {
  RULES("3.5.4.1 3.5.4.2");
  const std::string directory = socket_path();
  EXPECT_EQ(refusal({.path = directory + "/s"}), "ENOENT");
  std::filesystem::create_directory(directory);
  ASSERT_EQ(chmod(directory.c_str(), 0555), 0);
  ASSERT_EQ(chmod(std::filesystem::path(directory).parent_path().c_str(), 0755), 0);
  const pid_t child = in_child([&](Reactor& reactor) {
    constexpr uid_t kNobody = 65534;  // root may write anywhere
    if (geteuid() == 0 && setuid(kNobody) != 0) _exit(1);
    Server server(reactor);
    const auto bound = server.listen({.path = directory + "/s"});
    _exit(!bound && bound.error().code == errno_code(EACCES) ? 0 : 2);
  });
  ASSERT_GT(child, 0);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_P(ContractUnixFileTest, NoFileIsMadeForAPathThatIsRefused) {
  RULES("3.5.5.2 3.5.5.4");
  const std::string longest = path_of(kPathMax);
  EXPECT_EQ(refusal({.path = longest + "q"}), "EINVAL");
  EXPECT_FALSE(std::filesystem::exists(longest));
  EXPECT_FALSE(std::filesystem::exists(longest.substr(0, kPathMax - 1)));
  // Exactly the longest makes exactly that file.
  Server server(reactor());
  EXPECT_EQ(refusal(server, {.path = longest}), "");
  EXPECT_TRUE(std::filesystem::exists(longest));
}

TEST_P(ContractUnixFileTest, APathWithANULInItIsNotCutThere) {
  RULES("3.5.5.4");
  using namespace std::string_literals;
  // The kernel would stop at the NUL.
  const std::string head = socket_path();
  EXPECT_NE(mistake({.path = head + "\0tail"s}), "");
  EXPECT_FALSE(std::filesystem::exists(head));
  listen({.over_unix = true});
  EXPECT_NE(result_of_connect({.path = to_.path + "\0tail"s}), "ready");
}

TEST_P(ContractUnixFileTest, AnAbstractNameHasNothingToDoWithFiles) {
  RULES("3.5.6.2");
  NODE_TEST("abstract-socket");
  const std::string file = socket_path();
  const std::string name = std::string(1, '\0') + file;
  server_ = std::make_unique<Server>(reactor());
  EXPECT_EQ(refusal(*server_, {.path = name}), "");
  EXPECT_EQ(inode_of(file), 0U);
  std::ofstream(file) << "precious";
  const ino_t before = inode_of(file);
  EXPECT_EQ(result_of_connect({.path = name}), "ready");
  close(*server_);
  EXPECT_EQ(inode_of(file), before);
  // As in Node: there is no file whose mode could be set.
  EXPECT_EQ(mistake({.path = name, .readable_all = true}), "ERR_INVALID_ARG_VALUE");
  EXPECT_EQ(mistake({.path = name, .writable_all = true}), "ERR_INVALID_ARG_VALUE");
}

TEST_P(ContractUnixFileTest, AnAtSignIsAbstractOnlyWhenAsked) {
  RULES("3.5.6.3");
  const std::string directory = std::filesystem::path(socket_path()).parent_path();
  const std::filesystem::path home = std::filesystem::current_path();
  std::filesystem::current_path(directory);
  const std::string name = "@weir" + std::to_string(getpid());
  {
    Server file(reactor());
    EXPECT_EQ(refusal(file, {.path = name}), "");
    EXPECT_EQ(file.address().path(), name);
    EXPECT_TRUE(std::filesystem::exists(name));
    EXPECT_EQ(result_of_connect({.path = name}), "ready");
    EXPECT_EQ(result_of_connect({.path = name.substr(1), .abstract = true}), "ECONNREFUSED");
    close(file);
    Server abstract(reactor());
    EXPECT_EQ(refusal(abstract, {.path = name, .abstract = true}), "");
    EXPECT_EQ(abstract.address().path(), std::string(1, '\0') + name);
    EXPECT_FALSE(std::filesystem::exists(name));
    EXPECT_EQ(result_of_connect({.path = name}), "ENOENT");
    EXPECT_EQ(result_of_connect({.path = name, .abstract = true}), "ready");
  }
  std::filesystem::current_path(home);
}

WEIR_ON_KERNEL_BACKENDS(ContractUnixFileTest);

}  // namespace
}  // namespace weir::test
