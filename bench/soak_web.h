// What a soak does to a web server.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/soak_answer.h"
#include "bench/soak_frames.h"
#include "bench/soak_site.h"
#include "bench/soak_stream.h"

namespace weir::bench {

// A connection that sends what is in its queue.
class WebStream : public SoakStream {
 protected:
  WebStream(SoakCrowd& crowd, const SoakStay& stay) : SoakStream(crowd, stay) {}

  void queue(std::string_view bytes) { out_ += bytes; }
  bool all_sent() const { return sent_ == out_.size(); }
  void send_more() override;

 private:
  std::string out_;
  std::size_t sent_ = 0;
};

// One that speaks HTTP: every answer is checked, and they come in the order of the requests.
class HttpStream : public WebStream {
 protected:
  HttpStream(SoakCrowd& crowd, const SoakStay& stay)
      : WebStream(crowd, stay), reader_(crowd.pattern()) {}

  void take(std::string_view bytes) override;
  void at_end() override;
  // Our FIN, once.
  void end();
  bool ended() const { return ended_; }
  std::string missing() const override;

  AnswerReader reader_;

 private:
  void take_answer();

  bool ended_ = false;
};

// A kept connection. Requests come whenever the plan of arrivals says so, pipelined if need be.
class SteadyHttp final : public HttpStream {
 public:
  explicit SteadyHttp(SoakCrowd& crowd) : HttpStream(crowd, {}) {}

  // A request that was due at that moment. False: too many wait.
  bool send_request(SoakRequest request, std::int64_t due);

  void wind_up() override;
  const char* name() const override { return "a kept HTTP connection"; }

 private:
  void settle() override;

  bool winding_up_ = false;
};

// A connection with a few requests, or a part of one.
struct HttpVisit {
  std::string text;
  std::vector<SoakAnswer> answers;
  enum class End : std::uint8_t {
    answered,    // FIN behind the last answer
    half_close,  // FIN behind the last request
    refused,     // the server ends it
  };
  End end = End::answered;
  SoakStay stay;
};

class HttpVisitor final : public HttpStream {
 public:
  HttpVisitor(SoakCrowd& crowd, const HttpVisit& visit);
  const char* name() const override;

 private:
  void settle() override;

  const HttpVisit::End end_;
};

// A WebSocket whose messages come back. A visitor sends some large ones at once; a steady one
// whenever the plan of arrivals says so.
struct SocketVisit {
  std::uint64_t number = 0;
  int messages = 0;
  std::uint64_t size = 0;
  SoakStay stay;
};

class SocketPeer final : public WebStream {
 public:
  SocketPeer(SoakCrowd& crowd, const SocketVisit& visit);

  // A message that was due at that moment. False: too many wait.
  bool send_message(std::uint64_t size, std::int64_t due);
  // Likewise, of any size, in parts, or a ping.
  bool send_any(std::int64_t due);

  void wind_up() override;
  const char* name() const override;
  std::string missing() const override;

 private:
  void take(std::string_view bytes) override;
  void at_end() override;
  void settle() override;
  void take_opening(std::string_view& bytes);
  void take_frames(std::string_view bytes);
  void queue_frame(std::string_view frame);

  const std::uint64_t number_;
  const bool visits_;
  FrameReader reader_;
  std::string opening_;
  bool open_ = false;
  // Frames that wait for the opening.
  std::string early_;
  std::uint64_t position_ = 0;
  bool winding_up_ = false;
  bool closing_ = false;  // our Close frame is queued
  bool closed_ = false;   // the server's has come
};

}  // namespace weir::bench
