// Who called: the return addresses on the calling thread's stack.
//
// Place:    os/, for the sampling profiler.
// Purpose:  Tell where an allocation comes from, inside malloc and free of any
//           program.
// Not here: names and lines (whoever reads a profile), tables of stacks
//           (profile/).
//
// Each frame is left by the rule of the unwind tables for its code, as a
// debugger and C++ exceptions do it; so frame pointers are not needed. Code
// without tables (made at run time, or in assembly language) is left by its
// frame pointer, if what is there looks like one: the address behind a call,
// further up the stack. Otherwise the walk ends there.
//
// Frames of signal handlers are walked through. The instruction that a signal
// interrupted is no return address; it is given as its address plus one, so
// that every element, less one, is inside the instruction that is not finished.
//
// A caller that is left by a jump (a tail call) has no frame and is not there.
//
// Concurrency: any thread and signal handler, also one that interrupts this.
//              No lock but what loaded_object.h says.
// Cost:        16 frames whose rules are known take well under a microsecond, a
//              frame whose rule is not known one more (unwind_rule.h). 600
//              bytes of stack where all is known, else up to 1.7 KiB.
// Failure:     the walk ends early: what is not readable or not plausible is
//              not followed. It may be wrong where tables or code lie. errno is
//              kept. Nothing at all where the architecture is neither x86-64
//              nor AArch64.
#ifndef SPANMALLOC_ALLOCATOR_OS_STACK_TRACE_H_
#define SPANMALLOC_ALLOCATOR_OS_STACK_TRACE_H_

#include <cstddef>

namespace spanmalloc {

// Fills `frames` innermost first and returns how many there are, at most `max`.
// With `skip` 0 the first is the caller's own return address, an address in the
// caller's caller; `skip` leaves out so many from there.
size_t CaptureStackTrace(void** frames, size_t max, size_t skip);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_STACK_TRACE_H_
