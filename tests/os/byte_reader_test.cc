#include "allocator/os/byte_reader.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace spanmalloc {
namespace {

ByteRange RangeOf(const std::vector<uint8_t>& bytes) {
  const uintptr_t start = reinterpret_cast<uintptr_t>(bytes.data());
  return {start, start + bytes.size()};
}

TEST(ByteReaderTest, RangesContainTheirBytes) {
  const ByteRange range = {100, 110};
  EXPECT_TRUE(range.Contains(100));
  EXPECT_TRUE(range.Contains(109));
  EXPECT_FALSE(range.Contains(99));
  EXPECT_FALSE(range.Contains(110));
  EXPECT_TRUE(range.Contains(100, 10));
  EXPECT_FALSE(range.Contains(100, 11));
  EXPECT_FALSE(range.Contains(109, SIZE_MAX));
  EXPECT_FALSE(ByteRange().Contains(0));
}

TEST(ByteReaderTest, ReadsNumbersAndStopsAtTheEnd) {
  const std::vector<uint8_t> bytes = {1, 2, 0, 3, 0, 0, 0, 0xff, 0xff};
  ByteReader reader(RangeOf(bytes));
  EXPECT_EQ(reader.Read<uint8_t>(), 1u);
  EXPECT_EQ(reader.Read<uint16_t>(), 2u);
  EXPECT_EQ(reader.Read<uint32_t>(), 3u);
  EXPECT_FALSE(reader.failed());
  EXPECT_EQ(reader.Read<uint32_t>(), 0u);
  EXPECT_TRUE(reader.failed());
  EXPECT_TRUE(reader.at_end());
  EXPECT_EQ(reader.Read<uint8_t>(), 0u);
}

TEST(ByteReaderTest, UnsignedLeb) {
  const std::vector<uint8_t> bytes = {2,    0xff, 1,    0x80, 0x00, 0xff,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xff, 0xff, 0x01, 0x80};
  ByteReader reader(RangeOf(bytes));
  EXPECT_EQ(reader.ReadUnsignedLeb(), 2u);
  EXPECT_EQ(reader.ReadUnsignedLeb(), 255u);
  EXPECT_EQ(reader.ReadUnsignedLeb(), 0u);
  EXPECT_EQ(reader.ReadUnsignedLeb(), UINT64_MAX);
  EXPECT_FALSE(reader.failed());
  reader.ReadUnsignedLeb();
  EXPECT_TRUE(reader.failed());
}

TEST(ByteReaderTest, SignedLeb) {
  const std::vector<uint8_t> bytes = {2,    0x7e, 0xff, 0x00, 0x80, 0x7f,
                                      0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                      0x80, 0x80, 0x80, 0x7f, 0xff};
  ByteReader reader(RangeOf(bytes));
  EXPECT_EQ(reader.ReadSignedLeb(), 2);
  EXPECT_EQ(reader.ReadSignedLeb(), -2);
  EXPECT_EQ(reader.ReadSignedLeb(), 127);
  EXPECT_EQ(reader.ReadSignedLeb(), -128);
  EXPECT_EQ(reader.ReadSignedLeb(), INT64_MIN);
  EXPECT_FALSE(reader.failed());
  reader.ReadSignedLeb();
  EXPECT_TRUE(reader.failed());
}

TEST(ByteReaderTest, ALebThatDoesNotEndIsAFailure) {
  std::vector<uint8_t> bytes(20, 0x80);
  bytes.back() = 0;
  ByteReader first(RangeOf(bytes));
  EXPECT_EQ(first.ReadUnsignedLeb(), 0u);
  EXPECT_TRUE(first.failed());
  ByteReader second(RangeOf(bytes));
  EXPECT_EQ(second.ReadSignedLeb(), 0);
  EXPECT_TRUE(second.failed());
}

TEST(ByteReaderTest, Pointers) {
  const std::vector<uint8_t> bytes = {0xfc, 0xff, 0xff, 0xff, 0xfe, 0xff, 5, 0};
  const uintptr_t start = RangeOf(bytes).start;
  ByteReader reader(RangeOf(bytes));
  EXPECT_EQ(reader.ReadPointer(0x1b), start - 4);
  EXPECT_EQ(reader.ReadFormatted(0x0a), static_cast<uint64_t>(-2));
  EXPECT_EQ(reader.ReadPointer(0x02), 5u);
  EXPECT_FALSE(reader.failed());
  for (const uint8_t encoding : {0x9b, 0x3b, 0x2b, 0x4b, 0x05, 0x0e, 0xff}) {
    ByteReader other(RangeOf(bytes));
    EXPECT_EQ(other.ReadPointer(encoding), 0u);
    EXPECT_TRUE(other.failed()) << int{encoding};
  }
}

TEST(ByteReaderTest, Blocks) {
  const std::vector<uint8_t> bytes(10);
  const ByteRange all = RangeOf(bytes);
  ByteReader reader(all);
  const ByteRange block = reader.ReadBlock(4);
  EXPECT_EQ(block.start, all.start);
  EXPECT_EQ(block.end, all.start + 4);
  EXPECT_EQ(reader.rest().start, block.end);
  reader.Skip(UINT64_MAX);
  EXPECT_TRUE(reader.failed());
  EXPECT_TRUE(reader.at_end());
  ByteReader again(all);
  const ByteRange none = again.ReadBlock(11);
  EXPECT_TRUE(again.failed());
  EXPECT_LE(none.end, all.end);
}

}  // namespace
}  // namespace spanmalloc
