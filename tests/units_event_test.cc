// net::Event: listeners in order, once or always, through changes during the emission.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "weir/net/event.h"

namespace weir::test {
namespace {

using net::Event;
using net::ListenerId;

class EventTest : public testing::Test {
 protected:
  void emit() {
    event_.emit_each([](auto& listener, bool) {
      listener();
      return true;
    });
  }
  ListenerId add(std::string name, bool once = false) {
    return event_.add([this, name = std::move(name)] { seen_ += name; }, once);
  }
  std::string seen() { return std::exchange(seen_, ""); }

  Event<> event_;
  std::string seen_;
};

TEST_F(EventTest, ListenersRunInTheOrderOfRegistration) {
  EXPECT_TRUE(event_.empty());
  emit();
  add("a");
  add("b");
  add("c");
  EXPECT_FALSE(event_.empty());
  emit();
  emit();
  EXPECT_EQ(seen(), "abcabc");
}

TEST_F(EventTest, AOnceListenerRunsOnce) {
  add("a");
  add("b", true);
  emit();
  emit();
  EXPECT_EQ(seen(), "aba");
}

TEST_F(EventTest, TheLastOnceListenerLeavesTheEventEmpty) {
  add("a", true);
  emit();
  EXPECT_TRUE(event_.empty());
  emit();
  EXPECT_EQ(seen(), "a");
}

TEST_F(EventTest, ARemovedListenerRunsNoMore) {
  add("a");
  const ListenerId b = add("b");
  add("c");
  event_.remove(b);
  event_.remove(b);
  event_.remove(ListenerId::none);
  emit();
  EXPECT_EQ(seen(), "ac");
  add("d");
  emit();
  EXPECT_EQ(seen(), "acd");
}

TEST_F(EventTest, AListenerAddedWhileEmittingWaitsForTheNextEmission) {
  event_.add(
      [this] {
        seen_ += "a";
        add("n");
      },
      true);
  add("b");
  emit();
  EXPECT_EQ(seen(), "ab");
  emit();
  EXPECT_EQ(seen(), "bn");
}

TEST_F(EventTest, AListenerRemovedWhileEmittingStillRunsThatTime) {
  ListenerId later = ListenerId::none;
  event_.add(
      [&] {
        seen_ += "a";
        event_.remove(later);
      },
      false);
  later = add("b");
  emit();
  EXPECT_EQ(seen(), "ab");
  emit();
  EXPECT_EQ(seen(), "a");
}

TEST_F(EventTest, AListenerMayRemoveItself) {
  ListenerId self = ListenerId::none;
  self = event_.add(
      [&] {
        seen_ += "x";
        event_.remove(self);
        seen_ += "y";
      },
      false);
  add("b");
  emit();
  emit();
  EXPECT_EQ(seen(), "xybb");
}

TEST_F(EventTest, EmissionsNest) {
  int depth = 0;
  event_.add(
      [&] {
        seen_ += "(";
        if (++depth < 3) emit();
        --depth;
        seen_ += ")";
      },
      false);
  add("b");
  emit();
  EXPECT_EQ(seen(), "((()b)b)b");
}

TEST_F(EventTest, AOnceListenerRunsOnceEvenWhenEmissionsNest) {
  int depth = 0;
  event_.add(
      [&] {
        seen_ += "a";
        if (++depth == 1) emit();
      },
      false);
  add("o", true);
  emit();
  EXPECT_EQ(seen(), "aao");
  emit();
  EXPECT_EQ(seen(), "a");
}

TEST_F(EventTest, ANestedEmissionDoesNotRunWhatWasRemovedBefore) {
  ListenerId later = ListenerId::none;
  int depth = 0;
  event_.add(
      [&] {
        seen_ += "a";
        event_.remove(later);
        if (++depth == 1) emit();
      },
      false);
  later = add("b");
  emit();
  EXPECT_EQ(seen(), "aab");
}

TEST_F(EventTest, ANestedEmissionRunsWhatWasAddedBefore) {
  int depth = 0;
  event_.add(
      [&] {
        seen_ += "a";
        if (++depth > 1) return;
        add("n");
        emit();
      },
      false);
  emit();
  EXPECT_EQ(seen(), "aan");
}

TEST_F(EventTest, FalseEndsTheEmission) {
  add("a");
  add("b");
  event_.emit_each([](auto& listener, bool) {
    listener();
    return false;
  });
  EXPECT_EQ(seen(), "a");
  emit();
  EXPECT_EQ(seen(), "ab");
}

TEST_F(EventTest, OnlyTheLastListenerIsToldThatItIsTheLast) {
  for (const char* name : {"a", "b", "c"}) add(name);
  event_.remove(add("d"));
  std::vector<bool> last;
  event_.emit_each([&](auto& listener, bool is_last) {
    listener();
    last.push_back(is_last);
    return true;
  });
  EXPECT_EQ(seen(), "abc");
  EXPECT_EQ(last, (std::vector<bool>{false, false, true}));
}

TEST(Event, ListenersAreDestroyedWhenTheyGo) {
  const auto witness = std::make_shared<int>(0);
  {
    Event<int> event;
    const ListenerId id = event.add([witness](int) {}, false);
    event.add([witness](int) {}, true);
    event.add([witness](int) {}, false);
    EXPECT_EQ(witness.use_count(), 4);
    event.remove(id);
    EXPECT_EQ(witness.use_count(), 3);
    event.emit_each([](auto& listener, bool) {
      listener(1);
      return true;
    });
    EXPECT_EQ(witness.use_count(), 2);
  }
  EXPECT_EQ(witness.use_count(), 1);
}

TEST(Event, ItCanBeUsedAgainAfterClear) {
  Event<int> event;
  int sum = 0;
  const auto witness = std::make_shared<int>(0);
  for (int round = 1; round <= 3; ++round) {
    for (int i = 0; i < round; ++i) event.add([&sum, witness](int n) { sum += n; }, i == 1);
    event.emit_each([](auto& listener, bool) {
      listener(1);
      return true;
    });
    event.clear();
    EXPECT_TRUE(event.empty());
    EXPECT_EQ(witness.use_count(), 1) << "the memory stays, what was in it does not";
  }
  EXPECT_EQ(sum, 1 + 2 + 3);
}

TEST(Event, WhatAListenerAddsWhenItGoesIsClearedToo) {
  struct Adds {
    explicit Adds(Event<>& its_event) : event(&its_event) {}
    Adds(Adds&& other) noexcept : event(std::exchange(other.event, nullptr)) {}
    ~Adds() {
      if (event != nullptr) event->add([] {}, false);
    }
    void operator()() const {}
    Event<>* event;
  };
  Event<> event;
  event.add(Adds(event), false);
  event.add([] {}, false);
  event.clear();
  EXPECT_TRUE(event.empty());
  int calls = 0;
  event.emit_each([&](auto&, bool) { return ++calls != 0; });
  EXPECT_EQ(calls, 0);
}

TEST(Event, ArgumentsReachEveryListener) {
  Event<const std::string&, int> event;
  std::string seen;
  for (int i = 0; i < 2; ++i) {
    event.add([&seen](const std::string& text, int number) { seen += text.substr(0, number); },
              false);
  }
  event.emit_each([](auto& listener, bool) {
    listener("abcdef", 3);
    return true;
  });
  EXPECT_EQ(seen, "abcabc");
}

}  // namespace
}  // namespace weir::test
