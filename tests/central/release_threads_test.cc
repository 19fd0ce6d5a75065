// Threads use a class while others sweep it.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "tests/support/live_bytes.h"
#include "tests/support/sweep_heap.h"

namespace spanmalloc {
namespace {

constexpr SweepHeap::Who kOwn = SweepHeap::kOwn;
constexpr SweepHeap::Who kGuest = SweepHeap::kGuest;

class ReleaseThreads : public testing::TestWithParam<size_t> {
 protected:
  SweepHeap heap_{SweepHeap::ClassOfSizeExactly(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(Sizes, ReleaseThreads,
                         testing::Values(12, 24, 48, 576, 1152, 4096, 9344));

// Each object has one owner at a time, whose pattern nobody changes, and all
// that are out at the end are accounted for.
TEST_P(ReleaseThreads, ObjectsStayWhatTheyAre) {
  constexpr size_t kThreads = 3;
  constexpr int kSteps = 400;
  const size_t most = std::min<size_t>(heap_.capacity(), 300);
  LiveBytes live;
  std::atomic<bool> done{false};
  std::vector<Objects> kept(2 * kThreads);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      const auto pattern = static_cast<uint8_t>(t + 1);
      for (int step = 0; step < kSteps; ++step) {
        const SweepHeap::Who who =
            heap_.has_guests() && random() % 2 == 0 ? kGuest : kOwn;
        const size_t size = heap_.info(who).size;
        Objects& mine = kept[2 * t + who];
        Objects batch(random() % most + 1);
        batch.resize(heap_.list(who).RemoveRange(batch.data(), batch.size()));
        for (void* p : batch) {
          ASSERT_TRUE(live.Add(p, size)) << p;
          memset(p, pattern, size);
        }
        mine.insert(mine.end(), batch.begin(), batch.end());
        if (mine.size() < 3 * most) continue;
        // A stretch of neighbours, so that pages become free; now and then all.
        std::sort(mine.begin(), mine.end());
        const size_t n = random() % 4 == 0 ? mine.size() : 2 * most;
        const size_t from = random() % (mine.size() - n + 1);
        const auto first = mine.begin() + static_cast<ptrdiff_t>(from);
        const Objects freed(first, first + static_cast<ptrdiff_t>(n));
        mine.erase(first, first + static_cast<ptrdiff_t>(n));
        for (void* p : freed) {
          const auto* const bytes = static_cast<const uint8_t*>(p);
          ASSERT_TRUE(std::all_of(bytes, bytes + size, [pattern](uint8_t b) {
            return b == pattern;
          })) << p;
          ASSERT_TRUE(live.Remove(p, size)) << p;
        }
        heap_.list(who).InsertRange(freed.data(), freed.size());
      }
    });
  }
  std::atomic<size_t> released{0};
  std::vector<std::thread> sweepers;
  for (int s = 0; s < 2; ++s) {
    sweepers.emplace_back([&, s] {
      for (int i = 0; !done || i < 4; ++i) {
        const bool idle_only = s == 0 && i % 8 != 0;
        const size_t max_bytes = i % 3 == 0 ? 8192 : SIZE_MAX;
        const SpanRelease release =
            heap_.list().ReleaseFreePages(idle_only, max_bytes, 4096);
        EXPECT_FALSE(release.refused);
        released += release.bytes;
        if (i % 16 == 0) heap_.list().ReleaseUnusedEmptySpan();
        if (i % 16 == 8) heap_.list().CheckInvariants();
        std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  done = true;
  for (std::thread& thread : sweepers) thread.join();
  EXPECT_NE(released, 0u);
  heap_.Check();
  for (const SweepHeap::Who who : {kOwn, kGuest}) {
    size_t out = 0;
    for (size_t t = 0; t < kThreads; ++t) {
      Objects& mine = kept[2 * t + who];
      out += mine.size();
      if (!mine.empty()) heap_.list(who).InsertRange(mine.data(), mine.size());
    }
    EXPECT_TRUE(who == kOwn || heap_.has_guests() || out == 0);
  }
  heap_.Check();
  heap_.list().ReleaseEmptySpan();
  if (heap_.has_guests()) heap_.list(kGuest).ReleaseEmptySpan();
  EXPECT_EQ(heap_.page_heap().stats().used, Length(0));
  EXPECT_EQ(heap_.released_in_spans(), 0u);
}

}  // namespace
}  // namespace spanmalloc
