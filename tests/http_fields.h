// Heads to send: the fields that a test gives, and the plan that is made of them in words.
#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/http/body_framing.h"
#include "weir/http/fields.h"

namespace weir::test {

struct Given {
  std::string_view name;
  std::string_view value;  // "-" removes it
};

// One line each; a name again is one more line.
inline void fill(http::Fields& fields, const std::vector<Given>& given) {
  for (const auto& [name, value] : given) {
    if (value == "-") {
      (void)fields.remove(name);
    } else {
      ASSERT_TRUE(fields.append(name, value)) << name;
    }
  }
}

// A plan's head, by both ways of writing it.
template <class Plan>
std::string bytes_of_plan(const Plan& plan) {
  std::string bytes(plan.size() + 2, '#');
  plan.write(std::span(bytes).subspan(1));
  EXPECT_EQ(bytes.front(), '#');
  EXPECT_EQ(bytes.back(), '#') << "not a byte too many";
  bytes = bytes.substr(1, plan.size());
  std::string appended = "before";
  plan.append_to(appended);
  EXPECT_EQ(appended, "before" + bytes);
  EXPECT_TRUE(bytes.ends_with("\r\n\r\n"));
  return bytes;
}

// The head without its end, "\n" for "\r\n"; then the framing and what becomes of the connection:
// "...|chunked keeps".
template <class Plan>
std::string summary_of_plan(const Plan& plan) {
  using Kind = http::BodyFraming::Kind;
  std::string text = bytes_of_plan(plan);
  text.resize(text.size() - 2);
  std::erase(text, '\r');
  text += "|";
  switch (plan.framing().kind) {
    case Kind::none: text += "none"; break;
    case Kind::length: text += std::to_string(plan.framing().length); break;
    case Kind::chunked: text += "chunked"; break;
    case Kind::until_close: text += "until close"; break;
  }
  return text + (plan.keeps_connection() ? " keeps" : " closes");
}

}  // namespace weir::test
