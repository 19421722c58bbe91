// The end of UDP sockets: close(), and the destructor, in every handler and with anything queued.
#include <gtest/gtest.h>

#include "tests/udp_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;

class UdpCloseTest : public UdpTest {};

TEST_P(UdpCloseTest, CloseIsOnceAndLast) {
  NODE_TEST("dgram-close dgram-close-is-not-callback");
  Party& one = bound();
  ASSERT_TRUE(run_until([&] { return one.has("listening"); }));
  ASSERT_EQ(refusal(one->close([&](UdpSocket& which) {
              EXPECT_EQ(&which, one.socket.get());
              EXPECT_TRUE(which.closed());
              one.note("done");
            })),
            "");
  EXPECT_EQ(one.order(), "listening") << "an event inside close()";
  EXPECT_TRUE(one->closed());
  EXPECT_EQ(refusal(one->close([&](UdpSocket&) { one.note("never"); })),
            "ERR_SOCKET_DGRAM_NOT_RUNNING");
  ASSERT_TRUE(run_until([&] { return one.has("close"); }));
  run_for(1ms);
  EXPECT_EQ(one.order(), "listening done close");
  EXPECT_EQ(refusal(one->close()), "ERR_SOCKET_DGRAM_NOT_RUNNING");
  run_for(1ms);
  EXPECT_EQ(one.order(), "listening done close");
}

TEST_P(UdpCloseTest, AnUnboundSocketClosesToo) {
  NODE_TEST("dgram-close");
  Party& one = party();
  ASSERT_EQ(refusal(one->close([&](UdpSocket&) { one.note("done"); })), "");
  ASSERT_TRUE(run_until([&] { return one.has("close"); }));
  EXPECT_EQ(one.order(), "done close");
}

TEST_P(UdpCloseTest, AfterCloseThePortIsFree) {
  Party& one = bound();
  const UdpAt at = one.at();
  ASSERT_EQ(refusal(one->close()), "");
  ASSERT_TRUE(run_until([&] { return one.has("close"); }));
  Party& next = party();
  EXPECT_EQ(refusal(next->bind(at)), "");
}

TEST_P(UdpCloseTest, CloseRightAfterBindIsWithoutListening) {
  NODE_TEST("dgram-close-in-listening");
  Party& one = party();
  int called = 0;
  ASSERT_EQ(refusal(one->bind({.host = "127.0.0.1"}, [&](UdpSocket&) { ++called; })), "");
  ASSERT_EQ(refusal(one->close()), "");
  ASSERT_TRUE(run_until([&] { return one.has("close"); }));
  run_for(1ms);
  EXPECT_EQ(one.order(), "close");
  EXPECT_EQ(called, 0);
}

TEST_P(UdpCloseTest, CloseDuringALookupIsWithoutListening) {
  NODE_TEST("dgram-close-during-bind dgram-bind-socket-close-before-lookup");
  Names names;
  names.keeps = true;
  Party& binds = party({.resolver = &names});
  Party& connects = party({.resolver = &names});
  ASSERT_EQ(refusal(binds->bind({.host = "slow.test"})), "");
  ASSERT_EQ(refusal(connects->connect({.port = 9, .host = "slow.test"})), "");
  ASSERT_TRUE(run_until([&] { return names.kept.size() == 2; }));
  for (Party* one : {&binds, &connects}) {
    ASSERT_EQ(refusal((*one)->close()), "");
    ASSERT_TRUE(run_until([&] { return one->has("close"); }));
  }
  names.answer_all();
  run_for(1ms);
  EXPECT_EQ(binds.order(), "close");
  EXPECT_EQ(connects.events.back(), "close");
  EXPECT_FALSE(connects.has("connect") || connects.has("error"));
}

TEST_P(UdpCloseTest, WhatIsQueuedIsStillSent) {
  NODE_TEST("dgram-close");
  Party& one = bound();
  Party& other = bound();
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(refusal(one->send(std::to_string(i), other.at(), one.noted(i))), "");
  }
  ASSERT_EQ(refusal(one->close()), "");
  EXPECT_EQ(one.order(), "");
  ASSERT_TRUE(run_until([&] { return one.has("close"); }));
  ASSERT_TRUE(run_until_got(other, 30));
  ASSERT_EQ(one.numbers.size(), 30U);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(one.numbers[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(one.outcomes, Texts(30, "ok"));
  EXPECT_EQ(one.events.back(), "close");
  EXPECT_EQ(one->send_queue_datagrams(), 0U);
  EXPECT_EQ(one->counters().sent, 30U);
}

TEST_P(UdpCloseTest, WhatWaitsForANameIsCancelled) {
  Names names;
  names.keeps = true;
  Party& one = bound("127.0.0.1", {.resolver = &names});
  Party& other = bound();
  const UdpAt slow{.port = other.at().port, .host = "slow.test"};
  ASSERT_EQ(refusal(one->send("a", slow, one.noted(1))), "");
  ASSERT_EQ(refusal(one->send("no callback", slow)), "");
  ASSERT_EQ(refusal(one->send("b", slow, one.noted(2))), "");
  run_for(1ms);
  EXPECT_EQ(one->send_queue_datagrams(), 3U);
  ASSERT_EQ(refusal(one->close()), "");
  ASSERT_TRUE(run_until([&] { return one.has("close"); }));
  EXPECT_EQ(one.outcomes, (Texts{"ECANCELED", "ECANCELED"}));
  EXPECT_EQ(one.events.back(), "close");
  EXPECT_EQ(one->send_queue_datagrams(), 0U);
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
  names.answer_all();
  Party& last = bound();
  send(last, "last", other);
  ASSERT_TRUE(run_until_got(other, 1));
  EXPECT_EQ(other.texts(), "last ");
  EXPECT_EQ(one.numbers.size(), 2U);
  EXPECT_FALSE(one.has("error")) << "nobody asked";
}

TEST_P(UdpCloseTest, NothingIsReceivedAnyMore) {
  Party& one = bound();
  Party& other = bound();
  for (int i = 0; i < 10; ++i) send(other, "x", one);
  ASSERT_TRUE(run_until([&] { return other->send_queue_datagrams() == 0; }));
  Party& fresh = bound();
  for (int i = 0; i < 10; ++i) send(other, "y", fresh);
  fresh->on_message([](UdpSocket& socket, const Datagram&) {
    EXPECT_TRUE(socket.close().has_value());
  });
  ASSERT_EQ(refusal(one->close()), "");
  ASSERT_TRUE(run_until([&] { return one.has("close") && fresh.has("close"); }));
  run_for(1ms);
  EXPECT_EQ(one.events.back(), "close");
  EXPECT_EQ(fresh.order(), "listening message close");
  EXPECT_EQ(fresh.got.size(), 1U) << "the rest of the batch is not told";
  EXPECT_EQ(fresh->counters().received, 1U) << "those told";
  EXPECT_EQ(fresh->counters().received_bytes, 1U);
}

// On io_uring all sockets receive into the same buffers: what one held when it went comes back.
TEST_P(UdpCloseTest, ASocketThatGoesAmidAFloodLeavesRoomForTheOthers) {
  Party& sender = bound();
  Party& stays = bound();
  for (int round = 0; round < 3; ++round) {
    Party& goes = bound();
    Party* fresh = nullptr;
    goes->on_messages([&](UdpSocket&, std::span<const Datagram>) {
      goes.socket.reset();
      fresh = &bound();
    });
    // Of all sizes, so that they come one by one.
    for (std::size_t i = 0; i < 200; ++i) send(sender, std::string(i % 7, 'x'), goes);
    ASSERT_TRUE(run_until([&] { return fresh != nullptr; }));
    send(sender, "to the old one", stays);
    send(sender, "to the new one", *fresh);
    ASSERT_TRUE(run_until([&] { return fresh->got.size() == 1; }));
    ASSERT_TRUE(run_until([&] { return stays.got.size() == static_cast<std::size_t>(round) + 1; }));
  }
}

TEST_P(UdpCloseTest, ASocketThatGoesWithWhatItHasNotReadLeavesRoomForTheOthers) {
  Party& sender = bound();
  Party& stays = bound();
  Party* goes = nullptr;
  stays->on_message([&](UdpSocket&, const Datagram&) { goes->socket.reset(); });
  for (std::size_t round = 0; round < 20; ++round) {
    goes = &bound();
    send(sender, "the other one goes", stays);
    // Of all sizes, so that they come one by one, in the same turn.
    for (std::size_t i = 0; i < 8; ++i) send(sender, std::string(i, 'x'), *goes);
    ASSERT_TRUE(run_until_got(stays, round + 1)) << "in round " << round;
  }
  EXPECT_EQ(reactor().counters().kernel.ring_dry, 0U) << "of 64 buffers 9 are used at a time";
}

TEST_P(UdpCloseTest, AConnectedSocketClosesAndAnotherTakesItsPlace) {
  Party& peer = bound();
  Party& one = connected(peer);
  const UdpAt at = one.at();
  ASSERT_EQ(refusal(one->send("bye", one.noted())), "");
  ASSERT_EQ(refusal(one->close()), "");
  ASSERT_TRUE(run_until([&] { return one.has("close"); }));
  ASSERT_TRUE(run_until_got(peer, 1));
  EXPECT_EQ(one.outcomes, (Texts{"ok"}));
  EXPECT_FALSE(one->connected());
  Party& next = party();
  ASSERT_EQ(refusal(next->bind(at)), "");
  send(peer, "for the next", next);
  ASSERT_TRUE(run_until_got(next, 1));
}

TEST_P(UdpCloseTest, ADestroyedSocketSendsItsQueueAndTellsNothing) {
  Party& one = bound();
  Party& other = bound();
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(refusal(one->send(std::to_string(i), other.at(), one.noted(i))), "");
  }
  EXPECT_GT(reactor().counters().queue_bytes, 0U);
  one.socket.reset();
  EXPECT_EQ(reactor().counters().queue_bytes, 0U);
  ASSERT_TRUE(run_until_got(other, 30));
  EXPECT_EQ(other.got[29], "29");
  EXPECT_EQ(one.order(), "");
}

// ---- In every handler ----

enum class In {
  listening, once_listening, connect, once_connected, message, second_message, messages,
  sent, drain, error, done, close,
};
constexpr const char* kInNames[] = {"listening", "once_listening", "connect", "once_connected",
                                    "message", "second_message", "messages", "sent",
                                    "drain", "error", "done", "close"};
constexpr std::size_t kPlaces = std::size(kInNames);

enum class Do { destroy, close, destroy_other };

// Everything happens to one socket, and what is to be done is done the first time that it happens.
class Scene {
 public:
  Scene(Reactor& reactor, In in, Do what) : in_(in), do_(what), peer_(reactor), third_(reactor) {
    socket_ = std::make_unique<UdpSocket>(
        reactor, UdpOptions{.family = Family::ipv4, .queue_datagrams_max = 4});
    EXPECT_TRUE(peer_->bind({.host = "127.0.0.1"}).has_value());
    EXPECT_TRUE(third_->bind({.host = "127.0.0.1"}).has_value());
    socket_->on_listening([this](UdpSocket&) { happens(In::listening); });
    socket_->on_connect([this](UdpSocket&) { happens(In::connect); });
    socket_->on_messages([this](UdpSocket&, std::span<const Datagram> some) {
      happens(In::messages);
      for (const Datagram& one : some) EXPECT_EQ(one.bytes.size(), 8U) << "gone with the socket";
    });
    socket_->on_message([this](UdpSocket&, const Datagram& one) {
      happens(++messages_ == 2 ? In::second_message : In::message);
      EXPECT_EQ(one.bytes, "datagram");
    });
    socket_->on_drain([this](UdpSocket&) { happens(In::drain); });
    socket_->on_error([this](UdpSocket&, const Error& error) {
      happens(In::error);
      EXPECT_EQ(error.code, errno_code(EMSGSIZE));
    });
    socket_->on_close([this](UdpSocket&) { happens(In::close); });
    // A second listener of each: it must not run on a socket that has gone.
    socket_->on_listening([this](UdpSocket&) { happens(In::listening); });
    socket_->on_message([this](UdpSocket&, const Datagram&) {
      happens(messages_ == 2 ? In::second_message : In::message);
    });
    socket_->on_close([this](UdpSocket&) { happens(In::close); });
  }

  void bind() {
    EXPECT_TRUE(
        socket_->bind({.host = "127.0.0.1"}, [this](UdpSocket&) { happens(In::once_listening); })
            .has_value());
  }
  void connect() {
    EXPECT_TRUE(
        socket_->connect(peer_.at(), [this](UdpSocket&) { happens(In::once_connected); })
            .has_value());
  }
  // Two more than there is room for, and the peer answers all.
  void send() {
    for (int i = 0; i < 6; ++i) {
      EXPECT_TRUE(
          socket_->send("x", [this](UdpSocket&, std::error_code) { happens(In::sent); })
              .has_value());
    }
  }
  void send_too_much() { EXPECT_TRUE(socket_->send(std::string(70'000, 'x')).has_value()); }
  void receive() {
    const UdpAt at{.port = socket_->address()->port(), .host = "127.0.0.1"};
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(peer_->send("datagram", at).has_value());
  }
  void close() {
    // Something is queued, and something is under way.
    receive();
    send();
    EXPECT_TRUE(socket_->close([this](UdpSocket&) { happens(In::done); }).has_value());
  }

  bool is_over() const { return socket_ == nullptr || socket_->closed(); }
  int happened(In in) const { return times_[static_cast<std::size_t>(in)]; }
  bool did() const { return did_; }
  void expect_end() const {
    EXPECT_TRUE(did_);
    EXPECT_EQ(late_, 0) << "a handler ran after the socket had gone";
    if (do_ == Do::close && in_ != In::done && in_ != In::close) {
      EXPECT_EQ(happened(In::close), 2) << "two listeners";
    }
    EXPECT_EQ(told_after_close_, 0) << "something came of a closed socket";
    EXPECT_EQ(after_close_event_, 0) << "'close' is the last";
  }
  Party& third() { return third_; }

 private:
  void happens(In in) {
    if (socket_ == nullptr) {
      ++late_;
      return;
    }
    // The callback of a call is a listener of that event.
    const bool end = in == In::close || in == In::done || in == In::sent || in == In::error ||
                     in == In::once_listening || in == In::once_connected;
    if (socket_->closed() && !end && in != in_) ++told_after_close_;
    if (happened(In::close) != 0 && in != In::close) ++after_close_event_;
    ++times_[static_cast<std::size_t>(in)];
    if (in != in_ || std::exchange(did_, true)) return;
    if (do_ == Do::destroy) socket_.reset();
    if (do_ == Do::destroy_other) peer_.socket.reset();
    if (do_ == Do::close) (void)socket_->close();
  }

  In in_;
  Do do_;
  Party peer_;
  Party third_;
  std::unique_ptr<UdpSocket> socket_;
  int times_[kPlaces] = {};
  int messages_ = 0;
  int late_ = 0;
  int told_after_close_ = 0;
  int after_close_event_ = 0;
  bool did_ = false;
};

class UdpLifeTest : public UdpTest {
 protected:
  // One thing after the other, until the thing is done, and then a while longer.
  void play(In in, Do what) {
    SCOPED_TRACE(std::string("in ") + kInNames[static_cast<std::size_t>(in)]);
    Scene scene(reactor(), in, what);
    const auto wait_for = [&](In event, int times) {
      ASSERT_TRUE(run_until([&] { return scene.did() || scene.happened(event) >= times; }))
          << kInNames[static_cast<std::size_t>(event)];
    };
    scene.bind();
    wait_for(In::once_listening, 1);
    wait_for(In::listening, 2);
    if (!scene.did()) scene.connect();
    wait_for(In::once_connected, 1);
    wait_for(In::connect, 1);
    if (!scene.did()) scene.send();
    wait_for(In::drain, 1);
    wait_for(In::sent, 4);
    if (!scene.did()) scene.send_too_much();
    wait_for(In::error, 1);
    if (!scene.did()) scene.receive();
    wait_for(In::message, 10);
    if (!scene.did()) scene.close();
    wait_for(In::close, 2);
    if (what == Do::close) {
      ASSERT_TRUE(run_until([&] { return scene.is_over() && scene.happened(In::close) >= 2; }));
    }
    // A round trip elsewhere: what was to come has come.
    Party& other = bound();
    send(scene.third(), "mark", other);
    ASSERT_TRUE(run_until_got(other, 1));
    run_for(0ms);
    scene.expect_end();
  }

  void play_everywhere(Do what) {
    for (std::size_t place = 0; place < kPlaces; ++place) {
      ASSERT_NO_FATAL_FAILURE(play(static_cast<In>(place), what));
      EXPECT_EQ(reactor().counters().queue_bytes, 0U) << kInNames[place];
    }
  }
};

TEST_P(UdpLifeTest, TheSocketMayBeDestroyedInEachOfItsHandlers) { play_everywhere(Do::destroy); }

TEST_P(UdpLifeTest, TheSocketMayBeClosedInEachOfItsHandlers) {
  NODE_TEST("dgram-close-in-listening");
  play_everywhere(Do::close);
}

TEST_P(UdpLifeTest, ThePeerMayBeDestroyedInEachHandler) {
  for (const In in : {In::sent, In::drain, In::message, In::second_message, In::messages}) {
    SCOPED_TRACE(kInNames[static_cast<std::size_t>(in)]);
    Scene scene(reactor(), in, Do::destroy_other);
    scene.bind();
    scene.connect();
    ASSERT_TRUE(run_until([&] { return scene.happened(In::connect) == 1; }));
    scene.receive();
    scene.send();
    ASSERT_TRUE(run_until([&] { return scene.did(); }));
    run_for(1ms);
  }
}

TEST_P(UdpLifeTest, ManySocketsComeAndGo) {
  Party& to = bound();
  std::vector<std::unique_ptr<UdpSocket>> sockets;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 20; ++i) {
      sockets.push_back(std::make_unique<UdpSocket>(reactor()));
      ASSERT_EQ(refusal(sockets.back()->send("x", to.at())), "");
    }
    const std::size_t expected = to.got.size() + 20;
    if (round % 2 == 0) sockets.clear();
    ASSERT_TRUE(run_until_got(to, expected));
    sockets.clear();
  }
  EXPECT_EQ(to.got.size(), 200U);
}

WEIR_ON_ALL_BACKENDS(UdpCloseTest);
WEIR_ON_ALL_BACKENDS(UdpLifeTest);

}  // namespace
}  // namespace weir::test
