// The registers that a walk over the stack keeps, and what the processor and
// the kernel have to say about them.
//
// Place:    os/, below stack_trace.h. All that differs between architectures.
// Purpose:  A caller's frame is found by what its callee knows: the registers
//           that a call preserves. The others are not tracked.
//
// A register has a column: its place in a row of the unwind tables, too. The
// first kSavedRegisters columns are registers that a call preserves, the frame
// pointer in column 0.
//
// A compact rule (unwind_rule.h) has kSlotBits for each of them: the word below
// the frame's start in which it was saved.
#ifndef SPANMALLOC_ALLOCATOR_OS_UNWIND_REGISTERS_H_
#define SPANMALLOC_ALLOCATOR_OS_UNWIND_REGISTERS_H_

#include <signal.h>
#include <stddef.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"

namespace spanmalloc {

#if defined(__x86_64__)
inline constexpr bool kCanUnwind = true;
inline constexpr size_t kSavedRegisters = 6;  // rbp, rbx, r12 to r15.
inline constexpr unsigned kSlotBits = 4;
#elif defined(__aarch64__)
inline constexpr bool kCanUnwind = true;
inline constexpr size_t kSavedRegisters = 2;  // x29, x30.
inline constexpr unsigned kSlotBits = 12;
#else
inline constexpr bool kCanUnwind = false;
inline constexpr size_t kSavedRegisters = 1;
inline constexpr unsigned kSlotBits = 4;
#endif

inline constexpr size_t kFramePointer = 0;
inline constexpr size_t kStackPointer = kSavedRegisters;
inline constexpr size_t kProgramCounter = kSavedRegisters + 1;
inline constexpr size_t kColumns = kSavedRegisters + 2;
inline constexpr size_t kNoColumn = kColumns;

#if defined(__aarch64__)
// A call leaves the return address in x30.
inline constexpr bool kHasLinkRegister = true;
inline constexpr size_t kReturnAddress = 1;
#else
// A call pushes it; in the tables it has a register of its own.
inline constexpr bool kHasLinkRegister = false;
inline constexpr size_t kReturnAddress = kProgramCounter;
#endif

struct Registers {
  uintptr_t value[kColumns] = {};

  uintptr_t pc() const { return value[kProgramCounter]; }
  uintptr_t sp() const { return value[kStackPointer]; }
};

// Where the number of a register, as the tables have it, is tracked.
constexpr size_t ColumnOfDwarfRegister(uint64_t number) {
#if defined(__x86_64__)
  switch (number) {
    case 6:
      return 0;
    case 3:
      return 1;
    case 7:
      return kStackPointer;
    case 16:
      return kProgramCounter;
    default:
      return number >= 12 && number < 16 ? number - 10 : kNoColumn;
  }
#elif defined(__aarch64__)
  return number == 29   ? 0
         : number == 30 ? 1
         : number == 31 ? kStackPointer
                        : kNoColumn;
#else
  (void)number;
  return kNoColumn;
#endif
}

// The registers as they are here, in the function that this is inlined into.
SPANMALLOC_ALWAYS_INLINE void CaptureRegisters(Registers* registers) {
#if defined(__x86_64__)
  asm volatile(
      "movq %%rbp, 0(%0)\n\t"
      "movq %%rbx, 8(%0)\n\t"
      "movq %%r12, 16(%0)\n\t"
      "movq %%r13, 24(%0)\n\t"
      "movq %%r14, 32(%0)\n\t"
      "movq %%r15, 40(%0)\n\t"
      "movq %%rsp, 48(%0)\n\t"
      "leaq 0(%%rip), %%rax\n\t"
      "movq %%rax, 56(%0)"
      :
      : "r"(registers->value)
      : "rax", "memory");
#elif defined(__aarch64__)
  asm volatile(
      "stp x29, x30, [%0]\n\t"
      "mov x9, sp\n\t"
      "adr x10, .\n\t"
      "stp x9, x10, [%0, #16]"
      :
      : "r"(registers->value)
      : "x9", "x10", "memory");
#else
  *registers = Registers();
#endif
}

// A return address without the signature that pointer authentication puts into
// its upper bits. The instruction does nothing on processors without it.
SPANMALLOC_ALWAYS_INLINE uintptr_t StripSignature(uintptr_t address) {
#if defined(__aarch64__)
  register uintptr_t x30 asm("x30") = address;
  asm("hint #7" : "+r"(x30));  // xpaclri
  return x30;
#else
  return address;
#endif
}

// The code to which a signal handler returns: the C library's or the kernel's.
inline constexpr size_t kSignalReturnSize =
#if defined(__x86_64__)
    9;
#else
    8;
#endif

inline bool IsSignalReturn(const uint8_t* code) {
#if defined(__x86_64__)
  // mov $15, %rax; syscall. And mov $15, %eax; syscall.
  static constexpr uint8_t kLong[] = {0x48, 0xc7, 0xc0, 0x0f, 0x00,
                                      0x00, 0x00, 0x0f, 0x05};
  static constexpr uint8_t kShort[] = {0xb8, 0x0f, 0x00, 0x00,
                                       0x00, 0x0f, 0x05};
  return __builtin_memcmp(code, kLong, sizeof(kLong)) == 0 ||
         __builtin_memcmp(code, kShort, sizeof(kShort)) == 0;
#elif defined(__aarch64__)
  // mov x8, #139; svc #0.
  static constexpr uint8_t kCode[] = {0x68, 0x11, 0x80, 0xd2,
                                      0x01, 0x00, 0x00, 0xd4};
  return __builtin_memcmp(code, kCode, sizeof(kCode)) == 0;
#else
  (void)code;
  return false;
#endif
}

// Where, from the stack pointer at that code, the interrupted registers are.
inline size_t SignalRegisterOffset(size_t column) {
#if defined(__x86_64__)
  static constexpr int kRegisters[kColumns] = {
      REG_RBP, REG_RBX, REG_R12, REG_R13, REG_R14, REG_R15, REG_RSP, REG_RIP};
  return offsetof(ucontext_t, uc_mcontext.gregs) +
         static_cast<size_t>(kRegisters[column]) * sizeof(uint64_t);
#elif defined(__aarch64__)
  static constexpr size_t kRegisters[kColumns] = {
      offsetof(mcontext_t, regs) + 29 * sizeof(uint64_t),
      offsetof(mcontext_t, regs) + 30 * sizeof(uint64_t),
      offsetof(mcontext_t, sp), offsetof(mcontext_t, pc)};
  return sizeof(siginfo_t) + offsetof(ucontext_t, uc_mcontext) +
         kRegisters[column];
#else
  return column;
#endif
}

// Whether the bytes before a return address are a call. `code` ends there.
inline constexpr size_t kLongestCall = kHasLinkRegister ? 4 : 7;

inline bool EndsInCall(const uint8_t (&code)[kLongestCall]) {
#if defined(__x86_64__)
  if (code[2] == 0xe8) return true;  // call rel32
  // ff /2: call through a register or memory, of 2 to 7 bytes.
  for (size_t size = 2; size <= kLongestCall; ++size) {
    const uint8_t* const call = code + kLongestCall - size;
    const unsigned format = call[1] >> 6, operation = call[1] >> 3 & 7,
                   base = call[1] & 7;
    if (call[0] != 0xff || operation != 2) continue;
    const bool has_index = format != 3 && base == 4;
    if (has_index && size == 2) continue;
    const bool has_no_base =
        format == 0 && (has_index ? call[2] & 7 : base) == 5;
    size_t expected = 2 + has_index;
    if (format == 1) expected += 1;
    if (format == 2 || has_no_base) expected += 4;
    if (size == expected) return true;
  }
  return false;
#elif defined(__aarch64__)
  uint32_t instruction;
  __builtin_memcpy(&instruction, code, sizeof(instruction));
  return instruction >> 26 == 0x25 ||                 // bl
         (instruction & 0xfffffc1f) == 0xd63f0000 ||  // blr
         (instruction & 0xfefff800) == 0xd63f0800;    // blraa and relatives
#else
  (void)code;
  return false;
#endif
}

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_UNWIND_REGISTERS_H_
