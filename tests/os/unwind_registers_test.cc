#include "allocator/os/unwind_registers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace spanmalloc {
namespace {

TEST(UnwindRegistersTest, Columns) {
  EXPECT_LT(kReturnAddress, kColumns);
  EXPECT_EQ(ColumnOfDwarfRegister(UINT64_MAX), kNoColumn);
  size_t tracked = 0;
  for (uint64_t number = 0; number < 200; ++number) {
    tracked += ColumnOfDwarfRegister(number) != kNoColumn;
  }
  if (kCanUnwind) {
    EXPECT_EQ(tracked, kColumns - (kHasLinkRegister ? 1 : 0));
  }
}

#if defined(__x86_64__)
// Whether bytes are a call, behind others that are none.
bool IsCall(const std::vector<uint8_t>& bytes, uint8_t before = 0x90) {
  uint8_t code[kLongestCall];
  memset(code, before, sizeof(code));
  std::copy(bytes.begin(), bytes.end(), code + sizeof(code) - bytes.size());
  return EndsInCall(code);
}

TEST(UnwindRegistersTest, Calls) {
  EXPECT_TRUE(IsCall({0xe8, 1, 2, 3, 4}));
  EXPECT_TRUE(IsCall({0xff, 0xd0}));                    // *%rax
  EXPECT_TRUE(IsCall({0x41, 0xff, 0xd4}));              // *%r12
  EXPECT_TRUE(IsCall({0xff, 0x10}));                    // *(%rax)
  EXPECT_TRUE(IsCall({0xff, 0x14, 0x24}));              // *(%rsp)
  EXPECT_TRUE(IsCall({0xff, 0x50, 8}));                 // *8(%rax)
  EXPECT_TRUE(IsCall({0xff, 0x54, 0x24, 8}));           // *8(%rsp)
  EXPECT_TRUE(IsCall({0xff, 0x15, 1, 2, 3, 4}));        // *x(%rip)
  EXPECT_TRUE(IsCall({0xff, 0x90, 1, 2, 3, 4}));        // *x(%rax)
  EXPECT_TRUE(IsCall({0xff, 0x94, 0x24, 1, 2, 3, 4}));  // *x(%rsp)
  EXPECT_TRUE(IsCall({0xff, 0x14, 0xc5, 1, 2, 3, 4}));  // *x(,%rax,8)
}

TEST(UnwindRegistersTest, NoCalls) {
  EXPECT_FALSE(IsCall({}));
  EXPECT_FALSE(IsCall({}, 0xff));
  EXPECT_FALSE(IsCall({}, 0));
  EXPECT_FALSE(IsCall({0xff, 0xe0}));  // jmp *%rax
  EXPECT_FALSE(IsCall({0xff, 0x14}));  // A byte is missing.
  EXPECT_FALSE(IsCall({0xff, 0x50}));
  EXPECT_FALSE(IsCall({0xff, 0x15, 1, 2, 3}));
  EXPECT_FALSE(IsCall({0xff, 0x90, 1, 2, 3}));
  EXPECT_FALSE(IsCall({0xe8, 1, 2, 3}));
  EXPECT_FALSE(IsCall({0xff, 0xd0, 0x90}));  // Something behind it.
}
#elif defined(__aarch64__)
bool IsCall(uint32_t instruction) {
  uint8_t code[kLongestCall];
  memcpy(code, &instruction, sizeof(code));
  return EndsInCall(code);
}

TEST(UnwindRegistersTest, Calls) {
  EXPECT_TRUE(IsCall(0x94000001));   // bl
  EXPECT_TRUE(IsCall(0x97ffffff));   // bl, backwards
  EXPECT_TRUE(IsCall(0xd63f0040));   // blr x2
  EXPECT_TRUE(IsCall(0xd73f0841));   // blraa x2, x1
  EXPECT_TRUE(IsCall(0xd63f085f));   // blraaz x2
  EXPECT_FALSE(IsCall(0x14000001));  // b
  EXPECT_FALSE(IsCall(0xd61f0040));  // br x2
  EXPECT_FALSE(IsCall(0xd65f03c0));  // ret
  EXPECT_FALSE(IsCall(0));
  EXPECT_FALSE(IsCall(0xd503201f));  // nop
}
#endif

}  // namespace
}  // namespace spanmalloc
