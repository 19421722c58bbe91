// pipe(), contract section 1.2: every byte once and in order, backpressure, and the ways to end it.
#include <gtest/gtest.h>

#include "tests/contract_world.h"
#include "tests/random.h"
#include "weir/net/pipe.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::pipe;
using net::unpipe;

constexpr std::size_t kMoreThanTheKernelTakes = 48 << 20;

// Writes `bytes` in random pieces, as fast as the socket takes them, then ends it.
class Pump {
 public:
  Pump(Socket& to, std::string bytes, std::uint64_t seed, std::size_t piece_max = 60'000)
      : bytes_(std::move(bytes)), random_(seed), piece_max_(piece_max) {
    to.on_drain([this](Socket& socket) { go(socket); });
    go(to);
  }

 private:
  void go(Socket& socket) {
    Write result = Write::ok;
    while (offset_ < bytes_.size() && result == Write::ok) {
      const std::size_t size = std::min(bytes_.size() - offset_, 1 + random_.below(piece_max_));
      result = socket.write(std::string_view(bytes_).substr(offset_, size));
      if (result == Write::ok || result == Write::full) offset_ += size;
    }
    if (offset_ == bytes_.size()) socket.end();
  }

  std::string bytes_;
  Random random_;
  std::size_t piece_max_;
  std::size_t offset_ = 0;
};

// Three connections to one server:  left ~ from -> to ~ right, where from and to are accepted; and
// a second destination. A pipe() joins the accepted ones.
class PipeTest : public ContractTest {
 protected:
  void set_up(const SocketOptions& accepted = {}, const SocketOptions& outer = {}) {
    PairOptions options;
    options.server.socket = accepted;
    options.peer_reads = false;
    listen(options);
    server_->on_connection([this](Socket& socket) { accepted_.push_back(&socket); });
    server_->on_close([this](Socket& socket, std::error_code) {
      for (Socket*& one : accepted_) {
        if (one == &socket) one = nullptr;
      }
    });
    Socket** const ends[] = {&left_, &right_, &right2_};
    for (std::size_t i = 0; i < 3; ++i) {
      *ends[i] = &another(outer);
      record(**ends[i], records_[i]);
      ASSERT_TRUE(run_until([&] { return accepted_.size() == i + 1 && records_[i].has("ready"); }));
    }
  }

  Socket& left() { return *left_; }
  Socket& right() { return *right_; }
  Socket& right2() { return *right2_; }
  Socket& from() { return *accepted_[0]; }
  Socket& to() { return *accepted_[1]; }
  Socket& to2() { return *accepted_[2]; }
  bool gone(std::size_t i) const { return accepted_[i] == nullptr; }
  Record& left_record() { return records_[0]; }
  Record& right_record() { return records_[1]; }
  Record& right2_record() { return records_[2]; }
  void right_reads() { record_data(right(), right_record()); }

  // `left` has given the source more than everything between it and `right` takes.
  void fill(const std::string& bytes) {
    left().write(Buffer::take(std::string(bytes)));
    ASSERT_TRUE(settle_until_constant([&] { return left().writable_length(); }));
    ASSERT_GT(left().writable_length(), 0U);
  }

  bool right_has(std::size_t size) {
    return run_until([&] { return right_record().bytes.size() >= size; });
  }

  Socket* left_ = nullptr;
  Socket* right_ = nullptr;
  Socket* right2_ = nullptr;
  Record records_[3];
  std::vector<Socket*> accepted_;
};

// ---- An echo ----

TEST_P(PipeTest, AnEchoOfRandomPiecesComesBackWhole) {
  RULES("1.2.6.1 1.2.6.3 1.2.6.7");
  for_seeds(3, [&](Random& random) {
    client_record_ = {};
    peer_record_ = {};
    listen({.client_reads = false, .peer_reads = false});
    server_->on_connection([](Socket& socket) { pipe(socket, socket); });
    const std::string sent = pattern(4 << 20, static_cast<unsigned>(random.below(1000)));
    std::string received;
    // The reader rests now and then, so that the echo's queue fills.
    client().on_data([&](Socket& socket, Buffer bytes) {
      received += bytes.view();
      if (!random.once_in(3)) return;
      socket.pause();
      reactor().defer([&] { client().resume(); });
    });
    ASSERT_TRUE(client().connect(to_).has_value());
    Pump pump(client(), sent, random.next());
    expect_all_gone();
    EXPECT_TRUE(received == sent) << received.size();
    EXPECT_EQ(client_record_.count("end"), 1);
    EXPECT_FALSE(peer_record_.closed_with);
  });
}

TEST_P(PipeTest, AnEchoWhoseClientReadsLateDoesNotLockUp) {
  RULES("1.2.6.2 1.2.6.7");
  listen({.peer_reads = false});
  server_->on_connection([](Socket& socket) { pipe(socket, socket); });
  client().pause();
  ASSERT_TRUE(client().connect(to_).has_value());
  const std::string sent = pattern(kMoreThanTheKernelTakes, 7);
  client().write(Buffer::take(std::string(sent)));
  ASSERT_TRUE(run_until([&] { return peer_ != nullptr; }));
  ASSERT_TRUE(settle_until_constant([&] { return client().writable_length(); }));
  EXPECT_GT(client().writable_length(), 0U) << "the echo waits for its reader";
  EXPECT_TRUE(peer().writable_needs_drain());
  client().resume();
  client().end();
  expect_all_gone();
  EXPECT_TRUE(client_record_.bytes == sent);
  EXPECT_GT(peer_record_.count("drain"), 0);
}

TEST_P(PipeTest, AnEchoOverAUnixSocketEndsWithItsClient) {
  RULES("1.2.6.1 1.2.6.3 1.2.6.7");
  listen({.peer_reads = false, .over_unix = true});
  server_->on_connection([](Socket& socket) { pipe(socket, socket); });
  ASSERT_TRUE(client().connect(to_).has_value());
  const std::string sent = pattern(3 << 20, 2);
  Pump pump(client(), sent, 5);
  expect_all_gone();
  EXPECT_TRUE(client_record_.bytes == sent);
  EXPECT_EQ(peer_record_.order().find("error"), std::string::npos);
}

// ---- From one socket to another ----

TEST_P(PipeTest, EveryDataIsWrittenAndTheEndEnds) {
  RULES("1.2.6.1 1.2.6.3");
  set_up();
  right_reads();
  std::string seen;
  from().on_data([&](Socket&, Buffer bytes) { seen += bytes.view(); });
  pipe(from(), to());
  const std::string sent = pattern(4 << 20, 31);
  Pump pump(left(), sent, 9);
  ASSERT_TRUE(run_until([&] { return right_record().has("end"); }));
  EXPECT_TRUE(right_record().bytes == sent);
  EXPECT_TRUE(seen == sent) << "other listeners get it as well";
  ASSERT_TRUE(run_until([&] { return gone(0) && gone(1); }));
  EXPECT_EQ(left_record().bytes, "") << "nothing goes the other way";
}

TEST_P(PipeTest, WithoutEndTheDestinationStaysOpen) {
  RULES("1.2.6.1 1.2.6.4");
  set_up();
  right_reads();
  pipe(from(), to(), {.end = false});
  left().end("piped");
  ASSERT_TRUE(run_until([&] { return gone(0); }));
  settle();
  EXPECT_EQ(right_record().bytes, "piped");
  EXPECT_FALSE(right_record().has("end"));
  EXPECT_TRUE(to().writable());
  to().end(", then by hand");
  ASSERT_TRUE(run_until([&] { return right_record().has("end"); }));
  EXPECT_EQ(right_record().bytes, "piped, then by hand");
}

TEST_P(PipeTest, ASlowReaderStopsTheReadingOfTheSource) {
  RULES("1.2.6.2");
  set_up();
  pipe(from(), to());
  const std::string sent = pattern(kMoreThanTheKernelTakes, 6);
  left().write(Buffer::take(std::string(sent)));
  std::size_t most = 0;
  std::uint64_t last = 0;
  int unchanged = 0;
  for (int round = 0; round < 20'000 && unchanged < 5; ++round) {
    reactor().run_once(1ms);
    most = std::max(most, to().writable_length());
    if (round % 50 != 0) continue;
    settle();
    unchanged = from().bytes_read() == last && last != 0 ? unchanged + 1 : 0;
    last = from().bytes_read();
  }
  ASSERT_EQ(unchanged, 5);
  EXPECT_GT(left().writable_length(), 0U) << "it is felt at the beginning";
  EXPECT_LT(from().bytes_read(), sent.size() / 2);
  EXPECT_TRUE(to().writable_needs_drain());
  // The mark, and what one receive may pass it by.
  EXPECT_LE(most, net::limits::kHighWaterDefault + limits::kReceiveChunkBytes);
  right_reads();
  left().end();
  ASSERT_TRUE(run_until([&] { return right_record().has("end"); }));
  EXPECT_TRUE(right_record().bytes == sent);
}

TEST_P(PipeTest, TheUsersOwnPauseHoldsDuringDrains) {
  RULES("1.2.6.2 1.2.2.1");
  set_up();
  right_reads();
  pipe(from(), to());
  left().write("before,");
  ASSERT_TRUE(right_has(7));
  from().pause();
  left().write("after");
  to().write(std::string(net::limits::kHighWaterDefault, 'x'));  // a drain of the user's
  ASSERT_TRUE(right_has(7 + net::limits::kHighWaterDefault));
  ASSERT_TRUE(look_until([&] { return arrived(from()) == 12 && !to().writable_needs_drain(); }));
  settle();
  EXPECT_TRUE(from().is_paused());
  EXPECT_EQ(right_record().bytes.size(), 7 + net::limits::kHighWaterDefault);
  from().resume();
  ASSERT_TRUE(right_has(12 + net::limits::kHighWaterDefault));
  EXPECT_TRUE(right_record().bytes.ends_with("xafter"));
}

TEST_P(PipeTest, AnErrorOfTheSourceDoesNotEndTheDestination) {
  RULES("1.2.6.5");
  for (const bool by_the_peer : {false, true}) {
    accepted_.clear();
    for (Record& one : records_) one = {};
    set_up();
    right_reads();
    pipe(from(), to());
    left().write("piped");
    ASSERT_TRUE(right_has(5));
    if (by_the_peer) {
      ASSERT_TRUE(left().reset_and_destroy().has_value());
    } else {
      from().destroy(errno_code(EPROTO));
    }
    ASSERT_TRUE(run_until([&] { return gone(0); }));
    settle();
    EXPECT_EQ(peer_record_.count("error"), by_the_peer ? 2 : 1);
    EXPECT_FALSE(right_record().has("end"));
    EXPECT_TRUE(to().writable());
    EXPECT_EQ(to().write(" and alive"), Write::ok);
    ASSERT_TRUE(right_has(15));
    others_.clear();
    server_.reset();
    if (!by_the_peer) continue;
    EXPECT_EQ(peer_record_.errors[1].code, errno_code(ECONNRESET));
  }
}

TEST_P(PipeTest, TheEndOfTheDestinationEndsThePipe) {
  RULES("1.2.6.6");
  enum class Ending { close, error, reset };
  for (const Ending ending : {Ending::close, Ending::error, Ending::reset}) {
    accepted_.clear();
    for (Record& one : records_) one = {};
    set_up();
    std::string seen;
    from().on_data([&](Socket&, Buffer bytes) { seen += bytes.view(); });
    pipe(from(), to());
    const std::string sent = pattern(kMoreThanTheKernelTakes, 4);
    fill(sent);  // the destination is in the middle of it
    EXPECT_LT(seen.size(), sent.size());
    if (ending == Ending::close) to().destroy();
    if (ending == Ending::error) to().destroy(errno_code(EPROTO));
    if (ending == Ending::reset) right().reset_and_destroy().value();
    // The listener goes on and gets everything.
    ASSERT_TRUE(run_until([&] { return seen.size() == sent.size(); }));
    EXPECT_TRUE(seen == sent);
    EXPECT_TRUE(gone(1));
    EXPECT_FALSE(from().destroyed());
    EXPECT_EQ(from().write("alive"), Write::ok);
    others_.clear();
    server_.reset();
  }
}

TEST_P(PipeTest, WithoutThePipeNobodyConsumes) {
  RULES("1.2.6.6 1.2.1.5");
  set_up();
  pipe(from(), to());
  left().write("gone with it,");
  ASSERT_TRUE(look_until([&] { return arrived(right()) == 13; }));
  to().destroy();
  ASSERT_TRUE(run_until([&] { return gone(1); }));
  left().end("kept");
  ASSERT_TRUE(look_until([&] { return arrived(from()) == 17 && left_record().has("finish"); }));
  settle();
  ASSERT_FALSE(gone(0));
  EXPECT_FALSE(from().destroyed());
  std::string late;
  from().on_data([&](Socket&, Buffer bytes) { late += bytes.view(); });
  ASSERT_TRUE(run_until([&] { return gone(0); }));
  EXPECT_EQ(late, "kept");
}

// ---- Queues that refuse, several pipes at one socket ----

SocketOptions tiny_queue() { return {.queue = {.high_water = 512, .bytes_max = 1024}}; }

TEST_P(PipeTest, ADestinationThatRefusesLosesNothing) {
  RULES("1.2.6.1 1.2.6.2 1.2.6.3");
  set_up(tiny_queue());
  right_reads();
  pipe(from(), to());
  // Something of the user's is before it in the queue, now and then, so that writes are refused.
  int refused = 0;
  std::size_t extra = 0;
  from().on_data([&](Socket&, Buffer) {
    for (int i = 0; i < 3; ++i) {
      const Write result = to().write(std::string(600, '\xff'));
      if (result == Write::refused) ++refused;
      if (result == Write::ok || result == Write::full) extra += 600;
    }
  });
  std::string sent = pattern(1 << 20, 3);
  for (char& byte : sent) byte = static_cast<char>(byte & 0x7f);
  Pump pump(left(), sent, 3, 3000);
  ASSERT_TRUE(run_until([&] { return right_record().has("end"); }));
  EXPECT_GT(refused, 0);
  EXPECT_GT(extra, 0U);
  EXPECT_EQ(right_record().bytes.size(), sent.size() + extra);
  std::erase(right_record().bytes, '\xff');
  EXPECT_TRUE(right_record().bytes == sent);
}

TEST_P(PipeTest, TwoSourcesIntoATinyQueueLoseNothing) {
  RULES("1.2.6.1 1.2.6.2");
  set_up(tiny_queue());
  record_data(right2(), right2_record());
  // left ~ from -> to2 ~ right2, right ~ to -> to2: each sends its own half of the byte values.
  pipe(from(), to2(), {.end = false});
  pipe(to(), to2(), {.end = false});
  std::string low = pattern(1 << 20, 21);
  std::string high = pattern(1 << 20, 22);
  for (char& byte : low) byte = static_cast<char>(byte & 0x7f);
  for (char& byte : high) byte = static_cast<char>(byte | 0x80);
  Pump pump_low(left(), low, 1, 5000);
  Pump pump_high(right(), high, 2, 5000);
  ASSERT_TRUE(run_until([&] { return right2_record().bytes.size() == low.size() + high.size(); }));
  ASSERT_TRUE(run_until([&] { return gone(0) && gone(1); }));
  std::string got_low;
  std::string got_high;
  for (const char byte : right2_record().bytes) ((byte & 0x80) != 0 ? got_high : got_low) += byte;
  EXPECT_TRUE(got_low == low);
  EXPECT_TRUE(got_high == high);
  EXPECT_FALSE(right2_record().has("end"));
}

TEST_P(PipeTest, OneSourceGoesAtTheSpeedOfItsSlowestDestination) {
  RULES("1.2.6.1 1.2.6.2 1.2.6.3");
  set_up();
  right_reads();
  pipe(from(), to());
  pipe(from(), to2());
  const std::string sent = pattern(kMoreThanTheKernelTakes, 14);
  fill(sent);
  EXPECT_LT(right_record().bytes.size(), sent.size()) << "the fast one waits for the slow one";
  EXPECT_TRUE(to2().writable_needs_drain());
  EXPECT_FALSE(to().writable_needs_drain());
  record_data(right2(), right2_record());
  left().end();
  ASSERT_TRUE(run_until([&] { return right_record().has("end") && right2_record().has("end"); }));
  EXPECT_TRUE(right_record().bytes == sent);
  EXPECT_TRUE(right2_record().bytes == sent);
}

TEST_P(PipeTest, TheSlowDestinationsDeathFreesTheFastOne) {
  RULES("1.2.6.2 1.2.6.6");
  set_up();
  right_reads();
  pipe(from(), to());
  pipe(from(), to2());
  const std::string sent = pattern(kMoreThanTheKernelTakes, 15);
  fill(sent);
  ASSERT_TRUE(right2().reset_and_destroy().has_value());
  left().end();
  ASSERT_TRUE(run_until([&] { return right_record().has("end"); }));
  EXPECT_TRUE(right_record().bytes == sent);
}

// ---- Endings at any moment ----

TEST_P(PipeTest, WhatTheSourceLeavesIsStillDelivered) {
  RULES("1.2.6.1 1.2.6.3");
  for (const bool tiny : {false, true}) {
    accepted_.clear();
    for (Record& one : records_) one = {};
    set_up(tiny ? tiny_queue() : SocketOptions());
    pipe(from(), to());
    const std::string sent = pattern(6 << 20, 16);
    Pump pump(left(), sent, 16);
    ASSERT_TRUE(settle_until_constant([&] { return arrived(right()); }));
    right_reads();
    ASSERT_TRUE(run_until([&] { return right_record().has("end"); }));
    EXPECT_TRUE(right_record().bytes == sent);
    others_.clear();
    server_.reset();
  }
}

TEST_P(PipeTest, ADestroyedSourceStillOwesWhatItDelivered) {
  RULES("1.2.6.1 1.2.6.5");
  set_up(tiny_queue());
  std::string delivered;
  from().on_data([&](Socket&, Buffer bytes) { delivered += bytes.view(); });
  pipe(from(), to());
  // The user's bytes fill the destination's queue, so that what comes from the pipe is refused.
  const std::string before = pattern(kMoreThanTheKernelTakes, 1);
  to().write(Buffer::take(std::string(before)));
  ASSERT_TRUE(settle_until_constant([&] { return to().writable_length(); }));
  ASSERT_GT(to().writable_length(), 1024U);
  left().write("owed");
  ASSERT_TRUE(run_until([&] { return delivered == "owed"; }));
  from().destroy(errno_code(EPROTO));
  ASSERT_TRUE(run_until([&] { return gone(0); }));
  right_reads();
  ASSERT_TRUE(right_has(before.size() + 4));
  EXPECT_TRUE(right_record().bytes == before + "owed");
  settle();
  EXPECT_FALSE(right_record().has("end"));
  EXPECT_EQ(to().write("."), Write::ok);
}

TEST_P(PipeTest, EitherSideMayDieInTheMiddle) {
  RULES("1.2.6.1 1.2.6.5 1.2.6.6");
  for_seeds(20, [&](Random& random) {
    accepted_.clear();
    for (Record& one : records_) one = {};
    set_up(random.once_in(2) ? tiny_queue() : SocketOptions());
    right_reads();
    record_data(right2(), right2_record());
    pipe(from(), to());
    if (random.once_in(2)) pipe(from(), to2());
    if (random.once_in(2)) pipe(to(), from());
    const std::string sent = pattern(1 << 20, 2);
    Pump pump(left(), sent, random.next());
    const std::size_t when = random.below(sent.size());
    const std::uint64_t victim = random.below(4);
    int done = 0;
    right().on_data([&](Socket&, Buffer) {
      if (right_record().bytes.size() < when || ++done != 1) return;
      if (victim < 2 && !gone(victim)) accepted_[victim]->destroy(errno_code(EPROTO));
      if (victim == 2) left().destroy();
      if (victim == 3) right().reset_and_destroy().value();
    });
    ASSERT_TRUE(run_until([&] { return done != 0; }));
    settle();
    const std::string& received = right_record().bytes;
    EXPECT_TRUE(received == sent.substr(0, received.size())) << "a prefix, whatever happened";
    EXPECT_TRUE(victim == 3 || !right_record().has("error"));
    others_.clear();
    server_.reset();
    run_for(1ms);
    EXPECT_EQ(reactor().counters().queue_bytes, 0U);
  });
}

TEST_P(PipeTest, SocketsOfTheUsersMayBeDeletedWhilePiped) {
  RULES("1.2.6.6");
  for (const bool delete_source : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    listen();
    auto source = std::make_unique<Socket>(reactor());
    auto destination = std::make_unique<Socket>(reactor());
    server_->on_connection([](Socket& socket) { socket.write("greeting"); });
    ASSERT_TRUE(source->connect(to_).has_value());
    ASSERT_TRUE(destination->connect(to_).has_value());
    pipe(*source, *destination);
    ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "greeting"; }));
    (delete_source ? source : destination).reset();
    ASSERT_TRUE(run_until([&] { return server_->connections() == 1; }));
    settle();
    Socket& left_over = delete_source ? *destination : *source;
    EXPECT_FALSE(left_over.destroyed());
    EXPECT_EQ(left_over.write(", alone"), Write::ok);
    ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "greeting, alone"; }));
  }
}

// ---- unpipe() ----

TEST_P(PipeTest, UnpipeEndsThatPipeAlone) {
  RULES("1.2.6.1 1.2.6.3");
  set_up();
  right_reads();
  record_data(right2(), right2_record());
  std::string seen;
  from().on_data([&](Socket&, Buffer bytes) { seen += bytes.view(); });
  unpipe(from(), to());  // there is none yet: harmless
  pipe(from(), to());
  pipe(from(), to2());
  left().write("one,");
  ASSERT_TRUE(run_until([&] { return right_record().bytes == "one," && seen == "one,"; }));
  unpipe(from(), to());
  unpipe(from(), to());
  unpipe(to(), from());
  left().end("two");
  ASSERT_TRUE(run_until([&] { return right2_record().has("end") && gone(0); }));
  settle();
  EXPECT_EQ(right_record().bytes, "one,");
  EXPECT_FALSE(right_record().has("end"));
  EXPECT_EQ(right2_record().bytes, "one,two");
  EXPECT_EQ(seen, "one,two");
  EXPECT_TRUE(to().writable());
}

TEST_P(PipeTest, UnpipeOfABlockedPipeLetsTheSourceGoOn) {
  RULES("1.2.6.2");
  set_up();
  std::string seen;
  from().on_data([&](Socket&, Buffer bytes) { seen += bytes.view(); });
  pipe(from(), to());
  const std::string sent = pattern(kMoreThanTheKernelTakes, 11);
  fill(sent);
  EXPECT_LT(seen.size(), sent.size());
  unpipe(from(), to());
  ASSERT_TRUE(run_until([&] { return seen.size() == sent.size(); }));
  EXPECT_TRUE(seen == sent);
  EXPECT_FALSE(to().destroyed());
}

TEST_P(PipeTest, UnpipeInsideData) {
  RULES("1.2.6.1");
  set_up();
  right_reads();
  pipe(from(), to());
  std::size_t seen = 0;
  from().on_data([&](Socket& self, Buffer bytes) {
    seen += bytes.size();
    unpipe(self, to());
  });
  left().write("first");
  ASSERT_TRUE(run_until([&] { return seen == 5; }));
  left().write("second");
  ASSERT_TRUE(run_until([&] { return seen == 11; }));
  settle();
  EXPECT_TRUE(right_record().bytes.empty() || right_record().bytes == "first");
}

// ---- Before the connection, and through a proxy ----

TEST_P(PipeTest, APipeMayBeMadeBeforeItsSocketsConnect) {
  RULES("1.2.6.1 1.2.6.3");
  for (const bool source_first : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    listen();
    const std::string sent = pattern(300'000, 19);
    int accepted = 0;
    server_->on_connection([&](Socket& socket) {
      if (++accepted != (source_first ? 1 : 2)) return;  // the other end of the destination
      socket.write(sent);
      socket.end();
    });
    Socket source(reactor());
    Socket destination(reactor());
    pipe(source, destination);
    Socket& first = source_first ? source : destination;
    Socket& second = source_first ? destination : source;
    ASSERT_TRUE(first.connect(to_).has_value());
    ASSERT_TRUE(run_until([&] { return server_->connections() == 1 && !first.connecting(); }));
    settle();
    ASSERT_TRUE(second.connect(to_).has_value());
    ASSERT_TRUE(run_until([&] { return peer_record_.bytes.size() == sent.size(); }));
    EXPECT_TRUE(peer_record_.bytes == sent);
    ASSERT_TRUE(run_until([&] { return server_->connections() == 0; }));
  }
}

// A proxy: each connection is piped both ways with one that it makes to the pair's server.
class ProxyTest : public ContractTest {
 protected:
  void start_proxy() {
    static const SocketOptions half_open{.allow_half_open = true};
    proxy_ = std::make_unique<Server>(reactor(), ServerOptions{.socket = half_open});
    proxy_->on_connection([this](Socket& inside) {
      Socket& outside = *outsides_.emplace_back(std::make_unique<Socket>(reactor(), half_open));
      outside.on_error([](Socket&, const Error&) {});
      pipe(inside, outside);
      pipe(outside, inside);
      outside.connect(to_).value();
    });
    proxy_->on_error([](Socket&, const Error&) {});
    const auto bound = proxy_->listen({.port = 0, .host = "127.0.0.1"});
    ASSERT_TRUE(bound.has_value());
    proxy_at_ = {.host = "127.0.0.1", .port = bound->port()};
  }
  void expect_closed() {
    EXPECT_TRUE(run_until([&] {
      const auto closed = [](const auto& socket) { return socket->destroyed(); };
      return client_record_.closes != 0 && server_->connections() == 0 &&
             proxy_->connections() == 0 && std::ranges::all_of(outsides_, closed);
    }));
    EXPECT_FALSE(client_record_.closed_with);
    EXPECT_FALSE(peer_record_.closed_with);
  }
  void TearDown() override {
    outsides_.clear();
    proxy_.reset();
    ContractTest::TearDown();
  }

  std::unique_ptr<Server> proxy_;
  std::vector<std::unique_ptr<Socket>> outsides_;
  net::ConnectOptions proxy_at_;
};

TEST_P(ProxyTest, BothWaysWithHalfCloseEachWay) {
  RULES("1.2.6.1 1.2.6.2 1.2.6.3");
  PairOptions options;
  options.server.socket.allow_half_open = true;
  listen(options);
  start_proxy();
  const std::string question = pattern(4 << 20, 40);
  const std::string answer = pattern(4 << 20, 41);
  std::unique_ptr<Pump> answering;
  server_->on_end([&](Socket& socket) {
    EXPECT_TRUE(peer_record_.bytes == question);
    answering = std::make_unique<Pump>(socket, answer, 42);
  });
  ASSERT_TRUE(client().connect(proxy_at_).has_value());
  Pump asking(client(), question, 43);
  expect_closed();
  EXPECT_TRUE(client_record_.bytes == answer);
  EXPECT_EQ(client_record_.count("end"), 1);
}

TEST_P(ProxyTest, BothWaysAtOnce) {
  RULES("1.2.6.1 1.2.6.2 1.2.6.3");
  listen();
  start_proxy();
  const std::string up = pattern(4 << 20, 50);
  const std::string down = pattern(5 << 20, 51);
  client().set_allow_half_open(true);
  std::unique_ptr<Pump> downwards;
  server_->on_connection([&](Socket& socket) {
    socket.set_allow_half_open(true);
    downwards = std::make_unique<Pump>(socket, down, 52);
  });
  ASSERT_TRUE(client().connect(proxy_at_).has_value());
  Pump upwards(client(), up, 53);
  expect_closed();
  EXPECT_TRUE(peer_record_.bytes == up);
  EXPECT_TRUE(client_record_.bytes == down);
}

TEST_P(PipeTest, PayloadIsNotCopied) {
  RULES("1.2.6.1");
  constexpr std::size_t kEnough = 100 << 20;  // no backpressure: nothing stays at the source
  set_up({.queue = {.high_water = kEnough, .bytes_max = kEnough}});
  settle();
  const std::size_t idle = reactor().counters().receive_chunks;
  const std::string before(kMoreThanTheKernelTakes, 'x');
  to().write(Buffer::take(std::string(before)));
  pipe(from(), to());
  std::size_t delivered = 0;
  from().on_data([&](Socket&, Buffer bytes) { delivered += bytes.size(); });
  const std::string sent = pattern(1 << 20, 60);
  left().write(sent);
  ASSERT_TRUE(run_until([&] { return delivered == sent.size(); }));
  settle();
  EXPECT_GT(to().writable_length(), sent.size());
  // Nobody else has it any more: the destination's queue is made of receive memory.
  EXPECT_GT(reactor().counters().receive_chunks, idle);
  right_reads();
  ASSERT_TRUE(right_has(before.size() + sent.size()));
  EXPECT_TRUE(right_record().bytes == before + sent);
  settle();
  EXPECT_LE(reactor().counters().receive_chunks, idle + 1);
}

WEIR_ON_ALL_BACKENDS(PipeTest);
WEIR_ON_ALL_BACKENDS(ProxyTest);

}  // namespace
}  // namespace weir::test
