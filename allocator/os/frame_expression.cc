#include "allocator/os/frame_expression.h"

namespace spanmalloc {
namespace {

constexpr uint8_t kDeref = 0x06;      // DW_OP_deref
constexpr uint8_t kLiteral0 = 0x30;   // DW_OP_lit0
constexpr uint8_t kRegister0 = 0x70;  // DW_OP_breg0
constexpr uint8_t kRegisterX = 0x92;  // DW_OP_bregx
constexpr uint8_t kRange = 32;

class Operands {
 public:
  bool failed() const { return failed_; }
  void Push(uintptr_t value) {
    if (count_ == kMostOperands) {
      failed_ = true;
    } else {
      values_[count_++] = value;
    }
  }
  uintptr_t Pop() {
    if (count_ == 0) {
      failed_ = true;
      return 0;
    }
    return values_[--count_];
  }

 private:
  uintptr_t values_[kMostOperands];
  size_t count_ = 0;
  bool failed_ = false;
};

// An operation on the second operand from the top and the top.
bool Combine(uint8_t operation, Operands* operands) {
  const uintptr_t top = operands->Pop();
  const uintptr_t second = operands->Pop();
  const intptr_t signed_top = static_cast<intptr_t>(top);
  const intptr_t signed_second = static_cast<intptr_t>(second);
  uintptr_t result;
  switch (operation) {
    case 0x1a:  // DW_OP_and
      result = second & top;
      break;
    case 0x1c:  // DW_OP_minus
      result = second - top;
      break;
    case 0x1e:  // DW_OP_mul
      result = second * top;
      break;
    case 0x21:  // DW_OP_or
      result = second | top;
      break;
    case 0x22:  // DW_OP_plus
      result = second + top;
      break;
    case 0x24:  // DW_OP_shl
      result = top < 64 ? second << top : 0;
      break;
    case 0x25:  // DW_OP_shr
      result = top < 64 ? second >> top : 0;
      break;
    case 0x27:  // DW_OP_xor
      result = second ^ top;
      break;
    case 0x29:  // DW_OP_eq
      result = second == top;
      break;
    case 0x2a:  // DW_OP_ge
      result = signed_second >= signed_top;
      break;
    case 0x2b:  // DW_OP_gt
      result = signed_second > signed_top;
      break;
    case 0x2c:  // DW_OP_le
      result = signed_second <= signed_top;
      break;
    case 0x2d:  // DW_OP_lt
      result = signed_second < signed_top;
      break;
    case 0x2e:  // DW_OP_ne
      result = second != top;
      break;
    default:
      return false;
  }
  operands->Push(result);
  return true;
}

// DW_OP_const1u to DW_OP_consts.
uintptr_t ReadConstant(uint8_t operation, ByteReader* reader) {
  // Their formats as pointers have them.
  static constexpr uint8_t kSigned1 = 0xff, kUnsigned1 = 0xfe;
  static constexpr uint8_t kFormats[] = {
      kUnsigned1, kSigned1, 0x02, 0x0a, 0x03, 0x0b, 0x04, 0x0c, 0x01, 0x09};
  switch (const uint8_t format = kFormats[operation - 0x08]) {
    case kUnsigned1:
      return reader->Read<uint8_t>();
    case kSigned1:
      return static_cast<uintptr_t>(intptr_t{reader->Read<int8_t>()});
    default:
      return reader->ReadFormatted(format);
  }
}

// Operands that are not on the stack: DW_OP_bregN and DW_OP_bregx.
bool ReadRegister(uint8_t operation, ByteReader* reader, size_t* column,
                  int64_t* offset) {
  if (operation == kRegisterX) {
    *column = ColumnOfDwarfRegister(reader->ReadUnsignedLeb());
  } else if (operation >= kRegister0 && operation - kRegister0 < kRange) {
    *column = ColumnOfDwarfRegister(operation - kRegister0);
  } else {
    return false;
  }
  *offset = reader->ReadSignedLeb();
  return *column != kNoColumn && !reader->failed();
}

bool Execute(uint8_t operation, ByteReader* reader, const Registers& registers,
             ReadableMemory* memory, Operands* operands) {
  if (operation >= kLiteral0 && operation - kLiteral0 < kRange) {
    operands->Push(operation - kLiteral0);
    return true;
  }
  if (operation >= 0x08 && operation <= 0x11) {
    operands->Push(ReadConstant(operation, reader));
    return true;
  }
  switch (operation) {
    case 0x03:  // DW_OP_addr
      operands->Push(reader->Read<uintptr_t>());
      return true;
    case kDeref: {
      uintptr_t word;
      if (!memory->ReadWord(operands->Pop(), &word)) return false;
      operands->Push(word);
      return true;
    }
    case 0x12: {  // DW_OP_dup
      const uintptr_t top = operands->Pop();
      operands->Push(top);
      operands->Push(top);
      return true;
    }
    case 0x13:  // DW_OP_drop
      operands->Pop();
      return true;
    case 0x16: {  // DW_OP_swap
      const uintptr_t top = operands->Pop();
      const uintptr_t second = operands->Pop();
      operands->Push(top);
      operands->Push(second);
      return true;
    }
    case 0x1f:  // DW_OP_neg
      operands->Push(0 - operands->Pop());
      return true;
    case 0x20:  // DW_OP_not
      operands->Push(~operands->Pop());
      return true;
    case 0x23:  // DW_OP_plus_uconst
      operands->Push(operands->Pop() + reader->ReadUnsignedLeb());
      return true;
    case 0x96:  // DW_OP_nop
      return true;
    default:
      break;
  }
  size_t column;
  int64_t offset;
  if (ReadRegister(operation, reader, &column, &offset)) {
    operands->Push(registers.value[column] + static_cast<uintptr_t>(offset));
    return true;
  }
  return Combine(operation, operands);
}

}  // namespace

bool EvaluateFrameExpression(ByteRange expression, const Registers& registers,
                             const uintptr_t* initial, ReadableMemory* memory,
                             uintptr_t* result) {
  Operands operands;
  if (initial != nullptr) operands.Push(*initial);
  ByteReader reader(expression);
  while (!reader.at_end()) {
    const uint8_t operation = reader.Read<uint8_t>();
    if (!Execute(operation, &reader, registers, memory, &operands) ||
        operands.failed()) {
      return false;
    }
  }
  *result = operands.Pop();
  return !reader.failed() && !operands.failed();
}

bool IsMemoryAtRegister(ByteRange expression, size_t* column, int64_t* offset) {
  ByteReader reader(expression);
  return ReadRegister(reader.Read<uint8_t>(), &reader, column, offset) &&
         reader.Read<uint8_t>() == kDeref && reader.at_end() &&
         !reader.failed();
}

}  // namespace spanmalloc
