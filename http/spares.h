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
    while (!spare_.empty()) objects_.destroy(&spare_.pop_front());
  }

  // Null: memory refused.
  T* take() noexcept {
    if (spare_.empty()) return objects_.create();
    --spare_count_;
    return &spare_.pop_back();  // the one whose memory was used last
  }
  // Precondition: no listener of it is running.
  void give_back(T& object) noexcept {
    object.unlink();
    if (spare_count_ < limits::kSpareExchangesMax) {
      object.reset();
    } else {  // without the memory that it keeps
      std::destroy_at(&object);
      std::construct_at(&object);
    }
    ++spare_count_;
    spare_.push_back(object);
  }

 private:
  Slab<T> objects_;
  IntrusiveList<T> spare_;
  std::size_t spare_count_ = 0;
};

}  // namespace weir::inline v1::http
