// What the tests of the page heap share: a heap on a scripted system, and
// blocks with contents.
#ifndef SPANMALLOC_TESTS_SUPPORT_PAGE_HEAP_FIXTURE_H_
#define SPANMALLOC_TESTS_SUPPORT_PAGE_HEAP_FIXTURE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "allocator/page/page_heap.h"
#include "tests/support/fake_system.h"

namespace spanmalloc {

// Two words of each page of 8 KiB, so that smaller system pages are touched.
inline constexpr size_t kStampedWords[] = {0, kPageSize / 8 - 1};

inline uint64_t* WordOf(const Span* span, size_t page, size_t word) {
  return static_cast<uint64_t*>(span->start()) + page * (kPageSize / 8) + word;
}

// Fills the block with something that no other block and page has.
inline void Stamp(const Span* span, uint64_t value) {
  for (size_t page = 0; page < span->length().pages(); ++page) {
    for (size_t word : kStampedWords) {
      *WordOf(span, page, word) = (value << 32) + page + 1;
    }
  }
}

// Are the first `n` pages as Stamp left them?
inline bool HasStamp(const Span* span, uint64_t value, Length n) {
  for (size_t page = 0; page < n.pages(); ++page) {
    for (size_t word : kStampedWords) {
      if (*WordOf(span, page, word) != (value << 32) + page + 1) return false;
    }
  }
  return true;
}
inline bool HasStamp(const Span* span, uint64_t value) {
  return HasStamp(span, value, span->length());
}

// Does everything read as zero that Stamp would write to?
inline bool IsZero(const Span* span) {
  for (size_t page = 0; page < span->length().pages(); ++page) {
    for (size_t word : kStampedWords) {
      if (*WordOf(span, page, word) != 0) return false;
    }
  }
  return true;
}

// A heap on a FakeSystem, which is alive before it and after it.
class PageHeapTest : public testing::Test {
 protected:
  static constexpr size_t kWindow = size_t{16} << 30;

  PageHeapTest() { heap_.Configure(kWindow, SIZE_MAX); }

  // A block; also checks that what is said to be zero is.
  Span* New(size_t pages, size_t alignment = kPageSize) {
    bool zeroed = false;
    return New(pages, alignment, &zeroed);
  }
  Span* New(size_t pages, size_t alignment, bool* zeroed) {
    DirtyPages dirty;
    Span* const span = heap_.NewLargeSpan(Length(pages), alignment, &dirty);
    if (span == nullptr) return nullptr;
    *zeroed = dirty.empty();
    EXPECT_EQ(span->state(), SpanState::kLarge);
    EXPECT_EQ(span->length(), Length(pages));
    EXPECT_EQ(span->address() % std::max(alignment, kPageSize), 0u);
    if (*zeroed) {
      EXPECT_TRUE(IsZero(span)) << "said to be zero";
    }
    return span;
  }
  void Delete(const Span* span) {
    EXPECT_TRUE(heap_.DeleteLargeSpan(span->address()));
  }

  // REQUIRES: nothing is in use. Expects that each region is free in one piece.
  void ExpectJoined() {
    heap_.CheckInvariants();
    ASSERT_EQ(heap_.stats().used, Length(0));
    std::vector<FakeSystem::Range> regions = system_.Regions();
    std::sort(regions.begin(), regions.end(),
              [](const auto& a, const auto& b) { return a.size > b.size; });
    const size_t calls = system_.calls(FakeSystem::kMap);
    std::vector<Span*> spans;
    for (const FakeSystem::Range& region : regions) {
      spans.push_back(New(region.size / kPageSize));
      ASSERT_NE(spans.back(), nullptr) << region.size;
    }
    EXPECT_EQ(system_.calls(FakeSystem::kMap), calls) << "a region fell apart";
    EXPECT_EQ(heap_.stats().free, Length(0));
    heap_.CheckInvariants();
    for (Span* span : spans) Delete(span);
  }

  FakeSystem system_;
  PageHeap heap_{&FakeSystem::memory()};
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_TESTS_SUPPORT_PAGE_HEAP_FIXTURE_H_
