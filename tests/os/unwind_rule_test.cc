#include "allocator/os/unwind_rule.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace spanmalloc {
namespace {

using Kind = UnwindRule::Kind;
using RuleKind = RegisterRule::Kind;

constexpr int32_t kWord = sizeof(uintptr_t);

// As it is at the first instruction of a function.
FrameRow Row() {
  FrameRow row;
  row.cfa_column = kStackPointer;
  row.cfa_offset = kHasLinkRegister ? 0 : kWord;
  if (!kHasLinkRegister) {
    row.registers[kReturnAddress] = {RuleKind::kSaved, -kWord};
  }
  return row;
}

UnwindRule RuleOf(const FrameRow& row) { return UnwindRule::OfRow({}, row); }

TEST(UnwindRuleTest, NothingIsKnownAtFirst) {
  EXPECT_EQ(UnwindRule().bits(), 0u);
  for (const Kind kind : {Kind::kNoRow, Kind::kOutermost, Kind::kRow}) {
    EXPECT_NE(UnwindRule(kind).bits(), 0u);
    EXPECT_EQ(UnwindRule(kind).kind(), kind);
  }
}

TEST(UnwindRuleTest, PlainFrames) {
  FrameRow row = Row();
  UnwindRule rule = RuleOf(row);
  EXPECT_EQ(rule.kind(), Kind::kCompact);
  EXPECT_EQ(rule.cfa_column(), kStackPointer);
  EXPECT_EQ(rule.cfa_offset(), row.cfa_offset);
  EXPECT_FALSE(rule.cfa_in_memory());
  EXPECT_EQ(rule.slots(), 0u);

  row.cfa_column = kFramePointer;
  row.cfa_offset = INT32_MIN;
  row.registers[kFramePointer] = {RuleKind::kSaved, -2 * kWord};
  rule = RuleOf(row);
  EXPECT_EQ(rule.kind(), Kind::kCompact);
  EXPECT_EQ(rule.cfa_column(), kFramePointer);
  EXPECT_EQ(rule.cfa_offset(), INT32_MIN);
  EXPECT_EQ(rule.slots(), 2u);
}

TEST(UnwindRuleTest, EachRegisterHasItsSlot) {
  constexpr int32_t kLargest = (1 << kSlotBits) - 1;
  for (size_t i = 0; i < kSavedRegisters; ++i) {
    FrameRow row = Row();
    row.registers[i] = {RuleKind::kSaved, -kLargest * kWord};
    UnwindRule rule = RuleOf(row);
    EXPECT_EQ(rule.kind(), Kind::kCompact);
    EXPECT_EQ(rule.slots(), static_cast<uint32_t>(kLargest) << i * kSlotBits);
    EXPECT_EQ(rule.cfa_offset(), row.cfa_offset);
    for (const int32_t offset :
         {-(kLargest + 1) * kWord, 0, kWord, -kWord - 1, -1}) {
      row.registers[i].offset = offset;
      EXPECT_EQ(RuleOf(row).kind(), Kind::kRow) << offset;
    }
    for (const RuleKind kind :
         {RuleKind::kValue, RuleKind::kRegister, RuleKind::kSavedExpression,
          RuleKind::kValueExpression}) {
      row.registers[i] = {kind, -kWord};
      EXPECT_EQ(RuleOf(row).kind(), Kind::kRow);
    }
  }
}

TEST(UnwindRuleTest, WhatDoesNotFit) {
  FrameRow row = Row();
  row.is_signal_frame = true;
  EXPECT_EQ(RuleOf(row).kind(), Kind::kRow);
  row = Row();
  row.registers[kStackPointer] = {RuleKind::kSaved, -3 * kWord};
  EXPECT_EQ(RuleOf(row).kind(), Kind::kRow);
  row = Row();
  row.registers[kReturnAddress] = {RuleKind::kValue, -kWord};
  EXPECT_EQ(RuleOf(row).kind(), Kind::kRow);
  if (!kHasLinkRegister) {
    row.registers[kReturnAddress] = {RuleKind::kSaved, -2 * kWord};
    EXPECT_EQ(RuleOf(row).kind(), Kind::kRow);
    row.registers[kReturnAddress] = {RuleKind::kSame, 0};
    EXPECT_EQ(RuleOf(row).kind(), Kind::kRow);
  }
}

TEST(UnwindRuleTest, TheOutermostFrame) {
  FrameRow row = Row();
  row.registers[kReturnAddress] = {RuleKind::kUndefined, 0};
  EXPECT_EQ(RuleOf(row).kind(), Kind::kOutermost);
}

TEST(UnwindRuleTest, AStartInMemory) {
#if defined(__x86_64__)
  constexpr uint8_t kFrame = 0x76;
#else
  constexpr uint8_t kFrame = 0x8d;
#endif
  // A block of three bytes: the memory at the frame pointer minus 8. And one
  // that does more.
  const std::vector<uint8_t> bytes = {3,      kFrame, 0x78, 0x06, 4,
                                      kFrame, 0x78,   0x06, 0x96};
  const uintptr_t start = reinterpret_cast<uintptr_t>(bytes.data());
  const ByteRange range = {start, start + bytes.size()};
  FrameRow row = Row();
  row.cfa_is_expression = true;
  row.cfa_offset = 0;
  const UnwindRule rule = UnwindRule::OfRow(range, row);
  EXPECT_EQ(rule.kind(), Kind::kCompact);
  EXPECT_TRUE(rule.cfa_in_memory());
  EXPECT_EQ(rule.cfa_column(), kFramePointer);
  EXPECT_EQ(rule.cfa_offset(), -8);
  row.cfa_offset = 4;
  EXPECT_EQ(UnwindRule::OfRow(range, row).kind(), Kind::kRow);
  row.cfa_offset = 100;
  EXPECT_EQ(UnwindRule::OfRow(range, row).kind(), Kind::kRow);
}

int AFunction() { return 1; }

TEST(UnwindRulesTest, WhatWasFoundIsKnown) {
  const uintptr_t pc = reinterpret_cast<uintptr_t>(&AFunction);
  FrameRow row;
  ByteRange readable;
  UnwindRule rule;
  {
    UnwindRules rules;
    EXPECT_EQ(rules.FindKnown(pc).bits(), 0u);
    rule = rules.Find(pc, &row, &readable);
    EXPECT_EQ(rule.kind(), Kind::kCompact);
    EXPECT_EQ(rule.cfa_column(), kStackPointer);
    EXPECT_EQ(rule.cfa_offset(), kHasLinkRegister ? 0 : 8);
    EXPECT_EQ(rules.FindKnown(pc).bits(), rule.bits());
  }
  UnwindRules rules;
  EXPECT_EQ(rules.FindKnown(pc).bits(), rule.bits());
  EXPECT_EQ(rules.FindKnown(pc + (1 << 30)).bits(), 0u);
  EXPECT_EQ(rules.FindKnown(pc).bits(), rule.bits());
}

TEST(UnwindRulesTest, WhereThereIsNoObject) {
  UnwindRules rules;
  FrameRow row;
  ByteRange readable;
  for (const uintptr_t pc :
       {uintptr_t{0}, UINTPTR_MAX, reinterpret_cast<uintptr_t>(&row)}) {
    EXPECT_EQ(rules.FindKnown(pc).bits(), 0u);
    EXPECT_EQ(rules.Find(pc, &row, &readable).kind(), Kind::kNoRow);
  }
}

// That an address has no row is known, too.
TEST(UnwindRulesTest, DataHasNoRow) {
  static const int kData = 1;
  const uintptr_t pc = reinterpret_cast<uintptr_t>(&kData);
  UnwindRules rules;
  FrameRow row;
  ByteRange readable;
  EXPECT_EQ(rules.Find(pc, &row, &readable).kind(), Kind::kNoRow);
  EXPECT_EQ(rules.FindKnown(pc).kind(), Kind::kNoRow);
  EXPECT_NE(rules.FindKnown(pc).bits(), 0u);
}

}  // namespace
}  // namespace spanmalloc
