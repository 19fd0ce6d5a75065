// Blocks that one thread allocates and another one frees.
//
// Measures: OneWay    one thread allocates, the other frees: nothing that is
//                     freed is where it is needed
//           BothWays  each of two threads allocates, and frees what the other
//                     one has allocated
// Not here: threads that keep what they allocate (malloc_free_benchmark).
// Counted:  1 item a block: a call of malloc, one word written, a call of free.
//           The time is that on the clock: on a machine that is busy
//           otherwise, threads wait for each other and the figure means little.
// Usage:    [LD_PRELOAD=LIBRARY] remote_free_benchmark
//               [--benchmark_filter=REGEX]
//           Runs on the system's malloc, on one that is preloaded, or on one
//           that is linked: CMakeLists.txt tells how.
//
// Blocks are handed over by bundles of 256 through a ring of 16 bundles. A
// thread that finds its ring full or empty yields.

#include <benchmark/benchmark.h>
#include <sched.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace {

constexpr size_t kBundle = 256;
constexpr size_t kBundles = 16;
constexpr size_t kCacheLine = 64;

// From one thread to one other. The bundles from `taken` to `filled`, modulo
// kBundles, belong to the receiver, the others to the sender.
class Ring {
 public:
  // Waits for room, allocates a bundle and hands it over.
  void AllocateBundle(size_t size) {
    const size_t at = filled_.load(std::memory_order_relaxed);
    while (at - taken_.load(std::memory_order_acquire) == kBundles) {
      sched_yield();
    }
    for (void*& block : bundles_[at % kBundles]) {
      block = malloc(size);
      *static_cast<volatile size_t*>(block) = at;
    }
    filled_.store(at + 1, std::memory_order_release);
  }

  // Waits for a bundle and frees it.
  void FreeBundle() {
    const size_t at = taken_.load(std::memory_order_relaxed);
    while (at == filled_.load(std::memory_order_acquire)) sched_yield();
    for (void* block : bundles_[at % kBundles]) free(block);
    taken_.store(at + 1, std::memory_order_release);
  }

 private:
  alignas(kCacheLine) std::atomic<size_t> filled_{0};
  alignas(kCacheLine) std::atomic<size_t> taken_{0};
  alignas(kCacheLine) void* bundles_[kBundles][kBundle];
};

// Every run leaves them empty: both threads do as many iterations.
Ring rings[2];

void OneWay(benchmark::State& state) {
  const size_t size = static_cast<size_t>(state.range(0));
  const bool allocates = state.thread_index() == 0;
  for (auto _ : state) {
    if (allocates) {
      rings[0].AllocateBundle(size);
    } else {
      rings[0].FreeBundle();
    }
  }
  if (allocates) {
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBundle));
  }
}

void BothWays(benchmark::State& state) {
  const size_t size = static_cast<size_t>(state.range(0));
  Ring& mine = rings[state.thread_index()];
  Ring& other = rings[1 - state.thread_index()];
  for (auto _ : state) {
    mine.AllocateBundle(size);
    other.FreeBundle();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBundle));
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("size")
      ->Arg(16)
      ->Arg(64)
      ->Arg(1024)
      ->Arg(4096)
      ->Threads(2)
      ->UseRealTime();
}
BENCHMARK(OneWay)->Apply(Sizes);
BENCHMARK(BothWays)->Apply(Sizes);

}  // namespace
