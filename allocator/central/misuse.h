// What we say when a program misuses its heap.
//
// Place:    central/: the lowest layer that can find a misuse.
// Purpose:  One clear line on stderr, then abort(). Going on would hand one
//           piece of memory to two owners.
// Concurrency: call without any lock of ours, so that a handler of SIGABRT may
//           still allocate.
#ifndef SPANMALLOC_ALLOCATOR_CENTRAL_MISUSE_H_
#define SPANMALLOC_ALLOCATOR_CENTRAL_MISUSE_H_

#include <cstddef>

#include "allocator/base/annotations.h"

namespace spanmalloc {

// "double free of 0x7f... (48-byte class)".
[[noreturn]] SPANMALLOC_COLD void ReportDoubleFree(const void* p,
                                                   size_t class_size);
// A pointer that no allocation has returned, or a large block freed before.
// `what` is the operation: "free", "realloc".
[[noreturn]] SPANMALLOC_COLD void ReportInvalidPointer(const char* what,
                                                       const void* p);
// A sized deallocation whose size can't be the one that was asked for.
[[noreturn]] SPANMALLOC_COLD void ReportWrongSize(const void* p, size_t size,
                                                  size_t real_size);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_CENTRAL_MISUSE_H_
