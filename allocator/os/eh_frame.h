// The unwind tables of an object: .eh_frame_hdr and .eh_frame.
//
// Place:    os/, below unwind_rule.h.
// Purpose:  From an address in a function to the row of the table that says how
//           to leave its frame: where the frame starts (CFA: the stack pointer
//           before the call), and where the caller's registers are.
// Not here: which object (loaded_object.h), which memory is read for it
//           (unwind_rule.h), expressions (frame_expression.h).
//
// The format is that of the LSB and of DWARF's call frame information. Read is
// what compilers and assemblers write, and no more: an index with a sorted
// table of pairs of 32-bit numbers, entries of version 1 or 3 with
// augmentations of z, R, P, L, S, B and G. .eh_frame without an index is not
// searched.
//
// Every function is given the range that it may read, and reads nothing else,
// whatever is in it. What it finds there is as trustworthy as the tables are.
//
// Concurrency: pure functions.
// Cost:        a binary search and the execution of some dozen bytes of
// program,
//              each once. About 600 bytes of stack.
// Failure:     false: no row, or one that is not understood.
#ifndef SPANMALLOC_ALLOCATOR_OS_EH_FRAME_H_
#define SPANMALLOC_ALLOCATOR_OS_EH_FRAME_H_

#include <cstdint>

#include "allocator/os/byte_reader.h"
#include "allocator/os/unwind_registers.h"

namespace spanmalloc {

// The sorted table of .eh_frame_hdr.
struct FrameIndex {
  uintptr_t header = 0;  // What its numbers are relative to.
  uintptr_t table = 0;
  uint64_t count = 0;  // At least one.
};

bool ReadFrameIndex(ByteRange readable, uintptr_t header, FrameIndex* index);

// The address of the description of the function that holds `pc`, if any does.
// REQUIRES: `index` is from ReadFrameIndex with the same range.
bool FindFrameDescription(ByteRange readable, const FrameIndex& index,
                          uintptr_t pc, uintptr_t* description);

// Of one register: where the caller's value is. Offsets are from the CFA.
struct RegisterRule {
  enum class Kind : uint8_t {
    kSame,             // Where it is: never touched. What is not mentioned.
    kUndefined,        // Lost. For the return address: there is no caller.
    kSaved,            // In memory at `offset`.
    kValue,            // It is the CFA plus `offset`.
    kRegister,         // In the register of column `offset`.
    kSavedExpression,  // In memory at the result of an expression.
    kValueExpression,  // The result of an expression.
  };
  Kind kind = Kind::kSame;
  // Of an expression: where its block is, from FrameRow::readable.start.
  int32_t offset = 0;
};

struct FrameRow {
  RegisterRule registers[kColumns];
  // The CFA: a register plus an offset, or an expression.
  bool cfa_is_expression = false;
  uint8_t cfa_column = kNoColumn;
  int32_t cfa_offset = 0;
  // The frame is one that the kernel made for a signal handler to return to.
  bool is_signal_frame = false;
};

// The row for `pc` of the function that is described there.
bool ReadFrameRow(ByteRange readable, uintptr_t description, uintptr_t pc,
                  FrameRow* row);

// The bytes of an expression. Empty if they leave the range.
ByteRange ExpressionBlock(ByteRange readable, int32_t offset);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_EH_FRAME_H_
