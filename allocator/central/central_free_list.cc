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

}  // namespace

void CentralFreeList::Link(Span* span) {
  const size_t list = ListFor(span->free_count);
  span->list = static_cast<uint8_t>(list);
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
  size_t w = span->first_word;
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
  span->first_word = static_cast<uint16_t>(w);
  span->free_count = static_cast<uint16_t>(span->free_count - n);
  stats_.free_objects -= n;
  if (span->free_count == 0) {
    Unlink(span);
  } else if (ListFor(span->free_count) != span->list) {
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
    bits = static_cast<uint64_t*>(
        page_heap_->AllocateRecord(words * sizeof(uint64_t)));
    if (bits == nullptr) {
      page_heap_->DeleteSmallSpan(span);
      return false;
    }
  }
  const size_t capacity = info_->capacity;
  for (size_t w = 0; w < words; ++w) bits[w] = ~uint64_t{0};
  if (capacity % 64 != 0) bits[words - 1] = BitRange(0, capacity % 64);
  span->size_class = static_cast<uint8_t>(size_class_);
  span->word_count = static_cast<uint8_t>(words);
  span->free_bits = bits;
  span->capacity = span->free_count = static_cast<uint16_t>(capacity);
  span->first_word = 0;
  span->pending = 0;
  {
    MutexLock lock(&lock_);
    if (empty_spans_ == 0) {
      ++stats_.spans;
      stats_.free_objects += capacity;
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
                             span->word_count * sizeof(uint64_t));
  }
  page_heap_->DeleteSmallSpan(span);
}

// Counts the span's pending objects as free. Returns true if all of its objects
// are free now and the span is to leave: it is in no list then.
bool CentralFreeList::NoteFreed(Span* span) {
  const size_t n = span->pending;
  span->pending = 0;
  const size_t before = span->free_count;
  const size_t after = before + n;
  span->free_count = static_cast<uint16_t>(after);
  stats_.free_objects += n;
  if (SPANMALLOC_UNLIKELY(after == span->capacity)) {
    if (before != 0) Unlink(span);
    if (empty_spans_ != 0) {
      --stats_.spans;
      stats_.free_objects -= after;
      return true;
    }
    ++empty_spans_;
    Link(span);
  } else if (before == 0) {
    Link(span);
  } else if (ListFor(after) != span->list) {
    Unlink(span);
    Link(span);
  }
  if (kAssertLevel >= 2) CheckSpan(span);
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

// Sets the bits of the objects, all of them of the span. Returns the first one
// whose bit is set already, or null. REQUIRES: first != end.
SPANMALLOC_ALWAYS_INLINE void* CentralFreeList::SetBits(Span* span,
                                                        void* const* first,
                                                        void* const* end,
                                                        uint64_t reciprocal) {
  uint64_t* const bits = span->free_bits;
  void* const* object = first;
  size_t index = OffsetInSpan(*object) * reciprocal >> 32;
  for (;;) {
    const size_t w = index / 64;
    uint64_t word = bits[w];
    const size_t lowest = span->first_word;
    span->first_word = static_cast<uint16_t>(w < lowest ? w : lowest);
    // Neighbours share a word more often than not: gather its bits first.
    do {
      const uint64_t bit = uint64_t{1} << (index % 64);
      if (SPANMALLOC_UNLIKELY((word & bit) != 0)) return *object;
      word |= bit;
      if (++object == end) {
        bits[w] = word;
        span->pending = static_cast<uint16_t>(span->pending + (end - first));
        return nullptr;
      }
      index = OffsetInSpan(*object) * reciprocal >> 32;
    } while (index / 64 == w);
    bits[w] = word;
  }
}

void CentralFreeList::InsertChunk(void* const* batch, size_t n) {
  // Neighbours in the batch that lie in one span are a run. Find the spans, and
  // have their cache lines fetched, before the lock is taken.
  Span* spans[kChunk];
  uint16_t starts[kChunk + 1];
  size_t runs = 0;
  const PageMap& pagemap = page_heap_->pagemap();
  const uint64_t reciprocal = info_->reciprocal;
  uintptr_t number = 0;  // No span has number 0.
  for (size_t i = 0; i < n; ++i) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(batch[i]);
    if (address >> kSmallSpanShift == number) continue;
    number = address >> kSmallSpanShift;
    Span* const span = pagemap.LiveSmallSpanOf(address);
    __builtin_prefetch(span, 1);
    spans[runs] = span;
    starts[runs++] = static_cast<uint16_t>(i);
  }
  starts[runs] = static_cast<uint16_t>(n);
  if (info_->words > Span::kInlineWords) {
    for (size_t r = 0; r < runs; ++r) {
      const uint32_t offset = OffsetInSpan(batch[starts[r]]);
      __builtin_prefetch(spans[r]->free_bits + info_->ObjectIndex(offset) / 64,
                         1);
    }
  }
  // Set the bits first; then each span that was touched gets its place. The
  // spans that were touched, and then those that are to go, take the front of
  // the array. Which span comes next is anybody's guess, so branches on it are
  // avoided.
  size_t touched = 0, gone = 0;
  void* twice = nullptr;
  {
    MutexLock lock(&lock_);
    for (size_t r = 0; r < runs; ++r) {
      Span* const span = spans[r];
      void* const* const first = batch + starts[r];
      // A span that has left the class meanwhile had all its objects home: this
      // one was freed twice.
      if (SPANMALLOC_UNLIKELY(span->state() != SpanState::kSmall ||
                              span->size_class != size_class_)) {
        twice = *first;
        break;
      }
      spans[touched] = span;
      touched += span->pending == 0;
      twice = SetBits(span, first, batch + starts[r + 1], reciprocal);
      if (SPANMALLOC_UNLIKELY(twice != nullptr)) break;
    }
    // After a double free nothing adds up any more.
    for (size_t t = 0; t < touched && twice == nullptr; ++t) {
      Span* const span = spans[t];
      if (NoteFreed(span)) spans[gone++] = span;
    }
  }
  if (SPANMALLOC_UNLIKELY(twice != nullptr)) {
    ReportDoubleFree(twice, info_->size);
  }
  for (size_t g = 0; g < gone; ++g) Delete(spans[g]);
}

void CentralFreeList::ReleaseEmptySpan() {
  Span* empty = nullptr;
  {
    MutexLock lock(&lock_);
    if (empty_spans_ == 0) return;
    for (Span* span = lists_[ListFor(info_->capacity)].first(); span != nullptr;
         span = span->next) {
      if (span->free_count == span->capacity) empty = span;
    }
    Unlink(empty);
    --empty_spans_;
    --stats_.spans;
    stats_.free_objects -= empty->capacity;
  }
  Delete(empty);
}

bool CentralFreeList::IsFree(const void* p) {
  Span* const span =
      page_heap_->pagemap().SmallSpanOf(reinterpret_cast<uintptr_t>(p));
  const uint32_t index = info_->ObjectIndex(OffsetInSpan(p));
  MutexLock lock(&lock_);
  if (span->state() != SpanState::kSmall || span->size_class != size_class_) {
    return true;
  }
  return (span->free_bits[index / 64] >> (index % 64)) & 1;
}

CentralFreeListStats CentralFreeList::stats() const {
  MutexLock lock(&lock_);
  return stats_;
}

// C1 and C2 for one span.
void CentralFreeList::CheckSpan(const Span* span) const {
  SPANMALLOC_CHECK(span->state() == SpanState::kSmall);
  SPANMALLOC_CHECK(span->size_class == size_class_);
  SPANMALLOC_CHECK(span->free_count == 0 ||
                   ListFor(span->free_count) == span->list);
  size_t bits = 0;
  for (size_t w = 0; w < span->word_count; ++w) {
    if (w < span->first_word) SPANMALLOC_CHECK(span->free_bits[w] == 0);
    bits += __builtin_popcountll(span->free_bits[w]);
  }
  SPANMALLOC_CHECK(bits == span->free_count);
  const size_t last = info_->capacity % 64;
  SPANMALLOC_CHECK(last == 0 ||
                   span->free_bits[span->word_count - 1] >> last == 0);
}

void CentralFreeList::CheckInvariants() const {
  MutexLock lock(&lock_);
  size_t free_objects = 0, empty_spans = 0;
  for (size_t list = 0; list < kLists; ++list) {
    SPANMALLOC_CHECK(lists_[list].empty() == !((nonempty_ >> list) & 1));
    for (const Span* span = lists_[list].first(); span; span = span->next) {
      SPANMALLOC_CHECK(span->list == list && span->free_count > 0);
      CheckSpan(span);
      if (span->free_count == span->capacity) ++empty_spans;
      free_objects += span->free_count;
    }
  }
  SPANMALLOC_CHECK(free_objects == stats_.free_objects);
  SPANMALLOC_CHECK(empty_spans == empty_spans_ && empty_spans <= 1);
}

}  // namespace spanmalloc
