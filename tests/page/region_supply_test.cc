// Where the heap grows: one after the other, around obstacles, under limits.

#include "allocator/page/region_supply.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "allocator/base/bits.h"
#include "allocator/os/system_info.h"
#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

constexpr size_t kMega = size_t{1} << 20;
constexpr size_t kGiga = size_t{1} << 30;

class RegionSupplyTest : public testing::Test {
 protected:
  RegionSupplyTest() { supply_.set_window_size(kWindow); }

  // Gets a region and checks what holds for all of them.
  Region Get(size_t needed, size_t before = 0) {
    const uintptr_t next = supply_.next();
    const size_t mapped = supply_.mapped_bytes();
    const Region region = supply_.Get(needed, before);
    if (region.huge_pages == 0) {
      EXPECT_EQ(supply_.mapped_bytes(), mapped);
      return region;
    }
    EXPECT_EQ(region.address % kHugePageSize, 0u);
    EXPECT_TRUE(system_.IsMapped(region.address, region.bytes()));
    EXPECT_EQ(supply_.mapped_bytes(), mapped + region.bytes());
    if (next != 0 && region.address == next) {
      EXPECT_GE(region.huge_pages, needed - before);
      EXPECT_EQ(supply_.next(), next + region.bytes());
    } else {
      EXPECT_GE(region.huge_pages, needed);
    }
    return region;
  }
  bool InWindow(const Region& region) const {
    return region.address >= class_map_.window_start() &&
           region.address + region.bytes() <= class_map_.window_end();
  }

  static constexpr size_t kWindow = 4 * kGiga;
  static constexpr size_t kMapBytes = kWindow / kSmallSpanSize;
  FakeSystem system_;
  ClassMap class_map_;
  RegionSupply supply_{&FakeSystem::memory(), &class_map_};
};

// What holds only where the window's address can be chosen.
class RegionSupplyInWindowTest : public RegionSupplyTest {
 protected:
  void SetUp() override {
    if (PreferredHeapAddress() == 0) GTEST_SKIP() << "no address is preferred";
  }
};

TEST_F(RegionSupplyTest, TheFirstRegionLiesInTheWindow) {
  const Region region = Get(1);
  EXPECT_EQ(region.bytes(), 4 * kMega);
  EXPECT_TRUE(InWindow(region));
  EXPECT_EQ(class_map_.map_bytes(), kMapBytes);
}

TEST_F(RegionSupplyTest, LargeNeedsAreMet) {
  EXPECT_EQ(Get(100).huge_pages, 100u);
  EXPECT_EQ(Get(700).huge_pages, 700u);
}

TEST_F(RegionSupplyTest, AbsurdNeedsAreNot) {
  for (size_t needed :
       {size_t{1} << 26, size_t{1} << 42, SIZE_MAX >> kHugePageShift}) {
    EXPECT_EQ(Get(needed).huge_pages, 0u) << needed;
  }
  EXPECT_NE(Get(1).huge_pages, 0u);
}

TEST_F(RegionSupplyTest, StepsGrowWithTheHeap) {
  // Half of what there is, within bounds.
  while (supply_.mapped_bytes() < 300 * kMega) {
    const size_t mapped = supply_.mapped_bytes();
    size_t expected = AlignDown(mapped / 2, kHugePageSize);
    if (expected < 4 * kMega) expected = 4 * kMega;
    if (expected > 64 * kMega) expected = 64 * kMega;
    ASSERT_EQ(Get(1).bytes(), expected) << mapped;
  }
}

TEST_F(RegionSupplyInWindowTest, RegionsFollowEachOther) {
  Get(1);
  uintptr_t end = supply_.next();
  for (int i = 0; i < 10; ++i) {
    const Region region = Get(1);
    EXPECT_EQ(region.address, end);
    end += region.bytes();
  }
}

TEST_F(RegionSupplyInWindowTest, WhatLiesBeforeCounts) {
  Get(1);
  EXPECT_EQ(Get(50, 10).huge_pages, 40u);
  EXPECT_EQ(Get(10, 9).huge_pages, 21u);  // A step: half of 42.
  // If the next address is taken, what lies before is of no use.
  system_.Occupy(supply_.next(), kHugePageSize);
  EXPECT_GE(Get(50, 10).huge_pages, 50u);
}

TEST_F(RegionSupplyInWindowTest, GoesOnBehindAnObstacle) {
  Get(1);
  const uintptr_t obstacle = supply_.next();
  system_.Occupy(obstacle, kHugePageSize);
  const Region elsewhere = Get(1);
  EXPECT_NE(elsewhere.huge_pages, 0u);
  const uintptr_t next = supply_.next();
  EXPECT_EQ(next, AlignUp(obstacle + 1, kGiga));
  const Region behind = Get(1);
  EXPECT_EQ(behind.address, next);
  EXPECT_TRUE(InWindow(behind));
}

TEST_F(RegionSupplyInWindowTest, AnObstacleShortensTheStep) {
  Get(64);
  const uintptr_t next = supply_.next();
  system_.Occupy(next + 3 * kHugePageSize, kHugePageSize);
  const Region region = Get(2);
  EXPECT_EQ(region.address, next);
  EXPECT_LE(region.huge_pages, 3u);
  EXPECT_GE(region.huge_pages, 2u);
}

TEST_F(RegionSupplyInWindowTest, AWindowFullOfObstacles) {
  Get(1);
  system_.Occupy(supply_.next(), kWindow);
  for (int i = 0; i < 10; ++i) EXPECT_NE(Get(1).huge_pages, 0u);
  EXPECT_EQ(supply_.next(), 0u);
}

TEST_F(RegionSupplyInWindowTest, AFullWindow) {
  supply_.set_window_size(6 * kMega);
  EXPECT_TRUE(InWindow(Get(1)));
  EXPECT_TRUE(InWindow(Get(1)));  // The rest of it, less than a step.
  EXPECT_EQ(supply_.next(), class_map_.window_end());
  for (int i = 0; i < 3; ++i) {
    const Region region = Get(1);
    EXPECT_NE(region.huge_pages, 0u);
    EXPECT_FALSE(InWindow(region));
  }
  EXPECT_EQ(supply_.next(), 0u);
  EXPECT_EQ(supply_.GetNext(1).huge_pages, 0u);
}

TEST_F(RegionSupplyInWindowTest, GetNextGivesThatAddressOrNothing) {
  Get(1);
  const uintptr_t next = supply_.next();
  const Region region = supply_.GetNext(3);
  EXPECT_EQ(region.address, next);
  EXPECT_GE(region.huge_pages, 3u);
  system_.Occupy(supply_.next(), kHugePageSize);
  EXPECT_EQ(supply_.GetNext(1).huge_pages, 0u);
  EXPECT_EQ(supply_.next(), next + region.bytes());
}

TEST_F(RegionSupplyTest, NoAddressAtAll) {
  system_.RefuseAddresses(true);
  for (int i = 0; i < 10; ++i) EXPECT_NE(Get(1).huge_pages, 0u);
}

// The system may place memory on any boundary of its pages.
TEST_F(RegionSupplyTest, TrimsWhatIsNotAligned) {
  system_.RefuseAddresses(true);
  Get(1);
  constexpr uintptr_t kPlace = uintptr_t{24} << 40;
  for (const size_t offset :
       {size_t{0}, kMaxSystemPageSize, kHugePageSize - kMaxSystemPageSize}) {
    const size_t bytes = system_.bytes();
    if (PreferredHeapAddress() != 0) system_.PlaceNext(kPlace + offset);
    const Region region = Get(1);
    EXPECT_NE(region.huge_pages, 0u);
    EXPECT_EQ(system_.bytes(), bytes + region.bytes()) << "not all was trimmed";
    supply_.PutBack(region);
    EXPECT_EQ(system_.bytes(), bytes);
  }
}

TEST_F(RegionSupplyTest, PutBackForgetsTheRegion) {
  Get(1);
  const uintptr_t next = supply_.next();
  const size_t bytes = system_.bytes(), mapped = supply_.mapped_bytes();
  const Region region = Get(5);
  supply_.PutBack(region);
  EXPECT_EQ(supply_.next(), next);
  EXPECT_EQ(system_.bytes(), bytes);
  EXPECT_EQ(supply_.mapped_bytes(), mapped);
  EXPECT_EQ(Get(5).huge_pages, 5u);
}

TEST_F(RegionSupplyTest, UnderALimitStepsShrinkToWhatIsNeeded) {
  if (PreferredHeapAddress() == 0) {
    GTEST_SKIP() << "aligning by hand needs more than the limit";
  }
  system_.LimitBytes(kMapBytes + 10 * kMega);
  EXPECT_EQ(Get(1).bytes(), 4 * kMega);
  EXPECT_EQ(Get(1).bytes(), 4 * kMega);
  EXPECT_EQ(Get(1).bytes(), 2 * kMega);
  EXPECT_EQ(Get(1).huge_pages, 0u);
  system_.LimitBytes(SIZE_MAX);
  EXPECT_EQ(Get(1).bytes(), 4 * kMega);
}

TEST_F(RegionSupplyTest, ALimitIsNoObstacle) {
  Get(1);
  const uintptr_t next = supply_.next();
  system_.LimitBytes(system_.bytes());
  EXPECT_EQ(Get(1).huge_pages, 0u);
  EXPECT_EQ(supply_.next(), next);
}

// ---- The class map

TEST_F(RegionSupplyTest, WithoutAClassMapThereAreRegions) {
  system_.Deny(FakeSystem::kReserve);
  for (int i = 0; i < 5; ++i) EXPECT_NE(Get(1).huge_pages, 0u);
  EXPECT_EQ(class_map_.map_bytes(), 0u);
}

// Readers take no lock, so the map must not appear under their eyes.
TEST_F(RegionSupplyTest, NoClassMapAfterTheFirstRegion) {
  system_.Deny(FakeSystem::kReserve);
  EXPECT_NE(Get(1).huge_pages, 0u);
  system_.Deny(FakeSystem::kReserve, false);
  system_.RefuseAddresses(true);
  EXPECT_NE(Get(1).huge_pages, 0u);
  EXPECT_EQ(class_map_.map_bytes(), 0u);
}

// The window is opened around the first region if there is none before.
class LateWindowTest : public RegionSupplyTest,
                       public testing::WithParamInterface<size_t> {};

TEST_P(LateWindowTest, LiesAroundTheFirstRegion) {
  supply_.set_window_size(GetParam());
  system_.RefuseAddresses(true);
  // The window that would lie at the preferred address.
  if (PreferredHeapAddress() != 0) system_.FailCall(1);
  EXPECT_TRUE(InWindow(Get(1)));
  EXPECT_EQ(class_map_.window_start() % kSmallSpanSize, 0u)
      << "a span would have two entries";
}

// A window ends at a multiple of a GiB. One that is hardly larger than that
// must still reach down to the start of a region that lies across one.
TEST_P(LateWindowTest, CoversARegionAcrossAGiga) {
  // A free one, where the system puts things anyway.
  void* const room = mmap(nullptr, 2 * kGiga, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(room, MAP_FAILED);
  munmap(room, 2 * kGiga);
  const uintptr_t border =
      AlignUp(reinterpret_cast<uintptr_t>(room) + kHugePageSize, kGiga);
  supply_.set_window_size(GetParam());
  system_.RefuseAddresses(true);
  if (PreferredHeapAddress() != 0) system_.FailCall(1);
  system_.PlaceNext(border - kHugePageSize);
  const Region region = Get(2);
  if (region.address != border - kHugePageSize) {
    GTEST_SKIP() << "the address is taken";
  }
  EXPECT_TRUE(InWindow(region));
}

INSTANTIATE_TEST_SUITE_P(Sizes, LateWindowTest,
                         testing::Values(2 * kGiga, kGiga + kSmallSpanSize,
                                         kGiga + 100000,
                                         RegionSupply::kDefaultWindow));

TEST_F(RegionSupplyTest, TheWindowFitsTheLimitsOfTheProcess) {
  supply_.set_window_size(0);
  EXPECT_TRUE(InWindow(Get(1)));
  if (AddressSpaceLimit() == SIZE_MAX) {
    EXPECT_EQ(class_map_.map_bytes(),
              RegionSupply::kDefaultWindow / kSmallSpanSize);
  }
}

}  // namespace
}  // namespace spanmalloc
