// How to leave a frame, in one word.
//
// Place:    os/, below stack_trace.h.
// Purpose:  Nearly every row of the unwind tables says the same few things:
//           the frame starts at a register plus a number, or at the word in
//           memory there; registers were saved in the words below. That fits
//           into 64 bits, and is remembered for each address that has been
//           asked for, so that a walk reads the tables for new addresses only.
// Not here: rows that don't fit (FrameRow), the walk (stack_trace.h).
//
// What is remembered must not outlive its object: another may be loaded at the
// same addresses. So an object has a stamp, and is asked for at every turn of a
// walk from one object to another. The stamp is made of the object's extent,
// the place of its tables, the number of its functions, where the last of them
// starts and is described, and the build ID. An object without one is taken for
// another only if all sizes add up to the same; a rule that is wrong then gives
// a wrong frame, and no more: what it is applied to is checked.
//
// Concurrency: any thread and signal handler, without a lock (but see
//              loaded_object.h).
// Cost:        a known address: two lines of memory at most, and a question to
//              the linker where the object is a new one. A new address:
//              half a microsecond, or more where the tables are not in memory.
//              66 KiB of memory, as far as it is used.
#ifndef SPANMALLOC_ALLOCATOR_OS_UNWIND_RULE_H_
#define SPANMALLOC_ALLOCATOR_OS_UNWIND_RULE_H_

#include <cstddef>
#include <cstdint>

#include "allocator/base/annotations.h"
#include "allocator/os/eh_frame.h"
#include "allocator/os/unwind_registers.h"

namespace spanmalloc {

class UnwindRule {
 public:
  enum class Kind : uint8_t {
    kNoRow,      // The tables say nothing, or nothing that is understood.
    kOutermost,  // There is no caller.
    kCompact,    // All is here.
    kRow,        // Does not fit: see the row.
  };

  constexpr UnwindRule() = default;
  explicit constexpr UnwindRule(Kind kind)
      : bits_(kValid | static_cast<uint64_t>(kind)) {}
  explicit constexpr UnwindRule(uint64_t bits) : bits_(bits) {}

  // kRow if the row does not fit.
  static UnwindRule OfRow(ByteRange readable, const FrameRow& row);

  uint64_t bits() const { return bits_; }
  Kind kind() const { return static_cast<Kind>(bits_ & kKindMask); }

  // Of a compact one. The CFA is the register of that column plus the offset,
  // or the word in memory there.
  size_t cfa_column() const { return bits_ >> kColumnShift & kColumnMask; }
  bool cfa_in_memory() const { return (bits_ & kInMemory) != 0; }
  int32_t cfa_offset() const { return static_cast<int32_t>(bits_ >> 32); }

  // For each saved register, lowest bits first, kSlotBits: so many words below
  // the CFA it was saved, or 0 if it is untouched. A return address that is
  // pushed by the call is in the first word.
  uint32_t slots() const { return static_cast<uint32_t>(bits_) >> kSlotsShift; }

 private:
  // 2 bits kind, 1 bit valid, 1 bit in memory, 4 bits column, 24 bits slots,
  // 32 bits offset.
  static constexpr uint64_t kKindMask = 3;
  static constexpr uint64_t kValid = 4;
  static constexpr uint64_t kInMemory = 8;
  static constexpr unsigned kColumnShift = 4;
  static constexpr uint64_t kColumnMask = 15;
  static constexpr unsigned kSlotsShift = 8;
  static_assert(kSavedRegisters * kSlotBits <= 24 && kColumns <= kColumnMask);

  uint64_t bits_ = 0;
};

// Finds rules for one walk.
class UnwindRules {
 public:
  // The rule for the code at `pc` (of a call, an address inside the
  // instruction). A known one, or none: bits() is 0.
  SPANMALLOC_ALWAYS_INLINE UnwindRule FindKnown(uintptr_t pc) {
    if (SPANMALLOC_UNLIKELY(!object_.Contains(pc)) && !Enter(pc)) {
      return UnwindRule();
    }
    return FindRemembered(pc);
  }

  // The same from the tables, and remembers it. If it is kRow, *row is the row
  // and *readable what its expressions are in.
  SPANMALLOC_NOINLINE UnwindRule Find(uintptr_t pc, FrameRow* row,
                                      ByteRange* readable);

 private:
  UnwindRule FindRemembered(uintptr_t pc) const;
  SPANMALLOC_NOINLINE bool Enter(uintptr_t pc);

  // The object that was met last, if it has tables.
  ByteRange object_;
  uintptr_t frame_index_ = 0;
  uint64_t stamp_ = 0;
  // The bytes around its index, if a rule has been looked for in them.
  ByteRange index_segment_;
};

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_UNWIND_RULE_H_
