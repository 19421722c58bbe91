// Objects of one type at fixed addresses, recycled, with generations for weak references.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "weir/reactor/assert.h"
#include "weir/reactor/memory.h"

namespace weir::inline v1 {

// Grows by blocks and never gives a block back before it is destroyed itself, so a Ref may look at
// the slot of an object that is long gone. Owner thread only. Destroying a slab with live objects
// is a bug and asserts.
template <class T>
class Slab {
  struct Slot {
    union {
      Slot* next_free = nullptr;
      alignas(T) std::byte object[sizeof(T)];
    };
    std::uint32_t generation = 0;  // odd exactly when the slot holds an object
  };

 public:
  // A weak reference: get() is null once the object was destroyed, even if its slot was reused.
  // Valid to ask while the slab lives.
  class Ref {
   public:
    Ref() noexcept = default;
    T* get() const noexcept {
      if (slot_ == nullptr || slot_->generation != generation_) return nullptr;
      return reinterpret_cast<T*>(slot_->object);
    }

   private:
    friend class Slab;
    Ref(const Slot* slot, std::uint32_t generation) noexcept
        : slot_(const_cast<Slot*>(slot)), generation_(generation) {}
    Slot* slot_ = nullptr;
    std::uint32_t generation_ = 0;
  };

  Slab() noexcept = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() {
    WEIR_ASSERT(live_ == 0);
    while (blocks_ != nullptr) {
      Block* block = std::exchange(blocks_, blocks_->next);
      block->~Block();
      memory::release(block);
    }
  }

  // Null when memory was refused.
  template <class... Arguments>
  [[nodiscard]] T* create(Arguments&&... arguments) noexcept {
    if (free_ == nullptr && !grow()) return nullptr;
    Slot* slot = free_;
    free_ = slot->next_free;
    ++slot->generation;
    ++live_;
    return ::new (static_cast<void*>(slot->object)) T(std::forward<Arguments>(arguments)...);
  }

  void destroy(T* object) noexcept {
    Slot* slot = slot_of(object);
    WEIR_ASSERT((slot->generation & 1) == 1);
    object->~T();
    ++slot->generation;
    --live_;
    slot->next_free = std::exchange(free_, slot);
  }

  // Precondition: `object` is alive and of this slab (or another slab of the same type).
  static Ref ref(const T* object) noexcept {
    const Slot* slot = slot_of(const_cast<T*>(object));
    return Ref(slot, slot->generation);
  }

  std::size_t live() const noexcept { return live_; }

  // Visits every object, those of a fresh slab in the order of their making; the visitor may
  // destroy any. Made meanwhile: visited or not.
  template <class Visitor>
  void for_each(Visitor&& visit) {
    for (Block* block = blocks_; block != nullptr; block = block->next) {
      for (Slot& slot : block->slots) {
        if ((slot.generation & 1) == 1) visit(*reinterpret_cast<T*>(slot.object));
      }
    }
  }

 private:
  static constexpr std::size_t kSlotsPerBlock = sizeof(T) >= 4096 ? 4 : 32;
  struct Block {
    Slot slots[kSlotsPerBlock];
    Block* next = nullptr;
  };

  static Slot* slot_of(T* object) noexcept { return reinterpret_cast<Slot*>(object); }

  bool grow() noexcept {
    static_assert(alignof(Block) <= alignof(std::max_align_t));
    void* memory = memory::allocate(sizeof(Block));
    if (memory == nullptr) return false;
    Block* block = ::new (memory) Block();
    *std::exchange(last_next_, &block->next) = block;
    for (std::size_t i = kSlotsPerBlock; i > 0; --i) {
      Slot& slot = block->slots[i - 1];
      slot.next_free = std::exchange(free_, &slot);
    }
    return true;
  }

  Block* blocks_ = nullptr;
  Block** last_next_ = &blocks_;
  Slot* free_ = nullptr;
  std::size_t live_ = 0;
};

}  // namespace weir::inline v1
