// Released parts that may not be used again because of the hard limit.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/sweep_heap.h"

namespace spanmalloc {
namespace {

constexpr SweepHeap::Who kGuest = SweepHeap::kGuest;
constexpr size_t kPart = Span::kReleaseUnit;

class LimitedHeap : public SweepHeap {
 public:
  using SweepHeap::SweepHeap;
  // Leaves room for so many parts and nothing else.
  void LeaveRoomFor(size_t parts) {
    const PageHeapStats stats = page_heap().stats();
    page_heap().set_hard_limit(stats.used.bytes() - stats.released_in_spans +
                               page_heap().arena().used_bytes() +
                               parts * kPart);
  }
  void LeaveAllRoom() { page_heap().set_hard_limit(0); }
};

Objects Sorted(Objects objects) {
  std::sort(objects.begin(), objects.end());
  return objects;
}
Objects Slice(const Objects& sorted, size_t from, size_t count) {
  const auto first = sorted.begin() + static_cast<ptrdiff_t>(from);
  return {first, first + static_cast<ptrdiff_t>(count)};
}

// Spans of 128 objects, eight in each part.
class ReleaseLimit : public testing::Test {
 protected:
  static constexpr size_t kEach = 8;
  LimitedHeap heap_{SweepHeap::ClassOfSizeExactly(512)};
  const Objects first_ = Sorted(heap_.Take(128));
};

TEST_F(ReleaseLimit, WhatIsBackedMayBeHad) {
  heap_.Put(Slice(first_, 3 * kEach, kEach));
  heap_.Put(Slice(first_, 7 * kEach, kEach));
  heap_.Put(Slice(first_, 10 * kEach, 2));
  EXPECT_EQ(heap_.ReleaseAll(kPart), 2 * kPart);
  heap_.LeaveRoomFor(0);
  EXPECT_EQ(Sorted(heap_.Take(5)), Slice(first_, 10 * kEach, 2));
  EXPECT_TRUE(heap_.Take(1).empty());
  EXPECT_TRUE(heap_.Take(20).empty());
  EXPECT_EQ(heap_.released_in_spans(), 2 * kPart);
  EXPECT_EQ(heap_.list().stats().free_objects, 2 * kEach);
  heap_.Put(Slice(first_, 0, 1));
  EXPECT_EQ(heap_.Take(20), Slice(first_, 0, 1));
  // For one of two parts that the batch would need.
  heap_.LeaveRoomFor(1);
  EXPECT_EQ(Sorted(heap_.Take(10)), Slice(first_, 3 * kEach, kEach));
  EXPECT_EQ(heap_.released_in_spans(), kPart);
  heap_.LeaveAllRoom();
  EXPECT_EQ(heap_.Take(kEach).size(), kEach);
  EXPECT_EQ(heap_.list().stats().spans, 1u);
  heap_.PutAll();
}

TEST_F(ReleaseLimit, OtherSpansServe) {
  const Objects second = Sorted(heap_.Take(128));
  const Objects third = Sorted(heap_.Take(128));
  heap_.Put(Slice(second, 0, kEach));
  EXPECT_EQ(heap_.ReleaseAll(kPart), kPart);
  // The one with the released part stays the fullest.
  Objects some;
  for (size_t part = 0; part < 3; ++part) {
    for (const Objects* span : {&first_, &third}) {
      const Objects slice = Slice(*span, part * kEach, kEach - 1);
      some.insert(some.end(), slice.begin(), slice.end());
    }
  }
  heap_.Put(some);
  heap_.LeaveRoomFor(0);
  EXPECT_EQ(Sorted(heap_.Take(some.size() + 3)), Sorted(some));
  EXPECT_TRUE(heap_.Take(3).empty());
  heap_.LeaveAllRoom();
  EXPECT_EQ(Sorted(heap_.Take(kEach)), Slice(second, 0, kEach));
  heap_.PutAll();
}

// An object in several parts needs all of them.
TEST(ReleaseLimitOfLargeObjects, AllPartsOrNone) {
  LimitedHeap heap(SweepHeap::ClassOfSizeExactly(16384));
  const Objects objects = Sorted(heap.Take(4));
  heap.Put(Slice(objects, 1, 2));
  EXPECT_EQ(heap.ReleaseAll(kPart), 8 * kPart);
  heap.LeaveRoomFor(3);
  EXPECT_TRUE(heap.Take(2).empty());
  EXPECT_EQ(heap.released_in_spans(), 8 * kPart);
  heap.LeaveRoomFor(7);
  EXPECT_EQ(heap.Take(2), Slice(objects, 1, 1));
  EXPECT_EQ(heap.released_in_spans(), 4 * kPart);
  heap.LeaveAllRoom();
  heap.PutAll();
}

class ReleaseLimitOfGuests : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(HostSizes, ReleaseLimitOfGuests,
                         testing::Values(12, 24));

TEST_P(ReleaseLimitOfGuests, GuestsOnBackedPartsServe) {
  LimitedHeap heap(SweepHeap::ClassOfSizeExactly(GetParam()));
  const size_t capacity = heap.capacity();
  const size_t each = capacity / kPartsPerSpan;
  const Objects hosts = Sorted(heap.Take(2 * capacity));
  const Objects guests = Sorted(heap.Take(2 * capacity, kGuest));
  // In the first span, the lower half is free; in the second, which comes after
  // it, an object and a few guests.
  heap.Put(Slice(hosts, 0, 8 * each));
  heap.Put(Slice(guests, 0, 8 * each), kGuest);
  EXPECT_EQ(heap.ReleaseAll(kPart), 8 * kPart);
  heap.Put(Slice(hosts, capacity + 20, 1));
  heap.Put(Slice(guests, capacity + 5, 9), kGuest);
  heap.LeaveRoomFor(0);
  EXPECT_EQ(Sorted(heap.Take(20, kGuest)), Slice(guests, capacity + 5, 9));
  EXPECT_EQ(heap.Take(9), Slice(hosts, capacity + 20, 1));
  EXPECT_TRUE(heap.Take(1, kGuest).empty());
  EXPECT_TRUE(heap.Take(1).empty());
  EXPECT_EQ(heap.released_in_spans(), 8 * kPart);
  // What a guest has made room for serves its host, too.
  heap.LeaveRoomFor(1);
  EXPECT_EQ(heap.Take(each + 1, kGuest).size(), each);
  EXPECT_EQ(heap.Take(each + 1).size(), each);
  EXPECT_EQ(heap.released_in_spans(), 7 * kPart);
  heap.LeaveAllRoom();
  heap.PutAll();
}

}  // namespace
}  // namespace spanmalloc
