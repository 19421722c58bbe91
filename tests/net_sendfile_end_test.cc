// Socket::send_file(): how connections end while a file is sent, and what files cannot be.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/sendfile.h"

namespace weir::test {
namespace {

// ---- Ends ----

TEST_P(SendFileTest, TheEndComesBehindIt) {
  join();
  const std::string content = pattern(2'000'000, 10);
  send(client(), file_with(content), content.size(), noting("file"));
  client().end([this](Socket&, std::error_code code) {
    calls_.push_back(code ? "end failed" : "end");
    EXPECT_FALSE(client_record_.has("finish"));
  });
  ASSERT_TRUE(run_until_closed());
  EXPECT_TRUE(peer_record_.bytes == content);
  EXPECT_EQ(calls_, (Calls{"file", "end"}));
  EXPECT_EQ(peer_record_.order(), "data end finish close");
  expect_all_gone();
}

TEST_P(SendFileTest, AfterTheEndItIsNotTaken) {
  join();
  client().end();
  FileRange range{.file = file_with("late"), .size = 4};
  const auto result = client().send_file(std::move(range), noting("late"));
  EXPECT_EQ(result.value_or(Write::ok), Write::closed);
  EXPECT_TRUE(range.file);  // NOLINT
  ASSERT_TRUE(run_until_closed());
  EXPECT_EQ(calls_, Calls{"late ERR_STREAM_WRITE_AFTER_END"});
  EXPECT_EQ(client_record_.error(), "ERR_STREAM_WRITE_AFTER_END");
  range.file.reset();
}

TEST_P(SendFileTest, DestroyedInTheMiddle) {
  for (const std::string how : {"destroy", "reset", "object"}) {
    for (const bool over_unix : {false, true}) {
      if (over_unix && how == "reset") continue;
      SCOPED_TRACE(how + (over_unix ? " unix" : ""));
      join(peer_that_does_not_read(over_unix));
      SharedFile file = large_file();
      client().write("head");
      send(client(), file, kMoreThanTheKernelTakes, noting("file"));
      client().write("tail", noting("tail"));
      file.reset();
      ASSERT_TRUE(stuck());
      EXPECT_TRUE(is_open(path_));
      if (how == "destroy") client().destroy();
      if (how == "reset") {
        EXPECT_TRUE(client().reset_and_destroy().has_value());
      }
      if (how == "object") client_.reset();
      EXPECT_TRUE(closes(path_));
      EXPECT_TRUE(run_until([&] { return how == "object" || client_record_.closes != 0; }));
      const Calls failed = {"file ERR_STREAM_DESTROYED", "tail ERR_STREAM_DESTROYED"};
      EXPECT_EQ(std::exchange(calls_, {}), how == "object" ? Calls() : failed);
      start_anew();
    }
  }
}

// At every stage of an operation: looked for, read, sent, waiting.
TEST_P(SendFileTest, DestroyedAfterAnyNumberOfTurns) {
  const std::string path = make_file(pattern(1'000'000, 11));
  for (int count = 0; count < 24; ++count) {
    join(peer_that_does_not_read());
    SharedFile file = file_at(path);
    EXPECT_EQ(posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED), 0);
    send(client(), {.file = std::move(file), .size = 1'000'000}, noting("file"));
    turns(count);
    const bool sent = !calls_.empty();
    client().destroy();
    EXPECT_TRUE(run_until([&] { return client_record_.closes != 0; }));
    EXPECT_TRUE(closes(path));
    // What the last turn has sent may be told only now.
    const Calls seen = std::exchange(calls_, {});
    const bool failed = seen == Calls{"file ERR_STREAM_DESTROYED"};
    EXPECT_TRUE(seen == Calls{"file"} || (failed && !sent));
    start_anew();
  }
}

TEST_P(SendFileTest, ThePeerResetsInTheMiddle) {
  join(peer_that_does_not_read());
  send(client(), large_file(), kMoreThanTheKernelTakes, noting("file"));
  ASSERT_TRUE(stuck());
  EXPECT_TRUE(peer().reset_and_destroy().has_value());
  ASSERT_TRUE(run_until_closed());
  EXPECT_TRUE(is_reset(client_record_.closed_with)) << client_record_.closed_with.message();
  ASSERT_EQ(client_record_.errors.size(), 1U);
  const std::string code(name_of(client_record_.errors[0].code));
  EXPECT_EQ(calls_, Calls{"file " + code});
  EXPECT_FALSE(client_record_.has("end")) << "a reset taken for a clean end";
  expect_all_gone();
}

TEST_P(SendFileTest, ThePeerOfAUnixSocketGoesInTheMiddle) {
  join(peer_that_does_not_read(true));
  send(client(), large_file(), kMoreThanTheKernelTakes, noting("file"));
  ASSERT_TRUE(stuck());
  peer().destroy();
  ASSERT_TRUE(run_until_closed());
  EXPECT_TRUE(is_reset(client_record_.closed_with)) << client_record_.closed_with.message();
  expect_all_gone();
}

// The peer has sent all it has, as a client with one request, and takes its time to read.
TEST_P(SendFileTest, APeerThatHasEndedCostsNothingWhileItDoesNotRead) {
  for (const bool over_unix : {false, true}) {
    PairOptions options = peer_that_does_not_read(over_unix);
    options.client.allow_half_open = true;
    join(options);
    send(client(), large_file(), kMoreThanTheKernelTakes, noting("file"));
    ASSERT_TRUE(stuck());
    peer().end();
    ASSERT_TRUE(run_until([&] { return client_record_.has("end"); }));
    turns();
    const std::uint64_t before = reactor().backend().counters().completions;
    turns(1000);
    EXPECT_LT(reactor().backend().counters().completions - before, 500U) << "it spins";
    std::size_t received = 0;
    peer().on_data([&](Socket&, Buffer bytes) { received += bytes.size(); });
    client().end();
    ASSERT_TRUE(run_until_closed());
    EXPECT_EQ(received, kMoreThanTheKernelTakes);
    EXPECT_EQ(std::exchange(calls_, {}), Calls{"file"});
    start_anew();
  }
}

TEST_P(SendFileTest, DescriptorsArePassedInTheirPlaces) {
  PairOptions options;
  options.over_unix = true;
  join(options);
  if (simulated()) return;  // its descriptors are no real ones
  const std::string content = pattern(300'000, 15);
  const SharedFile file = file_with(content);
  ASSERT_TRUE(peer().receive_descriptors().has_value());
  std::vector<std::size_t> places;
  peer().on_descriptor([&](Socket&, int fd) {
    places.push_back(peer_record_.bytes.size());
    close_now(fd);
  });
  const auto pass = [&] {
    const auto [reading, writing] = make_pipe();
    close_now(writing);
    ASSERT_TRUE(client().send_descriptor(reading, "!").has_value());
  };
  pass();
  send(client(), file, content.size());
  pass();
  client().write("text");
  send(client(), file, 1000);
  pass();
  expect_peer_has("!" + content + "!text" + content.substr(0, 1000) + "!");
  // Before the bytes that were received with it.
  constexpr std::size_t kPlaces[] = {0, 300'001, 301'006};
  ASSERT_EQ(places.size(), std::size(kPlaces));
  for (std::size_t i = 0; i < places.size(); ++i) {
    EXPECT_LE(places[i], kPlaces[i]);
    EXPECT_LT(kPlaces[i] - places[i], net::limits::kMessageBytesMax);
  }
}

TEST_P(SendFileTest, DetachingWaitsUntilItIsSent) {
  join();
  const std::string content = pattern(1'500'000, 12);
  send(client(), {.file = file_with(content), .size = content.size()}, noting("file"));
  int detached_fd = -1;
  ASSERT_TRUE(client()
                  .detach([&](Socket&, Expected<net::Detached> detached) {
                    ASSERT_TRUE(detached.has_value());
                    detached_fd = detached->fd;
                  })
                  .has_value());
  ASSERT_TRUE(run_until([&] { return client_record_.closes != 0; }));
  EXPECT_EQ(calls_, Calls{"file"});
  EXPECT_TRUE(closes(path_));
  Socket heir(reactor());
  ASSERT_TRUE(heir.adopt(detached_fd).has_value());
  heir.end(" heir");
  expect_peer_has(content + " heir");
  EXPECT_TRUE(run_until([&] { return heir.destroyed(); }));
}

// ---- Errors ----

TEST_P(SendFileTest, AFileThatIsShorterThanPromisedBreaksTheConnection) {
  for (const std::size_t missing : {1, 100'000}) {
    join();
    const std::string content = pattern(100'000, 13);
    client().write("head");
    send(client(), file_with(content), content.size() + missing, noting("file"));
    client().end("tail", noting("end"));
    ASSERT_TRUE(run_until_closed());
    EXPECT_EQ(calls_[0], "file ENODATA");
    ASSERT_EQ(client_record_.errors.size(), 1U);
    EXPECT_EQ(client_record_.errors[0].message().substr(0, 16), "sendfile ENODATA");
    EXPECT_EQ(client_record_.closed_with, errno_code(ENODATA));
    EXPECT_TRUE(("head" + content).starts_with(peer_record_.bytes)) << "wrong bytes";
    EXPECT_TRUE(is_reset(peer_record_.closed_with)) << peer_record_.order();
    EXPECT_FALSE(peer_record_.has("end")) << "the peer takes it for the whole";
    expect_all_gone();
    start_anew();
    calls_.clear();
  }
}

TEST_P(SendFileTest, AFileThatIsCutInTheMiddleBreaksTheConnection) {
  join(peer_that_does_not_read());
  send(client(), large_file(), kMoreThanTheKernelTakes, noting("file"));
  ASSERT_TRUE(stuck());
  std::filesystem::resize_file(path_, 1000);
  std::size_t received = 0;
  peer().on_data([&](Socket&, Buffer bytes) { received += bytes.size(); });
  ASSERT_TRUE(run_until_closed());
  EXPECT_LT(received, kMoreThanTheKernelTakes);
  EXPECT_EQ(calls_, Calls{"file ENODATA"});
  EXPECT_TRUE(is_reset(peer_record_.closed_with)) << peer_record_.order();
  EXPECT_FALSE(peer_record_.has("end"));
  expect_all_gone();
}

TEST_P(SendFileTest, WhatCannotBeReadBreaksTheConnection) {
  join();
  SharedFile file = file_with("some bytes");
  // Somebody else closes it, and gives its number to what cannot be sent.
  const int directory = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(dup3(directory, file.fd(), O_CLOEXEC), file.fd());
  close_now(directory);
  send(client(), {.file = std::move(file), .size = 10}, noting("file"));
  ASSERT_TRUE(run_until_closed());
  EXPECT_FALSE(client_record_.errors.empty());
  EXPECT_EQ(calls_.size(), 1U);
  EXPECT_TRUE(is_reset(peer_record_.closed_with)) << peer_record_.order();
  expect_all_gone();
}

TEST_P(SendFileTest, MistakesInTheRangeAreReturned) {
  join();
  const SharedFile file = file_with("x");
  constexpr std::uint64_t kMax = INT64_MAX;
  const auto refused = [&](FileRange range) {
    const auto result = client().send_file(std::move(range), noting("called"));
    return std::string(result ? "" : name_of(result.error().code));
  };
  EXPECT_EQ(refused({}), "ERR_INVALID_ARG_VALUE");
  EXPECT_EQ(refused({.file = file.share(), .offset = kMax, .size = 1}), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(refused({.file = file.share(), .offset = 1, .size = kMax}), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(refused({.file = file.share(), .offset = kMax + 1}), "ERR_OUT_OF_RANGE");
  turns();
  EXPECT_TRUE(calls_.empty());
  EXPECT_FALSE(client().destroyed());
  EXPECT_EQ(client().bytes_written(), 0U);
}

WEIR_ON_ALL_BACKENDS(SendFileTest);
WEIR_ON_FILE_THREADS(SendFileTest);

}  // namespace
}  // namespace weir::test
