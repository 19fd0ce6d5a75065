#include "allocator/central/size_classes.h"

#include <gtest/gtest.h>

namespace spanmalloc {
namespace {

TEST(SizeClasses, SizesAscend) {
  for (size_t c = 1; c < kNumClasses; ++c) {
    EXPECT_GT(kClassSizes[c], kClassSizes[c - 1]);
    EXPECT_EQ(kClassSizes[c] % 4, 0u);
    EXPECT_EQ(kSizeClasses[c].size, kClassSizes[c]);
  }
  EXPECT_EQ(kClassSizes[kNumClasses - 1], kMaxSmallSize);
}

// The reciprocal against the division that it stands for.
TEST(SizeClasses, EveryOffsetOfEverySpan) {
  for (size_t c = 1; c < kNumClasses; ++c) {
    const SizeClass& info = kSizeClasses[c];
    for (uint32_t offset = 0; offset < kSmallSpanSize; ++offset) {
      const uint32_t index = offset / info.stride;
      const bool starts = offset % info.stride == 0 && index < info.capacity;
      const bool starts_guest = info.guest != 0 && index < info.capacity &&
                                offset % info.stride == info.size;
      if (info.StartsObject(offset) != starts ||
          info.StartsGuest(offset) != starts_guest ||
          info.ObjectIndex(offset) != index) {
        FAIL() << "size " << info.size << " offset " << offset;
      }
    }
  }
}

TEST(SizeClasses, EverySizeGetsTheSmallestClassThatFits) {
  size_t expected = 1;
  for (size_t size = 0; size <= kMaxSmallSize; ++size) {
    if (size > kClassSizes[expected]) ++expected;
    ASSERT_EQ(ClassOfTag(class_of_size.TagFor(size)), expected) << size;
    ASSERT_EQ(class_of_size.TagFor(size), TagOfClass(expected)) << size;
  }
}

// The largest fundamental alignment that an object of the size can need.
TEST(SizeClasses, AlignmentFollowsFromTheSize) {
  for (size_t size = 1; size <= kMaxSmallSize; ++size) {
    const size_t needed = size >= 16 ? 16 : size >= 8 ? 8 : 4;
    const size_t given = ClassOfTag(class_of_size.TagFor(size));
    ASSERT_EQ(kClassStrides[given] % needed, 0u) << size;
    // As a guest, too.
    if (const size_t host = kSizeClasses[given].host) {
      ASSERT_EQ(kClassSizes[host] % needed, 0u) << size;
    }
  }
}

TEST(SizeClasses, SlackIsOneGuestLong) {
  size_t hosts = 0;
  for (size_t c = 1; c < kNumClasses; ++c) {
    const SizeClass& info = kSizeClasses[c];
    ASSERT_EQ(info.stride, kClassStrides[c]);
    ASSERT_EQ(info.guest != 0, info.stride != info.size);
    if (info.guest == 0) continue;
    ++hosts;
    EXPECT_EQ(kSizeClasses[info.guest].host, c);
    EXPECT_EQ(kSizeClasses[info.guest].size, info.stride - info.size);
    EXPECT_EQ(kSizeClasses[info.guest].guest, 0) << "no guests of guests";
  }
  EXPECT_EQ(hosts, 2u);
}

// What each option of tiny objects gives to sizes up to 32.
TEST(SizeClasses, TinyOptions) {
  constexpr struct {
    size_t alignment;
    bool combine;
    size_t of_4, of_8, of_12, of_24;  // Class sizes for these requests.
  } kCases[] = {{4, true, 4, 8, 12, 24},    {8, true, 8, 8, 16, 24},
                {16, true, 16, 16, 16, 32}, {4, false, 8, 8, 16, 32},
                {8, false, 8, 8, 16, 32},   {16, false, 16, 16, 16, 32}};
  for (const auto& expected : kCases) {
    ClassOfSize classes;
    classes.SetTiny(expected.alignment, expected.combine);
    for (size_t size = 0; size <= kMaxSmallSize; ++size) {
      const size_t given = kClassSizes[ClassOfTag(classes.TagFor(size))];
      const size_t as_ever =
          kClassSizes[ClassOfTag(class_of_size.TagFor(size))];
      const size_t wanted = size <= 4    ? expected.of_4
                            : size <= 8  ? expected.of_8
                            : size <= 12 ? expected.of_12
                            : size <= 16 ? 16
                            : size <= 24 ? expected.of_24
                                         : as_ever;
      ASSERT_EQ(given, wanted)
          << size << " " << expected.alignment << " " << expected.combine;
    }
  }
}

// A request for a power of two gets an object aligned to it.
TEST(SizeClasses, PowersOfTwoAreTheirOwnClass) {
  for (size_t size = 8; size <= kMaxSmallSize; size *= 2) {
    EXPECT_EQ(kClassSizes[ClassOfTag(class_of_size.TagFor(size))], size);
  }
}

TEST(SizeClasses, WasteIsBounded) {
  constexpr struct {
    size_t up_to;
    double most;  // Share of the object.
  } kBounds[] = {{4, 0.75},     {8, 0.38},    {16, 0.26},   {32, 0.30},
                 {64, 0.32},    {128, 0.19},  {1024, 0.12}, {4096, 0.15},
                 {16384, 0.21}, {32768, 0.34}};
  size_t bound = 0;
  for (size_t c = 1; c < kNumClasses; ++c) {
    const size_t size = kClassSizes[c];
    if (size > kBounds[bound].up_to) ++bound;
    const size_t unused = size - (kClassSizes[c - 1] + 1);
    EXPECT_LE(static_cast<double>(unused),
              kBounds[bound].most * static_cast<double>(size))
        << size;
  }
}

TEST(SizeClasses, SpansAreFilled) {
  for (size_t c = 1; c < kNumClasses; ++c) {
    const SizeClass& info = kSizeClasses[c];
    const size_t tail = kSmallSpanSize - size_t{info.capacity} * info.stride;
    EXPECT_GE(info.capacity, 2);
    EXPECT_LT(tail, info.stride);
    EXPECT_LE(tail, kSmallSpanSize / 40) << info.size;
    EXPECT_GE(info.words * 64, info.capacity);
    EXPECT_LT(info.words * 64, info.capacity + 64);
  }
}

TEST(SizeClasses, CachedObjectsAreLimitedInNumberAndBytes) {
  for (size_t c = 1; c < kNumClasses; ++c) {
    const SizeClass& info = kSizeClasses[c];
    EXPECT_GE(info.max_cached, 2);
    EXPECT_LE(info.max_cached, SizeClassTable::kMaxCachedObjects);
    EXPECT_LE(size_t{info.max_cached} * info.size,
              SizeClassTable::kMaxCachedBytes);
  }
}

// Every number of free objects has a list, and more of them never a lower one.
TEST(SizeClasses, ListFactorDividesSpansIntoLists) {
  for (size_t c = 1; c < kNumClasses; ++c) {
    const SizeClass& info = kSizeClasses[c];
    uint32_t last = 0;
    for (uint32_t n = 0; n <= info.capacity; ++n) {
      const uint32_t list = info.ListFor(n);
      ASSERT_GE(list, last);
      ASSERT_LE(list, last + kSpanLists / 2);
      ASSERT_LT(list, kSpanLists);
      last = list;
      // Where the next list begins, or the span is empty.
      const uint32_t next = info.first_of_list[list + 1];
      ASSERT_TRUE(next > n || n == info.capacity);
      ASSERT_TRUE(next == info.capacity || (info.ListFor(next) > list &&
                                            info.ListFor(next - 1) == list));
    }
  }
}

TEST(SizeClasses, TagsAndClassesConvert) {
  for (size_t c = 1; c < kNumClasses; ++c) {
    EXPECT_EQ(ClassOfTag(TagOfClass(c)), c);
    EXPECT_EQ(TagOfClass(c), c * kTagScale);
  }
}

}  // namespace
}  // namespace spanmalloc
