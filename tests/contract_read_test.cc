// The readable side, contract section 1.2: who is delivered what and when, the end, counters.
#include <gtest/gtest.h>

#include "tests/contract_world.h"
#include "weir/net/pipe.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using net::Encoding;
using net::ReadyState;

constexpr std::size_t kMoreThanTheKernelTakes = 48 << 20;

class ReadTest : public ContractTest {};

// ---- 1.2.1: without a consumer ----

TEST_P(ReadTest, NothingIsDeliveredBeforeAConsumerCame) {
  RULES("1.2.1.1 1.2.1.4 1.2.1.5");
  enum class Start { listener, resume, pipe };
  for (const Start start : {Start::listener, Start::resume, Start::pipe}) {
    client_record_ = {};
    peer_record_ = {};
    join(nobody_reads_at_client());
    peer().write("early ");
    peer().write("bytes");
    peer().end();
    ASSERT_TRUE(look_until([&] { return arrived(client()) == 11; }));
    settle();
    EXPECT_EQ(client_record_.order(), "connect ready") << "neither 'end' nor 'close'";
    EXPECT_FALSE(client().destroyed());
    EXPECT_EQ(client().write("."), Write::ok) << "it is still open";
    if (start == Start::listener) record_data(client(), client_record_);
    if (start == Start::resume) client().resume();
    if (start == Start::pipe) net::pipe(client(), client());
    EXPECT_EQ(client_record_.bytes, "") << "an event inside the call";
    expect_all_gone();
    EXPECT_EQ(client_record_.count("end"), 1);
    EXPECT_EQ(client().bytes_read(), 11U);
    EXPECT_EQ(client_record_.bytes, start == Start::listener ? "early bytes" : "");
    EXPECT_EQ(peer_record_.bytes, start == Start::pipe ? ".early bytes" : ".");
  }
}

TEST_P(ReadTest, WithoutAConsumerLittleIsReadAheadAndThePeerFeelsIt) {
  RULES("1.2.1.2 1.2.1.3 1.2.1.4");
  join(nobody_reads_at_client());
  std::string sent = pattern(kMoreThanTheKernelTakes, 3);
  bool written = false;
  EXPECT_EQ(peer().write(Buffer::take(std::string(sent)),
                         [&](Socket&, std::error_code code) {
                           EXPECT_FALSE(code);
                           written = true;
                         }),
            Write::full);
  ASSERT_TRUE(settle_until_constant([&] { return peer().writable_length(); }));
  EXPECT_GT(peer().writable_length(), 0U) << "the window is closed";
  EXPECT_FALSE(written);
  EXPECT_FALSE(peer_record_.has("drain"));
  EXPECT_LE(client().bytes_read(), limits::kReceiveChunkBytes) << "one receive";
  record_data(client(), client_record_);
  ASSERT_TRUE(run_until([&] { return written && client_record_.bytes.size() == sent.size(); }));
  EXPECT_TRUE(client_record_.bytes == sent);
  EXPECT_EQ(peer_record_.count("drain"), 1);
}

TEST_P(ReadTest, APauseClosesTheWindowToo) {
  RULES("1.2.1.2 1.2.1.3 1.2.2.2");
  join();
  const net::ListenerId pauses = client().on_data([](Socket& socket, Buffer) { socket.pause(); });
  const std::string sent = pattern(kMoreThanTheKernelTakes, 5);
  peer().write(Buffer::take(std::string(sent)));
  ASSERT_TRUE(run_until([&] { return client().is_paused(); }));
  ASSERT_TRUE(settle_until_constant([&] { return peer().writable_length(); }));
  EXPECT_GT(peer().writable_length(), 0U);
  // What was under way for a turn or two, with a sender on the same thread: a few sends.
  EXPECT_LE(client().bytes_read() - client_record_.bytes.size(), 8 * limits::kSendBytesMax);
  client().off(pauses);
  client().resume();
  ASSERT_TRUE(run_until([&] { return client_record_.bytes.size() == sent.size(); }));
  EXPECT_TRUE(client_record_.bytes == sent);
}

TEST_P(ReadTest, AFinWithoutDataEndsEvenWhenNobodyListens) {
  RULES("1.2.1.6");
  for (const bool over_unix : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    join({.client_reads = false, .peer_reads = false, .over_unix = over_unix});
    peer().end();
    expect_all_gone();
    EXPECT_EQ(client_record_.order(), "connect ready end finish close");
    EXPECT_EQ(peer_record_.count("end"), 1);
  }
}

// ---- 1.2.2: pause() and resume() ----

TEST_P(ReadTest, PauseHoldsEvenWhatWasReadAlready) {
  RULES("1.2.2.1 1.2.2.2 1.2.2.3 1.2.2.4 1.2.2.5");
  listen(nobody_reads_at_client());
  std::vector<Socket*> peers;
  server_->on_connection([&](Socket& socket) { peers.push_back(&socket); });
  Socket* sockets[] = {&another(), &another()};
  ASSERT_TRUE(run_until([&] { return peers.size() == 2; }));
  if (peers[0]->remote_address() != sockets[0]->local_address()) std::swap(peers[0], peers[1]);
  // Both messages come in one turn; the first one that is delivered pauses the other socket.
  std::string received[2];
  for (int i : {0, 1}) {
    sockets[i]->on_data([&, i](Socket& self, Buffer bytes) {
      EXPECT_FALSE(self.is_paused());
      received[i] += bytes.view();
      if (received[1 - i].empty()) sockets[1 - i]->pause();
    });
  }
  for (Socket* peer : peers) peer->write("held,");
  ASSERT_TRUE(run_until([&] { return !received[0].empty() || !received[1].empty(); }));
  const int loser = received[0].empty() ? 0 : 1;
  ASSERT_TRUE(look_until([&] { return arrived(*sockets[loser]) == 5; }));
  settle();
  EXPECT_EQ(received[loser], "");
  EXPECT_TRUE(sockets[loser]->is_paused());
  EXPECT_FALSE(sockets[1 - loser]->is_paused());
  peers[static_cast<std::size_t>(loser)]->write("new");
  ASSERT_TRUE(look_until([&] { return arrived(*sockets[loser]) == 8; }));
  settle();
  EXPECT_EQ(received[loser], "");
  sockets[loser]->resume();
  EXPECT_EQ(received[loser], "") << "an event inside resume()";
  EXPECT_FALSE(sockets[loser]->is_paused());
  ASSERT_TRUE(run_until([&] { return received[loser].size() == 8; }));
  EXPECT_EQ(received[loser], "held,new");
}

TEST_P(ReadTest, PauseStopsDeliveryCompletely) {
  RULES("1.2.2.1 1.2.2.2 1.2.2.4 1.2.2.5");
  NODE_TEST("pause");
  join();
  std::string expected;
  for (int round = 0; round < 4; ++round) {
    client().pause();
    for (int i = 0; i < 10; ++i) {
      const std::uint64_t before = arrived(client());
      peer().write("C");
      ASSERT_TRUE(look_until([&] { return arrived(client()) == before + 1; }));
    }
    settle();
    EXPECT_EQ(client_record_.bytes, expected);
    EXPECT_TRUE(client().is_paused());
    client().resume();
    expected += "CCCCCCCCCC";
    ASSERT_TRUE(run_until([&] { return client_record_.bytes == expected; }));
  }
  client().pause();
  peer().end();
  client().end();
  expect_all_gone();
  EXPECT_EQ(client_record_.count("end"), 1);
}

TEST_P(ReadTest, ABigTransferIsThrottledAtBothEnds) {
  RULES("1.2.2.1 1.2.2.2 1.2.2.4");
  NODE_TEST("throttle");
  join(nobody_reads_at_client());
  const std::string sent = pattern(16 << 20, 8);
  constexpr std::size_t kPart = 40'000;
  std::size_t offset = 0;
  int fulls = 0;
  const auto pump = [&](Socket& socket) {
    Write result = Write::ok;
    while (offset < sent.size() && result == Write::ok) {
      result = socket.write(std::string_view(sent).substr(offset, kPart));
      offset = std::min(sent.size(), offset + kPart);
      if (result == Write::full) ++fulls;
    }
    if (offset == sent.size()) socket.end();
  };
  std::string received;
  int pauses = 0;
  client().on_data([&](Socket& socket, Buffer bytes) {
    EXPECT_FALSE(socket.is_paused());
    received += bytes.view();
    socket.pause();
    const auto go_on = [&] { client().resume(); };
    if (++pauses % 2 == 0 || !reactor().post(go_on)) reactor().defer(go_on);
  });
  peer().on_drain(pump);
  pump(peer());
  expect_all_gone();
  EXPECT_TRUE(received == sent);
  EXPECT_GT(fulls, 10);
  EXPECT_GT(pauses, 10);
}

TEST_P(ReadTest, ResumeNeverDeliversInsideTheCall) {
  RULES("1.2.2.3 1.2.2.2");
  join();
  client().pause();
  peer().write("held");
  ASSERT_TRUE(look_until([&] { return arrived(client()) == 4; }));
  bool resumed = false;
  // Inside the handler of another socket, too.
  peer().on_data([&](Socket&, Buffer) {
    client().resume();
    EXPECT_EQ(client_record_.bytes, "") << "an event inside resume()";
    resumed = true;
  });
  client().write("now");
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "held"; }));
  EXPECT_TRUE(resumed);
  bool inside = false;
  client().on_data([&](Socket& socket, Buffer) {
    EXPECT_FALSE(inside);
    inside = true;
    socket.pause();
    socket.resume();
    inside = false;
  });
  const std::string more = pattern(1 << 20, 4);
  peer().write(more);
  ASSERT_TRUE(run_until([&] { return client_record_.bytes.size() == 4 + more.size(); }));
}

TEST_P(ReadTest, PauseAndResumeBeforeTheConnectionKeepTheirMeaning) {
  RULES("1.2.2.1 1.2.2.2 1.2.2.5 1.2.2.6");
  NODE_TEST("pause-resume-connecting");
  for (const std::string_view calls : {"", "r", "p", "pr", "rp", "pp", "ppr", "rpr", "prp"}) {
    for (const bool while_connecting : {false, true}) {
      SCOPED_TRACE(std::string(calls) + (while_connecting ? " while connecting" : " before"));
      client_record_ = {};
      peer_record_ = {};
      listen();
      EXPECT_FALSE(client().is_paused());
      if (while_connecting) client().connect(to_).value();
      for (const char call : calls) call == 'p' ? client().pause() : client().resume();
      if (!while_connecting) client().connect(to_).value();
      const bool paused = calls.ends_with('p');
      EXPECT_EQ(client().is_paused(), paused);
      ASSERT_TRUE(run_until([&] { return peer_ != nullptr && client_record_.has("ready"); }));
      EXPECT_EQ(client().is_paused(), paused);
      peer().write("This was the year he fell to pieces.");
      ASSERT_TRUE(look_until([&] { return arrived(client()) == 36; }));
      if (paused) {
        settle();
        EXPECT_EQ(client_record_.bytes, "");
        client().resume();
      }
      ASSERT_TRUE(run_until([&] { return client_record_.bytes.size() == 36; }));
      client().end();
      expect_all_gone();
    }
  }
}

TEST_P(ReadTest, PauseInTheConnectionListenerIsHonoured) {
  RULES("1.2.2.7 1.2.2.2");
  listen();
  server_->on_connection([](Socket& socket) {
    socket.pause();
    EXPECT_TRUE(socket.is_paused());
  });
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("before the listener ran");
  ASSERT_TRUE(look_until([&] { return peer_ != nullptr && arrived(peer()) == 23; }));
  settle();
  EXPECT_EQ(peer_record_.bytes, "");
  peer().on_data([](Socket&, Buffer) {});
  settle();
  EXPECT_EQ(peer_record_.bytes, "") << "a listener does not undo pause()";
  EXPECT_TRUE(peer().is_paused());
  peer().resume();
  ASSERT_TRUE(run_until([&] { return peer_record_.bytes == "before the listener ran"; }));
}

// ---- 1.2.3: what 'data' carries ----

TEST_P(ReadTest, BuffersMayBeKeptAndAreSharedByTheListeners) {
  RULES("1.2.3.1");
  join(nobody_reads_at_client());
  const std::string sent = pattern(3 << 20, 12);
  std::vector<Buffer> kept[2];
  for (int i : {0, 1}) {
    client().on_data([&, i](Socket&, Buffer bytes) { kept[i].push_back(std::move(bytes)); });
  }
  client().on_data([&](Socket&, Buffer) {});
  std::size_t offset = 0;
  const auto next = [&](Socket& socket) {
    const std::size_t size = std::min<std::size_t>(100'000, sent.size() - offset);
    socket.write(std::string_view(sent).substr(offset, size));
    offset += size;
    if (offset == sent.size()) socket.end();
  };
  peer().on_drain(next);
  next(peer());
  expect_all_gone();
  client_.reset();
  client_record_ = {};
  peer_record_ = {};
  join();  // other bytes come through the same memory
  peer().write(pattern(3 << 20, 13));
  peer().end();
  expect_all_gone();
  ASSERT_EQ(kept[0].size(), kept[1].size());
  std::string all;
  for (std::size_t i = 0; i < kept[0].size(); ++i) {
    EXPECT_EQ(kept[0][i].data(), kept[1][i].data()) << "shared, not copied";
    EXPECT_EQ(kept[0][i].size(), kept[1][i].size());
    all += kept[0][i].view();
  }
  EXPECT_TRUE(all == sent);
}

// ---- 1.2.4: the end ----

TEST_P(ReadTest, EndComesOnceAfterAllData) {
  RULES("1.2.4.1 1.2.4.2");
  for (const bool over_unix : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    PairOptions options{.over_unix = over_unix};
    options.client.allow_half_open = true;
    join(options);
    const std::string sent = pattern(2 << 20, 1);
    std::size_t at_end = 0;
    client().on_end([&](Socket&) { at_end = client_record_.bytes.size(); });
    peer().write(sent);
    settle();
    EXPECT_FALSE(client_record_.has("end")) << "before the FIN";
    peer().end();
    ASSERT_TRUE(run_until([&] { return client_record_.has("end"); }));
    EXPECT_EQ(at_end, sent.size());
    EXPECT_TRUE(client_record_.bytes == sent);
    client().pause();
    client().resume();
    settle();
    client().end();
    expect_all_gone();
    EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
  }
}

TEST_P(ReadTest, ThereIsNoEndWhilePausedWithBytesLeft) {
  RULES("1.2.4.2 1.2.4.3 1.2.2.2");
  join();
  bool first = true;
  client().on_data([&](Socket& socket, Buffer) {
    if (std::exchange(first, false)) socket.pause();
  });
  peer().write("first,");
  ASSERT_TRUE(run_until([&] { return client().is_paused(); }));
  peer().write("left");
  peer().end();
  ASSERT_TRUE(look_until([&] { return arrived(client()) == 10 && peer_record_.has("finish"); }));
  settle();
  EXPECT_EQ(client_record_.order(), "connect ready data");
  EXPECT_EQ(client_record_.bytes, "first,");
  EXPECT_FALSE(client().destroyed());
  client().resume();
  expect_all_gone();
  EXPECT_EQ(client_record_.bytes, "first,left");
  EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
}

TEST_P(ReadTest, APauseAfterTheLastByteDoesNotHoldEndBack) {
  RULES("1.2.4.4");
  for (const bool inside_data : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    join();
    if (inside_data) client().on_data([](Socket& socket, Buffer) { socket.pause(); });
    peer().write("all");
    ASSERT_TRUE(run_until([&] { return client_record_.bytes == "all"; }));
    client().pause();
    run_for(0ms);
    peer().end();
    expect_all_gone();
    EXPECT_TRUE(client().is_paused());
    EXPECT_EQ(client_record_.order(), "connect ready data end finish close");
  }
}

// ---- 1.2.5: counters ----

TEST_P(ReadTest, BytesReadCountsWhatTheKernelGaveDeliveredOrNot) {
  RULES("1.2.5.1 1.2.5.2");
  NODE_TEST("bytes-read");
  join();
  const std::string sent = pattern(3 << 20, 30);
  std::uint64_t delivered = 0;
  client().on_data([&](Socket& socket, Buffer bytes) {
    delivered += bytes.size();
    EXPECT_GE(socket.bytes_read(), delivered);
    if (delivered < sent.size() / 2) return;
    socket.pause();
  });
  peer().write(sent);
  peer().end();
  ASSERT_TRUE(run_until([&] { return client().is_paused(); }));
  ASSERT_TRUE(settle_until_constant([&] { return arrived(client()); }));
  EXPECT_LT(delivered, sent.size());
  // Each byte is queued by the peer, on its way, with the kernel, or counted.
  EXPECT_LE(arrived(client()) + peer().writable_length(), sent.size());
  EXPECT_EQ(delivered, client_record_.bytes.size());
  while (client_record_.closes == 0) {
    client().resume();
    ASSERT_TRUE(run_until([&] { return client().is_paused() || client_record_.closes != 0; }));
  }
  EXPECT_EQ(client().bytes_read(), sent.size());
  expect_all_gone();
  EXPECT_EQ(client().bytes_read(), sent.size()) << "after 'close'";
}

TEST_P(ReadTest, BytesReadAndTheKernelsQueueAreTheWhole) {
  RULES("1.2.5.1 1.2.5.2");
  join();
  client().pause();
  peer().write("twelve bytes");
  ASSERT_TRUE(look_until([&] { return arrived(client()) == 12; }));
  settle();
  EXPECT_EQ(arrived(client()), 12U);
  client().resume();
  ASSERT_TRUE(run_until([&] { return client_record_.bytes == "twelve bytes"; }));
  EXPECT_EQ(client().bytes_read(), 12U);
  client().destroy();
  expect_all_gone();
  EXPECT_EQ(client().bytes_read(), 12U);
}

TEST_P(ReadTest, BytesWrittenCountsWhatWasGivenQueuedOrNot) {
  RULES("1.2.5.3 1.2.5.4 1.2.5.5");
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  EXPECT_EQ(client().bytes_written(), 0U);
  client().write("abc");
  EXPECT_TRUE(client().connecting());
  EXPECT_EQ(client().bytes_written(), 3U);
  client().cork();
  client().write("한");
  EXPECT_EQ(client().bytes_written(), 6U) << "bytes, not characters";
  client().write(Buffer::literal("buffer"));
  EXPECT_EQ(client().bytes_written(), 12U);
  ASSERT_TRUE(run_until([&] { return client_record_.has("ready") && peer_ != nullptr; }));
  EXPECT_EQ(client().bytes_written(), 12U);
  client().uncork();
  client().end("!");
  EXPECT_EQ(client().bytes_written(), 13U);
  expect_all_gone();
  EXPECT_EQ(peer_record_.bytes, "abc한buffer!");
  EXPECT_EQ(client().bytes_written(), 13U) << "after 'close'";
}

TEST_P(ReadTest, BytesWrittenSurvivesAConnectionThatNeverTookThem) {
  RULES("1.2.5.3 1.2.5.4 1.2.5.5");
  listen();
  ASSERT_TRUE(client().connect(to_).has_value());
  client().write("lost");
  client().destroy();
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(client().bytes_written(), 4U);
  EXPECT_EQ(client().writable_length(), 0U);
}

TEST_P(ReadTest, BothSidesCountTheSame) {
  RULES("1.2.5.1 1.2.5.2 1.2.5.3 1.2.5.5");
  NODE_TEST("response-size");
  listen();
  const std::string answer = pattern(300'000, 2);
  std::uint64_t peer_read = 0;
  std::uint64_t peer_wrote = 0;
  server_->on_connection([&](Socket& socket) { socket.write("hello "); });
  server_->on_end([&](Socket& socket) {
    socket.write(answer);
    socket.end();
  });
  server_->on_close([&](Socket& socket, std::error_code) {
    peer_read = socket.bytes_read();
    peer_wrote = socket.bytes_written();
  });
  ASSERT_TRUE(client().connect(to_).has_value());
  client().end("a question");
  expect_all_gone();
  EXPECT_EQ(client().bytes_written(), 10U);
  EXPECT_EQ(peer_read, 10U);
  EXPECT_EQ(peer_wrote, 6 + answer.size());
  EXPECT_EQ(client().bytes_read(), 6 + answer.size());
  EXPECT_TRUE(client_record_.bytes == "hello " + answer);
}

TEST_P(ReadTest, PingPong) {
  RULES("1.2.3.2 1.2.4.1 1.2.5.1 1.2.5.3 2.1.1.5 2.1.1.6");
  NODE_TEST("pingpong");
  constexpr int kTrips = 300;
  for (const bool over_unix : {false, true}) {
    client_record_ = {};
    peer_record_ = {};
    PairOptions options{.peer_reads = false, .over_unix = over_unix};
    options.server.socket.allow_half_open = true;
    listen(options);
    server_->on_data([](Socket& socket, Buffer bytes) {
      EXPECT_EQ(bytes.view(), "PING");
      socket.write("PONG");
    });
    server_->on_end([](Socket& socket) {
      EXPECT_TRUE(socket.writable());
      EXPECT_EQ(socket.ready_state(), ReadyState::write_only);
      socket.end();
    });
    int pongs = 0;
    client().set_encoding(Encoding::utf8);
    client().on_data([&](Socket& socket, Buffer bytes) {
      EXPECT_EQ(bytes.view(), "PONG");
      EXPECT_EQ(socket.ready_state(), ReadyState::open);
      if (++pongs < kTrips) {
        socket.write("PING");
      } else {
        socket.end();
        EXPECT_EQ(socket.ready_state(), ReadyState::read_only);
      }
    });
    ASSERT_TRUE(client().connect(to_).has_value());
    client().write("PING");
    expect_all_gone();
    EXPECT_EQ(pongs, kTrips);
    EXPECT_EQ(client().bytes_written(), 4U * kTrips);
    EXPECT_EQ(client().bytes_read(), 4U * kTrips);
    EXPECT_EQ(client_record_.count("end"), 1);
  }
}

WEIR_ON_ALL_BACKENDS(ReadTest);

}  // namespace
}  // namespace weir::test
