// Every code point, and what only looks like one.

#include "allocator/profile/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace spanmalloc {
namespace {

size_t Character(const std::string& text) {
  return Utf8Character(text.data(), text.size());
}

std::string Encode(uint32_t c, size_t bytes) {
  if (bytes == 1) return std::string(1, static_cast<char>(c));
  std::string text;
  for (size_t i = 1; i < bytes; ++i) {
    text.insert(text.begin(), static_cast<char>(0x80 | (c & 0x3f)));
    c >>= 6;
  }
  const uint32_t head = (0xff00u >> bytes) & 0xff;
  text.insert(text.begin(), static_cast<char>(head | c));
  return text;
}

TEST(Utf8Test, EveryCodePoint) {
  for (uint32_t c = 0; c < 0x1fffff; ++c) {
    const size_t bytes = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    const bool is_valid = (c < 0xd800 || c >= 0xe000) && c <= 0x10ffff;
    ASSERT_EQ(Character(Encode(c, bytes)), is_valid ? bytes : 0) << c;
    if (bytes > 1) {
      ASSERT_EQ(Character(Encode(c, bytes).substr(0, bytes - 1)), 0u) << c;
    }
    if (bytes > 1 && bytes < 4) {
      // Longer than it has to be.
      ASSERT_EQ(Character(Encode(c, bytes + 1)), 0u) << c;
    }
  }
}

TEST(Utf8Test, OthersAreNone) {
  EXPECT_EQ(Character(""), 0u);
  EXPECT_EQ(Character("\x80"), 0u);
  EXPECT_EQ(Character("\xc0\x80"), 0u);
  EXPECT_EQ(Character("\xe2\x82x"), 0u);
  EXPECT_EQ(Character("\xff\xbf\xbf\xbf"), 0u);
  EXPECT_EQ(Character("\xf8\x88\x80\x80\x80"), 0u);
}

}  // namespace
}  // namespace spanmalloc
