// The parts of a small span, and which objects lie in them.
//
// Place:    central/, for CentralFreeList.
// Purpose:  A span is given back to the system in parts (Span::kReleaseUnit),
//           of which a page of the system is one or several; objects have
//           sizes of their own and may lie in two parts or more. This is the
//           arithmetic between the two, on ranges of bits, not objects.
// Not here: who may do so, and when (central_free_list_release.cc).
//
// "In a part" always means in whole or in part. The object at an index and the
// guest behind it count as one: where there are guests, a stride divides a
// part.
//
// Concurrency: none; the lock of the span's list covers the bits.
// Cost:     that of the words which hold the bits.
#ifndef SPANMALLOC_ALLOCATOR_CENTRAL_SPAN_PARTS_H_
#define SPANMALLOC_ALLOCATOR_CENTRAL_SPAN_PARTS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/bits.h"
#include "allocator/base/config.h"
#include "allocator/central/size_classes.h"
#include "allocator/page/span.h"

namespace spanmalloc {

inline constexpr size_t kPartsPerSpan = kSmallSpanSize / Span::kReleaseUnit;

// How many parts a page of the system is.
constexpr size_t PartsPerPage(size_t page_size) {
  return page_size <= Span::kReleaseUnit ? 1 : page_size / Span::kReleaseUnit;
}

// A word with the bits of `count` parts from `first` on.
constexpr uint16_t PartRange(size_t first, size_t count) {
  return static_cast<uint16_t>(((1u << count) - 1) << first);
}

// Calls f(first, count) for each run of parts.
template <typename F>
void ForEachPartRun(uint16_t parts, F&& f) {
  for (uint32_t left = parts; left != 0;) {
    const int first = CountTrailingZeros(left);
    const int count = CountTrailingZeros(~uint64_t{left >> first});
    f(static_cast<size_t>(first), static_cast<size_t>(count));
    left &= left + (uint32_t{1} << first);
  }
}

// Calls f(first, count) for ranges of the objects that lie in the parts;
// upwards, and no object is in two ranges.
template <typename F>
void ForEachObjectRange(const SizeClass& info, uint16_t parts, F&& f) {
  size_t done = 0;
  ForEachPartRun(parts, [&](size_t part, size_t count) {
    const size_t start = part * Span::kReleaseUnit;
    const size_t end = start + count * Span::kReleaseUnit;
    size_t first = info.ObjectIndex(static_cast<uint32_t>(start));
    size_t last = info.ObjectIndex(static_cast<uint32_t>(end - 1));
    if (first < done) first = done;
    if (last >= info.capacity) last = info.capacity - size_t{1};
    if (first > last) return;
    f(first, last + 1 - first);
    done = last + 1;
  });
}

// How many objects lie in the parts.
inline size_t ObjectsIn(const SizeClass& info, uint16_t parts) {
  size_t n = 0;
  ForEachObjectRange(info, parts, [&n](size_t, size_t count) { n += count; });
  return n;
}

// All parts up to the last one in which the object at the index lies.
inline uint16_t PartsUpTo(const SizeClass& info, size_t index) {
  const size_t last = ((index + 1) * info.stride - 1) / Span::kReleaseUnit;
  return PartRange(0, last + 1);
}

// Adds those parts that lie in one page of the system with one of these.
inline uint16_t WholePages(uint16_t parts, size_t parts_per_page) {
  uint16_t all = 0;
  for (size_t part = 0; part < kPartsPerSpan; part += parts_per_page) {
    const uint16_t page = PartRange(part, parts_per_page);
    if ((parts & page) != 0) all |= page;
  }
  return all;
}

// ---- Ranges of bits. REQUIRES, for all: count != 0.

// Calls f(word, mask) for each word of the range, until f returns false;
// whether it never did.
template <typename Word, typename F>
bool ForEachWord(Word* bits, size_t first, size_t count, F&& f) {
  for (Word* word = bits + first / 64; count != 0; ++word) {
    const size_t from = first % 64;
    const size_t here = count < 64 - from ? count : 64 - from;
    if (!f(word, BitRange(from, here))) return false;
    first += here;
    count -= here;
  }
  return true;
}
inline bool AllBitsSet(const uint64_t* bits, size_t first, size_t count) {
  return ForEachWord(bits, first, count, [](const uint64_t* word, uint64_t m) {
    return (*word & m) == m;
  });
}
inline bool NoBitsSet(const uint64_t* bits, size_t first, size_t count) {
  return ForEachWord(bits, first, count, [](const uint64_t* word, uint64_t m) {
    return (*word & m) == 0;
  });
}
inline void SetBits(uint64_t* bits, size_t first, size_t count) {
  ForEachWord(bits, first, count, [](uint64_t* word, uint64_t m) {
    *word |= m;
    return true;
  });
}
inline void ClearBits(uint64_t* bits, size_t first, size_t count) {
  ForEachWord(bits, first, count, [](uint64_t* word, uint64_t m) {
    *word &= ~m;
    return true;
  });
}
// The place of the n-th bit that is set. REQUIRES: 1 <= n <= bits set.
inline size_t PlaceOfBit(const uint64_t* bits, size_t n) {
  size_t w = 0;
  for (; n > CountOnes(bits[w]); ++w) n -= CountOnes(bits[w]);
  uint64_t word = bits[w];
  while (--n != 0) word &= word - 1;
  return w * 64 + static_cast<size_t>(CountTrailingZeros(word));
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_SPAN_PARTS_H_
