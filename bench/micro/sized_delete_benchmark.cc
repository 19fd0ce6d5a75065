// Giving a block back with its size, and without.
//
// Measures: Delete       operator new, operator delete(p)
//           SizedDelete  operator new, operator delete(p, size)
//           Free         malloc, free(p)
//           FreeSized    malloc, free_sized(p, size) of C23, where the malloc
//           in
//                        use has it; otherwise it is not in the list
//           Each: `count` blocks out, then all back. With 1 the block's class
//           is at hand anyway; with 1000 and a random order it has to be found.
// Counted:  1 item a block, out and back.
// Usage:    [LD_PRELOAD=LIBRARY] sized_delete_benchmark
//               [--benchmark_filter=REGEX]
//           Runs on the system's malloc, on one that is preloaded, or on one
//           that is linked: CMakeLists.txt tells how.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <random>
#include <vector>

extern "C" void free_sized(void* p, size_t size) noexcept __attribute__((weak));

namespace {

template <typename New, typename Delete>
void RunBatches(benchmark::State& state, New&& allocate, Delete&& release) {
  const size_t size = static_cast<size_t>(state.range(0));
  std::vector<void*> blocks(static_cast<size_t>(state.range(1)));
  std::vector<uint32_t> order(blocks.size());
  for (uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  for (auto _ : state) {
    for (void*& block : blocks) block = allocate(size);
    benchmark::ClobberMemory();
    for (const uint32_t i : order) release(blocks[i], size);
  }
  state.SetItemsProcessed(state.iterations() * state.range(1));
}

void Delete(benchmark::State& state) {
  RunBatches(
      state, [](size_t size) { return ::operator new(size); },
      [](void* p, size_t) { ::operator delete(p); });
}

void SizedDelete(benchmark::State& state) {
  RunBatches(
      state, [](size_t size) { return ::operator new(size); },
      [](void* p, size_t size) { ::operator delete(p, size); });
}

void Free(benchmark::State& state) {
  RunBatches(
      state, [](size_t size) { return malloc(size); },
      [](void* p, size_t) { free(p); });
}

void FreeSized(benchmark::State& state) {
  RunBatches(
      state, [](size_t size) { return malloc(size); },
      [](void* p, size_t size) { free_sized(p, size); });
}

void Shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"size", "count"})
      ->ArgsProduct({{16, 256, 4096}, {1, 1000}})
      ->Args({65536, 1})
      ->Args({65536, 100});
}
BENCHMARK(Delete)->Apply(Shapes);
BENCHMARK(SizedDelete)->Apply(Shapes);
BENCHMARK(Free)->Apply(Shapes);

const bool has_free_sized = [] {
  if (free_sized == nullptr) return false;
  benchmark::RegisterBenchmark("FreeSized", FreeSized)->Apply(Shapes);
  return true;
}();

}  // namespace
