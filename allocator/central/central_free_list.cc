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

}  // namespace

void CentralFreeList::Link(Span* span) {
  const size_t list = info_->ListFor(span->free_count);
  span->list = static_cast<uint8_t>(list);
  span->move_at = info_->first_of_list[list + 1];
  lists_[list].PushByAddress(span);
  nonempty_ |= 1u << list;
}

void CentralFreeList::Unlink(Span* span) {
  lists_[span->list].Remove(span);
  if (lists_[span->list].empty()) nonempty_ &= ~(1u << span->list);
}

Span* CentralFreeList::FullestSpan() const {
  return nonempty_ == 0 ? nullptr
                        : lists_[CountTrailingZeros(nonempty_)].first();
}

// Moves up to `n` objects of the span to the slots right below `end`.
size_t CentralFreeList::TakeFrom(Span* span, void** end, size_t n) {
  if (span->free_count == span->capacity) --empty_spans_;
  if (n > span->free_count) n = span->free_count;
  const uintptr_t base = span->address();
  const size_t size = info_->size;
  size_t w = 0;
  while (span->free_bits[w] == 0) ++w;
  for (size_t left = n; left != 0;) {
    uint64_t word = span->free_bits[w];
    uintptr_t address = base + w * 64 * size;
    if (word == ~uint64_t{0} && left >= 64) {
      for (size_t i = 0; i < 64; ++i, address += size) {
        *--end = reinterpret_cast<void*>(address);
      }
      left -= 64;
      word = 0;
    }
    for (; word != 0 && left != 0; --left) {
      *--end = reinterpret_cast<void*>(
          address + static_cast<size_t>(CountTrailingZeros(word)) * size);
      word &= word - 1;
    }
    span->free_bits[w] = word;
    if (word == 0) ++w;
  }
  span->free_count = static_cast<uint16_t>(span->free_count - n);
  Add(&free_objects_, 0 - n);
  if (span->free_count == 0) {
    Unlink(span);
    span->move_at = 1;
  } else if (info_->ListFor(span->free_count) != span->list) {
    Unlink(span);
    Link(span);
  }
  if (kAssertLevel >= 2) CheckSpan(span);
  return n;
}

size_t CentralFreeList::RemoveRange(void** batch, size_t n) {
  size_t got = 0;
  for (;;) {
    {
      MutexLock lock(&lock_);
      while (got < n) {
        Span* const span = FullestSpan();
        if (span == nullptr) break;
        got += TakeFrom(span, batch + (n - got), n - got);
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
  Span* const span = page_heap_->NewSmallSpan(TagOfClass(size_class_));
  if (span == nullptr) return false;
  uint64_t* bits = span->inline_bits;
  const size_t words = info_->words;
  if (words > Span::kInlineWords) {
    bits = static_cast<uint64_t*>(page_heap_->AllocateRecord(
        words * sizeof(uint64_t), RecordKind::kSpans));
    if (bits == nullptr) {
      page_heap_->DeleteSmallSpan(span);
      return false;
    }
  }
  const size_t capacity = info_->capacity;
  for (size_t w = 0; w < words; ++w) bits[w] = ~uint64_t{0};
  if (capacity % 64 != 0) bits[words - 1] = BitRange(0, capacity % 64);
  span->word_count = static_cast<uint8_t>(words);
  span->free_bits = bits;
  span->capacity = span->free_count = static_cast<uint16_t>(capacity);
  {
    MutexLock lock(&lock_);
    if (empty_spans_ == 0) {
      Add(&spans_, 1);
      Add(&free_objects_, capacity);
      ++empty_spans_;
      Link(span);
      return true;
    }
  }
  // Another thread was faster; one empty span is enough.
  Delete(span);
  return true;
}

void CentralFreeList::Delete(Span* span) {
  if (span->word_count > Span::kInlineWords) {
    page_heap_->arena().Free(span->free_bits,
                             span->word_count * sizeof(uint64_t),
                             RecordKind::kSpans);
  }
  page_heap_->DeleteSmallSpan(span);
}

// The span's free_count has grown from `before` to move_at or more. True if all
// of its objects are home and it is to leave: it is in no list then.
SPANMALLOC_NOINLINE bool CentralFreeList::MoveUp(Span* span, size_t before) {
  if (before != 0) Unlink(span);
  if (span->free_count == span->capacity) {
    if (empty_spans_ != 0) {
      Add(&spans_, size_t{0} - 1);
      Add(&free_objects_, size_t{0} - span->capacity);
      return true;
    }
    ++empty_spans_;
  }
  Link(span);
  return false;
}

void CentralFreeList::InsertRange(void* const* batch, size_t n) {
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
  while (gone != nullptr) {
    Span* const next = gone->next;
    Delete(gone);
    gone = next;
  }
}

void CentralFreeList::ReleaseEmptySpan() {
  Span* empty = nullptr;
  {
    MutexLock lock(&lock_);
    if (empty_spans_ == 0) return;
    for (Span* span = lists_[info_->ListFor(info_->capacity)].first();
         span != nullptr; span = span->next) {
      if (span->free_count == span->capacity) empty = span;
    }
    Unlink(empty);
    --empty_spans_;
    Add(&spans_, size_t{0} - 1);
    Add(&free_objects_, size_t{0} - empty->capacity);
  }
  Delete(empty);
}

bool CentralFreeList::IsFree(const void* p) {
  Span* const span =
      page_heap_->pagemap().SmallSpanOf(reinterpret_cast<uintptr_t>(p));
  const uint32_t index = info_->ObjectIndex(OffsetInSpan(p));
  MutexLock lock(&lock_);
  if (span->kind() != kind()) return true;
  return (span->free_bits[index / 64] >> (index % 64)) & 1;
}

// C1 and C2 for one span.
void CentralFreeList::CheckSpan(const Span* span) const {
  SPANMALLOC_CHECK(span->kind() == kind());
  SPANMALLOC_CHECK(span->free_count == 0 ||
                   info_->ListFor(span->free_count) == span->list);
  size_t bits = 0;
  for (size_t w = 0; w < span->word_count; ++w) {
    bits += CountOnes(span->free_bits[w]);
  }
  SPANMALLOC_CHECK(bits == span->free_count);
  const size_t last = info_->capacity % 64;
  SPANMALLOC_CHECK(last == 0 ||
                   span->free_bits[span->word_count - 1] >> last == 0);
}

void CentralFreeList::CheckInvariants() const {
  MutexLock lock(&lock_);
  size_t free_objects = 0, empty_spans = 0;
  for (size_t list = 0; list < kSpanLists; ++list) {
    SPANMALLOC_CHECK(lists_[list].empty() == !((nonempty_ >> list) & 1));
    for (const Span* span = lists_[list].first(); span; span = span->next) {
      SPANMALLOC_CHECK(span->list == list && span->free_count > 0);
      CheckSpan(span);
      if (span->free_count == span->capacity) ++empty_spans;
      free_objects += span->free_count;
    }
  }
  SPANMALLOC_CHECK(free_objects == stats().free_objects);
  SPANMALLOC_CHECK(empty_spans == empty_spans_ && empty_spans <= 1);
}

}  // namespace spanmalloc
