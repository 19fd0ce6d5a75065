#include "allocator/os/eh_frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "allocator/os/frame_expression.h"
#include "allocator/os/loaded_object.h"
#include "tests/support/guarded_pages.h"

namespace spanmalloc {
namespace {

using Kind = RegisterRule::Kind;
using Bytes = std::vector<uint8_t>;

#if defined(__x86_64__)
constexpr uint8_t kFp = 6, kSp = 7, kRa = 16, kOther = 1;
#else
constexpr uint8_t kFp = 29, kSp = 31, kRa = 30, kOther = 1;
#endif

struct Function {
  uint32_t start;  // From the start of the tables.
  uint32_t size;
  Bytes program;
};

// Tables as a linker makes them, at the very end of readable memory: the index,
// one CIE, the functions.
class Tables {
 public:
  explicit Tables(const std::vector<Function>& functions,
                  const Bytes& common_program = {},
                  const std::string& letters = "zR", uint8_t version = 1,
                  uint8_t return_address = kRa) {
    Put8({1, 0x1b, 0x03, 0x3b});
    Put32(8 + 8 * static_cast<uint32_t>(functions.size()));
    Put32(static_cast<uint32_t>(functions.size()));
    const size_t table = bytes_.size();
    bytes_.resize(table + 8 * functions.size());
    const size_t common = Begin();
    Put32(0);
    Put8({version});
    for (const char c : letters) Put8({static_cast<uint8_t>(c)});
    Put8({0, 1, 0x78, return_address});
    if (!letters.empty() && letters[0] == 'z') {
      Bytes data;
      for (const char c : letters.substr(1)) {
        if (c == 'R') data.push_back(0x1b);
        if (c == 'L') data.push_back(0x1b);
        if (c == 'P') data.insert(data.end(), {0x9b, 1, 2, 3, 4});
      }
      Put8({static_cast<uint8_t>(data.size())});
      Put8(data);
    }
    Put8(common_program);
    End(common);
    for (size_t i = 0; i < functions.size(); ++i) {
      Set32(table + 8 * i, functions[i].start);
      Set32(table + 8 * i + 4, static_cast<uint32_t>(bytes_.size()));
      const size_t entry = Begin();
      Put32(static_cast<uint32_t>(bytes_.size() - (common - 4)));
      Put32(functions[i].start - static_cast<uint32_t>(bytes_.size()));
      Put32(functions[i].size);
      if (!letters.empty()) Put8({0});
      Put8(functions[i].program);
      End(entry);
    }
    Place();
  }

  ByteRange range() const {
    const uintptr_t end = reinterpret_cast<uintptr_t>(pages_.end());
    return {end - bytes_.size(), end};
  }
  uintptr_t Address(uint32_t offset) const { return range().start + offset; }
  bool Row(uint32_t pc, FrameRow* row) const {
    FrameIndex index;
    uintptr_t description;
    return ReadFrameIndex(range(), range().start, &index) &&
           FindFrameDescription(range(), index, Address(pc), &description) &&
           ReadFrameRow(range(), description, Address(pc), row);
  }

  // For corruption.
  Bytes& bytes() { return bytes_; }
  void Place() {
    memcpy(pages_.end() - bytes_.size(), bytes_.data(), bytes_.size());
  }

 private:
  void Put8(const Bytes& bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  void Put32(uint32_t value) {
    bytes_.resize(bytes_.size() + 4);
    Set32(bytes_.size() - 4, value);
  }
  void Set32(size_t at, uint32_t value) {
    memcpy(bytes_.data() + at, &value, 4);
  }
  // An entry behind its length. Returns where it is.
  size_t Begin() {
    Put32(0);
    return bytes_.size();
  }
  void End(size_t start) {
    while (bytes_.size() % 4 != 0) bytes_.push_back(0);  // DW_CFA_nop
    Set32(start - 4, static_cast<uint32_t>(bytes_.size() - start));
  }

  Bytes bytes_;
  GuardedPages pages_{kMaxSystemPageSize};
};

constexpr uint32_t kCode = 0x10000;

// The row of a function's last address.
bool RowAfter(const Bytes& program, FrameRow* row,
              const Bytes& common_program = {}) {
  const Tables tables({{kCode, 100, program}}, common_program);
  return tables.Row(kCode + 99, row);
}

FrameRow Row(const Bytes& program, const Bytes& common_program = {}) {
  FrameRow row;
  EXPECT_TRUE(RowAfter(program, &row, common_program));
  return row;
}

#define EXPECT_RULE(row, column, the_kind, the_offset)     \
  do {                                                     \
    EXPECT_EQ((row).registers[column].kind, the_kind);     \
    EXPECT_EQ((row).registers[column].offset, the_offset); \
  } while (false)

const Bytes kStart = {0x0c, kSp, 8};  // The CFA is the stack pointer plus 8.

Bytes After(const Bytes& first, const Bytes& second) {
  Bytes both = first;
  both.insert(both.end(), second.begin(), second.end());
  return both;
}

TEST(EhFrameTest, FindsTheFunction) {
  std::vector<Function> functions;
  for (uint32_t i = 0; i < 9; ++i) {
    functions.push_back(
        {kCode + 100 * i, 90, {0x0c, kSp, static_cast<uint8_t>(8 * i)}});
    const Tables tables(functions);
    FrameRow row;
    for (uint32_t j = 0; j <= i; ++j) {
      for (const uint32_t inside : {0u, 1u, 89u}) {
        ASSERT_TRUE(tables.Row(kCode + 100 * j + inside, &row));
        EXPECT_EQ(row.cfa_offset, static_cast<int32_t>(8 * j));
      }
      EXPECT_FALSE(tables.Row(kCode + 100 * j + 90, &row));
      EXPECT_FALSE(tables.Row(kCode + 100 * j - 1, &row));
    }
  }
}

TEST(EhFrameTest, RowsChangeAtTheirAddresses) {
  const Tables tables({{kCode, 100, {0x41, 0x0e, 16, 0x02, 9, 0x0e, 24}}},
                      kStart);
  FrameRow row;
  for (const auto& [pc, offset] : std::vector<std::pair<uint32_t, int32_t>>{
           {0, 8}, {1, 16}, {9, 16}, {10, 24}, {99, 24}}) {
    ASSERT_TRUE(tables.Row(kCode + pc, &row));
    EXPECT_EQ(row.cfa_column, kStackPointer);
    EXPECT_EQ(row.cfa_offset, offset) << pc;
    EXPECT_FALSE(row.is_signal_frame);
  }
}

TEST(EhFrameTest, AdvancesByAllSizes) {
  for (const Bytes& advance :
       {Bytes{0x4a}, {0x02, 10}, {0x03, 10, 0}, {0x04, 10, 0, 0, 0}}) {
    const Tables tables({{kCode, 100, After(advance, {0x0e, 16})}}, kStart);
    FrameRow row;
    ASSERT_TRUE(tables.Row(kCode + 9, &row));
    EXPECT_EQ(row.cfa_offset, 8);
    ASSERT_TRUE(tables.Row(kCode + 10, &row));
    EXPECT_EQ(row.cfa_offset, 16);
  }
}

TEST(EhFrameTest, TheFrameStart) {
  FrameRow row = Row({0x0c, kFp, 16});
  EXPECT_EQ(row.cfa_column, kFramePointer);
  EXPECT_EQ(row.cfa_offset, 16);
  row = Row({0x0c, kSp, 8, 0x0d, kFp});
  EXPECT_EQ(row.cfa_column, kFramePointer);
  EXPECT_EQ(row.cfa_offset, 8);
  row = Row({0x12, kSp, 0x7e});  // Minus 2 times minus 8.
  EXPECT_EQ(row.cfa_offset, 16);
  row = Row({0x0c, kSp, 8, 0x13, 0x7d});
  EXPECT_EQ(row.cfa_offset, 24);
  // A register that is not tracked, while it is needed and before.
  EXPECT_FALSE(RowAfter({0x0c, kOther, 8}, &row));
  row = Row({0x0c, kOther, 8, 0x41, 0x0d, kSp});
  EXPECT_EQ(row.cfa_column, kStackPointer);
  // None at all.
  EXPECT_FALSE(RowAfter({}, &row));
}

TEST(EhFrameTest, RegisterRules) {
  EXPECT_RULE(Row(kStart), kFramePointer, Kind::kSame, 0);
  EXPECT_RULE(Row(After(kStart, {0x05, kFp, 2})), kFramePointer, Kind::kSaved,
              -16);
  EXPECT_RULE(Row(After(kStart, {0x11, kFp, 0x7e})), kFramePointer,
              Kind::kSaved, 16);
  EXPECT_RULE(Row(After(kStart, {0x2f, kFp, 2})), kFramePointer, Kind::kSaved,
              16);
  EXPECT_RULE(Row(After(kStart, {0x14, kFp, 2})), kFramePointer, Kind::kValue,
              -16);
  EXPECT_RULE(Row(After(kStart, {0x15, kFp, 0x7e})), kFramePointer,
              Kind::kValue, 16);
  EXPECT_RULE(Row(After(kStart, {0x07, kRa})), kReturnAddress, Kind::kUndefined,
              0);
  EXPECT_RULE(Row(After(kStart, {0x05, kFp, 2, 0x08, kFp})), kFramePointer,
              Kind::kSame, 0);
  EXPECT_RULE(Row(After(kStart, {0x09, kFp, kSp})), kFramePointer,
              Kind::kRegister, static_cast<int32_t>(kStackPointer));
  EXPECT_RULE(Row(After(kStart, {0x09, kFp, kOther})), kFramePointer,
              Kind::kUndefined, 0);
  // The short form, for a register below 64.
  EXPECT_RULE(Row(After(kStart, {0x80 | kRa, 1})), kReturnAddress, Kind::kSaved,
              -8);
  // Others are skipped, with their operands.
  EXPECT_RULE(Row(After(kStart, {0x05, kOther, 2, 0x16, kOther, 2, 0x12, 0x12,
                                 0x2e, 8, 0x00, 0x80 | kFp, 3})),
              kFramePointer, Kind::kSaved, -24);
}

TEST(EhFrameTest, Expressions) {
  const Tables tables(
      {{kCode,
        100,
        {0x0f, 2, 0x77, 8, 0x10, kFp, 2, 0x77, 16, 0x16, kRa, 2, 0x77, 24}}});
  FrameRow row;
  ASSERT_TRUE(tables.Row(kCode, &row));
  EXPECT_TRUE(row.cfa_is_expression);
  const auto last_byte = [&tables](int32_t offset) -> int {
    const ByteRange block = ExpressionBlock(tables.range(), offset);
    if (block.end - block.start != 2) return -1;
    return *reinterpret_cast<const uint8_t*>(block.start + 1);
  };
  EXPECT_EQ(last_byte(row.cfa_offset), 8);
  EXPECT_EQ(row.registers[kFramePointer].kind, Kind::kSavedExpression);
  EXPECT_EQ(last_byte(row.registers[kFramePointer].offset), 16);
  EXPECT_EQ(row.registers[kReturnAddress].kind, Kind::kValueExpression);
  EXPECT_EQ(last_byte(row.registers[kReturnAddress].offset), 24);
  // A later rule without one.
  FrameRow plain = Row({0x0f, 2, 0x77, 8, 0x0c, kSp, 8});
  EXPECT_FALSE(plain.cfa_is_expression);
}

TEST(EhFrameTest, RestoresRules) {
  const Bytes common = After(kStart, {0x80 | kFp, 2});
  EXPECT_RULE(Row({0x80 | kFp, 5, 0xc0 | kFp}, common), kFramePointer,
              Kind::kSaved, -16);
  EXPECT_RULE(Row({0x80 | kFp, 5, 0x06, kFp}, common), kFramePointer,
              Kind::kSaved, -16);
  const FrameRow row =
      Row({0x0e, 16, 0x0a, 0x0e, 24, 0x80 | kFp, 5, 0x0a, 0x0e, 32, 0x0b, 0x0b},
          common);
  EXPECT_EQ(row.cfa_offset, 16);
  EXPECT_RULE(row, kFramePointer, Kind::kSaved, -16);
  FrameRow none;
  EXPECT_FALSE(RowAfter({0x0b}, &none, common));
  EXPECT_FALSE(RowAfter(Bytes(5, 0x0a), &none, common));
  EXPECT_TRUE(RowAfter(Bytes(4, 0x0a), &none, common));
}

TEST(EhFrameTest, Augmentations) {
  FrameRow row;
  for (const char* letters : {"zR", "zPLR", "zRS", "zRB", "zRG"}) {
    const Tables tables({{kCode, 100, {0x41, 0x0e, 16}}}, kStart, letters);
    ASSERT_TRUE(tables.Row(kCode + 1, &row)) << letters;
    EXPECT_EQ(row.cfa_offset, 16);
    EXPECT_EQ(row.is_signal_frame, strchr(letters, 'S') != nullptr);
  }
  for (const char* letters : {"eh", "zX", "zRRRRRRRR", "R"}) {
    const Tables tables({{kCode, 100, {}}}, kStart, letters);
    EXPECT_FALSE(tables.Row(kCode + 1, &row)) << letters;
  }
  const Tables third({{kCode, 100, {}}}, kStart, "zR", 3);
  EXPECT_TRUE(third.Row(kCode, &row));
  const Tables fourth({{kCode, 100, {}}}, kStart, "zR", 4);
  EXPECT_FALSE(fourth.Row(kCode, &row));
  // The return address is somewhere else.
  const Tables strange({{kCode, 100, {}}}, kStart, "zR", 1, kFp);
  EXPECT_FALSE(strange.Row(kCode, &row));
}

TEST(EhFrameTest, UnknownOperationsHaveNoRow) {
  FrameRow row;
  for (const uint8_t operation : {0x17, 0x1c, 0x20, 0x30, 0x3f}) {
    EXPECT_FALSE(RowAfter(After(kStart, {operation}), &row)) << int{operation};
    // Behind the row they don't matter.
    const Tables tables({{kCode, 100, {0x42, operation}}}, kStart);
    EXPECT_TRUE(tables.Row(kCode + 1, &row));
    EXPECT_FALSE(tables.Row(kCode + 2, &row));
  }
  // Offsets of more than 32 bits.
  EXPECT_FALSE(RowAfter({0x0c, kSp, 0x80, 0x80, 0x80, 0x80, 0x08}, &row));
  EXPECT_FALSE(
      RowAfter(After(kStart, {0x05, kFp, 0x80, 0x80, 0x80, 0x80, 0x08}), &row));
}

TEST(EhFrameTest, AnIndexThatIsNotUnderstood) {
  FrameIndex index;
  for (const auto& [at, value] :
       std::vector<std::pair<size_t, uint8_t>>{{0, 2},
                                               {1, 0x0f},
                                               {2, 0xff},
                                               {3, 0x1b},
                                               {3, 0xff},
                                               {8, 0},
                                               {8, 200},
                                               {11, 0xff}}) {
    Tables tables({{kCode, 100, {}}}, kStart);
    ASSERT_TRUE(ReadFrameIndex(tables.range(), tables.range().start, &index));
    tables.bytes()[at] = value;
    tables.Place();
    EXPECT_FALSE(ReadFrameIndex(tables.range(), tables.range().start, &index))
        << at;
  }
  const Tables tables({{kCode, 100, {}}}, kStart);
  const ByteRange range = tables.range();
  EXPECT_FALSE(ReadFrameIndex(range, range.start - 1, &index));
  EXPECT_FALSE(ReadFrameIndex(range, range.end, &index));
  EXPECT_FALSE(ReadFrameIndex(range, range.end - 3, &index));
  EXPECT_FALSE(ReadFrameIndex({}, range.start, &index));
}

// Everything that can be done with tables, at an address.
void UseTables(ByteRange range, uintptr_t header, uintptr_t pc) {
  FrameIndex index;
  uintptr_t description;
  FrameRow row;
  if (!ReadFrameIndex(range, header, &index) ||
      !FindFrameDescription(range, index, pc, &description) ||
      !ReadFrameRow(range, description, pc, &row)) {
    return;
  }
  ReadableMemory memory;
  Registers registers;
  uintptr_t result;
  if (row.cfa_is_expression) {
    EvaluateFrameExpression(ExpressionBlock(range, row.cfa_offset), registers,
                            nullptr, &memory, &result);
  }
  for (const RegisterRule& rule : row.registers) {
    if (rule.kind == Kind::kSavedExpression ||
        rule.kind == Kind::kValueExpression) {
      EvaluateFrameExpression(ExpressionBlock(range, rule.offset), registers,
                              &pc, &memory, &result);
    }
  }
}

TEST(EhFrameTest, CorruptTables) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    Bytes program(random() % 40);
    for (uint8_t& byte : program) byte = static_cast<uint8_t>(random() % 0x30);
    Tables tables({{kCode, 100, program}, {kCode + 100, 100, program}},
                  i % 2 == 0 ? kStart : program);
    const Bytes good = tables.bytes();
    for (int j = 0; j < 100; ++j) {
      const ByteRange range = tables.range();
      UseTables(range, range.start, range.start + kCode + random() % 210 - 5);
      for (size_t flips = random() % 4; flips > 0; --flips) {
        tables.bytes()[random() % good.size()] ^=
            static_cast<uint8_t>(1 << random() % 8);
      }
      if (random() % 4 == 0) {
        tables.bytes()[random() % good.size()] = static_cast<uint8_t>(random());
      }
      tables.Place();
      if (random() % 8 == 0) tables.bytes() = good;
    }
  }
}

// What the linker made of this program, copied to the end of readable memory,
// and cut off.
class OwnTables {
 public:
  OwnTables() {
    LoadedObject object;
    if (!FindLoadedObject(reinterpret_cast<uintptr_t>(&UseTables), &object)) {
      return;
    }
    segment_ = original_ = ReadableSegment(object, object.frame_index);
    original_.start = object.frame_index;
  }
  // Null if there are none.
  uintptr_t start() const { return original_.start; }
  size_t size() const { return original_.end - original_.start; }
  // With the descriptions, which some linkers put before their index.
  ByteRange segment() const { return segment_; }

 private:
  ByteRange original_, segment_;
};

TEST(EhFrameTest, EveryFunctionOfThisProgramIsUnderstood) {
  const OwnTables tables;
  ASSERT_NE(tables.start(), 0u);
  FrameIndex index;
  ASSERT_TRUE(ReadFrameIndex(tables.segment(), tables.start(), &index));
  ASSERT_GT(index.count, 100u);
  size_t understood = 0;
  uintptr_t before = 0;
  for (uint64_t i = 0; i < index.count; ++i) {
    int32_t start;
    memcpy(&start, reinterpret_cast<const void*>(index.table + 8 * i), 4);
    const uintptr_t pc = index.header + static_cast<uintptr_t>(intptr_t{start});
    ASSERT_GT(pc, before);
    before = pc;
    uintptr_t description;
    FrameRow row;
    ASSERT_TRUE(
        FindFrameDescription(tables.segment(), index, pc, &description));
    understood += ReadFrameRow(tables.segment(), description, pc, &row);
  }
  EXPECT_EQ(understood, index.count);
}

TEST(EhFrameTest, CorruptTablesOfThisProgram) {
  const OwnTables own;
  ASSERT_NE(own.start(), 0u);
  std::mt19937 random(2);
  for (int i = 0; i < 40; ++i) {
    // Cut off anywhere.
    const size_t size = i == 0 ? own.size() : 1 + random() % own.size();
    const GuardedPages pages(size);
    char* const copy = pages.end() - size;
    memcpy(copy, reinterpret_cast<const void*>(own.start()), size);
    const uintptr_t start = reinterpret_cast<uintptr_t>(copy);
    const ByteRange range = {start, start + size};
    FrameIndex index;
    for (int j = 0; j < 1000; ++j) {
      uintptr_t pc = start + random();
      if (ReadFrameIndex(range, start, &index)) {
        int32_t offset;
        const uintptr_t entry = index.table + 8 * (random() % index.count);
        memcpy(&offset, reinterpret_cast<const void*>(entry), 4);
        pc = start + static_cast<uintptr_t>(intptr_t{offset}) + random() % 64;
        uintptr_t description;
        if (FindFrameDescription(range, index, pc, &description) &&
            range.Contains(description)) {
          const size_t left = range.end - description;
          reinterpret_cast<char*>(
              description)[random() % std::min<size_t>(left, 40)] ^=
              static_cast<char>(1 << random() % 8);
        }
        if (random() % 2 == 0) {
          reinterpret_cast<char*>(entry)[random() % 8] =
              static_cast<char>(random());
        }
      }
      UseTables(range, start, pc);
    }
  }
}

}  // namespace
}  // namespace spanmalloc
