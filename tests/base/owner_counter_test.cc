// A counter that one thread writes and others read.

#include "allocator/base/owner_counter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace spanmalloc {
namespace {

TEST(OwnerCounterTest, Counts) {
  OwnerCounter counter;
  EXPECT_EQ(counter.Get(), 0u);
  counter.Increment();
  counter.Increment();
  EXPECT_EQ(counter.Get(), 2u);
  counter.Add(40);
  EXPECT_EQ(counter.Get(), 42u);
  counter.Add(0);
  EXPECT_EQ(counter.Get(), 42u);
}

TEST(OwnerCounterTest, PassesFourGiga) {
  OwnerCounter counter;
  counter.Add(UINT32_MAX);
  counter.Increment();
  EXPECT_EQ(counter.Get(), uint64_t{1} << 32);
}

TEST(OwnerCounterTest, NeighboursStayUntouched) {
  OwnerCounter counters[3];
  counters[1].Add(UINT64_MAX);
  counters[1].Increment();
  for (const OwnerCounter& counter : counters) EXPECT_EQ(counter.Get(), 0u);
}

TEST(OwnerCounterTest, ReadersSeeItGrow) {
  constexpr uint64_t kCount = 200000;
  OwnerCounter counter;
  std::atomic<bool> grew_only{true};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      for (uint64_t last = 0; last < kCount;) {
        const uint64_t now = counter.Get();
        if (now < last || now > kCount) grew_only = false;
        last = now;
      }
    });
  }
  for (uint64_t i = 0; i < kCount; ++i) counter.Increment();
  for (std::thread& reader : readers) reader.join();
  EXPECT_TRUE(grew_only);
  EXPECT_EQ(counter.Get(), kCount);
}

}  // namespace
}  // namespace spanmalloc
