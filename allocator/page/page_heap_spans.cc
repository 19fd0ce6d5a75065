// The part of PageHeap that knows spans.
#include <string.h>

#include "allocator/base/bits.h"
#include "allocator/base/check.h"
#include "allocator/page/page_heap.h"

namespace spanmalloc {

Span* PageHeap::MakeSpan(PageId first, Length n, uint16_t kind) {
  Span* const span = pagemap_.HeaderOf(first.address());
  SPANMALLOC_ASSERT(span->state() == SpanState::kUnused);
  span->first = first;
  span->page_count = static_cast<uint32_t>(n.pages());
  span->set_kind(kind);
  return span;
}

Span* PageHeap::MakeSmallSpan(PageId first, uint8_t tag, size_t bitmap_words) {
  class_map_.Set(first.address(), tag);
  Span* const span = MakeSpan(first, Length(kPagesPerSmallSpan),
                              Span::Kind(SpanState::kSmall, tag));
  span->released = 0;
  span->free_bits = span->inline_bits;
  if (bitmap_words > Span::kInlineWords) {
    HugePage* const huge_page = pagemap_.HugePageOf(first.address());
    span->free_bits = huge_page->TakeBitmap(bitmap_words);
    arena_.Count(RecordKind::kSpans,
                 HugePage::RoundedBitmapBytes(bitmap_words));
  }
  return span;
}

Span* PageHeap::NewSmallSpan(uint8_t tag, size_t bitmap_words) {
  PageId first;
  if (hard_limit() != 0) {
    DirtyPages dirty;
    first =
        AllocateWithinLimit(Length(kPagesPerSmallSpan), 0, Length(0), &dirty);
    if (first == PageId()) return nullptr;
  }
  Change change(this);
  if (first == PageId()) first = AllocateSmallSpanPages();
  return first == PageId() ? nullptr : MakeSmallSpan(first, tag, bitmap_words);
}

Span* PageHeap::MakeLargeSpan(PageId first, Length n) {
  stats_.large = stats_.large + n;
  stats_.large_bytes_allocated += n.bytes();
  ++stats_.large_count;
  ++stats_.large_allocations;
  return MakeSpan(first, n, Span::Kind(SpanState::kLarge));
}

Span* PageHeap::NewLargeSpan(Length n, size_t alignment, DirtyPages* dirty) {
  SPANMALLOC_ASSERT(n.pages() > kPagesPerHeader && IsPowerOfTwo(alignment));
  if (n.pages() > UINT32_MAX) return nullptr;
  PageId first;
  if (hard_limit() != 0) {
    DirtyPages own;
    first = AllocateWithinLimit(n, alignment, Length(0),
                                dirty != nullptr ? dirty : &own);
    if (first == PageId()) return nullptr;
  }
  Change change(this);
  if (first == PageId()) first = AllocatePages(n, alignment, dirty);
  return first == PageId() ? nullptr : MakeLargeSpan(first, n);
}

void* PageHeap::AllocateRecord(size_t size, RecordKind kind, size_t alignment) {
  void* record = arena_.Allocate(size, kind, alignment);
  if (record != nullptr) return record;
  const Length n = Length::FromBytesRoundingUp(
      size < kSmallSpanSize ? kSmallSpanSize : size);
  if (!HasRoomFor(n.bytes())) return nullptr;
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
  return arena_.Allocate(size, kind, alignment);
}

void PageHeap::DeleteSmallSpan(Span* span, size_t bitmap_words) {
  Change change(this);
  SPANMALLOC_ASSERT(span->state() == SpanState::kSmall);
  if (bitmap_words > Span::kInlineWords) {
    HugePage* const huge_page = pagemap_.HugePageOf(span->address());
    huge_page->PutBitmap(span->free_bits, bitmap_words);
    arena_.Count(RecordKind::kSpans,
                 size_t{0} - HugePage::RoundedBitmapBytes(bitmap_words));
  }
  class_map_.Set(span->address(), 0);
  span->set_kind(Span::Kind(SpanState::kUnused));
  const size_t released = span->released;
  if (SPANMALLOC_LIKELY(released == 0)) {
    return FreePages(span->first_page(), span->length(), false);
  }
  // What was released in it is fresh again, if it is a whole page.
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
  const Length old = span->length();
  const bool limited = n > old && hard_limit() != 0;
  if (limited && !GrowWithinLimit(*span, n - old)) {
    return false;
  }
  Change change(this);
  if (n <= old) {
    FreePages(span->first_page() + n, old - n, false);
  } else if (!limited && !GrowInPlace(*span, n - old)) {
    return false;
  }
  NoteLargeResized(span, n);
  return true;
}

void PageHeap::NoteLargeResized(Span* span, Length n) {
  const Length old = span->length();
  stats_.large = stats_.large + n - old;
  if (n > old) {
    stats_.large_bytes_allocated += (n - old).bytes();
  } else {
    stats_.large_bytes_freed += (old - n).bytes();
  }
  span->page_count = static_cast<uint32_t>(n.pages());
}

Span* PageHeap::MoveLargeSpan(Span* span, Length n) {
  const Length old = span->length();
  SPANMALLOC_ASSERT(n > old);
  if (old < kMinMove || n.pages() > UINT32_MAX) return nullptr;
  // Whole huge pages only: the system would split the last one in both places.
  const Length whole(AlignDown(old.pages(), kPagesPerHugePage));
  const Length rest = old - whole;
  {
    Change change(this);
    if (moves_ >= kMaxMoves || !MakeUniform(span->first_page(), whole)) {
      return nullptr;
    }
    ++moves_;
  }
  DirtyPages dirty;
  PageId target;
  if (hard_limit() != 0) {
    target = AllocateWithinLimit(n, kHugePageSize, whole, &dirty);
    if (target == PageId()) return nullptr;
  }
  {
    Change change(this);
    if (target == PageId()) target = AllocatePages(n, kHugePageSize, &dirty);
    if (target == PageId()) return nullptr;
    if (!MakeUniform(target, whole)) {
      FreeUntouched(target, n, dirty);
      return nullptr;
    }
  }
  const bool moved =
      system_->move(span->start(), target.pointer(), whole.bytes());
  if (moved) {
    memcpy((target + whole).pointer(), (span->first_page() + whole).pointer(),
           rest.bytes());
  }
  if (!moved) {
    {
      Change change(this);
      moves_ = kMaxMoves;  // The system can't, or will not any more.
      FreeUntouched(target, n, dirty);
    }
    MakeRoom(0, 0);  // For what was lazy before.
    return nullptr;
  }
  Change change(this);
  NoteLargeFreed(old);
  span->set_kind(Span::Kind(SpanState::kUnused));
  FreePages(span->first_page(), whole, true);
  FreePages(span->first_page() + whole, rest, false);
  return MakeLargeSpan(target, n);
}

// Makes the system treat all of these huge pages alike: it moves only what is
// one mapping to it, and takes its advice along. False if that can't be done.
// REQUIRES: n > 0.
bool PageHeap::MakeUniform(PageId first, Length n) {
  if (stats_.huge_set_apart == 0) return true;
  const uintptr_t last = (first + (n - Length(1))).address();
  for (uintptr_t at = first.huge_page_address(); at <= last;
       at += kHugePageSize) {
    HugePage* const huge_page = pagemap_.HugePageOf(at);
    if (huge_page->set_apart) AllowHuge(huge_page);
    if (huge_page->set_apart) return false;
  }
  return true;
}

void PageHeap::Clear(Length n, const DirtyPages& dirty) {
  for (const DirtyPages::Range& range : dirty) {
    if (n < kClearByRelease || range.length < Length(kPagesPerHugePage) ||
        !system_->release(range.first.pointer(), range.length.bytes())) {
      memset(range.first.pointer(), 0, range.length.bytes());
    }
  }
}

void PageHeap::NoteLargeFreed(Length n) {
  stats_.large = stats_.large - n;
  stats_.large_bytes_freed += n.bytes();
  --stats_.large_count;
  ++stats_.large_frees;
}

}  // namespace spanmalloc
