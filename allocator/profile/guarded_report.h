// What we say when a program misuses a guarded block.
//
// Place:    profile/, below GuardedHeap, which finds the misuse.
// Purpose:  One line that says what happened, then the stacks of the access or
//           free, of the free before and of the allocation, a line a frame:
//               #0 0x55d0c0ffee12 /usr/bin/program+0x1e12
//           The number after the module is what addr2line takes, but for
//           programs that are not position-independent: there it is the one
//           before.
// Not here: the end of the program (GuardedHeap, or the signal).
//
// The names come from /proc/self/maps: the dynamic linker's list has a lock
// that the interrupted thread may hold.
//
// Concurrency: from any thread and in a signal handler, without any lock of
//           ours. Reports wait for each other, but not for ever: one that
//           waits too long, perhaps for what it has itself interrupted, is
//           nothing but its first line.
// Cost:     a write(2) for each line and one reading of the maps for each
//           stack. About 2 KiB of stack: signal stacks are small.
// Failure:  a frame in no mapped file is a number alone. errno is kept.
#ifndef SPANMALLOC_ALLOCATOR_PROFILE_GUARDED_REPORT_H_
#define SPANMALLOC_ALLOCATOR_PROFILE_GUARDED_REPORT_H_

#include <cstddef>
#include <cstdint>

#include "allocator/os/fault_signal.h"

namespace spanmalloc {

// Who did something, and when.
struct GuardedEvent {
  static constexpr size_t kMaxFrames = 32;
  uint64_t time_ns;
  uint64_t thread;
  size_t depth;
  void* frames[kMaxFrames];  // Innermost first.
};

struct GuardedBlock {
  uintptr_t address;
  size_t size;  // As it was asked for.
  size_t alignment;
  bool is_freed;
  GuardedEvent allocated;
  GuardedEvent freed;  // If is_freed.
};

enum class GuardedError {
  // Found by a fault at `address`.
  kUseAfterFree,
  kOverflow,
  kUnderflow,
  kInvalidAccess,
  // Found when `address` was freed, or given to what `operation` says.
  kDoubleFree,
  kInvalidPointer,
  kWrongSize,
  // The same, but `address` is the byte that was changed.
  kOverflowBeforeFree,
  kUnderflowBeforeFree,
};

struct GuardedReport {
  GuardedError error;
  uintptr_t address;
  const GuardedEvent* now;
  const GuardedBlock* block = nullptr;  // Null: none is near.
  const char* operation = "free";
  size_t size = 0;  // What a sized free said.
  Fault::Access access = Fault::Access::kUnknown;
};

void PrintGuardedReport(const GuardedReport& report);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_PROFILE_GUARDED_REPORT_H_
