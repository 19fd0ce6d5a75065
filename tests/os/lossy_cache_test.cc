#include "allocator/os/lossy_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace spanmalloc {

struct LossyCacheTestPeer {
  // What one sees while an entry is being replaced: a new value, an old check.
  template <size_t kEntries>
  static void Tear(LossyCache<kEntries>* cache, uint64_t key, uint64_t value) {
    cache->EntryOf(key).value.store(value);
  }
};

namespace {

uint64_t Key(uint64_t i) { return MixBits(i); }

TEST(LossyCacheTest, MixingIsOneToOneAndSpreads) {
  EXPECT_NE(MixBits(1), MixBits(2));
  for (int bit = 0; bit < 64; ++bit) {
    const uint64_t changed = MixBits(0x1234) ^ MixBits(0x1234 ^ 1ull << bit);
    EXPECT_GE(__builtin_popcountll(changed), 12) << bit;
    EXPECT_NE(changed % 64, changed);
  }
}

TEST(LossyCacheTest, FindsWhatWasInsertedLast) {
  static LossyCache<16> cache;
  for (uint64_t i = 1; i < 1000; ++i) {
    EXPECT_EQ(cache.Find(Key(i)), 0u);
    cache.Insert(Key(i), i);
    EXPECT_EQ(cache.Find(Key(i)), i);
    cache.Insert(Key(i), i + 1);
    EXPECT_EQ(cache.Find(Key(i)), i + 1);
  }
  uint64_t found = 0;
  for (uint64_t i = 1; i < 1000; ++i) {
    const uint64_t value = cache.Find(Key(i));
    EXPECT_TRUE(value == 0 || value == i + 1);
    found += value != 0;
  }
  EXPECT_GE(found, 8u);
  EXPECT_LE(found, 16u);
}

TEST(LossyCacheTest, AHalfReplacedEntryIsNobodys) {
  static LossyCache<2> cache;
  for (uint64_t i = 1; i < 100; ++i) {
    cache.Insert(Key(1), i);
    LossyCacheTestPeer::Tear(&cache, Key(1), i + 1);
    for (uint64_t j = 1; j < 100; ++j) EXPECT_EQ(cache.Find(Key(j)), 0u);
  }
}

// Values of different keys are equal in most bits, as rules are.
TEST(LossyCacheTest, NoKeyHasTheValueOfAnother) {
  static LossyCache<2> cache;
  std::atomic<int> wrong{0};
  std::atomic<uint64_t> found{0};
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&wrong, &found, t] {
      for (uint64_t i = 0; i < 300000; ++i) {
        const uint64_t mine = (i * 4 + t) % 8 + 1;
        cache.Insert(Key(mine), mine);
        const uint64_t other = i % 8 + 1;
        const uint64_t value = cache.Find(Key(other));
        if (value != 0) found.fetch_add(1, std::memory_order_relaxed);
        if (value != 0 && value != other) wrong.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_GT(found.load(), 0u);
}

}  // namespace
}  // namespace spanmalloc
