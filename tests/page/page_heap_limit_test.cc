// The hard limit: what is used and what the system backs stay below it.

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "allocator/os/system_info.h"
#include "tests/support/page_heap_fixture.h"

namespace spanmalloc {
namespace {

constexpr size_t kAll = SIZE_MAX;
constexpr size_t Bytes(size_t pages) { return Length(pages).bytes(); }

class PageHeapLimitTest : public PageHeapTest {
 protected:
  void SetUp() override {
    if (SystemPageSize() > kPageSize) GTEST_SKIP() << "ranges are rounded";
    // With the records of 64 MiB.
    Delete(New(Bytes(8192) / kPageSize));
    heap_.ReleaseAtLeast(kAll);
    base_ = heap_.footprint_bytes();
  }
  // The limit is `pages` above what the heap takes without blocks.
  void Limit(size_t pages) { heap_.set_hard_limit(base_ + Bytes(pages)); }
  size_t Backed() const {
    return (heap_.footprint_bytes() - base_) / kPageSize;
  }
  void ExpectSame(const PageHeapStats& before) const {
    const PageHeapStats now = heap_.stats();
    EXPECT_EQ(now.used, before.used);
    EXPECT_EQ(now.free, before.free);
    EXPECT_EQ(now.fresh, before.fresh);
    EXPECT_EQ(now.large, before.large);
    EXPECT_EQ(now.large_count, before.large_count);
    EXPECT_EQ(now.large_allocations, before.large_allocations);
    EXPECT_EQ(now.large_frees, before.large_frees);
    EXPECT_EQ(now.large_bytes_allocated, before.large_bytes_allocated);
    EXPECT_EQ(now.large_bytes_freed, before.large_bytes_freed);
    EXPECT_EQ(now.peak_backed, before.peak_backed);
    heap_.CheckInvariants();
  }

  size_t base_ = 0;
};

TEST_F(PageHeapLimitTest, UsedPagesAreLimited) {
  Limit(116);
  Span* const span = New(100);
  ASSERT_NE(span, nullptr);
  const PageHeapStats before = heap_.stats();
  EXPECT_EQ(New(17), nullptr);
  ExpectSame(before);
  Span* const small = heap_.NewSmallSpan(1);
  ASSERT_NE(small, nullptr);
  ASSERT_NE(heap_.NewSmallSpan(1), nullptr);
  EXPECT_EQ(heap_.NewSmallSpan(1), nullptr);
  EXPECT_EQ(heap_.NewLargeSpan(Length(5), 1), nullptr);
  heap_.DeleteSmallSpan(small);
  EXPECT_NE(New(8), nullptr);
  heap_.set_hard_limit(0);
  EXPECT_NE(New(1000), nullptr);
}

TEST_F(PageHeapLimitTest, GrowthIsLimited) {
  Limit(116);
  Span* const span = New(100);
  Stamp(span, 1);
  const PageHeapStats before = heap_.stats();
  EXPECT_FALSE(heap_.ResizeLargeSpan(span, Length(117)));
  ExpectSame(before);
  EXPECT_EQ(span->length(), Length(100));
  EXPECT_TRUE(heap_.ResizeLargeSpan(span, Length(116)));
  EXPECT_TRUE(heap_.ResizeLargeSpan(span, Length(50)));
  EXPECT_TRUE(HasStamp(span, 1, Length(50)));
}

// What was freed goes back to the system before a request fails.
TEST_F(PageHeapLimitTest, RoomIsMade) {
  Limit(1000);
  std::vector<Span*> spans;
  for (uint64_t i = 0; i < 10; ++i) {
    spans.push_back(New(100));
    ASSERT_NE(spans.back(), nullptr);
    Stamp(spans.back(), i);
  }
  for (size_t i = 0; i < 10; i += 2) Delete(spans[i]);
  EXPECT_EQ(Backed(), 1000u);
  // A block that does not fit into the holes.
  Span* const large = New(500, kHugePageSize);
  ASSERT_NE(large, nullptr);
  EXPECT_LE(Backed(), 1000u);
  EXPECT_LE(heap_.stats().peak_backed, Length(8192));
  heap_.CheckInvariants();
  for (uint64_t i = 1; i < 10; i += 2) EXPECT_TRUE(HasStamp(spans[i], i));
}

TEST_F(PageHeapLimitTest, NoRoomIsMadeForWhatIsBackedAlready) {
  Limit(100);
  const size_t releases = system_.calls(FakeSystem::kRelease);
  for (int i = 0; i < 3; ++i) {
    Span* const span = New(100);
    ASSERT_NE(span, nullptr);
    Stamp(span, 1);
    Delete(span);
  }
  EXPECT_EQ(system_.calls(FakeSystem::kRelease), releases);
}

TEST_F(PageHeapLimitTest, RoomIsMadeForGrowth) {
  Limit(200);
  Span* const span = New(50, kHugePageSize);
  Span* const dirty = New(100, 2 * kHugePageSize);
  Stamp(span, 1);
  Stamp(dirty, 2);
  Delete(dirty);
  EXPECT_TRUE(heap_.ResizeLargeSpan(span, Length(150)));
  EXPECT_LE(Backed(), 200u);
  EXPECT_TRUE(HasStamp(span, 1, Length(50)));
  heap_.CheckInvariants();
}

TEST_F(PageHeapLimitTest, WithoutRoomAllIsAsItWas) {
  if (PreferredHeapAddress() == 0) GTEST_SKIP() << "regions do not adjoin";
  Limit(200);
  Span* const span = New(50, kHugePageSize);
  Span* const dirty = New(100, 2 * kHugePageSize);
  Stamp(dirty, 2);
  Delete(dirty);
  system_.Deny(FakeSystem::kRelease);
  const PageHeapStats before = heap_.stats();
  EXPECT_EQ(New(120, kHugePageSize), nullptr);
  ExpectSame(before);
  EXPECT_FALSE(heap_.ResizeLargeSpan(span, Length(150)));
  EXPECT_EQ(span->length(), Length(50));
  ExpectSame(before);
  Span* small = nullptr;
  size_t smalls = 0;
  while ((small = heap_.NewSmallSpan(1)) != nullptr) ++smalls;
  EXPECT_GE(smalls, 50 / kPagesPerSmallSpan);
  EXPECT_LE(Backed(), 200u);
  heap_.CheckInvariants();
}

TEST_F(PageHeapLimitTest, NothingIsBackedTwiceByMoving) {
  constexpr size_t kOld = 5 * kPagesPerHugePage;
  Limit(kOld + 300);
  Span* const span = New(kOld, kHugePageSize);
  Span* const guard = New(8);
  ASSERT_NE(guard, nullptr);
  Stamp(span, 1);
  EXPECT_EQ(heap_.MoveLargeSpan(span, Length(kOld + 400)), nullptr);
  heap_.CheckInvariants();
  EXPECT_TRUE(HasStamp(span, 1));
  EXPECT_EQ(system_.calls(FakeSystem::kMove), 0u);
  Span* const moved = heap_.MoveLargeSpan(span, Length(kOld + 200));
  ASSERT_NE(moved, nullptr);
  EXPECT_TRUE(HasStamp(moved, 1, Length(kOld)));
  EXPECT_LE(Backed(), kOld + 300);
  heap_.CheckInvariants();
}

TEST_F(PageHeapLimitTest, RecordsFromTheHeapAreLimited) {
  Limit(100);
  system_.Deny(FakeSystem::kReserve);
  while (heap_.AllocateRecord(64, RecordKind::kOther) != nullptr) {
    ASSERT_LE(heap_.footprint_bytes(), base_ + Bytes(100) + 64);
  }
  heap_.CheckInvariants();
  EXPECT_GE(heap_.footprint_bytes(), base_ + Bytes(80));
}

TEST_F(PageHeapLimitTest, LazyPagesAreNotBacked) {
  Limit(200);
  heap_.set_release_lazily(true);
  Span* const guard = New(8);
  Span* const span = New(150);
  Stamp(span, 1);
  Delete(span);
  heap_.Tick();
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(150));
  EXPECT_EQ(Backed(), 8u);
  ASSERT_NE(New(192, kHugePageSize), nullptr);
  EXPECT_EQ(New(5), nullptr);
  EXPECT_LE(Backed(), 200u);
  Delete(guard);
  heap_.CheckInvariants();
}

TEST_F(PageHeapLimitTest, TheFootprintFollows) {
  EXPECT_EQ(Backed(), 0u);
  Span* const span = New(100);
  EXPECT_EQ(Backed(), 100u);
  EXPECT_TRUE(heap_.ResizeLargeSpan(span, Length(60)));
  EXPECT_EQ(Backed(), 100u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), Bytes(40));
  EXPECT_EQ(Backed(), 60u);
  Delete(span);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), Bytes(60));
  EXPECT_EQ(Backed(), 0u);
}

TEST_F(PageHeapLimitTest, RandomBlocks) {
  constexpr size_t kLimit = 3000;
  Limit(kLimit);
  std::mt19937_64 random(5);
  std::vector<Span*> spans;
  size_t failures = 0;
  for (int step = 0; step < 3000; ++step) {
    const size_t pages = 5 + random() % (step % 50 == 0 ? 1500 : 60);
    if (random() % 100 < 55) {
      Span* const span = New(pages);
      if (span != nullptr) spans.push_back(span);
      failures += span == nullptr;
    } else if (!spans.empty()) {
      std::swap(spans[random() % spans.size()], spans.back());
      if (random() % 2 == 0) {
        heap_.ResizeLargeSpan(spans.back(), Length(pages));
      } else {
        Delete(spans.back());
        spans.pop_back();
      }
    }
    if (step % 100 == 0) system_.FailCall(1 + random() % 20);
    ASSERT_LE(Backed(), kLimit) << step;
    ASSERT_LE(heap_.stats().used, Length(kLimit)) << step;
    heap_.CheckInvariants();
  }
  EXPECT_GT(failures, 10u);
  EXPECT_GT(system_.calls(FakeSystem::kRelease), 10u);
  for (Span* span : spans) Delete(span);
}

}  // namespace
}  // namespace spanmalloc
