// A snapshot of the heap in the forms that people and programs know.
//
// Place:    observe/, above mem_stats.h.
// Purpose:  malloc_stats, malloc_info, mallinfo2.
// Concurrency: pure functions of the snapshot; output goes where it is told.
#ifndef SPANMALLOC_ALLOCATOR_OBSERVE_HEAP_REPORT_H_
#define SPANMALLOC_ALLOCATOR_OBSERVE_HEAP_REPORT_H_

#include <malloc.h>
#include <stdio.h>

#include "allocator/observe/mem_stats.h"

namespace spanmalloc {

// RenderSummary on stderr, without allocating.
void PrintHeapStats(const MemStats& stats);

// XML with glibc's root element. Uses stdio, so it may allocate. False if the
// stream has an error.
bool WriteHeapXml(const MemStats& stats, FILE* stream);

// glibc's fields, filled where the thing exists here:
//   arena     bytes of the heap          ordblks   free objects are not counted
//   hblks     large blocks               hblkhd    bytes in them
//   uordblks  bytes in use               fordblks  bytes not in use
//   keepcost  free and not yet released
struct mallinfo2 ToMallinfo2(const MemStats& stats);

// The same, each field cut to INT_MAX: its type has no room for more.
struct mallinfo ToMallinfo(const MemStats& stats);

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_OBSERVE_HEAP_REPORT_H_
