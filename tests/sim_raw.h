// Operations of a test's own on host "a", which the world runs.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include "tests/door.h"
#include "tests/sim_fixture.h"

namespace weir::test {

class SimRawTest : public SimTest {
 protected:
  void TearDown() override {
    for_all([this](Op& op) { door().cancel(op); });
    world().run_for(std::chrono::hours(1));
    for_all([this](Op& op) { in_flight_ = in_flight_ || !op.idle(); });
    if (!in_flight_) return;
    ADD_FAILURE() << "operations are in flight after cancel()";
    abandon_world();
  }

  SimBackend& door() { return kernel(a()); }
  // Two connected sockets of the host.
  std::pair<int, int> pair() { return door().make_pair(); }

  template <class Kind>
  Kind& submit(Kind& op, int fd) {
    op.fd = fd;
    op.renew();
    door().submit(op);
    return op;
  }
  Accept& accept(int fd) { return submit(accepts_.emplace_back(), fd); }
  Receive& receive(int fd, bool keep = false) {
    Receive& op = receives_.emplace_back();
    op.hold = keep;
    return submit(op, fd);
  }
  Poll& poll_once(int fd, std::uint8_t wanted) {
    Poll& op = polls_.emplace_back();
    op.wanted = {wanted};
    return submit(op, fd);
  }
  // Bytes that outlive every operation.
  std::string& hold(std::string bytes) { return held_.emplace_back(std::move(bytes)); }
  // The bytes stay the caller's until the result is there.
  Send& send(int fd, std::string_view bytes) {
    Send& op = sends_.emplace_back();
    iovec& piece = pieces_.emplace_back();
    piece = {.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
    op.pieces = {&piece, 1};
    return submit(op, fd);
  }

 private:
  template <class Call>
  void for_all(Call call) {
    for (Op& op : accepts_) call(op);
    for (Op& op : receives_) call(op);
    for (Op& op : sends_) call(op);
    for (Op& op : polls_) call(op);
  }

  std::deque<Accept> accepts_;
  std::deque<Receive> receives_;
  std::deque<Send> sends_;
  std::deque<Poll> polls_;
  std::deque<iovec> pieces_;
  std::deque<std::string> held_;
  bool in_flight_ = false;
};

}  // namespace weir::test
