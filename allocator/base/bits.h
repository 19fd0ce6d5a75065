// Arithmetic on powers of two and single words.
//
// Place: base/. Pure functions; the ones with a REQUIRES line do not check it.
#ifndef SPANMALLOC_ALLOCATOR_BASE_BITS_H_
#define SPANMALLOC_ALLOCATOR_BASE_BITS_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

constexpr bool IsPowerOfTwo(size_t x) { return x != 0 && (x & (x - 1)) == 0; }

// REQUIRES: x != 0.
constexpr int CountTrailingZeros(uint64_t x) { return __builtin_ctzll(x); }
// REQUIRES: x != 0.
constexpr int Log2Floor(uint64_t x) { return 63 - __builtin_clzll(x); }
// REQUIRES: x != 0.
constexpr int Log2Ceil(uint64_t x) { return x == 1 ? 0 : Log2Floor(x - 1) + 1; }

// Written out: without the machine's own instruction, which not all processors
// have, the compiler would call a function. (Warren, Hacker's Delight, 5-1.)
constexpr size_t CountOnes(uint64_t x) {
  x -= (x >> 1) & 0x5555555555555555;
  x = (x & 0x3333333333333333) + ((x >> 2) & 0x3333333333333333);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
  return x * 0x0101010101010101 >> 56;
}

// REQUIRES: alignment is a power of two. AlignUp may wrap to 0.
constexpr uintptr_t AlignDown(uintptr_t x, size_t alignment) {
  return x & ~(uintptr_t{alignment} - 1);
}
constexpr uintptr_t AlignUp(uintptr_t x, size_t alignment) {
  return AlignDown(x + alignment - 1, alignment);
}

constexpr size_t DivideRoundingUp(size_t x, size_t divisor) {
  return x / divisor + (x % divisor != 0);
}

// A word with bits [from, from + count) set. REQUIRES: 1 <= count <= 64 - from.
constexpr uint64_t BitRange(size_t from, size_t count) {
  return (~uint64_t{0} >> (64 - count)) << from;
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_BASE_BITS_H_
