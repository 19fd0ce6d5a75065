// The list of a block's dirty pages against a set of them.

#include "allocator/page/dirty_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace spanmalloc {
namespace {

std::set<uintptr_t> Pages(const DirtyPages& dirty) {
  std::set<uintptr_t> pages;
  uintptr_t last_end = 0;
  for (const DirtyPages::Range& range : dirty) {
    EXPECT_GT(range.first.index(), last_end) << "D1";
    last_end = range.end().index();
    for (uintptr_t i = range.first.index(); i < last_end; ++i) pages.insert(i);
  }
  return pages;
}

TEST(DirtyPages, IsEmptyAtFirst) {
  const DirtyPages dirty;
  EXPECT_TRUE(dirty.empty());
  EXPECT_EQ(dirty.begin(), dirty.end());
}

TEST(DirtyPages, JoinsNeighbours) {
  DirtyPages dirty;
  dirty.Add(PageId(10), Length(5));
  dirty.Add(PageId(15), Length(1));
  dirty.Add(PageId(17), Length(2));
  ASSERT_EQ(dirty.end() - dirty.begin(), 2);
  EXPECT_EQ(dirty.begin()->length, Length(6));
  EXPECT_EQ(dirty.begin()[1].first, PageId(17));
}

TEST(DirtyPages, TooManyRangesJoinWhereTheGapIsSmallest) {
  DirtyPages dirty;
  uintptr_t at = 1;
  for (size_t i = 0; i < DirtyPages::kMost; ++i) {
    dirty.Add(PageId(at), Length(1));
    at += i == 7 ? 3 : 10;
  }
  ASSERT_EQ(dirty.end() - dirty.begin(), ptrdiff_t{DirtyPages::kMost});
  dirty.Add(PageId(at), Length(1));
  ASSERT_EQ(dirty.end() - dirty.begin(), ptrdiff_t{DirtyPages::kMost});
  EXPECT_EQ(dirty.begin()[7].length, Length(4));
  EXPECT_EQ(Pages(dirty).size(), DirtyPages::kMost + 1 + 2);
}

TEST(DirtyPages, CoversAllThatWasAdded) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    DirtyPages dirty;
    std::set<uintptr_t> added;
    uintptr_t at = 1;
    const unsigned count = 1 + random() % 100;
    for (unsigned i = 0; i < count; ++i) {
      at += random() % 20;
      const unsigned n = 1 + random() % 5;
      dirty.Add(PageId(at), Length(n));
      for (unsigned k = 0; k < n; ++k) added.insert(at++);
    }
    const std::set<uintptr_t> covered = Pages(dirty);
    ASSERT_TRUE(std::includes(covered.begin(), covered.end(), added.begin(),
                              added.end()));
    ASSERT_LE(dirty.end() - dirty.begin(), ptrdiff_t{DirtyPages::kMost});
    if (count <= DirtyPages::kMost) {
      ASSERT_EQ(covered, added);
    }
  }
}

}  // namespace
}  // namespace spanmalloc
