// Random scripts tell the same story on every backend.
#include <gtest/gtest.h>
#include <poll.h>

#include <cstdlib>

#include "tests/backends.h"
#include "tests/relay_backend.h"
#include "tests/script.h"
#include "tests/script_runner.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

using MakeBackend = std::function<std::unique_ptr<Backend>()>;

struct Actor {
  std::string name;
  MakeBackend make;
};

// The kernel gives the locked memory of closed rings back some time later.
std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  auto chosen = choose_backend(options);
  for (int i = 0; i < 500 && !chosen && chosen.error().code == errno_code(ENOMEM); ++i) {
    ::poll(nullptr, 0, 20);
    chosen = choose_backend(options);
  }
  EXPECT_TRUE(chosen.has_value()) << (chosen ? "" : chosen.error().message());
  return chosen ? std::move(chosen->backend) : nullptr;
}

Actor actor(const BackendCase& backend) {
  return {backend.name, [options = backend.options] { return make_backend(options); }};
}

std::unique_ptr<Backend> make_sim() { return std::make_unique<SimBackend>(); }

// The simulator first: it is what the others are compared with, and it comes once more.
std::vector<Actor> all_actors() {
  std::vector<Actor> actors = {{"sim", make_sim}, {"sim again", make_sim}};
  for (const BackendCase& backend : kernel_backends()) {
    if (backend.options.kind != BackendKind::io_uring || uring_works()) {
      actors.push_back(actor(backend));
    }
  }
  return actors;
}

// Failing scripts are shrunk with less patience: what must come comes at once, and many of them
// wait in vain.
constexpr Duration kShrinkingPatience = 1s;

// What is wrong with the script on the first actor, or on one of the others; empty when nothing is.
std::string difference(const std::vector<Actor>& actors, const Script& script,
                       Duration patience = kPatience) {
  Told first;
  for (const Actor& actor : actors) {
    auto backend = actor.make();
    if (backend == nullptr) return actor.name + " cannot be had\n";
    Stage stage(std::move(backend), patience);
    const Told told = run_script(script, stage);
    if (&actor == &actors.front()) first = told;
    if (told.broken.empty() && told.trace == first.trace) continue;
    const std::string on_first =
        &actor == &actors.front() ? "" : "on " + actors.front().name + ":\n" + first.trace;
    return "on " + actor.name + ":\n" + told.broken + told.trace + on_first;
  }
  return "";
}

struct Finding {
  Script script;
  std::string difference;
};

// The script made small, when it fails.
std::optional<Finding> shrunk_failure(const std::vector<Actor>& actors, const Script& script) {
  if (difference(actors, script).empty()) return {};
  const Script small = shrink(script, [&actors](const Script& smaller) {
    return !difference(actors, smaller, kShrinkingPatience).empty();
  });
  return Finding{small, difference(actors, small, kShrinkingPatience)};
}

void expect_no_difference(const std::vector<Actor>& actors, const Script& script) {
  if (const auto found = shrunk_failure(actors, script)) {
    ADD_FAILURE() << "script:  " << text(script) << "\nshrunk:  " << text(found->script) << "\n"
                  << found->difference;
  }
}

std::uint64_t count_from_environment(std::uint64_t count) {
  const char* chosen = std::getenv("WEIR_SCRIPTS");
  return chosen == nullptr ? count : std::strtoull(chosen, nullptr, 10);
}

// WEIR_ACTORS=sim,epoll: these only.
std::vector<Actor> chosen_actors() {
  std::vector<Actor> actors = all_actors();
  if (const char* chosen = std::getenv("WEIR_ACTORS")) {
    const std::string names = "," + std::string(chosen) + ",";
    std::erase_if(actors, [&names](const Actor& actor) {
      return names.find("," + actor.name + ",") == std::string::npos;
    });
  }
  return actors;
}

// WEIR_SCRIPT="one line": this one only, as it is.
TEST(ScriptTest, IsTheSameOnEveryBackend) {
  const std::vector<Actor> actors = chosen_actors();
  if (const char* chosen = std::getenv("WEIR_SCRIPT")) {
    const auto script = parse(chosen);
    ASSERT_TRUE(script.has_value()) << chosen;
    EXPECT_EQ(difference(actors, *script, kShrinkingPatience), "");
    return;
  }
  for_seeds(count_from_environment(500),
            [&actors](Random& random) { expect_no_difference(actors, generate(random)); });
}

// What random scripts have found, shrunk.
constexpr const char* kRegressions[] = {
    // After both FINs Linux sends no reset, whatever is unread: the other side reads on.
    "peer.silent : c1 connect ; c1 end 1 ; c1 pause ; p1 end 1 ; c1 destroy",
    "peer.silent : c1 connect ; c1 end 1 ; c1 pause ; p1 end 1 ; c1 reset",
    "unix peer.silent : c1 connect ; c1 end 1 ; c1 pause ; p1 end 1 ; c1 destroy",
    // io_uring may end a send of a Unix socket with EAGAIN when its poll was woken often in vain.
    "unix peer.silent : c1 connect ; c1 write 54820 x5 ; p1 end",
    // An end() whose bytes are refused is none.
    "client.limit=2000 : c1 connect ; c1 cork ; c1 write 285 ; c1 end 1716",
};

TEST(ScriptTest, WhatWasFoundIsTheSameOnEveryBackend) {
  const std::vector<Actor> actors = all_actors();
  for (const char* line : kRegressions) {
    const auto script = parse(line);
    ASSERT_TRUE(script.has_value()) << line;
    EXPECT_EQ(difference(actors, *script), "") << line;
  }
}

// ---- The shrinker, with planted differences ----

// FINs get lost.
class NoFin final : public RelayBackend {
 public:
  using RelayBackend::RelayBackend;
  std::int32_t shutdown(int fd, Direction direction) noexcept override {
    return direction == Direction::write ? 0 : RelayBackend::shutdown(fd, direction);
  }
};

// Who is refused is told something else.
class OtherRefusal final : public RelayBackend {
 public:
  using RelayBackend::RelayBackend;
  std::size_t poll(Instant until, std::span<Completion> batch) noexcept override {
    const std::size_t count = RelayBackend::poll(until, batch);
    for (Completion& one : batch.first(count)) {
      if (one.op->kind == OpKind::connect && one.result == -ECONNREFUSED) one.result = -ETIMEDOUT;
    }
    return count;
  }
};

// The second send of more than one byte, but not many, loses its last byte and does not say so.
class LosesAByte final : public RelayBackend {
 public:
  using RelayBackend::RelayBackend;
  void submit(Op& op) noexcept override {
    if (op.kind == OpKind::send) shorten(static_cast<SendOp&>(op));
    RelayBackend::submit(op);
  }
  std::size_t poll(Instant until, std::span<Completion> batch) noexcept override {
    const std::size_t count = RelayBackend::poll(until, batch);
    for (Completion& one : batch.first(count)) {
      if (one.op != shortened_) continue;
      shortened_ = nullptr;
      if (one.result > 0) ++one.result;
    }
    return count;
  }

 private:
  void shorten(SendOp& op) {
    if (op.pieces.size() != 1) return;
    piece_ = op.pieces[0];
    if (piece_.iov_len < 2 || piece_.iov_len > 5000 || ++sends_ != 2) return;
    --piece_.iov_len;
    op.pieces = {&piece_, 1};
    shortened_ = &op;
  }

  int sends_ = 0;
  iovec piece_{};
  const Op* shortened_ = nullptr;
};

template <class Planted>
std::vector<Actor> with_planted() {
  return {{"sim", make_sim}, {"planted", [] { return std::make_unique<Planted>(make_sim()); }}};
}

// What the first seeds from `first` on find, shrunk.
std::string found(const std::vector<Actor>& actors, std::uint64_t first) {
  for (std::uint64_t seed = first; seed < first + 50; ++seed) {
    Random random(seed);
    if (const auto finding = shrunk_failure(actors, generate(random))) {
      EXPECT_NE(finding->difference, "");
      return text(finding->script);
    }
  }
  return "nothing";
}

TEST(ShrinkTest, ALostFin) { EXPECT_EQ(found(with_planted<NoFin>(), 1), ": c1 connect"); }

TEST(ShrinkTest, AnotherCode) {
  EXPECT_EQ(found(with_planted<OtherRefusal>(), 50), ": c1 refused");
}

TEST(ShrinkTest, ALostByte) {
  EXPECT_EQ(found(with_planted<LosesAByte>(), 50), ": c1 connect ; c1 write 2 ; c1 write 2");
}

TEST(ShrinkTest, DropsWhatDoesNotMatterAndHalvesTheRest) {
  const auto script = parse(
      "unix max=2 peer.text client.high=77 : c1 connect ; c2 connect ; "
      "p2 write 5000 x4 cb ; c1 end 3 ; p1 in data end 9 cb ; c3 connect");
  ASSERT_TRUE(script.has_value());
  int runs = 0;
  const Script small = shrink(*script, [&runs](const Script& smaller) {
    ++runs;
    for (const Step& step : smaller.steps) {
      if (step.act == Act::write && step.size * step.times >= 1234) return true;
    }
    return false;
  });
  EXPECT_EQ(text(small), ": c1 write 1234");
  EXPECT_LE(runs, 100);
}

TEST(ShrinkTest, StopsAfterSoManyRuns) {
  Random random(1);
  int runs = 0;
  shrink(
      generate(random), [&runs](const Script&) { return ++runs % 2 == 0; }, 20);
  EXPECT_LE(runs, 20);
}

// ---- As text ----

TEST(ScriptTextTest, WhatIsNoScriptIsRefused) {
  for (const char* line :
       {"", "c1 connect", "unix", ": c4 connect", ": c1", ": c1 in connect", ": c1 in never end",
        "wide : c1 connect", "client.wide : c1 connect", ": c1 write x", ": c1 write -1",
        "max= : c1 connect", ": c1 write 1 twice"}) {
    EXPECT_FALSE(parse(line).has_value()) << line;
  }
}

TEST(ScriptTextTest, IsReadAsItWasWritten) {
  for_seeds(2000, [](Random& random) {
    const Script script = generate(random);
    const auto read = parse(text(script));
    ASSERT_TRUE(read.has_value()) << text(script);
    EXPECT_EQ(*read, script) << text(script);
  });
}

}  // namespace
}  // namespace weir::test
