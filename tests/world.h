// A reactor on the backend of the running case, and means to run it until something has happened.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "tests/backends.h"
#include "weir/net/server.h"

namespace weir::test {

// The longest that a test waits for an event that must come; reaching it is a failure, never a
// result. Virtual on the simulator.
inline const Duration kPatience = patience(std::chrono::seconds(20));

class WorldTest : public BackendTest {
 protected:
  void SetUp() override {
    BackendTest::SetUp();
    if (IsSkipped()) return;
    reactor_ = std::make_unique<Reactor>(wrap(make_backend()));
    reactor_->on_unhandled_error([this](const Error& error) {
      unhandled_.push_back(error);
    });
  }

  void TearDown() override {
    reactor_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  // What the reactor gets in the place of `backend`.
  virtual std::unique_ptr<Backend> wrap(std::unique_ptr<Backend> backend) { return backend; }

  Reactor& reactor() { return *reactor_; }

  // Turns until `done` says so. False when that takes longer than kPatience.
  bool run_until(const std::function<bool()>& done) {
    const Instant end = reactor().now() + kPatience;
    while (!done()) {
      if (reactor().now() >= end) return false;
      reactor().run_once(end);
    }
    return true;
  }

  // Lets so much time pass, handling what comes.
  void run_for(Duration time) {
    const Instant end = reactor().now() + time;
    while (reactor().now() < end) reactor().run_once(end);
  }

  // A path for a Unix socket, short enough for sun_path.
  std::string socket_path() {
    if (directory_.empty()) {
      char name[] = "/tmp/weir-test-XXXXXX";
      directory_ = mkdtemp(name);
    }
    return directory_ + "/s" + std::to_string(++paths_);
  }

  std::vector<Error> unhandled_;

 private:
  std::unique_ptr<Reactor> reactor_;
  std::string directory_;
  int paths_ = 0;
};

}  // namespace weir::test
