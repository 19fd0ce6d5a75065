// The allocator as a whole: what the entry points call.
//
// Place:    entry points -> [Allocator] -> ThreadCache, CentralHeap
// Purpose:  Put the layers together, and decide for each request which of them
//           serves it. Sizes up to kMaxSmallSize are objects of a class, served
//           by the thread's cache; above, blocks of whole pages.
// Not here: errno, exceptions and the rest of each interface's manners (the
//           entry points).
//
// There is one object, the_allocator, which is ready before any code runs.
//
// Concurrency: every function may be called from any thread, at any time of a
//              process's life, but not from within the allocator.
// Failure:     null; everything allocated before stays as it is. Misuse ends
//              in one line and abort().
#ifndef SPANMALLOC_ALLOCATOR_API_ALLOCATOR_H_
#define SPANMALLOC_ALLOCATOR_API_ALLOCATOR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/api/options.h"
#include "allocator/base/annotations.h"
#include "allocator/central/central_heap.h"
#include "allocator/central/size_classes.h"
#include "allocator/observe/mem_stats.h"
#include "allocator/observe/stat_layout.h"
#include "allocator/observe/stat_root.h"
#include "allocator/os/stack_trace.h"
#include "allocator/profile/guarded_heap.h"
#include "allocator/profile/heap_profiler.h"
#include "allocator/scavenge/scavenger.h"
#include "allocator/thread/thread_cache.h"
#include "allocator/thread/thread_registry.h"

namespace spanmalloc {

class Allocator {
 public:
  constexpr explicit Allocator(const SystemMemory* system)
      : central_(system),
        registry_(&central_, OnThreadExit),
        scavenger_(&central_, &registry_),
        profiler_(&central_.page_heap().arena()),
        guarded_(system, CaptureStackTrace) {}

  // ---- Hot paths: what the thread's cache can do by itself.

  static SPANMALLOC_ALWAYS_INLINE void* Allocate(size_t size) {
    CurrentThread& thread = current_thread;
    if (!thread.countdown.Take(size)) return nullptr;
    return thread.cache->Pop(class_of_size.TagFor(size));
  }
  static SPANMALLOC_ALWAYS_INLINE bool Free(void* p) {
    return current_thread.cache->Free(p);
  }
  static SPANMALLOC_ALWAYS_INLINE bool FreeSized(void* p, size_t size) {
    return current_thread.cache->FreeSized(p, size);
  }

  // ---- What to call when those return null or false.

  // REQUIRES: Allocate(size) has just returned null; if that has counted a
  // malloc, this one carries it out or takes it back.
  void* AllocateSlow(size_t size);
  // The same, and it reads as zero.
  void* AllocateZeroedSlow(size_t size);
  void FreeSlow(void* p);
  // Aborts if `size` and `alignment` are not what p was allocated with.
  void FreeSizedSlow(void* p, size_t size, size_t alignment);

  // ---- The rest

  // REQUIRES: alignment is a power of two.
  void* AllocateAligned(size_t alignment, size_t size);
  // REQUIRES: p != null, size > 0. Null leaves the block as it was.
  void* Reallocate(void* p, size_t size);

  // Bytes that may be used of the block at p, which is not null.
  size_t UsableSize(const void* p) const;
  // Bytes that a request would be given, or 0 if it can't be served.
  size_t GoodSize(size_t alignment, size_t size) const;
  // Whether the address belongs to the heap.
  bool Owns(const void* p) const;

  // Sends home what the calling thread's cache holds.
  void FlushThreadCache();

  Scavenger& scavenger() { return scavenger_; }
  HeapProfiler& profiler() { return profiler_; }
  GuardedHeap& guarded() { return guarded_; }

  MemStats ReadStats() {
    return ReadMemStats(central_, registry_, scavenger_.stats(),
                        guarded_.stats(), profiler_.profile().totals(), &peak_);
  }
  constexpr StatRoot MakeStatRoot(const StatRoot* self) const {
    return StatLayout::Root(central_, registry_, scavenger_, guarded_,
                            profiler_, peak_, self);
  }
  void CheckInvariants();

  // ---- Events in the life of the process

  // Once, before main, when the C library is ready.
  void OnStart();
  // Once, as late as possible.
  void OnExit();
  void OnForkPrepare();
  void OnForkParent();
  void OnForkChild();

 private:
  static constexpr size_t kMaxSize = PTRDIFF_MAX;

  static void OnThreadExit(void* cache);
  static Length LargeLength(size_t size);
  static size_t AlignedTag(size_t alignment, size_t size);

  void Configure();
  void ConfigureProfiler();
  ThreadCache* CacheOfThread();
  void* AllocateLarger(size_t* tag);
  void* AllocateObject(size_t tag);
  void* AllocateUnsampled(size_t size);
  void* AllocateAlignedUnsampled(size_t alignment, size_t size);
  void AfterAllocation();
  void* AllocateLarge(size_t alignment, size_t size,
                      DirtyPages* dirty = nullptr);
  void* ReallocateLarge(Span* span, size_t size);
  void* Relocate(void* p, size_t old_size, size_t size);
  void FreeObject(size_t tag, void* p);
  bool Reclaim();
  void LookAtPeak();
  size_t SpanTagOf(const void* p) const;
  size_t TagOf(const char* what, const void* p) const;

  // ---- sampled_blocks.cc

  // A bit of what TagOf returns: a sampled block starts at p, in an object of
  // the class of the tag without it. (Tags are multiples of four.)
  static constexpr size_t kSampled = 1;
  size_t SampledTag(const char* what, const void* p, size_t tag) const;
  static void* StartOfObject(const void* p, size_t tag);
  size_t UsableSizeOf(const void* p, size_t bytes) const;
  void FreeSampled(void* p, size_t tag);
  // REQUIRES: the countdown is over, because of a request of `size` bytes. True
  // if it is to be sampled.
  SPANMALLOC_ALWAYS_INLINE bool LookAt(size_t size) {
    if (SPANMALLOC_LIKELY(profiler_.interval() == 0 &&
                          configured_.load(std::memory_order_relaxed))) {
      current_thread.countdown.Set(AllocationCountdown::kMost);
      return false;
    }
    return LookAtClosely(size);
  }
  bool LookAtClosely(size_t size);
  void* AllocateSampled(size_t alignment, size_t size);
  void NoteSampledLarge(void* p, size_t size);
  void NoteReallocated(void* p, size_t size);
  void NoteGrowth();
  template <typename F>
  void ForEachForkLock(F&& f);

  CentralHeap central_;
  ThreadRegistry registry_;
  Scavenger scavenger_;
  HeapProfiler profiler_;
  GuardedHeap guarded_;
  PeakAlloc peak_;
  Options options_;
  std::atomic<bool> configured_{false};
};

extern Allocator the_allocator;

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_ALLOCATOR_H_
