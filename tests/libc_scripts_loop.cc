// The reactor itself: made, embedded, woken by signals, threads, timers and foreign descriptors.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "tests/libc_scene.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

void timers(Scene& scene) {
  int& short_one = scene.must_end("a timer below a millisecond");
  int& long_one = scene.must_end("a timer of milliseconds");
  scene.make<Timer>() = scene.reactor().after(300us, [&short_one] { ++short_one; });
  scene.make<Timer>() = scene.reactor().after(3ms, [&long_one] { ++long_one; });
  std::array<std::uint8_t, 300> bytes;
  scene.reactor().backend().random(bytes);
}

void posts(Scene& scene) {
  int& posted = scene.must_end("what another thread has posted");
  auto& guard = scene.make<std::optional<WorkGuard>>(std::in_place, scene.reactor());
  std::thread([&scene, &posted, &guard] {
    EXPECT_TRUE(scene.reactor().post([&posted, &guard] {
      ++posted;
      guard.reset();
    }));
  }).detach();
}

void signals(Scene& scene) {
  int& seen = scene.must_end("a signal");
  const auto subscribed = scene.reactor().on_signal(SIGUSR1, [&seen](int) { ++seen; });
  if (!subscribed) {
    ++seen;
    return;
  }
  raise(SIGUSR1);
}

void watches(Scene& scene) {
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  for (const int fd : ends) scene.keep(fd);
  int& seen = scene.must_end("what another library waits for");
  auto& watch = scene.make<Watch>();
  watch = scene.reactor().watch(ends[0], {Events::readable}, [&](Events) {
    ++seen;
    watch.cancel();
  });
  scene.reactor().run_once(Duration::zero());
  EXPECT_EQ(::write(ends[1], "x", 1), 1);
}

// As the guest of another loop.
void guest(Scene& scene) {
  Reactor& reactor = scene.reactor();
  int& fired = scene.must_end("the timer of a guest");
  scene.make<Timer>() = reactor.after(2ms, [&fired] { ++fired; });
  for (int i = 0; i < 100 && fired == 0; ++i) {
    pollfd entry{.fd = reactor.fd(), .events = POLLIN, .revents = 0};
    if (entry.fd < 0) return;
    reactor.prepare();
    ::poll(&entry, 1, 1000);
    reactor.run_once(Duration::zero());
  }
}

void another(Scene& scene) {
  auto made = Reactor::create({.backend = scene.reactor().backend().kind()});
  if (!made) return;
  int fired = 0;
  const Timer timer = (*made)->after(1ms, [&fired] { ++fired; });
  (*made)->run();
  EXPECT_EQ(fired, 1);
}

// Whichever backend there is.
void any(Scene&) {
  auto made = Reactor::create({.log = [](std::string_view) {}});
  if (made) (*made)->run_once(Duration::zero());
}

}  // namespace

std::span<const SmallScript> loop_scripts() {
  static constexpr SmallScript kScripts[] = {
      {"timers", timers}, {"posts", posts},     {"signals", signals}, {"watches", watches},
      {"guest", guest},   {"another", another}, {"any", any}};
  return kScripts;
}

}  // namespace weir::test
