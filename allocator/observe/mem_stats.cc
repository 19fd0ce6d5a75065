#include "allocator/observe/mem_stats.h"

#include <errno.h>
#include <string.h>

#include "allocator/os/mutex.h"

namespace spanmalloc {
namespace {

static_assert(kNumClasses - 1 <= SPANMALLOC_SIZE_CLASSES);

// For numbers that were read one after the other and may cross.
uint64_t Minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }
uint64_t Least(uint64_t a, uint64_t b) { return a < b ? a : b; }

void ReadGuarded(const GuardedStats& guarded, MemStats* stats) {
  stats->guarded_mallocs = guarded.mallocs;
  stats->guarded_frees = guarded.frees;
  stats->guarded_objects = guarded.mallocs - guarded.frees;
  stats->guarded_bytes = guarded.allocated_bytes - guarded.freed_bytes;
  stats->mallocs += guarded.mallocs;
  stats->frees += guarded.frees;
  stats->total_alloc += guarded.allocated_bytes;
  stats->total_freed += guarded.freed_bytes;
}

// REQUIRES: what is guarded has been counted.
void ReadCounts(const ThreadCounts& counts, const PageHeapStats& pages,
                MemStats* stats) {
  for (size_t c = 1; c < kNumClasses; ++c) {
    const uint64_t size = kSizeClasses[c].size;
    stats->by_size[c - 1] = {size, counts.mallocs[c], counts.frees[c]};
    stats->mallocs += counts.mallocs[c];
    stats->frees += counts.frees[c];
    stats->total_alloc += counts.mallocs[c] * size;
    stats->total_freed += counts.frees[c] * size;
  }
  stats->large_objects = pages.large_count;
  stats->large_bytes = pages.large.bytes();
  stats->large_mallocs = pages.large_allocations;
  stats->large_frees = pages.large_frees;
  stats->mallocs += pages.large_allocations;
  stats->frees += pages.large_frees;
  stats->total_alloc += pages.large_bytes_allocated;
  stats->total_freed += pages.large_bytes_freed;
  stats->heap_objects = stats->mallocs - stats->frees;
  stats->alloc = stats->heap_alloc = stats->total_alloc - stats->total_freed;
}

// What of heap_inuse no block has.
void ReadFree(const CentralHeap& heap, const PageHeapStats& pages,
              MemStats* stats) {
  uint64_t span_records = pages.large_count * sizeof(Span);
  for (size_t c = 1; c < kNumClasses; ++c) {
    const SizeClass& info = kSizeClasses[c];
    const CentralFreeListStats central = heap.list(c).stats();
    stats->central_free_bytes += central.free_objects * uint64_t{info.size};
    stats->transfer_cache_bytes +=
        heap.transfer(c).objects() * uint64_t{info.size};
    stats->span_tail_bytes +=
        central.spans * (kSmallSpanSize - info.capacity * size_t{info.stride});
    if (info.guest != 0) {
      stats->central_free_bytes +=
          central.free_guests * uint64_t{kSizeClasses[info.guest].size};
    }
    span_records += central.spans * CentralFreeList::RecordBytes(info);
  }
  stats->mspan_inuse = span_records;
  // Each takes what those before it have left.
  uint64_t left = Minus(stats->heap_inuse, stats->heap_alloc);
  for (uint64_t* part : {&stats->central_free_bytes, &stats->span_tail_bytes,
                         &stats->transfer_cache_bytes}) {
    *part = Least(*part, left);
    left -= *part;
  }
  stats->thread_cache_bytes = left;
}

// Blocks of fewer than 16 bytes, and what it is worth that they share places.
void ReadTiny(const CentralHeap& heap, MemStats* stats) {
  for (size_t c = 1; kSizeClasses[c].size < 16; ++c) {
    const SizeClass& info = kSizeClasses[c];
    const spanmalloc_size_stats& counts = stats->by_size[c - 1];
    const uint64_t live = counts.mallocs - counts.frees;
    stats->tiny_allocs += counts.mallocs;
    stats->tiny_frees += counts.frees;
    stats->tiny_objects += live;
    stats->tiny_bytes += live * info.size;
    stats->tiny_blocks += heap.list(c).stats().spans * (kSmallSpanSize / 16);
    const uint64_t without = info.size <= 8 ? 8 : 16;
    stats->tiny_saved += live * (without - info.stride);
    if (info.host != 0) {
      const CentralFreeListStats host = heap.list(info.host).stats();
      const uint64_t guests = Minus(
          host.spans * kSizeClasses[info.host].capacity, host.free_guests);
      stats->tiny_saved += Least(guests, live) * info.stride;
    }
  }
}

void ReadRecords(const MetadataArena& arena, const PageHeapStats& pages,
                 const ThreadCounts& counts, MemStats* stats) {
  const size_t spans = arena.used_bytes(RecordKind::kSpans);
  const size_t thread_caches = arena.used_bytes(RecordKind::kThreadCaches);
  const size_t transfer_caches = arena.used_bytes(RecordKind::kTransferCaches);
  const size_t pagemap = arena.used_bytes(RecordKind::kPageMap);
  const size_t profile = arena.used_bytes(RecordKind::kProfile);
  stats->mspan_sys = spans;
  stats->mspan_inuse = Least(stats->mspan_inuse, spans);
  stats->mcache_sys = thread_caches + transfer_caches;
  stats->mcache_inuse =
      Least(counts.threads * ThreadCache::kBlockSize, thread_caches) +
      transfer_caches;
  stats->buck_hash_sys = profile;
  stats->metadata_sys = pagemap + pages.class_map_bytes;
  stats->other_sys =
      Minus(arena.system_bytes(),
            spans + thread_caches + transfer_caches + pagemap + profile);
  stats->sys = stats->heap_sys + stats->mspan_sys + stats->mcache_sys +
               stats->buck_hash_sys + stats->metadata_sys + stats->other_sys;
}

}  // namespace

void PeakAlloc::Look(size_t used_bytes, uint64_t heap_alloc) {
  next_.store(used_bytes + used_bytes / 32 + kSmallSpanSize,
              std::memory_order_relaxed);
  uint64_t peak = peak_.load(std::memory_order_relaxed);
  while (peak < heap_alloc &&
         !peak_.compare_exchange_weak(peak, heap_alloc,
                                      std::memory_order_relaxed)) {
  }
}

uint64_t ReadHeapAlloc(const CentralHeap& heap, const ThreadRegistry& threads) {
  ThreadCounts counts;
  threads.Sum(&counts);
  uint64_t bytes = heap.page_heap().stats().large.bytes();
  for (size_t c = 1; c < kNumClasses; ++c) {
    bytes += (counts.mallocs[c] - counts.frees[c]) * kSizeClasses[c].size;
  }
  return bytes;
}

MemStats ReadMemStats(const CentralHeap& heap, const ThreadRegistry& threads,
                      const ScavengerStats& scavenger,
                      const GuardedStats& guarded,
                      const HeapProfileTotals& profile, PeakAlloc* peak) {
  MemStats stats = {};
  ReadGuarded(guarded, &stats);
  ThreadCounts counts;
  threads.Sum(&counts);
  const PageHeapStats pages = heap.page_heap().stats();
  ReadCounts(counts, pages, &stats);
  // Counts that are a moment older than the pages may say more than fits.
  stats.heap_sys = pages.mapped.bytes() + guarded.range_bytes;
  stats.heap_inuse = pages.used.bytes() + stats.guarded_bytes;
  if (stats.heap_inuse < stats.heap_alloc) {
    stats.heap_inuse = stats.heap_alloc;
    if (stats.heap_sys < stats.heap_inuse) stats.heap_sys = stats.heap_inuse;
  }
  stats.heap_idle = stats.heap_sys - stats.heap_inuse;
  stats.heap_released = Least(
      pages.fresh.bytes() + Minus(guarded.range_bytes, guarded.backed_bytes),
      stats.heap_idle);
  stats.heap_lazy =
      Least(pages.lazy.bytes(), stats.heap_idle - stats.heap_released);
  stats.span_released = Least(pages.released_in_spans, stats.heap_inuse);
  ReadFree(heap, pages, &stats);
  ReadTiny(heap, &stats);
  ReadRecords(heap.page_heap().arena(), pages, counts, &stats);
  peak->Look(pages.used.bytes(), stats.heap_alloc);
  stats.peak_heap_alloc = peak->Get();
  // Where heap_inuse was raised above to what is allocated, the peak of that
  // covers it, and does not fall.
  stats.peak_heap_inuse = pages.peak_used.bytes() + guarded.peak_bytes;
  if (stats.peak_heap_inuse < stats.peak_heap_alloc) {
    stats.peak_heap_inuse = stats.peak_heap_alloc;
  }
  stats.peak_resident = pages.peak_backed.bytes() + guarded.peak_backed_bytes;
  stats.released_total = pages.released_bytes;
  stats.lazily_released_total = pages.lazily_released_bytes;
  stats.release_calls = scavenger.calls;
  stats.scavenge_cycles = scavenger.cycles;
  stats.scavenge_ns = scavenger.nanoseconds;
  stats.memory_limit = scavenger.limit;
  stats.memory_limit_hard = scavenger.hard_limit;
  stats.lock_waits = Mutex::waits();
  stats.heap_huge = Least(pages.huge.bytes(), stats.heap_sys);
  stats.threads = counts.threads;
  stats.buck_hash_sys += guarded.records_bytes;
  stats.sys += guarded.records_bytes;
  stats.profile_samples = profile.samples;
  stats.profile_live_samples = profile.live_samples;
  stats.profile_lost_samples = profile.lost_samples;
  return stats;
}

int CopyMemStats(const MemStats& stats, MemStats* out, size_t size) {
  // That of the first version; it never becomes smaller.
  constexpr size_t kLeast =
      48 * sizeof(uint64_t) + 64 * sizeof(spanmalloc_size_stats);
  static_assert(kLeast <= sizeof(MemStats));
  if (out == nullptr || size < kLeast) return EINVAL;
  const size_t known = size < sizeof(stats) ? size : sizeof(stats);
  memcpy(out, &stats, known);
  memset(reinterpret_cast<char*>(out) + known, 0, size - known);
  return 0;
}

const char* CheckMemStats(const MemStats& s) {
  uint64_t mallocs = s.large_mallocs + s.guarded_mallocs;
  uint64_t frees = s.large_frees + s.guarded_frees;
  for (const spanmalloc_size_stats& size : s.by_size) {
    if (size.mallocs < size.frees) return "by_size[].mallocs >= frees";
    mallocs += size.mallocs;
    frees += size.frees;
  }
#define SPANMALLOC_IDENTITY(condition) \
  if (!(condition)) return #condition
  SPANMALLOC_IDENTITY(s.sys == s.heap_sys + s.mspan_sys + s.mcache_sys +
                                   s.buck_hash_sys + s.metadata_sys +
                                   s.other_sys);
  SPANMALLOC_IDENTITY(s.heap_sys == s.heap_inuse + s.heap_idle);
  SPANMALLOC_IDENTITY(s.heap_released + s.heap_lazy <= s.heap_idle);
  SPANMALLOC_IDENTITY(s.span_released <= s.heap_inuse);
  SPANMALLOC_IDENTITY(s.alloc == s.heap_alloc);
  SPANMALLOC_IDENTITY(s.total_alloc >= s.total_freed);
  SPANMALLOC_IDENTITY(s.heap_alloc == s.total_alloc - s.total_freed);
  SPANMALLOC_IDENTITY(s.mallocs >= s.frees);
  SPANMALLOC_IDENTITY(s.heap_objects == s.mallocs - s.frees);
  SPANMALLOC_IDENTITY(s.mallocs == mallocs);
  SPANMALLOC_IDENTITY(s.frees == frees);
  SPANMALLOC_IDENTITY(s.guarded_objects == s.guarded_mallocs - s.guarded_frees);
  SPANMALLOC_IDENTITY(s.tiny_allocs >= s.tiny_frees);
  SPANMALLOC_IDENTITY(s.tiny_objects == s.tiny_allocs - s.tiny_frees);
  SPANMALLOC_IDENTITY(s.mspan_inuse <= s.mspan_sys);
  SPANMALLOC_IDENTITY(s.mcache_inuse <= s.mcache_sys);
  SPANMALLOC_IDENTITY(s.peak_heap_inuse >= s.heap_inuse);
  SPANMALLOC_IDENTITY(s.peak_heap_alloc >= s.heap_alloc);
  SPANMALLOC_IDENTITY(s.heap_inuse == s.heap_alloc + s.thread_cache_bytes +
                                          s.transfer_cache_bytes +
                                          s.central_free_bytes +
                                          s.span_tail_bytes);
#undef SPANMALLOC_IDENTITY
  return nullptr;
}

}  // namespace spanmalloc
