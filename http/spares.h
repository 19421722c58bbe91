// Objects that are used again with the memory that they have. Private to http.
#pragma once

#include <cstddef>
#include <memory>

#include "weir/http/limits.h"
#include "weir/reactor/intrusive_list.h"
#include "weir/reactor/slab.h"

namespace weir::inline v1::http {

// T is a ListNode with reset(). At most limits::kSpareExchangesMax that nobody uses keep the memory
// that they have allocated. Their own is never given back before this goes: weak references may
// look at it. Destroys the spare ones; the others must have been given back.
template <class T>
class Spares {
 public:
  Spares() noexcept = default;
  Spares(const Spares&) = delete;
  Spares& operator=(const Spares&) = delete;
  ~Spares() {
    while (!kept_.empty()) objects_.destroy(&kept_.pop_front());
    while (!bare_.empty()) objects_.destroy(&bare_.pop_front());
  }

  // Null: memory refused.
  T* take() noexcept {
    if (!kept_.empty()) {
      --kept_count_;
      return &kept_.pop_back();  // the one whose memory was used last
    }
    return bare_.empty() ? objects_.create() : &bare_.pop_back();
  }
  // Precondition: no listener of it is running.
  void give_back(T& object) noexcept {
    object.unlink();
    if (kept_count_ < limits::kSpareExchangesMax) {
      object.reset();
      ++kept_count_;
      kept_.push_back(object);
    } else {
      std::destroy_at(&object);
      std::construct_at(&object);
      bare_.push_back(object);
    }
  }

 private:
  Slab<T> objects_;
  IntrusiveList<T> kept_;  // with the memory that they have allocated
  IntrusiveList<T> bare_;
  std::size_t kept_count_ = 0;
};

}  // namespace weir::inline v1::http
