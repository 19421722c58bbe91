// A doubly linked list whose links live in the elements: no allocation, O(1) removal.
#pragma once

#include "weir/reactor/assert.h"

namespace weir::inline v1 {

template <class T>
class IntrusiveList;

// Base of an element. An element is in one list at most and leaves it when it is destroyed.
class ListNode {
 public:
  ListNode() noexcept = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { unlink(); }

  bool linked() const noexcept { return next_ != nullptr; }

  // Harmless when the element is in no list.
  void unlink() noexcept {
    if (next_ == nullptr) return;
    previous_->next_ = next_;
    next_->previous_ = previous_;
    previous_ = next_ = nullptr;
  }

 private:
  template <class T>
  friend class IntrusiveList;

  ListNode* previous_ = nullptr;
  ListNode* next_ = nullptr;
};

// Does not own its elements; destroying the list only unlinks them.
template <class T>
class IntrusiveList {
 public:
  IntrusiveList() noexcept { head_.previous_ = head_.next_ = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    while (!empty()) pop_front();
  }

  bool empty() const noexcept { return head_.next_ == &head_; }
  T& front() noexcept {
    WEIR_ASSERT(!empty());
    return static_cast<T&>(*head_.next_);
  }

  void push_back(ListNode& node) noexcept {
    WEIR_ASSERT(!node.linked());
    node.previous_ = head_.previous_;
    node.next_ = &head_;
    head_.previous_->next_ = &node;
    head_.previous_ = &node;
  }

  // In front of the first element that `follows` says yes of.
  template <class Follows>
  void insert_before(T& element, Follows&& follows) noexcept {
    ListNode& node = element;
    WEIR_ASSERT(!node.linked());
    ListNode* next = head_.next_;
    while (next != &head_ && !follows(static_cast<T&>(*next))) next = next->next_;
    node.next_ = next;
    node.previous_ = next->previous_;
    next->previous_->next_ = &node;
    next->previous_ = &node;
  }

  T& pop_back() noexcept {
    WEIR_ASSERT(!empty());
    ListNode& last = *head_.previous_;
    last.unlink();
    return static_cast<T&>(last);
  }

  T& pop_front() noexcept {
    T& element = front();
    static_cast<ListNode&>(element).unlink();
    return element;
  }

  // Moves all elements of `other` behind this list's, O(1).
  void splice_back(IntrusiveList& other) noexcept {
    if (other.empty()) return;
    other.head_.next_->previous_ = head_.previous_;
    head_.previous_->next_ = other.head_.next_;
    other.head_.previous_->next_ = &head_;
    head_.previous_ = other.head_.previous_;
    other.head_.previous_ = other.head_.next_ = &other.head_;
  }

  // Visits every element; the visitor may unlink the element that it is given, but no other.
  template <class Visitor>
  void for_each(Visitor&& visit) {
    for (ListNode* node = head_.next_; node != &head_;) {
      ListNode* next = node->next_;
      visit(static_cast<T&>(*node));
      node = next;
    }
  }

 private:
  ListNode head_;
};

}  // namespace weir::inline v1
