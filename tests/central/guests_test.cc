// Guests: objects that live in the slack of another class's objects
// (size_classes.h), in CentralFreeList.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "tests/support/guest_heap.h"

namespace spanmalloc {
namespace {

constexpr GuestHeap::Who kHost = GuestHeap::kHost;
constexpr GuestHeap::Who kGuest = GuestHeap::kGuest;

class Guests : public testing::TestWithParam<size_t> {
 protected:
  GuestHeap heap_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(HostSizes, Guests, testing::Values(12, 24));

TEST_P(Guests, FillTheSlackExactly) {
  const SizeClass& host = heap_.info(kHost);
  EXPECT_EQ(host.size + heap_.info(kGuest).size, host.stride);
  const Objects hosts = heap_.Take(kHost, heap_.capacity());
  const Objects guests = heap_.Take(kGuest, heap_.capacity());
  ASSERT_EQ(guests.size(), hosts.size());
  for (size_t i = 0; i < hosts.size(); ++i) {
    EXPECT_EQ(AddressOf(guests[i]), AddressOf(hosts[i]) + host.size);
  }
  EXPECT_EQ(heap_.used_spans(), 1u);
}

TEST_P(Guests, ComeBeforeASpanOfTheirOwn) {
  heap_.Take(kHost, 1);
  for (const void* p : heap_.Take(kGuest, heap_.capacity() - 3)) {
    EXPECT_TRUE(heap_.IsGuest(p));
  }
  EXPECT_EQ(heap_.spans(kGuest), 0u);
  // Three more from the slack, the others from a new span.
  const Objects both = heap_.Take(kGuest, 10);
  EXPECT_EQ(both.size(), 10u);
  EXPECT_EQ(heap_.guests_out(), heap_.capacity());
  EXPECT_EQ(heap_.spans(kGuest), 1u);
  // New slack comes first again.
  heap_.Take(kHost, heap_.capacity());
  EXPECT_TRUE(heap_.IsGuest(heap_.Take(kGuest, 1)[0]));
  heap_.PutAll(kGuest);
  heap_.PutAll(kHost);
  heap_.central().CheckInvariants();
}

TEST_P(Guests, WithoutAHostTheyAreObjectsAsAny) {
  for (const void* p : heap_.Take(kGuest, 100)) {
    EXPECT_FALSE(heap_.IsGuest(p));
  }
  EXPECT_EQ(heap_.spans(kHost), 0u);
  // Then a host comes, and each object still finds home.
  const Objects host = heap_.Take(kHost, 1);
  heap_.Take(kGuest, 100);
  EXPECT_EQ(heap_.guests_out(), 100u);
  heap_.PutAll(kGuest);
  EXPECT_EQ(heap_.list(kHost).stats().free_guests, heap_.capacity());
  EXPECT_EQ(heap_.list(kGuest).stats().free_objects,
            heap_.info(kGuest).capacity);
}

TEST_P(Guests, LeaveASpanInTheOrderOfOtherObjects) {
  heap_.Take(kHost, 1);
  const Objects all = heap_.Take(kGuest, heap_.capacity());
  EXPECT_TRUE(std::is_sorted(all.rbegin(), all.rend()));
  Objects some;
  for (size_t i = 0; i < all.size(); i += 3) some.push_back(all[i]);
  std::shuffle(some.begin(), some.end(), std::mt19937(7));
  heap_.Put(kGuest, some);
  std::sort(some.rbegin(), some.rend());
  EXPECT_EQ(heap_.Take(kGuest, some.size()), some);
}

// More than are sorted at a time, and in an order that mixes both homes.
TEST_P(Guests, OneBatchGoesToBothHomes) {
  heap_.Take(kHost, 1);
  Objects batch = heap_.Take(kGuest, heap_.capacity() + 2000);
  std::shuffle(batch.begin(), batch.end(), std::mt19937(11));
  heap_.Put(kGuest, {batch.begin(), batch.begin() + 1500});
  heap_.Put(kGuest, {batch.begin() + 1500, batch.end()});
  EXPECT_EQ(heap_.list(kHost).stats().free_guests, heap_.capacity());
}

TEST_P(Guests, EachGoesHomeByItself) {
  heap_.Take(kHost, 1);
  const Objects guests = heap_.Take(kGuest, heap_.capacity());
  std::mt19937 random(13);
  for (int i = 0; i < 300; ++i) {
    void* const p = guests[random() % guests.size()];
    EXPECT_FALSE(heap_.list(kGuest).IsFree(p));
    heap_.Put(kGuest, {p});
    EXPECT_TRUE(heap_.list(kGuest).IsFree(p));
    EXPECT_EQ(heap_.Take(kGuest, 1), Objects{p});
  }
}

// Three spans, each with one guest in it.
struct ThreeSpans {
  explicit ThreeSpans(GuestHeap* heap) {
    const size_t n = heap->capacity();
    hosts = heap->Take(kHost, 3 * n);
    const Objects guests = heap->Take(kGuest, 3 * n);
    Objects others;
    std::set<uintptr_t> seen;
    for (void* p : guests) {
      (seen.insert(SpanOf(p)).second ? kept : others).push_back(p);
    }
    EXPECT_EQ(kept.size(), 3u);
    heap->Put(kGuest, others);
  }
  Objects hosts;
  Objects kept;
};

TEST_P(Guests, ASpanStaysUntilTheLastGuestIsHome) {
  const ThreeSpans three(&heap_);
  heap_.Put(kHost, three.hosts);
  EXPECT_EQ(heap_.used_spans(), 3u) << "guests live in all three";
  heap_.list(kHost).ReleaseEmptySpan();
  EXPECT_EQ(heap_.used_spans(), 3u);
  heap_.Put(kGuest, {three.kept[0]});
  EXPECT_EQ(heap_.used_spans(), 3u) << "the first empty one is kept";
  heap_.Put(kGuest, {three.kept[1]});
  EXPECT_EQ(heap_.used_spans(), 2u);
  heap_.list(kHost).ReleaseEmptySpan();
  EXPECT_EQ(heap_.used_spans(), 1u);
  EXPECT_FALSE(heap_.list(kGuest).IsFree(three.kept[2]));
  heap_.Put(kGuest, {three.kept[2]});
  EXPECT_EQ(heap_.used_spans(), 1u);
  heap_.list(kHost).ReleaseEmptySpan();
  EXPECT_EQ(heap_.used_spans(), 0u);
  heap_.Check();
  heap_.central().CheckInvariants();
}

TEST_P(Guests, ASpanStaysUntilTheLastObjectIsHome) {
  const ThreeSpans three(&heap_);
  Objects last;
  for (const void* guest : three.kept) {
    Objects mine = GuestHeap::In(SpanOf(guest), three.hosts);
    last.push_back(mine.back());
    mine.pop_back();
    heap_.Put(kHost, mine);
  }
  heap_.Put(kGuest, three.kept);
  EXPECT_EQ(heap_.used_spans(), 3u) << "an object lives in each";
  heap_.list(kHost).ReleaseEmptySpan();
  EXPECT_EQ(heap_.used_spans(), 3u);
  heap_.Put(kHost, {last[0]});
  EXPECT_EQ(heap_.used_spans(), 3u);
  heap_.Put(kHost, {last[1]});
  EXPECT_EQ(heap_.used_spans(), 2u);
  heap_.Put(kHost, {last[2]});
  EXPECT_EQ(heap_.used_spans(), 1u);
  heap_.list(kHost).ReleaseEmptySpan();
  EXPECT_EQ(heap_.used_spans(), 0u);
  heap_.Check();
  heap_.central().CheckInvariants();
}

// All at once, in batches that go through spans in any order.
TEST_P(Guests, OneEmptySpanIsKept) {
  for (const bool guests_first : {true, false}) {
    heap_.Take(kHost, 4 * heap_.capacity());
    heap_.Take(kGuest, 4 * heap_.capacity());
    EXPECT_EQ(heap_.used_spans(), 4u);
    heap_.PutAll(guests_first ? kGuest : kHost);
    EXPECT_EQ(heap_.used_spans(), 4u);
    heap_.PutAll(guests_first ? kHost : kGuest);
    EXPECT_EQ(heap_.used_spans(), 1u);
  }
}

// The one that was kept is empty no more when a guest moves in.
TEST_P(Guests, MoveIntoTheSpanThatIsKept) {
  const Objects host = heap_.Take(kHost, 1);
  heap_.Put(kHost, host);
  const Objects guest = heap_.Take(kGuest, 1);
  EXPECT_TRUE(heap_.IsGuest(guest[0]));
  heap_.list(kHost).ReleaseEmptySpan();
  EXPECT_EQ(heap_.used_spans(), 1u);
  // A second span becomes empty, and is kept beside it.
  const Objects hosts = heap_.Take(kHost, heap_.capacity() + 1);
  EXPECT_EQ(heap_.spans(kHost), 2u);
  const uintptr_t second = SpanOf(hosts[0]) != SpanOf(guest[0])
                               ? SpanOf(hosts[0])
                               : SpanOf(hosts.back());
  heap_.Put(kHost, GuestHeap::In(second, hosts));
  EXPECT_EQ(heap_.spans(kHost), 2u);
  heap_.Put(kHost, GuestHeap::In(SpanOf(guest[0]), hosts));
  EXPECT_EQ(heap_.spans(kHost), 2u);
  heap_.Put(kGuest, guest);
  EXPECT_EQ(heap_.spans(kHost), 1u);
}

// The span that is released is the empty one, not one whose objects are all
// home while guests are in it.
TEST_P(Guests, ReleaseLeavesSpansWithGuestsAlone) {
  const ThreeSpans three(&heap_);
  heap_.Put(kHost, three.hosts);
  heap_.Put(kGuest, {three.kept[1]});
  heap_.list(kHost).ReleaseEmptySpan();
  EXPECT_EQ(heap_.used_spans(), 2u);
  EXPECT_FALSE(heap_.list(kGuest).IsFree(three.kept[0]));
  EXPECT_FALSE(heap_.list(kGuest).IsFree(three.kept[2]));
  heap_.PutAll(kGuest);
}

TEST_P(Guests, RecordsOfGoneSpansAreUsedAgain) {
  size_t records = 0;
  for (int round = 0; round < 5; ++round) {
    heap_.Take(kHost, 3 * heap_.capacity());
    heap_.Take(kGuest, 3 * heap_.capacity());
    heap_.PutAll(kHost);
    heap_.PutAll(kGuest);
    heap_.list(kHost).ReleaseEmptySpan();
    const size_t now = heap_.page_heap().arena().used_bytes();
    if (round > 0) {
      EXPECT_EQ(now, records);
    }
    records = now;
  }
}

// A span that was a host's serves others afterwards: nothing of its guests is
// left, and a host that comes back has all of its slack.
TEST_P(Guests, PagesOfAGoneHostServeOthers) {
  for (int round = 0; round < 3; ++round) {
    heap_.Take(kHost, 1);
    heap_.Take(kGuest, 100);
    heap_.PutAll(kGuest);
    heap_.PutAll(kHost);
    heap_.list(kHost).ReleaseEmptySpan();
    // As small objects of another class, and as large blocks.
    CentralFreeList& other = heap_.central().list(ClassOfSizeExactly(96));
    void* p = nullptr;
    ASSERT_EQ(other.RemoveRange(&p, 1), 1u);
    other.CheckInvariants();
    other.InsertRange(&p, 1);
    other.ReleaseEmptySpan();
    std::vector<Span*> large;
    for (int i = 0; i < 4; ++i) {
      large.push_back(
          heap_.page_heap().NewLargeSpan(Length(5), kPageSize, nullptr));
      ASSERT_NE(large.back(), nullptr);
    }
    heap_.page_heap().CheckInvariants();
    for (Span* span : large) {
      EXPECT_TRUE(heap_.page_heap().DeleteLargeSpan(span->address()));
    }
    heap_.central().CheckInvariants();
  }
}

TEST_P(Guests, AgreeWithAModelOverRandomSteps) {
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  const size_t most = heap_.capacity() / 2;
  for (int step = 0; step < 600; ++step) {
    // Phases of growth and of decline, of either class by itself.
    const GuestHeap::Who who = random() % 2 == 0 ? kHost : kGuest;
    const int phase = step / 50 % 4;
    const bool grows = phase == (who == kHost ? 0 : 1) || phase == 2;
    const size_t n = random() % most + 1;
    if (random() % 8 < (grows ? 6u : 2u)) {
      EXPECT_EQ(heap_.Take(who, n).size(), n);
    } else {
      Objects objects(heap_.out(who).begin(), heap_.out(who).end());
      // From one end of the heap, or from anywhere.
      if (random() % 2 == 0) {
        std::shuffle(objects.begin(), objects.end(), random);
      }
      if (objects.size() > n) objects.resize(n);
      heap_.Put(who, objects);
    }
    if (step % 20 == 0) heap_.list(kHost).ReleaseEmptySpan();
    if (step % 30 == 0) heap_.list(kGuest).ReleaseEmptySpan();
    heap_.Check();
    for (const GuestHeap::Who of : {kHost, kGuest}) {
      if (!heap_.out(of).empty()) {
        EXPECT_FALSE(heap_.list(of).IsFree(*heap_.out(of).begin()));
      }
    }
  }
  heap_.PutAll(kGuest);
  heap_.PutAll(kHost);
  EXPECT_EQ(heap_.spans(kHost), 1u);
  heap_.central().CheckInvariants();
}

}  // namespace
}  // namespace spanmalloc
