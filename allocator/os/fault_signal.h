// Faults in one range of addresses, before anybody else sees them.
//
// Place:    os/.
// Purpose:  Say what a program did before it dies of SIGSEGV.
// Not here: what lies in the range, what is said (profile/).
//
// The program keeps its own handling. What is not a fault in the range goes on
// to the action that there was before ours: its handler is called with the mask
// that it asked for, and the default action takes place. After a fault in the
// range, once the watcher has spoken, that action is put back and the access
// happens again: the program dies as it would have, with its core file or in
// its own handler. So one fault is seen and no more.
//
// sigaction is not interposed. A program that installs a handler after us gets
// the faults in its turn, and we see those that it passes on; one that asks for
// the action of SIGSEGV is told of our handler. Where the program had a handler
// without SA_ONSTACK and the thread has a signal stack, ours runs on that one,
// and so does what it calls.
//
// No signal, so no report: an access by the kernel in a system call (EFAULT),
// and a fault in a thread that blocks SIGSEGV (the kernel ends it).
//
// Concurrency: WatchFaults and StopWatchingFaults by one thread at a time. The
//           watcher is called in the signal handler of the thread that faults,
//           perhaps in several threads at once, on a stack that may be small.
//           errno is kept.
// Failure:  false; nothing has changed then.
#ifndef SPANMALLOC_ALLOCATOR_OS_FAULT_SIGNAL_H_
#define SPANMALLOC_ALLOCATOR_OS_FAULT_SIGNAL_H_

#include <cstddef>
#include <cstdint>

namespace spanmalloc {

struct Fault {
  enum class Access { kUnknown, kRead, kWrite, kExecute };
  uintptr_t address;
  uintptr_t pc;  // Of the instruction; 0 if not known.
  Access access;
};

// Calls on_fault(fault, context) for the next fault in [start, start + size).
// There is one watcher; another call changes it.
bool WatchFaults(uintptr_t start, size_t size,
                 void (*on_fault)(const Fault& fault, void* context),
                 void* context);

// Puts the previous action back, unless the program has installed another.
void StopWatchingFaults();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_FAULT_SIGNAL_H_
