// The huge pages that are partly used, and the choice between them.
//
// Place:    page/, inside PageHeap.
// Purpose:  Pack spans into as few huge pages as possible: a request goes
//           where it fits most tightly, so that the others can become empty.
// Not here: empty huge pages (huge_page_runs.h); marking pages (HugePage).
//
// Concurrency: none; the page heap's lock covers it.
// Invariants:  F1  a huge page is in both indexes under its present keys, or
//                  in neither: whoever changes one removes it first.
// Cost:        constant to choose a huge page; a scan of four words to choose
//              the place in it.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_HUGE_PAGE_FILLER_H_
#define SPANMALLOC_ALLOCATOR_PAGE_HUGE_PAGE_FILLER_H_

#include <cstddef>

#include "allocator/base/linked_list.h"
#include "allocator/page/huge_page.h"
#include "allocator/page/indexed_lists.h"
#include "allocator/page/page_id.h"

namespace spanmalloc {

class HugePageFiller {
 public:
  struct Place {
    HugePage* huge_page = nullptr;  // Null if nothing fits.
    size_t page = 0;                // First page within it.
  };

  // REQUIRES: state() == kPartial.
  void Add(HugePage* huge_page) {
    by_longest_.Add(huge_page->longest_free, huge_page);
    by_small_.Add(huge_page->free_small_spans, huge_page);
  }
  // REQUIRES: was added, and has not changed since.
  void Remove(HugePage* huge_page) {
    by_longest_.Remove(huge_page->longest_free, huge_page);
    by_small_.Remove(huge_page->free_small_spans, huge_page);
  }

  // Where a small span goes: into the huge page with the least room for them.
  Place FindSmallSpan() const {
    const size_t key = by_small_.Next(1);
    if (key == by_small_.kNone) return {};
    HugePage* const huge_page = by_small_.list(key).first();
    return {huge_page, huge_page->FindSmallSpan()};
  }

  // Where `n` pages go that start at a multiple of `alignment`: into the huge
  // page whose longest free range is the shortest that surely holds them.
  // REQUIRES: n, alignment <= kPagesPerHugePage, both at least one page.
  Place Find(Length n, Length alignment) const {
    const size_t enough = n.pages() + alignment.pages() - 1;
    const size_t key = enough > kPagesPerHugePage ? by_longest_.kNone
                                                  : by_longest_.Next(enough);
    if (key == by_longest_.kNone) return {};
    HugePage* const huge_page = by_longest_.list(key).first();
    return {huge_page,
            huge_page->free.FindBestFit(n.pages(), alignment.pages())};
  }

  // Calls f(huge_page) for each until it returns false. f may remove it.
  template <typename F>
  void ForEach(F&& f) {
    size_t key = by_longest_.Next(0);
    for (; key != by_longest_.kNone; key = by_longest_.Next(key + 1)) {
      HugePage* next = nullptr;
      for (HugePage* hp = by_longest_.list(key).first(); hp; hp = next) {
        next = hp->next;
        if (!f(hp)) return;
      }
    }
  }

  void CheckInvariants() const {
    by_longest_.CheckInvariants();
    by_small_.CheckInvariants();
    for (size_t key = 0; key <= kPagesPerHugePage; ++key) {
      for (const HugePage* hp = by_longest_.list(key).first(); hp != nullptr;
           hp = hp->next) {
        SPANMALLOC_CHECK(hp->state() == HugePage::State::kPartial);
        SPANMALLOC_CHECK(hp->longest_free == key);
        hp->CheckInvariants();
      }
    }
    for (size_t key = 0; key <= kSmallSpansPerHugePage; ++key) {
      for (const HugePage* hp = by_small_.list(key).first(); hp != nullptr;
           hp = hp->next_by_small) {
        SPANMALLOC_CHECK(hp->free_small_spans == key);
      }
    }
  }

 private:
  IndexedLists<LinkedList<HugePage>, kPagesPerHugePage + 1> by_longest_;
  IndexedLists<
      LinkedList<HugePage, &HugePage::next_by_small, &HugePage::prev_by_small>,
      kSmallSpansPerHugePage + 1>
      by_small_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_HUGE_PAGE_FILLER_H_
