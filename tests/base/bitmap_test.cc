// Bitmap against a vector of bools: every range of small maps, then random
// steps on the size that the page heap uses.

#include "allocator/base/bitmap.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace spanmalloc {
namespace {

using Model = std::vector<bool>;

// The same questions, answered bit by bit.
size_t ModelFind(const Model& model, size_t from, bool value) {
  while (from < model.size() && model[from] != value) ++from;
  return from;
}

size_t ModelLongestRun(const Model& model) {
  size_t longest = 0, length = 0;
  for (bool bit : model) {
    length = bit ? length + 1 : 0;
    longest = std::max(longest, length);
  }
  return longest;
}

size_t ModelBestFit(const Model& model, size_t count, size_t alignment) {
  size_t best = model.size(), best_length = SIZE_MAX;
  for (size_t at = 0; at < model.size();) {
    const size_t start = ModelFind(model, at, true);
    const size_t end = ModelFind(model, start, false);
    for (size_t i = start; i < end; ++i) {
      if (i % alignment != 0 || i + count > end) continue;
      if (end - start < best_length) {
        best = i;
        best_length = end - start;
      }
      break;
    }
    at = end;
  }
  return best;
}

template <size_t kBits>
void ExpectSame(const Bitmap<kBits>& bitmap, const Model& model) {
  size_t count = 0;
  for (size_t i = 0; i < kBits; ++i) {
    ASSERT_EQ(bitmap.Get(i), model[i]) << i;
    ASSERT_EQ(bitmap.FindSet(i), ModelFind(model, i, true)) << i;
    ASSERT_EQ(bitmap.FindClear(i), ModelFind(model, i, false)) << i;
    count += model[i];
  }
  ASSERT_EQ(bitmap.Count(), count);
  ASSERT_EQ(bitmap.LongestRun(), ModelLongestRun(model));
  size_t ones = 0;
  while (ones < kBits && model[kBits - 1 - ones]) ++ones;
  ASSERT_EQ(bitmap.OnesAtEnd(), ones);
}

TEST(BitmapTest, StartsEmpty) {
  constexpr Bitmap<128> kBitmap;
  EXPECT_EQ(kBitmap.Count(), 0u);
  EXPECT_EQ(kBitmap.FindSet(0), 128u);
  EXPECT_EQ(kBitmap.FindClear(0), 0u);
  EXPECT_EQ(kBitmap.LongestRun(), 0u);
  EXPECT_EQ(kBitmap.FindBestFit(1, 1), 128u);
}

TEST(BitmapTest, AllAndNothing) {
  Bitmap<256> bitmap;
  bitmap.SetAll();
  ExpectSame(bitmap, Model(256, true));
  EXPECT_EQ(bitmap.FindBestFit(256, 256), 0u);
  bitmap.ClearAll();
  ExpectSame(bitmap, Model(256, false));
}

TEST(BitmapTest, SetsOfTwo) {
  Bitmap<128> a, b;
  EXPECT_TRUE(a.None());
  a.SetRange(10, 80);
  b.SetRange(60, 50);
  EXPECT_FALSE(a.None());
  for (size_t i = 0; i < 128; ++i) {
    ASSERT_EQ((a & b).Get(i), a.Get(i) && b.Get(i)) << i;
    ASSERT_EQ((a | b).Get(i), a.Get(i) || b.Get(i)) << i;
    ASSERT_EQ((a - b).Get(i), a.Get(i) && !b.Get(i)) << i;
  }
  EXPECT_TRUE((a - a).None());
  b.ClearAll();
  b.Set(127);
  EXPECT_FALSE(b.None());
}

TEST(BitmapTest, EveryRange) {
  constexpr size_t kBits = 128;
  for (size_t from = 0; from <= kBits; ++from) {
    for (size_t count = 0; count <= kBits - from; ++count) {
      Bitmap<kBits> bitmap;
      bitmap.SetRange(from, count);
      ASSERT_EQ(bitmap.Count(), count);
      ASSERT_TRUE(bitmap.AllSet(from, count));
      ASSERT_TRUE(bitmap.NoneSet(0, from));
      ASSERT_TRUE(bitmap.NoneSet(from + count, kBits - from - count));
      ASSERT_EQ(bitmap.LongestRun(), count);
      if (count != 0) {
        ASSERT_FALSE(bitmap.NoneSet(from, count));
        ASSERT_EQ(bitmap.FindSet(0), from);
        ASSERT_EQ(bitmap.FindClear(from), from + count);
      }
      bitmap.SetAll();
      bitmap.ClearRange(from, count);
      ASSERT_EQ(bitmap.Count(), kBits - count);
      ASSERT_TRUE(bitmap.NoneSet(from, count));
      if (count != 0) {
        ASSERT_FALSE(bitmap.AllSet(from, count));
      }
    }
  }
}

TEST(BitmapTest, EmptyRangesAreAllAndNone) {
  Bitmap<64> bitmap;
  EXPECT_TRUE(bitmap.AllSet(64, 0));
  bitmap.SetAll();
  EXPECT_TRUE(bitmap.NoneSet(0, 0));
  bitmap.ClearRange(64, 0);
  EXPECT_EQ(bitmap.Count(), 64u);
}

TEST(BitmapTest, NextRunWalksTheRuns) {
  Bitmap<192> bitmap;
  bitmap.SetRange(0, 3);
  bitmap.SetRange(60, 70);
  bitmap.SetRange(191, 1);
  struct {
    size_t from, start, count;
  } const kCases[] = {
      {0, 0, 3}, {1, 1, 2}, {3, 60, 70}, {100, 100, 30}, {130, 191, 1},
  };
  size_t start = 0, count = 0;
  for (const auto& c : kCases) {
    ASSERT_TRUE(bitmap.NextRun(c.from, &start, &count)) << c.from;
    EXPECT_EQ(start, c.start);
    EXPECT_EQ(count, c.count);
  }
  EXPECT_FALSE(bitmap.NextRun(192, &start, &count));
}

TEST(BitmapTest, BestFit) {
  // Runs: [1, 9), [16, 20), [30, 34), [64, 80).
  Bitmap<128> bitmap;
  bitmap.SetRange(1, 8);
  bitmap.SetRange(16, 4);
  bitmap.SetRange(30, 4);
  bitmap.SetRange(64, 16);
  struct {
    size_t count, alignment, expected;
  } const kCases[] = {
      {1, 1, 16},  // The shortest run, the lowest of two.
      {4, 1, 16},
      {4, 4, 16},
      {2, 32, 32},  // Two of [30, 34) are left
                    // behind 32.
      {5, 1, 1},
      {5, 4, 4},
      {8, 1, 1},
      {8, 8, 64},
      {16, 64, 64},
      {17, 1, 128},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(bitmap.FindBestFit(c.count, c.alignment), c.expected)
        << c.count << " aligned to " << c.alignment;
  }
}

TEST(BitmapTest, RandomSteps) {
  constexpr size_t kBits = 256;
  std::mt19937 random(1);
  Bitmap<kBits> bitmap;
  Model model(kBits, false);
  for (int step = 0; step < 2000; ++step) {
    const size_t from = random() % (kBits + 1);
    const size_t most = std::min<size_t>(kBits - from, 40);
    const size_t count = random() % (most + 1);
    const bool value = random() % 2 == 0;
    if (value) {
      bitmap.SetRange(from, count);
    } else {
      bitmap.ClearRange(from, count);
    }
    std::fill_n(model.begin() + static_cast<ptrdiff_t>(from), count, value);
    ASSERT_NO_FATAL_FAILURE(ExpectSame(bitmap, model)) << "step " << step;
    const size_t wanted = 1 + random() % 30;
    const size_t alignment = size_t{1} << (random() % 7);
    ASSERT_EQ(bitmap.FindBestFit(wanted, alignment),
              ModelBestFit(model, wanted, alignment))
        << "step " << step << ": " << wanted << " aligned to " << alignment;
  }
}

TEST(BitmapDeathTest, RangesMustFit) {
  if (kAssertLevel == 0) GTEST_SKIP() << "no assertions in this build";
  Bitmap<64> bitmap;
  EXPECT_DEATH(bitmap.SetRange(1, 64), "check failed");
  EXPECT_DEATH(bitmap.ClearRange(65, 0), "check failed");
  EXPECT_DEATH(bitmap.Get(64), "check failed");
}

}  // namespace
}  // namespace spanmalloc
