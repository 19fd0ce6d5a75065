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
  if (!profiler_.Find(p, &sample)) ReportInvalidPointer(what, p);
  return tag | kSampled;
}

void* Allocator::StartOfObject(const void* p, size_t tag) {
  const SizeClass& info = kSizeClasses[ClassOfTag(tag)];
  const uintptr_t span =
      AlignDown(reinterpret_cast<uintptr_t>(p), uintptr_t{kSmallSpanSize});
  const uint32_t offset =
      static_cast<uint32_t>(reinterpret_cast<uintptr_t>(p) - span);
  return reinterpret_cast<void*>(span + info.ObjectIndex(offset) * info.stride);
}

// Bytes that may be used of the sampled block.
size_t Allocator::SampledSize(const void* p, size_t tag) {
  return static_cast<size_t>(static_cast<char*>(StartOfObject(p, tag)) +
                             kSizeClasses[ClassOfTag(tag)].size -
                             static_cast<const char*>(p));
}

SPANMALLOC_COLD void Allocator::FreeSampled(void* p, size_t tag) {
  // Another thread may have been faster.
  if (!profiler_.RecordFree(p)) ReportInvalidPointer("free", p);
  FreeObject(tag & ~kSampled, StartOfObject(p, tag));
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
