// Sends home what the caches of other threads hold, without their help.
//
// Place:    beside ThreadCache; ThreadRegistry hands it the caches.
// Purpose:  An idle thread makes no call in which it could give back what it
//           keeps. And a thread that is not idle shall not pay for the chance
//           that somebody looks: its fast paths have no lock, no atomic
//           operation, and no instruction for a drainer.
// Not here: which caches, and when (thread_registry.h, scavenge/).
//
// Three steps, for a batch of caches, with a barrier on all threads
// (os/thread_barrier.h) before the second and the third:
//
//   Add     closes the gate of the cache.
//   Take    A cache whose owner is on a slow path is let alone. The other
//           owners, until their gates open, run fast paths and nothing else:
//           the owner says that it is on a slow path before it looks at the
//           gate, so the barrier leaves no third possibility. For each bin that
//           is wanted the count of operations is noted, and the newest object
//           V, in slot h - 1, exchanged for null.
//   Finish  V and all that lies below belong to the drainer if the bin is as it
//           was: top at h, slot h - 1 null, no operation counted since, and at
//           rest by the equation of thread_cache.h. If not, V is put back,
//           provided that null is still there.
//
// Why nobody else has V then. Let B be the moment of the second barrier in the
// owner's instructions. Counts never fall on fast paths, and are the same
// before and after B, so they were the same at B: by the equation the owner was
// at rest there with its top at h; or in a pop of slot h or a push into it,
// which never touch slot h - 1. So what the owner had stored in slot h - 1 last
// was not popped before B; all that it had stored is visible after B, and null
// is there, so the exchange came later and V is that object. Every pop that
// looks at slot h - 1 after B finds null, which ends on a slow path, before the
// gate. Nothing below can be reached but through slot h - 1.
//
// Why putting V back is harmless. Either V is still the bin's: then it is back.
// Or the owner popped it while the drainer held it: then its top went below,
// and it lies where the owner will write before it reads, as all slots above
// top. If the owner has written there already, or does so meanwhile, its store
// is the later one or keeps the exchange from happening. A pop that found null
// in between is on its way to the slow path, counted, and takes V there.
//
// After Finish the limit of a bin is 0 and its lowest slots are null; top stays
// where it is, for only its owner may move that. What the owner was about to
// push, having seen the old limit, comes to lie above. It is settled when the
// owner takes its next slow step, which is the next thing that it does with the
// bin but popping what it just pushed.
//
// A thread that is stopped anywhere, also in a signal handler that interrupted
// malloc, is where it is: on a slow path, or in the middle of an operation,
// which shows in the equation or comes after B; both cases are above.
//
// Concurrency: one batch at a time: the caller holds the registry's lock, so no
//   cache changes its thread, ends, or is copied by a fork. An owner waits at
//   its gate for no longer than the batch takes.
// Cost:    two barriers a batch; for each object a load, a store, and its share
//          of an InsertRange.
// Failure: without the barrier (`sure` is false) everything is left as it is.
#ifndef SPANMALLOC_ALLOCATOR_THREAD_CACHE_DRAINER_H_
#define SPANMALLOC_ALLOCATOR_THREAD_CACHE_DRAINER_H_

#include <cstddef>
#include <cstdint>

#include "allocator/central/central_heap.h"
#include "allocator/central/size_classes.h"
#include "allocator/thread/thread_cache.h"

namespace spanmalloc {

enum class DrainScope : unsigned char {
  kIdle,  // What bins hold that saw no operation since the last sweep.
  kAll,   // All that can be had.
};

struct DrainResult {
  size_t objects = 0;
  size_t bytes = 0;
  size_t caches_left = 0;  // That still hold something, or may.
};

class CacheDrainer {
 public:
  // Adds to *result.
  CacheDrainer(CentralHeap* central, DrainScope scope, DrainResult* result)
      : central_(central), scope_(scope), result_(result) {}

  // False, with nothing done, if the batch has no room for the cache. A cache
  // in which nothing is wanted needs none.
  // REQUIRES: the cache has a thread.
  bool Add(ThreadCache* cache);
  bool empty() const { return caches_count_ == 0; }

  // After a barrier; `sure` is whether there was one.
  void Take(bool sure);
  void Finish(bool sure);

 private:
  static constexpr size_t kMostCaches = 32;
  static constexpr size_t kMostBins = 64;
  static constexpr size_t kChunk = 64;
  static_assert(kNumClasses <= 64 && kNumClasses <= kMostBins,
                "the bins of a cache are bits of a word, and fit");

  struct Cache {
    ThreadCache* cache;
    uint64_t wanted;  // A bit for each class.
  };
  struct Taken {
    ThreadCache* cache;
    size_t size_class;
    void** top;
    void* object;
    uint64_t operations;
  };

  bool IsWanted(const ThreadCache& cache, size_t size_class) const;
  void TakeNewest(ThreadCache* cache, size_t size_class);
  static bool IsOurs(const Taken& taken);
  void SendHome(const Taken& taken);
  void Release(ThreadCache* cache);

  CentralHeap* const central_;
  const DrainScope scope_;
  DrainResult* const result_;
  size_t caches_count_ = 0;
  size_t wanted_count_ = 0;
  size_t taken_count_ = 0;
  Cache caches_[kMostCaches];
  Taken taken_[kMostBins];
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_THREAD_CACHE_DRAINER_H_
