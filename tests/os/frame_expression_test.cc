#include "allocator/os/frame_expression.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "tests/support/guarded_pages.h"

namespace spanmalloc {
namespace {

#if defined(__x86_64__)
constexpr uint8_t kSp = 0x77;       // DW_OP_breg7
constexpr uint8_t kFrame = 0x76;    // DW_OP_breg6
constexpr uint8_t kUnknown = 0x70;  // DW_OP_breg0: rax
#else
constexpr uint8_t kSp = 0x8f;     // DW_OP_breg31
constexpr uint8_t kFrame = 0x8d;  // DW_OP_breg29
constexpr uint8_t kUnknown = 0x70;
#endif

ByteRange RangeOf(const std::vector<uint8_t>& bytes) {
  const uintptr_t start = reinterpret_cast<uintptr_t>(bytes.data());
  return {start, start + bytes.size()};
}

class FrameExpressionTest : public ::testing::Test {
 protected:
  FrameExpressionTest() {
    registers_.value[kFramePointer] = 1000;
    registers_.value[kStackPointer] = reinterpret_cast<uintptr_t>(words_);
    registers_.value[kProgramCounter] = 0x40000b;
  }
  bool Evaluate(const std::vector<uint8_t>& bytes, uintptr_t* result,
                const uintptr_t* initial = nullptr) {
    return EvaluateFrameExpression(RangeOf(bytes), registers_, initial,
                                   &memory_, result);
  }
  uintptr_t Result(const std::vector<uint8_t>& bytes) {
    uintptr_t result = 0;
    EXPECT_TRUE(Evaluate(bytes, &result));
    return result;
  }
  void ExpectNone(const std::vector<uint8_t>& bytes) {
    uintptr_t result;
    EXPECT_FALSE(Evaluate(bytes, &result)) << bytes.size();
  }

  uintptr_t words_[4] = {11, 22, 33, 44};
  Registers registers_;
  ReadableMemory memory_;
};

TEST_F(FrameExpressionTest, RegistersAndMemory) {
  EXPECT_EQ(Result({kFrame, 8}), 1008u);
  EXPECT_EQ(Result({kFrame, 0x78}), 992u);
  EXPECT_EQ(Result({kSp, 16, 0x06}), 33u);
  EXPECT_EQ(Result({kSp, 16, 0x06, 0x23, 8}), 41u);
  EXPECT_EQ(Result({0x92, static_cast<uint8_t>(kFrame - 0x70), 1}), 1001u);
  ExpectNone({kUnknown, 0});
  ExpectNone({0x92, 60, 0});
  ExpectNone({0x31, 0x06});    // Nothing is there.
  ExpectNone({kSp, 1, 0x06});  // Not a word.
}

TEST_F(FrameExpressionTest, Arithmetic) {
  EXPECT_EQ(Result({0x35, 0x33, 0x1c}), 2u);
  EXPECT_EQ(Result({0x35, 0x33, 0x22}), 8u);
  EXPECT_EQ(Result({0x35, 0x33, 0x1a}), 1u);
  EXPECT_EQ(Result({0x35, 0x33, 0x21}), 7u);
  EXPECT_EQ(Result({0x35, 0x33, 0x27}), 6u);
  EXPECT_EQ(Result({0x35, 0x33, 0x1e}), 15u);
  EXPECT_EQ(Result({0x35, 0x33, 0x24}), 40u);
  EXPECT_EQ(Result({0x35, 0x31, 0x25}), 2u);
  EXPECT_EQ(Result({0x35, 0x08, 0xff, 0x24}), 0u);
  EXPECT_EQ(Result({0x35, 0x33, 0x2a}), 1u);
  EXPECT_EQ(Result({0x35, 0x1f, 0x33, 0x2a}), 0u);
  EXPECT_EQ(Result({0x35, 0x33, 0x2b}), 1u);
  EXPECT_EQ(Result({0x35, 0x33, 0x2c}), 0u);
  EXPECT_EQ(Result({0x35, 0x33, 0x2d}), 0u);
  EXPECT_EQ(Result({0x35, 0x33, 0x29}), 0u);
  EXPECT_EQ(Result({0x35, 0x33, 0x2e}), 1u);
  EXPECT_EQ(Result({0x35, 0x33, 0x16, 0x1c}), static_cast<uintptr_t>(-2));
  EXPECT_EQ(Result({0x35, 0x12, 0x22}), 10u);
  EXPECT_EQ(Result({0x35, 0x33, 0x13}), 5u);
  EXPECT_EQ(Result({0x30, 0x20, 0x96}), UINTPTR_MAX);
}

TEST_F(FrameExpressionTest, Constants) {
  EXPECT_EQ(Result({0x08, 0xfe}), 254u);
  EXPECT_EQ(Result({0x09, 0xfe}), static_cast<uintptr_t>(-2));
  EXPECT_EQ(Result({0x0a, 0xfe, 0xff}), 65534u);
  EXPECT_EQ(Result({0x0b, 0xfe, 0xff}), static_cast<uintptr_t>(-2));
  EXPECT_EQ(Result({0x0c, 1, 0, 0, 0x80}), 0x80000001u);
  EXPECT_EQ(Result({0x0d, 1, 0, 0, 0x80}), 0xffffffff80000001u);
  EXPECT_EQ(Result({0x0e, 1, 2, 3, 4, 5, 6, 7, 8}), 0x0807060504030201u);
  EXPECT_EQ(Result({0x0f, 1, 2, 3, 4, 5, 6, 7, 8}), 0x0807060504030201u);
  EXPECT_EQ(Result({0x10, 0xff, 1}), 255u);
  EXPECT_EQ(Result({0x11, 0x7e}), static_cast<uintptr_t>(-2));
  EXPECT_EQ(Result({0x03, 1, 2, 3, 4, 5, 6, 7, 8}), 0x0807060504030201u);
}

#if defined(__x86_64__)
// The stack pointer plus 8, and plus 8 more behind the first 11 of 16 bytes.
TEST_F(FrameExpressionTest, TheProcedureLinkageTable) {
  const std::vector<uint8_t> code = {kSp,  8,    0x80, 0,    0x3f, 0x1a,
                                     0x3b, 0x2a, 0x33, 0x24, 0x22};
  EXPECT_EQ(Result(code), registers_.sp() + 16);
  registers_.value[kProgramCounter] -= 1;
  EXPECT_EQ(Result(code), registers_.sp() + 8);
}
#endif

TEST_F(FrameExpressionTest, TheInitialOperand) {
  uintptr_t result = 0;
  const uintptr_t initial = 100;
  EXPECT_TRUE(Evaluate({0x23, 5}, &result, &initial));
  EXPECT_EQ(result, 105u);
  ExpectNone({0x23, 5});
}

TEST_F(FrameExpressionTest, NonsenseHasNoResult) {
  ExpectNone({});
  ExpectNone({0x22});
  ExpectNone({0x31, 0x22});
  ExpectNone({0x13});
  ExpectNone({0x08});
  ExpectNone({0x0e, 1, 2, 3});
  ExpectNone({kFrame});
  ExpectNone({kFrame, 0x80});
  ExpectNone({0x2f, 0, 0});  // It would branch.
  ExpectNone({0xff});
  ExpectNone(std::vector<uint8_t>(kMostOperands + 1, 0x31));
  std::vector<uint8_t> most(kMostOperands, 0x31);
  EXPECT_EQ(Result(most), 1u);
}

TEST_F(FrameExpressionTest, MemoryAtARegister) {
  size_t column = 0;
  int64_t offset = 0;
  const std::vector<uint8_t> good = {kFrame, 0x78, 0x06};
  ASSERT_TRUE(IsMemoryAtRegister(RangeOf(good), &column, &offset));
  EXPECT_EQ(column, kFramePointer);
  EXPECT_EQ(offset, -8);
  for (const std::vector<uint8_t>& bad : {std::vector<uint8_t>{},
                                          {kFrame},
                                          {kFrame, 8},
                                          {kFrame, 8, 0x06, 0x96},
                                          {kUnknown, 8, 0x06},
                                          {kFrame, 8, 0x12},
                                          {0x31, 8, 0x06}}) {
    EXPECT_FALSE(IsMemoryAtRegister(RangeOf(bad), &column, &offset));
  }
}

TEST_F(FrameExpressionTest, RandomBytes) {
  const GuardedPages pages(kMaxSystemPageSize);
  std::mt19937 random(1);
  size_t results = 0;
  for (int i = 0; i < 100000; ++i) {
    const size_t size = random() % 12;
    auto* const start = reinterpret_cast<uint8_t*>(pages.end()) - size;
    for (size_t j = 0; j < size; ++j) start[j] = static_cast<uint8_t>(random());
    const uintptr_t address = reinterpret_cast<uintptr_t>(start);
    uintptr_t result;
    results += EvaluateFrameExpression({address, address + size}, registers_,
                                       &address, &memory_, &result);
    size_t column;
    int64_t offset;
    IsMemoryAtRegister({address, address + size}, &column, &offset);
  }
  EXPECT_GT(results, 1000u);
}

}  // namespace
}  // namespace spanmalloc
