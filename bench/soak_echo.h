// What a soak does to an echo server.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "bench/soak_stream.h"

namespace weir::bench {

// A connection whose every byte must come back, in order, once. What is sent follows from the
// connection's number and the position, as LoadPattern says.
class EchoStream : public SoakStream {
 protected:
  EchoStream(SoakCrowd& crowd, std::uint64_t number, const SoakStay& stay = {})
      : SoakStream(crowd, stay), start_(LoadPattern::start_of(number)) {}

  // Sends what is granted, in pieces of random sizes.
  void send_more() override;
  void take(std::string_view bytes) override;

  std::string some_of(std::uint64_t bytes) const;

  // Positions in the stream: received <= sent <= granted.
  std::uint64_t granted_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;

 private:
  std::string wrong_byte(std::uint64_t position, char got) const;

  const std::uint64_t start_;
};

// Messages come whenever the plan of arrivals says so. The time of each is taken from then to the
// arrival of its last byte.
class SteadyEcho final : public EchoStream {
 public:
  SteadyEcho(SoakCrowd& crowd, std::uint64_t number) : EchoStream(crowd, number) {}

  // A message that was due at that moment. False: too many are under way.
  bool send_message(std::int64_t due);

  void wind_up() override;
  const char* name() const override { return "a steady connection"; }
  std::string missing() const override;

 private:
  struct Message {
    std::uint64_t end;
    std::int64_t due;
  };

  void take(std::string_view bytes) override;
  void at_end() override;
  void settle() override;

  std::deque<Message> under_way_;
  bool winding_up_ = false;
  bool ended_ = false;
};

// A connection that comes, sends some bytes and goes.
struct EchoVisit {
  std::uint64_t bytes = 0;
  // Our FIN comes behind the last byte that is sent. Otherwise when all are back.
  bool half_close = false;
  SoakStay stay;
};

class EchoVisitor final : public EchoStream {
 public:
  EchoVisitor(SoakCrowd& crowd, std::uint64_t number, const EchoVisit& visit);

  const char* name() const override;
  std::string missing() const override;

 private:
  void at_end() override;
  void settle() override;

  const bool half_close_;
  bool ended_ = false;
};

}  // namespace weir::bench
