// Arithmetic on powers of two and single words, against tables.

#include "allocator/base/bits.h"

#include <gtest/gtest.h>

namespace spanmalloc {
namespace {

constexpr uint64_t kTop = uint64_t{1} << 63;

TEST(BitsTest, IsPowerOfTwo) {
  EXPECT_FALSE(IsPowerOfTwo(0));
  for (int i = 0; i < 64; ++i) {
    EXPECT_TRUE(IsPowerOfTwo(uint64_t{1} << i)) << i;
    if (i > 0) {
      EXPECT_FALSE(IsPowerOfTwo((uint64_t{1} << i) + 1)) << i;
    }
  }
  EXPECT_FALSE(IsPowerOfTwo(SIZE_MAX));
}

TEST(BitsTest, Logarithms) {
  struct {
    uint64_t x;
    int floor, ceil, zeros;
  } const kCases[] = {
      {1, 0, 0, 0},       {2, 1, 1, 1},          {3, 1, 2, 0},
      {4, 2, 2, 2},       {5, 2, 3, 0},          {8, 3, 3, 3},
      {9, 3, 4, 0},       {4096, 12, 12, 12},    {4097, 12, 13, 0},
      {kTop, 63, 63, 63}, {kTop + 1, 63, 64, 0}, {UINT64_MAX, 63, 64, 0},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(Log2Floor(c.x), c.floor) << c.x;
    EXPECT_EQ(Log2Ceil(c.x), c.ceil) << c.x;
    EXPECT_EQ(CountTrailingZeros(c.x), c.zeros) << c.x;
  }
}

TEST(BitsTest, Align) {
  struct {
    uintptr_t x;
    size_t alignment;
    uintptr_t down, up;
  } const kCases[] = {
      {0, 1, 0, 0},
      {7, 1, 7, 7},
      {0, 8, 0, 0},
      {1, 8, 0, 8},
      {8, 8, 8, 8},
      {9, 8, 8, 16},
      {4095, 4096, 0, 4096},
      {4097, 4096, 4096, 8192},
      {kTop - 1, kTop, 0, kTop},
      {kTop, kTop, kTop, kTop},
      {UINTPTR_MAX, 16, UINTPTR_MAX - 15, 0},  // AlignUp wraps.
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(AlignDown(c.x, c.alignment), c.down) << c.x;
    EXPECT_EQ(AlignUp(c.x, c.alignment), c.up) << c.x;
  }
}

TEST(BitsTest, DivideRoundingUp) {
  EXPECT_EQ(DivideRoundingUp(0, 8), 0u);
  EXPECT_EQ(DivideRoundingUp(1, 8), 1u);
  EXPECT_EQ(DivideRoundingUp(8, 8), 1u);
  EXPECT_EQ(DivideRoundingUp(9, 8), 2u);
  // Where adding divisor - 1 first would overflow.
  EXPECT_EQ(DivideRoundingUp(SIZE_MAX, 2), SIZE_MAX / 2 + 1);
  EXPECT_EQ(DivideRoundingUp(SIZE_MAX, SIZE_MAX), 1u);
}

TEST(BitsTest, BitRange) {
  for (size_t from = 0; from < 64; ++from) {
    uint64_t expected = 0;
    for (size_t count = 1; count <= 64 - from; ++count) {
      expected |= uint64_t{1} << (from + count - 1);
      EXPECT_EQ(BitRange(from, count), expected) << from << " " << count;
    }
  }
}

static_assert(Log2Ceil(5) == 3 && AlignUp(5, 4) == 8 && IsPowerOfTwo(64),
              "usable in constant expressions");

}  // namespace
}  // namespace spanmalloc
