// Blocks that the heap profiler has chosen, and how they are told from others.
//
// Place:    the part of Allocator that has to do with the profiler.
//
// A sampled small block lies inside an object that is large enough, at a
// distance from its start: where no object starts. So the hot path of free,
// which checks that anyway, does not take it, and on the slow path its address
// is looked up. It costs the memory of that distance and nothing else; a sample
// that is alive is one for every profile_interval bytes of the heap.
// Large blocks are freed on the slow path anyway.
//
// With guarded sampling, what is sampled and small enough gets a page of its
// own between two that nobody may touch (profile/guarded_heap.h).
#include "allocator/api/allocator.h"
#include "allocator/base/bits.h"
#include "allocator/central/misuse.h"

namespace spanmalloc {
namespace {

// Objects are aligned to 16 bytes in all classes that have room for one more.
constexpr size_t kLeastDistance = 16;

}  // namespace

SPANMALLOC_COLD bool Allocator::LookAtClosely(size_t size) {
  Configure();
  return profiler_.LookAt(size);
}

// REQUIRES: `tag` is that of the span, and no object starts at p.
SPANMALLOC_COLD size_t Allocator::SampledTag(const char* what, const void* p,
                                             size_t tag) const {
  SampledObject sample;
  if (profiler_.Find(p, &sample)) return tag | kSampled;
  // What has just been freed is told as it is of other blocks.
  void* const start = StartOfObject(p, tag);
  const size_t distance = static_cast<size_t>(static_cast<const char*>(p) -
                                              static_cast<char*>(start));
  if (profiler_.start_ns() != 0 && distance >= kLeastDistance &&
      IsPowerOfTwo(distance) && current_thread.cache->IsNewest(tag, start)) {
    size_t size_class = ClassOfTag(tag);
    const size_t room = kSizeClasses[size_class].size - distance;
    while (kSizeClasses[size_class].size > room) --size_class;
    ReportDoubleFree(p, kSizeClasses[size_class].size);
  }
  ReportInvalidPointer(what, p);
}

void* Allocator::StartOfObject(const void* p, size_t tag) {
  const SizeClass& info = kSizeClasses[ClassOfTag(tag)];
  const uintptr_t span =
      AlignDown(reinterpret_cast<uintptr_t>(p), uintptr_t{kSmallSpanSize});
  const uint32_t offset =
      static_cast<uint32_t>(reinterpret_cast<uintptr_t>(p) - span);
  return reinterpret_cast<void*>(span + info.ObjectIndex(offset) * info.stride);
}

// Bytes that may be used of the block at p, of which there are `bytes`: if it
// is a sample, no more than if it were none.
size_t Allocator::UsableSizeOf(const void* p, size_t bytes) const {
  SampledObject sample;
  return profiler_.Find(p, &sample) ? sample.allocated_bytes : bytes;
}

SPANMALLOC_COLD void Allocator::FreeSampled(void* p, size_t tag) {
  // Another thread may have been faster.
  if (!profiler_.RecordFree(p)) ReportInvalidPointer("free", p);
  FreeObject(tag & ~kSampled, StartOfObject(p, tag));
}

// A sample stands for others of its kind, so it counts as what it would be if
// it were none, and is no less.
void* Allocator::AllocateSampled(size_t alignment, size_t size) {
  const size_t good_size = GoodSize(alignment, size);
  if (good_size == 0) return nullptr;
  if (guarded_.enabled()) {
    if (void* const p = guarded_.Allocate(size, alignment)) {
      if (profiler_.RecordAlloc(p, size, good_size)) return p;
      guarded_.Free(p);
    }
  }
  const size_t distance =
      alignment < kLeastDistance ? kLeastDistance : alignment;
  const size_t tag = good_size <= kMaxSmallSize && distance <= kMaxSmallSize
                         ? AlignedTag(distance, distance + good_size)
                         : 0;
  if (tag == 0) {
    void* const p =
        AllocateLarge(alignment < kPageSize ? kPageSize : alignment, size);
    if (p == nullptr) return nullptr;
    if (profiler_.RecordAlloc(p, size, good_size) ||
        good_size > kMaxSmallSize) {
      return p;
    }
    // As if it had not been chosen.
    FreeSlow(p);
    return AllocateAlignedUnsampled(alignment, size);
  }
  void* start = current_thread.cache->Pop(tag);
  if (start == nullptr) start = AllocateObject(tag);
  if (start == nullptr) return nullptr;
  char* const p = static_cast<char*>(start) + distance;
  if (profiler_.RecordAlloc(p, size, good_size)) return p;
  FreeObject(tag, start);
  return AllocateAlignedUnsampled(alignment, size);
}

void Allocator::NoteSampledLarge(void* p, size_t size) {
  profiler_.RecordAlloc(p, size, LargeLength(size).bytes());
}

// A large block that was not copied to become larger or smaller counts as freed
// and allocated anew, as one that was copied. What was at its old address, the
// caller has taken out of the profile before anybody else could get it.
void Allocator::NoteReallocated(void* p, size_t size) {
  if (!current_thread.countdown.Take(size) && LookAt(size)) {
    NoteSampledLarge(p, size);
  }
}

SPANMALLOC_NOINLINE void Allocator::NoteGrowth() {
  profiler_.LookAtGrowth(central_.page_heap().stats().mapped.bytes());
}

}  // namespace spanmalloc
