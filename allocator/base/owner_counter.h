// A counter that one thread writes and any thread reads.
//
// Place:    base/.
// Purpose:  Exact counts inside the hot path at the price of one instruction.
// Concurrency: Add by the owner only (or under a lock that all writers share);
//           Get by anybody. Readers see some value that the counter had.
// Cost:     on x86-64 one add to memory, without a lock prefix: compilers
//           split a relaxed load and store into three instructions, so it is
//           spelled out.
#ifndef SPANMALLOC_ALLOCATOR_BASE_OWNER_COUNTER_H_
#define SPANMALLOC_ALLOCATOR_BASE_OWNER_COUNTER_H_

#include <cstdint>

#include "allocator/base/annotations.h"

namespace spanmalloc {

class OwnerCounter {
 public:
  constexpr OwnerCounter() = default;

  SPANMALLOC_ALWAYS_INLINE void Increment() {
#if defined(__x86_64__) && !defined(SPANMALLOC_TSAN)
    asm("incq %0" : "+m"(value_) : : "cc");
#else
    Add(1);
#endif
  }
  void Add(uint64_t n) {
    __atomic_store_n(&value_, Get() + n, __ATOMIC_RELAXED);
  }
  uint64_t Get() const { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }

 private:
  uint64_t value_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_BASE_OWNER_COUNTER_H_
