// The sums of samples: against a model, at the peak, without memory, by many
// threads.

#include "allocator/profile/heap_profile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <random>
#include <thread>
#include <tuple>
#include <vector>

#include "allocator/base/annotations.h"
#include "allocator/profile/label_set.h"
#include "allocator/profile/sampling_math.h"
#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

// Stack, labels, size.
using Key = std::tuple<const Stack*, const LabelSet*, uint64_t>;
using Snapshots = std::map<Key, BucketSnapshot>;

const void* Address(uintptr_t address) {
  return reinterpret_cast<const void*>(address);
}

// The profile asks no questions about labels.
const LabelSet* Labels(uintptr_t number) {
  return reinterpret_cast<const LabelSet*>(number);
}

// All of it is ready before any code runs.
SPANMALLOC_CONSTINIT MetadataArena constant_arena(&kLinuxMemory);
SPANMALLOC_CONSTINIT StackTable constant_stacks(&constant_arena);
SPANMALLOC_CONSTINIT LabelTable constant_labels(&constant_arena);
SPANMALLOC_CONSTINIT HeapProfile constant_profile(&constant_arena,
                                                  &constant_stacks);

TEST(ConstantTest, IsReady) {
  EXPECT_EQ(constant_profile.totals().samples, 0u);
  EXPECT_EQ(constant_stacks.used_bytes() + constant_labels.used_bytes(), 0u);
}

class HeapProfileTest : public testing::Test {
 protected:
  const Stack* StackOf(uintptr_t number) {
    const void* const frames[] = {Address(number), Address(number + 1)};
    return stacks_.Intern(frames, number == 0 ? 0 : 2);
  }

  bool Alloc(uintptr_t address, uint64_t size, uintptr_t stack = 1,
             uint64_t interval = 1, uint64_t time_ns = 0,
             const LabelSet* labels = nullptr) {
    Sample sample;
    sample.requested_bytes = size;
    sample.allocated_bytes = (size + 15) / 16 * 16;
    sample.interval = interval;
    sample.time_ns = time_ns;
    sample.stack = StackOf(stack);
    sample.labels = labels;
    return profile_.RecordAlloc(Address(address), sample);
  }
  bool Free(uintptr_t address, uint64_t now_ns = 0) {
    return profile_.RecordFree(Address(address), now_ns);
  }

  Snapshots Read(BucketKind kind = BucketKind::kHeap) const {
    Snapshots snapshots;
    profile_.ForEachBucket(
        kind,
        [](void* context, const BucketSnapshot& bucket) {
          const bool is_new =
              static_cast<Snapshots*>(context)
                  ->emplace(Key(bucket.stack, bucket.labels, bucket.size),
                            bucket)
                  .second;
          EXPECT_TRUE(is_new);
        },
        &snapshots);
    return snapshots;
  }
  // REQUIRES: there is one bucket.
  BucketSnapshot ReadOne(BucketKind kind = BucketKind::kHeap) const {
    const Snapshots snapshots = Read(kind);
    EXPECT_EQ(snapshots.size(), 1u);
    return snapshots.empty() ? BucketSnapshot{} : snapshots.begin()->second;
  }

  FakeSystem system_;
  MetadataArena arena_{&FakeSystem::memory()};
  StackTable stacks_{&arena_};
  HeapProfile profile_{&arena_, &stacks_};
};

// What one sample adds; see SamplesAreWorthTheirWeight.
Estimate WeightOf(uintptr_t address, uint64_t requested, uint64_t allocated,
                  uint64_t interval, uint64_t time_ns) {
  LiveSample sample = {};
  sample.address = Address(address);
  sample.requested_bytes = requested;
  sample.allocated_bytes = allocated;
  sample.interval = interval;
  sample.time_ns = time_ns;
  return WeightOf(sample);
}

void ExpectEstimate(const Estimate& estimate, uint64_t objects,
                    uint64_t requested, uint64_t allocated) {
  EXPECT_EQ(estimate.objects, objects << kObjectFraction);
  EXPECT_EQ(estimate.requested_bytes, requested);
  EXPECT_EQ(estimate.allocated_bytes, allocated);
}

TEST_F(HeapProfileTest, TakesNoMemoryBeforeItIsUsed) {
  EXPECT_FALSE(Free(16));
  SampledObject object;
  EXPECT_FALSE(profile_.Find(Address(16), &object));
  EXPECT_TRUE(Read().empty());
  EXPECT_TRUE(Read(BucketKind::kGrowth).empty());
  EXPECT_EQ(profile_.totals().samples, 0u);
  profile_.ResetPeak();
  EXPECT_EQ(system_.calls(), 0u);
  profile_.CheckInvariants();
}

TEST_F(HeapProfileTest, OneObject) {
  ASSERT_TRUE(Alloc(4096, 100, 7, 1, 50, Labels(64)));
  BucketSnapshot bucket = ReadOne();
  EXPECT_EQ(bucket.stack, StackOf(7));
  EXPECT_EQ(bucket.labels, Labels(64));
  EXPECT_EQ(bucket.size, 112u);
  ExpectEstimate(bucket.allocated, 1, 100, 112);
  ExpectEstimate(bucket.in_use, 1, 100, 112);
  ExpectEstimate(bucket.freed, 0, 0, 0);
  SampledObject object;
  ASSERT_TRUE(profile_.Find(Address(4096), &object));
  EXPECT_EQ(object.requested_bytes, 100u);
  EXPECT_EQ(object.allocated_bytes, 112u);
  EXPECT_EQ(object.time_ns, 50u);
  EXPECT_EQ(object.stack, StackOf(7));
  EXPECT_EQ(object.labels, Labels(64));
  EXPECT_FALSE(profile_.Find(Address(4112), &object));
  EXPECT_EQ(profile_.totals().live_samples, 1u);

  EXPECT_FALSE(Free(4112));
  EXPECT_TRUE(Free(4096, 60));
  EXPECT_FALSE(Free(4096));
  EXPECT_FALSE(profile_.Find(Address(4096), &object));
  bucket = ReadOne();
  ExpectEstimate(bucket.allocated, 1, 100, 112);
  ExpectEstimate(bucket.freed, 1, 100, 112);
  ExpectEstimate(bucket.in_use, 0, 0, 0);
  ExpectEstimate(bucket.peak, 1, 100, 112);
  EXPECT_EQ(bucket.lifetimes.sum_ns, 10u);
  EXPECT_EQ(profile_.totals().live_samples, 0u);
  EXPECT_EQ(profile_.totals().samples, 1u);
  EXPECT_EQ(profile_.totals().peak_bytes, 112u);
  profile_.CheckInvariants();
}

TEST_F(HeapProfileTest, BucketsByStackLabelsAndSize) {
  uintptr_t address = 16;
  for (int times = 0; times < 3; ++times) {
    for (uintptr_t stack : {1, 2}) {
      for (uintptr_t labels : {0, 64}) {
        for (uint64_t size : {16, 31, 32}) {
          ASSERT_TRUE(Alloc(address, size, stack, 1, 0, Labels(labels)));
          address += 32;
        }
      }
    }
  }
  const Snapshots snapshots = Read();
  // 31 bytes lie in blocks of 32, as 32 bytes do.
  ASSERT_EQ(snapshots.size(), 8u);
  const auto bucket = [&](uintptr_t stack, uintptr_t labels, uint64_t size) {
    return snapshots.at(Key(StackOf(stack), Labels(labels), size));
  };
  ExpectEstimate(bucket(2, 64, 16).in_use, 3, 48, 48);
  ExpectEstimate(bucket(1, 0, 32).in_use, 6, 3 * 63, 192);
  EXPECT_EQ(profile_.totals().buckets, 8u);
  profile_.CheckInvariants();
}

TEST_F(HeapProfileTest, WeightsOfSamples) {
  ASSERT_TRUE(Alloc(16, 100, 1, 1000));
  const double weight = 1 / (1 - std::exp(-0.1));
  BucketSnapshot bucket = ReadOne();
  EXPECT_NEAR(static_cast<double>(bucket.in_use.objects), weight * 4096, 1);
  EXPECT_NEAR(static_cast<double>(bucket.in_use.requested_bytes), weight * 100,
              1);
  EXPECT_NEAR(static_cast<double>(bucket.in_use.allocated_bytes), weight * 112,
              1);
  EXPECT_EQ(WholeObjects(bucket.in_use.objects), 11u);
  // What was sampled by one interval leaves by the same.
  ASSERT_TRUE(Alloc(32, 100, 1, 77));
  ASSERT_TRUE(Free(16));
  ASSERT_TRUE(Free(32));
  ExpectEstimate(ReadOne().in_use, 0, 0, 0);
  // Nothing that was asked for is a block all the same.
  ASSERT_TRUE(Alloc(48, 0, 2, 1));
  const BucketSnapshot empty = Read().at(Key(StackOf(2), nullptr, 0));
  ExpectEstimate(empty.in_use, 1, 0, 0);
  profile_.CheckInvariants();
}

// Rounded up or down, so that many together are right.
TEST(WeightOfTest, SamplesAreWorthTheirWeight) {
  struct Case {
    uint64_t requested, interval;
  };
  for (const Case& c : {Case{1, 2}, Case{100000, 11000}, Case{3, 5}}) {
    const double weight = SampleWeight(c.requested, c.interval);
    const double requested = weight * static_cast<double>(c.requested);
    const double allocated = requested + weight;
    constexpr int kSamples = 100000;
    Estimate sum;
    for (uintptr_t i = 0; i < kSamples; ++i) {
      const Estimate one =
          WeightOf(i % 16 * 16, c.requested, c.requested + 1, c.interval, i);
      EXPECT_NEAR(static_cast<double>(one.objects), weight * 4096, 1);
      EXPECT_NEAR(static_cast<double>(one.requested_bytes), requested, 1);
      EXPECT_NEAR(static_cast<double>(one.allocated_bytes), allocated, 1);
      sum.Add(one);
    }
    const double bound = 2 / std::sqrt(kSamples);
    EXPECT_NEAR(static_cast<double>(sum.objects) / kSamples, weight * 4096,
                bound);
    EXPECT_NEAR(static_cast<double>(sum.requested_bytes) / kSamples, requested,
                bound);
    EXPECT_NEAR(static_cast<double>(sum.allocated_bytes) / kSamples, allocated,
                bound);
  }
}

TEST_F(HeapProfileTest, RoundsObjects) {
  EXPECT_EQ(WholeObjects(0), 0u);
  EXPECT_EQ(WholeObjects(2047), 0u);
  EXPECT_EQ(WholeObjects(2048), 1u);
  EXPECT_EQ(WholeObjects(4096), 1u);
  EXPECT_EQ(WholeObjects(6143), 1u);
  EXPECT_EQ(WholeObjects(6144), 2u);
  EXPECT_EQ(WholeObjects(UINT64_MAX), uint64_t{1} << 52);
}

// The program freed the block when nobody was looking.
TEST_F(HeapProfileTest, AnAddressThatIsAllocatedAgain) {
  ASSERT_TRUE(Alloc(16, 100, 1, 1, 10));
  ASSERT_TRUE(Alloc(16, 200, 2, 1, 20));
  const Snapshots snapshots = Read();
  ASSERT_EQ(snapshots.size(), 2u);
  const BucketSnapshot first = snapshots.at(Key(StackOf(1), nullptr, 112));
  ExpectEstimate(first.freed, 1, 100, 112);
  EXPECT_EQ(first.lifetimes.count, 0u);
  EXPECT_EQ(profile_.totals().live_samples, 1u);
  EXPECT_EQ(profile_.totals().samples, 2u);
  profile_.CheckInvariants();
  ASSERT_TRUE(Free(16, 30));
  EXPECT_EQ(Read().at(Key(StackOf(2), nullptr, 208)).lifetimes.sum_ns, 10u);
  profile_.CheckInvariants();
}

TEST_F(HeapProfileTest, UnknownStack) {
  ASSERT_TRUE(Alloc(16, 16, 0));
  EXPECT_EQ(ReadOne().stack, stacks_.unknown());
  Sample sample;
  sample.requested_bytes = sample.allocated_bytes = 16;
  ASSERT_TRUE(profile_.RecordAlloc(Address(32), sample));
  ExpectEstimate(ReadOne().in_use, 2, 32, 32);
}

TEST_F(HeapProfileTest, LifetimesByDecades) {
  const uint64_t lifetimes[] = {0,
                                999,
                                1000,
                                9999,
                                10000,
                                1000000,
                                999999999,
                                1000000000,
                                999999999999,
                                1000000000000,
                                uint64_t{1} << 62,
                                UINT64_MAX};
  for (uint64_t lifetime : lifetimes) {
    ASSERT_TRUE(Alloc(16, 8));
    ASSERT_TRUE(Free(16, lifetime));
  }
  ASSERT_TRUE(Alloc(16, 8, 1, 1, 100));
  ASSERT_TRUE(Free(16, 99));  // By a clock that is behind.
  const Lifetimes sums = ReadOne().lifetimes;
  EXPECT_EQ(sums.count, 13u);
  EXPECT_EQ(sums.min_ns, 0u);
  EXPECT_EQ(sums.max_ns, UINT64_MAX);
  EXPECT_EQ(sums.sum_ns, UINT64_MAX);
  const std::vector<uint32_t> expected = {3, 2, 1, 0, 1, 0, 1, 1, 0, 1, 3};
  EXPECT_EQ(
      std::vector<uint32_t>(sums.decades, sums.decades + Lifetimes::kDecades),
      expected);
}

TEST_F(HeapProfileTest, LifetimesOfOneBucket) {
  for (uint64_t lifetime : {300, 100, 200}) {
    ASSERT_TRUE(Alloc(16, 8, 1, 1, 1000));
    ASSERT_TRUE(Free(16, 1000 + lifetime));
  }
  Lifetimes sums = ReadOne().lifetimes;
  EXPECT_EQ(sums.min_ns, 100u);
  EXPECT_EQ(sums.max_ns, 300u);
  EXPECT_EQ(sums.sum_ns, 600u);
  Lifetimes other;
  other.Add(50);
  sums.Add(other);
  sums.Add(Lifetimes());
  EXPECT_EQ(sums.count, 4u);
  EXPECT_EQ(sums.min_ns, 50u);
  EXPECT_EQ(sums.max_ns, 300u);
  EXPECT_EQ(sums.sum_ns, 650u);
  EXPECT_EQ(sums.decades[0], 4u);
  other = Lifetimes();
  other.Add(sums);
  EXPECT_EQ(other.min_ns, 50u);
}

TEST_F(HeapProfileTest, Growth) {
  EXPECT_TRUE(profile_.RecordGrowth(StackOf(1), 1 << 20));
  EXPECT_TRUE(profile_.RecordGrowth(StackOf(2), 2 << 20));
  EXPECT_TRUE(profile_.RecordGrowth(StackOf(1), 4 << 20));
  EXPECT_TRUE(profile_.RecordGrowth(nullptr, 3));
  const Snapshots snapshots = Read(BucketKind::kGrowth);
  ASSERT_EQ(snapshots.size(), 3u);
  ExpectEstimate(snapshots.at(Key(StackOf(1), nullptr, 0)).allocated, 2,
                 5 << 20, 5 << 20);
  ExpectEstimate(snapshots.at(Key(stacks_.unknown(), nullptr, 0)).allocated, 1,
                 3, 3);
  EXPECT_TRUE(Read().empty());
  EXPECT_EQ(profile_.totals().grown_bytes, (7u << 20) + 3);
  // The same stack and size as samples is another bucket.
  ASSERT_TRUE(Alloc(16, 0, 1));
  ExpectEstimate(ReadOne().in_use, 1, 0, 0);
  EXPECT_EQ(profile_.totals().peak_bytes, 0u);
  profile_.CheckInvariants();
}

TEST_F(HeapProfileTest, PeakIsWhenTheTotalWasHighest) {
  ASSERT_TRUE(Alloc(1, 100 * 16, 1));
  ASSERT_TRUE(Alloc(2, 50 * 16, 2));  // The peak: 150.
  ASSERT_TRUE(Free(1));
  ASSERT_TRUE(Alloc(3, 90 * 16, 3));  // 140, though 3 was never so high.
  const auto peak_of = [&](uintptr_t stack, uint64_t size) {
    return Read().at(Key(StackOf(stack), nullptr, size)).peak.allocated_bytes;
  };
  EXPECT_EQ(peak_of(1, 1600), 1600u);
  EXPECT_EQ(peak_of(2, 800), 800u);
  EXPECT_EQ(peak_of(3, 1440), 0u);
  profile_.CheckInvariants();
  ASSERT_TRUE(Alloc(4, 20 * 16, 2));  // The new peak: 160.
  EXPECT_EQ(peak_of(1, 1600), 0u);
  EXPECT_EQ(peak_of(2, 320), 320u);
  EXPECT_EQ(peak_of(3, 1440), 1440u);
  EXPECT_EQ(profile_.totals().peak_bytes, 2560u);
  ASSERT_TRUE(Free(2));
  ASSERT_TRUE(Free(3));
  EXPECT_EQ(peak_of(3, 1440), 1440u);
  profile_.ResetPeak();
  EXPECT_EQ(peak_of(3, 1440), 0u);
  EXPECT_EQ(peak_of(2, 320), 320u);
  EXPECT_EQ(profile_.totals().peak_bytes, 320u);
  profile_.CheckInvariants();
}

// An equal total is no new peak: the first one stands.
TEST_F(HeapProfileTest, TheFirstOfEqualPeaksStands) {
  ASSERT_TRUE(Alloc(1, 160, 1));
  ASSERT_TRUE(Free(1));
  ASSERT_TRUE(Alloc(1, 160, 2));
  const Snapshots snapshots = Read();
  EXPECT_EQ(snapshots.at(Key(StackOf(1), nullptr, 160)).peak.allocated_bytes,
            160u);
  EXPECT_EQ(snapshots.at(Key(StackOf(2), nullptr, 160)).peak.allocated_bytes,
            0u);
}

// Random events, and a model that copies all at each new maximum.
TEST_F(HeapProfileTest, RandomEventsAgainstAModel) {
  struct Object {
    Key key;
    Estimate weight;
  };
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    std::mt19937_64 random(seed);
    std::map<uintptr_t, Object> live;
    std::map<Key, Estimate> allocated, in_use, peak;
    for (const auto& [key, bucket] : Read()) {
      allocated[key] = bucket.allocated;
      in_use[key] = bucket.in_use;
    }
    profile_.ResetPeak();
    peak = in_use;
    uint64_t total = 0;
    for (const auto& [key, estimate] : in_use) {
      total += estimate.allocated_bytes;
    }
    uint64_t most = total;
    for (int i = 0; i < 20000; ++i) {
      const bool adds = random() % 100 < (i / 2500 % 2 == 0 ? 58u : 42u);
      const uintptr_t address = (seed * 1000000 + random() % 1000) * 16;
      const auto it = live.find(address);
      if (adds && it == live.end()) {
        const uint64_t size = 16 << (random() % 8);
        const uint64_t interval = 1 << (random() % 12);
        const uintptr_t stack = random() % 20;
        const LabelSet* const labels = Labels(random() % 3 * 64);
        ASSERT_TRUE(Alloc(address, size - 3, stack, interval, i, labels));
        Object& object = live[address];
        object.key = Key(StackOf(stack), labels, size);
        object.weight = WeightOf(address, size - 3, size, interval, i);
        allocated[object.key].Add(object.weight);
        in_use[object.key].Add(object.weight);
        total += object.weight.allocated_bytes;
        if (total > most) {
          most = total;
          peak = in_use;
        }
      } else if (it != live.end()) {
        ASSERT_TRUE(Free(address, i));
        in_use[it->second.key].Subtract(it->second.weight);
        total -= it->second.weight.allocated_bytes;
        live.erase(it);
      } else {
        ASSERT_FALSE(Free(address, i));
      }
      if (i % 997 != 0) continue;
      if (i % 3 == 0) profile_.CheckInvariants();
      ASSERT_EQ(profile_.totals().peak_bytes, most);
      const Snapshots snapshots = Read();
      ASSERT_EQ(snapshots.size(), allocated.size());
      for (const auto& [key, bucket] : snapshots) {
        const auto expect = [&](const Estimate& actual,
                                const Estimate& expected) {
          ASSERT_EQ(actual.objects, expected.objects);
          ASSERT_EQ(actual.requested_bytes, expected.requested_bytes);
          ASSERT_EQ(actual.allocated_bytes, expected.allocated_bytes);
        };
        expect(bucket.allocated, allocated[key]);
        expect(bucket.in_use, in_use[key]);
        expect(bucket.peak, peak[key]);
      }
    }
    for (const auto& [address, object] : live) ASSERT_TRUE(Free(address));
  }
  EXPECT_EQ(profile_.totals().live_samples, 0u);
  for (const auto& [key, bucket] : Read()) {
    EXPECT_EQ(bucket.in_use.objects, 0u);
    EXPECT_EQ(bucket.in_use.allocated_bytes, 0u);
  }
}

// A program of which the truth is known, through countdown, weights and sums:
// each of its stacks is estimated without a bias.
TEST_F(HeapProfileTest, EstimatesOfAProgram) {
  struct Site {
    uint64_t size;
    uint64_t keeps;  // One in so many objects stays.
    uint64_t made = 0, kept = 0;
  };
  Site sites[] = {{16, 2}, {48, 10}, {1000, 3}, {20000, 5}, {300000, 4}};
  constexpr uint64_t kInterval = 32 << 10;
  SampleCountdown countdown(kInterval, 3);
  std::mt19937_64 random(4);
  uintptr_t address = 0;
  for (int i = 0; i < 1500000; ++i) {
    const size_t which = random() % 5;
    Site& site = sites[which];
    address += 16;
    ++site.made;
    const bool sampled = countdown.Take(site.size);
    if (sampled) {
      ASSERT_TRUE(Alloc(address, site.size, which + 1, kInterval));
    }
    if (random() % site.keeps == 0) {
      ++site.kept;
    } else if (sampled) {
      ASSERT_TRUE(Free(address, 5));
    }
  }
  for (const auto& [key, bucket] : Read()) {
    const Site* site = sites;
    while (bucket.size != (site->size + 15) / 16 * 16) ++site;
    const double weight = SampleWeight(site->size, kInterval);
    const auto expect = [&](const Estimate& actual, uint64_t objects) {
      const double n = static_cast<double>(objects);
      const double bound = 3.5 * std::sqrt(n * (weight - 1)) + 1;
      EXPECT_NEAR(static_cast<double>(actual.objects) / 4096, n, bound)
          << site->size;
      EXPECT_NEAR(static_cast<double>(actual.requested_bytes) /
                      static_cast<double>(site->size),
                  n, bound)
          << site->size;
    };
    expect(bucket.allocated, site->made);
    expect(bucket.in_use, site->kept);
  }
  profile_.CheckInvariants();
}

TEST_F(HeapProfileTest, BucketsKeepToTheLimit) {
  profile_.set_limit(5 * 256);
  for (uintptr_t i = 1; i <= 20; ++i) {
    ASSERT_TRUE(Alloc(i * 16, 16 * i, i, 1, 0, Labels(64)));
  }
  Snapshots snapshots = Read();
  ASSERT_EQ(snapshots.size(), 6u);
  const BucketSnapshot pool = snapshots.at(Key(stacks_.no_room(), nullptr, 0));
  ExpectEstimate(pool.in_use, 15, 16 * (210 - 15), 16 * (210 - 15));
  HeapProfileTotals totals = profile_.totals();
  EXPECT_EQ(totals.pooled_samples, 15u);
  EXPECT_EQ(totals.lost_samples, 0u);
  EXPECT_EQ(totals.allocated.allocated_bytes, 16u * 210);
  SampledObject object;
  ASSERT_TRUE(profile_.Find(Address(20 * 16), &object));
  EXPECT_EQ(object.allocated_bytes, 320u);
  EXPECT_EQ(object.stack, StackOf(20));
  profile_.CheckInvariants();
  // Growth finds no bucket either, and counts in total.
  EXPECT_FALSE(profile_.RecordGrowth(StackOf(1), 100));
  EXPECT_EQ(profile_.totals().grown_bytes, 100u);
  // The buckets that are there are used on, and the pool's objects leave it.
  ASSERT_TRUE(Alloc(16 * 100, 16, 1, 1, 0, Labels(64)));
  EXPECT_EQ(profile_.totals().pooled_samples, 15u);
  for (uintptr_t i = 1; i <= 20; ++i) ASSERT_TRUE(Free(i * 16));
  snapshots = Read();
  ExpectEstimate(snapshots.at(Key(stacks_.no_room(), nullptr, 0)).in_use, 0, 0,
                 0);
  ExpectEstimate(snapshots.at(Key(StackOf(1), Labels(64), 16)).in_use, 1, 16,
                 16);
  profile_.set_limit(6 * 256);
  ASSERT_TRUE(Alloc(16 * 101, 16, 30));
  EXPECT_EQ(profile_.totals().pooled_samples, 15u);
  profile_.CheckInvariants();
}

TEST_F(HeapProfileTest, CountsItsMemory) {
  for (uintptr_t i = 1; i <= 2000; ++i) ASSERT_TRUE(Alloc(i * 16, 16, i % 50));
  const HeapProfileTotals totals = profile_.totals();
  EXPECT_EQ(totals.used_bytes + stacks_.used_bytes() +
                StackTable::kChains * sizeof(void*),
            arena_.used_bytes(RecordKind::kProfile));
}

// Whatever call of the system fails, the sums stay those of what was recorded.
TEST_F(HeapProfileTest, WithoutMemory) {
  system_.FailFrom(1);
  EXPECT_FALSE(Alloc(16, 16));
  EXPECT_FALSE(profile_.RecordGrowth(nullptr, 1));
  EXPECT_EQ(profile_.totals().lost_samples, 1u);
  profile_.CheckInvariants();
  system_.FailNothing();
  std::mt19937_64 random(1);
  std::map<uintptr_t, uint64_t> live;
  uint64_t lost = 1, bytes = 0;
  for (uintptr_t i = 1; i <= 30000; ++i) {
    if (i % 500 == 0) system_.FailCalls(1, random() % 3 + 1);
    const uint64_t size = 16 * (i % 100 + 1);
    if (Alloc(i * 16, size, i % 300)) {
      live[i * 16] = size;
      bytes += size;
    } else {
      ++lost;
    }
    if (i % 3 == 0) {
      const auto it = live.lower_bound(random() % i * 16);
      if (it == live.end()) continue;
      ASSERT_TRUE(Free(it->first));
      bytes -= it->second;
      live.erase(it);
    }
  }
  EXPECT_GT(system_.failures(), 5u);
  const HeapProfileTotals totals = profile_.totals();
  EXPECT_EQ(totals.lost_samples, lost);
  EXPECT_EQ(totals.live_samples, live.size());
  EXPECT_EQ(totals.allocated.allocated_bytes - totals.freed.allocated_bytes,
            bytes);
  profile_.CheckInvariants();
}

// Each step of the first sample fails once.
TEST(HeapProfileFailureTest, WithoutMemoryAtEachStep) {
  for (size_t n = 1; n <= 5; ++n) {
    FakeSystem system;
    MetadataArena arena(&FakeSystem::memory());
    StackTable stacks(&arena);
    HeapProfile profile(&arena, &stacks);
    system.FailFrom(n);
    const void* const frame = Address(77);
    for (uintptr_t i = 1; i <= 9000; ++i) {
      Sample sample;
      sample.requested_bytes = sample.allocated_bytes = 16 * i;
      sample.stack = stacks.Intern(&frame, 1);
      profile.RecordAlloc(Address(i * 16), sample);
    }
    profile.CheckInvariants();
    stacks.CheckInvariants();
    const HeapProfileTotals totals = profile.totals();
    EXPECT_EQ(totals.samples + totals.lost_samples, 9000u);
    EXPECT_GT(system.failures(), 0u);
  }
}

TEST_F(HeapProfileTest, LiveObjects) {
  for (uintptr_t i = 1; i <= 700; ++i) ASSERT_TRUE(Alloc(i * 16, 16, 1, 1, i));
  size_t seen = 0;
  profile_.ForEachLive(
      [](void* context, const void* p, const SampledObject& object) {
        EXPECT_EQ(p, Address(object.time_ns * 16));
        ++*static_cast<size_t*>(context);
      },
      &seen);
  EXPECT_EQ(seen, 700u);
}

// Threads allocate and free, each its own addresses and all with the same
// stacks, while others read.
TEST_F(HeapProfileTest, Threads) {
  constexpr uintptr_t kThreads = 3, kRounds = 4000;
  std::atomic<bool> done{false};
  std::thread reader([&] {
    Snapshots last;
    while (!done.load()) {
      const Snapshots now = Read();
      EXPECT_GE(now.size(), last.size());
      for (const auto& [key, bucket] : now) {
        // A reader that meets an interrupted writer may see a mix of moments.
        EXPECT_GE(bucket.allocated.objects, bucket.in_use.objects);
        EXPECT_LE(bucket.in_use.objects >> kObjectFraction, kThreads * kRounds);
        const auto before = last.find(key);
        if (before == last.end()) continue;
        EXPECT_GE(bucket.allocated.objects, before->second.allocated.objects);
        EXPECT_GE(bucket.freed.objects, before->second.freed.objects);
      }
      last = now;
      EXPECT_LE(profile_.totals().live_samples, kThreads * kRounds);
    }
  });
  std::vector<std::thread> threads;
  for (uintptr_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      std::vector<uintptr_t> live;
      for (uintptr_t i = 1; i <= kRounds; ++i) {
        const uintptr_t address = (i * kThreads + t) * 16;
        EXPECT_TRUE(
            Alloc(address, 16 << (random() % 3), random() % 30 + 1, 1, i));
        live.push_back(address);
        SampledObject object;
        EXPECT_TRUE(profile_.Find(Address(address), &object));
        EXPECT_EQ(object.time_ns, i);
        if (i % 3 != 0) {
          std::swap(live[random() % live.size()], live.back());
          EXPECT_TRUE(Free(live.back(), i));
          live.pop_back();
        }
      }
      for (uintptr_t address : live) EXPECT_TRUE(Free(address, kRounds));
    });
  }
  for (std::thread& thread : threads) thread.join();
  done.store(true);
  reader.join();
  const HeapProfileTotals totals = profile_.totals();
  EXPECT_EQ(totals.samples, kThreads * kRounds);
  EXPECT_EQ(totals.live_samples, 0u);
  EXPECT_EQ(totals.allocated.objects, totals.freed.objects);
  EXPECT_EQ(totals.allocated.objects, (kThreads * kRounds) << kObjectFraction);
  profile_.CheckInvariants();
}

}  // namespace
}  // namespace spanmalloc
