// Which bytes of the stream of allocations are sampled, and what a sample is
// worth.
//
// Place:    profile/, below the tables. Pure functions and two small classes;
//           each thread has its own of these.
// Purpose:  Choose the positions of samples as a Poisson process over the bytes
//           that are asked for, with one sample per `interval` bytes on
//           average, and undo that choice in the estimates.
// Not here: where the countdown stands on the fast path, what is recorded of a
//           sample (heap_profile.h).
//
// Derivation. Let the distance from one point to the next be exponential with
// mean `interval`, rounded up to whole bytes. An allocation of n bytes is
// sampled if a point falls on one of them. The process has no memory, so this
// depends on n alone, and on nothing that was allocated before:
//     p(n) = P(gap <= n) = 1 - exp(-n / interval).
// To count a sampled allocation as 1 / p(n) of its kind makes each allocation
// count p(n) * 1 / p(n) = 1 on average: sums over samples have the sums over
// all allocations as their expectation, for any mix of sizes. The price is
// their spread: k samples estimate their sum to about 1 / sqrt(k) of it.
// (Horvitz and Thompson, 1952.) What is left of a gap behind a sampled
// allocation is thrown away: a new one from its end has the same distribution.
//
// Cost:     a gap about 20 ns, a weight about 15 ns; no libm.
// Failure:  none.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_SAMPLING_MATH_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_SAMPLING_MATH_H_

#include <cstdint>

namespace spanmalloc {

// The natural logarithm, to a relative error of 1e-14.
// REQUIRES: x is finite and at least 2^-1022.
double NaturalLog(double x);

// 1 - exp(-x), to a relative error of 1e-14, also for small x: exp(-x) itself
// would lose there what the subtraction leaves over. REQUIRES: x >= 0.
double OneMinusExp(double x);

// How many objects a sampled one of `bytes` stands for, itself included. None
// counts as fewer than one byte. An interval of 0 or 1 samples everything.
double SampleWeight(uint64_t bytes, uint64_t interval);

// A sequence of 2^64 numbers in an order that looks random. Not for secrets.
// (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014.)
class Random {
 public:
  constexpr explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t x = state_ += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

 private:
  uint64_t state_;
};

// The distance to the next sampled byte: 1 is the very next one.
uint64_t NextGap(uint64_t interval, Random* random);

// The bytes until the next sample, for one stream.
class SampleCountdown {
 public:
  // Of no use until another one is assigned.
  constexpr SampleCountdown() : random_(0) {}
  SampleCountdown(uint64_t interval, uint64_t seed)
      : random_(seed),
        interval_(interval),
        left_(NextGap(interval, &random_)) {}

  // True if an allocation of `bytes` is sampled; then with the weight
  // SampleWeight(bytes, interval()).
  bool Take(uint64_t bytes) {
    if (bytes == 0) bytes = 1;
    if (bytes < left_) {
      left_ -= bytes;
      return false;
    }
    left_ = NextGap(interval_, &random_);
    return true;
  }

  // From here on. A gap of the old interval would go with weights of the new
  // one, so a new gap is drawn.
  void SetInterval(uint64_t interval) {
    interval_ = interval;
    left_ = NextGap(interval_, &random_);
  }
  uint64_t interval() const { return interval_; }
  // Fewer bytes than these are not sampled.
  uint64_t left() const { return left_; }

 private:
  Random random_;
  uint64_t interval_ = 0;
  uint64_t left_ = 0;  // The sampled byte is the left_-th from here.
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_SAMPLING_MATH_H_
