// The central list of one class: batches of objects out of it and into it.
//
// Measures: Remove, Insert  all objects of many spans but one of each, in
//                           batches; inserted in order, or in random order, so
//                           that neighbours in a batch are of different spans
//           Exchange        a batch in and a batch out in turn, by one thread
//                           or by two at the same list; half of the objects
//                           stay in the list. In random order no batch is put
//                           back as it came
// Not here: how spans come and go (page_heap_benchmark): none does. The size of
//           batches and who asks for them (thread_cache_benchmark).
// Counted:  1 item an object; in Exchange, in and out. Exchange includes
//           copying the pointers to and from where the thread keeps them, about
//           a nanosecond an item.
// Usage:    central_free_list_benchmark [--benchmark_filter=REGEX]
//
// The objects themselves are never touched, here as in the list.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "allocator/central/central_heap.h"
#include "allocator/os/memory.h"

namespace spanmalloc {
namespace {

CentralHeap heap(&kLinuxMemory);

CentralFreeList& ListOf(size_t size) {
  return heap.list(ClassOfTag(class_of_size.TagFor(size)));
}

void TakeAll(CentralFreeList& list, std::vector<void*>& objects, size_t batch) {
  for (size_t i = 0; i < objects.size(); i += batch) {
    list.RemoveRange(&objects[i], std::min(batch, objects.size() - i));
  }
}

void PutAll(CentralFreeList& list, const std::vector<void*>& objects,
            size_t batch) {
  for (size_t i = 0; i < objects.size(); i += batch) {
    list.InsertRange(&objects[i], std::min(batch, objects.size() - i));
  }
}

// About 16384 objects in whole spans. The first of each span stays out, in
// `kept`, so that no span ever leaves the class and every round has the same
// objects.
struct Objects {
  explicit Objects(size_t size) {
    const SizeClass& info =
        kSizeClasses[ClassOfTag(class_of_size.TagFor(size))];
    std::vector<void*> all(AlignDown(16384, info.capacity));
    TakeAll(ListOf(size), all, info.capacity);
    std::sort(all.begin(), all.end());
    for (void* object : all) {
      const bool first =
          reinterpret_cast<uintptr_t>(object) % kSmallSpanSize == 0;
      (first ? kept : others).push_back(object);
    }
  }

  std::vector<void*> kept;
  std::vector<void*> others;
};

enum Step { kRemove, kInsert };

// Rounds of inserting and removing everything; one of the two is timed.
template <Step kTimed>
void Pass(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  const size_t size = static_cast<size_t>(state.range(0));
  const size_t batch = static_cast<size_t>(state.range(1));
  CentralFreeList& list = ListOf(size);
  Objects objects(size);
  if (state.range(2) != 0) {
    std::shuffle(objects.others.begin(), objects.others.end(), std::mt19937(1));
  }
  std::vector<void*> removed(objects.others.size());
  for (auto _ : state) {
    const auto start = Clock::now();
    PutAll(list, objects.others, batch);
    const auto middle = Clock::now();
    TakeAll(list, removed, batch);
    const std::chrono::duration<double> time =
        kTimed == kInsert ? middle - start : Clock::now() - middle;
    state.SetIterationTime(time.count());
  }
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(removed.size()));
  PutAll(list, objects.others, batch);
  PutAll(list, objects.kept, batch);
  list.ReleaseEmptySpan();
}
BENCHMARK_TEMPLATE(Pass, kRemove)
    ->Name("Remove")
    ->UseManualTime()
    ->ArgNames({"size", "batch", "shuffled"})
    ->ArgsProduct({{64, 1024, 8192}, {16, 256}, {0, 1}});
BENCHMARK_TEMPLATE(Pass, kInsert)
    ->Name("Insert")
    ->UseManualTime()
    ->ArgNames({"size", "batch", "shuffled"})
    ->ArgsProduct({{64, 1024, 8192}, {16, 256}, {0, 1}});

void Exchange(benchmark::State& state) {
  constexpr size_t kHeld = 16384;  // By each thread; a power of two.
  const size_t size = static_cast<size_t>(state.range(0));
  const size_t batch = static_cast<size_t>(state.range(1));
  const bool shuffled = state.range(2) != 0;
  CentralFreeList& list = ListOf(size);
  std::mt19937 random(static_cast<unsigned>(state.thread_index()) + 1);
  std::vector<void*> held(2 * kHeld);
  TakeAll(list, held, 256);
  if (shuffled) std::shuffle(held.begin(), held.end(), random);
  const std::vector<void*> free(held.begin() + kHeld, held.end());
  held.resize(kHeld);
  PutAll(list, free, 256);

  std::vector<void*> objects(batch);
  // Odd, so that kHeld steps reach every place once.
  size_t stride = 1, step = 0;
  for (auto _ : state) {
    if (step % kHeld == 0 && shuffled) stride = random() | 1;
    const size_t first = step;
    step += batch;
    for (size_t i = 0; i < batch; ++i) {
      objects[i] = held[(first + i) * stride % kHeld];
    }
    list.InsertRange(objects.data(), batch);
    list.RemoveRange(objects.data(), batch);
    for (size_t i = 0; i < batch; ++i) {
      held[(first + i) * stride % kHeld] = objects[i];
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(batch));
  PutAll(list, held, 256);
  list.ReleaseEmptySpan();
}
BENCHMARK(Exchange)
    ->ArgNames({"size", "batch", "shuffled"})
    ->ArgsProduct({{64, 1024}, {16, 256}, {0, 1}})
    ->Threads(1)
    ->Threads(2)
    ->UseRealTime();

}  // namespace
}  // namespace spanmalloc
