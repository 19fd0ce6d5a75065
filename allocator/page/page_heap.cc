#include "allocator/page/page_heap.h"

#include <string.h>

#include "allocator/base/bits.h"
#include "allocator/base/check.h"
#include "allocator/os/system_info.h"

namespace spanmalloc {

void PageHeap::Configure(size_t window_size, size_t huge_page_threshold) {
  MutexLock lock(&lock_);
  supply_.set_window_size(window_size);
  huge_page_threshold_ = huge_page_threshold;
}

void PageHeap::Prepare() {
  Change change(this);
  if (supply_.mapped_bytes() == 0) Grow(1);
}

void PageHeap::Publish() {
  PageHeapStats now = stats_;
  now.mapped = now.mapped - donated_;
  now.used = now.used - donated_ - borrowed_;
  now.free = now.free + borrowed_;
  now.fresh = now.fresh + borrowed_fresh_;
  now.class_map_bytes = class_map_.map_bytes();
  const Length backed = now.mapped - now.fresh;
  if (now.used > now.peak_used) stats_.peak_used = now.peak_used = now.used;
  if (backed > now.peak_backed) {
    stats_.peak_backed = now.peak_backed = backed;
  }
  published_.Store(now);
}

// ---- Pages

// Returns how many of the pages were fresh, and adds the others to `dirty`.
Length PageHeap::Use(HugePage* huge_page, size_t from, size_t count,
                     DirtyPages* dirty) {
  const HugePageFiller::Keys before = HugePageFiller::KeysOf(*huge_page);
  if (dirty != nullptr) {
    const size_t end = from + count;
    for (size_t at = from; at < end;) {
      const size_t start = huge_page->fresh.FindClear(at);
      if (start >= end) break;
      const size_t next = huge_page->fresh.FindSet(start);
      at = next < end ? next : end;
      dirty->Add(huge_page->first_page() + Length(start), Length(at - start));
    }
  }
  const Length fresh(huge_page->Take(from, count));
  filler_.Update(huge_page, before);
  SetUsed(stats_.used + Length(count));
  stats_.free = stats_.free - Length(count);
  stats_.fresh = stats_.fresh - fresh;
  return fresh;
}

void PageHeap::Unuse(HugePage* huge_page, size_t from, size_t count,
                     bool fresh) {
  const HugePageFiller::Keys before = HugePageFiller::KeysOf(*huge_page);
  huge_page->Put(from, count, fresh);
  filler_.Update(huge_page, before);
  if (huge_page->state() == HugePage::State::kEmpty) runs_.Add(huge_page, 1);
  SetUsed(stats_.used - Length(count));
  stats_.free = stats_.free + Length(count);
  if (fresh) stats_.fresh = stats_.fresh + Length(count);
}

// Memory that the system backs already comes first: a place in a partly used
// huge page, then an empty one; only then what would have to be faulted in.
PageId PageHeap::AllocateSmallSpanPages(DirtyPages* dirty) {
  HugePageFiller::Place place = filler_.FindBackedSmallSpan();
  if (place.huge_page == nullptr) {
    HugePage* empty = runs_.FindBacked();
    if (empty != nullptr) {
      runs_.TakePart(empty, 0, 1);
    } else {
      place = filler_.FindSmallSpan();
      if (place.huge_page == nullptr) empty = TakeEmpty(1, kHugePageSize);
    }
    if (place.huge_page == nullptr) place = {empty, 0};
    if (place.huge_page == nullptr) return PageId();
  }
  Use(place.huge_page, place.page, kPagesPerSmallSpan, dirty);
  return place.huge_page->first_page() + Length(place.page);
}

PageId PageHeap::AllocatePages(Length n, size_t alignment, DirtyPages* dirty) {
  if (n.pages() <= kPagesPerHugePage && alignment <= kHugePageSize) {
    const Length step(alignment <= kPageSize ? 1 : alignment >> kPageShift);
    const HugePageFiller::Place place = filler_.Find(n, step);
    if (place.huge_page != nullptr) {
      Use(place.huge_page, place.page, n.pages(), dirty);
      return place.huge_page->first_page() + Length(place.page);
    }
    HugePage* const huge_page = TakeEmpty(1, kHugePageSize);
    if (huge_page == nullptr) return PageId();
    const Length before =
        step == Length(1) ? PagesToStraddle(*huge_page, n) : Length(0);
    if (before != Length(0)) {
      Use(pagemap_.HugePageOf(huge_page->address - kHugePageSize),
          kPagesPerHugePage - before.pages(), before.pages(), dirty);
    }
    Use(huge_page, 0, (n - before).pages(), dirty);
    return PageId(huge_page->first_page().index() - before.pages());
  }
  const size_t count = DivideRoundingUp(n.pages(), kPagesPerHugePage);
  HugePage* huge_page =
      TakeEmpty(count, alignment < kHugePageSize ? kHugePageSize : alignment);
  if (huge_page == nullptr) return PageId();
  const PageId first = huge_page->first_page();
  for (size_t left = n.pages(); left != 0;) {
    const size_t here = left < kPagesPerHugePage ? left : kPagesPerHugePage;
    const uintptr_t next = huge_page->address + kHugePageSize;
    Use(huge_page, 0, here, dirty);
    // The last one may be used in part; those that are not used at all can't
    // exist, since count was rounded up.
    left -= here;
    if (left != 0) huge_page = pagemap_.HugePageOf(next);
  }
  return first;
}

// How many free pages right before an empty huge page a block of `n` pages
// should begin with. Of blocks that leave more than a quarter of each huge page
// unused, those that lie across the border make good use of both.
Length PageHeap::PagesToStraddle(const HugePage& huge_page, Length n) const {
  if (kPagesPerHugePage % n.pages() <= kPagesPerHugePage / 4) return Length(0);
  const HugePage* const before =
      pagemap_.HugePageOf(huge_page.address - kHugePageSize);
  return before == nullptr ? Length(0) : Length(before->free.OnesAtEnd());
}

void PageHeap::FreePages(PageId first, Length n, bool fresh) {
  while (n != Length(0)) {
    const size_t from = first.index_in_huge_page();
    const size_t room = kPagesPerHugePage - from;
    const size_t count = n.pages() < room ? n.pages() : room;
    Unuse(pagemap_.HugePageOf(first.address()), from, count, fresh);
    first = first + Length(count);
    n = n - Length(count);
  }
}

// Makes the `n` pages from `first` on used, if all of them are free or can be
// had from the system.
bool PageHeap::GrowInPlace(PageId first, Length n) {
  PageId at = first;
  Length left = n;
  while (left != Length(0)) {
    const HugePage* const huge_page = pagemap_.HugePageOf(at.address());
    if (huge_page == nullptr) {
      if (at.address() != supply_.next()) return false;
      const Region region =
          supply_.GetNext(DivideRoundingUp(left.pages(), kPagesPerHugePage));
      if (region.huge_pages == 0 || !Adopt(region)) return false;
      continue;
    }
    const size_t from = at.index_in_huge_page();
    const size_t room = kPagesPerHugePage - from;
    const size_t count = left.pages() < room ? left.pages() : room;
    if (!huge_page->free.AllSet(from, count)) return false;
    at = at + Length(count);
    left = left - Length(count);
  }
  while (n != Length(0)) {
    HugePage* const huge_page = pagemap_.HugePageOf(first.address());
    const size_t from = first.index_in_huge_page();
    const size_t room = kPagesPerHugePage - from;
    const size_t count = n.pages() < room ? n.pages() : room;
    // What lies before is used, so an empty one is the first of its run.
    if (huge_page->state() == HugePage::State::kEmpty) {
      runs_.TakePart(huge_page, 0, 1);
    }
    Use(huge_page, from, count);
    first = first + Length(count);
    n = n - Length(count);
  }
  return true;
}

HugePage* PageHeap::TakeEmpty(size_t count, size_t alignment) {
  HugePage* huge_page = runs_.Take(count, alignment);
  if (huge_page == nullptr && Grow(count + (alignment >> kHugePageShift) - 1)) {
    huge_page = runs_.Take(count, alignment);
  }
  return huge_page;
}

// ---- Supply

bool PageHeap::Grow(size_t needed) {
  const uintptr_t next = supply_.next();
  const size_t before = next != 0 ? runs_.LengthBefore(next) : 0;
  // With an alignment there can be enough before, all of it misaligned.
  const Region region =
      supply_.Get(needed, before < needed ? before : needed - 1);
  return region.huge_pages != 0 && Adopt(region);
}

bool PageHeap::Adopt(const Region& region) {
  // One allocation for both kinds of record; never freed.
  const size_t tracker_bytes =
      AlignUp(region.huge_pages * sizeof(HugePage), alignof(Span));
  const size_t header_bytes =
      region.huge_pages * kHeadersPerHugePage * sizeof(Span);
  char* const records =
      pagemap_.Ensure(region.address, region.huge_pages, &arena_)
          ? static_cast<char*>(arena_.Allocate(tracker_bytes + header_bytes,
                                               RecordKind::kSpans))
          : nullptr;
  if (records == nullptr) {
    supply_.PutBack(region);
    return false;
  }
  HugePage* const trackers = reinterpret_cast<HugePage*>(records);
  Span* const headers = reinterpret_cast<Span*>(records + tracker_bytes);
  // The mode is read only now: most programs never get here.
  const bool advise =
      stats_.mapped.bytes() + region.bytes() > huge_page_threshold_ &&
      TransparentHugePages() == HugePageMode::kMadvise &&
      system_->advise_huge(reinterpret_cast<void*>(region.address),
                           region.bytes());
  for (size_t i = 0; i < region.huge_pages; ++i) {
    const uintptr_t address = region.address + (i << kHugePageShift);
    trackers[i].Init(address, headers + i * kHeadersPerHugePage, advise);
    pagemap_.Set(address, &trackers[i]);
  }
  runs_.Add(trackers, region.huge_pages);
  const Length pages(region.huge_pages * kPagesPerHugePage);
  stats_.mapped = stats_.mapped + pages;
  stats_.free = stats_.free + pages;
  stats_.fresh = stats_.fresh + pages;
  if (advise) stats_.huge = stats_.huge + pages;
  return true;
}

// ---- Spans

Span* PageHeap::MakeSpan(PageId first, Length n, uint16_t kind) {
  Span* const span = pagemap_.HeaderOf(first.address());
  SPANMALLOC_ASSERT(span->state() == SpanState::kUnused);
  span->first = first;
  span->page_count = static_cast<uint32_t>(n.pages());
  span->set_kind(kind);
  return span;
}

Span* PageHeap::NewSmallSpan(uint8_t tag) {
  Change change(this);
  const PageId first = AllocateSmallSpanPages();
  if (first == PageId()) return nullptr;
  class_map_.Set(first.address(), tag);
  Span* const span = MakeSpan(first, Length(kPagesPerSmallSpan),
                              Span::Kind(SpanState::kSmall, tag));
  span->released = 0;
  return span;
}

Span* PageHeap::NewLargeSpan(Length n, size_t alignment, DirtyPages* dirty) {
  SPANMALLOC_ASSERT(n.pages() > kPagesPerHeader && IsPowerOfTwo(alignment));
  Change change(this);
  Span* const span = MakeLargeSpan(n, alignment, dirty);
  if (span != nullptr) NoteLargeAllocated(n);
  return span;
}

Span* PageHeap::MakeLargeSpan(Length n, size_t alignment, DirtyPages* dirty) {
  if (n.pages() > UINT32_MAX) return nullptr;
  const PageId first = AllocatePages(n, alignment, dirty);
  if (first == PageId()) return nullptr;
  return MakeSpan(first, n, Span::Kind(SpanState::kLarge));
}

void* PageHeap::AllocateRecord(size_t size, RecordKind kind) {
  void* record = arena_.Allocate(size, kind);
  if (record != nullptr) return record;
  const Length n = Length::FromBytesRoundingUp(
      size < kSmallSpanSize ? kSmallSpanSize : size);
  Change change(this);
  DirtyPages dirty;
  const PageId first = n.pages() == kPagesPerSmallSpan
                           ? AllocateSmallSpanPages(&dirty)
                           : AllocatePages(n, kSmallSpanSize, &dirty);
  if (first == PageId()) return nullptr;
  // These pages stay used for good.
  for (const DirtyPages::Range& range : dirty) {
    memset(range.first.pointer(), 0, range.length.bytes());
  }
  arena_.Donate(first.pointer(), n.bytes());
  donated_ = donated_ + n;
  return arena_.Allocate(size, kind);
}

void PageHeap::DeleteSmallSpan(Span* span) {
  Change change(this);
  SPANMALLOC_ASSERT(span->state() == SpanState::kSmall);
  class_map_.Set(span->address(), 0);
  span->set_kind(Span::Kind(SpanState::kUnused));
  // What was released in it is fresh again, if it is a whole page.
  const size_t released = span->released;
  stats_.released_in_spans -= CountOnes(released) * Span::kReleaseUnit;
  constexpr size_t kUnits = kPageSize / Span::kReleaseUnit;
  constexpr size_t kWhole = (size_t{1} << kUnits) - 1;
  const auto fresh = [released](size_t page) {
    return (released >> (page * kUnits) & kWhole) == kWhole;
  };
  for (size_t from = 0; from < kPagesPerSmallSpan;) {
    size_t end = from + 1;
    while (end < kPagesPerSmallSpan && fresh(end) == fresh(from)) ++end;
    FreePages(span->first_page() + Length(from), Length(end - from),
              fresh(from));
    from = end;
  }
}

Span* PageHeap::FindLargeSpan(uintptr_t address) const {
  Span* const span = pagemap_.HeaderOf(address);
  return span != nullptr && span->state() == SpanState::kLarge &&
                 span->address() == address
             ? span
             : nullptr;
}

bool PageHeap::DeleteLargeSpan(uintptr_t address) {
  Change change(this);
  Span* const span = FindLargeSpan(address);
  if (span == nullptr) return false;
  NoteLargeFreed(span->length());
  span->set_kind(Span::Kind(SpanState::kUnused));
  FreePages(span->first_page(), span->length(), false);
  return true;
}

bool PageHeap::ResizeLargeSpan(Span* span, Length n) {
  SPANMALLOC_ASSERT(n.pages() > kPagesPerHeader);
  if (n.pages() > UINT32_MAX) return false;
  Change change(this);
  const Length old = span->length();
  if (n > old) {
    if (!GrowInPlace(span->first_page() + old, n - old)) return false;
  } else {
    FreePages(span->first_page() + n, old - n, false);
  }
  stats_.large = stats_.large + n - old;
  if (n > old) {
    stats_.large_bytes_allocated += (n - old).bytes();
  } else {
    stats_.large_bytes_freed += (old - n).bytes();
  }
  span->page_count = static_cast<uint32_t>(n.pages());
  return true;
}

Span* PageHeap::MoveLargeSpan(Span* span, Length n) {
  const Length old = span->length();
  SPANMALLOC_ASSERT(n > old);
  if (old < kMinMove) return nullptr;
  Span* target = nullptr;
  {
    Change change(this);
    if (moves_ >= kMaxMoves) return nullptr;
    ++moves_;
    target = MakeLargeSpan(n, kHugePageSize, nullptr);
  }
  if (target == nullptr) return nullptr;
  // Whole huge pages only: the system would split the last one in both places.
  const Length whole(AlignDown(old.pages(), kPagesPerHugePage));
  const Length rest = old - whole;
  const bool moved =
      system_->move(span->start(), target->start(), whole.bytes());
  if (moved) {
    memcpy((target->first_page() + whole).pointer(),
           (span->first_page() + whole).pointer(), rest.bytes());
  }
  Change change(this);
  if (moved) {
    NoteLargeAllocated(n);
    NoteLargeFreed(old);
  } else {
    moves_ = kMaxMoves;  // The system can't, or will not any more.
  }
  Span* const gone = moved ? span : target;
  gone->set_kind(Span::Kind(SpanState::kUnused));
  FreePages(gone->first_page(), moved ? whole : n, moved);
  if (moved) FreePages(gone->first_page() + whole, rest, false);
  return moved ? target : nullptr;
}

void PageHeap::Clear(Length n, const DirtyPages& dirty) {
  for (const DirtyPages::Range& range : dirty) {
    if (n < kClearByRelease || range.length < Length(kPagesPerHugePage) ||
        !system_->release(range.first.pointer(), range.length.bytes())) {
      memset(range.first.pointer(), 0, range.length.bytes());
    }
  }
}

void PageHeap::NoteLargeAllocated(Length n) {
  stats_.large = stats_.large + n;
  stats_.large_bytes_allocated += n.bytes();
  ++stats_.large_count;
  ++stats_.large_allocations;
}

void PageHeap::NoteLargeFreed(Length n) {
  stats_.large = stats_.large - n;
  stats_.large_bytes_freed += n.bytes();
  --stats_.large_count;
  ++stats_.large_frees;
}

void PageHeap::CheckInvariants() const {
  MutexLock lock(&lock_);
  filler_.CheckInvariants();
  runs_.CheckInvariants();
  SPANMALLOC_CHECK(stats_.mapped == stats_.used + stats_.free);
  SPANMALLOC_CHECK(stats_.fresh <= stats_.free);
  SPANMALLOC_CHECK(stats_.mapped.bytes() == supply_.mapped_bytes());
}

}  // namespace spanmalloc
