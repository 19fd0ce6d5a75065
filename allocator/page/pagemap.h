// From an address to what the page heap knows about it.
//
// Place:    page/.
// Purpose:  The span header and the tracker of the huge page that contains a
//           pointer, for any pointer value whatsoever.
// Not here: the size class of an object, which the hot path asks for
//           (class_map.h).
//
// Concurrency: Set under the page heap's lock; look-ups by anyone without one.
//              Entries are only ever added: memory that came from the system
//              keeps its records for good.
// Cost:        three dependent loads, of which the first is always and the
// second
//              for each GiB the same. The root is 2 MiB of address space of
//              which a page or two get touched.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_PAGEMAP_H_
#define SPANMALLOC_ALLOCATOR_PAGE_PAGEMAP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "allocator/base/config.h"
#include "allocator/page/huge_page.h"
#include "allocator/page/metadata_arena.h"
#include "allocator/page/span.h"

namespace spanmalloc {

class PageMap {
 public:
  constexpr PageMap() = default;

  // The header in which the span that starts at p's page would be described,
  // or null if the page is not ours.
  Span* HeaderOf(uintptr_t address) const {
    const Leaf* const leaf = LeafOf(address);
    if (leaf == nullptr) return nullptr;
    Span* const headers =
        leaf->headers[LeafIndex(address)].load(std::memory_order_relaxed);
    if (headers == nullptr) return nullptr;
    return headers + (address % kHugePageSize) / (kPagesPerHeader * kPageSize);
  }

  // The header of the small span that p lies in, if it lies in one.
  Span* SmallSpanOf(uintptr_t address) const {
    return HeaderOf(AlignDown(address, kSmallSpanSize));
  }

  // The same for an address that is known to lie in a small span.
  Span* LiveSmallSpanOf(uintptr_t address) const {
    return root_.load(std::memory_order_relaxed)
               ->leaves[address >> kLeafShift]
               .load(std::memory_order_relaxed)
               ->headers[LeafIndex(address)]
               .load(std::memory_order_relaxed) +
           (address % kHugePageSize >> kSmallSpanShift) *
               (kPagesPerSmallSpan / kPagesPerHeader);
  }

  HugePage* HugePageOf(uintptr_t address) const {
    const Leaf* const leaf = LeafOf(address);
    if (leaf == nullptr) return nullptr;
    return leaf->huge_pages[LeafIndex(address)].load(std::memory_order_relaxed);
  }

  // Makes room for the records of `count` huge pages from `address` on. False
  // if there is no memory.
  bool Ensure(uintptr_t address, size_t count, MetadataArena* arena);

  // REQUIRES: Ensure succeeded for this address.
  void Set(uintptr_t address, HugePage* huge_page) {
    Leaf* const leaf = root_.load(std::memory_order_relaxed)
                           ->leaves[address >> kLeafShift]
                           .load(std::memory_order_relaxed);
    leaf->huge_pages[LeafIndex(address)].store(huge_page,
                                               std::memory_order_release);
    leaf->headers[LeafIndex(address)].store(huge_page->headers,
                                            std::memory_order_release);
  }

 private:
  friend struct StatLayout;
  static constexpr size_t kLeafShift = 30;
  static constexpr size_t kLeafEntries = size_t{1}
                                         << (kLeafShift - kHugePageShift);
  static constexpr size_t kRootEntries = size_t{1}
                                         << (kAddressBits - kLeafShift);
  struct Leaf {
    std::atomic<Span*> headers[kLeafEntries];
    std::atomic<HugePage*> huge_pages[kLeafEntries];
  };
  struct Root {
    std::atomic<Leaf*> leaves[kRootEntries];
  };

  static size_t LeafIndex(uintptr_t address) {
    return (address >> kHugePageShift) % kLeafEntries;
  }
  const Leaf* LeafOf(uintptr_t address) const {
    if (address >> kAddressBits != 0) return nullptr;
    const Root* const root = root_.load(std::memory_order_acquire);
    if (root == nullptr) return nullptr;
    return root->leaves[address >> kLeafShift].load(std::memory_order_acquire);
  }

  std::atomic<Root*> root_{nullptr};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_PAGEMAP_H_
