// realloc: blocks that grow, and blocks that change to and fro.
//
// Measures: Toggle  one block, filled, from one size to another and back:
// within
//                   what was granted, to another small size, between small and
//                   large, between two large ones
//           Append  a buffer that grows by half its length from 64 bytes on,
//                   its last byte written each time, and is then freed
// Not here: many buffers that grow beside each other (../workloads).
// Counted:  1 item a call of realloc. Append contains one malloc and one free
//           for each buffer, and the page faults of large ones.
// Usage:    [LD_PRELOAD=LIBRARY] realloc_benchmark [--benchmark_filter=REGEX]
//           Runs on the system's malloc, on one that is preloaded, or on one
//           that is linked: CMakeLists.txt tells how.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int64_t kKiB = 1024;

void Toggle(benchmark::State& state) {
  const size_t from = static_cast<size_t>(state.range(0));
  const size_t to = static_cast<size_t>(state.range(1));
  void* block = malloc(from);
  memset(block, 1, from);
  for (auto _ : state) {
    void* const changed = realloc(block, to);
    benchmark::DoNotOptimize(changed);
    block = realloc(changed, from);
  }
  state.SetItemsProcessed(state.iterations() * 2);
  free(block);
}
BENCHMARK(Toggle)
    ->ArgNames({"from", "to"})
    ->Args({100, 104})
    ->Args({64, 128})
    ->Args({1000, 3000})
    ->Args({24 * kKiB, 48 * kKiB})
    ->Args({100 * kKiB, 200 * kKiB})
    ->Args({1024 * kKiB, 2048 * kKiB})
    ->Args({16384 * kKiB, 32768 * kKiB});

void Append(benchmark::State& state) {
  const size_t limit = static_cast<size_t>(state.range(0));
  int64_t calls = 0;
  for (auto _ : state) {
    size_t size = 64;
    char* buffer = static_cast<char*>(malloc(size));
    while (size < limit) {
      size += size / 2;
      buffer = static_cast<char*>(realloc(buffer, size));
      static_cast<volatile char*>(buffer)[size - 1] = 1;
      ++calls;
    }
    free(buffer);
  }
  state.SetItemsProcessed(calls);
}
BENCHMARK(Append)
    ->ArgName("limit")
    ->Arg(4 * kKiB)
    ->Arg(256 * kKiB)
    ->Arg(16384 * kKiB);

}  // namespace
