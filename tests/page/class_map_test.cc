// The byte for each 64 KiB of the window.

#include "allocator/page/class_map.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

constexpr uintptr_t kStart = uintptr_t{1} << 45;
constexpr size_t kSpans = 64;
constexpr size_t kWindow = kSpans * kSmallSpanSize;

// Values that no window covers, whatever it is.
constexpr uintptr_t kNeverOurs[] = {
    0, 1, kSmallSpanSize, kStart - 1, kStart + kWindow, UINTPTR_MAX};

class ClassMapTest : public testing::Test {
 protected:
  FakeSystem system_;
  ClassMap map_;
};

TEST_F(ClassMapTest, NothingIsInsideBeforeInit) {
  size_t tag = 99;
  for (uintptr_t address : kNeverOurs) {
    EXPECT_FALSE(map_.Find(address, &tag)) << address;
    EXPECT_EQ(map_.Get(address), 0u);
    map_.Set(address, 1);
  }
  EXPECT_EQ(map_.map_bytes(), 0u);
  EXPECT_FALSE(map_.Find(kStart, &tag));
}

TEST_F(ClassMapTest, CoversTheWindowExactly) {
  ASSERT_TRUE(map_.Init(kStart, kWindow, FakeSystem::memory()));
  EXPECT_EQ(map_.window_start(), kStart);
  EXPECT_EQ(map_.window_end(), kStart + kWindow);
  EXPECT_EQ(map_.map_bytes(), kSpans);
  size_t tag = 99;
  for (uintptr_t address : kNeverOurs) {
    EXPECT_FALSE(map_.Find(address, &tag)) << address;
    map_.Set(address, 1);
  }
  for (uintptr_t address : {kStart, kStart + 1, kStart + kWindow - 1}) {
    tag = 99;
    EXPECT_TRUE(map_.Find(address, &tag));
    EXPECT_EQ(tag, 0u);
  }
}

TEST_F(ClassMapTest, EveryAddressOfASpanHasItsTag) {
  ASSERT_TRUE(map_.Init(kStart, kWindow, FakeSystem::memory()));
  const uintptr_t span = kStart + 7 * kSmallSpanSize;
  map_.Set(span, 255);
  EXPECT_EQ(map_.Get(span), 255u);
  EXPECT_EQ(map_.Get(span + kSmallSpanSize - 1), 255u);
  EXPECT_EQ(map_.Get(span - 1), 0u);
  EXPECT_EQ(map_.Get(span + kSmallSpanSize), 0u);
  map_.Set(span, 0);
  EXPECT_EQ(map_.Get(span), 0u);
}

TEST_F(ClassMapTest, CopiesSeeLaterChanges) {
  ASSERT_TRUE(map_.Init(kStart, kWindow, FakeSystem::memory()));
  const ClassMap copy = map_;
  map_.Set(kStart, 5);
  EXPECT_EQ(copy.Get(kStart), 5u);
}

TEST_F(ClassMapTest, WithoutMemoryAllIsOutside) {
  system_.Deny(FakeSystem::kReserve);
  EXPECT_FALSE(map_.Init(kStart, kWindow, FakeSystem::memory()));
  EXPECT_EQ(map_.map_bytes(), 0u);
  size_t tag;
  EXPECT_FALSE(map_.Find(kStart, &tag));
  map_.Set(kStart, 1);
  EXPECT_EQ(map_.Get(kStart), 0u);
}

TEST_F(ClassMapTest, OneTebibyteCostsSixteenMebibytes) {
  ASSERT_TRUE(map_.Init(kStart, size_t{1} << 40, FakeSystem::memory()));
  EXPECT_EQ(system_.bytes(), size_t{16} << 20);
  map_.Set(kStart + (size_t{1} << 40) - 1, 3);
  EXPECT_EQ(map_.Get(map_.window_end() - 1), 3u);
}

TEST_F(ClassMapTest, RandomSteps) {
  ASSERT_TRUE(map_.Init(kStart, kWindow, FakeSystem::memory()));
  std::mt19937_64 random(4);
  std::vector<uint8_t> model(kSpans, 0);
  for (int step = 0; step < 10000; ++step) {
    // A window's width of room on both sides.
    const uintptr_t address = kStart - kWindow + random() % (3 * kWindow);
    const auto tag = static_cast<uint8_t>(random());
    const bool inside = address >= kStart && address < kStart + kWindow;
    map_.Set(address, tag);
    if (inside) model[(address - kStart) / kSmallSpanSize] = tag;
    ASSERT_EQ(map_.Get(address), inside ? tag : 0u) << address;
    const size_t i = random() % kSpans;
    ASSERT_EQ(map_.Get(kStart + i * kSmallSpanSize + random() % kSmallSpanSize),
              model[i]);
  }
}

}  // namespace
}  // namespace spanmalloc
