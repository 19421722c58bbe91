// Memory that is refused once, or from some moment on, at every moment of a script of two hundred
// requests: nothing crashes, hangs or leaks, and the reactor serves afterwards. The policy that is
// held here is in reactor/memory.h.
//
// WEIR_REFUSALS=all refuses each allocation in turn where otherwise a sample is refused; WEIR_SEED
// chooses another sample.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <new>

#include "tests/backends.h"
#include "tests/leaks.h"
#include "tests/refusal_script.h"
#include "tests/refusals.h"
#include "tests/sanitized.h"
#include "weir/net/server.h"
#include "weir/reactor/memory.h"

namespace weir::test {
namespace {

constexpr Duration kPatience = std::chrono::seconds(20);
constexpr long kNever = 1'000'000'000;

enum class After : std::uint8_t { goes_on, refuses_all };

class RefusalTest : public BackendTest {
 protected:
  void SetUp() override {
    BackendTest::SetUp();
    if (IsSkipped()) return;
    char name[] = "/tmp/weir-refusal-XXXXXX";
    root_ = mkdtemp(name);
    RefusalScript::make_files(root_);
    // What is made once by the first who needs it is made now, and the answers become known.
    make_pool();
    play(Memory::library, kNever);
    settled_ = true;
  }
  // Of threads, for the whole process: the first name that is looked up needs it, and the first
  // file that the kernel cannot open without waiting.
  static void make_pool() {
    Reactor reactor(make_backend());
    net::Server server(reactor);
    bool over = false;
    server.on_listening([&](net::Server&) { over = true; });
    server.on_server_error([&](net::Server&, const Error&) { over = true; });
    ASSERT_TRUE(server.listen({.port = 0, .host = "localhost"}).has_value());
    EXPECT_TRUE(run_until(reactor, [&] { return over; }));
  }
  void TearDown() override {
    if (!root_.empty()) std::filesystem::remove_all(root_);
  }

  template <class Done>
  static bool run_until(Reactor& reactor, Done&& done) {
    const Instant end = reactor.now() + kPatience;
    while (!done()) {
      if (reactor.now() >= end) return false;
      reactor.run_once(end);
    }
    return true;
  }

  // Plays it with the nth allocation refused, and checks what must be true all the same. How many
  // there were.
  long play(Memory kind, long nth, After after = After::goes_on) {
    SCOPED_TRACE("allocation " + std::to_string(nth));
    const Descriptors before = open_descriptors();
    const long objects = live_objects();
    long asked = 0;
    {
      Reactor reactor(make_backend());
      reactor.on_unhandled_error([](const Error&) {});
      RefusalScript script(reactor, root_);
      refuse(kind, nth, after == After::refuses_all);
      script.start();
      EXPECT_TRUE(run_until(reactor, [&] { return script.over(); })) << "somebody waits for ever";
      asked = stop_refusing();
      check(script.outcome());
      EXPECT_TRUE(memory::is_plentiful());
      script.ask_again();
      EXPECT_TRUE(run_until(reactor, [&] { return script.over_again(); }));
      EXPECT_TRUE(script.answered_again()) << "it does not serve any more";
      script.close();
      EXPECT_TRUE(run_until(reactor, [&] {
        return script.idle() && reactor.counters().sockets == 0;
      })) << reactor.counters().sockets << " sockets are left";
      EXPECT_EQ(reactor.counters().queue_bytes, 0U);
    }
    EXPECT_EQ(opened_since(before), Descriptors());
    // A failure is an object of its own.
    if (settled_ && !HasFailure()) {
      EXPECT_TRUE(comes_back_to(objects)) << live_objects() << " instead of " << objects;
    }
    return asked;
  }

  // A thread of the pool may still be putting down what it held.
  static bool comes_back_to(long objects) {
    for (int i = 0; i < 500 && live_objects() != objects; ++i) ::poll(nullptr, 0, 10);
    return live_objects() == objects;
  }

  static void check(const ScriptOutcome& outcome) {
    EXPECT_EQ(outcome.begun, RefusalScript::kRequests);
    EXPECT_EQ(outcome.over(), RefusalScript::kRequests);
    EXPECT_EQ(outcome.wrong, 0) << outcome.first_wrong;
    if (!refused_any()) {
      EXPECT_EQ(outcome.right, RefusalScript::kRequests);
    }
  }

  // Calls `play_it` with each n from 1 to the number of allocations, or with `samples` of them.
  template <class Play>
  void for_each_refusal(Memory kind, long samples, Play&& play_it) {
    const char* wanted = std::getenv("WEIR_REFUSALS");
    const bool all = wanted != nullptr && std::string_view(wanted) == "all";
    const char* seed = std::getenv("WEIR_SEED");
    const long count = play(kind, kNever);
    ASSERT_GT(count, 100);
    const long step = all ? 1 : std::max(count / samples, 1L);
    const long first = 1 + (seed == nullptr ? 0 : std::atol(seed)) % step;
    for (const int signal : {SIGABRT, SIGSEGV}) std::signal(signal, say_which);
    long plays = 0;
    // Another run may need a few more.
    for (long nth = first; nth <= count + 20 && !HasFailure(); nth += step, ++plays) {
      std::snprintf(which_, sizeof which_, "allocation %ld was refused\n", nth);
      play_it(nth);
    }
    for (const int signal : {SIGABRT, SIGSEGV}) std::signal(signal, SIG_DFL);
    RecordProperty("allocations", static_cast<int>(count));
    RecordProperty("refused", static_cast<int>(plays));
  }

  // What a crash has to say.
  static void say_which(int signal) {
    static_cast<void>(!write(STDERR_FILENO, which_, std::strlen(which_)));
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  inline static char which_[80];

  std::string root_;
  bool settled_ = false;
};

TEST_P(RefusalTest, EveryAllocationOfTheLibraryMayBeRefused) {
  for_each_refusal(Memory::library, kSanitized ? 40 : kNever,
                   [&](long nth) { play(Memory::library, nth); });
}

TEST_P(RefusalTest, FromEveryAllocationOnAllMayBeRefused) {
  for_each_refusal(Memory::library, kSanitized ? 20 : 60,
                   [&](long nth) { play(Memory::library, nth, After::refuses_all); });
}

TEST_P(RefusalTest, OperatorNewLivesOnTheReserve) {
  for_each_refusal(Memory::operator_new, kSanitized ? 40 : 100,
                   [&](long nth) { play(Memory::operator_new, nth); });
}

// What a client to ::1 has come to.
struct Ipv6Outcome {
  bool echoed = false;
  int closed = 0;
  std::error_code code;
};

void watch(net::Socket& client, Ipv6Outcome& outcome) {
  client.on_connect([](net::Socket& socket) { socket.write("x"); });
  client.on_data([&outcome](net::Socket& socket, Buffer) {
    outcome.echoed = true;
    socket.end();
  });
  client.on_error([](net::Socket&, const Error&) {});
  client.on_close([&outcome](net::Socket&, std::error_code code) {
    ++outcome.closed;
    outcome.code = code;
  });
}

// Addresses of IPv6 have a place of their own, unlike those of IPv4.
TEST_P(RefusalTest, AnIpv6ConnectionMayFindNoRoomForItsAddresses) {
  constexpr long kMost = 1000;
  int without_memory = 0;
  long asked = kMost;
  long nth = 1;
  for (; nth <= asked && nth < kMost && !HasFailure(); ++nth) {
    SCOPED_TRACE("allocation " + std::to_string(nth));
    const Descriptors before = open_descriptors();
    {
      Reactor reactor(make_backend());
      reactor.on_unhandled_error([](const Error&) {});
      net::Server server(reactor);
      server.on_data([](net::Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
      const auto bound = server.listen({.port = 0, .host = "::1"});
      if (!bound) GTEST_SKIP() << "no IPv6 here: " << bound.error().message();
      const net::ConnectOptions to{.host = "::1", .port = bound->port()};
      Ipv6Outcome outcome;
      net::Socket client(reactor);
      watch(client, outcome);
      refuse(Memory::library, nth);
      const auto begun = client.connect(to);
      EXPECT_TRUE(!begun || run_until(reactor, [&] { return outcome.closed != 0; }));
      asked = stop_refusing();
      EXPECT_EQ(outcome.closed, begun ? 1 : 0);
      EXPECT_TRUE(outcome.echoed || refused_any()) << outcome.code.message();
      if (outcome.code == errno_code(ENOMEM)) ++without_memory;

      Ipv6Outcome again;
      net::Socket next(reactor);
      watch(next, again);
      ASSERT_TRUE(next.connect(to).has_value());
      EXPECT_TRUE(run_until(reactor, [&] { return again.closed != 0; }));
      EXPECT_TRUE(again.echoed) << "it does not serve any more";
      server.close();
      EXPECT_TRUE(run_until(reactor, [&] { return reactor.counters().sockets == 0; }));
    }
    EXPECT_EQ(opened_since(before), Descriptors());
  }
  EXPECT_LT(nth, kMost);
  EXPECT_GT(without_memory, 0) << "no client was told that there was no memory";
}

// The only way in which refused memory ends a process.
constexpr int kBadAlloc = 42;
void expect_bad_alloc() {
  const std::exception_ptr thrown = std::current_exception();
  // Out of a noexcept function that was inlined, GCC 12 comes here before the exception is caught:
  // what it is cannot be asked then. Nothing else is thrown here.
  if (thrown == nullptr && std::uncaught_exceptions() != 0) _exit(kBadAlloc);
  if (thrown == nullptr) return;
  try {
    std::rethrow_exception(thrown);
  } catch (const std::bad_alloc&) {
    _exit(kBadAlloc);
  } catch (...) {
  }
}

TEST_P(RefusalTest, WithoutAReserveBadAllocIsTheWorstThatComes) {
  int ended = 0;
  for_each_refusal(Memory::operator_new, kSanitized ? 10 : kNever, [&](long nth) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      std::set_terminate([] {
        expect_bad_alloc();
        std::abort();
      });
      std::set_new_handler(nullptr);
      // Also what comes out of a call of ours ends it: this is the program.
      [&]() noexcept { play(Memory::operator_new, nth); }();
      _exit(HasFailure() ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    const bool as_said = WIFEXITED(status) && (WEXITSTATUS(status) == 0 ||
                                               WEXITSTATUS(status) == kBadAlloc);
    EXPECT_TRUE(as_said) << "allocation " << nth << " ended it with status " << status;
    if (WIFEXITED(status) && WEXITSTATUS(status) == kBadAlloc) ++ended;
  });
  EXPECT_GT(ended, 0) << "nothing was refused";
}

// As one that is installed later is to be: it calls the one before it.
TEST(ReserveTest, AHandlerInFrontOfItIsToldWhenThereIsNoMore) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer ends the process";
  memory::keep_reserve(limits::kMemoryReserveDefault);
  static std::new_handler before = nullptr;
  static int asked = 0;
  before = std::set_new_handler([] {
    ++asked;
    before();
  });
  const volatile std::size_t too_much = SIZE_MAX / 4;
  EXPECT_THROW(delete[] new char[too_much], std::bad_alloc);
  std::set_new_handler(before);
  EXPECT_EQ(asked, 2) << "it has given what it had, and has nothing more";
  EXPECT_TRUE(memory::is_plentiful());
}

INSTANTIATE_TEST_SUITE_P(Backends, RefusalTest, testing::ValuesIn(main_backends()), case_name);

}  // namespace
}  // namespace weir::test
