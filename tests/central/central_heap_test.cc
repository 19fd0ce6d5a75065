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

TEST_F(CentralHeapTest, ForkTakesEveryLockOnce) {
  std::set<Mutex*> locks;
  heap_->ForEachForkLock([&](Mutex& mutex) {
    mutex.ForkLock();
    locks.insert(&mutex);
  });
  EXPECT_EQ(locks.size(), 2 * (kNumClasses - 1) + 2);
  heap_->ForEachForkLock([](Mutex& mutex) { mutex.ForkUnlock(); });
  heap_->CheckInvariants();
}

}  // namespace
}  // namespace spanmalloc
