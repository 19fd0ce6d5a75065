// The huge pages that are partly used, and the choice between them.
//
// Place:    page/, inside PageHeap.
// Purpose:  Pack spans into as few huge pages as possible: a request goes
//           where it fits most tightly, so that the others can become empty.
// Not here: empty huge pages (huge_page_runs.h); marking pages (HugePage).
//
// Concurrency: none; the page heap's lock covers it.
// Invariants:  F1  a huge page is in all indexes under its present keys, or
//                  in none: whoever changes one calls Update. A key of 0 is in
//                  no list: nothing is ever asked of those.
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

  // Where a huge page is listed; 0 stands for nowhere.
  struct Keys {
    uint16_t longest = 0;
    uint16_t small = 0;
    uint16_t backed = 0;
  };
  static Keys KeysOf(const HugePage& huge_page) {
    if (huge_page.state() != HugePage::State::kPartial) return {};
    return {huge_page.longest_free, huge_page.free_small_spans,
            huge_page.backed_small_spans};
  }

  // Lists the huge page where it belongs now; `before` are its keys before it
  // changed.
  void Update(HugePage* huge_page, const Keys& before) {
    const Keys now = KeysOf(*huge_page);
    Move(&by_longest_, huge_page, before.longest, now.longest);
    Move(&by_small_, huge_page, before.small, now.small);
    Move(&by_backed_, huge_page, before.backed, now.backed);
  }

  // Where a small span goes: into the huge page with the least room for them.
  Place FindSmallSpan() const {
    const size_t key = by_small_.Next(1);
    if (key == by_small_.kNone) return {};
    HugePage* const huge_page = by_small_.list(key).first();
    return {huge_page, huge_page->FindSmallSpan()};
  }

  // The same among places that need no more memory from the system.
  Place FindBackedSmallSpan() const {
    const size_t key = by_backed_.Next(1);
    if (key == by_backed_.kNone) return {};
    HugePage* const huge_page = by_backed_.list(key).first();
    return {huge_page, huge_page->FindBackedSmallSpan()};
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
  void ForEach(F&& f) const {
    size_t key = by_longest_.Next(1);
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
    by_backed_.CheckInvariants();
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
      for (const HugePage* hp = by_backed_.list(key).first(); hp != nullptr;
           hp = hp->next_by_backed) {
        SPANMALLOC_CHECK(hp->backed_small_spans == key);
      }
    }
  }

 private:
  template <typename Lists>
  static void Move(Lists* lists, HugePage* huge_page, size_t from, size_t to) {
    if (from == to) return;
    if (from != 0) lists->Remove(from, huge_page);
    if (to != 0) lists->Add(to, huge_page);
  }

  IndexedLists<LinkedList<HugePage>, kPagesPerHugePage + 1> by_longest_;
  IndexedLists<
      LinkedList<HugePage, &HugePage::next_by_small, &HugePage::prev_by_small>,
      kSmallSpansPerHugePage + 1>
      by_small_;
  IndexedLists<LinkedList<HugePage, &HugePage::next_by_backed,
                          &HugePage::prev_by_backed>,
               kSmallSpansPerHugePage + 1>
      by_backed_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_HUGE_PAGE_FILLER_H_
