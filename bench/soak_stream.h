#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bench/soak_crowd.h"

namespace weir::bench {

// How a connection behaves, whatever it speaks. Moments are of monotonic_now(); 0 is none.
struct SoakStay {
  // Until then it reads a little now and then, from a small buffer.
  std::int64_t slow_until = 0;
  // It waits for nothing, and is gone then.
  std::int64_t leaves_at = 0;
  // By RST. Otherwise by close(2), which sends one only if something has come and was not read.
  bool resets = true;
};

// A connection that sends what it has to, and looks at what comes.
class SoakStream : public SoakPeer {
 public:
  void start();
  void on_ready(std::uint32_t events) final;
  void on_time() final;
  void wind_up() override;

 protected:
  explicit SoakStream(SoakCrowd& crowd, const SoakStay& stay = {})
      : SoakPeer(crowd), stay_(stay) {}

  // As much as the kernel takes.
  virtual void send_more() = 0;
  // Bytes that have come, in the crowd's buffer.
  virtual void take(std::string_view bytes) = 0;
  // The server's FIN.
  virtual void at_end() = 0;
  // Everything that can be read and sent for now has been.
  virtual void settle() {}

  // For send_more(): how many of the bytes the kernel took. 0 also after a failure.
  std::size_t send_some(std::string_view bytes);

  bool is_slow() const { return stay_.slow_until != 0; }
  bool leaves() const { return stay_.leaves_at != 0; }

 private:
  void pump();
  void sip();
  void depart();
  bool receive(std::size_t most);

  SoakStay stay_;
  // True once an event announced the server's end: a short receive then proves nothing.
  bool read_to_end_ = false;
};

}  // namespace weir::bench
