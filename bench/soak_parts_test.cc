// The parts of the soak by themselves: what its readers take for an answer and what they refuse,
// and when its verdict is which.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "bench/soak_answer.h"
#include "bench/soak_frames.h"
#include "bench/soak_random.h"
#include "bench/soak_record.h"
#include "bench/soak_site.h"

namespace weir::bench {
namespace {

const LoadPattern kPattern;

// ---- Answers ----

// How many answers there were, or the error. Everything is fed in pieces of that size.
std::string read(const std::vector<SoakAnswer>& expected, std::string_view all, std::size_t piece) {
  AnswerReader reader(kPattern);
  for (const SoakAnswer& answer : expected) reader.expect(answer);
  std::size_t answers = 0;
  while (!all.empty()) {
    std::string_view bytes = all.substr(0, piece);
    all.remove_prefix(bytes.size());
    while (!bytes.empty()) {
      if (!reader.take(bytes)) return reader.error();
      if (!reader.finished()) continue;
      reader.next();
      ++answers;
    }
  }
  return std::to_string(answers) + (reader.in_the_middle() ? " and a part" : "");
}

void expect_read(const std::vector<SoakAnswer>& expected, std::string_view all,
                 const std::string& outcome) {
  for (std::size_t piece = 1; piece <= all.size(); ++piece) {
    const std::string found = read(expected, all, piece);
    EXPECT_TRUE(found.starts_with(outcome)) << "in pieces of " << piece << ": " << found;
  }
}

SoakAnswer text_answer(std::string_view text, int status = 200) {
  return {.status = status, .body = SoakBytes::literal(text)};
}

std::string head_of(std::size_t size, const std::string& status = "200 OK") {
  return "HTTP/1.1 " + status + "\r\nDate: now\r\ncontent-length: " + std::to_string(size) +
         "\r\n\r\n";
}

constexpr std::string_view kChunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(SoakAnswers, RightOnesAreTaken) {
  const SoakAnswer nothing{.status = 200, .body = {}, .head_only = true};
  expect_read({text_answer("abc"), nothing, text_answer("", 404), text_answer("de")},
              head_of(3) + "abc" + head_of(7) + head_of(0, "404 Not Found") + head_of(2) + "de",
              "4");
  expect_read({text_answer("abcde"), text_answer("f")},
              std::string(kChunkedHead) + "2\r\nab\r\n3\r\ncde\r\n0\r\nA: b\r\n\r\n" + head_of(1) +
                  "f",
              "2");
  expect_read({text_answer("abc")}, head_of(3) + "ab", "0 and a part");
}

TEST(SoakAnswers, WrongOnesAreRefused) {
  const std::string chunked(kChunkedHead);
  expect_read({text_answer("abc")}, head_of(3) + "abd", "wrong bytes in a body");
  expect_read({text_answer("abc")}, head_of(2) + "ab", "a body of 2 bytes, not of 3");
  expect_read({text_answer("abc")}, head_of(4) + "abcd", "wrong bytes in a body");
  expect_read({text_answer("abc")}, head_of(3) + "abcx", "bytes that nobody has asked for");
  expect_read({text_answer("abc")}, head_of(3, "500 No") + "abc", "not 200: HTTP/1.1 500 No");
  expect_read({text_answer("abc")}, "HTTP/1.1 200 OK\r\n\r\nabc", "a body without a length");
  expect_read({text_answer("abc")}, "HTTP/1.0 200 OK\r\n\r\n", "no response: HTTP/1.0");
  expect_read({text_answer("abc")}, chunked + "3\r\nabcd\r\n", "bytes behind a chunk");
  expect_read({text_answer("abc")}, chunked + "3;x=y\r\n", "a chunk's size: 3;x=y");
  expect_read({text_answer("abc")}, chunked + "2\r\nab\r\n0\r\n\r\n", "a body of 2 bytes");
  expect_read({text_answer("abc")}, "HTTP/1.1 200 " + std::string(10'000, 'x'),
              "a head without an end");
  expect_read({text_answer("abc", 0)}, head_of(3) + "abc", "not 0: HTTP/1.1 200");
}

TEST(SoakAnswers, ARefusalMayEndWithItsConnection) {
  AnswerReader reader(kPattern);
  reader.expect({.status = 0, .body = {}});
  std::string_view bytes = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nwhy";
  ASSERT_TRUE(reader.take(bytes));
  EXPECT_FALSE(reader.finished());
  reader.end();
  EXPECT_TRUE(reader.finished());
}

TEST(SoakAnswers, EveryByteOfAPatternIsCompared) {
  const auto bytes = SoakBytes::pattern_of(7, 65'000, 3000);
  std::string body = bytes.make(kPattern);
  ASSERT_EQ(body.size(), 3000U);
  const SoakAnswer expected{.status = 206, .body = bytes};
  EXPECT_EQ(read({expected}, head_of(3000, "206 Part") + body, 1000), "1");
  for (std::size_t at = 0; at < body.size(); at += 37) {
    body[at] = static_cast<char>(body[at] ^ 1);
    EXPECT_EQ(read({expected}, head_of(3000, "206 Part") + body, 10'000),
              "wrong bytes in a body from byte 0 on");
    body[at] = static_cast<char>(body[at] ^ 1);
  }
}

// ---- Frames ----

// As a server sends it: without a mask.
std::string frame(SoakOpcode opcode, std::string_view payload, bool last = true) {
  std::string bytes(1, static_cast<char>((last ? 0x80 : 0) | static_cast<int>(opcode)));
  if (payload.size() < 126) {
    bytes += static_cast<char>(payload.size());
  } else {
    bytes += {126, static_cast<char>(payload.size() >> 8), static_cast<char>(payload.size())};
  }
  return bytes.append(payload);
}

std::string read_frames(const std::vector<FrameReader::Message>& expected, std::string_view all,
                        std::size_t piece) {
  FrameReader reader(kPattern);
  for (const FrameReader::Message& message : expected) reader.expect(message);
  std::size_t messages = 0;
  while (!all.empty()) {
    std::string_view bytes = all.substr(0, piece);
    all.remove_prefix(bytes.size());
    while (!bytes.empty()) {
      if (!reader.take(bytes)) return reader.error();
      if (!reader.finished()) continue;
      if (reader.next().opcode == SoakOpcode::close) return std::to_string(messages) + ", closed";
      ++messages;
    }
  }
  return std::to_string(messages);
}

void expect_frames(const std::vector<FrameReader::Message>& expected, std::string_view all,
                   const std::string& outcome) {
  for (std::size_t piece = 1; piece <= all.size(); ++piece) {
    const std::string found = read_frames(expected, all, piece);
    EXPECT_TRUE(found.starts_with(outcome)) << "in pieces of " << piece << ": " << found;
  }
}

FrameReader::Message message_of(std::string_view text,
                                SoakOpcode opcode = SoakOpcode::binary) {
  return {.opcode = opcode, .payload = SoakBytes::literal(text)};
}

constexpr auto kPart = SoakOpcode::continuation;
constexpr auto kBinary = SoakOpcode::binary;
constexpr auto kPong = SoakOpcode::pong;

TEST(SoakFrames, RightOnesAreTaken) {
  const std::string long_one(300, 'x');
  expect_frames({message_of("abc"), message_of(""), message_of(long_one)},
                frame(kBinary, "abc") + frame(kBinary, "") + frame(kBinary, long_one), "3");
  expect_frames({message_of("p", kPong), message_of("abcd")},
                frame(kBinary, "ab", false) + frame(kPong, "p") + frame(kPart, "", false) +
                    frame(kPart, "cd") + frame(SoakOpcode::close, "\x03\xe8"),
                "2, closed");
}

TEST(SoakFrames, WrongOnesAreRefused) {
  expect_frames({message_of("abc")}, frame(kBinary, "abd"),
                "wrong bytes in a message");
  expect_frames({message_of("abc")}, frame(kBinary, "ab"), "a message of 2 bytes, not of 3");
  expect_frames({message_of("abc")}, frame(kBinary, "abcd"),
                "wrong bytes in a message");
  expect_frames({message_of("a")}, frame(kBinary, "a") + frame(kBinary, "a"),
                "a message that nobody has sent");
  expect_frames({message_of("a")}, frame(SoakOpcode::text, "a"), "a message of another kind");
  expect_frames({message_of("a")}, frame(kPart, "a"), "a part of nothing");
  expect_frames({message_of("ab")}, frame(kBinary, "a", false) + frame(kBinary, "b"),
                "a message in another");
  expect_frames({message_of("a")}, frame(kPong, "a"), "a pong for nothing");
  expect_frames({message_of("a", kPong)}, frame(kPong, "b"),
                "wrong bytes in a message");
  expect_frames({message_of("a")}, std::string("\xc2\x01", 2), "a frame with reserved bits");
  expect_frames({message_of("a")}, std::string("\x82\x81", 2), "a masked frame");
}

TEST(SoakFrames, OursAreMasked) {
  SoakRandom random(1);
  for (const std::size_t size : {0U, 125U, 126U, 65'535U, 65'536U}) {
    const std::string payload = SoakBytes::pattern_of(1, 0, size).make(kPattern);
    const std::string bytes = websocket_frame(kBinary, true, payload, random);
    const std::size_t head = size < 126 ? 2 : size < 65'536 ? 4 : 10;
    ASSERT_EQ(bytes.size(), head + 4 + size);
    std::string unmasked = bytes.substr(head + 4);
    for (std::size_t i = 0; i < size; ++i) {
      unmasked[i] = static_cast<char>(unmasked[i] ^ bytes[head + i % 4]);
    }
    EXPECT_TRUE(unmasked == payload);
  }
}

TEST(SoakFrames, OnlyTheRightAnswerOpens) {
  const std::string right =
      "HTTP/1.1 101 X\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
  EXPECT_TRUE(accepts_websocket(right));
  EXPECT_FALSE(accepts_websocket("HTTP/1.1 101 X\r\nSec-WebSocket-Accept: x\r\n\r\n"));
  EXPECT_FALSE(accepts_websocket("HTTP/1.1 200" + right.substr(12)));
}

// ---- Chance ----

TEST(SoakChance, TheSameSeedAsksTheSame) {
  const SoakSite site(kPattern);
  SoakRandom one(5);
  SoakRandom other(5);
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(site.small(one).text, site.small(other).text);
    EXPECT_EQ(one.until_next(1000), other.until_next(1000));
  }
}

TEST(SoakChance, SizesAreWithinTheirBounds) {
  SoakRandom random(1);
  std::uint64_t most = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t size = random.size_up_to(12);
    ASSERT_GE(size, 1U);
    most = std::max(most, size);
  }
  EXPECT_LE(most, 4096U);
  EXPECT_GT(most, 3000U);
}

// ---- Verdicts ----

// A server that has done everything right, for 16 rounds.
SoakRecord good_record() {
  SoakRecord record;
  record.name = "server";
  record.descriptors_begin = 7;
  record.tally = {.bytes = 1000, .begun = 12, .completed = 10, .abandoned = 2, .reports = {}};
  record.idle_seconds = 10;
  record.idle_cpu_seconds = 0.01;
  for (int i = 0; i < 16; ++i) {
    record.points.push_back({.p99_us = 100, .resident = 10 << 20});
    record.descriptors.push_back(7);
  }
  return record;
}

// The criteria that have this outcome.
std::vector<std::string> with(SoakOutcome outcome, const SoakRecord& record,
                              const SoakRecord* reference, const SoakLimits& limits = {}) {
  std::vector<std::string> criteria;
  for (const SoakVerdict& verdict : judge(record, reference, limits)) {
    if (verdict.outcome == outcome) criteria.push_back(verdict.criterion);
  }
  return criteria;
}

std::vector<std::string> failed(const SoakRecord& record) {
  const SoakRecord reference = good_record();
  return with(SoakOutcome::fail, record, &reference);
}

using Criteria = std::vector<std::string>;

TEST(SoakVerdicts, AGoodServerPasses) {
  const SoakRecord reference = good_record();
  EXPECT_EQ(with(SoakOutcome::pass, good_record(), &reference),
            (Criteria{"bytes", "operations", "descriptors", "memory", "p99", "idle", "exit"}));
}

TEST(SoakVerdicts, EachCriterionFailsByItself) {
  SoakRecord wrong = good_record();
  wrong.tally.wrong = 1;
  EXPECT_EQ(failed(wrong), Criteria{"bytes"});
  SoakRecord idle = good_record();
  idle.tally.bytes = 0;
  EXPECT_EQ(failed(idle), Criteria{"bytes"});
  SoakRecord unfinished = good_record();
  unfinished.tally.begun = 13;
  EXPECT_EQ(failed(unfinished), Criteria{"operations"});
  SoakRecord holds = good_record();
  holds.held = "weir_reactor_queue_bytes 1";
  EXPECT_EQ(failed(holds), Criteria{"operations"});
  SoakRecord leaks = good_record();
  leaks.descriptors.back() = 8;
  EXPECT_EQ(failed(leaks), Criteria{"descriptors"});
  SoakRecord closed_one = good_record();
  closed_one.descriptors.back() = 6;
  EXPECT_EQ(failed(closed_one), Criteria{"descriptors"});
  SoakRecord spins = good_record();
  spins.idle_cpu_seconds = 0.2;
  EXPECT_EQ(failed(spins), Criteria{"idle"});
  SoakRecord crashes = good_record();
  crashes.left = "it was ended by signal 11";
  EXPECT_EQ(failed(crashes), Criteria{"exit"});
  SoakRecord absent = good_record();
  absent.trouble = "no such program";
  EXPECT_EQ(failed(absent), Criteria{"start"});
}

TEST(SoakVerdicts, MemoryMayDriftByLessThanFivePercent) {
  SoakRecord grows = good_record();
  for (std::size_t i = 0; i < grows.points.size(); ++i) {
    grows.points[i].resident = (10 << 20) + i * (35 << 10);
  }
  EXPECT_EQ(failed(grows), Criteria{});  // 12 rounds of 35 KiB: 4.1 %
  for (std::size_t i = 0; i < grows.points.size(); ++i) {
    grows.points[i].resident = (10 << 20) + i * (45 << 10);
  }
  EXPECT_EQ(failed(grows), Criteria{"memory"});
  grows.points.resize(1);
  EXPECT_EQ(failed(grows), Criteria{});  // nothing to compare with
}

TEST(SoakVerdicts, WhatTheMachineDoesToTheReferenceIsNotTheServersDrift) {
  SoakRecord slower = good_record();
  SoakRecord reference = good_record();
  for (std::size_t i = 12; i < 16; ++i) slower.points[i].p99_us = 130;
  EXPECT_EQ(with(SoakOutcome::fail, slower, &reference), Criteria{"p99"});
  for (std::size_t i = 12; i < 16; ++i) reference.points[i].p99_us = 130;
  EXPECT_EQ(with(SoakOutcome::fail, slower, &reference), Criteria{});
  // A machine that has become faster hides nothing.
  for (std::size_t i = 12; i < 16; ++i) {
    slower.points[i].p99_us = 90;
    reference.points[i].p99_us = 70;
  }
  EXPECT_EQ(with(SoakOutcome::fail, slower, &reference), Criteria{"p99"});
}

TEST(SoakVerdicts, ANoisyMachineIsNoVerdictOnP99) {
  SoakRecord slower = good_record();
  SoakRecord reference = good_record();
  slower.points.back().p99_us = 1000;
  for (std::size_t i = 0; i < 16; i += 2) reference.points[i].p99_us = 300;
  EXPECT_EQ(with(SoakOutcome::not_judged, slower, &reference), Criteria{"p99"});
}

TEST(SoakVerdicts, TooFewRoundsSayNothingAboutP99) {
  SoakRecord slower = good_record();
  const SoakRecord reference = good_record();
  slower.points.resize(7);
  slower.points.back().p99_us = 1000;
  EXPECT_EQ(with(SoakOutcome::not_judged, slower, &reference), Criteria{"p99"});
  EXPECT_EQ(with(SoakOutcome::not_judged, slower, nullptr), Criteria{"p99"});
}

TEST(SoakVerdicts, ADriftIsBetweenTheMediansOfTheQuarters) {
  const SoakDrift drift = drift_of({1, 2, 90, 7, 7, 7, 7, 7, 7, 1, 4, 5});
  EXPECT_EQ(drift.first, 2);
  EXPECT_EQ(drift.last, 4);
  EXPECT_DOUBLE_EQ(drift.share(), 1);
}

}  // namespace
}  // namespace weir::bench
