// Batches of objects from thread to thread.
//
// Measures: Exchange  a batch in and a batch out in turn, by one thread or by
//                     two at the same transfer cache. With `shared` 0 the
//                     transfer cache stands aside, as in a process with one
//                     thread: the difference is what it saves, and what it
//                     costs where threads wait for each other
// Not here: the central list behind it (central_free_list_benchmark).
// Counted:  1 item an object, in and out.
// Usage:    transfer_cache_benchmark [--benchmark_filter=REGEX]
//
// The objects themselves are never touched, here as in the cache.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "allocator/central/central_heap.h"
#include "allocator/os/memory.h"

namespace spanmalloc {
namespace {

CentralHeap alone(&kLinuxMemory);
CentralHeap shared(&kLinuxMemory);

void Exchange(benchmark::State& state) {
  const size_t size = static_cast<size_t>(state.range(0));
  const size_t batch = static_cast<size_t>(state.range(1));
  CentralHeap& heap = state.range(2) != 0 ? shared : alone;
  if (state.range(2) != 0) heap.set_shared();
  TransferCache& transfer =
      heap.transfer(ClassOfTag(class_of_size.TagFor(size)));
  std::vector<void*> objects(batch);
  size_t held = transfer.RemoveRange(objects.data(), batch);
  int64_t moved = 0;
  for (auto _ : state) {
    transfer.InsertRange(objects.data(), held);
    held = transfer.RemoveRange(objects.data(), batch);
    moved += static_cast<int64_t>(held);
  }
  state.SetItemsProcessed(moved);
  transfer.InsertRange(objects.data(), held);
}
BENCHMARK(Exchange)
    ->ArgNames({"size", "batch", "shared"})
    ->ArgsProduct({{64, 1024}, {8, 128}, {0, 1}})
    ->Args({8192, 8, 0})
    ->Args({8192, 8, 1})
    ->Threads(1)
    ->Threads(2)
    ->UseRealTime();

}  // namespace
}  // namespace spanmalloc
