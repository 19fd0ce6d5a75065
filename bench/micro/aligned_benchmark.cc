// Blocks at multiples of an alignment.
//
// Measures: AlignedAlloc, PosixMemalign  the C interfaces, with free
//           AlignedNew                   operator new and the sized operator
//                                        delete, both with an alignment
//           Each: 32 blocks out, then all back. None is touched.
// Counted:  1 item a block, out and back.
// Usage:    [LD_PRELOAD=LIBRARY] aligned_benchmark [--benchmark_filter=REGEX]
//           Runs on the system's malloc, on one that is preloaded, or on one
//           that is linked: CMakeLists.txt tells how.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace {

constexpr size_t kBatch = 32;
constexpr int64_t kKiB = 1024;

template <typename New, typename Delete>
void RunBatches(benchmark::State& state, New&& allocate, Delete&& release) {
  void* blocks[kBatch];
  for (auto _ : state) {
    for (void*& block : blocks) block = allocate();
    benchmark::ClobberMemory();
    for (void* block : blocks) release(block);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBatch));
}

void AlignedAlloc(benchmark::State& state) {
  const size_t alignment = static_cast<size_t>(state.range(0));
  const size_t size = static_cast<size_t>(state.range(1));
  RunBatches(
      state, [&] { return aligned_alloc(alignment, size); },
      [](void* p) { free(p); });
}

void PosixMemalign(benchmark::State& state) {
  const size_t alignment = static_cast<size_t>(state.range(0));
  const size_t size = static_cast<size_t>(state.range(1));
  RunBatches(
      state,
      [&] {
        void* p = nullptr;
        return posix_memalign(&p, alignment, size) == 0 ? p : nullptr;
      },
      [](void* p) { free(p); });
}

void AlignedNew(benchmark::State& state) {
  const auto alignment = static_cast<std::align_val_t>(state.range(0));
  const size_t size = static_cast<size_t>(state.range(1));
  RunBatches(
      state, [&] { return ::operator new(size, alignment); },
      [&](void* p) { ::operator delete(p, size, alignment); });
}

void Shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"alignment", "size"})
      ->Args({16, 64})
      ->Args({64, 64})
      ->Args({64, 1024})
      ->Args({4 * kKiB, 4 * kKiB})
      ->Args({4 * kKiB, 64 * kKiB})
      ->Args({64 * kKiB, 64 * kKiB})
      ->Args({2048 * kKiB, 4096 * kKiB});
}
BENCHMARK(AlignedAlloc)->Apply(Shapes);
BENCHMARK(PosixMemalign)->Apply(Shapes);
BENCHMARK(AlignedNew)->Apply(Shapes);

}  // namespace
