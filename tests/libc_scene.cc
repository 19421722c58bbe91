#include "tests/libc_scene.h"

#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "tests/relay_backend.h"
#include "tests/world.h"
#include "weir/net/server.h"

namespace weir::test {
namespace {

// As long as kPatience, by the fast clock.
const Duration kPatienceInHaste = 10 * kPatience;

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

// Threads let go of theirs a little later.
bool are_descriptors_back(std::size_t before) {
  for (int i = 0; i < 1000 && open_descriptors() != before; ++i) ::poll(nullptr, 0, 2);
  return open_descriptors() == before;
}

// Its clock is ten times as fast: what rests after a failure does not rest so long.
class HastyBackend final : public RelayBackend {
 public:
  using RelayBackend::RelayBackend;

  Instant now() const noexcept override {
    return start_ + kHaste * (RelayBackend::now() - start_);
  }
  std::size_t poll(Instant until, std::span<Completion> batch) noexcept override {
    return RelayBackend::poll(slower(until), batch);
  }
  void prepare(Instant until) noexcept override { RelayBackend::prepare(slower(until)); }

 private:
  static constexpr int kHaste = 10;

  Instant slower(Instant until) const noexcept {
    if (until == kNever || until == Instant::min()) return until;
    // Rounded up: a timer is never early.
    return start_ + (until - start_ + Duration(kHaste - 1)) / kHaste;
  }

  const Instant start_ = RelayBackend::now();
};

// The kernel gives the locked memory of closed rings back some time later.
std::unique_ptr<Reactor> make_reactor(const BackendOptions& options) {
  auto chosen = choose_backend(options);
  for (int i = 0; i < 500 && !chosen && chosen.error().code == errno_code(ENOMEM); ++i) {
    ::poll(nullptr, 0, 20);
    chosen = choose_backend(options);
  }
  EXPECT_TRUE(chosen.has_value()) << (chosen ? "" : chosen.error().message());
  if (!chosen) return nullptr;
  return std::make_unique<Reactor>(std::make_unique<HastyBackend>(std::move(chosen->backend)));
}

// A new server, a new connection, a byte there and back.
bool still_serves(Scene& scene) {
  net::Server server(scene.reactor());
  server.on_data([](net::Socket& socket, Buffer bytes) { socket.write(std::move(bytes)); });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  if (!bound) return false;
  net::Socket client(scene.reactor());
  bool echoed = false;
  client.on_connect([](net::Socket& socket) { socket.write("x"); });
  client.on_data([&](net::Socket&, Buffer) { echoed = true; });
  const bool begun = client.connect({.host = "127.0.0.1", .port = bound->port()}).has_value();
  return begun && scene.run_until([&] { return echoed; });
}

}  // namespace

Scene::Scene(std::unique_ptr<Reactor> reactor) : reactor_(std::move(reactor)) {
  // What goes wrong is the script's business, or nobody's.
  reactor_->on_unhandled_error([](const Error&) {});
  char name[] = "/tmp/weir-scene-XXXXXX";
  directory_ = mkdtemp(name);
}

Scene::~Scene() {
  let_go();
  for (const int fd : kept_) ::close(fd);
  reactor_.reset();
  std::filesystem::remove_all(directory_);
}

int& Scene::must_end(std::string what) {
  return endings_.emplace_back(std::move(what)).times;
}

int Scene::keep(int fd) {
  kept_.push_back(fd);
  return fd;
}

bool Scene::all_ended() const {
  return std::ranges::all_of(endings_, [](const Ending& one) { return one.times != 0; });
}

bool Scene::run_until(const std::function<bool()>& done) {
  const Instant end = reactor().now() + kPatienceInHaste;
  while (!done()) {
    if (reactor().now() >= end) return false;
    reactor().run_once(end);
  }
  return true;
}

bool Scene::play_out() {
  for (;;) {
    if (!run_until([this] { return all_ended(); })) return false;
    auto& left = next_.empty() ? last_ : next_;
    if (left.empty()) break;
    const auto next = std::move(left.front());
    left.pop_front();
    next();
  }
  // What comes twice comes now.
  for (int i = 0; i < 5; ++i) reactor().run_once(Duration::zero());
  return true;
}

void Scene::let_go() {
  while (!made_.empty()) made_.pop_back();
}

std::string Scene::account() const {
  std::string wrong;
  for (const Ending& one : endings_) {
    if (one.times == 1) continue;
    wrong += one.what + " has ended " + std::to_string(one.times) + " times\n";
  }
  return wrong;
}

std::vector<SmallScript> all_scripts() {
  std::vector<SmallScript> all;
  for (const auto& some : {net_scripts(), file_scripts(), loop_scripts()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

Outcome play(const SmallScript& script, const BackendOptions& backend,
             const std::optional<Failure>& failure, long most) {
  Outcome outcome;
  const std::size_t before = open_descriptors();
  {
    Scene scene(make_reactor(backend));
    {
      const auto faults = failure ? std::make_unique<Faults>(*failure) : std::make_unique<Faults>();
      script.play(scene);
      if (!scene.play_out()) outcome.wrong += "it does not end\n";
      outcome.wrong += scene.account();
      scene.let_go();
      scene.reactor().run_once(Duration::zero());
      outcome.failed = faults->given() != 0;
      for (const LibcFacts& facts : libc_calls()) {
        outcome.made.push_back(faults->made(facts.call));
      }
    }
    for (const long made : outcome.made) outcome.calls += made;
    if (outcome.calls > most) {
      outcome.wrong += "it spins: " + std::to_string(outcome.calls) + " calls\n";
    }
    if (!still_serves(scene)) outcome.wrong += "new connections are not served\n";
  }
  if (!are_descriptors_back(before)) {
    outcome.wrong += "descriptors are left: " + std::to_string(open_descriptors()) + ", not " +
                     std::to_string(before) + "\n";
  }
  return outcome;
}

}  // namespace weir::test
