// Guests (size_classes.h) without memory, on several threads, and freed twice.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <random>
#include <string>
#include <thread>
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

// Memory is refused at every possible point.
TEST(GuestsFailure, AnyCallToTheSystemMayFail) {
  for (size_t n = 0;; ++n) {
    GuestHeap heap(n % 2 == 0 ? 12 : 24);
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
        const GuestHeap::Who who = random() % 2 == 0 ? kHost : kGuest;
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
  for (const GuestHeap::Who who : {kHost, kGuest})
    heap_.list(who).CheckInvariants();
  for (const Kept& mine : kept) {
    for (const GuestHeap::Who who : {kHost, kGuest}) {
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
