// The shared part of the heap: the page heap, and for each class a free list
// and a transfer cache before it.
//
// Place:    thread/ -> [CentralHeap] = TransferCache[] + CentralFreeList[] +
//           PageHeap
// Purpose:  One thing to hand by reference to those who need any of it, and
//           the sweeps over all classes, which send home what nobody uses.
// Not here: when to sweep (callers).
// Concurrency: that of its parts. A sweep holds one of their locks at a time;
//           one thread sweeps at a time, or the ages of things mean little.
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

// What went to the page heap.
struct CentralRelease {
  size_t objects = 0;  // From transfer caches to their spans.
  size_t empty_spans = 0;
};

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

  constexpr PageHeap& page_heap() { return page_heap_; }
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

  // A sweep: sends objects in transfer caches home, and gives the spans that
  // classes keep although they are empty to the page heap, where any class and
  // any block can have them. With `idle_only`, those that were not used since
  // the last sweep.
  CentralRelease ReleaseUnused(bool idle_only);
  void ReleaseEmptySpans() { ReleaseUnused(false); }

  // A sweep: gives whole free pages in spans that are partly used back to the
  // system, until `max_bytes` or a little more are released. With `idle_only`,
  // in spans that were not used since the last sweep; a call that stopped early
  // is then continued by the next, and one that returns less than `max_bytes`
  // and was not refused has been through all classes. Otherwise all classes
  // have a turn, first the one after that at which the last call stopped.
  SpanRelease ReleaseFreePagesInSpans(bool idle_only, size_t max_bytes);

  // Of free objects in the spans of all classes. Without a lock.
  size_t free_bytes() const {
    size_t bytes = 0;
    for (size_t c = 1; c < kNumClasses; ++c) {
      bytes += lists_[c].stats().free_objects * kSizeClasses[c].size;
    }
    return bytes;
  }

  // False if sweeps will find nothing until objects come home. Without a lock;
  // it reads a line for each class.
  bool HasUnused() const;

  void CheckInvariants() const;
  // With C7 of CentralFreeList, which holds when no thread is at work.
  void CheckWhenQuiet() const;

  // Every lock of this part and below, in rank order, but for that of the
  // arena, which comes after those of others.
  template <typename F>
  void ForEachForkLock(F&& f) {
    for (size_t c = 1; c < kNumClasses; ++c) f(transfers_[c].fork_lock());
    for (size_t c = 1; c < kNumClasses; ++c) f(lists_[c].fork_lock());
    f(page_heap_.fork_lock());
  }

 private:
  friend struct StatLayout;
  PageHeap page_heap_;
  std::atomic<bool> shared_{false};
  CentralFreeList lists_[kNumClasses];
  TransferCache transfers_[kNumClasses];
  std::atomic<size_t> next_to_sweep_{1};  // A class.
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_CENTRAL_HEAP_H_
