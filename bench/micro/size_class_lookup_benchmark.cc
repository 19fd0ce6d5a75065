// From a size to its class, and from an offset in a span to the object.
//
// Measures: SizeClassTable::TagFor, SizeClass::StartsObject and ObjectIndex,
//           over arrays of random arguments: how fast they follow each other,
//           not how long one takes alone.
// Not here: from a pointer to its class (pagemap_benchmark), what is done with
//           the class (thread_cache_benchmark).
// Counted:  1 item a look-up, the load of its arguments included.
// Usage:    size_class_lookup_benchmark [--benchmark_filter=REGEX]
//
// TagFor: sizes up to `max`, each power of two as likely as the next. The
// others: objects of `size`, or for size 0, of a random class each.

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "allocator/central/size_classes.h"

namespace spanmalloc {
namespace {

constexpr size_t kCount = 4096;

struct Place {
  uint32_t size_class;
  uint32_t offset;
};

std::vector<size_t> RandomSizes(size_t max) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> logarithm(
      0, std::log2(static_cast<double>(max)));
  std::vector<size_t> sizes(kCount);
  for (size_t& size : sizes) {
    size = static_cast<size_t>(std::exp2(logarithm(random)));
  }
  return sizes;
}

// Half of the offsets are the start of an object, the others any.
std::vector<Place> RandomPlaces(size_t size) {
  std::mt19937 random(1);
  std::vector<Place> places(kCount);
  for (Place& place : places) {
    const size_t size_class = size != 0 ? ClassOfTag(class_of_size.TagFor(size))
                                        : 1 + random() % (kNumClasses - 1);
    const SizeClass& info = kSizeClasses[size_class];
    place.size_class = static_cast<uint32_t>(size_class);
    place.offset =
        random() % 2 == 0
            ? static_cast<uint32_t>(random() % info.capacity * info.size)
            : static_cast<uint32_t>(random() % kSmallSpanSize);
  }
  return places;
}

void Count(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kCount));
}

void TagFor(benchmark::State& state) {
  const auto sizes = RandomSizes(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    for (const size_t size : sizes) {
      const size_t tag = class_of_size.TagFor(size);
      benchmark::DoNotOptimize(tag);
    }
  }
  Count(state);
}
BENCHMARK(TagFor)->ArgName("max")->Arg(1024)->Arg(kMaxSmallSize);

void StartsObject(benchmark::State& state) {
  const auto places = RandomPlaces(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    for (const Place& place : places) {
      const bool starts =
          kSizeClasses[place.size_class].StartsObject(place.offset);
      benchmark::DoNotOptimize(starts);
    }
  }
  Count(state);
}
BENCHMARK(StartsObject)->ArgName("size")->Arg(48)->Arg(0);

void ObjectIndex(benchmark::State& state) {
  const auto places = RandomPlaces(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    for (const Place& place : places) {
      const uint32_t index =
          kSizeClasses[place.size_class].ObjectIndex(place.offset);
      benchmark::DoNotOptimize(index);
    }
  }
  Count(state);
}
BENCHMARK(ObjectIndex)->ArgName("size")->Arg(48)->Arg(0);

}  // namespace
}  // namespace spanmalloc
