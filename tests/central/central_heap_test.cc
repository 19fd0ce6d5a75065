#include "allocator/central/central_heap.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <vector>

#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

class CentralHeapTest : public testing::Test {
 protected:
  FakeSystem system_;
  const std::unique_ptr<CentralHeap> heap_ =
      std::make_unique<CentralHeap>(&FakeSystem::memory());
};

TEST_F(CentralHeapTest, StartsWithoutMemory) {
  EXPECT_EQ(system_.calls(), 0u);
  EXPECT_EQ(heap_->page_heap().stats().mapped, Length(0));
  heap_->CheckInvariants();
}

TEST_F(CentralHeapTest, EachListServesItsClass) {
  for (size_t c = 1; c < kNumClasses; ++c) {
    void* object = nullptr;
    ASSERT_EQ(heap_->list(c).RemoveRange(&object, 1), 1u);
    const uintptr_t address = reinterpret_cast<uintptr_t>(object);
    EXPECT_EQ(heap_->page_heap().class_map().Get(address), TagOfClass(c));
    const Span* const span = heap_->page_heap().pagemap().SmallSpanOf(address);
    ASSERT_NE(span, nullptr);
    EXPECT_EQ(span->tag(), TagOfClass(c));
    EXPECT_EQ(span->capacity, kSizeClasses[c].capacity);
    heap_->list(c).InsertRange(&object, 1);
  }
  heap_->CheckInvariants();
}

TEST_F(CentralHeapTest, EmptySpansServeEveryOtherClass) {
  std::set<uintptr_t> spans;
  for (size_t c = 1; c < kNumClasses; ++c) {
    void* object = nullptr;
    ASSERT_EQ(heap_->list(c).RemoveRange(&object, 1), 1u);
    spans.insert(AlignDown(reinterpret_cast<uintptr_t>(object), 1 << 16));
    heap_->list(c).InsertRange(&object, 1);
    heap_->ReleaseEmptySpans();
    EXPECT_EQ(heap_->page_heap().stats().used, Length(0));
    heap_->CheckInvariants();
  }
  EXPECT_EQ(spans.size(), 1u);
}

// ---- Sweeps

class SweepsOfAllClasses : public CentralHeapTest {
 protected:
  // Two spans of each class, in which one object is left.
  SweepsOfAllClasses() {
    for (size_t c = 1; c < kNumClasses; ++c) {
      std::vector<void*> batch(2 * size_t{kSizeClasses[c].capacity});
      EXPECT_EQ(heap_->list(c).RemoveRange(batch.data(), batch.size()),
                batch.size());
      kept_.push_back(batch.back());
      batch.pop_back();
      heap_->list(c).InsertRange(batch.data(), batch.size());
    }
  }
  size_t FreePages(size_t max_bytes, bool idle_only = true) {
    const SpanRelease release =
        heap_->ReleaseFreePagesInSpans(idle_only, max_bytes);
    heap_->CheckInvariants();
    EXPECT_FALSE(release.refused);
    return release.bytes;
  }
  // Of the free objects of a class.
  void UseAllOf(size_t c) {
    std::vector<void*> batch(heap_->list(c).stats().free_objects);
    EXPECT_EQ(heap_->list(c).RemoveRange(batch.data(), batch.size()),
              batch.size());
    heap_->list(c).InsertRange(batch.data(), batch.size());
  }
  std::vector<void*> kept_;
};

TEST_F(SweepsOfAllClasses, EmptySpansLeaveWhenTheyAreOld) {
  const size_t used = heap_->page_heap().stats().used.pages();
  EXPECT_EQ(heap_->ReleaseUnused(true).empty_spans, 0u);
  const CentralRelease release = heap_->ReleaseUnused(true);
  EXPECT_GE(release.empty_spans, (kNumClasses - 1) / 2);
  EXPECT_EQ(release.objects, 0u);
  EXPECT_EQ(heap_->page_heap().stats().used.pages(),
            used - release.empty_spans * kPagesPerSmallSpan);
  EXPECT_EQ(heap_->ReleaseUnused(true).empty_spans, 0u);
  EXPECT_EQ(heap_->ReleaseUnused(false).empty_spans, 0u);
  heap_->CheckInvariants();
}

TEST_F(SweepsOfAllClasses, AtOnceIfToldTo) {
  EXPECT_NE(heap_->ReleaseUnused(false).empty_spans, 0u);
  EXPECT_NE(FreePages(SIZE_MAX, false), 0u);
  EXPECT_EQ(FreePages(SIZE_MAX, false), 0u);
  for (int i = 0; i < 2; ++i) {
    heap_->ReleaseUnused(true);
    EXPECT_EQ(FreePages(SIZE_MAX), 0u);
  }
  EXPECT_FALSE(heap_->HasUnused());
}

TEST_F(SweepsOfAllClasses, UntilNothingIsLeft) {
  heap_->set_shared();
  EXPECT_TRUE(heap_->HasUnused());
  int sweeps = 0;
  for (; heap_->HasUnused(); ++sweeps) {
    ASSERT_LT(sweeps, 5);
    heap_->ReleaseUnused(true);
    FreePages(SIZE_MAX);
  }
  EXPECT_NE(heap_->page_heap().stats().released_in_spans, 0u);
  // One object comes to a transfer cache.
  heap_->transfer(20).InsertRange(&kept_[19], 1);
  EXPECT_TRUE(heap_->HasUnused());
  for (sweeps = 0; heap_->HasUnused(); ++sweeps) {
    ASSERT_LT(sweeps, 6);
    heap_->ReleaseUnused(true);
    FreePages(SIZE_MAX);
  }
  EXPECT_GT(sweeps, 2);
  EXPECT_EQ(heap_->list(20).stats().spans, 0u);
}

// However little is released at a time, each span gets its turn.
TEST_F(SweepsOfAllClasses, ALittleAtATime) {
  EXPECT_EQ(FreePages(SIZE_MAX), 0u);
  size_t bytes = 0, calls = 0;
  for (;; ++calls) {
    const size_t now = FreePages(1);
    if (now == 0) break;
    EXPECT_LT(now, kSmallSpanSize);
    bytes += now;
  }
  EXPECT_GT(calls, kNumClasses / 2);
  EXPECT_EQ(bytes, heap_->page_heap().stats().released_in_spans);
  EXPECT_EQ(FreePages(SIZE_MAX, false), 0u) << "nothing was left out";
}

TEST_F(SweepsOfAllClasses, ALittleAtATimeOfAll) {
  size_t bytes = 0;
  for (size_t now; (now = FreePages(1, false)) != 0;) bytes += now;
  EXPECT_EQ(bytes, heap_->page_heap().stats().released_in_spans);
}

// Nor does a class that always has something keep the others waiting.
TEST_F(SweepsOfAllClasses, EachClassHasItsTurn) {
  for (size_t i = 1; i < kNumClasses; ++i) {
    UseAllOf(5);
    EXPECT_NE(FreePages(1, false), 0u);
  }
  EXPECT_LT(FreePages(SIZE_MAX, false), kSmallSpanSize) << "but its own";
  // Those before have theirs in the end.
  FreePages(SIZE_MAX, false);
  for (const size_t c : {20, 21, 22}) UseAllOf(c);
  for (int i = 0; i < 2; ++i) EXPECT_NE(FreePages(1, false), 0u);
  for (const size_t c : {3, 40}) UseAllOf(c);
  EXPECT_NE(FreePages(SIZE_MAX, false), 0u);
  EXPECT_EQ(FreePages(SIZE_MAX, false), 0u);
}

// What was used after its class had its turn is not old before the next sweep
// but one.
TEST_F(SweepsOfAllClasses, NoClassHasTwoTurnsInOneSweep) {
  EXPECT_EQ(FreePages(SIZE_MAX), 0u);
  for (int i = 0; i < 10; ++i) EXPECT_NE(FreePages(1), 0u);
  UseAllOf(5);
  while (FreePages(1) != 0) {
  }
  EXPECT_EQ(FreePages(SIZE_MAX), 0u);
  EXPECT_NE(FreePages(SIZE_MAX), 0u);
}

TEST_F(SweepsOfAllClasses, TheSystemRefuses) {
  FreePages(SIZE_MAX);
  system_.Deny(FakeSystem::kRelease);
  const SpanRelease release = heap_->ReleaseFreePagesInSpans(true, SIZE_MAX);
  EXPECT_TRUE(release.refused);
  EXPECT_EQ(release.bytes, 0u);
  EXPECT_TRUE(heap_->HasUnused());
  system_.Deny(FakeSystem::kRelease, false);
  FreePages(SIZE_MAX);  // The rest of this sweep; what was refused comes then.
  FreePages(SIZE_MAX);
  EXPECT_EQ(FreePages(SIZE_MAX, false), 0u);
  heap_->CheckInvariants();
}

TEST_F(CentralHeapTest, NothingToSweep) {
  EXPECT_FALSE(heap_->HasUnused());
  EXPECT_EQ(heap_->ReleaseUnused(true).objects, 0u);
  EXPECT_EQ(heap_->ReleaseFreePagesInSpans(true, SIZE_MAX).bytes, 0u);
  EXPECT_EQ(heap_->ReleaseFreePagesInSpans(false, SIZE_MAX).bytes, 0u);
  EXPECT_FALSE(heap_->HasUnused());
}

TEST_F(CentralHeapTest, ForkTakesEveryLockOnce) {
  std::set<Mutex*> locks;
  heap_->ForEachForkLock([&](Mutex& mutex) {
    mutex.ForkLock();
    locks.insert(&mutex);
  });
  EXPECT_EQ(locks.size(), 2 * (kNumClasses - 1) + 1);
  heap_->ForEachForkLock([](Mutex& mutex) { mutex.ForkUnlock(); });
  heap_->CheckInvariants();
}

}  // namespace
}  // namespace spanmalloc
