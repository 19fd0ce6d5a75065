#include "allocator/observe/heap_stats.h"

namespace spanmalloc {
namespace {

// Counts that were read one after the other may cross.
uint64_t Minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

}  // namespace

HeapStats ReadHeapStats(CentralHeap* heap, ThreadRegistry* threads) {
  HeapStats stats;
  ThreadCounts counts;
  threads->Sum(&counts);
  stats.threads = counts.threads;
  for (size_t c = 1; c < kNumClasses; ++c) {
    const SizeClass& size_class = kSizeClasses[c];
    const size_t size = size_class.size;
    const CentralFreeListStats central = heap->list(c).stats();
    stats.mallocs += counts.mallocs[c];
    stats.frees += counts.frees[c];
    stats.live_bytes += Minus(counts.mallocs[c], counts.frees[c]) * size;
    stats.cached_bytes += counts.cached_objects[c] * size;
    stats.transfer_bytes += heap->transfer(c).objects() * size;
    stats.central_bytes += central.free_objects * size;
    stats.span_tails +=
        central.spans * (kSmallSpanSize - size_class.capacity * size);
  }
  PageHeap& page_heap = heap->page_heap();
  const PageHeapStats pages = page_heap.stats();
  stats.mallocs += pages.large_allocations;
  stats.frees += pages.large_frees;
  stats.large_blocks = pages.large_count;
  stats.large_bytes = pages.large.bytes();
  stats.live_bytes += stats.large_bytes;
  stats.used_bytes = pages.used.bytes();
  stats.free_bytes = pages.free.bytes();
  stats.released_bytes = pages.fresh.bytes();
  stats.heap_bytes = pages.mapped.bytes();
  stats.metadata_bytes =
      page_heap.arena().system_bytes() + page_heap.class_map().map_bytes();
  stats.system_bytes = stats.heap_bytes + stats.metadata_bytes;
  return stats;
}

}  // namespace spanmalloc
