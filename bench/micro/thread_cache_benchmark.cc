// A thread's cache: what it serves by itself, and what it has to fetch.
//
// Measures: PushPop       one object out of a bin and back
//           AllocateFree  the same with the look-up of its class, by size and
//                         by address
//           Mixed         64 objects of random sizes, all out, then all back
//           Cycle         more objects than a bin may hold, all out, then all
//                         back: Refill and MakeRoom at their usual rate, the
//                         central list's part included
// Not here: how a thread finds its cache, and malloc's other duties
//           (malloc_free_benchmark); the central list alone
//           (central_free_list_benchmark).
// Counted:  1 item an object, out and back. `misses` is how many slow steps
//           there were for each.
// Usage:    thread_cache_benchmark [--benchmark_filter=REGEX]
//
// Every run has a cache of its own, in a heap that is large enough for the
// limits of the classes to decide what is cached. No object is touched.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "allocator/central/central_heap.h"
#include "allocator/os/memory.h"
#include "allocator/thread/thread_cache.h"

namespace spanmalloc {
namespace {

CentralHeap heap(&kLinuxMemory);
CacheShare share{size_t{1} << 30};

class Cache {
 public:
  Cache() {
    static void* const memory = Prepare();
    cache_ = ThreadCache::Create(memory, &heap, &share);
  }
  ~Cache() { cache_->Flush(); }

  ThreadCache* operator->() { return cache_; }

  // What malloc and free do.
  void* Allocate(size_t size) {
    void* const p = cache_->Allocate(size);
    if (SPANMALLOC_LIKELY(p != nullptr)) return p;
    ++misses_;
    return cache_->Refill(class_of_size.TagFor(size));
  }
  void Free(void* p, size_t size) {
    if (SPANMALLOC_LIKELY(cache_->Free(p))) return;
    ++misses_;
    cache_->MakeRoom(class_of_size.TagFor(size));
    cache_->Free(p);
  }

  // `objects` is how many came and went since ForgetMisses.
  void Count(benchmark::State& state, int64_t objects) {
    state.SetItemsProcessed(objects);
    state.counters["misses"] =
        static_cast<double>(misses_) / static_cast<double>(objects);
  }
  void ForgetMisses() { misses_ = 0; }

 private:
  // Makes the heap large, for that bounds what a cache may hold. Returns
  // memory for a cache.
  static void* Prepare() {
    heap.page_heap().NewLargeSpan(Length(16384), kPageSize);
    return heap.page_heap().arena().Allocate(ThreadCache::kBlockSize);
  }

  ThreadCache* cache_;
  uint64_t misses_ = 0;
};

void PushPop(benchmark::State& state) {
  Cache cache;
  const size_t tag = class_of_size.TagFor(64);
  cache.Free(cache.Allocate(64), 64);
  for (auto _ : state) {
    void* const p = cache->Pop(tag);
    benchmark::DoNotOptimize(p);
    const bool taken = cache->Push(tag, p);
    benchmark::DoNotOptimize(taken);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(PushPop);

void AllocateFree(benchmark::State& state) {
  Cache cache;
  const size_t size = static_cast<size_t>(state.range(0));
  cache.Free(cache.Allocate(size), size);
  cache.ForgetMisses();
  for (auto _ : state) {
    void* const p = cache.Allocate(size);
    benchmark::DoNotOptimize(p);
    cache.Free(p, size);
  }
  cache.Count(state, state.iterations());
}
BENCHMARK(AllocateFree)->ArgName("size")->Arg(64)->Arg(kMaxSmallSize);

void Mixed(benchmark::State& state) {
  Cache cache;
  constexpr size_t kCount = 64;
  size_t sizes[kCount];
  void* objects[kCount];
  std::mt19937 random(1);
  for (size_t& size : sizes) size = 1 + random() % 1024;
  const auto round = [&] {
    for (size_t i = 0; i < kCount; ++i) objects[i] = cache.Allocate(sizes[i]);
    benchmark::ClobberMemory();
    for (size_t i = 0; i < kCount; ++i) cache.Free(objects[i], sizes[i]);
  };
  for (int i = 0; i < 10; ++i) round();  // Until every bin has its limit.
  cache.ForgetMisses();
  for (auto _ : state) round();
  cache.Count(state, state.iterations() * static_cast<int64_t>(kCount));
}
BENCHMARK(Mixed);

void Cycle(benchmark::State& state) {
  Cache cache;
  const size_t size = static_cast<size_t>(state.range(0));
  const bool shuffled = state.range(1) != 0;
  const SizeClass& info = kSizeClasses[ClassOfTag(class_of_size.TagFor(size))];
  std::vector<void*> objects(size_t{4} * info.max_cached);
  std::vector<uint32_t> order(objects.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  if (shuffled) std::shuffle(order.begin(), order.end(), std::mt19937(1));
  const auto round = [&] {
    for (void*& object : objects) object = cache.Allocate(size);
    for (const uint32_t i : order) cache.Free(objects[i], size);
  };
  for (int i = 0; i < 3; ++i) round();
  cache.ForgetMisses();
  for (auto _ : state) round();
  cache.Count(state, state.iterations() * static_cast<int64_t>(objects.size()));
}
BENCHMARK(Cycle)
    ->ArgNames({"size", "shuffled"})
    ->ArgsProduct({{16, 64, 512, 4096, kMaxSmallSize}, {0, 1}});

}  // namespace
}  // namespace spanmalloc
