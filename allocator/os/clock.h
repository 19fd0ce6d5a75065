// Time, as two counters.
//
// Place:    os/.
// Purpose:  How old something is, and how much work a thread has done.
// Not here: the date; nothing in the allocator depends on it.
//
// Concurrency: call from any thread, and in a signal handler.
// Cost:        MonotonicNanoseconds about 20 ns, without a system call on most
//              machines; ThreadCpuNanoseconds one system call.
// Failure:     0. errno is kept.
#ifndef SPANMALLOC_ALLOCATOR_OS_CLOCK_H_
#define SPANMALLOC_ALLOCATOR_OS_CLOCK_H_

#include <cstdint>

namespace spanmalloc {

// Since some point in the past. Never goes back, is the same in all threads,
// and stands still while the machine sleeps.
uint64_t MonotonicNanoseconds();

// Since 1970, by the system's calendar, which may be set.
uint64_t WallClockNanoseconds();

// What the calling thread has spent on a CPU, in the program and in the
// kernel.
uint64_t ThreadCpuNanoseconds();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_CLOCK_H_
