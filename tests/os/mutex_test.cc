// Mutual exclusion, and the order of locks that debug builds check.

#include "allocator/os/mutex.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <thread>
#include <vector>

namespace spanmalloc {
namespace {

constexpr LockRank kRanks[] = {LockRank::kThreadRegistry,
                               LockRank::kCentralFreeList, LockRank::kPageHeap,
                               LockRank::kMetadataArena};

// Runs `body` in several threads and waits for them.
template <typename F>
void InThreads(int count, F body) {
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) threads.emplace_back(body);
  for (std::thread& thread : threads) thread.join();
}

TEST(MutexTest, ExcludesOthers) {
  constexpr int kThreads = 4, kRounds = 20000;
  Mutex mutex(LockRank::kPageHeap);
  int counter = 0;
  InThreads(kThreads, [&] {
    for (int i = 0; i < kRounds; ++i) {
      MutexLock lock(&mutex);
      ++counter;
    }
  });
  EXPECT_EQ(counter, kThreads * kRounds);
}

// The holder gives its processor away, so that the others spin in vain and go
// to sleep.
TEST(MutexTest, WakesSleepers) {
  constexpr int kThreads = 6, kRounds = 300;
  Mutex mutex(LockRank::kPageHeap);
  int counter = 0;
  InThreads(kThreads, [&] {
    for (int i = 0; i < kRounds; ++i) {
      MutexLock lock(&mutex);
      const int before = counter;
      for (int j = 0; j < 3; ++j) sched_yield();
      counter = before + 1;
    }
  });
  EXPECT_EQ(counter, kThreads * kRounds);
}

TEST(MutexTest, TryLockDoesNotWait) {
  Mutex mutex(LockRank::kPageHeap);
  if (!mutex.TryLock()) FAIL() << "it was free";
  std::thread([&] {
    if (mutex.TryLock()) {
      mutex.Unlock();
      ADD_FAILURE() << "two holders";
    }
  }).join();
  mutex.Unlock();
  MutexLock lock(&mutex);
}

TEST(MutexTest, TryLockInAnyOrder) {
  Mutex outer(LockRank::kPageHeap), inner(LockRank::kMetadataArena);
  MutexLock lock(&inner);
  if (!outer.TryLock()) FAIL() << "it was free";
  outer.Unlock();
}

TEST(MutexTest, KeepsErrno) {
  Mutex mutex(LockRank::kPageHeap);
  int wrong = 0;
  InThreads(3, [&] {
    for (int i = 0; i < 200; ++i) {
      errno = EXDEV;
      MutexLock lock(&mutex);
      if (errno != EXDEV) ++wrong;
      sched_yield();
    }
  });
  EXPECT_EQ(wrong, 0);
}

TEST(MutexTest, RisingRanks) {
  for (size_t low = 0; low < std::size(kRanks); ++low) {
    for (size_t high = low + 1; high < std::size(kRanks); ++high) {
      Mutex outer(kRanks[low]), inner(kRanks[high]);
      MutexLock lock(&outer);
      MutexLock inner_lock(&inner);
    }
  }
  Mutex::AssertNoneHeld();
}

TEST(MutexTest, UnlockedOutOfOrder) {
  Mutex outer(LockRank::kPageHeap), inner(LockRank::kMetadataArena);
  outer.Lock();
  inner.Lock();
  outer.Unlock();
  inner.Unlock();
  Mutex::AssertNoneHeld();
}

TEST(MutexTest, EachThreadHasItsOwnOrder) {
  Mutex outer(LockRank::kPageHeap), inner(LockRank::kMetadataArena);
  MutexLock lock(&inner);
  std::thread([&] { MutexLock other_lock(&outer); }).join();
}

TEST(MutexTest, ForkLocksMayShareARank) {
  Mutex a(LockRank::kCentralFreeList), b(LockRank::kCentralFreeList);
  a.ForkLock();
  b.ForkLock();
  Mutex::AssertNoneHeld();  // They are not noted.
  b.ForkUnlock();
  a.ForkUnlock();
  MutexLock lock(&a);
}

// Called only through the death tests, where the analysis has nothing to say.
void LockBoth(LockRank first, LockRank second) NO_THREAD_SAFETY_ANALYSIS {
  Mutex a(first), b(second);
  a.Lock();
  b.Lock();
}

void UnlockWithoutLock() NO_THREAD_SAFETY_ANALYSIS {
  Mutex mutex(LockRank::kPageHeap);
  mutex.Unlock();
}

void ReenterWithLock() NO_THREAD_SAFETY_ANALYSIS {
  Mutex mutex(LockRank::kPageHeap);
  mutex.Lock();
  Mutex::AssertNoneHeld();
}

class MutexDeathTest : public testing::Test {
 protected:
  void SetUp() override {
    if (kAssertLevel == 0) GTEST_SKIP() << "no assertions in this build";
  }
};

TEST_F(MutexDeathTest, FallingOrEqualRanksDie) {
  for (size_t first = 0; first < std::size(kRanks); ++first) {
    for (size_t second = 0; second <= first; ++second) {
      EXPECT_DEATH(LockBoth(kRanks[first], kRanks[second]), "check failed")
          << first << " before " << second;
    }
  }
}

TEST_F(MutexDeathTest, UnlockOfWhatIsNotHeldDies) {
  EXPECT_DEATH(UnlockWithoutLock(), "check failed");
}

TEST_F(MutexDeathTest, ReentryDies) {
  EXPECT_DEATH(ReenterWithLock(), "check failed: held_ranks == 0");
}

}  // namespace
}  // namespace spanmalloc
