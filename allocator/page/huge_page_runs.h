// The runs of empty huge pages.
//
// Place:    page/, inside PageHeap.
// Purpose:  Keep neighbours joined, and find the shortest run that fits, the
//           lowest among equals.
// Not here: huge pages that are partly used (huge_page_filler.h).
//
// Concurrency: none; the page heap's lock covers it.
// Invariants:  R1  every empty huge page is in exactly one run.
//              R2  no two runs touch each other (unless the page map lacks the
//                  neighbour: memory that is not ours lies between).
//              R3  run_length of the first and the last huge page of a run is
//                  the length of the run; the first one is linked.
// Cost:        constant to add and to take the best; runs of 64 huge pages and
// more share lists by
//              powers of two, which are searched.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_HUGE_PAGE_RUNS_H_
#define SPANMALLOC_ALLOCATOR_PAGE_HUGE_PAGE_RUNS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/linked_list.h"
#include "allocator/page/huge_page.h"
#include "allocator/page/indexed_lists.h"
#include "allocator/page/pagemap.h"

namespace spanmalloc {

class HugePageRuns {
 public:
  constexpr explicit HugePageRuns(const PageMap* pagemap) : pagemap_(pagemap) {}

  // Adds `count` adjacent empty huge pages, the first of which is `first`, and
  // joins them with their neighbours.
  void Add(HugePage* first, size_t count);

  // Takes out the best run of at least `count`, from an address that is a
  // multiple of `alignment` bytes on; the rest of the run stays. Null if there
  // is none. REQUIRES: alignment >= kHugePageSize, a power of two.
  HugePage* Take(size_t count, size_t alignment);

  // Takes `count` huge pages, the `skip` first ones left, out of a run.
  // REQUIRES: `first` is the first of a run of at least skip + count.
  void TakePart(HugePage* first, size_t skip, size_t count);

  // Takes `count` adjacent empty huge pages out of the run they lie in, from
  // `huge_page` on. Looks for the nearer end of the run, one by one.
  void TakeOut(HugePage* huge_page, size_t count);

  // An empty huge page, the first of its run, that the system backs at least in
  // part; null if a short look finds none.
  HugePage* FindBacked() const;

  // Whether there is a run of at least `count`.
  bool Has(size_t count) const;

  // Length of the run that ends right before the address, or 0.
  size_t LengthBefore(uintptr_t address) const;

  size_t total() const { return total_; }

  // Calls f(first huge page of a run) for each run until it returns false.
  template <typename F>
  void ForEach(F&& f) const {
    for (size_t key = lists_.Next(0); key != lists_.kNone;
         key = lists_.Next(key + 1)) {
      for (HugePage* run = lists_.list(key).first(); run; run = run->next) {
        if (!f(run)) return;
      }
    }
  }

  void CheckInvariants() const;

 private:
  static constexpr size_t kExact = 64;
  static constexpr size_t kKeys = kExact + 64;
  static size_t Key(size_t length);

  HugePage* Neighbour(uintptr_t address) const;
  void Link(HugePage* first, size_t length);
  void Unlink(HugePage* first);
  HugePage* FirstOf(HugePage* huge_page) const;

  const PageMap* const pagemap_;
  size_t total_ = 0;
  IndexedLists<LinkedList<HugePage>, kKeys> lists_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_HUGE_PAGE_RUNS_H_
