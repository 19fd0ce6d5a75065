#include "allocator/observe/mem_stats.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "tests/support/allocator_world.h"
#include "tests/support/fake_system.h"
#include "tests/support/unjoined_thread.h"

namespace spanmalloc {
namespace {

class MemStatsTest : public testing::Test {
 protected:
  MemStats Read() {
    return ReadMemStats(*heap_, *threads_, ScavengerStats(), guarded_,
                        HeapProfileTotals(), &peak_);
  }

  static void ExpectIdentities(const MemStats& stats) {
    EXPECT_EQ(CheckMemStats(stats), nullptr) << CheckMemStats(stats);
  }

  GuardedStats guarded_;
  PeakAlloc peak_;
  FakeSystem system_;
  UnjoinedThread self_;
  const std::unique_ptr<CentralHeap> heap_ =
      std::make_unique<CentralHeap>(&FakeSystem::memory());
  const std::unique_ptr<ThreadRegistry> threads_ =
      std::make_unique<ThreadRegistry>(heap_.get(), [](void*) {});
};

TEST_F(MemStatsTest, NothingAtFirst) {
  const MemStats stats = Read();
  ExpectIdentities(stats);
  EXPECT_EQ(stats.mallocs, 0u);
  EXPECT_EQ(stats.heap_alloc, 0u);
  EXPECT_EQ(stats.sys, 0u);
  EXPECT_EQ(stats.threads, 0u);
}

TEST_F(MemStatsTest, OneObject) {
  threads_->Join();
  const size_t tag = class_of_size.TagFor(300);
  const SizeClass& info = kSizeClasses[ClassOfTag(tag)];
  ASSERT_EQ(current_thread.cache->Pop(tag), nullptr);
  void* const p = current_thread.cache->Refill(tag);
  ASSERT_NE(p, nullptr);
  const MemStats stats = Read();
  ExpectIdentities(stats);
  EXPECT_EQ(stats.mallocs, 1u);
  EXPECT_EQ(stats.frees, 0u);
  EXPECT_EQ(stats.heap_alloc, info.size);
  EXPECT_EQ(stats.thread_cache_bytes, 7u * info.size);
  EXPECT_EQ(stats.central_free_bytes, (info.capacity - 8u) * info.size);
  EXPECT_EQ(stats.span_tail_bytes, kSmallSpanSize % info.size);
  EXPECT_EQ(stats.heap_inuse, kSmallSpanSize);
  EXPECT_EQ(stats.transfer_cache_bytes, 0u);
  EXPECT_EQ(stats.threads, 1u);
  EXPECT_EQ(stats.large_objects, 0u);
  // Exactly what was mapped, but for the parts of pages that are not needed.
  EXPECT_GE(system_.bytes(), stats.sys);
  EXPECT_LT(system_.bytes(), stats.sys + kMaxSystemPageSize);
}

TEST_F(MemStatsTest, TablesOfTheProfiler) {
  const MemStats before = Read();
  EXPECT_EQ(before.buck_hash_sys, 0u);
  ASSERT_NE(heap_->page_heap().AllocateRecord(1000, RecordKind::kProfile),
            nullptr);
  const MemStats stats = Read();
  ExpectIdentities(stats);
  EXPECT_EQ(stats.buck_hash_sys, 1024u);
  EXPECT_EQ(stats.sys, stats.buck_hash_sys + stats.other_sys);
}

TEST_F(MemStatsTest, LargeBlocks) {
  Span* const span = heap_->page_heap().NewLargeSpan(Length(9), 1);
  ASSERT_NE(span, nullptr);
  MemStats stats = Read();
  ExpectIdentities(stats);
  EXPECT_EQ(stats.large_objects, 1u);
  EXPECT_EQ(stats.large_bytes, 9 * kPageSize);
  EXPECT_EQ(stats.heap_alloc, 9 * kPageSize);
  EXPECT_EQ(stats.mallocs, 1u);
  heap_->page_heap().DeleteLargeSpan(span->address());
  stats = Read();
  ExpectIdentities(stats);
  EXPECT_EQ(stats.heap_alloc, 0u);
  EXPECT_EQ(stats.frees, 1u);
  EXPECT_EQ(stats.heap_idle - stats.heap_released, 9 * kPageSize);
  EXPECT_EQ(heap_->page_heap().ReleaseAtLeast(SIZE_MAX), 9 * kPageSize);
  EXPECT_EQ(Read().heap_released, Read().heap_idle);
}

TEST_F(MemStatsTest, IdentitiesHoldAfterEveryStep) {
  threads_->Join();
  std::mt19937 random(3);
  std::vector<std::pair<void*, size_t>> live;  // With the tag, 0 for large.
  size_t live_bytes = 0;
  uint64_t mallocs = 0;
  for (int step = 0; step < 3000; ++step) {
    if (live.empty() || random() % 100 < (step < 1500 ? 65u : 35u)) {
      if (random() % 10 == 0) {
        const Length n(5 + random() % 300);
        Span* const span = heap_->page_heap().NewLargeSpan(n, 1);
        ASSERT_NE(span, nullptr);
        live.emplace_back(span->start(), 0);
        live_bytes += n.bytes();
      } else {
        const size_t tag = class_of_size.TagFor(random() % kMaxSmallSize);
        void* p = current_thread.cache->Pop(tag);
        if (p == nullptr) p = current_thread.cache->Refill(tag);
        ASSERT_NE(p, nullptr);
        live.emplace_back(p, tag);
        live_bytes += kSizeClasses[ClassOfTag(tag)].size;
      }
      ++mallocs;
    } else {
      std::swap(live[random() % live.size()], live.back());
      const auto [p, tag] = live.back();
      live.pop_back();
      if (tag == 0) {
        const uintptr_t address = reinterpret_cast<uintptr_t>(p);
        live_bytes -=
            heap_->page_heap().FindLargeSpan(address)->length().bytes();
        heap_->page_heap().DeleteLargeSpan(address);
      } else {
        live_bytes -= kSizeClasses[ClassOfTag(tag)].size;
        if (!current_thread.cache->Push(tag, p)) {
          current_thread.cache->MakeRoom(tag);
          ASSERT_TRUE(current_thread.cache->Push(tag, p));
        }
      }
    }
    const MemStats stats = Read();
    ExpectIdentities(stats);
    ASSERT_EQ(stats.heap_alloc, live_bytes);
    ASSERT_EQ(stats.mallocs, mallocs);
    ASSERT_EQ(stats.mallocs - stats.frees, live.size());
  }
}

// What tiny objects take, and what they would take in classes of 8 and 16.
TEST(TinyStatsTest, SavedBytes) {
  AllocatorWorld world;
  constexpr uint64_t kCount = 20000;
  // By themselves: 4 of the 8 bytes each.
  for (uint64_t i = 0; i < kCount; ++i) world.Malloc(3);
  MemStats stats = world.stats();
  EXPECT_EQ(stats.tiny_allocs, kCount);
  EXPECT_EQ(stats.tiny_objects, kCount);
  EXPECT_EQ(stats.tiny_bytes, 4 * kCount);
  EXPECT_EQ(stats.tiny_saved, 4 * kCount);
  EXPECT_EQ(stats.tiny_blocks,
            DivideRoundingUp(kCount, uint64_t{16384}) * 4096);
  world.FreeAll();
  stats = world.stats();
  EXPECT_EQ(stats.tiny_frees, kCount);
  EXPECT_EQ(stats.tiny_objects, 0u);
  EXPECT_EQ(stats.tiny_saved, 0u);
  world.allocator->scavenger().Trim(0);

  // Next to objects of 12 bytes they take nothing, but for those that the span
  // of the first ones has left.
  for (uint64_t i = 0; i < kCount; ++i) world.Malloc(12);
  EXPECT_EQ(world.stats().tiny_saved, 0u);
  for (uint64_t i = 0; i < kCount; ++i) world.Malloc(4);
  stats = world.stats();
  EXPECT_EQ(stats.tiny_objects, 2 * kCount);
  EXPECT_EQ(stats.tiny_bytes, 16 * kCount);
  EXPECT_EQ(stats.tiny_saved, 8 * kCount);
  EXPECT_EQ(stats.tiny_blocks, DivideRoundingUp(kCount, uint64_t{4096}) * 4096);
}

}  // namespace
}  // namespace spanmalloc
