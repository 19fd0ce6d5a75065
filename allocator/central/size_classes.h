// The size classes: which object size serves which request.
//
// Place:    central/, below everything that knows of objects.
// Purpose:  One constant table, and the arithmetic on it.
// Not here: the choice of sizes (tools/generate_size_classes.py, which prints
//           the waste of each).
//
// A class is a number from 1 to kNumClasses - 1; 0 stands for "no class". Its
// tag is four times the number: what the class map holds, and at the same time
// the place of the class's bin in a thread cache in units of eight bytes, so
// that the hot path needs no multiplication and no shift.
//
// Slack. Objects of some classes must lie further apart than they are long: 12
// bytes may hold a double, so they lie 16 apart. What is left between them is
// the slack, and serves as objects of a smaller class, which live in the span
// as its guests. A class that has slack is the host of that smaller class.
//
// Reciprocals. With M = floor(2^32 / stride) + 1 and an offset below 2^16 into
// a span, floor(offset / stride) is offset * M / 2^32, and the low half of
// offset * M is below valid_below if and only if an object starts at that
// offset: for the start of object k it is k * e with e = M * stride - 2^32 <=
// stride, and for any other offset at least M. The table's constructor checks
// that the two do not meet; the test walks through all offsets. (Lemire, Kaser,
// Kurz: Faster remainder by direct computation, 2019.)
#ifndef SPANMALLOC_ALLOCATOR_CENTRAL_SIZE_CLASSES_H_
#define SPANMALLOC_ALLOCATOR_CENTRAL_SIZE_CLASSES_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/base/bits.h"
#include "allocator/base/config.h"

namespace spanmalloc {

inline constexpr size_t kClassSizes[] = {
    0,
#define SIZE_CLASS(size, stride) size,
#include "allocator/central/size_class_table.inc"
#undef SIZE_CLASS
};
inline constexpr size_t kClassStrides[] = {
    0,
#define SIZE_CLASS(size, stride) stride,
#include "allocator/central/size_class_table.inc"
#undef SIZE_CLASS
};
inline constexpr size_t kNumClasses = sizeof(kClassSizes) / sizeof(size_t);
inline constexpr size_t kTagScale = 4;
static_assert(kNumClasses * kTagScale <= 256, "a tag is one byte");

// How many lists a CentralFreeList sorts its spans into, by free objects.
inline constexpr uint32_t kSpanLists = 16;
inline constexpr uint32_t kListFactorShift = 16;

struct SizeClass {
  uint32_t size = 0;         // Bytes in an object.
  uint32_t stride = 0;       // From one object to the next.
  uint32_t reciprocal = 0;   // M above.
  uint32_t valid_below = 0;  // Bound for the low half of offset * M.
  uint32_t list_factor = 0;  // See CentralFreeList.
  uint16_t capacity = 0;     // Objects in a span.
  uint16_t max_cached = 0;   // Objects of it that one thread may cache.
  uint16_t words = 0;        // 64-bit words in a span's bitmap.
  uint8_t guest = 0;         // The class that lives in its slack, or 0.
  uint8_t host = 0;          // The class in whose slack it may live, or 0.
  // The least number of free objects with which a span is in list l or higher,
  // at most capacity.
  uint16_t first_of_list[kSpanLists + 1] = {};

  // REQUIRES, for all: offset < kSmallSpanSize.
  constexpr bool StartsObject(uint32_t offset) const {
    return static_cast<uint32_t>(offset * reciprocal) < valid_below;
  }
  // Whether it is where the slack behind an object starts.
  constexpr bool StartsGuest(uint32_t offset) const {
    return guest != 0 && offset >= size && StartsObject(offset - size);
  }
  // Of an object or of its guest.
  constexpr uint32_t ListFor(uint32_t free_objects) const {
    return free_objects * list_factor >> kListFactorShift;
  }
  constexpr uint32_t ObjectIndex(uint32_t offset) const {
    return static_cast<uint32_t>((uint64_t{offset} * reciprocal) >> 32);
  }
};

class SizeClassTable {
 public:
  static constexpr size_t kMaxCachedObjects = 1024;
  static constexpr size_t kMaxCachedBytes = 128 << 10;

  constexpr SizeClassTable() {
    for (size_t c = 1; c < kNumClasses; ++c) {
      const size_t size = kClassSizes[c];
      const size_t stride = kClassStrides[c];
      SizeClass& info = classes_[c];
      info.size = static_cast<uint32_t>(size);
      info.stride = static_cast<uint32_t>(stride);
      info.capacity = static_cast<uint16_t>(kSmallSpanSize / stride);
      const uint64_t reciprocal = (uint64_t{1} << 32) / stride + 1;
      const uint64_t excess = reciprocal * stride - (uint64_t{1} << 32);
      info.reciprocal = static_cast<uint32_t>(reciprocal);
      info.valid_below = static_cast<uint32_t>(info.capacity * excess);
      valid_ = valid_ && info.capacity * excess <= reciprocal;
      info.list_factor = static_cast<uint32_t>(
          (kSpanLists << kListFactorShift) / (info.capacity + 1u));
      for (uint32_t l = 0, n = 0; l <= kSpanLists; ++l) {
        while (n < info.capacity && info.ListFor(n) < l) ++n;
        info.first_of_list[l] = static_cast<uint16_t>(n);
      }
      info.words =
          static_cast<uint16_t>(DivideRoundingUp(info.capacity, size_t{64}));
      if (stride != size) {
        size_t guest = 1;
        while (kClassSizes[guest] != stride - size) ++guest;
        info.guest = static_cast<uint8_t>(guest);
        // A guest is aligned as its class is anywhere else.
        valid_ =
            valid_ && info.capacity % 64 == 0 && size % (stride - size) == 0;
        classes_[guest].host = static_cast<uint8_t>(c);
      }
      const size_t by_bytes = kMaxCachedBytes / size;
      info.max_cached = static_cast<uint16_t>(
          by_bytes < kMaxCachedObjects ? by_bytes : kMaxCachedObjects);
    }
  }

  constexpr const SizeClass& operator[](size_t size_class) const {
    return classes_[size_class];
  }
  constexpr bool valid() const { return valid_; }

 private:
  SizeClass classes_[kNumClasses];
  bool valid_ = true;
};

inline constexpr SizeClassTable kSizeClasses;
static_assert(kSizeClasses.valid());
static_assert(kClassSizes[kNumClasses - 1] == kMaxSmallSize);

constexpr size_t ClassOfTag(size_t tag) { return tag / kTagScale; }
constexpr uint8_t TagOfClass(size_t size_class) {
  return static_cast<uint8_t>(size_class * kTagScale);
}

// Which class serves which request. One table for all sizes: of its 8 KiB, and
// as many zeros as it covers beyond, a program keeps in its cache what it asks
// for.
//
// Concurrency: changed before the first object is allocated only.
class ClassOfSize {
 public:
  // Of larger requests SetTiny changes nothing.
  static constexpr size_t kMostTiny = 24;
  // The table has an entry for every size up to this one.
  static constexpr size_t kCovered = 4 * kMaxSmallSize;

  constexpr ClassOfSize() {
    size_t c = 1;
    for (size_t i = 0; i <= kMaxSmallSize / kStep; ++i) {
      while (kClassSizes[c] < i * kStep) ++c;
      tags_[i] = TagOfClass(c);
    }
  }

  // 0 for more than kMaxSmallSize. REQUIRES: size <= kCovered.
  SPANMALLOC_ALWAYS_INLINE constexpr size_t TagFor(size_t size) const {
    return tags_[(size + kStep - 1) / kStep];
  }

  // Serves requests of up to kMostTiny bytes with objects aligned to
  // `alignment`, which is 4, 8 or 16, at least, and with combining or without.
  constexpr void SetTiny(size_t alignment, bool combine) {
    for (size_t i = 0; i * kStep <= kMostTiny; ++i) {
      size_t c = 1;
      while (kClassSizes[c] < i * kStep || kClassStrides[c] % alignment != 0 ||
             (kSizeClasses[c].guest != 0 &&
              (!combine || kClassSizes[kSizeClasses[c].guest] < alignment)) ||
             (!combine && kClassSizes[c] < 8)) {
        ++c;
      }
      tags_[i] = TagOfClass(c);
    }
  }

 private:
  static constexpr size_t kStep = 4;
  uint8_t tags_[kCovered / kStep + 1] = {};
};

extern ClassOfSize class_of_size;

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_SIZE_CLASSES_H_
