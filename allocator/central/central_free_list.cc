#include "allocator/central/central_free_list.h"

#include <string.h>

#include "allocator/base/bits.h"
#include "allocator/base/check.h"
#include "allocator/central/misuse.h"

namespace spanmalloc {
namespace {

uint32_t OffsetInSpan(const void* p) {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(p) % kSmallSpanSize);
}

SPANMALLOC_ALWAYS_INLINE uint64_t IndexInSpan(uintptr_t address,
                                              uint64_t reciprocal) {
  return (address % kSmallSpanSize) * reciprocal >> 32;
}

// Takes the lowest `n` bits that are set and moves the addresses that belong to
// them, the first bit's being `first`, to the slots right below `end`.
// REQUIRES: so many are set.
SPANMALLOC_ALWAYS_INLINE void TakeBits(uint64_t* bits, uintptr_t first,
                                       size_t stride, void** end, size_t n) {
  size_t w = 0;
  while (bits[w] == 0) ++w;
  while (n != 0) {
    uint64_t word = bits[w];
    uintptr_t address = first + w * 64 * stride;
    if (word == ~uint64_t{0} && n >= 64) {
      for (size_t i = 0; i < 64; ++i, address += stride) {
        *--end = reinterpret_cast<void*>(address);
      }
      n -= 64;
      word = 0;
    }
    for (; word != 0 && n != 0; --n) {
      *--end = reinterpret_cast<void*>(
          address + static_cast<size_t>(CountTrailingZeros(word)) * stride);
      word &= word - 1;
    }
    bits[w] = word;
    if (word == 0) ++w;
  }
}

}  // namespace

void CentralFreeList::Link(Span* span) {
  const size_t list = info_->ListFor(span->free_count);
  span->list = static_cast<uint8_t>(list);
  span->move_at = info_->first_of_list[list + 1];
  lists_[list].PushByAddress(span);
  nonempty_ |= 1u << list;
}

void CentralFreeList::Unlink(Span* span) {
  if (SPANMALLOC_UNLIKELY(span == next_to_sweep_)) next_to_sweep_ = span->next;
  lists_[span->list].Remove(span);
  if (lists_[span->list].empty()) nonempty_ &= ~(1u << span->list);
}

Span* CentralFreeList::FullestSpan() const {
  return nonempty_ == 0 ? nullptr
                        : lists_[CountTrailingZeros(nonempty_)].first();
}

// The span's free_count has become smaller.
void CentralFreeList::MoveDown(Span* span) {
  if (span->free_count == 0) {
    Unlink(span);
    span->move_at = 1;
  } else if (info_->ListFor(span->free_count) != span->list) {
    Unlink(span);
    Link(span);
  }
}

// Moves up to `n` objects of the span to the slots right below `end`. Returns
// 0 only if they are on released parts and may not be had, because of a limit
// or of `backed_only`.
size_t CentralFreeList::TakeFrom(Span* span, void** end, size_t n,
                                 bool backed_only) {
  if (n > span->free_count) n = span->free_count;
  if (SPANMALLOC_UNLIKELY((span->sweep & kReleased) != 0)) {
    n = HideReleased(span, span, n, backed_only);
    if (n == 0) return 0;
  }
  if (IsEmpty(span)) --empty_spans_;
  TakeBits(span->free_bits, span->address(), info_->stride, end, n);
  span->free_count = static_cast<uint16_t>(span->free_count - n);
  Add(&free_objects_, 0 - n);
  if (SPANMALLOC_UNLIKELY((span->sweep & kReleased) != 0)) {
    ShowReleased(span, span);
  }
  span->sweep |= kTouched;
  MoveDown(span);
  if (kAssertLevel >= 2) CheckSpan(span);
  return n;
}

// After a refusal: moves up to `n` objects that are on no released part, of
// whichever span, to the slots right below `end`.
SPANMALLOC_COLD size_t CentralFreeList::TakeBacked(void** end, size_t n) {
  size_t got = 0;
  for (const Spans& list : lists_) {
    Span* next = nullptr;
    for (Span* span = list.first(); span != nullptr && got < n; span = next) {
      next = span->next;
      got += TakeFrom(span, end - got, n - got, true);
    }
  }
  return got;
}

// Likewise, of guests. REQUIRES: the span has any.
size_t CentralFreeList::TakeGuests(Span* span, void** end, size_t n,
                                   bool backed_only) {
  Span* const guests = GuestsOf(span);
  if (n > guests->free_count) n = guests->free_count;
  if (SPANMALLOC_UNLIKELY((span->sweep & kReleased) != 0)) {
    n = HideReleased(span, guests, n, backed_only);
    if (n == 0) return 0;
  }
  if (IsEmpty(span)) --empty_spans_;
  TakeBits(guests->free_bits, span->address() + info_->size, info_->stride, end,
           n);
  guests->free_count = static_cast<uint16_t>(guests->free_count - n);
  if (SPANMALLOC_UNLIKELY((span->sweep & kReleased) != 0)) {
    ShowReleased(span, guests);
  }
  span->sweep |= kTouched;
  if (guests->free_count == 0) with_guests_.Remove(guests);
  if (kAssertLevel >= 2) CheckSpan(span);
  return n;
}

// Moves up to `n` guests to the slots right below `end`; returns how many.
size_t CentralFreeList::RemoveGuests(void** end, size_t n) {
  size_t got = 0;
  bool refused = false;
  MutexLock lock(&lock_);
  for (Span* guests = with_guests_.first(); got < n && guests != nullptr;) {
    Span* const next = guests->next;
    const size_t took = TakeGuests(guests - 1, end - got, n - got, refused);
    got += took;
    if (SPANMALLOC_UNLIKELY(took == 0)) refused = true;
    if (took == 0 || guests->free_count == 0) guests = next;
  }
  Add(&free_guests_, 0 - got);
  return got;
}

size_t CentralFreeList::RemoveRange(void** batch, size_t n) {
  // As guests they cost nothing.
  size_t got = host_ == nullptr ? 0 : host_->RemoveGuests(batch + n, n);
  if (got == n) return n;
  for (;;) {
    {
      MutexLock lock(&lock_);
      while (got < n) {
        Span* const span = FullestSpan();
        if (span == nullptr) break;
        const size_t took = TakeFrom(span, batch + (n - got), n - got);
        got += took;
        if (SPANMALLOC_UNLIKELY(took == 0)) {
          got += TakeBacked(batch + (n - got), n - got);
          break;
        }
      }
    }
    // One object is enough to go on with, but a new span is as near as the
    // next call.
    if (got == n || !Fetch()) break;
  }
  if (got < n) memmove(batch, batch + (n - got), got * sizeof(void*));
  return got;
}

bool CentralFreeList::Fetch() {
  const size_t words = info_->words;
  const size_t all_words = BitmapWords(*info_);
  Span* const span =
      page_heap_->NewSmallSpan(TagOfClass(size_class_), all_words);
  if (span == nullptr) return false;
  uint64_t* const bits = span->free_bits;
  const size_t capacity = info_->capacity;
  for (size_t w = 0; w < all_words; ++w) bits[w] = ~uint64_t{0};
  if (capacity % 64 != 0) bits[words - 1] = BitRange(0, capacity % 64);
  span->capacity = span->free_count = static_cast<uint16_t>(capacity);
  span->sweep = kTouched;
  if (info_->guest != 0) {
    Span* const guests = GuestsOf(span);
    guests->free_bits = bits + words;
    guests->capacity = guests->free_count = span->capacity;
  }
  {
    MutexLock lock(&lock_);
    if (empty_spans_ == 0) {
      Add(&spans_, 1);
      Add(&free_objects_, capacity);
      ++empty_spans_;
      NoteToSweep();
      Link(span);
      if (info_->guest != 0) {
        Add(&free_guests_, capacity);
        with_guests_.PushBack(GuestsOf(span));
      }
      return true;
    }
  }
  // Another thread was faster; one empty span is enough.
  Delete(span);
  return true;
}

void CentralFreeList::Delete(Span* span) {
  page_heap_->DeleteSmallSpan(span, BitmapWords(*info_));
}

// Those that are linked by next.
void CentralFreeList::DeleteAll(Span* span) {
  while (span != nullptr) {
    Span* const next = span->next;
    Delete(span);
    span = next;
  }
}

// The span has become empty. True if it is to leave: it is in no list then.
// REQUIRES: it is in none of lists_.
bool CentralFreeList::Leave(Span* span) {
  if (empty_spans_ == 0) {
    ++empty_spans_;
    return false;
  }
  Add(&spans_, size_t{0} - 1);
  Add(&free_objects_, size_t{0} - span->capacity);
  if (info_->guest != 0) {
    Add(&free_guests_, size_t{0} - span->capacity);
    with_guests_.Remove(GuestsOf(span));
  }
  return true;
}

// The span's free_count has grown from `before` to move_at or more. True if all
// of its objects are home and it is to leave: it is in no list then.
SPANMALLOC_NOINLINE bool CentralFreeList::MoveUp(Span* span, size_t before) {
  if (before != 0) Unlink(span);
  if (IsEmpty(span) && Leave(span)) return true;
  Link(span);
  return false;
}

// Whether the object's span is of this class: then, for the list of guests, the
// object is one.
bool CentralFreeList::HasSpan(const void* p) const {
  return page_heap_->pagemap()
             .LiveSmallSpanOf(reinterpret_cast<uintptr_t>(p))
             ->kind() == kind();
}

void CentralFreeList::InsertGuests(void* const* batch, size_t n) {
  const PageMap& pagemap = page_heap_->pagemap();
  Span* gone = nullptr;
  void* twice = nullptr;
  {
    MutexLock lock(&lock_);
    Add(&free_guests_, n);
    NoteToSweep();
    for (size_t i = 0; i < n; ++i) {
      const uintptr_t address = reinterpret_cast<uintptr_t>(batch[i]);
      Span* const span = pagemap.LiveSmallSpanOf(address);
      const uint64_t index = IndexInSpan(address, info_->reciprocal);
      Span* const guests = GuestsOf(span);
      const uint64_t bit = uint64_t{1} << (index % 64);
      // A span that has left the class had all its guests home, too.
      if (SPANMALLOC_UNLIKELY(span->kind() != kind() ||
                              (guests->free_bits[index / 64] & bit) != 0)) {
        twice = batch[i];
        break;
      }
      guests->free_bits[index / 64] |= bit;
      span->sweep |= kTouched;
      // Those with the fewest objects last: they may become empty.
      if (guests->free_count++ == 0) {
        if (span->free_count == 0) {
          with_guests_.PushFront(guests);
        } else {
          with_guests_.PushBack(guests);
        }
      }
      if (SPANMALLOC_UNLIKELY(IsEmpty(span))) {
        Unlink(span);
        if (Leave(span)) {
          span->next = gone;
          gone = span;
        } else {
          Link(span);
        }
      }
    }
  }
  if (SPANMALLOC_UNLIKELY(twice != nullptr)) {
    ReportDoubleFree(twice, kSizeClasses[info_->guest].size);
  }
  DeleteAll(gone);
}

void CentralFreeList::InsertRange(void* const* batch, size_t n) {
  if (host_ == nullptr || host_->stats().spans == 0) return InsertOwn(batch, n);
  void* own[kChunk];
  void* guests[kChunk];
  while (n != 0) {
    const size_t count = n < kChunk ? n : kChunk;
    size_t own_count = 0, guest_count = 0;
    for (size_t i = 0; i < count; ++i) {
      if (host_->HasSpan(batch[i])) {
        guests[guest_count++] = batch[i];
      } else {
        own[own_count++] = batch[i];
      }
    }
    if (guest_count != 0) host_->InsertGuests(guests, guest_count);
    if (own_count != 0) InsertChunk(own, own_count);
    batch += count;
    n -= count;
  }
}

void CentralFreeList::InsertOwn(void* const* batch, size_t n) {
  while (n != 0) {
    const size_t count = n < kChunk ? n : kChunk;
    InsertChunk(batch, count);
    batch += count;
    n -= count;
  }
}

void CentralFreeList::InsertChunk(void* const* batch, size_t n) {
  const PageMap& pagemap = page_heap_->pagemap();
  const uint64_t reciprocal = info_->reciprocal;
  const uint16_t kind = this->kind();
  void* const* const end = batch + n;
  Span* gone = nullptr;
  void* twice = nullptr;
  {
    MutexLock lock(&lock_);
    Add(&free_objects_, n);
    NoteToSweep();
    for (void* const* object = batch; object != end && twice == nullptr;) {
      const uintptr_t address = reinterpret_cast<uintptr_t>(*object);
      Span* const span = pagemap.LiveSmallSpanOf(address);
      uint64_t index = IndexInSpan(address, reciprocal);
      uint64_t* const place = span->free_bits + index / 64;
      uint64_t bit = uint64_t{1} << (index % 64);
      // A span that has left the class had all its objects home, too.
      if (SPANMALLOC_UNLIKELY(span->kind() != kind || (*place & bit) != 0)) {
        twice = *object;
        break;
      }
      uint64_t word = *place | bit;
      const size_t before = span->free_count;
      size_t after = before + 1;
      // Neighbours in the batch share a word more often than not.
      while (++object != end) {
        const uintptr_t next = reinterpret_cast<uintptr_t>(*object);
        if ((next ^ address) >> kSmallSpanShift != 0) break;
        const uint64_t next_index = IndexInSpan(next, reciprocal);
        if (next_index / 64 != index / 64) break;
        bit = uint64_t{1} << (next_index % 64);
        if (SPANMALLOC_UNLIKELY((word & bit) != 0)) {
          twice = *object;
          break;
        }
        word |= bit;
        ++after;
      }
      *place = word;
      span->sweep |= kTouched;
      span->free_count = static_cast<uint16_t>(after);
      if (SPANMALLOC_UNLIKELY(after >= span->move_at) && MoveUp(span, before)) {
        span->next = gone;
        gone = span;
      }
    }
  }
  if (SPANMALLOC_UNLIKELY(twice != nullptr)) {
    ReportDoubleFree(twice, info_->size);
  }
  DeleteAll(gone);
}

bool CentralFreeList::IsGuestHome(const void* p) {
  Span* const span =
      page_heap_->pagemap().SmallSpanOf(reinterpret_cast<uintptr_t>(p));
  const uint32_t index = info_->ObjectIndex(OffsetInSpan(p));
  MutexLock lock(&lock_);
  if (span->kind() != kind()) return true;
  return (GuestsOf(span)->free_bits[index / 64] >> (index % 64)) & 1;
}

bool CentralFreeList::IsFree(const void* p) {
  if (host_ != nullptr && host_->HasSpan(p)) return host_->IsGuestHome(p);
  Span* const span =
      page_heap_->pagemap().SmallSpanOf(reinterpret_cast<uintptr_t>(p));
  const uint32_t index = info_->ObjectIndex(OffsetInSpan(p));
  MutexLock lock(&lock_);
  if (span->kind() != kind()) return true;
  return (span->free_bits[index / 64] >> (index % 64)) & 1;
}

// C1, C2, C5 and C6 for one span.
void CentralFreeList::CheckSpan(const Span* span) const {
  SPANMALLOC_CHECK(span->kind() == kind());
  SPANMALLOC_CHECK(span->free_count == 0 ||
                   info_->ListFor(span->free_count) == span->list);
  const size_t last = info_->capacity % 64;
  size_t bits = 0, guests = 0;
  for (size_t w = 0; w < info_->words; ++w) {
    bits += CountOnes(span->free_bits[w]);
    if (info_->guest != 0) {
      guests += CountOnes(GuestsOf(span)->free_bits[w]);
    }
  }
  SPANMALLOC_CHECK(bits == span->free_count);
  SPANMALLOC_CHECK(info_->guest == 0 || guests == GuestsOf(span)->free_count);
  SPANMALLOC_CHECK(last == 0 || span->free_bits[info_->words - 1] >> last == 0);
  CheckReleased(span);
}

void CentralFreeList::CheckInvariants() const {
  MutexLock lock(&lock_);
  size_t free_objects = 0, empty_spans = 0, free_guests = 0;
  for (size_t list = 0; list < kSpanLists; ++list) {
    SPANMALLOC_CHECK(lists_[list].empty() == !((nonempty_ >> list) & 1));
    for (const Span* span = lists_[list].first(); span; span = span->next) {
      SPANMALLOC_CHECK(span->list == list && span->free_count > 0);
      CheckSpan(span);
      if (IsEmpty(span)) ++empty_spans;
      free_objects += span->free_count;
    }
  }
  for (const Span* guests = with_guests_.first(); guests;
       guests = guests->next) {
    SPANMALLOC_CHECK(guests->free_count > 0);
    CheckSpan(guests - 1);
    free_guests += guests->free_count;
  }
  SPANMALLOC_CHECK(free_objects == stats().free_objects);
  SPANMALLOC_CHECK(free_guests == stats().free_guests);
  SPANMALLOC_CHECK(empty_spans == empty_spans_ && empty_spans <= 1);
}

}  // namespace spanmalloc
