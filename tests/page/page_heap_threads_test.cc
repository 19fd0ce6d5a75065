// Several threads on one page heap.

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "tests/support/page_heap_fixture.h"

namespace spanmalloc {
namespace {

class PageHeapThreadsTest : public PageHeapTest {
 protected:
  struct Block {
    Span* span;
    uint64_t stamp;
    bool small;
  };

  // Allocates, changes and frees blocks that nobody else may touch.
  void Work(unsigned thread, int steps) {
    std::mt19937 random(thread);
    std::vector<Block> blocks;
    for (int step = 0; step < steps; ++step) {
      const unsigned choice = random() % 100;
      if (blocks.empty() || (choice < 50 && blocks.size() < 20)) {
        const bool small = random() % 2 == 0;
        Span* const span = small ? heap_.NewSmallSpan(1)
                                 : New(5 + random() % (choice == 0 ? 600 : 40));
        ASSERT_NE(span, nullptr);
        blocks.push_back({span, (uint64_t{thread} << 24) + step, small});
        Stamp(span, blocks.back().stamp);
        continue;
      }
      if (choice == 99) {
        heap_.set_release_lazily(random() % 2 == 0);
        heap_.Tick();
        heap_.ReleaseIdle(1 << 20, random() % 3);
        continue;
      }
      std::swap(blocks[random() % blocks.size()], blocks.back());
      Block& block = blocks.back();
      ASSERT_TRUE(HasStamp(block.span, block.stamp));
      if (choice > 85 && !block.small) {
        heap_.ResizeLargeSpan(block.span, Length(5 + random() % 60));
        Stamp(block.span, block.stamp);
        continue;
      }
      if (choice > 80 && !block.small) {
        const Length n = block.span->length() + Length(10);
        Span* const moved = heap_.MoveLargeSpan(block.span, n);
        if (moved != nullptr) block.span = moved;
        Stamp(block.span, block.stamp);
        continue;
      }
      Free(block);
      blocks.pop_back();
    }
    for (const Block& block : blocks) {
      ASSERT_TRUE(HasStamp(block.span, block.stamp));
      Free(block);
    }
  }
  void Free(const Block& block) {
    if (block.small) {
      heap_.DeleteSmallSpan(block.span);
    } else {
      Delete(block.span);
    }
  }
};

TEST_F(PageHeapThreadsTest, OwnBlocks) {
  heap_.set_huge_page_mode(HugePageMode::kAlways);
  std::vector<std::thread> threads;
  for (unsigned t = 1; t <= 4; ++t) {
    threads.emplace_back([this, t] { Work(t, 1500); });
  }
  for (int i = 0; i < 50; ++i) {
    heap_.CheckInvariants();
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  ExpectJoined();
}

// There is room for what all of them have at a time, once the rest is released.
TEST_F(PageHeapThreadsTest, UnderALimit) {
  Delete(New(4096));
  heap_.ReleaseAtLeast(SIZE_MAX);
  const size_t limit = heap_.footprint_bytes() + Length(4 * 400).bytes();
  heap_.set_hard_limit(limit);
  const auto work = [&](unsigned thread) {
    std::mt19937 random(thread);
    std::vector<Span*> spans;
    size_t made = 0;
    for (int step = 0; step < 1000; ++step) {
      Span* const span = New(5 + random() % 95);
      if (span != nullptr) {
        Stamp(span, thread);
        spans.push_back(span);
        ++made;
      }
      if (span == nullptr || spans.size() == 4) {
        for (const Span* mine : spans) {
          ASSERT_TRUE(HasStamp(mine, thread));
          Delete(mine);
        }
        spans.clear();
      }
    }
    for (Span* mine : spans) Delete(mine);
    EXPECT_GT(made, 500u);
  };
  std::vector<std::thread> threads;
  for (unsigned t = 1; t <= 4; ++t) threads.emplace_back(work, t);
  for (std::thread& thread : threads) thread.join();
  heap_.CheckInvariants();
  EXPECT_LE(heap_.footprint_bytes(), limit);
  heap_.set_hard_limit(0);
  ExpectJoined();
}

// Of two threads that free one block, one succeeds.
TEST_F(PageHeapThreadsTest, OneFreeWins) {
  std::vector<uintptr_t> addresses;
  for (int i = 0; i < 1000; ++i) addresses.push_back(New(5)->address());
  std::atomic<size_t> freed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (uintptr_t address : addresses) {
        freed += heap_.DeleteLargeSpan(address) ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(freed, addresses.size());
  ExpectJoined();
}

}  // namespace
}  // namespace spanmalloc
