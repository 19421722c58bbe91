// The connections of a soak and the one thread that drives them. It stands on plain epoll and
// shares no code with the library, so that it can judge it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "bench/histogram.h"
#include "bench/load_pattern.h"
#include "bench/soak_random.h"

namespace weir::bench {

class SoakCrowd;

// What was done, and what came of it. An operation is what the server owes an answer for: a
// message, a request, the end of a connection.
struct SoakTally {
  std::uint64_t connections = 0;
  std::uint64_t resets = 0;          // connections that we ended by RST
  std::uint64_t bytes = 0;           // received, and right
  std::uint64_t begun = 0;           // operations
  std::uint64_t completed = 0;
  std::uint64_t abandoned = 0;       // their connection was ended by us
  std::uint64_t wrong = 0;           // answers that were wrong, and connections that were lost
  // Of what was wrong, and of what was not finished: the first few.
  std::vector<std::string> reports;

  std::uint64_t unfinished() const { return begun - completed - abandoned; }
  void add(const SoakTally& other);
};

// One connection, and what it is there for. It is made by SoakCrowd::enter(), and gone when leave()
// or reset() returns to the crowd.
class SoakPeer {
 public:
  SoakPeer(const SoakPeer&) = delete;
  SoakPeer& operator=(const SoakPeer&) = delete;
  virtual ~SoakPeer();

  // Edge-triggered: there is something to read, room to write, or the end.
  virtual void on_ready(std::uint32_t events) = 0;
  // The moment asked for by SoakCrowd::wake() has come.
  virtual void on_time() {}
  // Nothing new is to be begun. What has been is completed at full speed; then the connection ends.
  virtual void wind_up() = 0;
  // For reports, as in "a slow reader".
  virtual const char* name() const = 0;
  // For reports, as in "12 of 20 bytes".
  virtual std::string missing() const = 0;

 protected:
  explicit SoakPeer(SoakCrowd& crowd) : crowd_(crowd) {}

  // True with a non-blocking socket that is connected or will be. Otherwise it is reported, and the
  // peer leaves.
  bool connect(int receive_buffer = 0);
  int fd() const { return fd_; }
  bool gone() const { return gone_; }
  SoakCrowd& crowd() const { return crowd_; }

  // Ends our side. False: the connection is not made yet.
  bool finish_sending();

  // The server owes so many answers more; has given one; will not have to give any.
  void begin(std::uint64_t operations = 1);
  void complete();
  void abandon();

  // Reports what is wrong; the connection is reset and the peer gone.
  void fail(const std::string& what);
  void fail_errno(const std::string& what);
  // Ends the connection by close(2): with a FIN, or a RST if something was not read.
  void leave();
  void reset();

 private:
  friend class SoakCrowd;

  SoakCrowd& crowd_;
  int fd_ = -1;
  std::uint32_t slot_ = 0;
  std::uint64_t owed_ = 0;
  bool gone_ = false;
};

class SoakCrowd {
 public:
  SoakCrowd(std::uint16_t port, std::uint64_t seed);
  SoakCrowd(const SoakCrowd&) = delete;
  SoakCrowd& operator=(const SoakCrowd&) = delete;
  ~SoakCrowd();

  template <class Peer, class... Arguments>
  Peer* enter(Arguments&&... arguments) {
    auto made = std::make_unique<Peer>(*this, std::forward<Arguments>(arguments)...);
    Peer* const peer = made.get();
    place(std::move(made));
    peer->start();
    return peer;
  }

  // Calls the peer's on_time() at the first turn after `moment`, if it is still there.
  void wake(SoakPeer& peer, std::int64_t moment);

  // Serves what is ready. Waits for it, and for moments that were asked for, until `until`; the
  // last 50 us of that without sleeping if `spins`.
  void turn(std::int64_t until, bool spins);

  void wind_up();
  // Notes what everybody still waits for, and ends their connections.
  void give_up();

  std::size_t size() const { return population_; }
  std::uint16_t port() const { return port_; }
  SoakRandom& random() { return random_; }
  SoakTally& tally() { return tally_; }
  const LoadPattern& pattern() const { return pattern_; }
  // For everybody's received bytes.
  char* buffer() { return buffer_.get(); }
  static constexpr std::size_t kBufferSize = LoadPattern::kMaxRun;

  // Where latencies go; null: nowhere.
  void record_into(Histogram* latency) { latency_ = latency; }
  void record(std::int64_t due);

  // Something is wrong, which says so.
  void report(const std::string& what);

 private:
  friend class SoakPeer;

  struct Slot {
    std::unique_ptr<SoakPeer> peer;
    // Of whoever is here now: what was meant for those before is not for this one.
    std::uint32_t generation = 0;
  };
  struct Wish {
    std::int64_t moment;
    std::uint32_t slot;
    std::uint32_t generation;
    bool operator>(const Wish& other) const { return moment > other.moment; }
  };

  void note(const std::string& what);
  void place(std::unique_ptr<SoakPeer> peer);
  bool watch(SoakPeer& peer);
  void remove(SoakPeer& peer, bool reset);
  SoakPeer* find(std::uint32_t slot, std::uint32_t generation);
  void wait(std::int64_t until, bool spins);
  void serve_wishes();

  const std::uint16_t port_;
  SoakRandom random_;
  LoadPattern pattern_;
  std::unique_ptr<char[]> buffer_;
  int epoll_ = -1;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  // Peers that are gone, until nobody is in one of their functions any more.
  std::vector<std::unique_ptr<SoakPeer>> gone_;
  std::priority_queue<Wish, std::vector<Wish>, std::greater<>> wishes_;
  std::size_t population_ = 0;
  SoakTally tally_;
  Histogram* latency_ = nullptr;
};

}  // namespace weir::bench
