// The allocator as a whole, above all on systems that run out of memory.
// (Misuse: allocator_misuse_test.cc; the entry points: malloc_test.cc.)
#include "allocator/api/allocator.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <future>
#include <map>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/allocator_world.h"

namespace spanmalloc {
namespace {

using World = AllocatorWorld;

// A program that uses every part. Returns the number of steps that found no
// memory.
int RunProgram(World* world) {
  int failures = 0;
  const auto count = [&failures](const void* p) { failures += p == nullptr; };
  std::mt19937 random(5);
  for (int round = 0; round < 25; ++round) {
    count(world->Malloc(random() % 1000));
    count(world->Malloc(8));
    count(world->Malloc(random() % kMaxSmallSize));
    count(world->Malloc(kMaxSmallSize + random() % (1 << 20)));
    count(world->Calloc(random() % (1 << 17)));
    count(world->Aligned(size_t{1} << (random() % 17), random() % 5000));
    if (world->live() > 3) {
      count(world->Realloc(random() % world->live(), 1 + random() % (1 << 18)));
      world->Free(random() % world->live());
    }
    world->Check();
  }
  count(world->Malloc(5 << 20));
  if (world->live() != 0) count(world->Realloc(world->live() - 1, 9 << 20));
  count(world->Aligned(4 << 20, 3 << 20));
  return failures;
}

TEST(Allocator, RunsWithoutFailures) {
  World world;
  EXPECT_EQ(RunProgram(&world), 0);
  world.FreeAll();
  EXPECT_EQ(world.stats().heap_alloc, 0u);
}

// One call to the system fails, whichever: at most single requests do, and the
// program goes on.
TEST(Allocator, AnyCallToTheSystemMayFailOnce) {
  for (size_t n = 1;; ++n) {
    World world;
    world.system.FailCall(n);
    const int failures = RunProgram(&world);
    if (world.system.failures() == 0) {
      EXPECT_GT(n, 8u);
      break;
    }
    EXPECT_LE(failures, 2) << "call " << n;
    world.FreeAll();
    EXPECT_EQ(RunProgram(&world), 0) << "after call " << n;
    world.FreeAll();
  }
}

// The system refuses everything from some call on: what is there is intact, and
// when it has been freed, it can be had again.
TEST(Allocator, TheSystemMayEndAtAnyCall) {
  for (size_t n = 1;; ++n) {
    World world;
    world.system.FailFrom(n);
    RunProgram(&world);
    if (world.system.failures() == 0) break;
    const bool has_heap = world.stats().heap_sys != 0;
    world.FreeAll();
    world.Check();
    if (has_heap && world.Malloc(100) != nullptr) {
      EXPECT_NE(world.Malloc(20000), nullptr) << "from call " << n;
      EXPECT_NE(world.Malloc(100000), nullptr) << "from call " << n;
    }
    world.system.FailNothing();
    world.FreeAll();
    EXPECT_EQ(RunProgram(&world), 0) << "from call " << n;
    world.FreeAll();
  }
}

TEST(Allocator, TheFirstRequestMayFail) {
  World world;
  world.system.FailFrom(1);
  EXPECT_EQ(world.Malloc(1), nullptr);
  EXPECT_EQ(world.Malloc(1 << 20), nullptr);
  EXPECT_EQ(world.Calloc(1), nullptr);
  EXPECT_EQ(world.allocator->AllocateAligned(64, 1), nullptr);
  world.system.FailNothing();
  EXPECT_NE(world.Malloc(1), nullptr);
}

// Fills a limited system with one size, frees all, and goes on with the next:
// what one size had serves every other.
TEST(Allocator, FreedMemoryServesEveryOtherSize) {
  constexpr size_t kLimit = 40 << 20;
  World world;
  world.system.LimitBytes(kLimit);
  for (const size_t size :
       {size_t{16}, size_t{1} << 20, size_t{48}, size_t{40} << 10, size_t{3000},
        size_t{32} << 10, size_t{300} << 10, size_t{1024}}) {
    size_t n = 0;
    std::vector<void*> blocks;
    for (;; ++n) {
      void* p = Allocator::Allocate(size);
      if (p == nullptr) p = world.allocator->AllocateSlow(size);
      if (p == nullptr) break;
      blocks.push_back(p);
    }
    EXPECT_GE(n * size, kLimit / 4 * 3 - (16 << 20)) << size << " bytes each";
    for (void* p : blocks) {
      if (!Allocator::Free(p)) world.allocator->FreeSlow(p);
    }
    world.Check();
  }
}

TEST(Allocator, ReallocateThatFindsNoMemoryLeavesTheBlock) {
  World world;
  world.Malloc(100);
  world.Malloc(100 << 10);
  world.Malloc(3 << 20);
  world.system.FailFrom(1);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(world.Realloc(i, 100 << 20), nullptr);
    EXPECT_EQ(world.Realloc(i, PTRDIFF_MAX), nullptr);
    EXPECT_EQ(world.Realloc(i, SIZE_MAX), nullptr);
  }
  world.Check();
  EXPECT_NE(world.Realloc(2, 2 << 20), nullptr) << "shrinking needs nothing";
}

TEST(Allocator, MisfitsOfSize) {
  World world;
  for (const size_t size : {size_t{PTRDIFF_MAX}, size_t{PTRDIFF_MAX} + 1,
                            SIZE_MAX - kPageSize, SIZE_MAX}) {
    EXPECT_EQ(world.allocator->AllocateSlow(size), nullptr);
    EXPECT_EQ(world.allocator->AllocateZeroedSlow(size), nullptr);
    for (const size_t alignment : {size_t{1}, size_t{1} << 20}) {
      EXPECT_EQ(world.allocator->AllocateAligned(alignment, size), nullptr);
    }
  }
  for (int shift = 47; shift < 64; ++shift) {
    EXPECT_EQ(world.allocator->AllocateAligned(size_t{1} << shift, 1), nullptr)
        << shift;
  }
  EXPECT_EQ(world.allocator->GoodSize(1, SIZE_MAX), 0u);
}

TEST(Allocator, GoodSizeIsWhatTheBlockGets) {
  World world;
  for (size_t shift = 0; shift <= 22; ++shift) {
    const size_t alignment = size_t{1} << shift;
    for (const size_t size :
         {size_t{0}, size_t{1}, size_t{16}, size_t{17}, size_t{500},
          size_t{4096}, size_t{5000}, kMaxSmallSize, kMaxSmallSize + 1,
          size_t{100} << 10}) {
      void* const p = world.allocator->AllocateAligned(alignment, size);
      ASSERT_NE(p, nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % alignment, 0u);
      const size_t good = world.allocator->GoodSize(alignment, size);
      EXPECT_GE(good, size);
      EXPECT_EQ(world.allocator->UsableSize(p), good)
          << "alignment " << alignment << " size " << size;
      world.allocator->FreeSizedSlow(p, size, alignment);
    }
  }
}

TEST(Allocator, OwnsItsHeapOnly) {
  World world;
  const int local = 0;
  EXPECT_FALSE(world.allocator->Owns(nullptr));
  EXPECT_FALSE(world.allocator->Owns(&local));
  EXPECT_FALSE(world.allocator->Owns(reinterpret_cast<void*>(~uintptr_t{0})));
  char* const p = static_cast<char*>(world.Malloc(100 << 10));
  EXPECT_TRUE(world.allocator->Owns(p + 50000));
}

// A thread that has handed its cache back is served all the same.
TEST(Allocator, AfterTheEndOfTheThreadsCache) {
  World world;
  world.self.Exit();
  EXPECT_EQ(RunProgram(&world), 0);
  world.FreeAll();
  const MemStats stats = world.stats();
  EXPECT_EQ(stats.threads, 0u);
  EXPECT_EQ(stats.thread_cache_bytes, 0u);
  EXPECT_EQ(stats.heap_alloc, 0u);
}

// A thread that has used the allocator and is idle until the end of the scope.
class IdleThread {
 public:
  IdleThread(World* world, size_t size, size_t objects)
      : thread_([this, world, size, objects] {
          UnjoinedThread self;
          std::vector<void*> blocks;
          for (size_t i = 0; i < objects; ++i) {
            void* p = Allocator::Allocate(size);
            if (p == nullptr) p = world->allocator->AllocateSlow(size);
            blocks.push_back(p);
          }
          for (void* p : blocks) {
            if (!Allocator::Free(p)) world->allocator->FreeSlow(p);
          }
          used_.set_value();
          end_.get_future().wait();
        }) {
    used_.get_future().wait();
  }
  ~IdleThread() {
    end_.set_value();
    thread_.join();
  }

 private:
  std::promise<void> used_, end_;
  std::thread thread_;
};

TEST(Allocator, ReleaseEmptiesTheCachesOfAllThreads) {
  World world;
  const IdleThread idle(&world, 1000, 500);
  world.Malloc(100);
  EXPECT_GT(world.stats().thread_cache_bytes, 50000u);
  world.allocator->scavenger().Trim(SIZE_MAX);
  EXPECT_EQ(world.stats().thread_cache_bytes, 0u);
}

// What an idle thread keeps is had by those that find no memory.
TEST(Allocator, MemoryOfIdleThreadsIsHad) {
  for (const size_t size : {size_t{4000}, size_t{300000}}) {
    World world;
    const IdleThread idle(&world, 100, 2000);
    world.system.FailFrom(1);
    while (world.Malloc(size) != nullptr) {
    }
    EXPECT_GT(world.live(), 0u);
    EXPECT_EQ(world.stats().thread_cache_bytes, 0u);
  }
}

// A malloc is counted when it begins, and no more when it finds no memory.
TEST(Allocator, CountsAreExactWhereMemoryEnds) {
  World world;
  std::map<size_t, uint64_t> mallocs, frees;
  std::vector<std::pair<char*, size_t>> blocks;
  const auto got = [&](void* p) {
    if (p == nullptr) return false;
    const size_t size = world.allocator->UsableSize(p);
    ++mallocs[size];
    blocks.emplace_back(static_cast<char*>(p), size);
    return true;
  };
  const auto free_last = [&] {
    ++frees[blocks.back().second];
    world.allocator->FreeSlow(blocks.back().first);
    blocks.pop_back();
  };
  const auto allocate = [&](size_t size) {
    void* const p = Allocator::Allocate(size);
    return got(p != nullptr ? p : world.allocator->AllocateSlow(size));
  };
  const auto check = [&] {
    const MemStats stats = world.stats();
    for (const spanmalloc_size_stats& counts : stats.by_size) {
      if (counts.size == 0) continue;
      ASSERT_EQ(counts.mallocs, mallocs[counts.size]) << counts.size;
      ASSERT_EQ(counts.frees, frees[counts.size]) << counts.size;
    }
  };
  std::mt19937 random(3);
  world.system.LimitBytes(24 << 20);
  int failures = 0;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20000; ++i) {
      const size_t size = (1 + random() % kMaxSmallSize) >> random() % 10;
      switch (random() % 8) {
        case 0:
          failures +=
              !got(world.allocator->AllocateAligned(1u << random() % 12, size));
          break;
        case 1: {
          if (blocks.empty()) break;
          auto& [p, old_size] = blocks.back();
          void* const q = world.allocator->Reallocate(p, size);
          failures += q == nullptr;
          if (q == nullptr || q == p) break;
          ++frees[old_size];
          blocks.pop_back();
          got(q);
          break;
        }
        case 2:
          world.allocator->scavenger().Trim(SIZE_MAX);
          break;
        case 3:
          if (!blocks.empty()) free_last();
          break;
        default:
          failures += !allocate(size);
      }
      if (i % 1000 == 0) check();
    }
    EXPECT_GT(failures, 100);
    if (round == 1) {
      // Without a cache, too.
      current_thread.cache->Flush();
      world.self.Exit();
    }
    while (!blocks.empty()) free_last();
    check();
  }
}

// Dirty pages that are strewn over the heap are all released.
TEST(Allocator, ReleaseFindsAllFreeMemory) {
  World world;
  for (int i = 0; i < 20; ++i) world.Aligned(kHugePageSize, 40 << 10);
  for (size_t i = 0; i <= 12; i += 2) world.Free(i);  // The last ones move up.
  const MemStats before = world.stats();
  const size_t held = before.heap_idle - before.heap_released;
  ASSERT_EQ(held, 7u * (40 << 10));
  EXPECT_EQ(world.allocator->scavenger().Trim(held + (1 << 20)), 0u);
  EXPECT_GE(world.allocator->scavenger().Trim(0), held);
  const MemStats after = world.stats();
  EXPECT_EQ(after.heap_idle, after.heap_released);
  EXPECT_EQ(world.allocator->scavenger().Trim(0), 0u);
  world.Check();
}

TEST(Allocator, ReleaseStopsWhenLittleIsLeft) {
  World world;
  for (int i = 0; i < 8; ++i) world.Malloc(1 << 20);
  world.FreeAll();
  world.allocator->scavenger().Trim(3 << 20);
  const MemStats stats = world.stats();
  EXPECT_LE(stats.heap_idle - stats.heap_released, 3u << 20);
  EXPECT_EQ(world.allocator->scavenger().Trim(3 << 20), 0u);
}

TEST(Allocator, ReleaseThatTheSystemRefuses) {
  World world;
  world.Malloc(1 << 20);
  world.FreeAll();
  world.system.Deny(FakeSystem::kRelease);
  EXPECT_EQ(world.allocator->scavenger().Trim(0), 0u);
  world.Check();
  for (int i = 0; i < 4; ++i) world.Calloc(1 << 20);
}

TEST(Allocator, FreeKeepsErrno) {
  World world;
  for (const size_t size : {1, 5000, 100 << 10, 100 << 20}) world.Malloc(size);
  world.allocator->scavenger().Trim(0);
  errno = 99;
  world.FreeAll();
  EXPECT_EQ(errno, 99);
}

// Large zeroed blocks of memory that was used before.
TEST(Allocator, ZeroedBlocksAreZeroAlsoWhereMemoryIsOld) {
  for (const bool refused : {false, true}) {
    World world;
    char* const dirty = static_cast<char*>(world.Malloc(40 << 20));
    memset(dirty, 1, 40 << 20);
    world.FreeAll();
    world.system.Deny(FakeSystem::kRelease, refused);
    const char* const p =
        static_cast<char*>(world.allocator->AllocateZeroedSlow(32 << 20));
    ASSERT_NE(p, nullptr);
    size_t nonzero = 0;
    for (size_t i = 0; i < (32 << 20); ++i) nonzero += p[i] != 0;
    EXPECT_EQ(nonzero, 0u);
    world.allocator->FreeSlow(const_cast<char*>(p));
  }
}

}  // namespace
}  // namespace spanmalloc
