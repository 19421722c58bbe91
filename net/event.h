// Listeners of one event: any number, in the order of registration.
#pragma once

#include <cstdint>
#include <utility>

#include "weir/reactor/function.h"

namespace weir::inline v1::net {

// Names a listener for off(); unique among all events of a thread.
enum class ListenerId : std::uint64_t { none = 0 };

inline ListenerId next_listener_id() noexcept {
  static thread_local std::uint64_t last = 0;
  return ListenerId{++last};
}

// Owner thread only. A listener added while the event is being emitted does not run for that
// emission; one removed still does. The event may not be destroyed while it is being emitted.
template <class... Arguments>
class Event {
 public:
  using Listener = Function<void(Arguments...)>;

  Event() noexcept = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() {
    clear();
    delete spare_;
  }

  // Removes all listeners; keeps memory for one, so that the same subject used again and again
  // allocates nothing. Not while the event is being emitted.
  void clear() noexcept {
    while (first_ != nullptr) {
      Node& dead = *std::exchange(first_, first_->next);
      if (first_ == nullptr) last_ = nullptr;
      discard(dead);
    }
    live_ = 0;
    dropped_any_ = false;
  }

  bool empty() const noexcept { return live_ == 0; }

  ListenerId add(Listener listener, bool once) {
    last_id_ = next_listener_id();
    Node* node = spare_ == nullptr ? new Node : std::exchange(spare_, nullptr);
    *node = {std::move(listener), nullptr, last_id_, once, kInUse};
    (last_ == nullptr ? first_ : last_->next) = node;
    last_ = node;
    ++live_;
    return node->id;
  }

  void remove(ListenerId id) noexcept {
    for (Node* node = first_; node != nullptr; node = node->next) {
      if (node->id == id) drop(*node, emissions_);
    }
    sweep();
  }

  // Calls every listener; `call` gets the listener and whether it is the last one to be called, and
  // returns false to end the emission: the subject is gone.
  template <class Call>
  void emit_each(Call&& call) {
    emit_each(last_id_, std::forward<Call>(call));
  }

  // The newest listener; emit_each() with it passes over those that are added later.
  ListenerId newest() const noexcept { return last_id_; }

  template <class Call>
  void emit_each(ListenerId until, Call&& call) {
    if (first_ == nullptr) return;
    const std::uint64_t emission = ++emissions_;
    std::uint32_t left = live_;
    ++emitting_;
    for (Node* node = first_; node != nullptr && node->id <= until; node = node->next) {
      if (node->dropped_in < emission) continue;
      if (node->once) drop(*node, 0);
      if (!call(node->listener, --left == 0)) break;
    }
    --emitting_;
    sweep();
  }

 private:
  struct Node {
    Listener listener;
    Node* next;
    ListenerId id;
    bool once;
    std::uint64_t dropped_in;  // emissions begun later pass it over
  };
  static constexpr std::uint64_t kInUse = UINT64_MAX;

  // What the listener holds may add or remove others when it goes.
  void discard(Node& node) noexcept {
    node.listener.reset();
    if (spare_ == nullptr) {
      spare_ = &node;
    } else {
      delete &node;
    }
  }

  void drop(Node& node, std::uint64_t emission) noexcept {
    if (node.dropped_in != kInUse) return;
    node.dropped_in = emission;
    --live_;
    dropped_any_ = true;
  }

  void sweep() noexcept {
    if (emitting_ != 0 || !std::exchange(dropped_any_, false)) return;
    last_ = nullptr;
    Node* dead = nullptr;
    Node** last_dead = &dead;
    for (Node** link = &first_; *link != nullptr;) {
      if ((*link)->dropped_in != kInUse) {
        *last_dead = std::exchange(*link, (*link)->next);
        last_dead = &(*last_dead)->next;
      } else {
        last_ = *link;
        link = &(*link)->next;
      }
    }
    *last_dead = nullptr;
    // Only now: what they hold may come back here when it goes.
    while (dead != nullptr) delete std::exchange(dead, dead->next);
  }

  Node* first_ = nullptr;
  Node* last_ = nullptr;
  ListenerId last_id_ = ListenerId::none;
  std::uint32_t live_ = 0;
  Node* spare_ = nullptr;
  std::uint32_t emitting_ = 0;
  std::uint64_t emissions_ = 0;
  bool dropped_any_ = false;
};

}  // namespace weir::inline v1::net
