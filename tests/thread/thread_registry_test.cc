#include "allocator/thread/thread_registry.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "allocator/os/system_info.h"
#include "tests/support/fake_system.h"
#include "tests/support/unjoined_thread.h"

namespace spanmalloc {
namespace {

constexpr size_t kSize = 48;

class ThreadRegistryTest : public testing::Test {
 protected:
  ThreadRegistryTest() { current_registry = registry_.get(); }
  ~ThreadRegistryTest() override {
    registry_->CheckInvariants();
    heap_->CheckInvariants();
  }

  static size_t Tag() { return class_of_size.TagFor(kSize); }
  static size_t Class() { return ClassOfTag(Tag()); }

  // For a thread with a cache.
  static void* Malloc() {
    void* const p = current_thread.cache->Pop(Tag());
    return p != nullptr ? p : current_thread.cache->Refill(Tag());
  }
  static void Free(void* p) {
    while (!current_thread.cache->Push(Tag(), p)) {
      EXPECT_FALSE(current_thread.cache->IsNewest(Tag(), p));
      current_thread.cache->MakeRoom(Tag());
    }
  }

  std::unique_ptr<ThreadCounts> Sum() {
    auto counts = std::make_unique<ThreadCounts>();
    registry_->Sum(counts.get());
    return counts;
  }
  void ExpectCounts(uint64_t mallocs, uint64_t frees, size_t threads) {
    const auto counts = Sum();
    EXPECT_EQ(counts->mallocs[Class()], mallocs);
    EXPECT_EQ(counts->frees[Class()], frees);
    EXPECT_EQ(counts->threads, threads);
  }
  // Uses many classes until no limit grows any more, and returns the sum of the
  // limits in bytes: a refill brings half of a limit.
  size_t GrowLimits() {
    size_t sum = 0;
    for (size_t c = 1; c < kNumClasses && kClassSizes[c] <= 2048; ++c) {
      const size_t tag = TagOfClass(c);
      std::vector<void*> objects;
      for (size_t last = 0, now = 0, same = 0; same < 2; last = now) {
        while (void* p = current_thread.cache->Pop(tag)) objects.push_back(p);
        objects.push_back(current_thread.cache->Refill(tag));
        now = current_thread.cache->cached_objects(c) + 1;
        same = now == last ? same + 1 : 0;
      }
      sum += 2 * (current_thread.cache->cached_objects(c) + 1) * kClassSizes[c];
      heap_->list(c).InsertRange(objects.data(), objects.size());
    }
    current_thread.cache->Flush();
    return sum;
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

TEST_F(ThreadRegistryTest, JoinAndLeave) {
  UnjoinedThread thread;
  ExpectCounts(0, 0, 0);
  ThreadCache* const none = current_thread.cache;
  EXPECT_EQ(none->Allocate(kSize), nullptr);

  ThreadCache* const cache = registry_->Join();
  ASSERT_NE(cache, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(cache) % SystemPageSize(), 0u);
  EXPECT_EQ(current_thread.cache, cache);
  EXPECT_EQ(current_thread_state, ThreadState::kActive);
  void* const p = Malloc();
  ASSERT_NE(p, nullptr);
  ExpectCounts(1, 0, 1);
  EXPECT_EQ(cache->cached_objects(Class()), 7u);

  registry_->Leave();
  EXPECT_EQ(current_thread.cache, none);
  EXPECT_EQ(current_thread_state, ThreadState::kExited);
  ExpectCounts(1, 0, 0);
  EXPECT_EQ(cache->cached_objects(Class()), 0u);
  EXPECT_EQ(heap_->list(Class()).stats().free_objects,
            kSizeClasses[Class()].capacity - 1u);
  registry_->FreeDirect(Class(), p);
  ExpectCounts(1, 1, 0);
}

TEST_F(ThreadRegistryTest, ThreadsLeaveWhenTheyEnd) {
  constexpr int kThreads = 20;
  for (int t = 0; t < kThreads; ++t) {
    std::thread([this, t] {
      registry_->Join();
      std::vector<void*> blocks;
      for (int i = 0; i < 100; ++i) blocks.push_back(Malloc());
      for (int i = 0; i <= t; ++i) Free(blocks[static_cast<size_t>(i)]);
    }).join();
    ExpectCounts(100u * static_cast<unsigned>(t + 1),
                 static_cast<unsigned>((t + 1) * (t + 2) / 2), 0);
  }
  // Nothing is lost: what is not live is free.
  const auto counts = Sum();
  const CentralFreeListStats central = heap_->list(Class()).stats();
  EXPECT_EQ(
      central.spans * kSizeClasses[Class()].capacity,
      central.free_objects + counts->mallocs[Class()] - counts->frees[Class()]);
}

TEST_F(ThreadRegistryTest, BlocksAreUsedAgain) {
  size_t records = 0;
  for (int t = 0; t < 50; ++t) {
    std::thread([this] {
      registry_->Join();
      Free(Malloc());
    }).join();
    const size_t now = heap_->page_heap().arena().used_bytes();
    if (t > 0) {
      EXPECT_EQ(now, records);
    }
    records = now;
  }
}

TEST_F(ThreadRegistryTest, ThreadsHaveCachesOfTheirOwn) {
  UnjoinedThread self;
  ThreadCache* const mine = registry_->Join();
  std::promise<ThreadCache*> joined;
  std::promise<void> done;
  std::thread other([&] {
    joined.set_value(registry_->Join());
    Free(Malloc());
    done.get_future().wait();
  });
  ThreadCache* const theirs = joined.get_future().get();
  ASSERT_NE(theirs, nullptr);
  EXPECT_NE(theirs, mine);
  EXPECT_EQ(Sum()->threads, 2u);
  registry_->CheckInvariants();
  done.set_value();
  other.join();
  EXPECT_EQ(Sum()->threads, 1u);
  registry_->Leave();
}

TEST_F(ThreadRegistryTest, ThreadsWithoutACacheUseTheCentralLists) {
  UnjoinedThread thread;
  thread.Exit();
  void* const p = registry_->AllocateDirect(Class());
  void* const q = registry_->AllocateDirect(Class());
  ASSERT_NE(p, nullptr);
  ASSERT_NE(q, nullptr);
  EXPECT_NE(p, q);
  ExpectCounts(2, 0, 0);
  registry_->FreeDirect(Class(), p);
  ExpectCounts(2, 1, 0);
  EXPECT_TRUE(heap_->list(Class()).IsFree(p));
  EXPECT_FALSE(heap_->list(Class()).IsFree(q));
  registry_->FreeDirect(Class(), q);
}

TEST_F(ThreadRegistryTest, WithoutMemory) {
  UnjoinedThread thread;
  system_.FailFrom(1);
  EXPECT_EQ(registry_->Join(), nullptr);
  EXPECT_EQ(current_thread_state, ThreadState::kNone);
  EXPECT_EQ(registry_->AllocateDirect(Class()), nullptr);
  ExpectCounts(0, 0, 0);
  system_.FailNothing();
  EXPECT_NE(registry_->Join(), nullptr);
  EXPECT_NE(Malloc(), nullptr);
  ExpectCounts(1, 0, 1);
  registry_->Leave();
}

TEST_F(ThreadRegistryTest, WithoutKeys) {
  UnjoinedThread thread;
  std::vector<pthread_key_t> keys;
  pthread_key_t key;
  while (pthread_key_create(&key, nullptr) == 0) keys.push_back(key);
  EXPECT_EQ(registry_->Join(), nullptr);
  EXPECT_EQ(current_thread_state, ThreadState::kNone);
  ExpectCounts(0, 0, 0);
  for (const pthread_key_t used : keys) pthread_key_delete(used);
  EXPECT_NE(registry_->Join(), nullptr);
  registry_->Leave();
}

// Each has its part of the bytes; the first limits of bins come on top.
TEST_F(ThreadRegistryTest, ThreadsShareTheBytesEqually) {
  constexpr size_t kBytes = 480 << 10;
  registry_->set_cache_bytes(kBytes);
  std::vector<std::thread> threads;
  std::promise<void> done;
  const std::shared_future<void> all_done = done.get_future().share();
  size_t last = 2 * kBytes;
  for (size_t t = 1; t <= 3; ++t) {
    std::promise<size_t> limits;
    threads.emplace_back([this, &limits, all_done] {
      registry_->Join();
      limits.set_value(GrowLimits());
      all_done.wait();
    });
    const size_t now = limits.get_future().get();
    EXPECT_LT(now, last) << t << " threads";
    EXPECT_GT(now, kBytes / t / 2);
    last = now;
  }
  done.set_value();
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ThreadRegistryTest, NobodysShareIsTooSmallToBeOfUse) {
  UnjoinedThread self;
  registry_->set_cache_bytes(1);
  registry_->Join();
  EXPECT_GT(GrowLimits(), 64u << 10);
  registry_->Leave();
}

TEST_F(ThreadRegistryTest, ForgetsOtherThreads) {
  UnjoinedThread self;
  registry_->Join();
  Malloc();
  std::promise<void> joined, forgotten;
  std::thread other([&] {
    UnjoinedThread thread;
    registry_->Join();
    for (int i = 0; i < 10; ++i) Malloc();
    joined.set_value();
    forgotten.get_future().wait();
  });
  joined.get_future().wait();
  ExpectCounts(11, 0, 2);
  registry_->ForgetOtherThreads();
  ExpectCounts(11, 0, 1);
  EXPECT_EQ(current_thread_state, ThreadState::kActive);
  Malloc();
  ExpectCounts(12, 0, 1);
  forgotten.set_value();
  other.join();
  registry_->Leave();
  ExpectCounts(12, 0, 0);
}

// Readers never see more frees than mallocs.
TEST_F(ThreadRegistryTest, SumsWhileThreadsRun) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([this, &stop] {
      registry_->Join();
      std::vector<void*> blocks;
      do {
        for (int i = 0; i < 100; ++i) blocks.push_back(Malloc());
        for (void* p : blocks) Free(p);
        blocks.clear();
      } while (!stop);
    });
  }
  uint64_t last = 0;
  for (int i = 0; i < 200; ++i) {
    const auto counts = Sum();
    EXPECT_GE(counts->mallocs[Class()], counts->frees[Class()]);
    EXPECT_GE(counts->mallocs[Class()], last);
    last = counts->mallocs[Class()];
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  const auto counts = Sum();
  EXPECT_EQ(counts->mallocs[Class()], counts->frees[Class()]);
}

}  // namespace
}  // namespace spanmalloc
