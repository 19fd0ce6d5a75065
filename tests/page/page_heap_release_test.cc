// Giving free memory back to the system.

#include <gtest/gtest.h>

#include <vector>

#include "allocator/os/system_info.h"
#include "tests/support/page_heap_fixture.h"

namespace spanmalloc {
namespace {

class PageHeapReleaseTest : public PageHeapTest {
 protected:
  Span* NewStamped(size_t pages, uint64_t stamp) {
    Span* const span = New(pages);
    Stamp(span, stamp);
    return span;
  }
  size_t DirtyBytes() const {
    return (heap_.stats().free - heap_.stats().fresh).bytes();
  }
  // Blocks of 8 pages with holes of 8 pages between them.
  std::vector<Span*> MakeHoles(size_t holes) {
    std::vector<Span*> spans, kept;
    for (size_t i = 0; i < 2 * holes; ++i) spans.push_back(NewStamped(8, i));
    for (size_t i = 0; i < 2 * holes; ++i) {
      if (i % 2 == 0) {
        kept.push_back(spans[i]);
      } else {
        Delete(spans[i]);
      }
    }
    return kept;
  }
};

TEST_F(PageHeapReleaseTest, NothingToRelease) {
  Span* const span = NewStamped(100, 1);
  EXPECT_EQ(heap_.ReleaseAtLeast(SIZE_MAX), 0u);
  EXPECT_EQ(system_.calls(FakeSystem::kRelease), 0u) << "all free is fresh";
  Delete(span);
  EXPECT_EQ(heap_.ReleaseAtLeast(0), 0u);
  EXPECT_EQ(system_.calls(FakeSystem::kRelease), 0u);
}

TEST_F(PageHeapReleaseTest, ReleasedPagesAreFreshAndReadZero) {
  for (size_t pages : {8, 100, 256, 512}) {
    Span* const span = NewStamped(pages, 2);
    Span* const guard = NewStamped(8, 3);
    const uintptr_t start = span->address();
    Delete(span);
    const size_t dirty = DirtyBytes();
    EXPECT_EQ(heap_.ReleaseAtLeast(SIZE_MAX), dirty);
    EXPECT_EQ(DirtyBytes(), 0u);
    heap_.CheckInvariants();
    bool zeroed = false;
    Span* const again = New(pages, kPageSize, &zeroed);
    EXPECT_EQ(again->address(), start);
    EXPECT_TRUE(zeroed);
    EXPECT_TRUE(HasStamp(guard, 3));
    Delete(again);
    Delete(guard);
    heap_.ReleaseAtLeast(SIZE_MAX);
  }
  ExpectJoined();
}

TEST_F(PageHeapReleaseTest, DeniedReleaseKeepsPagesDirty) {
  Span* const span = NewStamped(768, 4);  // Whole huge pages.
  Delete(span);
  const size_t dirty = DirtyBytes();
  system_.Deny(FakeSystem::kRelease);
  EXPECT_EQ(heap_.ReleaseAtLeast(SIZE_MAX), 0u);
  EXPECT_LE(system_.calls(FakeSystem::kRelease), 64u) << "kept on trying";
  EXPECT_EQ(DirtyBytes(), dirty);
  heap_.CheckInvariants();
  bool zeroed = true;
  Span* const again = New(768, kPageSize, &zeroed);
  EXPECT_EQ(again, span);
  EXPECT_FALSE(zeroed);
  EXPECT_FALSE(IsZero(again));
  Delete(again);
  // And when it is allowed again, it works again.
  system_.Deny(FakeSystem::kRelease, false);
  EXPECT_EQ(heap_.ReleaseAtLeast(SIZE_MAX), dirty);
  ExpectJoined();
}

TEST_F(PageHeapReleaseTest, OneRefusalAmongMany) {
  const std::vector<Span*> kept = MakeHoles(10);
  const size_t dirty = DirtyBytes();
  system_.FailCall(4);
  const size_t released = heap_.ReleaseAtLeast(SIZE_MAX);
  EXPECT_EQ(released, dirty - Length(8).bytes());
  EXPECT_EQ(DirtyBytes(), Length(8).bytes());
  heap_.CheckInvariants();
  for (size_t i = 0; i < kept.size(); ++i) {
    EXPECT_TRUE(HasStamp(kept[i], 2 * i));
  }
}

TEST_F(PageHeapReleaseTest, ReleasesAsMuchAsIsAskedFor) {
  const std::vector<Span*> kept = MakeHoles(100);
  const size_t dirty = DirtyBytes();
  ASSERT_EQ(dirty, Length(800).bytes());
  size_t total = 0;
  for (size_t bytes :
       {size_t{1}, Length(8).bytes(), Length(9).bytes(), Length(300).bytes()}) {
    const size_t released = heap_.ReleaseAtLeast(bytes);
    EXPECT_GE(released, bytes);
    EXPECT_LT(released, bytes + Length(8).bytes()) << "more than needed";
    total += released;
    EXPECT_EQ(DirtyBytes(), dirty - total);
    heap_.CheckInvariants();
  }
  EXPECT_EQ(heap_.ReleaseAtLeast(SIZE_MAX), dirty - total);
  for (size_t i = 0; i < kept.size(); ++i) {
    EXPECT_TRUE(HasStamp(kept[i], 2 * i));
    Delete(kept[i]);
  }
  ExpectJoined();
}

TEST_F(PageHeapReleaseTest, EmptyHugePagesGoFirstAndWhole) {
  Span* const partial = NewStamped(100, 5);
  Span* const guard = NewStamped(8, 6);
  Span* const large = NewStamped(512, 7);
  const uintptr_t start = large->address();
  Delete(partial);
  Delete(large);
  system_.TakeReleased();
  EXPECT_EQ(heap_.ReleaseAtLeast(Length(256).bytes() + 1), Length(512).bytes());
  const std::vector<FakeSystem::Range> released = system_.TakeReleased();
  ASSERT_EQ(released.size(), 1u) << "one call for neighbours";
  EXPECT_EQ(released[0].start, start);
  EXPECT_EQ(DirtyBytes(), Length(100).bytes());
  EXPECT_TRUE(HasStamp(guard, 6));
}

// Of an empty huge page in which only a little is dirty, only a little comes
// back.
TEST_F(PageHeapReleaseTest, CountsOnlyWhatWasDirty) {
  Delete(NewStamped(8, 8));
  EXPECT_EQ(heap_.ReleaseAtLeast(SIZE_MAX), Length(8).bytes());
  std::vector<Span*> spans;
  for (int i = 0; i < 4; ++i) spans.push_back(New(8, kHugePageSize));
  for (Span* span : spans) Stamp(span, 9);
  for (Span* span : spans) Delete(span);
  EXPECT_EQ(heap_.ReleaseAtLeast(Length(32).bytes()), Length(32).bytes());
  EXPECT_EQ(DirtyBytes(), 0u);
}

TEST_F(PageHeapReleaseTest, OnlyWholePagesOfTheSystem) {
  // Five pages: not a multiple of a system page that is larger than ours.
  std::vector<Span*> spans;
  for (uint64_t i = 0; i < 40; ++i) spans.push_back(NewStamped(5, i));
  for (size_t i = 0; i < 40; i += 2) Delete(spans[i]);
  heap_.ReleaseAtLeast(SIZE_MAX);
  for (const FakeSystem::Range& range : system_.TakeReleased()) {
    EXPECT_EQ(range.start % SystemPageSize(), 0u);
    EXPECT_EQ(range.size % SystemPageSize(), 0u);
  }
  heap_.CheckInvariants();
  for (size_t i = 1; i < 40; i += 2) EXPECT_TRUE(HasStamp(spans[i], i));
}

// The lock is not held meanwhile, and what is being released belongs to nobody.
TEST_F(PageHeapReleaseTest, OthersAllocateMeanwhile) {
  const uintptr_t start = [&] {
    Span* const span = NewStamped(512, 10);
    Delete(span);
    return span->address();
  }();
  Span* meanwhile = nullptr;
  system_.OnRelease([&] {
    heap_.CheckInvariants();
    if (meanwhile == nullptr) meanwhile = NewStamped(512, 11);
  });
  heap_.ReleaseAtLeast(SIZE_MAX);
  system_.OnRelease(nullptr);
  ASSERT_NE(meanwhile, nullptr);
  EXPECT_NE(meanwhile->address(), start);
  EXPECT_TRUE(HasStamp(meanwhile, 11));
  heap_.CheckInvariants();
  Delete(meanwhile);
  ExpectJoined();
}

TEST_F(PageHeapReleaseTest, OthersFreeAndGrowMeanwhile) {
  Span* const grows = NewStamped(8, 12);
  Span* const goes = NewStamped(8, 13);
  Span* const dirty = NewStamped(8, 14);
  Span* const guard = NewStamped(8, 15);
  Delete(dirty);
  bool grew = true;
  int calls = 0;
  system_.OnRelease([&] {
    if (calls++ != 0) return;
    Delete(goes);
    grew = heap_.ResizeLargeSpan(grows, Length(24));
  });
  heap_.ReleaseAtLeast(Length(8).bytes());
  EXPECT_FALSE(grew) << "grew into what is being released";
  heap_.CheckInvariants();
  EXPECT_TRUE(heap_.ResizeLargeSpan(grows, Length(24)));
  EXPECT_TRUE(HasStamp(grows, 12, Length(8)));
  EXPECT_TRUE(HasStamp(guard, 15));
  Delete(grows);
  Delete(guard);
  ExpectJoined();
}

}  // namespace
}  // namespace spanmalloc
