// The tracker of one huge page: which of its 256 pages are free, and where the
// bitmaps of its small spans lie.
//
// Place:    page/. Owned by PageHeap.
// Purpose:  A passive record: it keeps the numbers by which the page heap
//           chooses between huge pages, and chooses nothing itself.
// Not here: which list it is in (huge_page_filler.h, huge_page_runs.h), and how
//           long its pages have been idle (idle_queues.h).
//
// Concurrency: none; the page heap's lock covers it.
// Invariants:  H1  fresh is a subset of free: a page that was handed out is no
//                  longer known to read as zero.
//              H2  free_pages, longest_free, free_small_spans,
//                  backed_small_spans and lazy_pages describe the bitmaps
//                  exactly (see CheckInvariants).
//              H3  every free page is fresh, lazy or dirty, and only one of
//                  them.
//              H4  a bitmap takes a power of two of granules, at a multiple of
//                  that. So there is room for the largest in one of 32 places
//                  as long as fewer than 32 spans have one.
//
// Free pages: fresh   read as zero; the system backs them only if it backs the
//                     huge page as a whole.
//             dirty   hold what the last owner left there.
//             lazy    were dirty; the system may take them whenever it likes,
//                     and until then they hold what they held.
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
  using Pages = Bitmap<kPagesPerHugePage>;
  static constexpr size_t kHeaderBytes = kHeadersPerHugePage * sizeof(Span);
  // Address space for the bitmaps of its spans; most of it is never touched.
  static constexpr size_t kBitmapBytes =
      kPagesPerHugePage / kPagesPerSmallSpan * Span::kMaxBitmapWords *
      sizeof(uint64_t);
  static constexpr size_t kBitmapGranule = kCacheLineSize;
  // The bitmaps and then the headers: what need not be kept while it is empty.
  static constexpr size_t kSpanRecordBytes = kBitmapBytes + kHeaderBytes;
  static constexpr size_t kGranules = kBitmapBytes / kBitmapGranule;
  enum class State : uint8_t { kFull, kPartial, kEmpty };
  // Which of the lists of IdleQueues it is in.
  enum class Idle : uint8_t { kNone, kEmpty, kPartial, kHeld, kRefused };

  // A huge page that has just come from the system, which backs it `as_whole`
  // or page by page. At `records` there are kSpanRecordBytes.
  void Init(uintptr_t huge_page_address, char* records, bool as_whole = false) {
    address = huge_page_address;
    bitmaps = records;
    headers = reinterpret_cast<Span*>(reinterpret_cast<uintptr_t>(records) +
                                      kBitmapBytes);
    free_bitmaps.SetAll();
    backed_as_whole = as_whole;
    free.SetAll();
    fresh.SetAll();
    free_pages = longest_free = kPagesPerHugePage;
    CountSmallSpansAgain();
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
    SPANMALLOC_ASSERT(count != 0 && free.AllSet(from, count));
    const size_t run = free.RunEnd(from) - free.RunStart(from);
    free.ClearRange(from, count);
    free_pages = static_cast<uint16_t>(free_pages - count);
    if (run == longest_free) {
      longest_free = static_cast<uint16_t>(free.LongestRun());
    }
    const size_t were_fresh = fresh.CountRange(from, count);
    fresh.ClearRange(from, count);
    if (lazy_pages != 0) {
      lazy_pages =
          static_cast<uint16_t>(lazy_pages - lazy.CountRange(from, count));
      lazy.ClearRange(from, count);
    }
    CountSmallSpansAgain();
    return were_fresh;
  }

  // Marks used pages as free; `are_fresh` says that they read as zero.
  // REQUIRES: none of [from, from + count) is free.
  void Put(size_t from, size_t count, bool are_fresh) {
    SPANMALLOC_ASSERT(count != 0 && free.NoneSet(from, count));
    free.SetRange(from, count);
    free_pages = static_cast<uint16_t>(free_pages + count);
    const size_t run = free.RunEnd(from) - free.RunStart(from);
    if (run > longest_free) longest_free = static_cast<uint16_t>(run);
    if (are_fresh) fresh.SetRange(from, count);
    CountSmallSpansAgain();
  }

  // The same for pages that were released lazily.
  void PutLazy(size_t from, size_t count) {
    Put(from, count, false);
    lazy.SetRange(from, count);
    lazy_pages = static_cast<uint16_t>(lazy_pages + count);
  }

  // What a bitmap of so many words takes, in bytes.
  static constexpr size_t RoundedBitmapBytes(size_t words) {
    size_t bytes = kBitmapGranule;
    while (bytes < words * sizeof(uint64_t)) bytes *= 2;
    return bytes;
  }
  // Memory for a bitmap of a small span that lies here, which does not read as
  // zero. It is near those that there are.
  uint64_t* TakeBitmap(size_t words) {
    const size_t n = RoundedBitmapBytes(words) / kBitmapGranule;
    size_t start = 0, count = 0;
    for (size_t at = 0; free_bitmaps.NextRun(at, &start, &count);
         at = start + count) {
      const size_t first = AlignUp(start, n);
      if (first + n > start + count) continue;
      free_bitmaps.ClearRange(first, n);
      return reinterpret_cast<uint64_t*>(bitmaps + first * kBitmapGranule);
    }
    SPANMALLOC_CHECK(false);  // H4
    return nullptr;
  }
  void PutBitmap(const uint64_t* bitmap, size_t words) {
    const size_t n = RoundedBitmapBytes(words) / kBitmapGranule;
    const size_t first =
        static_cast<size_t>(reinterpret_cast<const char*>(bitmap) - bitmaps) /
        kBitmapGranule;
    SPANMALLOC_ASSERT(free_bitmaps.NoneSet(first, n));
    free_bitmaps.SetRange(first, n);
  }

  // Says whether the system was told to back it by small pages only.
  void SetForbidden(bool forbidden) {
    huge_forbidden = forbidden;
    CountSmallSpansAgain();
  }

  Pages dirty() const { return free - fresh - lazy; }
  bool has_dirty() const {
    uint64_t any = 0;
    for (size_t w = 0; w < kPagesPerHugePage / 64; ++w) {
      any |= free.word(w) & ~fresh.word(w) & ~lazy.word(w);
    }
    return any != 0;
  }

  void CheckInvariants() const {
    SPANMALLOC_CHECK((fresh - free).None());
    SPANMALLOC_CHECK((lazy - (free - fresh)).None());
    SPANMALLOC_CHECK(lazy_pages == lazy.Count());
    SPANMALLOC_CHECK(set_apart || !huge_forbidden);
    SPANMALLOC_CHECK(free_pages == free.Count());
    SPANMALLOC_CHECK(longest_free == free.LongestRun());
    SPANMALLOC_CHECK(free_small_spans == CountSmallSpans());
    SPANMALLOC_CHECK(backed_small_spans == CountBackedSmallSpans());
  }

  // The lowest place for a small span, or kPagesPerHugePage.
  size_t FindSmallSpan() const {
    return FindGroup([this](size_t w) { return free.word(w); });
  }
  // The same, where the system backs all of its pages.
  size_t FindBackedSmallSpan() const {
    return FindGroup([this](size_t w) { return BackedWord(w); });
  }

  // Whether any of its free pages costs no memory of the system's when used.
  bool has_backed() const { return fresh.Count() < free_pages; }

  Pages free;
  Pages fresh;  // Free, and known to read as zero.
  Pages lazy;   // Free, and released lazily.
  uintptr_t address = 0;
  Span* headers = nullptr;         // kHeadersPerHugePage of them.
  char* bitmaps = nullptr;         // kBitmapBytes.
  Bitmap<kGranules> free_bitmaps;  // Granules.

  uint16_t free_pages = 0;
  uint16_t longest_free = 0;        // Pages in the longest free range.
  uint16_t free_small_spans = 0;    // Aligned groups of eight free pages.
  uint16_t backed_small_spans = 0;  // Those of them the system backs.
  uint16_t lazy_pages = 0;

  // The system backs all of it as soon as one page is used, unless that is
  // forbidden meanwhile.
  bool backed_as_whole = false;
  bool huge_forbidden = false;
  // The system's advice on it is not the one on its region: a mapping of its
  // own in the kernel.
  bool set_apart = false;

  // ---- Covered by IdleQueues
  Idle idle = Idle::kNone;
  uint16_t refused_pages = 0;  // kRefused: its dirty pages.
  uint32_t idle_since = 0;     // kEmpty, kPartial: a tick.
  Pages aged;                  // Dirty, and idle since then or before.
  HugePage* next_idle = nullptr;
  HugePage* prev_idle = nullptr;

  // partial: links of the three indexes of HugePageFiller.
  // empty:   next and prev link the runs of HugePageRuns; in the first and the
  //          last huge page of a run, run_length is its length.
  HugePage* next = nullptr;
  HugePage* prev = nullptr;
  HugePage* next_by_small = nullptr;
  HugePage* prev_by_small = nullptr;
  HugePage* next_by_backed = nullptr;
  HugePage* prev_by_backed = nullptr;
  size_t run_length = 0;

 private:
  // The lowest bit of every byte of `word` that is all ones.
  static uint64_t WholeBytes(uint64_t word) {
    word &= word >> 4;
    word &= word >> 2;
    word &= word >> 1;
    return word & 0x0101010101010101;
  }
  // The free pages of a word that the system backs.
  uint64_t BackedWord(size_t w) const {
    return backed_as_whole && !huge_forbidden ? free.word(w)
                                              : free.word(w) & ~fresh.word(w);
  }
  template <typename F>
  static size_t FindGroup(F&& word) {
    for (size_t w = 0; w < kPagesPerHugePage / 64; ++w) {
      const uint64_t whole = WholeBytes(word(w));
      if (whole != 0) return w * 64 + CountTrailingZeros(whole);
    }
    return kPagesPerHugePage;
  }
  template <typename F>
  static uint16_t CountGroups(F&& word) {
    // One bit a byte, and no byte of the sum can overflow: the multiplication
    // adds up the bytes.
    uint64_t sum = 0;
    for (size_t w = 0; w < kPagesPerHugePage / 64; ++w) {
      sum += WholeBytes(word(w));
    }
    return static_cast<uint16_t>(sum * 0x0101010101010101 >> 56);
  }
  uint16_t CountSmallSpans() const {
    return CountGroups([this](size_t w) { return free.word(w); });
  }
  uint16_t CountBackedSmallSpans() const {
    return CountGroups([this](size_t w) { return BackedWord(w); });
  }
  void CountSmallSpansAgain() {
    free_small_spans = CountSmallSpans();
    backed_small_spans = CountBackedSmallSpans();
    if (kAssertLevel >= 2) CheckInvariants();
  }
};
static_assert(kPagesPerSmallSpan == 8, "WholeBytes looks at groups of eight");

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PAGE_HUGE_PAGE_H_
