// Reads what a client receives, strictly: framing, order and every byte.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/http_swarm_run.h"

namespace weir::test::http_swarm {

class Reader {
 public:
  Reader(Run& run, Line& line) : run_(run), line_(line) {}

  void take(std::string_view bytes);
  // The server's FIN.
  void end();

  // Final responses, all of them received.
  std::size_t answered() const noexcept { return answered_; }
  // The request with this index may send its body.
  bool goes_on(std::size_t index) const noexcept {
    return index < answered_ || (index == answered_ && continued_);
  }
  // The response that is coming, or came last, is the last one.
  bool said_close() const noexcept { return says_close_ || over_; }
  bool over() const noexcept { return over_; }
  bool ended() const noexcept { return ended_; }
  bool tunnelled() const noexcept { return part_ == Part::tunnel; }
  // After the end of a connection that nothing excuses: what should have come. Empty: nothing.
  std::string missing() const;
  // The server may have closed the connection by now, for all that is known here.
  bool may_be_closed() const;
  std::string state() const;

 private:
  enum class Part : std::uint8_t {
    head, sized, chunk_size, chunk, chunk_end, trailers, until_close, tunnel
  };
  struct Head {
    int status = 0;
    std::vector<std::pair<std::string_view, std::string_view>> fields;
    std::optional<std::string_view> get(std::string_view name) const;
    std::size_t count(std::string_view name) const;
  };

  void fail(std::string_view what);
  bool refuse(std::string_view what);  // false
  const Item& item() const { return line_.item(answered_); }
  const Told& told() const { return line_.told[answered_]; }
  std::string_view rest() const { return std::string_view(input_).substr(at_); }
  bool step();
  bool read_head();
  bool parse(std::string_view text, Head& head);
  void take_interim(const Head& head);
  void take_final(const Head& head, std::string_view text);
  void check_own_head(const Head& head);
  void check_connection(const Head& head);
  void check_http_answer(const Head& head, std::string_view text);
  void begin_body(const Head& head);
  void check_framing(const Head& head, bool bodiless);
  void begin_tunnel(const Head& head);
  bool read_bytes(std::uint64_t limit);
  bool read_chunk_size();
  bool read_trailer();
  void complete();
  bool is_idle_close() const;
  bool is_silent_too_long() const;
  bool is_too_much() const;
  Instant last_moment() const { return ended_ ? ended_at_ : run_.now(); }

  Run& run_;
  Line& line_;
  std::string input_;
  std::size_t at_ = 0;
  Part part_ = Part::head;
  std::size_t answered_ = 0;
  std::uint64_t received_ = 0;  // of the body
  std::uint64_t left_ = 0;      // of the sized body, or the chunk
  std::string trailers_;
  unsigned interims_ = 0;
  bool continued_ = false;   // 100 came
  bool own_ = false;         // the response is the handler's
  bool says_close_ = false;
  bool limit_ = false;       // requests_per_socket_max is reached: only 503 follows
  bool over_ = false;        // nothing may follow
  bool error_seen_ = false;  // http has refused something
  bool ended_ = false;       // FIN
  Instant ended_at_;
  bool cut_ = false;         // in the middle of a response
};

}  // namespace weir::test::http_swarm
