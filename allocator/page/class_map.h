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
//              is handed out; Get by anyone. Init once, before the first Set.
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
    start_.store(start, std::memory_order_relaxed);
    map_.store(static_cast<std::atomic<uint8_t>*>(map),
               std::memory_order_relaxed);
    count_.store(count, std::memory_order_release);
    return true;
  }

  // The tag of the small span that contains the address, or 0.
  SPANMALLOC_ALWAYS_INLINE uint8_t Get(uintptr_t address) const {
    const size_t i = (address - start_.load(std::memory_order_relaxed)) >>
                     kSmallSpanShift;
    if (SPANMALLOC_UNLIKELY(i >= count_.load(std::memory_order_relaxed))) {
      return 0;
    }
    return map_.load(std::memory_order_relaxed)[i].load(
        std::memory_order_relaxed);
  }

  // Does nothing outside of the window.
  void Set(uintptr_t address, uint8_t tag) {
    const size_t i = (address - start_.load(std::memory_order_relaxed)) >>
                     kSmallSpanShift;
    if (i < count_.load(std::memory_order_relaxed)) {
      map_.load(std::memory_order_relaxed)[i].store(tag,
                                                    std::memory_order_relaxed);
    }
  }

  // Bytes of address space of the map itself.
  size_t map_bytes() const {
    return count_.load(std::memory_order_relaxed);
  }
  uintptr_t window_start() const {
    return start_.load(std::memory_order_relaxed);
  }
  uintptr_t window_end() const {
    return window_start() + (map_bytes() << kSmallSpanShift);
  }

 private:
  // Read together by every free().
  std::atomic<uintptr_t> start_{0};
  std::atomic<size_t> count_{0};
  std::atomic<std::atomic<uint8_t>*> map_{nullptr};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_CLASS_MAP_H_
