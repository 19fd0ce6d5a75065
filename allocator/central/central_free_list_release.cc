// The part of CentralFreeList that gives memory back which nobody uses, and
// that takes care of it when it is to be used again.
//
// A sweep owns, as a user would, the objects in the parts that it releases. So
// the lock need not be held during the system calls, nobody is handed an object
// whose page is about to be released, and the span can't leave meanwhile.
#include "allocator/base/bits.h"
#include "allocator/base/check.h"
#include "allocator/central/central_free_list.h"
#include "allocator/central/misuse.h"
#include "allocator/central/span_parts.h"

namespace spanmalloc {

// ---- The empty span

bool CentralFreeList::GiveUpEmptySpan(bool unused_only) {
  Span* empty = nullptr;
  {
    MutexLock lock(&lock_);
    SetToSweep(kEmptySpan, false);
    if (empty_spans_ == 0) return false;
    for (Span* span = lists_[info_->ListFor(info_->capacity)].first();
         span != nullptr; span = span->next) {
      if (IsEmpty(span)) empty = span;
    }
    if (unused_only && (empty->sweep & kTouched) != 0) {
      empty->sweep = static_cast<uint8_t>(empty->sweep & ~kTouched);
      SetToSweep(kEmptySpan, true);
      return false;
    }
    Unlink(empty);
    Leave(empty);
    --empty_spans_;
  }
  Delete(empty);
  return true;
}

// ---- Taking from a span with released parts

// Clears the bits of the objects on released parts, so that the lowest `n`
// bits are to be taken; ShowReleased sets them again. Returns n, or fewer if
// there are not so many; 0 and nothing is hidden if there are none, because of
// `backed_only` or of a limit. `header` is the span's own or its guests'.
size_t CentralFreeList::HideReleased(Span* span, Span* header, size_t n,
                                     bool backed_only) {
  const size_t backed = header->free_count - ObjectsIn(*info_, span->released);
  if (backed != 0) {
    if (n > backed) n = backed;
  } else {
    if (backed_only) return 0;
    // Near a limit there may be room for less.
    if (!UseReleased(span, header, n)) {
      if (n == 1 || !UseReleased(span, header, 1)) return 0;
      n = 1;
    }
  }
  ForEachObjectRange(*info_, span->released,
                     [header](size_t first, size_t count) {
                       ClearBits(header->free_bits, first, count);
                     });
  return n;
}

void CentralFreeList::ShowReleased(const Span* span, Span* header) {
  ForEachObjectRange(*info_, span->released,
                     [header](size_t first, size_t count) {
                       SetBits(header->free_bits, first, count);
                     });
}

// Takes those parts in which the lowest `n` free objects lie into use; false if
// that can't be. REQUIRES: all free objects are on released parts. All of those
// on a released part are free, so it is in use as soon as its first one is.
bool CentralFreeList::UseReleased(Span* span, const Span* header, size_t n) {
  const size_t last = PlaceOfBit(header->free_bits, n);
  const uint16_t released = span->released;
  const uint16_t parts =
      released &
      WholePages(released & PartsUpTo(*info_, last), parts_per_page_);
  if (!page_heap_->TakeReleased(span, parts)) return false;
  if (span->released == 0) {
    span->sweep = static_cast<uint8_t>(span->sweep & ~kReleased);
  }
  return true;
}

// ---- The sweep of free pages

// With fewer free objects a span has no free page.
size_t CentralFreeList::FewestToRelease(size_t parts_per_page) const {
  const size_t tail = kSmallSpanSize - size_t{info_->capacity} * info_->stride;
  const size_t fewest =
      (parts_per_page * Span::kReleaseUnit - tail) / info_->stride;
  return fewest > 1 ? fewest : 1;
}

// The parts of the pages of the system that are free as a whole and not
// released.
uint16_t CentralFreeList::FreePages(const Span* span,
                                    size_t parts_per_page) const {
  uint16_t pages = 0;
  for (size_t part = 0; part < kPartsPerSpan; part += parts_per_page) {
    const uint16_t page = PartRange(part, parts_per_page);
    if ((span->released & page) != 0) continue;
    bool free = true;
    ForEachObjectRange(*info_, page, [&](size_t first, size_t count) {
      free = AllBitsSet(span->free_bits, first, count) &&
             (info_->guest == 0 ||
              AllBitsSet(GuestsOf(span)->free_bits, first, count));
    });
    if (free) pages |= page;
  }
  return pages;
}

void CentralFreeList::BeginSweep(bool idle_only, size_t parts_per_page) {
  MutexLock lock(&lock_);
  parts_per_page_ = static_cast<uint8_t>(parts_per_page);
  const bool under_way = next_to_sweep_ != nullptr || lists_to_sweep_ != 0;
  if (idle_only && under_way) return;
  next_to_sweep_ = nullptr;
  lists_to_sweep_ = kSpanLists;
  SetToSweep(kFreePages, false);
}

// Those with most free objects come first. Null at the end of the sweep.
Span* CentralFreeList::NextToSweep(size_t end_list) {
  while (next_to_sweep_ == nullptr) {
    if (lists_to_sweep_ <= end_list) {
      lists_to_sweep_ = 0;
      return nullptr;
    }
    next_to_sweep_ = lists_[--lists_to_sweep_].first();
  }
  Span* const span = next_to_sweep_;
  next_to_sweep_ = span->next;
  return span;
}

// Goes on with the sweep, and takes over objects in some spans, until `bytes`
// can be released. False if it is at its end.
bool CentralFreeList::Borrow(bool idle_only, size_t bytes, Borrowed* borrowed,
                             size_t* n) {
  MutexLock lock(&lock_);
  const size_t parts_per_page = parts_per_page_;
  const size_t end_list =
      info_->ListFor(static_cast<uint32_t>(FewestToRelease(parts_per_page)));
  size_t sum = 0;
  for (size_t i = 0; i < kLook && *n < kBorrow && sum < bytes; ++i) {
    Span* const span = NextToSweep(end_list);
    if (span == nullptr) return false;
    if (IsEmpty(span) || (span->sweep & kReleasing) != 0) continue;
    if ((span->sweep & kTouched) == 0) {
      if ((span->sweep & kSwept) != 0) continue;
    } else {
      span->sweep = static_cast<uint8_t>(span->sweep & ~(kTouched | kSwept));
      if (idle_only) {
        SetToSweep(kFreePages, true);
        continue;
      }
    }
    const uint16_t parts = FreePages(span, parts_per_page);
    if (parts == 0) {
      span->sweep |= kSwept;
      continue;
    }
    BorrowFrom(span, parts, &borrowed[(*n)++]);
    sum += CountOnes(parts) * Span::kReleaseUnit;
  }
  return true;
}

void CentralFreeList::BorrowFrom(Span* span, uint16_t parts,
                                 Borrowed* borrowed) {
  const auto all = static_cast<uint16_t>(parts | span->released);
  *borrowed = {span, parts, all, false};
  Span* const guests = info_->guest != 0 ? GuestsOf(span) : nullptr;
  size_t n = 0;
  ForEachObjectRange(*info_, all, [&](size_t first, size_t count) {
    ClearBits(span->free_bits, first, count);
    if (guests != nullptr) ClearBits(guests->free_bits, first, count);
    n += count;
  });
  span->sweep = kReleasing;
  ++releasing_spans_;
  span->free_count = static_cast<uint16_t>(span->free_count - n);
  Add(&free_objects_, 0 - n);
  MoveDown(span);
  if (guests != nullptr) {
    guests->free_count = static_cast<uint16_t>(guests->free_count - n);
    Add(&free_guests_, 0 - n);
    if (guests->free_count == 0) with_guests_.Remove(guests);
  }
  if (kAssertLevel >= 2) CheckSpan(span);
}

void CentralFreeList::ReleaseBorrowed(Borrowed* borrowed,
                                      SpanRelease* release) {
  size_t bytes = 0;
  borrowed->done = true;
  ForEachPartRun(borrowed->parts, [&](size_t first, size_t count) {
    if (page_heap_->ReleaseInSpan(borrowed->span, first, count)) {
      bytes += count * Span::kReleaseUnit;
    } else {
      borrowed->done = false;
    }
  });
  release->bytes += bytes;
  if (bytes != 0) ++release->spans;
  if (!borrowed->done) release->refused = true;
}

void CentralFreeList::Return(const Borrowed* borrowed, size_t n) {
  Span* gone = nullptr;
  const void* twice = nullptr;
  size_t size_of_twice = 0;
  // Puts the objects' bits back and counts them.
  const auto set = [&](Span* span, Span* header, uint16_t parts) {
    size_t sum = 0;
    ForEachObjectRange(*info_, parts, [&](size_t first, size_t count) {
      sum += count;
      if (SPANMALLOC_LIKELY(NoBitsSet(header->free_bits, first, count))) {
        SetBits(header->free_bits, first, count);
        return;
      }
      while (NoBitsSet(header->free_bits, first, 1)) ++first;
      const size_t offset = header == span ? 0 : info_->size;
      twice = reinterpret_cast<void*>(span->address() + offset +
                                      first * info_->stride);
      size_of_twice =
          header == span ? info_->size : kSizeClasses[info_->guest].size;
    });
    return sum;
  };
  {
    MutexLock lock(&lock_);
    for (size_t i = 0; i < n && twice == nullptr; ++i) {
      Span* const span = borrowed[i].span;
      if (info_->guest != 0) {
        Span* const guests = GuestsOf(span);
        const size_t count = set(span, guests, borrowed[i].objects);
        if (guests->free_count == 0) with_guests_.PushBack(guests);
        guests->free_count = static_cast<uint16_t>(guests->free_count + count);
        Add(&free_guests_, count);
      }
      const size_t count = set(span, span, borrowed[i].objects);
      if (twice != nullptr) break;
      Add(&free_objects_, count);
      --releasing_spans_;
      // One that was used meanwhile stays so for the next sweep.
      span->sweep = static_cast<uint8_t>((span->sweep & kTouched) |
                                         (borrowed[i].done ? kSwept : 0) |
                                         (span->released != 0 ? kReleased : 0));
      if (!borrowed[i].done) SetToSweep(kFreePages, true);
      const size_t before = span->free_count;
      span->free_count = static_cast<uint16_t>(before + count);
      if (span->free_count >= span->move_at && MoveUp(span, before)) {
        span->next = gone;
        gone = span;
      } else if (kAssertLevel >= 2) {
        CheckSpan(span);
      }
    }
  }
  // Somebody has freed an object that was not his while it was ours.
  if (SPANMALLOC_UNLIKELY(twice != nullptr)) {
    ReportDoubleFree(twice, size_of_twice);
  }
  DeleteAll(gone);
}

SpanRelease CentralFreeList::ReleaseFreePages(bool idle_only, size_t max_bytes,
                                              size_t page_size) {
  SpanRelease release;
  const size_t parts_per_page = PartsPerPage(page_size);
  // Only an empty span has a free page then.
  if (parts_per_page >= kPartsPerSpan) return release;
  const uint8_t to_sweep = to_sweep_.load(std::memory_order_relaxed);
  if (idle_only && (to_sweep & kFreePages) == 0) return release;
  BeginSweep(idle_only, parts_per_page);
  // Others may move spans to where the sweep is still to come, without end.
  const size_t most_rounds = 4 * spans_.load(std::memory_order_relaxed) + 16;
  bool more = true;
  for (size_t round = 0; more && round < most_rounds; ++round) {
    if (release.bytes >= max_bytes || release.refused) break;
    Borrowed borrowed[kBorrow];
    size_t n = 0;
    more = Borrow(idle_only, max_bytes - release.bytes, borrowed, &n);
    for (size_t i = 0; i < n; ++i) ReleaseBorrowed(&borrowed[i], &release);
    if (n != 0) Return(borrowed, n);
  }
  if (more) {
    MutexLock lock(&lock_);
    SetToSweep(kFreePages, true);
  }
  return release;
}

// ---- Checks

// C6
void CentralFreeList::CheckReleased(const Span* span) const {
  if ((span->sweep & kReleasing) != 0) {
    SPANMALLOC_CHECK((span->sweep & kReleased) == 0);
    return;
  }
  SPANMALLOC_CHECK((span->released != 0) == ((span->sweep & kReleased) != 0));
  ForEachObjectRange(*info_, span->released, [&](size_t first, size_t count) {
    SPANMALLOC_CHECK(AllBitsSet(span->free_bits, first, count));
    SPANMALLOC_CHECK(info_->guest == 0 ||
                     AllBitsSet(GuestsOf(span)->free_bits, first, count));
  });
}

bool CentralFreeList::AddReleasedBytes(size_t* bytes) const {
  MutexLock lock(&lock_);
  if (releasing_spans_ != 0) return false;
  for (const Spans& list : lists_) {
    for (const Span* span = list.first(); span != nullptr; span = span->next) {
      *bytes += CountOnes(span->released) * Span::kReleaseUnit;
    }
  }
  return true;
}

}  // namespace spanmalloc
