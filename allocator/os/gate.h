// A gate that one thread closes for a moment and others wait at.
//
// Place:    os/.
// Purpose:  Keep a thread out of a step that it takes without a lock. To pass
//           costs it one load; that everybody has seen the gate closed is
//           brought about by the closer (thread_barrier.h).
// Not here: locks (mutex.h), which those who pass would have to hold.
//
// Concurrency: Close and Open by one thread at a time, which has closed it;
//           the rest by anyone.
// Invariants:  state_ is 0 (open), 1 (closed) or 2 (closed, somebody may
//           sleep).
// Cost:     a waiter spins briefly and then sleeps.
#ifndef SPANMALLOC_ALLOCATOR_OS_GATE_H_
#define SPANMALLOC_ALLOCATOR_OS_GATE_H_

#include <atomic>
#include <cstdint>

#include "allocator/base/annotations.h"

namespace spanmalloc {

class Gate {
 public:
  constexpr Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // Who sees it open also sees all that was done while it was closed.
  SPANMALLOC_ALWAYS_INLINE bool IsOpen() const {
    return state_.load(std::memory_order_acquire) == 0;
  }
  void Close() { state_.store(1, std::memory_order_relaxed); }
  void Open() {
    if (SPANMALLOC_UNLIKELY(state_.exchange(0, std::memory_order_release) ==
                            2)) {
      Wake();
    }
  }
  // Returns when it is open, or was so for a moment. Keeps errno.
  // REQUIRES: the caller holds nothing that the closer may need.
  SPANMALLOC_COLD void Wait();

 private:
  SPANMALLOC_COLD void Wake();

  std::atomic<uint32_t> state_{0};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_GATE_H_
