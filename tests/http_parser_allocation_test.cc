// What the parser asks for memory: nothing for ordinary requests, little for others, and it lives
// with a refusal at any time.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>

#include "tests/count_allocations.h"
#include "tests/http_trace.h"
#include "weir/reactor/memory.h"

namespace weir::test {
namespace {

using http::ParserLimits;
using http::RequestParser;
using http::ResponseParser;
using http::Step;
using Kind = Step::Kind;

constexpr std::string_view kOrdinary =
    "GET /a/path?with=query HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: a browser\r\n"
    "Accept: text/html,application/xhtml+xml\r\nConnection: keep-alive\r\n\r\n"
    "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    "5;a=b\r\nhello\r\n0\r\n\r\n";

constexpr std::string_view kOrdinaryResponses =
    "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: a server\r\n"
    "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 5\r\n\r\nhello"
    "HTTP/1.1 204 No Content\r\n\r\n"
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n";

// Returns how many messages ended.
template <class Parser>
int parse(Parser& parser, std::string_view input) {
  int ended = 0;
  for (;;) {
    const Step step = parser.next(input);
    input.remove_prefix(step.consumed);
    if (step.kind == Kind::end) ++ended;
    if (step.kind == Kind::need_more || step.kind == Kind::error) return ended;
  }
}

template <class Parser>
std::uint64_t allocations_of(Parser& parser, std::string_view input, std::size_t piece) {
  start_counting();
  for (; !input.empty(); input.remove_prefix(std::min(piece, input.size()))) {
    (void)parse(parser, input.substr(0, piece));
  }
  return stop_counting().allocations;
}

std::string with_fields(int count) {
  std::string text = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 1; i < count; ++i) text += "a:b\r\n";
  return text + "\r\n";
}

TEST(HttpParserAllocation, OrdinaryRequestsAllocateNothing) {
  const ParserLimits limits;
  std::array<http::Field, http::limits::kFieldsInPlace> place;
  RequestParser parser(&limits, place);
  start_counting();
  int ended = 0;
  for (int i = 0; i < 1000; ++i) ended += parse(parser, kOrdinary);
  const AllocationCounts counts = stop_counting();
  EXPECT_EQ(ended, 3000);
  EXPECT_EQ(counts.allocations, 0U);
  EXPECT_EQ(allocations_of(parser, with_fields(http::limits::kFieldsInPlace), 1 << 20), 0U);
}

TEST(HttpParserAllocation, OrdinaryResponsesAllocateNothing) {
  const ParserLimits limits;
  ResponseParser parser(&limits);
  start_counting();
  int ended = 0;
  for (int i = 0; i < 1000; ++i) ended += parse(parser, kOrdinaryResponses);
  const AllocationCounts counts = stop_counting();
  EXPECT_EQ(ended, 3000);
  EXPECT_EQ(counts.allocations, 0U);
  EXPECT_EQ(allocations_of(parser, kOrdinaryResponses, 1), 2U) << "for heads, and for trailers";
  EXPECT_EQ(allocations_of(parser, kOrdinaryResponses, 1), 0U);
}

TEST(HttpParserAllocation, ACopyIsMadeOnceAndUsedAgain) {
  const ParserLimits limits;
  RequestParser parser(&limits);
  EXPECT_EQ(allocations_of(parser, kOrdinary, 1), 3U) << "for heads, their fields, and trailers";
  EXPECT_EQ(allocations_of(parser, kOrdinary, 1), 0U);
  const std::string many = with_fields(40);
  EXPECT_EQ(allocations_of(parser, many, 1 << 20), 3U) << "8, 16, 32, 64";
  EXPECT_EQ(allocations_of(parser, many, 1 << 20), 0U);
}

TEST(HttpParserAllocation, LargeMemoryIsGivenBackBetweenMessages) {
  const ParserLimits limits;
  RequestParser parser(&limits);
  const std::string large = with_fields(900);
  for (int round = 0; round < 2; ++round) {
    start_counting();
    for (std::size_t i = 0; i < large.size(); ++i) (void)parse(parser, large.substr(i, 1));
    parser.release_message();
    const AllocationCounts counts = stop_counting();
    EXPECT_GT(counts.allocations, 4U);
    EXPECT_LT(counts.allocations, 16U) << "it doubles";
    EXPECT_EQ(counts.frees, counts.allocations) << "nothing of it is kept";
  }
}

TEST(HttpParserAllocation, AParserIsSmall) {
  EXPECT_LE(sizeof(RequestParser), 1600U);
  EXPECT_LE(sizeof(ResponseParser), 1600U);
}

// ---- Refusals ----

thread_local int allowed = 0;
bool refuse_when_used_up(std::size_t) noexcept { return allowed-- > 0; }

TEST(HttpParserAllocation, ARefusalIsAnErrorWhereverItComes) {
  const std::string bytes = with_fields(200) +
                            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                            "1\r\nx\r\n0\r\nTrailer-To-Copy: t\r\n\r\n";
  const ParserLimits limits;
  bool all_went_well = false;
  int refused = 0;
  for (int count = 0; !all_went_well; ++count) {
    RequestParser parser(&limits);
    allowed = count;
    memory::set_gate(refuse_when_used_up);
    int ended = 0;
    for (const char& byte : bytes) ended += parse(parser, {&byte, 1});
    memory::set_gate(nullptr);
    all_went_well = ended == 2;
    if (all_went_well) break;
    ++refused;
    EXPECT_EQ(parser.failure().error, http::ParseError::no_memory);
    EXPECT_EQ(parser.next("GET / HTTP/1.1\r\nHost: a\r\n\r\n").kind, Kind::error);
    ASSERT_LT(count, 100);
  }
  EXPECT_GT(refused, 5);
}

}  // namespace
}  // namespace weir::test
