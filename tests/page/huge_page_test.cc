// The tracker of one huge page against a map of its pages.

#include "allocator/page/huge_page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace spanmalloc {
namespace {

enum class Page { kUsed, kDirty, kFresh };
using Model = std::vector<Page>;

void ExpectSame(const HugePage& huge_page, const Model& model) {
  huge_page.CheckInvariants();
  size_t free = 0, longest = 0, run = 0, small_spans = 0;
  size_t first_small_span = kPagesPerHugePage;
  size_t backed = 0, backed_run = 0;
  size_t first_backed = kPagesPerHugePage;
  for (size_t i = 0; i < kPagesPerHugePage; ++i) {
    const bool is_free = model[i] != Page::kUsed;
    ASSERT_EQ(huge_page.free.Get(i), is_free) << i;
    ASSERT_EQ(huge_page.fresh.Get(i), model[i] == Page::kFresh) << i;
    free += is_free;
    run = is_free ? run + 1 : 0;
    longest = std::max(longest, run);
    // Eight in a row that end where a small span would end.
    if ((i + 1) % kPagesPerSmallSpan == 0 && run >= kPagesPerSmallSpan) {
      ++small_spans;
      first_small_span = std::min(first_small_span, i + 1 - kPagesPerSmallSpan);
    }
    backed_run =
        model[i] == Page::kDirty || (huge_page.backed_as_whole && is_free)
            ? backed_run + 1
            : 0;
    if ((i + 1) % kPagesPerSmallSpan == 0 && backed_run >= kPagesPerSmallSpan) {
      ++backed;
      first_backed = std::min(first_backed, i + 1 - kPagesPerSmallSpan);
    }
  }
  ASSERT_EQ(huge_page.free_pages, free);
  ASSERT_EQ(huge_page.longest_free, longest);
  ASSERT_EQ(huge_page.free_small_spans, small_spans);
  ASSERT_EQ(huge_page.FindSmallSpan(), first_small_span);
  ASSERT_EQ(huge_page.backed_small_spans, backed);
  ASSERT_EQ(huge_page.FindBackedSmallSpan(), first_backed);
  ASSERT_EQ(huge_page.state(), free == 0 ? HugePage::State::kFull
                               : free == kPagesPerHugePage
                                   ? HugePage::State::kEmpty
                                   : HugePage::State::kPartial);
}

TEST(HugePageTest, ComesFreshFromTheSystem) {
  HugePage huge_page;
  alignas(Span) static char records[HugePage::kSpanRecordBytes];
  huge_page.Init(7 * kHugePageSize, records);
  ExpectSame(huge_page, Model(kPagesPerHugePage, Page::kFresh));
  EXPECT_EQ(huge_page.first_page(), PageId(7 * kPagesPerHugePage));
  EXPECT_EQ(huge_page.bitmaps, records);
  EXPECT_EQ(reinterpret_cast<char*>(huge_page.headers + kHeadersPerHugePage),
            std::end(records));
}

// Whatever came and went before, every small span can have the largest.
TEST(HugePageTest, BitmapsAreApartAndThereIsAlwaysRoom) {
  struct Bitmap {
    uint64_t* words;
    size_t count;
    uint64_t stamp;
  };
  alignas(Span) static char records[HugePage::kSpanRecordBytes];
  HugePage huge_page;
  huge_page.Init(0, records);
  std::mt19937_64 random(5);
  std::vector<Bitmap> bitmaps;
  for (int step = 0; step < 20000; ++step) {
    if (bitmaps.size() == kSmallSpansPerHugePage ||
        (!bitmaps.empty() && random() % 2 == 0)) {
      std::swap(bitmaps[random() % bitmaps.size()], bitmaps.back());
      const Bitmap& bitmap = bitmaps.back();
      ASSERT_EQ(
          std::count(bitmap.words, bitmap.words + bitmap.count, bitmap.stamp),
          static_cast<ptrdiff_t>(bitmap.count));
      huge_page.PutBitmap(bitmap.words, bitmap.count);
      bitmaps.pop_back();
    } else {
      const size_t count =
          random() % 3 == 0 ? Span::kMaxBitmapWords : 1 + random() % 40;
      uint64_t* const words = huge_page.TakeBitmap(count);
      ASSERT_GE(reinterpret_cast<char*>(words), records);
      ASSERT_LE(reinterpret_cast<char*>(words + count),
                records + HugePage::kBitmapBytes);
      bitmaps.push_back({words, count, random()});
      std::fill_n(words, count, bitmaps.back().stamp);
    }
  }
}

TEST(HugePageTest, BitmapsLieCloseTogether) {
  alignas(Span) static char records[HugePage::kSpanRecordBytes];
  HugePage huge_page;
  huge_page.Init(0, records);
  char* const first = reinterpret_cast<char*>(huge_page.TakeBitmap(16));
  EXPECT_EQ(first, records);
  EXPECT_EQ(reinterpret_cast<char*>(huge_page.TakeBitmap(3)), first + 128);
  EXPECT_EQ(reinterpret_cast<char*>(huge_page.TakeBitmap(17)), first + 256);
  EXPECT_EQ(reinterpret_cast<char*>(huge_page.TakeBitmap(8)), first + 192);
  huge_page.PutBitmap(reinterpret_cast<uint64_t*>(first), 16);
  EXPECT_EQ(reinterpret_cast<char*>(huge_page.TakeBitmap(9)), first);
}

TEST(HugePageTest, FreshIsLostByTaking) {
  HugePage huge_page;
  huge_page.Init(0, nullptr);
  EXPECT_EQ(huge_page.Take(10, 20), 20u);
  huge_page.Put(10, 20, false);
  EXPECT_EQ(huge_page.Take(0, 40), 20u);  // All but the 20 dirty ones.
  huge_page.Put(0, 40, true);
  EXPECT_EQ(huge_page.Take(0, kPagesPerHugePage), kPagesPerHugePage);
  EXPECT_EQ(huge_page.state(), HugePage::State::kFull);
}

// A page taken anywhere costs exactly the small span that it lies in.
TEST(HugePageTest, SmallSpansAreAligned) {
  for (size_t page = 0; page < kPagesPerHugePage; ++page) {
    HugePage huge_page;
    huge_page.Init(0, nullptr);
    huge_page.Take(page, 1);
    ASSERT_EQ(huge_page.free_small_spans, kSmallSpansPerHugePage - 1);
    ASSERT_EQ(huge_page.FindSmallSpan(),
              page < kPagesPerSmallSpan ? kPagesPerSmallSpan : 0);
    ASSERT_EQ(huge_page.longest_free,
              std::max(page, kPagesPerHugePage - page - 1));
  }
}

TEST(HugePageTest, SevenFreePagesAreNoSmallSpan) {
  HugePage huge_page;
  huge_page.Init(0, nullptr);
  huge_page.Take(0, kPagesPerHugePage);
  huge_page.Put(9, 7, false);
  EXPECT_EQ(huge_page.FindSmallSpan(), kPagesPerHugePage);
  huge_page.Put(16, 7, false);  // 14 in a row, but none aligned.
  EXPECT_EQ(huge_page.FindSmallSpan(), kPagesPerHugePage);
  EXPECT_EQ(huge_page.free_small_spans, 0u);
  huge_page.Put(8, 1, false);
  EXPECT_EQ(huge_page.FindSmallSpan(), 8u);
}

class HugePageRandomTest : public testing::TestWithParam<bool> {};

TEST_P(HugePageRandomTest, Steps) {
  std::mt19937 random(7);
  HugePage huge_page;
  huge_page.Init(0, nullptr, GetParam());
  Model model(kPagesPerHugePage, Page::kFresh);
  for (int step = 0; step < 5000; ++step) {
    const size_t from = random() % kPagesPerHugePage;
    const bool take = model[from] != Page::kUsed;
    size_t most = 0;
    while (from + most < kPagesPerHugePage &&
           (model[from + most] != Page::kUsed) == take) {
      ++most;
    }
    const size_t count =
        random() % 4 == 0 ? most : 1 + random() % std::min<size_t>(most, 24);
    const auto begin = model.begin() + static_cast<ptrdiff_t>(from);
    const auto end = begin + static_cast<ptrdiff_t>(count);
    if (take) {
      const auto fresh = std::count(begin, end, Page::kFresh);
      ASSERT_EQ(huge_page.Take(from, count), static_cast<size_t>(fresh));
      std::fill(begin, end, Page::kUsed);
    } else {
      const bool fresh = random() % 2 == 0;
      huge_page.Put(from, count, fresh);
      std::fill(begin, end, fresh ? Page::kFresh : Page::kDirty);
    }
    ASSERT_NO_FATAL_FAILURE(ExpectSame(huge_page, model)) << "step " << step;
  }
}

INSTANTIATE_TEST_SUITE_P(BackedAsWhole, HugePageRandomTest, testing::Bool());

TEST(HugePageTest, HasBackedPagesWhereSomeWereUsed) {
  for (const bool as_whole : {false, true}) {
    HugePage huge_page;
    huge_page.Init(0, nullptr, as_whole);
    EXPECT_FALSE(huge_page.has_backed());
    huge_page.Take(3, 1);
    EXPECT_FALSE(huge_page.has_backed());
    huge_page.Put(3, 1, false);
    EXPECT_TRUE(huge_page.has_backed());
    huge_page.Take(0, kPagesPerHugePage);
    huge_page.Put(0, kPagesPerHugePage, true);
    EXPECT_FALSE(huge_page.has_backed());
  }
}

TEST(HugePageTest, LazyPagesAreBackedButNeitherFreshNorDirty) {
  HugePage huge_page;
  huge_page.Init(0, nullptr);
  huge_page.Take(0, 32);
  huge_page.PutLazy(8, 16);
  EXPECT_FALSE(huge_page.has_dirty());
  EXPECT_TRUE(huge_page.has_backed());
  EXPECT_EQ(huge_page.backed_small_spans, 2u);
  EXPECT_EQ(huge_page.lazy_pages, 16u);
  huge_page.Put(0, 8, false);
  EXPECT_TRUE(huge_page.has_dirty());
  EXPECT_EQ(huge_page.dirty().Count(), 8u);
  EXPECT_EQ(huge_page.Take(4, 8), 0u);
  EXPECT_EQ(huge_page.lazy_pages, 12u);
  EXPECT_FALSE(huge_page.lazy.Get(8));
  EXPECT_TRUE(huge_page.lazy.Get(12));
  huge_page.CheckInvariants();
}

TEST(HugePageTest, AForbiddenOneIsNotBackedAsWhole) {
  HugePage huge_page;
  huge_page.Init(0, nullptr, true);
  huge_page.Take(0, 8);
  EXPECT_EQ(huge_page.backed_small_spans, kSmallSpansPerHugePage - 1);
  huge_page.set_apart = true;
  huge_page.SetForbidden(true);
  EXPECT_EQ(huge_page.backed_small_spans, 0u);
  huge_page.Put(0, 8, false);
  EXPECT_EQ(huge_page.FindBackedSmallSpan(), 0u);
  EXPECT_EQ(huge_page.backed_small_spans, 1u);
  huge_page.SetForbidden(false);
  EXPECT_EQ(huge_page.backed_small_spans, kSmallSpansPerHugePage);
}

TEST(HugePageDeathTest, PagesAreTakenAndPutOnce) {
  if (kAssertLevel == 0) GTEST_SKIP() << "no assertions in this build";
  HugePage huge_page;
  huge_page.Init(0, nullptr);
  EXPECT_DEATH(huge_page.Put(0, 1, false), "check failed");
  huge_page.Take(10, 10);
  EXPECT_DEATH(huge_page.Take(5, 6), "check failed");
  EXPECT_DEATH(huge_page.Put(15, 6, false), "check failed");
}

TEST(HugePageDeathTest, InvariantsAreChecked) {
  HugePage huge_page;
  huge_page.Init(0, nullptr);
  huge_page.Take(0, 8);
  HugePage broken = huge_page;
  broken.fresh.SetRange(0, 1);  // H1
  EXPECT_DEATH(broken.CheckInvariants(), "check failed");
  broken = huge_page;
  --broken.free_pages;  // H2
  EXPECT_DEATH(broken.CheckInvariants(), "check failed: free_pages");
  broken = huge_page;
  ++broken.longest_free;
  EXPECT_DEATH(broken.CheckInvariants(), "check failed: longest_free");
  broken = huge_page;
  ++broken.free_small_spans;
  EXPECT_DEATH(broken.CheckInvariants(), "check failed: free_small_spans");
  broken = huge_page;
  ++broken.backed_small_spans;
  EXPECT_DEATH(broken.CheckInvariants(), "check failed: backed_small_spans");
  broken = huge_page;
  ++broken.lazy_pages;
  EXPECT_DEATH(broken.CheckInvariants(), "check failed: lazy_pages");
  broken = huge_page;
  broken.lazy.Set(200);  // H3: it is fresh.
  EXPECT_DEATH(broken.CheckInvariants(), "check failed");
}

}  // namespace
}  // namespace spanmalloc
