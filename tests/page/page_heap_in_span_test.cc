// Releasing parts of small spans that are in use.

#include <gtest/gtest.h>
#include <string.h>

#include <vector>

#include "allocator/os/system_info.h"
#include "tests/support/page_heap_fixture.h"

namespace spanmalloc {
namespace {

constexpr size_t kAll = SIZE_MAX;
constexpr size_t kUnit = Span::kReleaseUnit;

class PageHeapInSpanTest : public PageHeapTest {
 protected:
  void SetUp() override {
    if (SystemPageSize() > kUnit) GTEST_SKIP() << "units are no pages";
    span_ = heap_.NewSmallSpan(1);
    ASSERT_NE(span_, nullptr);
    memset(span_->start(), 1, kSmallSpanSize);
  }
  // The bits of the sixteenths that read as zero.
  unsigned Zeros() const {
    unsigned bits = 0;
    for (size_t i = 0; i < 16; ++i) {
      const char* const unit = static_cast<char*>(span_->start()) + i * kUnit;
      if (unit[0] == 0 && unit[kUnit - 1] == 0) bits |= 1u << i;
    }
    return bits;
  }

  Span* span_ = nullptr;
};

TEST_F(PageHeapInSpanTest, ReleasedAndTakenAgain) {
  const size_t footprint = heap_.footprint_bytes();
  EXPECT_TRUE(heap_.ReleaseInSpan(span_, 3, 2));
  EXPECT_TRUE(heap_.ReleaseInSpan(span_, 15, 1));
  EXPECT_EQ(span_->released, 0x8018);
  EXPECT_EQ(Zeros(), 0x8018u);
  EXPECT_EQ(heap_.stats().released_in_spans, 3 * kUnit);
  EXPECT_EQ(heap_.stats().released_bytes, 3 * kUnit);
  EXPECT_EQ(heap_.footprint_bytes(), footprint - 3 * kUnit);
  EXPECT_TRUE(heap_.TakeReleased(span_, 0x8010));
  EXPECT_EQ(span_->released, 0x0008);
  EXPECT_EQ(heap_.stats().released_in_spans, kUnit);
  EXPECT_EQ(heap_.footprint_bytes(), footprint - kUnit);
  heap_.CheckInvariants();
}

TEST_F(PageHeapInSpanTest, ARefusalChangesNothing) {
  const size_t footprint = heap_.footprint_bytes();
  system_.Deny(FakeSystem::kRelease);
  EXPECT_FALSE(heap_.ReleaseInSpan(span_, 0, 4));
  EXPECT_EQ(span_->released, 0u);
  EXPECT_EQ(Zeros(), 0u);
  EXPECT_EQ(heap_.stats().released_in_spans, 0u);
  EXPECT_EQ(heap_.stats().released_bytes, 0u);
  EXPECT_EQ(heap_.footprint_bytes(), footprint);
}

TEST_F(PageHeapInSpanTest, WholePagesOfADeletedSpanAreFresh) {
  EXPECT_TRUE(heap_.ReleaseInSpan(span_, 1, 4));   // Half of 0, 1, half of 2.
  EXPECT_TRUE(heap_.ReleaseInSpan(span_, 14, 2));  // 7.
  const uintptr_t start = span_->address();
  heap_.DeleteSmallSpan(span_);
  heap_.CheckInvariants();
  const PageHeapStats stats = heap_.stats();
  EXPECT_EQ(stats.released_in_spans, 0u);
  EXPECT_EQ(stats.free - stats.fresh, Length(6));
  const HugePage* const huge_page = heap_.pagemap().HugePageOf(start);
  const size_t first = PageId::Containing(start).index_in_huge_page();
  for (size_t i = 0; i < kPagesPerSmallSpan; ++i) {
    EXPECT_EQ(huge_page->fresh.Get(first + i), i == 1 || i == 7) << i;
  }
  // The next one has nothing released.
  Span* const again = heap_.NewSmallSpan(1);
  EXPECT_EQ(again->address(), start);
  EXPECT_EQ(again->released, 0u);
}

TEST_F(PageHeapInSpanTest, AllOfADeletedSpanIsFresh) {
  EXPECT_TRUE(heap_.ReleaseInSpan(span_, 0, 16));
  heap_.DeleteSmallSpan(span_);
  const PageHeapStats stats = heap_.stats();
  EXPECT_EQ(stats.free, stats.fresh);
  EXPECT_EQ(stats.released_in_spans, 0u);
  EXPECT_EQ(heap_.ReleaseAtLeast(kAll), 0u);
  heap_.CheckInvariants();
}

TEST_F(PageHeapInSpanTest, PeaksLeaveOutWhatIsReleased) {
  const size_t peak = heap_.stats().peak_backed.pages();
  EXPECT_TRUE(heap_.ReleaseInSpan(span_, 0, 16));
  Span* const other = New(kPagesPerSmallSpan);
  EXPECT_EQ(heap_.stats().peak_backed.pages(), peak);
  EXPECT_GT(heap_.stats().peak_used.pages(), peak);
  Delete(other);
}

TEST_F(PageHeapInSpanTest, TheHugePageAroundIsSplit) {
  heap_.set_huge_page_mode(HugePageMode::kAlways);
  const uintptr_t huge_page = span_->first_page().huge_page_address();
  const Length fresh = heap_.stats().fresh;
  EXPECT_TRUE(heap_.ReleaseInSpan(span_, 0, 1));
  EXPECT_TRUE(system_.IsForbidden(huge_page));
  EXPECT_EQ(heap_.stats().huge_set_apart, 1u);
  EXPECT_EQ(heap_.stats().fresh, fresh);
  EXPECT_EQ(heap_.stats().released_bytes, kUnit);
  heap_.CheckInvariants();
  // All of it that is fresh was backed, too, until now.
  size_t bytes = 0;
  for (const FakeSystem::Range& range : system_.TakeReleased()) {
    bytes += range.size;
  }
  EXPECT_EQ(bytes, kHugePageSize - kSmallSpanSize + kUnit);
  EXPECT_TRUE(heap_.ReleaseInSpan(span_, 1, 1));
  EXPECT_EQ(system_.calls(FakeSystem::kForbidHuge), 1u);
  EXPECT_EQ(Zeros(), 3u);
}

TEST_F(PageHeapInSpanTest, NotWithoutTheMark) {
  heap_.set_huge_page_mode(HugePageMode::kAlways);
  const PageHeapStats before = heap_.stats();
  system_.Deny(FakeSystem::kForbidHuge);
  EXPECT_FALSE(heap_.ReleaseInSpan(span_, 0, 1));
  EXPECT_EQ(system_.calls(FakeSystem::kRelease), 0u);
  EXPECT_EQ(heap_.stats().fresh, before.fresh);
  EXPECT_EQ(heap_.stats().huge_set_apart, 0u);
  heap_.CheckInvariants();
  // A refusal of what lies around is no refusal of the part.
  system_.Deny(FakeSystem::kForbidHuge, false);
  system_.FailCall(2);
  EXPECT_TRUE(heap_.ReleaseInSpan(span_, 0, 1));
  EXPECT_EQ(heap_.stats().fresh, before.fresh);
  heap_.CheckInvariants();
}

TEST_F(PageHeapInSpanTest, TakingIsAMatterOfTheLimit) {
  EXPECT_TRUE(heap_.ReleaseInSpan(span_, 0, 4));
  heap_.set_hard_limit(heap_.footprint_bytes() + 2 * kUnit);
  EXPECT_FALSE(heap_.TakeReleased(span_, 0x7));
  EXPECT_EQ(span_->released, 0xf);
  EXPECT_EQ(heap_.stats().released_in_spans, 4 * kUnit);
  EXPECT_TRUE(heap_.TakeReleased(span_, 0x3));
  EXPECT_EQ(span_->released, 0xc);
  EXPECT_FALSE(heap_.TakeReleased(span_, 0x4));
}

TEST_F(PageHeapInSpanTest, TakingMakesRoom) {
  Span* const dirty = New(8);
  Span* const guard = New(8);
  Stamp(dirty, 1);
  Delete(dirty);
  EXPECT_TRUE(heap_.ReleaseInSpan(span_, 0, 2));
  const size_t limit = heap_.footprint_bytes();
  heap_.set_hard_limit(limit);
  EXPECT_TRUE(heap_.TakeReleased(span_, 0x3));
  EXPECT_LE(heap_.footprint_bytes(), limit);
  EXPECT_EQ(heap_.stats().free, heap_.stats().fresh);
  Delete(guard);
}

}  // namespace
}  // namespace spanmalloc
