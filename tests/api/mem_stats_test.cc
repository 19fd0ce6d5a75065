// The statistics as a program reads them: versions, identities while threads
// run, counts that are exact when they are quiet.

#include <errno.h>
#include <gtest/gtest.h>
#include <spanmalloc/mem_stats.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

namespace {

using spanmalloc::CheckMemStats;
using spanmalloc::MemStats;
using spanmalloc::ReadMemStats;

#define EXPECT_IDENTITIES(stats) \
  EXPECT_EQ(CheckMemStats(stats), nullptr) << CheckMemStats(stats)

TEST(ReadMemStats, RefusesWhatItCannotFill) {
  MemStats stats;
  EXPECT_EQ(spanmalloc_read_memstats(nullptr, sizeof(stats)), EINVAL);
  EXPECT_EQ(spanmalloc_read_memstats(&stats, 0), EINVAL);
  // Those behind by_size were not in the first version.
  constexpr size_t kFirst =
      offsetof(MemStats, by_size) + sizeof(MemStats::by_size);
  EXPECT_EQ(spanmalloc_read_memstats(&stats, kFirst - 1), EINVAL);
  EXPECT_EQ(spanmalloc_read_memstats(&stats, kFirst), 0);
}

// A program with a newer header gets zeros for what this library lacks.
TEST(ReadMemStats, FillsWhatItDoesNotKnowWithZeros) {
  struct {
    MemStats known;
    unsigned char more[100];
    unsigned char behind;
  } newer;
  memset(&newer, 0xff, sizeof(newer));
  ASSERT_EQ(spanmalloc_read_memstats(&newer.known,
                                     sizeof(MemStats) + sizeof(newer.more)),
            0);
  EXPECT_IDENTITIES(newer.known);
  for (const unsigned char byte : newer.more) ASSERT_EQ(byte, 0);
  EXPECT_EQ(newer.behind, 0xff);
}

TEST(ReadMemStats, CountsBlocksAndTheirBytes) {
  const MemStats before = ReadMemStats();
  void* const small = spanmalloc_malloc(100);
  void* const large = spanmalloc_malloc(100000);
  MemStats now = ReadMemStats();
  EXPECT_IDENTITIES(now);
  EXPECT_EQ(now.mallocs - before.mallocs, 2u);
  EXPECT_EQ(now.heap_objects - before.heap_objects, 2u);
  EXPECT_EQ(now.large_objects - before.large_objects, 1u);
  EXPECT_EQ(now.heap_alloc - before.heap_alloc,
            spanmalloc_malloc_usable_size(small) +
                spanmalloc_malloc_usable_size(large));
  spanmalloc_free(small);
  spanmalloc_free(large);
  now = ReadMemStats();
  EXPECT_IDENTITIES(now);
  EXPECT_EQ(now.frees - before.frees, 2u);
  EXPECT_EQ(now.heap_alloc, before.heap_alloc);
  EXPECT_EQ(now.total_alloc - before.total_alloc,
            now.total_freed - before.total_freed);
}

TEST(ReadMemStats, SizesFollowEachOther) {
  const MemStats stats = ReadMemStats();
  uint64_t last = 0;
  for (const spanmalloc_size_stats& size : stats.by_size) {
    if (size.size == 0) {
      EXPECT_EQ(size.mallocs, 0u);
      last = UINT64_MAX;
      continue;
    }
    ASSERT_LT(last, size.size) << "no class behind the last one";
    last = size.size;
  }
  // A block of exactly one class counts there.
  void* const p = spanmalloc_malloc(stats.by_size[10].size);
  EXPECT_EQ(ReadMemStats().by_size[10].mallocs, stats.by_size[10].mallocs + 1);
  spanmalloc_free(p);
}

TEST(ReadMemStats, PeaksAndReleases) {
  constexpr size_t kBytes = 50 << 20;
  void* const p = spanmalloc_malloc(kBytes);
  memset(p, 1, kBytes);
  spanmalloc_free(p);
  const MemStats before = ReadMemStats();
  EXPECT_GE(before.peak_heap_inuse, kBytes);
  EXPECT_GE(before.peak_heap_alloc, kBytes);
  EXPECT_GE(before.peak_resident, kBytes);
  EXPECT_GE(before.heap_idle - before.heap_released, kBytes);
  spanmalloc_malloc_trim(0);
  const MemStats after = ReadMemStats();
  EXPECT_IDENTITIES(after);
  EXPECT_EQ(after.heap_idle, after.heap_released);
  EXPECT_GE(after.released_total - before.released_total, kBytes);
  EXPECT_EQ(after.release_calls, before.release_calls + 1);
  EXPECT_EQ(after.peak_resident, before.peak_resident);
}

// The growth of a block in place is no malloc, but its bytes are counted.
TEST(ReadMemStats, BlocksThatChangeInPlace) {
  void* const p = spanmalloc_malloc(8 << 20);
  const MemStats before = ReadMemStats();
  ASSERT_EQ(spanmalloc_realloc(p, 4 << 20), p);
  const MemStats after = ReadMemStats();
  EXPECT_IDENTITIES(after);
  EXPECT_EQ(after.mallocs, before.mallocs);
  EXPECT_EQ(after.frees, before.frees);
  EXPECT_EQ(after.total_freed - before.total_freed, size_t{4} << 20);
  EXPECT_EQ(before.heap_alloc - after.heap_alloc, size_t{4} << 20);
  spanmalloc_free(p);
}

// What each thread does is recorded; when all are quiet, the counts are that.
TEST(ReadMemStats, ExactAfterThreadsAndCoherentMeanwhile) {
  constexpr int kThreads = 6;
#if defined(SPANMALLOC_TSAN)
  constexpr int kSteps = 4000;
#else
  constexpr int kSteps = 100000;
#endif
  const MemStats before = ReadMemStats();
  std::atomic<uint64_t> mallocs{0}, frees{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t, &mallocs, &frees] {
      std::mt19937 random(static_cast<unsigned>(t));
      std::vector<void*> blocks(500);
      uint64_t made = 0, gone = 0;
      for (int i = 0; i < kSteps; ++i) {
        void*& block = blocks[random() % blocks.size()];
        if (block != nullptr) {
          spanmalloc_free(block);
          block = nullptr;
          ++gone;
        } else {
          const unsigned r = random() % 100;
          block =
              spanmalloc_malloc(r < 98 ? random() % 2000 : random() % 200000);
          ++made;
        }
      }
      for (void* block : blocks) {
        gone += block != nullptr;
        spanmalloc_free(block);
      }
      mallocs += made;
      frees += gone;
    });
  }
  std::thread reader([&stop, &before] {
    MemStats last = before;
    while (!stop) {
      const MemStats now = ReadMemStats();
      ASSERT_EQ(CheckMemStats(now), nullptr) << CheckMemStats(now);
      ASSERT_GE(now.mallocs, last.mallocs);
      ASSERT_GE(now.frees, last.frees);
      ASSERT_GE(now.total_alloc, last.total_alloc);
      ASSERT_GE(now.total_freed, last.total_freed);
      ASSERT_GE(now.peak_heap_alloc, last.peak_heap_alloc);
      ASSERT_GE(now.peak_heap_inuse, last.peak_heap_inuse);
      ASSERT_GE(now.peak_resident, last.peak_resident);
      for (size_t i = 0; i < SPANMALLOC_SIZE_CLASSES; ++i) {
        ASSERT_GE(now.by_size[i].mallocs, last.by_size[i].mallocs);
        ASSERT_GE(now.by_size[i].frees, last.by_size[i].frees);
      }
      last = now;
    }
  });
  for (std::thread& thread : threads) thread.join();
  stop = true;
  reader.join();
  const MemStats after = ReadMemStats();
  EXPECT_IDENTITIES(after);
  EXPECT_EQ(after.mallocs - before.mallocs, mallocs);
  EXPECT_EQ(after.frees - before.frees, frees);
}

// Threads that have caches cost time; how much is printed, not asserted.
TEST(ReadMemStats, WithAHundredThreads) {
  constexpr size_t kThreads = 100;
  const MemStats before = ReadMemStats();
  std::atomic<size_t> ready{0};
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (size_t size = 8; size < 32768; size *= 2) {
        spanmalloc_free(spanmalloc_malloc(size));
      }
      ++ready;
      while (!stop) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
  }
  while (ready != kThreads) std::this_thread::yield();
  const MemStats during = ReadMemStats();
  EXPECT_IDENTITIES(during);
  EXPECT_EQ(during.threads - before.threads, kThreads);
  double least = 1e9;
  for (int i = 0; i < 100; ++i) {
    const auto start = std::chrono::steady_clock::now();
    ReadMemStats();
    const std::chrono::duration<double, std::micro> time =
        std::chrono::steady_clock::now() - start;
    if (time.count() < least) least = time.count();
  }
  printf("a snapshot with %zu threads: %.1f us\n", kThreads, least);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  const MemStats after = ReadMemStats();
  EXPECT_EQ(after.threads, before.threads);
  EXPECT_EQ(after.mallocs - after.frees, before.mallocs - before.frees);
}

}  // namespace
