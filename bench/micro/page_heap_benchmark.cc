// The page heap: spans out of it, back, longer and shorter.
//
// Measures: SmallSpans  64 spans for objects, all out, then all back
//           LargeSpans  16 blocks of one length, all out, then all back
//           Replace     a random one of 1000 blocks and small spans goes, one
//           of
//                       another length comes
//           Resize      a block that grows to twice its length in place, and
//                       shrinks again
// Not here: growth of the heap and release of memory, for system calls would be
//           all that is seen; moving blocks.
// Counted:  1 item a span, out and back; in Resize, 1 item a change.
//           `mapped_MiB` is the size of the heap, `free_MiB` what is free in
//           it.
// Usage:    page_heap_benchmark [--benchmark_filter=REGEX]
//
// With `fragmented` 1 the heap has held 6000 small spans and large blocks of
// many lengths, and a random half of them is still there; with 0 it is empty.
// Nobody touches the memory.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "allocator/os/memory.h"
#include "allocator/page/page_heap.h"

namespace spanmalloc {
namespace {

constexpr uint8_t kTag = 4;

Span* NewLarge(PageHeap& heap, Length n) {
  return heap.NewLargeSpan(n, kPageSize);
}

// A small span in half of the cases, or a block of 5 to 200 pages.
Span* NewRandom(PageHeap& heap, std::mt19937& random) {
  if (random() % 2 == 0) return heap.NewSmallSpan(kTag);
  std::uniform_real_distribution<double> logarithm(std::log2(5.0),
                                                   std::log2(200.0));
  return NewLarge(heap,
                  Length(static_cast<size_t>(std::exp2(logarithm(random)))));
}

void Delete(PageHeap& heap, Span* span) {
  if (span->state() == SpanState::kSmall) {
    heap.DeleteSmallSpan(span);
  } else {
    heap.DeleteLargeSpan(span->address());
  }
}

PageHeap& Fragmented() {
  static PageHeap& heap = *[] {
    PageHeap* const made = new PageHeap(&kLinuxMemory);
    std::mt19937 random(1);
    std::vector<Span*> spans(6000);
    for (Span*& span : spans) span = NewRandom(*made, random);
    std::shuffle(spans.begin(), spans.end(), random);
    for (size_t i = 0; i < spans.size() / 2; ++i) Delete(*made, spans[i]);
    return made;
  }();
  return heap;
}

PageHeap& HeapFor(bool fragmented) {
  static PageHeap& empty = *new PageHeap(&kLinuxMemory);
  return fragmented ? Fragmented() : empty;
}

void Count(benchmark::State& state, const PageHeap& heap,
           size_t items_per_iteration) {
  constexpr double kMiB = 1 << 20;
  const PageHeapStats stats = heap.stats();
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(items_per_iteration));
  state.counters["mapped_MiB"] =
      static_cast<double>(stats.mapped.bytes()) / kMiB;
  state.counters["free_MiB"] = static_cast<double>(stats.free.bytes()) / kMiB;
}

void SmallSpans(benchmark::State& state) {
  PageHeap& heap = HeapFor(state.range(0) != 0);
  Span* spans[64];
  for (auto _ : state) {
    for (Span*& span : spans) span = heap.NewSmallSpan(kTag);
    for (Span* span : spans) heap.DeleteSmallSpan(span);
  }
  Count(state, heap, 64);
}
BENCHMARK(SmallSpans)->ArgName("fragmented")->Arg(0)->Arg(1);

void LargeSpans(benchmark::State& state) {
  const Length n(static_cast<size_t>(state.range(0)));
  PageHeap& heap = HeapFor(state.range(1) != 0);
  Span* spans[16];
  for (auto _ : state) {
    for (Span*& span : spans) span = NewLarge(heap, n);
    for (Span* span : spans) heap.DeleteLargeSpan(span->address());
  }
  Count(state, heap, 16);
}
BENCHMARK(LargeSpans)
    ->ArgNames({"pages", "fragmented"})
    ->ArgsProduct({{5, 16, 100, 256, 1000}, {0, 1}});

void Replace(benchmark::State& state) {
  PageHeap& heap = HeapFor(state.range(0) != 0);
  std::mt19937 random(2);
  std::vector<Span*> spans(1000);
  for (Span*& span : spans) span = NewRandom(heap, random);
  // Drawn ahead: which span goes, and the length of the one that comes.
  std::vector<uint32_t> indices(4096), lengths(4096);
  for (uint32_t& i : indices) i = static_cast<uint32_t>(random() % 1000);
  for (uint32_t& n : lengths) {
    n = random() % 2 == 0 ? 0 : 5 + static_cast<uint32_t>(random() % 60);
  }
  size_t step = 0;
  for (auto _ : state) {
    Span*& span = spans[indices[step % 4096]];
    const uint32_t n = lengths[step % 4096];
    Delete(heap, span);
    span = n == 0 ? heap.NewSmallSpan(kTag) : NewLarge(heap, Length(n));
    ++step;
  }
  Count(state, heap, 1);
  for (Span* span : spans) Delete(heap, span);
}
BENCHMARK(Replace)->ArgName("fragmented")->Arg(0)->Arg(1);

void Resize(benchmark::State& state) {
  const Length n(static_cast<size_t>(state.range(0)));
  PageHeap& heap = Fragmented();
  Span* const span = NewLarge(heap, n + n);
  heap.ResizeLargeSpan(span, n);
  for (auto _ : state) {
    if (!heap.ResizeLargeSpan(span, n + n)) {
      state.SkipWithError("no room behind the block");
      break;
    }
    heap.ResizeLargeSpan(span, n);
  }
  Count(state, heap, 2);
  heap.DeleteLargeSpan(span->address());
}
BENCHMARK(Resize)->ArgName("pages")->Arg(8)->Arg(100)->Arg(1000);

}  // namespace
}  // namespace spanmalloc
