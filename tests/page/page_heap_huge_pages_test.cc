// Releasing parts of huge pages: which of them are split, and how many.

#include <gtest/gtest.h>

#include <vector>

#include "allocator/os/system_info.h"
#include "tests/support/page_heap_fixture.h"

namespace spanmalloc {
namespace {

constexpr size_t kAll = SIZE_MAX;
constexpr size_t Bytes(size_t pages) { return Length(pages).bytes(); }

class PageHeapHugePagesTest : public PageHeapTest {
 protected:
  static constexpr size_t kLeast = PageHeap::kLeastPart;

  void SetUp() override {
    if (SystemPageSize() > kPageSize) GTEST_SKIP() << "ranges are rounded";
  }
  HugePage* HugePageOf(const Span* span) const {
    return heap_.pagemap().HugePageOf(span->address());
  }
  // A huge page with `used` pages in use, at its start, then `idle` dirty ones;
  // the rest is fresh. `advised`: as if its region had been asked for as such.
  Span* NewHugePage(size_t used, size_t idle, bool advised) {
    Span* const whole = New(kPagesPerHugePage, kHugePageSize);
    HugePage* const huge_page = HugePageOf(whole);
    Delete(whole);
    heap_.ReleaseAtLeast(kAll);
    huge_page->backed_as_whole = advised;
    huge_page->SetForbidden(huge_page->huge_forbidden);
    Span* const span = New(used + idle, kHugePageSize);
    EXPECT_EQ(HugePageOf(span), huge_page);
    Stamp(span, 1);
    EXPECT_TRUE(heap_.ResizeLargeSpan(span, Length(used)));
    system_.TakeReleased();
    heap_.Tick();
    return span;
  }
  // A huge page with `idle` dirty pages and nothing fresh.
  Span* NewFullHugePage(size_t idle) {
    Span* const span = New(kPagesPerHugePage, kHugePageSize);
    EXPECT_TRUE(heap_.ResizeLargeSpan(span, Length(kPagesPerHugePage - idle)));
    return span;
  }
  bool IsForbidden(const Span* span) const {
    const HugePage* const huge_page = HugePageOf(span);
    EXPECT_EQ(huge_page->huge_forbidden,
              system_.IsForbidden(huge_page->address));
    return huge_page->huge_forbidden;
  }
};

TEST_F(PageHeapHugePagesTest, OnlyThoseThatMayBeHugeAreSplit) {
  const struct {
    HugePageMode mode;
    bool advised;
    bool split;
  } cases[] = {{HugePageMode::kNever, false, false},
               {HugePageMode::kNever, true, false},
               {HugePageMode::kMadvise, false, false},
               {HugePageMode::kMadvise, true, true},
               {HugePageMode::kAlways, true, true},
               {HugePageMode::kAlways, false, true}};
  for (const auto& c : cases) {
    SCOPED_TRACE(testing::Message() << static_cast<int>(c.mode) << c.advised);
    heap_.set_huge_page_mode(c.mode);
    const size_t before = heap_.stats().huge_set_apart;
    Span* const span = NewHugePage(20, 100, c.advised);
    ASSERT_FALSE(IsForbidden(span));
    EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(100));
    heap_.CheckInvariants();
    EXPECT_EQ(IsForbidden(span), c.split);
    EXPECT_TRUE(HasStamp(span, 1));
    EXPECT_EQ(heap_.stats().huge_set_apart, before + (c.split ? 1 : 0));
    // The fresh pages of one that was backed as a whole go along.
    const std::vector<FakeSystem::Range> released = system_.TakeReleased();
    ASSERT_EQ(released.size(), 1u);
    EXPECT_EQ(released[0].start, span->address() + Bytes(20));
    EXPECT_EQ(released[0].size, Bytes(c.split ? kPagesPerHugePage - 20 : 100));
    Delete(span);
    heap_.ReleaseAtLeast(kAll);
    // Handed out anew, it may be huge again.
    Span* const again = New(20, kHugePageSize);
    ASSERT_EQ(again, span);
    EXPECT_FALSE(IsForbidden(again));
    heap_.CheckInvariants();
    Delete(again);
    heap_.ReleaseAtLeast(kAll);
  }
  // Only where the region was not asked for does the advice still differ.
  EXPECT_EQ(heap_.stats().huge_set_apart, 1u);
}

TEST_F(PageHeapHugePagesTest, ASmallPartIsNotWorthIt) {
  heap_.set_huge_page_mode(HugePageMode::kAlways);
  Span* const small = NewFullHugePage(kLeast - 1);
  Span* const large = NewFullHugePage(kLeast);
  heap_.Tick();
  EXPECT_EQ(heap_.idle_huge_pages(), 2u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(kLeast));
  heap_.CheckInvariants();
  EXPECT_FALSE(IsForbidden(small));
  EXPECT_TRUE(IsForbidden(large));
  // It is not looked at again, but a request for everything finds it.
  EXPECT_EQ(heap_.idle_huge_pages(), 0u);
  EXPECT_EQ(heap_.idle_bytes(), Bytes(kLeast - 1));
  heap_.Tick();
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 0u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), Bytes(kLeast - 1));
  EXPECT_TRUE(IsForbidden(small));
  heap_.CheckInvariants();
}

TEST_F(PageHeapHugePagesTest, ASmallPartThatGrowsIsTriedAgain) {
  heap_.set_huge_page_mode(HugePageMode::kAlways);
  Span* const span = NewHugePage(20, 10, false);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 0u);
  ASSERT_TRUE(heap_.ResizeLargeSpan(span, Length(80)));
  ASSERT_TRUE(heap_.ResizeLargeSpan(span, Length(20)));
  heap_.Tick();
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(60));
  EXPECT_TRUE(IsForbidden(span));
  // Once it is split, small parts follow.
  Span* const next = New(5);
  ASSERT_EQ(HugePageOf(next), HugePageOf(span));
  Delete(next);
  heap_.Tick();
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(5));
  heap_.CheckInvariants();
}

// Small when old, with others that are young: they get old together.
TEST_F(PageHeapHugePagesTest, ASmallPartWaitsForTheRest) {
  heap_.set_huge_page_mode(HugePageMode::kAlways);
  Span* const span = NewHugePage(100, 10, false);
  ASSERT_TRUE(heap_.ResizeLargeSpan(span, Length(60)));
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 0u);
  EXPECT_EQ(heap_.idle_huge_pages(), 1u);
  heap_.Tick();
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(50));
  heap_.CheckInvariants();
}

TEST_F(PageHeapHugePagesTest, AHeldHugePageThatBecomesEmptyIsIdle) {
  heap_.set_huge_page_mode(HugePageMode::kAlways);
  Span* const span = NewHugePage(20, 10, false);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 0u);
  Delete(span);
  heap_.CheckInvariants();
  heap_.Tick();
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(30));
  EXPECT_EQ(system_.calls(FakeSystem::kForbidHuge), 0u) << "it went whole";
  ExpectJoined();
}

TEST_F(PageHeapHugePagesTest, ARefusedMarkKeepsThePages) {
  heap_.set_huge_page_mode(HugePageMode::kAlways);
  Span* const span = NewHugePage(20, 100, false);
  const PageHeapStats before = heap_.stats();
  system_.Deny(FakeSystem::kForbidHuge);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 0u);
  heap_.CheckInvariants();
  EXPECT_TRUE(system_.TakeReleased().empty());
  EXPECT_FALSE(IsForbidden(span));
  EXPECT_EQ(heap_.stats().fresh, before.fresh);
  EXPECT_EQ(heap_.stats().huge_set_apart, 0u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), 0u);
  EXPECT_EQ(system_.calls(FakeSystem::kForbidHuge), 1u) << "tried again";
}

TEST_F(PageHeapHugePagesTest, ARefusedPermissionStaysForbidden) {
  heap_.set_huge_page_mode(HugePageMode::kMadvise);
  Span* const span = NewHugePage(20, 100, true);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(100));
  Delete(span);
  system_.Deny(FakeSystem::kAdviseHuge);
  Span* const again = New(30, kHugePageSize);
  ASSERT_EQ(again, span);
  EXPECT_TRUE(IsForbidden(again));
  EXPECT_EQ(heap_.stats().huge_set_apart, 1u);
  heap_.CheckInvariants();
  // What is fresh in it is not backed meanwhile.
  EXPECT_EQ(HugePageOf(again)->backed_small_spans, 0u);
  system_.Deny(FakeSystem::kAdviseHuge, false);
  Delete(again);
  New(30, kHugePageSize);
  EXPECT_FALSE(IsForbidden(span));
  EXPECT_EQ(heap_.stats().huge_set_apart, 0u);
}

TEST_F(PageHeapHugePagesTest, OnlySoManyAreSetApart) {
  heap_.set_huge_page_mode(HugePageMode::kAlways);
  constexpr size_t kMax = PageHeap::kMaxForbidden;
  // Untouched, so it costs address space only.
  std::vector<Span*> spans;
  for (size_t i = 0; i < kMax + 2; ++i) {
    spans.push_back(heap_.NewLargeSpan(Length(256), kHugePageSize));
    ASSERT_NE(spans[i], nullptr);
  }
  for (Span* span : spans) heap_.ResizeLargeSpan(span, Length(100));
  heap_.Tick();
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), kMax * Bytes(156));
  EXPECT_EQ(heap_.stats().huge_set_apart, kMax);
  EXPECT_EQ(system_.forbidden(), kMax);
  EXPECT_EQ(heap_.idle_bytes(), 0u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), 0u);
  // Those that are set apart already can still be split.
  heap_.ResizeLargeSpan(spans[0], Length(60));
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), Bytes(40));
  for (Span* span : spans) Delete(span);
  heap_.CheckInvariants();
  EXPECT_GT(heap_.ReleaseIdle(kAll, 0), kMax * Bytes(60));
  EXPECT_EQ(heap_.stats().fresh, heap_.stats().free);
}

// A mapping of its own cannot be moved together with its neighbours.
TEST_F(PageHeapHugePagesTest, WhatIsSetApartIsNotMoved) {
  if (PreferredHeapAddress() == 0) GTEST_SKIP() << "regions do not adjoin";
  heap_.set_huge_page_mode(HugePageMode::kAlways);
  Span* const span = NewHugePage(20, 100, false);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(100));
  Delete(span);
  Span* const large = New(4 * kPagesPerHugePage, kHugePageSize);
  Stamp(large, 2);
  ASSERT_EQ(large->address(), span->address());
  EXPECT_EQ(heap_.stats().huge_set_apart, 1u);
  EXPECT_EQ(heap_.MoveLargeSpan(large, Length(5 * kPagesPerHugePage)), nullptr);
  EXPECT_EQ(system_.calls(FakeSystem::kMove), 0u);
  heap_.CheckInvariants();
  EXPECT_TRUE(HasStamp(large, 2));
  // Nor does anything move there.
  Span* const other = New(4 * kPagesPerHugePage, kHugePageSize);
  Stamp(other, 3);
  Delete(large);
  const Length free_before = heap_.stats().fresh;
  Span* const moved =
      heap_.MoveLargeSpan(other, Length(4 * kPagesPerHugePage + 1));
  heap_.CheckInvariants();
  EXPECT_TRUE(HasStamp(moved != nullptr ? moved : other, 3,
                       Length(4 * kPagesPerHugePage)));
  if (moved == nullptr) {
    EXPECT_GE(heap_.stats().fresh, free_before);
  }
}

TEST_F(PageHeapHugePagesTest, LazilyThePartIsSplitAsWell) {
  heap_.set_huge_page_mode(HugePageMode::kAlways);
  heap_.set_release_lazily(true);
  Span* const span = NewHugePage(20, 100, false);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(100));
  EXPECT_TRUE(IsForbidden(span));
  EXPECT_EQ(heap_.stats().lazy, Length(100));
  heap_.CheckInvariants();
}

}  // namespace
}  // namespace spanmalloc
