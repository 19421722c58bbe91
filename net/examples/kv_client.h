// A client of the key-value service that does something random every now and then, and keeps book.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "net/examples/kv_history.h"
#include "net/examples/kv_lines.h"
#include "weir/net/socket.h"
#include "weir/reactor/sim_random.h"

namespace weir::example::kv {

struct ClientOptions {
  std::string host;
  int port = 7100;
  Duration pause = std::chrono::minutes(10);  // at most so long from an answer to the next request
};

// Told of requests and answers, and of what cannot be.
struct ClientListener {
  Function<void(const std::string&)> said;
  Function<void(const std::string&)> wrong;
};

class Client {
 public:
  // All but the options outlive it.
  Client(Reactor& reactor, ClientOptions options, History& history, sim::Random& random,
         ClientListener& listener);

  // From now on, also for the pause that goes on.
  void set_pause(Duration pause);
  // Reads every key once, one after the other, and does nothing else any more.
  void read_all();
  bool has_read_all() const noexcept { return reads_all_ && next_read_ == history_.keys(); }
  std::uint64_t answers() const noexcept { return answers_; }

 private:
  enum class Request : std::uint8_t { none, set, get };

  void rest();
  void go();
  void choose();
  void ask();
  void receive(std::string_view bytes);
  bool take(std::string_view line);
  bool take_value(std::string_view text);
  void give_up();

  Reactor& reactor_;
  ClientOptions options_;
  History& history_;
  sim::Random& random_;
  ClientListener& listener_;
  net::Socket socket_;
  Lines lines_;
  Timer timer_;  // the pause, or the patience for an answer
  std::array<std::size_t, 3> own_keys_;

  Request request_ = Request::none;  // that was sent
  std::size_t slot_ = 0;             // of own_keys_, of a SET
  std::size_t key_ = 0;
  std::uint64_t oldest_ = 0;         // answer that is right
  std::uint64_t answers_ = 0;
  bool wants_set_ = false;           // what is to be sent
  bool reads_all_ = false;
  std::size_t next_read_ = 0;
};

}  // namespace weir::example::kv
