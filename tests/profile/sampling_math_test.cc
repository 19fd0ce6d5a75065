// Logarithm and exponential against libm, the distribution of gaps, and that
// estimates are unbiased.

#include "allocator/profile/sampling_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace spanmalloc {
namespace {

void ExpectClose(double actual, double expected, double x) {
  EXPECT_LE(std::abs(actual - expected), 1e-14 * std::abs(expected))
      << "at " << x << ": " << actual << " for " << expected;
}

TEST(SamplingMathTest, NaturalLog) {
  std::mt19937_64 random(1);
  for (int exponent = -1022; exponent <= 1023; exponent += 5) {
    for (int i = 0; i < 20; ++i) {
      const double m = 1 + static_cast<double>(random() >> 11) * 0x1p-53;
      const double x = std::ldexp(m, exponent);
      ExpectClose(NaturalLog(x), std::log(x), x);
    }
  }
  EXPECT_EQ(NaturalLog(1), 0);
  for (double d = 0x1p-52; d < 0.5; d *= 1.7) {
    ExpectClose(NaturalLog(1 + d), std::log(1 + d), 1 + d);
    ExpectClose(NaturalLog(1 - d), std::log(1 - d), 1 - d);
  }
  for (double x : {std::sqrt(2.0), std::nextafter(std::sqrt(2.0), 2.0), 0x1p-53,
                   0x1p-1022}) {
    ExpectClose(NaturalLog(x), std::log(x), x);
  }
}

TEST(SamplingMathTest, OneMinusExp) {
  EXPECT_EQ(OneMinusExp(0), 0);
  for (double x = 1e-300; x < 1e300; x *= 1.01) {
    ExpectClose(OneMinusExp(x), -std::expm1(-x), x);
    if (x > 1e-3) {
      EXPECT_NEAR(OneMinusExp(x), 1 - std::exp(-x), 1e-15);
    }
  }
  for (double x = 0; x < 50; x += 1.0 / 512) {
    ExpectClose(OneMinusExp(x), -std::expm1(-x), x);
  }
  EXPECT_EQ(OneMinusExp(std::numeric_limits<double>::infinity()), 1);
}

TEST(SamplingMathTest, Weights) {
  EXPECT_EQ(SampleWeight(0, 0), 1);
  EXPECT_EQ(SampleWeight(1, 1), 1);
  EXPECT_EQ(SampleWeight(1000, 1), 1);
  EXPECT_EQ(SampleWeight(1 << 30, 512 << 10), 1);
  EXPECT_EQ(SampleWeight(0, 1000), SampleWeight(1, 1000));
  EXPECT_NEAR(SampleWeight(16, 512 << 10), 32768.5, 0.01);
  EXPECT_NEAR(SampleWeight(512 << 10, 512 << 10), 1 / (1 - std::exp(-1.0)),
              1e-12);
  EXPECT_NEAR(SampleWeight(1, uint64_t{1} << 50), 0x1p50, 1);
}

TEST(SamplingMathTest, GapsOfOneSampleEverything) {
  Random random(1);
  for (uint64_t interval : {0, 1}) {
    EXPECT_EQ(NextGap(interval, &random), 1u);
    SampleCountdown countdown(interval, 1);
    for (int i = 0; i < 100; ++i) EXPECT_TRUE(countdown.Take(i));
  }
}

// P(gap > n) = exp(-n / interval), for small intervals too, where rounding
// would show.
TEST(SamplingMathTest, GapsAreExponential) {
  constexpr int kGaps = 1000000;
  for (uint64_t interval : {2, 3, 10, 1000, 512 << 10}) {
    Random random(interval);
    std::vector<uint64_t> longer(40);
    double sum = 0;
    for (int i = 0; i < kGaps; ++i) {
      const uint64_t gap = NextGap(interval, &random);
      ASSERT_GE(gap, 1u);
      sum += static_cast<double>(gap);
      for (size_t k = 0; k < longer.size(); ++k) {
        longer[k] += gap > k * interval / 4;
      }
    }
    for (size_t k = 0; k < longer.size(); ++k) {
      const double n = static_cast<double>(k * interval / 4);
      const double p = std::exp(-n / static_cast<double>(interval));
      const double deviation = std::sqrt(kGaps * p * (1 - p));
      EXPECT_NEAR(static_cast<double>(longer[k]), kGaps * p, 4 * deviation + 1)
          << interval << ", " << n;
    }
    const double mean = 1 / (1 - std::exp(-1 / static_cast<double>(interval)));
    EXPECT_NEAR(sum / kGaps, mean, 4 * mean / std::sqrt(kGaps)) << interval;
  }
}

// Gaps of one stream say nothing about the next one.
TEST(SamplingMathTest, GapsAreIndependent) {
  Random random(5);
  constexpr int kGaps = 200000;
  double product = 0, last = 0;
  for (int i = 0; i < kGaps; ++i) {
    const double gap = static_cast<double>(NextGap(100000, &random)) / 1e5 - 1;
    product += gap * last;
    last = gap;
  }
  EXPECT_NEAR(product / kGaps, 0, 4 / std::sqrt(kGaps));
}

TEST(SamplingMathTest, GapsOfHugeIntervalsDoNotWrap) {
  Random random(1);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t gap = NextGap(UINT64_MAX, &random);
    EXPECT_GE(gap, 1u);
    EXPECT_LE(gap, uint64_t{1} << 62);
  }
}

TEST(SamplingMathTest, SeedsGiveDifferentStreams) {
  Random a(1), b(2), again(1);
  const uint64_t first = a.Next();
  EXPECT_NE(first, b.Next());
  EXPECT_EQ(first, again.Next());
}

struct Mix {
  const char* name;
  std::vector<uint64_t> sizes;  // Drawn with equal chances.
};

// Objects and bytes, of each size and of all, are estimated without a bias. An
// allocation that is counted with weight 1/p has variance 1/p - 1, so the sum
// over n of them n (1/p - 1). With fixed seeds the outcome is fixed.
TEST(SamplingMathTest, EstimatesAreUnbiased) {
  const Mix mixes[] = {
      {"one small size", {16}},
      {"small and large", {8, 24, 100, 1000, 4096, 1 << 20}},
      {"around the interval", {30000, 60000, 65536, 70000, 130000}},
      {"nothing", {0}},
      {"odd", {1, 3, 17, 129, 1021, 9973, 99991}},
  };
  constexpr uint64_t kInterval = 64 << 10;
  constexpr int kAllocations = 3000000;
  for (const Mix& mix : mixes) {
    std::mt19937_64 choice(7);
    SampleCountdown countdown(kInterval, 11);
    std::vector<double> objects(mix.sizes.size());
    std::vector<double> estimates(mix.sizes.size());
    for (int i = 0; i < kAllocations; ++i) {
      const size_t which = choice() % mix.sizes.size();
      const uint64_t size = mix.sizes[which];
      ++objects[which];
      if (countdown.Take(size)) {
        estimates[which] += SampleWeight(size, countdown.interval());
      }
    }
    double bytes = 0, estimated_bytes = 0, variance_of_bytes = 0;
    for (size_t k = 0; k < mix.sizes.size(); ++k) {
      const double size = static_cast<double>(mix.sizes[k]);
      const double weight = SampleWeight(mix.sizes[k], kInterval);
      const double variance = objects[k] * (weight - 1);
      EXPECT_NEAR(estimates[k], objects[k], 3.5 * std::sqrt(variance) + 1e-6)
          << mix.name << ", size " << size;
      bytes += objects[k] * size;
      estimated_bytes += estimates[k] * size;
      variance_of_bytes += variance * size * size;
    }
    EXPECT_NEAR(estimated_bytes, bytes,
                3.5 * std::sqrt(variance_of_bytes) + 1e-6)
        << mix.name;
  }
}

// Two sizes that alternate: a countdown that was not drawn anew, or carried a
// rest over, would favour one.
TEST(SamplingMathTest, OrderDoesNotMatter) {
  SampleCountdown countdown(1000, 3);
  double estimates[2] = {};
  constexpr int kPairs = 1000000;
  for (int i = 0; i < kPairs; ++i) {
    for (int k = 0; k < 2; ++k) {
      const uint64_t size = k == 0 ? 10 : 5000;
      if (countdown.Take(size)) estimates[k] += SampleWeight(size, 1000);
    }
  }
  EXPECT_NEAR(estimates[0], kPairs, 3.5 * std::sqrt(kPairs * 99.5));
  EXPECT_NEAR(estimates[1], kPairs, 3.5 * std::sqrt(kPairs * 0.0068));
}

TEST(SamplingMathTest, ANewIntervalHoldsAtOnce) {
  SampleCountdown countdown(uint64_t{1} << 60, 1);
  EXPECT_FALSE(countdown.Take(1000));
  countdown.SetInterval(1);
  EXPECT_EQ(countdown.interval(), 1u);
  EXPECT_TRUE(countdown.Take(1));
  EXPECT_TRUE(countdown.Take(1));
  countdown.SetInterval(uint64_t{1} << 60);
  EXPECT_FALSE(countdown.Take(1000));
}

}  // namespace
}  // namespace spanmalloc
