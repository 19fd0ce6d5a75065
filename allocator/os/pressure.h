// How much the process waits for memory.
//
// Place:    os/.
// Purpose:  The kernel's count of stalls (PSI): the time in which some task
//           waited for a page to be reclaimed, refaulted or swapped in. It
//           rises before a limit is reached and is the sign to give back all
//           that is idle.
// Not here: the limit (cgroup.h), and what to do.
//
// Concurrency: pure reads of the system; from any thread, and in a signal
//              handler. Nothing is allocated.
// Cost:        one or two small files; without a group, cgroup.h's search.
// Failure:     false: Linux before 4.20, or PSI compiled out or off (psi=0).
//              errno is kept.
#ifndef SPANMALLOC_ALLOCATOR_OS_PRESSURE_H_
#define SPANMALLOC_ALLOCATOR_OS_PRESSURE_H_

#include <cstdint>

#include "allocator/os/cgroup.h"

namespace spanmalloc {

// Hundredths of a percent of the last ten seconds, about, in which some task of
// the group waited: 0 to 10000. Of the whole system where the group has no
// count of its own. `root` as in FindMemoryCgroup.
bool ReadMemoryPressure(const MemoryCgroup& cgroup, uint32_t* some_avg10,
                        const char* root = "");

// Of this process. Finds the group first.
bool ReadMemoryPressure(uint32_t* some_avg10);

// The line "some avg10=<percent>.<two digits> ..." of such a file. A zero ends
// `text`.
bool ParsePressure(const char* text, uint32_t* some_avg10);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OS_PRESSURE_H_
