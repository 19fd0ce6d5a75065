// The queues of huge pages with idle memory.

#include "allocator/page/idle_queues.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace spanmalloc {
namespace {

using Idle = HugePage::Idle;

class IdleQueuesTest : public testing::Test {
 protected:
  IdleQueuesTest() : pages_(8) {
    for (HugePage& huge_page : pages_) huge_page.Init(0, nullptr);
  }
  HugePage* At(size_t i) { return &pages_[i]; }
  void Take(size_t i, size_t from, size_t count) {
    pages_[i].Take(from, count);
    queues_.Taken(&pages_[i], from, count);
    Check();
  }
  void Put(size_t i, size_t from, size_t count) {
    pages_[i].Put(from, count, false);
    queues_.PutDirty(&pages_[i], from, count);
    Check();
  }
  void PutFresh(size_t i, size_t from, size_t count) {
    pages_[i].Put(from, count, true);
    queues_.PutClean(&pages_[i]);
    Check();
  }
  void PutLazy(size_t i, size_t from, size_t count) {
    pages_[i].PutLazy(from, count);
    queues_.PutClean(&pages_[i]);
    Check();
  }
  void Check() {
    queues_.CheckInvariants();
    size_t length = 0, refused = 0;
    for (const HugePage& huge_page : pages_) {
      IdleQueues::CheckHugePage(huge_page);
      const Idle idle = huge_page.idle;
      length += idle == Idle::kEmpty || idle == Idle::kPartial;
      if (idle == Idle::kRefused) refused += huge_page.dirty().Count();
    }
    ASSERT_EQ(queues_.length(), length);
    ASSERT_EQ(queues_.refused_pages(), refused);
  }

  std::vector<HugePage> pages_;
  IdleQueues queues_;
};

TEST_F(IdleQueuesTest, FreshPagesAreInNoQueue) {
  Take(0, 0, 10);
  PutFresh(0, 0, 10);
  EXPECT_EQ(queues_.length(), 0u);
  EXPECT_EQ(queues_.OldestAge(), 0u);
  EXPECT_EQ(queues_.Oldest(Idle::kEmpty, 0), nullptr);
}

TEST_F(IdleQueuesTest, OldestFirst) {
  for (size_t i : {3, 1, 2}) {
    Take(i, 0, 20);
    Put(i, 0, 10);
    queues_.Tick();
  }
  EXPECT_EQ(queues_.length(), 3u);
  EXPECT_EQ(queues_.OldestAge(), 3u);
  EXPECT_EQ(queues_.Oldest(Idle::kPartial, 4), nullptr);
  EXPECT_EQ(queues_.Oldest(Idle::kPartial, 3), At(3));
  EXPECT_EQ(queues_.Oldest(Idle::kEmpty, 0), nullptr);
  queues_.MoveTo(At(3), Idle::kPartial);
  EXPECT_EQ(queues_.Oldest(Idle::kPartial, 0), At(1));
  EXPECT_EQ(queues_.OldestAge(), 2u);
}

TEST_F(IdleQueuesTest, TwoGenerations) {
  Take(0, 0, 40);
  Put(0, 0, 8);
  Put(0, 16, 8);
  EXPECT_EQ(At(0)->aged.Count(), 16u);
  queues_.Tick();
  Put(0, 32, 4);
  EXPECT_EQ(At(0)->aged.Count(), 16u) << "older than it is";
  Take(0, 4, 4);
  EXPECT_EQ(At(0)->aged.Count(), 12u);
  Put(0, 4, 4);
  EXPECT_EQ(At(0)->aged.Count(), 12u);
  queues_.MoveTo(At(0), Idle::kPartial);
  EXPECT_EQ(At(0)->aged.Count(), 20u);
  EXPECT_EQ(queues_.AgeOf(*At(0)), 0u);
}

TEST_F(IdleQueuesTest, WithoutDirtyPagesItLeaves) {
  Take(0, 0, 20);
  Put(0, 0, 20);
  EXPECT_EQ(At(0)->idle, Idle::kEmpty);
  Take(0, 0, 5);
  EXPECT_EQ(At(0)->idle, Idle::kPartial);
  Take(0, 5, 15);
  EXPECT_EQ(At(0)->idle, Idle::kNone);
  EXPECT_EQ(queues_.length(), 0u);
}

TEST_F(IdleQueuesTest, EmptyStartsAnew) {
  Take(0, 0, 20);
  Put(0, 0, 10);
  queues_.Tick();
  PutFresh(0, 10, 10);
  EXPECT_EQ(At(0)->idle, Idle::kEmpty);
  EXPECT_EQ(queues_.AgeOf(*At(0)), 0u);
  queues_.Tick();
  Take(0, 10, 10);
  EXPECT_EQ(At(0)->idle, Idle::kPartial);
  EXPECT_EQ(queues_.AgeOf(*At(0)), 0u);
}

TEST_F(IdleQueuesTest, LazyPagesAreHeld) {
  Take(0, 0, 20);
  PutLazy(0, 0, 10);
  EXPECT_EQ(At(0)->idle, Idle::kHeld);
  EXPECT_EQ(queues_.length(), 0u);
  EXPECT_EQ(queues_.Oldest(Idle::kHeld, 0), At(0));
  Put(0, 10, 5);
  EXPECT_EQ(At(0)->idle, Idle::kPartial);
  EXPECT_EQ(At(0)->aged.Count(), 5u);
  Take(0, 10, 5);
  EXPECT_EQ(At(0)->idle, Idle::kHeld);
  Take(0, 0, 10);
  EXPECT_EQ(At(0)->idle, Idle::kNone);
}

TEST_F(IdleQueuesTest, RefusedUntilPagesArePut) {
  Take(0, 0, 20);
  Put(0, 0, 10);
  queues_.MoveTo(At(0), Idle::kRefused);
  Check();
  EXPECT_EQ(queues_.refused_pages(), 10u);
  EXPECT_EQ(queues_.length(), 0u);
  Take(0, 0, 4);
  EXPECT_EQ(queues_.refused_pages(), 6u);
  Put(0, 12, 4);
  EXPECT_EQ(queues_.refused_pages(), 0u);
  EXPECT_EQ(At(0)->idle, Idle::kPartial);
  EXPECT_EQ(At(0)->aged.Count(), 10u);
  queues_.MoveTo(At(0), Idle::kRefused);
  Take(0, 4, 6);
  Take(0, 12, 4);
  EXPECT_EQ(At(0)->idle, Idle::kNone);
}

TEST_F(IdleQueuesTest, TheTickMayWrap) {
  Take(0, 0, 20);
  Put(0, 0, 10);
  // Ages are differences.
  At(0)->idle_since = UINT32_MAX - 1;
  queues_.Tick();
  EXPECT_EQ(queues_.OldestAge(), 3u);
}

// Against a model that knows the tick at which each page became idle.
TEST_F(IdleQueuesTest, NothingIsTakenForOlderThanItIs) {
  constexpr uint32_t kUsed = UINT32_MAX;
  std::mt19937 random(11);
  std::vector<std::vector<uint32_t>> since(
      pages_.size(), std::vector<uint32_t>(kPagesPerHugePage, kUsed));
  for (size_t i = 0; i < pages_.size(); ++i) Take(i, 0, kPagesPerHugePage);
  for (int step = 0; step < 20000; ++step) {
    const size_t i = random() % pages_.size();
    const size_t from = random() % kPagesPerHugePage;
    const size_t most = kPagesPerHugePage - from;
    const size_t count = 1 + random() % std::min<size_t>(most, 80);
    HugePage* const huge_page = At(i);
    if (huge_page->free.NoneSet(from, count)) {
      Put(i, from, count);
      std::fill_n(since[i].begin() + static_cast<ptrdiff_t>(from), count,
                  queues_.now());
    } else if (huge_page->free.AllSet(from, count)) {
      Take(i, from, count);
      std::fill_n(since[i].begin() + static_cast<ptrdiff_t>(from), count,
                  kUsed);
    }
    if (random() % 5 == 0) queues_.Tick();
    for (size_t page = 0; page < kPagesPerHugePage; ++page) {
      if (!huge_page->aged.Get(page)) continue;
      ASSERT_NE(since[i][page], kUsed);
      ASSERT_LE(since[i][page], huge_page->idle_since);
    }
    if (random() % 50 == 0) {
      const Idle all[] = {Idle::kPartial, Idle::kEmpty};
      for (const Idle list : all) {
        if (HugePage* const oldest = queues_.Oldest(list, 3)) {
          queues_.MoveTo(oldest, list);
        }
      }
      Check();
    }
  }
}

TEST_F(IdleQueuesTest, InvariantsAreChecked) {
  Take(0, 0, 20);
  Put(0, 0, 10);
  HugePage broken = *At(0);
  broken.idle = Idle::kNone;
  EXPECT_DEATH(IdleQueues::CheckHugePage(broken), "check failed");
  broken.idle = Idle::kEmpty;
  EXPECT_DEATH(IdleQueues::CheckHugePage(broken), "check failed");
  broken.idle = Idle::kHeld;
  EXPECT_DEATH(IdleQueues::CheckHugePage(broken), "check failed");
  broken = *At(0);
  broken.aged.Set(15);
  EXPECT_DEATH(IdleQueues::CheckHugePage(broken), "check failed");
  At(0)->idle = Idle::kEmpty;
  EXPECT_DEATH(queues_.CheckInvariants(), "check failed");
  At(0)->idle = Idle::kPartial;
}

}  // namespace
}  // namespace spanmalloc
