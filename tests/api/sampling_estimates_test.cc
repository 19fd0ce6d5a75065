// What the heap profiler estimates, against what threads really did.
#include <gtest/gtest.h>
#include <spanmalloc/spanmalloc.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "allocator/api/allocator.h"

namespace spanmalloc {
namespace {

constexpr int kThreads = 4;
// A failure by chance in 300,000 runs of what is checked here.
constexpr double kSigmas = 5.5;

struct Truth {
  double allocated = 0, in_use = 0;
  // Of the estimates of these, by one interval for all.
  double allocated_variance = 0, in_use_variance = 0;

  void Add(const Truth& other) {
    allocated += other.allocated;
    in_use += other.in_use;
    allocated_variance += other.allocated_variance;
    in_use_variance += other.in_use_variance;
  }
};

using SizeMix = size_t (*)(std::mt19937* random);

// A block of n bytes is sampled with p = 1 - exp(-n / interval), and then
// counts a / p: the variance is a^2 (1 - p) / p.
double Variance(size_t size, double allocated, double interval) {
  const double odds = std::expm1(static_cast<double>(size) / interval);
  return allocated * allocated / odds;
}

// Allocates so many bytes, and keeps every fifth block or so.
Truth Allocate(SizeMix mix, size_t bytes, double interval, unsigned seed,
               std::vector<void*>* kept) {
  std::mt19937 random(seed);
  Truth truth;
  while (truth.allocated < static_cast<double>(bytes)) {
    const size_t size = mix(&random);
    const double allocated = static_cast<double>(spanmalloc_nallocx(size, 0));
    void* const p = spanmalloc_malloc(size);
    truth.allocated += allocated;
    truth.allocated_variance += Variance(size, allocated, interval);
    if (random() % 5 != 0) {
      spanmalloc_free(p);
      continue;
    }
    truth.in_use += allocated;
    truth.in_use_variance += Variance(size, allocated, interval);
    kept->push_back(p);
  }
  return truth;
}

struct Result {
  Truth truth;
  double allocated, in_use, samples;
};

Result RunThreads(SizeMix mix, size_t bytes, size_t interval) {
  spanmalloc_set_profile_interval(interval);
  const HeapProfileTotals before = the_allocator.profiler().profile().totals();
  Truth truths[kThreads];
  std::vector<void*> kept[kThreads];
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      truths[t] = Allocate(mix, bytes, static_cast<double>(interval),
                           static_cast<unsigned>(t), &kept[t]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  spanmalloc_set_profile_interval(0);
  const HeapProfileTotals now = the_allocator.profiler().profile().totals();
  Result result = {};
  for (const Truth& truth : truths) result.truth.Add(truth);
  result.allocated = static_cast<double>(now.allocated.allocated_bytes -
                                         before.allocated.allocated_bytes);
  result.in_use =
      result.allocated - static_cast<double>(now.freed.allocated_bytes -
                                             before.freed.allocated_bytes);
  result.samples = static_cast<double>(now.samples - before.samples);
  for (const std::vector<void*>& blocks : kept) {
    for (void* p : blocks) spanmalloc_free(p);
  }
  return result;
}

size_t Tiny(std::mt19937* random) { return 1 + (*random)() % 32; }
// Slowly, so that samples come about as often as they may.
size_t ThousandSlowly(std::mt19937* random) {
  for (int i = 0; i < 300; ++i) (*random)();
  return 1000;
}
size_t Thousand(std::mt19937*) { return 1000; }
size_t Medium(std::mt19937* random) { return 100 + (*random)() % 8000; }
size_t AllMagnitudes(std::mt19937* random) {
  const size_t most = size_t{8} << (*random)() % 16;
  return 1 + (*random)() % most;
}
size_t NearTheLargestClass(std::mt19937* random) {
  return 24000 + (*random)() % 16000;
}

constexpr std::pair<const char*, SizeMix> kMixes[] = {
    {"tiny", Tiny},
    {"thousand", Thousand},
    {"medium", Medium},
    {"all magnitudes", AllMagnitudes},
    {"near the largest class", NearTheLargestClass}};

TEST(SamplingEstimates, AreWithinTheirSpread) {
  for (const auto& [name, mix] : kMixes) {
    SCOPED_TRACE(name);
    const Result result =
        RunThreads(mix, mix == Tiny ? 8 << 20 : 64 << 20, 32 << 10);
    EXPECT_NEAR(result.allocated, result.truth.allocated,
                kSigmas * std::sqrt(result.truth.allocated_variance));
    EXPECT_NEAR(result.in_use, result.truth.in_use,
                kSigmas * std::sqrt(result.truth.in_use_variance));
  }
}

// The interval doubles and halves all the time: in the first mix about where it
// begins, in the other far above. The sum over all bytes of the interval that
// held for them is the variance; if it were the same for all, it would be
// total^2 / samples; twice that is room for the changes.
TEST(SamplingEstimates, AreRightAtAnyPace) {
  const std::pair<SizeMix, size_t> rows[] = {
      {ThousandSlowly, size_t{256} << 20}, {Thousand, size_t{2} << 30}};
  for (const auto& [mix, bytes] : rows) {
    const Result result = RunThreads(mix, bytes, HeapProfiler::kLeastPaced);
    const Truth& truth = result.truth;
    printf("%.0f samples, %.0f without a pace\n", result.samples,
           truth.allocated / HeapProfiler::kLeastPaced);
    const double variance = 2 * truth.allocated / result.samples;
    EXPECT_NEAR(result.allocated, truth.allocated,
                kSigmas * std::sqrt(truth.allocated * variance));
    EXPECT_NEAR(result.in_use, truth.in_use,
                kSigmas * std::sqrt(truth.in_use * variance));
  }
}

}  // namespace
}  // namespace spanmalloc
