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

namespace spanmalloc {
namespace {

// Objects are aligned to 16 bytes in all classes that have room for one more.
constexpr size_t kLeastDistance = 16;

}  // namespace

SPANMALLOC_NOINLINE bool Allocator::LookAt(size_t size) {
  Configure();
  return profiler_.LookAt(size);
}

void* Allocator::AllocateSampled(size_t alignment, size_t size) {
  if (guarded_.enabled()) {
    if (void* const p = guarded_.Allocate(size, alignment)) {
      if (profiler_.RecordAlloc(p, size, size)) return p;
      guarded_.Free(p);
    }
  }
  const size_t distance =
      alignment < kLeastDistance ? kLeastDistance : alignment;
  const size_t tag =
      size <= kMaxSmallSize && distance <= kMaxSmallSize
          ? AlignedTag(distance, distance + (size == 0 ? 1 : size))
          : 0;
  if (tag == 0) {
    void* const p =
        AllocateLarge(alignment < kPageSize ? kPageSize : alignment, size);
    if (p != nullptr) NoteSampledLarge(p, size);
    return p;
  }
  void* start = current_thread.cache->Pop(tag);
  if (start == nullptr) start = AllocateObject(tag);
  if (start == nullptr) return nullptr;
  char* const p = static_cast<char*>(start) + distance;
  const size_t allocated = kSizeClasses[ClassOfTag(tag)].size - distance;
  if (profiler_.RecordAlloc(p, size, allocated)) return p;
  // As if it had not been chosen.
  FreeObject(tag, start);
  return AllocateAlignedUnsampled(alignment, size);
}

void Allocator::NoteSampledLarge(void* p, size_t size) {
  profiler_.RecordAlloc(p, size, LargeLength(size).bytes());
}

// A large block that was not copied to become larger or smaller counts as freed
// and allocated anew, as one that was copied.
void Allocator::NoteReallocated(const void* from, void* to, size_t size) {
  profiler_.RecordFree(from);
  if (!current_thread.countdown.Take(size) && LookAt(size)) {
    NoteSampledLarge(to, size);
  }
}

SPANMALLOC_NOINLINE void Allocator::NoteGrowth() {
  profiler_.LookAtGrowth(central_.page_heap().stats().mapped.bytes());
}

}  // namespace spanmalloc
