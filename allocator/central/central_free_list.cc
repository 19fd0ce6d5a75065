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
    const uintptr_t word_base = base + w * 64 * size;
    for (; word != 0 && left != 0; --left) {
      *--end = reinterpret_cast<void*>(
          word_base + static_cast<size_t>(CountTrailingZeros(word)) * size);
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
        page_heap_->arena().Allocate(words * sizeof(uint64_t)));
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
  MutexLock lock(&lock_);
  ++stats_.spans;
  stats_.free_objects += capacity;
  ++empty_spans_;
  Link(span);
  return true;
}

void CentralFreeList::Delete(Span* span) {
  if (span->word_count > Span::kInlineWords) {
    page_heap_->arena().Free(span->free_bits,
                             span->word_count * sizeof(uint64_t));
  }
  page_heap_->DeleteSmallSpan(span);
}

Span* CentralFreeList::PutOne(Span* span, uint32_t index, bool* was_free) {
  uint64_t& word = span->free_bits[index / 64];
  const uint64_t bit = uint64_t{1} << (index % 64);
  *was_free = (word & bit) != 0;
  if (SPANMALLOC_UNLIKELY(*was_free)) return nullptr;
  word |= bit;
  if (index / 64 < span->first_word) {
    span->first_word = static_cast<uint16_t>(index / 64);
  }
  const size_t free_count = ++span->free_count;
  ++stats_.free_objects;
  if (SPANMALLOC_UNLIKELY(free_count == span->capacity)) {
    Unlink(span);  // A span holds two objects at least, so it was linked.
    if (empty_spans_ != 0) {
      --stats_.spans;
      stats_.free_objects -= free_count;
      return span;
    }
    ++empty_spans_;
    Link(span);
  } else if (free_count == 1) {
    Link(span);
  } else if (ListFor(free_count) != span->list) {
    Unlink(span);
    Link(span);
  }
  return nullptr;
}

void CentralFreeList::InsertRange(void* const* batch, size_t n) {
  const PageMap& pagemap = page_heap_->pagemap();
  while (n != 0) {
    const size_t count = n < kChunk ? n : kChunk;
    Span* spans[kChunk];
    uint32_t indexes[kChunk];
    for (size_t i = 0; i < count; ++i) {
      spans[i] = pagemap.SmallSpanOf(reinterpret_cast<uintptr_t>(batch[i]));
      __builtin_prefetch(spans[i], 1);
      indexes[i] = info_->ObjectIndex(OffsetInSpan(batch[i]));
    }
    if (info_->words > Span::kInlineWords) {
      for (size_t i = 0; i < count; ++i) {
        __builtin_prefetch(spans[i]->free_bits + indexes[i] / 64, 1);
      }
    }
    Span* gone[kChunk];
    size_t gone_count = 0;
    size_t i = 0;
    bool bad = false;
    {
      MutexLock lock(&lock_);
      for (; i < count; ++i) {
        // A span that has left the class meanwhile had all its objects home:
        // this one was freed twice.
        bad = spans[i]->state() != SpanState::kSmall ||
              spans[i]->size_class != size_class_;
        if (SPANMALLOC_UNLIKELY(bad)) break;
        Span* const empty = PutOne(spans[i], indexes[i], &bad);
        if (SPANMALLOC_UNLIKELY(bad)) break;
        if (SPANMALLOC_UNLIKELY(empty != nullptr)) gone[gone_count++] = empty;
      }
    }
    if (SPANMALLOC_UNLIKELY(bad)) ReportDoubleFree(batch[i], info_->size);
    for (size_t k = 0; k < gone_count; ++k) Delete(gone[k]);
    batch += count;
    n -= count;
  }
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

void CentralFreeList::CheckInvariants() const {
  MutexLock lock(&lock_);
  size_t free_objects = 0, empty_spans = 0;
  for (size_t list = 0; list < kLists; ++list) {
    SPANMALLOC_CHECK(lists_[list].empty() == !((nonempty_ >> list) & 1));
    for (const Span* span = lists_[list].first(); span; span = span->next) {
      SPANMALLOC_CHECK(span->state() == SpanState::kSmall);
      SPANMALLOC_CHECK(span->size_class == size_class_);
      SPANMALLOC_CHECK(span->list == list);
      SPANMALLOC_CHECK(ListFor(span->free_count) == list);
      SPANMALLOC_CHECK(span->free_count > 0);
      size_t bits = 0;
      for (size_t w = 0; w < span->word_count; ++w) {
        if (w < span->first_word) SPANMALLOC_CHECK(span->free_bits[w] == 0);
        bits += __builtin_popcountll(span->free_bits[w]);
      }
      SPANMALLOC_CHECK(bits == span->free_count);
      if (bits == span->capacity) ++empty_spans;
      free_objects += bits;
    }
  }
  SPANMALLOC_CHECK(free_objects == stats_.free_objects);
  SPANMALLOC_CHECK(empty_spans == empty_spans_);
}

}  // namespace spanmalloc
