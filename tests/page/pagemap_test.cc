// From an address to its records, for any address whatsoever.

#include "allocator/page/pagemap.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

constexpr uintptr_t kGiga = uintptr_t{1} << 30;
constexpr uintptr_t kEnd = uintptr_t{1} << kAddressBits;

// Trackers of some huge pages. The addresses are only numbers here.
class PageMapTest : public testing::Test {
 protected:
  struct alignas(Span) Records {
    char bytes[HugePage::kSpanRecordBytes] = {};
  };
  // Registers `count` huge pages from the address on.
  void Add(uintptr_t address, size_t count) {
    ASSERT_TRUE(pagemap_.Ensure(address, count, &arena_));
    for (size_t i = 0; i < count; ++i) {
      pages_.push_back(std::make_unique<HugePage>());
      records_.push_back(std::make_unique<Records>());
      pages_.back()->Init(address + i * kHugePageSize, records_.back()->bytes);
      pagemap_.Set(pages_.back()->address, pages_.back().get());
    }
  }
  void ExpectUnknown(uintptr_t address) const {
    EXPECT_EQ(pagemap_.HugePageOf(address), nullptr) << address;
    EXPECT_EQ(pagemap_.HeaderOf(address), nullptr) << address;
    EXPECT_EQ(pagemap_.SmallSpanOf(address), nullptr) << address;
  }

  FakeSystem system_;
  MetadataArena arena_{&FakeSystem::memory()};
  PageMap pagemap_;
  std::vector<std::unique_ptr<HugePage>> pages_;
  std::vector<std::unique_ptr<Records>> records_;
};

constexpr uintptr_t kStrange[] = {
    0,    1,        kHugePageSize, kGiga - 1,  kGiga,      kEnd - 1,
    kEnd, kEnd + 1, kEnd * 2,      kEnd * 256, UINTPTR_MAX};

TEST_F(PageMapTest, KnowsNothingAtFirst) {
  for (uintptr_t address : kStrange) ExpectUnknown(address);
}

TEST_F(PageMapTest, KnowsNothingElse) {
  Add(5 * kGiga, 2);
  for (uintptr_t address : kStrange) ExpectUnknown(address);
  ExpectUnknown(5 * kGiga - 1);
  ExpectUnknown(5 * kGiga + 2 * kHugePageSize);
}

TEST_F(PageMapTest, EveryAddressOfAHugePage) {
  Add(5 * kGiga, 2);
  for (size_t i = 0; i < 2; ++i) {
    const uintptr_t start = 5 * kGiga + i * kHugePageSize;
    for (size_t page = 0; page < kPagesPerHugePage; ++page) {
      for (size_t offset : {size_t{0}, size_t{1}, kPageSize - 1}) {
        const uintptr_t address = start + page * kPageSize + offset;
        ASSERT_EQ(pagemap_.HugePageOf(address), pages_[i].get());
        ASSERT_EQ(pagemap_.HeaderOf(address),
                  &pages_[i]->headers[page / kPagesPerHeader]);
        ASSERT_EQ(pagemap_.SmallSpanOf(address),
                  &pages_[i]->headers[page / kPagesPerSmallSpan *
                                      (kPagesPerSmallSpan / kPagesPerHeader)]);
      }
    }
  }
}

TEST_F(PageMapTest, RangesMayCrossTheBoundsOfLeaves) {
  const uintptr_t start = 9 * kGiga - 3 * kHugePageSize;
  Add(start, 6);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(pagemap_.HugePageOf(start + i * kHugePageSize), pages_[i].get());
  }
}

TEST_F(PageMapTest, FirstAndLastHugePageOfAll) {
  Add(0, 1);
  Add(kEnd - kHugePageSize, 1);
  EXPECT_EQ(pagemap_.HugePageOf(1), pages_[0].get());
  EXPECT_EQ(pagemap_.HugePageOf(kEnd - 1), pages_[1].get());
  ExpectUnknown(kEnd);
}

TEST_F(PageMapTest, EnsureRefusesWhatIsTooHigh) {
  EXPECT_FALSE(pagemap_.Ensure(kEnd, 1, &arena_));
  EXPECT_FALSE(pagemap_.Ensure(kEnd - kHugePageSize, 2, &arena_));
  EXPECT_FALSE(pagemap_.Ensure(UINTPTR_MAX - kHugePageSize + 1, 2, &arena_));
  EXPECT_TRUE(pagemap_.Ensure(kEnd - kHugePageSize, 1, &arena_));
  EXPECT_TRUE(pagemap_.Ensure(kEnd, 0, &arena_));
}

TEST_F(PageMapTest, EnsureTwiceCostsNothing) {
  ASSERT_TRUE(pagemap_.Ensure(kGiga, 3, &arena_));
  const size_t used = arena_.used_bytes();
  EXPECT_TRUE(pagemap_.Ensure(kGiga, 512, &arena_));
  EXPECT_EQ(arena_.used_bytes(), used);
}

// Whichever call fails: Ensure says so, what was known stays known, and a
// later attempt succeeds.
TEST_F(PageMapTest, EnsureWithoutMemory) {
  Add(kGiga, 1);
  for (size_t n = 1;; ++n) {
    const size_t failures = system_.failures();
    system_.FailCall(n);
    // Enough leaves to need more than one chunk.
    const bool done = pagemap_.Ensure(kGiga * 100 * n, 100 * 512, &arena_);
    const bool failed = system_.failures() != failures;
    EXPECT_TRUE(done || failed) << n;
    EXPECT_EQ(pagemap_.HugePageOf(kGiga), pages_[0].get());
    ExpectUnknown(kGiga * 100 * n);
    system_.FailNothing();
    EXPECT_TRUE(pagemap_.Ensure(kGiga * 100 * n, 100 * 512, &arena_));
    if (!failed) break;
    ASSERT_LT(n, 100u);
  }
}

TEST_F(PageMapTest, EnsureWithoutAnyMemory) {
  Add(kGiga, 1);
  system_.FailFrom(1);
  EXPECT_FALSE(pagemap_.Ensure(100 * kGiga, 200 * 512, &arena_));
  EXPECT_EQ(pagemap_.HugePageOf(kGiga), pages_[0].get());
  ExpectUnknown(100 * kGiga);
}

TEST_F(PageMapTest, AnyValueCanBeLookedUp) {
  Add(5 * kGiga, 2);
  std::mt19937_64 random(6);
  for (int i = 0; i < 100000; ++i) {
    const uintptr_t address = random() >> (random() % 64);
    const bool ours =
        address >= 5 * kGiga && address < 5 * kGiga + 2 * kHugePageSize;
    ASSERT_EQ(pagemap_.HugePageOf(address) != nullptr, ours) << address;
    ASSERT_EQ(pagemap_.HeaderOf(address) != nullptr, ours) << address;
  }
}

}  // namespace
}  // namespace spanmalloc
