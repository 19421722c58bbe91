// Function, IntrusiveList and Slab.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "weir/reactor/function.h"
#include "weir/reactor/intrusive_list.h"
#include "weir/reactor/slab.h"

namespace weir::test {
namespace {

// Counts the objects that are alive.
struct Counted {
  explicit Counted(int& its_live) : live(&its_live) { ++*live; }
  Counted(Counted&& other) noexcept : live(other.live) { ++*live; }
  Counted& operator=(Counted&&) = delete;
  ~Counted() { --*live; }
  int* live;
};

// ---- Function ----

TEST(Function, IsEmptyUntilItHoldsACallable) {
  Function<int()> function;
  EXPECT_FALSE(function);
  function = [] { return 7; };
  EXPECT_TRUE(function);
  EXPECT_EQ(function(), 7);
  function.reset();
  EXPECT_FALSE(function);
  function.reset();
}

TEST(Function, KeepsCapturesOf48BytesInPlace) {
  std::array<std::uint64_t, 6> capture{1, 2, 3, 4, 5, 6};
  static_assert(sizeof capture == Function<void()>::kInlineBytes);
  Function<const void*()> function = [capture]() -> const void* { return &capture; };
  const auto* held = static_cast<const std::byte*>(function());
  const auto* begin = reinterpret_cast<const std::byte*>(&function);
  EXPECT_GE(held, begin);
  EXPECT_LE(held + sizeof capture, begin + sizeof function);
}

TEST(Function, TakesMoveOnlyCaptures) {
  Function<int()> function = [value = std::make_unique<int>(5)] { return *value; };
  Function<int()> moved = std::move(function);
  EXPECT_FALSE(function);
  EXPECT_EQ(moved(), 5);
}

TEST(Function, MovesArgumentsThroughUncopied) {
  Function<std::unique_ptr<int>(std::unique_ptr<int>)> pass = [](std::unique_ptr<int> value) {
    ++*value;
    return value;
  };
  EXPECT_EQ(*pass(std::make_unique<int>(1)), 2);
  Function<int&(int&)> identity = [](int& value) -> int& { return value; };
  int number = 3;
  EXPECT_EQ(&identity(number), &number);
}

TEST(Function, KeepsStateBetweenCalls) {
  Function<int()> counter = [count = 0]() mutable { return ++count; };
  EXPECT_EQ(counter(), 1);
  EXPECT_EQ(counter(), 2);
  Function<int()> moved = std::move(counter);
  EXPECT_EQ(moved(), 3);
}

TEST(Function, DestroysItsCallableExactlyOnce) {
  int live = 0;
  {
    Function<void()> first = [counted = Counted(live)] {};
    EXPECT_EQ(live, 1);
    Function<void()> second = std::move(first);
    EXPECT_EQ(live, 1);
    first = std::move(second);
    EXPECT_EQ(live, 1);
    second = [counted = Counted(live)] {};
    EXPECT_EQ(live, 2);
    first = std::move(second);
    EXPECT_EQ(live, 1);
    Function<void()>& same = first;
    first = std::move(same);
    EXPECT_EQ(live, 1);
    EXPECT_TRUE(first);
    first.reset();
    EXPECT_EQ(live, 0);
    second = [counted = Counted(live)] {};
  }
  EXPECT_EQ(live, 0);
}

TEST(Function, AcceptsOnlyWhatItCanCall) {
  using Taker = Function<int(int)>;
  static_assert(!std::is_constructible_v<Taker, int>);
  static_assert(!std::is_constructible_v<Taker, void (*)(std::string)>);
  static_assert(!std::is_copy_constructible_v<Taker>);
  static_assert(std::is_nothrow_move_constructible_v<Taker>);
  Taker from_pointer = +[](int value) { return value + 1; };
  EXPECT_EQ(from_pointer(1), 2);
}

TEST(Function, BoxesLargeCaptures) {
  std::array<int, 1000> large{};
  large[999] = 42;
  int live = 0;
  {
    Function<int(int)> function =
        boxed([large, counted = Counted(live)](int add) { return large[999] + add; });
    Function<int(int)> moved = std::move(function);
    EXPECT_EQ(moved(1), 43);
    EXPECT_EQ(live, 1);
  }
  EXPECT_EQ(live, 0);
}

TEST(FunctionDeathTest, CallingAnEmptyOneAsserts) {
  Function<void()> function;
  EXPECT_DEATH(function(), "assertion failed: actions_ != nullptr");
}

// ---- IntrusiveList ----

struct Element : ListNode {
  explicit Element(int its_value) : value(its_value) {}
  int value;
};

std::vector<int> values_of(IntrusiveList<Element>& list) {
  std::vector<int> values;
  list.for_each([&](Element& element) { values.push_back(element.value); });
  return values;
}

TEST(IntrusiveList, IsFirstInFirstOut) {
  Element a(1), b(2), c(3);
  IntrusiveList<Element> list;
  EXPECT_TRUE(list.empty());
  list.push_back(a);
  list.push_back(b);
  list.push_back(c);
  EXPECT_EQ(list.front().value, 1);
  EXPECT_EQ(list.pop_front().value, 1);
  EXPECT_FALSE(a.linked());
  list.push_back(a);
  EXPECT_EQ(values_of(list), (std::vector<int>{2, 3, 1}));
}

TEST(IntrusiveList, ElementsLeaveFromAnyPlace) {
  Element a(1), b(2), c(3);
  IntrusiveList<Element> list;
  for (Element* element : {&a, &b, &c}) list.push_back(*element);
  b.unlink();
  b.unlink();
  EXPECT_EQ(values_of(list), (std::vector<int>{1, 3}));
  c.unlink();
  a.unlink();
  EXPECT_TRUE(list.empty());
}

TEST(IntrusiveList, ADestroyedElementIsNotInTheListAnyMore) {
  Element a(1);
  IntrusiveList<Element> list;
  {
    Element gone(2);
    list.push_back(gone);
    list.push_back(a);
  }
  EXPECT_EQ(values_of(list), std::vector<int>{1});
}

TEST(IntrusiveList, ADestroyedListOnlyUnlinks) {
  Element a(1);
  {
    IntrusiveList<Element> list;
    list.push_back(a);
    EXPECT_TRUE(a.linked());
  }
  EXPECT_FALSE(a.linked());
}

TEST(IntrusiveList, SplicesInOrderAndLeavesTheOtherEmpty) {
  Element a(1), b(2), c(3), d(4);
  IntrusiveList<Element> list;
  IntrusiveList<Element> other;
  list.splice_back(other);
  EXPECT_TRUE(list.empty());
  other.push_back(c);
  other.push_back(d);
  list.splice_back(other);
  EXPECT_EQ(values_of(list), (std::vector<int>{3, 4}));
  EXPECT_TRUE(other.empty());
  other.push_back(a);
  other.push_back(b);
  list.splice_back(other);
  EXPECT_EQ(values_of(list), (std::vector<int>{3, 4, 1, 2}));
  list.splice_back(other);
  EXPECT_EQ(values_of(list), (std::vector<int>{3, 4, 1, 2}));
}

TEST(IntrusiveList, AVisitorMayUnlinkWhatItIsGiven) {
  Element a(1), b(2), c(3);
  IntrusiveList<Element> list;
  for (Element* element : {&a, &b, &c}) list.push_back(*element);
  std::vector<int> visited;
  list.for_each([&](Element& element) {
    visited.push_back(element.value);
    if (element.value != 2) element.unlink();
  });
  EXPECT_EQ(visited, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(values_of(list), std::vector<int>{2});
}

TEST(IntrusiveListDeathTest, AnElementInTwoListsAsserts) {
  Element a(1);
  IntrusiveList<Element> one;
  IntrusiveList<Element> two;
  one.push_back(a);
  EXPECT_DEATH(two.push_back(a), "assertion failed: !node.linked");
  EXPECT_DEATH(two.pop_front(), "assertion failed: !empty");
}

// ---- Slab ----

TEST(Slab, ObjectsKeepTheirAddresses) {
  Slab<std::string> slab;
  std::vector<std::string*> objects;
  for (int i = 0; i < 1000; ++i) {
    objects.push_back(slab.create(std::to_string(i)));
    ASSERT_NE(objects.back(), nullptr);
  }
  EXPECT_EQ(slab.live(), 1000U);
  EXPECT_EQ(std::set<std::string*>(objects.begin(), objects.end()).size(), 1000U);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(*objects[static_cast<std::size_t>(i)], std::to_string(i));
  }
  for (std::string* object : objects) slab.destroy(object);
  EXPECT_EQ(slab.live(), 0U);
}

TEST(Slab, DestroysWhatItHolds) {
  int live = 0;
  Slab<Counted> slab;
  Counted* object = slab.create(live);
  EXPECT_EQ(live, 1);
  slab.destroy(object);
  EXPECT_EQ(live, 0);
}

TEST(Slab, ARefTurnsNullWhenItsObjectIsDestroyed) {
  Slab<std::string> slab;
  EXPECT_EQ(Slab<std::string>::Ref().get(), nullptr);
  std::string* object = slab.create("first");
  const auto ref = Slab<std::string>::ref(object);
  EXPECT_EQ(ref.get(), object);
  slab.destroy(object);
  EXPECT_EQ(ref.get(), nullptr);
}

TEST(Slab, ARefOfAReusedSlotStaysNull) {
  Slab<std::string> slab;
  std::string* object = slab.create("first");
  std::vector<Slab<std::string>::Ref> old;
  for (int i = 0; i < 100; ++i) {
    old.push_back(Slab<std::string>::ref(object));
    slab.destroy(object);
    std::string* again = slab.create("next");
    ASSERT_EQ(again, object) << "the slot is not reused, so this test proves nothing";
    for (const auto& ref : old) EXPECT_EQ(ref.get(), nullptr);
    EXPECT_EQ(Slab<std::string>::ref(again).get(), again);
  }
  slab.destroy(object);
}

TEST(Slab, HoldsLargeObjects) {
  struct Large {
    std::array<char, 10000> bytes{};
  };
  Slab<Large> slab;
  std::vector<Large*> objects;
  for (int i = 0; i < 9; ++i) objects.push_back(slab.create());
  for (Large* object : objects) object->bytes.fill('x');
  for (Large* object : objects) slab.destroy(object);
}

TEST(Slab, VisitsWhatIsThereInTheOrderOfItsMaking) {
  Slab<int> slab;
  std::vector<int*> objects;
  for (int i = 0; i < 100; ++i) objects.push_back(slab.create(i));
  for (std::size_t i = 0; i < objects.size(); i += 2) slab.destroy(objects[i]);
  std::vector<int> seen;
  slab.for_each([&](int& object) {
    seen.push_back(object);
    slab.destroy(&object);
  });
  ASSERT_EQ(seen.size(), 50U);
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], static_cast<int>(2 * i + 1));
  EXPECT_EQ(slab.live(), 0U);
  slab.for_each([](int&) { ADD_FAILURE() << "there is none"; });
}

thread_local int allocations_left = 0;
bool count_down(std::size_t) noexcept { return allocations_left-- > 0; }

TEST(Slab, ReturnsNullWhenMemoryIsRefusedAndRecovers) {
  Slab<std::string> slab;
  std::vector<std::string*> objects;
  allocations_left = 1;
  memory::set_gate(count_down);
  while (std::string* object = slab.create("text")) objects.push_back(object);
  EXPECT_FALSE(objects.empty());
  EXPECT_EQ(slab.live(), objects.size());
  EXPECT_EQ(slab.create("text"), nullptr);
  // A slot that is free needs no memory.
  slab.destroy(objects.back());
  objects.back() = slab.create("again");
  EXPECT_NE(objects.back(), nullptr);
  memory::set_gate(nullptr);
  objects.push_back(slab.create("more"));
  EXPECT_NE(objects.back(), nullptr);
  for (std::string* object : objects) slab.destroy(object);
}

TEST(SlabDeathTest, DestroyingTwiceOrLeavingObjectsAsserts) {
  EXPECT_DEATH(
      {
        Slab<int> slab;
        int* object = slab.create(1);
        slab.destroy(object);
        slab.destroy(object);
      },
      "assertion failed");
  EXPECT_DEATH(
      {
        Slab<int> slab;
        (void)slab.create(1);
      },
      "assertion failed: live_ == 0");
}

}  // namespace
}  // namespace weir::test
