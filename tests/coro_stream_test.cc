// Reading, writing and ending a stream.
#include <gtest/gtest.h>

#include "tests/coro_world.h"

namespace weir::test {
namespace {

using namespace std::chrono_literals;
using coro::Input;
using coro::Task;

class CoroStreamTest : public CoroTest {
 protected:
  // The peer sends pieces, each when the one before has come.
  void feed(const std::vector<std::string>& pieces, std::size_t already = 0) {
    for (const std::string& piece : pieces) {
      peer_->write(piece);
      already += piece.size();
      ASSERT_TRUE(run_until([&] {
        return stream_->socket() == nullptr || stream_->socket()->bytes_read() >= already ||
               stream_->socket()->is_paused();
      }));
    }
  }
};

TEST_P(CoroStreamTest, ReadGivesWhatHasComeAndThenTheEnd) {
  join();
  std::string read;
  bool ended = false;
  scope_->spawn([&]() -> Task<> {
    for (;;) {
      auto bytes = co_await stream().read();
      EXPECT_TRUE(bytes.has_value());
      if (!bytes || bytes->empty()) break;
      read += bytes->view();
    }
    auto again = co_await stream().read();
    ended = again && again->empty();
  });
  peer_->write("hello, ");
  ASSERT_TRUE(run_until([&] { return read == "hello, "; }));
  peer_->end("world");
  ASSERT_TRUE(finish());
  EXPECT_EQ(read, "hello, world");
  EXPECT_TRUE(ended);
  // Our side is open still.
  EXPECT_TRUE(stream().socket()->writable());
}

TEST_P(CoroStreamTest, WhatNobodyReadsStaysWithTheKernel) {
  join();
  const std::string sent = pattern(16 << 20, 3);
  peer_->write(sent);
  peer_->end();
  ASSERT_TRUE(run_until([&] { return stream().socket()->is_paused(); }));
  run_for(2ms);
  EXPECT_LT(stream().socket()->bytes_read(), sent.size() / 2);
  std::string read;
  run([&]() -> Task<> {
    for (;;) {
      auto bytes = co_await stream().read();
      if (!bytes || bytes->empty()) break;
      read += bytes->view();
    }
  });
  EXPECT_TRUE(read == sent);
}

TEST_P(CoroStreamTest, RecordsOfAllSizesComeWholeHoweverTheyWereCut) {
  join();
  const std::string sent = pattern(300'000, 5);
  std::string read;
  std::string last;
  scope_->spawn([&]() -> Task<> {
    std::size_t size = 1;
    while (read.size() + size <= sent.size()) {
      auto bytes = co_await stream().read_exactly(size);
      EXPECT_TRUE(bytes && bytes->size() == size);
      if (!bytes) co_return;
      read += bytes->view();
      size = size * 3 % 20'011 + 1;
    }
    last = outcome(co_await stream().read_exactly(size));
    auto rest = co_await stream().read();
    if (rest) read += rest->view();
  });
  std::size_t from = 0;
  for (std::size_t size = 1; from < sent.size(); size = size * 5 % 4'099 + 1) {
    const std::string piece = sent.substr(from, size);
    from += piece.size();
    peer_->write(piece);
    reactor().run_once(Duration::zero());
  }
  peer_->end();
  ASSERT_TRUE(finish());
  EXPECT_EQ(last, "ENODATA");
  EXPECT_TRUE(read == sent);
}

TEST_P(CoroStreamTest, ReadUntilAtEveryBoundary) {
  const std::string message = "one\r\n\r\r\n\r\nrest";
  for (std::size_t cut = 1; cut < message.size(); ++cut) {
    join();
    std::vector<std::string> lines;
    scope_->spawn([&]() -> Task<> {
      for (;;) {
        auto line = co_await stream().read_until("\r\n", 64);
        lines.push_back(text(line));
        if (!line) break;
      }
      lines.push_back(text(co_await stream().read()));
      lines.push_back(text(co_await stream().read_until("\r\n", 64)));
    });
    feed({message.substr(0, cut)});
    peer_->end(message.substr(cut));
    ASSERT_TRUE(finish());
    const std::vector<std::string> expected = {"one\r\n",    "\r\r\n", "\r\n",
                                               "<ENODATA>", "rest",   ""};
    EXPECT_EQ(lines, expected) << "cut at " << cut;
    stream_.reset();
    acceptor_.reset();
    peer_.reset();
    peer_record_ = {};
  }
}

TEST_P(CoroStreamTest, ALineThatIsTooLongIsRefusedAndNothingOfItLost) {
  join();
  std::vector<std::string> read;
  peer_->end("123456789\nx");
  run([&]() -> Task<> {
    read.push_back(text(co_await stream().read_until("\n", 9)));
    read.push_back(text(co_await stream().read_until("\n", 0)));
    read.push_back(text(co_await stream().read_until("\n", 10)));
    read.push_back(text(co_await stream().read_until("", 10)));
    read.push_back(text(co_await stream().read_exactly(0)));
    read.push_back(text(co_await stream().read_exactly(coro::kReadBytesMax + 1)));
    read.push_back(text(co_await stream().read_until("\n", coro::kReadBytesMax + 1)));
    read.push_back(text(co_await stream().read_exactly(1)));
    read.push_back(text(co_await stream().read_exactly(1)));
  });
  const std::vector<std::string> expected = {
      "<EMSGSIZE>",         "<EMSGSIZE>",         "123456789\n", "<ERR_INVALID_ARG_VALUE>", "",
      "<ERR_OUT_OF_RANGE>", "<ERR_OUT_OF_RANGE>", "x",           ""};
  EXPECT_EQ(read, expected);
}

TEST_P(CoroStreamTest, AWriterWaitsForASlowPeer) {
  join();
  peer_->pause();
  const std::string chunk(50'000, 'x');
  std::size_t written = 0;
  std::size_t most_queued = 0;
  bool stop = false;
  scope_->spawn([&]() -> Task<> {
    while (!stop) {
      const auto taken = co_await stream().write(chunk);
      EXPECT_TRUE(taken.has_value());
      if (!taken) co_return;
      written += chunk.size();
      most_queued = std::max(most_queued, stream().socket()->writable_length());
    }
    co_await stream().end();
  });
  ASSERT_TRUE(run_until([&] { return stream().socket()->writable_needs_drain(); }));
  std::size_t before = 0;
  while (written != before || before == 0) {
    before = written;
    run_for(20ms);
  }
  EXPECT_LT(most_queued, net::limits::kHighWaterDefault);
  EXPECT_LE(stream().socket()->writable_length(), net::limits::kHighWaterDefault + chunk.size());
  stop = true;
  peer_->resume();
  ASSERT_TRUE(finish());
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_EQ(peer_record_.bytes.size(), written);
}

TEST_P(CoroStreamTest, ARefusedWriteIsTakenLater) {
  join();
  stream().socket()->set_queue_limits({.high_water = 1 << 20, .bytes_max = 150'000});
  peer_->pause();
  std::string sent;
  scope_->spawn([&]() -> Task<> {
    for (unsigned i = 0; i < 100; ++i) {
      const std::string chunk = pattern(100'000, i);
      const auto taken = co_await stream().write(Buffer::copy(chunk));
      EXPECT_TRUE(taken.has_value());
      sent += chunk;
    }
    co_await stream().end();
  });
  run_for(5ms);
  EXPECT_EQ(scope_->size(), 1U);
  peer_->resume();
  ASSERT_TRUE(finish());
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_TRUE(peer_record_.bytes == sent);
}

TEST_P(CoroStreamTest, DrainEndAndWritingOn) {
  constexpr std::size_t kMuch = 14 << 20;  // more than the kernel takes, less than the queue does
  join();
  std::vector<std::string> results;
  peer_->pause();
  scope_->spawn([&]() -> Task<> {
    results.push_back(outcome(co_await stream().drain()));
    static_cast<void>(stream().socket()->write(std::string(kMuch, 'x')));
    results.push_back(outcome(co_await stream().drain()));
    EXPECT_EQ(stream().socket()->writable_length(), 0U);
    results.push_back(outcome(co_await stream().write("last")));
    results.push_back(outcome(co_await stream().end()));
    EXPECT_TRUE(stream().socket()->writable_finished());
    results.push_back(outcome(co_await stream().write("too late")));
    results.push_back(outcome(co_await stream().end()));
  });
  run_for(1ms);
  EXPECT_EQ(results.size(), 1U);
  peer_->resume();
  ASSERT_TRUE(finish());
  const std::vector<std::string> expected = {"ok", "ok", "ok", "ok", "ERR_STREAM_WRITE_AFTER_END",
                                             "ok"};
  EXPECT_EQ(results, expected);
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_EQ(peer_record_.bytes.size(), kMuch + 4);
}

TEST_P(CoroStreamTest, AResetEndsTheReadAndTheWriteThatWait) {
  join();
  std::vector<std::string> reads;
  std::vector<std::string> writes;
  peer_->pause();
  scope_->spawn([&]() -> Task<> {
    reads.push_back(text(co_await stream().read()));
    reads.push_back(text(co_await stream().read()));
    reads.push_back(text(co_await stream().read_exactly(4)));
  });
  scope_->spawn([&]() -> Task<> {
    static_cast<void>(stream().socket()->write(std::string(8 << 20, 'x')));
    writes.push_back(outcome(co_await stream().drain()));
    writes.push_back(outcome(co_await stream().write("x")));
    writes.push_back(outcome(co_await stream().drain()));
    writes.push_back(outcome(co_await stream().end()));
    writes.push_back(outcome(co_await stream().closed()));
  });
  run_for(1ms);
  ASSERT_TRUE(peer_->reset_and_destroy().has_value());
  ASSERT_TRUE(finish());
  const std::string code = reads.empty() ? "" : reads[0].substr(1, reads[0].size() - 2);
  EXPECT_TRUE(code == "ECONNRESET" || code == "EPIPE") << code;
  EXPECT_EQ(reads, std::vector<std::string>(3, "<" + code + ">"));
  EXPECT_EQ(writes, std::vector<std::string>(5, code));
  EXPECT_EQ(stream().socket(), nullptr);
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(CoroStreamTest, WhatHasComeIsReadBeforeTheReset) {
  join();
  peer_->write("held");
  ASSERT_TRUE(run_until([&] { return stream().socket()->is_paused(); }));
  ASSERT_TRUE(peer_->reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] { return stream().socket() == nullptr; }));
  std::vector<std::string> reads;
  run([&]() -> Task<> {
    reads.push_back(text(co_await stream().read()));
    reads.push_back(text(co_await stream().read()));
  });
  EXPECT_EQ(reads, (std::vector<std::string>{"held", "<ECONNRESET>"}));
}

TEST_P(CoroStreamTest, OneThatDestroysItsOwnConnectionIsTold) {
  join();
  std::vector<std::string> results;
  run([&]() -> Task<> {
    stream().destroy();
    results.push_back(text(co_await stream().read()));
    results.push_back(outcome(co_await stream().write("x")));
    results.push_back(outcome(co_await stream().end()));
  });
  EXPECT_EQ(results, (std::vector<std::string>{"<ERR_STREAM_DESTROYED>", "ERR_STREAM_DESTROYED",
                                               "ERR_STREAM_DESTROYED"}));
  ASSERT_TRUE(run_until([&] { return peer_record_.closes == 1; }));
}

TEST_P(CoroStreamTest, AStreamThatIsDroppedInItsOwnCoroutineEndsItsConnection) {
  join();
  run([this]() -> Task<> {
    peer_->write("x");
    coro::Stream mine = std::move(stream());
    static_cast<void>(co_await mine.read());
  });
  ASSERT_TRUE(run_until([&] { return peer_record_.closes == 1; }));
  ASSERT_TRUE(run_until([&] { return acceptor_->server().connections() == 0; }));
  EXPECT_EQ(peer_record_.error(), "");
}

TEST_P(CoroStreamTest, OneThatIsDroppedWithUnreadBytesIsReset) {
  join();
  peer_->write("nobody reads this");
  ASSERT_TRUE(run_until([&] { return stream().socket()->is_paused(); }));
  stream_.reset();
  ASSERT_TRUE(run_until([&] { return peer_record_.closes == 1; }));
  EXPECT_TRUE(is_reset(peer_record_.closed_with));
}

TEST_P(CoroStreamTest, AStreamMovesWithWhatItHolds) {
  join();
  peer_->write("abc");
  ASSERT_TRUE(run_until([&] { return stream().socket()->is_paused(); }));
  coro::Stream moved = std::move(*stream_);
  EXPECT_TRUE(moved.socket()->is_paused());
  EXPECT_EQ(stream_->socket(), nullptr);
  *stream_ = std::move(moved);
  peer_->write("def");
  peer_->end();
  std::string read;
  run([&]() -> Task<> { read = text(co_await stream().read_exactly(6)); });
  EXPECT_EQ(read, "abcdef");
}

TEST_P(CoroStreamTest, AnIdleTimeoutEndsTheAwaitOnly) {
  join();
  ASSERT_TRUE(stream().socket()->set_timeout(20ms).has_value());
  std::vector<std::string> reads;
  run([&]() -> Task<> {
    reads.push_back(text(co_await stream().read()));
    peer_->write("later");
    reads.push_back(text(co_await stream().read()));
  });
  EXPECT_EQ(reads, (std::vector<std::string>{"<ETIMEDOUT>", "later"}));
}

TEST_P(CoroStreamTest, AnIdleTimeoutEndsAWriteThatWaits) {
  join();
  peer_->pause();
  stream().socket()->set_queue_limits({.high_water = 1 << 20, .bytes_max = 150'000});
  ASSERT_TRUE(stream().socket()->set_timeout(20ms).has_value());
  std::size_t taken = 0;
  std::string end;
  run([&]() -> Task<> {
    const std::string chunk(100'000, 'x');
    while (end.empty()) {
      const auto written = co_await stream().write(chunk);
      if (written) taken += chunk.size();
      if (!written) end = outcome(written);
    }
  });
  EXPECT_EQ(end, "ETIMEDOUT");
  // Nothing of the one that has ended is sent later.
  peer_->resume();
  run([&]() -> Task<> { co_await stream().end(); });
  ASSERT_TRUE(run_until([&] { return peer_record_.has("end"); }));
  EXPECT_EQ(peer_record_.bytes.size(), taken);
}

// ---- Connecting and accepting ----

class CoroConnectTest : public CoroTest {};

TEST_P(CoroConnectTest, BothEndsAreCoroutines) {
  listen();
  std::string answer;
  scope_->spawn([&]() -> Task<> {
    auto accepted = co_await acceptor_->accept();
    EXPECT_TRUE(accepted.has_value());
    auto line = co_await accepted->read_until("\n", 100);
    if (line) co_await accepted->write(std::move(*line));
    co_await accepted->end();
  });
  scope_->spawn([&]() -> Task<> {
    coro::Stream client(reactor());
    const auto connected = co_await client.connect(port_, "127.0.0.1");
    EXPECT_TRUE(connected.has_value());
    co_await client.write("hello\n");
    answer = text(co_await client.read_exactly(6));
    EXPECT_EQ(text(co_await client.read()), "");
    co_await client.end();
  });
  ASSERT_TRUE(finish());
  EXPECT_EQ(answer, "hello\n");
  ASSERT_TRUE(run_until([&] { return reactor().counters().sockets == 0; }));
}

TEST_P(CoroConnectTest, ItConnectsAgainAfterAFailureAndAfterAConnection) {
  listen();
  std::vector<std::string> results;
  const int closed_port = port_;
  acceptor_->close();
  ASSERT_TRUE(run_until([&] { return acceptor_->server().connections() == 0; }));
  run_for(2ms);
  scope_->spawn([&]() -> Task<> {
    coro::Stream client(reactor());
    results.push_back(outcome(co_await client.write("x")));
    results.push_back(outcome(co_await client.connect(closed_port, "127.0.0.1")));
    results.push_back(text(co_await client.read()));
    const net::ConnectOptions wrong{.port = 70'000};
    results.push_back(outcome(co_await client.connect(wrong)));
    listen();
    for (int i = 0; i < 2; ++i) {
      results.push_back(outcome(co_await client.connect(port_, "127.0.0.1")));
      auto accepted = co_await acceptor_->accept();
      EXPECT_TRUE(accepted.has_value());
      co_await accepted->end();
      results.push_back(text(co_await client.read()));
      client.destroy();
      EXPECT_EQ(outcome(co_await client.closed()), "ok");
    }
  });
  ASSERT_TRUE(finish());
  EXPECT_EQ(results, (std::vector<std::string>{"ERR_STREAM_DESTROYED", "ECONNREFUSED",
                                               "<ECONNREFUSED>", "ERR_SOCKET_BAD_PORT", "ok", "",
                                               "ok", ""}));
}

TEST_P(CoroConnectTest, AnAcceptedStreamCannotConnect) {
  join();
  std::string result;
  run([&]() -> Task<> { result = outcome(co_await stream().connect(port_)); });
  EXPECT_EQ(result, "ERR_SOCKET_ALREADY_CONNECTED");
}

TEST_P(CoroConnectTest, ConnectionsWaitInOrderForAnAccept) {
  listen();
  std::vector<std::unique_ptr<Socket>> clients;
  std::vector<Record> records(4);
  for (Record& one : records) {
    clients.push_back(dial(one));
    ASSERT_TRUE(run_until([&] { return one.has("ready"); }));
  }
  ASSERT_TRUE(run_until([&] { return acceptor_->server().connections() == 4; }));
  clients[1]->destroy();  // does not wait any more
  ASSERT_TRUE(run_until([&] { return records[1].closes == 1; }));
  ASSERT_TRUE(clients[2]->reset_and_destroy().has_value());
  ASSERT_TRUE(run_until([&] { return acceptor_->server().connections() == 3; }));
  std::vector<int> ports;
  run([&]() -> Task<> {
    for (int i = 0; i < 3; ++i) {
      auto accepted = co_await acceptor_->accept();
      if (accepted) ports.push_back(accepted->socket()->remote_address().port());
    }
  });
  ASSERT_EQ(ports.size(), 3U);
  EXPECT_EQ(ports[0], clients[0]->local_address().port());
  EXPECT_EQ(ports[2], clients[3]->local_address().port());
  EXPECT_TRUE(unhandled_.empty());
}

TEST_P(CoroConnectTest, MoreThanTheQueueHoldsIsClosedAtOnce) {
  listen();
  std::vector<std::unique_ptr<Socket>> clients;
  std::vector<Record> records(coro::kAcceptQueueMax + 5);
  for (Record& one : records) {
    clients.push_back(dial(one));
    ASSERT_TRUE(run_until([&] { return one.has("ready"); }));
  }
  const auto closed = [&] {
    return std::count_if(records.begin(), records.end(),
                         [](const Record& one) { return one.closes != 0; });
  };
  ASSERT_TRUE(run_until([&] { return closed() == 5; }));
  EXPECT_EQ(acceptor_->server().connections(), coro::kAcceptQueueMax);
}

TEST_P(CoroConnectTest, ClosingEndsTheAccept) {
  std::vector<std::string> results;
  acceptor_ = std::make_unique<coro::Acceptor>(reactor());
  run([&]() -> Task<> { results.push_back(outcome(co_await acceptor_->accept())); });
  ASSERT_TRUE(acceptor_->listen().has_value());
  scope_->spawn([&]() -> Task<> { results.push_back(outcome(co_await acceptor_->accept())); });
  run_for(1ms);
  acceptor_->close();
  EXPECT_EQ(results.size(), 1U);  // not inside the call
  ASSERT_TRUE(finish());
  EXPECT_EQ(results, std::vector<std::string>(2, "ERR_SERVER_NOT_RUNNING"));
}

TEST_P(CoroConnectTest, DestroyingTheAcceptorEndsItsStreamsAndTheAccept) {
  join();
  std::vector<std::string> results;
  scope_->spawn([&]() -> Task<> { results.push_back(text(co_await stream().read())); });
  scope_->spawn([&]() -> Task<> { results.push_back(outcome(co_await acceptor_->accept())); });
  scope_->spawn([&]() -> Task<> {
    co_await coro::delay(1ms);
    acceptor_.reset();
    results.push_back(text(co_await stream().read_exactly(1)));
    results.push_back(outcome(co_await stream().write("x")));
  });
  ASSERT_TRUE(finish());
  ASSERT_EQ(results.size(), 4U);
  EXPECT_EQ(results[0], "<ERR_STREAM_DESTROYED>");
  EXPECT_EQ(results[1], "ERR_STREAM_DESTROYED");
  EXPECT_EQ(stream().socket(), nullptr);
  EXPECT_TRUE(std::count(results.begin(), results.end(), "ERR_SERVER_NOT_RUNNING") == 1);
  ASSERT_TRUE(run_until([&] { return peer_record_.closes == 1; }));
}

TEST_P(CoroConnectTest, ACoroutineMayDestroyItsAcceptorWhileItAccepts) {
  listen();
  peer_ = dial(peer_record_);
  run([this]() -> Task<> {
    auto accepted = co_await acceptor_->accept();
    acceptor_.reset();
    EXPECT_EQ(accepted->socket(), nullptr);
    EXPECT_EQ(text(co_await accepted->read()), "<ERR_STREAM_DESTROYED>");
  });
  ASSERT_TRUE(run_until([&] { return peer_record_.closes == 1; }));
}

// ---- The input alone ----

TEST(CoroInputTest, FindAtEveryCutAndEveryLimit) {
  const std::string all = "aab\r\raab\r\n\r\nx";
  for (const std::string delimiter : {"\n", "\r\n", "\r\n\r\n", "aab\r\n", "x"}) {
    const std::size_t end = all.find(delimiter) + delimiter.size();
    for (std::size_t limit = 0; limit <= all.size(); ++limit) {
      for (std::size_t step = 1; step <= all.size(); ++step) {
        Input input;
        std::size_t searched = 0;
        std::size_t found = 0;
        for (std::size_t at = 0; at < all.size() && found == 0; at += step) {
          input.push(Buffer::copy(all.substr(at, step)));
          found = input.find(delimiter, limit, searched);
        }
        EXPECT_EQ(found, end <= limit ? end : 0) << delimiter << limit << " by " << step;
        if (found == 0) continue;
        EXPECT_EQ(input.take(found).view(), all.substr(0, end));
      }
    }
  }
}

TEST(CoroInputTest, APieceThatCameWholeIsNotCopied) {
  Input input;
  const Buffer piece = Buffer::copy("0123456789");
  input.push(piece.share());
  EXPECT_EQ(input.take(4).data(), piece.data());
  EXPECT_EQ(input.size(), 6U);
  EXPECT_EQ(input.take_all().data(), piece.data() + 4);
  EXPECT_TRUE(input.empty());
}

WEIR_ON_ALL_BACKENDS(CoroStreamTest);
WEIR_ON_ALL_BACKENDS(CoroConnectTest);

}  // namespace
}  // namespace weir::test
