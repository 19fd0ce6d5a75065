// Spans from the page heap: where they lie, what they hold, and how they
// change. Failure, random steps and threads have files of their own.

#include "allocator/page/page_heap.h"

#include <gtest/gtest.h>

#include <vector>

#include "allocator/os/system_info.h"
#include "tests/support/page_heap_fixture.h"

namespace spanmalloc {
namespace {

// ---- The first region

TEST_F(PageHeapTest, NothingBeforeTheFirstSpan) {
  EXPECT_EQ(system_.calls(), 0u);
  EXPECT_EQ(heap_.FindLargeSpan(0), nullptr);
  EXPECT_FALSE(heap_.DeleteLargeSpan(kHugePageSize));
  EXPECT_EQ(heap_.ReleaseAtLeast(SIZE_MAX), 0u);
  heap_.CheckInvariants();
}

TEST_F(PageHeapTest, PrepareGetsARegionAndTheClassMapOnce) {
  heap_.Prepare();
  EXPECT_EQ(heap_.stats().mapped.bytes(), size_t{4} << 20);
  EXPECT_EQ(heap_.stats().fresh, heap_.stats().mapped);
  EXPECT_EQ(heap_.class_map().map_bytes(), kWindow / kSmallSpanSize);
  const size_t calls = system_.calls();
  heap_.Prepare();
  EXPECT_EQ(system_.calls(), calls);
  heap_.CheckInvariants();
}

TEST_F(PageHeapTest, PrepareWithoutMemory) {
  system_.FailFrom(1);
  heap_.Prepare();
  EXPECT_EQ(heap_.stats().mapped, Length(0));
  heap_.CheckInvariants();
  system_.FailNothing();
  EXPECT_NE(heap_.NewSmallSpan(1), nullptr);
}

// ---- Small spans

TEST_F(PageHeapTest, SmallSpansAreAlignedAndKnown) {
  Span* const span = heap_.NewSmallSpan(17);
  ASSERT_NE(span, nullptr);
  EXPECT_EQ(span->state(), SpanState::kSmall);
  EXPECT_EQ(span->length().bytes(), kSmallSpanSize);
  EXPECT_EQ(span->address() % kSmallSpanSize, 0u);
  for (size_t offset : {size_t{0}, kPageSize + 1, kSmallSpanSize - 1}) {
    EXPECT_EQ(heap_.pagemap().SmallSpanOf(span->address() + offset), span);
    EXPECT_EQ(heap_.class_map().Get(span->address() + offset), 17u);
  }
  EXPECT_EQ(heap_.FindLargeSpan(span->address()), nullptr);
  EXPECT_FALSE(heap_.DeleteLargeSpan(span->address()));
  const uintptr_t address = span->address();
  heap_.DeleteSmallSpan(span);
  EXPECT_EQ(heap_.class_map().Get(address), 0u);
  EXPECT_EQ(span->state(), SpanState::kUnused);
  ExpectJoined();
}

TEST_F(PageHeapTest, SmallSpansFillHugePagesOneByOne) {
  std::vector<Span*> spans;
  for (size_t i = 0; i < 4 * kSmallSpansPerHugePage; ++i) {
    spans.push_back(heap_.NewSmallSpan(1));
    ASSERT_NE(spans.back(), nullptr);
    EXPECT_EQ(spans.back()->first_page().huge_page_address(),
              spans[i - i % kSmallSpansPerHugePage]->address());
  }
  heap_.CheckInvariants();
  for (Span* span : spans) heap_.DeleteSmallSpan(span);
  ExpectJoined();
}

// ---- Large blocks

TEST_F(PageHeapTest, EveryAlignment) {
  std::vector<Span*> spans;
  for (size_t alignment = 1; alignment <= (8 << 20); alignment *= 2) {
    for (size_t pages : {5, 7, 8, 100, 255, 256, 257, 1000}) {
      // One page or a few between, so that not all is aligned by chance.
      Span* const span = New(pages, alignment);
      ASSERT_NE(span, nullptr) << pages << " aligned to " << alignment;
      spans.push_back(span);
      spans.push_back(New(5));
      Stamp(spans.back(), spans.size());
    }
    heap_.CheckInvariants();
  }
  for (Span* span : spans) Delete(span);
  ExpectJoined();
}

TEST_F(PageHeapTest, BlocksAreFoundByTheirStartOnly) {
  Span* const span = New(300);
  const uintptr_t start = span->address();
  EXPECT_EQ(heap_.FindLargeSpan(start), span);
  for (uintptr_t wrong :
       {uintptr_t{0}, start - 1, start + 1, start + 8, start + kPageSize,
        start + 4 * kPageSize, start + kHugePageSize, start + 300 * kPageSize,
        UINTPTR_MAX}) {
    EXPECT_EQ(heap_.FindLargeSpan(wrong), nullptr) << wrong - start;
    EXPECT_FALSE(heap_.DeleteLargeSpan(wrong)) << wrong - start;
  }
  EXPECT_TRUE(heap_.DeleteLargeSpan(start));
  EXPECT_EQ(heap_.FindLargeSpan(start), nullptr);
  EXPECT_FALSE(heap_.DeleteLargeSpan(start)) << "freed twice";
  ExpectJoined();
}

// The header of a block may be in the group in which the one before it ends.
TEST_F(PageHeapTest, ShortBlocksSideBySide) {
  std::vector<Span*> spans;
  for (int i = 0; i < 200; ++i) {
    spans.push_back(New(5 + i % 3));
    Stamp(spans.back(), i);
  }
  for (size_t i = 0; i < spans.size(); ++i) EXPECT_TRUE(HasStamp(spans[i], i));
  for (size_t i = 0; i < spans.size(); i += 2) Delete(spans[i]);
  heap_.CheckInvariants();
  for (size_t i = 1; i < spans.size(); i += 2) {
    EXPECT_TRUE(HasStamp(spans[i], i));
    Delete(spans[i]);
  }
  ExpectJoined();
}

// Two blocks of 90 pages fit in a huge page; a third one begins there too.
TEST_F(PageHeapTest, AwkwardBlocksStraddleHugePages) {
  std::vector<Span*> spans;
  for (int i = 0; i < 28; ++i) {
    spans.push_back(New(90));
    Stamp(spans.back(), i);
    heap_.CheckInvariants();
  }
  EXPECT_LT(heap_.stats().mapped, Length(14 * kPagesPerHugePage));
  for (size_t i = 0; i < spans.size(); ++i) {
    EXPECT_TRUE(HasStamp(spans[i], i));
    Delete(spans[i]);
  }
  ExpectJoined();
}

TEST_F(PageHeapTest, ZeroedIsTrueOnlyForWhatWasNeverUsed) {
  bool zeroed = false;
  Span* const first = New(20, kPageSize, &zeroed);
  EXPECT_TRUE(zeroed);
  Span* const guard = New(5, kPageSize, &zeroed);
  EXPECT_TRUE(zeroed);
  Stamp(first, 1);
  Delete(first);
  // Fits best where it was.
  Span* const again = New(20, kPageSize, &zeroed);
  EXPECT_EQ(again, first);
  EXPECT_FALSE(zeroed);
  // One dirty page is enough.
  Delete(guard);
  Span* const mixed = New(100, kPageSize, &zeroed);
  EXPECT_EQ(mixed->address(), again->address() + 20 * kPageSize);
  EXPECT_FALSE(zeroed);
  Span* const fresh = New(100, kPageSize, &zeroed);
  EXPECT_TRUE(zeroed);
  for (Span* span : {again, mixed, fresh}) Delete(span);
}

TEST_F(PageHeapTest, TooLargeIsNull) {
  for (size_t pages : {size_t{1} << 31, size_t{UINT32_MAX},
                       size_t{UINT32_MAX} + 1, SIZE_MAX >> kPageShift}) {
    EXPECT_EQ(heap_.NewLargeSpan(Length(pages), kPageSize), nullptr);
  }
  EXPECT_EQ(heap_.NewLargeSpan(Length(5), size_t{1} << 62), nullptr);
  EXPECT_EQ(heap_.NewLargeSpan(Length(5), size_t{1} << 63), nullptr);
  Span* const span = New(5);
  EXPECT_FALSE(heap_.ResizeLargeSpan(span, Length(UINT32_MAX)));
  EXPECT_FALSE(heap_.ResizeLargeSpan(span, Length(size_t{UINT32_MAX} + 1)));
  EXPECT_EQ(span->length(), Length(5));
  Delete(span);
  ExpectJoined();
}

// ---- Resizing

TEST_F(PageHeapTest, ShrinksInPlace) {
  struct {
    size_t from, to;
  } const kCases[] = {{5, 5},     {6, 5},     {100, 7}, {256, 255},
                      {600, 512}, {600, 300}, {1000, 5}};
  for (const auto& c : kCases) {
    Span* const span = New(c.from);
    Stamp(span, 3);
    ASSERT_TRUE(heap_.ResizeLargeSpan(span, Length(c.to)));
    EXPECT_EQ(span->length(), Length(c.to));
    EXPECT_TRUE(HasStamp(span, 3));
    EXPECT_EQ(heap_.stats().used, Length(c.to));
    heap_.CheckInvariants();
    Delete(span);
  }
  ExpectJoined();
}

TEST_F(PageHeapTest, GrowsIntoWhatIsFreeBehind) {
  struct {
    size_t from, to;
  } const kCases[] = {{5, 6},     {5, 256},   {5, 257},   {256, 300},
                      {256, 512}, {300, 512}, {300, 513}, {300, 1000}};
  for (const auto& c : kCases) {
    Delete(New(1024));  // Room, all of it dirty.
    Span* const span = New(c.from, kHugePageSize);
    Stamp(span, 4);
    const Length used = heap_.stats().used;
    ASSERT_TRUE(heap_.ResizeLargeSpan(span, Length(c.to))) << c.to;
    EXPECT_EQ(span->length(), Length(c.to));
    EXPECT_TRUE(HasStamp(span, 4, Length(c.from)));
    EXPECT_EQ(heap_.stats().used, used + Length(c.to - c.from));
    heap_.CheckInvariants();
    Stamp(span, 5);
    Delete(span);
    ExpectJoined();
  }
}

TEST_F(PageHeapTest, DoesNotGrowIntoOthers) {
  Span* const span = New(20);
  Span* const other = New(5);
  ASSERT_EQ(other->address(), span->address() + span->length().bytes());
  EXPECT_FALSE(heap_.ResizeLargeSpan(span, Length(21)));
  EXPECT_FALSE(heap_.ResizeLargeSpan(span, Length(600)));
  EXPECT_EQ(span->length(), Length(20));
  heap_.CheckInvariants();
  // With a gap, exactly into the gap.
  Delete(span);
  Span* const shorter = New(15);
  ASSERT_EQ(shorter, span);
  EXPECT_FALSE(heap_.ResizeLargeSpan(shorter, Length(21)));
  EXPECT_TRUE(heap_.ResizeLargeSpan(shorter, Length(20)));
  heap_.CheckInvariants();
  Delete(shorter);
  Delete(other);
  ExpectJoined();
}

TEST_F(PageHeapTest, GrowsWithTheHeap) {
  if (PreferredHeapAddress() == 0) GTEST_SKIP() << "regions do not adjoin";
  Span* const span = New(512);
  Stamp(span, 6);
  for (size_t pages = 1024; pages <= 8192; pages *= 2) {
    ASSERT_TRUE(heap_.ResizeLargeSpan(span, Length(pages)));
    heap_.CheckInvariants();
  }
  EXPECT_TRUE(HasStamp(span, 6, Length(512)));
  Delete(span);
  ExpectJoined();
}

TEST_F(PageHeapTest, DoesNotGrowTheHeapWhereABlockCouldMove) {
  if (PreferredHeapAddress() == 0) GTEST_SKIP() << "regions do not adjoin";
  constexpr size_t kRoom = 64 * kPagesPerHugePage;
  Span* const room = New(kRoom, kHugePageSize);
  Span* const last = New(kPagesPerHugePage, kHugePageSize);
  // Up to the end of what is mapped.
  const Length rest = heap_.stats().free;
  ASSERT_TRUE(heap_.ResizeLargeSpan(last, last->length() + rest));
  ASSERT_EQ(heap_.stats().free, Length(0));
  ASSERT_LT(last->length(), Length(kRoom));
  Delete(room);
  const Length mapped = heap_.stats().mapped;
  EXPECT_FALSE(heap_.ResizeLargeSpan(last, Length(kRoom)));
  EXPECT_EQ(heap_.stats().mapped, mapped);
  // Room that is too short for the whole block is none.
  EXPECT_TRUE(heap_.ResizeLargeSpan(last, Length(kRoom + 1)));
  EXPECT_GT(heap_.stats().mapped, mapped);
  heap_.CheckInvariants();
  Delete(last);
  ExpectJoined();
}

// ---- Moving

TEST_F(PageHeapTest, MoveKeepsTheContents) {
  // With and without a rest behind the last whole huge page.
  for (size_t pages : {1024, 1025, 1500}) {
    Span* const span = New(pages);
    Stamp(span, 7);
    const uintptr_t start = span->address();
    Span* const moved = heap_.MoveLargeSpan(span, Length(2 * pages));
    ASSERT_NE(moved, nullptr);
    EXPECT_NE(moved->address(), start);
    EXPECT_EQ(moved->length(), Length(2 * pages));
    EXPECT_TRUE(HasStamp(moved, 7, Length(pages)));
    EXPECT_EQ(heap_.FindLargeSpan(start), nullptr);
    EXPECT_EQ(heap_.stats().used, Length(2 * pages));
    EXPECT_EQ(heap_.stats().large_count, 1u);
    heap_.CheckInvariants();
    Stamp(moved, 8);
    Delete(moved);
    ExpectJoined();
  }
}

TEST_F(PageHeapTest, WhatWasMovedAwayIsFresh) {
  Span* const span = New(1100);
  Stamp(span, 9);
  const uintptr_t start = span->address();
  Span* const moved = heap_.MoveLargeSpan(span, Length(2048));
  DirtyPages dirty;
  Span* const again = heap_.NewLargeSpan(Length(1100), kPageSize, &dirty);
  EXPECT_EQ(again->address(), start);
  // Only the part of a huge page at the end was copied.
  ASSERT_EQ(dirty.end() - dirty.begin(), 1);
  EXPECT_EQ(dirty.begin()->first, again->first_page() + Length(1024));
  EXPECT_EQ(dirty.begin()->length, Length(1100 - 1024));
  Delete(again);
  Delete(moved);
}

TEST_F(PageHeapTest, AMoveThatFailsChangesNothing) {
  Span* const small = New(1023);
  EXPECT_EQ(heap_.MoveLargeSpan(small, Length(2000)), nullptr)
      << "not worth moving";
  Delete(small);
  Span* const span = New(1100);
  Stamp(span, 10);
  system_.Deny(FakeSystem::kMove);
  const PageHeapStats before = heap_.stats();
  EXPECT_EQ(heap_.MoveLargeSpan(span, Length(2000)), nullptr);
  EXPECT_EQ(heap_.FindLargeSpan(span->address()), span);
  EXPECT_EQ(span->length(), Length(1100));
  EXPECT_TRUE(HasStamp(span, 10));
  EXPECT_EQ(heap_.stats().used, before.used);
  EXPECT_EQ(heap_.stats().large_count, before.large_count);
  heap_.CheckInvariants();
  Delete(span);
  ExpectJoined();
}

// A system that can't move, or will not any more, is not asked again.
TEST_F(PageHeapTest, AMoveThatFailsIsTheLast) {
  Span* const span = New(1024);
  system_.Deny(FakeSystem::kMove);
  EXPECT_EQ(heap_.MoveLargeSpan(span, Length(1025)), nullptr);
  const size_t calls = system_.calls(FakeSystem::kMove);
  EXPECT_NE(calls, 0u);
  EXPECT_EQ(heap_.MoveLargeSpan(span, Length(1025)), nullptr);
  EXPECT_EQ(system_.calls(FakeSystem::kMove), calls);
  Delete(span);
}

// ---- Other

// New spans take memory that the system backs already before they touch fresh
// pages, also where those lie in a huge page that is fuller.
TEST_F(PageHeapTest, SmallSpansGoWhereMemoryIsBacked) {
  std::vector<Span*> spans;
  for (size_t i = 0; i < 3 * kSmallSpansPerHugePage + 4; ++i) {
    spans.push_back(heap_.NewSmallSpan(1));
    ASSERT_NE(spans.back(), nullptr);
  }
  const Length fresh = heap_.stats().fresh;
  // All but the four in the last huge page, which is otherwise fresh.
  for (size_t i = 0; i < 3 * kSmallSpansPerHugePage; ++i) {
    heap_.DeleteSmallSpan(spans[i]);
  }
  for (size_t i = 0; i < 3 * kSmallSpansPerHugePage; ++i) {
    spans[i] = heap_.NewSmallSpan(1);
    ASSERT_EQ(heap_.stats().fresh, fresh) << "span " << i;
  }
  spans.push_back(heap_.NewSmallSpan(1));
  EXPECT_EQ(heap_.stats().fresh, fresh - Length(kPagesPerSmallSpan));
  for (Span* span : spans) heap_.DeleteSmallSpan(span);
  ExpectJoined();
}

TEST_F(PageHeapTest, DirtyPagesAreThoseThatWereUsedBefore) {
  Span* const first = New(20);
  Span* const second = New(10);
  Span* const guard = New(5);
  const PageId start = first->first_page();
  Delete(first);
  Delete(second);
  Delete(guard);
  DirtyPages dirty;
  Span* const span = heap_.NewLargeSpan(Length(100), kPageSize, &dirty);
  ASSERT_EQ(span->first_page(), start);
  ASSERT_EQ(dirty.end() - dirty.begin(), 1);
  EXPECT_EQ(dirty.begin()->first, start);
  EXPECT_EQ(dirty.begin()->length, Length(35));
  Delete(span);
}

TEST_F(PageHeapTest, ClearMakesDirtyPagesReadAsZero) {
  // Small enough to be cleared by hand, large enough to be released, released
  // in vain.
  constexpr FakeSystem::Call kRelease = FakeSystem::kRelease;
  for (const size_t pages : {300u, 10000u}) {
    for (const bool refused : {false, true}) {
      Span* const old = New(pages);
      Stamp(old, 11);
      Delete(old);
      const size_t calls = system_.calls(kRelease);
      system_.Deny(kRelease, refused);
      DirtyPages dirty;
      Span* const span = heap_.NewLargeSpan(Length(pages), kPageSize, &dirty);
      EXPECT_FALSE(dirty.empty());
      heap_.Clear(Length(pages), dirty);
      EXPECT_TRUE(IsZero(span));
      EXPECT_EQ(system_.calls(kRelease) - calls, pages == 300 ? 0u : 1u);
      Delete(span);
    }
  }
}

TEST_F(PageHeapTest, StatsFollowEachStep) {
  Span* const small = heap_.NewSmallSpan(1);
  Span* const large = New(600);
  PageHeapStats stats = heap_.stats();
  EXPECT_EQ(stats.used, Length(608));
  EXPECT_EQ(stats.mapped, stats.used + stats.free);
  EXPECT_EQ(stats.fresh, stats.free);
  EXPECT_EQ(stats.large, Length(600));
  EXPECT_EQ(stats.large_count, 1u);
  // A block that changes in place stays the same block.
  for (size_t pages : {300, 601, 600}) {
    ASSERT_TRUE(heap_.ResizeLargeSpan(large, Length(pages)));
    stats = heap_.stats();
    EXPECT_EQ(stats.large, Length(pages));
    EXPECT_EQ(stats.large_allocations, 1u);
    EXPECT_EQ(stats.large_frees, 0u);
  }
  heap_.DeleteSmallSpan(small);
  Delete(large);
  stats = heap_.stats();
  EXPECT_EQ(stats.used, Length(0));
  EXPECT_EQ(stats.fresh, stats.free - Length(609));
  EXPECT_EQ(stats.large_count, 0u);
  EXPECT_EQ(stats.large_allocations, 1u);
  EXPECT_EQ(stats.large_frees, 1u);
}

TEST_F(PageHeapTest, HugePagesAreAskedForFromTheThresholdOn) {
  heap_.Configure(kWindow, 8 << 20);
  std::vector<Span*> spans;
  spans.push_back(New(1024));  // 8 MiB exactly: not more than the threshold.
  EXPECT_EQ(system_.calls(FakeSystem::kAdviseHuge), 0u);
  spans.push_back(New(1024));
  EXPECT_EQ(system_.calls(FakeSystem::kAdviseHuge),
            TransparentHugePages() == HugePageMode::kMadvise ? 1u : 0u);
  for (Span* span : spans) Delete(span);
}

}  // namespace
}  // namespace spanmalloc
