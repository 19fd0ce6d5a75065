// A fixed number of bits with the questions a page allocator asks.
//
// Place:    base/.
// Purpose:  Ranges of bits: set, clear, test, count, and find runs of ones.
// Not here: the bitmaps of free objects in a span (central/), which are words
//           of a size known only at run time.
// Concurrency: none; the owner's lock covers it.
// Cost:     four words at most in practice; run searches step from run to run,
//           not from bit to bit.
#ifndef SPANMALLOC_ALLOCATOR_BASE_BITMAP_H_
#define SPANMALLOC_ALLOCATOR_BASE_BITMAP_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/bits.h"
#include "allocator/base/check.h"

namespace spanmalloc {

template <size_t kBits>
class Bitmap {
  static_assert(kBits > 0 && kBits % 64 == 0);

 public:
  constexpr Bitmap() = default;

  void SetAll() {
    for (uint64_t& word : words_) word = ~uint64_t{0};
  }
  void ClearAll() {
    for (uint64_t& word : words_) word = 0;
  }

  bool Get(size_t i) const {
    SPANMALLOC_ASSERT(i < kBits);
    return (words_[i / 64] >> (i % 64)) & 1;
  }

  void Set(size_t i) {
    SPANMALLOC_ASSERT(i < kBits);
    words_[i / 64] |= uint64_t{1} << (i % 64);
  }
  void Clear(size_t i) {
    SPANMALLOC_ASSERT(i < kBits);
    words_[i / 64] &= ~(uint64_t{1} << (i % 64));
  }

  // REQUIRES for all ranges: from + count <= kBits. An empty range is allowed.
  void SetRange(size_t from, size_t count) {
    ForEachWord(from, count, [this](size_t w, uint64_t mask) {
      words_[w] |= mask;
      return true;
    });
  }
  void ClearRange(size_t from, size_t count) {
    ForEachWord(from, count, [this](size_t w, uint64_t mask) {
      words_[w] &= ~mask;
      return true;
    });
  }
  bool AllSet(size_t from, size_t count) const {
    return ForEachWord(from, count, [this](size_t w, uint64_t mask) {
      return (words_[w] & mask) == mask;
    });
  }
  bool NoneSet(size_t from, size_t count) const {
    return ForEachWord(from, count, [this](size_t w, uint64_t mask) {
      return (words_[w] & mask) == 0;
    });
  }
  size_t Count() const {
    size_t n = 0;
    for (uint64_t word : words_) n += CountOnes(word);
    return n;
  }
  size_t CountRange(size_t from, size_t count) const {
    size_t n = 0;
    ForEachWord(from, count, [this, &n](size_t w, uint64_t mask) {
      n += CountOnes(words_[w] & mask);
      return true;
    });
    return n;
  }

  bool None() const {
    uint64_t any = 0;
    for (uint64_t word : words_) any |= word;
    return any == 0;
  }

  // Intersection, union, and what is in `a` but not in `b`.
  friend Bitmap operator&(const Bitmap& a, const Bitmap& b) {
    Bitmap c;
    for (size_t w = 0; w < kBits / 64; ++w) c.words_[w] = a.word(w) & b.word(w);
    return c;
  }
  friend Bitmap operator|(const Bitmap& a, const Bitmap& b) {
    Bitmap c;
    for (size_t w = 0; w < kBits / 64; ++w) c.words_[w] = a.word(w) | b.word(w);
    return c;
  }
  friend Bitmap operator-(const Bitmap& a, const Bitmap& b) {
    Bitmap c;
    for (size_t w = 0; w < kBits / 64; ++w) {
      c.words_[w] = a.word(w) & ~b.word(w);
    }
    return c;
  }

  // The first one at or after `from`, or kBits.
  size_t FindSet(size_t from) const { return Find(from, 0); }
  // The first zero at or after `from`, or kBits.
  size_t FindClear(size_t from) const { return Find(from, ~uint64_t{0}); }

  // Bounds of the run of ones that bit i lies in. REQUIRES: Get(i).
  size_t RunEnd(size_t i) const { return FindClear(i); }
  size_t RunStart(size_t i) const {
    SPANMALLOC_ASSERT(Get(i));
    size_t w = i / 64;
    uint64_t zeros = ~words_[w] & BitRange(0, i % 64 + 1);
    while (zeros == 0) {
      if (w-- == 0) return 0;
      zeros = ~words_[w];
    }
    return w * 64 + static_cast<size_t>(Log2Floor(zeros)) + 1;
  }

  // The first run of ones that starts at or after `from`. False if none.
  bool NextRun(size_t from, size_t* start, size_t* count) const {
    *start = FindSet(from);
    if (*start == kBits) return false;
    *count = FindClear(*start) - *start;
    return true;
  }

  // Length of the run of ones that the last bit ends, or 0.
  size_t OnesAtEnd() const {
    for (size_t w = kBits / 64; w-- != 0;) {
      if (words_[w] != ~uint64_t{0}) {
        return kBits -
               (w * 64 + static_cast<size_t>(Log2Floor(~words_[w])) + 1);
      }
    }
    return kBits;
  }

  // Length of the longest run of ones.
  size_t LongestRun() const {
    size_t longest = 0;
    size_t start = 0, count = 0;
    for (size_t at = 0; NextRun(at, &start, &count); at = start + count) {
      if (count > longest) longest = count;
    }
    return longest;
  }

  // The start of the shortest run that holds `count` ones from a multiple of
  // `alignment` on (the lowest among equals), or kBits. REQUIRES: count >= 1.
  size_t FindBestFit(size_t count, size_t alignment) const {
    size_t best = kBits, best_length = kBits + 1;
    size_t start = 0, length = 0;
    for (size_t at = 0; NextRun(at, &start, &length); at = start + length) {
      const size_t aligned = AlignUp(start, alignment);
      if (length < best_length && aligned + count <= start + length) {
        best = aligned;
        best_length = length;
        if (length == count) break;
      }
    }
    return best;
  }

  uint64_t word(size_t w) const { return words_[w]; }

 private:
  template <typename F>
  static bool ForEachWord(size_t from, size_t count, F&& f) {
    SPANMALLOC_ASSERT(from <= kBits && count <= kBits - from);
    while (count != 0) {
      const size_t bit = from % 64;
      const size_t n = count < 64 - bit ? count : 64 - bit;
      if (!f(from / 64, BitRange(bit, n))) return false;
      from += n;
      count -= n;
    }
    return true;
  }

  // First bit at or after `from` that differs from the pattern `flip`.
  size_t Find(size_t from, uint64_t flip) const {
    if (from >= kBits) return kBits;
    size_t w = from / 64;
    uint64_t word = (words_[w] ^ flip) & (~uint64_t{0} << (from % 64));
    while (word == 0) {
      if (++w == kBits / 64) return kBits;
      word = words_[w] ^ flip;
    }
    return w * 64 + CountTrailingZeros(word);
  }

  uint64_t words_[kBits / 64] = {};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_BASE_BITMAP_H_
