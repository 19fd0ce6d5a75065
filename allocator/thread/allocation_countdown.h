// Counts the bytes that a thread asks for, so that something is done every so
// many of them.
//
// Place:    thread/, beside the pointer to the thread's cache.
// Purpose:  The heap profiler must see a byte now and then of all that are
//           allocated. What runs out here is noticed by the comparison that
//           every request needs anyway, that of its size with the largest that
//           a cache serves: no request within the countdown is larger than the
//           table of size classes covers. So counting costs nothing.
// Not here: what happens then (profile/sampler.h).
//
// Concurrency: each thread has its own.
// Cost:    a subtraction in memory; the comparison is there anyway.
#ifndef SPANMALLOC_ALLOCATOR_THREAD_ALLOCATION_COUNTDOWN_H_
#define SPANMALLOC_ALLOCATOR_THREAD_ALLOCATION_COUNTDOWN_H_

#include <atomic>
#include <cstddef>

#include "allocator/base/annotations.h"
#include "allocator/base/unlocked.h"
#include "allocator/central/size_classes.h"

namespace spanmalloc {

class AllocationCountdown {
 public:
  // Larger requests always run beyond it.
  static constexpr size_t kMost = ClassOfSize::kCovered;

  // Takes the bytes of a request off. False if there were no more than these:
  // then none are left, until Set. The fences keep the compiler from holding
  // the number in a register, which would take a load and a store more.
  SPANMALLOC_ALWAYS_INLINE bool Take(size_t bytes) {
    if (SPANMALLOC_UNLIKELY(bytes >= LoadToCompare(&left_))) {
      std::atomic_signal_fence(std::memory_order_acq_rel);
      left_at_end_ = left_;
      left_ = 0;
      return false;
    }
    if (bytes > kMost) __builtin_unreachable();  // As left_ never is.
    std::atomic_signal_fence(std::memory_order_acq_rel);
    left_ -= bytes;
    return true;
  }
  bool is_over() const { return left_ == 0; }
  // What was left for the request that was more. REQUIRES: is_over().
  size_t left_at_end() const { return left_at_end_; }
  // REQUIRES: 0 < bytes <= kMost.
  void Set(size_t bytes) { left_ = bytes; }

 private:
  size_t left_ = 0;
  size_t left_at_end_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_THREAD_ALLOCATION_COUNTDOWN_H_
