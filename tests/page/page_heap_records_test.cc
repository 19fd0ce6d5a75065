// The records of the spans of an empty huge page are released with it.

#include <gtest/gtest.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "allocator/os/system_info.h"
#include "tests/support/page_heap_fixture.h"

namespace spanmalloc {
namespace {

constexpr size_t kAll = SIZE_MAX;
constexpr size_t kHeaderBytes = HugePage::kHeaderBytes;
constexpr size_t kRecordBytes = HugePage::kSpanRecordBytes;
constexpr size_t kWords = 16;  // Of the bitmaps in use.

class PageHeapRecordsTest : public PageHeapTest {
 protected:
  void SetUp() override {
    if (kHeaderBytes % SystemPageSize() != 0) {
      GTEST_SKIP() << "headers of several huge pages share a page";
    }
  }
  // `n` neighbours, empty, their records touched. Returns the first's address.
  uintptr_t Touch(size_t n) {
    Span* const all = New(n * kPagesPerHugePage, kHugePageSize);
    const uintptr_t first = all->address();
    Delete(all);
    std::vector<Span*> spans;
    for (size_t i = 0; i < n * kSmallSpansPerHugePage; ++i) {
      spans.push_back(heap_.NewSmallSpan(1, kWords));
      memset(spans.back()->free_bits, 0xff, kWords * sizeof(uint64_t));
      Stamp(spans.back(), i);
    }
    EXPECT_EQ(spans[0]->address(), first);
    EXPECT_EQ(spans.back()->address(),
              first + n * kHugePageSize - kSmallSpanSize);
    for (Span* span : spans) heap_.DeleteSmallSpan(span, kWords);
    system_.TakeReleased();
    system_.TakeReleasedReserved();
    return first;
  }
  uintptr_t HeadersOf(uintptr_t huge_page) const {
    return reinterpret_cast<uintptr_t>(heap_.pagemap().HeaderOf(huge_page));
  }
  uintptr_t RecordsOf(uintptr_t huge_page) const {
    return HeadersOf(huge_page) - HugePage::kBitmapBytes;
  }
  size_t ResidentBytes(uintptr_t huge_page) const {
    const size_t page = SystemPageSize();
    std::vector<unsigned char> resident(kRecordBytes / page);
    EXPECT_EQ(mincore(reinterpret_cast<void*>(RecordsOf(huge_page)),
                      kRecordBytes, resident.data()),
              0);
    return page * static_cast<size_t>(std::count_if(
                      resident.begin(), resident.end(),
                      [](unsigned char page) { return (page & 1) != 0; }));
  }
  bool AreResident(uintptr_t huge_page) const {
    return ResidentBytes(huge_page) != 0;
  }
  void ExpectUsable(uintptr_t first, size_t huge_pages) {
    heap_.CheckInvariants();
    for (size_t at = 0; at < huge_pages * kHugePageSize; at += kPageSize) {
      ASSERT_EQ(heap_.FindLargeSpan(first + at), nullptr);
    }
    Span* const large = New(huge_pages * kPagesPerHugePage, kHugePageSize);
    EXPECT_EQ(large->address(), first);
    EXPECT_EQ(heap_.FindLargeSpan(first), large);
    Stamp(large, 7);
    EXPECT_TRUE(HasStamp(large, 7));
    Delete(large);
    EXPECT_EQ(Touch(huge_pages), first);
    heap_.CheckInvariants();
    ExpectJoined();
  }
};

TEST_F(PageHeapRecordsTest, NeighboursInOneCall) {
  const uintptr_t first = Touch(8);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(HeadersOf(first + i * kHugePageSize) % SystemPageSize(), 0u);
    // Bitmaps lie close together.
    EXPECT_EQ(ResidentBytes(first + i * kHugePageSize),
              kHeaderBytes + kSmallSpansPerHugePage * kWords * sizeof(uint64_t))
        << i;
  }
  EXPECT_EQ(heap_.ReleaseAtLeast(kAll), 8 * kHugePageSize);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_FALSE(AreResident(first + i * kHugePageSize)) << i;
  }
  const std::vector<FakeSystem::Range> released =
      system_.TakeReleasedReserved();
  ASSERT_EQ(released.size(), 1u);
  EXPECT_EQ(released[0].start, RecordsOf(first));
  EXPECT_EQ(released[0].size, 8 * kRecordBytes);
  ExpectUsable(first, 8);
}

TEST_F(PageHeapRecordsTest, ThoseOfUsedHugePagesStay) {
  const uintptr_t first = Touch(5);
  Span* const before = New(kPagesPerHugePage * 2, kHugePageSize);
  Span* const guard = New(8);
  ASSERT_EQ(guard->address(), first + 2 * kHugePageSize);
  Stamp(guard, 3);
  Delete(before);
  heap_.ReleaseAtLeast(kAll);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(AreResident(first + i * kHugePageSize), i == 2) << i;
  }
  EXPECT_EQ(system_.TakeReleasedReserved().size(), 2u);
  EXPECT_EQ(heap_.FindLargeSpan(guard->address()), guard);
  EXPECT_EQ(guard->length(), Length(8));
  EXPECT_TRUE(HasStamp(guard, 3));
  Delete(guard);
  ExpectUsable(first, 5);
}

TEST_F(PageHeapRecordsTest, OfRegionsApart) {
  const uintptr_t first = Touch(1);
  Span* const fills = New(heap_.stats().free.pages(),
                          kHugePageSize);  // So that another must come.
  ASSERT_NE(fills, nullptr);
  const size_t regions = system_.calls(FakeSystem::kMap);
  Span* const next = New(3 * kPagesPerHugePage, kHugePageSize);
  ASSERT_GT(system_.calls(FakeSystem::kMap), regions);
  const uintptr_t last = next->address();
  ASSERT_NE(RecordsOf(last), RecordsOf(last - kHugePageSize) + kRecordBytes);
  Delete(fills);
  Delete(next);
  heap_.ReleaseAtLeast(kAll);
  EXPECT_EQ(system_.TakeReleasedReserved().size(), 2u);
  EXPECT_FALSE(AreResident(first));
  EXPECT_FALSE(AreResident(last));
  // The trackers that lie between are as they were.
  heap_.CheckInvariants();
  ExpectJoined();
}

TEST_F(PageHeapRecordsTest, StayWithWhatIsReleasedLazily) {
  heap_.set_release_lazily(true);
  const uintptr_t first = Touch(2);
  heap_.Tick();
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 1), 2 * kHugePageSize);
  EXPECT_TRUE(system_.TakeReleasedReserved().empty());
  EXPECT_TRUE(AreResident(first));
  EXPECT_EQ(heap_.ReleaseIdle(kAll, 0), 2 * kHugePageSize);
  EXPECT_EQ(system_.TakeReleasedReserved().size(), 1u);
  ExpectUsable(first, 2);
}

TEST_F(PageHeapRecordsTest, StayWithWhatIsRefused) {
  const uintptr_t first = Touch(4);
  system_.FailCalls(1, 2);  // All four, then the first one.
  EXPECT_EQ(heap_.ReleaseAtLeast(kAll), 3 * kHugePageSize);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(AreResident(first + i * kHugePageSize), i == 0) << i;
  }
  ExpectUsable(first, 4);
}

TEST_F(PageHeapRecordsTest, RefusalDoesNotMatter) {
  const uintptr_t first = Touch(4);
  system_.FailCall(2);
  EXPECT_EQ(heap_.ReleaseAtLeast(kAll), 4 * kHugePageSize);
  EXPECT_TRUE(AreResident(first));
  EXPECT_EQ(heap_.stats().fresh, heap_.stats().free);
  ExpectUsable(first, 4);
}

// Whatever a wild pointer finds while headers go, it is no block.
TEST_F(PageHeapRecordsTest, LookUpsGoOnMeanwhile) {
  const uintptr_t first = Touch(4);
  std::atomic<bool> done{false};
  std::thread looks([&] {
    while (!done.load()) {
      for (size_t i = 0; i < 4; ++i) {
        // No block of below begins there.
        const uintptr_t p = first + i * kHugePageSize + 100 * kPageSize;
        ASSERT_EQ(heap_.FindLargeSpan(p), nullptr);
        ASSERT_EQ(heap_.FindLargeSpan(p + 1), nullptr);
      }
    }
  });
  for (int round = 0; round < 100; ++round) {
    for (size_t i = 0; i < 4; ++i) {
      Span* const span = New(kPagesPerHugePage, kHugePageSize);
      Stamp(span, i);
      Delete(span);
    }
    heap_.ReleaseAtLeast(kAll);
  }
  done = true;
  looks.join();
  ExpectUsable(first, 4);
}

}  // namespace
}  // namespace spanmalloc
