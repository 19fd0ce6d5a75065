// The prefixed names, beside a malloc that is not ours: the whole allocation
// path on several threads, in a form that the sanitizers can follow.

#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace {

constexpr int kThreads = 4;
constexpr int kSteps = 8000;

// A block whose bytes all have the value `fill`.
struct Block {
  unsigned char* data = nullptr;
  size_t size = 0;
  unsigned char fill = 0;

  void Fill() { std::memset(data, fill, size); }
  bool Holds(size_t bytes) const {
    for (size_t i = 0; i < bytes; i++) {
      if (data[i] != fill) return false;
    }
    return true;
  }
};

// Mostly small, now and then up to half a huge page.
size_t RandomSize(std::mt19937& random) {
  const unsigned magnitude = random() % 100;
  const unsigned bits = magnitude < 80 ? 9 : magnitude < 99 ? 15 : 20;
  return 1 + random() % (size_t{1} << bits);
}

Block Allocate(std::mt19937& random) {
  Block block;
  block.size = RandomSize(random);
  block.fill = static_cast<unsigned char>(random());
  switch (random() % 3) {
    case 0:
      block.data = static_cast<unsigned char*>(spanmalloc_malloc(block.size));
      break;
    case 1: {
      block.data =
          static_cast<unsigned char*>(spanmalloc_calloc(1, block.size));
      Block zeroes = block;
      zeroes.fill = 0;
      EXPECT_TRUE(zeroes.Holds(block.size));
      break;
    }
    default: {
      const size_t alignment = size_t{16} << (random() % 9);
      block.data = static_cast<unsigned char*>(
          spanmalloc_memalign(alignment, block.size));
      EXPECT_EQ(reinterpret_cast<uintptr_t>(block.data) % alignment, 0u);
    }
  }
  EXPECT_NE(block.data, nullptr);
  EXPECT_TRUE(spanmalloc_owns(block.data));
  EXPECT_GE(spanmalloc_malloc_usable_size(block.data), block.size);
  block.Fill();
  return block;
}

void Resize(Block* block, std::mt19937& random) {
  const size_t old_size = block->size;
  block->size = RandomSize(random);
  block->data =
      static_cast<unsigned char*>(spanmalloc_realloc(block->data, block->size));
  ASSERT_NE(block->data, nullptr);
  EXPECT_TRUE(block->Holds(std::min(old_size, block->size)));
  block->Fill();
}

void Free(const Block& block) {
  EXPECT_TRUE(block.Holds(block.size));
  spanmalloc_free(block.data);
}

TEST(Prefixed, ThreadsKeepTheirBlocksIntact) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; i++) {
    threads.emplace_back([i] {
      std::mt19937 random(i);
      std::vector<Block> blocks(100);
      for (Block& block : blocks) block = Allocate(random);
      for (int step = 0; step < kSteps / kThreads; step++) {
        Block& block = blocks[random() % blocks.size()];
        if (random() % 4 == 0) {
          Resize(&block, random);
        } else {
          Free(block);
          block = Allocate(random);
        }
      }
      for (const Block& block : blocks) Free(block);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Prefixed, BlocksMayBeFreedByAnotherThread) {
  std::mutex mutex;
  std::deque<Block> queue;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; i++) {
    threads.emplace_back([i, &mutex, &queue] {
      std::mt19937 random(100 + i);
      for (int step = 0; step < kSteps / kThreads; step++) {
        const Block mine = Allocate(random);
        Block other;
        {
          const std::lock_guard<std::mutex> lock(mutex);
          queue.push_back(mine);
          if (queue.size() > 200) {
            other = queue.front();
            queue.pop_front();
          }
        }
        if (other.data != nullptr) Free(other);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Block& block : queue) Free(block);
}

TEST(Prefixed, ShortThreadsLeaveTheirCachesBehind) {
  for (int i = 0; i < 200; i++) {
    std::thread([i] {
      std::mt19937 random(1000 + i);
      std::vector<Block> blocks;
      for (int k = 0; k < 20; k++) blocks.push_back(Allocate(random));
      for (const Block& block : blocks) Free(block);
    }).join();
  }
}

TEST(Prefixed, TheSystemsMallocStaysTheSystems) {
  const auto system_block = std::make_unique<int>(1);
  EXPECT_FALSE(spanmalloc_owns(system_block.get()));
}

}  // namespace
