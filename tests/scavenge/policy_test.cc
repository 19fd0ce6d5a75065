#include "allocator/scavenge/policy.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace spanmalloc {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kSecond = 1000 * kMillisecond;
constexpr size_t kMebibyte = 1 << 20;
constexpr size_t kGibibyte = 1 << 30;

// A heap and a clock that are made up. Memory goes idle by Free; what the
// policy allows goes back if it is old enough, at a price.
class PolicyTest : public testing::Test {
 protected:
  PolicyTest() {
    view_.now = 1000 * kSecond;
    policy_.Configure(kSecond, view_.now - 10 * kSecond);
  }

  void Allocate(size_t bytes) { view_.footprint += bytes; }
  // Of what is allocated.
  void Free(size_t bytes) {
    view_.idle += bytes;
    age_ = 0;
  }
  // Memory that went back is needed again.
  void Fetch(size_t bytes) { view_.footprint += bytes; }

  // So much is free for that long, and then needed again.
  void Cycle(size_t bytes, uint64_t time) {
    const uint64_t start = view_.now;
    const size_t footprint = view_.footprint;
    Free(bytes);
    Run(time);
    view_.now = start + time;
    view_.idle = 0;
    Fetch(footprint - view_.footprint);
  }

  // As after memory that was missed.
  void EndHaste() {
    Allocate(100 * kMebibyte);
    for (int i = 0; policy_.in_haste(); ++i) {
      ASSERT_LT(i, 100);
      Cycle(view_.footprint, kSecond / 5);
    }
    view_.footprint -= 100 * kMebibyte;
    Step();
    view_.now += 10 * kSecond;
    Step();
  }

  // One step at the present time; returns bytes given back.
  size_t Step() {
    last_ = policy_.Next(view_);
    if (last_.tick) ++age_;
    size_t bytes = 0;
    bool all = true;
    while (age_ >= last_.min_age && bytes < view_.idle) {
      all = bytes < last_.bytes &&
            bytes / kMebibyte * cost_per_mebibyte_ <= last_.nanoseconds;
      if (!all) break;
      const size_t piece = 16 * kMebibyte;
      bytes += std::min({piece, last_.bytes - bytes, view_.idle - bytes});
    }
    view_.idle -= bytes;
    view_.footprint -= bytes;
    view_.given_back += bytes;
    const uint64_t cost = bytes / kMebibyte * cost_per_mebibyte_;
    spent_ += cost;
    policy_.Spent(cost, bytes, all);
    ++steps_;
    return bytes;
  }

  // Steps, each after the wait that was asked for, until nothing is left to do
  // or the time is over. Returns nanoseconds until the last byte went back.
  uint64_t Run(uint64_t most) {
    const uint64_t start = view_.now;
    uint64_t last_byte = 0;
    for (;;) {
      if (Step() != 0) last_byte = view_.now - start;
      const uint64_t wait = policy_.Wait(view_);
      if (wait == ScavengePolicy::kForever) break;
      if (view_.now - start + wait > most) break;
      view_.now += wait;
    }
    return last_byte;
  }

  ScavengePolicy policy_;
  ScavengeView view_;
  ScavengeStep last_;
  uint32_t age_ = 0;
  uint64_t cost_per_mebibyte_ = 5000;
  uint64_t spent_ = 0;
  size_t steps_ = 0;
};

TEST_F(PolicyTest, NothingToDoMeansNoTimer) {
  Step();
  EXPECT_EQ(policy_.Wait(view_), ScavengePolicy::kForever);
}

TEST_F(PolicyTest, CachesAreAReasonToComeBack) {
  view_.unused = true;
  Step();
  EXPECT_EQ(policy_.Wait(view_), kSecond / 10);
}

TEST_F(PolicyTest, IdleMemoryGoesBackAfterTheDelay) {
  EndHaste();
  Allocate(kGibibyte);
  Free(kGibibyte);
  const uint64_t time = Run(10 * kSecond);
  EXPECT_EQ(view_.idle, 0u);
  EXPECT_GE(time, kSecond);
  EXPECT_LE(time, kSecond + kSecond / 4);
}

TEST_F(PolicyTest, InHasteATwentiethOfTheDelayIsEnough) {
  EXPECT_TRUE(policy_.in_haste());
  Allocate(kGibibyte);
  Free(kGibibyte);
  const uint64_t time = Run(10 * kSecond);
  EXPECT_EQ(view_.idle, 0u);
  EXPECT_GE(time, kSecond / 20);
  EXPECT_LE(time, kSecond / 20 + kSecond / 80);
}

TEST_F(PolicyTest, HasteEndsWhenMemoryIsFetchedAgain) {
  Allocate(kGibibyte);
  // Freed and needed again five times a second.
  for (int i = 0; i < 50; ++i) {
    Cycle(600 * kMebibyte, kSecond / 5);
    if (i == 10) {
      EXPECT_FALSE(policy_.in_haste());
    }
  }
  // What was in haste, and then nothing.
  EXPECT_LE(view_.given_back, 11 * 600 * kMebibyte);
  EXPECT_EQ(policy_.stretch(), 1u);
}

TEST_F(PolicyTest, NoHasteWhileMostIsInUse) {
  Allocate(kGibibyte);
  Free(400 * kMebibyte);
  EXPECT_GE(Run(10 * kSecond), kSecond);
  EXPECT_EQ(view_.idle, 0u);
}

TEST_F(PolicyTest, PartsOfHugePagesWaitForTheWholeDelay) {
  Allocate(kGibibyte);
  Free(kGibibyte);
  ScavengeStep step = policy_.Next(view_);
  EXPECT_EQ(step.min_age_of_parts, step.min_age * ScavengePolicy::kHaste);
  // In haste a tick is so much shorter.
  EXPECT_NEAR(static_cast<double>(policy_.Wait(view_)) * step.min_age_of_parts,
              1.25e9, 1e6);
  EndHaste();
  view_.idle = view_.footprint;
  step = policy_.Next(view_);
  EXPECT_EQ(step.min_age_of_parts, step.min_age);
}

TEST_F(PolicyTest, FaultsOfWhatIsFetchedAgainArePaidFor) {
  Allocate(10 * kGibibyte);
  const uint64_t start = view_.now;
  // A second time each time before the judgement is there.
  for (int i = 0; i < 20; ++i) Cycle(10 * kGibibyte, kSecond / 10);
  const uint64_t work = spent_ + view_.given_back / kMebibyte * 25'000;
  EXPECT_LE(work, (view_.now - start) / 100 + 300 * kMillisecond);
}

TEST_F(PolicyTest, ALongRestAgesNothing) {
  EndHaste();
  Step();
  ASSERT_EQ(policy_.Wait(view_), ScavengePolicy::kForever);
  view_.now += 3600 * kSecond;
  Allocate(kMebibyte);
  Free(kMebibyte);
  Step();
  EXPECT_FALSE(last_.tick);
  EXPECT_GE(Run(10 * kSecond), kSecond);
}

TEST_F(PolicyTest, MemoryInUseIsLeftAlone) {
  Allocate(kGibibyte);
  Run(10 * kSecond);
  EXPECT_EQ(view_.footprint, kGibibyte);
}

TEST_F(PolicyTest, SweepsOfCachesAndSpans) {
  view_.unused = true;
  for (const bool haste : {true, false}) {
    EXPECT_EQ(policy_.in_haste(), haste);
    int caches = 0, spans = 0, ticks = 0;
    for (int i = 0; i < 4000; ++i) {
      Step();
      caches += last_.sweep_caches;
      spans += last_.sweep_spans;
      ticks += last_.tick;
      view_.now += 10 * kMillisecond;  // 40 seconds in all.
    }
    // A tick comes with the first step that is due.
    EXPECT_NEAR(ticks, haste ? 2000 : 160, 2);
    EXPECT_NEAR(caches, haste ? 400 : 80, 1);
    EXPECT_NEAR(spans, 40, 1);
    EndHaste();
  }
}

TEST_F(PolicyTest, TakesNoMoreThanAHundredthOfTheTime) {
  cost_per_mebibyte_ = 400'000;  // Slow memory: 4 s of work in all.
  Allocate(10 * kGibibyte);
  Free(10 * kGibibyte);
  const uint64_t start = view_.now;
  Run(60 * kSecond);
  const uint64_t time = view_.now - start;
  // The credit at the start, and one step too many.
  EXPECT_LE(spent_, time / 100 + 2 * ScavengePolicy::kMostCredit);
  EXPECT_GE(spent_, time / 100 / 2);
  EXPECT_GT(view_.idle, 0u);
}

TEST_F(PolicyTest, ComesBackAtMostAHundredTimesASecondForLack) {
  cost_per_mebibyte_ = 400'000;
  Allocate(10 * kGibibyte);
  Free(10 * kGibibyte);
  Run(60 * kSecond);
  EXPECT_LE(steps_, 60u * 100);
}

TEST_F(PolicyTest, GoesOnWithoutATickWhileThereIsMoreAndCredit) {
  Allocate(20 * kGibibyte);
  Free(20 * kGibibyte);
  // 100 ms of work, of which 50 have to be earned in 5 seconds.
  const uint64_t time = Run(60 * kSecond);
  EXPECT_EQ(view_.idle, 0u);
  EXPECT_LE(time, 8 * kSecond);
}

TEST_F(PolicyTest, WhatIsMissedOnlyAfterADelayIsNoRegret) {
  Allocate(kGibibyte);
  for (int i = 0; i < 20; ++i) Cycle(600 * kMebibyte, kSecond * 3 / 2);
  EXPECT_TRUE(policy_.in_haste());
  EXPECT_EQ(view_.given_back, 20 * 600 * kMebibyte);
}

TEST_F(PolicyTest, MemoryThatIsFetchedAgainStaysLonger) {
  Allocate(kGibibyte);
  EndHaste();
  const uint64_t before = view_.given_back;
  for (int i = 0; i < 20; ++i) Cycle(100 * kMebibyte, kSecond * 3 / 2);
  EXPECT_FALSE(policy_.in_haste());
  EXPECT_GE(policy_.stretch(), 2u);
  // Of twenty times it went back the first few.
  EXPECT_LE(view_.given_back - before, 500 * kMebibyte);
  // And no longer than the delay once it is not missed.
  for (int i = 0; i < 20; ++i) {
    Allocate(10 * kMebibyte);
    Free(10 * kMebibyte);
    Run(10 * kSecond);
    view_.now += 10 * kSecond;
  }
  EXPECT_EQ(policy_.stretch(), 1u);
  EXPECT_TRUE(policy_.in_haste());
}

TEST_F(PolicyTest, NearTheLimitMemoryGoesBackSooner) {
  view_.limit = kGibibyte;
  struct {
    size_t footprint;
    uint32_t least, most;
  } const cases[] = {
      {kGibibyte * 7 / 8, 5, 5}, {kGibibyte * 15 / 16, 2, 3},
      {kGibibyte - 1, 0, 0},     {kGibibyte, 0, 0},
      {2 * kGibibyte, 0, 0},     {0, 5, 5},
  };
  for (const auto& c : cases) {
    view_.footprint = c.footprint;
    const ScavengeStep step = policy_.Next(view_);
    EXPECT_GE(step.min_age, c.least) << c.footprint;
    EXPECT_LE(step.min_age, c.most) << c.footprint;
  }
}

TEST_F(PolicyTest, LooksThatCostMuchAreRarer) {
  view_.unused = true;
  policy_.Configure(20 * kMillisecond, view_.now - 10 * kSecond);
  const uint64_t start = view_.now;
  constexpr uint64_t kLook = 100'000;
  int looks = 0;
  for (; view_.now < start + 60 * kSecond; ++looks) {
    policy_.Next(view_);
    policy_.Spent(kLook, 0, true);
    view_.now += policy_.Wait(view_);
  }
  EXPECT_LE(looks * kLook, 60 * kSecond / 100 + 2 * policy_.kMostCredit);
}

TEST_F(PolicyTest, AboveTheLimitThePaceDoesNotCount) {
  policy_.Next(view_);
  policy_.Spent(kSecond / 2, 0, true);
  view_.limit = kGibibyte;
  view_.footprint = 3 * kGibibyte;
  view_.idle = 3 * kGibibyte;
  const ScavengeStep step = policy_.Next(view_);
  EXPECT_EQ(step.bytes, 2 * kGibibyte);
  EXPECT_EQ(step.min_age, 0u);
}

TEST_F(PolicyTest, DebtsAreForgottenAfterASecond) {
  policy_.Next(view_);
  policy_.Spent(1000 * kSecond, 0, true);
  Allocate(10 * kGibibyte);
  for (int i = 0; i < 20; ++i) Cycle(10 * kGibibyte, kSecond / 10);
  policy_.Spent(1000 * kSecond, 0, true);
  view_.now += kSecond + kSecond / 10;
  EXPECT_GT(policy_.Next(view_).bytes, 0u);
}

TEST_F(PolicyTest, ALimitBelowWhatIsInUseIsNoBusyLoop) {
  view_.limit = kMebibyte;
  Allocate(kGibibyte);
  Step();
  EXPECT_EQ(policy_.Wait(view_), ScavengePolicy::kForever);
  view_.unused = true;
  Step();
  EXPECT_GE(policy_.Wait(view_), 100 * kMillisecond);
}

TEST_F(PolicyTest, UnderPressureATickIsEnough) {
  view_.pressure = true;
  EXPECT_EQ(policy_.Next(view_).min_age, 1u);
}

TEST_F(PolicyTest, PressureEarnsCreditTenTimesAsFast) {
  policy_.Next(view_);
  policy_.Spent(kSecond, 0, true);
  view_.now += kSecond / 2;
  ScavengePolicy calm = policy_;
  EXPECT_EQ(calm.Next(view_).bytes, 0u);
  view_.pressure = true;
  EXPECT_GT(policy_.Next(view_).bytes, 0u);
}

TEST_F(PolicyTest, AClockThatStepsBackStopsNothing) {
  Allocate(kGibibyte);
  Free(kGibibyte);
  Step();
  view_.now -= 500 * kSecond;
  Step();
  EXPECT_LE(policy_.Wait(view_), kSecond);
  EXPECT_LE(Run(10 * kSecond), 3 * kSecond);
  EXPECT_EQ(view_.idle, 0u);
}

TEST_F(PolicyTest, AClockThatJumpsAheadIsOneTick) {
  Allocate(kGibibyte);
  Free(kGibibyte);
  Step();
  view_.now += uint64_t{1000} * 3600 * kSecond;
  EXPECT_EQ(Step(), 0u);
  EXPECT_TRUE(last_.tick);
  EXPECT_EQ(age_, 1u);
  view_.now = UINT64_MAX - kSecond;
  Step();
  EXPECT_LE(policy_.Wait(view_), kSecond);
}

TEST_F(PolicyTest, NoDelayIsTooShortOrTooLong) {
  for (const uint64_t delay :
       {uint64_t{0}, uint64_t{1}, 24 * 3600 * kSecond, UINT64_MAX}) {
    ScavengePolicy policy;
    policy.Configure(delay, view_.now);
    view_.idle = kMebibyte;
    policy.Next(view_);
    EXPECT_NE(policy.Wait(view_), ScavengePolicy::kForever) << delay;
  }
}

}  // namespace
}  // namespace spanmalloc
