// calloc: blocks that read as zero.
//
// Measures: Clean   a block out and back, untouched: what is known to be zero
//                   need not be cleared
//           Dirty   the same, but one byte in each 4 KiB is written before it
//                   goes back: the next one has to be cleared, by writing or by
//                   the system
//           Batch   256 small blocks out, then all back
// Counted:  1 item a block: a call of calloc and one of free. Bytes are those
//           asked for.
// Usage:    [LD_PRELOAD=LIBRARY] calloc_benchmark [--benchmark_filter=REGEX]
//           Runs on the system's malloc, on one that is preloaded, or on one
//           that is linked: CMakeLists.txt tells how.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace {

constexpr int64_t kKiB = 1024;
constexpr size_t kSystemPage = 4096;

void Count(benchmark::State& state, int64_t blocks) {
  state.SetItemsProcessed(blocks);
  state.SetBytesProcessed(blocks * state.range(0));
}

void Clean(benchmark::State& state) {
  const size_t size = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    void* const p = calloc(1, size);
    benchmark::DoNotOptimize(p);
    free(p);
  }
  Count(state, state.iterations());
}

void Dirty(benchmark::State& state) {
  const size_t size = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    volatile char* const p = static_cast<char*>(calloc(1, size));
    for (size_t i = 0; i < size; i += kSystemPage) p[i] = 1;
    free(const_cast<char*>(p));
  }
  Count(state, state.iterations());
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("size");
  for (int64_t size :
       {64 * int64_t{1}, kKiB, 16 * kKiB, 256 * kKiB, 4096 * kKiB}) {
    benchmark->Arg(size);
  }
}
BENCHMARK(Clean)->Apply(Sizes);
BENCHMARK(Dirty)->Apply(Sizes);

void Batch(benchmark::State& state) {
  constexpr size_t kBatch = 256;
  const size_t size = static_cast<size_t>(state.range(0));
  void* blocks[kBatch];
  for (auto _ : state) {
    for (void*& block : blocks) block = calloc(1, size);
    benchmark::ClobberMemory();
    for (void* block : blocks) free(block);
  }
  Count(state, state.iterations() * static_cast<int64_t>(kBatch));
}
BENCHMARK(Batch)->ArgName("size")->Arg(16)->Arg(64)->Arg(512);

}  // namespace
