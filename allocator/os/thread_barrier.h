// A memory barrier in all threads at once.
//
// Place:    os/.
// Purpose:  The expensive half of Dekker's protocol between a thread that does
//           something often and one that disturbs it seldom. Each stores its
//           own word and then loads the other's:
//
//             often:   mine.store(1, relaxed);
//                      std::atomic_signal_fence(seq_cst);  // The compiler's.
//                      if (other.load(relaxed)) ...
//             seldom:  other.store(1, relaxed);
//                      if (!ThreadBarrier()) <do it another way>
//                      if (mine.load(relaxed)) ...
//
//           They cannot both load 0, as if both had a full fence between the
//           store and the load; but the first pays nothing for it.
// Not here: the words, and what to do where there is no such barrier.
//
// What is guaranteed, when ThreadBarrier has returned true: each thread of the
// process has, at some point between the call and the return, been at a place
// in its program where all its accesses to memory before the place were done
// and none after it had begun. (A thread that runs is interrupted for it; one
// that doesn't has passed such a place in the scheduler.) So
//   - what a thread stored before its place, the caller sees after the return;
//   - what the caller stored before the call, a thread sees after its place.
// The caller itself passes a full barrier before and after. Nothing is
// promised about where in its program a thread is then, and nobody waits: a
// thread may be between its store and its load, and then the place lies after
// the store or before the load, which is what the protocol needs. The order of
// a thread's accesses is the one in the machine code; the fence for the
// compiler keeps it that of the source.
//
// "The process" is everything that shares the address space, so a child of
// vfork is part of it, and memory shared by two processes is not covered.
//
// Fork:        a child has what its parent prepared: the kernel copies it with
//              the address space (dup_mm in kernel/fork.c; only exec clears
//              it, membarrier_exec_mmap in kernel/sched/membarrier.c). So there
//              is no state here, and nothing to do in the child.
// Concurrency: call from any thread, and in a signal handler.
// Cost:        PrepareThreadBarrier: one system call, of some milliseconds if
//              there are several threads already and it is the first one.
//              ThreadBarrier: some microseconds, and an interrupt of each CPU
//              that runs a thread of this process.
// Failure:     false where the kernel is older than 4.14 or has the call
//              compiled out, where a seccomp filter denies it, and without
//              PrepareThreadBarrier. errno is kept. It may be true at one time
//              and false at another: the program can put itself under a
//              filter. One that kills for unknown calls is os/sandbox.h's.
#ifndef SPANMALLOC_ALLOCATOR_OS_THREAD_BARRIER_H_
#define SPANMALLOC_ALLOCATOR_OS_THREAD_BARRIER_H_

namespace spanmalloc {

// Tells the kernel that ThreadBarrier will be used. Once; again does no harm.
bool PrepareThreadBarrier();

bool ThreadBarrier();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_THREAD_BARRIER_H_
