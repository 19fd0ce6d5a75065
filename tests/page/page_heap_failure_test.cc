// The page heap when the system says no: at every single call, from some call
// on, and under a limit.

#include <gtest/gtest.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "allocator/os/system_info.h"
#include "tests/support/page_heap_fixture.h"

namespace spanmalloc {
namespace {

// A fixed sequence of steps that makes every kind of call, and that goes on
// where one of them fails. After each, all blocks are as they were.
class Scenario {
 public:
  void Run() {
    heap_.Configure(size_t{1} << 30, 0);
    heap_.Prepare();
    Check();
    for (int i = 0; i < 40; ++i) Small();
    Large(5, 1);
    Large(300, kPageSize);
    Large(512, 8 << 20);
    Large(200, 1 << 20);
    Resize(1, 320);
    Resize(1, 2000);
    Large(256, kPageSize);
    Move(4, 3000);
    Free(2);
    heap_.ReleaseAtLeast(1 << 20);
    Check();
    Resize(3, 100);
    heap_.ReleaseAtLeast(SIZE_MAX);
    Check();
    Large(20000, kPageSize);  // A region far from the size of a step.
    Large(700, kPageSize);
    Move(6, 1500);
    ReleaseByAge();
    UnderALimit();
  }

  // Everything works again and everything is still there.
  void Finish() {
    system_.FailNothing();
    Large(1000, kPageSize);
    EXPECT_NE(blocks_.back().span, nullptr);
    for (size_t i = 0; i < blocks_.size(); ++i) Free(i);
    for (Span* span : small_) heap_.DeleteSmallSpan(span);
    heap_.CheckInvariants();
    EXPECT_EQ(heap_.stats().used, Length(0));
    EXPECT_EQ(heap_.stats().large_count, 0u);
  }

  FakeSystem& system() { return system_; }

 private:
  struct Block {
    Span* span;
    Length length;
  };

  void Small() {
    Span* const span = heap_.NewSmallSpan(9);
    if (span != nullptr) small_.push_back(span);
    Check();
  }
  void Large(size_t pages, size_t alignment) {
    DirtyPages dirty;
    Span* const span = heap_.NewLargeSpan(Length(pages), alignment, &dirty);
    if (span != nullptr) {
      EXPECT_EQ(span->address() % alignment, 0u);
      if (dirty.empty() && pages < 10000) {
        EXPECT_TRUE(IsZero(span));
      }
      StampEnds(span, blocks_.size());
    }
    blocks_.push_back({span, Length(pages)});
    Check();
  }
  void Release(size_t bytes, uint32_t min_age) {
    heap_.ReleaseIdle(bytes, min_age);
    Check();
  }
  // Parts and whole huge pages, lazily and for good.
  void ReleaseByAge() {
    heap_.set_huge_page_mode(HugePageMode::kAlways);
    heap_.set_release_lazily(true);
    Large(250, kPageSize);
    Large(1000, kPageSize);
    Resize(7, 60);
    Free(8);
    Release(SIZE_MAX, 1);
    heap_.Tick();
    Release(1 << 20, 1);
    Release(SIZE_MAX, 1);
    if (!small_.empty() && SystemPageSize() <= Span::kReleaseUnit) {
      Span* const span = small_[0];
      const unsigned before = span->released;
      const bool released = heap_.ReleaseInSpan(span, 4, 8);
      EXPECT_EQ(span->released, released ? before | 0x0ff0 : before);
      Check();
    }
    Large(100, kPageSize);
    Resize(7, 30);
    Release(SIZE_MAX, 0);
    Large(600, kHugePageSize);
  }
  void UnderALimit() {
    const size_t footprint = heap_.footprint_bytes();
    heap_.set_hard_limit(footprint + (4 << 20));
    Resize(10, 1200);
    Free(10);
    Large(700, 4 * kHugePageSize);
    Large(5000, kPageSize);
    if (!small_.empty()) {
      Span* const span = small_[0];
      EXPECT_TRUE(heap_.TakeReleased(span, span->released));
    }
    EXPECT_LE(heap_.footprint_bytes(), footprint + (4 << 20));
    Check();
    heap_.set_hard_limit(0);
  }
  void Resize(size_t i, size_t pages) {
    Block& block = blocks_[i];
    if (block.span == nullptr) return;
    if (heap_.ResizeLargeSpan(block.span, Length(pages))) {
      block.length = Length(pages);
      StampEnds(block.span, i);
    }
    Check();
  }
  void Move(size_t i, size_t pages) {
    Block& block = blocks_[i];
    if (block.span == nullptr) return;
    Span* const moved = heap_.MoveLargeSpan(block.span, Length(pages));
    if (moved != nullptr) {
      EXPECT_EQ(*WordOf(moved, 0, 0), i + 1) << "contents were lost";
      block = {moved, Length(pages)};
      StampEnds(moved, i);
    }
    Check();
  }
  void Free(size_t i) {
    Block& block = blocks_[i];
    if (block.span == nullptr) return;
    EXPECT_TRUE(heap_.DeleteLargeSpan(block.span->address()));
    block.span = nullptr;
    Check();
  }

  // The first and the last page; the blocks are large.
  static void StampEnds(Span* span, uint64_t i) {
    *WordOf(span, 0, 0) = i + 1;
    *WordOf(span, span->length().pages() - 1, kStampedWords[1]) = i + 1;
  }
  void Check() const {
    heap_.CheckInvariants();
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const Span* const span = blocks_[i].span;
      if (span == nullptr) continue;
      ASSERT_EQ(heap_.FindLargeSpan(span->address()), span);
      ASSERT_EQ(span->length(), blocks_[i].length);
      ASSERT_EQ(*WordOf(span, 0, 0), i + 1);
      ASSERT_EQ(*WordOf(span, span->length().pages() - 1, kStampedWords[1]),
                i + 1);
    }
    for (const Span* span : small_) {
      ASSERT_EQ(heap_.pagemap().SmallSpanOf(span->address()), span);
      ASSERT_EQ(span->state(), SpanState::kSmall);
    }
  }

  FakeSystem system_;
  PageHeap heap_{&FakeSystem::memory()};
  std::vector<Block> blocks_;
  std::vector<Span*> small_;
};

TEST(PageHeapFailureTest, AnySingleCall) {
  for (size_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    Scenario scenario;
    scenario.system().FailCall(n);
    scenario.Run();
    const bool failed = scenario.system().failures() != 0;
    scenario.Finish();
    if (!failed || testing::Test::HasFailure()) break;
    ASSERT_LT(n, 500u);
  }
}

TEST(PageHeapFailureTest, EveryCallFromOneOn) {
  for (size_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    Scenario scenario;
    scenario.system().FailFrom(n);
    scenario.Run();
    const bool failed = scenario.system().failures() != 0;
    scenario.Finish();
    if (!failed || testing::Test::HasFailure()) break;
    ASSERT_LT(n, 500u);
  }
}

TEST(PageHeapFailureTest, EachKindOfCall) {
  for (int call = 0; call < FakeSystem::kCallKinds; ++call) {
    SCOPED_TRACE(call);
    Scenario scenario;
    scenario.system().Deny(static_cast<FakeSystem::Call>(call));
    scenario.Run();
    scenario.system().Deny(static_cast<FakeSystem::Call>(call), false);
    scenario.Finish();
  }
}

TEST(PageHeapFailureTest, NoAddressAndEveryLimit) {
  for (size_t limit = 0; limit < (40 << 20); limit += 1900 << 10) {
    SCOPED_TRACE(limit);
    Scenario scenario;
    scenario.system().RefuseAddresses(limit % 3 == 0);
    scenario.system().LimitBytes(limit);
    scenario.Run();
    scenario.system().LimitBytes(SIZE_MAX);
    scenario.Finish();
  }
}

// Blocks of one size until there are no more; returns their bytes.
class PageHeapLimitTest : public PageHeapTest {
 protected:
  void Fill(size_t pages) {
    Span* span = nullptr;
    while ((span = New(pages)) != nullptr) spans_.push_back(span);
    heap_.CheckInvariants();
  }
  size_t FreeAll() {
    size_t bytes = 0;
    for (Span* span : spans_) {
      bytes += span->length().bytes();
      Delete(span);
    }
    spans_.clear();
    return bytes;
  }

  std::vector<Span*> spans_;
};

TEST_F(PageHeapLimitTest, WhatWasFreedServesEveryOtherSize) {
  if (PreferredHeapAddress() == 0) {
    GTEST_SKIP() << "aligning by hand wastes too much of this limit";
  }
  constexpr size_t kLimit = 64 << 20;
  system_.LimitBytes(kLimit);
  constexpr size_t kRecords = 6 << 20;
  for (size_t pages : {5, 128, 8, 9, 86, 100, 77, 95, 256, 33, 90, 200, 6}) {
    Fill(pages);
    // Blocks of more than 1 MiB may leave more: up to a quarter.
    EXPECT_GE(FreeAll(), (kLimit - kRecords) / 100 * (pages > 128 ? 75 : 78))
        << pages;
  }
  ExpectJoined();
}

// When the system has no more memory for records, the heap has.
TEST_F(PageHeapLimitTest, RecordsComeFromTheHeap) {
  Span* const dirty = New(100);
  Stamp(dirty, 1);
  Delete(dirty);
  system_.FailFrom(1);
  for (size_t size :
       {size_t{64}, size_t{1000}, size_t{50000}, size_t{1} << 19, size_t{64}}) {
    void* const record = heap_.AllocateRecord(size, RecordKind::kOther);
    ASSERT_NE(record, nullptr) << size;
    const char* const bytes = static_cast<char*>(record);
    EXPECT_TRUE(std::all_of(bytes, bytes + size, [](char c) { return c == 0; }))
        << size;
    memset(record, 1, size);
    heap_.CheckInvariants();
  }
  EXPECT_EQ(heap_.AllocateRecord(64 << 20, RecordKind::kOther), nullptr);
  while (heap_.AllocateRecord(50000, RecordKind::kOther) != nullptr)
    heap_.CheckInvariants();
  EXPECT_LT(heap_.stats().free, Length(50000 / kPageSize + kPagesPerHeader));
}

TEST_F(PageHeapLimitTest, EveryOtherBlockFreed) {
  system_.LimitBytes(48 << 20);
  Fill(16);
  std::vector<Span*> kept;
  for (size_t i = 0; i < spans_.size(); ++i) {
    if (i % 2 == 0) kept.push_back(spans_[i]);
    if (i % 2 == 1) Delete(spans_[i]);
  }
  for (size_t i = 0; i < kept.size(); ++i) Stamp(kept[i], i);
  spans_.clear();
  Fill(16);  // They fit exactly into the holes.
  EXPECT_GE(spans_.size() + 1, kept.size());
  for (size_t i = 0; i < kept.size(); ++i) {
    ASSERT_TRUE(HasStamp(kept[i], i));
    Delete(kept[i]);
  }
  FreeAll();
  ExpectJoined();
}

}  // namespace
}  // namespace spanmalloc
