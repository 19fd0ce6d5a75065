// Fills the root from which readers outside the process take statistics.
//
// Place:    observe/: the one friend of all classes that have counters.
// Purpose:  Say where each counter lies, at compile time.
// Not here: what a reader does with it (stat_root.h).
//
// Everything is a constant expression: a counter that moves takes its place in
// the root along, one that is gone does not compile. What changes the meaning
// of a number asks for a new kStatRootVersion.
#ifndef SPANMALLOC_ALLOCATOR_OBSERVE_STAT_LAYOUT_H_
#define SPANMALLOC_ALLOCATOR_OBSERVE_STAT_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "allocator/central/central_heap.h"
#include "allocator/observe/mem_stats.h"
#include "allocator/observe/stat_root.h"
#include "allocator/os/mutex.h"
#include "allocator/page/page_heap.h"
#include "allocator/profile/guarded_heap.h"
#include "allocator/profile/heap_profiler.h"
#include "allocator/scavenge/scavenger.h"
#include "allocator/thread/thread_cache.h"
#include "allocator/thread/thread_registry.h"
#include "spanmalloc/spanmalloc.h"

// Some of the classes have private and public data, and so are not of standard
// layout; the offsets are right all the same.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace spanmalloc {

struct StatLayout {
  // The root of these parts, which are (to be) at `self`.
  static constexpr StatRoot Root(const CentralHeap& heap,
                                 const ThreadRegistry& threads,
                                 const Scavenger& scavenger,
                                 const GuardedHeap& guarded,
                                 const HeapProfiler& profiler,
                                 const PeakAlloc& peak, const StatRoot* self) {
    StatRoot root = {};
    root.magic[0] = kStatRootMagic0;
    root.magic[1] = kStatRootMagic1;
    root.version = kStatRootVersion;
    root.root_bytes = sizeof(StatRoot);
    root.self = self;
    root.library_version[0] = SPANMALLOC_VERSION_MAJOR;
    root.library_version[1] = SPANMALLOC_VERSION_MINOR;
    root.library_version[2] = SPANMALLOC_VERSION_PATCH;
    root.peak_alloc = &peak.peak_;
    root.lock_waits = &Mutex::waits_;
    AddClasses(&root);
    AddThreads(threads, &root);
    AddCentral(heap, &root);
    AddPages(heap.page_heap_, &root);
    root.release_calls = &scavenger.calls_;
    root.scavenge_cycles = &scavenger.cycles_;
    root.scavenge_ns = &scavenger.nanoseconds_;
    root.memory_limit = &scavenger.limit_;
    root.memory_limit_hard = &scavenger.hard_limit_;
    AddGuarded(guarded, &root);
    AddSamples(profiler.profile_.published_, &root);
    AddProfile(profiler, &root);
    return root;
  }

  // What ThreadCache::kBlockSize is: a cache and its arrays.
  static constexpr uint64_t ThreadCacheBytes() {
    size_t slots = 0;
    for (size_t c = 1; c < kNumClasses; ++c) {
      const size_t shortest = ThreadCache::ShortCapacity(c);
      const size_t longest = kSizeClasses[c].max_cached;
      slots += shortest + 1;
      if (ThreadCache::HasMiddleArray(c))
        slots += ThreadCache::kMiddleArray + 1;
      if (longest > shortest) slots += longest + 1;
    }
    return sizeof(ThreadCache) + slots * sizeof(void*);
  }

 private:
  using Bin = ThreadCache::Bin;
  using PageRecord = decltype(PageHeap::published_);

  template <typename T>
  static constexpr bool IsNumber = sizeof(T) == sizeof(uint64_t) &&
                                   alignof(T) == alignof(uint64_t);
  static_assert(IsNumber<std::atomic<uint64_t>>);
  static_assert(IsNumber<std::atomic<size_t>>);
  static_assert(IsNumber<std::atomic<ThreadCache*>>);
  static_assert(IsNumber<OwnerCounter>);
  static_assert(IsNumber<Length>);
  static_assert(kNumClasses - 1 <= kStatRootClasses);
  static_assert(offsetof(PageRecord, sequence_) == 0);
  static_assert(offsetof(PageRecord, words_) == sizeof(uint64_t));

  static constexpr void AddClasses(StatRoot* root) {
    root->classes = kNumClasses - 1;
    root->page_bytes = kPageSize;
    root->small_span_bytes = kSmallSpanSize;
    root->span_record_bytes = sizeof(Span);
    root->thread_cache_bytes = ThreadCacheBytes();
    for (size_t c = 1; c < kNumClasses; ++c) {
      const SizeClass& info = kSizeClasses[c];
      root->by_class[c - 1] = {
          info.size, info.capacity,
          static_cast<uint32_t>(CentralFreeList::RecordBytes(info)),
          info.stride - info.size};
    }
  }

  static constexpr void AddThreads(const ThreadRegistry& threads,
                                   StatRoot* root) {
    root->threads = &threads.threads_;
    root->first_cache = &threads.all_caches_;
    root->direct_mallocs = {&threads.direct_mallocs_[0], sizeof(uint64_t)};
    root->direct_frees = {&threads.direct_frees_[0], sizeof(uint64_t)};
    root->cache_next = offsetof(ThreadCache, next_of_all);
    root->cache_bins = offsetof(ThreadCache, bins_);
    root->cache_bin_stride = sizeof(Bin);
    root->cache_bin_mallocs = offsetof(Bin, mallocs);
    root->cache_bin_frees = offsetof(Bin, frees);
  }

  static constexpr void AddCentral(const CentralHeap& heap, StatRoot* root) {
    const CentralFreeList& list = heap.lists_[0];
    root->central_spans = {&list.spans_, sizeof(CentralFreeList)};
    root->central_free_objects = {&list.free_objects_, sizeof(CentralFreeList)};
    root->central_free_guests = {&list.free_guests_, sizeof(CentralFreeList)};
    const TransferCache& transfer = heap.transfers_[0];
    root->transfer_objects = {&transfer.count_, sizeof(TransferCache)};
    root->transfer_objects_width = sizeof(transfer.count_);
  }

  static constexpr void AddPages(const PageHeap& pages, StatRoot* root) {
    root->page_record = &pages.published_;
    root->page_record_words = sizeof(PageHeapStats) / sizeof(uint64_t);
#define SPANMALLOC_PAGE_WORD(member) \
  offsetof(PageHeapStats, member) / sizeof(uint64_t)
    root->mapped_pages = SPANMALLOC_PAGE_WORD(mapped);
    root->used_pages = SPANMALLOC_PAGE_WORD(used);
    root->fresh_pages = SPANMALLOC_PAGE_WORD(fresh);
    root->huge_pages = SPANMALLOC_PAGE_WORD(huge);
    root->large_pages = SPANMALLOC_PAGE_WORD(large);
    root->peak_used_pages = SPANMALLOC_PAGE_WORD(peak_used);
    root->peak_backed_pages = SPANMALLOC_PAGE_WORD(peak_backed);
    root->large_count = SPANMALLOC_PAGE_WORD(large_count);
    root->large_mallocs = SPANMALLOC_PAGE_WORD(large_allocations);
    root->large_frees = SPANMALLOC_PAGE_WORD(large_frees);
    root->large_bytes_allocated = SPANMALLOC_PAGE_WORD(large_bytes_allocated);
    root->large_bytes_freed = SPANMALLOC_PAGE_WORD(large_bytes_freed);
    root->released_bytes = SPANMALLOC_PAGE_WORD(released_bytes);
    root->lazy_pages = SPANMALLOC_PAGE_WORD(lazy);
    root->released_in_spans = SPANMALLOC_PAGE_WORD(released_in_spans);
    root->lazily_released_bytes = SPANMALLOC_PAGE_WORD(lazily_released_bytes);
#undef SPANMALLOC_PAGE_WORD
    const MetadataArena& arena = pages.arena_;
    root->arena_system_bytes = &arena.system_bytes_;
    root->arena_spans = Used(arena, RecordKind::kSpans);
    root->arena_thread_caches = Used(arena, RecordKind::kThreadCaches);
    root->arena_transfer_caches = Used(arena, RecordKind::kTransferCaches);
    root->arena_page_map = Used(arena, RecordKind::kPageMap);
    root->arena_profile = Used(arena, RecordKind::kProfile);
    root->class_map_bytes = &pages.class_map_.count_;
    root->class_map = &pages.class_map_.map_;
    root->records = &arena.chunks_;
    AddPageMap(pages.pagemap_, root);
  }

  static constexpr void AddPageMap(const PageMap& page_map, StatRoot* root) {
    using Chunk = MetadataArena::Chunk;
    static_assert(offsetof(Chunk, next) == 0);
    static_assert(offsetof(Chunk, bytes) == sizeof(uint64_t));
    static_assert(offsetof(Chunk, start) == 2 * sizeof(uint64_t));
    root->page_map = &page_map.root_;
    root->page_map_entries = PageMap::kRootEntries;
    root->page_map_shift = PageMap::kLeafShift;
    root->leaf_trackers = offsetof(PageMap::Leaf, huge_pages);
    root->huge_page_bytes = kHugePageSize;
    root->tracker_free = offsetof(HugePage, free);
    root->tracker_fresh = offsetof(HugePage, fresh);
  }

  static constexpr void AddProfile(const HeapProfiler& profiler,
                                   StatRoot* root) {
    using TotalsRecord = decltype(HeapProfile::published_);
    using SumsRecord = decltype(HeapBucket::sums);
    static_assert(offsetof(TotalsRecord, sequence_) == 0);
    static_assert(offsetof(TotalsRecord, words_) == sizeof(uint64_t));
    static_assert(offsetof(SumsRecord, sequence_) == 0);
    static_assert(offsetof(SumsRecord, words_) == sizeof(uint64_t));
    static_assert(IsNumber<HeapProfile::List>);
    const HeapProfile& profile = profiler.profile_;
    root->profile_interval = &profiler.interval_;
    root->profile_start_ns = &profiler.start_ns_;
    root->profile_totals = &profile.published_;
    root->profile_lists = {&profile.lists_[0], sizeof(HeapProfile::List)};
    root->profile_pool = &profile.pool_;
    root->bucket_bytes = sizeof(HeapBucket);
    root->bucket_next = offsetof(HeapBucket, next_all);
    root->bucket_stack = offsetof(HeapBucket, stack);
    root->bucket_labels = offsetof(HeapBucket, labels);
    root->bucket_size = offsetof(HeapBucket, size);
    root->bucket_sums = offsetof(HeapBucket, sums);
    root->bucket_sums_words = sizeof(BucketSums) / sizeof(uint64_t);
    root->profile_totals_words = sizeof(HeapProfileTotals) / sizeof(uint64_t);
    root->stack_head_bytes = sizeof(Stack);
    root->label_head_bytes = sizeof(LabelSet);
  }

  static constexpr void AddGuarded(const GuardedHeap& guarded, StatRoot* root) {
    root->guarded_range_bytes = &guarded.range_size_;
    root->guarded_records_bytes = &guarded.records_bytes_;
    root->guarded_backed_bytes = &guarded.backed_bytes_;
    root->guarded_peak_backed_bytes = &guarded.peak_backed_bytes_;
    root->guarded_mallocs = &guarded.allocations_;
    root->guarded_frees = &guarded.frees_;
    root->guarded_allocated_bytes = &guarded.allocated_bytes_;
    root->guarded_freed_bytes = &guarded.freed_bytes_;
    root->guarded_peak_bytes = &guarded.peak_live_bytes_;
  }

  // Each number by itself, so that no record has to be read as a whole.
  static constexpr void AddSamples(const Published<HeapProfileTotals>& totals,
                                   StatRoot* root) {
#define SPANMALLOC_TOTALS_WORD(member) \
  &totals.words_[offsetof(HeapProfileTotals, member) / sizeof(uint64_t)]
    root->profile_samples = SPANMALLOC_TOTALS_WORD(samples);
    root->profile_live_samples = SPANMALLOC_TOTALS_WORD(live_samples);
    root->profile_lost_samples = SPANMALLOC_TOTALS_WORD(lost_samples);
#undef SPANMALLOC_TOTALS_WORD
  }

  static constexpr StatAddress Used(const MetadataArena& arena,
                                    RecordKind kind) {
    return &arena.used_bytes_[static_cast<size_t>(kind)];
  }
};

}  // namespace spanmalloc

#pragma GCC diagnostic pop

#endif  // SPANMALLOC_ALLOCATOR_OBSERVE_STAT_LAYOUT_H_
