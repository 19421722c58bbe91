// One side of one connection of a swarm: what it does, and what net owes it.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "tests/net_swarm.h"
#include "weir/net/pipe.h"
#include "weir/net/server.h"
#include "weir/net/socket.h"
#include "weir/reactor/sim_world.h"

namespace weir::test {

class End;

// What a connection was told to do with its sending side.
enum class Sends : std::uint8_t { nothing, stream, echo, pipe_back, relay };
// What a stream does after its last byte.
enum class Ending : std::uint8_t { end, end_with_last, destroy_soon, destroy, wait };
// What may be done to a connection at any time.
enum class Act : std::uint8_t {
  end,
  destroy,
  destroy_with_code,
  destroy_soon,
  reset,
  remove,
  write_after_end,
  detach,
  cork,
  pause,
  small_things,
  count
};
const char* act_name(Act act) noexcept;

struct Plan {
  Sends sends = Sends::nothing;
  Ending ending = Ending::end;
  std::uint64_t total = 0;      // of a stream, with its header
  std::size_t write_max = 1;
  bool respects_full = true;
  bool callbacks = false;
  Duration gap = Duration::zero();  // between two writes
  unsigned pauses_once_in = 0;      // deliveries; 0: never
  Duration pause_max = Duration::zero();
  Duration hoards = Duration::zero();  // how long it keeps what it has received
  unsigned acts_once_in = 0;        // events; 0: never
  Duration act_at = Duration::zero();
  Act act = Act::count;             // what it does then
  bool starts_paused = false;
  bool destroys_on_timeout = false;
};
// `greedy`: megabytes, and much of it is kept for a while.
Plan random_plan(sim::Random& random, bool accepted, bool greedy);
net::SocketOptions random_socket_options(sim::Random& random);

// Bytes [at, at + size) of the stream of connection `id`, which begins with the id. size <= 1 MiB.
std::string stream_of(std::uint32_t id, std::uint64_t at, std::size_t size);
inline constexpr std::uint64_t kHeaderBytes = 8;

// What all ends of one run share.
class Run : public SwarmRun {
 public:
  using SwarmRun::SwarmRun;

  // Both sides of a TCP connection name it alike; the later one finds the other.
  void match(End& end, const Address& client, const Address& server);
  End* end(std::uint32_t id) noexcept;

  std::size_t memory_max = 0;  // of what a host has received and not released
  bool greedy = false;
  bool in_call = false;  // of net's: nothing may be told meanwhile
  std::vector<std::unique_ptr<End>> ends;
  std::map<std::string, End*, std::less<>> unmatched;
};

// While one exists, no handler may run.
class Call {
 public:
  explicit Call(Run& run) noexcept : run_(run) { run_.in_call = true; }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() { run_.in_call = false; }

 private:
  Run& run_;
};

// A socket of the user's, which may connect several times.
struct Client {
  std::unique_ptr<net::Socket> socket = {};
  net::SocketOptions options = {};
  End* end = nullptr;
  unsigned reconnects = 0;
  unsigned host = 0;  // of the target
  unsigned server = 0;
  std::unique_ptr<std::stop_source> stop = {};
};

// The program of a host, as its connections see it.
class Place {
 public:
  virtual Reactor& reactor() = 0;
  virtual const std::string& name() const = 0;
  virtual unsigned number() const = 0;
  virtual bool has_budget() const = 0;
  // Less than a quarter of its receive memory is free.
  virtual bool memory_scarce() const = 0;
  virtual void ended(End& end) = 0;
  // The object goes.
  virtual void remove(Client& client) = 0;
  virtual void adopt(End& end, int fd) = 0;

 protected:
  ~Place() = default;
};

class End {
 public:
  End(Run& run, Place& place, std::uint32_t id, const Plan& plan,
      const net::SocketOptions& options);
  End(const End&) = delete;
  End& operator=(const End&) = delete;

  // Listeners for all that comes, which find the end by Socket::user_data.
  template <class Target>
  static void follow(Target& target);

  void take_socket(net::Socket& socket);
  void set_client(Client* client) noexcept { client_ = client; }
  void set_target(unsigned host, unsigned server) noexcept {
    host_ = host;
    server_ = server;
  }
  void accepted();
  void adopted();
  void connecting();
  void relay_to(End& other) noexcept { relay_ = &other; }

  // Whatever it did until now, it ends its side and reads what comes.
  void finish_up();
  // The owner ends it: why it need not end well.
  void killed_by(std::string_view who) noexcept;
  void drained_by_server() noexcept;
  // The object is gone, or the whole host.
  void gone(bool crashed);
  void act(Act act);
  // Its stop token is about to be asked to.
  void stop();

  // Between two steps.
  void check();
  void check_in_the_end();
  // Why it may wait for ever although nothing is wrong; null: it may not.
  const char* may_wait() const;
  std::string state() const;
  const std::string& name() const noexcept { return name_; }
  std::size_t queued() const noexcept {
    return socket_ == nullptr ? 0 : socket_->writable_length();
  }

  std::uint32_t id() const noexcept { return id_; }
  Place& place() const noexcept { return place_; }
  net::Socket* socket() const noexcept { return socket_; }
  Client* client() const noexcept { return client_; }
  const net::SocketOptions& options() const noexcept { return options_; }
  bool open() const noexcept { return open_; }
  bool was_accepted() const noexcept { return accepted_; }
  unsigned host() const noexcept { return host_; }
  unsigned server() const noexcept { return server_; }

 private:
  friend class Run;
  // Whether it may come; each says at once what is wrong with it.
  static End* told(net::Socket& socket, std::string_view event);
  bool enter(net::Socket& socket, std::string_view event);
  void on_connect();
  void on_ready();
  void on_data(Buffer bytes);
  void on_end();
  void on_drain();
  void on_finish();
  void on_timeout();
  void on_error(const Error& error);
  void on_close(std::error_code code);

  void fail(std::string_view what);
  void start();
  void act_at_random();
  void take(std::string_view bytes);
  bool know_source();
  bool may_come_from(End& source);
  void expect_whole_stream();
  void check_error(const Error& error);

  bool can_write() const noexcept;
  bool piped_to() const noexcept {
    return plan_.sends == Sends::pipe_back || plan_.sends == Sends::relay;
  }
  void pump();
  void pump_later(Duration delay);
  net::Write write(Buffer& bytes);
  net::Write write_last(std::string_view bytes);
  net::Write noted(net::Write result, std::size_t size, std::size_t before);
  net::WriteDone callback(std::uint64_t number, std::size_t size);
  net::WriteDone end_callback();
  void echo(Buffer bytes);
  void flush_echo();
  void finish_sending();
  void end_side();
  void pause_for_a_while(Duration most);
  void update_reading();
  void cork_for_a_while();
  void small_things();
  void reset();
  void stop_timers() noexcept;
  void hoard(Buffer bytes);
  void detach();
  void detached(net::Socket& from, Expected<net::Detached> given);
  void write_after_end();
  bool may_break_off() const noexcept;
  std::uint64_t written() const noexcept;

  Run& run_;
  Place& place_;
  const std::uint32_t id_;
  Plan plan_;
  const net::SocketOptions options_;
  std::string name_;
  net::Socket* socket_ = nullptr;
  net::Socket* detached_from_ = nullptr;  // whose 'close' is to come
  Client* client_ = nullptr;
  End* peer_ = nullptr;    // the other side, once it is known
  End* relay_ = nullptr;   // the other connection of a relay
  End* source_ = nullptr;  // whose stream comes in
  unsigned host_ = 0;      // that it is connected to
  unsigned server_ = 0;
  std::string killed_;     // by whom, if by anybody
  std::error_code code_expected_;
  std::error_code error_;

  // Sending.
  std::uint64_t sent_ = 0;  // taken by write()
  std::uint64_t written_before_ = 0;  // by sockets that it was detached from, or at its end
  std::uint64_t dropped_before_ = 0;  // of the socket, when this connection began
  std::uint64_t dropped_ = 0;
  Instant last_data_ = Instant::min();
  std::deque<Buffer> to_echo_;
  std::uint64_t callbacks_due_ = 0;
  std::uint64_t callbacks_seen_ = 0;
  unsigned end_callbacks_due_ = 0;

  // Receiving.
  std::uint64_t received_ = 0;
  std::array<char, kHeaderBytes> header_{};
  std::string doubt_;  // what was wrong with 'end', unless an error follows
  std::vector<Buffer> hoard_;

  Timer pump_timer_;
  Timer pause_timer_;
  Timer act_timer_;
  Timer hoard_timer_;
  Timer cork_timer_;

  bool accepted_ = false;
  bool open_ = false;
  bool is_gone_ = false;
  bool crashed_ = false;
  bool host_crashed_ = false;  // also when it was closed or removed before
  bool connected_ = false;
  bool ready_ = false;
  bool paused_ = false;       // pause() is in force
  bool paused_ever_ = false;
  bool slow_ = false;         // until a timer fires
  bool reset_when_connected_ = false;
  bool ended_ = false;        // we have called end(), or net has for us
  bool ends_soon_ = false;    // destroy_soon()
  bool drained_ = false;      // by its server: destroyed after a while
  bool detaching_ = false;
  bool needs_drain_ = false;
  bool refused_ = false;      // since the last drain
  bool corked_ = false;
  bool cut_ = false;          // what it had to echo was dropped in the end
  bool end_seen_ = false;
  bool finish_seen_ = false;
  bool error_seen_ = false;
  bool close_seen_ = false;
};

template <class Target>
void End::follow(Target& target) {
  target.on_connect([](net::Socket& s) {
    if (End* end = told(s, "connect")) end->on_connect();
  });
  target.on_ready([](net::Socket& s) {
    if (End* end = told(s, "ready")) end->on_ready();
  });
  target.on_data([](net::Socket& s, Buffer bytes) {
    if (End* end = told(s, "data")) end->on_data(std::move(bytes));
  });
  target.on_end([](net::Socket& s) {
    if (End* end = told(s, "end")) end->on_end();
  });
  target.on_drain([](net::Socket& s) {
    if (End* end = told(s, "drain")) end->on_drain();
  });
  target.on_finish([](net::Socket& s) {
    if (End* end = told(s, "finish")) end->on_finish();
  });
  target.on_timeout([](net::Socket& s) {
    if (End* end = told(s, "timeout")) end->on_timeout();
  });
  target.on_error([](net::Socket& s, const Error& error) {
    if (End* end = told(s, "error")) end->on_error(error);
  });
  target.on_close([](net::Socket& s, std::error_code code) {
    if (End* end = told(s, "close")) end->on_close(code);
  });
}

}  // namespace weir::test
