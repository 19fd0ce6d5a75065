// The expressions in unwind tables.
//
// Place:    os/, below stack_trace.h.
// Purpose:  Where a frame starts is not always a register plus a number: not in
//           the stubs of the procedure linkage table, in functions that align
//           their stack, in frames of signal handlers.
// Not here: expressions that branch, or ask for what only a debugger has.
//
// Concurrency: pure, but for the memory that is read.
// Cost:        kMostOperands words of stack.
// Failure:     false.
#ifndef SPANMALLOC_ALLOCATOR_OS_FRAME_EXPRESSION_H_
#define SPANMALLOC_ALLOCATOR_OS_FRAME_EXPRESSION_H_

#include <cstdint>

#include "allocator/os/byte_reader.h"
#include "allocator/os/readable_memory.h"
#include "allocator/os/unwind_registers.h"

namespace spanmalloc {

inline constexpr size_t kMostOperands = 16;

// Evaluates with `initial` as the one operand that is there from the start, or
// with none if it is null.
bool EvaluateFrameExpression(ByteRange expression, const Registers& registers,
                             const uintptr_t* initial, ReadableMemory* memory,
                             uintptr_t* result);

// The commonest expression is the memory at a register plus an offset. If this
// is one: which register and offset.
bool IsMemoryAtRegister(ByteRange expression, size_t* column, int64_t* offset);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_FRAME_EXPRESSION_H_
