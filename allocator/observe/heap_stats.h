// How much memory the heap has, and what it is doing with it.
//
// Place:    observe/: reads the layers below, changes nothing.
// Purpose:  One snapshot from which every report is made.
// Not here: the reports (heap_report.h).
//
// Concurrency: call from any thread; takes the locks of the layers one after
//   the other. Exact when no other thread is inside the allocator.
// Identities, when quiet
//   system_bytes  == heap_bytes + metadata_bytes
//   heap_bytes    == used_bytes + free_bytes
//   used_bytes    == live_bytes + cached_bytes + transfer_bytes +
//                    central_bytes + span_tails
//   mallocs - frees == live objects
#ifndef SPANMALLOC_ALLOCATOR_OBSERVE_HEAP_STATS_H_
#define SPANMALLOC_ALLOCATOR_OBSERVE_HEAP_STATS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/central/central_heap.h"
#include "allocator/thread/thread_registry.h"

namespace spanmalloc {

struct HeapStats {
  uint64_t mallocs = 0;  // Blocks given out since the start, of any size.
  uint64_t frees = 0;
  size_t live_bytes = 0;      // In the program's hands, in whole classes.
  size_t cached_bytes = 0;    // In the caches of threads.
  size_t transfer_bytes = 0;  // On their way between threads.
  size_t central_bytes = 0;   // In the central free lists.
  size_t span_tails = 0;      // Behind the last object of each span.
  size_t used_bytes = 0;      // In spans.
  size_t free_bytes = 0;      // In no span.
  size_t released_bytes = 0;  // Those of free_bytes that no memory backs.
  size_t heap_bytes = 0;      // Address space of the heap.
  size_t metadata_bytes = 0;  // Address space of our own records.
  size_t system_bytes = 0;
  size_t large_blocks = 0;  // Alive, above the largest size class.
  size_t large_bytes = 0;
  size_t threads = 0;  // With a cache.
};

HeapStats ReadHeapStats(CentralHeap* heap, ThreadRegistry* threads);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OBSERVE_HEAP_STATS_H_
