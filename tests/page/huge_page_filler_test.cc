// The choice between partly used huge pages.

#include "allocator/page/huge_page_filler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace spanmalloc {
namespace {

struct FreeRange {
  size_t from, count;
};

// A huge page of which only these ranges are free.
void Make(HugePage* huge_page, const std::vector<FreeRange>& free) {
  huge_page->Init(0, nullptr);
  huge_page->Take(0, kPagesPerHugePage);
  for (const FreeRange& range : free) {
    huge_page->Put(range.from, range.count, false);
  }
}

// Changes a huge page as the page heap does.
template <typename F>
void Change(HugePageFiller* filler, HugePage* huge_page, F&& f) {
  const HugePageFiller::Keys before = HugePageFiller::KeysOf(*huge_page);
  f();
  filler->Update(huge_page, before);
}

// Takes what is free of a huge page, so that it leaves the filler.
void FillUp(HugePageFiller* filler, HugePage* huge_page) {
  Change(filler, huge_page, [huge_page] {
    size_t start = 0, count = 0;
    while (huge_page->free.NextRun(0, &start, &count)) {
      huge_page->Take(start, count);
    }
  });
}

TEST(HugePageFillerTest, FindsNothingInNothing) {
  HugePageFiller filler;
  EXPECT_EQ(filler.FindSmallSpan().huge_page, nullptr);
  EXPECT_EQ(filler.Find(Length(1), Length(1)).huge_page, nullptr);
  filler.CheckInvariants();
}

TEST(HugePageFillerTest, SmallSpansGoWhereTheLeastRoomIs) {
  HugePage roomy, tight, none;
  Make(&roomy, {{0, 64}});
  Make(&tight, {{100, 30}});  // [104, 112), [112, 120), [120, 128)
  Make(&none, {{1, 14}});     // No aligned group of eight.
  HugePageFiller filler;
  for (HugePage* huge_page : {&roomy, &tight, &none})
    filler.Update(huge_page, {});
  filler.CheckInvariants();
  HugePageFiller::Place place = filler.FindSmallSpan();
  EXPECT_EQ(place.huge_page, &tight);
  EXPECT_EQ(place.page, 104u);
  FillUp(&filler, &tight);
  place = filler.FindSmallSpan();
  EXPECT_EQ(place.huge_page, &roomy);
  EXPECT_EQ(place.page, 0u);
  FillUp(&filler, &roomy);
  EXPECT_EQ(filler.FindSmallSpan().huge_page, nullptr);
}

TEST(HugePageFillerTest, BackedPlacesAreFoundApart) {
  HugePage fresh, dirty;
  fresh.Init(0, nullptr);
  fresh.Take(0, 200);
  dirty.Init(0, nullptr);
  dirty.Take(0, 100);
  dirty.Put(17, 30, false);  // [24, 32), [32, 40)
  HugePageFiller filler;
  filler.Update(&fresh, {});
  EXPECT_EQ(filler.FindBackedSmallSpan().huge_page, nullptr);
  filler.Update(&dirty, {});
  EXPECT_EQ(filler.FindSmallSpan().huge_page, &fresh);
  EXPECT_EQ(filler.FindBackedSmallSpan().huge_page, &dirty);
  EXPECT_EQ(filler.FindBackedSmallSpan().page, 24u);
  Change(&filler, &dirty, [&] { dirty.Take(24, 16); });
  EXPECT_EQ(filler.FindBackedSmallSpan().huge_page, nullptr);
  filler.CheckInvariants();
}

TEST(HugePageFillerTest, BlocksGoWhereTheyFitMostTightly) {
  HugePage ten, twenty, hundred;
  Make(&ten, {{5, 10}, {200, 6}});
  Make(&twenty, {{30, 20}});
  Make(&hundred, {{100, 100}});
  HugePageFiller filler;
  for (HugePage* huge_page : {&ten, &twenty, &hundred})
    filler.Update(huge_page, {});
  struct {
    size_t n, alignment;
    HugePage* huge_page;
    size_t page;
  } const kCases[] = {
      {5, 1, &ten, 200},  // The tighter of its two ranges.
      {7, 1, &ten, 5},        {10, 1, &ten, 5},       {11, 1, &twenty, 30},
      {5, 16, &twenty, 32},  // Twenty pages surely hold five so aligned.
      {6, 16, &hundred, 112}, {21, 1, &hundred, 100}, {64, 32, &hundred, 128},
      {64, 64, nullptr, 0},  // 127 would surely hold it.
      {101, 1, nullptr, 0},   {256, 256, nullptr, 0},
  };
  for (const auto& c : kCases) {
    const HugePageFiller::Place place =
        filler.Find(Length(c.n), Length(c.alignment));
    EXPECT_EQ(place.huge_page, c.huge_page) << c.n << "/" << c.alignment;
    EXPECT_EQ(place.page, c.page) << c.n << "/" << c.alignment;
  }
}

TEST(HugePageFillerTest, ForEachMayRemoveAndStop) {
  std::vector<HugePage> huge_pages(5);
  HugePageFiller filler;
  for (size_t i = 0; i < huge_pages.size(); ++i) {
    Make(&huge_pages[i], {{0, i < 3 ? 10u : 20u}});  // Two share a key.
    filler.Update(&huge_pages[i], {});
  }
  std::set<HugePage*> seen;
  filler.ForEach([&](HugePage* huge_page) {
    EXPECT_TRUE(seen.insert(huge_page).second);
    if (seen.size() % 2 == 0) FillUp(&filler, huge_page);
    return true;
  });
  EXPECT_EQ(seen.size(), 5u);
  filler.CheckInvariants();
  size_t left = 0;
  filler.ForEach([&](HugePage*) { return ++left < 2; });
  EXPECT_EQ(left, 2u);
  left = 0;
  filler.ForEach([&](HugePage*) { return ++left, true; });
  EXPECT_EQ(left, 3u);
}

// Fills and empties huge pages as the page heap does.
TEST(HugePageFillerTest, RandomSteps) {
  struct Block {
    HugePage* huge_page;
    size_t page, count;
  };
  std::mt19937 random(8);
  std::vector<HugePage> huge_pages(6);
  for (HugePage& huge_page : huge_pages) huge_page.Init(0, nullptr);
  HugePageFiller filler;
  std::vector<Block> blocks;

  for (int step = 0; step < 5000; ++step) {
    if (random() % 100 < 55) {
      const bool small = random() % 2 == 0;
      const size_t n = small ? kPagesPerSmallSpan : 5 + random() % 60;
      const size_t alignment =
          small ? kPagesPerSmallSpan : size_t{1} << (random() % 5);
      HugePageFiller::Place place =
          small ? filler.FindSmallSpan()
                : filler.Find(Length(n), Length(alignment));
      // The shortest longest range that surely holds it.
      size_t best = SIZE_MAX;
      for (const HugePage& huge_page : huge_pages) {
        if (huge_page.state() != HugePage::State::kPartial) continue;
        if (small && huge_page.free_small_spans != 0) {
          best = std::min<size_t>(best, huge_page.free_small_spans);
        }
        if (!small && huge_page.longest_free >= n + alignment - 1) {
          best = std::min<size_t>(best, huge_page.longest_free);
        }
      }
      if (place.huge_page == nullptr) {
        ASSERT_EQ(best, SIZE_MAX);
        const auto empty = std::find_if(
            huge_pages.begin(), huge_pages.end(), [](const HugePage& x) {
              return x.state() == HugePage::State::kEmpty;
            });
        if (empty == huge_pages.end()) continue;
        place = {&*empty, 0};
      } else {
        ASSERT_EQ(best, small ? place.huge_page->free_small_spans
                              : place.huge_page->longest_free);
      }
      ASSERT_EQ(place.page % alignment, 0u);
      ASSERT_TRUE(place.huge_page->free.AllSet(place.page, n));
      Change(&filler, place.huge_page,
             [&] { place.huge_page->Take(place.page, n); });
      blocks.push_back({place.huge_page, place.page, n});
    } else if (!blocks.empty()) {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      const Block block = blocks.back();
      blocks.pop_back();
      Change(&filler, block.huge_page,
             [&] { block.huge_page->Put(block.page, block.count, false); });
    }
    filler.CheckInvariants();
  }
}

TEST(HugePageFillerDeathTest, AChangeBehindItsBackIsFound) {
  HugePage huge_page;
  Make(&huge_page, {{0, 20}});
  HugePageFiller filler;
  filler.Update(&huge_page, {});
  huge_page.Take(0, 5);  // F1
  EXPECT_DEATH(filler.CheckInvariants(), "check failed");
}

}  // namespace
}  // namespace spanmalloc
