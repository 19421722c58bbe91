// The fields of an outgoing message: names, order, what is refused, and what they cost.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/random.h"
#include "weir/http/fields.h"
#include "weir/http/limits.h"
#include "weir/http/text_sink.h"
#include "weir/reactor/memory.h"

namespace weir::test {
namespace {

using http::Fields;
using Views = std::vector<std::string_view>;
using namespace std::string_view_literals;

std::string text_of(const Fields& fields) {
  http::TextCounter counter;
  fields.write(counter);
  std::string text(counter.size(), '\0');
  http::TextSink sink(text);
  fields.write(sink);
  return text;
}

std::string_view code_of(const Expected<void>& result) {
  return result ? "" : name_of(result.error().code);
}

char to_upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 0x20) : c; }

// ---- Order and case ----

TEST(HttpFields, TheLastValueWinsAndTheFirstPlaceStays) {
  Fields fields;
  EXPECT_TRUE(fields.set("X-B", "1"));
  EXPECT_TRUE(fields.set("x-a", {"1", "2"}));
  EXPECT_TRUE(fields.set("X-b", "3"));
  EXPECT_TRUE(fields.append("X-A", "4"));
  EXPECT_EQ(text_of(fields), "X-b: 3\r\nx-a: 1\r\nx-a: 2\r\nx-a: 4\r\n") << "as Node sends it";
  EXPECT_EQ(fields.names(), (Views{"X-b", "x-a"}));
  EXPECT_EQ(fields.values("X-A"), (Views{"1", "2", "4"}));
  EXPECT_EQ(fields.size(), 4U);
  EXPECT_EQ(fields.at(3).value, "4");
}

TEST(HttpFields, AreFoundInAnyCase) {
  Fields fields;
  ASSERT_TRUE(fields.set("Content-Type", "text/plain"));
  EXPECT_TRUE(fields.has("CONTENT-type"));
  EXPECT_EQ(fields.get("content-type"), "text/plain");
  EXPECT_FALSE(fields.has("content-typ"));
  EXPECT_FALSE(fields.has(""));
  EXPECT_EQ(fields.get("x"), std::nullopt);
  EXPECT_TRUE(fields.values("x").empty());
  ASSERT_TRUE(fields.set("a^b", "1"));
  EXPECT_FALSE(fields.has("a~b")) << "only letters have a case";
}

TEST(HttpFields, AListCanShrinkGrowAndGo) {
  Fields fields;
  ASSERT_TRUE(fields.set("a", "1"));
  ASSERT_TRUE(fields.set("b", {"1", "2", "3"}));
  ASSERT_TRUE(fields.set("c", "1"));
  ASSERT_TRUE(fields.set("b", "4"));
  EXPECT_EQ(text_of(fields), "a: 1\r\nb: 4\r\nc: 1\r\n");
  ASSERT_TRUE(fields.set("a", {"5", "6"}));
  EXPECT_EQ(text_of(fields), "a: 5\r\na: 6\r\nb: 4\r\nc: 1\r\n");
  ASSERT_TRUE(fields.set("a", {}));
  EXPECT_EQ(text_of(fields), "b: 4\r\nc: 1\r\n");
  EXPECT_TRUE(fields.remove("C"));
  EXPECT_FALSE(fields.remove("C"));
  EXPECT_TRUE(fields.remove("b"));
  EXPECT_TRUE(fields.empty());
  EXPECT_EQ(text_of(fields), "");
}

TEST(HttpFields, MergeSetsEachNameOfTheOther) {
  Fields fields;
  ASSERT_TRUE(fields.set("A", "1"));
  ASSERT_TRUE(fields.set("B", {"1", "2"}));
  Fields other;
  ASSERT_TRUE(other.set("b", {"3", "4", "5"}));
  ASSERT_TRUE(other.set("C", "6"));
  ASSERT_TRUE(fields.merge(other));
  ASSERT_TRUE(fields.merge(fields));
  EXPECT_EQ(text_of(fields), "A: 1\r\nb: 3\r\nb: 4\r\nb: 5\r\nC: 6\r\n");
}

TEST(HttpFields, MergedIntoEmptyOnesTheyAreACopy) {
  Fields other;
  ASSERT_TRUE(other.set("A", "before"));
  ASSERT_TRUE(other.set("b", {"1", "2"}));
  ASSERT_TRUE(other.set("A", "now"));
  ASSERT_TRUE(other.set("C", "3"));
  ASSERT_TRUE(other.remove("c"));
  Fields fields;
  for (int i = 0; i < 3; ++i) {  // into new memory, and into what is there
    ASSERT_TRUE(fields.merge(other));
    EXPECT_EQ(text_of(fields), text_of(other));
    ASSERT_TRUE(fields.append("B", "3"));
    ASSERT_TRUE(fields.set("a", "mine"));
    EXPECT_EQ(text_of(fields), "a: mine\r\nb: 1\r\nb: 2\r\nb: 3\r\n");
    EXPECT_EQ(text_of(other), "A: now\r\nb: 1\r\nb: 2\r\n");
    fields.clear();
  }
  ASSERT_TRUE(fields.merge(Fields()));
  EXPECT_TRUE(fields.empty());
}

TEST(HttpFields, LinesOfOneNameAreMergedTogether) {
  constexpr http::Field kLines[] = {{"b", "3"}, {"C", "6"}, {"B", "4"}};
  Fields fields;
  ASSERT_TRUE(fields.merge(kLines));
  EXPECT_EQ(text_of(fields), "b: 3\r\nb: 4\r\nC: 6\r\n");
  fields.clear();
  ASSERT_TRUE(fields.set("A", "1"));
  ASSERT_TRUE(fields.set("B", {"1", "2"}));
  ASSERT_TRUE(fields.merge(kLines));
  EXPECT_EQ(text_of(fields), "A: 1\r\nb: 3\r\nb: 4\r\nC: 6\r\n");
  ASSERT_TRUE(fields.merge(std::span<const http::Field>()));
  EXPECT_EQ(text_of(fields), "A: 1\r\nb: 3\r\nb: 4\r\nC: 6\r\n");
}

TEST(HttpFields, OfLinesWithAnErrorNoneIsMerged) {
  constexpr http::Field kLines[] = {{"A", "2"}, {"C", "3"}, {"a b", "4"}};
  Fields fields;
  EXPECT_FALSE(fields.merge(kLines));
  EXPECT_EQ(text_of(fields), "");
  ASSERT_TRUE(fields.set("A", "1"));
  EXPECT_FALSE(fields.merge(kLines));
  EXPECT_EQ(text_of(fields), "A: 1\r\n");
}

TEST(HttpFields, AFieldThatWasUnwantedIsNotWhenItIsMergedIn) {
  Fields other;
  ASSERT_TRUE(other.set("Date", "today"));
  EXPECT_FALSE(other.remove("Host"));
  Fields fields;
  EXPECT_FALSE(fields.remove("date"));
  EXPECT_FALSE(fields.remove("connection"));
  ASSERT_TRUE(fields.merge(other));
  EXPECT_FALSE(fields.is_suppressed("date"));
  EXPECT_TRUE(fields.is_suppressed("connection"));
  EXPECT_FALSE(fields.is_suppressed("host")) << "what is not there is not merged";
}

TEST(HttpFields, RememberWhichAutomaticOnesAreUnwanted) {
  Fields fields;
  for (const std::string_view name :
       {"date"sv, "connection"sv, "content-length"sv, "transfer-encoding"sv}) {
    EXPECT_FALSE(fields.is_suppressed(name));
    std::string upper(name);
    std::ranges::transform(upper, upper.begin(), to_upper);
    EXPECT_FALSE(fields.remove(upper)) << "it was not there";
    EXPECT_TRUE(fields.is_suppressed(name));
    ASSERT_TRUE(fields.set(upper, "1"));
    EXPECT_FALSE(fields.is_suppressed(name));
    ASSERT_TRUE(fields.set(name, {}));
    EXPECT_TRUE(fields.is_suppressed(name));
  }
  EXPECT_FALSE(fields.remove("x"));
  EXPECT_FALSE(fields.is_suppressed("x"));
  fields.clear();
  EXPECT_FALSE(fields.is_suppressed("date"));
}

// ---- What is refused ----

TEST(HttpFields, ANameIsAToken) {
  Fields fields;
  ASSERT_TRUE(fields.set("a", "1"));
  for (const std::string_view name :
       {""sv, "a b"sv, "a:"sv, " a"sv, "a "sv, "a\r\nb"sv, "a\n"sv, "a\0"sv, "a\tb"sv, "a/b"sv,
        "\xc3\xa4"sv, "a\x7f"sv, "(a)"sv, "\"a\""sv}) {
    EXPECT_EQ(code_of(fields.set(name, "x")), "ERR_INVALID_HTTP_TOKEN") << name;
    EXPECT_EQ(code_of(fields.append(name, "x")), "ERR_INVALID_HTTP_TOKEN") << name;
    EXPECT_EQ(code_of(fields.set(name, {})), "ERR_INVALID_HTTP_TOKEN") << name;
    EXPECT_FALSE(fields.remove(name));
  }
  EXPECT_TRUE(fields.set("!#$%&'*+-.^_`|~09azAZ", "1"));
  EXPECT_EQ(fields.size(), 2U);
}

TEST(HttpFields, AValueCannotEndItsLine) {
  Fields fields;
  ASSERT_TRUE(fields.set("a", "1"));
  for (int byte = 0; byte < 256; ++byte) {
    const std::string value = {'x', static_cast<char>(byte), 'y'};
    const bool good = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
    const std::string_view code = good ? "" : "ERR_INVALID_CHAR";
    EXPECT_EQ(code_of(fields.set("a", value)), code) << byte;
    EXPECT_EQ(code_of(fields.set("b", {"fine", value})), code) << byte;
    EXPECT_EQ(code_of(fields.append("c", value)), code) << byte;
    EXPECT_EQ(fields.has("b"), good) << "nothing of a refused list stays";
    fields.clear();
  }
  for (const std::string_view value :
       {"1\r\nSet-Cookie: a=b"sv, "1\r\n\r\n<html>"sv, "1\n"sv, "\r"sv, "\r\n 1"sv, "1\0"sv}) {
    EXPECT_EQ(code_of(fields.set("a", value)), "ERR_INVALID_CHAR");
  }
  EXPECT_TRUE(fields.empty());
}

TEST(HttpFields, AnErrorSaysWhichFieldAndQuotesNothingElse) {
  Fields fields;
  const auto value = fields.set("X-Long", "a\r\nb");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().message(),
            "ERR_INVALID_CHAR: a control character in the value of X-Long");
  const auto name = fields.set("a\nb", "1");
  ASSERT_FALSE(name);
  EXPECT_EQ(name.error().message(), "ERR_INVALID_HTTP_TOKEN: a field name must be a token");
  const auto endless = fields.set(std::string(100'000, 'n'), "\n");
  ASSERT_FALSE(endless);
  EXPECT_LT(endless.error().message().size(), 200U);
}

TEST(HttpFields, BlanksAroundAValueAreNoPartOfIt) {
  Fields fields;
  ASSERT_TRUE(fields.set("a", " \t b  c\t "));
  ASSERT_TRUE(fields.set("d", " "));
  EXPECT_EQ(fields.get("a"), "b  c");
  EXPECT_EQ(text_of(fields), "a: b  c\r\nd: \r\n");
}

// ---- Bounds ----

TEST(HttpFields, HaveAMostOfLines) {
  Fields fields;
  for (std::size_t i = 0; i < http::limits::kSentFieldsMax; ++i) {
    ASSERT_TRUE(fields.append(i % 2 == 0 ? "a" : "b", "1"));
  }
  EXPECT_EQ(code_of(fields.append("a", "1")), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(code_of(fields.set("c", "1")), "ERR_OUT_OF_RANGE");
  EXPECT_TRUE(fields.set("a", "2")) << "in place of 500";
  EXPECT_EQ(fields.size(), http::limits::kSentFieldsMax / 2 + 1);
  EXPECT_TRUE(fields.append("a", "3"));
  EXPECT_EQ(fields.values("a"), (Views{"2", "3"}));
  const std::vector<std::string_view> many(http::limits::kSentFieldsMax + 1, "");
  EXPECT_EQ(code_of(fields.set("a", many)), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(fields.values("a"), (Views{"2", "3"})) << "as it was";
}

TEST(HttpFields, HaveAMostOfBytes) {
  Fields fields;
  const std::string largest(http::limits::kSentFieldBytesMax - 1, 'x');
  EXPECT_TRUE(fields.set("a", largest));
  EXPECT_EQ(code_of(fields.set("a", largest + "x")), "ERR_OUT_OF_RANGE");
  EXPECT_EQ(code_of(fields.append("a", "x")), "ERR_OUT_OF_RANGE");
  EXPECT_TRUE(fields.append("a", ""));
  EXPECT_TRUE(fields.set("A", largest)) << "what is replaced does not count";
  EXPECT_EQ(text_of(fields), "A: " + largest + "\r\n");
  ASSERT_TRUE(fields.remove("a"));
  EXPECT_TRUE(fields.set("b", largest));
}

TEST(HttpFields, ArgumentsMayBeViewsOfTheObjectItself) {
  Fields fields;
  ASSERT_TRUE(fields.set("a", "0123456789"));
  for (int i = 0; i < 500; ++i) {
    const std::string_view value = fields.get("a").value_or("");
    ASSERT_TRUE(fields.set(fields.at(0).name, {value.substr(1), value.substr(0, 1)}));
    const Views both = fields.values("a");
    const std::string joined = std::string(both[0]) + std::string(both[1]);
    ASSERT_TRUE(fields.set("a", joined));
    ASSERT_TRUE(fields.append("b", fields.get("a").value_or("")));
    ASSERT_TRUE(fields.set("b", fields.values("b").back()));
  }
  EXPECT_EQ(text_of(fields), "a: 0123456789\r\nb: 0123456789\r\n") << "500 is a multiple of 10";
}

// ---- Against a plain model ----

struct ModelField {
  std::string name;
  std::vector<std::string> values;
};

class Model {
 public:
  void set(const std::string& name, std::vector<std::string> values) {
    ModelField& field = make(name);
    field = {.name = name, .values = std::move(values)};
  }
  void append(const std::string& name, const std::string& value) {
    make(name).values.push_back(value);
  }
  void remove(const std::string& name) {
    std::erase_if(fields_, [&](const ModelField& field) { return same(field.name, name); });
  }
  std::string text() const {
    std::string text;
    for (const ModelField& field : fields_) {
      for (const std::string& value : field.values) text += field.name + ": " + value + "\r\n";
    }
    return text;
  }

 private:
  static bool same(const std::string& a, const std::string& b) {
    return std::ranges::equal(a, b, {}, to_upper, to_upper);
  }
  ModelField& make(const std::string& name) {
    for (ModelField& field : fields_) {
      if (same(field.name, name)) return field;
    }
    return fields_.emplace_back(name);
  }

  std::vector<ModelField> fields_;
};

TEST(HttpFields, DoAsAPlainModelDoes) {
  Random random(0xf1e1d5);
  Fields fields;
  Model model;
  for (int i = 0; i < 20'000; ++i) {
    std::string name = "N" + std::to_string(random.below(12));
    if (random.below(2) == 0) name[0] = 'n';
    const std::string value(random.below(60), static_cast<char>('a' + random.below(26)));
    switch (random.below(5)) {
      case 0:
      case 1:
        ASSERT_TRUE(fields.set(name, value));
        model.set(name, {value});
        break;
      case 2:
        ASSERT_TRUE(fields.set(name, {value, "", value}));
        model.set(name, {value, "", value});
        break;
      case 3:
        if (fields.values(name).size() > 20) break;
        ASSERT_TRUE(fields.append(name, value));
        model.append(name, value);
        break;
      default:
        (void)fields.remove(name);
        model.remove(name);
    }
    ASSERT_EQ(text_of(fields), model.text()) << "step " << i;
    if (i % 500 != 0) continue;
    fields.clear();
    model = {};
  }
}

// ---- Refusals of memory ----

thread_local int allowed = 0;
bool refuse_when_used_up(std::size_t) noexcept { return allowed-- > 0; }

TEST(HttpFields, ARefusalOfMemoryChangesNothing) {
  int refused = 0;
  for (int count = 0; count < 20; ++count) {
    Fields fields;
    std::string expected;
    allowed = count;
    memory::set_gate(refuse_when_used_up);
    for (int i = 0; i < 200; ++i) {
      const std::string name = "name-" + std::to_string(i);
      const auto set = fields.set(name, {"some value", "and another"});
      if (set) {
        expected += name + ": some value\r\n" + name + ": and another\r\n";
      } else {
        ++refused;
        EXPECT_EQ(set.error().code, errno_code(ENOMEM));
        EXPECT_FALSE(fields.has(name));
      }
    }
    memory::set_gate(nullptr);
    EXPECT_EQ(text_of(fields), expected);
    EXPECT_TRUE(fields.set("at-last", ""));
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace weir::test
