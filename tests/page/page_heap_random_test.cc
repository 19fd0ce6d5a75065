// Random steps on the page heap against a map of its pages: which are used,
// and which of the free ones are dirty.

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

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
    }
    used_ += pages;
    return fresh;
  }
  void Unuse(PageId first, size_t pages) {
    for (size_t i = 0; i < pages; ++i) dirty_.insert(first.index() + i);
    used_ -= pages;
  }
  void NoteReleased() {
    for (const FakeSystem::Range& range : system_.TakeReleased()) {
      dirty_.erase(
          dirty_.lower_bound(range.start >> kPageShift),
          dirty_.lower_bound((range.start + range.size) >> kPageShift));
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
    ASSERT_NE(span, nullptr);
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
    ASSERT_NE(span, nullptr);
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
    if (!resized) return;
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
      // The place that was taken in vain is dirty now.
      lost_track_ = system_.calls(FakeSystem::kMove) != attempts;
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
    const bool denied = Below(8) == 0;
    system_.Deny(FakeSystem::kRelease, denied);
    const size_t wanted = Below(4) == 0 ? SIZE_MAX : Below(4 << 20);
    const size_t dirty = dirty_.size();
    const size_t released = heap_.ReleaseAtLeast(wanted);
    system_.Deny(FakeSystem::kRelease, false);
    NoteReleased();
    if (denied) {
      ASSERT_EQ(released, 0u);
      lost_track_ = true;  // Empty huge pages were dirtied as a whole.
      return;
    }
    if (SystemPageSize() > kPageSize) return;  // Not all can be released.
    ASSERT_EQ(released, (dirty - dirty_.size()) * kPageSize);
    ASSERT_TRUE(released >= wanted || dirty_.empty());
  }

  void Check() {
    heap_.CheckInvariants();
    const PageHeapStats stats = heap_.stats();
    ASSERT_EQ(stats.used.pages(), used_);
    ASSERT_EQ(stats.mapped, stats.used + stats.free);
    ASSERT_EQ((stats.free - stats.fresh).pages(), dirty_.size());
    size_t mapped = 0;
    for (const auto& region : system_.Regions()) mapped += region.size;
    ASSERT_EQ(stats.mapped.bytes(), mapped);
  }

  std::mt19937_64 random_{GetParam()};
  std::map<uintptr_t, Block> blocks_;
  std::set<uintptr_t> dirty_;  // Indexes of free pages that are not fresh.
  size_t used_ = 0;
  uint64_t stamps_ = 0;
  bool lost_track_ = false;
};

TEST_P(PageHeapRandomTest, Steps) {
  for (int step = 0; step < 1500; ++step) {
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
    ASSERT_FALSE(HasFatalFailure()) << "step " << step;
    if (lost_track_) {
      // Some fresh pages count as dirty now, and only the heap knows which.
      lost_track_ = false;
      heap_.ReleaseAtLeast(SIZE_MAX);
      NoteReleased();
      dirty_.clear();
      if (heap_.stats().free != heap_.stats().fresh) break;
    }
    ASSERT_NO_FATAL_FAILURE(Check()) << "step " << step;
  }
  for (const auto& [address, block] : blocks_) {
    ASSERT_TRUE(HasStamp(block.span, block.stamp));
  }
  while (!blocks_.empty()) ASSERT_NO_FATAL_FAILURE(Free());
  ExpectJoined();
}

INSTANTIATE_TEST_SUITE_P(Seeds, PageHeapRandomTest, testing::Range(1u, 5u));

}  // namespace
}  // namespace spanmalloc
