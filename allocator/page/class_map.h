// One byte for each 64 KiB of the heap's window: the size class that lives
// there.
//
// Place:    page/.
// Purpose:  free() learns the class of a pointer with one load.
// Not here: what else is known about a page (pagemap.h), which also covers
//           memory that lies outside of the window.
//
// The window is the range of addresses in which the heap grows. The map of it
// is reserved ahead; of 1 TiB that is 16 MiB of address space, touched one page
// for each 256 MiB of heap.
//
// Concurrency: Set under the page heap's lock, before the span's first object
//              is handed out; Get by anyone. Init once, before the first block
//              exists that could be looked up: that is why the fields are plain
//              (compilers do not fold atomic loads into arithmetic). A copy
//              made after Init is as good as the original.
// Invariants:  M1  Get is 0 for every address that is not in a small span of
//                  the window: before Init, outside, null, never ours.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_CLASS_MAP_H_
#define SPANMALLOC_ALLOCATOR_PAGE_CLASS_MAP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/base/bits.h"
#include "allocator/base/config.h"
#include "allocator/os/memory.h"

namespace spanmalloc {

class ClassMap {
 public:
  constexpr ClassMap() = default;

  // Covers [start, start + size). False if there is no memory for the map;
  // then every look-up stays 0 and all of the heap counts as outside.
  bool Init(uintptr_t start, size_t size, const SystemMemory& system) {
    const size_t count = size >> kSmallSpanShift;
    void* const map = system.reserve(AlignUp(count, kMaxSystemPageSize));
    if (map == nullptr) return false;
    map_ = static_cast<std::atomic<uint8_t>*>(map);
    start_ = start;
    count_ = count;
    return true;
  }

  // Finds the tag of the small span that contains the address, 0 if there is
  // none. False if the address lies outside of the window.
  SPANMALLOC_ALWAYS_INLINE bool Find(uintptr_t address, size_t* tag) const {
    const size_t i = (address - start_) >> kSmallSpanShift;
    if (SPANMALLOC_UNLIKELY(i >= count_)) return false;
    *tag = map_[i].load(std::memory_order_relaxed);
    return true;
  }
  // The same, with 0 for outside.
  size_t Get(uintptr_t address) const {
    size_t tag = 0;
    return Find(address, &tag) ? tag : 0;
  }

  // Does nothing outside of the window.
  void Set(uintptr_t address, uint8_t tag) {
    const size_t i = (address - start_) >> kSmallSpanShift;
    if (i < count_) map_[i].store(tag, std::memory_order_relaxed);
  }

  // Bytes of address space of the map itself.
  size_t map_bytes() const { return count_; }
  uintptr_t window_start() const { return start_; }
  uintptr_t window_end() const { return start_ + (count_ << kSmallSpanShift); }

 private:
  friend struct StatLayout;
  uintptr_t start_ = 0;
  size_t count_ = 0;
  std::atomic<uint8_t>* map_ = nullptr;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_CLASS_MAP_H_
