// Random steps on the page heap against a map of its pages: which are used,
// which of the free ones are dirty and since when, and which are lazy.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "allocator/base/bits.h"
#include "allocator/os/system_info.h"
#include "tests/support/page_heap_fixture.h"

namespace spanmalloc {
namespace {

class PageHeapRandomTest : public PageHeapTest,
                           public testing::WithParamInterface<unsigned> {
 protected:
  struct Block {
    Span* span;
    size_t pages;
    uint64_t stamp;
    bool small;
  };
  static constexpr size_t kMaxUsed = 6000;  // Pages.

  size_t Below(size_t n) { return random_() % n; }
  size_t RandomLength() {
    const size_t kind = Below(20);
    if (kind == 0) return 257 + Below(600);
    if (kind < 4) return 50 + Below(207);
    return 5 + Below(40);
  }
  std::map<uintptr_t, Block>::iterator RandomBlock() {
    const auto it = blocks_.lower_bound(
        blocks_.begin()->first +
        Below(blocks_.rbegin()->first - blocks_.begin()->first + 1));
    return it;
  }

  // Notes that the pages are used from now on. Were all of them fresh?
  bool Use(PageId first, size_t pages) {
    bool fresh = true;
    for (size_t i = 0; i < pages; ++i) {
      if (dirty_.erase(first.index() + i) != 0) fresh = false;
      if (lazy_.erase(first.index() + i) != 0) fresh = false;
    }
    used_ += pages;
    return fresh;
  }
  void Unuse(PageId first, size_t pages) {
    for (size_t i = 0; i < pages; ++i) dirty_[first.index() + i] = now_;
    used_ -= pages;
  }
  // Expects that no page was released that has been idle for less.
  void NoteReleased(uint32_t min_age = 0) {
    for (const FakeSystem::Range& range : system_.TakeReleased()) {
      const uintptr_t first = range.start >> kPageShift;
      const uintptr_t end = (range.start + range.size) >> kPageShift;
      const auto from = dirty_.lower_bound(first), to = dirty_.lower_bound(end);
      for (auto at = from; at != to; ++at) {
        ASSERT_GE(now_ - at->second, min_age);
      }
      dirty_.erase(from, to);
      const size_t lazy = lazy_.size();
      lazy_.erase(lazy_.lower_bound(first), lazy_.lower_bound(end));
      lazy_released_ += lazy - lazy_.size();
    }
    for (const FakeSystem::Range& range : system_.TakeLazilyReleased()) {
      const uintptr_t first = range.start >> kPageShift;
      const uintptr_t end = (range.start + range.size) >> kPageShift;
      const auto from = dirty_.lower_bound(first), to = dirty_.lower_bound(end);
      for (auto at = from; at != to; ++at) {
        ASSERT_GE(now_ - at->second, min_age);
        lazy_.insert(at->first);
      }
      dirty_.erase(from, to);
    }
  }

  void Add(Span* span, bool small) {
    const Block block = {span, span->length().pages(), ++stamps_, small};
    const auto [it, is_new] = blocks_.emplace(span->address(), block);
    ASSERT_TRUE(is_new);
    if (it != blocks_.begin()) {
      const Block& before = std::prev(it)->second;
      ASSERT_LE(before.span->address() + before.pages * kPageSize, it->first);
    }
    if (std::next(it) != blocks_.end()) {
      ASSERT_LE(it->first + block.pages * kPageSize, std::next(it)->first);
    }
    Stamp(span, block.stamp);
  }

  void AllocateSmall() {
    const auto tag = static_cast<uint8_t>(1 + Below(255));
    Span* const span = heap_.NewSmallSpan(tag);
    if (span == nullptr) return NoteRefusal();
    ASSERT_NO_FATAL_FAILURE(NoteReleased());
    ASSERT_EQ(span->address() % kSmallSpanSize, 0u);
    Use(span->first_page(), kPagesPerSmallSpan);
    const size_t got = heap_.class_map().Get(span->address());
    ASSERT_TRUE(got == tag || PreferredHeapAddress() == 0) << got;
    Add(span, true);
  }
  void AllocateLarge() {
    const size_t pages = RandomLength();
    const size_t alignment =
        Below(3) == 0 ? kPageSize << Below(11) : size_t{1} << Below(13);
    bool zeroed = false;
    Span* const span = New(pages, alignment, &zeroed);
    if (span == nullptr) return NoteRefusal();
    ASSERT_NO_FATAL_FAILURE(NoteReleased());
    ASSERT_EQ(zeroed, Use(span->first_page(), pages));
    Add(span, false);
  }
  void Free() {
    const auto it = RandomBlock();
    const Block block = it->second;
    ASSERT_TRUE(HasStamp(block.span, block.stamp));
    const PageId first = block.span->first_page();
    if (block.small) {
      heap_.DeleteSmallSpan(block.span);
      ASSERT_EQ(heap_.class_map().Get(first.address()), 0u);
    } else {
      ASSERT_TRUE(heap_.DeleteLargeSpan(first.address()));
    }
    Unuse(first, block.pages);
    blocks_.erase(it);
  }
  void Resize() {
    const auto it = RandomBlock();
    Block& block = it->second;
    if (block.small) return;
    const size_t pages = RandomLength();
    const bool resized = heap_.ResizeLargeSpan(block.span, Length(pages));
    ASSERT_TRUE(resized || pages > block.pages);
    const size_t kept = resized ? std::min(pages, block.pages) : block.pages;
    ASSERT_TRUE(HasStamp(block.span, block.stamp, Length(kept)));
    if (!resized && limit_ != 0) return NoteRefusal();
    if (!resized) return;
    ASSERT_NO_FATAL_FAILURE(NoteReleased());
    const PageId first = block.span->first_page();
    if (pages > block.pages) {
      Use(first + Length(block.pages), pages - block.pages);
    } else {
      Unuse(first + Length(pages), block.pages - pages);
    }
    Span* const span = block.span;
    blocks_.erase(it);
    Add(span, false);
  }
  void Move() {
    const auto it = RandomBlock();
    const Block block = it->second;
    if (block.small) return;
    const PageId first = block.span->first_page();
    const size_t pages = block.pages + 1 + Below(300);
    if (Below(4) == 0) system_.Deny(FakeSystem::kMove);
    const size_t attempts = system_.calls(FakeSystem::kMove);
    Span* const moved = heap_.MoveLargeSpan(block.span, Length(pages));
    system_.Deny(FakeSystem::kMove, false);
    if (moved == nullptr) {
      ASSERT_TRUE(HasStamp(block.span, block.stamp));
      // Lazy pages that were taken in vain are dirty now.
      lost_track_ = limit_ != 0 || system_.calls(FakeSystem::kMove) != attempts;
      return;
    }
    ASSERT_TRUE(HasStamp(moved, block.stamp, Length(block.pages)));
    Use(moved->first_page(), pages);
    Unuse(first, block.pages);
    NoteReleased();
    blocks_.erase(it);
    Add(moved, false);
  }
  void Release() {
    const FakeSystem::Call kinds[] = {FakeSystem::kRelease,
                                      FakeSystem::kReleaseLazily,
                                      FakeSystem::kForbidHuge};
    const FakeSystem::Call denied = kinds[Below(3)];
    const bool denies = Below(8) == 0;
    system_.Deny(denied, denies);
    if (Below(8) == 0) system_.FailCall(1 + Below(10));
    const auto min_age = static_cast<uint32_t>(Below(4));
    const size_t wanted = Below(4) == 0 ? SIZE_MAX : Below(4 << 20);
    const size_t dirty = dirty_.size();
    lazy_released_ = 0;
    const size_t failures = system_.failures();
    const size_t released = heap_.ReleaseIdle(wanted, min_age);
    const bool failed = system_.failures() != failures;
    system_.Deny(denied, false);
    system_.FailNothing();
    ASSERT_NO_FATAL_FAILURE(NoteReleased(min_age));
    if (SystemPageSize() > kPageSize) return;  // Not all can be released.
    ASSERT_EQ(released, (dirty - dirty_.size() + lazy_released_) * kPageSize);
    if (failed) any_refused_ = true;
    if (released >= wanted || any_refused_ || min_age != 0) return;
    ASSERT_TRUE(dirty_.empty());
    ASSERT_TRUE(lazy_.empty());
  }
  void ChangeModes() {
    const HugePageMode modes[] = {HugePageMode::kNever, HugePageMode::kMadvise,
                                  HugePageMode::kAlways};
    heap_.set_huge_page_mode(modes[Below(3)]);
    heap_.set_release_lazily(Below(2) == 0);
  }
  void ChangeLimit() {
    limit_ = Below(2) == 0 ? 0
                           : heap_.arena().used_bytes() +
                                 (used_ + Below(3000)) * kPageSize;
    heap_.set_hard_limit(limit_);
  }
  // Was it right to refuse a request?
  void NoteRefusal() {
    ASSERT_NE(limit_, 0u);
    lost_track_ = true;  // What was lazy may be dirty now.
  }
  // Some pages became dirty, and only the heap knows which.
  void FindTrack() {
    lost_track_ = false;
    NoteReleased();
    for (const FakeSystem::Range& region : system_.Regions()) {
      for (uintptr_t at = region.start; at < region.start + region.size;
           at += kPageSize) {
        const HugePage* const huge_page = heap_.pagemap().HugePageOf(at);
        const PageId page = PageId::Containing(at);
        const size_t i = page.index_in_huge_page();
        if (!huge_page->lazy.Get(i)) lazy_.erase(page.index());
        if (huge_page->dirty().Get(i)) {
          dirty_.emplace(page.index(), now_);
        } else {
          dirty_.erase(page.index());
        }
      }
    }
  }
  void ReleaseInSpan() {
    const Block& block = RandomBlock()->second;
    if (!block.small || SystemPageSize() > Span::kReleaseUnit) return;
    const size_t first = Below(16);
    const size_t count = 1 + Below(16 - first);
    const unsigned bits = ((1u << count) - 1) << first;
    if ((block.span->released & bits) != 0) return;
    const unsigned before = block.span->released;
    if (Below(4) == 0) system_.FailCall(1 + Below(3));
    const bool released = heap_.ReleaseInSpan(block.span, first, count);
    system_.FailNothing();
    system_.TakeReleased();
    ASSERT_EQ(block.span->released, released ? before | bits : before);
    const auto all = static_cast<uint16_t>(block.span->released);
    const size_t bytes = heap_.stats().released_in_spans;
    ASSERT_EQ(bytes, CountOnes(all) * Span::kReleaseUnit);
    if (!heap_.TakeReleased(block.span, all)) {
      heap_.set_hard_limit(limit_ = 0);
      ASSERT_TRUE(heap_.TakeReleased(block.span, all));
    }
    ASSERT_NO_FATAL_FAILURE(NoteReleased());
    Stamp(block.span, block.stamp);
  }

  void Check() {
    heap_.CheckInvariants();
    const PageHeapStats stats = heap_.stats();
    ASSERT_EQ(stats.used.pages(), used_);
    ASSERT_EQ(stats.mapped, stats.used + stats.free);
    ASSERT_EQ((stats.free - stats.fresh - stats.lazy).pages(), dirty_.size());
    ASSERT_EQ(stats.lazy.pages(), lazy_.size());
    ASSERT_LE(heap_.idle_bytes(), dirty_.size() * kPageSize);
    ASSERT_EQ(heap_.footprint_bytes(),
              (used_ + dirty_.size()) * kPageSize + heap_.arena().used_bytes());
    size_t mapped = 0;
    for (const auto& region : system_.Regions()) mapped += region.size;
    ASSERT_EQ(stats.mapped.bytes(), mapped);
  }

  std::mt19937_64 random_{GetParam()};
  std::map<uintptr_t, Block> blocks_;
  // Indexes of free pages that are dirty, with the tick of their freeing, and
  // of those that are lazy.
  std::map<uintptr_t, uint32_t> dirty_;
  std::set<uintptr_t> lazy_;
  size_t lazy_released_ = 0;
  uint32_t now_ = 0;
  bool any_refused_ = false;
  size_t used_ = 0;
  uint64_t stamps_ = 0;
  bool lost_track_ = false;
  size_t limit_ = 0;
};

TEST_P(PageHeapRandomTest, Steps) {
  for (int step = 0; step < 1500; ++step) {
    if (Below(30) == 0) ChangeLimit();
    const size_t footprint = heap_.footprint_bytes();
    const size_t records = heap_.arena().used_bytes();
    const size_t choice = Below(100);
    if (blocks_.empty() || (choice < 50 && used_ < kMaxUsed)) {
      Below(3) == 0 ? AllocateSmall() : AllocateLarge();
    } else if (choice < 80) {
      Free();
    } else if (choice < 93) {
      Resize();
    } else if (choice < 96) {
      Move();
    } else {
      Release();
    }
    if (Below(10) == 0) {
      heap_.Tick();
      ++now_;
    }
    if (Below(30) == 0) ChangeModes();
    if (Below(10) == 0 && !blocks_.empty()) ReleaseInSpan();
    ASSERT_FALSE(HasFatalFailure()) << "step " << step;
    if (lost_track_) {
      ASSERT_NO_FATAL_FAILURE(FindTrack());
    }
    if (limit_ != 0) {
      // Records of a region stay, even if a request failed.
      ASSERT_LE(
          heap_.footprint_bytes(),
          std::max(limit_, footprint) + heap_.arena().used_bytes() - records);
    }
    ASSERT_NO_FATAL_FAILURE(Check()) << "step " << step;
  }
  for (const auto& [address, block] : blocks_) {
    ASSERT_TRUE(HasStamp(block.span, block.stamp));
  }
  heap_.set_hard_limit(0);
  while (!blocks_.empty()) ASSERT_NO_FATAL_FAILURE(Free());
  ExpectJoined();
}

INSTANTIATE_TEST_SUITE_P(Seeds, PageHeapRandomTest, testing::Range(1u, 9u));

}  // namespace
}  // namespace spanmalloc
