// A client of a swarm: it sends what its script says, and its reader judges what comes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/http_swarm_reader.h"
#include "weir/net/socket.h"

namespace weir::test::http_swarm {

// One connection.
class Call {
 public:
  Call(Run& run, Reactor& reactor, Line& line, Reader& reader, std::string server);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  // Of a connection that is open: its host has crashed.
  ~Call();

  void start();
  // Sends what is left without delay, and ends.
  void finish_up();
  Line& line() noexcept { return line_; }
  std::string state() const;

 private:
  void follow();
  void on_data(Buffer bytes);
  void on_end();
  void break_off();
  void progress();
  void pump();
  void pump_later(Duration delay);
  std::size_t limit();
  void send(std::size_t size);
  void after_sending();
  void wait_for_continue(std::size_t index);
  void end_side();

  Run& run_;
  Reactor& reactor_;
  Line& line_;
  Reader& reader_;
  const LinePlan& plan_;
  const std::string server_;
  net::Socket socket_;
  std::size_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::size_t answered_ = 0;      // as of the last look
  std::size_t impatient_for_ = SIZE_MAX;  // index of the request that waits for its 100
  bool impatient_ = false;        // it has waited long enough
  bool pump_waits_ = false;
  bool full_ = false;
  Timer pump_timer_;
  Timer pause_timer_;
  Timer break_timer_;
  Timer patience_timer_;
};

class ClientProgram final : public sim::Program {
 public:
  ClientProgram(Run& run, Reactor& reactor) : run_(run), reactor_(reactor) {}

  void call_later(Line& line, Reader& reader, const std::string& server, Duration delay);
  void finish_up();
  std::string dump() const;

 private:
  Run& run_;
  Reactor& reactor_;
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<Timer> timers_;
};

// At the end of a run: whether what the line has got is what it had to get.
void judge(Run& run, Line& line, const Reader& reader);

}  // namespace weir::test::http_swarm
