// Guests: objects that live in the slack of another class's objects
// (size_classes.h), in CentralFreeList.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "allocator/central/central_free_list.h"
#include "allocator/central/central_heap.h"
#include "tests/support/fake_system.h"
#include "tests/support/live_bytes.h"

namespace spanmalloc {
namespace {

using Objects = std::vector<void*>;

uintptr_t AddressOf(const void* p) { return reinterpret_cast<uintptr_t>(p); }
uintptr_t SpanOf(const void* p) { return AddressOf(p) / kSmallSpanSize; }

size_t ClassOfSizeExactly(size_t size) {
  size_t c = 1;
  while (kClassSizes[c] != size) ++c;
  return c;
}

// A host class and the class of its guests, on a page heap of their own. What
// is taken and put is checked against all that is out, and the books of both
// classes after every step.
class Heap {
 public:
  enum Who { kHost, kGuest };

  explicit Heap(size_t host_size)
      : classes_{ClassOfSizeExactly(host_size),
                 kSizeClasses[ClassOfSizeExactly(host_size)].guest},
        central_(std::make_unique<CentralHeap>(&FakeSystem::memory())) {
    EXPECT_NE(classes_[kGuest], 0u);
  }

  FakeSystem& system() { return system_; }
  PageHeap& page_heap() { return central_->page_heap(); }
  CentralHeap& central() { return *central_; }
  const SizeClass& info(Who who) const { return kSizeClasses[classes_[who]]; }
  CentralFreeList& list(Who who) { return central_->list(classes_[who]); }
  size_t capacity() const { return info(kHost).capacity; }
  const std::set<void*>& out(Who who) const { return out_[who]; }
  size_t spans(Who who) { return list(who).stats().spans; }
  // Those of the two classes.
  size_t used_spans() {
    return page_heap().stats().used.pages() / kPagesPerSmallSpan - strangers_;
  }
  // How many of the guest class's objects in use are in slack.
  size_t guests_out() const { return guests_out_; }
  bool IsGuest(const void* p) const {
    const Span* const span =
        central_->page_heap().pagemap().SmallSpanOf(AddressOf(p));
    return span != nullptr && span->tag() == TagOfClass(classes_[kHost]);
  }

  // As many of `n` objects as there are, in the order of the batch.
  Objects Take(Who who, size_t n) {
    Objects batch(n);
    batch.resize(list(who).RemoveRange(batch.data(), n));
    for (void* object : batch) {
      const auto offset =
          static_cast<uint32_t>(AddressOf(object) % kSmallSpanSize);
      EXPECT_TRUE(who == kGuest && IsGuest(object)
                      ? info(kHost).StartsGuest(offset)
                      : info(who).StartsObject(offset))
          << object;
      EXPECT_TRUE(live_.Add(object, info(who).size))
          << object << " overlaps another";
      EXPECT_TRUE(out_[who].insert(object).second);
      guests_out_ += who == kGuest && IsGuest(object);
    }
    Check();
    return batch;
  }
  void Put(Who who, const Objects& batch) {
    for (void* object : batch) {
      EXPECT_EQ(out_[who].erase(object), 1u);
      guests_out_ -= who == kGuest && IsGuest(object);
      EXPECT_TRUE(live_.Remove(object, info(who).size));
    }
    list(who).InsertRange(batch.data(), batch.size());
    Check();
  }
  void PutAll(Who who) {
    Put(who, Objects(out_[who].begin(), out_[who].end()));
  }
  // Lets somebody else have every span's worth of pages that there is.
  void TakeAllPages() {
    while (page_heap().NewLargeSpan(Length(kPagesPerSmallSpan), kPageSize,
                                    nullptr) != nullptr) {
    }
    NoteStrangers();
  }
  // Lets somebody else have all of the arena, and what it can be given.
  void TakeAllRecords() {
    const size_t size = info(kHost).words * 2 * sizeof(uint64_t);
    while (page_heap().AllocateRecord(size, RecordKind::kSpans) != nullptr) {
    }
    NoteStrangers();
  }
  // What is in use now and not by the two classes is not theirs.
  void NoteStrangers() {
    strangers_ = 0;
    strangers_ = used_spans() - spans(kHost) - spans(kGuest);
  }
  // Those of the batch that lie in `span`.
  static Objects In(uintptr_t span, const Objects& batch) {
    Objects some;
    std::copy_if(batch.begin(), batch.end(), std::back_inserter(some),
                 [span](const void* p) { return SpanOf(p) == span; });
    return some;
  }

  // Each object is where the lists say it is.
  void Check() {
    for (const Who who : {kHost, kGuest}) list(who).CheckInvariants();
    const CentralFreeListStats host = list(kHost).stats();
    const CentralFreeListStats guest = list(kGuest).stats();
    EXPECT_EQ(host.spans * capacity(), host.free_objects + out_[kHost].size());
    EXPECT_EQ(host.spans * capacity(), host.free_guests + guests_out_);
    EXPECT_EQ(guest.spans * info(kGuest).capacity,
              guest.free_objects + out_[kGuest].size() - guests_out_);
    EXPECT_EQ(guest.free_guests, 0u);
    EXPECT_EQ(host.spans + guest.spans, used_spans());
  }

 private:
  FakeSystem system_;
  LiveBytes live_;
  const size_t classes_[2];
  const std::unique_ptr<CentralHeap> central_;
  std::set<void*> out_[2];
  size_t guests_out_ = 0;
  size_t strangers_ = 0;
};

constexpr Heap::Who kHost = Heap::kHost, kGuest = Heap::kGuest;

class Guests : public testing::TestWithParam<size_t> {
 protected:
  Heap heap_{GetParam()};
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
  explicit ThreeSpans(Heap* heap) {
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
    Objects mine = Heap::In(SpanOf(guest), three.hosts);
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
  heap_.Put(kHost, Heap::In(second, hosts));
  EXPECT_EQ(heap_.spans(kHost), 2u);
  heap_.Put(kHost, Heap::In(SpanOf(guest[0]), hosts));
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
    const Heap::Who who = random() % 2 == 0 ? kHost : kGuest;
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
    for (const Heap::Who of : {kHost, kGuest}) {
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

// ---- Without memory

TEST_P(Guests, AreThereWithoutMemory) {
  heap_.Take(kHost, 1);
  heap_.system().FailFrom(1);
  // Somebody else takes all pages that are mapped already.
  heap_.TakeAllPages();
  EXPECT_EQ(heap_.Take(kGuest, heap_.capacity()).size(), heap_.capacity());
  EXPECT_EQ(heap_.Take(kHost, heap_.capacity()).size(), heap_.capacity() - 1);
  EXPECT_TRUE(heap_.Take(kGuest, 1).empty());
  heap_.PutAll(kHost);
  heap_.PutAll(kGuest);
  heap_.system().FailNothing();
  heap_.central().CheckInvariants();
}

// There is a span, but no memory for its bits: the span goes back.
TEST_P(Guests, NoMemoryForTheirBits) {
  const Objects host = heap_.Take(kHost, 1);
  Span* const last = heap_.page_heap().NewLargeSpan(Length(kPagesPerSmallSpan),
                                                    kSmallSpanSize, nullptr);
  ASSERT_NE(last, nullptr);
  heap_.system().FailFrom(1);
  heap_.TakeAllRecords();
  EXPECT_TRUE(heap_.page_heap().DeleteLargeSpan(last->address()));
  heap_.NoteStrangers();
  EXPECT_EQ(heap_.Take(kHost, heap_.capacity() + 1).size(),
            heap_.capacity() - 1);
  EXPECT_EQ(heap_.Take(kGuest, heap_.capacity() + 1).size(), heap_.capacity());
  EXPECT_EQ(heap_.page_heap().stats().free, Length(kPagesPerSmallSpan));
  heap_.system().FailNothing();
  EXPECT_EQ(heap_.Take(kHost, 1).size(), 1u);
  EXPECT_TRUE(heap_.IsGuest(heap_.Take(kGuest, 1)[0]));
  heap_.PutAll(kGuest);
  heap_.PutAll(kHost);
  heap_.central().CheckInvariants();
}

// The bitmaps of hosts come from the arena, which is refused memory at every
// possible point.
TEST(GuestsFailure, AnyCallToTheSystemMayFail) {
  for (size_t n = 0;; ++n) {
    Heap heap(n % 2 == 0 ? 12 : 24);
    heap.system().FailCall(n / 2 + 1);
    const size_t want = 34 * heap.capacity();  // Two huge pages.
    size_t hosts = heap.Take(kHost, want).size();
    const size_t guests = heap.Take(kGuest, want + 1000).size();
    if (heap.system().failures() == 0) {
      EXPECT_EQ(hosts, want);
      EXPECT_EQ(guests, want + 1000);
      EXPECT_GT(n / 2, 3u);
      break;
    }
    EXPECT_EQ(heap.spans(kHost) * heap.capacity(), hosts);
    hosts += heap.Take(kHost, want - hosts).size();
    EXPECT_EQ(hosts, want) << "call " << n / 2 << " failed once";
    EXPECT_EQ(heap.Take(kGuest, want + 1000 - guests).size(),
              want + 1000 - guests);
    heap.PutAll(n % 4 < 2 ? kHost : kGuest);
    heap.PutAll(n % 4 < 2 ? kGuest : kHost);
    heap.list(kHost).ReleaseEmptySpan();
    heap.list(kGuest).ReleaseEmptySpan();
    EXPECT_EQ(heap.used_spans(), 0u);
    heap.central().CheckInvariants();
  }
}

// ---- Threads

TEST_P(Guests, ThreadsShareThem) {
  constexpr size_t kThreads = 4, kKept = 300;
  struct Kept {
    Objects objects[2];
  };
  LiveBytes live;
  std::vector<Kept> kept(kThreads);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int step = 0; step < 400; ++step) {
        const Heap::Who who = random() % 2 == 0 ? kHost : kGuest;
        Objects& mine = kept[t].objects[who];
        const size_t size = heap_.info(who).size;
        void* batch[200];
        const size_t n = heap_.list(who).RemoveRange(batch, random() % 200 + 1);
        for (size_t i = 0; i < n; ++i) {
          ASSERT_TRUE(live.Add(batch[i], size)) << batch[i];
        }
        mine.insert(mine.end(), batch, batch + n);
        std::shuffle(mine.begin(), mine.end(), random);
        // Now and then all of them, so that spans come and go.
        const size_t keep = random() % 8 == 0 ? 0 : kKept;
        if (mine.size() > keep) {
          for (size_t i = keep; i < mine.size(); ++i) {
            ASSERT_TRUE(live.Remove(mine[i], size)) << mine[i];
          }
          heap_.list(who).InsertRange(mine.data() + keep, mine.size() - keep);
          mine.resize(keep);
        }
        if (step % 50 == 0) heap_.list(kHost).ReleaseEmptySpan();
        if (step % 50 == 25) heap_.list(kHost).CheckInvariants();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Heap::Who who : {kHost, kGuest}) heap_.list(who).CheckInvariants();
  for (const Kept& mine : kept) {
    for (const Heap::Who who : {kHost, kGuest}) {
      heap_.list(who).InsertRange(mine.objects[who].data(),
                                  mine.objects[who].size());
    }
  }
  heap_.Check();
  EXPECT_LE(heap_.used_spans(), 2u);
  heap_.central().CheckInvariants();
}

// ---- Double frees

class GuestsDeathTest : public Guests {
 protected:
  void ExpectDoubleFree(const Objects& batch, void* p) {
    char text[100];
    std::snprintf(text, sizeof(text),
                  "^spanmalloc: double free of %p \\(%u-byte class\\)\n", p,
                  heap_.info(kGuest).size);
    EXPECT_EXIT(heap_.list(kGuest).InsertRange(batch.data(), batch.size()),
                testing::KilledBySignal(SIGABRT), text);
  }
};
INSTANTIATE_TEST_SUITE_P(HostSizes, GuestsDeathTest, testing::Values(12, 24));

TEST_P(GuestsDeathTest, TwiceInOneBatch) {
  heap_.Take(kHost, 1);
  Objects batch = heap_.Take(kGuest, 300);
  void* const p = batch[3];
  batch[290] = p;
  ExpectDoubleFree(batch, p);
  batch[4] = p;
  ExpectDoubleFree(batch, p);
}

TEST_P(GuestsDeathTest, InAnEarlierBatch) {
  heap_.Take(kHost, 1);
  const Objects guests = heap_.Take(kGuest, 100);
  heap_.Put(kGuest, {guests[5]});
  ExpectDoubleFree({guests[5]}, guests[5]);
  heap_.PutAll(kGuest);
  ExpectDoubleFree({guests[7]}, guests[7]);
}

TEST_P(GuestsDeathTest, NeverGivenOut) {
  const Objects host = heap_.Take(kHost, 1);
  void* const p = static_cast<char*>(host[0]) + heap_.info(kHost).size;
  ExpectDoubleFree({p}, p);
}

// An object whose guest is live, and the other way round.
TEST_P(GuestsDeathTest, AnObjectIsNotItsGuest) {
  const Objects host = heap_.Take(kHost, 1);
  const Objects guest = heap_.Take(kGuest, 1);
  ASSERT_EQ(AddressOf(guest[0]), AddressOf(host[0]) + heap_.info(kHost).size);
  heap_.Put(kHost, host);
  EXPECT_FALSE(heap_.list(kGuest).IsFree(guest[0]));
  EXPECT_EXIT(heap_.list(kHost).InsertRange(host.data(), 1),
              testing::KilledBySignal(SIGABRT), "^spanmalloc: double free of");
  EXPECT_EQ(heap_.Take(kHost, 1), host);
  heap_.Put(kGuest, guest);
  EXPECT_FALSE(heap_.list(kHost).IsFree(host[0]));
  ExpectDoubleFree(guest, guest[0]);
}

TEST_P(GuestsDeathTest, IntoASpanThatIsGone) {
  heap_.Take(kHost, 1);
  const Objects guests = heap_.Take(kGuest, 2);
  heap_.PutAll(kGuest);
  heap_.PutAll(kHost);
  heap_.list(kHost).ReleaseEmptySpan();
  EXPECT_TRUE(heap_.list(kGuest).IsFree(guests[0]));
  ExpectDoubleFree({guests[0]}, guests[0]);

  // The pages are another class's by now, and there is no host at all.
  CentralFreeList& other = heap_.central().list(ClassOfSizeExactly(96));
  void* p = nullptr;
  ASSERT_EQ(other.RemoveRange(&p, 1), 1u);
  ASSERT_EQ(SpanOf(p), SpanOf(guests[0]));
  EXPECT_TRUE(heap_.list(kGuest).IsFree(guests[0]));
  ExpectDoubleFree({guests[0]}, guests[0]);
  // The same while there is one elsewhere.
  ASSERT_EQ(heap_.list(kHost).RemoveRange(&p, 1), 1u);
  ExpectDoubleFree({guests[0]}, guests[0]);
}

TEST_P(GuestsDeathTest, IntoASpanThatIsGoneAndBack) {
  heap_.Take(kHost, 1);
  const Objects guests = heap_.Take(kGuest, 2);
  heap_.PutAll(kGuest);
  heap_.PutAll(kHost);
  heap_.list(kHost).ReleaseEmptySpan();
  ASSERT_EQ(SpanOf(heap_.Take(kHost, 1)[0]), SpanOf(guests[0]));
  EXPECT_TRUE(heap_.list(kGuest).IsFree(guests[0]));
  ExpectDoubleFree({guests[0]}, guests[0]);
}

}  // namespace
}  // namespace spanmalloc
