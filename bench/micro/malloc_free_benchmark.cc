// malloc and free.
//
// Measures: HotPair   a block out and back at once: the fast path alone
//           Batch     1000 blocks of one size out, one word written into each,
//                     then all back: as they came (order 0), the last one
//                     first (1), or in random order (2)
//           Mixed     the same with random sizes up to `max`, each power of two
//                     as likely as the next
// Not here: more memory than a cache holds, and all that a program does with
//           its blocks (../workloads).
// Counted:  1 item a block: a call of malloc and one of free.
// Usage:    [LD_PRELOAD=LIBRARY] malloc_free_benchmark
//               [--benchmark_filter=REGEX]
//           Runs on the system's malloc, on one that is preloaded, or on one
//           that is linked: CMakeLists.txt tells how.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <vector>

namespace {

enum Order { kSame, kReverse, kShuffled };
constexpr size_t kBatch = 1000;

std::vector<uint32_t> Indices(int64_t order) {
  std::vector<uint32_t> indices(kBatch);
  for (uint32_t i = 0; i < kBatch; ++i) indices[i] = i;
  if (order == kReverse) std::reverse(indices.begin(), indices.end());
  if (order == kShuffled) {
    std::shuffle(indices.begin(), indices.end(), std::mt19937(1));
  }
  return indices;
}

void RunBatches(benchmark::State& state, const std::vector<size_t>& sizes,
                const std::vector<uint32_t>& order) {
  std::vector<void*> blocks(kBatch);
  for (auto _ : state) {
    for (size_t i = 0; i < kBatch; ++i) {
      blocks[i] = malloc(sizes[i]);
      *static_cast<volatile size_t*>(blocks[i]) = i;
    }
    for (const uint32_t i : order) free(blocks[i]);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBatch));
}

void HotPair(benchmark::State& state) {
  const size_t size = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    void* const p = malloc(size);
    benchmark::DoNotOptimize(p);
    free(p);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(HotPair)
    ->ArgName("size")
    ->Arg(8)
    ->Arg(64)
    ->Arg(512)
    ->Arg(4096)
    ->Arg(32768)
    ->Arg(262144);

void Batch(benchmark::State& state) {
  RunBatches(state,
             std::vector<size_t>(kBatch, static_cast<size_t>(state.range(0))),
             Indices(state.range(1)));
}
BENCHMARK(Batch)
    ->ArgNames({"size", "order"})
    ->ArgsProduct({{16, 64, 512, 4096}, {kSame, kReverse, kShuffled}});

void Mixed(benchmark::State& state) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> logarithm(
      3, std::log2(static_cast<double>(state.range(0))));
  std::vector<size_t> sizes(kBatch);
  for (size_t& size : sizes) {
    size = static_cast<size_t>(std::exp2(logarithm(random)));
  }
  RunBatches(state, sizes, Indices(state.range(1)));
}
BENCHMARK(Mixed)
    ->ArgNames({"max", "order"})
    ->ArgsProduct({{1024, 32768}, {kSame, kReverse, kShuffled}});

}  // namespace
