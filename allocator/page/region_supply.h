// Address space for the heap, region by region.
//
// Place:    page/, inside PageHeap.
// Purpose:  Decide where the heap grows and by how much at a time, so that the
//           address space that a process shows stays close to what it uses.
// Not here: what becomes of the memory (PageHeap), the records about it.
//
// Regions follow each other upwards inside one window, which the class map
// covers. Where something else is in the way, or nothing is left, a region
// comes from wherever the system puts it: it works as well, only slower, since
// the class map may not cover it.
//
// Concurrency: none; the page heap's lock covers it.
// Cost:        one system call a region. Steps grow from 4 MiB to 64 MiB.
// Failure:     an empty region; smaller and smaller steps were tried.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_REGION_SUPPLY_H_
#define SPANMALLOC_ALLOCATOR_PAGE_REGION_SUPPLY_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/config.h"
#include "allocator/os/memory.h"
#include "allocator/page/class_map.h"

namespace spanmalloc {

// A range of huge pages; empty if huge_pages is 0.
struct Region {
  uintptr_t address = 0;
  size_t huge_pages = 0;

  size_t bytes() const { return huge_pages << kHugePageShift; }
};

class RegionSupply {
 public:
  static constexpr size_t kDefaultWindow = size_t{1} << 40;

  constexpr RegionSupply(const SystemMemory* system, ClassMap* class_map)
      : system_(system), class_map_(class_map) {}

  // Size of the window in bytes; 0 derives it from the limits of the process.
  // Before the first Get.
  void set_window_size(size_t bytes) { window_size_ = bytes; }

  // At least `needed` huge pages, fewer by `before` if the region starts at
  // next(): so many free ones lie right before it.
  // REQUIRES: before < needed.
  Region Get(size_t needed, size_t before);

  // At least `needed` huge pages at next(), or nothing.
  Region GetNext(size_t needed);

  // Returns a region that could not be used. It must be the last one.
  void PutBack(const Region& region);

  // Where the next region will start, if the address is free.
  uintptr_t next() const { return next_; }
  size_t mapped_bytes() const { return mapped_bytes_; }

 private:
  static constexpr size_t kMinStep = (4 << 20) >> kHugePageShift;
  static constexpr size_t kMaxStep = (64 << 20) >> kHugePageShift;

  void ChooseWindow();
  void OpenWindowAround(const Region& region);
  size_t Step() const;
  Region GetAnywhere(size_t needed);
  uintptr_t MapAligned(size_t bytes);

  const SystemMemory* const system_;
  ClassMap* const class_map_;
  size_t window_size_ = 0;
  bool window_chosen_ = false;
  uintptr_t next_ = 0;  // 0: there is no preferred address.
  size_t mapped_bytes_ = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_REGION_SUPPLY_H_
