// A memory barrier on all threads of the process, run by one of them.
//
// Place:    os/.
// Purpose:  Let one thread look into what others do on paths that have no
//           barrier of their own.
// Concurrency: any thread, at any time.
// Cost:     a system call, and an interrupt of each processor that runs the
//           process just now.
// Failure:  false where the kernel does not offer it.
#ifndef SPANMALLOC_ALLOCATOR_OS_THREAD_BARRIER_H_
#define SPANMALLOC_ALLOCATOR_OS_THREAD_BARRIER_H_

namespace spanmalloc {

// Tells the kernel that the process will use the barrier.
bool PrepareThreadBarrier();

// When it returns, every other thread has passed a full barrier since the call.
bool ThreadBarrier();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_THREAD_BARRIER_H_
