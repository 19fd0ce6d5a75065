#include "allocator/central/central_free_list.h"

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

#include "allocator/central/central_heap.h"
#include "tests/support/fake_system.h"

namespace spanmalloc {
namespace {

size_t ClassOf(size_t size) { return ClassOfTag(class_of_size.TagFor(size)); }

uintptr_t AddressOf(const void* p) { return reinterpret_cast<uintptr_t>(p); }

// A free list of one class on a page heap of its own. `Take` and `Put` are
// checked against the set of objects that are out.
class Heap {
 public:
  explicit Heap(size_t size)
      : size_class_(ClassOf(size)),
        info_(kSizeClasses[size_class_]),
        central_(std::make_unique<CentralHeap>(&FakeSystem::memory())) {}

  FakeSystem& system() { return system_; }
  PageHeap& page_heap() { return central_->page_heap(); }
  CentralHeap& central() { return *central_; }
  CentralFreeList& list() { return central_->list(size_class_); }
  const SizeClass& info() const { return info_; }
  size_t used_spans() {
    return page_heap().stats().used.pages() / kPagesPerSmallSpan;
  }
  const std::set<void*>& out() const { return out_; }

  // As many of `n` objects as there are, in the order of the batch.
  std::vector<void*> Take(size_t n) {
    std::vector<void*> batch(n);
    batch.resize(list().RemoveRange(batch.data(), n));
    for (void* object : batch) {
      EXPECT_TRUE(info_.StartsObject(AddressOf(object) % kSmallSpanSize));
      EXPECT_TRUE(out_.insert(object).second) << "handed out twice";
    }
    Check();
    return batch;
  }
  void Put(const std::vector<void*>& batch) {
    for (void* object : batch) EXPECT_EQ(out_.erase(object), 1u);
    list().InsertRange(batch.data(), batch.size());
    Check();
  }
  void PutAll() { Put(std::vector<void*>(out_.begin(), out_.end())); }

 private:
  void Check() {
    list().CheckInvariants();
    const CentralFreeListStats stats = list().stats();
    EXPECT_EQ(stats.spans * info_.capacity, stats.free_objects + out_.size());
    EXPECT_EQ(stats.spans, used_spans());
  }

  FakeSystem system_;
  const size_t size_class_;
  const SizeClass& info_;
  const std::unique_ptr<CentralHeap> central_;
  std::set<void*> out_;
};

class CentralFreeListOfSize : public testing::TestWithParam<size_t> {};

INSTANTIATE_TEST_SUITE_P(Sizes, CentralFreeListOfSize,
                         testing::Values(8, 48, 512, 576, 1024, 9344, 32768));

TEST_P(CentralFreeListOfSize, GivesWhatWasAskedAcrossSpans) {
  Heap heap(GetParam());
  const size_t n = heap.info().capacity + size_t{3};
  EXPECT_EQ(heap.Take(n).size(), n);
  EXPECT_EQ(heap.list().stats().spans, n > 2 * heap.info().capacity ? 3u : 2u);
  heap.PutAll();
  heap.page_heap().CheckInvariants();
}

TEST_P(CentralFreeListOfSize, KeepsOneEmptySpan) {
  Heap heap(GetParam());
  heap.Take(size_t{3} * heap.info().capacity);
  EXPECT_EQ(heap.used_spans(), 3u);
  heap.PutAll();
  EXPECT_EQ(heap.used_spans(), 1u);
  EXPECT_EQ(heap.list().stats().free_objects, heap.info().capacity);
  heap.list().ReleaseEmptySpan();
  EXPECT_EQ(heap.used_spans(), 0u);
  EXPECT_EQ(heap.list().stats().spans, 0u);
  heap.list().ReleaseEmptySpan();  // Nothing is left to release.
  heap.list().CheckInvariants();
  heap.page_heap().CheckInvariants();
}

TEST_P(CentralFreeListOfSize, RecordsOfGoneSpansAreUsedAgain) {
  Heap heap(GetParam());
  size_t records = 0;
  for (int round = 0; round < 5; ++round) {
    heap.Take(size_t{3} * heap.info().capacity);
    heap.PutAll();
    heap.list().ReleaseEmptySpan();
    const size_t now = heap.page_heap().arena().used_bytes();
    if (round > 0) {
      EXPECT_EQ(now, records);
    }
    records = now;
  }
}

TEST_P(CentralFreeListOfSize, ReleaseLeavesUsedSpansAlone) {
  Heap heap(GetParam());
  const std::vector<void*> objects = heap.Take(heap.info().capacity);
  heap.Put({objects.begin() + 1, objects.end()});
  heap.list().ReleaseEmptySpan();
  EXPECT_EQ(heap.list().stats().spans, 1u);
  heap.PutAll();
}

TEST_P(CentralFreeListOfSize, AgreesWithAModelOverRandomSteps) {
  Heap heap(GetParam());
  std::mt19937 random(static_cast<unsigned>(GetParam()));
  const size_t most = std::min<size_t>(heap.info().capacity, 200);
  for (int step = 0; step < 400; ++step) {
    // Phases of growth and of decline.
    const bool grow = random() % 8 < (step / 50 % 2 == 0 ? 6u : 2u);
    const size_t n = random() % most + 1;
    if (grow) {
      EXPECT_EQ(heap.Take(n).size(), n);
    } else {
      std::vector<void*> objects(heap.out().begin(), heap.out().end());
      std::shuffle(objects.begin(), objects.end(), random);
      if (objects.size() > n) objects.resize(n);
      heap.Put(objects);
      if (!objects.empty() && heap.list().stats().spans != 0) {
        EXPECT_TRUE(heap.list().IsFree(objects[0]));
      }
    }
    if (!heap.out().empty()) {
      EXPECT_FALSE(heap.list().IsFree(*heap.out().begin()));
    }
    if (step % 40 == 0) heap.list().ReleaseEmptySpan();
  }
  heap.PutAll();
  heap.central().CheckInvariants();
}

// The lowest objects come last in the batch, where a cache takes from first.
TEST_P(CentralFreeListOfSize, BatchesDescend) {
  Heap heap(GetParam());
  const std::vector<void*> all = heap.Take(heap.info().capacity);
  EXPECT_TRUE(std::is_sorted(all.rbegin(), all.rend()));
  std::vector<void*> some;
  for (size_t i = 0; i < all.size(); i += 2) some.push_back(all[i]);
  std::shuffle(some.begin(), some.end(), std::mt19937(7));
  heap.Put(some);
  std::sort(some.rbegin(), some.rend());
  EXPECT_EQ(heap.Take(some.size()), some);
}

TEST(CentralFreeList, ServesTheFullestSpanFirst) {
  Heap heap(1024);
  const size_t capacity = heap.info().capacity;
  const std::vector<void*> objects = heap.Take(3 * capacity);
  // Most free, fewest free, in between.
  const size_t free_counts[] = {capacity - 4, 4, capacity / 2};
  std::vector<void*> freed[3];
  for (size_t s = 0; s < 3; ++s) {
    const auto begin = objects.begin() + static_cast<ptrdiff_t>(s * capacity);
    freed[s] = {begin, begin + static_cast<ptrdiff_t>(free_counts[s])};
    heap.Put(freed[s]);
  }
  for (const size_t s : {1, 2, 0}) {
    std::vector<void*> got = heap.Take(freed[s].size());
    std::sort(got.begin(), got.end());
    std::sort(freed[s].begin(), freed[s].end());
    EXPECT_EQ(got, freed[s]) << "span " << s;
  }
}

TEST(CentralFreeList, NoMemoryGivesFewerObjects) {
  Heap heap(32768);
  heap.Take(1);
  heap.system().FailFrom(1);
  const size_t there =
      heap.page_heap().stats().mapped.bytes() / kSmallSpanSize * 2;
  EXPECT_EQ(heap.Take(10 * there).size(), there - 1);
  EXPECT_TRUE(heap.Take(1).empty());
  heap.PutAll();
  EXPECT_EQ(heap.Take(there).size(), there);
  heap.system().FailNothing();
  EXPECT_EQ(heap.Take(1).size(), 1u);
  heap.PutAll();
  heap.central().CheckInvariants();
}

// A class whose bitmaps come from the arena, which is refused memory at every
// possible point.
TEST(CentralFreeList, AnyCallToTheSystemMayFail) {
  for (size_t n = 0;; ++n) {
    Heap heap(480);
    heap.system().FailCall(n + 1);
    const size_t want = size_t{70} * heap.info().capacity;
    size_t got = heap.Take(want).size();
    if (heap.system().failures() == 0) {
      EXPECT_EQ(got, want);
      EXPECT_GT(n, 4u);
      break;
    }
    got += heap.Take(want - got).size();
    EXPECT_EQ(got, want) << "call " << n << " failed once";
    heap.PutAll();
    heap.central().CheckInvariants();
  }
}

TEST(CentralFreeList, ThreadsShareIt) {
  Heap heap(48);
  constexpr size_t kThreads = 4, kKept = 100;
  std::vector<std::vector<void*>> kept(kThreads);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&heap, &kept, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      std::vector<void*>& mine = kept[t];
      for (int step = 0; step < 500; ++step) {
        void* batch[64];
        const size_t n = heap.list().RemoveRange(batch, random() % 64 + 1);
        mine.insert(mine.end(), batch, batch + n);
        std::shuffle(mine.begin(), mine.end(), random);
        if (mine.size() < kKept) continue;
        heap.list().InsertRange(mine.data() + kKept, mine.size() - kKept);
        mine.resize(kKept);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<void*> distinct;
  for (const auto& mine : kept) distinct.insert(mine.begin(), mine.end());
  EXPECT_EQ(distinct.size(), kThreads * kKept);
  const CentralFreeListStats stats = heap.list().stats();
  EXPECT_EQ(stats.spans * heap.info().capacity,
            stats.free_objects + kThreads * kKept);
  for (const auto& mine : kept) {
    heap.list().InsertRange(mine.data(), mine.size());
  }
  EXPECT_EQ(heap.used_spans(), 1u);
  heap.central().CheckInvariants();
}

std::string DoubleFreeOf(const void* p, size_t size) {
  char text[100];
  std::snprintf(text, sizeof(text),
                "^spanmalloc: double free of %p \\(%zu-byte class\\)\n", p,
                size);
  return text;
}

TEST(CentralFreeListDeathTest, DoubleFree) {
  Heap heap(48);
  const std::vector<void*> objects = heap.Take(100);
  const auto aborts = testing::KilledBySignal(SIGABRT);

  // Twice in one batch, also behind what is prefetched together.
  std::vector<void*> batch = objects;
  batch[90] = objects[3];
  EXPECT_EXIT(heap.list().InsertRange(batch.data(), batch.size()), aborts,
              DoubleFreeOf(objects[3], 48));

  // In an earlier batch.
  EXPECT_EXIT(
      {
        heap.list().InsertRange(&objects[5], 1);
        heap.list().InsertRange(&objects[5], 1);
      },
      aborts, DoubleFreeOf(objects[5], 48));
}

// The span has left the class since the first free.
TEST(CentralFreeListDeathTest, DoubleFreeIntoASpanThatIsGone) {
  Heap heap(48);
  const std::vector<void*> objects = heap.Take(2);
  heap.PutAll();
  heap.list().ReleaseEmptySpan();
  const auto aborts = testing::KilledBySignal(SIGABRT);
  EXPECT_TRUE(heap.list().IsFree(objects[0]));
  EXPECT_EXIT(heap.list().InsertRange(&objects[0], 1), aborts,
              DoubleFreeOf(objects[0], 48));
  void* other = nullptr;
  ASSERT_EQ(heap.central().list(ClassOf(96)).RemoveRange(&other, 1), 1u);
  ASSERT_EQ(AddressOf(other) / kSmallSpanSize,
            AddressOf(objects[0]) / kSmallSpanSize);
  EXPECT_TRUE(heap.list().IsFree(objects[0]));
  EXPECT_EXIT(heap.list().InsertRange(&objects[0], 1), aborts,
              DoubleFreeOf(objects[0], 48));
}

}  // namespace
}  // namespace spanmalloc
