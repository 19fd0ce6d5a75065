#include "allocator/central/span_parts.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace spanmalloc {
namespace {

constexpr size_t kPart = Span::kReleaseUnit;

// The parts in which an object lies, with the guest behind it.
uint16_t PartsOf(const SizeClass& info, size_t index) {
  uint16_t parts = 0;
  const size_t start = index * info.stride;
  for (size_t at = start; at < start + info.stride; at += 4) {
    parts = static_cast<uint16_t>(parts | 1u << (at / kPart));
  }
  return parts;
}

TEST(SpanParts, RangesAreTheObjectsInTheParts) {
  std::mt19937 random(1);
  for (size_t c = 1; c < kNumClasses; ++c) {
    const SizeClass& info = kSizeClasses[c];
    std::vector<uint16_t> parts_of(info.capacity);
    for (size_t i = 0; i < info.capacity; ++i) parts_of[i] = PartsOf(info, i);
    std::vector<uint16_t> all_parts = {0, 0xffff, 0x5555, 0xaaaa, 0xf00f};
    for (size_t part = 0; part < kPartsPerSpan; ++part) {
      all_parts.push_back(PartRange(part, 1));
    }
    for (int i = 0; i < 10; ++i) {
      all_parts.push_back(static_cast<uint16_t>(random()));
    }
    for (const uint16_t parts : all_parts) {
      std::vector<bool> in(info.capacity);
      size_t n = 0, end = 0;
      ForEachObjectRange(info, parts, [&](size_t first, size_t count) {
        EXPECT_GE(first, end);
        ASSERT_NE(count, 0u);
        end = first + count;
        ASSERT_LE(end, info.capacity);
        n += count;
        for (size_t i = first; i < end; ++i) in[i] = true;
      });
      for (size_t i = 0; i < info.capacity; ++i) {
        ASSERT_EQ(in[i], (parts_of[i] & parts) != 0)
            << "class of " << info.size << ", object " << i << ", " << parts;
      }
      EXPECT_EQ(ObjectsIn(info, parts), n);
      EXPECT_EQ(n == 0, parts == 0) << "a part without an object";
    }
  }
}

TEST(SpanParts, PartsUpToTheLastOfAnObject) {
  for (size_t c = 1; c < kNumClasses; ++c) {
    const SizeClass& info = kSizeClasses[c];
    for (size_t i = 0; i < info.capacity; ++i) {
      const unsigned parts = PartsOf(info, i);
      unsigned up_to = parts;
      for (unsigned p = parts; p != 0; p >>= 1) up_to |= p;
      ASSERT_EQ(PartsUpTo(info, i), up_to) << info.size << ", " << i;
    }
  }
}

TEST(SpanParts, PagesOfTheSystem) {
  EXPECT_EQ(PartsPerPage(4096), 1u);
  EXPECT_EQ(PartsPerPage(16384), 4u);
  EXPECT_EQ(PartsPerPage(65536), kPartsPerSpan);
  EXPECT_EQ(WholePages(0x8421, 1), 0x8421);
  EXPECT_EQ(WholePages(0x8020, 4), 0xf0f0);
  EXPECT_EQ(WholePages(0, 4), 0);
  EXPECT_EQ(WholePages(0x0100, 16), 0xffff);
}

TEST(SpanParts, RunsOfParts) {
  for (unsigned parts = 0; parts <= 0xffff; ++parts) {
    unsigned seen = 0;
    ForEachPartRun(
        static_cast<uint16_t>(parts), [&](size_t first, size_t count) {
          const unsigned run = PartRange(first, count);
          EXPECT_GT(run, seen);
          EXPECT_EQ(run & seen, 0u);
          EXPECT_EQ(parts & (first == 0 ? 0u : 1u << (first - 1)), 0u);
          EXPECT_EQ(parts >> (first + count) & 1, 0u);
          seen |= run;
        });
    ASSERT_EQ(seen, parts);
  }
}

TEST(SpanParts, RangesOfBits) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 2000; ++round) {
    uint64_t bits[4], before[4];
    std::vector<size_t> places;
    for (size_t w = 0; w < 4; ++w) {
      // Now and then all or none.
      const uint64_t kind = random() % 4;
      bits[w] = kind == 0 ? 0 : kind == 1 ? ~uint64_t{0} : random();
      before[w] = bits[w];
    }
    const auto get = [&bits](size_t i) { return bits[i / 64] >> i % 64 & 1; };
    for (size_t i = 0; i < 256; ++i) {
      if (get(i)) places.push_back(i);
    }
    for (size_t n = 1; n <= places.size(); n += 7) {
      ASSERT_EQ(PlaceOfBit(bits, n), places[n - 1]);
    }
    const size_t first = random() % 256;
    const size_t count = 1 + random() % (256 - first);
    size_t ones = 0;
    for (size_t i = first; i < first + count; ++i) ones += get(i);
    EXPECT_EQ(AllBitsSet(bits, first, count), ones == count);
    EXPECT_EQ(NoBitsSet(bits, first, count), ones == 0);
    const bool set = random() % 2 != 0;
    (set ? SetBits : ClearBits)(bits, first, count);
    for (size_t i = 0; i < 256; ++i) {
      const bool inside = i >= first && i < first + count;
      ASSERT_EQ(get(i), inside ? set : before[i / 64] >> i % 64 & 1);
    }
  }
}

}  // namespace
}  // namespace spanmalloc
