// Page numbers and page counts.

#include "allocator/page/page_id.h"

#include <gtest/gtest.h>

namespace spanmalloc {
namespace {

TEST(LengthTest, BytesRoundUpToPages) {
  struct {
    size_t bytes, pages;
  } const kCases[] = {
      {0, 0},
      {1, 1},
      {kPageSize - 1, 1},
      {kPageSize, 1},
      {kPageSize + 1, 2},
      {kHugePageSize, kPagesPerHugePage},
      {SIZE_MAX, (SIZE_MAX >> kPageShift) + 1},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(Length::FromBytesRoundingUp(c.bytes).pages(), c.pages) << c.bytes;
  }
  EXPECT_EQ(Length(3).bytes(), 3 * kPageSize);
}

TEST(LengthTest, ArithmeticAndOrder) {
  EXPECT_EQ(Length(), Length(0));
  EXPECT_EQ(Length(2) + Length(3), Length(5));
  EXPECT_EQ(Length(5) - Length(3), Length(2));
  EXPECT_NE(Length(5), Length(3));
  EXPECT_TRUE(Length(3) < Length(5) && Length(5) > Length(3));
  EXPECT_TRUE(Length(3) <= Length(3) && Length(3) >= Length(3));
  EXPECT_FALSE(Length(5) <= Length(3) || Length(3) >= Length(5));
}

TEST(LengthDeathTest, IsNeverNegative) {
  if (kAssertLevel == 0) GTEST_SKIP() << "no assertions in this build";
  EXPECT_DEATH(static_cast<void>(Length(3) - Length(5)), "check failed");
  EXPECT_DEATH(static_cast<void>(PageId(3) - PageId(5)), "check failed");
}

TEST(PageIdTest, ContainsAddresses) {
  constexpr uintptr_t kBase = uintptr_t{5} << kHugePageShift;
  struct {
    uintptr_t address;
    size_t index_in_huge_page;
  } const kCases[] = {
      {kBase, 0},
      {kBase + 1, 0},
      {kBase + kPageSize - 1, 0},
      {kBase + kPageSize, 1},
      {kBase + kHugePageSize - 1, kPagesPerHugePage - 1},
  };
  for (const auto& c : kCases) {
    const PageId page = PageId::Containing(c.address);
    EXPECT_EQ(page, PageId::Containing(reinterpret_cast<void*>(c.address)));
    EXPECT_EQ(page.index_in_huge_page(), c.index_in_huge_page);
    EXPECT_EQ(page.address(), kBase + c.index_in_huge_page * kPageSize);
    EXPECT_EQ(page.pointer(), reinterpret_cast<void*>(page.address()));
    EXPECT_EQ(page.huge_page_address(), kBase);
  }
}

TEST(PageIdTest, ArithmeticAndOrder) {
  EXPECT_EQ(PageId(), PageId(0));
  EXPECT_EQ(PageId(7) + Length(3), PageId(10));
  EXPECT_EQ(PageId(10) - PageId(7), Length(3));
  EXPECT_TRUE(PageId(7) < PageId(10));
  EXPECT_FALSE(PageId(7) < PageId(7));
  EXPECT_NE(PageId(7), PageId(10));
  EXPECT_EQ(PageId(7).index(), 7u);
}

}  // namespace
}  // namespace spanmalloc
