#include "allocator/page/page_heap.h"

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
  now.lazy = now.lazy + borrowed_lazy_;
  now.class_map_bytes = class_map_.map_bytes();
  const size_t backed_bytes =
      (now.mapped - now.fresh - now.lazy - undecided_).bytes() -
      now.released_in_spans;
  const Length backed = Length::FromBytesRoundingUp(backed_bytes);
  if (now.used > now.peak_used) stats_.peak_used = now.peak_used = now.used;
  if (backed > now.peak_backed) {
    stats_.peak_backed = now.peak_backed = backed;
  }
  published_.Store(now);
  backed_bytes_.store(backed_bytes, std::memory_order_relaxed);
  idle_huge_pages_.store(idle_.length(), std::memory_order_relaxed);
  const Length idle =
      stats_.free - stats_.fresh - stats_.lazy - Length(idle_.refused_pages());
  idle_bytes_.store(idle.bytes(), std::memory_order_relaxed);
}

// ---- Pages

// Hands out free pages: adds those that are not fresh to `dirty`.
void PageHeap::Use(HugePage* huge_page, size_t from, size_t count,
                   DirtyPages* dirty) {
  if (huge_page->huge_forbidden &&
      huge_page->state() == HugePage::State::kEmpty) {
    AllowHuge(huge_page);
  }
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
  TakePages(huge_page, from, count);
}

void PageHeap::TakePages(HugePage* huge_page, size_t from, size_t count) {
  const HugePageFiller::Keys before = HugePageFiller::KeysOf(*huge_page);
  const size_t lazy = huge_page->lazy_pages;
  const Length fresh(huge_page->Take(from, count));
  filler_.Update(huge_page, before);
  idle_.Taken(huge_page, from, count);
  SetUsed(stats_.used + Length(count));
  stats_.free = stats_.free - Length(count);
  stats_.fresh = stats_.fresh - fresh;
  stats_.lazy = stats_.lazy - Length(lazy - huge_page->lazy_pages);
}

void PageHeap::Unuse(HugePage* huge_page, size_t from, size_t count,
                     Contents contents) {
  const HugePageFiller::Keys before = HugePageFiller::KeysOf(*huge_page);
  if (contents == Contents::kLazy) {
    huge_page->PutLazy(from, count);
    stats_.lazy = stats_.lazy + Length(count);
  } else {
    huge_page->Put(from, count, contents == Contents::kFresh);
  }
  filler_.Update(huge_page, before);
  if (huge_page->state() == HugePage::State::kEmpty) runs_.Add(huge_page, 1);
  if (contents == Contents::kDirty) {
    idle_.PutDirty(huge_page, from, count);
  } else {
    idle_.PutClean(huge_page);
  }
  SetUsed(stats_.used - Length(count));
  stats_.free = stats_.free + Length(count);
  if (contents == Contents::kFresh) stats_.fresh = stats_.fresh + Length(count);
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
    Unuse(pagemap_.HugePageOf(first.address()), from, count,
          fresh ? Contents::kFresh : Contents::kDirty);
    first = first + Length(count);
    n = n - Length(count);
  }
}

// Frees pages that were allocated just now, `dirty` of them dirty, and that
// nobody has touched.
void PageHeap::FreeUntouched(PageId first, Length n, const DirtyPages& dirty) {
  const PageId end = first + n;
  for (const DirtyPages::Range& range : dirty) {
    if (first < range.first) FreePages(first, range.first - first, true);
    FreePages(range.first, range.length, false);
    first = range.end();
  }
  if (first < end) FreePages(first, end - first, true);
}

// Makes the `n` pages behind the span used, if all of them are free or can be
// had from the system.
bool PageHeap::GrowInPlace(const Span& span, Length n, DirtyPages* dirty) {
  PageId first = span.first_page() + span.length();
  const size_t whole =
      DivideRoundingUp((span.length() + n).pages(), kPagesPerHugePage);
  PageId at = first;
  Length left = n;
  while (left != Length(0)) {
    const HugePage* const huge_page = pagemap_.HugePageOf(at.address());
    if (huge_page == nullptr) {
      // Rather than growing the heap, the block moves to where it finds room.
      if (at.address() != supply_.next() || runs_.Has(whole)) return false;
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
    Use(huge_page, from, count, dirty);
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
  // One allocation for all kinds of record; never freed. Those of spans come
  // first, so that they fill pages of the system, where these are small.
  const size_t span_bytes = region.huge_pages * HugePage::kSpanRecordBytes;
  const size_t tracker_bytes = region.huge_pages * sizeof(HugePage);
  char* const records =
      pagemap_.Ensure(region.address, region.huge_pages, &arena_)
          ? static_cast<char*>(arena_.Allocate(span_bytes + tracker_bytes,
                                               RecordKind::kSpans,
                                               SystemPageSize()))
          : nullptr;
  if (records == nullptr) {
    supply_.PutBack(region);
    return false;
  }
  // Bitmaps count when they are used.
  arena_.Count(RecordKind::kSpans,
               size_t{0} - region.huge_pages * HugePage::kBitmapBytes);
  HugePage* const trackers = reinterpret_cast<HugePage*>(records + span_bytes);
  // The mode is read only now: most programs never get here. And only once, for
  // a program may enter a sandbox without files.
  const bool wanted =
      stats_.mapped.bytes() + region.bytes() > huge_page_threshold_;
  if (wanted && !huge_page_mode_known_) {
    huge_page_mode_ = TransparentHugePages();
    huge_page_mode_known_ = true;
  }
  const bool advise =
      wanted && huge_page_mode_ == HugePageMode::kMadvise &&
      system_->advise_huge(reinterpret_cast<void*>(region.address),
                           region.bytes());
  for (size_t i = 0; i < region.huge_pages; ++i) {
    const uintptr_t address = region.address + (i << kHugePageShift);
    trackers[i].Init(address, records + i * HugePage::kSpanRecordBytes, advise);
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

void PageHeap::CheckInvariants() const {
  MutexLock lock(&lock_);
  filler_.CheckInvariants();
  runs_.CheckInvariants();
  SPANMALLOC_CHECK(stats_.mapped == stats_.used + stats_.free);
  SPANMALLOC_CHECK(stats_.fresh + stats_.lazy <= stats_.free);
  idle_.CheckInvariants();
  Length free, fresh, lazy, refused;
  size_t idle = 0;
  const auto look_at = [&](const HugePage& huge_page) {
    huge_page.CheckInvariants();
    IdleQueues::CheckHugePage(huge_page);
    free = free + Length(huge_page.free_pages);
    fresh = fresh + Length(huge_page.fresh.Count());
    lazy = lazy + Length(huge_page.lazy_pages);
    refused = refused + Length(huge_page.refused_pages);
    if (huge_page.idle == HugePage::Idle::kEmpty ||
        huge_page.idle == HugePage::Idle::kPartial) {
      ++idle;
    }
    if (huge_page.state() != HugePage::State::kEmpty) return;
    SPANMALLOC_CHECK(huge_page.free_bitmaps.AllSet(0, HugePage::kGranules));
    for (size_t i = 0; i < kHeadersPerHugePage; ++i) {
      SPANMALLOC_CHECK(huge_page.headers[i].state() == SpanState::kUnused);
    }
  };
  filler_.ForEach([&](const HugePage* huge_page) {
    look_at(*huge_page);
    return true;
  });
  runs_.ForEach([&](const HugePage* run) {
    for (size_t i = 0; i < run->run_length; ++i) {
      look_at(*pagemap_.HugePageOf(run->address + (i << kHugePageShift)));
    }
    return true;
  });
  SPANMALLOC_CHECK(free == stats_.free);
  SPANMALLOC_CHECK(fresh == stats_.fresh);
  SPANMALLOC_CHECK(lazy == stats_.lazy);
  SPANMALLOC_CHECK(refused.pages() == idle_.refused_pages());
  SPANMALLOC_CHECK(idle == idle_.length());
  SPANMALLOC_CHECK(stats_.huge_set_apart <= kMaxForbidden);
  SPANMALLOC_CHECK(stats_.mapped.bytes() == supply_.mapped_bytes());
}

}  // namespace spanmalloc
