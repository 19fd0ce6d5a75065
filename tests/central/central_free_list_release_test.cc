// Sweeps: memory in spans that are partly used goes back to the system.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <random>
#include <vector>

#include "allocator/os/system_info.h"
#include "tests/support/sweep_heap.h"

namespace spanmalloc {
namespace {

constexpr SweepHeap::Who kOwn = SweepHeap::kOwn;
constexpr SweepHeap::Who kGuest = SweepHeap::kGuest;
constexpr size_t kPart = Span::kReleaseUnit;

size_t ClassOf(size_t size) { return SweepHeap::ClassOfSizeExactly(size); }

// ---- Every class

class EveryClass : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(PageSizes, EveryClass,
                         testing::Values(4096, 16384, 65536));

TEST_P(EveryClass, FreePagesGoAndComeBack) {
  const size_t page_size = GetParam();
  for (size_t c = 1; c < kNumClasses; ++c) {
    SCOPED_TRACE(kSizeClasses[c].size);
    SweepHeap heap(c);
    const size_t capacity = heap.capacity();
    Objects objects = heap.Take(2 * capacity);
    Objects guests;
    if (heap.has_guests()) guests = heap.Take(2 * capacity, kGuest);
    // A few stay.
    std::mt19937 random(static_cast<unsigned>(c));
    const size_t keep =
        std::min<size_t>(page_size == 4096 ? 9 : 2, capacity / 3 + 1);
    std::shuffle(objects.begin(), objects.end(), random);
    std::shuffle(guests.begin(), guests.end(), random);
    heap.Put({objects.begin() + static_cast<ptrdiff_t>(keep), objects.end()});
    if (!guests.empty()) {
      heap.Put({guests.begin() + 3, guests.end()}, kGuest);
    }
    const size_t bytes = heap.ReleaseAll(page_size);
    EXPECT_EQ(bytes != 0, page_size < kSmallSpanSize);
    EXPECT_EQ(heap.released_in_spans(), bytes);
    EXPECT_EQ(heap.ReleaseAll(page_size), 0u) << "twice";
    // All of it serves again.
    const size_t spans = heap.list().stats().spans;
    heap.Take(spans * capacity - keep);
    if (!guests.empty()) heap.Take(spans * capacity - 3, kGuest);
    EXPECT_EQ(heap.list().stats().spans, spans);
    EXPECT_EQ(heap.released_in_spans(), 0u);
    heap.PutAll();
  }
}

// What is released is not resident, and nothing but handing it out changes
// that.
TEST(FreePages, AreTouchedByNobodyButTheNextOwner) {
  const size_t page_size = SystemPageSize();
  if (page_size >= kSmallSpanSize)
    GTEST_SKIP() << "no part of a span is a page";
  for (const size_t size : {4, 12, 48, 512, 1152, 4096, 9344}) {
    SCOPED_TRACE(size);
    SweepHeap heap(ClassOf(size));
    const Objects objects = heap.Take(heap.capacity());
    if (heap.has_guests()) heap.Put(heap.Take(heap.capacity(), kGuest), kGuest);
    const uintptr_t span = SweepHeap::AddressOf(objects.back());
    EXPECT_EQ(SweepHeap::ResidentBytes(span, kSmallSpanSize), kSmallSpanSize);
    // The lowest and the highest stay.
    heap.Put({objects.begin() + 1, objects.end() - 1});
    const size_t bytes = heap.ReleaseAll(page_size);
    EXPECT_GE(bytes, kSmallSpanSize / 2);
    EXPECT_EQ(SweepHeap::ResidentBytes(span, kSmallSpanSize),
              kSmallSpanSize - bytes);
    heap.Put({objects.front()});
    EXPECT_TRUE(heap.list().IsFree(objects[1]));
    EXPECT_FALSE(heap.list().IsFree(objects.back()));
    heap.Put({objects.back()});
    EXPECT_EQ(SweepHeap::ResidentBytes(span, kSmallSpanSize),
              kSmallSpanSize - bytes);
    EXPECT_EQ(heap.list().stats().spans, 1u);
    EXPECT_EQ(heap.released_in_spans(), bytes);
    // It leaves with its released parts.
    EXPECT_TRUE(heap.list().ReleaseEmptySpan());
    EXPECT_EQ(heap.released_in_spans(), 0u);
    EXPECT_EQ(SweepHeap::ResidentBytes(span, kSmallSpanSize),
              kSmallSpanSize - bytes);
    heap.Check();
  }
}

class FreePagesOfSize
    : public testing::TestWithParam<std::tuple<size_t, size_t>> {
 protected:
  const size_t page_size_ = std::get<1>(GetParam());
  SweepHeap heap_{ClassOf(std::get<0>(GetParam()))};
};
INSTANTIATE_TEST_SUITE_P(Sizes, FreePagesOfSize,
                         testing::Combine(testing::Values(8, 12, 24, 48, 576,
                                                          1152, 3072, 9344,
                                                          32768),
                                          testing::Values(4096, 16384)));

TEST_P(FreePagesOfSize, AgreeWithAModelOverRandomSteps) {
  std::mt19937 random(static_cast<unsigned>(heap_.info().size));
  const size_t most = std::max<size_t>(heap_.capacity() / 3, 2);
  size_t released = 0;
  for (int step = 0; step < 150; ++step) {
    const SweepHeap::Who who =
        heap_.has_guests() && random() % 3 == 0 ? kGuest : kOwn;
    const size_t n = random() % most + 1;
    if (heap_.out() < 8 * most && random() % 8 < (step / 25 % 2 ? 2u : 6u)) {
      EXPECT_EQ(heap_.Take(n, who).size(), n);
    } else {
      Objects objects = heap_.AllOut(who);
      if (random() % 2 == 0) {  // A stretch, so that pages become free.
        const size_t from = objects.empty() ? 0 : random() % objects.size();
        std::rotate(objects.begin(),
                    objects.begin() + static_cast<ptrdiff_t>(from),
                    objects.end());
      } else {
        std::shuffle(objects.begin(), objects.end(), random);
      }
      if (objects.size() > 2 * n) objects.resize(2 * n);
      heap_.Put(objects, who);
    }
    if (step % 3 == 0) {
      released += heap_.ReleaseAll(page_size_);
    } else if (step % 3 == 1) {
      released +=
          heap_.list().ReleaseFreePages(true, SIZE_MAX, page_size_).bytes;
      heap_.Check();
    }
    if (step % 40 == 0) heap_.list().ReleaseEmptySpan();
  }
  EXPECT_NE(released, 0u);
  heap_.PutAll();
  heap_.list().ReleaseEmptySpan();
  if (heap_.has_guests()) heap_.list(kGuest).ReleaseEmptySpan();
  EXPECT_EQ(heap_.page_heap().stats().used, Length(0));
  EXPECT_EQ(heap_.released_in_spans(), 0u);
}

// ---- What comes first

// A span of 128 objects, eight in each part.
class PartsOf512 : public testing::Test {
 protected:
  static constexpr size_t kEach = 8;
  PartsOf512() {
    objects_ = heap_.Take(heap_.capacity());
    std::sort(objects_.begin(), objects_.end());
  }
  Objects Part(size_t part, size_t n = kEach) const {
    const auto first = objects_.begin() + static_cast<ptrdiff_t>(part * kEach);
    return {first, first + static_cast<ptrdiff_t>(n)};
  }
  size_t ReleaseIdle(size_t max_bytes = SIZE_MAX) {
    const size_t bytes =
        heap_.list().ReleaseFreePages(true, max_bytes, kPart).bytes;
    heap_.Check();
    return bytes;
  }
  static Objects Sorted(Objects objects) {
    std::sort(objects.begin(), objects.end());
    return objects;
  }
  SweepHeap heap_{ClassOf(512)};
  Objects objects_;
};

TEST_F(PartsOf512, ObjectsOnReleasedPartsGoLast) {
  heap_.Put(Part(3));
  heap_.Put(Part(7));
  heap_.Put(Part(10, 2));
  EXPECT_EQ(heap_.ReleaseAll(kPart), 2 * kPart);
  EXPECT_EQ(Sorted(heap_.Take(2)), Part(10, 2));
  EXPECT_EQ(heap_.released_in_spans(), 2 * kPart);
  EXPECT_EQ(heap_.Take(1), Part(3, 1));
  EXPECT_EQ(heap_.released_in_spans(), kPart);
  heap_.Put(Part(10, 1));
  EXPECT_EQ(heap_.Take(8).size(), 8u);
  EXPECT_EQ(heap_.released_in_spans(), kPart);
  EXPECT_EQ(Sorted(heap_.Take(8)), Part(7));
  EXPECT_EQ(heap_.released_in_spans(), 0u);
}

TEST_F(PartsOf512, OneBatchMayTakeSeveral) {
  for (const size_t part : {1, 2, 5, 15}) heap_.Put(Part(part));
  EXPECT_EQ(heap_.ReleaseAll(kPart), 4 * kPart);
  EXPECT_EQ(heap_.Take(17).size(), 17u);
  EXPECT_EQ(heap_.released_in_spans(), kPart);
}

TEST_F(PartsOf512, APageOfSeveralPartsIsTakenAsAWhole) {
  for (size_t part = 4; part < 12; ++part) heap_.Put(Part(part));
  EXPECT_EQ(heap_.ReleaseAll(16384), 8 * kPart);
  EXPECT_EQ(heap_.Take(1), Part(4, 1));
  EXPECT_EQ(heap_.released_in_spans(), 4 * kPart);
}

// ---- What is idle

TEST_F(PartsOf512, OnlyIdleSpans) {
  heap_.Put(Part(3));
  EXPECT_TRUE(heap_.list().HasUnused());
  EXPECT_EQ(ReleaseIdle(), 0u) << "used since the last sweep";
  EXPECT_TRUE(heap_.list().HasUnused());
  heap_.Put(Part(4));
  EXPECT_EQ(ReleaseIdle(), 0u) << "something came home";
  EXPECT_EQ(heap_.Take(1), Part(3, 1));
  EXPECT_EQ(ReleaseIdle(), 0u) << "something went out";
  EXPECT_TRUE(heap_.list().HasUnused());
  EXPECT_EQ(ReleaseIdle(), kPart);
  heap_.list().ReleaseUnusedEmptySpan();
  EXPECT_FALSE(heap_.list().HasUnused());
  EXPECT_EQ(ReleaseIdle(), 0u);
  // What is left of part 3 is not a whole part.
  heap_.Put(Part(3, 1));
  EXPECT_TRUE(heap_.list().HasUnused());
  EXPECT_EQ(ReleaseIdle(), 0u);
  EXPECT_EQ(ReleaseIdle(), kPart);
  EXPECT_FALSE(ReleaseIdle() != 0 || heap_.list().ReleaseUnusedEmptySpan());
  EXPECT_FALSE(heap_.list().HasUnused());
}

TEST_F(PartsOf512, AllSpansWhateverTheirAge) {
  heap_.Put(Part(3));
  EXPECT_EQ(heap_.ReleaseAll(kPart), kPart);
  EXPECT_EQ(ReleaseIdle(), 0u);
}

TEST_F(PartsOf512, TheEmptySpanIsNotCutUp) {
  heap_.PutAll();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ReleaseIdle(), 0u);
  EXPECT_EQ(heap_.list().ReleaseFreePages(false, SIZE_MAX).bytes, 0u);
  EXPECT_FALSE(heap_.list().ReleaseUnusedEmptySpan()) << "used just now";
  EXPECT_TRUE(heap_.list().HasUnused());
  heap_.Put(heap_.Take(1));
  EXPECT_FALSE(heap_.list().ReleaseUnusedEmptySpan()) << "used again";
  EXPECT_TRUE(heap_.list().ReleaseUnusedEmptySpan());
  EXPECT_FALSE(heap_.list().ReleaseUnusedEmptySpan());
  EXPECT_EQ(heap_.list().stats().spans, 0u);
  ReleaseIdle();
  EXPECT_FALSE(heap_.list().HasUnused());
}

// ---- How much at a time

TEST(Sweep, GoesOnWhereItStopped) {
  SweepHeap heap(ClassOf(4096));
  constexpr size_t kSpans = 100;
  Objects objects = heap.Take(16 * kSpans);
  std::sort(objects.begin(), objects.end());
  for (size_t s = 0; s < kSpans; ++s) heap.Put({objects[16 * s + s % 16]});
  // One look at all makes them old; used again is what comes next.
  EXPECT_EQ(heap.list().ReleaseFreePages(true, 1, 4096).bytes, 0u);
  size_t bytes = 0;
  for (int call = 0;; ++call) {
    const SpanRelease release =
        heap.list().ReleaseFreePages(true, 2 * 4096, 4096);
    heap.Check();
    EXPECT_FALSE(release.refused);
    EXPECT_LE(release.bytes, 2 * 4096u);
    EXPECT_EQ(release.bytes, release.spans * 4096);
    bytes += release.bytes;
    if (release.bytes < 2 * 4096) break;
    EXPECT_TRUE(heap.list().HasUnused());
    // Not in this sweep any more, nor in the next.
    if (call == 10) heap.Put({objects[1]});
  }
  EXPECT_EQ(bytes, kSpans * 4096);
  EXPECT_EQ(heap.released_in_spans(), bytes);
  EXPECT_EQ(heap.list().ReleaseFreePages(true, SIZE_MAX, 4096).bytes, 0u);
  EXPECT_EQ(heap.list().ReleaseFreePages(true, SIZE_MAX, 4096).bytes, 4096u);
}

// Many more spans than are looked at under one hold of the lock.
TEST(Sweep, ReachesEverySpan) {
  SweepHeap heap(ClassOf(8192));
  constexpr size_t kSpans = 500;
  Objects objects = heap.Take(8 * kSpans);
  std::sort(objects.begin(), objects.end());
  Objects some;
  for (size_t s = 0; s < kSpans; ++s) {
    for (size_t i = 0; i < s % 8; ++i) some.push_back(objects[8 * s + i]);
  }
  heap.Put(some);
  heap.list().ReleaseFreePages(true, SIZE_MAX, 4096);
  EXPECT_EQ(heap.list().ReleaseFreePages(true, SIZE_MAX, 4096).bytes,
            some.size() * 8192);
  heap.Check();
}

// While pages of some spans are released, all that the sweep has yet to look at
// leave, and another class gets them.
TEST(Sweep, SpansAheadOfItMayLeave) {
  constexpr size_t kSpans = 60;
  SweepHeap heap(ClassOf(4096));
  CentralFreeList& other = heap.central().list(ClassOf(8192));
  Objects objects = heap.Take(16 * kSpans);
  std::sort(objects.begin(), objects.end());
  for (size_t s = 0; s < kSpans; ++s) heap.Put({objects[16 * s + s % 16]});
  Objects others(8 * kSpans), kept;
  heap.system().OnRelease([&] {
    if (!kept.empty()) return;
    Objects ahead;
    for (void* p : heap.AllOut()) {
      if (heap.SpanAt(SweepHeap::AddressOf(p))->free_count == 1) {
        ahead.push_back(p);
      }
    }
    EXPECT_GT(ahead.size(), 15 * kSpans / 2);
    // The last is the first to become empty, and kept: not the next one.
    std::reverse(ahead.begin(), ahead.end());
    heap.Put(ahead);
    ASSERT_EQ(other.RemoveRange(others.data(), others.size()), others.size());
    Objects freed;
    for (void* p : others) {
      memset(p, 0x5a, 8192);
      const bool low = SweepHeap::AddressOf(p) % kSmallSpanSize < 4 * 8192;
      (low ? kept : freed).push_back(p);
    }
    other.InsertRange(freed.data(), freed.size());
  });
  const SpanRelease release =
      heap.list().ReleaseFreePages(false, SIZE_MAX, 4096);
  heap.system().OnRelease(nullptr);
  EXPECT_EQ(release.bytes, release.spans * 4096);
  EXPECT_EQ(heap.out(), release.spans * 15);
  for (const void* p : kept) {
    const auto* const bytes = static_cast<const uint8_t*>(p);
    EXPECT_TRUE(std::all_of(bytes, bytes + 8192,
                            [](uint8_t byte) { return byte == 0x5a; }));
  }
  other.InsertRange(kept.data(), kept.size());
  heap.Check();
}

// ---- Guests

class PartsWithGuests : public testing::TestWithParam<size_t> {
 protected:
  PartsWithGuests() {
    hosts_ = heap_.Take(heap_.capacity());
    guests_ = heap_.Take(heap_.capacity(), kGuest);
    std::sort(hosts_.begin(), hosts_.end());
    std::sort(guests_.begin(), guests_.end());
  }
  const size_t each_ = kPart / kSizeClasses[ClassOf(GetParam())].stride;
  SweepHeap heap_{ClassOf(GetParam())};
  Objects hosts_, guests_;
};
INSTANTIATE_TEST_SUITE_P(HostSizes, PartsWithGuests, testing::Values(12, 24));

TEST_P(PartsWithGuests, KeepTheirPages) {
  heap_.Put({hosts_.begin(), hosts_.end() - 1});
  EXPECT_EQ(heap_.ReleaseAll(kPart), 0u);
  Objects all_but_two = guests_;
  all_but_two.erase(all_but_two.begin() + static_cast<ptrdiff_t>(5 * each_));
  all_but_two.erase(all_but_two.begin() +
                    static_cast<ptrdiff_t>(9 * each_ - 2));
  heap_.Put(all_but_two, kGuest);
  // The last host's part, and those two.
  EXPECT_EQ(heap_.ReleaseAll(kPart), 13 * kPart);
  // Of the backed parts there is room for this many guests.
  EXPECT_EQ(heap_.Take(3 * each_ - 2, kGuest).size(), 3 * each_ - 2);
  EXPECT_EQ(heap_.released_in_spans(), 13 * kPart);
  heap_.Take(1, kGuest);
  EXPECT_EQ(heap_.released_in_spans(), 12 * kPart);
  heap_.Take(3 * each_ + each_ - 1);
  EXPECT_EQ(heap_.released_in_spans(), 12 * kPart);
  heap_.Take(1);
  EXPECT_EQ(heap_.released_in_spans(), 11 * kPart);
  heap_.PutAll();
}

TEST_P(PartsWithGuests, UseOfOneIsUseOfTheSpan) {
  heap_.Put({hosts_.begin(), hosts_.begin() + static_cast<ptrdiff_t>(each_)});
  heap_.Put({guests_.begin(), guests_.begin() + static_cast<ptrdiff_t>(each_)},
            kGuest);
  EXPECT_EQ(heap_.list().ReleaseFreePages(true, SIZE_MAX, kPart).bytes, 0u);
  heap_.Put(heap_.Take(1, kGuest), kGuest);
  EXPECT_EQ(heap_.list().ReleaseFreePages(true, SIZE_MAX, kPart).bytes, 0u);
  EXPECT_EQ(heap_.list().ReleaseFreePages(true, SIZE_MAX, kPart).bytes, kPart);
  heap_.PutAll();
}

// ---- The system refuses

TEST_F(PartsOf512, RefusedAsAWhole) {
  heap_.Put(Part(3));
  heap_.Put(Part(8));
  heap_.system().Deny(FakeSystem::kRelease);
  SpanRelease release = heap_.list().ReleaseFreePages(false, SIZE_MAX, kPart);
  EXPECT_TRUE(release.refused);
  EXPECT_EQ(release.bytes, 0u);
  EXPECT_EQ(release.spans, 0u);
  EXPECT_EQ(heap_.released_in_spans(), 0u);
  EXPECT_TRUE(heap_.list().HasUnused());
  heap_.Check();
  heap_.system().Deny(FakeSystem::kRelease, false);
  EXPECT_EQ(heap_.ReleaseAll(kPart), 2 * kPart);
}

TEST_F(PartsOf512, RefusedInPart) {
  for (const size_t part : {3, 8, 12}) heap_.Put(Part(part));
  heap_.system().FailCall(2);
  SpanRelease release = heap_.list().ReleaseFreePages(false, SIZE_MAX, kPart);
  EXPECT_TRUE(release.refused);
  EXPECT_EQ(release.bytes, 2 * kPart);
  EXPECT_EQ(release.spans, 1u);
  EXPECT_TRUE(heap_.list().HasUnused());
  EXPECT_EQ(heap_.ReleaseAll(kPart), kPart);
  EXPECT_EQ(heap_.Take(24).size(), 24u);
}

// ---- In the midst of a sweep

TEST_F(PartsOf512, OthersHaveAllElseMeanwhile) {
  heap_.Put(Part(3));
  EXPECT_EQ(heap_.ReleaseAll(kPart), kPart);
  heap_.Put(Part(8));
  heap_.Put(Part(9, 5));
  size_t calls = 0;
  heap_.system().OnRelease([&] {
    ++calls;
    heap_.Check();
    EXPECT_EQ(heap_.list().stats().free_objects, 5u);
    EXPECT_EQ(Sorted(heap_.Take(5)), Part(9, 5));
    heap_.Check();
  });
  EXPECT_EQ(heap_.list().ReleaseFreePages(false, SIZE_MAX, kPart).bytes, kPart);
  heap_.system().OnRelease(nullptr);
  EXPECT_EQ(calls, 1u);
  EXPECT_EQ(heap_.released_in_spans(), 2 * kPart);
  heap_.Check();
  EXPECT_EQ(heap_.Take(16).size(), 16u);
  EXPECT_EQ(heap_.list().stats().spans, 1u);
}

TEST_F(PartsOf512, TheSpanCanNotLeaveMeanwhile) {
  // There is an empty span already.
  const Objects more = heap_.Take(heap_.capacity());
  heap_.Put(Part(3));
  heap_.system().OnRelease([&] {
    heap_.Put(more);
    Objects rest;
    for (size_t part = 0; part < 16; ++part) {
      if (part == 3) continue;
      const Objects some = Part(part);
      rest.insert(rest.end(), some.begin(), some.end());
    }
    heap_.Put(rest);
    EXPECT_EQ(heap_.list().stats().spans, 2u);
  });
  EXPECT_EQ(heap_.list().ReleaseFreePages(false, SIZE_MAX, kPart).bytes, kPart);
  heap_.system().OnRelease(nullptr);
  EXPECT_EQ(heap_.list().stats().spans, 1u);
  EXPECT_EQ(heap_.list().stats().free_objects, heap_.capacity());
  EXPECT_EQ(heap_.released_in_spans(), 0u) << "it left with its parts";
  heap_.Check();
}

// The parts that become free during the sweep are for the next ones.
TEST_F(PartsOf512, WhatComesHomeMeanwhileIsNotOld) {
  heap_.Put(Part(3));
  heap_.system().OnRelease([&] { heap_.Put(Part(4)); });
  EXPECT_EQ(heap_.list().ReleaseFreePages(false, SIZE_MAX, kPart).bytes, kPart);
  heap_.system().OnRelease(nullptr);
  EXPECT_TRUE(heap_.list().HasUnused());
  EXPECT_EQ(ReleaseIdle(), 0u);
  EXPECT_EQ(ReleaseIdle(), kPart);
}

// Two sweeps at a time, of which the second finds the first at work.
TEST_F(PartsOf512, TwoSweeps) {
  heap_.Put(Part(3));
  heap_.Put(Part(8));
  bool first = true;
  heap_.system().OnRelease([&] {
    if (!first) return;
    first = false;
    heap_.Put(Part(5));
    EXPECT_EQ(heap_.list().ReleaseFreePages(false, SIZE_MAX, kPart).bytes, 0u);
    EXPECT_EQ(heap_.list().ReleaseFreePages(true, SIZE_MAX, kPart).bytes, 0u);
  });
  EXPECT_EQ(heap_.list().ReleaseFreePages(false, SIZE_MAX, kPart).bytes,
            2 * kPart);
  heap_.Check();
  EXPECT_EQ(heap_.ReleaseAll(kPart), kPart);
}

// ---- Double frees

class ReleaseDeathTest : public PartsOf512 {
 protected:
  static std::string DoubleFreeOf(const void* p) {
    char text[100];
    std::snprintf(text, sizeof(text),
                  "^spanmalloc: double free of %p \\(512-byte class\\)\n", p);
    return text;
  }
  const testing::KilledBySignal aborts_{SIGABRT};
};

TEST_F(ReleaseDeathTest, DoubleFreeOnAReleasedPart) {
  heap_.Put(Part(3));
  EXPECT_EQ(heap_.ReleaseAll(kPart), kPart);
  void* const p = Part(3)[5];
  EXPECT_TRUE(heap_.list().IsFree(p));
  EXPECT_EXIT(heap_.list().InsertRange(&p, 1), aborts_, DoubleFreeOf(p));
}

TEST_F(ReleaseDeathTest, DoubleFreeDuringASweep) {
  heap_.Put(Part(3));
  void* const p = Part(3)[5];
  heap_.system().OnRelease([&] {
    if (!heap_.list().IsFree(p)) heap_.list().InsertRange(&p, 1);
  });
  EXPECT_EXIT(heap_.list().ReleaseFreePages(false, SIZE_MAX, kPart), aborts_,
              DoubleFreeOf(p));
}

}  // namespace
}  // namespace spanmalloc
