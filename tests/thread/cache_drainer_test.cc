// What a drainer does to a cache, step by step, with the owner at every point
// of an operation. The test is both: the owner's half-done operations are
// imitated by their effects on memory, in their order. (Many threads at once:
// drain_test.cc.)
#include "allocator/thread/cache_drainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "tests/support/fake_system.h"

namespace spanmalloc {

// One bin of a cache, as its owner's instructions see it.
class ThreadCachePeer {
 public:
  ThreadCachePeer(ThreadCache* cache, size_t tag)
      : cache_(cache),
        bin_(cache->BinOf(tag)),
        info_(ThreadCache::InfoOf(bin_)) {}

  // A malloc
  void CountMalloc() { bin_.mallocs.Increment(); }
  void* LoadNewest() const { return LoadUnlocked(bin_.top - 1); }
  void MoveTop(ptrdiff_t n) { ThreadCache::SetTop(bin_, bin_.top + n); }
  // A free
  bool HasRoom() const { return bin_.top < LoadUnlocked(&bin_.limit); }
  void StoreAtTop(void* p) { StoreUnlocked(bin_.top, p); }
  void CountFree() { bin_.frees.Increment(); }

  void SetOnSlowPath(bool on) { cache_->on_slow_path_ = on; }
  bool is_gate_open() const { return cache_->gate_.IsOpen(); }
  size_t limit() const { return info_.limit; }
  size_t height() const { return static_cast<size_t>(bin_.top - info_.slots); }
  void* above_top(size_t n) const { return LoadUnlocked(bin_.top + n); }

 private:
  ThreadCache* const cache_;
  ThreadCache::Bin& bin_;
  const ThreadCache::BinInfo& info_;
};

namespace {

constexpr size_t kSize = 48;
constexpr size_t kOther = 640;

class CacheDrainerTest : public testing::Test {
 protected:
  CacheDrainerTest() {
    heap_->page_heap().Prepare();
    // A heap that is not small.
    heap_->page_heap().NewLargeSpan(Length(16384), 1);
    cache_ = NewCache();
    bin_ = std::make_unique<ThreadCachePeer>(cache_, Tag());
  }
  ~CacheDrainerTest() override {
    EXPECT_TRUE(bin_->is_gate_open());
    cache_->CheckInvariants();
    heap_->CheckInvariants();
    EXPECT_EQ(cache_->mallocs(Class()), mallocs_);
    EXPECT_EQ(cache_->frees(Class()), frees_);
  }

  ThreadCache* NewCache() {
    return ThreadCache::Create(
        heap_->page_heap().arena().Allocate(ThreadCache::kBlockSize),
        heap_.get(), &share_);
  }
  static size_t Tag(size_t size = kSize) { return class_of_size.TagFor(size); }
  static size_t Class(size_t size = kSize) { return ClassOfTag(Tag(size)); }
  bool IsCentral(const void* p) { return heap_->list(Class()).IsFree(p); }

  void* Malloc(size_t size = kSize) {
    mallocs_ += Class(size) == Class();
    void* const p = cache_->Pop(Tag(size));
    return p != nullptr ? p : cache_->Refill(Tag(size));
  }
  void Free(void* p, size_t size = kSize) {
    frees_ += Class(size) == Class();
    while (!cache_->Push(Tag(size), p)) cache_->MakeRoom(Tag(size));
  }
  // Leaves `n` objects in the bin; returns them, the newest last.
  std::vector<void*> Fill(size_t n, size_t size = kSize) {
    std::vector<void*> objects(n);
    for (void*& p : objects) p = Malloc(size);
    cache_->Flush();
    for (void* p : objects) Free(p, size);
    EXPECT_EQ(cache_->cached_objects(Class(size)), n);
    return objects;
  }

  // The steps of a drainer.
  void Add(DrainScope scope = DrainScope::kAll) {
    result_ = DrainResult();
    drainer_ = std::make_unique<CacheDrainer>(heap_.get(), scope, &result_);
    EXPECT_TRUE(drainer_->Add(cache_));
  }
  void Take() { drainer_->Take(true); }
  void Finish() {
    drainer_->Finish(true);
    EXPECT_TRUE(bin_->is_gate_open());
  }
  void Drain(DrainScope scope = DrainScope::kAll) {
    Add(scope);
    Take();
    Finish();
  }

  // The objects were left: all that are in `expected`, the newest last.
  void ExpectInBin(const std::vector<void*>& expected) {
    EXPECT_EQ(result_.objects, 0u);
    EXPECT_EQ(result_.caches_left, 1u);
    cache_->CheckInvariants();
    EXPECT_EQ(cache_->cached_objects(Class()), expected.size());
    for (size_t i = expected.size(); i-- != 0;) {
      ASSERT_EQ(cache_->Pop(Tag()), expected[i]) << i;
      ++mallocs_;
      EXPECT_FALSE(IsCentral(expected[i]));
    }
  }
  // All of `objects` went home, and `left` is what the bin has.
  void ExpectHome(const std::vector<void*>& objects,
                  const std::vector<void*>& left = {}) {
    EXPECT_EQ(result_.objects, objects.size());
    EXPECT_EQ(result_.bytes, objects.size() * kSize);
    EXPECT_EQ(result_.caches_left, 0u);
    for (void* p : objects) EXPECT_TRUE(IsCentral(p));
    cache_->CheckInvariants();
    EXPECT_EQ(cache_->cached_objects(Class()), left.size());
    EXPECT_EQ(bin_->limit(), 0u);
    EXPECT_FALSE(bin_->HasRoom());
    for (void* p : left) EXPECT_FALSE(IsCentral(p));
    // A slow step puts it in order.
    cache_->MakeRoom(Tag(kOther));
    cache_->CheckInvariants();
    EXPECT_EQ(bin_->height(), left.size());
    EXPECT_GE(bin_->limit(), left.size());
    for (size_t i = left.size(); i-- != 0;) {
      ASSERT_EQ(cache_->Pop(Tag()), left[i]) << i;
      ++mallocs_;
    }
  }

  FakeSystem system_;
  const std::unique_ptr<CentralHeap> heap_ =
      std::make_unique<CentralHeap>(&FakeSystem::memory());
  CacheShare share_{size_t{1} << 30};
  ThreadCache* cache_ = nullptr;
  std::unique_ptr<ThreadCachePeer> bin_;
  std::unique_ptr<CacheDrainer> drainer_;
  DrainResult result_;
  // By the test's own count.
  uint64_t mallocs_ = 0;
  uint64_t frees_ = 0;
};

// ---- An owner that does nothing

TEST_F(CacheDrainerTest, WhatIsCachedGoesHome) {
  for (const size_t n : {1, 2, 8, 16, 17, 64, 65, 66, 500}) {
    const std::vector<void*> objects = Fill(n);
    Drain();
    EXPECT_FALSE(cache_->holds());
    ExpectHome(objects);
  }
}

TEST_F(CacheDrainerTest, AllClassesAtOnce) {
  size_t bytes = 0;
  for (size_t c = 1; c < kNumClasses; ++c) {
    Malloc(kClassSizes[c]);
    bytes += cache_->cached_objects(c) * kClassSizes[c];
  }
  Drain();
  EXPECT_EQ(result_.bytes, bytes);
  EXPECT_EQ(result_.caches_left, 0u);
  EXPECT_FALSE(cache_->holds());
  for (size_t c = 1; c < kNumClasses; ++c) {
    EXPECT_EQ(cache_->cached_objects(c), 0u);
    EXPECT_EQ(heap_->list(c).stats().free_objects,
              kSizeClasses[c].capacity - 1u);
  }
}

TEST_F(CacheDrainerTest, TheOwnerGoesOn) {
  for (int round = 0; round < 3; ++round) {
    const std::vector<void*> objects = Fill(20);
    Drain();
    std::set<void*> distinct;
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(distinct.insert(Malloc()).second);
    }
    for (void* p : distinct) Free(p);
    Drain();
    // The first thing may be a free, too.
    void* const p = Malloc();
    Drain();
    Free(p);
    EXPECT_EQ(cache_->cached_objects(Class()), 1u);
    EXPECT_EQ(Malloc(), p);
  }
}

TEST_F(CacheDrainerTest, WhatHoldsNothingIsSkipped) {
  EXPECT_FALSE(cache_->holds());
  Add();
  EXPECT_TRUE(drainer_->empty());
  EXPECT_TRUE(bin_->is_gate_open());
  EXPECT_EQ(result_.caches_left, 0u);
}

// An empty bin with room is as good as a full one: it would fill unseen.
TEST_F(CacheDrainerTest, EmptyBinsLoseTheirRoom) {
  Fill(8);
  while (bin_->height() != 0) Malloc();
  EXPECT_TRUE(bin_->HasRoom());
  EXPECT_TRUE(cache_->holds());
  Drain();
  EXPECT_FALSE(cache_->holds());
  ExpectHome({});
}

TEST_F(CacheDrainerTest, WithoutBarriersNothingHappens) {
  const std::vector<void*> objects = Fill(20);
  Add();
  drainer_->Take(false);
  EXPECT_TRUE(bin_->is_gate_open());
  drainer_->Finish(false);
  EXPECT_EQ(bin_->height(), 20u);
  Add();
  Take();
  drainer_->Finish(false);
  EXPECT_TRUE(bin_->is_gate_open());
  ExpectInBin(objects);
}

// ---- An owner in the middle of a malloc

TEST_F(CacheDrainerTest, MallocBeforeItsObjectIsTaken) {
  std::vector<void*> objects = Fill(5);
  Add();
  EXPECT_EQ(Malloc(), objects.back());
  objects.pop_back();
  Take();
  Finish();
  ExpectHome(objects);
}

TEST_F(CacheDrainerTest, MallocCountedAndNotLoaded) {
  const std::vector<void*> objects = Fill(5);
  Add();
  bin_->CountMalloc();
  ++mallocs_;
  Take();
  EXPECT_EQ(bin_->LoadNewest(), nullptr) << "goes on at the slow path";
  Finish();
  EXPECT_EQ(cache_->Refill(Tag()), objects.back()) << "which finds it there";
  ExpectInBin({objects.begin(), objects.end() - 1});
}

TEST_F(CacheDrainerTest, MallocThatHasLoadedIts) {
  for (const bool moves_before_end : {false, true}) {
    std::vector<void*> objects = Fill(5);
    Add();
    bin_->CountMalloc();
    ++mallocs_;
    EXPECT_EQ(bin_->LoadNewest(), objects.back());
    Take();
    if (moves_before_end) bin_->MoveTop(-1);
    Finish();
    if (!moves_before_end) bin_->MoveTop(-1);
    EXPECT_FALSE(IsCentral(objects.back()));
    objects.pop_back();
    ExpectInBin(objects);
  }
}

TEST_F(CacheDrainerTest, MallocBetweenTheSteps) {
  const std::vector<void*> objects = Fill(5);
  Add();
  Take();
  EXPECT_EQ(cache_->Pop(Tag()), nullptr) << "waits for the gate";
  ++mallocs_;
  Finish();
  EXPECT_EQ(cache_->Refill(Tag()), objects.back());
  ExpectInBin({objects.begin(), objects.end() - 1});
}

TEST_F(CacheDrainerTest, MallocOfWhatIsTaken) {
  const std::vector<void*> objects = Fill(5);
  Add();
  Take();
  Finish();
  // Everything seen before the count, which came after the end.
  EXPECT_EQ(cache_->Pop(Tag()), nullptr);
  ++mallocs_;
  EXPECT_EQ(cache_->cached_objects(Class()), 0u);
  EXPECT_NE(cache_->Refill(Tag()), nullptr);
}

// The object that was popped lies above the top, where nobody looks.
TEST_F(CacheDrainerTest, MallocThenFreeOfAnother) {
  void* const other = Malloc();
  std::vector<void*> objects = Fill(5);
  Add();
  bin_->CountMalloc();
  ++mallocs_;
  void* const mine = bin_->LoadNewest();
  Take();
  bin_->MoveTop(-1);
  Finish();
  EXPECT_EQ(bin_->above_top(0), mine);
  Free(other);
  objects.back() = other;
  ExpectInBin(objects);
  EXPECT_NE(Malloc(), mine);
}

// The same height, but not the same object.
TEST_F(CacheDrainerTest, MallocAndFreeBetweenTheSteps) {
  void* const other = Malloc();
  std::vector<void*> objects = Fill(5);
  for (int steps_of_free = 0; steps_of_free <= 3; ++steps_of_free) {
    Add();
    bin_->CountMalloc();
    ++mallocs_;
    ASSERT_EQ(bin_->LoadNewest(), objects.back());
    Take();
    bin_->MoveTop(-1);
    // All that a weakly ordered machine shows of the free.
    if (steps_of_free >= 1) bin_->MoveTop(1);
    if (steps_of_free >= 2) bin_->CountFree();
    if (steps_of_free >= 3) {
      bin_->MoveTop(-1);
      bin_->StoreAtTop(other);
      bin_->MoveTop(1);
    }
    Finish();
    EXPECT_EQ(result_.objects, 0u) << steps_of_free;
    // The rest of it.
    if (steps_of_free >= 1) bin_->MoveTop(-1);
    bin_->StoreAtTop(other);
    bin_->MoveTop(1);
    if (steps_of_free < 2) bin_->CountFree();
    ++frees_;
    cache_->CheckInvariants();
    ASSERT_EQ(Malloc(), other);
    Free(objects.back());
  }
  ExpectInBin(objects);
}

TEST_F(CacheDrainerTest, MallocsAndFreesWhileItIsThere) {
  void* const other = Malloc();
  const std::vector<void*> objects = Fill(5);
  Add();
  Take();
  // It pushes over the null and pops that again.
  Free(other);
  EXPECT_EQ(Malloc(), other);
  Finish();
  ExpectInBin(objects);
}

// ---- An owner in the middle of a free

TEST_F(CacheDrainerTest, FreeBeforeItIsTaken) {
  void* const other = Malloc();
  std::vector<void*> objects = Fill(5);
  Add();
  Free(other);
  objects.push_back(other);
  Take();
  Finish();
  ExpectHome(objects);
}

// Each of the four effects of a free comes before, between or after the steps.
TEST_F(CacheDrainerTest, FreeAtEveryPoint) {
  constexpr int kEffects = 3;  // After it has seen that there is room.
  for (int before = 0; before <= kEffects; ++before) {
    for (int between = 0; before + between <= kEffects; ++between) {
      SCOPED_TRACE(testing::Message() << before << " before the first step, "
                                      << between << " before the second");
      void* const other = Malloc();
      const std::vector<void*> objects = Fill(5);
      Add();
      ASSERT_TRUE(bin_->HasRoom());
      int next = 0;
      const auto effects = [&](int n) {
        for (; n != 0; --n, ++next) {
          if (next == 0) bin_->StoreAtTop(other);
          if (next == 1) bin_->MoveTop(1);
          if (next == 2) bin_->CountFree();
        }
      };
      ++frees_;
      effects(before);
      Take();
      effects(between);
      Finish();
      effects(kEffects - before - between);
      cache_->CheckInvariants();
      std::vector<void*> all = objects;
      all.push_back(other);
      if (before == 3) {
        ExpectHome(all);
      } else if (before == 2 || between + before >= 2) {
        // The top has moved: at once or before it was looked at again.
        ExpectInBin(all);
      } else {
        ExpectHome(objects, {other});
      }
      Drain();
    }
  }
}

// The store of the new limit takes its time to get to the owner.
TEST_F(CacheDrainerTest, FreesThatStillSeeTheOldLimit) {
  constexpr size_t kLate = 12;
  std::vector<void*> late;
  for (size_t i = 0; i < kLate; ++i) late.push_back(Malloc());
  for (const size_t n : {size_t{3}, size_t{0}}) {
    for (const size_t m : {size_t{1}, kLate}) {
      const std::vector<void*> objects = Fill(20);
      for (size_t i = n; i < 20; ++i) Malloc();
      Drain();
      EXPECT_EQ(bin_->height(), n);
      for (size_t i = 0; i < m; ++i) {
        bin_->StoreAtTop(late[i]);
        bin_->MoveTop(1);
        bin_->CountFree();
        ++frees_;
      }
      ExpectHome({objects.begin(), objects.begin() + static_cast<int>(n)},
                 {late.begin(), late.begin() + static_cast<int>(m)});
    }
  }
}

// What a drainer left is popped without a slow step; below it is the end.
TEST_F(CacheDrainerTest, LateFreesAreServedFirst) {
  void* const late = Malloc();
  Fill(4);
  Drain();
  bin_->StoreAtTop(late);
  bin_->MoveTop(1);
  bin_->CountFree();
  ++frees_;
  EXPECT_FALSE(cache_->Push(Tag(), late)) << "also freed twice in a row";
  EXPECT_EQ(Malloc(), late);
  EXPECT_EQ(cache_->Pop(Tag()), nullptr);
  ++mallocs_;
  EXPECT_NE(cache_->Refill(Tag()), nullptr);
}

// ---- An owner on a slow path

TEST_F(CacheDrainerTest, OnASlowPathItIsLetAlone) {
  const std::vector<void*> objects = Fill(5);
  Add();
  EXPECT_FALSE(bin_->is_gate_open());
  bin_->SetOnSlowPath(true);
  Take();
  EXPECT_TRUE(bin_->is_gate_open());
  EXPECT_EQ(bin_->LoadNewest(), objects.back());
  Finish();
  bin_->SetOnSlowPath(false);
  ExpectInBin(objects);
}

// No slow path is taken as long as the gate is closed.
TEST_F(CacheDrainerTest, SlowPathsWaitAtTheGate) {
  const std::vector<void (*)(ThreadCache*)> slow_paths = {
      [](ThreadCache* cache) { cache->Flush(); },
      [](ThreadCache* cache) { cache->Empty(); },
      [](ThreadCache* cache) { cache->MakeRoom(Tag()); },
      [](ThreadCache* cache) {
        // A bin that the drainer has nothing to do with.
        if (cache->Pop(Tag(kOther)) == nullptr) cache->Refill(Tag(kOther));
      },
      [](ThreadCache* cache) {
        if (cache->Pop(Tag(kOther)) == nullptr) cache->GiveUp(Tag(kOther));
      },
  };
  for (const auto slow_path : slow_paths) {
    const std::vector<void*> objects = Fill(5);
    Add();
    std::atomic<bool> started{false}, done{false};
    std::thread owner([&] {
      started = true;
      slow_path(cache_);
      done = true;
    });
    while (!started) std::this_thread::yield();
    for (int i = 0; i < 100; ++i) std::this_thread::yield();
    EXPECT_FALSE(done);
    Take();
    EXPECT_FALSE(done);
    Finish();
    owner.join();
    for (void* p : objects) EXPECT_TRUE(result_.objects == 0 || IsCentral(p));
  }
}

// ---- What is idle

TEST_F(CacheDrainerTest, IdleIsWhatSawNoOperationSinceTheLastSweep) {
  const std::vector<void*> objects = Fill(5);
  Free(Malloc(kOther), kOther);
  const size_t others = cache_->cached_objects(Class(kOther));
  EXPECT_GT(others, 0u);
  Drain(DrainScope::kIdle);
  EXPECT_EQ(result_.objects, 0u) << "used since the start";
  EXPECT_EQ(result_.caches_left, 1u);
  Free(Malloc(kOther), kOther);
  Drain(DrainScope::kIdle);
  EXPECT_EQ(result_.objects, 5u);
  EXPECT_EQ(result_.caches_left, 1u) << "the other class";
  for (void* p : objects) EXPECT_TRUE(IsCentral(p));
  EXPECT_EQ(cache_->cached_objects(Class(kOther)), others);
  Drain(DrainScope::kIdle);
  EXPECT_EQ(result_.objects, others);
  EXPECT_EQ(result_.caches_left, 0u);
  EXPECT_FALSE(cache_->holds());
}

TEST_F(CacheDrainerTest, UsedWhileItIsSwept) {
  const std::vector<void*> objects = Fill(5);
  Drain(DrainScope::kIdle);
  Add(DrainScope::kIdle);
  Free(Malloc());
  Take();
  Finish();
  EXPECT_EQ(cache_->cached_objects(Class()), 5u);
  Drain(DrainScope::kIdle);
  EXPECT_EQ(result_.objects, 0u) << "an operation since the sweep before";
  Drain(DrainScope::kIdle);
  ExpectHome(objects);
}

TEST_F(CacheDrainerTest, ANewThreadIsNotIdle) {
  Fill(5);
  Drain();
  cache_->Reset();
  Fill(5);
  Drain(DrainScope::kIdle);
  EXPECT_EQ(result_.objects, 0u);
}

// ---- Batches

TEST_F(CacheDrainerTest, BatchesAreBounded) {
  constexpr size_t kCaches = 100;
  std::vector<ThreadCache*> caches;
  const auto use = [&](size_t size) {
    for (ThreadCache* cache : caches) {
      void* p = cache->Pop(Tag(size));
      if (p == nullptr) p = cache->Refill(Tag(size));
      ASSERT_NE(p, nullptr);
      heap_->list(Class(size)).InsertRange(&p, 1);
    }
  };
  const auto sweep = [&] {
    DrainResult result;
    size_t batches = 0;
    for (size_t i = 0; i < kCaches; ++batches) {
      CacheDrainer batch(heap_.get(), DrainScope::kIdle, &result);
      const size_t before = i;
      while (i < kCaches && batch.Add(caches[i])) ++i;
      EXPECT_GT(i, before) << "a cache alone always fits";
      batch.Take(true);
      batch.Finish(true);
    }
    EXPECT_EQ(batches > 1, result.objects != 0);
    return result;
  };
  for (size_t i = 0; i < kCaches; ++i) caches.push_back(NewCache());
  use(kSize);
  use(kOther);
  EXPECT_EQ(sweep().objects, 0u);
  use(kOther);
  DrainResult result = sweep();
  EXPECT_EQ(result.bytes, kCaches * 7 * kSize)
      << "a cache that was refused once is not idle for that";
  EXPECT_EQ(result.caches_left, kCaches);
  for (size_t c = 1; c < kNumClasses; c += 2) use(kClassSizes[c]);
  sweep();
  EXPECT_EQ(sweep().caches_left, 0u);
  for (ThreadCache* cache : caches) {
    EXPECT_FALSE(cache->holds());
    cache->CheckInvariants();
  }
}

// ---- Misuse

using CacheDrainerDeathTest = CacheDrainerTest;

TEST_F(CacheDrainerDeathTest, ADoubleFreeIsFoundAfterADrain) {
  const std::vector<void*> objects = Fill(3);
  Drain();
  EXPECT_DEATH(
      {
        Free(objects[1]);
        cache_->Flush();
      },
      "double free of");
}

}  // namespace
}  // namespace spanmalloc
