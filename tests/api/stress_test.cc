// Threads that allocate, resize and free blocks of all sizes, their own and
// each other's, and that end and begin all the while; and exact books at the
// end.
#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "allocator/api/allocator.h"

namespace spanmalloc {
namespace {

constexpr int kThreads = 4;
constexpr int kGenerations = 8;
#if defined(SPANMALLOC_TSAN)
constexpr int kSteps = 4000;
#else
constexpr int kSteps = 80000;
#endif

struct Counts {
  uint64_t mallocs = 0;
  uint64_t frees = 0;
};

// A block, with its number in its first bytes and a pattern at its ends.
struct Block {
  unsigned char* p = nullptr;
  size_t size = 0;
  unsigned char pattern = 0;

  static constexpr size_t kEnds = 96;

  void Fill() const {
    memset(p, pattern, std::min(size, kEnds));
    if (size > kEnds) memset(p + size - kEnds, pattern, kEnds);
  }
  bool FirstHolds(size_t n) const {
    return std::all_of(p, p + std::min({size, n, kEnds}),
                       [this](unsigned char c) { return c == pattern; });
  }
  bool LastHolds() const {
    return std::all_of(p + (size > kEnds ? size - kEnds : 0), p + size,
                       [this](unsigned char c) { return c == pattern; });
  }
};

// Where threads leave blocks for others.
class Exchange {
 public:
  void Swap(size_t i, Block* block) {
    Slot& slot = slots_[i % slots_.size()];
    std::lock_guard<std::mutex> lock(slot.mutex);
    std::swap(slot.block, *block);
  }
  template <typename F>
  void ForEach(F&& f) {
    for (Slot& slot : slots_) f(&slot.block);
  }

 private:
  struct Slot {
    std::mutex mutex;
    Block block;
  };
  std::array<Slot, 512> slots_;
};

// One thread's life.
class Worker {
 public:
  Worker(unsigned seed, Exchange* exchange)
      : random_(seed), exchange_(exchange) {}

  void Run() {
    std::vector<Block> live(200);
    for (int step = 0; step < kSteps; ++step) {
      Block& block = live[random_() % live.size()];
      switch (random_() % 8) {
        case 0:
        case 1:
          exchange_->Swap(random_(), &block);
          break;
        case 2:
          if (block.p != nullptr) {
            Resize(&block);
            break;
          }
          [[fallthrough]];
        default:
          if (block.p != nullptr) {
            Free(&block);
          } else {
            Allocate(&block);
          }
      }
    }
    // Half of what is left is for the others.
    for (size_t i = 0; i < live.size(); ++i) {
      if (i % 2 == 0) exchange_->Swap(random_(), &live[i]);
      if (live[i].p != nullptr) Free(&live[i]);
    }
  }

  void Free(Block* block) {
    errors_ += !block->FirstHolds(SIZE_MAX) + !block->LastHolds();
    if (block->size % 2 == 0) {
      spanmalloc_free(block->p);
    } else {
      spanmalloc_free_sized(block->p, block->size);
    }
    ++counts_.frees;
    *block = Block();
  }

  const Counts& counts() const { return counts_; }
  int errors() const { return errors_; }

 private:
  // Mostly small ones, but of every magnitude.
  size_t RandomSize() {
    const unsigned r = random_() % 1000;
    const size_t most = r < 900   ? size_t{1} << (3 + r % 8)
                        : r < 990 ? size_t{40} << 10
                        : r < 999 ? size_t{300} << 10
                                  : size_t{3} << 20;
    return 1 + random_() % most;
  }
  void Allocate(Block* block) {
    block->size = RandomSize();
    block->pattern = static_cast<unsigned char>(random_());
    void* p = nullptr;
    switch (random_() % 8) {
      case 0:
        p = spanmalloc_calloc(1, block->size);
        errors_ += p == nullptr || *static_cast<char*>(p) != 0;
        break;
      case 1: {
        // Even sizes only: a sized free would have to name the alignment.
        block->size += block->size % 2;
        const size_t alignment = size_t{16} << random_() % 9;
        p = spanmalloc_memalign(alignment, block->size);
        errors_ += reinterpret_cast<uintptr_t>(p) % alignment != 0;
        break;
      }
      default:
        p = spanmalloc_malloc(block->size);
    }
    errors_ += p == nullptr;
    block->p = static_cast<unsigned char*>(p);
    block->Fill();
    ++counts_.mallocs;
  }
  void Resize(Block* block) {
    errors_ += !block->FirstHolds(SIZE_MAX) + !block->LastHolds();
    const size_t old_size = block->size;
    block->size = RandomSize();
    block->p =
        static_cast<unsigned char*>(spanmalloc_realloc(block->p, block->size));
    errors_ += block->p == nullptr || !block->FirstHolds(old_size);
    block->Fill();
  }

  std::mt19937 random_;
  Exchange* const exchange_;
  Counts counts_;
  int errors_ = 0;
};

// The same with the heap profiler: off; each block a sample; many of them, and
// some between guard pages.
struct Sampling {
  size_t interval, guarded;
};

class Stress : public testing::TestWithParam<Sampling> {
 protected:
  Stress() {
    spanmalloc_free(spanmalloc_malloc(1));  // The options are read.
    if (GetParam().guarded != 0) {
      EXPECT_TRUE(the_allocator.guarded().Enable(GetParam().guarded));
    }
    spanmalloc_set_profile_interval(GetParam().interval);
  }
  ~Stress() override {
    spanmalloc_set_profile_interval(0);
    the_allocator.guarded().Disable();
    the_allocator.CheckInvariants();
    the_allocator.profiler().profile().CheckInvariants();
  }
};

INSTANTIATE_TEST_SUITE_P(, Stress,
                         testing::Values(Sampling{0, 0}, Sampling{1, 0},
                                         Sampling{4096, 64}));

// What is counted beyond malloc and free: a realloc that moves is one of each.
TEST_P(Stress, ThreadsShareBlocksAndTheBooksAreExact) {
  const MemStats before = the_allocator.ReadStats();
  Exchange exchange;
  Counts total;
  int errors = 0;
  std::atomic<bool> stop{false};
  // Somebody watches meanwhile.
  std::thread observer([&stop] {
    while (!stop) {
      const MemStats stats = the_allocator.ReadStats();
      EXPECT_GE(stats.mallocs, stats.frees);
      EXPECT_LE(stats.threads, kThreads + 2u);
      the_allocator.CheckInvariants();
      if (stats.mallocs % 16 == 0) the_allocator.scavenger().Trim(4 << 20);
      std::this_thread::yield();
    }
  });
  for (int generation = 0; generation < kGenerations; ++generation) {
    std::vector<Worker> workers;
    for (int t = 0; t < kThreads; ++t) {
      workers.emplace_back(static_cast<unsigned>(generation * kThreads + t),
                           &exchange);
    }
    std::vector<std::thread> threads;
    for (Worker& worker : workers) threads.emplace_back([&] { worker.Run(); });
    for (std::thread& thread : threads) thread.join();
    for (const Worker& worker : workers) {
      total.mallocs += worker.counts().mallocs;
      total.frees += worker.counts().frees;
      errors += worker.errors();
    }
    // All threads of ours are gone, and nothing of what they counted.
    const MemStats stats = the_allocator.ReadStats();
    uint64_t live = 0;
    exchange.ForEach([&live](Block* block) { live += block->p != nullptr; });
    EXPECT_EQ(total.mallocs - total.frees, live);
    EXPECT_EQ((stats.mallocs - before.mallocs) - (stats.frees - before.frees),
              live);
    EXPECT_GE(stats.mallocs - before.mallocs, total.mallocs);
  }
  stop = true;
  observer.join();

  Worker last(0, &exchange);
  exchange.ForEach([&last](Block* block) {
    if (block->p != nullptr) last.Free(block);
  });
  EXPECT_EQ(errors + last.errors(), 0);
  const MemStats after = the_allocator.ReadStats();
  EXPECT_EQ(after.heap_alloc, before.heap_alloc);
  EXPECT_EQ(after.large_objects, before.large_objects);
  EXPECT_EQ(after.mallocs - before.mallocs, after.frees - before.frees);
  EXPECT_EQ(after.heap_inuse, after.heap_alloc + after.thread_cache_bytes +
                                  after.transfer_cache_bytes +
                                  after.central_free_bytes +
                                  after.span_tail_bytes);
  the_allocator.CheckInvariants();
}

// All caches are emptied over and over, and nothing shows.
TEST_P(Stress, CachesAreDrainedMeanwhile) {
  const MemStats before = the_allocator.ReadStats();
  Exchange exchange;
  std::atomic<bool> stop{false};
  std::thread drainer([&stop] {
    while (!stop) the_allocator.scavenger().Trim(SIZE_MAX);
  });
  int errors = 0;
  for (int generation = 0; generation < 3; ++generation) {
    std::vector<Worker> workers;
    for (int t = 0; t < kThreads; ++t) {
      workers.emplace_back(static_cast<unsigned>(100 + generation * 9 + t),
                           &exchange);
    }
    std::vector<std::thread> threads;
    for (Worker& worker : workers) threads.emplace_back([&] { worker.Run(); });
    for (std::thread& thread : threads) thread.join();
    for (const Worker& worker : workers) errors += worker.errors();
  }
  stop = true;
  drainer.join();
  Worker last(0, &exchange);
  exchange.ForEach([&last](Block* block) {
    if (block->p != nullptr) last.Free(block);
  });
  EXPECT_EQ(errors + last.errors(), 0);
  const MemStats after = the_allocator.ReadStats();
  EXPECT_EQ(after.heap_alloc, before.heap_alloc);
  EXPECT_EQ(after.mallocs - before.mallocs, after.frees - before.frees);
  for (size_t i = 0; i < sizeof(after.by_size) / sizeof(*after.by_size); ++i) {
    EXPECT_EQ(after.by_size[i].mallocs - before.by_size[i].mallocs,
              after.by_size[i].frees - before.by_size[i].frees);
  }
  the_allocator.CheckInvariants();
}

// Each thread's counts, for nothing but malloc and free.
TEST_P(Stress, EveryMallocOfEveryThreadIsCounted) {
  const MemStats before = the_allocator.ReadStats();
  constexpr uint64_t kEach = 20000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([] {
      for (uint64_t i = 0; i < kEach; ++i) {
        spanmalloc_free(spanmalloc_malloc(i * 7 % 50000));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const MemStats after = the_allocator.ReadStats();
  EXPECT_EQ(after.mallocs - before.mallocs, kThreads * kEach);
  EXPECT_EQ(after.frees - before.frees, kThreads * kEach);
}

// One thread allocates, another frees: nothing piles up.
TEST_P(Stress, ProducerAndConsumer) {
  Exchange exchange;
  const size_t system_bytes = the_allocator.ReadStats().sys;
  std::atomic<bool> stop{false};
  std::thread consumer([&] {
    size_t i = 0;
    while (!stop) {
      Block block;
      exchange.Swap(i++, &block);
      if (block.p != nullptr) spanmalloc_free(block.p);
    }
  });
  for (size_t i = 0; i < 200000; ++i) {
    Block block;
    block.p = static_cast<unsigned char*>(spanmalloc_malloc(1 + i % 2000));
    exchange.Swap(i, &block);
    if (block.p != nullptr) spanmalloc_free(block.p);
  }
  stop = true;
  consumer.join();
  exchange.ForEach([](Block* block) { spanmalloc_free(block->p); });
  const MemStats after = the_allocator.ReadStats();
  EXPECT_LT(after.sys, system_bytes + (64 << 20));
  the_allocator.CheckInvariants();
}

}  // namespace
}  // namespace spanmalloc
