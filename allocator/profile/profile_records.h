// What the heap profile keeps, as readers inside and outside the process see
// it.
//
// Place:    profile/, between the tables of stacks and labels and the profile.
// Purpose:  The layout of buckets, and what their numbers mean. Tools include
//           this file to read copies.
// Not here: who changes them (heap_profile.h).
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_PROFILE_RECORDS_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_PROFILE_RECORDS_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/published.h"

namespace spanmalloc {

struct LabelSet;
struct Stack;

// Counts of objects have this many binary digits behind the point: weights are
// not whole.
inline constexpr int kObjectFraction = 12;

constexpr uint64_t WholeObjects(uint64_t fixed_point) {
  return (fixed_point >> kObjectFraction) +
         (fixed_point >> (kObjectFraction - 1) & 1);
}

// Estimates for all allocations, by the weights of the samples.
struct Estimate {
  uint64_t objects = 0;  // Fixed point: see WholeObjects.
  uint64_t requested_bytes = 0;
  uint64_t allocated_bytes = 0;

  void Add(const Estimate& other) {
    objects += other.objects;
    requested_bytes += other.requested_bytes;
    allocated_bytes += other.allocated_bytes;
  }
  void Subtract(const Estimate& other) {
    objects -= other.objects;
    requested_bytes -= other.requested_bytes;
    allocated_bytes -= other.allocated_bytes;
  }
};

// How long the samples lived that have been freed. Not weighted: those of one
// bucket have about the same weight. Sums stay at the largest number.
struct Lifetimes {
  // Place 0: under 1 us; place i: from 10^(i-1) us on, under 10^i us; the last
  // place: 1000 s and more.
  static constexpr size_t kDecades = 11;

  uint64_t count = 0;
  uint64_t sum_ns = 0;
  uint64_t min_ns = 0;  // 0 if there are none.
  uint64_t max_ns = 0;
  uint32_t decades[kDecades + 1] = {};  // One more, for a whole word: 0.

  static constexpr size_t Decade(uint64_t ns) {
    size_t decade = 0;
    for (uint64_t end = 1000; decade < kDecades - 1 && ns >= end; end *= 10) {
      ++decade;
    }
    return decade;
  }
  void Add(uint64_t ns) {
    min_ns = count == 0 || ns < min_ns ? ns : min_ns;
    max_ns = ns > max_ns ? ns : max_ns;
    sum_ns = sum_ns + ns < sum_ns ? UINT64_MAX : sum_ns + ns;
    ++count;
    uint32_t& decade = decades[Decade(ns)];
    if (decade != UINT32_MAX) ++decade;
  }
  // Of another bucket.
  void Add(const Lifetimes& other) {
    if (other.count == 0) return;
    min_ns = count == 0 || other.min_ns < min_ns ? other.min_ns : min_ns;
    max_ns = other.max_ns > max_ns ? other.max_ns : max_ns;
    sum_ns =
        sum_ns + other.sum_ns < sum_ns ? UINT64_MAX : sum_ns + other.sum_ns;
    count += other.count;
    for (size_t i = 0; i < kDecades; ++i) {
      const uint32_t sum = decades[i] + other.decades[i];
      decades[i] = sum < other.decades[i] ? UINT32_MAX : sum;
    }
  }
};

struct BucketSums {
  Estimate allocated;  // Since the start.
  Estimate freed;
  // In use when the profile's total was highest, if peak_epoch is the profile's
  // epoch; otherwise the bucket has not changed since then, and that is what is
  // in use now.
  Estimate peak;
  uint64_t peak_epoch = 0;
  Lifetimes lifetimes;

  // Not less than nothing, if this is a mix of the sums of two moments.
  Estimate in_use() const {
    const auto minus = [](uint64_t a, uint64_t b) { return a > b ? a - b : 0; };
    return {minus(allocated.objects, freed.objects),
            minus(allocated.requested_bytes, freed.requested_bytes),
            minus(allocated.allocated_bytes, freed.allocated_bytes)};
  }
  Estimate at_peak(uint64_t epoch) const {
    return peak_epoch == epoch ? peak : in_use();
  }
};

enum class BucketKind : unsigned char {
  kHeap,    // What the program has allocated.
  kGrowth,  // What the heap has taken from the system: `allocated` only.
};
inline constexpr size_t kBucketKinds = 2;

// All samples of one stack, one set of labels and one size.
struct HeapBucket {
  HeapBucket* next;        // Of the same hash; null at the chain's end.
  HeapBucket* next_all;    // Of the same kind, made before this one.
  const Stack* stack;      // Never null.
  const LabelSet* labels;  // Null: none.
  uint64_t size;  // Allocated bytes of each object, 0 where they differ.
  BucketKind kind;
  Published<BucketSums> sums;
};

// A bucket as of one moment.
struct BucketSnapshot {
  const Stack* stack;
  const LabelSet* labels;
  uint64_t size;
  Estimate allocated;
  Estimate freed;
  Estimate in_use;
  Estimate peak;
  Lifetimes lifetimes;
};

// What the profile adds up to.
struct HeapProfileTotals {
  Estimate allocated;
  Estimate freed;
  uint64_t samples = 0;       // Allocations recorded.
  uint64_t live_samples = 0;  // Of them, those not freed.
  uint64_t peak_bytes = 0;    // The most allocated bytes in use.
  uint64_t peak_epoch = 1;    // Goes up with each new peak, and a reset.
  uint64_t grown_bytes = 0;   // Of BucketKind::kGrowth.
  uint64_t buckets = 0;       // Of both kinds.
  uint64_t used_bytes = 0;    // Of records: buckets and live samples.
  // Samples that are not in the profile for want of memory, and those that
  // stand in the bucket for all that found no bucket of their own.
  uint64_t lost_samples = 0;
  uint64_t pooled_samples = 0;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_PROFILE_RECORDS_H_
