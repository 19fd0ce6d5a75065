// Exact counters of the whole heap, read without stopping anybody.
//
// Place:    observe/: reads the layers below, changes nothing.
// Purpose:  One snapshot, from which every face is filled: Go's MemStats, the
//           classic ones of the C library (heap_report.h).
// Not here: what the fields mean and the identities between them
// (spanmalloc.h).
//
// Concurrency: takes no lock. Counts are read in an order in which no
// difference
//   can come out negative: frees before mallocs. Page-level numbers are those
//   of one moment, published as a whole; what else depends on both is clamped.
//   Exact when no other thread is inside the allocator.
// Cost:    two passes over the counts of all caches, about 2 KiB each.
#ifndef SPANMALLOC_ALLOCATOR_OBSERVE_MEM_STATS_H_
#define SPANMALLOC_ALLOCATOR_OBSERVE_MEM_STATS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/central/central_heap.h"
#include "allocator/profile/guarded_heap.h"
#include "allocator/profile/profile_records.h"
#include "allocator/scavenge/scavenger.h"
#include "allocator/thread/thread_registry.h"
#include "spanmalloc/spanmalloc.h"

namespace spanmalloc {

using MemStats = spanmalloc_memstats;

// The highest heap_alloc that was seen. Whoever allocates has it looked at when
// the heap has grown by 1/32 since the last time, so it is at most that far
// off.
class PeakAlloc {
 public:
  constexpr PeakAlloc() = default;

  // True if `used_bytes` of heap are worth a look.
  bool IsDue(size_t used_bytes) const {
    return used_bytes >= next_.load(std::memory_order_relaxed);
  }
  void Look(size_t used_bytes, uint64_t heap_alloc);
  uint64_t Get() const { return peak_.load(std::memory_order_relaxed); }

 private:
  friend struct StatLayout;
  std::atomic<size_t> next_{0};
  std::atomic<uint64_t> peak_{0};
};

MemStats ReadMemStats(const CentralHeap& heap, const ThreadRegistry& threads,
                      const ScavengerStats& scavenger,
                      const GuardedStats& guarded,
                      const HeapProfileTotals& profile, PeakAlloc* peak);

// Its heap_alloc alone, without guarded blocks.
uint64_t ReadHeapAlloc(const CentralHeap& heap, const ThreadRegistry& threads);

// For a program that knows `size` bytes of the structure: the fields it knows,
// zeros for those that we do not. 0, or EINVAL.
int CopyMemStats(const MemStats& stats, MemStats* out, size_t size);

// The first identity that does not hold, as text; or null.
const char* CheckMemStats(const MemStats& stats);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OBSERVE_MEM_STATS_H_
