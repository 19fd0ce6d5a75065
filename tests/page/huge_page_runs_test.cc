// The runs of empty huge pages against a map of them.

#include "allocator/page/huge_page_runs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "allocator/base/bits.h"
#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

// Addresses are only numbers here. Starts off an alignment of 1 GiB by an odd
// number of huge pages.
constexpr uintptr_t kBase = (uintptr_t{40} << 30) + 7 * kHugePageSize;

class HugePageRunsTest : public testing::Test {
 protected:
  struct Run {
    size_t start, length;
  };

  // Makes the trackers of `count` huge pages; those in `missing` are not ours.
  void Make(size_t count, const std::vector<size_t>& missing = {}) {
    pages_ = std::vector<HugePage>(count);
    empty_.assign(count, false);
    ASSERT_TRUE(pagemap_.Ensure(kBase, count, &arena_));
    for (size_t i = 0; i < count; ++i) {
      pages_[i].Init(AddressOf(i), nullptr);
      if (std::find(missing.begin(), missing.end(), i) == missing.end()) {
        pagemap_.Set(AddressOf(i), &pages_[i]);
      }
    }
  }
  static uintptr_t AddressOf(size_t i) { return kBase + i * kHugePageSize; }
  size_t IndexOf(const HugePage* huge_page) const {
    return static_cast<size_t>(huge_page - pages_.data());
  }

  void Add(size_t start, size_t count) {
    runs_.Add(&pages_[start], count);
    Mark(start, count, true);
    Check();
  }
  // Expects what the model says, and returns where it was, or SIZE_MAX.
  size_t Take(size_t count, size_t alignment = kHugePageSize) {
    const size_t expected = BestFit(count, alignment);
    EXPECT_EQ(runs_.Has(count), BestFit(count, kHugePageSize) != SIZE_MAX);
    const HugePage* const got = runs_.Take(count, alignment);
    EXPECT_EQ(got != nullptr ? IndexOf(got) : SIZE_MAX, expected);
    if (expected != SIZE_MAX) Mark(expected, count, false);
    Check();
    return expected;
  }

  void Mark(size_t start, size_t count, bool empty) {
    std::fill_n(empty_.begin() + static_cast<ptrdiff_t>(start), count, empty);
  }
  std::vector<Run> ModelRuns() const {
    std::vector<Run> runs;
    for (size_t i = 0; i < empty_.size(); ++i) {
      if (!empty_[i]) continue;
      if (i > 0 && empty_[i - 1]) {
        ++runs.back().length;
      } else {
        runs.push_back({i, 1});
      }
    }
    return runs;
  }
  // The shortest run that holds it, the lowest of several.
  size_t BestFit(size_t count, size_t alignment) const {
    size_t best = SIZE_MAX, best_length = SIZE_MAX;
    for (const Run& run : ModelRuns()) {
      const uintptr_t at = AlignUp(AddressOf(run.start), alignment);
      const size_t skip = (at - AddressOf(run.start)) / kHugePageSize;
      if (skip + count <= run.length && run.length < best_length) {
        best = run.start + skip;
        best_length = run.length;
      }
    }
    return best;
  }
  void Check() {
    runs_.CheckInvariants();
    size_t total = 0, count = 0;
    for (const Run& run : ModelRuns()) {
      total += run.length;
      ++count;
      ASSERT_EQ(pages_[run.start].run_length, run.length);
      ASSERT_EQ(runs_.LengthBefore(AddressOf(run.start + run.length)),
                run.length);
      ASSERT_EQ(runs_.LengthBefore(AddressOf(run.start)), 0u);
    }
    ASSERT_EQ(runs_.total(), total);
    runs_.ForEach([&](HugePage*) { return --count, true; });
    ASSERT_EQ(count, 0u);
  }

  FakeSystem system_;
  MetadataArena arena_{&FakeSystem::memory()};
  PageMap pagemap_;
  HugePageRuns runs_{&pagemap_};
  std::vector<HugePage> pages_;
  std::vector<bool> empty_;
};

TEST_F(HugePageRunsTest, NothingInNothing) {
  Make(4);
  EXPECT_EQ(runs_.Take(1, kHugePageSize), nullptr);
  EXPECT_EQ(runs_.LengthBefore(AddressOf(2)), 0u);
  Check();
}

TEST_F(HugePageRunsTest, JoinsBeforeBehindAndBoth) {
  Make(10);
  Add(4, 2);
  Add(6, 1);  // Behind.
  Add(3, 1);  // Before.
  Add(8, 2);
  Add(7, 1);  // Between.
  EXPECT_EQ(pages_[3].run_length, 7u);
}

TEST_F(HugePageRunsTest, DoesNotJoinOverWhatIsNotOurs) {
  Make(5, {2});
  Add(0, 2);
  Add(3, 2);
  EXPECT_EQ(Take(3), SIZE_MAX);
}

TEST_F(HugePageRunsTest, TakesTheShortestThatFits) {
  Make(20);
  Add(0, 5);
  Add(6, 3);
  Add(10, 2);
  Add(13, 3);
  EXPECT_EQ(Take(2), 10u);
  EXPECT_EQ(Take(2), 6u);  // The lower one of two of three.
  EXPECT_EQ(Take(4), 0u);
  EXPECT_EQ(Take(4), SIZE_MAX);
}

TEST_F(HugePageRunsTest, TakesAligned) {
  Make(40);
  Add(0, 40);
  // kBase is 7 huge pages behind a multiple of 1 GiB.
  EXPECT_EQ(Take(1, 8 * kHugePageSize), 1u);
  EXPECT_EQ(Take(4, 16 * kHugePageSize), 9u);
  EXPECT_EQ(Take(1, 1024 * kHugePageSize), SIZE_MAX);
  EXPECT_EQ(Take(1, size_t{1} << 62), SIZE_MAX);
}

TEST_F(HugePageRunsTest, TakesPartsOutOfARun) {
  struct {
    size_t skip, count;
  } const kCases[] = {{0, 10}, {0, 3}, {3, 7}, {4, 2}, {9, 1}};
  for (const auto& c : kCases) {
    Make(10);
    Add(0, 10);
    runs_.TakePart(&pages_[0], c.skip, c.count);
    Mark(c.skip, c.count, false);
    Check();
    // Puts all back, so that the next case starts from nothing.
    Add(c.skip, c.count);
    EXPECT_EQ(Take(10), 0u);
  }
}

// Wherever in a run they lie, next to another run that is not empty between.
TEST_F(HugePageRunsTest, TakesOutWhatLiesInTheMiddle) {
  for (size_t length = 1; length <= 7; ++length) {
    for (size_t skip = 0; skip < length; ++skip) {
      for (size_t count = 1; skip + count <= length; ++count) {
        Make(3 * length + 2);
        for (size_t used : {length, 2 * length + 1}) pages_[used].Take(0, 1);
        for (size_t i : {0, 1, 2}) Add(i * (length + 1), length);
        const size_t start = length + 1 + skip;
        runs_.TakeOut(&pages_[start], count);
        Mark(start, count, false);
        Check();
        Add(start, count);
        while (Take(length) != SIZE_MAX) {
        }
      }
    }
  }
}

// Runs of 64 and more share lists.
TEST_F(HugePageRunsTest, LongRunsFitBestToo) {
  Make(1000);
  Add(0, 127);
  Add(130, 100);
  Add(240, 64);
  Add(310, 200);
  Add(520, 100);
  EXPECT_EQ(Take(101), 0u);
  EXPECT_EQ(Take(65), 130u);
  EXPECT_EQ(Take(63), 240u);
  EXPECT_EQ(Take(128), 310u);
  EXPECT_EQ(Take(200), SIZE_MAX);
}

TEST_F(HugePageRunsTest, ForEachStops) {
  Make(9);
  for (size_t i = 0; i < 9; i += 2) Add(i, 1);
  size_t seen = 0;
  runs_.ForEach([&](HugePage*) { return ++seen < 3; });
  EXPECT_EQ(seen, 3u);
}

TEST_F(HugePageRunsTest, RandomSteps) {
  constexpr size_t kCount = 400;
  std::mt19937 random(9);
  std::vector<size_t> missing;
  for (int i = 0; i < 4; ++i) missing.push_back(random() % kCount);
  Make(kCount, missing);
  const auto is_missing = [&](size_t i) {
    return std::find(missing.begin(), missing.end(), i) != missing.end();
  };
  for (int step = 0; step < 3000; ++step) {
    const size_t start = random() % kCount;
    // Long steps at times, so that long runs come and go.
    const size_t wanted =
        random() % 10 == 0 ? 1 + random() % 150 : 1 + random() % 12;
    if (random() % 2 == 0) {
      size_t count = 0;
      while (start + count < kCount && count < wanted &&
             !empty_[start + count] && !is_missing(start + count)) {
        ++count;
      }
      if (count != 0) Add(start, count);
    } else if (random() % 4 != 0) {
      Take(wanted, kHugePageSize << (random() % 6));
    } else if (!ModelRuns().empty()) {
      const std::vector<Run> runs = ModelRuns();
      const Run run = runs[random() % runs.size()];
      const size_t skip = random() % run.length;
      const size_t count = 1 + random() % (run.length - skip);
      runs_.TakePart(&pages_[run.start], skip, count);
      Mark(run.start + skip, count, false);
      Check();
    }
    ASSERT_FALSE(HasFailure()) << "step " << step;
  }
}

}  // namespace
}  // namespace spanmalloc
