// The table of live samples against a map: growth, reuse, failure.

#include "allocator/profile/live_samples.h"

#include <gtest/gtest.h>

#include <random>
#include <unordered_map>
#include <vector>

#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

const void* Address(uintptr_t address) {
  return reinterpret_cast<const void*>(address);
}

class LiveSamplesTest : public testing::Test {
 protected:
  bool Add(uintptr_t address, uint64_t mark) {
    LiveSample* const sample = live_.New();
    if (sample == nullptr) return false;
    sample->address = Address(address);
    sample->time_ns = mark;
    live_.Insert(sample);
    return true;
  }
  // UINT64_MAX if there is none.
  uint64_t Remove(uintptr_t address) {
    LiveSample* const sample = live_.Remove(Address(address));
    if (sample == nullptr) return UINT64_MAX;
    const uint64_t mark = sample->time_ns;
    live_.Delete(sample);
    return mark;
  }

  FakeSystem system_;
  MetadataArena arena_{&FakeSystem::memory()};
  LiveSamples live_{&arena_};
};

TEST_F(LiveSamplesTest, IsEmptyAtFirst) {
  EXPECT_EQ(live_.Find(Address(16)), nullptr);
  EXPECT_EQ(Remove(16), UINT64_MAX);
  EXPECT_EQ(live_.size(), 0u);
  EXPECT_EQ(system_.calls(), 0u);
  live_.CheckInvariants();
}

TEST_F(LiveSamplesTest, FindsAllWhileItGrows) {
  constexpr uintptr_t kCount = 20 * LiveSamples::kFirstChains + 7;
  for (uintptr_t i = 1; i <= kCount; ++i) {
    ASSERT_TRUE(Add(i * 4096, i));
    // One just added, and one that was in a chain which has been split.
    ASSERT_NE(live_.Find(Address(i * 4096)), nullptr);
    ASSERT_NE(live_.Find(Address((i / 2 + 1) * 4096)), nullptr) << i;
  }
  live_.CheckInvariants();
  size_t seen = 0;
  live_.ForEach([&](const LiveSample& sample) {
    EXPECT_EQ(sample.address, Address(sample.time_ns * 4096));
    ++seen;
  });
  EXPECT_EQ(seen, kCount);
  for (uintptr_t i = 1; i <= kCount; ++i) ASSERT_EQ(Remove(i * 4096), i);
  EXPECT_EQ(live_.size(), 0u);
  EXPECT_EQ(live_.Find(Address(4096)), nullptr);
}

TEST_F(LiveSamplesTest, RandomOperations) {
  std::mt19937_64 random(1);
  std::unordered_map<uintptr_t, uint64_t> model;
  for (uint64_t i = 0; i < 200000; ++i) {
    // The number of samples rises and falls.
    const bool adds = random() % 100 < (i / 50000 % 2 == 0 ? 60u : 40u);
    const uintptr_t address = (random() % 30000 + 1) * 16;
    if (adds && model.count(address) == 0) {
      ASSERT_TRUE(Add(address, i));
      model[address] = i;
    } else {
      const auto it = model.find(address);
      ASSERT_EQ(Remove(address), it == model.end() ? UINT64_MAX : it->second);
      if (it != model.end()) model.erase(it);
    }
    ASSERT_EQ(live_.size(), model.size());
  }
  for (const auto& [address, mark] : model) {
    ASSERT_EQ(live_.Find(Address(address))->time_ns, mark);
  }
  live_.CheckInvariants();
}

TEST_F(LiveSamplesTest, ReusesRecords) {
  for (uintptr_t i = 1; i <= 400; ++i) ASSERT_TRUE(Add(i * 16, i));
  const size_t used = live_.used_bytes();
  EXPECT_EQ(arena_.used_bytes(RecordKind::kProfile), used);
  for (int round = 0; round < 10; ++round) {
    for (uintptr_t i = 1; i <= 400; ++i) ASSERT_NE(Remove(i * 16), UINT64_MAX);
    for (uintptr_t i = 1; i <= 400; ++i) ASSERT_TRUE(Add(i * 16, i));
  }
  EXPECT_EQ(live_.used_bytes(), used);
  EXPECT_EQ(arena_.used_bytes(RecordKind::kProfile), used);
}

// Whatever call of the system fails: what is in stays in, and a table that
// could not grow works on.
TEST_F(LiveSamplesTest, WithoutMemory) {
  system_.FailFrom(1);
  EXPECT_FALSE(Add(16, 1));
  live_.CheckInvariants();
  system_.FailNothing();
  std::unordered_map<uintptr_t, uint64_t> model;
  std::mt19937_64 random(2);
  for (uintptr_t i = 1; i <= 60000; ++i) {
    if (i % 1000 == 0) system_.FailCall(random() % 3 + 1);
    if (Add(i * 16, i)) model[i * 16] = i;
  }
  EXPECT_GT(system_.failures(), 3u);
  live_.CheckInvariants();
  EXPECT_EQ(live_.size(), model.size());
  system_.FailFrom(1);
  for (const auto& [address, mark] : model) {
    ASSERT_EQ(live_.Find(Address(address))->time_ns, mark);
    ASSERT_EQ(Remove(address), mark);
    ASSERT_TRUE(Add(address, mark));  // A record is there.
  }
}

}  // namespace
}  // namespace spanmalloc
