// Threads whose caches are drained while they run, wait, begin and end.
// (One step at a time: cache_drainer_test.cc.)
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "allocator/base/unlocked.h"
#include "allocator/os/thread_barrier.h"
#include "allocator/thread/thread_registry.h"
#include "tests/support/fake_system.h"
#include "tests/support/unjoined_thread.h"

namespace spanmalloc {
namespace {

size_t TagFor(size_t size) { return class_of_size.TagFor(size); }
constexpr size_t kFew = kThreadSanitizer ? 10 : 1;  // Divides amounts.

// For a thread with a cache.
void* Malloc(size_t size) {
  void* const p = current_thread.cache->Allocate(size);
  return p != nullptr ? p : current_thread.cache->Refill(TagFor(size));
}
void Free(void* p, size_t size) {
  while (!current_thread.cache->Push(TagFor(size), p)) {
    current_thread.cache->MakeRoom(TagFor(size));
  }
}

class DrainTest : public testing::Test {
 protected:
  DrainTest() { current_registry = registry_.get(); }
  ~DrainTest() override {
    registry_->CheckInvariants();
    heap_->CheckInvariants();
  }
  void SetUp() override {
    if (!PrepareThreadBarrier()) GTEST_SKIP() << "no barrier on all threads";
  }

  std::unique_ptr<ThreadCounts> Sum() {
    auto counts = std::make_unique<ThreadCounts>();
    registry_->Sum(counts.get());
    return counts;
  }
  // Every object that the heap has carved is live or at home.
  void ExpectAllHome() {
    const auto counts = Sum();
    for (size_t c = 1; c < kNumClasses; ++c) {
      const CentralFreeListStats central = heap_->list(c).stats();
      if (kSizeClasses[c].guest != 0 || kSizeClasses[c].host != 0) continue;
      EXPECT_EQ(central.spans * kSizeClasses[c].capacity,
                central.free_objects + heap_->transfer(c).objects() +
                    counts->mallocs[c] - counts->frees[c])
          << kSizeClasses[c].size;
    }
  }

  FakeSystem system_;
  const std::unique_ptr<CentralHeap> heap_ =
      std::make_unique<CentralHeap>(&FakeSystem::memory());
  const std::unique_ptr<ThreadRegistry> registry_ =
      std::make_unique<ThreadRegistry>(heap_.get(), OnExit);

 private:
  static void OnExit(void* cache) {
    if (cache == current_thread.cache) current_registry->Leave();
  }
  static inline ThreadRegistry* current_registry = nullptr;
};

TEST_F(DrainTest, TheCallersOwnCache) {
  UnjoinedThread self;
  registry_->Join();
  EXPECT_FALSE(registry_->HasCached());
  Free(Malloc(100), 100);
  EXPECT_TRUE(registry_->HasCached());
  EXPECT_EQ(registry_->Drain(DrainScope::kIdle).objects, 0u);
  EXPECT_TRUE(registry_->HasCached());
  const size_t cached =
      current_thread.cache->cached_objects(ClassOfTag(TagFor(100)));
  const DrainResult result = registry_->Drain(DrainScope::kIdle);
  EXPECT_EQ(result.objects, cached);
  EXPECT_EQ(result.bytes, cached * 112);
  EXPECT_EQ(result.caches_left, 0u);
  EXPECT_FALSE(registry_->HasCached());
  ExpectAllHome();
  Free(Malloc(100), 100);
  EXPECT_TRUE(registry_->HasCached());
  EXPECT_GT(registry_->Drain(DrainScope::kAll).objects, 0u);
  EXPECT_FALSE(registry_->HasCached());
  ExpectAllHome();
  registry_->Leave();
}

TEST_F(DrainTest, FlushCurrent) {
  UnjoinedThread self;
  registry_->FlushCurrent();
  registry_->Join();
  Free(Malloc(100), 100);
  Free(Malloc(5000), 5000);
  registry_->FlushCurrent();
  EXPECT_FALSE(current_thread.cache->holds());
  ExpectAllHome();
  EXPECT_EQ(registry_->Drain(DrainScope::kAll).objects, 0u);
  EXPECT_FALSE(registry_->HasCached());
  EXPECT_NE(Malloc(100), nullptr);
  registry_->Leave();
}

// Two sweeps, and they are skipped by all later ones.
TEST_F(DrainTest, ManyIdleThreadsHoldNothing) {
  constexpr size_t kThreads = 2000 / kFew;
  std::atomic<size_t> ready{0};
  std::promise<void> done;
  const std::shared_future<void> all_done = done.get_future().share();
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      registry_->Join();
      for (size_t i = 0; i < 20; ++i) {
        const size_t size = 1 + (t * 31 + i * 97) % 3000;
        Free(Malloc(size), size);
      }
      ++ready;
      all_done.wait();
    });
  }
  while (ready != kThreads) std::this_thread::yield();
  EXPECT_EQ(registry_->Drain(DrainScope::kIdle).caches_left, kThreads);
  const DrainResult result = registry_->Drain(DrainScope::kIdle);
  EXPECT_GT(result.objects, kThreads * 10);
  EXPECT_EQ(result.caches_left, 0u);
  EXPECT_FALSE(registry_->HasCached());
  ExpectAllHome();
  EXPECT_EQ(registry_->Drain(DrainScope::kAll).objects, 0u);
  done.set_value();
  for (std::thread& thread : threads) thread.join();
}

// A thread that ends, one that comes, and the cache that passes between them.
TEST_F(DrainTest, CachesOfEndedThreadsAreLetAlone) {
  std::thread([this] {
    registry_->Join();
    Free(Malloc(100), 100);
  }).join();
  EXPECT_EQ(registry_->Drain(DrainScope::kAll).objects, 0u);
  EXPECT_EQ(registry_->Drain(DrainScope::kAll).caches_left, 0u);
  std::thread([this] {
    registry_->Join();
    Free(Malloc(100), 100);
    EXPECT_EQ(registry_->Drain(DrainScope::kIdle).objects, 0u);
    EXPECT_EQ(registry_->Drain(DrainScope::kAll).objects, 8u);
  }).join();
  EXPECT_EQ(Sum()->caches, 1u);
}

// The child of a fork does not look into caches that were copied in the middle
// of a step.
TEST_F(DrainTest, ForgottenCachesAreLetAlone) {
  UnjoinedThread self;
  registry_->Join();
  std::promise<void> joined, forgotten;
  std::thread other([&] {
    UnjoinedThread thread;
    registry_->Join();
    Free(Malloc(100), 100);
    joined.set_value();
    forgotten.get_future().wait();
  });
  joined.get_future().wait();
  registry_->ForgetOtherThreads();
  EXPECT_EQ(registry_->Drain(DrainScope::kAll).objects, 0u);
  forgotten.set_value();
  other.join();
  registry_->Leave();
}

// An object says who has it. One that is given to two, or lost, is found out.
class Worker {
 public:
  explicit Worker(unsigned seed) : random_(seed), id_(seed + 1) {}

  // Bursts, so that bins are drained at every height and also when they rest.
  void Run(size_t steps) {
    for (size_t step = 0; step < steps; ++step) {
      const size_t size = kSizes[random_() % 3];
      const size_t n = random_() % 8 == 0 ? random_() % 200 : random_() % 6;
      std::vector<std::atomic<uint64_t>*> objects;
      for (size_t i = 0; i < n; ++i) {
        objects.push_back(static_cast<std::atomic<uint64_t>*>(Malloc(size)));
        errors_ += objects.back()->exchange(id_) != 0;
      }
      if (random_() % 64 == 0) std::this_thread::yield();
      if (random_() % 2 == 0) std::reverse(objects.begin(), objects.end());
      for (std::atomic<uint64_t>* object : objects) {
        errors_ += object->exchange(0) != id_;
        Free(object, size);
      }
      mallocs_ += n;
    }
  }
  uint64_t mallocs() const { return mallocs_; }
  int errors() const { return errors_; }

 private:
  static constexpr size_t kSizes[] = {32, 48, 4000};
  std::mt19937 random_;
  const uint64_t id_;
  uint64_t mallocs_ = 0;
  int errors_ = 0;
};
constexpr size_t Worker::kSizes[];

TEST_F(DrainTest, WhileThreadsRunBeginAndEnd) {
  constexpr size_t kThreads = 4;
  constexpr size_t kGenerations = 6;
  std::atomic<bool> stop{false};
  std::atomic<size_t> drained{0};
  std::vector<std::thread> drainers;
  for (const DrainScope scope : {DrainScope::kAll, DrainScope::kIdle}) {
    drainers.emplace_back([&, scope] {
      while (!stop) drained += registry_->Drain(scope).objects;
    });
  }
  uint64_t mallocs = 0;
  int errors = 0;
  for (size_t generation = 0; generation < kGenerations; ++generation) {
    std::vector<Worker> workers;
    for (size_t t = 0; t < kThreads; ++t) {
      workers.emplace_back(static_cast<unsigned>(generation * kThreads + t));
    }
    std::vector<std::thread> threads;
    for (Worker& worker : workers) {
      threads.emplace_back([this, &worker] {
        registry_->Join();
        worker.Run(10000 / kFew);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Worker& worker : workers) {
      mallocs += worker.mallocs();
      errors += worker.errors();
    }
  }
  stop = true;
  for (std::thread& drainer : drainers) drainer.join();
  EXPECT_EQ(errors, 0);
  EXPECT_GT(drained, 0u);
  const auto counts = Sum();
  uint64_t counted = 0;
  for (size_t c = 1; c < kNumClasses; ++c) {
    EXPECT_EQ(counts->mallocs[c], counts->frees[c]);
    counted += counts->mallocs[c];
  }
  EXPECT_EQ(counted, mallocs);
  ExpectAllHome();
}

}  // namespace
}  // namespace spanmalloc
