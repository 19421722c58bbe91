// Sockets that lend their bytes to the kernel: nothing else about them is different.
#include <netinet/in.h>
#include <sys/socket.h>

#include <deque>
#include <thread>

#include "tests/door.h"
#include "tests/pair.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kPiece = 256 << 10;
constexpr std::size_t kSmall = 64 << 10;

class ZeroCopyTest : public PairTest {
 protected:
  static PairOptions lending(std::size_t from = 64 << 10) {
    PairOptions options;
    options.client.queue = {.high_water = 1 << 20, .bytes_max = 64 << 20, .zero_copy_from = from};
    options.peer_reads = false;
    return options;
  }

  // The peer reads from now on, and looks at every byte.
  void read_at_peer() {
    peer().on_data([this](Socket&, Buffer bytes) {
      in_order_ = in_order_ && is_stream_part(bytes.view(), received_);
      received_ += bytes.size();
    });
  }

  void write(std::size_t size) {
    ASSERT_NE(client().write(Buffer::take(stream_part(written_, size))), Write::refused);
    written_ += size;
  }

  // Writes until the kernel holds bytes behind the result, and takes no more.
  void write_until_held() {
    for (int i = 0; i < 32; ++i) write(kPiece);
    ASSERT_TRUE(run_until([&] { return held() != 0; }));
    run_for(5ms);
    ASSERT_NE(held(), 0U);
  }

  // Everything is with the kernel, which holds some of it: as much at a time as leaves no rest.
  void write_until_held_and_sent() {
    for (int i = 0; i < 64 && held() == 0; ++i) {
      write(kSmall);
      ASSERT_TRUE(run_until([&] { return client().writable_length() == 0; }));
      run_for(5ms);
    }
    ASSERT_NE(held(), 0U);
  }

  // Ended from this side, and all but closed.
  void close_while_held() {
    join(lending());
    write_until_held_and_sent();
    client().destroy_soon();
    ASSERT_TRUE(run_until([&] { return client().destroyed(); }));
    run_for(10ms);
    ASSERT_FALSE(client_record_.has("close"));
    ASSERT_NE(held(), 0U);
  }

  void expect_close_while_held() {
    ASSERT_TRUE(run_until([&] { return client_record_.has("close"); }));
    EXPECT_NE(held(), 0U);
    EXPECT_TRUE(client_record_.errors.empty());
  }

  void expect_all_at_peer() {
    EXPECT_TRUE(run_until([&] { return peer_record_.has("end") || peer_record_.has("close"); }));
    EXPECT_EQ(received_, written_);
    EXPECT_TRUE(in_order_);
    EXPECT_TRUE(peer_record_.errors.empty());
  }

  std::size_t held() { return reactor().counters().zero_copy_bytes; }
  static bool lends() { return GetParam().options.kind != BackendKind::epoll; }

  std::size_t written_ = 0;
  std::size_t received_ = 0;
  bool in_order_ = true;
};

// On this machine the kernel copies, and says so: then they go plainly. The simulator's does not.
TEST_P(ZeroCopyTest, AStreamArrivesAsItWasWrittenAndWhoIsToldOfCopiesRetreats) {
  // The variants of io_uring have their own ways of receiving only.
  const std::string& name = GetParam().name;
  const bool whole = name == "epoll" || name == "io_uring" || name == "sim";
  const std::size_t bytes = whole ? 64 << 20 : 8 << 20;
  join(lending());
  read_at_peer();
  const auto feed = [this, bytes](Socket&) {
    while (written_ < bytes && !client().writable_needs_drain()) write(kPiece);
  };
  client().on_drain(feed);
  feed(client());
  ASSERT_TRUE(run_until([&] { return received_ == bytes || !in_order_; }));
  EXPECT_TRUE(in_order_);
  ASSERT_TRUE(run_until([&] { return held() == 0; }));
  const Counters counters = reactor().counters();
  EXPECT_GT(counters.zero_copy_sends, 0U);
  EXPECT_EQ(counters.queue_bytes, 0U);
  if (simulated()) {
    EXPECT_GE(counters.zero_copy_sends, bytes / limits::kSendBytesMax);
    EXPECT_EQ(counters.zero_copy_copied, 0U);
  } else if (lends()) {
    EXPECT_GE(counters.zero_copy_copied, 3U);
    EXPECT_LT(counters.zero_copy_sends, 40U) << "it goes on lending";
  } else {
    EXPECT_EQ(counters.zero_copy_sends, 1U);
  }
}

TEST_P(ZeroCopyTest, WithoutTheOptionNothingIsLent) {
  join(lending(0));
  read_at_peer();
  for (int i = 0; i < 8; ++i) write(kPiece);
  ASSERT_TRUE(run_until([&] { return received_ == written_; }));
  EXPECT_EQ(reactor().counters().zero_copy_sends, 0U);
}

TEST_P(ZeroCopyTest, SmallPiecesAreGatheredAndCopied) {
  join(lending());
  read_at_peer();
  for (int i = 0; i < 100; ++i) write(4000);
  ASSERT_TRUE(run_until([&] { return received_ == written_; }));
  EXPECT_TRUE(in_order_);
  EXPECT_EQ(reactor().counters().zero_copy_sends, 0U);
}

TEST_P(ZeroCopyTest, AHeadGoesWithItsBody) {
  join(lending());
  read_at_peer();
  write(300);
  write(kPiece);
  write(300);
  ASSERT_TRUE(run_until([&] { return received_ == written_; }));
  EXPECT_TRUE(in_order_);
  EXPECT_EQ(reactor().counters().zero_copy_sends, 1U);
}

// What is lent counts as sent, as what is copied does.
TEST_P(ZeroCopyTest, DrainsAndCallbacksDoNotWaitForThePeer) {
  if (!lends()) GTEST_SKIP() << "nothing is ever held";
  join(lending());
  int called = 0;
  client().write(Buffer::take(stream_part(0, 100'000)),
                 [&](Socket&, std::error_code code) { called += code ? 100 : 1; });
  ASSERT_TRUE(run_until([&] { return called != 0; }));
  EXPECT_EQ(called, 1);
  EXPECT_EQ(client().writable_length(), 0U);
  if (simulated()) {
    EXPECT_EQ(held(), 100'000U);
  }
}

TEST_P(ZeroCopyTest, AReaderThatComesLateGetsAll) {
  join(lending());
  for (int i = 0; i < 32; ++i) write(kPiece);
  run_for(5ms);
  read_at_peer();
  ASSERT_TRUE(run_until([&] { return received_ == written_ || !in_order_; }));
  EXPECT_TRUE(in_order_);
  ASSERT_TRUE(run_until([&] { return held() == 0; }));
}

TEST_P(ZeroCopyTest, AnEndedConnectionIsClosedWhenAllIsAcknowledged) {
  if (!lends()) GTEST_SKIP() << "nothing is ever held";
  close_while_held();
  read_at_peer();
  peer().end();
  ASSERT_TRUE(run_until([&] { return client_record_.has("close"); }));
  EXPECT_EQ(held(), 0U);
  expect_all_at_peer();
}

// 'close' comes at once then, and all still arrives.
TEST_P(ZeroCopyTest, WhoDoesNotWantToWaitForThatDestroysIt) {
  if (!lends()) GTEST_SKIP() << "nothing is ever held";
  close_while_held();
  client().destroy();
  expect_close_while_held();
  read_at_peer();
  peer().end();
  ASSERT_TRUE(run_until([&] { return held() == 0; }));
  expect_all_at_peer();
}

// Its end is out, the peer's has not come.
TEST_P(ZeroCopyTest, WhoDestroysAHalfOpenConnectionDoesNotWaitForThePeer) {
  if (!lends()) GTEST_SKIP() << "nothing is ever held";
  join(lending());
  write_until_held_and_sent();
  client().end();
  ASSERT_TRUE(run_until([&] { return client().writable_finished(); }));
  client().destroy();
  expect_close_while_held();
  read_at_peer();
  ASSERT_TRUE(run_until([&] { return held() == 0; }));
  expect_all_at_peer();
}

// Nobody reads at the other end, and nobody ends.
TEST_P(ZeroCopyTest, AServerThatIsDrainedHasNoMorePatienceThanItSays) {
  if (!lends()) GTEST_SKIP() << "nothing is ever held";
  PairOptions options = lending();
  std::swap(options.server.socket.queue, options.client.queue);
  join(options);
  client().pause();
  bool closed = false;
  server_->on_server_close([&](Server&) { closed = true; });
  for (std::size_t i = 0; i < 64 && held() == 0; ++i) {
    ASSERT_NE(peer().write(Buffer::take(stream_part(i * kSmall, kSmall))), Write::refused);
    ASSERT_TRUE(run_until([&] { return peer().writable_length() == 0; }));
    run_for(5ms);
  }
  ASSERT_NE(held(), 0U);
  server_->drain(10ms);
  ASSERT_TRUE(run_until([&] { return closed; }));
  // A kernel may have had room for it after all.
  EXPECT_TRUE(!simulated() || held() != 0) << "it has waited for the peer";
}

// What the kernel has taken still arrives.
TEST_P(ZeroCopyTest, WhoBreaksAConnectionOffDoesNotWaitForThePeer) {
  if (!lends()) GTEST_SKIP() << "nothing is ever held";
  join(lending());
  write_until_held();
  client().destroy();
  ASSERT_TRUE(run_until([&] { return client_record_.has("close"); }));
  EXPECT_NE(held(), 0U);
  read_at_peer();
  ASSERT_TRUE(run_until([&] { return held() == 0; }));
  EXPECT_TRUE(run_until([&] { return peer_record_.has("end") || peer_record_.has("close"); }));
  EXPECT_GT(received_, 0U);
  EXPECT_TRUE(in_order_);
  EXPECT_TRUE(peer_record_.errors.empty());
}

TEST_P(ZeroCopyTest, AResetReleasesAtOnce) {
  if (!lends()) GTEST_SKIP() << "nothing is ever held";
  join(lending());
  write_until_held();
  ASSERT_TRUE(client().reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.has("close") && held() == 0; }));
  ASSERT_TRUE(run_until([&] { return peer_record_.has("close"); }));
  EXPECT_EQ(peer_record_.error(), "ECONNRESET");
  expect_all_gone();
}

TEST_P(ZeroCopyTest, AResetByThePeerReleasesAtOnce) {
  if (!lends()) GTEST_SKIP() << "nothing is ever held";
  join(lending());
  write_until_held();
  ASSERT_TRUE(peer().reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.has("close") && held() == 0; }));
  EXPECT_TRUE(is_reset(client_record_.closed_with)) << client_record_.closed_with.message();
  expect_all_gone();
}

// The sockets are gone before it; what they have lent is not.
TEST_P(ZeroCopyTest, ASocketThatGoesLeavesItsLoansToTheReactor) {
  if (!lends()) GTEST_SKIP() << "nothing is ever held";
  join(lending());
  write_until_held();
  client_.reset();
  run_for(5ms);
  EXPECT_NE(held(), 0U);
  read_at_peer();
  ASSERT_TRUE(run_until([&] { return held() == 0; }));
  EXPECT_TRUE(in_order_);
}

WEIR_ON_ALL_BACKENDS(ZeroCopyTest);

// ---- Peers outside of the reactor ----

// A listener of the machine, and the other end of the one connection to it, which reads nothing.
struct Outside {
  int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  int accepted = -1;
  std::uint16_t port = 0;

  Outside() {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&at), size), 0);
    EXPECT_EQ(::listen(listener, 1), 0);
    EXPECT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size), 0);
    port = ntohs(at.sin_port);
  }
  ~Outside() {
    ::close(accepted);
    ::close(listener);
  }
  // True when what comes is the stream, and then a reset.
  bool gets_a_part_and_a_reset() {
    accepted = ::accept(listener, nullptr, nullptr);
    std::size_t total = 0;
    std::string room(1 << 20, '\0');
    for (;;) {
      const ssize_t size = ::recv(accepted, room.data(), room.size(), 0);
      if (size <= 0) return size < 0 && errno == ECONNRESET;
      const std::string_view part(room.data(), static_cast<std::size_t>(size));
      if (!is_stream_part(part, total)) return false;
      total += part.size();
    }
  }
};

class KernelZeroCopyTest : public BackendTest {
 protected:
  // Connects, and runs until bytes are held.
  static void hold(Reactor& reactor, Socket& socket, std::uint16_t port) {
    socket.on_connect([](Socket& its) {
      for (std::size_t i = 0; i < 32; ++i) its.write(Buffer::take(stream_part(i * kPiece, kPiece)));
    });
    ASSERT_TRUE(socket.connect({.host = "127.0.0.1", .port = port}).has_value());
    const Instant end = reactor.now() + kPatience;
    while (reactor.counters().zero_copy_bytes == 0 && reactor.now() < end) reactor.run_once(end);
    for (int i = 0; i < 20; ++i) reactor.run_once(reactor.now() + 1ms);
    ASSERT_NE(reactor.counters().zero_copy_bytes, 0U);
  }

  static SocketOptions lending() { return {.queue = {.zero_copy_from = 64 << 10}}; }
  void SetUp() override {
    BackendTest::SetUp();
    if (GetParam().options.kind == BackendKind::epoll) GTEST_SKIP() << "nothing is ever held";
  }
};

TEST_P(KernelZeroCopyTest, AReactorThatGoesResetsWhatItHasLent) {
  Outside peer;
  {
    Reactor reactor(make_backend());
    Socket socket(reactor, lending());
    hold(reactor, socket, peer.port);
  }
  EXPECT_TRUE(peer.gets_a_part_and_a_reset());
}

// Nor does one that was waiting for the release.
TEST_P(KernelZeroCopyTest, AReactorThatGoesDoesNotWaitForAClosingConnection) {
  Outside peer;
  {
    Reactor reactor(make_backend());
    Socket socket(reactor, lending());
    hold(reactor, socket, peer.port);
    socket.destroy();
    for (int i = 0; i < 20; ++i) reactor.run_once(reactor.now() + 1ms);
    EXPECT_NE(reactor.counters().zero_copy_bytes, 0U);
  }
  EXPECT_TRUE(peer.gets_a_part_and_a_reset());
}

// There is nobody to tell of the release then.
TEST_P(KernelZeroCopyTest, AnotherThreadMayDestroyTheReactor) {
  Outside peer;
  {
    auto reactor = std::make_unique<Reactor>(make_backend());
    auto socket = std::make_unique<Socket>(*reactor, lending());
    std::thread runs([&] { hold(*reactor, *socket, peer.port); });
    runs.join();
  }
  EXPECT_TRUE(peer.gets_a_part_and_a_reset());
}

WEIR_ON_KERNEL_BACKENDS(KernelZeroCopyTest);

// ---- Limits, which only the simulator reaches in no time ----

class SimZeroCopyTest : public ZeroCopyTest {};

TEST_P(SimZeroCopyTest, PatienceWithAPeerThatNeverReadsHasAnEnd) {
  join(lending());
  write_until_held();
  client().destroy();
  run_for(net::limits::kReleasePatience - 1s);
  EXPECT_NE(held(), 0U);
  EXPECT_FALSE(peer_record_.has("close"));
  run_for(2s);
  ASSERT_TRUE(run_until([&] { return held() == 0 && peer_record_.has("close"); }));
  EXPECT_TRUE(is_reset(peer_record_.closed_with)) << peer_record_.closed_with.message();
  expect_all_gone();
}

TEST_P(SimZeroCopyTest, BeyondTheLimitSendsArePlain) {
  constexpr std::size_t kSmall = 4096;
  constexpr std::size_t kEach = 60;  // within the window
  constexpr std::size_t kClients = 5;
  static_assert(kEach * kClients > net::limits::kLentSendsMax);
  Server server(reactor());
  std::deque<Socket*> peers;
  server.on_connection([&](Socket& socket) { peers.push_back(&socket); });
  const auto bound = server.listen({.port = 0, .host = "127.0.0.1"});
  ASSERT_TRUE(bound.has_value());
  std::deque<Socket> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    const SocketOptions options{.queue = {.zero_copy_from = kSmall}};
    Socket& one = clients.emplace_back(reactor(), options);
    ASSERT_TRUE(one.connect({.host = "127.0.0.1", .port = bound->port()}).has_value());
    ASSERT_TRUE(run_until([&] { return peers.size() == i + 1; }));
    for (std::size_t j = 0; j < kEach; ++j) {
      one.write(Buffer::take(stream_part(j * kSmall, kSmall)));
      ASSERT_TRUE(run_until([&] { return one.writable_length() == 0; }));
    }
  }
  EXPECT_EQ(reactor().counters().zero_copy_sends, net::limits::kLentSendsMax);
  EXPECT_EQ(held(), net::limits::kLentSendsMax * kSmall);
  std::deque<std::string> received(kClients);
  for (std::size_t i = 0; i < kClients; ++i) {
    peers[i]->on_data([&received, i](Socket&, Buffer bytes) { received[i] += bytes.view(); });
    ASSERT_TRUE(run_until([&] { return received[i].size() == kEach * kSmall; }));
    EXPECT_TRUE(is_stream_part(received[i], 0));
  }
  EXPECT_EQ(held(), 0U);
}

WEIR_ON_SIM(SimZeroCopyTest);

}  // namespace
}  // namespace weir::test
