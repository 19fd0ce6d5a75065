// From an address to its size class, and to its span.
//
// Measures: ClassMapFind  the byte that free() reads
//           SmallSpanOf   the way to a span's header, from any address
//           LiveSpanOf    the same from an address that is known to be ours
//           SpanHeader    the same and the header's first line
//           Foreign       ClassMapFind and SmallSpanOf for addresses that are
//                         not ours
// Not here: what is done with the answer.
// Counted:  1 item a look-up. The addresses come from an array, in random
//           order: `spans` says how many spans of 64 KiB they lie in.
// Usage:    pagemap_benchmark [--benchmark_filter=REGEX]

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "allocator/os/memory.h"
#include "allocator/page/page_heap.h"

namespace spanmalloc {
namespace {

constexpr size_t kCount = 65536;
constexpr int64_t kMaxSpans = 16384;  // A GiB.

// The heap and its spans, of which nobody touches the memory.
struct World {
  World() : spans(kMaxSpans) {
    for (Span*& span : spans) span = heap.NewSmallSpan(4);
  }

  PageHeap heap{&kLinuxMemory};
  std::vector<Span*> spans;
};

const World& TheWorld() {
  static const World& world = *new World;
  return world;
}

std::vector<uintptr_t> RandomAddresses(size_t spans) {
  std::mt19937 random(1);
  std::vector<uintptr_t> addresses(kCount);
  for (uintptr_t& address : addresses) {
    address = TheWorld().spans[random() % spans]->address() +
              random() % kSmallSpanSize;
  }
  return addresses;
}

// Anywhere where programs have memory, but not in this heap.
std::vector<uintptr_t> ForeignAddresses() {
  std::mt19937_64 random(1);
  std::vector<uintptr_t> addresses;
  while (addresses.size() < kCount) {
    const uintptr_t address = random() >> (64 - kAddressBits + 1);
    if (TheWorld().heap.pagemap().HeaderOf(address) == nullptr) {
      addresses.push_back(address);
    }
  }
  return addresses;
}

// The answers are added up, so that each has to be there.
template <typename F>
void LookUp(benchmark::State& state, const std::vector<uintptr_t>& addresses,
            F&& look_up) {
  for (auto _ : state) {
    uintptr_t sum = 0;
    for (const uintptr_t address : addresses) sum += look_up(address);
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(state.iterations() *
                          static_cast<int64_t>(addresses.size()));
}

size_t FindTag(const ClassMap& map, uintptr_t address) {
  size_t tag;
  return map.Find(address, &tag) ? tag : 0;
}

void ClassMapFind(benchmark::State& state) {
  const ClassMap map = TheWorld().heap.class_map();
  LookUp(state, RandomAddresses(static_cast<size_t>(state.range(0))),
         [&](uintptr_t address) { return FindTag(map, address); });
}

void SmallSpanOf(benchmark::State& state) {
  const PageMap& map = TheWorld().heap.pagemap();
  LookUp(state, RandomAddresses(static_cast<size_t>(state.range(0))),
         [&](uintptr_t address) {
           return reinterpret_cast<uintptr_t>(map.SmallSpanOf(address));
         });
}

void LiveSpanOf(benchmark::State& state) {
  const PageMap& map = TheWorld().heap.pagemap();
  LookUp(state, RandomAddresses(static_cast<size_t>(state.range(0))),
         [&](uintptr_t address) {
           return reinterpret_cast<uintptr_t>(map.LiveSmallSpanOf(address));
         });
}

void SpanHeader(benchmark::State& state) {
  const PageMap& map = TheWorld().heap.pagemap();
  LookUp(state, RandomAddresses(static_cast<size_t>(state.range(0))),
         [&](uintptr_t address) {
           return map.LiveSmallSpanOf(address)->page_count;
         });
}

void Foreign(benchmark::State& state) {
  const ClassMap map = TheWorld().heap.class_map();
  const PageMap& pagemap = TheWorld().heap.pagemap();
  LookUp(state, ForeignAddresses(), [&](uintptr_t address) {
    return FindTag(map, address) +
           reinterpret_cast<uintptr_t>(pagemap.SmallSpanOf(address));
  });
}

void Spans(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("spans")->Arg(64)->Arg(1024)->Arg(kMaxSpans);
}
BENCHMARK(ClassMapFind)->Apply(Spans);
BENCHMARK(SmallSpanOf)->Apply(Spans);
BENCHMARK(LiveSpanOf)->Apply(Spans);
BENCHMARK(SpanHeader)->Apply(Spans);
BENCHMARK(Foreign);

}  // namespace
}  // namespace spanmalloc
