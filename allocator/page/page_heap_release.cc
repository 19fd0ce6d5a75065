// The part of PageHeap that gives free memory back to the system.
//
// Pages that are being released are marked as used meanwhile, so that the lock
// need not be held during the system calls and nobody can be handed a page
// that is about to lose its contents.
#include "allocator/base/bits.h"
#include "allocator/os/system_info.h"
#include "allocator/page/page_heap.h"

namespace spanmalloc {
namespace {

// The first range of pages at or after `from` that are free but not fresh and
// fill whole pages of the system. False if none.
bool NextDirty(const HugePage& huge_page, size_t from, size_t* start,
               size_t* count) {
  const size_t page = SystemPageSize();
  const size_t unit = page <= kPageSize ? 1 : page >> kPageShift;
  size_t at = 0, length = 0;
  while (huge_page.free.NextRun(from, &at, &length)) {
    from = at + length;
    while (length != 0) {
      // Skip what is fresh, then take up to the next fresh page.
      const size_t dirty = huge_page.fresh.FindClear(at);
      if (dirty >= at + length) break;
      size_t end = huge_page.fresh.FindSet(dirty);
      if (end > at + length) end = at + length;
      *start = AlignUp(dirty, unit);
      const size_t whole_end = AlignDown(end, unit);
      if (*start < whole_end) {
        *count = whole_end - *start;
        return true;
      }
      length -= end - at;
      at = end;
    }
  }
  return false;
}

bool HasDirty(const HugePage& huge_page) {
  size_t start = 0, count = 0;
  return NextDirty(huge_page, 0, &start, &count);
}

}  // namespace

// Takes a stretch of empty huge pages that hold dirty pages out of a run.
bool PageHeap::BorrowFromRuns(Range* range) {
  HugePage* found = nullptr;
  size_t skip = 0, count = 0;
  runs_.ForEach([&](HugePage* run) {
    for (skip = 0; skip < run->run_length; ++skip) {
      const uintptr_t at = run->address + (skip << kHugePageShift);
      if (!HasDirty(*pagemap_.HugePageOf(at))) continue;
      for (count = 1; skip + count < run->run_length; ++count) {
        const uintptr_t end = at + (count << kHugePageShift);
        if (!HasDirty(*pagemap_.HugePageOf(end))) break;
      }
      found = run;
      return false;
    }
    return true;
  });
  if (found == nullptr) return false;
  runs_.TakePart(found, skip, count);
  range->first = found->first_page() + Length(skip * kPagesPerHugePage);
  range->length = range->dirty = Length(count * kPagesPerHugePage);
  for (size_t i = 0; i < count; ++i) {
    const PageId first = range->first + Length(i * kPagesPerHugePage);
    range->dirty = range->dirty - Use(pagemap_.HugePageOf(first.address()), 0,
                                      kPagesPerHugePage);
  }
  return true;
}

bool PageHeap::BorrowFromPartial(Range* range) {
  bool found = false;
  HugePage* huge_page = nullptr;
  size_t start = 0, count = 0;
  filler_.ForEach([&](HugePage* candidate) {
    huge_page = candidate;
    found = NextDirty(*candidate, 0, &start, &count);
    return !found;
  });
  if (!found) return false;
  Use(huge_page, start, count);
  *range = {huge_page->first_page() + Length(start), Length(count),
            Length(count)};
  return true;
}

// Marks dirty ranges as used until they add up to `bytes`; whole huge pages
// first. Returns the number of ranges.
size_t PageHeap::BorrowDirty(size_t bytes, Range* ranges, size_t max_ranges) {
  size_t n = 0;
  for (size_t sum = 0; n < max_ranges && sum < bytes; ++n) {
    if (!BorrowFromRuns(&ranges[n]) && !BorrowFromPartial(&ranges[n])) break;
    sum += ranges[n].dirty.bytes();
    borrowed_ = borrowed_ + ranges[n].length;
    borrowed_fresh_ = borrowed_fresh_ + ranges[n].length - ranges[n].dirty;
  }
  return n;
}

size_t PageHeap::ReleaseAtLeast(size_t bytes) {
  constexpr size_t kBatch = 64;
  size_t released = 0;
  bool refused = false;
  {
    Change change(this);
    ++stats_.releases;
  }
  while (released < bytes && !refused) {
    Range ranges[kBatch];
    bool done[kBatch];
    size_t n;
    {
      Change change(this);
      n = BorrowDirty(bytes - released, ranges, kBatch);
    }
    if (n == 0) break;
    for (size_t i = 0; i < n; ++i) {
      done[i] =
          system_->release(ranges[i].first.pointer(), ranges[i].length.bytes());
      if (done[i]) {
        released += ranges[i].dirty.bytes();
      } else {
        refused = true;
      }
    }
    Change change(this);
    for (size_t i = 0; i < n; ++i) {
      borrowed_ = borrowed_ - ranges[i].length;
      borrowed_fresh_ = borrowed_fresh_ - (ranges[i].length - ranges[i].dirty);
      FreePages(ranges[i].first, ranges[i].length, done[i]);
      if (done[i]) stats_.released_bytes += ranges[i].dirty.bytes();
    }
  }
  return released;
}

bool PageHeap::ReleaseInSpan(Span* span, size_t first, size_t count) {
  const size_t bytes = count * Span::kReleaseUnit;
  char* const start =
      static_cast<char*>(span->start()) + first * Span::kReleaseUnit;
  if (!system_->release(start, bytes)) return false;
  Change change(this);
  span->released |= static_cast<uint16_t>(((1u << count) - 1) << first);
  stats_.released_in_spans += bytes;
  stats_.released_bytes += bytes;
  return true;
}

bool PageHeap::TakeReleased(Span* span, uint16_t parts) {
  SPANMALLOC_ASSERT((span->released & parts) == parts);
  Change change(this);
  span->released &= static_cast<uint16_t>(~parts);
  stats_.released_in_spans -= CountOnes(parts) * Span::kReleaseUnit;
  return true;
}

}  // namespace spanmalloc
