#include "allocator/api/allocator.h"

#include <errno.h>
#include <string.h>

#include "allocator/base/bits.h"
#include "allocator/base/check.h"
#include "allocator/central/misuse.h"

namespace spanmalloc {
namespace {

uint32_t OffsetInSpan(const void* p) {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(p) % kSmallSpanSize);
}

// What a request got before the options were read, if they may have changed
// that, or else 0.
size_t UnconfiguredSize(size_t alignment, size_t size) {
  size = AlignUp(size == 0 ? 1 : size, alignment);
  if (size == 0 || size > ClassOfSize::kMostTiny) return 0;
  size_t size_class = 1;
  while (kClassSizes[size_class] < size) ++size_class;
  return kClassSizes[size_class];
}

}  // namespace

SPANMALLOC_CONSTINIT Allocator the_allocator{&kLinuxMemory};

// ---- Classes

Length Allocator::LargeLength(size_t size) {
  const Length n = Length::FromBytesRoundingUp(size);
  return n.pages() > kPagesPerHeader ? n : Length(kPagesPerHeader + 1);
}

// The tag of the class for an aligned request, or 0 if it needs pages. Spans
// are aligned to 64 KiB, so objects are aligned as far as their stride is; and
// guests, which are not longer than the alignment of the slack, as far as their
// class is anywhere else.
// REQUIRES: alignment is a power of two.
size_t Allocator::AlignedTag(size_t alignment, size_t size) {
  if (size > kMaxSmallSize || alignment > kMaxSmallSize) return 0;
  size = AlignUp(size == 0 ? 1 : size, alignment);
  size_t size_class = ClassOfTag(class_of_size.TagFor(size));
  while ((kSizeClasses[size_class].stride & (alignment - 1)) != 0) ++size_class;
  return TagOfClass(size_class);  // The largest class fits every alignment.
}

// The tag of the small span that p lies in, or 0.
SPANMALLOC_ALWAYS_INLINE size_t Allocator::SpanTagOf(const void* p) const {
  const uintptr_t address = reinterpret_cast<uintptr_t>(p);
  const PageHeap& page_heap = central_.page_heap();
  const size_t tag = page_heap.class_map().Get(address);
  if (tag != 0) return tag;
  // Outside of the window, perhaps.
  const Span* const span = page_heap.pagemap().SmallSpanOf(address);
  return span != nullptr && span->state() == SpanState::kSmall
             ? size_t{span->tag()}
             : 0;
}

// The tag of the object that starts at p; with kSampled if a sampled block
// does; 0 if p is in no small span. Aborts if it is, but nothing starts there.
SPANMALLOC_ALWAYS_INLINE size_t Allocator::TagOf(const char* what,
                                                 const void* p) const {
  const size_t tag = SpanTagOf(p);
  if (tag == 0) return 0;
  const SizeClass& info = kSizeClasses[ClassOfTag(tag)];
  const uint32_t offset = OffsetInSpan(p);
  if (SPANMALLOC_LIKELY(info.StartsObject(offset))) return tag;
  if (info.StartsGuest(offset)) return TagOfClass(info.guest);
  return SampledTag(what, p, tag);
}

// ---- Allocation

// The calling thread's cache, made now if it has none yet; or null.
ThreadCache* Allocator::CacheOfThread() {
  if (SPANMALLOC_LIKELY(current_thread_state == ThreadState::kActive)) {
    return current_thread.cache;
  }
  if (current_thread_state == ThreadState::kExited) return nullptr;
  Configure();
  return registry_.Join();
}

// What the C library allocates to make the scavenger's thread stays for long,
// and shall not be what splits the memory that has just become free: an object
// of a larger class is taken if the thread's cache has one. The attempt that is
// under way, and the tag, become those of that class. Null if there is none.
void* Allocator::AllocateLarger(size_t* tag) {
  if (current_thread_state != ThreadState::kActive) return nullptr;
  ThreadCache* const cache = current_thread.cache;
  for (size_t c = ClassOfTag(*tag) + 1; c < kNumClasses; ++c) {
    if (cache->cached_objects(c) == 0) continue;
    cache->GiveUp(*tag);
    *tag = TagOfClass(c);
    return cache->Pop(*tag);
  }
  return nullptr;
}

// REQUIRES: the thread's cache, if it has one, has an attempt under way.
void* Allocator::AllocateObject(size_t tag) {
  for (;;) {
    void* p;
    if (SPANMALLOC_LIKELY(current_thread_state == ThreadState::kActive)) {
      p = current_thread.cache->Refill(tag);
    } else if (ThreadCache* const cache = CacheOfThread()) {
      // The attempt so far was made on the cache that is nobody's.
      p = cache->Pop(tag);
      if (p == nullptr) p = cache->Refill(tag);
    } else {
      p = registry_.AllocateDirect(ClassOfTag(tag));
    }
    if (p != nullptr) {
      AfterAllocation();
      return p;
    }
    if (!Reclaim()) {
      if (current_thread_state == ThreadState::kActive) {
        current_thread.cache->GiveUp(tag);
      }
      return nullptr;
    }
  }
}

void* Allocator::AllocateLarge(size_t alignment, size_t size,
                               DirtyPages* dirty) {
  if (size > kMaxSize) return nullptr;
  Configure();
  const Length n = LargeLength(size);
  for (;;) {
    Span* const span = central_.page_heap().NewLargeSpan(n, alignment, dirty);
    if (span != nullptr) {
      AfterAllocation();
      return span->start();
    }
    if (!Reclaim()) return nullptr;
  }
}

void* Allocator::AllocateSlow(size_t size) {
  Mutex::AssertNoneHeld();
  if (SPANMALLOC_UNLIKELY(current_thread.countdown.is_over())) {
    if (LookAt(size)) return AllocateSampled(1, size);
    // Nothing has been tried yet.
    if (size <= kMaxSmallSize) {
      void* const p = current_thread.cache->Pop(class_of_size.TagFor(size));
      if (p != nullptr) return p;
    }
  }
  return AllocateUnsampled(size);
}

// REQUIRES: if the size is small, an attempt is under way.
void* Allocator::AllocateUnsampled(size_t size) {
  if (size <= kMaxSmallSize) {
    // May change what size has which class.
    if (current_thread_state != ThreadState::kActive) Configure();
    size_t tag = class_of_size.TagFor(size);
    if (SPANMALLOC_UNLIKELY(Scavenger::IsMakingThread())) {
      if (void* const p = AllocateLarger(&tag)) return p;
    }
    return AllocateObject(tag);
  }
  return AllocateLarge(kPageSize, size);
}

void* Allocator::AllocateAligned(size_t alignment, size_t size) {
  if (SPANMALLOC_UNLIKELY(current_thread_state != ThreadState::kActive)) {
    Configure();
  }
  if (!current_thread.countdown.Take(size) && LookAt(size)) {
    return AllocateSampled(alignment, size);
  }
  return AllocateAlignedUnsampled(alignment, size);
}

void* Allocator::AllocateAlignedUnsampled(size_t alignment, size_t size) {
  if (const size_t tag = AlignedTag(alignment, size)) {
    void* const p = current_thread.cache->Pop(tag);
    return p != nullptr ? p : AllocateObject(tag);
  }
  return AllocateLarge(alignment, size);
}

void* Allocator::AllocateZeroedSlow(size_t size) {
  if (size <= kMaxSmallSize) {
    void* const p = AllocateSlow(size);
    return p == nullptr ? nullptr : memset(p, 0, size);
  }
  const bool sampled = current_thread.countdown.is_over() && LookAt(size);
  DirtyPages dirty;
  void* const p = AllocateLarge(kPageSize, size, &dirty);
  if (p == nullptr) return nullptr;
  central_.page_heap().Clear(LargeLength(size), dirty);
  if (SPANMALLOC_UNLIKELY(sampled)) NoteSampledLarge(p, size);
  return p;
}

void Allocator::AfterAllocation() {
  LookAtPeak();
  if (SPANMALLOC_UNLIKELY(profiler_.interval() != 0)) NoteGrowth();
  scavenger_.AfterSlowPath();
}

void Allocator::LookAtPeak() {
  const size_t used = central_.page_heap().used_bytes();
  if (SPANMALLOC_UNLIKELY(peak_.IsDue(used))) {
    peak_.Look(used,
               ReadHeapAlloc(central_, registry_) + guarded_.live_bytes());
  }
}

// Brings home what can be brought home. True if it is worth trying again: if
// the page heap has got something back.
bool Allocator::Reclaim() {
  const size_t free_before = central_.page_heap().stats().free.pages();
  scavenger_.BringHome();
  return central_.page_heap().stats().free.pages() > free_before;
}

// ---- Freeing

void Allocator::FreeObject(size_t tag, void* p) {
  ThreadCache* const cache = CacheOfThread();
  if (cache == nullptr) {
    registry_.FreeDirect(ClassOfTag(tag), p);
    return;
  }
  // The room that was made may be gone again (ThreadCache::MakeRoom).
  while (!cache->Push(tag, p)) {
    if (cache->IsNewest(tag, p)) {
      ReportDoubleFree(p, kSizeClasses[ClassOfTag(tag)].size);
    }
    cache->MakeRoom(tag);
  }
}

void Allocator::FreeSlow(void* p) {
  if (p == nullptr) return;
  const int saved_errno = errno;
  Mutex::AssertNoneHeld();
  if (const size_t tag = TagOf("free", p)) {
    if (SPANMALLOC_UNLIKELY((tag & kSampled) != 0)) {
      FreeSampled(p, tag);
    } else {
      FreeObject(tag, p);
    }
  } else if (guarded_.Owns(p)) {
    profiler_.RecordFree(p);
    guarded_.Free(p);
  } else {
    profiler_.RecordFree(p);
    scavenger_.BeforeFree(p);
    if (!central_.page_heap().DeleteLargeSpan(reinterpret_cast<uintptr_t>(p))) {
      ReportInvalidPointer("free", p);
    }
  }
  scavenger_.AfterSlowPath();
  errno = saved_errno;
}

void Allocator::FreeSizedSlow(void* p, size_t size, size_t alignment) {
  if (p == nullptr) return;
  if (SPANMALLOC_LIKELY(IsPowerOfTwo(alignment))) {
    const size_t tag = AlignedTag(alignment, size);
    if (tag != 0 && (current_thread.cache->FreeOfClass(p, tag) ||
                     current_thread.cache->FreeGuestOfClass(p, tag))) {
      return;
    }
  }
  SampledObject sample;
  const size_t real_size =
      profiler_.Find(p, &sample) ? sample.allocated_bytes : UsableSize(p);
  if (SPANMALLOC_UNLIKELY(!IsPowerOfTwo(alignment) ||
                          (GoodSize(alignment, size) != real_size &&
                           UnconfiguredSize(alignment, size) != real_size))) {
    ReportWrongSize(p, size, real_size);
  }
  FreeSlow(p);
}

// ---- Reallocation

// A block always has the class of the size that was last asked for, so that a
// sized free can be checked.
void* Allocator::Reallocate(void* p, size_t size) {
  if (const size_t tag = TagOf("realloc", p)) {
    if (size <= kMaxSmallSize && class_of_size.TagFor(size) == tag) return p;
    return Relocate(p,
                    SPANMALLOC_UNLIKELY((tag & kSampled) != 0)
                        ? UsableSizeOf(p, 0)
                        : kSizeClasses[ClassOfTag(tag)].size,
                    size);
  }
  if (guarded_.Owns(p)) {
    return Relocate(p, guarded_.SizeOf(p, "realloc"), size);
  }
  Span* const span =
      central_.page_heap().FindLargeSpan(reinterpret_cast<uintptr_t>(p));
  if (span == nullptr) ReportInvalidPointer("realloc", p);
  if (size > kMaxSmallSize) return ReallocateLarge(span, size);
  return Relocate(p, span->length().bytes(), size);
}

void* Allocator::ReallocateLarge(Span* span, size_t size) {
  if (size > kMaxSize) return nullptr;
  PageHeap& page_heap = central_.page_heap();
  const Length n = LargeLength(size);
  void* const before = span->start();
  // A sample that would be a small block if it were none changes all the same.
  if (n == span->length() && UsableSizeOf(before, n.bytes()) == n.bytes()) {
    return before;
  }
  if (n == span->length() || page_heap.ResizeLargeSpan(span, n)) {
    profiler_.RecordFree(before);
    NoteReallocated(before, size);
    scavenger_.AfterSlowPath();
    return before;
  }
  // Once it has moved, what is at the address before may be another's. (What
  // would be small if it were no sample does not move.)
  const size_t old_size = span->length().bytes();
  if (UsableSizeOf(before, old_size) == old_size) profiler_.RecordFree(before);
  if (Span* const moved = page_heap.MoveLargeSpan(span, n)) {
    NoteReallocated(moved->start(), size);
    return moved->start();
  }
  return Relocate(before, old_size, size);
}

void* Allocator::Relocate(void* p, size_t old_size, size_t size) {
  void* target = Allocate(size);
  if (target == nullptr) target = AllocateSlow(size);
  if (target == nullptr) {
    // A block that could not become smaller is still good enough.
    return size <= old_size ? p : nullptr;
  }
  memcpy(target, p, old_size < size ? old_size : size);
  if (!Free(p)) FreeSlow(p);
  return target;
}

// ---- Queries

size_t Allocator::UsableSize(const void* p) const {
  if (const size_t tag = TagOf("malloc_usable_size", p)) {
    return SPANMALLOC_UNLIKELY((tag & kSampled) != 0)
               ? UsableSizeOf(p, 0)
               : kSizeClasses[ClassOfTag(tag)].size;
  }
  if (guarded_.Owns(p)) return guarded_.SizeOf(p);
  const Span* const span =
      central_.page_heap().FindLargeSpan(reinterpret_cast<uintptr_t>(p));
  if (span == nullptr) ReportInvalidPointer("malloc_usable_size", p);
  return UsableSizeOf(p, span->length().bytes());
}

size_t Allocator::GoodSize(size_t alignment, size_t size) const {
  if (size > kMaxSize) return 0;
  const size_t tag = AlignedTag(alignment, size);
  return tag != 0 ? kSizeClasses[ClassOfTag(tag)].size
                  : LargeLength(size).bytes();
}

bool Allocator::Owns(const void* p) const {
  return central_.page_heap().pagemap().HugePageOf(
             reinterpret_cast<uintptr_t>(p)) != nullptr ||
         guarded_.Owns(p);
}

void Allocator::FlushThreadCache() {
  if (current_thread_state != ThreadState::kActive) return;
  registry_.FlushCurrent();
  scavenger_.AfterSlowPath();
}

void Allocator::CheckInvariants() {
  registry_.CheckInvariants();
  central_.CheckInvariants();
  guarded_.CheckInvariants();
  SPANMALLOC_CHECK(CheckMemStats(ReadStats()) == nullptr);
}

}  // namespace spanmalloc

SPANMALLOC_CONSTINIT const spanmalloc::StatRoot spanmalloc_stat_root =
    spanmalloc::the_allocator.MakeStatRoot(&spanmalloc_stat_root);
