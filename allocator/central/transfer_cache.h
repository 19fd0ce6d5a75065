// Objects of one size class on their way from thread to thread.
//
// Place:    ThreadCache -> [TransferCache] -> CentralFreeList -> PageHeap
// Purpose:  What one thread gives back, another can have at the price of
//           copying pointers: nothing is told to the spans, so no cache line of
//           theirs moves between processors.
// Not here: how many objects a thread moves at a time (thread/).
//
// It takes part once the process has had two threads (`shared`); until then
// everything goes straight to the central list. It holds at most
// SizeClass::max_cached objects, and hands out those first that came last.
//
// Concurrency: lock_ (rank kTransferCache) covers the array; it is not held
//   while the central list is called.
// Invariants, whenever lock_ is free (CheckInvariants)
//   X1  the first count_ slots hold distinct objects of the class, owned by
//       nobody else; count_ <= SizeClass::max_cached.
//   X2  low_ <= count_: so many of the oldest have not been asked for since the
//       last sweep.
// Cost:    one lock and one copy a batch. The array is made at first use.
// Failure: without memory for the array everything goes to the central list.
#ifndef SPANMALLOC_ALLOCATOR_CENTRAL_TRANSFER_CACHE_H_
#define SPANMALLOC_ALLOCATOR_CENTRAL_TRANSFER_CACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/base/config.h"
#include "allocator/central/central_free_list.h"
#include "allocator/central/size_classes.h"
#include "allocator/os/mutex.h"
#include "allocator/page/page_heap.h"

namespace spanmalloc {

class alignas(kCacheLineSize) TransferCache {
 public:
  constexpr TransferCache(PageHeap* page_heap, CentralFreeList* list,
                          size_t size_class, const std::atomic<bool>* shared)
      : lock_(LockRank::kTransferCache),
        page_heap_(page_heap),
        list_(list),
        info_(&kSizeClasses[size_class]),
        shared_(shared) {}

  // Moves up to `n` objects into batch[0..]; returns how many. Those that were
  // used last come last, where a cache takes from first.
  size_t RemoveRange(void** batch, size_t n) LOCKS_EXCLUDED(lock_);

  // Takes back objects of this class, in any order.
  // REQUIRES: as for CentralFreeList::InsertRange.
  void InsertRange(void* const* batch, size_t n) LOCKS_EXCLUDED(lock_);

  // Sends all objects home. Returns how many.
  size_t Flush() LOCKS_EXCLUDED(lock_) { return SendHome(false); }

  // A sweep: sends home those objects that were not needed since the last one.
  // Returns how many.
  size_t ReleaseUnused() LOCKS_EXCLUDED(lock_) { return SendHome(true); }

  // Without the lock.
  size_t objects() const { return count_.load(std::memory_order_relaxed); }
  void CheckInvariants() const LOCKS_EXCLUDED(lock_);
  Mutex& fork_lock() RETURN_CAPABILITY(lock_) { return lock_; }

 private:
  friend struct StatLayout;
  // Objects that are sent home at a time.
  static constexpr size_t kChunk = 256;

  bool HaveSlots() REQUIRES(lock_);
  size_t SendHome(bool unused_only) LOCKS_EXCLUDED(lock_);

  mutable Mutex lock_;
  std::atomic<uint32_t> count_{0};  // Written under the lock.
  uint32_t low_ GUARDED_BY(lock_) = 0;
  void** slots_ GUARDED_BY(lock_) = nullptr;
  PageHeap* const page_heap_;
  CentralFreeList* const list_;
  const SizeClass* const info_;
  const std::atomic<bool>* const shared_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_TRANSFER_CACHE_H_
