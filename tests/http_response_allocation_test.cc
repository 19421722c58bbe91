// What the parts of a response ask for memory: nothing, once they have had one like it.
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/count_allocations.h"
#include "weir/http/body_writer.h"
#include "weir/http/fields.h"
#include "weir/http/head_lines.h"
#include "weir/http/response_head.h"

namespace weir::test {
namespace {

using http::BodyWriter;
using http::Fields;

// A whole answer into `out`; returns whether all went well.
bool answer(Fields& fields, Fields& trailers, http::HeadLines& lines, std::int64_t now,
            bool is_streamed, std::string& out) {
  bool good = true;
  good &= fields.set("Content-Type", "text/html; charset=utf-8").has_value();
  good &= fields.set("Set-Cookie", {"session=0123456789; Path=/", "b=2"}).has_value();
  good &= fields.append("Vary", "Accept-Encoding").has_value();
  good &= fields.set("content-type", "text/plain").has_value();
  if (is_streamed) good &= trailers.set("X-Sum", "0123456789abcdef").has_value();
  lines.renew(now);
  http::ResponseFacts facts = {.fields = &fields,
                               .keep_alive_seconds = lines.keep_alive_seconds(),
                               .date = lines.date(),
                               .usual_lines = lines.usual()};
  if (!is_streamed) facts.body_size = 5;
  const auto plan = http::plan_response(facts);
  if (!plan) return false;
  plan->append_to(out);
  BodyWriter writer(plan->framing());
  const auto piece = writer.piece(5);
  if (!piece) return false;
  out.append(piece->before()).append("hello").append(piece->behind());
  const auto end = writer.finish(&trailers);
  if (!end) return false;
  end->append_to(out);
  return good && end->is_complete();
}

TEST(HttpResponseAllocation, OrdinaryAnswersAllocateNothingAfterTheFirst) {
  Fields fields;
  Fields trailers;
  http::HeadLines lines(5);
  std::string out;
  int good = 0;
  std::size_t bytes = 0;
  for (int i = 0; i < 1001; ++i) {
    if (i == 1) start_counting();
    for (const bool is_streamed : {false, true}) {
      out.clear();
      if (answer(fields, trailers, lines, i / 10, is_streamed, out)) ++good;
      bytes += out.size();
      fields.clear();
      trailers.clear();
    }
  }
  const AllocationCounts counts = stop_counting();
  EXPECT_EQ(good, 2002);
  EXPECT_GT(bytes, 400'000U);
  EXPECT_EQ(counts.allocations, 0U);
  EXPECT_EQ(counts.frees, 0U);
}

TEST(HttpResponseAllocation, TheFirstAnswerAllocatesTwice) {
  start_counting();
  bool good = true;
  {
    Fields fields;
    for (const std::string_view name : {"a", "b", "c", "d", "e", "f", "g", "h"}) {
      good &= fields.set(name, "an ordinary value of some length").has_value();
    }
  }
  const AllocationCounts counts = stop_counting();
  EXPECT_TRUE(good);
  EXPECT_EQ(counts.allocations, 2U) << "bytes and lines";
  EXPECT_EQ(counts.frees, 2U);
}

TEST(HttpResponseAllocation, SettingAFieldAgainAndAgainIsCheap) {
  Fields fields;
  const std::string values[] = {std::string(90, 'x'), std::string(100, 'y')};
  ASSERT_TRUE(fields.set("b", "1"));
  start_counting();
  bool good = true;
  for (std::size_t i = 0; i < 1000; ++i) good &= fields.set("a", values[i % 2]).has_value();
  const AllocationCounts counts = stop_counting();
  EXPECT_TRUE(good);
  EXPECT_LT(counts.allocations, 300U) << "the arena is small, and what is dead in it goes";
  EXPECT_EQ(fields.get("a"), values[1]);
}

TEST(HttpResponseAllocation, LargeMemoryIsGivenBackBetweenMessages) {
  Fields fields;
  const std::string value(50, 'x');
  for (int round = 0; round < 2; ++round) {
    start_counting();
    bool good = true;
    for (int i = 0; i < 900; ++i) good &= fields.append("a", value).has_value();
    fields.clear();
    const AllocationCounts counts = stop_counting();
    EXPECT_TRUE(good);
    EXPECT_GT(counts.allocations, 4U);
    EXPECT_LT(counts.allocations, 24U) << "it doubles";
    EXPECT_EQ(counts.frees, counts.allocations) << "nothing of it is kept";
  }
}

TEST(HttpResponseAllocation, FieldsAreSmall) {
  EXPECT_LE(sizeof(Fields), 64U);
  EXPECT_LE(sizeof(BodyWriter), 16U);
}

}  // namespace
}  // namespace weir::test
