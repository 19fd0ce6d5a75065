// What a guarded heap gives, takes back and keeps. (What it finds: the tests of
// misuse.)

#include "allocator/profile/guarded_heap.h"

#include <errno.h>
#include <gtest/gtest.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "allocator/base/bits.h"
#include "allocator/os/system_info.h"
#include "tests/support/crash.h"
#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

size_t NoStack(void**, size_t, size_t) { return 0; }

uintptr_t Address(const void* p) { return reinterpret_cast<uintptr_t>(p); }

const size_t kPage = SystemPageSize();

uintptr_t PageOf(const void* p) { return AlignDown(Address(p), kPage); }

bool IsZero(const void* p, size_t size) {
  const char* const bytes = static_cast<const char*>(p);
  return std::all_of(bytes, bytes + size, [](char c) { return c == 0; });
}

SPANMALLOC_CONSTINIT GuardedHeap global_heap(&kLinuxMemory, NoStack);

class GuardedHeapTest : public testing::Test {
 protected:
  ~GuardedHeapTest() override {
    heap_.CheckInvariants();
    StopWatchingFaults();
  }

  FakeSystem system_;
  GuardedHeap heap_{&FakeSystem::memory(), NoStack};
};

TEST(GuardedHeapGlobalTest, NothingIsMappedBeforeItIsEnabled) {
  EXPECT_FALSE(global_heap.enabled());
  EXPECT_EQ(global_heap.Allocate(10, 1), nullptr);
  EXPECT_EQ(global_heap.mapped_bytes(), 0u);
  EXPECT_EQ(global_heap.slots(), 0u);
  int local;
  for (const void* const p :
       {static_cast<const void*>(nullptr), static_cast<const void*>(&local),
        reinterpret_cast<const void*>(~uintptr_t{0})}) {
    EXPECT_FALSE(global_heap.Owns(p));
  }
  global_heap.CheckInvariants();
}

TEST_F(GuardedHeapTest, BlocksReadAsZeroAndMayBeWritten) {
  ASSERT_TRUE(heap_.Enable(4));
  for (const size_t size : {size_t{1}, size_t{100}, kPage - 1, kPage}) {
    for (int i = 0; i < 20; ++i) {
      void* const p = heap_.Allocate(size, 1);
      ASSERT_NE(p, nullptr);
      EXPECT_TRUE(heap_.Owns(p));
      EXPECT_TRUE(IsZero(p, size));
      memset(p, 0xff, size);
      EXPECT_EQ(heap_.SizeOf(p), size);
      heap_.Free(p);
    }
  }
}

TEST_F(GuardedHeapTest, AlignmentAtBothEnds) {
  ASSERT_TRUE(heap_.Enable(64));
  for (size_t alignment = 1; alignment <= kPage; alignment *= 2) {
    const size_t real = std::max(alignment, GuardedHeap::kMinAlignment);
    for (const size_t size : {size_t{0}, size_t{1}, size_t{17}, kPage - 5}) {
      bool seen[2] = {};
      for (int i = 0; i < 200 && !(seen[0] && seen[1]); ++i) {
        void* const p = heap_.Allocate(size, alignment);
        ASSERT_NE(p, nullptr);
        EXPECT_EQ(Address(p) % real, 0u);
        const uintptr_t page = PageOf(p);
        const uintptr_t rightmost =
            AlignDown(page + kPage - std::max(size, size_t{1}), real);
        EXPECT_TRUE(Address(p) == page || Address(p) == rightmost);
        seen[Address(p) == page] = true;
        if (Address(p) == rightmost) seen[0] = true;
        heap_.CheckInvariants();
        heap_.Free(p);
      }
      EXPECT_TRUE(seen[0] && seen[1]) << size << " aligned to " << alignment;
    }
  }
}

TEST_F(GuardedHeapTest, WhatDoesNotFitASlot) {
  ASSERT_TRUE(heap_.Enable(4));
  EXPECT_EQ(heap_.Allocate(kPage + 1, 1), nullptr);
  EXPECT_EQ(heap_.Allocate(SIZE_MAX, 1), nullptr);
  EXPECT_EQ(heap_.Allocate(1, 2 * kPage), nullptr);
  EXPECT_EQ(heap_.refused(), 0u);
}

TEST_F(GuardedHeapTest, BlocksOfNoBytes) {
  ASSERT_TRUE(heap_.Enable(2));
  void* const p = heap_.Allocate(0, 1);
  void* const q = heap_.Allocate(0, 1);
  EXPECT_NE(p, q);
  EXPECT_EQ(heap_.SizeOf(p), 0u);
  heap_.FreeSized(p, 0);
  heap_.Free(q);
}

TEST_F(GuardedHeapTest, OwnsItsRangeAndNoMore) {
  ASSERT_TRUE(heap_.Enable(3));
  void* const p = heap_.Allocate(1, 1);  // In the first slot.
  const uintptr_t start = PageOf(p) - kPage, end = start + 7 * kPage;
  for (const uintptr_t inside : {start, Address(p), end - 1}) {
    EXPECT_TRUE(heap_.Owns(reinterpret_cast<void*>(inside)));
  }
  for (const uintptr_t outside : {start - 1, end, uintptr_t{0}}) {
    EXPECT_FALSE(heap_.Owns(reinterpret_cast<void*>(outside)));
  }
  heap_.Free(p);
}

TEST_F(GuardedHeapTest, EverySlotOnceThenNone) {
  constexpr size_t kSlots = 10;
  ASSERT_TRUE(heap_.Enable(kSlots));
  std::vector<void*> blocks;
  std::set<uintptr_t> pages;
  for (size_t i = 0; i < kSlots; ++i) {
    blocks.push_back(heap_.Allocate(8, 1));
    ASSERT_NE(blocks.back(), nullptr);
    pages.insert(PageOf(blocks.back()));
  }
  EXPECT_EQ(pages.size(), kSlots);
  // There is a page between any two, and before and after them.
  EXPECT_EQ(*pages.rbegin() - *pages.begin(), 2 * (kSlots - 1) * kPage);
  EXPECT_EQ(heap_.Allocate(8, 1), nullptr);
  EXPECT_EQ(heap_.refused(), 1u);
  heap_.Free(blocks[3]);
  void* const again = heap_.Allocate(8, 1);
  EXPECT_EQ(PageOf(again), PageOf(blocks[3]));
  EXPECT_EQ(heap_.Allocate(8, 1), nullptr);
}

TEST_F(GuardedHeapTest, TheSlotThatHasBeenFreeForLongestIsUsedFirst) {
  ASSERT_TRUE(heap_.Enable(6));
  std::vector<void*> blocks;
  for (int i = 0; i < 4; ++i) blocks.push_back(heap_.Allocate(8, 1));
  const int order[] = {2, 0, 3, 1};
  for (const int i : order) heap_.Free(blocks[i]);
  // Those that have never been used go first.
  std::set<uintptr_t> used;
  for (void* const p : blocks) used.insert(PageOf(p));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(used.count(PageOf(heap_.Allocate(8, 1))), 0u);
  }
  for (const int i : order) {
    EXPECT_EQ(PageOf(heap_.Allocate(8, 1)), PageOf(blocks[i]));
  }
}

TEST_F(GuardedHeapTest, Counters) {
  ASSERT_TRUE(heap_.Enable(5));
  EXPECT_EQ(heap_.slots(), 5u);
  EXPECT_EQ(heap_.mapped_bytes(), system_.bytes());
  void* const p = heap_.Allocate(100, 1);
  void* const q = heap_.Allocate(50, 1);
  EXPECT_EQ(heap_.live(), 2u);
  EXPECT_EQ(heap_.live_bytes(), 150u);
  EXPECT_EQ(heap_.backed_bytes(), 2 * kPage);
  EXPECT_EQ(heap_.allocations(), 2u);
  heap_.Free(p);
  EXPECT_EQ(heap_.live(), 1u);
  EXPECT_EQ(heap_.live_bytes(), 50u);
  EXPECT_EQ(heap_.backed_bytes(), kPage);
  heap_.FreeSized(q, 50);
  EXPECT_EQ(heap_.live(), 0u);
  EXPECT_EQ(heap_.live_bytes(), 0u);
  EXPECT_EQ(heap_.backed_bytes(), 0u);
  EXPECT_EQ(heap_.allocations(), 2u);
  EXPECT_EQ(heap_.refused(), 0u);
}

TEST_F(GuardedHeapTest, Disable) {
  ASSERT_TRUE(heap_.Enable(4));
  char* const p = static_cast<char*>(heap_.Allocate(10, 1));
  heap_.Disable();
  EXPECT_EQ(heap_.Allocate(10, 1), nullptr);
  p[9] = 1;
  EXPECT_TRUE(heap_.Owns(p));
  EXPECT_EQ(heap_.SizeOf(p), 10u);
  heap_.Free(p);
  const size_t bytes = system_.bytes();
  // The slots stay those of the first time.
  ASSERT_TRUE(heap_.Enable(1000));
  EXPECT_EQ(heap_.slots(), 4u);
  EXPECT_EQ(system_.bytes(), bytes);
  EXPECT_NE(heap_.Allocate(10, 1), nullptr);
}

TEST_F(GuardedHeapTest, NumbersOfSlots) {
  ASSERT_TRUE(heap_.Enable(0));
  EXPECT_EQ(heap_.slots(), 1u);
  GuardedHeap large(&FakeSystem::memory(), NoStack);
  ASSERT_TRUE(large.Enable(SIZE_MAX));
  EXPECT_EQ(large.slots(), GuardedHeap::kMaxSlots);
}

TEST_F(GuardedHeapTest, RecordsAreSmall) {
  ASSERT_TRUE(heap_.Enable(GuardedHeap::kMaxSlots));
  const size_t range = (2 * GuardedHeap::kMaxSlots + 1) * kPage;
  EXPECT_LE(system_.bytes() - range, GuardedHeap::kMaxSlots * 640);
}

TEST_F(GuardedHeapTest, KeepsErrno) {
  errno = EXDEV;
  ASSERT_TRUE(heap_.Enable(4));
  void* const p = heap_.Allocate(10, 1);
  heap_.SizeOf(p);
  heap_.Free(p);
  EXPECT_EQ(errno, EXDEV);
}

size_t last_max = 0, last_skip = 0;

TEST_F(GuardedHeapTest, CapturesTheStacksOfItsCallers) {
  GuardedHeap heap(&FakeSystem::memory(), [](void**, size_t max, size_t skip) {
    last_max = max;
    last_skip = skip;
    return size_t{0};
  });
  ASSERT_TRUE(heap.Enable(1));
  void* const p = heap.Allocate(1, 1);
  EXPECT_EQ(last_max, GuardedEvent::kMaxFrames);
  EXPECT_EQ(last_skip, 1u);
  last_max = 0;
  heap.Free(p);
  EXPECT_EQ(last_max, GuardedEvent::kMaxFrames);
}

// ---- Refusals

TEST_F(GuardedHeapTest, EnableRefused) {
  for (size_t call = 1;; ++call) {
    system_.FailCall(call);
    const bool enabled = heap_.Enable(8);
    system_.FailNothing();
    if (enabled) {
      EXPECT_EQ(call, 4u);
      break;
    }
    EXPECT_EQ(system_.bytes(), 0u) << call;
    EXPECT_FALSE(heap_.enabled());
    EXPECT_EQ(heap_.mapped_bytes(), 0u);
    EXPECT_EQ(heap_.Allocate(1, 1), nullptr);
    heap_.CheckInvariants();
  }
  EXPECT_NE(heap_.Allocate(1, 1), nullptr);
}

TEST_F(GuardedHeapTest, AccessRefused) {
  ASSERT_TRUE(heap_.Enable(2));
  for (int round = 0; round < 3; ++round) {
    system_.Deny(FakeSystem::kAllowAccess);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(heap_.Allocate(1, 1), nullptr);
    heap_.CheckInvariants();
    system_.Deny(FakeSystem::kAllowAccess, false);
    // No slot got lost.
    void* const p = heap_.Allocate(1, 1);
    void* const q = heap_.Allocate(1, 1);
    ASSERT_TRUE(p != nullptr && q != nullptr);
    heap_.CheckInvariants();
    heap_.Free(p);
    heap_.Free(q);
  }
  EXPECT_EQ(heap_.refused(), 15u);
}

TEST_F(GuardedHeapTest, ASlotThatIsRefusedKeepsItsPlace) {
  ASSERT_TRUE(heap_.Enable(2));
  void* const p = heap_.Allocate(1, 1);
  void* const q = heap_.Allocate(1, 1);
  heap_.Free(q);
  heap_.Free(p);
  system_.FailCall(1);
  EXPECT_EQ(heap_.Allocate(1, 1), nullptr);
  EXPECT_EQ(PageOf(heap_.Allocate(1, 1)), PageOf(q));
  EXPECT_EQ(PageOf(heap_.Allocate(1, 1)), PageOf(p));
}

TEST_F(GuardedHeapTest, ReleaseRefused) {
  ASSERT_TRUE(heap_.Enable(1));
  system_.Deny(FakeSystem::kRelease);
  for (int i = 0; i < 4; ++i) {
    void* const p = heap_.Allocate(200, 1);
    EXPECT_TRUE(IsZero(p, 200));
    memset(p, 0xff, 200);
    heap_.Free(p);
    EXPECT_EQ(heap_.backed_bytes(), kPage);
  }
  system_.Deny(FakeSystem::kRelease, false);
  heap_.Free(heap_.Allocate(1, 1));
  EXPECT_EQ(heap_.backed_bytes(), 0u);
}

TEST_F(GuardedHeapTest, ProtectionRefused) {
  ASSERT_TRUE(heap_.Enable(1));
  system_.Deny(FakeSystem::kForbidAccess);
  void* const p = heap_.Allocate(200, 1);
  memset(p, 0xff, 200);
  heap_.Free(p);
  void* const q = heap_.Allocate(200, 1);
  EXPECT_TRUE(IsZero(q, 200));
  heap_.Free(q);
}

// Otherwise what another thread writes in between would be lost.
TEST_F(GuardedHeapTest, APageIsForbiddenBeforeItIsReleased) {
  ASSERT_TRUE(heap_.Enable(1));
  void* const p = heap_.Allocate(200, 1);
  bool readable = true;
  system_.OnRelease([&] {
    readable = access(static_cast<char*>(p), F_OK) == 0 || errno != EFAULT;
  });
  EXPECT_NE(access(static_cast<char*>(p), F_OK), 0);
  EXPECT_NE(errno, EFAULT);
  heap_.Free(p);
  EXPECT_FALSE(readable);
}

// ---- Many threads, fork

TEST_F(GuardedHeapTest, ManyThreads) {
  constexpr int kThreads = 4, kRounds = 2000;
  constexpr size_t kBlocks = 5;
  ASSERT_TRUE(heap_.Enable(kThreads * kBlocks - 4));
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      char* blocks[kBlocks] = {};
      for (int i = 0; i < kRounds; ++i) {
        char*& p = blocks[random() % kBlocks];
        if (p != nullptr) {
          const size_t size = heap_.SizeOf(p);
          EXPECT_EQ(std::count(p, p + size, static_cast<char>(t + 1)),
                    static_cast<ptrdiff_t>(size));
          heap_.FreeSized(p, size);
          p = nullptr;
          continue;
        }
        const size_t size = random() % 600;
        p = static_cast<char*>(heap_.Allocate(size, 1));
        if (p == nullptr) continue;
        EXPECT_TRUE(IsZero(p, size));
        memset(p, t + 1, size);
        if (i % 100 == 0) heap_.CheckInvariants();
      }
      for (char* const p : blocks) {
        if (p != nullptr) heap_.Free(p);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(heap_.live(), 0u);
}

TEST_F(GuardedHeapTest, AChildGoesOn) {
  ASSERT_TRUE(heap_.Enable(3));
  char* const p = static_cast<char*>(heap_.Allocate(10, 1));
  p[0] = 'a';
  heap_.fork_lock().ForkLock();
  const Crash child = InCrashingChild([&] {
    heap_.fork_lock().ForkUnlock();
    if (p[0] != 'a' || heap_.live() != 1) return 1;
    p[0] = 'b';
    heap_.Free(p);
    if (heap_.Allocate(10, 1) == nullptr) return 2;
    heap_.CheckInvariants();
    return 0;
  });
  heap_.fork_lock().ForkUnlock();
  EXPECT_EQ(child.status, 0);
  EXPECT_EQ(p[0], 'a');
  EXPECT_EQ(heap_.live(), 1u);
  heap_.Free(p);
}

}  // namespace
}  // namespace spanmalloc
