// The shared part of the heap: the page heap, and for each class a free list
// and a transfer cache before it.
//
// Place:    thread/ -> [CentralHeap] = TransferCache[] + CentralFreeList[] +
//           PageHeap
// Purpose:  One thing to hand by reference to those who need any of it.
// Concurrency: that of its parts.
#ifndef SPANMALLOC_ALLOCATOR_CENTRAL_CENTRAL_HEAP_H_
#define SPANMALLOC_ALLOCATOR_CENTRAL_CENTRAL_HEAP_H_

#include <atomic>
#include <cstddef>
#include <utility>

#include "allocator/central/central_free_list.h"
#include "allocator/central/size_classes.h"
#include "allocator/central/transfer_cache.h"
#include "allocator/page/page_heap.h"

namespace spanmalloc {

class CentralHeap {
  template <size_t... kClass>
  constexpr CentralHeap(const SystemMemory* system,
                        std::index_sequence<kClass...>)
      : page_heap_(system),
        lists_{{&page_heap_, kClass, lists_}...},
        transfers_{{&page_heap_, &lists_[kClass], kClass, &shared_}...} {}

 public:
  constexpr explicit CentralHeap(const SystemMemory* system)
      : CentralHeap(system, std::make_index_sequence<kNumClasses>()) {}

  PageHeap& page_heap() { return page_heap_; }
  const PageHeap& page_heap() const { return page_heap_; }
  // REQUIRES: 1 <= size_class < kNumClasses.
  CentralFreeList& list(size_t size_class) { return lists_[size_class]; }
  const CentralFreeList& list(size_t size_class) const {
    return lists_[size_class];
  }
  // What threads' caches are filled from and emptied into.
  TransferCache& transfer(size_t size_class) { return transfers_[size_class]; }
  const TransferCache& transfer(size_t size_class) const {
    return transfers_[size_class];
  }

  // From now on objects pass between threads.
  void set_shared() { shared_.store(true, std::memory_order_relaxed); }

  // Gives the spans that classes keep although they are empty to the page
  // heap, where any class and any block can have them; those whose objects are
  // all in transfer caches, too.
  void ReleaseEmptySpans() {
    for (size_t c = 1; c < kNumClasses; ++c) {
      transfers_[c].Flush();
      lists_[c].ReleaseEmptySpan();
    }
  }

  void CheckInvariants() const {
    for (size_t c = 1; c < kNumClasses; ++c) {
      transfers_[c].CheckInvariants();
      lists_[c].CheckInvariants();
    }
    page_heap_.CheckInvariants();
  }

  // Every lock of this part and below, in rank order.
  template <typename F>
  void ForEachForkLock(F&& f) {
    for (size_t c = 1; c < kNumClasses; ++c) f(transfers_[c].fork_lock());
    for (size_t c = 1; c < kNumClasses; ++c) f(lists_[c].fork_lock());
    f(page_heap_.fork_lock());
    f(page_heap_.arena().fork_lock());
  }

 private:
  friend struct StatLayout;
  PageHeap page_heap_;
  std::atomic<bool> shared_{false};
  CentralFreeList lists_[kNumClasses];
  TransferCache transfers_[kNumClasses];
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_CENTRAL_HEAP_H_
