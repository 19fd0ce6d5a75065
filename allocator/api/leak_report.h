// What is still in use when the program ends, by the stacks that asked for it.
//
// Place:    api/, beside process.cc, which calls it.
// Purpose:  The options leak_report and leak_suppressions.
// Not here: which allocations are known (profile/heap_profiler.h), names
//           (profile/frame_names.h), what is left out
//           (profile/suppressions.h).
//
// In use is not leaked: what the program could still reach through its
// variables is among it, and what libraries would have freed that end after
// this one. A report is for a person who knows which it is.
//
// Largest first; bytes are those that were asked for. The numbers are exact if
// every allocation was sampled (profile_interval=1, which this option means if
// nothing else was said), else estimates.
//
// Each frame has the address within the call, the function, and the place in
// its file as tools like addr2line ask for it. C++ names are decoded where the
// program has a C++ runtime. That allocates, from this allocator like any other
// code; it is done when all has been read, and not on a signal.
//
// Concurrency: once, at the end; other threads may still run.
// Failure:     one line on stderr. Frames without names have what is known.
#ifndef SPANMALLOC_ALLOCATOR_API_LEAK_REPORT_H_
#define SPANMALLOC_ALLOCATOR_API_LEAK_REPORT_H_

#include "allocator/api/options.h"

namespace spanmalloc {

// Once, before main.
void StartLeakReport(const Options& options);

// As the process ends.
void WriteLeakReport();

}  // namespace spanmalloc

#endif  // SPANMALLOC_ALLOCATOR_API_LEAK_REPORT_H_
