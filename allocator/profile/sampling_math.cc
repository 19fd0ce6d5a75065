#include "allocator/profile/sampling_math.h"

#include <string.h>

namespace spanmalloc {
namespace {

constexpr double kLn2 = 0.693147180559945309417;
constexpr double kSqrt2 = 1.41421356237309504880;

// A division takes as long as several multiplications.
struct Reciprocals {
  double of[20] = {};
  constexpr Reciprocals() {
    for (int k = 1; k < 20; ++k) of[k] = 1.0 / k;
  }
};
constexpr Reciprocals kReciprocals;

double FromBits(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

uint64_t ToBits(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof(bits));
  return bits;
}

}  // namespace

// x = m * 2^e with m about 1, and with s = (m - 1) / (m + 1)
// ln m = 2 (s + s^3/3 + s^5/5 + ...), where |s| <= 0.172: ten terms leave
// s^20 / 21 < 3e-17 of the first.
double NaturalLog(double x) {
  const uint64_t bits = ToBits(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = FromBits((bits & 0x000fffffffffffff) | 0x3ff0000000000000);
  if (m > kSqrt2) {
    m /= 2;
    ++exponent;
  }
  const double s = (m - 1) / (m + 1);
  const double s2 = s * s;
  double sum = 0;
  for (int k = 19; k >= 1; k -= 2) sum = sum * s2 + kReciprocals.of[k];
  return exponent * kLn2 + 2 * s * sum;
}

// For x <= 1/2 the series x - x^2/2! + x^3/3! - ..., of which 14 terms leave
// x^14 / 15! < 1e-16 of the first. For larger x, with q = 1 - exp(-x/2):
// 1 - exp(-x) = q (2 - q), which does not make a relative error larger.
double OneMinusExp(double x) {
  if (!(x < 40)) return 1;  // To half a unit in the last place.
  int halvings = 0;
  for (; x > 0.5; x /= 2) ++halvings;
  double sum = 1;
  for (int k = 14; k >= 2; --k) sum = 1 - x * kReciprocals.of[k] * sum;
  double q = x * sum;
  for (; halvings > 0; --halvings) q *= 2 - q;
  return q;
}

double SampleWeight(uint64_t bytes, uint64_t interval) {
  if (interval <= 1) return 1;
  if (bytes == 0) bytes = 1;
  return 1 / OneMinusExp(static_cast<double>(bytes) /
                         static_cast<double>(interval));
}

// P(floor(x) + 1 > n) = P(x >= n), so rounding up does not disturb what the
// chance of a sample is for whole numbers of bytes.
uint64_t NextGap(uint64_t interval, Random* random) {
  if (interval <= 1) return 1;
  // In (0, 1], by steps of 2^-53.
  const double u = static_cast<double>((random->Next() >> 11) + 1) * 0x1p-53;
  const double gap = -NaturalLog(u) * static_cast<double>(interval);
  // Nobody lives to see it.
  constexpr double kMost = 0x1p62;
  return gap < kMost ? static_cast<uint64_t>(gap) + 1
                     : static_cast<uint64_t>(kMost);
}

}  // namespace spanmalloc
