// Blocks that the heap profiler has sampled, under the prefixed names of
// the_allocator: they are what they would be if they were none.
#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "allocator/api/allocator.h"

namespace spanmalloc {
namespace {

HeapProfileTotals Totals() {
  return the_allocator.profiler().profile().totals();
}

// The parameter: how many slots for guarded blocks, 0 for none.
class SampledBlocks : public testing::TestWithParam<size_t> {
 protected:
  SampledBlocks() {
    spanmalloc_free(spanmalloc_malloc(1));  // The options are read.
    if (GetParam() != 0) {
      EXPECT_TRUE(the_allocator.guarded().Enable(GetParam()));
    }
    spanmalloc_set_profile_interval(1);
    // The countdown as it was comes to its end.
    spanmalloc_free(spanmalloc_malloc(1 << 20));
  }
  ~SampledBlocks() override {
    spanmalloc_set_profile_interval(0);
    the_allocator.guarded().Disable();
    the_allocator.CheckInvariants();
    the_allocator.profiler().profile().CheckInvariants();
  }

  static bool IsGuarded(const void* p) {
    return the_allocator.guarded().Owns(p);
  }
  static void ExpectUsable(void* p, size_t size, size_t good_size) {
    ASSERT_NE(p, nullptr);
    const size_t usable = spanmalloc_malloc_usable_size(p);
    EXPECT_EQ(usable, IsGuarded(p) ? size : good_size) << size;
    memset(p, 0xa5, usable);
  }
};

INSTANTIATE_TEST_SUITE_P(, SampledBlocks, testing::Values(0, 64));

std::vector<size_t> Sizes() {
  std::vector<size_t> sizes;
  for (size_t size = 0; size < 200; ++size) sizes.push_back(size);
  for (size_t size = 200; size < 100000; size += size / 7) {
    sizes.push_back(size);
  }
  for (size_t size = 32768 - 40; size < 32768 + 40; ++size) {
    sizes.push_back(size);
  }
  return sizes;
}

TEST_P(SampledBlocks, EachIsInTheProfileAndOutAgain) {
  for (const size_t size : Sizes()) {
    if (size == 0) continue;
    const HeapProfileTotals before = Totals();
    void* const p = spanmalloc_malloc(size);
    const HeapProfileTotals now = Totals();
    EXPECT_EQ(now.samples, before.samples + 1) << size;
    EXPECT_EQ(now.allocated.requested_bytes - before.allocated.requested_bytes,
              size);
    EXPECT_EQ(now.allocated.allocated_bytes - before.allocated.allocated_bytes,
              spanmalloc_nallocx(size, 0));
    spanmalloc_free(p);
    EXPECT_EQ(Totals().live_samples, before.live_samples) << size;
  }
}

TEST_P(SampledBlocks, UsableAndFreedBySize) {
  for (const size_t size : Sizes()) {
    const size_t good_size = spanmalloc_nallocx(size, 0);
    void* p = spanmalloc_malloc(size);
    ExpectUsable(p, size, good_size);
    spanmalloc_free_sized(p, size);
    p = spanmalloc_malloc(size);
    spanmalloc_free_sized(p, spanmalloc_malloc_usable_size(p));
    p = spanmalloc_malloc(size);
    spanmalloc_sdallocx(p, good_size, 0);
  }
}

TEST_P(SampledBlocks, Aligned) {
  for (int log2 = 0; log2 <= 16; ++log2) {
    const size_t alignment = size_t{1} << log2;
    for (const size_t size : Sizes()) {
      void* const p = spanmalloc_memalign(alignment, size);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % alignment, 0u);
      ExpectUsable(p, size, spanmalloc_nallocx(size, log2));
      spanmalloc_free_aligned_sized(p, alignment, size);
    }
  }
}

TEST_P(SampledBlocks, CallocClears) {
  for (const size_t size : Sizes()) {
    spanmalloc_free(memset(spanmalloc_malloc(size), 0xa5, size));
    auto* const p = static_cast<unsigned char*>(spanmalloc_calloc(1, size));
    EXPECT_TRUE(
        std::all_of(p, p + size, [](unsigned char c) { return c == 0; }));
    spanmalloc_free(p);
  }
}

// From every size to every other; what is freed has the size asked for last.
TEST_P(SampledBlocks, Realloc) {
  const size_t sizes[] = {1,     8,     16,    100,   1000,   4096,  5000,
                          24576, 30000, 32760, 32768, 32769,  36000, 36864,
                          40000, 40960, 41000, 65536, 1 << 20};
  for (const size_t from : sizes) {
    for (const size_t to : sizes) {
      void* const p = memset(spanmalloc_malloc(from), 0x5a, from);
      auto* const q = static_cast<unsigned char*>(spanmalloc_realloc(p, to));
      EXPECT_TRUE(std::all_of(q, q + std::min(from, to),
                              [](unsigned char c) { return c == 0x5a; }));
      ExpectUsable(q, to, spanmalloc_nallocx(to, 0));
      spanmalloc_free_sized(q, to);
    }
  }
  EXPECT_EQ(Totals().live_samples, 0u);
}

TEST_P(SampledBlocks, FreedByAnotherThread) {
  std::vector<void*> blocks;
  for (const size_t size : Sizes()) blocks.push_back(spanmalloc_malloc(size));
  std::thread([&] {
    for (void* p : blocks) spanmalloc_free(p);
  }).join();
  EXPECT_EQ(Totals().live_samples, 0u);
}

// Sampling may be turned off while there are samples.
TEST_P(SampledBlocks, FreedWhenSamplingIsOff) {
  std::vector<void*> blocks;
  for (const size_t size : Sizes()) blocks.push_back(spanmalloc_malloc(size));
  spanmalloc_set_profile_interval(0);
  the_allocator.guarded().Disable();
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (i % 2 == 0) blocks[i] = spanmalloc_realloc(blocks[i], i + 1);
    spanmalloc_free(blocks[i]);
  }
  EXPECT_EQ(Totals().live_samples, 0u);
}

TEST_P(SampledBlocks, AreInTheStatistics) {
  const MemStats before = the_allocator.ReadStats();
  std::vector<void*> blocks;
  size_t guarded = 0, guarded_bytes = 0;
  for (const size_t size : Sizes()) {
    blocks.push_back(spanmalloc_malloc(size));
    guarded += IsGuarded(blocks.back());
    if (IsGuarded(blocks.back())) guarded_bytes += size;
  }
  const MemStats full = the_allocator.ReadStats();
  EXPECT_EQ(CheckMemStats(full), nullptr) << CheckMemStats(full);
  EXPECT_EQ(full.mallocs - before.mallocs, blocks.size());
  EXPECT_EQ(full.heap_objects - before.heap_objects, blocks.size());
  EXPECT_EQ(full.guarded_objects, guarded);
  EXPECT_EQ(full.guarded_bytes, guarded_bytes);
  EXPECT_EQ(guarded, GetParam());
  EXPECT_EQ(full.profile_live_samples, Totals().live_samples);
  for (void* p : blocks) spanmalloc_free(p);
  const MemStats after = the_allocator.ReadStats();
  EXPECT_EQ(CheckMemStats(after), nullptr) << CheckMemStats(after);
  EXPECT_EQ(after.frees - before.frees, blocks.size());
  EXPECT_EQ(after.heap_alloc, before.heap_alloc);
  EXPECT_EQ(after.guarded_objects, 0u);
  EXPECT_EQ(after.profile_live_samples, 0u);
  EXPECT_EQ(after.profile_lost_samples, 0u);
  EXPECT_GE(after.peak_heap_inuse, full.heap_inuse);
}

using SampledBlocksDeathTest = SampledBlocks;
INSTANTIATE_TEST_SUITE_P(, SampledBlocksDeathTest, testing::Values(0));

TEST_P(SampledBlocksDeathTest, Misuse) {
  void* const p = spanmalloc_malloc(1000);
  EXPECT_DEATH(
      {
        spanmalloc_free(p);
        spanmalloc_free(p);
      },
      "double free of 0x[0-9a-f]+ .1024-byte class.");
  EXPECT_DEATH(spanmalloc_free(static_cast<char*>(p) + 16),
               "free of 0x[0-9a-f]+, which is not the start");
  EXPECT_DEATH(spanmalloc_free_sized(p, 1025), "with size 1025, but .* 1024");
  spanmalloc_free(p);
}

}  // namespace
}  // namespace spanmalloc
