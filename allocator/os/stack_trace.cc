#include "allocator/os/stack_trace.h"

#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/os/errno_saver.h"
#include "allocator/os/frame_expression.h"
#include "allocator/os/readable_memory.h"
#include "allocator/os/unwind_registers.h"
#include "allocator/os/unwind_rule.h"

namespace spanmalloc {
namespace {

constexpr size_t kWord = sizeof(uintptr_t);

// Stacks grow down, so a caller's frame is above. Signal handlers and
// coroutines go to other stacks; where nothing is true, this ends a walk in
// circles.
constexpr int kMostSteps = 8;

// A frame that is left by its frame pointer is no larger.
constexpr uintptr_t kLargestGuess = 1 << 20;

class Walk {
 public:
  SPANMALLOC_ALWAYS_INLINE Walk() : memory_(this) {
    CaptureRegisters(&registers_);
  }

  // From a frame to its caller's.
  SPANMALLOC_ALWAYS_INLINE bool Step() {
    // What was called last may be a function that does not return: then the
    // return address is behind the caller's end.
    const uintptr_t pc = registers_.pc() - (interrupted_ ? 0 : 1);
    const UnwindRule rule = rules_.FindKnown(pc);
    if (SPANMALLOC_LIKELY(rule.kind() == UnwindRule::Kind::kCompact)) {
      return Apply(rule);
    }
    return StepSlowly(pc, rule);
  }

  void* frame() const {
    return reinterpret_cast<void*>(registers_.pc() + (interrupted_ ? 1 : 0));
  }

 private:
  bool Apply(UnwindRule rule);
  SPANMALLOC_NOINLINE bool StepSlowly(uintptr_t pc, UnwindRule rule);
  bool ApplyRow(const FrameRow& row, ByteRange readable);
  bool ReadCfa(const FrameRow& row, ByteRange readable, uintptr_t* cfa);
  bool LeaveSignalFrame();
  bool FollowFramePointer();

  // The caller's registers are there, but for the program counter and the stack
  // pointer.
  SPANMALLOC_ALWAYS_INLINE bool Arrive(uintptr_t pc, uintptr_t sp) {
    if (SPANMALLOC_UNLIKELY(sp <= registers_.sp()) && ++steps_ > kMostSteps) {
      return false;
    }
    registers_.value[kStackPointer] = sp;
    registers_.value[kProgramCounter] = StripSignature(pc);
    interrupted_ = false;
    // A caller's link register is where the caller saved it.
    if (kHasLinkRegister) registers_.value[kReturnAddress] = 0;
    return registers_.pc() != 0;
  }

  Registers registers_;
  ReadableMemory memory_;
  UnwindRules rules_;
  int steps_ = 0;
  // The program counter is at an instruction that has not begun.
  bool interrupted_ = true;
};

SPANMALLOC_ALWAYS_INLINE bool Walk::Apply(UnwindRule rule) {
  uintptr_t* const value = registers_.value;
  uintptr_t cfa = value[rule.cfa_column()] +
                  static_cast<uintptr_t>(intptr_t{rule.cfa_offset()});
  if (SPANMALLOC_UNLIKELY(rule.cfa_in_memory()) &&
      !memory_.ReadWord(cfa, &cfa)) {
    return false;
  }
  uint32_t slots = rule.slots();
  for (size_t i = 0; slots != 0; ++i, slots >>= kSlotBits) {
    const uint32_t slot = slots & ((1u << kSlotBits) - 1);
    if (slot != 0 && !memory_.ReadWord(cfa - slot * kWord, &value[i])) {
      return false;
    }
  }
  uintptr_t pc;
  if (kHasLinkRegister) {
    pc = value[kReturnAddress];
  } else if (!memory_.ReadWord(cfa - kWord, &pc)) {
    return false;
  }
  return Arrive(pc, cfa);
}

bool Walk::StepSlowly(uintptr_t pc, UnwindRule rule) {
  FrameRow row;
  ByteRange readable;
  if (rule.bits() == 0) rule = rules_.Find(pc, &row, &readable);
  switch (rule.kind()) {
    case UnwindRule::Kind::kOutermost:
      return false;
    case UnwindRule::Kind::kCompact:
      return Apply(rule);
    case UnwindRule::Kind::kRow:
      if (row.is_signal_frame && LeaveSignalFrame()) return true;
      return ApplyRow(row, readable);
    case UnwindRule::Kind::kNoRow:
      break;
  }
  return LeaveSignalFrame() || FollowFramePointer();
}

bool Walk::ReadCfa(const FrameRow& row, ByteRange readable, uintptr_t* cfa) {
  if (row.cfa_is_expression) {
    return EvaluateFrameExpression(ExpressionBlock(readable, row.cfa_offset),
                                   registers_, nullptr, &memory_, cfa);
  }
  *cfa = registers_.value[row.cfa_column] +
         static_cast<uintptr_t>(intptr_t{row.cfa_offset});
  return true;
}

bool Walk::ApplyRow(const FrameRow& row, ByteRange readable) {
  using Kind = RegisterRule::Kind;
  uintptr_t cfa;
  if (!ReadCfa(row, readable, &cfa)) return false;
  Registers callers = registers_;
  for (size_t i = 0; i < kColumns; ++i) {
    const RegisterRule& rule = row.registers[i];
    const uintptr_t at = cfa + static_cast<uintptr_t>(intptr_t{rule.offset});
    uintptr_t* const value = &callers.value[i];
    bool done = true;
    switch (rule.kind) {
      case Kind::kSame:
        break;
      case Kind::kUndefined:
        *value = 0;
        break;
      case Kind::kSaved:
        done = memory_.ReadWord(at, value);
        break;
      case Kind::kValue:
        *value = at;
        break;
      case Kind::kRegister:
        *value = registers_.value[rule.offset];
        break;
      case Kind::kSavedExpression:
      case Kind::kValueExpression:
        done = EvaluateFrameExpression(ExpressionBlock(readable, rule.offset),
                                       registers_, &cfa, &memory_, value) &&
               (rule.kind == Kind::kValueExpression ||
                memory_.ReadWord(*value, value));
        break;
    }
    if (!done) return false;
  }
  // Not where it is: there it is the callee's.
  if (!kHasLinkRegister && row.registers[kReturnAddress].kind == Kind::kSame) {
    return false;
  }
  const uintptr_t sp =
      row.registers[kStackPointer].kind == Kind::kSame ? cfa : callers.sp();
  for (size_t i = 0; i < kSavedRegisters; ++i) {
    registers_.value[i] = callers.value[i];
  }
  if (!Arrive(callers.value[kReturnAddress], sp)) return false;
  if (row.is_signal_frame) {
    interrupted_ = true;
    if (kHasLinkRegister) {
      registers_.value[kReturnAddress] = callers.value[kReturnAddress];
    }
  }
  return true;
}

bool Walk::LeaveSignalFrame() {
  uint8_t code[kSignalReturnSize];
  ReadableMemory code_memory;
  if (!code_memory.Read(registers_.pc(), code, sizeof(code)) ||
      !IsSignalReturn(code)) {
    return false;
  }
  Registers interrupted;
  for (size_t i = 0; i < kColumns; ++i) {
    if (!memory_.ReadWord(registers_.sp() + SignalRegisterOffset(i),
                          &interrupted.value[i])) {
      return false;
    }
  }
  for (size_t i = 0; i < kSavedRegisters; ++i) {
    registers_.value[i] = interrupted.value[i];
  }
  const bool arrived = Arrive(interrupted.pc(), interrupted.sp());
  if (kHasLinkRegister) {
    registers_.value[kReturnAddress] = interrupted.value[kReturnAddress];
  }
  interrupted_ = true;
  return arrived;
}

bool Walk::FollowFramePointer() {
  const uintptr_t frame = registers_.value[kFramePointer];
  uintptr_t callers_frame, pc;
  uint8_t code[kLongestCall];
  ReadableMemory code_memory;
  if (frame < registers_.sp() || frame - registers_.sp() > kLargestGuess ||
      !memory_.ReadWord(frame, &callers_frame) ||
      !memory_.ReadWord(frame + kWord, &pc)) {
    return false;
  }
  pc = StripSignature(pc);
  if (!code_memory.Read(pc - sizeof(code), code, sizeof(code)) ||
      !EndsInCall(code)) {
    return false;
  }
  // The others may have been saved anywhere.
  for (size_t i = 0; i < kSavedRegisters; ++i) registers_.value[i] = 0;
  registers_.value[kFramePointer] = callers_frame;
  return Arrive(pc, frame + 2 * kWord);
}

}  // namespace

SPANMALLOC_NOINLINE size_t CaptureStackTrace(void** frames, size_t max,
                                             size_t skip) {
  if (!kCanUnwind) return 0;
  ErrnoSaver errno_saver;
  Walk walk;
  // Out of here, into the caller.
  if (!walk.Step()) return 0;
  size_t count = 0;
  while (count < max && walk.Step()) {
    if (skip > 0) {
      --skip;
    } else {
      frames[count++] = walk.frame();
    }
  }
  return count;
}

}  // namespace spanmalloc
