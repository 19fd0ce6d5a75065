// Objects that pass between threads without going home.

#include "allocator/central/transfer_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "allocator/central/central_heap.h"
#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

class TransferCacheTest : public testing::TestWithParam<size_t> {
 protected:
  ~TransferCacheTest() override { heap_->CheckInvariants(); }

  size_t size_class() const {
    return ClassOfTag(class_of_size.TagFor(GetParam()));
  }
  size_t room() const { return kSizeClasses[size_class()].max_cached; }
  TransferCache& transfer() { return heap_->transfer(size_class()); }
  CentralFreeList& list() { return heap_->list(size_class()); }

  std::vector<void*> Take(size_t n) {
    std::vector<void*> batch(n);
    batch.resize(transfer().RemoveRange(batch.data(), n));
    return batch;
  }
  void Put(const std::vector<void*>& batch) {
    transfer().InsertRange(batch.data(), batch.size());
  }
  size_t FreeInList() { return list().stats().free_objects; }

  FakeSystem system_;
  const std::unique_ptr<CentralHeap> heap_ =
      std::make_unique<CentralHeap>(&FakeSystem::memory());
};

TEST_P(TransferCacheTest, AloneEverythingGoesHome) {
  const std::vector<void*> batch = Take(room());
  EXPECT_EQ(batch.size(), room());
  Put(batch);
  EXPECT_EQ(transfer().objects(), 0u);
  for (void* p : batch) EXPECT_TRUE(list().IsFree(p));
}

TEST_P(TransferCacheTest, SharedItKeepsWhatItHasRoomFor) {
  const std::vector<void*> batch = Take(room() + 1);
  heap_->set_shared();
  const size_t before = FreeInList();
  Put(batch);
  EXPECT_EQ(transfer().objects(), room());
  EXPECT_EQ(FreeInList(), before + 1);
  EXPECT_TRUE(list().IsFree(batch[0])) << "the oldest goes home";
  heap_->CheckInvariants();
  transfer().Flush();
  EXPECT_EQ(transfer().objects(), 0u);
  for (void* p : batch) EXPECT_TRUE(list().IsFree(p));
}

TEST_P(TransferCacheTest, WhatCameLastComesLastInABatch) {
  heap_->set_shared();
  std::vector<void*> batch(room());
  ASSERT_EQ(list().RemoveRange(batch.data(), batch.size()), batch.size());
  Put(batch);
  const size_t some = (room() + 1) / 2;
  const std::vector<void*> newest = Take(some);
  EXPECT_TRUE(std::equal(newest.begin(), newest.end(),
                         batch.end() - static_cast<ptrdiff_t>(some)));
  Put(newest);
  EXPECT_EQ(Take(room()), batch);
  Put(batch);
}

TEST_P(TransferCacheTest, EmptyItPassesTheRequestOn) {
  heap_->set_shared();
  const std::vector<void*> batch = Take(room());
  EXPECT_EQ(batch.size(), room());
  EXPECT_EQ(std::set<void*>(batch.begin(), batch.end()).size(), batch.size());
  Put(batch);
}

// Without memory for its array it does without.
TEST_P(TransferCacheTest, NoMemoryForTheArray) {
  heap_->set_shared();
  std::vector<void*> batch(room());
  batch.resize(list().RemoveRange(batch.data(), batch.size()));
  // The arena's chunk and the heap are used up.
  system_.FailFrom(1);
  while (heap_->page_heap().NewLargeSpan(Length(kPagesPerHeader + 1), 1)) {
  }
  while (heap_->page_heap().NewSmallSpan(TagOfClass(1))) {
  }
  while (heap_->page_heap().arena().Allocate(64)) {
  }
  Put(batch);
  EXPECT_EQ(transfer().objects(), 0u);
  EXPECT_TRUE(list().IsFree(batch[0]));
}

TEST_P(TransferCacheTest, EmptySpansLeaveDespiteIt) {
  heap_->set_shared();
  Put(Take(room()));
  EXPECT_NE(heap_->page_heap().stats().used, Length(0));
  heap_->ReleaseEmptySpans();
  EXPECT_EQ(heap_->page_heap().stats().used, Length(0));
}

// ---- Sweeps

TEST_P(TransferCacheTest, WhatWasNotNeededGoesHome) {
  heap_->set_shared();
  std::vector<void*> batch(room());
  ASSERT_EQ(list().RemoveRange(batch.data(), batch.size()), batch.size());
  Put(batch);
  EXPECT_EQ(transfer().ReleaseUnused(), 0u) << "they have just come";
  // Half of them were in use for a moment.
  const size_t half = room() / 2;
  Put(Take(half));
  heap_->CheckInvariants();
  EXPECT_EQ(transfer().ReleaseUnused(), room() - half);
  EXPECT_EQ(transfer().objects(), half);
  for (size_t i = 0; i < room(); ++i) {
    EXPECT_EQ(list().IsFree(batch[i]), i < room() - half) << "the oldest go";
  }
  // More than there were came; then fewer are left.
  std::vector<void*> more(2);
  ASSERT_EQ(list().RemoveRange(more.data(), 2), 2u);
  Put(more);
  const std::vector<void*> some = Take(3);
  heap_->CheckInvariants();
  EXPECT_EQ(transfer().ReleaseUnused(), half - 1);
  EXPECT_EQ(transfer().objects(), 0u);
  EXPECT_EQ(transfer().ReleaseUnused(), 0u);
  heap_->CheckInvariants();
  Put(some);
  EXPECT_EQ(transfer().ReleaseUnused(), 0u);
  EXPECT_EQ(transfer().ReleaseUnused(), some.size());
}

TEST_P(TransferCacheTest, ASweepBeforeTheFirstUse) {
  EXPECT_EQ(transfer().ReleaseUnused(), 0u);
  heap_->set_shared();
  EXPECT_EQ(transfer().ReleaseUnused(), 0u);
  EXPECT_EQ(transfer().Flush(), 0u);
  EXPECT_EQ(system_.calls(), 0u);
}

// Each object is with one owner at a time.
TEST_P(TransferCacheTest, Threads) {
  heap_->set_shared();
  std::atomic<int> errors{0};
  std::vector<std::thread> threads;
  std::atomic<bool> done{false};
  std::thread sweeper([this, &done] {
    for (int i = 0; !done; ++i) {
      i % 16 == 0 ? transfer().Flush() : transfer().ReleaseUnused();
    }
  });
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t, &errors] {
      for (size_t i = 0; i < 3000; ++i) {
        std::vector<void*> batch =
            Take(1 + (i * 7 + static_cast<size_t>(t)) % room());
        for (void* p : batch) *static_cast<size_t*>(p) = i * 4 + size_t(t);
        for (void* p : batch) {
          errors += *static_cast<size_t*>(p) != i * 4 + size_t(t);
        }
        Put(batch);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  sweeper.join();
  EXPECT_EQ(errors, 0);
  transfer().Flush();
  const CentralFreeListStats stats = list().stats();
  EXPECT_EQ(stats.free_objects,
            stats.spans * kSizeClasses[size_class()].capacity);
}

INSTANTIATE_TEST_SUITE_P(Sizes, TransferCacheTest,
                         testing::Values(8, 64, 1024, 32768));

}  // namespace
}  // namespace spanmalloc
