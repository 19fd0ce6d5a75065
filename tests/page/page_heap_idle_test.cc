// Giving back what has been idle for a while, for good or lazily.

#include <gtest/gtest.h>

#include <vector>

#include "allocator/os/system_info.h"
#include "tests/support/page_heap_fixture.h"

namespace spanmalloc {
namespace {

constexpr size_t kAll = SIZE_MAX;
constexpr size_t Bytes(size_t pages) { return Length(pages).bytes(); }

class PageHeapIdleTest : public PageHeapTest {
 protected:
  void SetUp() override {
    if (SystemPageSize() > kPageSize) GTEST_SKIP() << "ranges are rounded";
  }
  Span* NewStamped(size_t pages, size_t alignment = kPageSize) {
    Span* const span = New(pages, alignment);
    Stamp(span, ++stamps_);
    return span;
  }
  // `n` huge pages in a row, each a block of its own.
  std::vector<Span*> NewHugePages(size_t n) {
    Span* const all = NewStamped(n * kPagesPerHugePage, kHugePageSize);
    Delete(all);
    heap_.ReleaseAtLeast(kAll);
    std::vector<Span*> spans;
    for (size_t i = 0; i < n; ++i) {
      spans.push_back(NewStamped(kPagesPerHugePage));
      EXPECT_EQ(spans[i]->address(), spans[0]->address() + i * kHugePageSize);
    }
    system_.TakeReleased();
    return spans;
  }
  size_t DirtyPages() const {
    const PageHeapStats stats = heap_.stats();
    return (stats.free - stats.fresh - stats.lazy).pages();
  }
  void Ticks(int n) {
    for (int i = 0; i < n; ++i) heap_.Tick();
  }

  uint64_t stamps_ = 0;
};

TEST_F(PageHeapIdleTest, WaitsForTheAge) {
  Span* const span = NewStamped(100);
  Span* const guard = NewStamped(8);
  Ticks(9);
  EXPECT_EQ(heap_.OldestIdleAge(), 0u);
  EXPECT_EQ(heap_.idle_huge_pages(), 0u);
  Delete(span);
  EXPECT_EQ(heap_.idle_huge_pages(), 1u);
  EXPECT_EQ(heap_.idle_bytes(), Bytes(100));
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 0u);
  Ticks(2);
  EXPECT_EQ(heap_.OldestIdleAge(), 2u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 3), 0u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 2), Bytes(100));
  EXPECT_EQ(heap_.OldestIdleAge(), 0u);
  EXPECT_EQ(heap_.idle_huge_pages(), 0u);
  EXPECT_EQ(heap_.idle_bytes(), 0u);
  heap_.CheckInvariants();
  Delete(guard);
}

TEST_F(PageHeapIdleTest, WhatCameLaterGoesLater) {
  Span* const first = NewStamped(40);
  Span* const same = NewStamped(41);
  Span* const later = NewStamped(42);
  Span* const guard = NewStamped(8);
  Delete(first);
  Delete(same);
  Ticks(1);
  Delete(later);
  heap_.CheckInvariants();
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 2), Bytes(81));
  // From now on the later ones count.
  EXPECT_EQ(heap_.OldestIdleAge(), 0u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 0u);
  Ticks(2);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 2), Bytes(42));
  heap_.CheckInvariants();
  Delete(guard);
}

TEST_F(PageHeapIdleTest, PartsMayHaveToBeOlder) {
  Span* const part = NewStamped(100);
  Span* const guard = NewStamped(8);
  Span* const whole = NewStamped(kPagesPerHugePage, kHugePageSize);
  Delete(part);
  Delete(whole);
  Ticks(3);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 4, 5), 0u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 3, 4), Bytes(kPagesPerHugePage));
  EXPECT_EQ(DirtyPages(), 100u);
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 3, 4), Bytes(100));
  heap_.CheckInvariants();
  Delete(guard);
}

TEST_F(PageHeapIdleTest, WhatWasUsedAgainIsYoung) {
  Span* const span = NewStamped(100);
  Span* const guard = NewStamped(8);
  const uintptr_t start = span->address();
  Delete(span);
  Ticks(5);
  Span* const again = NewStamped(30);
  ASSERT_EQ(again->address(), start);
  EXPECT_EQ(heap_.OldestIdleAge(), 5u);
  Delete(again);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 5), Bytes(70));
  EXPECT_EQ(DirtyPages(), 30u);
  heap_.CheckInvariants();
  Delete(guard);
}

TEST_F(PageHeapIdleTest, WhatIsTakenIsNotIdle) {
  Span* const span = NewStamped(64);
  Span* const guard = NewStamped(8);
  Delete(span);
  Ticks(3);
  Span* const again = NewStamped(64);
  EXPECT_EQ(again, span);
  EXPECT_EQ(heap_.idle_huge_pages(), 0u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), 0u);
  Delete(again);
  EXPECT_EQ(heap_.OldestIdleAge(), 0u);
  Delete(guard);
}

// Not one age for the parts and another one for the whole.
TEST_F(PageHeapIdleTest, WhatIsFreedAtOnceGoesAtOnce) {
  std::vector<Span*> spans = NewHugePages(4);
  Ticks(7);
  for (Span* span : spans) Delete(span);
  Ticks(2);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 3), 0u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 2), Bytes(4 * kPagesPerHugePage));
  EXPECT_EQ(system_.TakeReleased().size(), 1u);
  ExpectJoined();
}

TEST_F(PageHeapIdleTest, AHugePageThatBecomesEmptyIsYoung) {
  Span* const first = NewStamped(128, kHugePageSize);
  Span* const second = NewStamped(128);
  ASSERT_EQ(second->address(), first->address() + Bytes(128));
  Delete(first);
  Ticks(3);
  Delete(second);
  heap_.CheckInvariants();
  EXPECT_EQ(heap_.OldestIdleAge(), 0u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 0u);
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(256));
}

TEST_F(PageHeapIdleTest, OneThatIsNoLongerEmptyStartsAnew) {
  Delete(NewStamped(kPagesPerHugePage, kHugePageSize));
  Ticks(3);
  Span* const guard = NewStamped(8);
  heap_.CheckInvariants();
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 0u);
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(kPagesPerHugePage - 8));
  Delete(guard);
}

TEST_F(PageHeapIdleTest, OnlyNeighboursOldEnoughAreJoined) {
  std::vector<Span*> spans = NewHugePages(5);
  const uintptr_t start = spans[0]->address();
  for (size_t i : {0, 1, 3, 4}) Delete(spans[i]);
  Ticks(1);
  Delete(spans[2]);
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 2), 4 * kHugePageSize);
  const std::vector<FakeSystem::Range> released = system_.TakeReleased();
  ASSERT_EQ(released.size(), 2u);
  EXPECT_EQ(released[0].start, start);
  EXPECT_EQ(released[0].size, 2 * kHugePageSize);
  EXPECT_EQ(released[1].start, start + 3 * kHugePageSize);
  EXPECT_EQ(DirtyPages(), kPagesPerHugePage);
  heap_.CheckInvariants();
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), kHugePageSize);
  ExpectJoined();
}

// From the middle of a stretch, too, it goes in both directions.
TEST_F(PageHeapIdleTest, TheOldestAndItsNeighbours) {
  std::vector<Span*> spans = NewHugePages(5);
  const uintptr_t oldest = spans[2]->address();
  for (size_t i : {2, 0, 4, 1, 3}) {
    Delete(spans[i]);
    Ticks(1);
  }
  EXPECT_EQ(heap_.ReleaseIdle(1, 1), kHugePageSize);
  std::vector<FakeSystem::Range> released = system_.TakeReleased();
  ASSERT_EQ(released.size(), 1u);
  EXPECT_EQ(released[0].start, oldest);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 4 * kHugePageSize);
  EXPECT_EQ(system_.TakeReleased().size(), 2u);
  ExpectJoined();
}

TEST_F(PageHeapIdleTest, ManyHugePagesInFewCalls) {
  constexpr size_t kMany = 100;
  Span* const span = New(kMany * kPagesPerHugePage, kHugePageSize);
  Delete(span);
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), kMany * kHugePageSize);
  EXPECT_EQ(system_.TakeReleased().size(), 4u);
  if (HugePage::kHeaderBytes % SystemPageSize() == 0) {
    EXPECT_EQ(system_.TakeReleasedReserved().size(), 4u);
  }
  ExpectJoined();
}

TEST_F(PageHeapIdleTest, PartsUntilEnough) {
  std::vector<Span*> spans;
  for (int i = 0; i < 20; ++i) spans.push_back(NewStamped(8));
  for (size_t i = 0; i < 20; i += 2) Delete(spans[i]);
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(Bytes(9), 1), Bytes(16));
  heap_.CheckInvariants();
  EXPECT_EQ(heap_.OldestIdleAge(), 1u) << "the rest is as old as before";
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(64));
  for (size_t i = 1; i < 20; i += 2) EXPECT_TRUE(HasStamp(spans[i], i + 1));
}

// ---- What the system refuses

TEST_F(PageHeapIdleTest, RefusedIsLeftAloneUntilPagesArePutThere) {
  Span* const span = NewStamped(8, kHugePageSize);
  Delete(span);  // An empty huge page, most of which is fresh.
  const PageHeapStats before = heap_.stats();
  Ticks(1);
  system_.Deny(FakeSystem::kRelease);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 0u);
  heap_.CheckInvariants();
  EXPECT_EQ(heap_.stats().fresh, before.fresh) << "fresh pages became dirty";
  EXPECT_EQ(heap_.stats().free, before.free);
  EXPECT_EQ(heap_.idle_huge_pages(), 0u);
  EXPECT_EQ(heap_.idle_bytes(), 0u);
  const size_t calls = system_.calls(FakeSystem::kRelease);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 0u);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), 0u);
  EXPECT_EQ(system_.calls(FakeSystem::kRelease), calls) << "tried again";
  system_.Deny(FakeSystem::kRelease, false);
  Span* const again = NewStamped(16, kHugePageSize);
  EXPECT_EQ(again, span);
  Delete(again);
  EXPECT_EQ(heap_.idle_bytes(), Bytes(16));
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(16));
  ExpectJoined();
}

TEST_F(PageHeapIdleTest, RefusedPagesCanBeUsed) {
  std::vector<Span*> spans;
  for (int i = 0; i < 10; ++i) spans.push_back(NewStamped(8));
  for (size_t i = 0; i < 10; i += 2) Delete(spans[i]);
  system_.Deny(FakeSystem::kRelease);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), 0u);
  EXPECT_EQ(DirtyPages(), 40u);
  for (int i = 0; i < 5; ++i) {
    NewStamped(8);
    heap_.CheckInvariants();
    EXPECT_EQ(heap_.idle_bytes(), 0u);
  }
  EXPECT_EQ(DirtyPages(), 0u);
}

TEST_F(PageHeapIdleTest, OneOfManyNeighboursIsRefused) {
  std::vector<Span*> spans = NewHugePages(4);
  const uintptr_t first = spans[0]->address(), last = spans[3]->address();
  for (Span* span : spans) Delete(span);
  system_.FailCalls(1, 2);  // All four, then the first one.
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), 3 * kHugePageSize);
  EXPECT_EQ(DirtyPages(), kPagesPerHugePage);
  EXPECT_EQ(heap_.idle_bytes(), 0u);
  heap_.CheckInvariants();
  const PageMap& pagemap = heap_.pagemap();
  EXPECT_TRUE(pagemap.HugePageOf(first)->has_dirty());
  EXPECT_FALSE(pagemap.HugePageOf(last)->has_dirty());
}

// ---- Lazily

TEST_F(PageHeapIdleTest, LazyPagesAreNeitherFreshNorTriedAgain) {
  heap_.set_release_lazily(true);
  Span* const span = NewStamped(100);
  Span* const guard = NewStamped(8);
  Delete(span);
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(100));
  EXPECT_EQ(system_.calls(FakeSystem::kRelease), 0u);
  EXPECT_EQ(system_.TakeLazilyReleased().size(), 1u);
  heap_.CheckInvariants();
  PageHeapStats stats = heap_.stats();
  EXPECT_EQ(stats.lazy, Length(100));
  EXPECT_EQ(stats.lazily_released_bytes, Bytes(100));
  EXPECT_EQ(stats.released_bytes, 0u);
  EXPECT_EQ(heap_.idle_bytes(), 0u);
  EXPECT_EQ(heap_.idle_huge_pages(), 0u);
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 0u);
  // Used again, they may hold anything.
  bool zeroed = true;
  Span* const again = New(60, kPageSize, &zeroed);
  EXPECT_EQ(again, span);
  EXPECT_FALSE(zeroed);
  EXPECT_EQ(heap_.stats().lazy, Length(40));
  heap_.CheckInvariants();
  // A request for everything releases what is left of them.
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), Bytes(40));
  stats = heap_.stats();
  EXPECT_EQ(stats.lazy, Length(0));
  EXPECT_EQ(stats.fresh, stats.free);
  EXPECT_EQ(stats.released_bytes, Bytes(40));
  heap_.CheckInvariants();
  Delete(again);
  Delete(guard);
}

TEST_F(PageHeapIdleTest, LazyHugePages) {
  heap_.set_release_lazily(true);
  std::vector<Span*> spans = NewHugePages(3);
  for (Span* span : spans) Delete(span);
  const size_t footprint = heap_.footprint_bytes();
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 3 * kHugePageSize);
  EXPECT_EQ(system_.TakeLazilyReleased().size(), 1u);
  EXPECT_EQ(heap_.footprint_bytes(), footprint - 3 * kHugePageSize);
  heap_.CheckInvariants();
  // Some are used and become dirty again; both kinds are released together.
  Delete(NewStamped(100, kHugePageSize));
  heap_.CheckInvariants();
  EXPECT_EQ(heap_.stats().lazy, Length(3 * kPagesPerHugePage - 100));
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), Bytes(100));
  EXPECT_EQ(heap_.stats().lazy, Length(3 * kPagesPerHugePage));
  EXPECT_EQ(heap_.stats().lazily_released_bytes,
            3 * kHugePageSize + Bytes(100));
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), 3 * kHugePageSize);
  EXPECT_EQ(system_.TakeReleased().size(), 1u);
  EXPECT_EQ(heap_.stats().lazy, Length(0));
  ExpectJoined();
}

TEST_F(PageHeapIdleTest, RefusedLazyPagesStayLazy) {
  heap_.set_release_lazily(true);
  Delete(NewStamped(kPagesPerHugePage, kHugePageSize));
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), kHugePageSize);
  system_.Deny(FakeSystem::kRelease);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), 0u);
  heap_.CheckInvariants();
  EXPECT_EQ(heap_.stats().lazy, Length(kPagesPerHugePage));
  EXPECT_EQ(DirtyPages(), 0u);
  const size_t calls = system_.calls();
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), 0u);
  EXPECT_EQ(system_.calls(), calls) << "tried again";
}

TEST_F(PageHeapIdleTest, ASystemThatIsNotLazyReleases) {
  heap_.set_release_lazily(true);
  system_.Deny(FakeSystem::kReleaseLazily);
  std::vector<Span*> spans = NewHugePages(2);
  const size_t released = heap_.stats().released_bytes;
  Delete(spans[0]);
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), kHugePageSize);
  EXPECT_EQ(heap_.stats().lazy, Length(0));
  EXPECT_EQ(heap_.stats().released_bytes, released + kHugePageSize);
  EXPECT_EQ(heap_.stats().fresh, heap_.stats().free);
  Delete(spans[1]);
  Ticks(1);
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), kHugePageSize);
  EXPECT_EQ(system_.calls(FakeSystem::kReleaseLazily), 1u) << "asked again";
  ExpectJoined();
}

}  // namespace
}  // namespace spanmalloc
