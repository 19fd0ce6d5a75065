#include "allocator/thread/thread_cache.h"

#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "allocator/base/bits.h"
#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

constexpr size_t kPlenty = size_t{1} << 30;
constexpr size_t kFirstLimit = 8;  // Of small objects.
constexpr size_t kSmallHeapsAllowance = size_t{1} << 20;

size_t TagFor(size_t size) { return class_of_size.TagFor(size); }
size_t ClassOf(size_t size) { return ClassOfTag(TagFor(size)); }

class ThreadCacheTest : public testing::Test {
 protected:
  ThreadCacheTest() {
    heap_->page_heap().Prepare();
    // A heap that is not small.
    big_ = heap_->page_heap().NewLargeSpan(Length(16384), 1);
    cache_ = ThreadCache::Create(
        heap_->page_heap().arena().Allocate(ThreadCache::kBlockSize),
        heap_.get(), &share_);
  }
  ~ThreadCacheTest() override { Check(); }

  void Check() {
    cache_->CheckInvariants();
    heap_->CheckInvariants();
  }
  size_t Cached(size_t size) { return cache_->cached_objects(ClassOf(size)); }

  void* Malloc(size_t size) {
    void* p = cache_->Allocate(size);
    if (p == nullptr) p = cache_->Refill(TagFor(size));
    if (p == nullptr) cache_->GiveUp(TagFor(size));
    return p;
  }
  // What the bin has, or null.
  void* Pop(size_t tag) {
    void* const p = cache_->Pop(tag);
    if (p == nullptr) cache_->GiveUp(tag);
    return p;
  }
  // A miss, with the bin empty or not.
  void* Refill(size_t tag) {
    if (void* const p = cache_->Pop(tag)) {
      heap_->list(ClassOfTag(tag)).InsertRange(&p, 1);
      while (void* const q = cache_->Pop(tag)) {
        heap_->list(ClassOfTag(tag)).InsertRange(&q, 1);
      }
    }
    return cache_->Refill(tag);
  }
  void Free(size_t size, void* p) {
    if (cache_->Free(p)) return;
    EXPECT_FALSE(cache_->IsNewest(TagFor(size), p));
    cache_->MakeRoom(TagFor(size));
    EXPECT_TRUE(cache_->Free(p));
  }

  // `n` objects straight from the central list, ascending.
  std::vector<void*> Objects(size_t size, size_t n) {
    std::vector<void*> objects(n);
    EXPECT_EQ(heap_->list(ClassOf(size)).RemoveRange(objects.data(), n), n);
    std::reverse(objects.begin(), objects.end());
    return objects;
  }
  bool IsCentral(size_t size, const void* p) {
    return heap_->list(ClassOf(size)).IsFree(p);
  }

  // Gives the bin its first limit.
  void Begin(size_t size) {
    cache_->MakeRoom(TagFor(size));
    EXPECT_EQ(Cached(size), 0u);
  }

  // Pushes objects until the bin is full; returns those that it took.
  std::vector<void*> Fill(size_t size) {
    std::vector<void*> taken;
    for (;;) {
      void* const p = Objects(size, 1)[0];
      if (!cache_->Push(TagFor(size), p)) {
        heap_->list(ClassOf(size)).InsertRange(&p, 1);
        return taken;
      }
      taken.push_back(p);
    }
  }

  // Misses until refills bring no more than those before. Returns how many
  // objects the last one brought.
  size_t GrowByMisses(size_t size) {
    size_t last = 0;
    for (int same = 0;;) {
      std::vector<void*> objects;
      while (Cached(size) != 0) objects.push_back(Malloc(size));
      objects.push_back(Malloc(size));
      const size_t brought = Cached(size) + 1;
      heap_->list(ClassOf(size)).InsertRange(objects.data(), objects.size());
      same = brought == last ? same + 1 : 0;
      if (same == 2) return last;
      last = brought;
    }
  }

  FakeSystem system_;
  const std::unique_ptr<CentralHeap> heap_ =
      std::make_unique<CentralHeap>(&FakeSystem::memory());
  CacheShare share_{kPlenty};
  Span* big_ = nullptr;
  ThreadCache* cache_ = nullptr;
};

TEST(NoCache, MissesAndRefusesEverything) {
  ThreadCache none{ThreadCache::NoCache()};
  alignas(8) char bytes[64];
  for (size_t size = 0; size <= kMaxSmallSize + 8; size += 8) {
    EXPECT_EQ(none.Allocate(size), nullptr);
    EXPECT_FALSE(none.FreeSized(bytes, size));
  }
  for (size_t c = 0; c < kNumClasses; ++c) {
    EXPECT_EQ(none.Pop(TagOfClass(c)), nullptr);
    EXPECT_FALSE(none.Push(TagOfClass(c), bytes));
  }
  EXPECT_FALSE(none.Free(bytes));
  EXPECT_FALSE(none.Free(nullptr));
}

TEST_F(ThreadCacheTest, StartsEmpty) {
  for (size_t c = 1; c < kNumClasses; ++c) {
    EXPECT_EQ(Pop(TagOfClass(c)), nullptr);
    EXPECT_EQ(cache_->cached_objects(c), 0u);
    EXPECT_EQ(cache_->mallocs(c), 0u);
    EXPECT_EQ(cache_->frees(c), 0u);
  }
  EXPECT_EQ(cache_->Allocate(kMaxSmallSize + 1), nullptr);
}

TEST_F(ThreadCacheTest, ServesEveryClass) {
  for (size_t c = 1; c < kNumClasses; ++c) {
    const size_t size = kClassSizes[c];
    void* const p = Malloc(size);
    ASSERT_NE(p, nullptr);
    EXPECT_EQ(
        heap_->page_heap().class_map().Get(reinterpret_cast<uintptr_t>(p)),
        TagOfClass(c));
    EXPECT_TRUE(cache_->FreeSized(p, size));
    EXPECT_EQ(Malloc(size), p) << "the newest comes first";
    Free(size, p);
    Check();
  }
}

TEST_F(ThreadCacheTest, RefillsAscend) {
  std::vector<void*> objects;
  for (int i = 0; i < 1000; ++i) objects.push_back(Malloc(48));
  EXPECT_TRUE(std::is_sorted(objects.begin(), objects.end()));
}

// The first miss fetches all that the bin may hold, each later one half of it.
TEST_F(ThreadCacheTest, LimitsDoubleAtEachMissUpToTheMaximum) {
  for (const size_t size : {8, 48, 1024, 6528, 32768}) {
    const size_t max = kSizeClasses[ClassOf(size)].max_cached;
    size_t limit = std::clamp<size_t>(4096 / size, 1, kFirstLimit);
    for (int miss = 0; miss < 12; ++miss) {
      std::vector<void*> objects = {Malloc(size)};
      EXPECT_EQ(Cached(size) + 1,
                miss == 0 ? limit : std::max<size_t>(limit / 2, 1))
          << size << " miss " << miss;
      while (Cached(size) != 0) objects.push_back(Malloc(size));
      limit = std::min(2 * limit, max);
      Check();
      heap_->list(ClassOf(size)).InsertRange(objects.data(), objects.size());
    }
    EXPECT_EQ(limit, max);
  }
}

TEST_F(ThreadCacheTest, LimitsGrowWhenFull) {
  const size_t max = kSizeClasses[ClassOf(64)].max_cached;
  EXPECT_TRUE(Fill(64).empty()) << "at first a bin has no room";
  Begin(64);
  std::vector<void*> pushed;
  for (size_t limit = kFirstLimit;; limit *= 2) {
    for (void* p : Fill(64)) pushed.push_back(p);
    ASSERT_EQ(pushed.size(), limit);
    if (limit == max) break;
    cache_->MakeRoom(TagFor(64));
    EXPECT_EQ(Cached(64), limit) << "growing flushes nothing";
    Check();
  }
  // All in order, also across the move to the long array.
  for (; !pushed.empty(); pushed.pop_back()) {
    ASSERT_EQ(Pop(TagFor(64)), pushed.back());
  }
}

// Whoever uses every class a little touches two or three of the smallest pages.
TEST_F(ThreadCacheTest, ShortArraysLieTogether) {
  char* const block = static_cast<char*>(heap_->page_heap().AllocateRecord(
      ThreadCache::kBlockSize, RecordKind::kThreadCaches));
  memset(block, 0x5a, ThreadCache::kBlockSize);
  const auto pages = [&] {
    size_t n = ThreadCache::kBlockSize;
    while (block[n - 1] == 0x5a) --n;
    return DivideRoundingUp(n, kMinSystemPageSize);
  };
  cache_ = ThreadCache::Create(block, heap_.get(), &share_);
  const auto use = [&](size_t size, size_t n) {
    std::vector<void*> objects;
    for (size_t i = 0; i < n; ++i) objects.push_back(Malloc(size));
    for (void* p : objects) Free(size, p);
    Check();
  };
  for (int round = 0; round < 2; ++round) {
    for (size_t c = 1; c < kNumClasses; ++c) {
      use(kClassSizes[c], kClassSizes[c] <= 512 ? 8 : 4);
    }
    EXPECT_EQ(pages(), 2u);
    cache_->Empty();
    cache_->Reset();
  }
  EXPECT_EQ(pages(), 2u);
  for (size_t c = 1; c < kNumClasses; ++c) {
    if (kClassSizes[c] <= 256) use(kClassSizes[c], 16);
    if (kClassSizes[c] >= 4096) use(kClassSizes[c], 32);
  }
  EXPECT_EQ(pages(), 3u);
  GrowByMisses(8);
  EXPECT_GT(pages(), 3u);
}

TEST_F(ThreadCacheTest, WithoutShareLimitsStay) {
  share_.bytes = 0;
  EXPECT_EQ(GrowByMisses(64), kFirstLimit / 2);
  EXPECT_EQ(Fill(64).size() + kFirstLimit / 2 - 1, kFirstLimit);
}

// Bins together stay within the share, but for their first limits.
TEST_F(ThreadCacheTest, LimitsStopAtTheShare) {
  share_.bytes = 32 * 64;
  EXPECT_EQ(GrowByMisses(64), 32u / 2);
  EXPECT_EQ(GrowByMisses(128), kFirstLimit / 2) << "nothing is left";
  share_.bytes = 32 * (64 + 128);
  EXPECT_EQ(GrowByMisses(128), 32u / 2);
}

TEST_F(ThreadCacheTest, SmallHeapsHaveSmallCaches) {
  const size_t of_big_heap = heap_->page_heap().stats().used.bytes() / 16;
  heap_->page_heap().DeleteLargeSpan(big_->address());
  size_t limits = 0;
  for (size_t size = 1024; size <= 8192; size += 512) {
    limits += 2 * GrowByMisses(size) * kSizeClasses[ClassOf(size)].size;
  }
  EXPECT_LE(limits, kSmallHeapsAllowance + (128 << 10)) << "first limits too";
  EXPECT_GT(limits, kSmallHeapsAllowance / 2);
  ASSERT_NE(heap_->page_heap().NewLargeSpan(Length(16384), 1), nullptr);
  ASSERT_GE(of_big_heap, 2 * kSmallHeapsAllowance);
  limits = 0;
  for (size_t size = 1024; size <= 8192; size += 512) {
    limits += 2 * GrowByMisses(size) * kSizeClasses[ClassOf(size)].size;
  }
  EXPECT_GT(limits, kSmallHeapsAllowance + (128 << 10));
}

// The caches of a small heap together stay in bounds, however many there are.
TEST_F(ThreadCacheTest, ManyThreadsHaveSmallCaches) {
  heap_->page_heap().DeleteLargeSpan(big_->address());
  const struct {
    size_t threads, allowance;
  } kCases[] = {{1, 1 << 20}, {4, 1 << 20}, {16, 256 << 10}, {1000, 128 << 10}};
  for (const auto& c : kCases) {
    share_.threads = c.threads;
    cache_ = ThreadCache::Create(
        heap_->page_heap().arena().Allocate(ThreadCache::kBlockSize),
        heap_.get(), &share_);
    size_t limits = 0;
    for (size_t size = 64; size <= 2048; size += 64) {
      limits += 2 * GrowByMisses(size) * kSizeClasses[ClassOf(size)].size;
    }
    EXPECT_GT(limits, c.allowance / 2) << c.threads;
    EXPECT_LE(limits, c.allowance + (128 << 10)) << "first limits too";
    Check();
    cache_->Flush();
  }
}

TEST_F(ThreadCacheTest, FullBinGivesBackTheOlderHalf) {
  share_.bytes = 0;
  Begin(48);
  const std::vector<void*> pushed = Fill(48);
  ASSERT_EQ(pushed.size(), kFirstLimit);
  cache_->MakeRoom(TagFor(48));
  Check();
  EXPECT_EQ(Cached(48), kFirstLimit / 2);
  for (size_t i = 0; i < kFirstLimit; ++i) {
    EXPECT_EQ(IsCentral(48, pushed[i]), i < kFirstLimit / 2) << i;
  }
  for (size_t i = kFirstLimit; i-- > kFirstLimit / 2;) {
    EXPECT_EQ(cache_->Pop(TagFor(48)), pushed[i]);
  }
}

// What a full bin gives back is for other threads; what is flushed goes home.
TEST_F(ThreadCacheTest, OnlyFullBinsFeedTheTransferCache) {
  share_.bytes = 0;
  heap_->set_shared();
  TransferCache& transfer = heap_->transfer(ClassOf(48));
  Begin(48);
  const std::vector<void*> pushed = Fill(48);
  cache_->MakeRoom(TagFor(48));
  const size_t passed = transfer.objects();
  EXPECT_EQ(passed, pushed.size() - Cached(48));
  EXPECT_GT(passed, 0u);
  EXPECT_FALSE(IsCentral(48, pushed.front()));
  cache_->Flush();
  EXPECT_EQ(transfer.objects(), passed);
  EXPECT_TRUE(IsCentral(48, pushed.back()));
  EXPECT_EQ(Refill(TagFor(48)), pushed[passed - 1]) << "newest first";
}

TEST_F(ThreadCacheTest, LimitsShrinkWhenTheShareDoes) {
  const size_t grown = 2 * GrowByMisses(48);
  cache_->Flush();
  share_.bytes = 0;
  for (size_t limit = grown; limit > kFirstLimit; limit /= 2) {
    while (Pop(TagFor(48)) != nullptr) {
    }
    const std::vector<void*> pushed = Fill(48);
    ASSERT_EQ(pushed.size(), limit);
    cache_->MakeRoom(TagFor(48));
    Check();
    // The newest are kept, half of the new limit.
    const size_t kept = Cached(48);
    EXPECT_EQ(kept, limit / 4);
    for (size_t i = 0; i < limit; ++i) {
      ASSERT_EQ(IsCentral(48, pushed[i]), i < limit - kept) << i;
    }
    EXPECT_TRUE(cache_->IsNewest(TagFor(48), pushed.back()));
  }
}

TEST_F(ThreadCacheTest, RefusesWhatIsNoObject) {
  char* const p = static_cast<char*>(Malloc(48));
  char* const span = reinterpret_cast<char*>(
      AlignDown(reinterpret_cast<uintptr_t>(p), kSmallSpanSize));
  for (const ptrdiff_t offset : {1, 8, 16, 47}) {
    EXPECT_FALSE(cache_->Free(p + offset)) << offset;
    EXPECT_FALSE(cache_->FreeSized(p + offset, 48)) << offset;
    EXPECT_FALSE(cache_->Push(TagFor(48), p + offset)) << offset;
  }
  // Behind the last object, where one more would not fit.
  const size_t capacity = kSizeClasses[ClassOf(48)].capacity;
  EXPECT_FALSE(cache_->Push(TagFor(48), span + capacity * 48));
  EXPECT_FALSE(cache_->Push(TagFor(48), span + kSmallSpanSize - 1));
  EXPECT_FALSE(cache_->Push(0, p));
  // Addresses that are in no span.
  EXPECT_FALSE(cache_->Free(nullptr));
  EXPECT_FALSE(cache_->Free(&share_));
  EXPECT_FALSE(cache_->Free(reinterpret_cast<void*>(~uintptr_t{0})));
  EXPECT_FALSE(cache_->Free(span + kHugePageSize));
  EXPECT_EQ(cache_->frees(ClassOf(48)), 0u);
  Free(48, p);
}

TEST_F(ThreadCacheTest, RefusesTheNewest) {
  void* const p = Malloc(48);
  void* const q = Malloc(48);
  Free(48, p);
  EXPECT_FALSE(cache_->Free(p));
  EXPECT_FALSE(cache_->FreeSized(p, 48));
  EXPECT_TRUE(cache_->IsNewest(TagFor(48), p));
  EXPECT_FALSE(cache_->IsNewest(TagFor(48), q));
  Free(48, q);
  EXPECT_EQ(cache_->frees(ClassOf(48)), 2u);
}

TEST_F(ThreadCacheTest, SizedFreeChecksTheClass) {
  void* const p = Malloc(100);  // 97 to 112.
  for (const size_t wrong : {size_t{0}, size_t{96}, size_t{113}, size_t{32768},
                             size_t{32769}, ~size_t{0}}) {
    EXPECT_FALSE(cache_->FreeSized(p, wrong)) << wrong;
  }
  EXPECT_TRUE(cache_->FreeSized(p, 97));
}

TEST_F(ThreadCacheTest, CountsAreExact) {
  std::mt19937 random(1);
  std::vector<std::pair<size_t, void*>> live;
  uint64_t mallocs[kNumClasses] = {}, frees[kNumClasses] = {};
  std::set<void*> distinct;
  for (int step = 0; step < 20000; ++step) {
    if (step % 4000 == 0) share_.bytes = step % 8000 == 0 ? kPlenty : 0;
    if (live.empty() || random() % 100 < (step / 2000 % 2 == 0 ? 70u : 30u)) {
      const size_t size = (random() % 4096) >> (random() % 10);
      void* const p = Malloc(size);
      ASSERT_TRUE(distinct.insert(p).second);
      live.emplace_back(size, p);
      ++mallocs[ClassOf(size)];
    } else {
      std::swap(live[random() % live.size()], live.back());
      Free(live.back().first, live.back().second);
      distinct.erase(live.back().second);
      ++frees[ClassOf(live.back().first)];
      live.pop_back();
    }
    if (step % 100 == 0) cache_->CheckInvariants();
    if (step % 1000 == 0) heap_->CheckInvariants();
  }
  for (const auto& [size, p] : live) Free(size, p);
  for (const auto& block : live) ++frees[ClassOf(block.first)];
  for (size_t c = 1; c < kNumClasses; ++c) {
    EXPECT_EQ(cache_->mallocs(c), mallocs[c]);
    EXPECT_EQ(cache_->frees(c), frees[c]);
    const CentralFreeListStats central = heap_->list(c).stats();
    size_t guests = 0;
    if (const size_t host = kSizeClasses[c].host) {
      const CentralFreeListStats stats = heap_->list(host).stats();
      guests = stats.spans * kSizeClasses[host].capacity - stats.free_guests;
    }
    EXPECT_EQ(central.spans * kSizeClasses[c].capacity + guests,
              central.free_objects + cache_->cached_objects(c));
  }
}

TEST_F(ThreadCacheTest, FlushGivesAllBack) {
  for (size_t c = 1; c < kNumClasses; ++c) Malloc(kClassSizes[c]);
  cache_->Flush();
  for (size_t c = 1; c < kNumClasses; ++c) {
    EXPECT_EQ(cache_->cached_objects(c), 0u);
    EXPECT_EQ(heap_->list(c).stats().free_objects,
              kSizeClasses[c].capacity - 1u);
    EXPECT_EQ(cache_->mallocs(c), 1u) << "a flush is no free";
    EXPECT_EQ(cache_->frees(c), 0u);
  }
}

TEST_F(ThreadCacheTest, IdleBinsAreEmptied) {
  GrowByMisses(64);
  const std::vector<void*> idle = Fill(64);
  const size_t cached = Cached(64);
  ASSERT_GT(cached, kFirstLimit);
  // Each is a slow step: the class has two objects at most.
  size_t steps = 0;
  for (; Cached(64) == cached && steps < 10000; ++steps) {
    void* const p = Refill(TagFor(kMaxSmallSize));
    heap_->list(ClassOf(kMaxSmallSize)).InsertRange(&p, 1);
  }
  EXPECT_GE(steps, 500u);
  EXPECT_LE(steps, 2000u);
  EXPECT_EQ(Cached(64), 0u);
  for (void* p : idle) ASSERT_TRUE(IsCentral(64, p));
  Check();
  EXPECT_TRUE(Fill(64).empty()) << "its limit starts over";
}

TEST_F(ThreadCacheTest, UsedBinsAreNotEmptied) {
  GrowByMisses(64);
  void* const p = Malloc(64);
  Free(64, p);
  const size_t cached = Cached(64);
  for (int steps = 0; steps < 4000; ++steps) {
    EXPECT_EQ(Malloc(64), p);
    Free(64, p);
    void* const q = Refill(TagFor(kMaxSmallSize));
    heap_->list(ClassOf(kMaxSmallSize)).InsertRange(&q, 1);
  }
  EXPECT_EQ(Cached(64), cached);
}

TEST_F(ThreadCacheTest, RefillWithoutMemory) {
  std::vector<void*> all;
  Malloc(32768);
  system_.FailFrom(1);
  while (void* const p = Malloc(32768)) all.push_back(p);
  EXPECT_GT(all.size(), 100u);
  EXPECT_EQ(Malloc(16), nullptr);
  Check();
  EXPECT_EQ(cache_->mallocs(ClassOf(32768)), all.size() + 1);
  for (void* p : all) Free(32768, p);
  cache_->Flush();
  EXPECT_NE(Malloc(16), nullptr);
}

}  // namespace
}  // namespace spanmalloc
