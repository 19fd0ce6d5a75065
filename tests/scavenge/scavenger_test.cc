#include "allocator/scavenge/scavenger.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/fake_system.h"
#include "tests/support/unjoined_thread.h"

namespace spanmalloc {
namespace {

constexpr size_t kMebibyte = 1 << 20;

// A heap on a fake system, and a scavenger that works when it is told to.
class ScavengerTest : public testing::Test {
 protected:
  ~ScavengerTest() override {
    scavenger_.OnExit();
    if (current_thread_state == ThreadState::kActive) threads_->Leave();
    heap_->CheckWhenQuiet();
  }

  PageHeap& pages() { return heap_->page_heap(); }

  // So many bytes of free pages that the system backs.
  void MakeIdle(size_t bytes) {
    Span* const span =
        pages().NewLargeSpan(Length::FromBytesRoundingUp(bytes), kHugePageSize);
    ASSERT_NE(span, nullptr);
    ASSERT_TRUE(pages().DeleteLargeSpan(span->address()));
  }

  void* Allocate(size_t size) {
    const size_t tag = class_of_size.TagFor(size);
    void* const p = current_thread.cache->Pop(tag);
    return p != nullptr ? p : current_thread.cache->Refill(tag);
  }
  void Free(size_t size, void* p) {
    const size_t tag = class_of_size.TagFor(size);
    while (!current_thread.cache->Push(tag, p)) {
      current_thread.cache->MakeRoom(tag);
    }
  }

  FakeSystem system_;
  UnjoinedThread self_;
  const std::unique_ptr<CentralHeap> heap_ =
      std::make_unique<CentralHeap>(&FakeSystem::memory());
  const std::unique_ptr<ThreadRegistry> threads_ =
      std::make_unique<ThreadRegistry>(heap_.get(), [](void*) {});
  Scavenger scavenger_{heap_.get(), threads_.get()};
};

TEST_F(ScavengerTest, NothingThereIsNothingGivenBack) {
  EXPECT_EQ(scavenger_.Release(SIZE_MAX), 0u);
  EXPECT_EQ(scavenger_.Trim(0), 0u);
  EXPECT_EQ(scavenger_.stats().calls, 2u);
  EXPECT_EQ(scavenger_.stats().cycles, 0u);
}

TEST_F(ScavengerTest, ReleaseGivesBackWhatIsAskedFor) {
  MakeIdle(40 * kMebibyte);
  EXPECT_EQ(scavenger_.Release(0), 0u);
  const size_t some = scavenger_.Release(10 * kMebibyte);
  EXPECT_GE(some, 10 * kMebibyte);
  EXPECT_LT(some, 13 * kMebibyte);
  EXPECT_EQ(scavenger_.Release(SIZE_MAX), 40 * kMebibyte - some);
  EXPECT_EQ(pages().idle_bytes(), 0u);
  EXPECT_EQ(scavenger_.stats().cycles, 2u);
}

TEST_F(ScavengerTest, TrimKeepsWhatItIsToldTo) {
  MakeIdle(40 * kMebibyte);
  EXPECT_EQ(scavenger_.Trim(50 * kMebibyte), 0u);
  EXPECT_GE(scavenger_.Trim(8 * kMebibyte), 32 * kMebibyte);
  EXPECT_LE(pages().idle_bytes(), 8 * kMebibyte);
  EXPECT_GT(pages().idle_bytes(), 0u);
}

TEST_F(ScavengerTest, CachesAndFreePagesBetweenObjectsGoBackToo) {
  threads_->Join();
  constexpr size_t kSize = 16384;
  std::vector<void*> objects(400);
  for (void*& p : objects) p = Allocate(kSize);
  // One of the four in each span stays.
  for (size_t i = 0; i < objects.size(); ++i) {
    if (i % 4 != 0) Free(kSize, objects[i]);
  }
  const size_t most = 300 * kSize;
  const size_t released = scavenger_.Trim(0);
  EXPECT_GE(released, most - 4 * kSmallSpanSize);
  EXPECT_GT(pages().stats().released_in_spans, most / 2);
  for (size_t i = 0; i < objects.size(); i += 4) Free(kSize, objects[i]);
}

TEST_F(ScavengerTest, BringHomeEmptiesCaches) {
  threads_->Join();
  Free(100, Allocate(100));
  EXPECT_GT(current_thread.cache->cached_objects(
                ClassOfTag(class_of_size.TagFor(100))),
            0u);
  scavenger_.BringHome();
  EXPECT_EQ(current_thread.cache->cached_objects(
                ClassOfTag(class_of_size.TagFor(100))),
            0u);
  EXPECT_FALSE(threads_->HasCached());
}

TEST_F(ScavengerTest, ALimitIsKeptAtOnceAndAfterEverySlowPath) {
  MakeIdle(40 * kMebibyte);
  EXPECT_EQ(scavenger_.SetLimit(24 * kMebibyte), 0u);
  EXPECT_LE(pages().footprint_bytes(), 24 * kMebibyte);
  EXPECT_EQ(scavenger_.stats().limit, 24 * kMebibyte);
  MakeIdle(60 * kMebibyte);
  EXPECT_GT(pages().footprint_bytes(), 24 * kMebibyte);
  scavenger_.AfterSlowPath();
  EXPECT_LE(pages().footprint_bytes(), 24 * kMebibyte);
  EXPECT_EQ(scavenger_.SetLimit(0), 24 * kMebibyte);
  MakeIdle(60 * kMebibyte);
  scavenger_.AfterSlowPath();
  EXPECT_GT(pages().footprint_bytes(), 24 * kMebibyte);
}

TEST_F(ScavengerTest, ALimitBelowWhatIsInUseTakesWhatIsNot) {
  Span* const span = pages().NewLargeSpan(Length(4000), kHugePageSize);
  scavenger_.SetLimit(kMebibyte);
  MakeIdle(40 * kMebibyte);
  for (int i = 0; i < 100; ++i) scavenger_.AfterSlowPath();
  EXPECT_EQ(pages().idle_bytes(), 0u);
  EXPECT_EQ(pages().used_bytes(), Length(4000).bytes());
  EXPECT_TRUE(pages().DeleteLargeSpan(span->address()));
}

TEST_F(ScavengerTest, InlineItTakesSlowPathsAndTime) {
  ScavengerSettings settings;
  settings.mode = ScavengerMode::kInline;
  settings.delay = 1;
  scavenger_.Configure(settings);
  MakeIdle(40 * kMebibyte);
  // Not before the start.
  for (int i = 0; i < 10000; ++i) scavenger_.AfterSlowPath();
  EXPECT_EQ(pages().idle_bytes(), 40 * kMebibyte);
  scavenger_.OnStart();
  for (int i = 0; i < 100'000'000 && pages().idle_bytes() != 0; ++i) {
    scavenger_.AfterSlowPath();
  }
  EXPECT_EQ(pages().idle_bytes(), 0u);
  EXPECT_GT(scavenger_.stats().nanoseconds, 0u);
}

TEST_F(ScavengerTest, OffItDoesNothing) {
  ScavengerSettings settings;
  settings.mode = ScavengerMode::kOff;
  settings.delay = 1;
  scavenger_.Configure(settings);
  scavenger_.OnStart();
  MakeIdle(40 * kMebibyte);
  for (int i = 0; i < 1'000'000; ++i) scavenger_.AfterSlowPath();
  EXPECT_EQ(pages().idle_bytes(), 40 * kMebibyte);
  EXPECT_EQ(scavenger_.Release(SIZE_MAX), 40 * kMebibyte);
}

TEST_F(ScavengerTest, TheThreadWorksRestsWakesUpAndEnds) {
  threads_->Join();  // It ends when no thread has a cache.
  ScavengerSettings settings;
  settings.mode = ScavengerMode::kThread;
  settings.delay = 1;
  scavenger_.Configure(settings);
  scavenger_.OnStart();
  for (int round = 0; round < 5; ++round) {
    MakeIdle(40 * kMebibyte);
    // The first slow path makes it or wakes it up; the rest it does alone.
    scavenger_.AfterSlowPath();
    while (pages().idle_bytes() != 0) std::this_thread::yield();
  }
  scavenger_.OnExit();
  MakeIdle(40 * kMebibyte);
  for (int i = 0; i < 1'000'000; ++i) scavenger_.AfterSlowPath();
  EXPECT_EQ(pages().idle_bytes(), 40 * kMebibyte);
}

TEST_F(ScavengerTest, WhatTheSystemRefusesStaysAndIsNoBusyLoop) {
  threads_->Join();
  ScavengerSettings settings;
  settings.mode = ScavengerMode::kThread;
  settings.delay = 1;
  scavenger_.Configure(settings);
  scavenger_.OnStart();
  system_.Deny(FakeSystem::kRelease);
  MakeIdle(40 * kMebibyte);
  scavenger_.AfterSlowPath();
  while (pages().idle_huge_pages() != 0) std::this_thread::yield();
  EXPECT_EQ(scavenger_.Release(SIZE_MAX), 0u);
  system_.Deny(FakeSystem::kRelease, false);
  // Usable, and tried again once something new is there.
  MakeIdle(40 * kMebibyte);
  scavenger_.AfterSlowPath();
  while (pages().idle_bytes() != 0) std::this_thread::yield();
}

TEST_F(ScavengerTest, TraceTellsWhoAskedAndHowMuch) {
  ScavengerSettings settings;
  settings.mode = ScavengerMode::kOff;
  settings.trace = true;
  scavenger_.Configure(settings);
  MakeIdle(40 * kMebibyte);
  testing::internal::CaptureStderr();
  scavenger_.Release(SIZE_MAX);
  scavenger_.Release(SIZE_MAX);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text.rfind("spanmalloc: scav 1 (call): 40960 KiB released, 0 "
                       "objects sent home in ",
                       0),
            0u)
      << text;
  EXPECT_NE(text.find(" us; inuse 0, idle "), std::string::npos) << text;
  EXPECT_NE(text.find(", consumed 0 (KiB)\n"), std::string::npos) << text;
  EXPECT_EQ(text.find("scav 2"), std::string::npos) << "nothing was done";
}

}  // namespace
}  // namespace spanmalloc
