// The tracker of one huge page: which of its 256 pages are free.
//
// Place:    page/. Owned by PageHeap.
// Purpose:  A passive record: it keeps the numbers by which the page heap
//           chooses between huge pages, and chooses nothing itself.
// Not here: which list it is in (huge_page_filler.h, huge_page_runs.h).
//
// Concurrency: none; the page heap's lock covers it.
// Invariants:  H1  fresh is a subset of free: a page that was handed out is no
//                  longer known to read as zero.
//              H2  free_pages, longest_free and free_small_spans describe
//                  `free` exactly (see CheckInvariants).
//
// States: full      no free page; in no list.
//         partial   some free pages; in the HugePageFiller.
//         empty     all pages free; part of a run in HugePageRuns.
#ifndef SPANMALLOC_ALLOCATOR_PAGE_HUGE_PAGE_H_
#define SPANMALLOC_ALLOCATOR_PAGE_HUGE_PAGE_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/bitmap.h"
#include "allocator/base/config.h"
#include "allocator/page/page_id.h"
#include "allocator/page/span.h"

namespace spanmalloc {

struct HugePage {
  enum class State : uint8_t { kFull, kPartial, kEmpty };

  // A huge page that has just come from the system.
  void Init(uintptr_t huge_page_address, Span* span_headers) {
    address = huge_page_address;
    headers = span_headers;
    free.SetAll();
    fresh.SetAll();
    CountAgain();
  }

  State state() const {
    return free_pages == 0                   ? State::kFull
           : free_pages == kPagesPerHugePage ? State::kEmpty
                                             : State::kPartial;
  }
  PageId first_page() const { return PageId::Containing(address); }

  // Marks free pages as used. Returns how many of them were fresh.
  // REQUIRES: all of [from, from + count) is free.
  size_t Take(size_t from, size_t count) {
    SPANMALLOC_ASSERT(free.AllSet(from, count));
    free.ClearRange(from, count);
    size_t were_fresh = 0;
    size_t start = 0, length = 0;
    for (size_t at = from;
         at < from + count && fresh.NextRun(at, &start, &length);
         at = start + length) {
      const size_t end =
          start + length < from + count ? start + length : from + count;
      if (start < end) were_fresh += end - start;
    }
    fresh.ClearRange(from, count);
    CountAgain();
    return were_fresh;
  }

  // Marks used pages as free; `are_fresh` says that they read as zero.
  // REQUIRES: none of [from, from + count) is free.
  void Put(size_t from, size_t count, bool are_fresh) {
    SPANMALLOC_ASSERT(free.NoneSet(from, count));
    free.SetRange(from, count);
    if (are_fresh) fresh.SetRange(from, count);
    CountAgain();
  }

  void CheckInvariants() const {
    for (size_t w = 0; w < kPagesPerHugePage / 64; ++w) {
      SPANMALLOC_CHECK((fresh.word(w) & ~free.word(w)) == 0);
    }
    SPANMALLOC_CHECK(free_pages == free.Count());
    SPANMALLOC_CHECK(longest_free == free.LongestRun());
    SPANMALLOC_CHECK(free_small_spans == CountSmallSpans());
  }

  // The lowest place for a small span, or kPagesPerHugePage.
  size_t FindSmallSpan() const {
    for (size_t w = 0; w < kPagesPerHugePage / 64; ++w) {
      const uint64_t whole = WholeBytes(free.word(w));
      if (whole != 0) return w * 64 + CountTrailingZeros(whole);
    }
    return kPagesPerHugePage;
  }

  Bitmap<kPagesPerHugePage> free;
  Bitmap<kPagesPerHugePage> fresh;  // Free, and known to read as zero.
  uintptr_t address = 0;
  Span* headers = nullptr;  // kHeadersPerHugePage of them.

  uint16_t free_pages = 0;
  uint16_t longest_free = 0;      // Pages in the longest free range.
  uint16_t free_small_spans = 0;  // Aligned groups of eight free pages.

  // partial: links of the two indexes of HugePageFiller.
  // empty:   next and prev link the runs of HugePageRuns; in the first and the
  //          last huge page of a run, run_length is its length.
  HugePage* next = nullptr;
  HugePage* prev = nullptr;
  HugePage* next_by_small = nullptr;
  HugePage* prev_by_small = nullptr;
  size_t run_length = 0;

 private:
  // The lowest bit of every byte of `word` that is all ones.
  static uint64_t WholeBytes(uint64_t word) {
    word &= word >> 4;
    word &= word >> 2;
    word &= word >> 1;
    return word & 0x0101010101010101;
  }
  size_t CountSmallSpans() const {
    size_t n = 0;
    for (size_t w = 0; w < kPagesPerHugePage / 64; ++w) {
      n += __builtin_popcountll(WholeBytes(free.word(w)));
    }
    return n;
  }
  void CountAgain() {
    free_pages = static_cast<uint16_t>(free.Count());
    longest_free = static_cast<uint16_t>(free.LongestRun());
    free_small_spans = static_cast<uint16_t>(CountSmallSpans());
    if (kAssertLevel >= 2) CheckInvariants();
  }
};
static_assert(kPagesPerSmallSpan == 8, "WholeBytes looks at groups of eight");

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_HUGE_PAGE_H_
